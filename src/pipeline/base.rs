//! From `parent = { oci = .. }` to what a tier stands on: the image is brought into the cache, its layers
//! are unpacked and stacked, its packages are read. Once for each image and architecture of a run.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use miette::Diagnostic;

use super::{
    Failures, Located, Workshop,
    plan::{Plan, Step},
};
use crate::{
    archive::{self, Index},
    compose::{self, Composed, Input},
    debian::{
        Architecture,
        status::{Installed, installed},
    },
    ground::{Class, Event, Failure, RootPath, Sha256, printable, write_whole_with},
    image::{Digest, Platform, base, reference::Location},
    manifest::{Distribution, ForeignBase},
    outputs::Outputs,
    rootfs::{Node, PackageName, Rootfs},
    unpack::{self, TarballError, Unpacked},
};

/// Where dpkg keeps its list, and where images without dpkg do.
const STATUS: &str = "/var/lib/dpkg/status";
const STATUS_D: &str = "/var/lib/dpkg/status.d";
/// The longest list of packages, in bytes: Debian's with all packages installed has some 100 MB.
const LONGEST_STATUS: u64 = 256 << 20;
/// Before packages of an image, in place of a suite.
const FROM: &str = "image ";

/// The whole image among packages; no package can be called so.
const WHOLE: &str = "(base image)";

/// Images of this run, by digest and architecture.
pub(super) type Bases = Mutex<BTreeMap<(Sha256, Architecture), Arc<Ground>>>;

/// An image that others made, ready to be stood on.
pub(super) struct Ground {
    /// What it is called: the digest of its manifest for this architecture.
    pub(super) image: Digest,
    pub(super) base: base::Base,
    pub(super) composed: Composed,
    /// By name.
    pub(super) packages: Vec<Present>,
}

/// A package that an image has. Nobody has its .deb.
pub(super) struct Present {
    pub(super) name: Arc<PackageName>,
    /// Its control file, and no entries: the files are the image's.
    pub(super) unpacked: Unpacked,
    /// As a package of an index; size 0, and in place of the .deb's hash that of its stanza.
    pub(super) package: archive::Package,
    installed: Installed,
}

/// What an image says of its packages cannot be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} in the image {image} cannot be read: {why}")]
#[diagnostic(
    code(debstrata::pipeline::base_packages),
    help("which packages are there would not be known: use an image whose list of packages is whole")
)]
struct NoPackages {
    image: Digest,
    path: RootPath,
    why: String,
}

impl Failure for NoPackages {
    fn class(&self) -> Class {
        Class::User
    }
}

/// A layer in the outputs cannot be written from the cache.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the download {} is damaged", path.display())]
#[diagnostic(
    code(debstrata::pipeline::base_damaged),
    help("it was removed from the cache: run the same command again, and it is fetched anew")
)]
struct Damaged {
    path: std::path::PathBuf,
}

impl Failure for Damaged {
    fn class(&self) -> Class {
        Class::World
    }
}

/// Whether a locked or shown package is one of an image.
pub(super) fn is_of_image(package: &archive::Package) -> bool {
    package.from.starts_with(FROM)
}

