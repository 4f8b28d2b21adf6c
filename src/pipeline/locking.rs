//! The inputs side: from manifests and signed indexes to `debstrata.lock`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use rayon::prelude::*;
use serde::Serialize;

use super::{
    Failures, Located, Locks, Pick, ShownSaved, Workshop, diff,
    errors::{IdleOmission, LeftOut, StaleLock, UnknownPackage},
    linkage,
};
use crate::{
    archive::{self, Index, Opening, Package, Suites},
    debian::Architecture,
    evidence::diff::Changelog,
    fetch::Origin,
    ground::{Class, Event, Failure, Sha256, Silent, nearest},
    layer,
    lock::{self, Changes, Inputs, Lock, LockError, LockedTier},
    manifest::{ArchiveSource, Distribution, Project},
    resolve::{self, Preferences, Question, ResolveError},
    unpack,
};

/// What may take a newer version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// Only what has to be resolved anew; all else keeps its version.
    Nothing,
    /// Everything.
    Everything,
    /// These packages.
    Packages(BTreeSet<String>),
}

/// How to lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockOptions {
    /// What may take a newer version.
    pub upgrade: Upgrade,
    /// Accept a Release older than the one seen before.
    pub allow_older: bool,
    /// The architectures that must be resolved; none named: all.
    pub architectures: BTreeSet<Architecture>,
    /// Resolve the others too, where their mirrors allow it (else a warning). Otherwise, and where
    /// that fails, the lock keeps what it has of them.
    pub try_others: bool,
}

impl LockOptions {
    /// Resolve what has to be, for these architectures; everything else keeps its version.
    pub(super) fn keep(architectures: impl IntoIterator<Item = Architecture>) -> Self {
        let architectures = architectures.into_iter().collect();
        Self { upgrade: Upgrade::Nothing, allow_older: false, architectures, try_others: true }
    }

    fn must(&self, architecture: Architecture) -> bool {
        self.architectures.is_empty() || self.architectures.contains(&architecture)
    }
}

impl Upgrade {
    /// The words after `--upgrade`, and which distributions they name: a word that is a distribution
    /// of the project, and no package of any lock, is meant as one. No package left: everything.
    pub fn of_words(project: &Project, words: &[String]) -> Result<(Self, Vec<String>), Failures> {
        let known = |word: &String| project.distributions.iter().any(|distribution| distribution.name == *word);
        let mut packages: BTreeSet<String> = words.iter().cloned().collect();
        let mut distributions: Vec<String> = words.iter().filter(|word| known(word)).cloned().collect();
        if !distributions.is_empty() {
            for distribution in &project.distributions {
                let lock = read_lock(distribution)?;
                distributions.retain(|word| !lock.as_ref().is_some_and(|lock| names(lock).contains(word.as_str())));
            }
            packages.retain(|word| !distributions.contains(word));
        }
        Ok((if packages.is_empty() { Self::Everything } else { Self::Packages(packages) }, distributions))
    }

    /// What of it concerns a distribution with this lock.
    fn within(&self, lock: Option<&Lock>) -> Self {
        let Self::Packages(wanted) = self else { return self.clone() };
        let locked = lock.map(names).unwrap_or_default();
        let wanted: BTreeSet<_> = wanted.iter().filter(|name| locked.contains(name.as_str())).cloned().collect();
        if wanted.is_empty() { Self::Nothing } else { Self::Packages(wanted) }
    }
}

/// What locking one distribution did.
#[derive(Debug, Clone, Serialize)]
pub struct Locked {
    /// The distribution.
    pub distribution: String,
    /// The file.
    pub lock: String,
    /// Whether it was written.
    pub written: bool,
    /// Packages that were added, removed or changed.
    pub changes: Changes,
    /// What the changelogs tell of the changed packages, where the cache has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changelogs: Vec<Changelog>,
    /// By tier and architecture, what `dependencies = "linked"` does without; others are not named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<(String, Architecture, ShownSaved)>,
    /// Suites that an `allow-unsigned` or `allow-expired` of the manifest let pass.
    pub opt_outs: Vec<String>,
}

