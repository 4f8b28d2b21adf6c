//! Starting a file in a tier, as far as the kernel and the loader go: execve(2), ld.so(8).

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashSet},
    rc::Rc,
};

use super::{
    Kind, Subject,
    table::{Exports, Layer, Object, Tier, symbols_name, symbols_of},
};
use crate::{
    debian::Architecture,
    elf::{self, Asker, Elf, Found, Loader, Tree},
    ground::{RootPath, Sha256, follow, printable},
};

/// How often a script may be run by another one; the fifth is refused (execve(2)).
const MOST_SCRIPTS: usize = 4;
/// How many files one process may load; LibreOffice has some 200.
const MOST_LOADED: usize = 4096;
/// The folders where `env` looks, as images have them where they say nothing else.
pub(super) const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A file that is to be judged, and where it would lie in a tier.
#[derive(Debug)]
pub struct Asked<'a> {
    subject: &'a Subject,
    place: RootPath,
    /// Their digest: files with equal symbols have equal answers.
    symbols: (Sha256, Rc<Exports>),
}

impl<'a> Asked<'a> {
    /// `place` decides what `$ORIGIN` stands for.
    pub fn new(subject: &'a Subject, place: RootPath) -> Self {
        let exports = match subject {
            Subject::Elf(_, symbols) => Exports::of(symbols),
            Subject::Script(_) => Exports::default(),
        };
        Self { subject, place, symbols: (Sha256::of(&exports.write()), Rc::new(exports)) }
    }
}

/// One thing that a tier lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lack {
    pub(super) kind: Kind,
    /// As files name it.
    pub(super) name: Vec<u8>,
    /// Of a library: the versions that are wanted of it. Of a version: none.
    pub(super) versions: Vec<Box<[u8]>>,
    /// Of a version: whose.
    pub(super) library: Option<Vec<u8>>,
    /// No package helps, whatever its name.
    pub(super) hopeless: bool,
    /// The tier's own file that wants it.
    pub(super) by: Option<RootPath>,
}

impl Lack {
    fn new(kind: Kind, name: impl Into<Vec<u8>>, by: Option<&RootPath>) -> Self {
        Self { kind, name: name.into(), versions: Vec::new(), library: None, hopeless: false, by: by.cloned() }
    }
}

/// Judges files of one architecture. What it learns of libraries serves the next tier too.
pub struct Judge {
    architecture: Architecture,
    exports: RefCell<BTreeMap<Sha256, Rc<Exports>>>,
    /// By the symbols of all that is loaded: what is not found.
    searched: RefCell<BTreeMap<Vec<Sha256>, Rc<Vec<Unfound>>>>,
    damaged: Cell<bool>,
}

/// A symbol that nothing gives: which of the loaded files wants it, its name and version.
type Unfound = (usize, Box<[u8]>, Option<Box<[u8]>>);

/// A file that is loaded.
struct Loaded<'a> {
    elf: &'a Elf,
    path: RootPath,
    real: RootPath,
    /// Who loaded it.
    above: Option<usize>,
    /// What it was asked for as.
    names: BTreeSet<Box<[u8]>>,
    symbols: (Sha256, Rc<Exports>),
}

impl Judge {
    /// For the tiers of one architecture.
    pub fn new(architecture: Architecture) -> Self {
        Self { architecture, exports: RefCell::default(), searched: RefCell::default(), damaged: Cell::new(false) }
    }

    /// Whether what the cache had turned out to be damaged: then no verdict counts.
    pub fn is_damaged(&self) -> bool {
        self.damaged.get()
    }

    /// What a tier lacks to run a file; sorted.
    pub fn lacks(&self, tier: &Tier<'_>, asked: &Asked<'_>) -> Vec<Lack> {
        let mut lacks = match asked.subject {
            Subject::Script(line) => self.script(tier, line, None, 0),
            Subject::Elf(elf, _) => self.program(tier, elf, &asked.place, asked.symbols.clone(), None),
        };
        lacks.sort();
        lacks.dedup();
        lacks
    }

