//! What maintainer scripts would have made, made natively: one file an artefact, each a function
//! from tree, packages and wish to entries. None knows another.
//!
//! A new one is a file here and a row in [`GENERATORS`].

mod alternatives;
mod ca_certificates;
mod certificates;
mod dpkg_status;
mod error;
mod group;
mod java_keystore;
mod ld_so_cache;
mod locales;
mod os_release;
mod passwd;
mod script_paths;
pub mod scripts;
mod shell;
mod timezone;
mod tmpfiles;

use crate::{
    debian::Architecture,
    ground::{RootPath, Source},
    manifest,
    rootfs::{Attributes, Content, Node, PackageName, Rootfs},
    unpack::Unpacked,
};

pub use alternatives::Choice;
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
    /// Whether the tier itself declares users, or its packages make some.
    pub declares_users: bool,
    /// Whether the tier itself declares groups, or its packages make some.
    pub declares_groups: bool,
    /// What the maintainer scripts of the tier's own packages come to.
    pub effects: &'a scripts::Effects,
    /// Alternatives of the parents' packages, the root tier's first.
    pub inherited_choices: &'a [Choice],
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
    /// Whether there is a user or a group of this name.
    fn has(&self, name: &str) -> bool {
        self.users.iter().any(|user| user.name == name) || self.groups.iter().any(|group| group.name == name)
    }

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

/// An entry that a generator made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where it goes.
    pub path: RootPath,
    /// What it is.
    pub node: Node,
    /// Mode and owner; of a link 0777.
    pub attributes: Attributes,
}

impl Made {
    /// A file, 0644 and root:root.
    fn new(path: &str, bytes: Vec<u8>) -> Self {
        let path = RootPath::from_absolute(path.as_bytes()).expect("generators know where their files go");
        Self::file(path, Content::from_bytes(bytes))
    }

    /// The same.
    fn file(path: RootPath, content: Content) -> Self {
        Self { path, node: Node::File { content, group: None }, attributes: Attributes::new(0o644, 0, 0) }
    }

    /// A symbolic link.
    fn link(path: RootPath, target: &[u8]) -> Self {
        Self { path, node: Node::Symlink(target.into()), attributes: Attributes::new(0o777, 0, 0) }
    }
}

/// One artefact.
pub struct Generator {
    /// How messages and origins call it.
    pub name: &'static str,
    /// Makes its entries; none where the tier does not ask for it.
    pub make: fn(&Request<'_>) -> Result<Vec<Made>, GenerateError>,
    /// Whether it looks at what the others made.
    pub late: bool,
}

/// All of them, by name.
pub static GENERATORS: [Generator; 12] = [
    Generator { name: "alternatives", make: alternatives::make, late: false },
    Generator { name: "ca-certificates", make: ca_certificates::make, late: false },
    Generator { name: "dpkg-status", make: dpkg_status::make, late: false },
    Generator { name: "group", make: group::make, late: false },
    Generator { name: "java-keystore", make: java_keystore::make, late: false },
    Generator { name: "ld-so-cache", make: ld_so_cache::make, late: true },
    Generator { name: "locales", make: locales::make, late: false },
    Generator { name: "os-release", make: os_release::make, late: false },
    Generator { name: "passwd", make: passwd::make, late: false },
    Generator { name: "scripts", make: script_paths::make, late: false },
    Generator { name: "timezone", make: timezone::make, late: false },
    Generator { name: "tmpfiles", make: tmpfiles::make, late: false },
];

#[cfg(test)]
mod tests;
