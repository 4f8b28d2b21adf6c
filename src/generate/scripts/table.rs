//! What is known about maintainer scripts: `table.toml`, read once.

use std::sync::LazyLock;

use serde::Deserialize;

use super::Effect;

/// The table.
pub(super) static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("table.toml")).expect("a test reads the table"));

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Table {
    /// Members of control.tar.
    pub(super) members: Vec<Member>,
    /// Parts that debhelper writes.
    pub(super) snippets: Vec<Snippet>,
    /// Programs whose calls leave nothing in an image.
    pub(super) programs: Vec<Programs>,
    /// Files that scripts read functions from, which leave nothing either.
    pub(super) libraries: Vec<String>,
    /// Program interpreters of all architectures.
    pub(super) loaders: Vec<String>,
    /// Scripts that somebody has looked at.
    #[serde(default)]
    pub(super) scripts: Vec<Script>,
    /// Debian's users and groups of fixed numbers, as in passwd(5) and group(5).
    pub(super) passwd: String,
    pub(super) group: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Snippet {
    pub(super) tool: String,
    pub(super) reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Programs {
    pub(super) names: Vec<String>,
    /// For readers of the table.
    #[serde(rename = "reason")]
    _reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    /// Its name; a `*` stands for a version.
    pub(super) package: String,
    pub(super) script: String,
    /// Fingerprints of what is left of the script.
    pub(super) calls: Vec<String>,
    effect: Kind,
    /// The key in `[generate]`, where something is made.
    by: Option<String>,
    /// Whether nothing of the script is made but by this row.
    #[serde(default)]
    pub(super) alone: bool,
    /// A script that says plainly what the real one comes to; read in its place.
    #[serde(default)]
    pub(super) instead: String,
    /// The effect is the one above only where something lies below one of these folders, else none.
    #[serde(default)]
    pub(super) needs: Vec<String>,
    pub(super) reason: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Made,
    None,
    Missing,
}

impl Table {
    pub(super) fn is_harmless(&self, program: &str) -> bool {
        self.programs.iter().any(|row| {
            row.names.iter().any(|name| match name.strip_suffix('*') {
                Some(prefix) => program.starts_with(prefix),
                None => name == program,
            })
        })
    }
}

impl Script {
    pub(super) fn is_for(&self, package: &str, script: &str) -> bool {
        self.script == script
            && match self.package.split_once('*') {
                None => self.package == package,
                Some((before, after)) => package
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(after))
                    .is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')),
            }
    }

    pub(super) fn effect(&'static self) -> Effect {
        match (self.effect, &self.by) {
            (Kind::Made, Some(key)) => Effect::Made(key),
            (Kind::Made, None) | (Kind::None, _) => Effect::None,
            (Kind::Missing, _) => Effect::Missing,
        }
    }
}
