//! Trusted suites, and the Packages indexes that they vouch for.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rayon::prelude::*;

use super::{
    ArchiveError, Index, IndexError, NoArchitecture, NoComponent, TrustRecord, Trusted,
    local::Folder,
    open::base,
    table::{FORMAT, Table},
    trust::id,
};
use crate::{
    cache::{Cache, CacheError},
    debian::{
        Architecture,
        release::{ReleaseFile, Sha512},
    },
    fetch::{Checksum, FetchError, Fetcher, Kind, Origin, Wanted},
    ground::{Event, Observer, Sha256, Spanned, nearest, printable, read_at_most},
    manifest::{Archive, ArchiveSource},
};

/// The largest Packages index that is read, in bytes, where the Release does not list its plain
/// form. Debian's largest has 60 MB.
const LARGEST_INDEX: u64 = 512 << 20;
/// What an xz decoder may use: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;
/// The longest table that is read, in bytes: what the largest index can become.
const LARGEST_TABLE: u64 = 1 << 30;
/// The cache's kind of derived data.
const KIND: &str = "indexes";
/// The forms of an index, the smallest first.
pub(super) const FORMS: [&str; 4] = [".xz", ".zst", ".gz", ""];

/// The suites of an archive, all trusted.
#[derive(Debug)]
pub struct Suites<'a> {
    pub(super) archive: &'a Archive,
    /// In the order of the manifest.
    pub(super) suites: Vec<Opened<'a>>,
}

/// A trusted suite, or a folder of .debs.
#[derive(Debug)]
pub(super) enum Opened<'a> {
    Suite(Box<Suite<'a>>),
    Folder(Folder<'a>),
}

impl Opened<'_> {
    fn source(&self) -> &ArchiveSource {
        match self {
            Self::Suite(suite) => suite.source,
            Self::Folder(folder) => folder.source,
        }
    }

    fn record(&self) -> &TrustRecord {
        match self {
            Self::Suite(suite) => &suite.trusted.record,
            Self::Folder(folder) => &folder.record,
        }
    }
}

/// One trusted suite.
#[derive(Debug)]
pub(super) struct Suite<'a> {
    pub source: &'a ArchiveSource,
    pub name: &'a str,
    pub origin: Origin,
    pub trusted: Trusted,
}

/// One index that is wanted: some suite's, in some of its forms.
struct Part<'s> {
    suite: &'s Suite<'s>,
    /// Its plain name below the suite's folder.
    path: String,
    /// Those that the Release lists with a checksum to believe, by the end of their names.
    forms: Vec<&'static str>,
}

impl<'a> Suites<'a> {
    /// What was trusted, in the order of the manifest.
    pub fn records(&self) -> Vec<TrustRecord> {
        self.suites.iter().map(|opened| opened.record().clone()).collect()
    }

    /// Fetches the indexes of all suites for one architecture, verifies and reads them. A suite that
    /// has none is a note to `observer`.
    ///
    /// # Errors
    /// A component that a suite lacks; an architecture that all suites lack; what goes wrong with
    /// mirrors and indexes.
    pub fn index(
        &self,
        fetcher: &Fetcher,
        architecture: Architecture,
        observer: &dyn Observer,
    ) -> Result<Index, ArchiveError> {
        let parts = self.parts(architecture, observer)?;
        let files = fetch(fetcher, &parts)?;
        let tables: Vec<_> = parts
            .par_iter()
            .zip(files)
            .map(|(part, (form, file))| part.table(fetcher, architecture, form, &file))
            .collect();
        let mut index = Index::new(architecture);
        let mut tables = parts.iter().zip(tables).peekable();
        for opened in self.suites.iter().filter(|opened| is_for(opened.source(), architecture)) {
            let (id, priority) = (&opened.record().id, opened.source().priority);
            if let Opened::Folder(folder) = opened {
                index.add(id, priority, folder.text.clone()).map_err(|error| ArchiveError::Index(Box::new(error)))?;
            }
            while let Some((_, table)) = tables.next_if(|(part, _)| part.suite.trusted.record.id == *id) {
                index.add_table(id, priority, Arc::new(table?));
            }
        }
        Ok(index)
    }

