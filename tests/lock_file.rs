//! The text of `debstrata.lock`: its bytes are promised, and whatever a merge or an editor made of
//! it ends in a diagnostic on the right line.

use std::{collections::BTreeMap, io, path::Path};

use debstrata::{
    archive::{Package, TrustRecord},
    debian::Architecture,
    ground::{Class, DiffId, Failure, Sha256, Source, WriteError},
    lock::{FILE_NAME, Inputs, Lock, LockError, Locked, LockedTier, Output},
};
use miette::Diagnostic;
use proptest::prelude::*;

fn arch(name: &str) -> Architecture {
    name.parse().unwrap()
}

fn package(name: &str, version: &str, architecture: &str) -> Package {
    Package {
        name: name.into(),
        version: version.parse().unwrap(),
        architecture: architecture.into(),
        source: name.into(),
        from: "debian/trixie".into(),
        path: format!("pool/main/{name}_{architecture}.deb").into(),
        size: 4096,
        sha256: Sha256::of(format!("{name}{version}{architecture}").as_bytes()),
    }
}

fn sample() -> Lock {
    let mut inputs = Inputs::default();
    let (files, c) = (package("base-files", "13.8+deb13u6", "amd64"), package("libc6", "2.41-12", "amd64"));
    let tz = package("tzdata", "2026b-0+deb13u1", "all");
    inputs.insert("static", Sha256::of(b"static"), [&tz, &files], vec!["tzdata needs debconf".to_owned()]).unwrap();
    inputs.insert("base", Sha256::of(b"base"), [&c], Vec::new()).unwrap();
    inputs.packages.get_mut("libc6").unwrap().unpacked = Some(Sha256::of(b"unpacked"));
    let output = Output { recipe: Sha256::of(b"recipe"), diff_id: DiffId(Sha256::of(b"tar")), size: 2_007_040 };
    Lock {
        format_version: 1,
        suites: vec![
            TrustRecord {
                id: "debian/trixie".into(),
                inrelease: Sha256::of(b"inrelease"),
                date: "2026-11-01T08:13:31Z".parse().unwrap(),
                valid_until: Some("2026-11-08T08:13:31Z".parse().unwrap()),
                signer: Some("0123456789ABCDEF0123456789ABCDEF01234567".into()),
                expired: false,
                folder: None,
            },
            TrustRecord {
                id: "local/./".into(),
                inrelease: Sha256::of(b"local"),
                date: "2020-01-01T00:00:00Z".parse().unwrap(),
                valid_until: None,
                signer: None,
                expired: true,
                folder: None,
            },
        ],
        architectures: BTreeMap::from([(arch("amd64"), inputs), (arch("arm64"), Inputs::default())]),
        outputs: BTreeMap::from([((arch("amd64"), "static".into()), output)]),
    }
}

fn parse(text: &str) -> Result<Lock, LockError> {
    Lock::parse(&Source::new(FILE_NAME, text))
}

