//! What a tier's manifest itself puts into the tree: directories, symlinks, files, homes, and
//! what is generated. It settles conflicts of files between packages; it never changes what kind
//! of thing a path is.

use std::{fs, io, path::Path, sync::Arc};

use miette::LabeledSpan;

use super::{Beside, ComposeError, Composition, Remark, layout::Layout, merge::Draft};
use crate::{
    generate::{Accounts, GENERATORS, Package, Request, scripts},
    ground::{PathError, RootPath, Source, Span, TooLong, read_at_most},
    manifest::{FileContent, Ownership, Tier, User},
    rootfs::{Attributes, Content, Entry, Node, Origin},
};

/// The largest file beside a manifest, in bytes: it is held in memory. Larger things belong into a
/// package.
const LARGEST_FILE: u64 = 64 << 20;

/// Generators that nobody asked for by a path: what is declared goes first.
pub(super) const GENTLE: [&str; 3] = ["alternatives", "scripts", "tmpfiles"];

/// Accounts that the tier declares, and all of its parents.
fn accounts(composition: &Composition<'_>) -> Accounts {
    let parents = composition.parent.map(|parent| &parent.accounts);
    let none = Accounts::default();
    parents.unwrap_or(&none).with(&composition.tier.users, &composition.tier.groups)
}

/// Puts in all that the manifest declares.
pub(super) fn declare(composition: &Composition<'_>, layout: &Layout, draft: &mut Draft) {
    let tier = composition.tier;
    let mut declaring = Declaring { composition, layout, draft, name: composition.name.into() };
    for directory in &tier.directories {
        let attributes = owned(directory.mode, &directory.owner);
        declaring.put("directories", &directory.path.value, &directory.path.span, Node::Directory, attributes);
    }
    for link in &tier.symlinks {
        let placed = layout.place_link(&link.path.value, link.target.as_bytes(), &mut Default::default());
        let target = placed.map_or_else(|_| link.target.as_bytes().into(), |(_, target)| target);
        let attributes = Attributes::new(0o777, 0, 0);
        declaring.put("symlinks", &link.path.value, &link.path.span, Node::Symlink(target), attributes);
    }
    for file in &tier.files {
        let content = match &file.content {
            FileContent::Text(text) => Content::from_bytes(text.as_bytes()),
            FileContent::Beside(path) => match composition.beside.get(path) {
                Some(content) => content.clone(),
                None => {
                    let error = io::ErrorKind::NotFound.into();
                    declaring.draft.errors.push(unreadable(&tier.source, path, &file.path.span, error));
                    continue;
                }
            },
        };
        let node = Node::File { content, group: None };
        declaring.put("files", &file.path.value, &file.path.span, node, owned(file.mode, &file.owner));
    }
    for (tarball, unpacked) in tier.archives.iter().zip(composition.archives) {
        declaring.archive(tarball, unpacked);
    }
    for user in &tier.users {
        declaring.home(user);
    }
    declaring.generate();
}

fn owned(mode: u16, owner: &Ownership) -> Attributes {
    Attributes::new(mode, owner.uid, owner.gid)
}

/// Reads the files that `[[files]]` of a tier takes from beside the manifest: once for recipe and
/// composition both, so that an edit in between cannot part them.
pub fn read_beside(tier: &Tier) -> Result<Beside, Vec<ComposeError>> {
    let mut beside = Beside::new();
    let mut errors = Vec::new();
    for file in &tier.files {
        let FileContent::Beside(path) = &file.content else { continue };
        match fs::File::open(path).and_then(|file| read_at_most(file, LARGEST_FILE)) {
            Ok(bytes) => drop(beside.insert(path.clone(), Content::from_bytes(bytes))),
            Err(error) => errors.push(unreadable(&tier.source, path, &file.path.span, error)),
        }
    }
    if errors.is_empty() { Ok(beside) } else { Err(errors) }
}

fn unreadable(source: &Source, path: &Path, span: &Span, error: io::Error) -> ComposeError {
    let long = error.get_ref().is_some_and(|inner| inner.is::<TooLong>());
    let help = match long {
        true => "put what is so large into a package",
        false => "the path in `source` is relative to the manifest",
    };
    ComposeError::SourceFile {
        file: path.to_owned(),
        error,
        source_code: source.clone(),
        span: span.clone().into(),
        help,
    }
}

