//! Images from the layers of a build: into layouts, and into archives for docker.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use super::{
    BuiltTier, Failures, Formats, Pick, Workshop,
    building::{Round, unchanged},
    plan::{OutputFile, Plan, Step},
    written::Written,
};
use crate::{
    debian::Architecture,
    ground::{Sha256, write_whole_with},
    image::{
        Descriptor, Digest, Image, Layer, Platform, config,
        docker::{self, DockerError, Stacked},
        layout::{INDEX_NAME, MARKER_NAME, Session, blobs_folder},
    },
    layer::Form,
    manifest::{self, Distribution, Planned},
    outputs::{self, Outputs, Place, docker_name, layout_name},
};

/// One image of a build, for one architecture.
#[derive(Debug, Clone, Serialize)]
pub struct BuiltImage {
    /// Its name in the distribution, such as `cc-nonroot`.
    pub name: String,
    /// Its architecture.
    pub architecture: Architecture,
    /// How many layers it has.
    pub layers: usize,
    /// Bytes of its compressed layers.
    pub size: u64,
    /// SHA-256 of its config: what docker calls its ID.
    pub config: Digest,
    /// SHA-256 of its manifest in the layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// The same, whole.
    #[serde(skip)]
    pub(super) descriptor: Option<Descriptor>,
    /// The tier of its last layer, by index.
    #[serde(skip)]
    pub(super) top: usize,
    /// SHA-256 of the index in the layout, over all architectures that it has there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<Digest>,
    /// What `docker load` calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The files that were written, or were there already; what is in the layout is in no list.
    pub outputs: Vec<OutputFile>,
}

/// The images of the named tiers, by name, with the tiers that they are images of. `ground` gives what a
/// tier inherits of an image that others made.
fn planned_on(
    distribution: &Distribution,
    named: &[usize],
    ground: impl Fn(usize) -> manifest::Image,
) -> BTreeMap<String, (usize, Planned)> {
    let mut all = BTreeMap::new();
    for tier in named {
        for image in manifest::images_on(distribution, *tier, &ground(*tier)) {
            // A tier that stands for another one with an overlay is known by that one's name.
            let of = distribution.tiers[*tier].stands_for.as_ref().map_or(*tier, |one| one.below);
            all.entry(image.name.clone()).or_insert((of, image));
        }
    }
    all
}

/// The same with what manifests alone say: which images there are.
fn planned(distribution: &Distribution, named: &[usize]) -> BTreeMap<String, (usize, Planned)> {
    planned_on(distribution, named, |_| manifest::Image::default())
}

/// The layouts of all picked distributions, held until they are written. What cannot be written is found
/// here, before any work.
pub(super) fn layouts(
    workshop: &Workshop,
    picks: &[Pick],
    outputs: &Outputs,
    formats: &Formats,
) -> Result<BTreeMap<usize, Session>, Failures> {
    let begin = |pick: &Pick| {
        let distribution = &workshop.project.distributions[pick.distribution];
        for (tier, image) in planned(distribution, &pick.named).into_values().filter(|_| formats.docker) {
            docker::tag(&distribution.name, &distribution.tiers[tier].name, &image.name)?;
        }
        let root = outputs.path(&layout_name(&distribution.name));
        let session = formats.oci.map(|_| Session::begin(&root)).transpose()?;
        Ok(session.map(|session| (pick.distribution, session)))
    };
    let begun = Failures::gather(picks.iter().map(begin))?;
    Ok(begun.into_iter().flatten().collect())
}

/// The files of layouts that several processes may rewrite.
pub(super) fn shared(built: &[BuiltTier], formats: &Formats) -> BTreeSet<String> {
    let distributions = built.iter().filter(|_| formats.oci.is_some()).map(|tier| layout_name(&tier.distribution));
    distributions.flat_map(|name| [INDEX_NAME, MARKER_NAME].map(|file| format!("{name}/{file}"))).collect()
}

/// Whether a form of a layer lies in all its places. One that lies somewhere is brought to the others.
pub(super) fn lies_in(
    workshop: &Workshop,
    plan: &Plan<'_>,
    step: &Step,
    form: Form,
    places: &[Place],
    digest: &Sha256,
    outputs: &Outputs,
) -> Result<bool, Failures> {
    let (mut there, mut missing) = (None, Vec::new());
    for place in places {
        let name = place.name(digest);
        match unchanged(workshop, outputs, &name, digest)? {
            true => there = Some(name),
            false => missing.push(name),
        }
    }
    if missing.is_empty() {
        return Ok(true);
    }
    if there.is_none() {
        let others = [Place::File(plan.layer_name(step, form)), plan.blob_place()];
        for other in others.iter().filter(|other| !places.contains(other)) {
            let name = other.name(digest);
            if outputs.is(&name, digest)? {
                there = Some(name);
                break;
            }
        }
    }
    let Some(there) = there else { return Ok(false) };
    missing.iter().try_for_each(|name| outputs.share(&there, name))?;
    Ok(true)
}

