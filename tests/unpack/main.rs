//! A .deb becomes control members, entries and contents; what must not be unpacked is refused by name.

mod builder;
mod container;
mod entries;
mod mutants;
mod store;
mod tarball;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use debstrata::{
    cache::Cache,
    ground::{Sha256, Silent},
    rootfs::{Content, Node, PackageName},
    unpack::{Expected, Limits, UnpackError, Unpacked, unpack},
};

/// A folder with a cache, and .debs.
struct Bench {
    folder: tempfile::TempDir,
    cache: Cache,
    limits: Limits,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        Self { folder, cache, limits: Limits::default() }
    }

    fn write(&self, deb: &[u8]) -> (PathBuf, Expected) {
        let sha256 = Sha256::of(deb);
        let path = self.folder.path().join(format!("{sha256}.deb"));
        std::fs::write(&path, deb).unwrap();
        (path, Expected { package: toy(), size: deb.len() as u64, sha256 })
    }

    fn unpack(&self, deb: &[u8]) -> Result<Unpacked, UnpackError> {
        let (path, expected) = self.write(deb);
        unpack(&path, &expected, &self.cache, &self.limits, &Silent)
    }

    /// How many files the cache holds.
    fn kept(&self) -> usize {
        fn count(folder: PathBuf) -> usize {
            std::fs::read_dir(folder).map_or(0, |entries| {
                entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { count(path) } else { 1 }).sum()
            })
        }
        count(self.folder.path().join("cache/derived"))
    }
}

fn toy() -> Arc<PackageName> {
    Arc::new(PackageName { name: "toy".into(), version: "1:2.0-3".into(), architecture: "amd64".into() })
}

/// What was unpacked, and the folder that its contents lie in.
struct Fresh {
    unpacked: Unpacked,
    _bench: Bench,
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.unpacked.fmt(f)
    }
}

impl std::ops::Deref for Fresh {
    type Target = Unpacked;

    fn deref(&self) -> &Unpacked {
        &self.unpacked
    }
}

/// Unpacks into a cache of its own.
fn unpack_deb(deb: &[u8]) -> Result<Fresh, UnpackError> {
    let bench = Bench::new();
    Ok(Fresh { unpacked: bench.unpack(deb)?, _bench: bench })
}

/// The same, of a data.tar.
fn unpack_data(data: &[u8]) -> Result<Fresh, UnpackError> {
    unpack_deb(&builder::deb(data))
}

fn bytes_of(content: &Content) -> Vec<u8> {
    let mut bytes = vec![0; content.size as usize];
    content.read_at(0, &mut bytes).unwrap();
    assert_eq!(Sha256::of(&bytes), content.sha256);
    bytes
}

/// `path: "file 0644 0:0 text"`, hard-linked names with `&` and the number of their group.
fn tree(unpacked: &Unpacked) -> BTreeMap<String, String> {
    let mut groups = Vec::new();
    let mut tree = BTreeMap::new();
    for item in &unpacked.entries {
        let at = &item.attributes;
        let meta = format!("{:04o} {}:{}", at.mode, at.uid, at.gid);
        let mut text = match &item.node {
            Node::Directory => format!("dir {meta}"),
            Node::Symlink(target) => format!("link {meta} {}", String::from_utf8_lossy(target)),
            Node::File { content, group } => {
                let group = group.map_or(String::new(), |group| {
                    let number = groups.iter().position(|known| *known == group).unwrap_or_else(|| {
                        groups.push(group);
                        groups.len() - 1
                    });
                    format!(" &{number}")
                });
                format!("file {meta} {}{group}", String::from_utf8_lossy(&bytes_of(content)))
            }
        };
        for (name, value) in &at.xattrs {
            text += &format!(" {}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        }
        assert_eq!(tree.insert(item.path.to_string(), text), None, "{} is there twice", item.path);
    }
    tree
}

#[track_caller]
fn assert_tree(unpacked: &Unpacked, expected: &[(&str, &str)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect();
    assert_eq!(tree(unpacked), expected);
}
