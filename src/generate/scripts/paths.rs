//! Calls of mkdir(1), ln(1), chmod(1) and their like, done to a tree in memory.
//!
//! What the manifest declares, here or in a parent tier, is never touched, and nothing that a package
//! brought is deleted or gets other bytes. All paths are paths of the tree: there is no way out of it.

use std::{cell::OnceCell, collections::BTreeMap, ops::Bound};

use super::{
    accounts::Users,
    arguments::{Arguments, changed, octal, path},
    name,
};
use crate::{
    generate::{Made, Package, shell::Call},
    ground::{RootPath, follow},
    rootfs::{Attributes, Content, Entry, Node, Origin, Rootfs},
    unpack::Item,
};

/// What is at a path, links followed; before /usr was merged, it may be below it.
pub(in crate::generate) fn find<'a>(rootfs: &'a Rootfs, path: &RootPath) -> Option<&'a Entry> {
    let below_usr = || RootPath::from_absolute(&[b"/usr/".as_slice(), path.as_bytes()].concat()).ok();
    rootfs.lookup(path).or_else(|| rootfs.lookup(&below_usr()?))
}

pub(super) struct Paths<'a, 'b> {
    pub(super) rootfs: &'a Rootfs,
    pub(super) packages: &'a [Package<'a>],
    pub(super) users: &'a mut Users<'b>,
    made: BTreeMap<RootPath, (Node, Attributes)>,
    /// Entries of packages by path, whatever the globs left of them; made when first asked for.
    brought: OnceCell<BTreeMap<&'a RootPath, &'a Item>>,
    /// umask(1)
    pub(super) mask: u16,
}

impl<'a, 'b> Paths<'a, 'b> {
    pub(super) fn new(rootfs: &'a Rootfs, packages: &'a [Package<'a>], users: &'a mut Users<'b>) -> Self {
        Self { rootfs, packages, users, made: BTreeMap::new(), brought: OnceCell::new(), mask: 0o022 }
    }

    fn brought(&self, path: &RootPath) -> Option<&'a Item> {
        let packages = self.packages;
        let all = || {
            // The first package's, where there are two.
            let items = packages.iter().rev().flat_map(|package| package.unpacked.entries.iter().rev());
            items.map(|item| (&item.path, item)).collect()
        };
        self.brought.get_or_init(all).get(path).copied()
    }
}

impl Paths<'_, '_> {
    /// Does what a call would do; `false` where it is not understood, and nothing is done.
    pub(super) fn call(&mut self, call: &Call) -> bool {
        let done = match name(call) {
            Some("mkdir") => self.mkdir(call),
            Some("install") => self.install(call),
            Some("ln") => self.link(call),
            Some("touch") => self.touch(call),
            Some("cp") => self.copy(call),
            Some("ucf") => self.ucf(call),
            Some("chmod") => self.chmod(call),
            Some("chown" | "chgrp") => self.chown(call),
            Some("dpkg-statoverride") => self.override_mode(call),
            Some("rm" | "rmdir") => self.remove(call),
            Some("umask") => {
                call.words.get(1).and_then(|mask| octal(mask.as_deref()?)).map(|mask| self.mask = mask & 0o777)
            }
            _ => None,
        };
        done.is_some()
    }

    /// Whether something is there, made ones too.
    pub(super) fn exists(&self, text: &[u8]) -> bool {
        let Ok(path) = RootPath::from_absolute(text) else { return false };
        self.made.contains_key(&self.real(path.clone())) || find(self.rootfs, &path).is_some()
    }

    pub(super) fn finish(self) -> Vec<Made> {
        self.made.into_iter().map(|(path, (node, attributes))| Made { path, node, attributes }).collect()
    }

    /// Through links above it, made ones too, so that two names of one path meet.
    fn real(&self, path: RootPath) -> RootPath {
        let link = |at: &[u8]| match self.made.get(at) {
            Some((Node::Symlink(target), _)) => Some(&**target),
            Some(_) => None,
            None => self.rootfs.link(at),
        };
        let above = path.parent().and_then(|above| follow(above.as_bytes(), true, link).ok());
        let above = above.and_then(|above| RootPath::from_archive(&above).ok());
        above.and_then(|above| above.join(path.name()).ok()).unwrap_or(path)
    }

    fn get(&self, path: &RootPath) -> Option<(Node, Attributes)> {
        if let Some(made) = self.made.get(path) {
            return Some(made.clone());
        }
        let entry = self.rootfs.get(path).or_else(|| find(self.rootfs, path))?;
        Some((entry.node.clone(), entry.attributes.clone()))
    }

