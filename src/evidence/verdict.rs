//! What an audit found.

use serde::Serialize;

use crate::debian::Architecture;

/// The verdict over all layers that were audited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether nothing differs.
    pub equal: bool,
    /// How many layers were rebuilt.
    pub layers: usize,
    /// What differs, by tier and architecture.
    pub differences: Vec<Difference>,
    /// Suites that an `allow-unsigned` or `allow-expired` of the manifest let pass.
    pub opt_outs: Vec<String>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In full: `debian13/cc`.
    pub tier: String,
    /// Of the layer.
    pub architecture: Architecture,
    /// The entry, where it is known.
    pub entry: Option<String>,
    /// What differs: `content`, `compression`, `missing` ...
    pub field: &'static str,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The first byte that differs, where it is known.
    pub offset: Option<u64>,
    /// In words.
    pub cause: String,
}

impl Verdict {
    /// The verdict that follows from the differences; without opt-outs.
    pub fn new(layers: usize, differences: Vec<Difference>) -> Self {
        Self { equal: differences.is_empty(), layers, differences, opt_outs: Vec::new() }
    }
}
