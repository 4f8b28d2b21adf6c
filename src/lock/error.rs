//! What can go wrong with a lock, and who must act.

use std::{io, path::PathBuf};

use miette::{Diagnostic, SourceSpan};

use crate::{
    debian::Architecture,
    ground::{Class, DiffId, Failure, Source, WriteError},
};

/// The next step for a file that somebody or some merge broke.
pub(super) const RESTORE: &str =
    "debstrata writes this file: take its last good version from version control, then run `debstrata lock`";

/// A lock could not be read, written or met.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum LockError {
    /// The system refuses the file.
    #[error("cannot read {}", path.display())]
    #[diagnostic(
        code(debstrata::lock::read),
        help("see what the system says about this file, then run the same command again")
    )]
    Read {
        /// The lock.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It cannot be a lock: far too long, or no text.
    #[error("{} is no lock: {why}", path.display())]
    #[diagnostic(code(debstrata::lock::not_a_lock), help("{RESTORE}"))]
    NotALock {
        /// The lock.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// Conflict markers of a merge.
    #[error("the lock holds an unfinished merge")]
    #[diagnostic(
        code(debstrata::lock::conflict),
        help(
            "keep either side of the whole file (such as `git checkout --ours FILE`), then run `debstrata lock`: it resolves what the merged manifests ask for"
        )
    )]
    Conflict {
        /// The lock.
        #[source_code]
        file: Source,
        /// The first marker.
        #[label("a merge stopped here")]
        span: SourceSpan,
    },
    /// A later layout.
    #[error("the lock was written by a newer debstrata (schema {schema}; this one knows {known})", known = super::SCHEMA)]
    #[diagnostic(
        code(debstrata::lock::newer),
        help("use a newer debstrata; this one would lose what it does not know")
    )]
    Newer {
        /// The lock.
        #[source_code]
        file: Source,
        /// The schema's value.
        #[label("not known here")]
        span: SourceSpan,
        /// What it says.
        schema: i64,
    },
    /// Layers in a later format.
    #[error("{} was written by a newer debstrata (format-version {theirs}; this one writes {ours})", path.display())]
    #[diagnostic(
        code(debstrata::lock::newer_format),
        help("use a newer debstrata; the layers that this one builds have other bytes than the lock records")
    )]
    NewerFormat {
        /// The lock.
        path: PathBuf,
        /// What it says.
        theirs: u32,
        /// What this program writes.
        ours: u32,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Broken(Box<Broken>),
    /// Two tiers want one package in two versions.
    #[error(transparent)]
    #[diagnostic(transparent)]
    TwoVersions(Box<TwoVersions>),
    /// Equal inputs gave other bytes.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NotReproducible(Box<NotReproducible>),
    /// It could not be written.
    #[error("cannot write {}", path.display())]
    #[diagnostic(code(debstrata::lock::write), help("{}", write_hint(error)))]
    Write {
        /// The lock.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
}

/// A lock cannot lie anywhere else, so the next step is not that of other files.
fn write_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space on this disk and run the same command again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make its folder writable for the user that runs debstrata: a lock lies beside its manifests; \
             `build --locked` never writes it"
        }
        _ => "see what the system says about this file, then run the same command again",
    }
}

impl From<WriteError> for LockError {
    fn from(WriteError { path, source }: WriteError) -> Self {
        Self::Write { path, error: source }
    }
}

/// A value of the lock that cannot be.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(debstrata::lock::broken), help("{help}"))]
pub struct Broken {
    /// The lock.
    #[source_code]
    pub file: Source,
    /// Where.
    #[label("{label}")]
    pub span: SourceSpan,
    /// What is wrong.
    pub message: String,
    /// Said at the place itself.
    pub label: String,
    /// The next step.
    pub help: String,
}

/// One package in two versions for one architecture.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{package} is wanted in two versions: {version} in tier {tier}, {other_version} in tier {other_tier}")]
#[diagnostic(
    code(debstrata::lock::two_versions),
    help(
        "all tiers of a distribution share one version of a package: make the wishes of both tiers agree, or move one tier to a distribution of its own"
    )
)]
pub struct TwoVersions {
    /// The package.
    pub package: String,
    /// The tier that was added last.
    pub tier: String,
    /// What it got.
    pub version: String,
    /// The tier that has it already.
    pub other_tier: String,
    /// In this version.
    pub other_version: String,
}

/// A layer came out with other bytes although all that shapes it is the same.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{tier} for {architecture} is not reproducible: the lock has {recorded}, this build gave {built}")]
#[diagnostic(
    code(debstrata::lock::not_reproducible),
    help(
        "packages, manifests and format-version {format_version} are those of the lock, so the bytes should be too; \
         run `debstrata audit {tier} --arch {architecture}`, and please report what it says"
    )
)]
pub struct NotReproducible {
    /// In full, such as `debian13/cc`.
    pub tier: String,
    /// For which architecture.
    pub architecture: Architecture,
    /// Of the lock.
    pub recorded: DiffId,
    /// Of this build.
    pub built: DiffId,
    /// In which both were written.
    pub format_version: u32,
}

impl Failure for LockError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::Write { .. } => Class::World,
            Self::NotALock { .. }
            | Self::Conflict { .. }
            | Self::Newer { .. }
            | Self::NewerFormat { .. }
            | Self::Broken(_)
            | Self::TwoVersions(_)
            | Self::NotReproducible(_) => Class::User,
        }
    }
}
