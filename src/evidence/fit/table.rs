//! What a tier's layer has for programs: ELF files with their symbols, scripts, links. Made once of a
//! composed tier, kept among the derived data, and read again without composing.
//!
//! ```text
//! 16 bytes  what it is, and its version
//!  8 bytes  the length of the table
//! 32 bytes  SHA-256 of the table
//!           the table
//!           the symbols of each library, one stretch each; the table has its place, length and SHA-256
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::File,
    hash::{BuildHasherDefault, Hasher},
    io,
    os::unix::fs::FileExt as _,
};

use rayon::prelude::*;

use super::codec::{Reader, Writer};
use crate::{
    debian::Architecture,
    elf::{self, Abi, Bits, Conf, Elf, ElfError, Kind, Symbol, Symbols, Tree, Versions},
    ground::{RootPath, Sha256},
    rootfs::{Content, Entry, Node, Origin, Rootfs},
};

/// Rises with the layout; others are made anew.
const MAGIC: [u8; 16] = *b"debstrata fit 1\n";
/// Bytes of one table; Debian's largest have some 2 MB.
const MOST_TABLE: u64 = 256 << 20;
/// Bytes of the symbols of one library; libLLVM has some 3 MB.
const MOST_SYMBOLS: u64 = 256 << 20;
/// Bytes of one file of ld.so.conf.
const LONGEST_CONF: u64 = 1 << 20;

/// Bytes as they stand in files.
pub(super) type Name = Box<[u8]>;

/// An ELF file of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What the loader reads in it.
    pub elf: Elf,
    /// Whose it is; empty where no package brought it.
    pub package: Box<str>,
    /// Whether it may be started.
    pub executable: bool,
    /// Where its symbols lie in the file, how long, and their digest, which names them.
    symbols: (u64, u64, Sha256),
}

/// What one layer has.
#[derive(Debug, Default)]
pub struct Layer {
    links: BTreeMap<Box<[u8]>, Box<[u8]>>,
    objects: BTreeMap<Box<[u8]>, Object>,
    /// The first lines of scripts that may be started, and whose they are.
    scripts: BTreeMap<Name, (Name, Box<str>)>,
    /// Files of a parent that are nothing of this any more.
    masked: BTreeSet<Box<[u8]>>,
    /// What the tier's loader searches beside the default: the tier's, not the layer's alone.
    configured: Vec<Vec<u8>>,
    file: Option<File>,
}

/// The symbols of one file: as hashes what it gives, by name what it wants.
#[derive(Debug, Default)]
pub(super) struct Exports {
    pub(super) given: HashSet<u64, BuildHasherDefault<Own>>,
    pub(super) wanted: Vec<(Name, Option<Name>)>,
}

/// Hashes need no hashing.
#[derive(Debug, Default)]
pub(super) struct Own(u64);

impl Hasher for Own {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(&[bytes]);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// FNV-1a; the parts are told apart by a NUL, which no name has.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.iter().chain([&0]) {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    sum
}

impl Exports {
    pub(super) fn of(symbols: &Symbols) -> Self {
        let mut given = HashSet::default();
        for Symbol { name, version, hidden } in &symbols.given {
            match version {
                Some(version) => drop(given.insert(hash(&[name, version]))),
                // Without a version it serves all who ask for one.
                None => drop(given.insert(hash(&[name, b"", b""]))),
            }
            if !hidden {
                given.insert(hash(&[name]));
            }
        }
        let wanted = symbols.wanted.iter().map(|symbol| (symbol.name.clone(), symbol.version.clone())).collect();
        Self { given, wanted }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let sorted: BTreeSet<u64> = self.given.iter().copied().collect();
        out.list(sorted.into_iter(), Writer::number);
        out.list(self.wanted.iter(), |out, (name, version)| {
            out.bytes(name);
            out.maybe(version.as_deref());
        });
        out.0
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let given = from.list(Reader::number)?.into_iter().collect();
        let wanted = from.list(|from| Some((from.boxed()?, from.maybe()?)))?;
        Some(Self { given, wanted })
    }

    /// Whether a symbol is found in it, as glibc's loader decides.
    pub(super) fn gives(&self, name: &[u8], version: Option<&[u8]>) -> bool {
        match version {
            Some(version) => {
                self.given.contains(&hash(&[name, version])) || self.given.contains(&hash(&[name, b"", b""]))
            }
            None => self.given.contains(&hash(&[name])),
        }
    }
}

