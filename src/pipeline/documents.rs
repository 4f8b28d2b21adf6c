//! Evidence that a build writes beside its layers and attaches to its images. What is there already is not
//! made again; only for what is missing tiers are composed once more.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{
    BuiltTier, Evidence, Failures, Formats, Pick, Workshop,
    building::Round,
    evidence::{document, provenance},
    packages::{Lack, unpacked},
    plan::{OutputFile, Plan, Step},
    stages::Stages,
    written::Written,
};
use crate::{
    evidence::{provenance::Hashed, sbom::Copyrights},
    ground::{Sha256, Sha256Hasher, read_at_most, write_whole},
    image::{
        artifact::{Artifact, Attachment, attach},
        layout,
    },
    layer::Form,
    manifest::Distribution,
    outputs::{self, Outputs, layout_name},
};

/// The derived data that tell which document the same inputs gave, by [`key`].
const DOCUMENTS: &str = "documents";

/// A document that is wanted.
struct Order<'p> {
    /// Which tier of the build it is about.
    at: usize,
    step: &'p Step,
    kind: Evidence,
    /// Where it goes.
    name: String,
    key: String,
    /// Of provenance: what was made.
    subjects: Vec<Hashed>,
}

/// Writes the documents of all tiers that were built, and attaches them to their images in the layouts.
pub(super) fn publish(
    workshop: &Workshop,
    picks: &[Pick],
    plans: &[Plan<'_>],
    round: &mut Round,
    outputs: &Outputs,
    formats: &Formats,
) {
    if formats.documents.is_empty() {
        return;
    }
    for plan in plans {
        let orders = orders(workshop, plan, &round.built, formats);
        let written = match write(workshop, plan, &orders, outputs) {
            Ok(written) => written,
            Err(failures) => {
                round.failures.push(failures);
                continue;
            }
        };
        for (order, output) in orders.iter().zip(written) {
            round.built[order.at].outputs.push(output);
        }
    }
    if formats.oci.is_some() {
        for pick in picks {
            let distribution = &workshop.project.distributions[pick.distribution];
            if let Err(failures) = attach_all(distribution, &round.built, outputs, formats) {
                round.failures.push(failures);
            }
        }
    }
}

/// What is wanted of a plan: of the named tiers, and of those that images have on top of them.
fn orders<'p>(workshop: &Workshop, plan: &'p Plan<'_>, built: &[BuiltTier], formats: &Formats) -> Vec<Order<'p>> {
    let mut orders = Vec::new();
    for step in plan.judged() {
        let name = &plan.tier(step).name;
        let same = |tier: &BuiltTier| {
            tier.distribution == plan.distribution.name && tier.architecture == plan.architecture && tier.tier == *name
        };
        // A tier that failed has told why.
        let Some(at) = built.iter().position(same) else { continue };
        for kind in &formats.documents {
            let subjects = match kind {
                Evidence::Provenance => subjects(plan, step, &built[at], built),
                _ => Vec::new(),
            };
            let key = key(workshop, plan, step, *kind, &subjects);
            let name = kind.file_name(&plan.distribution.name, plan.architecture, name);
            orders.push(Order { at, step, kind: *kind, name, key, subjects });
        }
    }
    orders
}

/// What provenance is about: the layer by the digest of its tar, its files, the images that it tops.
fn subjects(plan: &Plan<'_>, step: &Step, tier: &BuiltTier, built: &[BuiltTier]) -> Vec<Hashed> {
    let name = outputs::layer_name(&plan.distribution.name, plan.architecture, &tier.tier, Form::Tar);
    let mut subjects = vec![Hashed { name, sha256: tier.diff_id.0 }];
    let files = tier.outputs.iter().filter(|output| output.digest != tier.diff_id.0);
    subjects.extend(files.map(|output| Hashed { name: output.name.clone(), sha256: output.digest }));
    let images = built.iter().filter(|other| other.distribution == tier.distribution).flat_map(|other| &other.images);
    for image in images.filter(|image| image.top == step.tier && image.architecture == plan.architecture) {
        let name = format!("{}/{}", plan.distribution.name, image.name);
        subjects.extend(image.outputs.iter().map(|output| Hashed { name: output.name.clone(), sha256: output.digest }));
        subjects.extend(image.manifest.map(|manifest| Hashed { name, sha256: manifest.0 }));
    }
    subjects
}

/// The digest of all that a document follows from.
fn key(workshop: &Workshop, plan: &Plan<'_>, step: &Step, kind: Evidence, subjects: &[Hashed]) -> String {
    let mut hasher = Sha256Hasher::new();
    let mut say = |text: &[u8]| {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    say(format!("{} {kind:?} {}", env!("CARGO_PKG_VERSION"), plan.mtime(workshop)).as_bytes());
    let archive = &plan.distribution.archive;
    say(archive.source.text.as_bytes());
    for keyring in archive.sources.iter().filter_map(|source| source.signed_by.as_ref()) {
        say(&keyring.bytes);
    }
    say(format!("{:?}", plan.lock.suites).as_bytes());
    for tier in plan.distribution.chain(step.tier) {
        let Some(step) = plan.steps.iter().find(|step| step.tier == tier) else { continue };
        say(step.recipe.as_bytes());
        say(plan.tier(step).name.as_bytes());
        say(plan.tier(step).source.text.as_bytes());
        plan.packages(step).for_each(|package| say(format!("{package:?}").as_bytes()));
    }
    for subject in subjects {
        say(subject.name.as_bytes());
        say(subject.sha256.as_bytes());
    }
    hasher.finish().to_string()
}

/// Brings all documents of a plan to their places.
fn write(
    workshop: &Workshop,
    plan: &Plan<'_>,
    orders: &[Order<'_>],
    outputs: &Outputs,
) -> Result<Vec<OutputFile>, Failures> {
    let there = |order: &Order<'_>| Written::recall(workshop, DOCUMENTS, &order.key, &order.name, outputs);
    let there: Vec<Option<OutputFile>> = orders.par_iter().map(there).collect::<Result<_, _>>()?;
    // Provenance needs nothing composed.
    let composed =
        |(order, there): (&Order<'_>, &Option<OutputFile>)| there.is_none() && order.kind != Evidence::Provenance;
    let needed: BTreeSet<usize> = orders
        .iter()
        .zip(&there)
        .filter(|pair| composed(*pair))
        .flat_map(|(order, _)| plan.distribution.chain(order.step.tier))
        .collect();
    let steps = || plan.steps.iter().filter(|step| needed.contains(&step.tier));
    let packages = unpacked(workshop, steps().map(|step| (plan, step))).map_err(Lack::into_failures)?;
    let stages = Stages::compose_some(plan, &packages, steps())?;
    let copyrights = Copyrights::default();
    let make = |(order, there): (&Order<'_>, Option<OutputFile>)| match there {
        Some(there) => Ok(there),
        None => {
            let bytes = match order.kind {
                Evidence::Provenance => provenance(workshop, plan, order.step, order.subjects.clone()),
                kind => document(workshop, plan, order.step, &stages.chain, &packages, &copyrights, kind)?,
            };
            write_whole(&outputs.path(&order.name), &bytes)?;
            let written = Written { digest: Sha256::of(&bytes), size: bytes.len() as u64 };
            written.keep(workshop, DOCUMENTS, &order.key, &order.name, outputs)
        }
    };
    orders.par_iter().zip(there).map(make).collect()
}

/// Attaches the documents of each tier to the images that it tops, in the distribution's layout.
fn attach_all(
    distribution: &Distribution,
    built: &[BuiltTier],
    outputs: &Outputs,
    formats: &Formats,
) -> Result<(), Failures> {
    let tiers: BTreeMap<_, &BuiltTier> = built
        .iter()
        .filter(|tier| tier.distribution == distribution.name)
        .map(|tier| ((tier.architecture, tier.tier.as_str()), tier))
        .collect();
    let mut artifacts = Vec::new();
    for image in tiers.values().flat_map(|tier| &tier.images) {
        let Some(subject) = &image.descriptor else { continue };
        let Some(tier) = tiers.get(&(image.architecture, &distribution.tiers[image.top].name)) else { continue };
        for (kind, media_type) in formats.documents.iter().filter_map(|kind| Some((kind, kind.media_type()?))) {
            let name = kind.file_name(&distribution.name, image.architecture, &tier.tier);
            let Some(output) = tier.outputs.iter().find(|output| output.name == name) else { continue };
            artifacts.push(artifact(subject, media_type, output)?);
        }
    }
    layout::attach(&outputs.path(&layout_name(&distribution.name)), &artifacts)?;
    Ok(())
}

fn artifact(subject: &crate::image::Descriptor, media_type: &str, output: &OutputFile) -> Result<Artifact, Failures> {
    let read = || std::fs::File::open(&output.path).and_then(|file| read_at_most(file, output.size));
    let bytes = read().map_err(|source| outputs::OutputError::Read { path: output.path.clone(), source })?;
    let title = output.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(attach(subject, Attachment { media_type: media_type.to_owned(), title, bytes }))
}
