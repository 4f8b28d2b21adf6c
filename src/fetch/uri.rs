//! URIs of mirrors. The login in one is never shown.

use std::fmt;

use crate::ground::to_base64;

/// How a mirror is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scheme {
    Http,
    Https,
    /// `file:` and `copy:`.
    File,
}

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::File => "file",
        }
    }
}

/// A user and a password; not shown by anything.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl Login {
    /// The value of an `Authorization: Basic` header (RFC 7617).
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", to_base64(format!("{}:{}", self.user, self.password).as_bytes()))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// A URI of a scheme that can be fetched. Shown without login and query (both may be secrets).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uri {
    pub(super) scheme: Scheme,
    /// Lower case; in brackets for IPv6; empty for files.
    pub(super) host: String,
    /// As written.
    pub(super) port: Option<u16>,
    /// Percent-encoded as it was written, with a leading slash.
    path: String,
    /// What follows `?`.
    query: Option<String>,
    pub(super) login: Option<Login>,
}

/// Why a text is no URI that can be fetched. Holds nothing of the text but the scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `scheme:` in front.
    #[error("it does not begin with http://, https:// or file:/")]
    NoScheme,
    /// A scheme that is not spoken here.
    #[error("{0}: is not one of http, https and file")]
    Scheme(String),
    /// No host.
    #[error("it names no host")]
    NoHost,
    /// Host or port are malformed.
    #[error("its host or port is malformed")]
    BadHost,
    /// A file URI that is not absolute or names another host.
    #[error("a file: URI needs an absolute path and no host")]
    BadFile,
}

impl Uri {
    /// Reads an absolute URI.
    pub(super) fn parse(text: &str) -> Result<Self, UriError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').ok_or(UriError::NoScheme)?;
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            return Err(UriError::NoScheme);
        }
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "file" | "copy" => Scheme::File,
            other => return Err(UriError::Scheme(other.chars().take(20).collect())),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        if scheme == Scheme::File {
            let path = match rest.strip_prefix("//") {
                None => rest,
                Some(path) => path.strip_prefix("localhost").unwrap_or(path),
            };
            if !path.starts_with('/') {
                return Err(UriError::BadFile);
            }
            return Ok(Self {
                scheme,
                host: String::new(),
                port: None,
                path: encode_stray(path),
                query: None,
                login: None,
            });
        }
        let rest = rest.strip_prefix("//").ok_or(UriError::NoHost)?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, host) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((login, host)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (Some(Login { user: decode(user), password: decode(password) }), host)
            }
        };
        let (host, port) = split_port(host).ok_or(UriError::BadHost)?;
        if host.is_empty() {
            return Err(UriError::NoHost);
        }
        let (path, query) = match rest.split_once('?') {
            None => (rest, None),
            Some((path, query)) => (path, Some(encode_stray(query))),
        };
        let path = if path.is_empty() { "/".to_owned() } else { encode_stray(path) };
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port, path, query, login })
    }

    /// The same without slashes at its end and without a query: the root of an archive.
    pub(super) fn into_root(mut self) -> Self {
        self.path.truncate(self.path.trim_end_matches('/').len());
        self.query = None;
        self
    }

    /// A file below this root. The path is a plain one and is encoded here; `+` too, which some
    /// object stores read as a space (apt encodes it as well).
    pub(super) fn join(&self, path: &str) -> Self {
        let mut joined = self.clone();
        joined.query = None;
        joined.path.push('/');
        for byte in path.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                    joined.path.push(byte.into());
                }
                _ => joined.path.push_str(&format!("%{byte:02x}")),
            }
        }
        joined
    }

    /// Where a redirect from here leads (RFC 3986 section 5.2, without dot segments). A login stays
    /// with its host.
    pub(super) fn redirect(&self, location: &str) -> Result<Self, UriError> {
        let location = location.trim();
        let absolute = location.split(['/', '?', '#']).next().is_some_and(|head| head.contains(':'));
        let mut target = if absolute {
            Self::parse(location)?
        } else if location.starts_with("//") {
            Self::parse(&format!("{}:{location}", self.scheme.name()))?
        } else {
            let location = location.split('#').next().unwrap_or_default();
            let (path, query) = match location.split_once('?') {
                None => (location, None),
                Some((path, query)) => (path, Some(encode_stray(query))),
            };
            let path = if path.starts_with('/') {
                encode_stray(path)
            } else if path.is_empty() {
                self.path.clone()
            } else {
                let folder = self.path.rfind('/').map_or("", |at| &self.path[..=at]);
                format!("{folder}{}", encode_stray(path))
            };
            Self { path, query, ..self.clone() }
        };
        target.login = self.login.clone().filter(|_| self.same_server(&target));
        Ok(target)
    }

    /// Whether both are the same scheme, host and port.
    pub(super) fn same_server(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port() == other.port()
    }

    /// `scheme://host[:port]`, the server's name in messages and as a key.
    pub(super) fn server(&self) -> String {
        match self.port {
            None => format!("{}://{}", self.scheme.name(), self.host),
            Some(port) => format!("{}://{}:{port}", self.scheme.name(), self.host),
        }
    }

    /// What is asked for: without login, with the query.
    pub(super) fn request(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        match &self.query {
            None => format!("{}{path}", self.server()),
            Some(query) => format!("{}{path}?{query}", self.server()),
        }
    }

    /// The same with one more part of the query, encoded here.
    pub(super) fn with_query(mut self, key: &str, value: &str) -> Self {
        let mut query =
            self.query.take().filter(|query| !query.is_empty()).map_or_else(String::new, |query| query + "&");
        query.push_str(key);
        query.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                    query.push(byte.into())
                }
                _ => query.push_str(&format!("%{byte:02X}")),
            }
        }
        self.query = Some(query);
        self
    }

    /// The path, percent-encoded.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path with its percent signs decoded: a file's name on this machine.
    pub(super) fn file_path(&self) -> Vec<u8> {
        decode_bytes(&self.path)
    }

    /// The port, also where it is the scheme's own.
    pub(super) fn port(&self) -> Option<u16> {
        self.port.or(default_port(self.scheme))
    }

    /// The last part of the path: by convention the archive's name, such as `debian-security`.
    pub(super) fn last_part(&self) -> String {
        decode(self.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Scheme::File => write!(f, "file:{}", self.path),
            _ => write!(f, "{}{}", self.server(), self.path),
        }
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that should be a URI, as it may be shown: without login and query, whatever it is.
pub(super) fn redacted(text: &str) -> String {
    match Uri::parse(text) {
        Ok(uri) => uri.to_string(),
        Err(_) if text.contains(['@', '?']) => "(not shown: it may hold a password)".to_owned(),
        Err(_) => crate::ground::printable(text.as_bytes()),
    }
}

fn default_port(scheme: Scheme) -> Option<u16> {
    match scheme {
        Scheme::Http => Some(80),
        Scheme::Https => Some(443),
        Scheme::File => None,
    }
}

/// `host[:port]`, the host perhaps in brackets.
pub(super) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.rfind(']') {
        Some(end) => (text.get(..=end)?, text.get(end + 1..)?),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let fine =
        |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b) || (text.starts_with('[') && b"[]:%".contains(&b));
    if !host.bytes().all(fine) {
        return None;
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        Some("") => Some((host, None)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some((host, Some(digits.parse().ok()?))),
        _ => None,
    }
}

/// Encodes what may not stand in a URI at all (spaces, control characters, what is not ASCII) and
/// leaves the rest as it was written.
fn encode_stray(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => out.push_str(&format!("%{byte:02X}")),
            0x21..=0x7e => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn decode_bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|b| (*b as char).to_digit(16));
        rest = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                tail.get(2..).unwrap_or_default()
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    out
}

