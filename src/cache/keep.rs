//! What the store holds, and what of it can go.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rayon::prelude::*;
use serde::Serialize;

use super::{CacheError, LEASE, open_lease, scratch::is_scratch};
use crate::ground::{Sha256, Sha256Hasher, is_at, open_regular};

/// What a file of the store is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A whole download.
    Download(Sha256),
    /// What is being fetched, or was when a run ended.
    Partial,
    /// A small record.
    Record,
    /// Derived data: their kind and key, as file names.
    Derived(String, String),
    /// What a run is writing, or was writing when it was killed.
    Temporary,
    /// Nothing that this version of the program would read, such as the layout of an older one.
    Unknown,
}

impl Sort {
    /// The word for it in tables.
    pub fn word(&self) -> String {
        match self {
            Self::Download(_) => "downloads".into(),
            Self::Partial => "partial downloads".into(),
            Self::Record => "records".into(),
            Self::Derived(kind, _) => format!("derived/{kind}"),
            Self::Temporary => "temporaries".into(),
            Self::Unknown => "unknown".into(),
        }
    }
}

/// One file of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub sort: Sort,
    /// Its bytes.
    pub size: u64,
    /// When it was last written or, as far as the filesystem keeps that, read.
    pub used: SystemTime,
}

/// Number and size of some files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Files by [`Sort::word`].
pub fn amounts<'a>(files: impl IntoIterator<Item = &'a Stored>) -> BTreeMap<String, Amount> {
    let mut amounts: BTreeMap<String, Amount> = BTreeMap::new();
    for file in files {
        let amount = amounts.entry(file.sort.word()).or_default();
        amount.files += 1;
        amount.bytes = amount.bytes.saturating_add(file.size);
    }
    amounts
}

/// Everything that the store at `root` holds, by path; nothing where there is none. What lies in the
/// folder beside the store's own is none of it.
pub fn stored(root: &Path) -> Result<Vec<Stored>, CacheError> {
    let mut found = Vec::new();
    for (path, folder) in entries(root)? {
        match path.file_name().and_then(|name| name.to_str()).unwrap_or_default() {
            "downloads" if folder => downloads(&path, &mut found)?,
            "derived" if folder => derived(&path, &mut found)?,
            _ if folder && is_scratch(&path) => walk(&path, &Sort::Temporary, &mut found)?,
            _ => {}
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn downloads(folder: &Path, found: &mut Vec<Stored>) -> Result<(), CacheError> {
    for (path, inner) in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        match name.as_str() {
            "incoming" if inner => flat(&path, found, |_| Some(Sort::Partial))?,
            LEASE => {}
            "heads" if inner => flat(&path, found, |_| Some(Sort::Record))?,
            _ if inner => flat(&path, found, |file| {
                file.parse().ok().filter(|_| file.starts_with(&name) && name.len() == 2).map(Sort::Download)
            })?,
            _ => add(&path, Sort::Unknown, found)?,
        }
    }
    Ok(())
}

fn derived(folder: &Path, found: &mut Vec<Stored>) -> Result<(), CacheError> {
    for (path, inner) in entries(folder)? {
        let kind = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        match kind.as_str() {
            "incoming" if inner => flat(&path, found, |_| Some(Sort::Temporary))?,
            _ if inner => flat(&path, found, |key| Some(Sort::Derived(kind.clone(), key.to_owned())))?,
            _ => add(&path, Sort::Unknown, found)?,
        }
    }
    Ok(())
}

/// A folder without folders: what lies deeper is unknown, and so is what `sort` does not know.
fn flat(folder: &Path, found: &mut Vec<Stored>, sort: impl Fn(&str) -> Option<Sort>) -> Result<(), CacheError> {
    for (path, inner) in entries(folder)? {
        if inner {
            walk(&path, &Sort::Unknown, found)?;
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let known = if super::is_temporary_name(name) { Some(Sort::Temporary) } else { sort(name) };
        add(&path, known.unwrap_or(Sort::Unknown), found)?;
    }
    Ok(())
}

fn walk(folder: &Path, sort: &Sort, found: &mut Vec<Stored>) -> Result<(), CacheError> {
    for (path, inner) in entries(folder)? {
        if inner { walk(&path, sort, found)? } else { add(&path, sort.clone(), found)? }
    }
    Ok(())
}

/// What a folder holds, and whether each is a folder itself (a link to one is none). A folder that is
/// not there, or goes meanwhile, holds nothing.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>, CacheError> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(CacheError::read(folder))?,
    };
    read.map(|entry| {
        let entry = entry?;
        Ok((entry.path(), entry.file_type()?.is_dir()))
    })
    .collect::<io::Result<_>>()
    .map_err(CacheError::read(folder))
}

fn add(path: &Path, sort: Sort, found: &mut Vec<Stored>) -> Result<(), CacheError> {
    let meta = match fs::symlink_metadata(path) {
        // Another run gave it its name, or removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(CacheError::read(path))?,
    };
    let sort = if meta.is_file() { sort } else { Sort::Unknown };
    let written = meta.modified().map_err(CacheError::read(path))?;
    let used = meta.accessed().map_or(written, |read| read.max(written));
    found.push(Stored { path: path.to_owned(), sort, size: meta.len(), used });
    Ok(())
}

/// What goes. What is unknown and what killed runs left goes always; without a rule nothing else.
#[derive(Default)]
pub struct Rules<'a> {
    /// Only what nobody used for so long.
    pub unused_for: Option<Duration>,
    /// Only what this does not keep.
    pub keeps: Option<&'a dyn Fn(&Sort) -> bool>,
    /// Then what was not used for the longest time, until no more than so many bytes are left.
    pub at_most: Option<u64>,
}

