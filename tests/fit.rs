//! `fit`: which tiers can run a file, what the others lack, and the manifest that helps.

mod support;
#[allow(dead_code)]
#[path = "scenarios/world.rs"]
mod world;

use std::{
    fs,
    path::{Path, PathBuf},
};

use debstrata::{
    elf,
    evidence::fit::{Layer, Subject, tabulate},
    ground::{RootPath, Sha256},
    rootfs::{Attributes, Content, Entry, Node, Origin, Rootfs},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    support::{DebBuilder, ElfBuilder},
    world::{Run, World, files},
};

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

fn library(package: &str, file: &str, elf: &ElfBuilder) -> DebBuilder {
    DebBuilder::new(package, "1").file(format!("{LIBRARIES}/{file}"), 0o644, elf.build())
}

fn libc() -> DebBuilder {
    let libc = ElfBuilder::library("libc.so.6").defines(&["GLIBC_2.34"]).gives(&["puts@"]);
    library("libc6", "libc.so.6", &libc)
        .file("/usr/lib64/ld-linux-x86-64.so.2", 0o755, ElfBuilder::library("ld-linux-x86-64.so.2").build())
        .symlink("/lib64", "usr/lib64")
}

/// libc6 in `base`; libfoo1 in `foo`; a shell and Perl in `shell`, with env, which needs libfoo1 and so is
/// of no use there. The archive has libbar2 and python3 as well.
fn world() -> World {
    let first = ElfBuilder::library("libfoo.so.1").needed("libc.so.6").gives(&["foo"]);
    let second = ElfBuilder::library("libbar.so.2").needed("libfoo.so.1");
    let program =
        |name: &str, elf: ElfBuilder| DebBuilder::new(name, "1").file(format!("/usr/bin/{name}"), 0o755, elf.build());
    let world = World::new(
        [
            libc(),
            library("libfoo1", "libfoo.so.1", &first),
            library("libbar2", "libbar.so.2", &second).depends("libfoo1"),
            program("dash", ElfBuilder::program().needed("libc.so.6")).symlink("/usr/bin/sh", "dash"),
            program("perl", ElfBuilder::program().needed("libc.so.6")),
            program("env", ElfBuilder::program().needed("libfoo.so.1")),
            program("python3", ElfBuilder::program().needed("libc.so.6")),
            DebBuilder::new("usrmerge", "1").symlink("/bin", "usr/bin"),
        ],
        &[
            ("base", "packages = ['libc6']\ndependencies = 'none'"),
            ("foo", "parent = 'base'\npackages = ['libfoo1']\ndependencies = 'none'"),
            ("shell", "parent = 'base'\npackages = ['dash', 'perl', 'env', 'usrmerge']\ndependencies = 'none'"),
        ],
    );
    world.build();
    world
}

