//! The tar of a difference as data: what each entry's bytes are, and how many, with no content read.

use std::collections::{HashMap, HashSet};

use super::{LayerError, header};
use crate::{
    ground::RootPath,
    rootfs::{Content, Entry, LinkGroup, Node},
};

/// A tar that is not written yet: docs/layer-format.md as data. No content is read here.
pub struct Tar<'a> {
    changes: &'a [(RootPath, Entry)],
    /// By place of a later name, the place of the name that carries the inode's content.
    links: HashMap<usize, usize>,
    mtime: u64,
}

impl<'a> Tar<'a> {
    /// The tar of [`super::emit`]'s arguments; `Disorder` where the entries are not sorted or lack a folder.
    pub fn new(changes: &'a [(RootPath, Entry)], mtime: u64) -> Result<Self, LayerError> {
        let mut links = HashMap::new();
        let mut firsts: HashMap<LinkGroup, usize> = HashMap::new();
        let mut folders: HashSet<&[u8]> = HashSet::new();
        let mut before: Option<&RootPath> = None;
        for (at, (path, entry)) in changes.iter().enumerate() {
            let folder = match path.as_bytes().iter().rposition(|byte| *byte == b'/') {
                Some(cut) => path.as_bytes().get(..cut),
                None if path.is_root() => None,
                None => Some(b"".as_slice()),
            };
            if before >= Some(path) || folder.is_some_and(|folder| !folders.contains(folder)) {
                return Err(LayerError::Disorder { path: path.to_string() });
            }
            before = Some(path);
            match &entry.node {
                Node::Directory => {
                    folders.insert(path.as_bytes());
                }
                Node::File { content, group: Some(group) } => {
                    let first = *firsts.entry(*group).or_insert(at);
                    // Names of one inode agree in all but their path; one that does not is a file
                    // of its own, since as a link it would lose what sets it apart.
                    let same = changes.get(first).is_some_and(|(_, first)| {
                        first.attributes == entry.attributes
                            && matches!(&first.node, Node::File { content: other, .. } if other == content)
                    });
                    if first != at && same {
                        links.insert(at, first);
                    }
                }
                Node::File { group: None, .. } | Node::Symlink(_) => {}
            }
        }
        Ok(Self { changes, links, mtime })
    }

    /// How many entries there are.
    pub fn entries(&self) -> usize {
        self.changes.len()
    }

    /// The path of an entry.
    pub fn path(&self, at: usize) -> &'a RootPath {
        &self.changes[at].0
    }

    /// What an entry is.
    pub fn entry(&self, at: usize) -> &'a Entry {
        &self.changes[at].1
    }

    /// Replaces `out` by the header blocks of an entry.
    pub fn head(&self, at: usize, out: &mut Vec<u8>) -> Result<(), LayerError> {
        let (path, entry) = &self.changes[at];
        // OCI image-spec, layer.md, "Whiteouts": no layer of ours deletes anything.
        if path.name().starts_with(b".wh.") {
            let what = "whoever unpacks the layer would take its name for an order to delete (a whiteout)";
            return Err(LayerError::Inexpressible { path: path.to_string(), what });
        }
        let first = self.links.get(&at).map(|first| self.path(*first).as_bytes());
        out.clear();
        header::write(out, &name(path, entry), entry, first, self.mtime)
            .map_err(|what| LayerError::Inexpressible { path: path.to_string(), what })
    }

    /// The bytes that follow an entry's header blocks; `None` for all but the first name of a file
    /// that is not empty.
    pub fn content(&self, at: usize) -> Option<&'a Content> {
        match &self.changes[at].1.node {
            Node::File { content, .. } if content.size > 0 && !self.links.contains_key(&at) => Some(content),
            Node::File { .. } | Node::Directory | Node::Symlink(_) => None,
        }
    }

    /// The size of all bytes of an entry whose header blocks have `head` bytes.
    pub fn size(&self, at: usize, head: usize) -> u64 {
        let content = self.content(at).map_or(0, |content| content.size);
        (head as u64).saturating_add(content).saturating_add(padding(content))
    }

    /// What is wrong with a content whose bytes have the CRC-32 `found`; `Ok` if nothing is.
    pub fn verify(&self, at: usize, found: u32) -> Result<(), LayerError> {
        match self.content(at) {
            Some(content) if content.crc32 != found => Err(LayerError::Damaged {
                path: self.path(at).to_string(),
                spool: content.spool().unwrap_or("the cache".as_ref()).to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// How many zeros fill the last block of `size` bytes.
pub(super) fn padding(size: u64) -> u64 {
    const BLOCK: u64 = header::BLOCK as u64;
    (BLOCK - size % BLOCK) % BLOCK
}

/// Bare names; a folder's ends in `/`, the root's is `./`.
fn name(path: &RootPath, entry: &Entry) -> Vec<u8> {
    match entry.node {
        _ if path.is_root() => b"./".to_vec(),
        Node::Directory => [path.as_bytes(), b"/"].concat(),
        Node::File { .. } | Node::Symlink(_) => path.as_bytes().to_vec(),
    }
}
