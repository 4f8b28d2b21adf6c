//! From a 401 to an `Authorization` header: Basic, and the token flow of docker's registries.

use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::{
    challenge::{Challenge, challenges},
    credentials::{Credentials, Found, Proof},
    error::RegistryError,
};
use crate::{
    fetch::{Answer, Body, Call, Failed, Outcome, Target, Wire, is_loopback},
    ground::read_at_most,
    image::reference::Reference,
};

/// The longest answer of a token service, in bytes.
const LONGEST_TOKEN: u64 = 1 << 20;
/// How long a token is good that does not say so (token specification).
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
/// A token is asked for anew so long before its end.
const MARGIN: Duration = Duration::from_secs(10);

/// What authorises the requests to one repository. Threads may share it.
pub(super) struct Auth {
    reference: Reference,
    credentials: Credentials,
    /// `repository:team/image:pull,push`, one a repository.
    scopes: Vec<String>,
    plain_http: bool,
    found: OnceLock<Found>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The header that requests carry.
    header: Option<String>,
    /// When it is of no use any more.
    until: Option<Instant>,
    /// What asked for it.
    challenge: Option<Challenge>,
    /// All secrets that were ever sent, so that no text shows one.
    secrets: Vec<String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Auth {
    pub(super) fn new(reference: &Reference, credentials: &Credentials, scopes: Vec<String>, plain_http: bool) -> Self {
        Self {
            reference: reference.clone(),
            credentials: credentials.clone(),
            scopes,
            plain_http,
            found: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header for the next request: none before a registry asked for one. A token that is about to
    /// end is replaced.
    pub(super) fn header(&self, wire: &Wire, base: &Target) -> Result<Option<String>, RegistryError> {
        let mut state = self.state();
        if state.until.is_some_and(|until| Instant::now() >= until)
            && let Some(challenge) = state.challenge.clone()
        {
            self.renew(wire, base, &challenge, &mut state)?;
        }
        Ok(state.header.clone())
    }

    /// Answers a 401 to a request that carried `sent`. Whether asking again makes sense.
    pub(super) fn answer(
        &self,
        wire: &Wire,
        base: &Target,
        answer: &Answer,
        sent: Option<&str>,
    ) -> Result<bool, RegistryError> {
        let mut state = self.state();
        if state.header.as_deref() != sent {
            // Another thread was faster.
            return Ok(true);
        }
        let offered: Vec<Challenge> = answer.all("www-authenticate").flat_map(challenges).collect();
        let of = |scheme: &str| offered.iter().find(|challenge| challenge.scheme == scheme);
        let Some(challenge) = of("bearer").or_else(|| of("basic")) else { return Ok(false) };
        self.renew(wire, base, challenge, &mut state)
    }

    /// Which credential is tried, in words.
    pub(super) fn tried(&self) -> String {
        self.found.get().map_or_else(|| "no credential".to_owned(), |found| found.from.clone())
    }

    /// A text of the registry's, unless it holds a secret of ours.
    pub(super) fn without_secrets(&self, text: String) -> String {
        let state = self.state();
        match state.secrets.iter().any(|secret| text.contains(secret.as_str())) {
            true => "(its words hold the credential and are not shown)".to_owned(),
            false => text,
        }
    }

    fn found(&self) -> Result<Found, RegistryError> {
        if let Some(found) = self.found.get() {
            return Ok(found.clone());
        }
        let found = self.credentials.find(&self.reference)?;
        Ok(self.found.get_or_init(|| found).clone())
    }

    /// Makes a new header; false: there is none to be had.
    fn renew(
        &self,
        wire: &Wire,
        base: &Target,
        challenge: &Challenge,
        state: &mut State,
    ) -> Result<bool, RegistryError> {
        let found = self.found()?;
        let (header, life) = match (challenge.scheme.as_str(), &found.proof) {
            ("basic", Proof::Login(login)) => (login.basic(), None),
            ("bearer", Proof::Bearer(token)) => (format!("Bearer {token}"), None),
            ("bearer", proof) => {
                state.keep(proof);
                let (token, life) = self.token(wire, base, challenge, &found)?;
                (format!("Bearer {token}"), Some(life))
            }
            _ => return Ok(false),
        };
        state.keep(&found.proof);
        state.keep_text(header.split(' ').nth(1).unwrap_or_default());
        let same = state.header.as_ref() == Some(&header);
        state.header = Some(header);
        state.until = life.and_then(|life| Instant::now().checked_add(life));
        state.challenge = Some(challenge.clone());
        Ok(!same)
    }

    /// Asks the token service (distribution, "Token Authentication").
    fn token(
        &self,
        wire: &Wire,
        base: &Target,
        challenge: &Challenge,
        found: &Found,
    ) -> Result<(String, Duration), RegistryError> {
        let lies = |why: String| RegistryError::Lies {
            registry: self.reference.registry.clone(),
            what: "a request without a token".to_owned(),
            why,
        };
        let realm = challenge.parameters.get("realm").ok_or_else(|| lies("its challenge has no realm".to_owned()))?;
        let realm =
            Target::parse(realm).map_err(|error| lies(format!("its token service cannot be asked: {error}")))?;
        let plain_is_fine = self.plain_http || is_loopback(realm.host());
        if !realm.is_https() && (base.is_https() || !plain_is_fine) {
            return Err(lies(format!("its token service {realm} is not reached over https")));
        }
        let mut scopes = self.scopes.clone();
        // A registry may know the repository under another name.
        if let Some(other) = challenge.parameters.get("scope") {
            let named = |scope: &str| scope.rsplit_once(':').map(|(name, _)| name.to_owned());
            for scope in other.split(' ').filter(|scope| !scope.is_empty()) {
                if !scopes.iter().any(|known| named(known) == named(scope)) {
                    scopes.push(scope.to_owned());
                }
            }
        }
        let service = challenge.parameters.get("service");
        let (method, target, form, authorization) = match &found.proof {
            Proof::Identity(token) => {
                let mut form =
                    vec![("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "debstrata")];
                form.extend(service.map(|service| ("service", service.as_str())));
                let scope = scopes.join(" ");
                form.push(("scope", &scope));
                ("POST", realm.clone(), Some(encoded(&form)), None)
            }
            proof => {
                let mut target = realm.clone();
                if let Some(service) = service {
                    target = target.with_query("service", service);
                }
                for scope in &scopes {
                    target = target.with_query("scope", scope);
                }
                let login = match proof {
                    Proof::Login(login) => Some(login),
                    _ => None,
                };
                if let Some(login) = login {
                    target = target.with_query("account", login.user());
                }
                ("GET", target, None, login.map(|login| login.basic()))
            }
        };
        let headers: &[(&str, String)] = match form {
            Some(_) => &[("content-type", "application/x-www-form-urlencoded".to_owned())],
            None => &[],
        };
        let call = Call {
            method,
            target: &target,
            headers,
            authorization: authorization.as_deref(),
            body: form.as_ref().map_or(Body::None, |form| Body::Bytes(form.as_bytes())),
            patient: false,
        };
        let what = format!("a token of {realm}");
        let transport = |outcome| RegistryError::Transport {
            registry: self.reference.registry.clone(),
            what: what.clone(),
            outcome,
        };
        let mut tries = 1;
        let mut answer = loop {
            let (outcome, again, after) = match wire.send(&call) {
                Ok(answer) if super::client::is_passing(answer.status) => {
                    (Outcome::Status(answer.status), true, answer.retry_after())
                }
                Ok(answer) => break answer,
                Err(Failed::Wire(trouble)) => (trouble.outcome, trouble.again, trouble.after),
                Err(Failed::Source(error)) => (Outcome::Broken(error.to_string()), false, None),
            };
            if !again || tries >= wire.tries() {
                return Err(transport(outcome));
            }
            std::thread::sleep(wire.pause(tries, after));
            tries += 1;
        };
        if answer.status != 200 {
            // The token service's words are not shown: it got the secret.
            return Err(RegistryError::Unauthorized {
                registry: self.reference.registry.clone(),
                what,
                status: answer.status,
                says: String::new(),
                tried: found.from.clone(),
            });
        }
        let bytes = read_at_most(answer.body(), LONGEST_TOKEN)
            .map_err(|error| transport(Outcome::Broken(format!("its token cannot be read: {error}"))))?;
        let token: Option<Token> = serde_json::from_slice(&bytes).ok();
        let life = token.as_ref().and_then(|token| token.expires_in).map_or(SHORTEST_LIFE, Duration::from_secs);
        let token = token.and_then(|token| token.token.or(token.access_token)).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| lies(format!("{realm} gives no token")))?;
        Ok((token, life.max(SHORTEST_LIFE) - MARGIN))
    }
}

impl State {
    fn keep(&mut self, proof: &Proof) {
        match proof {
            Proof::Nothing => {}
            Proof::Login(login) => {
                self.keep_text(login.password());
                self.keep_text(login.basic().trim_start_matches("Basic "));
            }
            Proof::Identity(token) | Proof::Bearer(token) => self.keep_text(token),
        }
    }

    fn keep_text(&mut self, secret: &str) {
        if !secret.is_empty() && !self.secrets.iter().any(|known| known == secret) {
            self.secrets.push(secret.to_owned());
        }
    }
}

/// `application/x-www-form-urlencoded`
fn encoded(form: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(byte.into()),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
            out
        })
    };
    form.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect::<Vec<_>>().join("&")
}
