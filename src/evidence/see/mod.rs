//! Views of tiers: all of them at a glance, one with its files. Typed data to text, SVG and Mermaid.

mod files;
mod glance;
mod listing;
mod mermaid;
mod outline;
mod store;
mod svg;
mod tree;

pub use files::{files, kind_and_mode, owner};
pub use glance::{Family, Glance, GlanceTier};
pub use listing::{Account, Item, Kind, Listing, Members, Origin, Owned, Place};
pub use mermaid::mermaid;
pub use outline::{Beside, outline};
pub use svg::svg;
pub(super) use tree::bar;
pub use tree::{Branch, Sort, Tree, tree};
