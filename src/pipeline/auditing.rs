//! `audit`: tiers rebuilt from the lock, into nothing, and compared.

mod images;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use miette::Diagnostic;

use super::{
    Failures, Pick, Workshop,
    building::{Chain, changes, compose_tier},
    locking,
    packages::{Lack, check_digests, unpacked},
    plan::{Plan, Step, plan},
    pulled::pulled,
    select::with_overlays,
    trust,
};
use crate::{
    debian::Architecture,
    evidence::{
        audit::{
            self, Alongside, Field, Finding,
            given::{Ceiling, Given},
            images::{Against as Discovered, GivenError, GivenImage, discover},
        },
        kept_out::place,
        verdict::{Difference, Summary, Verdict},
    },
    ground::{Class, DiffId, Failure, RootPath},
    image::{reference::Reference, registry},
    layer::{self, Emitted, Form, NoStore, Sink, Tar},
    manifest::Planned,
    outputs::Outputs,
    rootfs::{Entry, Origin},
};

/// What somebody has.
#[derive(Clone)]
pub enum Against {
    /// A folder of outputs, a layer, a docker archive or an OCI layout.
    Path(PathBuf),
    /// An image of a registry, and how to speak to it.
    Registry(Reference, Box<registry::Settings>),
}

/// What to compare with.
#[derive(Clone, Default)]
pub struct AuditOptions {
    /// What somebody has, beside the lock.
    pub against: Option<Against>,
    /// Compare whole trees, not layers one by one.
    pub parity: bool,
    /// Another compression of an equal tar is no difference.
    pub content: bool,
}

/// A given layer could be one of several tiers.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{} is one layer, and {count} tiers are asked for", path.display())]
#[diagnostic(
    code(debstrata::pipeline::which_tier),
    help(
        "name the one tier (and, with --arch, the one architecture) that it is of: debstrata audit debian13/cc --against FILE"
    )
)]
struct WhichTier {
    path: PathBuf,
    count: usize,
}

impl Failure for WhichTier {
    fn class(&self) -> Class {
        Class::User
    }
}

/// More given bytes than this and twice the composed ones are not read: they differ anyway.
const FREE: u64 = 1 << 30;

/// Rebuilds tiers from the lock, into nothing, and compares with what the lock records and, where
/// given, with layers that somebody else has. Changes nothing in the project.
pub fn audit(workshop: &Workshop, picks: &[Pick], options: &AuditOptions) -> Result<Verdict, Failures> {
    // Goes with the run.
    let mut fetched = None;
    let against = match &options.against {
        None => None,
        Some(Against::Path(path)) => Some(found(path, picks)?),
        Some(Against::Registry(reference, settings)) => {
            let architectures: BTreeSet<Architecture> =
                picks.iter().flat_map(|pick| pick.architectures.iter().copied()).collect();
            let architectures: Vec<Architecture> = architectures.into_iter().collect();
            let folder = fetched.insert(pulled(workshop, reference, settings, &architectures)?);
            Some(found(folder.path(), picks)?)
        }
    };
    let widened;
    let picks = match &against {
        Some(against) if images::may_have_overlays(workshop, picks, against)? => {
            widened = with_overlays(&workshop.project, picks.to_vec());
            &*widened
        }
        _ => picks,
    };
    let locks = locking::read_all_fresh(workshop, picks)?;
    let plans = plan(workshop, picks, &locks)?;
    let trusted = |pick: &Pick| {
        let distribution = &workshop.project.distributions[pick.distribution];
        trust::verify(workshop, distribution, &locks[&pick.distribution], &pick.architectures, &pick.tiers)
    };
    // An index is one thread's work, for longer than small tiers take to make.
    let (trusted, verdict) = thread::scope(|scope| {
        let trusted = scope.spawn(|| Failures::gather(picks.iter().map(trusted)));
        let verdict = compare(workshop, &plans, against.as_ref(), options);
        (trusted.join().unwrap_or_else(|panic| resume_unwind(panic)), verdict)
    });
    trusted?;
    let mut verdict = verdict?;
    let opt_outs = locks.iter().flat_map(|(index, lock)| lock.opt_outs(&workshop.project.distributions[*index].name));
    verdict.opt_outs = opt_outs.collect();
    Ok(verdict)
}

