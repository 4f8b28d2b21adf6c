//! What the process finds around itself, as values; and what a verb works with.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use miette::Diagnostic;

use super::{Global, report::Reporter};
use crate::{
    debian::Architecture,
    fetch,
    ground::{Class, Failure},
    image::{
        reference::Reference,
        registry::{self, Credentials, Login},
    },
    pipeline::{Failures, Settings, Workshop},
};

/// Everything that the program takes from its process, read once in `main`.
#[derive(Clone)]
pub struct Surroundings {
    /// Arguments, the program's name first.
    pub arguments: Vec<OsString>,
    /// Environment variables that are Unicode.
    pub variables: BTreeMap<String, String>,
    /// The time at the start.
    pub clock: Timestamp,
    /// The time now, for what runs for days.
    pub now: fn() -> Timestamp,
    /// Whether stderr is a terminal.
    pub terminal: bool,
    /// Whether stdin and stdout are.
    pub interactive: bool,
}

/// Something on the command line or in the environment that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(debstrata::usage))]
pub(super) struct UsageError {
    pub(super) message: String,
    #[help]
    pub(super) help: String,
}

impl UsageError {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

impl Failure for UsageError {
    fn class(&self) -> Class {
        Class::User
    }
}

/// One run of one verb.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) global: Global,
    pub(super) surroundings: Surroundings,
    pub(super) reporter: Reporter,
}

impl Session {
    /// The same run at a later time.
    pub(super) fn anew(&self) -> Self {
        let mut session = self.clone();
        session.surroundings.clock = (session.surroundings.now)();
        session
    }

    /// The cache's folder.
    pub(super) fn cache(&self) -> PathBuf {
        self.global.cache.clone().unwrap_or_else(|| self.global.directory.join("cache"))
    }

    /// Opens the project; warnings of the manifests are shown.
    pub(super) fn workshop(&self) -> Result<Workshop, Failures> {
        self.open(false, None)
    }

    /// The same, trusting nothing that earlier runs derived.
    pub(super) fn fresh_workshop(&self) -> Result<Workshop, Failures> {
        self.open(true, None)
    }

    /// Opens the project, or another folder with the same cache in its place.
    pub(super) fn workshop_in(&self, root: Option<&Path>) -> Result<Workshop, Failures> {
        self.open(false, root)
    }

    fn open(&self, fresh: bool, root: Option<&Path>) -> Result<Workshop, Failures> {
        let settings = Settings {
            root: root.unwrap_or(&self.global.directory).to_owned(),
            cache: self.cache(),
            bundle: self.global.bundle.clone().filter(|_| root.is_none()),
            fresh,
            fetch: self.fetch_settings()?,
            registry: Some(self.pull_settings()?),
            clock: self.surroundings.clock,
            timestamp: self.source_date_epoch()?,
        };
        let (workshop, warnings) = Workshop::open(settings, self.reporter.progress.clone())?;
        warnings.into_iter().for_each(|warning| self.reporter.warn(warning));
        Ok(workshop)
    }

