//! `[image]`, `[variants]` and overlays: what they do to locks and layers, and what they leave alone.

use std::fs;

use serde_json::json;

use crate::{
    support::DebBuilder,
    world::{World, package, written},
};

const DEBUG: &str = "[variants.debug]\noverlay = 'tools'\nentrypoint = ['/usr/bin/sh']\n";

/// `base`, `top` on it, and `tools` on `base`; `base` has these tables.
fn world(base: &str) -> World {
    World::new(
        [package("hello", "1.0"), package("greeting", "1.0"), package("tools", "1.0"), package("more", "1.0")],
        &[
            ("base", &format!("packages = ['hello']\n{base}")),
            ("top", "parent = 'base'\npackages = ['greeting']"),
            ("tools", "parent = 'base'\npackages = ['tools']"),
        ],
    )
}

#[test]
fn an_overlay_is_locked_with_its_tiers_and_built_when_it_is_named() {
    let world = world(DEBUG);
    world.build();
    let lock = world.lock();
    for tier in ["base-debug", "top-debug"] {
        assert!(lock.contains(&format!("[inputs.amd64.tiers.{tier}]")), "{tier}");
        assert!(!lock.contains(&format!("\n{tier} = ")) && !world.out(&format!("test/amd64/{tier}.tar.gz")).exists());
    }
    assert!(!lock.contains("tools-debug"));
    world.run(&["build", "test/top-debug", "--locked"]).exits(0);
    world.run(&["build", "test/top-debug"]).exits(0);
    let layer = world.layer("top-debug");
    assert_eq!(layer["usr/share/tools/file"], "file 0644 0:0 tools 1.0");
    assert_eq!(layer, world.layer("tools"), "nothing of the tiers below");
    assert!(world.lock().contains("\ntop-debug = { recipe = "));
    world.run(&["build", "top-debug", "--locked"]).exits(0);
    // What the lock records is audited, and no more.
    let audited = world.run(&["audit", "--json"]).exits(0).json();
    assert_eq!((&audited["equal"], &audited["layers"]), (&json!(true), &json!(4)));
    world.run(&["audit", "base-debug"]).exits(1);
    world.run(&["audit", "--against", world.out("").to_str().unwrap()]).exits(0);
}

#[test]
fn a_config_leaves_locks_and_layers_alone() {
    let image = "[image]\nuser = '7'\nenv = { A = 'b' }\n[variants.nonroot]\nuser = '65532'\n";
    let (plain, with) = (world(""), world(image));
    plain.build();
    with.build();
    let layer = |world: &World, tier| fs::read(world.out(&format!("test/amd64/{tier}.tar.gz"))).unwrap();
    for tier in ["base", "top"] {
        assert_eq!(layer(&plain, tier), layer(&with, tier), "{tier}");
    }
    // Recipes and diff_ids.
    let outputs = |world: &World| world.lock().split_once("[outputs.amd64]").unwrap().1.to_owned();
    assert_eq!(outputs(&plain), outputs(&with));
    let before = (with.lock(), written(&with.out("test/amd64/base.tar.gz")), with.asked());
    with.edit("base.toml", "A = 'b'", "A = 'c'");
    with.edit("base.toml", "'65532'", "'65533'");
    with.run(&["lock", "--check"]).exits(0);
    with.run(&["build", "--locked"]).exits(0);
    with.build();
    assert_eq!((with.lock(), written(&with.out("test/amd64/base.tar.gz")), with.asked()), before);
}

