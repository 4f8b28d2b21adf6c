//! Folders that live as long as the run that needs them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{CacheError, open_lease};
use crate::ground::is_at;

/// How their names begin.
const SCRATCH: &str = "scratch-";
/// The age at which nobody works in one any more, on a disk that several machines share whose locks do
/// not see each other. Where locks work they decide.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder of the store for one run, removed with all that it holds when this is dropped. It is locked
/// till then, and so is the store, where there is one, against [`super::remove`].
#[derive(Debug)]
pub struct Scratch {
    // Removed before the locks go.
    _folder: tempfile::TempDir,
    inside: PathBuf,
    _lock: File,
    _lease: Option<File>,
}

impl Scratch {
    /// Where it is: one folder further in, since a layout in it is locked by its folder too.
    pub fn path(&self) -> &Path {
        &self.inside
    }
}

/// Whether a folder directly below a store is one of these.
pub(super) fn is_scratch(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(SCRATCH))
}

pub(super) fn open(root: &Path) -> Result<Scratch, CacheError> {
    open_with(root, ABANDONED)
}

fn open_with(root: &Path, age: Duration) -> Result<Scratch, CacheError> {
    fs::create_dir_all(root).map_err(CacheError::write(root))?;
    // Where there is no store yet none is made: a bundle brings its own.
    let lease = open_lease(root, false)?;
    lease.iter().try_for_each(File::lock_shared).map_err(CacheError::write(root))?;
    sweep(root, age)?;
    loop {
        let folder = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(root).map_err(CacheError::write(root))?;
        let path = folder.path();
        let lock = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            lock => lock.map_err(CacheError::write(path))?,
        };
        lock.lock().map_err(CacheError::write(path))?;
        // Before it was locked it looked like what a killed run left, and may have been swept.
        if is_at(&lock, path).map_err(CacheError::read(path))? {
            let inside = path.join("inside");
            fs::create_dir(&inside).map_err(CacheError::write(&inside))?;
            return Ok(Scratch { _folder: folder, inside, _lock: lock, _lease: lease });
        }
    }
}

/// Removes the scratch folders below `root` that are old enough and whose locks can be had.
fn sweep(root: &Path, age: Duration) -> Result<(), CacheError> {
    for entry in fs::read_dir(root).map_err(CacheError::read(root))? {
        let entry = entry.map_err(CacheError::read(root))?;
        let path = entry.path();
        if !is_scratch(&path) || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match sweep_one(&path, age) {
            // Another run swept it, or ended and took its own away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            swept => swept.map_err(CacheError::write(&path))?,
        }
    }
    Ok(())
}

fn sweep_one(path: &Path, age: Duration) -> io::Result<()> {
    let folder = File::open(path)?;
    let old = folder.metadata()?.modified()?.elapsed().unwrap_or_default() >= age;
    if old && folder.try_lock().is_ok() && is_at(&folder, path)? { fs::remove_dir_all(path) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn nobody_takes_the_folder_of_a_run_that_lives_whatever_the_clock_says() {
        let root = tempfile::tempdir().unwrap();
        let working = AtomicUsize::new(3);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let work = || {
                        let scratch = open_with(root.path(), Duration::ZERO).map_err(|error| format!("{error:?}"))?;
                        let file = scratch.path().join("inner/file");
                        fs::create_dir(scratch.path().join("inner")).map_err(|error| error.to_string())?;
                        fs::write(&file, b"x").and_then(|()| fs::read(&file)).map_err(|error| error.to_string())
                    };
                    let failed = (0..300).find_map(|_| work().err());
                    working.fetch_sub(1, Ordering::Relaxed);
                    assert_eq!(failed, None);
                });
            }
            while working.load(Ordering::Relaxed) > 0 {
                sweep(root.path(), Duration::ZERO).unwrap();
            }
        });
        assert!(!fs::read_dir(root.path()).unwrap().any(|entry| is_scratch(&entry.unwrap().path())));
    }

    #[test]
    fn what_a_killed_run_left_goes_with_age() {
        let root = tempfile::tempdir().unwrap();
        let left = root.path().join("scratch-left");
        fs::create_dir_all(left.join("deep")).unwrap();
        drop(open(root.path()).unwrap());
        assert!(left.exists());
        drop(open_with(root.path(), Duration::ZERO).unwrap());
        assert!(!left.exists());
    }
}
