//! Two sides become what differs.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Changelog, Changes, Entry, Facts, FileChange, LibraryChange, Lists, Node, Package, PackageChange, PackageSide,
    PackageSize, Part, Setting, Side, Sizes, TierChange, Told, Tree, inside,
};
use crate::{debian::version, ground::printable};

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The first one.
    Before,
    /// The second one.
    After,
}

/// What differs. `changelog` is asked for what the changelog of a package of one side tells between two
/// versions of its source.
pub fn compare(
    before: &Side,
    after: &Side,
    changelog: &dyn Fn(Which, &Package, &str, &str) -> Option<Told>,
) -> Changes {
    let mut changes = Changes { before: before.name.clone(), after: after.name.clone(), ..Changes::default() };
    let sizes = (package_sizes(before), package_sizes(after));
    if let (Some(old), Some(new)) = (&before.packages, &after.packages) {
        changes.compared.insert(Part::Packages);
        packages(&mut changes, old, new, &sizes, changelog);
    }
    if let (Some(old), Some(new)) = (&before.tree, &after.tree) {
        changes.compared.insert(Part::Files);
        changes.size = Sizes { before: old.size(), after: new.size(), of: "files" };
        files(&mut changes, old, new);
        let names: BTreeSet<_> = sizes.0.keys().chain(sizes.1.keys()).collect();
        for name in names {
            let of = |sizes: &BTreeMap<Option<Arc<str>>, u64>| sizes.get(name).copied().unwrap_or_default();
            let (before, after) = (of(&sizes.0), of(&sizes.1));
            if before != after {
                let package = name.as_ref().map(|name| name.to_string());
                changes.package_sizes.push(PackageSize { package, before, after });
            }
        }
    } else if changes.compared.contains(&Part::Packages) {
        let debs = |side: &Side| {
            let sizes = side.packages.iter().flatten().filter_map(|package| Some(package.deb?.0));
            sizes.fold(0, u64::saturating_add)
        };
        changes.size = Sizes { before: debs(before), after: debs(after), of: "debs" };
    }
    if let (Some(old), Some(new)) = (&before.config, &after.config) {
        changes.compared.insert(Part::Config);
        settings(&mut changes.config, "", old, new);
        if let (Some(old), Some(new)) = (&before.variants, &after.variants) {
            let none = BTreeMap::new();
            let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for name in names {
                let of = |variants: &BTreeMap<String, BTreeMap<String, String>>| {
                    let shown = |settings: &BTreeMap<String, String>| {
                        let mut settings = settings.clone();
                        settings.insert("variant".to_owned(), "yes".to_owned());
                        settings
                    };
                    variants.get(name).map_or(none.clone(), shown)
                };
                settings(&mut changes.config, &format!("{name}: "), &of(old), &of(new));
            }
        }
    }
    changes.equal = changes.packages.is_empty() && changes.files.is_empty() && changes.config.is_empty();
    changes
}

type ByPackage = BTreeMap<Option<Arc<str>>, u64>;

/// Bytes of files by package.
fn package_sizes(side: &Side) -> ByPackage {
    let mut sizes = ByPackage::new();
    for entry in side.tree.iter().flat_map(|tree| tree.entries.values()) {
        if let (Node::File { size, .. }, false) = (&entry.node, entry.again) {
            let sum = sizes.entry(entry.package.clone()).or_default();
            *sum = sum.saturating_add(*size);
        }
    }
    sizes
}

