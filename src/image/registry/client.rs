//! One repository of a registry: requests with their logins, redirects and retries.

use std::{fmt, sync::OnceLock, thread};

use super::{Settings, auth::Auth, error::RegistryError};
use crate::{
    fetch::{Answer, Body, Call, Failed, Outcome, Target, Trouble, Wire},
    ground::{printable, read_at_most},
    image::{Digest, reference::Reference},
};

/// Redirects in a row: a registry to its store, and that store's own move.
const MOST_REDIRECTS: usize = 5;
/// How many times one request may be answered with 401: for want of a token, and for those that other threads saw end.
const MOST_LOGINS: usize = 3;
/// The longest error that is read, in bytes.
const LONGEST_WORDS: u64 = 64 << 10;

/// What is to be done in a repository; tokens are asked for accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Pull,
    /// Reading and writing.
    Push,
}

/// One repository of a registry. Threads may share it.
pub struct Repository {
    pub(super) settings: Settings,
    pub(super) reference: Reference,
    pub(super) wire: Wire,
    auth: Auth,
    base: OnceLock<Target>,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.reference.place())
    }
}

/// A request in the making.
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    pub(super) target: Target,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body<'a>,
    pub(super) patient: bool,
    /// What it is for, in messages.
    pub(super) what: String,
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: &'static str, target: Target, what: String) -> Self {
        Self { method, target, headers: Vec::new(), body: Body::None, patient: false, what }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: Body<'a>) -> Self {
        (self.body, self.patient) = (body, true);
        self
    }
}

/// A status that may be another one a little later.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// A failed request: for the moment, or for good.
pub(super) enum Fault {
    Trouble(Trouble),
    Source(std::io::Error),
    Error(RegistryError),
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        Self::Error(error)
    }
}

impl Repository {
    /// The repository of `reference`; blobs of the repositories `mounted`, of the same registry, may be
    /// mounted into it. Nobody is asked yet.
    ///
    /// # Errors
    /// A proxy that is no URI.
    pub fn new(
        settings: &Settings,
        reference: &Reference,
        access: Access,
        mounted: &[String],
    ) -> Result<Self, RegistryError> {
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let mut scopes = vec![format!("repository:{}:{actions}", reference.repository)];
        scopes.extend(mounted.iter().map(|from| format!("repository:{from}:pull")));
        Ok(Self {
            wire: Wire::new(&settings.fetch)?,
            auth: Auth::new(reference, &settings.credentials, scopes, settings.plain_http),
            reference: reference.clone(),
            settings: settings.clone(),
            base: OnceLock::new(),
        })
    }

    /// The repository.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The registry's root.
    pub(super) fn base(&self) -> Result<&Target, RegistryError> {
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        let server = self.reference.server();
        let at = |scheme: &str| {
            Target::parse(&format!("{scheme}://{server}/v2/")).map_err(|error| RegistryError::Lies {
                registry: self.reference.registry.clone(),
                what: "its own name".to_owned(),
                why: error.to_string(),
            })
        };
        let plain = at("http")?;
        let base = match self.settings.plain_http {
            true => plain,
            // On this machine nobody listens in: a registry there need not have TLS. It is asked without
            // a login.
            false if self.reference.is_loopback() && self.speaks_plain(&plain) => plain,
            false => at("https")?,
        };
        Ok(self.base.get_or_init(|| base))
    }

    fn speaks_plain(&self, base: &Target) -> bool {
        let call =
            Call { method: "GET", target: base, headers: &[], authorization: None, body: Body::None, patient: false };
        let mut tries = 1;
        loop {
            match self.wire.send(&call) {
                Ok(mut answer) => {
                    answer.drain();
                    // Go's servers answer 400 where they want TLS.
                    if !is_passing(answer.status) || tries >= self.wire.tries() {
                        return answer.status != 400;
                    }
                }
                // Nobody there: https will say so, in its words.
                Err(_) if tries >= self.wire.tries() => return false,
                Err(Failed::Wire(trouble)) if trouble.again && !trouble.outcome.is_unreachable() => {}
                Err(_) => return false,
            }
            thread::sleep(self.wire.pause(tries, None));
            tries += 1;
        }
    }

    /// Asks the registry for nothing, so that the login is settled before many threads need it.
    pub(super) fn greet(&self) -> Result<(), RegistryError> {
        let what = "access".to_owned();
        let mut answer = self.ask(&Ask::new("GET", self.base()?.clone(), what))?;
        if matches!(answer.status, 401 | 403) {
            return Err(self.refusal("access", &mut answer));
        }
        answer.drain();
        Ok(())
    }

    /// `/v2/<name>/<path>`
    pub(super) fn target(&self, path: &str) -> Result<Target, RegistryError> {
        let below = format!("{}/{path}", self.reference.repository);
        self.base()?.follow(below.as_bytes()).map_err(|why| self.lies("its own name", why))
    }

