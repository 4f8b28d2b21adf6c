//! Where images are: in a registry or in a layout on this machine.
//!
//! Names and tags as the OCI distribution-spec has them ("Pulling manifests"), hosts and digests as
//! docker's references do. Nothing is guessed: a reference names its registry.

use std::{fmt, path::PathBuf, str::FromStr};

use miette::Diagnostic;

use super::Digest;
use crate::{
    fetch::is_loopback,
    ground::{Class, Failure, printable},
};

/// The longest repository, host included, in characters: clients and registries bound it so.
const LONGEST_NAME: usize = 255;
/// The longest tag, in characters.
const LONGEST_TAG: usize = 128;
/// The registry that docker means by itself.
const DOCKER: &str = "docker.io";

/// A text that is no reference, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("{text:?} is no reference to an image: {why}")]
#[diagnostic(code(debstrata::image::reference), help("{help}"))]
pub struct ReferenceError {
    /// The text, fit to print.
    pub text: String,
    /// What is wrong.
    pub why: String,
    /// What to write.
    pub help: String,
}

impl Failure for ReferenceError {
    fn class(&self) -> Class {
        Class::User
    }
}

const EXAMPLE: &str =
    "write it like registry.example.org/team/image:tag, or registry.example.org:5000/image@sha256:...";

