//! Manifests, indexes, tags and referrers of a repository.

use super::{
    client::{Ask, Repository},
    error::RegistryError,
};
use crate::{
    fetch::Body,
    ground::{Sha256, printable, read_at_most},
    image::{
        Descriptor, Digest,
        spec::{DOCKER_LIST, DOCKER_MANIFEST, INDEX, Index, LONGEST_DOCUMENT, MANIFEST, Texts, bytes},
    },
};

/// Pages of a list of referrers.
const MOST_PAGES: usize = 100;

/// A manifest or an index as a registry gave it, its digest checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a registry did with a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// Whether it lists referrers by itself, where the manifest has a subject.
    pub lists_referrers: bool,
}

fn accepted() -> String {
    [INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ")
}

impl Repository {
    /// The digest of what a tag or digest names; `None`: there is none.
    ///
    /// # Errors
    /// No answer, or one that cannot be true.
    pub fn head_manifest(&self, name: &str) -> Result<Option<Digest>, RegistryError> {
        let what = format!("{}:{name}", self.reference.repository);
        let target = self.target(&format!("manifests/{name}"))?;
        let mut answer = self.ask(&Ask::new("HEAD", target, what.clone()).header("accept", accepted()))?;
        match answer.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.refusal(&what, &mut answer)),
        }
        if let Ok(digest) = name.parse::<Digest>() {
            self.check_digest(&what, &answer, &digest)?;
            return Ok(Some(digest));
        }
        match answer.header("docker-content-digest").map(|told| told.trim().parse::<Digest>()) {
            Some(Ok(digest)) => Ok(Some(digest)),
            // A digest of another algorithm is none of ours.
            Some(Err(_)) => Ok(None),
            None => Ok(self.get_manifest(name)?.map(|document| document.descriptor.digest)),
        }
    }

    /// What a tag or digest names; `None`: there is none.
    ///
    /// # Errors
    /// No answer, too many bytes, or others than the digest says.
    pub fn get_manifest(&self, name: &str) -> Result<Option<Document>, RegistryError> {
        let what = format!("{}:{name}", self.reference.repository);
        let target = self.target(&format!("manifests/{name}"))?;
        let mut answer = self.ask(&Ask::new("GET", target, what.clone()).header("accept", accepted()))?;
        match answer.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.refusal(&what, &mut answer)),
        }
        let media_type = answer.header("content-type").unwrap_or(MANIFEST);
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let bytes = read_at_most(answer.body(), LONGEST_DOCUMENT)
            .map_err(|error| self.lies(&what, format!("the manifest cannot be read: {error}")))?;
        let descriptor = Descriptor::of(&printable(media_type.as_bytes()), &bytes);
        self.check_digest(&what, &answer, &descriptor.digest)?;
        match name.parse::<Digest>() {
            Ok(wanted) if wanted != descriptor.digest => {
                Err(self.lies(&what, format!("what it sends has the digest {}", descriptor.digest)))
            }
            _ => Ok(Some(Document { descriptor, bytes })),
        }
    }

    /// Puts a manifest or index under a tag, or under its digest.
    ///
    /// # Errors
    /// It is not taken, or something else is.
    pub fn put_manifest(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<Put, RegistryError> {
        let what = format!("the manifest {}:{name}", self.reference.repository);
        let target = self.target(&format!("manifests/{name}"))?;
        let ask = Ask::new("PUT", target, what.clone()).header("content-type", media_type).body(Body::Bytes(bytes));
        let mut answer = self.ask(&ask)?;
        if !matches!(answer.status, 200..=202) {
            return Err(self.refusal(&what, &mut answer));
        }
        self.check_digest(&what, &answer, &Digest(Sha256::of(bytes)))?;
        let lists_referrers = answer.header("oci-subject").is_some();
        answer.drain();
        Ok(Put { lists_referrers })
    }

    /// The manifests that refer to `subject`, from the registry's list, else from the tag that stands in
    /// for it (distribution-spec, "Referrers Tag Schema").
    ///
    /// # Errors
    /// No answer, or one that is no list.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let what = format!("what refers to {subject}");
        let mut found = Vec::new();
        let mut next = Some(self.target(&format!("referrers/{subject}"))?);
        let mut pages = 0;
        while let Some(target) = next.take() {
            pages += 1;
            if pages > MOST_PAGES {
                return Err(self.lies(&what, format!("its list has more than {MOST_PAGES} pages")));
            }
            let mut answer = self.ask(&Ask::new("GET", target.clone(), what.clone()).header("accept", INDEX))?;
            match answer.status {
                200 => {}
                404 if pages == 1 => {
                    return Ok(self.fallback(subject)?.map(|index| index.manifests).unwrap_or_default());
                }
                _ => return Err(self.refusal(&what, &mut answer)),
            }
            let bytes =
                read_at_most(answer.body(), LONGEST_DOCUMENT).map_err(|error| self.lies(&what, error.to_string()))?;
            let index: Index = serde_json::from_slice(&bytes).map_err(|error| {
                self.lies(&what, format!("it is no index: {}", printable(error.to_string().as_bytes())))
            })?;
            found.extend(index.manifests);
            let link = answer.header("link").and_then(|link| {
                let (uri, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
                rest.contains("rel=\"next\"").then(|| uri.to_owned())
            });
            next = match link {
                Some(link) => {
                    let to = target.follow(link.as_bytes()).map_err(|why| self.lies(&what, why))?;
                    if !to.same_server(&target) {
                        return Err(self.lies(&what, "its list goes on at another server"));
                    }
                    Some(to)
                }
                None => None,
            };
        }
        Ok(found)
    }

    /// The index under the tag that stands in for a list of referrers.
    fn fallback(&self, subject: &Digest) -> Result<Option<Index>, RegistryError> {
        let tag = fallback_tag(subject);
        let Some(document) = self.get_manifest(&tag)? else { return Ok(None) };
        let what = format!("the tag {tag}");
        let index = serde_json::from_slice(&document.bytes).map_err(|error| {
            self.lies(&what, format!("it is no index: {}", printable(error.to_string().as_bytes())))
        })?;
        Ok(Some(index))
    }

    /// Adds a manifest to the index under the tag that stands in for a list of referrers.
    pub(super) fn add_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), RegistryError> {
        let empty = || Index {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: Vec::new(),
            annotations: Texts::new(),
        };
        let mut index = self.fallback(subject)?.unwrap_or_else(empty);
        if index.manifests.iter().any(|known| known.digest == referrer.digest) {
            return Ok(());
        }
        index.manifests.push(referrer.clone());
        self.put_manifest(&fallback_tag(subject), INDEX, &bytes(&index)).map(|_| ())
    }
}

/// `sha256-<hex>`
fn fallback_tag(subject: &Digest) -> String {
    subject.to_string().replace(':', "-")
}
