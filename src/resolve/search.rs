//! The search: what must be true is worked out in full (`sat`), and what is left to choose is chosen
//! in apt's order. docs/resolution.md says what that order is and how close it comes.

use std::collections::BTreeSet;

use super::{
    Dependencies,
    sat::{ClauseId, Exhausted, Lit, Sat, Step, Var, minimal},
    universe::{Choices, Universe},
};
use crate::debian::Relation;

/// The most literals, clauses and stanzas that are looked at for one tier: about a second of work, at most
/// some 200 MB. The slowest of 1,000 random wishes takes 70 ms.
pub(super) const MOST_STEPS: usize = 20_000_000;
/// The most packages an answer has: more than Debian has ever had installed at once.
pub(super) const MOST_PACKAGES: usize = 20_000;
/// Contradictions of more clauses than this are explained as they are.
const LARGEST_CORE: usize = 400;
/// What may be spent on each clause of a contradiction, to see whether it is needed.
const CORE_STEPS: usize = 50_000;

/// Something that must hold, and what it comes from. Order: that of preference in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    /// The wish of this number.
    Wish(usize),
    /// The relation `at` of `by`.
    Needs { by: Var, at: usize },
    /// A package that cannot be used.
    Unusable(Var),
    /// `by`'s exclusion `at` names another package.
    Excludes { by: Var, at: usize, other: Var },
    /// `by`'s exclusion `at` names a package of the parent chain.
    ExcludesPresent { by: Var, at: usize, member: usize },
    /// A package of the parent chain excludes it.
    ExcludedByPresent { member: usize, at: usize, other: Var },
    /// Two versions of one package.
    Versions(Var, Var),
}

/// A wish that counts on this architecture.
pub(super) struct Asked {
    /// Index into `Question::wishes`.
    pub wish: usize,
    pub relation: Relation,
    pub choices: Choices,
    pub firm: bool,
}

/// Why a package was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Index into the asked ones.
    Wish(usize),
    /// For the relation `at` of `by`.
    Need { by: Var, at: usize },
}

/// How a search ended.
pub(super) enum Outcome {
    /// The packages, in the order in which they were chosen.
    Found(Vec<(Var, Cause)>),
    /// These contradict each other.
    Contradiction(Vec<(Fact, Vec<Lit>)>),
    /// The bound was reached.
    Exhausted,
    /// More packages than any root filesystem has.
    TooMany,
}

/// Where the choosing stands. A node never changes, so taking a choice back is taking up an older one.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// Meet this wish, counted in the order of choosing.
    Wish(usize),
    /// Go through the package that meets this wish, counted in the order of the manifest.
    Through(usize),
    /// Meet this package's relation, and those after it.
    Need(Var, usize),
    End,
}

#[derive(Clone, Copy)]
struct Node {
    task: Task,
    next: usize,
}

/// What is restored when a decision is taken back.
#[derive(Clone, Copy)]
struct Mark {
    node: Node,
    nodes: usize,
    chosen: usize,
}

struct Search<'s, 'a> {
    universe: &'s mut Universe<'a>,
    asked: &'s [Asked],
    /// Indexes into `asked`: those that leave no choice of a package first.
    order: Vec<usize>,
    dropped: &'s BTreeSet<Fact>,
    sat: Sat,
    /// Of each given clause; `None`: a learned one.
    facts: Vec<Option<Fact>>,
    chosen: Vec<(Var, Cause)>,
    is_chosen: Vec<bool>,
    nodes: Vec<Node>,
    at: Node,
    /// One for each decision.
    marks: Vec<Mark>,
}

/// Searches for a set, as if the `dropped` facts did not hold.
pub(super) fn search(universe: &mut Universe<'_>, asked: &[Asked], dropped: &BTreeSet<Fact>) -> Outcome {
    let firm = (0..asked.len()).filter(|at| asked[*at].firm);
    let order: Vec<_> = firm.chain((0..asked.len()).filter(|at| !asked[*at].firm)).collect();
    let end = Node { task: Task::End, next: 0 };
    let mut search = Search {
        universe,
        asked,
        order,
        dropped,
        sat: Sat::new(MOST_STEPS),
        facts: Vec::new(),
        chosen: Vec::new(),
        is_chosen: Vec::new(),
        nodes: vec![end],
        at: Node { task: Task::Wish(0), next: 0 },
        marks: Vec::new(),
    };
    search.run().unwrap_or(Outcome::Exhausted)
}

