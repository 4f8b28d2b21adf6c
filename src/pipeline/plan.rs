//! What is to be done for one distribution and architecture, and what was made of it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Failures, Formats, Locks, Pick, Workshop, base::Ground, building::Chain, checking, images::BuiltImage};
use crate::{
    archive::Package,
    compose::{self, Beside, Composed},
    debian::Architecture,
    ground::{DiffId, Sha256},
    image::layout::blobs_folder,
    layer::{self, Emitted, Form},
    lock::{self, Lock, Output},
    manifest::{Distribution, Tier},
    outputs::{self, Outputs, Place},
};

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The output folder.
    pub output: PathBuf,
    /// What is written.
    pub formats: Formats,
    /// Never change the lock.
    pub locked: bool,
}

/// One layer of a build.
#[derive(Debug, Clone, Serialize)]
pub struct BuiltTier {
    /// The distribution.
    pub distribution: String,
    /// The tier.
    pub tier: String,
    /// Its architecture.
    pub architecture: Architecture,
    /// Packages that this tier adds.
    pub packages: usize,
    /// Entries of the layer.
    pub entries: u64,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    /// SHA-256 of the uncompressed tar.
    pub diff_id: DiffId,
    /// Digest of all that shapes the layer.
    pub recipe: Sha256,
    /// The files that were written, or were there already; blobs of layouts are in no list.
    pub outputs: Vec<OutputFile>,
    /// What it and its variants come to, where images are asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<BuiltImage>,
    /// Its forms, by extension.
    #[serde(skip)]
    pub(super) blobs: BTreeMap<String, MadeBlob>,
    /// Dependencies that nothing meets and no omission declares.
    pub unmet: Vec<String>,
    /// With `dependencies = "linked"`: what `"all"` would have added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<ShownSaved>,
    /// Suites that an `allow-unsigned` or `allow-expired` of the manifest let pass.
    pub opt_outs: Vec<String>,
}

impl From<lock::Saved> for ShownSaved {
    fn from(saved: lock::Saved) -> Self {
        let lock::Saved { packages, size } = saved;
        Self { packages, size }
    }
}

/// Packages that a tier does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ShownSaved {
    /// How many.
    pub packages: usize,
    /// Bytes of their .debs.
    pub size: u64,
}

/// One file below the output folder.
#[derive(Debug, Clone, Serialize)]
pub struct OutputFile {
    /// Its name below the output folder.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub digest: Sha256,
}

/// What an earlier build of a recipe made; kept among the derived data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) diff_id: DiffId,
    pub(super) size: u64,
    pub(super) entries: u64,
    /// By the form's extension.
    pub(super) blobs: BTreeMap<String, MadeBlob>,
    /// Whether composing it gave a remark.
    pub(super) warned: bool,
    /// What was checked of it and holds, see [`checking::digest`].
    #[serde(default)]
    pub(super) checked: Option<Sha256>,
}

/// One form of what was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MadeBlob {
    pub(super) digest: Sha256,
    pub(super) size: u64,
}

impl Made {
    pub(super) fn new(entries: usize, emitted: &Emitted, warned: bool, checked: Option<Sha256>) -> Self {
        let blob =
            |blob: &layer::Blob| (blob.form.extension().to_owned(), MadeBlob { digest: blob.digest, size: blob.size });
        Self {
            diff_id: emitted.diff_id,
            size: emitted.size,
            entries: entries as u64,
            blobs: emitted.blobs.iter().map(blob).collect(),
            warned,
            checked,
        }
    }
}

/// All that is to be done for one distribution and architecture.
pub(super) struct Plan<'a> {
    /// What asked for it.
    pub(super) pick: &'a Pick,
    pub(super) distribution: &'a Distribution,
    pub(super) architecture: Architecture,
    pub(super) lock: &'a Lock,
    /// Parents before children.
    pub(super) steps: Vec<Step>,
    /// Images that others made, by the tier that stands right on one.
    pub(super) grounds: BTreeMap<usize, Arc<Ground>>,
}

/// One layer to be.
#[derive(Clone)]
pub(super) struct Step {
    /// Index of the tier.
    pub(super) tier: usize,
    pub(super) recipe: Sha256,
    /// What is to be checked of it, see [`checking::digest`].
    pub(super) checks: Option<Sha256>,
    /// Files from beside the manifest, read when the recipe was made.
    pub(super) beside: Beside,
}

/// The plans for all picks. Files beside the manifests are read and hashed here.
pub(super) fn plan<'a>(workshop: &'a Workshop, picks: &'a [Pick], locks: &'a Locks) -> Result<Vec<Plan<'a>>, Failures> {
    let mut plans = Vec::new();
    for pick in picks {
        let distribution = &workshop.project.distributions[pick.distribution];
        let lock = &locks[&pick.distribution];
        for architecture in &pick.architectures {
            let mut recipes: BTreeMap<usize, Sha256> = BTreeMap::new();
            let mut steps = Vec::new();
            for index in &pick.tiers {
                let tier = &distribution.tiers[*index];
                let ingredients = lock::Ingredients {
                    format_version: layer::FORMAT_VERSION,
                    timestamp: workshop.timestamp.unwrap_or(distribution.archive.timestamp),
                    merged_usr: distribution.archive.merged_usr,
                    architecture: *architecture,
                    parent: tier.parent.as_ref().map(|parent| recipes[&parent.value]),
                    packages: &packages_of(lock, *architecture, &tier.name).collect::<Vec<_>>(),
                    tier,
                };
                let beside = compose::read_beside(tier)?;
                let contents = |path: &Path| Ok::<_, Infallible>(beside[path].sha256);
                let Ok(recipe) = lock::recipe(&ingredients, contents);
                recipes.insert(*index, recipe);
                let checks = checking::digest(distribution, *index);
                steps.push(Step { tier: *index, recipe, checks, beside });
            }
            let mut grounds = BTreeMap::new();
            for index in &pick.tiers {
                if let Some(ground) = workshop.ground(distribution, *index, *architecture)? {
                    grounds.insert(*index, ground);
                }
            }
            plans.push(Plan { pick, distribution, architecture: *architecture, lock, steps, grounds });
        }
    }
    Ok(plans)
}

