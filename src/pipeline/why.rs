//! `why`: how a package or path came to be in a tier, from the lock and the cache; nothing is written.

use std::collections::BTreeMap;

use super::{
    Failures, Pick, Workshop, locking,
    packages::{Lack, check_digests, expected, unpacked},
    plan::{Plan, Step, packages_of, plan},
    stages::Stages,
};
use crate::{
    archive::{self, Index, Opening, Package},
    compose::ComposeError,
    debian::Architecture,
    evidence::{
        lints::libraries::{self, Use},
        relations::{Member, Members},
        why::{self, Family, Link, Why},
    },
    fetch::Fetcher,
    ground::{PathError, RootPath, Silent, nearest, printable},
    manifest::{Dependencies, Distribution, Tier},
    unpack,
};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A package, by name.
    Package(String),
    /// A path inside the tier.
    Path(RootPath),
}

impl Asked {
    /// A text with a slash is a path (`/etc/`, `usr/bin/sh`), any other a package (`libc6`,
    /// `libc6:amd64`).
    pub fn of(text: &str) -> Result<Self, PathError> {
        match text.contains('/') || text == "." {
            true => Ok(Self::Path(RootPath::from_archive(text.as_bytes())?)),
            false => Ok(Self::Package(text.split(':').next().unwrap_or_default().to_owned())),
        }
    }
}

/// Answers for every named tier of the picks. A lock that is not there or does not fit is an error.
pub fn why(workshop: &Workshop, picks: &[Pick], asked: &Asked) -> Result<Vec<Why>, Failures> {
    let locks = locking::read_all_fresh(workshop, picks)?;
    let plans = plan(workshop, picks, &locks)?;
    let mut answers = Vec::new();
    for plan in &plans {
        answers.extend(match asked {
            Asked::Package(name) => packages(workshop, plan, name)?,
            Asked::Path(path) => paths(workshop, plan, path)?,
        });
    }
    Ok(answers)
}

fn tiers<'p>(plan: &Plan<'p>, tier: usize) -> Vec<&'p Tier> {
    plan.distribution.chain(tier).into_iter().map(|index| &plan.distribution.tiers[index]).collect()
}

fn paths(workshop: &Workshop, plan: &Plan<'_>, asked: &RootPath) -> Result<Vec<Why>, Failures> {
    let all = unpacked(workshop, plan.steps.iter().map(|step| (plan, step))).map_err(Lack::into_failures)?;
    check_digests(std::slice::from_ref(plan), &all)?;
    let stages = Stages::compose(plan, &all)?;
    let mut answers = Vec::new();
    for step in plan.named() {
        let chain = stages.of(step);
        let family = Family {
            title: &plan.title(step),
            architecture: plan.architecture,
            chain: &tiers(plan, step.tier),
            members: &stages.members(&chain),
        };
        answers.push(why::path(&family, &chain, plan.distribution.archive.merged_usr, asked));
    }
    Ok(answers)
}

