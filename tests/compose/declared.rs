//! What the manifest itself puts into the tree.

use debstrata::{
    ground::{Class, Sha256},
    manifest::FileContent,
};

use crate::build::*;

#[test]
fn directories_symlinks_and_files() {
    let composed = world(&[])
        .directory("/tmp", 0o1777, 0)
        .symlink("/usr/bin/python", "/usr/bin/python3.13")
        .text("/etc/nsswitch.conf", "passwd: files\n")
        .good();
    assert_eq!(
        tree(&composed.rootfs),
        expected(&[
            ("/", "dir 0755 0:0"),
            ("/etc", "dir 0755 0:0"),
            ("/etc/nsswitch.conf", "=passwd: files\n"),
            ("/tmp", "dir 1777 0:0"),
            ("/usr", "dir 0755 0:0"),
            ("/usr/bin", "dir 0755 0:0"),
            ("/usr/bin/python", "link 0:0 /usr/bin/python3.13"),
        ])
    );
}

#[test]
fn declared_paths_follow_the_links_above_them() {
    let base = pkg("base").dirs(&["/usr", "/usr/bin", "/data"]).link("/bin", "usr/bin").link("/srv", "data");
    let composed = merged(&[base]).text("/bin/x", "x").symlink("/bin/y", "../etc/y").text("/srv/z", "z").good();
    assert_eq!(
        brief(&composed.rootfs),
        expected(&[
            ("/bin", "link 0:0 usr/bin"),
            ("/data/z", "=z"),
            ("/srv", "link 0:0 data"),
            ("/usr/bin/x", "=x"),
            ("/usr/bin/y", "link 0:0 ../../etc/y"),
        ])
    );
    // Two names of one path are one path declared twice.
    let twice = merged(&[]).text("/bin/x", "x").text("/usr/bin/x", "x").bad();
    assert_eq!(twice, ["/usr/bin/x of d/t comes from [[files]] of d/t and from [[files]] of d/t"]);
}

type Declare = fn(World) -> World;

#[test]
fn a_declared_path_changes_no_kind() {
    let package = pkg("a").dirs(&["/d"]).file("/f", "").link("/l", "d");
    let cases: [(&str, Declare, &str); 6] = [
        (
            "/f",
            |world| world.directory("/f", 0o755, 0),
            "a file in the package a 1 (amd64) and a directory in [[directories]]",
        ),
        (
            "/l",
            |world| world.directory("/l", 0o755, 0),
            "a symbolic link in the package a 1 (amd64) and a directory in [[directories]]",
        ),
        (
            "/d",
            |world| world.symlink("/d", "x"),
            "a directory in the package a 1 (amd64) and a symbolic link in [[symlinks]]",
        ),
        (
            "/f",
            |world| world.symlink("/f", "x"),
            "a file in the package a 1 (amd64) and a symbolic link in [[symlinks]]",
        ),
        ("/d", |world| world.text("/d", ""), "a directory in the package a 1 (amd64) and a file in [[files]]"),
        ("/l", |world| world.text("/l", ""), "a symbolic link in the package a 1 (amd64) and a file in [[files]]"),
    ];
    for (at, declare, message) in cases {
        let expected = format!("{at} of d/t is {message} of d/t");
        let within = declare(world(std::slice::from_ref(&package))).bad();
        let across = declare(world(&[])).bad_on(&world(std::slice::from_ref(&package)).good());
        assert_eq!([within, across], [[expected.as_str()], [expected.as_str()]]);
    }
}

#[test]
fn files_beside_the_manifest_are_read_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let beside = |name: &str| FileContent::Beside(folder.path().join(name));
    std::fs::write(folder.path().join("a"), "text").unwrap();
    let composed = world(&[]).content("/a", beside("a")).good();
    assert_eq!(brief(&composed.rootfs), expected(&[("/a", "=text")]));
    let large = std::fs::File::create(folder.path().join("large")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    for name in ["missing", "large", ""] {
        let errors = world(&[]).content("/a", beside(name)).compose().unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(debstrata::ground::Failure::class(&errors[0]), Class::User, "{name}");
    }
}

#[test]
fn accounts_of_the_chain_are_written_whole() {
    let parent = world(&[]).user(user("root", 0, None, 0)).group("root", 0).good();
    let same = world(&[]).good_on(&parent);
    assert!(debstrata::rootfs::diff(Some(&parent.rootfs), &same.rootfs).len() == 1, "the root alone");
    let child = world(&[]).user(user("app", 10, Some("/home/app"), 0o700)).good_on(&parent);
    assert_eq!(
        brief(&child.rootfs),
        expected(&[
            ("/etc/group", "=root:x:0:\n"),
            ("/etc/passwd", "=root:x:0:0::/nonexistent:/sh\napp:x:10:10::/home/app:/sh\n"),
            ("/home/app", "dir 0700 10:10"),
        ])
    );
    let last = world(&[]).group("app", 10).good_on(&child);
    assert_eq!(brief(&last.rootfs)["/etc/group"], expected(&[("", "=root:x:0:\napp:x:10:\n")])[""]);
    assert_eq!(last.accounts.users.len(), 2);
}

