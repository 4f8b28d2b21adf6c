//! Fetches and judges the InRelease of every suite, keeps them in the cache, and checks them again
//! from there.

use std::{collections::BTreeMap, io, thread};

use jiff::Timestamp;

use super::{
    ArchiveError, LONGEST_INRELEASE, NoKeyring, NoSuite, Package, Rules, Suites, TrustError, TrustRecord, Trusted,
    keyring::certificates,
    local::{Folder, SUITE},
    recheck,
    suites::{Opened, Suite},
    trust,
    trust::id,
    unsigned::{self, Absent},
};
use crate::{
    cache::{Arrival, Cache, CacheError},
    fetch::{Checksum, FetchError, Fetcher, HeadError, Origin, Unverified},
    ground::{Sha256, Spanned, nearest, open_regular, printable, read_at_most},
    manifest::{Archive, ArchiveSource},
};

/// What [`open`] needs beside the manifest and the fetcher.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Now.
    pub clock: Timestamp,
    /// What the lock trusted before, by [`TrustRecord::id`]; the cache adds what it has seen.
    pub seen: &'a BTreeMap<String, TrustRecord>,
    /// Take a Release that is older than what was seen.
    pub allow_older: bool,
}

/// Where the files of one suite are: its folder below the archive's root, with a `/` at the end
/// unless it is the root.
pub(super) fn base(suite: &str) -> String {
    match suite.strip_suffix('/') {
        Some(flat) => match flat.trim_start_matches("./").trim_matches('.') {
            "" => String::new(),
            _ => format!("{}/", flat.trim_start_matches("./")),
        },
        None => format!("dists/{suite}/"),
    }
}

fn origin(source: &ArchiveSource, suite: &str, released: Option<Timestamp>) -> Origin {
    Origin {
        name: source.name.clone(),
        archive: source.snapshot.as_ref().map(|name| name.value.clone()),
        suite: suite.to_owned(),
        uris: source.uris.iter().map(|uri| uri.value.clone()).collect(),
        pinned: source.snapshot_at.as_ref().map(|moment| moment.value),
        released,
        folder: source.folder.as_ref().map(|folder| folder.path.clone()),
    }
}

/// Where below an archive's root a .deb may lie, in the order in which to ask. An index's Filename is
/// relative to the root; flat repositories in a folder below it often mean that folder.
pub fn places(package: &Package) -> Vec<String> {
    let mut places = vec![package.path.to_string()];
    let suite = package.from.split_once('/').map(|(_, suite)| suite).filter(|suite| suite.ends_with('/'));
    let base = suite.map(base).unwrap_or_default();
    let path = package.path.trim_start_matches("./");
    if !base.is_empty() && !path.starts_with(&base) {
        places.push(format!("{base}{path}"));
    }
    places
}

/// Where the .debs of a lock can be had, by [`TrustRecord::id`]: all suites and folders of the manifest,
/// with the Date that the lock knows. Needs no network.
pub fn origins(archive: &Archive, records: &[TrustRecord]) -> BTreeMap<String, Origin> {
    let folders = archive.sources.iter().filter(|source| source.folder.is_some()).map(|source| (source, SUITE));
    each_suite(archive)
        .map(|(source, suite)| (source, suite.value.as_str()))
        .chain(folders)
        .map(|(source, suite)| {
            let id = id(source, suite);
            let released = records.iter().find(|record| record.id == id).map(|record| record.date);
            (id, origin(source, suite, released))
        })
        .collect()
}

fn each_suite(archive: &Archive) -> impl Iterator<Item = (&ArchiveSource, &Spanned<String>)> {
    archive.sources.iter().flat_map(|source| source.suites.iter().map(move |suite| (source, suite)))
}

/// Fetches and judges the InRelease of every suite, all at once; of each, the first mirror's that is
/// trusted. Offline: the last trusted one
/// that the cache remembers or the lock names, judged anew. Reads the folders of .debs.
///
/// # Errors
/// One for every source whose keyring is none, before anything is fetched; else one for every suite
/// that has no such InRelease, and for every folder that cannot be used.
pub fn open<'a>(archive: &'a Archive, fetcher: &Fetcher, how: &Opening<'_>) -> Result<Suites<'a>, Vec<ArchiveError>> {
    check_keyrings(archive)?;
    let results: Vec<_> = thread::scope(|scope| {
        let mut workers = Vec::new();
        for source in &archive.sources {
            if let Some(folder) = &source.folder {
                workers.push(scope.spawn(move || Ok(Opened::Folder(Folder::read(archive, source, folder)?))));
            }
            for suite in &source.suites {
                let open = move || {
                    open_suite(archive, source, suite, fetcher, how).map(|suite| Opened::Suite(Box::new(suite)))
                };
                workers.push(scope.spawn(open));
            }
        }
        let join = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().map(join).collect()
    });
    let (mut suites, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(suite) => suites.push(suite),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(Suites { archive, suites }) } else { Err(errors) }
}

