//! What manifests say of images: configs and variants, and which images they come to.

use std::collections::{BTreeMap, BTreeSet};

use super::Distribution;
use crate::ground::{RootPath, Span, Spanned};

/// `[image]`, or the part of a variant that is like it. What is `None` or empty is the parent's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Who runs the process: names or numbers, `user` or `user:group`.
    pub user: Option<String>,
    /// Where it starts.
    pub workdir: Option<RootPath>,
    /// The program.
    pub entrypoint: Option<Vec<String>>,
    /// Its default arguments.
    pub cmd: Option<Vec<String>>,
    /// The environment: merged by key.
    pub env: BTreeMap<String, String>,
    /// Labels of the config: merged by key.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest: merged by key.
    pub annotations: BTreeMap<String, String>,
    /// Volumes: added to the parent's.
    pub volumes: BTreeSet<RootPath>,
    /// Ports, such as `8080/tcp`: added to the parent's.
    pub exposed_ports: BTreeSet<String>,
    /// The signal that ends it.
    pub stop_signal: Option<String>,
}

/// `[variants.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// `NAME`
    pub name: Spanned<String>,
    /// Its key.
    pub span: Span,
    /// What it overrides.
    pub image: Image,
    /// The tier whose layer goes on top, by index.
    pub overlay: Option<Spanned<usize>>,
}

/// An image that a tier comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The tier's name and those of the variants, such as `cc-debug-nonroot`.
    pub name: String,
    /// The tier whose chain its layers are, by index: the tier itself, or one that stands for the tier
    /// with an overlay on top.
    pub tier: usize,
    /// What the chain says of the config, merged, the variants' overrides last.
    pub image: Image,
}

/// The images of a tier: plain, its variants, and each overlay with each variant that has none.
pub fn images(distribution: &Distribution, tier: usize) -> Vec<Planned> {
    let name = distribution.tiers[tier].name.clone();
    vec![Planned { name, tier, image: Image::default() }]
}