    fn script(&self, tier: &Tier<'_>, line: &[u8], by: Option<&RootPath>, depth: usize) -> Vec<Lack> {
        let lack = |name: &[u8]| vec![Lack::new(Kind::Interpreter, name, by)];
        let Some((program, argument)) = first_line(line) else { return lack(b"(none)") };
        if depth >= MOST_SCRIPTS {
            return lack(program);
        }
        let started = match program.starts_with(b"/") {
            true => self.started(tier, program, depth),
            // The kernel looks in the current folder, whatever that is then.
            false => return vec![Lack { hopeless: true, ..Lack::new(Kind::Interpreter, program, by) }],
        };
        let Some(mut lacks) = started else { return lack(program) };
        if !program.ends_with(b"/env") {
            return lacks;
        }
        let Some(wanted) = wanted_of_env(argument) else { return lacks };
        let found = match wanted.contains(&b'/') {
            true => self.started(tier, wanted, depth),
            false => PATH.iter().find_map(|folder| {
                let path = [folder.as_bytes(), b"/", wanted].concat();
                self.started(tier, &path, depth)
            }),
        };
        lacks.extend(found.unwrap_or_else(|| lack(wanted)));
        lacks
    }

    /// What a program of the tier lacks; `None` where there is none at this path.
    fn started(&self, tier: &Tier<'_>, path: &[u8], depth: usize) -> Option<Vec<Lack>> {
        let real = follow(path, true, |path| tier.link(path)).ok()?;
        let at = RootPath::from_archive(&real).ok()?;
        if let Some((line, _)) = tier.script(&real) {
            return Some(self.script(tier, line, Some(&at), depth + 1));
        }
        let (layer, object) = tier.object(&real)?;
        object.executable.then(|| {
            let symbols = self.symbols(layer, object);
            self.program(tier, &object.elf, &at, symbols, Some(&at))
        })
    }

    fn symbols(&self, layer: &Layer, object: &Object) -> (Sha256, Rc<Exports>) {
        let name = symbols_name(object);
        let mut known = self.exports.borrow_mut();
        let exports = known.entry(name).or_insert_with(|| {
            Rc::new(symbols_of(layer, object).unwrap_or_else(|| {
                self.damaged.set(true);
                Exports::default()
            }))
        });
        (name, exports.clone())
    }

    /// `own`: where the program is one of the tier's own files.
    fn program(
        &self,
        tier: &Tier<'_>,
        elf: &Elf,
        path: &RootPath,
        symbols: (Sha256, Rc<Exports>),
        own: Option<&RootPath>,
    ) -> Vec<Lack> {
        let interpreter = elf.interpreter.as_deref();
        if !elf.abi.is_native(self.architecture) {
            let known = Architecture::known().any(|architecture| elf.abi.is_native(architecture));
            return vec![match interpreter.filter(|_| known) {
                Some(path) => Lack::new(Kind::Interpreter, path, own),
                None => Lack::new(Kind::Architecture, elf.abi.machine_name(), own),
            }];
        }
        let mut loader = Loader::of(self.architecture.multiarch());
        loader.configured = tier.configured().to_vec();
        let mut loaded =
            vec![Loaded { elf, path: path.clone(), real: path.clone(), above: None, names: BTreeSet::new(), symbols }];
        let mut musl = false;
        let mut lacks = Vec::new();
        if let Some(interpreter) = interpreter {
            match self.interpreter(tier, interpreter) {
                // What else is missing is told all the same.
                None => lacks.push(Lack::new(Kind::Interpreter, interpreter, own)),
                Some(mut first) => {
                    let file = interpreter.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                    musl = file.starts_with(b"ld-musl-");
                    if musl {
                        // musl's is its C library as well, and looks elsewhere.
                        let name = [b"libc.musl-", musl_machine(file), b".so.1"].concat();
                        first.names.extend([b"libc.so".as_slice().into(), name.into()]);
                        loader.configured =
                            [b"/lib".as_slice(), b"/usr/local/lib", b"/usr/lib"].map(<[u8]>::to_vec).into();
                        loader.default.clear();
                    }
                    loaded.push(first);
                }
            }
        }
        lacks.extend(self.load(tier, &loader, &mut loaded, own));
        if !musl {
            lacks.extend(versions(&loaded, own));
        }
        // What a library that is not there would give is not known.
        if !lacks.iter().any(|lack| matches!(lack.kind, Kind::Library | Kind::Interpreter)) {
            lacks.extend(self.unfound(&loaded, musl, own, &lacks));
        }
        lacks
    }

