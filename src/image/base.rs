//! An image that others made, as the ground of ours: found by its digest in a layout or a registry, every
//! document and layer brought into the cache. Nothing is believed but the digest that the manifest names:
//! all else is compared with what it says. docs/foreign.md.

use std::{
    cell::OnceCell,
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
};

use serde::de::DeserializeOwned;

use super::{
    Descriptor, Digest, Layer, Platform,
    config::media_type,
    layout::{Layout, fits, shown},
    reference::Location,
    registry::{Access, Repository, Settings},
    spec::{
        CONFIG, Config, DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, History, INDEX, Index, LONGEST_DOCUMENT, MANIFEST,
        Manifest,
    },
};
use crate::{
    cache::{Arrival, Cache},
    fetch::Checksum,
    ground::{DiffId, RootPath, Sha256, open_regular, printable, read_at_most},
    layer::Form,
    manifest::Image as Inherited,
};

mod error;

pub use error::{BaseError, Unfit};

/// How deep indexes lie in indexes.
const DEEPEST: usize = 4;
/// The most layers of an image: docker takes no more.
const MOST_LAYERS: usize = 127;
/// The largest layer, in bytes.
const LARGEST_LAYER: u64 = 16 << 30;
/// How much is copied at a time, in bytes.
const PIECE: usize = 256 << 10;
/// What docker calls layers, and what OCI calls them.
const DOCKER_LAYERS: [(&str, Form); 3] = [
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", Form::TarGz),
    ("application/vnd.docker.image.rootfs.diff.tar", Form::Tar),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", Form::TarZst),
];

/// Where an image is looked for.
pub struct Place<'a> {
    /// The cache: what is there is not asked for elsewhere.
    pub cache: &'a Cache,
    /// The layout or the repository.
    pub location: Location,
    /// How registries are spoken to; `None`: not at all.
    pub registry: Option<&'a Settings>,
}

/// An image that is in the cache, whole.
#[derive(Debug, Clone)]
pub struct Base {
    /// Of its manifest, for one platform.
    pub manifest: Digest,
    /// Its layers, the root's first; their files are downloads of the cache. Docker's media types have become
    /// those of OCI; the bytes are as they were.
    pub layers: Vec<Layer>,
    /// Its history: one line a layer, and those of no layer.
    pub history: Vec<History>,
    /// What tiers on it inherit of its config.
    pub settings: Inherited,
    /// All that was read: the index, the manifest, the config and the layers.
    pub downloads: Vec<Sha256>,
}

enum Source {
    Layout(Layout),
    Registry(Box<Repository>),
}

/// Brings the image of this digest (of an index, or of a manifest) for a platform into the cache.
///
/// # Errors
/// It is not there, is malformed or is no image that a tier can stand on; what fetching can meet.
pub fn bring(place: &Place<'_>, digest: Digest, platform: &Platform) -> Result<Base, BaseError> {
    Bringing { place, digest, source: OnceCell::new(), downloads: Vec::new() }.bring(platform)
}

struct Bringing<'a> {
    place: &'a Place<'a>,
    digest: Digest,
    source: OnceCell<Source>,
    downloads: Vec<Sha256>,
}

