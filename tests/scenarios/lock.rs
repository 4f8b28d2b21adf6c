//! `lock`, its upgrades and its check; `--locked`.

use std::fs;

use debstrata::layer::FORMAT_VERSION;

use crate::{
    support::{Fault, TestSuite},
    world::{World, package, pool, written},
};

/// hello 2.0 and greeting 2.0 in place of 1.0, whose .debs stay in the pool where `keep` says so.
fn newer(world: &mut World, keep: bool) {
    let old = world.suite.clone();
    world.publish(|suite| {
        suite.packages = ["hello", "greeting"].map(|name| ("main".into(), package(name, "2.0").build())).into();
    });
    if keep {
        keep_debs(world, &old);
    }
}

/// A distribution `other` beside `test`, of one tier.
fn second(world: &World, base: &str) {
    let other = world.path("manifests/other");
    fs::create_dir(&other).unwrap();
    for name in ["archive.toml", "keys.asc"] {
        fs::copy(world.project.file(name), other.join(name)).unwrap();
    }
    fs::write(other.join("base.toml"), format!("summary = 'other'\n{base}")).unwrap();
}

/// The pool still has the .debs of an earlier state.
fn keep_debs(world: &World, old: &TestSuite) {
    for (_, deb) in &old.packages {
        world.server.put(&pool(deb), deb.bytes.clone());
    }
}

#[test]
fn locks_every_architecture_and_writes_nothing_else() {
    let mut world = World::new(
        [package("hello", "1"), package("hello", "2").arch("arm64"), package("data", "1").arch("all")],
        &[("base", "packages = ['hello', 'data']")],
    );
    world.edit_archive("[\"amd64\"]", "[\"amd64\", \"arm64\"]");
    world.run(&["lock"]).exits(0).prints(&["debstrata.lock: written", "hello", "data"]);
    assert_eq!(world.locked(), ["data 1", "hello 1"]);
    assert_eq!(world.locked_for("arm64"), ["data 1", "hello 2"]);
    assert_eq!(world.fetched("hello"), 0);
    assert!(!world.path("out").exists());
    let text = world.lock();
    for part in ["schema = 1", "format-version = ", "id = \"source-1/trixie\"", &world.key.fingerprint()] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Again: nothing to do, and nobody is asked.
    let (asked, before) = (world.asked(), written(&world.lock_path()));
    world.publish(|_| {});
    let run = world.run(&["lock"]).exits(0).prints(&["nothing to change"]);
    assert_eq!(run.stderr, "");
    assert_eq!((world.asked(), written(&world.lock_path())), (asked, before));
}

#[test]
fn an_architecture_can_be_locked_by_itself() {
    let world =
        World::new([package("hello", "1"), package("hello", "2").arch("arm64")], &[("base", "packages = ['hello']")]);
    world.edit_archive("[\"amd64\"]", "[\"amd64\", \"arm64\"]");
    world.run(&["lock", "--arch", "arm64"]).exits(0);
    assert_eq!(world.locked_for("arm64"), ["hello 2"]);
    assert!(!world.lock().contains("[inputs.amd64]"));
    // The check is of all; a build of the one that is there needs no other.
    world.run(&["lock", "--check"]).exits(1).prints(&["new: base (amd64)"]);
    world.run(&["build", "--locked", "--arch", "arm64"]).exits(0);
    world.run(&["build", "--arch", "arm64"]).exits(0);
    world.run(&["build", "--locked"]).exits(2).says(&["new: base (amd64)"]);
    world.run(&["lock"]).exits(0);
    assert_eq!(world.locked_for("amd64"), ["hello 1"]);
    assert!(world.lock().contains("[outputs.arm64]"), "what was built is still recorded");
    world.run(&["lock", "--arch", "sparc65"]).exits(2).says(&["sparc65"]);
}

