//! `check`: manifests, locks and lints.

use std::{collections::BTreeSet, fs, path::Path};

use debstrata::evidence::lints::{LINTS, OTHERS};
use serde_json::{Value, json};

use crate::{
    support::DebBuilder,
    world::{World, package},
};

/// Every lint has something to find here.
fn faulty() -> World {
    let tool = DebBuilder::new("tool", "2")
        .field("Source", "suite (2)")
        .depends("nothing (>= 1) | other, debconf")
        .file("/usr/bin/su", 0o4755, "s")
        .file("/usr/share/open", 0o666, "o")
        .dir("/var/open", 0o777)
        .dir("/var/tmp", 0o1777)
        .symlink("/usr/share/doc/tool/changelog", "changelog.Debian")
        .file("/usr/share/doc/tool/changelog.Debian", 0o644, "c")
        .symlink("/usr/bin/gone", "/usr/bin/never")
        .symlink("/usr/bin/loop", "loop")
        .symlink("/etc/mtab", "/proc/mounts")
        .symlink("/usr/bin/fine", "../bin/su");
    let old = DebBuilder::new("old", "1").field("Source", "suite (1)").file("/usr/share/old", 0o644, "o");
    World::new(
        [package("hello", "1"), old, tool, DebBuilder::new("debconf", "1")],
        &[
            ("base", "packages = ['hello', 'old']"),
            (
                "top",
                "parent = 'base'\npackages = ['tool']\ndependencies = 'none'\n\
                 omit = [{ package = 'debconf', reason = 'r' }, { package = 'idle', reason = 'r' }]\n\
                 [globs]\nexclude = ['/usr/share/doc/**/changelog.*', '/none/**']\n\
                 [limits]\npackages = 1\n\
                 [image]\nuser = 'nobody'\n\
                 [[expect]]\npath = '/usr/bin/never'\n\
                 [[accept]]\nlint = 'dangling-link'\nsubject = '/srv/*'\nreason = 'nothing is there'",
            ),
        ],
    )
}

