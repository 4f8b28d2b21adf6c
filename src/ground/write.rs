//! Files that appear whole or not at all.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Class, Failure, open_regular};

/// A file could not be written. Nothing half-written is left behind under its name.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write {}", path.display())]
#[diagnostic(code(debstrata::write), help("{}", hint(source)))]
pub struct WriteError {
    /// The file that was to appear.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Failure for WriteError {
    fn class(&self) -> Class {
        Class::World
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space on this disk and run the same command again; what is done so far is kept"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make the folder writable for the user that runs debstrata, or choose another one"
        }
        _ => "see what the system says about this path, then run the same command again",
    }
}

/// Writes `bytes` to `path`, as [`write_whole_with`] does.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_whole_with(path, |file| file.write_all(bytes))
}

/// Writes what `fill` writes to `path`: into a temporary file beside it, fsync, rename. Missing
/// folders are made. A file appears with mode 0644 less the umask.
pub fn write_whole_with(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), WriteError> {
    let fail = |source| WriteError { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(fail)?;
    let mut temporary = temporary_in(folder).map_err(fail)?;
    fill(temporary.as_file_mut()).map_err(fail)?;
    temporary.as_file().sync_all().map_err(fail)?;
    temporary.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// Removes the temporary files that killed runs left in `folder` (not below it): those that nobody
/// holds a lock on and that are older than a minute. A folder that is not there has none.
pub fn sweep_stale(folder: &Path) -> Result<(), WriteError> {
    let fail = |source| WriteError { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(is_temporary_name);
        // Somebody else may sweep or finish the same file at the same time: a failure here only
        // means that there is nothing left to do.
        if ours && is_stale(&entry.path()).unwrap_or(false) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Whether a file of this name is one of [`temporary_in`].
pub fn is_temporary_name(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Writes `bytes` to `path` where nothing is yet, whole or not at all, as [`write_whole`] does. A file
/// that is there stays, and the error's kind is `AlreadyExists`.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let fail = |source| WriteError { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(fail)?;
    let mut temporary = temporary_in(folder).map_err(fail)?;
    temporary.write_all(bytes).map_err(fail)?;
    temporary.as_file().sync_all().map_err(fail)?;
    temporary.persist_noclobber(path).map_err(|error| fail(error.error))?;
    Ok(())
}

fn is_stale(path: &Path) -> io::Result<bool> {
    let file = open_regular(path)?;
    let age = file.metadata()?.modified()?.elapsed().unwrap_or_default();
    Ok(age.as_secs() >= 60 && file.try_lock().is_ok())
}

/// The beginning of a temporary file's name.
const PREFIX: &str = ".debstrata-";
/// Its end.
const SUFFIX: &str = ".tmp";

/// A temporary file in `folder` (which must be there), for those who rename without fsync or write
/// from several places: removed when dropped before `persist`, and locked, which tells
/// [`sweep_stale`] that somebody is still writing. Mode 0644 less the umask.
pub fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    let temporary = builder.tempfile_in(folder)?;
    temporary.as_file().lock()?;
    Ok(temporary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fill_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file");
        write_whole(&path, b"old").unwrap();
        let error = write_whole_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(error.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
