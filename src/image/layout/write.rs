//! Adding images to a layout of ours. Others may build into the same folder at the same time.
//!
//! Two locks: every [`Session`] holds the folder, shared, so that blobs which nothing refers to yet stay;
//! whoever rewrites index.json holds `blobs`, exclusively. Blobs appear first, then index.json by a rename,
//! and only then goes what nothing refers to any more, if nobody else is building.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
};

use super::{
    DEEPEST, Digest, LONGEST_INDEX, LONGEST_MARKER, LayoutError, Marker, VERSION, is_index, is_manifest, open_blob,
    open_inside, parse, read_document,
};
use crate::{
    ground::{Sha256, WriteError, read_at_most, sweep_stale, write_whole},
    image::{
        Image,
        artifact::Artifact,
        config,
        spec::{Descriptor, INDEX, Index, LONGEST_DOCUMENT, Manifest, REF_NAME, Texts, bytes},
    },
};

/// The file that names a layout's images.
pub const INDEX_NAME: &str = "index.json";
/// The file that makes a folder a layout.
pub const MARKER_NAME: &str = "oci-layout";
/// How many files wait for the disk at once.
const WAITING: usize = 8;

const HELP: &str = "move this folder away, or choose another one with --output DIR";

/// Where a layout keeps its blobs, by the hexadecimal digits of their SHA-256.
pub fn blobs_folder(layout: &Path) -> PathBuf {
    layout.join("blobs/sha256")
}

/// What became of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its manifest, for its platform.
    pub manifest: Descriptor,
    /// The image in all its platforms, those of earlier runs included.
    pub index: Descriptor,
}

/// A layout that images are about to be added to. While there is one, no other process removes blobs.
#[derive(Debug)]
pub struct Session {
    root: PathBuf,
    folder: File,
}

impl Session {
    /// Makes the folder where it is not there.
    ///
    /// # Errors
    /// There is something that is no layout, or one with a malformed index.json: found before any work.
    pub fn begin(root: &Path) -> Result<Self, LayoutError> {
        let blobs = blobs_folder(root);
        // What is written must lie below the folder that was named.
        for folder in [root.join("blobs"), blobs.clone()] {
            if fs::symlink_metadata(&folder).is_ok_and(|found| found.is_symlink()) {
                return Err(LayoutError::Link { path: folder });
            }
        }
        fs::create_dir_all(&blobs).map_err(|source| WriteError { path: blobs, source })?;
        let session = Self { root: root.to_owned(), folder: open(root)? };
        locked(root, session.folder.lock_shared())?;
        if let Some(marker) = read_document::<Marker>(root, &[MARKER_NAME], LONGEST_MARKER, HELP)?
            && marker.image_layout_version != VERSION
        {
            let why = format!("another version of layouts than {VERSION}");
            return Err(LayoutError::Malformed { path: root.join(MARKER_NAME), why, help: HELP });
        }
        session.entries()?;
        Ok(session)
    }

