//! Looking things up in a tree, and what always holds of one.

use std::ops::Bound;

use super::{Attributes, Entry, Node, Origin, Rootfs, follow};
use crate::ground::RootPath;

impl Entry {
    /// A folder that nobody declared.
    pub fn implied() -> Self {
        Self { node: Node::Directory, attributes: Attributes::new(0o755, 0, 0), origin: Origin::Implied }
    }

    /// Whether a layer would hold the same for both: what it is and its metadata. Neither origin
    /// nor link group count: a file is the same file under one name or two.
    pub fn same_as(&self, other: &Self) -> bool {
        self.attributes == other.attributes && self.node.same_as(&other.node)
    }
}

impl Node {
    /// Equal but for the link group.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Node::Directory, Node::Directory) => true,
            (Node::File { content, .. }, Node::File { content: other, .. }) => content == other,
            (Node::Symlink(target), Node::Symlink(other)) => target == other,
            _ => false,
        }
    }
}

impl Rootfs {
    /// What is at this very path; a link is not followed, nor are links above it.
    pub fn get(&self, path: &RootPath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Where a path leads after following every link, the last name's too; absolute targets start
    /// at this root. `None` where nothing is there, or the links make a loop.
    pub fn resolve(&self, path: &RootPath) -> Option<RootPath> {
        let found = follow(path.as_bytes(), true, |path| self.link(path)).ok()?;
        self.entries.get_key_value(found.as_slice()).map(|(path, _)| path.clone())
    }

    /// What a path leads to after following every link.
    pub fn lookup(&self, path: &RootPath) -> Option<&Entry> {
        let found = follow(path.as_bytes(), true, |path| self.link(path)).ok()?;
        self.entries.get(found.as_slice())
    }

    /// The target of the link at this path, if it is one.
    pub fn link(&self, path: &[u8]) -> Option<&[u8]> {
        match &self.entries.get(path)?.node {
            Node::Symlink(target) => Some(target),
            _ => None,
        }
    }

    /// All that lies below a folder, in path order, the folder itself not.
    pub fn below(&self, folder: &RootPath) -> impl Iterator<Item = (&RootPath, &Entry)> {
        let mut prefix = folder.as_bytes().to_vec();
        if !folder.is_root() {
            prefix.push(b'/');
        }
        let start = if folder.is_root() { Bound::Excluded([].as_slice()) } else { Bound::Included(prefix.as_slice()) };
        let range = self.entries.range::<[u8], _>((start, Bound::Unbounded));
        range.take_while(move |(path, _)| path.as_bytes().starts_with(&prefix))
    }

    /// The first path that breaks what holds of every tree: the root is there and a directory, and
    /// so is the folder above each entry.
    pub fn first_orphan(&self) -> Option<RootPath> {
        let folder = |path: &RootPath| matches!(self.entries.get(path), Some(Entry { node: Node::Directory, .. }));
        if !folder(&RootPath::root()) {
            return Some(RootPath::root());
        }
        self.entries.keys().find(|path| path.parent().is_some_and(|above| !folder(&above))).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RootPath {
        RootPath::from_absolute(text.as_bytes()).unwrap()
    }

    fn tree(entries: &[(&str, Option<&str>)]) -> Rootfs {
        let entry = |target: &Option<&str>| Entry {
            node: target.map_or(Node::Directory, |target| Node::Symlink(target.as_bytes().into())),
            ..Entry::implied()
        };
        Rootfs { entries: entries.iter().map(|(name, target)| (path(name), entry(target))).collect() }
    }

    #[test]
    fn absolute_links_resolve_inside() {
        // As Debian 12's loader: /lib64/ld-linux-x86-64.so.2 is an absolute link into /lib.
        let tree = tree(&[
            ("/", None),
            ("/lib", Some("usr/lib")),
            ("/lib64", None),
            ("/lib64/ld.so", Some("/lib/multi/ld.so")),
            ("/loop", Some("loop/x")),
            ("/dangling", Some("nowhere")),
            ("/usr", None),
            ("/usr/lib", None),
            ("/usr/lib/multi", None),
            ("/usr/lib/multi/ld.so", None),
        ]);
        assert_eq!(tree.resolve(&path("/lib64/ld.so")), Some(path("/usr/lib/multi/ld.so")));
        assert_eq!(tree.resolve(&path("/lib/multi")), Some(path("/usr/lib/multi")));
        assert_eq!(tree.resolve(&path("/loop")), None);
        assert_eq!(tree.resolve(&path("/dangling")), None);
        assert_eq!(tree.first_orphan(), None);
    }

    #[test]
    fn below_a_folder_is_not_beside_it() {
        let tree = tree(&[("/", None), ("/a", None), ("/a-b", None), ("/a/b", None), ("/ab", None)]);
        let below: Vec<_> = tree.below(&path("/a")).map(|(path, _)| path.to_string()).collect();
        assert_eq!(below, ["/a/b"]);
        assert_eq!(tree.below(&RootPath::root()).count(), 4);
    }

    #[test]
    fn orphans_are_found() {
        assert_eq!(tree(&[]).first_orphan(), Some(path("/")));
        assert_eq!(tree(&[("/", None), ("/a/b", None)]).first_orphan(), Some(path("/a/b")));
        assert_eq!(tree(&[("/", None), ("/a", Some("b")), ("/a/b", None)]).first_orphan(), Some(path("/a/b")));
    }
}
