//! Dependencies that nothing meets.

use super::{Finding, Subject};

/// `undeclared-omission`: as the lock says it.
pub(super) fn find(subject: &Subject<'_>) -> Vec<Finding> {
    let tier = subject.stage().tier;
    let finding = |unmet: &String| {
        let (by, relation) = unmet.split_once(" needs ").unwrap_or((unmet, ""));
        let name = relation.split([' ', ':']).next().unwrap_or_default();
        let wish = tier.packages.iter().find(|wish| wish.relation.0.iter().any(|one| *one.name == *by));
        Finding {
            lint: "undeclared-omission",
            subject: name.to_owned(),
            message: format!("{unmet}, which no package of the chain meets"),
            help: format!(
                "add it to `packages`, or say why not: omit = [{{ package = \"{name}\", reason = \"...\" }}]"
            ),
            span: wish.map(|wish| wish.span.clone()),
        }
    };
    subject.unmet.iter().map(finding).collect()
}
