//! Where an entry really goes: names below /bin, /lib ... on a merged /usr, and names below a folder
//! that is a link in the tree.
//!
//! Two steps, always in this order. First *aliases*: top-level names that stand for a folder below
//! /usr, by `merged-usr = true` or because the tree has such a link. An entry that moves keeps the
//! meaning of its relative target. Then *links*: a package that has a folder where the tree has a
//! link puts its entries into the link's target, as dpkg does, whichever of the two came first.
//! What such a link finally leads to is checked at the end, in `finish`.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use super::{Composition, select};
use crate::{
    ground::{PathError, RootPath},
    rootfs::{Node, follow},
};

/// Debian's list (base-files, preinst). Each stands for the folder of its own name below /usr: sbin
/// stays sbin. The diversions to /.lib32.usr-is-merged and so on, which base-files' scripts add
/// (DEP 17, M4), keep dpkg from a real folder over the link; here the rewriting does.
const MERGED: [&[u8]; 7] = [b"bin", b"lib", b"lib32", b"lib64", b"libo32", b"libx32", b"sbin"];

/// Where `merged-usr` puts what packages have at this path, if elsewhere.
pub fn merged_usr(path: &RootPath) -> Option<RootPath> {
    let top = path.names().next().filter(|name| path.as_bytes() != *name)?;
    MERGED.contains(&top).then(|| RootPath::from_archive(&[b"usr/", path.as_bytes()].concat()).ok())?
}

/// The aliases and links of one composition.
pub(super) struct Layout {
    /// By top-level name: the folder that it stands for.
    aliases: BTreeMap<Box<[u8]>, RootPath>,
    /// Links of the parent's tree and of the tier's packages: path to target.
    links: HashMap<Box<[u8]>, Box<[u8]>>,
    /// Links that the tier's manifest adds. They lead what the manifest declares, not what packages
    /// have: a folder of a package where the manifest wants a link is a conflict.
    declared: Vec<(RootPath, Box<[u8]>)>,
}

/// Where an entry goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Where.
    pub path: RootPath,
    /// Whether an alias moved it.
    pub aliased: bool,
    /// Whether a link led it there.
    pub led: bool,
}

/// What placing made use of; each with one path that did.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Top-level names that were taken for aliases.
    pub aliases: BTreeMap<Box<[u8]>, RootPath>,
    /// Links that were taken for folders.
    pub links: BTreeMap<RootPath, RootPath>,
}

impl Trail {
    /// Adds what another part of the work made use of.
    pub fn extend(&mut self, other: Trail) {
        for (name, example) in other.aliases {
            self.aliases.entry(name).or_insert(example);
        }
        for (link, example) in other.links {
            self.links.entry(link).or_insert(example);
        }
    }
}

impl Layout {
    /// Finds the aliases and links of a tier.
    pub fn of(composition: &Composition<'_>) -> Self {
        let mut layout = Self { aliases: aliases(composition), links: HashMap::new(), declared: Vec::new() };
        if let Some(parent) = composition.parent {
            for (path, entry) in &parent.rootfs.entries {
                if let Node::Symlink(target) = &entry.node {
                    layout.links.insert(path.as_bytes().into(), target.clone());
                }
            }
        }
        // Links may lie below links: the upper ones first.
        let mut own: Vec<(usize, RootPath, Box<[u8]>)> = Vec::new();
        let rules = select::Rules::of(composition.tier);
        for input in composition.packages {
            let rule = rules.of_package(&input.name);
            for item in &input.unpacked.entries {
                let Node::Symlink(target) = &item.node else { continue };
                if layout.leads_to_itself(&item.path, target) {
                    continue;
                }
                let Ok((place, target)) = layout.alias_link(&item.path, target) else { continue };
                if rule.matcher.keeps(place.path.as_bytes()) {
                    own.push((place.path.names().count(), place.path, target));
                }
            }
        }
        // Stable: packages in their order; the first of a path counts.
        own.sort_by(|(depth, path, _), (other, other_path, _)| (depth, path).cmp(&(other, other_path)));
        own.dedup_by(|(_, path, _), (_, first, _)| path == first);
        for (_, path, target) in own {
            let real = layout.resolve(path.as_bytes(), false, &mut Trail::default(), &path);
            layout.links.insert(real.map_or_else(|| path.as_bytes().into(), Vec::into_boxed_slice), target);
        }
        for link in &composition.tier.symlinks {
            let placed = layout.place_link(&link.path.value, link.target.as_bytes(), &mut Trail::default());
            let Ok((place, target)) = placed else { continue };
            match layout.links.get_mut(place.path.as_bytes()) {
                Some(before) => *before = target,
                None => layout.declared.push((place.path, target)),
            }
        }
        layout
    }

