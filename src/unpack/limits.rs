//! Ceilings of unpacking. The index bounds the .deb exactly, but Installed-Size is an estimate
//! (Policy 5.6.20) and sometimes absent.

use crate::debian::deb::DebLimits;

/// How much one package may unpack to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Headers in data.tar.
    pub entries: u64,
    /// Bytes of the whole decompressed data.tar.
    pub unpacked: u64,
    /// Names in one path. Real packages have some 30; what looks a path up name by name takes time with
    /// its square.
    pub depth: u64,
    /// Bytes of decompressed data.tar for each byte of the .deb, counted above `free`. Real data
    /// reaches 30; a bomb made with xz 7,000.
    pub ratio: u64,
    /// Bytes of decompressed data.tar that no ratio is asked for.
    pub free: u64,
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of memory for the table: names, link targets, extended attributes and a fixed sum an
    /// entry.
    pub table: u64,
    /// Of the .deb's own format.
    pub deb: DebLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            depth: 256,
            unpacked: 16 << 30,
            ratio: 500,
            free: 1 << 30,
            file: 8 << 30,
            table: 512 << 20,
            deb: DebLimits::default(),
        }
    }
}

impl Limits {
    /// Bytes of decompressed data.tar that a .deb of `size` bytes may have.
    pub(super) fn unpacked_of(&self, size: u64) -> u64 {
        self.unpacked.min(self.free.saturating_add(self.ratio.saturating_mul(size)))
    }
}
