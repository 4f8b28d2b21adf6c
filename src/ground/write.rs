//! Files that appear whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
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

/// Links that are followed before they are taken for a loop, as Linux counts (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Writes `bytes` to where `path` leads when it is a symbolic link, as [`write_whole`] does: for files
/// that users keep, whose links are theirs. A link to nothing gets a file. The error names that place.
pub fn write_through(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&place) else { return write_whole(&place, bytes) };
        place = place.parent().unwrap_or(Path::new("")).join(target);
    }
    let source = io::Error::other("too many levels of symbolic links");
    Err(WriteError { path: path.to_owned(), source })
}

/// Writes what `fill` writes to `path`: into a temporary file beside it, fsync, rename. Missing
/// folders are made. A file appears with mode 0644 less the umask.
pub fn write_whole_with(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), WriteError> {
    let fail = |source| WriteError { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(fail)?;
    let mut temporary = temporary_in(folder).map_err(fail)?;
    fill(temporary.as_file_mut()).map_err(fail)?;
    temporary.as_file().sync_all().map_err(fail)?;
    temporary.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// Temporary files that nobody has written to for so long may be what a killed run left.
const STALE: Duration = Duration::from_secs(60);

/// Removes the temporary files that killed runs left in `folder` (not below it): those that nobody
/// holds a lock on and that are older than a minute. A folder that is not there has none.
pub fn sweep_stale(folder: &Path) -> Result<(), WriteError> {
    sweep_older(folder, STALE)
}

fn sweep_older(folder: &Path, age: Duration) -> Result<(), WriteError> {
    let fail = |source| WriteError { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    for entry in entries {
        let entry = entry.map_err(fail)?;
        if entry.file_name().to_str().is_some_and(is_temporary_name) {
            // Somebody else may sweep or finish the same file at the same time: a failure here only
            // means that there is nothing left to do.
            let _ = sweep_one(&entry.path(), age);
        }
    }
    Ok(())
}

/// The age only saves work: times of the file system and of this process may be of two clocks. What
/// counts is the lock, held until the file is gone.
fn sweep_one(path: &Path, age: Duration) -> io::Result<()> {
    let file = open_regular(path)?;
    if file.metadata()?.modified()?.elapsed().unwrap_or_default() >= age
        && file.try_lock().is_ok()
        && is_at(&file, path)?
    {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Whether `file` is what `path` names now, rather than a file that was there before or nothing. Whoever
/// waited for a lock on a file asks this: the one who had the lock may have renamed or removed it.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let ours = file.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(there) => Ok(ours.ino() == there.ino() && ours.dev() == there.dev()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.try_exists()
    }
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
    fs::create_dir_all(folder).map_err(fail)?;
    let mut temporary = temporary_in(folder).map_err(fail)?;
    temporary.write_all(bytes).map_err(fail)?;
    temporary.as_file().sync_all().map_err(fail)?;
    temporary.persist_noclobber(path).map_err(|error| fail(error.error))?;
    Ok(())
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
        builder.permissions(fs::Permissions::from_mode(0o644));
    }
    loop {
        let temporary = builder.tempfile_in(folder)?;
        temporary.as_file().lock()?;
        // Before it was locked it looked like what a killed run left, and may have been swept.
        if is_at(temporary.as_file(), temporary.path())? {
            return Ok(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_it_leads_to_is_written() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).unwrap();
        fs::write(at("inner/file"), b"old").unwrap();
        for (name, target) in [("file", "inner/file"), ("two", "./file"), ("nothing", "inner/new"), ("loop", "loop")] {
            symlink(target, at(name)).unwrap();
        }
        for (name, target) in [("two", "inner/file"), ("nothing", "inner/new"), ("inner/plain", "inner/plain")] {
            write_through(&at(name), name.as_bytes()).unwrap();
            assert_eq!(fs::read(at(target)).unwrap(), name.as_bytes());
            assert_eq!(at(name).is_symlink(), name != target);
        }
        assert!(at("file").is_symlink());
        assert_eq!(write_through(&at("loop"), b"").unwrap_err().path, at("loop"));
    }

    #[test]
    fn who_sweeps_takes_no_file_from_one_who_writes_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let writing = AtomicUsize::new(4);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (folder, writing) = (folder.path(), &writing);
                scope.spawn(move || {
                    let failed = (0..200).find_map(|_| write_whole(&folder.join(writer.to_string()), b"whole").err());
                    writing.fetch_sub(1, Ordering::Relaxed);
                    assert!(failed.is_none(), "{:?}", failed.map(|error| error.source));
                });
            }
            while writing.load(Ordering::Relaxed) > 0 {
                sweep_older(folder.path(), Duration::ZERO).unwrap();
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn what_a_killed_run_left_is_swept_and_what_is_young_or_held_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let held = temporary_in(folder.path()).unwrap();
        let (_, left) = temporary_in(folder.path()).unwrap().keep().unwrap();
        sweep_older(folder.path(), STALE).unwrap();
        assert!(left.exists());
        sweep_older(folder.path(), Duration::ZERO).unwrap();
        assert_eq!((left.exists(), held.path().exists()), (false, true));
    }
}
