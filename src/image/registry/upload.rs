//! One blob to a repository: mounted from another one, whole, or in pieces that are taken up again where a
//! connection broke (distribution-spec, "Pushing Blobs").

use std::{
    cell::RefCell,
    io::{self, Read},
    thread,
};

use super::{
    blob::{WORTHWHILE, passing},
    client::{Ask, Fault, Repository},
    error::RegistryError,
    source::Blobs,
};
use crate::{
    fetch::{Answer, Body, Opens, Outcome, Target, Trouble},
    ground::{Event, Observer, Work, printable},
    image::{Descriptor, Digest},
};

/// How a blob came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    Uploaded,
    Mounted,
}

/// Where an upload stands.
struct Session {
    location: Target,
    /// Bytes that the registry has.
    at: u64,
    /// The least piece that it takes.
    least: u64,
    /// Whether it was taken up after a failure.
    resumed: bool,
    /// Whether it has less of the last piece than was sent.
    short: bool,
}

enum Begun {
    Mounted,
    Session(Session),
}

/// Why a step did not do it.
enum Stop {
    Trouble(Trouble),
    Source(io::Error),
    Error(RegistryError),
    /// The registry no longer knows the upload, or stands elsewhere in it.
    Lost(u16),
    /// It takes no pieces.
    NoPieces,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Trouble(trouble) => Self::Trouble(trouble),
            Fault::Source(error) => Self::Source(error),
            Fault::Error(error) => Self::Error(error),
        }
    }
}

impl From<RegistryError> for Stop {
    fn from(error: RegistryError) -> Self {
        Self::Error(error)
    }
}

/// The blob's bytes, read on from where the last piece ended.
struct Source<'a> {
    blobs: &'a dyn Blobs,
    blob: &'a Descriptor,
    observer: &'a dyn Observer,
    open: RefCell<Option<(u64, Box<dyn Read + 'a>)>>,
    told: RefCell<u64>,
}

/// The same from the byte `at`.
struct Rest<'s, 'a> {
    source: &'s Source<'a>,
    at: u64,
}

impl Opens for Rest<'_, '_> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let Self { source, at } = self;
        let mut open = source.open.borrow_mut();
        if open.as_ref().is_none_or(|(now, _)| now != at) {
            *open = None;
            *open = Some((*at, source.blobs.open(source.blob, *at)?));
        }
        Ok(Box::new(Tap(source)))
    }
}

struct Tap<'s, 'a>(&'s Source<'a>);

impl Read for Tap<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut open = self.0.open.borrow_mut();
        let Some((at, reader)) = open.as_mut() else { return Ok(0) };
        let count = reader.read(buffer)?;
        *at += count as u64;
        // Bytes that are sent once more are not told again.
        let mut told = self.0.told.borrow_mut();
        if let Some(more) = at.checked_sub(*told).filter(|more| *more > 0) {
            *told = *at;
            self.0.observer.tell(Event::Advance(Work::Upload, more));
        }
        Ok(count)
    }
}