    /// Whether the manifest of this tier or a parent says what is there.
    fn declared(&self, path: &RootPath) -> bool {
        let entry = self.rootfs.get(path);
        matches!(entry, Some(Entry { origin: Origin::Declared { .. } | Origin::Generated { .. }, .. }))
    }

    /// Whether something lies below.
    fn occupied(&self, folder: &RootPath) -> bool {
        let prefix = [folder.as_bytes(), b"/"].concat();
        let mut made = self.made.range::<[u8], _>((Bound::Included(prefix.as_slice()), Bound::Unbounded));
        made.next().is_some_and(|(path, _)| path.as_bytes().starts_with(&prefix))
            || self.rootfs.below(folder).next().is_some()
    }

    fn put(&mut self, path: RootPath, node: Node, attributes: Attributes) {
        if !self.declared(&path) {
            self.made.insert(path, (node, attributes));
        }
    }

    fn folder(&mut self, path: RootPath, mode: u16, owner: (u32, u32)) {
        let path = self.real(path);
        if self.get(&path).is_none() {
            self.put(path, Node::Directory, Attributes::new(mode, owner.0, owner.1));
        }
    }

    fn mkdir(&mut self, call: &Call) -> Option<()> {
        let arguments = Arguments::of(call, "m", &["p", "--parents", "v"])?;
        let mode = match arguments.values.get(&'m') {
            Some(mode) => octal(mode)?,
            None => 0o777 & !self.mask,
        };
        let paths = arguments.rest.iter().map(|one| path(one)).collect::<Option<Vec<_>>>()?;
        paths.into_iter().for_each(|path| self.folder(path, mode, (0, 0)));
        Some(())
    }

    fn install(&mut self, call: &Call) -> Option<()> {
        let arguments = Arguments::of(call, "mog", &["d", "--directory", "p", "v"])?;
        if !arguments.has("d") && !arguments.has("--directory") {
            return None;
        }
        let mode = arguments.values.get(&'m').map_or(Some(0o755), |mode| octal(mode))?;
        let uid = arguments.values.get(&'o').map_or(Some(0), |user| self.users.uid(user))?;
        let gid = arguments.values.get(&'g').map_or(Some(0), |group| self.users.gid(group))?;
        let paths = arguments.rest.iter().map(|one| path(one)).collect::<Option<Vec<_>>>()?;
        for path in paths {
            let path = self.real(path);
            self.put(path, Node::Directory, Attributes::new(mode, uid, gid));
        }
        Some(())
    }

    fn link(&mut self, call: &Call) -> Option<()> {
        let arguments = Arguments::of(call, "", &["s", "f", "n", "T", "v", "--symbolic", "--force"])?;
        let symbolic = arguments.has("s") || arguments.has("--symbolic");
        let [target, link] = arguments.rest.as_slice() else { return None };
        let mut link = self.real(path(link)?);
        if !symbolic || target.is_empty() {
            return None;
        }
        if matches!(self.get(&link), Some((Node::Directory, _))) && !arguments.has("n") && !arguments.has("T") {
            link = link.join(target.rsplit('/').next()?.as_bytes()).ok()?;
        }
        match self.get(&link) {
            Some((Node::Symlink(_), _)) if arguments.has("f") => {}
            None => {}
            // Of another kind, or ln fails.
            Some(_) => return (!arguments.has("f")).then_some(()),
        }
        self.put(link, Node::Symlink(target.as_bytes().into()), Attributes::new(0o777, 0, 0));
        Some(())
    }

    fn touch(&mut self, call: &Call) -> Option<()> {
        let arguments = Arguments::of(call, "", &["a", "m"])?;
        let paths = arguments.rest.iter().map(|one| path(one)).collect::<Option<Vec<_>>>()?;
        for path in paths {
            let path = self.real(path);
            if self.get(&path).is_none() {
                let node = Node::File { content: Content::from_bytes(Vec::new()), group: None };
                self.put(path, node, Attributes::new(0o666 & !self.mask, 0, 0));
            }
        }
        Some(())
    }

    /// A file as its package has it, whatever the globs keep.
    fn source(&self, source: &RootPath) -> Option<(Content, Attributes)> {
        let from_package = || self.brought(source).map(|item| (item.node.clone(), item.attributes.clone()));
        match self.get(source).or_else(from_package)? {
            (Node::File { content, .. }, attributes) => Some((content, attributes)),
            _ => None,
        }
    }