fn packages(
    changes: &mut Changes,
    before: &[Package],
    after: &[Package],
    sizes: &(ByPackage, ByPackage),
    changelog: &dyn Fn(Which, &Package, &str, &str) -> Option<Told>,
) {
    let mut several = BTreeSet::new();
    for side in [before, after] {
        let mut seen = BTreeSet::new();
        several.extend(side.iter().map(|package| &*package.name).filter(|name| !seen.insert(*name)));
    }
    let by_name = |side: &'_ [Package]| -> BTreeMap<String, usize> {
        let name = |package: &Package| match several.contains(&*package.name) {
            true => format!("{}:{}", package.name, package.architecture),
            false => package.name.clone(),
        };
        side.iter().enumerate().map(|(at, package)| (name(package), at)).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut told: BTreeMap<(String, String, String), Changelog> = BTreeMap::new();
    for name in names {
        let (was, is) = (old.get(name).map(|at| &before[*at]), new.get(name).map(|at| &after[*at]));
        if was.zip(is).is_some_and(|(was, is)| same(was, is)) {
            continue;
        }
        let side = |package: Option<&Package>, sizes: &ByPackage, known: bool| {
            package.map(|package| PackageSide {
                version: package.version.clone(),
                deb_size: package.deb.map(|(size, _)| size),
                size: known.then(|| sizes.get(&Some(package.name.as_str().into())).copied().unwrap_or_default()),
            })
        };
        let mut change = PackageChange {
            name: name.clone(),
            architectures: was.iter().chain(&is).map(|package| package.architecture.clone()).collect(),
            before: side(was, &sizes.0, !sizes.0.is_empty()),
            after: side(is, &sizes.1, !sizes.1.is_empty()),
            cves: BTreeSet::new(),
        };
        let (Some(was), Some(is)) = (was, is) else {
            let list = if was.is_none() { &mut changes.packages.added } else { &mut changes.packages.removed };
            list.push(change);
            continue;
        };
        let (from, to) = (&was.source_version, &is.source_version);
        let key = (is.source.clone(), from.clone(), to.clone());
        let comparable = version::check(from).is_ok() && version::check(to).is_ok();
        if let Some(known) = told.get_mut(&key) {
            known.packages.insert(name.clone());
            change.cves = known.cves.clone();
        } else if comparable && version::compare(from, to) != Ordering::Equal {
            // The changelog of the higher version has the releases of both directions.
            let found = match version::compare(from, to) {
                Ordering::Less => changelog(Which::After, is, from, to),
                _ => changelog(Which::Before, was, to, from),
            };
            if let Some(Told { releases, more, cves }) = found.filter(|told| !told.releases.is_empty()) {
                change.cves = cves.clone();
                let packages = [name.clone()].into();
                let (before, after) = (from.clone(), to.clone());
                let one = Changelog { source: is.source.clone(), before, after, packages, cves, releases, more };
                told.insert(key, one);
            }
        }
        changes.packages.changed.push(change);
    }
    changes.changelogs = told.into_values().collect();
}

fn same(was: &Package, is: &Package) -> bool {
    let bytes = match (was.deb, is.deb) {
        (Some((_, was)), Some((_, is))) => was == is,
        _ => true,
    };
    let known = |package: &Package| !package.architecture.is_empty();
    was.version == is.version && bytes && (was.architecture == is.architecture || !known(was) || !known(is))
}

fn files(changes: &mut Changes, before: &Tree, after: &Tree) {
    let mut zones: (BTreeMap<String, Facts>, BTreeMap<String, Facts>) = Default::default();
    let mut old = before.entries.iter().peekable();
    let mut new = after.entries.iter().peekable();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let was = if order != Ordering::Greater { old.next() } else { None };
        let is = if order != Ordering::Less { new.next() } else { None };
        let Some((path, _)) = was.or(is) else { break };
        let (was, is) = (was.map(|(_, entry)| entry), is.map(|(_, entry)| entry));
        if was.zip(is).is_some_and(|(was, is)| differing(was, is).is_empty()) {
            continue;
        }
        // Some tars have no entry for the root itself.
        if path.is_root() && (was.is_none() || is.is_none()) {
            continue;
        }
        let fields = was.zip(is).map(|(was, is)| differing(was, is)).unwrap_or_default();
        let change = FileChange { path: path.to_string(), fields, before: was.map(facts), after: is.map(facts) };
        if let Some(zone) = inside::time_zone(path) {
            let zone_file = |facts: &&Facts| facts.r#type != "directory";
            zones.0.extend(change.before.iter().filter(zone_file).map(|facts| (zone.clone(), facts.clone())));
            zones.1.extend(change.after.iter().filter(zone_file).map(|facts| (zone.clone(), facts.clone())));
        }
        let list = match (was, is) {
            (None, _) => &mut changes.files.added,
            (_, None) => &mut changes.files.removed,
            _ => &mut changes.files.changed,
        };
        list.push(change);
    }
    // Of names that are on both sides only those that mean another file.
    changes.time_zones = lists(&zones.0, &zones.1, |was, is| {
        was.r#type == is.r#type && was.sha256 == is.sha256 && was.target == is.target
    });
    changes.certificates = lists(&inside::bundle(before), &inside::bundle(after), |was, is| was == is);
    libraries(changes, before, after);
}