    /// The same with the links that the tier's manifest adds.
    pub fn of_manifest(mut self) -> Self {
        let declared = self.declared.drain(..).map(|(path, target)| (path.as_bytes().into(), target));
        self.links.extend(declared);
        self
    }

    /// What a top-level name stands for.
    pub fn alias_of(&self, name: &[u8]) -> Option<&RootPath> {
        self.aliases.get(name)
    }

    /// Where an entry goes. A folder (`folder`) that meets a link goes to the link's target; for all
    /// others the last name is their own.
    pub fn place(&self, path: &RootPath, folder: bool, trail: &mut Trail) -> Result<Place, PathError> {
        let mut place = self.alias(path, folder)?;
        if let Some(name) = path.names().next().filter(|name| place.aliased && !trail.aliases.contains_key(*name)) {
            trail.aliases.insert(name.into(), path.clone());
        }
        if let Some(found) = self.resolve(place.path.as_bytes(), folder, trail, path) {
            place.path = RootPath::from_archive(&found)?;
            place.led = true;
        }
        Ok(place)
    }

    /// Where a link goes, and the target it needs there.
    pub fn place_link(
        &self,
        path: &RootPath,
        target: &[u8],
        trail: &mut Trail,
    ) -> Result<(Place, Box<[u8]>), PathError> {
        let place = self.place(path, false, trail)?;
        let (_, target) = self.alias_link(path, target)?;
        Ok((place, target))
    }

    /// The target of what was taken for a link.
    pub fn link(&self, path: &RootPath) -> Option<&[u8]> {
        self.links.get(path.as_bytes()).map(|target| &**target)
    }

    /// Whether a link led to another path until aliases made them one: /usr/bin/x to /bin/x.
    pub fn leads_to_itself(&self, written: &RootPath, target: &[u8]) -> bool {
        let folder = written.parent().unwrap_or_default();
        let names = walk(folder.names(), target);
        let Ok(found) = RootPath::from_archive(&names.join(&b'/')) else { return false };
        let real = |path: &RootPath| self.alias(path, false).map(|place| place.path);
        found != *written && real(&found).is_ok() && real(&found) == real(written)
    }

    fn alias(&self, path: &RootPath, folder: bool) -> Result<Place, PathError> {
        let as_it_is = || Ok(Place { path: path.clone(), aliased: false, led: false });
        let Some(name) = path.names().next() else { return as_it_is() };
        let rest = &path.as_bytes()[name.len()..];
        match self.aliases.get(name) {
            // The name itself may be the link that makes it an alias, or a conflict to be told.
            Some(_) if rest.is_empty() && !folder => as_it_is(),
            Some(real) => Ok(Place { path: real.join(rest)?, aliased: true, led: false }),
            None => as_it_is(),
        }
    }

