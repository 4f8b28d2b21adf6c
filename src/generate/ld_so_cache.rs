//! /etc/ld.so.cache, byte for byte as ldconfig(8) of the tree's own libc would write it, and the links
//! that it would make: from each soname to its library, where a package does not bring one.
//!
//! Folders are those of /etc/ld.so.conf and of /etc/ld.so.conf.d, then the loader's own. What ldconfig
//! does beyond that is not done: links that lead nowhere are not deleted, and
//! /var/cache/ldconfig/aux-cache, which only makes the next run faster, is not written.

mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{GenerateError, Made, Request};
use crate::{
    debian::{Architecture, Version},
    elf::{self, Bits, Conf, Elf, ElfError, Kind, Loader},
    ground::{RootPath, follow},
    rootfs::{Content, Entry, Node, Origin, Rootfs},
};
use file::{Library, libcmp, order};

const PATH: &str = "/etc/ld.so.cache";
/// Bytes of one file of ld.so.conf.
const LONGEST_CONF: u64 = 1 << 20;
/// Folders that ldconfig before glibc 2.37 went into by themselves, and entered in another way: none of
/// Debian's packages has one.
const LEGACY: [&str; 12] =
    ["tls", "haswell", "xeon_phi", "sse2", "avx512_1", "x86_64", "i586", "i686", "atomics", "power8", "power9", "z13"];

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    let Some(span) = &request.wish.ld_so_cache else { return Ok(Vec::new()) };
    let libc = libc(request.rootfs)
        .ok_or_else(|| GenerateError::NoLibc { source_code: request.source.clone(), span: span.clone().into() })?;
    let scan = Scan { tree: request.rootfs, architecture: request.architecture };
    let mut libraries = Vec::new();
    let mut made = Vec::new();
    let folders = scan.folders()?;
    for folder in &folders.list {
        let old = !libc.at_least("2.37");
        if let Some(path) = scan.legacy(folder).filter(|_| old && folder.hwcaps.is_none()) {
            return Err(GenerateError::LegacyFolder { path });
        }
        for (soname, file) in scan.libraries(folder)? {
            if folder.hwcaps.is_none() && !file.link {
                made.extend(scan.link(folder, &soname, &file.name));
            }
            let name = if folder.hwcaps.is_none() { &soname } else { &file.name };
            let path = [&folder.written, b"/".as_slice(), name].concat();
            let Candidate { flags, isa_level, .. } = file;
            libraries.push(Library { soname, path, flags, hwcaps: folder.hwcaps.clone(), isa_level });
        }
    }
    // Stable: of two folders with one soname the first stays first.
    libraries.sort_by(order);
    let big_endian = request.architecture.name() == "s390x";
    made.push(Made::new(PATH, file::write(&libraries, &folders.subfolders, &libc.generator(), big_endian)));
    Ok(made)
}

/// The version of the tree's libc.
struct Libc<'a>(&'a str);

/// That of libc-bin, which has ldconfig; else of libc6. Both are built of one source.
fn libc(tree: &Rootfs) -> Option<Libc<'_>> {
    let mut found = None;
    for entry in tree.entries.values() {
        let Origin::Package(package) = &entry.origin else { continue };
        match &*package.name {
            "libc-bin" => return Some(Libc(&package.version)),
            "libc6" => found = Some(Libc(&package.version)),
            _ => {}
        }
    }
    found
}

impl Libc<'_> {
    fn at_least(&self, version: &str) -> bool {
        let [own, wanted] = [self.0, version].map(|text| text.parse::<Version>());
        matches!((own, wanted), (Ok(own), Ok(wanted)) if own >= wanted)
    }

    /// What ldconfig says of itself: Debian's version, and the release of glibc, which is its beginning.
    fn generator(&self) -> Vec<u8> {
        let end = self.0.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.0.len());
        format!("ldconfig (Debian GLIBC {}) stable release version {}", self.0, &self.0[..end]).into_bytes()
    }
}

/// A folder that is looked into.
struct Folder {
    /// As it is written, which is how its libraries are entered.
    written: Vec<u8>,
    /// The folder itself.
    real: RootPath,
    /// The subfolder of glibc-hwcaps that it is.
    hwcaps: Option<Vec<u8>>,
}

