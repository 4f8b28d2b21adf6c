//! Layers inside of what is given: docker archives and OCI image layouts.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    ground::{Class, Failure, open_regular, printable},
    image::{
        Descriptor, Digest, Platform,
        layout::{Layout, LayoutError, is_index, is_manifest},
        spec::{CONFIG, Config, DOCKER_CONFIG, LONGEST_DOCUMENT, REF_NAME, Texts},
    },
};

/// Bytes of all documents of a layout or archive that are held or read.
const DOCUMENTS: u64 = 64 << 20;
/// Bytes of the names and link targets of an archive.
const MOST_NAMES: usize = 64 << 20;
/// Images of one layout or archive.
const MOST_IMAGES: usize = 4096;
/// Entries of all indexes of a layout.
const MOST_ENTRIES: usize = 200_000;
/// Layers of all images of a layout or archive.
const MOST_LAYERS_IN_ALL: usize = 100_000;
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
#[derive(Debug, Clone, Default)]
pub struct GivenImage {
    /// Where it was found; fit to print.
    pub name: String,
    /// What tells it from others beside it: the digest of its manifest, or its number in an archive.
    pub id: String,
    /// What it is called there: `cc`, `localhost/debian13:cc`.
    pub tags: Vec<String>,
    /// For which platform, where it says so.
    pub platform: Option<Platform>,
    /// The root layer first.
    pub layers: Vec<Given>,
    /// The bytes of its config.
    pub config: Vec<u8>,
    /// Those of its manifest, where it has one.
    pub annotations: Option<Texts>,
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
        return layout(path).map(Against::Images);
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
    let mut start = Vec::new();
    // Damaged compression is a matter of the layer that it then is.
    let open = || -> io::Result<Box<dyn Read>> { decoded((given.open)()?, compression) };
    if open().and_then(|tar| tar.take(512).read_to_end(&mut start)).is_err() || start.starts_with(b"./\0") {
        return Ok(None);
    }
    let Ok(tar) = open() else { return Ok(None) };
    let Some(members) = members(Ceiling::new(tar, given.ceiling())) else { return Ok(None) };
    let Some(manifest) = members.documents.get(MANIFEST_NAME) else { return Ok(None) };
    let Ok(lines) = serde_json::from_slice::<Vec<Line>>(manifest) else { return Ok(None) };
    members.once(MANIFEST_NAME)?;
    if lines.len() > MOST_IMAGES {
        return Err(format!("it has more than {MOST_IMAGES} images"));
    }
    if lines.iter().map(|line| line.layers.len()).sum::<usize>() > MOST_LAYERS_IN_ALL {
        return Err(format!("its images have more than {MOST_LAYERS_IN_ALL} layers"));
    }
    let mut images = Vec::new();
    let mut held = 0_u64;
    for (number, line) in lines.into_iter().enumerate() {
        // Members are known without `./`.
        let own = |name: &str| plain(name).ok_or_else(|| format!("{name} leads out of it"));
        let layers = line.layers.iter().map(|name| own(name)).collect::<Result<Vec<_>, _>>()?;
        let line = Line { config: own(&line.config)?, layers, ..line };
        if line.layers.len() > MOST_LAYERS {
            return Err(format!("{} has more than {MOST_LAYERS} layers", line.config));
        }
        let mut layers = Vec::new();
        for layer in &line.layers {
            layers.push(member(given, path, compression, layer, members.place(layer)?));
        }
        let (_, size) = members.place(&line.config)?;
        let config = match members.documents.get(&line.config) {
            Some(config) => config.clone(),
            None if size > LONGEST_DOCUMENT => return Err(format!("{} is too long", line.config)),
            None if members.full => return Err(format!("its documents have more than {DOCUMENTS} bytes")),
            None => return Err(format!("{} is no config", line.config)),
        };
        held = held.saturating_add(size);
        if held > DOCUMENTS {
            return Err(format!("its configs have more than {DOCUMENTS} bytes"));
        }
        let tags = line.repo_tags.unwrap_or_default();
        let name = tags.first().unwrap_or(&line.config);
        let name = format!("{}, {}", given.name, printable(name.as_bytes()));
        let platform = platform(&config);
        images.push(GivenImage { name, id: number.to_string(), tags, platform, layers, config, annotations: None });
    }
    Ok(Some(images))
}

