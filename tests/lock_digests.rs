//! What makes a lock stale, what makes a recipe another one, and what does neither.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use debstrata::{
    archive::Package,
    debian::{Alternative, Architecture, Operator, Relation},
    evidence::changes::table,
    ground::{Class, DiffId, Failure, RootPath, Sha256, Source, Spanned},
    lock::{
        Ingredients, Inputs, Lock, Output, archive_digests, changes, judge, linked_digest, question_digest, recipe,
        staleness,
    },
    manifest::{
        Archive, ArchiveSource, CaCertificates, DebFolder, Dependencies, Directory, File, FileContent, Generate, Glob,
        GlobRule, Globs, Group, Keyring, Missing, Omission, Ownership, Symlink, Tarball, TarballPlace, Tier, User,
        Wish,
    },
    resolve::Question,
};

fn arch(name: &str) -> Architecture {
    name.parse().unwrap()
}

fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, 3..5)
}

fn alternative(name: &str) -> Alternative {
    Alternative {
        name: name.into(),
        qualifier: None,
        suite: None,
        version: Some((Operator::LaterOrEqual, "14".parse().unwrap())),
        architectures: vec!["amd64".into(), "armhf".into()],
        profiles: Vec::new(),
    }
}

fn wish(name: &str) -> Wish {
    Wish { relation: Relation(vec![alternative(name), alternative("other")]), span: 1..2 }
}

fn question() -> Question {
    Question {
        architecture: arch("amd64"),
        wishes: vec![wish("libstdc++6"), wish("libgomp1")],
        dependencies: Dependencies::None,
        omit: vec![
            Omission { package: at("debconf".into()), reason: "scripts are never run".into() },
            Omission { package: at("awk".into()), reason: "none".into() },
        ],
    }
}

fn archive() -> Archive {
    let keyring = Keyring {
        path: "keyrings/debian.asc".into(),
        written: at("keyrings/debian.asc".into()),
        bytes: Arc::from(b"keys".as_slice()),
    };
    let source = |name: &str, suite: &str| ArchiveSource {
        span: 0..9,
        name: name.into(),
        suites: vec![at(suite.into()), at(format!("{suite}-updates"))],
        components: vec![at("main".into())],
        signed_by: Some(keyring.clone()),
        snapshot: Some(at(name.into())),
        uris: vec![at("https://mirror.example.org/debian".into())],
        snapshot_at: None,
        max_age: None,
        architectures: None,
        priority: 500,
        allow_unsigned: false,
        allow_expired: false,
        folder: None,
    };
    let mut security = source("debian-security", "trixie-security");
    security.architectures = Some(vec![at(arch("amd64"))]);
    Archive {
        source: Source::new("archive.toml", ""),
        summary: "Debian 13".into(),
        architectures: vec![at(arch("amd64")), at(arch("s390x"))],
        timestamp: 0,
        merged_usr: true,
        sources: vec![source("debian", "trixie"), security],
    }
}

