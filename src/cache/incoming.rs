//! Downloads on their way in: one resumable partial file a checksum, under an exclusive lock, that
//! becomes a download once its bytes hash to what was asked for.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::Digest as _;

use super::{Cache, CacheError, Checksum};
use crate::ground::{Sha256Hasher, is_at, write_whole};

/// Partial files that nobody touched for so long are removed when a cache is opened.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What [`Cache::incoming`] found.
#[derive(Debug)]
pub enum Arrival {
    /// The download is whole, here.
    Whole(PathBuf),
    /// It is yours to fetch.
    Incoming(Box<Incoming>),
}

/// A partial file, locked until it is dropped. What was written stays for the next one who asks.
pub struct Incoming {
    file: File,
    path: PathBuf,
    checksum: Checksum,
    size: u64,
    downloads: PathBuf,
    heads: PathBuf,
    len: u64,
    sha256: Sha256Hasher,
    sha512: Option<sha2::Sha512>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Incoming({}, {} of {})", self.checksum, self.len, self.size)
    }
}

pub(super) fn open(cache: &Cache, checksum: &Checksum, size: u64) -> Result<Arrival, CacheError> {
    let path = cache.incoming_folder().join(checksum.to_string());
    let file = loop {
        // A pipe would wait for ever, a link would be written through: neither is ours.
        if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
            fs::remove_file(&path).map_err(CacheError::write(&path))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(CacheError::write(&path))?;
        file.lock().map_err(CacheError::write(&path))?;
        if let Some(whole) = cache.find(checksum, size)? {
            // Whoever had the lock renamed its file. The one that we made in its place is empty; it
            // goes only where it is still the one under this name.
            if is_at(&file, &path).map_err(CacheError::read(&path))? {
                fs::remove_file(&path).map_err(CacheError::write(&path))?;
            }
            return Ok(Arrival::Whole(whole));
        }
        if is_at(&file, &path).map_err(CacheError::read(&path))? {
            break file;
        }
    };
    let mut incoming = Incoming {
        file,
        path,
        checksum: *checksum,
        size,
        downloads: cache.root.join("downloads"),
        heads: cache.heads_folder(),
        len: 0,
        sha256: Sha256Hasher::new(),
        sha512: hasher_512(checksum),
    };
    incoming.take_up()?;
    Ok(Arrival::Incoming(Box::new(incoming)))
}

impl Incoming {
    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that it will have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds bytes. Never more than the size that was announced: the rest is refused as
    /// `InvalidData`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CacheError> {
        let len = self.len.saturating_add(bytes.len() as u64);
        if len > self.size {
            let error = io::Error::new(io::ErrorKind::InvalidData, "more bytes than announced");
            return Err(CacheError::write(&self.path)(error));
        }
        if let Err(error) = self.file.write_all(bytes) {
            // Part of it may have been written, unhashed.
            let _ = self.file.set_len(self.len);
            let _ = self.file.seek(SeekFrom::Start(self.len));
            return Err(CacheError::write(&self.path)(error));
        }
        self.hash(bytes);
        self.len = len;
        Ok(())
    }

    /// Forgets all bytes so far.
    pub fn discard(&mut self) -> Result<(), CacheError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(CacheError::write(&self.path))?;
        self.len = 0;
        self.sha256 = Sha256Hasher::new();
        self.sha512 = hasher_512(&self.checksum);
        Ok(())
    }

    /// Says that these are all bytes, where the size that was announced was only a bound.
    pub fn ends_here(&mut self) {
        self.size = self.len;
    }

    /// Makes it a download: only where size and checksum are right; synced to the disk, then
    /// renamed. `None`: they are not, and the bytes are discarded.
    pub fn commit(&mut self) -> Result<Option<PathBuf>, CacheError> {
        let sha256 = self.sha256.clone().finish();
        let right = self.len == self.size
            && match &self.checksum {
                Checksum::Sha256(wanted) => *wanted == sha256,
                Checksum::Sha512(wanted) => {
                    self.sha512.clone().is_some_and(|hasher| hasher.finalize().as_slice() == wanted)
                }
            };
        if !right {
            self.discard()?;
            return Ok(None);
        }
        let name = sha256.to_string();
        let folder = self.downloads.join(&name[..2]);
        let target = folder.join(&name);
        fs::create_dir_all(&folder).map_err(CacheError::write(&folder))?;
        self.file.sync_all().map_err(CacheError::write(&self.path))?;
        fs::rename(&self.path, &target).map_err(CacheError::write(&target))?;
        if let Checksum::Sha512(_) = self.checksum {
            write_whole(&self.heads.join(self.checksum.to_string()), name.as_bytes())?;
        }
        Ok(Some(target))
    }

    /// Hashes what an earlier run left.
    fn take_up(&mut self) -> Result<(), CacheError> {
        let fail = CacheError::read(&self.path);
        let mut buffer = vec![0; 128 << 10];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.hash(&buffer[..count]);
                    self.len += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(fail(error)),
            }
            if self.len > self.size {
                return self.discard();
            }
        }
        Ok(())
    }

    fn hash(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(hasher) = &mut self.sha512 {
            hasher.update(bytes);
        }
    }
}

