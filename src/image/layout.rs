//! OCI image layouts: folders of blobs named by their digests, with an `index.json` that names images
//! (OCI image-spec 1.1, image-layout.md). This file reads them, ours and others'; `write` adds to ours.
//!
//! Nothing in a layout is believed: documents are bounded, a blob has the size that its descriptor
//! says and is hashed before it is used, and no path leaves the folder.

mod error;
mod write;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::spec::{
    Config, DOCKER_LIST, DOCKER_MANIFEST, Descriptor, Digest, INDEX, Index, LONGEST_DOCUMENT, MANIFEST, Manifest,
    Platform, REF_NAME,
};
use crate::ground::{Sha256Hasher, TooLong, open_regular, printable, read_at_most};

pub use error::LayoutError;
pub use write::{INDEX_NAME, MARKER_NAME, Session, Written, attach, blobs_folder};

/// The longest `oci-layout`, in bytes.
const LONGEST_MARKER: u64 = 4 << 10;
/// The longest `index.json`, in bytes: some 20,000 images.
const LONGEST_INDEX: u64 = 8 << 20;
/// How deep indexes lie in indexes.
const DEEPEST: usize = 4;
/// How much is hashed at a time, in bytes.
const PIECE: usize = 256 << 10;

const HELP: &str = "the layout is broken: copy or build it again, or name another one";

/// The file `oci-layout`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// The only version of layouts there is.
const VERSION: &str = "1.0.0";

/// A layout that is there, as it was when it was opened. While one is open, no build removes blobs from it.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    index: Index,
    _lease: File,
}

