//! What maintainer scripts would have made, made natively: one file an artefact, each a function
//! from tree, packages and wish to entries. None knows another.
//!
//! A new one is a file here and a row in [`GENERATORS`].

mod ca_certificates;
mod dpkg_status;
mod error;
mod group;
mod ld_so_cache;
mod os_release;
mod passwd;

use crate::{
    debian::Architecture,
    ground::{RootPath, Source},
    manifest,
    rootfs::{Content, Node, PackageName, Rootfs},
    unpack::Unpacked,
};

pub use error::GenerateError;

/// All that a generator may look at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The tier's manifest file, for messages.
    pub source: &'a Source,
    /// The tier's `[generate]`.
    pub wish: &'a manifest::Generate,
    /// What the tier is composed for.
    pub architecture: Architecture,
    /// The tier's own packages (not its parents') in order, whole: no glob has touched them.
    pub packages: &'a [Package<'a>],
    /// The merged tree so far: packages and declared paths; for a late generator also what the others
    /// of this tier made.
    pub rootfs: &'a Rootfs,
    /// Users and groups of the tier and its parents.
    pub accounts: &'a Accounts,
    /// Whether the tier itself declares users.
    pub declares_users: bool,
    /// Whether the tier itself declares groups.
    pub declares_groups: bool,
}

/// One unpacked package.
#[derive(Debug, Clone, Copy)]
pub struct Package<'a> {
    /// What it is called.
    pub name: &'a PackageName,
    /// What it holds.
    pub unpacked: &'a Unpacked,
}

/// Users and groups of a tier's chain, parents first, each tier's in the order of its manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Lines of /etc/passwd.
    pub users: Vec<manifest::User>,
    /// Lines of /etc/group.
    pub groups: Vec<manifest::Group>,
}

impl Accounts {
    /// These and a child tier's. One that the child declares again under the same name takes the
    /// place of the first.
    pub fn with(&self, users: &[manifest::User], groups: &[manifest::Group]) -> Self {
        let mut all = self.clone();
        for user in users {
            match all.users.iter_mut().find(|other| other.name == user.name) {
                Some(other) => *other = user.clone(),
                None => all.users.push(user.clone()),
            }
        }
        for group in groups {
            match all.groups.iter_mut().find(|other| other.name == group.name) {
                Some(other) => *other = group.clone(),
                None => all.groups.push(group.clone()),
            }
        }
        all
    }
}

/// What a generator made: a file of mode 0644, or a symbolic link; root:root always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where it goes.
    pub path: RootPath,
    /// The file or link.
    pub node: Node,
}

impl Made {
    fn new(path: &str, bytes: Vec<u8>) -> Self {
        let path = RootPath::from_absolute(path.as_bytes()).expect("generators know where their files go");
        Self::file(path, Content::from_bytes(bytes))
    }

    fn file(path: RootPath, content: Content) -> Self {
        Self { path, node: Node::File { content, group: None } }
    }

    fn link(path: RootPath, target: &[u8]) -> Self {
        Self { path, node: Node::Symlink(target.into()) }
    }
}

/// One artefact.
pub struct Generator {
    /// How messages and origins call it.
    pub name: &'static str,
    /// Makes its files; none where the tier does not ask for it.
    pub make: fn(&Request<'_>) -> Result<Vec<Made>, GenerateError>,
    /// Whether it looks at what the others made.
    pub late: bool,
}

/// All of them, by name.
pub static GENERATORS: [Generator; 6] = [
    Generator { name: "ca-certificates", make: ca_certificates::make, late: false },
    Generator { name: "dpkg-status", make: dpkg_status::make, late: false },
    Generator { name: "group", make: group::make, late: false },
    Generator { name: "ld-so-cache", make: ld_so_cache::make, late: true },
    Generator { name: "os-release", make: os_release::make, late: false },
    Generator { name: "passwd", make: passwd::make, late: false },
];

#[cfg(test)]
mod tests;
