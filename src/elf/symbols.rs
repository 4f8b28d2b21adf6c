//! The symbols of a file: those that it gives to a process, and those that the loader must find
//! before the file can run (gABI chapters 4 and 5; GNU hash tables as glibc reads them).
//!
//! What is wanted is read from the relocations, since these are what the loader looks up; what is given
//! from the hash table, the only way by which the loader finds a name.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    io::ErrorKind,
};

use super::{ElfError, read::malformed};

/// Bytes of one file that are read in all; relocations of the largest programs have some 50 MB.
const MOST_READ: u64 = 256 << 20;
/// Symbols of one file; libLLVM gives some 50,000.
const MOST_SYMBOLS: u64 = 2 << 20;
/// Bytes of names.
const MOST_STRINGS: u64 = 64 << 20;
/// Bytes of the dynamic segment.
const MOST_DYNAMIC: u64 = 1 << 20;
/// Program headers.
const MOST_SEGMENTS: u64 = 1024;
/// Records of symbol versions.
const MOST_VERSIONS: usize = 65_536;
/// The longest name that is taken for one; C++ has some of 10 kB.
const LONGEST_NAME: usize = 64 << 10;

/// One symbol by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Symbol {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its version, if it has one.
    pub version: Option<Box<[u8]>>,
    /// Of what is given: only who asks for the version finds it.
    pub hidden: bool,
}

/// What a file gives and wants, each sorted and once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    /// What others find in it.
    pub given: Vec<Symbol>,
    /// What it cannot do without, weak references left out.
    pub wanted: Vec<Symbol>,
}

/// Reads the symbols of a file of `size` bytes through `read_at`, which fills a buffer from an offset on.
/// Empty for what is no ELF file, has no dynamic segment or no symbols.
///
/// # Errors
/// Whatever `read_at` fails with, tables that lie outside of the file, and more than the largest files have.
pub fn symbols(size: u64, read_at: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> Result<Symbols, ElfError> {
    let mut bytes = Bytes { size, read_at, left: MOST_READ, wide: true, big_endian: false };
    let mut ident = [0; 6];
    if size < 52 {
        return Ok(Symbols::default());
    }
    bytes.fill(0, &mut ident)?;
    if !ident.starts_with(b"\x7fELF") {
        return Ok(Symbols::default());
    }
    (bytes.wide, bytes.big_endian) = (ident[4] == 2, ident[5] == 2);
    match bytes.tables()? {
        Some(tables) => tables.symbols(&mut bytes),
        None => Ok(Symbols::default()),
    }
}

struct Bytes<F> {
    size: u64,
    read_at: F,
    left: u64,
    wide: bool,
    big_endian: bool,
}

/// A stretch of a file that was read.
struct Piece {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Piece {
    /// A number of some bytes at a place; 0 beyond the end, which callers have excluded.
    fn number(&self, at: usize, width: usize) -> u64 {
        let end = at.checked_add(width);
        let bytes = end.and_then(|end| self.bytes.get(at..end)).unwrap_or_default();
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }
}

impl<F: FnMut(u64, &mut [u8]) -> io::Result<()>> Bytes<F> {
    fn fill(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), ElfError> {
        let outside = malformed("a table of symbols lies outside of the file");
        if at.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(outside);
        }
        let left = self.left.checked_sub(buffer.len() as u64);
        self.left = left.ok_or(ElfError::TooMuch { what: "bytes of symbols", limit: MOST_READ })?;
        (self.read_at)(at, buffer).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => outside,
            _ => ElfError::Unreadable(error),
        })
    }

    fn piece(&mut self, at: u64, count: u64) -> Result<Piece, ElfError> {
        // Before memory is taken for it.
        if at.checked_add(count).is_none_or(|end| end > self.size) {
            return Err(malformed("a table of symbols lies outside of the file"));
        }
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| malformed("a table of symbols is too large"))?];
        self.fill(at, &mut bytes)?;
        Ok(Piece { bytes, big_endian: self.big_endian })
    }

    fn tables(&mut self) -> Result<Option<Tables>, ElfError> {
        let word = if self.wide { 8 } else { 4 };
        let header = self.piece(0, if self.wide { 64 } else { 52 })?;
        let (segments_at, sizes_at) = if self.wide { (32, 54) } else { (28, 42) };
        let (at, step) = (header.number(segments_at, word), header.number(sizes_at, 2));
        let count = header.number(sizes_at + 2, 2);
        let least = if self.wide { 56 } else { 32 };
        if count > MOST_SEGMENTS || step < least {
            return Err(malformed("its program headers are of another version"));
        }
        let all = self.piece(at, count * step)?;
        let (mut loads, mut dynamic) = (Vec::new(), None);
        for number in 0..count as usize {
            let base = number * step as usize;
            let field = |wide: usize, narrow: usize| all.number(base + if self.wide { wide } else { narrow }, word);
            let segment = Segment { offset: field(8, 4), address: field(16, 8), size: field(32, 16) };
            match all.number(base, 4) {
                1 => loads.push(segment),
                2 if dynamic.is_none() => dynamic = Some(segment),
                _ => {}
            }
        }
        let Some(dynamic) = dynamic else { return Ok(None) };
        if dynamic.size > MOST_DYNAMIC {
            return Err(ElfError::TooMuch { what: "bytes of dynamic entries", limit: MOST_DYNAMIC });
        }
        let entries = self.piece(dynamic.offset, dynamic.size)?;
        let mut values = BTreeMap::new();
        for entry in 0..entries.bytes.len() / (2 * word) {
            let (tag, value) = (entries.number(entry * 2 * word, word), entries.number((entry * 2 + 1) * word, word));
            if tag == 0 {
                break;
            }
            values.entry(tag).or_insert(value);
        }
        let s390 = header.number(18, 2) == 22 && self.wide;
        Ok(Some(Tables { loads, values, wide_hash: s390 }))
    }
}

