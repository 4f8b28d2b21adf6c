//! What can go wrong between the rooms.

use std::path::PathBuf;

use miette::Diagnostic;

use super::{Failures, locking::lock_path, plan::Plan};
use crate::{
    archive::Package,
    compose::Remark,
    debian::Architecture,
    ground::{Class, Failure},
};

/// A lock that does not fit its manifests, where it may not be changed.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{} does not fit the manifests: {why}", lock.display())]
#[diagnostic(
    code(debstrata::pipeline::stale_lock),
    help("run `debstrata lock` (or build without --locked), review what changes, and commit the lock")
)]
pub(super) struct StaleLock {
    pub(super) lock: PathBuf,
    pub(super) why: String,
}

/// Layers that the lock records of other recipes, where it may not be changed.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{} records other layers than the manifests ask for now: {layers}", lock.display())]
#[diagnostic(
    code(debstrata::pipeline::edited),
    help(
        "a manifest, a file beside it, SOURCE_DATE_EPOCH or the layer format changed: build without --locked, review the \
         diff-ids that change, and commit the lock"
    )
)]
pub(super) struct EditedLayers {
    pub(super) lock: PathBuf,
    pub(super) layers: String,
}

/// A locked package whose source is no longer in archive.toml.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{package} is locked from {from}, which archive.toml of {distribution} does not have")]
#[diagnostic(
    code(debstrata::pipeline::unknown_source),
    help("run `debstrata lock` to resolve it from the sources there are")
)]
pub(super) struct UnknownSource {
    pub(super) package: String,
    pub(super) from: String,
    pub(super) distribution: String,
}

/// A package to upgrade that no tier has.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("no tier has a package called {name:?}")]
#[diagnostic(code(debstrata::pipeline::unknown_package))]
pub(super) struct UnknownPackage {
    pub(super) name: String,
    #[help]
    pub(super) help: Option<String>,
}

/// A .deb that unpacks to something else than the lock records.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{package} is the .deb of {}, but unpacks to something else than recorded there", lock.display())]
#[diagnostic(
    code(debstrata::pipeline::unpacks_otherwise),
    help(
        "another version of debstrata made the lock, or somebody edited it; once you know why, take `unpacked` out of the line of {package} to record it anew"
    )
)]
pub(super) struct UnpacksOtherwise {
    package: String,
    lock: PathBuf,
}

impl UnpacksOtherwise {
    pub(super) fn new(plan: &Plan<'_>, package: &Package) -> Self {
        Self { package: package.name.to_string(), lock: lock_path(plan.distribution) }
    }
}

/// Locked .debs vanished twice in one run.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("locked packages vanished from the mirrors again while the lock was brought up to date")]
#[diagnostic(
    code(debstrata::pipeline::moving),
    help("the archive is being updated right now; run the same command again")
)]
pub(super) struct Moving;

/// A lock had to move because its packages are gone.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{} was brought up to date: packages that it locked can be had nowhere any more\n{changes}", lock.display())]
#[diagnostic(
    code(debstrata::pipeline::moved),
    severity(Warning),
    help(
        "review and commit the lock; with --locked this is an error, and a source with `snapshot` keeps old packages reachable"
    )
)]
pub(super) struct Moved {
    pub(super) lock: PathBuf,
    pub(super) changes: String,
}

/// A remark of a composition, with the tier that it is about.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{title}: {remark}")]
#[diagnostic(forward(remark))]
pub(super) struct OfTier {
    pub(super) title: String,
    pub(super) remark: Remark,
}

/// An architecture that nobody asked for could not be locked.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{architecture} is left out of {}: {}", lock.display(), failures.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
#[diagnostic(
    code(debstrata::pipeline::left_out),
    severity(Warning),
    help("run `debstrata lock` when its mirrors are well again, or take it out of `architectures` in archive.toml")
)]
pub(super) struct LeftOut {
    pub(super) architecture: Architecture,
    pub(super) lock: PathBuf,
    pub(super) failures: Failures,
}

/// Locked packages that the signed indexes of the lock do not list.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{architecture}: the indexes that the lock trusts do not list {packages}")]
#[diagnostic(
    code(debstrata::pipeline::unlisted),
    severity(Warning),
    help(
        "a lock may hold what the archive has replaced since, and an edited one would look the same: \
         `debstrata lock --upgrade` takes what is listed"
    )
)]
pub(super) struct Unlisted {
    pub(super) architecture: Architecture,
    pub(super) packages: String,
}

/// An omission that omitted nothing.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("`omit` of {package} omits nothing")]
#[diagnostic(
    code(debstrata::pipeline::idle_omission),
    severity(Warning),
    help("remove it, or see whether its name is right")
)]
pub(super) struct IdleOmission {
    pub(super) package: String,
    #[label("no package of this tier depends on it")]
    pub(super) span: miette::SourceSpan,
}

macro_rules! class {
    ($($error:ty => $class:ident),* $(,)?) => {
        $(impl Failure for $error {
            fn class(&self) -> Class {
                Class::$class
            }
        })*
    };
}

class!(StaleLock => User, EditedLayers => User, UnpacksOtherwise => User, UnknownSource => User, UnknownPackage => User, Moving => World);