/// Rebuilds what the plans ask for, and compares.
fn compare(
    workshop: &Workshop,
    plans: &[Plan<'_>],
    against: Option<&Discovered>,
    options: &AuditOptions,
) -> Result<Verdict, Failures> {
    let steps = plans.iter().flat_map(|plan| plan.steps.iter().map(move |step| (plan, step)));
    let packages = unpacked(workshop, steps).map_err(Lack::into_failures)?;
    check_digests(plans, &packages)?;
    let mut verdict = Verdict::new();
    for plan in plans {
        let named = &*plan.pick.named;
        let mut one = One { workshop, plan, named, against, options, verdict: &mut verdict, diff_ids: BTreeMap::new() };
        let images = one.images()?;
        let mut chain = Chain::new();
        for step in &plan.steps {
            // What came along unnamed is compared where there is something to compare with.
            let came_along = plan.tier(step).stands_for.is_some() && !named.contains(&step.tier);
            let asked = images.iter().any(|paired| plan.distribution.chain(paired.tier).contains(&step.tier));
            if came_along && !asked && (plan.recorded(step).is_none() || against.is_some()) {
                continue;
            }
            let composed = compose_tier(plan, step, &chain, &packages)?;
            chain.insert(step.tier, composed);
            one.layer(step, &changes(plan, step, &chain), &images)?;
        }
        one.trees(&chain, &images)?;
        one.configs(&images)?;
    }
    Ok(verdict)
}

/// What a path holds, where the tiers that are asked for can be compared with it.
fn found(path: &Path, picks: &[Pick]) -> Result<Discovered, Failures> {
    let against = discover(path)?;
    if let Discovered::Layer(_) = &against {
        let count = picks.iter().map(|pick| pick.named.len().saturating_mul(pick.architectures.len())).sum();
        if count != 1 {
            return Err(WhichTier { path: path.to_owned(), count }.into());
        }
    }
    Ok(against)
}

/// How an image is compared.
struct Paired {
    /// The tier of its last layer.
    tier: usize,
    /// What it should be.
    planned: Planned,
    image: GivenImage,
    /// The tiers of its layers; `None` where they are split otherwise.
    layers: Option<Vec<usize>>,
    /// How many layers of an image that others made lie below them.
    below: usize,
}

/// The audit of one distribution on one architecture.
struct One<'a> {
    workshop: &'a Workshop,
    plan: &'a Plan<'a>,
    /// The tiers that were asked for.
    named: &'a [usize],
    against: Option<&'a Discovered>,
    options: &'a AuditOptions,
    verdict: &'a mut Verdict,
    /// Of the layers that were rebuilt, by tier.
    diff_ids: BTreeMap<usize, DiffId>,
}

impl<'a> One<'a> {
    fn add(&mut self, tier: String, layer: Option<&str>, findings: Vec<Finding>, count: u64) {
        let architecture = self.plan.architecture;
        let content = self.options.content;
        let mut count = count;
        let findings = findings.into_iter().filter(|finding| {
            let left_out = content && finding.field == Field::Compression;
            count = count.saturating_sub(left_out.into());
            !left_out
        });
        let differences: Vec<_> = findings
            .map(|finding| Difference { tier: tier.clone(), architecture, layer: layer.map(str::to_owned), finding })
            .collect();
        self.verdict.add(differences, count);
    }

