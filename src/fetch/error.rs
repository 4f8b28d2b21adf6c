//! What went wrong, mirror by mirror. Nothing here holds a login.

use std::fmt;

use miette::Diagnostic;

use super::{Origin, tarball::Told, uri::UriError};
use crate::{
    cache::CacheError,
    ground::{Class, Failure},
};

/// What one mirror did when it was asked for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It says that it does not have the file: 404, 410, or no such file in a folder.
    Gone(u16),
    /// Another status, after all retries.
    Status(u16),
    /// The file there has another size.
    Size {
        /// Bytes that the signed index announces.
        expected: u64,
        /// Bytes that it has; `None`: more, nobody counted.
        found: Option<u64>,
    },
    /// The file there has the right size and other bytes.
    Hash,
    /// The server cannot be reached at all: name, connection, proxy.
    Unreachable(String),
    /// No secure connection: certificate, protocol.
    Tls(String),
    /// The transfer broke off, each time.
    Broken(String),
    /// It sends elsewhere, where we do not go.
    Redirect(String),
}

impl Outcome {
    /// A definite "not here (any more)".
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_))
    }

    /// Whether the server did not even answer.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Tls(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(0) => f.write_str("no such file"),
            Self::Gone(status) => write!(f, "not there ({status})"),
            Self::Status(status) => write!(f, "answers with status {status}"),
            Self::Size { expected, found: Some(found) } => {
                write!(f, "has {found} bytes where the index says {expected}")
            }
            Self::Size { expected, found: None } => write!(f, "has more than the {expected} bytes of the index"),
            Self::Hash => f.write_str("has other bytes than the index says (checksum differs)"),
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::Tls(why) => write!(f, "no secure connection: {why}"),
            Self::Broken(why) => write!(f, "broke off: {why}"),
            Self::Redirect(why) => write!(f, "redirect refused: {why}"),
        }
    }
}

/// One mirror that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its root, without a login.
    pub mirror: String,
    /// Whether it is a mirror that follows the archive, not the snapshot service.
    pub live: bool,
    /// What it did.
    pub outcome: Outcome,
}

/// All mirrors that were asked for one file, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    /// Package or index.
    pub label: String,
    /// The origin's name.
    pub origin: String,
    /// One a mirror, at least one.
    pub attempts: Vec<Attempt>,
}

impl Attempts {
    /// At least one live mirror answered that the file is not there, and no live mirror failed in
    /// any other way.
    pub fn answered_gone(&self) -> bool {
        let mut live = self.attempts.iter().filter(|attempt| attempt.live).peekable();
        live.peek().is_some() && live.all(|attempt| attempt.outcome.is_gone())
    }

    /// Whether the snapshot service was asked and answered.
    pub fn snapshot_reached(&self) -> bool {
        self.attempts.iter().any(|attempt| !attempt.live && !attempt.outcome.is_unreachable())
    }

    fn reach_hint(&self) -> &'static str {
        if self.attempts.iter().any(|attempt| matches!(attempt.outcome, Outcome::Tls(_))) {
            "add the certificate authority of the mirror, or of a proxy that opens https, to the system's trusted ones, \
             or name another mirror with --mirror ARCHIVE=URI"
        } else {
            "check the network and the proxy (http_proxy, https_proxy), or name another mirror with --mirror ARCHIVE=URI"
        }
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for attempt in &self.attempts {
            write!(f, "\n- {}: {}", attempt.mirror, attempt.outcome)?;
        }
        Ok(())
    }
}

fn bytes(size: Option<u64>) -> String {
    size.map_or_else(String::new, |size| format!(" ({size} bytes)"))
}

