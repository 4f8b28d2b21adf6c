//! From `[[archives]]` to unpacked ones: recall, fetch, unpack; what is damaged is had anew, once.

use std::{collections::BTreeSet, path::PathBuf};

use super::{
    Failures, Workshop,
    packages::Taker,
    plan::{Plan, Step},
};
use crate::{
    fetch::{LARGEST_TARBALL, Place, Tarball},
    ground::{Event, Sha256},
    manifest::{self, TarballPlace},
    unpack::{self, TarballError, Unpacked},
};

/// Has the tarballs of some steps.
pub(super) fn obtain(workshop: &Workshop, steps: &[(&Plan<'_>, &Step)], taker: &Taker<'_>) -> Result<(), Failures> {
    let (mut seen, mut failures) = (BTreeSet::new(), Vec::new());
    for (plan, step) in steps {
        for tarball in plan.tier(step).archives.iter().filter(|tarball| seen.insert(tarball.sha256)) {
            match unpacked(workshop, &plan.title(step), tarball) {
                Ok(found) => taker(tarball.sha256, found),
                Err(Failures(more)) => failures.extend(more),
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
}

/// The SHA-256 of all tarballs of a plan.
pub(super) fn of<'p>(plan: &'p Plan<'_>) -> impl Iterator<Item = &'p Sha256> {
    plan.steps.iter().flat_map(|step| &plan.tier(step).archives).map(|tarball| &tarball.sha256)
}

fn unpacked(workshop: &Workshop, tier: &str, tarball: &manifest::Tarball) -> Result<Unpacked, Failures> {
    let cache = &workshop.cache;
    if let Some(found) = unpack::recall_tarball(&tarball.sha256, cache) {
        return Ok(found);
    }
    let wanted = wanted(tier, tarball);
    let title = format!("the archive {} of {tier}", wanted.label);
    let limits = unpack::Limits::default();
    let once = || -> Result<Result<Unpacked, TarballError>, Failures> {
        let path = workshop.fetcher.tarball(&wanted)?;
        workshop.observer.tell(Event::Step(format!("unpacking {}", wanted.label)));
        Ok(unpack::unpack_tarball(&path, &title, &tarball.sha256, cache, &limits))
    };
    match once()? {
        Err(error @ TarballError::Changed { .. }) => {
            workshop.observer.tell(Event::Step(format!("{error}; it is fetched again")));
            cache.discard(&tarball.sha256)?;
            Ok(once()??)
        }
        result => Ok(result?),
    }
}

/// The tarball's file, from the cache or else fetched.
pub(super) fn fetched(workshop: &Workshop, tier: &str, tarball: &manifest::Tarball) -> Result<PathBuf, Failures> {
    Ok(workshop.fetcher.tarball(&wanted(tier, tarball))?)
}

fn wanted(tier: &str, tarball: &manifest::Tarball) -> Tarball {
    let place = |place: &TarballPlace| match place {
        TarballPlace::Uri(uri) => Place::Uri(uri.clone()),
        TarballPlace::Beside(path) => Place::Path(path.clone()),
    };
    let last = |place: &TarballPlace| match place {
        TarballPlace::Uri(uri) => {
            let path = uri.split(['?', '#']).next().unwrap_or_default();
            path.rsplit('/').next().unwrap_or_default().to_owned()
        }
        TarballPlace::Beside(path) => path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into()),
    };
    let name = tarball.uris.first().map(last).filter(|name| !name.is_empty());
    Tarball {
        label: name.unwrap_or_else(|| tarball.sha256.to_string()),
        wanted_by: tier.to_owned(),
        sha256: tarball.sha256,
        limit: tarball.size.unwrap_or(LARGEST_TARBALL),
        places: tarball.uris.iter().map(place).collect(),
    }
}
