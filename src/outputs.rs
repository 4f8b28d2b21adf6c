//! Every name below the output folder, and SHA256SUMS.

use std::{
    collections::{BTreeMap, BTreeSet},
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
        sweep_stale, temporary_in, write_whole, write_whole_with,
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

/// Where a form of a layer lies, below the output folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Under this name.
    File(String),
    /// In this folder, named by its SHA-256.
    Blob(String),
}

impl Place {
    /// The name of the file with this digest.
    pub fn name(&self, digest: &Sha256) -> String {
        match self {
            Self::File(name) => name.clone(),
            Self::Blob(folder) => format!("{folder}/{digest}"),
        }
    }
}

/// A layer that is written, but not under its names yet.
#[derive(Debug)]
pub struct Draft {
    /// What was written.
    pub emitted: Emitted,
    outputs: Outputs,
    files: Vec<(Vec<Place>, tempfile::NamedTempFile)>,
}

impl Draft {
    /// Gives all files their names, once all are on the disk. Waits for the disk: several drafts are
    /// best published at once.
    pub fn publish(self) -> Result<Emitted, OutputError> {
        let Self { emitted, outputs, files } = self;
        for (places, temporary) in &files {
            let fail = |source| WriteError { path: outputs.shown(places), source };
            temporary.as_file().sync_all().map_err(fail)?;
        }
        for ((places, temporary), blob) in files.into_iter().zip(&emitted.blobs) {
            let names: Vec<String> = places.iter().map(|place| place.name(&blob.digest)).collect();
            let Some((first, others)) = names.split_first() else { continue };
            let path = outputs.path(first);
            temporary.persist(&path).map_err(|error| WriteError { path, source: error.error })?;
            others.iter().try_for_each(|other| outputs.share(first, other))?;
        }
        Ok(emitted)
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
    /// before [`Draft::publish`], and nothing stays of a draft that is dropped. A form with several places
    /// is written once, see [`Outputs::share`]. Arguments as for [`emit`]; blobs come in the order of
    /// `files`. SHA256SUMS is not touched: see [`Outputs::record`].
    pub fn write_layer(
        &self,
        files: &[(Form, Vec<Place>)],
        changes: &[(RootPath, Entry)],
        mtime: u64,
        store: &dyn MemberStore,
        observer: &dyn Observer,
    ) -> Result<Draft, OutputError> {
        let mut files_of_draft = Vec::with_capacity(files.len());
        for (_, places) in files {
            let path = self.shown(places);
            // What killed runs left would stay for ever: nobody else looks after this folder.
            sweep_stale(path.parent().unwrap_or(&path))?;
            let temporary = begin(&path).map_err(|source| WriteError { path: path.clone(), source })?;
            files_of_draft.push((places.clone(), temporary));
        }
        let mut sinks: Vec<Sink> = files
            .iter()
            .zip(&mut files_of_draft)
            .map(|((form, places), (_, temporary))| Sink {
                form: *form,
                path: self.shown(places),
                out: temporary.as_file_mut(),
            })
            .collect();
        let emitted = emit(changes, mtime, &mut sinks, store, observer).map_err(|error| match error {
            LayerError::Write { path, source } => OutputError::Write(WriteError { path, source }),
            other => OutputError::Layer(Box::new(other)),
        })?;
        Ok(Draft { emitted, outputs: self.clone(), files: files_of_draft })
    }

    /// How messages call the first place of a form, whose digest nobody knows yet.
    fn shown(&self, places: &[Place]) -> PathBuf {
        match places.first() {
            Some(Place::File(name)) => self.path(name),
            Some(Place::Blob(folder)) => self.path(folder).join("layer"),
            None => self.root.join("layer"),
        }
    }

    /// Gives an output a second name: as a hard link where that is possible, else as a copy.
    pub fn share(&self, from: &str, to: &str) -> Result<(), OutputError> {
        let (from, to) = (self.path(from), self.path(to));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(|source| WriteError { path: to.clone(), source })?;
        }
        if fs::hard_link(&from, &to).is_err() {
            let copy = |file: &mut File| io::copy(&mut open_regular(&from)?, file).map(drop);
            write_whole_with(&to, copy)?;
        }
        Ok(())
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
        self.record_with(written, &BTreeSet::new())
    }

    /// As [`Outputs::record`], with files that several processes may rewrite: those of `shared` that are
    /// there are hashed as they are now, so that the last process to record them is right.
    pub fn record_with(
        &self,
        written: &BTreeMap<String, Sha256>,
        shared: &BTreeSet<String>,
    ) -> Result<(), OutputError> {
        let path = self.path(SUMS);
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| OutputError::Read { path, source }
        };
        if written.is_empty() && shared.is_empty() && !path.try_exists().map_err(fail(&path))? {
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
        for name in shared {
            let path = self.path(name);
            match hash(&path) {
                Ok(digest) => sums.extend(digest.map(|digest| (name.clone(), digest))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(OutputError::Read { path, source }),
            }
        }
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

/// The name of a distribution's OCI layout: `debian13/oci`.
pub fn layout_name(distribution: &str) -> String {
    format!("{distribution}/oci")
}

/// The name of a docker archive: `debian13/amd64/cc.docker.tar`.
pub fn docker_name(distribution: &str, architecture: Architecture, image: &str) -> String {
    format!("{distribution}/{architecture}/{image}.docker.tar")
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
