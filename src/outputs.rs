//! Every name below the output folder, and SHA256SUMS.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    debian::Architecture,
    ground::{
        Class, Failure, Observer, RootPath, Sha256, Sha256Hasher, WriteError, open_regular, printable, read_at_most,
        sweep_stale, temporary_in, write_whole,
    },
    layer::{Emitted, Form, LayerError, MemberStore, Sink, emit},
    rootfs::Entry,
};

/// The list of all outputs.
const SUMS: &str = "SHA256SUMS";
/// The longest list taken, in bytes: some 100,000 outputs.
const LONGEST_SUMS: u64 = 16 << 20;
/// How much of an output is read at a time while it is hashed.
const PIECE: usize = 256 << 10;

/// Something below the output folder could not be read or written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum OutputError {
    /// An output could not be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(
        code(debstrata::outputs::read),
        help("make it readable for the user that runs debstrata, or delete it and build again")
    )]
    Read {
        /// The output or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An output could not be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Write(#[from] WriteError),
    /// The list of outputs was written by somebody else.
    #[error("line {line} of {} is not `<sha256>  <file below this folder>`: {text}", path.display())]
    #[diagnostic(
        code(debstrata::outputs::sums),
        help("delete the file if nothing else needs it, or choose another folder with --output DIR")
    )]
    Sums {
        /// The list.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The line, fit to print.
        text: String,
    },
    /// The layer could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Layer(Box<LayerError>),
}

impl Failure for OutputError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::Write(_) => Class::World,
            Self::Sums { .. } => Class::User,
            Self::Layer(error) => error.class(),
        }
    }
}

/// A layer that is written, but not under its names yet.
#[derive(Debug)]
pub struct Draft {
    /// What was written.
    pub emitted: Emitted,
    files: Vec<(PathBuf, tempfile::NamedTempFile)>,
}

impl Draft {
    /// Gives all files their names, once all are on the disk. Waits for the disk: several drafts are
    /// best published at once.
    pub fn publish(self) -> Result<Emitted, OutputError> {
        for (path, temporary) in &self.files {
            temporary.as_file().sync_all().map_err(|source| WriteError { path: path.clone(), source })?;
        }
        for (path, temporary) in self.files {
            temporary.persist(&path).map_err(|error| WriteError { path, source: error.error })?;
        }
        Ok(self.emitted)
    }
}

/// What a file is known by without reading it. No program can write to a file, rename it or set its times
/// and leave the time of its last change (`st_ctime`, inode(7)) as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970.
    changed: u64,
}

impl Stamp {
    /// Whether the last change lies so far before `clock` (nanoseconds since 1970) that one more would
    /// surely show: file systems count time in steps of some milliseconds.
    pub fn is_settled(&self, clock: i128) -> bool {
        i128::from(self.changed) + 100_000_000 < clock
    }
}

/// The output folder.
#[derive(Debug, Clone)]
pub struct Outputs {
    root: PathBuf,
}

impl Outputs {
    /// Outputs below `root`, which need not be there yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where an output is, from its name below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a layer in all forms of `files`, in one pass, under temporary names: nothing appears
    /// before [`Draft::publish`], and nothing stays of a draft that is dropped. Arguments as for [`emit`];
    /// blobs come in the order of `files`. SHA256SUMS is not touched: see [`Outputs::record`].
    pub fn write_layer(
        &self,
        files: &[(Form, String)],
        changes: &[(RootPath, Entry)],
        mtime: u64,
        store: &dyn MemberStore,
        observer: &dyn Observer,
    ) -> Result<Draft, OutputError> {
        let mut files_of_draft = Vec::with_capacity(files.len());
        for (_, name) in files {
            let path = self.path(name);
            // What killed runs left would stay for ever: nobody else looks after this folder.
            sweep_stale(path.parent().unwrap_or(&path))?;
            let temporary = begin(&path).map_err(|source| WriteError { path: path.clone(), source })?;
            files_of_draft.push((path, temporary));
        }
        let mut sinks: Vec<Sink> = files
            .iter()
            .zip(&mut files_of_draft)
            .map(|((form, _), (path, temporary))| Sink {
                form: *form,
                path: path.clone(),
                out: temporary.as_file_mut(),
            })
            .collect();
        let emitted = emit(changes, mtime, &mut sinks, store, observer).map_err(|error| match error {
            LayerError::Write { path, source } => OutputError::Write(WriteError { path, source }),
            other => OutputError::Layer(Box::new(other)),
        })?;
        Ok(Draft { emitted, files: files_of_draft })
    }

