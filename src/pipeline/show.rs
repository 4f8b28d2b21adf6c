//! What the tiers are made of, from manifests and locks alone.

use serde::Serialize;

use super::{
    Failures, Pick, Workshop,
    base::{image_of, is_of_image},
    locking,
    plan::packages_of,
};
use crate::{
    debian::Architecture,
    ground::{DiffId, Sha256},
    lock::Lock,
    manifest,
};

/// One tier of one architecture. `show --json` prints one as an object where one tier was named and
/// one was found, and a list in every other case.
#[derive(Debug, Clone, Serialize)]
pub struct ShownTier {
    /// The distribution.
    pub distribution: String,
    /// The tier.
    pub tier: String,
    /// The architecture.
    pub architecture: Architecture,
    /// The manifest's summary.
    pub summary: String,
    /// The whole chain's, root tier first.
    pub packages: Vec<ShownPackage>,
    /// The whole chain's, root tier first.
    pub layers: Vec<ShownLayer>,
    /// The images that it comes to: its own name, and those of its variants, such as `cc-debug-nonroot`.
    pub images: Vec<String>,
    /// Suites that an `allow-unsigned` or `allow-expired` of the manifest let pass.
    pub opt_outs: Vec<String>,
}

/// One package of a tier.
#[derive(Debug, Clone, Serialize)]
pub struct ShownPackage {
    /// Binary package name.
    pub name: Box<str>,
    /// Its version.
    pub version: String,
    /// `all` or an architecture.
    pub architecture: Box<str>,
    /// Source package name.
    pub source: Box<str>,
    /// Bytes of the .deb; 0 where there is none.
    pub size: u64,
    /// Of the .deb.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The image that others made and that has it; then there is no .deb.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Which tier of the chain adds it.
    pub tier: String,
}

/// One layer of a tier's chain.
#[derive(Debug, Clone, Serialize)]
pub struct ShownLayer {
    /// The tier that adds it.
    pub tier: String,
    /// As the lock records it; none before the first build.
    pub diff_id: Option<DiffId>,
    /// Bytes of the uncompressed tar.
    pub size: Option<u64>,
}

impl ShownTier {
    /// Bytes of all layers' tars, where all were built.
    pub fn size(&self) -> Option<u64> {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

/// The named tiers of the picks. Without a lock, packages and layers are not known: an error.
pub fn show(workshop: &Workshop, picks: &[Pick]) -> Result<Vec<ShownTier>, Failures> {
    let show_pick = |pick: &Pick| {
        let distribution = &workshop.project.distributions[pick.distribution];
        let lock = locking::read_fresh(distribution, |architecture| pick.architectures.contains(&architecture))?;
        let each = pick.architectures.iter().flat_map(|arch| pick.named.iter().map(|tier| (*tier, *arch)));
        Failures::gather(each.map(|(tier, architecture)| one(workshop, distribution, tier, architecture, &lock)))
    };
    Ok(Failures::gather(picks.iter().map(show_pick))?.into_iter().flatten().collect())
}

fn one(
    workshop: &Workshop,
    distribution: &crate::manifest::Distribution,
    tier: usize,
    architecture: Architecture,
    lock: &Lock,
) -> Result<ShownTier, Failures> {
    let mut packages = Vec::new();
    let mut layers = Vec::new();
    for index in distribution.chain(tier) {
        let name = &distribution.tiers[index].name;
        let ground = workshop.ground(distribution, index, architecture)?;
        let present = ground.iter().flat_map(|ground| &ground.packages).map(|one| &one.package);
        packages.extend(present.chain(packages_of(lock, architecture, name)).map(|package| ShownPackage {
            name: package.name.clone(),
            version: package.version.to_string(),
            architecture: package.architecture.clone(),
            source: package.source.clone(),
            size: package.size,
            sha256: Some(package.sha256).filter(|_| !is_of_image(package)),
            image: image_of(package),
            tier: name.clone(),
        }));
        let output = lock.outputs.get(&(architecture, name.clone()));
        layers.push(ShownLayer {
            tier: name.clone(),
            diff_id: output.map(|output| output.diff_id),
            size: output.map(|output| output.size),
        });
    }
    let images = manifest::images(distribution, tier).into_iter().map(|image| image.name).collect();
    let tier = &distribution.tiers[tier];
    Ok(ShownTier {
        distribution: distribution.name.clone(),
        tier: tier.name.clone(),
        architecture,
        summary: tier.summary.clone(),
        packages,
        layers,
        images,
        opt_outs: lock.opt_outs(&distribution.name),
    })
}
