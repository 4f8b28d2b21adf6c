//! Layers inside of what is given: docker archives and OCI image layouts.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Seek as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use super::{
    given::{Ceiling, Compression, Given, decoded},
    reader::{Item, Reader},
};
use crate::{
    ground::{Class, Failure, Sha256, open_regular, printable, read_at_most},
    image::{
        Digest, Platform,
        spec::{Config, Index, Manifest, REF_NAME},
    },
};

/// Bytes of one JSON document of an image (OCI distribution-spec: 4 MiB is what registries take).
const DOCUMENT: u64 = 4 << 20;
/// Images of one layout or archive.
const MOST_IMAGES: usize = 4096;
/// Layers of one image; the kernel's overlayfs takes 500.
const MOST_LAYERS: usize = 1024;
/// Members of an archive.
const MOST_MEMBERS: usize = 100_000;
/// How deep indexes lie in each other.
const DEEPEST: usize = 4;

/// What is given cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum GivenError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(
        code(debstrata::evidence::read),
        help(
            "--against takes a folder of outputs, a layer, a docker archive or an OCI layout; see whether the path is right"
        )
    )]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is a damaged image.
    #[error("{} is no usable image: {what}", path.display())]
    #[diagnostic(
        code(debstrata::evidence::image),
        help(
            "save or copy the image again; a docker archive needs manifest.json and the layers that it names, a layout index.json and the blobs"
        )
    )]
    Image {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, fit to print.
        what: String,
    },
}

impl Failure for GivenError {
    fn class(&self) -> Class {
        match self {
            Self::Read { source, .. }
                if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) =>
            {
                Class::World
            }
            Self::Read { .. } | Self::Image { .. } => Class::User,
        }
    }
}

/// One image that is given.
#[derive(Debug, Clone)]
pub struct GivenImage {
    /// Where it was found; fit to print.
    pub name: String,
    /// What it is called there: `cc`, `localhost/debian13:cc`.
    pub tags: Vec<String>,
    /// For which platform, where it says so.
    pub platform: Option<Platform>,
    /// The root layer first.
    pub layers: Vec<Given>,
}

/// What a path holds.
#[derive(Debug, Clone)]
pub enum Against {
    /// A folder of outputs.
    Outputs(PathBuf),
    /// One layer.
    Layer(Given),
    /// Images.
    Images(Vec<GivenImage>),
}

/// Looks at what a path holds. No layer is read.
pub fn discover(path: &Path) -> Result<Against, GivenError> {
    let read = |source| GivenError::Read { path: path.to_owned(), source };
    let broken = |what: String| GivenError::Image { path: path.to_owned(), what: printable(what.as_bytes()) };
    if fs::metadata(path).map_err(read)?.is_dir() {
        if !path.join("oci-layout").is_file() {
            return Ok(Against::Outputs(path.to_owned()));
        }
        return layout(path).map(Against::Images).map_err(broken);
    }
    let given = Given::file(path);
    let compression = given.compression().map_err(read)?;
    match archive(&given, path, compression) {
        Ok(Some(images)) => Ok(Against::Images(images)),
        Ok(None) => Ok(Against::Layer(given)),
        Err(what) => Err(broken(what)),
    }
}

fn platform(config: &[u8]) -> Option<Platform> {
    let config: Config = serde_json::from_slice(config).ok()?;
    Some(Platform { architecture: config.architecture, os: config.os, variant: config.variant })
}

/// A line of a docker archive's manifest.json.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Where a member lies in an archive.
type Place = (u64, u64);

