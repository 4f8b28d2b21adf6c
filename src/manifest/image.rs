//! What manifests say of images: configs and variants, and which images they come to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Distribution, Tier, model};
use crate::ground::{RootPath, Spanned};

/// `[image]`, or the part of a variant that is like it. What is `None` or empty is the parent's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Who runs the process: names or numbers, `user` or `user:group`.
    pub user: Option<String>,
    /// Where it starts.
    pub workdir: Option<RootPath>,
    /// The program; an empty list is none at all, whatever the parent says.
    pub entrypoint: Option<Vec<String>>,
    /// Its default arguments; an empty list is none at all, whatever the parent says.
    pub cmd: Option<Vec<String>>,
    /// The environment: merged by key.
    pub env: BTreeMap<String, String>,
    /// Labels of the config: merged by key.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest: merged by key.
    pub annotations: BTreeMap<String, String>,
    /// Volumes: added to the parent's.
    pub volumes: BTreeSet<RootPath>,
    /// Ports with their protocol, such as `8080/tcp`: added to the parent's.
    pub exposed_ports: BTreeSet<String>,
    /// The signal that ends it: a name such as `SIGTERM`, or a number.
    pub stop_signal: Option<String>,
}

/// `[variants.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// `NAME`
    pub name: Spanned<String>,
    /// What it overrides.
    pub image: Image,
    /// The tier whose layer goes on top, by name.
    pub overlay: Option<Spanned<String>>,
}

/// What a tier that no file declares stands for: an overlay on top of another tier. Its manifest is that
/// of the overlay, its parent the tier below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlaid {
    /// The tier below, by index; the parent too.
    pub below: usize,
    /// The tier whose manifest it has, by index.
    pub overlay: usize,
    /// The variant that wants it.
    pub variant: String,
}

/// An image that a tier comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The tier's name and those of the variants, such as `cc-debug-nonroot`.
    pub name: String,
    /// The tier whose chain its layers are, by index: the tier itself, or one that stands for the tier
    /// with an overlay on top.
    pub tier: usize,
    /// What the chain says of the config, merged, the variants' overrides last. Neither `entrypoint` nor
    /// `cmd` is an empty list here.
    pub image: Image,
}

/// The images of a tier: plain, its variants without overlay, and each overlay, alone and with each
/// variant that has none. Of a tier that stands for an overlay: the images that have its layer.
pub fn images(distribution: &Distribution, tier: usize) -> Vec<Planned> {
    images_on(distribution, tier, &Image::default())
}

/// The same, where the root tier stands on an image with this config.
pub fn images_on(distribution: &Distribution, tier: usize, ground: &Image) -> Vec<Planned> {
    let tiers = &distribution.tiers;
    if let Some(overlaid) = &tiers[tier].stands_for {
        let mut all = images_on(distribution, overlaid.below, ground);
        all.retain(|planned| planned.tier == tier);
        return all;
    }
    let name = &tiers[tier].name;
    let chain = model::chain(tiers, tier);
    let own = chain.iter().fold(ground.clone(), |image, at| image.under(&tiers[*at].image));
    let variants = inherited(tiers, tier);
    let plain: Vec<_> = variants.iter().filter(|(_, variant)| variant.overlay.is_none()).collect();
    let planned = |name, tier, image| Planned { name, tier, image: Image::settled(image) };
    let mut all = vec![planned(name.clone(), tier, own.clone())];
    for (suffix, variant) in &plain {
        all.push(planned(format!("{name}-{suffix}"), tier, own.clone().under(&variant.image)));
    }
    for (at, derived) in tiers.iter().enumerate() {
        let Some(overlaid) = derived.stands_for.as_ref().filter(|overlaid| overlaid.below == tier) else { continue };
        let Some(overlay) = variants.get(overlaid.variant.as_str()) else { continue };
        let with_overlay = own.clone().under(&overlay.image);
        all.push(planned(derived.name.clone(), at, with_overlay.clone()));
        for (suffix, variant) in &plain {
            let mut image = with_overlay.clone().under(&variant.image);
            // An overlay is there for its program, whoever runs it.
            if overlay.image.entrypoint.is_some() || overlay.image.cmd.is_some() {
                (image.entrypoint, image.cmd) = (with_overlay.entrypoint.clone(), with_overlay.cmd.clone());
            }
            all.push(planned(format!("{}-{suffix}", derived.name), at, image));
        }
    }
    all
}

/// A variant as a tier has it from all its chain.
pub(super) struct Inherited<'a> {
    /// Its overrides, the tier's own last.
    pub image: Image,
    /// The overlay, and the tier that names it, by index.
    pub overlay: Option<(usize, &'a Spanned<String>)>,
    /// The nearest tier that has the variant, by index, and where.
    pub declared: (usize, &'a Spanned<String>),
}

/// The variants of a tier and its parents, by name.
pub(super) fn inherited(tiers: &[Tier], tier: usize) -> BTreeMap<&str, Inherited<'_>> {
    let mut all: BTreeMap<&str, Inherited<'_>> = BTreeMap::new();
    for at in model::chain(tiers, tier) {
        for variant in &tiers[at].variants {
            let overlay = variant.overlay.as_ref().map(|overlay| (at, overlay));
            let declared = (at, &variant.name);
            let before = all.remove(variant.name.value.as_str());
            let (image, above) = before.map_or_else(Default::default, |before| (before.image, before.overlay));
            let merged = Inherited { image: image.under(&variant.image), overlay: overlay.or(above), declared };
            all.insert(&variant.name.value, merged);
        }
    }
    all
}

impl Image {
    /// This one with another on top, whose word counts.
    fn under(mut self, above: &Image) -> Image {
        // In full, so that a new field must be decided on here.
        let Image { user, workdir, entrypoint, cmd, env, labels, annotations, volumes, exposed_ports, stop_signal } =
            above;
        let own = |map: &BTreeMap<String, String>| map.clone();
        // Arguments are meant for the program that stood beside them, as in Dockerfiles.
        self.cmd = cmd.clone().or(self.cmd.filter(|_| entrypoint.is_none()));
        self.entrypoint = entrypoint.clone().or(self.entrypoint);
        self.user = user.clone().or(self.user);
        self.workdir = workdir.clone().or(self.workdir);
        self.stop_signal = stop_signal.clone().or(self.stop_signal);
        self.env.extend(own(env));
        self.labels.extend(own(labels));
        self.annotations.extend(own(annotations));
        self.volumes.extend(volumes.iter().cloned());
        self.exposed_ports.extend(exposed_ports.iter().cloned());
        self
    }

    /// Lists that say "none at all" have said it.
    fn settled(mut self) -> Image {
        self.entrypoint = self.entrypoint.filter(|program| !program.is_empty());
        self.cmd = self.cmd.filter(|arguments| !arguments.is_empty());
        self
    }
}