    /// The loader that the kernel would start. It is loaded before all else, under its path and its own name.
    fn interpreter<'a>(&self, tier: &'a Tier<'_>, path: &[u8]) -> Option<Loaded<'a>> {
        let real = follow(path, true, |path| tier.link(path)).ok().filter(|_| path.starts_with(b"/"))?;
        let (layer, object) = tier.object(&real)?;
        let real = RootPath::from_archive(&real).ok().filter(|_| object.executable)?;
        let (names, symbols) = (BTreeSet::from([path.into()]), self.symbols(layer, object));
        Some(Loaded { elf: &object.elf, path: real.clone(), real, above: None, names, symbols })
    }

    /// Loads all that is needed, breadth first as the loader does.
    fn load<'a>(
        &self,
        tier: &'a Tier<'_>,
        loader: &Loader,
        loaded: &mut Vec<Loaded<'a>>,
        own: Option<&RootPath>,
    ) -> Vec<Lack> {
        let mut lacks = Vec::new();
        let mut missed: BTreeSet<&[u8]> = BTreeSet::new();
        let mut next = 0;
        while next < loaded.len() {
            let (elf, path) = (loaded[next].elf, loaded[next].path.clone());
            let above: Vec<(&Elf, RootPath)> = std::iter::successors(loaded[next].above, |at| loaded[*at].above)
                .map(|at| (loaded[at].elf, loaded[at].path.clone()))
                .collect();
            let above: Vec<_> = above.iter().map(|(elf, path)| (*elf, path)).collect();
            let asker = Asker { elf, path: &path, above: &above };
            for name in &elf.needed {
                let known = |one: &Loaded<'_>| one.names.contains(name) || one.elf.soname.as_deref() == Some(&**name);
                if loaded.iter().any(known) || missed.contains(&**name) {
                    continue;
                }
                let found = loader.search(tier, &asker, name);
                let found = found.and_then(|Found { path, real }| {
                    let (layer, object) = tier.object(real.as_bytes())?;
                    Some((path, real, layer, object))
                });
                let Some((path, real, layer, object)) = found else {
                    missed.insert(name);
                    let wanted = elf.wants.iter().filter(|wanted| wanted.library == *name);
                    let versions = wanted.flat_map(|wanted| wanted.names.iter().cloned()).collect();
                    let by = if next == 0 { own } else { Some(&loaded[next].real) };
                    lacks.push(Lack { versions, ..Lack::new(Kind::Library, &**name, by) });
                    continue;
                };
                if let Some(one) = loaded.iter_mut().find(|one| one.real == real) {
                    one.names.insert(name.clone());
                    continue;
                }
                if loaded.len() >= MOST_LOADED {
                    lacks.push(Lack::new(Kind::Library, &**name, Some(&real)));
                    return lacks;
                }
                loaded.push(Loaded {
                    elf: &object.elf,
                    path,
                    real,
                    above: Some(next),
                    names: BTreeSet::from([name.clone()]),
                    symbols: self.symbols(layer, object),
                });
            }
            next += 1;
        }
        lacks
    }

    /// Symbols that nothing loaded gives.
    fn unfound(&self, loaded: &[Loaded<'_>], musl: bool, own: Option<&RootPath>, told: &[Lack]) -> Vec<Lack> {
        let key: Vec<_> = loaded.iter().map(|one| one.symbols.0).collect();
        let known = self.searched.borrow().get(&key).cloned();
        let unfound = known.unwrap_or_else(|| {
            let found = Rc::new(search(loaded, musl));
            self.searched.borrow_mut().insert(key, found.clone());
            found
        });
        let told: HashSet<&[u8]> = told.iter().map(|lack| &*lack.name).collect();
        let news = unfound.iter().filter(|(_, _, version)| !version.as_deref().is_some_and(|one| told.contains(one)));
        news.map(|(at, name, version)| {
            let by = if *at == 0 { own } else { loaded.get(*at).map(|one| &one.real) };
            Lack::new(Kind::Symbol, name_of(name, version), by)
        })
        .collect()
    }
}

