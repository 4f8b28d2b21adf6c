//! The door: heads and blobs from the first mirror that serves.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    Attempt, FetchError, HeadError, Kind, Origin, Outcome, Refusal, RefusedBy, Settings, Unverified,
    apt::{self, Apt},
    error::BadMirror,
    http::{Http, Trouble, trouble},
    local,
    mirrors::{Mirror, mirrors, of_host, root},
    progress::Progress,
    transfer,
    uri::{Scheme, Uri},
};
use crate::{
    cache::{Arrival, Cache, Checksum},
    ground::{Event, Observer, TooLong, Work, printable, read_at_most},
};

/// One file that a signed index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Below the archive's root, tried in order at each mirror: by-hash, then plain.
    pub paths: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// What the bytes hash to.
    pub checksum: Checksum,
    /// The package or index, for messages.
    pub label: String,
    /// Which mirrors may give it.
    pub kind: Kind,
}

/// Fetches into one cache. Threads may share it.
pub struct Fetcher {
    pub(super) settings: Settings,
    cache: Arc<Cache>,
    pub(super) observer: Arc<dyn Observer>,
    /// Made when first needed, for most runs need neither.
    http: OnceLock<Http>,
    apt: OnceLock<Apt>,
    /// Servers that could not be reached, after all retries: not asked again in this run.
    down: Mutex<BTreeMap<String, Outcome>>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A fetcher into `cache`. Refuses mirrors and proxies of the settings that are no URIs.
    pub fn new(settings: Settings, cache: Arc<Cache>, observer: Arc<dyn Observer>) -> Result<Self, FetchError> {
        for (archive, uri) in &settings.mirrors {
            root(uri, || format!("--mirror {archive}="))?;
        }
        Ok(Self {
            settings,
            cache,
            observer,
            http: OnceLock::new(),
            apt: OnceLock::new(),
            down: Mutex::new(BTreeMap::new()),
        })
    }

    /// The cache that it fills.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// A file that nothing vouches for yet, at most `limit` bytes of it: from the first mirror whose
    /// bytes `judge` accepts. It gets the bytes and the mirror's root as it may be shown, and its
    /// errors are reported with those of the other mirrors. The cache is neither asked nor filled.
    pub fn head<T, E>(
        &self,
        origin: &Origin,
        path: &str,
        limit: u64,
        mut judge: impl FnMut(&Unverified, &str) -> Result<T, E>,
    ) -> Result<T, HeadError<E>> {
        if self.settings.offline {
            let (label, origin) = (path.to_owned(), origin.name.clone());
            return Err(HeadError::Fetch(FetchError::Offline { label, origin, size: None }));
        }
        let file = plain(origin, path, path).map_err(HeadError::Fetch)?;
        let mirrors = self.mirrors(origin, Kind::Head).map_err(HeadError::Fetch)?;
        let mut refusals = Vec::new();
        for mirror in &mirrors {
            let shown = mirror.root.to_string();
            let refusal = match self.guarded(mirror, || self.head_from(&mirror.root.join(file), limit)) {
                Err(error) => return Err(HeadError::Fetch(error)),
                Ok(Err(outcome)) => Refusal::Mirror(outcome),
                Ok(Ok(bytes)) => match judge(&Unverified::new(bytes), &shown) {
                    Ok(accepted) => return Ok(accepted),
                    Err(error) => Refusal::Judge(error),
                },
            };
            refusals.push(RefusedBy { mirror: shown, live: mirror.live, refusal });
        }
        Err(HeadError::Refused { path: path.to_owned(), origin: origin.name.clone(), refusals })
    }

    /// One file: its path in the cache, fetched where it is not there yet.
    pub fn blob(&self, origin: &Origin, wanted: &Wanted) -> Result<PathBuf, FetchError> {
        if let Some(path) = self.cache.find(&wanted.checksum, wanted.size)? {
            return Ok(path);
        }
        self.observer.tell(Event::Expect(Work::Download, wanted.size));
        self.fetch(origin, wanted)
    }

