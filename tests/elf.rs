//! What is read in ELF files, where libraries are looked for, and what damaged files come to.

mod support;

use std::collections::BTreeMap;

use debstrata::{
    debian::Architecture,
    elf::{Asker, Bits, Elf, ElfError, Kind, Loader, Priority, Tree, missing_versions, read, read_bytes},
    ground::RootPath,
};
use proptest::prelude::*;
use support::ElfBuilder;

fn elf(builder: &ElfBuilder) -> Elf {
    read_bytes(&builder.build()).unwrap().unwrap()
}

fn texts(names: &[Box<[u8]>]) -> Vec<&str> {
    names.iter().map(|name| std::str::from_utf8(name).unwrap()).collect()
}

fn full() -> ElfBuilder {
    ElfBuilder::program()
        .needed("libc.so.6")
        .needed("libm.so.6")
        .runpath("$ORIGIN/../lib")
        .wants("libc.so.6", &["GLIBC_2.34", "GLIBC_2.38", "?GLIBC_ABI_DT_RELR"])
        .wants("libm.so.6", &["GLIBC_2.29"])
        .defines(&["APP_1", "APP_2"])
        .dlopen("required", &["libz.so.1"])
        .no_default_libraries()
}

#[test]
fn all_that_the_loader_reads_in_both_sizes_and_byte_orders() {
    for (machine, wide, big_endian) in [(62, true, false), (22, true, true), (3, false, false), (2, false, true)] {
        let elf = elf(&full().machine(machine, wide, big_endian, 0));
        assert_eq!((elf.abi.bits == Bits::Bits64, elf.abi.big_endian, elf.abi.machine), (wide, big_endian, machine));
        assert_eq!(elf.kind, Kind::Shared);
        assert!(elf.dynamic && elf.is_program() && elf.no_default_libraries);
        assert_eq!(elf.interpreter.as_deref(), Some(b"/lib64/ld-linux-x86-64.so.2".as_slice()));
        assert_eq!(texts(&elf.needed), ["libc.so.6", "libm.so.6"]);
        assert_eq!(elf.runpath.as_deref(), Some(b"$ORIGIN/../lib".as_slice()));
        assert_eq!((elf.rpath, elf.soname), (None, None));
        assert_eq!(texts(&elf.wants[0].names), ["GLIBC_2.34", "GLIBC_2.38"]);
        assert_eq!(texts(&elf.wants[0].weak), ["GLIBC_ABI_DT_RELR"]);
        assert_eq!(&*elf.wants[1].library, b"libm.so.6");
        assert_eq!(texts(&elf.defines), ["APP_1", "APP_2"]);
        assert_eq!(elf.dlopen.len(), 1);
        assert_eq!((elf.dlopen[0].priority, &*elf.dlopen[0].feature), (Priority::Required, "f"));
    }
}

#[test]
fn what_is_no_dynamic_file() {
    assert!(matches!(read_bytes(b""), Ok(None)));
    assert!(matches!(read_bytes(b"#!/bin/sh\n"), Ok(None)));
    let object = elf(&ElfBuilder::new().kind(1));
    assert_eq!((object.kind, object.dynamic), (Kind::Other, false));
    // A static program: no interpreter, nothing needed.
    let program = elf(&ElfBuilder::new().kind(2));
    assert!(program.is_program() && program.needed.is_empty() && program.interpreter.is_none());
}

#[test]
fn the_running_test_itself_is_read_and_not_much_of_it() {
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    let mut count = 0;
    let elf = read(bytes.len() as u64, |from, buffer| {
        count += buffer.len();
        buffer.copy_from_slice(&bytes[from as usize..from as usize + buffer.len()]);
        Ok(())
    });
    let elf = elf.unwrap().unwrap();
    assert!(elf.abi.is_native(Architecture::host().unwrap()));
    assert!(texts(&elf.needed).contains(&"libc.so.6"), "{elf:?}");
    assert!(elf.wants.iter().any(|wants| texts(&wants.names).iter().any(|name| name.starts_with("GLIBC_2."))));
    assert!(count < 1 << 20, "{count}");
}

