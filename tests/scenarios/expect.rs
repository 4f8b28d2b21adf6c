//! `[[expect]]`: what must be in a tier.

use std::fs;

use debstrata::ground::Sha256;

use crate::{support::DebBuilder, world::World};

/// A tier `base` with a few kinds of things, and these expectations.
fn world(expect: &str) -> World {
    let tool = DebBuilder::new("tool", "1")
        .dir("/srv/mail", 0o2775)
        .owner(0, 8)
        .file("/usr/bin/tool", 0o755, "#!/bin/sh\necho needle\n")
        .symlink("/usr/bin/link", "tool")
        .symlink("/usr/bin/nowhere", "gone")
        .symlink("/etc", "usr/share")
        .file("/usr/share/conf", 0o640, "x")
        .owner(1, 42);
    World::new([tool], &[("base", &format!("packages = ['tool']\n{expect}"))])
}

fn one(keys: &str) -> String {
    format!("[[expect]]\n{keys}\n")
}

#[test]
fn what_holds_is_not_told() {
    let sha256 = Sha256::of(b"x");
    let keys = [
        "path = '/usr/bin/tool'".to_owned(),
        "path = '/usr/bin/tool'\ntype = 'file'\nmode = 0o755\nowner = 0\ngroup = 0\ncontains = 'needle'".into(),
        "path = '/srv/mail'\ntype = 'directory'\nmode = 0o2775\ngroup = 8\nexists = true".into(),
        // The last link is followed, unless the link itself is meant.
        "path = '/usr/bin/link'\ntype = 'file'\nmode = 0o755".into(),
        "path = '/usr/bin/link'\ntype = 'symlink'".into(),
        "path = '/usr/bin/nowhere'\ntarget = 'gone'".into(),
        // Folders that are links always are.
        format!("path = '/etc/conf'\nowner = 1\nsha256 = '{sha256}'"),
        "path = '/etc/none'\nabsent = true".into(),
        "path = '/etc/none'\nexists = false".into(),
        "path = '/etc/none'\narchitectures = ['arm64']".into(),
    ];
    world(&keys.map(|keys| one(&keys)).concat()).run(&["build"]).exits(0).silent_on(&["expect"]);
}

#[test]
fn what_does_not_hold_is_told_with_what_was_found() {
    for (keys, told) in [
        ("path = '/usr/bin/tol'", &["nothing is there", "/usr/bin/tool is there"][..]),
        ("path = '/usr/bin/nowhere'", &["a link to gone, which leads nowhere"]),
        ("path = '/usr/bin/nowhere'\nabsent = true", &["must not be", "a symbolic link is there", "tool 1"]),
        ("path = '/srv/mail'\ntype = 'file'", &["it is a directory"]),
        ("path = '/srv/mail'\nmode = 0o755", &["it is 0o2775"]),
        ("path = '/srv/mail'\ngroup = 0\nowner = 5", &["it is 8, not 0", "it is 0, not 5"]),
        ("path = '/usr/bin/link'\ntarget = 'tol'", &["it leads to tool"]),
        ("path = '/usr/bin/tool'\ntarget = 'x'", &["it is a file"]),
        (
            "path = '/usr/bin/link'\ncontains = 'neddle'",
            &["not in its 22 bytes", "/usr/bin/link leads to /usr/bin/tool"],
        ),
        ("path = '/srv/mail'\ncontains = 'x'", &["it is a directory"]),
        (
            "path = '/etc/conf'\nsha256 = '0000000000000000000000000000000000000000000000000000000000000000'",
            &["it is 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "0640 1:42"],
        ),
    ] {
        let world = world(&one(keys));
        world.run(&["build"]).exits(2).says(told).says(&["base.toml", "test/base (amd64)"]);
        assert!(!world.out("test/amd64/base.tar.gz").exists(), "{keys}");
    }
}

#[test]
fn all_failures_of_all_tiers_at_once() {
    let world = world(&[one("path = '/a'"), one("path = '/b'"), one("path = '/usr/bin/tool'")].concat());
    world.tier("top", &format!("parent = 'base'\npackages = []\n{}", one("path = '/c'")));
    let run = world.run(&["build"]).exits(2);
    assert_eq!(run.stderr.matches("debstrata::compose::expect").count(), 3, "{}", run.stderr);
    assert!(!world.out("test/amd64/top.tar.gz").exists());
}

#[test]
fn an_expectation_that_can_never_be_met_is_refused() {
    for (keys, told) in [
        ("path = '/x'\nexists = true\nabsent = true", "contradict"),
        ("path = '/x'\nabsent = true\nmode = 0o644", "what something absent is like"),
        ("path = '/x'\ntype = 'directory'\ncontains = 'x'", "only a file has content"),
        ("path = '/x'\ntype = 'file'\ntarget = 'x'", "only a symbolic link has a target"),
        ("path = '/x'\ntarget = 'x'\nsha256 = 'x'", "64 hexadecimal digits"),
        ("path = '/x'\ntype = 'symlink'\nmode = 0o644", "0o777"),
        ("path = '/x'\nowner = 'nobody-here'", "nobody-here"),
        ("mode = 0o644", "needs `path`"),
    ] {
        let world = world(&one(keys));
        world.run(&["build"]).exits(2).says(&[told, "base.toml"]);
        assert_eq!(world.asked(), 0, "{keys}");
    }
}

#[test]
fn a_changed_expectation_is_checked_though_the_layer_is_there() {
    let world = world(&one("path = '/usr/bin/tool'\nmode = 0o755"));
    world.build();
    let (lock, layer) = (world.lock(), world.out("test/amd64/base.tar.gz"));
    let before = crate::world::written(&layer);
    let asked = world.asked();
    world.edit("base.toml", "0o755", "0o644");
    for arguments in [&["build"][..], &["build"], &["build", "--locked"]] {
        world.run(arguments).exits(2).says(&["it is 0o755"]);
    }
    assert_eq!(world.lock(), lock);
    assert!(layer.exists(), "what was built before stays");
    world.edit("base.toml", "0o644", "0o755");
    world.build();
    assert_eq!((world.lock(), crate::world::written(&layer), world.asked()), (lock, before, asked));
}

#[test]
fn what_was_checked_once_needs_nothing_but_the_outputs() {
    let world = world(&one("path = '/usr/bin/tool'\ncontains = 'needle'"));
    world.build();
    // Without unpacked data and downloads, only a build with nothing to look at can succeed offline.
    for kind in ["derived/unpacked", "downloads"] {
        fs::remove_dir_all(world.path("cache").join(kind)).unwrap();
    }
    world.run(&["build", "--offline"]).exits(0);
    world.edit("base.toml", "needle", "echo");
    world.run(&["build", "--offline"]).exits(3).says(&["tool 1"]);
    world.build();
}
