//! Packages that are there: those of the parent chain, or all of an answer.

use std::collections::BTreeMap;

use crate::{
    archive::{Candidate, Index, Package},
    debian::{Alternative, Architecture, packages::Record},
};

/// A growing set, one version a name.
pub(super) struct Set<'a> {
    architecture: Architecture,
    members: Vec<Member<'a>>,
    by_name: BTreeMap<&'a str, usize>,
    /// Provided name: members that provide it, and as which version.
    provided: BTreeMap<&'a str, Vec<(usize, Option<&'a str>)>>,
}

/// One package of a [`Set`].
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub name: &'a str,
    /// Unparsed.
    pub version: &'a str,
    /// `None` where the index no longer lists a package of the parent chain: then nothing more is
    /// known of it.
    pub candidate: Option<Candidate<'a>>,
}

impl<'a> Member<'a> {
    pub(super) fn record(&self) -> Option<&Record<'a>> {
        self.candidate.as_ref().map(|candidate| &candidate.record)
    }
}

impl<'a> Set<'a> {
    /// The parent chain.
    pub(super) fn new(index: &'a Index, present: &'a [Package]) -> Self {
        let (members, by_name, provided) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut set = Self { architecture: index.architecture(), members, by_name, provided };
        for package in present {
            let candidate = index.find(package);
            set.add(Member { name: &package.name, version: package.version.as_str(), candidate });
        }
        set
    }

    pub(super) fn add(&mut self, member: Member<'a>) {
        let number = self.members.len();
        self.by_name.insert(member.name, number);
        // Every item was read when its stanza entered the index.
        for item in member.record().into_iter().flat_map(Record::provided).flatten() {
            self.provided.entry(item.name).or_default().push((number, item.version));
        }
        self.members.push(member);
    }

    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The package of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Member<'a>> {
        self.members.get(*self.by_name.get(name)?)
    }

    /// The members that this names, as real packages or as provided ones (Policy 7.5: a version asks
    /// for a provided version), whatever follows the name's colon.
    pub(super) fn matching<'s>(&'s self, alternative: &'s Alternative) -> impl Iterator<Item = usize> + use<'s, 'a> {
        let real = self.by_name.get(&*alternative.name).copied();
        let real =
            real.filter(|at| self.members.get(*at).is_some_and(|member| alternative.takes_version(member.version)));
        let provided = self.provided.get(&*alternative.name).into_iter().flatten();
        let provided = provided.filter(|(_, version)| takes_provided(alternative, *version)).map(|(at, _)| *at);
        real.into_iter().chain(provided)
    }

    /// Whether the package of this very name meets the alternative. One that no suite lists any more
    /// is of no suite.
    pub(super) fn meets_by_name(&self, alternative: &Alternative, in_suite: impl Fn(&Candidate<'_>) -> bool) -> bool {
        self.named(&alternative.name).is_some_and(|member| {
            alternative.takes_version(member.version)
                && takes_architecture(self.architecture, alternative, member.record())
                && (alternative.suite.is_none() || member.candidate.as_ref().is_some_and(in_suite))
        })
    }

    /// Whether some package meets the alternative.
    pub(super) fn meets(&self, alternative: &Alternative) -> bool {
        self.matching(alternative).any(|at| {
            let member = self.members.get(at);
            member.is_some_and(|member| takes_architecture(self.architecture, alternative, member.record()))
        })
    }

    /// Whether it asks for a package of another architecture.
    pub(super) fn is_foreign(&self, alternative: &Alternative) -> bool {
        is_foreign(self.architecture, alternative)
    }
}

fn is_foreign(here: Architecture, alternative: &Alternative) -> bool {
    let qualifier = alternative.qualifier.as_deref();
    qualifier.is_some_and(|qualifier| !matches!(qualifier, "any" | "native") && qualifier != here.name())
}

/// Whether what follows the name's colon leaves this package in (dpkg's `deparchsatisfied`): `any`
/// wants `Multi-Arch: allowed`. A package of which nothing is known is let in.
pub(super) fn takes_architecture(here: Architecture, alternative: &Alternative, record: Option<&Record<'_>>) -> bool {
    match alternative.qualifier.as_deref() {
        None | Some("native") => true,
        Some("any") => record.is_none_or(|record| record.multi_arch == "allowed"),
        Some(_) => !is_foreign(here, alternative),
    }
}

/// Whether a name that is provided as this version meets the alternative.
pub(super) fn takes_provided(alternative: &Alternative, version: Option<&str>) -> bool {
    alternative.version.is_none() || version.is_some_and(|version| alternative.takes_version(version))
}
