//! `[[sources]]` with `folder`: .debs of the user's own, on this machine.

use std::{io, path::Path};

use crate::ground::{Span, Spanned};

use super::{
    ArchiveSource, DebFolder,
    error::{Findings, Topic, class_of},
    shape::{Fields, Value},
};

/// Keys that say something of a repository, which a folder is not.
const OF_REPOSITORIES: [&str; 9] = [
    "suites",
    "components",
    "signed-by",
    "snapshot",
    "uris",
    "snapshot-at",
    "max-age",
    "allow-unsigned",
    "allow-expired",
];

/// Reads a source that has `folder`; `folder` is the distribution's.
pub(super) fn read(mut fields: Fields, span: Span, folder: &Path, findings: &mut Findings) -> ArchiveSource {
    for key in OF_REPOSITORIES {
        if let Some(other) = fields.spanned::<Value>(key) {
            let message = format!("a folder of .debs has no `{key}`");
            findings
                .error(Topic::BadValue, other.span, message, "this is for repositories")
                .help("take it out, or give the repository [[sources]] of its own");
        }
    }
    let written = fields.spanned::<String>("folder");
    ArchiveSource {
        span,
        name: String::new(),
        suites: Vec::new(),
        components: Vec::new(),
        signed_by: None,
        snapshot: None,
        uris: Vec::new(),
        snapshot_at: None,
        max_age: None,
        architectures: None,
        priority: fields.take("priority").unwrap_or(500),
        allow_unsigned: false,
        allow_expired: false,
        folder: written.and_then(|written| deb_folder(written, folder, findings)),
    }
}

/// Like a file of `[[files]]`: any path from archive.toml will do, even one that leaves the project.
fn deb_folder(written: Spanned<String>, folder: &Path, findings: &mut Findings) -> Option<DebFolder> {
    if Path::new(&written.value).is_absolute() {
        findings
            .error(Topic::Beside, written.span, "`folder` is an absolute path", "only this machine has it there")
            .help("write it relative to archive.toml, so that the project builds elsewhere too");
        return None;
    }
    let path = folder.join(&written.value);
    let fault = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => return Some(DebFolder { path, written }),
        Ok(_) => io::Error::new(io::ErrorKind::NotADirectory, "no folder"),
        Err(error) => error,
    };
    let message = format!("the folder {:?} cannot be read", written.value);
    let finding = findings.error(Topic::Beside, written.span, message, fault.to_string());
    finding.class = class_of(&fault);
    finding.help("`folder` is a path from archive.toml to a folder with .debs in it");
    None
}

/// The same folder in two sources, for the same architecture.
pub(super) fn same_folder(
    findings: &mut Findings,
    before: &[ArchiveSource],
    source: &ArchiveSource,
    overlap: impl Fn(&ArchiveSource) -> bool,
) {
    let Some(folder) = &source.folder else { return };
    let again = before.iter().filter(|other| overlap(other)).filter_map(|other| other.folder.as_ref());
    if let Some(first) = again.into_iter().find(|other| other.path == folder.path) {
        let message = format!("the folder {:?} is there twice", folder.written.value);
        let finding = findings.error(Topic::Duplicate, folder.written.span.clone(), message, "again here");
        finding.other = Some((first.written.span.clone(), "first here".into()));
        finding.help("one source a folder; or tell them apart by `architectures`");
    }
}
