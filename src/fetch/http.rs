//! One GET with its redirects: what a server answers, and what its failures mean.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use jiff::fmt::rfc2822::DateTimeParser;
use ureq::{
    Agent, Timeout,
    config::Config,
    http::{HeaderMap, HeaderValue, header},
    tls::{RootCerts, TlsConfig},
};

use super::{
    FetchError, Outcome, Settings,
    netrc::{self, Machine},
    pace::Paced,
    proxy::{Route, is_direct, route},
    uri::{Scheme, Uri},
};
use crate::ground::printable;

/// Enough for a mirror redirector and its mirror's own move to https.
const MOST_REDIRECTS: usize = 8;
/// How often the pace of a body is judged.
pub(super) const PACE: Duration = Duration::from_secs(60);
/// A body that nobody wants is read to its end up to here, so that the connection can be used again.
const LONGEST_DRAIN: u64 = 64 << 10;

/// The connections of a run, kept open between requests.
pub(super) struct Http {
    direct: Route,
    http: Option<Route>,
    https: Option<Route>,
    no_proxy: String,
    logins: Vec<Machine>,
}

/// What to ask for.
pub(super) struct Range<'a> {
    /// The first byte wanted.
    pub(super) from: u64,
    /// Only if the file is still this one.
    pub(super) etag: Option<&'a str>,
}

/// What came.
pub(super) struct Reply {
    pub(super) status: u16,
    /// Content-Length.
    pub(super) length: Option<u64>,
    /// Content-Range: first byte, last byte, size of the whole.
    pub(super) range: Option<(u64, u64, Option<u64>)>,
    /// A strong entity tag.
    pub(super) etag: Option<String>,
    /// Retry-After.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Box<dyn Read + Send>,
}

/// A failure and whether asking again may help.
#[derive(Debug)]
pub struct Trouble {
    /// What the server did.
    pub outcome: Outcome,
    /// Whether asking again may help.
    pub again: bool,
    /// What the server wants to be left alone for.
    pub after: Option<Duration>,
}

impl Trouble {
    pub(super) fn last(outcome: Outcome) -> Self {
        Self { outcome, again: false, after: None }
    }

    pub(super) fn passing(outcome: Outcome) -> Self {
        Self { outcome, again: true, after: None }
    }
}

impl Http {
    pub(super) fn new(settings: &Settings, logins: Vec<Machine>) -> Result<Self, FetchError> {
        let config = |proxy| config(settings, proxy);
        let through = |scheme, proxy: &Option<String>| {
            let proxy = proxy.as_deref().map(str::trim).filter(|proxy| !proxy.is_empty());
            proxy.map(|proxy| route(scheme, proxy, config)).transpose()
        };
        Ok(Self {
            direct: Route { agent: Agent::new_with_config(config(None)), authorization: None },
            http: through("http", &settings.proxies.http)?,
            https: through("https", &settings.proxies.https)?,
            no_proxy: settings.proxies.no_proxy.clone().unwrap_or_default(),
            logins,
        })
    }

