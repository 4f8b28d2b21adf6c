//! Requests of any method, with bodies: what a registry's client stands on. One request at a time, as it
//! is; redirects, logins and retries are the caller's.

use std::{
    cell::RefCell,
    fmt,
    io::{self, Read},
    time::{Duration, Instant},
};

use ureq::{
    Agent, SendBody,
    http::{HeaderMap, Method, Request, header},
};

use super::{
    FetchError, Outcome, Retries, Settings, UriError,
    http::{PACE, Trouble, config, follow, retry_after, secret, text, trouble},
    pace::Paced,
    proxy::{Route, is_direct, tunnel},
    settings::Timeouts,
    transfer,
    uri::{Scheme, Uri},
};

/// How much longer than usual the answer to an upload is waited for: a registry hashes what came, and
/// moves it to its store.
const PATIENCE: u32 = 10;

/// A place at an HTTP server. Shown without login and query, which may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Uri);

impl Target {
    /// Reads an absolute `http:` or `https:` URI. A login in it is dropped.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let mut uri = Uri::parse(text)?;
        if uri.scheme == Scheme::File {
            return Err(UriError::Scheme("file".to_owned()));
        }
        uri.login = None;
        Ok(Self(uri))
    }

    /// Where a `Location` leads from here, relative or absolute; from https never to another scheme.
    ///
    /// # Errors
    /// Why it is not followed, in words.
    pub fn follow(&self, location: &[u8]) -> Result<Self, String> {
        follow(&self.0, location).map(|mut uri| {
            uri.login = None;
            Self(uri)
        })
    }

    /// The same with one more `key=value` in its query; the value is encoded here.
    pub fn with_query(&self, key: &str, value: &str) -> Self {
        Self(self.0.clone().with_query(key, value))
    }

    /// Whether both are the same scheme, host and port.
    pub fn same_server(&self, other: &Self) -> bool {
        self.0.same_server(&other.0)
    }

    /// Whether it is reached over TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme == Scheme::Https
    }

    /// Its host, in lower case, IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.0.host
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes that can be read from their beginning more than once.
pub trait Opens {
    /// Opens them.
    ///
    /// # Errors
    /// They cannot be read.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

/// What a request carries.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// Nothing, as GET and HEAD do.
    None,
    /// These bytes, perhaps none.
    Bytes(&'a [u8]),
    /// So many bytes of what `open` opens, anew for each request.
    Stream {
        /// Bytes.
        length: u64,
        /// Opens it at its first byte.
        open: &'a dyn Opens,
    },
}

/// A request. `Debug` shows neither headers nor body.
pub struct Call<'a> {
    /// GET, HEAD, POST, PUT, PATCH or DELETE.
    pub method: &'a str,
    /// Where to.
    pub target: &'a Target,
    /// Names and values.
    pub headers: &'a [(&'a str, String)],
    /// The value of `Authorization`, a secret.
    pub authorization: Option<&'a str>,
    /// What it carries.
    pub body: Body<'a>,
    /// Whether the answer may take its time.
    pub patient: bool,
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

/// What a server answered: any status.
pub struct Answer {
    /// The status.
    pub status: u16,
    headers: HeaderMap,
    body: Box<dyn Read + Send>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({})", self.status)
    }
}

impl Answer {
    /// A header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A header's bytes.
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(|value| value.as_bytes())
    }

    /// All values of a header that are text.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }

    /// Content-Length.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Retry-After, which may be a date by the server's own clock.
    pub fn retry_after(&self) -> Option<Duration> {
        let date = text(&self.headers, header::DATE).unwrap_or_default();
        retry_after(text(&self.headers, header::RETRY_AFTER)?, date)
    }

    /// The body, not bounded. A server that trickles is given up.
    pub fn body(&mut self) -> &mut (dyn Read + Send) {
        &mut *self.body
    }

    /// Reads a body that nobody wants, up to a bound, so that the connection can be used again.
    pub fn drain(&mut self) {
        super::http::drain(&mut self.body);
    }
}

/// Why a request has no answer.
#[derive(Debug)]
pub enum Failed {
    /// The network or the server.
    Wire(Trouble),
    /// What was to be sent could not be read.
    Source(io::Error),
}

/// The connections to servers, kept open between requests. Threads may share it.
pub struct Wire {
    quick: Routes,
    patient: Routes,
    no_proxy: String,
    retries: Retries,
}

struct Routes {
    direct: Route,
    http: Option<Route>,
    https: Option<Route>,
}

