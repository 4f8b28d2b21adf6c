//! `diff`: tiers, locks, layers, images against each other, and the report of `lock --upgrade`.

use std::{fs, io::Write as _};

use serde_json::{Value, json};

use crate::{
    support::{
        DebBuilder,
        registry::{Registry, Rules},
    },
    world::{World, package},
};

fn gz(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

fn release(version: &str, line: &str) -> String {
    format!(
        "hello ({version}) trixie-security; urgency=high\n\n  * {line}\n\n -- A <a@example.org>  Mon, 05 Jan 2026 00:00:00 +0000\n\n"
    )
}

/// hello in a version, with a changelog of all versions up to it.
fn hello(version: &str) -> DebBuilder {
    let all = [
        ("3.0", "Fix CVE-2026-1234 and CVE-2026-1235."),
        ("2.0", "A \u{1b}[31mnew\u{1b}[0m upstream."),
        ("1.0", "CVE-2020-0001"),
    ];
    let text: String = all.iter().filter(|(one, _)| *one <= version).map(|(one, line)| release(one, line)).collect();
    package("hello", version).file("/usr/share/doc/hello/changelog.Debian.gz", 0o644, gz(&text))
}

/// A tier `old` with hello 1.0 of its own folder, and a tier `new` with the archive's; both small.
fn world() -> World {
    World::new(
        [hello("1.0"), package("greeting", "1.0"), package("data", "2").arch("all")],
        &[
            ("a", "packages = ['hello', 'greeting']\n[image]\nuser = '1000'\nenv = { PATH = '/usr/bin' }"),
            (
                "b",
                "packages = ['hello', 'data']\n[image]\nuser = '2000'\nenv = { PATH = '/usr/bin' }\n\
                 [[directories]]\npath = '/usr/share/hello'\nmode = 0o700\nowner = 5\ngroup = 6\n\
                 [[symlinks]]\npath = '/usr/share/link'\ntarget = 'hello'",
            ),
        ],
    )
}

fn paths(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

fn diff(world: &World, arguments: &[&str]) -> Value {
    world.run(&[&["diff", "--json", "--arch", "amd64"], arguments].concat()).exits(0).json()
}

#[test]
fn two_tiers_differ_in_packages_files_and_config() {
    let world = world();
    world.build();
    let found = diff(&world, &["test/a", "test/b"]);
    assert_eq!(found["equal"], false);
    assert_eq!(names(&found["packages"]["added"]), ["data"]);
    assert_eq!(names(&found["packages"]["removed"]), ["greeting"]);
    assert_eq!(found["packages"]["changed"], json!([]));
    assert!(paths(&found["files"]["added"]).contains(&"/usr/share/link"));
    assert!(paths(&found["files"]["removed"]).contains(&"/usr/share/greeting/file"));
    let changed = &found["files"]["changed"][0];
    assert_eq!((&changed["path"], &changed["fields"]), (&json!("/usr/share/hello"), &json!(["mode", "owner"])));
    assert_eq!((&changed["before"]["mode"], &changed["after"]["owner"]), (&json!("0755"), &json!("5:6")));
    assert_eq!(found["config"]["changed"], json!([{"name": "user", "before": "1000", "after": "2000"}]));
    assert!(found["size"]["before"].as_u64().unwrap() > 0);
    let text = world.run(&["diff", "a", "b", "--arch", "amd64"]).exits(0);
    text.prints(&[
        "test/a (amd64) -> test/b (amd64)",
        "mode 0755 -> 0700, owner 0:0 -> 5:6",
        "1000 -> 2000",
        "symlink to hello",
    ]);
    let text = world.run(&["diff", "a", "b", "--arch", "amd64", "--markdown"]).exits(0);
    text.prints(&["### Packages: 1 added, 1 removed, 0 changed", "| + | `data` | `2` |", "<details><summary>Files: "]);
    world.run(&["diff", "a", "b", "--arch", "amd64", "--exit-code"]).exits(1);
    let run = world.run(&["diff", "a", "a", "--arch", "amd64", "--exit-code"]).exits(0);
    assert_eq!(run.stdout, "test/a (amd64) -> test/a (amd64): no change of content\n");
}

#[test]
fn without_files_the_lock_is_enough() {
    let world = world();
    world.run(&["lock"]).exits(0);
    let asked = world.asked();
    let found = diff(&world, &["a", "b", "--no-files"]);
    assert_eq!(found["compared"], json!(["packages", "config"]));
    assert_eq!((names(&found["packages"]["added"]), &found["size"]["of"]), (vec!["data"], &json!("debs")));
    assert_eq!(world.asked(), asked, "nothing is fetched");
}

#[test]
fn an_upgrade_tells_what_the_changelog_says_between() {
    let mut world = World::new([hello("1.0")], &[("base", "packages = ['hello']")]);
    world.build();
    fs::copy(world.lock_path(), world.path("old.lock")).unwrap();
    world.publish(|suite| suite.packages = vec![("main".into(), hello("3.0").build())]);
    let run = world.run(&["lock", "--upgrade"]).exits(0);
    run.prints(&["~  hello    1.0 -> 3.0", "0 added, 0 removed, 1 changed"]);
    // The .deb is not there yet; once it is, both locks tell.
    world.build();
    let old = world.path("old.lock");
    let old = old.to_str().unwrap();
    for new in ["test", world.lock_path().to_str().unwrap()] {
        let found = diff(&world, &[old, new]);
        let change = &found["packages"]["changed"][0];
        assert_eq!((&change["before"]["version"], &change["after"]["version"]), (&json!("1.0"), &json!("3.0")));
        assert_eq!(change["cves"], json!(["CVE-2026-1234", "CVE-2026-1235"]));
        let releases = found["changelogs"][0]["releases"].as_array().unwrap();
        let versions: Vec<_> = releases.iter().map(|release| release["version"].as_str().unwrap()).collect();
        assert_eq!(versions, ["3.0", "2.0"]);
        // And the other way round, the same releases.
        let back = diff(&world, &[new, old]);
        assert_eq!(back["changelogs"][0]["releases"], found["changelogs"][0]["releases"]);
    }
    let run = world.run(&["diff", old, "test", "--arch", "amd64"]).exits(0);
    run.prints(&["CVE-2026-1235, CVE-2026-1234", "hello 1.0 -> 3.0", "A \\u{1b}[31mnew"]);
    let run = world.run(&["diff", old, "test", "--arch", "amd64", "--markdown"]).exits(0);
    let run = run.prints(&[
        "<details><summary>Changelog of hello 1.0 -&gt; 3.0</summary>",
        "```\n3.0 (trixie-security; urgency=high)",
    ]);
    assert!(!run.stdout.contains('\u{1b}'));
}

#[test]
fn upgrading_back_and_forth_tells_the_changelog_of_what_is_at_hand() {
    let mut world = World::new([hello("1.0")], &[("base", "packages = ['hello']")]);
    let first = world.suite.packages.clone();
    world.publish(|suite| suite.packages = vec![("main".into(), hello("3.0").build())]);
    world.build();
    world.publish(|suite| suite.packages = first);
    let _ = fs::remove_file(world.lock_path());
    world.run(&["lock"]).exits(0);
    world.publish(|suite| suite.packages = vec![("main".into(), hello("3.0").build())]);
    let run = world.run(&["lock", "--upgrade"]).exits(0);
    run.prints(&["~  hello    1.0 -> 3.0", "hello 1.0 -> 3.0\n  CVE-2026-1235 CVE-2026-1234\n"]);
}

#[test]
fn a_layer_an_archive_and_a_layout_are_the_tier() {
    let world = world();
    world.run(&["build", "--format", "tar.gz,tar,tar.zst,oci,docker"]).exits(0);
    let out = |name: &str| world.out(name).display().to_string();
    let forms = [
        out("test/amd64/a.tar.gz"),
        out("test/amd64/a.tar"),
        out("test/amd64/a.tar.zst"),
        format!("oci:{}:a", out("test/oci")),
        format!("{}:a", out("test/oci")),
        out("test/amd64/a.docker.tar"),
    ];
    for form in &forms {
        let found = diff(&world, &["test/a", form]);
        assert_eq!(found["equal"], true, "{form}: {found:#}");
        assert!(found["size"]["before"] == found["size"]["after"], "{form}");
        let parts = found["compared"].as_array().unwrap();
        assert!(parts.contains(&json!("packages")) && parts.contains(&json!("files")), "{form}: {parts:?}");
        assert_eq!(diff(&world, &[form, &forms[0]])["equal"], true, "{form}");
        assert_eq!(names(&diff(&world, &[form, "test/b"])["packages"]["added"]), ["data"], "{form}");
    }
    // Two files need no project.
    let elsewhere = tempfile::tempdir().unwrap();
    let run = world.run_in(elsewhere.path(), &["diff", &forms[0], &out("test/amd64/b.tar.gz"), "--exit-code"]).exits(1);
    run.prints(&["-  greeting", "+  data"]);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing is written there");
}

#[test]
fn distributions_are_compared_tier_by_tier() {
    let world = world();
    let other = world.path("manifests/other");
    fs::create_dir(&other).unwrap();
    for file in ["archive.toml", "keys.asc", "a.toml"] {
        fs::copy(world.project.file(file), other.join(file)).unwrap();
    }
    fs::write(other.join("b.toml"), "summary = 'b'\npackages = ['hello', 'data', 'greeting']").unwrap();
    fs::write(other.join("c.toml"), "summary = 'c'\npackages = ['data']").unwrap();
    world.build();
    let found = diff(&world, &["test", "other"]);
    let rows = found["tiers"].as_array().unwrap();
    let rows: Vec<_> =
        rows.iter().map(|row| (row["tier"].as_str().unwrap(), row["equal"] == true, row["before"] == true)).collect();
    assert_eq!(rows, [("a", true, true), ("b", false, true), ("c", false, false)]);
    assert_eq!(names(&found["packages"]["added"]), ["greeting"]);
    assert_eq!(found["config"]["removed"][0]["name"], "b: env PATH");
    let run = world.run(&["diff", "test", "other", "--arch", "amd64"]).exits(0);
    run.prints(&["~  b", "+  c", "tiers"]);
    world.run(&["diff", "test", "other/a", "--arch", "amd64"]).exits(2).says(&["which go together", "name one tier"]);
}

#[test]
fn names_that_stand_for_nothing() {
    let world = world();
    world.run(&["lock"]).exits(0);
    for (arguments, says) in [
        (&["test/a", "test/bb"][..], &["\"test/bb\"", "did you mean test/b?"][..]),
        (&["HEAD~1"], &["no revision", "name two things"]),
        (&["test/a", "./nothing.tar"], &["./nothing.tar does not exist"]),
        (&["test/a", "oci:nowhere"], &["no OCI image layout"]),
        (&["--offline", "test/a", "registry.example.org/x:y"], &["--offline forbids asking a registry"]),
    ] {
        world.run(&[&["diff", "--arch", "amd64"], arguments].concat()).exits(2).says(says);
    }
}

#[test]
fn an_image_in_a_registry_is_the_tier() {
    let world = world();
    world.run(&["build", "--format", "oci"]).exits(0);
    let registry = Registry::start(Rules::default());
    let place = format!("{}/team/image", registry.host());
    world.run(&["push", "a", "b", &place]).exits(0);
    let image = |tag: &str| format!("{place}:{tag}");
    assert_eq!(diff(&world, &["test/a", &image("a")])["equal"], true);
    let found = diff(&world, &[&image("a"), &image("b")]);
    assert_eq!(
        (names(&found["packages"]["added"]), &found["config"]["changed"][0]["name"]),
        (vec!["data"], &json!("user"))
    );
    world.run(&["diff", "--arch", "amd64", "a", &image("nothing")]).exits(2).says(&["does not exist"]);
    world.run(&["diff", "--arch", "s390x", &image("a"), &image("b")]).exits(2).says(&["does not exist"]);
}
