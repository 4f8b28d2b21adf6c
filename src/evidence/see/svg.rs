//! All tiers as a picture: SVG 1.1 with a style sheet, for light and dark surroundings. No scripts, no
//! fonts of its own, nothing from elsewhere.

use std::fmt::Write as _;

use super::{
    Family, Glance,
    glance::{Placed, packages},
};
use crate::{evidence::table::bytes, ground::printable};

/// All lengths are in user units, a CSS pixel each.
const MARGIN: usize = 28;
const CARD: (usize, usize) = (240, 72);
/// Between columns, and between rows.
const GAP: (usize, usize) = (38, 12);
/// What is above the cards of a family, and between families.
const HEAD: usize = 44;
const BETWEEN: usize = 26;
const LEGEND: usize = 34;
const PADDING: usize = 13;

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue','Noto Sans',sans-serif;fill:#1f2328}
.paper{fill:#fff}
.card{fill:#f6f8fa;stroke:#d0d7de}
.title{font-size:17px;font-weight:600}
.name{font-size:14px;font-weight:600}
.size{font-size:13px;font-weight:600}
.small{font-size:11px;font-weight:400}
.dim{fill:#59636e}
.more{fill:#0969da}
.edge{fill:none;stroke:#afb8c1;stroke-width:1.5}
.rail{fill:#e4e8ec}
.below{fill:#a3b1c0}
.own{fill:#0969da}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.paper{fill:#0d1117}
.card{fill:#161b22;stroke:#30363d}
.dim{fill:#9198a1}
.more{fill:#58a6ff}
.edge{stroke:#484f58}
.rail{fill:#262c34}
.below{fill:#566270}
.own{fill:#58a6ff}
}
";

/// A picture of all tiers: a card each, in columns by how far they stand from the root tier.
pub fn svg(glance: &Glance) -> String {
    let families: Vec<_> = glance.families.iter().map(Drawn::new).collect();
    let columns = families.iter().map(|family| family.columns).max().unwrap_or(0);
    let heights: usize = families.iter().map(Drawn::height).sum();
    let width = 2 * MARGIN + (columns * (CARD.0 + GAP.0)).saturating_sub(GAP.0).max(CARD.0);
    let height = 2 * MARGIN + heights + families.len().saturating_sub(1) * BETWEEN + LEGEND;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<title>Tiers at a glance</title>\n<style>\n{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"10\"/>\n"
    );
    let largest = glance.largest();
    let mut top = MARGIN;
    for family in &families {
        family.draw(&mut out, top, largest);
        top += family.height() + BETWEEN;
    }
    legend(&mut out, height - MARGIN, largest);
    out.push_str("</svg>\n");
    out
}

/// A family with its places.
struct Drawn<'a> {
    family: &'a Family,
    placed: Vec<Placed<'a>>,
    /// By number of the tier: twice the row, so that halves are whole.
    rows: Vec<usize>,
    columns: usize,
    leaves: usize,
}

impl<'a> Drawn<'a> {
    fn new(family: &'a Family) -> Self {
        let placed = family.placed();
        let mut rows = vec![0; family.tiers.len()];
        let mut leaves = 0;
        for one in placed.iter().filter(|one| one.children.is_empty()) {
            rows[one.number] = 2 * leaves;
            leaves += 1;
        }
        // Children come after their parents: from the end, all are placed before they are asked for.
        for one in placed.iter().rev() {
            if let (Some(first), Some(last)) = (one.children.first(), one.children.last()) {
                rows[one.number] = (rows[*first] + rows[*last]) / 2;
            }
        }
        let columns = placed.iter().map(|one| one.depth + 1).max().unwrap_or(0);
        Self { family, placed, rows, columns, leaves }
    }

    fn height(&self) -> usize {
        HEAD + (self.leaves * (CARD.1 + GAP.1)).saturating_sub(GAP.1)
    }

    fn draw(&self, out: &mut String, top: usize, largest: u64) {
        let Family { distribution, summary, architecture, .. } = self.family;
        let left = MARGIN;
        let y = top + 18;
        let _ = writeln!(
            out,
            "<text class=\"title\" x=\"{left}\" y=\"{y}\">{} <tspan class=\"small dim\" dx=\"6\">{}</tspan></text>",
            escaped(distribution),
            escaped(&short(&format!("{summary}, {architecture}"), 90))
        );
        let place = |one: &Placed<'_>| {
            let x = MARGIN + one.depth * (CARD.0 + GAP.0);
            (x, top + HEAD + self.rows[one.number] * (CARD.1 + GAP.1) / 2)
        };
        for one in &self.placed {
            let (x, y) = place(one);
            let (from, middle) = (x + CARD.0, y + CARD.1 / 2);
            let (to, half) = (from + GAP.0, from + GAP.0 / 2);
            for child in &one.children {
                let end = top + HEAD + self.rows[*child] * (CARD.1 + GAP.1) / 2 + CARD.1 / 2;
                let _ = writeln!(
                    out,
                    "<path class=\"edge\" d=\"M{from} {middle}C{half} {middle} {half} {end} {to} {end}\"/>"
                );
            }
        }
        for one in &self.placed {
            card(out, place(one), one, largest);
        }
    }
}

fn card(out: &mut String, (x, y): (usize, usize), one: &Placed<'_>, largest: u64) {
    let tier = one.tier;
    let (left, right) = (x + PADDING, x + CARD.0 - PADDING);
    let size = tier.size.map_or_else(|| "not built".to_owned(), bytes);
    let mut about = format!("{}: {}", tier.name, tier.summary);
    if !tier.variants.is_empty() {
        let _ = write!(about, " (variants: {})", tier.variants.join(", "));
    }
    let _ = write!(
        out,
        "<g>\n<title>{}</title>\n<rect class=\"card\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n\
         <text class=\"name\" x=\"{left}\" y=\"{}\">{}</text>\n\
         <text class=\"size\" text-anchor=\"end\" x=\"{right}\" y=\"{}\">{}</text>\n\
         <text class=\"small dim\" x=\"{left}\" y=\"{}\">{}</text>\n",
        escaped(&about),
        CARD.0,
        CARD.1,
        y + 21,
        escaped(&short(&tier.name, 15)),
        y + 21,
        escaped(&size),
        y + 37,
        escaped(&short(&tier.summary, 34)),
    );
    // A root tier adds all that it has.
    let counts = match one.depth {
        0 => packages(tier.packages),
        _ => format!("{} (+{})", packages(tier.packages), tier.adds),
    };
    let _ = writeln!(out, "<text class=\"small\" x=\"{left}\" y=\"{}\">{counts}</text>", y + 53);
    if let (Some(layer), true) = (tier.layer, one.depth > 0) {
        let _ = writeln!(
            out,
            "<text class=\"small more\" text-anchor=\"end\" x=\"{right}\" y=\"{}\">+{}</text>",
            y + 53,
            bytes(layer)
        );
    }
    let rail = CARD.0 - 2 * PADDING;
    let bar = |out: &mut String, class, from: f64, length: f64| {
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{}\" width=\"{length:.1}\" height=\"5\" rx=\"2\"/>",
            left as f64 + from,
            y + CARD.1 - 12
        );
    };
    bar(out, "rail", 0.0, rail as f64);
    if let (Some(size), true) = (tier.size, largest > 0) {
        let scale = rail as f64 / largest as f64;
        let own = (tier.layer.unwrap_or(0).min(size) as f64 * scale).max(2.0);
        let all = (size as f64 * scale).max(own);
        bar(out, "below", 0.0, all);
        bar(out, "own", all - own, own);
    }
    out.push_str("</g>\n");
}

fn legend(out: &mut String, y: usize, largest: u64) {
    let mut x = MARGIN;
    for (class, text) in [("own", "its own layer"), ("below", "layers of the tiers that it stands on")] {
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"18\" height=\"5\" rx=\"2\"/>\n\
             <text class=\"small dim\" x=\"{}\" y=\"{y}\">{text}</text>",
            y - 6,
            x + 24
        );
        x += 24 + text.len() * 6 + 22;
    }
    let _ = writeln!(
        out,
        "<text class=\"small dim\" x=\"{x}\" y=\"{y}\">a whole bar: {}, uncompressed</text>",
        bytes(largest)
    );
}

/// At most so many characters; there is no way to measure a text without its font.
fn short(text: &str, most: usize) -> String {
    let text = printable(text.as_bytes());
    if text.chars().count() <= most {
        return text;
    }
    let cut: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end_matches([' ', ',']))
}

/// Text of an element: nothing in it ends it, and no character that XML 1.0 (section 2.2) forbids.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text.as_bytes()).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
