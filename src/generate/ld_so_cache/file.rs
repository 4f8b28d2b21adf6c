//! The bytes of ld.so.cache, format "glibc-ld.so.cache1.1" with its extensions, as glibc 2.33 and
//! later write it (its sysdeps/generic/dl-cache.h describes it). Numbers stand in the byte order of the
//! architecture.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// `cache_file_new_flags_endian_little`; the big one is 3.
const LITTLE: u8 = 2;
const BIG: u8 = 3;
/// Bytes of the header, and of one entry.
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// `cache_extension_magic`: -358342284 as 32 bits.
const EXTENSIONS: u32 = 0xeaa4_2174;
const GENERATOR: u32 = 0;
const HWCAPS: u32 = 1;
/// The bit of an entry's `hwcap` that makes it an index into the list of glibc-hwcaps subfolders.
const IS_INDEX: u64 = 1 << 62;

/// One library that the loader finds without looking into folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Library {
    /// What programs ask for.
    pub soname: Vec<u8>,
    /// Where it is.
    pub path: Vec<u8>,
    /// libc6, and for which calling convention.
    pub flags: u32,
    /// The subfolder of glibc-hwcaps that it is in.
    pub hwcaps: Option<Vec<u8>>,
    /// The x86 level that its own note asks for.
    pub isa_level: u32,
}

/// The order of entries: the loader searches them by halves. Sonames descend; entries of one soname
/// stand with those for better processors first.
pub(super) fn order(one: &Library, other: &Library) -> Ordering {
    let name = libcmp(&other.soname, &one.soname);
    let hwcaps = || match (&one.hwcaps, &other.hwcaps) {
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (one, other) => one.cmp(other),
    };
    name.then(other.flags.cmp(&one.flags)).then_with(hwcaps).then(other.isa_level.cmp(&one.isa_level))
}

/// Bytes in their order, but runs of digits by their value (glibc's `_dl_cache_libcmp`).
pub(super) fn libcmp(one: &[u8], other: &[u8]) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        match (one.first(), other.first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.is_ascii_digit(), b.is_ascii_digit()) {
                (true, true) => {
                    let (value, rest) = number(one);
                    let (other_value, other_rest) = number(other);
                    if value != other_value {
                        // A difference, as there: it may turn around where numbers are absurd.
                        return value.wrapping_sub(other_value).cmp(&0);
                    }
                    (one, other) = (rest, other_rest);
                }
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                (false, false) if a != b => return a.cmp(b),
                (false, false) => (one, other) = (&one[1..], &other[1..]),
            },
        }
    }
}

/// A run of digits as a C `int`, and what follows it.
fn number(text: &[u8]) -> (i32, &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let add = |value: i32, digit: &u8| value.wrapping_mul(10).wrapping_add(i32::from(*digit - b'0'));
    (digits.iter().fold(0, add), rest)
}

/// The whole file. `libraries` stand in their [`order`]; `subfolders` are all of glibc-hwcaps that were
/// looked into, used or not: their names are among the strings.
pub(super) fn write(
    libraries: &[Library],
    subfolders: &BTreeSet<Vec<u8>>,
    generator: &[u8],
    big_endian: bool,
) -> Vec<u8> {
    let used: BTreeSet<&[u8]> = libraries.iter().filter_map(|library| library.hwcaps.as_deref()).collect();
    let index: BTreeMap<&[u8], u64> = used.iter().copied().zip(0..).collect();
    let all = libraries.iter().flat_map(|library| [&library.soname, &library.path]).chain(subfolders);
    let (strings, places) = strings(all.map(Vec::as_slice).collect());
    let start = HEADER + ENTRY * libraries.len();
    let place = |text: &[u8]| start + places.get(text).copied().unwrap_or_default();
    let extensions = (start + strings.len()).next_multiple_of(4);

    let mut out = Out { bytes: Vec::with_capacity(extensions + 256), big_endian };
    out.bytes.extend_from_slice(MAGIC);
    out.word(libraries.len());
    out.word(strings.len());
    out.bytes.extend_from_slice(&[if big_endian { BIG } else { LITTLE }, 0, 0, 0]);
    out.word(extensions);
    out.bytes.extend_from_slice(&[0; 12]);
    for library in libraries {
        out.word(library.flags as usize);
        out.word(place(&library.soname));
        out.word(place(&library.path));
        out.word(0); // once the kernel's version
        let hwcap = library.hwcaps.as_deref().and_then(|name| index.get(name));
        let hwcap = hwcap.map_or(0, |index| IS_INDEX | u64::from(library.isa_level) << 32 | index);
        out.long(hwcap);
    }
    out.bytes.extend_from_slice(&strings);
    out.bytes.resize(extensions, 0);

    let sections = if used.is_empty() { 1 } else { 2 };
    let list = extensions + 8 + 16 * sections;
    let text = list + 4 * used.len();
    out.word(EXTENSIONS as usize);
    out.word(sections);
    out.section(GENERATOR, text, generator.len());
    if !used.is_empty() {
        out.section(HWCAPS, list, 4 * used.len());
    }
    for name in &used {
        out.word(place(name));
    }
    out.bytes.extend_from_slice(generator);
    out.bytes
}

