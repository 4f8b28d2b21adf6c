//! The binary on small projects: what it prints, what it leaves alone, how it ends.

mod support;

use std::fs;

use serde_json::Value;
use support::{
    DebBuilder, Key, Project, Server, TestArchive, TestSuite,
    project::{archive_toml, project},
};

/// An archive whose content a test can change while its address stays.
struct Archive {
    key: Key,
    server: Server,
}

impl Archive {
    fn new(suites: impl Fn(&Key) -> Vec<TestSuite>) -> Self {
        let key = Key::new("archive");
        let server = Server::of(TestArchive::new(suites(&key)).files());
        Self { key, server }
    }

    fn publish(&self, suites: Vec<TestSuite>) {
        for (path, bytes) in TestArchive::new(suites).files() {
            self.server.put(&path, bytes);
        }
    }

    /// A project of the distribution `test`.
    fn project(&self, suites: &[&str], tiers: &[(&str, &str)]) -> Project {
        project(&archive_toml(&self.server, suites), &[&self.key], tiers)
    }
}

fn suite(name: &str, key: &Key, packages: &[(&str, &str)]) -> TestSuite {
    packages.iter().fold(TestSuite::new(name, key), |suite, (package, version)| {
        let content = format!("{package} {version}\n");
        suite.add(DebBuilder::new(package, version).file(format!("./usr/share/{package}"), 0o644, content).build())
    })
}

fn tier(packages: &str) -> String {
    format!("summary = \"a tier\"\npackages = [{packages}]\n")
}