    /// Those files of the indexes for one architecture that the cache has, by their SHA-256; read from it
    /// by a fetcher that is offline.
    pub fn kept(&self, offline: &Fetcher, architecture: Architecture) -> Result<Vec<(Sha256, PathBuf)>, ArchiveError> {
        let mut parts = Vec::new();
        for opened in self.suites.iter().filter(|opened| is_for(opened.source(), architecture)) {
            if let Opened::Suite(suite) = opened {
                suite.parts(architecture, self.archive, &mut parts)?;
            }
        }
        let mut files = Vec::new();
        for part in parts {
            for (_, wanted) in part.forms.iter().filter_map(|form| part.wanted(form)) {
                let Some(path) = offline.cache().find(&wanted.checksum, wanted.size)? else { continue };
                let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                files.extend(name.map(|sha256| (sha256, path)));
            }
        }
        Ok(files)
    }

    fn parts<'s>(&'s self, architecture: Architecture, observer: &dyn Observer) -> Result<Vec<Part<'s>>, ArchiveError> {
        let mut parts = Vec::new();
        let mut without = Vec::new();
        let mut some = false;
        for opened in self.suites.iter().filter(|opened| is_for(opened.source(), architecture)) {
            let before = parts.len();
            let has = match opened {
                Opened::Suite(suite) => {
                    suite.parts(architecture, self.archive, &mut parts)?;
                    parts.len() > before
                }
                Opened::Folder(folder) => folder.serves(architecture),
            };
            some |= has;
            if !has {
                without.push(opened.record().id.clone());
            }
        }
        if some {
            for id in without {
                let text = format!("{id} has no packages for {architecture}; other suites have");
                observer.tell(Event::Note(text));
            }
            return Ok(parts);
        }
        let listed = self.archive.architectures.iter().find(|listed| listed.value == architecture);
        Err(ArchiveError::Architecture(Box::new(NoArchitecture {
            architecture: architecture.to_string(),
            looked: if without.is_empty() { "no suite (no source is for it)".into() } else { without.join(", ") },
            source_code: self.archive.source.clone(),
            span: listed.map_or(0..0, |listed| listed.span.clone()).into(),
        })))
    }
}

/// Whether a source is used for an architecture.
fn is_for(source: &ArchiveSource, architecture: Architecture) -> bool {
    source.architectures.as_ref().is_none_or(|only| only.iter().any(|only| only.value == architecture))
}

impl Suite<'_> {
    fn id(&self) -> String {
        id(self.source, self.name)
    }

    /// Adds the indexes that this suite has for an architecture. An architecture that the Release
    /// names may have none: `Architectures` is not believed, the list of files is.
    fn parts<'s>(
        &'s self,
        architecture: Architecture,
        archive: &Archive,
        parts: &mut Vec<Part<'s>>,
    ) -> Result<(), ArchiveError> {
        if self.name.ends_with('/') {
            self.part("Packages".into(), parts);
            return Ok(());
        }
        let release = &self.trusted.release;
        for component in &self.source.components {
            let folder = format!("{}/binary-", component.value);
            // Debian's security suites write `updates/main` in `Components` and `main` in paths.
            if !release.files.keys().any(|path| path.starts_with(&folder))
                && !release.components.contains(&component.value)
            {
                return Err(self.no_component(component, archive));
            }
            self.part(format!("{folder}{architecture}/Packages"), parts);
            // As apt does (Debian wiki, DebianRepository/Format, No-Support-for-Architecture-all): an
            // index of `all` counts only where the Release names that architecture, and does not say
            // that the others' indexes hold the same packages.
            let apart = release.architectures.iter().any(|name| name == "all");
            if apart && release.no_support_for_architecture_all.as_deref() != Some("Packages") {
                self.part(format!("{folder}all/Packages"), parts);
            }
        }
        Ok(())
    }

    fn part<'s>(&'s self, path: String, parts: &mut Vec<Part<'s>>) {
        let files = &self.trusted.release.files;
        let listed = |form: &&str| files.get(&format!("{path}{form}")).is_some_and(|file| checksum(file).is_some());
        let forms: Vec<_> = FORMS.into_iter().filter(listed).collect();
        if !forms.is_empty() {
            parts.push(Part { suite: self, path, forms });
        }
    }

    fn no_component(&self, component: &Spanned<String>, archive: &Archive) -> ArchiveError {
        let paths = self.trusted.release.files.keys();
        let known: BTreeSet<_> = paths
            .filter_map(|path| path.split_once("/binary-"))
            .map(|(component, _)| printable(component.as_bytes()))
            .collect();
        let help = match nearest(&component.value, known.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean {nearest:?}?"),
            None => "write one of these in `components`".to_owned(),
        };
        ArchiveError::Component(Box::new(NoComponent {
            id: self.id(),
            component: component.value.clone(),
            known: if known.is_empty() { "none".into() } else { Vec::from_iter(known).join(", ") },
            help,
            source_code: archive.source.clone(),
            span: component.span.clone().into(),
        }))
    }
}

