//! Lints on libraries: those that files want and the tree does not have, packages whose libraries
//! nothing in the tree loads, and files that no loader would take.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use rayon::prelude::*;

use super::{Finding, Subject};
use crate::{
    debian::Architecture,
    elf::{self, Asker, Conf, Elf, ElfError, Loader, Priority, Tree, missing_versions},
    ground::{RootPath, printable},
    manifest::Missing,
    rootfs::{Content, Entry, Node, Origin, Rootfs},
};

/// What the loader of a tree has to do with.
#[derive(Debug, Clone)]
struct Index {
    /// What it reads in each ELF file that the architecture can run; links have no entry.
    elves: BTreeMap<RootPath, Elf>,
    /// Where it looks for libraries: the folders of ld.so.conf count where there is an ld.so.cache.
    loader: Loader,
}

/// A file that needs something of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The file.
    pub by: RootPath,
    /// Where it came from.
    pub origin: String,
    /// What it names: a library, or an interpreter; printable.
    pub name: String,
    /// The package's file that the loader finds.
    pub found: RootPath,
}

/// The files of other packages that load a library of `package`, or that it interprets: what keeps it in
/// a tier with `dependencies = "linked"`. In the order of their paths.
///
/// # Errors
/// The path and error of the first content that cannot be read.
pub fn uses(tree: &Rootfs, architecture: Architecture, package: &str) -> Result<Vec<Use>, (RootPath, io::Error)> {
    let (Index { elves, loader }, _) = index(tree, architecture)?;
    let view = View { tree, elves: &elves };
    let owner = |entry: Option<&Entry>| match entry.map(|entry| &entry.origin) {
        Some(Origin::Package(owner)) => owner.name.clone(),
        _ => Box::default(),
    };
    let mut uses = Vec::new();
    for (path, entry) in &tree.entries {
        let Node::File { content, .. } = &entry.node else { continue };
        let mut names: Vec<(Vec<u8>, Option<RootPath>)> = Vec::new();
        if let Some(elf) = elves.get(path) {
            let asker = Asker { elf, path, above: &[] };
            let notes = elf.dlopen.iter().filter(|note| note.priority == Priority::Required);
            let noted = notes.flat_map(|note| &note.sonames).map(|name| name.as_bytes());
            let loaded = elf.needed.iter().map(|name| &**name).chain(noted);
            names
                .extend(loaded.map(|name| (name.to_vec(), loader.search(&view, &asker, name).map(|found| found.real))));
            let interpreter = elf.interpreter.iter();
            names.extend(interpreter.map(|name| (name.to_vec(), resolve(tree, name))));
        } else if entry.attributes.mode & 0o111 != 0 {
            let mut line = vec![0; content.size.min(elf::LONGEST_LINE) as usize];
            content.read_at(0, &mut line).map_err(|error| (path.clone(), error))?;
            if let Some(name) = elf::interpreter(&line) {
                let places = [b"".as_slice(), b"/usr/bin/", b"/bin/"].map(|folder| [folder, &name].concat());
                let found =
                    places.iter().filter(|place| place.starts_with(b"/")).find_map(|place| resolve(tree, place));
                names.push((name, found));
            }
        }
        for (name, found) in names {
            let Some(found) = found.filter(|found| *owner(tree.get(found)) == *package) else { continue };
            if *owner(Some(entry)) != *package {
                uses.push(Use { by: path.clone(), origin: entry.origin.to_string(), name: printable(&name), found });
            }
        }
    }
    Ok(uses)
}

fn resolve(tree: &Rootfs, name: &[u8]) -> Option<RootPath> {
    tree.resolve(&RootPath::from_archive(name).ok()?)
}

