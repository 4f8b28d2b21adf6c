//! The table of an unpacked package as the cache keeps it: control members, entries and where
//! their contents lie in the spool. A run that finds it reads no .deb.
//!
//! The form, all numbers LEB128 unless said otherwise, all byte strings with their length before
//! them: [`MAGIC`]; the .deb's SHA-256 (32 bytes); the spool's size; control members (count; name,
//! bytes); entries (count; path with a leading slash, mode, uid, gid, xattrs (count; name, value),
//! a letter: `d`, `l` with the target, `f` or `h` with offset, size, SHA-256, CRC-32 (4 bytes) and, for `h`, the
//! link group's 32 bytes); SHA-256 of all before. Whatever does not fit is no table.

use std::{collections::BTreeMap, sync::Arc};

use super::{Item, Unpacked};
use crate::{
    debian::deb::ControlMembers,
    ground::{RootPath, Sha256, put_leb128, take_leb128},
    rootfs::{self, Attributes, Content, LinkGroup, Spool},
};

/// The beginning of a table. The number is [`super::FORMAT`]'s.
const MAGIC: &[u8; 20] = b"debstrata unpacked 2";

/// All of a package but its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) deb: Sha256,
    pub(super) spool_size: u64,
    pub(super) control: ControlMembers,
    pub(super) records: Vec<Record>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) path: RootPath,
    pub(super) attributes: Attributes,
    pub(super) node: Node,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    Symlink(Box<[u8]>),
    File { offset: u64, size: u64, sha256: Sha256, crc32: u32, group: Option<LinkGroup> },
}