/// The images of a docker archive; `None` where it is none.
fn archive(given: &Given, path: &Path, compression: Compression) -> Result<Option<Vec<GivenImage>>, String> {
    let text = |error: io::Error| error.to_string();
    let mut start = Vec::new();
    // Damaged compression is a matter of the layer that it then is.
    let open = || -> io::Result<Box<dyn Read>> { decoded((given.open)()?, compression) };
    if open().and_then(|tar| tar.take(512).read_to_end(&mut start)).is_err() || start.starts_with(b"./\0") {
        return Ok(None);
    }
    let Ok(tar) = open() else { return Ok(None) };
    let Some((places, links, documents)) = members(Ceiling::new(tar, given.ceiling())) else { return Ok(None) };
    let Some(manifest) = documents.get("manifest.json") else { return Ok(None) };
    let Ok(lines) = serde_json::from_slice::<Vec<Line>>(manifest) else { return Ok(None) };
    if lines.len() > MOST_IMAGES {
        return Err(format!("it has more than {MOST_IMAGES} images"));
    }
    let mut images = Vec::new();
    for line in lines {
        if line.layers.len() > MOST_LAYERS {
            return Err(format!("{} has more than {MOST_LAYERS} layers", line.config));
        }
        let mut layers = Vec::new();
        for layer in &line.layers {
            // `docker save` of old put links in the place of layers that were there already.
            let target = links.get(layer).and_then(|target| beside(layer, target));
            let place = places.get(layer).or_else(|| places.get(target.as_deref()?)).copied();
            let place = place.ok_or_else(|| format!("it lacks {layer}"))?;
            layers.push(member(given, path, compression, layer, place));
        }
        let platform = match places.get(&line.config) {
            Some((_, size)) if *size > DOCUMENT => return Err(format!("{} is too long", line.config)),
            Some(place) => {
                let mut bytes = (member(given, path, compression, &line.config, *place).open)().map_err(text)?;
                platform(&read_at_most(&mut bytes, DOCUMENT).map_err(text)?)
            }
            None => return Err(format!("it lacks {}", line.config)),
        };
        let tags = line.repo_tags.unwrap_or_default();
        let name = tags.first().unwrap_or(&line.config);
        let name = format!("{}, {}", given.name, printable(name.as_bytes()));
        images.push(GivenImage { name, tags, platform, layers });
    }
    Ok(Some(images))
}