/// A lock that does not fit its manifests, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Stale {
    /// The file.
    pub lock: String,
    /// In words.
    pub why: String,
}

/// Locks distributions. Where a lock fits its manifests and nothing is to be upgraded, nothing is
/// fetched and nothing is written. A package to upgrade concerns the distributions that have it.
pub fn lock(workshop: &Workshop, distributions: &[usize], options: &LockOptions) -> Result<Vec<Locked>, Failures> {
    let each = distributions.iter().map(|index| &workshop.project.distributions[*index]);
    if let Upgrade::Packages(names) = &options.upgrade {
        check_names(each.clone(), names)?;
    }
    Failures::gather(each.map(|distribution| lock_one(workshop, distribution, options)))
}

fn lock_one(workshop: &Workshop, distribution: &Distribution, options: &LockOptions) -> Result<Locked, Failures> {
    let path = lock_path(distribution);
    let old = read_lock(distribution)?;
    let wanted = |architecture| options.must(architecture);
    let outcome = |lock: &Lock, written, changes, changelogs| Locked {
        distribution: distribution.name.clone(),
        lock: path.display().to_string(),
        written,
        changes,
        changelogs,
        saved: linkage::saved(lock),
        opt_outs: lock.opt_outs(&distribution.name),
    };
    let upgrade = options.upgrade.within(old.as_ref());
    if let Some(old) = &old
        && upgrade == Upgrade::Nothing
        && staleness(distribution, old, wanted).is_none()
    {
        return Ok(outcome(old, false, Changes::default(), Vec::new()));
    }
    let new = resolve_distribution(workshop, distribution, old.as_ref(), options, &BTreeSet::new())?;
    let none = Lock::default();
    let before = old.as_ref().unwrap_or(&none);
    let changes = lock::changes(before, &new);
    let changelogs = diff::upgraded(workshop, before, &new, &changes);
    let written = new.write(&path)?;
    Ok(outcome(&new, written, changes, changelogs))
}

/// Which locks do not fit their manifests.
pub fn check_lock(workshop: &Workshop, distributions: &[usize]) -> Result<Vec<Stale>, Failures> {
    let mut stale = Vec::new();
    for distribution in distributions.iter().map(|index| &workshop.project.distributions[*index]) {
        if let Settled::Unfit { why, .. } = settled(distribution, |_| true)? {
            stale.push(Stale { lock: lock_path(distribution).display().to_string(), why });
        }
    }
    Ok(stale)
}

/// Where a distribution's lock is, without a leading `./`, as all diagnostics name files.
pub(super) fn lock_path(distribution: &Distribution) -> PathBuf {
    let folder = &distribution.folder;
    folder.strip_prefix(".").unwrap_or(folder).join(lock::FILE_NAME)
}

/// A distribution's lock, where it has one and this program knows its layers' format.
pub(super) fn read_lock(distribution: &Distribution) -> Result<Option<Lock>, LockError> {
    let path = lock_path(distribution);
    let lock = Lock::read(&path)?;
    lock.iter().try_for_each(|lock| lock.check_format(&path, layer::FORMAT_VERSION))?;
    Ok(lock)
}

/// What keeps a lock from fitting the manifests and the folders of .debs that they name, for the
/// architectures that matter, in words; `None`: it fits.
fn staleness(distribution: &Distribution, lock: &Lock, matters: impl Fn(Architecture) -> bool) -> Option<String> {
    let stale = stale_tiers(distribution, lock, &matters);
    if !stale.is_fresh() {
        return Some(stale.to_string());
    }
    let changed = changed_debs(distribution, lock, &matters);
    (!changed.is_empty()).then(|| changed.join("; "))
}

fn stale_tiers(distribution: &Distribution, lock: &Lock, matters: impl Fn(Architecture) -> bool) -> lock::Staleness {
    let mut stale = lock::staleness(lock, &questions(distribution));
    for keys in [&mut stale.new, &mut stale.changed, &mut stale.removed] {
        keys.retain(|(architecture, _)| matters(*architecture));
    }
    stale
}