#[test]
fn homes_that_are_there_stay_as_they_are() {
    let packages = [pkg("base").dir("/root", 0o700, 0, 0).dirs(&["/usr", "/usr/sbin", "/data"]).link("/srv", "data")];
    let composed = world(&packages)
        .directory("/app", 0o750, 5)
        .user(user("root", 0, Some("/root"), 0o700))
        .user(user("daemon", 1, Some("/usr/sbin"), 0o700))
        .user(user("top", 2, Some("/"), 0o700))
        .user(user("nobody", 3, Some("/nonexistent"), 0o700))
        .user(user("app", 4, Some("/app"), 0o700))
        .user(user("linked", 6, Some("/srv/linked"), 0o700))
        .good();
    let mut tree = brief(&composed.rootfs);
    tree.remove("/etc/passwd");
    assert_eq!(
        tree,
        expected(&[
            ("/app", "dir 0750 5:5"),
            ("/data/linked", "dir 0700 6:6"),
            ("/root", "dir 0700 0:0"),
            ("/srv", "link 0:0 data"),
        ])
    );
    let told = "/usr/sbin, the home of daemon, is there already and stays 0755 0:0, not 0700 1:1";
    assert_eq!(remarks(&composed), [told]);
    let file = world(&[pkg("a").file("/h", "")]).user(user("u", 1, Some("/h"), 0o700)).bad();
    assert_eq!(file, ["/h of d/t is a file in the package a 1 (amd64) and a directory in [[users]] of d/t"]);
}

#[test]
fn accounts_that_came_otherwise_are_not_lost() {
    let parent = world(&[]).text("/etc/passwd", "root:x:0:0::/:/bin/sh\n").good();
    let refused = world(&[]).user(user("app", 10, None, 0)).bad_on(&parent);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with("/etc/passwd comes from [[files]] of d/t"), "{refused:?}");
}

#[test]
fn packages_are_entered_for_scanners_whatever_the_globs_keep() {
    let package = pkg("a").file("/f", "f").member("md5sums", "0  f\n");
    let mut world = world(&[package, pkg("b")]).globs(&["/nothing"], &[]);
    world.tier.generate.dpkg_status = true;
    assert_eq!(
        brief(&world.good().rootfs),
        expected(&[
            ("/var/lib/dpkg/status.d/a", "=Package: a\nVersion: 1\n"),
            ("/var/lib/dpkg/status.d/a.md5sums", "=0  f\n"),
            ("/var/lib/dpkg/status.d/b", "=Package: b\nVersion: 1\n"),
        ])
    );
}

#[test]
fn the_bundle_reads_what_the_globs_leave_out() {
    let package = pkg("ca-certificates").file("/usr/share/ca-certificates/m/a.crt", "A");
    let mut world = world(&[package]).package_globs("ca-certificates", &["/usr/share/doc/**"], &[]);
    world.tier.generate.ca_certificates =
        Some(debstrata::ground::Spanned::new(debstrata::manifest::CaCertificates::Bundle, 1..2));
    assert_eq!(brief(&world.good().rootfs), expected(&[("/etc/ssl/certs/ca-certificates.crt", "=A\n")]));
    world.packages.clear();
    assert_eq!(world.bad(), ["ca-certificates is not among the packages of this tier"]);
}

#[test]
fn what_a_key_asks_for_goes_before_what_scripts_make() {
    let package =
        pkg("a").file("/usr/share/zoneinfo/UTC", "z").member("postinst", "#!/bin/sh\ntouch /etc/timezone /etc/x\n");
    let mut world = world(&[package]);
    world.tier.generate.scripts = true;
    world.tier.generate.timezone = Some(debstrata::ground::Spanned::new("UTC".into(), 1..2));
    let tree = brief(&world.good().rootfs);
    let content = |text: &str| format!("file 0644 0:0 {}", &Sha256::of(text.as_bytes()).to_string()[..8]);
    assert_eq!((&tree["/etc/timezone"], &tree["/etc/x"]), (&content("UTC\n"), &content("")));
}

#[test]
fn what_scripts_make_and_cannot_be_says_how_to_do_without() {
    let package = pkg("a").file("/f", "").member("postinst", "#!/bin/sh\nmkdir /f/x\n");
    let mut world = world(&[package]);
    world.tier.generate.scripts = true;
    let [error]: [_; 1] = world.compose().expect_err("must be refused").try_into().unwrap();
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("generate.scripts = false"), "{help}");
}
