//! The ar container of a .deb (deb(5), ar(5) in its common form): one member after another,
//! bounded by the size that the .deb has.

use std::io::{self, BufRead, Read};

use super::DebError;
use crate::ground::printable;

const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Bytes of a member's header.
const HEADER: usize = 60;

/// One member's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name as dpkg takes it: without the padding and without one slash at the end. Safe to print.
    pub(super) name: String,
    /// Bytes of its body.
    pub(super) size: u64,
}

/// Walks the members. Between two calls of [`Members::next`] it reads the body of the member that
/// came last and ends where that ends.
pub(super) struct Members<R> {
    reader: R,
    /// Bytes of the .deb that are neither read nor part of the present body.
    after: u64,
    /// Bytes of the present body that are not read.
    body: u64,
    /// Whether a byte of padding follows the body.
    padded: bool,
    name: String,
}

impl<R: BufRead> Members<R> {
    /// Checks the magic. `size` is that of the .deb: no member may reach beyond it.
    pub(super) fn open(mut reader: R, size: u64) -> Result<Self, DebError> {
        let mut magic = [0; MAGIC.len()];
        match reader.read_exact(&mut magic) {
            Ok(()) if &magic == MAGIC => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(DebError::Read(error)),
            _ => return Err(DebError::NotADeb),
        }
        let after = size.saturating_sub(MAGIC.len() as u64);
        Ok(Self { reader, after, body: 0, padded: false, name: String::new() })
    }

    /// The next member; what is left of the present body is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Member>, DebError> {
        self.skip_body()?;
        if self.after == 0 {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        if self.after < HEADER as u64 {
            return Err(DebError::Header { after: self.name.clone(), problem: "the file ends within the next header" });
        }
        self.reader.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                DebError::Header { after: self.name.clone(), problem: "the file ends within the next header" }
            }
            _ => DebError::Read(error),
        })?;
        self.after -= HEADER as u64;
        let refuse = |problem| DebError::Header { after: self.name.clone(), problem };
        if &header[58..] != b"`\n" {
            return Err(refuse("the next header lacks its end mark"));
        }
        let name = header[..16].trim_ascii_end();
        let name = name.strip_suffix(b"/").unwrap_or(name);
        if name.is_empty() {
            return Err(refuse("the next member has no name"));
        }
        let name = printable(name);
        let size = decimal(&header[48..58]).ok_or_else(|| refuse("the next member's size is no number"))?;
        if size > self.after {
            return Err(DebError::PastTheEnd { member: name, size, left: self.after });
        }
        self.after -= size;
        self.body = size;
        self.padded = size % 2 == 1 && self.after > 0;
        self.after -= u64::from(self.padded);
        self.name.clone_from(&name);
        Ok(Some(Member { name, size }))
    }

    fn skip_body(&mut self) -> Result<(), DebError> {
        while self.body > 0 {
            let got = self.fill_buf().map_err(DebError::Read)?.len();
            self.consume(got);
        }
        if std::mem::take(&mut self.padded) {
            self.reader.read_exact(&mut [0]).map_err(DebError::Read)?;
        }
        Ok(())
    }
}

impl<R: BufRead> BufRead for Members<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.body == 0 {
            return Ok(&[]);
        }
        let bytes = self.reader.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends within the member"));
        }
        let most = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
        Ok(&bytes[..most])
    }

    fn consume(&mut self, amount: usize) {
        self.body = self.body.saturating_sub(amount as u64);
        self.reader.consume(amount);
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

fn decimal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_end();
    if digits.is_empty() {
        return None;
    }
    // Ten digits at most: no overflow.
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}