impl Bringing<'_> {
    fn unfit(&self, unfit: Unfit) -> BaseError {
        BaseError::Unfit { image: self.image(), unfit }
    }

    /// What messages call the image.
    fn image(&self) -> String {
        format!("{} ({})", printable(self.place.location.to_string().as_bytes()), self.digest)
    }

    fn bring(mut self, platform: &Platform) -> Result<Base, BaseError> {
        let (digest, manifest) = self.choose(platform)?;
        let kinds = [CONFIG, DOCKER_CONFIG];
        if !kinds.contains(&&*manifest.config.media_type) || manifest.artifact_type.is_some() {
            let what = manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type);
            return Err(self.unfit(Unfit::NoImage(printable(what.as_bytes()))));
        }
        let config: Config = self.config(&manifest)?;
        let found = Platform {
            architecture: config.architecture.clone(),
            os: config.os.clone(),
            variant: config.variant.clone(),
        };
        if fits(&found, platform).is_none() {
            return Err(self.unfit(Unfit::Platform { wanted: shown(platform), found: shown(&found) }));
        }
        let layers = self.layers(&manifest, &config)?;
        let own = config.history.iter().filter(|line| line.empty_layer != Some(true)).count();
        let history = match own == layers.len() {
            true => config.history.clone(),
            // Who shows layers counts on a line for each.
            false => layers.iter().map(|layer| line(&self.digest, layer, config.created.as_deref())).collect(),
        };
        let settings = settings(&config).map_err(|unfit| self.unfit(unfit))?;
        Ok(Base { manifest: digest, layers, history, settings, downloads: self.downloads })
    }

    /// The manifest for the platform.
    fn choose(&mut self, platform: &Platform) -> Result<(Digest, Manifest), BaseError> {
        let mut at = (self.digest, None);
        for _ in 0..=DEEPEST {
            let bytes = self.document(at.0, at.1)?;
            let value: serde_json::Value = self.parse(&bytes, at.0)?;
            let version = value.get("schemaVersion").and_then(serde_json::Value::as_u64);
            let media_type = value.get("mediaType").and_then(|text| text.as_str()).unwrap_or_default().to_owned();
            if version != Some(2) {
                return Err(self.unfit(Unfit::Schema(version.map_or("none".to_owned(), |version| version.to_string()))));
            }
            let is_index = match &*media_type {
                INDEX | DOCKER_LIST => true,
                MANIFEST | DOCKER_MANIFEST => false,
                "" => value.get("manifests").is_some(),
                other => return Err(self.unfit(Unfit::NoImage(printable(other.as_bytes())))),
            };
            if !is_index {
                return Ok((at.0, self.typed(value, at.0)?));
            }
            let index: Index = self.typed(value, at.0)?;
            let entry = self.entry(&index, platform)?;
            at = (entry.digest, Some(entry.size));
        }
        Err(self.unfit(Unfit::Deep))
    }

    /// The entry of an index that fits best.
    fn entry(&self, index: &Index, platform: &Platform) -> Result<Descriptor, BaseError> {
        let kinds = [MANIFEST, DOCKER_MANIFEST, INDEX, DOCKER_LIST];
        let images: Vec<&Descriptor> = index
            .manifests
            .iter()
            .filter(|entry| kinds.contains(&&*entry.media_type) && entry.artifact_type.is_none())
            .collect();
        let fit = |entry: &&Descriptor| entry.platform.as_ref().and_then(|found| fits(found, platform));
        if let Some(best) = images.iter().copied().filter(|entry| fit(entry).is_some()).min_by_key(|entry| fit(entry)) {
            return Ok(best.clone());
        }
        match &images[..] {
            // Its config says what it is for.
            [only] if only.platform.is_none() => Ok((*only).clone()),
            _ => {
                let mut known: Vec<String> = images.iter().filter_map(|one| one.platform.as_ref()).map(shown).collect();
                known.truncate(50);
                let found = if known.is_empty() { "no platform".to_owned() } else { known.join(", ") };
                Err(self.unfit(Unfit::Platform { wanted: shown(platform), found }))
            }
        }
    }

    fn config(&mut self, manifest: &Manifest) -> Result<Config, BaseError> {
        let at = &manifest.config;
        let bytes = self.document(at.digest, Some(at.size))?;
        let mut value: serde_json::Value = self.parse(&bytes, at.digest)?;
        without_nulls(&mut value);
        self.typed(value, at.digest)
    }

    fn layers(&mut self, manifest: &Manifest, config: &Config) -> Result<Vec<Layer>, BaseError> {
        let diff_ids = &config.rootfs.diff_ids;
        if manifest.layers.len() != diff_ids.len() {
            let (layers, diff_ids) = (manifest.layers.len(), diff_ids.len());
            return Err(self.unfit(Unfit::Count { layers, diff_ids }));
        }
        if manifest.layers.len() > MOST_LAYERS {
            return Err(self.unfit(Unfit::TooMany { layers: manifest.layers.len(), limit: MOST_LAYERS }));
        }
        // All of them are looked at before the first is fetched.
        let mut forms = Vec::new();
        for layer in &manifest.layers {
            forms.push(form(&layer.media_type).map_err(|unfit| self.unfit(unfit))?);
            if layer.size > LARGEST_LAYER {
                let (digest, size) = (layer.digest, layer.size);
                return Err(self.unfit(Unfit::TooLarge { digest, size, limit: LARGEST_LAYER }));
            }
        }
        let mut layers = Vec::new();
        for ((layer, diff_id), form) in manifest.layers.iter().zip(diff_ids).zip(forms) {
            let path = self.blob(layer)?;
            self.downloads.push(layer.digest.0);
            layers.push(Layer {
                diff_id: *diff_id,
                form,
                digest: layer.digest.0,
                size: layer.size,
                path,
                title: self.image(),
            });
        }
        Ok(layers)
    }

    /// A document by its digest, from the cache or else from where the image is.
    fn document(&mut self, digest: Digest, size: Option<u64>) -> Result<Vec<u8>, BaseError> {
        self.downloads.push(digest.0);
        if let Some(size) = size.filter(|size| *size > LONGEST_DOCUMENT) {
            return Err(self.unfit(Unfit::TooLarge { digest, size, limit: LONGEST_DOCUMENT }));
        }
        if let Some(path) = self.place.cache.kept(&digest.0) {
            let bytes = open_regular(&path).and_then(|file| read_at_most(file, LONGEST_DOCUMENT));
            match bytes {
                Ok(bytes) if Sha256::of(&bytes) == digest.0 => return Ok(bytes),
                // Damaged: fetched again.
                _ => self.place.cache.discard(&digest.0)?,
            }
        }
        let bytes = match self.source()? {
            Source::Layout(layout) => {
                let at = match size {
                    Some(size) => Descriptor { size, digest, ..Descriptor::of("", b"") },
                    None => layout.resolve(&digest.to_string())?,
                };
                layout.read(&at, LONGEST_DOCUMENT)?
            }
            Source::Registry(repository) => self.fetched(repository, digest, size)?,
        };
        let mut incoming = match self.place.cache.incoming(&Checksum::Sha256(digest.0), bytes.len() as u64)? {
            Arrival::Whole(_) => return Ok(bytes),
            Arrival::Incoming(incoming) => incoming,
        };
        incoming.discard()?;
        incoming.write(&bytes)?;
        match incoming.commit()? {
            Some(_) => Ok(bytes),
            None => Err(self.unfit(Unfit::Other(digest))),
        }
    }

    /// Manifests have one address in a registry, all other blobs another.
    fn fetched(&self, repository: &Repository, digest: Digest, size: Option<u64>) -> Result<Vec<u8>, BaseError> {
        if let Some(document) = repository.get_manifest(&digest.to_string())? {
            return Ok(document.bytes);
        }
        let Some(size) = size else { return Err(BaseError::Absent { image: self.image() }) };
        let mut bytes = Vec::new();
        repository.fetch_blob(&Descriptor { size, digest, ..Descriptor::of("", b"") }, &mut bytes)?;
        Ok(bytes)
    }

    /// The file of a layer in the cache.
    fn blob(&self, at: &Descriptor) -> Result<PathBuf, BaseError> {
        let cache = self.place.cache;
        if cache.has(&at.digest.0, at.size) {
            return Ok(cache.download_path(&at.digest.0));
        }
        let source = self.source()?;
        let mut incoming = match cache.incoming(&Checksum::Sha256(at.digest.0), at.size)? {
            Arrival::Whole(path) => return Ok(path),
            Arrival::Incoming(incoming) => incoming,
        };
        incoming.discard()?;
        let mut out = Into { incoming: &mut incoming, error: None };
        let copied = match source {
            Source::Layout(layout) => {
                let mut file = layout.open_blob(at)?;
                copy(&mut file, &mut out).map_err(|error| self.copy_failed(at.digest, error))
            }
            Source::Registry(repository) => repository.fetch_blob(at, &mut out).map_err(BaseError::from),
        };
        if let Some(error) = out.error.take() {
            return Err(error.into());
        }
        copied?;
        incoming.commit()?.ok_or_else(|| self.unfit(Unfit::Other(at.digest)))
    }

    fn copy_failed(&self, digest: Digest, source: io::Error) -> BaseError {
        BaseError::Copy { image: self.image(), digest, source }
    }

    /// Where the image is; opened when the cache lacks something of it.
    fn source(&self) -> Result<&Source, BaseError> {
        if let Some(source) = self.source.get() {
            return Ok(source);
        }
        let source = match (&self.place.location, self.place.registry) {
            (Location::Layout(path, _), _) => Source::Layout(Layout::open(path)?),
            (Location::Registry(reference), Some(settings)) => {
                Source::Registry(Box::new(Repository::new(settings, reference, Access::Pull, &[])?))
            }
            (Location::Registry(_), None) => return Err(BaseError::Offline { image: self.image() }),
        };
        Ok(self.source.get_or_init(|| source))
    }

    fn parse(&self, bytes: &[u8], digest: Digest) -> Result<serde_json::Value, BaseError> {
        serde_json::from_slice(bytes).map_err(|error| self.malformed(digest, &error))
    }

    fn typed<T: DeserializeOwned>(&self, value: serde_json::Value, digest: Digest) -> Result<T, BaseError> {
        serde_json::from_value(value).map_err(|error| self.malformed(digest, &error))
    }

    fn malformed(&self, digest: Digest, error: &serde_json::Error) -> BaseError {
        self.unfit(Unfit::Malformed { digest, why: printable(error.to_string().as_bytes()) })
    }
}

