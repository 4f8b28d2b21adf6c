//! Maintainer scripts of a tier's packages whose effect the image lacks: unhandled ones, those that
//! would have to be run, and those that a switched-off generator would make.

use std::collections::BTreeSet;

use super::{Finding, Stage, Subject};
use crate::{
    debian::Architecture,
    generate::{
        Accounts, Package,
        scripts::{Effect, Item, effects, tmpfiles_items},
    },
    ground::printable,
    manifest::{CaCertificates, Generate, Tier},
    rootfs::{Origin, Rootfs},
};

/// The lint's name.
const LINT: &str = "scripts";

/// `scripts`
pub(super) fn find(subject: &Subject<'_>) -> Vec<Finding> {
    let Stage { tier, composed, packages } = subject.stage();
    let packages: Vec<_> =
        packages.iter().map(|input| Package { name: &input.name, unpacked: input.unpacked }).collect();
    lint(tier, subject.architecture, &packages, &composed.rootfs, &composed.accounts)
}

/// What became of every script of a tier's own packages, the handled ones too. `rootfs` and `accounts`
/// are the composed tier's.
pub fn account(
    tier: &Tier,
    architecture: Architecture,
    packages: &[Package<'_>],
    rootfs: &Rootfs,
    accounts: &Accounts,
) -> Vec<Item> {
    // As it was before anything of this tier was generated.
    let own = |origin: &Origin| matches!(origin, Origin::Generated { tier: of, .. } if of.rsplit('/').next() == Some(&tier.name));
    let before = rootfs.entries.iter().filter(|(_, entry)| !own(&entry.origin));
    let rootfs = &Rootfs { entries: before.map(|(path, entry)| (path.clone(), entry.clone())).collect() };
    let effects = effects(packages, architecture, rootfs, accounts);
    let accounts = accounts.with(&effects.accounts.users, &effects.accounts.groups);
    let mut items = effects.items;
    items.extend(tmpfiles_items(packages, rootfs, &accounts));
    items
}

/// Scripts that need a word, in the order of the packages; and entries of `allow-scripts` that accept
/// nothing.
pub fn lint(
    tier: &Tier,
    architecture: Architecture,
    packages: &[Package<'_>],
    rootfs: &Rootfs,
    accounts: &Accounts,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for item in account(tier, architecture, packages, rootfs, accounts) {
        let Some((message, help)) = complaint(&item, tier) else { continue };
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
        let package = &allowed.package.value;
        let there = packages.iter().any(|one| *one.name.name == **package);
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
        item.package.name
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
