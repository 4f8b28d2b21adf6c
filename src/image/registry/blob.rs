//! Blobs that a repository has: asking for them and fetching them.

use std::{
    io::{self, Write},
    thread,
};

use super::{
    client::{Ask, Fault, Repository},
    error::RegistryError,
};
use crate::{
    fetch::{Answer, Outcome, Trouble},
    ground::{Event, Sha256Hasher, Work, printable},
    image::Descriptor,
};

const BUFFER: usize = 128 << 10;
/// So many more bytes make a failed try worth its while: the count of tries begins anew.
pub(super) const WORTHWHILE: u64 = 1 << 20;

impl Repository {
    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// No answer, or one that cannot be true: a blob of this digest with another size.
    pub fn has_blob(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        let what = format!("the blob {}", blob.digest);
        let target = self.target(&format!("blobs/{}", blob.digest))?;
        let mut answer = self.ask(&Ask::new("HEAD", target, what.clone()))?;
        match answer.status {
            200 => {
                self.check_digest(&what, &answer, &blob.digest)?;
                match answer.length() {
                    Some(length) if length != blob.size => {
                        Err(self.lies(&what, format!("it has {length} bytes there, and {} are right", blob.size)))
                    }
                    _ => Ok(true),
                }
            }
            404 => Ok(false),
            _ => Err(self.refusal(&what, &mut answer)),
        }
    }

    /// Fetches a blob into `out`, taking up what broke off. `out` has got all of it, and nothing else, where
    /// there is no error: size and digest are the descriptor's.
    ///
    /// # Errors
    /// It is not there, is another one, or `out` fails.
    pub fn fetch_blob(&self, blob: &Descriptor, out: &mut dyn Write) -> Result<(), RegistryError> {
        let what = format!("the blob {}", blob.digest);
        self.settings.observer.tell(Event::Expect(Work::Download, blob.size));
        let mut taking = Taking { hasher: Sha256Hasher::new(), at: 0, out };
        let (mut tries, mut best) = (1, 0);
        loop {
            let trouble = match self.take(blob, &what, &mut taking) {
                Ok(()) if taking.hasher.clone().finish() == blob.digest.0 => return Ok(()),
                Ok(()) => return Err(self.lies(&what, "what it sends has another digest")),
                Err(Fault::Trouble(trouble)) => trouble,
                Err(Fault::Source(source)) => return Err(RegistryError::Keep { digest: blob.digest, source }),
                Err(Fault::Error(error)) => return Err(error),
            };
            if taking.at >= best + WORTHWHILE {
                (tries, best) = (1, taking.at);
            }
            if !trouble.again || tries >= self.wire.tries() {
                return Err(self.transport(&what, trouble.outcome));
            }
            thread::sleep(self.wire.pause(tries, trouble.after));
            tries += 1;
        }
    }

    /// One request for what is still missing.
    fn take(&self, blob: &Descriptor, what: &str, taking: &mut Taking<'_>) -> Result<(), Fault> {
        let from = taking.at;
        let mut ask = Ask::new("GET", self.target(&format!("blobs/{}", blob.digest))?, what.to_owned());
        if from > 0 {
            ask = ask.header("range", format!("bytes={from}-"));
        }
        let mut answer = self.once(&ask)?;
        let wrong = |why: String| Fault::Error(self.lies(what, why));
        let mut skip = match answer.status {
            200 => {
                if let Some(length) = answer.length().filter(|length| *length != blob.size) {
                    return Err(wrong(format!("it has {length} bytes there, and {} are right", blob.size)));
                }
                from
            }
            206 if from > 0 && answer.header("content-range").is_some_and(|range| begins_at(range, from)) => 0,
            404 => {
                let registry = self.reference.registry.clone();
                return Err(RegistryError::Absent { registry, what: what.trim_start_matches("the ").to_owned() }.into());
            }
            206 => return Err(wrong("it sends another range than asked for".to_owned())),
            _ => return Err(self.refusal(what, &mut answer).into()),
        };
        let mut buffer = vec![0; BUFFER];
        while taking.at < blob.size {
            let count = match read(&mut answer, &mut buffer) {
                Ok(0) => {
                    let why = format!("it ended after {} of {} bytes", taking.at, blob.size);
                    return Err(Fault::Trouble(passing(why)));
                }
                Ok(count) => count,
                Err(error) => return Err(Fault::Trouble(passing(printable(error.to_string().as_bytes())))),
            };
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(count);
            skip -= skipped as u64;
            let bytes = buffer.get(skipped..count).unwrap_or_default();
            if bytes.len() as u64 > blob.size - taking.at {
                return Err(wrong(format!("it sends more than the {} bytes that are right", blob.size)));
            }
            taking.out.write_all(bytes).map_err(Fault::Source)?;
            taking.hasher.update(bytes);
            taking.at += bytes.len() as u64;
            self.settings.observer.tell(Event::Advance(Work::Download, bytes.len() as u64));
        }
        match read(&mut answer, &mut buffer) {
            Ok(count) if count > 0 => Err(wrong(format!("it sends more than the {} bytes that are right", blob.size))),
            // All is here; how the connection ends is of no interest.
            _ => Ok(()),
        }
    }
}

struct Taking<'a> {
    hasher: Sha256Hasher,
    at: u64,
    out: &'a mut dyn Write,
}

fn read(answer: &mut Answer, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match answer.body().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

pub(super) fn passing(why: String) -> Trouble {
    Trouble { outcome: Outcome::Broken(why), again: true, after: None }
}

fn begins_at(range: &str, from: u64) -> bool {
    range.trim().strip_prefix("bytes ").is_some_and(|range| range.starts_with(&format!("{from}-")))
}
