//! One member: its bytes, their verification, and its compressed forms, new or kept.

use std::{ops::Range, sync::Mutex};

use super::{Form, LayerError, MemberStore, cut::Member, tar::Tar};
use crate::ground::{Sha256, Sha256Hasher};

/// The gzip level. Raises [`super::FORMAT_VERSION`].
const GZIP_LEVEL: i32 = 6;
/// The Zstandard level. Raises [`super::FORMAT_VERSION`].
const ZSTD_LEVEL: i32 = 3;

/// A member, ready to be written.
pub(super) struct Made {
    /// Its bytes of the tar.
    pub raw: Vec<u8>,
    /// Its compressed bytes, for each wanted form in order; empty for `Form::Tar`.
    pub packed: Vec<Vec<u8>>,
    /// Stretches of `raw` that are parts of contents that reach into other members.
    pub split: Vec<Split>,
    /// How many of `packed` came from the store.
    pub reused: usize,
}

/// A part of a content that lies in several members.
pub(super) struct Split {
    /// The entry.
    pub at: usize,
    /// Where in the member's bytes.
    pub range: Range<usize>,
    /// Whether the content ends here.
    pub last: bool,
}

/// Makes members on many threads and keeps its tools between them.
pub(super) struct Shop<'a> {
    tar: &'a Tar<'a>,
    forms: Vec<Form>,
    store: &'a dyn MemberStore,
    benches: Mutex<Vec<Bench>>,
}

/// What one thread needs; a compressor has megabytes of tables.
struct Bench {
    gzip: libdeflater::Compressor,
    zstd: zstd::bulk::Compressor<'static>,
    head: Vec<u8>,
    raw: Vec<u8>,
    /// Room for any compressed member: results are copied out, so that they take what they need.
    packed: Vec<u8>,
}

impl<'a> Shop<'a> {
    pub fn new(tar: &'a Tar<'a>, forms: Vec<Form>, store: &'a dyn MemberStore) -> Self {
        Self { tar, forms, store, benches: Mutex::new(Vec::new()) }
    }

    /// Makes one member.
    pub fn make(&self, member: &Member) -> Result<Made, LayerError> {
        let spare = self.benches.lock().expect("nobody panics while holding it").pop();
        let mut bench = match spare {
            Some(bench) => bench,
            None => Bench::new().map_err(LayerError::Compress)?,
        };
        let made = self.make_with(&mut bench, member);
        self.give_back(bench);
        made
    }

    /// Takes the memory of a written member for another one.
    pub fn recycle(&self, raw: Vec<u8>) {
        let mut benches = self.benches.lock().expect("nobody panics while holding it");
        if let Some(bench) = benches.iter_mut().find(|bench| bench.raw.capacity() == 0) {
            bench.raw = raw;
        }
    }

    fn give_back(&self, bench: Bench) {
        self.benches.lock().expect("nobody panics while holding it").push(bench);
    }

    fn make_with(&self, bench: &mut Bench, member: &Member) -> Result<Made, LayerError> {
        let mut raw = std::mem::take(&mut bench.raw);
        let mut key = Sha256Hasher::new();
        let split = self.build(member, &mut bench.head, &mut raw, &mut key)?;
        let checks = Checks { crc: libdeflater::crc32(&raw), size: raw.len() as u64 };
        let mut packed = Vec::with_capacity(self.forms.len());
        let mut reused = 0;
        for form in &self.forms {
            if *form == Form::Tar {
                packed.push(Vec::new());
                continue;
            }
            let key = {
                let mut key = key.clone();
                key.update(form.extension().as_bytes());
                key.finish()
            };
            if let Some(bytes) = self.store.get(&key)?.and_then(|record| checks.open(&key, record)) {
                reused += 1;
                packed.push(bytes);
                continue;
            }
            let bytes = bench.compress(*form, &raw).map_err(LayerError::Compress)?;
            self.store.put(&key, &checks.seal(&key, bytes))?;
            packed.push(bytes.to_vec());
        }
        Ok(Made { raw, packed, split, reused })
    }

