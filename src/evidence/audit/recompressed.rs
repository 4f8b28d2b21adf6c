//! Equal tars in other compressions: where the compressed bytes part, and what that byte is.

use std::io::{self, BufRead, Read, Write};

use flate2::bufread::GzDecoder;

use super::{
    Field, Finding,
    given::{Compression, Given},
};
use crate::ground::printable;

/// Takes what is written and compares it with the bytes of a reader, as far as both are equal.
pub struct Alongside<R> {
    inner: R,
    buffer: Vec<u8>,
    equal: u64,
    parted: bool,
    /// The composed and the given byte where both have one.
    bytes: Option<[u8; 2]>,
}

impl<R: Read> Alongside<R> {
    /// Compares with these bytes.
    pub fn new(inner: R) -> Self {
        Self { inner, buffer: Vec::new(), equal: 0, parted: false, bytes: None }
    }

    /// Once all is written: where the bytes part, and both bytes there; `None` where they are equal. Bytes
    /// that cannot be read count as none.
    pub fn finish(mut self) -> Option<(u64, Option<[u8; 2]>)> {
        let mut one = [0];
        let more = !self.parted && !matches!(self.inner.read(&mut one), Ok(0));
        (self.parted || more).then_some((self.equal, self.bytes))
    }
}

impl<R: Read> Write for Alongside<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.parted {
            self.buffer.resize(rest.len().min(256 << 10), 0);
            let count = match self.inner.read(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            let same = rest.iter().zip(self.buffer.iter().take(count)).take_while(|(one, other)| one == other).count();
            self.equal = self.equal.saturating_add(same as u64);
            if same < count || count == 0 {
                self.parted = true;
                self.bytes = match (rest.get(same), self.buffer.get(same).filter(|_| same < count)) {
                    (Some(one), Some(other)) => Some([*one, *other]),
                    _ => None,
                };
            }
            rest = rest.get(same..).unwrap_or_default();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fixed part of a gzip member's header (RFC 1952, 2.3).
const GZIP_HEADER: u64 = 10;

/// What to say of a layer whose tar is the composed one, and whose compressed bytes part at `parted`
/// from those that are composed (`None`: nothing of this kind is composed). `members` is how many
/// members or frames the composed form has.
pub fn recompressed(
    given: &Given,
    compression: Compression,
    members: usize,
    parted: Option<(u64, Option<[u8; 2]>)>,
) -> io::Result<Finding> {
    let Some((offset, bytes)) = parted else {
        let finding =
            Finding::new(Field::Compression, "form", "tar, gzip or zstd as ours writes them", compression.word());
        return Ok(finding.because("compressed by another program; the tar is the same"));
    };
    let mut finding = Finding::new(Field::Compression, "", "", "");
    finding.offset = Some(offset);
    finding.bytes = bytes;
    if let Some([one, other]) = bytes {
        (finding.expected, finding.found) = (format!("0x{one:02x} at {offset}"), format!("0x{other:02x} at {offset}"));
    } else {
        (finding.expected, finding.found) = ("more bytes or fewer".to_owned(), format!("other bytes from {offset} on"));
    }
    if compression != Compression::Gzip {
        finding.detail = "frame".to_owned();
        finding.cause = "another version or level of the compressor, or other frames; the tar is the same".to_owned();
        return Ok(finding);
    }
    let found = self::members(given, offset)?;
    let inside = offset.saturating_sub(found.start);
    let number = found.number;
    let header = match inside {
        2 => Some(("method", "not deflate")),
        3 => Some(("flags", "a name, a comment or further fields, which ours does not write")),
        4..=7 => Some(("mtime", "the compressor wrote the time of the file into it")),
        8 => Some(("XFL", "another level of compression (2 is the best, 4 the fastest)")),
        9 => Some(("OS", "the compressor wrote the system that it ran on (3 is Unix) into it")),
        _ => None,
    };
    let name = found.name.map(|name| format!(", which names the file {}", printable(&name))).unwrap_or_default();
    match header {
        Some((what, cause)) if inside < GZIP_HEADER => {
            finding.detail = format!("gzip header: {what}");
            finding.cause = format!("member {number}: {cause}{name}; the tar is the same");
        }
        _ => {
            finding.detail = "gzip stream".to_owned();
            let cuts = if found.members == members {
                format!("{members} members, as composed")
            } else {
                format!("{} members instead of {members}", found.members)
            };
            finding.cause =
                format!("member {number}: another compressor or level, or another cut ({cuts}); the tar is the same");
        }
    }
    Ok(finding)
}

struct Members {
    members: usize,
    /// The one in which an offset lies, from 1, where it begins, and the file name in its header.
    number: usize,
    start: u64,
    name: Option<Vec<u8>>,
}

/// Counts what is read.
struct Counting<R> {
    inner: R,
    at: u64,
}

impl<R: BufRead> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.at = self.at.saturating_add(count as u64);
        self.inner.consume(count);
    }
}

/// Walks through the members of a gzip file that was read before without a fault.
fn members(given: &Given, offset: u64) -> io::Result<Members> {
    let mut bytes = Counting { inner: (given.open)()?, at: 0 };
    let mut found = Members { members: 0, number: 1, start: 0, name: None };
    while !bytes.fill_buf()?.is_empty() {
        let start = bytes.at;
        let mut member = GzDecoder::new(&mut bytes);
        io::copy(&mut member, &mut io::sink())?;
        let name = member.header().and_then(|header| header.filename()).map(<[u8]>::to_vec);
        found.members = found.members.saturating_add(1);
        if start <= offset {
            (found.number, found.start, found.name) = (found.members, start, name);
        }
    }
    Ok(found)
}
