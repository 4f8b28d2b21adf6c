//! Which entries are kept.

use debstrata::compose::Why;

use crate::build::*;

fn docs() -> Pkg {
    pkg("a")
        .dirs(&["/", "/usr", "/usr/bin", "/usr/share", "/usr/share/doc"])
        .dir("/usr/share/doc/a", 0o750, 3, 3)
        .dir("/usr/share/man", 0o700, 0, 0)
        .file("/usr/bin/a", "a")
        .file("/usr/share/doc/a/changelog.gz", "log")
        .file("/usr/share/doc/a/copyright", "free")
        .file("/usr/share/man/a.1", "man")
}

#[test]
fn kept_is_what_an_include_and_no_exclude_matches() {
    let composed = world(&[docs()]).globs(&["/usr/**"], &["/usr/share/doc/**/changelog*", "/usr/share/man/**"]).good();
    assert_eq!(
        brief(&composed.rootfs),
        expected(&[
            ("/usr/bin/a", "=a"),
            ("/usr/share/doc/a", "dir 0750 3:3"),
            ("/usr/share/doc/a/copyright", "=free"),
            ("/usr/share/man", "dir 0700 0:0"),
        ])
    );
    let dropped: Vec<_> = composed.dropped.iter().map(|dropped| (dropped.path.to_string(), &dropped.why)).collect();
    let why = Why::Excluded(2..4);
    assert_eq!(dropped, [("/usr/share/doc/a/changelog.gz".into(), &why), ("/usr/share/man/a.1".into(), &why)]);
    assert_eq!(remarks(&composed), [""; 0]);
}

#[test]
fn a_folder_is_kept_with_its_metadata_where_something_below_is() {
    let one = world(&[docs()]).globs(&["/usr/share/doc/a/copyright"], &["/usr/share/doc/a"]).good();
    let expected = expected(&[
        ("/", "dir 0755 0:0"),
        ("/usr", "dir 0755 0:0"),
        ("/usr/share", "dir 0755 0:0"),
        ("/usr/share/doc", "dir 0755 0:0"),
        ("/usr/share/doc/a", "dir 0750 3:3"),
        ("/usr/share/doc/a/copyright", "=free"),
    ]);
    assert_eq!(tree(&one.rootfs), expected);
    let none = world(&[docs()]).globs(&["/nothing"], &[]).good();
    assert_eq!(tree(&none.rootfs).len(), 1, "the root alone");
    assert_eq!(remarks(&none), ["the include \"/nothing\" matches nothing"]);
}

#[test]
fn a_packages_own_rule_replaces_the_tiers() {
    let other = pkg("ca-certificates").file("/usr/share/ca.crt", "ca").file("/usr/share/doc/ca/copyright", "free");
    let composed = world(&[docs(), other])
        .globs(&["/**"], &["/usr/share/doc/**"])
        .package_globs("ca-certificates", &["/usr/share/doc/ca/copyright"], &[])
        .package_globs("absent", &["/**"], &[])
        .good();
    let tree = brief(&composed.rootfs);
    assert!(tree.contains_key("/usr/share/doc/ca/copyright"));
    assert!(!tree.contains_key("/usr/share/ca.crt") && !tree.contains_key("/usr/share/doc/a/copyright"));
    assert_eq!(remarks(&composed), ["the globs for absent are for a package that this tier does not have"]);
}

#[test]
fn idle_globs_are_told_and_shadowed_ones_are_not() {
    let composed = world(&[docs()])
        .globs(&["/usr/**", "/usr/bin/*"], &["/opt/**", "/usr/share/man/**", "/usr/share/man/a.1"])
        .good();
    assert_eq!(remarks(&composed), ["the exclude \"/opt/**\" matches nothing"]);
    assert_eq!(remarks(&world(&[docs()]).good()), [""; 0]);
    assert_eq!(remarks(&world(&[]).good()), [""; 0]);
}

#[test]
fn globs_match_final_paths() {
    let old = || pkg("old").dirs(&["/lib"]).file("/lib/keep.so", "k").file("/lib/drop.so", "d");
    let linked = |world: World| brief(&world.symlink("/lib", "usr/lib").good().rootfs);
    let expected = expected(&[("/lib", "link 0:0 usr/lib"), ("/usr/lib/keep.so", "=k")]);
    assert_eq!(linked(merged(&[old()]).globs(&["/usr/**"], &["/usr/lib/drop*"])), expected);
    assert!(!linked(merged(&[old()]).globs(&["/lib/**"], &[])).contains_key("/usr/lib/keep.so"));
}

#[test]
fn a_hard_link_outlives_its_first_name() {
    let hard = pkg("perl").hard(&["/usr/bin/perl", "/usr/bin/perl5", "/usr/bin/perl5.40"], "perl");
    let one = world(std::slice::from_ref(&hard)).globs(&["/**"], &["/usr/bin/perl"]).good();
    assert_eq!(brief(&one.rootfs), expected(&[("/usr/bin/perl5", "=perl"), ("/usr/bin/perl5.40", "=perl")]));
    let alone = world(&[hard]).globs(&["/usr/bin/perl5.40"], &[]).good();
    let layer = debstrata::rootfs::diff(None, &alone.rootfs);
    assert!(matches!(&layer.last().unwrap().1.node, debstrata::rootfs::Node::File { group: None, .. }));
}

#[test]
fn a_link_that_is_not_kept_leads_nobody() {
    let linked = pkg("a").dirs(&["/data"]).link("/srv", "data");
    let below = pkg("b").dirs(&["/srv"]).file("/srv/f", "f");
    let composed = world(&[linked, below]).package_globs("a", &["/data"], &[]).good();
    assert_eq!(brief(&composed.rootfs), expected(&[("/srv/f", "=f")]));
    // Nor does what is not kept make a link matter.
    let dangling = pkg("a").link("/srv", "nowhere");
    let below = pkg("b").dirs(&["/srv"]).file("/srv/f", "f");
    world(&[dangling, below]).package_globs("b", &["/x"], &[]).good();
}
