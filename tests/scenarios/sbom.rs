//! `sbom`: bills of materials, licences, files and provenance.

use std::{collections::BTreeMap, fs};

use debstrata::ground::Sha256;
use serde_json::{Value, json};

use crate::{
    support::DebBuilder,
    world::{Run, World, package},
};

const HEAD: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n";

/// A package with a copyright file.
fn licensed(name: &str, version: &str, copyright: impl AsRef<[u8]>) -> DebBuilder {
    package(name, version).file(format!("/usr/share/doc/{name}/copyright"), 0o644, copyright)
}

/// A tier with one of everything, on another one.
fn world() -> World {
    let os = "NAME=\"Test\"\nID=debian\nVERSION_ID=\"13\"\n";
    let cxx = licensed(
        "libc++1",
        "1:2~rc1+b1",
        format!("{HEAD}Files: *\nLicense: GPL-2+ or mine\n\nLicense: mine\n You may.\n"),
    )
    .field("Source", "llvm (1:2~rc1)")
    .field("Maintainer", "Some Team <team@example.org>")
    .field("Homepage", "https://example.org/");
    World::new(
        [
            licensed("hello", "1.0", format!("{HEAD}Files: *\nLicense: Expat\n")).file(
                "/usr/lib/os-release",
                0o644,
                os,
            ),
            cxx.symlink("/usr/share/libc++1/link", "file"),
            package("bare", "3"),
            package("linked", "1").symlink("/usr/share/doc/linked", "hello"),
        ],
        &[
            ("base", "packages = ['hello']"),
            (
                "top",
                "parent = 'base'\npackages = ['libc++1', 'bare', 'linked']\n\
                 [[groups]]\nname = 'us'\ngid = 1\n[[users]]\nname = 'me'\nuid = 1\ngid = 1\n\
                 [[files]]\npath = '/etc/motd'\ntext = 'hello'\nowner = 1\n",
            ),
        ],
    )
}

fn sbom(world: &World, arguments: &[&str]) -> Run {
    world.run(&[&["sbom"], arguments].concat()).exits(0)
}

/// A document without what differs between versions of the program.
fn shown(text: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let text = text.replace(&format!("debstrata-{version}"), "debstrata-VERSION");
    let text = text.replace(&format!("\"version\": \"{version}\""), "\"version\": \"VERSION\"");
    let at = |mark: &str| text.find(mark).map(|at| at + mark.len());
    match at("urn:uuid:").or(at("-top-amd64-")) {
        Some(at) => format!("{}UUID{}", &text[..at], &text[at + 36..]),
        None => text,
    }
}

#[test]
fn every_form_is_pinned_and_the_same_every_time() {
    let world = world();
    world.run(&["lock"]).exits(0);
    for form in ["spdx", "cyclonedx", "licenses", "files", "provenance"] {
        let first = sbom(&world, &["top", "--format", form]).stdout;
        for threads in ["1", "7"] {
            let again = world.run_with(&["sbom", "top", "--format", form], &[("RAYON_NUM_THREADS", threads)]).exits(0);
            assert_eq!(again.stdout, first, "{form}");
        }
        let file = world.path("document");
        assert_eq!(sbom(&world, &["top", "--format", form, "--output", file.to_str().unwrap()]).stdout, "");
        assert_eq!(fs::read_to_string(file).unwrap(), first);
        // Signatures have random numbers.
        if form != "provenance" {
            insta::assert_snapshot!(form, shown(&first));
        }
    }
    for form in ["spdx", "cyclonedx"] {
        let first = sbom(&world, &["top", "--format", form, "--files"]).stdout;
        insta::assert_snapshot!(format!("{form}-files"), shown(&first));
    }
}

#[test]
fn names_of_documents_follow_from_what_they_say() {
    let world = world();
    world.run(&["lock"]).exits(0);
    let spdx = || sbom(&world, &["top"]).json()["documentNamespace"].as_str().unwrap().to_owned();
    let cdx = || sbom(&world, &["top", "--format", "cyclonedx"]).json()["serialNumber"].as_str().unwrap().to_owned();
    let before = (spdx(), cdx());
    let uuid = before.1.strip_prefix("urn:uuid:").unwrap();
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "8"));
    world.edit("top.toml", "'hello'", "'hallo'");
    world.run(&["lock"]).exits(0);
    let after = (spdx(), cdx());
    assert_ne!(before.0, after.0);
    assert_ne!(before.1, after.1);
}

