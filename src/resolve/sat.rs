//! Clauses over variables that come into being one by one: watched literals, conflict analysis,
//! learned clauses. Knows nothing of packages, and makes no decision of its own.

use std::collections::BTreeSet;

/// A variable, counted from 0.
pub(super) type Var = usize;
/// A clause, counted from 0.
pub(super) type ClauseId = usize;

/// A variable, or its negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lit(usize);

impl Lit {
    pub(super) fn yes(var: Var) -> Self {
        Self(var << 1)
    }

    pub(super) fn no(var: Var) -> Self {
        Self(var << 1 | 1)
    }

    pub(super) fn var(self) -> Var {
        self.0 >> 1
    }

    pub(super) fn is_yes(self) -> bool {
        self.0 & 1 == 0
    }

    fn flipped(self) -> Self {
        Self(self.0 ^ 1)
    }
}

/// Whence a clause is.
enum Origin {
    Given,
    /// Follows from these.
    Learned(Vec<ClauseId>),
}

struct Clause {
    lits: Vec<Lit>,
    origin: Origin,
}

/// What [`Sat::propagate`] came to.
pub(super) enum Step {
    /// Every literal of this clause is false.
    Conflict(ClauseId),
    /// This variable is true for the first time: its clauses may be added now.
    Reached(Var),
    /// Nothing more follows.
    Done,
}

/// More work than the bound allows.
#[derive(Debug)]
pub(super) struct Exhausted;

#[derive(Default)]
pub(super) struct Sat {
    clauses: Vec<Clause>,
    /// Of each variable.
    values: Vec<Option<bool>>,
    levels: Vec<usize>,
    reasons: Vec<Option<ClauseId>>,
    reached: Vec<bool>,
    /// For each literal, the clauses that must be looked at when it becomes false.
    watches: Vec<Vec<ClauseId>>,
    trail: Vec<Lit>,
    /// How long the trail was before each decision.
    decisions: Vec<usize>,
    /// The first literal of the trail that was not propagated.
    head: usize,
    conflict: Option<ClauseId>,
    /// Literals and clauses that were looked at.
    steps: usize,
    limit: usize,
}

impl Sat {
    /// With a bound on the literals and clauses that are looked at, which bounds memory as well.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Makes room for variables up to this number.
    pub(super) fn grow(&mut self, count: usize) {
        if count > self.values.len() {
            self.values.resize(count, None);
            self.levels.resize(count, 0);
            self.reasons.resize(count, None);
            self.reached.resize(count, false);
            self.watches.resize(count * 2, Vec::new());
        }
    }

    pub(super) fn value(&self, var: Var) -> Option<bool> {
        self.values.get(var).copied().flatten()
    }

    fn is(&self, lit: Lit) -> Option<bool> {
        self.value(lit.var()).map(|value| value == lit.is_yes())
    }

    /// How many decisions stand.
    pub(super) fn level(&self) -> usize {
        self.decisions.len()
    }

