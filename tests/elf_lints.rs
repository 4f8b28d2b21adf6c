//! Lints on libraries of a tree.

mod support;

use std::{collections::BTreeSet, sync::Arc};

use debstrata::{
    debian::Architecture,
    evidence::lints::{Finding, libraries},
    ground::{RootPath, Spanned},
    manifest::Missing,
    rootfs::{Attributes, Content, Entry, Node, Origin, PackageName, Rootfs},
};
use support::ElfBuilder;

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// A tree of files: path, package, bytes.
fn tree(files: &[(&str, &str, Vec<u8>)], links: &[(&str, &str)]) -> Rootfs {
    let mut tree = Rootfs::default();
    let mut add = |path: &str, package: &str, node| {
        let path = RootPath::from_absolute(path.as_bytes()).unwrap();
        for above in path.ancestors() {
            tree.entries.entry(above).or_insert_with(Entry::implied);
        }
        let name = PackageName { name: package.into(), version: "1".into(), architecture: "amd64".into() };
        let origin = Origin::Package(Arc::new(name));
        tree.entries.insert(path, Entry { node, attributes: Attributes::new(0o755, 0, 0), origin });
    };
    for (path, package, bytes) in files {
        add(path, package, Node::File { content: Content::from_bytes(bytes.clone()), group: None });
    }
    for (path, target) in links {
        add(path, "links", Node::Symlink(target.as_bytes().into()));
    }
    tree
}

fn architecture() -> Architecture {
    "amd64".parse().unwrap()
}

/// What is found of a tree whose every package is named.
fn missing(tree: &Rootfs, allowed: &[Missing]) -> Vec<Finding> {
    let named = ["app", "libc6"].map(str::to_owned).into();
    libraries::find(tree, architecture(), allowed, &[], &named).unwrap()
}

fn told(findings: Vec<Finding>) -> Vec<(String, String)> {
    findings.into_iter().map(|finding| (finding.lint.to_owned(), finding.subject)).collect()
}

fn library(soname: &str) -> ElfBuilder {
    ElfBuilder::library(soname)
}

#[test]
fn what_programs_cannot_load() {
    let program = ElfBuilder::program()
        .needed("libc.so.6")
        .needed("libhidden.so.1")
        .needed("libnone.so.1")
        .wants("libc.so.6", &["GLIBC_2.34", "GLIBC_2.99"]);
    // A plugin may count on what its program has loaded.
    let plugin = ElfBuilder::new().needed("libhidden.so.1").needed("libnone.so.2").dlopen("recommended", &["libno.so"]);
    let files = [
        ("/usr/bin/app", "app", program.build()),
        ("/usr/bin/other", "app", ElfBuilder::program().needed("libnone.so.1").build()),
        ("/usr/lib/app/plugin.so", "app", plugin.build()),
        ("/usr/lib/app/libhidden.so.1", "app", library("libhidden.so.1").build()),
        (&format!("{LIBRARIES}/libc.so.6"), "libc6", library("libc.so.6").defines(&["GLIBC_2.34"]).build()),
    ];
    let bare = tree(&files, &[]);
    let expected = [
        ("missing-library", "/lib64/ld-linux-x86-64.so.2"),
        ("missing-library", "libhidden.so.1"),
        ("missing-library", "libnone.so.1"),
        ("missing-library", "libnone.so.2"),
        ("missing-version", "GLIBC_2.99 of libc.so.6"),
    ];
    let owned =
        |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Vec<(String, String)>>();
    assert_eq!(told(missing(&bare, &[])), owned(&expected));
    let messages: Vec<_> = missing(&bare, &[]).into_iter().map(|finding| finding.message).collect();
    assert!(messages[2].starts_with("/usr/bin/app (of the package app 1 (amd64)) and 1 more files"), "{messages:?}");
    // Allowed ones, and what a link or ld.so.cache makes findable, are not told.
    let allowed = ["libnone.so.1", "libnone.so.2"]
        .map(|name| Missing { library: Spanned::new(name.into(), 0..0), reason: "plugin".into() });
    let conf = ("/etc/ld.so.conf", "libc6", b"/usr/lib/app\n".to_vec());
    let cache = ("/etc/ld.so.cache", "libc6", Vec::new());
    let all: Vec<_> = files.into_iter().chain([conf, cache]).collect();
    let mended = tree(&all, &[("/lib64", "usr/lib64"), ("/usr/lib64/ld-linux-x86-64.so.2", "../bin/app")]);
    assert_eq!(told(missing(&mended, &allowed)), owned(&expected[4..]));
}