#[test]
fn damage_is_told() {
    let good = full().build();
    for (name, bytes, expected) in [
        ("cut", good[..40].to_vec(), "header"),
        ("class", [&good[..4], &[9], &good[5..]].concat(), "class"),
        ("byte order", [&good[..5], &[9], &good[6..]].concat(), "version"),
        ("program headers", [&good[..32], &[0xff; 7], &good[39..]].concat(), "program headers"),
        ("dlopen", ElfBuilder::new().note(0x407c_0c0a, "FDO", b"{nonsense").build(), "JSON"),
        ("name", ElfBuilder::new().needed(&"n".repeat(5000)).build(), "4096"),
    ] {
        let error = read_bytes(&bytes).expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    let error = read(1 << 20, |_, _| Err(std::io::ErrorKind::PermissionDenied.into())).unwrap_err();
    assert!(matches!(error, ElfError::Unreadable(_)));
}

#[test]
fn huge_tables_are_refused_before_they_are_read() {
    // The dynamic segment (second program header) says that it is larger than any.
    let mut bytes = ElfBuilder::new().needed("libx.so").build();
    let size_at = 64 + 56 + 32;
    bytes[size_at..size_at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    assert!(matches!(read_bytes(&bytes), Err(ElfError::TooMuch { .. })));
}

proptest! {
    #[test]
    fn no_mutant_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), cut in any::<prop::sample::Index>(), whole in any::<bool>()) {
        let mut bytes = full().build();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read_bytes(&bytes);
    }

    #[test]
    fn no_mutant_of_a_real_head_panics(changes in prop::collection::vec((0usize..4096, any::<u8>()), 1..20)) {
        thread_local! {
            static OWN: Vec<u8> = std::fs::read("/proc/self/exe").unwrap();
        }
        OWN.with(|own| {
            let get = |at: usize| changes.iter().rev().find(|(place, _)| *place == at).map(|(_, value)| *value);
            let _ = read(own.len() as u64, |from, buffer| {
                for (number, byte) in buffer.iter_mut().enumerate() {
                    let at = from as usize + number;
                    *byte = get(at).or(own.get(at).copied()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
                }
                Ok(())
            });
        });
    }
}

#[derive(Default)]
struct Files {
    elves: BTreeMap<Vec<u8>, Elf>,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Tree for Files {
    fn link(&self, path: &[u8]) -> Option<&[u8]> {
        self.links.get(path).map(Vec::as_slice)
    }

    fn elf(&self, path: &[u8]) -> Option<&Elf> {
        self.elves.get(path)
    }
}

fn files(elves: &[(&str, ElfBuilder)], links: &[(&str, &str)]) -> Files {
    Files {
        elves: elves.iter().map(|(path, builder)| (path.as_bytes().to_vec(), elf(builder))).collect(),
        links: links.iter().map(|(path, target)| (path.as_bytes().to_vec(), target.as_bytes().to_vec())).collect(),
    }
}

fn path(text: &str) -> RootPath {
    RootPath::from_absolute(text.as_bytes()).unwrap()
}

#[test]
fn folders_in_the_loaders_order() {
    let library = || ElfBuilder::library("libx.so.1");
    let triplet = "x86_64-linux-gnu";
    let places = ["opt/r", "opt/up", "opt/app/lib", "etc/conf", "usr/lib/x86_64-linux-gnu", "usr/lib"];
    let all: Vec<_> = places.map(|place| (format!("{place}/libx.so.1"), library())).into();
    let all: Vec<_> = all.iter().map(|(name, builder)| (name.as_str(), builder.clone())).collect();
    let links = [("lib", "usr/lib")];
    let mut loader = Loader::of(triplet);
    loader.configured = vec![b"/etc/conf".to_vec()];
    let asker_path = path("/opt/app/bin/app");
    let above = elf(&ElfBuilder::program().rpath("/opt/up"));
    let above_path = path("/opt/other/app");
    for (builder, without, expected) in [
        (ElfBuilder::program().rpath("/opt/r"), 0, Some("/opt/r/libx.so.1")),
        (ElfBuilder::program(), 0, Some("/opt/up/libx.so.1")),
        (ElfBuilder::program().rpath("/opt/r").runpath("${ORIGIN}/../lib"), 0, Some("/opt/app/lib/libx.so.1")),
        (ElfBuilder::program().runpath("/usr/$LIB"), 2, Some("/usr/lib/x86_64-linux-gnu/libx.so.1")),
        (ElfBuilder::program().runpath("$UNKNOWN/lib:relative:"), 2, Some("/etc/conf/libx.so.1")),
        (ElfBuilder::program().runpath("/none"), 4, Some("/usr/lib/x86_64-linux-gnu/libx.so.1")),
        (ElfBuilder::program().runpath("/none"), 5, Some("/usr/lib/libx.so.1")),
        (ElfBuilder::program().runpath("/none").no_default_libraries(), 4, None),
        (ElfBuilder::program().runpath("/none"), 6, None),
    ] {
        let tree = files(&all[without..], &links);
        let asking = elf(&builder);
        let asker = Asker { elf: &asking, path: &asker_path, above: &[(&above, &above_path)] };
        let found = loader.search(&tree, &asker, b"libx.so.1").map(|found| found.real.to_string());
        assert_eq!(found.as_deref(), expected, "{builder:?} {without}");
    }
}

#[test]
fn other_machines_are_passed_over_and_links_followed() {
    let tree = files(
        &[
            ("usr/lib/x86_64-linux-gnu/libx.so.1", ElfBuilder::library("libx.so.1").machine(3, false, false, 0)),
            ("usr/lib/libx.so.1.2", ElfBuilder::library("libx.so.1")),
            ("usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libx.so.1", ElfBuilder::library("libx.so.1")),
        ],
        &[("usr/lib/libx.so.1", "libx.so.1.2"), ("lib", "usr/lib")],
    );
    let program = elf(&ElfBuilder::program());
    let at = path("/usr/bin/app");
    let asker = Asker { elf: &program, path: &at, above: &[] };
    let mut loader = Loader::of("x86_64-linux-gnu");
    let found = loader.search(&tree, &asker, b"libx.so.1").unwrap();
    assert_eq!((found.path, found.real), (path("/usr/lib/libx.so.1"), path("/usr/lib/libx.so.1.2")));
    // A processor that can use them has them first.
    loader.hwcaps = vec![b"x86-64-v3".to_vec()];
    let found = loader.search(&tree, &asker, b"libx.so.1").unwrap();
    assert!(found.real.to_string().contains("x86-64-v3"));
    assert!(loader.search(&tree, &asker, b"/usr/lib/libx.so.1").is_some());
    assert!(loader.search(&tree, &asker, b"usr/lib/libx.so.1").is_none(), "seen from the current folder");
}

#[test]
fn versions_that_a_library_lacks() {
    let program = elf(&full());
    let library = elf(&ElfBuilder::library("libc.so.6").defines(&["GLIBC_2.34"]));
    assert_eq!(missing_versions(&program, b"libc.so.6", &library), [b"GLIBC_2.38"]);
    // musl's has none at all, and is never refused for that.
    let musl = elf(&ElfBuilder::library("libc.so.6"));
    assert!(missing_versions(&program, b"libc.so.6", &musl).is_empty());
}
