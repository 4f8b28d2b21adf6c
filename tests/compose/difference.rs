//! What a layer holds.

use debstrata::rootfs::{Entry, Node, Rootfs, diff};

use crate::build::*;

fn lines(parent: Option<&Rootfs>, child: &Rootfs) -> Vec<String> {
    diff(parent, child).into_iter().map(|(path, entry)| format!("{path} {}", show(&entry))).collect()
}

/// The paths of the difference that belong to a link group.
fn grouped(parent: Option<&Rootfs>, child: &Rootfs) -> Vec<String> {
    let in_group = |entry: &Entry| matches!(&entry.node, Node::File { group: Some(_), .. });
    diff(parent, child).iter().filter(|(_, entry)| in_group(entry)).map(|(path, _)| path.to_string()).collect()
}

#[test]
fn an_empty_layer_holds_the_root() {
    let parent = world(&[pkg("a").dir("/", 0o700, 1, 1).file("/f", "f")]).good();
    let child = world(&[]).good_on(&parent);
    assert_eq!(lines(Some(&parent.rootfs), &child.rootfs), ["/ dir 0700 1:1"]);
}

#[test]
fn folders_above_come_with_their_merged_metadata() {
    let parent = world(&[pkg("a").dir("/a", 0o700, 1, 1).dirs(&["/a/b", "/c"]).file("/c/f", "f")]).good();
    let child = world(&[pkg("b").dirs(&["/a", "/a/b"]).file("/a/b/new", "n")]).good_on(&parent);
    let new = format!("/a/b/new file 0644 0:0 {}", sha("n"));
    assert_eq!(
        lines(Some(&parent.rootfs), &child.rootfs),
        ["/ dir 0755 0:0", "/a dir 0700 1:1", "/a/b dir 0755 0:0", &new]
    );
}

#[test]
fn origins_do_not_count_and_metadata_does() {
    let parent = world(&[pkg("a").file("/f", "f").dirs(&["/d"])]).good();
    let same = world(&[pkg("b").file("/f", "f")]).text("/f", "f").good_on(&parent);
    assert_eq!(lines(Some(&parent.rootfs), &same.rootfs).len(), 1);
    let other = world(&[]).directory("/d", 0o1777, 0).good_on(&parent);
    assert_eq!(lines(Some(&parent.rootfs), &other.rootfs), ["/ dir 0755 0:0", "/d dir 1777 0:0"]);
}

#[test]
fn entries_are_in_byte_order() {
    let all =
        world(&[pkg("a").file("/a-b", "").file("/a/x", "").file("/aa", "").file("/Z", "").file("/\u{e9}", "")]).good();
    let paths: Vec<_> = diff(None, &all.rootfs).into_iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(paths, ["/", "/Z", "/a", "/a-b", "/a/x", "/aa", "/\u{e9}"]);
}

#[test]
fn link_groups_of_a_layer_are_its_own() {
    let hard = pkg("a").hard(&["/1", "/2", "/3"], "x");
    let whole = world(std::slice::from_ref(&hard)).good();
    assert_eq!(grouped(None, &whole.rootfs), ["/1", "/2", "/3"]);
    // /1 is the parent's already: /2 and /3 are a file of their own.
    let parent = world(std::slice::from_ref(&hard)).globs(&["/1"], &[]).good();
    let child = world(std::slice::from_ref(&hard)).good_on(&parent);
    assert_eq!(grouped(Some(&parent.rootfs), &child.rootfs), ["/2", "/3"]);
    // One new name is a plain file.
    let parent = world(std::slice::from_ref(&hard)).globs(&["/[12]"], &[]).good();
    let child = world(std::slice::from_ref(&hard)).good_on(&parent);
    assert_eq!(grouped(Some(&parent.rootfs), &child.rootfs), [""; 0]);
    assert_eq!(lines(Some(&parent.rootfs), &child.rootfs).len(), 2);
    // A name that the manifest fills is no part of the group.
    let replaced = world(&[hard]).text("/2", "other").good();
    assert_eq!(grouped(None, &replaced.rootfs), ["/1", "/3"]);
}

#[test]
fn one_inode_has_one_mode() {
    let mut odd = pkg("a").hard(&["/1", "/2", "/3"], "x");
    odd.unpacked.entries[1].attributes.mode = 0o600;
    assert_eq!(grouped(None, &world(&[odd]).good().rootfs), ["/1", "/3"]);
}