impl Layout {
    /// Opens the layout in a folder.
    ///
    /// # Errors
    /// It is none, of another version, or its index.json is malformed, a link or too long.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let fail = |why: String| LayoutError::NoLayout { path: path.to_owned(), why };
        let lease = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(fail("there is no such folder".into()));
            }
            opened => opened.map_err(|source| LayoutError::Read { path: path.to_owned(), source })?,
        };
        // Where there are no locks, or none can be had: as good as it gets.
        let _ = lease.lock_shared();
        let Some(marker) = read_document::<Marker>(path, &[MARKER_NAME], LONGEST_MARKER, HELP)? else {
            return Err(fail(format!("it has no file {MARKER_NAME}")));
        };
        if marker.image_layout_version != VERSION {
            let version = printable(marker.image_layout_version.as_bytes());
            return Err(fail(format!("its version is {version}, and only {VERSION} is known")));
        }
        let Some(index) = read_document::<Index>(path, &[INDEX_NAME], LONGEST_INDEX, HELP)? else {
            return Err(fail(format!("it has no file {INDEX_NAME}")));
        };
        Ok(Self { root: path.to_owned(), index, _lease: lease })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All that index.json points at, in its order, referrers without a name included.
    pub fn entries(&self) -> &[Descriptor] {
        &self.index.manifests
    }

    /// The named images, in the order of index.json. Names of a foreign layout may hold anything.
    pub fn refs(&self) -> impl Iterator<Item = (&str, &Descriptor)> {
        let entries = self.index.manifests.iter();
        entries.filter_map(|entry| Some((entry.annotations.get(REF_NAME)?.as_str(), entry)))
    }

    /// What a name (`cc`), a digest (`sha256:...`, of an image or of one platform's) or, where there is
    /// only one image, an empty text stands for.
    pub fn resolve(&self, reference: &str) -> Result<Descriptor, LayoutError> {
        let entries = &self.index.manifests;
        let fail = |help: String| LayoutError::NoReference {
            path: self.root.clone(),
            reference: printable(reference.as_bytes()),
            help,
        };
        let found: Vec<&Descriptor> = match reference.parse::<Digest>() {
            Ok(digest) => {
                if let Some(found) = self.below(entries, digest, 0)? {
                    return Ok(found);
                }
                Vec::new()
            }
            Err(_) if reference.is_empty() => entries.iter().filter(|entry| is_image(entry)).collect(),
            Err(_) => self.refs().filter(|(name, _)| *name == reference).map(|(_, entry)| entry).collect(),
        };
        match &*found {
            [one] => Ok((*one).clone()),
            [] => {
                let mut names: Vec<String> = self.refs().map(|(name, _)| printable(name.as_bytes())).collect();
                names.sort();
                names.dedup();
                names.truncate(100);
                Err(fail(match names.is_empty() {
                    true => "it names no image; name one by its digest, sha256:...".to_owned(),
                    false => format!("it has: {}", names.join(", ")),
                }))
            }
            several => {
                let digests: Vec<String> = several.iter().take(100).map(|entry| entry.digest.to_string()).collect();
                Err(fail(format!("name one of these by its digest: {}", digests.join(", "))))
            }
        }
    }

    /// The descriptor of a digest among entries and what indexes among them point at.
    fn below(&self, entries: &[Descriptor], digest: Digest, depth: usize) -> Result<Option<Descriptor>, LayoutError> {
        if let Some(found) = entries.iter().find(|entry| entry.digest == digest) {
            return Ok(Some(found.clone()));
        }
        for entry in entries.iter().filter(|entry| is_index(entry) && depth < DEEPEST) {
            if let Some(found) = self.below(&self.index(entry)?.manifests, digest, depth + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The manifest for a platform of what [`Layout::resolve`] found, an index or a manifest.
    ///
    /// # Errors
    /// There is none, or it is malformed. A manifest by itself is taken for what its config says.
    pub fn choose(&self, image: &Descriptor, platform: &Platform) -> Result<(Descriptor, Manifest), LayoutError> {
        let mut candidates = Vec::new();
        self.platforms(image, 0, &mut candidates)?;
        if let [only] = &mut *candidates
            && only.platform.is_none()
        {
            let config = self.config(&self.manifest(only)?)?;
            let Config { architecture, os, variant, .. } = config;
            only.platform = Some(Platform { architecture, os, variant });
        }
        let fit = |candidate: &&Descriptor| candidate.platform.as_ref().and_then(|found| fits(found, platform));
        match candidates.iter().filter(|candidate| fit(candidate).is_some()).min_by_key(fit) {
            Some(found) => Ok((found.clone(), self.manifest(found)?)),
            None => {
                let known: Vec<String> = candidates.iter().flat_map(|found| &found.platform).map(shown).collect();
                let known = if known.is_empty() { "no platform".to_owned() } else { known.join(", ") };
                Err(LayoutError::NoPlatform { digest: image.digest, platform: shown(platform), known })
            }
        }
    }

    fn platforms(&self, at: &Descriptor, depth: usize, found: &mut Vec<Descriptor>) -> Result<(), LayoutError> {
        match at {
            _ if is_manifest(at) => found.push(at.clone()),
            _ if is_index(at) && depth < DEEPEST => {
                for entry in &self.index(at)?.manifests {
                    self.platforms(entry, depth + 1, found)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The index that a descriptor points at.
    pub fn index(&self, at: &Descriptor) -> Result<Index, LayoutError> {
        self.document(at)
    }

    /// The manifest that a descriptor points at.
    pub fn manifest(&self, at: &Descriptor) -> Result<Manifest, LayoutError> {
        self.document(at)
    }

    /// The config of an image's manifest.
    pub fn config(&self, manifest: &Manifest) -> Result<Config, LayoutError> {
        self.document(&manifest.config)
    }

    fn document<T: DeserializeOwned + Versioned>(&self, at: &Descriptor) -> Result<T, LayoutError> {
        let bytes = self.read(at, LONGEST_DOCUMENT)?;
        parse(&bytes, &self.path(at.digest), HELP)
    }

    /// The bytes of a blob, at most `limit`, of which every one is what the digest says.
    pub fn read(&self, at: &Descriptor, limit: u64) -> Result<Vec<u8>, LayoutError> {
        if at.size > limit {
            return Err(LayoutError::TooLong { digest: at.digest, size: at.size, limit });
        }
        let file = self.open_blob(at)?;
        let path = self.path(at.digest);
        let bytes = read_at_most(file, at.size).map_err(|source| LayoutError::Read { path: path.clone(), source })?;
        match Descriptor::of("", &bytes).digest {
            found if found == at.digest => Ok(bytes),
            found => Err(LayoutError::Damaged { path, digest: at.digest, why: format!("its bytes are {found}") }),
        }
    }

    /// The file of a blob, of the size that its descriptor says. Whoever reads it hashes it, or has called
    /// [`Layout::verify`].
    pub fn open_blob(&self, at: &Descriptor) -> Result<File, LayoutError> {
        open_blob(&self.root, at)
    }

    /// Hashes a blob.
    pub fn verify(&self, at: &Descriptor) -> Result<(), LayoutError> {
        let (mut file, path) = (self.open_blob(at)?, self.path(at.digest));
        let mut hasher = Sha256Hasher::new();
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => hasher.update(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LayoutError::Read { path, source }),
            }
        }
        match Digest(hasher.finish()) {
            found if found == at.digest => Ok(()),
            found => Err(LayoutError::Damaged { path, digest: at.digest, why: format!("its bytes are {found}") }),
        }
    }

    /// Where a blob lies.
    pub fn path(&self, digest: Digest) -> PathBuf {
        blobs_folder(&self.root).join(digest.0.to_string())
    }
}

/// Whether a descriptor points at a manifest, OCI's or docker's.
pub fn is_manifest(at: &Descriptor) -> bool {
    [MANIFEST, DOCKER_MANIFEST].contains(&&*at.media_type)
}

/// Whether a descriptor points at an index, OCI's or docker's.
pub fn is_index(at: &Descriptor) -> bool {
    [INDEX, DOCKER_LIST].contains(&&*at.media_type)
}

/// What is no artifact that refers to another.
fn is_image(at: &Descriptor) -> bool {
    (is_manifest(at) || is_index(at)) && at.artifact_type.is_none()
}

/// How well an image for one platform runs on another: 0 is best. A variant that only one side names is the
/// usual one, as containerd has it (arm64 is arm64/v8).
pub(super) fn fits(found: &Platform, wanted: &Platform) -> Option<u8> {
    if (&found.os, &found.architecture) != (&wanted.os, &wanted.architecture) {
        return None;
    }
    match (&found.variant, &wanted.variant) {
        (found, wanted) if found == wanted => Some(0),
        (None, _) | (_, None) => Some(1),
        _ => None,
    }
}

pub(super) fn shown(platform: &Platform) -> String {
    let Platform { architecture, os, variant } = platform;
    let variant = variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    printable(format!("{os}/{architecture}{variant}").as_bytes())
}

/// Opens a file below a folder, itself and the folders on the way no links. `None` where it is not there.
fn open_inside(root: &Path, names: &[&str]) -> Result<Option<(File, PathBuf)>, LayoutError> {
    let mut path = root.to_owned();
    let mut last = None;
    for (at, name) in names.iter().enumerate() {
        path.push(name);
        let found = match fs::symlink_metadata(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            found => found.map_err(|source| LayoutError::Read { path: path.clone(), source })?,
        };
        let good = if at + 1 == names.len() { found.is_file() } else { found.is_dir() };
        if !good {
            return Err(LayoutError::Link { path });
        }
        last = Some(found);
    }
    let read = |source| LayoutError::Read { path: path.clone(), source };
    let file = open_regular(&path).map_err(read)?;
    let opened = file.metadata().map_err(read)?;
    // Not a link that took its place meanwhile.
    if last.is_none_or(|last| (last.dev(), last.ino()) != (opened.dev(), opened.ino())) {
        return Err(LayoutError::Link { path });
    }
    Ok(Some((file, path)))
}

fn open_blob(root: &Path, at: &Descriptor) -> Result<File, LayoutError> {
    let Some((file, path)) = open_inside(root, &["blobs", "sha256", &at.digest.0.to_string()])? else {
        return Err(LayoutError::Missing { path: root.to_owned(), digest: at.digest });
    };
    let size = file.metadata().map_err(|source| LayoutError::Read { path: path.clone(), source })?.len();
    if size != at.size {
        let why = format!("it has {size} bytes, its descriptor says {}", at.size);
        return Err(LayoutError::Damaged { path, digest: at.digest, why });
    }
    Ok(file)
}

/// A document below a folder; `None` where it is not there. `help` is for one that is malformed.
fn read_document<T: DeserializeOwned + Versioned>(
    root: &Path,
    names: &[&str],
    limit: u64,
    help: &'static str,
) -> Result<Option<T>, LayoutError> {
    let Some((file, path)) = open_inside(root, names)? else { return Ok(None) };
    let bytes = match read_at_most(file, limit) {
        Err(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
            return Err(LayoutError::Malformed { path, why: error.to_string(), help });
        }
        read => read.map_err(|source| LayoutError::Read { path: path.clone(), source })?,
    };
    parse(&bytes, &path, help).map(Some)
}

fn parse<T: DeserializeOwned + Versioned>(bytes: &[u8], path: &Path, help: &'static str) -> Result<T, LayoutError> {
    let fail = |why: String| LayoutError::Malformed { path: path.to_owned(), why, help };
    // serde's messages quote what they did not expect.
    let document: T = serde_json::from_slice(bytes).map_err(|error| fail(printable(error.to_string().as_bytes())))?;
    document.fault().map_or(Ok(document), |why| Err(fail(why)))
}

/// What a document says of its own kind.
trait Versioned {
    /// Why it is not one of these after all.
    fn fault(&self) -> Option<String>;
}

impl Versioned for Marker {
    fn fault(&self) -> Option<String> {
        None
    }
}

impl Versioned for Config {
    fn fault(&self) -> Option<String> {
        None
    }
}

impl Versioned for Index {
    fn fault(&self) -> Option<String> {
        unknown(self.schema_version, &self.media_type, [INDEX, DOCKER_LIST])
    }
}

impl Versioned for Manifest {
    fn fault(&self) -> Option<String> {
        unknown(self.schema_version, &self.media_type, [MANIFEST, DOCKER_MANIFEST])
    }
}

fn unknown(schema_version: u32, media_type: &str, known: [&str; 2]) -> Option<String> {
    if schema_version != 2 {
        return Some(format!("its schemaVersion is {schema_version}, not 2"));
    }
    let fine = media_type.is_empty() || known.contains(&media_type);
    (!fine).then(|| format!("its mediaType is {}", printable(media_type.as_bytes())))
}
