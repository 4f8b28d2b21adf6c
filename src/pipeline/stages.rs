//! Composed chains to look at: for those who explain or judge tiers, and build nothing.

use std::collections::BTreeMap;

use super::{
    Failures,
    base::with_ground,
    building::{Chain, compose_tier, inputs},
    packages::Packages,
    plan::{Plan, Step},
};
use crate::{
    compose::{ComposeError, Composed, Input},
    evidence::{
        kept_out::Stage,
        lints::{Finding, libraries},
        relations::{Member, Members},
    },
};

/// Every tier of a plan, composed, with its packages; by index.
pub(super) struct Stages<'p> {
    plan: &'p Plan<'p>,
    pub(super) chain: Chain,
    inputs: BTreeMap<usize, Vec<Input<'p>>>,
}

impl<'p> Stages<'p> {
    pub(super) fn compose(plan: &'p Plan<'p>, packages: &'p Packages) -> Result<Self, Failures> {
        Self::compose_some(plan, packages, &plan.steps)
    }

    /// The same of some steps, parents among them and before their children.
    pub(super) fn compose_some(
        plan: &'p Plan<'p>,
        packages: &'p Packages,
        steps: impl IntoIterator<Item = &'p Step>,
    ) -> Result<Self, Failures> {
        let mut stages = Self { plan, chain: Chain::new(), inputs: BTreeMap::new() };
        for step in steps {
            let composed: Composed = compose_tier(plan, step, &stages.chain, packages)?;
            stages.chain.insert(step.tier, composed);
            stages.inputs.insert(step.tier, with_ground(plan, step, inputs(plan, step, packages)));
        }
        Ok(stages)
    }

    /// A step's tier and its ancestors, the root tier first.
    pub(super) fn of(&self, step: &Step) -> Vec<Stage<'_>> {
        let stage = |tier: usize| Stage {
            tier: &self.plan.distribution.tiers[tier],
            composed: &self.chain[&tier],
            packages: &self.inputs[&tier],
        };
        self.plan.distribution.chain(step.tier).into_iter().map(stage).collect()
    }

    /// What the lints on libraries find in a tier, its parents' findings included.
    pub(super) fn libraries(&self, tier: usize) -> Result<Vec<Finding>, Failures> {
        let distribution = self.plan.distribution;
        let last = &distribution.tiers[tier];
        let chain = || distribution.chain(tier).into_iter().map(|tier| &distribution.tiers[tier]);
        let allowed: Vec<_> = chain().flat_map(|tier| tier.allow_missing.iter().cloned()).collect();
        // What an overlay may lack on one parent it may have on another.
        let own = if last.stands_for.is_some() { &[][..] } else { &last.allow_missing };
        let named = chain().flat_map(|tier| &tier.packages);
        let named = named.flat_map(|wish| &wish.relation.0).map(|choice| choice.name.to_string()).collect();
        let tree = &self.chain[&tier].rootfs;
        let found = libraries::find(tree, self.plan.architecture, &allowed, own, &named);
        Ok(found.map_err(|(path, error)| ComposeError::Content { path, error })?)
    }

    /// The same in the image that a tier stands right on.
    pub(super) fn libraries_below(&self, tier: usize) -> Result<Vec<Finding>, Failures> {
        let Some(tree) = self.chain.get(&tier).and_then(|composed| composed.ground()) else { return Ok(Vec::new()) };
        let found = libraries::find(tree, self.plan.architecture, &[], &[], &Default::default());
        Ok(found.map_err(|(path, error)| ComposeError::Content { path, error })?)
    }

    /// Who needs whom in a chain.
    pub(super) fn members(&self, chain: &[Stage<'_>]) -> Members {
        let read = |(number, input): (usize, &Input<'_>)| {
            let control = input.unpacked.control.get("control").map(|control| &**control).unwrap_or_default();
            Member::read(&input.name.name, &input.name.version, number, control, self.plan.architecture)
        };
        let each = chain.iter().enumerate();
        let each = each.flat_map(|(number, stage)| stage.packages.iter().map(move |input| (number, input)));
        Members { all: each.map(read).collect() }
    }
}
