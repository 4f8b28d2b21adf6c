//! Files, folders and links that scripts make with mkdir, ln, cp, chmod and their like: see `scripts`.

use super::{GenerateError, Made, Request};

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    Ok(if request.wish.scripts { request.effects.entries.clone() } else { Vec::new() })
}
