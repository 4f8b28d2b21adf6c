//! Why there is no answer, in words, and what to do about it.

use std::collections::{BTreeMap, VecDeque};

use super::{
    ResolveError,
    sat::{Lit, Var},
    search::{Asked, Fact},
    set::Member,
    universe::{Universe, Unusable},
};
use crate::{
    debian::{Alternative, Relation},
    ground::{Span, nearest},
};

/// How many versions, providers or ends a message lists.
const MOST_LISTED: usize = 5;

pub(super) struct Explain<'s, 'a> {
    universe: &'s mut Universe<'a>,
    asked: &'s [Asked],
    /// How each package of a contradiction comes into the set, by the shortest way.
    ways: BTreeMap<Var, Way>,
}

struct Way {
    /// From the package that a wish names to this one.
    chain: Vec<Var>,
    /// Index into the asked ones.
    asked: usize,
    /// When it was found.
    number: usize,
    /// The relation of the one before it that asks for it.
    relation: Relation,
}

impl<'s, 'a> Explain<'s, 'a> {
    pub(super) fn new(universe: &'s mut Universe<'a>, asked: &'s [Asked]) -> Self {
        Self { universe, asked, ways: BTreeMap::new() }
    }

    /// A wish that nothing can meet, whatever else is in the set.
    pub(super) fn wish(&self, at: usize) -> ResolveError {
        let (relation, span) = (&self.asked[at].relation, self.span(at));
        let there = relation.0.iter().find_map(|alternative| self.universe.present.named(&alternative.name));
        if let Some(member) = there {
            let why = "from the parent chain".to_owned();
            return ResolveError::Version { wish: Box::new(relation.clone()), present: shown(member), why, span };
        }
        let help = self
            .near(relation)
            .unwrap_or_else(|| "ask for what the archive has, or add a source that has it to archive.toml".to_owned());
        let (why, unknown) = (self.why(relation), self.unknown(relation));
        ResolveError::Wish { wish: Box::new(relation.clone()), why, help, unknown, span }
    }

    /// The shortest way from the manifest into a contradiction, and the fact at its end.
    pub(super) fn contradiction(&mut self, facts: &[(Fact, Vec<Lit>)]) -> Option<(ResolveError, Fact)> {
        self.follow(facts);
        let ends = facts.iter().filter_map(|(fact, lits)| Some((self.length(*fact, lits)?, *fact)));
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        let fact = ends.first()?.1;
        let mut error = self.end(fact)?;
        let mut others: Vec<_> = ends.iter().skip(1).map(|(_, end)| self.name_of(*end)).collect();
        others.dedup();
        if let ResolveError::Dependency { help, .. } | ResolveError::Conflict { help, .. } = &mut error
            && !others.is_empty()
        {
            help.push_str(&format!("; what could be taken instead fails too, at {}", listed(&others)));
        }
        Some((error, fact))
    }

    /// Goes from the wishes through the relations of a contradiction.
    fn follow(&mut self, facts: &[(Fact, Vec<Lit>)]) {
        let mut open = VecDeque::new();
        let mut needs: BTreeMap<Var, Vec<(usize, &[Lit])>> = BTreeMap::new();
        for (fact, lits) in facts {
            match *fact {
                Fact::Wish(asked) => {
                    for lit in lits {
                        let relation = self.asked[asked].relation.clone();
                        let number = self.ways.len();
                        let way = Way { chain: vec![lit.var()], asked, number, relation };
                        self.ways.entry(lit.var()).or_insert(way);
                        open.push_back(lit.var());
                    }
                }
                Fact::Needs { by, at } => needs.entry(by).or_default().push((at, lits)),
                _ => {}
            }
        }
        while let Some(var) = open.pop_front() {
            let known = self.universe.known(var);
            for (at, lits) in needs.remove(&var).unwrap_or_default() {
                let Some(need) = known.needs.get(at) else { continue };
                let Some((mut chain, asked)) = self.ways.get(&var).map(|way| (way.chain.clone(), way.asked)) else {
                    continue;
                };
                chain.push(var);
                for lit in lits.iter().filter(|lit| lit.is_yes()) {
                    if let Some(last) = chain.last_mut() {
                        *last = lit.var();
                    }
                    let number = self.ways.len();
                    let way = Way { chain: chain.clone(), asked, number, relation: need.relation.clone() };
                    self.ways.entry(lit.var()).or_insert(way);
                    open.push_back(lit.var());
                }
            }
        }
    }

    /// How long the ways to a fact are that lets none further; `None` for one that does, or that no way
    /// leads to.
    fn length(&self, fact: Fact, lits: &[Lit]) -> Option<usize> {
        let long = |var: Var| self.ways.get(&var).map(|way| way.chain.len());
        match fact {
            Fact::Wish(_) => None,
            Fact::Needs { by, .. } => long(by).filter(|_| !lits.iter().any(|lit| lit.is_yes())),
            Fact::Unusable(var) => long(var),
            Fact::Excludes { by, other, .. } => Some(long(by)? + long(other)?),
            Fact::ExcludesPresent { by, .. } => long(by),
            Fact::ExcludedByPresent { other, .. } => long(other),
            Fact::Versions(a, b) => Some(long(a)? + long(b)?),
        }
    }

