//! /etc/ssl/certs/ca-certificates.crt: every certificate that the package ca-certificates ships; and
//! on request what `update-ca-certificates` and `openssl rehash` make beside it: a link `NAME.pem` to
//! each certificate, and a link `HASH.0` to that, by which OpenSSL finds one without reading all.
//!
//! Each folder below /usr/share/ca-certificates is walked in byte order, going down where an entry
//! is a folder; files follow one another, and a last line without its newline gets one. Nothing
//! is left out: /etc/ca-certificates.conf is debconf's and is not read.
//!
//! Certificates of one's own, `*.crt` in /usr/local/share/ca-certificates and below, stand at the end, as
//! update-ca-certificates has it. They come from the tree, whoever put them there. A tier that asks for the
//! bundle without having the package adds them to that of its parents; those in it already are not repeated.

use std::{collections::BTreeMap, ops::Range};

use sha1::{Digest as _, Sha1};

use super::{GenerateError, Made, Package, Request, certificates};
use crate::{
    ground::RootPath,
    manifest::CaCertificates,
    rootfs::{Content, Entry, Node},
    unpack::Item,
};

const PACKAGE: &str = "ca-certificates";
const FOLDER: &[u8] = b"/usr/share/ca-certificates";
const OWN: &[u8] = b"/usr/local/share/ca-certificates";
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
    let own = own(request);
    if package.is_none() && own.is_empty() {
        return Err(GenerateError::NoCaCertificates { source_code: request.source.clone(), span: span.into() });
    }
    let Bundle { text, parts } = assemble(request, own)?;
    let mut made = Vec::new();
    if form == CaCertificates::Hashed {
        let mut hashes = BTreeMap::new();
        for (path, range) in parts {
            made.extend(links(request, path, &text[range], &mut hashes)?);
        }
    }
    made.insert(0, Made::new(BUNDLE, text));
    Ok(made)
}

/// The bundle that this tier makes, or that its tree has.
pub(super) fn bundle(request: &Request<'_>) -> Result<Option<Vec<u8>>, GenerateError> {
    let asked = request.wish.ca_certificates.as_ref().is_some_and(|wish| wish.value != CaCertificates::Off);
    let own = own(request);
    match package(request) {
        None if !asked || own.is_empty() => inherited(request),
        _ => Ok(Some(assemble(request, own)?.text)),
    }
}

/// A bundle that is made.
struct Bundle<'a> {
    text: Vec<u8>,
    /// Which bytes are of which file; what is inherited is of none.
    parts: Vec<(&'a RootPath, Range<usize>)>,
}

/// Puts together what the package has, or else the parents' bundle, and then one's own.
fn assemble<'a>(request: &Request<'a>, own: Vec<Own<'a>>) -> Result<Bundle<'a>, GenerateError> {
    let (mut text, mut parts) = (Vec::new(), Vec::new());
    match package(request) {
        None => text = inherited(request)?.unwrap_or_default(),
        Some(package) => {
            for item in items(package) {
                let start = text.len();
                append(package, item, &mut text)?;
                parts.push((&item.path, start..text.len()));
            }
        }
    }
    for own in own {
        let start = text.len();
        append_own(&own, &mut text)?;
        if text.len() > start {
            parts.push((own.0, start..text.len()));
        }
    }
    Ok(Bundle { text, parts })
}

/// The bundle of the parents, or that a package or a manifest put there.
fn inherited(request: &Request<'_>) -> Result<Option<Vec<u8>>, GenerateError> {
    let path = RootPath::from_absolute(BUNDLE.as_bytes()).expect("a plain path");
    let Some(Entry { node: Node::File { content, .. }, origin, .. }) = request.rootfs.lookup(&path) else {
        return Ok(None);
    };
    let mut bundle = Vec::new();
    add(&path, &origin.to_string(), content, &mut bundle)?;
    Ok(Some(bundle))
}

/// A file of one's own, and who put it there.
type Own<'a> = (&'a RootPath, String, &'a Content);

/// Certificates of one's own, in the order of their paths' names.
fn own<'a>(request: &Request<'a>) -> Vec<Own<'a>> {
    let folder = RootPath::from_absolute(OWN).expect("a plain path");
    let files = request.rootfs.below(&folder).filter_map(|(path, entry)| match &entry.node {
        Node::File { content, .. } if path.name().ends_with(b".crt") => Some((path, entry.origin.to_string(), content)),
        _ => None,
    });
    let mut own: Vec<_> = files.collect();
    own.sort_by(|(one, ..), (other, ..)| one.names().cmp(other.names()));
    own
}

/// Adds one's own to the bundle, unless it is there.
fn append_own((path, origin, content): &Own<'_>, bundle: &mut Vec<u8>) -> Result<(), GenerateError> {
    let mut pem = Vec::new();
    add(path, origin, content, &mut pem)?;
    // A file in another form would silently be none.
    if certificates::read(&pem).ok().is_none_or(|found| found.is_empty()) {
        return Err(GenerateError::NoPem { path: (*path).clone(), origin: origin.clone() });
    }
    if memchr::memmem::find(bundle, &pem).is_some() {
        return Ok(());
    }
    let size = bundle.len() as u64 + pem.len() as u64;
    if size > MOST_BYTES {
        return Err(GenerateError::LargeBundle { package: origin.clone(), size, limit: MOST_BYTES });
    }
    bundle.extend_from_slice(&pem);
    Ok(())
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
fn links(
    request: &Request<'_>,
    certificate: &RootPath,
    pem: &[u8],
    hashes: &mut BTreeMap<u32, u32>,
) -> Result<Vec<Made>, GenerateError> {
    let odd = |why| GenerateError::Certificates { why };
    let folder = RootPath::from_absolute(b"/etc/ssl/certs").expect("a plain path");
    let name = certificate.name();
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
    let target = [b"/", certificate.as_bytes()].concat();
    let mut made = vec![Made::link(path, &target)];
    if let [certificate] = certificates::read(pem).map_err(odd)?.as_slice() {
        let digest = Sha1::digest(&certificate.hashed);
        // OpenSSL takes the first four bytes, the lowest first.
        let hash = digest.iter().take(4).rev().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let number = hashes.entry(hash).or_default();
        let numbered = |number: u32| folder.join(format!("{hash:08x}.{number}").as_bytes()).expect("short");
        // A parent's links may have the first numbers.
        while request
            .rootfs
            .get(&numbered(*number))
            .is_some_and(|entry| entry.node != Node::Symlink(pem_name.clone().into()))
        {
            *number += 1;
        }
        let path = numbered(*number);
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
    add(&item.path, &package.name.to_string(), content, bundle)
}

/// The bytes of a file, and a newline where its last line has none.
fn add(path: &RootPath, package: &str, content: &Content, bundle: &mut Vec<u8>) -> Result<(), GenerateError> {
    let start = bundle.len();
    let size = start as u64 + content.size;
    if size > MOST_BYTES {
        return Err(GenerateError::LargeBundle { package: package.to_owned(), size, limit: MOST_BYTES });
    }
    bundle.resize(start + content.size as usize, 0);
    content.read_at(0, &mut bundle[start..]).map_err(|error| GenerateError::Read {
        path: path.clone(),
        package: package.to_owned(),
        error,
    })?;
    if bundle.len() > start && !bundle.ends_with(b"\n") {
        bundle.push(b'\n');
    }
    Ok(())
}