/// What a layer has, as the bytes that [`Layer::open`] reads. `changes` are its entries, `tree` is the
/// whole tier's, `parent` its parent's.
///
/// # Errors
/// The path and error of the first content that cannot be read.
pub fn tabulate(
    changes: &[(RootPath, Entry)],
    tree: &Rootfs,
    parent: Option<&Rootfs>,
    architecture: Architecture,
) -> Result<Vec<u8>, (RootPath, io::Error)> {
    let read: Vec<_> = changes.par_iter().map(|(path, entry)| (path, entry, piece(entry, architecture))).collect();
    let mut layer = Layer { configured: configured(tree)?, ..Layer::default() };
    let (mut blobs, mut placed) = (Vec::new(), BTreeMap::<Sha256, u64>::new());
    for (path, entry, piece) in read {
        let package: Box<str> = match &entry.origin {
            Origin::Package(package) => package.name.clone(),
            _ => Box::default(),
        };
        let name: Box<[u8]> = path.as_bytes().into();
        match piece.map_err(|error| (path.clone(), error))? {
            Piece::Folder => {}
            Piece::Link(target) => drop(layer.links.insert(name, target)),
            Piece::Script(line) => drop(layer.scripts.insert(name, (line, package))),
            Piece::Object(elf, symbols) => {
                let bytes = Exports::of(&symbols).write();
                let (length, sha256) = (bytes.len() as u64, Sha256::of(&bytes));
                // Names of one inode, and libraries without symbols, share a stretch.
                let place = *placed.entry(sha256).or_insert_with(|| {
                    let place = blobs.len() as u64;
                    blobs.extend(bytes);
                    place
                });
                let executable = entry.attributes.mode & 0o111 != 0;
                layer.objects.insert(name, Object { elf: *elf, package, executable, symbols: (place, length, sha256) });
            }
            Piece::Other if parent.is_some_and(|parent| parent.get(path).is_some()) => drop(layer.masked.insert(name)),
            Piece::Other => {}
        }
    }
    let table = layer.write();
    let mut out = MAGIC.to_vec();
    out.extend((table.len() as u64).to_le_bytes());
    out.extend(Sha256::of(&table).as_bytes());
    out.extend(table);
    out.extend(blobs);
    Ok(out)
}

enum Piece {
    Folder,
    Link(Box<[u8]>),
    Object(Box<Elf>, Symbols),
    Script(Box<[u8]>),
    Other,
}

fn piece(entry: &Entry, architecture: Architecture) -> io::Result<Piece> {
    let content = match &entry.node {
        Node::Directory => return Ok(Piece::Folder),
        Node::Symlink(target) => return Ok(Piece::Link(target.clone())),
        Node::File { content, .. } => content,
    };
    let read = |at: u64, buffer: &mut [u8]| content.read_at(at, buffer);
    let elf = match elf::read(content.size, read) {
        Ok(Some(elf)) if elf.abi.is_native(architecture) && elf.kind != Kind::Other => Some(elf),
        // Another machine's, or none that a loader takes.
        Ok(Some(_)) => return Ok(Piece::Other),
        Ok(None) => None,
        Err(ElfError::Unreadable(error)) => return Err(error),
        Err(_) => return Ok(Piece::Other),
    };
    if let Some(elf) = elf {
        return match elf::symbols(content.size, read) {
            Ok(symbols) => Ok(Piece::Object(Box::new(elf), symbols)),
            Err(ElfError::Unreadable(error)) => Err(error),
            Err(_) => Ok(Piece::Other),
        };
    }
    if entry.attributes.mode & 0o111 == 0 {
        return Ok(Piece::Other);
    }
    let line = first_line(content)?;
    Ok(if line.starts_with(b"#!") { Piece::Script(line.into()) } else { Piece::Other })
}

fn first_line(content: &Content) -> io::Result<Vec<u8>> {
    let mut line = vec![0; content.size.min(elf::LONGEST_LINE) as usize];
    content.read_at(0, &mut line)?;
    Ok(line)
}