fn packages(workshop: &Workshop, plan: &Plan<'_>, name: &str) -> Result<Vec<Why>, Failures> {
    let mut index = AtHand::new(workshop, plan);
    let controls = controls(workshop, plan, &mut index)?;
    let mut answers = Vec::new();
    for step in plan.named() {
        let chain = tiers(plan, step.tier);
        let member = |(stage, package): (usize, &Package)| {
            let control = controls.get(&package.name).map(Vec::as_slice).unwrap_or_default();
            Member::read(&package.name, package.version.as_str(), stage, control, plan.architecture)
        };
        let each = chain.iter().enumerate();
        let each = each.flat_map(|(stage, tier)| {
            let ground = plan.ground(step.tier).filter(|_| stage == 0);
            let present = ground.into_iter().flat_map(|ground| &ground.packages).map(|one| &one.package);
            present.chain(packages_of(plan.lock, plan.architecture, &tier.name)).map(move |package| (stage, package))
        });
        let members = Members { all: each.map(member).collect() };
        let family =
            Family { title: &plan.title(step), architecture: plan.architecture, chain: &chain, members: &members };
        let mut why = family.package(name);
        if let Some(ground) = plan.ground(step.tier)
            && let Some(one) = ground.packages.iter().find(|one| *one.package.name == *name)
        {
            let text = format!("the image {} that {} stands on has it", ground.image, chain[0].name);
            why.chain.insert(0, Link::image(ground.image.to_string(), text));
            why.notes.push(format!("{} is there without its .deb: the image brought it", one.name));
            answers.push(why);
            continue;
        }
        let linked = members.named(name).and_then(|member| chain.get(members.all.get(member)?.stage));
        if linked.is_some_and(|tier| tier.dependencies == Dependencies::Linked) {
            uses(workshop, plan, step, name, &mut why)?;
        }
        if !why.present {
            others(plan, &chain, name, &mut why);
            in_archive(index.get(), &members, name, &mut why);
        }
        answers.push(why);
    }
    Ok(answers)
}

/// How many files that need a package are told.
const MOST_USES: usize = 5;

/// Files that need a package: what keeps it where only what is needed stays.
fn uses(workshop: &Workshop, plan: &Plan<'_>, step: &Step, name: &str, why: &mut Why) -> Result<(), Failures> {
    let all = unpacked(workshop, plan.steps.iter().map(|step| (plan, step))).map_err(Lack::into_failures)?;
    check_digests(std::slice::from_ref(plan), &all)?;
    let stages = Stages::compose(plan, &all)?;
    let found = libraries::uses(&stages.chain[&step.tier].rootfs, plan.architecture, name);
    let uses = found.map_err(|(path, error)| ComposeError::Content { path, error })?;
    for one in uses.iter().take(MOST_USES) {
        let Use { by, origin, name, found } = one;
        why.chain.push(Link::linked(name, format!("{by} (of {origin}) needs {name}, which is its {found}")));
    }
    if let Some(more) = uses.len().checked_sub(MOST_USES).filter(|more| *more > 0) {
        why.notes.push(format!("and {more} more files need it"));
    }
    Ok(())
}

/// Other tiers of the distribution that have it.
fn others(plan: &Plan<'_>, chain: &[&Tier], name: &str, why: &mut Why) {
    let Some(inputs) = plan.lock.architectures.get(&plan.architecture) else { return };
    let has = |tier: &&Tier| {
        inputs.tiers.get(&tier.name).is_some_and(|locked| locked.packages.iter().any(|one| **one == *name))
    };
    let outside = |tier: &&Tier| tier.stands_for.is_none() && !chain.iter().any(|own| own.name == tier.name);
    let found: Vec<_> =
        plan.distribution.tiers.iter().filter(has).filter(outside).map(|tier| tier.name.as_str()).collect();
    if !found.is_empty() {
        why.notes.push(format!("other tiers have it: {}", found.join(", ")));
    }
}

/// Whether the archive has it, as far as that can be said without the network.
fn in_archive(index: Option<&Index>, members: &Members, name: &str, why: &mut Why) {
    let shown = printable(name.as_bytes());
    let Some(index) = index else {
        let near = nearest(name, members.all.iter().map(|member| &*member.name));
        why.notes.extend(near.map(|near| format!("{near} is there")));
        why.notes.push(
            "whether the archive has it is not known here: the cache has no index of this architecture; \
             `debstrata lock` fetches it"
                .to_owned(),
        );
        return;
    };
    let candidates = index.candidates(name);
    if let Some(best) = candidates.first() {
        let text = format!("the archive has {shown} {} ({})", printable(best.record.version.as_bytes()), best.from);
        why.chain.push(Link::archive(name, text));
        return;
    }
    let mut providers: Vec<_> =
        index.providers(name).iter().map(|provider| provider.candidate.record.package.to_owned()).collect();
    providers.dedup();
    if !providers.is_empty() {
        providers.truncate(5);
        let text = format!("{shown} is a virtual package; the archive has it as {}", providers.join(", "));
        why.chain.push(Link::archive(name, text));
        return;
    }
    why.chain.push(Link::archive(name, format!("the archive has no package called {shown}")));
    let length = name.len();
    let near = nearest(name, index.names().filter(|other| other.len().abs_diff(length) <= length.max(3) / 3));
    why.notes.extend(near.map(|near| format!("did you mean {near}?")));
}

