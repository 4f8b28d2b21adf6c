//! /etc/ssl/certs/ca-certificates.crt: every certificate that the package ca-certificates ships.
//!
//! Each folder below /usr/share/ca-certificates is walked in byte order, going down where an entry
//! is a folder; files follow one another, and a last line without its newline gets one. Nothing
//! is left out: /etc/ca-certificates.conf is debconf's and is not read.

use super::{GenerateError, Made, Package, Request};
use crate::{ground::RootPath, rootfs::Node, unpack::Item};

const FOLDER: &[u8] = b"/usr/share/ca-certificates";
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Today's bundle has 0.2 MB.
const MOST_BYTES: u64 = 64 << 20;

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    let Some(span) = &request.wish.ca_certificates else { return Ok(Vec::new()) };
    let Some(package) = request.packages.iter().find(|package| &*package.name.name == "ca-certificates") else {
        return Err(GenerateError::NoCaCertificates { source_code: request.source.clone(), span: span.clone().into() });
    };
    let folder = RootPath::from_absolute(FOLDER).expect("a plain path");
    let mut certificates: Vec<&Item> = package
        .unpacked
        .entries
        .iter()
        .filter(|item| item.node != Node::Directory && item.path.below(&folder).is_some())
        .collect();
    // By names, not by bytes of the whole path: a-b/x comes after a/x, since a is walked first.
    certificates.sort_by(|one, other| one.path.names().cmp(other.path.names()));
    let mut bundle = Vec::new();
    for item in certificates {
        append(package, item, &mut bundle)?;
    }
    Ok(vec![Made::new(BUNDLE, bundle)])
}

fn append(package: &Package<'_>, item: &Item, bundle: &mut Vec<u8>) -> Result<(), GenerateError> {
    let Node::File { content, .. } = &item.node else {
        return Err(GenerateError::OddCertificate {
            path: item.path.clone(),
            package: package.name.to_string(),
            kind: item.node.kind(),
        });
    };
    let start = bundle.len();
    let size = start as u64 + content.size;
    if size > MOST_BYTES {
        return Err(GenerateError::LargeBundle { package: package.name.to_string(), size, limit: MOST_BYTES });
    }
    bundle.resize(start + content.size as usize, 0);
    content.read_at(0, &mut bundle[start..]).map_err(|error| GenerateError::Read {
        path: item.path.clone(),
        package: package.name.to_string(),
        error,
    })?;
    if bundle.len() > start && !bundle.ends_with(b"\n") {
        bundle.push(b'\n');
    }
    Ok(())
}