#[test]
fn what_a_tier_has_already_is_not_brought_again() {
    let world = world(DEBUG);
    world.tier("top", "parent = 'base'\npackages = ['tools', 'greeting']");
    world.edit("tools.toml", "['tools']", "['tools', 'more']");
    world.run(&["build", "base-debug", "top-debug"]).exits(0);
    let names = |tier| {
        let shown = world.run(&["show", tier, "--json"]).exits(0).json();
        let own = |package: &&serde_json::Value| package["tier"] == *tier;
        let list = shown["packages"].as_array().unwrap().clone();
        list.iter().filter(own).map(|package| package["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("base-debug"), ["tools", "more"]);
    assert_eq!(names("top-debug"), ["more"]);
    let files: Vec<_> = world.layer("top-debug").into_keys().filter(|path| path.ends_with("/file")).collect();
    assert_eq!(files, ["usr/share/more/file"]);
}

#[test]
fn a_variant_that_comes_or_goes_makes_the_lock_stale() {
    let world = world("");
    world.build();
    let before = world.lock();
    world.edit("base.toml", "['hello']", &format!("['hello']\n{DEBUG}"));
    world.run(&["build", "--locked"]).exits(2).says(&["new: base-debug (amd64", "top-debug (amd64"]);
    world.run(&["lock"]).exits(0);
    let after = world.lock();
    let kept = before.lines().filter(|line| !after.contains(*line)).collect::<Vec<_>>();
    assert!(kept.is_empty(), "{kept:?}");
    world.edit("base.toml", DEBUG, "");
    world.run(&["build", "--locked"]).exits(2).says(&["removed: base-debug (amd64", "top-debug (amd64"]);
    world.build();
    assert_eq!(world.lock(), before);
}

#[test]
fn what_is_wrong_with_an_overlay_is_told_once() {
    let broken = world(DEBUG);
    broken.edit("tools.toml", "['tools']", "['toolz']");
    let run = broken.run(&["lock"]).exits(2).says(&["toolz", "tools.toml"]);
    assert_eq!(run.stderr.matches("tools.toml:").count(), 1, "{}", run.stderr);

    let untidy = world(DEBUG);
    untidy.edit("tools.toml", "['tools']", "['tools']\nsymlinks = [{ path = '/a', target = 'nowhere' }]");
    untidy.build();
    let found = untidy.run(&["check", "--json"]).exits(1).json();
    assert_eq!((&found["tiers"], found["findings"].as_array().unwrap().len()), (&json!(5), 1), "{found}");
    assert_eq!(found["findings"][0]["tier"], "test/tools");
    // Alone it says it for itself.
    let alone = untidy.run(&["check", "top-debug", "--json"]).exits(1).json();
    assert_eq!(alone["findings"][0]["tier"], "test/top-debug");
    let accept = "[[accept]]\nlint = 'dangling-link'\nsubject = '/a'\nreason = 'known'";
    fs::write(
        untidy.project.file("tools.toml"),
        format!("{}\n{accept}", fs::read_to_string(untidy.project.file("tools.toml")).unwrap()),
    )
    .unwrap();
    untidy.run(&["check"]).exits(0);
}

#[test]
fn images_are_listed_with_their_tier() {
    let world = world(&format!("[variants.nonroot]\nuser = '65532'\n{DEBUG}"));
    world.build();
    let shown = world.run(&["show", "--json"]).exits(0).json();
    let tiers: Vec<_> = shown.as_array().unwrap().iter().map(|tier| tier["tier"].as_str().unwrap()).collect();
    assert_eq!(tiers, ["base", "tools", "top"]);
    assert_eq!(shown[2]["images"], json!(["top", "top-nonroot", "top-debug", "top-debug-nonroot"]));
    let people = world.run(&["show"]).exits(0);
    assert!(people.stdout.contains("nonroot debug debug-nonroot"), "{}", people.stdout);
    assert!(world.run(&["show", "tools"]).exits(0).stdout.contains("images: tools tools-nonroot\n"));
    world.run(&["build", "top-nonroot"]).exits(2).says(&["is an image, not a tier", "test/top"]);
    world.run(&["build", "test/top-debug-nonroot"]).exits(2).says(&["those of test/top-debug"]);
    world.run(&["build", "tops"]).exits(2).says(&["no tier is called"]);
}

#[test]
fn users_of_images_must_be_there() {
    let accounts = "groups = [{ name = 'app', gid = 7 }]\nusers = [{ name = 'app', uid = 7, gid = 7 }]\n";
    let world = world(&format!("{accounts}[image]\nuser = 'app:ap'\n[variants.x]\nuser = '4:nobody'\n"));
    let run = world.run(&["build"]).exits(2);
    let run = run.says(&["test/base (amd64) has no group called ap", "did you mean app?", "no group called nobody"]);
    assert_eq!(run.stderr.matches("image_user").count(), 2, "inherited, it is told once: {}", run.stderr);
    assert!(!world.out("test/amd64/base.tar.gz").exists());
    world.edit("base.toml", "app:ap", "app:app");
    world.edit("base.toml", "4:nobody", "4:5");
    world.build();
    // Though the layer is there.
    world.edit("base.toml", "app:app", "appp");
    world.run(&["build"]).exits(2).says(&["has no user called appp", "base.toml", "did you mean app?"]);
    world.edit("base.toml", "'appp'", "'7'");
    world.build();
}

#[test]
fn an_overlay_may_bring_the_user_of_its_variant() {
    let overlay = format!("{DEBUG}user = 'tool'\n");
    let world = World::new(
        [
            package("hello", "1.0"),
            DebBuilder::new("tools", "1").file("/usr/lib/sysusers.d/tools.conf", 0o644, "u tool 77 - /\n"),
        ],
        &[("base", &format!("packages = ['hello']\n{overlay}")), ("tools", "parent = 'base'\npackages = ['tools']")],
    );
    world.run(&["build", "base", "base-debug"]).exits(0);
    world.edit("tools.toml", "['tools']", "['tools']\ngenerate.sysusers = false");
    world.run(&["build", "base"]).exits(0);
    world
        .run(&["build", "base-debug"])
        .exits(2)
        .says(&["test/base-debug (amd64) has no user called tool", "base.toml"]);
    let found = world.run(&["check", "base-debug", "--json"]).exits(1).json();
    assert_eq!(
        (&found["findings"][0]["lint"], &found["findings"][0]["subject"]),
        (&json!("image-user"), &json!("tool"))
    );
}
