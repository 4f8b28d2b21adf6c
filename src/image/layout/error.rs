//! What can be wrong with an OCI image layout.

use std::{io, path::PathBuf};

use super::Digest;
use crate::ground::{Class, Failure, WriteError};

/// A layout could not be read or written. Names from inside it are fit to print.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LayoutError {
    /// A file or folder of it could not be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(
        code(debstrata::image::read),
        help("make it readable for the user that runs debstrata, or name another layout")
    )]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder is none.
    #[error("{} is no OCI image layout: {why}", path.display())]
    #[diagnostic(
        code(debstrata::image::no_layout),
        help(
            "name a folder that has `oci-layout` and `index.json`, such as one of `debstrata build --format oci` or `skopeo copy ... oci:FOLDER:TAG`"
        )
    )]
    NoLayout {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A document of it is not what it should be.
    #[error("{} is malformed: {why}", path.display())]
    #[diagnostic(code(debstrata::image::malformed), help("{help}"))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
        /// What to do.
        help: &'static str,
    },
    /// A file is a link, or lies behind one.
    #[error("{} is a symbolic link or no regular file", path.display())]
    #[diagnostic(
        code(debstrata::image::link),
        help("a layout's files lie in its own folder: make a copy with `cp -rL` if you trust what the link points at")
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A blob is not there.
    #[error("{} has no blob {digest}", path.display())]
    #[diagnostic(
        code(debstrata::image::missing),
        help("the layout is incomplete: copy or build it again, and not while it is being read")
    )]
    Missing {
        /// The layout.
        path: PathBuf,
        /// What is asked for.
        digest: Digest,
    },
    /// A blob is not what its name says.
    #[error("{} is not {digest}: {why}", path.display())]
    #[diagnostic(
        code(debstrata::image::damaged),
        help("the file was cut off or changed: delete it, and copy or build the layout again")
    )]
    Damaged {
        /// The blob's file.
        path: PathBuf,
        /// What is asked for.
        digest: Digest,
        /// How it differs.
        why: String,
    },
    /// A document claims to be longer than any may be.
    #[error("{digest} has {size} bytes, more than the {limit} that it may have")]
    #[diagnostic(code(debstrata::image::too_long), help("name an image with a smaller manifest or config"))]
    TooLong {
        /// The document.
        digest: Digest,
        /// What its descriptor says.
        size: u64,
        /// The bound, in bytes.
        limit: u64,
    },
    /// No image of this name.
    #[error("{} has no image \"{reference}\"", path.display())]
    #[diagnostic(code(debstrata::image::no_reference), help("{help}"))]
    NoReference {
        /// The layout.
        path: PathBuf,
        /// What was asked for; empty for the only image.
        reference: String,
        /// What there is.
        help: String,
    },
    /// No image for this platform.
    #[error("{digest} has no image for {platform}")]
    #[diagnostic(code(debstrata::image::no_platform), help("it has images for: {known}"))]
    NoPlatform {
        /// The index or manifest.
        digest: Digest,
        /// What was asked for.
        platform: String,
        /// What there is.
        known: String,
    },
    /// A file could not be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Write(#[from] WriteError),
}

impl Failure for LayoutError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::Missing { .. } | Self::Damaged { .. } | Self::Write(_) => Class::World,
            Self::NoLayout { .. }
            | Self::Malformed { .. }
            | Self::Link { .. }
            | Self::TooLong { .. }
            | Self::NoReference { .. }
            | Self::NoPlatform { .. } => Class::User,
        }
    }
}
