//! Which entries of the packages are kept: globs on final paths.
//!
//! Kept = some include matches and no exclude does. A folder is kept where it matches itself, or
//! where something of the same package below it is kept; then its metadata counts, even if an
//! exclude matches it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use rayon::prelude::*;

use super::{
    ComposeError, Composition, Dropped, Input, Remark, Why,
    layout::{Layout, Trail},
};
use crate::{
    ground::{RootPath, Spanned},
    manifest::{self, GlobMatcher, GlobRule},
    rootfs::{Node, PackageName},
    unpack::Item,
};

/// An entry that a package wants to put somewhere.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    /// Where it really goes.
    pub path: RootPath,
    /// Whose it is.
    pub package: &'a Arc<PackageName>,
    /// The package's place among the tier's packages.
    pub order: usize,
    /// Whether it was written below an alias.
    pub aliased: bool,
    /// Whether a link led it there.
    pub led: bool,
    /// As the package has it.
    pub item: &'a Item,
    /// What it is instead, where that has changed.
    rewritten: Option<Box<Node>>,
    /// Whether it is a link that leads to its own path.
    pub to_itself: bool,
}

impl Claim<'_> {
    /// What it is.
    pub fn node(&self) -> &Node {
        self.rewritten.as_deref().unwrap_or(&self.item.node)
    }
}

/// What is kept, and what became of the rest.
#[derive(Debug, Default)]
pub(super) struct Selected<'a> {
    /// By path; of one path, entries written there before those that an alias moved there, then in
    /// the order of the packages.
    pub claims: Vec<Claim<'a>>,
    /// In no order yet.
    pub dropped: Vec<Dropped>,
    /// Idle globs.
    pub remarks: Vec<Remark>,
    /// Entries that cannot be placed.
    pub errors: Vec<ComposeError>,
    /// What placing made use of.
    pub trail: Trail,
}

/// A rule ready for matching.
pub(super) struct Rule<'a> {
    pub globs: &'a GlobRule,
    pub matcher: GlobMatcher,
}

/// The tier's rules.
pub(super) struct Rules<'a> {
    tier: Rule<'a>,
    packages: BTreeMap<&'a str, Rule<'a>>,
}

impl<'a> Rules<'a> {
    pub fn of(tier: &'a manifest::Tier) -> Self {
        let rule = |globs| Rule { globs, matcher: manifest::matcher(globs) };
        let packages = tier.globs.packages.iter().map(|(name, globs)| (&**name, rule(&globs.value)));
        Self { tier: rule(&tier.globs.tier), packages: packages.collect() }
    }

    pub fn of_package(&self, package: &PackageName) -> &Rule<'a> {
        self.packages.get(&*package.name).unwrap_or(&self.tier)
    }
}

/// Globs of one rule that matched something, by index.
#[derive(Default)]
struct Used {
    include: BTreeSet<usize>,
    exclude: BTreeSet<usize>,
}

/// Places and selects the entries of all packages.
pub(super) fn select<'a>(composition: &Composition<'a>, layout: &Layout) -> Selected<'a> {
    let rules = Rules::of(composition.tier);
    let parts: Vec<_> = composition
        .packages
        .par_iter()
        .enumerate()
        .map(|(order, input)| select_package(order, input, layout, rules.of_package(&input.name)))
        .collect();
    let mut selected = Selected::default();
    let mut used: BTreeMap<Option<&str>, Used> = BTreeMap::new();
    for (input, (part, globs)) in composition.packages.iter().zip(parts) {
        let own = rules.packages.get_key_value(&*input.name.name).map(|(name, _)| *name);
        let used = used.entry(own).or_default();
        used.include.extend(globs.include);
        used.exclude.extend(globs.exclude);
        selected.claims.extend(part.claims);
        selected.dropped.extend(part.dropped);
        selected.errors.extend(part.errors);
        selected.trail.extend(part.trail);
    }
    selected.claims.par_sort_by(|one, other| {
        one.path.cmp(&other.path).then(one.aliased.cmp(&other.aliased)).then(one.order.cmp(&other.order))
    });
    idle_globs(composition, &rules, &used, &mut selected.remarks);
    selected
}

