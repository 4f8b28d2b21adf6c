//! How a layer that somebody gives differs from the one that is composed here: which entry, which
//! field, which byte, and what most likely made it so. docs/audit.md says all this for people.
//!
//! `block` knows the bytes of a header, `reader` takes any tar apart without believing it, `header` and
//! `content` compare one entry, `compare` lines entries up, `recompressed` tells of equal tars in other
//! compressions, `given` opens what is given, `images` finds layers in archives and layouts, `config`
//! compares configs, and `parity` whole trees.

mod block;
mod compare;
pub mod config;
mod content;
pub mod given;
mod header;
pub mod images;
mod parity;
mod reader;
mod recompressed;

use serde::Serialize;

use crate::{ground::DiffId, rootfs::Origin};

pub use compare::compare;
pub use parity::{Parity, parity};
pub use recompressed::{Alongside, recompressed};

/// What differs, in the words that the machine output promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// How an entry is called, or how its name is written.
    Name,
    /// What it is, with device numbers.
    Type,
    /// Permissions, and what grants them: extended attributes.
    Mode,
    /// The owner's number or name.
    Uid,
    /// The group's number or name.
    Gid,
    /// The time.
    Mtime,
    /// The target of a link.
    Link,
    /// Bytes of content.
    Size,
    /// The bytes.
    Content,
    /// Its place among the entries.
    Order,
    /// Only the composed layer has it.
    Missing,
    /// Only the given layer has it.
    Extra,
    /// What the tar itself is made of: checksums, records, padding, its end.
    Framing,
    /// How the tar is compressed.
    Compression,
}

impl Field {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Type => "type",
            Self::Mode => "mode",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::Mtime => "mtime",
            Self::Link => "link",
            Self::Size => "size",
            Self::Content => "content",
            Self::Order => "order",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Framing => "framing",
            Self::Compression => "compression",
        }
    }
}

/// One difference. All texts are fit to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The entry's path; `None` where it is about the layer.
    pub entry: Option<String>,
    /// What differs.
    pub field: Field,
    /// The format's own word for it, such as `uname` or `checksum`.
    pub detail: String,
    /// What is composed.
    pub expected: String,
    /// What is given.
    pub found: String,
    /// The first byte that differs: for `content` in the file, for `compression` in the compressed file,
    /// else in the uncompressed tar.
    pub offset: Option<u64>,
    /// Where that lies in the uncompressed tar that is given.
    pub tar_offset: Option<u64>,
    /// That byte, as composed and as given.
    pub bytes: Option<[u8; 2]>,
    /// What the entry comes from.
    pub origin: Option<String>,
    /// What most likely made it so.
    pub cause: String,
    /// A short unified diff, where both are text.
    pub diff: Option<String>,
}

impl Finding {
    /// A difference that is about no entry and no byte.
    pub fn new(field: Field, detail: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            entry: None,
            field,
            detail: detail.into(),
            expected: expected.into(),
            found: found.into(),
            offset: None,
            tar_offset: None,
            bytes: None,
            origin: None,
            cause: String::new(),
            diff: None,
        }
    }

    /// With its cause.
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self.tar_offset = Some(offset);
        self
    }
}

/// How two layers compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What differs, in the order of the composed layer; of hostile layers the first so many.
    pub findings: Vec<Finding>,
    /// How much differs in all.
    pub count: u64,
    /// What explains all of it at once, where something does.
    pub summary: Option<String>,
    /// The identity of the tar that was given; `None` where it could not be read to its end.
    pub diff_id: Option<DiffId>,
}

/// Says of an origin what people look for: the package with its version, the manifest's line.
pub type Origins<'a> = &'a (dyn Fn(&Origin) -> String + Sync);
