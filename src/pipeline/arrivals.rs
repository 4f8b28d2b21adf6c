//! Packages as they come: unpacked on other threads while tiers are composed of those that are there.

use std::{
    panic::resume_unwind,
    slice,
    sync::mpsc::{Receiver, channel},
    thread::{Scope, ScopedJoinHandle},
};

use super::{
    Workshop,
    packages::{Digests, Lack, Packages, compare_digests, obtain_steps},
    plan::{Plan, Step},
};
use crate::{
    ground::{Sha256, work_until},
    unpack::Unpacked,
};

/// By the SHA-256 of its file; and [`Unpacked::digest`].
type Came = (Sha256, Unpacked, Sha256);

/// What some steps need.
pub(super) struct Arrivals<'scope, 'p> {
    plans: &'p [Plan<'p>],
    coming: Receiver<Came>,
    obtaining: Option<ScopedJoinHandle<'scope, Result<(), Lack>>>,
    there: Packages,
    digests: Digests,
}

impl<'scope, 'p: 'scope> Arrivals<'scope, 'p> {
    /// Begins to have the packages and tarballs of `steps`, those of the first steps first.
    pub(super) fn of(
        scope: &'scope Scope<'scope, '_>,
        workshop: &'p Workshop,
        plans: &'p [Plan<'p>],
        steps: Vec<(&'p Plan<'p>, &'p Step)>,
    ) -> Self {
        let (send, coming) = channel();
        let nothing = steps.is_empty();
        let obtain = move || {
            // Nobody listens any more after an error.
            let give = |sha256, unpacked: Unpacked| {
                let digest = unpacked.digest();
                drop(send.send((sha256, unpacked, digest)));
            };
            obtain_steps(workshop, &steps, &give)
        };
        let obtaining = (!nothing).then(|| scope.spawn(obtain));
        Self { plans, coming, obtaining, there: Packages::new(), digests: Digests::new() }
    }

    /// Waits for all that a step needs, and gives all that is there; each package unpacks to what the lock
    /// records. Steps are asked for in the order in which they were given.
    ///
    /// # Errors
    /// All that is wrong with any of the steps, not only with this one.
    pub(super) fn until(&mut self, plan: &Plan<'_>, step: &Step) -> Result<&Packages, Lack> {
        let packages = plan.packages(step).map(|package| package.sha256);
        let tarballs = plan.tier(step).archives.iter().map(|tarball| tarball.sha256);
        let needed: Vec<Sha256> = packages.chain(tarballs).collect();
        while !needed.iter().all(|sha256| self.there.contains_key(sha256)) {
            match work_until(&self.coming) {
                Ok(came) => self.take(came),
                Err(_) => {
                    self.rest()?;
                    unreachable!("what is obtained without an error is all there");
                }
            }
        }
        let digests = needed.iter().map(|sha256| (*sha256, self.digests[sha256])).collect();
        if let Err(failures) = compare_digests(slice::from_ref(plan), &digests) {
            self.rest()?;
            return Err(failures.into());
        }
        Ok(&self.there)
    }

    /// Waits for all that is still to come, and gives the digests of all.
    ///
    /// # Errors
    /// As of [`Self::until`].
    pub(super) fn finish(mut self) -> Result<Digests, Lack> {
        self.rest()?;
        Ok(self.digests)
    }

    fn rest(&mut self) -> Result<(), Lack> {
        while let Ok(came) = work_until(&self.coming) {
            self.take(came);
        }
        if let Some(obtaining) = self.obtaining.take() {
            obtaining.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        }
        Ok(compare_digests(self.plans, &self.digests)?)
    }

    fn take(&mut self, (sha256, unpacked, digest): Came) {
        self.there.insert(sha256, unpacked);
        self.digests.insert(sha256, digest);
    }
}
