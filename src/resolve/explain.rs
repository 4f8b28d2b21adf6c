//! Why nothing meets a relation, in words, and what to do about it.

use super::{
    ResolveError, Wish,
    set::{Member, Set},
    solve::Node,
};
use crate::{
    archive::Index,
    debian::{Alternative, Relation},
    ground::{Span, nearest},
};

/// How many versions or providers a message lists.
const MOST_LISTED: usize = 5;

pub(super) struct Explain<'s> {
    pub index: &'s Index,
    pub set: &'s Set<'s>,
    pub nodes: &'s [Node],
}

impl Explain<'_> {
    /// Package names from the wish to this node.
    pub(super) fn chain(&self, node: usize) -> Vec<Box<str>> {
        // Each node is asked for by an earlier one, so this ends.
        let nodes = std::iter::successors(self.nodes.get(node), |node| self.nodes.get(node.by?));
        let mut chain: Vec<_> = nodes.map(|node| node.name.clone()).collect();
        chain.reverse();
        chain
    }

    pub(super) fn wish(&self, wish: &Wish, relation: &Relation) -> ResolveError {
        let span = wish.span.clone();
        let there = relation.0.iter().find_map(|alternative| self.set.named(&alternative.name));
        if let Some(member) = there {
            let present = format!("{} {}", member.name, member.version);
            let why = self.whence(member);
            return ResolveError::Version { wish: Box::new(relation.clone()), present, why, span };
        }
        let help = self
            .near(relation)
            .unwrap_or_else(|| "ask for what the archive has, or add a source that has it to archive.toml".to_owned());
        ResolveError::Wish { wish: Box::new(relation.clone()), why: self.why(relation), help, span }
    }

    pub(super) fn dependency(&self, node: usize, relation: &Relation, span: Span) -> ResolveError {
        let name = relation.0.first().map_or("", |alternative| &*alternative.name);
        let omit = format!("omit = [{{ package = \"{name}\", reason = \"...\" }}]");
        let help = format!("add a source that has it to archive.toml; or, if the tier can do without it: {omit}");
        ResolveError::Dependency {
            chain: self.chain(node),
            relation: Box::new(relation.clone()),
            why: self.why(relation),
            help,
            span,
        }
    }

    fn why(&self, relation: &Relation) -> String {
        let reasons: Vec<_> = relation.0.iter().map(|alternative| self.why_not(alternative)).collect();
        reasons.join("; ")
    }

    fn why_not(&self, alternative: &Alternative) -> String {
        let name = &alternative.name;
        if self.set.is_foreign(alternative) {
            return format!("{name} is wanted for another architecture than {}", self.index.architecture());
        }
        if let Some(member) = self.set.named(name)
            && !alternative.takes_version(member.version)
        {
            return format!("{name} is {} here ({})", member.version, self.whence(member));
        }
        let candidates = self.index.candidates(name);
        let versions: Vec<_> = candidates
            .iter()
            .map(|candidate| {
                let record = &candidate.record;
                // The version fits: what follows the colon does not.
                let unfit = alternative.takes_version(record.version).then_some(", not Multi-Arch: allowed");
                format!("{} ({}{})", record.version, candidate.from, unfit.unwrap_or_default())
            })
            .collect();
        if !versions.is_empty() {
            return format!("{name} is there only as {}", listed(&versions));
        }
        let providers: Vec<_> = self
            .index
            .providers(name)
            .iter()
            .map(|provider| match provider.version {
                Some(version) => format!("{} (as {version})", provider.candidate.record.package),
                None => format!("{} (in no version)", provider.candidate.record.package),
            })
            .collect();
        if !providers.is_empty() {
            return format!("{name} is provided only by {}", listed(&providers));
        }
        format!("no package is called {name}, and none provides it")
    }

    fn whence(&self, member: &Member<'_>) -> String {
        match member.chosen {
            None => "from the parent chain".to_owned(),
            Some(node) => match self.chain(node).as_slice() {
                [_] | [] => "wished for by this tier".to_owned(),
                chain => format!("through {}", chain.join(" -> ")),
            },
        }
    }

    /// The nearest name to the first one that nothing is called.
    fn near(&self, relation: &Relation) -> Option<String> {
        let unknown = relation.0.iter().find(|alternative| {
            self.index.candidates(&alternative.name).is_empty() && self.index.providers(&alternative.name).is_empty()
        })?;
        // Distances are costly over a whole archive; a length too far off cannot be near.
        let length = unknown.name.len();
        let names = self.index.names().filter(|name| name.len().abs_diff(length) <= name.len().max(3) / 3);
        nearest(&unknown.name, names).map(|name| format!("did you mean `{name}`?"))
    }
}

fn listed(items: &[String]) -> String {
    let shown = items.get(..MOST_LISTED.min(items.len())).unwrap_or_default().join(", ");
    match items.len().checked_sub(MOST_LISTED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