/// What of `files` goes, as of `now`; the others stay.
pub fn to_go(files: &[Stored], rules: &Rules<'_>, now: SystemTime) -> Vec<Stored> {
    let by_rule = |file: &Stored| {
        let age = now.duration_since(file.used).unwrap_or_default();
        let old = rules.unused_for.is_none_or(|least| age >= least);
        let stray = rules.keeps.is_none_or(|keeps| !keeps(&file.sort));
        (rules.unused_for.is_some() || rules.keeps.is_some()) && old && stray
    };
    let goes = |file: &Stored| matches!(file.sort, Sort::Unknown | Sort::Temporary) || by_rule(file);
    let (mut going, mut staying): (Vec<_>, Vec<_>) = files.iter().cloned().partition(goes);
    if let Some(at_most) = rules.at_most {
        let mut left = staying.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        staying.sort_by(|one, other| (one.used, &one.path).cmp(&(other.used, &other.path)));
        for file in staying {
            if left <= at_most {
                break;
            }
            left = left.saturating_sub(file.size);
            going.push(file);
        }
    }
    going.sort_by(|one, other| one.path.cmp(&other.path));
    going
}

/// Removes files of the store at `root`, and the folders that they leave empty.
///
/// # Errors
/// [`CacheError::InUse`] where another run uses the store: then nothing is removed. Runs that begin
/// meanwhile wait.
pub fn remove(root: &Path, choose: impl FnOnce(Vec<Stored>) -> Vec<Stored>) -> Result<Vec<Stored>, CacheError> {
    let Some(lease) = open_lease(root, false)? else { return Ok(Vec::new()) };
    match lease.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(CacheError::InUse { path: root.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(CacheError::write(root)(error)),
    }
    // Looked at under the lock: what is there now is what nobody uses.
    let going = choose(stored(root)?);
    for file in &going {
        match fs::remove_file(&file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(CacheError::write(&file.path)(error)),
            _ => {}
        }
        // Upwards until a folder is not empty: that it cannot be removed then is the point.
        let above = file.path.ancestors().skip(1).take_while(|folder| *folder != root);
        let _ = above.map(fs::remove_dir).take_while(Result::is_ok).count();
    }
    // A scratch folder may have held nothing but folders.
    for (path, _) in entries(root)?.into_iter().filter(|(path, folder)| *folder && is_scratch(path)) {
        remove_empty(&path)?;
    }
    Ok(going)
}

/// Removes a folder and those below it, as far as there are no files in them.
fn remove_empty(folder: &Path) -> Result<(), CacheError> {
    for (path, inner) in entries(folder)? {
        if inner {
            remove_empty(&path)?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(CacheError::write(folder)(error))
        }
        _ => Ok(()),
    }
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Downloads that were read.
    pub checked: Amount,
    /// Those whose bytes are others than their names say, by path.
    pub damaged: Vec<PathBuf>,
}

/// Hashes every download again, and removes those that are damaged where `remove` says so: they are
/// fetched again when they are needed. Other runs may use the store meanwhile.
pub fn verify(root: &Path, remove: bool) -> Result<Verified, CacheError> {
    let downloads = stored(root)?.into_iter().filter_map(|file| match file.sort {
        Sort::Download(sha256) => Some((file.path, sha256)),
        _ => None,
    });
    let downloads: Vec<_> = downloads.collect();
    let looked: Vec<_> = downloads.par_iter().map(|(path, sha256)| look(path, sha256, remove)).collect();
    let mut verified = Verified { checked: Amount::default(), damaged: Vec::new() };
    for ((path, _), looked) in downloads.into_iter().zip(looked) {
        let Some((bytes, right)) = looked? else { continue };
        verified.checked.files += 1;
        verified.checked.bytes = verified.checked.bytes.saturating_add(bytes);
        if !right {
            verified.damaged.push(path);
        }
    }
    Ok(verified)
}

/// The bytes of a download and whether they are right; `None`: it is gone.
fn look(path: &Path, sha256: &Sha256, remove: bool) -> Result<Option<(u64, bool)>, CacheError> {
    let mut file = match open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(CacheError::read(path))?,
    };
    let (bytes, found) = hash(&mut file).map_err(CacheError::read(path))?;
    let right = found == *sha256;
    // Not what another run has put there in its place.
    if !right && remove && is_at(&file, path).map_err(CacheError::read(path))? {
        fs::remove_file(path).map_err(CacheError::write(path))?;
    }
    Ok(Some((bytes, right)))
}

fn hash(file: &mut File) -> io::Result<(u64, Sha256)> {
    let mut hasher = Sha256Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    let mut bytes = 0_u64;
    loop {
        match io::Read::read(file, &mut buffer) {
            Ok(0) => return Ok((bytes, hasher.finish())),
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                bytes = bytes.saturating_add(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
