//! Composed chains to look at: for those who explain or judge tiers, and build nothing.

use std::collections::BTreeMap;

use super::{
    Failures,
    building::{Chain, compose_tier, inputs},
    packages::Packages,
    plan::{Plan, Step},
};
use crate::{
    compose::{Composed, Input},
    evidence::{
        kept_out::Stage,
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
        let mut stages = Self { plan, chain: Chain::new(), inputs: BTreeMap::new() };
        for step in &plan.steps {
            let composed: Composed = compose_tier(plan, step, &stages.chain, packages)?;
            stages.chain.insert(step.tier, composed);
            stages.inputs.insert(step.tier, inputs(plan, step, packages));
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
