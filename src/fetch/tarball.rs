//! A file that a manifest names by its SHA-256 alone: nobody announces its size, so it is bounded.

use std::{fmt, io, path::PathBuf, thread};

use super::{
    Attempt, Attempts, FetchError, Fetcher, Outcome,
    http::trouble,
    local,
    progress::Progress,
    transfer,
    uri::{Scheme, Uri},
};
use crate::{
    cache::{Arrival, Checksum, Incoming},
    ground::{Event, Sha256, Work, printable},
};

/// The largest file that is taken where the manifest sets no bound, in bytes: 4 GiB.
pub const LARGEST_TARBALL: u64 = 4 << 30;

/// A file and where it can be had.
#[derive(Debug, Clone)]
pub struct Tarball {
    /// What it is called in messages.
    pub label: String,
    /// Who wants it, for messages: a tier.
    pub wanted_by: String,
    /// Of the file.
    pub sha256: Sha256,
    /// Bytes at most.
    pub limit: u64,
    /// Asked in this order.
    pub places: Vec<Place>,
}

/// Where a file can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// http, https or file.
    Uri(String),
    /// On this machine.
    Path(PathBuf),
}

impl Fetcher {
    /// The file's path in the cache: as it is there, or from the first place that has it. Places on
    /// this machine are asked offline too.
    pub fn tarball(&self, wanted: &Tarball) -> Result<PathBuf, FetchError> {
        if let Some(path) = self.cache().kept(&wanted.sha256) {
            return Ok(path);
        }
        let mut attempts = Vec::new();
        let mut remote = false;
        for place in &wanted.places {
            let (mirror, live, result) = match place {
                Place::Path(path) => {
                    let shown = printable(path.as_os_str().as_encoded_bytes());
                    (shown, true, self.tarball_from_path(path, wanted)?)
                }
                Place::Uri(text) => {
                    let place = || format!("`uris` of {}, {}", wanted.wanted_by, super::uri::redacted(text));
                    let uri = Uri::parse(text).map_err(|reason| FetchError::Uri { place: place(), reason })?;
                    if self.settings.offline && uri.scheme != Scheme::File {
                        remote = true;
                        continue;
                    }
                    (uri.to_string(), true, self.tarball_from_uri(&uri, wanted)?)
                }
            };
            match result {
                Ok(path) => return Ok(path),
                Err(outcome) => attempts.push(Attempt { mirror, live, outcome }),
            }
        }
        let (label, origin) = (wanted.label.clone(), wanted.wanted_by.clone());
        match remote {
            true => Err(FetchError::Offline { label, origin, size: None }),
            false => Err(FetchError::Tarball(Box::new(Attempts { label, origin, attempts }))),
        }
    }

    fn tarball_from_path(
        &self,
        path: &std::path::Path,
        wanted: &Tarball,
    ) -> Result<Result<PathBuf, Outcome>, FetchError> {
        let size = match transfer::open_path(path) {
            Ok((_, size)) if size <= wanted.limit => size,
            Ok((_, size)) => return Ok(Err(Outcome::Size { expected: wanted.limit, found: Some(size) })),
            Err(outcome) => return Ok(Err(outcome)),
        };
        match self.cache().incoming(&Checksum::Sha256(wanted.sha256), size)? {
            Arrival::Whole(path) => Ok(Ok(path)),
            Arrival::Incoming(mut incoming) => Ok(local::copy(path, &mut incoming)?),
        }
    }

    fn tarball_from_uri(&self, uri: &Uri, wanted: &Tarball) -> Result<Result<PathBuf, Outcome>, FetchError> {
        if uri.scheme == Scheme::File {
            return self.tarball_from_path(&transfer::path_of(uri), wanted);
        }
        let retries = &self.settings.retries;
        let mut tries = 1;
        loop {
            let reply = match self.http()?.get(uri, None) {
                Ok(reply) if reply.status == 200 => Ok(reply),
                Ok(reply) => Err(transfer::refusal(reply)),
                Err(trouble) => Err(trouble),
            };
            let trouble = match reply {
                Ok(reply) => match reply.length {
                    Some(size) if size > wanted.limit => {
                        return Ok(Err(Outcome::Size { expected: wanted.limit, found: Some(size) }));
                    }
                    // With its size known it goes as every other file does, resumed and retried.
                    Some(size) => {
                        drop(reply);
                        return self.tarball_of_size(uri, wanted, size);
                    }
                    None => {
                        let checksum = Checksum::Sha256(wanted.sha256);
                        let mut incoming = match self.cache().incoming(&checksum, wanted.limit)? {
                            Arrival::Whole(path) => return Ok(Ok(path)),
                            Arrival::Incoming(incoming) => incoming,
                        };
                        match take_all(reply.body, &mut incoming, wanted.limit)? {
                            Ok(()) => {
                                incoming.ends_here();
                                return Ok(incoming.commit()?.ok_or(Outcome::Hash));
                            }
                            Err(trouble) => trouble,
                        }
                    }
                },
                Err(trouble) => trouble,
            };
            if !trouble.again || tries >= retries.tries {
                return Ok(Err(trouble.outcome));
            }
            thread::sleep(transfer::pause(retries, tries, trouble.after));
            tries += 1;
        }
    }

    fn tarball_of_size(&self, uri: &Uri, wanted: &Tarball, size: u64) -> Result<Result<PathBuf, Outcome>, FetchError> {
        let mut incoming = match self.cache().incoming(&Checksum::Sha256(wanted.sha256), size)? {
            Arrival::Whole(path) => return Ok(Ok(path)),
            Arrival::Incoming(incoming) => incoming,
        };
        self.observer.tell(Event::Expect(Work::Download, size));
        let mut progress = Progress::new(&*self.observer);
        progress.at(incoming.len());
        Ok(transfer::fetch(self.http()?, &self.settings.retries, uri, &mut incoming, &mut progress)?)
    }
}

/// Takes in a body of unknown length.
fn take_all(
    mut body: Box<dyn io::Read + Send>,
    incoming: &mut Incoming,
    limit: u64,
) -> Result<Result<(), super::http::Trouble>, FetchError> {
    incoming.discard()?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(Ok(())),
            Ok(count) if incoming.len().saturating_add(count as u64) > limit => {
                incoming.discard()?;
                let outcome = Outcome::Size { expected: limit, found: None };
                return Ok(Err(super::http::Trouble::last(outcome)));
            }
            Ok(count) => incoming.write(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(trouble(ureq::Error::from(error)))),
        }
    }
}

/// What each place did, in the words of a manifest that names a file by its hash.
pub(super) struct Told<'a>(pub(super) &'a Attempts);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Attempt { mirror, outcome, .. } in &self.0.attempts {
            match outcome {
                Outcome::Hash => write!(f, "\n- {mirror}: has other bytes than `sha256` says")?,
                Outcome::Size { expected, .. } => {
                    write!(f, "\n- {mirror}: has more than the {expected} bytes allowed")?
                }
                outcome => write!(f, "\n- {mirror}: {outcome}")?,
            }
        }
        Ok(())
    }
}
