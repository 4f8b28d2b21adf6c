//! What the tool says of itself and does for beginners: `new`, `fmt`, `cache`, `schema`, `man`,
//! `completions`, `--explain`, and names on the command line.

use std::{fs, path::Path};

use debstrata::ground::Sha256;
use serde_json::json;

use crate::{
    support::{DebBuilder, Key, Project, TestArchive, TestSuite, project::project},
    world::{POOL, World, files, package},
};

/// A project folder in which nothing is.
fn empty() -> Project {
    let project = project("", &[], &[]);
    fs::remove_dir_all(project.path().join("manifests")).unwrap();
    project
}

/// Runs the program: status, stdout, stderr without white space.
fn run(project: &Project, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = project.command().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let told = text(output.stderr)
        .lines()
        .map(|line| line.trim_start().trim_start_matches("| "))
        .collect::<Vec<_>>()
        .join(" ");
    (output.status.code(), text(output.stdout), told)
}

/// The program succeeds; its stdout.
fn done(project: &Project, arguments: &[&str]) -> String {
    let (status, stdout, stderr) = run(project, arguments);
    assert_eq!(status, Some(0), "{arguments:?}: {stderr}");
    stdout
}

/// The program refuses the command, saying all of this, and changes nothing.
fn refused(project: &Project, arguments: &[&str], parts: &[&str]) {
    let before: Vec<_> = files(project.path()).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let (status, stdout, stderr) = run(project, arguments);
    assert_eq!((status, &*stdout), (Some(2), ""), "{arguments:?}: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{arguments:?} does not say {part:?}: {stderr}");
    }
    let after: Vec<_> = files(project.path()).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    assert!(before == after, "{arguments:?} changed something");
}

#[test]
fn new_in_an_empty_folder_makes_a_project_that_builds() {
    let project = empty();
    let stdout = done(&project, &["new", "debian13"]);
    assert!(stdout.ends_with("now: debstrata build debian13\n"), "{stdout}");
    let written = done(&project, &["new", "debian13/app", "hello (>= 1)", "--json"]);
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["files"], json!(["manifests/debian13/app.toml"]));
    assert_eq!(done(&project, &["fmt", "--check"]), "0 of 3 manifests to format\n");

    // The same archive, signed by another key.
    let key = Key::new("archive");
    fs::write(project.path().join("manifests/debian13/keyrings/debian-archive-keyring.asc"), key.armoured()).unwrap();
    let all = ["amd64", "arm64", "armhf", "ppc64el", "riscv64", "s390x"].map(str::to_owned).to_vec();
    let suite = |name: &str| TestSuite { architectures: all.clone(), ..TestSuite::new(name, &key) };
    let mut main = suite("trixie");
    let certificates = DebBuilder::new("ca-certificates", "1")
        .file(
            "/usr/share/ca-certificates/mozilla/a.crt",
            0o644,
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        )
        .file("/usr/share/doc/ca-certificates/copyright", 0o644, "free");
    let plain = ["base-files", "libc6", "netbase", "tzdata"].map(|name| package(name, "1.0"));
    let debs = plain.into_iter().chain([certificates, package("hello", "1.0")]);
    main.packages = debs.map(|deb| ("main".into(), deb.arch("all").build())).collect();
    let server = TestArchive::new([main, suite("trixie-updates"), suite("trixie-security")]).serve();
    let mirrors = ["debian", "debian-security"].map(|archive| format!("--mirror={archive}={}", server.url()));
    let stdout = done(&project, &["build", "--arch", "amd64", "debian13", &mirrors[0], &mirrors[1]]);
    assert!(stdout.contains("debian13/base") && stdout.contains("debian13/app"), "{stdout}");
    let layer = crate::world::entries(&project.path().join("out/debian13/amd64/base.tar.gz"));
    assert!(layer["etc/passwd"].contains("nonroot:x:65532:65532"), "{layer:?}");
    assert!(layer.contains_key("etc/ssl/certs/ca-certificates.crt"));
    let layer = crate::world::entries(&project.path().join("out/debian13/amd64/app.tar.gz"));
    assert!(layer.contains_key("usr/share/hello/file"));
}

