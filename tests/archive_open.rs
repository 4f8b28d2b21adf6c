//! From a server to an index: mirrors, forms, checksums, what the cache remembers.

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use debstrata::{
    archive::{ArchiveError, Opening, TrustRecord, open, origins, verify_recorded},
    cache::Cache,
    debian::Architecture,
    fetch::{Fetcher, Retries, Settings},
    ground::{Class, Event, Failure as _, Observer, Silent, Source, Spanned},
    manifest::{Archive, ArchiveSource, Keyring},
};
use miette::Diagnostic as _;
use support::{Compression, DebBuilder, Fault, Key, Server, Sums, TestArchive, TestSuite, at, now};

/// A source at `server` for some suites.
fn source(server: &Server, suites: &[&str], key: &Key) -> ArchiveSource {
    let spanned = |text: &str| Spanned::new(text.to_owned(), 0..0);
    ArchiveSource {
        span: 0..0,
        name: "test".into(),
        suites: suites.iter().copied().map(spanned).collect(),
        components: vec![spanned("main")],
        signed_by: Some(Keyring {
            path: "keys.asc".into(),
            written: spanned("keys.asc"),
            bytes: Arc::from(key.armoured()),
        }),
        snapshot: None,
        uris: vec![spanned(&server.url())],
        snapshot_at: None,
        max_age: None,
        architectures: None,
        priority: 500,
        allow_unsigned: false,
        allow_expired: false,
        folder: None,
    }
}

fn archive(sources: Vec<ArchiveSource>) -> Archive {
    Archive {
        source: Source::new(
            "manifests/test/archive.toml",
            "architectures = ['amd64', 's390x']\ncomponents = ['main']\n",
        ),
        summary: "a test".into(),
        architectures: vec![Spanned::new(arch("amd64"), 17..24), Spanned::new(arch("s390x"), 26..33)],
        timestamp: 0,
        merged_usr: true,
        sources,
    }
}

fn arch(name: &str) -> Architecture {
    name.parse().unwrap()
}

fn fetcher(cache: &Path, offline: bool) -> Fetcher {
    let retries = Retries { tries: 2, pause: Duration::ZERO, longest: Duration::ZERO };
    let settings = Settings { offline, retries, ..Settings::new(now()) };
    Fetcher::new(settings, Arc::new(Cache::open(cache).unwrap()), Arc::new(Silent)).unwrap()
}

fn opening(seen: &BTreeMap<String, TrustRecord>) -> Opening<'_> {
    Opening { clock: now(), seen, allow_older: false }
}

/// Remembers notes.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn tell(&self, event: Event) {
        if let Event::Note(text) = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

/// Opens with an empty cache; `name version from` of every package of an architecture.
fn packages(archive: &Archive, architecture: &str) -> Result<Vec<String>, ArchiveError> {
    let cache = tempfile::tempdir().unwrap();
    packages_with(archive, architecture, &fetcher(cache.path(), false), &Silent)
}

