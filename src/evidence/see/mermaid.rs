//! All tiers as a flowchart in Mermaid's language, which many forges draw.

use super::{Glance, glance::packages};
use crate::{evidence::table::bytes, ground::printable};

/// The source of a flowchart: a box for each family, an arrow from each tier to those that stand on it.
pub fn mermaid(glance: &Glance) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (at, family) in glance.families.iter().enumerate() {
        let head = format!("{} ({})", family.distribution, family.architecture);
        text.push_str(&format!("    subgraph d{at}[\"{}\"]\n", quoted(&head)));
        let placed = family.placed();
        for one in &placed {
            let tier = one.tier;
            let size = tier.size.map_or_else(|| "not built".to_owned(), bytes);
            let line = format!("{}, {size}", packages(tier.packages));
            let number = one.number;
            text.push_str(&format!("        d{at}t{number}[\"{}<br/>{}\"]\n", quoted(&tier.name), quoted(&line)));
        }
        for one in &placed {
            for child in &one.children {
                text.push_str(&format!("        d{at}t{} --> d{at}t{child}\n", one.number));
            }
        }
        text.push_str("    end\n");
    }
    text
}

/// Text inside quotes: what could end it, or mean something, by its number (Mermaid's entity codes).
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | '-' | '_' | '+' | '/' | '(' | ')' | ':');
    let each = printable(text.as_bytes());
    each.chars().map(|c| if plain(c) { c.to_string() } else { format!("#{};", u32::from(c)) }).collect()
}
