//! Sets of packages against apt, on the host's own lists. Needs: apt, and a fresh `apt-get update`.

use std::{collections::BTreeSet, process::Command};

use debstrata::{
    archive::Index,
    debian::{Architecture, relation::parse_relations},
    resolve::{Dependencies, Preferences, Question, Wish, resolve},
};

fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(program: &str, arguments: &[&str]) -> String {
    String::from_utf8(output(program, arguments)).unwrap()
}

/// All Packages files that apt would look at.
fn host_index() -> Index {
    let architecture: Architecture = text("dpkg", &["--print-architecture"]).trim().parse().unwrap();
    let mut index = Index::new(architecture);
    let files = text("apt-get", &["indextargets", "--format", "$(SUITE) $(FILENAME)", "Identifier: Packages"]);
    for line in files.lines() {
        let (suite, file) = line.split_once(' ').unwrap();
        index.add(suite, 500, output("/usr/lib/apt/apt-helper", &["cat-file", file])).unwrap();
    }
    assert!(index.len() > 10_000, "run apt-get update first");
    index
}

fn by_apt(names: &[&str]) -> BTreeSet<String> {
    let options = ["-o", "Dir::State::status=/dev/null", "--no-install-recommends", "install", "-s"];
    let text = text("apt-get", &[&options, names].concat());
    // Inst curl (7.88.1-10 Debian:12.15/oldstable [amd64])
    let lines = text.lines().filter_map(|line| line.strip_prefix("Inst "));
    lines.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ").replace('(', "")).collect()
}

fn by_us(index: &Index, names: &[&str]) -> BTreeSet<String> {
    let wishes = names.iter().map(|name| Wish { relation: name.parse().unwrap(), span: 0..0 });
    let question = Question {
        architecture: index.architecture(),
        wishes: wishes.collect(),
        dependencies: Dependencies::All,
        omit: Vec::new(),
    };
    let answer = resolve(&question, index, &[], &Preferences::default()).unwrap_or_else(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        panic!("{names:?}: {}", errors.join("\n"))
    });
    let packages = answer.packages.iter().map(|chosen| &chosen.package);
    packages.map(|package| format!("{} {}", package.name, package.version)).collect()
}

#[test]
fn sets_are_apts() {
    let index = host_index();
    for names in [
        ["curl"].as_slice(),
        &["git"],
        &["nginx"],
        &["python3"],
        &["base-files", "libc6", "tzdata"],
        &["perl"],
        &["vim"],
        &["openssh-client"],
        &["ruby"],
        &["postgresql-client"],
        &["default-jre-headless"],
        &["nodejs"],
    ] {
        let (apt, ours) = (by_apt(names), by_us(&index, names));
        let missing: Vec<_> = apt.difference(&ours).collect();
        let extra: Vec<_> = ours.difference(&apt).collect();
        assert!(missing.is_empty() && extra.is_empty(), "{names:?}: missing {missing:?}, extra {extra:?}");
    }
}

#[test]
fn every_relation_of_the_host_reads() {
    let index = host_index();
    let mut seen = 0;
    for name in index.names().collect::<BTreeSet<_>>() {
        for candidate in index.candidates(name) {
            let record = candidate.record;
            for text in [record.pre_depends, record.depends, record.conflicts, record.breaks, record.replaces] {
                for relation in parse_relations(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}")) {
                    assert_eq!(relation.to_string().parse(), Ok(relation));
                    seen += 1;
                }
            }
            candidate.package().unwrap();
        }
    }
    assert!(seen > 10_000);
}