/// All that the lints of this file find in a tree, whatever its parents have. `allowed` are the
/// `allow-missing` of its parents, then `own` those of the tier itself, which alone can be idle; `named`
/// the packages that the chain's manifests name.
///
/// # Errors
/// The path and error of the first content, in path order, that cannot be read.
pub fn find(
    tree: &Rootfs,
    architecture: Architecture,
    allowed: &[Missing],
    own: &[Missing],
    named: &BTreeSet<String>,
) -> Result<Vec<Finding>, (RootPath, io::Error)> {
    let (index, mut findings) = index(tree, architecture)?;
    let names = allowed.iter().chain(own).map(|missing| missing.library.value.as_str()).collect();
    findings.extend(lacking(tree, &index, &names));
    findings.extend(idle_allowances(tree, &index, own));
    findings.extend(idle(tree, &index, named));
    Ok(findings)
}

fn of(subject: &Subject<'_>, lint: &str) -> Vec<Finding> {
    subject.libraries.iter().filter(|finding| finding.lint == lint).cloned().collect()
}

/// `malformed-elf`
pub(super) fn malformed(subject: &Subject<'_>) -> Vec<Finding> {
    of(subject, "malformed-elf")
}

/// `missing-library`
pub(super) fn missing(subject: &Subject<'_>) -> Vec<Finding> {
    of(subject, "missing-library")
}

/// `missing-version`
pub(super) fn versions(subject: &Subject<'_>) -> Vec<Finding> {
    of(subject, "missing-version")
}

/// `idle-allow-missing`
pub(super) fn allowances(subject: &Subject<'_>) -> Vec<Finding> {
    of(subject, "idle-allow-missing")
}

/// `unused-library`
pub(super) fn unused(subject: &Subject<'_>) -> Vec<Finding> {
    of(subject, "unused-library")
}

/// Bytes of one file of ld.so.conf.
const LONGEST_CONF: u64 = 1 << 20;

/// Reads all ELF files of a tree, and its ld.so.conf. Files that begin as such and cannot be loaded become findings.
///
/// # Errors
/// The path and error of the first content, in path order, that cannot be read.
fn index(tree: &Rootfs, architecture: Architecture) -> Result<(Index, Vec<Finding>), (RootPath, io::Error)> {
    let files: Vec<(&RootPath, &Content)> = tree
        .entries
        .iter()
        .filter_map(|(path, entry)| match &entry.node {
            Node::File { content, .. } => Some((path, content)),
            _ => None,
        })
        .collect();
    let read: Vec<_> = files
        .into_par_iter()
        .map(|(path, content)| (path, elf::read(content.size, |from, buffer| content.read_at(from, buffer))))
        .collect();
    let (mut elves, mut findings) = (BTreeMap::new(), Vec::new());
    for (path, result) in read {
        match result {
            Ok(Some(elf)) if elf.abi.is_native(architecture) => drop(elves.insert(path.clone(), elf)),
            Ok(_) => {}
            Err(ElfError::Unreadable(error)) => return Err((path.clone(), error)),
            Err(error) => findings.push(Finding {
                lint: "malformed-elf",
                subject: path.to_string(),
                message: format!("{path}: {error}"),
                help: "exclude the file in [globs]; no loader takes it".into(),
                span: None,
            }),
        }
    }
    Ok((Index { elves, loader: loader(tree, architecture)? }, findings))
}

struct View<'a> {
    tree: &'a Rootfs,
    elves: &'a BTreeMap<RootPath, Elf>,
}

impl Tree for View<'_> {
    fn link(&self, path: &[u8]) -> Option<&[u8]> {
        self.tree.link(path)
    }

    fn elf(&self, path: &[u8]) -> Option<&Elf> {
        self.elves.get(path)
    }
}

