//! Every path of a tier, for `show` and `explore`: composed once, then remembered by the cache.

use std::io::Write as _;

use super::{
    Failures, Pick, Workshop,
    base::locked_with_ground,
    locking,
    packages::{Lack, check_digests, unpacked},
    plan::{Plan, Step, plan},
    stages::Stages,
};
use crate::{
    debian::Architecture,
    evidence::{files::Finished, see::Listing},
    ground::{Event, Sha256},
};

/// The derived data under which listings are kept, see [`key`].
const KIND: &str = "see";

/// How far to go for listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// What the cache remembers, or has all packages for; never the network.
    AtHand,
    /// What is not there is fetched.
    Whole,
}

/// One tier of one architecture.
#[derive(Debug, Clone)]
pub struct ListedTier {
    /// In full: `debian13/cc`.
    pub title: String,
    /// Which architecture.
    pub architecture: Architecture,
    /// `None` where it is not at hand.
    pub listing: Option<Listing>,
}

/// The listings of every named tier of the picks, in the order of [`super::show()`]. A lock that is not
/// there or does not fit is an error.
pub fn listings(workshop: &Workshop, picks: &[Pick], effort: Effort) -> Result<Vec<ListedTier>, Failures> {
    let locks = locking::read_all_fresh(workshop, picks)?;
    let plans = plan(workshop, picks, &locks)?;
    let mut listed = Vec::new();
    for plan in &plans {
        for step in plan.named() {
            let listing = match recall(workshop, plan, step)? {
                Some(listing) => Some(listing),
                None if effort == Effort::AtHand && !at_hand(workshop, plan, step) => None,
                None => Some(make(workshop, plan, step)?),
            };
            listed.push(ListedTier { title: plan.title(step), architecture: plan.architecture, listing });
        }
    }
    Ok(listed)
}

/// Digest of all that a listing says: the recipe, and the manifests, whose lines it names.
fn key(plan: &Plan<'_>, step: &Step) -> String {
    let mut all = step.recipe.as_bytes().to_vec();
    for tier in chain(plan, step) {
        let source = &plan.tier(tier).source;
        all.extend(Sha256::of(source.name.as_bytes()).as_bytes());
        all.extend(Sha256::of(source.text.as_bytes()).as_bytes());
    }
    Sha256::of(&all).to_string()
}

fn chain<'p>(plan: &'p Plan<'_>, step: &Step) -> impl Iterator<Item = &'p Step> {
    let tiers = plan.distribution.chain(step.tier);
    tiers.into_iter().filter_map(|tier| plan.steps.iter().find(|step| step.tier == tier))
}

fn recall(workshop: &Workshop, plan: &Plan<'_>, step: &Step) -> Result<Option<Listing>, Failures> {
    let Some(file) = workshop.cache.get_derived(KIND, &key(plan, step))? else { return Ok(None) };
    // What cannot be read, for whatever reason, is made anew.
    Ok(Listing::read(file).ok().flatten())
}

/// Whether all that a tier is made of is in the cache.
fn at_hand(workshop: &Workshop, plan: &Plan<'_>, step: &Step) -> bool {
    let cache = &workshop.cache;
    chain(plan, step).all(|step| {
        let packages = plan.packages(step).all(|package| cache.has(&package.sha256, package.size));
        packages && plan.tier(step).archives.iter().all(|tarball| cache.kept(&tarball.sha256).is_some())
    })
}

fn make(workshop: &Workshop, plan: &Plan<'_>, step: &Step) -> Result<Listing, Failures> {
    workshop.observer.tell(Event::Step(format!("{} {}: composing, to list it", plan.title(step), plan.architecture)));
    let own = Plan {
        pick: plan.pick,
        distribution: plan.distribution,
        architecture: plan.architecture,
        lock: plan.lock,
        steps: chain(plan, step).cloned().collect(),
        grounds: plan.grounds.clone(),
    };
    let packages = unpacked(workshop, own.steps.iter().map(|step| (&own, step))).map_err(Lack::into_failures)?;
    check_digests(std::slice::from_ref(&own), &packages)?;
    let stages = Stages::compose(&own, &packages)?;
    let finished = Finished {
        distribution: &own.distribution.name,
        stages: &stages.of(step),
        recipes: &own.steps.iter().map(|step| step.recipe).collect::<Vec<_>>(),
        locked: &own.steps.iter().map(|step| locked_with_ground(&own, step)).collect::<Vec<_>>(),
        architecture: own.architecture,
        created: own.mtime(workshop),
    };
    let listing = Listing::of(&finished);
    workshop.cache.put_derived(KIND, &key(plan, step), |file| file.write_all(&listing.to_bytes()))?;
    Ok(listing)
}