#[test]
fn new_overwrites_nothing_and_helps_with_names() {
    let project = empty();
    done(&project, &["new", "debian12/app"]);
    let tiers: Vec<_> = files(&project.path().join("manifests/debian12")).into_iter().collect();
    assert_eq!(tiers.len(), 4, "archive, keyring, first tier, app");
    for (arguments, parts) in [
        (&["new", "debian12"][..], &["there is a distribution debian12 already", "debstrata new debian12/app"][..]),
        (&["new", "debian12/app"], &["manifests/debian12/app.toml is there already"]),
        (&["new", "debian12/base"], &["is there already"]),
        (&["new", "debian14"], &["did you mean debian12? Known are debian12, debian13"]),
        (&["new", "server"], &["debstrata new debian12/server"]),
        (&["new", "debian12/Bad"], &["no tier can be called \"Bad\""]),
        (&["new", "debian12/../x"], &["no tier can be called"]),
        (&["new", "debian12/x", "a,b"], &["is no package"]),
        (&["new", "debian13", "curl"], &["packages belong to a tier", "debstrata new debian13/app curl"]),
        (&["new", "debian13/base", "curl"], &["the first tier"]),
    ] {
        refused(&project, arguments, parts);
    }
}

#[test]
fn a_new_tier_stands_on_the_tier_that_most_others_stand_on() {
    let world = World::new(
        [package("hello", "1.0")],
        &[
            ("root", "packages = ['hello']"),
            ("base", "parent = 'root'"),
            ("x", "parent = 'base'"),
            ("y", "parent = 'base'"),
            ("z", "parent = 'x'"),
        ],
    );
    world.run(&["new", "test/mine"]).exits(0);
    let text = fs::read_to_string(world.project.file("mine.toml")).unwrap();
    assert!(text.contains("\nparent = \"base\"\n"), "{text}");
    world.run(&["build", "mine"]).exits(0);
    assert!(world.out("test/amd64/mine.tar.gz").is_file());
}