/// What differs by name.
fn lists<T>(before: &BTreeMap<String, T>, after: &BTreeMap<String, T>, same: impl Fn(&T, &T) -> bool) -> Lists<String> {
    let mut lists = Lists::default();
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        match (before.get(name), after.get(name)) {
            (None, _) => lists.added.push(name.clone()),
            (_, None) => lists.removed.push(name.clone()),
            (Some(was), Some(is)) if !same(was, is) => lists.changed.push(name.clone()),
            _ => {}
        }
    }
    lists
}

fn libraries(changes: &mut Changes, before: &Tree, after: &Tree) {
    let by_name = |tree: &Tree| {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for library in tree.libraries.values() {
            found.entry(library.soname.clone()).or_default().extend(library.versions.iter().cloned());
        }
        found
    };
    let (old, new) = (by_name(before), by_name(after));
    let none = BTreeSet::new();
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (old.get(name), new.get(name));
        if was == is {
            continue;
        }
        let (from, to) = (was.unwrap_or(&none), is.unwrap_or(&none));
        let added = to.difference(from).cloned().collect();
        let change = LibraryChange { name: name.clone(), added, removed: from.difference(to).cloned().collect() };
        let list = match (was, is) {
            (None, _) => &mut changes.libraries.added,
            (_, None) => &mut changes.libraries.removed,
            _ => &mut changes.libraries.changed,
        };
        list.push(change);
    }
}

/// What of an entry differs, by name.
fn differing(was: &Entry, is: &Entry) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let mut put = |differs: bool, name| {
        if differs {
            fields.push(name);
        }
    };
    let kinds = (was.node.kind(), is.node.kind());
    put(kinds.0 != kinds.1, "type");
    put(was.mode != is.mode && kinds.0 != "symlink" && kinds.1 != "symlink", "mode");
    put((was.uid, was.gid) != (is.uid, is.gid), "owner");
    let other = kinds.0 == kinds.1 && was.node != is.node;
    put(other && kinds.0 == "file", "content");
    put(other && kinds.0 != "file", "link");
    put(was.xattrs != is.xattrs, "xattrs");
    fields
}

fn facts(entry: &Entry) -> Facts {
    let (mut size, mut sha256, mut target) = (None, None, None);
    match &entry.node {
        Node::File { size: bytes, sha256: digest } => (size, sha256) = (Some(*bytes), Some(*digest)),
        Node::Symlink(to) | Node::HardLink(to) => target = Some(printable(to)),
        Node::Special(what) => target = Some(what.clone()),
        Node::Directory | Node::Whiteout => {}
    }
    Facts {
        r#type: entry.node.kind(),
        mode: format!("{:04o}", entry.mode),
        owner: format!("{}:{}", entry.uid, entry.gid),
        size,
        sha256,
        target,
        xattrs: entry.xattrs.iter().map(|(name, value)| format!("{} {value}", printable(name))).collect(),
        package: entry.package.as_ref().map(|package| package.to_string()),
    }
}

fn settings(
    lists: &mut Lists<Setting>,
    prefix: &str,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) {
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (before.get(name), after.get(name));
        if was == is {
            continue;
        }
        let setting = Setting { name: format!("{prefix}{name}"), before: was.cloned(), after: is.cloned() };
        let list = match (was, is) {
            (None, _) => &mut lists.added,
            (_, None) => &mut lists.removed,
            _ => &mut lists.changed,
        };
        list.push(setting);
    }
}