impl Search<'_, '_> {
    fn run(&mut self) -> Result<Outcome, Exhausted> {
        self.begin()?;
        loop {
            match self.sat.propagate()? {
                Step::Reached(var) => self.reached(var)?,
                Step::Conflict(conflict) if self.sat.level() == 0 => return Ok(self.contradiction(conflict)),
                Step::Conflict(conflict) => {
                    let level = self.sat.learn(conflict)?;
                    self.facts.push(None);
                    if let Some(mark) = self.marks.get(level).copied() {
                        self.restore(mark);
                    }
                    self.marks.truncate(level);
                }
                Step::Done => match self.choose()? {
                    None => return Ok(Outcome::Found(std::mem::take(&mut self.chosen))),
                    Some(_) if self.chosen.len() >= MOST_PACKAGES => return Ok(Outcome::TooMany),
                    Some((var, cause, mark)) => self.take(var, cause, mark),
                },
            }
        }
    }

    fn add(&mut self, fact: Fact, lits: Vec<Lit>) -> Result<(), Exhausted> {
        if !self.dropped.contains(&fact) {
            self.sat.add(lits)?;
            self.facts.push(Some(fact));
        }
        Ok(())
    }

    /// What holds from the beginning.
    fn begin(&mut self) -> Result<(), Exhausted> {
        for member in 0..self.universe.present.members().len() {
            let record = self.universe.present.members().get(member).and_then(|member| member.record().copied());
            let Some(record) = record else { continue };
            // A field that cannot be read was an error when the parent was resolved.
            let exclusions = self.universe.exclusions(&record).unwrap_or_default();
            for (at, exclusion) in exclusions.iter().enumerate() {
                for other in exclusion.others.iter().copied() {
                    self.add(Fact::ExcludedByPresent { member, at, other }, vec![Lit::no(other)])?;
                }
            }
        }
        let asked = self.asked;
        for (at, asked) in asked.iter().enumerate().filter(|(_, asked)| !asked.choices.present) {
            let lits = asked.choices.vars.iter().map(|var| Lit::yes(*var)).collect();
            self.add(Fact::Wish(at), lits)?;
        }
        Ok(())
    }

    /// Adds what follows from a package that is in the set for the first time.
    fn reached(&mut self, var: Var) -> Result<(), Exhausted> {
        let known = self.universe.known(var);
        self.sat.grow(self.universe.len());
        if !known.unusable.is_empty() {
            self.add(Fact::Unusable(var), vec![Lit::no(var)])?;
        }
        let siblings = self.universe.named(known.record.package);
        for other in siblings.iter().copied().filter(|other| *other != var) {
            let (a, b) = (var.min(other), var.max(other));
            self.add(Fact::Versions(a, b), vec![Lit::no(var), Lit::no(other)])?;
        }
        for (at, exclusion) in known.exclusions.iter().enumerate() {
            for member in exclusion.present.iter().copied() {
                self.add(Fact::ExcludesPresent { by: var, at, member }, vec![Lit::no(var)])?;
            }
            for other in exclusion.others.iter().copied() {
                self.add(Fact::Excludes { by: var, at, other }, vec![Lit::no(var), Lit::no(other)])?;
            }
        }
        if self.universe.question.dependencies != Dependencies::None {
            for (at, need) in known.needs.iter().enumerate() {
                let choices = &need.choices;
                if !choices.present && !choices.omitted && !choices.vars.contains(&var) {
                    let lits = [Lit::no(var)].into_iter().chain(choices.vars.iter().map(|var| Lit::yes(*var)));
                    self.add(Fact::Needs { by: var, at }, lits.collect())?;
                }
            }
        }
        let work = self.universe.take_work();
        self.sat.spend(work)
    }

