//! `fit`: which tiers can run a file. What tiers have for programs is derived data, one table a layer
//! and recipe: composing all tiers takes far longer than judging a file in each.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::Diagnostic;
use serde::Serialize;

use super::{
    Failures, Locks, Pick, Workshop,
    building::{Chain, changes, compose_tier},
    errors::StaleLock,
    locking::{self, Partly},
    packages::{Lack as NotHad, check_digests, unpacked},
    plan::{Plan, Step, plan},
    select,
    why::AtHand,
};
use crate::{
    compose::ComposeError,
    debian::Architecture,
    evidence::fit::{Advice, Asked, Best, Fit, Judge, Layer, Subject, Tier, Verdict, suggest, tabulate},
    ground::{Class, Event, Failure, RootPath, Sha256, printable, read_at_most},
    manifest::Distribution,
};

/// What is asked.
#[derive(Debug, Clone)]
pub struct FitOptions {
    /// Each file as it is shown, where it is read, and where it would lie in a tier.
    pub binaries: Vec<(String, PathBuf, RootPath)>,
    /// Tiers to judge; none: all.
    pub tiers: Vec<String>,
    /// Judge the tiers of this architecture; none: of each file's own.
    pub architecture: Option<Architecture>,
    /// Of this machine: for scripts.
    pub host: Option<Architecture>,
    /// Write the manifest of a tier with this name, `DISTRIBUTION/TIER` or `TIER`.
    pub new: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Fitted {
    /// In the order in which files were named.
    pub fits: Vec<Fit>,
    /// What would run all of them; none where they are for several architectures.
    pub best: Option<Best>,
    /// The manifest that was written.
    pub written: Option<PathBuf>,
}

/// A manifest that cannot be written.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum NewError {
    #[error("{0:?} is no name for a tier")]
    #[diagnostic(
        code(debstrata::fit::tier_name),
        help("write debian13/app or app: lower-case letters, digits and - . _, and not archive")
    )]
    Name(String),
    #[error("no distribution is called {0:?}")]
    #[diagnostic(code(debstrata::fit::no_distribution), help("name one of the folders below manifests/"))]
    Distribution(String),
    #[error("{} is there already", .0.display())]
    #[diagnostic(code(debstrata::fit::there_already), help("choose another name, or remove the file"))]
    There(PathBuf),
    #[error("no package is known that would make these files run in any tier{0}")]
    #[diagnostic(
        code(debstrata::fit::nothing_helps),
        help("without --new, fit says what is missing; `debstrata lock` fetches the index, which knows more packages")
    )]
    Nothing(String),
    #[error("{} cannot be written", path.display())]
    #[diagnostic(code(debstrata::fit::unwritable), help("is the folder writable, and the disk not full?"))]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("what the cache says of tiers is damaged, and so is what was made anew")]
    #[diagnostic(code(debstrata::fit::damaged), help("delete cache/derived/fit and run again; check the disk"))]
    Damaged,
}

/// Tiers that a lock does not answer, while it or another answers some.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("not all tiers are judged: {stale}")]
#[diagnostic(
    severity(Warning),
    code(debstrata::fit::not_judged),
    help("run `debstrata lock`, and ask again; the answer here is of the tiers that their locks fit")
)]
struct NotJudged {
    stale: StaleLock,
}

impl Failure for NewError {
    fn class(&self) -> Class {
        match self {
            Self::Unwritable { .. } | Self::Damaged => Class::World,
            _ => Class::User,
        }
    }
}

/// The derived data under which a layer's table is kept, by recipe.
const TABLES: &str = "fit";
/// The derived data under which it is kept which package names the archive has.
const NAMES: &str = "fit-names";
/// Bytes of one such record.
const LONGEST_NAMES: u64 = 1 << 20;