    /// Whether an output is there and has this digest; a file that cannot be read is an error.
    pub fn is(&self, name: &str, digest: &Sha256) -> Result<bool, OutputError> {
        let path = self.path(name);
        match hash(&path) {
            Ok(found) => Ok(found == Some(*digest)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(source) => Err(OutputError::Read { path, source }),
        }
    }

    /// Which file an output is, and how it is; `None` where there is none.
    pub fn stamp(&self, name: &str) -> Option<Stamp> {
        let found = fs::symlink_metadata(self.path(name)).ok().filter(fs::Metadata::is_file)?;
        let (seconds, rest) = (u64::try_from(found.ctime()).ok()?, u64::try_from(found.ctime_nsec()).ok()?);
        let changed = seconds.checked_mul(1_000_000_000)?.checked_add(rest)?;
        Some(Stamp { device: found.dev(), inode: found.ino(), size: found.size(), changed })
    }

    /// Brings SHA256SUMS up to date: `written` (names below the folder) in, lines of other outputs
    /// kept as long as their files are there. An equal list is not written again. Two processes
    /// that write to one folder both get their lines in.
    pub fn record(&self, written: &BTreeMap<String, Sha256>) -> Result<(), OutputError> {
        let path = self.path(SUMS);
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| OutputError::Read { path, source }
        };
        if written.is_empty() && !path.try_exists().map_err(fail(&path))? {
            return Ok(());
        }
        fs::create_dir_all(&self.root).map_err(|source| WriteError { path: self.root.clone(), source })?;
        // The list itself is replaced, so the folder carries the lock. Released when dropped.
        let folder = File::open(&self.root).map_err(fail(&self.root))?;
        match folder.lock() {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(fail(&self.root)(error)),
            // A filesystem without locks: as good as it gets.
            Ok(()) | Err(_) => {}
        }
        sweep_stale(&self.root)?;
        let old = match open_regular(&path).and_then(|file| read_at_most(file, LONGEST_SUMS)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fail(&path)(error)),
        };
        let mut sums = self.still_there(&old, &path)?;
        sums.extend(written.iter().map(|(name, digest)| (name.clone(), *digest)));
        let new: String = sums.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
        if new.as_bytes() != old {
            write_whole(&path, new.as_bytes())?;
        }
        Ok(())
    }

    /// The lines of a list whose files are there.
    fn still_there(&self, list: &[u8], path: &Path) -> Result<BTreeMap<String, Sha256>, OutputError> {
        let mut sums = BTreeMap::new();
        for (at, line) in list.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let Some((name, digest)) = parse(line) else {
                let text = printable(line.get(..200).unwrap_or(line));
                return Err(OutputError::Sums { path: path.to_owned(), line: at + 1, text });
            };
            let file = self.path(&name);
            if file.try_exists().map_err(|source| OutputError::Read { path: file, source })? {
                sums.insert(name, digest);
            }
        }
        Ok(sums)
    }
}

/// The name of a layer: `debian13/amd64/cc.tar.gz`.
pub fn layer_name(distribution: &str, architecture: Architecture, tier: &str, form: Form) -> String {
    format!("{distribution}/{architecture}/{tier}.{}", form.extension())
}

/// A line as `sha256sum` writes it, for text (two spaces) or binary files (` *`). Names of outputs
/// have none of the bytes that make it escape a line (backslash, newline), so escaped lines are not
/// ours; neither are names that leave the folder.
fn parse(line: &[u8]) -> Option<(String, Sha256)> {
    let (digest, name) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let name = name.strip_prefix([' ', '*'])?;
    let plain = RootPath::from_absolute(format!("/{name}").as_bytes()).is_ok() && !name.is_empty();
    Some((name.to_owned(), digest.parse().ok().filter(|_| plain)?))
}

/// The digest of a regular file; `None` for anything else.
fn hash(path: &Path) -> io::Result<Option<Sha256>> {
    let mut file = match open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
        opened => opened?,
    };
    let mut hasher = Sha256Hasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(Some(hasher.finish())),
            Ok(length) => hasher.update(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn begin(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    temporary_in(folder)
}
