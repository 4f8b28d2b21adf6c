//! `show`, and how tiers, distributions and architectures are named.

use std::fs;

use serde_json::json;

use crate::{
    support::DebBuilder,
    world::{World, package},
};

/// A second distribution with the same archive and a tier `base` of its own.
fn second(world: &World, name: &str) {
    let folder = world.path("manifests").join(name);
    fs::create_dir(&folder).unwrap();
    for file in ["archive.toml", "keys.asc"] {
        fs::copy(world.project.file(file), folder.join(file)).unwrap();
    }
    fs::write(folder.join("base.toml"), "summary = 'other'\npackages = ['greeting']").unwrap();
}

#[test]
fn a_tier_as_json_is_what_scripts_rely_on() {
    let world = World::new(
        [package("hello", "1.0").field("Source", "hello-src (0.9)"), package("data", "2").arch("all")],
        &[("base", "packages = ['hello']"), ("top", "parent = 'base'\npackages = ['data']")],
    );
    world.build();
    let shown = world.run(&["show", "test/top", "--json"]).exits(0).json();
    assert_eq!(
        (&shown["distribution"], &shown["tier"], &shown["architecture"]),
        (&json!("test"), &json!("top"), &json!("amd64"))
    );
    let packages = shown["packages"].as_array().unwrap();
    let sum = |name| debstrata::ground::Sha256::of(&world.deb(name).bytes).to_string();
    let expected = [
        ("hello", "1.0", "amd64", "hello-src", world.deb("hello").bytes.len(), sum("hello")),
        ("data", "2", "all", "data", world.deb("data").bytes.len(), sum("data")),
    ];
    assert_eq!(packages.len(), expected.len());
    for (package, (name, version, architecture, source, size, sha256)) in packages.iter().zip(expected) {
        assert_eq!(package["name"], name);
        assert_eq!(package["version"], version);
        assert_eq!(package["architecture"], architecture);
        assert_eq!(package["source"], source);
        assert_eq!(package["size"], size);
        assert_eq!(package["sha256"], sha256);
    }
    let layers = shown["layers"].as_array().unwrap();
    let tiers: Vec<_> = layers.iter().map(|layer| &layer["tier"]).collect();
    assert_eq!(tiers, ["base", "top"]);
    for layer in layers {
        assert!(world.lock().contains(layer["diff_id"].as_str().unwrap()));
        assert!(layer["size"].as_u64().unwrap() > 1024);
    }
}

#[test]
fn people_get_tables() {
    let world = World::small();
    world.run(&["show"]).exits(2).says(&["there is no lock"]);
    world.run(&["lock"]).exits(0);
    world.run(&["show"]).exits(0).prints(&["test amd64: ", "\nbase ", "\n└─ top ", "not built", "the tier top"]);
    world.build();
    let run = world.run(&["show"]).exits(0).prints(&["base", "└─ top"]);
    assert!(!run.stdout.contains("not built"), "{}", run.stdout);
    assert_eq!(run.stderr, "");
    let run = world.run(&["show", "top"]).exits(0);
    run.prints(&["test/top amd64: the tier top", "chain: base <- top", "hello", "greeting", "sha256:"]);
    assert_eq!(world.run(&["show", "--json"]).exits(0).json().as_array().unwrap().len(), 2);
    world.edit("top.toml", "['greeting']", "['greeting (>= 1)']");
    world.run(&["show"]).exits(2).says(&["does not fit the manifests", "changed: top (amd64)"]);
}

