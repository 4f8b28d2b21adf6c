//! What may be chosen: packages and their relations, read from the index when first asked for.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::{
    Preferences, Question,
    sat::Var,
    set::{Set, takes_architecture, takes_provided},
};
use crate::{
    archive::{Candidate, Index, IndexError, Package, Provider},
    debian::{Alternative, Relation, RelationError, packages::Record, relation::parse_relations, version},
};

/// All that a question can be answered from. Its variables are packages in one version.
pub(super) struct Universe<'a> {
    pub question: &'a Question,
    pub index: &'a Index,
    /// The parent chain.
    pub present: Set<'a>,
    preferences: &'a Preferences,
    /// Of each variable.
    packages: Vec<Candidate<'a>>,
    best: Vec<bool>,
    by_name: BTreeMap<Box<str>, Rc<[Var]>>,
    known: BTreeMap<Var, Rc<Known<'a>>>,
    /// Wishes for one package of a name that exists: they say which version is its best.
    wished: BTreeMap<&'a str, &'a Alternative>,
    choices: BTreeMap<String, Rc<Choices>>,
    provided: BTreeMap<Box<str>, Rc<[Provider<'a>]>>,
    mentions: RefCell<BTreeMap<&'a str, Mention>>,
    /// Stanzas looked at since the last [`Universe::take_work`].
    work: usize,
}

/// As [`Index::first_mention`] has it.
type Mention = (usize, u32);

/// What meets a relation.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// A package of the parent chain does.
    pub present: bool,
    /// Otherwise these packages do, the preferred one first.
    pub vars: Vec<Var>,
    /// It need not be met: it names an omitted package, or omitted packages alone provide it.
    pub omitted: bool,
}

/// A relation of a package, and what meets it.
pub(super) struct Need {
    pub relation: Relation,
    pub choices: Rc<Choices>,
}

/// A package that excludes another one.
#[derive(Clone)]
pub(super) struct Exclusion {
    /// `Conflicts` or `Breaks`.
    pub field: &'static str,
    pub relation: Relation,
    pub others: Vec<Var>,
    /// Numbers of members of the parent chain.
    pub present: Vec<usize>,
}

/// Why a package cannot be used at all.
pub(super) enum Unusable {
    Field { field: &'static str, source: RelationError },
    Index(IndexError),
}

/// The fields of a package, read.
pub(super) struct Known<'a> {
    /// `Pre-Depends`, then `Depends`, as far as they count on this architecture.
    pub needs: Vec<Need>,
    pub exclusions: Vec<Exclusion>,
    pub package: Option<Package>,
    pub unusable: Vec<Unusable>,
    pub record: Record<'a>,
}

impl<'a> Universe<'a> {
    pub(super) fn new(
        question: &'a Question,
        index: &'a Index,
        present: &'a [Package],
        preferences: &'a Preferences,
    ) -> Self {
        let mut universe = Self {
            question,
            index,
            present: Set::new(index, present),
            preferences,
            packages: Vec::new(),
            best: Vec::new(),
            by_name: BTreeMap::new(),
            known: BTreeMap::new(),
            wished: BTreeMap::new(),
            choices: BTreeMap::new(),
            provided: BTreeMap::new(),
            mentions: RefCell::default(),
            work: 0,
        };
        for wish in &question.wishes {
            let mut on = wish.relation.0.iter().filter(|alternative| alternative.applies_to(index.architecture()));
            if let (Some(alternative), None) = (on.next(), on.next()) {
                universe.wished.entry(&alternative.name).or_insert(alternative);
            }
        }
        universe
    }