/// Judges files, and writes the manifest of a tier for them where that is asked for.
///
/// # Errors
/// Every file that is no program; a name of a tier that cannot be taken; what composing tiers fails with.
pub fn fit(workshop: &Workshop, options: &FitOptions) -> Result<Fitted, Failures> {
    let new = options.new.as_deref().map(|name| new_tier(workshop, name)).transpose()?;
    let open = |(shown, path, _): &(String, PathBuf, RootPath)| Ok(Subject::open(path, shown)?);
    let subjects = Failures::gather(options.binaries.iter().map(open))?;
    let asked: Vec<_> =
        subjects.iter().zip(&options.binaries).map(|(subject, (_, _, at))| Asked::new(subject, at.clone())).collect();
    let mut groups: BTreeMap<Architecture, Vec<usize>> = BTreeMap::new();
    for (number, subject) in subjects.iter().enumerate() {
        groups.entry(architecture(workshop, options, subject)?).or_default().push(number);
    }
    let mut fits: BTreeMap<usize, Fit> = BTreeMap::new();
    let mut sizes = BTreeMap::new();
    for (architecture, numbers) in &groups {
        let picks = select(&workshop.project, &options.tiers, &[architecture.name().to_owned()], options.host)?;
        let (all, locks) = answered(workshop, picks, *architecture, !options.tiers.is_empty())?;
        let plans = plan(workshop, &all, &locks)?;
        let mut tables = Tables::default();
        tables.fill(workshop, &plans, false)?;
        let found = match judge(workshop, &plans, &tables, &asked, numbers)? {
            Some(found) => found,
            None => {
                tables.fill(workshop, &plans, true)?;
                judge(workshop, &plans, &tables, &asked, numbers)?.ok_or(NewError::Damaged)?
            }
        };
        sizes.extend(found.sizes);
        for (number, tiers) in found.judged {
            let fitting = tiers.iter().filter(|(_, verdict)| verdict.fits).map(|(tier, _)| tier);
            let best = fitting.min_by_key(|tier| (sizes.get(*tier).copied().flatten().unwrap_or(u64::MAX), *tier));
            let subject = &subjects[number];
            fits.insert(
                number,
                Fit {
                    binary: options.binaries[number].0.clone(),
                    what: subject.what(),
                    architecture: *architecture,
                    machine: subject.machine().filter(|_| !is_listed(workshop, subject.architecture())),
                    best: best.cloned(),
                    tiers,
                    notes: subject.notes().into_iter().chain(found.notes.iter().cloned()).collect(),
                },
            );
        }
    }
    let fits: Vec<Fit> = fits.into_values().collect();
    let best = if groups.len() == 1 { together(&fits, &sizes, new.as_ref()) } else { None };
    let written = match (&new, &best) {
        (None, _) => None,
        (Some(new), Some(best)) => Some(new.write(workshop, best)?),
        (Some(new), None) => {
            let of = new.distribution.map(|index| format!(" of {}", workshop.project.distributions[index].name));
            return Err(NewError::Nothing(of.unwrap_or_default()).into());
        }
    };
    Ok(Fitted { fits, best, written })
}

/// Whose tiers are asked about a file.
fn architecture(workshop: &Workshop, options: &FitOptions, subject: &Subject) -> Result<Architecture, Failures> {
    let listed = |architecture: &Architecture| is_listed(workshop, Some(*architecture));
    let own = subject.architecture().filter(listed);
    let first = || workshop.project.distributions.iter().flat_map(|one| &one.archive.architectures).next();
    let found = options.architecture.or(own).or(options.host.filter(listed)).or_else(|| first().map(|one| one.value));
    // No distribution at all: `select` says so.
    Ok(found.or(options.host).unwrap_or_else(|| Architecture::known().next().expect("some are known")))
}

/// Whether there are tiers of this architecture.
fn is_listed(workshop: &Workshop, architecture: Option<Architecture>) -> bool {
    let mut all = workshop.project.distributions.iter().flat_map(|one| &one.archive.architectures);
    all.any(|one| Some(one.value) == architecture)
}