/// All strings in one table, each with its NUL: in descending order of their bytes from the last one on,
/// so that one that ends another follows it and shares its bytes; and where each begins.
fn strings(mut all: Vec<&[u8]>) -> (Vec<u8>, BTreeMap<&[u8], usize>) {
    all.sort_by(|one, other| other.iter().rev().cmp(one.iter().rev()));
    all.dedup();
    let (mut table, mut places) = (Vec::new(), BTreeMap::new());
    let mut previous: &[u8] = b"";
    for text in all {
        if previous.is_empty() || !previous.ends_with(text) {
            table.extend_from_slice(text);
            table.push(0);
        }
        // What ends the previous one ends where it ends.
        places.insert(text, table.len() - 1 - text.len());
        previous = text;
    }
    if table.is_empty() {
        table.push(0);
    }
    (table, places)
}

struct Out {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Out {
    /// 32 bits: a cache of 4 GiB is beyond what trees are bounded to.
    fn word(&mut self, value: usize) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn long(&mut self, value: u64) {
        self.bytes.extend_from_slice(&if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn section(&mut self, tag: u32, offset: usize, size: usize) {
        self.word(tag as usize);
        self.word(0);
        self.word(offset);
        self.word(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        for (one, other, expected) in [
            ("libz.so.1", "libz.so.1", Ordering::Equal),
            ("libz.so.10", "libz.so.9", Ordering::Greater),
            ("libz.so.1", "libz.so", Ordering::Greater),
            ("libz.so.1", "libz.so.a", Ordering::Greater),
            ("liba-2.so", "liba-b.so", Ordering::Greater),
            ("libBrokenLocale.so.1", "liba.so", Ordering::Less),
            ("lib01.so", "lib1.so", Ordering::Equal),
            ("lib4294967296.so", "lib0.so", Ordering::Equal),
        ] {
            assert_eq!(libcmp(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
        }
    }

    #[test]
    fn one_that_ends_another_shares_its_bytes() {
        let (table, places) =
            strings(vec![b"libz.so.1", b"/lib/libz.so.1", b"/lib/libbz.so.1", b"bz.so.1", b"libz.so.1"]);
        assert_eq!(table, b"/lib/libz.so.1\0/lib/libbz.so.1\0");
        for (text, place) in places {
            assert_eq!(&table[place..place + text.len() + 1], [text, b"\0"].concat());
        }
        assert_eq!(strings(Vec::new()).0, [0]);
    }

    #[test]
    fn the_byte_order_is_the_architectures() {
        let [little, big] = [false, true].map(|big| write(&[], &BTreeSet::new(), b"x", big));
        assert_eq!(little.len(), big.len());
        assert_eq!((little[28], big[28]), (2, 3));
        assert_eq!(&little[32..36], [52, 0, 0, 0]);
        assert_eq!(&big[32..36], [0, 0, 0, 52]);
    }
}
