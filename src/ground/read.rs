//! Bounded reading.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// A stream was longer than it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("longer than the {limit} bytes it may have")]
pub struct TooLong {
    /// The bound, in bytes.
    pub limit: u64,
}

/// Reads all of `reader`, at most `limit` bytes. One byte more is read and refused as
/// [`TooLong`] (inside an [`io::Error`] of kind `InvalidData`), so that a stream that was cut at
/// the bound is never taken for whole.
pub fn read_at_most(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, TooLong { limit }));
    }
    Ok(bytes)
}

/// Opens a regular file for reading, links to one included. Anything else is an error of kind
/// `InvalidInput`, found before it is opened: opening a pipe waits for ever.
pub fn open_regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_itself_is_fine_and_one_more_is_not() {
        assert_eq!(read_at_most(&b"abc"[..], 3).unwrap(), b"abc");
        let error = read_at_most(&b"abcd"[..], 3).unwrap_err();
        assert_eq!(error.to_string(), "longer than the 3 bytes it may have");
    }
}
