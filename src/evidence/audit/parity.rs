//! A whole image against a whole tree: layers merged as an unpacker would, names without their prefix,
//! times and hard links left aside.

use std::collections::BTreeMap;

use super::{
    Field, Finding, Origins, Report, block, content,
    given::Ceiling,
    header,
    images::GivenImage,
    reader::{Blocks, Head, Item, Reader},
};
use crate::{
    ground::{RootPath, Sha256, Sha256Hasher, printable},
    layer::LayerError,
    rootfs::{Content, Entry, Node, Rootfs},
};

/// Paths of one image.
const MOST_PATHS: usize = 2_000_000;
/// Bytes of all paths and link targets of one image.
const MOST_NAMES: u64 = 512 << 20;
/// Differences that are kept with all they say.
const MOST: usize = 100_000;
/// Bytes compared at a time.
const PIECE: u64 = 64 << 10;

/// How much of an image is as composed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Parity {
    /// Paths that are the same.
    pub same: u64,
    /// Paths that both have, and that differ.
    pub differ: u64,
    /// Paths that only the composed tree has.
    pub missing: u64,
    /// Paths that only the given image has.
    pub extra: u64,
}

/// A path of the given image.
#[derive(Debug, Clone)]
struct Found {
    kind: u8,
    mode: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    size: u64,
    sha256: Option<Sha256>,
    link: Box<[u8]>,
    first: Option<(u64, [u8; 2])>,
    tail: Option<Box<[u8]>>,
    layer: usize,
}

/// Compares a tree with what an image's layers come to. Damaged layers are differences.
///
/// # Errors
/// Only of reading what is composed.
pub fn parity(expected: &Rootfs, origins: Origins<'_>, image: &GivenImage) -> Result<(Report, Parity), LayerError> {
    let mut merge = Merge { expected, paths: BTreeMap::new(), names: 0, faults: Vec::new(), number: 0 };
    for (number, layer) in image.layers.iter().enumerate() {
        merge.number = number;
        let damaged = |error: String| {
            let text = printable(error.as_bytes());
            let finding = Finding::new(Field::Framing, "damaged", "a layer", format!("{}: {text}", layer.name));
            finding.because("the file is damaged or was cut off")
        };
        match layer.tar() {
            Ok(tar) => {
                let mut reader = Reader::new(Ceiling::new(tar, layer.ceiling()));
                merge.layer(&mut reader)?;
                if let Some(error) = reader.blocks.fault.take() {
                    merge.faults.push(damaged(error.to_string()));
                }
            }
            Err(error) => merge.faults.push(damaged(error.to_string())),
        }
    }
    merge.compare(origins)
}

struct Merge<'a> {
    expected: &'a Rootfs,
    paths: BTreeMap<RootPath, Found>,
    names: u64,
    faults: Vec<Finding>,
    number: usize,
}

