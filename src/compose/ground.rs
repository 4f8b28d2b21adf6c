//! An image that others made, as what a tier is composed on: its tree, and the accounts in it.

use std::{io, sync::Arc};

use miette::Diagnostic;

use super::Composed;
use crate::{
    generate::Accounts,
    ground::{Class, Failure, RootPath},
    manifest::{Archive, Group, User},
    rootfs::{Node, Rootfs},
};

/// The largest file of accounts, in bytes.
const LARGEST_ACCOUNTS: u64 = 4 << 20;

/// Why no tier can be composed on an image. `image` is how messages call it.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum GroundError {
    /// A line of passwd(5) or group(5) is none.
    #[error("line {line} of {path} in the image {image} cannot be read: {why}")]
    #[diagnostic(
        code(debstrata::compose::ground_accounts),
        help("users and groups of a tier stand beside those of its base: use an image whose accounts can be read")
    )]
    Accounts {
        /// The image.
        image: String,
        /// The file.
        path: &'static str,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A file of it could not be read.
    #[error("{path} in the image {image} cannot be read")]
    #[diagnostic(code(debstrata::compose::ground_read), help("see what the system says about the cache"))]
    Read {
        /// The image.
        image: String,
        /// The file.
        path: &'static str,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// `merged-usr` of archive.toml and the image do not fit.
    #[error("the image {image} has {found}, and archive.toml says merged-usr = {wanted}")]
    #[diagnostic(
        code(debstrata::compose::ground_merged_usr),
        help(
            "packages of one layout on an image of the other hide each other's files: set merged-usr = {}, or take \
             another image",
            !wanted
        )
    )]
    MergedUsr {
        /// The image.
        image: String,
        /// What is there.
        found: &'static str,
        /// What archive.toml says.
        wanted: bool,
    },
}

impl Failure for GroundError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } => Class::World,
            Self::Accounts { .. } | Self::MergedUsr { .. } => Class::User,
        }
    }
}

/// An image's tree, to be composed on.
#[derive(Debug)]
pub struct Ground<'a> {
    /// What messages call it.
    pub image: &'a str,
    /// Its tree.
    pub rootfs: Rootfs,
    /// The distribution that tiers on it belong to.
    pub archive: &'a Archive,
}

impl Ground<'_> {
    /// What takes a parent's place in a composition: accounts from /etc/passwd and /etc/group.
    ///
    /// # Errors
    /// Accounts that cannot be read, another layout of /usr than the distribution's.
    pub fn composed(self) -> Result<Composed, GroundError> {
        self.merged_usr()?;
        let mut accounts = Accounts::default();
        for (number, line) in self.lines("/etc/passwd")? {
            let fault = |why| self.fault("/etc/passwd", number, why);
            accounts.users.push(user(&line).map_err(fault)?);
        }
        for (number, line) in self.lines("/etc/group")? {
            let fault = |why| self.fault("/etc/group", number, why);
            accounts.groups.push(group(&line).map_err(fault)?);
        }
        let ground = Some(Arc::new(self.rootfs.clone()));
        Ok(Composed { rootfs: self.rootfs, accounts, ground, is_ground: true, ..Composed::default() })
    }

    fn fault(&self, path: &'static str, line: usize, why: &'static str) -> GroundError {
        GroundError::Accounts { image: self.image.to_owned(), path, line, why }
    }

    /// Lines of a file that name somebody, with their numbers.
    fn lines(&self, path: &'static str) -> Result<Vec<(usize, String)>, GroundError> {
        let place = RootPath::from_absolute(path.as_bytes()).expect("it is absolute and plain");
        let Some(Node::File { content, .. }) = self.rootfs.lookup(&place).map(|entry| &entry.node) else {
            return Ok(Vec::new());
        };
        if content.size > LARGEST_ACCOUNTS {
            return Err(self.fault(path, 1, "the file has more than 4 MiB"));
        }
        let mut bytes = vec![0; usize::try_from(content.size).unwrap_or(usize::MAX)];
        let read = content.read_at(0, &mut bytes);
        read.map_err(|error| GroundError::Read { image: self.image.to_owned(), path, error })?;
        let mut lines = Vec::new();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            // Lines of NIS (nsswitch.conf(5), compat) name nobody here.
            if line.trim_ascii().is_empty() || b"#+-".contains(&line[0]) {
                continue;
            }
            let text = std::str::from_utf8(line).ok().filter(|text| !text.chars().any(char::is_control));
            let text = text.ok_or_else(|| self.fault(path, at + 1, "it is no plain text"))?;
            lines.push((at + 1, text.to_owned()));
        }
        Ok(lines)
    }

    /// An image without /bin and /usr/bin has no layout of its own.
    fn merged_usr(&self) -> Result<(), GroundError> {
        let at = |path: &str| RootPath::from_absolute(path.as_bytes()).expect("it is absolute and plain");
        let wanted = self.archive.merged_usr;
        let fail = |found| Err(GroundError::MergedUsr { image: self.image.to_owned(), found, wanted });
        let node = |path| self.rootfs.get(&at(path)).map(|entry| &entry.node);
        for (name, folder, link) in [
            ("/bin", "a folder /bin", "/bin as a link into /usr"),
            ("/lib", "a folder /lib", "/lib as a link into /usr"),
            ("/sbin", "a folder /sbin", "/sbin as a link into /usr"),
        ] {
            match node(name) {
                Some(Node::Directory) if wanted && self.rootfs.below(&at(name)).next().is_some() => {
                    return fail(folder);
                }
                Some(Node::Symlink(target)) if !wanted && is_in_usr(target) => return fail(link),
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_in_usr(target: &[u8]) -> bool {
    target.strip_prefix(b"/").unwrap_or(target).starts_with(b"usr/")
}

/// passwd(5)
fn user(line: &str) -> Result<User, &'static str> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _password, uid, gid, gecos, home, shell] = fields[..] else { return Err("it has not seven fields") };
    let id = |text: &str| text.parse::<u32>().map_err(|_| "an id is no number");
    Ok(User {
        span: 0..0,
        name: Some(name).filter(|name| !name.is_empty()).ok_or("it has no name")?.to_owned(),
        uid: id(uid)?,
        gid: id(gid)?,
        gecos: gecos.to_owned(),
        home: RootPath::from_archive(home.as_bytes()).ok().filter(|_| home.starts_with('/')),
        home_mode: 0o700,
        shell: shell.to_owned(),
    })
}

/// group(5)
fn group(line: &str) -> Result<Group, &'static str> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _password, gid, members] = fields[..] else { return Err("it has not four fields") };
    Ok(Group {
        span: 0..0,
        name: Some(name).filter(|name| !name.is_empty()).ok_or("it has no name")?.to_owned(),
        gid: gid.parse().map_err(|_| "its id is no number")?,
        members: members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect(),
    })
}

impl Composed {
    /// Of a tier that stands right on an image that others made: that image's tree.
    pub fn ground(&self) -> Option<&Rootfs> {
        self.ground.as_deref()
    }
}
