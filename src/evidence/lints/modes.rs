//! Files that give away rights.

use super::{Finding, Subject};
use crate::rootfs::{Node, Origin};

/// `privileged-file`: on a directory, setgid only hands on the group.
pub(super) fn privileged(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, entry) in subject.own() {
        if !matches!(entry.node, Node::File { .. }) {
            continue;
        }
        let attributes = &entry.attributes;
        let mut how = Vec::new();
        if attributes.mode & 0o4000 != 0 {
            how.push(format!("setuid to user {}", attributes.uid));
        }
        if attributes.mode & 0o2000 != 0 {
            how.push(format!("setgid to group {}", attributes.gid));
        }
        if attributes.xattrs.contains_key(b"security.capability".as_slice()) {
            how.push("with file capabilities".to_owned());
        }
        if !how.is_empty() {
            findings.push(Finding {
                lint: "privileged-file",
                subject: path.to_string(),
                message: format!("is {} ({:04o}, {})", how.join(" and "), attributes.mode, entry.origin),
                help:
                    "exclude it in [globs], or accept it with a reason; limits.setuid = \"deny\" keeps it out for good"
                        .to_owned(),
                span: declared(&entry.origin),
            });
        }
    }
    findings
}

/// `world-writable`: a sticky directory, as /tmp, is fine.
pub(super) fn world_writable(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, entry) in subject.own() {
        let mode = entry.attributes.mode;
        let (open, step) = match entry.node {
            Node::Symlink(_) => continue,
            Node::Directory => (mode & 0o1002 == 0o002, "give it the sticky bit in [[directories]]"),
            Node::File { .. } => (mode & 0o002 != 0, "put your own into [[files]], exclude it"),
        };
        if open {
            findings.push(Finding {
                lint: "world-writable",
                subject: path.to_string(),
                message: format!("may be written by everyone ({mode:04o}, {})", entry.origin),
                help: format!("{step}, or accept the finding with a reason"),
                span: declared(&entry.origin),
            });
        }
    }
    findings
}

/// Only what this tier has otherwise than its parent is looked at, so the place is in its manifest.
fn declared(origin: &Origin) -> Option<crate::ground::Span> {
    match origin {
        Origin::Declared { span, .. } => Some(span.clone()),
        _ => None,
    }
}