fn changed_debs(distribution: &Distribution, lock: &Lock, matters: impl Fn(Architecture) -> bool) -> Vec<String> {
    let inputs = lock.architectures.iter().filter(|(architecture, _)| matters(**architecture));
    let packages = inputs.flat_map(|(_, inputs)| inputs.packages.values()).map(|locked| &locked.package);
    archive::changed_debs(&distribution.archive, packages)
}

/// A lock as it is kept.
pub(super) enum Settled {
    /// It fits the manifests.
    Fits(Lock),
    /// It does not, or is not there; and why.
    Unfit { lock: Option<Lock>, why: String },
}

/// Reads a distribution's lock, and looks whether it fits for the architectures that matter.
pub(super) fn settled(
    distribution: &Distribution,
    matters: impl Fn(Architecture) -> bool,
) -> Result<Settled, LockError> {
    let Some(lock) = read_lock(distribution)? else {
        return Ok(Settled::Unfit { lock: None, why: "there is no lock".to_owned() });
    };
    Ok(match staleness(distribution, &lock, matters) {
        None => Settled::Fits(lock),
        Some(why) => Settled::Unfit { lock: Some(lock), why },
    })
}

/// The lock, for those who only read it: one that is not there or does not fit is an error.
pub(super) fn read_fresh(
    distribution: &Distribution,
    matters: impl Fn(Architecture) -> bool,
) -> Result<Lock, Failures> {
    match settled(distribution, matters)? {
        Settled::Fits(lock) => Ok(lock),
        Settled::Unfit { why, .. } => Err(StaleLock { lock: lock_path(distribution), why }.into()),
    }
}

/// The locks of all picks, by [`read_fresh`].
pub(super) fn read_all_fresh(workshop: &Workshop, picks: &[Pick]) -> Result<Locks, Failures> {
    let read = |pick: &Pick| {
        let distribution = &workshop.project.distributions[pick.distribution];
        let lock = read_fresh(distribution, |architecture| pick.architectures.contains(&architecture))?;
        Ok((pick.distribution, lock))
    };
    Ok(Failures::gather(picks.iter().map(read))?.into_iter().collect())
}

/// What [`read_partly`] found.
pub(super) struct Partly {
    /// Empty where there is none.
    pub(super) lock: Lock,
    /// Indexes of the tiers that it answers; with each of them its parents.
    pub(super) fresh: BTreeSet<usize>,
    /// What keeps it from fitting all.
    pub(super) stale: Option<StaleLock>,
}

/// The lock, for those who read of one architecture and can do without the tiers that it does not answer.
pub(super) fn read_partly(distribution: &Distribution, architecture: Architecture) -> Result<Partly, LockError> {
    let path = lock_path(distribution);
    let matters = |one| one == architecture;
    let Some(lock) = read_lock(distribution)? else {
        let stale = Some(StaleLock { lock: path, why: "there is no lock".to_owned() });
        return Ok(Partly { lock: Lock::default(), fresh: BTreeSet::new(), stale });
    };
    let stale = stale_tiers(distribution, &lock, matters);
    let changed = changed_debs(distribution, &lock, matters);
    let answered = |index: &usize| {
        let key = (architecture, distribution.tiers[*index].name.clone());
        // Any tier may have the .debs that changed.
        changed.is_empty() && !stale.new.contains(&key) && !stale.changed.contains(&key)
    };
    let fresh = (0..distribution.tiers.len()).filter(answered).collect();
    let why = if stale.is_fresh() { changed.join("; ") } else { stale.to_string() };
    let stale = (!stale.is_fresh() || !changed.is_empty()).then_some(StaleLock { lock: path, why });
    Ok(Partly { lock, fresh, stale })
}

