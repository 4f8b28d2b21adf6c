//! The bytes of a file, wherever they are; merging and comparing never read them.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::ground::Sha256;

/// A file's bytes: digest, size, and a way to read them.
#[derive(Debug, Clone)]
pub struct Content {
    /// Of all bytes.
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
    /// CRC-32 (IEEE 802.3) of all bytes, taken together with the digest. Whoever reads them from a disk
    /// compares it: it finds damage at a tenth of a digest's price, and who may write to the cache could
    /// change digests as well.
    pub crc32: u32,
    data: Data,
}

#[derive(Debug, Clone)]
enum Data {
    Bytes(Arc<[u8]>),
    Spool { spool: Arc<Spool>, offset: u64 },
}

/// A file on disk that holds the contents of many files one after another. Opened when it is first
/// read and kept open, unless too many others are: then it is opened for each read.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    kept: OnceLock<Option<File>>,
}

/// How many spools stay open: a rootfs may have a thousand of them, and a process commonly 1024
/// descriptors (getrlimit(2)), which downloads and outputs want too.
const KEPT: usize = 256;
/// How many are open now, in the whole process.
static OPEN: AtomicUsize = AtomicUsize::new(0);

impl Spool {
    /// A spool file; opened when it is first read.
    pub fn new(path: PathBuf) -> Self {
        Self { path, kept: OnceLock::new() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut read = || {
            let kept = match self.kept.get() {
                Some(kept) => kept,
                None => {
                    let file = File::open(&self.path)?;
                    // Two threads may come here at once: the second one's file is closed again.
                    self.kept.get_or_init(|| take_place().then_some(file))
                }
            };
            match kept {
                Some(file) => file.read_exact_at(buffer, offset),
                None => File::open(&self.path)?.read_exact_at(buffer, offset),
            }
        };
        read().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
    }
}

fn take_place() -> bool {
    OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < KEPT).then_some(open + 1)).is_ok()
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(Some(_)) = self.kept.get() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Content {
    /// Bytes in memory.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let (sha256, crc32) = (Sha256::of(&bytes), libdeflater::crc32(&bytes));
        Self { sha256, size: bytes.len() as u64, crc32, data: Data::Bytes(bytes) }
    }

    /// A stretch of a spool that has this size and these checksums.
    pub fn in_spool(spool: Arc<Spool>, offset: u64, size: u64, sha256: Sha256, crc32: u32) -> Self {
        Self { sha256, size, crc32, data: Data::Spool { spool, offset } }
    }

    /// The spool that holds the bytes; `None` where they are in memory.
    pub fn spool(&self) -> Option<&Path> {
        match &self.data {
            Data::Bytes(_) => None,
            Data::Spool { spool, .. } => Some(spool.path()),
        }
    }

    /// Fills `buffer` from byte `from` on. Asking for bytes past the end is `UnexpectedEof`.
    /// Errors name the spool's path. No checksum is compared here: whoever reads a whole file does.
    pub fn read_at(&self, from: u64, buffer: &mut [u8]) -> io::Result<()> {
        let eof = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let end = from.checked_add(buffer.len() as u64).filter(|end| *end <= self.size).ok_or_else(eof)?;
        match &self.data {
            Data::Bytes(bytes) => {
                buffer.copy_from_slice(&bytes[from as usize..end as usize]);
                Ok(())
            }
            Data::Spool { spool, offset } => spool.read_exact_at(buffer, offset.checked_add(from).ok_or_else(eof)?),
        }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256 && self.size == other.size
    }
}

impl Eq for Content {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_spools_than_stay_open_are_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let contents: Vec<_> = (0..KEPT + 40)
            .map(|number| {
                let path = folder.path().join(number.to_string());
                let text = format!("<{number:04}>");
                std::fs::write(&path, &text).unwrap();
                Content::in_spool(Arc::new(Spool::new(path)), 1, 4, Sha256::of(&text.as_bytes()[1..5]), 0)
            })
            .collect();
        for round in 0..2 {
            for (number, content) in contents.iter().enumerate() {
                let mut bytes = [0; 3];
                content.read_at(1, &mut bytes).unwrap();
                assert_eq!(bytes, format!("{number:04}").as_bytes()[1..], "round {round}");
            }
            assert!(OPEN.load(Ordering::Relaxed) <= KEPT);
        }
    }

    #[test]
    fn errors_name_the_path_and_the_end_is_the_end() {
        let content = Content::in_spool(Arc::new(Spool::new("/nowhere/spool".into())), 0, 4, Sha256::of(b""), 0);
        let error = content.read_at(0, &mut [0; 4]).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/spool: "), "{error}");
        for content in [content, Content::from_bytes(*b"1234")] {
            assert_eq!(content.read_at(1, &mut [0; 4]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(content.read_at(u64::MAX, &mut [0; 4]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
