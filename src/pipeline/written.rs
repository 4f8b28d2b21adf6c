//! Files that an earlier run wrote below the output folder: what the same inputs gave, by a key that digests
//! them. It is kept among the derived data.

use serde::{Deserialize, Serialize};

use super::{Failures, Workshop, building::unchanged, plan::OutputFile};
use crate::{
    ground::{Sha256, read_at_most},
    outputs::Outputs,
};

/// What is known of one file.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) digest: Sha256,
    pub(super) size: u64,
}

impl Written {
    /// The file of this name, if it is there and as it was written.
    pub(super) fn recall(
        workshop: &Workshop,
        kind: &str,
        key: &str,
        name: &str,
        outputs: &Outputs,
    ) -> Result<Option<OutputFile>, Failures> {
        let Some(file) = workshop.cache.get_derived(kind, key)? else { return Ok(None) };
        // Short or damaged after a power cut: written anew.
        let known = read_at_most(file, 1 << 10).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let Some(known) = known else { return Ok(None) };
        let same = unchanged(workshop, outputs, name, &known.digest)?;
        Ok(same.then(|| known.output(name, outputs)))
    }

    /// Keeps it. For those who have just written the file.
    pub(super) fn keep(
        self,
        workshop: &Workshop,
        kind: &str,
        key: &str,
        name: &str,
        outputs: &Outputs,
    ) -> Result<OutputFile, Failures> {
        workshop.cache.put_derived(kind, key, |file| Ok(serde_json::to_writer(file, &self)?))?;
        Ok(self.output(name, outputs))
    }

    fn output(self, name: &str, outputs: &Outputs) -> OutputFile {
        OutputFile { path: outputs.path(name), name: name.to_owned(), size: self.size, digest: self.digest }
    }
}