pub(super) struct Declaring<'a> {
    pub composition: &'a Composition<'a>,
    pub layout: &'a Layout,
    pub draft: &'a mut Draft,
    pub name: Arc<str>,
}

impl Declaring<'_> {
    fn put(&mut self, key: &'static str, path: &RootPath, span: &Span, node: Node, attributes: Attributes) {
        let origin = Origin::Declared { tier: self.name.clone(), key, span: span.clone() };
        self.insert(path, Entry { node, attributes, origin });
    }

    pub(super) fn insert(&mut self, path: &RootPath, entry: Entry) {
        let folder = entry.node == Node::Directory;
        let path = match self.place(path, folder) {
            Ok(path) => path,
            Err(why) => {
                let package = entry.origin.to_string();
                self.draft.errors.push(ComposeError::Unplaceable { path: path.clone(), package, why });
                return;
            }
        };
        if let Some(first) = self.draft.declared.get(&path) {
            let labels = self.labels([first, &entry.origin]);
            self.draft.errors.push(ComposeError::DeclaredTwice {
                tier: self.composition.name.into(),
                path,
                first: first.to_string().into(),
                second: entry.origin.to_string().into(),
                source_code: self.composition.tier.source.clone(),
                labels,
            });
            return;
        }
        let kind = |entry: &Entry| std::mem::discriminant(&entry.node);
        if let Some(before) = self.draft.tree.get(&path).filter(|before| kind(before) != kind(&entry)) {
            let error = self.kinds(&path, before, &entry);
            self.draft.errors.push(error);
            return;
        }
        self.declared(path, entry);
    }

    pub(super) fn declared(&mut self, path: RootPath, entry: Entry) {
        self.draft.declared.insert(path.clone(), entry.origin.clone());
        self.draft.tree.entries.insert(path, entry);
    }

    /// Folders above are followed through links; a declared folder at a link itself is an error,
    /// unless the name is an alias.
    fn place(&mut self, path: &RootPath, folder: bool) -> Result<RootPath, PathError> {
        let place = self.layout.place(path, false, &mut self.draft.trail)?;
        let top = folder && path.parent().is_some_and(|above| above.is_root());
        if !top {
            return Ok(place.path);
        }
        let as_folder = self.layout.place(path, true, &mut Default::default())?;
        Ok(if as_folder.aliased { as_folder.path } else { place.path })
    }

    /// Made as `useradd --create-home` does: one that is there stays as it is.
    fn home(&mut self, user: &User) {
        let nowhere = RootPath::from_absolute(b"/nonexistent").expect("a plain path");
        let Some(home) = user.home.as_ref().filter(|home| !home.is_root() && **home != nowhere) else { return };
        let attributes = Attributes::new(user.home_mode, user.uid, user.gid);
        let origin = Origin::Declared { tier: self.name.clone(), key: "users", span: user.span.clone() };
        let path = match self.layout.place(home, true, &mut self.draft.trail) {
            Ok(place) => place.path,
            Err(why) => {
                let package = origin.to_string();
                self.draft.errors.push(ComposeError::Unplaceable { path: home.clone(), package, why });
                return;
            }
        };
        let Some(before) = self.draft.tree.get(&path) else {
            self.declared(path, Entry { node: Node::Directory, attributes, origin });
            return;
        };
        if before.node != Node::Directory {
            let error = self.kinds(&path, before, &Entry { node: Node::Directory, attributes, origin });
            self.draft.errors.push(error);
        } else if before.attributes != attributes && !matches!(before.origin, Origin::Declared { .. }) {
            self.draft.remarks.push(Remark::Home {
                path,
                user: user.name.clone(),
                kept: Box::new(before.attributes.clone()),
                wanted: Box::new(attributes),
            });
        }
    }

    fn generate(&mut self) {
        let composition = self.composition;
        let packages: Vec<_> =
            composition.packages.iter().map(|input| Package { name: &input.name, unpacked: input.unpacked }).collect();
        let wish = &composition.tier.generate;
        let mut accounts = accounts(composition);
        let effects = scripts::effects(&packages, composition.architecture, &self.draft.tree, &accounts);
        let made_accounts = wish.sysusers && effects.accounts != Accounts::default();
        if made_accounts {
            accounts = accounts.with(&effects.accounts.users, &effects.accounts.groups);
        }
        let none = Vec::new();
        let inherited_choices = composition.parent.map_or(&none, |parent| &parent.choices);
        for late in [false, true] {
            let mut made = Vec::new();
            for generator in GENERATORS.iter().filter(|generator| generator.late == late) {
                let request = Request {
                    source: &composition.tier.source,
                    wish,
                    architecture: composition.architecture,
                    packages: &packages,
                    rootfs: &self.draft.tree,
                    accounts: &accounts,
                    declares_users: !composition.tier.users.is_empty()
                        || made_accounts && !self.declares(b"/etc/passwd"),
                    declares_groups: !composition.tier.groups.is_empty()
                        || made_accounts && !self.declares(b"/etc/group"),
                    effects: &effects,
                    inherited_choices,
                };
                match (generator.make)(&request) {
                    Ok(entries) => made.extend(entries.into_iter().map(|entry| (generator.name, entry))),
                    Err(error) => self.draft.errors.push(error.into()),
                }
            }
            // What a key asks for goes before what nobody asked for; otherwise in the order of the list.
            made.sort_by_key(|(generator, _)| GENTLE.contains(generator));
            for (generator, made) in made {
                self.refuse_other_accounts(generator, &made.path);
                let origin = Origin::Generated { tier: self.name.clone(), generator };
                // Two may want one folder, and what a manifest says goes first; only whole files are asked for.
                let gentle = GENTLE.contains(&generator);
                let place = self.place(&made.path, made.node == Node::Directory).ok();
                if gentle && place.is_some_and(|place| self.is_settled(generator, &place)) {
                    continue;
                }
                self.insert(&made.path, Entry { node: made.node, attributes: made.attributes, origin });
            }
        }
        self.draft.accounts = accounts;
        self.draft.scripts = effects.items;
        self.draft.choices = inherited_choices.iter().cloned().chain(effects.choices).collect();
    }

    /// Whether a manifest of the chain declares what is there, or a generator that was asked for made it.
    fn is_settled(&self, generator: &str, place: &RootPath) -> bool {
        self.draft.declared.contains_key(place)
            || match self.draft.tree.get(place).map(|entry| &entry.origin) {
                Some(Origin::Declared { .. }) => true,
                Some(Origin::Generated { .. }) => generator != "alternatives",
                _ => false,
            }
    }

    /// Whether this tier's manifest declares the path.
    fn declares(&self, path: &[u8]) -> bool {
        RootPath::from_absolute(path).is_ok_and(|path| self.draft.declared.contains_key(&path))
    }

    /// Whole files made of [[users]] and [[groups]] would lose the lines of one that came otherwise.
    fn refuse_other_accounts(&mut self, generator: &'static str, path: &RootPath) {
        if !["passwd", "group"].contains(&generator) || self.draft.declared.contains_key(path) {
            return;
        }
        let Some(before) = self.draft.tree.get(path) else { return };
        // Those of a base image were read before.
        if !matches!(before.origin, Origin::Generated { .. } | Origin::Image { .. }) {
            let origin = before.origin.to_string();
            self.draft.errors.push(ComposeError::Accounts { path: path.clone(), origin });
        }
    }

    pub(super) fn kinds(&self, path: &RootPath, before: &Entry, now: &Entry) -> ComposeError {
        ComposeError::DifferentKinds {
            tier: self.composition.name.into(),
            path: path.clone(),
            first: format!("{} in {}", before.node.kind(), before.origin).into(),
            second: format!("{} in {}", now.node.kind(), now.origin).into(),
            source_code: self.composition.tier.source.clone(),
            labels: self.labels([&before.origin, &now.origin]),
            next: ComposeError::next([&before.origin, &now.origin]),
        }
    }

    /// Where this tier's manifest declares these.
    fn labels(&self, origins: [&Origin; 2]) -> Vec<LabeledSpan> {
        let label = |origin: &Origin| match origin {
            Origin::Declared { tier, key, span } if *tier == self.name => {
                Some(LabeledSpan::new_with_span(Some(format!("in [[{key}]]")), span.clone()))
            }
            _ => None,
        };
        origins.into_iter().filter_map(label).collect()
    }
}
