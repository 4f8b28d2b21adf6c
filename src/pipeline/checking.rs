//! Whether composed tiers keep what their manifests promise: `[limits]`, `[[expect]]`, and that the users of
//! their images are there.

use super::{
    Failures, Workshop,
    building::Chain,
    plan::{Plan, Step, packages_of},
};
use crate::{
    compose::{self, ComposeError, Load},
    ground::{RootPath, Sha256},
    layer,
    manifest::{Distribution, Tier},
    rootfs::Entry,
};

/// Of what was checked; rises when the same words mean something else.
const RULES: &str = "checks 1";

/// The digest of all that is checked of a tier; `None` where nothing is. No recipe holds it, since none
/// of it shapes a byte: it stands beside what a recipe made, so that an edited expectation is checked
/// again, and an unchanged one is not. Places in the file count too, which only costs a look too many.
pub(super) fn digest(distribution: &Distribution, tier: usize) -> Option<Sha256> {
    let chain: Vec<&Tier> = distribution.chain(tier).into_iter().map(|tier| &distribution.tiers[tier]).collect();
    let setuid = Tier::setuid(&chain).map(|(setuid, _)| setuid);
    let checks = &chain.last()?.checks;
    let runners: Vec<_> = compose::runners(distribution, tier).into_iter().map(|(_, _, user)| user).collect();
    if checks.expect.is_empty() && checks.limits == Default::default() && setuid.is_none() && runners.is_empty() {
        return None;
    }
    let mut text = format!("{RULES} {:?} {:?} {setuid:?}", checks.limits, checks.expect);
    // Only where there are any: what was checked before images had users stays so.
    if !runners.is_empty() {
        text.push_str(&format!(" {runners:?}"));
    }
    Some(Sha256::of(text.as_bytes()))
}

/// All that a composed tier of `chain` does not keep.
pub(super) fn faults(
    workshop: &Workshop,
    plan: &Plan<'_>,
    step: &Step,
    chain: &Chain,
    changes: &[(RootPath, Entry)],
) -> Result<Vec<ComposeError>, Failures> {
    let (tier, name) = (plan.tier(step), plan.title(step));
    let composed = &chain[&step.tier];
    let tiers: Vec<_> = plan
        .distribution
        .chain(step.tier)
        .into_iter()
        .map(|index| (&plan.distribution.tiers[index], plan.grounds.get(&index)))
        .map(|(tier, ground)| {
            let present = ground.map_or(0, |ground| ground.packages.len());
            (tier, present + packages_of(plan.lock, plan.architecture, &tier.name).count())
        })
        .collect();
    let layer_size = match compose::asks_layer_size(tier) {
        true => layer::tar_size(changes, plan.mtime(workshop))?,
        false => 0,
    };
    let architecture = plan.architecture;
    let load = Load { name: &name, architecture, chain: &tiers, composed, changes, layer_size };
    let mut faults = compose::over_limits(&load);
    faults.extend(compose::unfulfilled(&name, architecture, tier, &composed.rootfs));
    let runners = compose::runners(plan.distribution, step.tier);
    faults.extend(compose::unknown_users(&name, architecture, &runners, &composed.rootfs));
    Ok(faults)
}
