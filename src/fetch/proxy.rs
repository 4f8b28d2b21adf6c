//! Proxies. `https:` goes through CONNECT or SOCKS, as ureq does it. Plain `http:` is asked of an
//! HTTP proxy in the absolute form (RFC 9112 section 3.2.2), which caching proxies need and which
//! ureq does not speak: most of them refuse CONNECT to port 80.

use ureq::{
    Agent,
    config::Config,
    http,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport},
    },
};

use super::{
    FetchError,
    uri::{Scheme, Uri, redacted},
};

/// The connections for one scheme.
pub(super) struct Route {
    pub(super) agent: Agent,
    /// The value of `Proxy-Authorization` that each request carries.
    pub(super) authorization: Option<String>,
}

/// The route for `scheme` (`http` or `https`) through `proxy`.
///
/// `config` makes the connections' configuration.
pub(super) fn route(
    scheme: &'static str,
    proxy: &str,
    config: impl Fn(Option<ureq::Proxy>) -> Config,
) -> Result<Route, FetchError> {
    // As curl has it, a proxy without a scheme speaks HTTP.
    let proxy = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    let fail = || FetchError::Proxy { scheme, proxy: redacted(&proxy) };
    let uri = Uri::parse(&proxy);
    if scheme == "http"
        && let Ok(uri) = &uri
        && uri.scheme == Scheme::Http
    {
        let server: http::Uri = uri.server().parse().map_err(|_| fail())?;
        let resolver = ToProxy { server, inner: DefaultResolver::default() };
        let agent = Agent::with_parts(config(None), ().chain(TcpConnector::default()).chain(AbsoluteForm), resolver);
        return Ok(Route { agent, authorization: uri.login.as_ref().map(|login| login.basic()) });
    }
    tunnel(scheme, &proxy, config)
}

/// The route for `scheme` through a tunnel (CONNECT or SOCKS), which passes bodies of requests as well.
pub(super) fn tunnel(
    scheme: &'static str,
    proxy: &str,
    config: impl Fn(Option<ureq::Proxy>) -> Config,
) -> Result<Route, FetchError> {
    let proxy = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    let made = ureq::Proxy::new(&proxy).map_err(|_| FetchError::Proxy { scheme, proxy: redacted(&proxy) })?;
    let agent = Agent::new_with_config(config(Some(made)));
    Ok(Route { agent, authorization: None })
}

/// Whether `host` is to be reached directly: `no_proxy` lists names, each with its subdomains, with
/// or without a leading dot or `*.` and a port; `*` is all.
pub(super) fn is_direct(no_proxy: &str, uri: &Uri) -> bool {
    let host = uri.host.trim_matches(['[', ']']);
    no_proxy.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        let entry = entry.to_ascii_lowercase();
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
            _ => (entry.as_str(), None),
        };
        let name = name.trim_matches(['[', ']']).trim_start_matches('*').trim_start_matches('.');
        let below = || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        !name.is_empty() && (host == name || below()) && port.is_none_or(|port: u16| uri.port() == Some(port))
    })
}

/// Finds the proxy's address, whatever is asked for.
#[derive(Debug)]
struct ToProxy {
    server: http::Uri,
    inner: DefaultResolver,
}

impl Resolver for ToProxy {
    fn resolve(
        &self,
        _: &http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.inner.resolve(&self.server, config, timeout)
    }
}

#[derive(Debug)]
struct AbsoluteForm;

impl<In: Transport> Connector<In> for AbsoluteForm {
    type Out = AbsoluteTransport<In>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let authority = details.uri.authority().map_or("", |authority| authority.as_str());
        let prefix = format!("http://{authority}").into_bytes();
        Ok(chained.map(|inner| AbsoluteTransport { inner, prefix, inside_head: false }))
    }
}

/// Puts `http://host` before the path of each request's first line.
#[derive(Debug)]
struct AbsoluteTransport<In> {
    inner: In,
    prefix: Vec<u8>,
    inside_head: bool,
}

impl<In: Transport> Transport for AbsoluteTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let mut bytes = self.inner.buffers().output().get(..amount).unwrap_or_default().to_vec();
        // Requests here are heads alone, so what follows the end of one begins the next.
        if !self.inside_head
            && let Some(space) = bytes.iter().position(|byte| *byte == b' ')
        {
            bytes.splice(space + 1..space + 1, self.prefix.iter().copied());
        }
        self.inside_head = !bytes.ends_with(b"\r\n\r\n");
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let output = self.inner.buffers().output();
            let count = rest.len().min(output.len());
            output[..count].copy_from_slice(&rest[..count]);
            self.inner.transmit_output(count, timeout)?;
            rest = &rest[count..];
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy() {
        for (list, host, direct) in [
            ("example.org", "http://example.org", true),
            ("example.org", "http://a.example.org", true),
            ("example.org", "http://notexample.org", false),
            (".example.org, other", "http://A.Example.org", true),
            ("*.example.org", "http://a.example.org", true),
            ("*", "https://x", true),
            ("", "https://x", false),
            ("x:8080", "http://x:8080", true),
            ("x:8080", "http://x", false),
            ("127.0.0.1,::1", "http://[::1]:80", true),
            ("[::1]:80", "http://[::1]", true),
        ] {
            assert_eq!(is_direct(list, &Uri::parse(host).unwrap()), direct, "{list} {host}");
        }
    }
}
