//! What packages' tmpfiles.d(5) has made at boot by systemd-tmpfiles, which an image has not: the types
//! `d`, `D`, `f` and `L`, where the path is not there yet. Ages, cleaning and boot-only lines (`!`) mean
//! nothing here.

use super::{GenerateError, Made, Request};

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    Ok(if request.wish.tmpfiles { request.effects.tmpfiles.clone() } else { Vec::new() })
}