type Edit<T> = (&'static str, fn(&mut T));

fn edited<T: Clone>(value: &T, edit: fn(&mut T)) -> T {
    let mut other = value.clone();
    edit(&mut other);
    other
}

#[test]
fn what_changes_the_question_of_a_linked_tier() {
    let question = Sha256::of(b"question");
    let globs = |exclude: &str| Globs { tier: rule(&["/**"], &[exclude]), packages: BTreeMap::new() };
    let (own, parents) = (globs("/own"), globs("/parents"));
    let base = linked_digest(question, true, &[&own, &parents], &[missing("a", "because")]);
    assert_eq!(base, linked_digest(question, true, &[&own, &parents], &[missing("a", "another reason")]));
    let others = [
        question,
        linked_digest(Sha256::of(b"other"), true, &[&own, &parents], &[missing("a", "because")]),
        linked_digest(question, false, &[&own, &parents], &[missing("a", "because")]),
        linked_digest(question, true, &[&parents, &own], &[missing("a", "because")]),
        linked_digest(question, true, &[&own], &[missing("a", "because")]),
        linked_digest(question, true, &[&own, &globs("/edited")], &[missing("a", "because")]),
        linked_digest(question, true, &[&own, &parents], &[missing("b", "because")]),
        linked_digest(question, true, &[&own, &parents], &[]),
    ];
    assert!(others.iter().all(|other| *other != base));
}

fn missing(library: &str, reason: &str) -> Missing {
    Missing { library: at(library.to_owned()), reason: reason.to_owned() }
}

#[test]
fn what_changes_a_question() {
    let base = Sha256::of(b"archive");
    let digest = |question: &Question| question_digest(question, base, None);
    let semantic: &[Edit<Question>] = &[
        ("architecture", |q| q.architecture = arch("arm64")),
        ("wish gone", |q| _ = q.wishes.pop()),
        ("order of wishes", |q| q.wishes.reverse()),
        ("name", |q| q.wishes[0].relation.0[0].name = "libstdc++7".into()),
        ("qualifier", |q| q.wishes[0].relation.0[0].qualifier = Some("any".into())),
        ("operator", |q| q.wishes[0].relation.0[0].version.as_mut().unwrap().0 = Operator::Equal),
        ("version", |q| q.wishes[0].relation.0[0].version.as_mut().unwrap().1 = "15".parse().unwrap()),
        ("no version", |q| q.wishes[0].relation.0[0].version = None),
        ("restriction", |q| _ = q.wishes[0].relation.0[0].architectures.remove(0)),
        ("wish excluded", |q| q.wishes[0].relation.0.iter_mut().for_each(|a| a.architectures = vec!["!amd64".into()])),
        ("order of alternatives", |q| q.wishes[0].relation.0.reverse()),
        ("alternative gone", |q| _ = q.wishes[0].relation.0.pop()),
        ("dependencies", |q| q.dependencies = Dependencies::All),
        ("omission gone", |q| _ = q.omit.pop()),
        ("omitted package", |q| q.omit[0].package.value = "debconf2".into()),
    ];
    let mut seen = BTreeMap::from([(digest(&question()), "as it was")]);
    for (what, edit) in semantic {
        let other = seen.insert(digest(&edited(&question(), *edit)), what);
        assert_eq!(other, None, "{what}");
    }
    let cosmetic: &[Edit<Question>] = &[
        ("place of a wish", |q| q.wishes[0].span = 100..200),
        ("place of an omission", |q| q.omit[0].package.span = 100..200),
        ("reason", |q| q.omit[0].reason = "another".into()),
        ("order of omissions", |q| q.omit.reverse()),
        ("order of a restriction", |q| q.wishes[0].relation.0[0].architectures.reverse()),
        ("restriction that still holds", |q| _ = q.wishes[0].relation.0[0].architectures.pop()),
        ("profile that still holds", |q| q.wishes[0].relation.0[0].profiles.push(vec!["!nocheck".into()])),
        ("wish for another architecture", |q| {
            q.wishes.push(Wish { relation: "libatomic1 [arm64]".parse().unwrap(), span: 0..1 });
        }),
    ];
    for (what, edit) in cosmetic {
        assert_eq!(digest(&edited(&question(), *edit)), digest(&question()), "{what}");
    }
    let parents = [None, Some(Sha256::of(b"a")), Some(Sha256::of(b"b"))];
    let mut digests: Vec<_> = parents.map(|parent| question_digest(&question(), base, parent)).into();
    digests.push(question_digest(&question(), Sha256::of(b"another archive"), None));
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 4, "parent and archive count");
}

/// Two values must not have one spelling only because texts stand side by side.
#[test]
fn neighbours_do_not_run_together() {
    let ask = |names: &[&str]| {
        let omit = names.iter().map(|name| Omission { package: at((*name).into()), reason: String::new() });
        question_digest(&Question { omit: omit.collect(), ..question() }, Sha256::of(b""), None)
    };
    let forged = "a\n- 12:package 1:b";
    assert_ne!(ask(&["a", "b"]), ask(&["ab"]));
    assert_ne!(ask(&["a", "b"]), ask(&[forged]));
}

fn debs(path: &str, written: &str) -> DebFolder {
    DebFolder { path: path.into(), written: at(written.into()) }
}

