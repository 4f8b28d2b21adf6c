//! What must hold at the end: a folder above every entry, links that were taken for folders lead to
//! folders, no conflict is left.

use std::collections::{BTreeMap, BTreeSet};

use super::{ComposeError, Composed, Composition, Remark, layout::Layout, merge::Draft};
use crate::{
    ground::{RootPath, printable},
    rootfs::{Entry, Node, Origin},
};

/// The composed tier, or all that is wrong with it.
pub(super) fn finish(
    composition: &Composition<'_>,
    layout: &Layout,
    mut draft: Draft,
) -> Result<Composed, Vec<ComposeError>> {
    tell_conflicts(composition, &mut draft);
    add_folders(composition, &mut draft);
    check_links(composition, layout, &mut draft);
    check_aliases(layout, &mut draft);
    if !draft.errors.is_empty() {
        return Err(draft.errors);
    }
    draft
        .remarks
        .retain(|remark| !matches!(remark, Remark::FolderMetadata { path, .. } if draft.declared.contains_key(path)));
    draft.dropped.sort_by(|one, other| one.path.cmp(&other.path));
    let inherited = composition.parent.map(|parent| parent.controls.clone()).unwrap_or_default();
    let own = composition.packages.iter().filter_map(|input| {
        let control = input.unpacked.control.get("control")?;
        Some((input.name.clone(), control.clone()))
    });
    Ok(Composed {
        rootfs: draft.tree,
        accounts: draft.accounts,
        choices: draft.choices,
        scripts: draft.scripts,
        remarks: draft.remarks,
        dropped: draft.dropped,
        ground: composition.parent.filter(|parent| parent.is_ground).and_then(|parent| parent.ground.clone()),
        is_ground: false,
        controls: inherited.into_iter().chain(own).collect(),
    })
}

/// Conflicts that the manifest did not settle, one error for each two that differ.
fn tell_conflicts(composition: &Composition<'_>, draft: &mut Draft) {
    let mut pairs: BTreeMap<(String, String), (RootPath, usize)> = BTreeMap::new();
    for conflict in std::mem::take(&mut draft.conflicts) {
        if draft.declared.contains_key(&conflict.path) {
            continue;
        }
        let pair = (conflict.first, conflict.second);
        pairs.entry(pair).and_modify(|(_, others)| *others += 1).or_insert((conflict.path, 0));
    }
    draft.errors.extend(pairs.into_iter().map(|((first, second), (path, others))| ComposeError::DifferentFiles {
        tier: composition.name.to_owned(),
        path,
        others,
        first,
        second,
    }));
}

/// Folders that nobody declared are 0755 root:root.
fn add_folders(composition: &Composition<'_>, draft: &mut Draft) {
    let mut missing: BTreeMap<RootPath, Entry> = BTreeMap::new();
    if draft.tree.get(&RootPath::root()).is_none() {
        missing.insert(RootPath::root(), Entry::implied());
    }
    let mut told: BTreeSet<RootPath> = BTreeSet::new();
    let mut last: Option<RootPath> = None;
    for (path, entry) in &draft.tree.entries {
        let Some(above) = path.parent() else { continue };
        if last.as_ref() == Some(&above) {
            continue;
        }
        for above in path.ancestors() {
            match draft.tree.get(&above) {
                None if missing.contains_key(&above) => break,
                None => {
                    missing.insert(above, Entry::implied());
                }
                Some(Entry { node: Node::Directory, .. }) => break,
                Some(_) if !told.insert(above.clone()) => break,
                Some(other) => {
                    draft.errors.push(ComposeError::DifferentKinds {
                        tier: composition.name.into(),
                        path: above,
                        first: format!("{} in {}", other.node.kind(), other.origin).into(),
                        second: format!("{} in {}, for {path}", Node::Directory.kind(), entry.origin).into(),
                        source_code: composition.tier.source.clone(),
                        labels: Vec::new(),
                        next: ComposeError::next([&other.origin, &entry.origin]),
                    });
                    break;
                }
            }
        }
        last = Some(above);
    }
    draft.tree.entries.append(&mut missing);
}

/// A link that entries passed through must lead to a folder that is there without them.
fn check_links(composition: &Composition<'_>, layout: &Layout, draft: &mut Draft) {
    for (link, example) in &draft.trail.links {
        let target = layout.link(link);
        // It may have lost to another link since it was followed.
        let real = draft.tree.resolve(link).filter(|_| draft.tree.link(link.as_bytes()) == target);
        let there = real.is_some_and(|real| {
            let own = |path: &RootPath, entry: &Entry| entry.origin != Origin::Implied && !draft.led.contains(path);
            let folder = draft.tree.get(&real).filter(|entry| entry.node == Node::Directory);
            folder.is_some_and(|entry| own(&real, entry))
                || folder.is_some() && draft.tree.below(&real).any(|(path, entry)| own(path, entry))
        });
        if !there {
            draft.errors.push(ComposeError::LinkToNoFolder {
                tier: composition.name.to_owned(),
                link: link.clone(),
                target: printable(target.unwrap_or_default()),
                example: example.clone(),
            });
        }
    }
}

/// Entries below an alias moved; without the link nobody finds them under their old name.
fn check_aliases(layout: &Layout, draft: &mut Draft) {
    for (name, example) in &draft.trail.aliases {
        if draft.tree.link(name).is_some() {
            continue;
        }
        draft.remarks.push(Remark::NoAlias {
            name: printable(name),
            real: layout.alias_of(name).cloned().unwrap_or_default(),
            example: example.clone(),
        });
    }
}
