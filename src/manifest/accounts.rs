//! What a tier inherits from its chain and may not declare again: users, groups, wishes.

use std::collections::BTreeMap;

use crate::{
    debian::{Architecture, Relation},
    ground::nearest,
};

use super::error::{Finding, Findings, Place, Topic};

/// All that a chain of tiers has declared so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// Whether something of the chain could not be read: then nothing is said to be missing.
    pub broken: bool,
    /// Whether it stands on an image that others made, which has accounts of its own.
    pub foreign: bool,
    pub users: BTreeMap<String, (u32, Place)>,
    pub uids: BTreeMap<u32, (String, Place)>,
    pub groups: BTreeMap<String, (u32, Place)>,
    pub gids: BTreeMap<u32, (String, Place)>,
    /// Package (or alternatives), the architectures it holds for, the place.
    pub wishes: BTreeMap<String, Vec<(Vec<Architecture>, Place)>>,
}

/// Users or groups.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sort {
    User,
    Group,
}

impl Sort {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

impl Chain {
    /// Adds an account, or tells that its name or number is taken.
    pub(super) fn add(&mut self, sort: Sort, name: (&str, Place), id: (u32, Place), findings: &mut Findings) {
        let (names, ids, number) = match sort {
            Sort::User => (&mut self.users, &mut self.uids, "uid"),
            Sort::Group => (&mut self.groups, &mut self.gids, "gid"),
        };
        let word = sort.word();
        let help = "a child tier has all accounts of its parents";
        if let Some((_, first)) = names.get(name.0) {
            let message = format!("the {word} {} is there already", name.0);
            findings.error(Topic::Duplicate, name.1.span.clone(), message, "again here").first(first, help);
        } else {
            names.insert(name.0.into(), (id.0, name.1));
        }
        if let Some((owner, first)) = ids.get(&id.0) {
            let message = format!("the {number} {} is that of {owner} already", id.0);
            findings.error(Topic::Duplicate, id.1.span.clone(), message, "again here").first(first, help);
        } else {
            ids.insert(id.0, (name.0.into(), id.1));
        }
    }

    /// The number of a named account, or a finding that there is none.
    pub(super) fn number(&self, sort: Sort, name: &str, place: &Place, findings: &mut Findings) -> u32 {
        let names = match sort {
            Sort::User => &self.users,
            Sort::Group => &self.groups,
        };
        match names.get(name) {
            Some((id, _)) => *id,
            None if self.broken => 0,
            None => {
                let (message, help) = self.missing(sort, name);
                findings.error(Topic::Account, place.span.clone(), message, "not in this chain").help(help);
                0
            }
        }
    }

    /// Message and help for a name that the chain lacks.
    pub(super) fn missing(&self, sort: Sort, name: &str) -> (String, String) {
        let names = match sort {
            Sort::User => &self.users,
            Sort::Group => &self.groups,
        };
        let word = sort.word();
        let help = match nearest(name, names.keys().map(String::as_str)) {
            Some(like) => format!("the {word} is called `{like}`"),
            None if self.foreign => "one of the base image is not known here: write its number".into(),
            None => format!("declare it in [[{word}s]] of this tier or of a parent, or write its number"),
        };
        (format!("no {word} {name} in this tier or its parents"), help)
    }

    /// Adds a wish, or tells that it was wished for before.
    pub(super) fn wish(&mut self, relation: &Relation, all: &[Architecture], place: Place, findings: &mut Findings) {
        let name = wanted(relation);
        let archs = architectures(relation, all);
        let before = self.wishes.entry(name.clone()).or_default();
        if let Some((_, first)) = before.iter().find(|(others, _)| others.iter().any(|one| archs.contains(one))) {
            let finding: &mut Finding = findings.error(
                Topic::Duplicate,
                place.span.clone(),
                format!("{name} is wanted twice in one chain"),
                "again here",
            );
            finding.first(first, "a child tier has all packages of its parents; take one of them out");
        } else {
            before.push((archs, place));
        }
    }
}

/// What a wish asks for: the names of its alternatives.
fn wanted(relation: &Relation) -> String {
    let name = |alternative: &crate::debian::Alternative| match alternative.qualifier.as_deref() {
        None | Some("any" | "native") => alternative.name.to_string(),
        Some(arch) => format!("{}:{arch}", alternative.name),
    };
    relation.0.iter().map(name).collect::<Vec<_>>().join(" | ")
}

/// For which of the archive's architectures some alternative of the wish holds.
fn architectures(relation: &Relation, all: &[Architecture]) -> Vec<Architecture> {
    let holds = |arch: &Architecture| relation.0.iter().any(|one| one.applies_to(*arch));
    all.iter().copied().filter(holds).collect()
}
