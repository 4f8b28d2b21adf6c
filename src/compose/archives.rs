//! Entries of `[[archives]]` in the tree: moved, selected, declared. Their files settle conflicts as
//! those of `[[files]]` do; a folder that is there already stays as it is.

use std::collections::BTreeSet;

use super::{ComposeError, Remark, declare::Declaring, layout::Trail};
use crate::{
    ground::{PathError, RootPath, Sha256, Spanned},
    manifest::{self, Glob, Tarball},
    rootfs::{Attributes, Entry, LinkGroup, Node, Origin},
    unpack::{Item, Unpacked},
};

/// An entry that is kept, or a folder that is if something below it is.
struct Moved<'a> {
    /// Where the manifest wants it.
    path: RootPath,
    /// Where it really goes.
    place: RootPath,
    item: &'a Item,
    matches: bool,
}

impl Declaring<'_> {
    /// Puts in what a tarball holds, as far as its globs keep it.
    pub(super) fn archive(&mut self, tarball: &Tarball, unpacked: &Unpacked) {
        let origin = Origin::Declared { tier: self.name.clone(), key: "archives", span: tarball.span.clone() };
        let matcher = manifest::matcher(&tarball.globs);
        let (mut includes, mut excludes) = (BTreeSet::new(), BTreeSet::new());
        let mut moved = Vec::new();
        for item in &unpacked.entries {
            let placed = strip(tarball, &item.path).transpose();
            let placed = placed.map(|path| {
                let path = path?;
                let place = self.layout.place(&path, item.node == Node::Directory, &mut Trail::default())?;
                Ok::<_, PathError>((path, place.path))
            });
            match placed {
                None => {}
                Some(Err(why)) => {
                    let (path, package) = (item.path.clone(), origin.to_string());
                    self.draft.errors.push(ComposeError::Unplaceable { path, package, why });
                }
                Some(Ok((path, place))) => {
                    let (include, exclude) = matcher.all(place.as_bytes());
                    let matches = !include.is_empty() && exclude.is_empty();
                    if !include.is_empty() {
                        excludes.extend(exclude);
                    }
                    includes.extend(include);
                    moved.push(Moved { path, place, item, matches });
                }
            }
        }
        let needed: BTreeSet<RootPath> =
            moved.iter().filter(|moved| moved.matches).flat_map(|moved| moved.place.ancestors()).collect();
        let kept =
            |moved: &&Moved<'_>| moved.matches || moved.item.node == Node::Directory && needed.contains(&moved.place);
        let mut empty = true;
        let mut told = false;
        for moved in moved.iter().filter(kept) {
            empty = false;
            let attributes = Attributes { uid: 0, gid: 0, ..moved.item.attributes.clone() };
            match &moved.item.node {
                Node::Directory => self.folder(moved, attributes, &origin),
                // One is enough: a tarball that is there twice has thousands.
                _ if self.draft.declared.contains_key(&moved.place) && std::mem::replace(&mut told, true) => {}
                Node::Symlink(target) => {
                    let placed = self.layout.place_link(&moved.path, target, &mut Trail::default());
                    let target = placed.map_or_else(|_| target.clone(), |(_, target)| target);
                    let entry = Entry { node: Node::Symlink(target), attributes, origin: origin.clone() };
                    self.insert(&moved.path, entry);
                }
                Node::File { content, group } => {
                    let group = group.map(|group| group_of(tarball, group));
                    let node = Node::File { content: content.clone(), group };
                    self.insert(&moved.path, Entry { node, attributes, origin: origin.clone() });
                }
            }
        }
        let source = &self.composition.tier.source;
        if empty {
            let (source_code, span) = (source.clone(), tarball.span.clone().into());
            self.draft.remarks.push(Remark::IdleArchive { source_code, span });
        }
        let mut idle = |key, globs: &[Spanned<Glob>], used: &BTreeSet<usize>| {
            let unused = globs.iter().enumerate().filter(|(at, glob)| !used.contains(at) && !glob.span.is_empty());
            self.draft.remarks.extend(unused.map(|(_, glob)| Remark::IdleGlob {
                key,
                glob: glob.value.0.to_string(),
                source_code: source.clone(),
                span: glob.span.clone().into(),
            }));
        };
        idle("include", &tarball.globs.include, &includes);
        idle("exclude", &tarball.globs.exclude, &excludes);
    }

    fn folder(&mut self, moved: &Moved<'_>, attributes: Attributes, origin: &Origin) {
        let entry = Entry { node: Node::Directory, attributes, origin: origin.clone() };
        match self.draft.tree.get(&moved.place) {
            Some(before) if before.node == Node::Directory && before.origin != Origin::Implied => {}
            Some(before) if before.node != Node::Directory => {
                let error = self.kinds(&moved.place, before, &entry);
                self.draft.errors.push(error);
            }
            _ => {
                // Told only now: what is left out passes through nothing.
                let _ = self.layout.place(&moved.path, true, &mut self.draft.trail);
                self.declared(moved.place.clone(), entry);
            }
        }
    }
}

/// Where the manifest wants an entry; `None`: nowhere, it is a folder above what is left.
fn strip(tarball: &Tarball, path: &RootPath) -> Result<Option<RootPath>, PathError> {
    let names: Vec<&[u8]> = path.names().skip(tarball.strip_components as usize).collect();
    if names.is_empty() {
        return Ok(None);
    }
    tarball.prefix.join(&names.join(&b'/')).map(Some)
}

/// The same tarball at two places is two sets of files.
fn group_of(tarball: &Tarball, LinkGroup(group): LinkGroup) -> LinkGroup {
    let strip = tarball.strip_components.to_be_bytes();
    LinkGroup(Sha256::of(&[group.as_bytes().as_slice(), &strip, tarball.prefix.as_bytes()].concat()))
}
