//! Which files of packages a tier keeps, before anything is merged: for whoever must know it while the
//! set of packages is still open.

use super::{Composition, layout::Layout, select};
use crate::{
    ground::RootPath,
    rootfs::{Node, PackageName},
};

/// An entry that a tier's globs keep.
#[derive(Debug, Clone)]
pub struct Kept<'a> {
    /// Its final path: after rewriting for merged /usr, and behind links of the same packages.
    pub path: RootPath,
    /// Whose it is.
    pub package: &'a PackageName,
    /// What it is.
    pub node: Node,
    /// Twelve bits.
    pub mode: u16,
}

/// The entries of the composition's packages that [`super::compose`] would keep, by path; where several
/// packages have one path, all of them. What cannot be placed is left out: composing tells it.
pub fn kept<'a>(composition: &Composition<'a>) -> Vec<Kept<'a>> {
    let layout = Layout::of(composition);
    let claims = select::select(composition, &layout).claims.into_iter();
    let kept = claims.map(|claim| Kept {
        node: claim.node().clone(),
        mode: claim.item.attributes.mode,
        package: claim.package,
        path: claim.path,
    });
    kept.collect()
}