/// The folders of ld.so.conf, where there is an ld.so.cache.
fn configured(tree: &Rootfs) -> Result<Vec<Vec<u8>>, (RootPath, io::Error)> {
    if !tree.entries.contains_key(b"etc/ld.so.cache".as_slice()) {
        return Ok(Vec::new());
    }
    let mut confs = Vec::new();
    for path in tree.entries.keys().filter(|path| path.as_bytes().starts_with(b"etc/ld.so.conf")) {
        let Some(Entry { node: Node::File { content, .. }, .. }) = tree.lookup(path) else { continue };
        let mut text = vec![0; content.size.min(LONGEST_CONF) as usize];
        content.read_at(0, &mut text).map_err(|error| (path.clone(), error))?;
        confs.push(Conf { path: [b"/", path.as_bytes()].concat(), text });
    }
    Ok(elf::configured(&confs))
}

impl Layer {
    fn write(&self) -> Vec<u8> {
        let Self { links, objects, scripts, masked, configured, file: _ } = self;
        let mut out = Writer::default();
        out.list(links.iter(), |out, (path, target)| {
            out.bytes(path);
            out.bytes(target);
        });
        out.list(objects.iter(), |out, (path, object)| {
            out.bytes(path);
            write_object(out, object);
        });
        out.list(scripts.iter(), |out, (path, (line, package))| {
            out.bytes(path);
            out.bytes(line);
            out.bytes(package.as_bytes());
        });
        out.list(masked.iter(), |out, path| out.bytes(path));
        out.list(configured.iter(), |out, folder| out.bytes(folder));
        out.0
    }

    /// Reads what [`tabulate`] made. `None` where it is something else, short or damaged.
    pub fn open(file: File) -> Option<Self> {
        let mut head = [0; 56];
        file.read_exact_at(&mut head, 0).ok()?;
        let rest = head.strip_prefix(&MAGIC)?;
        let (length, sha256) = rest.split_first_chunk()?;
        let length = u64::from_le_bytes(*length);
        let size = file.metadata().ok()?.len();
        if length > MOST_TABLE || length.checked_add(56).is_none_or(|end| end > size) {
            return None;
        }
        let mut table = vec![0; length as usize];
        file.read_exact_at(&mut table, 56).ok()?;
        if Sha256::of(&table).as_bytes().as_slice() != sha256 {
            return None;
        }
        let mut from = Reader(&table);
        let from = &mut from;
        let links = from.list(|from| Some((from.boxed()?, from.boxed()?)))?;
        let objects = from.list(|from| Some((from.boxed()?, read_object(from, 56 + length)?)))?;
        let scripts = from.list(|from| Some((from.boxed()?, (from.boxed()?, text(from)?))))?;
        let masked = from.list(Reader::boxed)?;
        let configured = from.list(|from| Some(from.bytes()?.to_vec()))?;
        Some(Self {
            links: links.into_iter().collect(),
            objects: objects.into_iter().collect(),
            scripts: scripts.into_iter().collect(),
            masked: masked.into_iter().collect(),
            configured,
            file: Some(file),
        })
    }

    /// The symbols of one of its objects; `None` where they are damaged.
    fn exports(&self, object: &Object) -> Option<Exports> {
        let (place, length, sha256) = object.symbols;
        let file = self.file.as_ref()?;
        if length > MOST_SYMBOLS || place.checked_add(length)? > file.metadata().ok()?.len() {
            return None;
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, place).ok()?;
        if Sha256::of(&bytes) != sha256 { None } else { Exports::read(&bytes) }
    }
}

fn text(from: &mut Reader<'_>) -> Option<Box<str>> {
    std::str::from_utf8(from.bytes()?).ok().map(Into::into)
}

fn write_object(out: &mut Writer, object: &Object) {
    let Object { elf, package, executable, symbols: (place, length, sha256) } = object;
    let Abi { bits, big_endian, machine, convention } = elf.abi;
    for number in [
        u64::from(bits == Bits::Bits64),
        big_endian.into(),
        machine.into(),
        convention.into(),
        u64::from(elf.kind == Kind::Executable),
        elf.dynamic.into(),
        elf.no_default_libraries.into(),
    ] {
        out.number(number);
    }
    for name in [&elf.interpreter, &elf.soname, &elf.rpath, &elf.runpath] {
        out.maybe(name.as_deref());
    }
    out.list(elf.needed.iter(), |out, name| out.bytes(name));
    out.list(elf.wants.iter(), |out, wanted| {
        out.bytes(&wanted.library);
        out.list(wanted.names.iter(), |out, name| out.bytes(name));
    });
    out.list(elf.defines.iter(), |out, name| out.bytes(name));
    out.bytes(package.as_bytes());
    out.number((*executable).into());
    out.number(*place);
    out.number(*length);
    out.bytes(sha256.as_bytes());
}