#[test]
fn the_text_to_the_byte() {
    let h = |text: &str| Sha256::of(text.as_bytes());
    let expected = format!(
        r#"# Made by debstrata; do not edit.
# `debstrata lock` fits it to the manifests, `debstrata lock --upgrade` brings newer packages.
# Any merge conflict: keep one side of the whole file, then run `debstrata lock`.

schema = 1
format-version = 1
suites = [
  {{ id = "debian/trixie", inrelease = "{inrelease}", date = 2026-11-01T08:13:31Z, valid-until = 2026-11-08T08:13:31Z, signer = "0123456789ABCDEF0123456789ABCDEF01234567" }},
  {{ id = "local/./", inrelease = "{local}", date = 2020-01-01T00:00:00Z, unsigned = true, expired = true }},
]

[inputs.amd64]
packages = [
  {{ name = "base-files", version = "13.8+deb13u6", architecture = "amd64", source = "base-files", from = "debian/trixie", path = "pool/main/base-files_amd64.deb", size = 4096, sha256 = "{files}" }},
  {{ name = "libc6", version = "2.41-12", architecture = "amd64", source = "libc6", from = "debian/trixie", path = "pool/main/libc6_amd64.deb", size = 4096, sha256 = "{c}", unpacked = "{unpacked}" }},
  {{ name = "tzdata", version = "2026b-0+deb13u1", architecture = "all", source = "tzdata", from = "debian/trixie", path = "pool/main/tzdata_all.deb", size = 4096, sha256 = "{tz}" }},
]

[inputs.amd64.tiers.base]
question = "{base}"
packages = [
  "libc6",
]

[inputs.amd64.tiers.static]
question = "{static_}"
packages = [
  "tzdata",
  "base-files",
]
unmet = [
  "tzdata needs debconf",
]

[inputs.arm64]
packages = []

[outputs.amd64]
static = {{ recipe = "{recipe}", diff-id = "sha256:{tar}", size = 2007040 }}
"#,
        inrelease = h("inrelease"),
        local = h("local"),
        files = h("base-files13.8+deb13u6amd64"),
        c = h("libc62.41-12amd64"),
        unpacked = h("unpacked"),
        tz = h("tzdata2026b-0+deb13u1all"),
        base = h("base"),
        static_ = h("static"),
        recipe = h("recipe"),
        tar = h("tar"),
    );
    let text = sample().to_text();
    assert_eq!(text, expected);
    assert_eq!(parse(&text).unwrap(), sample());
}