    /// The layers that are given for a step.
    fn given(&mut self, step: &Step, images: &[Paired]) -> Vec<Given> {
        match self.against {
            None => Vec::new(),
            Some(Discovered::Layer(given)) if self.named.contains(&step.tier) => vec![given.clone()],
            Some(Discovered::Layer(_)) => Vec::new(),
            Some(Discovered::Outputs(folder)) => {
                let outputs = Outputs::new(folder);
                let paths = Form::ALL.map(|form| outputs.path(&self.plan.layer_name(step, form)));
                let files: Vec<Given> =
                    paths.iter().filter(|path| path.exists()).map(|path| Given::file(path)).collect();
                let in_images = of_images(step, images);
                if files.is_empty() && in_images.is_empty() && !images.iter().any(|one| one.tier == step.tier) {
                    let cause = format!("{} has no layer of this tier", folder.display());
                    let finding = Finding::new(Field::Missing, "layer", "a file", "none").because(cause);
                    self.add(self.plan.title(step), None, vec![finding], 1);
                }
                files.into_iter().chain(in_images).collect()
            }
            Some(Discovered::Images(_)) => of_images(step, images),
        }
    }

    /// Emits a layer beside all that is given for it, and compares.
    fn layer(&mut self, step: &Step, changes: &[(RootPath, Entry)], images: &[Paired]) -> Result<(), Failures> {
        let (plan, workshop) = (self.plan, self.workshop);
        let mtime = plan.mtime(workshop);
        let given = self.given(step, images);
        let read = |given: &Given, source| GivenError::Read { path: given.name.clone().into(), source };
        let mut alongside = Vec::new();
        for given in &given {
            let compression = given.compression().map_err(|source| read(given, source))?;
            let bytes = (given.open)().map_err(|source| read(given, source))?;
            alongside.push((compression, Alongside::new(bytes)));
        }
        let mut sinks: Vec<Sink> = alongside
            .iter_mut()
            .zip(&given)
            .filter_map(|((compression, out), given)| {
                Some(Sink { form: compression.form()?, path: given.name.clone().into(), out })
            })
            .collect();
        let emitted = layer::emit(changes, mtime, &mut sinks, &NoStore, &*workshop.observer)?;
        drop(sinks);
        self.verdict.layers = self.verdict.layers.saturating_add(1);
        self.diff_ids.insert(step.tier, emitted.diff_id);
        // Came along for an image that has it.
        if plan.tier(step).stands_for.is_none() || self.named.contains(&step.tier) || plan.recorded(step).is_some() {
            self.recorded(step, &emitted);
        }
        for ((compression, out), given) in alongside.into_iter().zip(&given) {
            self.verdict.compared = self.verdict.compared.saturating_add(1);
            self.claimed(step, given)?;
            let parted = out.finish();
            if parted.is_none() && compression.form().is_some() {
                continue;
            }
            let tar = Tar::new(changes, mtime)?;
            let limit = given.ceiling().min(emitted.size.saturating_mul(2).saturating_add(FREE));
            let bytes = given.tar().map_err(|source| read(given, source))?;
            let mut report = audit::compare(&tar, &|origin| self.origin(origin), Ceiling::new(bytes, limit))?;
            let parted = parted.filter(|_| compression.form().is_some());
            if report.diff_id == Some(emitted.diff_id) {
                let finding = audit::recompressed(given, compression, emitted.members, parted);
                report.findings = vec![finding.map_err(|source| read(given, source))?];
                report.count = 1;
            } else if report.findings.is_empty() {
                // Every byte is looked at; should one be forgotten, the digest still tells.
                let digest = report.diff_id.map_or_else(|| "unknown".to_owned(), |diff_id| diff_id.to_string());
                let finding = Finding::new(Field::Framing, "diff_id", emitted.diff_id.to_string(), digest);
                report.findings =
                    vec![finding.because("the tars differ where no field of theirs does; please report it")];
                report.count = 1;
            }
            let summary = report.summary.take().or_else(|| self.other_version());
            if let Some(text) = summary {
                self.verdict.summaries.push(Summary {
                    tier: plan.title(step),
                    architecture: plan.architecture,
                    layer: given.name.clone(),
                    text,
                    parity: None,
                });
            }
            self.add(plan.title(step), Some(&given.name), report.findings, report.count);
        }
        Ok(())
    }

