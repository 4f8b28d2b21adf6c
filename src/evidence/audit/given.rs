//! What somebody gives to be compared: bytes that can be opened again, and their compression.

use std::{
    fmt,
    io::{self, BufRead, Read},
    path::Path,
    sync::Arc,
};

use flate2::bufread::MultiGzDecoder;

use crate::{
    debian::deb,
    ground::{Sha256, Sha256Hasher, open_regular},
    layer::Form,
};

/// The largest window of a Zstandard frame, as a power of two: zstd's own default.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Bytes of memory that an xz decoder may take.
const XZ_MEMORY: u64 = 128 << 20;
/// Bytes of tar that any layer or archive may have.
const MOST: u64 = 64 << 30;
/// Bytes of tar that no ratio is asked for.
const FREE: u64 = 1 << 30;
/// Bytes of tar for each byte given, counted above `FREE`.
const RATIO: u64 = 500;
/// Bytes read at a time from a file.
const PIECE: usize = 256 << 10;

/// The bytes of a blob from its begin; called again for each reading.
pub type Opener = Arc<dyn Fn() -> io::Result<Box<dyn BufRead + Send>> + Send + Sync>;

/// One layer that is given.
#[derive(Clone)]
pub struct Given {
    /// A file, or a file and what is in it; fit to print.
    pub name: String,
    /// What a manifest calls it, where one does.
    pub media_type: Option<String>,
    /// Bytes as given.
    pub size: u64,
    /// SHA-256 that a manifest says its bytes have.
    pub claimed: Option<Sha256>,
    /// Opens it.
    pub open: Opener,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("name", &self.name).field("media_type", &self.media_type).finish_non_exhaustive()
    }
}

/// How bytes are compressed, by how they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz File Format.
    Xz,
    /// bzip2.
    Bzip2,
}

impl Compression {
    /// What bytes that begin like this are.
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame (RFC 8878, 3.1.2).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// The form of ours that it is.
    pub fn form(self) -> Option<Form> {
        match self {
            Self::None => Some(Form::Tar),
            Self::Gzip => Some(Form::TarGz),
            Self::Zstd => Some(Form::TarZst),
            Self::Xz | Self::Bzip2 => None,
        }
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }
}

impl Given {
    /// A file.
    pub fn file(path: &Path) -> Self {
        // One that cannot be opened says so then.
        let size = std::fs::metadata(path).map_or(0, |found| found.len());
        let (name, path) = (crate::ground::printable(path.as_os_str().as_encoded_bytes()), path.to_owned());
        let open = move || {
            let file = open_regular(&path)?;
            Ok(Box::new(io::BufReader::with_capacity(PIECE, file)) as Box<dyn BufRead + Send>)
        };
        Self { name, media_type: None, size, claimed: None, open: Arc::new(open) }
    }

    /// How it is compressed.
    pub fn compression(&self) -> io::Result<Compression> {
        let mut start = Vec::new();
        (self.open)()?.take(6).read_to_end(&mut start)?;
        Ok(Compression::of(&start))
    }

    /// SHA-256 of the bytes as given.
    pub fn digest(&self) -> io::Result<Sha256> {
        let mut hasher = Sha256Hasher::new();
        io::copy(&mut (self.open)()?, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// How many bytes of tar it may hold at most, so that a bomb ends soon: real layers reach 30 times
    /// their compressed size, a bomb a thousand.
    pub fn ceiling(&self) -> u64 {
        MOST.min(FREE.saturating_add(RATIO.saturating_mul(self.size)))
    }

    /// The tar. Errors of the bytes themselves come while it is read.
    pub fn tar(&self) -> io::Result<Box<dyn Read>> {
        let bytes = (self.open)()?;
        decoded(bytes, self.compression()?)
    }
}

/// The decompressed bytes of a stream.
pub(super) fn decoded(bytes: Box<dyn BufRead + Send>, compression: Compression) -> io::Result<Box<dyn Read>> {
    Ok(match compression {
        Compression::None => Box::new(bytes),
        Compression::Gzip => Box::new(MultiGzDecoder::new(bytes)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        // No size is known: blocks are decoded one after another.
        Compression::Xz => deb::decode(".xz", bytes, 0, XZ_MEMORY)?,
        Compression::Bzip2 => deb::decode(".bz2", bytes, 0, XZ_MEMORY)?,
    })
}

/// At most so many bytes; one more is an error.
pub struct Ceiling<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Ceiling<R> {
    /// A reader that ends with an error after `limit` bytes.
    pub fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit, limit }
    }
}

impl<R: Read> Read for Ceiling<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                let text = format!("it unpacks to more than {} bytes, and is read no further", self.limit);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(count)
    }
}