#[test]
fn check_says_whether_the_lock_fits_and_writes_nothing() {
    let world = World::small();
    world.run(&["lock", "--check"]).exits(1).prints(&["debstrata.lock: there is no lock"]);
    assert!(!world.lock_path().exists());
    world.run(&["lock"]).exits(0);
    world.run(&["lock", "--check"]).exits(0).prints(&["every lock fits"]);
    assert_eq!(world.run(&["lock", "--check", "--json"]).exits(0).json(), serde_json::json!([]));
    let before = world.lock();
    let edits: [(&str, &str, &str, &str); 4] = [
        ("top.toml", "['greeting']", "['greeting (>= 1)']", "changed: top (amd64)"),
        ("base.toml", "['hello']", "['hello']\ndependencies = 'none'", "changed: base (amd64), top (amd64)"),
        ("archive.toml", "summary", "# a comment\nsummary", ""),
        ("archive.toml", "components", "priority = 600\ncomponents", "changed: base (amd64), top (amd64)"),
    ];
    for (file, from, to, why) in edits {
        let text = fs::read_to_string(world.project.file(file)).unwrap();
        world.edit(file, from, to);
        let (status, printed) = if why.is_empty() { (0, "every lock fits") } else { (1, why) };
        world.run(&["lock", "--check"]).exits(status).prints(&[printed]);
        world.project.write(file, text);
    }
    let asked = world.asked();
    world.tier("new", "packages = []");
    let stale = world.run(&["lock", "--check", "--json"]).exits(1).json();
    assert_eq!(stale[0]["why"], "new: new (amd64)");
    fs::remove_file(world.project.file("new.toml")).unwrap();
    fs::remove_file(world.project.file("top.toml")).unwrap();
    world.run(&["lock", "--check"]).exits(1).prints(&["removed: top (amd64)"]);
    assert_eq!((world.lock(), world.asked()), (before, asked));
}

#[test]
fn upgrade_takes_everything_and_says_what_changes() {
    let mut world = World::small();
    world.build();
    newer(&mut world, false);
    world.run(&["lock"]).exits(0).prints(&["nothing to change"]);
    let run = world.run(&["lock", "--upgrade"]).exits(0);
    let line = |name| run.stdout.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("hello").contains("1.0") && line("hello").contains("2.0"), "{}", run.stdout);
    assert!(line("greeting").contains("1.0") && line("greeting").contains("2.0"), "{}", run.stdout);
    assert_eq!(world.locked(), ["greeting 2.0", "hello 2.0"]);
    world.run(&["lock", "--upgrade"]).exits(0).prints(&["nothing to change"]);
    world.build();
    assert_eq!(world.layer("base")["usr/share/hello/file"], "file 0644 0:0 hello 2.0");
}

#[test]
fn upgrade_of_one_package_holds_the_others() {
    // The index lists newer ones of both, once beside the old ones, once in their place.
    for beside in [true, false] {
        let mut world = World::small();
        world.run(&["lock"]).exits(0);
        let old = world.suite.clone();
        newer(&mut world, true);
        if beside {
            world.publish(|suite| suite.packages.extend(old.packages.clone()));
        }
        world.run(&["lock", "--upgrade", "greeting"]).exits(0).prints(&["greeting"]);
        assert_eq!(world.locked(), ["greeting 2.0", "hello 1.0"], "listed beside the new ones: {beside}");
        world.build();
        assert_eq!(world.layer("base")["usr/share/hello/file"], "file 0644 0:0 hello 1.0");
    }
}

#[test]
fn a_held_version_keeps_its_own_dependencies() {
    let old = package("app", "1").depends("tool (= 1)");
    let mut world =
        World::new([old, package("tool", "1"), package("more", "1")], &[("base", "packages = ['app', 'more']")]);
    world.run(&["lock"]).exits(0);
    let before = world.suite.clone();
    world.publish(|suite| {
        let new = [package("app", "2").depends("tool (= 2)"), package("tool", "2"), package("more", "2")];
        suite.packages = new.map(|deb| ("main".into(), deb.build())).into();
    });
    keep_debs(&world, &before);
    world.run(&["lock", "--upgrade", "more"]).exits(0);
    assert_eq!(world.locked(), ["app 1", "more 2", "tool 1"]);
}

#[test]
fn upgrade_refuses_names_that_the_lock_does_not_have() {
    let world = World::small();
    world.run(&["lock"]).exits(0);
    let before = world.lock();
    world.run(&["lock", "--upgrade", "helo,greeting,nothing-like-it"]).exits(2).says(&[
        "\"helo\"",
        "did you mean hello?",
        "\"nothing-like-it\"",
    ]);
    assert_eq!(world.lock(), before);
    // Without a lock, everything is new anyway; a name that nothing brings is still a mistake.
    fs::remove_file(world.lock_path()).unwrap();
    world.run(&["lock", "--upgrade", "hello"]).exits(0);
    assert_eq!(world.lock(), before);
}

