//! From wishes to packages: each relation is met once, and no choice is taken back.

use std::collections::{BTreeSet, VecDeque};

use super::{
    Answer, Chosen, Dependencies, Preferences, Question, Reason, ResolveError, Unmet, Wish, conflicts,
    explain::Explain,
    set::{Member, Set, takes_provided},
};
use crate::{
    archive::{Candidate, Index, Package},
    debian::{Alternative, Relation, packages::Record, relation::parse_relations, version},
    ground::Span,
};

/// The most packages an answer has: more than Debian has ever had installed at once.
const MOST_PACKAGES: usize = 20_000;
/// The most errors that are gathered.
const MOST_ERRORS: usize = 50;

/// Answers a question. `index` is that of the question's architecture; `present` are the packages
/// of the parent chain: they count as installed and keep their version.
///
/// - Wishes come first, those that leave no choice before those with alternatives.
/// - A relation is met by what is there already; else, where it names an omitted package, it counts
///   as met; else by its first alternative that can be had: a real package (the held version, or
///   the best candidate that fits), or else a provider.
/// - Relations that leave no choice come before those with alternatives, each in the order in which
///   they were found, so that an alternative that is needed anyway is taken.
///
/// # Errors
/// All that were found, at most 50: wishes and dependencies that nothing meets, packages that
/// exclude each other, metadata that cannot be used.
pub fn resolve(
    question: &Question,
    index: &Index,
    present: &[Package],
    preferences: &Preferences,
) -> Result<Answer, Vec<ResolveError>> {
    let mut solver = Solver {
        question,
        index,
        preferences,
        set: Set::new(index, present),
        nodes: Vec::new(),
        answer: Answer::default(),
        errors: Vec::new(),
        complained: BTreeSet::new(),
        omitted: BTreeSet::new(),
    };
    solver.wishes();
    match question.dependencies {
        Dependencies::All | Dependencies::Linked => solver.dependencies(),
        Dependencies::None => solver.remark_unmet(),
    }
    if solver.errors.is_empty() {
        solver.errors = conflicts::find(
            &solver.set,
            |chosen| solver.explain().chain(chosen),
            |chosen| span(question, &solver.nodes, chosen),
        );
    }
    if !solver.errors.is_empty() {
        solver.errors.truncate(MOST_ERRORS);
        return Err(solver.errors);
    }
    let Solver { mut answer, omitted, .. } = solver;
    answer.idle_omissions = (0..question.omit.len()).filter(|at| !omitted.contains(at)).collect();
    // Wished-for packages first, in the manifest's order; the sort is stable.
    answer.packages.sort_by_key(|chosen| match chosen.reason {
        Reason::Wish(wish) => wish,
        Reason::Dependency { .. } | Reason::Linked { .. } => usize::MAX,
    });
    Ok(answer)
}

/// One package of the answer, beside `Answer::packages`.
pub(super) struct Node {
    pub name: Box<str>,
    /// The node that asked for it; `None`: a wish.
    pub by: Option<usize>,
    pub wish: usize,
}

fn span(question: &Question, nodes: &[Node], chosen: usize) -> Span {
    let wish = nodes.get(chosen).and_then(|node| question.wishes.get(node.wish));
    wish.map(|wish| wish.span.clone()).unwrap_or_default()
}

struct Solver<'a> {
    question: &'a Question,
    index: &'a Index,
    preferences: &'a Preferences,
    set: Set<'a>,
    nodes: Vec<Node>,
    answer: Answer,
    errors: Vec<ResolveError>,
    /// Relations that an error was reported for.
    complained: BTreeSet<String>,
    /// Indexes of omissions that omitted something.
    omitted: BTreeSet<usize>,
}

/// Whose relation it is, and how it came about.
#[derive(Clone, Copy)]
enum Asker {
    Wish(usize),
    Node(usize),
}

