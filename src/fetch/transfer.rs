//! One file from one mirror into the cache: streamed, bounded, resumed, retried.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    Outcome,
    http::{Http, Range, Reply, Trouble, drain, trouble},
    progress::Progress,
    settings::Retries,
    uri::{Scheme, Uri},
};
use crate::{
    cache::{CacheError, Incoming},
    ground::printable,
};

const BUFFER: usize = 128 << 10;
/// A try that brought so many bytes was no failure of the server: the count of tries begins anew.
const WORTHWHILE: u64 = 1 << 20;

/// How a try ended.
enum Pass {
    /// All bytes are here, not yet verified.
    Complete,
    /// What was taken up does not fit what the server has: from the first byte, without a range.
    Anew(Outcome),
    Trouble(Trouble),
}

/// Brings the file at `uri` into `incoming`. `Ok(Ok(path))`: it is in the cache. `Ok(Err(..))`: what
/// the mirror did. `Err`: the cache failed, and no mirror can help.
pub(super) fn fetch(
    http: &Http,
    retries: &Retries,
    uri: &Uri,
    incoming: &mut Incoming,
    progress: &mut Progress,
) -> Result<Result<PathBuf, Outcome>, CacheError> {
    let mut tries = 1;
    let mut best = incoming.len();
    let mut etag = None;
    // Whether bytes of an earlier run, or another mirror, may still be taken up: once.
    let mut resumable = true;
    loop {
        if !resumable {
            incoming.discard()?;
        }
        let from = incoming.len();
        let pass = match uri.scheme {
            Scheme::File => from_file(uri, incoming, progress)?,
            _ => from_server(http, uri, incoming, &mut etag, progress)?,
        };
        let trouble = match pass {
            Pass::Complete => match incoming.commit()? {
                Some(path) => return Ok(Ok(path)),
                None if from > 0 && resumable => {
                    resumable = false;
                    continue;
                }
                None => return Ok(Err(Outcome::Hash)),
            },
            Pass::Anew(_) if resumable => {
                resumable = false;
                continue;
            }
            Pass::Anew(outcome) => return Ok(Err(outcome)),
            Pass::Trouble(trouble) => trouble,
        };
        if incoming.len() >= best.saturating_add(WORTHWHILE) {
            best = incoming.len();
            tries = 1;
        }
        if !trouble.again || tries >= retries.tries {
            return Ok(Err(trouble.outcome));
        }
        thread::sleep(pause(retries, tries, trouble.after));
        tries += 1;
    }
}

/// The pause before the next try: doubled each time, give or take a half by chance so that many
/// clients do not come back at once; longer where the server asks for it.
pub(super) fn pause(retries: &Retries, tries: u32, after: Option<Duration>) -> Duration {
    let doubled = retries.pause.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let jittered = doubled.min(retries.longest).mul_f64(0.5 + fastrand::f64());
    jittered.max(after.unwrap_or_default()).min(retries.longest)
}

fn from_server(
    http: &Http,
    uri: &Uri,
    incoming: &mut Incoming,
    etag: &mut Option<String>,
    progress: &mut Progress,
) -> Result<Pass, CacheError> {
    let from = incoming.len();
    let size = incoming.size();
    if from == size && size > 0 {
        return Ok(Pass::Complete);
    }
    let range = (from > 0).then_some(Range { from, etag: etag.as_deref() });
    let mut reply = match http.get(uri, range.as_ref()) {
        Ok(reply) => reply,
        Err(trouble) => return Ok(Pass::Trouble(trouble)),
    };
    match reply.status {
        200 => {
            // The whole, though a part was asked for: no ranges here, or another file by now.
            if from > 0 {
                incoming.discard()?;
            }
            if let Some(found) = reply.length.filter(|length| *length != size) {
                let outcome = Outcome::Size { expected: size, found: Some(found) };
                return Ok(Pass::Trouble(Trouble::last(outcome)));
            }
            *etag = reply.etag.take();
        }
        206 => {
            let outcome = || Outcome::Broken("it sends another range than asked for".to_owned());
            let Some((first, last, whole)) = reply.range.filter(|_| from > 0) else { return Ok(Pass::Anew(outcome())) };
            if let Some(found) = whole.filter(|whole| *whole != size) {
                return Ok(Pass::Anew(Outcome::Size { expected: size, found: Some(found) }));
            }
            if first != from || last >= size {
                return Ok(Pass::Anew(outcome()));
            }
        }
        416 if from > 0 => {
            drain(&mut reply.body);
            return Ok(Pass::Anew(Outcome::Status(416)));
        }
        _ => return Ok(Pass::Trouble(refusal(reply))),
    }
    stream(&mut reply.body, from > 0 && reply.status == 206, incoming, progress)
}

