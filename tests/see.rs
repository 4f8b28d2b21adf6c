//! Views of tiers: tables, trees, pictures.

#[path = "support/listing.rs"]
mod listing;

use std::{fs, path::Path};

use debstrata::evidence::see::{Beside, Family, Glance, GlanceTier, Listing, files, mermaid, outline, svg, tree};
use listing::{hostile, small};

fn tier(name: &str, parent: Option<&str>, adds: usize, layer: Option<u64>) -> GlanceTier {
    GlanceTier {
        name: name.into(),
        parent: parent.map(Into::into),
        summary: format!("the tier {name}"),
        adds,
        packages: adds + 3,
        layer,
        size: layer.map(|layer| layer + 1_000_000),
        variants: Vec::new(),
    }
}

fn family(tiers: Vec<GlanceTier>) -> Glance {
    let family = Family { distribution: "test".into(), summary: "A test".into(), architecture: "amd64".into(), tiers };
    Glance { families: vec![family] }
}

fn glance() -> Glance {
    let mut tiers = vec![
        tier("root", None, 1, Some(1_000_000)),
        tier("left", Some("root"), 2, Some(5_000_000)),
        tier("leaf", Some("left"), 4, Some(20_000_000)),
        tier("right", Some("root"), 1, None),
    ];
    tiers[..3].iter_mut().for_each(|tier| tier.variants = vec!["debug".into(), "nonroot".into()]);
    family(tiers)
}

#[test]
fn tables() {
    insta::assert_snapshot!("files", files(&small()));
    insta::assert_snapshot!("tree", tree(&small(), 2).1);
    insta::assert_snapshot!("outline", outline(&glance(), Beside::Summary));
    insta::assert_snapshot!("outline_bars", outline(&glance(), Beside::Bar));
    insta::assert_snapshot!("mermaid", mermaid(&glance()));
    insta::assert_snapshot!("svg", svg(&glance()));
}

#[test]
fn depth_cuts_and_sizes_stay() {
    let listing = small();
    for (depth, lines) in [(0, 1), (1, 4), (2, 8), (3, 12), (99, 12)] {
        let (branches, table) = tree(&listing, depth);
        assert_eq!((branches.len(), table.lines().count()), (lines, lines + 1), "{depth}");
        // A second name of a file takes nothing.
        assert_eq!((branches[0].size, branches[0].files), (2_050_123, 8), "{depth}");
    }
}

#[test]
fn a_listing_is_read_back_and_damage_is_seen() {
    for listing in [small(), hostile(), Listing::default()] {
        let bytes = listing.to_bytes();
        assert_eq!(Listing::from_bytes(&bytes), Some(listing));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Listing::from_bytes(&damaged), None, "byte {at}");
            assert_eq!(Listing::from_bytes(&bytes[..at]), None, "cut at {at}");
        }
    }
}

#[test]
fn names_never_drive_the_terminal() {
    let (_, table) = tree(&hostile(), 5);
    for text in [files(&hostile()), table] {
        assert!(text.contains("\\u{1b}[2J") && text.contains("\\xff\\xfe"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
    }
}

#[test]
fn texts_stay_texts() {
    let mut bad = glance();
    bad.families[0].summary = "</text><script>alert(1)</script>\u{1b}[2J\u{ffff}".into();
    bad.families[0].tiers[0].summary = "a\"] --> x[\"b & <c> ]]>".into();
    let drawn = svg(&bad);
    assert!(!drawn.contains("<script") && !drawn.contains(['\u{1b}', '\u{ffff}']), "{drawn}");
    assert!(drawn.contains("&lt;script&gt;") && drawn.contains("b &amp; &lt;c&gt;"), "{drawn}");
    bad.families[0].tiers[2].name = "x\"]\nend\n%%{init}".into();
    let chart = mermaid(&bad);
    assert_eq!(chart.lines().count(), mermaid(&glance()).lines().count(), "{chart}");
    assert!(!chart.contains("%%") && chart.contains("x#34;#93;"), "{chart}");
}

#[test]
fn parents_that_make_no_tree_are_no_trouble() {
    let glance =
        family(vec![tier("a", Some("b"), 1, Some(1)), tier("b", Some("b"), 1, None), tier("c", Some("a"), 1, Some(0))]);
    for text in [svg(&glance), mermaid(&glance), outline(&glance, Beside::Bar)] {
        assert!(["a", "b", "c"].iter().all(|name| text.contains(name)), "{text}");
    }
    assert!(svg(&Glance::default()).ends_with("</svg>\n"));
    assert_eq!(outline(&Glance::default(), Beside::Summary), "");
}

#[test]
fn the_picture_in_docs_is_of_the_shipped_tiers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = tempfile::tempdir().unwrap();
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_debstrata"));
    command.env_clear().arg("-C").arg(root).arg("--cache").arg(cache.path());
    let drawn = command.args(["--offline", "show", "--graph", "svg", "--arch", "amd64"]).assert().success();
    let there = fs::read(root.join("docs/at-a-glance.svg")).unwrap();
    assert!(
        there == drawn.get_output().stdout,
        "the tiers have changed: debstrata show --graph svg --arch amd64 > docs/at-a-glance.svg"
    );
}