fn hasher_512(checksum: &Checksum) -> Option<sha2::Sha512> {
    matches!(checksum, Checksum::Sha512(_)).then(sha2::Sha512::new)
}

/// Removes partial files that nobody has touched or locked for a week.
pub(super) fn sweep(folder: &Path) -> Result<(), CacheError> {
    for entry in fs::read_dir(folder).map_err(CacheError::read(folder))? {
        let path = entry.map_err(CacheError::read(folder))?.path();
        // Another process may finish or sweep the same file meanwhile: then nothing is left to do.
        let _ = sweep_one(&path);
    }
    Ok(())
}

fn sweep_one(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_file() || meta.modified()?.elapsed().unwrap_or_default() < STALE {
        return Ok(());
    }
    let file = File::open(path)?;
    match file.try_lock() {
        // Under the lock nobody else can be writing, and whoever waits looks again.
        Ok(()) if is_at(&file, path)? => fs::remove_file(path),
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Sha256;

    fn arrive(cache: &Cache, checksum: &Checksum, size: u64) -> Box<Incoming> {
        match cache.incoming(checksum, size).unwrap() {
            Arrival::Incoming(incoming) => incoming,
            Arrival::Whole(path) => panic!("already at {}", path.display()),
        }
    }

    #[test]
    fn a_blob_arrives_in_two_runs_and_wrong_bytes_never_do() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = Sha256::of(b"hello world");
        for checksum in [Checksum::Sha256(digest), Checksum::Sha512(sha2::Sha512::digest(b"hello world").into())] {
            let _ = fs::remove_file(cache.download_path(&digest));
            let mut first = arrive(&cache, &checksum, 11);
            first.write(b"hello ").unwrap();
            drop(first);
            let mut second = arrive(&cache, &checksum, 11);
            assert_eq!(second.len(), 6);
            second.write(b"w0rld").unwrap();
            assert_eq!(second.commit().unwrap(), None);
            assert!(second.is_empty());
            second.write(b"hello world").unwrap();
            assert!(second.write(b"!").is_err());
            let path = second.commit().unwrap().unwrap();
            assert_eq!(path, cache.download_path(&digest));
            assert_eq!(fs::read(&path).unwrap(), b"hello world");
            assert_eq!(cache.find(&checksum, 11).unwrap(), Some(path));
            assert!(matches!(cache.incoming(&checksum, 11).unwrap(), Arrival::Whole(_)));
            assert_eq!(fs::read_dir(cache.incoming_folder()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_partial_file_that_is_too_long_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let checksum = Checksum::Sha256(Sha256::of(b"ab"));
        fs::write(cache.incoming_folder().join(checksum.to_string()), b"abc").unwrap();
        assert!(arrive(&cache, &checksum, 2).is_empty());
    }

    #[test]
    fn old_partial_files_go_unless_somebody_holds_them() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (old, held, young) = (Sha256::of(b"1"), Sha256::of(b"2"), Sha256::of(b"3"));
        let mut kept = Vec::new();
        for digest in [old, held, young] {
            let mut incoming = arrive(&cache, &Checksum::Sha256(digest), 9);
            incoming.write(b"x").unwrap();
            if digest != young {
                let past = std::time::SystemTime::UNIX_EPOCH + 2 * STALE;
                incoming.file.set_modified(past).unwrap();
            }
            if digest == held {
                kept.push(incoming);
            }
        }
        Cache::open(folder.path()).unwrap();
        let there = |digest| cache.incoming_folder().join(Checksum::Sha256(digest).to_string()).exists();
        assert_eq!([there(old), there(held), there(young)], [false, true, true]);
    }
}
