//! Toy archives for tests of the resolver.
//!
//! An archive is written one package a line: `name version [architecture]: Field text; Field text`.
//! A line `suite NAME PRIORITY` begins another suite; the first one is `debian/main`, priority 500.
//! A question is one line: wishes between commas, then after `;` any of `none`, `omit A B`,
//! `have NAME VERSION` (in the parent chain), `held NAME VERSION`.

use debstrata::{
    archive::{Index, Package},
    ground::{Failure, Spanned, printable},
    resolve::{Answer, Dependencies, Omission, Preferences, Question, ResolveError, Wish, resolve},
};
use miette::Diagnostic;

pub fn index(archive: &str) -> Index {
    let mut index = Index::new("amd64".parse().unwrap());
    let mut suites = vec![("debian/main", 500, String::new())];
    for line in archive.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(suite) = line.strip_prefix("suite ") {
            let (name, priority) = suite.split_once(' ').unwrap();
            suites.push((name, priority.parse().unwrap(), String::new()));
            continue;
        }
        let (head, fields) = line.split_once(": ").unwrap_or((line, ""));
        let mut words = head.split_whitespace();
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        let architecture = words.next().unwrap_or("amd64");
        let text = &mut suites.last_mut().unwrap().2;
        *text += &format!("Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n");
        for field in fields.split(';').map(str::trim).filter(|field| !field.is_empty()) {
            *text += &field.replacen(' ', ": ", 1);
            *text += "\n";
        }
        let sha256 = "0123456789abcdef".repeat(4);
        *text += &format!("Filename: pool/{name}.deb\nSize: 1\nSHA256: {sha256}\n\n");
    }
    for (name, priority, text) in suites {
        index.add(name, priority, text.into_bytes()).unwrap();
    }
    index
}

pub fn ask(archive: &str, question: &str) -> Result<Answer, Vec<ResolveError>> {
    let index = index(archive);
    let mut parts = question.split(';').map(str::trim);
    let mut wishes = Vec::new();
    let mut at = 0;
    for text in parts.next().unwrap().split(',') {
        let wish = Wish { relation: text.trim().parse().unwrap(), span: at..at + text.len() };
        at += text.len() + 1;
        wishes.push(wish);
    }
    let (mut present, mut preferences, mut omit) = (Vec::new(), Preferences::default(), Vec::new());
    let mut dependencies = Dependencies::All;
    for part in parts {
        let words: Vec<_> = part.split_whitespace().collect();
        match words.as_slice() {
            ["none"] => dependencies = Dependencies::None,
            ["omit", names @ ..] => omit.extend(names.iter().map(|name| Omission {
                package: Spanned::new((*name).to_owned(), 0..0),
                reason: "not wanted".to_owned(),
            })),
            ["held", name, version] => {
                preferences.held.insert((*name).into(), version.parse().unwrap());
            }
            ["have", name, version] => {
                let candidates = index.candidates(name);
                let candidate = candidates.iter().find(|candidate| candidate.record.version == *version);
                let gone = || Package {
                    version: version.parse().unwrap(),
                    name: (*name).into(),
                    ..index.candidates("other")[0].package().unwrap()
                };
                present.push(candidate.map_or_else(gone, |candidate| candidate.package().unwrap()));
            }
            _ => panic!("{part}"),
        }
    }
    let question = Question { architecture: index.architecture(), wishes, dependencies, omit };
    resolve(&question, &index, &present, &preferences)
}

/// `name version` of all packages, then what is unmet and which omissions are idle.
pub fn sets(archive: &str, question: &str) -> String {
    match ask(archive, question) {
        Ok(answer) => {
            let packages =
                answer.packages.iter().map(|chosen| format!("{} {}", chosen.package.name, chosen.package.version));
            let unmet = answer.unmet.iter().map(|unmet| format!("{} lacks {}", unmet.by, unmet.relation));
            let idle = answer.idle_omissions.iter().map(|at| format!("omission {at} is idle"));
            packages.chain(unmet).chain(idle).collect::<Vec<_>>().join(", ")
        }
        Err(errors) => errors.iter().map(|error| format!("error: {error}")).collect::<Vec<_>>().join("; "),
    }
}

/// All errors with their help and the wish they point at.
pub fn errors(archive: &str, question: &str) -> String {
    let errors = ask(archive, question).expect_err("an error");
    let shown = errors.iter().map(|error| {
        let help = error.help().map(|help| help.to_string()).unwrap_or_default();
        let wish = printable(question[error.span()].trim().as_bytes());
        let labels = error.labels().into_iter().flatten();
        let labels =
            labels.filter_map(|label| Some((label.label()?.to_owned(), label.offset()..label.offset() + label.len())));
        let labels = labels.map(|(text, at)| format!("  {}: {text}\n", question[at].trim())).collect::<String>();
        let labels = if matches!(error, ResolveError::Conflict { .. }) { labels } else { String::new() };
        format!("{error}\n{labels}  help: {help}\n  wish: {wish}; exit status {}", error.class().exit_status())
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[track_caller]
pub fn table(archive: &str, cases: &[(&str, &str)]) {
    for (question, expected) in cases {
        assert_eq!(sets(archive, question), *expected, "{question}");
    }
}
