//! Why a package cannot be unpacked.

use std::{io, path::PathBuf};

use crate::{
    cache::CacheError,
    debian::deb::DebError,
    ground::{Class, Failure, PathError, RootPath, Sha256},
};

/// A package could not be unpacked. `package` is `name version architecture` as the index has it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum UnpackError {
    /// The .deb's file cannot be read.
    #[error("the package {package}: cannot read {}: {source}", path.display())]
    #[diagnostic(
        code(debstrata::unpack::read),
        help(
            "see what the system says about this file; if it is in the cache, delete it there and it is fetched again"
        )
    )]
    Read {
        /// Which one.
        package: String,
        /// Its .deb.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not the one that the index or the lock names.
    #[error("the package {package}: {} is not the file that was verified: {found}", path.display())]
    #[diagnostic(
        code(debstrata::unpack::changed),
        help("delete this file and run the same command again; it is fetched anew")
    )]
    Changed {
        /// Which one.
        package: String,
        /// Its .deb.
        path: PathBuf,
        /// What differs.
        found: Difference,
    },
    /// dpkg would not take the file for a package.
    #[error("the package {package}: {source}")]
    #[diagnostic(
        code(debstrata::unpack::deb),
        help(
            "the archive offers a package that is damaged or made in an unknown way; leave it out, or choose another version"
        )
    )]
    Deb {
        /// Which one.
        package: String,
        /// What is wrong, and in which member.
        source: Box<DebError>,
    },
    /// The package is not what the index says it is.
    #[error("the package {package}: its control file says {field} {found:?}, its index {expected:?}")]
    #[diagnostic(
        code(debstrata::unpack::identity),
        help(
            "the archive's index and this package do not belong together; leave it out, or choose another version or source"
        )
    )]
    Identity {
        /// Which one.
        package: String,
        /// The field of the control file.
        field: &'static str,
        /// Its value in the index or the lock.
        expected: String,
        /// Its value in the package.
        found: String,
    },
    /// An entry that no package may have.
    #[error("the package {package}: {member} has {entry}: {reason}")]
    #[diagnostic(
        code(debstrata::unpack::entry),
        help("such an entry cannot become part of a layer; leave the package out, or choose another version")
    )]
    Entry {
        /// Which one.
        package: String,
        /// The member, such as `data.tar.xz`.
        member: String,
        /// The entry's name as the archive writes it, safe to print.
        entry: String,
        /// What is wrong with it.
        reason: Box<Refusal>,
    },
    /// More than the ceilings allow.
    #[error("the package {package}: {member} has more than {limit} {what}")]
    #[diagnostic(
        code(debstrata::unpack::too_much),
        help("this is a ceiling against packages that are made to exhaust a machine; leave the package out")
    )]
    TooMuch {
        /// Which one.
        package: String,
        /// The member.
        member: String,
        /// What there is too much of.
        what: &'static str,
        /// The ceiling.
        limit: u64,
    },
    /// The cache does not take the unpacked data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] Box<CacheError>),
}

impl Failure for UnpackError {
    fn class(&self) -> Class {
        match self {
            Self::Cache(error) => error.class(),
            _ => Class::World,
        }
    }
}

/// How a file differs from the one that was verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Another size.
    #[error("it has {found} bytes, not {expected}")]
    Size {
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// Another digest.
    #[error("its SHA-256 is {found}, not {expected}")]
    Sha256 {
        /// What it should be.
        expected: Sha256,
        /// What it is.
        found: Sha256,
    },
}

/// What is wrong with an entry of data.tar.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No path inside a root.
    #[error("{0}")]
    Path(#[from] PathError),
    /// No name at all.
    #[error("it has no name")]
    NoName,
    /// `./` as something else than a folder.
    #[error("the root of the package is not a folder")]
    Root,
    /// A device, fifo or socket.
    #[error("it is a {0}; packages must not carry one")]
    Special(&'static str),
    /// A type flag that nobody knows.
    #[error("its type {0} is unknown")]
    UnknownType(String),
    /// Sparse files.
    #[error("it is stored sparsely, which dpkg does not read either")]
    Sparse,
    /// A broken header field.
    #[error("its header is damaged: {0}")]
    Header(&'static str),
    /// A broken, unknown or misplaced extended header.
    #[error("its extended header: {0}")]
    Extended(String),
    /// The link's target is not in the package.
    #[error("it is a hard link to {0}, which the package does not have")]
    NoTarget(RootPath),
    /// The link's target is a folder or symbolic link.
    #[error("it is a hard link to {0}, which is no regular file")]
    TargetNoFile(RootPath),
    /// Hard links in a circle.
    #[error("it is a hard link to itself, over {0}")]
    Circle(RootPath),
    /// Its name leads through something that is no folder.
    #[error("its name leads through {0}, which is no folder in this package")]
    Through(RootPath),
    /// The same path as a folder and as something else.
    #[error("it is there as a folder and as something else")]
    Retyped,
    /// A symbolic link without a target, or one that is longer than Linux takes.
    #[error("it is a symbolic link with an empty or overlong target")]
    Symlink,
    /// Extended attributes where none can be kept.
    #[error("it has extended attributes, which {0} cannot have here")]
    Xattrs(&'static str),
    /// A name that whoever unpacks a layer takes for an order to delete (OCI image-spec, layer.md).
    #[error("it is a whiteout: whoever unpacks a layer would delete something")]
    Whiteout,
    /// Bytes that a reader that stops at the end would not see.
    #[error("there are bytes after the end of the archive")]
    AfterTheEnd,
}
