//! `debstrata.lock`: its two sections (inputs, outputs), staleness and recipes. Knows neither how
//! to resolve nor how to build. docs/lock.md describes the file.

mod canon;
mod compare;
mod error;
mod question;
mod read;
mod recipe;
mod stale;
mod verdict;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

pub use compare::{Change, Changes, Side, changes};
pub use error::{Broken, LockError, NotReproducible, TwoVersions};
pub use question::{archive_digests, digest as question_digest, linked_digest};
pub use recipe::{Ingredients, recipe};
pub use stale::{Staleness, TierKey, Wanted, staleness};
pub use verdict::judge;

use crate::{
    archive::{Package, TrustRecord},
    debian::Architecture,
    ground::{DiffId, Sha256, printable},
    manifest::ForeignBase,
};

/// The file's name, beside `archive.toml`.
pub const FILE_NAME: &str = "debstrata.lock";

/// The version of the file's own layout. A reader refuses a higher one by name.
pub const SCHEMA: u32 = 1;

/// What `debstrata.lock` of one distribution holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// The format version of the layers in `outputs`.
    pub format_version: u32,
    /// What was trusted, sorted by [`TrustRecord::id`].
    pub suites: Vec<TrustRecord>,
    /// Inputs: what was resolved.
    pub architectures: BTreeMap<Architecture, Inputs>,
    /// Outputs: what was built of it.
    pub outputs: BTreeMap<TierKey, Output>,
}

/// What was resolved for one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// Each package once, by name: no two tiers can hold two versions.
    pub packages: BTreeMap<Box<str>, Locked>,
    /// By tier name.
    pub tiers: BTreeMap<String, LockedTier>,
}

/// One locked .deb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// All that is needed to fetch and verify it.
    pub package: Package,
    /// Digest of what it unpacks to; filled in by the first build.
    pub unpacked: Option<Sha256>,
}

/// What one tier asked for and got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedTier {
    /// Digest of its question to the resolver, see [`question_digest`].
    pub question: Sha256,
    /// Names of the packages that it adds to its parent's, in the order of the answer.
    pub packages: Vec<Box<str>>,
    /// Dependencies that nothing in the chain meets and no omission declares, in words: here so that
    /// a review of the lock sees a new one, and every build can say them again.
    pub unmet: Vec<String>,
    /// With `dependencies = "linked"`: what `"all"` would have added.
    pub saved: Option<Saved>,
    /// The image that others made, on which it stands.
    pub base: Option<LockedBase>,
}

/// An image that others made, as the lock names it. Its digest is part of the tier's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedBase {
    /// Where it was, as the manifest had it then.
    pub oci: String,
    /// SHA-256 of its index or manifest.
    pub digest: Sha256,
}

impl LockedBase {
    /// What a manifest names.
    pub fn of(base: &ForeignBase) -> Self {
        Self { oci: base.oci.value.clone(), digest: base.digest.value }
    }
}

/// Packages that a tier does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// How many.
    pub packages: usize,
    /// Bytes of their .debs.
    pub size: u64,
}

/// What one tier was built to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// Digest of all that shapes the layer, see [`recipe()`].
    pub recipe: Sha256,
    /// Of the uncompressed tar.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar.
    pub size: u64,
}

impl Lock {
    /// A tier's own packages (not its parents'), in the order of the answer; `None` where the lock
    /// has no such tier.
    pub fn packages_of(&self, architecture: Architecture, tier: &str) -> Option<Vec<&Locked>> {
        let inputs = self.architectures.get(&architecture)?;
        inputs.tiers.get(tier)?.packages.iter().map(|name| inputs.packages.get(name)).collect()
    }

