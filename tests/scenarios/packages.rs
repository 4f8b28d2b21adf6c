//! Which packages a tier gets, and what is said about the others.

use crate::{
    support::{DebBuilder, Fault},
    world::{World, package},
};

#[test]
fn all_pulls_the_whole_chain() {
    let world = World::new(
        [
            package("app", "1").depends("lib (>= 2), missing | tool").field("Pre-Depends", "early"),
            package("lib", "2").depends("data"),
            package("data", "1").arch("all"),
            package("real-tool", "1").provides("tool"),
            package("early", "1"),
            package("bystander", "1"),
        ],
        &[("base", "packages = ['app']"), ("top", "parent = 'base'\npackages = ['lib']")],
    );
    let run = world.build();
    assert_eq!(world.locked(), ["app 1", "data 1", "early 1", "lib 2", "real-tool 1"]);
    for name in ["app", "lib", "data", "real-tool", "early"] {
        assert!(world.layer("base").contains_key(&format!("usr/share/{name}/file")), "{name}");
    }
    assert!(!run.stdout.contains("unmet"), "{}", run.stdout);
    // What the parent has is there already: this layer is empty but for its root.
    assert_eq!(world.layer("top").keys().collect::<Vec<_>>(), ["./"]);
}

#[test]
fn none_takes_what_is_named_and_says_what_is_missing_on_every_build() {
    let world = World::new(
        [package("app", "1").depends("lib (>= 2), declared, tool | other-tool"), package("lib", "2")],
        &[(
            "base",
            "packages = ['app']\ndependencies = 'none'\nomit = [{ package = 'declared', reason = 'not needed' }]",
        )],
    );
    for _ in 0..3 {
        let run = world.build();
        let unmet: Vec<_> = run.stdout.lines().filter(|line| line.starts_with("unmet")).collect();
        assert_eq!(unmet.len(), 2, "{}", run.stdout);
        assert!(unmet[0].contains("test/base amd64") && unmet[0].contains("app") && unmet[0].contains("lib (>= 2)"));
        assert!(unmet[1].contains("tool | other-tool"));
    }
    assert_eq!(world.locked(), ["app 1"]);
    let json = world.run(&["build", "--json"]).exits(0).json();
    assert_eq!(json[0]["unmet"].as_array().unwrap().len(), 2);
    // A child that brings it meets nothing of its parent's: that layer was composed before.
    world.tier("top", "parent = 'base'\npackages = ['lib']\ndependencies = 'none'");
    assert_eq!(world.build().stdout.lines().filter(|line| line.starts_with("unmet")).count(), 2);
}

#[test]
fn omissions_are_kept_and_idle_ones_are_told() {
    let world = World::new(
        [package("app", "1").depends("script-runner, lib"), package("lib", "1")],
        &[("base", "packages = ['app']\nomit = [{ package = 'script-runner', reason = 'scripts never run' }]")],
    );
    world.run(&["lock"]).exits(0).silent_on(&["omits nothing"]);
    assert_eq!(world.locked(), ["app 1", "lib 1"]);
    let more = "{ package = 'nothing', reason = 'a mistake' }";
    world.edit("base.toml", "omit = [", &format!("omit = [{more}, "));
    world.run(&["lock"]).exits(0).says(&["`omit` of nothing omits nothing", "base.toml:3"]);
}

#[test]
fn an_omission_that_one_architecture_needs_is_not_idle() {
    let world = World::new(
        [package("app", "1"), package("app", "1").arch("arm64").depends("firmware")],
        &[("base", "packages = ['app']\nomit = [{ package = 'firmware', reason = 'none here' }]")],
    );
    world.edit_archive("[\"amd64\"]", "[\"amd64\", \"arm64\"]");
    world.run(&["lock"]).exits(0).silent_on(&["omits nothing"]);
    // One that none needs is told once, not once an architecture.
    world.edit("base.toml", "'firmware'", "'nothing', reason = 'a mistake' }, { package = 'firmware'");
    let run = world.run(&["lock"]).exits(0);
    assert_eq!(run.stderr.matches("omits nothing").count(), 1, "{}", run.stderr);
}