#[test]
fn a_distributions_name_stands_for_its_tiers() {
    let world = World::small();
    let built = |arguments: &[&str]| {
        let run = world.run(&[&["build", "--json"], arguments].concat()).exits(0).json();
        let names = run.as_array().unwrap().iter().map(|tier| tier["tier"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(built(&["test"]), ["base", "top"]);
    assert_eq!(built(&["test", "base"]), ["base", "top"]);
    // A tier that is called like its distribution is meant first.
    world.tier("test", "packages = ['hello']");
    assert_eq!(built(&["test"]), ["test"]);
    world.run(&["build", "tset"]).exits(2).says(&["did you mean test?"]);
    world.run(&["lock", "test/base"]).exits(2).says(&["a lock is a whole distribution's: test"]);
    let none = world.path("manifests/none");
    fs::create_dir(&none).unwrap();
    for file in ["archive.toml", "keys.asc"] {
        fs::copy(world.project.file(file), none.join(file)).unwrap();
    }
    world.run(&["build", "none"]).exits(2).says(&["the distribution none has no tiers yet", "debstrata new none/app"]);
}

#[test]
fn misspelt_verbs_and_missing_ones_get_help() {
    let world = World::small();
    world.run(&["biuld"]).exits(2).says(&["unrecognized subcommand 'biuld'", "'build'"]);
    world.run(&["cache", "sise"]).exits(2).says(&["'size'"]);
    world.run(&[]).exits(2).says(&["a verb is missing", "build, bundle, lock"]);
    world.run(&["--explain", "fetch::gone", "show"]).exits(2).says(&["--explain goes with no verb"]);
}

#[test]
fn codes_are_explained() {
    let project = empty();
    for code in ["fetch::gone", "debstrata::fetch::gone"] {
        let stdout = done(&project, &["--explain", code]);
        assert!(stdout.starts_with("debstrata::fetch::gone: A file is gone from every mirror\n\n"), "{stdout}");
        assert!(stdout.contains("debstrata lock"));
    }
    let entry: serde_json::Value =
        serde_json::from_str(&done(&project, &["--explain", "manifest::unknown_key", "--json"])).unwrap();
    assert_eq!(entry["code"], "debstrata::manifest::unknown_key");
    assert!(entry["example"].as_str().unwrap().contains("[globs]") && entry["do"].is_string());
    refused(&project, &["--explain", "fetch::gon"], &["did you mean fetch::gone?"]);
    refused(&project, &["--explain", "stale_lock"], &["did you mean pipeline::stale_lock?"]);
    refused(&project, &["--explain", "\u{1b}[2J"], &["no diagnostic has the code"]);
}

#[test]
fn schemas_completions_and_pages_are_printed() {
    let project = empty();
    for which in ["archive", "tier"] {
        let schema: serde_json::Value = serde_json::from_str(&done(&project, &["schema", which])).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
    assert_eq!(done(&project, &["schema"]), done(&project, &["schema", "tier", "--json"]));
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef debstrata"), ("fish", "complete -c debstrata")] {
        let script = done(&project, &["completions", shell]);
        assert!(script.contains(part) && script.contains("unreferenced"), "{shell}");
    }
    let page = done(&project, &["man"]);
    assert!(page.contains(".TH debstrata 1") && page.contains("build"), "{page}");
    let folder = project.path().join("man");
    done(&project, &["man", folder.to_str().unwrap()]);
    let names: Vec<_> =
        files(&folder).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    for name in ["debstrata.1", "debstrata-build.1", "debstrata-cache-prune.1", "debstrata-man.1"] {
        assert!(names.iter().any(|one| one == name), "{name} is not among {names:?}");
    }
    let prune = fs::read_to_string(folder.join("debstrata-cache-prune.1")).unwrap();
    assert!(prune.contains("max\\-size") && prune.contains("offline"), "{prune}");
}

#[test]
fn fmt_writes_what_differs_and_check_only_says_so() {
    let world = World::small();
    world.run(&["fmt"]).exits(0);
    world.project.write("top.toml", "packages=['greeting']\nparent='base' # below\n");
    let archive = world.project.file("archive.toml");
    let (before, old) = (crate::world::written(&archive), fs::read_to_string(world.project.file("top.toml")).unwrap());
    let run = world.run(&["fmt", "--check"]).exits(1);
    run.prints(&["manifests/test/top.toml\n1 of 3 manifests to format\n"]);
    assert_eq!(fs::read_to_string(world.project.file("top.toml")).unwrap(), old);
    let run = world.run(&["fmt", "--json"]).exits(0).json();
    assert_eq!(run, json!({ "changed": ["manifests/test/top.toml"], "files": 3 }));
    let new = fs::read_to_string(world.project.file("top.toml")).unwrap();
    assert_eq!(new, "parent = 'base' # below\npackages = ['greeting']\n");
    assert_eq!(crate::world::written(&archive), before, "what is right is not written again");
    world.run(&["fmt", "--check"]).exits(0);
    // One file that is no TOML: all the others are formatted, and it is told.
    world.project.write("base.toml", "packages = [");
    world.project.write("top.toml", "parent   = 'base'\n");
    world.run(&["fmt"]).exits(2).says(&["no valid TOML", "base.toml"]);
    assert_eq!(fs::read_to_string(world.project.file("top.toml")).unwrap(), "parent = 'base'\n");
    let file = world.project.file("top.toml");
    world.run(&["fmt", file.to_str().unwrap()]).exits(0).prints(&["0 of 1 manifests formatted"]);
    // A link stays one: what it leads to is formatted, and so it is with the lock.
    for name in ["top.toml", "debstrata.lock"] {
        let (link, kept) = (world.project.file(name), world.path(&format!("kept-{name}")));
        fs::write(&kept, if name == "top.toml" { "parent  = 'base'\n" } else { "" }).unwrap();
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&kept, &link).unwrap();
    }
    world.project.write("base.toml", "packages = ['hello']\n");
    world.run(&["fmt"]).exits(0);
    assert_eq!(fs::read_to_string(world.path("kept-top.toml")).unwrap(), "parent = 'base'\n");
    fs::remove_file(world.path("kept-debstrata.lock")).unwrap();
    world.run(&["lock"]).exits(0);
    assert!(world.path("kept-debstrata.lock").is_file());
    assert!(["top.toml", "debstrata.lock"].iter().all(|name| world.project.file(name).is_symlink()));
    world.run(&["fmt", "/nowhere.toml"]).exits(2).says(&["cannot read /nowhere.toml"]);
}

fn kinds(run: &serde_json::Value) -> Vec<String> {
    run["kinds"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_cache_tells_its_size_and_keeps_what_locks_refer_to() {
    let mut world = World::small();
    world.build();
    let all = world.run(&["cache", "size", "--json"]).exits(0).json();
    assert!(kinds(&all).contains(&"downloads".to_owned()) && kinds(&all).contains(&"derived/unpacked".to_owned()));
    assert!(all["total"]["bytes"].as_u64().unwrap() > 1000);
    world.run(&["cache", "size"]).exits(0).prints(&["downloads", "derived/unpacked"]);
    assert_eq!(world.run(&["cache", "prune", "--json"]).exits(0).json()["removed"]["files"], 0);

    // An upgrade leaves the old .deb behind, an older version its layout, a killed run its temporary.
    let old = world.path("cache/downloads").join(shard(&Sha256::of(&world.deb("hello").bytes).to_string()));
    world.publish(|suite| {
        suite.packages.retain(|(_, deb)| deb.name != "hello");
        suite.packages.push(("main".into(), package("hello", "2.0").build()));
    });
    world.run(&["lock", "--upgrade"]).exits(0);
    world.build();
    let nested = world.path("cache/derived/unpacked/ab/cd");
    fs::create_dir_all(&nested).unwrap();
    fs::write(nested.join("spool"), "old").unwrap();
    fs::write(world.path("cache/derived/incoming/.debstrata-x.tmp"), "x").unwrap();
    fs::create_dir_all(world.path("cache/scratch-left/deep")).unwrap();
    fs::write(world.path("cache/mine.txt"), "not the cache's").unwrap();
    assert!(old.is_file());
    let before = files(&world.path("cache"));
    let dry = world.run(&["cache", "prune", "--unreferenced", "--dry-run", "--json"]).exits(0).json();
    assert_eq!(files(&world.path("cache")), before);
    let run = world.run(&["cache", "prune", "--unreferenced", "--json"]).exits(0).json();
    assert_eq!((&run["removed"], &run["kinds"], &run["left"]), (&dry["removed"], &dry["kinds"], &dry["left"]));
    assert!(kinds(&run).contains(&"unknown".to_owned()) && kinds(&run).contains(&"temporaries".to_owned()));
    assert!(
        !old.exists() && !world.path("cache/derived/unpacked/ab").exists() && world.path("cache/mine.txt").is_file()
    );
    assert!(!world.path("cache/scratch-left").exists());
    // What the lock refers to is all there.
    world.run(&["audit", "--offline"]).exits(0);
    let run = world.run(&["cache", "prune", "--max-size", "0 B", "--json"]).exits(0).json();
    assert_eq!(run["left"]["bytes"], 0);
    world.run(&["build", "--offline"]).exits(3).says(&["not in the cache"]);
    world.build();
    world.run(&["cache", "prune", "--max-size", "many"]).exits(2).says(&["max-size"]);
}

fn shard(digest: &str) -> String {
    format!("{}/{digest}", &digest[..2])
}

#[test]
fn a_damaged_download_is_found_removed_and_fetched_again() {
    let world = World::small();
    world.build();
    world.run(&["cache", "verify"]).exits(0).prints(&["none damaged"]);
    let name = shard(&Sha256::of(&world.deb("hello").bytes).to_string());
    let path = world.path("cache/downloads").join(&name);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let run = world.run(&["cache", "verify", "--dry-run", "--json"]).exits(1).json();
    assert_eq!((&run["damaged"], &run["removed"]), (&json!([format!("downloads/{name}")]), &json!(false)));
    world.run(&["cache", "verify"]).exits(1).prints(&["damaged, removed: downloads/", "1 damaged"]);
    assert!(!path.exists());
    world.run(&["cache", "verify"]).exits(0);
    fs::remove_dir_all(world.path("cache/derived")).unwrap();
    fs::remove_dir_all(world.path("out")).unwrap();
    let asked = world.server.count(&format!("{POOL}/h/hello/{}", world.deb("hello").file_name()));
    world.build();
    assert_eq!(world.fetched("hello"), asked + 1);
}

#[test]
fn nothing_goes_from_a_cache_that_is_in_use() {
    let world = World::small();
    world.build();
    let root = world.path("cache");
    let used = debstrata::cache::Cache::open(&root).unwrap();
    let before = files(&root);
    world.run(&["cache", "prune", "--max-size", "0 B"]).exits(3).says(&["is in use", "wait until the other run"]);
    world.run(&["cache", "prune", "--max-size", "0 B", "--dry-run"]).exits(0);
    world.run(&["cache", "size"]).exits(0);
    world.run(&["cache", "verify"]).exits(0);
    assert_eq!(files(&root), before);
    drop(used);
    // Nor from one that a run has only a folder of its own in.
    let scratch = debstrata::cache::Cache::scratch(&root).unwrap();
    world.run(&["cache", "prune"]).exits(3).says(&["is in use"]);
    assert!(scratch.path().is_dir());
    drop(scratch);
    world.run(&["cache", "prune", "--max-size", "0 B"]).exits(0);
    // No store is made where there was none.
    let nowhere = world.path("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for what in [&["size"][..], &["prune"], &["verify"]] {
        world.run(&[&["--cache", nowhere, "cache"], what].concat()).exits(0);
    }
    assert!(!Path::new(nowhere).exists());
}