/// The digest of every tier's question, for every architecture.
fn questions(distribution: &Distribution) -> lock::Wanted {
    let archives = lock::archive_digests(&distribution.archive);
    let mut all = lock::Wanted::new();
    for (architecture, archive) in archives {
        let mut digests = Vec::new();
        for (index, tier) in distribution.tiers.iter().enumerate() {
            let parent = tier.parent.as_ref().map(|parent| digests[parent.value]);
            // What an image has bounds the answer as a parent's packages do; its digest says what that is.
            let parent = parent.or(tier.base.as_ref().map(|base| base.digest.value));
            let digest = lock::question_digest(&question(distribution, index, architecture), archive, parent);
            let digest = linkage::digest(distribution, index, digest);
            digests.push(digest);
            all.insert((architecture, tier.name.clone()), digest);
        }
    }
    all
}

fn question(distribution: &Distribution, tier: usize, architecture: Architecture) -> Question {
    let tier = &distribution.tiers[tier];
    Question { architecture, wishes: tier.packages.clone(), dependencies: tier.dependencies, omit: tier.omit.clone() }
}

/// Omissions that omit nothing, as indexes of tier and omission.
type Idle = BTreeSet<(usize, usize)>;

/// The .debs that can be had nowhere any more.
pub(super) type Gone = BTreeSet<Sha256>;

/// Resolves all tiers of a distribution for all its architectures, from one moment of its archive.
pub(super) fn resolve_distribution(
    workshop: &Workshop,
    distribution: &Distribution,
    old: Option<&Lock>,
    options: &LockOptions,
    gone: &Gone,
) -> Result<Lock, Failures> {
    workshop.observer.tell(Event::Step(format!("resolving {}", distribution.name)));
    let seen = old.iter().flat_map(|old| &old.suites).map(|suite| (suite.id.clone(), suite.clone())).collect();
    let opening = Opening { clock: workshop.clock, seen: &seen, allow_older: options.allow_older };
    let suites = archive::open(&distribution.archive, &workshop.fetcher, &opening)?;
    let architectures: Vec<Architecture> = distribution.archive.architectures.iter().map(|arch| arch.value).collect();
    let before = |architecture: &Architecture| {
        old.and_then(|old| old.architectures.get(architecture)).map(|inputs| (inputs.clone(), Idle::new()))
    };
    let resolve_one = |architecture: &Architecture| {
        if !options.must(*architecture) && !options.try_others {
            return Ok(before(architecture));
        }
        match resolve_architecture(workshop, distribution, *architecture, &suites, old, options, gone) {
            Ok(resolved) => Ok(Some(resolved)),
            Err(failures) if failures.class() == Class::World && !options.must(*architecture) => {
                let lock = lock_path(distribution);
                workshop.observer.tell(Event::Warning(Arc::new(LeftOut {
                    architecture: *architecture,
                    lock,
                    failures,
                })));
                Ok(before(architecture))
            }
            Err(failures) => Err(failures),
        }
    };
    let mut inputs = BTreeMap::new();
    let mut idle: Option<Idle> = None;
    // An index is some 50 MB of text: two at a time keep memory within bounds on any machine.
    for pair in architectures.chunks(2) {
        let resolved: Vec<Result<_, Failures>> = pair.par_iter().map(resolve_one).collect();
        for (architecture, resolved) in pair.iter().zip(resolved) {
            // An architecture that was not resolved may need any omission.
            let (resolved, of_it) = resolved?.map_or_else(Default::default, |(inputs, idle)| (Some(inputs), idle));
            inputs.extend(resolved.map(|inputs| (*architecture, inputs)));
            idle = Some(idle.map_or_else(|| of_it.clone(), |idle| &idle & &of_it));
        }
    }
    tell_idle(workshop, distribution, &idle.unwrap_or_default());
    let mut suites = suites.records();
    suites.sort_by(|a, b| a.id.cmp(&b.id));
    let mut new =
        Lock { format_version: layer::FORMAT_VERSION, suites, architectures: inputs, outputs: BTreeMap::new() };
    if let Some(old) = old {
        new.carry(old);
    }
    new.forget_strays();
    Ok(new)
}