/// The packages that a tier adds, in the order of the answer.
pub(super) fn packages_of<'a>(
    lock: &'a Lock,
    architecture: Architecture,
    tier: &str,
) -> impl Iterator<Item = &'a Package> + use<'a> {
    let locked = lock.packages_of(architecture, tier).unwrap_or_default();
    locked.into_iter().map(|locked| &locked.package)
}

impl<'a> Plan<'a> {
    /// The steps whose tiers were named.
    pub(super) fn named(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| self.pick.named.contains(&step.tier))
    }

    /// Those, and what came along with them by [`super::with_overlays`].
    pub(super) fn judged(&self) -> impl Iterator<Item = &Step> {
        let judged = |step: &&Step| self.pick.named.contains(&step.tier) || self.tier(step).stands_for.is_some();
        self.steps.iter().filter(judged)
    }

    pub(super) fn tier(&self, step: &Step) -> &'a Tier {
        &self.distribution.tiers[step.tier]
    }

    /// The image that a tier's chain stands on.
    pub(super) fn ground(&self, tier: usize) -> Option<&Arc<Ground>> {
        self.grounds.get(self.distribution.chain(tier).first()?)
    }

    /// The tree that a step's tier is composed on: its parent's, or that of an image.
    pub(super) fn below<'c>(&'c self, step: &Step, chain: &'c Chain) -> Option<&'c Composed> {
        match &self.tier(step).parent {
            Some(parent) => Some(&chain[&parent.value]),
            None => self.grounds.get(&step.tier).map(|ground| &ground.composed),
        }
    }

    /// The tier's name in full.
    pub(super) fn title(&self, step: &Step) -> String {
        format!("{}/{}", self.distribution.name, self.tier(step).name)
    }

    /// The packages that a step adds.
    pub(super) fn packages(&self, step: &Step) -> impl Iterator<Item = &'a Package> + use<'a> {
        packages_of(self.lock, self.architecture, &self.tier(step).name)
    }

    /// The mtime of every entry.
    pub(super) fn mtime(&self, workshop: &Workshop) -> u64 {
        workshop.timestamp.unwrap_or(self.distribution.archive.timestamp)
    }

    /// What the lock says of a step's layer.
    pub(super) fn recorded(&self, step: &Step) -> Option<&'a Output> {
        self.lock.outputs.get(&(self.architecture, self.tier(step).name.clone()))
    }

    /// The name of a step's layer below the output folder.
    pub(super) fn layer_name(&self, step: &Step, form: Form) -> String {
        outputs::layer_name(&self.distribution.name, self.architecture, &self.tier(step).name, form)
    }

    /// Where each form of a step's layer goes.
    pub(super) fn places(&self, step: &Step, formats: &Formats) -> Vec<(Form, Vec<Place>)> {
        let files = formats.files();
        let places = |form: Form| {
            let file = files.contains(&form).then(|| Place::File(self.layer_name(step, form)));
            let blob = (formats.oci == Some(form)).then(|| self.blob_place());
            (form, file.into_iter().chain(blob).collect())
        };
        formats.forms().into_iter().map(places).collect()
    }

    /// Where layers lie in the distribution's layout.
    pub(super) fn blob_place(&self) -> Place {
        let folder = blobs_folder(Path::new(&outputs::layout_name(&self.distribution.name)));
        Place::Blob(folder.to_str().expect("names of distributions are ASCII").to_owned())
    }

    /// Whether a layer is what the lock records, where it records the same recipe.
    pub(super) fn judge(&self, step: &Step, diff_id: DiffId, size: u64) -> Result<(), Failures> {
        let built = Output { recipe: step.recipe, diff_id, size };
        lock::judge(&self.title(step), self.architecture, self.recorded(step), &built, layer::FORMAT_VERSION)?;
        Ok(())
    }

    /// What is reported of a step.
    pub(super) fn built(&self, step: &Step, made: &Made, outputs: &Outputs, formats: &Formats) -> BuiltTier {
        let tier = self.tier(step);
        let file = |form: &Form| {
            let blob = made.blobs.get(form.extension())?;
            let name = self.layer_name(step, *form);
            Some(OutputFile { path: outputs.path(&name), name, size: blob.size, digest: blob.digest })
        };
        let unmet = self.lock.architectures.get(&self.architecture).and_then(|inputs| inputs.tiers.get(&tier.name));
        BuiltTier {
            distribution: self.distribution.name.clone(),
            tier: tier.name.clone(),
            architecture: self.architecture,
            packages: self.packages(step).count(),
            entries: made.entries,
            size: made.size,
            diff_id: made.diff_id,
            recipe: step.recipe,
            outputs: formats.files().iter().filter_map(file).collect(),
            images: Vec::new(),
            blobs: made.blobs.clone(),
            unmet: unmet.map(|tier| tier.unmet.clone()).unwrap_or_default(),
            saved: unmet.and_then(|tier| tier.saved).map(ShownSaved::from),
            opt_outs: self.lock.opt_outs(&self.distribution.name),
        }
    }
}