/// A repository of a registry and, perhaps, an image in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `host` or `host:port`, as written but in lower case; IPv6 in brackets.
    pub registry: String,
    /// The repository, such as `team/image`.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest; it wins over the tag.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads `HOST[:PORT]/PATH`, without tag and digest; what follows a colon in its last part comes back
    /// as it is: a tag, or a template of tags.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn with_template(text: &str) -> Result<(Self, Option<&str>), ReferenceError> {
        let wrong = |why: &str, help: &str| ReferenceError {
            text: printable(text.as_bytes()),
            why: why.to_owned(),
            help: help.to_owned(),
        };
        no_login(text)?;
        if text.contains('@') {
            return Err(wrong(
                "a push is to a repository or a tag, and a digest comes of the image itself",
                "leave out what follows the `@`, as in registry.example.org/team/image:tag",
            ));
        }
        // A template's `{` cannot stand in a name, so the tag begins at the last colon of the last part.
        let name = text.rfind('/').map_or(0, |at| at + 1);
        let colon = text.get(name..).and_then(|last| last.find(':')).map(|at| name + at);
        let (path, template) = match colon {
            Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
            None => (text, None),
        };
        let reference: Self =
            path.parse().map_err(|error| ReferenceError { text: printable(text.as_bytes()), ..error })?;
        if template == Some("") {
            return Err(wrong("its tag is empty", EXAMPLE));
        }
        Ok((reference, template))
    }

    /// The host without its port, IPv6 in brackets.
    pub fn host(&self) -> &str {
        match self.registry.rfind(']') {
            Some(end) => self.registry.get(..=end).unwrap_or_default(),
            None => self.registry.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether the registry is on this machine, by its name alone.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// The server that answers for the registry: itself, but for docker.io.
    pub fn server(&self) -> String {
        if self.registry == DOCKER || self.registry == format!("index.{DOCKER}") {
            return format!("registry-1.{DOCKER}");
        }
        self.registry.clone()
    }

    /// The keys under which credentials for the registry are kept, the usual one first.
    pub fn keys(&self) -> Vec<String> {
        if self.server() == format!("registry-1.{DOCKER}") {
            return [format!("index.{DOCKER}"), DOCKER.to_owned(), self.server()].into();
        }
        vec![self.registry.clone()]
    }

    /// The same repository, and the image of this digest.
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// `registry/repository`
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// A login before the host is refused without being shown.
fn no_login(text: &str) -> Result<(), ReferenceError> {
    let host = text.split_once("://").map_or(text, |(_, rest)| rest).split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((_, host)) if !host.starts_with("sha256:") => Err(ReferenceError {
            text: format!("...@{}", printable(host.as_bytes())),
            why: "a reference holds no login".to_owned(),
            help: "log in with `docker login` or `podman login`, or set DEBSTRATA_REGISTRY_USER and \
                   DEBSTRATA_REGISTRY_PASSWORD"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong_with = |why: String, help: &str| ReferenceError {
            text: printable(text.chars().take(300).collect::<String>().as_bytes()),
            why,
            help: help.to_owned(),
        };
        let wrong = |why: String| wrong_with(why, EXAMPLE);
        no_login(text)?;
        if text.contains("://") {
            return Err(wrong_with(
                "it begins with a scheme".to_owned(),
                "leave out what stands before the host; \
                --plain-http asks for plain HTTP",
            ));
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| wrong("its digest is not sha256: and 64 hexadecimal digits".to_owned()))?;
                (rest, Some(digest))
            }
        };
        let Some((registry, rest)) = rest.split_once('/') else {
            return Err(wrong("it names no registry".to_owned()));
        };
        // docker's rule for telling a host from a part of a path.
        if !registry.contains(['.', ':']) && !registry.eq_ignore_ascii_case("localhost") {
            return Err(wrong_with(
                format!("it names no registry ({registry:?} is no host: it has neither a dot nor a port)"),
                EXAMPLE,
            ));
        }
        host(registry).map_err(wrong)?;
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (rest, None),
        };
        name(repository).map_err(wrong)?;
        if registry.len() + 1 + repository.len() > LONGEST_NAME {
            return Err(wrong(format!("it is longer than {LONGEST_NAME} characters")));
        }
        if let Some(tag) = tag {
            check_tag(tag).map_err(wrong)?;
        }
        Ok(Self {
            registry: registry.to_ascii_lowercase(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

fn host(text: &str) -> Result<(), String> {
    let (host, port) = match text.rfind(']') {
        Some(end) => (text.get(..=end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default()),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port_is_fine = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0),
    };
    if !port_is_fine {
        return Err(format!("{:?} is no port", port.trim_start_matches(':')));
    }
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let fine = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    if fine { Ok(()) } else { Err(format!("{host:?} is no host")) }
}

/// The distribution-spec's `<name>`.
fn name(text: &str) -> Result<(), String> {
    for part in text.split('/') {
        if part.is_empty() {
            return Err("a part of its repository is empty".to_owned());
        }
        if part.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!("repositories are written in lower case, and {part:?} is not"));
        }
        if let Some(other) =
            part.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && !"._-".contains(*c))
        {
            return Err(format!("{other:?} cannot stand in a repository"));
        }
        let ends = |c: char| c.is_ascii_alphanumeric();
        if !part.starts_with(ends) || !part.ends_with(ends) {
            return Err(format!("{part:?} does not begin and end with a letter or digit"));
        }
        let fine = |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-');
        if !part.split(|c: char| c.is_ascii_alphanumeric()).all(fine) {
            return Err(format!("{part:?} has more than one `.`, `_` or `-` between letters (`__` and `--` are fine)"));
        }
    }
    Ok(())
}

/// The distribution-spec's `<reference>` as a tag; else what is wrong with it.
pub fn check_tag(text: &str) -> Result<(), String> {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.starts_with(first) {
        return Err(format!("the tag {text:?} does not begin with a letter, digit or `_`"));
    }
    if let Some(other) = text.chars().find(|c| !first(*c) && !".-".contains(*c)) {
        return Err(format!("{other:?} cannot stand in a tag"));
    }
    if text.len() > LONGEST_TAG {
        return Err(format!("its tag is longer than {LONGEST_TAG} characters"));
    }
    Ok(())
}

/// A reference, or an OCI layout on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder and the name of an image in it; without one, the only one there.
    Layout(PathBuf, Option<String>),
    /// In a registry.
    Registry(Reference),
}

impl FromStr for Location {
    type Err = ReferenceError;

    /// `oci:PATH[:REF]`, a path that begins with `/`, `./` or `../`, or a [`Reference`].
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let path = match text.strip_prefix("oci:") {
            Some(path) => Some(path),
            None if text == "." || text == ".." => Some(text),
            None => Some(text).filter(|text| ["/", "./", "../"].iter().any(|start| text.starts_with(start))),
        };
        let Some(path) = path else { return text.parse().map(Self::Registry) };
        let (path, name) = match path.rsplit_once(':') {
            Some((path, name)) if !name.contains('/') => (path, Some(name)),
            _ => (path, None),
        };
        if path.is_empty() || name == Some("") {
            return Err(ReferenceError {
                text: printable(text.as_bytes()),
                why: if path.is_empty() { "its path is empty" } else { "its name is empty" }.to_owned(),
                help: "write it like oci:out/debian13/oci:cc".to_owned(),
            });
        }
        Ok(Self::Layout(PathBuf::from(path), name.map(str::to_owned)))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(path, name) => {
                write!(f, "oci:{}", path.display())?;
                name.as_ref().map_or(Ok(()), |name| write!(f, ":{name}"))
            }
            Self::Registry(reference) => reference.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn taken() {
        let digest = format!("sha256:{HEX}");
        for (text, registry, repository, tag, with_digest) in [
            ("registry.example.org/image", "registry.example.org", "image", None, false),
            (
                "registry.example.org:5000/a/b-c/d__e.f:1.0-x_Y",
                "registry.example.org:5000",
                "a/b-c/d__e.f",
                Some("1.0-x_Y"),
                false,
            ),
            ("localhost/a", "localhost", "a", None, false),
            ("Registry.Example.org/a--b:_x", "registry.example.org", "a--b", Some("_x"), false),
            ("127.0.0.1:5000/a", "127.0.0.1:5000", "a", None, false),
            ("[::1]:5000/a:b", "[::1]:5000", "a", Some("b"), false),
            ("host:1/a", "host:1", "a", None, false),
            (&format!("r.example.org/a:t@{digest}"), "r.example.org", "a", Some("t"), true),
            (&format!("r.example.org/a@{digest}"), "r.example.org", "a", None, true),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(
                (&*reference.registry, &*reference.repository, reference.tag.as_deref()),
                (registry, repository, tag),
                "{text}"
            );
            assert_eq!(reference.digest.is_some(), with_digest, "{text}");
            assert_eq!(reference.to_string(), text.replace("Registry.Example", "registry.example"));
        }
    }

    #[test]
    fn refused() {
        for (text, why) in [
            ("", "names no registry"),
            ("image", "names no registry"),
            ("team/image:tag", "\"team\" is no host: it has neither a dot nor a port"),
            ("https://registry.example.org/a", "begins with a scheme"),
            ("registry.example.org/", "a part of its repository is empty"),
            ("registry.example.org/a//b", "a part of its repository is empty"),
            ("registry.example.org/Team/a", "lower case, and \"Team\" is not"),
            ("registry.example.org/a b", "' ' cannot stand in a repository"),
            ("registry.example.org/../a", "does not begin and end with a letter or digit"),
            ("registry.example.org/a..b", "more than one"),
            ("registry.example.org/a-", "does not begin and end"),
            ("registry.example.org/a:", "does not begin with a letter"),
            ("registry.example.org/a:-x", "does not begin with a letter"),
            ("registry.example.org/a:x+y", "'+' cannot stand in a tag"),
            ("registry.example.org/a@sha256:12", "its digest is not"),
            ("registry.example.org/a@md5:12", "its digest is not"),
            ("registry.example.org:0/a", "\"0\" is no port"),
            ("registry.example.org:x/a", "\"x\" is no port"),
            ("regi_stry.example.org/a", "is no host"),
            (".example.org/a", "is no host"),
            ("user:pw@registry.example.org/a", "holds no login"),
        ] {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(error.why.contains(why), "{text}: {}", error.why);
            assert!(!error.help.is_empty());
        }
        let long = format!("registry.example.org/{}", "a".repeat(300));
        assert!(long.parse::<Reference>().unwrap_err().why.contains("longer than 255"));
        let long = format!("registry.example.org/a:{}", "a".repeat(129));
        assert!(long.parse::<Reference>().unwrap_err().why.contains("longer than 128"));
    }

    #[test]
    fn templates_follow_the_last_colon_of_the_name() {
        for (text, template) in [
            ("registry.example.org:5000/a", None),
            ("registry.example.org:5000/a/b:{tier}{-variant}", Some("{tier}{-variant}")),
            ("registry.example.org/a:1.0", Some("1.0")),
        ] {
            assert_eq!(Reference::with_template(text).unwrap().1, template);
        }
        for login in ["me:s3cret@registry.example.org/a:x", "https://me:s3cret@registry.example.org/a"] {
            for error in [Reference::with_template(login).unwrap_err(), login.parse::<Reference>().unwrap_err()] {
                assert_eq!(error.why, "a reference holds no login");
                assert!(!format!("{error} {}", error.help).contains("s3cret"));
            }
        }
        for wrong in ["registry.example.org/a:", "registry.example.org/a@sha256:00", "a:{tier}"] {
            assert!(Reference::with_template(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn locations() {
        for (text, path, name) in [
            ("oci:out/debian13/oci", "out/debian13/oci", None),
            ("oci:out/debian13/oci:cc", "out/debian13/oci", Some("cc")),
            ("./x:cc", "./x", Some("cc")),
            ("/a:b/c", "/a:b/c", None),
        ] {
            assert_eq!(text.parse::<Location>().unwrap(), Location::Layout(path.into(), name.map(str::to_owned)));
        }
        for wrong in ["oci:", "oci::cc", "/x:", "image"] {
            assert!(wrong.parse::<Location>().is_err(), "{wrong}");
        }
        assert!(matches!("registry.example.org/a".parse(), Ok(Location::Registry(_))));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(text in "[a-zA-Z0-9./:@_\\[\\]{}é -]{0,60}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
            let _ = text.parse::<Location>();
            let _ = Reference::with_template(&text);
        }
    }
}