    /// What `allow-unsigned` and `allow-expired` let pass, and which .debs are the user's own, in words, for every summary:
    /// `debian13/local/./: nobody signed it (allow-unsigned)`.
    pub fn opt_outs(&self, distribution: &str) -> Vec<String> {
        let of_suite = |suite: &TrustRecord| {
            let local = suite
                .folder
                .as_ref()
                .map(|folder| format!("nobody signed it: .debs of the folder {}", printable(folder.as_bytes())));
            let unsigned = suite.signer.is_none() && local.is_none();
            let unsigned = unsigned.then(|| "nobody signed it (allow-unsigned)".to_owned());
            let expired = suite.expired.then(|| "it is past its Valid-Until (allow-expired)".to_owned());
            let name = printable(format!("{distribution}/{}", suite.id).as_bytes());
            local.into_iter().chain(unsigned).chain(expired).map(move |why| format!("{name}: {why}"))
        };
        self.suites.iter().flat_map(of_suite).collect()
    }

    /// That this program knows the lock's layers: `ours` is the format version that it writes, `path`
    /// the lock's. A higher one is [`LockError::NewerFormat`]; a lower one only means that the layers
    /// are built anew.
    pub fn check_format(&self, path: &Path, ours: u32) -> Result<(), LockError> {
        if self.format_version <= ours {
            return Ok(());
        }
        Err(LockError::NewerFormat { path: path.to_owned(), theirs: self.format_version, ours })
    }

    /// All .debs, architecture by architecture.
    pub fn debs(&self) -> impl Iterator<Item = &Package> {
        self.architectures.values().flat_map(|inputs| inputs.packages.values()).map(|locked| &locked.package)
    }

    /// Takes over from `old` what resolving again does not know: the outputs, and, where the format
    /// version is the same, what unchanged packages unpack to.
    pub fn carry(&mut self, old: &Lock) {
        self.outputs = old.outputs.clone();
        if self.format_version != old.format_version {
            return;
        }
        for (architecture, inputs) in &mut self.architectures {
            let Some(before) = old.architectures.get(architecture) else { continue };
            for (name, locked) in &mut inputs.packages {
                let same = before.packages.get(name).filter(|old| old.package.sha256 == locked.package.sha256);
                locked.unpacked = locked.unpacked.or(same.and_then(|old| old.unpacked));
            }
        }
    }

    /// Drops outputs of tiers that are no longer among the inputs, and packages that no tier names.
    pub fn forget_strays(&mut self) {
        let Self { architectures, outputs, .. } = self;
        outputs.retain(|(architecture, tier), _| {
            architectures.get(architecture).is_some_and(|inputs| inputs.tiers.contains_key(tier))
        });
        for inputs in architectures.values_mut() {
            let named: BTreeSet<&str> =
                inputs.tiers.values().flat_map(|tier| tier.packages.iter().map(|name| &**name)).collect();
            inputs.packages.retain(|name, _| named.contains(&**name));
        }
    }
}

impl Inputs {
    /// Adds a tier with its answer. A package that another tier locked in another version (two
    /// branches of the tier graph can ask for that) is an error that names both.
    pub fn insert<'a>(
        &mut self,
        tier: &str,
        question: Sha256,
        packages: impl IntoIterator<Item = &'a Package>,
        unmet: Vec<String>,
    ) -> Result<(), LockError> {
        let mut names = Vec::new();
        for package in packages {
            match self.packages.get(&package.name) {
                Some(locked) if locked.package.sha256 != package.sha256 => {
                    return Err(self.two_versions(tier, package, &locked.package));
                }
                Some(_) => {}
                None => {
                    let locked = Locked { package: package.clone(), unpacked: None };
                    self.packages.insert(package.name.clone(), locked);
                }
            }
            names.push(package.name.clone());
        }
        self.tiers.insert(tier.to_owned(), LockedTier { question, packages: names, unmet, saved: None, base: None });
        Ok(())
    }

    fn two_versions(&self, tier: &str, wanted: &Package, locked: &Package) -> LockError {
        let holder = self.tiers.iter().find(|(_, other)| other.packages.contains(&wanted.name));
        LockError::TwoVersions(Box::new(TwoVersions {
            package: wanted.name.to_string(),
            tier: tier.to_owned(),
            version: wanted.version.to_string(),
            other_tier: holder.map_or_else(|| tier.to_owned(), |(name, _)| name.clone()),
            other_version: locked.version.to_string(),
        }))
    }
}
