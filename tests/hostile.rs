//! What nobody vouches for never gets into a lock or onto a terminal: the whole program against
//! altered caches and locks.

mod support;

use std::{fs, path::PathBuf};

use support::{DebBuilder, Key, Project, Server, TestArchive, TestSuite, project, project::archive_toml};

fn hello() -> (Project, Server) {
    let key = Key::new("key");
    let deb = DebBuilder::new("hello", "1.0").file("/usr/share/hello", 0o644, "hello").build();
    let server = TestArchive::new([TestSuite::new("trixie", &key).add(deb)]).serve();
    let tier = "summary = \"a test\"\npackages = [\"hello\"]\ndependencies = \"none\"\n";
    (project(&archive_toml(&server, &["trixie"]), &[&key], &[("a", tier)]), server)
}

fn files(folder: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(path) } else { vec![path] }).collect()
}

/// The one `diff-id = "sha256:..."` of a lock.
fn diff_id(lock: &str) -> &str {
    lock.split("sha256:").nth(1).and_then(|rest| rest.get(..64)).unwrap()
}

#[test]
fn what_the_cache_alone_says_of_a_layer_does_not_get_into_the_lock() {
    let (project, _server) = hello();
    let build = || project.command().args(["build", "--arch", "amd64"]).assert().success();
    build();
    let lock = project.file("debstrata.lock");
    let good = fs::read_to_string(&lock).unwrap();
    let [made] = &files(project.path().join("cache/derived/made"))[..] else { panic!("one record of one layer") };
    let said = fs::read_to_string(made).unwrap();
    let other = diff_id(&good).chars().rev().collect::<String>();
    assert!(said.contains(diff_id(&good)));
    fs::write(made, said.replacen(diff_id(&good), &other, 1)).unwrap();
    fs::remove_file(&lock).unwrap();
    build();
    assert_eq!(diff_id(&fs::read_to_string(&lock).unwrap()), diff_id(&good));
}

/// Policy knows no longest version.
#[test]
fn a_very_long_version_is_shown() {
    let key = Key::new("key");
    let suite = |digit: &str| {
        let deb = DebBuilder::new("hello", &digit.repeat(70_000)).build();
        let mut suite = TestSuite::new("trixie", &key);
        suite.packages.push(("main".into(), deb));
        suite
    };
    let (old, new) = (TestArchive::new([suite("1")]).serve(), TestArchive::new([suite("2")]).serve());
    let tier = "summary = \"a test\"\npackages = [\"hello\"]\ndependencies = \"none\"\n";
    let project = project(&archive_toml(&old, &["trixie"]), &[&key], &[("a", tier)]);
    project.command().args(["lock"]).assert().success();
    project.command().args(["show", "test/a"]).assert().success();
    project.write("archive.toml", archive_toml(&new, &["trixie"]));
    project.command().args(["lock", "--upgrade"]).assert().success();
}

#[test]
fn a_lock_cannot_drive_a_terminal() {
    let (project, _server) = hello();
    project.command().args(["build", "--arch", "amd64"]).assert().success();
    let lock = project.file("debstrata.lock");
    let text = fs::read_to_string(&lock).unwrap();
    let at = text.find("packages = [\n  \"hello\"").unwrap();
    let (head, tail) = text.split_at(at);
    fs::write(&lock, format!("{head}unmet = [\"a\\u001b[2J\"]\n{tail}")).unwrap();
    let output = project.command().args(["build", "--arch", "amd64", "--locked"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(![output.stdout, output.stderr].concat().contains(&0x1b));
}
