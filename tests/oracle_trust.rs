//! Our verdict on signatures beside gpgv's. Needs gpgv, Debian's keyring in /usr/share/keyrings and
//! what `apt-get update` left in /var/lib/apt/lists. Runs with `--features oracles`.

mod support;

use std::{fs, path::Path, process::Command, sync::Arc};

use debstrata::{
    archive::{Rules, Trusted, recheck},
    fetch::Unverified,
    ground::Spanned,
    manifest::{ArchiveSource, Keyring},
};
use jiff::Timestamp;
use support::{Key, TestSuite};

const KEYRINGS: &str = "/usr/share/keyrings";

fn source(keyring: &[u8]) -> ArchiveSource {
    ArchiveSource {
        span: 0..0,
        name: "oracle".into(),
        suites: Vec::new(),
        components: Vec::new(),
        signed_by: Some(Keyring {
            path: "keys.gpg".into(),
            written: Spanned::new("keys.gpg".into(), 0..0),
            bytes: Arc::from(keyring),
        }),
        snapshot: None,
        uris: Vec::new(),
        snapshot_at: None,
        max_age: None,
        architectures: None,
        priority: 500,
        allow_unsigned: false,
        allow_expired: false,
        folder: None,
    }
}

#[allow(clippy::disallowed_methods, reason = "the files are of today")]
fn ours(file: &[u8], keyring: &[u8], suite: &str) -> Result<Trusted, String> {
    let source = source(keyring);
    let rules = Rules { source: &source, suite, clock: Timestamp::now(), seen: None, allow_older: true };
    recheck(&Unverified::new(file.to_vec()), &rules).map_err(|error| error.to_string())
}

/// The primary keys whose signatures gpgv calls good, as apt reads it: one is enough.
fn gpgv(file: &[u8], keyring: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (signed, keys) = (folder.path().join("InRelease"), folder.path().join("keys.gpg"));
    fs::write(&signed, file).unwrap();
    fs::write(&keys, keyring).unwrap();
    let output = Command::new("gpgv")
        .args(["--status-fd", "1", "--output", "/dev/null", "--keyring"])
        .args([&keys, &signed])
        .output()
        .expect("gpgv runs");
    let status = String::from_utf8_lossy(&output.stdout).into_owned();
    let valid = status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG "));
    valid.filter_map(|line| line.split(' ').next_back()).map(str::to_owned).collect()
}

/// Where the text of a clearsigned file begins and ends.
fn text_of(file: &[u8]) -> std::ops::Range<usize> {
    let text = String::from_utf8_lossy(file);
    text.find("\n\n").unwrap() + 2..text.find("-----BEGIN PGP SIGNATURE-----").unwrap()
}

fn compare(file: &[u8], keyring: &[u8], suite: &str) {
    let good = gpgv(file, keyring);
    let genuine = ours(file, keyring, suite).unwrap();
    assert!(good.contains(genuine.record.signer.as_ref().unwrap()), "{good:?} {:?}", genuine.record);
    let text = text_of(file);
    let step = text.len() / 40 + 1;
    for (bit, at) in text.clone().step_by(step).enumerate() {
        let mut copy = file.to_vec();
        copy[at] ^= 1 << (bit % 8);
        let (theirs, ours) = (!gpgv(&copy, keyring).is_empty(), ours(&copy, keyring, suite).is_ok());
        assert_eq!(ours, theirs, "bit {} of byte {at}", bit % 8);
    }
    // In the signatures a bit may spoil one of several, or none (armour's checksum): what is
    // accepted is the genuine text all the same.
    for (bit, at) in (text.end..file.len()).step_by(67).enumerate() {
        let mut copy = file.to_vec();
        copy[at] ^= 1 << (bit % 8);
        if let Ok(trusted) = ours(&copy, keyring, suite) {
            assert_eq!(trusted.release, genuine.release, "bit {} of byte {at}", bit % 8);
        }
    }
}

#[test]
fn debians_own_files() {
    let keyring = fs::read(Path::new(KEYRINGS).join("debian-archive-keyring.gpg")).unwrap();
    let mut compared = 0;
    for entry in fs::read_dir("/var/lib/apt/lists").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(suite) = name.strip_suffix("_InRelease").and_then(|name| name.rsplit('_').next()) else { continue };
        if name.contains("debian") {
            compare(&fs::read(&path).unwrap(), &keyring, suite);
            compared += 1;
        }
    }
    assert!(compared > 0, "apt-get update leaves InRelease files");
}

#[test]
fn keyrings_of_one_key_each() {
    for entry in fs::read_dir("/var/lib/apt/lists").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(suite) = name.strip_suffix("_InRelease").and_then(|name| name.rsplit('_').next()) else { continue };
        let file = fs::read(&path).unwrap();
        for keys in fs::read_dir(KEYRINGS).unwrap() {
            let keys = keys.unwrap().path();
            // Removed keys: of the last century, with signatures that a policy refuses and gpgv does not.
            let skip = ["removed", "nodesource"].iter().any(|part| keys.to_str().unwrap().contains(part));
            if keys.extension().is_none_or(|extension| extension != "gpg") || skip {
                continue;
            }
            let keyring = fs::read(&keys).unwrap();
            let theirs = gpgv(&file, &keyring);
            let ours = ours(&file, &keyring, suite);
            assert_eq!(ours.is_ok(), !theirs.is_empty(), "{name} by {}: {ours:?}", keys.display());
        }
    }
}

#[test]
fn files_of_the_tests_archive() {
    for key in [Key::new("ed25519"), Key::rsa("rsa")] {
        compare(&TestSuite::new("trixie", &key).inrelease(), &key.binary(), "trixie");
    }
}
