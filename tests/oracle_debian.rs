//! Versions against dpkg, Release files against what apt has fetched. Needs: sh, dpkg, and a fresh
//! `apt-get update`.

use std::{
    cmp::Ordering,
    io::Write,
    process::{Command, Stdio},
};

use debstrata::debian::{
    release::Release,
    version::{check, compare},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// Pipes lines through a shell loop and returns its lines.
fn through_sh(script: &str, lines: &[String]) -> Vec<String> {
    let mut child = Command::new("sh")
        .args(["-c", script])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = lines.join("\n") + "\n";
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn samples(pattern: &'static str, count: usize) -> Vec<String> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = proptest::string::string_regex(pattern).unwrap();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn order_is_dpkgs() {
    let versions = samples("([0-2]:)?[0-9][0-2a~.+-]{0,5}(-[01a~.+]{1,3})?", 1600);
    let pairs: Vec<_> = versions
        .chunks_exact(2)
        .map(|pair| (&pair[0], &pair[1]))
        .filter(|(a, b)| check(a).is_ok() && check(b).is_ok())
        .collect();
    assert!(pairs.len() > 500);
    let script = r#"while read -r a b; do
        if dpkg --compare-versions "$a" lt "$b"; then echo lt
        elif dpkg --compare-versions "$a" gt "$b"; then echo gt
        else echo eq; fi; done"#;
    let lines: Vec<_> = pairs.iter().map(|(a, b)| format!("{a} {b}")).collect();
    let answers = through_sh(script, &lines);
    assert_eq!(answers.len(), pairs.len());
    for ((a, b), answer) in pairs.iter().zip(answers) {
        let ours = match compare(a, b) {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        assert_eq!(ours, answer, "{a} and {b}");
    }
}

#[test]
fn validity_is_dpkgs() {
    let mut texts = samples("([0-9]{0,2}[a:]?:)?[0-9v][0-9a~.+:_-]{0,4}(-[01a~.+:]{0,3})?", 1500);
    texts.extend(
        [
            "2147483647:1",
            "2147483648:1",
            "99999999999999999999:1",
            ":1",
            "1:",
            "1-",
            "-1",
            "0",
            "1:-1",
            "v1",
            "1..",
            "1--1",
        ]
        .map(str::to_owned),
    );
    let script = r#"while read -r v; do if dpkg --validate-version "$v"; then echo good; else echo bad; fi; done"#;
    let answers = through_sh(script, &texts);
    assert_eq!(answers.len(), texts.len());
    assert!(answers.iter().filter(|answer| *answer == "good").count() > 100);
    for (text, answer) in texts.iter().zip(answers) {
        assert_eq!(if check(text).is_ok() { "good" } else { "bad" }, answer, "{text}");
    }
}

#[test]
fn the_hosts_release_files_read() {
    let mut seen = 0;
    for entry in std::fs::read_dir("/var/lib/apt/lists").unwrap() {
        let path = entry.unwrap().path();
        if !path.to_str().unwrap().ends_with("InRelease") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // Nothing is verified here: the signature's lines are cut off.
        let body = text.split_once("\n\n").unwrap().1.split("-----BEGIN PGP SIGNATURE").next().unwrap();
        let release = Release::parse(body).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(release.codename.is_some() && release.files.len() > 10, "{}", path.display());
        assert!(release.files.values().all(|file| file.sha256.is_some() || file.sha512.is_some()));
        seen += 1;
    }
    assert!(seen > 0, "run apt-get update first");
}