impl Repository {
    /// Brings a blob that the repository does not have; the repositories `from` may have it.
    pub(super) fn upload(&self, blobs: &dyn Blobs, blob: &Descriptor, from: &[String]) -> Result<Came, RegistryError> {
        let what = format!("the upload of {} to {}", blob.digest, self.reference.repository);
        let mut session = None;
        for repository in from {
            match self.begin(&what, Some((&blob.digest, repository)))? {
                Begun::Mounted => return Ok(Came::Mounted),
                // Each try begins an upload; the last one is as good as any.
                Begun::Session(begun) => session = Some(begun),
            }
        }
        let observer = &*self.settings.observer;
        observer.tell(Event::Expect(Work::Upload, blob.size));
        let source = Source { blobs, blob, observer, open: RefCell::new(None), told: RefCell::new(0) };
        let mut whole = blob.size <= self.settings.whole;
        let (mut tries, mut best) = (1, 0);
        loop {
            let mut now = match session.take() {
                Some(session) => session,
                None => match self.begin(&what, None)? {
                    Begun::Mounted => return Ok(Came::Mounted),
                    Begun::Session(session) => session,
                },
            };
            let closing = whole || now.at == blob.size;
            let step = match closing {
                true => self.close(&what, &now, &source, whole).map(|()| true),
                false => self.piece(&what, &mut now, &source).map(|()| false),
            };
            let trouble = match step {
                Ok(true) => return Ok(Came::Uploaded),
                Ok(false) => {
                    if now.at >= best + WORTHWHILE {
                        (tries, best) = (1, now.at);
                    } else if now.short {
                        // Else a byte at a time would be sent piece by piece, for ever.
                        if tries >= self.wire.tries() {
                            let why = format!("it takes hardly any bytes of a piece, {} by now", now.at);
                            return Err(self.lies(&what, why));
                        }
                        tries += 1;
                    }
                    session = Some(now);
                    continue;
                }
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Source(source)) => return Err(RegistryError::Blob { digest: blob.digest, source }),
                Err(Stop::NoPieces) => {
                    whole = true;
                    continue;
                }
                Err(Stop::Lost(status)) => Trouble { outcome: Outcome::Status(status), again: true, after: None },
                Err(Stop::Trouble(trouble)) => trouble,
            };
            if !trouble.again || tries >= self.wire.tries() {
                return Err(self.transport(&what, trouble.outcome));
            }
            observer.tell(Event::Note(format!("{what}: {} {}; once more", self.reference.registry, trouble.outcome)));
            thread::sleep(self.wire.pause(tries, trouble.after));
            tries += 1;
            // The answer alone may have been lost.
            if closing && self.has_blob(blob)? {
                return Ok(Came::Uploaded);
            }
            if !whole {
                session = self.stands(&what, now, blob.size)?;
                if let Some(session) = session.as_ref().filter(|session| session.at >= best + WORTHWHILE) {
                    (tries, best) = (1, session.at);
                }
            }
        }
    }

    /// Begins an upload, or mounts the blob.
    fn begin(&self, what: &str, mount: Option<(&Digest, &str)>) -> Result<Begun, RegistryError> {
        let mut target = self.target("blobs/uploads/")?;
        if let Some((digest, from)) = mount {
            target = target.with_query("mount", &digest.to_string()).with_query("from", from);
        }
        let mut answer = self.ask(&Ask::new("POST", target.clone(), what.to_owned()).body(Body::Bytes(&[])))?;
        match (answer.status, mount) {
            (201, Some((digest, _))) => {
                self.check_digest(what, &answer, digest)?;
                answer.drain();
                return Ok(Begun::Mounted);
            }
            (202, _) => {}
            _ => return Err(self.refusal(what, &mut answer)),
        }
        let location = self.location(what, &answer, &target)?;
        let location = location.ok_or_else(|| self.lies(what, "it begins an upload and does not say where"))?;
        let least = answer.header("oci-chunk-min-length").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        answer.drain();
        Ok(Begun::Session(Session { location, at: 0, least, resumed: false, short: false }))
    }

    fn location(&self, what: &str, answer: &Answer, from: &Target) -> Result<Option<Target>, RegistryError> {
        let follow = |location| from.follow(location).map_err(|why| self.lies(what, format!("its Location: {why}")));
        answer.header_bytes("location").map(follow).transpose()
    }

    /// Sends the next piece.
    fn piece(&self, what: &str, session: &mut Session, source: &Source<'_>) -> Result<(), Stop> {
        let from = session.at;
        let length = (source.blob.size - from).min(self.settings.piece.max(session.least).max(1));
        let open = Rest { source, at: from };
        let ask = Ask::new("PATCH", session.location.clone(), what.to_owned())
            .header("content-type", "application/octet-stream")
            .header("content-range", format!("{from}-{}", from + length - 1))
            .body(Body::Stream { length, open: &open });
        let mut answer = self.once(&ask)?;
        match answer.status {
            200..=204 => {}
            404 | 416 => return Err(Stop::Lost(answer.status)),
            401 | 403 => return Err(self.refusal(what, &mut answer).into()),
            _ if from == 0 => {
                answer.drain();
                return Err(Stop::NoPieces);
            }
            _ => return Err(self.refusal(what, &mut answer).into()),
        }
        let end = from + length;
        let told = answer.header("range").map(|range| range_end(range).ok_or_else(|| printable(range.as_bytes())));
        let at = match told {
            None => end,
            Some(Ok(at)) if at > from && at <= end => at,
            Some(Ok(at)) => {
                let why = format!("it has {at} bytes after {end} were sent, {from} of them before");
                return Err(Stop::Trouble(passing(why)));
            }
            Some(Err(range)) => return Err(self.lies(what, format!("its Range is {range}")).into()),
        };
        if let Some(location) = self.location(what, &answer, &session.location)? {
            session.location = location;
        }
        (session.at, session.short) = (at, at < end);
        answer.drain();
        Ok(())
    }

    /// Ends an upload, with all bytes where it goes whole.
    fn close(&self, what: &str, session: &Session, source: &Source<'_>, whole: bool) -> Result<(), Stop> {
        let digest = source.blob.digest;
        let open = Rest { source, at: 0 };
        let body = match whole {
            true => Body::Stream { length: source.blob.size, open: &open },
            false => Body::Bytes(&[]),
        };
        let target = session.location.with_query("digest", &digest.to_string());
        let ask =
            Ask::new("PUT", target, what.to_owned()).header("content-type", "application/octet-stream").body(body);
        let mut answer = self.once(&ask)?;
        match answer.status {
            200..=204 => {
                self.check_digest(what, &answer, &digest)?;
                answer.drain();
                Ok(())
            }
            404 | 416 => Err(Stop::Lost(answer.status)),
            // What was taken up may not have been what was sent.
            400 if session.resumed => Err(Stop::Lost(400)),
            _ => Err(self.refusal(what, &mut answer).into()),
        }
    }

    /// Asks how far an upload has come; `None`: it is to begin anew.
    fn stands(&self, what: &str, session: Session, size: u64) -> Result<Option<Session>, RegistryError> {
        let mut answer = self.ask(&Ask::new("GET", session.location.clone(), what.to_owned()))?;
        if !matches!(answer.status, 200..=204) {
            answer.drain();
            return Ok(None);
        }
        let at = answer.header("range").map_or(Some(0), range_end);
        let location = self.location(what, &answer, &session.location)?.unwrap_or(session.location);
        answer.drain();
        Ok(at.filter(|at| *at <= size).map(|at| Session {
            location,
            at,
            least: session.least,
            resumed: true,
            short: false,
        }))
    }
}

/// Bytes that are there by `0-LAST`. `0-0` is what registries say of an empty upload.
fn range_end(range: &str) -> Option<u64> {
    let range = range.trim();
    let last: u64 = range.strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-")?.parse().ok()?;
    if last == 0 { Some(0) } else { last.checked_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, end) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-0", Some(0)),
            ("5-9", None),
            ("0-", None),
            ("0-18446744073709551615", None),
            ("", None),
        ] {
            assert_eq!(range_end(text), end, "{text}");
        }
    }
}
