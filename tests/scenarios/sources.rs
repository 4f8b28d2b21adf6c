//! Where packages may come from besides Debian's own archive: folders of .debs, flat repositories,
//! archives that nobody signs, and those of third parties.

use std::fs;

use crate::{
    support::{
        Compression, DebBuilder, Key, Sums, TestArchive, TestSuite,
        deb::{end, entry},
    },
    world::{World, package},
};

const HEAD: &str = "architectures = ['amd64']\n[[sources]]\n";

/// A world whose archive.toml has these lines in the one `[[sources]]`.
fn world(suite: impl FnOnce(&mut TestSuite), folder: &str, source: &str) -> World {
    let mut world = World::new([package("hello", "1.0")], &[("base", "packages = ['hello']")]);
    world.suite.folder = folder.into();
    suite(&mut world.suite);
    world.serve_again();
    world.project.write("archive.toml", format!("{HEAD}{source}\nuris = ['{}']\n", world.server.url()));
    world
}

/// Writes a .deb into the folder `debs` beside archive.toml.
fn put(world: &World, deb: DebBuilder) -> String {
    let deb = deb.build();
    world.project.write(&format!("debs/{}", deb.file_name()), &deb.bytes);
    deb.file_name()
}

/// A world with hello 1.0 in the archive, app 1.0 (which needs hello) in a folder, and a tier of both.
fn with_folder() -> World {
    let world = World::new([package("hello", "1.0")], &[("base", "packages = ['app']")]);
    put(&world, package("app", "1.0").depends("hello"));
    let archive = fs::read_to_string(world.project.file("archive.toml")).unwrap();
    world.project.write("archive.toml", archive + "\n[[sources]]\nfolder = 'debs'\n");
    world
}

#[test]
fn a_folder_of_debs_is_a_source() {
    let world = with_folder();
    world.build().prints(&["opt-out: test/debs/.: nobody signed it: .debs of the folder debs"]);
    assert_eq!(world.locked(), ["app 1.0", "hello 1.0"]);
    let layer = world.layer("base");
    assert_eq!(layer["usr/share/app/file"], "file 0644 0:0 app 1.0");
    assert!(world.lock().contains("{ id = \"debs/.\", folder = \"debs\", index = "));
    assert!(world.lock().contains("from = \"debs/.\", path = \"app_1.0_amd64.deb\""));
    let before = world.lock();
    for run in [&["build", "--locked"][..], &["build", "--offline"], &["audit"], &["lock", "--check"], &["show"]] {
        world.run(run).exits(0);
    }
    assert_eq!(world.lock(), before);
    // Nothing of the cache is needed for it, and no network.
    fs::remove_dir_all(world.path("cache/derived")).unwrap();
    let asked = world.asked();
    world.run(&["build", "--locked", "--offline"]).exits(0);
    world.run(&["lock", "--upgrade", "--offline"]).exits(0);
    assert_eq!((world.asked(), world.lock()), (asked, before));
}

#[test]
fn a_deb_that_was_built_again_makes_the_lock_stale() {
    let world = with_folder();
    world.build();
    put(&world, package("app", "1.0").depends("hello").file("/new", 0o644, "x"));
    let says = ["debs/app_1.0_amd64.deb changed since the lock", "lock --upgrade app"];
    for run in [&["build", "--locked"][..], &["audit"], &["show"]] {
        world.run(run).exits(2).says(&says);
    }
    world.run(&["lock", "--check"]).exits(1).prints(&["changed since the lock"]);
    // The old bytes are in the cache, and are not taken for the folder's.
    world.build().says(&["changed since the lock"]);
    assert_eq!(world.layer("base")["new"], "file 0644 0:0 x");
    world.run(&["build", "--locked"]).exits(0);
    // A newer version beside it is an upgrade and waits to be asked for, as with every source.
    put(&world, package("app", "1.1").depends("hello"));
    world.run(&["build", "--locked"]).exits(0);
    assert_eq!(world.locked(), ["app 1.0", "hello 1.0"]);
    put(&world, package("app", "1.0").depends("hello"));
    world.run(&["lock"]).exits(0);
    assert_eq!(world.locked(), ["app 1.0", "hello 1.0"]);
    world.run(&["lock", "--upgrade", "app"]).exits(0);
    assert_eq!(world.locked(), ["app 1.1", "hello 1.0"]);
    // One that is gone is replaced by what is there.
    fs::remove_file(world.project.file("debs/app_1.1_amd64.deb")).unwrap();
    world.run(&["build", "--locked"]).exits(2).says(&["debs/app_1.1_amd64.deb is gone since the lock"]);
    world.build();
    assert_eq!(world.locked(), ["app 1.0", "hello 1.0"]);
}

