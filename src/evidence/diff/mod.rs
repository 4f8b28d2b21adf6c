//! What differs between two trees, sets of packages and configs: for people, for pull requests and for
//! programs. Pure: whoever asks brings two [`Side`]s. docs/diff.md describes what is told.

mod changelog;
mod changes;
mod compare;
mod error;
mod inside;
mod layers;
mod markdown;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use changelog::{Release, Told, between};
pub use changes::{
    Changelog, Changes, Facts, FileChange, LibraryChange, Lists, PackageChange, PackageSide, PackageSize, Part,
    Setting, Sizes, TierChange,
};
pub use compare::{Which, compare, merge};
pub use error::DiffError;
pub use inside::{LARGEST_LIBRARY, certificates, is_kept, is_library, library, packages as installed, source_of};
pub use layers::{Limits, Trees};
pub use markdown::markdown;
pub use text::{changelogs as changelogs_text, packages as packages_table, text};

use crate::{
    ground::{RootPath, Sha256},
    image::spec::Execution,
};

/// What is known of one side. What is `None` is not known, and is then not compared.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// What it is called, fit to print.
    pub name: String,
    /// Its packages, in any order.
    pub packages: Option<Vec<Package>>,
    /// Its files.
    pub tree: Option<Tree>,
    /// How a container of it is run, see [`settings`].
    pub config: Option<BTreeMap<String, String>>,
    /// The same of its variants, by their suffix.
    pub variants: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

/// One package of a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Binary package name.
    pub name: String,
    /// `all` or an architecture; may be empty.
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// Source package name.
    pub source: String,
    /// The version of the source package, where it is told; else its own.
    pub source_version: String,
    /// Size and digest of the .deb.
    pub deb: Option<(u64, Sha256)>,
}

/// The files of a side.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// By path.
    pub entries: BTreeMap<RootPath, Entry>,
    /// What ELF libraries among them define, by path.
    pub libraries: BTreeMap<RootPath, Library>,
    /// Contents of the few files that are read, see [`is_kept`].
    pub kept: BTreeMap<RootPath, Arc<[u8]>>,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Twelve bits; 0777 for symbolic links.
    pub mode: u16,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// Extended attributes: names and digests of values.
    pub xattrs: BTreeMap<Box<[u8]>, Sha256>,
    /// Whose it is, where that is known.
    pub package: Option<Arc<str>>,
    /// A further name of a file that is counted elsewhere.
    pub again: bool,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Directory,
    /// A file.
    File {
        /// In bytes.
        size: u64,
        /// Of its bytes.
        sha256: Sha256,
    },
    /// A symbolic link and its target.
    Symlink(Box<[u8]>),
    /// A hard link to what is not in the same archive.
    HardLink(Box<[u8]>),
    /// `character device 1:3`, `named pipe` ...
    Special(String),
    /// Of a layer by itself: it deletes what lies there in a layer below (OCI image-spec, layer.md).
    Whiteout,
}

impl Node {
    /// What it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File { .. } => "file",
            Self::Symlink(_) => "symlink",
            Self::HardLink(_) => "hardlink",
            Self::Special(_) => "special",
            Self::Whiteout => "whiteout",
        }
    }
}

/// What a shared library defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Its `DT_SONAME`, fit to print.
    pub soname: String,
    /// Its symbol versions, fit to print.
    pub versions: BTreeSet<String>,
}

impl Tree {
    /// Bytes of all files, each once, however many names it has.
    pub fn size(&self) -> u64 {
        let sizes = self.entries.values().filter(|entry| !entry.again).map(|entry| match entry.node {
            Node::File { size, .. } => size,
            _ => 0,
        });
        sizes.fold(0, u64::saturating_add)
    }
}

/// A config as settings that can be compared one by one, fit to print.
pub fn settings(
    execution: &Execution,
    platform: Option<&str>,
    annotations: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    inside::settings(execution, platform, annotations)
}
