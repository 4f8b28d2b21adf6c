//! The store of downloads by SHA-256 and of derived data by key. Safe to delete at any time and to
//! share between processes. Does not know what the bytes mean.
//!
//! ```text
//! CACHEDIR.TAG, .gitignore
//! downloads/<2 hex>/<sha256>      whole, hashed by this room before it got its name
//! downloads/incoming/<checksum>   what is being fetched, locked; its bytes are not trusted
//! downloads/heads/<name>          small records
//! downloads/.lease                locked, shared, by every run that uses the store
//! derived/<kind>/<key>            made from downloads; whoever reads it checks it
//! derived/incoming/               temporaries
//! scratch-*/                      what a run needs for itself, locked as long as it lives
//! ```
//!
//! Every file gets its name by a rename, so a name always means a whole file.

mod error;
mod incoming;
mod keep;
mod scratch;

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::ground::{Sha256, is_temporary_name, open_regular, read_at_most, sweep_stale, temporary_in, write_whole};

pub use error::CacheError;
pub use incoming::{Arrival, Incoming};
pub use keep::{Amount, Rules, Sort, Stored, Verified, amounts, remove, stored, to_go, verify};
pub use scratch::Scratch;

/// The longest small record, in bytes: Debian's InRelease files have about 150 kB.
const LONGEST_HEAD: u64 = 64 << 20;

/// See <https://bford.info/cachedir/>.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
     # This folder is a cache made by debstrata; it can be deleted at any time.\n\
     # See https://bford.info/cachedir/\n";
const IGNORE: &str = "*\n!.gitignore\n!CACHEDIR.TAG\n";

/// A digest that names a download.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checksum {
    /// The usual one.
    Sha256(Sha256),
    /// For archives that list nothing else. The blob is stored by its SHA-256 all the same.
    Sha512([u8; 64]),
}

