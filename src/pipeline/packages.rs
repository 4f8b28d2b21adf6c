//! From locked packages to unpacked ones: recall, fetch, unpack; what is damaged is had anew, once.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use rayon::prelude::*;

use super::{
    Failures, Workshop,
    errors::{UnknownSource, UnpacksOtherwise},
    plan::{Plan, Step},
    tarballs,
};
use crate::{
    archive::{self, Package},
    fetch::{Checksum, FetchError, Kind, Origin, Wanted},
    ground::{Event, Sha256},
    rootfs::PackageName,
    unpack::{self, UnpackError, Unpacked},
};

/// Everything that a round needs of packages and tarballs, by the SHA-256 of the file.
pub(super) type Packages = BTreeMap<Sha256, Unpacked>;

/// What packages unpack to ([`Unpacked::digest`]), by the SHA-256 of the .deb.
pub(super) type Digests = BTreeMap<Sha256, Sha256>;

/// Why packages could not be had.
pub(super) enum Lack {
    /// The only trouble: these can be had nowhere any more.
    Gone(Vec<GonePackage>),
    /// Something else.
    Failed(Failures),
}

impl<E: Into<Failures>> From<E> for Lack {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Lack {
    /// All of it as failures.
    pub(super) fn into_failures(self) -> Failures {
        match self {
            Self::Failed(failures) => failures,
            Self::Gone(gone) => gone.into_iter().map(|gone| gone.error).collect::<Vec<_>>().into(),
        }
    }
}

/// A locked .deb that every mirror says it does not have.
pub(super) struct GonePackage {
    pub(super) distribution: String,
    pub(super) package: Package,
    pub(super) error: FetchError,
}

/// What fetching a locked .deb needs to know of it.
pub(super) fn wanted(package: &Package) -> Wanted {
    Wanted {
        paths: archive::places(package),
        size: package.size,
        checksum: Checksum::Sha256(package.sha256),
        label: format!("{} {}", package.name, package.version),
        kind: Kind::Deb,
    }
}

/// What a .deb must say of itself.
pub(super) fn expected(package: &Package) -> unpack::Expected {
    unpack::Expected {
        package: Arc::new(PackageName {
            name: package.name.clone(),
            version: package.version.as_str().into(),
            architecture: package.architecture.clone(),
        }),
        size: package.size,
        sha256: package.sha256,
    }
}

/// A package that is wanted unpacked.
#[derive(Clone, Copy)]
pub(super) struct Sought<'p> {
    /// The distribution, for messages.
    pub(super) distribution: &'p str,
    pub(super) package: &'p Package,
    /// Where it comes from, where archive.toml still says so.
    pub(super) origin: Option<&'p Origin>,
    /// The lower, the sooner it is needed.
    pub(super) turn: usize,
}

/// Whom each package and tarball is given to as it comes, by the SHA-256 of its file; on any thread.
pub(super) type Taker<'t> = dyn Fn(Sha256, Unpacked) + Sync + 't;

/// The packages and tarballs of some steps: recalled from the cache, the others fetched and unpacked.
pub(super) fn unpacked<'p>(
    workshop: &Workshop,
    steps: impl IntoIterator<Item = (&'p Plan<'p>, &'p Step)>,
) -> Result<Packages, Lack> {
    collected(|taker| obtain_steps(workshop, &steps.into_iter().collect::<Vec<_>>(), taker))
}

/// All of these packages: recalled from the cache, the others fetched and unpacked.
pub(super) fn obtained<'p>(
    workshop: &Workshop,
    sought: impl IntoIterator<Item = Sought<'p>>,
) -> Result<Packages, Lack> {
    collected(|taker| obtain(workshop, sought, taker))
}