/// docs/lock.md shortens digests to four digits; made whole, its example is a lock.
#[test]
fn the_documented_example_is_a_lock() {
    let page = include_str!("../docs/lock.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut text = String::new();
    for piece in example.split_inclusive("...\"") {
        match piece.strip_suffix("...\"") {
            Some(head) => text.push_str(&format!("{head}{}\"", head[head.len() - 4..].repeat(15))),
            None => text.push_str(piece),
        }
    }
    let lock = parse(&text).unwrap_or_else(|error| panic!("{:?}", miette::Report::new(error)));
    assert_eq!(lock.suites.len(), 2);
    assert_eq!(lock.packages_of(arch("amd64"), "static").unwrap().len(), 2);
    assert_eq!(lock.outputs.len(), 1);
    let inputs = &lock.architectures[&arch("amd64")];
    assert_eq!(inputs.tiers["static"].unmet.len(), 1);
    assert!(inputs.packages["base-files"].unpacked.is_some());
    for key in ["inrelease", "signer", "from", "path", "unpacked", "question", "unmet", "recipe", "diff-id"] {
        assert!(example.contains(&format!("{key} = ")), "the example lacks {key}");
        assert!(page.contains(&format!("{key}`")), "the table lacks {key}");
    }
}

/// The order of array lines means nothing (but for a tier's packages), nor does that of tables.
#[test]
fn shuffled_input_has_the_same_bytes() {
    let text = sample().to_text();
    let mut lines: Vec<&str> = text.lines().collect();
    let first = |start: &str| lines.iter().position(|line| line.starts_with(start)).unwrap();
    let (suites, packages) = (first("  { id"), first("  { name"));
    lines.swap(suites, suites + 1);
    lines[packages..packages + 3].reverse();
    let mut tables: Vec<String> = lines.join("\r\n").split("\r\n\r\n").map(str::to_owned).collect();
    tables[2..].reverse();
    let shuffled = tables.join("\n\n# a comment\n");
    assert_ne!(shuffled, text);
    assert_eq!(parse(&shuffled).unwrap().to_text(), text);
}

#[test]
fn broken_locks_point_at_the_place() {
    let hash = Sha256::of(b"recipe").to_string();
    let tz = "size = 4096, sha256 = \"";
    // What is replaced, by what, the message and the label expected, and where the label stands.
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str, &str, &str)] = &[
        ("schema = 1", "schema = 0", "no debstrata ever wrote schema 0", "no such schema", "0"),
        ("schema = 1\n", "", "the lock cannot be read", "missing field `schema`", ""),
        ("format-version", "format-versoin", "the lock cannot be read", "unknown field `format-versoin`", "format-versoin"),
        (&hash, "abc", "the lock cannot be read", "64 hexadecimal digits", "\"abc\""),
        ("diff-id = \"sha256:", "diff-id = \"sha512:", "the lock cannot be read", "64 hexadecimal digits", "\"sha512:"),
        ("[inputs.arm64]", "[inputs.arm65]", "the lock cannot be read", "no architecture is called", "arm65"),
        ("suites = [", "suites = [[", "the lock cannot be read", "", ""),
        ("id = \"local/./\"", "id = \"debian/trixie\"", "the suite `debian/trixie` is listed twice", "the second time", "\"debian/trixie\""),
        ("id = \"local/./\"", "id = \"\"", "`` is no suite", "empty", "\"\""),
        (", unsigned = true", "", "the suite `local/./` is neither signed nor unsigned", "either `signer`", "{ id"),
        ("unsigned = true", "signer = \"abc\"", "`abc` is no fingerprint of a key", "40 or 64", "\"abc\""),
        ("2020-01-01T00:00:00Z", "2020-01-01", "2020-01-01 is no moment", "with the Z", "2020-01-01"),
        ("name = \"libc6\"", "name = \"tzdata\"", "the package tzdata is listed twice for amd64", "the second time", "\"tzdata\""),
        ("name = \"libc6\"", "name = \"../libc6\"", "`../libc6` is no package name", "letters", "\"../libc6\""),
        ("name = \"libc6\"", "name = \"\\u001b[2J\"", "`\\u{1b}[2J` is no package name", "letters", "\"\\u001b"),
        ("version = \"2.41-12\"", "version = \"\"", "`` is no version", "", "\"\""),
        ("architecture = \"all\"", "architecture = \"arm64\"", "tzdata is for `arm64`, not for amd64", "`all` or `amd64`", "\"arm64\""),
        ("from = \"debian/trixie\"", "from = \"debian/trixi\"", "base-files comes from `debian/trixi`", "there is debian/trixie", "\"debian/trixi\""),
        ("pool/main/libc6_amd64.deb", "pool/../../x", "libc6 has a path that leaves", "`..`", "\"pool/"),
        ("pool/main/libc6_amd64.deb", "/pool/x", "libc6 has a path that leaves", "absolute", "\"/pool"),
        ("size = 4096", "size = 80000000000", "base-files cannot have 80000000000 bytes", "at most", "80000000000"),
        ("size = 4096", "size = -1", "the lock cannot be read", "u64", "-1"),
        ("size = 4096", "size = \"4096\"", "the lock cannot be read", "expected u64", "\"4096\""),
        (tz, "size = 4096, sha255 = \"", "the lock cannot be read", "unknown field `sha255`", "sha255"),
        ("  \"base-files\",", "  \"base-filse\",", "the package `base-filse` is not among those of amd64", "there is base-files", "\"base-filse\""),
        ("  \"base-files\",", "  \"tzdata\",", "the package tzdata is named twice in one tier", "the second time", "\"tzdata\""),
        (".tiers.base]", ".tiers.\"a/b\"]", "`a/b` is no tier's name", "without folder", "\"a/b\""),
        ("static = {", "\"\" = {", "`` is no tier", "empty", "\"\""),
        ("static = {", "static = { size = 1 }\nstatic = {", "the lock cannot be read", "duplicate", "static"),
    ];
    let text = sample().to_text();
    for (old, new, message, label, at) in cases {
        assert!(text.contains(old), "{old}");
        let broken = text.replacen(old, new, 1);
        let Err(LockError::Broken(error)) = parse(&broken) else { panic!("{old} -> {new} is taken") };
        assert!(error.message.contains(message), "{new}: {}", error.message);
        assert!(error.label.contains(label), "{new}: {}", error.label);
        assert!(broken[error.span.offset()..].starts_with(at), "{new}: {}", &broken[error.span.offset()..]);
        assert!(error.help.contains("run `debstrata lock`"), "{new}: {}", error.help);
        assert_eq!(LockError::Broken(error).class(), Class::User);
    }
}

