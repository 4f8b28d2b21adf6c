//! A file tree as data: entries with metadata, content that is opened only when a layer is
//! written, and where each came from. Knows neither manifests nor the disk's layout.

mod content;
mod diff;
mod tree;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use content::{Content, Spool};
pub use diff::diff;

use crate::ground::{RootPath, Sha256, Span};
pub use crate::ground::{TooManyLinks, follow};

/// Mode, owner and extended attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Twelve bits: set-id, sticky and permissions.
    pub mode: u16,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// Extended attributes by full name (`security.capability`).
    pub xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl Node {
    /// What it is, in a word or two for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Directory => "a directory",
            Node::File { .. } => "a file",
            Node::Symlink(_) => "a symbolic link",
        }
    }
}

impl fmt::Display for Attributes {
    /// `0755 0:0`, and how many extended attributes where there are some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o} {}:{}", self.mode, self.uid, self.gid)?;
        if self.xattrs.is_empty() { Ok(()) } else { write!(f, " +{} xattrs", self.xattrs.len()) }
    }
}

impl Attributes {
    /// Mode and owner, no extended attributes.
    pub fn new(mode: u16, uid: u32, gid: u32) -> Self {
        Self { mode, uid, gid, xattrs: BTreeMap::new() }
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Directory,
    /// A regular file. Files of one link group are one inode with several names.
    File {
        /// Its bytes.
        content: Content,
        /// The hard-linked group it belongs to, if any.
        group: Option<LinkGroup>,
    },
    /// A symbolic link with its target as stored.
    Symlink(Box<[u8]>),
}

/// Names that share one inode: the same value, the same inode. Digest of the .deb's SHA-256 and the
/// first name's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkGroup(pub Sha256);

/// Where an entry came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A package.
    Package(Arc<PackageName>),
    /// A key of a tier's manifest.
    Declared {
        /// The tier.
        tier: Arc<str>,
        /// The table, such as `directories`.
        key: &'static str,
        /// Where in the tier's manifest.
        span: Span,
    },
    /// A generator of a tier.
    Generated {
        /// The tier.
        tier: Arc<str>,
        /// The generator, such as `ca-certificates`.
        generator: &'static str,
    },
    /// A layer of an image that others made, on which the tier's chain stands.
    Image {
        /// SHA-256 of the image's manifest.
        manifest: Sha256,
        /// SHA-256 of the layer's uncompressed tar.
        layer: Sha256,
    },
    /// A folder that nobody declared, above something that somebody did: 0755 root:root.
    Implied,
}

/// What a package is called in messages and reports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageName {
    /// Binary package name.
    pub name: Box<str>,
    /// Version.
    pub version: Box<str>,
    /// `all` or an architecture.
    pub architecture: Box<str>,
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.architecture)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Package(package) => write!(f, "the package {package}"),
            Origin::Declared { tier, key, .. } => write!(f, "[[{key}]] of {tier}"),
            Origin::Generated { tier, generator } => write!(f, "the generator {generator} of {tier}"),
            Origin::Image { layer, .. } => {
                let layer = layer.to_string();
                write!(f, "the base image's layer {}", layer.get(..12).unwrap_or(&layer))
            }
            Origin::Implied => f.write_str("a folder that something else lies in"),
        }
    }
}

/// One path of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Its metadata (mode 0777 and no xattrs for a symlink; its owner counts).
    pub attributes: Attributes,
    /// Where it came from; never part of the bytes.
    pub origin: Origin,
}

/// A merged tree: every entry's parent folder is there too (the root has an entry as well).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rootfs {
    /// By path.
    pub entries: BTreeMap<RootPath, Entry>,
}
