//! A small HTTP/1.1 server on loopback that serves a map of paths and misbehaves on request.
//!
//! `Server::start()`, then `put` files; `fault` queues one fault for the next request of a path,
//! `always` keeps one for all of them; `requests` tells what was asked.
//! Paths are decoded (`%2b` is `+`), without query; requests in absolute form, as a proxy gets them,
//! are looked up by their path alone. Connections are kept open; ranges and entity tags work.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// One way to misbehave.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, an empty body and a header.
    Status(u16),
    /// The same with one more header.
    StatusWith(u16, &'static str, &'static str),
    /// Announces all and hangs up after so many bytes of the body.
    Truncate(usize),
    /// Hangs up without an answer.
    HangUp,
    /// Sends the head and then nothing, until the client hangs up.
    Silent,
    /// A byte at a time with this pause between.
    Trickle(Duration),
    /// The byte at this place is another one.
    Flip(usize),
    /// So many zero bytes follow the file's.
    Longer(usize),
    /// This body in place of the file's.
    Body(Vec<u8>),
    /// A body without announced length that never ends.
    Endless,
    /// To this Location, with 302.
    Redirect(String),
    /// A range request is answered with the whole.
    NoRange,
    /// A range request is answered with a range that begins one byte later.
    WrongRange,
    /// A good answer with one more header.
    Header(&'static str, &'static str),
}

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// As in the first line: a path, or a whole URI where the server is used as a proxy.
    pub target: String,
    /// Decoded.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    queued: Mutex<BTreeMap<String, VecDeque<Fault>>>,
    lasting: Mutex<BTreeMap<String, Fault>>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    stop: AtomicBool,
}

/// The server; it stops taking connections when dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

impl Server {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::SeqCst) {
                    break;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = shared.clone();
                // A client that hangs up ends its connection, that is all.
                thread::spawn(move || drop(serve(&shared, stream)));
            }
        });
        Self { address, state }
    }

    /// Starts it with these files, by absolute path.
    pub fn of(files: BTreeMap<String, Vec<u8>>) -> Self {
        let server = Self::start();
        server.replace(files);
        server
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Serves `bytes` at `path` (with a leading slash).
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.state.files.lock().unwrap().insert(path.to_owned(), bytes.into());
    }

    /// Serves these files and no others: the archive moved on.
    pub fn replace(&self, files: BTreeMap<String, Vec<u8>>) {
        *self.state.files.lock().unwrap() = files;
    }

    /// Serves it no longer.
    pub fn remove(&self, path: &str) {
        self.state.files.lock().unwrap().remove(path);
    }

    /// The next request of `path` that has no fault before it gets this one.
    pub fn fault(&self, path: &str, fault: Fault) {
        self.state.queued.lock().unwrap().entry(path.to_owned()).or_default().push_back(fault);
    }

    /// Every request of `path` gets this fault, after the queued ones.
    pub fn always(&self, path: &str, fault: Fault) {
        self.state.lasting.lock().unwrap().insert(path.to_owned(), fault);
    }

    /// From now on nothing fails.
    pub fn mend(&self) {
        self.state.queued.lock().unwrap().clear();
        self.state.lasting.lock().unwrap().clear();
    }

    /// Requests of `path` so far.
    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path == path).count()
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

/// A port on which nobody listens.
pub fn closed_port() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

fn serve(state: &State, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(':') {
                None => break,
                Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            };
        }
        let path = target.strip_prefix("http://").map_or(target.as_str(), |rest| &rest[rest.find('/').unwrap()..]);
        let path = decode(path.split('?').next().unwrap());
        let request = Request { target, path: path.clone(), headers };
        state.requests.lock().unwrap().push(request.clone());
        let queued = state.queued.lock().unwrap().get_mut(&path).and_then(VecDeque::pop_front);
        let fault = queued.or_else(|| state.lasting.lock().unwrap().get(&path).cloned());
        let file = state.files.lock().unwrap().get(&path).cloned();
        if !answer(&mut stream, &request, file, fault)? {
            return Ok(());
        }
    }
}

/// Whether the connection stays open.
fn answer(
    stream: &mut TcpStream,
    request: &Request,
    file: Option<Vec<u8>>,
    fault: Option<Fault>,
) -> std::io::Result<bool> {
    let plain = |stream: &mut TcpStream, status: u16, header: String| {
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 5\r\n{header}\r\nsorry").map(|()| true)
    };
    let mut body = file;
    let mut ranges = true;
    let mut shift = 0;
    let mut extra = String::new();
    match &fault {
        Some(Fault::Status(status)) => return plain(stream, *status, String::new()),
        Some(Fault::StatusWith(status, name, value)) => return plain(stream, *status, format!("{name}: {value}\r\n")),
        Some(Fault::Redirect(to)) => return plain(stream, 302, format!("Location: {to}\r\n")),
        Some(Fault::HangUp) => return Ok(false),
        Some(Fault::Endless) => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 4096])?;
            }
        }
        Some(Fault::Flip(at)) => {
            if let Some(body) = &mut body {
                body[*at] ^= 1;
            }
        }
        Some(Fault::Longer(by)) => {
            if let Some(body) = &mut body {
                body.resize(body.len() + by, 0);
            }
        }
        Some(Fault::Body(other)) => body = Some(other.clone()),
        Some(Fault::NoRange) => ranges = false,
        Some(Fault::WrongRange) => shift = 1,
        Some(Fault::Header(name, value)) => extra = format!("{name}: {value}\r\n"),
        _ => {}
    }
    let Some(body) = body else { return plain(stream, 404, String::new()) };
    let etag = format!("\"{}-{}\"", body.len(), body.iter().map(|b| u64::from(*b)).sum::<u64>());
    let same = request.headers.get("if-range").is_none_or(|tag| *tag == etag);
    let from = request
        .headers
        .get("range")
        .filter(|_| ranges && same)
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    if from.is_some_and(|from| from + shift >= body.len()) {
        return plain(stream, 416, format!("Content-Range: bytes */{}\r\n", body.len()));
    }
    let first = from.map_or(0, |from| from + shift);
    let part = &body[first..];
    let status = match from {
        None => "200 OK\r\n".to_owned(),
        Some(_) => format!("206 Partial\r\nContent-Range: bytes {first}-{}/{}\r\n", body.len() - 1, body.len()),
    };
    write!(stream, "HTTP/1.1 {status}Content-Length: {}\r\nETag: {etag}\r\n{extra}\r\n", part.len())?;
    match fault {
        Some(Fault::Truncate(count)) => {
            stream.write_all(&part[..count.min(part.len())])?;
            return Ok(false);
        }
        Some(Fault::Silent) => {
            stream.read_exact(&mut [0])?;
            return Ok(false);
        }
        Some(Fault::Trickle(pause)) => {
            for byte in part {
                stream.write_all(&[*byte])?;
                thread::sleep(pause);
            }
        }
        _ => stream.write_all(part)?,
    }
    Ok(true)
}

fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}