/// `lint subject` of each finding.
fn listed(findings: &Value) -> Vec<String> {
    let one = |found: &Value| format!("{} {}", found["lint"].as_str().unwrap(), found["subject"].as_str().unwrap());
    findings.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn a_clean_project_is_clean() {
    let world = World::small();
    world.run(&["lock"]).exits(0);
    let run = world.run(&["check"]).exits(0);
    assert_eq!(run.stdout, "nothing found in 2 tiers\n");
    let json = world.run(&["check", "--json"]).exits(0).json();
    assert_eq!(json, json!({ "clean": true, "tiers": 2, "findings": [], "accepted": [], "opt_outs": [] }));
    assert_eq!(world.run(&["check", "base"]).exits(0).stdout, "nothing found in 1 tier\n");
}

#[test]
fn every_lint_finds_its_fault() {
    let world = faulty();
    world.run(&["lock"]).exits(0);
    let before = world.snapshot(&["cache"]);
    let run = world.run(&["check", "--json"]).exits(1);
    assert_eq!(world.snapshot(&["cache"]), before, "nothing is written");
    let found = run.json();
    assert_eq!(
        listed(&found["findings"]),
        [
            "dangling-link /usr/bin/gone",
            "dangling-link /usr/bin/loop",
            "dangling-link /usr/share/doc/tool/changelog",
            "expectation /usr/bin/never",
            "idle-glob /none/**",
            "idle-omission idle",
            "image-user nobody",
            "limit packages",
            "privileged-file /usr/bin/su",
            "two-versions suite",
            "undeclared-omission nothing",
            "world-writable /usr/share/open",
            "world-writable /var/open",
            "idle-acceptance /srv/*",
        ]
    );
    let findings = found["findings"].as_array().unwrap();
    let lints: BTreeSet<_> = findings.iter().map(|found| found["lint"].as_str().unwrap().to_owned()).collect();
    let missed: Vec<_> = LINTS.iter().map(|lint| lint.name).filter(|name| !lints.contains(*name)).collect();
    // Lints about what is inside ELF files and scripts have tests of their own.
    let elsewhere = [
        "idle-allow-missing",
        "idle-wish",
        "malformed-elf",
        "missing-library",
        "missing-version",
        "scripts",
        "unused-library",
    ];
    assert_eq!(missed, elsewhere);
    for found in findings {
        assert_eq!((&found["tier"], &found["architectures"]), (&json!("test/top"), &json!(["amd64"])), "{found}");
        assert!(found["message"].is_string() && found["help"].is_string(), "{found}");
    }
    let filtered = &findings[2];
    assert_eq!((filtered["file"].as_str(), filtered["line"].as_u64()), (Some("manifests/test/top.toml"), Some(7)));
    assert!(filtered["message"].as_str().unwrap().contains("manifests/test/top.toml:7"), "{filtered}");
    let run = world.run(&["check"]).exits(1);
    run.prints(&[
        "test/top (amd64)\n",
        "  dangling-link /usr/bin/gone\n    leads to /usr/bin/never, which is not there; the link is of the package tool 2",
        "which tool has, but an exclude of top keeps it out (manifests/test/top.toml:7)",
        "manifests/test/top.toml:9: packages = 1",
        "omit = [{ package = \"nothing\", reason = \"...\" }]",
        "14 findings in 2 tiers\n",
    ]);
    // The parent has none of it.
    world.run(&["check", "base"]).exits(0);
}

#[test]
fn a_finding_is_accepted_with_a_reason() {
    let world = faulty();
    world.run(&["lock"]).exits(0);
    world.edit("top.toml", "'/srv/*'", "'/usr/{bin,share/doc/*}/*'");
    world.edit("top.toml", "nothing is there", "they are known");
    let json = world.run(&["check", "--json"]).exits(1).json();
    assert_eq!(
        listed(&json["accepted"]),
        ["dangling-link /usr/bin/gone", "dangling-link /usr/bin/loop", "dangling-link /usr/share/doc/tool/changelog"]
    );
    assert_eq!(json["accepted"][0]["reason"], "they are known");
    let run = world.run(&["check", "-v"]).exits(1);
    run.prints(&["accepted: they are known", "findings in 2 tiers, 3 accepted"]);
    world.edit("top.toml", "'dangling-link'", "'dangling-lnk'");
    world.run(&["check"]).exits(1).prints(&["no lint is called \"dangling-lnk\"", "did you mean dangling-link?"]);
    world.edit("top.toml", "'they are known'", "' '");
    world.run(&["check"]).exits(2).says(&["an acceptance needs its reason", "top.toml"]);
}

#[test]
fn a_lock_that_does_not_fit_is_a_finding() {
    let world = World::small();
    let none = world.run(&["check"]).exits(1);
    none.prints(&[
        "stale-lock manifests/test/debstrata.lock",
        "there is no lock",
        "debstrata lock",
        "1 finding in 0 tiers",
    ]);
    world.run(&["lock"]).exits(0);
    world.edit("top.toml", "['greeting']", "['greeting (>= 1)']");
    let lock = world.lock();
    world.run(&["check"]).exits(1).prints(&["it does not fit the manifests: changed: top (amd64)"]);
    assert_eq!(world.lock(), lock);
    world.edit("top.toml", "['greeting", "7 ['greeting");
    world.run(&["check"]).exits(2).says(&["top.toml"]);
}

#[test]
fn a_line_that_another_architecture_needs_is_not_idle() {
    let world = World::new(
        [
            package("hello", "1"),
            package("hello", "1").arch("arm64").file("/usr/share/hello/arm", 0o644, "").depends("debconf"),
        ],
        &[(
            "base",
            "packages = ['hello']\nglobs.exclude = ['/usr/share/hello/arm']\n\
             omit = [{ package = 'debconf', reason = 'only there' }]",
        )],
    );
    world.edit_archive("[\"amd64\"]", "[\"amd64\", \"arm64\"]");
    world.run(&["lock"]).exits(0);
    world.run(&["check", "--arch", "all"]).exits(0).prints(&["nothing found in 2 tiers"]);
    let json = world.run(&["check", "--arch", "amd64", "--json"]).exits(1).json();
    assert_eq!(listed(&json["findings"]), ["idle-glob /usr/share/hello/arm", "idle-omission debconf"]);
}

#[test]
fn the_docs_have_a_heading_for_each_lint() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lints.md")).unwrap();
    let headings: Vec<&str> = docs.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut names: Vec<&str> = LINTS.iter().map(|lint| lint.name).chain(OTHERS.map(|(name, _)| name)).collect();
    names.sort_unstable();
    assert_eq!(headings, names);
    assert!(LINTS.is_sorted_by_key(|lint| lint.name));
}
