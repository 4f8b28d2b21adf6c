//! `check`: manifests, locks and lints, writing neither outputs nor locks.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use super::{
    Failures, Locks, Pick, Workshop,
    building::changes,
    checking,
    locking::{self, Settled},
    packages::{Lack, check_digests, unpacked},
    plan::{Step, plan},
    stages::Stages,
};
use crate::{
    debian::Architecture,
    evidence::lints::{Finding, IDLE_ACCEPTANCE, LINTS, OTHERS, STALE_LOCK, Subject},
    ground::{Source, Span, nearest},
    lock::{self, Lock},
    manifest::{Distribution, Tier},
};

/// What `check` found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checked {
    /// Whether there is no finding that nobody accepted.
    pub clean: bool,
    /// How many tiers were looked at, each architecture counted.
    pub tiers: usize,
    /// By distribution and tier, then lint, then subject.
    pub findings: Vec<Found>,
    /// Findings that an `[[accept]]` covers, in the same order.
    pub accepted: Vec<Found>,
    /// Suites that an `allow-unsigned` or `allow-expired` of the manifest let pass.
    pub opt_outs: Vec<String>,
}

/// One finding, for all architectures that it was made on.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// `debian13/cc`; a distribution alone where it is about its lock.
    pub tier: String,
    /// The architectures, sorted.
    pub architectures: Vec<Architecture>,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// The manifest, where the finding is about a line of it.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// Why it is fine, where it is accepted.
    pub reason: Option<String>,
    /// The line's text.
    #[serde(skip)]
    pub quote: Option<String>,
}

/// Looks at the named tiers of the picks. What packages hold is taken from the cache, else fetched.
pub fn check(workshop: &Workshop, picks: &[Pick]) -> Result<Checked, Failures> {
    let mut checked = Checked::default();
    let (mut fresh, mut locks) = (Vec::new(), Locks::new());
    for (pick, lock) in picks.iter().zip(Failures::gather(picks.iter().map(|pick| settled(workshop, pick)))?) {
        match lock {
            Ok(lock) => {
                checked.opt_outs.extend(lock.opt_outs(&workshop.project.distributions[pick.distribution].name));
                locks.insert(pick.distribution, lock);
                fresh.push(pick.clone());
            }
            Err(found) => checked.findings.push(found),
        }
    }
    let plans = plan(workshop, &fresh, &locks)?;
    let steps = plans.iter().flat_map(|plan| plan.steps.iter().map(move |step| (plan, step)));
    let packages = unpacked(workshop, steps).map_err(Lack::into_failures)?;
    check_digests(&plans, &packages)?;
    let mut tables: BTreeMap<usize, Tally<'_>> = BTreeMap::new();
    for plan in &plans {
        let stages = Stages::compose(plan, &packages)?;
        let parent = |step: &Step| plan.tier(step).parent.as_ref().map(|parent| parent.value);
        let looked_at: BTreeSet<usize> =
            plan.judged().flat_map(|step| [Some(step.tier), parent(step)]).flatten().collect();
        let of_libraries = looked_at.into_par_iter().map(|tier| Ok((tier, stages.libraries(tier)?)));
        let of_libraries: BTreeMap<usize, Vec<Finding>> = of_libraries.collect::<Result<_, Failures>>()?;
        for step in plan.judged() {
            let chain = stages.of(step);
            let faults = match step.checks {
                Some(_) => checking::faults(workshop, plan, step, &stages.chain, &changes(plan, step, &stages.chain))?,
                None => Vec::new(),
            };
            let ground = stages.libraries_below(step.tier)?;
            let above = parent(step).map_or(ground.as_slice(), |parent| of_libraries[&parent].as_slice());
            let own = of_libraries[&step.tier].iter().filter(|finding| !above.contains(finding));
            let libraries: Vec<Finding> = own.cloned().collect();
            let locked = plan.lock.architectures.get(&plan.architecture);
            let locked = locked.and_then(|inputs| inputs.tiers.get(&plan.tier(step).name));
            let subject = Subject {
                title: &plan.title(step),
                architecture: plan.architecture,
                chain: &chain,
                members: &stages.members(&chain),
                unmet: locked.map(|tier| tier.unmet.as_slice()).unwrap_or_default(),
                faults: &faults,
                libraries: &libraries,
            };
            checked.tiers += 1;
            let table = tables.entry(plan.pick.distribution).or_insert_with(|| Tally::new(plan.distribution));
            table.add(step.tier, plan.architecture, LINTS.iter().flat_map(|lint| (lint.find)(&subject)));
        }
    }
    for table in tables.into_values() {
        table.judge(&mut checked);
    }
    checked.clean = checked.findings.is_empty();
    Ok(checked)
}

