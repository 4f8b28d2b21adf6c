//! What can go wrong while a layer is written.

use std::{io, path::PathBuf};

use crate::{
    cache::CacheError,
    ground::{Class, Failure},
};

/// A layer could not be written. Paths of entries are absolute and fit to print.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LayerError {
    /// A spool's bytes are not what was unpacked.
    #[error("the unpacked bytes of {path} are damaged")]
    #[diagnostic(
        code(debstrata::layer::damaged),
        help("delete {} and run the same command again: it is unpacked anew", spool.display())
    )]
    Damaged {
        /// The entry.
        path: String,
        /// The spool file.
        spool: PathBuf,
    },
    /// A file's bytes cannot be read.
    #[error("cannot read the bytes of {path}")]
    #[diagnostic(
        code(debstrata::layer::read),
        help(
            "if the cache was deleted or pruned meanwhile, run the same command again; else see what the system says about this path"
        )
    )]
    Read {
        /// The entry.
        path: String,
        /// What the system said; it names the spool.
        #[source]
        source: io::Error,
    },
    /// An output cannot be written.
    #[error("cannot write {}", path.display())]
    #[diagnostic(code(debstrata::layer::write), help("{}", hint(source)))]
    Write {
        /// The output.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A compressor gave up.
    #[error("cannot compress a part of the layer")]
    #[diagnostic(
        code(debstrata::layer::compress),
        help("this should not happen with any input; please report it as a bug")
    )]
    Compress(#[source] io::Error),
    /// The tar dialect has no place for something.
    #[error("{path} cannot be put into a layer: {what}")]
    #[diagnostic(code(debstrata::layer::inexpressible), help("exclude the path in the tier's [globs]"))]
    Inexpressible {
        /// The entry.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The entries break the promise that `emit` asks for.
    #[error("{path} comes before its folder, twice or out of order")]
    #[diagnostic(
        code(debstrata::layer::disorder),
        help("this should not happen with any input; please report it as a bug")
    )]
    Disorder {
        /// The entry.
        path: String,
    },
    /// The store of compressed members failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space on this disk, or choose another folder with --output DIR, and run the same command again"
        }
        _ => "see what the system says about this path, or choose another folder with --output DIR",
    }
}

impl Failure for LayerError {
    fn class(&self) -> Class {
        match self {
            Self::Inexpressible { .. } => Class::User,
            Self::Cache(error) => error.class(),
            Self::Damaged { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Compress(_)
            | Self::Disorder { .. } => Class::World,
        }
    }
}