    /// The architecture of this machine, as far as Debian knows it.
    pub(super) fn host(&self) -> Option<Architecture> {
        Architecture::host()
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.surroundings.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn fetch_settings(&self) -> Result<fetch::Settings, UsageError> {
        let from_environment = self.variable("DEBSTRATA_MIRRORS").into_iter().flat_map(str::split_whitespace);
        let mirrors = self.global.mirrors.iter().map(String::as_str).chain(from_environment);
        let either_case = |lower: &str| {
            self.variable(lower).or_else(|| self.variable(&lower.to_ascii_uppercase())).map(str::to_owned)
        };
        let mut settings = fetch::Settings::new(self.surroundings.clock);
        settings.mirrors = mirrors.map(parse_mirror).collect::<Result<_, _>>()?;
        settings.apt = Some("/etc/apt".into()).filter(|folder: &PathBuf| folder.is_dir());
        settings.netrc = self.variable("HOME").map(|home| Path::new(home).join(".netrc")).into_iter().collect();
        settings.proxies = fetch::Proxies {
            // HTTP_PROXY in capitals is not honoured: a CGI server lets its client set it (httpoxy).
            http: self.variable("http_proxy").map(str::to_owned).or_else(|| either_case("all_proxy")),
            https: either_case("https_proxy").or_else(|| either_case("all_proxy")),
            no_proxy: either_case("no_proxy"),
        };
        settings.offline = self.global.offline || self.global.bundle.is_some();
        if let Some(snapshot) = self.variable("DEBSTRATA_SNAPSHOT") {
            settings.snapshot = snapshot.trim_end_matches('/').to_owned();
        }
        Ok(settings)
    }

    /// How a registry is spoken to, and by whom.
    pub(super) fn registry_settings(
        &self,
        reference: &Reference,
        plain_http: bool,
    ) -> Result<registry::Settings, UsageError> {
        let (user, password) = ("DEBSTRATA_REGISTRY_USER", "DEBSTRATA_REGISTRY_PASSWORD");
        let login = match (self.variable(user), self.variable(password)) {
            (None, None) => None,
            (Some(user), Some(password)) => Some((reference.registry.clone(), Login::new(user, password))),
            (set, _) => {
                let (set, unset) = if set.is_some() { (user, password) } else { (password, user) };
                return Err(UsageError::new(format!("{set} is set, and {unset} is not"), "set both, or none of them"));
            }
        };
        let files = self.credential_files();
        let observer = self.reporter.progress.clone();
        let settings = registry::Settings::new(self.fetch_settings()?, Credentials { login, files }, observer);
        Ok(registry::Settings { plain_http, ..settings })
    }

    /// The same for images that tiers stand on. A login of the environment is for pushing: a manifest must not
    /// decide who gets it.
    fn pull_settings(&self) -> Result<registry::Settings, UsageError> {
        let credentials = Credentials { login: None, files: self.credential_files() };
        Ok(registry::Settings::new(self.fetch_settings()?, credentials, self.reporter.progress.clone()))
    }

    /// Where docker and podman keep credentials.
    fn credential_files(&self) -> Vec<PathBuf> {
        let folder = |name: &str, below: &str| self.variable(name).map(|folder| Path::new(folder).join(below));
        match self.variable("REGISTRY_AUTH_FILE") {
            Some(file) => vec![PathBuf::from(file)],
            None => [
                folder("DOCKER_CONFIG", "config.json").or_else(|| folder("HOME", ".docker/config.json")),
                folder("XDG_RUNTIME_DIR", "containers/auth.json"),
                folder("XDG_CONFIG_HOME", "containers/auth.json")
                    .or_else(|| folder("HOME", ".config/containers/auth.json")),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }

    fn source_date_epoch(&self) -> Result<Option<u64>, UsageError> {
        // The range of a tar header's mtime field (ustar: eleven octal digits).
        let largest = 0o77_777_777_777;
        self.variable("SOURCE_DATE_EPOCH")
            .map(|text| {
                text.parse().ok().filter(|seconds| *seconds <= largest).ok_or_else(|| {
                    UsageError::new(
                        format!("SOURCE_DATE_EPOCH is {text:?}, which is no time in seconds since 1970"),
                        format!(
                            "set it to a whole number from 0 to {largest}, or unset it to use the archive's timestamp"
                        ),
                    )
                })
            })
            .transpose()
    }
}

fn parse_mirror(text: &str) -> Result<(String, String), UsageError> {
    match text.split_once('=') {
        Some((archive, uri)) if !archive.is_empty() && uri.contains(':') => {
            Ok((archive.to_owned(), uri.trim_end_matches('/').to_owned()))
        }
        _ => Err(UsageError::new(
            "a mirror is written ARCHIVE=URI",
            "for example --mirror debian=https://mirror.example.org/debian; ARCHIVE is the source's `snapshot` name",
        )),
    }
}
