//! Every path of a tier, as views tell of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    evidence::{
        files::Finished,
        kept_out::place,
        origin::{Bringer, Origins},
    },
    ground::{RootPath, printable},
    rootfs::{LinkGroup, Node},
};

/// A tier's merged tree, without the bytes of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Names of the chain's tiers, the root tier first. A `stage` is a place in this list.
    pub tiers: Vec<Box<str>>,
    /// The whole chain's, the root tier's first.
    pub packages: Vec<Owned>,
    /// In the order of /etc/passwd.
    pub users: Vec<Account>,
    /// In the order of /etc/group.
    pub groups: Vec<Members>,
    /// In path order, the root first; the folder above a path always comes before it.
    pub items: Vec<Item>,
}

/// A package of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Binary package name.
    pub name: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// `all` or an architecture.
    pub architecture: Box<str>,
    /// The tier that adds it.
    pub stage: usize,
    /// The line of its tier's manifest that names it; none of a dependency.
    pub wished: Option<Place>,
}

/// A line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `manifests/debian13/cc.toml`
    pub file: Box<str>,
    /// From 1.
    pub line: usize,
}

/// A user; passwd(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Login name.
    pub name: Box<str>,
    /// Number.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// Home directory, as a path that is safe to print.
    pub home: Box<str>,
    /// Shell.
    pub shell: Box<str>,
}

/// A group; group(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Members {
    /// Its name.
    pub name: Box<str>,
    /// Number.
    pub gid: u32,
    /// Login names.
    pub members: Vec<Box<str>>,
}

/// A path of a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where.
    pub path: RootPath,
    /// What.
    pub kind: Kind,
    /// Twelve bits.
    pub mode: u16,
    /// Number of the owner.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// The tier whose layer holds it as it is: the last one that put or changed it.
    pub stage: usize,
    /// What brought it.
    pub origin: Origin,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Directory,
    /// A file.
    File {
        /// In bytes.
        size: u64,
        /// The first name of the same inode, as a place among the items.
        same_file_as: Option<usize>,
    },
    /// A symbolic link with its target as stored.
    Link(Box<[u8]>),
}

/// What brought a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A package, by its place in the list.
    Package(usize),
    /// A generator of a tier.
    Generator {
        /// Such as `ca-certificates`.
        name: Box<str>,
        /// The tier.
        stage: usize,
    },
    /// A table of a manifest.
    Manifest {
        /// Such as `directories`.
        key: Box<str>,
        /// Where.
        place: Place,
    },
    /// A layer of an image that others made, by the digits of its diff_id.
    Image(Box<str>),
    /// Nothing: a folder that something else lies in.
    Implied,
}

impl Listing {
    /// Of a composed tier.
    pub fn of(finished: &Finished<'_>) -> Self {
        let Some((last, tree)) = finished.stages.last().zip(finished.tree()) else { return Self::default() };
        let packages = finished.packages();
        let origins = Origins::new(finished, &packages);
        let owned = packages.iter().map(|own| {
            let name = &own.input.name;
            let tier = finished.stages.get(own.stage).map(|stage| stage.tier);
            let wish = tier.and_then(|tier| {
                let wanted = |choice: &crate::debian::Alternative| *choice.name == *name.name;
                let wish = tier.packages.iter().find(|wish| wish.relation.0.iter().any(wanted))?;
                let (file, line) = place(tier, &wish.span);
                Some(Place { file: (*file).into(), line })
            });
            Owned {
                name: name.name.clone(),
                version: name.version.clone(),
                architecture: name.architecture.clone(),
                stage: own.stage,
                wished: wish,
            }
        });
        let mut firsts: BTreeMap<LinkGroup, usize> = BTreeMap::new();
        let items = tree.entries.iter().enumerate().map(|(number, (path, entry))| Item {
            path: path.clone(),
            kind: match &entry.node {
                Node::Directory => Kind::Directory,
                Node::Symlink(target) => Kind::Link(target.clone()),
                Node::File { content, group } => {
                    let first = group.map(|group| *firsts.entry(group).or_insert(number));
                    Kind::File { size: content.size, same_file_as: first.filter(|first| *first != number) }
                }
            },
            mode: entry.attributes.mode,
            uid: entry.attributes.uid,
            gid: entry.attributes.gid,
            stage: origins.stage(path, entry),
            origin: match origins.of(path, entry) {
                Bringer::Package(number) => Origin::Package(number),
                Bringer::Generator { stage, generator, .. } => Origin::Generator { name: generator.into(), stage },
                Bringer::Manifest { key, file, line, .. } => {
                    Origin::Manifest { key: key.into(), place: Place { file: file.into(), line } }
                }
                Bringer::Image { layer, .. } => Origin::Image(layer.to_string().into()),
                Bringer::Implied => Origin::Implied,
            },
        });
        let accounts = &last.composed.accounts;
        let users = accounts.users.iter().map(|user| Account {
            name: user.name.as_str().into(),
            uid: user.uid,
            gid: user.gid,
            home: user.home.as_ref().map_or_else(|| "/nonexistent".into(), |home| home.to_string().into()),
            shell: printable(user.shell.as_bytes()).into(),
        });
        let groups = accounts.groups.iter().map(|group| Members {
            name: group.name.as_str().into(),
            gid: group.gid,
            members: group.members.iter().map(|member| member.as_str().into()).collect(),
        });
        Self {
            tiers: finished.stages.iter().map(|stage| stage.tier.name.as_str().into()).collect(),
            packages: owned.collect(),
            users: users.collect(),
            groups: groups.collect(),
            items: items.collect(),
        }
    }

    /// The name of a tier of the chain.
    pub fn tier(&self, stage: usize) -> &str {
        self.tiers.get(stage).map_or("", |name| name)
    }

    /// Bytes that a path takes by itself: none of a second name of the same file.
    pub fn own_size(item: &Item) -> u64 {
        match item.kind {
            Kind::File { size, same_file_as: None } => size,
            _ => 0,
        }
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.items.iter().map(Self::own_size).fold(0, u64::saturating_add)
    }

    /// Bytes of the files of each package, in the order of the packages.
    pub fn sizes_by_package(&self) -> Vec<u64> {
        let mut sizes = vec![0_u64; self.packages.len()];
        for item in &self.items {
            if let Origin::Package(number) = item.origin
                && let Some(size) = sizes.get_mut(number)
            {
                *size = size.saturating_add(Self::own_size(item));
            }
        }
        sizes
    }

    /// The largest files, the largest first; of equals in path order.
    pub fn largest(&self, count: usize) -> Vec<&Item> {
        let mut files: Vec<_> = self.items.iter().filter(|item| Self::own_size(item) > 0).collect();
        files.sort_by_key(|item| std::cmp::Reverse(Self::own_size(item)));
        files.truncate(count);
        files
    }

    /// What brought a path, in a few words that are safe to print: `libc6 2.41-12`.
    pub fn origin(&self, item: &Item) -> String {
        match &item.origin {
            Origin::Package(number) => self.packages.get(*number).map_or_else(String::new, |package| {
                printable(format!("{} {}", package.name, package.version).as_bytes())
            }),
            Origin::Generator { name, .. } => format!("generate.{name}"),
            Origin::Manifest { key, place } => format!("[[{key}]] {place}"),
            Origin::Image(layer) => format!("image layer {}", printable(layer.as_bytes())),
            Origin::Implied => "-".to_owned(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", printable(self.file.as_bytes()), self.line)
    }
}