    fn name_of(&self, fact: Fact) -> String {
        match fact {
            Fact::Wish(asked) => format!("`{}`", self.asked[asked].relation),
            Fact::Needs { by, .. } | Fact::Excludes { by, .. } | Fact::ExcludesPresent { by, .. } => {
                self.chain(by).join(" -> ")
            }
            Fact::Unusable(var) | Fact::ExcludedByPresent { other: var, .. } | Fact::Versions(_, var) => {
                self.chain(var).join(" -> ")
            }
        }
    }

    fn end(&mut self, fact: Fact) -> Option<ResolveError> {
        match fact {
            Fact::Wish(_) => None,
            Fact::Needs { by, at } => {
                let relation = self.universe.known(by).needs.get(at)?.relation.clone();
                let (why, unknown) = (self.why(&relation), self.unknown(&relation));
                Some(self.dependency(self.chain(by), by, relation, why, unknown))
            }
            Fact::Unusable(var) => {
                let known = self.universe.known(var);
                let (package, span) = (self.universe.shown(var), self.span_of(var));
                Some(match known.unusable.first()? {
                    Unusable::Field { field, source } => {
                        ResolveError::Field { package, field, source: source.clone(), span }
                    }
                    Unusable::Index(error) => ResolveError::Index { source: Box::new(error.clone()), span },
                })
            }
            Fact::Excludes { by, at, other } => {
                let known = self.universe.known(by);
                let exclusion = known.exclusions.get(at)?;
                let named = (self.universe.shown(by), self.universe.shown(other));
                Some(self.conflict(named, (exclusion.field, &exclusion.relation), [Some(by), Some(other)]))
            }
            Fact::ExcludesPresent { by, at, member } => {
                let known = self.universe.known(by);
                let exclusion = known.exclusions.get(at)?;
                let named = (self.universe.shown(by), shown(self.universe.present.members().get(member)?));
                Some(self.conflict(named, (exclusion.field, &exclusion.relation), [Some(by), None]))
            }
            Fact::ExcludedByPresent { member, at, other } => {
                let member = *self.universe.present.members().get(member)?;
                let exclusions = self.universe.exclusions(member.record()?).ok()?;
                let exclusion = exclusions.get(at)?;
                let named = (shown(&member), self.universe.shown(other));
                Some(self.conflict(named, (exclusion.field, &exclusion.relation), [None, Some(other)]))
            }
            Fact::Versions(a, b) => {
                let number = |var: &Var| self.ways.get(var).map(|way| way.number);
                let (first, second) = if number(&a) <= number(&b) { (a, b) } else { (b, a) };
                let (present, whence) = (self.universe.shown(first), self.whence(first));
                let way = self.ways.get(&second)?;
                let relation = way.relation.clone();
                let Some(by) = way.chain.len().checked_sub(2).and_then(|at| way.chain.get(at)).copied() else {
                    let span = self.span(way.asked);
                    return Some(ResolveError::Version { wish: Box::new(relation), present, why: whence, span });
                };
                let record = self.universe.record(first);
                let why = format!("{} is {} here ({whence})", record.package, record.version);
                Some(self.dependency(self.chain(by), by, relation, why, Vec::new()))
            }
        }
    }

    fn dependency(
        &self,
        chain: Vec<Box<str>>,
        by: Var,
        relation: Relation,
        why: String,
        unknown: Vec<Box<str>>,
    ) -> ResolveError {
        let name = relation.0.first().map_or("", |alternative| &*alternative.name);
        let omit = format!("omit = [{{ package = \"{name}\", reason = \"...\" }}]");
        let help = format!("add a source that has it to archive.toml; or, if the tier can do without it: {omit}");
        ResolveError::Dependency { chain, relation: Box::new(relation), why, help, unknown, span: self.span_of(by) }
    }