/// A second distribution, `other`, of the same archive.
fn add_other(project: &Project, packages: &str) {
    let (from, to) = (project.path().join("manifests/test"), project.path().join("manifests/other"));
    fs::create_dir(&to).unwrap();
    for name in ["archive.toml", "keys.asc"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    fs::write(to.join("base.toml"), tier(packages)).unwrap();
}

fn lock_of(project: &Project, distribution: &str) -> String {
    fs::read_to_string(project.path().join("manifests").join(distribution).join("debstrata.lock")).unwrap()
}

/// Exit status, stdout and stderr.
fn run(project: &Project, arguments: &[&str]) -> (i32, String, String) {
    let output = project.command().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn done(project: &Project, arguments: &[&str]) -> String {
    let (status, stdout, stderr) = run(project, arguments);
    assert_eq!(status, 0, "{arguments:?}\n{stdout}{stderr}");
    stdout
}

fn json(project: &Project, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(project, &[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn upgrading_by_name_touches_those_who_have_it() {
    let archive = Archive::new(|key| vec![suite("stable", key, &[("tzdata", "1"), ("libc6", "1")])]);
    let project = archive.project(&["stable"], &[("base", &tier("\"tzdata\", \"libc6\""))]);
    add_other(&project, "\"libc6\"");
    done(&project, &["lock"]);
    let before = [lock_of(&project, "other"), lock_of(&project, "test")];
    archive.publish(vec![suite("stable", &archive.key, &[("tzdata", "2"), ("libc6", "2")])]);

    let (status, _, stderr) = run(&project, &["lock", "--upgrade", "tzdata", "libc7"]);
    assert_eq!(status, 2);
    assert!(stderr.contains("no tier has a package called \"libc7\"") && stderr.contains("libc6?"), "{stderr}");
    assert_eq!([lock_of(&project, "other"), lock_of(&project, "test")], before);

    // Told of a distribution alone, the other one's packages do not count.
    let (status, _, stderr) = run(&project, &["lock", "other", "--upgrade", "tzdata"]);
    assert_eq!(status, 2, "{stderr}");

    let stdout = done(&project, &["lock", "--upgrade", "tzdata"]);
    assert!(stdout.contains("~  tzdata   1 -> 2"), "{stdout}");
    assert_eq!(lock_of(&project, "other"), before[0], "it has no tzdata");
    assert!(lock_of(&project, "test").contains("name = \"libc6\", version = \"1\""));

    // A distribution after --upgrade is one all the same.
    let stdout = done(&project, &["lock", "--upgrade", "libc6", "test"]);
    assert!(stdout.contains("~  libc6    1 -> 2"), "{stdout}");
    assert_eq!(lock_of(&project, "other"), before[0]);
    let stdout = done(&project, &["lock", "--upgrade", "other"]);
    assert!(stdout.contains("~  libc6    1 -> 2"), "{stdout}");
}

#[test]
fn opt_outs_show_in_every_summary() {
    let archive = Archive::new(|key| {
        let mut stable = suite("stable", key, &[("base-files", "1")]);
        stable.signers.clear();
        vec![stable]
    });
    let project = archive.project(&["stable"], &[("base", &tier("\"base-files\""))]);
    let text = fs::read_to_string(project.file("archive.toml")).unwrap();
    project.write("archive.toml", text.replace("signed-by = \"keys.asc\"", "allow-unsigned = true"));
    let (line, field) = ("opt-out: test/", "nobody signed it");
    let verbs: [&[&str]; 4] =
        [&["lock"], &["build", "--arch", "amd64"], &["show", "--arch", "amd64"], &["audit", "--arch", "amd64"]];
    for verb in verbs {
        let stdout = done(&project, verb);
        assert!(stdout.contains(line) && stdout.contains(field), "{verb:?}\n{stdout}");
        let json = json(&project, verb);
        let opt_outs = json.get("opt_outs").unwrap_or_else(|| &json[0]["opt_outs"]);
        assert!(opt_outs[0].as_str().unwrap().contains(field), "{verb:?}\n{json}");
    }
}

#[test]
fn another_tier_moves_no_line_of_the_lock() {
    let both = |key: &Key| vec![suite("stable", key, &[("a", "1"), ("b", "1")]), suite("updates", key, &[("b", "1")])];
    let archive = Archive::new(|key| vec![suite("stable", key, &[("b", "1")]), suite("updates", key, &[("a", "1")])]);
    let project = archive.project(&["stable", "updates"], &[("base", &tier("\"a\""))]);
    done(&project, &["lock"]);
    let line = |text: &str| text.lines().find(|line| line.contains("name = \"a\"")).unwrap().to_owned();
    let before = line(&lock_of(&project, "test"));
    assert!(before.contains("/updates\""), "{before}");

    // Now stable, which has the first word, lists it too.
    let mut suites = both(&archive.key);
    suites[1] = suite("updates", &archive.key, &[("a", "1"), ("b", "1")]);
    archive.publish(suites);
    project.write("more.toml", tier("\"b\""));
    done(&project, &["lock"]);
    assert_eq!(line(&lock_of(&project, "test")), before);

    // Where its suite no longer lists it, it comes from one that does.
    archive.publish(both(&archive.key));
    done(&project, &["lock", "--upgrade"]);
    assert!(line(&lock_of(&project, "test")).contains("/stable\""));
}

#[test]
fn a_wrong_architecture_is_told_once() {
    let archive = Archive::new(|key| vec![suite("stable", key, &[])]);
    let project = archive.project(&["stable"], &[("base", &tier(""))]);
    add_other(&project, "");
    for verb in ["build", "lock", "show", "audit"] {
        let (status, _, stderr) = run(&project, &[verb, "--arch", "amd46"]);
        assert_eq!(status, 2);
        assert_eq!(stderr.matches("no architecture is called \"amd46\"").count(), 1, "{stderr}");
        assert!(stderr.contains("did you mean amd64?"), "{stderr}");
    }
}

#[test]
fn show_prints_an_object_for_one_named_tier_alone() {
    let archive = Archive::new(|key| vec![suite("stable", key, &[("a", "1")])]);
    let project = archive.project(&["stable"], &[("base", &tier("\"a\"")), ("more", &tier("\"a\""))]);
    add_other(&project, "");
    done(&project, &["lock"]);
    let amd64 = ["--arch", "amd64"];
    for (tiers, object) in [
        (&["test/base"][..], true),
        (&["more"], true),
        (&["base"], false),
        (&["more", "test/more"], false),
        (&[], false),
    ] {
        let json = json(&project, &[&["show"], tiers, &amd64].concat());
        assert_eq!(json.is_object(), object, "{tiers:?}\n{json}");
    }
}

#[test]
fn a_lock_of_a_newer_format_stays_as_it_is() {
    let archive = Archive::new(|key| vec![suite("stable", key, &[("a", "1")])]);
    let project = archive.project(&["stable"], &[("base", &tier("\"a\""))]);
    done(&project, &["lock"]);
    let newer = lock_of(&project, "test").replace("format-version = ", "format-version = 9");
    project.write("debstrata.lock", &newer);
    for verb in [&["lock"][..], &["lock", "--upgrade"], &["lock", "--check"], &["show", "--arch", "amd64"]] {
        let (status, _, stderr) = run(&project, verb);
        assert_eq!(status, 2, "{verb:?}\n{stderr}");
        assert!(stderr.contains("written by a newer debstrata"), "{verb:?}\n{stderr}");
        assert_eq!(lock_of(&project, "test"), newer);
    }
}

#[test]
fn locks_are_named_as_other_files_are() {
    let archive = Archive::new(|key| vec![suite("stable", key, &[("a", "1")])]);
    let project = archive.project(&["stable"], &[("base", &tier("\"a\""))]);
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_debstrata"));
    let output = command.env_clear().current_dir(project.path()).arg("lock").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("manifests/test/debstrata.lock: written\n"), "{stdout}");
    assert!(stdout.ends_with("  amd64\n1 added, 0 removed, 0 changed\n"), "{stdout}");
}

#[test]
fn a_build_has_a_column_for_each_compressed_form() {
    let archive = Archive::new(|key| vec![suite("stable", key, &[("a", "1")])]);
    let project = archive.project(&["stable"], &[("base", &tier("\"a\""))]);
    for (formats, more) in [("tar", &[][..]), ("tar.zst,tar,tar.gz", &["tar.gz", "tar.zst"])] {
        let stdout = done(&project, &["build", "--arch", "amd64", "--format", formats]);
        let columns: Vec<&str> = stdout.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(columns, [&["tier", "arch", "packages", "entries", "size"], more, &["diff_id"]].concat());
        // Each size is a number and its unit.
        let cells = stdout.lines().nth(1).unwrap().split_whitespace().count();
        assert_eq!(cells, 7 + 2 * more.len(), "{stdout}");
    }
}

#[test]
fn help_lists_the_exit_statuses() {
    let archive = Archive::new(|_| Vec::new());
    let project = archive.project(&["stable"], &[]);
    for verb in [&[][..], &["build"], &["lock"], &["show"], &["audit"]] {
        let stdout = done(&project, &[verb, &["--help"]].concat());
        assert!(stdout.contains("Exit status:\n  0  done"), "{stdout}");
    }
    assert!(done(&project, &["lock", "--help"]).contains("lock debian13 --upgrade tzdata"));
    assert!(done(&project, &["show", "--help"]).contains("an object where one TIER is named"));
}
