//! Layers become a tree: tars are read once, each file is hashed as it passes by, nothing is kept but the
//! few files that are read. Whiteouts are honoured (OCI image-spec, layer.md). All is bounded.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
};

use super::{DiffError, Entry, LARGEST_LIBRARY, Library, Node, Tree, inside};
use crate::{
    elf,
    ground::{RootPath, Sha256, Sha256Hasher, printable},
};

const BLOCK: usize = 512;
/// Bytes that are decompressed at once.
const PIECE: usize = 256 << 10;
/// Bytes of a long name or link target; paths have at most 4096.
const LONGEST_NAME: u64 = 8192;
/// Bytes of an extended header.
const LONGEST_PAX: u64 = 1 << 20;
/// The largest window of a zstd frame, as a power of two: zstd's own default.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Memory of an xz decoder, in bytes.
const XZ_MEMORY: u64 = 256 << 20;

/// How much a side may have, all layers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of decompressed tars.
    pub bytes: u64,
    /// Bytes of a decompressed tar for each compressed one, above `free`.
    pub ratio: u64,
    /// Bytes of a decompressed tar that no ratio is asked for.
    pub free: u64,
    /// Bytes of names, link targets and extended attributes.
    pub names: u64,
    /// Bytes of contents that are kept; what is beyond is not.
    pub kept: u64,
    /// Bytes of one content that is kept.
    pub kept_file: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            bytes: 64 << 30,
            ratio: 500,
            free: 2 << 30,
            names: 256 << 20,
            kept: 128 << 20,
            kept_file: 32 << 20,
        }
    }
}

/// A tree in the making, layer by layer.
#[derive(Debug, Default)]
pub struct Trees {
    limits: Limits,
    /// With the number of the layer that brought it.
    entries: BTreeMap<RootPath, (u32, Entry)>,
    libraries: BTreeMap<RootPath, Library>,
    kept: BTreeMap<RootPath, Arc<[u8]>>,
    layers: u32,
    count: u64,
    bytes: u64,
    names: u64,
    kept_bytes: u64,
    /// Paths that the present layer deletes, with all below them.
    gone: BTreeSet<RootPath>,
    /// Folders whose older contents the present layer deletes.
    opaque: BTreeSet<RootPath>,
}

impl Trees {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Puts a layer on top: `stream` has `size` bytes, its first ones say how it is compressed, and it is read
    /// to its end. `layer` is its name in messages.
    ///
    /// # Errors
    /// It is no tar, damaged, or larger than the limits allow.
    pub fn add(&mut self, layer: &str, mut stream: impl BufRead, size: u64) -> Result<(), DiffError> {
        let damaged = |source| DiffError::Damaged { layer: layer.to_owned(), source };
        let ratio = self.limits.free.saturating_add(self.limits.ratio.saturating_mul(size));
        let left = self.limits.bytes.saturating_sub(self.bytes);
        let most = ratio.min(left);
        let mut compressed = Watched { inner: &mut stream };
        let decoded = decoder(&mut compressed).map_err(damaged)?;
        let mut reader = Blocks { inner: BufReader::with_capacity(PIECE, decoded), layer, read: 0, most };
        let result = self.read(&mut reader, layer);
        self.bytes = self.bytes.saturating_add(reader.read);
        result?;
        drop(reader);
        io::copy(&mut stream, &mut io::sink()).map_err(damaged)?;
        self.settle();
        Ok(())
    }

