//! `--tree`: folders with the sizes of all that lies below, and the tiers that it comes from.

use std::collections::HashMap;

use serde::Serialize;

use super::{Item, Kind, Listing};
use crate::{
    evidence::table::{Align, bytes, table},
    ground::printable,
};

/// What lies below what, and how large it is.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// By item: the items right below, in path order.
    pub children: Vec<Vec<usize>>,
    /// By item: the folder above; of the root itself.
    pub above: Vec<usize>,
    /// By item: bytes of the files at and below it.
    pub sizes: Vec<u64>,
    /// By item: how many files and links are at and below it.
    pub counts: Vec<u64>,
    /// By item: whether anything of each tier is at or below it, folders themselves aside.
    tiers: Vec<Vec<bool>>,
}

/// Which of two siblings comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The larger one.
    Size,
    /// The one whose name's bytes are smaller.
    Name,
}

impl Tree {
    /// Of all items of a listing, or of those of one tier's layer.
    pub fn of(listing: &Listing, only: Option<usize>) -> Self {
        let items = &listing.items;
        let places: HashMap<&[u8], usize> =
            items.iter().enumerate().map(|(number, item)| (item.path.as_bytes(), number)).collect();
        let parent = |item: &Item| {
            let path = item.path.as_bytes();
            let cut = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            places.get(&path[..cut]).copied().unwrap_or(0)
        };
        let above: Vec<usize> = items.iter().map(parent).collect();
        let mut children = vec![Vec::new(); items.len()];
        let (mut sizes, mut counts) = (vec![0_u64; items.len()], vec![0_u64; items.len()]);
        let mut tiers = vec![vec![false; listing.tiers.len()]; items.len()];
        for (number, item) in items.iter().enumerate() {
            let counted = only.is_none_or(|stage| stage == item.stage);
            if counted {
                sizes[number] = Listing::own_size(item);
            }
            if item.kind != Kind::Directory && counted {
                counts[number] = 1;
                tiers[number].get_mut(item.stage).into_iter().for_each(|there| *there = true);
            }
            // Not even a damaged listing makes a loop.
            if above[number] < number {
                children[above[number]].push(number);
            }
        }
        for number in (1..items.len()).rev() {
            let up = above[number];
            if up >= number {
                continue;
            }
            sizes[up] = sizes[up].saturating_add(sizes[number]);
            counts[up] += counts[number];
            let (before, after) = tiers.split_at_mut(number);
            before[up].iter_mut().zip(&after[0]).for_each(|(there, below)| *there |= below);
        }
        Self { children, above, sizes, counts, tiers }
    }

    /// The tiers of what lies at and below a path, as stages; of an empty folder its own.
    pub fn stages(&self, listing: &Listing, number: usize) -> Vec<usize> {
        let there = self.tiers.get(number).into_iter().flatten().enumerate();
        let found: Vec<_> = there.filter(|(_, there)| **there).map(|(stage, _)| stage).collect();
        match (found.is_empty(), listing.items.get(number)) {
            (true, Some(item)) => vec![item.stage],
            _ => found,
        }
    }

    /// What lies right below a folder.
    pub fn below(&self, number: usize, sort: Sort) -> Vec<usize> {
        let mut below = self.children.get(number).cloned().unwrap_or_default();
        if sort == Sort::Size {
            below.sort_by_key(|number| std::cmp::Reverse(self.sizes[*number]));
        }
        below
    }
}

/// A path of the tree, as `--tree --json` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Branch {
    /// Safe to print.
    pub path: String,
    /// `directory`, `file` or `symlink`.
    pub r#type: &'static str,
    /// How many names below the root.
    pub depth: usize,
    /// Bytes of the files at and below it.
    pub size: u64,
    /// How many files and links are at and below it.
    pub files: u64,
    /// The tiers that these come from, the root tier first.
    pub tiers: Vec<String>,
}

/// The tree down to a depth (the root has 0), larger ones first: as data, and as a table.
pub fn tree(listing: &Listing, depth: usize) -> (Vec<Branch>, String) {
    let tree = Tree::of(listing, None);
    let whole = tree.sizes.first().copied().unwrap_or(0);
    let (mut branches, mut rows) = (Vec::new(), Vec::new());
    let root: Vec<_> = listing.items.first().map(|_| (0, 0, String::new(), "")).into_iter().collect();
    let mut waiting = root;
    while let Some((number, deep, lead, joint)) = waiting.pop() {
        let item = &listing.items[number];
        let stages = tree.stages(listing, number);
        let name = if item.path.is_root() { "/".to_owned() } else { printable(item.path.name()) };
        let (kind, end) = match &item.kind {
            Kind::Directory if deep > 0 => ("directory", "/".to_owned()),
            Kind::Directory => ("directory", String::new()),
            Kind::File { .. } => ("file", String::new()),
            Kind::Link(target) => ("symlink", format!(" -> {}", printable(target))),
        };
        let tiers: Vec<String> = stages.iter().map(|stage| printable(listing.tier(*stage).as_bytes())).collect();
        rows.push(vec![
            bytes(tree.sizes[number]),
            bar(tree.sizes[number], whole, 10),
            tree.counts[number].to_string(),
            tiers.join(" "),
            format!("{lead}{joint}{name}{end}"),
        ]);
        branches.push(Branch {
            path: item.path.to_string(),
            r#type: kind,
            depth: deep,
            size: tree.sizes[number],
            files: tree.counts[number],
            tiers,
        });
        if deep == depth {
            continue;
        }
        let inner = match joint {
            "" => String::new(),
            "└─ " => format!("{lead}   "),
            _ => format!("{lead}│  "),
        };
        let below = tree.below(number, Sort::Size);
        for (at, child) in below.iter().enumerate().rev() {
            let joint = if at + 1 == below.len() { "└─ " } else { "├─ " };
            waiting.push((*child, deep + 1, inner.clone(), joint));
        }
    }
    let columns = [
        ("size", Align::Right),
        ("", Align::Left),
        ("files", Align::Right),
        ("tiers", Align::Left),
        ("path", Align::Left),
    ];
    (branches, table(&columns, &rows))
}

/// A share of a whole as a bar; what is not nothing is at least a trace.
pub(in crate::evidence) fn bar(part: u64, whole: u64, width: usize) -> String {
    if part == 0 || whole == 0 {
        return String::new();
    }
    let eighths = (part as f64 / whole as f64 * (width * 8) as f64).round().clamp(1.0, (width * 8) as f64) as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    format!("{}{rest}", "█".repeat(eighths / 8))
}