fn decode(text: &str) -> String {
    String::from_utf8_lossy(&decode_bytes(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_without_secrets() {
        for (text, shown) in [
            ("http://mirror.example.org/debian/", "http://mirror.example.org/debian/"),
            ("HTTP://Mirror.Example.org:80/debian", "http://mirror.example.org:80/debian"),
            ("https://me:s3cret@mirror.example.org:8443/d?token=s3cret", "https://mirror.example.org:8443/d"),
            ("https://s3cret@mirror.example.org", "https://mirror.example.org/"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            ("file:/srv/debian", "file:/srv/debian"),
            ("file:///srv/a b", "file:/srv/a%20b"),
            ("copy:/srv/debian", "file:/srv/debian"),
        ] {
            let uri = Uri::parse(text).unwrap();
            assert_eq!(uri.to_string(), shown);
            assert!(!format!("{uri:?} {:?}", uri.login).contains("s3cret"));
            assert_eq!(redacted(text), shown);
        }
        assert_eq!(redacted("htp://me:s3cret@host/x"), "(not shown: it may hold a password)");
    }

    #[test]
    fn refused() {
        for (text, error) in [
            ("mirror.example.org/debian", UriError::NoScheme),
            ("cdrom:[Debian]/", UriError::Scheme("cdrom".into())),
            ("tor+https://x/", UriError::Scheme("tor+https".into())),
            ("http:/x", UriError::NoHost),
            ("http:///x", UriError::NoHost),
            ("http://a b/x", UriError::BadHost),
            ("http://a:99999/x", UriError::BadHost),
            ("http://a\nb/x", UriError::BadHost),
            ("file:x", UriError::BadFile),
            ("file://other/x", UriError::BadFile),
        ] {
            assert_eq!(Uri::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn files_below_a_root() {
        let root = Uri::parse("http://u:p@h/debian//").unwrap().into_root();
        let uri = root.join("pool/main/libstdc++6_1%3a2~3 é.deb");
        assert_eq!(uri.request(), "http://h/debian/pool/main/libstdc%2b%2b6_1%253a2~3%20%c3%a9.deb");
        assert_eq!(uri.login.as_ref().unwrap().basic(), "Basic dTpw");
        assert_eq!(root.last_part(), "debian");
        assert_eq!(Uri::parse("http://h").unwrap().into_root().join("x").request(), "http://h/x");
        let file = Uri::parse("file:/srv/a%20b").unwrap().into_root().join("c+d");
        assert_eq!(file.file_path(), b"/srv/a b/c+d");
    }

    #[test]
    fn redirects_keep_a_login_on_its_server_only() {
        let from = Uri::parse("https://u:p@a.example.org/x/y?q").unwrap();
        for (location, request, login) in [
            ("z", "https://a.example.org/x/z", true),
            ("/z?k=v#f", "https://a.example.org/z?k=v", true),
            ("?k", "https://a.example.org/x/y?k", true),
            ("//b.example.org/z", "https://b.example.org/z", false),
            ("https://a.example.org:443/z", "https://a.example.org:443/z", true),
            ("https://a.example.org:8443/z", "https://a.example.org:8443/z", false),
            ("http://a.example.org/z", "http://a.example.org/z", false),
            ("https://v:w@b.example.org/z", "https://b.example.org/z", false),
            ("z:1", "", false),
        ] {
            match from.redirect(location) {
                Ok(to) => {
                    assert_eq!(to.request(), request);
                    assert_eq!(to.login.is_some(), login, "{location}");
                }
                Err(_) => assert_eq!(request, ""),
            }
        }
    }
}
