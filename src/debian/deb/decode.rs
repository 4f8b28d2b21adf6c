//! The compressions of a .deb's members, each decoded in bounded memory.

use std::io::{self, BufRead, Read};

use xz2::{bufread::XzDecoder, stream::Stream};

use super::xz;

/// The largest window of a zstd frame, as a power of two: 128 MiB, zstd's own default and what
/// dpkg accepts.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How a member is compressed; its name says so (deb(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
    Bzip2,
    Lzma,
}

impl Compression {
    /// What the end of a member's name (after `control.tar` or `data.tar`) says.
    pub(super) fn of(ending: &str) -> Option<Self> {
        Some(match ending {
            "" => Self::None,
            ".gz" => Self::Gzip,
            ".xz" => Self::Xz,
            ".zst" => Self::Zstd,
            ".bz2" => Self::Bzip2,
            ".lzma" => Self::Lzma,
            _ => return None,
        })
    }

    /// The decoded bytes of `body`, which has `size` bytes. An xz or lzma decoder that needs more than
    /// `memory` bytes is an error when it is read. All of `body` must belong to the compressed data.
    pub(super) fn decode<'a>(self, body: impl BufRead + 'a, size: u64, memory: u64) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(body),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(body)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(body)),
            Self::Xz => xz::decode(body, size, memory)?,
            Self::Lzma => Box::new(Lzma::new(Stream::new_lzma_decoder(memory)?, body, memory)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}

/// liblzma's errors in words that say what is wrong with the data.
pub(super) struct Lzma<R> {
    decoder: XzDecoder<R>,
    memory: u64,
}

impl<R: BufRead> Lzma<R> {
    /// Decodes `body` by `stream`, which may take `memory` bytes.
    pub(super) fn new(stream: Stream, body: R, memory: u64) -> Self {
        Self { decoder: XzDecoder::new_stream(body, stream), memory }
    }

    /// What is left of the body.
    pub(super) fn into_inner(self) -> R {
        self.decoder.into_inner()
    }
}

impl<R: BufRead> Read for Lzma<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| {
            use xz2::stream::Error;
            let text = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                Some(Error::MemLimit) => {
                    format!("decompressing it takes more than the {} MiB allowed", self.memory >> 20)
                }
                Some(Error::Format) => "not compressed as its name says".to_owned(),
                Some(Error::Data) => "the compressed data is damaged".to_owned(),
                None if error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_some() => {
                    "premature end of the compressed data".to_owned()
                }
                _ => return error,
            };
            io::Error::new(error.kind(), text)
        })
    }
}