    /// `vars` are the packages of the tier among the two.
    fn conflict(
        &self,
        (package, other): (String, String),
        (field, relation): (&'static str, &Relation),
        vars: [Option<Var>; 2],
    ) -> ResolveError {
        let way = |var: Option<Var>| match var {
            Some(var) => format!("brings {}", self.chain(var).join(" -> ")),
            None => "from the parent chain".to_owned(),
        };
        let [first, second] = vars;
        let span_of = |var: Option<Var>| var.map(|var| self.span_of(var));
        let (mut span, mut other_span) = (span_of(first), span_of(second));
        let (mut way, mut other_way) = (way(first), way(second));
        if span.is_none() {
            (span, other_span) = (other_span, None);
            std::mem::swap(&mut way, &mut other_way);
        }
        let mut steps = Vec::new();
        let both = [first, second].into_iter().flatten();
        let wanted: Vec<_> = both.clone().filter_map(|var| self.wish_of(var)).collect();
        let mut names = wanted.clone();
        names.dedup();
        steps.push(match names.as_slice() {
            [one] => format!("take `{one}` out of `packages`"),
            names => format!(
                "take {} out of `packages`",
                names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or ")
            ),
        });
        let other_version = |var: &Var| self.universe.index.candidates(self.universe.record(*var).package).len() > 1;
        if let Some(var) = both.clone().find(other_version) {
            let name = self.universe.record(var).package;
            steps.push(format!("ask for another version of {name} (`{name} (= version)`, `{name}/suite`)"));
        }
        let brought = both.filter(|var| self.ways.get(var).is_some_and(|way| way.chain.len() > 1));
        if let Some(name) = brought.map(|var| self.universe.record(var).package).next() {
            steps.push(format!(
                ", if the tier can do without {name}: omit = [{{ package = \"{name}\", reason = \"...\" }}]"
            ));
        }
        ResolveError::Conflict {
            package,
            other,
            field,
            relation: Box::new(relation.clone()),
            way,
            other_way,
            help: steps.join("; or ").replace("; or , ", "; or, "),
            span: span.unwrap_or_default(),
            other_span: other_span.map(Into::into),
        }
    }

    fn span(&self, asked: usize) -> Span {
        let wish = self.asked.get(asked).and_then(|asked| self.universe.question.wishes.get(asked.wish));
        wish.map(|wish| wish.span.clone()).unwrap_or_default()
    }

    fn span_of(&self, var: Var) -> Span {
        self.ways.get(&var).map(|way| self.span(way.asked)).unwrap_or_default()
    }

    fn wish_of(&self, var: Var) -> Option<String> {
        let asked = self.ways.get(&var)?.asked;
        Some(self.asked.get(asked)?.relation.to_string())
    }

    /// Package names from the wish to this one.
    fn chain(&self, var: Var) -> Vec<Box<str>> {
        let chain = self.ways.get(&var).map(|way| way.chain.as_slice()).unwrap_or_default();
        chain.iter().map(|var| self.universe.record(*var).package.into()).collect()
    }

    fn whence(&self, var: Var) -> String {
        match self.chain(var).as_slice() {
            [_] | [] => "wished for by this tier".to_owned(),
            chain => format!("through {}", chain.join(" -> ")),
        }
    }

    fn why(&self, relation: &Relation) -> String {
        let reasons: Vec<_> = relation.0.iter().map(|alternative| self.why_not(alternative)).collect();
        reasons.join("; ")
    }

    fn why_not(&self, alternative: &Alternative) -> String {
        let name = &alternative.name;
        let (index, present) = (self.universe.index, &self.universe.present);
        if present.is_foreign(alternative) {
            return format!("{name} is wanted for another architecture than {}", index.architecture());
        }
        if let Some(member) = present.named(name)
            && !alternative.takes_version(member.version)
        {
            return format!("{name} is {} here (from the parent chain)", member.version);
        }
        let candidates = index.candidates(name);
        let versions = candidates.iter().map(|candidate| {
            let record = &candidate.record;
            let in_suite = alternative.suite.as_ref().is_none_or(|suite| index.is_in(suite, candidate));
            // Version and suite fit: what follows the colon does not.
            let unfit = in_suite && alternative.takes_version(record.version);
            let unfit = if unfit { ", not Multi-Arch: allowed" } else { "" };
            format!("{} ({}{unfit})", record.version, candidate.from)
        });
        let versions: Vec<_> = versions.collect();
        if !versions.is_empty() {
            return format!("{name} is there only as {}", listed(&versions));
        }
        let providers = index.providers(name);
        let providers = providers.iter().map(|provider| match provider.version {
            Some(version) => format!("{} (as {version})", provider.candidate.record.package),
            None => format!("{} (in no version)", provider.candidate.record.package),
        });
        let providers: Vec<_> = providers.collect();
        if !providers.is_empty() {
            return format!("{name} is provided only by {}", listed(&providers));
        }
        format!("no package is called {name}, and none provides it")
    }

    fn is_unknown(&self, name: &str) -> bool {
        let index = self.universe.index;
        index.candidates(name).is_empty() && index.providers(name).is_empty()
    }

    fn unknown(&self, relation: &Relation) -> Vec<Box<str>> {
        let names = relation.0.iter().map(|alternative| alternative.name.clone());
        names.filter(|name| self.is_unknown(name)).collect()
    }

    /// The nearest name to the first one that nothing is called.
    fn near(&self, relation: &Relation) -> Option<String> {
        let unknown = relation.0.iter().find(|alternative| self.is_unknown(&alternative.name))?;
        // Distances are costly over a whole archive; a length too far off cannot be near.
        let length = unknown.name.len();
        let names = self.universe.index.names().filter(|name| name.len().abs_diff(length) <= name.len().max(3) / 3);
        nearest(&unknown.name, names).map(|name| format!("did you mean `{name}`?"))
    }
}

fn shown(member: &Member<'_>) -> String {
    format!("{} {}", member.name, member.version)
}

fn listed(items: &[String]) -> String {
    let shown = items.get(..MOST_LISTED.min(items.len())).unwrap_or_default().join(", ");
    match items.len().checked_sub(MOST_LISTED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