impl Workshop {
    /// The image that a tier stands right on, if it does.
    pub(super) fn ground(
        &self,
        distribution: &Distribution,
        tier: usize,
        architecture: Architecture,
    ) -> Result<Option<Arc<Ground>>, Failures> {
        let Some(base) = &distribution.tiers[tier].base else { return Ok(None) };
        let key = (base.digest.value, architecture);
        // Held while it is made: another architecture's waits, and none is made twice.
        let mut known = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ground) = known.get(&key) {
            return Ok(Some(ground.clone()));
        }
        let ground = Arc::new(self.make_ground(distribution, tier, base, architecture)?);
        known.insert(key, ground.clone());
        Ok(Some(ground))
    }

    fn make_ground(
        &self,
        distribution: &Distribution,
        tier: usize,
        written: &ForeignBase,
        architecture: Architecture,
    ) -> Result<Ground, Failures> {
        let located = |error: base::BaseError| {
            let span = written.oci.span.clone();
            Failures::from(Located::new(&distribution.tiers[tier].source, AtBase { error, span: span.into() }))
        };
        let location = match written
            .oci
            .value
            .parse()
            .map_err(|error: crate::image::reference::ReferenceError| located(error.into()))?
        {
            Location::Layout(path, name) => Location::Layout(written.folder.join(path), name),
            registry => registry,
        };
        let place = base::Place { cache: &self.cache, location, registry: self.registry.as_ref() };
        let digest = Digest(written.digest.value);
        self.observer.tell(Event::Step(format!(
            "{}/{} {architecture}: standing on {digest}",
            distribution.name, distribution.tiers[tier].name
        )));
        let bring = || base::bring(&place, digest, &Platform::of(architecture)).map_err(located);
        let mut found = bring()?;
        let mut layers = Vec::new();
        for number in 0..found.layers.len() {
            let unpacked = match self.layer(&found, number) {
                Err(TarballError::Changed { .. }) => {
                    // Damaged in the cache: fetched anew, and believed or refused for good.
                    self.cache.discard(&found.layers[number].digest)?;
                    found = bring()?;
                    self.layer(&found, number)?
                }
                unpacked => unpacked?,
            };
            layers.push((found.layers[number].diff_id.0, unpacked));
        }
        let image = found.manifest;
        let rootfs = unpack::stack(image.0, &layers)?;
        let packages = packages(&rootfs, image, architecture)?;
        let ground = compose::Ground { image: &image.to_string(), rootfs, archive: &distribution.archive };
        Ok(Ground { image, composed: ground.composed()?, base: found, packages })
    }

    fn layer(&self, base: &base::Base, number: usize) -> Result<Unpacked, TarballError> {
        let layer = &base.layers[number];
        if let Some(found) = unpack::recall_layer(&layer.diff_id.0, &self.cache) {
            return Ok(found);
        }
        let title = format!("layer {} of {} of {}", number + 1, base.layers.len(), base.manifest);
        self.observer.tell(Event::Step(format!("unpacking {title}")));
        let limits = unpack::Limits::default();
        unpack::unpack_layer(&layer.path, &title, &layer.digest, &layer.diff_id.0, &self.cache, &limits)
    }
}

/// What an image met, and the line of the manifest that names it.
#[derive(Debug)]
struct AtBase {
    error: base::BaseError,
    span: miette::SourceSpan,
}

impl std::fmt::Display for AtBase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for AtBase {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl Diagnostic for AtBase {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.error.code()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.error.help()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let label = miette::LabeledSpan::new_with_span(Some("named here".to_owned()), self.span);
        Some(Box::new(std::iter::once(label)))
    }
}

impl Failure for AtBase {
    fn class(&self) -> Class {
        self.error.class()
    }
}

/// The packages that an image says it has, of this architecture or of all, by name.
fn packages(rootfs: &Rootfs, image: Digest, architecture: Architecture) -> Result<Vec<Present>, Failures> {
    let mut found: BTreeMap<String, Installed> = BTreeMap::new();
    let folder = RootPath::from_absolute(STATUS_D.as_bytes()).expect("it is absolute and plain");
    let folder = rootfs.resolve(&folder);
    let lists = folder.iter().flat_map(|folder| rootfs.below(folder)).map(|(path, _)| path.clone());
    let lists = lists.filter(|path| !path.name().ends_with(b".md5sums"));
    let status = RootPath::from_absolute(STATUS.as_bytes()).expect("it is absolute and plain");
    for path in lists.chain([status]) {
        let Some(Node::File { content, .. }) = rootfs.lookup(&path).map(|entry| &entry.node) else { continue };
        let fail = |why: String| NoPackages { image, path: path.clone(), why };
        if content.size > LONGEST_STATUS {
            return Err(fail("it has more than 256 MiB".to_owned()).into());
        }
        let mut bytes = vec![0; usize::try_from(content.size).unwrap_or(usize::MAX)];
        content.read_at(0, &mut bytes).map_err(|error| fail(error.to_string()))?;
        for one in installed(&bytes).map_err(fail)? {
            if one.architecture != "all" && one.architecture != architecture.name() {
                continue;
            }
            // In several lists: a later layer may have brought a newer one, and lists both.
            match found.get(&one.name) {
                Some(other) if other.version >= one.version => {}
                _ => drop(found.insert(one.name.clone(), one)),
            }
        }
    }
    Ok(found.into_values().map(|one| Present::new(one, image)).collect())
}

