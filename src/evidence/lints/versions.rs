//! Versions that do not belong together.

use std::collections::BTreeMap;

use super::{Finding, Subject};
use crate::evidence::relations::Member;

/// `two-versions`: the lock holds a package once, so what can differ are packages of one source, after
/// `lock --upgrade PACKAGE` or from two suites; they are built to go together.
pub(super) fn find(subject: &Subject<'_>) -> Vec<Finding> {
    let all = &subject.members.all;
    let mut sources: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
    for member in all {
        sources.entry(&member.source.0).or_default().push(member);
    }
    let own = |member: &&Member| member.stage + 1 == subject.chain.len();
    let mut findings = Vec::new();
    for (source, members) in sources {
        let Some(new) = members.iter().copied().find(own) else { continue };
        let Some(other) = members.iter().find(|other| other.source.1 != new.source.1) else { continue };
        let version = |member: &Member| format!("{} {}", member.name, member.version);
        findings.push(Finding {
            lint: "two-versions",
            subject: source.to_owned(),
            message: format!("{} and {} are of one source in two versions", version(new), version(other)),
            help: format!("`debstrata lock --upgrade {} {}` brings both up to date", new.name, other.name),
            span: None,
        });
    }
    findings
}
