//! `signed-by` files: OpenPGP certificates, binary or in any number of ASCII-armour blocks
//! (RFC 9580, sections 6 and 10.1).

use std::{collections::BTreeMap, io::Read};

use sequoia_openpgp::{
    Cert, Fingerprint,
    armor::{Kind, Reader, ReaderMode},
    cert::CertParser,
    parse::Parse,
};

/// How an armoured public key begins.
const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
/// And how it ends.
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// The keys of a keyring.
#[derive(Debug)]
pub(super) struct Certificates {
    /// In the order of the file, each once: copies are merged, so that a revocation in a later
    /// block counts for an earlier one.
    pub certs: Vec<Cert>,
    /// Why other keys of the file cannot be used, such as an unknown version.
    pub skipped: Vec<String>,
}

/// Reads a keyring. The error says what is wrong with the file, without its name.
pub(super) fn certificates(bytes: &[u8]) -> Result<Certificates, String> {
    let mut found = Certificates { certs: Vec::new(), skipped: Vec::new() };
    let mut places = BTreeMap::new();
    // RFC 9580, section 4.2: the first bit of a packet is set; armour is ASCII.
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        add(&mut found, &mut places, bytes)?;
    } else {
        for block in blocks(bytes)? {
            let mut binary = Vec::new();
            Reader::from_bytes(block, ReaderMode::Tolerant(Some(Kind::PublicKey)))
                .read_to_end(&mut binary)
                .map_err(|error| format!("a damaged ASCII-armour block: {error}"))?;
            add(&mut found, &mut places, &binary)?;
        }
    }
    match (found.certs.is_empty(), found.skipped.first()) {
        (false, _) => Ok(found),
        (true, Some(reason)) => Err(format!("no usable key: {reason}")),
        (true, None) => Err("no public key in it".into()),
    }
}

fn add(found: &mut Certificates, places: &mut BTreeMap<Fingerprint, usize>, binary: &[u8]) -> Result<(), String> {
    let parser = CertParser::from_bytes(binary).map_err(|error| format!("no OpenPGP keys: {error}"))?;
    for cert in parser {
        let cert = match cert {
            Ok(cert) => cert,
            Err(error) => {
                found.skipped.push(format!("{error:#}"));
                continue;
            }
        };
        if cert.is_tsk() {
            return Err(format!("it holds the secret key of {}", cert.fingerprint()));
        }
        match places.get(&cert.fingerprint()).and_then(|place| found.certs.get_mut(*place)) {
            Some(copy) => *copy = copy.clone().merge_public(cert).map_err(|error| error.to_string())?,
            None => {
                places.insert(cert.fingerprint(), found.certs.len());
                found.certs.push(cert);
            }
        }
    }
    Ok(())
}

/// The armour blocks of a text file, the text between them left out.
fn blocks(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut blocks = Vec::new();
    let mut begin = None;
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let start = at;
        at += line.len();
        let line = line.trim_ascii_end();
        if line == BEGIN.as_bytes() && begin.is_none() {
            begin = Some(start);
        } else if line == END.as_bytes() {
            let begin = begin.take().ok_or("an ASCII-armour block ends that did not begin")?;
            blocks.push(&bytes[begin..at]);
        } else if line.starts_with(b"-----BEGIN ") {
            return Err(match begin {
                Some(_) => "an ASCII-armour block does not end".into(),
                None => format!("it has a block that is no public key ({BEGIN})"),
            });
        }
    }
    if begin.is_some() {
        return Err("the last ASCII-armour block does not end".into());
    }
    Ok(blocks)
}