    /// The next package to take, as apt would come to it: all wishes first, then each of them with all
    /// it needs, in the order of its fields, down to the ground before the next relation. A relation
    /// that a chosen package meets already is passed over; that others are bound to come is not looked
    /// at. Of what meets a relation, the first that can still be had is taken.
    fn choose(&mut self) -> Result<Option<(Var, Cause, Mark)>, Exhausted> {
        loop {
            let node = self.at;
            let asked = self.asked;
            match node.task {
                Task::Wish(number) => {
                    let next = Node { task: Task::Wish(number + 1), ..node };
                    let Some(at) = self.order.get(number).copied() else {
                        self.at = Node { task: Task::Through(0), ..node };
                        continue;
                    };
                    if let Some(var) = self.open(&asked[at].choices, Fact::Wish(at)) {
                        self.at = next;
                        return Ok(Some((var, Cause::Wish(at), self.mark(node))));
                    }
                    self.at = next;
                }
                Task::Through(number) => {
                    let Some(asked) = asked.get(number) else {
                        self.at = Node { task: Task::End, ..node };
                        continue;
                    };
                    let next = Node { task: Task::Through(number + 1), ..node };
                    let var = asked.choices.vars.iter().copied().find(|var| self.has_chosen(*var));
                    self.at = match var {
                        Some(var) if !asked.choices.present => self.push(var, next),
                        _ => next,
                    };
                }
                Task::Need(var, at) => {
                    let known = self.universe.known(var);
                    self.sat.spend(1)?;
                    let Some(need) = known.needs.get(at) else {
                        self.at = self.nodes[node.next];
                        continue;
                    };
                    let next = Node { task: Task::Need(var, at + 1), ..node };
                    self.at = next;
                    if let Some(found) = self.open(&need.choices, Fact::Needs { by: var, at }) {
                        let mark = self.mark(node);
                        self.at = self.push(found, next);
                        return Ok(Some((found, Cause::Need { by: var, at }, mark)));
                    }
                }
                Task::End => return Ok(None),
            }
        }
    }

    /// A node for all that a package needs, before `next`.
    fn push(&mut self, var: Var, next: Node) -> Node {
        if self.universe.question.dependencies == Dependencies::None {
            return next;
        }
        self.nodes.push(next);
        Node { task: Task::Need(var, 0), next: self.nodes.len() - 1 }
    }

    fn mark(&self, node: Node) -> Mark {
        Mark { node, nodes: self.nodes.len(), chosen: self.chosen.len() }
    }

    fn has_chosen(&self, var: Var) -> bool {
        self.is_chosen.get(var).copied().unwrap_or(false)
    }

    /// What to take for a relation; `None` where it is met. (Also where it is dropped and nothing can
    /// meet it.)
    fn open(&self, choices: &Choices, fact: Fact) -> Option<Var> {
        let met = choices.present || choices.omitted || choices.vars.iter().any(|var| self.has_chosen(*var));
        if met || self.dropped.contains(&fact) {
            return None;
        }
        choices.vars.iter().copied().find(|var| self.sat.value(*var) != Some(false))
    }

    fn take(&mut self, var: Var, cause: Cause, mark: Mark) {
        if self.sat.value(var).is_none() {
            self.marks.push(mark);
            self.sat.decide(var);
        }
        if self.is_chosen.len() <= var {
            self.is_chosen.resize(self.universe.len().max(var + 1), false);
        }
        self.is_chosen[var] = true;
        self.chosen.push((var, cause));
    }

    fn restore(&mut self, mark: Mark) {
        for (var, _) in self.chosen.drain(mark.chosen..) {
            self.is_chosen[var] = false;
        }
        self.nodes.truncate(mark.nodes);
        self.at = mark.node;
    }

    fn contradiction(&self, conflict: ClauseId) -> Outcome {
        let mut core = self.sat.core(conflict);
        if core.len() <= LARGEST_CORE {
            minimal(&mut core, &self.sat, CORE_STEPS);
        }
        let with_fact = |id: &ClauseId| Some((self.facts.get(*id).copied().flatten()?, self.sat.lits(*id).to_vec()));
        Outcome::Contradiction(core.iter().filter_map(with_fact).collect())
    }
}