fn resolve_architecture(
    workshop: &Workshop,
    distribution: &Distribution,
    architecture: Architecture,
    suites: &Suites,
    old: Option<&Lock>,
    options: &LockOptions,
    gone: &Gone,
) -> Result<(Inputs, Idle), Failures> {
    let mut index = suites.index(&workshop.fetcher, architecture, &*workshop.observer)?;
    let locked = old.and_then(|old| old.architectures.get(&architecture));
    let mut held = BTreeMap::new();
    for package in locked.iter().flat_map(|inputs| inputs.packages.values()) {
        let name = &package.package.name;
        let released = match &options.upgrade {
            Upgrade::Nothing => false,
            Upgrade::Everything => true,
            Upgrade::Packages(names) => names.contains(&**name),
        };
        // What the index lists is only missing, whatever else it lists: it is held, and still in the
        // lock, and so the build says that it could not be fetched.
        let gone = gone.contains(&package.package.sha256) && !lists(&index, &package.package);
        if released || gone {
            continue;
        }
        if hold(workshop, distribution, old, &mut index, &package.package)? {
            held.insert(name.clone(), package.package.version.clone());
        }
    }
    let preferences = Preferences { held };
    let mut failures: Vec<Box<dyn Failure>> = Vec::new();
    let mut answers: Vec<Option<Vec<Package>>> = Vec::new();
    let (mut inputs, mut idle) = (Inputs::default(), Idle::new());
    let digests = questions(distribution);
    // Tiers that keep the answer they had, with all below them.
    let mut kept = BTreeSet::new();
    // Of tiers that stand on images, by the root tier.
    let (mut grounds, mut indexes) = (BTreeMap::new(), BTreeMap::new());
    for (number, tier) in distribution.tiers.iter().enumerate().filter(|(_, tier)| tier.base.is_some()) {
        match workshop.ground(distribution, number, architecture) {
            Ok(Some(ground)) => {
                indexes.insert(number, ground.indexed(&index)?);
                grounds.insert(number, ground);
            }
            Ok(None) => unreachable!("tiers with a base have one: {}", tier.name),
            Err(more) => failures.extend(more.0),
        }
    }
    for (number, tier) in distribution.tiers.iter().enumerate() {
        let parents = match &tier.parent {
            None if tier.base.is_some() => grounds.get(&number).map(|ground| ground.present()),
            None => Some(Vec::new()),
            Some(parent) => answers[parent.value].clone(),
        };
        let overlay = tier.stands_for.as_ref().map(|overlaid| overlaid.overlay);
        if overlay.is_some_and(|overlay| answers[overlay].is_none()) {
            answers.push(None); // it asks the same, and that was told
            continue;
        }
        let Some(mut chain) = parents else {
            answers.push(None); // the parent's errors are told; its children have no ground to stand on
            continue;
        };
        let digest = digests[&(architecture, tier.name.clone())];
        let parent_kept = tier.parent.as_ref().is_none_or(|parent| kept.contains(&parent.value));
        let before = locked.filter(|_| parent_kept && options.upgrade == Upgrade::Nothing);
        if let Some((before, packages)) = before.and_then(|locked| answered(locked, &tier.name, digest, &index, gone)) {
            inputs.insert(&tier.name, digest, &packages, before.unmet.clone())?;
            inputs.tiers.insert(tier.name.clone(), before.clone());
            chain.extend(packages);
            answers.push(Some(chain));
            kept.insert(number);
            continue;
        }
        let question = question(distribution, number, architecture);
        let root = distribution.chain(number).first().copied().unwrap_or(number);
        let index = indexes.get(&root).unwrap_or(&index);
        match resolve::resolve(&question, index, &chain, &preferences) {
            Err(mut errors) => {
                tell_elsewhere(workshop, distribution, suites, architecture, &mut errors);
                let located = errors.into_iter().map(|error| Located::on(architecture, &tier.source, error));
                failures.extend(Failures::from(located.collect::<Vec<_>>()).0);
                answers.push(None);
            }
            Ok(answer) => {
                let linked = match linkage::link(
                    workshop,
                    distribution,
                    number,
                    suites,
                    index,
                    &chain,
                    grounds.get(&root).map(|ground| &**ground),
                    &inputs,
                    question,
                    answer,
                ) {
                    Ok(linked) => linked,
                    Err(more) => {
                        failures.extend(more.0);
                        answers.push(None);
                        continue;
                    }
                };
                let (answer, saved) = linked;
                idle.extend(answer.idle_omissions.iter().map(|omission| (number, *omission)));
                let unmet = answer.unmet.iter().map(ToString::to_string).collect();
                let keep = |package| keep_place(package, locked, index, gone);
                let packages: Vec<Package> = answer.packages.into_iter().map(|chosen| keep(chosen.package)).collect();
                inputs.insert(&tier.name, digest, &packages, unmet)?;
                if let Some(locked) = inputs.tiers.get_mut(&tier.name) {
                    locked.saved = saved;
                    locked.base = tier.base.as_ref().map(lock::LockedBase::of);
                }
                chain.extend(packages);
                answers.push(Some(chain));
            }
        }
    }
    if failures.is_empty() { Ok((inputs, idle)) } else { Err(Failures(failures)) }
}