impl Table {
    /// With the contents in `spool`.
    pub(super) fn into_unpacked(self, spool: Arc<Spool>) -> Unpacked {
        let entries = self
            .records
            .into_iter()
            .map(|Record { path, attributes, node }| {
                let node = match node {
                    Node::Directory => rootfs::Node::Directory,
                    Node::Symlink(target) => rootfs::Node::Symlink(target),
                    Node::File { size: 0, sha256: _, crc32: _, offset: _, group } => {
                        rootfs::Node::File { content: Content::from_bytes([]), group }
                    }
                    Node::File { offset, size, sha256, crc32, group } => rootfs::Node::File {
                        content: Content::in_spool(Arc::clone(&spool), offset, size, sha256, crc32),
                        group,
                    },
                };
                Item { path, attributes, node }
            })
            .collect();
        Unpacked { control: self.control, entries }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 * self.records.len() + 4096);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(self.deb.as_bytes());
        put_leb128(&mut out, self.spool_size);
        put_leb128(&mut out, self.control.len() as u64);
        for (name, bytes) in &self.control {
            put_bytes(&mut out, name.as_bytes());
            put_bytes(&mut out, bytes);
        }
        put_leb128(&mut out, self.records.len() as u64);
        for record in &self.records {
            put_leb128(&mut out, record.path.as_bytes().len() as u64 + 1);
            out.push(b'/');
            out.extend_from_slice(record.path.as_bytes());
            let attributes = &record.attributes;
            for number in [u64::from(attributes.mode), attributes.uid.into(), attributes.gid.into()] {
                put_leb128(&mut out, number);
            }
            put_leb128(&mut out, attributes.xattrs.len() as u64);
            for (name, value) in &attributes.xattrs {
                put_bytes(&mut out, name);
                put_bytes(&mut out, value);
            }
            match &record.node {
                Node::Directory => out.push(b'd'),
                Node::Symlink(target) => {
                    out.push(b'l');
                    put_bytes(&mut out, target);
                }
                Node::File { offset, size, sha256, crc32, group } => {
                    out.push(if group.is_some() { b'h' } else { b'f' });
                    put_leb128(&mut out, *offset);
                    put_leb128(&mut out, *size);
                    out.extend_from_slice(sha256.as_bytes());
                    out.extend_from_slice(&crc32.to_be_bytes());
                    if let Some(LinkGroup(group)) = group {
                        out.extend_from_slice(group.as_bytes());
                    }
                }
            }
        }
        let sum = Sha256::of(&out);
        out.extend_from_slice(sum.as_bytes());
        out
    }

    /// The table, if the bytes are a whole and consistent one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<32>()?;
        let body = body.strip_prefix(MAGIC)?;
        if Sha256::of(&bytes[..bytes.len() - 32]) != Sha256::from_bytes(*sum) {
            return None;
        }
        let mut rest = Reader(body);
        let deb = rest.sha256()?;
        let spool_size = rest.number()?;
        let mut control = ControlMembers::new();
        for _ in 0..rest.number()? {
            let name = str::from_utf8(rest.bytes()?).ok()?.into();
            control.insert(name, rest.bytes()?.into());
        }
        let count = rest.number()?;
        // No entry is shorter than eight bytes, so a wrong count cannot ask for much memory.
        let mut records = Vec::with_capacity(usize::try_from(count).ok()?.min(rest.0.len() / 8));
        for _ in 0..count {
            records.push(rest.record(spool_size)?);
        }
        rest.0.is_empty().then_some(Self { deb, spool_size, control, records })
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_leb128(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        take_leb128(&mut self.0)
    }

    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.take(count)
    }

    fn sha256(&mut self) -> Option<Sha256> {
        let (taken, rest) = self.0.split_first_chunk::<32>()?;
        self.0 = rest;
        Some(Sha256::from_bytes(*taken))
    }

    fn record(&mut self, spool_size: u64) -> Option<Record> {
        let path = RootPath::from_absolute(self.bytes()?).ok()?;
        let mode = u16::try_from(self.number()?).ok().filter(|mode| *mode <= 0o7777)?;
        let uid = self.number()?.try_into().ok()?;
        let gid = self.number()?.try_into().ok()?;
        let mut xattrs = BTreeMap::new();
        for _ in 0..self.number()? {
            xattrs.insert(self.bytes()?.into(), self.bytes()?.into());
        }
        let node = match self.byte()? {
            b'd' => Node::Directory,
            b'l' => Node::Symlink(self.bytes()?.into()),
            letter @ (b'f' | b'h') => {
                let (offset, size) = (self.number()?, self.number()?);
                offset.checked_add(size).filter(|end| *end <= spool_size)?;
                let sha256 = self.sha256()?;
                let (crc32, rest) = self.0.split_first_chunk::<4>()?;
                self.0 = rest;
                let crc32 = u32::from_be_bytes(*crc32);
                let group = if letter == b'h' { Some(LinkGroup(self.sha256()?)) } else { None };
                Node::File { offset, size, sha256, crc32, group }
            }
            _ => return None,
        };
        Some(Record { path, attributes: Attributes { mode, uid, gid, xattrs }, node })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path() -> impl Strategy<Value = RootPath> {
        proptest::collection::vec(any::<u8>(), 0..12)
            .prop_filter_map("a path", |bytes| RootPath::from_archive(&bytes).ok())
    }

    fn bytes() -> impl Strategy<Value = Box<[u8]>> {
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(Into::into)
    }

    fn record() -> impl Strategy<Value = Record> {
        let digest = any::<[u8; 32]>().prop_map(Sha256::from_bytes);
        let node = prop_oneof![
            Just(Node::Directory),
            bytes().prop_map(Node::Symlink),
            (0..u64::MAX / 2, 0..u64::MAX / 2, digest, any::<u32>(), any::<Option<[u8; 32]>>()).prop_map(
                |(offset, size, sha256, crc32, group)| {
                    let group = group.map(|group| LinkGroup(Sha256::from_bytes(group)));
                    Node::File { offset, size, sha256, crc32, group }
                }
            ),
        ];
        let xattrs = proptest::collection::btree_map(bytes(), bytes(), 0..3);
        (path(), 0..=0o7777_u16, any::<u32>(), any::<u32>(), xattrs, node).prop_map(
            |(path, mode, uid, gid, xattrs, node)| Record {
                path,
                attributes: Attributes { mode, uid, gid, xattrs },
                node,
            },
        )
    }

    fn table() -> impl Strategy<Value = Table> {
        let control = proptest::collection::btree_map(any::<String>(), bytes(), 0..3);
        (any::<[u8; 32]>(), control, proptest::collection::vec(record(), 0..6)).prop_map(|(deb, control, records)| {
            let control = control.into_iter().map(|(name, bytes)| (name.into(), bytes.into())).collect();
            Table { deb: Sha256::from_bytes(deb), spool_size: u64::MAX, control, records }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(table in table()) {
            prop_assert_eq!(Table::decode(&table.encode()), Some(table));
        }

        #[test]
        fn no_bytes_make_it_panic(table in table(), at: usize, byte: u8, cut in 0_usize..40, junk in bytes()) {
            prop_assert_eq!(Table::decode(&junk), None);
            let mut bytes = table.encode();
            let end = bytes.len();
            bytes[at % end] ^= byte;
            prop_assert_eq!(Table::decode(&bytes).is_some(), byte == 0);
            // Damage that the checksum covers up: any answer will do.
            bytes.truncate((end - 32).saturating_sub(cut).max(1));
            bytes.extend_from_slice(&junk);
            let sum = Sha256::of(&bytes);
            bytes.extend_from_slice(sum.as_bytes());
            let _ = Table::decode(&bytes);
        }
    }
}