impl Present {
    fn new(installed: Installed, image: Digest) -> Self {
        let name = Arc::new(PackageName {
            name: installed.name.as_str().into(),
            version: installed.version.as_str().into(),
            architecture: installed.architecture.as_str().into(),
        });
        let control = [("control".into(), Arc::from(installed.control.as_bytes()))].into();
        let package = archive::Package {
            name: installed.name.as_str().into(),
            version: installed.version.clone(),
            architecture: installed.architecture.as_str().into(),
            source: installed.source.as_str().into(),
            from: format!("{FROM}{image}").into(),
            path: "".into(),
            size: 0,
            sha256: installed.sha256(),
        };
        Self { name, unpacked: Unpacked { control, entries: Vec::new() }, package, installed }
    }
}

impl Ground {
    /// The packages as those of a parent chain.
    pub(super) fn present(&self) -> Vec<archive::Package> {
        self.packages.iter().map(|one| one.package.clone()).collect()
    }

    /// All of it as one package, which stands for its files.
    pub(super) fn as_package(&self) -> archive::Package {
        archive::Package {
            name: WHOLE.into(),
            version: "0".parse().expect("it is a version"),
            architecture: "all".into(),
            source: WHOLE.into(),
            from: format!("{FROM}{}", self.image).into(),
            path: "".into(),
            size: 0,
            sha256: self.image.0,
        }
    }

    /// Whether this is [`Ground::as_package`].
    pub(super) fn is_whole(&self, package: &archive::Package) -> bool {
        *package.name == *WHOLE
    }

    /// The index with what the image's packages say of themselves: for tiers that stand on it alone. They are
    /// present, so none of them is ever chosen.
    pub(super) fn indexed(&self, index: &Index) -> Result<Index, Failures> {
        let mut index = index.clone();
        let text: String = self.packages.iter().map(|one| one.installed.stanza()).collect();
        index.add(&format!("{FROM}{}", self.image), i32::MIN, text.into_bytes())?;
        Ok(index)
    }

    /// Puts the image's layers into a layout's folder of blobs below the outputs, byte by byte as they are.
    pub(super) fn share(&self, workshop: &Workshop, outputs: &Outputs, folder: &str) -> Result<(), Failures> {
        for layer in &self.base.layers {
            let name = format!("{folder}/{}", layer.digest);
            if super::building::unchanged(workshop, outputs, &name, &layer.digest)? {
                continue;
            }
            let mut same = false;
            let written = write_whole_with(&outputs.path(&name), |file| {
                same = copy(&layer.path, file)? == layer.digest;
                if same { Ok(()) } else { Err(std::io::Error::other("the download is damaged")) }
            });
            if written.is_err() && !same && workshop.cache.kept(&layer.digest).is_some() {
                // Whoever cannot write says so below; a download that is another one goes.
                let found = copy(&layer.path, &mut std::io::sink());
                if found.is_ok_and(|found| found != layer.digest) {
                    workshop.cache.discard(&layer.digest)?;
                    return Err(Damaged { path: layer.path.clone() }.into());
                }
            }
            written?;
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &mut impl std::io::Write) -> std::io::Result<Sha256> {
    use std::io::Read as _;
    let mut file = crate::ground::open_regular(from)?;
    let mut hasher = crate::ground::Sha256Hasher::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        let count = match file.read(&mut piece) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { return Ok(hasher.finish()) };
        hasher.update(bytes);
        to.write_all(bytes)?;
    }
}

/// For evidence: the packages that a step adds, those of the image that it stands right on before them.
pub(super) fn with_ground<'p>(plan: &'p Plan<'_>, step: &Step, own: Vec<Input<'p>>) -> Vec<Input<'p>> {
    let ground = plan.grounds.get(&step.tier);
    let present = ground.iter().flat_map(|ground| &ground.packages);
    let present = present.map(|one| Input { name: one.name.clone(), unpacked: &one.unpacked });
    present.chain(own).collect()
}

/// The same as the lock has them.
pub(super) fn locked_with_ground<'p>(plan: &'p Plan<'_>, step: &Step) -> Vec<&'p archive::Package> {
    let ground = plan.grounds.get(&step.tier);
    let present = ground.iter().flat_map(|ground| &ground.packages).map(|one| &one.package);
    present.chain(plan.packages(step)).collect()
}

/// What reports call the image of a tier's package.
pub(super) fn image_of(package: &archive::Package) -> Option<String> {
    package.from.strip_prefix(FROM).map(|image| printable(image.as_bytes()))
}