fn packages_with(
    archive: &Archive,
    architecture: &str,
    fetcher: &Fetcher,
    observer: &dyn Observer,
) -> Result<Vec<String>, ArchiveError> {
    let suites = open(archive, fetcher, &opening(&BTreeMap::new())).map_err(|mut errors| errors.remove(0))?;
    let index = suites.index(fetcher, arch(architecture), observer)?;
    let mut found = Vec::new();
    for name in index.names() {
        for candidate in index.candidates(name) {
            found.push(format!("{name} {} {}", candidate.record.version, candidate.from));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn suite(name: &str, key: &Key) -> TestSuite {
    TestSuite::new(name, key).add(DebBuilder::new("hello", "1.0").build())
}

#[track_caller]
fn says(error: &ArchiveError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(error.help().is_some(), "says the next step: {text}");
}

#[test]
fn two_suites_become_one_index() {
    let key = Key::new("key");
    let first = suite("trixie", &key)
        .add(DebBuilder::new("data", "2").arch("all").build())
        .add(DebBuilder::new("other", "3").arch("arm64").build());
    let second = TestSuite::new("trixie-updates", &key).add(DebBuilder::new("hello", "1.1").build());
    let server = TestArchive::new([first, second]).serve();
    let archive = archive(vec![source(&server, &["trixie", "trixie-updates"], &key)]);
    let expected = ["data 2 test/trixie", "hello 1.0 test/trixie", "hello 1.1 test/trixie-updates"];
    assert_eq!(packages(&archive, "amd64").unwrap(), expected);
    assert_eq!(packages(&archive, "arm64").unwrap(), ["data 2 test/trixie", "other 3 test/trixie"]);
}

#[test]
fn every_form_checksum_and_place_of_an_index_is_read() {
    let key = Key::new("key");
    let forms = [Compression::Xz, Compression::Zst, Compression::Gz, Compression::None];
    for form in forms {
        for sums in [Sums::Sha256, Sums::Sha512, Sums::Both] {
            for by_hash in [true, false] {
                for list_plain in [true, false] {
                    let mut one = suite("trixie", &key);
                    one.forms = vec![form];
                    (one.sums, one.by_hash, one.list_plain) = (sums, by_hash, list_plain);
                    let server = TestArchive::new([one]).serve();
                    let found = packages(&archive(vec![source(&server, &["trixie"], &key)]), "amd64");
                    assert_eq!(found.unwrap(), ["hello 1.0 test/trixie"], "{form:?} {sums:?} {by_hash} {list_plain}");
                    let asked = server.requests().iter().any(|request| request.path.contains("/by-hash/"));
                    assert_eq!(asked, by_hash);
                }
            }
        }
    }
}

#[test]
fn a_form_that_no_mirror_has_is_replaced_by_the_next() {
    let key = Key::new("key");
    let mut one = suite("trixie", &key);
    one.by_hash = false;
    let server = TestArchive::new([one]).serve();
    let archive = archive(vec![source(&server, &["trixie"], &key)]);
    server.always("/dists/trixie/main/binary-amd64/Packages.xz", Fault::Status(404));
    assert_eq!(packages(&archive, "amd64").unwrap(), ["hello 1.0 test/trixie"]);
    server.always("/dists/trixie/main/binary-amd64/Packages.gz", Fault::Status(404));
    let error = packages(&archive, "amd64").unwrap_err();
    says(&error, &["Packages.xz"]);
    assert_eq!(error.class(), Class::World);
}

#[test]
fn the_next_mirror_serves_where_one_is_altered_stale_or_foreign() {
    let [key, foreign] = ["key", "foreign"].map(Key::new);
    let good = suite("trixie", &key);
    let right = TestArchive::new([good.clone()]).serve();
    let bad_heads = [
        TestSuite { signers: vec![foreign], ..good.clone() },
        TestSuite { signers: Vec::new(), ..good.clone() },
        TestSuite { valid_until: Some(at("2026-01-11T00:00:00Z")), ..good.clone() },
        TestSuite { codename: Some("bookworm".into()), ..good.clone() },
        TestSuite { twice: true, ..good.clone() },
        TestSuite { date: at("2026-02-01T00:00:00Z"), ..good.clone() },
    ];
    for bad in bad_heads {
        let wrong = TestArchive::new([bad]).serve();
        let mut both = source(&wrong, &["trixie"], &key);
        both.uris.push(Spanned::new(right.url(), 0..0));
        assert_eq!(packages(&archive(vec![both.clone()]), "amd64").unwrap(), ["hello 1.0 test/trixie"]);
        both.uris.truncate(1);
        says(&packages(&archive(vec![both]), "amd64").unwrap_err(), &["test", "InRelease", &wrong.url()]);
    }
    // The head is fine, the index is not.
    let wrong = TestArchive::new([good]).serve();
    let index = wrong_index_paths(&wrong, &key);
    for fault in [Fault::Flip(40), Fault::Truncate(40), Fault::Longer(1), Fault::Status(503), Fault::HangUp] {
        for path in &index {
            wrong.always(path, fault.clone());
        }
        let mut both = source(&wrong, &["trixie"], &key);
        both.uris.push(Spanned::new(right.url(), 0..0));
        assert_eq!(packages(&archive(vec![both]), "amd64").unwrap(), ["hello 1.0 test/trixie"], "{fault:?}");
        let alone = archive(vec![source(&wrong, &["trixie"], &key)]);
        assert_eq!(packages(&alone, "amd64").unwrap_err().class(), Class::World, "{fault:?}");
    }
}

/// What is asked of a server for the index of amd64.
fn wrong_index_paths(server: &Server, key: &Key) -> Vec<String> {
    packages(&archive(vec![source(server, &["trixie"], key)]), "amd64").unwrap();
    let paths = server.requests().into_iter().map(|request| request.path);
    let mut paths: Vec<_> = paths.filter(|path| path.contains("binary-amd64")).collect();
    paths.push("/dists/trixie/main/binary-amd64/Packages.xz".into());
    paths
}

#[test]
fn a_lying_uncompressed_size_or_checksum_stops_the_reading() {
    let key = Key::new("key");
    let text = suite("trixie", &key).packages_text("main", "amd64");
    for (lie, part) in [
        (text[1..].to_owned(), "longer than"),
        (format!("{text}\n"), "bytes"),
        (text.replace("hello", "jello"), "checksum"),
        (String::new(), "longer than"),
    ] {
        let mut one = suite("trixie", &key);
        one.lie = Some(lie);
        one.architectures = vec!["amd64".into()];
        let server = TestArchive::new([one]).serve();
        let error = packages(&archive(vec![source(&server, &["trixie"], &key)]), "amd64").unwrap_err();
        says(&error, &["test/trixie", "main/binary-amd64/Packages.xz", part]);
    }
}

/// A Release need not list the plain form; then nothing but the compressed bytes can be compared.
#[test]
fn an_index_that_was_altered_in_the_cache_is_not_believed_and_fetched_again() {
    let key = Key::new("key");
    for (sums, list_plain) in [(Sums::Sha256, false), (Sums::Sha512, false), (Sums::Sha256, true)] {
        let mut one = suite("trixie", &key);
        (one.list_plain, one.sums) = (list_plain, sums);
        one.forms = vec![Compression::Gz];
        one.architectures = vec!["amd64".into()];
        let good = Compression::Gz.compress(one.packages_text("main", "amd64").as_bytes());
        let digest = debstrata::ground::Sha256::of(&good);
        let server = TestArchive::new([one.clone()]).serve();
        let archive = archive(vec![source(&server, &["trixie"], &key)]);
        let cache = tempfile::tempdir().unwrap();
        let fetcher = fetcher(cache.path(), false);
        let expected = packages_with(&archive, "amd64", &fetcher, &Silent).unwrap();
        let path = fetcher.cache().download_path(&digest);
        let text = one.packages_text("main", "amd64");
        let mut other = (10..99).map(|number| text.replace("Version: 1.0", &format!("Version: {number}x")));
        let evil = other.find_map(|text| {
            let bytes = Compression::Gz.compress(text.as_bytes());
            (bytes.len() == good.len()).then_some(bytes)
        });
        let evil = evil.unwrap_or_else(|| {
            let mut damaged = good.clone();
            damaged[good.len() / 2] ^= 1;
            damaged
        });
        for bytes in [evil, vec![0; good.len()]] {
            std::fs::write(&path, bytes).unwrap();
            // What was made of it while it was good needs it no more.
            assert_eq!(packages_with(&archive, "amd64", &fetcher, &Silent).unwrap(), expected);
            std::fs::remove_dir_all(cache.path().join("derived/indexes")).unwrap();
            assert_eq!(packages_with(&archive, "amd64", &fetcher, &Silent).unwrap(), expected);
            assert_eq!(std::fs::read(&path).unwrap(), good);
        }
    }
}

#[test]
fn an_architecture_that_a_suite_lacks_is_a_note_or_an_error() {
    let key = Key::new("key");
    let mut first = suite("trixie", &key).add(DebBuilder::new("z", "1").arch("s390x").build());
    first.architectures.push("s390x".into());
    let mut security = suite("trixie-security", &key);
    // Named, but without an index.
    security.architectures.push("s390x".into());
    security.without_index = vec!["s390x".into()];
    let server = TestArchive::new([first, security]).serve();
    let both = archive(vec![source(&server, &["trixie", "trixie-security"], &key)]);
    let (cache, notes) = (tempfile::tempdir().unwrap(), Notes::default());
    let found = packages_with(&both, "s390x", &fetcher(cache.path(), false), &notes).unwrap();
    assert_eq!(found, ["z 1 test/trixie"]);
    let notes = notes.0.into_inner().unwrap();
    assert_eq!(notes, ["test/trixie-security has no packages for s390x; other suites have"]);

    let alone = archive(vec![source(&server, &["trixie-security"], &key)]);
    let error = packages(&alone, "s390x").unwrap_err();
    says(&error, &["s390x", "test/trixie-security"]);
    assert_eq!(error.class(), Class::User);
    assert_eq!(error.labels().unwrap().next().unwrap().offset(), 26, "the label points at the manifest");

    // A source that is not for it is not asked.
    let mut only = source(&server, &["trixie-security"], &key);
    only.architectures = Some(vec![Spanned::new(arch("amd64"), 0..0)]);
    let error = packages(&archive(vec![only]), "s390x").unwrap_err();
    says(&error, &["s390x", "no source is for it"]);
}

#[test]
fn packages_for_all_may_stand_apart() {
    let key = Key::new("key");
    let mut one = suite("trixie", &key).add(DebBuilder::new("data", "2").arch("all").build());
    one.separate_all = true;
    // There is such an index, but the Release does not name the architecture: Debian's security
    // suites, whose other indexes hold these packages too.
    let server = TestArchive::new([one.clone()]).serve();
    let unnamed = archive(vec![source(&server, &["trixie"], &key)]);
    assert_eq!(packages(&unnamed, "amd64").unwrap(), ["hello 1.0 test/trixie"]);
    one.architectures.push("all".into());
    let server = TestArchive::new([one.clone()]).serve();
    let archive = archive(vec![source(&server, &["trixie"], &key)]);
    assert_eq!(packages(&archive, "amd64").unwrap(), ["data 2 test/trixie", "hello 1.0 test/trixie"]);
    // Debian's way: there are such indexes, and a word that they are not needed.
    one.more_fields = "No-Support-for-Architecture-all: Packages\n".into();
    let server = TestArchive::new([one]).serve();
    let quiet = Archive { sources: vec![source(&server, &["trixie"], &key)], ..archive };
    assert_eq!(packages(&quiet, "amd64").unwrap(), ["hello 1.0 test/trixie"]);
}

#[test]
fn a_component_that_is_not_there_is_named_with_the_nearest() {
    let key = Key::new("key");
    let server = TestArchive::new([suite("trixie", &key)]).serve();
    let mut one = source(&server, &["trixie"], &key);
    one.components = vec![Spanned::new("mian".into(), 50..56)];
    let error = packages(&archive(vec![one]), "amd64").unwrap_err();
    says(&error, &["\"mian\"", "main"]);
    assert_eq!(error.help().unwrap().to_string(), "did you mean \"main\"?");
    assert_eq!(error.labels().unwrap().next().unwrap().offset(), 50);
}

#[test]
fn flat_repositories() {
    let key = Key::new("key");
    for folder in ["./", "debs/"] {
        let mut one = suite(folder, &key);
        (one.suite, one.codename) = (None, None);
        one.components.clear();
        let server = TestArchive::new([one]).serve();
        let mut flat = source(&server, &[folder], &key);
        flat.components.clear();
        assert_eq!(packages(&archive(vec![flat]), "amd64").unwrap(), [format!("hello 1.0 test/{folder}")]);
    }
}

#[test]
fn the_cache_and_the_lock_remember_what_was_seen() {
    let key = Key::new("key");
    let new = suite("trixie", &key);
    let old = TestSuite { date: at("2026-01-09T12:00:00Z"), ..new.clone() };
    let server = TestArchive::new([new.clone()]).serve();
    let archive = archive(vec![source(&server, &["trixie"], &key)]);
    let (cache, none) = (tempfile::tempdir().unwrap(), BTreeMap::new());
    let fetcher = fetcher(cache.path(), false);
    let records = open(&archive, &fetcher, &opening(&none)).unwrap().records();
    assert_eq!(records.len(), 1);

    server.replace(TestArchive::new([old.clone()]).files());
    let errors = open(&archive, &fetcher, &opening(&none)).unwrap_err();
    says(&errors[0], &["2026-01-09T12:00:00Z", "2026-01-10T12:00:00Z was seen before"]);

    // Another cache, and a lock that knows.
    let empty = tempfile::tempdir().unwrap();
    let other = self::fetcher(empty.path(), false);
    let seen = BTreeMap::from([(records[0].id.clone(), records[0].clone())]);
    says(&open(&archive, &other, &opening(&seen)).unwrap_err()[0], &["was seen before"]);
    let willing = Opening { allow_older: true, ..opening(&seen) };
    assert_eq!(open(&archive, &other, &willing).unwrap().records()[0].date, old.date);
}

#[test]
fn offline_the_last_head_serves_and_is_judged_anew() {
    let key = Key::new("key");
    let mut one = suite("trixie", &key);
    one.valid_until = Some(at("2026-01-17T00:00:00Z"));
    let server = TestArchive::new([one]).serve();
    let archive = archive(vec![source(&server, &["trixie"], &key)]);
    let (cache, none) = (tempfile::tempdir().unwrap(), BTreeMap::new());
    let errors = open(&archive, &fetcher(cache.path(), true), &opening(&none)).unwrap_err();
    says(&errors[0], &["offline"]);
    packages_with(&archive, "amd64", &fetcher(cache.path(), false), &Silent).unwrap();
    drop(server);
    let offline = fetcher(cache.path(), true);
    assert_eq!(packages_with(&archive, "amd64", &offline, &Silent).unwrap(), ["hello 1.0 test/trixie"]);
    let later = Opening { clock: at("2026-02-01T00:00:00Z"), ..opening(&none) };
    says(&open(&archive, &offline, &later).unwrap_err()[0], &["valid until"]);
}

#[test]
fn a_record_can_be_verified_again_without_a_network() {
    let [key, foreign] = ["key", "foreign"].map(Key::new);
    let mut one = suite("trixie", &key);
    one.valid_until = Some(at("2026-01-17T00:00:00Z"));
    let server = TestArchive::new([one]).serve();
    let archive = archive(vec![source(&server, &["trixie"], &key)]);
    let folder = tempfile::tempdir().unwrap();
    let fetcher = fetcher(folder.path(), false);
    let record = open(&archive, &fetcher, &opening(&BTreeMap::new())).unwrap().records().remove(0);
    let cache = fetcher.cache();
    // Years later, past its Valid-Until: that it was valid then was judged then.
    let clock = at("2030-01-01T00:00:00Z");
    let source = &archive.sources[0];
    let verify = |source: &ArchiveSource, record: &TrustRecord| verify_recorded(source, "trixie", record, cache, clock);
    assert_eq!(verify(source, &record).unwrap().record, record);
    for (edited, field) in [
        (TrustRecord { date: now(), ..record.clone() }, "date"),
        (TrustRecord { valid_until: None, ..record.clone() }, "valid-until"),
        (TrustRecord { signer: None, ..record.clone() }, "signer"),
    ] {
        says(&verify(source, &edited).unwrap_err(), &["test/trixie", field]);
    }
    let mut other = source.clone();
    other.signed_by.as_mut().unwrap().bytes = Arc::from(foreign.armoured());
    says(&verify(&other, &record).unwrap_err(), &["no valid signature"]);
    let blob = cache.download_path(&record.inrelease);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    says(&verify(source, &record).unwrap_err(), &["no longer has"]);
    std::fs::remove_file(&blob).unwrap();
    says(&verify(source, &record).unwrap_err(), &["no longer has"]);
}

#[test]
fn every_suite_that_fails_is_reported() {
    let key = Key::new("key");
    let server = TestArchive::new([suite("trixie", &key)]).serve();
    let archive = archive(vec![source(&server, &["trixie", "sid", "forky"], &key)]);
    let folder = tempfile::tempdir().unwrap();
    let errors = open(&archive, &fetcher(folder.path(), false), &opening(&BTreeMap::new())).unwrap_err();
    assert_eq!(errors.len(), 2);
    says(&errors[0], &["dists/sid/InRelease", "404"]);
    says(&errors[1], &["dists/forky/InRelease"]);
}

#[test]
fn a_suite_that_no_mirror_has_is_the_manifests_fault() {
    let key = Key::new("key");
    let server = TestArchive::new([suite("trixie", &key)]).serve();
    let mut one = source(&server, &["trixie", "trixy"], &key);
    one.suites[1].span = 20..27;
    let mut other = one.clone();
    other.suites = vec![Spanned::new("bokworm".into(), 30..31), Spanned::new("bookworm-security".into(), 0..0)];
    let archive = archive(vec![one, other]);
    let folder = tempfile::tempdir().unwrap();
    let errors = open(&archive, &fetcher(folder.path(), false), &opening(&BTreeMap::new())).unwrap_err();
    says(&errors[0], &["dists/trixy/InRelease", "404", &server.url()]);
    for (error, place, like) in [(&errors[0], 20, "trixie"), (&errors[1], 30, "bookworm")] {
        assert_eq!(error.class(), Class::User);
        assert_eq!(error.labels().unwrap().next().unwrap().offset(), place);
        let help = error.help().unwrap().to_string();
        assert!(help.contains(&format!("did you mean {like:?}?")), "{help}");
        assert!(error.source_code().is_some());
    }
    // One that was seen before is rightly named: its mirror is at fault.
    let known = Archive { sources: vec![source(&server, &["trixie"], &key)], ..archive.clone() };
    let suites = open(&known, &fetcher(folder.path(), false), &opening(&BTreeMap::new())).unwrap();
    let seen = BTreeMap::from([("test/trixy".to_owned(), suites.records().remove(0))]);
    let errors = open(&archive, &fetcher(folder.path(), false), &opening(&seen)).unwrap_err();
    assert_eq!(errors[0].class(), Class::World);
}

#[test]
fn a_keyring_that_is_none_is_told_before_anything_is_fetched() {
    let key = Key::new("key");
    let server = TestArchive::new([suite("trixie", &key)]).serve();
    let mut wrong = source(&server, &["trixie", "trixie-updates"], &key);
    let ring = wrong.signed_by.as_mut().unwrap();
    (ring.bytes, ring.written.span) = (Arc::from(*b"no key at all"), 5..9);
    let unused = ArchiveSource { allow_unsigned: true, ..wrong.clone() };
    let archive = archive(vec![source(&server, &["trixie"], &key), wrong, unused]);
    let folder = tempfile::tempdir().unwrap();
    let errors = open(&archive, &fetcher(folder.path(), false), &opening(&BTreeMap::new())).unwrap_err();
    assert_eq!(errors.len(), 1);
    says(&errors[0], &["keys.asc", "no public key"]);
    assert_eq!(errors[0].class(), Class::User);
    assert_eq!(errors[0].labels().unwrap().next().unwrap().offset(), 5);
    assert!(server.requests().is_empty());
}

#[test]
fn locked_packages_know_their_origin_without_a_network() {
    let key = Key::new("key");
    let server = TestArchive::new([suite("trixie", &key)]).serve();
    let mut one = source(&server, &["trixie", "trixie-updates"], &key);
    one.snapshot = Some(Spanned::new("debian".into(), 0..0));
    let archive = archive(vec![one]);
    let folder = tempfile::tempdir().unwrap();
    let trixie = Archive { sources: vec![source(&server, &["trixie"], &key)], ..archive.clone() };
    let records = open(&trixie, &fetcher(folder.path(), false), &opening(&BTreeMap::new())).unwrap().records();
    let origins = origins(&archive, &records);
    assert_eq!(origins.keys().collect::<Vec<_>>(), ["test/trixie", "test/trixie-updates"]);
    let origin = &origins["test/trixie"];
    assert_eq!((origin.archive.as_deref(), origin.suite.as_str()), (Some("debian"), "trixie"));
    assert_eq!(origin.released, Some(at("2026-01-10T12:00:00Z")));
    assert_eq!(origins["test/trixie-updates"].released, None);
}
