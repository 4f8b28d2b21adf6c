//! What every verb works with: the project, the cache, the network.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use miette::Diagnostic;

use super::{
    Failures,
    base::Bases,
    bundle::{stays_inside, unpack_bundle},
};
use crate::{
    cache::{Cache, Scratch},
    fetch::{self, Fetcher},
    ground::Observer,
    image::registry,
    manifest::{self, Distribution, Project},
};

/// Where everything is, and what the process found around itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project folder.
    pub root: PathBuf,
    /// The cache.
    pub cache: PathBuf,
    /// In place of `root`: a file that [`super::bundle()`] wrote. It is unpacked into a folder of the cache
    /// that goes with the workshop, and brings downloads of its own.
    pub bundle: Option<PathBuf>,
    /// Trust nothing that earlier runs derived: unpacked data and compressed members are made anew, in
    /// a folder of the cache that goes with the workshop.
    pub fresh: bool,
    /// Mirrors and transport.
    pub fetch: fetch::Settings,
    /// How registries are spoken to that have images that tiers stand on; `None`: not at all.
    pub registry: Option<registry::Settings>,
    /// The time at the start.
    pub clock: Timestamp,
    /// SOURCE_DATE_EPOCH: overrides every archive's timestamp (seconds since 1970).
    pub timestamp: Option<u64>,
}

/// An opened project.
pub struct Workshop {
    /// The manifests.
    pub project: Project,
    pub(super) cache: Arc<Cache>,
    pub(super) fetcher: Fetcher,
    /// For a fetcher that looks into the cache alone.
    pub(super) offline: fetch::Settings,
    pub(super) registry: Option<registry::Settings>,
    pub(super) bases: Bases,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) clock: Timestamp,
    pub(super) timestamp: Option<u64>,
    /// What a bundle was made for.
    bundled: Option<Vec<String>>,
    _scratch: Vec<Scratch>,
}

impl Workshop {
    /// The tiers that are asked for: where none is named, all, or what the bundle was made for.
    pub fn asked<'a>(&'a self, named: &'a [String]) -> &'a [String] {
        match &self.bundled {
            Some(tiers) if named.is_empty() => tiers,
            _ => named,
        }
    }

    /// Whether SOURCE_DATE_EPOCH gives layers other times than the manifest does.
    pub(super) fn overrides_timestamp(&self, distribution: &Distribution) -> bool {
        self.timestamp.is_some_and(|timestamp| timestamp != distribution.archive.timestamp)
    }
}

/// Warnings, as they are shown.
pub type Warnings = Vec<Arc<dyn Diagnostic + Send + Sync>>;

impl Workshop {
    /// Reads the manifests and opens the cache.
    pub fn open(settings: Settings, observer: Arc<dyn Observer>) -> Result<(Self, Warnings), Failures> {
        let (mut root, mut folder) = (settings.root, settings.cache);
        let (mut scratch, mut bundled) = (Vec::new(), None);
        if let Some(bundle) = &settings.bundle {
            let unpacked = Cache::scratch(&folder)?;
            bundled = Some(unpack_bundle(bundle, unpacked.path())?);
            (root, folder) = (unpacked.path().to_owned(), unpacked.path().join("cache"));
            scratch.push(unpacked);
        }
        let loaded = manifest::load(&root)?;
        if bundled.is_some() {
            stays_inside(&loaded.project)?;
        }
        let mut cache = Cache::open(&folder)?;
        if settings.fresh {
            let fresh = Cache::scratch(&folder)?;
            cache = Cache::open_with_derived(&folder, fresh.path())?;
            scratch.push(fresh);
        }
        let cache = Arc::new(cache);
        let offline_asked = settings.fetch.offline;
        let offline = fetch::Settings { offline: true, ..settings.fetch.clone() };
        let fetcher = Fetcher::new(settings.fetch, cache.clone(), observer.clone())?;
        let registry = settings.registry.filter(|_| !offline_asked);
        let warnings = loaded.warnings.into_iter().map(|warning| Arc::new(warning) as _).collect();
        let workshop = Self {
            project: loaded.project,
            cache,
            fetcher,
            offline,
            registry,
            bases: Bases::default(),
            observer,
            clock: settings.clock,
            timestamp: settings.timestamp,
            bundled,
            _scratch: scratch,
        };
        Ok((workshop, warnings))
    }
}
