//! What the cache keeps of a verified file: a table of its entries, and the spool that the table vouches for.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Write as _},
    sync::Arc,
};

use super::{KIND, LONGEST_TABLE, Unpacked, table::Table};
use crate::{
    cache::{Cache, CacheError},
    ground::{Sha256, Sha256Hasher, open_regular, read_at_most},
    rootfs::Spool,
};

/// The cache's keys.
pub(super) struct Keys {
    pub table: String,
    pub spool: String,
}

impl Keys {
    pub(super) fn all(self) -> [String; 2] {
        [self.table, self.spool]
    }
}

/// A reader whose bytes are hashed as they are read.
pub(super) struct Hashed<R> {
    inner: R,
    hasher: Sha256Hasher,
}

impl<R> Hashed<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256Hasher::new() }
    }

    /// Of all bytes that were read.
    pub(super) fn digest(&self) -> Sha256 {
        self.hasher.clone().finish()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Why no table was made.
pub(super) enum Refused<E> {
    /// What the file holds is not acceptable.
    File(E),
    /// The spool cannot be written: the cache's own error.
    Write(io::Error),
}

/// The table that is kept, and its spool; the file itself is not needed. Whatever keeps it from being read
/// (not there, pruned meanwhile, damaged, a bad disk) is as if it were not there: it is made anew, and what is
/// wrong with the cache shows when it is written.
pub(super) fn recall(keys: &Keys, id: &Sha256, cache: &Cache) -> Option<(Table, Arc<Spool>)> {
    let table = open_regular(&cache.derived_path(KIND, &keys.table)).ok()?;
    let spool = cache.derived_path(KIND, &keys.spool);
    let size = fs::metadata(&spool).ok()?.len();
    let table = Table::decode(&read_at_most(table, LONGEST_TABLE).ok()?)?;
    (table.deb == *id && table.spool_size == size).then(|| (table, Arc::new(Spool::new(spool))))
}

/// Makes table and spool by `read`, and keeps them if all of the file is `sha256`: a file that is not the
/// verified one (`changed`) explains every other fault. Nothing of a refused file stays in the cache; the table
/// appears last.
pub(super) fn keep<R: Read, E: From<Box<CacheError>>>(
    cache: &Cache,
    keys: &Keys,
    mut reader: BufReader<Hashed<R>>,
    sha256: &Sha256,
    read: impl FnOnce(&mut BufReader<Hashed<R>>, &mut File) -> Result<Table, Refused<E>>,
    changed: impl FnOnce(Sha256) -> E,
    unreadable: impl FnOnce(io::Error) -> E,
) -> Result<Unpacked, E> {
    // Either a table, or why there is none.
    let mut outcome = None;
    let written = cache.put_derived(KIND, &keys.spool, |spool| {
        let made = match read(&mut reader, spool) {
            Err(Refused::Write(error)) => return Err(error),
            Err(Refused::File(error)) => Err(error),
            Ok(table) => Ok(table),
        };
        // All of the file is hashed, also behind an error.
        let outcome = outcome.insert(match io::copy(&mut reader, &mut io::sink()) {
            Ok(_) => match reader.get_ref().digest() {
                found if found == *sha256 => made,
                found => Err(changed(found)),
            },
            Err(error) => Err(unreadable(error)),
        });
        if outcome.is_ok() { Ok(()) } else { Err(io::Error::other("the file is refused")) }
    });
    let table = match outcome {
        Some(Err(error)) => return Err(error),
        Some(Ok(table)) => Some(table),
        None => None,
    };
    let spool = written.map_err(Box::new)?;
    let table = table.expect("a spool that was written has a table");
    let bytes = table.encode();
    cache.put_derived(KIND, &keys.table, |file| file.write_all(&bytes)).map_err(Box::new)?;
    Ok(table.into_unpacked(Arc::new(Spool::new(spool))))
}
