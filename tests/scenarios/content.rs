//! What is in the layers.

use std::{collections::BTreeMap, fs};

use crate::{
    support::DebBuilder,
    world::{World, package},
};

/// The entries of a layer without what every layer with packages has.
fn own(layer: BTreeMap<String, String>) -> BTreeMap<String, String> {
    layer.into_iter().filter(|(path, _)| !path.starts_with("var/") && path != "./").collect()
}

fn table(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
    rows.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect()
}

#[test]
fn modes_owners_and_links_are_the_packages() {
    let deb = DebBuilder::new("tool", "1")
        .dir("/srv/mail", 0o2775)
        .owner(0, 8)
        .file("/usr/bin/a", 0o4755, "linked")
        .hardlink("/usr/bin/b", "/usr/bin/a")
        .symlink("/usr/bin/c", "a")
        .file("/usr/share/secret", 0o640, "s")
        .owner(1, 42);
    let world = World::new([deb], &[("base", "packages = ['tool']")]);
    world.build();
    assert_eq!(
        own(world.layer("base")),
        table(&[
            ("srv/", "dir 0755 0:0"),
            ("srv/mail/", "dir 2775 0:8"),
            ("usr/", "dir 0755 0:0"),
            ("usr/bin/", "dir 0755 0:0"),
            ("usr/bin/a", "file 4755 0:0 linked"),
            ("usr/bin/b", "hardlink -> usr/bin/a"),
            ("usr/bin/c", "link -> a"),
            ("usr/share/", "dir 0755 0:0"),
            ("usr/share/secret", "file 0640 1:42 s"),
        ])
    );
    // The target is filtered out: the other name keeps the content.
    world.edit("base.toml", "packages", "globs.exclude = ['/usr/bin/a']\npackages");
    world.build();
    assert_eq!(world.layer("base")["usr/bin/b"], "file 4755 0:0 linked");
    assert!(!world.layer("base").contains_key("usr/bin/a"));
}

#[test]
fn merged_usr_moves_everything_below_usr() {
    let files = DebBuilder::new("base-files", "1")
        .symlink("/bin", "usr/bin")
        .symlink("/lib", "usr/lib")
        .symlink("/sbin", "usr/sbin")
        .dir("/usr/bin", 0o755);
    let old = DebBuilder::new("old", "1").file("/bin/sh", 0o755, "shell").hardlink("/bin/dash", "/bin/sh").file(
        "/lib/x86_64-linux-gnu/libold.so.1",
        0o644,
        "lib",
    );
    let world = World::new(
        [files, old],
        &[("base", "packages = ['base-files', 'old']\nglobs.exclude = ['/usr/lib/**/libnone*']")],
    );
    let run = world.build();
    run.says(&["\"/usr/lib/**/libnone*\" matches nothing"]);
    let layer = own(world.layer("base"));
    assert_eq!(layer["bin"], "link -> usr/bin");
    assert_eq!(layer["usr/bin/dash"], "file 0755 0:0 shell");
    assert_eq!(layer["usr/bin/sh"], "hardlink -> usr/bin/dash");
    assert_eq!(layer["usr/lib/x86_64-linux-gnu/libold.so.1"], "file 0644 0:0 lib");
    assert!(!layer.keys().any(|path| path.starts_with("bin/") || path.starts_with("lib/")), "{layer:?}");
    // Without it, folders are folders.
    let old = DebBuilder::new("old", "1").file("/bin/sh", 0o755, "shell");
    let world = World::new([old], &[("base", "packages = ['old']")]);
    world.edit_archive("merged-usr = true", "merged-usr = false");
    world.build();
    assert_eq!(world.layer("base")["bin/sh"], "file 0755 0:0 shell");
}

