//! From the two names to what they stand for.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{DiffOptions, OperandError, Unit, images, revision, tiers};
use crate::{
    archive::Package as Locked,
    cache::Scratch,
    debian::Architecture,
    evidence::diff::{Package, Side, source_of},
    ground::printable,
    image::{
        layout::Layout,
        reference::{Location, Reference},
        registry::{self, Access, Repository},
    },
    layer,
    lock::{self, Lock},
    manifest::Project,
    pipeline::{Failures, Workshop, diff::books::Books, select, select_architectures},
};

/// What both names stand for.
pub(super) struct Found {
    pub(super) before: Operand,
    pub(super) after: Operand,
    /// Of images for several of them.
    pub(super) architecture: Option<Architecture>,
}

/// What a name stands for.
pub(super) enum Operand {
    /// Tiers of the project or of a revision of it.
    Tiers(Tiers),
    /// A lock by itself.
    Lock { name: String, path: PathBuf, workshop: Option<Arc<Workshop>>, architectures: BTreeSet<Architecture> },
    /// A layer, or an archive of an image.
    File { name: String, path: PathBuf },
    /// An image in a layout.
    Layout { name: String, path: PathBuf, image: String },
    /// An image in a registry.
    Registry { name: String, reference: Reference, settings: Box<registry::Settings>, scratch: PathBuf },
}

/// Tiers of one project.
pub(super) struct Tiers {
    pub(super) name: String,
    pub(super) workshop: Arc<Workshop>,
    pub(super) units: Vec<TierUnit>,
    /// Whether it is a whole distribution or project.
    pub(super) whole: bool,
    /// The folder of a revision, which goes with it.
    _folder: Option<Scratch>,
}

/// One tier of one architecture.
pub(super) struct TierUnit {
    pub(super) key: String,
    pub(super) title: String,
    pub(super) distribution: usize,
    pub(super) tier: usize,
    pub(super) architecture: Architecture,
}

/// How much is to be known.
pub(super) struct Sought<'a> {
    pub(super) architecture: Option<Architecture>,
    pub(super) files: bool,
    /// Tiers whose files are known to be the same.
    pub(super) same: &'a BTreeSet<String>,
}

pub(super) fn find(options: &DiffOptions<'_>) -> Result<Found, Failures> {
    let architectures = select_architectures(&options.architectures)?;
    let mut finder = Finder { options, architectures, workshop: None };
    let (before, after) = match &options.after {
        Some(after) => {
            let (before, after) = (finder.find(&options.before), finder.find(after));
            let mut both = Failures::gather([before, after])?;
            let after = both.pop();
            let (Some(before), Some(after)) = (both.pop(), after) else {
                return Err(OperandError::Absent(options.before.clone()).into());
            };
            (before, after)
        }
        None => {
            let before = finder.revision(&options.before)?;
            let before = before.ok_or_else(|| OperandError::Revision(printable(options.before.as_bytes())))?;
            let names: Option<Vec<String>> = match &before {
                Operand::Tiers(tiers) if !tiers.whole => {
                    Some(tiers.units.iter().map(|unit| unit.key.clone()).collect())
                }
                _ => None,
            };
            (before, finder.now(names)?)
        }
    };
    let (before, after) = finder.as_locks(before, after)?;
    let architecture = match finder.architectures.len() {
        1 => finder.architectures.first().copied(),
        _ => options.host,
    };
    Ok(Found { before, after, architecture })
}

struct Finder<'a> {
    options: &'a DiffOptions<'a>,
    architectures: BTreeSet<Architecture>,
    workshop: Option<Arc<Workshop>>,
}

