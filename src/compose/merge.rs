//! Who wins where several packages, and the parent's tree, meet at one path.
//!
//! Folders merge; identical files and links are one; of different ones a package's Replaces
//! decides, or the tier's own manifest (later, in `declare`), else it is a conflict. All packages
//! of a path are judged together, so that their order decides only between equal rights.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    ComposeError, Composition, Dropped, Remark, Why,
    layout::Trail,
    replaces::Controls,
    select::{Claim, Selected},
};
use crate::{
    generate::{Accounts, Choice, scripts},
    ground::RootPath,
    rootfs::{Attributes, Entry, Node, Origin, PackageName, Rootfs},
};

/// A tree in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Folders may still lack in it.
    pub tree: Rootfs,
    /// Conflicts that the manifest may still settle.
    pub conflicts: Vec<Conflict>,
    /// What the tier's manifest and its generators put there, and where that is written.
    pub declared: BTreeMap<RootPath, Origin>,
    pub errors: Vec<ComposeError>,
    pub remarks: Vec<Remark>,
    pub dropped: Vec<Dropped>,
    pub trail: Trail,
    /// Where nothing is but what a link led there.
    pub led: BTreeSet<RootPath>,
    /// Users and groups of the chain, with those that packages make.
    pub accounts: Accounts,
    /// Alternatives of the chain's packages.
    pub choices: Vec<Choice>,
    pub scripts: Vec<scripts::Item>,
}

/// Two different files or links of one name and of equal rights.
#[derive(Debug)]
pub(super) struct Conflict {
    pub path: RootPath,
    pub first: String,
    pub second: String,
}

/// One that has something at a path.
#[derive(Clone, Copy)]
enum Party<'a> {
    Parent(&'a Entry),
    Package(&'a Claim<'a>),
}

impl<'a> Party<'a> {
    fn node(self) -> &'a Node {
        match self {
            Party::Parent(entry) => &entry.node,
            Party::Package(claim) => claim.node(),
        }
    }

    fn attributes(self) -> &'a Attributes {
        match self {
            Party::Parent(entry) => &entry.attributes,
            Party::Package(claim) => &claim.item.attributes,
        }
    }

    fn same_as(self, other: Self) -> bool {
        self.attributes() == other.attributes() && self.node().same_as(other.node())
    }

    fn package(self) -> Option<&'a Arc<PackageName>> {
        match self {
            Party::Parent(Entry { origin: Origin::Package(name), .. }) => Some(name),
            Party::Parent(_) => None,
            Party::Package(claim) => Some(claim.package),
        }
    }

    fn origin(self) -> Origin {
        match self {
            Party::Parent(entry) => entry.origin.clone(),
            Party::Package(claim) => Origin::Package(claim.package.clone()),
        }
    }
}

/// Who is first where packages have equal rights, and who has to go.
enum Verdict<'a> {
    /// This one; the others are the same or replaced by it.
    Wins(Party<'a>),
    /// Different files of equal rights.
    Differ(Party<'a>, Party<'a>),
    /// Different kinds of thing.
    Kinds(Party<'a>, Party<'a>),
}

/// Merges what is kept of the packages into the parent's tree.
pub(super) fn merge(composition: &Composition<'_>, selected: Selected<'_>) -> Draft {
    let inherited = composition.parent.iter().flat_map(|parent| &parent.controls);
    let own =
        composition.packages.iter().filter_map(|input| Some((&input.name, &**input.unpacked.control.get("control")?)));
    let controls = Controls(inherited.map(|(name, control)| (name, &**control)).chain(own).collect());
    let mut draft = Draft {
        errors: selected.errors,
        remarks: selected.remarks,
        dropped: selected.dropped,
        trail: selected.trail,
        ..Draft::default()
    };
    let parent = composition.parent.map(|parent| &parent.rootfs);
    let mut merging = Merging { composition, controls, draft: &mut draft, replaced: BTreeMap::new() };
    let mut fresh: Vec<(RootPath, Entry)> = Vec::with_capacity(selected.claims.len());
    for claims in selected.claims.chunk_by(|one, other| one.path == other.path) {
        let before = parent.and_then(|parent| parent.get(&claims[0].path));
        let new = before.is_none_or(|before| before.origin == Origin::Implied);
        if new && claims.iter().all(|claim| claim.led) {
            merging.draft.led.insert(claims[0].path.clone());
        }
        if let Party::Package(claim) = merging.meet(before, claims) {
            let origin = Origin::Package(claim.package.clone());
            let entry = Entry { node: claim.node().clone(), attributes: claim.item.attributes.clone(), origin };
            fresh.push((claim.path.clone(), entry));
        }
    }
    merging.tell_replaced();
    draft.tree = parent.cloned().unwrap_or_default();
    draft.tree.entries.append(&mut fresh.into_iter().collect());
    draft
}