/// `start` is where the stretches of symbols begin.
fn read_object(from: &mut Reader<'_>, start: u64) -> Option<Object> {
    let abi = Abi {
        bits: if from.number()? == 1 { Bits::Bits64 } else { Bits::Bits32 },
        big_endian: from.number()? == 1,
        machine: from.number()?.try_into().ok()?,
        convention: from.number()?.try_into().ok()?,
    };
    let kind = if from.number()? == 1 { Kind::Executable } else { Kind::Shared };
    let (dynamic, no_default_libraries) = (from.number()? == 1, from.number()? == 1);
    let (interpreter, soname, rpath, runpath) = (from.maybe()?, from.maybe()?, from.maybe()?, from.maybe()?);
    let needed = from.list(Reader::boxed)?;
    let wants = from
        .list(|from| Some(Versions { library: from.boxed()?, names: from.list(Reader::boxed)?, weak: Vec::new() }))?;
    let defines = from.list(Reader::boxed)?;
    let package = text(from)?;
    let executable = from.number()? == 1;
    let (place, length) = (from.number()?.checked_add(start)?, from.number()?);
    let sha256 = Sha256::from_bytes(from.bytes()?.try_into().ok()?);
    let elf = Elf {
        abi,
        flags: 0,
        kind,
        interpreter,
        dynamic,
        needed,
        soname,
        rpath,
        runpath,
        no_default_libraries,
        wants,
        defines,
        dlopen: Vec::new(),
        isa_needed: 0,
    };
    Some(Object { elf, package, executable, symbols: (place, length, sha256) })
}

/// A tier: its layer and those of its ancestors.
#[derive(Debug, Clone)]
pub struct Tier<'a> {
    /// Its full name.
    pub name: String,
    /// Bytes of all its layers, where the lock has them.
    pub size: Option<u64>,
    /// Its own first, the root tier's last.
    layers: Vec<&'a Layer>,
}

impl<'a> Tier<'a> {
    /// A tier of these layers, its own first.
    pub fn new(name: String, size: Option<u64>, layers: Vec<&'a Layer>) -> Self {
        Self { name, size, layers }
    }

    pub(super) fn configured(&self) -> &'a [Vec<u8>] {
        self.layers.first().map(|layer| &*layer.configured).unwrap_or_default()
    }

    /// The layer that has the last word on a path, and what it has there.
    fn at<T>(&self, path: &[u8], of: impl Fn(&'a Layer) -> Option<T>) -> Option<(&'a Layer, T)> {
        for layer in &self.layers {
            if let Some(found) = of(layer) {
                return Some((layer, found));
            }
            let other = layer.objects.contains_key(path) || layer.scripts.contains_key(path);
            if other || layer.masked.contains(path) {
                return None;
            }
        }
        None
    }

    pub(super) fn object(&self, path: &[u8]) -> Option<(&'a Layer, &'a Object)> {
        self.at(path, |layer| layer.objects.get(path))
    }

    /// A script's first line, and whose it is.
    pub(super) fn script(&self, path: &[u8]) -> Option<(&'a [u8], &'a str)> {
        let (_, (line, package)) = self.at(path, |layer| layer.scripts.get(path))?;
        Some((line, package))
    }

    /// All ELF files of the tier, by path; a parent's file that a child replaced may come too.
    pub(super) fn objects(&self) -> impl Iterator<Item = (&'a [u8], &'a Object)> {
        self.layers.iter().flat_map(|layer| layer.objects.iter()).map(|(path, object)| (&**path, object))
    }
}

/// The symbols of an object of a layer: their name, and how to have them.
pub(super) fn symbols_name(object: &Object) -> Sha256 {
    object.symbols.2
}

pub(super) fn symbols_of(layer: &Layer, object: &Object) -> Option<Exports> {
    layer.exports(object)
}

impl Tree for Tier<'_> {
    fn link(&self, path: &[u8]) -> Option<&[u8]> {
        self.layers.iter().find_map(|layer| layer.links.get(path)).map(|target| &**target)
    }

    fn elf(&self, path: &[u8]) -> Option<&Elf> {
        self.object(path).map(|(_, object)| &object.elf)
    }
}
