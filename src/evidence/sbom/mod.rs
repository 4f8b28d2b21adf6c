//! Bills of materials. [`bill`] says what a tier is made of; [`spdx`], [`cyclonedx`] and [`report`] write
//! it, each in one form. The same tier gives the same bytes: no clock, and names of documents follow from
//! what they say. docs/sbom.md tells what each field comes from.

pub mod cyclonedx;
mod identity;
mod purl;
pub mod report;
pub mod spdx;
mod system;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use rayon::prelude::*;
use sha1::Digest as _;

pub use self::{purl::purl, system::System};
pub use super::origin::Finished;
use super::{
    EvidenceError,
    licences::{self, Licences, Text},
    origin::{Bringer, Origins, Own},
};
use crate::{
    debian::{Architecture, deb822::Cursor},
    ground::{RootPath, Sha256, printable},
    rootfs::{Content, Node, Rootfs},
};

/// What a tier is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// The distribution's name.
    pub distribution: String,
    /// Of which architecture.
    pub architecture: Architecture,
    /// Seconds since 1970, as the distribution gives it.
    pub created: u64,
    /// What os-release(5) says.
    pub system: System,
    /// The chain, the root tier first; the last one is what the bill is of.
    pub tiers: Vec<Tier>,
    /// The whole chain's, the root tier's first.
    pub packages: Vec<Package>,
    /// Licence texts by identifier.
    pub texts: BTreeMap<String, Text>,
    /// Regular files by path, where they are asked for.
    pub files: Option<Vec<File>>,
}

/// One tier of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// In full: `debian13/cc`.
    pub title: String,
    /// The manifest's summary.
    pub summary: String,
    /// Digest of all that shapes the layer.
    pub recipe: Sha256,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Binary package name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `all` or an architecture.
    pub architecture: String,
    /// Which tier adds it, by number.
    pub tier: usize,
    /// Name and version of its source package.
    pub source: (String, String),
    /// Its package URL.
    pub purl: String,
    /// The control file's Maintainer.
    pub maintainer: Option<String>,
    /// The control file's Homepage, where it is a URI of HTTP or FTP.
    pub homepage: Option<String>,
    /// The suite that lists it, such as `debian/trixie`.
    pub from: String,
    /// Where the archive has the .deb; empty where there is none.
    pub path: String,
    /// Bytes of the .deb; 0 where there is none.
    pub size: u64,
    /// Of the .deb; `None`: it is of an image that others made, which brought no .deb.
    pub sha256: Option<Sha256>,
    /// Where the tier has its copyright file, links followed.
    pub copyright: Option<RootPath>,
    /// What the copyright file says: the tier's, or, where globs keep that out, the package's own.
    pub licences: Option<Arc<Licences>>,
}

/// One regular file of a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: RootPath,
    /// Of its bytes.
    pub sha256: Sha256,
    /// SHA-1 of its bytes, in hexadecimal: SPDX 2.3 asks for it (8.4). It protects nothing.
    pub sha1: String,
    /// Bytes.
    pub size: u64,
    /// Who brought it.
    pub from: From,
}

/// Who brought a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// A package, by number.
    Package(usize),
    /// A tier itself, by number.
    Tier {
        /// The tier.
        tier: usize,
        /// In words: the generator, or file and line of the manifest.
        how: String,
        /// Packages that it is generated from, as far as that is known.
        packages: Vec<usize>,
    },
}

/// Copyright files that were read already: each one's bytes are looked at once, whoever has it.
#[derive(Debug, Default)]
pub struct Copyrights(Mutex<BTreeMap<Sha256, Arc<Licences>>>);

impl Copyrights {
    fn read(&self, path: &RootPath, content: &Content) -> Result<Arc<Licences>, EvidenceError> {
        let known = |known: &BTreeMap<Sha256, Arc<Licences>>| known.get(&content.sha256).cloned();
        if let Some(found) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(found);
        }
        let size = content.size.min(licences::LARGEST);
        let bytes = bytes(path, content, size)?;
        let found = Arc::new(licences::read(&bytes, content.size - size));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(content.sha256, found.clone());
        Ok(found)
    }
}