#[derive(Default)]
struct Folders {
    list: Vec<Folder>,
    seen: BTreeSet<RootPath>,
    /// Subfolders of glibc-hwcaps, by name.
    subfolders: BTreeSet<Vec<u8>>,
}

/// A file that may stand for a soname.
struct Candidate {
    name: Vec<u8>,
    /// Whether it is a link that stands for itself, not for the library that it leads to.
    link: bool,
    flags: u32,
    isa_level: u32,
}

struct Scan<'a> {
    tree: &'a Rootfs,
    architecture: Architecture,
}

impl<'a> Scan<'a> {
    fn folders(&self) -> Result<Folders, GenerateError> {
        let mut confs = Vec::new();
        for (path, entry) in &self.tree.entries {
            if !path.as_bytes().starts_with(b"etc/ld.so.conf") {
                continue;
            }
            let Some(Entry { node: Node::File { content, .. }, .. }) = self.tree.lookup(path) else { continue };
            let unreadable = |error| unreadable(path, entry, error);
            if content.size > LONGEST_CONF {
                return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
            }
            let mut text = vec![0; content.size as usize];
            content.read_at(0, &mut text).map_err(unreadable)?;
            confs.push(Conf { path: [b"/", path.as_bytes()].concat(), text });
        }
        let loader = Loader::of(self.architecture.multiarch());
        let mut folders = Folders::default();
        for written in elf::configured(&confs).into_iter().chain(loader.default) {
            let Some(real) = self.folder(&written) else { continue };
            if !folders.seen.insert(real.clone()) {
                continue;
            }
            folders.list.push(Folder { written: written.clone(), real, hwcaps: None });
            let above = [&written, b"/glibc-hwcaps".as_slice()].concat();
            let Some(real) = self.folder(&above) else { continue };
            for (path, _) in self.children(&real) {
                let name = path.name();
                if name.starts_with(b".") || name.contains(&b':') {
                    continue;
                }
                let written = [&above, b"/".as_slice(), name].concat();
                let Some(real) = self.folder(&written) else { continue };
                folders.subfolders.insert(name.to_vec());
                if folders.seen.insert(real.clone()) {
                    folders.list.push(Folder { written, real, hwcaps: Some(name.to_vec()) });
                }
            }
        }
        Ok(folders)
    }

    /// The folder that a path leads to.
    fn folder(&self, path: &[u8]) -> Option<RootPath> {
        let real = follow(path, true, |path| self.tree.link(path)).ok().filter(|_| path.starts_with(b"/"))?;
        let (path, entry) = self.tree.entries.get_key_value(real.as_slice())?;
        (entry.node == Node::Directory).then(|| path.clone())
    }

    fn children(&self, folder: &'a RootPath) -> impl Iterator<Item = (&'a RootPath, &'a Entry)> {
        self.tree.below(folder).filter(|(path, _)| path.below(folder).is_some_and(|rest| !rest.contains(&b'/')))
    }

    fn legacy(&self, folder: &Folder) -> Option<RootPath> {
        let names = LEGACY.iter().filter_map(|name| folder.real.join(name.as_bytes()).ok());
        names.into_iter().find(|path| self.tree.below(path).any(|(path, _)| is_library(path.name())))
    }

    /// By soname, the file of a folder that stands for it: a file rather than a link, then the one with
    /// the highest version in its name.
    fn libraries(&self, folder: &'a Folder) -> Result<BTreeMap<Vec<u8>, Candidate>, GenerateError> {
        let mut found: BTreeMap<Vec<u8>, Candidate> = BTreeMap::new();
        for (path, entry) in self.children(&folder.real) {
            let mut link = matches!(entry.node, Node::Symlink(_));
            // In a subfolder of glibc-hwcaps a link may have any name.
            if !(is_library(path.name()) || link && folder.hwcaps.is_some()) {
                continue;
            }
            let Some(Entry { node: Node::File { content, .. }, .. }) = self.tree.lookup(path) else { continue };
            let Some(elf) = self.read(path, entry, content)? else { continue };
            let Some(flags) = flags(self.architecture, &elf) else { continue };
            let mut soname = elf.soname.as_deref().unwrap_or(path.name()).to_vec();
            // A link of another name than the soname counts as the file that it leads to, unless it is
            // the one for linking programs: libz.so beside libz.so.1.
            let name = path.name();
            link = link && (name == soname || name.ends_with(b".so") && soname.starts_with(name));
            if link {
                soname = name.to_vec();
            }
            let isa_level = elf.isa_needed.checked_ilog2().unwrap_or_default();
            let candidate = Candidate { name: name.to_vec(), link, flags, isa_level };
            match found.get_mut(&soname) {
                None => drop(found.insert(soname, candidate)),
                Some(other) => {
                    let newer = link == other.link && libcmp(&other.name, name).is_lt();
                    if !link && other.link || newer {
                        *other = candidate;
                    }
                }
            }
        }
        Ok(found)
    }