fn tarball(place: &str) -> Tarball {
    Tarball {
        span: 4..5,
        uris: vec![TarballPlace::Uri(place.into())],
        sha256: Sha256::of(b"tarball"),
        size: None,
        strip_components: 1,
        prefix: RootPath::from_absolute(b"/opt").unwrap(),
        globs: rule(&["/opt/**", "/x"], &["/opt/a"]),
    }
}

#[test]
fn what_of_a_tarball_changes_a_recipe() {
    let of = |archives: Vec<Tarball>| {
        let tier = Tier { archives, ..tier() };
        recipe_with(&tier, &[package("b", "1", 1), package("a", "2", 1)], |_| {})
    };
    let one = tarball("https://example.org/x");
    let same = Tarball { span: 7..9, size: Some(1), uris: vec![TarballPlace::Beside("x".into())], ..one.clone() };
    assert_eq!(of(vec![one.clone()]), of(vec![same.clone()]), "only its bytes count");
    let mut turned = one.clone();
    turned.globs.include.reverse();
    assert_eq!(of(vec![one.clone()]), of(vec![turned]), "order of globs");
    let all = [
        recipe_of(|_| {}),
        of(vec![one.clone()]),
        of(vec![one.clone(), same]),
        of(vec![Tarball { sha256: Sha256::of(b"other"), ..one.clone() }]),
        of(vec![Tarball { strip_components: 0, ..one.clone() }]),
        of(vec![Tarball { prefix: RootPath::root(), ..one.clone() }]),
        of(vec![Tarball { globs: GlobRule::default(), ..one }]),
    ];
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
    assert_eq!(recipe_of(|_| {}), of(vec![]), "none is as it was before there were any");
}

#[test]
fn what_changes_an_archive() {
    let semantic: &[Edit<Archive>] = &[
        ("name", |a| a.sources[0].name = "debian2".into()),
        ("suites", |a| a.sources[0].suites[0].value = "forky".into()),
        ("components", |a| a.sources[0].components.push(at("contrib".into()))),
        ("keyring", |a| a.sources[0].signed_by.as_mut().unwrap().bytes = Arc::from(b"other".as_slice())),
        ("moment", |a| a.sources[0].snapshot_at = Some(at("2026-11-01T00:00:00Z".parse().unwrap()))),
        ("age", |a| a.sources[0].max_age = Some(at(Duration::from_secs(86_400)))),
        ("priority", |a| a.sources[0].priority = 400),
        ("unsigned", |a| a.sources[0].allow_unsigned = true),
        ("expired", |a| a.sources[0].allow_expired = true),
        ("folder", |a| a.sources[0].folder = Some(debs("a", "debs"))),
        ("order", |a| a.sources.reverse()),
    ];
    let before = archive_digests(&archive());
    for (what, edit) in semantic {
        // Both sources share the keyring's file, so its bytes are edited in both.
        let mut other = edited(&archive(), *edit);
        let keyring = other.sources[0].signed_by.clone();
        other.sources[1].signed_by = keyring;
        assert_ne!(archive_digests(&other)[&arch("amd64")], before[&arch("amd64")], "{what}");
    }
    let cosmetic: &[Edit<Archive>] = &[
        ("summary", |a| a.summary = "other".into()),
        ("timestamp", |a| a.timestamp = 7),
        ("merged-usr", |a| a.merged_usr = false),
        ("one more architecture", |a| a.architectures.push(at(arch("riscv64")))),
        ("mirrors", |a| a.sources[0].uris.clear()),
        ("snapshot's span", |a| a.sources[0].snapshot.as_mut().unwrap().span = 7..9),
        ("place of the keyring", |a| a.sources[0].signed_by.as_mut().unwrap().path = "keys.asc".into()),
    ];
    for (what, edit) in cosmetic {
        let after = archive_digests(&edited(&archive(), *edit));
        assert_eq!(after[&arch("amd64")], before[&arch("amd64")], "{what}");
    }
    // The security source serves amd64 alone, so an edit of it leaves s390x as it was.
    let after = archive_digests(&edited(&archive(), |a| a.sources[1].priority = 900));
    assert_ne!(after[&arch("amd64")], before[&arch("amd64")]);
    assert_eq!(after[&arch("s390x")], before[&arch("s390x")]);
    // Where nobody signs, the place is all there is.
    let unsigned = edited(&archive(), |a| a.sources[0].allow_unsigned = true);
    let moved = edited(&unsigned, |a| a.sources[0].uris[0].value = "https://mirror.example.org/x".into());
    assert_ne!(archive_digests(&unsigned)[&arch("amd64")], archive_digests(&moved)[&arch("amd64")]);
}