/// The signed index that the cache has, read when it is first asked for; never from the network.
pub(super) struct AtHand<'a> {
    workshop: &'a Workshop,
    distribution: &'a Distribution,
    architecture: Architecture,
    lock: &'a crate::lock::Lock,
    index: Option<Option<Index>>,
}

impl<'a> AtHand<'a> {
    pub(super) fn new(workshop: &'a Workshop, plan: &Plan<'a>) -> Self {
        let Plan { distribution, architecture, lock, .. } = plan;
        Self { workshop, distribution, architecture: *architecture, lock, index: None }
    }

    pub(super) fn get(&mut self) -> Option<&Index> {
        if self.index.is_none() {
            self.index = Some(self.read());
        }
        self.index.as_ref()?.as_ref()
    }

    fn read(&self) -> Option<Index> {
        let workshop = self.workshop;
        let fetcher =
            Fetcher::new(workshop.offline.clone(), workshop.cache.clone(), std::sync::Arc::new(Silent)).ok()?;
        let seen = self.lock.suites.iter().map(|suite| (suite.id.clone(), suite.clone())).collect();
        let opening = Opening { clock: workshop.clock, seen: &seen, allow_older: true };
        // Whatever is wrong with it: then it is not at hand.
        let suites = archive::open(&self.distribution.archive, &fetcher, &opening).ok()?;
        suites.index(&fetcher, self.architecture, &Silent).ok()
    }
}

/// The control files of all packages of a plan: of unpacked packages, else as the index at hand has
/// them, else of the .debs.
fn controls(
    workshop: &Workshop,
    plan: &Plan<'_>,
    index: &mut AtHand<'_>,
) -> Result<BTreeMap<Box<str>, Vec<u8>>, Failures> {
    let mut controls = BTreeMap::new();
    for one in plan.grounds.values().flat_map(|ground| &ground.packages) {
        let control = one.unpacked.control.get("control").map(|control| control.to_vec());
        controls.insert(one.package.name.clone(), control.unwrap_or_default());
    }
    let mut missing = false;
    for package in plan.steps.iter().flat_map(|step| plan.packages(step)) {
        let control = match unpack::recall(&expected(package), &workshop.cache)? {
            Some(found) => found.control.get("control").map(|control| control.to_vec()),
            None => index.get().and_then(|index| from_index(index, package)),
        };
        match control {
            Some(control) => drop(controls.insert(package.name.clone(), control)),
            None => missing = true,
        }
    }
    if missing {
        let all = unpacked(workshop, plan.steps.iter().map(|step| (plan, step))).map_err(Lack::into_failures)?;
        for package in plan.steps.iter().flat_map(|step| plan.packages(step)) {
            let control = all.get(&package.sha256).and_then(|found| found.control.get("control"));
            controls.insert(package.name.clone(), control.map(|control| control.to_vec()).unwrap_or_default());
        }
    }
    Ok(controls)
}

fn from_index(index: &Index, package: &Package) -> Option<Vec<u8>> {
    let record = index.find(package)?.record;
    let fields = [
        ("Package", record.package),
        ("Pre-Depends", record.pre_depends),
        ("Depends", record.depends),
        ("Provides", record.provides),
    ];
    let lines =
        fields.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}: {value}\n"));
    Some(lines.collect::<String>().into_bytes())
}