/// What of the picks the locks answer: the tiers to judge, with all others of their distributions (what is
/// missing in one may lie in another). Where none was asked for by name, one that its lock does not answer
/// is only warned of, as long as there are others.
fn answered(
    workshop: &Workshop,
    picks: Vec<Pick>,
    architecture: Architecture,
    by_name: bool,
) -> Result<(Vec<Pick>, Locks), Failures> {
    let (mut all, mut locks, mut stale) = (Vec::new(), Locks::new(), Vec::new());
    for pick in picks {
        let distribution = &workshop.project.distributions[pick.distribution];
        let Partly { lock, fresh, stale: why } = locking::read_partly(distribution, architecture)?;
        let named: Vec<usize> = pick.named.iter().copied().filter(|tier| fresh.contains(tier)).collect();
        stale.extend(why.filter(|_| named.len() < pick.named.len()));
        if !named.is_empty() {
            locks.insert(pick.distribution, lock);
            all.push(Pick { tiers: fresh.into_iter().collect(), named, ..pick });
        }
    }
    if !stale.is_empty() && (by_name || all.is_empty()) {
        return Err(stale.into());
    }
    for stale in stale {
        workshop.observer.tell(Event::Warning(Arc::new(NotJudged { stale })));
    }
    Ok((all, locks))
}

/// The tables of layers, by recipe.
#[derive(Default)]
struct Tables(BTreeMap<Sha256, Layer>);