/// The parts of a path without `.` and `..`; `None` where it leads out.
fn plain(path: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            ".." => drop(names.pop()?),
            "." | "" => {}
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

const MANIFEST_NAME: &str = "manifest.json";

/// What an archive has, by name.
#[derive(Default)]
struct Members {
    places: BTreeMap<String, Place>,
    links: BTreeMap<String, String>,
    /// Small members that begin like JSON.
    documents: BTreeMap<String, Vec<u8>>,
    /// Not all of them were kept.
    full: bool,
    /// Names that several members have.
    twice: BTreeSet<String>,
}

impl Members {
    /// Readers of archives do not agree on which of several members counts.
    fn once(&self, name: &str) -> Result<(), String> {
        match self.twice.contains(name) {
            true => Err(format!("it has {name} twice")),
            false => Ok(()),
        }
    }

    fn place(&self, name: &str) -> Result<Place, String> {
        self.once(name)?;
        // `docker save` of old put links in the place of layers that were there already.
        let target = self.links.get(name).map_or(name, String::as_str);
        self.once(target)?;
        self.places.get(target).copied().ok_or_else(|| format!("it lacks {name}"))
    }
}

/// The members of an archive; `None` where it is none, or damaged.
fn members(tar: impl Read) -> Option<Members> {
    let mut members = Members::default();
    let (mut count, mut names, mut held) = (0_usize, 0_usize, 0_u64);
    let mut reader = Reader::new(tar);
    loop {
        match reader.next(|_| false) {
            Item::Entry(head) => {
                // An archive of images has few members, and a layer some thousands.
                count = count.saturating_add(1);
                names = names.saturating_add(head.name.len()).saturating_add(head.link.len());
                if count > MOST_MEMBERS || names > MOST_NAMES {
                    return None;
                }
                let name = plain(std::str::from_utf8(&head.name).ok()?)?;
                let known = members.places.contains_key(&name) || members.links.contains_key(&name);
                if known {
                    members.twice.insert(name.clone());
                }
                if matches!(head.kind, b'1' | b'2') {
                    let link = std::str::from_utf8(&head.link).ok()?;
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    let target = match head.kind {
                        b'1' => plain(link),
                        _ => plain(&format!("{folder}/{link}")),
                    };
                    // One that leads out leads to no member.
                    members.links.insert(name, target.unwrap_or_default());
                    continue;
                }
                let size = if head.kind == b'5' { 0 } else { head.size? };
                let at = reader.blocks.at;
                let room = name == MANIFEST_NAME || held.saturating_add(size) <= DOCUMENTS;
                let mut keep = size <= LONGEST_DOCUMENT && !known;
                let mut kept = Vec::new();
                let mut left = size;
                while left > 0 {
                    let piece = reader.blocks.take(left);
                    if piece.is_empty() {
                        return None;
                    }
                    if left == size
                        && !piece.trim_ascii_start().starts_with(b"{")
                        && !piece.trim_ascii_start().starts_with(b"[")
                    {
                        keep = false;
                    }
                    if keep && room {
                        kept.extend_from_slice(piece);
                    }
                    left = left.saturating_sub(piece.len() as u64);
                }
                reader.padding(size);
                if keep && room {
                    held = held.saturating_add(size);
                    members.documents.insert(name.clone(), kept);
                }
                members.full |= keep && !room;
                if head.kind != b'5' {
                    members.places.insert(name, (at, size));
                }
            }
            Item::Zeros { .. } => {}
            Item::Garbage { .. } => return None,
            Item::End { .. } if reader.blocks.fault.is_some() => return None,
            Item::End { .. } => return Some(members),
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
        claimed: None,
        open: Arc::new(opener),
    }
}

/// The images of an OCI image layout (image-layout.md).
fn layout(folder: &Path) -> Result<Vec<GivenImage>, GivenError> {
    let broken = |what: String| GivenError::Image { path: folder.to_owned(), what };
    let told = |error: LayoutError| match error {
        LayoutError::Read { path, source } => GivenError::Read { path, source },
        error => broken(printable(error.to_string().as_bytes())),
    };
    let layout = Layout::open(folder).map_err(told)?;
    let mut walk = Walk { layout: &layout, images: Vec::new(), seen: BTreeSet::new(), entries: 0, read: 0, layers: 0 };
    walk.all(layout.entries(), &[], None, 0).map_err(|fault| match fault {
        Fault::Layout(error) => told(error),
        Fault::TooMuch(what) => broken(what),
    })?;
    let images = walk.images;
    let mut checked = BTreeSet::new();
    for image in &images {
        for digest in image.layers.iter().filter_map(|layer| layer.claimed) {
            if !checked.insert(digest) {
                continue;
            }
            // It must be there, behind no link. What it holds is compared, and hashed, where it counts.
            match layout.open_blob(&Descriptor { digest: Digest(digest), ..Descriptor::of("", b"") }) {
                Ok(_) | Err(LayoutError::Damaged { .. }) => {}
                Err(error) => return Err(told(error)),
            }
        }
    }
    Ok(images)
}

enum Fault {
    Layout(LayoutError),
    TooMuch(String),
}

impl From<LayoutError> for Fault {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

/// What the entries of an index inherit: the names of what it is in, and a platform.
type Seen = (Digest, Vec<String>, Option<Platform>);

/// A way through the indexes of a layout, each of them looked at once under each name.
struct Walk<'a> {
    layout: &'a Layout,
    images: Vec<GivenImage>,
    seen: BTreeSet<Seen>,
    entries: usize,
    read: u64,
    layers: usize,
}

impl Walk<'_> {
    /// Counts bytes that are about to be read.
    fn reads(&mut self, at: &Descriptor) -> Result<(), Fault> {
        self.read = self.read.saturating_add(at.size);
        match self.read > DOCUMENTS {
            true => Err(Fault::TooMuch(format!("its indexes, manifests and configs have more than {DOCUMENTS} bytes"))),
            false => Ok(()),
        }
    }

    fn all(
        &mut self,
        entries: &[Descriptor],
        tags: &[String],
        platform: Option<&Platform>,
        depth: usize,
    ) -> Result<(), Fault> {
        for entry in entries {
            self.entries = self.entries.saturating_add(1);
            if self.entries > MOST_ENTRIES {
                return Err(Fault::TooMuch(format!("its indexes have more than {MOST_ENTRIES} entries")));
            }
            let mut tags = tags.to_vec();
            tags.extend(entry.annotations.get(REF_NAME).cloned());
            let platform = entry.platform.as_ref().or(platform);
            if !self.seen.insert((entry.digest, tags.clone(), platform.cloned())) {
                continue;
            }
            if is_index(entry) {
                if depth >= DEEPEST {
                    return Err(Fault::TooMuch("its indexes lie too deep in each other".to_owned()));
                }
                self.reads(entry)?;
                let index = self.layout.index(entry)?;
                self.all(&index.manifests, &tags, platform, depth.saturating_add(1))?;
            } else if is_manifest(entry) {
                self.image(entry, tags, platform)?;
            }
        }
        Ok(())
    }

    fn image(&mut self, entry: &Descriptor, tags: Vec<String>, platform: Option<&Platform>) -> Result<(), Fault> {
        self.reads(entry)?;
        let manifest = self.layout.manifest(entry)?;
        // Bills of materials and provenance lie there too. What has an image's config runs as an image,
        // whatever else it says of itself.
        if ![CONFIG, DOCKER_CONFIG].contains(&&*manifest.config.media_type) {
            return Ok(());
        }
        self.layers = self.layers.saturating_add(manifest.layers.len());
        if manifest.layers.len() > MOST_LAYERS || self.layers > MOST_LAYERS_IN_ALL {
            return Err(Fault::TooMuch(format!("{} has more than {MOST_LAYERS} layers", entry.digest)));
        }
        if self.images.len() >= MOST_IMAGES {
            return Err(Fault::TooMuch(format!("it has more than {MOST_IMAGES} images")));
        }
        self.reads(&manifest.config)?;
        let config = self.layout.read(&manifest.config, LONGEST_DOCUMENT)?;
        let platform = platform.cloned().or_else(|| self::platform(&config));
        let layer = |layer: &Descriptor| {
            let mut given = Given::file(&self.layout.path(layer.digest));
            given.media_type = Some(layer.media_type.clone());
            given.claimed = Some(layer.digest.0);
            given
        };
        let name = tags.first().map_or_else(|| entry.digest.to_string(), Clone::clone);
        let folder = printable(self.layout.root().as_os_str().as_encoded_bytes());
        self.images.push(GivenImage {
            name: format!("{folder}, {}", printable(name.as_bytes())),
            id: entry.digest.to_string(),
            tags,
            platform,
            layers: manifest.layers.iter().map(layer).collect(),
            config,
            annotations: Some(manifest.annotations),
        });
        Ok(())
    }
}

/// What an image of ours may be called.
#[derive(Debug, Clone, Copy)]
pub struct Called<'a> {
    /// As in layouts: `cc-nonroot`.
    pub image: &'a str,
    /// Its tier: `cc`.
    pub tier: &'a str,
    /// As docker has it: `debian13/cc:nonroot`; `None` where it has no word for it.
    pub docker: Option<&'a str>,
}