/// One error for every `signed-by` that counts and is no keyring.
fn check_keyrings(archive: &Archive) -> Result<(), Vec<ArchiveError>> {
    let wrong = archive.sources.iter().filter(|source| !source.allow_unsigned).filter_map(|source| {
        let keyring = source.signed_by.as_ref()?;
        let reason = certificates(&keyring.bytes).err()?;
        Some(ArchiveError::Keyring(Box::new(NoKeyring {
            keyring: printable(keyring.written.value.as_bytes()),
            name: source.name.clone(),
            reason: printable(reason.as_bytes()),
            source_code: archive.source.clone(),
            span: keyring.written.span.clone().into(),
        })))
    });
    let errors: Vec<_> = wrong.collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// What to say of a suite that no mirror has.
fn no_suite(
    archive: &Archive,
    source: &ArchiveSource,
    suite: &Spanned<String>,
    head: HeadError<TrustError>,
) -> ArchiveError {
    // `trixie-security` of another source speaks for `trixie`, too.
    let others = each_suite(archive).map(|(_, other)| other.value.as_str()).filter(|other| *other != suite.value);
    let names = others.flat_map(|other| [Some(other), other.split(['-', '/']).next()]).flatten();
    let mut help = match nearest(&suite.value, names.filter(|name| *name != suite.value)) {
        Some(like) => format!("did you mean {like:?}?"),
        None => "is the suite's name right? It is that of a folder below dists/ of the archive".into(),
    };
    if source.snapshot_at.is_some() {
        help.push_str("; was it there at the moment of `snapshot-at`?");
    } else if !source.uris.is_empty() {
        help.push_str("; do `uris` lead to the folder that holds dists/?");
    }
    let (source_code, span) = (archive.source.clone(), suite.span.clone().into());
    ArchiveError::Suite(Box::new(NoSuite { head, help, source_code, span }))
}

fn open_suite<'a>(
    archive: &Archive,
    source: &'a ArchiveSource,
    named: &'a Spanned<String>,
    fetcher: &Fetcher,
    how: &Opening<'_>,
) -> Result<Suite<'a>, ArchiveError> {
    let suite = named.value.as_str();
    let cache = fetcher.cache();
    let head = Head::read(cache, source, suite)?;
    let locked = how.seen.get(&id(source, suite)).map(|record| Head { date: record.date, inrelease: record.inrelease });
    let seen = head.iter().chain(&locked).map(|seen| seen.date).max();
    let rules = Rules { source, suite, clock: how.clock, seen, allow_older: how.allow_older };
    let origin = origin(source, suite, None);
    let path = format!("{}InRelease", base(suite));
    let fetched = fetcher.head(&origin, &path, LONGEST_INRELEASE, |unverified, _| {
        trust(unverified, &rules).map(|trusted| (trusted, unverified.clone()))
    });
    let fetched = match fetched {
        Err(absent) if source.allow_unsigned && absent.answered_gone() => {
            match unsigned::release(fetcher, &origin, suite, absent, keep) {
                Ok(release) => Ok((trust(&release, &rules)?, release)),
                Err(Absent::Head(error)) => Err(error),
                Err(Absent::Cache(error)) => return Err(error.into()),
            }
        }
        fetched => fetched,
    };
    let trusted = match (fetched, head.or(locked)) {
        (Ok((trusted, unverified)), _) => {
            keep(cache, unverified.as_bytes(), trusted.record.inrelease)?;
            Head { date: trusted.record.date, inrelease: trusted.record.inrelease }.write(cache, source, suite)?;
            trusted
        }
        (Err(HeadError::Fetch(FetchError::Offline { .. })), Some(head)) => {
            trust(&recorded(cache, &id(source, suite), head.inrelease)?, &rules)?
        }
        // What was there once is rightly named, and gone for now.
        (Err(error), None) if error.answered_gone() => return Err(no_suite(archive, source, named, error)),
        (Err(error), _) => return Err(ArchiveError::Head(Box::new(error))),
    };
    Ok(Suite { source, name: suite, origin: Origin { released: Some(trusted.record.date), ..origin }, trusted })
}

/// Checks again, from the InRelease that the cache keeps, that a lock's record is true: its signature
/// by the keyring of today, the suite, and that the record says what the file says. Ages are not
/// judged: they were when the record was made.
///
/// # Errors
/// [`ArchiveError::Forgotten`] where the cache no longer has the file, [`ArchiveError::Recorded`] where the
/// record says something else, [`ArchiveError::Trust`] where the file is not trusted.
pub fn verify_recorded(
    source: &ArchiveSource,
    suite: &str,
    record: &TrustRecord,
    cache: &Cache,
    clock: Timestamp,
) -> Result<Trusted, ArchiveError> {
    let unverified = recorded(cache, &record.id, record.inrelease)?;
    let rules = Rules { source, suite, clock, seen: None, allow_older: true };
    let mut trusted = recheck(&unverified, &rules)?;
    let differs = |field| ArchiveError::Recorded { id: record.id.clone(), field, inrelease: record.inrelease };
    if trusted.record.date != record.date {
        return Err(differs("date"));
    }
    if trusted.record.valid_until != record.valid_until {
        return Err(differs("valid-until"));
    }
    if record.signer.is_none() != trusted.record.signer.is_none() {
        return Err(differs("signer"));
    }
    trusted.record.expired = record.expired;
    Ok(trusted)
}