fn path(text: &str) -> Spanned<RootPath> {
    at(RootPath::from_absolute(text.as_bytes()).unwrap())
}

fn rule(include: &[&str], exclude: &[&str]) -> GlobRule {
    let globs = |list: &[&str]| list.iter().map(|glob| at(Glob((*glob).into()))).collect();
    GlobRule { include: globs(include), exclude: globs(exclude) }
}

fn tier() -> Tier {
    let root = Ownership { uid: 0, gid: 0 };
    let user = |name: &str, uid| User {
        span: 4..5,
        name: name.into(),
        uid,
        gid: uid,
        gecos: name.into(),
        home: Some(RootPath::from_absolute(b"/home/x").unwrap()),
        home_mode: 0o700,
        shell: "/sbin/nologin".into(),
    };
    let group = |name: &str, gid| Group { span: 4..5, name: name.into(), gid, members: vec!["a".into(), "b".into()] };
    let directory = |place: &str| Directory { path: path(place), mode: 0o755, owner: root.clone() };
    let link = |place: &str| Symlink { path: path(place), target: "/bin/x".into() };
    let text = FileContent::Text("text\n".into());
    let file = |place: &str, content| File { path: path(place), content, mode: 0o644, owner: root.clone() };
    Tier {
        source: Source::new("static.toml", ""),
        name: "static".into(),
        summary: "one line".into(),
        parent: None,
        packages: question().wishes,
        dependencies: Dependencies::None,
        omit: question().omit,
        allow_missing: Vec::new(),
        allow_scripts: Vec::new(),
        globs: Globs {
            tier: rule(&["/usr/**", "/etc/**"], &["/usr/share/man/**", "/x"]),
            packages: BTreeMap::from([("ca-certificates".into(), at(rule(&["/a"], &[])))]),
        },
        users: vec![user("root", 0), user("nonroot", 65532)],
        groups: vec![group("root", 0), group("staff", 50)],
        directories: vec![directory("/tmp"), directory("/root")],
        symlinks: vec![link("/a"), link("/b")],
        files: vec![file("/etc/a", text), file("/etc/b", FileContent::Beside("beside".into()))],
        image: Default::default(),
        variants: Vec::new(),
        checks: Default::default(),
        stands_for: None,
        base: None,
        archives: Vec::new(),
        generate: Generate {
            ca_certificates: Some(at(CaCertificates::Bundle)),
            os_release: Some(at(vec![("ID".into(), "debian".into()), ("NAME".into(), "x".into())])),
            ..Generate::default()
        },
    }
}

fn package(name: &str, version: &str, size: u64) -> Package {
    Package {
        name: name.into(),
        version: version.parse().unwrap(),
        architecture: "amd64".into(),
        source: name.into(),
        from: "debian/trixie".into(),
        path: format!("pool/{name}.deb").into(),
        size,
        sha256: Sha256::of(format!("{name} {version} {size}").as_bytes()),
    }
}