struct Segment {
    offset: u64,
    address: u64,
    size: u64,
}

/// Where everything lies.
struct Tables {
    loads: Vec<Segment>,
    /// The dynamic segment, by tag.
    values: BTreeMap<u64, u64>,
    /// `DT_HASH` of 64-bit s390x has words of 8 bytes.
    wide_hash: bool,
}

const PLTRELSZ: u64 = 2;
const HASH: u64 = 4;
const STRTAB: u64 = 5;
const SYMTAB: u64 = 6;
const RELA: u64 = 7;
const RELASZ: u64 = 8;
const STRSZ: u64 = 10;
const REL: u64 = 17;
const RELSZ: u64 = 18;
const PLTREL: u64 = 20;
const JMPREL: u64 = 23;
const GNU_HASH: u64 = 0x6fff_fef5;
const VERSYM: u64 = 0x6fff_fff0;
const VERDEF: u64 = 0x6fff_fffc;
const VERDEFNUM: u64 = 0x6fff_fffd;
const VERNEED: u64 = 0x6fff_fffe;
const VERNEEDNUM: u64 = 0x6fff_ffff;

/// Symbol versions by their number.
#[derive(Default)]
struct Numbered {
    /// The place of the name among the strings, and whether another file defines it.
    names: BTreeMap<u64, (u64, bool)>,
}

impl Tables {
    fn value(&self, tag: u64) -> Option<u64> {
        self.values.get(&tag).copied()
    }

