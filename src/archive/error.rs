//! What can go wrong on the way to a trusted index. Names from archives are safe to print.

use miette::{Diagnostic, SourceSpan};

use super::{LocalError, TrustError, index::IndexError};
use crate::{
    cache::CacheError,
    fetch::{FetchError, HeadError},
    ground::{Class, Failure, Sha256, Source},
};

/// An archive could not be opened, or an index of it not be had.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ArchiveError {
    /// No mirror has an InRelease that is trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Head(Box<HeadError<TrustError>>),
    /// No mirror knows a suite.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Suite(Box<NoSuite>),
    /// `signed-by` names no keyring.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Keyring(Box<NoKeyring>),
    /// An InRelease of the cache is not trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trust(Box<TrustError>),
    /// An index could not be fetched.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(Box<FetchError>),
    /// The cache failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
    /// `components` names one that the suite lacks.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Component(Box<NoComponent>),
    /// No suite has packages for an architecture.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Architecture(Box<NoArchitecture>),
    /// A folder of .debs cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Local(Box<LocalError>),
    /// An index is not what the Release says once it is decompressed.
    #[error("{id}: {path} cannot be used: {reason}")]
    #[diagnostic(
        code(debstrata::archive::index),
        help("the archive vouches for this very file, so no mirror has a better one; tell the archive's owner")
    )]
    Unpack {
        /// The suite.
        id: String,
        /// The index.
        path: String,
        /// Why.
        reason: String,
    },
    /// An index's text is broken.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Index(Box<IndexError>),
    /// A recorded InRelease is not in the cache.
    #[error("{id}: the cache no longer has the InRelease {inrelease} that the lock names")]
    #[diagnostic(
        code(debstrata::archive::forgotten),
        help("its signature cannot be checked again here; `debstrata lock` fetches and records a current one")
    )]
    Forgotten {
        /// The suite.
        id: String,
        /// As the lock has it.
        inrelease: Sha256,
    },
    /// The lock says something else than the InRelease that it names.
    #[error("{id}: the lock's {field} is not that of the InRelease {inrelease}, though it names this file")]
    #[diagnostic(
        code(debstrata::archive::record),
        help("somebody edited the lock: restore it, or run `debstrata lock`")
    )]
    Recorded {
        /// The suite.
        id: String,
        /// `date`, `valid-until` or `signer`.
        field: &'static str,
        /// As the lock has it.
        inrelease: Sha256,
    },
}

/// Every mirror that answers has no such suite, and neither lock nor cache has ever seen it.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{head}")]
#[diagnostic(code(debstrata::archive::no_suite), help("{help}"))]
pub struct NoSuite {
    /// What each mirror said.
    pub head: HeadError<TrustError>,
    /// The next step.
    pub help: String,
    /// archive.toml.
    #[source_code]
    pub source_code: Source,
    /// Where the suite is named.
    #[label("no mirror has this suite")]
    pub span: SourceSpan,
}

/// A `signed-by` that is no keyring.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the keyring {keyring} of {name} cannot be used: {reason}")]
#[diagnostic(
    code(debstrata::archive::keyring),
    help("`signed-by` names a file of OpenPGP public keys, binary or ASCII-armoured (`gpg --export`)")
)]
pub struct NoKeyring {
    /// What `signed-by` says.
    pub keyring: String,
    /// The source.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
    /// archive.toml.
    #[source_code]
    pub source_code: Source,
    /// Where it is named.
    #[label("no keyring")]
    pub span: SourceSpan,
}

/// `components` names one that a suite lacks.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{id} has no component {component:?}; it has {known}")]
#[diagnostic(code(debstrata::archive::component), help("{help}"))]
pub struct NoComponent {
    /// The suite.
    pub id: String,
    /// What the manifest says.
    pub component: String,
    /// Those it has.
    pub known: String,
    /// The next step.
    pub help: String,
    /// archive.toml.
    #[source_code]
    pub source_code: Source,
    /// Where it is named.
    #[label("named here")]
    pub span: SourceSpan,
}

/// No suite has packages for an architecture.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("no suite has packages for {architecture}: looked in {looked}")]
#[diagnostic(
    code(debstrata::archive::architecture),
    help("take {architecture} out of `architectures` in {}, or add a source that has it", source_code.name)
)]
pub struct NoArchitecture {
    /// Which.
    pub architecture: String,
    /// The suites, as ids.
    pub looked: String,
    /// archive.toml.
    #[source_code]
    pub source_code: Source,
    /// Where it is listed.
    #[label("listed here")]
    pub span: SourceSpan,
}

impl From<TrustError> for ArchiveError {
    fn from(error: TrustError) -> Self {
        Self::Trust(Box::new(error))
    }
}

impl From<LocalError> for ArchiveError {
    fn from(error: LocalError) -> Self {
        Self::Local(Box::new(error))
    }
}

impl From<FetchError> for ArchiveError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(Box::new(error))
    }
}

impl Failure for ArchiveError {
    fn class(&self) -> Class {
        match self {
            Self::Head(error) => error.class(),
            Self::Trust(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Cache(error) => error.class(),
            Self::Index(error) => error.class(),
            Self::Local(error) => error.class(),
            Self::Suite(_) | Self::Keyring(_) | Self::Component(_) | Self::Architecture(_) | Self::Recorded { .. } => {
                Class::User
            }
            Self::Unpack { .. } | Self::Forgotten { .. } => Class::World,
        }
    }
}