    fn read(&mut self, reader: &mut Blocks<'_, impl BufRead>, layer: &str) -> Result<(), DiffError> {
        let mut extended = Extended::default();
        while let Some(block) = reader.block()? {
            if block.iter().all(|byte| *byte == 0) {
                reader.rest()?;
                break;
            }
            self.count += 1;
            if self.count > self.limits.entries {
                return Err(too_much(layer, "entries", self.limits.entries));
            }
            let header = tar::Header::from_byte_slice(&block);
            let refuse = |why: &str| refusal(layer, &header.path_bytes(), why);
            let sum: u32 = block
                .iter()
                .enumerate()
                .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
                .sum();
            if header.cksum().ok() != Some(sum) {
                return Err(refuse("its header is damaged: the checksum does not fit"));
            }
            let size = header.entry_size().map_err(|_| refuse("its size is no number"))?;
            let flag = header.as_old().linkflag[0];
            match flag {
                b'L' | b'K' => {
                    let mut text =
                        reader.small(size, LONGEST_NAME).map_err(|stop| stop.at(layer, &header.path_bytes()))?;
                    text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
                    *(if flag == b'L' { &mut extended.name } else { &mut extended.link }) = Some(text);
                }
                b'x' | b'g' => {
                    let records =
                        reader.small(size, LONGEST_PAX).map_err(|stop| stop.at(layer, &header.path_bytes()))?;
                    extended.take(&records, flag == b'g').map_err(|why| refuse(&why))?;
                }
                _ => self.entry(reader, layer, header, flag, size, std::mem::take(&mut extended))?,
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        reader: &mut Blocks<'_, impl BufRead>,
        layer: &str,
        header: &tar::Header,
        flag: u8,
        size: u64,
        extended: Extended,
    ) -> Result<(), DiffError> {
        let name = extended.path.or(extended.name).unwrap_or_else(|| header.path_bytes().into_owned());
        let refuse = |why: &str| refusal(layer, &name, why);
        let path = RootPath::from_archive(&name).map_err(|error| refuse(&error.to_string()))?;
        let size = extended.size.unwrap_or(size);
        let old = || header.link_name_bytes().unwrap_or_default().into_owned();
        let link = extended.linkpath.or(extended.link).unwrap_or_else(old);
        let id = |given: Option<u64>, field: io::Result<u64>| {
            let id = given.map_or(field, Ok).ok().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| refuse("its owner is no number that Linux takes"))
        };
        let (uid, gid) = (id(extended.uid, header.uid())?, id(extended.gid, header.gid())?);
        let mode = header.mode().map_err(|_| refuse("its mode is no number"))? & 0o7777;
        let attributes: u64 = extended.xattrs.keys().map(|name| name.len() as u64 + 64).sum();
        self.names = self.names.saturating_add((name.len() + link.len()) as u64).saturating_add(attributes);
        if self.names > self.limits.names {
            return Err(too_much(layer, "bytes of names", self.limits.names));
        }
        if self.whiteout(&path, &name, layer)? {
            return reader.pass(size);
        }
        let mut again = false;
        let mut content = None;
        let number = |field: io::Result<Option<u32>>| field.ok().flatten().unwrap_or_default();
        let device = |kind: &str| {
            let (major, minor) = (number(header.device_major()), number(header.device_minor()));
            Node::Special(format!("{kind} {major}:{minor}"))
        };
        let is_folder = name.ends_with(b"/");
        let node = match flag {
            b'0' | 0 | b'7' if !is_folder => {
                let read = self.file(reader, &path, size)?;
                content = read.content;
                Node::File { size, sha256: read.sha256 }
            }
            b'1' => match self.target(&link) {
                Some(node) => {
                    again = matches!(node, Node::File { .. });
                    node
                }
                None => Node::HardLink(link.into()),
            },
            b'2' => Node::Symlink(link.into()),
            b'0' | 0 | b'5' => Node::Directory,
            b'3' => device("character device"),
            b'4' => device("block device"),
            b'6' => Node::Special("named pipe".to_owned()),
            b'S' => return Err(refuse("it is stored sparsely, which is not read here")),
            _ => return Err(refuse("its type is unknown")),
        };
        if flag != b'0' && flag != 0 && flag != b'7' || is_folder {
            reader.pass(size)?;
        }
        let mode = if matches!(node, Node::Symlink(_)) { 0o777 } else { mode as u16 };
        let is_directory = node == Node::Directory;
        let entry = Entry { node, mode, uid, gid, xattrs: extended.xattrs, package: None, again };
        let before = self.entries.insert(path.clone(), (self.layers, entry));
        if before.is_some_and(|(_, before)| before.node == Node::Directory) && !is_directory {
            self.gone.insert(path.clone());
        }
        if let Some(old) = self.kept.remove(&path) {
            self.kept_bytes -= old.len() as u64;
        }
        self.libraries.remove(&path);
        match content {
            Some(Content::Kept(bytes)) => {
                self.kept_bytes += bytes.len() as u64;
                self.kept.insert(path, bytes.into());
            }
            Some(Content::Library(library)) => drop(self.libraries.insert(path, library)),
            None => {}
        }
        Ok(())
    }

    /// Notes what a whiteout deletes; whether it was one.
    fn whiteout(&mut self, path: &RootPath, name: &[u8], layer: &str) -> Result<bool, DiffError> {
        let Some(hidden) = path.name().strip_prefix(b".wh.") else { return Ok(false) };
        let folder = path.parent().unwrap_or_default();
        match hidden {
            b".wh..opq" => drop(self.opaque.insert(folder)),
            // Notes of aufs for itself.
            hidden if hidden.starts_with(b".wh.") => {}
            b"" => return Err(refusal(layer, name, "it is a whiteout of nothing")),
            hidden => {
                let hidden = folder.join(hidden).map_err(|error| refusal(layer, name, &error.to_string()))?;
                self.gone.insert(hidden);
            }
        }
        Ok(true)
    }

    /// What a hard link leads to.
    fn target(&self, link: &[u8]) -> Option<Node> {
        let path = RootPath::from_archive(link).ok()?;
        let (_, entry) = self.entries.get(&path)?;
        (entry.node != Node::Directory).then(|| entry.node.clone())
    }

    fn file(&mut self, reader: &mut Blocks<'_, impl BufRead>, path: &RootPath, size: u64) -> Result<Hashed, DiffError> {
        let room = self.limits.kept.saturating_sub(self.kept_bytes).min(self.limits.kept_file);
        let keep = inside::is_kept(path) && size <= room;
        let mut library = inside::is_library(path) && size <= LARGEST_LIBRARY;
        let mut hasher = Sha256Hasher::new();
        let mut bytes = Vec::new();
        reader.body(size, |piece| {
            hasher.update(piece);
            // Pieces are larger than this, but at the very end of a buffer.
            if library && bytes.is_empty() && !piece.starts_with(&b"\x7fELF"[..piece.len().min(4)]) {
                library = false;
            }
            if keep || library {
                bytes.extend_from_slice(piece);
            }
        })?;
        let content = match (keep, library) {
            (true, _) => Some(Content::Kept(bytes)),
            (_, true) => inside::library(elf::read_bytes(&bytes)).map(Content::Library),
            _ => None,
        };
        Ok(Hashed { sha256: hasher.finish(), content })
    }

    /// Ends a layer: what it deletes of the layers below goes.
    fn settle(&mut self) {
        let layer = self.layers;
        self.layers = layer.saturating_add(1);
        if layer == 0 || self.gone.is_empty() && self.opaque.is_empty() {
            // The whiteouts of a layer by itself are told, see [`Trees::layer`].
            return;
        }
        let (gone, opaque) = (std::mem::take(&mut self.gone), std::mem::take(&mut self.opaque));
        let deleted = |path: &RootPath| {
            let bytes = path.as_bytes();
            let folders = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &bytes[..at]);
            let above = |folder: &[u8]| gone.contains(folder) || opaque.contains(folder);
            gone.contains(path) || !path.is_root() && (opaque.contains(&b""[..]) || folders.into_iter().any(above))
        };
        self.entries.retain(|path, (number, _)| *number >= layer || !deleted(path));
    }

