//! Where the bytes of a push come from.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::error::RegistryError;
use crate::{
    ground::{Sha256Hasher, open_regular, printable, read_at_most},
    image::{
        Descriptor, Digest,
        spec::{Index, REF_NAME},
    },
};

/// The longest `index.json` and `oci-layout`, in bytes.
const LONGEST_INDEX: u64 = 16 << 20;
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

/// An OCI layout in a folder (image-layout.md), read only.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    images: Vec<(String, Descriptor)>,
}

impl Folder {
    /// Reads a layout's list of images.
    ///
    /// # Errors
    /// [`RegistryError::Layout`]: it is none, or is damaged.
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        let read = |name: &str| {
            let path = root.join(name);
            let fail = |why: String| RegistryError::Layout { path: path.clone(), why };
            let bytes = open_regular(&path).and_then(|file| read_at_most(file, LONGEST_INDEX));
            let bytes = bytes.map_err(|error| fail(error.to_string()))?;
            serde_json::from_slice::<serde_json::Value>(&bytes)
                .map_err(|error| fail(printable(error.to_string().as_bytes())))
        };
        let marker = read("oci-layout")?;
        if marker.get("imageLayoutVersion").and_then(|version| version.as_str()) != Some("1.0.0") {
            let why = "its version is not 1.0.0".to_owned();
            return Err(RegistryError::Layout { path: root.join("oci-layout"), why });
        }
        let index: Index = serde_json::from_value(read("index.json")?).map_err(|error| RegistryError::Layout {
            path: root.join("index.json"),
            why: printable(error.to_string().as_bytes()),
        })?;
        let named = |descriptor: Descriptor| Some((descriptor.annotations.get(REF_NAME)?.clone(), descriptor));
        Ok(Self { root: root.to_owned(), images: index.manifests.into_iter().filter_map(named).collect() })
    }

    /// The images with a name, in the order of the layout.
    pub fn images(&self) -> &[(String, Descriptor)] {
        &self.images
    }

    /// An image by its name.
    pub fn image(&self, name: &str) -> Option<&Descriptor> {
        self.images.iter().find(|(known, _)| known == name).map(|(_, descriptor)| descriptor)
    }
}

impl Blobs for Folder {
    fn open(&self, blob: &Descriptor, from: u64) -> io::Result<Box<dyn Read + '_>> {
        self.open_at(blob, from)
    }
}

impl Folder {
    fn open_at(&self, blob: &Descriptor, from: u64) -> io::Result<Box<dyn Read + '_>> {
        let file = open_regular(&self.root.join("blobs/sha256").join(blob.digest.0.to_string()))?;
        let size = file.metadata()?.len();
        if size != blob.size {
            let why = format!("it has {size} bytes, and {} are expected", blob.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut checked = Checked { file, digest: blob.digest, hasher: Some(Sha256Hasher::new()), left: size };
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
}

/// Several layouts: a blob is of the first that has it.
impl Blobs for Vec<Folder> {
    fn open(&self, blob: &Descriptor, from: u64) -> io::Result<Box<dyn Read + '_>> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for folder in self {
            match folder.open_at(blob, from) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => last = error,
                found => return found,
            }
        }
        Err(last)
    }
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