fn search(loaded: &[Loaded<'_>], musl: bool) -> Vec<Unfound> {
    let mut unfound = Vec::new();
    for (at, one) in loaded.iter().enumerate() {
        for (name, version) in &one.symbols.1.wanted {
            let version = version.as_ref().filter(|_| !musl);
            let gives = |other: &Loaded<'_>| other.symbols.1.gives(name, version.map(|version| &**version));
            if !loaded.iter().any(gives) {
                unfound.push((at, name.clone(), version.cloned()));
            }
        }
    }
    unfound
}

/// `x86_64` of `ld-musl-x86_64.so.1`.
fn musl_machine(file: &[u8]) -> &[u8] {
    let rest = file.strip_prefix(b"ld-musl-").unwrap_or_default();
    rest.split(|byte| *byte == b'.').next().unwrap_or_default()
}

/// `name@version`, or the name alone.
fn name_of(name: &[u8], version: &Option<Box<[u8]>>) -> Vec<u8> {
    match version {
        Some(version) => [name, b"@", &**version].concat(),
        None => name.to_vec(),
    }
}

/// Versions that the loader asks for before it looks for any symbol.
fn versions(loaded: &[Loaded<'_>], own: Option<&RootPath>) -> Vec<Lack> {
    let mut lacks = Vec::new();
    for (at, one) in loaded.iter().enumerate() {
        for wanted in &one.elf.wants {
            let name = &wanted.library;
            let is = |other: &&Loaded<'_>| other.names.contains(name) || other.elf.soname.as_ref() == Some(name);
            let Some(library) = loaded.iter().find(is) else { continue };
            for version in elf::missing_versions(one.elf, name, library.elf) {
                let by = if at == 0 { own } else { Some(&one.real) };
                lacks.push(Lack { library: Some(name.to_vec()), ..Lack::new(Kind::Symbol, version, by) });
            }
        }
    }
    lacks
}

/// The program that the kernel starts for a script, and the one argument that it gives to it. Only spaces
/// and tabs part them: a carriage return before the end of the line belongs to the name.
fn first_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = text.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = trimmed(line);
    let end = line.iter().position(|byte| blank(*byte)).unwrap_or(line.len());
    let (program, argument) = line.split_at(end);
    (!program.is_empty()).then(|| (program, trimmed(argument)))
}

fn blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trimmed(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !blank(*byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(*byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// The program that env(1) looks for: the whole argument, as the kernel does not split it, unless `-S` does.
fn wanted_of_env(argument: &[u8]) -> Option<&[u8]> {
    let options = [b"-S".as_slice(), b"-vS", b"--split-string="];
    let Some(rest) = options.iter().find_map(|option| argument.strip_prefix(*option)) else {
        return (!argument.is_empty() && !argument.starts_with(b"-")).then_some(argument);
    };
    let mut words = rest.split(|byte| blank(*byte)).filter(|word| !word.is_empty());
    words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='))
}

impl Lack {
    /// Its name, printable.
    pub fn shown(&self) -> String {
        printable(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        for (text, program, argument) in [
            ("#!/bin/sh\nexit", "/bin/sh", ""),
            ("#! /usr/bin/perl  -w \n", "/usr/bin/perl", "-w"),
            ("#!/bin/sh\r\n", "/bin/sh\r", ""),
            ("#!/usr/bin/env python3 -u\n", "/usr/bin/env", "python3 -u"),
            ("#!perl", "perl", ""),
        ] {
            assert_eq!(first_line(text.as_bytes()), Some((program.as_bytes(), argument.as_bytes())), "{text}");
        }
        assert_eq!(first_line(b"#! \t\n"), None);
        assert_eq!(first_line(b"text"), None);
    }

    #[test]
    fn what_env_looks_for() {
        for (argument, wanted) in [
            ("python3", Some("python3")),
            ("python3 -u", Some("python3 -u")),
            ("-S python3 -u", Some("python3")),
            ("-SA=b perl", Some("perl")),
            ("--split-string=-i node", Some("node")),
            ("", None),
            ("-i", None),
        ] {
            assert_eq!(wanted_of_env(argument.as_bytes()), wanted.map(str::as_bytes), "{argument}");
        }
    }
}
