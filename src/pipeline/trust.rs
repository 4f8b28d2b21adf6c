//! The chain of trust of a lock, checked again without the network: signatures over every InRelease that
//! the cache still has, from there to the indexes, and from these to the locked .debs.

use std::{collections::BTreeMap, sync::Arc};

use super::{Failures, Workshop, errors::Unlisted, plan::packages_of};
use crate::{
    archive::{self, ArchiveError, Package, Suites},
    debian::Architecture,
    fetch::{FetchError, Fetcher},
    ground::{Event, Silent},
    lock::Lock,
    manifest::Distribution,
};

/// Checks what a lock says was trusted. What the cache no longer has is told, not an error; so is a locked
/// package that its suite's index does not list, since a lock may hold a version that the archive has
/// replaced.
pub(super) fn verify(
    workshop: &Workshop,
    distribution: &Distribution,
    lock: &Lock,
    architectures: &[Architecture],
    tiers: &[usize],
) -> Result<(), Failures> {
    let (suites, forgotten) = archive::reopen(&distribution.archive, &lock.suites, &workshop.cache, workshop.clock)?;
    for record in suites.records() {
        workshop.observer.tell(Event::Note(format!("{}: signed as the lock says", record.id)));
    }
    for id in forgotten {
        workshop.observer.tell(Event::Note(format!(
            "{id}: the cache no longer has the InRelease of the lock, so its signature is not checked again"
        )));
    }
    let fetcher = Fetcher::new(workshop.offline.clone(), workshop.cache.clone(), Arc::new(Silent))?;
    for architecture in architectures {
        let of_tiers = tiers.iter().map(|tier| distribution.tiers[*tier].name.as_str());
        let packages: BTreeMap<_, _> = of_tiers
            .flat_map(|tier| packages_of(lock, *architecture, tier))
            .map(|package| ((&*package.name, &*package.architecture), package))
            .collect();
        listed(workshop, &suites, &fetcher, *architecture, packages.into_values())?;
    }
    Ok(())
}

/// Looks the packages of some tiers up in the indexes of the suites that were verified.
fn listed<'p>(
    workshop: &Workshop,
    suites: &Suites<'_>,
    fetcher: &Fetcher,
    architecture: Architecture,
    packages: impl Iterator<Item = &'p Package>,
) -> Result<(), Failures> {
    let verified: Vec<String> = suites.records().into_iter().map(|record| record.id).collect();
    let mut of_suites = packages.filter(|package| verified.iter().any(|id| *id == *package.from)).peekable();
    if of_suites.peek().is_none() {
        return Ok(());
    }
    let index = match suites.index(fetcher, architecture, &Silent) {
        Ok(index) => index,
        Err(ArchiveError::Fetch(error)) if matches!(*error, FetchError::Offline { .. }) => {
            workshop.observer.tell(Event::Note(format!(
                "{architecture}: the cache no longer has the indexes of the lock, so packages are not looked up again"
            )));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let (mut count, mut unlisted) = (0, Vec::new());
    for package in of_suites {
        match index.listed(&package.from, &package.name, package.sha256) {
            Some(_) => count += 1,
            None => unlisted.push(format!("{} {} ({})", package.name, package.version, package.from)),
        }
    }
    workshop.observer.tell(Event::Note(format!("{architecture}: {count} packages are listed by signed indexes")));
    if !unlisted.is_empty() {
        let packages = unlisted.join(", ");
        workshop.observer.tell(Event::Warning(Arc::new(Unlisted { architecture, packages })));
    }
    Ok(())
}
