//! A difference of trees becomes the canonical tar, its diff_id and its compressed forms.
//! Knows no manifests.
//!
//! docs/layer-format.md describes every byte. A layer is cut into members (`cut`); each is built,
//! verified and compressed by itself, on all cores, and written in order (`emit`). What a member
//! compresses to is kept under a key that needs no file's bytes (`member`, `store`).

mod cut;
mod emit;
mod error;
mod header;
mod member;
mod ordered;
mod store;
mod tar;

use std::{io::Write, path::PathBuf};

pub use emit::{emit, tar_size};
pub use error::LayerError;
pub use store::{MemberStore, NoStore};
pub use tar::Tar;

use crate::ground::{DiffId, Sha256};

/// The version of everything that shapes a byte of a layer: the tar dialect, the rule of cuts, the
/// compressors, their versions and settings. Raises when an output byte would change.
pub const FORMAT_VERSION: u32 = 2;

/// A form in which a layer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// The tar itself.
    Tar,
    /// A sequence of gzip members (RFC 1952).
    TarGz,
    /// A sequence of Zstandard frames (RFC 8878).
    TarZst,
}

impl Form {
    /// All forms.
    pub const ALL: [Self; 3] = [Self::Tar, Self::TarGz, Self::TarZst];

    /// The end of a file's name, without the dot in front; `--format` takes the same words.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarZst => "tar.zst",
        }
    }
}

/// The header blocks of a plain file (mode 0644, owner 0:0, time 0) in an archive around layers. The file's
/// bytes follow, then [`padding`].
pub fn plain_head(name: &str, size: u64) -> Vec<u8> {
    header::plain(name, size)
}

/// How many zeros fill the last tar block of a file of `size` bytes.
pub fn padding(size: u64) -> u64 {
    tar::padding(size)
}

/// The zeros at the end of a tar.
pub const TAR_END: [u8; header::END as usize] = [0; header::END as usize];

/// Where one form is written to.
pub struct Sink<'a> {
    /// The form.
    pub form: Form,
    /// The file's name, for messages.
    pub path: PathBuf,
    /// Takes the bytes, in large pieces; nothing is flushed.
    pub out: &'a mut dyn Write,
}

/// A layer that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// The identity of the tar.
    pub diff_id: DiffId,
    /// The tar's size, in bytes.
    pub size: u64,
    /// One for each sink, in the order of the sinks.
    pub blobs: Vec<Blob>,
    /// How many members the layer was cut into.
    pub members: usize,
    /// How many compressed members, of all forms, came from the store.
    pub reused: usize,
}

/// One form of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// The form.
    pub form: Form,
    /// Of the bytes as written.
    pub digest: Sha256,
    /// In bytes.
    pub size: u64,
}
