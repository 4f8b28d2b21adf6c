//! Which InRelease files are believed: signatures, frames, names and dates, each with real keys.

mod support;

use std::{path::PathBuf, sync::Arc, time::Duration};

use debstrata::{
    archive::{Rules, TrustError, Trusted, trust},
    fetch::Unverified,
    ground::{Class, Failure as _, Sha256, Spanned},
    manifest::{ArchiveSource, Keyring},
};
use jiff::Timestamp;
use proptest::prelude::*;
use sequoia_openpgp::types::HashAlgorithm;
use support::{
    Key, TestSuite, at,
    keys::{clearsign, clearsign_with},
    now,
};

/// A source of one suite, "stable", with this keyring.
fn source(keyring: &[u8]) -> ArchiveSource {
    ArchiveSource {
        span: 0..0,
        name: "test".into(),
        suites: vec![Spanned::new("trixie".into(), 0..0)],
        components: vec![Spanned::new("main".into(), 0..0)],
        signed_by: Some(Keyring {
            path: PathBuf::from("keys.asc"),
            written: Spanned::new("keys.asc".into(), 0..0),
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

fn rules(source: &ArchiveSource) -> Rules<'_> {
    Rules { source, suite: "trixie", clock: now(), seen: None, allow_older: false }
}

fn judge(file: Vec<u8>, rules: &Rules<'_>) -> Result<Trusted, TrustError> {
    trust(&Unverified::new(file), rules)
}

fn accept(file: Vec<u8>, rules: &Rules<'_>) -> Trusted {
    judge(file, rules).unwrap_or_else(|error| panic!("{error}"))
}

fn refuse(file: Vec<u8>, rules: &Rules<'_>) -> String {
    let error = judge(file, rules).expect_err("it must be refused");
    let text = error.to_string();
    assert!(text.starts_with("test/"), "names the suite: {text}");
    assert!(miette::Diagnostic::help(&error).is_some(), "says the next step: {text}");
    text
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn a_signed_release_is_believed_and_recorded() {
    for key in [Key::new("ed25519"), Key::rsa("rsa")] {
        for keyring in [key.armoured(), key.binary()] {
            let source = source(&keyring);
            let file = TestSuite::new("trixie", &key).inrelease();
            let trusted = accept(file.clone(), &rules(&source));
            assert_eq!(trusted.record.id, "test/trixie");
            assert_eq!(trusted.record.inrelease, Sha256::of(&file));
            assert_eq!(trusted.record.date, at("2026-01-10T12:00:00Z"));
            assert_eq!(trusted.record.valid_until, None);
            assert_eq!(trusted.record.signer, Some(key.fingerprint()));
            assert!(!trusted.record.expired);
            assert_eq!(trusted.release.codename.as_deref(), Some("trixie"));
            assert!(trusted.release.files.contains_key("main/binary-amd64/Packages.xz"));
        }
    }
}

#[test]
fn one_signature_of_several_suffices_and_the_first_key_of_the_keyring_is_recorded() {
    let [a, b, stranger] = ["a", "b", "stranger"].map(Key::new);
    let concatenated =
        |keys: &[&Key], form: fn(&Key) -> Vec<u8>| keys.iter().flat_map(|key| form(key)).collect::<Vec<_>>();
    let commented = [b"The first key:\n".to_vec(), a.armoured(), b"\n# the second\n".to_vec(), b.armoured()].concat();
    for (keyring, signers, signer) in [
        (concatenated(&[&a, &b], Key::armoured), vec![&b, &a], &a),
        (concatenated(&[&a, &b], Key::armoured), vec![&a, &b], &a),
        (concatenated(&[&b, &a], Key::binary), vec![&a, &b], &b),
        (commented, vec![&stranger, &b], &b),
        (concatenated(&[&a], Key::binary), vec![&stranger, &b, &a], &a),
    ] {
        let mut suite = TestSuite::new("trixie", &a);
        suite.signers = signers.into_iter().cloned().collect();
        let source = source(&keyring);
        assert_eq!(accept(suite.inrelease(), &rules(&source)).record.signer, Some(signer.fingerprint()));
    }
}

#[test]
fn a_key_that_is_not_in_the_keyring_is_named() {
    let [key, foreign] = ["ours", "foreign"].map(Key::new);
    let source = source(&key.armoured());
    let text = refuse(TestSuite::new("trixie", &foreign).inrelease(), &rules(&source));
    // Signatures name the subkey.
    says(&text, &["keys.asc", "which is not in the keyring", &foreign.signing_id()]);
}

#[test]
fn altered_text_is_refused() {
    let key = Key::new("key");
    let source = source(&key.armoured());
    let suite = TestSuite::new("trixie", &key);
    let file = suite.inrelease();
    let text = String::from_utf8(file.clone()).unwrap();
    says(
        &refuse(text.replace("Origin: Test", "Origin: Pest").into_bytes(), &rules(&source)),
        &["signature is refused"],
    );
    says(&refuse(text.replace("Label:", "Evil: x\nLabel:").into_bytes(), &rules(&source)), &["signature is refused"]);
    // Every single bit of text or signature counts, or at least does not change what is read.
    let genuine = accept(file.clone(), &rules(&source)).release;
    for at in (0..file.len()).step_by(37) {
        let mut copy = file.clone();
        copy[at] ^= 1;
        if let Ok(trusted) = judge(copy, &rules(&source)) {
            assert_eq!(trusted.release, genuine, "byte {at}");
        }
    }
    for length in (0..file.len()).step_by(101) {
        assert!(judge(file[..length].to_vec(), &rules(&source)).is_err(), "cut at {length}");
    }
}

#[test]
fn a_key_that_expired_later_is_good_for_what_it_signed_in_time() {
    let key = Key::expiring("old", at("2026-01-11T00:00:00Z"));
    let source = source(&key.armoured());
    let mut suite = TestSuite::new("trixie", &key);
    accept(suite.inrelease(), &rules(&source));
    suite.date = at("2026-01-11T06:00:00Z");
    says(&refuse(suite.inrelease(), &rules(&source)), &[&key.fingerprint(), "Expired on"]);
}

#[test]
fn a_revoked_key_is_refused_wherever_the_revocation_stands() {
    let key = Key::new("stolen");
    let file = TestSuite::new("trixie", &key).inrelease();
    let both_blocks = [key.armoured(), key.revoked().armoured()].concat();
    for keyring in [key.revoked().armoured(), key.revoked().binary(), both_blocks] {
        says(&refuse(file.clone(), &rules(&source(&keyring))), &[&key.fingerprint(), "revoked"]);
    }
    accept(file, &rules(&source(&key.armoured())));
}

#[test]
fn a_retired_key_is_good_for_what_it_signed_before() {
    let key = Key::new("retired");
    let file = TestSuite::new("trixie", &key).inrelease();
    accept(file.clone(), &rules(&source(&key.retired(at("2026-01-10T13:00:00Z")).armoured())));
    let before = source(&key.retired(at("2026-01-10T11:00:00Z")).armoured());
    says(&refuse(file, &rules(&before)), &[&key.fingerprint(), "revoked"]);
}

#[test]
fn weak_digests_are_refused() {
    let key = Key::new("key");
    let source = source(&key.armoured());
    let suite = TestSuite::new("trixie", &key);
    let file = clearsign_with(&suite.release(), &suite.signers, suite.date, HashAlgorithm::SHA1);
    says(&refuse(file, &rules(&source)), &["signature is refused", "SHA1"]);
    let file = clearsign_with(&suite.release(), &suite.signers, suite.date, HashAlgorithm::SHA256);
    accept(file, &rules(&source));
}

/// A key of the keyring is not enough: its owner must have meant it for signing.
#[test]
fn a_key_that_is_not_for_signing_vouches_for_nothing() {
    use sequoia_openpgp::cert::CertBuilder;
    let made = std::time::SystemTime::try_from(support::at("2020-01-01T00:00:00Z")).unwrap();
    let with = |change: fn(CertBuilder<'static>) -> CertBuilder<'static>| {
        let builder = CertBuilder::new().set_creation_time(made).add_userid("key <key@example.org>");
        Key(change(builder).generate().unwrap().0)
    };
    for (what, key) in [
        ("the primary key certifies alone", with(|builder| builder)),
        ("a subkey for authentication", with(CertBuilder::add_authentication_subkey)),
    ] {
        let suite = TestSuite::new("trixie", &key);
        let error = judge(suite.inrelease(), &rules(&source(&key.armoured()))).expect_err(what);
        says(&error.to_string(), &["no valid signature", &key.fingerprint()]);
    }
    // Foreign subkeys and signatures bound to nothing do not make a key of the keyring out of a stranger.
    let (key, stranger) = (Key::new("key"), Key::new("stranger"));
    let subkey = stranger.0.keys().subkeys().next().unwrap();
    let binding = subkey.self_signatures().next().unwrap().clone();
    let packets = vec![sequoia_openpgp::Packet::from(subkey.key().clone().take_secret().0), binding.into()];
    let grafted = Key(key.0.clone().insert_packets(packets).unwrap().0);
    let suite = TestSuite::new("trixie", &stranger);
    refuse(suite.inrelease(), &rules(&source(&grafted.armoured())));
}

/// Whatever is done to the frame, what is read is what was signed.
#[test]
fn games_with_the_frame() {
    let key = Key::new("key");
    let source = source(&key.armoured());
    let genuine = TestSuite::new("trixie", &key).inrelease();
    let release = accept(genuine.clone(), &rules(&source)).release;
    let text = String::from_utf8(genuine).unwrap();
    let evil = "Codename: evil";
    let begin = "-----BEGIN PGP SIGNED MESSAGE-----";
    let end = "-----BEGIN PGP SIGNATURE-----";
    let games = [
        text.replace('\n', "\r\n"),
        text.replace('\n', "\r"),
        text.replace('\n', " \t\n"),
        text.replacen("Origin", "- Origin", 1),
        text.replacen("Origin", "- - Origin", 1),
        text.replacen("Origin", &format!("{evil}\rOrigin"), 1),
        text.replacen("Origin", &format!("{evil}\u{b}\nOrigin"), 1),
        text.replacen("\n\n", &format!("\nHash: SHA512\r{evil}\n\n"), 1),
        text.replacen("\n\n", &format!("\nHash: SHA512, {evil}\n\n"), 1),
        text.replacen("\n\n", &format!("\n \n{evil}\n\n"), 1),
        text.replacen("\n\n", &format!("\nHash: {}\n\n", "SHA512,".repeat(100_000)), 1),
        text.replacen("Hash: SHA512\n", "", 1),
        text.replacen("Hash: SHA512", "Hash: MD5", 1),
        text.replacen(begin, &format!("{begin}{evil}"), 1),
        text.replacen(begin, &format!("\u{feff}{begin}"), 1),
        text.replacen(begin, &format!("{begin}\n\n{evil}\n{begin}"), 1),
        text.replacen(end, &format!("{evil}\n{end}"), 1),
        text.replacen(end, &format!("{end}\n{evil}: x"), 1),
        text.replacen(end, &format!("{end} \n\n{end}"), 1),
        text.replacen(end, &format!("- {end}\n{evil}\n{end}"), 1),
        format!("{text}{}", " \n".repeat(1_000_000)),
        format!("{text}\0"),
        format!("- {text}"),
    ];
    for (number, file) in games.into_iter().enumerate() {
        if let Ok(trusted) = judge(file.into_bytes(), &rules(&source)) {
            assert_eq!(trusted.release, release, "game {number}");
        }
    }
    // A long line within the bounds is read in time that grows with its length.
    let mut long = TestSuite::new("trixie", &key);
    long.more_fields = format!("Description: {}\n", "x".repeat(7 << 20));
    accept(long.inrelease(), &rules(&source));
}

#[test]
fn a_signature_from_the_future_is_refused_and_a_little_skew_is_not() {
    let key = Key::new("key");
    let source = source(&key.armoured());
    let suite = TestSuite::new("trixie", &key);
    let sign =
        |minutes: i64| clearsign(&suite.release(), &suite.signers, now() + Duration::from_secs(60 * minutes as u64));
    accept(sign(5), &rules(&source));
    refuse(sign(15), &rules(&source));
}

#[test]
fn only_text_inside_the_signature_is_read() {
    let key = Key::new("key");
    let source = source(&key.armoured());
    let with = |change: fn(&mut TestSuite)| {
        let mut suite = TestSuite::new("trixie", &key);
        change(&mut suite);
        suite.inrelease()
    };
    accept(with(|suite| suite.around = ("\n  \n".into(), "\n\n\t\n".into())), &rules(&source));
    for (file, part) in [
        (with(|suite| suite.around.0 = "Codename: evil\n".into()), "before the signed message"),
        (with(|suite| suite.around.1 = "Codename: evil\n".into()), "after the signed message"),
        (with(|suite| suite.twice = true), "after the signed message"),
        (vec![0; 9 << 20], "longer than"),
        ([with(|_| ()), vec![b'\n'; 8 << 20]].concat(), "longer than"),
    ] {
        says(&refuse(file, &rules(&source)), &["not one signed message", part]);
    }
    // A header that old verifiers took for text, or text for a header.
    let text = String::from_utf8(with(|_| ())).unwrap();
    let slipped = text.replacen("\n\n", "\nCodename: evil\n\n", 1);
    says(&refuse(slipped.into_bytes(), &rules(&source)), &["header"]);
}

#[test]
fn unsigned_needs_the_manifests_word() {
    let key = Key::new("key");
    let mut suite = TestSuite::new("trixie", &key);
    let signed = suite.inrelease();
    suite.signers.clear();
    let plain = suite.inrelease();
    let mut source = source(&key.armoured());
    says(&refuse(plain.clone(), &rules(&source)), &["not signed"]);
    refuse(Vec::new(), &rules(&source));
    source.allow_unsigned = true;
    source.signed_by = None;
    for file in [plain, signed] {
        let trusted = accept(file, &rules(&source));
        assert_eq!(trusted.record.signer, None);
        assert_eq!(trusted.release.codename.as_deref(), Some("trixie"));
    }
    // Names and dates still count.
    suite.codename = Some("other".into());
    says(&refuse(suite.inrelease(), &rules(&source)), &["\"trixie\""]);
    source.allow_unsigned = false;
    says(&refuse(TestSuite::new("trixie", &key).inrelease(), &rules(&source)), &["keyring"]);
}

#[test]
fn useless_keyrings_are_the_users_to_mend() {
    let key = Key::new("key");
    let file = TestSuite::new("trixie", &key).inrelease();
    let half = key.armoured()[..200].to_vec();
    for (keyring, part) in [
        (Vec::new(), "no public key"),
        (b"not a key\n".to_vec(), "no public key"),
        (vec![0x99, 1, 2, 3, 4], "no"),
        (half, "does not end"),
        (key.secret(), "secret key"),
        (file.clone(), "no public key"),
    ] {
        let source = source(&keyring);
        let error = judge(file.clone(), &rules(&source)).unwrap_err();
        assert_eq!(error.class(), Class::User);
        says(&error.to_string(), &["keys.asc", part]);
    }
    // Damaged armour.
    let damaged = String::from_utf8(key.armoured()).unwrap().replacen("\n\n", "\n\nAAAA", 1).into_bytes();
    judge(file, &rules(&source(&damaged))).unwrap_err();
}

#[test]
fn the_suite_is_the_one_that_was_asked_for() {
    let key = Key::new("key");
    let source = source(&key.armoured());
    for (asked, suite, codename, fine) in [
        ("trixie", Some("stable"), Some("trixie"), true),
        ("stable", Some("stable"), Some("trixie"), true),
        ("bookworm", Some("oldstable"), Some("bookworm"), true),
        ("bookworm-security", Some("oldstable-security"), Some("bookworm-security"), true),
        ("trixie", Some("oldstable"), Some("bookworm"), false),
        ("bookworm-security", Some("oldstable"), Some("bookworm"), false),
        ("trixie", None, None, false),
        ("trixie", None, Some("trixie"), true),
        ("./", None, None, true),
        ("debs/", Some("x"), Some("y"), true),
    ] {
        let mut one = TestSuite::new("trixie", &key);
        one.suite = suite.map(Into::into);
        one.codename = codename.map(Into::into);
        let rules = Rules { suite: asked, ..rules(&source) };
        if fine {
            accept(one.inrelease(), &rules);
        } else {
            let text = refuse(one.inrelease(), &rules);
            says(&text, &[asked, suite.unwrap_or("no named suite"), codename.unwrap_or("")]);
        }
    }
}

#[test]
fn messages_of_age_are_for_people() {
    let key = Key::new("key");
    let mut source = source(&key.armoured());
    source.max_age = Some(Spanned::new(std::time::Duration::from_secs(90_000), 0..0));
    let clock = at("2026-01-12T13:01:05.123456789Z");
    let later = Rules { clock, ..rules(&source) };
    let mut suite = TestSuite::new("trixie", &key);
    says(
        &refuse(suite.inrelease(), &later),
        &["2026-01-10T12:00:00Z, 2 days 1 hour 1 minute 5 seconds before 2026-01-12T13:01:05Z", "allows 1 day 1 hour"],
    );
    suite.valid_until = Some(at("2026-01-12T00:00:00Z"));
    says(&refuse(suite.inrelease(), &later), &["judged at 2026-01-12T13:01:05Z"]);
    suite.date = at("2026-02-01T00:00:00Z");
    source.allow_unsigned = true;
    let later = Rules { clock, ..rules(&source) };
    says(&refuse(suite.inrelease(), &later), &["here it is 2026-01-12T13:01:05Z"]);
}

/// Date, Valid-Until, and what the manifest says, judged at 2026-01-11T12:00Z.
#[test]
fn dates() {
    struct Case {
        date: &'static str,
        valid_until: Option<&'static str>,
        snapshot_at: Option<&'static str>,
        max_age: Option<u64>,
        allow_expired: bool,
        seen: Option<&'static str>,
        allow_older: bool,
        /// What the refusal says, or whether it counts as expired.
        expected: Result<bool, &'static str>,
    }
    const PLAIN: Case = Case {
        date: "2026-01-10T12:00:00Z",
        valid_until: None,
        snapshot_at: None,
        max_age: None,
        allow_expired: false,
        seen: None,
        allow_older: false,
        expected: Ok(false),
    };
    const DAY: u64 = 86400;
    let cases = [
        PLAIN,
        Case { date: "2026-01-11T12:09:00Z", ..PLAIN },
        Case { date: "2026-01-11T12:11:00Z", expected: Err("future"), ..PLAIN },
        Case { date: "2036-01-11T12:11:00Z", allow_expired: true, allow_older: true, expected: Err("future"), ..PLAIN },
        Case { valid_until: Some("2026-01-11T12:00:00Z"), ..PLAIN },
        Case { valid_until: Some("2026-01-11T11:59:59Z"), expected: Err("valid until"), ..PLAIN },
        Case { valid_until: Some("2026-01-11T11:59:59Z"), allow_expired: true, expected: Ok(true), ..PLAIN },
        // Judged at the pin.
        Case { valid_until: Some("2026-01-11T00:00:00Z"), snapshot_at: Some("2026-01-10T18:00:00Z"), ..PLAIN },
        Case {
            valid_until: Some("2026-01-10T14:00:00Z"),
            snapshot_at: Some("2026-01-10T18:00:00Z"),
            expected: Err("valid until"),
            ..PLAIN
        },
        Case { snapshot_at: Some("2026-01-10T11:00:00Z"), expected: Err("snapshot-at"), ..PLAIN },
        // max-age bounds every Release, and only taking it out lifts it.
        Case { max_age: Some(2 * DAY), ..PLAIN },
        Case { max_age: Some(DAY / 2), expected: Err("max-age"), ..PLAIN },
        Case { max_age: Some(DAY / 2), snapshot_at: Some("2026-01-10T18:00:00Z"), ..PLAIN },
        Case {
            max_age: Some(DAY / 2),
            valid_until: Some("2026-01-11T00:00:00Z"),
            allow_expired: true,
            expected: Err("max-age"),
            ..PLAIN
        },
        Case { max_age: Some(u64::MAX), ..PLAIN },
        // Rollback.
        Case { seen: Some("2026-01-10T12:00:00Z"), ..PLAIN },
        Case { seen: Some("2026-01-09T12:00:00Z"), ..PLAIN },
        Case { seen: Some("2026-01-10T12:00:01Z"), expected: Err("seen before"), ..PLAIN },
        Case { seen: Some("2026-01-10T12:00:01Z"), allow_older: true, ..PLAIN },
        Case { seen: Some("2026-01-10T20:00:00Z"), snapshot_at: Some("2026-01-10T18:00:00Z"), ..PLAIN },
        Case {
            seen: Some("2026-01-10T15:00:00Z"),
            snapshot_at: Some("2026-01-10T18:00:00Z"),
            expected: Err("seen before"),
            ..PLAIN
        },
    ];
    let key = Key::new("key");
    for (number, case) in cases.iter().enumerate() {
        let mut source = source(&key.armoured());
        source.snapshot_at = case.snapshot_at.map(|moment| Spanned::new(at(moment), 0..0));
        source.max_age = case.max_age.map(|seconds| Spanned::new(Duration::from_secs(seconds), 0..0));
        source.allow_expired = case.allow_expired;
        let seen: Option<Timestamp> = case.seen.map(at);
        let rules = Rules { seen, allow_older: case.allow_older, ..rules(&source) };
        let mut suite = TestSuite::new("trixie", &key);
        suite.date = at(case.date);
        suite.valid_until = case.valid_until.map(at);
        let file = clearsign(&suite.release(), &suite.signers, suite.date.min(now()));
        match (judge(file, &rules), case.expected) {
            (Ok(trusted), Ok(expired)) => assert_eq!(trusted.record.expired, expired, "case {number}"),
            (Err(error), Err(part)) => says(&error.to_string(), &[part, "test/trixie"]),
            (got, _) => panic!("case {number}: {:?}", got.map(|trusted| trusted.record)),
        }
    }
}

#[test]
fn what_a_keys_owner_wrote_does_not_reach_the_terminal_raw() {
    let key = Key::new("key");
    let source = source(&key.armoured());
    let mut suite = TestSuite::new("trixie", &key);
    suite.suite = Some("\u{1b}[2Jevil".into());
    suite.codename = None;
    assert!(!refuse(suite.inrelease(), &rules(&source)).contains('\u{1b}'));
}

/// Lines that mean something to the frame, to armour or to a Release.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(b"-----BEGIN PGP SIGNED MESSAGE-----".to_vec()),
        Just(b"-----BEGIN PGP SIGNATURE-----".to_vec()),
        Just(b"-----END PGP SIGNATURE-----".to_vec()),
        Just(b"-----BEGIN PGP PUBLIC KEY BLOCK-----".to_vec()),
        Just(b"-----END PGP PUBLIC KEY BLOCK-----".to_vec()),
        Just(b"Hash: SHA512".to_vec()),
        Just(b"Codename: trixie".to_vec()),
        Just(b"Date: Sat, 10 Jan 2026 12:00:00 UTC".to_vec()),
        Just(b"- - x".to_vec()),
        Just(b"xjMEX".to_vec()),
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..60),
    ];
    prop::collection::vec(line, 0..16).prop_map(|lines| lines.join(&b'\n'))
}

proptest! {
    #[test]
    fn nothing_but_a_signature_is_believed_and_nothing_panics(file in soup(), keyring in soup()) {
        let source = source(&keyring);
        prop_assert!(judge(file.clone(), &rules(&source)).is_err());
        let unsigned = ArchiveSource { allow_unsigned: true, ..source };
        if let Ok(trusted) = judge(file, &rules(&unsigned)) {
            prop_assert_eq!(trusted.record.signer, None);
        }
    }
}
