//! Registries: a client of the OCI distribution-spec 1.1, and pushing of finished images.
//!
//! Transport (TLS roots, proxies, timeouts, pauses) is that of [`crate::fetch`]. Nothing a registry says is
//! believed: digests and sizes are compared, and all that it sends is bounded.

mod auth;
mod blob;
mod challenge;
mod client;
mod credentials;
mod error;
mod manifest;
mod push;
mod source;
mod upload;

use std::sync::Arc;

use crate::{fetch, ground::Observer};

pub use client::{Access, Repository};
pub use credentials::{Credentials, Login};
pub use error::RegistryError;
pub use manifest::{Document, Put};
pub(crate) use push::clashes;
pub use push::{How, Pushed, PushedBlob, PushedManifest, PushedTag, Wanted, push};
pub use source::{Blobs, Sources};

/// How registries are spoken to.
#[derive(Clone)]
pub struct Settings {
    /// Timeouts, proxies, retries; how many blobs go at once.
    pub fetch: fetch::Settings,
    /// Who we are.
    pub credentials: Credentials,
    /// Plain HTTP, also to other machines.
    pub plain_http: bool,
    /// Blobs up to so many bytes go in one request; larger ones in pieces, which can be resumed.
    pub whole: u64,
    /// Bytes of a piece; more where the registry asks for more.
    pub piece: u64,
    /// Hears of progress.
    pub observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for Settings {
    /// No secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("plain_http", &self.plain_http).finish_non_exhaustive()
    }
}

impl Settings {
    /// The usual ones: TLS, and plain HTTP where a registry on this machine has no TLS.
    pub fn new(fetch: fetch::Settings, credentials: Credentials, observer: Arc<dyn Observer>) -> Self {
        // Some proxies refuse bodies of 100 MB and more.
        Self { fetch, credentials, plain_http: false, whole: 8 << 20, piece: 64 << 20, observer }
    }
}
