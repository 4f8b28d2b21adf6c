//! The packages that are there: those of the parent chain, and those chosen so far.

use std::collections::BTreeMap;

use crate::{
    archive::{Index, Package},
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
    pub record: Option<Record<'a>>,
    /// Index into the answer; `None`: a package of the parent chain.
    pub chosen: Option<usize>,
}

impl<'a> Set<'a> {
    /// The parent chain.
    pub(super) fn new(index: &'a Index, present: &'a [Package]) -> Self {
        let (members, by_name, provided) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut set = Self { architecture: index.architecture(), members, by_name, provided };
        for package in present {
            let record = index.find(package).map(|candidate| candidate.record);
            set.add(Member { name: &package.name, version: package.version.as_str(), record, chosen: None });
        }
        set
    }

    pub(super) fn add(&mut self, member: Member<'a>) {
        let number = self.members.len();
        self.by_name.insert(member.name, number);
        // Every item was read when its stanza entered the index.
        for item in member.record.iter().flat_map(Record::provided).flatten() {
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

    /// Whether the package of this very name meets the alternative.
    pub(super) fn meets_by_name(&self, alternative: &Alternative) -> bool {
        self.named(&alternative.name).is_some_and(|member| {
            alternative.takes_version(member.version) && self.takes_architecture(alternative, member.record.as_ref())
        })
    }

    /// Whether some package meets the alternative.
    pub(super) fn meets(&self, alternative: &Alternative) -> bool {
        self.matching(alternative).any(|at| {
            self.members.get(at).is_some_and(|member| self.takes_architecture(alternative, member.record.as_ref()))
        })
    }

    /// Whether what follows the name's colon leaves this package in (dpkg's `deparchsatisfied`): `any`
    /// wants `Multi-Arch: allowed`. A package of which nothing is known is let in.
    pub(super) fn takes_architecture(&self, alternative: &Alternative, record: Option<&Record<'_>>) -> bool {
        match alternative.qualifier.as_deref() {
            None | Some("native") => true,
            Some("any") => record.is_none_or(|record| record.multi_arch == "allowed"),
            Some(_) => !self.is_foreign(alternative),
        }
    }

    /// Whether it asks for a package of another architecture.
    pub(super) fn is_foreign(&self, alternative: &Alternative) -> bool {
        alternative
            .qualifier
            .as_deref()
            .is_some_and(|qualifier| !matches!(qualifier, "any" | "native") && qualifier != self.architecture.name())
    }
}

/// Whether a name that is provided as this version meets the alternative.
pub(super) fn takes_provided(alternative: &Alternative, version: Option<&str>) -> bool {
    alternative.version.is_none() || version.is_some_and(|version| alternative.takes_version(version))
}