    /// Many files at once, `jobs` at a time, the largest first; results in the order of `wishes`.
    pub fn blobs(&self, wishes: &[(Origin, Wanted)]) -> Vec<Result<PathBuf, FetchError>> {
        let mut results: Vec<_> = Vec::new();
        let mut missing = Vec::new();
        let mut bytes = 0_u64;
        for (at, (_, wanted)) in wishes.iter().enumerate() {
            match self.cache.find(&wanted.checksum, wanted.size) {
                Ok(None) => {
                    missing.push(at);
                    bytes = bytes.saturating_add(wanted.size);
                    results.push(None);
                }
                Ok(Some(path)) => results.push(Some(Ok(path))),
                Err(error) => results.push(Some(Err(error.into()))),
            }
        }
        if bytes > 0 && !self.settings.offline {
            self.observer.tell(Event::Expect(Work::Download, bytes));
        }
        missing.sort_by_key(|at| std::cmp::Reverse(wishes.get(*at).map_or(0, |(_, wanted)| wanted.size)));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(at) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some((origin, wanted)) = wishes.get(*at) {
                    done.push((*at, self.fetch(origin, wanted)));
                }
            }
            done
        };
        let jobs = self.settings.jobs.clamp(1, missing.len().max(1));
        let done = thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            let join = |worker: thread::ScopedJoinHandle<'_, Vec<_>>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().flat_map(join).collect::<Vec<_>>()
        });
        for (at, result) in done {
            if let Some(slot) = results.get_mut(at) {
                *slot = Some(result);
            }
        }
        results.into_iter().map(|result| result.expect("each missing one was given to a worker")).collect()
    }

    fn fetch(&self, origin: &Origin, wanted: &Wanted) -> Result<PathBuf, FetchError> {
        let paths: Vec<_> =
            wanted.paths.iter().map(|path| plain(origin, &wanted.label, path)).collect::<Result<_, _>>()?;
        if let Some(folder) = &origin.folder {
            return self.copy_of(folder, &paths, origin, wanted);
        }
        if self.settings.offline {
            let (label, origin) = (wanted.label.clone(), origin.name.clone());
            return Err(FetchError::Offline { label, origin, size: Some(wanted.size) });
        }
        let mirrors = self.mirrors(origin, wanted.kind)?;
        let mut progress = Progress::new(&*self.observer);
        let mut incoming = match self.cache.incoming(&wanted.checksum, wanted.size)? {
            Arrival::Whole(path) => {
                // Another process was faster.
                progress.at(wanted.size);
                return Ok(path);
            }
            Arrival::Incoming(incoming) => incoming,
        };
        progress.at(incoming.len());
        // A run that was killed between the last byte and the rename.
        if incoming.len() == wanted.size
            && let Some(path) = incoming.commit()?
        {
            return Ok(path);
        }
        let mut attempts: Vec<Attempt> = Vec::new();
        for mirror in &mirrors {
            let result = self.guarded(mirror, || {
                let mut outcome = Outcome::Gone(0);
                for path in &paths {
                    let uri = mirror.root.join(path);
                    let http = self.http()?;
                    match transfer::fetch(http, &self.settings.retries, &uri, &mut incoming, &mut progress)? {
                        Ok(path) => return Ok(Ok(path)),
                        Err(other) => outcome = other,
                    }
                    if !outcome.is_gone() {
                        break;
                    }
                }
                Ok(Err(outcome))
            })?;
            match result {
                Ok(path) => {
                    self.warn(wanted, &attempts);
                    return Ok(path);
                }
                Err(outcome) => {
                    attempts.push(Attempt { mirror: mirror.root.to_string(), live: mirror.live, outcome });
                }
            }
        }
        Err(FetchError::from_attempts(origin, &wanted.label, attempts))
    }

    /// Copies a file of a folder on this machine.
    fn copy_of(&self, folder: &Path, paths: &[&str], origin: &Origin, wanted: &Wanted) -> Result<PathBuf, FetchError> {
        let mut outcome = Outcome::Gone(0);
        for path in paths {
            match self.cache.incoming(&wanted.checksum, wanted.size)? {
                Arrival::Whole(path) => return Ok(path),
                Arrival::Incoming(mut incoming) => match local::copy(&folder.join(path), &mut incoming)? {
                    Ok(path) => return Ok(path),
                    Err(other) => outcome = other,
                },
            }
        }
        let mirror = printable(folder.as_os_str().as_encoded_bytes());
        Err(FetchError::from_attempts(origin, &wanted.label, vec![Attempt { mirror, live: true, outcome }]))
    }

    /// Says which mirrors have other bytes than they should, though all went well.
    fn warn(&self, wanted: &Wanted, attempts: &[Attempt]) {
        for attempt in attempts {
            if matches!(attempt.outcome, Outcome::Hash | Outcome::Size { .. }) {
                self.observer.tell(Event::Warning(Arc::new(BadMirror {
                    mirror: attempt.mirror.clone(),
                    label: printable(wanted.label.as_bytes()),
                    outcome: attempt.outcome.clone(),
                })));
            }
        }
    }

    fn head_from(&self, uri: &Uri, limit: u64) -> Result<Result<Vec<u8>, Outcome>, FetchError> {
        let http = self.http()?;
        let retries = &self.settings.retries;
        let mut tries = 1;
        loop {
            let trouble = match one_head(http, uri, limit) {
                Ok(bytes) => return Ok(Ok(bytes)),
                Err(trouble) => trouble,
            };
            if !trouble.again || tries >= retries.tries {
                return Ok(Err(trouble.outcome));
            }
            thread::sleep(transfer::pause(retries, tries, trouble.after));
            tries += 1;
        }
    }

    /// Asks a mirror unless its server is known to be down, and remembers when it is.
    fn guarded<T>(
        &self,
        mirror: &Mirror,
        ask: impl FnOnce() -> Result<Result<T, Outcome>, FetchError>,
    ) -> Result<Result<T, Outcome>, FetchError> {
        if mirror.root.scheme == Scheme::File {
            return ask();
        }
        let server = mirror.root.server();
        let down = || self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = down().get(&server) {
            return Ok(Err(outcome.clone()));
        }
        let result = ask()?;
        if let Err(outcome) = &result
            && outcome.is_unreachable()
            && down().insert(server.clone(), outcome.clone()).is_none()
        {
            self.observer.tell(Event::Note(format!("{server} {outcome}; it is not asked again in this run")));
        }
        Ok(result)
    }

    fn mirrors(&self, origin: &Origin, kind: Kind) -> Result<Vec<Mirror>, FetchError> {
        mirrors(&self.settings, || of_host(self.apt(), origin), origin, kind)
    }

    fn apt(&self) -> &Apt {
        self.apt.get_or_init(|| {
            let apt = self.settings.apt.as_deref().map(apt::read).unwrap_or_default();
            self.note(&apt.notes);
            apt
        })
    }

    pub(super) fn http(&self) -> Result<&Http, FetchError> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let mut notes = Vec::new();
        let logins = apt::logins(self.settings.apt.as_deref(), &self.settings.netrc, &mut notes);
        let made = Http::new(&self.settings, logins)?;
        // Two threads may both come here; one of them tells.
        let mut first = false;
        let http = self.http.get_or_init(|| {
            first = true;
            made
        });
        if first {
            self.note(&notes);
        }
        Ok(http)
    }

    fn note(&self, notes: &[String]) {
        for note in notes {
            self.observer.tell(Event::Note(note.clone()));
        }
    }
}

