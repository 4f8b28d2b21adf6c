//! `[limits]`: what a tier may weigh and hold.

use std::fs;

use crate::{
    support::DebBuilder,
    world::{World, package},
};

/// A tier `base` of a small and a large package, and `top` on it; with these limits.
fn world(base: &str, top: &str) -> World {
    World::new(
        [
            package("small", "1"),
            DebBuilder::new("large", "1")
                .file("/usr/share/large/file", 0o644, [b'x'; 50_000])
                .hardlink("/usr/share/large/again", "/usr/share/large/file"),
            DebBuilder::new("root", "1").file("/usr/bin/root", 0o4755, "r").file("/usr/bin/games", 0o2755, "g"),
        ],
        &[
            ("base", &format!("packages = ['small', 'large']\n[limits]\n{base}")),
            ("top", &format!("parent = 'base'\npackages = ['root']\n[limits]\n{top}")),
        ],
    )
}

#[test]
fn within_the_limits_nothing_is_said() {
    // A hard-linked file counts once.
    world(
        "layer-size = '60 KiB'\nrootfs-size = '51 kB'\npackages = 2\nsetuid = 'deny'",
        "packages = 3\nsetuid = 'allow'",
    )
    .run(&["build"])
    .exits(0)
    .silent_on(&["limit"]);
}

#[test]
fn over_a_limit_the_largest_are_named_and_nothing_is_published() {
    for (limit, told) in [
        ("layer-size = 1000", "has a layer of"),
        ("rootfs-size = '50 kB'", "in files"),
        ("packages = 1", "has 2 packages, 1 more than its limit of 1"),
    ] {
        let world = world(limit, "");
        let run = world.run(&["build"]).exits(2);
        run.says(&["test/base (amd64)", told, "large 50.0 kB", "base.toml", "the limit"]);
        for tier in ["base", "top"] {
            assert!(!world.out(&format!("test/amd64/{tier}.tar.gz")).exists(), "{limit}: {tier}");
        }
        assert!(!world.lock().contains("diff-id"), "{limit}");
        // Raised, it is built.
        world.edit("base.toml", limit, "");
        world.build();
    }
}

#[test]
fn setuid_is_denied_for_all_children_until_one_allows_it() {
    let world = world("setuid = 'deny'", "");
    let run = world.run(&["build"]).exits(2);
    run.says(&["test/top (amd64) has 2 setuid or setgid files", "/usr/bin/root (4755", "/usr/bin/games", "base.toml"]);
    assert!(world.out("test/amd64/base.tar.gz").exists(), "the parent keeps its limits");
    fs::write(world.project.file("top.toml"), "parent = 'base'\npackages = ['root']\nlimits.setuid = 'allow'").unwrap();
    world.build();
}

#[test]
fn all_that_is_over_is_told_in_one_run() {
    let world = world("layer-size = 10\npackages = 1", "packages = 1");
    let run = world.run(&["build"]).exits(2);
    assert_eq!(run.stderr.matches("debstrata::compose::limit").count(), 3, "{}", run.stderr);
}

#[test]
fn a_limit_shapes_no_layer_and_is_looked_at_again_when_it_changes() {
    let world = world("", "");
    world.build();
    let (lock, layer) = (world.lock(), world.out("test/amd64/base.tar.gz"));
    let before = crate::world::written(&layer);
    world.edit("base.toml", "[limits]\n", "[limits]\npackages = 1\n");
    world.run(&["build"]).exits(2).says(&["has 2 packages"]);
    world.run(&["build"]).exits(2).says(&["has 2 packages"]);
    world.run(&["build", "--locked"]).exits(2).says(&["has 2 packages"]);
    world.edit("base.toml", "packages = 1\n", "packages = 2\n");
    world.build().silent_on(&["edited"]);
    assert_eq!(world.lock(), lock);
    assert_eq!(crate::world::written(&layer), before, "nothing was emitted again");
    world.run(&["audit"]).exits(0);
}