    pub(super) fn record(&self, var: Var) -> &Record<'a> {
        &self.packages[var].record
    }

    /// `name version`.
    pub(super) fn shown(&self, var: Var) -> String {
        let record = self.record(var);
        format!("{} {}", record.package, record.version)
    }

    /// How many variables there are so far.
    pub(super) fn len(&self) -> usize {
        self.packages.len()
    }

    /// Stanzas looked at since the last call.
    pub(super) fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
    }

    /// The packages of a name, the best first: the one wished for, the held version, the index's first.
    pub(super) fn named(&mut self, name: &str) -> Rc<[Var]> {
        if let Some(vars) = self.by_name.get(name) {
            return vars.clone();
        }
        let mut candidates = self.index.candidates(name);
        self.work += candidates.len() + 1;
        let held = self.preferences.held.get(name);
        let is_held = |found: &Candidate<'_>| {
            held.is_some_and(|held| version::compare(found.record.version, held.as_str()).is_eq())
        };
        let wished = self.wished.get(name).copied();
        let is_wished = |found: &Candidate<'_>| wished.is_none_or(|wished| self.takes(wished, found));
        // Stable, and false comes first.
        candidates.sort_by_key(|found| (!is_wished(found), !is_held(found)));
        let first = self.packages.len();
        for (at, candidate) in candidates.into_iter().enumerate() {
            self.packages.push(candidate);
            self.best.push(at == 0);
        }
        let vars: Rc<[Var]> = (first..self.packages.len()).collect();
        self.by_name.insert(name.into(), vars.clone());
        vars
    }

    /// Whether a real package meets an alternative that has its name.
    fn takes(&self, alternative: &Alternative, candidate: &Candidate<'_>) -> bool {
        alternative.takes_version(candidate.record.version)
            && takes_architecture(self.index.architecture(), alternative, Some(&candidate.record))
            && self.is_of_suite(alternative, candidate)
    }

    fn is_of_suite(&self, alternative: &Alternative, candidate: &Candidate<'_>) -> bool {
        alternative.suite.as_ref().is_none_or(|suite| self.index.is_in(suite, candidate))
    }

    fn real(&mut self, alternative: &Alternative) -> Vec<Var> {
        if self.present.named(&alternative.name).is_some() {
            return Vec::new();
        }
        let vars = self.named(&alternative.name);
        vars.iter().copied().filter(|var| self.takes(alternative, &self.packages[*var])).collect()
    }

    /// Puts the provider first that apt would take. The index has them by the suite's priority, the
    /// `Priority` field, and the name; in the last, apt puts first what its cache met last. What was
    /// locked before comes before that. The order of those behind the first matters little, and texts
    /// are long to search: it stays.
    fn order(&self, found: &mut [Provider<'a>]) {
        found.sort_by_key(|provider| !provider.candidate.record.essential);
        let Some(first) = found.first().map(|provider| provider.candidate) else { return };
        let rank = |provider: &Provider<'_>| {
            let record = &provider.candidate.record;
            (record.essential, provider.candidate.priority) == (first.record.essential, first.priority)
                && record.priority == first.record.priority
        };
        let equal = found.iter().take_while(|provider| rank(provider)).count();
        let equal = found.get_mut(..equal).unwrap_or_default();
        if equal.iter().any(|other| other.candidate.record.package != first.record.package) {
            equal.sort_by_cached_key(|provider| {
                let name = provider.candidate.record.package;
                (!self.preferences.held.contains_key(name), Reverse(self.mention(name)))
            });
        }
    }

    fn mention(&self, name: &'a str) -> Mention {
        *self.mentions.borrow_mut().entry(name).or_insert_with(|| self.index.first_mention(name))
    }

    /// Packages that provide what an alternative names, and whether an omitted one does.
    fn providing(&mut self, alternative: &Alternative, omit: bool, order: bool) -> (Vec<Var>, bool) {
        let (index, architecture) = (self.index, self.index.architecture());
        let providers = match self.provided.get(&alternative.name) {
            Some(providers) => providers.clone(),
            None => {
                let providers: Rc<[_]> = index.providers(&alternative.name).into();
                self.provided.insert(alternative.name.clone(), providers.clone());
                providers
            }
        };
        self.work += providers.len();
        let mut found = providers.to_vec();
        found.retain(|provider| {
            takes_provided(alternative, provider.version)
                && takes_architecture(architecture, alternative, Some(&provider.candidate.record))
                && self.is_of_suite(alternative, &provider.candidate)
                && self.present.named(provider.candidate.record.package).is_none()
        });
        let before = found.len();
        if omit {
            found.retain(|provider| self.omission(provider.candidate.record.package).is_none());
        }
        let omitted = found.len() < before;
        if order {
            self.order(&mut found);
        }
        let mut vars = Vec::new();
        for provider in found {
            let wanted = provider.candidate.record;
            let same = |found: &Record<'_>| {
                version::compare(found.version, wanted.version).is_eq() && found.architecture == wanted.architecture
            };
            let named = self.named(wanted.package);
            vars.extend(named.iter().copied().find(|var| same(&self.packages[*var].record)));
        }
        (vars, omitted)
    }

    /// The omission of this package.
    pub(super) fn omission(&self, name: &str) -> Option<usize> {
        self.question.omit.iter().position(|omission| omission.package.value == name)
    }

    /// The omissions because of which a relation need not be met: of packages that it names, and of
    /// those that provide what it names.
    pub(super) fn omissions(&self, relation: &Relation) -> Vec<usize> {
        let mut found = Vec::new();
        for alternative in &relation.0 {
            found.extend(self.omission(&alternative.name));
        }
        if found.is_empty() {
            for alternative in &relation.0 {
                let providers = self.index.providers(&alternative.name).into_iter();
                let fitting = providers.filter(|provider| takes_provided(alternative, provider.version));
                found.extend(fitting.filter_map(|provider| self.omission(provider.candidate.record.package)));
            }
        }
        found
    }

    /// Puts packages in their best version before others; each once.
    fn ordered(&self, found: Vec<Var>) -> Vec<Var> {
        let mut seen = BTreeSet::new();
        let (mut best, other): (Vec<_>, Vec<_>) =
            found.into_iter().filter(|var| seen.insert(*var)).partition(|var| self.best[*var]);
        best.extend(other);
        best
    }

    /// What meets a wish. Who names a real package wants that one, even where another provides its name.
    pub(super) fn wish(&mut self, relation: &Relation) -> Choices {
        let (mut vars, mut present) = (Vec::new(), false);
        for alternative in &relation.0 {
            if self.present.meets_by_name(alternative, |candidate| self.is_of_suite(alternative, candidate)) {
                present = true;
            }
            let real = self.real(alternative);
            if real.is_empty() && self.present.named(&alternative.name).is_none() {
                present |= vars.is_empty() && self.present.meets(alternative);
                vars.extend(self.providing(alternative, false, vars.is_empty()).0);
            } else {
                vars.extend(real);
            }
        }
        // In the manifest's order, whatever versions it takes.
        let mut seen = BTreeSet::new();
        vars.retain(|var| seen.insert(*var));
        Choices { present, vars, omitted: false }
    }

    /// What meets a dependency.
    fn dependency(&mut self, relation: &Relation) -> Rc<Choices> {
        let text = relation.to_string();
        if let Some(choices) = self.choices.get(&text) {
            return choices.clone();
        }
        let mut choices = Choices {
            present: relation.0.iter().any(|alternative| self.present.meets(alternative)),
            vars: Vec::new(),
            omitted: relation.0.iter().any(|alternative| self.omission(&alternative.name).is_some()),
        };
        let mut omitted_providers = false;
        for alternative in &relation.0 {
            choices.vars.extend(self.real(alternative));
            let (providing, omitted) = self.providing(alternative, true, choices.vars.is_empty());
            choices.vars.extend(providing);
            omitted_providers |= omitted;
        }
        choices.vars = self.ordered(choices.vars);
        choices.omitted |= omitted_providers && choices.vars.is_empty();
        let choices = Rc::new(choices);
        self.choices.insert(text, choices.clone());
        choices
    }

    /// The fields of a package.
    pub(super) fn known(&mut self, var: Var) -> Rc<Known<'a>> {
        if let Some(known) = self.known.get(&var) {
            return known.clone();
        }
        let candidate = self.packages[var];
        let record = candidate.record;
        let (mut needs, mut unusable) = (Vec::new(), Vec::new());
        let package = candidate.package().map_err(|error| unusable.push(Unusable::Index(error))).ok();
        for (field, text) in [("Pre-Depends", record.pre_depends), ("Depends", record.depends)] {
            match parse_relations(text) {
                Ok(list) => {
                    for relation in list.iter().filter_map(|relation| relation.on(self.index.architecture())) {
                        let choices = self.dependency(&relation);
                        needs.push(Need { relation, choices });
                    }
                }
                Err(source) => unusable.push(Unusable::Field { field, source }),
            }
        }
        let exclusions = match self.exclusions(&record) {
            Ok(exclusions) => exclusions,
            Err(error) => {
                unusable.push(error);
                Vec::new()
            }
        };
        let known = Rc::new(Known { needs, exclusions, package, unusable, record });
        self.known.insert(var, known.clone());
        known
    }

    /// Which packages a package excludes (`Conflicts` and `Breaks`, Policy 7.3 and 7.4). It never
    /// excludes itself, whatever it provides; nor does `x:i386` exclude anything here.
    pub(super) fn exclusions(&mut self, record: &Record<'a>) -> Result<Vec<Exclusion>, Unusable> {
        let mut exclusions = Vec::new();
        for (field, text) in [("Conflicts", record.conflicts), ("Breaks", record.breaks)] {
            let list = parse_relations(text).map_err(|source| Unusable::Field { field, source })?;
            for relation in list {
                let (mut others, mut present) = (Vec::new(), Vec::new());
                for alternative in &relation.0 {
                    if self.present.is_foreign(alternative) {
                        continue;
                    }
                    // dpkg asks nothing of `:any` and `:native` here.
                    let alternative = &Alternative { qualifier: None, ..alternative.clone() };
                    others.extend(self.real(alternative));
                    others.extend(self.providing(alternative, false, false).0);
                    present.extend(self.present.matching(alternative));
                }
                others.sort_unstable();
                others.dedup();
                others.retain(|other| self.packages[*other].record.package != record.package);
                if !others.is_empty() || !present.is_empty() {
                    exclusions.push(Exclusion { field, relation, others, present });
                }
            }
        }
        Ok(exclusions)
    }

    /// Whether a relation leaves no choice: one alternative, and a real package of that name.
    pub(super) fn is_firm(&mut self, relation: &Relation) -> bool {
        matches!(relation.0.as_slice(), [alternative] if !self.real(alternative).is_empty())
    }
}
