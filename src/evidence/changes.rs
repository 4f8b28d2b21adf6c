//! What differs between two locks, for people.

use super::diff::{Lists, PackageChange, PackageSide, packages_table};
use crate::{
    ground::printable,
    lock::{Change, Changes, Side},
};

/// The changes as a table, a line each, and their number; the size is that of the largest .deb among
/// the line's architectures.
pub fn table(changes: &Changes) -> String {
    if changes.is_empty() {
        return "no package changes\n".to_owned();
    }
    let all = changes.architectures.iter().map(|architecture| architecture.name().to_owned()).collect();
    packages_table(&packages(changes), &all)
}

/// The changes as those of every comparison.
pub fn packages(changes: &Changes) -> Lists<PackageChange> {
    let Changes { added, removed, changed, architectures: _ } = changes;
    let all = |list: &[Change]| list.iter().map(package).collect();
    Lists { added: all(added), removed: all(removed), changed: all(changed) }
}

fn package(change: &Change) -> PackageChange {
    let Change { name, before, after, architectures } = change;
    let side = |side: &Side| PackageSide {
        version: printable(side.version.as_bytes()),
        deb_size: Some(side.sizes.values().copied().max().unwrap_or_default()),
        size: None,
    };
    PackageChange {
        name: printable(name.as_bytes()),
        architectures: architectures.iter().map(|architecture| architecture.name().to_owned()).collect(),
        before: before.as_ref().map(side),
        after: after.as_ref().map(side),
        cves: Default::default(),
    }
}
