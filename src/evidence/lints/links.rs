//! Symbolic links that lead nowhere.

use super::{Finding, Subject};
use crate::{
    evidence::kept_out::{kept_out, place},
    ground::{RootPath, printable},
    rootfs::{Node, Origin, follow},
};

/// Filled while a system runs; what leads there is nobody's to bring.
const RUNTIME: [&[u8]; 4] = [b"proc", b"sys", b"dev", b"run"];

/// `dangling-link`
pub(super) fn find(subject: &Subject<'_>) -> Vec<Finding> {
    let rootfs = &subject.stage().composed.rootfs;
    let mut findings = Vec::new();
    for (path, entry) in subject.own() {
        let Node::Symlink(target) = &entry.node else { continue };
        let shown = printable(target);
        let mut finding = Finding {
            lint: "dangling-link",
            subject: path.to_string(),
            message: String::new(),
            help: "bring what it leads to, exclude the link, or accept the finding with a reason".to_owned(),
            span: match &entry.origin {
                Origin::Declared { span, .. } => Some(span.clone()),
                _ => None,
            },
        };
        let Ok(real) = follow(path.as_bytes(), true, |path| rootfs.link(path)) else {
            finding.message = format!("leads to {shown}, a loop ({})", entry.origin);
            findings.push(finding);
            continue;
        };
        let runtime = real.split(|byte| *byte == b'/').next().is_some_and(|top| RUNTIME.contains(&top));
        if runtime || rootfs.entries.contains_key(real.as_slice()) {
            continue;
        }
        let Ok(real) = RootPath::from_archive(&real) else { continue };
        let mut where_to = format!("leads to {shown}");
        if real.to_string() != shown {
            where_to.push_str(&format!(", that is {real}"));
        }
        let why = match kept_out(subject.chain, &real).pop() {
            Some(out) => {
                let line = out.span.as_ref().map(|span| place(out.stage.tier, span));
                if out.stage.tier.name == subject.stage().tier.name && finding.span.is_none() {
                    finding.span = out.span.clone();
                }
                let line = line.map(|(file, line)| format!(" ({file}:{line})")).unwrap_or_default();
                format!("which {} has, but {}{line}", out.dropped.package.name, out.text)
            }
            None => "which is not there".to_owned(),
        };
        finding.message = format!("{where_to}, {why}; the link is of {}", entry.origin);
        findings.push(finding);
    }
    findings
}
