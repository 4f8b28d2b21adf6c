//! `build` where nothing goes wrong, and what it does when asked again.

use std::fs;

use debstrata::ground::Sha256;

use crate::{
    support::Fault,
    world::{World, files, package, written},
};

#[test]
fn the_first_build_locks_fetches_and_writes_everything() {
    let world = World::small();
    let run = world.build().says(&["debstrata.lock: there is no lock yet", "fetching 2 packages"]);
    assert_eq!(world.locked(), ["greeting 1.0", "hello 1.0"]);
    let head = run.stdout.lines().next().unwrap();
    assert_eq!(
        head.split_whitespace().collect::<Vec<_>>(),
        ["tier", "arch", "packages", "entries", "size", "tar.gz", "diff_id"]
    );
    assert_eq!(run.stdout.lines().count(), 3, "{}", run.stdout);
    assert_eq!(
        world.layer("base").keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "./",
            "usr/",
            "usr/share/",
            "usr/share/hello/",
            "usr/share/hello/file",
            "var/",
            "var/lib/",
            "var/lib/dpkg/",
            "var/lib/dpkg/status.d/",
            "var/lib/dpkg/status.d/hello",
        ]
    );
    assert_eq!(world.layer("base")["usr/share/hello/file"], "file 0644 0:0 hello 1.0");
    // `sha256sum -c` would find every file as it is.
    let sums = fs::read_to_string(world.out("SHA256SUMS")).unwrap();
    let named: Vec<_> = sums.lines().map(|line| line.split_once("  ").unwrap()).collect();
    assert_eq!(
        named.iter().map(|(_, name)| *name).collect::<Vec<_>>(),
        ["test/amd64/base.tar.gz", "test/amd64/top.tar.gz"]
    );
    for (digest, name) in named {
        assert_eq!(Sha256::of(&fs::read(world.out(name)).unwrap()).to_string(), digest);
    }
    assert_eq!(files(&world.out("")).len(), 3);
}

