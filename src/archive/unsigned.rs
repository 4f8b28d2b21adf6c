//! Repositories that nobody signs, where `allow-unsigned` lets them pass: a plain Release beside no
//! InRelease, and flat repositories with nothing but Packages.

use jiff::Timestamp;

use super::{TrustError, open::base, suites::FORMS};
use crate::{
    cache::{Cache, CacheError},
    fetch::{Fetcher, HeadError, Origin, Unverified},
    ground::Sha256,
};

/// The largest index that is taken without a Release to bound it, in bytes.
const LARGEST: u64 = 128 << 20;

/// What stands for the InRelease that a repository does not have: its Release or, where it is flat, one
/// that is made of its Packages. The error is `absent`'s where it has neither.
pub(super) fn release(
    fetcher: &Fetcher,
    origin: &Origin,
    suite: &str,
    absent: HeadError<TrustError>,
    keep: impl Fn(&Cache, &[u8], Sha256) -> Result<(), CacheError>,
) -> Result<Unverified, Absent> {
    let take = |unverified: &Unverified, _: &str| Ok::<_, TrustError>(unverified.clone());
    match fetcher.head(origin, &format!("{}Release", base(suite)), super::LONGEST_INRELEASE, take) {
        Ok(release) => return Ok(release),
        Err(error) if !error.answered_gone() => return Err(Absent::Head(error)),
        Err(_) if !suite.ends_with('/') => return Err(Absent::Head(absent)),
        Err(_) => {}
    }
    for form in FORMS {
        match fetcher.head(origin, &format!("{}Packages{form}", base(suite)), LARGEST, take) {
            Ok(index) => {
                let bytes = index.as_bytes();
                let sha256 = Sha256::of(bytes);
                keep(fetcher.cache(), bytes, sha256).map_err(Absent::Cache)?;
                return Ok(Unverified::new(made_of(form, sha256, bytes.len()).into_bytes()));
            }
            Err(error) if !error.answered_gone() => return Err(Absent::Head(error)),
            Err(_) => {}
        }
    }
    Err(Absent::Head(absent))
}

/// Why there is nothing.
pub(super) enum Absent {
    /// No mirror has it.
    Head(HeadError<TrustError>),
    /// It cannot be kept.
    Cache(CacheError),
}

/// The same index makes the same Release. Nobody says how old it is, so it is as old as can be.
fn made_of(form: &str, sha256: Sha256, size: usize) -> String {
    let date = Timestamp::UNIX_EPOCH.strftime("%a, %d %b %Y %H:%M:%S UTC");
    format!("Description: made of an index without a Release\nDate: {date}\nSHA256:\n {sha256} {size} Packages{form}\n")
}