/// A file could not be had.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FetchError {
    /// Every mirror answered, and none has it.
    #[error("{} is gone from every mirror of {}:{}", .0.label, .0.origin, .0)]
    #[diagnostic(
        code(debstrata::fetch::gone),
        help("the archive has moved on: `debstrata lock` finds what replaced it, or add a mirror that still has it")
    )]
    Gone(Box<Attempts>),
    /// No mirror could be reached.
    #[error("{} cannot be fetched, no mirror of {} can be reached:{}", .0.label, .0.origin, .0)]
    #[diagnostic(
        code(debstrata::fetch::unreachable), help("{}", .0.reach_hint())
    )]
    Unreachable(Box<Attempts>),
    /// Every mirror failed, in different ways.
    #[error("{} cannot be fetched from any mirror of {}:{}", .0.label, .0.origin, .0)]
    #[diagnostic(
        code(debstrata::fetch::failed),
        help(
            "run the same command again (what has arrived is kept), or name another mirror with --mirror ARCHIVE=URI"
        )
    )]
    Failed(Box<Attempts>),
    /// No place of a file that a manifest names by its hash has it.
    #[error("{} of {} cannot be had:{}", .0.label, .0.origin, Told(.0))]
    #[diagnostic(
        code(debstrata::fetch::tarball),
        help("see whether `uris`, `sha256` and `size` are right, or add another place to `uris`")
    )]
    Tarball(Box<Attempts>),
    /// Nobody said where to look.
    #[error("no mirror is known for {origin}, suite {suite}")]
    #[diagnostic(
        code(debstrata::fetch::no_mirror),
        help("give the source `uris` or `snapshot` in archive.toml, or name a mirror with --mirror {origin}=URI")
    )]
    NoMirror {
        /// The origin's name.
        origin: String,
        /// Its suite.
        suite: String,
    },
    /// Not in the cache, and the network must not be used.
    #[error("{label} of {origin}{} is not in the cache, and --offline forbids fetching it", bytes(*size))]
    #[diagnostic(code(debstrata::fetch::offline), help("run once without --offline, or copy a filled cache here"))]
    Offline {
        /// Package or index.
        label: String,
        /// The origin's name.
        origin: String,
        /// Its bytes, where they are known.
        size: Option<u64>,
    },
    /// A URI of the user's.
    #[error("{place} cannot be used: {reason}")]
    #[diagnostic(
        code(debstrata::fetch::uri),
        help("write it like https://mirror.example.org/debian or file:/srv/debian")
    )]
    Uri {
        /// Which one: option or key, and its text where that holds no password.
        place: String,
        /// Why.
        reason: UriError,
    },
    /// A proxy of the environment.
    #[error("the proxy for {scheme}: cannot be used: {proxy}")]
    #[diagnostic(
        code(debstrata::fetch::proxy),
        help("set {scheme}_proxy like http://proxy.example.org:3128 or socks5h://proxy.example.org:1080, or unset it")
    )]
    Proxy {
        /// `http` or `https`.
        scheme: &'static str,
        /// It, without a login.
        proxy: String,
    },
    /// An index names a file outside the archive.
    #[error("{label} of {origin} has an impossible path: {path}")]
    #[diagnostic(code(debstrata::fetch::path), help("the archive's index is damaged; tell those who run {origin}"))]
    Path {
        /// Package or index.
        label: String,
        /// The origin's name.
        origin: String,
        /// The path, safe to print.
        path: String,
    },
    /// The cache failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
}

impl FetchError {
    /// From what all mirrors did.
    pub(super) fn from_attempts(origin: &Origin, label: &str, attempts: Vec<Attempt>) -> Self {
        let gone = attempts.iter().all(|attempt| attempt.outcome.is_gone());
        let unreachable = attempts.iter().all(|attempt| attempt.outcome.is_unreachable());
        let all = Box::new(Attempts { label: label.to_owned(), origin: origin.name.clone(), attempts });
        match (gone, unreachable) {
            (true, _) => Self::Gone(all),
            (_, true) => Self::Unreachable(all),
            _ => Self::Failed(all),
        }
    }

    /// What each mirror did, where mirrors were asked.
    pub fn attempts(&self) -> Option<&Attempts> {
        match self {
            Self::Gone(all) | Self::Unreachable(all) | Self::Failed(all) => Some(all),
            _ => None,
        }
    }

    /// [`Attempts::answered_gone`]; false where no mirror was asked.
    pub fn answered_gone(&self) -> bool {
        self.attempts().is_some_and(Attempts::answered_gone)
    }

    /// [`Attempts::snapshot_reached`]; false where no mirror was asked.
    pub fn snapshot_reached(&self) -> bool {
        self.attempts().is_some_and(Attempts::snapshot_reached)
    }
}

impl Failure for FetchError {
    fn class(&self) -> Class {
        match self {
            Self::NoMirror { .. } | Self::Uri { .. } | Self::Proxy { .. } => Class::User,
            Self::Cache(error) => error.class(),
            // Where every place answers, the manifest is wrong.
            Self::Tarball(all) => {
                let answered = |attempt: &Attempt| {
                    matches!(attempt.outcome, Outcome::Gone(_) | Outcome::Hash | Outcome::Size { .. })
                };
                if all.attempts.iter().all(answered) { Class::User } else { Class::World }
            }
            _ => Class::World,
        }
    }
}

/// Why one mirror's head was not taken.
#[derive(Debug)]
pub enum Refusal<E> {
    /// The mirror did not give it.
    Mirror(Outcome),
    /// The judge refused what it gave.
    Judge(E),
}