#[test]
fn priority_and_architectures_count_for_folders() {
    let world = with_folder();
    put(&world, package("hello", "0.9"));
    world.build();
    assert_eq!(world.locked(), ["app 1.0", "hello 1.0"]);
    world.edit_archive("folder = 'debs'", "folder = 'debs'\npriority = 600");
    world.run(&["lock", "--upgrade"]).exits(0);
    assert_eq!(world.locked(), ["app 1.0", "hello 0.9"]);
    world.edit_archive("[\"amd64\"]", "[\"amd64\", \"arm64\"]");
    world.edit_archive("priority = 600", "architectures = ['arm64']");
    world.run(&["build"]).exits(2).says(&["app", "no package is called"]);
    // Anywhere beside the project, as a file of [[files]].
    fs::rename(world.project.file("debs"), world.path("built")).unwrap();
    world.edit_archive("folder = 'debs'\narchitectures = ['arm64']", "folder = '../../built'");
    world.edit_archive("[\"amd64\", \"arm64\"]", "[\"amd64\"]");
    world.build();
    assert!(world.lock().contains("{ id = \"built/.\", folder = \"../../built\""));
}

#[test]
fn what_lies_in_a_folder_must_be_packages() {
    let control = |text: &str| {
        let mut tar = Vec::new();
        entry(&mut tar, b"./control", b'0', 0o644, (0, 0), b"", text.as_bytes());
        DebBuilder::new("x", "1").control_tar(end(tar)).build().bytes
    };
    let good = "Package: x\nVersion: 1\nArchitecture: amd64\n";
    for (name, bytes, says) in [
        ("x.deb", b"no package".to_vec(), "debs/x.deb cannot be used: not a .deb"),
        ("x.deb", Vec::new(), "debs/x.deb cannot be used: not a .deb"),
        ("\u{e9}.deb", control(good), "its name has characters other than printable ASCII"),
        (
            "x.deb",
            control("Package: x\nArchitecture: amd64\n"),
            "debs/x.deb cannot be used: control: the field Version",
        ),
        ("x.deb", control(&good.replace('1', "v 1")), "debs/x.deb cannot be used: control: the version"),
        (
            "x.deb",
            control(&format!("{good}Size: 1\n")),
            "debs/x.deb cannot be used: control: line 6 (package x): the field Size",
        ),
        (
            "x.deb",
            control(&format!("{good}Provides: a b\n")),
            "debs/x.deb cannot be used: control: Provides has an item",
        ),
        (
            "x.deb",
            control(&format!("{good}\n{good}")),
            "debs/x.deb cannot be used: control: it has more than one stanza",
        ),
    ] {
        let world = with_folder();
        world.project.write(&format!("debs/{name}"), bytes);
        world.run(&["build"]).exits(2).says(&[says]);
    }
    let world = with_folder();
    let other = package("app", "1.0").build();
    world.project.write("debs/app-again.deb", &other.bytes);
    world.run(&["build"]).exits(2).says(&[
        "app 1.0 (amd64) is there twice, as different files: app-again.deb and app_1.0_amd64.deb",
        "folder = 'debs'",
    ]);
    // The same bytes under two names are one package.
    fs::copy(world.project.file("debs/app_1.0_amd64.deb"), world.project.file("debs/app-again.deb")).unwrap();
    world.build();
    world.edit_archive("folder = 'debs'", "folder = 'nothing'");
    world.run(&["build"]).exits(2).says(&["the folder \"nothing\" cannot be read"]);
    world.edit_archive("folder = 'nothing'", "folder = 'debs'\nsuites = ['x']");
    world.run(&["build"]).exits(2).says(&["a folder of .debs has no `suites`"]);
}

