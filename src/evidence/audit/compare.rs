//! Lines the entries of a given tar up with the composed ones, in one pass over the given bytes.
//!
//! Entries are matched by path, so that one more or one less is one difference. One whose path is
//! unknown and that stands where a missing one belongs is that one, called otherwise. What remains in
//! place is the longest rising sequence; the rest is told as order.

use std::{collections::BTreeMap, io::Read};

use super::{
    Field, Finding, Origins, Report,
    block::{self, BLOCK, STRETCHES},
    content, header,
    reader::{Head, Item, Reader},
};
use crate::{
    ground::{DiffId, RootPath, Sha256, Sha256Hasher, printable},
    layer::{LayerError, Tar},
    rootfs::{Content, Node, Origin},
};

/// Bytes compared at a time.
const PIECE: u64 = 64 << 10;
/// Entries that are nobody's, kept with all they say; more are only counted.
const MOST_EXTRAS: usize = 20_000;
/// Faults of the tar itself that are kept.
const MOST_FAULTS: usize = 1_000;
/// Bytes of an entry that is nobody's, kept for a look into it.
const EXTRA_KEPT: u64 = 64 << 10;
/// Entries with kept bytes.
const MOST_KEPT: usize = 200;

/// Hashes what is read.
struct Hashing<R> {
    inner: R,
    hasher: Sha256Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Compares the tar that is composed with the uncompressed bytes of another one. `given` may hold
/// anything; bounding it (see [`super::given::Ceiling`]) is up to the caller.
///
/// # Errors
/// Only of reading what is composed.
pub fn compare(tar: &Tar<'_>, origins: Origins<'_>, given: impl Read) -> Result<Report, LayerError> {
    let mut walk = Walk {
        tar,
        origins,
        reader: Reader::new(Hashing { inner: given, hasher: Sha256Hasher::new() }),
        matches: (0..tar.entries()).map(|_| None).collect(),
        order: Vec::new(),
        extras: Vec::new(),
        more_extras: 0,
        kept: 0,
        faults: Vec::new(),
        more_faults: 0,
        cursor: 0,
        last: None,
        cut: None,
    };
    walk.walk()?;
    Ok(walk.finish())
}

/// A composed entry that was found.
struct Match {
    /// Where in `order`.
    slot: usize,
    findings: Vec<Finding>,
}

/// A given entry whose path is nobody's, or somebody's for the second time.
struct Extra {
    head: Head,
    size: u64,
    sha256: Sha256,
    /// The composed entry that belongs where this one stands, and how the two differ.
    instead: Option<(usize, Vec<Finding>, bool)>,
    again: bool,
}

/// How a content compares.
struct Contents {
    /// Where it first differs within the bytes that both have, with both bytes.
    first: Option<(u64, [u8; 2])>,
    /// Where it begins in the tar.
    at: u64,
    /// Bytes that were there.
    size: u64,
    /// What is there from the first difference on, where it was kept.
    tail: Option<Vec<u8>>,
    /// Padding that is no zero.
    padding: Option<(u64, u8)>,
    /// The tar ended inside.
    cut: bool,
    sha256: Option<Sha256>,
}

/// A content while it is read.
struct Run {
    first: Option<(u64, [u8; 2])>,
    tail: Option<Vec<u8>>,
    /// Whether bytes are kept from the first difference on.
    keep: bool,
    size: u64,
    cut: bool,
    hasher: Option<Sha256Hasher>,
}

/// Whether an entry has a content by its kind.
fn has_content(head: &Head) -> bool {
    !matches!(head.kind, b'1'..=b'6')
}

struct Walk<'a, R> {
    tar: &'a Tar<'a>,
    origins: Origins<'a>,
    reader: Reader<Hashing<R>>,
    matches: Vec<Option<Match>>,
    /// The composed entry of each match, in the order of the given tar; `None` where it was taken back.
    order: Vec<Option<usize>>,
    extras: Vec<Extra>,
    more_extras: u64,
    kept: usize,
    faults: Vec<Finding>,
    more_faults: u64,
    /// The composed entry that should come next.
    cursor: usize,
    /// The path of the last entry.
    last: Option<String>,
    /// What the tar ended in the middle of.
    cut: Option<String>,
}

