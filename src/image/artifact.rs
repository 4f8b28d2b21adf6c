//! What refers to an image without being one: bills of materials, provenance, signatures (image-spec
//! 1.1, manifest.md, "Guidelines for Artifact Usage"; distribution-spec 1.1, "Listing Referrers").

use super::spec::{self, Descriptor, Digest, Manifest, Texts};

/// What an empty config holds.
const EMPTY: &[u8] = b"{}";
/// The annotation that gives a blob a file's name.
pub const TITLE: &str = "org.opencontainers.image.title";

/// A document about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// What it is: also what referrers are filtered by.
    pub media_type: String,
    /// A file's name for it.
    pub title: String,
    /// The document.
    pub bytes: Vec<u8>,
}

/// A manifest that refers to an image, and the blobs that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it refers to.
    pub subject: Digest,
    /// Points at `manifest`, as the list of referrers has it.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// To be there before the manifest.
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
}

/// The artifact that attaches a document to `subject`, the manifest or index of an image.
pub fn attach(subject: &Descriptor, attachment: Attachment) -> Artifact {
    let Attachment { media_type, title, bytes } = attachment;
    let mut layer = Descriptor::of(&media_type, &bytes);
    layer.annotations = Texts::from([(TITLE.to_owned(), title)]);
    let config = Descriptor::of(spec::EMPTY, EMPTY);
    finish(subject, &media_type, (config, EMPTY.to_vec()), vec![layer.clone()], vec![(layer, bytes)])
}

/// A manifest that refers to `subject`; `blobs` are those of its layers that are not there yet.
pub(super) fn finish(
    subject: &Descriptor,
    artifact_type: &str,
    config: (Descriptor, Vec<u8>),
    layers: Vec<Descriptor>,
    mut blobs: Vec<(Descriptor, Vec<u8>)>,
) -> Artifact {
    let about = subject.digest;
    let subject = Descriptor { platform: None, annotations: Texts::new(), ..subject.clone() };
    let manifest = spec::bytes(&Manifest {
        schema_version: 2,
        media_type: spec::MANIFEST.to_owned(),
        artifact_type: Some(artifact_type.to_owned()),
        config: config.0.clone(),
        layers,
        subject: Some(subject),
        annotations: Texts::new(),
    });
    let mut descriptor = Descriptor::of(spec::MANIFEST, &manifest);
    descriptor.artifact_type = Some(artifact_type.to_owned());
    blobs.insert(0, config);
    Artifact { subject: about, descriptor, manifest, blobs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Sha256;

    #[test]
    fn an_attachment_names_its_subject_and_its_type() {
        let mut subject = Descriptor::of(spec::INDEX, b"index");
        subject.annotations.insert(spec::REF_NAME.to_owned(), "cc".to_owned());
        let document = Attachment {
            media_type: "application/spdx+json".to_owned(),
            title: "cc.spdx.json".to_owned(),
            bytes: b"{\"a\":1}".to_vec(),
        };
        let artifact = attach(&subject, document);
        let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest).unwrap();
        assert_eq!(manifest["artifactType"], "application/spdx+json");
        assert_eq!(manifest["subject"]["digest"], subject.digest.to_string());
        assert_eq!(manifest["subject"]["annotations"], serde_json::Value::Null);
        assert_eq!(
            manifest["config"]["digest"],
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(manifest["layers"][0]["annotations"][TITLE], "cc.spdx.json");
        assert_eq!(artifact.descriptor.digest, Digest(Sha256::of(&artifact.manifest)));
        for (descriptor, bytes) in &artifact.blobs {
            assert_eq!(descriptor.digest, Digest(Sha256::of(bytes)));
        }
    }
}
