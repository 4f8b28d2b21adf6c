//! `bundle` and `--bundle`: all that a build needs in one file.

use std::{fs, path::Path};

use crate::world::{World, files};

/// A project with a file of its own beside the manifests, built, and its bundle.
fn bundled() -> World {
    let world = World::small();
    fs::create_dir_all(world.path("data")).unwrap();
    fs::write(world.path("data/motd"), "welcome\n").unwrap();
    world.edit("top.toml", "packages", "files = [{ path = \"/etc/motd\", source = \"../../data/motd\" }]\npackages");
    world.build();
    world.run(&["bundle"]).exits(0).prints(&["out/bundle.tar", "downloads", "sha256:"]);
    world
}

/// Runs in a folder that has no project.
fn with_bundle(world: &World, bundle: &Path, elsewhere: &Path, arguments: &[&str]) -> crate::world::Run {
    world.run_in(elsewhere, &[&["--bundle", bundle.to_str().unwrap()], arguments].concat())
}

#[test]
fn a_bundle_builds_and_audits_without_network_or_project() {
    let world = bundled();
    let bundle = world.path("out/bundle.tar");
    let asked = world.asked();
    let elsewhere = tempfile::tempdir().unwrap();
    with_bundle(&world, &bundle, elsewhere.path(), &["build"]).exits(0);
    with_bundle(&world, &bundle, elsewhere.path(), &["audit", "--verbose"])
        .exits(0)
        .says(&["signed as the lock says", "2 packages are listed by signed indexes"]);
    assert_eq!(world.asked(), asked);
    for tier in ["base", "top"] {
        let name = world.out(&format!("test/amd64/{tier}.tar.gz"));
        let ours = elsewhere.path().join(name.strip_prefix(world.path("")).unwrap());
        assert_eq!(fs::read(ours).unwrap(), fs::read(name).unwrap(), "{tier}");
    }
    // Nothing of what was unpacked stays.
    let left: Vec<_> = files(&elsewhere.path().join("cache")).into_iter().filter(|path| path.is_file()).collect();
    assert!(left.is_empty(), "{left:?}");
    with_bundle(&world, &bundle, elsewhere.path(), &["lock"]).exits(2).says(&["a bundle cannot be locked"]);
    with_bundle(&world, &bundle, elsewhere.path(), &["lock", "--check"]).exits(0);
}

#[test]
fn the_same_project_gives_the_same_bundle() {
    let world = bundled();
    let first = fs::read(world.path("out/bundle.tar")).unwrap();
    let again = world.path("elsewhere.tar");
    world.run(&["bundle", "--output", again.to_str().unwrap()]).exits(0);
    assert_eq!(fs::read(&again).unwrap(), first);
    // Downloads that the cache lost are fetched anew.
    fs::remove_dir_all(world.path("cache/derived")).unwrap();
    for path in files(&world.path("cache/downloads")) {
        if fs::read(&path).unwrap().starts_with(b"!<arch>") {
            fs::remove_file(path).unwrap();
        }
    }
    world.run(&["bundle", "--output", again.to_str().unwrap()]).exits(0);
    assert_eq!(fs::read(&again).unwrap(), first);
}

#[test]
fn unpacked_by_hand_it_is_a_project() {
    let world = bundled();
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(fs::File::open(world.path("out/bundle.tar")).unwrap()).unpack(folder.path()).unwrap();
    let asked = world.asked();
    world.run_in(folder.path(), &["build", "--locked", "--offline"]).exits(0);
    assert_eq!(world.asked(), asked);
}