#[test]
fn names_that_nobody_has_get_the_nearest() {
    let world = World::small();
    second(&world, "other");
    world.run(&["lock"]).exits(0);
    for verb in ["build", "show", "audit", "check"] {
        world.run(&[verb, "bas"]).exits(2).says(&["\"bas\"", "did you mean base?"]);
        world.run(&[verb, "test/tpo"]).exits(2).says(&["\"test/tpo\"", "did you mean test/top?"]);
        world.run(&[verb, "other/top"]).exits(2).says(&["\"other/top\""]);
        let both = world.run(&[verb, "nix", "nada/x"]).exits(2);
        both.says(&["\"nix\"", "\"nada/x\"", "other/base", "test/top"]);
        world.run(&[verb, "--arch", "amd46"]).exits(2).says(&["\"amd46\"", "did you mean amd64?"]);
        world.run(&[verb, "--arch", "s390x"]).exits(2).says(&["s390x", "--arch", "archive.toml"]);
    }
}

#[test]
fn one_name_in_two_distributions_is_both() {
    let world = World::small();
    second(&world, "other");
    world.run(&["lock"]).exits(0);
    let names = |run: &crate::world::Run| -> Vec<String> {
        let shown = run.json();
        let list = shown.as_array().unwrap().clone();
        list.iter().map(|one| format!("{}/{}", one["distribution"], one["tier"]).replace('"', "")).collect()
    };
    assert_eq!(names(&world.run(&["show", "base", "--json"]).exits(0)), ["other/base", "test/base"]);
    assert_eq!(names(&world.run(&["show", "--json"]).exits(0)), ["other/base", "test/base", "test/top"]);
    let only = world.run(&["show", "other/base", "--json"]).exits(0).json();
    assert_eq!(only["packages"][0]["name"], "greeting");
    // They share the cache: greeting is fetched once, whoever asks.
    world.build();
    assert_eq!(world.fetched("greeting"), 1);
    assert!(world.out("other/amd64/base.tar.gz").exists() && world.out("test/amd64/base.tar.gz").exists());
    assert_eq!(fs::read_to_string(world.out("SHA256SUMS")).unwrap().lines().count(), 3);
}

#[test]
fn architectures_are_built_by_name_or_all() {
    let world = World::new(
        [
            package("hello", "1"),
            package("hello", "1").arch("arm64").file("/usr/share/hello/arm", 0o644, ""),
            DebBuilder::new("data", "1").arch("all").file("/usr/share/data", 0o644, "data"),
            package("only", "1"),
        ],
        &[("base", "packages = ['hello', 'data', 'only [amd64]']")],
    );
    world.edit_archive("[\"amd64\"]", "[\"amd64\", \"arm64\"]");
    let built = world.run(&["build", "--arch", "all", "--json"]).exits(0).json();
    let summary: Vec<_> =
        built.as_array().unwrap().iter().map(|one| (one["architecture"].clone(), one["packages"].clone())).collect();
    assert_eq!(summary, [(json!("amd64"), json!(3)), (json!("arm64"), json!(2))]);
    assert_eq!(world.fetched("data"), 1, "one package for all, one request");
    assert!(world.out("test/arm64/base.tar.gz").exists());
    assert_eq!(world.run(&["show", "base", "--arch", "all", "--json"]).exits(0).json().as_array().unwrap().len(), 2);
    assert_eq!(world.run(&["show", "base", "--arch", "arm64", "--json"]).exits(0).json()["architecture"], "arm64");
    world.run(&["audit", "--arch", "amd64", "--arch", "arm64"]).exits(0).prints(&["2 layers"]);
}

#[test]
fn a_page_tells_of_files_once_they_are_at_hand() {
    let world = World::small();
    world.edit("base.toml", "packages", "image = { user = '7', env = { A = 'b' }, cmd = ['x'] }\nusers = [{ name = 'app', uid = 7, gid = 7 }]\ngroups = [{ name = 'app', gid = 7 }]\npackages");
    world.run(&["lock"]).exits(0);
    let asked = world.asked();
    let run = world.run(&["show", "top"]).exits(0);
    run.prints(&["files and users are not known here", "A=b", "[\"x\"]"]);
    assert_eq!(world.asked(), asked, "a page asks no network");
    world.build();
    let run = world.run(&["show", "top"]).exits(0);
    run.prints(&["/usr/share/greeting/file", "greeting 1.0", "app", "kept"]);
    let shown = world.run(&["show", "top", "--json"]).exits(0).json();
    assert_eq!(shown["config"], json!({"user": "7", "cmd": ["x"], "env": {"A": "b"}}));
    assert_eq!((&shown["parent"], &shown["users"][0]["name"]), (&json!("base"), &json!("app")));
    assert!(shown["largest_files"].as_array().unwrap().iter().any(|file| file["path"] == "/usr/share/hello/file"));
}

