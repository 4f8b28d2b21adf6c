//! Comparing two sides, and reading layers that others made, without a project.

use std::{collections::BTreeMap, io::Write as _};

use debstrata::{
    evidence::diff::{
        Changes, DiffError, Entry, Limits, Node, Package, Side, Tree, Trees, compare, installed, markdown, text,
    },
    ground::{RootPath, Sha256},
};
use proptest::prelude::*;
use serde_json::Value;

/// An entry of a tar: name, type, mode, content or link target.
type Part<'a> = (&'a str, u8, u32, &'a [u8]);

fn tar(parts: &[Part<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, mode, content) in parts {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
        header.as_old_mut().linkflag = [*kind];
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        let body: &[u8] = if matches!(kind, b'0' | b'x' | b'L' | b'g') { content } else { b"" };
        if matches!(kind, b'1' | b'2') {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
        }
        header.set_size(body.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn read(layers: &[Vec<u8>], limits: Limits) -> Result<Trees, DiffError> {
    let mut trees = Trees::new(limits);
    for layer in layers {
        trees.add("the layer", &**layer, layer.len() as u64)?;
    }
    Ok(trees)
}

fn image(layers: &[Vec<u8>]) -> BTreeMap<String, String> {
    shown(&read(layers, Limits::default()).unwrap().image())
}

fn shown(tree: &Tree) -> BTreeMap<String, String> {
    let what = |entry: &Entry| match &entry.node {
        Node::Symlink(to) | Node::HardLink(to) => format!("{} {}", entry.node.kind(), String::from_utf8_lossy(to)),
        Node::File { size, .. } => format!("file {size}"),
        Node::Special(what) => what.clone(),
        other => other.kind().to_owned(),
    };
    tree.entries.iter().map(|(path, entry)| (path.to_string(), what(entry))).collect()
}

fn side(tree: Tree) -> Side {
    let mut tree = tree;
    Side { name: "side".into(), packages: installed(&mut tree), tree: Some(tree), ..Side::default() }
}

fn changes(before: &Side, after: &Side) -> Changes {
    compare(before, after, &|_, _, _, _| None)
}

#[test]
fn whiteouts_delete_what_lies_below_and_nothing_else() {
    let below = tar(&[
        ("a/", b'5', 0o755, b""),
        ("a/one", b'0', 0o644, b"1"),
        ("a/two", b'0', 0o644, b"22"),
        ("b/", b'5', 0o755, b""),
        ("b/deep/", b'5', 0o755, b""),
        ("b/deep/x", b'0', 0o644, b"x"),
        ("b-side", b'0', 0o644, b"s"),
        ("c/", b'5', 0o755, b""),
        ("c/x", b'0', 0o644, b"x"),
        ("first", b'0', 0o644, b"hard"),
    ]);
    let above = tar(&[
        ("a/.wh.one", b'0', 0, b""),
        ("b/new", b'0', 0o644, b"n"),
        ("b/.wh..wh..opq", b'0', 0, b""),
        ("c", b'2', 0o777, b"a"),
        ("second", b'1', 0o644, b"first"),
        (".wh..wh.plnk", b'5', 0, b""),
    ]);
    let found = image(&[below, above.clone()]);
    let expected = [
        ("/a", "directory"),
        ("/a/two", "file 2"),
        ("/b", "directory"),
        ("/b-side", "file 1"),
        ("/b/new", "file 1"),
        ("/c", "symlink a"),
        ("/first", "file 4"),
        ("/second", "file 4"),
    ];
    assert_eq!(found, expected.map(|(path, what)| (path.to_owned(), what.to_owned())).into());
    // A layer by itself tells what it deletes.
    let alone = shown(&read(&[above], Limits::default()).unwrap().layer());
    assert_eq!(
        (&*alone["/a/one"], &*alone["/b/.wh..wh..opq"], &*alone["/second"]),
        ("whiteout", "whiteout", "hardlink first")
    );
}

#[test]
fn hostile_layers_are_errors_or_answers() {
    let whole = tar(&[("a", b'0', 0o644, b"1"), ("b", b'0', 0o644, &[7; 3000])]);
    for end in (1..whole.len() - 1024).filter(|end| end % 512 != 0 || *end == 1024).step_by(97) {
        let error = read(&[whole[..end].to_vec()], Limits::default()).err();
        assert!(error.is_some() || end % 512 == 0, "cut at {end}");
    }
    let mut broken = whole.clone();
    broken[10] ^= 1;
    assert!(read(&[broken], Limits::default()).unwrap_err().to_string().contains("checksum"));
    for (part, says) in [
        (("../x", b'0', 0o644, &b""[..]), "`..`"),
        (("x", b'S', 0o644, b""), "sparsely"),
        (("x", b'Z', 0o644, b""), "type is unknown"),
        (("x", b'x', 0o644, b"99 path=y\n"), "extended header is damaged"),
        (("x", b'g', 0o644, b"10 path=y\n"), "for all entries"),
        (("\u{1b}[2J..", b'S', 0o644, b""), "\\u{1b}[2J"),
        (("a/.wh.", b'0', 0o644, b""), "whiteout of nothing"),
    ] {
        let error = read(&[tar(&[part])], Limits::default()).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\u{1b}'), "{error}");
    }
    let few = Limits { entries: 3, ..Limits::default() };
    let many: Vec<_> = ["a", "b", "c", "d"].map(|name| (name, b'0', 0o644, &b""[..])).into();
    assert_eq!(read(&[tar(&many)], few).unwrap_err().to_string(), "the layer has more than 3 entries");
    let names = Limits { names: 2, ..Limits::default() };
    assert_eq!(read(&[tar(&many)], names).unwrap_err().to_string(), "the layer has more than 2 bytes of names");
    // A bomb: 64 MiB of zeros in 64 kB.
    let mut zeros = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
    (0..64).for_each(|_| zeros.write_all(&[0; 1 << 20]).unwrap());
    let bomb = Limits { free: 1 << 20, ratio: 100, ..Limits::default() };
    let error = read(&[zeros.finish().unwrap()], bomb).unwrap_err().to_string();
    assert!(error.contains("bytes when decompressed"), "{error}");
    // Links in a circle are links; a hard link to nothing is one.
    let links =
        tar(&[("a", b'2', 0o777, b"b"), ("b", b'2', 0o777, b"a"), ("c", b'1', 0o644, b"c"), ("n", b'3', 0, b"")]);
    let found = image(&[links]);
    assert_eq!((&*found["/a"], &*found["/c"], &*found["/n"]), ("symlink b", "hardlink c", "character device 0:0"));
}

#[test]
fn names_never_drive_the_terminal() {
    let old = read(&[tar(&[("x\u{1b}[2J|`y", b'0', 0o644, b"1")])], Limits::default()).unwrap().image();
    let new = read(&[tar(&[("x\u{1b}[2J|`y", b'2', 0o777, b"\x1b]0;t\x07|")])], Limits::default()).unwrap().image();
    let found = changes(&side(old), &side(new));
    for shown in [text(&found, false), markdown(&found, false), serde_json::to_string(&found).unwrap()] {
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown}");
    }
    assert!(markdown(&found, false).contains("``/x\\u{1b}[2J\\|`y``"), "{}", markdown(&found, false));
}

#[test]
fn packages_owners_and_sizes_come_from_dpkgs_lists() {
    let status = b"Package: one\nStatus: install ok installed\nVersion: 1+b2\nArchitecture: amd64\nSource: src (1)\n\n\
        Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n";
    let old = tar(&[
        ("bin", b'2', 0o777, b"usr/bin"),
        ("usr/bin/tool", b'0', 0o755, b"12345"),
        ("var/lib/dpkg/status", b'0', 0o644, status),
        ("var/lib/dpkg/info/one:amd64.list", b'0', 0o644, b"/.\n/bin\n/bin/tool\n"),
    ]);
    let new = tar(&[
        ("usr/bin/tool", b'0', 0o755, b"1234567"),
        ("var/lib/dpkg/status.d/one", b'0', 0o644, b"Package: one\nVersion: 2\nArchitecture: amd64\n"),
        ("var/lib/dpkg/status.d/one.md5sums", b'0', 0o644, b"0123456789abcdef0123456789abcdef  usr/bin/tool\n"),
    ]);
    let tree = |bytes| side(read(&[bytes], Limits::default()).unwrap().image());
    let (old, new) = (tree(old), tree(new));
    let package = &old.packages.as_ref().unwrap()[..];
    let [Package { name, version, source, source_version, .. }] = package else { panic!("{package:?}") };
    assert_eq!((&**name, &**version, &**source, &**source_version), ("one", "1+b2", "src", "1"));
    let found = changes(&old, &new);
    let change = &found.packages.changed[0];
    assert_eq!(change.before.as_ref().unwrap().size, Some(5), "as packages from before the merge of /usr call it");
    assert_eq!(change.after.as_ref().unwrap().size, Some(7));
    assert!(found.files.changed.iter().any(|file| file.path == "/usr/bin/tool" && file.fields == ["content"]));
}

/// The same with the sides exchanged.
fn mirrored(value: Value) -> Value {
    let other = |key: &str| {
        match key {
            "before" => "after",
            "after" => "before",
            "added" => "removed",
            "removed" => "added",
            "size_before" => "size_after",
            "size_after" => "size_before",
            key => key,
        }
        .to_owned()
    };
    match value {
        Value::Object(map) => map.into_iter().map(|(key, value)| (other(&key), mirrored(value))).collect(),
        Value::Array(list) => list.into_iter().map(mirrored).collect(),
        value => value,
    }
}

fn any_side() -> impl Strategy<Value = Side> {
    let node = prop_oneof![
        Just(Node::Directory),
        (0_u64..4, 0_u8..3).prop_map(|(size, of)| Node::File { size, sha256: Sha256::of(&[of]) }),
        "[ab]".prop_map(|to| Node::Symlink(to.into_bytes().into())),
    ];
    let entry = (node, 0_u16..2, 0_u32..2, proptest::option::of("[pq]")).prop_map(|(node, mode, uid, package)| Entry {
        node,
        mode,
        uid,
        gid: 0,
        xattrs: BTreeMap::new(),
        package: package.map(|package| package.into()),
        again: false,
    });
    let path = "(usr/share/zoneinfo/)?[A-D](/[a-c])?".prop_map(|path| RootPath::from_archive(path.as_bytes()).unwrap());
    let entries = proptest::collection::btree_map(path, entry, 0..12);
    let package = ("[p-s]", "[0-2]", "(amd64|all)").prop_map(|(name, version, architecture)| Package {
        source: name.clone(),
        source_version: version.clone(),
        name,
        architecture,
        version,
        deb: None,
    });
    let config = proptest::collection::btree_map("[ab]", "[cd]", 0..3);
    (entries, proptest::collection::vec(package, 0..5), config).prop_map(|(entries, mut packages, config)| {
        packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
        packages.dedup_by(|a, b| (&a.name, &a.architecture) == (&b.name, &b.architecture));
        let tree = Tree { entries, ..Tree::default() };
        Side { name: "side".into(), packages: Some(packages), tree: Some(tree), config: Some(config), variants: None }
    })
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(side in any_side()) {
        let found = changes(&side, &side);
        prop_assert!(found.equal && found.package_sizes.is_empty());
        prop_assert_eq!(text(&found, false), "side -> side: no change of content\n");
    }

    #[test]
    fn the_other_way_round_is_the_mirror(before in any_side(), after in any_side()) {
        let one = serde_json::to_value(changes(&before, &after)).unwrap();
        let other = serde_json::to_value(changes(&after, &before)).unwrap();
        prop_assert_eq!(mirrored(one), other);
    }

    #[test]
    fn damaged_tars_never_panic(at in 0_usize..4096, bit in 0_u8..8) {
        let mut bytes = tar(&[("a/", b'5', 0o755, b""), ("a/libx.so.1", b'0', 0o644, b"\x7fELF\x02\x01\x01"), ("l", b'1', 0o644, b"a/libx.so.1")]);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = read(&[bytes], Limits::default()).map(|trees| trees.layer());
    }
}