    /// An alias that moves a link must keep what its relative target means: from /lib, `../x` is /x;
    /// from /usr/lib, that needs one `..` more.
    fn alias_link(&self, path: &RootPath, target: &[u8]) -> Result<(Place, Box<[u8]>), PathError> {
        let place = self.alias(path, false)?;
        if !place.aliased || target.starts_with(b"/") {
            return Ok((place, target.into()));
        }
        let (Some(before), Some(now)) = (path.parent(), place.path.parent()) else {
            return Ok((place, target.into()));
        };
        let meaning = |folder: &RootPath| {
            let path = RootPath::from_archive(&walk(folder.names(), target).join(&b'/'))?;
            self.alias(&path, true).map(|place| place.path)
        };
        if meaning(&before)? == meaning(&now)? {
            return Ok((place, target.into()));
        }
        let mut depth = before.names().count();
        let deeper = now.names().count().saturating_sub(depth);
        let mut names: Vec<&[u8]> = Vec::new();
        let mut added = false;
        for name in target.split(|byte| *byte == b'/') {
            names.push(name);
            match name {
                b"" | b"." => {}
                b".." => depth = depth.saturating_sub(1),
                _ => depth += 1,
            }
            // Here it reached the root: from the new place that takes more steps.
            if depth == 0 && !added {
                names.extend(std::iter::repeat_n(b"..".as_slice(), deeper));
                added = true;
            }
        }
        Ok((place, names.join(&b'/').into()))
    }

    /// The path with its links followed, where there are any; what was followed goes to the trail.
    /// In a loop the path stays, and the trail tells of it.
    fn resolve(&self, path: &[u8], last: bool, trail: &mut Trail, example: &RootPath) -> Option<Vec<u8>> {
        if self.links.is_empty() {
            return None;
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut prefixes = ends.chain(last.then_some(path.len())).map(|end| &path[..end]);
        prefixes.find(|prefix| self.links.contains_key(*prefix))?;
        let followed = RefCell::new(Vec::new());
        let found = follow(path, last, |link| {
            let target = self.links.get(link)?;
            followed.borrow_mut().push(RootPath::from_archive(link));
            Some(target)
        });
        for link in followed.into_inner().into_iter().flatten() {
            trail.links.entry(link).or_insert_with(|| example.clone());
        }
        found.ok()
    }
}

/// The names of where `target` leads from a folder, if nothing on the way is a link.
fn walk<'a>(folder: impl Iterator<Item = &'a [u8]>, target: &'a [u8]) -> Vec<&'a [u8]> {
    let mut names: Vec<&[u8]> = if target.starts_with(b"/") { Vec::new() } else { folder.collect() };
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names
}

/// The top-level links into /usr that the tree has or will have, and Debian's list.
fn aliases(composition: &Composition<'_>) -> BTreeMap<Box<[u8]>, RootPath> {
    let declared = composition.tier.symlinks.iter().map(|link| (&link.path.value, link.target.as_bytes()));
    let packaged = composition.packages.iter().flat_map(|input| &input.unpacked.entries).filter_map(|item| {
        let Node::Symlink(target) = &item.node else { return None };
        Some((&item.path, &**target))
    });
    let parents = composition.parent.iter().flat_map(|parent| &parent.rootfs.entries).filter_map(|(path, entry)| {
        let Node::Symlink(target) = &entry.node else { return None };
        Some((path, &**target))
    });
    let mut links: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    for (path, target) in declared.chain(packaged).chain(parents) {
        if !path.is_root() && !path.as_bytes().contains(&b'/') {
            links.entry(path.as_bytes()).or_insert(target);
        }
    }
    let mut aliases = BTreeMap::new();
    if composition.archive.merged_usr {
        for name in MERGED.into_iter().filter(|name| !links.contains_key(name)) {
            aliases.insert(name.into(), RootPath::from_archive(&[b"usr/", name].concat()).expect("a plain path"));
        }
    }
    for (name, target) in links {
        let real = walk(std::iter::empty(), target);
        let [b"usr", _, ..] = real.as_slice() else { continue };
        if let Ok(real) = RootPath::from_archive(&real.join(&b'/')) {
            aliases.insert(name.into(), real);
        }
    }
    aliases
}
