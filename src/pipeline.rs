//! The whole flow, verb by verb; no other file knows it. The rooms are called in order, and nothing that a
//! room can decide is decided here.

mod arrivals;
mod auditing;
mod base;
mod building;
mod bundle;
mod check;
mod checking;
mod diff;
mod documents;
mod errors;
mod evidence;
mod failures;
mod fit;
mod formats;
mod images;
mod kept;
mod linkage;
mod listing;
mod locking;
mod packages;
mod plan;
mod pulled;
mod pushing;
mod select;
mod show;
mod stages;
mod tarballs;
mod trust;
mod why;
mod workshop;
mod written;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

pub use auditing::{Against, AuditOptions, audit};
pub use bundle::{BundleError, Bundled, bundle};
pub use check::{Checked, Found, check};
pub use diff::{DiffOptions, diff};
pub use evidence::{Document, Evidence, evidence};
pub use failures::{Failures, Located, stdout_failed};
pub use fit::{FitOptions, Fitted, fit};
pub use formats::Formats;
pub use images::BuiltImage;
pub use kept::{Referred, referred};
pub use listing::{Effort, ListedTier, listings};
pub use locking::{LockOptions, Locked, Stale, Upgrade, check_lock, lock};
pub use plan::{BuildOptions, BuiltTier, OutputFile, ShownSaved};
pub use pushing::{DEFAULT_TAG, ImageTag, PushOptions, PushedImage, PushedImages, push};
pub use select::{Pick, select, select_architectures, select_distributions, with_overlays};
pub use show::{ShownConfig, ShownLayer, ShownPackage, ShownTier, ShownVariant, glance, show};
pub use why::{Asked, why};
pub use workshop::{Settings, Warnings, Workshop};

use self::{
    building::{Round, round},
    errors::{EditedLayers, Moved, Moving, StaleLock},
    locking::Settled,
    packages::{GonePackage, Lack},
    plan::{Plan, plan},
};

use crate::{
    evidence::changes as lock_changes,
    ground::{Event, sweep_stale},
    layer,
    lock::{self, Lock, Output},
    outputs::Outputs,
};

/// The locks of all picked distributions, by index, each fitting its manifests.
type Locks = BTreeMap<usize, Lock>;

/// Builds tiers: settles the locks, then fetches, unpacks, composes and emits what is not there yet.
///
/// # Errors
/// Everything that failed. What was built all the same is whole, in SHA256SUMS, and in the locks.
pub fn build(workshop: &Workshop, picks: &[Pick], options: &BuildOptions) -> Result<Vec<BuiltTier>, Failures> {
    let outputs = Outputs::new(&options.output);
    let picks = match options.formats.images() {
        true => with_overlays(&workshop.project, picks.to_vec()),
        false => picks.to_vec(),
    };
    let picks = &*picks;
    let mut locks = settle_locks(workshop, picks, options.locked)?;
    let layouts = images::layouts(workshop, picks, &outputs, &options.formats)?;
    // Another round where locked packages were gone and the locks had to move, or where the cache was
    // damaged; a third is not expected to go better.
    for attempt in 0..3 {
        let plans = plan(workshop, picks, &locks)?;
        if options.locked {
            refuse_edited(workshop, &plans)?;
        }
        match round(workshop, &plans, &outputs, options) {
            Ok(round) if !round.damaged.is_empty() && attempt < 2 => {}
            Ok(mut round) => {
                images::publish(workshop, picks, &plans, &mut round, layouts, &outputs, &options.formats);
                documents::publish(workshop, picks, &plans, &mut round, &outputs, &options.formats);
                return finish(workshop, locks, round, &outputs, options);
            }
            Err(Lack::Gone(gone)) if attempt < 2 => {
                drop(plans);
                replace_gone(workshop, picks, &mut locks, gone, options.locked)?;
            }
            Err(lack) => return Err(lack.into_failures()),
        }
    }
    Err(Moving.into())
}