fn loader(tree: &Rootfs, architecture: Architecture) -> Result<Loader, (RootPath, io::Error)> {
    let mut loader = Loader::of(architecture.multiarch());
    if tree.entries.contains_key(b"etc/ld.so.cache".as_slice()) {
        let mut confs = Vec::new();
        for path in tree.entries.keys().filter(|path| path.as_bytes().starts_with(b"etc/ld.so.conf")) {
            let Some(Entry { node: Node::File { content, .. }, .. }) = tree.lookup(path) else { continue };
            let mut text = vec![0; content.size.min(LONGEST_CONF) as usize];
            content.read_at(0, &mut text).map_err(|error| (path.clone(), error))?;
            confs.push(Conf { path: [b"/", path.as_bytes()].concat(), text });
        }
        loader.configured = elf::configured(&confs);
    }
    Ok(loader)
}

/// Libraries, interpreters and symbol versions that files of the tree want, and that the loader would not
/// find. A library that lies where nobody looks is missed by programs alone: who loads another file may
/// know its folder, or have loaded what it needs before. `allowed` are those that may be missing.
fn lacking(tree: &Rootfs, index: &Index, allowed: &BTreeSet<&str>) -> Vec<Finding> {
    let Index { elves, loader } = index;
    let view = View { tree, elves };
    let mut anywhere: BTreeSet<&[u8]> = BTreeSet::new();
    for (path, elf) in elves {
        anywhere.insert(path.name());
        anywhere.extend(elf.soname.as_deref());
    }
    // By what is missing: who wants it first, and how many more.
    let mut lacks: BTreeMap<(&'static str, String), (&RootPath, usize)> = BTreeMap::new();
    let mut lack = |lint, name: String, path| {
        // Where one of several names will do, one of them is enough here too.
        if !allowed.contains(name.as_str()) && !name.split(", ").any(|one| allowed.contains(one)) {
            lacks.entry((lint, name)).and_modify(|(_, more)| *more += 1).or_insert((path, 0));
        }
    };
    for (path, elf) in elves {
        if let Some(interpreter) = &elf.interpreter {
            let there = RootPath::from_archive(interpreter).ok().and_then(|path| tree.lookup(&path));
            if !there.is_some_and(|entry| matches!(entry.node, Node::File { .. })) {
                lack("missing-library", printable(interpreter), path);
            }
        }
        let asker = Asker { elf, path, above: &[] };
        let required = elf.dlopen.iter().filter(|note| note.priority == Priority::Required);
        for note in required {
            let found = |name: &String| loader.search(&view, &asker, name.as_bytes()).is_some();
            if !note.sonames.iter().any(|name| found(name) || anywhere.contains(name.as_bytes())) {
                lack("missing-library", printable(note.sonames.join(", ").as_bytes()), path);
            }
        }
        for name in &elf.needed {
            match loader.search(&view, &asker, name) {
                Some(found) => {
                    let library = elves.get(&found.real);
                    for version in library.map(|library| missing_versions(elf, name, library)).unwrap_or_default() {
                        lack("missing-version", format!("{} of {}", printable(version), printable(name)), path);
                    }
                }
                None if !elf.is_program() && anywhere.contains(&**name) => {}
                None => lack("missing-library", printable(name), path),
            }
        }
    }
    let finding = |((lint, name), (path, more)): ((&'static str, String), (&RootPath, usize))| {
        let origin = tree.get(path).map(|entry| entry.origin.to_string()).unwrap_or_default();
        let others = if more == 0 { String::new() } else { format!(" and {more} more files") };
        Finding {
            lint,
            message: format!("{path} (of {origin}){others} needs {name}, which the tier does not have"),
            help: format!(
                "add the package that has it, exclude the file, or say why it may be missing: allow-missing = [{{ library \
                 = \"{name}\", reason = \"...\" }}]"
            ),
            subject: name,
            span: None,
        }
    };
    lacks.into_iter().map(finding).collect()
}

/// Entries of `allow-missing` that allow nothing: no file names the library, or the loader finds it in a
/// package, or an image that others made, for every file that does. What a manifest's own entry brings does not count as found, since
/// `"linked"` does not look at it.
fn idle_allowances(tree: &Rootfs, index: &Index, own: &[Missing]) -> Vec<Finding> {
    if own.is_empty() {
        return Vec::new();
    }
    let Index { elves, loader } = index;
    let view = View { tree, elves };
    let of_package = |path: &RootPath| {
        matches!(tree.get(path).map(|entry| &entry.origin), Some(Origin::Package(_) | Origin::Image { .. }))
    };
    let mut lacked: BTreeSet<&[u8]> = BTreeSet::new();
    for (path, elf) in elves {
        let asker = Asker { elf, path, above: &[] };
        let found = |name: &[u8]| loader.search(&view, &asker, name).is_some_and(|found| of_package(&found.real));
        lacked.extend(elf.needed.iter().map(|name| &**name).filter(|name| !found(name)));
        for note in elf.dlopen.iter().filter(|note| note.priority == Priority::Required) {
            if !note.sonames.iter().any(|name| found(name.as_bytes())) {
                lacked.extend(note.sonames.iter().map(|name| name.as_bytes()));
            }
        }
        let there = |path: &[u8]| resolve(tree, path).is_some_and(|real| of_package(&real));
        lacked.extend(elf.interpreter.iter().map(|path| &**path).filter(|path| !there(path)));
    }
    let idle = own.iter().filter(|missing| {
        let library = missing.library.value.as_str();
        !library.split(", ").any(|one| lacked.contains(one.as_bytes()))
    });
    let finding = |missing: &Missing| {
        let library = printable(missing.library.value.as_bytes());
        Finding {
            lint: "idle-allow-missing",
            message: format!("`allow-missing` of {library} allows nothing: no file of this tier lacks it"),
            subject: library,
            help: "remove it, or see whether its name is right".into(),
            span: Some(missing.library.span.clone()),
        }
    };
    idle.map(finding).collect()
}

/// Packages that have libraries in the loader's own folders, none of which a file of another package
/// wants or says that it loads. `named` are the packages that manifests name: these are meant to be there.
fn idle(tree: &Rootfs, index: &Index, named: &BTreeSet<String>) -> Vec<Finding> {
    let Index { elves, loader } = index;
    let view = View { tree, elves };
    let package = |path: &RootPath| match tree.get(path).map(|entry| &entry.origin) {
        Some(Origin::Package(package)) => Some(&*package.name),
        _ => None,
    };
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for (path, elf) in elves {
        let asker = Asker { elf, path, above: &[] };
        let loaded = elf.dlopen.iter().flat_map(|note| &note.sonames).map(|name| name.as_bytes());
        for name in elf.needed.iter().map(|name| &**name).chain(loaded) {
            let Some(found) = loader.search(&view, &asker, name) else { continue };
            used.extend(package(&found.real).filter(|owner| Some(*owner) != package(path)));
        }
    }
    // By package: its first library.
    let mut idle: BTreeMap<&str, &RootPath> = BTreeMap::new();
    let folders: BTreeSet<RootPath> = loader
        .default
        .iter()
        .filter_map(|folder| RootPath::from_archive(folder).ok())
        .filter_map(|folder| tree.resolve(&folder))
        .collect();
    for (path, elf) in elves {
        let public = elf.soname.is_some() && path.parent().is_some_and(|folder| folders.contains(&folder));
        if let Some(owner) = package(path).filter(|owner| public && !used.contains(owner) && !named.contains(*owner)) {
            idle.entry(owner).or_insert(path);
        }
    }
    let finding = |(package, path): (&str, &RootPath)| Finding {
        lint: "unused-library",
        subject: printable(package.as_bytes()),
        message: format!(
            "nothing in the tier loads {path}, nor any other library of {}",
            printable(package.as_bytes())
        ),
        help: "dependencies = \"linked\" leaves such packages out; or name it in `packages`, or omit it".into(),
        span: None,
    };
    idle.into_iter().map(finding).collect()
}