    /// The place in the file of the address that a tag has.
    fn place(&self, tag: u64) -> Result<Option<u64>, ElfError> {
        let Some(address) = self.value(tag) else { return Ok(None) };
        let inside =
            |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|distance| distance < segment.size);
        let segment = self.loads.iter().find(inside).ok_or(malformed("an address lies in no segment"))?;
        let place = segment.offset.checked_add(address - segment.address);
        place.map(Some).ok_or(malformed("a segment lies beyond the largest file"))
    }

    fn symbols<F: FnMut(u64, &mut [u8]) -> io::Result<()>>(&self, bytes: &mut Bytes<F>) -> Result<Symbols, ElfError> {
        let (Some(symtab), Some(strtab)) = (self.place(SYMTAB)?, self.place(STRTAB)?) else {
            return Ok(Symbols::default());
        };
        let wanted = self.relocated(bytes)?;
        let given = self.hashed(bytes)?;
        let last = wanted.last().copied().unwrap_or(0).max(given.end.saturating_sub(1));
        if last >= MOST_SYMBOLS {
            return Err(ElfError::TooMuch { what: "symbols", limit: MOST_SYMBOLS });
        }
        if last == 0 {
            return Ok(Symbols::default());
        }
        let strings_size = self.value(STRSZ).unwrap_or(0);
        if strings_size > MOST_STRINGS {
            return Err(ElfError::TooMuch { what: "bytes of names", limit: MOST_STRINGS });
        }
        let strings = bytes.piece(strtab, strings_size)?;
        let step = if bytes.wide { 24 } else { 16 };
        let table = bytes.piece(symtab, (last + 1) * step)?;
        let numbers = self.place(VERSYM)?.map(|place| bytes.piece(place, (last + 1) * 2)).transpose()?;
        let versions = self.versions(bytes)?;

        let name = |at: u64| {
            let rest = strings.bytes.get(usize::try_from(at).ok()?..)?;
            let end = rest.iter().take(LONGEST_NAME).position(|byte| *byte == 0)?;
            rest.get(..end).map(Box::<[u8]>::from)
        };
        let unnamed = || malformed("a symbol's name lies outside of the dynamic strings");
        let (mut found, step) = (Symbols::default(), step as usize);
        let mut read = |index: u64, sought: bool| -> Result<(), ElfError> {
            let base = index as usize * step;
            let (info_at, section_at) = if bytes.wide { (4, 6) } else { (12, 14) };
            let (binding, section) = (table.number(base + info_at, 1) >> 4, table.number(base + section_at, 2));
            let number = numbers.as_ref().map_or(1, |numbers| numbers.number(index as usize * 2, 2));
            let version = versions.names.get(&(number & 0x7fff)).filter(|_| number & 0x7fff > 1);
            // Copied from a library into the program, which then has it: the library must have it all the same.
            let copied = section != 0 && version.is_some_and(|(_, foreign)| *foreign);
            let local = binding == 0;
            let counts = match sought {
                // STB_WEAK is 2.
                true => !local && binding != 2 && (section == 0 || copied),
                false => !local && section != 0,
            };
            if counts {
                let symbol = Symbol {
                    name: name(table.number(base, 4)).ok_or_else(unnamed)?,
                    version: match version {
                        Some((at, _)) => Some(name(*at).ok_or_else(unnamed)?),
                        None => None,
                    },
                    hidden: !sought && number & 0x8000 != 0,
                };
                if sought { found.wanted.push(symbol) } else { found.given.push(symbol) }
            }
            Ok(())
        };
        for index in &wanted {
            read(*index, true)?;
        }
        for index in given {
            read(index, false)?;
        }
        for list in [&mut found.given, &mut found.wanted] {
            list.sort_unstable();
            list.dedup();
        }
        Ok(found)
    }

    /// The numbers of the symbols that relocations name.
    fn relocated<F: FnMut(u64, &mut [u8]) -> io::Result<()>>(
        &self,
        bytes: &mut Bytes<F>,
    ) -> Result<BTreeSet<u64>, ElfError> {
        let word: usize = if bytes.wide { 8 } else { 4 };
        // Offset and info, and in RELA an addend.
        let plt = if self.value(PLTREL) == Some(RELA) { 3 } else { 2 };
        let tables = [(RELA, RELASZ, 3), (REL, RELSZ, 2), (JMPREL, PLTRELSZ, plt)];
        let (mut found, mut before) = (BTreeSet::new(), 0);
        for (table, size, words) in tables {
            let (Some(mut at), Some(mut left)) = (self.place(table)?, self.value(size)) else { continue };
            let step = words * word;
            let most = (1 << 20) / step * step;
            while left >= step as u64 {
                let count = left.min(most as u64) / step as u64 * step as u64;
                let piece = bytes.piece(at, count)?;
                for entry in 0..count as usize / step {
                    let info = piece.number(entry * step + word, word);
                    let index = if bytes.wide { info >> 32 } else { info >> 8 };
                    if index != 0 && index != before {
                        before = index;
                        if index >= MOST_SYMBOLS {
                            return Err(malformed("a relocation names a symbol that cannot be"));
                        }
                        found.insert(index);
                    }
                }
                (at, left) = (at + count, left - count);
            }
        }
        Ok(found)
    }

    /// The numbers of the symbols that the hash table leads to.
    fn hashed<F: FnMut(u64, &mut [u8]) -> io::Result<()>>(
        &self,
        bytes: &mut Bytes<F>,
    ) -> Result<std::ops::Range<u64>, ElfError> {
        let too_many = || ElfError::TooMuch { what: "symbols", limit: MOST_SYMBOLS };
        if let Some(place) = self.place(GNU_HASH)? {
            let header = bytes.piece(place, 16)?;
            let (buckets, first, bloom) = (header.number(0, 4), header.number(4, 4), header.number(8, 4));
            if buckets > MOST_SYMBOLS || bloom > MOST_SYMBOLS {
                return Err(too_many());
            }
            let at = place + 16 + bloom * if bytes.wide { 8 } else { 4 };
            let table = bytes.piece(at, buckets * 4)?;
            let last = (0..buckets as usize).map(|bucket| table.number(bucket * 4, 4)).max().unwrap_or(0);
            if last == 0 || last < first {
                return Ok(0..0);
            }
            // The chain of the last bucket ends at an odd hash.
            for index in last..MOST_SYMBOLS {
                let chain = bytes.piece(at + buckets * 4 + (index - first) * 4, 4)?;
                if chain.number(0, 4) & 1 == 1 {
                    return Ok(first.max(1)..index + 1);
                }
            }
            return Err(too_many());
        }
        let Some(place) = self.place(HASH)? else { return Ok(0..0) };
        let width: usize = if self.wide_hash { 8 } else { 4 };
        let count = bytes.piece(place, 2 * width as u64)?.number(width, width);
        if count > MOST_SYMBOLS { Err(too_many()) } else { Ok(1..count.max(1)) }
    }

    fn versions<F: FnMut(u64, &mut [u8]) -> io::Result<()>>(&self, bytes: &mut Bytes<F>) -> Result<Numbered, ElfError> {
        let mut found = Numbered::default();
        let mut records = 0;
        let mut next = |at: u64, step: u64| -> Result<Option<u64>, ElfError> {
            records += 1;
            if records > MOST_VERSIONS {
                return Err(ElfError::TooMuch { what: "symbol versions", limit: MOST_VERSIONS as u64 });
            }
            Ok(if step == 0 { None } else { at.checked_add(step) })
        };
        let mut at = self.place(VERNEED)?;
        for _ in 0..self.value(VERNEEDNUM).unwrap_or(0) {
            let Some(here) = at else { break };
            let record = bytes.piece(here, 16)?;
            let mut part = next(here, record.number(8, 4))?;
            for _ in 0..record.number(2, 2) {
                let Some(place) = part else { break };
                let aux = bytes.piece(place, 16)?;
                found.names.insert(aux.number(6, 2) & 0x7fff, (aux.number(8, 4), true));
                part = next(place, aux.number(12, 4))?;
            }
            at = next(here, record.number(12, 4))?;
        }
        let mut at = self.place(VERDEF)?;
        for _ in 0..self.value(VERDEFNUM).unwrap_or(0) {
            let Some(here) = at else { break };
            let record = bytes.piece(here, 20)?;
            // VER_FLG_BASE names the file itself.
            if let Some(place) = next(here, record.number(12, 4))?.filter(|_| record.number(2, 2) & 1 == 0) {
                let name = bytes.piece(place, 8)?.number(0, 4);
                found.names.insert(record.number(4, 2) & 0x7fff, (name, false));
            }
            at = next(here, record.number(16, 4))?;
        }
        Ok(found)
    }
}