/// The path that a name means, where it means one.
fn path_of(name: &[u8]) -> Option<RootPath> {
    RootPath::from_archive(name).ok()
}

/// A name as a path, fit to print.
fn shown(name: &[u8]) -> String {
    path_of(name).map_or_else(|| header::show(name), |path| path.to_string())
}

impl<R: Read> Walk<'_, R> {
    fn index(&self, name: &[u8]) -> Option<usize> {
        let path = path_of(name)?;
        let (mut low, mut high) = (0, self.tar.entries());
        while low < high {
            let middle = low.midpoint(high);
            match self.tar.path(middle).cmp(&path) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle.saturating_add(1),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn head(&self, index: usize) -> Result<Head, LayerError> {
        let mut bytes = Vec::new();
        self.tar.head(index, &mut bytes)?;
        Ok(Head::of(&bytes).expect("the tar's own header is a header"))
    }

    fn fault(&mut self, finding: Finding) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(finding);
        } else {
            self.more_faults = self.more_faults.saturating_add(1);
        }
    }

    fn walk(&mut self) -> Result<(), LayerError> {
        let mut zeros: Option<u64> = None;
        loop {
            let (tar, cursor) = (self.tar, self.cursor);
            let mut own = Vec::new();
            if cursor < tar.entries() {
                tar.head(cursor, &mut own)?;
            }
            let expected_name = Head::of(&own).map(|head| block::NAME.text(&head.block).to_vec());
            let item = {
                let known = |name: &[u8]| expected_name.as_deref() == Some(name);
                self.reader.next(known)
            };
            match item {
                Item::Entry(head) => {
                    if zeros.take().is_some() {
                        let finding = Finding::new(Field::Framing, "zeros between entries", "no zeros", "zeros")
                            .at(head.at)
                            .because(
                                "two tars one after the other: most readers stop at the zeros and never see the second",
                            );
                        self.fault(finding);
                    }
                    self.entry(*head)?;
                }
                Item::Zeros { blocks } => zeros = Some(zeros.unwrap_or_default().saturating_add(blocks)),
                Item::Garbage { at, bytes } => {
                    let last = self.cursor >= self.tar.entries();
                    let (detail, cause) = match (zeros, last) {
                        (Some(_), _) | (_, true) => {
                            ("trailing data", "something was appended to the layer, or its end was damaged")
                        }
                        _ if self.last.is_none() => ("no header", "what is given is no tar, or its begin is damaged"),
                        _ => ("no header", "bytes were damaged, or a size before them is wrong"),
                    };
                    let mut finding = Finding::new(Field::Framing, detail, "no bytes", format!("{bytes} bytes"))
                        .at(at)
                        .because(cause);
                    finding.entry = if detail == "no header" { self.last.clone() } else { None };
                    self.fault(finding);
                }
                Item::End { records } => {
                    if records > 0 {
                        let found = format!("{records} records");
                        let finding = Finding::new(Field::Framing, "records about nothing", "an entry", found);
                        self.fault(finding.because("the entry after a long name was cut off"));
                    }
                    break self.end(zeros);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, zeros: Option<u64>) {
        let at = self.reader.blocks.at;
        if let Some(error) = self.reader.blocks.fault.take() {
            let text = printable(error.to_string().as_bytes());
            let whole = zeros.is_some_and(|blocks| blocks >= 2) && self.cursor >= self.tar.entries();
            let (detail, cause) = if whole {
                ("after the end", "the tar is whole; something follows it that cannot be decompressed")
            } else {
                ("damaged", "the file is damaged or was cut off")
            };
            let mut finding = Finding::new(Field::Framing, detail, "a layer", text).at(at).because(cause);
            finding.entry = self.cut.clone().or(self.last.clone()).filter(|_| !whole);
            self.cut = Some(finding.entry.clone().unwrap_or_default()).filter(|_| !whole);
            self.fault(finding);
            return;
        }
        let told = self.faults.iter().any(|fault| fault.detail == "trailing data");
        let bytes = zeros.unwrap_or_default().saturating_mul(BLOCK as u64);
        if zeros.is_none() && self.cut.is_none() {
            self.cut = Some(self.last.clone().unwrap_or_default());
        }
        if bytes != 2 * BLOCK as u64 && !(told && bytes > 0) {
            let cause = match bytes {
                0 => "the layer was cut off",
                bytes if bytes > 1024 && at.is_multiple_of(10_240) => {
                    "another tar wrote it: padded to a record of 10240 bytes"
                }
                _ => "another tar wrote it, or its end was edited",
            };
            let mut finding = Finding::new(Field::Framing, "end of archive", "1024 zeros", format!("{bytes} zeros"));
            finding = finding.at(at.saturating_sub(bytes)).because(cause);
            finding.entry = if bytes == 0 { self.cut.clone().filter(|path| !path.is_empty()) } else { None };
            self.fault(finding);
        }
    }

    fn entry(&mut self, head: Head) -> Result<(), LayerError> {
        self.last = Some(shown(&head.name));
        let index = self.index(&head.name);
        let fresh = index.filter(|index| self.matches.get(*index).is_some_and(Option::is_none));
        if let Some(index) = fresh {
            let slot = self.order.len();
            self.order.push(Some(index));
            let (findings, _) = self.both(index, &head, content::LOOKED_INTO, false)?;
            self.matches[index] = Some(Match { slot, findings });
            self.cursor = index.saturating_add(1);
            return Ok(());
        }
        // The one that belongs here, if it does not come under its own name later.
        let waiting = self.matches.get(self.cursor).is_some_and(Option::is_none);
        let candidate = index.or(waiting.then_some(self.cursor));
        let keep = if self.kept < MOST_KEPT { EXTRA_KEPT } else { 0 };
        self.kept = self.kept.saturating_add(1);
        let (mut findings, contents) = match candidate {
            Some(candidate) => self.both(candidate, &head, keep, true)?,
            None => (Vec::new(), self.contents(None, None, &head, 0, true)?),
        };
        let (size, sha256) = (contents.size, contents.sha256.unwrap_or(Sha256::of(b"")));
        if let Some(index) = index {
            // Twice: the one that fits better is the entry, the other is one too many.
            let slot = self.order.len();
            if let Some(Some(before)) = self.matches.get_mut(index)
                && findings.len() < before.findings.len()
            {
                std::mem::swap(&mut before.findings, &mut findings);
                if let Some(place) = self.order.get_mut(before.slot) {
                    *place = None;
                }
                before.slot = slot;
                self.order.push(Some(index));
                self.cursor = index.saturating_add(1);
            }
            self.extra(Extra { head, size, sha256, instead: None, again: true });
            return Ok(());
        }
        let instead = candidate.map(|candidate| {
            let same = contents.first.is_none() && self.size(candidate) == size;
            (candidate, findings, same)
        });
        if instead.is_some() {
            self.cursor = self.cursor.saturating_add(1);
        }
        self.extra(Extra { head, size, sha256, instead, again: false });
        Ok(())
    }

    fn extra(&mut self, extra: Extra) {
        if self.extras.len() < MOST_EXTRAS {
            self.extras.push(extra);
        } else {
            self.more_extras = self.more_extras.saturating_add(1);
        }
    }

    fn size(&self, index: usize) -> u64 {
        self.tar.content(index).map_or(0, |content| content.size)
    }

    /// Compares a composed entry with a given one, content and all.
    fn both(
        &mut self,
        index: usize,
        found: &Head,
        keep: u64,
        hash: bool,
    ) -> Result<(Vec<Finding>, Contents), LayerError> {
        let expected = self.head(index)?;
        let content = self.tar.content(index);
        let mut findings = header::differences(&expected, found);
        let contents = self.contents(content, Some(index), found, keep, hash)?;
        if let Some((first, bytes)) = contents.first {
            let mut finding = Finding::new(Field::Content, "content", "", "");
            finding.offset = Some(first);
            finding.tar_offset = Some(contents.at.saturating_add(first));
            finding.bytes = Some(bytes);
            finding.expected = format!("0x{:02x} at {first} of {} bytes", bytes[0], self.size(index));
            finding.found = format!("0x{:02x} at {first} of {} bytes", bytes[1], contents.size);
            finding.cause = self.cause(index, Field::Content, found);
            if let (Some(content), Some(tail)) = (content, &contents.tail)
                && let Some(expected) = self.whole(index, content)?
            {
                let found = [expected.get(..first as usize).unwrap_or_default(), tail].concat();
                let insight = content::look(&expected, &found, first);
                finding.diff = insight.diff;
                if let Some(place) = insight.place {
                    finding.detail = place;
                }
                if let Some(cause) = insight.cause {
                    finding.cause = format!("{cause}; {}", finding.cause);
                }
            }
            findings.push(finding);
        } else if contents.size != self.size(index) && found.size == expected.size && !contents.cut {
            let (one, other) = (self.size(index).to_string(), contents.size.to_string());
            findings.push(Finding::new(Field::Content, "content", one, other).at(contents.at));
        }
        if let Some((at, byte)) = contents.padding {
            let mut finding = Finding::new(Field::Framing, "padding", "zeros", format!("0x{byte:02x}")).at(at);
            finding.bytes = Some([0, byte]);
            findings.push(finding);
        }
        if contents.cut {
            self.cut = Some(self.tar.path(index).to_string());
        }
        for finding in &mut findings {
            finding.entry = Some(self.tar.path(index).to_string());
            finding.origin = Some((self.origins)(&self.tar.entry(index).origin));
            if finding.cause.is_empty() {
                finding.cause = match dialect(&finding.detail) {
                    Some(cause) => cause.to_owned(),
                    None => self.cause(index, finding.field, found),
                };
            }
        }
        Ok((findings, contents))
    }

    /// All bytes of a content, where they are few enough.
    fn whole(&self, index: usize, content: &Content) -> Result<Option<Vec<u8>>, LayerError> {
        if content.size > content::LOOKED_INTO {
            return Ok(None);
        }
        let mut bytes = vec![0; content.size as usize];
        self.read(index, content, 0, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn read(&self, index: usize, content: &Content, from: u64, bytes: &mut [u8]) -> Result<(), LayerError> {
        let path = || self.tar.path(index).to_string();
        content.read_at(from, bytes).map_err(|source| LayerError::Read { path: path(), source })
    }

    /// Reads the content that follows a header, with its padding, and compares it. Where the size in the
    /// header is not the composed one, the blocks themselves say which of both is right.
    fn contents(
        &mut self,
        expected: Option<&Content>,
        index: Option<usize>,
        found: &Head,
        keep: u64,
        hash: bool,
    ) -> Result<Contents, LayerError> {
        let own = expected.map_or(0, |content| content.size);
        let mut size = found.size.unwrap_or(own);
        let blocks = &mut self.reader.blocks;
        // Links, devices and folders have no content, whatever their size says; a file whose kind was
        // damaged has.
        if !has_content(found) && size > 0 && blocks.ends_after(0, true) {
            size = 0;
        }
        let mut run = Run {
            first: None,
            tail: None,
            keep: size.max(own) <= keep,
            size: 0,
            cut: false,
            hasher: hash.then(Sha256Hasher::new),
        };
        let at = blocks.at;
        let block = BLOCK as u64;
        let up = |size: u64| size.next_multiple_of(block);
        let gap = |size: u64| up(size).saturating_sub(size) as usize;
        self.run(&mut run, size.min(own), expected, index)?;
        if size > own {
            let last = index.is_some_and(|index| index.saturating_add(1) == self.tar.entries());
            let lie = index.is_some() && size > up(own) && self.reader.blocks.ends_after(gap(own), last);
            if !lie {
                self.run(&mut run, size.saturating_sub(own), expected, index)?;
            }
        } else if size < own && !run.cut {
            let lie = if up(size) == up(own) {
                let mut rest = vec![0; own.saturating_sub(size) as usize];
                if let (Some(content), Some(index)) = (expected, index) {
                    self.read(index, content, size, &mut rest)?;
                }
                !block::is_zero(&rest) && self.reader.blocks.begins_with(&rest)
            } else {
                index.is_some() && has_content(found) && !self.reader.blocks.ends_after(gap(size), true)
            };
            if lie {
                self.run(&mut run, own.saturating_sub(size), expected, index)?;
            }
        }
        let padding = if run.cut { None } else { self.reader.padding(run.size) };
        Ok(Contents {
            first: run.first,
            at,
            size: run.size,
            tail: run.tail,
            padding,
            cut: run.cut,
            sha256: run.hasher.map(Sha256Hasher::finish),
        })
    }

    /// Reads so many bytes of content.
    fn run(
        &mut self,
        run: &mut Run,
        bytes: u64,
        expected: Option<&Content>,
        index: Option<usize>,
    ) -> Result<(), LayerError> {
        let own = expected.map_or(0, |content| content.size);
        let end = run.size.saturating_add(bytes);
        let mut buffer = Vec::new();
        while run.size < end && !run.cut {
            let shared = own.saturating_sub(run.size).min(end.saturating_sub(run.size)).min(PIECE);
            let comparing = run.first.is_none() && shared > 0;
            let most = if comparing { shared } else { end.saturating_sub(run.size) };
            let piece = self.reader.blocks.take(most);
            if piece.is_empty() {
                run.cut = true;
                break;
            }
            if let Some(hasher) = &mut run.hasher {
                hasher.update(piece);
            }
            let length = piece.len();
            if let Some(tail) = &mut run.tail {
                tail.extend_from_slice(piece);
            }
            if comparing {
                buffer.clear();
                buffer.extend_from_slice(piece);
                let mut bytes = vec![0; length];
                if let (Some(content), Some(index)) = (expected, index) {
                    self.read(index, content, run.size, &mut bytes)?;
                }
                if let Some(at) = bytes.iter().zip(&buffer).position(|(one, other)| one != other) {
                    run.first = Some((run.size.saturating_add(at as u64), [bytes[at], buffer[at]]));
                    run.tail = run.keep.then(|| buffer.get(at..).unwrap_or_default().to_vec());
                }
            }
            run.size = run.size.saturating_add(length as u64);
        }
        Ok(())
    }

    /// What most likely made a field of a composed entry another one.
    fn cause(&self, index: usize, field: Field, found: &Head) -> String {
        let origin = &self.tar.entry(index).origin;
        let edited = match origin {
            Origin::Package(package) => format!(
                "{} differs: edited after the build, or of another version than {}",
                package.name, package.version
            ),
            Origin::Declared { .. } => "the manifest says otherwise: edited there, or after the build".to_owned(),
            Origin::Generated { generator, .. } => {
                format!("{generator} was made from other packages or accounts, or edited after the build")
            }
            Origin::Image { layer, .. } => format!("the layer {layer} of the image below has it otherwise"),
            Origin::Implied => "a folder that nothing declares; made or edited by something else".to_owned(),
        };
        match field {
            Field::Content | Field::Size => edited,
            Field::Mode | Field::Uid | Field::Gid
                if found.mtime == Some(0) || found.block.get(265..329) == Some(&[0; 64]) =>
            {
                edited
            }
            Field::Mode | Field::Uid | Field::Gid => {
                "another tool wrote the entry: it took what it found on a disk".to_owned()
            }
            Field::Mtime => {
                "timestamps: another SOURCE_DATE_EPOCH or `timestamp`, or the entry was written again".to_owned()
            }
            Field::Type => "another kind of entry takes its place: readers make something else of it".to_owned(),
            Field::Link => {
                "the link leads elsewhere: edited after the build, or another version of its package".to_owned()
            }
            Field::Name => "renamed, or another tool writes names otherwise".to_owned(),
            _ => String::new(),
        }
    }

    fn finish(mut self) -> Report {
        let unread = self.reader.blocks.drain();
        debug_assert_eq!(unread, 0, "the reader ends at the end");
        let broken = self.faults.iter().any(|fault| fault.detail == "damaged" || fault.detail == "after the end");
        let pairs = self.pair();
        let mut all: Vec<Finding> = Vec::new();
        let moved = self.moved();
        let furthest = self.matches.iter().rposition(Option::is_some).map_or(0, |last| last.saturating_add(1));
        let lost: BTreeMap<Sha256, usize> = (0..self.tar.entries())
            .filter(|index| self.matches[*index].is_none())
            .filter_map(|index| Some((self.tar.content(index)?.sha256, index)))
            .collect();
        let mut cut_off = 0u64;
        for index in 0..self.tar.entries() {
            let path = self.tar.path(index).to_string();
            let origin = (self.origins)(&self.tar.entry(index).origin);
            match (self.matches[index].take(), pairs.get(&index)) {
                (Some(found), _) => {
                    all.extend(found.findings);
                    if let Some(before) = moved.get(&index) {
                        let before = before.map_or_else(
                            || "the first entry".to_owned(),
                            |before| format!("after {}", self.tar.path(before)),
                        );
                        let expected = match index.checked_sub(1) {
                            Some(before) => format!("after {}", self.tar.path(before)),
                            None => "the first entry".to_owned(),
                        };
                        let mut finding = Finding::new(Field::Order, "order", expected, before);
                        finding.entry = Some(path);
                        finding.origin = Some(origin);
                        all.push(finding.because("another tool wrote the layer, or somebody put it together again"));
                    }
                }
                (None, Some(extra)) => {
                    let extra = &mut self.extras[*extra];
                    if let Some((_, findings, _)) = &mut extra.instead {
                        all.append(findings);
                    }
                }
                (None, None) if self.cut.is_some() && index >= furthest => cut_off = cut_off.saturating_add(1),
                (None, None) => {
                    let kind = match &self.tar.entry(index).node {
                        Node::Symlink(target) => format!("a symbolic link to {}", header::show(target)),
                        node => format!("{}, {}", node.kind(), self.tar.entry(index).attributes),
                    };
                    let mut finding = Finding::new(Field::Missing, "entry", kind, "nothing");
                    finding.entry = Some(path);
                    finding.origin = Some(origin);
                    all.push(finding.because("removed after the build, or composed by other manifests or packages"));
                }
            }
        }
        let paired: std::collections::BTreeSet<usize> = pairs.into_values().collect();
        for (at, extra) in self.extras.iter().enumerate() {
            if paired.contains(&at) {
                continue;
            }
            all.push(self.one_too_many(extra, &lost));
        }
        if let Some(finding) =
            self.faults.iter_mut().find(|fault| matches!(&*fault.detail, "damaged" | "end of archive"))
            && cut_off > 0
        {
            finding.cause.push_str(&format!("; {cut_off} of {} entries are cut off", self.tar.entries()));
        }
        all.append(&mut self.faults);
        let count = (all.len() as u64).saturating_add(self.more_extras).saturating_add(self.more_faults);
        let summary = summary(&all);
        // Of what could not be read to its end nothing is known.
        let diff_id = (!broken).then(|| DiffId(self.reader.blocks.into_inner().hasher.finish()));
        Report { findings: all, count, summary, diff_id }
    }

    fn one_too_many(&self, extra: &Extra, lost: &BTreeMap<Sha256, usize>) -> Finding {
        let path = shown(&extra.head.name);
        let name = path_of(&extra.head.name);
        let whiteout = name.as_ref().and_then(|name| name.name().strip_prefix(b".wh.").map(printable));
        let cause = match (whiteout, extra.again, lost.get(&extra.sha256)) {
            (Some(of), ..) if of == ".wh..opq" => {
                "a whiteout: whoever unpacks the layer deletes all that lower layers have in this folder".to_owned()
            }
            (Some(of), ..) => format!("a whiteout: whoever unpacks the layer deletes {of} of the layers below"),
            (None, true, _) => "a second entry of this path: readers take the last one".to_owned(),
            (None, false, Some(from)) if extra.size > 0 => {
                format!("it has the content of {}, which is missing: renamed or moved", self.tar.path(*from))
            }
            (None, false, _) => "added after the build, or composed by other manifests or packages".to_owned(),
        };
        let mut finding =
            Finding::new(Field::Extra, "entry", "nothing", header::describe(&extra.head, extra.size)).at(extra.head.at);
        finding.entry = Some(path);
        finding.because(cause)
    }

    /// Which extra entry is which missing one under another name: by the composed entry's place.
    fn pair(&self) -> BTreeMap<usize, usize> {
        let mut pairs = BTreeMap::new();
        for (at, extra) in self.extras.iter().enumerate() {
            let Some((index, findings, same)) = &extra.instead else { continue };
            if self.matches[*index].is_some() || pairs.contains_key(index) {
                continue;
            }
            // Alike but for the name: what else differs is one field, or nothing of the content.
            let Ok(expected) = self.head(*index) else { continue };
            let others = STRETCHES.iter().filter(|stretch| {
                !matches!(stretch.name, "name" | "prefix" | "checksum" | "link name")
                    && stretch.first_difference(&expected.block, &extra.head.block).is_some()
            });
            let others = others.count();
            let whiteout = path_of(&extra.head.name).is_some_and(|path| path.name().starts_with(b".wh."));
            if !whiteout
                && !findings.is_empty()
                && (others == 0 && *same || others <= 1 && (*same || self.size(*index) == 0))
            {
                pairs.insert(*index, at);
            }
        }
        pairs
    }

    /// The entries that are out of place, each with the one that it follows in the given tar.
    fn moved(&self) -> BTreeMap<usize, Option<usize>> {
        let order: Vec<usize> = self.order.iter().flatten().copied().collect();
        // The longest rising sequence stays (patience sorting).
        let mut piles: Vec<usize> = Vec::new();
        let mut before: Vec<Option<usize>> = vec![None; order.len()];
        for (at, index) in order.iter().enumerate() {
            let pile = piles.partition_point(|top| order[*top] < *index);
            before[at] = pile.checked_sub(1).map(|pile| piles[pile]);
            if pile == piles.len() {
                piles.push(at);
            } else {
                piles[pile] = at;
            }
        }
        let mut stays = vec![false; order.len()];
        let mut next = piles.last().copied();
        while let Some(at) = next {
            stays[at] = true;
            next = before[at];
        }
        let places = order.iter().enumerate().filter(|(at, _)| !stays[*at]);
        places.map(|(at, index)| (*index, at.checked_sub(1).map(|before| order[before]))).collect()
    }
}

/// What made a tar's own bytes other ones; `None` for what they say of the entry.
fn dialect(detail: &str) -> Option<&'static str> {
    Some(match detail {
        "padding" | "header padding" => {
            "bytes that no reader looks at: something is hidden there, or another tool left it"
        }
        "checksum" => "the header was edited without its checksum: most readers refuse the layer",
        "checksum, written otherwise" | "magic" | "version" | "devmajor" | "devminor" | "prefix" => {
            "another tool wrote the tar, in another dialect"
        }
        "uname" | "gname" => "another tool wrote the tar, with the names of its own host",
        "records" => "another tool wrote the tar: long names or pax records as ours does not write them",
        detail if detail.starts_with("record ") || detail.starts_with("pax record ") => {
            "another tool wrote the tar, or its bytes were edited"
        }
        _ => return None,
    })
}

/// What explains everything at once.
fn summary(all: &[Finding]) -> Option<String> {
    let (first, rest) = all.split_first()?;
    if rest.is_empty() {
        return None;
    }
    let every = |test: &dyn Fn(&Finding) -> bool| test(first) && rest.iter().all(test);
    let text = if every(&|finding| finding.field == Field::Mtime) {
        "timestamps only: another SOURCE_DATE_EPOCH or `timestamp` in archive.toml"
    } else if every(&|finding| matches!(&*finding.detail, "uname" | "gname")) {
        "names of owners only: another tool wrote the tar"
    } else if every(&|finding| finding.field == Field::Order) {
        "order only: the same entries, put together by another tool"
    } else if every(&|finding| {
        matches!(
            &*finding.detail,
            "magic"
                | "version"
                | "checksum, written otherwise"
                | "uname"
                | "gname"
                | "devmajor"
                | "devminor"
                | "prefix"
                | "end of archive"
                | "records"
                | "mtime"
                | "name"
                | "target"
        ) && !matches!(finding.field, Field::Extra | Field::Missing | Field::Content)
    }) {
        "the same files, in the dialect of another tar"
    } else {
        return None;
    };
    Some(text.to_owned())
}
