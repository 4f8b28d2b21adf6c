//! Who wins where packages and tiers meet.

use debstrata::{compose::Why, rootfs::Attributes};

use crate::build::*;

#[test]
fn folders_merge_and_disagreement_is_told() {
    let one = pkg("one").dirs(&["/", "/var"]).dir("/var/x", 0o2775, 0, 50).file("/var/x/1", "1");
    let other = pkg("other").dirs(&["/", "/var", "/var/x"]).file("/var/x/2", "2");
    for (packages, kept) in [([one.clone(), other.clone()], "2775 0:50"), ([other.clone(), one.clone()], "0755 0:0")] {
        let composed = world(&packages).good();
        assert_eq!(tree(&composed.rootfs)["/var/x"], format!("dir {kept}"));
        assert_eq!(composed.rootfs.below(&path("/var/x")).count(), 2);
        let [first, second] = packages.clone().map(|pkg| pkg.name.name);
        let lost = if kept == "0755 0:0" { "2775 0:50" } else { "0755 0:0" };
        let told = format!("/var/x is {kept} as {first} 1 (amd64) has it; {second} 1 (amd64) has {lost}");
        assert_eq!(remarks(&composed), [told]);
        // The manifest's own entry wins, and then there is nothing to tell.
        let settled = world(&packages).directory("/var/x", 0o1777, 7).good();
        assert_eq!(remarks(&settled), [""; 0]);
        assert_eq!(tree(&settled.rootfs)["/var/x"], "dir 1777 7:7");
    }
    // A parent's folder was there first.
    let parent = world(&[one]).good();
    let child = world(&[other]).good_on(&parent);
    assert_eq!(tree(&child.rootfs)["/var/x"], "dir 2775 0:50");
    assert_eq!(remarks(&child).len(), 1);
}

#[test]
fn a_folder_that_nobody_declared_gives_way_to_one_that_somebody_did() {
    let parent = world(&[pkg("a").file("/opt/x/f", "f")]).good();
    assert_eq!(tree(&parent.rootfs)["/opt/x"], "dir 0755 0:0");
    let child = world(&[pkg("b").dir("/opt/x", 0o700, 1, 1)]).good_on(&parent);
    assert_eq!(tree(&child.rootfs)["/opt/x"], "dir 0700 1:1");
    assert_eq!(remarks(&child), [""; 0]);
}

#[test]
fn identical_files_are_one_and_different_ones_are_refused() {
    let same = world(&[pkg("a").file("/f", "x").link("/l", "f"), pkg("b").file("/f", "x").link("/l", "f")]).good();
    assert_eq!(brief(&same.rootfs), expected(&[("/f", "=x"), ("/l", "link 0:0 f")]));
    let base = pkg("a").file("/f", "x").file("/g", "x").link("/l", "f");
    let mode = pkg("b").item("/f", Attributes::new(0o755, 0, 0), file("x"));
    let owner = pkg("b").item("/f", Attributes::new(0o644, 1, 0), file("x"));
    for other in [pkg("b").file("/f", "y"), pkg("b").link("/l", "g"), mode, owner] {
        let name = other.unpacked.entries[0].path.to_string();
        let message = format!("{name} of d/t is different in the package a 1 (amd64) and in the package b 1 (amd64)");
        let across = world(std::slice::from_ref(&other)).bad_on(&world(std::slice::from_ref(&base)).good());
        let within = world(&[base.clone(), other]).bad();
        assert_eq!([within, across], [[message.as_str()], [message.as_str()]]);
    }
    let many = world(&[base, pkg("b").file("/f", "y").file("/g", "y").link("/l", "g")]).bad();
    assert_eq!(
        many,
        ["/f (and 2 more paths) of d/t is different in the package a 1 (amd64) and in the package b 1 (amd64)"]
    );
}

