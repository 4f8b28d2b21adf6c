//! /etc/ssl/certs/ca-certificates.crt: every certificate that the package ca-certificates ships; and
//! on request what `update-ca-certificates` and `openssl rehash` make beside it: a link `NAME.pem` to
//! each certificate, and a link `HASH.0` to that, by which OpenSSL finds one without reading all.
//!
//! Each folder below /usr/share/ca-certificates is walked in byte order, going down where an entry
//! is a folder; files follow one another, and a last line without its newline gets one. Nothing
//! is left out: /etc/ca-certificates.conf is debconf's and is not read.

use std::collections::BTreeMap;

use sha1::{Digest as _, Sha1};

use super::{GenerateError, Made, Package, Request, certificates};
use crate::{
    ground::RootPath,
    manifest::CaCertificates,
    rootfs::{Entry, Node},
    unpack::Item,
};

const PACKAGE: &str = "ca-certificates";
const FOLDER: &[u8] = b"/usr/share/ca-certificates";
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Today's bundle has 0.2 MB.
const MOST_BYTES: u64 = 64 << 20;

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    let package = package(request);
    let (form, span) = match (&request.wish.ca_certificates, package) {
        (None, None) => return Ok(Vec::new()),
        (None, Some(_)) => (CaCertificates::Bundle, 0..0),
        (Some(wish), _) => (wish.value, wish.span.clone()),
    };
    if form == CaCertificates::Off {
        return Ok(Vec::new());
    }
    let Some(package) = package else {
        return Err(GenerateError::NoCaCertificates { source_code: request.source.clone(), span: span.into() });
    };
    let mut made = Vec::new();
    let mut bundle = Vec::new();
    let mut hashes = BTreeMap::new();
    for item in items(package) {
        let start = bundle.len();
        append(package, item, &mut bundle)?;
        if form == CaCertificates::Hashed {
            made.extend(links(item, &bundle[start..], &mut hashes)?);
        }
    }
    made.insert(0, Made::new(BUNDLE, bundle));
    Ok(made)
}

/// The bundle that this tier makes, or that its tree has.
pub(super) fn bundle(request: &Request<'_>) -> Result<Option<Vec<u8>>, GenerateError> {
    if let Some(package) = package(request) {
        let mut bundle = Vec::new();
        items(package).into_iter().try_for_each(|item| append(package, item, &mut bundle))?;
        return Ok(Some(bundle));
    }
    let path = RootPath::from_absolute(BUNDLE.as_bytes()).expect("a plain path");
    let Some(Entry { node: Node::File { content, .. }, origin, .. }) = request.rootfs.lookup(&path) else {
        return Ok(None);
    };
    let package = origin.to_string();
    if content.size > MOST_BYTES {
        return Err(GenerateError::LargeBundle { package, size: content.size, limit: MOST_BYTES });
    }
    let mut bytes = vec![0; content.size as usize];
    content.read_at(0, &mut bytes).map_err(|error| GenerateError::Read { path, package, error })?;
    Ok(Some(bytes))
}

fn package<'a>(request: &Request<'a>) -> Option<&'a Package<'a>> {
    request.packages.iter().find(|package| &*package.name.name == PACKAGE)
}

fn items<'a>(package: &Package<'a>) -> Vec<&'a Item> {
    let folder = RootPath::from_absolute(FOLDER).expect("a plain path");
    let entries = package.unpacked.entries.iter();
    let mut items: Vec<_> =
        entries.filter(|item| item.node != Node::Directory && item.path.below(&folder).is_some()).collect();
    // By names, not by bytes of the whole path: a-b/x comes after a/x, since a is walked first.
    items.sort_by(|one, other| one.path.names().cmp(other.path.names()));
    items
}

/// `NAME.pem`, as update-ca-certificates calls it, and `HASH.N`.
fn links(item: &Item, pem: &[u8], hashes: &mut BTreeMap<u32, u32>) -> Result<Vec<Made>, GenerateError> {
    let odd = |why| GenerateError::Certificates { why };
    let folder = RootPath::from_absolute(b"/etc/ssl/certs").expect("a plain path");
    let name = item.path.name();
    let mut pem_name: Vec<u8> = Vec::new();
    for byte in name.strip_suffix(b".crt").unwrap_or(name) {
        match byte {
            b' ' => pem_name.push(b'_'),
            b'(' | b')' => pem_name.push(b'='),
            b',' => pem_name.push(b'_'),
            byte => pem_name.push(*byte),
        }
    }
    pem_name.extend(b".pem");
    let path = folder.join(&pem_name).map_err(|_| odd("a certificate's name is too long"))?;
    let target = [b"/", item.path.as_bytes()].concat();
    let mut made = vec![Made::link(path, &target)];
    if let [certificate] = certificates::read(pem).map_err(odd)?.as_slice() {
        let digest = Sha1::digest(&certificate.hashed);
        // OpenSSL takes the first four bytes, the lowest first.
        let hash = digest.iter().take(4).rev().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let number = hashes.entry(hash).or_default();
        let path = folder.join(format!("{hash:08x}.{number}").as_bytes()).expect("short");
        *number += 1;
        made.push(Made::link(path, &pem_name));
    }
    Ok(made)
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
