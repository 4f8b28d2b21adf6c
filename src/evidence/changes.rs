//! What differs between two locks, for people.

use std::collections::BTreeSet;

use super::table::{self, Align, bytes};
use crate::{
    debian::Architecture,
    ground::printable,
    lock::{Change, Changes, Side},
};

/// The changes as a table, a line each, and their number; the size is that of the largest .deb among
/// the line's architectures.
pub fn table(changes: &Changes) -> String {
    if changes.is_empty() {
        return "no package changes\n".to_owned();
    }
    let Changes { added, removed, changed, architectures } = changes;
    let columns = ["", "package", "version", "size", "architectures"].map(|name| (name, Align::Left));
    let mut rows = Vec::new();
    for (sign, list) in [("+", added), ("-", removed), ("~", changed)] {
        rows.extend(list.iter().map(|change| row(sign, change, architectures)));
    }
    let (added, removed, changed) = (added.len(), removed.len(), changed.len());
    table::table(&columns, &rows) + &format!("{added} added, {removed} removed, {changed} changed\n")
}

fn row(sign: &str, change: &Change, all: &BTreeSet<Architecture>) -> Vec<String> {
    let Change { name, before, after, architectures } = change;
    let sides: Vec<&Side> = before.iter().chain(after).collect();
    let mut versions: Vec<String> = sides.iter().map(|side| printable(side.version.as_bytes())).collect();
    let rebuilt = matches!(versions.as_slice(), [before, after] if before == after);
    versions.dedup();
    let mut sizes: Vec<String> =
        sides.iter().map(|side| bytes(side.sizes.values().copied().max().unwrap_or_default())).collect();
    sizes.dedup();
    let version = versions.join(" -> ") + if rebuilt { " (other bytes)" } else { "" };
    // Not `all`, which would read as `Architecture: all`.
    let places = if architectures == all && all.len() > 1 {
        "every architecture".to_owned()
    } else {
        architectures.iter().map(|architecture| architecture.name()).collect::<Vec<_>>().join(" ")
    };
    vec![sign.to_owned(), printable(name.as_bytes()), version, sizes.join(" -> "), places]
}