#[test]
fn replaces_settles_it() {
    let old = || pkg("old").version("1:1.0-1").file("/f", "old").file("/g", "old");
    let new = |field: &str| pkg("new").replaces(field).file("/f", "new");
    for (field, allowed) in [
        ("old", true),
        ("x, old (<< 1:1.0-2~), y", true),
        ("OLD", false),
        ("old (<< 1:1.0-1)", false),
        ("old (<= 1:1.0-1)", true),
        ("x,\n old (<< 2:0)", true),
        ("virtual", false),
    ] {
        for packages in [[old(), new(field)], [new(field), old()]] {
            if !allowed {
                assert_eq!(world(&packages).bad().len(), 1, "{field}");
                continue;
            }
            let composed = world(&packages).good();
            assert_eq!(brief(&composed.rootfs), expected(&[("/f", "=new"), ("/g", "=old")]), "{field}");
            assert_eq!(remarks(&composed), ["/f of new 1 (amd64) replaces the one of old 1:1.0-1 (amd64)"]);
            assert!(matches!(&composed.dropped[0].why, Why::Replaced(by) if &*by.name == "new"));
        }
    }
    // Across tiers, in both directions.
    let child = world(&[new("old")]).good_on(&world(&[old()]).good());
    assert_eq!(brief(&child.rootfs)["/f"], expected(&[("", "=new")])[""]);
    let child = world(&[old()]).good_on(&world(&[new("old")]).good());
    assert_eq!(brief(&child.rootfs)["/f"], expected(&[("", "=new")])[""]);
    // Both replace each other: the later one, as dpkg does.
    let both = world(&[new("old"), old().replaces("new")]).good();
    assert_eq!(brief(&both.rootfs)["/f"], expected(&[("", "=old")])[""]);
    // Within a tier a link may become a file.
    let linked = world(&[pkg("old").version("1").link("/f", "g"), new("old")]).good();
    assert_eq!(brief(&linked.rootfs), expected(&[("/f", "=new")]));
}

#[test]
fn one_that_replaces_all_others_wins_wherever_it_stands() {
    let all = [pkg("a").file("/f", "a"), pkg("b").file("/f", "b"), pkg("c").replaces("a, b").file("/f", "c")];
    for order in [[0, 1, 2], [0, 2, 1], [2, 1, 0], [1, 0, 2]] {
        let composed = world(&order.map(|at| all[at].clone())).good();
        assert_eq!(brief(&composed.rootfs), expected(&[("/f", "=c")]));
    }
    let refused = world(&[all[0].clone(), all[1].clone(), pkg("c").replaces("a").file("/f", "c")]).bad();
    assert_eq!(refused, ["/f of d/t is different in the package a 1 (amd64) and in the package b 1 (amd64)"]);
}

#[test]
fn the_manifest_settles_it() {
    let packages = [pkg("a").file("/f", "a").link("/l", "a"), pkg("b").file("/f", "b").link("/l", "b")];
    assert_eq!(world(&packages).bad().len(), 1);
    let settled = world(&packages).text("/f", "mine").symlink("/l", "c").good();
    assert_eq!(brief(&settled.rootfs), expected(&[("/f", "=mine"), ("/l", "link 0:0 c")]));
    // Also a generator, and over one package alone.
    let mut own = world(&[
        pkg("base-files").file("/usr/lib/os-release", "Debian"),
        pkg("other").file("/usr/lib/os-release", "Other"),
    ]);
    let fields = vec![("ID".to_owned(), "mine".to_owned())];
    own.tier.generate.os_release = Some(debstrata::ground::Spanned::new(fields, 1..2));
    assert_eq!(brief(&own.good().rootfs), expected(&[("/usr/lib/os-release", "=ID=\"mine\"\n")]));
}

type Make = fn(Pkg) -> Pkg;