    /// What is no library, ldconfig passes over with a word; so is it here.
    fn read(&self, path: &RootPath, entry: &Entry, content: &Content) -> Result<Option<Elf>, GenerateError> {
        match elf::read(content.size, |from, buffer| content.read_at(from, buffer)) {
            Ok(elf) => Ok(elf.filter(|elf| elf.kind == Kind::Shared && elf.dynamic)),
            Err(ElfError::Unreadable(error)) => Err(unreadable(path, entry, error)),
            Err(ElfError::Malformed { .. } | ElfError::TooMuch { .. }) => Ok(None),
        }
    }

    /// The link from a soname to its library, where it is not there. What is no link is left alone, and
    /// so is the loader itself.
    fn link(&self, folder: &Folder, soname: &[u8], name: &[u8]) -> Option<Made> {
        let path = folder.real.join(soname).ok().filter(|path| path.parent().as_ref() == Some(&folder.real))?;
        let right = self.tree.resolve(&path).is_some_and(|real| Some(real) == self.resolved(folder, name));
        let free = match self.tree.get(&path) {
            None => true,
            Some(entry) => matches!(entry.node, Node::Symlink(_)),
        };
        (!right && free && !soname.starts_with(b"ld-") && !soname.starts_with(b"ld64.so"))
            .then(|| Made::link(path, name))
    }

    fn resolved(&self, folder: &Folder, name: &[u8]) -> Option<RootPath> {
        self.tree.resolve(&folder.real.join(name).ok()?)
    }
}

fn unreadable(path: &RootPath, entry: &Entry, error: io::Error) -> GenerateError {
    GenerateError::Read { path: path.clone(), package: entry.origin.to_string(), error }
}

/// Whether ldconfig looks into a file of this name.
fn is_library(name: &[u8]) -> bool {
    let library = name.starts_with(b"lib") || name.starts_with(b"ld-");
    library && name.windows(3).any(|part| part == b".so")
        || name.starts_with(b"ld.so.")
        || name.starts_with(b"ld64.so.")
}

/// The flags of a library (glibc's ldconfig.h): libc6 in the low byte, the calling convention above
/// it. `None` for machines that the architecture's ldconfig does not know.
fn flags(architecture: Architecture, elf: &Elf) -> Option<u32> {
    let Elf { abi, flags, .. } = elf;
    let wide = abi.bits == Bits::Bits64;
    let libc6 = 3;
    // Where the file itself does not say it: libc6 if it is linked with it.
    let known = [b"libc.so.6".as_slice(), b"libm.so.6"];
    let guess = if elf.needed.iter().any(|name| known.contains(&&**name)) { libc6 } else { 1 };
    let arm = || match flags & 0xff00_0600 {
        0x0500_0400 => 0x0900 | libc6,
        0x0500_0200 => 0x0b00 | libc6,
        _ => guess,
    };
    Some(match (architecture.name(), abi.machine, wide) {
        ("amd64", 62, true) => 0x0300 | libc6,
        ("amd64" | "i386", 62, false) => 0x0800 | libc6,
        ("amd64" | "i386", 3, false) => guess,
        ("arm64", 183, true) => 0x0a00 | libc6,
        ("arm64" | "armhf", 40, false) => arm(),
        ("ppc64el", 21, true) => 0x0500 | libc6,
        ("s390x", 22, true) => 0x0400 | libc6,
        ("riscv64", 243, true) => (if flags & 6 == 4 { 0x1000 } else { 0x0f00 }) | libc6,
        ("loong64", 258, true) => (if flags & 7 == 3 { 0x1200 } else { 0x1100 }) | libc6,
        _ => return None,
    })
}