    /// A blob must have the digest that its manifest says.
    fn claimed(&mut self, step: &Step, given: &Given) -> Result<(), Failures> {
        let Some(claimed) = given.claimed else { return Ok(()) };
        let digest = given.digest().map_err(|source| GivenError::Read { path: given.name.clone().into(), source })?;
        if digest != claimed {
            let finding = Finding::new(Field::Content, "digest", claimed.to_string(), digest.to_string());
            let finding = finding.because("the blob has other bytes than its name and its manifest say");
            self.add(self.plan.title(step), Some(&given.name), vec![finding], 1);
        }
        Ok(())
    }

    /// What a lock that another version of this program wrote explains.
    fn other_version(&self) -> Option<String> {
        let recorded = self.plan.lock.format_version;
        (recorded != layer::FORMAT_VERSION).then(|| {
            format!(
                "the lock is of layer format {recorded}, this program writes {}: another version of debstrata made the layer",
                layer::FORMAT_VERSION
            )
        })
    }

    /// Compares with what the lock records.
    fn recorded(&mut self, step: &Step, emitted: &Emitted) {
        let found = emitted.diff_id.to_string();
        let finding = match self.plan.recorded(step) {
            Some(recorded) if recorded.diff_id == emitted.diff_id => return,
            Some(recorded) => {
                let cause = match recorded.recipe == step.recipe {
                    _ if self.other_version().is_some() => self.other_version().unwrap_or_default(),
                    true => "the same inputs gave other bytes than the lock records".to_owned(),
                    false => "the manifests were edited since the lock recorded this layer".to_owned(),
                };
                Finding::new(Field::Content, "diff_id", recorded.diff_id.to_string(), found).because(cause)
            }
            // With nothing to compare with, an audit proves nothing.
            None if self.against.is_none() => {
                let cause = "the lock records no layer of this tier; build it first, or name outputs with --against";
                Finding::new(Field::Missing, "diff_id", "a recorded diff_id", found).because(cause)
            }
            None => return,
        };
        self.add(self.plan.title(step), None, vec![finding], 1);
    }

    /// Compares whole trees with images whose layers are split otherwise.
    fn trees(&mut self, chain: &Chain, images: &[Paired]) -> Result<(), Failures> {
        for paired in images.iter().filter(|paired| paired.layers.is_none()) {
            let Some(step) = self.plan.steps.iter().find(|step| step.tier == paired.tier) else { continue };
            let rootfs = &chain[&paired.tier].rootfs;
            let (report, parity) = audit::parity(rootfs, &|origin| self.origin(origin), &paired.image)?;
            self.verdict.compared = self.verdict.compared.saturating_add(1);
            self.verdict.summaries.push(Summary {
                tier: self.plan.title(step),
                architecture: self.plan.architecture,
                layer: paired.image.name.clone(),
                text: report.summary.unwrap_or_default(),
                parity: Some(parity),
            });
            self.add(self.plan.title(step), Some(&paired.image.name), report.findings, report.count);
        }
        Ok(())
    }

    /// What an entry comes from, with the manifest's line where it is one.
    fn origin(&self, origin: &Origin) -> String {
        let Origin::Declared { tier, key, span } = origin else { return origin.to_string() };
        let name = tier.rsplit('/').next().unwrap_or(tier);
        match self.plan.distribution.tier(name) {
            Some(index) => {
                let (file, line) = place(&self.plan.distribution.tiers[index], span);
                format!("[[{key}]] of {tier}, {file}:{line}")
            }
            None => origin.to_string(),
        }
    }
}

/// The layers that images have of a step.
fn of_images(step: &Step, images: &[Paired]) -> Vec<Given> {
    let of_step = images.iter().filter_map(|paired| {
        let at = paired.layers.as_ref()?.iter().position(|tier| *tier == step.tier)?;
        paired.image.layers.get(paired.below + at).cloned()
    });
    let mut all: Vec<Given> = of_step.collect();
    // Images of one layout share their layers.
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all.dedup_by(|one, other| one.name == other.name);
    all
}