    /// Counts work that was done elsewhere.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Exhausted> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > self.limit { Err(Exhausted) } else { Ok(()) }
    }

    /// Adds a clause; whatever is decided already, it counts from now on.
    pub(super) fn add(&mut self, mut lits: Vec<Lit>) -> Result<ClauseId, Exhausted> {
        self.spend(lits.len() + 1)?;
        self.grow(lits.iter().map(|lit| lit.var() + 1).max().unwrap_or(0));
        // The two best to watch come first: what may still be true, or became false last.
        for front in 0..lits.len().min(2) {
            let rank = |lit: &Lit| match self.is(*lit) {
                Some(false) => self.levels[lit.var()],
                None => usize::MAX - 1,
                Some(true) => usize::MAX,
            };
            let rest = lits[front..].iter().enumerate();
            // The first of the best: the order of candidates is kept as far as can be.
            let best = rest.max_by(|(m, a), (n, b)| rank(a).cmp(&rank(b)).then(n.cmp(m))).map_or(0, |(at, _)| at);
            lits.swap(front, front + best);
        }
        let id = self.clauses.len();
        // A clause may be false as it comes, while another conflict is looked at: even one of a single
        // literal is watched, so that it is not forgotten.
        for lit in lits.iter().take(2) {
            self.watches[lit.0].push(id);
        }
        let first = lits.first().copied();
        let second = lits.get(1).map(|lit| self.is(*lit));
        self.clauses.push(Clause { lits, origin: Origin::Given });
        match first.map(|lit| self.is(lit)) {
            None | Some(Some(false)) => self.conflict = self.conflict.or(Some(id)),
            Some(None) if matches!(second, None | Some(Some(false))) => {
                first.into_iter().for_each(|lit| self.assign(lit, Some(id)));
            }
            Some(_) => {}
        }
        Ok(id)
    }

    fn assign(&mut self, lit: Lit, reason: Option<ClauseId>) {
        let var = lit.var();
        self.values[var] = Some(lit.is_yes());
        self.levels[var] = self.decisions.len();
        self.reasons[var] = reason;
        self.trail.push(lit);
    }

    /// Decides that a variable without a value is true.
    pub(super) fn decide(&mut self, var: Var) {
        self.decisions.push(self.trail.len());
        self.assign(Lit::yes(var), None);
    }

    pub(super) fn propagate(&mut self) -> Result<Step, Exhausted> {
        loop {
            if let Some(conflict) = self.conflict.take() {
                return Ok(Step::Conflict(conflict));
            }
            let Some(lit) = self.trail.get(self.head).copied() else { return Ok(Step::Done) };
            if lit.is_yes() && !self.reached[lit.var()] {
                self.reached[lit.var()] = true;
                return Ok(Step::Reached(lit.var()));
            }
            self.head += 1;
            self.visit(lit.flipped())?;
        }
    }

    /// Looks at the clauses that watch a literal which became false.
    fn visit(&mut self, gone: Lit) -> Result<(), Exhausted> {
        let list = std::mem::take(&mut self.watches[gone.0]);
        let mut kept = Vec::with_capacity(list.len());
        self.spend(list.len())?;
        for (at, id) in list.iter().copied().enumerate() {
            let values = &self.values;
            let is = |lit: Lit| values[lit.var()].map(|value| value == lit.is_yes());
            let lits = &mut self.clauses[id].lits;
            if lits[0] == gone && lits.len() > 1 {
                lits.swap(0, 1);
            }
            let first = lits[0];
            if is(first) == Some(true) {
                kept.push(id);
                continue;
            }
            let other = lits.iter().skip(2).position(|lit| is(*lit) != Some(false));
            self.steps = self.steps.saturating_add(other.unwrap_or(lits.len()));
            if let Some(other) = other {
                lits.swap(1, other + 2);
                self.watches[lits[1].0].push(id);
                continue;
            }
            kept.push(id);
            if is(first) == Some(false) {
                self.conflict = Some(id);
                kept.extend(list.get(at + 1..).unwrap_or_default());
                break;
            }
            self.assign(first, Some(id));
        }
        self.watches[gone.0] = kept;
        Ok(())
    }

    /// Learns from a conflict above level 0: takes decisions back, down to the returned level, and adds
    /// a clause that keeps the conflict from coming again.
    pub(super) fn learn(&mut self, conflict: ClauseId) -> Result<usize, Exhausted> {
        let current = self.level();
        let mut seen = BTreeSet::new();
        let (mut lits, mut antecedents) = (Vec::new(), vec![conflict]);
        let (mut open, mut at, mut clause) = (0, self.trail.len(), conflict);
        let asserted = loop {
            for lit in &self.clauses[clause].lits {
                let level = self.levels[lit.var()];
                if level > 0 && self.is(*lit) == Some(false) && seen.insert(lit.var()) {
                    if level == current { open += 1 } else { lits.push(*lit) }
                }
            }
            // The last literal of this level that matters.
            let lit = loop {
                at -= 1;
                if seen.contains(&self.trail[at].var()) && self.levels[self.trail[at].var()] == current {
                    break self.trail[at];
                }
            };
            open -= 1;
            match self.reasons[lit.var()] {
                Some(reason) if open > 0 => {
                    antecedents.push(reason);
                    clause = reason;
                }
                _ => break lit.flipped(),
            }
        };
        self.spend(seen.len() + lits.len())?;
        let level = lits.iter().map(|lit| self.levels[lit.var()]).max().unwrap_or(0);
        self.back_to(level);
        lits.push(asserted);
        let id = self.add(lits)?;
        self.clauses[id].origin = Origin::Learned(antecedents);
        Ok(level)
    }

    fn back_to(&mut self, level: usize) {
        let Some(length) = self.decisions.get(level).copied() else { return };
        for lit in self.trail.drain(length..) {
            self.values[lit.var()] = None;
            self.reasons[lit.var()] = None;
        }
        self.decisions.truncate(level);
        self.head = self.head.min(length);
    }

    /// The clauses that were given and contradict each other, after a conflict at level 0: perhaps
    /// more than are needed. Sorted.
    pub(super) fn core(&self, conflict: ClauseId) -> Vec<ClauseId> {
        let (mut given, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![conflict]);
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            match &self.clauses[id].origin {
                Origin::Learned(antecedents) => open.extend(antecedents),
                Origin::Given => drop(given.insert(id)),
            }
            let fixed = self.clauses[id].lits.iter().filter(|lit| self.levels[lit.var()] == 0);
            open.extend(fixed.filter_map(|lit| self.reasons[lit.var()]));
        }
        given.into_iter().collect()
    }

    pub(super) fn lits(&self, clause: ClauseId) -> &[Lit] {
        &self.clauses[clause].lits
    }
}

/// Whether some assignment makes all clauses true.
pub(super) fn satisfiable(clauses: &[&[Lit]], limit: usize) -> Result<bool, Exhausted> {
    let mut sat = Sat::new(limit);
    for clause in clauses {
        sat.add(clause.to_vec())?;
    }
    loop {
        match sat.propagate()? {
            Step::Reached(_) => {}
            Step::Conflict(_) if sat.level() == 0 => return Ok(false),
            Step::Conflict(conflict) => drop(sat.learn(conflict)?),
            Step::Done => {
                let open = clauses.iter().copied().flatten().find(|lit| sat.is(**lit).is_none());
                let Some(open) = open else { return Ok(true) };
                sat.decisions.push(sat.trail.len());
                sat.assign(*open, None);
            }
        }
    }
}

/// Leaves out of contradicting clauses what the contradiction does not need, the last first.
pub(super) fn minimal(clauses: &mut Vec<ClauseId>, sat: &Sat, limit: usize) {
    for at in (0..clauses.len()).rev() {
        let others: Vec<&[Lit]> =
            clauses.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, id)| sat.lits(*id)).collect();
        // What cannot be told in time stays: the message is longer then, and still true.
        if let Ok(false) = satisfiable(&others, limit) {
            clauses.remove(at);
        }
    }
}
