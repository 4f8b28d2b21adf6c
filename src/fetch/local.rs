//! A file of this machine into the cache.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{Outcome, transfer};
use crate::cache::{CacheError, Incoming};

/// Copies a file whose size is that of `incoming`. The inner error says what is wrong with the file;
/// the outer one is the cache's.
pub(super) fn copy(path: &Path, incoming: &mut Incoming) -> Result<Result<PathBuf, Outcome>, CacheError> {
    let (mut file, found) = match transfer::open_path(path) {
        Ok(opened) => opened,
        Err(outcome) => return Ok(Err(outcome)),
    };
    // What an earlier run left is of another file perhaps; this one is near.
    incoming.discard()?;
    let expected = incoming.size();
    if found != expected {
        return Ok(Err(Outcome::Size { expected, found: Some(found) }));
    }
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) if incoming.len().saturating_add(count as u64) > expected => {
                return Ok(Err(Outcome::Size { expected, found: None }));
            }
            Ok(count) => incoming.write(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(transfer::broken(&error))),
        }
    }
    Ok(incoming.commit()?.ok_or(Outcome::Hash))
}