#[test]
fn flat_repositories() {
    for (folder, written, from_folder) in
        [("./", "./", false), ("./", "/", false), ("debs/", "debs/", false), ("debs/", "./debs/", true)]
    {
        let flat = |suite: &mut TestSuite| {
            (suite.suite, suite.codename, suite.from_folder) = (None, None, from_folder);
            suite.forms = vec![Compression::None, Compression::Gz];
        };
        let world = world(flat, folder, &format!("suites = ['{written}']\nsigned-by = 'keys.asc'"));
        world.build();
        assert!(world.layer("base").contains_key("usr/share/hello/file"), "{written}");
        let signer = format!("signer = \"{}\"", world.key.fingerprint());
        assert!(world.lock().contains(&signer), "{}", world.lock());
        world.run(&["build", "--locked", "--offline"]).exits(0);
        world.run(&["audit"]).exits(0).silent_on(&["opt-out"]);
    }
}

#[test]
fn flat_repositories_that_nobody_signs() {
    // What is there of InRelease, Release and the index.
    for (inrelease, release, form) in [
        (true, false, Compression::Gz),
        (false, true, Compression::Xz),
        (false, false, Compression::Xz),
        (false, false, Compression::Gz),
        (false, false, Compression::None),
    ] {
        let flat = |suite: &mut TestSuite| {
            suite.signers.clear();
            (suite.forms, suite.list_plain) = (vec![form], form == Compression::None);
        };
        let world = world(flat, "./", "suites = ['./']\nallow-unsigned = true");
        let text = world.suite.inrelease();
        if release {
            world.server.put("/Release", text);
        }
        if !inrelease {
            world.server.remove("/InRelease");
        }
        let told = "opt-out: test/source-1/./: nobody signed it (allow-unsigned)";
        for _ in 0..2 {
            world.build().prints(&[told]);
        }
        assert!(world.lock().contains("id = \"source-1/./\""));
        assert!(world.lock().contains("unsigned = true"));
        world.run(&["audit"]).exits(0).prints(&[told]);
        world.run(&["lock", "--upgrade", "--offline"]).exits(0).prints(&[told, "nothing to change"]);
        // Without the word for it, nothing of this is taken.
        world.edit_archive("allow-unsigned = true", "signed-by = 'keys.asc'");
        let run = world.run(&["build"]);
        assert!(matches!(run.status, Some(2 | 3)), "{run:?}");
    }
}

#[test]
fn an_unsigned_repository_that_is_not_there_says_so() {
    let world = world(|suite| suite.signers.clear(), "./", "suites = ['./']\nallow-unsigned = true");
    world.server.replace(Default::default());
    world.run(&["build"]).exits(2).says(&["InRelease", "no mirror has this suite"]);
    // A suite with components has a Release at least.
    let world =
        self::world(|suite| suite.signers.clear(), "x", "suites = ['x']\ncomponents = ['main']\nallow-unsigned = true");
    world.suite.codename.clone().unwrap();
    world.server.remove("/dists/x/InRelease");
    world.run(&["build"]).exits(2).says(&["InRelease"]);
    let mut suite = world.suite.clone();
    suite.codename = Some("x".into());
    world.server.put("/dists/x/Release", suite.inrelease());
    world.build().prints(&["nobody signed it"]);
}