fn one_head(http: &Http, uri: &Uri, limit: u64) -> Result<Vec<u8>, Trouble> {
    let too_long = || Trouble::last(Outcome::Size { expected: limit, found: None });
    let read = |error: std::io::Error| match error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) {
        true => too_long(),
        false => trouble(ureq::Error::from(error)),
    };
    if uri.scheme == Scheme::File {
        let (file, _) = transfer::open(uri).map_err(Trouble::last)?;
        return read_at_most(file, limit).map_err(read);
    }
    let reply = http.get(uri, None)?;
    if reply.status != 200 {
        return Err(transfer::refusal(reply));
    }
    if reply.length.is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    read_at_most(reply.body, limit).map_err(read)
}

/// A path of an index must stay below the archive's root. A flat repository's files are listed as
/// `./name`; the dot goes.
fn plain<'a>(origin: &Origin, label: &str, path: &'a str) -> Result<&'a str, FetchError> {
    let below = path.trim_start_matches("./");
    let fine = !below.contains(|c: char| c.is_control())
        && below.split('/').all(|name| !name.is_empty() && name != "." && name != "..");
    if fine {
        return Ok(below);
    }
    Err(FetchError::Path {
        label: printable(label.as_bytes()),
        origin: origin.name.clone(),
        path: printable(path.as_bytes()),
    })
}