fn recipe_of(change: impl FnOnce(&mut Ingredients<'_>)) -> Sha256 {
    recipe_with(&tier(), &[package("b", "1", 1), package("a", "2", 1)], change)
}

fn recipe_with(tier: &Tier, packages: &[Package], change: impl FnOnce(&mut Ingredients<'_>)) -> Sha256 {
    let packages: Vec<&Package> = packages.iter().collect();
    let mut ingredients = Ingredients {
        format_version: 1,
        timestamp: 0,
        merged_usr: true,
        architecture: arch("amd64"),
        parent: None,
        packages: &packages,
        tier,
    };
    change(&mut ingredients);
    recipe(&ingredients, |_: &Path| Ok::<_, Infallible>(Sha256::of(b"beside"))).unwrap()
}

#[test]
fn what_changes_a_recipe() {
    let semantic: &[Edit<Tier>] = &[
        ("include", |t| _ = t.globs.tier.include.pop()),
        ("exclude", |t| _ = t.globs.tier.exclude.pop()),
        ("include to exclude", |t| {
            let glob = t.globs.tier.include.pop().unwrap();
            t.globs.tier.exclude.push(glob);
        }),
        ("a package's globs", |t| t.globs.packages.clear()),
        ("a package's include", |t| {
            t.globs.packages.get_mut("ca-certificates").unwrap().value.include[0].value = Glob("/b".into());
        }),
        ("users", |t| _ = t.users.pop()),
        ("order of users", |t| t.users.reverse()),
        ("user's name", |t| t.users[1].name = "x".into()),
        ("uid", |t| t.users[1].uid = 1),
        ("gid", |t| t.users[1].gid = 1),
        ("gecos", |t| t.users[1].gecos = String::new()),
        ("home", |t| t.users[1].home = None),
        ("home at the root", |t| t.users[1].home = Some(RootPath::root())),
        ("home's mode", |t| t.users[1].home_mode = 0o750),
        ("shell", |t| t.users[1].shell = "/bin/sh".into()),
        ("order of groups", |t| t.groups.reverse()),
        ("group's name", |t| t.groups[1].name = "x".into()),
        ("group's gid", |t| t.groups[1].gid = 1),
        ("order of members", |t| t.groups[1].members.reverse()),
        ("directory", |t| _ = t.directories.pop()),
        ("directory's path", |t| t.directories[0].path = path("/var")),
        ("directory's mode", |t| t.directories[0].mode = 0o1777),
        ("directory's uid", |t| t.directories[0].owner.uid = 1),
        ("directory's gid", |t| t.directories[0].owner.gid = 1),
        ("symlink's path", |t| t.symlinks[0].path = path("/c")),
        ("symlink's target", |t| t.symlinks[0].target = "x".into()),
        ("file's path", |t| t.files[0].path = path("/etc/c")),
        ("file's text", |t| t.files[0].content = FileContent::Text("other".into())),
        ("file's mode", |t| t.files[0].mode = 0o600),
        ("file's uid", |t| t.files[0].owner.uid = 1),
        ("file's gid", |t| t.files[0].owner.gid = 1),
        ("ca-certificates", |t| t.generate.ca_certificates = None),
        ("os-release", |t| t.generate.os_release = None),
        ("order of os-release", |t| t.generate.os_release.as_mut().unwrap().value.reverse()),
        ("dpkg-status", |t| t.generate.dpkg_status = false),
        ("ld-so-cache", |t| t.generate.ld_so_cache = Some(1..2)),
        ("hashed certificates", |t| t.generate.ca_certificates = Some(at(CaCertificates::Hashed))),
        ("no certificates", |t| t.generate.ca_certificates = Some(at(CaCertificates::Off))),
        ("keystore", |t| t.generate.java_keystore = Some(at(true))),
        ("no keystore", |t| t.generate.java_keystore = Some(at(false))),
        ("locales", |t| t.generate.locales = Some(vec![at("C.utf8".into())])),
        ("timezone", |t| t.generate.timezone = Some(at("Etc/UTC".into()))),
        ("alternatives", |t| t.generate.alternatives = false),
        ("sysusers", |t| t.generate.sysusers = false),
        ("tmpfiles", |t| t.generate.tmpfiles = false),
        ("scripts", |t| t.generate.scripts = false),
    ];
    let own = [package("b", "1", 1), package("a", "2", 1)];
    let mut seen = BTreeMap::from([(recipe_of(|_| {}), "as it was")]);
    for (what, edit) in semantic {
        let other = seen.insert(recipe_with(&edited(&tier(), *edit), &own, |_| {}), what);
        assert_eq!(other, None, "{what}");
    }
    for (what, digest) in [
        ("format version", recipe_of(|i| i.format_version = 2)),
        ("timestamp", recipe_of(|i| i.timestamp = 1)),
        ("merged-usr", recipe_of(|i| i.merged_usr = false)),
        ("architecture", recipe_of(|i| i.architecture = arch("arm64"))),
        ("parent", recipe_of(|i| i.parent = Some(Sha256::of(b"parent")))),
        ("no packages", recipe_of(|i| i.packages = &[])),
        ("order of packages", recipe_with(&tier(), &[own[1].clone(), own[0].clone()], |_| {})),
        ("version", recipe_with(&tier(), &[package("b", "1.1", 1), own[1].clone()], |_| {})),
        ("bytes of a .deb", recipe_with(&tier(), &[package("b", "1", 2), own[1].clone()], |_| {})),
    ] {
        assert_eq!(seen.insert(digest, what), None, "{what}");
    }
}

#[test]
fn what_does_not_change_a_recipe() {
    let cosmetic: &[Edit<Tier>] = &[
        ("text of the manifest, comments", |t| t.source = Source::new("x.toml", "# comment")),
        ("name", |t| t.name = "x".into()),
        ("summary", |t| t.summary = "x".into()),
        ("index of the parent", |t| t.parent = Some(at(3))),
        ("wishes that got the same packages", |t| t.packages.reverse()),
        ("libraries that may be missing", |t| t.allow_missing = vec![missing("libx.so.1", "plugin")]),
        ("dependencies that brought nothing", |t| t.dependencies = Dependencies::All),
        ("accepted scripts", |t| t.allow_scripts = question().omit),
        ("reason of an omission", |t| t.omit[0].reason = "x".into()),
        ("order of includes", |t| t.globs.tier.include.reverse()),
        ("a glob twice", |t| t.globs.tier.exclude.push(at(Glob("/x".into())))),
        ("order of directories", |t| t.directories.reverse()),
        ("order of symlinks", |t| t.symlinks.reverse()),
        ("order of files", |t| t.files.reverse()),
        ("text moved to a file", |t| t.files[1].content = FileContent::Text("beside".into())),
        ("name of the file beside", |t| t.files[1].content = FileContent::Beside("other".into())),
        ("places", |t| {
            t.users[0].span = 70..80;
            t.groups[0].span = 70..80;
            t.directories[0].path.span = 70..80;
            t.symlinks[0].path.span = 70..80;
            t.files[0].path.span = 70..80;
            t.globs.tier.include[0].span = 70..80;
            t.generate.ca_certificates.as_mut().unwrap().span = 70..80;
            t.generate.os_release.as_mut().unwrap().span = 70..80;
        }),
    ];
    let own = [package("b", "1", 1), package("a", "2", 1)];
    for (what, edit) in cosmetic {
        assert_eq!(recipe_with(&edited(&tier(), *edit), &own, |_| {}), recipe_of(|_| {}), "{what}");
    }
    let moved = Package { path: "x".into(), from: "x/y".into(), source: "x".into(), ..own[0].clone() };
    assert_eq!(recipe_with(&tier(), &[moved, own[1].clone()], |_| {}), recipe_of(|_| {}), "another place of a .deb");
}

#[test]
fn a_source_file_that_cannot_be_read_is_handed_on() {
    let ingredients = Ingredients {
        format_version: 1,
        timestamp: 0,
        merged_usr: true,
        architecture: arch("amd64"),
        parent: None,
        packages: &[],
        tier: &tier(),
    };
    assert_eq!(recipe(&ingredients, |path| Err(path.to_owned())), Err(PathBuf::from("beside")));
}

fn locked(packages: &[(&str, &[Package])]) -> Lock {
    let mut lock = Lock::default();
    for (architecture, packages) in packages {
        let mut inputs = Inputs::default();
        inputs.insert("base", Sha256::of(b"base"), *packages, Vec::new()).unwrap();
        lock.architectures.insert(arch(architecture), inputs);
    }
    lock
}

#[test]
fn stale_tiers_are_named() {
    let lock = locked(&[("amd64", &[]), ("arm64", &[])]);
    let key = |architecture: &str, tier: &str| (arch(architecture), tier.to_owned());
    let fresh =
        BTreeMap::from([(key("amd64", "base"), Sha256::of(b"base")), (key("arm64", "base"), Sha256::of(b"base"))]);
    let stale = staleness(&lock, &fresh);
    assert!(stale.is_fresh());
    assert_eq!(stale.to_string(), "up to date");

    let mut wanted = fresh.clone();
    wanted.insert(key("amd64", "base"), Sha256::of(b"edited"));
    wanted.insert(key("amd64", "cc"), Sha256::of(b"cc"));
    wanted.insert(key("riscv64", "cc"), Sha256::of(b"cc"));
    wanted.remove(&key("arm64", "base"));
    let stale = staleness(&lock, &wanted);
    assert!(!stale.is_fresh());
    assert_eq!(stale.to_string(), "new: cc (amd64 riscv64); changed: base (amd64); removed: base (arm64)");
}

#[test]
fn changes_read_as_a_table() {
    let c = |version, size| package("libc6", version, size);
    let z = package("zlib1g", "1", 1);
    let gone = package("libgone", "1", 999);
    let old = locked(&[
        ("amd64", &[c("2.41-12", 2_800_000), z.clone(), gone.clone()]),
        ("arm64", &[c("2.41-12", 2_700_000), z.clone(), gone]),
        ("s390x", &[c("2.41-11", 2_600_000), package("zlib1g", "1", 7)]),
    ]);
    let new = locked(&[
        ("amd64", &[c("2.41-13", 2_900_000), z.clone()]),
        ("arm64", &[c("2.41-13", 2_750_000), z.clone()]),
        ("s390x", &[c("2.41-13", 2_660_000), package("zlib1g", "1", 8), package("libnew", "3", 12_345)]),
    ]);
    let found = changes(&old, &new);
    let expected = "   package  version             size              architectures
+  libnew   3                   12.3 kB           s390x
-  libgone  1                   999 B             amd64 arm64
~  libc6    2.41-11 -> 2.41-13  2.6 MB -> 2.7 MB  s390x
~  libc6    2.41-12 -> 2.41-13  2.8 MB -> 2.9 MB  amd64 arm64
~  zlib1g   1 (other bytes)     7 B -> 8 B        s390x
1 added, 1 removed, 3 changed
";
    assert_eq!(table(&found), expected, "{}", table(&found));

    let all = changes(&locked(&[("amd64", &[c("1", 1)]), ("arm64", &[c("1", 1)])]), &Lock::default());
    assert!(table(&all).contains("-  libc6    1        1 B   every architecture\n"), "{}", table(&all));
    let json = serde_json::to_value(&all).unwrap();
    let expected = serde_json::json!({
        "added": [],
        "removed": [{
            "name": "libc6",
            "before": { "version": "1", "sizes": { "amd64": 1, "arm64": 1 } },
            "after": null,
            "architectures": ["amd64", "arm64"],
        }],
        "changed": [],
        "architectures": ["amd64", "arm64"],
    });
    assert_eq!(json, expected);
    assert!(changes(&old, &old).is_empty());
    // Rounded as all sizes are.
    let large = changes(&Lock::default(), &locked(&[("amd64", &[c("1", 999_999)])]));
    assert!(table(&large).contains("+  libc6    1        1.0 MB  amd64\n"), "{}", table(&large));
    assert_eq!(table(&changes(&old, &old)), "no package changes\n");
}

#[test]
fn verdicts() {
    let output =
        |recipe: &[u8], tar: &[u8]| Output { recipe: Sha256::of(recipe), diff_id: DiffId(Sha256::of(tar)), size: 1024 };
    let built = output(b"recipe", b"tar");
    let judge = |recorded: Option<Output>| judge("debian13/cc", arch("arm64"), recorded.as_ref(), &built, 1);
    for fine in [None, Some(built), Some(output(b"other", b"other")), Some(output(b"other", b"tar"))] {
        judge(fine).unwrap();
    }
    let error = judge(Some(output(b"recipe", b"other"))).unwrap_err();
    assert_eq!(error.class(), Class::User);
    assert!(error.to_string().starts_with("debian13/cc for arm64 is not reproducible"), "{error}");
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(
        help.contains("format-version 1 ") && help.contains("`debstrata audit debian13/cc --arch arm64`"),
        "{help}"
    );
}