fn select_package<'a>(order: usize, input: &'a Input<'a>, layout: &Layout, rule: &Rule<'_>) -> (Selected<'a>, Used) {
    let mut selected = Selected::default();
    let mut used = Used::default();
    // Folders that match nothing themselves, with the reason.
    let mut waiting: Vec<(Claim<'a>, Trail, Why)> = Vec::new();
    for item in &input.unpacked.entries {
        // Only what is kept leaves a trail.
        let mut trail = Trail::default();
        let placed = match &item.node {
            Node::Symlink(target) => layout.place_link(&item.path, target, &mut trail).map(|(place, new)| {
                let rewritten = (new != *target).then(|| Box::new(Node::Symlink(new)));
                (place, rewritten)
            }),
            node => layout.place(&item.path, *node == Node::Directory, &mut trail).map(|place| (place, None)),
        };
        let (place, rewritten) = match placed {
            Ok(placed) => placed,
            Err(why) => {
                selected.errors.push(ComposeError::Unplaceable {
                    path: item.path.clone(),
                    package: input.name.to_string(),
                    why,
                });
                continue;
            }
        };
        let to_itself = matches!(&item.node, Node::Symlink(target) if layout.leads_to_itself(&item.path, target));
        let claim = Claim {
            path: place.path,
            package: &input.name,
            order,
            aliased: place.aliased,
            led: place.led,
            item,
            rewritten,
            to_itself,
        };
        match judge(rule, &claim.path, &mut used) {
            Ok(()) => {
                selected.claims.push(claim);
                selected.trail.extend(trail);
            }
            Err(why) if *claim.node() == Node::Directory => waiting.push((claim, trail, why)),
            Err(why) => selected.dropped.push(dropped(&claim, why)),
        }
    }
    let kept: BTreeSet<Box<[u8]>> = match waiting.is_empty() {
        true => BTreeSet::new(),
        false => selected.claims.iter().map(|claim| claim.path.as_bytes().into()).collect(),
    };
    for (folder, trail, why) in waiting {
        if has_below(&kept, folder.path.as_bytes()) {
            selected.trail.extend(trail);
            selected.claims.push(folder);
        } else {
            selected.dropped.push(dropped(&folder, why));
        }
    }
    (selected, used)
}

fn has_below(kept: &BTreeSet<Box<[u8]>>, folder: &[u8]) -> bool {
    if folder.is_empty() {
        return !kept.is_empty();
    }
    let prefix = [folder, b"/"].concat();
    let mut after = kept.range::<[u8], _>((Bound::Included(prefix.as_slice()), Bound::Unbounded));
    after.next().is_some_and(|path| path.starts_with(&prefix))
}

fn judge(rule: &Rule<'_>, path: &RootPath, used: &mut Used) -> Result<(), Why> {
    let (include, exclude) = rule.matcher.all(path.as_bytes());
    if include.is_empty() {
        return Err(Why::NotIncluded);
    }
    used.include.extend(include);
    let first = exclude.first().and_then(|first| rule.globs.exclude.get(*first));
    used.exclude.extend(&exclude);
    match first {
        Some(glob) => Err(Why::Excluded(glob.span.clone())),
        None => Ok(()),
    }
}

fn dropped(claim: &Claim<'_>, why: Why) -> Dropped {
    Dropped { path: claim.path.clone(), package: claim.package.clone(), why }
}

/// Tells of globs that matched nothing; not of the default rule, which nobody wrote.
fn idle_globs(
    composition: &Composition<'_>,
    rules: &Rules<'_>,
    used: &BTreeMap<Option<&str>, Used>,
    remarks: &mut Vec<Remark>,
) {
    let source = &composition.tier.source;
    let own = rules.packages.iter().map(|(name, rule)| (Some(*name), rule));
    for (package, rule) in std::iter::once((None, &rules.tier)).chain(own) {
        let Some(used) = used.get(&package) else {
            if let Some(globs) = package.and_then(|name| composition.tier.globs.packages.get(name)) {
                remarks.push(Remark::IdleRule {
                    package: package.unwrap_or_default().to_owned(),
                    source_code: source.clone(),
                    span: globs.span.clone().into(),
                });
            }
            continue;
        };
        let mut tell = |key, globs: &[Spanned<manifest::Glob>], used: &BTreeSet<usize>| {
            for (index, glob) in globs.iter().enumerate() {
                if !used.contains(&index) && !glob.span.is_empty() {
                    remarks.push(Remark::IdleGlob {
                        key,
                        glob: glob.value.0.to_string(),
                        source_code: source.clone(),
                        span: glob.span.clone().into(),
                    });
                }
            }
        };
        tell("include", &rule.globs.include, &used.include);
        tell("exclude", &rule.globs.exclude, &used.exclude);
    }
}
