//! All tiers at a glance: what stands on what, how many packages, how large.

use serde::Serialize;

/// What is seen at a glance: a family for each distribution and architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Glance {
    /// In the order of the project.
    pub families: Vec<Family>,
}

/// The tiers of a distribution for one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Family {
    /// The distribution.
    pub distribution: String,
    /// The summary of its archive.toml.
    pub summary: String,
    /// The architecture.
    pub architecture: String,
    /// Each after its parent.
    pub tiers: Vec<GlanceTier>,
}

/// A tier among the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GlanceTier {
    /// Its name, unique in the family.
    pub name: String,
    /// The tier that it stands on. One that is not in the family counts as none.
    pub parent: Option<String>,
    /// Its summary.
    pub summary: String,
    /// How many packages it adds.
    pub adds: usize,
    /// How many packages its chain has.
    pub packages: usize,
    /// Bytes of its layer's tar; none before the first build.
    pub layer: Option<u64>,
    /// Bytes of all its chain's layers, as tars.
    pub size: Option<u64>,
    /// Its variants, without the tier's name before each.
    pub variants: Vec<String>,
}

/// Where a tier stands in a family drawn as a tree.
pub(super) struct Placed<'a> {
    pub(super) tier: &'a GlanceTier,
    /// Its place in [`Family::tiers`].
    pub(super) number: usize,
    pub(super) depth: usize,
    /// For each tier above, the root tier aside, whether it is its parent's last; then for this one.
    pub(super) last: Vec<bool>,
    /// Places of its children in [`Family::tiers`].
    pub(super) children: Vec<usize>,
}

impl Family {
    fn parent(&self, number: usize) -> Option<usize> {
        let name = self.tiers.get(number)?.parent.as_ref()?;
        // Only one that comes before: so nothing stands on itself, however far down.
        self.tiers.iter().take(number).position(|tier| tier.name == *name)
    }

    /// The tiers as a tree is read: each before those that stand on it.
    pub(super) fn placed(&self) -> Vec<Placed<'_>> {
        let mut children = vec![Vec::new(); self.tiers.len()];
        let mut waiting = Vec::new();
        for number in 0..self.tiers.len() {
            match self.parent(number) {
                Some(parent) => children[parent].push(number),
                None => waiting.push((number, 0, Vec::new())),
            }
        }
        waiting.reverse();
        let mut placed = Vec::new();
        while let Some((number, depth, last)) = waiting.pop() {
            for (at, child) in children[number].iter().enumerate().rev() {
                let is_last = at + 1 == children[number].len();
                let last = last.iter().copied().chain([is_last]).collect();
                waiting.push((*child, depth + 1, last));
            }
            let children = std::mem::take(&mut children[number]);
            placed.push(Placed { tier: &self.tiers[number], number, depth, last, children });
        }
        placed
    }
}

impl Glance {
    /// Bytes of the largest tier.
    pub(super) fn largest(&self) -> u64 {
        self.families.iter().flat_map(|family| &family.tiers).filter_map(|tier| tier.size).max().unwrap_or(0)
    }
}

/// `1 package`, `2 packages`.
pub(super) fn packages(count: usize) -> String {
    format!("{count} package{}", if count == 1 { "" } else { "s" })
}
