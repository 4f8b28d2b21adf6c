//! The entries of a tar stream, headers joined with their long names and extended headers.
//!
//! The crate `tar` decodes the fixed header fields. Its entry iterator is not used: it reads long
//! names and extended headers of any size into memory, splits extended attributes at newlines, and
//! takes pax sparse files for plain ones.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
};

use super::error::Refusal;
use crate::ground::printable;

const BLOCK: usize = 512;
/// Bytes of a long name or link target: more than any path may have.
const LONGEST_NAME: u64 = 8192;
/// Bytes of an extended header: room for many attributes of 64 KiB, Linux' XATTR_SIZE_MAX.
const LONGEST_PAX: u64 = 1 << 20;

/// What kind of entry a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    HardLink,
    Symlink,
    Directory,
    /// A device, fifo or socket; only where [`Entries::with_special`] asks for them.
    Special(&'static str),
}

/// An entry's header, long forms resolved. Names as the archive writes them.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

/// Why reading stopped.
#[derive(Debug)]
pub(super) enum TarError {
    /// The stream itself: decompression, truncation.
    Read(io::Error),
    /// An entry.
    Entry { entry: String, reason: Refusal },
    /// More headers, or more bytes, than allowed.
    TooMuch { what: &'static str, limit: u64 },
}

/// Reads entries one after another.
pub(super) struct Entries<R> {
    reader: R,
    /// Bytes that may still be read, and the whole bound for the message.
    left: u64,
    limit: u64,
    headers: u64,
    most_headers: u64,
    special: bool,
    /// Bytes of the present entry that are not read, and its padding.
    body: u64,
    padding: u64,
}

/// What extended headers say about the next entry.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
    has_pax: bool,
}