impl Called<'_> {
    /// How well a tag names it, 0 best: in full; as the tag of some repository; by a repository that is called
    /// like the tier, and a tag like the variants; as any part of it.
    pub fn rank(&self, tag: &str) -> Option<u8> {
        if tag == self.image || Some(tag) == self.docker {
            return Some(0);
        }
        let tag = tag.split_once('@').map_or(tag, |(tag, _)| tag);
        let (repository, word) = match tag.rsplit_once(':') {
            Some((repository, word)) if !word.contains('/') => (repository, word),
            _ => (tag, "latest"),
        };
        let last = repository.rsplit('/').next().unwrap_or(repository);
        let variants = self.image.strip_prefix(self.tier).map(|rest| rest.strip_prefix('-').unwrap_or("latest"));
        match () {
            () if word == self.image => Some(1),
            () if last == self.tier && Some(word) == variants => Some(2),
            () if tag.split(['/', ':']).any(|part| part == self.image) => Some(3),
            () => None,
        }
    }
}

impl GivenImage {
    /// Whether it is for this platform, or says nothing of one.
    pub fn runs_on(&self, platform: &Platform) -> bool {
        self.platform.as_ref().is_none_or(|own| {
            (&own.os, &own.architecture) == (&platform.os, &platform.architecture)
                && (own.variant.is_none() || platform.variant.is_none() || own.variant == platform.variant)
        })
    }
}
