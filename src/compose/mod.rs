//! One tier: rewrite for merged /usr, select by globs, merge, accounts, generated files, checks.
//! Every decision is kept. Knows no tar.
//!
//! [`compose`] reads as the order of the rules: where entries go (`layout`), which are kept
//! (`select`), who wins where several meet (`merge`), what the manifest itself puts there
//! (`declare`), and what must hold at the end (`finish`).

mod archives;
mod declare;
mod error;
mod expect;
mod finish;
mod ground;
mod kept;
mod layout;
mod limits;
mod merge;
mod remark;
mod replaces;
mod select;
mod users;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{
    debian::Architecture,
    ground::{RootPath, Span},
    manifest,
    rootfs::{Content, PackageName, Rootfs},
    unpack::Unpacked,
};

use crate::generate::Choice;

pub use crate::generate::Accounts;
pub use declare::read_beside;
pub use error::ComposeError;
pub use expect::{Unfulfilled, nearby, unfulfilled};
pub use ground::{Ground, GroundError};
pub use kept::{Kept, kept};
pub use layout::merged_usr;
pub use limits::{Load, OverLimit, asks_layer_size, over_limits, rootfs_size, set_id_files};
pub use remark::Remark;
pub use users::{Runner, UnknownUser, runners, unknown_users};

/// The contents of files beside a manifest, by their place on this machine.
pub type Beside = BTreeMap<PathBuf, Content>;

/// What a tier is made of.
#[derive(Debug, Clone, Copy)]
pub struct Composition<'a> {
    /// The distribution's `archive.toml`.
    pub archive: &'a manifest::Archive,
    /// The tier.
    pub tier: &'a manifest::Tier,
    /// Its full name, such as `debian13/cc`.
    pub name: &'a str,
    /// What it is composed for.
    pub architecture: Architecture,
    /// The tier's own packages: those that its manifest names in its order, then their dependencies.
    /// Where two claim a path with equal rights, the first one named wins.
    pub packages: &'a [Input<'a>],
    /// What [`read_beside`] gave of this tier.
    pub beside: &'a Beside,
    /// What the tier's `[[archives]]` hold, in their order.
    pub archives: &'a [&'a Unpacked],
    /// The tier below, if any.
    pub parent: Option<&'a Composed>,
}

/// One unpacked package of a tier.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// What it is called.
    pub name: Arc<PackageName>,
    /// What it holds.
    pub unpacked: &'a Unpacked,
}

/// A composed tier.
#[derive(Debug, Clone, Default)]
pub struct Composed {
    /// The merged tree of the tier and all its ancestors.
    pub rootfs: Rootfs,
    /// Users and groups of the chain.
    pub accounts: Accounts,
    /// What the chain's packages offer to update-alternatives, the root tier's first.
    choices: Vec<Choice>,
    /// What became of the maintainer scripts of the tier's own packages.
    pub scripts: Vec<crate::generate::scripts::Item>,
    /// What the user may want to know, of this tier only; in a stable order.
    pub remarks: Vec<Remark>,
    /// Entries of this tier's packages that are not in the tree, by path, then in package order.
    pub dropped: Vec<Dropped>,
    /// Of a tier that stands on an image that others made, and of that image itself: the image's tree.
    ground: Option<Arc<Rootfs>>,
    /// Whether this is such an image, and no tier.
    is_ground: bool,
    /// Control files of the chain's packages: what they replace counts for the tiers above too.
    controls: Vec<(Arc<PackageName>, Arc<[u8]>)>,
}

/// An entry of a package that is not in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Where it would be.
    pub path: RootPath,
    /// Whose it is.
    pub package: Arc<PackageName>,
    /// Why it is not there.
    pub why: Why,
}

/// Why an entry of a package is not in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// No include matches it.
    NotIncluded,
    /// An exclude matches it: the first that does, as a place in the tier's manifest.
    Excluded(Span),
    /// Another package's file replaces it (Policy 7.6.1).
    Replaced(Arc<PackageName>),
    /// The manifest of a parent tier puts something else there.
    ParentDeclares,
    /// After rewriting for merged /usr, a link to itself beside the real thing.
    LinkToItself,
}

/// Composes one tier on its parent. Reads no file contents but those that generators and
/// `[[files]]` need. All errors at once, in a stable order.
pub fn compose(composition: &Composition<'_>) -> Result<Composed, Vec<ComposeError>> {
    let layout = layout::Layout::of(composition);
    let selected = select::select(composition, &layout);
    let mut draft = merge::merge(composition, selected);
    let layout = layout.of_manifest();
    declare::declare(composition, &layout, &mut draft);
    finish::finish(composition, &layout, draft)
}