struct Merging<'a> {
    composition: &'a Composition<'a>,
    controls: Controls<'a>,
    draft: &'a mut Draft,
    /// By winner and loser: the first path and how many more.
    replaced: BTreeMap<(Arc<PackageName>, Arc<PackageName>), (RootPath, usize)>,
}

impl<'a> Merging<'a> {
    /// Who is at a path in the end; conflicts are noted, and then it is the first one.
    fn meet(&mut self, before: Option<&'a Entry>, claims: &'a [Claim<'a>]) -> Party<'a> {
        if let (None, [only]) = (before, claims) {
            return Party::Package(only);
        }
        let path = &claims[0].path;
        let mut parties: Vec<Party<'a>> =
            before.map(Party::Parent).into_iter().chain(claims.iter().map(Party::Package)).collect();
        if parties.iter().all(|party| *party.node() == Node::Directory) {
            return self.folder(path, &parties);
        }
        self.drop_links_to_themselves(&mut parties);
        match self.judge(&parties) {
            Verdict::Wins(winner) => {
                self.note_losers(path, winner, &parties);
                winner
            }
            Verdict::Differ(first, second) => {
                self.draft.conflicts.push(Conflict {
                    path: path.clone(),
                    first: first.origin().to_string(),
                    second: second.origin().to_string(),
                });
                parties[0]
            }
            Verdict::Kinds(first, second) => {
                self.draft.errors.push(ComposeError::DifferentKinds {
                    tier: self.composition.name.into(),
                    path: path.clone(),
                    first: format!("{} in {}", first.node().kind(), first.origin()).into(),
                    second: format!("{} in {}", second.node().kind(), second.origin()).into(),
                    source_code: self.composition.tier.source.clone(),
                    labels: Vec::new(),
                    next: ComposeError::next([&first.origin(), &second.origin()]),
                });
                parties[0]
            }
        }
    }

    /// Folders merge: the manifest's own metadata wins, then whoever comes first.
    fn folder(&mut self, path: &RootPath, parties: &[Party<'a>]) -> Party<'a> {
        let implied = |party: &&Party<'_>| matches!(party, Party::Parent(Entry { origin: Origin::Implied, .. }));
        let first = parties.iter().find(|party| !implied(party)).copied().unwrap_or(parties[0]);
        let Some(package) = first.package() else { return first };
        let other =
            parties.iter().filter(|party| !implied(party)).find(|party| party.attributes() != first.attributes());
        if let Some(other) = other {
            self.draft.remarks.push(Remark::FolderMetadata {
                path: path.clone(),
                kept: Box::new(first.attributes().clone()),
                first: package.to_string(),
                other: Box::new(other.attributes().clone()),
                second: other.package().map(ToString::to_string).unwrap_or_default(),
            });
        }
        first
    }

    /// A package that has /bin/x, and /usr/bin/x as a link to it, has one of them once /bin is
    /// /usr/bin.
    fn drop_links_to_themselves(&mut self, parties: &mut Vec<Party<'a>>) {
        let to_itself = |party: &Party<'_>| matches!(party, Party::Package(claim) if claim.to_itself);
        if parties.iter().all(to_itself) {
            return;
        }
        for party in parties.extract_if(.., |party| to_itself(party)) {
            if let Party::Package(claim) = party {
                self.drop(claim, Why::LinkToItself);
            }
        }
    }

    fn judge(&self, parties: &[Party<'a>]) -> Verdict<'a> {
        let first = parties[0];
        let kind = |party: Party<'_>| std::mem::discriminant(party.node());
        let folder = |party: Party<'_>| *party.node() == Node::Directory;
        let other_kind = |with: Party<'a>| {
            let odd = |party: &Party<'a>| match with {
                // What a parent has keeps its kind; within a tier, Replaces may turn a link into a file.
                Party::Parent(_) => kind(*party) != kind(with),
                Party::Package(_) => folder(*party) != folder(with),
            };
            parties.iter().copied().find(odd)
        };
        if let Some(other) = other_kind(first) {
            return Verdict::Kinds(first, other);
        }
        if let Party::Parent(Entry { origin: Origin::Declared { .. } | Origin::Generated { .. }, .. }) = first {
            return Verdict::Wins(first);
        }
        // An image's files belong to no package here: a package of ours takes their place, as with dpkg.
        let parties = match first {
            Party::Parent(Entry { origin: Origin::Image { .. }, .. }) => parties.get(1..).unwrap_or_default(),
            _ => parties,
        };
        if let ([only], Party::Parent(_)) = (parties, first) {
            return Verdict::Wins(if only.same_as(first) { first } else { *only });
        }
        let first = parties.first().copied().unwrap_or(first);
        let wins = |(at, party): (usize, Party<'a>)| {
            let rights = parties.iter().enumerate().all(|(other_at, other)| {
                party.same_as(*other)
                    || self.replaces(party, *other) && !(self.replaces(*other, party) && other_at > at)
            });
            rights.then_some(party)
        };
        if let Some(winner) = parties.iter().copied().enumerate().find_map(wins) {
            return Verdict::Wins(winner);
        }
        let pairs = || {
            let pair = |at: usize| parties[at + 1..].iter().map(move |other| (parties[at], *other));
            (0..parties.len()).flat_map(pair).filter(|(one, other)| !one.same_as(*other))
        };
        let unsettled = pairs().find(|(one, other)| !self.replaces(*one, *other) && !self.replaces(*other, *one));
        match unsettled.or_else(|| pairs().next()) {
            Some((one, other)) if kind(one) != kind(other) => Verdict::Kinds(one, other),
            Some((one, other)) => Verdict::Differ(one, other),
            None => Verdict::Wins(first),
        }
    }

    fn replaces(&self, one: Party<'_>, other: Party<'_>) -> bool {
        match (one.package(), other.package()) {
            (Some(one), Some(other)) => self.controls.replaces(one, other),
            _ => false,
        }
    }

    fn note_losers(&mut self, path: &RootPath, winner: Party<'a>, parties: &[Party<'a>]) {
        for loser in parties.iter().copied().filter(|party| !party.same_as(winner)) {
            match (winner.package(), loser) {
                (Some(by), loser) => {
                    if let Some(replaced) = loser.package() {
                        let pair = (by.clone(), replaced.clone());
                        self.replaced.entry(pair).and_modify(|(_, more)| *more += 1).or_insert((path.clone(), 0));
                    }
                    if let Party::Package(claim) = loser {
                        self.drop(claim, Why::Replaced(by.clone()));
                    }
                }
                (None, Party::Package(claim)) => {
                    self.draft.remarks.push(Remark::ParentDeclares {
                        path: path.clone(),
                        parent: winner.origin().to_string(),
                        package: claim.package.clone(),
                    });
                    self.drop(claim, Why::ParentDeclares);
                }
                (None, Party::Parent(_)) => {}
            }
        }
    }

    fn drop(&mut self, claim: &Claim<'_>, why: Why) {
        self.draft.dropped.push(Dropped { path: claim.path.clone(), package: claim.package.clone(), why });
    }

    fn tell_replaced(self) {
        for ((by, replaced), (path, others)) in self.replaced {
            self.draft.remarks.push(Remark::Replaces { path, others, by, replaced });
        }
    }
}