/// One comparison out of several, each with the name of its tier; what several of them have is told once. Tiers
/// that only one side has are `lonely`.
pub fn merge(before: &str, after: &str, pairs: Vec<(String, Changes)>, lonely: Vec<TierChange>) -> Changes {
    let mut all = Changes { before: before.to_owned(), after: after.to_owned(), ..Changes::default() };
    all.equal = lonely.is_empty() && pairs.iter().all(|(_, changes)| changes.equal);
    all.tiers = lonely;
    let mut packages: BTreeMap<(String, Option<String>, Option<String>), PackageChange> = BTreeMap::new();
    let mut sizes: BTreeMap<Option<String>, (u64, u64)> = BTreeMap::new();
    let mut changelogs: BTreeMap<(String, String, String), Changelog> = BTreeMap::new();
    let (mut files, mut config) = (Gathered::default(), Gathered::default());
    let (mut certificates, mut zones, mut libraries) = (Gathered::default(), Gathered::default(), Gathered::default());
    for (tier, changes) in pairs {
        all.tiers.push(TierChange {
            tier: tier.clone(),
            before: true,
            after: true,
            packages: changes.packages.len(),
            files: changes.files.len(),
            size_before: changes.size.before,
            size_after: changes.size.after,
            equal: changes.equal,
        });
        all.compared.extend(&changes.compared);
        all.size.before = all.size.before.saturating_add(changes.size.before);
        all.size.after = all.size.after.saturating_add(changes.size.after);
        all.size.of = changes.size.of;
        let Lists { added, removed, changed } = changes.packages;
        for change in added.into_iter().chain(removed).chain(changed) {
            let version = |side: &Option<PackageSide>| side.as_ref().map(|side| side.version.clone());
            let key = (change.name.clone(), version(&change.before), version(&change.after));
            match packages.get_mut(&key) {
                None => drop(packages.insert(key, change)),
                Some(known) => join(known, change),
            }
        }
        for PackageSize { package, before, after } in changes.package_sizes {
            let (was, is) = sizes.entry(package).or_default();
            (*was, *is) = ((*was).max(before), (*is).max(after));
        }
        for changelog in changes.changelogs {
            let key = (changelog.source.clone(), changelog.before.clone(), changelog.after.clone());
            match changelogs.get_mut(&key) {
                None => drop(changelogs.insert(key, changelog)),
                Some(known) => known.packages.extend(changelog.packages),
            }
        }
        files.add(changes.files);
        certificates.add(changes.certificates);
        zones.add(changes.time_zones);
        libraries.add(changes.libraries);
        let titled = |mut setting: Setting| {
            setting.name = format!("{tier}: {}", setting.name);
            setting
        };
        let Lists { added, removed, changed } = changes.config;
        let each = |list: Vec<Setting>| list.into_iter().map(titled).collect();
        config.add(Lists { added: each(added), removed: each(removed), changed: each(changed) });
    }
    all.tiers.sort();
    for change in packages.into_values() {
        let list = match (&change.before, &change.after) {
            (None, _) => &mut all.packages.added,
            (_, None) => &mut all.packages.removed,
            _ => &mut all.packages.changed,
        };
        list.push(change);
    }
    let size = |(package, (before, after))| PackageSize { package, before, after };
    all.package_sizes = sizes.into_iter().map(size).filter(|size| size.before != size.after).collect();
    all.changelogs = changelogs.into_values().collect();
    (all.files, all.config) = (files.lists(), config.lists());
    (all.certificates, all.time_zones, all.libraries) = (certificates.lists(), zones.lists(), libraries.lists());
    all
}

fn join(known: &mut PackageChange, other: PackageChange) {
    known.architectures.extend(other.architectures);
    known.cves.extend(other.cves);
    for (known, other) in [(&mut known.before, other.before), (&mut known.after, other.after)] {
        if let (Some(known), Some(other)) = (known, other) {
            known.deb_size = known.deb_size.max(other.deb_size);
            known.size = known.size.max(other.size);
        }
    }
}

/// Lists of several comparisons, each row once.
struct Gathered<T> {
    added: BTreeSet<T>,
    removed: BTreeSet<T>,
    changed: BTreeSet<T>,
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self { added: BTreeSet::new(), removed: BTreeSet::new(), changed: BTreeSet::new() }
    }
}

impl<T: Ord> Gathered<T> {
    fn add(&mut self, lists: Lists<T>) {
        self.added.extend(lists.added);
        self.removed.extend(lists.removed);
        self.changed.extend(lists.changed);
    }

    fn lists(self) -> Lists<T> {
        let list = |set: BTreeSet<T>| set.into_iter().collect();
        Lists { added: list(self.added), removed: list(self.removed), changed: list(self.changed) }
    }
}
