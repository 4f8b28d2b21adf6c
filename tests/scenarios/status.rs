//! Exit statuses, streams, quiet, and errors that come many at once.

use std::fs;

use debstrata::ground::Sha256;

use crate::{
    support::{DebBuilder, Fault},
    world::{World, package, pool},
};

#[test]
fn usage() {
    let world = World::small();
    assert_eq!(world.run(&["--version"]).exits(0).stdout, concat!("debstrata ", env!("CARGO_PKG_VERSION"), "\n"));
    world.run(&["--help"]).exits(0).prints(&["build", "lock", "audit", "check", "show", "why", "--offline"]);
    for wrong in
        [&["bild"][..], &["lock", "--nope"], &["build", "--quiet", "--verbose"], &["lock", "--check", "--upgrade"]]
    {
        world.run(wrong).exits(2);
    }
    world.run(&["build", "--mirror", "nonsense"]).exits(2).says(&["ARCHIVE=URI"]);
    assert!(!world.path("cache").exists());
}

#[test]
fn a_folder_that_is_no_project_is_named_and_left_alone() {
    let world = World::small();
    fs::remove_dir_all(world.path("manifests")).unwrap();
    for verb in ["build", "lock", "audit", "show", "check"] {
        world.run(&[verb]).exits(2).says(&["manifests"]);
        assert_eq!(fs::read_dir(world.project.path()).unwrap().count(), 0, "{verb}");
    }
}

#[test]
fn results_go_to_stdout_and_all_else_to_stderr() {
    let world = World::small();
    let run = world.build();
    assert!(run.stderr.contains("resolving test") && !run.stdout.contains("resolving"));
    assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "no colours but on a terminal");
    let json = world.run(&["build", "--json"]).exits(0);
    assert!(json.json().is_array());
    // Errors are no result, in JSON neither.
    fs::remove_file(world.lock_path()).unwrap();
    world.run(&["audit", "--json"]).exits(2);
    world.run(&["show", "--json"]).exits(2);
}

#[test]
fn quiet_keeps_warnings_and_errors() {
    let world = World::small();
    assert_eq!(world.run(&["build", "--quiet"]).exits(0).stderr, "");
    world.edit("base.toml", "packages", "globs.exclude = ['/none']\npackages");
    world.run(&["build", "--quiet"]).exits(0).says(&["\"/none\" matches nothing", "base.toml"]);
    world.run(&["build", "--quiet", "nope"]).exits(2).says(&["\"nope\""]);
}

#[test]
fn colours_on_request() {
    let world = World::small();
    let run = world.run(&["build", "nope", "--color", "always"]).exits(2);
    assert!(run.stderr.contains('\u{1b}'));
    let run = world.run(&["build", "nope", "--color", "never"]).exits(2);
    assert!(!run.stderr.contains('\u{1b}'));
}

#[test]
fn all_errors_of_all_manifests_in_one_run() {
    let world = World::small();
    world.tier("base", "package = ['hello']\n[[directories]]\npath = 'tmp'\nmode = 777");
    world.tier("top", "parent = 'bas'\npackages = ['hello (>> ']");
    world.edit_archive("components", "comonents");
    let run = world.run(&["build"]).exits(2);
    run.says(&[
        "base.toml",
        "`package`",
        "`packages`",
        "tmp",
        "777",
        "top.toml",
        "bas",
        "base",
        "hello (>> ",
        "archive.toml",
        "comonents",
        "components",
    ]);
    assert_eq!(world.asked(), 0);
}

#[test]
fn all_packages_that_cannot_be_had_are_named() {
    let world = World::new(["a", "b", "c"].map(|name| package(name, "1")), &[("base", "packages = ['a', 'b', 'c']")]);
    world.run(&["lock"]).exits(0);
    for name in ["a", "c"] {
        world.server.always(&pool(world.deb(name)), Fault::Flip(99));
    }
    world.run(&["build"]).exits(3).says(&["a 1", "c 1"]).silent_on(&["b 1"]);
}

#[test]
fn the_user_comes_first_where_both_must_act() {
    // One distribution cannot be reached, the other one asks for what is not there: 2.
    let world = World::small();
    let other = world.path("manifests/other");
    fs::create_dir(&other).unwrap();
    for name in ["archive.toml", "keys.asc"] {
        fs::copy(world.project.file(name), other.join(name)).unwrap();
    }
    fs::write(other.join("base.toml"), "summary = 'other'\npackages = ['nothing']").unwrap();
    let index = fs::read_to_string(world.project.file("archive.toml")).unwrap();
    fs::write(world.project.file("archive.toml"), index.replace("\"trixie\"", "\"sid\"")).unwrap();
    world.run(&["build"]).exits(2).says(&["`nothing`", "sid"]);
}

#[test]
fn an_output_folder_that_cannot_be_written_is_the_worlds() {
    let world = World::small();
    fs::write(world.path("file"), "").unwrap();
    let output = world.path("file/below");
    world.run(&["build", "--output", output.to_str().unwrap()]).exits(3).says(&["file/below"]);
    // What was made so far is of use.
    world.build();
    let cache = world.path("file");
    world.run(&["build", "--cache", cache.to_str().unwrap()]).exits(3).says(&["file"]);
}

#[test]
fn somebody_elses_list_of_sums_is_not_overwritten() {
    let world = World::small();
    fs::create_dir(world.path("out")).unwrap();
    fs::write(world.out("SHA256SUMS"), "my own notes\n").unwrap();
    world.run(&["build"]).exits(2).says(&["SHA256SUMS", "my own notes", "--output"]);
    assert_eq!(fs::read_to_string(world.out("SHA256SUMS")).unwrap(), "my own notes\n");
}

/// Every line of SHA256SUMS is true, and so is what the lock says of `base`.
fn sums_are_true(world: &World) {
    for line in fs::read_to_string(world.out("SHA256SUMS")).unwrap().lines() {
        let (digest, name) = line.split_once("  ").unwrap();
        assert_eq!(Sha256::of(&fs::read(world.out(name)).unwrap()).to_string(), digest, "{name}");
    }
    let mut tar = Vec::new();
    let packed = fs::read(world.out("test/amd64/base.tar.gz")).unwrap();
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(&*packed), &mut tar).unwrap();
    assert!(world.lock().contains(&format!("diff-id = \"sha256:{}\"", Sha256::of(&tar))));
}

#[test]
fn what_was_built_before_a_failure_is_recorded_and_every_failure_is_told() {
    let clash = |name: &str| DebBuilder::new(name, "1").file("/usr/share/clash", 0o644, name);
    let world = World::new(
        [package("hello", "1"), clash("a"), clash("b"), clash("c")],
        &[
            ("base", "packages = ['hello']"),
            ("left", "parent = 'base'\npackages = ['a']"),
            ("right", "parent = 'base'\npackages = ['a']"),
            ("top", "parent = 'left'\npackages = []"),
        ],
    );
    world.build();
    sums_are_true(&world);
    let before = fs::read(world.out("test/amd64/base.tar.gz")).unwrap();
    world.edit("base.toml", "packages", "globs.exclude = ['/usr/share/hello/file']\npackages");
    world.edit("left.toml", "['a']", "['a', 'b']");
    world.edit("right.toml", "['a']", "['a', 'c']");
    let run = world.run(&["build"]).exits(2).says(&["/usr/share/clash", "a 1", "b 1", "c 1"]);
    assert_eq!(run.stderr.matches("debstrata::compose").count(), 2, "{}", run.stderr);
    assert_ne!(fs::read(world.out("test/amd64/base.tar.gz")).unwrap(), before);
    sums_are_true(&world);
}