#[test]
fn a_child_layer_holds_what_differs_and_the_folders_above() {
    let parent = package("parent", "1").dir("/usr/share/common", 0o755).file("/usr/share/common/one", 0o644, "1").file(
        "/etc/same",
        0o644,
        "same",
    );
    let child =
        DebBuilder::new("child", "1").file("/usr/share/common/two", 0o644, "2").file("/etc/same", 0o644, "same");
    let world = World::new(
        [parent, child],
        &[
            (
                "base",
                "packages = ['parent']\n[[groups]]\nname = 'root'\ngid = 0\n[[users]]\nname = 'root'\nuid = 0\ngid = 0",
            ),
            (
                "top",
                "parent = 'base'\npackages = ['child']\n[[groups]]\nname = 'app'\ngid = 1000\nmembers = ['root']\n\
                 [[users]]\nname = 'app'\nuid = 1000\ngid = 1000\ngecos = 'The app'\nhome = '/home/app'\nhome-mode = 0o750",
            ),
        ],
    );
    world.build();
    assert_eq!(
        own(world.layer("top")),
        table(&[
            ("etc/", "dir 0755 0:0"),
            ("etc/group", "file 0644 0:0 root:x:0:\napp:x:1000:root"),
            (
                "etc/passwd",
                "file 0644 0:0 root:x:0:0::/nonexistent:/sbin/nologin\napp:x:1000:1000:The app:/home/app:/sbin/nologin"
            ),
            ("home/", "dir 0755 0:0"),
            ("home/app/", "dir 0750 1000:1000"),
            ("usr/", "dir 0755 0:0"),
            ("usr/share/", "dir 0755 0:0"),
            ("usr/share/common/", "dir 0755 0:0"),
            ("usr/share/common/two", "file 0644 0:0 2"),
        ])
    );
    assert_eq!(world.layer("base")["etc/passwd"], "file 0644 0:0 root:x:0:0::/nonexistent:/sbin/nologin");
    // The parent's package is not in the child's list for scanners.
    let status: Vec<_> =
        world.layer("top").into_keys().filter(|path| path.starts_with("var/lib/dpkg/status.d/")).collect();
    assert!(status.iter().all(|path| !path.contains("parent")), "{status:?}");
}

#[test]
fn entries_of_the_manifest() {
    let world = World::new(
        [],
        &[(
            "base",
            "packages = []\n\
             [[groups]]\nname = 'app'\ngid = 7\n\
             [[directories]]\npath = '/tmp'\nmode = 0o1777\n\
             [[symlinks]]\npath = '/usr/bin/python'\ntarget = 'python3'\n\
             [[files]]\npath = '/etc/app.conf'\ntext = \"listen = 8080\\n\"\nmode = 0o640\ngroup = 'app'\n\
             [[files]]\npath = '/usr/share/app/logo'\nsource = 'files/logo'\n\
             [generate.os-release]\nNAME = 'A \"test\"'\nID = 'test'",
        )],
    );
    // Beside the manifest: missing, there, edited.
    world.run(&["build"]).exits(2).says(&["files/logo"]);
    world.project.write("files/logo", "one");
    world.build();
    assert_eq!(
        world.layer("base"),
        table(&[
            ("./", "dir 0755 0:0"),
            ("etc/", "dir 0755 0:0"),
            ("etc/app.conf", "file 0640 0:7 listen = 8080"),
            ("etc/group", "file 0644 0:0 app:x:7:"),
            ("tmp/", "dir 1777 0:0"),
            ("usr/", "dir 0755 0:0"),
            ("usr/bin/", "dir 0755 0:0"),
            ("usr/bin/python", "link -> python3"),
            ("usr/lib/", "dir 0755 0:0"),
            ("usr/lib/os-release", "file 0644 0:0 NAME=\"A \\\"test\\\"\"\nID=\"test\""),
            ("usr/share/", "dir 0755 0:0"),
            ("usr/share/app/", "dir 0755 0:0"),
            ("usr/share/app/logo", "file 0644 0:0 one"),
        ])
    );
    let before = world.lock();
    world.project.write("files/logo", "two");
    world.run(&["build", "--locked"]).exits(2).says(&["base (amd64)"]);
    world.build();
    assert_eq!(world.layer("base")["usr/share/app/logo"], "file 0644 0:0 two");
    assert_ne!(world.lock(), before);
}