impl Tables {
    /// Recalls tables, and makes those that named tiers need and that are not there; with `anew` all of
    /// them.
    fn fill(&mut self, workshop: &Workshop, plans: &[Plan<'_>], anew: bool) -> Result<(), Failures> {
        let mut missing = Vec::new();
        for plan in plans {
            let needed: BTreeSet<usize> =
                plan.pick.named.iter().flat_map(|tier| plan.distribution.chain(*tier)).collect();
            let mut lacking = BTreeSet::new();
            for step in &plan.steps {
                let recalled = if anew { None } else { recall(workshop, &step.recipe)? };
                match recalled {
                    Some(layer) => drop(self.0.insert(step.recipe, layer)),
                    None if needed.contains(&step.tier) => lacking.extend(plan.distribution.chain(step.tier)),
                    None => {}
                }
            }
            let steps = plan.steps.iter().filter(|step| lacking.contains(&step.tier));
            missing.extend(steps.map(|step| (plan, step)));
        }
        if missing.is_empty() {
            return Ok(());
        }
        workshop.observer.tell(Event::Step(format!("reading what {} tiers have for programs", missing.len())));
        let packages = unpacked(workshop, missing.iter().copied()).map_err(NotHad::into_failures)?;
        check_digests(plans, &packages)?;
        for plan in plans {
            let mut chain = Chain::new();
            let own = |(of, _): &&(&Plan<'_>, &Step)| std::ptr::eq(*of, plan);
            for (_, step) in missing.iter().filter(own) {
                let composed = compose_tier(plan, step, &chain, &packages)?;
                chain.insert(step.tier, composed);
                if anew || !self.0.contains_key(&step.recipe) {
                    self.make(workshop, plan, step, &chain)?;
                }
            }
        }
        Ok(())
    }

    fn make(&mut self, workshop: &Workshop, plan: &Plan<'_>, step: &Step, chain: &Chain) -> Result<(), Failures> {
        let parent = plan.tier(step).parent.as_ref().map(|parent| &chain[&parent.value].rootfs);
        // What a base image has is in no other table: it is told with the tier that stands on it.
        let changes = match plan.grounds.contains_key(&step.tier) {
            true => crate::rootfs::diff(None, &chain[&step.tier].rootfs),
            false => changes(plan, step, chain),
        };
        let made = tabulate(&changes, &chain[&step.tier].rootfs, parent, plan.architecture);
        let bytes = made.map_err(|(path, error)| ComposeError::Content { path, error })?;
        workshop.cache.put_derived(TABLES, &step.recipe.to_string(), |file| file.write_all(&bytes))?;
        self.0.insert(step.recipe, recall(workshop, &step.recipe)?.ok_or(NewError::Damaged)?);
        Ok(())
    }

    /// The tiers of a plan whose layers are all known, in the order of its steps.
    fn tiers(&self, plan: &Plan<'_>) -> Vec<(usize, Tier<'_>)> {
        let recipes: BTreeMap<usize, Sha256> = plan.steps.iter().map(|step| (step.tier, step.recipe)).collect();
        let one = |step: &Step| {
            let chain = plan.distribution.chain(step.tier);
            let layers: Option<Vec<&Layer>> = chain.iter().rev().map(|tier| self.0.get(recipes.get(tier)?)).collect();
            let sizes = chain.iter().map(|tier| {
                let key = (plan.architecture, plan.distribution.tiers[*tier].name.clone());
                plan.lock.outputs.get(&key).map(|output| output.size)
            });
            Some((step.tier, Tier::new(plan.title(step), sizes.sum(), layers?)))
        };
        plan.steps.iter().filter_map(one).collect()
    }
}

fn recall(workshop: &Workshop, recipe: &Sha256) -> Result<Option<Layer>, Failures> {
    Ok(workshop.cache.get_derived(TABLES, &recipe.to_string())?.and_then(Layer::open))
}

/// By file, then by tier.
type Judged = BTreeMap<usize, BTreeMap<String, Verdict>>;
/// Bytes of all layers of each tier.
type Sizes = BTreeMap<String, Option<u64>>;

/// What judging all files came to.
struct Found {
    judged: Judged,
    sizes: Sizes,
    /// What is not known.
    notes: Vec<String>,
}

/// All files in all named tiers; `None` where a table is damaged.
fn judge(
    workshop: &Workshop,
    plans: &[Plan<'_>],
    tables: &Tables,
    asked: &[Asked<'_>],
    numbers: &[usize],
) -> Result<Option<Found>, Failures> {
    let (mut judged, mut sizes, mut notes) = (Judged::new(), Sizes::new(), Vec::new());
    for plan in plans {
        let judge = Judge::new(plan.architecture);
        let numbered = tables.tiers(plan);
        let tiers: Vec<Tier<'_>> = numbered.iter().map(|(_, tier)| tier.clone()).collect();
        let names = RefCell::new(Names::new(workshop, plan)?);
        let failed = RefCell::new(None);
        let archive = |guesses: &[String]| match names.borrow_mut().first(guesses) {
            Ok(found) => found,
            Err(failures) => {
                failed.borrow_mut().get_or_insert(failures);
                None
            }
        };
        let advice = Advice { tiers: &tiers, architecture: plan.architecture, archive: &archive };
        for (_, tier) in numbered.iter().filter(|(number, _)| plan.pick.named.contains(number)) {
            sizes.insert(tier.name.clone(), tier.size);
            for number in numbers {
                let lacks = judge.lacks(tier, &asked[*number]);
                judged.entry(*number).or_default().insert(tier.name.clone(), advice.verdict(&lacks));
            }
        }
        if judge.is_damaged() {
            return Ok(None);
        }
        if let Some(failures) = failed.into_inner() {
            return Err(failures);
        }
        let names = names.into_inner();
        if names.unknown {
            notes.push(format!(
                "packages of {} that no tier has are not known here: the cache has no index of {}; `debstrata lock` \
                 fetches it",
                plan.distribution.name, plan.architecture
            ));
        }
        names.keep()?;
    }
    Ok(Some(Found { judged, sizes, notes }))
}

/// Which package names the archive has, as the index in the cache says: reading it takes longer than all
/// else, so the answers are kept as long as the lock's suites stay the same.
struct Names<'a> {
    workshop: &'a Workshop,
    index: AtHand<'a>,
    key: String,
    known: BTreeMap<String, bool>,
    changed: bool,
    /// A name was asked for that nobody knows: the cache has no index.
    unknown: bool,
}

impl<'a> Names<'a> {
    fn new(workshop: &'a Workshop, plan: &Plan<'a>) -> Result<Self, Failures> {
        let suites = plan.lock.suites.iter().map(|suite| format!("{suite:?}\n"));
        let text = format!("{}\n{}", plan.architecture, suites.collect::<String>());
        let key = Sha256::of(text.as_bytes()).to_string();
        let kept = workshop.cache.get_derived(NAMES, &key)?;
        // Short or damaged: asked again.
        let known = kept.and_then(|file| serde_json::from_slice(&read_at_most(file, LONGEST_NAMES).ok()?).ok());
        Ok(Self {
            workshop,
            index: AtHand::new(workshop, plan),
            key,
            known: known.unwrap_or_default(),
            changed: false,
            unknown: false,
        })
    }

    fn first(&mut self, guesses: &[String]) -> Result<Option<String>, Failures> {
        for name in guesses {
            let known = match self.known.get(name) {
                Some(known) => *known,
                None => {
                    let Some(index) = self.index.get() else {
                        self.unknown = true;
                        return Ok(None);
                    };
                    let known = !index.candidates(name).is_empty();
                    // Not without bound: who asks for very many names reads the index each time.
                    if self.known.len() < 5000 {
                        self.known.insert(name.clone(), known);
                        self.changed = true;
                    }
                    known
                }
            };
            if known {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    fn keep(self) -> Result<(), Failures> {
        if self.changed {
            let write = |file: &mut std::fs::File| Ok(serde_json::to_writer(file, &self.known)?);
            self.workshop.cache.put_derived(NAMES, &self.key, write)?;
        }
        Ok(())
    }
}

/// The tier to build on for all files together.
fn together(fits: &[Fit], sizes: &Sizes, new: Option<&New<'_>>) -> Option<Best> {
    let mut verdicts: BTreeMap<String, Vec<&Verdict>> = BTreeMap::new();
    for (tier, verdict) in fits.iter().flat_map(|fit| &fit.tiers) {
        let wanted = |new: &New<'_>| {
            let folder = new.distribution.map(|index| &*new.all[index].name);
            folder.is_none_or(|name| tier.split_once('/').is_some_and(|(distribution, _)| distribution == name))
        };
        if new.is_none_or(wanted) {
            verdicts.entry(tier.clone()).or_default().push(verdict);
        }
    }
    let names: Vec<_> = fits.iter().map(|fit| fit.binary.rsplit('/').next().unwrap_or_default().to_owned()).collect();
    let of = match &*names {
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
        [] => return None,
    };
    suggest(&verdicts, sizes, &of)
}

/// A tier to be.
struct New<'a> {
    all: &'a [Distribution],
    distribution: Option<usize>,
    name: String,
}

fn new_tier<'a>(workshop: &'a Workshop, text: &str) -> Result<New<'a>, Failures> {
    let all = &*workshop.project.distributions;
    let (folder, name) = match text.split_once('/') {
        Some((folder, name)) => (Some(folder), name),
        None => (None, text),
    };
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    if !starts || name == "archive" || name.len() > 100 || !name.bytes().all(fine) {
        return Err(NewError::Name(printable(text.as_bytes())).into());
    }
    let distribution = match folder {
        None => None,
        Some(folder) => {
            let found = all.iter().position(|one| one.name == folder);
            Some(found.ok_or_else(|| NewError::Distribution(printable(folder.as_bytes())))?)
        }
    };
    let new = New { all, distribution, name: name.to_owned() };
    // Before anything is judged, where it is known which file it would be.
    if let Some(index) = distribution {
        let path = new.path(index);
        if path.symlink_metadata().is_ok() {
            return Err(NewError::There(path).into());
        }
    }
    Ok(new)
}

impl New<'_> {
    fn path(&self, distribution: usize) -> PathBuf {
        self.all[distribution].folder.join(format!("{}.toml", self.name))
    }

    /// Writes the manifest, never over another file.
    fn write(&self, workshop: &Workshop, best: &Best) -> Result<PathBuf, Failures> {
        let index = self.all.iter().position(|one| one.name == best.distribution);
        let index = index.ok_or_else(|| NewError::Distribution(best.distribution.clone()))?;
        let path = self.path(index);
        create(&path, best.manifest.as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => NewError::There(path.clone()),
            _ => NewError::Unwritable { path: path.clone(), source },
        })?;
        workshop.observer.tell(Event::Step(format!("{}: written", path.display())));
        Ok(path)
    }
}

/// Whole or not at all, and only where nothing is.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = crate::ground::temporary_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist_noclobber(path)?;
    Ok(())
}
