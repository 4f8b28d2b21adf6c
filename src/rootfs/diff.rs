//! What a child's tree adds to its parent's: the entries of one layer.

use std::collections::{BTreeMap, BTreeSet};

use super::{Attributes, Content, Entry, LinkGroup, Node, Rootfs};
use crate::ground::RootPath;

/// The entries that a layer needs to turn `parent` into `child`, sorted by path bytes: all that is
/// new or differs in kind, content or metadata (never in origin), and every folder above, the root
/// always. What `parent` has and `child` lacks is not told: no tier deletes.
///
/// A link group in the result has at least two entries, all of one content and metadata: its first
/// is the file, the others are links to it. A name that lies unchanged in the parent is no target,
/// so the new names of its group are a file of their own.
pub fn diff(parent: Option<&Rootfs>, child: &Rootfs) -> Vec<(RootPath, Entry)> {
    let mut layer = match parent {
        None => child.entries.iter().map(|(path, entry)| (path.clone(), entry.clone())).collect(),
        Some(parent) => changes(parent, child),
    };
    settle_groups(&mut layer);
    layer
}

fn changes(parent: &Rootfs, child: &Rootfs) -> Vec<(RootPath, Entry)> {
    let mut wanted: BTreeSet<&RootPath> = BTreeSet::new();
    let changed = child
        .entries
        .iter()
        .filter(|(path, entry)| !parent.entries.get(*path).is_some_and(|before| before.same_as(entry)));
    let mut last_above = None;
    for (path, _) in changed {
        wanted.insert(path);
        let above = path.parent();
        if above != last_above {
            for above in path.ancestors() {
                let Some((above, _)) = child.entries.get_key_value(&above) else { continue };
                if !wanted.insert(above) {
                    break;
                }
            }
            last_above = above;
        }
    }
    if let Some((root, _)) = child.entries.get_key_value(&RootPath::root()) {
        wanted.insert(root);
    }
    wanted.into_iter().map(|path| (path.clone(), child.entries[path].clone())).collect()
}

/// Leaves a group only to entries that can be one inode and are at least two.
fn settle_groups(layer: &mut [(RootPath, Entry)]) {
    let mut groups: BTreeMap<LinkGroup, (Content, Attributes, usize)> = BTreeMap::new();
    for (_, entry) in layer.iter_mut() {
        let Node::File { content, group } = &mut entry.node else { continue };
        let Some(id) = *group else { continue };
        let (first, attributes, members) =
            groups.entry(id).or_insert_with(|| (content.clone(), entry.attributes.clone(), 0));
        if first == content && *attributes == entry.attributes {
            *members += 1;
        } else {
            *group = None;
        }
    }
    for (_, entry) in layer {
        let Node::File { group, .. } = &mut entry.node else { continue };
        if group.is_some_and(|id| groups[&id].2 < 2) {
            *group = None;
        }
    }
}
