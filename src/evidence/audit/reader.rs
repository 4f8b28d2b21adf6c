//! A tar as it lies there: every block is looked at, nothing is corrected, and nothing that is wrong
//! ends the reading before the bytes do. Bounded: a window of the stream, and one entry's records.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use super::block::{self, BLOCK, Block};

/// Bytes that are read at a time; a multiple of a block.
const WINDOW: usize = 256 << 10;
/// Bytes of one record's data: a hundred times what paths and extended attributes may have.
const LONGEST_RECORD: u64 = 16 << 20;
/// Records of one entry.
const MOST_RECORDS: usize = 16;

/// A tar's bytes in blocks.
pub(super) struct Blocks<R> {
    inner: R,
    window: Vec<u8>,
    start: usize,
    end: usize,
    done: bool,
    /// Where the next byte lies in the tar.
    pub at: u64,
    /// Why the bytes ended too early.
    pub fault: Option<io::Error>,
}

impl<R: Read> Blocks<R> {
    /// A window holds two blocks at least.
    fn new(inner: R, window: usize) -> Self {
        Self { inner, window: vec![0; window.max(2 * BLOCK)], start: 0, end: 0, done: false, at: 0, fault: None }
    }

    /// What lies ahead; less than a block only at the end.
    fn ahead(&mut self) -> &[u8] {
        if self.end.saturating_sub(self.start) < BLOCK && !self.done {
            self.refill();
        }
        self.window.get(self.start..self.end).unwrap_or_default()
    }

    fn refill(&mut self) {
        self.window.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        while self.end < self.window.len() && !self.done {
            match self.inner.read(&mut self.window[self.end..]) {
                Ok(0) => self.done = true,
                Ok(count) => self.end = self.end.saturating_add(count).min(self.window.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.fault = Some(error);
                    self.done = true;
                }
            }
        }
    }

    /// The next block, which stays; `None` where less than one is left.
    pub fn peek(&mut self) -> Option<&Block> {
        self.ahead().first_chunk()
    }

    /// At most `most` bytes, which are then gone; empty at the end.
    pub fn take(&mut self, most: u64) -> &[u8] {
        let count = (self.ahead().len() as u64).min(most) as usize;
        let from = self.start;
        self.start = self.start.saturating_add(count);
        self.at = self.at.saturating_add(count as u64);
        self.window.get(from..self.start).unwrap_or_default()
    }

    /// Reads all that is left, and counts it.
    pub fn drain(&mut self) -> u64 {
        let before = self.at;
        while !self.take(u64::MAX).is_empty() {}
        self.at.saturating_sub(before)
    }

    /// Whether the next block is none of a file's content: a header whose checksum is right.
    pub fn header_ahead(&mut self) -> bool {
        self.peek().is_some_and(|block| block::sealed(block) && block::is_header(block))
    }

    /// Whether these bytes, less than a block, come next.
    pub fn begins_with(&mut self, bytes: &[u8]) -> bool {
        self.ahead().starts_with(bytes)
    }

    /// What the bytes were read from.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Whether a header comes so many bytes ahead, or nothing does, or (where they count) zeros.
    pub fn ends_after(&mut self, bytes: usize, zeros: bool) -> bool {
        if self.end.saturating_sub(self.start) < 2 * BLOCK && !self.done {
            // Two blocks are wanted: the window is filled again.
            self.refill();
        }
        let ahead = self.window.get(self.start..self.end).unwrap_or_default();
        match ahead.get(bytes..).and_then(|ahead| ahead.first_chunk()) {
            Some(block) => zeros && block::is_zero(block) || block::sealed(block) && block::is_header(block),
            None => true,
        }
    }

    /// Whether the next block is zeros.
    pub fn zeros_ahead(&mut self) -> bool {
        self.peek().is_some_and(|block| block::is_zero(block))
    }
}