#[test]
fn what_may_be_missing_and_is_not() {
    let program = ElfBuilder::program()
        .needed("libthere.so.1")
        .needed("libmine.so.1")
        .needed("libnone.so.1")
        .dlopen("required", &["libeither.so.1", "libor.so.1"]);
    let mut tree = tree(
        &[
            ("/usr/bin/app", "app", program.build()),
            (&format!("{LIBRARIES}/libthere.so.1"), "there", library("libthere.so.1").build()),
            (&format!("{LIBRARIES}/libmine.so.1"), "mine", library("libmine.so.1").build()),
        ],
        &[],
    );
    // Of the manifest's own files: a linked closure does not look at them.
    let mine = RootPath::from_absolute(format!("{LIBRARIES}/libmine.so.1").as_bytes()).unwrap();
    tree.entries.get_mut(&mine).unwrap().origin = Origin::Declared { tier: "app".into(), key: "files", span: 0..0 };
    let allow = |name: &str| Missing { library: Spanned::new(name.into(), 0..0), reason: "plugin".into() };
    for (name, idle) in [
        ("libnone.so.1", false),
        ("libor.so.1", false),
        ("libeither.so.1, libor.so.1", false),
        ("libmine.so.1", false),
        ("/lib64/ld-linux-x86-64.so.2", false),
        ("libthere.so.1", true),
        ("libnowhere.so.1", true),
    ] {
        let named = ["app", "there", "mine"].map(str::to_owned).into();
        let own = [allow(name)];
        let found = told(libraries::find(&tree, architecture(), &[], &own, &named).unwrap());
        let of =
            |lint: &str| found.iter().filter(|(one, _)| one == lint).map(|(_, of)| of.as_str()).collect::<Vec<_>>();
        assert_eq!(of("idle-allow-missing"), if idle { vec![name] } else { vec![] });
        // What is allowed is told no more, under any of several names.
        let told = of("missing-library").into_iter().any(|one| one.split(", ").any(|one| name.contains(one)));
        assert!(!told, "{name}: {found:?}");
        // A parent's are not judged here.
        assert!(missing(&tree, &own).iter().all(|finding| finding.lint != "idle-allow-missing"));
    }
}

#[test]
fn packages_whose_libraries_nobody_loads() {
    let at = |name: &str| format!("{LIBRARIES}/{name}");
    let (used, noted, idle, named) = (at("libused.so.1"), at("libnoted.so.1"), at("libidle.so.1"), at("libnamed.so.1"));
    let program = ElfBuilder::program().needed("libused.so.1").dlopen("suggested", &["libnoted.so.1"]);
    let tree = tree(
        &[
            ("/usr/bin/app", "app", program.build()),
            (&used, "used", library("libused.so.1").build()),
            (&noted, "noted", library("libnoted.so.1").build()),
            (&idle, "idle", library("libidle.so.1").needed("libidle-too.so.1").build()),
            (&at("libidle-too.so.1"), "idle", library("libidle-too.so.1").build()),
            (&named, "named", library("libnamed.so.1").build()),
            ("/usr/lib/plugins/libplugin.so.1", "plugins", library("libplugin.so.1").build()),
            ("/usr/lib/firmware/arm.elf", "firmware", ElfBuilder::new().machine(40, false, false, 0).build()),
        ],
        &[],
    );
    let named = BTreeSet::from(["named".to_owned()]);
    let mut found = told(libraries::find(&tree, architecture(), &[], &[], &named).unwrap());
    found.retain(|(lint, _)| lint == "unused-library");
    assert_eq!(found, [("unused-library".to_owned(), "idle".to_owned())]);
}

#[test]
fn a_malformed_file_is_a_finding() {
    let tree = tree(&[("/usr/lib/broken.so", "app", b"\x7fELF\x02\x01\x01 and nothing".to_vec())], &[]);
    assert_eq!(told(missing(&tree, &[])), [("malformed-elf".to_owned(), "/usr/lib/broken.so".to_owned())]);
}
