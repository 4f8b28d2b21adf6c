//! A tarball of a manifest becomes a table of entries and a spool, through the same reader and the
//! same bounds as a .deb's data.tar. Nothing in it is run.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use miette::Diagnostic;

use super::{
    DECODED, FORMAT, Limits, READ, Refusal, Unpacked,
    collect::{self, Stop},
    kept::{Hashed, Keys, Refused, keep, recall},
    table::{Record, Table},
    tar::TarError,
};
use crate::{
    cache::{Cache, CacheError},
    debian::deb::{ControlMembers, decode},
    ground::{Class, Failure, Sha256, open_regular, printable},
};

/// A tarball could not be unpacked. `tarball` is what the manifest calls it.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TarballError {
    /// Its file cannot be read.
    #[error("{tarball}: cannot read {}: {source}", path.display())]
    #[diagnostic(
        code(debstrata::unpack::tarball_read),
        help("see what the system says about this file; in the cache it can be deleted, then it is fetched again")
    )]
    Read {
        /// Which one.
        tarball: String,
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not the one that the manifest names.
    #[error("{tarball}: {} is not the file that was verified: its SHA-256 is {found}", path.display())]
    #[diagnostic(
        code(debstrata::unpack::tarball_changed),
        help("delete this file and run the same command again; it is fetched anew")
    )]
    Changed {
        /// Which one.
        tarball: String,
        /// Its file.
        path: PathBuf,
        /// What it hashes to.
        found: Sha256,
    },
    /// It cannot be decompressed, or is no tar.
    #[error("{tarball} cannot be unpacked: {source}")]
    #[diagnostic(
        code(debstrata::unpack::tarball),
        help("it must be a tar archive, plain or compressed by gzip, xz, zstd or bzip2")
    )]
    Format {
        /// Which one.
        tarball: String,
        /// What is wrong.
        source: io::Error,
    },
    /// An entry that no layer may have.
    #[error("{tarball} has {entry}: {reason}")]
    #[diagnostic(
        code(debstrata::unpack::tarball_entry),
        help("such an entry cannot become part of a layer: make the tarball without it, or use another one")
    )]
    Entry {
        /// Which one.
        tarball: String,
        /// The entry's name as the archive writes it, safe to print.
        entry: String,
        /// What is wrong with it.
        reason: Box<Refusal>,
    },
    /// More than the ceilings allow.
    #[error("{tarball} has more than {limit} {what}")]
    #[diagnostic(
        code(debstrata::unpack::tarball_too_much),
        help("this is a ceiling against archives that are made to exhaust a machine; use another one")
    )]
    TooMuch {
        /// Which one.
        tarball: String,
        /// What there is too much of.
        what: &'static str,
        /// The ceiling.
        limit: u64,
    },
    /// A layer does not unpack to what its image says.
    #[error("{tarball} is not what its image says: it unpacks to sha256:{found}, and sha256:{stated} is meant")]
    #[diagnostic(
        code(debstrata::unpack::diff_id),
        help("nobody can use this image as it is: tell who made it, or take another one")
    )]
    DiffId {
        /// Which layer.
        tarball: String,
        /// The diff_id of the image's config.
        stated: Sha256,
        /// What its uncompressed bytes hash to.
        found: Sha256,
    },
    /// The cache does not take the unpacked data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] Box<CacheError>),
}

impl Failure for TarballError {
    fn class(&self) -> Class {
        match self {
            Self::Cache(error) => error.class(),
            Self::Read { .. } | Self::Changed { .. } => Class::World,
            Self::DiffId { .. } | Self::Format { .. } | Self::Entry { .. } | Self::TooMuch { .. } => Class::User,
        }
    }
}

pub(super) fn keys(sha256: &Sha256) -> Keys {
    let key = |what| format!("{sha256}-tarball-{FORMAT}.{what}");
    Keys { table: key("table"), spool: key("spool") }
}

/// What the cache has of a tarball from an earlier run; the tarball itself is not needed. Anything
/// damaged is as if it were not there.
pub fn recall_tarball(sha256: &Sha256, cache: &Cache) -> Option<Unpacked> {
    recall(&keys(sha256), sha256, cache).map(|(table, spool)| table.into_unpacked(spool))
}

/// Unpacks the file at `path`, whose digest must be `sha256`, into the cache. Its first bytes say how it
/// is compressed. Nothing of a refused tarball stays in the cache.
pub fn unpack_tarball(
    path: &Path,
    tarball: &str,
    sha256: &Sha256,
    cache: &Cache,
    limits: &Limits,
) -> Result<Unpacked, TarballError> {
    let read = |reader: &mut BufReader<Hashed<File>>, size: u64, spool: &mut File| {
        read(reader, size, sha256, spool, limits).map_err(|stop| match stop {
            Stop::Write(error) => Refused::Write(error),
            Stop::Package(error) => Refused::File(refusal(tarball, error)),
        })
    };
    unpack_file(path, tarball, sha256, &keys(sha256), cache, read)
}

/// Unpacks a file whose digest must be `sha256` by `read`, which also gets its size in bytes.
pub(super) fn unpack_file(
    path: &Path,
    title: &str,
    sha256: &Sha256,
    keys: &Keys,
    cache: &Cache,
    read: impl FnOnce(&mut BufReader<Hashed<File>>, u64, &mut File) -> Result<Table, Refused<TarballError>>,
) -> Result<Unpacked, TarballError> {
    let unreadable = |source| TarballError::Read { tarball: title.to_owned(), path: path.to_owned(), source };
    let changed = |found| TarballError::Changed { tarball: title.to_owned(), path: path.to_owned(), found };
    let file = open_regular(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let reader = BufReader::with_capacity(READ, Hashed::new(file));
    keep(cache, keys, reader, sha256, |reader, spool| read(reader, size, spool), changed, unreadable)
}

fn read(
    reader: &mut BufReader<Hashed<File>>,
    size: u64,
    sha256: &Sha256,
    spool: &mut File,
    limits: &Limits,
) -> Result<Table, Stop> {
    let broken = |error| Stop::Package(TarError::Read(error));
    let form = form(reader.fill_buf().map_err(broken)?);
    let data = decode(form, reader, size, limits.deb.memory).map_err(broken)?;
    let data = BufReader::with_capacity(DECODED, data);
    let (records, spool_size) = collect::collect(data, limits.unpacked_of(size), sha256, spool, limits)?;
    let whiteout = |record: &&Record| record.path.names().any(|name| name.starts_with(b".wh."));
    if let Some(record) = records.iter().find(whiteout) {
        let (entry, reason) = (printable(record.path.as_bytes()), Refusal::Whiteout);
        return Err(Stop::Package(TarError::Entry { entry, reason }));
    }
    Ok(Table { deb: *sha256, spool_size, control: ControlMembers::new(), records })
}

/// How a stream that begins so is compressed, as the end of a file's name says it.
pub(super) fn form(beginning: &[u8]) -> &'static str {
    match beginning {
        [0x1f, 0x8b, ..] => ".gz",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => ".xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ".zst",
        [b'B', b'Z', b'h', ..] => ".bz2",
        _ => "",
    }
}

pub(super) fn refusal(tarball: &str, error: TarError) -> TarballError {
    let tarball = tarball.to_owned();
    match error {
        TarError::Read(source) => TarballError::Format { tarball, source },
        TarError::Entry { entry, reason } => TarballError::Entry { tarball, entry, reason: Box::new(reason) },
        TarError::TooMuch { what, limit } => TarballError::TooMuch { tarball, what, limit },
    }
}
