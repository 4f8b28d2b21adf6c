//! A layer of an image that others made becomes a table of entries and a spool, through the same reader
//! and the same bounds as a .deb's data.tar. Whiteouts are entries like others here: `stack` obeys them.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    sync::Arc,
};

use super::{
    DECODED, FORMAT, KIND, LONGEST_TABLE, Limits, READ, Unpacked,
    collect::{self, Stop},
    table::Table,
    tar::TarError,
    tarball::{Hashed, TarballError, form, refusal},
};
use crate::{
    cache::Cache,
    debian::deb::{ControlMembers, decode},
    ground::{Sha256, Sha256Hasher, open_regular, read_at_most},
    rootfs::Spool,
};

/// The cache's keys: table and spool.
pub(super) fn keys(diff_id: &Sha256) -> [String; 2] {
    ["table", "spool"].map(|what| format!("{diff_id}-layer-{FORMAT}.{what}"))
}

/// What the cache has of the layer that unpacks to this tar; the layer itself is not needed. Anything
/// damaged is as if it were not there.
pub fn recall_layer(diff_id: &Sha256, cache: &Cache) -> Option<Unpacked> {
    let [table, spool] = keys(diff_id).map(|key| cache.derived_path(KIND, &key));
    let table = Table::decode(&read_at_most(open_regular(&table).ok()?, LONGEST_TABLE).ok()?)?;
    let whole = table.deb == *diff_id && table.spool_size == fs::metadata(&spool).ok()?.len();
    whole.then(|| table.into_unpacked(Arc::new(Spool::new(spool))))
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
    let unreadable = |source| TarballError::Read { tarball: title.to_owned(), path: path.to_owned(), source };
    let file = open_regular(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut reader = BufReader::with_capacity(READ, Hashed { file, hasher: Sha256Hasher::new() });
    let mut outcome = None;
    let [table_key, spool_key] = keys(diff_id);
    let written = cache.put_derived(KIND, &spool_key, |spool| {
        let made = match read(&mut reader, size, title, diff_id, spool, limits) {
            Err(Refused::Write(error)) => return Err(error),
            Err(Refused::Layer(error)) => Err(error),
            Ok(table) => Ok(table),
        };
        // A file that is not the verified one explains every other fault.
        let outcome = outcome.insert(match io::copy(&mut reader, &mut io::sink()) {
            Ok(_) => match reader.get_ref().hasher.clone().finish() {
                found if found == *sha256 => made,
                found => Err(TarballError::Changed { tarball: title.to_owned(), path: path.to_owned(), found }),
            },
            Err(error) => Err(unreadable(error)),
        });
        if outcome.is_ok() { Ok(()) } else { Err(io::Error::other("the layer is refused")) }
    });
    let table = match outcome {
        Some(Err(error)) => return Err(error),
        Some(Ok(table)) => Some(table),
        None => None,
    };
    let spool = written.map_err(Box::new)?;
    let table = table.expect("a spool that was written has a table");
    let bytes = table.encode();
    cache.put_derived(KIND, &table_key, |file| file.write_all(&bytes)).map_err(Box::new)?;
    Ok(table.into_unpacked(Arc::new(Spool::new(spool))))
}

enum Refused {
    Layer(TarballError),
    Write(io::Error),
}

fn read(
    reader: &mut BufReader<Hashed>,
    size: u64,
    title: &str,
    diff_id: &Sha256,
    spool: &mut File,
    limits: &Limits,
) -> Result<Table, Refused> {
    let broken = |source| Refused::Layer(refusal(title, TarError::Read(source)));
    let form = form(reader.fill_buf().map_err(broken)?);
    if !["", ".gz", ".zst"].contains(&form) {
        return Err(broken(io::Error::new(io::ErrorKind::InvalidData, "layers are not compressed so")));
    }
    let most = limits.unpacked_of(size);
    let data = decode(form, reader, size, limits.deb.memory).map_err(broken)?;
    let mut data = BufReader::with_capacity(DECODED, Hashed { file: data, hasher: Sha256Hasher::new() });
    let collected = collect::collect_layer(&mut data, most, diff_id, spool, limits);
    let (records, spool_size) = match collected {
        Ok(collected) => collected,
        Err(Stop::Write(error)) => return Err(Refused::Write(error)),
        Err(Stop::Package(error)) => return Err(Refused::Layer(refusal(title, error))),
    };
    // The reader stopped at the end of the stream, or it is a stream without an end marker.
    io::copy(&mut (&mut data).take(1 << 20), &mut io::sink()).map_err(broken)?;
    match data.into_inner().hasher.finish() {
        found if found == *diff_id => Ok(Table { deb: *diff_id, spool_size, control: ControlMembers::new(), records }),
        found => {
            let tarball = title.to_owned();
            Err(Refused::Layer(TarballError::DiffId { tarball, stated: *diff_id, found }))
        }
    }
}
