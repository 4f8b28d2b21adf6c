//! Why an image that others made cannot be the ground of a tier.

use std::io;

use miette::Diagnostic;

use crate::{
    cache::CacheError,
    ground::{Class, Failure},
    image::{Digest, layout::LayoutError, reference::ReferenceError, registry::RegistryError},
};

/// What is wrong with an image itself. Texts from it are fit to print.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A document that cannot be read.
    #[error("{digest} is malformed: {why}")]
    Malformed {
        /// The document.
        digest: Digest,
        /// Where, and what.
        why: String,
    },
    /// A manifest that is older than digests.
    #[error("its schemaVersion is {0}, and only 2 is known: copy it with a present tool, which makes it anew")]
    Schema(String),
    /// Something else than an image.
    #[error("it is no image, but {0}")]
    NoImage(String),
    /// Indexes in indexes in indexes.
    #[error("its indexes lie too deep in each other")]
    Deep,
    /// It is for other machines.
    #[error("it has no image for {wanted}; it has {found}")]
    Platform {
        /// What the tier is composed for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// Manifest and config disagree.
    #[error("its manifest has {layers} layers, and its config {diff_ids}")]
    Count {
        /// Of the manifest.
        layers: usize,
        /// Of the config.
        diff_ids: usize,
    },
    /// More layers than anyone takes.
    #[error("it has {layers} layers, and {limit} are the most")]
    TooMany {
        /// How many.
        layers: usize,
        /// The ceiling.
        limit: usize,
    },
    /// A blob beyond its ceiling.
    #[error("{digest} has {size} bytes, and {limit} are the most")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// What its descriptor says.
        size: u64,
        /// The ceiling.
        limit: u64,
    },
    /// A layer that registries do not hand out.
    #[error("a layer of it is {0}, which has to be fetched elsewhere")]
    Elsewhere(String),
    /// A layer in an unknown form.
    #[error("a layer of it is {0}, which is no tar, plain or compressed by gzip or zstd")]
    LayerType(String),
    /// Bytes that are not those of their digest.
    #[error("what is called {0} there has other bytes")]
    Other(Digest),
    /// A value of its config that no tier can inherit.
    #[error("its config has {0}, which no tier can inherit")]
    Config(String),
}

/// An image could not become the ground of a tier.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum BaseError {
    /// What the manifest says names no image.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reference(#[from] ReferenceError),
    /// The image itself.
    #[error("no tier can stand on {image}: {unfit}")]
    #[diagnostic(
        code(debstrata::image::base),
        help("name another image or digest in `parent`; docs/foreign.md says what an image must be like")
    )]
    Unfit {
        /// What it is called.
        image: String,
        /// What is wrong.
        unfit: Unfit,
    },
    /// The registry has nothing of this digest.
    #[error("there is no {image}")]
    #[diagnostic(
        code(debstrata::image::base_absent),
        help("see `skopeo inspect --format {{{{.Digest}}}} IMAGE` for the present one, and put it into `parent`")
    )]
    Absent {
        /// What it is called.
        image: String,
    },
    /// The cache lacks it, and nobody may be asked.
    #[error("the cache does not have all of {image}, and --offline forbids asking the registry")]
    #[diagnostic(code(debstrata::image::base_offline), help("run the same command once without --offline"))]
    Offline {
        /// What it is called.
        image: String,
    },
    /// A layer could not be copied out of a layout.
    #[error("cannot read {digest} of {image}")]
    #[diagnostic(code(debstrata::image::base_copy), help("see what the system says, and copy the layout again"))]
    Copy {
        /// What the image is called.
        image: String,
        /// The blob.
        digest: Digest,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The layout.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Layout(#[from] LayoutError),
    /// The registry.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    /// The cache.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
}

impl Failure for BaseError {
    fn class(&self) -> Class {
        match self {
            Self::Reference(error) => error.class(),
            Self::Unfit { .. } | Self::Absent { .. } => Class::User,
            Self::Offline { .. } | Self::Copy { .. } => Class::World,
            Self::Layout(error) => error.class(),
            Self::Registry(error) => error.class(),
            Self::Cache(error) => error.class(),
        }
    }
}
