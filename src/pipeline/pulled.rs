//! An image of a registry as a layout in a folder of the cache that goes with the run.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use super::{Failures, Workshop};
use crate::{
    cache::{Cache, Scratch},
    debian::Architecture,
    ground::{WriteError, printable},
    image::{
        Descriptor, Platform,
        layout::{INDEX_NAME, MARKER_NAME, blobs_folder},
        reference::Reference,
        registry::{Access, Document, RegistryError, Repository, Settings},
        spec::{INDEX, Index, Manifest, REF_NAME, Texts, bytes},
    },
};

/// Most layers of an image; the kernel's overlayfs takes 500.
const MOST_LAYERS: usize = 1024;

/// Pulls an image for those of these architectures that it has; every blob's size and digest are compared.
pub(super) fn pulled(
    workshop: &Workshop,
    reference: &Reference,
    settings: &Settings,
    architectures: &[Architecture],
) -> Result<Scratch, Failures> {
    let repository = Repository::new(settings, reference, Access::Pull, &[])?;
    let folder = Cache::scratch(workshop.cache.root())?;
    let blob_path = |digest: &crate::image::Digest| blobs_folder(folder.path()).join(digest.0.to_string());
    let get = |name: &str| -> Result<Document, Failures> {
        let what = || format!("image {}:{name}", reference.repository);
        let absent = || RegistryError::Absent { registry: reference.registry.clone(), what: what() };
        Ok(repository.get_manifest(name)?.ok_or_else(absent)?)
    };
    let name = reference.digest.map(|digest| digest.to_string()).or_else(|| reference.tag.clone());
    let mut entries = Vec::new();
    for (platform, document) in manifests(get(name.as_deref().unwrap_or("latest"))?, architectures, get)? {
        let digest = document.descriptor.digest;
        let wrong = |why: String| RegistryError::Manifest { digest, why };
        let manifest: Manifest =
            serde_json::from_slice(&document.bytes).map_err(|error| wrong(printable(error.to_string().as_bytes())))?;
        if manifest.layers.len() > MOST_LAYERS {
            return Err(wrong(format!("it has more than {MOST_LAYERS} layers")).into());
        }
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            let path = blob_path(&blob.digest);
            if !path.exists() {
                repository.fetch_blob(blob, &mut create(&path)?)?;
            }
        }
        write(&blob_path(&digest), &document.bytes)?;
        let tag = reference.tag.clone().unwrap_or_else(|| reference.repository.clone());
        let annotations = Texts::from([(REF_NAME.to_owned(), tag)]);
        entries.push(Descriptor { platform, annotations, ..document.descriptor });
    }
    write(&folder.path().join(MARKER_NAME), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let index =
        Index { schema_version: 2, media_type: INDEX.to_owned(), manifests: entries, annotations: Texts::new() };
    write(&folder.path().join(INDEX_NAME), &bytes(&index))?;
    Ok(folder)
}

/// The manifests that an image has for these architectures; the only one of an image without an index.
fn manifests(
    image: Document,
    architectures: &[Architecture],
    get: impl Fn(&str) -> Result<Document, Failures>,
) -> Result<Vec<(Option<Platform>, Document)>, Failures> {
    let Ok(index) = serde_json::from_slice::<Index>(&image.bytes) else { return Ok(vec![(None, image)]) };
    let wanted: Vec<Platform> = architectures.iter().map(|architecture| Platform::of(*architecture)).collect();
    let fits =
        |found: &Platform| wanted.iter().any(|one| (&one.os, &one.architecture) == (&found.os, &found.architecture));
    let fitting = index.manifests.into_iter().filter(|entry| entry.platform.as_ref().is_some_and(fits));
    fitting.map(|entry| Ok((entry.platform, get(&entry.digest.to_string())?))).collect()
}

fn create(path: &Path) -> Result<File, WriteError> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(path));
    made.map_err(|source| WriteError { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    create(path)?.write_all(bytes).map_err(|source| WriteError { path: path.to_owned(), source })
}
