//! A bundle: a project, its lock and all downloads that a build needs, in one reproducible tar. Unpacked by
//! hand it is a project folder with its cache; `--bundle FILE` uses it as it is.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use miette::Diagnostic;
use serde::Serialize;

use super::{
    Failures, Pick, Workshop, locking,
    packages::{Lack, Sought, fetched},
    plan::{Plan, plan},
    tarballs,
};
use crate::{
    archive,
    compose::Beside,
    fetch::Fetcher,
    ground::{
        Class, Event, Failure, RootPath, Sha256, Sha256Hasher, Silent, printable, read_at_most, write_whole_with,
    },
    manifest::{FileContent, Project, TarballPlace},
};

/// The first entry, which tells a bundle from other tars; its text is the version of what follows, then the
/// tiers that it was made for, a line each.
const MARK: &str = "debstrata-bundle";
/// The version of what follows.
const VERSION: &str = "1";
/// The longest text of the first entry, in bytes.
const LONGEST_MARK: u64 = 1 << 20;
/// The longest name, in bytes, with its NUL.
const LONGEST_NAME: u64 = 4096;
/// Where downloads lie, in a bundle as in a project.
const DOWNLOADS: &str = "cache/downloads";
/// Most entries of a bundle.
const MOST: usize = 1_000_000;
/// The deepest folder below manifests/ that is taken along.
const DEEPEST: usize = 16;

/// What was bundled.
#[derive(Debug, Clone, Serialize)]
pub struct Bundled {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Of the file.
    pub sha256: Sha256,
    /// How many files of the project are in it.
    pub files: usize,
    /// How many downloads.
    pub downloads: usize,
}