    /// Writes the documents of images whose layers are among the blobs, and names the images in index.json:
    /// one index each, of all platforms. Names and platforms that are not among `images` stay as they are.
    /// Results come in the order of `images`.
    pub fn publish(self, images: &[Image]) -> Result<Vec<Written>, LayoutError> {
        let documents: Vec<_> = images.iter().map(config::documents).collect();
        for layer in images.iter().flat_map(|image| &image.layers) {
            open_blob(&self.root, &config::descriptor(layer))?;
        }
        let each = documents.iter();
        let mut changed = self.write(each.flat_map(|one| [&*one.config, &*one.manifest]))?;
        let list = open(&self.root.join("blobs"))?;
        locked(&self.root, list.lock())?;
        let mut entries = self.entries()?;
        let mut indexes: BTreeMap<&str, Index> = BTreeMap::new();
        for (image, documents) in images.iter().zip(&documents) {
            let index = match indexes.entry(&image.name) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    new.insert(self.index(entries.iter().find(|entry| name(entry) == Some(&image.name))))
                }
            };
            index.manifests.retain(|other| other.platform != documents.descriptor.platform);
            index.manifests.push(documents.descriptor.clone());
            index.manifests.sort_by(|a, b| a.platform.cmp(&b.platform));
        }
        let indexes: BTreeMap<&str, Vec<u8>> = indexes.iter().map(|(name, index)| (*name, bytes(index))).collect();
        changed |= self.write(indexes.values().map(|index| &**index))?;
        entries.retain(|entry| name(entry).is_none_or(|name| !indexes.contains_key(name)));
        let mut descriptors = BTreeMap::new();
        for (name, index) in &indexes {
            let mut descriptor = Descriptor::of(INDEX, index);
            descriptors.insert(*name, descriptor.clone());
            descriptor.annotations = Texts::from([(REF_NAME.to_owned(), (*name).to_owned())]);
            entries.push(descriptor);
        }
        self.drop_orphans(&mut entries);
        entries.sort_by(|a, b| (name(a), a.digest).cmp(&(name(b), b.digest)));
        changed |= self.write_if_new(MARKER_NAME, &bytes(&Marker { image_layout_version: VERSION.to_owned() }))?;
        changed |= self.write_if_new(INDEX_NAME, &bytes(&index_of(entries)))?;
        drop(list);
        if changed {
            self.collect()?;
        }
        let written = |(image, documents): (&Image, config::Documents)| Written {
            manifest: documents.descriptor,
            index: descriptors[&*image.name].clone(),
        };
        Ok(images.iter().zip(documents).map(written).collect())
    }

    /// What index.json points at.
    fn entries(&self) -> Result<Vec<Descriptor>, LayoutError> {
        let index = read_document::<Index>(&self.root, &[INDEX_NAME], LONGEST_INDEX, HELP)?;
        Ok(index.map(|index| index.manifests).unwrap_or_default())
    }

    /// The platforms of an image that earlier runs built. What cannot be read of it is not kept: it is ours,
    /// and its blobs are gone or damaged.
    fn index(&self, entry: Option<&Descriptor>) -> Index {
        let old = entry.filter(|entry| is_index(entry)).and_then(|entry| self.document::<Index>(entry).ok());
        let mut manifests = old.map(|old| old.manifests).unwrap_or_default();
        manifests.retain(|manifest| manifest.platform.is_some() && self.is_whole(manifest));
        index_of(manifests)
    }

    /// Whether a manifest and all it points at are there.
    fn is_whole(&self, manifest: &Descriptor) -> bool {
        self.document::<Manifest>(manifest).is_ok_and(|manifest| {
            manifest.layers.iter().chain([&manifest.config]).all(|blob| open_blob(&self.root, blob).is_ok())
        })
    }

    /// Takes out what refers to manifests that no name leads to any more.
    fn drop_orphans(&self, entries: &mut Vec<Descriptor>) {
        let mut alive = BTreeSet::new();
        let readable =
            entries.iter().filter(|entry| name(entry).is_some()).all(|entry| self.mark(entry, 0, &mut alive));
        if !readable {
            return;
        }
        entries.retain(|entry| {
            let subject = || self.document::<Manifest>(entry).ok().and_then(|manifest| manifest.subject);
            name(entry).is_some()
                || !is_manifest(entry)
                || subject().is_none_or(|subject| alive.contains(&subject.digest))
        });
    }

    /// Adds what a descriptor leads to. Whether all of it could be read.
    fn mark(&self, at: &Descriptor, depth: usize, alive: &mut BTreeSet<Digest>) -> bool {
        if !alive.insert(at.digest) {
            return true;
        }
        if is_index(at) {
            let index = self.document::<Index>(at);
            // Deeper ones are nobody's: what they hold is not known, so nothing is removed.
            return depth < DEEPEST
                && index.is_ok_and(|index| index.manifests.iter().all(|below| self.mark(below, depth + 1, alive)));
        }
        if is_manifest(at) {
            let Ok(manifest) = self.document::<Manifest>(at) else { return false };
            alive.insert(manifest.config.digest);
            alive.extend(manifest.layers.iter().map(|layer| layer.digest));
        }
        true
    }

    /// Removes the blobs that nothing refers to, if nobody else is building into this folder: else whoever
    /// ends last does. Where not all could be read, nobody knows what is referred to, and all stays.
    fn collect(self) -> Result<(), LayoutError> {
        if self.folder.unlock().is_err() || self.folder.try_lock().is_err() {
            return Ok(());
        }
        let mut alive = BTreeSet::new();
        if !self.entries()?.iter().all(|entry| self.mark(entry, 0, &mut alive)) {
            return Ok(());
        }
        let folder = blobs_folder(&self.root);
        sweep_stale(&folder)?;
        let fail = |source| LayoutError::Read { path: folder.clone(), source };
        for blob in fs::read_dir(&folder).map_err(fail)? {
            let blob = blob.map_err(fail)?;
            let digest = blob.file_name().to_str().and_then(|name| name.parse::<Sha256>().ok());
            if digest.is_some_and(|digest| !alive.contains(&Digest(digest))) {
                match fs::remove_file(blob.path()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(|source| WriteError { path: blob.path(), source })?,
                }
            }
        }
        Ok(())
    }

    fn document<T: serde::de::DeserializeOwned + super::Versioned>(&self, at: &Descriptor) -> Result<T, LayoutError> {
        let path = blobs_folder(&self.root).join(at.digest.0.to_string());
        let bytes = match at.size <= LONGEST_DOCUMENT {
            true => read_at_most(open_blob(&self.root, at)?, at.size),
            false => return Err(LayoutError::TooLong { digest: at.digest, size: at.size, limit: LONGEST_DOCUMENT }),
        };
        let bytes = bytes.map_err(|source| LayoutError::Read { path: path.clone(), source })?;
        match Descriptor::of("", &bytes).digest {
            found if found == at.digest => parse(&bytes, &path, HELP),
            found => Err(LayoutError::Damaged { path, digest: at.digest, why: format!("its bytes are {found}") }),
        }
    }

    /// Writes documents that are not there yet. Whether any was not.
    fn write<'b>(&self, documents: impl Iterator<Item = &'b [u8]>) -> Result<bool, LayoutError> {
        let folder = blobs_folder(&self.root);
        let new: BTreeMap<Sha256, &[u8]> = documents.map(|bytes| (Sha256::of(bytes), bytes)).collect();
        let there = |bytes: &[u8]| self.document_is(&Descriptor::of("", bytes), bytes);
        let new: Vec<_> = new.into_iter().filter(|(_, bytes)| !there(bytes)).collect();
        // Each waits for the disk; a file system takes many at once.
        let some = |some: &[(Sha256, &[u8])]| {
            some.iter().try_for_each(|(digest, bytes)| write_whole(&folder.join(digest.to_string()), bytes))
        };
        thread::scope(|scope| {
            let parts = new.chunks(new.len().div_ceil(WAITING).max(1));
            let each: Vec<_> = parts.map(|part| scope.spawn(|| some(part))).collect();
            let each = each.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            each.collect::<Result<(), WriteError>>()
        })?;
        Ok(!new.is_empty())
    }

    fn document_is(&self, at: &Descriptor, bytes: &[u8]) -> bool {
        open_blob(&self.root, at).is_ok_and(|file| read_at_most(file, at.size).is_ok_and(|found| found == bytes))
    }

    /// Replaces a file of the layout where its bytes are others. Whether they were.
    fn write_if_new(&self, name: &str, new: &[u8]) -> Result<bool, LayoutError> {
        let old = open_inside(&self.root, &[name])?.map(|(file, _)| read_at_most(file, LONGEST_INDEX));
        if old.is_some_and(|old| old.is_ok_and(|old| old == new)) {
            return Ok(false);
        }
        write_whole(&self.root.join(name), new)?;
        sweep_stale(&self.root)?;
        Ok(true)
    }
}

