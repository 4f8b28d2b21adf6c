//! Pushing images: blobs first, then manifests, then indexes, then what refers to them, and tags at the very
//! end. What is there already is not sent.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use serde::Serialize;

use super::{client::Repository, error::RegistryError, source::Blobs, upload::Came};
use crate::{
    ground::{Sha256, printable, read_at_most},
    image::{
        Descriptor, Digest,
        spec::{DOCKER_LIST, DOCKER_MANIFEST, INDEX, Index, LONGEST_DOCUMENT, MANIFEST, Manifest},
    },
};

/// How deep indexes may lie in indexes.
const DEEPEST: usize = 4;
/// Manifests and indexes of one push.
const MOST_DOCUMENTS: usize = 10_000;

/// An image to push.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its manifest or index, or something that refers to one.
    pub root: Descriptor,
    /// Its tags, perhaps none.
    pub tags: Vec<String>,
}

/// What became of a blob or manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It was sent.
    Sent,
    /// The registry took it from another repository.
    Mounted,
    /// It was there.
    Present,
}

/// A blob that is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushedBlob {
    /// Which.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// What was done.
    pub how: How,
}

/// A manifest or index that is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushedManifest {
    /// Which.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// What was done; never mounted.
    pub how: How,
}

/// A tag that is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushedTag {
    /// The tag.
    pub tag: String,
    /// What it names.
    pub digest: Digest,
    /// Whether it was set: sent, or present.
    pub how: How,
}

/// What a push came to; all in a fixed order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// By digest.
    pub blobs: Vec<PushedBlob>,
    /// In the order in which they went.
    pub manifests: Vec<PushedManifest>,
    /// By tag.
    pub tags: Vec<PushedTag>,
}

/// A manifest or index, and when it goes.
struct Document {
    descriptor: Descriptor,
    bytes: Vec<u8>,
    /// 0: manifests; 1 and more: indexes, above all that they name.
    height: usize,
    subject: Option<Descriptor>,
    /// What a registry that lists no referrers is told of it.
    artifact_type: Option<String>,
}

impl Document {
    /// As a list of referrers has it.
    fn referrer(&self) -> Descriptor {
        Descriptor { artifact_type: self.artifact_type.clone(), ..self.descriptor.clone() }
    }
}

/// Pushes images and all that they are made of. Blobs that the repositories `from`, of the same registry,
/// have are mounted. Nothing is tagged before all of it is there.
///
/// # Errors
/// The first failure, in the order of the work. Then no tag was set, unless setting tags is what failed.
pub fn push(
    repository: &Repository,
    blobs: &dyn Blobs,
    wanted: &[Wanted],
    from: &[String],
) -> Result<Pushed, RegistryError> {
    let mut walk = Walk { blobs, documents: Vec::new(), seen: BTreeMap::new(), parts: BTreeMap::new() };
    for one in wanted {
        walk.visit(&one.root, 0)?;
    }
    let Walk { documents, parts, .. } = walk;
    let jobs = repository.settings.fetch.jobs;
    repository.greet()?;
    // The largest first, or it is the one that all wait for.
    let mut parts: Vec<Descriptor> = parts.into_values().collect();
    parts.sort_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
    let mut done = each(jobs, &parts, |blob| {
        let how = match repository.has_blob(blob)? {
            true => How::Present,
            false => match repository.upload(blobs, blob, from)? {
                Came::Uploaded => How::Sent,
                Came::Mounted => How::Mounted,
            },
        };
        Ok(PushedBlob { digest: blob.digest, size: blob.size, how })
    })?;
    done.sort_by_key(|blob| blob.digest);
    let mut pushed = Pushed { blobs: done, ..Pushed::default() };
    let mut stages: BTreeMap<(bool, usize), Vec<&Document>> = BTreeMap::new();
    for document in &documents {
        stages.entry((document.subject.is_some(), document.height)).or_default().push(document);
    }
    for ((refers, _), stage) in stages {
        // The fallback for a list of referrers is one tag that each of them is added to.
        let jobs = if refers { 1 } else { jobs };
        pushed.manifests.extend(each(jobs, &stage, |document| one(repository, document))?);
        if refers {
            repair(repository, &stage)?;
        }
    }
    let mut tags: Vec<(&str, &Descriptor)> =
        wanted.iter().flat_map(|one| one.tags.iter().map(|tag| (tag.as_str(), &one.root))).collect();
    tags.sort_by_key(|(tag, root)| (*tag, root.digest));
    tags.dedup_by_key(|(tag, root)| (*tag, root.digest));
    pushed.tags = each(jobs, &tags, |(tag, root)| {
        let digest = root.digest;
        let how = match repository.head_manifest(tag)? == Some(digest) {
            true => How::Present,
            false => {
                let document = documents.iter().find(|document| document.descriptor.digest == digest);
                let document = document.expect("each root was visited");
                repository.put_manifest(tag, &root.media_type, &document.bytes)?;
                How::Sent
            }
        };
        Ok(PushedTag { tag: (*tag).to_owned(), digest, how })
    })?;
    Ok(pushed)
}