#[test]
fn upgrade_of_a_name_that_one_distribution_knows() {
    let mut world = World::small();
    second(&world, "packages = ['greeting']");
    world.run(&["lock"]).exits(0);
    let other = fs::read(world.path("manifests/other/debstrata.lock")).unwrap();
    newer(&mut world, true);
    let run = world.run(&["lock", "--upgrade", "hello"]).exits(0);
    run.prints(&["other/debstrata.lock: nothing to change", "test/debstrata.lock: written"]);
    assert_eq!(world.locked(), ["greeting 1.0", "hello 2.0"]);
    assert_eq!(fs::read(world.path("manifests/other/debstrata.lock")).unwrap(), other);
    // A wish that is as new as the upgrade is known as well.
    world.edit("top.toml", "['greeting']", "['greeting', 'extra']");
    world.publish(|suite| suite.packages.push(("main".into(), package("extra", "1").build())));
    world.run(&["lock", "--upgrade", "extra,greeting"]).exits(0);
    assert_eq!(world.locked(), ["extra 1", "greeting 2.0", "hello 2.0"]);
    world.run(&["lock", "--upgrade", "grating"]).exits(2).says(&["did you mean greeting?"]);
}

#[test]
fn a_new_wish_leaves_all_other_versions_as_they_are() {
    let mut world = World::small();
    world.build();
    newer(&mut world, true);
    world.publish(|suite| suite.packages.push(("main".into(), package("extra", "2.0").build())));
    world.edit("top.toml", "['greeting']", "['greeting', 'extra']");
    world.build().says(&["debstrata.lock: changed: top (amd64)"]);
    assert_eq!(world.locked(), ["extra 2.0", "greeting 1.0", "hello 1.0"]);
    assert_eq!(world.layer("top")["usr/share/greeting/file"], "file 0644 0:0 greeting 1.0");
    // And a wish that is gone takes its package along.
    world.edit("top.toml", "['greeting', 'extra']", "['extra']");
    world.run(&["lock"]).exits(0).prints(&["greeting"]);
    assert_eq!(world.locked(), ["extra 2.0", "hello 1.0"]);
    assert!(!world.build().stdout.contains("greeting"));
    assert!(!world.layer("top").contains_key("usr/share/greeting/file"));
}

#[test]
fn a_wish_that_forbids_the_locked_version_moves_that_package_alone() {
    let mut world = World::small();
    world.build();
    newer(&mut world, true);
    world.edit("base.toml", "['hello']", "['hello (>= 2)']");
    world.build();
    assert_eq!(world.locked(), ["greeting 1.0", "hello 2.0"]);
}

#[test]
fn locked_needs_a_lock_that_fits() {
    let world = World::small();
    world.run(&["build", "--locked"]).exits(2).says(&["debstrata.lock", "there is no lock", "debstrata lock"]);
    assert!(!world.lock_path().exists());
    assert_eq!(world.asked(), 0);
    world.run(&["lock"]).exits(0);
    let before = world.snapshot(&[]);
    world.edit("top.toml", "['greeting']", "['greeting', 'extra']");
    world.run(&["build", "--locked"]).exits(2).says(&["does not fit the manifests", "changed: top (amd64)"]);
    world.edit("top.toml", ", 'extra'", "");
    assert_eq!(world.snapshot(&[]), before);
}

#[test]
fn locked_never_writes_the_lock() {
    let world = World::small();
    world.run(&["lock"]).exits(0);
    let (text, at) = (world.lock(), written(&world.lock_path()));
    // Inputs alone: the layers are new, and stay unrecorded.
    world.run(&["build", "--locked"]).exits(0);
    assert_eq!((world.lock(), written(&world.lock_path())), (text, at));
    world.build();
    let (text, at) = (world.lock(), written(&world.lock_path()));
    world.run(&["build", "--locked"]).exits(0);
    assert_eq!((world.lock(), written(&world.lock_path())), (text, at));
}

