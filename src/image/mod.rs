//! Layers become images: config, OCI layout, docker archive, registry. Knows no packages.

pub mod artifact;
pub mod base;
pub mod config;
pub mod docker;
pub mod layout;
pub mod reference;
pub mod registry;
pub mod sign;
pub mod spec;

use std::path::PathBuf;

use crate::{
    ground::{DiffId, Sha256},
    layer::Form,
    manifest::Image as Settings,
};

pub use spec::{Descriptor, Digest, Platform};

/// A layer of an image, as it lies on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// SHA-256 of the uncompressed tar.
    pub diff_id: DiffId,
    /// How it is compressed.
    pub form: Form,
    /// SHA-256 of the file.
    pub digest: Sha256,
    /// Bytes of the file.
    pub size: u64,
    /// The file.
    pub path: PathBuf,
    /// Which tier it is, in full, such as `debian13/cc`: its line in the config's history.
    pub title: String,
}

/// One image for one platform, ready to be written in any form.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name in the distribution: a tier and its variants, such as `cc-debug-nonroot`.
    pub name: String,
    /// Where it runs.
    pub platform: Platform,
    /// What its chain of manifests says of the config, merged.
    pub settings: Settings,
    /// Seconds since 1970: `created` of the config and of each line of its history.
    pub created: u64,
    /// Those of the image that the root tier stands on, then the root tier's and so on.
    pub layers: Vec<Layer>,
    /// The history of that image, one line a layer and some without; empty where there is none.
    pub history: Vec<spec::History>,
}
