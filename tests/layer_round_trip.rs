//! What goes into a layer comes out of it again, read by the `tar` crate.

use std::{collections::BTreeMap, io::Read, path::PathBuf};

use debstrata::{
    ground::{RootPath, Sha256, Silent},
    layer::{Form, NoStore, Sink, emit},
    rootfs::{Attributes, Content, Entry, LinkGroup, Node, Origin},
};
use proptest::prelude::*;

/// What an entry looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: u8,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    link: Vec<u8>,
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(b'a'), 2 => Just(b'-'), 1 => any::<u8>()];
    let size = prop_oneof![4 => 1..4usize, 1 => 90..110usize, 1 => 250..256usize];
    size.prop_flat_map(move |size| prop::collection::vec(byte.clone(), size))
        .prop_filter("no name", |name| !name.iter().any(|b| *b == b'/' || *b == 0) && name != b"." && name != b"..")
}

fn file_path() -> impl Strategy<Value = RootPath> {
    prop::collection::vec(name(), 1..5).prop_map(|names| RootPath::from_archive(&names.join(&b'/')).unwrap())
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let id = prop_oneof![Just(0), Just(2_097_151), Just(2_097_152), any::<u32>()];
    // The tar crate ends a pax record at its first newline.
    let value = prop::collection::vec(any::<u8>().prop_filter("newline", |b| *b != b'\n'), 0..40);
    let xattrs = prop::collection::btree_map("user\\.[a-z]{1,8}", value, 0..3);
    (0..0o10000u16, id.clone(), id, xattrs).prop_map(|(mode, uid, gid, xattrs)| {
        let xattrs = xattrs.into_iter().map(|(key, value)| (key.into_bytes().into(), value.into())).collect();
        Attributes { mode, uid, gid, xattrs }
    })
}

fn node() -> impl Strategy<Value = Node> {
    let size = prop_oneof![Just(0usize), Just(1), Just(511), Just(512), Just(513), 0..3000usize];
    let content = (size, any::<u8>()).prop_map(|(size, byte)| Content::from_bytes(vec![byte; size]));
    let group = prop::option::of((0..3u8).prop_map(|group| LinkGroup(Sha256::of(&[group]))));
    let target = prop::collection::vec(any::<u8>().prop_filter("NUL", |b| *b != 0), 1..250);
    prop_oneof![
        1 => Just(Node::Directory),
        3 => (content, group).prop_map(|(content, group)| Node::File { content, group }),
        1 => target.prop_map(|target| Node::Symlink(target.into())),
    ]
}

fn changes() -> impl Strategy<Value = Vec<(RootPath, Entry)>> {
    prop::collection::btree_map(file_path(), (node(), attributes()), 0..25).prop_map(|wished| {
        let folder = |_: &RootPath| Entry {
            node: Node::Directory,
            attributes: Attributes::new(0o755, 0, 0),
            origin: Origin::Implied,
        };
        let mut all: BTreeMap<RootPath, Entry> = BTreeMap::new();
        for (path, (node, attributes)) in wished {
            for above in path.ancestors() {
                let entry = folder(&above);
                let there = all.entry(above).or_insert_with(|| entry.clone());
                if there.node != Node::Directory {
                    *there = entry;
                }
            }
            all.entry(path).or_insert(Entry { node, attributes, origin: Origin::Implied });
        }
        all.into_iter().collect()
    })
}

fn content(entry: &Entry) -> Vec<u8> {
    let Node::File { content, .. } = &entry.node else { return Vec::new() };
    let mut bytes = vec![0; content.size as usize];
    content.read_at(0, &mut bytes).unwrap();
    bytes
}

fn expected(changes: &[(RootPath, Entry)], mtime: u64) -> Vec<(Vec<u8>, Seen)> {
    let mut firsts: BTreeMap<LinkGroup, &(RootPath, Entry)> = BTreeMap::new();
    let mut all = Vec::new();
    for change in changes {
        let (path, entry) = change;
        let mut name = path.as_bytes().to_vec();
        let mut seen = Seen {
            kind: b'0',
            mode: entry.attributes.mode.into(),
            owner: (entry.attributes.uid.into(), entry.attributes.gid.into()),
            mtime,
            link: Vec::new(),
            content: content(entry),
            xattrs: entry.attributes.xattrs.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect(),
        };
        match &entry.node {
            Node::Directory => {
                seen.kind = b'5';
                name = if path.is_root() { b"./".to_vec() } else { [&name[..], b"/"].concat() };
            }
            Node::Symlink(target) => (seen.kind, seen.link) = (b'2', target.to_vec()),
            Node::File { group: None, .. } => {}
            Node::File { content, group: Some(group) } => {
                let (first, with) = firsts.entry(*group).or_insert(change);
                let same = matches!(&with.node, Node::File { content: other, .. } if other == content);
                if first != path && same && with.attributes == entry.attributes {
                    (seen.kind, seen.link) = (b'1', first.as_bytes().to_vec());
                    seen.content.clear();
                    seen.xattrs.clear();
                }
            }
        }
        all.push((name, seen));
    }
    all
}

fn read_back(tar: &[u8]) -> Vec<(Vec<u8>, Seen)> {
    let mut all = Vec::new();
    for found in tar::Archive::new(tar).entries().unwrap() {
        let mut found = found.unwrap();
        let name = found.path_bytes().into_owned();
        let mut xattrs = BTreeMap::new();
        let mut numbers = BTreeMap::new();
        if let Some(records) = found.pax_extensions().unwrap() {
            for record in records {
                let record = record.unwrap();
                let value = record.value_bytes().to_vec();
                match record.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                    Some(key) => xattrs.insert(key.to_vec(), value),
                    None => numbers.insert(record.key().unwrap().to_owned(), value),
                };
            }
        }
        let number = |key: &str, field: u64| {
            numbers.get(key).map_or(field, |value| std::str::from_utf8(value).unwrap().parse().unwrap())
        };
        let header = found.header();
        let mut seen = Seen {
            kind: header.entry_type().as_byte(),
            mode: header.mode().unwrap(),
            owner: (number("uid", header.uid().unwrap()), number("gid", header.gid().unwrap())),
            mtime: number("mtime", header.mtime().unwrap()),
            link: found.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default(),
            content: Vec::new(),
            xattrs,
        };
        found.read_to_end(&mut seen.content).unwrap();
        all.push((name, seen));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn round_trip(changes in changes(), mtime in prop_oneof![Just(0), Just(8u64.pow(11) - 1), Just(8u64.pow(11))]) {
        let mut tar = Vec::new();
        let mut sinks = [Sink { form: Form::Tar, path: PathBuf::new(), out: &mut tar }];
        emit(&changes, mtime, &mut sinks, &NoStore, &Silent).unwrap();
        prop_assert_eq!(tar.len() % 512, 0);
        prop_assert!(tar.ends_with(&[0; 1024]));
        prop_assert_eq!(read_back(&tar), expected(&changes, mtime));
    }
}