/// A bundle cannot be made or used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum BundleError {
    /// A file that the manifests name lies outside the project.
    #[error("{} lies outside the project, so a bundle cannot hold it", path.display())]
    #[diagnostic(code(debstrata::bundle::outside), help("copy it into the project folder, and name it from there"))]
    Outside {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(code(debstrata::bundle::read), help("make it readable for the user that runs debstrata"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What a bundle holds cannot be written.
    #[error("cannot write {}", path.display())]
    #[diagnostic(
        code(debstrata::bundle::write),
        help("see whether the disk of the cache folder is full, or name another with --cache")
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is no bundle, or a damaged one.
    #[error("{} is no bundle that can be used: {reason}", path.display())]
    #[diagnostic(code(debstrata::bundle::damaged), help("make it anew with `debstrata bundle`, or copy it again"))]
    Damaged {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it, fit to print.
        reason: String,
    },
}

impl Failure for BundleError {
    fn class(&self) -> Class {
        match self {
            Self::Outside { .. } | Self::Damaged { .. } => Class::User,
            Self::Read { .. } | Self::Write { .. } => Class::World,
        }
    }
}

/// Gathers all that building and auditing the picked tiers needs, and writes it to `path`, whole or not at
/// all. The same project, lock and downloads give the same bytes.
pub fn bundle(workshop: &Workshop, picks: &[Pick], path: &Path) -> Result<Bundled, Failures> {
    let locks = locking::read_all_fresh(workshop, picks)?;
    let plans = plan(workshop, picks, &locks)?;
    let mut downloads = BTreeMap::new();
    for plan in &plans {
        packages(workshop, plan, &mut downloads)?;
        trusted(workshop, plan, &mut downloads)?;
    }
    let files = project_files(workshop, picks, &plans)?;
    let (count, of_project) = (downloads.len(), files.len());
    let mut all = files;
    all.extend(downloads);
    let mut mark = format!("{VERSION}\n");
    for pick in picks {
        let distribution = &workshop.project.distributions[pick.distribution];
        let titles =
            pick.named.iter().map(|tier| format!("{}/{}\n", distribution.name, distribution.tiers[*tier].name));
        mark.extend(titles);
    }
    let mut sha256 = Sha256::of(b"");
    let mut size = 0;
    let mut unreadable = None;
    write_whole_with(path, |out| {
        let mut out =
            Counting { out: io::BufWriter::with_capacity(1 << 20, out), hasher: Sha256Hasher::new(), size: 0 };
        let mut tar = tar::Builder::new(&mut out);
        put(&mut tar, MARK, mark.len() as u64, mark.as_bytes())?;
        for (name, from) in &all {
            let opened = File::open(from).and_then(|file| Ok((file.metadata()?.len(), file)));
            match opened {
                Ok((length, file)) => put(&mut tar, name, length, file.take(length))?,
                Err(error) => {
                    unreadable = Some((from.clone(), error));
                    return Err(io::ErrorKind::Other.into());
                }
            }
        }
        tar.finish()?;
        drop(tar);
        out.out.flush()?;
        (sha256, size) = (out.hasher.finish(), out.size);
        Ok(())
    })
    .map_err(|error| match unreadable.take() {
        Some((path, source)) => Failures::from(BundleError::Read { path, source }),
        None => error.into(),
    })?;
    Ok(Bundled { path: path.to_owned(), size, sha256, files: of_project, downloads: count })
}

struct Counting<W> {
    out: W,
    hasher: Sha256Hasher,
    size: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Appends a file: mode 0644, owner 0, time 0.
fn put(tar: &mut tar::Builder<impl Write>, name: &str, size: u64, bytes: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    tar.append_data(&mut header, name, bytes)
}

fn download_name(sha256: &Sha256) -> String {
    let name = sha256.to_string();
    format!("{DOWNLOADS}/{}/{name}", &name[..2])
}

/// Adds the .debs and tarballs of a plan; what the cache lacks is fetched.
fn packages(workshop: &Workshop, plan: &Plan<'_>, downloads: &mut BTreeMap<String, PathBuf>) -> Result<(), Failures> {
    let origins = archive::origins(&plan.distribution.archive, &plan.lock.suites);
    let mut sought: BTreeMap<Sha256, Sought<'_>> = BTreeMap::new();
    for package in plan.steps.iter().flat_map(|step| plan.packages(step)) {
        let origin = origins.get(&*package.from);
        sought.insert(package.sha256, Sought { distribution: &plan.distribution.name, package, origin, turn: 0 });
    }
    let sought: Vec<_> = sought.into_values().collect();
    let debs = fetched(workshop, &sought).map_err(Lack::into_failures)?;
    downloads.extend(sought.iter().zip(debs).map(|(one, deb)| (download_name(&one.package.sha256), deb)));
    for step in &plan.steps {
        for tarball in &plan.tier(step).archives {
            downloads.insert(download_name(&tarball.sha256), tarballs::fetched(workshop, &plan.title(step), tarball)?);
        }
    }
    for sha256 in plan.grounds.values().flat_map(|ground| &ground.base.downloads) {
        downloads.insert(download_name(sha256), workshop.cache.download_path(sha256));
    }
    Ok(())
}

/// Adds what the cache has of the chain of trust: InReleases, and the indexes that they sign.
fn trusted(workshop: &Workshop, plan: &Plan<'_>, downloads: &mut BTreeMap<String, PathBuf>) -> Result<(), Failures> {
    let archive = &plan.distribution.archive;
    let (suites, forgotten) = archive::reopen(archive, &plan.lock.suites, &workshop.cache, workshop.clock)?;
    for record in suites.records() {
        downloads.insert(download_name(&record.inrelease), workshop.cache.download_path(&record.inrelease));
    }
    let fetcher = Fetcher::new(workshop.offline.clone(), workshop.cache.clone(), Arc::new(Silent))?;
    for (sha256, file) in suites.kept(&fetcher, plan.architecture)? {
        downloads.insert(download_name(&sha256), file);
    }
    for id in forgotten {
        let text = format!("{id}: the cache no longer has the InRelease of the lock, so the bundle has none");
        workshop.observer.tell(Event::Note(text));
    }
    Ok(())
}

/// The files of the picked distributions by their names in the bundle: all below their folders, and what
/// their tiers name elsewhere in the project.
fn project_files(
    workshop: &Workshop,
    picks: &[Pick],
    plans: &[Plan<'_>],
) -> Result<BTreeMap<String, PathBuf>, BundleError> {
    let mut files = Vec::new();
    for pick in picks {
        walk(&workshop.project.distributions[pick.distribution].folder, 0, &mut files)?;
    }
    files.extend(plans.iter().flat_map(|plan| &plan.steps).flat_map(|step| beside(&step.beside)));
    let named = |path: PathBuf| match name_below(&workshop.project.root, &path) {
        Some(name) => Ok((name, path)),
        None => Err(BundleError::Outside { path }),
    };
    files.into_iter().map(named).collect()
}

fn beside(beside: &Beside) -> impl Iterator<Item = PathBuf> {
    beside.keys().cloned()
}

/// Regular files below a folder. Links are not followed; what this program writes at this moment and hidden
/// files are left out.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), BundleError> {
    let fail = |source| BundleError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let kind = entry.file_type().map_err(fail)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() && depth < DEEPEST {
            walk(&entry.path(), depth + 1, files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The plain name of `path` below `root`; both are as the user wrote them, `..` taken as written.
fn name_below(root: &Path, path: &Path) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for component in path.strip_prefix(root).ok()?.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => drop(names.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    // Not what the cache itself holds.
    (!names.is_empty() && names.first() != Some(&"cache")).then(|| names.join("/"))
}

/// Unpacks a bundle into `folder`, which is empty. Names stay below it, only files are taken, and every
/// download must have the digest that it is named by.
///
/// Gives the tiers that it was made for.
pub(super) fn unpack_bundle(bundle: &Path, folder: &Path) -> Result<Vec<String>, BundleError> {
    let damaged = |reason: String| BundleError::Damaged { path: bundle.to_owned(), reason };
    let file = File::open(bundle).map_err(|source| BundleError::Read { path: bundle.to_owned(), source })?;
    let mut tar = tar::Archive::new(io::BufReader::with_capacity(1 << 20, file));
    let broken = |error: io::Error| damaged(printable(error.to_string().as_bytes()));
    let mut tiers = Vec::new();
    // A name that an entry before it gave.
    let mut long: Option<Vec<u8>> = None;
    // Raw: so that no extension is read into memory, whatever size it says.
    for (number, entry) in tar.entries().map_err(broken)?.raw(true).enumerate() {
        let mut entry = entry.map_err(broken)?;
        if entry.header().entry_type() == tar::EntryType::GNULongName {
            let name =
                read_at_most(&mut entry, LONGEST_NAME).map_err(|_| damaged("it has an endless name".to_owned()))?;
            long = Some(name.strip_suffix(b"\0").unwrap_or(&name).to_vec());
            continue;
        }
        let name = long.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let shown = printable(&name);
        if number == 0 {
            let mut text = Vec::new();
            entry.by_ref().take(LONGEST_MARK).read_to_end(&mut text).map_err(broken)?;
            if name != MARK.as_bytes() {
                return Err(damaged("it does not begin as a bundle does".to_owned()));
            }
            let text = String::from_utf8_lossy(&text);
            let mut lines = text.lines();
            match lines.next() {
                Some(VERSION) => tiers.extend(lines.map(str::to_owned)),
                other => {
                    let version = printable(other.unwrap_or_default().as_bytes());
                    return Err(damaged(format!("its version is {version}, known is {VERSION}")));
                }
            }
            continue;
        }
        if number > MOST {
            return Err(damaged(format!("it has more than {MOST} entries")));
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(damaged(format!("{shown} is no file")));
        }
        let plain = RootPath::from_archive(&name).ok().filter(|path| path.as_bytes() == name);
        let Some(plain) = plain.as_ref().and_then(|path| std::str::from_utf8(path.as_bytes()).ok()) else {
            return Err(damaged(format!("{shown} is no plain name")));
        };
        let expected = match plain.strip_prefix("cache/") {
            None => None,
            Some(rest) => {
                let digest = rest.rsplit('/').next().and_then(|digest| digest.parse::<Sha256>().ok());
                let digest = digest.filter(|digest| download_name(digest) == plain);
                Some(digest.ok_or_else(|| damaged(format!("{shown} is no download")))?)
            }
        };
        let path = folder.join(plain);
        let write = |source| BundleError::Write { path: path.clone(), source };
        let in_the_way = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
            )
        };
        let parent = path.parent().unwrap_or(folder);
        let made = fs::create_dir_all(parent).and_then(|()| File::create_new(&path));
        let out = match made {
            Err(error) if in_the_way(&error) => {
                return Err(damaged(format!("{shown} is there twice")));
            }
            opened => opened.map_err(write)?,
        };
        let mut out = Counting { out, hasher: Sha256Hasher::new(), size: 0 };
        let size = entry.header().size().map_err(broken)?;
        copy(&mut entry, &mut out, &broken, &write)?;
        if out.size != size {
            return Err(damaged(format!("it ends in {shown}")));
        }
        if expected.is_some_and(|expected| out.hasher.finish() != expected) {
            return Err(damaged(format!("{shown} has other bytes than its name says")));
        }
    }
    if folder.join("manifests").is_dir() { Ok(tiers) } else { Err(damaged("it has no manifests".to_owned())) }
}

/// Whether all that manifests of a bundle name lies in it: else whoever made the bundle could have files of
/// this machine read into a layer.
pub(super) fn stays_inside(project: &Project) -> Result<(), BundleError> {
    let mut named: Vec<&Path> = Vec::new();
    for distribution in &project.distributions {
        for source in &distribution.archive.sources {
            named.extend(source.signed_by.iter().map(|keyring| keyring.path.as_path()));
            named.extend(source.folder.iter().map(|folder| folder.path.as_path()));
        }
        for tier in &distribution.tiers {
            named.extend(tier.files.iter().filter_map(|file| match &file.content {
                FileContent::Beside(path) => Some(path.as_path()),
                FileContent::Text(_) => None,
            }));
            named.extend(tier.archives.iter().flat_map(|tarball| &tarball.uris).filter_map(|place| match place {
                TarballPlace::Beside(path) => Some(path.as_path()),
                TarballPlace::Uri(_) => None,
            }));
        }
    }
    match named.into_iter().find(|path| name_below(&project.root, path).is_none()) {
        Some(path) => Err(BundleError::Outside { path: path.to_owned() }),
        None => Ok(()),
    }
}

/// Copies, telling apart on which side it fails.
fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    broken: &impl Fn(io::Error) -> BundleError,
    write: &impl Fn(io::Error) -> BundleError,
) -> Result<(), BundleError> {
    let mut piece = vec![0; 256 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&piece[..length]).map_err(write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
    }
}