fn binary(world: &World, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = world.path(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn fit(world: &World, path: &Path, more: &[&str]) -> Run {
    let mut arguments = vec!["fit", path.to_str().unwrap(), "--arch", "amd64", "--offline"];
    arguments.extend(more);
    world.run(&arguments)
}

/// What each tier lacks: kind, name, package.
fn told(world: &World, name: &str, bytes: impl AsRef<[u8]>, more: &[&str]) -> Value {
    let path = binary(world, name, bytes);
    let run = fit(world, &path, &[more, &["--json"]].concat());
    let answer: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr));
    assert_eq!(answer[0]["binary"], path.to_str().unwrap());
    let mut all = serde_json::Map::new();
    for (tier, verdict) in answer[0]["tiers"].as_object().unwrap() {
        let missing = verdict["missing"].as_array().unwrap();
        assert_eq!(verdict["fits"], missing.is_empty());
        let one = |missing: &Value| {
            let text = |key: &str| missing[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", text("kind"), text("name"), text("package"))
        };
        all.insert(tier.clone(), missing.iter().map(one).collect());
    }
    let fits = all.values().any(|missing| missing == &json!([]));
    assert_eq!(run.status, Some(if fits { 0 } else { 1 }), "{}", run.stderr);
    Value::Object(all)
}

#[test]
fn libraries_versions_and_symbols() {
    let world = world();
    let program = || ElfBuilder::program().needed("libc.so.6");
    let everywhere = json!({"test/base": [], "test/foo": [], "test/shell": []});
    let nowhere = |what: &str| json!({"test/base": [what], "test/foo": [what], "test/shell": [what]});
    let lacks_one = "library libfoo.so.1 libfoo1";
    for (program, expected) in [
        (program().wants("libc.so.6", &["?GLIBC_2.99", "GLIBC_2.34"]).uses(&["puts@"]), everywhere.clone()),
        (program().wants("libc.so.6", &["GLIBC_2.99"]).uses(&["puts@"]), nowhere("symbol GLIBC_2.99 -")),
        (program().wants("libc.so.6", &["GLIBC_2.34"]).uses(&["gets@"]), nowhere("symbol gets@GLIBC_2.34 -")),
        (program().needed("libfoo.so.1"), json!({"test/base": [lacks_one], "test/foo": [], "test/shell": [lacks_one]})),
        (
            program().needed("libfoo.so.1").uses(&["foo", "food"]),
            json!({"test/base": [lacks_one], "test/foo": ["symbol food -"], "test/shell": [lacks_one]}),
        ),
        // The version is asked of the library of another tier too.
        (program().needed("libbar.so.2"), nowhere("library libbar.so.2 libbar2")),
        (program().needed("libnone.so.1"), nowhere("library libnone.so.1 -")),
        (
            ElfBuilder::program().interpreter("/lib/ld-musl-x86_64.so.1"),
            nowhere("interpreter /lib/ld-musl-x86_64.so.1 -"),
        ),
        // The interpreter of another machine.
        (
            ElfBuilder::program().interpreter("/lib/ld-linux.so.2").machine(3, false, false, 0),
            nowhere("interpreter /lib/ld-linux.so.2 -"),
        ),
        (ElfBuilder::new().kind(2).machine(183, true, false, 0), nowhere("architecture arm64 -")),
        (
            ElfBuilder::new().kind(2).machine(8, false, true, 0),
            nowhere("architecture machine 8 (MIPS, 32 bits, big-endian) -"),
        ),
        // Static ones: at a fixed address, and anywhere.
        (ElfBuilder::new().kind(2), everywhere.clone()),
        (ElfBuilder::new(), everywhere.clone()),
        // A library is loaded by a program of the tier.
        (ElfBuilder::library("libmine.so").needed("libc.so.6"), everywhere.clone()),
    ] {
        assert_eq!(told(&world, "app", program.build(), &[]), expected, "{program:?}");
    }
}

#[test]
fn machines_that_no_tier_is_of() {
    let world = world();
    for (program, machine, lacks) in [
        (
            ElfBuilder::program().interpreter("/lib/ld.so.1").machine(8, false, true, 0),
            "machine 8 (MIPS, 32 bits, big-endian)",
            "architecture machine 8 (MIPS, 32 bits, big-endian)",
        ),
        // As loaders of amd64 are called.
        (ElfBuilder::program().machine(22, true, true, 0), "s390x", "interpreter /lib64/ld-linux-x86-64.so.2"),
        (
            ElfBuilder::program().machine(0xfff0, true, false, 0),
            "machine 65520 (64 bits, little-endian)",
            "architecture machine 65520 (64 bits, little-endian)",
        ),
        // The right machine with addresses of another size.
        (
            ElfBuilder::new().kind(2).machine(62, false, false, 0),
            "machine 62 (x86-64, 32 bits, little-endian)",
            "architecture machine 62 (x86-64, 32 bits, little-endian)",
        ),
    ] {
        let path = binary(&world, "app", program.build());
        for more in [&[][..], &["--arch", "amd64"]] {
            let ask = |end: &[&str]| world.run(&[&["fit", path.to_str().unwrap(), "--offline"], more, end].concat());
            let run = ask(&[]).exits(1);
            run.prints(&[&format!(", {machine})"), "no tier is of its machine; asked are those of amd64", lacks]);
            let answer: Value = serde_json::from_str(&ask(&["--json"]).exits(1).stdout).unwrap();
            assert_eq!((&answer[0]["machine"], &answer[0]["best"]), (&json!(machine), &Value::Null));
        }
    }
}

#[test]
fn libraries_beside_the_program() {
    let world = World::new(
        [
            libc(),
            DebBuilder::new("app-data", "1").file(
                "/opt/app/lib/libapp.so",
                0o644,
                ElfBuilder::library("libapp.so").build(),
            ),
        ],
        &[("base", "packages = ['libc6', 'app-data']\ndependencies = 'none'")],
    );
    world.build();
    let program = ElfBuilder::program().needed("libapp.so").runpath("$ORIGIN/../lib").build();
    assert_eq!(told(&world, "app", &program, &[]), json!({"test/base": ["library libapp.so -"]}));
    assert_eq!(told(&world, "app", &program, &["--at", "/opt/app/bin"]), json!({"test/base": []}));
    fit(&world, &world.path("app"), &["--at", "opt"]).exits(2).says(&["no folder inside a tier"]);
}

#[test]
fn scripts() {
    let world = world();
    for (line, shell) in [
        ("#!/bin/sh\n", json!([])),
        ("#! /usr/bin/perl -w\n", json!([])),
        ("#!/bin/sh\r\n", json!(["interpreter /bin/sh\\r -"])),
        ("#!sh\n", json!(["interpreter sh -"])),
        ("#!\n", json!(["interpreter (none) -"])),
        ("#!/usr/bin/python3\n", json!(["interpreter /usr/bin/python3 python3"])),
        // env itself lacks a library, and does not find Python either.
        ("#!/usr/bin/env python3\n", json!(["interpreter python3 python3", "library libfoo.so.1 libfoo1"])),
        ("#!/usr/bin/env -S perl -w\n", json!(["library libfoo.so.1 libfoo1"])),
        ("#!/usr/bin/env perl -w\n", json!(["interpreter perl -w -", "library libfoo.so.1 libfoo1"])),
    ] {
        let told = told(&world, "script", line, &[]);
        assert_eq!(told["test/shell"], shell, "{line}");
        assert_ne!(told["test/base"], json!([]), "{line}");
    }
    // In words: which of the tier's own files lacks it.
    let run = fit(&world, &binary(&world, "script", "#!/usr/bin/env perl\n"), &["--tier", "shell"]).exits(1);
    run.prints(&["(script, amd64)", "library libfoo.so.1, for /usr/bin/env: package libfoo1"]);
}

#[test]
fn a_manifest_that_helps() {
    let world = world();
    let app = binary(&world, "app", ElfBuilder::program().needed("libc.so.6").needed("libbar.so.2").build());
    let run = fit(&world, &app, &[]).exits(1);
    run.prints(&[
        "does not fit test/base test/foo test/shell",
        "library libbar.so.2: package libbar2",
        "parent = \"base\"",
    ]);
    assert!(!world.project.file("mine.toml").exists());
    fit(&world, &app, &["--new", "test/mine"]).exits(1).prints(&["mine.toml", "packages = [\"libbar2\"]"]);
    let manifest = fs::read_to_string(world.project.file("mine.toml")).unwrap();
    let expected =
        "summary = \"What app needs\"\nparent = \"base\"\npackages = [\"libbar2\"]\ndependencies = \"linked\"\n";
    assert_eq!(manifest, expected);
    fit(&world, &app, &["--new", "test/mine"]).exits(2).says(&["mine.toml", "there already"]);
    assert_eq!(fs::read_to_string(world.project.file("mine.toml")).unwrap(), expected);
    // As it stands, it works.
    world.run(&["lock"]).exits(0);
    let run = world.run(&["fit", app.to_str().unwrap(), "--arch", "amd64", "--tier", "mine"]).exits(0);
    run.prints(&["fits test/mine"]);
    // Two files: what both need.
    let other = binary(&world, "other", ElfBuilder::program().needed("libfoo.so.1").build());
    let arguments =
        ["fit", app.to_str().unwrap(), other.to_str().unwrap(), "--arch", "amd64", "--tier", "base", "--new", "both"];
    world.run(&arguments).exits(1);
    let both = fs::read_to_string(world.project.file("both.toml")).unwrap();
    assert!(both.contains("packages = [\"libbar2\", \"libfoo1\"]") && both.contains("app and 1 more"), "{both}");
}

#[test]
fn tiers_whose_lock_is_stale_are_left_out_with_a_warning() {
    let world = world();
    let app = binary(&world, "app", ElfBuilder::program().needed("libfoo.so.1").build());
    fit(&world, &app, &["--new", "test/own"]).exits(0);
    let other = binary(&world, "other", ElfBuilder::program().needed("libc.so.6").build());
    let run = fit(&world, &other, &[]).exits(0).prints(&["fits test/base test/foo test/shell\n"]);
    run.says(&["not all tiers are judged", "debstrata.lock does not fit the manifests: new: own (amd64)"]);
    fit(&world, &other, &["--tier", "base"]).exits(0);
    fit(&world, &other, &["--tier", "own"]).exits(2).says(&["does not fit the manifests"]);
    // Children of what changed changed with it.
    fs::remove_file(world.project.file("own.toml")).unwrap();
    world.project.write("foo.toml", "parent = 'base'\npackages = ['libbar2']\ndependencies = 'none'");
    fit(&world, &other, &[]).exits(0).prints(&["fits test/base test/shell\n"]).says(&["changed: foo (amd64)"]);
    world.project.write("base.toml", "packages = ['libc6', 'python3']\ndependencies = 'none'");
    fit(&world, &other, &[]).exits(2).says(&["does not fit the manifests"]);
}

#[test]
fn names_that_no_tier_can_have() {
    let world = world();
    let app = binary(&world, "app", ElfBuilder::program().needed("libnone.so.1").build());
    for (name, says) in [
        ("archive", "is no name for a tier"),
        ("../x", "no distribution is called"),
        ("test/A b", "is no name for a tier"),
        ("test/.x", "is no name for a tier"),
        ("nowhere/x", "no distribution is called"),
        ("test/base", "is there already"),
        ("test/new", "no package is known"),
    ] {
        fit(&world, &app, &["--new", name]).exits(2).says(&[says]);
    }
    assert!(!world.project.file("new.toml").exists());
    fit(&world, &app, &["--tier", "bose"]).exits(2).says(&["did you mean base?"]);
}

#[test]
fn what_is_no_program() {
    let world = world();
    let good = ElfBuilder::program().needed("libc.so.6").build();
    let name = "wild\u{1b}[2Jname";
    for (bytes, says) in [
        (b"just text\n".to_vec(), "neither an ELF file nor a script"),
        (Vec::new(), "neither an ELF file nor a script"),
        (good[..40].to_vec(), "no loader would take it"),
        (good[..good.len() / 2].to_vec(), "no loader would take it"),
        (ElfBuilder::new().kind(1).build(), "neither a program nor a shared library"),
        (b"\x7fELF text that begins so".to_vec(), "no loader would take it"),
    ] {
        let path = binary(&world, name, bytes);
        let run = fit(&world, &path, &[]).exits(2).says(&[says]);
        assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    }
    fit(&world, &world.path("none"), &[]).exits(2).says(&["cannot be read"]);
    fit(&world, world.project.path(), &[]).exits(2).says(&["cannot be read", "no regular file"]);
    // A library's name is printed as harmlessly.
    let path = binary(&world, "app", ElfBuilder::program().needed("lib\u{1b}[31mx.so").build());
    let run = fit(&world, &path, &[]).exits(1).prints(&["library lib\\u{1b}[31mx.so"]);
    assert!(!run.stdout.contains('\u{1b}'));
}

#[test]
fn damaged_tables_are_made_anew() {
    let world = world();
    let program = ElfBuilder::program().needed("libfoo.so.1").needed("libc.so.6").uses(&["foo", "puts"]).build();
    let expected = told(&world, "app", &program, &[]);
    assert_eq!(expected["test/foo"], json!([]));
    let tables = files(&world.path("cache/derived/fit"));
    assert_eq!(tables.len(), 3);
    for damage in [
        (|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2)) as fn(&mut Vec<u8>),
        |bytes| bytes[3] ^= 1,
        |bytes| bytes[70] ^= 1,
        |bytes| *bytes.last_mut().unwrap() ^= 1,
        |bytes| bytes.fill(0),
        |bytes| bytes.clear(),
    ] {
        for table in &tables {
            let mut bytes = fs::read(table).unwrap();
            damage(&mut bytes);
            fs::remove_file(table).unwrap();
            fs::write(table, bytes).unwrap();
        }
        assert_eq!(told(&world, "app", &program, &[]), expected);
    }
    // Whole ones are read, and nothing is composed: not even the packages are there.
    fs::remove_dir_all(world.path("cache/derived/unpacked")).unwrap();
    fs::remove_dir_all(world.path("cache/downloads")).unwrap();
    assert_eq!(told(&world, "app", &program, &[]), expected);
}

