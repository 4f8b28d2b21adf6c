//! From unverified heads to a trusted index of packages: signature, dates, names, checksums.
//! Knows no tiers.

mod clearsigned;
mod error;
mod index;
mod keyring;
mod local;
mod mentions;
mod open;
mod suites;
mod table;
mod trust;
mod unsigned;

pub use error::{ArchiveError, NoArchitecture, NoComponent, NoKeyring, NoSuite};
pub use local::{LocalError, changed_debs};
pub use open::{Opening, open, origins, places, reopen, verify_recorded};
pub use suites::Suites;
pub use trust::{CLOCK_SKEW, LONGEST_INRELEASE, Rules, TrustError, Trusted, recheck, trust};

use jiff::Timestamp;

use crate::{debian::Version, ground::Sha256};

pub use index::{Candidate, Index, IndexError, Provider};

/// What was trusted for one suite, as the lock keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRecord {
    /// `<source name>/<suite>`, unique in the distribution: `debian-security/trixie-security`.
    pub id: String,
    /// Of the whole InRelease file.
    pub inrelease: Sha256,
    /// The Release's Date.
    pub date: Timestamp,
    /// Its Valid-Until, where it has one.
    pub valid_until: Option<Timestamp>,
    /// Fingerprint of the primary key whose signature was accepted, 40 or 64 upper-case hexadecimal
    /// digits; `None` only under `allow-unsigned`.
    pub signer: Option<String>,
    /// Whether `allow-expired` let it pass.
    pub expired: bool,
    /// Of a folder of .debs, what `folder` says; its `inrelease` is then the digest of the index that
    /// was made of it, and its `date` 1970-01-01T00:00:00Z.
    pub folder: Option<String>,
}

/// One binary package of an index: all that is needed to name, fetch and verify its .deb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Binary package name.
    pub name: Box<str>,
    /// Its version.
    pub version: Version,
    /// `all`, or an architecture's name.
    pub architecture: Box<str>,
    /// Source package name, without its version.
    pub source: Box<str>,
    /// Which suite lists it, as [`TrustRecord::id`].
    pub from: Box<str>,
    /// Relative to the archive's root: `pool/main/...`.
    pub path: Box<str>,
    /// Bytes of the .deb.
    pub size: u64,
    /// Of the .deb.
    pub sha256: Sha256,
}