/// What goes into the cache; its error is kept, since a writer's must be one of input and output.
struct Into<'i> {
    incoming: &'i mut crate::cache::Incoming,
    error: Option<crate::cache::CacheError>,
}

impl Write for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.incoming.write(bytes).map_err(|error| {
            let text = error.to_string();
            self.error = Some(error);
            io::Error::other(text)
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn copy(from: &mut File, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(piece.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The form of a layer of this media type.
fn form(name: &str) -> Result<Form, Unfit> {
    let known = [Form::Tar, Form::TarGz, Form::TarZst].into_iter().find(|form| media_type(*form) == name);
    let docker = || DOCKER_LAYERS.iter().find(|(docker, _)| *docker == name).map(|(_, form)| *form);
    match known.or_else(docker) {
        Some(form) => Ok(form),
        None if name.contains("nondistributable") || name.contains(".foreign.") => {
            Err(Unfit::Elsewhere(printable(name.as_bytes())))
        }
        None => Err(Unfit::LayerType(printable(name.as_bytes()))),
    }
}

fn line(digest: &Digest, layer: &Layer, created: Option<&str>) -> History {
    let created_by = Some(format!("layer sha256:{} of {digest}", layer.diff_id.0));
    // umoci wants a time in each.
    let created = Some(created.unwrap_or("1970-01-01T00:00:00Z").to_owned());
    History { created, created_by, ..History::default() }
}

/// Go writes what is not there as null, or leaves it out.
fn without_nulls(value: &mut serde_json::Value) {
    // As deep as serde_json reads, which is bounded.
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// What tiers on an image inherit: the keys that manifests have too. Empty ones say nothing.
fn settings(config: &Config) -> Result<Inherited, Unfit> {
    let execution = &config.config;
    let path = |text: &str| {
        RootPath::from_archive(text.as_bytes()).map_err(|_| Unfit::Config(format!("the path {:?}", shorten(text))))
    };
    let list = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut env = std::collections::BTreeMap::new();
    for variable in execution.env.iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        // The last one of a name counts, as in a process.
        env.insert(name.to_owned(), value.to_owned());
    }
    Ok(Inherited {
        user: text(&execution.user),
        workdir: text(&execution.working_dir).map(|folder| path(&folder)).transpose()?,
        entrypoint: list(&execution.entrypoint),
        cmd: list(&execution.cmd),
        env,
        labels: execution.labels.clone().unwrap_or_default(),
        annotations: Default::default(),
        volumes: execution.volumes.iter().flatten().map(|(folder, _)| path(folder)).collect::<Result<_, _>>()?,
        exposed_ports: execution.exposed_ports.iter().flatten().map(|(port, _)| port.clone()).collect(),
        stop_signal: text(&execution.stop_signal),
    })
}

fn shorten(text: &str) -> String {
    printable(text.chars().take(100).collect::<String>().as_bytes())
}

impl Base {
    /// The layers' digests of their tars, the root's first.
    pub fn diff_ids(&self) -> impl Iterator<Item = DiffId> {
        self.layers.iter().map(|layer| layer.diff_id)
    }
}