#[test]
fn json_has_what_the_table_has() {
    let world = World::small();
    let run = world.run(&["build", "--json", "--format", "tar,tar.zst"]).exits(0);
    let built = run.json();
    let top = &built[1];
    assert_eq!(
        (&top["distribution"], &top["tier"], &top["architecture"], &top["packages"]),
        (&"test".into(), &"top".into(), &"amd64".into(), &1.into())
    );
    assert!(world.lock().contains(top["diff_id"].as_str().unwrap()));
    let tar = fs::read(world.out("test/amd64/top.tar")).unwrap();
    assert_eq!(top["diff_id"], format!("sha256:{}", Sha256::of(&tar)));
    assert_eq!(top["size"], tar.len());
    let outputs = top["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 2);
    for output in outputs {
        let bytes = fs::read(world.out(output["name"].as_str().unwrap())).unwrap();
        assert_eq!(output["size"], bytes.len());
        assert_eq!(output["digest"], Sha256::of(&bytes).to_string());
    }
}

#[test]
fn a_second_build_does_nothing() {
    let world = World::small();
    let first = world.build();
    let outputs = files(&world.path("out"));
    let before: Vec<_> = outputs.iter().chain([&world.lock_path()]).map(|path| written(path)).collect();
    let asked = world.asked();
    let second = world.build();
    assert_eq!(outputs.iter().chain([&world.lock_path()]).map(|path| written(path)).collect::<Vec<_>>(), before);
    assert_eq!(world.asked(), asked);
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(second.stderr, "");
}

#[test]
fn outputs_that_are_not_what_they_were_are_made_again_without_the_network() {
    let world = World::small();
    world.build();
    let asked = world.asked();
    let first = world.snapshot(&["cache"]);
    let base = world.out("test/amd64/base.tar.gz");
    let spoil: [(&str, &dyn Fn()); 6] = [
        ("deleted", &|| fs::remove_file(&base).unwrap()),
        ("altered", &|| {
            let mut bytes = fs::read(&base).unwrap();
            bytes[20] ^= 1;
            fs::write(&base, bytes).unwrap();
        }),
        ("cut short", &|| fs::write(&base, b"").unwrap()),
        ("all outputs deleted", &|| fs::remove_dir_all(world.path("out")).unwrap()),
        ("derived data deleted", &|| {
            fs::remove_dir_all(world.path("cache/derived")).unwrap();
            fs::remove_dir_all(world.path("out")).unwrap();
        }),
        ("SHA256SUMS deleted", &|| fs::remove_file(world.out("SHA256SUMS")).unwrap()),
    ];
    for (what, spoil) in spoil {
        spoil();
        assert_ne!(world.snapshot(&["cache"]), first, "{what}");
        world.build();
        assert_eq!(world.snapshot(&["cache"]), first, "{what}");
    }
    assert_eq!(world.asked(), asked);
}

#[test]
fn a_new_cache_and_another_folder_give_equal_bytes() {
    let world = World::small();
    world.build();
    let elsewhere = tempfile::tempdir().unwrap();
    let (cache, output) = (elsewhere.path().join("c"), elsewhere.path().join("o/p"));
    let arguments = ["build", "--locked", "--cache", cache.to_str().unwrap(), "--output", output.to_str().unwrap()];
    world.run(&arguments).exits(0);
    for name in ["SHA256SUMS", "test/amd64/base.tar.gz", "test/amd64/top.tar.gz"] {
        assert_eq!(fs::read(output.join(name)).unwrap(), fs::read(world.out(name)).unwrap(), "{name}");
    }
}

#[test]
fn one_tier_brings_its_parents_and_no_others() {
    let world = World::new(
        [package("a", "1"), package("b", "1"), package("c", "1")],
        &[
            ("root", "packages = ['a']"),
            ("left", "parent = 'root'\npackages = ['b']"),
            ("right", "parent = 'root'\npackages = ['c']"),
        ],
    );
    world.run(&["build", "test/left"]).exits(0);
    assert!(world.out("test/amd64/root.tar.gz").exists());
    assert!(world.out("test/amd64/left.tar.gz").exists());
    assert!(!world.out("test/amd64/right.tar.gz").exists());
    // The lock is of the whole distribution all the same; what is not built has no output in it.
    assert_eq!(world.locked(), ["a 1", "b 1", "c 1"]);
    assert_eq!(world.fetched("c"), 0);
    assert!(!world.lock().contains("right = {"));
    world.run(&["build", "right"]).exits(0);
    assert_eq!(fs::read_to_string(world.out("SHA256SUMS")).unwrap().lines().count(), 3);
    assert!(world.lock().contains("left = {") && world.lock().contains("right = {"));
}

#[test]
fn offline_builds_what_the_cache_holds() {
    let world = World::small();
    // Nothing there at all: not even what to lock.
    world.run(&["build", "--offline"]).exits(3).says(&["trixie/InRelease", "--offline"]);
    assert_eq!(world.asked(), 0);
    assert!(!world.lock_path().exists());
    // Locked, but the packages are not there.
    world.run(&["lock"]).exits(0);
    let asked = world.asked();
    world.run(&["build", "--offline"]).exits(3).says(&["hello 1.0", "greeting 1.0", "not in the cache", "--offline"]);
    world.run(&["lock", "--upgrade", "--offline"]).exits(0);
    assert_eq!(world.asked(), asked);
    assert_eq!(files(&world.path("out")), [] as [&std::path::Path; 0]);
    // All there.
    world.build();
    fs::remove_dir_all(world.path("out")).unwrap();
    let asked = world.asked();
    world.run(&["build", "--offline"]).exits(0);
    fs::remove_file(world.lock_path()).unwrap();
    world.run(&["build", "--offline"]).exits(0);
    assert_eq!(world.asked(), asked);
}

#[test]
fn a_transfer_that_fails_once_is_no_failure() {
    for fault in [Fault::Truncate(100), Fault::HangUp, Fault::Status(503)] {
        let world = World::small();
        world.server.fault(&crate::world::pool(world.deb("hello")), fault.clone());
        world.build();
        assert_eq!(world.fetched("hello"), 2, "{fault:?}");
    }
}

#[test]
fn source_date_epoch_is_every_mtime() {
    let world = World::small();
    let usual = world.run(&["build", "base", "--json"]).exits(0).json();
    let epoch = [("SOURCE_DATE_EPOCH", "1700000000")];
    let dated = world.run_with(&["build", "base", "--json", "--format", "tar"], &epoch).exits(0).json();
    assert_ne!(dated[0]["diff_id"], usual[0]["diff_id"]);
    let tar = fs::read(world.out("test/amd64/base.tar")).unwrap();
    for entry in tar::Archive::new(&*tar).entries().unwrap() {
        assert_eq!(entry.unwrap().header().mtime().unwrap(), 1_700_000_000);
    }
    // The archive's own timestamp says the same in another way.
    world.edit_archive("1970-01-01T00:00:00Z", "2023-11-14T22:13:20Z");
    let same = world.run(&["build", "base", "--json", "--format", "tar"]).exits(0).json();
    assert_eq!(same[0]["diff_id"], dated[0]["diff_id"]);
    for wrong in ["yesterday", "-1", "99999999999999"] {
        let epoch = [("SOURCE_DATE_EPOCH", wrong)];
        world.run_with(&["build"], &epoch).exits(2).says(&["SOURCE_DATE_EPOCH", wrong]);
    }
}

#[test]
fn an_unknown_format_is_named_with_the_known_ones() {
    let world = World::small();
    world
        .run(&["build", "--format", "tar.bz2"])
        .exits(2)
        .says(&["\"tar.bz2\" is no format", "formats are tar, tar.gz, tar.zst"]);
}