/// A block about the entry that follows, and its data.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Where its header lies in the tar.
    pub at: u64,
    pub head: Block,
    /// What it is: its own kind, or what it is surely meant to be where that was damaged.
    pub kind: u8,
    pub data: Vec<u8>,
    /// Zeros, up to a full block, that are none.
    pub padding: Option<(u64, u8)>,
}

/// The header of an entry with all that is said before it.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Where the header lies in the tar.
    pub at: u64,
    pub records: Vec<Record>,
    pub block: Block,
    pub kind: u8,
    /// What a reader of the tar takes for the name.
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    /// Numbers; `None` where the bytes are none.
    pub mode: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub size: Option<u64>,
    pub mtime: Option<u64>,
    /// Records of pax but for those that say a field.
    pub extra: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What comes next in a tar.
pub(super) enum Item {
    /// An entry; its content comes next.
    Entry(Box<Head>),
    /// Blocks of zeros.
    Zeros { blocks: u64 },
    /// Bytes that are no header.
    Garbage { at: u64, bytes: u64 },
    /// The bytes end, with records that are about nothing.
    End { records: usize },
}

/// Reads headers.
pub(super) struct Reader<R> {
    pub blocks: Blocks<R>,
    records: Vec<Record>,
}

impl<R: Read> Reader<R> {
    pub fn new(inner: R) -> Self {
        Self { blocks: Blocks::new(inner, WINDOW), records: Vec::new() }
    }

    /// What comes next. `known` says whether a name belongs to an entry that is surely no record, for
    /// where a damaged kind says otherwise.
    pub fn next(&mut self, known: impl Fn(&[u8]) -> bool) -> Item {
        loop {
            let at = self.blocks.at;
            let Some(block) = self.blocks.peek().copied() else {
                let bytes = self.blocks.drain();
                if bytes > 0 {
                    return Item::Garbage { at, bytes };
                }
                return Item::End { records: std::mem::take(&mut self.records).len() };
            };
            if block::is_zero(&block) {
                let mut blocks = 0u64;
                while self.blocks.zeros_ahead() {
                    self.blocks.take(BLOCK as u64);
                    blocks = blocks.saturating_add(1);
                }
                return Item::Zeros { blocks };
            }
            if !block::is_header(&block) {
                while self.blocks.peek().is_some_and(|block| !block::is_zero(block) && !block::is_header(block)) {
                    self.blocks.take(BLOCK as u64);
                }
                if self.blocks.peek().is_none() {
                    self.blocks.drain();
                }
                return Item::Garbage { at, bytes: self.blocks.at.saturating_sub(at) };
            }
            self.blocks.take(BLOCK as u64);
            match record_kind(&block, &known) {
                Some(kind) if self.records.len() < MOST_RECORDS => {
                    let record = self.record(at, block, kind);
                    self.records.push(record);
                }
                _ => return Item::Entry(Box::new(Head::new(at, block, std::mem::take(&mut self.records)))),
            }
        }
    }

    fn record(&mut self, at: u64, head: Block, kind: u8) -> Record {
        let size = block::number(block::SIZE.of(&head)).unwrap_or(BLOCK as u64).min(LONGEST_RECORD);
        let mut data = Vec::new();
        // No name, link or pax record is a header: where one comes, the size was a lie.
        while (data.len() as u64) < size && !(self.blocks.header_ahead()) {
            let piece = self.blocks.take(size.saturating_sub(data.len() as u64).min(BLOCK as u64));
            if piece.is_empty() {
                break;
            }
            data.extend_from_slice(piece);
        }
        let padding = self.padding(data.len() as u64);
        Record { at, head, kind, data, padding }
    }

    /// Reads the zeros that follow `size` bytes of content; the place (in the tar) and value of the
    /// first that is none.
    pub fn padding(&mut self, size: u64) -> Option<(u64, u8)> {
        let start = self.blocks.at;
        let count = size.next_multiple_of(BLOCK as u64).saturating_sub(size);
        let bytes = self.blocks.take(count);
        let found = bytes.iter().position(|byte| *byte != 0)?;
        Some((start.saturating_add(found as u64), *bytes.get(found)?))
    }
}