    /// Asks until there is an answer that is not [`is_passing`]: any other status is one.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, RegistryError> {
        let mut tries = 1;
        loop {
            let trouble = match self.once(ask) {
                Ok(answer) => return Ok(answer),
                Err(Fault::Error(error)) => return Err(error),
                Err(Fault::Source(error)) => {
                    Trouble { outcome: Outcome::Broken(error.to_string()), again: false, after: None }
                }
                Err(Fault::Trouble(trouble)) => trouble,
            };
            if !trouble.again || tries >= self.wire.tries() {
                return Err(self.transport(&ask.what, trouble.outcome));
            }
            thread::sleep(self.wire.pause(tries, trouble.after));
            tries += 1;
        }
    }

    /// One request: with a login where one is asked for, redirected where the registry says so.
    pub(super) fn once(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        let base = self.base()?;
        let mut target = ask.target.clone();
        let (mut logins, mut redirects) = (0, 0);
        loop {
            // Never to another server: a store that a registry redirects to has a token in its URI.
            let ours = target.same_server(base);
            let authorization = if ours { self.auth.header(&self.wire, base)? } else { None };
            let call = Call {
                method: ask.method,
                target: &target,
                headers: &ask.headers,
                authorization: authorization.as_deref(),
                body: ask.body,
                patient: ask.patient,
            };
            let mut answer = match self.wire.send(&call) {
                Ok(answer) => answer,
                Err(Failed::Wire(trouble)) => return Err(Fault::Trouble(trouble)),
                Err(Failed::Source(error)) => return Err(Fault::Source(error)),
            };
            match answer.status {
                401 if ours && logins < MOST_LOGINS => {
                    if !self.auth.answer(&self.wire, base, &answer, authorization.as_deref())? {
                        return Ok(answer);
                    }
                    answer.drain();
                    logins += 1;
                }
                // 303 is an answer of its own; here it leads to a GET of what was asked for.
                301 | 302 | 303 | 307 | 308 if redirects < MOST_REDIRECTS => {
                    let Some(location) = answer.header_bytes("location") else { return Ok(answer) };
                    let may = matches!(ask.method, "GET" | "HEAD") || matches!(answer.status, 307 | 308);
                    if !may {
                        return Ok(answer);
                    }
                    target = target.follow(location).map_err(|why| {
                        Fault::Trouble(Trouble { outcome: Outcome::Redirect(why), again: false, after: None })
                    })?;
                    answer.drain();
                    redirects += 1;
                }
                301 | 302 | 303 | 307 | 308 if redirects >= MOST_REDIRECTS => {
                    let outcome = Outcome::Redirect(format!("more than {MOST_REDIRECTS} in a row"));
                    return Err(Fault::Trouble(Trouble { outcome, again: false, after: None }));
                }
                status if is_passing(status) => {
                    let after = answer.retry_after();
                    answer.drain();
                    return Err(Fault::Trouble(Trouble { outcome: Outcome::Status(status), again: true, after }));
                }
                _ => return Ok(answer),
            }
        }
    }

    pub(super) fn transport(&self, what: &str, outcome: Outcome) -> RegistryError {
        RegistryError::Transport { registry: self.reference.registry.clone(), what: what.to_owned(), outcome }
    }

    pub(super) fn lies(&self, what: &str, why: impl Into<String>) -> RegistryError {
        RegistryError::Lies { registry: self.reference.registry.clone(), what: what.to_owned(), why: why.into() }
    }

    /// What an answer means that is none of those hoped for.
    pub(super) fn refusal(&self, what: &str, answer: &mut Answer) -> RegistryError {
        let registry = self.reference.registry.clone();
        let status = answer.status;
        let says = self.auth.without_secrets(words(answer));
        let what = what.to_owned();
        match status {
            401 | 403 => RegistryError::Unauthorized { registry, what, status, says, tried: self.auth.tried() },
            _ => RegistryError::Refused { registry, what, status, says },
        }
    }

    /// Compares `Docker-Content-Digest`, where there is one, with what it must be.
    pub(super) fn check_digest(&self, what: &str, answer: &Answer, wanted: &Digest) -> Result<(), RegistryError> {
        match answer.header("docker-content-digest") {
            Some(told) if told.trim().parse::<Digest>().ok() != Some(*wanted) => {
                let told = printable(told.get(..200).unwrap_or(told).as_bytes());
                Err(self.lies(what, format!("it names the digest {told}, and {wanted} was meant")))
            }
            _ => Ok(()),
        }
    }
}

/// The errors in an answer (distribution-spec, "Error Codes"), with `: ` before them; else nothing.
fn words(answer: &mut Answer) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: Option<String>,
    }
    let Ok(bytes) = read_at_most(answer.body(), LONGEST_WORDS) else { return String::new() };
    let Ok(said) = serde_json::from_slice::<Said>(&bytes) else { return String::new() };
    let each = said.errors.iter().take(3).map(|one| match &one.message {
        Some(message) => format!("{} ({message})", one.code),
        None => one.code.clone(),
    });
    let text: String = each.collect::<Vec<_>>().join(", ").chars().take(300).collect();
    if text.is_empty() { text } else { format!(": {}", printable(text.as_bytes())) }
}