    /// Fills `raw` with the member's bytes, verifies contents that lie in it whole, and tells `key`
    /// all that the bytes follow from.
    fn build(
        &self,
        member: &Member,
        head: &mut Vec<u8>,
        raw: &mut Vec<u8>,
        key: &mut Sha256Hasher,
    ) -> Result<Vec<Split>, LayerError> {
        let tar = self.tar;
        let size = member.size as usize;
        let mut split = Vec::new();
        raw.clear();
        raw.reserve_exact(size);
        key.update(b"debstrata member\n");
        key.update(&super::FORMAT_VERSION.to_be_bytes());
        key.update(&member.skip.to_be_bytes());
        key.update(&member.size.to_be_bytes());
        let mut skip = member.skip;
        for at in member.first..tar.entries() {
            if raw.len() >= size {
                break;
            }
            tar.head(at, head)?;
            key.update(&(head.len() as u64).to_be_bytes());
            key.update(head);
            let heads = head.len() as u64;
            let end = tar.size(at, head.len()).min(skip.saturating_add((size - raw.len()) as u64));
            if skip < heads {
                raw.extend_from_slice(&head[skip as usize..end.min(heads) as usize]);
            }
            if let Some(content) = tar.content(at) {
                key.update(content.sha256.as_bytes());
                let from = skip.saturating_sub(heads).min(content.size);
                let to = end.saturating_sub(heads).min(content.size);
                let start = raw.len();
                raw.resize(start + (to - from) as usize, 0);
                let bytes = &mut raw[start..];
                content
                    .read_at(from, bytes)
                    .map_err(|source| LayerError::Read { path: tar.path(at).to_string(), source })?;
                if from == 0 && to == content.size {
                    tar.verify(at, libdeflater::crc32(bytes))?;
                } else if from < to {
                    split.push(Split { at, range: start..raw.len(), last: to == content.size });
                }
                // What is left of the entry is padding.
                raw.resize(raw.len() + end.saturating_sub(heads.saturating_add(to).max(skip)) as usize, 0);
            }
            skip = 0;
        }
        // The end of the archive.
        raw.resize(size, 0);
        Ok(split)
    }
}

impl Bench {
    fn new() -> std::io::Result<Self> {
        let level = libdeflater::CompressionLvl::new(GZIP_LEVEL).expect("6 is a level");
        let mut zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        zstd.include_checksum(true)?;
        Ok(Self {
            gzip: libdeflater::Compressor::new(level),
            zstd,
            head: Vec::new(),
            raw: Vec::new(),
            packed: Vec::new(),
        })
    }

    /// The compressed `raw`.
    fn compress(&mut self, form: Form, raw: &[u8]) -> std::io::Result<&[u8]> {
        let bound = self.gzip.gzip_compress_bound(raw.len()).max(zstd::zstd_safe::compress_bound(raw.len()));
        if self.packed.len() < bound {
            self.packed.resize(bound, 0);
        }
        let length = match form {
            Form::Tar => 0,
            Form::TarGz => self.gzip.gzip_compress(raw, &mut self.packed).map_err(std::io::Error::other)?,
            Form::TarZst => self.zstd.compress_to_buffer(raw, self.packed.as_mut_slice())?,
        };
        Ok(&self.packed[..length])
    }
}

/// What a kept record must say to be used for these raw bytes. The key does not suffice: it names
/// the contents that were meant, not those that a damaged spool held when the record was made.
struct Checks {
    crc: u32,
    size: u64,
}

/// A record: CRC-32 of its key and of what follows, CRC-32 and size of the raw bytes, the compressed
/// bytes. The key makes a record that got under another name useless: two forms of one member agree in
/// all else.
const RECORD_HEAD: usize = 4 + 4 + 8;

impl Checks {
    fn seal(&self, key: &Sha256, packed: &[u8]) -> Vec<u8> {
        let said = [&self.crc.to_be_bytes()[..], &self.size.to_be_bytes()].concat();
        let sum = sum([key.as_bytes(), &said, packed]);
        [&sum[..], &said, packed].concat()
    }

    /// The compressed bytes of a record that is whole and was made from these raw bytes.
    fn open(&self, key: &Sha256, record: Vec<u8>) -> Option<Vec<u8>> {
        let (found, rest) = record.split_at_checked(4)?;
        let meant = rest.starts_with(&[&self.crc.to_be_bytes()[..], &self.size.to_be_bytes()].concat());
        (meant && sum([key.as_bytes(), rest]) == found).then(|| strip(record))
    }
}

fn sum<const PARTS: usize>(parts: [&[u8]; PARTS]) -> [u8; 4] {
    let mut sum = libdeflater::Crc::new();
    parts.iter().for_each(|part| sum.update(part));
    sum.sum().to_be_bytes()
}

fn strip(mut record: Vec<u8>) -> Vec<u8> {
    record.drain(..RECORD_HEAD.min(record.len()));
    record
}