impl Routes {
    fn new(settings: &Settings) -> Result<Self, FetchError> {
        let config = |proxy| config(settings, proxy);
        let through = |scheme, proxy: &Option<String>| {
            let proxy = proxy.as_deref().map(str::trim).filter(|proxy| !proxy.is_empty());
            proxy.map(|proxy| tunnel(scheme, proxy, config)).transpose()
        };
        Ok(Self {
            direct: Route { agent: Agent::new_with_config(config(None)), authorization: None },
            http: through("http", &settings.proxies.http)?,
            https: through("https", &settings.proxies.https)?,
        })
    }
}

impl Wire {
    /// With the timeouts, proxies and retries of `settings`. Proxies are asked for tunnels, also to plain
    /// HTTP servers.
    ///
    /// # Errors
    /// A proxy that is no URI.
    pub fn new(settings: &Settings) -> Result<Self, FetchError> {
        let timeouts = Timeouts { idle: settings.timeouts.idle.saturating_mul(PATIENCE), ..settings.timeouts };
        Ok(Self {
            quick: Routes::new(settings)?,
            patient: Routes::new(&Settings { timeouts, ..settings.clone() })?,
            no_proxy: settings.proxies.no_proxy.clone().unwrap_or_default(),
            retries: settings.retries,
        })
    }

    /// How often a server is asked in all.
    pub fn tries(&self) -> u32 {
        self.retries.tries
    }

    /// How long to wait after this many tries.
    pub fn pause(&self, tries: u32, after: Option<Duration>) -> Duration {
        transfer::pause(&self.retries, tries, after)
    }

    /// One request.
    ///
    /// # Errors
    /// There is no answer. An answer of any status is none.
    pub fn send(&self, call: &Call<'_>) -> Result<Answer, Failed> {
        let lost = |outcome| Failed::Wire(Trouble::last(outcome));
        let uri = &call.target.0;
        let routes = if call.patient { &self.patient } else { &self.quick };
        let route = match uri.scheme {
            _ if is_direct(&self.no_proxy, uri) || is_loopback(&uri.host) => None,
            Scheme::Https => routes.https.as_ref(),
            _ => routes.http.as_ref(),
        };
        let proxied = route.is_some();
        let agent = &route.unwrap_or(&routes.direct).agent;
        let malformed = || lost(Outcome::Unreachable("its URI is malformed".to_owned()));
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| malformed())?;
        let mut request = Request::builder().method(method).uri(uri.request());
        // Compressed on the way, a blob would have other bytes than its digest says.
        request = request.header(header::ACCEPT_ENCODING, "identity");
        for (name, value) in call.headers {
            request = request.header(*name, value);
        }
        if let Some(authorization) = call.authorization {
            request = request.header(header::AUTHORIZATION, secret(authorization).map_err(Failed::Wire)?);
        }
        let broken: RefCell<Option<io::Error>> = RefCell::new(None);
        let sent = match call.body {
            Body::None => agent.run(request.body(()).map_err(|_| malformed())?),
            Body::Bytes(bytes) => {
                let request = request.header(header::CONTENT_LENGTH, bytes.len());
                agent.run(request.body(bytes).map_err(|_| malformed())?)
            }
            Body::Stream { length, open } => {
                let inner = open.open().map_err(Failed::Source)?;
                let mut exact = Exact { inner, left: length, broken: &broken };
                let request = request.header(header::CONTENT_LENGTH, length);
                agent.run(request.body(SendBody::from_reader(&mut exact)).map_err(|_| malformed())?)
            }
        };
        if let Some(error) = broken.into_inner() {
            return Err(Failed::Source(error));
        }
        let response = sent.map_err(|error| {
            Failed::Wire(match trouble(error) {
                Trouble { outcome: Outcome::Unreachable(why), again, after } if proxied => {
                    Trouble { outcome: Outcome::Unreachable(format!("{why} (through the proxy)")), again, after }
                }
                trouble => trouble,
            })
        })?;
        let (parts, body) = response.into_parts();
        let body = Box::new(Paced::new(body.into_reader(), PACE, Instant::now));
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

/// Whether a host is this machine by its name alone.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads exactly `left` bytes, and keeps what fails, for ureq's error would not tell it from the network's.
struct Exact<'a> {
    inner: Box<dyn Read + 'a>,
    left: u64,
    broken: &'a RefCell<Option<io::Error>>,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        loop {
            let error = match self.inner.read(buffer.get_mut(..most).unwrap_or_default()) {
                Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it should be"),
                Ok(count) => {
                    self.left = self.left.saturating_sub(count as u64);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let kind = error.kind();
            *self.broken.borrow_mut() = Some(error);
            return Err(kind.into());
        }
    }
}
