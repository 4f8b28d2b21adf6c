//! All tiers as a tree, for terminals.

use super::{Glance, glance::Placed, tree::bar};
use crate::{
    evidence::table::{Align, bytes, table},
    ground::printable,
};

/// What stands beside each tier, in the last column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Its summary.
    Summary,
    /// A bar for its size, among that of the largest of all.
    Bar,
}

/// A table for each family. A line with variants follows a tier whose variants are not its parent's.
pub fn outline(glance: &Glance, beside: Beside) -> String {
    let largest = glance.largest();
    let mut text = String::new();
    for family in &glance.families {
        let placed = family.placed();
        let row = |placed: &Placed<'_>| {
            let tier = placed.tier;
            let size = |size: Option<u64>| size.map_or_else(|| "not built".to_owned(), bytes);
            let last = match beside {
                Beside::Summary => printable(tier.summary.as_bytes()),
                Beside::Bar => bar(tier.size.unwrap_or(0), largest, 30),
            };
            vec![
                format!("{}{}", lead(&placed.last), printable(tier.name.as_bytes())),
                tier.adds.to_string(),
                tier.packages.to_string(),
                size(tier.layer),
                size(tier.size),
                last,
            ]
        };
        let columns = [
            ("tier", Align::Left),
            ("adds", Align::Right),
            ("packages", Align::Right),
            ("layer", Align::Right),
            ("size", Align::Right),
            if beside == Beside::Summary { ("summary", Align::Left) } else { ("", Align::Left) },
        ];
        let drawn = table(&columns, &placed.iter().map(row).collect::<Vec<_>>());
        if !text.is_empty() {
            text.push('\n');
        }
        let head = format!("{} {}: {}", family.distribution, family.architecture, family.summary);
        text.push_str(&printable(head.as_bytes()));
        text.push('\n');
        let mut lines = drawn.lines();
        text.extend(lines.next().map(|line| format!("{line}\n")));
        for (placed, line) in placed.iter().zip(lines) {
            text.push_str(&format!("{line}\n"));
            let parent = placed.tier.parent.as_ref();
            let parent = parent.and_then(|name| family.tiers.iter().find(|tier| tier.name == *name));
            let inherited = parent.map(|parent| parent.variants.as_slice()).unwrap_or_default();
            if placed.tier.variants != inherited {
                let variants = match placed.tier.variants.as_slice() {
                    [] => "no variants".to_owned(),
                    some => format!("variants: {}", some.join(" ")),
                };
                let stem = if placed.children.is_empty() { "   " } else { "│  " };
                let line = format!("{}{stem}{}", under(&placed.last), printable(variants.as_bytes()));
                text.push_str(&format!("{line}\n"));
            }
        }
    }
    text
}

/// What stands before a tier's name.
fn lead(last: &[bool]) -> String {
    let Some((own, above)) = last.split_last() else { return String::new() };
    format!("{}{}", under(above), if *own { "└─ " } else { "├─ " })
}

/// What stands before a line below a tier.
fn under(last: &[bool]) -> String {
    last.iter().map(|last| if *last { "   " } else { "│  " }).collect()
}