    /// Asks for `uri`; redirects are followed, but never from https to another scheme, and a login
    /// never goes to another server.
    pub(super) fn get(&self, uri: &Uri, range: Option<&Range>) -> Result<Reply, Trouble> {
        let mut uri = uri.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut reply = self.send(&uri, range)?;
            let Some(location) = reply.1.take() else { return Ok(reply.0) };
            drain(&mut reply.0.body);
            uri = follow(&uri, &location).map_err(|why| Trouble::last(Outcome::Redirect(why)))?;
        }
        Err(Trouble::last(Outcome::Redirect(format!("more than {MOST_REDIRECTS} in a row"))))
    }

    /// One request; with where it is redirected to.
    fn send(&self, uri: &Uri, range: Option<&Range>) -> Result<(Reply, Option<Vec<u8>>), Trouble> {
        let route = match uri.scheme {
            _ if is_direct(&self.no_proxy, uri) => None,
            Scheme::Https => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        let proxied = route.is_some();
        let route = route.unwrap_or(&self.direct);
        // Compressed on the way, a file would have other bytes than the index says.
        let mut request = route.agent.get(uri.request()).header(header::ACCEPT_ENCODING, "identity");
        if let Some(login) = uri.login.as_ref().or_else(|| netrc::login(&self.logins, uri)) {
            request = request.header(header::AUTHORIZATION, secret(&login.basic())?);
        }
        if let Some(authorization) = &route.authorization {
            request = request.header(header::PROXY_AUTHORIZATION, secret(authorization)?);
        }
        if let Some(range) = range {
            request = request.header(header::RANGE, format!("bytes={}-", range.from));
            if let Some(etag) = range.etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let response = request.call().map_err(|error| match trouble(error) {
            Trouble { outcome: Outcome::Unreachable(why), again, after } if proxied => {
                Trouble { outcome: Outcome::Unreachable(format!("{why} (through the proxy)")), again, after }
            }
            trouble => trouble,
        })?;
        let status = response.status().as_u16();
        let headers = response.headers();
        let location = matches!(status, 301 | 302 | 303 | 307 | 308)
            .then(|| headers.get(header::LOCATION).map(|value| value.as_bytes().to_vec()))
            .flatten();
        let reply = Reply {
            status,
            length: text(headers, header::CONTENT_LENGTH).and_then(|text| text.trim().parse().ok()),
            range: text(headers, header::CONTENT_RANGE).and_then(content_range),
            etag: text(headers, header::ETAG).filter(|tag| tag.starts_with('"')).map(str::to_owned),
            retry_after: text(headers, header::RETRY_AFTER)
                .and_then(|after| retry_after(after, text(headers, header::DATE).unwrap_or_default())),
            body: Box::new(Paced::new(response.into_body().into_reader(), PACE, Instant::now)),
        };
        Ok((reply, location))
    }
}

pub(super) fn config(settings: &Settings, proxy: Option<ureq::Proxy>) -> Config {
    let connections = settings.jobs.max(1);
    Agent::config_builder()
        .http_status_as_error(false)
        // Redirects are followed here, where a login is taken off and https is kept.
        .max_redirects(0)
        // Not from the environment: it is read in one place.
        .proxy(proxy)
        .user_agent(concat!("debstrata/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(settings.timeouts.connect))
        .timeout_connect(Some(settings.timeouts.connect))
        .timeout_recv_response(Some(settings.timeouts.idle))
        .timeout_per_read(Some(settings.timeouts.idle))
        .timeout_per_write(Some(settings.timeouts.idle))
        .max_idle_connections(connections.saturating_mul(2))
        .max_idle_connections_per_host(connections)
        // The system's roots, a private CA of the host among them.
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .build()
}

pub(super) fn secret(value: &str) -> Result<HeaderValue, Trouble> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Trouble::last(Outcome::Unreachable("its login cannot be sent".to_owned())))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where a redirect may lead, or why not.
pub(super) fn follow(from: &Uri, location: &[u8]) -> Result<Uri, String> {
    let location = std::str::from_utf8(location).map_err(|_| "its Location is no text".to_owned())?;
    let to = from.redirect(location).map_err(|error| format!("its Location is no URI to follow: {error}"))?;
    match (from.scheme, to.scheme) {
        (_, Scheme::File) => Err("it leads to a file of this machine".to_owned()),
        (Scheme::Https, Scheme::Http) => Err(format!("it leads from https to {to}")),
        _ => Ok(to),
    }
}

pub(super) fn drain(body: &mut dyn Read) {
    // For the connection's sake alone; a failure shows itself with the next request.
    let _ = io::copy(&mut body.take(LONGEST_DRAIN), &mut io::sink());
}

/// What a failure of ureq means.
pub(super) fn trouble(error: ureq::Error) -> Trouble {
    use io::ErrorKind as Kind;
    let text = |error: &dyn std::fmt::Display| printable(error.to_string().as_bytes());
    match &error {
        ureq::Error::HostNotFound => Trouble::passing(Outcome::Unreachable("its name is not known (DNS)".to_owned())),
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            Trouble::passing(Outcome::Unreachable("no connection in time".to_owned()))
        }
        ureq::Error::Timeout(_) => Trouble::passing(Outcome::Broken("it fell silent".to_owned())),
        ureq::Error::ConnectionFailed => Trouble::passing(Outcome::Unreachable("no connection".to_owned())),
        ureq::Error::ConnectProxyFailed(why) => {
            Trouble::passing(Outcome::Unreachable(format!("the proxy refuses: {}", text(why))))
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) | ureq::Error::TlsRequired => {
            Trouble::last(Outcome::Tls(text(&error)))
        }
        // Never shown: the text is the URI, query included.
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Trouble::last(Outcome::Unreachable("its URI is malformed".to_owned()))
        }
        ureq::Error::Io(io) => match io.kind() {
            Kind::ConnectionRefused
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::AddrNotAvailable => Trouble::passing(Outcome::Unreachable(text(io))),
            // rustls' handshake errors come as these.
            Kind::InvalidData => Trouble::last(Outcome::Tls(text(io))),
            // The standard library gives getaddrinfo's failures no kind of their own.
            _ if text(io).starts_with("failed to lookup address") => Trouble::passing(Outcome::Unreachable(text(io))),
            _ => Trouble::passing(Outcome::Broken(text(io))),
        },
        _ => Trouble::passing(Outcome::Broken(text(&error))),
    }
}

pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// `bytes FIRST-LAST/SIZE` (RFC 9110 section 14.4).
pub(super) fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let size = if size == "*" { None } else { Some(size.parse().ok()?) };
    Some((first.parse().ok()?, last.parse().ok()?, size))
}

/// Seconds, or a date that is compared with the server's own clock (RFC 9110 section 10.2.3).
pub(super) fn retry_after(after: &str, date: &str) -> Option<Duration> {
    if let Ok(seconds) = after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = |text: &str| DateTimeParser::new().parse_timestamp(text.trim()).ok();
    let wait = moment(after)?.duration_since(moment(date)?);
    Some(Duration::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_never_left() {
        let https = Uri::parse("https://a.example.org/x").unwrap();
        let http = Uri::parse("http://a.example.org/x").unwrap();
        for (from, location, fine) in [
            (&https, "https://b.example.org/y", true),
            (&https, "/y", true),
            (&https, "http://a.example.org/x", false),
            (&http, "https://a.example.org/x", true),
            (&http, "http://b.example.org/", true),
            (&http, "file:///etc/passwd", false),
            (&http, "gopher://x/", false),
        ] {
            assert_eq!(follow(from, location.as_bytes()).is_ok(), fine, "{from} {location}");
        }
        let error = follow(&https, b"http://u:s3cret@a.example.org/x?s3cret").unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn headers() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, 9, None)));
        for wrong in ["bytes */10", "bytes 5-9", "5-9/10", "bytes a-9/10"] {
            assert_eq!(content_range(wrong), None);
        }
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (after, seconds) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:40:37 GMT", Some(0)),
            ("soon", None),
        ] {
            assert_eq!(retry_after(after, date), seconds.map(Duration::from_secs), "{after}");
        }
    }
}
