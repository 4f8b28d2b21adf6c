//! Whether a lock still answers what the manifests ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::Lock;
use crate::{debian::Architecture, ground::Sha256};

/// A tier of one architecture.
pub type TierKey = (Architecture, String);

/// The digests of all questions that the manifests ask, for all architectures of the archive.
pub type Wanted = BTreeMap<TierKey, Sha256>;

/// Where a lock does not answer the questions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Staleness {
    /// Asked, but not in the lock.
    pub new: BTreeSet<TierKey>,
    /// In the lock, but no longer asked.
    pub removed: BTreeSet<TierKey>,
    /// Asked otherwise than the lock answers.
    pub changed: BTreeSet<TierKey>,
}

/// Compares what is asked with what the lock answers. Its outputs do not count.
pub fn staleness(lock: &Lock, wanted: &Wanted) -> Staleness {
    let mut stale = Staleness::default();
    for (key, question) in wanted {
        let (architecture, tier) = key;
        match lock.architectures.get(architecture).and_then(|inputs| inputs.tiers.get(tier)) {
            None => stale.new.insert(key.clone()),
            Some(locked) => locked.question != *question && stale.changed.insert(key.clone()),
        };
    }
    for (architecture, inputs) in &lock.architectures {
        let keys = inputs.tiers.keys().map(|tier| (*architecture, tier.clone()));
        stale.removed.extend(keys.filter(|key| !wanted.contains_key(key)));
    }
    stale
}

impl Staleness {
    /// Whether the lock answers exactly what is asked.
    pub fn is_fresh(&self) -> bool {
        self.new.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// One line: `new: cc (amd64 arm64); changed: base (amd64)`; `up to date` where nothing is stale.
impl fmt::Display for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (what, keys) in [("new", &self.new), ("changed", &self.changed), ("removed", &self.removed)] {
            let mut tiers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (architecture, tier) in keys {
                tiers.entry(tier).or_default().push(architecture.name());
            }
            let tiers: Vec<String> =
                tiers.into_iter().map(|(tier, names)| format!("{tier} ({})", names.join(" "))).collect();
            if !tiers.is_empty() {
                parts.push(format!("{what}: {}", tiers.join(", ")));
            }
        }
        if parts.is_empty() { f.write_str("up to date") } else { f.write_str(&parts.join("; ")) }
    }
}