impl fmt::Display for Checksum {
    /// `sha256-<hex>` or `sha512-<hex>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256-{digest}"),
            Self::Sha512(digest) => {
                f.write_str("sha512-")?;
                digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The store below one folder.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    derived: PathBuf,
    /// Held, shared, as long as this is used: [`remove`] does not remove meanwhile.
    _lease: File,
}

/// The file whose lock says that the store is in use. It is never replaced or removed.
const LEASE: &str = ".lease";

/// Opens the lease of the store at `root`; `None`: there is no store (and none is to be made).
fn open_lease(root: &Path, make: bool) -> Result<Option<File>, CacheError> {
    let folder = root.join("downloads");
    let path = folder.join(LEASE);
    match File::open(&path) {
        Ok(file) => return Ok(Some(file)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(CacheError::read(&path)(error)),
        Err(_) if !make && !folder.is_dir() => return Ok(None),
        Err(_) => {}
    }
    fs::create_dir_all(&folder).map_err(CacheError::write(&folder))?;
    let made = File::options().append(true).create(true).open(&path).map_err(CacheError::write(&path))?;
    Ok(Some(made))
}

impl Cache {
    /// Opens the store at `root`, makes what is missing of it and removes what killed runs left.
    /// An error names the folder that cannot be made.
    pub fn open(root: &Path) -> Result<Self, CacheError> {
        Self::open_with_derived(root, &root.join("derived"))
    }

    /// As [`Cache::open`], with derived data in a folder of their own: for whoever must not trust
    /// what earlier runs derived.
    pub fn open_with_derived(root: &Path, derived: &Path) -> Result<Self, CacheError> {
        let lease = open_lease(root, true)?.expect("it is made where it is not there");
        lease.lock_shared().map_err(CacheError::write(root))?;
        let cache = Self { root: root.to_owned(), derived: derived.to_owned(), _lease: lease };
        for folder in [cache.incoming_folder(), cache.heads_folder(), cache.temporaries_folder()] {
            fs::create_dir_all(&folder).map_err(CacheError::write(&folder))?;
        }
        for (name, text) in [("CACHEDIR.TAG", TAG), (".gitignore", IGNORE)] {
            let path = root.join(name);
            if !path.try_exists().map_err(CacheError::read(&path))? {
                write_whole(&path, text.as_bytes())?;
            }
        }
        for folder in [root, &cache.heads_folder(), &cache.temporaries_folder()] {
            sweep_stale(folder)?;
        }
        incoming::sweep(&cache.incoming_folder())?;
        Ok(cache)
    }

    /// A folder below `root` for data that live as long as the returned value. Those that killed runs
    /// left are removed.
    pub fn scratch(root: &Path) -> Result<Scratch, CacheError> {
        scratch::open(root)
    }

    /// The folder that holds it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the download with this digest is or would be.
    pub fn download_path(&self, sha256: &Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.root.join("downloads").join(&name[..2]).join(name)
    }

    /// Whether the download is here: a regular file of `size` bytes. Its bytes were hashed when it
    /// got its name.
    pub fn has(&self, sha256: &Sha256, size: u64) -> bool {
        is_file_of(&self.download_path(sha256), size)
    }

    /// The download with this digest, whatever its size: for files whose size nobody announces.
    pub fn kept(&self, sha256: &Sha256) -> Option<PathBuf> {
        let path = self.download_path(sha256);
        fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()).then_some(path)
    }

    /// Removes a download whose bytes turned out to be others than its name says, so that it is fetched
    /// again.
    pub fn discard(&self, sha256: &Sha256) -> Result<(), CacheError> {
        let path = self.download_path(sha256);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CacheError::write(&path)(error)),
            _ => Ok(()),
        }
    }

    /// The download with this checksum and size, if it is here.
    pub fn find(&self, checksum: &Checksum, size: u64) -> Result<Option<PathBuf>, CacheError> {
        let sha256 = match checksum {
            Checksum::Sha256(sha256) => Some(*sha256),
            Checksum::Sha512(_) => self.head(&checksum.to_string())?.and_then(|bytes| {
                // A record that does not parse was damaged; the download is then fetched again.
                std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
            }),
        };
        Ok(sha256.filter(|sha256| self.has(sha256, size)).map(|sha256| self.download_path(&sha256)))
    }

    /// The place where a download arrives, for this caller alone: another process or thread that
    /// asks for the same checksum waits here and then finds it whole.
    pub fn incoming(&self, checksum: &Checksum, size: u64) -> Result<Arrival, CacheError> {
        incoming::open(self, checksum, size)
    }

    /// The small record of this name, if there is one.
    pub fn head(&self, name: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let path = self.heads_folder().join(plain(name));
        match open_regular(&path).and_then(|file| read_at_most(file, LONGEST_HEAD)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CacheError::read(&path)(error)),
        }
    }

    /// Keeps a small record, such as the latest InRelease of a suite; it replaces the old one of
    /// this name. Any text is a name.
    pub fn put_head(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        Ok(write_whole(&self.heads_folder().join(plain(name)), bytes)?)
    }

    /// Where derived data of this kind and key are or would be. Any texts are kind and key; equal
    /// ones are the same place.
    pub fn derived_path(&self, kind: &str, key: &str) -> PathBuf {
        self.derived.join(plain(kind)).join(plain(key))
    }

    /// Derived data, if they are here, open for reading. They were written without fsync: after a
    /// power cut a file may be short or hold zeros, so whoever reads it must be able to tell.
    pub fn get_derived(&self, kind: &str, key: &str) -> Result<Option<File>, CacheError> {
        let path = self.derived_path(kind, key);
        match open_regular(&path) {
            Ok(file) => Ok(Some(file)),
            // What is no file was not put there by us, and is replaced.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Ok(None),
            Err(error) => Err(CacheError::read(&path)(error)),
        }
    }

    /// Keeps derived data that `fill` writes; when it fails, nothing is kept. Returns the path.
    pub fn put_derived(
        &self,
        kind: &str,
        key: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<PathBuf, CacheError> {
        let path = self.derived_path(kind, key);
        let mut temporary = self.temporary()?;
        fill(temporary.as_file_mut()).map_err(CacheError::write(&path))?;
        self.persist_derived(temporary, &path)?;
        Ok(path)
    }

    /// A temporary file on the cache's disk, for [`Cache::persist_derived`].
    pub fn temporary(&self) -> Result<tempfile::NamedTempFile, CacheError> {
        let folder = self.temporaries_folder();
        temporary_in(&folder).map_err(CacheError::write(&folder))
    }

    /// Gives a filled temporary its name, a [`Cache::derived_path`].
    pub fn persist_derived(&self, temporary: tempfile::NamedTempFile, path: &Path) -> Result<(), CacheError> {
        let persisted = temporary.persist(path).or_else(|error| match path.parent() {
            // The first of its kind.
            Some(folder) if error.error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder).map_err(CacheError::write(folder))?;
                error.file.persist(path).map_err(|error| CacheError::write(path)(error.error))
            }
            _ => Err(CacheError::write(path)(error.error)),
        });
        persisted.map(drop)
    }

    fn incoming_folder(&self) -> PathBuf {
        self.root.join("downloads/incoming")
    }

    fn heads_folder(&self) -> PathBuf {
        self.root.join("downloads/heads")
    }

    fn temporaries_folder(&self) -> PathBuf {
        self.root.join("derived/incoming")
    }
}

fn is_file_of(path: &Path, size: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == size)
}

/// `name` as one file name: all but letters, digits, `-`, `_` and dots inside is written `%XX`; a
/// long one ends in its digest. Different names stay different.
fn plain(name: &str) -> String {
    let mut out = String::new();
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(byte.into()),
            b'.' if at > 0 => out.push('.'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    if out.is_empty() {
        return "%".into();
    }
    // Linux takes 255 bytes.
    if out.len() > 200 {
        out.truncate(100);
        out.push_str(&format!("%-{}", Sha256::of(name.as_bytes())));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder_and_apart() {
        for (name, expected) in [
            ("debian/trixie", "debian%2Ftrixie"),
            ("..", "%2E."),
            (".", "%2E"),
            ("", "%"),
            ("a%2Fb", "a%252Fb"),
            ("é", "%C3%A9"),
            ("x_y-1.2", "x_y-1.2"),
        ] {
            assert_eq!(plain(name), expected);
        }
        let long = "a".repeat(300);
        assert!(plain(&long).len() < 200);
        assert_ne!(plain(&long), plain(&"a".repeat(301)));
    }

    #[test]
    fn the_committed_folder_is_what_open_makes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cache");
        assert_eq!(fs::read_to_string(folder.join("CACHEDIR.TAG")).unwrap(), TAG);
        assert_eq!(fs::read_to_string(folder.join(".gitignore")).unwrap(), IGNORE);
    }
}
