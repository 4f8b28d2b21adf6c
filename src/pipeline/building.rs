//! One round of a build: what is there already is verified and kept, all else is composed and emitted.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    sync::{Arc, mpsc::channel},
    thread::{self, ScopedJoinHandle},
};

use miette::{Diagnostic as _, Severity};
use rayon::prelude::*;

use super::{
    BuildOptions, BuiltTier, Failures, Workshop,
    arrivals::Arrivals,
    checking,
    errors::OfTier,
    images,
    packages::{Digests, Lack, Packages, expected},
    plan::{Made, Plan, Step},
    tarballs,
};
use crate::{
    compose::{self, ComposeError, Composed, Composition, Remark},
    ground::{Class, Event, RootPath, Sha256, read_at_most},
    layer::LayerError,
    outputs::{Draft, OutputError, Outputs, Stamp},
    rootfs::{self, Entry},
    unpack,
};

/// What a round came to. What was built is whole and stays, whatever else failed.
#[derive(Default)]
pub(super) struct Round {
    pub(super) built: Vec<BuiltTier>,
    pub(super) digests: Digests,
    pub(super) failures: Vec<Failures>,
    /// Unpacked data of the cache were damaged and are forgotten: another round makes them anew. Empty
    /// where none were; without another round these are failures too.
    pub(super) damaged: Vec<Failures>,
}

/// Composed tiers of a plan, by index.
pub(super) type Chain = BTreeMap<usize, Composed>;