impl Merge<'_> {
    fn layer(&mut self, reader: &mut Reader<impl std::io::Read>) -> Result<(), LayerError> {
        loop {
            match reader.next(|_| false) {
                Item::Entry(head) => {
                    let size = match head.kind {
                        b'1'..=b'6' if reader.blocks.ends_after(0, true) => 0,
                        _ => head.size.unwrap_or_default(),
                    };
                    self.entry(&head, size, &mut reader.blocks)?;
                    reader.padding(size);
                    if self.paths.len() > MOST_PATHS || self.names > MOST_NAMES {
                        let finding =
                            Finding::new(Field::Framing, "too much", format!("{MOST_PATHS} paths at most"), "more");
                        self.faults.push(finding.because("no image has so many; the rest is not read"));
                        return Ok(());
                    }
                }
                Item::Garbage { at, bytes } => {
                    if self.faults.len() < MOST {
                        let finding =
                            Finding::new(Field::Framing, "no header", "no bytes", format!("{bytes} bytes")).at(at);
                        self.faults.push(finding.because("something was appended to a layer, or it is damaged"));
                    }
                }
                Item::Zeros { .. } => {}
                Item::End { .. } => return Ok(()),
            }
        }
    }

    /// Removes what lies below a folder, of earlier layers where `earlier` says so.
    fn clear(&mut self, folder: &RootPath, itself: bool, earlier: bool) {
        let goes = |found: &Found| !earlier || found.layer < self.number;
        let below = if folder.is_root() { Vec::new() } else { [folder.as_bytes(), b"/"].concat() };
        let own = self.paths.get_key_value(folder).filter(|_| itself);
        let doomed: Vec<RootPath> = self
            .paths
            .range::<[u8], _>((std::ops::Bound::Excluded(below.as_slice()), std::ops::Bound::Unbounded))
            .take_while(|(path, _)| path.as_bytes().starts_with(&below))
            .chain(own)
            .filter(|(_, found)| goes(found))
            .map(|(path, _)| path.clone())
            .collect();
        doomed.iter().for_each(|path| drop(self.paths.remove(path)));
    }

    fn entry(&mut self, head: &Head, size: u64, blocks: &mut Blocks<impl std::io::Read>) -> Result<(), LayerError> {
        let Ok(path) = RootPath::from_archive(&head.name) else {
            if self.faults.len() < MOST {
                let finding = Finding::new(Field::Name, "name", "a path", header::show(&head.name)).at(head.at);
                self.faults.push(finding.because("the name leads out of the tree, or is too long"));
            }
            skip(blocks, size);
            return Ok(());
        };
        let whiteout = path.name().strip_prefix(b".wh.").map(<[u8]>::to_vec);
        if let Some(of) = whiteout {
            skip(blocks, size);
            let folder = path.parent().unwrap_or_default();
            if of == b".wh..opq" {
                self.clear(&folder, false, true);
            } else if let Ok(path) = folder.join(&of) {
                self.clear(&path, true, true);
            }
            return Ok(());
        }
        let expected = self.expected.get(&path).and_then(|entry| match &entry.node {
            Node::File { content, .. } => Some(content),
            _ => None,
        });
        let mut found = Found {
            kind: if head.kind == 0 { b'0' } else { head.kind },
            mode: head.mode.map(|mode| mode & 0o7777),
            uid: head.uid,
            gid: head.gid,
            size,
            sha256: None,
            link: head.link.clone().into(),
            first: None,
            tail: None,
            layer: self.number,
        };
        self.content(&path, &mut found, expected, blocks)?;
        if found.kind == b'1' {
            let target = RootPath::from_archive(&head.link).ok();
            if let Some(target) = target.and_then(|target| self.paths.get(&target)) {
                found = Found { layer: self.number, ..target.clone() };
                if let (Some(content), None) = (expected, found.first)
                    && Some(content.sha256) != found.sha256
                {
                    found.tail = None;
                }
            }
        }
        if found.kind != b'5' {
            self.clear(&path, true, false);
        }
        self.names = self.names.saturating_add((path.as_bytes().len() + found.link.len()) as u64);
        self.paths.insert(path, found);
        Ok(())
    }

    /// Hashes a content, and compares it with the composed one of its path.
    fn content(
        &self,
        path: &RootPath,
        found: &mut Found,
        expected: Option<&Content>,
        blocks: &mut Blocks<impl std::io::Read>,
    ) -> Result<(), LayerError> {
        let mut hasher = Sha256Hasher::new();
        let mut done = 0u64;
        let mut tail: Option<Vec<u8>> = None;
        // What is kept for a look is bounded for all paths together by looking into small files alone.
        let look = expected.is_some_and(|content| content.size.max(found.size) <= 64 << 10);
        while done < found.size {
            let piece = blocks.take(found.size.saturating_sub(done).min(PIECE));
            if piece.is_empty() {
                break;
            }
            hasher.update(piece);
            if let Some(tail) = &mut tail {
                tail.extend_from_slice(piece);
            }
            let shared =
                expected.map_or(0, |content| content.size.saturating_sub(done)).min(piece.len() as u64) as usize;
            if let (Some(content), None, true) = (expected, found.first, shared > 0) {
                let mut bytes = vec![0; shared];
                content
                    .read_at(done, &mut bytes)
                    .map_err(|source| LayerError::Read { path: path.to_string(), source })?;
                if let Some(at) = bytes.iter().zip(piece).position(|(one, other)| one != other) {
                    found.first = Some((done.saturating_add(at as u64), [bytes[at], piece[at]]));
                    tail = look.then(|| piece.get(at..).unwrap_or_default().to_vec());
                }
            }
            done = done.saturating_add(piece.len() as u64);
        }
        found.tail = tail.map(Into::into);
        found.sha256 = Some(hasher.finish());
        Ok(())
    }

    fn compare(mut self, origins: Origins<'_>) -> Result<(Report, Parity), LayerError> {
        let mut all = Vec::new();
        let mut parity = Parity::default();
        let mut more = 0u64;
        for (path, entry) in &self.expected.entries {
            let mut findings = match self.paths.remove(path) {
                None => {
                    parity.missing = parity.missing.saturating_add(1);
                    let what = format!("{}, {}", entry.node.kind(), entry.attributes);
                    vec![Finding::new(Field::Missing, "entry", what, "nothing").because("the image does without it")]
                }
                Some(found) => {
                    let findings = differences(path, entry, &found)?;
                    let count = if findings.is_empty() { &mut parity.same } else { &mut parity.differ };
                    *count = count.saturating_add(1);
                    findings
                }
            };
            for finding in &mut findings {
                finding.entry = Some(path.to_string());
                finding.origin = Some(origins(&entry.origin));
            }
            more = more.saturating_add(findings.len() as u64);
            if all.len() < MOST {
                all.append(&mut findings);
            }
        }
        for (path, found) in &self.paths {
            parity.extra = parity.extra.saturating_add(1);
            more = more.saturating_add(1);
            if all.len() < MOST {
                let what = format!("{}, {} bytes", block::kind(found.kind), found.size);
                let mut finding = Finding::new(Field::Extra, "entry", "nothing", what);
                finding.entry = Some(path.to_string());
                all.push(finding.because("the image has more than is composed"));
            }
        }
        more = more.saturating_add(self.faults.len() as u64);
        all.append(&mut self.faults);
        let Parity { same, differ, missing, extra } = parity;
        let total = same.saturating_add(differ).saturating_add(missing);
        let summary = format!(
            "parity: {same} of {total} paths are the same, {differ} differ, {missing} are missing, {extra} are extra"
        );
        Ok((Report { findings: all, count: more, summary: Some(summary), diff_id: None }, parity))
    }
}

