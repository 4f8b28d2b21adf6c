//! /etc/alternatives and the links to it (update-alternatives(1)), from the `--install` calls of
//! postinsts. The highest priority of the whole chain wins, the first of equals; what a link would
//! lead to must be in the tree. dpkg's record of the choices is not written: nothing in an image asks it.

use std::collections::BTreeMap;

use super::{GenerateError, Made, Request, scripts::find, shell::Call};
use crate::{
    ground::RootPath,
    rootfs::{Entry, Node, Origin},
};

/// Where choices are recorded.
const FOLDER: &[u8] = b"/etc/alternatives";

/// One `update-alternatives --install`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The name below /etc/alternatives, such as `awk`.
    pub name: String,
    /// The link that users know, such as `/usr/bin/awk`.
    pub link: RootPath,
    /// What it leads to, as it is written.
    pub target: String,
    /// The highest wins.
    pub priority: i64,
    /// Links that follow the choice: link, name, target.
    pub followers: Vec<(RootPath, String, String)>,
    /// Whose script says so.
    pub package: String,
}

/// Takes a call of update-alternatives; `None` where it is another, or not understood.
pub(super) fn read(call: &Call, package: &str, choices: &mut Vec<Choice>) -> Option<()> {
    let words: Vec<&str> = call.words.iter().filter_map(|word| word.as_deref()).collect();
    let (program, words) = words.split_first()?;
    if program.rsplit('/').next() != Some("update-alternatives") {
        return None;
    }
    let choice = choice(words, package)?;
    choices.push(choice);
    Some(())
}

fn choice(words: &[&str], package: &str) -> Option<Choice> {
    let mut choice: Option<Choice> = None;
    let mut words = words.iter().copied();
    // Not among the records of choices, which would then be links to themselves.
    let path = |text: Option<&str>| {
        let path = RootPath::from_absolute(text?.as_bytes()).ok()?;
        let records = RootPath::from_absolute(FOLDER).expect("a plain path");
        (!path.is_root() && path.below(&records).is_none() && records.below(&path).is_none()).then_some(path)
    };
    // As update-alternatives itself: absolute paths, and names without a slash.
    let name = |text: Option<&str>| {
        let odd = |text: &&str| {
            text.contains(['/', ' ']) || text.contains(char::is_control) || text.trim_matches('.').is_empty()
        };
        text.filter(|text| !odd(text)).map(str::to_owned)
    };
    let target = |text: Option<&str>| text.filter(|text| text.starts_with('/')).map(str::to_owned);
    while let Some(word) = words.next() {
        match word {
            "--quiet" | "--verbose" | "--force" => {}
            "--install" if choice.is_none() => {
                choice = Some(Choice {
                    link: path(words.next())?,
                    name: name(words.next())?,
                    target: target(words.next())?,
                    priority: words.next()?.parse().ok()?,
                    followers: Vec::new(),
                    package: package.to_owned(),
                });
            }
            "--slave" => {
                let follower = (path(words.next())?, name(words.next())?, target(words.next())?);
                choice.as_mut()?.followers.push(follower);
            }
            _ => return None,
        }
    }
    choice
}

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    if !request.wish.alternatives || request.effects.choices.is_empty() {
        return Ok(Vec::new());
    }
    let mut groups: BTreeMap<&str, Vec<&Choice>> = BTreeMap::new();
    for choice in request.inherited_choices.iter().chain(&request.effects.choices) {
        groups.entry(&choice.name).or_default().push(choice);
    }
    let touched = |choices: &Vec<&Choice>| {
        choices.iter().any(|choice| request.effects.choices.iter().any(|own| std::ptr::eq(own, *choice)))
    };
    let mut links: BTreeMap<RootPath, Made> = BTreeMap::new();
    for choices in groups.into_values().filter(touched) {
        let there = |target: &str| {
            RootPath::from_absolute(target.as_bytes()).is_ok_and(|path| find(request.rootfs, &path).is_some())
        };
        let mut best: Option<&Choice> = None;
        for choice in choices.into_iter().filter(|choice| there(&choice.target)) {
            if best.is_none_or(|best| choice.priority > best.priority) {
                best = Some(choice);
            }
        }
        let Some(best) = best else { continue };
        let first = (&best.link, &best.name, &best.target);
        let followers = best.followers.iter().map(|(link, name, target)| (link, name, target));
        for (link, name, target) in std::iter::once(first).chain(followers.filter(|(_, _, target)| there(target))) {
            let folder = RootPath::from_absolute(FOLDER).expect("a plain path");
            let Ok(record) = folder.join(name.as_bytes()) else { continue };
            if !free(request, link) || !free(request, &record) {
                continue;
            }
            let to_record = [b"/", record.as_bytes()].concat();
            links.insert(record.clone(), Made::link(record, target.as_bytes()));
            links.insert(link.clone(), Made::link(link.clone(), &to_record));
        }
    }
    Ok(links.into_values().collect())
}

/// As update-alternatives does, a file is not replaced by a link; nor is what a manifest declares.
fn free(request: &Request<'_>, path: &RootPath) -> bool {
    match request.rootfs.get(path).or_else(|| find_last(request, path)) {
        None => true,
        Some(Entry { origin: Origin::Declared { .. }, .. }) => false,
        Some(entry) => matches!(entry.node, Node::Symlink(_)),
    }
}

/// Through links above it, but not through the path's own.
fn find_last<'a>(request: &Request<'a>, path: &RootPath) -> Option<&'a Entry> {
    let above = request.rootfs.resolve(&path.parent()?)?;
    request.rootfs.get(&above.join(path.name()).ok()?)
}
