//! Layers, docker archives, layouts and images of registries as sides. Layers are read once, as streams.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::Path,
};

use serde::Deserialize;

use super::{OperandError, tiers::shown};
use crate::{
    cache::Cache,
    debian::Architecture,
    evidence::diff::{Limits, Side, Trees, installed, settings},
    ground::{RootPath, Sha256Hasher, follow, open_regular, printable, read_at_most},
    image::{
        Descriptor, Platform,
        layout::Layout,
        registry::Repository,
        spec::{Config, DOCKER_LIST, INDEX, Index, LONGEST_DOCUMENT, Manifest},
    },
    pipeline::Failures,
};

const BLOCK: u64 = 512;
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// Entries of a docker archive; what has more is a layer.
const MOST_MEMBERS: usize = 20_000;
/// Layers of an image; docker takes 127.
const MOST_LAYERS: usize = 500;

/// A layer, or a docker archive.
pub(super) fn file(name: &str, path: &Path, architecture: Option<Architecture>) -> Result<Side, Failures> {
    let unreadable = |source| OperandError::Read(name.to_owned(), source);
    let file = open_regular(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let members = members(&file, size).map_err(unreadable)?;
    if members.contains_key(&b"manifest.json"[..]) {
        return docker(name, &file, &members, architecture);
    }
    let archive = |why: &str, help| OperandError::Archive { path: name.to_owned(), why: why.to_owned(), help };
    if members.contains_key(&b"oci-layout"[..]) {
        return Err(archive("it is an OCI layout in a tar", "unpack it into a folder, and name that").into());
    }
    let mut trees = Trees::new(Limits::default());
    trees.add(name, BufReader::with_capacity(PIECE, file), size)?;
    let tree = trees.layer();
    let top = |name: &[u8]| tree.entries.contains_key(name);
    if top(b"manifest.json") && (top(b"oci-layout") || top(b"repositories")) {
        let help = "decompress it (gunzip, zstd -d), and name what comes of it";
        return Err(archive("it is compressed as a whole", help).into());
    }
    Ok(side(tree, None))
}

fn side(mut tree: crate::evidence::diff::Tree, config: Option<(Config, BTreeMap<String, String>)>) -> Side {
    let packages = installed(&mut tree);
    let config = config.map(|(config, annotations)| {
        let Config { architecture, os, variant, .. } = &config;
        let platform = Platform { architecture: architecture.clone(), os: os.clone(), variant: variant.clone() };
        settings(&config.config, Some(&shown(&platform)), &annotations)
    });
    Side { name: String::new(), packages, tree: Some(tree), config, variants: None }
}

/// Where a member's bytes are, or what it links to.
enum Member {
    At(u64, u64),
    Link(Vec<u8>),
}

/// The first members of an uncompressed tar by name; none of anything else.
fn members(file: &File, size: u64) -> io::Result<BTreeMap<Vec<u8>, Member>> {
    let mut found = BTreeMap::new();
    let mut at = 0_u64;
    let mut block = [0; BLOCK as usize];
    while found.len() < MOST_MEMBERS && at.checked_add(BLOCK).is_some_and(|end| end <= size) {
        file.read_exact_at(&mut block, at)?;
        let header = tar::Header::from_byte_slice(&block);
        let magic = header.as_ustar().is_some() || header.as_gnu().is_some();
        let Some(length) = header.entry_size().ok().filter(|_| magic) else { break };
        at += BLOCK;
        let name = RootPath::from_archive(&header.path_bytes()).map(|path| path.as_bytes().to_vec());
        match (header.as_old().linkflag[0], name) {
            (b'0' | 0, Ok(name)) => drop(found.insert(name, Member::At(at, length))),
            (b'2', Ok(name)) => {
                let link = header.link_name_bytes().unwrap_or_default().into_owned();
                found.insert(name, Member::Link(link));
            }
            _ => {}
        }
        let padded = length.checked_add(BLOCK - 1).map(|length| length / BLOCK * BLOCK);
        let Some(next) = padded.and_then(|padded| at.checked_add(padded)) else { break };
        at = next;
    }
    Ok(found)
}

/// What `docker save` says of an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

fn docker(
    name: &str,
    file: &File,
    members: &BTreeMap<Vec<u8>, Member>,
    architecture: Option<Architecture>,
) -> Result<Side, Failures> {
    let unreadable = |source| OperandError::Read(name.to_owned(), source);
    let wrong = |why: String| OperandError::Archive {
        path: name.to_owned(),
        why,
        help: "save it again with `docker save`, or name a layout",
    };
    let member = |wanted: &str| {
        let link = |path: &[u8]| match members.get(path)? {
            Member::Link(target) => Some(&**target),
            Member::At(..) => None,
        };
        let path = RootPath::from_archive(wanted.as_bytes()).ok();
        let found = path.and_then(|path| follow(path.as_bytes(), true, link).ok());
        match found.and_then(|found| members.get(&found)) {
            Some(Member::At(at, length)) => Ok((*at, *length)),
            _ => Err(wrong(format!("it has no {}", printable(wanted.as_bytes())))),
        }
    };
    let stream = |(at, length): (u64, u64)| -> Result<io::Take<File>, Failures> {
        let mut file = file.try_clone().map_err(unreadable)?;
        file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
        Ok(file.take(length))
    };
    let document = |wanted: &str| -> Result<Vec<u8>, Failures> {
        let place = member(wanted)?;
        Ok(read_at_most(stream(place)?, LONGEST_DOCUMENT).map_err(unreadable)?)
    };
    let malformed = |what: &str, error: serde_json::Error| {
        wrong(format!("its {what} is malformed: {}", printable(error.to_string().as_bytes())))
    };
    let saved: Vec<Saved> =
        serde_json::from_slice(&document("manifest.json")?).map_err(|error| malformed("manifest.json", error))?;
    let mut images = Vec::new();
    for saved in saved.iter().take(MOST_LAYERS) {
        let config: Config =
            serde_json::from_slice(&document(&saved.config)?).map_err(|error| malformed("config", error))?;
        images.push((saved, config));
    }
    let fits =
        |config: &Config| architecture.is_some_and(|wanted| Platform::of(wanted).architecture == config.architecture);
    let chosen = match images.len() {
        1 => images.pop(),
        _ => images.into_iter().find(|(_, config)| fits(config)),
    };
    let (saved, config) = chosen.ok_or_else(|| wrong("it has no image for this architecture".to_owned()))?;
    if saved.layers.len() > MOST_LAYERS {
        return Err(wrong(format!("it has more than {MOST_LAYERS} layers")).into());
    }
    let mut trees = Trees::new(Limits::default());
    for layer in &saved.layers {
        let place = member(layer)?;
        let title = format!("{name}: {}", printable(layer.as_bytes()));
        trees.add(&title, BufReader::with_capacity(PIECE, stream(place)?), place.1)?;
    }
    Ok(side(trees.image(), Some((config, BTreeMap::new()))))
}

/// An image of a layout.
pub(super) fn layout(
    name: &str,
    layout: &Layout,
    image: &str,
    architecture: Option<Architecture>,
) -> Result<Side, Failures> {
    let found = layout.resolve(image)?;
    let manifest = match is_index(&found) {
        true => layout.choose(&found, &platform(architecture)?)?.1,
        false => layout.manifest(&found)?,
    };
    let config = layout.config(&manifest)?;
    let mut trees = Trees::new(Limits::default());
    count(name, &manifest)?;
    for layer in &manifest.layers {
        let title = format!("{name}: {}", layer.digest);
        let mut hashed = Hashed { file: layout.open_blob(layer)?, hasher: Sha256Hasher::new() };
        let read = trees.add(&title, BufReader::with_capacity(PIECE, &mut hashed), layer.size);
        // Bytes that are not the right ones explain every other fault.
        let unreadable = |source| OperandError::Read(title.clone(), source);
        io::copy(&mut hashed, &mut io::sink()).map_err(unreadable)?;
        if hashed.hasher.finish() != layer.digest.0 {
            return Err(OperandError::Digest { path: title, digest: layer.digest.to_string() }.into());
        }
        read?;
    }
    Ok(side(trees.image(), Some((config, manifest.annotations))))
}

/// An image of a registry. Its layers come one by one into a file below `scratch`, their digests compared.
pub(super) fn registry(
    name: &str,
    repository: &Repository,
    scratch: &Path,
    architecture: Option<Architecture>,
) -> Result<Side, Failures> {
    let reference = repository.reference();
    let absent = || OperandError::Absent(name.to_owned());
    let wrong = |what: &str, error: serde_json::Error| OperandError::Archive {
        path: name.to_owned(),
        why: format!("its {what} is malformed: {}", printable(error.to_string().as_bytes())),
        help: "push the image again, or name another one",
    };
    let wanted = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => "latest".to_owned(),
    };
    let mut document = repository.get_manifest(&wanted)?.ok_or_else(absent)?;
    if is_index(&document.descriptor) {
        let index: Index = serde_json::from_slice(&document.bytes).map_err(|error| wrong("index", error))?;
        let wanted = platform(architecture)?;
        let fits = |entry: &&Descriptor| {
            let found = entry.platform.as_ref();
            found.is_some_and(|found| (&found.os, &found.architecture) == (&wanted.os, &wanted.architecture))
        };
        let exact = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|found| found.variant == wanted.variant);
        let mut found = index.manifests.iter().filter(fits);
        let best = found.clone().find(exact).or_else(|| found.next()).ok_or_else(absent)?;
        document = repository.get_manifest(&best.digest.to_string())?.ok_or_else(absent)?;
    }
    let manifest: Manifest = serde_json::from_slice(&document.bytes).map_err(|error| wrong("manifest", error))?;
    count(name, &manifest)?;
    let folder = Cache::scratch(scratch)?;
    let fetch = |blob: &Descriptor| -> Result<File, Failures> {
        let unwritable = |source| OperandError::Read(folder.path().display().to_string(), source);
        let mut file = tempfile::tempfile_in(folder.path()).map_err(unwritable)?;
        repository.fetch_blob(blob, &mut file)?;
        file.seek(SeekFrom::Start(0)).map_err(unwritable)?;
        Ok(file)
    };
    if manifest.config.size > LONGEST_DOCUMENT {
        return Err(OperandError::Archive {
            path: name.to_owned(),
            why: format!("its config has {} bytes", manifest.config.size),
            help: "name another image",
        }
        .into());
    }
    let bytes = read_at_most(fetch(&manifest.config)?, LONGEST_DOCUMENT)
        .map_err(|source| OperandError::Read(name.to_owned(), source))?;
    let config: Config = serde_json::from_slice(&bytes).map_err(|error| wrong("config", error))?;
    let mut trees = Trees::new(Limits::default());
    for layer in &manifest.layers {
        let title = format!("{name}: {}", layer.digest);
        trees.add(&title, BufReader::with_capacity(PIECE, fetch(layer)?), layer.size)?;
    }
    Ok(side(trees.image(), Some((config, manifest.annotations))))
}

fn count(name: &str, manifest: &Manifest) -> Result<(), OperandError> {
    if manifest.layers.len() <= MOST_LAYERS {
        return Ok(());
    }
    Err(OperandError::Archive {
        path: name.to_owned(),
        why: format!("it has more than {MOST_LAYERS} layers"),
        help: "name another image",
    })
}

fn is_index(found: &Descriptor) -> bool {
    [INDEX, DOCKER_LIST].contains(&&*found.media_type)
}

fn platform(architecture: Option<Architecture>) -> Result<Platform, OperandError> {
    architecture.map(Platform::of).ok_or_else(|| OperandError::Absent("this machine's architecture".to_owned()))
}

/// A file whose bytes are hashed as they are read.
struct Hashed {
    file: File,
    hasher: Sha256Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
