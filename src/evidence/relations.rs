//! Who needs whom among the packages of a chain, from their own control files: the lock holds which
//! packages there are, not why.

use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

use crate::{
    debian::{Alternative, Architecture, Operator, Relation, deb822::Cursor, relation::parse_relations},
    manifest::Tier,
};

/// One package of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Binary package name.
    pub name: Box<str>,
    /// Version, unparsed.
    pub version: Box<str>,
    /// Index into the chain of the tier that adds it; 0 is the root tier.
    pub stage: usize,
    /// Name and version of its source package; a rebuild has the version of what it was built from.
    pub source: (Box<str>, Box<str>),
    /// `Pre-Depends` and `Depends`, as far as they count on the architecture.
    pub needs: Vec<Relation>,
    /// What it says of packages that are never followed: `recommends`, `suggests`, and what.
    pub weak: Vec<(&'static str, Vec<Relation>)>,
    /// `Provides`.
    provides: Vec<Alternative>,
}

/// A relation that a package of the chain meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Index of the package that asks.
    pub by: usize,
    /// What it asks for.
    pub relation: Relation,
    /// Which alternative is met.
    pub met: usize,
}

/// All packages of a chain.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// Parents' packages first, each tier's in the order of the lock.
    pub all: Vec<Member>,
}

impl Member {
    /// A package by its control file; relations that cannot be read count as none, since the lock was
    /// made without them.
    pub fn read(name: &str, version: &str, stage: usize, control: &[u8], architecture: Architecture) -> Self {
        let mut member = Self {
            name: name.into(),
            version: version.into(),
            stage,
            source: (name.into(), version.into()),
            needs: Vec::new(),
            weak: Vec::new(),
            provides: Vec::new(),
        };
        let Ok(text) = std::str::from_utf8(control) else { return member };
        let mut cursor = Cursor::new(text);
        cursor.stanza();
        let mut depends = Vec::new();
        while let Ok(Some(field)) = cursor.field() {
            let relations = || parse_relations(field.value).unwrap_or_default();
            match field.name.to_ascii_lowercase().as_str() {
                // Ordered as the resolver asks, wherever the fields stand.
                "pre-depends" => member.needs = relations(),
                "depends" => depends = relations(),
                "recommends" => member.weak.push(("recommends", relations())),
                "suggests" => member.weak.push(("suggests", relations())),
                "provides" => member.provides = relations().into_iter().flat_map(|relation| relation.0).collect(),
                "source" => match field.value.split_once(" (") {
                    Some((source, version)) => member.source = (source.into(), version.trim_end_matches(')').into()),
                    None => member.source.0 = field.value.into(),
                },
                _ => {}
            }
        }
        member.needs.append(&mut depends);
        member.needs = member.needs.iter().filter_map(|relation| relation.on(architecture)).collect();
        member
    }

    /// Whether it meets an alternative: under its own name, or (the second) under one that it provides.
    fn meets(&self, alternative: &Alternative) -> Option<bool> {
        if *self.name == *alternative.name && alternative.takes_version(&self.version) {
            return Some(true);
        }
        let provided = self.provides.iter().filter(|provided| provided.name == alternative.name);
        let mut fitting = provided.filter(|provided| match (&alternative.version, &provided.version) {
            (None, _) => true,
            (Some(_), Some((Operator::Equal, version))) => alternative.takes_version(version.as_str()),
            (Some(_), _) => false,
        });
        fitting.next().map(|_| false)
    }
}

