//! A folder of .debs as a source: its index is made of the packages' own control files. Nobody signs
//! it, for the folder is the user's own; the lock pins every .deb by its digest all the same.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use miette::{Diagnostic, SourceSpan};
use rayon::prelude::*;

use super::{Package, TrustRecord, trust::id};
use crate::{
    debian::{
        Architecture, Version,
        deb::{Deb, DebLimits, Identity},
        packages::{LARGEST_DEB, Record, Stanzas},
    },
    ground::{Class, Failure, Sha256, Sha256Hasher, Source, open_regular, printable},
    manifest::{Archive, ArchiveSource, DebFolder},
};

/// What stands for the suite in a folder's [`TrustRecord::id`].
pub(super) const SUITE: &str = ".";

/// A folder that was read.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    pub source: &'a ArchiveSource,
    /// Its Packages text, sorted by file name.
    pub text: Vec<u8>,
    pub record: TrustRecord,
}

/// A folder of .debs cannot be used. Paths are those of the files, safe to print.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum LocalError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read {}: {source}", printable(path.as_os_str().as_encoded_bytes()))]
    #[diagnostic(code(debstrata::archive::folder), help("see what the system says about this path"))]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is no package, or has no name that a lock can hold.
    #[error("{} cannot be used: {problem}", printable(path.as_os_str().as_encoded_bytes()))]
    #[diagnostic(
        code(debstrata::archive::local_deb),
        help("every file that ends in .deb counts: build this one again, rename it, or take it out of the folder")
    )]
    Deb {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// One package in one version as two files.
    #[error("{package} is there twice, as different files: {first} and {second}")]
    #[diagnostic(
        code(debstrata::archive::local_twice),
        help("take one of them out of the folder, or give the newer one a version of its own")
    )]
    Twice {
        /// Name, version and architecture.
        package: String,
        /// A file's name.
        first: String,
        /// Another's.
        second: String,
        /// archive.toml.
        #[source_code]
        source_code: Source,
        /// Where the folder is named.
        #[label("in this folder")]
        span: SourceSpan,
    },
}

impl Failure for LocalError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } => Class::World,
            Self::Deb { .. } | Self::Twice { .. } => Class::User,
        }
    }
}

impl<'a> Folder<'a> {
    /// Reads all .debs of a folder (not of folders in it): each is hashed, and its control file read.
    ///
    /// # Errors
    /// The first file, by name, that cannot be used.
    pub(super) fn read(archive: &Archive, source: &'a ArchiveSource, folder: &DebFolder) -> Result<Self, LocalError> {
        let paths = deb_files(&folder.path)?;
        let stanzas: Vec<Result<(String, String), LocalError>> = paths.par_iter().map(|path| stanza(path)).collect();
        let stanzas = stanzas.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut known: BTreeMap<(&str, &str, &str), (Option<Sha256>, &str)> = BTreeMap::new();
        let mut text = String::new();
        for (name, stanza) in &stanzas {
            let Some(record) = only_record(stanza) else { continue };
            let Record { package, version, architecture, sha256, .. } = record;
            match known.insert((package, version, architecture), (sha256, name)) {
                None => text.push_str(stanza),
                // The same file under two names: the first one stands for both.
                Some((first, _)) if first == sha256 => {}
                Some((_, first)) => {
                    return Err(LocalError::Twice {
                        package: format!("{package} {version} ({architecture})"),
                        first: printable(first.as_bytes()),
                        second: printable(name.as_bytes()),
                        source_code: archive.source.clone(),
                        span: folder.written.span.clone().into(),
                    });
                }
            }
        }
        let text = text.into_bytes();
        let record = TrustRecord {
            id: id(source, SUITE),
            inrelease: Sha256::of(&text),
            date: Timestamp::UNIX_EPOCH,
            valid_until: None,
            signer: None,
            expired: false,
            folder: Some(folder.written.value.clone()),
        };
        Ok(Self { source, text, record })
    }