/// Builds what the plans ask for.
pub(super) fn round(
    workshop: &Workshop,
    plans: &[Plan<'_>],
    outputs: &Outputs,
    options: &BuildOptions,
) -> Result<Round, Lack> {
    // Every output of an earlier run is looked at, on all cores: most builds have nothing else to do.
    let there = plans
        .par_iter()
        .map(|plan| plan.steps.par_iter().map(|step| already_there(workshop, plan, step, outputs, options)).collect())
        .collect::<Result<Vec<Vec<Option<There>>>, Failures>>()?;
    let needed: Vec<Vec<&Step>> = plans.iter().zip(&there).map(|(plan, there)| needed(plan, there)).collect();
    let steps = plans.iter().zip(&needed).flat_map(|(plan, steps)| steps.iter().map(move |step| (plan, *step)));
    let steps = steps.collect();
    let mut round = Round::default();
    let mut remarks = Remarks::default();
    let there: Vec<BTreeMap<usize, There>> = plans
        .iter()
        .zip(there)
        .map(|(plan, there)| {
            plan.steps.iter().zip(there).filter_map(|(step, there)| Some((step.tier, there?))).collect()
        })
        .collect();
    let mut built: Vec<BTreeMap<usize, BuiltTier>> =
        there.iter().map(|there| there.iter().map(|(tier, there)| (*tier, there.built.clone())).collect()).collect();
    // Publishing waits for the disk; the next layers are made meanwhile.
    thread::scope(|scope| -> Result<(), Lack> {
        let mut publishing = VecDeque::new();
        let mut arrivals = Arrivals::of(scope, workshop, plans, steps);
        let mut lack = None;
        for (number, (plan, needed)) in plans.iter().zip(needed).enumerate() {
            let (send, receive) = channel();
            rayon::in_place_scope(|pool| -> Result<(), Failures> {
                let mut chain = Chain::new();
                // What does not keep its promises, and what stands on it: composed and checked, never emitted.
                let mut refused = BTreeSet::new();
                for step in needed {
                    let parent = plan.tier(step).parent.as_ref().map(|parent| parent.value);
                    // The errors of a parent are told; its children have no ground to stand on.
                    if parent.is_some_and(|parent| !chain.contains_key(&parent)) {
                        continue;
                    }
                    let packages = match arrivals.until(plan, step) {
                        Ok(packages) => packages,
                        Err(error) => {
                            lack = Some(error);
                            return Ok(());
                        }
                    };
                    match compose_tier(plan, step, &chain, packages) {
                        Ok(composed) => {
                            remarks.add(plan, step, &composed);
                            chain.insert(step.tier, composed);
                        }
                        Err(failures) => {
                            round.failures.push(failures);
                            continue;
                        }
                    }
                    let there = there[number].get(&step.tier);
                    if there.is_some() && step.checks.is_none() {
                        continue;
                    }
                    let changes = changes(plan, step, &chain);
                    let faults = match step.checks {
                        Some(_) => checking::faults(workshop, plan, step, &chain, &changes)?,
                        None => Vec::new(),
                    };
                    if parent.is_some_and(|parent| refused.contains(&parent)) || !faults.is_empty() {
                        refused.insert(step.tier);
                    }
                    match there {
                        _ if faults.iter().any(|fault| matches!(fault, ComposeError::Content { .. })) => {
                            round.damaged.push(faults.into());
                        }
                        _ if !faults.is_empty() => round.failures.push(faults.into()),
                        Some(there) => remember(workshop, step, &Made { checked: step.checks, ..there.made.clone() })?,
                        None if refused.contains(&step.tier) => {}
                        None => {
                            let (warned, send) = (remarks.any(plan, step), send.clone());
                            // Side by side with the next tier's composition and with the other layers, so
                            // that the last member of one keeps no core waiting.
                            pool.spawn(move |_| {
                                let draft = emit(workshop, plan, step, &changes, outputs, options);
                                let publisher = draft.map(|draft| {
                                    scope.spawn(move || publish(workshop, plan, step, draft, changes.len(), warned))
                                });
                                send.send((step, publisher)).expect("the receiver outlives the scope");
                            });
                        }
                    }
                }
                Ok(())
            })?;
            drop(send);
            let mut layers: Vec<_> = receive.into_iter().collect();
            layers.sort_by_key(|(step, _)| step.tier);
            for (step, publisher) in layers {
                match publisher {
                    Ok(publisher) => publishing.push_back((number, step, publisher)),
                    Err(NotEmitted::Damaged(failures)) => round.damaged.push(failures),
                    Err(NotEmitted::Failed(failures)) => round.failures.push(failures),
                }
                while publishing.len() > MOST_PUBLISHING {
                    let oldest = publishing.pop_front();
                    settle(oldest, plans, &mut built, &mut round, outputs, options);
                }
            }
            if !round.damaged.is_empty() {
                forget(workshop, plan)?;
                break;
            }
            // A package that cannot be had stops everything, and so does a full disk; anything else is of one
            // tier alone.
            if lack.is_some() || round.failures.iter().any(|failures| failures.class() == Class::World) {
                break;
            }
        }
        for one in publishing {
            settle(Some(one), plans, &mut built, &mut round, outputs, options);
        }
        match lack.map_or_else(|| arrivals.finish(), Err) {
            Ok(digests) => round.digests = digests,
            Err(Lack::Failed(failures)) => round.failures.push(failures),
            Err(gone) => return Err(gone),
        }
        Ok(())
    })?;
    for (plan, mut built) in plans.iter().zip(built) {
        round.built.extend(plan.steps.iter().filter_map(|step| built.remove(&step.tier)));
    }
    remarks.tell(workshop);
    Ok(round)
}

/// How many layers may wait for the disk at once.
const MOST_PUBLISHING: usize = 8;

/// A layer that is being published: its plan's number, its step, and who does it.
type Publishing<'scope, 'p> = (usize, &'p Step, ScopedJoinHandle<'scope, Result<Made, Failures>>);

/// Waits for a layer to be published, and takes it as built or failed.
fn settle(
    publishing: Option<Publishing<'_, '_>>,
    plans: &[Plan<'_>],
    built: &mut [BTreeMap<usize, BuiltTier>],
    round: &mut Round,
    outputs: &Outputs,
    options: &BuildOptions,
) {
    let Some((number, step, publisher)) = publishing else { return };
    match publisher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        Ok(made) => drop(built[number].insert(step.tier, plans[number].built(step, &made, outputs, &options.formats))),
        Err(failures) => round.failures.push(failures),
    }
}

/// A layer that an earlier run made.
struct There {
    built: BuiltTier,
    made: Made,
    /// Composing it warned, or it was not checked yet as it is to be: it is composed again, so that the
    /// warning is heard again.
    again: bool,
}

/// The steps that must be composed: those with something to do, and what they stand on.
fn needed<'p>(plan: &'p Plan<'_>, there: &[Option<There>]) -> Vec<&'p Step> {
    let mut tiers = BTreeSet::new();
    for (step, there) in plan.steps.iter().zip(there) {
        if there.as_ref().is_none_or(|there| there.again) {
            tiers.extend(plan.distribution.chain(step.tier));
        }
    }
    plan.steps.iter().filter(|step| tiers.contains(&step.tier)).collect()
}

/// The derived data under which [`Made`] is kept, by recipe.
const MADE: &str = "made";

fn recall_made(workshop: &Workshop, recipe: &Sha256) -> Result<Option<Made>, Failures> {
    let Some(file) = workshop.cache.get_derived(MADE, &recipe.to_string())? else { return Ok(None) };
    // Short or damaged after a power cut: made anew.
    Ok(read_at_most(file, 1 << 16).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn remember(workshop: &Workshop, step: &Step, made: &Made) -> Result<(), Failures> {
    let write = |file: &mut std::fs::File| Ok(serde_json::to_writer(file, made)?);
    workshop.cache.put_derived(MADE, &step.recipe.to_string(), write)?;
    Ok(())
}

/// The outputs of a step, where the lock says what its recipe gives, an earlier run made just that,
/// and every file still has the bytes that it got then. Nothing that the cache says alone gets into a
/// lock.
fn already_there(
    workshop: &Workshop,
    plan: &Plan<'_>,
    step: &Step,
    outputs: &Outputs,
    options: &BuildOptions,
) -> Result<Option<There>, Failures> {
    let Some(made) = recall_made(workshop, &step.recipe)? else { return Ok(None) };
    let vouched = plan.recorded(step).is_some_and(|recorded| {
        recorded.recipe == step.recipe && recorded.diff_id == made.diff_id && recorded.size == made.size
    });
    if !vouched {
        return Ok(None);
    }
    let mut same = true;
    for (form, places) in plan.places(step, &options.formats) {
        let Some(blob) = made.blobs.get(form.extension()) else { return Ok(None) };
        same &= images::lies_in(workshop, plan, step, form, &places, &blob.digest, outputs)?;
    }
    let built = plan.built(step, &made, outputs, &options.formats);
    let again = made.warned || made.checked != step.checks;
    Ok(same.then_some(There { built, made, again }))
}

/// The derived data that tell which file an output was when it was last hashed.
const STAMPS: &str = "stamps";

/// Whether an output is what an earlier run made: hashed, unless it is the very file that was hashed
/// before and nobody touched it since.
pub(super) fn unchanged(workshop: &Workshop, outputs: &Outputs, name: &str, digest: &Sha256) -> Result<bool, Failures> {
    let Some(stamp) = outputs.stamp(name) else { return Ok(outputs.is(name, digest)?) };
    let key = Sha256::of(&[outputs.path(name).as_os_str().as_bytes(), digest.as_bytes()].concat()).to_string();
    let kept = workshop.cache.get_derived(STAMPS, &key)?;
    // Short or damaged: hashed again.
    let kept: Option<Stamp> = kept.and_then(|file| serde_json::from_reader(file.take(1 << 10)).ok());
    if kept == Some(stamp) {
        return Ok(true);
    }
    let same = outputs.is(name, digest)?;
    if same && stamp.is_settled(workshop.clock.as_nanosecond()) && outputs.stamp(name) == Some(stamp) {
        workshop.cache.put_derived(STAMPS, &key, |file| Ok(serde_json::to_writer(file, &stamp)?))?;
    }
    Ok(same)
}

/// Composes the tier of a step on its parent in `chain`.
pub(super) fn compose_tier(
    plan: &Plan<'_>,
    step: &Step,
    chain: &Chain,
    packages: &Packages,
) -> Result<Composed, Failures> {
    let tier = plan.tier(step);
    let inputs = inputs(plan, step, packages);
    Ok(compose::compose(&Composition {
        archive: &plan.distribution.archive,
        tier,
        name: &plan.title(step),
        architecture: plan.architecture,
        packages: &inputs,
        beside: &step.beside,
        archives: &tier.archives.iter().map(|tarball| &packages[&tarball.sha256]).collect::<Vec<_>>(),
        parent: plan.below(step, chain),
    })?)
}

/// The packages that a step adds, unpacked.
pub(super) fn inputs<'p>(plan: &Plan<'_>, step: &Step, packages: &'p Packages) -> Vec<compose::Input<'p>> {
    let each = plan.packages(step);
    each.map(|package| compose::Input { name: expected(package).package, unpacked: &packages[&package.sha256] })
        .collect()
}

/// What the layer of a step holds.
pub(super) fn changes(plan: &Plan<'_>, step: &Step, chain: &Chain) -> Vec<(RootPath, Entry)> {
    rootfs::diff(plan.below(step, chain).map(|below| &below.rootfs), &chain[&step.tier].rootfs)
}

enum NotEmitted {
    /// The unpacked data are not what they were.
    Damaged(Failures),
    Failed(Failures),
}

impl From<OutputError> for NotEmitted {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Layer(error) if matches!(*error, LayerError::Damaged { .. }) => Self::Damaged((*error).into()),
            error => Self::Failed(error.into()),
        }
    }
}

/// Emits one layer and judges it by the lock. Its files have no names yet.
fn emit(
    workshop: &Workshop,
    plan: &Plan<'_>,
    step: &Step,
    changes: &[(RootPath, Entry)],
    outputs: &Outputs,
    options: &BuildOptions,
) -> Result<Draft, NotEmitted> {
    let files = plan.places(step, &options.formats);
    let draft = outputs.write_layer(&files, changes, plan.mtime(workshop), &*workshop.cache, &*workshop.observer)?;
    plan.judge(step, draft.emitted.diff_id, draft.emitted.size).map_err(NotEmitted::Failed)?;
    Ok(draft)
}

/// Gives the files of a layer their names, and remembers what was made.
fn publish(
    workshop: &Workshop,
    plan: &Plan<'_>,
    step: &Step,
    draft: Draft,
    entries: usize,
    warned: bool,
) -> Result<Made, Failures> {
    let mut made = Made::new(entries, &draft.publish()?, warned, step.checks);
    // Forms of earlier runs are kept in mind: the next run may ask for them again.
    if let Some(before) = recall_made(workshop, &step.recipe)?.filter(|before| before.diff_id == made.diff_id) {
        made.blobs = before.blobs.into_iter().chain(made.blobs).collect();
    }
    remember(workshop, step, &made)?;
    workshop.observer.tell(Event::Step(format!("{} {}: {}", plan.title(step), plan.architecture, made.diff_id)));
    Ok(made)
}

/// Removes the unpacked data of all packages and tarballs of a plan.
fn forget(workshop: &Workshop, plan: &Plan<'_>) -> Result<(), Failures> {
    workshop.observer.tell(Event::Step(format!(
        "unpacked data of {} {} in the cache are damaged; they are made anew",
        plan.distribution.name, plan.architecture
    )));
    for package in plan.steps.iter().flat_map(|step| plan.packages(step)) {
        unpack::forget(&package.sha256, &workshop.cache)?;
    }
    for tarball in tarballs::of(plan) {
        unpack::forget(tarball, &workshop.cache)?;
    }
    Ok(())
}

/// Remarks of all compositions of a round, each told once.
#[derive(Default)]
struct Remarks {
    /// How many architectures of a tier were composed.
    composed: BTreeMap<String, usize>,
    /// By tier and text: for how many architectures it was made.
    made: BTreeMap<(String, String), (usize, Remark)>,
}

impl Remarks {
    fn add(&mut self, plan: &Plan<'_>, step: &Step, composed: &Composed) {
        let title = plan.title(step);
        *self.composed.entry(title.clone()).or_default() += 1;
        // What an overlay's own tier was told of is not told again of every tier that it is on top of.
        let overlay = plan.tier(step).stands_for.as_ref().map(|overlaid| overlaid.overlay);
        let overlay =
            overlay.map(|overlay| format!("{}/{}", plan.distribution.name, plan.distribution.tiers[overlay].name));
        for remark in &composed.remarks {
            let text = remark.to_string();
            if overlay.as_ref().is_some_and(|overlay| self.made.contains_key(&(overlay.clone(), text.clone()))) {
                continue;
            }
            let key = (title.clone(), text);
            self.made.entry(key).or_insert_with(|| (0, remark.clone())).0 += 1;
        }
    }

    /// Whether a tier has had any.
    fn any(&self, plan: &Plan<'_>, step: &Step) -> bool {
        let title = plan.title(step);
        self.made.keys().any(|(tier, _)| *tier == title)
    }

    fn tell(self, workshop: &Workshop) {
        for ((title, text), (count, remark)) in self.made {
            if remark.needs_every_architecture() && count < self.composed[&title] {
                continue;
            }
            workshop.observer.tell(match remark.severity() {
                Some(Severity::Advice) => Event::Note(format!("{title}: {text}")),
                _ => Event::Warning(Arc::new(OfTier { title, remark })),
            });
        }
    }
}