#[test]
fn the_bundle_of_certificates() {
    let certificates = DebBuilder::new("ca-certificates", "1")
        .arch("all")
        .file("/usr/share/ca-certificates/mozilla/B.crt", 0o644, "two")
        .file("/usr/share/ca-certificates/mozilla/A.crt", 0o644, "one\n")
        .file("/usr/share/doc/ca-certificates/copyright", 0o644, "words");
    let world = World::new(
        [certificates],
        &[(
            "base",
            "packages = ['ca-certificates']\ngenerate.ca-certificates = true\n\
             [globs]\nexclude = ['/usr/share/ca-certificates/**']",
        )],
    );
    world.build();
    let layer = world.layer("base");
    assert_eq!(layer["etc/ssl/certs/ca-certificates.crt"], "file 0644 0:0 one\ntwo");
    assert!(!layer.keys().any(|path| path.starts_with("usr/share/ca-certificates/mozilla")), "{layer:?}");
    world.tier("base", "packages = []\ngenerate.ca-certificates = true");
    world.run(&["build"]).exits(2).says(&["ca-certificates", "base.toml"]);
}

#[test]
fn scanners_find_what_each_layer_adds() {
    let hello = package("hello", "1.0").control_file("md5sums", "d41d8cd98f00b204e9800998ecf8427e  usr/x\n", 0o644);
    let world = World::new([hello], &[("base", "packages = ['hello']")]);
    world.build();
    let layer = world.layer("base");
    assert!(layer["var/lib/dpkg/status.d/hello"].contains("Package: hello\nVersion: 1.0"));
    assert!(layer["var/lib/dpkg/status.d/hello.md5sums"].ends_with("usr/x"));
    world.edit("base.toml", "packages", "generate.dpkg-status = false\npackages");
    world.build();
    assert!(!world.layer("base").keys().any(|path| path.starts_with("var/")));
}

#[test]
fn two_packages_that_want_one_path_differently_are_named() {
    let one = DebBuilder::new("one", "1").file("/usr/share/same", 0o644, "1");
    let two = DebBuilder::new("two", "1").file("/usr/share/same", 0o644, "2");
    let world = World::new([one, two], &[("base", "packages = ['one', 'two']")]);
    world.run(&["build"]).exits(2).says(&["/usr/share/same", "one 1", "two 1"]);
    assert!(!world.path("out").exists() || crate::world::files(&world.path("out")).is_empty());
    // The manifest settles it.
    world.edit("base.toml", "['one', 'two']", "['one', 'two']\n[[files]]\npath = '/usr/share/same'\ntext = 'mine'");
    world.build();
    assert_eq!(world.layer("base")["usr/share/same"], "file 0644 0:0 mine");
}

#[test]
fn a_package_that_cannot_be_unpacked_is_refused_by_name() {
    for deb in [
        package("evil", "1").file("../../etc/passwd", 0o644, "x"),
        package("evil", "1").special("/dev/sda", b'3'),
        package("evil", "1").data_tar(b"no tar at all".repeat(100)),
    ] {
        let world = World::new([deb, package("good", "1")], &[("base", "packages = ['evil', 'good']")]);
        world.run(&["build"]).exits(3).says(&["evil 1"]).silent_on(&["good 1"]);
        assert!(!world.path("out").exists() || crate::world::files(&world.path("out")).is_empty());
        assert!(!fs::exists(world.path("etc")).unwrap());
    }
}

#[test]
fn a_package_that_cannot_be_unpacked_leaves_the_tiers_below_it_whole_and_recorded() {
    let evil = package("evil", "1").special("/dev/sda", b'3');
    let world = World::new(
        [package("good", "1"), evil, package("late", "1").special("/dev/sdb", b'3')],
        &[
            ("base", "packages = ['good']"),
            ("top", "parent = 'base'\npackages = ['evil']"),
            ("side", "parent = 'base'\npackages = ['late']"),
        ],
    );
    // Every package that is wrong is told, also of tiers that were never begun.
    world.run(&["build"]).exits(3).says(&["evil 1", "late 1"]);
    let files = crate::world::files(&world.path("out"));
    assert_eq!(files, ["SHA256SUMS", "test/amd64/base.tar.gz"].map(|name| world.out(name)));
    assert!(world.lock().contains("base = {") && !world.lock().contains("top = {"));
    world.edit("top.toml", "['evil']", "[]");
    world.edit("side.toml", "['late']", "[]");
    let before = fs::metadata(world.out("test/amd64/base.tar.gz")).unwrap().modified().unwrap();
    world.build();
    assert_eq!(fs::metadata(world.out("test/amd64/base.tar.gz")).unwrap().modified().unwrap(), before);
}
