//! What the user wrote: TOML and the files beside it become a [`Project`] of typed data, each
//! value with its place. Knows neither network nor lock.
//!
//! [`load`] finds the files and tells everything that is wrong with all of them. [`keys`] names
//! every key there is: reading, messages and docs/manifest.md follow it. [`matcher`] makes a glob
//! rule ready for paths.

mod accounts;
mod archive;
mod checks;
mod config;
mod error;
mod foreign;
mod format;
mod globs;
mod image;
pub mod keys;
mod load;
mod local;
mod model;
mod overlay;
mod reference;
mod scalar;
mod schema;
mod shape;
mod sketch;
mod tarball;
mod tier;
mod wish;

pub use checks::{Acceptance, Checks, Expectation, Features, Limits, SetId, Sort, Wanted, place_of};
pub use error::{Finding, ManifestError, Topic};
pub use foreign::ForeignBase;
pub use format::format;
pub use globs::{GlobMatcher, matcher};
pub use image::{Image, Overlaid, Planned, Variant, images, images_on};
pub use load::{LARGEST_MANIFEST, Loaded, load};
pub use model::*;
pub use reference::reference;
pub use scalar::{account_name_fault, duration, is_tier_name, size};
pub use schema::{Manifest, schema};
pub use sketch::{KNOWN, Known, Schemas, Sketch, best_parent, first_name, tier as first_text};
