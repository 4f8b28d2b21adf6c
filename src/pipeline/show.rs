//! What the tiers are made of, from manifests and locks alone.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Failures, Pick, Workshop,
    base::{image_of, is_of_image},
    locking,
    plan::packages_of,
};
use crate::{
    debian::Architecture,
    evidence::see::{Family, Glance, GlanceTier},
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
    /// The tier that it stands on.
    pub parent: Option<String>,
    /// The manifest's summary.
    pub summary: String,
    /// The whole chain's, root tier first.
    pub packages: Vec<ShownPackage>,
    /// The whole chain's, root tier first.
    pub layers: Vec<ShownLayer>,
    /// The images that it comes to: its own name, and those of its variants, such as `cc-debug-nonroot`.
    pub images: Vec<String>,
    /// What the plain image says of how a container starts: `[image]` of the chain, merged.
    pub config: ShownConfig,
    /// The other images.
    pub variants: Vec<ShownVariant>,
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

/// What an image says of how a container starts. What nothing says is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShownConfig {
    /// Who runs the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Its default arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// The environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Labels of the config.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Ports with their protocol.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// The signal that ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
}

impl ShownConfig {
    fn of(image: manifest::Image) -> Self {
        // In full, so that a new field must be decided on here.
        let manifest::Image {
            user,
            workdir,
            entrypoint,
            cmd,
            env,
            labels,
            annotations,
            volumes,
            exposed_ports,
            stop_signal,
        } = image;
        Self {
            user,
            workdir: workdir.map(|path| path.to_string()),
            entrypoint,
            cmd,
            env,
            labels,
            annotations,
            volumes: volumes.iter().map(ToString::to_string).collect(),
            exposed_ports: exposed_ports.into_iter().collect(),
            stop_signal,
        }
    }
}

/// An image of a tier that is not the plain one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownVariant {
    /// The image, such as `cc-debug-nonroot`.
    pub image: String,
    /// The tier of the layer on top, where it has one more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Bytes of all its layers' tars, where all were built.
    pub size: Option<u64>,
    /// How its containers start.
    pub config: ShownConfig,
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
    let mut planned = manifest::images(distribution, tier).into_iter();
    let size = |tier: usize| {
        let chain = distribution.chain(tier);
        let output = |tier: usize| lock.outputs.get(&(architecture, distribution.tiers[tier].name.clone()));
        chain.into_iter().map(|tier| output(tier).map(|output| output.size)).sum()
    };
    let (mut images, mut config, mut variants) = (Vec::new(), ShownConfig::default(), Vec::new());
    // Of a tier that stands for an overlay, the first image is the one with the overlay alone.
    if let Some(plain) = planned.next() {
        images.push(plain.name);
        config = ShownConfig::of(plain.image);
    }
    for image in planned {
        images.push(image.name.clone());
        variants.push(ShownVariant {
            image: image.name,
            layer: (image.tier != tier).then(|| distribution.tiers[image.tier].name.clone()),
            size: size(image.tier),
            config: ShownConfig::of(image.image),
        });
    }
    let tier = &distribution.tiers[tier];
    Ok(ShownTier {
        distribution: distribution.name.clone(),
        tier: tier.name.clone(),
        architecture,
        parent: tier.parent.as_ref().map(|parent| distribution.tiers[parent.value].name.clone()),
        summary: tier.summary.clone(),
        packages,
        layers,
        images,
        config,
        variants,
        opt_outs: lock.opt_outs(&distribution.name),
    })
}

/// What of these tiers is seen at a glance.
pub fn glance(workshop: &Workshop, shown: &[ShownTier]) -> Glance {
    let mut families: BTreeMap<(usize, Architecture), Family> = BTreeMap::new();
    let distributions = &workshop.project.distributions;
    for tier in shown {
        let place = distributions.iter().position(|one| one.name == tier.distribution);
        let Some((place, distribution)) = place.and_then(|place| Some((place, distributions.get(place)?))) else {
            continue;
        };
        let family = families.entry((place, tier.architecture)).or_insert_with(|| Family {
            distribution: distribution.name.clone(),
            summary: distribution.archive.summary.clone(),
            architecture: tier.architecture.to_string(),
            tiers: Vec::new(),
        });
        let own_name = |image: &ShownVariant| {
            let rest = image.image.strip_prefix(tier.tier.as_str())?;
            Some(rest.strip_prefix('-')?.to_owned())
        };
        family.tiers.push(GlanceTier {
            name: tier.tier.clone(),
            parent: tier.parent.clone(),
            summary: tier.summary.clone(),
            adds: tier.packages.iter().filter(|package| package.tier == tier.tier).count(),
            packages: tier.packages.len(),
            layer: tier.layers.last().and_then(|layer| layer.size),
            size: tier.size(),
            variants: tier.variants.iter().filter_map(own_name).collect(),
        });
    }
    Glance { families: families.into_values().collect() }
}