#[test]
fn every_path_has_its_line() {
    let world = world();
    world.build();
    let run = sbom(&world, &["top", "--format", "files"]);
    let lines: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut layers = world.layer("base");
    layers.extend(world.layer("top"));
    let listed: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap().trim_start_matches('/')).collect();
    let found: Vec<_> = layers.keys().map(|name| name.trim_start_matches("./").trim_matches(['/', '.'])).collect();
    let sorted = |mut names: Vec<&str>| {
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(sorted(listed), sorted(found));
    let by_path: BTreeMap<_, _> = lines.iter().map(|line| (line["path"].as_str().unwrap(), line)).collect();
    let deb = world.deb("libc++1");
    assert_eq!(
        by_path["/usr/share/libc++1/file"]["origin"],
        json!({
            "package": "libc++1", "version": "1:2~rc1+b1", "architecture": "amd64", "deb_sha256": Sha256::of(&deb.bytes)
        })
    );
    assert_eq!(by_path["/etc/motd"]["origin"], json!({ "manifest": "manifests/test/top.toml:12", "key": "files" }));
    assert_eq!(by_path["/etc/motd"]["user"], "me");
    assert_eq!(by_path["/etc/motd"]["sha256"], json!(Sha256::of(b"hello")));
    assert_eq!(by_path["/usr/share/libc++1/link"]["target"], "file");
    assert_eq!(by_path["/usr/share/hello/file"]["tier"], "test/base");
    assert_eq!(by_path["/etc/motd"]["tier"], "test/top");
    let status = by_path["/var/lib/dpkg/status.d/bare"];
    assert_eq!(
        status["origin"],
        json!({
            "generator": "dpkg-status", "of": "test/top", "manifest": "manifests/test/top.toml", "packages": ["bare"]
        })
    );
}

#[test]
fn provenance_names_the_layer_and_all_that_went_in() {
    let world = world();
    world.run(&["lock"]).exits(0);
    let unbuilt = sbom(&world, &["top", "--format", "provenance"]).stdout;
    world.build();
    let built = sbom(&world, &["top", "--format", "provenance"]);
    assert_eq!(built.stdout, unbuilt, "the digest is the same, recorded or counted");
    let statement = built.json();
    let packed = fs::File::open(world.out("test/amd64/top.tar.gz")).unwrap();
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(packed), &mut tar).unwrap();
    assert_eq!(
        statement["subject"],
        json!([{ "name": "test/amd64/top.tar", "digest": { "sha256": Sha256::of(&tar) } }])
    );
    let definition = &statement["predicate"]["buildDefinition"];
    let digests: BTreeMap<_, _> = definition["resolvedDependencies"]
        .as_array()
        .unwrap()
        .iter()
        .chain(definition["externalParameters"]["manifests"].as_array().unwrap())
        .map(|one| (one["name"].as_str().unwrap().to_owned(), one["digest"]["sha256"].as_str().unwrap().to_owned()))
        .collect();
    let file = |name: &str| Sha256::of(&fs::read(world.path(name)).unwrap()).to_string();
    for name in [
        "manifests/test/archive.toml",
        "manifests/test/base.toml",
        "manifests/test/top.toml",
        "manifests/test/keys.asc",
    ] {
        assert_eq!(digests.get(name), Some(&file(name)), "{name}");
    }
    for name in ["hello", "libc++1", "bare", "linked"] {
        let digest = Sha256::of(&world.deb(name).bytes).to_string();
        assert!(digests.iter().any(|(path, found)| path.contains(name) && *found == digest), "{name}: {digests:?}");
    }
    assert_eq!(digests.keys().filter(|name| name.starts_with("InRelease ")).count(), 1);
}

