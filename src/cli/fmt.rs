//! `fmt`: manifests in their canonical form.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    ground::{Source, printable, read_at_most, write_through},
    manifest::{self, LARGEST_MANIFEST, Manifest, ManifestError},
    pipeline::{self, Failures},
};

/// Bring manifests into their canonical form; comments and meaning stay
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Fmt {
    /// Which manifests [default: all of the project]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only say which are not in it (exit status 1 where one is not), writing nothing
    #[arg(long)]
    check: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Formatted {
    /// Those that were, or with `--check` would be, written anew.
    changed: Vec<String>,
    /// How many were looked at.
    files: usize,
}

impl Fmt {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let root = &session.global.directory;
        let files = if self.files.is_empty() { manifests(root)? } else { self.files.clone() };
        let mut failures = Vec::new();
        let mut changed = Vec::new();
        for path in &files {
            match self.one(path) {
                Ok(true) => changed.push(shown(root, path)),
                Ok(false) => {}
                Err(more) => failures.extend(more.0),
            }
        }
        if !failures.is_empty() {
            return Err(Failures(failures));
        }
        let formatted = Formatted { changed, files: files.len() };
        session.reporter.result(&formatted, || self.text(&formatted)).map_err(pipeline::stdout_failed)?;
        Ok(if self.check && !formatted.changed.is_empty() { Answer::No } else { Answer::Yes })
    }

    /// Formats one file; whether that changes it.
    fn one(&self, path: &Path) -> Result<bool, Failures> {
        let text = read(path)?;
        let source = Source::new(&printable(path.as_os_str().as_encoded_bytes()), &text);
        let kind = if path.ends_with("archive.toml") { Manifest::Archive } else { Manifest::Tier };
        let formatted = manifest::format(kind, &source)?;
        if formatted == text {
            return Ok(false);
        }
        if !self.check {
            write_through(path, formatted.as_bytes())?;
        }
        Ok(true)
    }

    fn text(&self, formatted: &Formatted) -> String {
        let mut text: String = formatted.changed.iter().map(|name| format!("{name}\n")).collect();
        let verb = if self.check { "to format" } else { "formatted" };
        text.push_str(&format!("{} of {} manifests {verb}\n", formatted.changed.len(), formatted.files));
        text
    }
}

fn shown(root: &Path, path: &Path) -> String {
    printable(path.strip_prefix(root).unwrap_or(path).as_os_str().as_encoded_bytes())
}

fn read(path: &Path) -> Result<String, Failures> {
    let failed = |source: io::Error| ManifestError::Read { path: path.to_owned(), source };
    let bytes = fs::File::open(path).and_then(|file| read_at_most(file, LARGEST_MANIFEST)).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| {
        let shown = printable(path.as_os_str().as_encoded_bytes());
        UsageError::new(format!("{shown} is no UTF-8"), "TOML is UTF-8; save the file in that encoding").into()
    })
}

/// Every `manifests/*/*.toml`, sorted; hidden names are nobody's business.
fn manifests(root: &Path) -> Result<Vec<PathBuf>, Failures> {
    let mut found = Vec::new();
    for folder in entries(&root.join("manifests"))? {
        if folder.is_dir() {
            let files = entries(&folder)?;
            found.extend(files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml")));
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let failed = |source: io::Error| ManifestError::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