fn collected(obtain: impl FnOnce(&Taker<'_>) -> Result<(), Lack>) -> Result<Packages, Lack> {
    let packages = Mutex::new(Packages::new());
    let taken = || packages.lock().expect("nobody panics while they hold it");
    obtain(&|sha256, unpacked| drop(taken().insert(sha256, unpacked)))?;
    Ok(std::mem::take(&mut *taken()))
}

/// Has the packages and tarballs of some steps, those of the first steps first.
pub(super) fn obtain_steps(workshop: &Workshop, steps: &[(&Plan<'_>, &Step)], taker: &Taker<'_>) -> Result<(), Lack> {
    let mut origins = BTreeMap::new();
    for (plan, _) in steps {
        let of = || archive::origins(&plan.distribution.archive, &plan.lock.suites);
        origins.entry(plan.distribution.name.as_str()).or_insert_with(of);
    }
    let origins = &origins;
    let sought = steps.iter().enumerate().flat_map(|(turn, (plan, step))| {
        let distribution = plan.distribution.name.as_str();
        plan.packages(step).map(move |package| Sought {
            distribution,
            package,
            origin: origins.get(distribution).and_then(|known| known.get(&*package.from)),
            turn,
        })
    });
    obtain(workshop, sought, taker)?;
    Ok(tarballs::obtain(workshop, steps, taker)?)
}

fn obtain<'p>(
    workshop: &Workshop,
    sought: impl IntoIterator<Item = Sought<'p>>,
    taker: &Taker<'_>,
) -> Result<(), Lack> {
    let mut seen = BTreeSet::new();
    let mut missing = Vec::new();
    for one in sought {
        let package = one.package;
        // By SHA-256: `Architecture: all` packages are shared.
        if !seen.insert(package.sha256) {
            continue;
        }
        match unpack::recall(&expected(package), &workshop.cache)? {
            Some(found) => taker(package.sha256, found),
            None => missing.push(one),
        }
    }
    missing.sort_by(|Sought { package: a, .. }, Sought { package: b, .. }| {
        (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture))
    });
    let damaged = unpack_missing(workshop, missing, taker, true)?;
    // A download that is not what its name says: fetched anew, and believed or refused for good.
    unpack_missing(workshop, damaged, taker, false)?;
    Ok(())
}

/// Fetches and unpacks packages. With `forgive`, those whose downloads were damaged in the cache are
/// removed from it and given back.
fn unpack_missing<'p>(
    workshop: &Workshop,
    missing: Vec<Sought<'p>>,
    taker: &Taker<'_>,
    forgive: bool,
) -> Result<Vec<Sought<'p>>, Lack> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let debs = fetched(workshop, &missing)?;
    let expectations: Vec<_> = missing.iter().map(|one| expected(one.package)).collect();
    workshop.observer.tell(Event::Step(format!("unpacking {} packages", missing.len())));
    // What is wanted first comes first, and of that the largest: the small ones fill the gaps at the end.
    let mut order: Vec<usize> = (0..missing.len()).collect();
    order.sort_by_key(|number| (missing[*number].turn, Reverse(missing[*number].package.size)));
    let pairs: Vec<_> = order.iter().map(|number| (debs[*number].as_path(), &expectations[*number])).collect();
    let refused = Mutex::new(BTreeMap::new());
    let done = |at: usize, result| match result {
        Ok(unpacked) => taker(missing[order[at]].package.sha256, unpacked),
        Err(error) => drop(refused.lock().expect("nobody panics while they hold it").insert(order[at], error)),
    };
    unpack::unpack_all(&pairs, &workshop.cache, &unpack::Limits::default(), &*workshop.observer, done);
    let (mut damaged, mut failures) = (Vec::new(), Vec::new());
    for (number, error) in refused.into_inner().expect("nobody panics while they hold it") {
        match error {
            error @ UnpackError::Changed { .. } if forgive => {
                workshop.observer.tell(Event::Step(format!("{error}; it is fetched again")));
                workshop.cache.discard(&missing[number].package.sha256)?;
                damaged.push(missing[number]);
            }
            error => failures.push(error),
        }
    }
    if failures.is_empty() { Ok(damaged) } else { Err(failures.into()) }
}

/// The .debs of packages, from the cache or else fetched; where the only trouble is that some are gone for good, says which.
pub(super) fn fetched(workshop: &Workshop, missing: &[Sought<'_>]) -> Result<Vec<PathBuf>, Lack> {
    let mut wishes = Vec::new();
    for Sought { distribution, package, origin, .. } in missing {
        let Some(origin) = *origin else {
            return Err(UnknownSource {
                package: format!("{} {}", package.name, package.version),
                from: package.from.to_string(),
                distribution: (*distribution).to_owned(),
            }
            .into());
        };
        wishes.push((origin.clone(), wanted(package)));
    }
    let absent = missing.iter().filter(|one| !workshop.cache.has(&one.package.sha256, one.package.size)).count();
    if absent > 0 {
        workshop.observer.tell(Event::Step(format!("fetching {absent} packages")));
    }
    let mut debs = Vec::new();
    let (mut gone, mut failures) = (Vec::new(), Vec::new());
    for (result, one) in workshop.fetcher.blobs(&wishes).into_iter().zip(missing) {
        match result {
            Ok(deb) => debs.push(deb),
            Err(error) if error.answered_gone() => gone.push(GonePackage {
                distribution: one.distribution.to_owned(),
                package: one.package.clone(),
                error,
            }),
            Err(error) => failures.push(error),
        }
    }
    if !failures.is_empty() {
        return Err(failures.into());
    }
    if gone.is_empty() { Ok(debs) } else { Err(Lack::Gone(gone)) }
}

/// Compares what packages unpack to with what the locks of the plans record.
pub(super) fn check_digests(plans: &[Plan<'_>], packages: &Packages) -> Result<Digests, Failures> {
    let digests: Vec<_> = packages.par_iter().map(|(sha256, package)| (*sha256, package.digest())).collect();
    let digests = digests.into_iter().collect();
    compare_digests(plans, &digests)?;
    Ok(digests)
}

/// The same of digests that are known.
pub(super) fn compare_digests(plans: &[Plan<'_>], digests: &Digests) -> Result<(), Failures> {
    let mut differ = BTreeMap::new();
    for plan in plans {
        let inputs = plan.lock.architectures.get(&plan.architecture);
        for locked in inputs.iter().flat_map(|inputs| inputs.packages.values()) {
            let package = &locked.package;
            let Some(found) = digests.get(&package.sha256) else { continue };
            if locked.unpacked.is_some_and(|recorded| recorded != *found) {
                differ.insert(package.sha256, UnpacksOtherwise::new(plan, package));
            }
        }
    }
    if differ.is_empty() { Ok(()) } else { Err(differ.into_values().collect::<Vec<_>>().into()) }
}