/// A layer of one library, as the cache keeps it.
fn table() -> Vec<u8> {
    let library = ElfBuilder::library("libfoo.so.1").needed("libc.so.6").gives(&["a", "b"]).uses(&["c"]);
    let root = Entry::implied();
    let entry = Entry {
        node: Node::File { content: Content::from_bytes(library.build()), group: None },
        attributes: Attributes::new(0o755, 0, 0),
        origin: Origin::Implied,
    };
    let path = RootPath::from_absolute(b"/libfoo.so.1").unwrap();
    let changes = vec![(RootPath::root(), root), (path, entry)];
    let tree = Rootfs { entries: changes.iter().cloned().collect() };
    tabulate(&changes, &tree, None, "amd64".parse().unwrap()).unwrap()
}

fn reading(bytes: &[u8]) -> impl FnMut(u64, &mut [u8]) -> std::io::Result<()> + '_ {
    |at, buffer| {
        let there = usize::try_from(at).ok().and_then(|at| bytes.get(at..)?.get(..buffer.len()));
        buffer.copy_from_slice(there.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), cut in any::<prop::sample::Index>(), whole in any::<bool>()) {
        let elf = ElfBuilder::program().needed("libc.so.6").wants("libc.so.6", &["GLIBC_2.34"]);
        let elf = elf.defines(&["OWN_1"]).uses(&["puts@", "gets"]).gives(&["mine@"]).build();
        for mut bytes in [elf, table()] {
            for (at, byte) in &edits {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = Subject::read(bytes.len() as u64, reading(&bytes), "x");
            let _ = elf::symbols(bytes.len() as u64, reading(&bytes));
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, &bytes).unwrap();
            let _ = Layer::open(file);
        }
    }
}