/// Lists again what a registry has, but does not tell of: a push may have ended between the two.
fn repair(repository: &Repository, stage: &[&Document]) -> Result<(), RegistryError> {
    let mut listed: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
    for document in stage {
        let Some(subject) = document.subject.as_ref().map(|subject| subject.digest) else { continue };
        if let Entry::Vacant(new) = listed.entry(subject) {
            new.insert(repository.referrers(&subject)?.into_iter().map(|one| one.digest).collect());
        }
        if !listed[&subject].contains(&document.descriptor.digest) {
            repository.add_referrer(&subject, &document.referrer())?;
        }
    }
    Ok(())
}

fn one(repository: &Repository, document: &Document) -> Result<PushedManifest, RegistryError> {
    let Descriptor { digest, media_type, .. } = &document.descriptor;
    let how = match repository.head_manifest(&digest.to_string())? {
        Some(_) => How::Present,
        None => {
            let put = repository.put_manifest(&digest.to_string(), media_type, &document.bytes)?;
            if let Some(subject) = document.subject.as_ref().filter(|_| !put.lists_referrers) {
                repository.add_referrer(&subject.digest, &document.referrer())?;
            }
            How::Sent
        }
    };
    Ok(PushedManifest { digest: *digest, media_type: media_type.clone(), how })
}

/// Collects what images are made of, and reads their manifests.
struct Walk<'a> {
    blobs: &'a dyn Blobs,
    documents: Vec<Document>,
    /// Each one's height.
    seen: BTreeMap<Digest, usize>,
    parts: BTreeMap<Digest, Descriptor>,
}

impl Walk<'_> {
    /// How high it stands.
    fn visit(&mut self, descriptor: &Descriptor, depth: usize) -> Result<usize, RegistryError> {
        if let Some(height) = self.seen.get(&descriptor.digest) {
            return Ok(*height);
        }
        let digest = descriptor.digest;
        let wrong = |why: String| RegistryError::Manifest { digest, why };
        if depth > DEEPEST {
            return Err(wrong(format!("indexes lie more than {DEEPEST} deep")));
        }
        if self.documents.len() >= MOST_DOCUMENTS {
            return Err(wrong(format!("there are more than {MOST_DOCUMENTS} manifests")));
        }
        let bytes = self.read(descriptor)?;
        let malformed = |error: serde_json::Error| wrong(printable(error.to_string().as_bytes()));
        let (height, subject, artifact_type, annotations) = match &*descriptor.media_type {
            INDEX | DOCKER_LIST => {
                let index: Index = serde_json::from_slice(&bytes).map_err(malformed)?;
                let mut height = 0;
                for inner in &index.manifests {
                    height = height.max(self.visit(inner, depth + 1)?);
                }
                (height + 1, None, None, index.annotations)
            }
            MANIFEST | DOCKER_MANIFEST => {
                let manifest: Manifest = serde_json::from_slice(&bytes).map_err(malformed)?;
                let kind = manifest.artifact_type.clone().or_else(|| Some(manifest.config.media_type.clone()));
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    let known = self.parts.entry(blob.digest).or_insert_with(|| blob.clone());
                    if known.size != blob.size {
                        return Err(wrong(format!("{} has two sizes, {} and {}", blob.digest, known.size, blob.size)));
                    }
                }
                (0, manifest.subject, kind, manifest.annotations)
            }
            other => return Err(wrong(format!("{:?} is no media type of a manifest", printable(other.as_bytes())))),
        };
        self.seen.insert(digest, height);
        // Where it lies says more of it than it does itself; a list of referrers has its annotations.
        let mut descriptor = Descriptor { platform: None, ..descriptor.clone() };
        descriptor.annotations = annotations;
        self.documents.push(Document { descriptor, bytes, height, subject, artifact_type });
        Ok(height)
    }

    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        let digest = descriptor.digest;
        if descriptor.size > LONGEST_DOCUMENT {
            let why = format!("it has {} bytes, and registries take {LONGEST_DOCUMENT}", descriptor.size);
            return Err(RegistryError::Manifest { digest, why });
        }
        let fail = |source| RegistryError::Blob { digest, source };
        let bytes = read_at_most(self.blobs.open(descriptor, 0).map_err(fail)?, descriptor.size).map_err(fail)?;
        if Digest(Sha256::of(&bytes)) != digest {
            return Err(RegistryError::Manifest { digest, why: "its bytes are not those of its digest".to_owned() });
        }
        Ok(bytes)
    }
}

/// Does `act` on each, `jobs` at a time; results in their order. After a failure nothing is begun.
fn each<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    act: impl Fn(&T) -> Result<R, RegistryError> + Sync,
) -> Result<Vec<R>, RegistryError> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, Result<R, RegistryError>)>> = Mutex::default();
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let result = act(item);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The tags that would be set to two images.
pub(crate) fn clashes(wanted: &[Wanted]) -> BTreeSet<&str> {
    let mut known: BTreeMap<&str, Digest> = BTreeMap::new();
    let mut clashing = BTreeSet::new();
    for (tag, root) in wanted.iter().flat_map(|one| one.tags.iter().map(|tag| (tag.as_str(), one.root.digest))) {
        if *known.entry(tag).or_insert(root) != root {
            clashing.insert(tag);
        }
    }
    clashing
}