/// The name of GNU's records, and of our pax records: no path of a layer.
const LONG: &[u8] = b"././@LongLink";
const PAX: &[u8] = b"././@PaxHeader";

/// The kind of a record; `None` for an entry.
fn record_kind(block: &Block, known: impl Fn(&[u8]) -> bool) -> Option<u8> {
    let [kind, ..] = *block::KIND.of(block) else { return None };
    let name = block::NAME.text(block);
    match kind {
        b'x' | b'g' | b'X' | b'K' | b'L' => (!known(name)).then_some(kind),
        _ if name == LONG => Some(0),
        _ if name == PAX => Some(b'x'),
        _ => None,
    }
}

impl Head {
    fn new(at: u64, block: Block, records: Vec<Record>) -> Self {
        let prefix = match block::STRETCHES.get(15) {
            // GNU's own format keeps times there.
            Some(prefix) if block.get(257..263) == Some(b"ustar\0") => prefix.text(&block),
            _ => b"",
        };
        let name = block::NAME.text(&block);
        let name = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
        let mut head = Self {
            at,
            kind: block::KIND.of(&block).first().copied().unwrap_or_default(),
            name,
            link: block::LINK.text(&block).to_vec(),
            mode: block::number(block::MODE.of(&block)),
            uid: block::number(block::UID.of(&block)),
            gid: block::number(block::GID.of(&block)),
            size: block::number(block::SIZE.of(&block)),
            mtime: block::number(block::MTIME.of(&block)),
            extra: BTreeMap::new(),
            records: Vec::new(),
            block,
        };
        records.iter().for_each(|record| head.apply(record));
        head.records = records;
        head
    }

    /// The header of an entry that is given as bytes: records, then the header itself.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { blocks: Blocks::new(bytes, bytes.len()), records: Vec::new() };
        match reader.next(|_| false) {
            Item::Entry(head) => Some(*head),
            _ => None,
        }
    }

    fn apply(&mut self, record: &Record) {
        let text = || record.data.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        match record.kind {
            b'L' => self.name = text(),
            b'K' => self.link = text(),
            b'x' | b'g' => pax(&record.data, |key, value| self.say(key, value)),
            // A record of GNU's whose kind was damaged: what it is about shows in the header.
            0 => {
                let text = text();
                let begins = |field: block::Stretch, block: &Block| {
                    let field = field.of(block);
                    text.get(..field.len()) == Some(field)
                };
                if begins(block::NAME, &self.block) {
                    self.name = text;
                } else if begins(block::LINK, &self.block) {
                    self.link = text;
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, key: &[u8], value: &[u8]) {
        let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        match key {
            b"path" => self.name = value.to_vec(),
            b"linkpath" => self.link = value.to_vec(),
            b"size" => self.size = number(),
            b"uid" => self.uid = number(),
            b"gid" => self.gid = number(),
            b"mtime" => {
                let whole = std::str::from_utf8(value).ok().and_then(|text| text.split('.').next());
                self.mtime = whole.and_then(|text| text.parse().ok());
                if value.contains(&b'.') {
                    self.extra.insert(key.to_vec(), value.to_vec());
                }
            }
            key => drop(self.extra.insert(key.to_vec(), value.to_vec())),
        }
    }
}

/// Records `<length> <key>=<value>\n`; stops where the bytes are none.
fn pax(mut data: &[u8], mut say: impl FnMut(&[u8], &[u8])) {
    while let Some(space) = data.iter().take(20).position(|byte| *byte == b' ') {
        let digits = data.get(..space).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(length) = digits.and_then(|digits| digits.parse::<usize>().ok()) else { return };
        let Some(record) = data.get(space.saturating_add(1)..length) else { return };
        let Some(record) = record.strip_suffix(b"\n") else { return };
        let Some(equals) = record.iter().position(|byte| *byte == b'=') else { return };
        let (key, value) = record.split_at(equals);
        say(key, value.get(1..).unwrap_or_default());
        data = data.get(length..).unwrap_or_default();
    }
}
