//! Layers of an image, one on top of the other, become a tree (OCI image-spec, layer.md, "Applying
//! Changesets"). What it leaves open is decided as containerd does; docs/foreign.md says how.

use miette::Diagnostic;

use super::{Item, Unpacked};
use crate::{
    ground::{Class, Failure, RootPath, Sha256, follow},
    rootfs::{Attributes, Entry, Node, Origin, Rootfs},
};

/// How a whiteout's name begins.
const WHITEOUT: &[u8] = b".wh.";
/// The whiteout of all that a folder had.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// How names begin that aufs kept for itself; they mean nothing to others.
const AUFS: &[u8] = b".wh..wh.";
/// Entries of all layers together: what is counted in memory must be bounded over all of them.
const MOST_ENTRIES: usize = 4_000_000;

/// Layers that cannot be put on top of each other. `layer` is the SHA-256 of the layer's tar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum StackError {
    /// An entry lies in something that is no folder.
    #[error("the layer sha256:{layer} has {path}, and {above} is no folder")]
    #[diagnostic(code(debstrata::unpack::stack_folder), help("the image is broken: take another one"))]
    NoFolder {
        /// The layer.
        layer: Sha256,
        /// The entry.
        path: RootPath,
        /// What is in its way.
        above: RootPath,
    },
    /// The folders above an entry are links that lead nowhere.
    #[error("the layer sha256:{layer} has {path}, which lies behind a circle of links")]
    #[diagnostic(code(debstrata::unpack::stack_links), help("the image is broken: take another one"))]
    Links {
        /// The layer.
        layer: Sha256,
        /// The entry.
        path: RootPath,
    },
    /// A whiteout of nothing that can have a name.
    #[error("the layer sha256:{layer} has the whiteout {path}, which names nothing")]
    #[diagnostic(code(debstrata::unpack::stack_whiteout), help("the image is broken: take another one"))]
    Whiteout {
        /// The layer.
        layer: Sha256,
        /// The whiteout.
        path: RootPath,
    },
    /// More entries than are held in memory.
    #[error("the image's layers have more than {limit} entries")]
    #[diagnostic(
        code(debstrata::unpack::stack_too_much),
        help("this is a ceiling against images that are made to exhaust a machine; use another one")
    )]
    TooMuch {
        /// The ceiling.
        limit: usize,
    },
}

impl Failure for StackError {
    fn class(&self) -> Class {
        Class::User
    }
}

/// The tree of an image: `layers` from the root up, each with the SHA-256 of its tar; `manifest` is that of
/// the image's manifest. Of one layer's entries of one path the last counts. Whiteouts take away what lower
/// layers have, whatever their place in their own layer.
///
/// # Errors
/// The first that is found.
pub fn stack(manifest: Sha256, layers: &[(Sha256, Unpacked)]) -> Result<Rootfs, StackError> {
    let count: usize = layers.iter().map(|(_, unpacked)| unpacked.entries.len()).sum();
    if count > MOST_ENTRIES {
        return Err(StackError::TooMuch { limit: MOST_ENTRIES });
    }
    let mut tree = Rootfs::default();
    for (layer, unpacked) in layers {
        let mut stacking = Stacking { tree: &mut tree, layer: *layer, manifest };
        stacking.root();
        let whiteout = |item: &&Item| item.path.name().starts_with(WHITEOUT);
        for item in unpacked.entries.iter().filter(whiteout) {
            stacking.whiteout(&item.path)?;
        }
        for item in unpacked.entries.iter().filter(|item| !whiteout(item)) {
            // What lies in a folder that aufs kept for itself.
            if item.path.names().any(|name| name.starts_with(AUFS)) {
                continue;
            }
            stacking.add(item)?;
        }
    }
    if tree.entries.is_empty() {
        tree.entries.insert(RootPath::root(), Entry::implied());
    }
    Ok(tree)
}

struct Stacking<'t> {
    tree: &'t mut Rootfs,
    layer: Sha256,
    manifest: Sha256,
}

impl Stacking<'_> {
    fn origin(&self) -> Origin {
        Origin::Image { manifest: self.manifest, layer: self.layer }
    }

    fn root(&mut self) {
        let entry = Entry { origin: self.origin(), ..Entry::implied() };
        self.tree.entries.entry(RootPath::root()).or_insert(entry);
    }

    /// The path with the links above it followed; its own name stays.
    fn real(&self, path: &RootPath) -> Result<RootPath, StackError> {
        let fail = || StackError::Links { layer: self.layer, path: path.clone() };
        let found = follow(path.as_bytes(), false, |path| self.tree.link(path)).map_err(|_| fail())?;
        RootPath::from_archive(&found).map_err(|_| fail())
    }

    fn whiteout(&mut self, path: &RootPath) -> Result<(), StackError> {
        let name = path.name();
        let folder = path.parent().unwrap_or_default();
        if name == OPAQUE {
            let folder = self.real(&folder)?;
            self.remove(&folder, false);
            return Ok(());
        }
        if name.starts_with(AUFS) {
            return Ok(());
        }
        let fail = || StackError::Whiteout { layer: self.layer, path: path.clone() };
        let name = name.get(WHITEOUT.len()..).unwrap_or_default();
        if name.is_empty() || name == b"." || name == b".." {
            return Err(fail());
        }
        let gone = self.real(&folder.join(name).map_err(|_| fail())?)?;
        self.remove(&gone, true);
        Ok(())
    }

    fn remove(&mut self, path: &RootPath, itself: bool) {
        let below: Vec<RootPath> = self.tree.below(path).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.tree.entries.remove(&path);
        }
        if itself && !path.is_root() {
            self.tree.entries.remove(path);
        }
    }

    fn add(&mut self, item: &Item) -> Result<(), StackError> {
        let path = self.real(&item.path)?;
        self.folders(&path, &item.path)?;
        let folder = item.node == Node::Directory;
        let was_folder = |entry: &Entry| entry.node == Node::Directory;
        if !folder && self.tree.get(&path).is_some_and(was_folder) {
            self.remove(&path, false);
        }
        let entry = Entry { node: item.node.clone(), attributes: item.attributes.clone(), origin: self.origin() };
        self.tree.entries.insert(path, entry);
        Ok(())
    }

    /// Makes the folders above a path that are not there.
    fn folders(&mut self, path: &RootPath, written: &RootPath) -> Result<(), StackError> {
        let mut missing = Vec::new();
        for above in path.ancestors() {
            match self.tree.get(&above) {
                None => missing.push(above),
                Some(entry) if entry.node == Node::Directory => break,
                Some(_) => return Err(StackError::NoFolder { layer: self.layer, path: written.clone(), above }),
            }
        }
        for above in missing {
            let entry =
                Entry { node: Node::Directory, attributes: Attributes::new(0o755, 0, 0), origin: self.origin() };
            self.tree.entries.insert(above, entry);
        }
        Ok(())
    }
}