/// The answer that a tier's question had, where all of it can still be had as it was locked. To resolve a
/// linked tier anew is to fetch all that it could need.
fn answered<'l>(
    locked: &'l Inputs,
    tier: &str,
    question: Sha256,
    index: &Index,
    gone: &Gone,
) -> Option<(&'l LockedTier, Vec<Package>)> {
    let before = locked.tiers.get(tier).filter(|before| before.question == question)?;
    let still = |name: &str| {
        let package = &locked.packages.get(name)?.package;
        let there = is_in_place(package, index) && !gone.contains(&package.sha256);
        there.then(|| package.clone())
    };
    Some((before, before.packages.iter().map(|name| still(name)).collect::<Option<_>>()?))
}

/// Whether the suite that a .deb was locked from lists it still, in the same place.
fn is_in_place(package: &Package, index: &Index) -> bool {
    let listed = index.listed(&package.from, &package.name, package.sha256);
    listed.is_some_and(|listed| listed.record.filename == &*package.path)
}

/// Adds to errors of unknown names which other architectures have a package so called.
fn tell_elsewhere(
    workshop: &Workshop,
    distribution: &Distribution,
    suites: &Suites,
    here: Architecture,
    errors: &mut [ResolveError],
) {
    let names: BTreeSet<String> = errors.iter().flat_map(ResolveError::unknown_names).map(ToOwned::to_owned).collect();
    if names.is_empty() {
        return;
    }
    let mut found: BTreeMap<&str, Vec<Architecture>> = BTreeMap::new();
    let others = distribution.archive.architectures.iter().map(|architecture| architecture.value);
    for other in others.filter(|other| *other != here) {
        // It is only a hint: the errors are told, whether or not another architecture's index can be had.
        let Ok(index) = suites.index(&workshop.fetcher, other, &Silent) else { continue };
        let has = |name: &&String| !index.candidates(name).is_empty() || !index.providers(name).is_empty();
        names.iter().filter(has).for_each(|name| found.entry(name).or_default().push(other));
    }
    for error in errors {
        let unknown: Vec<String> = error.unknown_names().into_iter().map(ToOwned::to_owned).collect();
        for name in unknown {
            error.add_elsewhere(&name, found.get(name.as_str()).map_or(&[], Vec::as_slice));
        }
    }
}

/// What no architecture needs.
fn tell_idle(workshop: &Workshop, distribution: &Distribution, idle: &Idle) {
    for (tier, omission) in idle {
        let tier = &distribution.tiers[*tier];
        // What an overlay omits may be idle on top of one tier and not of another; its own tier decides.
        if tier.stands_for.is_some() {
            continue;
        }
        let name = &tier.omit[*omission].package;
        let warning = IdleOmission { package: name.value.clone(), span: name.span.clone().into() };
        workshop.observer.tell(Event::Warning(Arc::new(Located::new(&tier.source, warning))));
    }
}