#[test]
fn a_newer_schema_is_refused_by_name() {
    let text = sample().to_text().replace("schema = 1", "schema = 2") + "\n[what-is-this]\n";
    let error = parse(&text).unwrap_err();
    assert!(matches!(error, LockError::Newer { schema: 2, .. }));
    assert_eq!(error.to_string(), "the lock was written by a newer debstrata (schema 2; this one knows 1)");
    assert_eq!(error.code().unwrap().to_string(), "debstrata::lock::newer");
}

#[test]
fn layers_of_a_newer_format_are_refused() {
    let lock = Lock { format_version: 3, ..sample() };
    lock.check_format(Path::new("debian13/debstrata.lock"), 3).unwrap();
    lock.check_format(Path::new("debian13/debstrata.lock"), 4).unwrap();
    let error = lock.check_format(Path::new("debian13/debstrata.lock"), 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "debian13/debstrata.lock was written by a newer debstrata (format-version 3; this one writes 2)"
    );
    assert_eq!(error.class(), Class::User);
}

#[test]
fn opt_outs_in_words() {
    assert_eq!(
        sample().opt_outs("debian13"),
        [
            "debian13/local/./: nobody signed it (allow-unsigned)",
            "debian13/local/./: it is past its Valid-Until (allow-expired)"
        ]
    );
}

#[test]
fn a_folder_of_debs_is_a_suite_of_its_own_kind() {
    let mut lock = sample();
    lock.suites.push(TrustRecord {
        id: "debs/.".into(),
        inrelease: Sha256::of(b"index"),
        date: jiff::Timestamp::UNIX_EPOCH,
        valid_until: None,
        signer: None,
        expired: false,
        folder: Some("../debs".into()),
    });
    lock.suites.sort_by(|a, b| a.id.cmp(&b.id));
    let text = lock.to_text();
    let line = format!("  {{ id = \"debs/.\", folder = \"../debs\", index = \"{}\" }},\n", Sha256::of(b"index"));
    assert!(text.contains(&line), "{text}");
    assert_eq!(parse(&text).unwrap(), lock);
    assert_eq!(lock.opt_outs("d")[0], "d/debs/.: nobody signed it: .debs of the folder ../debs");
    for (from, to) in [("folder = ", "signer = \"A\", folder = "), (", index = ", ", inrelease = ")] {
        let error = parse(&text.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains("neither a suite nor a folder"), "{error}");
    }
}

#[test]
fn a_lock_that_cannot_be_written_has_its_own_help() {
    for (kind, expected) in
        [(io::ErrorKind::PermissionDenied, "make its folder writable"), (io::ErrorKind::StorageFull, "free some space")]
    {
        let error = LockError::from(WriteError { path: "debian13/debstrata.lock".into(), source: kind.into() });
        assert_eq!(error.to_string(), "cannot write debian13/debstrata.lock");
        assert_eq!(error.class(), Class::World);
        let help = error.help().unwrap().to_string();
        assert!(help.contains(expected) && !help.contains("another one"), "{help}");
    }
}

#[test]
fn an_unfinished_merge_has_its_own_help() {
    let text = sample().to_text();
    let middle = text.find("  { name = \"libc6\"").unwrap();
    let (above, below) = text.split_at(middle);
    let merged = format!("{above}<<<<<<< HEAD\n{below}");
    let error = parse(&merged).unwrap_err();
    let label = error.labels().unwrap().next().unwrap();
    assert_eq!((label.offset(), label.len()), (middle, "<<<<<<< HEAD".len()));
    assert!(error.help().unwrap().to_string().contains("keep either side of the whole file"));
}