impl Finder<'_> {
    fn workshop(&mut self) -> Result<Arc<Workshop>, Failures> {
        if let Some(workshop) = &self.workshop {
            return Ok(workshop.clone());
        }
        let opened = Arc::new((self.options.open)(None)?);
        Ok(self.workshop.insert(opened).clone())
    }

    fn find(&mut self, text: &str) -> Result<Operand, Failures> {
        let name = printable(text.as_bytes());
        let path = Path::new(text);
        let plain = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
        if plain && path.is_file() || !plain && !text.starts_with("oci:") && path.is_file() {
            return self.file(name, path);
        }
        if plain || text.starts_with("oci:") || text == "." || text == ".." {
            if plain && !path.exists() && !text.rsplit('/').next().unwrap_or_default().contains(':') {
                return Err(OperandError::Absent(name).into());
            }
            return match text.parse::<Location>()? {
                Location::Layout(path, image) => Ok(Operand::Layout { name, path, image: image.unwrap_or_default() }),
                Location::Registry(reference) => self.registry(name, reference),
            };
        }
        if path.join("oci-layout").is_file() {
            return Ok(Operand::Layout { name, path: path.to_owned(), image: String::new() });
        }
        if let Some((folder, image)) =
            text.rsplit_once(':').filter(|(folder, _)| Path::new(folder).join("oci-layout").is_file())
        {
            return Ok(Operand::Layout { name, path: folder.into(), image: image.to_owned() });
        }
        let project = self.options.root.join("manifests").is_dir();
        let mut unknown = None;
        if project {
            let workshop = self.workshop()?;
            match self.tiers(&workshop, text, None) {
                Ok(tiers) => return Ok(Operand::Tiers(tiers)),
                Err(failures) => unknown = Some(failures),
            }
        }
        match text.parse::<Reference>() {
            Ok(reference) => return self.registry(name, reference),
            Err(error) if !project => {
                return Err(if path.exists() { error.into() } else { OperandError::Absent(name).into() });
            }
            Err(_) => {}
        }
        if let Some(found) = self.revision(text)? {
            return Ok(found);
        }
        Err(unknown.unwrap_or_else(|| OperandError::Absent(name).into()))
    }

    fn file(&mut self, name: String, path: &Path) -> Result<Operand, Failures> {
        if path.extension().is_some_and(|extension| extension == "lock") {
            return self.lock(name, path);
        }
        Ok(Operand::File { name, path: path.to_owned() })
    }

    fn lock(&mut self, name: String, path: &Path) -> Result<Operand, Failures> {
        let workshop = match self.options.root.join("manifests").is_dir() {
            true => Some(self.workshop()?),
            false => None,
        };
        Ok(Operand::Lock { name, path: path.to_owned(), workshop, architectures: self.architectures.clone() })
    }

    fn registry(&self, name: String, reference: Reference) -> Result<Operand, Failures> {
        let settings = Box::new((self.options.registry)(&reference)?);
        Ok(Operand::Registry { name, reference, settings, scratch: self.options.scratch.clone() })
    }

    /// A distribution, a tier by its full name, or by its short one where only one distribution has it.
    fn tiers(&self, workshop: &Arc<Workshop>, text: &str, within: Option<&str>) -> Result<Tiers, Failures> {
        let project = &workshop.project;
        let whole = project.distributions.iter().any(|distribution| distribution.name == text);
        let names = match whole {
            true => all(project, Some(text)),
            false => vec![text.to_owned()],
        };
        let key = |distribution: &str, tier: &str| match whole {
            true => tier.to_owned(),
            false => format!("{distribution}/{tier}"),
        };
        let units = self.units(workshop, &names, &key)?;
        let name = match (&*units, within) {
            ([one], None) if !whole => one.title.clone(),
            (_, None) => printable(text.as_bytes()),
            (_, Some(revision)) => printable(format!("{revision}:{text}").as_bytes()),
        };
        Ok(Tiers { name, workshop: workshop.clone(), units, whole, _folder: None })
    }

    fn units(
        &self,
        workshop: &Workshop,
        names: &[String],
        key: &dyn Fn(&str, &str) -> String,
    ) -> Result<Vec<TierUnit>, Failures> {
        let picks = select(&workshop.project, names, &self.options.architectures, self.options.host)?;
        let several = picks.iter().any(|pick| pick.architectures.len() > 1);
        let mut units = Vec::new();
        for pick in picks {
            let distribution = &workshop.project.distributions[pick.distribution];
            for architecture in &pick.architectures {
                for tier in &pick.named {
                    let name = &distribution.tiers[*tier].name;
                    let key = key(&distribution.name, name);
                    units.push(TierUnit {
                        key: if several { format!("{key} ({architecture})") } else { key },
                        title: format!("{}/{name} ({architecture})", distribution.name),
                        distribution: pick.distribution,
                        tier: *tier,
                        architecture: *architecture,
                    });
                }
            }
        }
        Ok(units)
    }

    /// `REVISION` or `REVISION:TIER`.
    fn revision(&mut self, text: &str) -> Result<Option<Operand>, Failures> {
        let (revision, tier) = text.split_once(':').map_or((text, None), |(revision, tier)| (revision, Some(tier)));
        let Some(folder) = revision::checkout(&self.options.root, revision, &self.options.scratch)? else {
            return Ok(None);
        };
        let workshop = Arc::new((self.options.open)(Some(folder.path()))?);
        let tiers = match tier {
            Some(tier) => self.tiers(&workshop, tier, Some(revision))?,
            None => self.whole(&workshop, printable(revision.as_bytes()))?,
        };
        Ok(Some(Operand::Tiers(Tiers { _folder: Some(folder), ..tiers })))
    }

    fn whole(&self, workshop: &Arc<Workshop>, name: String) -> Result<Tiers, Failures> {
        let key = |distribution: &str, tier: &str| format!("{distribution}/{tier}");
        let units = self.units(workshop, &all(&workshop.project, None), &key)?;
        Ok(Tiers { name, workshop: workshop.clone(), units, whole: true, _folder: None })
    }

    /// The project as it is, to go with a revision: all of it, or these tiers.
    fn now(&mut self, tiers: Option<Vec<String>>) -> Result<Operand, Failures> {
        let workshop = self.workshop()?;
        let mut now = self.whole(&workshop, "the project".to_owned())?;
        if let Some(tiers) = tiers {
            now.units.retain(|unit| tiers.contains(&unit.key));
            now.whole = false;
        }
        Ok(Operand::Tiers(now))
    }

    /// A distribution beside a lock means its lock.
    fn as_locks(&mut self, before: Operand, after: Operand) -> Result<(Operand, Operand), Failures> {
        let is_lock = |operand: &Operand| matches!(operand, Operand::Lock { .. });
        let convert = |finder: &mut Self, operand: Operand| match operand {
            Operand::Tiers(tiers) if tiers.whole => {
                let distribution = tiers.units.first().map(|unit| unit.distribution);
                match distribution.and_then(|index| tiers.workshop.project.distributions.get(index)) {
                    Some(distribution)
                        if tiers.units.iter().all(|unit| {
                            Some(unit.distribution) == tiers.units.first().map(|first| first.distribution)
                        }) =>
                    {
                        finder.lock(tiers.name, &distribution.folder.join(lock::FILE_NAME))
                    }
                    _ => Ok(Operand::Tiers(tiers)),
                }
            }
            other => Ok(other),
        };
        match (is_lock(&before), is_lock(&after)) {
            (true, false) => Ok((before, convert(self, after)?)),
            (false, true) => Ok((convert(self, before)?, after)),
            _ => Ok((before, after)),
        }
    }
}

