//! Lines of tmpfiles.d(5): entries, and which are not understood.

use std::collections::BTreeMap;

use super::{Effect, Item, accounts::Users, files_below, start_of};
use crate::{
    generate::{Accounts, Made, Package},
    ground::RootPath,
    rootfs::{Attributes, Content, Node, Rootfs},
};

/// An item for each file of tmpfiles.d, of the tier's own packages.
pub fn tmpfiles_items(packages: &[Package<'_>], rootfs: &Rootfs, accounts: &Accounts) -> Vec<Item> {
    tmpfiles(packages, rootfs, accounts).1
}

/// What the lines of the tier's own packages make, and an item for each file of them.
pub(in crate::generate) fn tmpfiles(
    packages: &[Package<'_>],
    rootfs: &Rootfs,
    accounts: &Accounts,
) -> (Vec<Made>, Vec<Item>) {
    let mut made = BTreeMap::new();
    let mut items = Vec::new();
    let mut users = Users::new(accounts);
    for package in packages {
        for (path, text) in files_below(package, b"/usr/lib/tmpfiles.d") {
            let mut odd = text.is_none().then(|| "it is no text".to_owned());
            for line in text.iter().flat_map(|text| text.lines()).map(str::trim) {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                match entry(line, &mut users) {
                    Some(Some((path, node, attributes))) => {
                        let free = rootfs.get(&path).is_none() && rootfs.resolve(&path).is_none();
                        if free && !made.contains_key(&path) {
                            made.insert(path.clone(), Made { path, node, attributes });
                        }
                    }
                    Some(None) => {}
                    None => drop(odd.get_or_insert_with(|| format!("the line {:?} is not understood", start_of(line)))),
                }
            }
            items.push(Item {
                package: package.name.clone(),
                member: path.to_string(),
                effect: if odd.is_some() { Effect::Unhandled } else { Effect::Made("tmpfiles") },
                reason: odd.unwrap_or_else(|| "generate.tmpfiles".into()),
                fingerprint: None,
            });
        }
    }
    (made.into_values().collect(), items)
}

type Line = Option<(RootPath, Node, Attributes)>;

/// One line; `Some(None)` makes nothing in an image, `None` is not understood.
fn entry(line: &str, users: &mut Users<'_>) -> Option<Line> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let field = |at: usize| fields.get(at).copied().filter(|field| *field != "-");
    let kind = *fields.first()?;
    if kind.contains('!') {
        return Some(None);
    }
    let letter = kind.trim_end_matches(['+', '-', '=', '^', '?']);
    // Cleaning.
    if ["x", "X", "r", "R"].contains(&letter) {
        return Some(None);
    }
    let text = field(1)?;
    if text.contains(['%', '"', '\\', '*']) {
        return None;
    }
    // /var/run and /var/lock lead there on every Debian system.
    let text = match text.strip_prefix("/var/run/") {
        Some(rest) => format!("/run/{rest}"),
        None => text.trim_end_matches('/').to_owned(),
    };
    let path = RootPath::from_absolute(text.as_bytes()).ok().filter(|path| !path.is_root())?;
    if [b"proc".as_slice(), b"sys", b"dev"].contains(&path.names().next()?) {
        return Some(None);
    }
    let mode = |default| match field(2) {
        None => Some(default),
        Some(mode) => u16::from_str_radix(mode.trim_start_matches(['~', ':']), 8).ok().filter(|mode| *mode <= 0o7777),
    };
    let uid = field(3).map_or(Some(0), |user| users.uid(user.trim_start_matches(':')))?;
    let gid = field(4).map_or(Some(0), |group| users.gid(group.trim_start_matches(':')))?;
    let argument = fields.get(6..).map(|words| words.join(" ")).filter(|text| !text.is_empty() && text != "-");
    let (node, attributes) = match letter {
        "d" | "D" | "q" => (Node::Directory, Attributes::new(mode(0o755)?, uid, gid)),
        "f" if argument.as_ref().is_none_or(|text| !text.contains(['\\', '%'])) => {
            let content = Content::from_bytes(argument.unwrap_or_default().into_bytes());
            (Node::File { content, group: None }, Attributes::new(mode(0o644)?, uid, gid))
        }
        "L" => {
            let target = argument.filter(|target| !target.contains('%'))?;
            (Node::Symlink(target.into_bytes().into()), Attributes::new(0o777, 0, 0))
        }
        _ => return None,
    };
    Some(Some((path, node, attributes)))
}
