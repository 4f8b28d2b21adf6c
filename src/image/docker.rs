//! Archives for `docker load`: a tar of layers, a config, and `manifest.json`, in this order. podman, skopeo
//! (`docker-archive:`) and containerd read it too. docs/images.md describes it.
//!
//! The layers come first and in order, so that archives with the same first layers have the same first
//! bytes: these are hashed once ([`Stacked`]), however many archives there are.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _, Write as _},
    path::PathBuf,
};

use serde::Serialize;

use super::{Image, Layer, config, spec::bytes};
use crate::{
    ground::{Class, Failure, Sha256, Sha256Hasher, open_regular},
    layer::{TAR_END, padding, plain_head},
};

/// How much is hashed at a time, in bytes.
const PIECE: usize = 256 << 10;
/// Of what [`recipe`] tells; rises when the same image gives another archive.
const RULES: &str = "docker archive 1\n";

/// A docker archive could not be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DockerError {
    /// A layer's file could not be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(code(debstrata::image::docker_read), help("see what the system says, and build again"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A layer's file is not what it was.
    #[error("{} was changed while it was read", path.display())]
    #[diagnostic(code(debstrata::image::docker_changed), help("build again, one build at a time"))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Docker takes no such name.
    #[error("docker knows no image called {name:?}")]
    #[diagnostic(
        code(debstrata::image::docker_name),
        help(
            "for `--format docker`, names of distributions and tiers are words of lower-case letters and digits, joined by single `.` or by `-`; call it otherwise, or build it with --format oci"
        )
    )]
    Name {
        /// What it would be called.
        name: String,
    },
}

impl Failure for DockerError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::Changed { .. } => Class::World,
            Self::Name { .. } => Class::User,
        }
    }
}

/// How docker calls an image: `debian13/cc:latest`, a variant's `debian13/cc:debug-nonroot`. `image` is its
/// name, which begins with the tier's. A `+`, which docker does not take, becomes `plus`.
pub fn tag(distribution: &str, tier: &str, image: &str) -> Result<String, DockerError> {
    let variants = image.strip_prefix(tier).and_then(|rest| rest.strip_prefix('-')).unwrap_or("latest");
    let [distribution, tier, variants] = [distribution, tier, variants].map(|name| name.replace('+', "plus"));
    let name = format!("{distribution}/{tier}:{variants}");
    // <https://docs.docker.com/reference/cli/docker/image/tag/>: separators stand between words.
    let good = |part: &str| {
        let words: Vec<_> = part.split('-').filter(|word| !word.is_empty()).collect();
        let bare = |word: &&str| word.split('.').all(|word| !word.is_empty());
        !part.starts_with('-') && !part.ends_with('-') && !words.is_empty() && words.iter().all(bare)
    };
    let fits = good(&distribution) && good(&tier) && variants.len() <= 128 && name.len() <= 255;
    if fits { Ok(name) } else { Err(DockerError::Name { name }) }
}

/// The first bytes of archives, hashed: those of some layers.
#[derive(Clone, Default)]
pub struct Stacked {
    hasher: Sha256Hasher,
    size: u64,
    files: BTreeSet<Sha256>,
}

impl Stacked {
    /// With one more layer on top, whose file is read.
    pub fn with(&self, layer: &Layer) -> Result<Self, DockerError> {
        let mut stacked = self.clone();
        if !stacked.files.insert(layer.digest) {
            return Ok(stacked);
        }
        let mut file = open(layer)?;
        stacked.add(&plain_head(&layer_name(layer), layer.size));
        let (mut piece, mut size) = (vec![0; PIECE], 0);
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => {
                    size += length as u64;
                    stacked.add(&piece[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(DockerError::Read { path: layer.path.clone(), source }),
            }
        }
        if size != layer.size {
            return Err(DockerError::Changed { path: layer.path.clone() });
        }
        stacked.add(&zeros(layer.size));
        Ok(stacked)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }
}

/// An archive that was not written yet.
pub struct Archive<'a> {
    image: &'a Image,
    stacked: &'a Stacked,
    tail: Vec<u8>,
    /// SHA-256 of its bytes.
    pub digest: Sha256,
    /// Its bytes.
    pub size: u64,
}

