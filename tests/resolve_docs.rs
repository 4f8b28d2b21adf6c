//! The messages that docs/resolution.md shows are those that are printed.

#[path = "support/toy.rs"]
#[allow(dead_code, reason = "only the archives of toys are wanted here")]
mod toy;

use std::fs;

use debstrata::resolve::{Dependencies, Preferences, Question, Wish, resolve};
use miette::{GraphicalReportHandler, GraphicalTheme, NamedSource, Report};

const ARCHIVE: &str = "
    postfix 3.10: Conflicts mail-transport-agent; Provides mail-transport-agent
    mailgraph 1.14: Depends rrdtool, exim4
    rrdtool 1.7
    exim4 4.98: Depends exim4-daemon-light
    exim4-daemon-light 4.98: Conflicts mail-transport-agent; Provides mail-transport-agent
    app 2: Depends libapp
    libapp 2: Depends libssl3 (>= 3.6)
    libssl3 3.5
    suite backports/trixie-backports 100
    tool 9
    suite debian/trixie-updates 500
    tool 8";

/// A manifest whose only line of interest is `packages`, and what is said of it.
fn shown(packages: &str) -> String {
    let text = format!("summary = \"An example\"\npackages = [{packages}]\n");
    let mut wishes = Vec::new();
    for quoted in packages.split(", ") {
        let name = quoted.trim_matches('"');
        let start = text.find(quoted).expect("it stands there") + 1;
        wishes.push(Wish { relation: name.parse().unwrap(), span: start..start + name.len() });
    }
    let index = toy::index(ARCHIVE);
    let question =
        Question { architecture: index.architecture(), wishes, dependencies: Dependencies::All, omit: Vec::new() };
    let errors = resolve(&question, &index, &[], &Preferences::default()).expect_err("a refusal");
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    let mut all = String::new();
    for error in errors {
        let report = Report::new(error).with_source_code(NamedSource::new("mail.toml", text.clone()));
        handler.render_report(&mut all, report.as_ref()).unwrap();
    }
    all.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn messages_are_those_of_the_docs() {
    let docs = fs::read_to_string("docs/resolution.md").unwrap();
    for packages in [r#""postfix", "mailgraph""#, r#""app""#, r#""tool/trixie-updates (>= 9)""#] {
        let message = shown(packages);
        assert!(docs.contains(message.trim()), "docs/resolution.md should show:\n{message}");
    }
}