/// A table that an earlier run kept. One that is damaged is as if it were not there.
fn recall(cache: &Cache, key: &str) -> Result<Option<Table>, CacheError> {
    let Some(file) = cache.get_derived(KIND, key)? else { return Ok(None) };
    // Room for all of it at once: growing a vector of 20 MB takes as long as reading it.
    let size = file.metadata().map_or(0, |metadata| metadata.len()).min(LARGEST_TABLE);
    let mut bytes = Vec::with_capacity(size as usize);
    let read = file.take(LARGEST_TABLE).read_to_end(&mut bytes);
    Ok(read.ok().and_then(|_| Table::decode(bytes)))
}

/// The checksum that is believed: of what Debian's archives have had, the two that are not broken.
fn checksum(file: &ReleaseFile) -> Option<Checksum> {
    file.sha256.map(Checksum::Sha256).or_else(|| file.sha512.map(|sum| Checksum::Sha512(*sum.as_bytes())))
}

/// Whether a file has the bytes that a Release lists.
fn is_listed(file: &Path, listed: &ReleaseFile) -> io::Result<bool> {
    Ok(has_checksum(&read_at_most(File::open(file)?, listed.size)?, listed))
}

/// Whether bytes are those that a Release lists, as far as it gives a checksum to believe.
fn has_checksum(bytes: &[u8], listed: &ReleaseFile) -> bool {
    match checksum(listed) {
        Some(Checksum::Sha256(digest)) => Sha256::of(bytes) == digest,
        Some(Checksum::Sha512(digest)) => *Sha512::of(bytes).as_bytes() == digest,
        None => true,
    }
}