/// The first bytes of a file; where they are all, they are compared with their checksum.
fn bytes(path: &RootPath, content: &Content, size: u64) -> Result<Vec<u8>, EvidenceError> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
    content.read_at(0, &mut bytes).map_err(|error| EvidenceError::Content { path: path.clone(), error })?;
    if size == content.size && libdeflater::crc32(&bytes) != content.crc32 {
        return Err(EvidenceError::Damaged { path: path.clone() });
    }
    Ok(bytes)
}

/// The bill of a tier; with its files, which are then read for their SHA-1, only where `files`.
///
/// # Errors
/// Files of the tier that cannot be read.
pub fn bill(finished: &Finished<'_>, copyrights: &Copyrights, files: bool) -> Result<Bill, EvidenceError> {
    let all = finished.packages();
    let empty = Rootfs::default();
    let tree = finished.tree().unwrap_or(&empty);
    let system = System::read(tree, &all.first().map(|own| own.locked.from.to_string()).unwrap_or_default())?;
    let packages: Vec<Package> =
        all.par_iter().map(|own| package(own, tree, &system, copyrights)).collect::<Result<_, _>>()?;
    let licences = packages.iter().flat_map(|package| &package.licences);
    let texts = licences.flat_map(|licences| &licences.texts).map(|(id, text)| (id.clone(), text.clone())).collect();
    let tiers = finished.stages.iter().zip(finished.recipes).enumerate().map(|(number, (stage, recipe))| Tier {
        title: finished.title(number),
        summary: stage.tier.summary.clone(),
        recipe: *recipe,
    });
    Ok(Bill {
        distribution: finished.distribution.to_owned(),
        architecture: finished.architecture,
        created: finished.created,
        system,
        tiers: tiers.collect(),
        files: if files { Some(list(finished, &all, tree)?) } else { None },
        packages,
        texts,
    })
}

impl Bill {
    /// The tier that the bill is of, in full.
    pub fn title(&self) -> &str {
        self.tiers.last().map_or("", |tier| &tier.title)
    }

    /// Its time, as RFC 3339 writes it.
    fn moment(&self) -> String {
        moment(self.created)
    }
}

/// A time as RFC 3339 writes it, in UTC and whole seconds.
pub(super) fn moment(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.unwrap_or_default().to_string()
}

impl Package {
    /// Its licences as an SPDX expression; `None` without a copyright file.
    pub fn expression(&self) -> Option<String> {
        self.licences.as_ref().map(|licences| licences.expression.to_string())
    }
}

fn package(own: &Own<'_>, tree: &Rootfs, system: &System, copyrights: &Copyrights) -> Result<Package, EvidenceError> {
    let Own { stage, input, locked } = own;
    let control = Control::read(input.unpacked.control.get("control").map(|text| &**text).unwrap_or_default());
    let (name, version, architecture) = (&*input.name.name, &*input.name.version, &*input.name.architecture);
    let source = match control.source {
        None => (name.to_owned(), version.to_owned()),
        Some((source, None)) => (source, version.to_owned()),
        Some((source, Some(of))) => (source, of),
    };
    let (copyright, licences) = match copyright(tree, name) {
        Some((path, content)) => (Some(path), Some(copyrights.read(&copyright_path(name), content)?)),
        None => (None, own_copyright(own).map(|(path, content)| copyrights.read(path, content)).transpose()?),
    };
    Ok(Package {
        purl: purl(&system.id, system.version.as_deref(), (name, version, architecture), (&source.0, &source.1)),
        name: printable(name.as_bytes()),
        version: printable(version.as_bytes()),
        architecture: printable(architecture.as_bytes()),
        tier: *stage,
        source: (printable(source.0.as_bytes()), printable(source.1.as_bytes())),
        maintainer: control.maintainer.map(|text| printable(text.as_bytes())),
        homepage: control.homepage,
        from: printable(locked.from.as_bytes()),
        path: printable(locked.path.as_bytes()),
        size: locked.size,
        // Without a file there is nothing that the hash could be of.
        sha256: Some(locked.sha256).filter(|_| !locked.path.is_empty()),
        copyright,
        licences,
    })
}

fn copyright_path(name: &str) -> RootPath {
    RootPath::from_archive(format!("usr/share/doc/{name}/copyright").as_bytes()).unwrap_or_default()
}

