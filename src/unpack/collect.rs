//! Entries of one data.tar become a table: names checked, hard links resolved, contents in a spool.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufRead, BufWriter, Write},
};

use super::{
    Limits,
    error::Refusal,
    table::{Node, Record},
    tar::{Entries, Header, Kind, TarError},
};
use crate::{
    ground::{RootPath, Sha256, Sha256Hasher, printable},
    rootfs::{Attributes, LinkGroup},
};

/// Bytes of small files that are gathered for one write; larger pieces go to the spool as they come.
const WRITE: usize = 64 << 10;
/// Bytes of memory an entry is counted with, besides its name, target and attributes.
const ENTRY: u64 = 256;
/// Linux' PATH_MAX without the NUL.
const LONGEST_TARGET: usize = 4095;

/// Why collecting stopped.
pub(super) enum Stop {
    /// The package is not acceptable.
    Package(TarError),
    /// The spool cannot be written.
    Write(io::Error),
}

impl From<TarError> for Stop {
    fn from(error: TarError) -> Self {
        Self::Package(error)
    }
}

fn refuse(name: &[u8], reason: impl Into<Refusal>) -> Stop {
    Stop::Package(TarError::Entry { entry: printable(name), reason: reason.into() })
}

/// Reads all of `data` (a decompressed data.tar of at most `bytes` bytes), appends the contents to
/// `spool` and gives the entries and the spool's size. `deb` is the package's digest; it makes link
/// groups differ between packages.
pub(super) fn collect(
    data: impl BufRead,
    bytes: u64,
    deb: &Sha256,
    spool: &mut File,
    limits: &Limits,
) -> Result<(Vec<Record>, u64), Stop> {
    collect_all(Entries::new(data, bytes, limits.entries), deb, spool, limits)
}

/// As [`collect`], for a layer of an image: devices and fifos below /dev are passed over, since whoever runs
/// it mounts a /dev of its own. `diff_id` stands in for the package's digest.
pub(super) fn collect_layer(
    data: impl BufRead,
    bytes: u64,
    diff_id: &Sha256,
    spool: &mut File,
    limits: &Limits,
) -> Result<(Vec<Record>, u64), Stop> {
    collect_all(Entries::new(data, bytes, limits.entries).with_special(true), diff_id, spool, limits)
}

fn collect_all<R: BufRead>(
    mut entries: Entries<R>,
    deb: &Sha256,
    spool: &mut File,
    limits: &Limits,
) -> Result<(Vec<Record>, u64), Stop> {
    let mut spool = Spooler { file: BufWriter::with_capacity(WRITE, spool), size: 0 };
    let mut collected = Collected::new(limits);
    while let Some(header) = entries.next()? {
        collected.add(header, &mut entries, &mut spool)?;
    }
    spool.file.flush().map_err(Stop::Write)?;
    let records = collected.finish(deb)?;
    Ok((records, spool.size))
}

struct Spooler<'a> {
    file: BufWriter<&'a mut File>,
    size: u64,
}

impl Spooler<'_> {
    fn append<R: BufRead>(&mut self, entries: &mut Entries<R>) -> Result<(Sha256, u32, u64), Stop> {
        let offset = self.size;
        let (mut hasher, mut crc) = (Sha256Hasher::new(), libdeflater::Crc::new());
        entries.body(|piece| {
            hasher.update(piece);
            crc.update(piece);
            self.size += piece.len() as u64;
            self.file.write_all(piece).map_err(Stop::Write)
        })?;
        Ok((hasher.finish(), crc.sum(), offset))
    }
}

/// Bytes and metadata that one or more names share.
struct Inode {
    attributes: Attributes,
    offset: u64,
    size: u64,
    sha256: Sha256,
    crc32: u32,
}

enum Found {
    Directory(Attributes),
    Symlink(Attributes, Box<[u8]>),
    /// Number of an inode.
    File(usize),
    /// A hard link to a name that was not there yet.
    Link(RootPath),
}

struct Collected<'a> {
    limits: &'a Limits,
    /// Bytes of the table's bound that are left.
    left: u64,
    inodes: Vec<Inode>,
    /// In the archive's order; `None` where a later entry took the path.
    entries: Vec<Option<(RootPath, Found)>>,
    by_path: HashMap<RootPath, usize>,
}

