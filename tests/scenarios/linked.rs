//! `dependencies = "linked"`: what stays, what is said, and when a lock is stale.

use crate::{
    support::{DebBuilder, ElfBuilder},
    world::{World, package},
};

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// A package without files.
fn empty(name: &str) -> DebBuilder {
    DebBuilder::new(name, "1").file(format!("/usr/share/doc/{name}/copyright"), 0o644, "free\n")
}

fn program(deb: DebBuilder, name: &str, elf: ElfBuilder) -> DebBuilder {
    deb.file(format!("/usr/bin/{name}"), 0o755, elf.build())
}

fn library(name: &str, soname: &str, elf: ElfBuilder) -> DebBuilder {
    let file = format!("{soname}.0.0");
    empty(name).file(format!("{LIBRARIES}/{file}"), 0o644, elf.build()).symlink(format!("{LIBRARIES}/{soname}"), &file)
}

fn libc() -> DebBuilder {
    library("libc6", "libc.so.6", ElfBuilder::library("libc.so.6")).file(
        "/usr/lib64/ld-linux-x86-64.so.2",
        0o755,
        ElfBuilder::library("ld-linux-x86-64.so.2").build(),
    )
}

fn app() -> DebBuilder {
    program(empty("app"), "app", ElfBuilder::program().needed("libc.so.6").needed("libone.so.1"))
        .depends("libc6, libone1, helper, data")
}

/// app needs libone and, through it, libtwo; helper and data are for nothing.
fn archive() -> Vec<DebBuilder> {
    vec![
        libc(),
        app(),
        library("libone1", "libone.so.1", ElfBuilder::library("libone.so.1").needed("libtwo.so.2")).depends("middle"),
        package("middle", "1").depends("libtwo2"),
        library("libtwo2", "libtwo.so.2", ElfBuilder::library("libtwo.so.2")),
        package("helper", "1").depends("deep"),
        package("deep", "1"),
        package("data", "1").arch("all"),
    ]
}

const APP: &str = "packages = ['app']\ndependencies = 'linked'";

/// The packages of a tier, in the lock's order.
fn tier(world: &World, name: &str) -> Vec<String> {
    let lock: toml::Table = world.lock().parse().unwrap();
    let packages = lock["inputs"]["amd64"]["tiers"][name]["packages"].as_array().unwrap();
    packages.iter().map(|package| package.as_str().unwrap().to_owned()).collect()
}