#[test]
fn a_damaged_bundle_is_refused() {
    let world = bundled();
    let whole = fs::read(world.path("out/bundle.tar")).unwrap();
    let tar = |entries: &[(&str, &str, tar::EntryType)]| {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text, kind) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(text.len() as u64);
            // As an attacker writes it: `set_path` refuses what escapes.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    };
    use tar::EntryType::{GNULongName, Regular, Symlink, XHeader};
    let mark = ("debstrata-bundle", "1\n", Regular);
    let hex = "0".repeat(64);
    let zeros = format!("cache/downloads/00/{hex}");
    let mut flipped = whole.clone();
    // Inside the last .deb: the tar ends in two blocks of zeros.
    let at = flipped.windows(7).rposition(|bytes| bytes == b"!<arch>").unwrap();
    flipped[at + 3] ^= 1;
    for (bytes, expected) in [
        (Vec::new(), "no manifests"),
        (b"text".repeat(500), "is no bundle that can be used"),
        (whole[..whole.len() / 2].to_vec(), "is no bundle that can be used"),
        (flipped, "has other bytes than its name says"),
        (tar(&[("other", "1\n", Regular)]), "does not begin as a bundle does"),
        (tar(&[("debstrata-bundle", "2\n", Regular)]), "its version is 2, known is 1"),
        (tar(&[mark, ("../escaped", "x", Regular)]), "../escaped is no plain name"),
        (tar(&[mark, ("/tmp/escaped", "x", Regular)]), "/tmp/escaped is no plain name"),
        (tar(&[mark, ("manifests/a", "", Symlink)]), "manifests/a is no file"),
        (tar(&[mark, ("manifests/a", "", Regular), ("manifests/a", "", Regular)]), "manifests/a is there twice"),
        (tar(&[mark, ("cache/derived/made/x", "", Regular)]), "cache/derived/made/x is no download"),
        (tar(&[mark, (&zeros, "x", Regular)]), "has other bytes than its name says"),
        (tar(&[mark, ("manifests/a", "", Regular), ("manifests/a/b", "", Regular)]), "manifests/a/b is there twice"),
        (tar(&[mark, ("x", &"n".repeat(5000), GNULongName)]), "it has an endless name"),
        (tar(&[mark, ("x", "path=y", XHeader)]), "x is no file"),
    ] {
        let bundle = world.path("damaged.tar");
        fs::write(&bundle, bytes).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        with_bundle(&world, &bundle, elsewhere.path(), &["build"]).exits(2).says(&["damaged.tar", expected]);
        assert!(!elsewhere.path().join("out").exists());
    }
    world.run(&["--bundle", "nowhere.tar", "build"]).exits(3).says(&["cannot read nowhere.tar"]);
}

#[test]
fn what_lies_outside_the_project_cannot_be_bundled() {
    let world = World::small();
    let outside = tempfile::tempdir_in(world.path("").parent().unwrap()).unwrap();
    let name = outside.path().file_name().unwrap().to_str().unwrap();
    fs::write(outside.path().join("motd"), "welcome\n").unwrap();
    let text = format!("files = [{{ path = \"/etc/motd\", source = \"../../../{name}/motd\" }}]\npackages");
    world.edit("top.toml", "packages", &text);
    world.build();
    world.run(&["bundle"]).exits(2).says(&["motd lies outside the project"]);
    assert!(!world.path("out/bundle.tar").exists());
}

#[test]
fn a_bundle_reads_nothing_of_this_machine() {
    let world = World::small();
    world.build();
    world.run(&["bundle"]).exits(0);
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("secret"), "secret\n").unwrap();
    // Somebody edits what is bundled.
    let bundle = fs::File::open(world.path("out/bundle.tar")).unwrap();
    let mut evil = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(bundle).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (mut header, name) = (entry.header().clone(), entry.path().unwrap().into_owned());
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if name.ends_with("top.toml") {
            let up = "../".repeat(30);
            let source = format!("{up}{}", secret.path().join("secret").strip_prefix("/").unwrap().display());
            bytes.extend(format!("\n[[files]]\npath = '/stolen'\nsource = '{source}'\n").bytes());
        }
        header.set_size(bytes.len() as u64);
        evil.append_data(&mut header, name, &*bytes).unwrap();
    }
    let path = world.path("evil.tar");
    fs::write(&path, evil.into_inner().unwrap()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    with_bundle(&world, &path, elsewhere.path(), &["build"]).exits(2).says(&["lies outside the project"]);
    assert!(!elsewhere.path().join("out").exists());
}

#[test]
fn a_bundle_of_some_tiers_is_used_for_these() {
    let world = World::small();
    world.build();
    world.run(&["bundle", "base"]).exits(0);
    let elsewhere = tempfile::tempdir().unwrap();
    let bundle = world.path("out/bundle.tar");
    with_bundle(&world, &bundle, elsewhere.path(), &["build"]).exits(0).prints(&["test/base"]);
    assert!(!elsewhere.path().join("out/test/amd64/top.tar.gz").exists());
    with_bundle(&world, &bundle, elsewhere.path(), &["audit"]).exits(0).prints(&["equal: 1 layers"]);
    with_bundle(&world, &bundle, elsewhere.path(), &["build", "top"]).exits(3);
}

#[test]
fn a_clone_that_never_locked_can_be_bundled() {
    let world = World::small();
    world.build();
    // What a clone has: the lock, and the .debs that a build from it fetches.
    fs::remove_dir_all(world.path("cache")).unwrap();
    fs::remove_dir_all(world.path("out")).unwrap();
    world.run(&["build", "--locked"]).exits(0);
    let bundle = world.path("out/bundle.tar");
    world
        .run(&["bundle", "--verbose", "--output", bundle.to_str().unwrap()])
        .exits(0)
        .says(&["the cache no longer has the InRelease of the lock"]);
    let elsewhere = tempfile::tempdir().unwrap();
    with_bundle(&world, &bundle, elsewhere.path(), &["audit"]).exits(0);
}