    fn copy(&mut self, call: &Call) -> Option<()> {
        let arguments = Arguments::of(call, "", &["p", "a", "f", "d", "Z", "--preserve"])?;
        let [from, to] = arguments.rest.as_slice() else { return None };
        let (content, mut attributes) = self.source(&path(from)?)?;
        let mut to = self.real(path(to)?);
        if matches!(self.get(&to), Some((Node::Directory, _))) {
            to = to.join(from.rsplit('/').next()?.as_bytes()).ok()?;
        }
        if !arguments.has("p") && !arguments.has("a") && !arguments.has("--preserve") {
            attributes = Attributes::new(attributes.mode & 0o777 & !self.mask, 0, 0);
        }
        // What a package or a parent tier brought keeps its bytes.
        if self.rootfs.get(&to).is_some() || !matches!(self.get(&to), None | Some((Node::File { .. }, _))) {
            return None;
        }
        self.put(to, Node::File { content, group: None }, attributes);
        Some(())
    }

    /// ucf(1) of a file that is not there yet.
    fn ucf(&mut self, call: &Call) -> Option<()> {
        let arguments = Arguments::of(call, "", &["--three-way", "--debconf-ok", "--sum-file"])?;
        let [from, to] = arguments.rest.as_slice() else { return None };
        let (content, attributes) = self.source(&path(from)?)?;
        let to = self.real(path(to)?);
        if self.get(&to).is_none() {
            let attributes = Attributes::new(attributes.mode, 0, 0);
            self.put(to, Node::File { content, group: None }, attributes);
        }
        Some(())
    }

    /// Changes what is there; what the globs left out needs no change.
    fn change(&mut self, one: &str, change: impl FnOnce(&Node, &mut Attributes)) -> Option<()> {
        let path = self.real(path(one)?);
        let Some((node, mut attributes)) = self.get(&path) else {
            return self.brought(&path).map(drop);
        };
        if matches!(node, Node::Symlink(_)) {
            return None;
        }
        let before = attributes.clone();
        change(&node, &mut attributes);
        if attributes != before {
            self.put(path, node, attributes);
        }
        Some(())
    }

    fn chmod(&mut self, call: &Call) -> Option<()> {
        let arguments = Arguments::of(call, "", &["f", "v", "c"])?;
        let (mode, paths) = arguments.rest.split_first()?;
        changed(mode, 0)?;
        paths.iter().try_for_each(|one| {
            self.change(one, |_, attributes| {
                attributes.mode = changed(mode, attributes.mode).unwrap_or(attributes.mode)
            })
        })
    }

    fn chown(&mut self, call: &Call) -> Option<()> {
        let arguments = Arguments::of(call, "", &["f", "v", "c", "h"])?;
        let (owner, paths) = arguments.rest.split_first()?;
        let (user, group) = match name(call) {
            Some("chgrp") => ("", *owner),
            _ => owner.split_once([':', '.']).unwrap_or((owner, "")),
        };
        let uid = if user.is_empty() { None } else { Some(self.users.uid(user)?) };
        let gid = match group.is_empty() {
            false => Some(self.users.gid(group)?),
            // `user:` means the user's own group.
            true if !user.is_empty() && owner.len() > user.len() => Some(self.users.login_group(user)?),
            true => None,
        };
        paths.iter().try_for_each(|one| {
            self.change(one, |node, attributes| {
                attributes.uid = uid.unwrap_or(attributes.uid);
                attributes.gid = gid.unwrap_or(attributes.gid);
                // chown(2) takes set-id bits away, but not of a folder.
                if *node != Node::Directory {
                    attributes.mode &= 0o1777;
                }
            })
        })
    }

    /// `dpkg-statoverride --update --add USER GROUP MODE PATH`
    fn override_mode(&mut self, call: &Call) -> Option<()> {
        let arguments = Arguments::of(call, "", &["--update", "--quiet", "--force", "--force-all", "--add"])?;
        let [user, group, mode, one] = arguments.rest.as_slice() else { return None };
        if !arguments.has("--add") || !arguments.has("--update") {
            return None;
        }
        let attributes = Attributes::new(octal(mode)?, self.users.uid(user)?, self.users.gid(group)?);
        self.change(one, |_, before| *before = attributes)
    }

    /// What a package brought stays; what was never there needs no removal.
    fn remove(&mut self, call: &Call) -> Option<()> {
        let known = ["f", "r", "v", "p", "--ignore-fail-on-non-empty"];
        let arguments = Arguments::of(call, "", &known)?;
        for one in &arguments.rest {
            if let Some(at) = one.find(['*', '?', '[']) {
                // A pattern that nothing can match.
                let folder = self.real(path(one[..at].rsplit_once('/')?.0)?);
                if self.occupied(&folder) {
                    return None;
                }
                continue;
            }
            let path = self.real(path(one)?);
            if name(call) == Some("rmdir") || matches!(self.made.get(&path), Some((Node::Directory, _))) {
                if !self.occupied(&path) {
                    self.made.remove(&path);
                }
            } else if self.rootfs.get(&path).is_some() {
                return None;
            } else {
                self.made.remove(&path);
            }
        }
        Some(())
    }
}