/// Which file `why` says needs a package.
fn told(world: &World, package: &str) -> String {
    let said: serde_json::Value = serde_json::from_str(&world.run(&["why", "base", package, "--json"]).stdout).unwrap();
    let linked: Vec<_> = said["chain"].as_array().unwrap().iter().filter(|link| link["kind"] == "linked").collect();
    assert_eq!(linked.len(), 1, "{said}");
    linked[0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn libraries_stay_and_the_rest_goes() {
    let world = World::new(archive(), &[("base", APP)]);
    let run = world.build();
    assert_eq!(tier(&world, "base"), ["app", "libc6", "libone1", "libtwo2"]);
    assert!(run.stdout.contains("linked in test/base amd64: 4 packages fewer"), "{}", run.stdout);
    assert!(world.lock().contains("saved = { packages = 4, size = "), "{}", world.lock());
    // What nothing could need was not even fetched.
    assert_eq!((world.fetched("deep"), world.fetched("libtwo2")), (0, 1));
    let why = "/usr/lib/x86_64-linux-gnu/libone.so.1.0.0 (of the package libone1 1 (amd64)) needs libtwo.so.2, which is its \
               /usr/lib/x86_64-linux-gnu/libtwo.so.2.0.0";
    assert_eq!(told(&world, "libtwo2"), why);
    world.run(&["lock", "--check"]).exits(0);
    world.run(&["audit"]).exits(0);
    let why = world.run(&["why", "base", "helper"]).exits(0);
    assert!(why.stdout.contains("dependencies = \"linked\" leaves it out"), "{}", why.stdout);
    let before = world.lock();
    let asked = world.asked();
    world.run(&["build", "--locked"]).exits(0);
    assert_eq!((world.lock(), world.asked()), (before, asked));
}

#[test]
fn a_parents_libraries_are_there_already() {
    let base = "packages = ['libc6', 'libtwo2']\ndependencies = 'none'";
    let world = World::new(archive(), &[("base", base), ("top", &format!("parent = 'base'\n{APP}"))]);
    world.build();
    assert_eq!(tier(&world, "top"), ["app", "libone1"]);
    // What the parent does not keep must be brought: its globs are part of the question.
    world.tier("base", &format!("{base}\n[globs]\nexclude = ['{LIBRARIES}/libtwo*']"));
    let run = world.run(&["lock", "--check"]).exits(1);
    assert!(run.stdout.contains("changed: top"), "{}", run.stdout);
    let run = world.run(&["lock"]).exits(2);
    run.says(&["libone.so.1.0.0 of libone1 1 needs libtwo.so.2", "top.toml:3"]);
}

#[test]
fn a_library_that_is_nowhere_names_file_and_package() {
    let broken = program(empty("app"), "app", ElfBuilder::program().needed("libc.so.6").needed("libnone.so.9"));
    let world = World::new([libc(), broken.depends("libc6")], &[("base", APP)]);
    world.run(&["lock"]).exits(2).says(&["/usr/bin/app of app 1 needs libnone.so.9", "base.toml:2", "allow-missing"]);
    let allowed = "allow-missing = [{ library = 'libnone.so.9', reason = 'a plugin' }]";
    world.tier("base", &format!("{APP}\n{allowed}"));
    world.run(&["lock"]).exits(0);
    // Another reason changes nothing, another library does.
    world.edit("base.toml", "a plugin", "never used");
    world.run(&["lock", "--check"]).exits(0);
    world.edit("base.toml", "libnone.so.9", "libother.so.9");
    world.run(&["lock", "--check"]).exits(1);
}

#[test]
fn what_globs_leave_out_needs_nothing() {
    let world = World::new(archive(), &[("base", &format!("{APP}\n[globs]\nexclude = ['/usr/bin/app']"))]);
    world.run(&["lock"]).exits(0);
    assert_eq!(tier(&world, "base"), ["app"]);
    let found = world.run(&["check", "--json"]).exits(1).json();
    let found = &found["findings"].as_array().unwrap()[..];
    assert_eq!((found.len(), &found[0]["lint"], &found[0]["subject"]), (1, &"idle-wish".into(), &"app".into()));
    assert_eq!((&found[0]["file"], &found[0]["line"]), (&"manifests/test/base.toml".into(), &2.into()));
    assert!(found[0]["message"].as_str().unwrap().ends_with("fell away: libc6, libone1, helper, data"), "{found:?}");
}

#[test]
fn an_idle_allowance_is_told() {
    let allowed = "allow-missing = [\n{ library = 'libnone.so.1', reason = 'r' },\n{ library = 'libtwo.so.2', reason = 'r' },\n]\n\
                   symlinks = [{ path = '/lib64', target = 'usr/lib64' }]";
    let libone = ElfBuilder::library("libone.so.1").needed("libtwo.so.2").needed("libnone.so.1");
    let mut debs = archive();
    debs[2] = library("libone1", "libone.so.1", libone).depends("middle");
    let world = World::new(debs, &[("base", &format!("{APP}\n{allowed}"))]);
    world.run(&["lock"]).exits(0);
    world.run(&["check"]).exits(1).prints(&["  idle-allow-missing libtwo.so.2\n", "base.toml:6"]);
    world.edit("base.toml", "{ library = 'libtwo.so.2', reason = 'r' },", "");
    world.run(&["lock"]).exits(0);
    world.run(&["check"]).exits(0);
}

#[test]
fn scripts_links_notes_halves_and_collections() {
    let world = World::new(
        [
            libc(),
            empty("all-of-it").depends("app"),
            empty("app")
                .file("/usr/bin/script", 0o755, "#!/usr/bin/env tool\n")
                .file("/usr/share/app/example.sh", 0o644, "#!/bin/unknown\n")
                .file("/usr/bin/shell", 0o755, "#!/bin/sh\n")
                .symlink("/usr/bin/alias", "../lib/app/real")
                .depends("tools, app-bin (= 1), app-doc (= 1), app-conf (>= 1), app-conf (<< 2)")
                .field("Pre-Depends", "linked-to, libnote1, libmaybe1"),
            program(empty("tools"), "tool", ElfBuilder::program()).depends("libc6"),
            package("linked-to", "1").file("/usr/lib/app/real", 0o755, "x"),
            program(empty("app-bin"), "app", ElfBuilder::program().dlopen("required", &["libnone.so", "libnote.so.1"]))
                .field("Source", "app")
                .depends("libc6, libnote1"),
            empty("app-doc").field("Source", "app"),
            package("app-conf", "1").field("Source", "app").depends("libmaybe1"),
            library(
                "libnote1",
                "libnote.so.1",
                ElfBuilder::library("libnote.so.1").dlopen("recommended", &["libmaybe.so.1"]),
            )
            .depends("libmaybe1"),
            library("libmaybe1", "libmaybe.so.1", ElfBuilder::library("libmaybe.so.1")),
        ],
        &[("base", "packages = ['all-of-it']\ndependencies = 'linked'")],
    );
    let run = world.run(&["lock", "--verbose"]).exits(0);
    let mut packages = tier(&world, "base");
    packages.sort();
    assert_eq!(packages, ["all-of-it", "app", "app-bin", "app-conf", "libc6", "libnote1", "linked-to", "tools"]);
    let why = "/usr/bin/script (of the package app 1 (amd64)) needs tool, which is its /usr/bin/tool";
    assert_eq!(told(&world, "tools"), why);
    run.says(&[
        "libnote1 loads the library libmaybe.so.1, which is not there",
        "/usr/bin/shell of app is run by /bin/sh",
    ]);
}

/// As python3 is in Debian: the package has no program, the next one a link, the one behind it the program.
#[test]
fn an_interpreter_is_found_through_a_link_to_one_further_away() {
    let world = World::new(
        [
            package("app", "1").file("/usr/bin/app", 0o755, "#!/usr/bin/snake\n").depends("snake, other"),
            package("snake", "1").depends("snake-minimal"),
            package("snake-minimal", "1").symlink("/usr/bin/snake", "snake3").depends("snake3-minimal"),
            package("snake3-minimal", "1").file("/usr/bin/snake3", 0o755, "x"),
            package("other", "1"),
        ],
        &[("base", APP)],
    );
    let run = world.run(&["lock", "--verbose"]).exits(0);
    assert_eq!(tier(&world, "base"), ["app", "snake-minimal", "snake3-minimal"]);
    assert!(!run.stderr.contains("which is not there"), "{}", run.stderr);
}

#[test]
fn a_file_that_is_no_elf_names_itself() {
    let mut bytes = ElfBuilder::program().needed("libc.so.6").build();
    bytes.truncate(100);
    let broken = DebBuilder::new("app", "1").file("/usr/bin/app", 0o755, bytes);
    let world = World::new([broken], &[("base", APP)]);
    world.run(&["lock"]).exits(2).says(&["/usr/bin/app of app 1 in test/base amd64", "no valid ELF file"]);
    // Nothing is read where files do not count.
    world.tier("base", "packages = ['app']");
    world.build();
}

#[test]
fn the_cache_of_libraries_is_made_of_the_whole_chain() {
    let hidden = library("libone1", "libone.so.1", ElfBuilder::library("libone.so.1"));
    let no_link =
        empty("libtwo2").file(format!("{LIBRARIES}/libtwo.so.2.1"), 0o644, ElfBuilder::library("libtwo.so.2").build());
    let libc = libc().file("/etc/ld.so.conf", 0o644, "include /etc/ld.so.conf.d/*.conf\n");
    let world = World::new(
        [libc, hidden, no_link],
        &[
            ("base", "packages = ['libc6']"),
            ("top", "parent = 'base'\npackages = ['libone1', 'libtwo2']\n[generate]\nld-so-cache = true"),
        ],
    );
    world.build();
    let layer = world.layer("top");
    assert!(layer.contains_key("etc/ld.so.cache"), "{:?}", layer.keys());
    // As ldconfig would: the link that the package lacks.
    assert!(layer.contains_key("usr/lib/x86_64-linux-gnu/libtwo.so.2"), "{:?}", layer.keys());
    world.tier("base", "packages = ['libone1']");
    world.tier("top", "parent = 'base'\npackages = ['libtwo2']\n[generate]\nld-so-cache = true");
    world.run(&["build"]).exits(2).says(&["no package of this chain has a libc", "top.toml:5"]);
}

#[test]
fn another_tier_leaves_the_answers_of_the_others_and_fetches_nothing_for_them() {
    let world = World::new(archive(), &[("base", "packages = ['libc6']"), ("app", &format!("parent = 'base'\n{APP}"))]);
    world.run(&["lock"]).exits(0);
    let (before, helper) = (world.lock(), world.fetched("helper"));
    assert_eq!(helper, 1, "what could be needed is read once");
    std::fs::remove_dir_all(world.path("cache")).unwrap();
    world.tier("extra", "packages = ['data']");
    world.run(&["lock"]).exits(0);
    assert_eq!([world.fetched("helper"), world.fetched("app")], [1, 1]);
    let after = world.lock();
    let line = |line: &&str| !after.lines().any(|other| other == *line);
    assert_eq!(before.lines().filter(line).collect::<Vec<_>>(), [""; 0]);
    // What shapes the answer still does.
    world.edit("base.toml", "['libc6']", "['libc6', 'libtwo2']");
    world.run(&["lock"]).exits(0);
    assert_eq!(world.fetched("helper"), 2);
    assert!(!tier(&world, "app").contains(&"libtwo2".to_owned()));
}