fn skip(blocks: &mut Blocks<impl std::io::Read>, size: u64) {
    let mut left = size;
    while left > 0 {
        let taken = blocks.take(left).len() as u64;
        if taken == 0 {
            break;
        }
        left = left.saturating_sub(taken);
    }
}

fn differences(path: &RootPath, entry: &Entry, found: &Found) -> Result<Vec<Finding>, LayerError> {
    let mut all = Vec::new();
    let kind = match &entry.node {
        Node::Directory => b'5',
        Node::File { .. } => b'0',
        Node::Symlink(_) => b'2',
    };
    if kind != found.kind {
        let finding = Finding::new(Field::Type, "type", block::kind(kind), block::kind(found.kind));
        return Ok(vec![finding.because("something else is there")]);
    }
    let attributes = &entry.attributes;
    // Linux ignores a link's mode, and tools write 0777 or what they find.
    if kind != b'2' && found.mode != Some(attributes.mode.into()) {
        let mode = found.mode.map_or_else(|| "no number".to_owned(), |mode| format!("{mode:04o}"));
        all.push(
            Finding::new(Field::Mode, "mode", format!("{:04o}", attributes.mode), mode)
                .because("set by another tool or script"),
        );
    }
    for (field, one, other) in [(Field::Uid, attributes.uid, found.uid), (Field::Gid, attributes.gid, found.gid)] {
        if other != Some(one.into()) {
            let other = other.map_or_else(|| "no number".to_owned(), |other| other.to_string());
            all.push(
                Finding::new(field, field.word(), one.to_string(), other).because("set by another tool or script"),
            );
        }
    }
    match &entry.node {
        Node::Symlink(target) if **target != *found.link => {
            let finding = Finding::new(Field::Link, "target", header::show(target), header::show(&found.link));
            all.push(finding.because("the link leads elsewhere"));
        }
        Node::File { content, .. } if Some(content.sha256) != found.sha256 || content.size != found.size => {
            let shown = |size: u64, sha256: Option<Sha256>| {
                let sha256 = sha256.map_or_else(|| "?".to_owned(), |sha256| sha256.to_string());
                format!("{size} bytes, sha256 {sha256}")
            };
            let expected = shown(content.size, Some(content.sha256));
            let mut finding = Finding::new(Field::Content, "content", expected, shown(found.size, found.sha256));
            finding.cause = "another version of its package, or edited".to_owned();
            if let Some((first, bytes)) = found.first {
                (finding.offset, finding.bytes) = (Some(first), Some(bytes));
                if let Some(tail) = &found.tail {
                    let mut whole = vec![0; content.size as usize];
                    content
                        .read_at(0, &mut whole)
                        .map_err(|source| LayerError::Read { path: path.to_string(), source })?;
                    let other = [whole.get(..first as usize).unwrap_or_default(), tail].concat();
                    let insight = content::look(&whole, &other, first);
                    finding.diff = insight.diff;
                    finding.detail = insight.place.unwrap_or(finding.detail);
                }
            }
            all.push(finding);
        }
        _ => {}
    }
    Ok(all)
}