impl<'a> Collected<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, left: limits.table, inodes: Vec::new(), entries: Vec::new(), by_path: HashMap::new() }
    }

    fn add<R: BufRead>(&mut self, header: Header, entries: &mut Entries<R>, spool: &mut Spooler) -> Result<(), Stop> {
        let name = header.name;
        if name.is_empty() {
            return Err(refuse(&name, Refusal::NoName));
        }
        let path = RootPath::from_archive(&name).map_err(|error| refuse(&name, error))?;
        if path.is_root() && header.kind != Kind::Directory {
            return Err(refuse(&name, Refusal::Root));
        }
        if path.names().count() as u64 > self.limits.depth {
            return Err(Stop::Package(TarError::TooMuch { what: "names in one path", limit: self.limits.depth }));
        }
        let xattrs: usize = header.xattrs.iter().map(|(key, value)| key.len() + value.len()).sum();
        // The path is held twice while the table grows.
        self.count(ENTRY + 2 * path.as_bytes().len() as u64 + (header.link.len() + xattrs) as u64)?;
        let attributes = Attributes { mode: header.mode, uid: header.uid, gid: header.gid, xattrs: header.xattrs };
        let node = match header.kind {
            Kind::Directory => Found::Directory(attributes),
            Kind::Symlink => {
                if header.link.is_empty() || header.link.len() > LONGEST_TARGET || header.link.contains(&0) {
                    return Err(refuse(&name, Refusal::Symlink));
                }
                if !attributes.xattrs.is_empty() {
                    return Err(refuse(&name, Refusal::Xattrs("a symbolic link")));
                }
                Found::Symlink(Attributes { mode: 0o777, ..attributes }, header.link.into())
            }
            Kind::File => {
                if header.size > self.limits.file {
                    let what = "bytes in one file";
                    return Err(Stop::Package(TarError::TooMuch { what, limit: self.limits.file }));
                }
                let (sha256, crc32, offset) = spool.append(entries)?;
                self.inodes.push(Inode { attributes, offset, size: header.size, sha256, crc32 });
                Found::File(self.inodes.len() - 1)
            }
            Kind::HardLink => self.link(&name, &path, &header.link, &attributes)?,
            Kind::Special(_) if path.names().next() == Some(b"dev".as_slice()) => return Ok(()),
            Kind::Special(what) => return Err(refuse(&name, Refusal::Special(what))),
        };
        self.place(&name, path, node)
    }

    fn count(&mut self, bytes: u64) -> Result<(), Stop> {
        let limit = self.limits.table;
        let what = "bytes of names and attributes";
        self.left = self.left.checked_sub(bytes).ok_or(Stop::Package(TarError::TooMuch { what, limit }))?;
        Ok(())
    }

    /// A hard link means the bytes that its target has at this moment, or will have.
    fn link(&self, name: &[u8], path: &RootPath, target: &[u8], own: &Attributes) -> Result<Found, Stop> {
        let target = RootPath::from_archive(target).map_err(|error| refuse(name, error))?;
        if target == *path {
            return Err(refuse(name, Refusal::Circle(target)));
        }
        let known = self.by_path.get(&target).and_then(|at| self.entries.get(*at)?.as_ref());
        let node = match known {
            Some((_, Found::File(inode))) => Found::File(*inode),
            Some((_, Found::Link(next))) => Found::Link(next.clone()),
            Some(_) => return Err(refuse(name, Refusal::TargetNoFile(target))),
            None => Found::Link(target),
        };
        // The link's own header repeats its target's attributes; those of the target count.
        let same = match &node {
            Found::File(inode) => self.inodes.get(*inode).is_some_and(|inode| inode.attributes.xattrs == own.xattrs),
            _ => false,
        };
        if !own.xattrs.is_empty() && !same {
            return Err(refuse(name, Refusal::Xattrs("a hard link that differs from its target")));
        }
        Ok(node)
    }

    /// The last entry of a path counts, as with dpkg; but a folder stays a folder.
    fn place(&mut self, name: &[u8], path: RootPath, node: Found) -> Result<(), Stop> {
        let number = self.entries.len();
        if let Some(earlier) = self.by_path.insert(path.clone(), number)
            && let Some((_, old)) = self.entries.get_mut(earlier).and_then(Option::take)
            && matches!(old, Found::Directory(_)) != matches!(node, Found::Directory(_))
        {
            return Err(refuse(name, Refusal::Retyped));
        }
        self.entries.push(Some((path, node)));
        Ok(())
    }

    fn finish(mut self, deb: &Sha256) -> Result<Vec<Record>, Stop> {
        self.resolve_links()?;
        self.check_parents()?;
        let mut names = vec![0_usize; self.inodes.len()];
        for (_, node) in self.entries.iter().flatten() {
            if let Found::File(inode) = node
                && let Some(count) = names.get_mut(*inode)
            {
                *count += 1;
            }
        }
        let mut groups: Vec<Option<LinkGroup>> = vec![None; self.inodes.len()];
        let mut records = Vec::with_capacity(self.entries.len());
        for (path, node) in self.entries.into_iter().flatten() {
            let (attributes, node) = match node {
                Found::Directory(attributes) => (attributes, Node::Directory),
                Found::Symlink(attributes, target) => (attributes, Node::Symlink(target)),
                Found::File(number) => {
                    let inode = &self.inodes[number];
                    let group = (names[number] > 1).then(|| {
                        *groups[number].get_or_insert_with(|| {
                            LinkGroup(Sha256::of(&[deb.as_bytes().as_slice(), path.as_bytes()].concat()))
                        })
                    });
                    let Inode { offset, size, sha256, crc32, .. } = *inode;
                    (inode.attributes.clone(), Node::File { offset, size, sha256, crc32, group })
                }
                Found::Link(target) => return Err(refuse(path.as_bytes(), Refusal::NoTarget(target))),
            };
            records.push(Record { path, attributes, node });
        }
        Ok(records)
    }

    /// Hard links whose target comes later, chains of them included.
    fn resolve_links(&mut self) -> Result<(), Stop> {
        let mut followed = vec![false; self.entries.len()];
        for start in 0..self.entries.len() {
            let mut trail = Vec::new();
            let mut at = start;
            let inode = loop {
                let Some(Some((path, node))) = self.entries.get(at) else { break None };
                let target = match node {
                    Found::File(inode) => break Some(*inode),
                    Found::Link(target) => target,
                    _ if trail.is_empty() => break None,
                    _ => return Err(self.refuse_link(start, |_| Refusal::TargetNoFile(path.clone()))),
                };
                if std::mem::replace(&mut followed[at], true) {
                    return Err(self.refuse_link(start, |_| Refusal::Circle(target.clone())));
                }
                trail.push(at);
                at = *self
                    .by_path
                    .get(target)
                    .ok_or_else(|| self.refuse_link(start, |_| Refusal::NoTarget(target.clone())))?;
            };
            if let Some(inode) = inode {
                for at in trail {
                    if let Some(Some((_, node))) = self.entries.get_mut(at) {
                        *node = Found::File(inode);
                    }
                }
            }
        }
        Ok(())
    }

    fn refuse_link(&self, at: usize, reason: impl FnOnce(&Self) -> Refusal) -> Stop {
        let name = self.entries.get(at).and_then(Option::as_ref).map(|(path, _)| path.as_bytes());
        refuse(name.unwrap_or_default(), reason(self))
    }

    /// dpkg would follow a symbolic link that stands in a name's way, to a place that depends on
    /// what else is installed. Names that lead through anything but folders of the package (or
    /// folders that it does not have) are refused, whatever the order of the entries.
    ///
    /// Folders that it does not have are made later, so they count, too.
    fn check_parents(&mut self) -> Result<(), Stop> {
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let mut implied = 0_u64;
        for (path, _) in self.entries.iter().flatten() {
            let mut above = path.as_bytes();
            while let Some(cut) = above.iter().rposition(|byte| *byte == b'/') {
                above = &above[..cut];
                // One that was seen, or that the package has, answers for all above it.
                if !seen.insert(above) {
                    break;
                }
                match self.by_path.get(above).and_then(|at| self.entries.get(*at)?.as_ref()) {
                    None => implied = implied.saturating_add(ENTRY + 2 * above.len() as u64),
                    Some((_, Found::Directory(_))) => break,
                    Some((parent, _)) => return Err(refuse(path.as_bytes(), Refusal::Through(parent.clone()))),
                }
            }
            if implied > self.left {
                break;
            }
        }
        self.count(implied)
    }
}
