//! Names below /bin, /lib ... on a merged /usr, and folders that meet links.

use crate::build::*;

/// As base-files of Debian 13: links come last in the archive.
fn base_files() -> Pkg {
    pkg("base-files")
        .dirs(&["/", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/sbin"])
        .link("/bin", "usr/bin")
        .link("/lib", "usr/lib")
        .link("/lib64", "usr/lib64")
        .link("/sbin", "usr/sbin")
}

#[test]
fn a_real_folder_never_replaces_the_link() {
    let old = pkg("old").dirs(&["/", "/lib", "/lib/multi", "/sbin", "/bin"]);
    let old = old.file("/lib/multi/libx.so", "x").file("/sbin/init", "i").file("/bin/sh", "s");
    for packages in [[base_files(), old.clone()], [old, base_files()]] {
        let composed = merged(&packages).good();
        let tree = brief(&composed.rootfs);
        assert_eq!(
            tree,
            expected(&[
                ("/bin", "link 0:0 usr/bin"),
                ("/lib", "link 0:0 usr/lib"),
                ("/lib64", "link 0:0 usr/lib64"),
                ("/sbin", "link 0:0 usr/sbin"),
                ("/usr/bin/sh", "=s"),
                ("/usr/lib/multi/libx.so", "=x"),
                ("/usr/sbin/init", "=i"),
            ])
        );
        assert_eq!(remarks(&composed), [""; 0]);
    }
}

#[test]
fn every_name_of_a_hard_link_moves() {
    let old = pkg("old").hard(&["/bin/gunzip", "/usr/bin/uncompress", "/lib/x"], "z");
    let composed = merged(&[base_files(), old]).good();
    let layer = debstrata::rootfs::diff(None, &composed.rootfs);
    let groups: Vec<_> = layer
        .iter()
        .filter_map(|(path, entry)| match &entry.node {
            debstrata::rootfs::Node::File { group, .. } => Some((path.to_string(), group.is_some())),
            _ => None,
        })
        .collect();
    let names = ["/usr/bin/gunzip", "/usr/bin/uncompress", "/usr/lib/x"];
    assert_eq!(groups, names.map(|name| (name.to_owned(), true)));
}

#[test]
fn moved_links_keep_their_meaning() {
    for (at, target, now, means) in [
        ("/lib/x", "../foo", "/usr/lib/x", "../../foo"),
        ("/lib/x", "../../foo", "/usr/lib/x", "../../foo"),
        ("/lib/a/x", "../../foo", "/usr/lib/a/x", "../../../foo"),
        ("/lib/a/x", "../foo", "/usr/lib/a/x", "../foo"),
        ("/lib/x", "libx.so.1", "/usr/lib/x", "libx.so.1"),
        ("/lib/x", "/lib/y", "/usr/lib/x", "/lib/y"),
        ("/lib/x", "../usr/share/y", "/usr/lib/x", "../../usr/share/y"),
        ("/lib64/ld.so", "../lib/multi/ld.so", "/usr/lib64/ld.so", "../lib/multi/ld.so"),
        ("/lib64/ld.so", "/lib/multi/ld.so", "/usr/lib64/ld.so", "/lib/multi/ld.so"),
        ("/lib/x", "a/../../foo", "/usr/lib/x", "a/../../../foo"),
        ("/usr/lib/x", "../foo", "/usr/lib/x", "../foo"),
        ("/etc/x", "../lib/y", "/etc/x", "../lib/y"),
    ] {
        let composed = merged(&[base_files(), pkg("old").link(at, target)]).good();
        assert_eq!(tree(&composed.rootfs).get(now), Some(&format!("link 0:0 {means}")), "{at} -> {target}");
    }
}

#[test]
fn nothing_moves_where_usr_is_not_merged() {
    let old = pkg("old").dirs(&["/lib", "/bin"]).file("/lib/x", "x").link("/lib64/ld.so", "/lib/x");
    let composed = world(&[old]).good();
    let expected = expected(&[("/lib/x", "=x"), ("/lib64/ld.so", "link 0:0 /lib/x")]);
    assert_eq!(brief(&composed.rootfs), expected);
    assert_eq!(composed.rootfs.resolve(&path("/lib64/ld.so")), Some(path("/lib/x")));
}

#[test]
fn links_into_usr_make_aliases_without_being_told() {
    let parent = world(&[base_files().file("/usr/lib/libc.so", "c")]).good();
    let child = world(&[pkg("old").dirs(&["/lib"]).file("/lib/x", "x").link("/lib/y", "../etc")]).good_on(&parent);
    let added: Vec<_> = debstrata::rootfs::diff(Some(&parent.rootfs), &child.rootfs)
        .into_iter()
        .map(|(path, entry)| format!("{path} {}", show(&entry)))
        .collect();
    let file = format!("/usr/lib/x file 0644 0:0 {}", sha("x"));
    let folders = ["/ dir 0755 0:0", "/usr dir 0755 0:0", "/usr/lib dir 0755 0:0"];
    assert_eq!(added, [folders[0], folders[1], folders[2], &file, "/usr/lib/y link 0:0 ../../etc"]);
}

#[test]
fn a_missing_link_is_told() {
    let composed = merged(&[pkg("old").dirs(&["/lib"]).file("/lib/x", "x")]).good();
    assert_eq!(brief(&composed.rootfs), expected(&[("/usr/lib/x", "=x")]));
    assert_eq!(remarks(&composed), ["/lib went to /usr/lib, but /lib is no link to it"]);
    let linked = merged(&[pkg("old").dirs(&["/lib"]).file("/lib/x", "x")]).symlink("/lib", "usr/lib").good();
    assert_eq!(remarks(&linked), [""; 0]);
}

#[test]
fn two_names_that_become_one() {
    let twice = |usr: &str| pkg("a").file("/bin/x", "x").file("/usr/bin/x", usr);
    assert_eq!(
        brief(&merged(&[twice("x")]).symlink("/bin", "usr/bin").good().rootfs)["/usr/bin/x"],
        expected(&[("", "=x")])[""]
    );
    let refused = merged(&[twice("y")]).bad();
    assert_eq!(refused, ["/usr/bin/x of d/t is different in the package a 1 (amd64) and in the package a 1 (amd64)"]);
    // A link that was needed before /usr was merged would now lead to itself.
    for (link, target, real) in [
        ("/usr/bin/x", "/bin/x", "/bin/x"),
        ("/usr/bin/x", "../../bin/x", "/bin/x"),
        ("/bin/x", "/usr/bin/x", "/usr/bin/x"),
        ("/bin/x", "../usr/bin/x", "/usr/bin/x"),
    ] {
        let linked = pkg("a").link(link, target).file(real, "x");
        let composed = merged(&[base_files(), linked]).good();
        assert_eq!(tree(&composed.rootfs)["/usr/bin/x"], expected(&[("", "=x")])[""], "{link} {target}");
        assert_eq!(composed.dropped[0].why, debstrata::compose::Why::LinkToItself);
    }
}

#[test]
fn a_folder_that_meets_a_link_goes_where_it_leads() {
    let linked = pkg("a").dirs(&["/", "/data", "/data/real"]).link("/srv", "data").link("/data/x", "/data/real");
    let below = pkg("b").dirs(&["/", "/srv", "/srv/x"]).file("/srv/x/f", "f").file("/srv/g", "g");
    for packages in [[linked.clone(), below.clone()], [below.clone(), linked.clone()]] {
        let expected = expected(&[
            ("/data/g", "=g"),
            ("/data/real/f", "=f"),
            ("/data/x", "link 0:0 /data/real"),
            ("/srv", "link 0:0 data"),
        ]);
        assert_eq!(brief(&world(&packages).good().rootfs), expected);
    }
    // The same over a parent's link, and where no package says that the folder is there.
    let parent = world(&[linked]).good();
    assert!(brief(&world(&[below]).good_on(&parent).rootfs).contains_key("/data/real/f"));
    let implied = pkg("c").file("/srv/x/f", "f");
    assert!(brief(&world(&[implied]).good_on(&parent).rootfs).contains_key("/data/real/f"));
}

#[test]
fn links_below_links_are_found() {
    let outer = pkg("outer").dirs(&["/data", "/real"]).link("/srv", "data");
    let inner = pkg("inner").dirs(&["/srv"]).link("/srv/inner", "/real");
    let below = pkg("below").file("/srv/inner/f", "f").file("/data/inner/g", "g");
    for packages in [[outer.clone(), inner.clone(), below.clone()], [below, inner, outer]] {
        let expected = expected(&[
            ("/data/inner", "link 0:0 /real"),
            ("/real/f", "=f"),
            ("/real/g", "=g"),
            ("/srv", "link 0:0 data"),
        ]);
        assert_eq!(brief(&world(&packages).good().rootfs), expected);
    }
}

#[test]
fn links_that_lead_to_no_folder_take_nothing() {
    for (target, also) in [("nowhere", None), ("file", Some("/file")), ("loop", None), ("other", Some("/o"))] {
        let mut linked = pkg("a").link("/loop", target).link("/other", "loop");
        if let Some(also) = also {
            linked = linked.file(also, "");
        }
        let below = pkg("b").dirs(&["/loop"]).file("/loop/f", "f");
        let refused = world(&[linked, below]).bad();
        let message = format!("/loop of d/t is a link to {target}, which is no directory, but /loop lies below it");
        assert!(refused.contains(&message), "{refused:?}");
    }
}

#[test]
fn nothing_leaves_the_root_through_links() {
    let linked = pkg("a").dirs(&["/etc", "/x"]).link("/x/out", "../../../../etc");
    let below = pkg("b").file("/x/out/passwd", "p");
    assert_eq!(
        brief(&world(&[linked, below]).good().rootfs),
        expected(&[("/etc/passwd", "=p"), ("/x/out", "link 0:0 ../../../../etc")])
    );
}

#[test]
fn odd_targets_of_top_level_links_are_followed_too() {
    for target in ["usr/lib", "lib"] {
        let base = pkg("base").dirs(&["/", "/usr", "/usr/lib"]).link("/lib64", target).link("/lib", "usr/lib");
        odd_target(base, target);
    }
}

fn odd_target(base: Pkg, target: &str) {
    let below = pkg("b").dirs(&["/lib64"]).link("/lib64/ld.so", "ld-linux.so.2").file("/lib64/ld-linux.so.2", "l");
    let composed = merged(&[below, base]).good();
    assert_eq!(
        brief(&composed.rootfs),
        expected(&[
            ("/lib", "link 0:0 usr/lib"),
            ("/lib64", &format!("link 0:0 {target}")),
            ("/usr/lib/ld-linux.so.2", "=l"),
            ("/usr/lib/ld.so", "link 0:0 ld-linux.so.2"),
        ])
    );
}