    /// The tree of a layer by itself; what it deletes is in it as whiteouts.
    pub fn layer(mut self) -> Tree {
        let opaque = std::mem::take(&mut self.opaque).into_iter();
        let opaque = opaque.filter_map(|folder| folder.join(b".wh..wh..opq").ok());
        let gone: Vec<_> = std::mem::take(&mut self.gone).into_iter().chain(opaque).collect();
        for path in gone {
            let whiteout = Entry {
                node: Node::Whiteout,
                mode: 0,
                uid: 0,
                gid: 0,
                xattrs: BTreeMap::new(),
                package: None,
                again: false,
            };
            self.entries.entry(path).or_insert((0, whiteout));
        }
        self.image()
    }

    /// The tree of all layers.
    pub fn image(self) -> Tree {
        let entries: BTreeMap<_, _> = self.entries.into_iter().map(|(path, (_, entry))| (path, entry)).collect();
        let (mut libraries, mut kept) = (self.libraries, self.kept);
        libraries.retain(|path, _| entries.contains_key(path));
        kept.retain(|path, _| entries.contains_key(path));
        Tree { entries, libraries, kept }
    }
}

struct Hashed {
    sha256: Sha256,
    content: Option<Content>,
}

enum Content {
    Kept(Vec<u8>),
    Library(Library),
}

/// What extended headers say of the next entry.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    linkpath: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    size: Option<u64>,
    xattrs: BTreeMap<Box<[u8]>, Sha256>,
}

impl Extended {
    /// Records of an extended header (POSIX.1-2001, pax). Names and times of owners and files are no news.
    fn take(&mut self, mut records: &[u8], global: bool) -> Result<(), String> {
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or("its extended header is damaged")?;
            records = rest;
            let number = || str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
            let wrong = || format!("its extended header: {} is no number", printable(key));
            match key {
                b"path" | b"linkpath" | b"uid" | b"gid" | b"size" if global => {
                    return Err("its extended header is for all entries, which is not read here".to_owned());
                }
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.linkpath = Some(value.to_vec()),
                b"uid" => self.uid = Some(number().ok_or_else(wrong)?),
                b"gid" => self.gid = Some(number().ok_or_else(wrong)?),
                b"size" => self.size = Some(number().ok_or_else(wrong)?),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err("it is stored sparsely, which is not read here".to_owned());
                }
                key => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.insert(name.into(), Sha256::of(value));
                    }
                }
            }
        }
        Ok(())
    }
}