/// An image that is about to be written.
struct Order<'p> {
    /// Which tier of the build has it.
    at: usize,
    plan: &'p Plan<'p>,
    /// With the layers of the layout, if there is one.
    image: Image,
    /// The tier of its last layer.
    top: usize,
    /// The same for docker, and its tag.
    docker: Option<(Image, String)>,
}

/// Writes the images whose layers are all there, and adds them to what was built.
pub(super) fn publish(
    workshop: &Workshop,
    picks: &[Pick],
    plans: &[Plan<'_>],
    round: &mut Round,
    mut layouts: BTreeMap<usize, Session>,
    outputs: &Outputs,
    formats: &Formats,
) {
    for pick in picks.iter().filter(|_| formats.images()) {
        let distribution = &workshop.project.distributions[pick.distribution];
        let plans = plans.iter().filter(|plan| plan.pick.distribution == pick.distribution);
        let orders: Vec<Order<'_>> =
            plans.flat_map(|plan| orders(workshop, plan, &round.built, outputs, formats)).collect();
        let shared = orders.iter().filter(|_| formats.oci.is_some()).map(|order| {
            let grounds = order.plan.grounds.values();
            let folder = blobs_folder(std::path::Path::new(&layout_name(&distribution.name)));
            let folder = folder.to_str().expect("names of distributions are ASCII").to_owned();
            grounds.map(move |ground| (ground.clone(), folder.clone())).collect::<Vec<_>>()
        });
        let shared: Vec<_> = shared.flatten().collect();
        let shared = Failures::gather(shared.iter().map(|(ground, folder)| ground.share(workshop, outputs, folder)));
        if let Err(failures) = shared {
            round.failures.push(failures);
            continue;
        }
        let written = match layouts.remove(&pick.distribution) {
            Some(session) => {
                let images: Vec<Image> = orders.iter().map(|order| order.image.clone()).collect();
                session.publish(&images).map_err(|error| round.failures.push(error.into())).unwrap_or_default()
            }
            None => Vec::new(),
        };
        for (number, (order, load)) in orders.iter().zip(loads(workshop, &orders, outputs)).enumerate() {
            let written = written.get(number);
            let load = load.map_err(|failures| round.failures.push(failures)).unwrap_or_default();
            round.built[order.at].images.push(BuiltImage {
                name: order.image.name.clone(),
                architecture: order.plan.architecture,
                layers: order.image.layers.len(),
                size: order.image.layers.iter().map(|layer| layer.size).sum(),
                config: config::documents(&order.image).config_descriptor.digest,
                manifest: written.map(|written| written.manifest.digest),
                descriptor: written.map(|written| written.manifest.clone()),
                top: order.top,
                index: written.map(|written| written.index.digest),
                tag: order.docker.as_ref().map(|(_, tag)| tag.clone()),
                outputs: load.into_iter().collect(),
            });
        }
    }
}

/// The images of a plan whose layers are all there: what is not has told why.
fn orders<'p>(
    workshop: &Workshop,
    plan: &'p Plan<'p>,
    built: &[BuiltTier],
    outputs: &Outputs,
    formats: &Formats,
) -> Vec<Order<'p>> {
    let distribution = plan.distribution;
    let places: BTreeMap<&str, usize> = built
        .iter()
        .enumerate()
        .filter(|(_, tier)| tier.distribution == distribution.name && tier.architecture == plan.architecture)
        .map(|(at, tier)| (&*tier.tier, at))
        .collect();
    let place = |tier: usize| places.get(&*distribution.tiers[tier].name).copied();
    let order = |(tier, planned): (usize, Planned)| {
        let chain = distribution.chain(planned.tier).into_iter();
        let chain: Vec<&BuiltTier> = chain.map(|tier| Some(&built[place(tier)?])).collect::<Option<_>>()?;
        let form = formats.oci.unwrap_or(Form::TarGz);
        let below: Vec<Layer> = plan.ground(planned.tier).map(|ground| ground.base.layers.clone()).unwrap_or_default();
        let layers = |form| {
            let own = chain.iter().map(|tier| layer(plan, tier, form, outputs, formats));
            below.iter().cloned().map(Some).chain(own).collect::<Option<_>>()
        };
        let image = Image {
            name: planned.name,
            platform: Platform::of(plan.architecture),
            settings: planned.image,
            created: plan.mtime(workshop),
            layers: layers(form)?,
            history: plan.ground(planned.tier).map(|ground| ground.base.history.clone()).unwrap_or_default(),
        };
        let docker = match formats.docker {
            true => {
                let tag = docker::tag(&distribution.name, &distribution.tiers[tier].name, &image.name);
                let tag = tag.expect("tags were tried before the work began");
                Some((Image { layers: layers(Form::TarGz)?, ..image.clone() }, tag))
            }
            false => None,
        };
        Some(Order { at: place(tier)?, plan, image, top: planned.tier, docker })
    };
    let inherited = |tier| plan.ground(tier).map(|ground| ground.base.settings.clone()).unwrap_or_default();
    planned_on(distribution, &plan.pick.named, inherited).into_values().filter_map(order).collect()
}