/// The full names of all tiers that have a file.
fn all(project: &Project, distribution: Option<&str>) -> Vec<String> {
    let distributions = project.distributions.iter().filter(|one| distribution.is_none_or(|name| one.name == name));
    let tiers = distributions.flat_map(|one| one.tiers.iter().map(move |tier| (one, tier)));
    tiers
        .filter(|(_, tier)| tier.stands_for.is_none())
        .map(|(one, tier)| format!("{}/{}", one.name, tier.name))
        .collect()
}

impl Operand {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Tiers(tiers) => tiers.name.clone(),
            Self::Lock { name, .. }
            | Self::File { name, .. }
            | Self::Layout { name, .. }
            | Self::Registry { name, .. } => name.clone(),
        }
    }

    /// Whether it may stand for several things.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Tiers(tiers) => tiers.whole,
            Self::Lock { .. } => true,
            _ => false,
        }
    }

    pub(super) fn gather(&self, sought: &Sought<'_>) -> Result<Vec<Unit<'_>>, Failures> {
        let image = |mut side: Side| {
            side.name = self.name();
            vec![Unit { key: String::new(), side, books: Books::Tree }]
        };
        Ok(match self {
            Self::Tiers(tiers) => tiers::gather(tiers, sought)?,
            Self::Lock { name, path, workshop, architectures } => {
                locks(name, path, workshop.as_deref(), architectures)?
            }
            Self::File { name, path } => image(images::file(name, path, sought.architecture)?),
            Self::Layout { name, path, image: wanted } => {
                image(images::layout(name, &Layout::open(path)?, wanted, sought.architecture)?)
            }
            Self::Registry { name, reference, settings, scratch } => {
                let repository = Repository::new(settings, reference, Access::Pull, &[])?;
                image(images::registry(name, &repository, scratch, sought.architecture)?)
            }
        })
    }
}

/// A lock, an architecture at a time.
fn locks<'a>(
    name: &str,
    path: &Path,
    workshop: Option<&'a Workshop>,
    architectures: &BTreeSet<Architecture>,
) -> Result<Vec<Unit<'a>>, Failures> {
    let lock = Lock::read(path)?.ok_or_else(|| OperandError::Absent(printable(path.to_string_lossy().as_bytes())))?;
    lock.check_format(path, layer::FORMAT_VERSION)?;
    let wanted = |architecture: &Architecture| architectures.is_empty() || architectures.contains(architecture);
    let inputs = lock.architectures.iter().filter(|(architecture, _)| wanted(architecture));
    let unit = |(architecture, inputs): (&Architecture, &lock::Inputs)| {
        let locked = || inputs.packages.values().map(|locked| &locked.package);
        Unit {
            key: architecture.to_string(),
            side: Side {
                name: format!("{name} ({architecture})"),
                packages: Some(locked().map(|one| package(one, None)).collect()),
                ..Side::default()
            },
            books: workshop.map_or(Books::None, |workshop| Books::of(workshop, locked())),
        }
    };
    Ok(inputs.map(unit).collect())
}

/// A locked package; `control` is its control file's `Source`.
pub(super) fn package(locked: &Locked, source: Option<&str>) -> Package {
    let text = |text: &str| printable(text.as_bytes());
    let version = text(locked.version.as_str());
    let (source, source_version) = source_of(source.or(Some(&locked.source)), &locked.name, &version);
    Package {
        name: text(&locked.name),
        architecture: text(&locked.architecture),
        version,
        source: text(&source),
        source_version: text(&source_version),
        deb: Some((locked.size, locked.sha256)),
    }
}
