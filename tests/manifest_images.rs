//! `[image]`, `[variants]` and overlays: which images tiers come to, what they say, what is refused.

use std::{fs, path::Path};

use debstrata::manifest::{Distribution, Image, Loaded, ManifestError, images, load};
use miette::{GraphicalReportHandler, GraphicalTheme};
use tempfile::TempDir;

const ARCHIVE: &str = r#"
architectures = ["amd64"]
[[sources]]
suites = ["trixie"]
components = ["main"]
snapshot = "debian"
allow-unsigned = true
"#;

/// A project of one distribution `d` with these tiers.
fn project(tiers: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("manifests/d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("archive.toml"), ARCHIVE).unwrap();
    for (name, text) in tiers {
        fs::write(folder.join(format!("{name}.toml")), text).unwrap();
    }
    root
}

fn distribution(tiers: &[(&str, &str)]) -> Distribution {
    let root = project(tiers);
    let Loaded { project, warnings } = load(root.path()).unwrap_or_else(|errors| panic!("{}", render(&errors)));
    assert!(warnings.is_empty(), "{warnings:?}");
    project.distributions.into_iter().next().unwrap()
}

fn render(errors: &[ManifestError]) -> String {
    let mut out = String::new();
    for error in errors {
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
        handler.render_report(&mut out, error).unwrap();
    }
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn refused(tiers: &[(&str, &str)]) -> String {
    render(&load(project(tiers).path()).expect_err("the project should be refused"))
}

/// The image of this name.
fn image(distribution: &Distribution, name: &str) -> Image {
    let mut all = (0..distribution.tiers.len()).flat_map(|tier| images(distribution, tier));
    all.find(|image| image.name == name).unwrap_or_else(|| panic!("no image {name}")).image
}

/// `image (layers)` of a tier.
fn plan(distribution: &Distribution, tier: &str) -> Vec<String> {
    let name = |tier: &usize| distribution.tiers[*tier].name.clone();
    let layers = |tier| distribution.chain(tier).iter().map(name).collect::<Vec<_>>().join(" ");
    let all = images(distribution, distribution.tier(tier).unwrap());
    all.into_iter().map(|image| format!("{} ({})", image.name, layers(image.tier))).collect()
}

const ROOT: &str = r#"
[image]
user = 0
workdir = "/"
env = { PATH = "/bin", A = "root" }
labels = { a = "root" }
exposed-ports = [80]
[variants.nonroot]
user = "65532"
workdir = "/home/nonroot"
[variants.debug]
overlay = "busybox"
entrypoint = ["/busybox/sh"]
env = { PATH = "/bin:/busybox" }
"#;

const BUSYBOX: &str = "parent = 'root'\npackages = ['busybox-static']\n[image]\ncmd = ['x']\n[limits]\npackages = 3";

#[test]
fn every_key_is_read() {
    let one = distribution(&[(
        "t",
        r#"
[image]
user = "app:33"
workdir = "/srv"
entrypoint = ["/bin/app", ""]
cmd = ["-v"]
env = { EMPTY = "", "odd name" = "a=b\nc" }
labels = { "org.example.a" = "x\ny" }
annotations = { "org.example.b" = "é" }
volumes = ["/srv/b", "/srv/a"]
exposed-ports = [8080, "8080/tcp", "53/udp", "9899/sctp", "65535"]
stop-signal = "SIGRTMIN+3"
[variants.numbers]
user = "0:0"
stop-signal = 15
"#,
    )]);
    let plain = image(&one, "t");
    assert_eq!(plain.user.as_deref(), Some("app:33"));
    assert_eq!(plain.workdir.unwrap().to_string(), "/srv");
    assert_eq!(plain.entrypoint.unwrap(), ["/bin/app", ""]);
    assert_eq!(plain.cmd.unwrap(), ["-v"]);
    assert_eq!(plain.env["odd name"], "a=b\nc");
    assert_eq!((plain.labels["org.example.a"].as_str(), plain.annotations["org.example.b"].as_str()), ("x\ny", "é"));
    let volumes: Vec<_> = plain.volumes.iter().map(ToString::to_string).collect();
    assert_eq!(volumes, ["/srv/a", "/srv/b"]);
    let ports: Vec<_> = plain.exposed_ports.iter().map(String::as_str).collect();
    assert_eq!(ports, ["53/udp", "65535/tcp", "8080/tcp", "9899/sctp"]);
    assert_eq!(plain.stop_signal.as_deref(), Some("SIGRTMIN+3"));
    let numbers = image(&one, "t-numbers");
    assert_eq!((numbers.user.as_deref(), numbers.stop_signal.as_deref()), (Some("0:0"), Some("15")));
    assert_eq!(one.tiers.len(), 1);
}

#[test]
fn children_have_what_their_parents_say() {
    let one = distribution(&[
        ("root", ROOT),
        ("busybox", BUSYBOX),
        ("app", "parent = 'root'\n[image]\nenv.A = 'app'\nlabels.b = 'app'\nexposed-ports = ['81/udp']\nuser = '1'"),
    ]);
    let app = image(&one, "app");
    assert_eq!((app.user.as_deref(), app.workdir.unwrap().to_string()), (Some("1"), "/".into()));
    assert_eq!((app.env["PATH"].as_str(), app.env["A"].as_str()), ("/bin", "app"));
    assert_eq!(app.labels.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(app.exposed_ports.iter().collect::<Vec<_>>(), ["80/tcp", "81/udp"]);
    assert_eq!(image(&one, "app-nonroot").user.as_deref(), Some("65532"), "variants have the last word");
    assert_eq!(image(&one, "app-debug").env["PATH"], "/bin:/busybox");
    let both = image(&one, "app-debug-nonroot");
    assert_eq!((both.user.as_deref(), both.entrypoint.unwrap().join(" ")), (Some("65532"), "/busybox/sh".into()));
}

#[test]
fn images_are_named_by_tier_overlay_and_variant() {
    let one = distribution(&[
        ("root", ROOT),
        ("busybox", BUSYBOX),
        ("app", "parent = 'root'"),
        ("on-busybox", "parent = 'busybox'"),
    ]);
    assert_eq!(
        plan(&one, "app"),
        [
            "app (root app)",
            "app-nonroot (root app)",
            "app-debug (root app app-debug)",
            "app-debug-nonroot (root app app-debug)"
        ]
    );
    assert_eq!(plan(&one, "app-debug"), plan(&one, "app")[2..], "a tier that stands for it has those with its layer");
    // What the overlay stands on and what stands on it.
    assert_eq!(plan(&one, "root").len(), 4);
    assert_eq!(plan(&one, "busybox"), ["busybox (root busybox)", "busybox-nonroot (root busybox)"]);
    assert_eq!(plan(&one, "on-busybox").len(), 2);
    let names: Vec<_> = one.tiers.iter().map(|tier| tier.name.as_str()).collect();
    assert_eq!(names, ["root", "app", "busybox", "on-busybox", "root-debug", "app-debug"], "those with a file first");
}

#[test]
fn a_tier_that_stands_for_an_overlay_has_its_manifest() {
    let one = distribution(&[("root", ROOT), ("busybox", BUSYBOX)]);
    let derived = &one.tiers[one.tier("root-debug").unwrap()];
    let overlay = &one.tiers[one.tier("busybox").unwrap()];
    assert_eq!((&derived.packages, &derived.source), (&overlay.packages, &overlay.source));
    assert_eq!(derived.parent.as_ref().unwrap().value, one.tier("root").unwrap());
    assert_eq!(derived.stands_for.as_ref().unwrap().variant, "debug");
    // These speak of the overlay itself.
    assert_eq!(derived.checks.limits.packages, None);
    assert_eq!(image(&one, "root-debug").cmd, None);
    assert!(one.tiers.iter().filter(|tier| tier.stands_for.is_some()).count() == 1);
}

#[test]
fn a_child_overrides_a_variant_by_key() {
    let one = distribution(&[
        ("root", ROOT),
        ("busybox", BUSYBOX),
        ("tools", "parent = 'root'\npackages = ['tools']"),
        (
            "app",
            "parent = 'root'\n[variants.debug]\nentrypoint = ['/bin/app']\nenv.B = 'b'\n[variants.nonroot]\nuser = '7'",
        ),
        ("other", "parent = 'root'\n[variants.debug]\noverlay = 'tools'"),
    ]);
    let debug = image(&one, "app-debug");
    assert_eq!((debug.entrypoint.unwrap().join(" "), debug.env["PATH"].as_str()), ("/bin/app".into(), "/bin:/busybox"));
    assert_eq!(debug.env["B"], "b");
    let nonroot = image(&one, "app-nonroot");
    assert_eq!((nonroot.user.as_deref(), nonroot.workdir.unwrap().to_string()), (Some("7"), "/home/nonroot".into()));
    let other = &one.tiers[one.tier("other-debug").unwrap()];
    assert_eq!(other.source.name.as_ref(), "manifests/d/tools.toml", "the nearest overlay counts");
    assert_eq!(image(&one, "other-debug").entrypoint.unwrap(), ["/busybox/sh"]);
}

#[test]
fn programs_and_their_arguments() {
    let root = "[image]\nentrypoint = ['/a']\ncmd = ['x']";
    for (child, entrypoint, cmd) in [
        ("", Some("/a"), Some("x")),
        ("[image]\ncmd = ['y', 'z']", Some("/a"), Some("y z")),
        ("[image]\ncmd = []", Some("/a"), None),
        // As in Dockerfiles.
        ("[image]\nentrypoint = ['/b']", Some("/b"), None),
        ("[image]\nentrypoint = ['/b']\ncmd = ['y']", Some("/b"), Some("y")),
        ("[image]\nentrypoint = []", None, None),
        ("[image]\nentrypoint = []\ncmd = ['/c']", None, Some("/c")),
    ] {
        let one = distribution(&[("root", root), ("t", &format!("parent = 'root'\n{child}"))]);
        let found = image(&one, "t");
        let joined = |list: Option<Vec<String>>| list.map(|list| list.join(" "));
        assert_eq!(joined(found.entrypoint).as_deref(), entrypoint, "{child}");
        assert_eq!(joined(found.cmd).as_deref(), cmd, "{child}");
    }
    // The overlay's program is kept whole, whatever the other variant says.
    let one = distribution(&[
        ("root", "[image]\ncmd = ['x']\n[variants.a]\noverlay = 'o'\nentrypoint = ['/sh']\n[variants.b]\ncmd = ['y']"),
        ("o", "parent = 'root'"),
    ]);
    let both = image(&one, "root-a-b");
    assert_eq!((both.entrypoint.unwrap().join(" "), both.cmd), ("/sh".into(), None));
    assert_eq!(image(&one, "root-b").cmd.unwrap(), ["y"]);
}

#[test]
fn what_both_declare_alike_is_there_once() {
    let accounts = "groups = [{ name = 'app', gid = 7 }]\nusers = [{ name = 'app', uid = 7, gid = 7 }]";
    let one = distribution(&[
        ("root", "[variants.debug]\noverlay = 'tools'"),
        ("tools", &format!("parent = 'root'\n{accounts}")),
        ("app", &format!("parent = 'root'\n{accounts}")),
    ]);
    let users = |name| one.tiers[one.tier(name).unwrap()].users.len() + one.tiers[one.tier(name).unwrap()].groups.len();
    assert_eq!((users("root-debug"), users("app-debug")), (2, 0));
}

#[test]
fn values_that_no_container_could_use() {
    insta::assert_snapshot!(refused(&[(
        "t",
        r#"
[image]
user = "app:b:c"
workdir = "srv"
entrypoint = ["", "a\u0000b"]
cmd = "x"
env = { "A=B" = "", "" = "x", C = "\u0000" }
labels = { "" = "x", "a\nb" = "y" }
volumes = ["data", "/"]
exposed-ports = [0, 65536, "80/icmp", "8000-8010", "0080", -1]
stop-signal = "sigterm"
healthcheck = "x"
[variants.Big]
user = ":7"
[variants."a+b"]
user = "4294967295"
stop-signal = 65
[variants.x]
user = "no body"
stop-signal = "SIGRTMAX-x"
"#
    )]));
}

#[test]
fn overlays_that_cannot_go_on_top() {
    insta::assert_snapshot!(refused(&[
        ("root", "[variants.debug]\noverlay = \"busibox\"\n[variants.self]\noverlay = \"root\""),
        ("busybox", "parent = \"other\""),
        ("other", ""),
        ("app", "parent = \"root\"\n[variants.tools]\noverlay = \"busybox\"\n[variants.down]\noverlay = \"root\""),
        ("child", "parent = \"app\""),
    ]));
}

#[test]
fn names_and_accounts_that_clash() {
    insta::assert_snapshot!(refused(&[
        ("root", "[variants.debug]\noverlay = \"tools\"\n[variants.b-c]\nuser = 1"),
        ("root-b", "[variants.c]\nuser = 1"),
        (
            "tools",
            "parent = \"root\"\ngroups = [{ name = \"app\", gid = 7 }]\nusers = [{ name = \"app\", uid = 7, gid = 7 }]"
        ),
        ("app", "parent = \"root\"\ngroups = [{ name = \"staff\", gid = 7 }]"),
        ("x", "[variants.y]\nuser = 1"),
        ("x-y", ""),
    ]));
}

#[test]
fn of_broken_files_nothing_more_is_said() {
    let told = refused(&[
        ("root", "[variants.debug]\noverlay = \"busybox\""),
        ("busybox", "parent = \"root\"\npackages = \"x\"\nsummary ="),
        ("app", "parent = \"nowhere\"\n[variants.debug]\noverlay = \"busybox\""),
    ]);
    assert_eq!(told.matches('×').count(), 2, "{told}");
}

/// What the images of the same names at the place that docs/parity.md speaks of say.
#[test]
fn the_shipped_images_are_those_that_people_know() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = load(root).unwrap_or_else(|errors| panic!("{}", render(&errors))).project;
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for one in &project.distributions {
        for tier in one.tiers.iter().filter(|tier| tier.stands_for.is_none() && tier.name != "busybox") {
            let name = &tier.name;
            let names: Vec<_> = images(one, one.tier(name).unwrap()).into_iter().map(|image| image.name).collect();
            let suffixes = ["", "-nonroot", "-debug", "-debug-nonroot"];
            assert_eq!(names, suffixes.map(|suffix| format!("{name}{suffix}")), "{}", one.name);
            for name in &names {
                let image = image(one, name);
                let nonroot = name.ends_with("nonroot");
                assert_eq!(image.user.as_deref(), Some(if nonroot { "65532" } else { "0" }), "{name}");
                assert_eq!(image.workdir.unwrap().to_string(), if nonroot { "/home/nonroot" } else { "/" }, "{name}");
                let busybox = if name.contains("-debug") { ":/busybox" } else { "" };
                assert_eq!(image.env["PATH"], format!("{path}{busybox}"), "{name}");
                assert_eq!(image.env["SSL_CERT_FILE"], "/etc/ssl/certs/ca-certificates.crt");
            }
        }
        assert_eq!(image(one, "cc").entrypoint, None);
        assert_eq!(image(one, "cc-debug-nonroot").entrypoint.unwrap(), ["/busybox/sh"]);
        assert_eq!(image(one, "java-base").env["LANG"], "C.UTF-8");
        assert!(image(one, "python3-debug").entrypoint.unwrap()[0].starts_with("/usr/bin/python3."));
    }
    let nginx = image(&project.distributions[1], "nginx-debug");
    assert_eq!(
        (nginx.cmd.unwrap().join(" "), nginx.stop_signal.as_deref()),
        ("-g daemon off;".into(), Some("SIGQUIT"))
    );
    assert!(nginx.exposed_ports.contains("80/tcp"));
}