#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    size: Option<u64>,
    xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl<R: BufRead> Entries<R> {
    /// At most `bytes` of the stream are read, and at most `headers` headers.
    pub(super) fn new(reader: R, bytes: u64, headers: u64) -> Self {
        Self {
            reader,
            left: bytes,
            limit: bytes,
            headers: 0,
            most_headers: headers,
            special: false,
            body: 0,
            padding: 0,
        }
    }

    /// Gives devices and fifos too, in place of an error.
    pub(super) fn with_special(mut self, special: bool) -> Self {
        self.special = special;
        self
    }

    /// The next entry. What the caller left unread of the present one is passed over. After the
    /// last one the rest of the stream is read: it must be zeros.
    pub(super) fn next(&mut self) -> Result<Option<Header>, TarError> {
        let mut extended = Extended::default();
        let mut any = false;
        loop {
            self.skip_entry()?;
            let Some(block) = self.block()? else {
                if any {
                    return Err(refused(b"(the last entry)", Refusal::Header("it ends after an extended header")));
                }
                return Ok(None);
            };
            if block.iter().all(|byte| *byte == 0) {
                self.zeros_to_the_end()?;
                return Ok(None);
            }
            self.headers += 1;
            if self.headers > self.most_headers {
                return Err(TarError::TooMuch { what: "entries", limit: self.most_headers });
            }
            let header = tar::Header::from_byte_slice(&block);
            let short_name = header.path_bytes();
            let entry_error = |reason| refused(&short_name, reason);
            let field = |field, name| number(field).ok_or_else(|| entry_error(Refusal::Header(name)));
            if number(&header.as_old().cksum) != Some(checksum(&block)) {
                return Err(entry_error(Refusal::Header("its checksum does not fit")));
            }
            let size = field(&header.as_old().size, "the size is no number")?;
            let flag = header.as_old().linkflag[0];
            match flag {
                b'L' | b'K' => {
                    self.set_body(size);
                    let text = self.small_body(LONGEST_NAME, &short_name)?;
                    let text = text.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
                    let slot = if flag == b'L' { &mut extended.name } else { &mut extended.link };
                    if slot.replace(text).is_some() {
                        return Err(entry_error(Refusal::Extended("two long names for one entry".to_owned())));
                    }
                    any = true;
                }
                b'x' => {
                    if std::mem::replace(&mut extended.has_pax, true) {
                        return Err(entry_error(Refusal::Extended("two of them for one entry".to_owned())));
                    }
                    self.set_body(size);
                    let records = self.small_body(LONGEST_PAX, &short_name)?;
                    extended.pax.take(&records).map_err(|text| entry_error(Refusal::Extended(text)))?;
                    any = true;
                }
                b'g' => {
                    self.set_body(size);
                    let records = self.small_body(LONGEST_PAX, &short_name)?;
                    check_global(&records).map_err(|text| entry_error(Refusal::Extended(text)))?;
                }
                _ => {
                    let Extended { name, link, pax, .. } = extended;
                    let name = pax.path.or(name).unwrap_or_else(|| short_name.to_vec());
                    let entry_error = |reason| refused(&name, reason);
                    let field = |field, text| number(field).ok_or_else(|| entry_error(Refusal::Header(text)));
                    let kind = match kind(flag, &name) {
                        Err(Refusal::Special(what)) if self.special => Kind::Special(what),
                        kind => kind.map_err(entry_error)?,
                    };
                    let size = pax.size.unwrap_or(size);
                    if kind != Kind::File && size != 0 {
                        return Err(entry_error(Refusal::Header("only files have a size")));
                    }
                    self.set_body(size);
                    let old = header.as_old();
                    let id = |given: Option<u64>, raw, text| {
                        let id = given.map_or_else(|| field(raw, text), Ok)?;
                        // The highest one means "leave it as it is" (chown(2)).
                        let id = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
                        id.ok_or_else(|| entry_error(Refusal::Header(text)))
                    };
                    let uid = id(pax.uid, &old.uid, "the user id is no number that Linux takes")?;
                    let gid = id(pax.gid, &old.gid, "the group id is no number that Linux takes")?;
                    // File type bits may stand above the twelve bits.
                    let mode = (field(&old.mode, "the mode is no number")? & 0o7777) as u16;
                    let link = match kind {
                        Kind::HardLink | Kind::Symlink => {
                            pax.link.or(link).unwrap_or_else(|| truncated(&old.linkname).to_vec())
                        }
                        Kind::File | Kind::Directory | Kind::Special(_) => Vec::new(),
                    };
                    return Ok(Some(Header { kind, name, link, mode, uid, gid, size, xattrs: pax.xattrs }));
                }
            }
        }
    }

    /// Hands the present entry's bytes to `take`, piece by piece, without copying them.
    pub(super) fn body<E: From<TarError>>(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.body > 0 {
            let wanted = self.body;
            let bytes = self.fill(wanted)?;
            let count = bytes.len();
            take(bytes)?;
            self.consume(count);
            self.body -= count as u64;
        }
        Ok(())
    }

    fn set_body(&mut self, size: u64) {
        self.body = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn small_body(&mut self, most: u64, name: &[u8]) -> Result<Vec<u8>, TarError> {
        if self.body > most {
            return Err(refused(name, Refusal::Header("a long name or extended header is too long")));
        }
        let mut bytes = Vec::new();
        self.body(|piece| {
            bytes.extend_from_slice(piece);
            Ok::<_, TarError>(())
        })?;
        Ok(bytes)
    }

    fn skip_entry(&mut self) -> Result<(), TarError> {
        self.body(|_| Ok::<_, TarError>(()))?;
        self.body = std::mem::take(&mut self.padding);
        self.body(|_| Ok::<_, TarError>(()))
    }

    /// A header block; `None` where the stream ends instead of one, as dpkg takes it.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let bytes = self.reader.fill_buf().map_err(TarError::Read)?;
            if bytes.is_empty() {
                if filled == 0 {
                    return Ok(None);
                }
                return Err(ended());
            }
            let bytes = self.fill((BLOCK - filled) as u64)?;
            let count = bytes.len();
            block[filled..filled + count].copy_from_slice(bytes);
            self.consume(count);
            filled += count;
        }
        Ok(Some(block))
    }

    fn zeros_to_the_end(&mut self) -> Result<(), TarError> {
        loop {
            if self.reader.fill_buf().map_err(TarError::Read)?.is_empty() {
                return Ok(());
            }
            let bytes = self.fill(u64::MAX)?;
            let count = bytes.len();
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(refused(b"(the end)", Refusal::AfterTheEnd));
            }
            self.consume(count);
        }
    }

    /// Some bytes, at least one, at most `wanted` and the bound.
    fn fill(&mut self, wanted: u64) -> Result<&[u8], TarError> {
        if self.left == 0 {
            return Err(TarError::TooMuch { what: "bytes when decompressed", limit: self.limit });
        }
        let most = usize::try_from(wanted.min(self.left)).unwrap_or(usize::MAX);
        let bytes = self.reader.fill_buf().map_err(TarError::Read)?;
        if bytes.is_empty() {
            return Err(ended());
        }
        Ok(&bytes[..bytes.len().min(most)])
    }

    fn consume(&mut self, count: usize) {
        self.left -= count as u64;
        self.reader.consume(count);
    }
}

