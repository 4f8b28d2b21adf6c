//! `[limits]`: what a composed tier may weigh and hold.

use std::collections::{BTreeMap, BTreeSet};

use miette::{Diagnostic, SourceSpan};

use super::{ComposeError, Composed};
use crate::{
    debian::Architecture,
    ground::{RootPath, Source, Spanned, bytes},
    manifest::{SetId, Tier},
    rootfs::{Entry, Node, Origin, Rootfs},
};

/// How many contributors a message names.
const MOST_NAMED: usize = 5;
/// How many setuid and setgid files a message names.
const MOST_FILES: usize = 10;

/// What is held against the limits of a tier.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// The tier's full name.
    pub name: &'a str,
    /// What it was composed for.
    pub architecture: Architecture,
    /// The tier and its ancestors, the root tier first, each with the number of packages that it adds.
    pub chain: &'a [(&'a Tier, usize)],
    /// The tier.
    pub composed: &'a Composed,
    /// What its layer holds.
    pub changes: &'a [(RootPath, Entry)],
    /// Bytes of its layer's tar; asked for only where there is such a limit.
    pub layer_size: u64,
}

/// A tier is over one of its limits.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{tier} ({architecture}) {found}")]
#[diagnostic(code(debstrata::compose::limit), help("{help}"))]
pub struct OverLimit {
    /// The tier.
    pub tier: String,
    /// For which architecture.
    pub architecture: Architecture,
    /// The key.
    pub key: &'static str,
    /// What it has too much of, in words.
    pub found: String,
    /// Who brings the most of it, and the next step.
    pub help: String,
    /// The manifest that has the limit: the tier's own, or an ancestor's.
    #[source_code]
    pub source_code: Source,
    /// The limit's value.
    #[label("the limit")]
    pub span: SourceSpan,
}

/// Whether the limits of this tier need the size of its layer's tar.
pub fn asks_layer_size(tier: &Tier) -> bool {
    tier.checks.limits.layer_size.is_some()
}

/// All limits that a tier is over.
pub fn over_limits(load: &Load<'_>) -> Vec<ComposeError> {
    let Some((tier, _)) = load.chain.last() else { return Vec::new() };
    let limits = &tier.checks.limits;
    let mut over = Vec::new();
    let mut tell = |key, tier: &Tier, span: &crate::ground::Span, found, help| {
        over.push(ComposeError::Limit(Box::new(OverLimit {
            tier: load.name.to_owned(),
            architecture: load.architecture,
            key,
            found,
            help,
            source_code: tier.source.clone(),
            span: span.clone().into(),
        })));
    };
    let exceeded = |limit: &Option<Spanned<u64>>, found: u64| limit.clone().filter(|limit| found > limit.value);
    if let Some(limit) = exceeded(&limits.layer_size, load.layer_size) {
        let found = format!("has a layer of {}, {}", exact(load.layer_size), over_by(load.layer_size, limit.value));
        let entries = load.changes.iter().map(|(_, entry)| entry);
        tell("layer-size", tier, &limit.span, found, smaller(&largest(entries)));
    }
    let size = rootfs_size(&load.composed.rootfs);
    if let Some(limit) = exceeded(&limits.rootfs_size, size) {
        let found = format!("has {} in files, {}", exact(size), over_by(size, limit.value));
        tell("rootfs-size", tier, &limit.span, found, smaller(&largest(load.composed.rootfs.entries.values())));
    }
    let count: usize = load.chain.iter().map(|(_, count)| count).sum();
    if let Some(limit) = limits.packages.as_ref().filter(|limit| count > limit.value as usize) {
        let found =
            format!("has {count} packages, {} more than its limit of {}", count - limit.value as usize, limit.value);
        let tiers: Vec<_> = load.chain.iter().map(|(tier, count)| format!("{} {count}", tier.name)).collect();
        let large = largest(load.composed.rootfs.entries.values());
        let help = format!("packages by tier: {}; the largest: {}", tiers.join(", "), large.join(", "));
        tell("packages", tier, &limit.span, found, help);
    }
    let tiers: Vec<&Tier> = load.chain.iter().map(|(tier, _)| *tier).collect();
    if let Some((limit, by)) = Tier::setuid(&tiers).filter(|(limit, _)| limit.value == SetId::Deny) {
        let files: Vec<_> = set_id_files(&load.composed.rootfs).collect();
        if !files.is_empty() {
            let shown = files
                .iter()
                .take(MOST_FILES)
                .map(|(path, entry)| format!("{path} ({:04o}, {})", entry.attributes.mode, entry.origin));
            let mut shown: Vec<_> = shown.collect();
            shown.extend(more(files.len(), MOST_FILES));
            let found = match files.len() {
                1 => "has a setuid or setgid file".to_owned(),
                count => format!("has {count} setuid or setgid files"),
            };
            let help = format!(
                "{}; exclude them in [globs], or say setuid = \"allow\" in [limits] of this tier",
                shown.join(", ")
            );
            tell("setuid", by, &limit.span, found, help);
        }
    }
    over
}

/// Bytes of all files, one inode once.
pub fn rootfs_size(rootfs: &Rootfs) -> u64 {
    weigh(rootfs.entries.values(), |_| ()).values().sum()
}

/// Files with the setuid or setgid bit; on a directory setgid only hands on the group.
pub fn set_id_files(rootfs: &Rootfs) -> impl Iterator<Item = (&RootPath, &Entry)> {
    let set = |entry: &Entry| matches!(entry.node, Node::File { .. }) && entry.attributes.mode & 0o6000 != 0;
    rootfs.entries.iter().filter(move |(_, entry)| set(entry))
}

/// Bytes of files by a key of their origin, one inode once.
fn weigh<'a, K: Ord>(entries: impl Iterator<Item = &'a Entry>, key: impl Fn(&'a Origin) -> K) -> BTreeMap<K, u64> {
    let mut seen = BTreeSet::new();
    let mut sizes: BTreeMap<K, u64> = BTreeMap::new();
    for entry in entries {
        let Node::File { content, group } = &entry.node else { continue };
        if group.is_none_or(|group| seen.insert(group)) {
            let size = sizes.entry(key(&entry.origin)).or_default();
            *size = size.saturating_add(content.size);
        }
    }
    sizes
}

/// Who brings the most bytes, the largest first: `libc6 12.3 MB`.
fn largest<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<String> {
    let name = |origin: &Origin| match origin {
        Origin::Package(package) => package.name.to_string(),
        other => other.to_string(),
    };
    let mut all: Vec<_> = weigh(entries, name).into_iter().collect();
    all.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    let mut named: Vec<_> =
        all.iter().take(MOST_NAMED).map(|(name, size)| format!("{name} {}", bytes(*size))).collect();
    named.extend(more(all.len(), MOST_NAMED));
    named
}

fn more(all: usize, shown: usize) -> Option<String> {
    let rest = all.checked_sub(shown).filter(|rest| *rest > 0)?;
    Some(format!("and {rest} more"))
}

fn smaller(largest: &[String]) -> String {
    format!("the largest: {}; exclude files in [globs], leave packages out, or raise the limit", largest.join(", "))
}

/// Both figures, where a rounded one could look as if it were within the limit.
fn exact(size: u64) -> String {
    match size < 1000 {
        true => format!("{size} bytes"),
        false => format!("{} ({size} bytes)", bytes(size)),
    }
}

fn over_by(size: u64, limit: u64) -> String {
    format!("{} over its limit of {}", bytes(size.saturating_sub(limit)), bytes(limit))
}