#[test]
fn mutants_of_a_real_program() {
    let program = fs::read(env!("CARGO_BIN_EXE_debstrata")).unwrap();
    let whole = elf::symbols(program.len() as u64, reading(&program)).unwrap();
    assert!(whole.wanted.iter().any(|symbol| &*symbol.name == b"memcpy"), "{} symbols", whole.wanted.len());
    assert!(whole.wanted.iter().all(|symbol| !symbol.name.is_empty()));
    // Headers, and the tables behind them, lie at the start.
    let mut state = Sha256::of(b"start");
    for _ in 0..300 {
        let mut edits = Vec::new();
        for part in state.as_bytes().chunks_exact(4) {
            let at = usize::from(part[0]) << 8 | usize::from(part[1]);
            // Half of them in the header and the segments.
            edits.push((if part[3] & 1 == 0 { at % 1024 } else { at }, part[2]));
        }
        let read = |at: u64, buffer: &mut [u8]| {
            reading(&program)(at, buffer)?;
            for (place, byte) in &edits {
                if let Some(offset) = place.checked_sub(at as usize).filter(|offset| *offset < buffer.len()) {
                    buffer[offset] = *byte;
                }
            }
            Ok(())
        };
        let _ = Subject::read(program.len() as u64, read, "x");
        let _ = elf::symbols(program.len() as u64, read);
        state = Sha256::of(state.as_bytes());
    }
}
