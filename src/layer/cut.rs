//! Where a layer is cut into members, as docs/layer-format.md ("Members") describes it. The rule
//! sees names and sizes alone, so an edit moves few cuts.

use super::{LayerError, header::END, tar::Tar};
use crate::ground::Sha256;

/// A member is not cut before it has so many bytes. Raises [`super::FORMAT_VERSION`].
const AT_LEAST: u64 = 256 << 10;
/// No member has more bytes: small enough that the last ones of a layer keep all cores busy.
/// Raises [`super::FORMAT_VERSION`].
pub(super) const AT_MOST: u64 = 1 << 20;

/// A stretch of the tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The entry in which it begins; one past the last for a member of nothing but the end.
    pub first: usize,
    /// How many bytes of that entry belong to members before.
    pub skip: u64,
    /// Its bytes.
    pub size: u64,
}

/// The members of a tar, in order, and the tar's size.
pub(super) fn members(tar: &Tar) -> Result<(Vec<Member>, u64), LayerError> {
    let mut done = Vec::new();
    let mut total = 0u64;
    let mut now = Member { first: 0, skip: 0, size: 0 };
    let mut head = Vec::new();
    for at in 0..tar.entries() {
        tar.head(at, &mut head)?;
        let mut rest = tar.size(at, head.len());
        total = total.saturating_add(rest);
        // An entry that needs several members begins one, so its inner cuts depend on itself alone.
        if now.size > 0 && (rest > AT_MOST - now.size || now.size >= AT_LEAST && chosen(tar.path(at).as_bytes())) {
            done.push(std::mem::replace(&mut now, Member { first: at, skip: 0, size: 0 }));
        }
        while rest > AT_MOST {
            let skip = now.skip + AT_MOST;
            done.push(Member { size: AT_MOST, ..now });
            now = Member { first: at, skip, size: 0 };
            rest -= AT_MOST;
        }
        now.size += rest;
    }
    if END > AT_MOST - now.size {
        done.push(std::mem::replace(&mut now, Member { first: tar.entries(), skip: 0, size: 0 }));
    }
    now.size += END;
    done.push(now);
    Ok((done, total.saturating_add(END)))
}

/// Whether a cut may come before this path: one in sixteen.
fn chosen(path: &[u8]) -> bool {
    Sha256::of(path).as_bytes()[0] < 16
}
