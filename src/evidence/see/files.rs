//! `--files`: every path of a tier, a line each, as `ls -l` has it.

use super::{Item, Kind, Listing};
use crate::{
    evidence::table::{Align, table},
    ground::printable,
};

/// A table of all paths. Names are safe to print.
pub fn files(listing: &Listing) -> String {
    let columns = [
        ("mode", Align::Left),
        ("owner", Align::Left),
        ("size", Align::Right),
        ("tier", Align::Left),
        ("origin", Align::Left),
        ("path", Align::Left),
    ];
    let row = |item: &Item| {
        let size = match item.kind {
            Kind::File { size, .. } => size.to_string(),
            _ => String::new(),
        };
        let to = match &item.kind {
            Kind::Link(target) => format!(" -> {}", printable(target)),
            Kind::File { same_file_as: Some(first), .. } => {
                listing.items.get(*first).map_or_else(String::new, |first| format!(" = {}", first.path))
            }
            _ => String::new(),
        };
        vec![
            kind_and_mode(item),
            owner(listing, item),
            size,
            printable(listing.tier(item.stage).as_bytes()),
            listing.origin(item),
            format!("{}{to}", item.path),
        ]
    };
    table(&columns, &listing.items.iter().map(row).collect::<Vec<_>>())
}

/// `drwxr-xr-x`, as ls(1) writes it.
pub fn kind_and_mode(item: &Item) -> String {
    let kind = match item.kind {
        Kind::Directory => 'd',
        Kind::File { .. } => '-',
        Kind::Link(_) => 'l',
    };
    let mode = item.mode;
    let bit = |bit: u16, sign: char| if mode & bit == 0 { '-' } else { sign };
    let special = |bit: u16, execute: u16, small: char| match (mode & bit != 0, mode & execute != 0) {
        (true, true) => small,
        (true, false) => small.to_ascii_uppercase(),
        (false, true) => 'x',
        (false, false) => '-',
    };
    [
        kind,
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        special(0o4000, 0o100, 's'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        special(0o2000, 0o010, 's'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        special(0o1000, 0o001, 't'),
    ]
    .into_iter()
    .collect()
}

/// `root:root`, numbers where the tier has no such account.
pub fn owner(listing: &Listing, item: &Item) -> String {
    let user = listing.users.iter().find(|user| user.uid == item.uid).map(|user| &*user.name);
    let group = listing.groups.iter().find(|group| group.gid == item.gid).map(|group| &*group.name);
    let named =
        |name: Option<&str>, number: u32| name.map_or_else(|| number.to_string(), |name| printable(name.as_bytes()));
    format!("{}:{}", named(user, item.uid), named(group, item.gid))
}