#[test]
fn files_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("debian13").join(FILE_NAME);
    assert!(Lock::read(&path).unwrap().is_none(), "no file, no lock");
    assert!(sample().write(&path).unwrap());
    assert!(!sample().write(&path).unwrap(), "equal bytes are not written again");
    assert_eq!(Lock::read(&path).unwrap(), Some(sample()));

    let mut other = sample();
    other.forget_strays();
    other.outputs.clear();
    assert!(other.write(&path).unwrap());
    assert_eq!(Lock::read(&path).unwrap(), Some(other));

    std::fs::write(&path, b"schema = 1 # \xff").unwrap();
    assert!(matches!(Lock::read(&path), Err(LockError::NotALock { .. })));
    std::fs::File::create(&path).unwrap().set_len((64 << 20) + 1).unwrap();
    let error = Lock::read(&path).unwrap_err();
    assert!(error.to_string().ends_with("debstrata.lock is no lock: longer than 64 MiB"), "{error}");
    let error = Lock::read(folder.path()).unwrap_err();
    assert!(matches!(error, LockError::Read { .. }), "a folder");
    assert_eq!(error.class(), Class::World);
}

#[test]
fn one_package_has_one_version() {
    let mut lock = sample();
    let inputs = lock.architectures.get_mut(&arch("amd64")).unwrap();
    let newer = package("libc6", "2.42-1", "amd64");
    let error = inputs.insert("tools", Sha256::of(b"tools"), [&newer], Vec::new()).unwrap_err();
    let expected = "libc6 is wanted in two versions: 2.42-1 in tier tools, 2.41-12 in tier base";
    assert_eq!(error.to_string(), expected);
    let same = package("libc6", "2.41-12", "amd64");
    inputs.insert("tools", Sha256::of(b"tools"), [&same], Vec::new()).unwrap();
    let own: Vec<_> = lock.packages_of(arch("amd64"), "static").unwrap();
    assert_eq!(own.iter().map(|locked| &*locked.package.name).collect::<Vec<_>>(), ["tzdata", "base-files"]);
    assert!(lock.packages_of(arch("amd64"), "none").is_none());
}

#[test]
fn carrying_over() {
    let old = sample();
    let mut new = sample();
    new.outputs.clear();
    let inputs = new.architectures.get_mut(&arch("amd64")).unwrap();
    inputs.tiers.remove("static");
    inputs.packages.get_mut("libc6").unwrap().unpacked = None;
    let mut other_format = Lock { format_version: 2, ..new.clone() };
    let mut other_deb = new.clone();
    other_deb.architectures.get_mut(&arch("amd64")).unwrap().packages.get_mut("libc6").unwrap().package.sha256 =
        Sha256::of(b"another .deb");
    let unpacked = |lock: &Lock| lock.architectures[&arch("amd64")].packages["libc6"].unpacked;

    new.carry(&old);
    assert_eq!((unpacked(&new), &new.outputs), (Some(Sha256::of(b"unpacked")), &old.outputs));
    new.forget_strays();
    assert!(new.outputs.is_empty(), "its tier is gone");
    let left: Vec<_> = new.architectures[&arch("amd64")].packages.keys().map(|name| &**name).collect();
    assert_eq!(left, ["libc6"]);
    other_format.carry(&old);
    other_deb.carry(&old);
    assert_eq!((unpacked(&other_format), unpacked(&other_deb)), (None, None));
}

fn any_sha256() -> impl Strategy<Value = Sha256> {
    any::<[u8; 32]>().prop_map(Sha256::from_bytes)
}