#[test]
fn licences_are_read_where_globs_keep_them_out() {
    let world = world();
    world.edit("top.toml", "[[groups]]", "[globs]\nexclude = ['/usr/share/doc/libc++1/**']\n[[groups]]");
    world.run(&["lock"]).exits(0);
    let report = sbom(&world, &["top", "--format", "licenses", "--json"]).json();
    let of = |name: &str| {
        let all = report["packages"].as_array().unwrap();
        all.iter().find(|package| package["name"] == name).unwrap().clone()
    };
    assert_eq!(of("libc++1")["copyright"], Value::Null);
    assert!(of("libc++1")["note"].as_str().unwrap().starts_with("the tier does not have the copyright file"));
    assert!(of("libc++1")["licences"].as_str().unwrap().starts_with("GPL-2.0-or-later OR LicenseRef-mine-"));
    assert_eq!(
        (&of("linked")["copyright"], &of("linked")["licences"]),
        (&json!("/usr/share/doc/hello/copyright"), &json!("MIT"))
    );
    assert_eq!(
        (&of("bare")["licences"], &of("bare")["note"]),
        (&json!("NOASSERTION"), &json!("no copyright file was found"))
    );
    assert_eq!(
        report["sources"][2],
        json!({ "name": "linked", "version": "1", "packages": ["linked"] }),
        "{}",
        report["sources"]
    );
}

#[test]
fn hostile_copyright_files_do_no_harm() {
    let mut huge = format!("{HEAD}Files: *\nLicense: Expat\n").into_bytes();
    huge.resize(5 << 20, b'x');
    let long = format!("{HEAD}Files: *\nLicense: {}\n You may.\n", "n".repeat(1 << 20));
    let world = World::new(
        [
            licensed("huge", "1", huge),
            licensed("latin", "1", [HEAD.as_bytes(), b"Files: *\nLicense: caf\xe9\n Pay \xff.\n"].concat()),
            licensed("control", "1", format!("{HEAD}Files: *\nLicense: a\u{1b}[2Jb\n \u{1b}]0;x\u{7}\u{9b}\u{202e}\n")),
            licensed("long", "1", long),
            licensed("empty", "1", ""),
            package("loop", "1").symlink("/usr/share/doc/loop/copyright", "copyright"),
            package("dangling", "1").symlink("/usr/share/doc/dangling", "../../../../../nowhere"),
            package("folder", "1").dir("/usr/share/doc/folder/copyright", 0o755),
        ],
        &[("all", "packages = ['huge', 'latin', 'control', 'long', 'empty', 'loop', 'dangling', 'folder']")],
    );
    world.run(&["lock"]).exits(0);
    for form in ["spdx", "cyclonedx", "licenses", "files"] {
        let run = sbom(&world, &["all", "--format", form]);
        let bad = run.stdout.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(bad, None, "{form}");
        assert!(run.stdout.len() < 2 << 20, "{form}: {}", run.stdout.len());
    }
    let spdx = sbom(&world, &["all"]).json();
    let licence = |name: &str| {
        let all = spdx["packages"].as_array().unwrap();
        all.iter().find(|package| package["name"] == name).unwrap()["licenseDeclared"].as_str().unwrap().to_owned()
    };
    for (name, start) in [
        ("huge", "LicenseRef-copyright-"),
        ("latin", "LicenseRef-caf-"),
        ("control", "LicenseRef-a-2Jb-"),
        ("long", "LicenseRef-nnnnnnnn"),
        ("empty", "LicenseRef-copyright-"),
        ("loop", "NOASSERTION"),
        ("dangling", "NOASSERTION"),
        ("folder", "NOASSERTION"),
    ] {
        assert!(licence(name).starts_with(start), "{name}: {}", licence(name));
    }
}

#[test]
fn what_is_asked_wrongly() {
    let world = world();
    world.run(&["sbom", "top"]).exits(2);
    world.run(&["lock"]).exits(0);
    world.run(&["sbom"]).exits(2);
    world.run(&["sbom", "none"]).exits(2).says(&["none"]);
    world.run(&["sbom", "top", "--format", "files", "--files"]).exits(2).says(&["--files goes with"]);
    world.run(&["sbom", "top", "--format", "pdf"]).exits(2).says(&["possible values"]);
    let before = world.snapshot(&["cache"]);
    sbom(&world, &["base"]);
    assert_eq!(world.snapshot(&["cache"]), before, "nothing is written");
}