/// The suites as a lock recorded them, from the cache alone, each checked by [`verify_recorded`]; and the
/// ids of those that cannot be checked, since the cache no longer has their InRelease. Folders of .debs are
/// left out: nobody signs them.
///
/// # Errors
/// As [`verify_recorded`], of all suites, but for what is forgotten.
pub fn reopen<'a>(
    archive: &'a Archive,
    records: &[TrustRecord],
    cache: &Cache,
    clock: Timestamp,
) -> Result<(Suites<'a>, Vec<String>), Vec<ArchiveError>> {
    let (mut suites, mut forgotten, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (source, suite) in each_suite(archive) {
        let name = suite.value.as_str();
        let id = id(source, name);
        let Some(record) = records.iter().find(|record| record.id == id) else { continue };
        match verify_recorded(source, name, record, cache, clock) {
            Ok(trusted) => {
                let origin = origin(source, name, Some(record.date));
                suites.push(Opened::Suite(Box::new(Suite { source, name, origin, trusted })));
            }
            Err(ArchiveError::Forgotten { .. }) => forgotten.push(id),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok((Suites { archive, suites }, forgotten)) } else { Err(errors) }
}

/// An InRelease of the cache, whose bytes hash to what was recorded.
fn recorded(cache: &Cache, id: &str, inrelease: Sha256) -> Result<Unverified, ArchiveError> {
    let path = cache.download_path(&inrelease);
    let forgotten = || ArchiveError::Forgotten { id: id.to_owned(), inrelease };
    match open_regular(&path).and_then(|file| read_at_most(file, LONGEST_INRELEASE)) {
        Ok(bytes) if Sha256::of(&bytes) == inrelease => Ok(Unverified::new(bytes)),
        Ok(_) => Err(forgotten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(forgotten()),
        Err(source) => Err(CacheError::Read { path, source }.into()),
    }
}

/// Keeps bytes that hash to `sha256`, such as a trusted InRelease, as a download.
fn keep(cache: &Cache, bytes: &[u8], sha256: Sha256) -> Result<(), CacheError> {
    match cache.incoming(&Checksum::Sha256(sha256), bytes.len() as u64)? {
        Arrival::Whole(_) => Ok(()),
        Arrival::Incoming(mut incoming) => {
            incoming.discard()?;
            incoming.write(bytes)?;
            // It hashes to its own digest.
            incoming.commit().map(drop)
        }
    }
}

/// The cache's memory of the last trusted InRelease of a suite.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    date: Timestamp,
    inrelease: Sha256,
}

impl Head {
    /// Projects share a cache: archives of the same name at other places, and other pins, are others.
    fn name(source: &ArchiveSource, suite: &str) -> String {
        let text = |spanned: &Spanned<String>| spanned.value.clone();
        let place = (
            source.snapshot.as_ref().map(text),
            source.uris.iter().map(text).collect::<Vec<_>>(),
            source.snapshot_at.as_ref().map(|moment| moment.value),
        );
        // Debug text quotes, so no two places look the same.
        format!("release-{suite}-{}", Sha256::of(format!("{place:?}").as_bytes()))
    }

    fn read(cache: &Cache, source: &ArchiveSource, suite: &str) -> Result<Option<Self>, CacheError> {
        // A record that does not parse was damaged: the cache then remembers nothing.
        Ok(cache.head(&Self::name(source, suite))?.and_then(|bytes| {
            let (date, inrelease) = str::from_utf8(&bytes).ok()?.trim_end().split_once(' ')?;
            Some(Self { date: date.parse().ok()?, inrelease: inrelease.parse().ok()? })
        }))
    }

    fn write(&self, cache: &Cache, source: &ArchiveSource, suite: &str) -> Result<(), CacheError> {
        let text = format!("{} {}\n", self.date, self.inrelease);
        cache.put_head(&Self::name(source, suite), text.as_bytes())
    }
}

impl From<HeadError<TrustError>> for ArchiveError {
    fn from(error: HeadError<TrustError>) -> Self {
        Self::Head(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_suites() {
        for (suite, expected) in [
            ("trixie", "dists/trixie/"),
            ("stable/updates", "dists/stable/updates/"),
            ("./", ""),
            ("/", ""),
            ("debs/", "debs/"),
            ("./debs/all/", "debs/all/"),
        ] {
            assert_eq!(base(suite), expected);
        }
    }
}