impl<'a> Archive<'a> {
    /// The archive of an image, under the name that [`tag`] gives; `stacked` is of just its layers.
    pub fn new(image: &'a Image, tag: &str, stacked: &'a Stacked) -> Self {
        let mut tail = Vec::new();
        for (name, bytes) in ends(image, tag) {
            tail.extend_from_slice(&plain_head(&name, bytes.len() as u64));
            tail.extend_from_slice(&bytes);
            tail.extend_from_slice(&zeros(bytes.len() as u64));
        }
        tail.extend_from_slice(&TAR_END);
        let mut whole = stacked.clone();
        whole.add(&tail);
        Self { image, stacked, tail, digest: whole.hasher.finish(), size: whole.size }
    }

    /// Writes it to an empty file; layers are copied by the system where it can.
    pub fn write(&self, out: &mut File) -> io::Result<()> {
        let mut written = BTreeSet::new();
        for layer in self.image.layers.iter().filter(|layer| written.insert(layer.digest)) {
            out.write_all(&plain_head(&layer_name(layer), layer.size))?;
            let copied = io::copy(&mut open_regular(&layer.path)?, out)?;
            if copied != layer.size {
                return Err(io::Error::other(DockerError::Changed { path: layer.path.clone() }));
            }
            out.write_all(&zeros(layer.size))?;
        }
        debug_assert_eq!(written, self.stacked.files);
        out.write_all(&self.tail)
    }
}

/// The digest of all that an archive's bytes follow from.
pub fn recipe(image: &Image, tag: &str) -> Sha256 {
    let mut hasher = Sha256Hasher::new();
    hasher.update(RULES.as_bytes());
    for (name, bytes) in ends(image, tag) {
        hasher.update(format!("{name} {}\n", bytes.len()).as_bytes());
        hasher.update(&bytes);
    }
    hasher.finish()
}

/// An image's entry in manifest.json.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Loaded<'a> {
    config: &'a str,
    repo_tags: [&'a str; 1],
    layers: Vec<String>,
}

/// The files after the layers.
fn ends(image: &Image, tag: &str) -> [(String, Vec<u8>); 2] {
    let config = bytes(&config::config(image));
    let name = format!("{}.json", Sha256::of(&config));
    let loaded = Loaded { config: &name, repo_tags: [tag], layers: image.layers.iter().map(layer_name).collect() };
    let manifest = bytes(&[loaded]);
    [(name, config), ("manifest.json".to_owned(), manifest)]
}

/// The name of a layer in the archive; those who read it look at the end.
fn layer_name(layer: &Layer) -> String {
    format!("{}.{}", layer.digest, layer.form.extension())
}

fn zeros(size: u64) -> Vec<u8> {
    vec![0; padding(size) as usize]
}

fn open(layer: &Layer) -> Result<File, DockerError> {
    open_regular(&layer.path).map_err(|source| DockerError::Read { path: layer.path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_docker_takes() {
        for (tier, image, expected) in [
            ("cc", "cc", Some("debian13/cc:latest")),
            ("cc", "cc-nonroot", Some("debian13/cc:nonroot")),
            ("cc", "cc-debug-nonroot", Some("debian13/cc:debug-nonroot")),
            ("java-base", "java-base", Some("debian13/java-base:latest")),
            ("c++", "c++-debug", Some("debian13/cplusplus:debug")),
            ("python3.13", "python3.13", Some("debian13/python3.13:latest")),
            ("a--b", "a--b", Some("debian13/a--b:latest")),
            ("a-", "a-", None),
            ("a..b", "a..b", None),
            ("a.-b", "a.-b", None),
        ] {
            assert_eq!(tag("debian13", tier, image).ok().as_deref(), expected, "{image}");
        }
    }
}
