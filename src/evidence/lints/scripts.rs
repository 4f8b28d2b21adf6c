//! Maintainer scripts of a tier's packages whose effect the image lacks: unhandled ones, those that
//! would have to be run, and those that a switched-off generator would make.

use std::collections::BTreeSet;

use super::{Finding, Stage, Subject};
use crate::{
    generate::scripts::{Effect, Item},
    ground::printable,
    manifest::{CaCertificates, Generate, Tier},
};

/// The lint's name.
const LINT: &str = "scripts";

/// `scripts`
pub(super) fn find(subject: &Subject<'_>) -> Vec<Finding> {
    let Stage { tier, composed, packages } = subject.stage();
    let names: BTreeSet<_> = packages.iter().map(|input| &*input.name.name).collect();
    lint(tier, &names, &composed.scripts)
}

/// Scripts that need a word, in the order of the packages; and entries of `allow-scripts` that accept
/// nothing. `packages` are the tier's own, `items` what became of their scripts.
pub fn lint(tier: &Tier, packages: &BTreeSet<&str>, items: &[Item]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for item in items {
        let Some((message, help)) = complaint(item, tier) else { continue };
        if let Some(allowed) = tier.allow_scripts.iter().find(|allowed| *allowed.package.value == *item.package.name) {
            used.insert(&allowed.package.value);
            continue;
        }
        findings.push(Finding {
            lint: LINT,
            subject: printable(item.package.name.as_bytes()),
            message,
            help,
            span: None,
        });
    }
    for allowed in tier.allow_scripts.iter().filter(|allowed| !used.contains(&allowed.package.value)) {
        let there = packages.contains(allowed.package.value.as_str());
        let package = printable(allowed.package.value.as_bytes());
        findings.push(Finding {
            lint: LINT,
            subject: package.clone(),
            message: match there {
                true => format!("allow-scripts accepts scripts of {package}, which has none that are unhandled"),
                false => {
                    format!("allow-scripts accepts scripts of {package}, which is not among the tier's own packages")
                }
            },
            help: "take the entry out".into(),
            span: Some(allowed.package.span.clone()),
        });
    }
    findings
}

fn complaint(item: &Item, tier: &Tier) -> Option<(String, String)> {
    let accept = format!(
        "declare in [[files]], [[directories]] or [[symlinks]] what the tier needs of it, and accept the rest: \
         allow-scripts = [{{ package = \"{}\", reason = \"...\" }}]",
        printable(item.package.name.as_bytes())
    );
    let what = match &item.fingerprint {
        Some(fingerprint) => format!("{} ({fingerprint})", item.member),
        None => item.member.clone(),
    };
    match item.effect {
        Effect::None => None,
        Effect::Unhandled => Some((format!("{what} is unhandled: {}", item.reason), accept)),
        Effect::Missing => Some((format!("{what} cannot be made up for: {}", item.reason), accept)),
        Effect::Made(key) if is_on(&tier.generate, key) => None,
        Effect::Made(key) => Some((
            format!("{what} is not made up for, since generate.{key} is off"),
            format!("take `{key} = false` out of [generate], or accept it in allow-scripts"),
        )),
    }
}

fn is_on(generate: &Generate, key: &str) -> bool {
    match key {
        "alternatives" => generate.alternatives,
        "scripts" => generate.scripts,
        "sysusers" => generate.sysusers,
        "tmpfiles" => generate.tmpfiles,
        "ca-certificates" => generate.ca_certificates.as_ref().is_none_or(|form| form.value != CaCertificates::Off),
        "java-keystore" => generate.java_keystore.as_ref().is_none_or(|wanted| wanted.value),
        _ => true,
    }
}