#[test]
fn repositories_of_third_parties() {
    type Change = fn(&mut TestSuite);
    let cases: [(&str, Change); 6] = [
        ("stable/updates", |suite| suite.codename = Some("stable/updates".into())),
        // As apt takes it: the folder below a suite's, under the suite's name.
        ("trixie/vendor/8.0", |suite| suite.codename = Some("trixie/vendor".into())),
        ("nodistro", |suite| (suite.suite, suite.codename) = (Some("nodistro".into()), None)),
        ("nodistro", |suite| (suite.suite, suite.codename) = (None, Some("nodistro".into()))),
        ("trixie", |suite| suite.more_fields = "Origin2: x\nDescription: a vendor\n".into()),
        ("trixie", |suite| (suite.sums, suite.by_hash) = (Sums::Both, false)),
    ];
    for (name, change) in cases {
        let lines =
            format!("suites = ['{name}']\ncomponents = ['main']\nsigned-by = 'keys.asc'\narchitectures = ['amd64']");
        let world = world(change, name, &lines);
        world.build();
        assert!(world.lock().contains(&format!("id = \"source-1/{name}\"")));
        world.run(&["audit"]).exits(0);
    }
    // Neither another suite's Release, nor that of one two folders above.
    for codename in ["bookworm", "trixie", "vendor"] {
        let change = |suite: &mut TestSuite| suite.codename = Some(codename.into());
        let lines = "suites = ['trixie/vendor/8.0']\ncomponents = ['main']\nsigned-by = 'keys.asc'";
        let world = world(change, "trixie/vendor/8.0", lines);
        world.run(&["build"]).exits(2).says(&["asks for suite \"trixie/vendor/8.0\"", codename]);
    }
    // A key of its own, beside Debian's: each source is judged by the keyring that it names.
    let world = World::new([package("hello", "1.0")], &[("base", "packages = ['hello', 'tool']")]);
    let vendor = Key::new("vendor");
    let mut suite = TestSuite::new("tools", &vendor);
    suite.packages = vec![("main".into(), package("tool", "3").build())];
    let server = TestArchive::new([suite]).serve();
    let more = format!(
        "\n[[sources]]\nsuites = ['tools']\ncomponents = ['main']\nsigned-by = 'vendor.asc'\nuris = ['{}']\n",
        server.url()
    );
    let archive = fs::read_to_string(world.project.file("archive.toml")).unwrap();
    world.project.write("archive.toml", archive + &more);
    world.project.write("vendor.asc", vendor.armoured());
    world.build();
    assert_eq!(world.locked(), ["hello 1.0", "tool 3"]);
    world.edit_archive("vendor.asc", "keys.asc");
    world.run(&["build"]).exits(3).says(&["source-2/tools", "no valid signature of a key in keys.asc"]);
}

#[test]
fn keyrings_that_vouch_for_nothing() {
    let world = World::small();
    let foreign = Key::new("foreign");
    for (bytes, status, says) in [
        (foreign.armoured(), 3, "no valid signature of a key in keys.asc"),
        (foreign.binary(), 3, "which is not in the keyring"),
        (Vec::new(), 2, "the keyring \"keys.asc\" is empty"),
        (b"\n \n".to_vec(), 2, "the keyring keys.asc of source-1 cannot be used: no public key in it"),
        (b"hello".to_vec(), 2, "no public key in it"),
        (b"\x99\x01\xff\xff\xff".to_vec(), 2, "the keyring keys.asc of source-1 cannot be used"),
        (b"\xff\xff\xff\xff\xff\xff\xff".to_vec(), 2, "the keyring keys.asc of source-1 cannot be used"),
        (foreign.armoured()[..200].to_vec(), 2, "the last ASCII-armour block does not end"),
        (foreign.secret(), 2, "keys.asc"),
        (vec![0x99; 1 << 20], 2, "keys.asc"),
        (vec![b'x'; (1 << 20) + 1], 2, "the keyring \"keys.asc\" cannot be read"),
    ] {
        world.project.write("keys.asc", &bytes);
        world.run(&["build"]).exits(status).says(&[says]);
    }
}