impl<'a> Solver<'a> {
    fn explain(&self) -> Explain<'_> {
        Explain { index: self.index, set: &self.set, nodes: &self.nodes }
    }

    fn wishes(&mut self) {
        let wishes = self.question.wishes.iter().enumerate();
        // A wish that counts for nothing on this architecture is no wish.
        let wishes = wishes.filter_map(|(at, wish)| Some((at, wish, wish.relation.on(self.index.architecture())?)));
        let (firm, open): (Vec<_>, Vec<_>) = wishes.partition(|(_, _, relation)| self.is_firm(relation));
        for (at, wish, relation) in firm.into_iter().chain(open) {
            self.wish(at, wish, &relation);
        }
    }

    fn wish(&mut self, at: usize, wish: &Wish, relation: &Relation) {
        if relation.0.iter().any(|alternative| self.set.meets_by_name(alternative)) {
            return;
        }
        for alternative in &relation.0 {
            // Who wishes for a real package wants that one, even where another provides its name.
            if let Some(candidate) = self.real(alternative) {
                return self.add(candidate, Asker::Wish(at), relation);
            }
            if self.set.meets(alternative) {
                return;
            }
            if let Some(candidate) = self.provider(alternative) {
                return self.add(candidate, Asker::Wish(at), relation);
            }
        }
        let error = self.explain().wish(wish, relation);
        self.errors.push(error);
    }

    /// Whether a relation leaves no choice: one alternative, and a real package of that name.
    fn is_firm(&self, relation: &Relation) -> bool {
        matches!(relation.0.as_slice(), [alternative] if self.real(alternative).is_some())
    }

    /// The candidate that an alternative names, unless the set has the package in another version.
    fn real(&self, alternative: &Alternative) -> Option<Candidate<'a>> {
        if self.set.named(&alternative.name).is_some() {
            return None;
        }
        let candidates = self.index.candidates(&alternative.name).into_iter();
        let fitting = candidates.filter(|candidate| {
            alternative.takes_version(candidate.record.version)
                && self.set.takes_architecture(alternative, Some(&candidate.record))
        });
        self.best(&alternative.name, fitting)
    }

    /// The held version of a package, or else the first.
    fn best(&self, name: &str, candidates: impl Iterator<Item = Candidate<'a>>) -> Option<Candidate<'a>> {
        let mut candidates = candidates.peekable();
        let first = candidates.peek().copied()?;
        let Some(held) = self.preferences.held.get(name) else { return Some(first) };
        let held = candidates.find(|candidate| version::compare(candidate.record.version, held.as_str()).is_eq());
        held.or(Some(first))
    }

    /// The first package that provides what an alternative names: in the version that would be
    /// chosen for the package itself, or else in any.
    fn provider(&mut self, alternative: &Alternative) -> Option<Candidate<'a>> {
        let mut fitting = self.index.providers(&alternative.name);
        fitting.retain(|provider| {
            let record = &provider.candidate.record;
            takes_provided(alternative, provider.version)
                && self.set.takes_architecture(alternative, Some(record))
                && self.set.named(record.package).is_none()
                && self.omission(record.package).is_none()
        });
        let preferred = fitting.iter().find(|provider| {
            let name = provider.candidate.record.package;
            self.best(name, self.index.candidates(name).into_iter()) == Some(provider.candidate)
        });
        preferred.or(fitting.first()).map(|provider| provider.candidate)
    }

    /// The omission of this package.
    fn omission(&self, name: &str) -> Option<usize> {
        self.question.omit.iter().position(|omission| omission.package.value == name)
    }

    /// Whether a relation names an omitted package, or is met by omitted providers alone; the
    /// omissions are marked as used.
    fn omits(&mut self, relation: &Relation) -> bool {
        let named: Vec<usize> = relation.0.iter().filter_map(|alternative| self.omission(&alternative.name)).collect();
        self.omitted.extend(&named);
        !named.is_empty()
    }

    fn omits_providers(&mut self, relation: &Relation) -> bool {
        let mut found = Vec::new();
        for alternative in &relation.0 {
            let providers = self.index.providers(&alternative.name).into_iter();
            let fitting = providers.filter(|provider| takes_provided(alternative, provider.version));
            found.extend(fitting.filter_map(|provider| self.omission(provider.candidate.record.package)));
        }
        self.omitted.extend(&found);
        !found.is_empty()
    }

    fn add(&mut self, candidate: Candidate<'a>, asker: Asker, relation: &Relation) {
        let (by, wish, reason) = match asker {
            Asker::Wish(wish) => (None, wish, Reason::Wish(wish)),
            Asker::Node(node) => {
                let (by, wish) = self.nodes.get(node).map_or(("".into(), 0), |node| (node.name.clone(), node.wish));
                (Some(node), wish, Reason::Dependency { by, relation: relation.clone() })
            }
        };
        let record = candidate.record;
        let chosen = self.nodes.len();
        self.nodes.push(Node { name: record.package.into(), by, wish });
        self.set.add(Member {
            name: record.package,
            version: record.version,
            record: Some(record),
            chosen: Some(chosen),
        });
        match candidate.package() {
            Ok(package) => self.answer.packages.push(Chosen { package, reason }),
            Err(error) => {
                let span = span(self.question, &self.nodes, chosen);
                self.errors.push(ResolveError::Index { source: Box::new(error), span });
            }
        }
    }

    /// `Pre-Depends` and `Depends` of a node, as far as they count on this architecture.
    fn relations(&mut self, node: usize) -> Vec<Relation> {
        let chosen = self.set.members().iter().rev().find(|member| member.chosen == Some(node));
        let Some(record) = chosen.and_then(|member| member.record) else { return Vec::new() };
        let mut relations = Vec::new();
        for (field, text) in depends(&record) {
            match parse_relations(text) {
                Ok(list) => relations.extend(list.iter().filter_map(|relation| relation.on(self.index.architecture()))),
                Err(source) => {
                    let package = format!("{} {}", record.package, record.version);
                    let span = span(self.question, &self.nodes, node);
                    self.errors.push(ResolveError::Field { package, field, source, span });
                }
            }
        }
        relations
    }

    fn dependencies(&mut self) {
        let (mut firm, mut open) = (VecDeque::new(), VecDeque::new());
        let mut next = 0;
        loop {
            while next < self.nodes.len() {
                for relation in self.relations(next) {
                    let queue = if self.is_firm(&relation) { &mut firm } else { &mut open };
                    queue.push_back((next, relation));
                }
                next += 1;
            }
            let Some((node, relation)) = firm.pop_front().or_else(|| open.pop_front()) else { return };
            self.dependency(node, &relation);
            if self.nodes.len() > MOST_PACKAGES {
                let span = span(self.question, &self.nodes, node);
                return self.errors.push(ResolveError::TooMany { limit: MOST_PACKAGES, span });
            }
            if self.errors.len() >= MOST_ERRORS {
                return;
            }
        }
    }

    fn dependency(&mut self, node: usize, relation: &Relation) {
        if relation.0.iter().any(|alternative| self.set.meets(alternative)) || self.omits(relation) {
            return;
        }
        for alternative in &relation.0 {
            if let Some(candidate) = self.real(alternative).or_else(|| self.provider(alternative)) {
                return self.add(candidate, Asker::Node(node), relation);
            }
        }
        if self.omits_providers(relation) || !self.complained.insert(relation.to_string()) {
            return;
        }
        let error = self.explain().dependency(node, relation, span(self.question, &self.nodes, node));
        self.errors.push(error);
    }

    /// With `dependencies = "none"`.
    fn remark_unmet(&mut self) {
        for node in 0..self.nodes.len() {
            for relation in self.relations(node) {
                if relation.0.iter().any(|alternative| self.set.meets(alternative))
                    || self.omits(&relation)
                    || self.omits_providers(&relation)
                {
                    continue;
                }
                let by = self.nodes.get(node).map_or("".into(), |node| node.name.clone());
                self.answer.unmet.push(Unmet { by, relation, wish: span(self.question, &self.nodes, node) });
            }
        }
    }
}

fn depends<'a>(record: &Record<'a>) -> [(&'static str, &'a str); 2] {
    [("Pre-Depends", record.pre_depends), ("Depends", record.depends)]
}
