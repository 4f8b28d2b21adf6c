//! Where compressed members are kept between runs.

use std::fs::File;

use crate::{
    cache::{Cache, CacheError},
    ground::{Sha256, read_at_most},
};

/// The kind under which members are kept in the cache.
const KIND: &str = "members";
/// The longest record, in bytes: twice what a member may have before it is compressed. What is
/// longer was not written by this program.
const LONGEST: u64 = 2 * super::cut::AT_MOST;

/// Keeps records by key. What it gives back is checked before use, so it may lose or damage
/// records; asked from many threads at once.
pub trait MemberStore: Sync {
    /// The record that was last put under `key`, if it is still there.
    fn get(&self, key: &Sha256) -> Result<Option<Vec<u8>>, CacheError>;

    /// Keeps a record, in place of an older one.
    fn put(&self, key: &Sha256, record: &[u8]) -> Result<(), CacheError>;
}

/// Keeps nothing: everything is compressed anew.
pub struct NoStore;

impl MemberStore for NoStore {
    fn get(&self, _: &Sha256) -> Result<Option<Vec<u8>>, CacheError> {
        Ok(None)
    }

    fn put(&self, _: &Sha256, _: &[u8]) -> Result<(), CacheError> {
        Ok(())
    }
}

impl MemberStore for Cache {
    fn get(&self, key: &Sha256) -> Result<Option<Vec<u8>>, CacheError> {
        let Some(file) = self.get_derived(KIND, &key.to_string())? else { return Ok(None) };
        // A record that cannot be read, or has grown, is one that is compressed again.
        Ok(read(file).ok())
    }

    fn put(&self, key: &Sha256, record: &[u8]) -> Result<(), CacheError> {
        use std::io::Write as _;
        self.put_derived(KIND, &key.to_string(), |file| file.write_all(record))?;
        Ok(())
    }
}

fn read(file: File) -> std::io::Result<Vec<u8>> {
    read_at_most(file, LONGEST)
}