#[test]
fn indexes_that_cannot_be_used() {
    let stanza =
        |more: &str| format!("Package: x\nVersion: 1\nArchitecture: amd64\nFilename: pool/x.deb\nSize: 1\n{more}\n");
    let sum = |digit: &str| format!("SHA256: {}\n", digit.repeat(64));
    for (text, says) in [
        (
            stanza(&sum("1")) + &stanza(&sum("2")),
            "line 8 (package x): version 1 for amd64 stands here twice, as different files: pool/x.deb and pool/x.deb",
        ),
        (stanza("Size: 2\n"), "line 6 (package x): the field Size stands here twice"),
        (stanza("").replace("Version: 1\n", ""), "line 1 (package x): the stanza has no Version"),
        (stanza(&format!("Depends: {}\n", "x, ".repeat(2 << 20))), "line 1 (package x): the stanza is larger than"),
        (stanza(&format!("Depends: {}\n", "x,\n ".repeat(2 << 20))), "line 1 (package x): the stanza is larger than"),
        ("\n".repeat(1 << 20) + "x", "line 1048577: this line has no `Field:`"),
    ] {
        let mut world = World::small();
        world.publish(|suite| (suite.text, suite.forms) = (Some(text), vec![Compression::Gz]));
        world.run(&["build"]).exits(3).says(&["the Packages file of source-1/trixie cannot be read", says]);
    }
}

#[test]
fn a_million_lines_and_more_are_read() {
    let mut world = World::small();
    let many: String = (0..100_000)
        .map(|at| {
            format!("Package: x{at}\nVersion: 1\nArchitecture: amd64\nDescription: x\n y\n .\n z\nHomepage: x\nTag: a,\n b\nFilename: x\nSize: 1\n\n")
        })
        .collect();
    let text = many + &world.suite.packages_text("main", "amd64");
    assert!(text.lines().count() > 1_000_000);
    world.publish(|suite| (suite.text, suite.forms) = (Some(text), vec![Compression::Gz]));
    world.build();
}

#[test]
fn a_deb_that_is_not_what_its_index_says() {
    for (field, lie) in
        [("Package", "Package: other"), ("Version", "Version: 2.0"), ("Architecture", "Architecture: all")]
    {
        let mut world = World::small();
        world.publish(|suite| {
            let (_, deb) = suite.packages.iter_mut().find(|(_, deb)| deb.name == "hello").unwrap();
            let honest = deb.control.lines().find(|line| line.starts_with(field)).unwrap().to_owned();
            deb.control = deb.control.replace(&honest, lie);
        });
        let wish = if field == "Package" { "packages = ['other']" } else { "packages = ['hello']" };
        world.tier("base", wish);
        let found = format!("its control file says {field}");
        world.run(&["build"]).exits(3).says(&["the package", &found, "its index"]);
    }
}

#[test]
fn an_index_that_was_read_once_is_not_read_again() {
    let world = World::small();
    world.run(&["lock"]).exits(0);
    let lock = world.lock();
    let kept = crate::world::files(&world.path("cache/derived/indexes"));
    assert_eq!(kept.len(), 1);
    // The text is not needed any more: any file of its size will do in its place, since its digest was
    // checked when the table was made of it.
    let table = fs::read(&kept[0]).unwrap();
    for damaged in [Vec::new(), table[..table.len() / 2].to_vec(), vec![0; table.len()], flipped(&table)] {
        fs::write(&kept[0], damaged).unwrap();
        world.run(&["lock", "--upgrade"]).exits(0);
        assert_eq!(world.lock(), lock);
        assert_eq!(fs::read(&kept[0]).unwrap(), table, "made anew");
    }
    // Another index has another key.
    let mut world = world;
    world.publish(|suite| suite.packages.push(("main".into(), package("third", "1").build())));
    world.tier("base", "packages = ['hello', 'third']");
    world.build();
    assert_eq!(crate::world::files(&world.path("cache/derived/indexes")).len(), 2);
    assert_eq!(world.locked(), ["greeting 1.0", "hello 1.0", "third 1"]);
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}
