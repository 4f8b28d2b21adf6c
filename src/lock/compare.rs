//! What differs between two locks, for `lock --upgrade`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Inputs, Lock, Locked};
use crate::debian::Architecture;

/// The packages that differ between two locks, each list by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Changes {
    /// Only in the new lock.
    pub added: Vec<Change>,
    /// Only in the old lock.
    pub removed: Vec<Change>,
    /// In both, as different .debs.
    pub changed: Vec<Change>,
    /// All architectures of both locks.
    pub architectures: BTreeSet<Architecture>,
}

/// One change, together for all architectures where the versions are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Binary package name.
    pub name: Box<str>,
    /// What the old lock has.
    pub before: Option<Side>,
    /// What the new lock has; the same version as before where only the .deb's bytes differ.
    pub after: Option<Side>,
    /// Where.
    pub architectures: BTreeSet<Architecture>,
}

/// A version with the sizes of its .debs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The version.
    pub version: Box<str>,
    /// Bytes of the .deb per architecture.
    pub sizes: BTreeMap<Architecture, u64>,
}

impl Changes {
    /// Whether the locks hold the same .debs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// What differs between two locks. Tiers, suites and outputs do not count.
pub fn changes(old: &Lock, new: &Lock) -> Changes {
    let architectures: BTreeSet<_> = old.architectures.keys().chain(new.architectures.keys()).copied().collect();
    let none = Inputs::default();
    // By name and versions, so that architectures with the same change meet.
    let mut found: BTreeMap<(&str, Option<&str>, Option<&str>), Change> = BTreeMap::new();
    for architecture in &architectures {
        let before = &old.architectures.get(architecture).unwrap_or(&none).packages;
        let after = &new.architectures.get(architecture).unwrap_or(&none).packages;
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (before, after) = (before.get(name), after.get(name));
            if before.map(|locked| locked.package.sha256) == after.map(|locked| locked.package.sha256) {
                continue;
            }
            let change = found.entry((name, before.map(version), after.map(version))).or_insert_with(|| Change {
                name: name.clone(),
                before: before.map(side),
                after: after.map(side),
                architectures: BTreeSet::new(),
            });
            change.architectures.insert(*architecture);
            for (side, locked) in [(&mut change.before, before), (&mut change.after, after)] {
                if let (Some(side), Some(locked)) = (side, locked) {
                    side.sizes.insert(*architecture, locked.package.size);
                }
            }
        }
    }
    let mut changes = Changes { architectures, ..Changes::default() };
    for change in found.into_values() {
        let list = match (&change.before, &change.after) {
            (None, _) => &mut changes.added,
            (_, None) => &mut changes.removed,
            _ => &mut changes.changed,
        };
        list.push(change);
    }
    changes
}

fn version(locked: &Locked) -> &str {
    locked.package.version.as_str()
}

fn side(locked: &Locked) -> Side {
    Side { version: version(locked).into(), sizes: BTreeMap::new() }
}