/// `<length> <key>=<value>\n`, the length counting all of it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, rest))
}

/// Why a short body was not read.
enum Stop {
    Long,
    Error(DiffError),
}

impl Stop {
    fn at(self, layer: &str, name: &[u8]) -> DiffError {
        match self {
            Self::Long => refusal(layer, name, "its long name or extended header is too long"),
            Self::Error(error) => error,
        }
    }
}

/// A decompressed stream, bounded.
struct Blocks<'a, R> {
    inner: R,
    layer: &'a str,
    read: u64,
    most: u64,
}

impl<R: BufRead> Blocks<'_, R> {
    fn damaged(&self, source: io::Error) -> DiffError {
        DiffError::Damaged { layer: self.layer.to_owned(), source }
    }

    /// Hands `size` bytes to `take`, in pieces as they come.
    fn exactly(&mut self, mut size: u64, mut take: impl FnMut(&[u8])) -> Result<(), DiffError> {
        while size > 0 {
            if self.read >= self.most {
                return Err(too_much(self.layer, "bytes when decompressed", self.most));
            }
            let piece = match self.inner.fill_buf() {
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(DiffError::Damaged { layer: self.layer.to_owned(), source }),
            };
            if piece.is_empty() {
                let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within an entry");
                return Err(self.damaged(source));
            }
            let count = usize::try_from(size).unwrap_or(usize::MAX).min(piece.len());
            take(piece.get(..count).unwrap_or_default());
            self.inner.consume(count);
            self.read += count as u64;
            size -= count as u64;
        }
        Ok(())
    }

    /// A body of `size` bytes and its padding.
    fn body(&mut self, size: u64, take: impl FnMut(&[u8])) -> Result<(), DiffError> {
        self.exactly(size, take)?;
        let over = size % BLOCK as u64;
        self.exactly(if over == 0 { 0 } else { BLOCK as u64 - over }, |_| {})
    }

    fn pass(&mut self, size: u64) -> Result<(), DiffError> {
        self.body(size, |_| {})
    }

    fn small(&mut self, size: u64, most: u64) -> Result<Vec<u8>, Stop> {
        if size > most {
            return Err(Stop::Long);
        }
        let mut bytes = Vec::new();
        self.body(size, |piece| bytes.extend_from_slice(piece)).map_err(Stop::Error)?;
        Ok(bytes)
    }

    /// The next header; `None` at the end of the stream.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, DiffError> {
        loop {
            match self.inner.fill_buf() {
                Ok([]) => return Ok(None),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.damaged(source)),
            }
        }
        let mut block = [0; BLOCK];
        let mut at = 0;
        self.exactly(BLOCK as u64, |piece| {
            if let Some(place) = block.get_mut(at..at + piece.len()) {
                place.copy_from_slice(piece);
            }
            at += piece.len();
        })?;
        Ok(Some(block))
    }

    /// What follows the end of the archive.
    fn rest(&mut self) -> Result<(), DiffError> {
        while self.block_of_any()? {}
        Ok(())
    }

    fn block_of_any(&mut self) -> Result<bool, DiffError> {
        let length = match self.inner.fill_buf() {
            Ok(piece) => piece.len(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(source) => return Err(self.damaged(source)),
        };
        self.exactly(length as u64, |_| {})?;
        Ok(length > 0)
    }
}

/// A reader by reference that stays usable behind a decoder.
struct Watched<'a, R> {
    inner: &'a mut R,
}

impl<R: BufRead> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl<R: BufRead> BufRead for Watched<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
    }
}

/// A decoder for what begins so.
fn decoder<'a>(mut stream: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match stream.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(stream)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let xz = xz2::stream::Stream::new_stream_decoder(XZ_MEMORY, xz2::stream::CONCATENATED)?;
            Box::new(xz2::bufread::XzDecoder::new_stream(stream, xz))
        }
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(stream)),
        _ => Box::new(stream),
    })
}

fn refusal(layer: &str, name: &[u8], why: &str) -> DiffError {
    let shown: String = printable(name).chars().take(500).collect();
    DiffError::Entry { layer: layer.to_owned(), entry: shown, why: why.to_owned() }
}

fn too_much(layer: &str, what: &'static str, limit: u64) -> DiffError {
    DiffError::TooMuch { layer: layer.to_owned(), what, limit }
}