/// Records what was built in SHA256SUMS and, unless they must not change, in the locks.
fn finish(
    workshop: &Workshop,
    locks: Locks,
    round: Round,
    outputs: &Outputs,
    options: &BuildOptions,
) -> Result<Vec<BuiltTier>, Failures> {
    let Round { built, digests, failures, damaged } = round;
    let files =
        built.iter().flat_map(|tier| tier.outputs.iter().chain(tier.images.iter().flat_map(|image| &image.outputs)));
    let sums = files.map(|output| (output.name.clone(), output.digest));
    outputs.record_with(&sums.collect(), &images::shared(&built, &options.formats))?;
    for (index, mut lock) in locks {
        let distribution = &workshop.project.distributions[index];
        // Layers with other times than the manifest's are nobody's record.
        if options.locked || workshop.overrides_timestamp(distribution) {
            continue;
        }
        lock.format_version = layer::FORMAT_VERSION;
        for tier in built.iter().filter(|tier| tier.distribution == distribution.name) {
            let output = Output { recipe: tier.recipe, diff_id: tier.diff_id, size: tier.size };
            let before = lock.outputs.insert((tier.architecture, tier.tier.clone()), output);
            if let Some(before) = before.filter(|before| before.recipe != tier.recipe) {
                workshop.observer.tell(Event::Step(format!(
                    "{}/{} {}: edited since the lock recorded {}",
                    tier.distribution, tier.tier, tier.architecture, before.diff_id
                )));
            }
        }
        for locked in lock.architectures.values_mut().flat_map(|inputs| inputs.packages.values_mut()) {
            locked.unpacked = locked.unpacked.or_else(|| digests.get(&locked.package.sha256).copied());
        }
        lock.write(&locking::lock_path(distribution))?;
        sweep_stale(&distribution.folder)?;
    }
    let failures: Vec<_> = failures.into_iter().chain(damaged).flat_map(|failures| failures.0).collect();
    if failures.is_empty() { Ok(built) } else { Err(Failures(failures)) }
}

/// Under `--locked` a layer that the lock records of another recipe cannot be what is asked for: its
/// diff_id no longer applies, and a new one must not be recorded.
fn refuse_edited(workshop: &Workshop, plans: &[Plan<'_>]) -> Result<(), Failures> {
    let mut edited: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for plan in plans.iter().filter(|plan| !workshop.overrides_timestamp(plan.distribution)) {
        for step in &plan.steps {
            if plan.recorded(step).is_some_and(|recorded| recorded.recipe != step.recipe) {
                let layers = edited.entry(locking::lock_path(plan.distribution)).or_default();
                layers.push(format!("{} ({})", plan.tier(step).name, plan.architecture));
            }
        }
    }
    let errors: Vec<_> =
        edited.into_iter().map(|(lock, layers)| EditedLayers { lock, layers: layers.join(", ") }).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.into()) }
}

fn settle_locks(workshop: &Workshop, picks: &[Pick], locked: bool) -> Result<Locks, Failures> {
    let settle = |pick: &Pick| {
        let distribution = &workshop.project.distributions[pick.distribution];
        let path = locking::lock_path(distribution);
        let (old, why) =
            match locking::settled(distribution, |architecture| pick.architectures.contains(&architecture))? {
                Settled::Fits(lock) => return Ok((pick.distribution, lock)),
                Settled::Unfit { lock: None, why } => (None, format!("{why} yet")),
                Settled::Unfit { lock, why } => (lock, why),
            };
        if locked {
            return Err(StaleLock { lock: path, why }.into());
        }
        workshop.observer.tell(Event::Step(format!("{}: {why}", path.display())));
        let options = LockOptions::keep(pick.architectures.iter().copied());
        let new = locking::resolve_distribution(workshop, distribution, old.as_ref(), &options, &BTreeSet::new())?;
        // Written before anything is built: the work of resolving is kept whatever happens next.
        new.write(&path)?;
        Ok((pick.distribution, new))
    };
    Ok(Failures::gather(picks.iter().map(settle))?.into_iter().collect())
}

/// Locks anew without the packages that are gone, and says so loudly.
fn replace_gone(
    workshop: &Workshop,
    picks: &[Pick],
    locks: &mut Locks,
    gone: Vec<GonePackage>,
    locked: bool,
) -> Result<(), Failures> {
    if locked {
        return Err(Lack::Gone(gone).into_failures());
    }
    for pick in picks {
        let distribution = &workshop.project.distributions[pick.distribution];
        let names: locking::Gone =
            gone.iter().filter(|gone| gone.distribution == distribution.name).map(|gone| gone.package.sha256).collect();
        if names.is_empty() {
            continue;
        }
        let old = &locks[&pick.distribution];
        let options = LockOptions::keep(pick.architectures.iter().copied());
        let new = locking::resolve_distribution(workshop, distribution, Some(old), &options, &names)?;
        let changes = lock::changes(old, &new);
        let path = locking::lock_path(distribution);
        // Still listed by the signed index: the mirrors lag behind their own index, or lost a file.
        let listed = |gone: &GonePackage| new.debs().any(|package| package.sha256 == gone.package.sha256);
        if gone.iter().any(listed) {
            return Err(gone.into_iter().filter(listed).map(|gone| gone.error).collect::<Vec<_>>().into());
        }
        workshop
            .observer
            .tell(Event::Warning(Arc::new(Moved { lock: path.clone(), changes: lock_changes::table(&changes) })));
        new.write(&path)?;
        locks.insert(pick.distribution, new);
    }
    Ok(())
}