fn any_package(architecture: Architecture) -> impl Strategy<Value = (Box<str>, Locked)> {
    let size = 0..=1u64 << 36;
    let text = "[a-z0-9+.~%\"\\\\é=#\u{202e}]{1,12}";
    (
        ("[a-z0-9][a-z0-9+.-]{1,12}", "[0-9][0-9a-z.+~-]{0,8}[0-9]"),
        text,
        any::<bool>(),
        size,
        any_sha256(),
        any_sha256(),
    )
        .prop_map(move |((name, version), path, all, size, sha256, unpacked)| {
            let architecture = if all { "all" } else { architecture.name() };
            let path = format!("pool/{path}x").into();
            let package = Package { path, size, sha256, ..package(&name, &version, architecture) };
            (name.into(), Locked { package, unpacked: all.then_some(unpacked) })
        })
}

fn any_inputs(architecture: Architecture) -> impl Strategy<Value = (Architecture, Inputs)> {
    (
        prop::collection::vec(any_package(architecture), 0..6),
        prop::collection::vec(("[a-zé .\"-]{1,8}", any_sha256()), 0..3),
    )
        .prop_map(move |(packages, tiers)| {
            let packages: BTreeMap<_, _> = packages.into_iter().collect();
            let names: Vec<_> = packages.keys().rev().cloned().collect();
            let tiers = tiers
                .into_iter()
                .map(|(name, question)| {
                    (
                        name,
                        LockedTier {
                            saved: None,
                            base: None,
                            question,
                            packages: names.clone(),
                            unmet: names.iter().map(|name| format!("{name} needs \"x\"")).collect(),
                        },
                    )
                })
                .collect();
            (architecture, Inputs { packages, tiers })
        })
}

fn any_output() -> impl Strategy<Value = ((Architecture, String), Output)> {
    (0..8usize, "[a-z0-9.é \"-]{1,8}", any_sha256(), any_sha256(), 0..i64::MAX as u64).prop_map(
        |(row, tier, recipe, tar, size)| {
            let architecture = Architecture::known().nth(row).unwrap();
            ((architecture, tier), Output { recipe, diff_id: DiffId(tar), size })
        },
    )
}

fn any_lock() -> impl Strategy<Value = Lock> {
    let suite = (any_sha256(), 0..253_402_300_799i64, any::<bool>(), any::<bool>(), any::<bool>());
    let inputs = (any_inputs(arch("amd64")), any_inputs(arch("s390x")));
    (any::<u32>(), suite, inputs, prop::collection::vec(any_output(), 0..5)).prop_map(
        |(format_version, (inrelease, seconds, bounded, signed, expired), (one, two), outputs)| Lock {
            format_version,
            suites: vec![TrustRecord {
                id: "debian/trixie".into(),
                inrelease,
                date: jiff::Timestamp::from_second(seconds).unwrap(),
                valid_until: bounded.then(|| jiff::Timestamp::from_second(seconds / 2).unwrap()),
                signer: signed.then(|| "AB".repeat(32)),
                expired,
                folder: None,
            }],
            architectures: BTreeMap::from([one, two]),
            outputs: outputs.into_iter().collect(),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(lock in any_lock()) {
        let text = lock.to_text();
        prop_assert!(text.ends_with('\n') && !text.contains('\u{202e}'), "nothing hides in it");
        let back = parse(&text);
        prop_assert!(back.is_ok(), "{:?}\n{}", back, text);
        let back = back.unwrap();
        prop_assert_eq!(&back, &lock);
        prop_assert_eq!(back.to_text(), text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    /// Damage to a true lock: refused with a place inside the text, or still a lock.
    #[test]
    fn damage_is_refused_or_harmless(at in any::<prop::sample::Index>(), cut in 0..40usize, put in "[\\[\\]{}\",=.0-9a-z\\\\\n]{0,3}") {
        let mut text = sample().to_text();
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        text.replace_range(start..end, &put);
        match parse(&text) {
            Ok(lock) => prop_assert_eq!(parse(&lock.to_text()).unwrap(), lock),
            Err(error) => {
                for label in error.labels().into_iter().flatten() {
                    prop_assert!(label.offset() + label.len() <= text.len());
                }
                prop_assert!(error.help().is_some());
            }
        }
    }
}
