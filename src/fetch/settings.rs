//! What the fetcher is told: mirrors, apt, proxies, limits. All of it comes in as values.

use std::{fmt, path::PathBuf, time::Duration};

use jiff::Timestamp;

use super::uri::redacted;

/// How to fetch. `Debug` shows no login.
#[derive(Clone)]
pub struct Settings {
    /// `--mirror ARCHIVE=URI`: tried first for origins of this archive (or of this name), in order.
    pub mirrors: Vec<(String, String)>,
    /// The root of the host's apt configuration (/etc/apt): its mirrors and logins. `None`: no apt.
    pub apt: Option<PathBuf>,
    /// More files with logins in the format of netrc(5), such as ~/.netrc; apt_auth.conf(5) says
    /// how they match: https alone unless `machine` names a protocol.
    pub netrc: Vec<PathBuf>,
    /// The snapshot service: `<snapshot>/<archive>/<YYYYMMDDTHHMMSSZ>/` is an archive's root.
    pub snapshot: String,
    /// The present moment, at which the snapshot service is asked for heads that no mirror has.
    pub now: Timestamp,
    /// Proxies, from the environment.
    pub proxies: Proxies,
    /// Use the cache alone.
    pub offline: bool,
    /// How many files arrive at once, at least 1.
    pub jobs: usize,
    /// When a silent server is given up.
    pub timeouts: Timeouts,
    /// How often and how fast it is asked again.
    pub retries: Retries,
}

/// URIs of proxies (`http://`, `https://`, `socks5://` ...), as http_proxy(7)-like variables hold them.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http:` mirrors.
    pub http: Option<String>,
    /// For `https:` mirrors.
    pub https: Option<String>,
    /// Hosts that are reached directly: names with their subdomains, separated by commas; `*` is all.
    pub no_proxy: Option<String>,
}

/// When a silent server is given up. There is no bound on a whole transfer: large files on slow
/// lines are fine as long as bytes come, at least one KiB a second over each minute.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// For each read.
    pub idle: Duration,
}

/// How a mirror that fails for the moment (5xx, 429, reset, timeout) is asked again.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// Tries in all, at least 1, for one file at one mirror.
    pub tries: u32,
    /// The pause before the second; it doubles each time, give or take a half by chance.
    pub pause: Duration,
    /// The longest pause, also when the server asks for more by Retry-After.
    pub longest: Duration,
}

impl Settings {
    /// The usual ones: no overrides, no apt, no proxy, the public snapshot service, 8 jobs.
    pub fn new(now: Timestamp) -> Self {
        Self {
            mirrors: Vec::new(),
            apt: None,
            netrc: Vec::new(),
            snapshot: "https://snapshot.debian.org/archive".to_owned(),
            now,
            proxies: Proxies::default(),
            offline: false,
            jobs: 8,
            timeouts: Timeouts { connect: Duration::from_secs(15), idle: Duration::from_secs(30) },
            retries: Retries { tries: 4, pause: Duration::from_millis(500), longest: Duration::from_secs(30) },
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mirrors: Vec<_> = self.mirrors.iter().map(|(archive, uri)| (archive, redacted(uri))).collect();
        f.debug_struct("Settings")
            .field("mirrors", &mirrors)
            .field("apt", &self.apt)
            .field("netrc", &self.netrc)
            .field("snapshot", &redacted(&self.snapshot))
            .field("now", &self.now)
            .field("proxies", &self.proxies)
            .field("offline", &self.offline)
            .field("jobs", &self.jobs)
            .field("timeouts", &self.timeouts)
            .field("retries", &self.retries)
            .finish()
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.as_deref().map(redacted))
            .field("https", &self.https.as_deref().map(redacted))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}