/// Adds artifacts about images of a layout of ours, in place of others of the same kind about the same image.
/// Those that are there already stay as they are.
pub fn attach(root: &Path, artifacts: &[Artifact]) -> Result<(), LayoutError> {
    if artifacts.is_empty() {
        return Ok(());
    }
    let session = Session::begin(root)?;
    let each = artifacts.iter().flat_map(|one| one.blobs.iter().map(|(_, bytes)| &**bytes).chain([&*one.manifest]));
    let mut changed = session.write(each)?;
    let list = open(&root.join("blobs"))?;
    locked(root, list.lock())?;
    let mut entries = session.entries()?;
    let ours: BTreeMap<(Digest, Option<&str>), Digest> = artifacts
        .iter()
        .map(|one| ((one.subject, one.descriptor.artifact_type.as_deref()), one.descriptor.digest))
        .collect();
    entries.retain(|entry| {
        let subject = || session.document::<Manifest>(entry).ok().and_then(|manifest| manifest.subject);
        let replaced = |subject: Descriptor| {
            ours.get(&(subject.digest, entry.artifact_type.as_deref())).is_some_and(|digest| *digest != entry.digest)
        };
        name(entry).is_some() || !is_manifest(entry) || !subject().is_some_and(replaced)
    });
    for artifact in artifacts {
        if !entries.iter().any(|entry| entry.digest == artifact.descriptor.digest) {
            entries.push(artifact.descriptor.clone());
        }
    }
    entries.sort_by(|a, b| (name(a), a.digest).cmp(&(name(b), b.digest)));
    changed |= session.write_if_new(INDEX_NAME, &bytes(&index_of(entries)))?;
    drop(list);
    if changed { session.collect() } else { Ok(()) }
}

/// The name of an entry of index.json.
fn name(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

fn index_of(manifests: Vec<Descriptor>) -> Index {
    Index { schema_version: 2, media_type: INDEX.to_owned(), manifests, annotations: Texts::new() }
}

fn open(path: &Path) -> Result<File, LayoutError> {
    File::open(path).map_err(|source| LayoutError::Read { path: path.to_owned(), source })
}

/// A filesystem without locks is as good as it gets.
fn locked(path: &Path, result: io::Result<()>) -> Result<(), LayoutError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => {
            Err(LayoutError::Read { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
