//! Mirrors and transport: a path, size and checksum become a blob in the cache, from the first
//! mirror that has it. Heads (InRelease) come back as [`Unverified`]. Knows no Release field.

mod apt;
mod error;
mod fetcher;
mod http;
mod local;
mod mirrors;
mod netrc;
mod pace;
mod progress;
mod proxy;
mod settings;
mod tarball;
mod transfer;
mod uri;
mod wire;

use std::{fmt, path::PathBuf};

use jiff::Timestamp;

pub use crate::cache::Checksum;
pub use error::{Attempt, Attempts, FetchError, HeadError, Outcome, Refusal, RefusedBy};
pub use fetcher::{Fetcher, Wanted};
pub use http::Trouble;
pub use mirrors::Kind;
pub use settings::{Proxies, Retries, Settings, Timeouts};
pub use tarball::{LARGEST_TARBALL, Place, Tarball};
pub use uri::UriError;
pub use wire::{Answer, Body, Call, Failed, Opens, Target, Wire, is_loopback};

/// Where the files of one suite of one source can be had. `Debug` shows no login.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source's name in messages, such as `debian`.
    pub name: String,
    /// The archive's name at the snapshot service and for `--mirror`.
    pub archive: Option<String>,
    /// The suite, such as `trixie`; apt sources of the host that list it come first.
    pub suite: String,
    /// The manifest's own mirrors; when given, the host's are not asked.
    pub uris: Vec<String>,
    /// The moment that the source is pinned to: heads and indexes then come from `uris`, `--mirror`
    /// or the snapshot service at this moment, never from a live mirror.
    pub pinned: Option<Timestamp>,
    /// The Date of the Release that listed a file: where the snapshot service is asked for a .deb
    /// that the mirrors have dropped.
    pub released: Option<Timestamp>,
    /// A folder on this machine that has all its files; then nobody else is asked, online or not.
    pub folder: Option<PathBuf>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("name", &self.name)
            .field("archive", &self.archive)
            .field("suite", &self.suite)
            .field("uris", &self.uris.iter().map(|uri| uri::redacted(uri)).collect::<Vec<_>>())
            .field("pinned", &self.pinned)
            .field("released", &self.released)
            .field("folder", &self.folder)
            .finish()
    }
}

/// Bytes that nobody has vouched for. The one exit is `archive::trust`.
#[derive(Debug, Clone)]
pub struct Unverified(Vec<u8>);

impl Unverified {
    /// Wraps what a mirror or the cache gave.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for whoever judges them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
