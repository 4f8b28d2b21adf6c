//! What the locks of a project refer to in the cache.

use std::{collections::BTreeSet, path::Path};

use super::{Failures, locking::read_lock};
use crate::{cache::Sort, ground::Sha256, manifest};

/// Digests that the locks and manifests of a project name.
#[derive(Debug, Default)]
pub struct Referred {
    downloads: BTreeSet<Sha256>,
    recipes: BTreeSet<Sha256>,
}

/// Reads the manifests and locks of the project in `root`.
///
/// # Errors
/// All that keeps one of them from being read: then nothing could be said to be unused.
pub fn referred(root: &Path) -> Result<Referred, Failures> {
    let project = manifest::load(root)?.project;
    let mut referred = Referred::default();
    for distribution in &project.distributions {
        let tarballs = distribution.tiers.iter().flat_map(|tier| &tier.archives);
        referred.downloads.extend(tarballs.map(|tarball| tarball.sha256));
        let Some(lock) = read_lock(distribution)? else { continue };
        referred.downloads.extend(lock.debs().map(|package| package.sha256));
        referred.downloads.extend(lock.suites.iter().map(|suite| suite.inrelease));
        referred.recipes.extend(lock.outputs.values().map(|output| output.recipe));
    }
    Ok(referred)
}

impl Referred {
    /// Whether something in the cache is referred to, or is of a kind that no lock ever names (indexes,
    /// compressed members, records): that goes by age or size alone.
    pub fn keeps(&self, sort: &Sort) -> bool {
        let digest = |key: &str| key.get(..64).and_then(|hex| hex.parse::<Sha256>().ok());
        match sort {
            Sort::Download(sha256) => self.downloads.contains(sha256),
            Sort::Derived(kind, key) if kind == "unpacked" => {
                digest(key).is_some_and(|sha256| self.downloads.contains(&sha256))
            }
            Sort::Derived(kind, key) if kind == "made" => {
                digest(key).is_some_and(|recipe| self.recipes.contains(&recipe))
            }
            _ => true,
        }
    }
}
