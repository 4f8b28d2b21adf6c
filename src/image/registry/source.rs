//! Where the bytes of a push come from.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
};

use crate::{
    ground::Sha256Hasher,
    image::{
        Descriptor, Digest,
        layout::{Layout, LayoutError},
    },
};

/// How much is read at a time of what is only hashed.
const PIECE: usize = 128 << 10;

/// A store of blobs, manifests among them, whatever they lie in.
pub trait Blobs: Sync {
    /// Opens a blob at the byte `from`. What is read is the blob: where its bytes are not those of its
    /// digest and size, reading ends with an error, at the last byte at the latest.
    ///
    /// # Errors
    /// It is not there, cannot be read or has another size.
    fn open(&self, blob: &Descriptor, from: u64) -> io::Result<Box<dyn Read + '_>>;
}

/// Layouts, and blobs that are only in memory. A blob is of the first that has it.
#[derive(Debug, Default)]
pub struct Sources {
    /// Layouts that are there.
    pub layouts: Vec<Layout>,
    /// Blobs by their digests.
    pub kept: BTreeMap<Digest, Vec<u8>>,
}

impl Blobs for Sources {
    fn open(&self, blob: &Descriptor, from: u64) -> io::Result<Box<dyn Read + '_>> {
        if let Some(bytes) = self.kept.get(&blob.digest) {
            let rest = usize::try_from(from).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
            return Ok(Box::new(rest));
        }
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for layout in &self.layouts {
            match layout.open_blob(blob) {
                Ok(file) => return checked(file, blob, from),
                Err(LayoutError::Missing { .. }) => {}
                Err(error) => last = io::Error::other(error),
            }
        }
        Err(last)
    }
}

/// The file of a blob, which has its size, from the byte `from`; what is skipped is hashed too.
fn checked(file: File, blob: &Descriptor, from: u64) -> io::Result<Box<dyn Read + 'static>> {
    let mut checked = Checked { file, digest: blob.digest, hasher: Some(Sha256Hasher::new()), left: blob.size };
    let mut skipped = 0;
    let mut piece = vec![0; PIECE];
    while skipped < from {
        let most = usize::try_from(from - skipped).unwrap_or(PIECE).min(PIECE);
        match checked.read(piece.get_mut(..most).unwrap_or_default())? {
            0 => break,
            count => skipped += count as u64,
        }
    }
    Ok(Box::new(checked))
}

/// Hashes what is read.
struct Checked {
    file: File,
    digest: Digest,
    hasher: Option<Sha256Hasher>,
    left: u64,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let count = self.file.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
        self.left = self.left.saturating_sub(count as u64);
        // With the last byte, not after it: nobody reads on where the length is known.
        if self.left == 0
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest.0
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its bytes are not those of its digest"));
        }
        Ok(count)
    }
}
