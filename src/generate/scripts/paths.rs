//! Calls of mkdir(1), ln(1), chmod(1) and their like, done to a tree in memory.
//!
//! What the manifest declares, here or in a parent tier, is never touched, and nothing that a package
//! brought is deleted.

use std::collections::BTreeMap;

use super::{accounts::Users, name};
use crate::{
    generate::{Made, Package, shell::Call},
    ground::RootPath,
    rootfs::{Attributes, Content, Entry, Node, Origin, Rootfs},
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
    pub(super) made: BTreeMap<RootPath, (Node, Attributes)>,
    /// umask(1)
    pub(super) mask: u16,
}

/// Options of a call and the rest of its words.
struct Arguments<'a> {
    flags: Vec<&'a str>,
    /// Options with a value.
    values: BTreeMap<char, &'a str>,
    rest: Vec<&'a str>,
}

impl<'a> Arguments<'a> {
    /// `valued` are the letters of short options that take a value, `known` the others' and whole long ones.
    fn of(call: &'a Call, valued: &str, known: &[&str]) -> Option<Self> {
        let mut arguments = Self { flags: Vec::new(), values: BTreeMap::new(), rest: Vec::new() };
        let mut words = call.words.iter().skip(1).map(|word| word.as_deref().unwrap_or_default());
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
                let (key, value) = long.split_once('=').unwrap_or((long, ""));
                let short = match key {
                    "mode" => 'm',
                    "owner" => 'o',
                    "group" => 'g',
                    _ => '-',
                };
                match valued.contains(short) && !value.is_empty() {
                    true => drop(arguments.values.insert(short, value)),
                    false if known.contains(&word) => arguments.flags.push(word),
                    false => return None,
                }
            } else if let Some(letters) =
                word.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-")
            {
                let first = letters.chars().next()?;
                if valued.contains(first) {
                    let attached = &letters[first.len_utf8()..];
                    let value = if attached.is_empty() { words.next()? } else { attached };
                    arguments.values.insert(first, value);
                    continue;
                }
                for (at, letter) in letters.char_indices() {
                    let text = &letters[at..at + letter.len_utf8()];
                    if !known.contains(&text) {
                        return None;
                    }
                    arguments.flags.push(text);
                }
            } else if word != "--" {
                arguments.rest.push(word);
            }
        }
        Some(arguments)
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}

fn octal(text: &str) -> Option<u16> {
    u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)
}

/// A mode of chmod(1) done to another: octal, or such as `u+s,go-w`.
fn changed(text: &str, before: u16) -> Option<u16> {
    if let Some(mode) = octal(text) {
        return Some(mode);
    }
    text.split(',').try_fold(before, |mode, clause| {
        let at = clause.find(['+', '-', '='])?;
        let (who, rest) = clause.split_at(at);
        let who = if who.is_empty() || who == "a" { "ugo" } else { who };
        let (mut bits, mut mask) = (0, 0);
        for c in who.chars() {
            let (shift, set_id) = match c {
                'u' => (6, 0o4000),
                'g' => (3, 0o2000),
                'o' => (0, 0),
                _ => return None,
            };
            mask |= 0o7 << shift | set_id;
            for c in rest[1..].chars() {
                bits |= match c {
                    'r' => 0o4 << shift,
                    'w' => 0o2 << shift,
                    'x' => 0o1 << shift,
                    's' => set_id,
                    't' => 0o1000,
                    _ => return None,
                };
            }
        }
        match rest.as_bytes().first()? {
            b'+' => Some(mode | bits),
            b'-' => Some(mode & !bits),
            _ => Some(mode & !mask | bits),
        }
    })
}

/// An absolute path without a pattern.
fn path(text: &str) -> Option<RootPath> {
    let trimmed = if text.len() > 1 { text.trim_end_matches('/') } else { text };
    RootPath::from_absolute(trimmed.as_bytes())
        .ok()
        .filter(|path| !trimmed.contains(['*', '?', '[']) && !path.is_root())
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

    /// Through links above it, so that two names of one path meet.
    fn real(&self, path: RootPath) -> RootPath {
        let above = path.parent().and_then(|above| self.rootfs.resolve(&above));
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
        let from_package = || {
            let mut entries = self.packages.iter().flat_map(|package| &package.unpacked.entries);
            let item = entries.find(|item| item.path == *source)?;
            Some((item.node.clone(), item.attributes.clone()))
        };
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
        match self.get(&to) {
            None | Some((Node::File { .. }, _)) => self.put(to, Node::File { content, group: None }, attributes),
            Some(_) => return None,
        }
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
            let left_out = |package: &Package<'_>| package.unpacked.entries.iter().any(|item| item.path == path);
            return self.packages.iter().any(left_out).then_some(());
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
                let matched = self.made.keys().any(|other| other.below(&folder).is_some());
                if matched || self.rootfs.below(&folder).next().is_some() {
                    return None;
                }
                continue;
            }
            let path = self.real(path(one)?);
            let below = |other: &RootPath| other.below(&path).is_some();
            let occupied = self.made.keys().any(below) || self.rootfs.below(&path).next().is_some();
            if name(call) == Some("rmdir") || matches!(self.made.get(&path), Some((Node::Directory, _))) {
                if !occupied {
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