/// A package's copyright file (Policy 12.5) in the tier, links followed.
fn copyright<'t>(tree: &'t Rootfs, name: &str) -> Option<(RootPath, &'t Content)> {
    let path = tree.resolve(&copyright_path(name))?;
    match &tree.get(&path)?.node {
        Node::File { content, .. } => Some((path, content)),
        _ => None,
    }
}

/// The one in the package itself.
fn own_copyright<'a>(own: &Own<'a>) -> Option<(&'a RootPath, &'a Content)> {
    let path = copyright_path(&own.input.name.name);
    let item = own.input.unpacked.entries.iter().find(|item| item.path == path)?;
    match &item.node {
        Node::File { content, .. } => Some((&item.path, content)),
        _ => None,
    }
}

/// What a bill takes from a control file.
#[derive(Default)]
struct Control {
    /// Name, and version where it is another one.
    source: Option<(String, Option<String>)>,
    maintainer: Option<String>,
    homepage: Option<String>,
}

impl Control {
    fn read(control: &[u8]) -> Self {
        let text = String::from_utf8_lossy(control);
        let mut found = Self::default();
        let mut cursor = Cursor::new(&text);
        cursor.stanza();
        while let Ok(Some(field)) = cursor.field() {
            let value = field.value.lines().next().unwrap_or_default().trim();
            match field.name.to_ascii_lowercase().as_str() {
                _ if value.is_empty() => {}
                "source" => {
                    found.source = Some(match value.split_once(" (") {
                        Some((name, version)) => (name.into(), Some(version.trim_end_matches(')').into())),
                        None => (value.into(), None),
                    });
                }
                "maintainer" => found.maintainer = Some(value.into()),
                "homepage" => found.homepage = Some(value.to_owned()).filter(|uri| is_uri(uri)),
                _ => {}
            }
        }
        found
    }
}

/// Whether a text is a URI of HTTP or FTP: what stands in documents as one must be one.
fn is_uri(text: &str) -> bool {
    let rest = ["https://", "http://", "ftp://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=%".contains(&byte))
            && rest.split('%').skip(1).all(|escape| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
            && rest.matches('#').count() <= 1
    })
}

/// The regular files of a tier.
fn list(finished: &Finished<'_>, packages: &[Own<'_>], tree: &Rootfs) -> Result<Vec<File>, EvidenceError> {
    let origins = Origins::new(finished, packages);
    let each: Vec<_> = tree.entries.iter().collect();
    let files = each.par_iter().filter_map(|(path, entry)| match &entry.node {
        Node::File { content, .. } => Some((*path, *entry, content)),
        _ => None,
    });
    files
        .map(|(path, entry, content)| {
            let from = match origins.of(path, entry) {
                Bringer::Package(number) => From::Package(number),
                Bringer::Generator { stage, generator, packages } => {
                    From::Tier { tier: stage, how: format!("generated: {generator}"), packages }
                }
                Bringer::Manifest { stage, key, file, line } => {
                    From::Tier { tier: stage, how: format!("[[{key}]] of {file}:{line}"), packages: Vec::new() }
                }
                Bringer::Image { layer, .. } => {
                    let how = format!("of the base image, in its layer sha256:{layer}");
                    From::Tier { tier: 0, how, packages: Vec::new() }
                }
                Bringer::Implied => {
                    From::Tier { tier: origins.stage(path, entry), how: String::new(), packages: Vec::new() }
                }
            };
            let sha1 = sha1(path, content)?;
            Ok(File { path: path.clone(), sha256: content.sha256, sha1, size: content.size, from })
        })
        .collect()
}

/// Bytes that are hashed at once.
const STRETCH: u64 = 1 << 20;

fn sha1(path: &RootPath, content: &Content) -> Result<String, EvidenceError> {
    let mut hasher = sha1::Sha1::new();
    let mut checksum = libdeflater::Crc::new();
    let mut buffer = vec![0; content.size.min(STRETCH) as usize];
    let mut at = 0;
    while at < content.size {
        let length = (content.size - at).min(STRETCH);
        let stretch = &mut buffer[..length as usize];
        content.read_at(at, stretch).map_err(|error| EvidenceError::Content { path: path.clone(), error })?;
        hasher.update(&stretch);
        checksum.update(stretch);
        at += length;
    }
    if checksum.sum() != content.crc32 {
        return Err(EvidenceError::Damaged { path: path.clone() });
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
