//! What can go wrong with a registry, or with what is sent to it. Nothing here holds a secret.

use std::io;

use miette::Diagnostic;

use crate::{
    fetch::{FetchError, Outcome},
    ground::{Class, Failure},
    image::Digest,
};

/// Something between us and a registry.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RegistryError {
    /// 401 or 403.
    #[error("{registry} refuses {what} ({status}{says}); tried: {tried}")]
    #[diagnostic(
        code(debstrata::image::unauthorized),
        help(
            "log in with `docker login {registry}` or `podman login {registry}`, or set DEBSTRATA_REGISTRY_USER and \
             DEBSTRATA_REGISTRY_PASSWORD; and see whether that user may do it"
        )
    )]
    Unauthorized {
        /// Host and port.
        registry: String,
        /// What was asked, such as `an upload to team/image`.
        what: String,
        /// The status.
        status: u16,
        /// The registry's words, with `: ` before them, or nothing.
        says: String,
        /// Which credential was tried, without its secret.
        tried: String,
    },
    /// No answer, or a failure that did not pass.
    #[error("{what}: {registry} {outcome}")]
    #[diagnostic(code(debstrata::image::registry), help("{}", hint(outcome)))]
    Transport {
        /// Host and port.
        registry: String,
        /// What was asked.
        what: String,
        /// What it did.
        outcome: Outcome,
    },
    /// An answer that says no.
    #[error("{registry} refuses {what}: status {status}{says}")]
    #[diagnostic(
        code(debstrata::image::refused),
        help("see whether the repository exists and takes images of this kind and size; what was sent so far is kept")
    )]
    Refused {
        /// Host and port.
        registry: String,
        /// What was asked.
        what: String,
        /// The status.
        status: u16,
        /// The registry's words, with `: ` before them, or nothing.
        says: String,
    },
    /// There is no such thing.
    #[error("{registry} has no {what}")]
    #[diagnostic(
        code(debstrata::image::absent),
        help("see whether the reference is right, and what the registry lists")
    )]
    Absent {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// An answer that cannot be true, or is not of the protocol.
    #[error("{registry} answers wrongly to {what}: {why}")]
    #[diagnostic(
        code(debstrata::image::lies),
        help("the registry, or something before it, is broken or worse: tell those who run it; no tag was set to it")
    )]
    Lies {
        /// Host and port.
        registry: String,
        /// What was asked.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Credentials could not be had.
    #[error("no credential for {registry}: {why}")]
    #[diagnostic(
        code(debstrata::image::credentials),
        help("repair it, or set DEBSTRATA_REGISTRY_USER and DEBSTRATA_REGISTRY_PASSWORD")
    )]
    Credentials {
        /// Host and port.
        registry: String,
        /// Which file or program, and what it did.
        why: String,
    },
    /// Proxies and the like.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Settings(#[from] FetchError),
    /// What was to be sent cannot be read.
    #[error("cannot read the blob {digest}")]
    #[diagnostic(
        code(debstrata::image::blob),
        help("build the images again with `debstrata build --format oci`: what is in the registry is not touched")
    )]
    Blob {
        /// Which.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was fetched cannot be kept.
    #[error("cannot keep the blob {digest}")]
    #[diagnostic(code(debstrata::image::keep), help("see whether the disk is full"))]
    Keep {
        /// Which.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A manifest or index that cannot be sent as it is.
    #[error("the manifest {digest} cannot be pushed: {why}")]
    #[diagnostic(
        code(debstrata::image::manifest),
        help("build the images again with `debstrata build --format oci`: what is in the registry is not touched")
    )]
    Manifest {
        /// Which.
        digest: Digest,
        /// What is wrong with it.
        why: String,
    },
}

fn hint(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Tls(_) => {
            "add the certificate authority of the registry to the system's trusted ones; for a registry without TLS, \
             --plain-http"
        }
        Outcome::Redirect(_) => {
            "the registry, or a proxy before it, should name itself with https: tell those who run it"
        }
        _ => {
            "check the registry's name, the network and the proxy, then run the same command again: what was sent so far \
             is kept"
        }
    }
}

impl Failure for RegistryError {
    fn class(&self) -> Class {
        match self {
            Self::Unauthorized { .. } | Self::Absent { .. } | Self::Credentials { .. } | Self::Manifest { .. } => {
                Class::User
            }
            Self::Settings(error) => error.class(),
            Self::Transport { .. }
            | Self::Refused { .. }
            | Self::Lies { .. }
            | Self::Blob { .. }
            | Self::Keep { .. } => Class::World,
        }
    }
}
