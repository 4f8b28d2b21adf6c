//! /etc/localtime (localtime(5)) and /etc/timezone, as tzdata's postinst makes them of debconf's answer.

use super::{GenerateError, Made, Request, scripts::find};
use crate::{
    ground::RootPath,
    rootfs::{Entry, Node},
};

const ZONES: &str = "/usr/share/zoneinfo";

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    let Some(zone) = &request.wish.timezone else { return Ok(Vec::new()) };
    let target = format!("{ZONES}/{}", zone.value);
    let there = RootPath::from_absolute(target.as_bytes())
        .is_ok_and(|path| matches!(find(request.rootfs, &path), Some(Entry { node: Node::File { .. }, .. })));
    if !there {
        return Err(GenerateError::NoZone {
            zone: zone.value.clone(),
            source_code: request.source.clone(),
            span: zone.span.clone().into(),
        });
    }
    let localtime = RootPath::from_absolute(b"/etc/localtime").expect("a plain path");
    Ok(vec![
        Made::link(localtime, target.as_bytes()),
        Made::new("/etc/timezone", format!("{}\n", zone.value).into_bytes()),
    ])
}
