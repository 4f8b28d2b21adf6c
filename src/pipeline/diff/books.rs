//! Where changelogs are read: in packages that the cache has, or in a tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
};

use crate::{
    archive::Package as Locked,
    cache::Cache,
    debian::{Version, version},
    evidence::diff::{self, Changelog, Side, Told, between, source_of},
    ground::{RootPath, Silent, follow},
    lock::{Change, Changes, Lock},
    pipeline::{Workshop, packages::expected},
    rootfs::Node,
    unpack::{self, Unpacked},
};

/// Bytes of a compressed changelog; the longest have 300 kB.
const LONGEST: u64 = 8 << 20;
/// As dpkg installs them: the second one is that of packages without a Debian revision (Policy 12.7).
const NAMES: [&str; 2] = ["changelog.Debian.gz", "changelog.gz"];

/// Where the changelogs of a side are.
pub(super) enum Books<'a> {
    /// In the cache.
    Packages { cache: &'a Cache, locked: BTreeMap<String, Locked> },
    /// In the side's tree.
    Tree,
    /// Nowhere.
    None,
}

impl<'a> Books<'a> {
    /// Those of locked packages, where the cache has them.
    pub(super) fn of<'p>(workshop: &'a Workshop, packages: impl IntoIterator<Item = &'p Locked>) -> Self {
        let locked = packages.into_iter().map(|package| (package.name.to_string(), package.clone())).collect();
        Self::Packages { cache: &workshop.cache, locked }
    }

    /// What the changelog of a package tells between two versions of its source.
    pub(super) fn told(&self, side: &Side, package: &diff::Package, low: &str, high: &str) -> Option<Told> {
        let bytes = match self {
            Self::None => return None,
            Self::Packages { cache, locked } => from_packages(cache, locked, &package.name)?,
            Self::Tree => from_tree(side, &package.name)?,
        };
        Some(between(plain(&bytes), low, high))
    }
}

fn plain(bytes: &[u8]) -> Box<dyn BufRead + '_> {
    match bytes {
        [0x1f, 0x8b, ..] => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(bytes))),
        _ => Box::new(bytes),
    }
}

fn folder(name: &str) -> Option<RootPath> {
    RootPath::from_absolute(format!("/usr/share/doc/{name}").as_bytes()).ok()
}

fn from_packages(cache: &Cache, locked: &BTreeMap<String, Locked>, name: &str) -> Option<Vec<u8>> {
    let package = locked.get(name)?;
    let unpacked = at_hand(cache, package)?;
    let own = folder(name)?;
    let linked = unpacked.entries.iter().find(|item| item.path == own).and_then(|item| match &item.node {
        // The documentation of one package may be that of another of the same source (Policy 12.3).
        Node::Symlink(target) => {
            let last = target.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty())?;
            Some(str::from_utf8(last).ok()?.to_owned())
        }
        _ => None,
    });
    match linked {
        None => changelog(&unpacked, &own),
        Some(other) => changelog(&at_hand(cache, locked.get(&other)?)?, &folder(&other)?),
    }
}

/// A package unpacked, where the cache has it or its .deb. Nothing is fetched, and what is damaged has no
/// changelog: whoever builds is told.
fn at_hand(cache: &Cache, package: &Locked) -> Option<Unpacked> {
    let expected = expected(package);
    if let Some(found) = unpack::recall(&expected, cache).ok()? {
        return Some(found);
    }
    if !cache.has(&package.sha256, package.size) {
        return None;
    }
    unpack::unpack(&cache.download_path(&package.sha256), &expected, cache, &unpack::Limits::default(), &Silent).ok()
}

fn changelog(unpacked: &Unpacked, folder: &RootPath) -> Option<Vec<u8>> {
    let paths: Vec<_> = NAMES.iter().filter_map(|name| folder.join(name.as_bytes()).ok()).collect();
    let content = paths.iter().find_map(|path| {
        let item = unpacked.entries.iter().find(|item| item.path == *path)?;
        match &item.node {
            Node::File { content, .. } if content.size <= LONGEST => Some(content),
            _ => None,
        }
    })?;
    let mut bytes = vec![0; usize::try_from(content.size).ok()?];
    content.read_at(0, &mut bytes).ok()?;
    Some(bytes)
}

fn from_tree(side: &Side, name: &str) -> Option<Vec<u8>> {
    let tree = side.tree.as_ref()?;
    let link = |path: &[u8]| match &tree.entries.get(path)?.node {
        diff::Node::Symlink(target) => Some(&**target),
        _ => None,
    };
    NAMES.iter().find_map(|file| {
        let path = folder(name)?.join(file.as_bytes()).ok()?;
        let found = follow(path.as_bytes(), true, link).ok()?;
        tree.kept.get(&*found).map(|bytes| bytes.to_vec())
    })
}

/// What the changelogs tell of packages that differ between two locks, where the cache has them.
pub(in crate::pipeline) fn upgraded(workshop: &Workshop, old: &Lock, new: &Lock, changes: &Changes) -> Vec<Changelog> {
    let mut found: BTreeMap<(String, String, String), Changelog> = BTreeMap::new();
    for Change { name, before, after, architectures } in &changes.changed {
        let (Some(before), Some(after)) = (before, after) else { continue };
        let up = version::compare(&before.version, &after.version).is_lt();
        let lock = if up { new } else { old };
        let Some(inputs) = architectures.iter().find_map(|architecture| lock.architectures.get(architecture)) else {
            continue;
        };
        let Some(locked) = inputs.packages.get(name) else { continue };
        let of = |version: &str| source_of(Some(&locked.package.source), name, version).1;
        let (from, to) = (of(&before.version), of(&after.version));
        let key = (locked.package.source.to_string(), from.clone(), to.clone());
        if let Some(known) = found.get_mut(&key) {
            known.packages.insert(name.to_string());
            continue;
        }
        let valid = |text: &String| text.parse::<Version>().is_ok();
        if !valid(&from) || !valid(&to) || from == to {
            continue;
        }
        let books = Books::of(workshop, inputs.packages.values().map(|locked| &locked.package));
        let package = diff::Package {
            name: name.to_string(),
            architecture: locked.package.architecture.to_string(),
            version: locked.package.version.to_string(),
            source: key.0.clone(),
            source_version: to.clone(),
            deb: None,
        };
        let (low, high) = if up { (&from, &to) } else { (&to, &from) };
        let Some(told) = books.told(&Side::default(), &package, low, high) else { continue };
        if told.releases.is_empty() {
            continue;
        }
        let Told { releases, more, cves } = told;
        let packages: BTreeSet<String> = [name.to_string()].into();
        let one = Changelog { source: key.0.clone(), before: from, after: to, packages, cves, releases, more };
        found.insert(key, one);
    }
    found.into_values().collect()
}