#[test]
fn files_and_folders_of_a_tier() {
    let world = World::small();
    world.run(&["lock"]).exits(0);
    // What is not there yet is fetched.
    let run = world.run(&["show", "top", "--files"]).exits(0);
    let line = run.stdout.lines().find(|line| line.ends_with("/usr/share/greeting/file")).unwrap().to_owned();
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!(cells, ["-rw-r--r--", "0:0", "13", "top", "greeting", "1.0", "/usr/share/greeting/file"]);
    // Then it is remembered: no .deb is needed any more.
    fs::remove_dir_all(world.path("cache/downloads")).unwrap();
    assert_eq!(world.run(&["--offline", "show", "top", "--files"]).exits(0).stdout, run.stdout);
    let tree = world.run(&["--offline", "show", "top", "--tree", "--depth", "3", "--json"]).exits(0).json();
    let found = tree["tree"].as_array().unwrap().iter().find(|one| one["path"] == "/usr/share/hello").unwrap().clone();
    assert_eq!((&found["size"], &found["files"], &found["tiers"]), (&json!(10), &json!(1), &json!(["base"])));
    // A damaged memory is none.
    let folder = world.path("cache/derived/see");
    for entry in fs::read_dir(&folder).unwrap() {
        fs::write(entry.unwrap().path(), "x").unwrap();
    }
    let again = world.run(&["show", "top", "--files"]).exits(0);
    assert_eq!(again.stdout, run.stdout);
    // Lines of JSON are the very ones that `sbom --files` would give.
    let lines = world.run(&["show", "top", "--files", "--json"]).exits(0).stdout;
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{lines}");
    assert!(lines.contains("\"path\":\"/usr/share/greeting/file\""), "{lines}");
    // An edit that moves a line is seen, though no layer changes.
    world.edit("base.toml", "packages", "files = [{ path = '/a', text = 'x' }]\npackages");
    world.run(&["show", "base", "--files"]).exits(0).prints(&["base.toml:2"]);
    world.edit("base.toml", "files =", "# a comment\n\nfiles =");
    world.run(&["show", "base", "--files"]).exits(0).prints(&["base.toml:4"]);
}

#[test]
fn views_that_do_not_go_together() {
    let world = World::small();
    world.run(&["lock"]).exits(0);
    for arguments in [
        &["show", "--files"][..],
        &["show", "--tree"],
        &["show", "top", "--depth", "1"],
        &["show", "top", "--tree", "--files"],
        &["show", "top", "--graph", "png"],
        &["show", "base", "top", "--files", "--json"],
    ] {
        world.run(arguments).exits(2);
    }
    world.run(&["explore", "top", "--arch", "amd64"]).exits(2).says(&["needs a terminal", "show TIER --tree"]);
    world.run(&["explore", "top", "--json"]).exits(2).says(&["--tree --json"]);
}

#[test]
fn the_tiers_at_a_glance() {
    let world = World::small();
    world.build();
    world.run(&["show", "--graph"]).exits(0).prints(&["└─ top", "█"]);
    world.run(&["show", "--graph", "mermaid"]).exits(0).prints(&["flowchart LR", "d0t0 --> d0t1"]);
    world.run(&["show", "--graph", "svg"]).exits(0).prints(&["<svg ", ">top<", "2 packages (+1)"]);
    // One that is named comes with those that it stands on.
    let glance = world.run(&["show", "top", "--graph", "--json"]).exits(0).json();
    assert_eq!(glance["families"][0]["tiers"][1]["parent"], "base");
}