/// A form of a tier's layer, where this build has it.
fn layer(plan: &Plan<'_>, tier: &BuiltTier, form: Form, outputs: &Outputs, formats: &Formats) -> Option<Layer> {
    let blob = tier.blobs.get(form.extension())?;
    let name = match formats.oci == Some(form) {
        true => plan.blob_place().name(&blob.digest),
        false => outputs::layer_name(&tier.distribution, tier.architecture, &tier.tier, form),
    };
    Some(Layer {
        diff_id: tier.diff_id,
        form,
        digest: blob.digest,
        size: blob.size,
        path: outputs.path(&name),
        title: format!("{}/{}", tier.distribution, tier.tier),
    })
}

/// The derived data that tell which archive an image gives, by [`docker::recipe`].
const LOADS: &str = "docker";

/// The docker archives of all orders, in their order; what is there already is not written again.
fn loads(workshop: &Workshop, orders: &[Order<'_>], outputs: &Outputs) -> Vec<Result<Option<OutputFile>, Failures>> {
    let there: Vec<_> = orders.par_iter().map(|order| there(workshop, order, outputs)).collect();
    let missing = orders.iter().zip(&there).filter(|(_, there)| matches!(there, Ok(None)));
    let missing = missing.filter_map(|(order, _)| Some(&order.docker.as_ref()?.0.layers));
    let stacks = match stacks(missing.collect()) {
        Ok(stacks) => stacks,
        Err(error) => {
            let mut error = Some(error);
            let told = |there: Result<Option<OutputFile>, Failures>| match there {
                Ok(None) => error.take().map_or(Ok(None), |error| Err(error.into())),
                other => other,
            };
            return there.into_iter().map(told).collect();
        }
    };
    let write = |(order, there): (&Order<'_>, Result<Option<OutputFile>, Failures>)| match (&order.docker, there) {
        (Some((image, tag)), Ok(None)) => {
            let (name, recipe) = (order.docker_name(), docker::recipe(image, tag));
            let archive = docker::Archive::new(image, tag, &stacks[&key(&image.layers)]);
            let written = Written { digest: archive.digest, size: archive.size };
            write_whole_with(&outputs.path(&name), |file| archive.write(file))?;
            written.keep(workshop, LOADS, &recipe.to_string(), &name, outputs).map(Some)
        }
        (_, there) => there,
    };
    orders.par_iter().zip(there).map(write).collect()
}

impl Order<'_> {
    fn docker_name(&self) -> String {
        docker_name(&self.plan.distribution.name, self.plan.architecture, &self.image.name)
    }
}

/// The archive that an earlier run wrote, as it was then.
fn there(workshop: &Workshop, order: &Order<'_>, outputs: &Outputs) -> Result<Option<OutputFile>, Failures> {
    let Some((image, tag)) = &order.docker else { return Ok(None) };
    let recipe = docker::recipe(image, tag).to_string();
    Written::recall(workshop, LOADS, &recipe, &order.docker_name(), outputs)
}

/// What a stack of layers is known by.
fn key(layers: &[Layer]) -> Vec<Sha256> {
    layers.iter().map(|layer| layer.digest).collect()
}

/// All these stacks of layers, and those they stand on, each layer hashed once.
fn stacks(all: Vec<&Vec<Layer>>) -> Result<BTreeMap<Vec<Sha256>, Stacked>, DockerError> {
    let mut stacks = BTreeMap::from([(Vec::new(), Stacked::default())]);
    let highest = all.iter().map(|layers| layers.len()).max().unwrap_or_default();
    for height in 1..=highest {
        let floor: BTreeMap<Vec<Sha256>, &[Layer]> =
            all.iter().filter_map(|layers| layers.get(..height)).map(|layers| (key(layers), layers)).collect();
        let next = |(key, layers): (Vec<Sha256>, &[Layer])| {
            let (last, below) = layers.split_last().expect("one layer at least");
            Ok((key, stacks[&self::key(below)].with(last)?))
        };
        let floor: Vec<_> = floor.into_par_iter().map(next).collect::<Result<_, DockerError>>()?;
        stacks.extend(floor);
    }
    Ok(stacks)
}