fn ended() -> TarError {
    TarError::Read(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within an entry"))
}

fn refused(name: &[u8], reason: Refusal) -> TarError {
    TarError::Entry { entry: printable(name), reason }
}

fn kind(flag: u8, name: &[u8]) -> Result<Kind, Refusal> {
    Ok(match flag {
        // Before POSIX, folders were files whose name ends in a slash; dpkg takes them, too.
        b'0' | 0 if name.ends_with(b"/") => Kind::Directory,
        b'0' | 0 => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'5' => Kind::Directory,
        b'3' => return Err(Refusal::Special("character device")),
        b'4' => return Err(Refusal::Special("block device")),
        b'6' => return Err(Refusal::Special("named pipe")),
        b'S' => return Err(Refusal::Sparse),
        flag => return Err(Refusal::UnknownType(format!("{:?}", flag.escape_ascii().to_string()))),
    })
}

/// The sum of a header's bytes, its checksum field taken as spaces (POSIX.1-1988, ustar).
fn checksum(block: &[u8; BLOCK]) -> u64 {
    block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum()
}

/// A numeric field: octal between optional spaces, ended by a space, a NUL or the field's end; or
/// GNU's base-256 with the first bit set. An empty field is zero, as dpkg takes it.
fn number(field: &[u8]) -> Option<u64> {
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        // The next bit is the sign: no negative number means anything here.
        let start = (first & 0x40 == 0).then_some(u64::from(first & 0x3f))?;
        return rest.iter().try_fold(start, |sum, byte| Some(sum.checked_mul(256)? | u64::from(*byte)));
    }
    let digits = field.iter().skip_while(|byte| **byte == b' ');
    let mut sum = 0_u64;
    let mut ended = false;
    for byte in digits {
        match byte {
            b'0'..=b'7' if !ended => sum = sum.checked_mul(8)? | u64::from(byte - b'0'),
            b' ' | 0 => ended = true,
            _ => return None,
        }
    }
    Some(sum)
}

fn truncated(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

impl Pax {
    /// Takes the records of an extended header (POSIX.1-2001, pax; SCHILY.* as star and GNU tar
    /// write them). Whatever would change the tree and is not understood is an error.
    fn take(&mut self, records: &[u8]) -> Result<(), String> {
        let mut libarchive = Vec::new();
        for record in Records(records) {
            let (key, value) = record?;
            let number = || {
                let digits = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                digits.and_then(|text| text.parse().ok()).ok_or_else(|| format!("{} is no number", printable(key)))
            };
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                b"size" => self.size = Some(number()?),
                // Names and times have no place in a layer; the others say how the rest was made.
                b"uname"
                | b"gname"
                | b"mtime"
                | b"atime"
                | b"ctime"
                | b"comment"
                | b"hdrcharset"
                | b"charset"
                | b"LIBARCHIVE.creationtime"
                | b"SCHILY.dev"
                | b"SCHILY.ino"
                | b"SCHILY.nlink" => {}
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.insert(name.into(), value.into());
                    } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                        libarchive.push(name);
                    } else if key.starts_with(b"GNU.sparse.") {
                        return Err("it is stored sparsely, which dpkg does not read either".to_owned());
                    } else {
                        return Err(format!("its record {:?} is unknown", printable(key)));
                    }
                }
            }
        }
        // libarchive writes each attribute in both ways. Its own way, which encodes name and value,
        // is passed over where the plain one is there as well.
        match libarchive.into_iter().find(|name| !self.xattrs.contains_key(*name)) {
            Some(name) => {
                Err(format!("the extended attribute {:?} is there in libarchive's form alone", printable(name)))
            }
            None => Ok(()),
        }
    }
}

/// A global header changes every later entry; only a comment (as `git archive` writes it) does not.
fn check_global(records: &[u8]) -> Result<(), String> {
    for record in Records(records) {
        let (key, _) = record?;
        if key != b"comment" {
            return Err(format!("a global one sets {:?}", printable(key)));
        }
    }
    Ok(())
}

/// `<length> <key>=<value>\n`, the length counting all of it; values may hold newlines and NULs.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split_record(self.0);
        match record {
            Some((key, value, rest)) => {
                self.0 = rest;
                Some(Ok((key, value)))
            }
            None => {
                self.0 = &[];
                Some(Err("its records are damaged".to_owned()))
            }
        }
    }
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let digits = str::from_utf8(&bytes[..space]).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (record, rest) = bytes.split_at_checked(digits.parse().ok()?)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let cases: &[(&[u8], Option<u64>)] = &[
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"00000000012 ", Some(10)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"644\x008", None),
            (b"0000648\0", None),
            (b"+000644\0", None),
            (b"-000644\0", None),
            (b"\x80\0\0\0\0\x03\x0d\x40", Some(200_000)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\x80\0\0\0\x01\0\0\0\0\0\0\0", Some(1 << 56)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), *expected, "{}", printable(field));
        }
    }

    #[test]
    fn pax_values_may_hold_newlines() {
        let mut pax = Pax::default();
        pax.take(b"30 SCHILY.xattr.user.x=a\n9 b=c\n\n18 path=./some/one\n").unwrap_err();
        let record = b"SCHILY.xattr.user.x=a\n9 b=c\n";
        let mut text = format!("{} ", record.len() + 4).into_bytes();
        text.extend_from_slice(record);
        text.push(b'\n');
        let mut pax = Pax::default();
        pax.take(&text).unwrap();
        assert_eq!(pax.xattrs.get(b"user.x".as_slice()).map(|value| &**value), Some(b"a\n9 b=c\n".as_slice()));
        for bad in ["5 a=b", "6 a=b", "99999999999999999999 a=b\n", "4 =\n", "x a=b\n", "1 a=b\n", "0 "] {
            assert!(Pax::default().take(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