#[test]
fn a_path_never_changes_its_kind() {
    let directory: (&str, Make) = ("a directory", |pkg| pkg.dirs(&["/x"]));
    let file: (&str, Make) = ("a file", |pkg| pkg.file("/x", "x"));
    let link: (&str, Make) = ("a symbolic link", |pkg| pkg.link("/x", "y"));
    for (first, second) in
        [(directory, file), (directory, link), (file, directory), (file, link), (link, directory), (link, file)]
    {
        let [(kind, make), (other, make_other)] = [first, second];
        // Replaces does not help against a directory, nor against a parent.
        let packages = [make(pkg("a")), make_other(pkg("b").replaces("a"))];
        let kinds = format!("/x of d/t is {kind} in the package a 1 (amd64) and {other} in the package b 1 (amd64)");
        let nowhere = "/x of d/t is a link to y, which is no directory, but /x lies below it";
        let on_parent = world(&packages[1..]).bad_on(&world(&packages[..1]).good());
        let within = world(&packages).compose().map(|_| ()).map_err(|errors| errors[0].to_string());
        match (kind, other) {
            // A folder goes where the link leads: here nowhere.
            ("a symbolic link", "a directory") => {
                assert_eq!((on_parent, within), (vec![nowhere.to_owned()], Err(nowhere.into())));
            }
            ("a directory", "a symbolic link") => assert_eq!((on_parent, within), (vec![kinds], Err(nowhere.into()))),
            ("a directory", _) | (_, "a directory") => {
                assert_eq!((on_parent, within), (vec![kinds.clone()], Err(kinds)));
            }
            _ => assert_eq!((on_parent, within), (vec![kinds], Ok(()))),
        }
    }
}

#[test]
fn nothing_lies_below_a_file() {
    let below = pkg("b").file("/x/y/z", "z").file("/x/z/y", "y").file("/x/1", "1");
    let refused = world(&[pkg("a").file("/x", "x"), below]).bad();
    let message = "/x of d/t is a file in the package a 1 (amd64) and a directory in the package b 1 (amd64), for /x/1";
    assert_eq!(refused, [message]);
}

#[test]
fn what_a_parents_manifest_says_stays() {
    let parent = world(&[]).text("/etc/x.conf", "mine").good();
    let child = world(&[pkg("x").file("/etc/x.conf", "theirs")]).good_on(&parent);
    assert_eq!(brief(&child.rootfs), expected(&[("/etc/x.conf", "=mine")]));
    assert_eq!(remarks(&child), ["/etc/x.conf stays as [[files]] of d/t has it; x 1 (amd64) has another"]);
    // The child's own manifest may replace anything.
    for parent in [parent, world(&[pkg("x").file("/etc/x.conf", "theirs")]).good()] {
        let child = world(&[]).text("/etc/x.conf", "new").good_on(&parent);
        assert_eq!(brief(&child.rootfs), expected(&[("/etc/x.conf", "=new")]));
    }
}

#[test]
fn the_order_of_an_archive_does_not_matter() {
    let forwards = pkg("a").dirs(&["/", "/d"]).file("/d/f", "f").link("/e", "d").hard(&["/h1", "/d/h2"], "h").item(
        "/n\u{151}",
        Attributes::new(0o4755, 1, 2),
        file("n"),
    );
    let mut backwards = forwards.clone();
    backwards.unpacked.entries.reverse();
    let below = pkg("b").file("/e/g", "g");
    let one = world(&[forwards, below.clone()]).good();
    assert_eq!(one.rootfs, world(&[backwards, below]).good().rootfs);
    assert_eq!(tree(&one.rootfs)["/n\u{151}"], format!("file 4755 1:2 {}", sha("n")));
}

#[test]
fn extended_attributes_are_kept_and_count() {
    let mut attributes = Attributes::new(0o755, 0, 0);
    attributes.xattrs.insert(b"security.capability".as_slice().into(), b"\x01".as_slice().into());
    let ping = pkg("ping").item("/usr/bin/ping", attributes.clone(), file("p"));
    let composed = world(std::slice::from_ref(&ping)).good();
    assert_eq!(composed.rootfs.get(&path("/usr/bin/ping")).unwrap().attributes, attributes);
    let plain = pkg("plain").item("/usr/bin/ping", Attributes::new(0o755, 0, 0), file("p"));
    assert_eq!(world(&[ping, plain]).bad().len(), 1);
}

#[test]
fn all_errors_come_at_once() {
    let refused = world(&[pkg("a").file("/f", "a").file("/d", ""), pkg("b").file("/f", "b").dirs(&["/d"])])
        .text("/g", "1")
        .text("/g", "2")
        .bad();
    assert_eq!(refused.len(), 3, "{refused:?}");
}
