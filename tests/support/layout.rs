//! A small OCI layout, made by hand.

use std::{
    fs,
    path::{Path, PathBuf},
};

use debstrata::image::{
    Descriptor,
    spec::{CONFIG, EMPTY, INDEX, Index, LAYER, MANIFEST, Manifest, REF_NAME, Texts, bytes},
};

/// A layout in a folder that the test keeps.
pub struct Layout {
    root: PathBuf,
    images: Vec<Descriptor>,
}

impl Layout {
    pub fn new(root: &Path) -> Self {
        fs::create_dir_all(root.join("blobs/sha256")).unwrap();
        fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let layout = Self { root: root.to_owned(), images: Vec::new() };
        layout.write();
        layout
    }

    /// Where a blob lies.
    pub fn path(&self, blob: &Descriptor) -> PathBuf {
        self.root.join("blobs/sha256").join(blob.digest.0.to_string())
    }

    pub fn blob(&self, media_type: &str, content: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, content);
        fs::write(self.path(&descriptor), content).unwrap();
        descriptor
    }

    /// A manifest of these layers, and what they are.
    pub fn manifest(&self, config: &str, layers: &[Vec<u8>]) -> (Descriptor, Vec<Descriptor>) {
        let config = self.blob(CONFIG, config.as_bytes());
        let layers: Vec<_> = layers.iter().map(|layer| self.blob(&format!("{LAYER}+gzip"), layer)).collect();
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: None,
            config,
            layers: layers.clone(),
            subject: None,
            annotations: Texts::new(),
        };
        (self.blob(MANIFEST, &bytes(&manifest)), layers)
    }

    /// Something that refers to another manifest.
    pub fn referrer(&self, subject: &Descriptor, kind: &str, content: &[u8]) -> Descriptor {
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: Some(kind.to_owned()),
            config: self.blob(EMPTY, b"{}"),
            layers: vec![self.blob(kind, content)],
            subject: Some(subject.clone()),
            annotations: Texts::from([("note".to_owned(), "x".to_owned())]),
        };
        self.blob(MANIFEST, &bytes(&manifest))
    }

    /// An index of manifests under a name.
    pub fn image(&mut self, name: &str, manifests: Vec<Descriptor>) -> Descriptor {
        let index = Index { schema_version: 2, media_type: INDEX.to_owned(), manifests, annotations: Texts::new() };
        let root = self.blob(INDEX, &bytes(&index));
        let mut named = root.clone();
        named.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        self.images.push(named);
        self.write();
        root
    }

    fn write(&self) {
        let manifests = self.images.clone();
        let index = Index { schema_version: 2, media_type: INDEX.to_owned(), manifests, annotations: Texts::new() };
        fs::write(self.root.join("index.json"), bytes(&index)).unwrap();
    }
}