/// `a/layer.tar` and `../b/layer.tar`: `b/layer.tar`.
fn beside(path: &str, target: &str) -> Option<String> {
    let mut names: Vec<&str> = path.split('/').collect();
    names.pop();
    for name in target.split('/') {
        match name {
            ".." => drop(names.pop()?),
            "." | "" => {}
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

type Members = (BTreeMap<String, Place>, BTreeMap<String, String>, BTreeMap<String, Vec<u8>>);

/// The files, links and small JSON documents of an archive; `None` where it is none, or damaged.
fn members(tar: impl Read) -> Option<Members> {
    let (mut places, mut links, mut documents) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut reader = Reader::new(tar);
    loop {
        match reader.next(|_| false) {
            Item::Entry(head) => {
                let name = String::from_utf8(head.name.clone()).ok()?;
                let name = name.trim_start_matches("./").to_owned();
                // An archive of images has few members, and a layer some thousands.
                if places.len() > MOST_MEMBERS {
                    return None;
                }
                if matches!(head.kind, b'1' | b'2') {
                    links.insert(name, String::from_utf8(head.link.clone()).ok()?);
                    continue;
                }
                let size = if head.kind == b'5' { 0 } else { head.size? };
                let at = reader.blocks.at;
                let mut left = size;
                let keep = name == "manifest.json" && size <= DOCUMENT;
                let mut kept = Vec::new();
                while left > 0 {
                    let piece = reader.blocks.take(left);
                    if piece.is_empty() {
                        return None;
                    }
                    if keep {
                        kept.extend_from_slice(piece);
                    }
                    left = left.saturating_sub(piece.len() as u64);
                }
                reader.padding(size);
                if keep {
                    documents.insert(name.clone(), kept);
                }
                if head.kind != b'5' {
                    places.insert(name, (at, size));
                }
            }
            Item::Zeros { .. } => {}
            Item::Garbage { .. } => return None,
            Item::End { .. } if reader.blocks.fault.is_some() => return None,
            Item::End { .. } => return Some((places, links, documents)),
        }
    }
}

/// A member of an archive as a layer.
fn member(given: &Given, path: &Path, compression: Compression, name: &str, (at, size): Place) -> Given {
    let (open, file) = (given.open.clone(), path.to_owned());
    let opener = move || -> io::Result<Box<dyn io::BufRead + Send>> {
        if compression == Compression::None {
            let mut file = open_regular(&file)?;
            file.seek(io::SeekFrom::Start(at))?;
            return Ok(Box::new(io::BufReader::with_capacity(256 << 10, file.take(size))));
        }
        // In a compressed archive there is no way but through all before.
        let bytes: Box<dyn Read + Send> = match compression {
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(open()?)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(open()?)?),
            other => {
                let text = format!("archives compressed by {} are not read", other.word());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        let mut bytes = bytes;
        io::copy(&mut (&mut bytes).take(at), &mut io::sink())?;
        Ok(Box::new(io::BufReader::with_capacity(256 << 10, bytes.take(size))))
    };
    Given {
        name: format!("{}, {}", given.name, printable(name.as_bytes())),
        media_type: None,
        size,
        open: Arc::new(opener),
    }
}

/// The images of an OCI image layout (image-layout.md).
fn layout(folder: &Path) -> Result<Vec<GivenImage>, String> {
    let index = read_document(&folder.join("index.json"))?;
    let index: Index = serde_json::from_slice(&index).map_err(|error| format!("index.json: {error}"))?;
    let mut images = Vec::new();
    images_of(folder, index, &[], None, 0, &mut images)?;
    Ok(images)
}

fn read_document(path: &Path) -> Result<Vec<u8>, String> {
    let name = || path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    open_regular(path).and_then(|file| read_at_most(file, DOCUMENT)).map_err(|error| format!("{}: {error}", name()))
}

fn blob(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.0.to_string())
}

fn document(folder: &Path, digest: &Digest) -> Result<Vec<u8>, String> {
    let bytes = read_document(&blob(folder, digest))?;
    if Sha256::of(&bytes) != digest.0 {
        return Err(format!("the blob {digest} has other bytes than its name says"));
    }
    Ok(bytes)
}

fn images_of(
    folder: &Path,
    index: Index,
    tags: &[String],
    platform: Option<&Platform>,
    depth: usize,
    images: &mut Vec<GivenImage>,
) -> Result<(), String> {
    for entry in index.manifests {
        if images.len() >= MOST_IMAGES {
            return Err(format!("it has more than {MOST_IMAGES} images"));
        }
        let mut tags = tags.to_vec();
        tags.extend(entry.annotations.get(REF_NAME).cloned());
        let bytes = document(folder, &entry.digest)?;
        let platform = entry.platform.as_ref().or(platform);
        let kind: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        if kind.get("manifests").is_some() {
            if depth >= DEEPEST {
                return Err("its indexes lie too deep in each other".to_owned());
            }
            let index: Index = serde_json::from_value(kind).map_err(|error| error.to_string())?;
            images_of(folder, index, &tags, platform, depth.saturating_add(1), images)?;
            continue;
        }
        let manifest: Manifest = serde_json::from_value(kind).map_err(|error| error.to_string())?;
        // Bills of materials and provenance lie there too.
        if manifest.artifact_type.is_some() || manifest.subject.is_some() {
            continue;
        }
        if manifest.layers.len() > MOST_LAYERS {
            return Err(format!("{} has more than {MOST_LAYERS} layers", entry.digest));
        }
        let config = document(folder, &manifest.config.digest)?;
        let platform = platform.cloned().or_else(|| self::platform(&config));
        let layer = |layer: &crate::image::Descriptor| {
            let mut given = Given::file(&blob(folder, &layer.digest));
            given.media_type = Some(layer.media_type.clone());
            given
        };
        let name = tags.first().map_or_else(|| entry.digest.to_string(), Clone::clone);
        images.push(GivenImage {
            name: format!("{}, {}", printable(folder.as_os_str().as_encoded_bytes()), printable(name.as_bytes())),
            tags,
            platform,
            layers: manifest.layers.iter().map(layer).collect(),
        });
    }
    Ok(())
}

impl GivenImage {
    /// Whether one of its tags is this name, or has it as a part: `registry.example.org/debian13:cc`.
    pub fn is_called(&self, name: &str) -> bool {
        self.tags.iter().any(|tag| tag.split(['/', ':', '@']).any(|part| part == name))
    }

    /// Whether it is for this platform, or says nothing of one.
    pub fn runs_on(&self, platform: &Platform) -> bool {
        self.platform.as_ref().is_none_or(|own| {
            own.architecture == platform.architecture
                && (own.variant.is_none() || platform.variant.is_none() || own.variant == platform.variant)
        })
    }
}
