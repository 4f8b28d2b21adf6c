//! What can go wrong with the store.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::ground::{Class, Failure, WriteError};

/// The cache could not be used. Every variant names the path.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CacheError {
    /// A folder or file of the cache could not be made, written or renamed.
    #[error("cannot write to the cache: {}", path.display())]
    #[diagnostic(code(debstrata::cache::write), help("{}", write_hint(source)))]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something in the cache could not be read.
    #[error("cannot read from the cache: {}", path.display())]
    #[diagnostic(
        code(debstrata::cache::read),
        help("make it readable for the user that runs debstrata, or delete it: the cache is filled again by itself")
    )]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another run uses the store that something is to be removed from.
    #[error("the cache {} is in use", path.display())]
    #[diagnostic(
        code(debstrata::cache::in_use),
        help("wait until the other run of debstrata has ended, and run the same command again")
    )]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// A small record could not be written whole.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Record(#[from] WriteError),
}

impl CacheError {
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

impl Failure for CacheError {
    fn class(&self) -> Class {
        Class::World
    }
}

fn write_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space on this disk, or put the cache on another one with --cache DIR, and run the same command \
             again: what is fetched so far is kept"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make the cache folder writable for the user that runs debstrata, or choose another one with --cache DIR"
        }
        io::ErrorKind::Unsupported => {
            "this filesystem has no file locks, which the cache needs; choose another folder with --cache DIR"
        }
        _ => "see what the system says about this path, or choose another folder with --cache DIR",
    }
}