impl Members {
    /// The package of this name.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|member| *member.name == *name)
    }

    /// Who meets an alternative; a package of the very name before those that provide it.
    pub fn meeting(&self, alternative: &Alternative) -> Option<usize> {
        let found = |real: bool| self.all.iter().position(|member| member.meets(alternative) == Some(real));
        found(true).or_else(|| found(false))
    }

    /// Whether this package meets a relation, and by which alternative: the first that anyone meets.
    fn met_by(&self, relation: &Relation, member: usize) -> Option<usize> {
        let first = relation.0.iter().position(|alternative| self.meeting(alternative).is_some())?;
        (self.meeting(relation.0.get(first)?)? == member).then_some(first)
    }

    /// Everyone who needs a package.
    pub fn needing(&self, member: usize) -> Vec<Need> {
        let mut found = Vec::new();
        for (by, other) in self.all.iter().enumerate().filter(|(by, _)| *by != member) {
            for relation in &other.needs {
                if let Some(met) = self.met_by(relation, member) {
                    found.push(Need { by, relation: relation.clone(), met });
                }
            }
        }
        found
    }

    /// The shortest way from a wish of the chain's tiers to a package: the wish as indexes of tier and
    /// wish, then who needs whom. Among equally short ones that of the first wish. What a parent brought
    /// has its way within the parent, whoever else asks for it. `None` where none leads there.
    pub fn way(&self, chain: &[&Tier], architecture: Architecture, to: usize) -> Option<((usize, usize), Vec<Need>)> {
        let last = self.all.get(to)?.stage;
        let there = |member: &usize| self.all.get(*member).is_some_and(|member| member.stage <= last);
        // From the wishes outwards, so that each package is met first by a shortest way.
        let mut from: BTreeMap<usize, Option<Need>> = BTreeMap::new();
        let mut wished: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let mut queue = VecDeque::new();
        for (stage, tier) in chain.iter().enumerate().take(last.saturating_add(1)) {
            for (number, wish) in tier.packages.iter().enumerate() {
                let Some(relation) = wish.relation.on(architecture) else { continue };
                let Some(member) = relation.0.iter().find_map(|alternative| self.meeting(alternative)) else {
                    continue;
                };
                if let Some(Entry::Vacant(free)) = there(&member).then(|| from.entry(member)) {
                    free.insert(None);
                    wished.insert(member, (stage, number));
                    queue.push_back(member);
                }
            }
        }
        while let Some(by) = queue.pop_front() {
            for relation in self.all.get(by).into_iter().flat_map(|member| &member.needs) {
                let alternatives = relation.0.iter().enumerate();
                let found = alternatives.filter_map(|(at, alternative)| Some((at, self.meeting(alternative)?))).next();
                let Some((met, member)) = found.filter(|(_, member)| there(member) && !from.contains_key(member))
                else {
                    continue;
                };
                from.insert(member, Some(Need { by, relation: relation.clone(), met }));
                queue.push_back(member);
            }
        }
        let mut needs = Vec::new();
        let mut at = to;
        while let Some(need) = from.get(&at)? {
            needs.push(need.clone());
            at = need.by;
        }
        needs.reverse();
        Some((*wished.get(&at)?, needs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(stanzas: &[(&str, &str)]) -> Members {
        let read = |(name, text): &(&str, &str)| Member::read(name, "1", 0, text.as_bytes(), "amd64".parse().unwrap());
        Members { all: stanzas.iter().map(read).collect() }
    }

    proptest::proptest! {
        #[test]
        fn no_control_file_panics(text in "(Depends|Provides|Source|Pre-Depends|Suggests|x): [a-z:|,()<>=. \\[\\]\n]{0,60}") {
            let member = Member::read("a", "1", 0, text.as_bytes(), "amd64".parse().unwrap());
            let members = Members { all: vec![member] };
            proptest::prop_assert!(members.needing(0).is_empty());
        }
    }

    #[test]
    fn who_meets_what() {
        let members = members(&[
            ("a", "Package: a\nDepends: x | b, v (>= 2), foreign [arm64]\nPre-Depends: c\n"),
            ("b", "Package: b\nSource: src (9)\n"),
            ("c", "Package: c\nProvides: v (= 3), w\n"),
            ("w", "Package: w\n"),
        ]);
        let shown: Vec<_> = members.all[0].needs.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["c", "x | b", "v (>= 2)"]);
        assert_eq!((&*members.all[1].source.0, &*members.all[1].source.1), ("src", "9"));
        let meeting = |text: &str| members.meeting(&text.parse().unwrap()).map(|at| &*members.all[at].name);
        for (text, expected) in
            [("v", Some("c")), ("v (>> 3)", None), ("w", Some("w")), ("w (>= 2)", None), ("b (= 1)", Some("b"))]
        {
            assert_eq!(meeting(text), expected, "{text}");
        }
        let needing = members.needing(2);
        assert_eq!(needing.iter().map(|need| need.relation.to_string()).collect::<Vec<_>>(), ["c", "v (>= 2)"]);
        assert_eq!(members.needing(1)[0].met, 1);
    }
}