#[test]
fn unmet_dependencies_name_the_chain_from_the_manifests_line() {
    let world = World::new(
        [
            package("app", "1").depends("lib"),
            package("lib", "1").depends("deep (>= 3)"),
            package("deep", "2"),
            package("other", "1").depends("nowhere"),
        ],
        &[("base", "packages = [\n  'app',\n  'other',\n]")],
    );
    world.run(&["build"]).exits(2).says(&[
        "app -> lib -> `deep (>= 3)`",
        "2",
        "base.toml:3:3",
        "other -> `nowhere`",
        "base.toml:4:3",
    ]);
    assert!(!world.lock_path().exists());
}

#[test]
fn packages_that_exclude_each_other_are_named() {
    let world = World::new(
        [package("one", "1").field("Conflicts", "two"), package("two", "1")],
        &[("base", "packages = ['one']"), ("top", "parent = 'base'\npackages = ['two']")],
    );
    world.run(&["build"]).exits(2).says(&["one 1", "two 1", "Conflicts", "top.toml"]);
}

#[test]
fn a_package_wanted_twice_in_a_chain_is_refused() {
    let world = World::new(
        [package("hello", "1")],
        &[("base", "packages = ['hello']"), ("top", "parent = 'base'\npackages = ['hello']")],
    );
    world.run(&["build"]).exits(2).says(&["top.toml", "hello", "base"]);
    assert_eq!(world.asked(), 0);
}

#[test]
fn siblings_share_one_version() {
    let world = World::new(
        [
            package("lib", "1"),
            package("lib", "2"),
            package("old", "1").depends("lib (<< 2)"),
            package("new", "1").depends("lib"),
        ],
        &[("a", "packages = ['old']"), ("b", "packages = ['new']")],
    );
    let run = world.run(&["build"]);
    match run.status {
        Some(0) => assert_eq!(world.locked().iter().filter(|name| name.starts_with("lib ")).count(), 1),
        _ => drop(run.exits(2).says(&["lib", "1", "2"])),
    }
}

/// A world of two architectures; the index of arm64 fails.
fn half_broken(fault: Fault) -> World {
    let world =
        World::new([package("hello", "1"), package("hello", "1").arch("arm64")], &[("base", "packages = ['hello']")]);
    world.edit_archive("[\"amd64\"]", "[\"amd64\", \"arm64\"]");
    world.run(&["lock"]).exits(0);
    std::fs::remove_file(world.lock_path()).unwrap();
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    for request in world.server.requests() {
        if request.path.contains("binary-arm64") {
            world.server.always(&request.path, fault.clone());
        }
    }
    world
}

#[test]
fn an_architecture_that_nobody_asked_for_may_fail_with_a_warning() {
    let world = half_broken(Fault::Flip(60));
    world.run(&["build", "--quiet"]).exits(0).says(&[
        "arm64 is left out of",
        "debstrata.lock",
        "binary-arm64/Packages",
    ]);
    assert_eq!(world.locked(), ["hello 1"]);
    assert!(!world.lock().contains("arm64"));
    // Asked for, it is an error, and the lock stays as it is.
    let before = world.lock();
    for arguments in [&["build", "--arch", "arm64"][..], &["build", "--arch", "all"], &["lock"]] {
        world.run(arguments).exits(3).says(&["binary-arm64/Packages", "checksum differs"]);
        assert_eq!(world.lock(), before);
    }
    world.server.mend();
    world.run(&["build", "--arch", "all"]).exits(0);
    assert_eq!(world.locked_for("arm64"), ["hello 1"]);
}

#[test]
fn a_wish_of_another_architecture_that_nothing_meets_is_an_error_of_the_manifest() {
    let world = World::new(
        [package("hello", "1"), DebBuilder::new("other", "1").arch("arm64")],
        &[("base", "packages = ['hello']")],
    );
    world.edit_archive("[\"amd64\"]", "[\"amd64\", \"arm64\"]");
    world.run(&["build"]).exits(2).says(&["`hello`", "(for arm64)"]);
}
