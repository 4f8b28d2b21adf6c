//! A layer of an image that others made becomes a table of entries and a spool, through the same reader
//! and the same bounds as a .deb's data.tar. Whiteouts are entries like others here: `stack` obeys them.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
};

use super::{
    DECODED, FORMAT, Limits, Unpacked,
    collect::{self, Stop},
    kept::{Hashed, Keys, Refused, recall},
    table::Table,
    tar::TarError,
    tarball::{TarballError, form, refusal, unpack_file},
};
use crate::{
    cache::Cache,
    debian::deb::{ControlMembers, decode},
    ground::Sha256,
};

pub(super) fn keys(diff_id: &Sha256) -> Keys {
    let key = |what| format!("{diff_id}-layer-{FORMAT}.{what}");
    Keys { table: key("table"), spool: key("spool") }
}

/// What the cache has of the layer that unpacks to this tar; the layer itself is not needed. Anything
/// damaged is as if it were not there.
pub fn recall_layer(diff_id: &Sha256, cache: &Cache) -> Option<Unpacked> {
    recall(&keys(diff_id), diff_id, cache).map(|(table, spool)| table.into_unpacked(spool))
}

/// Unpacks the file at `path`, whose digest must be `sha256`, and whose tar must have the digest `diff_id`,
/// into the cache. Its first bytes say whether it is plain or compressed by gzip or zstd. Nothing of a
/// refused layer stays in the cache. `title` is what messages call it.
///
/// # Errors
/// As for tarballs, and [`TarballError::DiffId`].
pub fn unpack_layer(
    path: &Path,
    title: &str,
    sha256: &Sha256,
    diff_id: &Sha256,
    cache: &Cache,
    limits: &Limits,
) -> Result<Unpacked, TarballError> {
    let read = |reader: &mut BufReader<Hashed<File>>, size: u64, spool: &mut File| {
        read(reader, size, title, diff_id, spool, limits)
    };
    unpack_file(path, title, sha256, &keys(diff_id), cache, read)
}

fn read(
    reader: &mut BufReader<Hashed<File>>,
    size: u64,
    title: &str,
    diff_id: &Sha256,
    spool: &mut File,
    limits: &Limits,
) -> Result<Table, Refused<TarballError>> {
    let broken = |source| Refused::File(refusal(title, TarError::Read(source)));
    let form = form(reader.fill_buf().map_err(broken)?);
    if !["", ".gz", ".zst"].contains(&form) {
        return Err(broken(io::Error::new(io::ErrorKind::InvalidData, "layers are not compressed so")));
    }
    let most = limits.unpacked_of(size);
    let data = decode(form, reader, size, limits.deb.memory).map_err(broken)?;
    let mut data = BufReader::with_capacity(DECODED, Hashed::new(data));
    let collected = collect::collect_layer(&mut data, most, diff_id, spool, limits);
    let (records, spool_size) = match collected {
        Ok(collected) => collected,
        Err(Stop::Write(error)) => return Err(Refused::Write(error)),
        Err(Stop::Package(error)) => return Err(Refused::File(refusal(title, error))),
    };
    // The reader stopped at the end of the stream, or it is a stream without an end marker.
    io::copy(&mut (&mut data).take(1 << 20), &mut io::sink()).map_err(broken)?;
    match data.get_ref().digest() {
        found if found == *diff_id => Ok(Table { deb: *diff_id, spool_size, control: ControlMembers::new(), records }),
        found => {
            let tarball = title.to_owned();
            Err(Refused::File(TarballError::DiffId { tarball, stated: *diff_id, found }))
        }
    }
}
