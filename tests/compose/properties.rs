//! What holds of all compositions.

use debstrata::{
    compose::Composed,
    rootfs::{Attributes, Entry, Node, Rootfs, diff},
};
use proptest::prelude::*;

use crate::build::*;

/// A path of up to three names out of few, so that packages meet.
fn paths() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", "lib", "usr"], 1..4)
        .prop_map(|names| format!("/{}", names.join("/")))
}

#[derive(Debug, Clone)]
enum Thing {
    Folder(u16),
    File(u8),
    Link(String),
}

fn things() -> impl Strategy<Value = Thing> {
    prop_oneof![
        prop_oneof![Just(0o755), Just(0o700)].prop_map(Thing::Folder),
        (0..2u8).prop_map(Thing::File),
        prop_oneof![paths(), "(\\.\\./){0,2}(a|b|usr/lib)"].prop_map(Thing::Link),
    ]
}

fn packages() -> impl Strategy<Value = Vec<Pkg>> {
    let package = proptest::collection::btree_map(paths(), things(), 0..5);
    proptest::collection::vec(package, 1..4).prop_map(|all| {
        let fill = |(number, things): (usize, std::collections::BTreeMap<String, Thing>)| {
            things.into_iter().fold(pkg(&format!("p{number}")), |pkg, (path, thing)| match thing {
                Thing::Folder(mode) => pkg.item(&path, Attributes::new(mode, 0, 0), Node::Directory),
                Thing::File(text) => pkg.file(&path, &text.to_string()),
                Thing::Link(target) => pkg.link(&path, &target),
            })
        };
        all.into_iter().enumerate().map(fill).collect()
    })
}

/// The tree, folders without their mode: there the package named first wins.
fn without_modes(composed: &Composed) -> Vec<String> {
    let line = |(path, entry): (String, String)| match entry.starts_with("dir ") {
        true => format!("{path} dir"),
        false => format!("{path} {entry}"),
    };
    tree(&composed.rootfs).into_iter().map(line).collect()
}

fn apply(parent: &Rootfs, layer: Vec<(debstrata::ground::RootPath, Entry)>) -> Rootfs {
    let mut tree = parent.clone();
    tree.entries.extend(layer);
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whether it can be composed, and what comes out, does not hang on the order of the packages.
    #[test]
    fn order_does_not_matter(packages in packages(), merged_usr: bool) {
        let mut backwards = packages.clone();
        backwards.reverse();
        let one = World { merged_usr, ..world(&packages) }.compose();
        let other = World { merged_usr, ..world(&backwards) }.compose();
        prop_assert_eq!(one.is_ok(), other.is_ok());
        if let (Ok(one), Ok(other)) = (one, other) {
            prop_assert_eq!(without_modes(&one), without_modes(&other));
        }
    }

    /// A layer over its parent is the child, every entry's folder is there, nothing is lost.
    #[test]
    fn a_layer_makes_the_child_of_the_parent(below in packages(), above in packages()) {
        let above: Vec<_> = above.into_iter().map(|mut pkg| {
            pkg.name.name = format!("q{}", pkg.name.name).into();
            pkg
        }).collect();
        let Ok(parent) = world(&below).compose() else { return Ok(()) };
        let Ok(child) = world(&above).compose_on(Some(&parent)) else { return Ok(()) };
        let layer = diff(Some(&parent.rootfs), &child.rootfs);
        prop_assert!(layer.is_sorted_by(|one, other| one.0 < other.0));
        let alone = Rootfs { entries: layer.iter().cloned().collect() };
        prop_assert_eq!(alone.first_orphan(), None);
        let applied = apply(&parent.rootfs, layer);
        prop_assert_eq!(tree(&applied), tree(&child.rootfs));
        for (path, entry) in &parent.rootfs.entries {
            let now = child.rootfs.get(path);
            prop_assert!(now.is_some_and(|now| now.node.kind() == entry.node.kind()), "{} is another", path);
        }
    }

    /// Merging twice what is merged changes nothing.
    #[test]
    fn the_same_packages_again_add_nothing(packages in packages(), merged_usr: bool) {
        let world = World { merged_usr, ..world(&packages) };
        let Ok(parent) = world.compose() else { return Ok(()) };
        if let Ok(child) = world.compose_on(Some(&parent)) {
            prop_assert_eq!(diff(Some(&parent.rootfs), &child.rootfs).len(), 1);
        }
    }
}