#[test]
fn an_edited_glob_changes_outputs_and_never_inputs() {
    let world = World::new(
        [package("hello", "1.0").file("/usr/share/man/man1/hello.1", 0o644, "manual")],
        &[("base", "packages = ['hello']")],
    );
    world.build();
    let before = world.lock();
    let asked = world.asked();
    world.edit("base.toml", "packages", "globs.exclude = ['/usr/share/man/**']\npackages");
    // The inputs fit: nothing is stale.
    world.run(&["lock", "--check"]).exits(0);
    // The recorded layer is not what the manifests ask for now, and --locked may not record another.
    world.run(&["build", "--locked"]).exits(2).says(&["debstrata.lock", "base (amd64)"]);
    assert_eq!(world.lock(), before);
    assert!(world.layer("base").contains_key("usr/share/man/man1/hello.1"), "the output is as it was");
    world.build().says(&["test/base amd64: edited since the lock recorded sha256:"]);
    assert!(!world.layer("base").contains_key("usr/share/man/man1/hello.1"));
    assert_ne!(world.lock(), before);
    let inputs = |text: &str| text.split("[outputs.amd64]").next().unwrap().to_owned();
    assert_eq!(inputs(&world.lock()), inputs(&before));
    assert_eq!(world.asked(), asked);
    world.run(&["build", "--locked"]).exits(0);
    // Back again: the very bytes of the first build.
    world.edit("base.toml", "globs.exclude = ['/usr/share/man/**']\n", "");
    world.build();
    assert_eq!(world.lock(), before);
}

#[test]
fn the_same_recipe_must_give_the_same_bytes() {
    let world = World::small();
    world.build();
    let good = world.lock();
    let honest = good.split("base = { recipe").nth(1).unwrap().split("sha256:").nth(1).unwrap()[..64].to_owned();
    fs::write(world.lock_path(), good.replace(&honest, &"5".repeat(64))).unwrap();
    let doctored = world.lock();
    for arguments in [&["build"][..], &["build", "--locked"]] {
        // With the output of before, and without one.
        let run = world.run(arguments).exits(2);
        run.says(&["not reproducible", "test/base", &honest, &"5".repeat(64)]);
        assert_eq!(world.layer("base")["usr/share/hello/file"], "file 0644 0:0 hello 1.0");
    }
    fs::remove_dir_all(world.path("out")).unwrap();
    world.run(&["build"]).exits(2).says(&["not reproducible"]);
    assert!(!world.out("test/amd64/base.tar.gz").exists(), "nothing is published that the lock denies");
    assert_eq!(world.lock(), doctored);
    fs::write(world.lock_path(), good).unwrap();
    world.build();
}

#[test]
fn a_broken_lock_is_refused_with_its_line() {
    let world = World::small();
    world.build();
    let good = world.lock();
    let cases = [
        (good.replace("schema = 1", "schema = 7"), "7"),
        (good.replace("schema = 1", "<<<<<<< ours\nschema = 1"), "debstrata.lock"),
        (good.replace("name = \"hello\"", "name = \"other\""), "hello"),
        (String::new(), "the lock cannot be read"),
    ];
    for (text, part) in cases {
        fs::write(world.lock_path(), &text).unwrap();
        for verb in ["build", "lock", "audit", "show"] {
            world.run(&[verb]).exits(2).says(&["debstrata.lock", part]);
        }
        assert_eq!(world.lock(), text);
    }
}

#[test]
fn each_distribution_has_a_lock_of_its_own() {
    let world = World::small();
    second(&world, "packages = ['hello']");
    let other = world.path("manifests/other");
    world.run(&["lock", "other"]).exits(0);
    assert!(!world.lock_path().exists() && other.join("debstrata.lock").exists());
    world.run(&["lock", "othr"]).exits(2).says(&["\"othr\"", "did you mean other?"]);
    world.run(&["lock", "--check"]).exits(1).prints(&["test/debstrata.lock: there is no lock"]);
    world.run(&["lock", "--check", "other"]).exits(0);
}

#[test]
fn a_failed_resolution_leaves_the_lock_alone() {
    let world = World::small();
    world.build();
    let before = world.lock();
    world.edit("base.toml", "['hello']", "['hello', 'helo', 'hello-data (>= 3)']");
    world.edit("top.toml", "['greeting']", "['greting']");
    let run = world.run(&["build"]).exits(2);
    // Both of one tier; its child has no ground to stand on.
    run.says(&["base.toml:2", "`helo`", "`hello-data (>= 3)`"]);
    assert_eq!(world.lock(), before);
    world.server.always("/dists/trixie/InRelease", Fault::Status(404));
    world.run(&["build"]).exits(3).says(&["InRelease", "404"]);
    assert_eq!(world.lock(), before);
}

#[test]
fn a_build_records_the_format_of_the_layers_it_made() {
    let world = World::small();
    world.build();
    let now = world.lock();
    fs::write(world.lock_path(), now.replace(&format!("format-version = {FORMAT_VERSION}\n"), "format-version = 0\n"))
        .unwrap();
    assert_ne!(world.lock(), now);
    world.build();
    assert_eq!(world.lock(), now);
}
