//! One header block, byte by byte: which bytes are which field, and what they say (POSIX pax, "ustar
//! Interchange Format"; GNU tar manual, "Basic Tar Format").

use super::Field;

/// The size of a tar block.
pub(super) const BLOCK: usize = 512;
/// A block.
pub(super) type Block = [u8; BLOCK];

/// A stretch of a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Where it begins.
    pub at: usize,
    /// Its bytes.
    pub len: usize,
    /// The contract's word for it.
    pub field: Field,
    /// The format's word for it.
    pub name: &'static str,
}

const fn stretch(at: usize, len: usize, field: Field, name: &'static str) -> Stretch {
    Stretch { at, len, field, name }
}

pub(super) const NAME: Stretch = stretch(0, 100, Field::Name, "name");
pub(super) const MODE: Stretch = stretch(100, 8, Field::Mode, "mode");
pub(super) const UID: Stretch = stretch(108, 8, Field::Uid, "uid");
pub(super) const GID: Stretch = stretch(116, 8, Field::Gid, "gid");
pub(super) const SIZE: Stretch = stretch(124, 12, Field::Size, "size");
pub(super) const MTIME: Stretch = stretch(136, 12, Field::Mtime, "mtime");
pub(super) const CHECKSUM: Stretch = stretch(148, 8, Field::Framing, "checksum");
pub(super) const KIND: Stretch = stretch(156, 1, Field::Type, "type");
pub(super) const LINK: Stretch = stretch(157, 100, Field::Link, "link name");
const MAGIC: Stretch = stretch(257, 6, Field::Framing, "magic");
const PREFIX: Stretch = stretch(345, 155, Field::Name, "prefix");

/// All of a block, in order.
pub(super) const STRETCHES: [Stretch; 17] = [
    NAME,
    MODE,
    UID,
    GID,
    SIZE,
    MTIME,
    CHECKSUM,
    KIND,
    LINK,
    MAGIC,
    stretch(263, 2, Field::Framing, "version"),
    stretch(265, 32, Field::Uid, "uname"),
    stretch(297, 32, Field::Gid, "gname"),
    stretch(329, 8, Field::Type, "devmajor"),
    stretch(337, 8, Field::Type, "devminor"),
    PREFIX,
    stretch(500, 12, Field::Framing, "header padding"),
];

impl Stretch {
    /// Its bytes in a block.
    pub fn of(self, block: &Block) -> &[u8] {
        block.get(self.at..self.at.saturating_add(self.len)).unwrap_or_default()
    }

    /// Its bytes up to the first NUL.
    pub fn text(self, block: &Block) -> &[u8] {
        let bytes = self.of(block);
        bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
    }

    /// Where it first differs between two blocks, counted from the block's begin.
    pub fn first_difference(self, one: &Block, other: &Block) -> Option<usize> {
        let at = self.of(one).iter().zip(self.of(other)).position(|(one, other)| one != other)?;
        Some(self.at.saturating_add(at))
    }
}

/// A number field: octal digits between spaces and NULs, or a base-256 number (GNU tar, "Large or
/// Negative Values"). `None` for what is neither, or negative.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    if *first & 0x80 != 0 {
        if *first & 0x40 != 0 {
            return None;
        }
        let start = u64::from(*first & 0x3f);
        return rest.iter().try_fold(start, |all, byte| all.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let digits = bytes.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0u64, |all, byte| match byte {
        b'0'..=b'7' => all.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// The sum of a block's bytes, those of the checksum taken as spaces.
pub(super) fn sum(block: &Block) -> u64 {
    let all: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = CHECKSUM.of(block).iter().map(|byte| u64::from(*byte)).sum();
    all.saturating_sub(own).saturating_add(8 * 32)
}

/// Whether the checksum is right.
pub(super) fn sealed(block: &Block) -> bool {
    number(CHECKSUM.of(block)) == Some(sum(block))
}

/// Whether a block is a header, be it a damaged one: most of what a header has must be there.
pub(super) fn is_header(block: &Block) -> bool {
    if sealed(block) {
        return !is_zero(block);
    }
    let ustar = MAGIC.of(block).starts_with(b"ustar") || MAGIC.of(block).get(1..5) == Some(b"star");
    let numbers = [MODE, UID, GID, SIZE, MTIME];
    let fitting = numbers.iter().filter(|field| !field.text(block).is_empty() && number(field.of(block)).is_some());
    usize::from(ustar).saturating_mul(2).saturating_add(fitting.count()) >= 5 && !NAME.text(block).is_empty()
}

/// Whether a block is one of the end's.
pub(super) fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// A kind in words.
pub(super) fn kind(byte: u8) -> String {
    let word = match byte {
        b'0' => "regular file",
        0 => "regular file, as old tars have it",
        b'1' => "hard link",
        b'2' => "symbolic link",
        b'3' => "character device",
        b'4' => "block device",
        b'5' => "folder",
        b'6' => "pipe",
        b'7' => "contiguous file",
        b'S' => "sparse file",
        b'x' => "pax record",
        b'g' => "global pax record",
        b'K' => "long link name",
        b'L' => "long name",
        _ => "unknown",
    };
    format!("{} ({word})", crate::ground::printable(&[byte]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stretches_are_the_whole_block() {
        let mut at = 0;
        for stretch in STRETCHES {
            assert_eq!(stretch.at, at, "{}", stretch.name);
            at += stretch.len;
        }
        assert_eq!(at, BLOCK);
    }

    #[test]
    fn numbers() {
        let cases: &[(&[u8], Option<u64>)] = &[
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"00000000", Some(0)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"0000648\0", None),
            (b"644\x001234", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(number(bytes), *expected, "{bytes:?}");
        }
    }
}
