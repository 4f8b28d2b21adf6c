//! One entry's header blocks, as docs/layer-format.md ("The tar dialect") describes them. All
//! bytes are written here: the `tar` crate's builder cleans names and link targets on its own.

use crate::rootfs::{Entry, Node};

/// The size of a tar block.
pub(super) const BLOCK: usize = 512;
/// The end of the archive: two blocks of zeros.
pub(super) const END: u64 = 1024;

/// The name of a record that carries a long name or link target, as GNU tar has it.
const LONG: &[u8] = b"././@LongLink";
/// The name of a pax extended header.
const PAX: &[u8] = b"././@PaxHeader";

/// What a header says; the rest of its fields never vary.
struct Fields<'a> {
    name: &'a [u8],
    kind: u8,
    mode: u16,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
    link: &'a [u8],
}

/// Appends the header blocks of an entry. `name` is its name in the tar, `link_to` the name of the
/// earlier entry that it is a hard link to.
///
/// `Err` says what the dialect cannot express.
pub(super) fn write(
    out: &mut Vec<u8>,
    name: &[u8],
    entry: &Entry,
    link_to: Option<&[u8]>,
    mtime: u64,
) -> Result<(), &'static str> {
    let (kind, link, size) = match (&entry.node, link_to) {
        (_, Some(first)) => (b'1', first, 0),
        (Node::Directory, None) => (b'5', b"".as_slice(), 0),
        (Node::File { content, .. }, None) => (b'0', b"".as_slice(), content.size),
        (Node::Symlink(target), None) => (b'2', &**target, 0),
    };
    if kind == b'2' && link.is_empty() {
        return Err("it is a symbolic link to nothing");
    }
    if link.contains(&0) {
        return Err("its target has a NUL byte");
    }
    let attributes = &entry.attributes;
    let mut fields = Fields {
        name,
        kind,
        mode: attributes.mode & 0o7777,
        uid: attributes.uid.into(),
        gid: attributes.gid.into(),
        size,
        mtime,
        link,
    };
    let mut pax = Vec::new();
    for (key, value, digits) in [
        ("size", &mut fields.size, 11),
        ("uid", &mut fields.uid, 7),
        ("gid", &mut fields.gid, 7),
        ("mtime", &mut fields.mtime, 11),
    ] {
        if *value >= 8u64.pow(digits) {
            record(&mut pax, key.as_bytes(), value.to_string().as_bytes());
            *value = 0;
        }
    }
    // Extended attributes belong to the inode: its first name carries them.
    if link_to.is_none() {
        for (key, value) in &attributes.xattrs {
            if key.is_empty() || key.contains(&b'=') || key.contains(&0) {
                return Err("the name of an extended attribute is empty or has a `=` or a NUL byte");
            }
            record(&mut pax, &[b"SCHILY.xattr.", &**key].concat(), value);
        }
    }
    if !pax.is_empty() {
        auxiliary(out, PAX, b'x', &pax);
    }
    if link.len() > 100 {
        auxiliary(out, LONG, b'K', &[link, b"\0"].concat());
    }
    if name.len() > 100 {
        auxiliary(out, LONG, b'L', &[name, b"\0"].concat());
    }
    header(out, &fields);
    Ok(())
}

/// The header blocks of a plain file of an archive that is no layer: mode 0644, owner 0:0, time 0.
pub(super) fn plain(name: &str, size: u64) -> Vec<u8> {
    let (mut out, mut pax) = (Vec::new(), Vec::new());
    let mut fields =
        Fields { name: name.as_bytes(), kind: b'0', mode: 0o644, uid: 0, gid: 0, size, mtime: 0, link: b"" };
    if size >= 8u64.pow(11) {
        record(&mut pax, b"size", size.to_string().as_bytes());
        fields.size = 0;
        auxiliary(&mut out, PAX, b'x', &pax);
    }
    if name.len() > 100 {
        auxiliary(&mut out, LONG, b'L', &[name.as_bytes(), b"\0"].concat());
    }
    header(&mut out, &fields);
    out
}

/// A record about the entry that follows: header, data, zeros up to a full block.
fn auxiliary(out: &mut Vec<u8>, name: &[u8], kind: u8, data: &[u8]) {
    let size = data.len() as u64;
    header(out, &Fields { name, kind, mode: 0o644, uid: 0, gid: 0, size, mtime: 0, link: b"" });
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// `<length> <key>=<value>\n`, the length counting itself (POSIX pax, "pax Extended Header").
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// One block: POSIX ustar, `prefix` unused.
fn header(out: &mut Vec<u8>, fields: &Fields) {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, fields.name.get(..100).unwrap_or(fields.name));
    put(100, format!("{:07o}", fields.mode).as_bytes());
    put(108, format!("{:07o}", fields.uid).as_bytes());
    put(116, format!("{:07o}", fields.gid).as_bytes());
    put(124, format!("{:011o}", fields.size).as_bytes());
    put(136, format!("{:011o}", fields.mtime).as_bytes());
    put(148, b"        ");
    put(156, &[fields.kind]);
    put(157, fields.link.get(..100).unwrap_or(fields.link));
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(&block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_record_counts_itself() {
        for (value, expected) in [(1, "6 "), (4, "9 "), (5, "11 "), (93, "99 "), (94, "101 ")] {
            let mut out = Vec::new();
            record(&mut out, b"k", &vec![b'v'; value]);
            assert!(out.starts_with(expected.as_bytes()), "{value}: {}", String::from_utf8_lossy(&out));
            assert_eq!(out.len().to_string(), expected.trim_end(), "{value}");
        }
    }
}