/// The lock of a pick, or the finding that there is none that fits.
fn settled(workshop: &Workshop, pick: &Pick) -> Result<Result<Lock, Found>, Failures> {
    let distribution = &workshop.project.distributions[pick.distribution];
    let why = match locking::settled(distribution, |architecture| pick.architectures.contains(&architecture))? {
        Settled::Fits(lock) => return Ok(Ok(lock)),
        Settled::Unfit { lock: None, why } => why,
        Settled::Unfit { lock: Some(_), why } => format!("it does not fit the manifests: {why}"),
    };
    let finding = Finding {
        lint: STALE_LOCK,
        subject: format!("manifests/{}/{}", distribution.name, lock::FILE_NAME),
        message: why,
        help: "run `debstrata lock`, then check again: the tiers were not looked at".to_owned(),
        span: None,
    };
    Ok(Err(Found {
        tier: distribution.name.clone(),
        architectures: pick.architectures.clone(),
        finding,
        file: None,
        line: None,
        reason: None,
        quote: None,
    }))
}

/// Tier, lint, subject and message: what makes findings of several architectures one.
type Key = (usize, &'static str, String, String);

/// The findings of one distribution.
struct Tally<'a> {
    distribution: &'a Distribution,
    /// On which architectures a tier was looked at.
    seen: BTreeMap<usize, BTreeSet<Architecture>>,
    made: BTreeMap<Key, (Finding, BTreeSet<Architecture>)>,
}

impl<'a> Tally<'a> {
    fn new(distribution: &'a Distribution) -> Self {
        Self { distribution, seen: BTreeMap::new(), made: BTreeMap::new() }
    }

    fn add(&mut self, tier: usize, architecture: Architecture, findings: impl Iterator<Item = Finding>) {
        self.seen.entry(tier).or_default().insert(architecture);
        for finding in findings {
            let key = (tier, finding.lint, finding.subject.clone(), finding.message.clone());
            self.made.entry(key).or_insert_with(|| (finding, BTreeSet::new())).1.insert(architecture);
        }
    }

    fn judge(self, checked: &mut Checked) {
        let Self { distribution, seen, made } = self;
        let mut used: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut findings: BTreeMap<usize, Vec<Found>> = BTreeMap::new();
        // A tier that stands for an overlay has the overlay's manifest: what is told of the one is not told
        // of the other again, and its acceptances are judged there.
        let overlay = |number: usize| distribution.tiers[number].stands_for.as_ref().map(|one| one.overlay);
        let own: BTreeSet<(usize, &str, String)> =
            made.keys().map(|(number, lint, subject, _)| (*number, *lint, subject.clone())).collect();
        for ((number, lint, ..), (finding, architectures)) in made {
            let everywhere = LINTS.iter().any(|one| one.name == lint && one.everywhere);
            if everywhere && seen.get(&number) != Some(&architectures) {
                continue;
            }
            let tier = &distribution.tiers[number];
            let told = overlay(number).is_some_and(|at| own.contains(&(at, lint, finding.subject.clone())));
            let accept = tier.checks.accept.iter();
            let accepting: Vec<_> = accept.enumerate().filter(|(_, one)| one.covers(lint, &finding.subject)).collect();
            used.extend(accepting.iter().map(|(at, _)| (overlay(number).unwrap_or(number), *at)));
            if told {
                continue;
            }
            let mut found = found(distribution, tier, architectures, finding);
            match accepting.first() {
                Some((_, acceptance)) => {
                    found.reason = Some(acceptance.reason.clone());
                    checked.accepted.push(found);
                }
                None => findings.entry(number).or_default().push(found),
            }
        }
        for (number, architectures) in seen {
            let tier = &distribution.tiers[number];
            checked.findings.extend(findings.remove(&number).unwrap_or_default());
            for (at, acceptance) in tier.checks.accept.iter().enumerate() {
                if overlay(number).is_none() && !used.contains(&(number, at)) {
                    let finding = idle(&acceptance.lint.value, &acceptance.subject.value.0, &acceptance.lint.span);
                    checked.findings.push(found(distribution, tier, architectures.clone(), finding));
                }
            }
        }
    }
}

/// An acceptance that accepts nothing.
fn idle(lint: &str, subject: &str, span: &Span) -> Finding {
    let names = || LINTS.iter().map(|lint| lint.name).chain(OTHERS.iter().map(|(name, _)| *name));
    let (message, help) = match names().any(|name| name == lint) {
        true => (format!("no finding of {lint} is accepted by this"), "take it out".to_owned()),
        false => {
            let near = nearest(lint, names()).map(|near| format!("did you mean {near}?"));
            let all = || format!("lints are {}", names().collect::<Vec<_>>().join(", "));
            (format!("no lint is called {lint:?}"), near.unwrap_or_else(all))
        }
    };
    Finding { lint: IDLE_ACCEPTANCE, subject: subject.to_owned(), message, help, span: Some(span.clone()) }
}

fn found(distribution: &Distribution, tier: &Tier, architectures: BTreeSet<Architecture>, finding: Finding) -> Found {
    let line = finding.span.as_ref().map(|span| tier.source.line_column(span.start).0);
    Found {
        tier: format!("{}/{}", distribution.name, tier.name),
        architectures: architectures.into_iter().collect(),
        file: line.map(|_| tier.source.name.to_string()),
        quote: line.and_then(|line| quote(&tier.source, line)),
        line,
        reason: None,
        finding,
    }
}

fn quote(source: &Source, line: usize) -> Option<String> {
    source.text.lines().nth(line.checked_sub(1)?).map(|text| text.trim().to_owned())
}