/// Makes sure that the index offers a locked package, even where its suite lists only newer ones:
/// its relations then come from the locked .deb itself. False where it can be had nowhere.
fn hold(
    workshop: &Workshop,
    distribution: &Distribution,
    old: Option<&Lock>,
    index: &mut Index,
    package: &Package,
) -> Result<bool, Failures> {
    if lists(index, package) {
        return Ok(true);
    }
    let Some((source, origin)) = source_of(distribution, old, &package.from) else {
        return Ok(false); // its source is gone from archive.toml
    };
    if source.folder.is_some() {
        // The folder says what its packages are now. Of a .deb that was built again the version counts.
        return Ok(index.find(package).is_some());
    }
    let deb = match workshop.fetcher.blob(&origin, &super::packages::wanted(package)) {
        Ok(deb) => deb,
        Err(error) if error.answered_gone() => {
            workshop.observer.tell(Event::Step(format!(
                "{}: {} {} can be had nowhere any more; taking what the archive has now",
                distribution.name, package.name, package.version
            )));
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    let limits = unpack::Limits::default();
    let unpacked =
        unpack::unpack(&deb, &super::packages::expected(package), &workshop.cache, &limits, &*workshop.observer)?;
    let control = unpacked.control.get("control").map(|text| &**text).unwrap_or_default();
    let mut stanza = control.trim_ascii_end().to_vec();
    stanza.extend_from_slice(
        format!("\nFilename: {}\nSize: {}\nSHA256: {}\n\n", package.path, package.size, package.sha256).as_bytes(),
    );
    index.add(&package.from, source.priority, stanza)?;
    Ok(true)
}

/// Whether the index offers this very .deb.
fn lists(index: &Index, package: &Package) -> bool {
    index.candidates(&package.name).iter().any(|candidate| candidate.record.sha256 == Some(package.sha256))
}

/// A .deb that was locked stays where it was while that suite still lists it: whoever else lists it
/// too changes no line of the lock.
fn keep_place(package: Package, locked: Option<&Inputs>, index: &Index, gone: &Gone) -> Package {
    let before = locked.and_then(|locked| locked.packages.get(&package.name)).map(|locked| &locked.package);
    match before.filter(|before| before.sha256 == package.sha256 && !gone.contains(&before.sha256)) {
        Some(before) if is_in_place(before, index) => before.clone(),
        _ => package,
    }
}

/// The source and origin of a suite, by its id.
fn source_of<'a>(distribution: &'a Distribution, old: Option<&Lock>, id: &str) -> Option<(&'a ArchiveSource, Origin)> {
    let records = old.map(|old| old.suites.as_slice()).unwrap_or_default();
    let origin = archive::origins(&distribution.archive, records).remove(id)?;
    let source = distribution.archive.sources.iter().find(|source| source.name == origin.name)?;
    Some((source, origin))
}

/// The names of all locked packages.
fn names(lock: &Lock) -> BTreeSet<&str> {
    lock.debs().map(|package| &*package.name).collect()
}

/// Names must be known to at least one of the distributions: locked, or wished for. Where one has no
/// lock yet, nobody knows all names.
fn check_names<'a>(
    distributions: impl Iterator<Item = &'a Distribution>,
    names: &BTreeSet<String>,
) -> Result<(), Failures> {
    let mut known: BTreeSet<Box<str>> = BTreeSet::new();
    for distribution in distributions {
        let Some(lock) = read_lock(distribution)? else { return Ok(()) };
        known.extend(lock.debs().map(|package| package.name.clone()));
        let wishes = distribution.tiers.iter().flat_map(|tier| &tier.packages);
        known.extend(wishes.flat_map(|wish| &wish.relation.0).map(|alternative| Box::from(&*alternative.name)));
    }
    let unknown: Vec<_> = names
        .iter()
        .filter(|name| !known.contains(name.as_str()))
        .map(|name| UnknownPackage {
            name: name.clone(),
            help: nearest(name, known.iter().map(|name| &**name)).map(|near| format!("did you mean {near}?")),
        })
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(unknown.into()) }
}