    /// Whether it has packages for an architecture.
    pub(super) fn serves(&self, architecture: Architecture) -> bool {
        let text = str::from_utf8(&self.text).unwrap_or_default();
        let mut records = Stanzas::new(text).flatten();
        records.any(|stanza| stanza.record.architecture == "all" || stanza.record.architecture == architecture.name())
    }
}

fn deb_files(folder: &Path) -> Result<Vec<PathBuf>, LocalError> {
    let fail = |source| LocalError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "deb") && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A file's name and its stanza.
fn stanza(path: &Path) -> Result<(String, String), LocalError> {
    let refuse = |problem: String| LocalError::Deb { path: path.to_owned(), problem };
    let unreadable = |source| LocalError::Read { path: path.to_owned(), source };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(refuse("its name has characters other than printable ASCII".to_owned()));
    }
    let (sha256, size) = digest(path).map_err(unreadable)?;
    let file = BufReader::new(open_regular(path).map_err(unreadable)?);
    let deb = Deb::open(file, size, &DebLimits::default()).map_err(|error| refuse(error.to_string()))?;
    let control = deb.control().get("control").map(|text| &**text).unwrap_or_default();
    Identity::of_control(control).map_err(refuse)?;
    let control = str::from_utf8(control).map_err(|_| refuse("control: not UTF-8".to_owned()))?;
    let text = format!("{}\nFilename: {name}\nSize: {size}\nSHA256: {sha256}\n\n", control.trim());
    let mut stanzas = Stanzas::new(&text);
    let record = match (stanzas.next(), stanzas.next()) {
        (Some(Ok(stanza)), None) => stanza.record,
        (Some(Err(error)), _) => return Err(refuse(format!("control: {error}"))),
        _ => return Err(refuse("control: it has not one stanza".to_owned())),
    };
    if let Err(error) = record.version.parse::<Version>() {
        return Err(refuse(format!("control: the version {:?}: {error}", printable(record.version.as_bytes()))));
    }
    record.provided().try_for_each(|item| item.map(drop)).map_err(|problem| refuse(format!("control: {problem}")))?;
    Ok((name.to_owned(), text))
}

fn only_record(stanza: &str) -> Option<Record<'_>> {
    Some(Stanzas::new(stanza).next()?.ok()?.record)
}

/// The digest and size of a regular file, no larger than a .deb can be.
fn digest(path: &Path) -> io::Result<(Sha256, u64)> {
    let mut file: File = open_regular(path)?;
    let mut hasher = Sha256Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0_u64;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        size = size.saturating_add(count as u64);
        if size > LARGEST_DEB {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than a .deb can be"));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

/// Which locked .debs of the archive's folders are not what the lock says any more: for each a
/// sentence that names the file. Hashes them; packages of other sources are passed over.
pub fn changed_debs<'p>(archive: &Archive, packages: impl IntoIterator<Item = &'p Package>) -> Vec<String> {
    let folders: BTreeMap<String, &DebFolder> =
        archive.sources.iter().filter_map(|source| Some((id(source, SUITE), source.folder.as_ref()?))).collect();
    if folders.is_empty() {
        return Vec::new();
    }
    // `Architecture: all` is locked for every architecture: looked at once.
    let mut locked: BTreeMap<PathBuf, &Package> = BTreeMap::new();
    for package in packages {
        if let Some(folder) = folders.get(&*package.from) {
            locked.insert(folder.path.join(&*package.path), package);
        }
    }
    let told = |path: &Path, package: &Package, what: String| {
        let path = printable(path.as_os_str().as_encoded_bytes());
        let name = &package.name;
        format!("{path} {what} since the lock (`debstrata lock --upgrade {name}` takes what is there now)")
    };
    let judge = |(path, package): (&PathBuf, &&Package)| match digest(path) {
        Ok(found) if found == (package.sha256, package.size) => None,
        Ok(_) => Some(told(path, package, "changed".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(told(path, package, "is gone".to_owned())),
        Err(error) => Some(told(path, package, format!("became unreadable ({error})"))),
    };
    locked.par_iter().filter_map(judge).collect()
}
