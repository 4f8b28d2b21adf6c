//! Who we are to a registry: the environment's login, the files that docker and podman keep
//! (docker's config.json, containers-auth.json(5)), and the programs that these name.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::Deserialize;

use super::error::RegistryError;
use crate::{
    ground::{from_base64, open_regular, printable, read_at_most, to_base64},
    image::reference::Reference,
};

/// The longest file of credentials that is read, in bytes.
const LONGEST_FILE: u64 = 4 << 20;
/// The longest answer of a credential program, in bytes.
const LONGEST_ANSWER: u64 = 64 << 10;
/// The user name by which a credential program says that its secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// A user and a password. Neither `Debug` nor any error shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    password: String,
}

impl Login {
    /// A login.
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned() }
    }

    /// The value of an `Authorization: Basic` header (RFC 7617).
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", to_base64(format!("{}:{}", self.user, self.password).as_bytes()))
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Where credentials come from. All of it comes in as values.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// A login for the registry (`host[:port]`) that the command names, and for no other.
    pub login: Option<(String, Login)>,
    /// Files like docker's config.json, asked in this order; one that is not there has none.
    pub files: Vec<PathBuf>,
}

/// What proves who we are.
#[derive(Clone)]
pub(super) enum Proof {
    Nothing,
    Login(Login),
    /// A token that is exchanged for another at the token service.
    Identity(String),
    /// A token that is sent as it is.
    Bearer(String),
}

/// A proof and where it was found, in words.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) proof: Proof,
    pub(super) from: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity: Option<String>,
    #[serde(default, rename = "registrytoken")]
    registry: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl Credentials {
    /// The credential for a repository: the environment's, else the first file's that has one.
    pub(super) fn find(&self, reference: &Reference) -> Result<Found, RegistryError> {
        if let Some((_, login)) = self.login.as_ref().filter(|(registry, _)| *registry == reference.registry) {
            let from = format!("user {} of DEBSTRATA_REGISTRY_USER", printable(login.user.as_bytes()));
            return Ok(Found { proof: Proof::Login(login.clone()), from });
        }
        for path in &self.files {
            let fail = |why: String| RegistryError::Credentials {
                registry: reference.registry.clone(),
                why: format!("{}: {why}", path.display()),
            };
            let bytes = match open_regular(path).and_then(|file| read_at_most(file, LONGEST_FILE)) {
                Ok(bytes) => bytes,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    continue;
                }
                Err(error) => return Err(fail(error.to_string())),
            };
            // serde's message may quote a value, which may be a secret.
            let file: File = serde_json::from_slice(&bytes).map_err(|error| {
                fail(format!("it is no JSON of credentials (line {}, column {})", error.line(), error.column()))
            })?;
            if let Some((proof, user)) = file.find(reference).map_err(fail)? {
                let user = user.map_or_else(String::new, |user| format!("user {} of ", printable(user.as_bytes())));
                return Ok(Found { proof, from: format!("{user}{}", path.display()) });
            }
        }
        let from = match &*self.files {
            [] => "no credential".to_owned(),
            files => {
                let files: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
                format!("no credential (none for it in {})", files.join(", "))
            }
        };
        Ok(Found { proof: Proof::Nothing, from })
    }
}

