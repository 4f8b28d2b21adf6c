//! What the manifest promises, and a build refuses to break.

use miette::Diagnostic as _;

use super::{Finding, Subject};
use crate::compose::ComposeError;

/// `limit`
pub(super) fn limits(subject: &Subject<'_>) -> Vec<Finding> {
    let finding = |fault: &ComposeError| {
        let ComposeError::Limit(over) = fault else { return None };
        // An ancestor's word has no place in this tier's manifest.
        let own = over.source_code == subject.stage().tier.source;
        let span = over.span.offset()..over.span.offset() + over.span.len();
        Some(Finding {
            lint: "limit",
            subject: over.key.to_owned(),
            message: over.found.clone(),
            help: over.help.clone(),
            span: own.then_some(span),
        })
    };
    subject.faults.iter().filter_map(finding).collect()
}

/// `expectation`
pub(super) fn expectations(subject: &Subject<'_>) -> Vec<Finding> {
    let finding = |fault: &ComposeError| {
        let ComposeError::Unfulfilled(unfulfilled) = fault else { return None };
        let labels: Vec<_> = unfulfilled.labels.iter().filter_map(|label| label.label()).collect();
        let first = unfulfilled.labels.first().map(|label| label.offset()..label.offset() + label.len());
        Some(Finding {
            lint: "expectation",
            subject: unfulfilled.path.to_string(),
            message: format!("{}: {}", unfulfilled.fault, labels.join(", ")),
            help: fault.help().map(|help| help.to_string()).unwrap_or_default(),
            span: first,
        })
    };
    subject.faults.iter().filter_map(finding).collect()
}

/// `image-user`
pub(super) fn image_users(subject: &Subject<'_>) -> Vec<Finding> {
    let finding = |fault: &ComposeError| {
        let ComposeError::UnknownUser(unknown) = fault else { return None };
        // What a variant of the tier below says has no place in an overlay's manifest.
        let own = unknown.source_code == subject.stage().tier.source;
        let span = unknown.span.offset()..unknown.span.offset() + unknown.span.len();
        Some(Finding {
            lint: "image-user",
            subject: unknown.name.clone(),
            message: format!("no {} of this name in {}, and an image runs as it", unknown.word, unknown.file),
            help: unknown.help.clone(),
            span: own.then_some(span),
        })
    };
    subject.faults.iter().filter_map(finding).collect()
}
