//! What a built layer says about the lock's output.

use super::{LockError, NotReproducible, Output};
use crate::debian::Architecture;

/// Judges the layer of `tier` (in full, such as `debian13/cc`): the same recipe with another diff_id
/// is [`LockError::NotReproducible`]; another recipe only says that somebody edited what shapes the
/// layer. `format_version` is the layer's; it is part of the recipe, so the lock's output was written
/// in it too where the recipes are equal.
pub fn judge(
    tier: &str,
    architecture: Architecture,
    recorded: Option<&Output>,
    built: &Output,
    format_version: u32,
) -> Result<(), LockError> {
    match recorded {
        Some(recorded) if recorded.recipe == built.recipe && recorded.diff_id != built.diff_id => {
            Err(LockError::NotReproducible(Box::new(NotReproducible {
                tier: tier.to_owned(),
                architecture,
                recorded: recorded.diff_id,
                built: built.diff_id,
                format_version,
            })))
        }
        _ => Ok(()),
    }
}
