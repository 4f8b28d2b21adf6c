//! What an audit found.

use serde::Serialize;

use super::audit::{Field, Finding, Parity};
use crate::debian::Architecture;

/// Differences that are kept for the machine output; all are counted.
pub const MOST_KEPT: usize = 100_000;

/// The verdict in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Byte for byte, compression and all.
    Equal,
    /// The same tars in another compression: every diff_id is equal, a digest is not.
    Recompressed,
    /// Something differs.
    Differs,
}

/// The verdict over all layers that were audited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether nothing differs.
    pub equal: bool,
    /// In a word.
    pub verdict: Word,
    /// How many layers were rebuilt.
    pub layers: usize,
    /// How many given layers were compared with them.
    pub compared: usize,
    /// How many differences there are in all.
    pub count: u64,
    /// What differs, by tier and architecture; at most [`MOST_KEPT`].
    pub differences: Vec<Difference>,
    /// What explains all differences of one layer at once, or how near a foreign image comes.
    pub summaries: Vec<Summary>,
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
    /// What was compared: a file, or a layer in an archive; `None` for the lock.
    pub layer: Option<String>,
    /// What differs.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What is said of one layer or image as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// In full: `debian13/cc`.
    pub tier: String,
    /// Of the layer.
    pub architecture: Architecture,
    /// What was compared.
    pub layer: String,
    /// In a sentence.
    pub text: String,
    /// How much of a foreign image is as composed.
    pub parity: Option<Parity>,
}

impl Verdict {
    /// Nothing was compared yet.
    pub fn new() -> Self {
        Self {
            equal: true,
            verdict: Word::Equal,
            layers: 0,
            compared: 0,
            count: 0,
            differences: Vec::new(),
            summaries: Vec::new(),
            opt_outs: Vec::new(),
        }
    }

    /// Adds differences, of which `count` were found.
    pub fn add(&mut self, differences: impl IntoIterator<Item = Difference>, count: u64) {
        self.count = self.count.saturating_add(count);
        for difference in differences {
            let word = match difference.finding.field {
                Field::Compression => Word::Recompressed,
                _ => Word::Differs,
            };
            self.verdict = self.verdict.max(word);
            if self.differences.len() < MOST_KEPT {
                self.differences.push(difference);
            }
        }
        self.equal = self.count == 0;
    }
}

impl Default for Verdict {
    fn default() -> Self {
        Self::new()
    }
}