/// One mirror whose head was not taken.
#[derive(Debug)]
pub struct RefusedBy<E> {
    /// Its root, without a login.
    pub mirror: String,
    /// Whether it is a mirror that follows the archive, not the snapshot service.
    pub live: bool,
    /// Why.
    pub refusal: Refusal<E>,
}

impl<E> RefusedBy<E> {
    fn outcome(&self) -> Option<&Outcome> {
        match &self.refusal {
            Refusal::Mirror(outcome) => Some(outcome),
            Refusal::Judge(_) => None,
        }
    }
}

/// No mirror gave a head that the judge accepts.
#[derive(Debug)]
pub enum HeadError<E> {
    /// Nobody could be asked: no mirror, offline, a URI that cannot be used.
    Fetch(FetchError),
    /// All were asked.
    Refused {
        /// `dists/trixie/InRelease`.
        path: String,
        /// The origin's name.
        origin: String,
        /// In order, at least one.
        refusals: Vec<RefusedBy<E>>,
    },
}

impl<E> HeadError<E> {
    /// Every mirror that answered has no such file, and one of the archive's own mirrors (where there
    /// are any, not the snapshot service alone) did answer.
    pub fn answered_gone(&self) -> bool {
        let outcomes = || self.refusals().iter().map(RefusedBy::outcome);
        let gone = |refused: &RefusedBy<E>| refused.outcome().is_some_and(Outcome::is_gone);
        let any_live = self.refusals().iter().any(|refused| refused.live);
        outcomes().all(|outcome| outcome.is_some_and(|outcome| outcome.is_gone() || outcome.is_unreachable()))
            && self.refusals().iter().any(|refused| gone(refused) && (refused.live || !any_live))
    }

    fn refusals(&self) -> &[RefusedBy<E>] {
        match self {
            Self::Fetch(_) => &[],
            Self::Refused { refusals, .. } => refusals,
        }
    }

    /// What the judge said, in the order of the mirrors.
    pub fn judged(&self) -> impl Iterator<Item = &E> {
        self.refusals().iter().filter_map(|refused| match &refused.refusal {
            Refusal::Judge(error) => Some(error),
            Refusal::Mirror(_) => None,
        })
    }
}

impl<E: fmt::Display> fmt::Display for HeadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => error.fmt(f),
            Self::Refused { path, origin, refusals } => {
                write!(f, "no mirror of {origin} has an acceptable {path}:")?;
                for RefusedBy { mirror, refusal, .. } in refusals {
                    match refusal {
                        Refusal::Mirror(outcome) => write!(f, "\n- {mirror}: {outcome}")?,
                        Refusal::Judge(error) => write!(f, "\n- {mirror}: {error}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for HeadError<E> {}

impl<E: Diagnostic + 'static> Diagnostic for HeadError<E> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self {
            Self::Fetch(error) => error.code(),
            // The list of causes is one of one kind mostly; the first tells its own kind.
            Self::Refused { .. } => {
                self.judged().find_map(Diagnostic::code).or_else(|| Some(Box::new("debstrata::fetch::head")))
            }
        }
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self {
            Self::Fetch(error) => error.help(),
            Self::Refused { .. } => {
                let mut steps: Vec<String> = Vec::new();
                for step in self.judged().filter_map(Diagnostic::help).map(|help| help.to_string()) {
                    if !steps.contains(&step) {
                        steps.push(step);
                    }
                }
                if steps.is_empty() {
                    steps.push("check the suite's name, the network and the proxy".into());
                }
                steps.push("another mirror can be named with --mirror ARCHIVE=URI".into());
                Some(Box::new(steps.join("\n")))
            }
        }
    }
}

impl<E: Failure> Failure for HeadError<E> {
    /// The worst of what the judge said: where nothing but the network failed, nobody must edit.
    fn class(&self) -> Class {
        match self {
            Self::Fetch(error) => error.class(),
            Self::Refused { .. } => self.judged().map(Failure::class).max().unwrap_or(Class::World),
        }
    }
}

/// A mirror gave other bytes than the signed index says. The file came from elsewhere.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{mirror} was not used for {label}: it {outcome}")]
#[diagnostic(
    severity(Warning),
    code(debstrata::fetch::mirror),
    help("harmless here, for nothing is taken unverified; but this mirror is out of date, damaged or worse")
)]
pub(super) struct BadMirror {
    pub(super) mirror: String,
    pub(super) label: String,
    pub(super) outcome: Outcome,
}
