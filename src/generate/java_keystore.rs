//! /etc/ssl/certs/java/cacerts: the certificates of the bundle as a keystore of type JKS, version 2,
//! password `changeit`, as keytool(1) writes it: aliases are subjects in Java's canonical form, and an
//! entry's date is the certificate's notBefore, so that no clock is in it.

use sha1::{Digest as _, Sha1};

use super::{GenerateError, Made, Request, ca_certificates, certificates};

const PATH: &str = "/etc/ssl/certs/java/cacerts";
const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// Tag of a trusted certificate.
const TRUSTED: u32 = 2;
const PASSWORD: &str = "changeit";
/// Mixed into the closing digest by every implementation of the format.
const WHITENER: &[u8] = b"Mighty Aphrodite";

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    let wanted = match &request.wish.java_keystore {
        Some(wanted) => wanted.value,
        None => request.packages.iter().any(|package| &*package.name.name == "ca-certificates-java"),
    };
    if !wanted {
        return Ok(Vec::new());
    }
    let span = request.wish.java_keystore.as_ref().map_or(0..0, |wanted| wanted.span.clone());
    let Some(bundle) = ca_certificates::bundle(request)? else {
        return match request.wish.java_keystore {
            None => Ok(Vec::new()),
            Some(_) => Err(GenerateError::NoCaCertificates { source_code: request.source.clone(), span: span.into() }),
        };
    };
    let odd = |why| GenerateError::Certificates { why };
    let store = keystore(&certificates::read(&bundle).map_err(odd)?).map_err(odd)?;
    Ok(vec![Made::new(PATH, store)])
}

fn keystore(certificates: &[certificates::Certificate]) -> Result<Vec<u8>, &'static str> {
    let count = u32::try_from(certificates.len()).map_err(|_| "there are too many certificates")?;
    let mut store = Vec::new();
    for number in [MAGIC, VERSION, count] {
        store.extend(number.to_be_bytes());
    }
    let mut aliases = std::collections::BTreeMap::<&str, u32>::new();
    for certificate in certificates {
        // A second one of the same subject would take the place of the first.
        let seen = aliases.entry(&certificate.canonical).or_default();
        *seen += 1;
        let alias = match seen {
            1 => certificate.canonical.clone(),
            again => format!("{} #{again}", certificate.canonical),
        };
        store.extend(TRUSTED.to_be_bytes());
        written(&mut store, &alias)?;
        store.extend(certificate.not_before.to_be_bytes());
        written(&mut store, "X.509")?;
        store.extend(u32::try_from(certificate.der.len()).map_err(|_| "a certificate is too long")?.to_be_bytes());
        store.extend(&certificate.der);
    }
    let mut digest = Sha1::new();
    PASSWORD.encode_utf16().for_each(|unit| digest.update(unit.to_be_bytes()));
    digest.update(WHITENER);
    digest.update(&store);
    store.extend(digest.finalize());
    Ok(store)
}

/// `java.io.DataOutput.writeUTF`: a length of two bytes, then UTF-8 of each UTF-16 unit.
fn written(store: &mut Vec<u8>, text: &str) -> Result<(), &'static str> {
    let mut bytes = Vec::new();
    for unit in text.encode_utf16() {
        match unit {
            1..=0x7f => bytes.push(unit as u8),
            0 | 0x80..=0x7ff => bytes.extend([0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8]),
            _ => bytes.extend([0xe0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3f) as u8, 0x80 | (unit & 0x3f) as u8]),
        }
    }
    store.extend(u16::try_from(bytes.len()).map_err(|_| "a certificate's subject is too long")?.to_be_bytes());
    store.extend(bytes);
    Ok(())
}