/// What a status without a file means.
pub(super) fn refusal(mut reply: Reply) -> Trouble {
    drain(&mut reply.body);
    match reply.status {
        404 | 410 => Trouble::last(Outcome::Gone(reply.status)),
        408 | 429 | 500 | 502 | 503 | 504 => {
            Trouble { outcome: Outcome::Status(reply.status), again: true, after: reply.retry_after }
        }
        status => Trouble::last(Outcome::Status(status)),
    }
}

/// Takes in a body, at most one byte more than the announced size.
fn stream(
    body: &mut dyn Read,
    resumed: bool,
    incoming: &mut Incoming,
    progress: &mut Progress,
) -> Result<Pass, CacheError> {
    let size = incoming.size();
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match body.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The server has sent all and does not close the connection.
            Err(_) if incoming.len() == size => return Ok(Pass::Complete),
            Err(error) => return Ok(Pass::Trouble(trouble(ureq::Error::from(error)))),
        };
        if count == 0 && incoming.len() == size {
            return Ok(Pass::Complete);
        }
        if count == 0 {
            let why = format!("it ended after {} of {size} bytes", incoming.len());
            return Ok(Pass::Trouble(Trouble::passing(Outcome::Broken(why))));
        }
        if incoming.len().saturating_add(count as u64) > size {
            incoming.discard()?;
            let outcome = Outcome::Size { expected: size, found: None };
            return Ok(if resumed { Pass::Anew(outcome) } else { Pass::Trouble(Trouble::last(outcome)) });
        }
        incoming.write(buffer.get(..count).unwrap_or_default())?;
        progress.at(incoming.len());
    }
}

fn from_file(uri: &Uri, incoming: &mut Incoming, progress: &mut Progress) -> Result<Pass, CacheError> {
    let size = incoming.size();
    let from = incoming.len();
    let opened = open(uri).and_then(|(mut file, found)| {
        if found != size {
            return Err(Outcome::Size { expected: size, found: Some(found) });
        }
        file.seek(SeekFrom::Start(from)).map_err(|error| broken(&error))?;
        Ok(file)
    });
    match opened {
        Ok(mut file) => stream(&mut file, from > 0, incoming, progress),
        Err(outcome) => Ok(Pass::Trouble(Trouble::last(outcome))),
    }
}

/// Opens a regular file of a `file:` mirror, with its size.
pub(super) fn open(uri: &Uri) -> Result<(File, u64), Outcome> {
    open_path(&path_of(uri))
}

/// The file that a `file:` URI names.
pub(super) fn path_of(uri: &Uri) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        PathBuf::from(std::ffi::OsString::from_vec(uri.file_path()))
    }
    #[cfg(not(unix))]
    PathBuf::from(String::from_utf8_lossy(&uri.file_path()).into_owned())
}

/// Opens a regular file, with its size.
pub(super) fn open_path(path: &Path) -> Result<(File, u64), Outcome> {
    // Before it is opened: opening a pipe would wait.
    let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Outcome::Gone(0),
        _ => broken(&error),
    })?;
    if !meta.is_file() {
        return Err(Outcome::Broken("it is no regular file".to_owned()));
    }
    let file = File::open(path).map_err(|error| broken(&error))?;
    Ok((file, meta.len()))
}

pub(super) fn broken(error: &io::Error) -> Outcome {
    Outcome::Broken(printable(error.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let retries = Retries { tries: 9, pause: Duration::from_millis(100), longest: Duration::from_secs(1) };
        for (tries, after, low, high) in [
            (1, None, 50, 150),
            (2, None, 100, 300),
            (30, None, 500, 1000),
            (1, Some(700), 700, 700),
            (1, Some(9000), 1000, 1000),
        ] {
            let found = pause(&retries, tries, after.map(Duration::from_millis)).as_millis();
            assert!((low..=high).contains(&found), "{tries} {after:?}: {found}");
        }
    }
}