/// What became of a part so far.
enum Progress {
    /// Not found yet; what the form before said.
    Pending(Option<FetchError>),
    /// The form and the file.
    Found(&'static str, PathBuf),
}

/// Fetches every part in its first form, those whose form no mirror has in the next one, and so on.
/// The forms and the files, in the order of the parts.
fn fetch(fetcher: &Fetcher, parts: &[Part<'_>]) -> Result<Vec<(&'static str, PathBuf)>, ArchiveError> {
    let mut all: Vec<_> = parts.iter().map(|_| Progress::Pending(None)).collect();
    for round in 0..FORMS.len() {
        let (places, wishes): (Vec<_>, Vec<_>) = parts
            .iter()
            .zip(&mut all)
            .filter(|(_, progress)| matches!(progress, Progress::Pending(_)))
            .filter_map(|(part, progress)| {
                let form = *part.forms.get(round)?;
                let last = part.forms.len() == round + 1;
                Some(((form, last, progress), part.wanted(form)?))
            })
            .unzip();
        for ((form, last, progress), result) in places.into_iter().zip(fetcher.blobs(&wishes)) {
            match (result, &mut *progress) {
                (Ok(file), _) => *progress = Progress::Found(form, file),
                (Err(error @ FetchError::Gone(_)), Progress::Pending(None)) if !last => {
                    *progress = Progress::Pending(Some(error));
                }
                (Err(FetchError::Gone(_)), Progress::Pending(Some(_))) if !last => {}
                // What was said of the first form is the most useful.
                (Err(error), Progress::Pending(first)) => return Err(first.take().unwrap_or(error).into()),
                (Err(error), Progress::Found(..)) => return Err(error.into()),
            }
        }
    }
    let found = |progress| match progress {
        Progress::Found(form, file) => Some((form, file)),
        Progress::Pending(_) => None,
    };
    Ok(all.into_iter().filter_map(found).collect())
}

impl Part<'_> {
    fn wanted(&self, form: &str) -> Option<(Origin, Wanted)> {
        let release = &self.suite.trusted.release;
        let path = format!("{}{form}", self.path);
        let file = release.files.get(&path)?;
        let checksum = checksum(file)?;
        let base = base(self.suite.name);
        let mut paths = Vec::new();
        if release.acquire_by_hash {
            let folder = path.rfind('/').map_or("", |at| &path[..=at]);
            let name = match &checksum {
                Checksum::Sha256(digest) => format!("SHA256/{digest}"),
                Checksum::Sha512(digest) => format!("SHA512/{}", Sha512::from_bytes(*digest)),
            };
            paths.push(format!("{base}{folder}by-hash/{name}"));
        }
        paths.push(format!("{base}{path}"));
        let label = format!("{} {}", self.suite.name, printable(path.as_bytes()));
        let wanted = Wanted { paths, size: file.size, checksum, label, kind: Kind::Index };
        Some((self.suite.origin.clone(), wanted))
    }

    /// The table of a fetched index: as an earlier run made it of these very bytes, or made anew and kept
    /// for the next run.
    fn table(
        &self,
        fetcher: &Fetcher,
        architecture: Architecture,
        form: &str,
        file: &Path,
    ) -> Result<Table, ArchiveError> {
        let cache = fetcher.cache();
        let listed = self.suite.trusted.release.files.get(&format!("{}{form}", self.path)).and_then(checksum);
        let key = listed.map(|checksum| format!("{checksum}-{architecture}-{FORMAT}"));
        if let Some(key) = &key
            && let Some(table) = recall(cache, key)?
        {
            return Ok(table);
        }
        let text = self.text(fetcher, form, file)?;
        let table = Table::build(architecture, &text)
            .map_err(|unfit| ArchiveError::Index(Box::new(IndexError::unfit(unfit, &self.suite.id()))))?;
        if let Some(key) = &key {
            cache.put_derived(KIND, key, |file| file.write_all(table.as_bytes()))?;
        }
        Ok(table)
    }

    /// The text of an index. A file that was damaged since it was fetched is fetched again.
    fn text(&self, fetcher: &Fetcher, form: &str, file: &Path) -> Result<Vec<u8>, ArchiveError> {
        let refuse = |reason| ArchiveError::Unpack {
            id: self.suite.id(),
            path: printable(format!("{}{form}", self.path).as_bytes()),
            reason,
        };
        let reason = match self.read(form, file) {
            Ok(text) => return Ok(text),
            Err(reason) => reason,
        };
        let listed = self.suite.trusted.release.files.get(&format!("{}{form}", self.path));
        let whole = |file: &Path| match listed {
            Some(listed) => is_listed(file, listed).unwrap_or(false),
            None => false,
        };
        let Some((origin, wanted)) = self.wanted(form).filter(|_| !whole(file)) else { return Err(refuse(reason)) };
        fs::remove_file(file).map_err(|source| CacheError::Write { path: file.to_owned(), source })?;
        self.read(form, &fetcher.blob(&origin, &wanted)?).map_err(refuse)
    }

    /// The text of a fetched index: no longer than its plain form is listed with, and of its checksum.
    /// Where the plain form is not listed, the fetched bytes are compared once more: what was fetched
    /// earlier may have been damaged since.
    fn read(&self, form: &str, file: &Path) -> Result<Vec<u8>, String> {
        let files = &self.suite.trusted.release.files;
        let plain = files.get(&self.path);
        let limit = plain.map_or(LARGEST_INDEX, |plain| plain.size.min(LARGEST_INDEX));
        if plain.and_then(checksum).is_none() {
            let listed = files.get(&format!("{}{form}", self.path)).ok_or("the Release does not list it")?;
            if !is_listed(file, listed).map_err(|error| error.to_string())? {
                return Err("it has not the checksum of the Release".into());
            }
        }
        let text = File::open(file)
            .and_then(|file| {
                let file = io::BufReader::new(file);
                match form {
                    ".xz" => {
                        let stream = xz2::stream::Stream::new_stream_decoder(XZ_MEMORY, xz2::stream::CONCATENATED)?;
                        read_at_most(xz2::bufread::XzDecoder::new_stream(file, stream), limit)
                    }
                    ".zst" => read_at_most(zstd::stream::read::Decoder::with_buffer(file)?, limit),
                    ".gz" => read_at_most(flate2::bufread::MultiGzDecoder::new(file), limit),
                    _ => read_at_most(file, limit),
                }
            })
            .map_err(|error| error.to_string())?;
        let Some(plain) = plain else { return Ok(text) };
        if text.len() as u64 != plain.size {
            return Err(format!("its text has {} bytes, not the {} of the Release", text.len(), plain.size));
        }
        match has_checksum(&text, plain) {
            true => Ok(text),
            false => Err("its text has not the checksum of the Release".into()),
        }
    }
}