impl File {
    /// Order as in docker: the registry's own program, the store for all, the file itself.
    fn find(&self, reference: &Reference) -> Result<Option<(Proof, Option<String>)>, String> {
        let keys = reference.keys();
        let program = keys.iter().find_map(|key| self.cred_helpers.get(key).map(|name| (name, key)));
        let store = self.creds_store.as_ref().filter(|name| !name.is_empty());
        if let Some((name, key)) = program.or_else(|| Some((store?, keys.first()?))) {
            // docker keeps its own registry's login under this old address.
            let asked = if keys.len() > 1 { format!("https://{key}/v1/") } else { key.clone() };
            if let Some(answer) = ask(name, &asked)? {
                let user = format!("{} from docker-credential-{}", answer.user, printable(name.as_bytes()));
                return Ok(Some(match answer.user == TOKEN_USER {
                    true => (Proof::Identity(answer.secret), None),
                    false => (Proof::Login(Login { user: answer.user, password: answer.secret }), Some(user)),
                }));
            }
        }
        // The most specific of registry/a/b, registry/a, registry.
        let mut names: Vec<String> = Vec::new();
        for key in &keys {
            let mut path = format!("{key}/{}", reference.repository);
            while path.len() > key.len() {
                names.push(path.clone());
                path.truncate(path.rfind('/').unwrap_or(key.len()));
            }
            names.push(key.clone());
        }
        let plain = |written: &str| {
            let written = written.split_once("://").map_or(written, |(_, rest)| rest);
            let written = written.trim_end_matches('/');
            let old = written.strip_suffix("/v1").or_else(|| written.strip_suffix("/v2"));
            old.unwrap_or(written).to_owned()
        };
        for name in names {
            for (_, entry) in self.auths.iter().filter(|(written, _)| plain(written) == name) {
                if let Some(found) = entry.proof()? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}

impl Entry {
    fn proof(&self) -> Result<Option<(Proof, Option<String>)>, String> {
        let full = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = full(&self.registry) {
            return Ok(Some((Proof::Bearer(token), None)));
        }
        if let Some(token) = full(&self.identity) {
            return Ok(Some((Proof::Identity(token), None)));
        }
        let login = match (full(&self.auth), full(&self.username)) {
            (Some(auth), _) => {
                let text = from_base64(&auth).and_then(|bytes| String::from_utf8(bytes).ok());
                let text = text.ok_or("an `auth` is no base64 of text")?;
                let (user, password) = text.split_once(':').ok_or("an `auth` is no user:password")?;
                // docker pads with zeros.
                Login::new(user, password.trim_end_matches('\0'))
            }
            (None, Some(user)) => Login::new(&user, self.password.as_deref().unwrap_or_default()),
            (None, None) => return Ok(None),
        };
        let user = login.user.clone();
        Ok(Some((Proof::Login(login), Some(user))))
    }
}

/// Runs `docker-credential-NAME get` with the registry on its standard input; `None`: it has none. It may
/// ask its user something, so it is waited for.
fn ask(name: &str, registry: &str) -> Result<Option<Answer>, String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !name.bytes().all(fine) {
        return Err(format!("{:?} is no name of a credential program", printable(name.as_bytes())));
    }
    let program = format!("docker-credential-{name}");
    let fail = |why: &dyn fmt::Display| format!("{program}: {why}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| fail(&error))?;
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(registry.as_bytes()) {
            // It knows its answer without having read.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(fail(&error)),
            _ => {}
        }
    }
    let output = child.stdout.take().map_or_else(|| Ok(Vec::new()), |output| read_at_most(output, LONGEST_ANSWER));
    let status = child.wait().map_err(|error| fail(&error))?;
    let output = output.map_err(|error| fail(&error))?;
    if !status.success() {
        // The words that all of these programs use (docker's credentials.ErrCredentialsNotFound).
        let absent = String::from_utf8_lossy(&output).contains("credentials not found");
        return if absent { Ok(None) } else { Err(fail(&status)) };
    }
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| fail(&"its answer is no JSON of a credential"))?;
    Ok(Some(answer).filter(|answer| !answer.secret.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str, reference: &str) -> Result<String, String> {
        let file: File = serde_json::from_str(json).unwrap();
        Ok(match file.find(&reference.parse().unwrap())? {
            None => "none".to_owned(),
            Some((Proof::Login(login), _)) => format!("{}:{}", login.user, login.password),
            Some((Proof::Identity(token), _)) => format!("identity {token}"),
            Some((Proof::Bearer(token), _)) => format!("bearer {token}"),
            Some((Proof::Nothing, _)) => "nothing".to_owned(),
        })
    }

    #[test]
    fn entries_of_a_file() {
        let json = r#"{"auths": {
            "r.example.org": {"auth": "bWU6b25l"},
            "https://s.example.org:5000/v2/": {"username": "you", "password": "two"},
            "r.example.org/team": {"auth": "dGVhbTp0aHJlZQ=="},
            "t.example.org": {"auth": "eDp5", "identitytoken": "four"},
            "u.example.org": {"registrytoken": "five"},
            "v.example.org": {},
            "https://index.docker.io/v1/": {"auth": "aHViOnNpeA=="},
            "w.example.org": {"auth": "***"}
        }, "credsStore": ""}"#;
        for (reference, wanted) in [
            ("r.example.org/a", "me:one"),
            ("r.example.org/team/a", "team:three"),
            ("r.example.org/teams/a", "me:one"),
            ("r.example.org:5000/a", "none"),
            ("s.example.org:5000/a", "you:two"),
            ("s.example.org/a", "none"),
            ("t.example.org/a", "identity four"),
            ("u.example.org/a", "bearer five"),
            ("v.example.org/a", "none"),
            ("docker.io/library/a", "hub:six"),
        ] {
            assert_eq!(found(json, reference).unwrap(), wanted, "{reference}");
        }
        let error = found(json, "w.example.org/a").unwrap_err();
        assert_eq!(error, "an `auth` is no base64 of text");
    }

    #[test]
    fn programs_are_named_plainly_and_missing_ones_are_said() {
        for (name, says) in [("../x", "is no name"), ("debstrata-none-such", "docker-credential-debstrata-none-such: ")]
        {
            let error = found(&format!(r#"{{"credsStore": "{name}"}}"#), "r.example.org/a").unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
