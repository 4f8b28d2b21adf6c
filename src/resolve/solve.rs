//! From a question to an answer, or to all errors that can be told apart.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Answer, Chosen, Dependencies, Preferences, Question, Reason, ResolveError, Unmet,
    explain::Explain,
    sat::Var,
    search::{Asked, Cause, Fact, MOST_PACKAGES, MOST_STEPS, Outcome, search},
    universe::{Need, Universe},
};
use crate::{
    archive::{Index, Package},
    ground::Span,
};

/// The most errors that are gathered: each costs a search of its own.
const MOST_ERRORS: usize = 20;

/// Answers a question. `index` is that of the question's architecture; `present` are the packages
/// of the parent chain: they count as installed and keep their version.
///
/// The answer is complete: where some set of packages meets all wishes and their dependencies without a
/// conflict, one is found, within a bound on the work. Where several do, it is the one that apt
/// would choose (docs/resolution.md):
///
/// - Wishes come first, those that leave no choice before those with alternatives; then each with
///   all it needs, in the order of its fields.
/// - A relation is met by what is there already; else, where it names an omitted package, it counts
///   as met; else by its first alternative that can be had: a real package (the held version, or
///   the best candidate), then its providers; another version only where no best one fits.
///
/// # Errors
/// All that were found, at most 20: wishes and dependencies that nothing meets, packages that
/// exclude each other, metadata that cannot be used, a search beyond its bound.
pub fn resolve(
    question: &Question,
    index: &Index,
    present: &[Package],
    preferences: &Preferences,
) -> Result<Answer, Vec<ResolveError>> {
    let mut universe = Universe::new(question, index, present, preferences);
    let asked = asked(&mut universe);
    let (mut errors, mut dropped) = (Vec::new(), BTreeSet::new());
    for (at, wish) in asked.iter().enumerate() {
        if !wish.choices.present && wish.choices.vars.is_empty() {
            errors.push(Explain::new(&mut universe, &asked).wish(at));
            dropped.insert(Fact::Wish(at));
        }
    }
    loop {
        match search(&mut universe, &asked, &dropped) {
            Outcome::Found(chosen) if errors.is_empty() => return answer(&mut universe, &asked, &chosen),
            Outcome::Found(_) => {}
            Outcome::Contradiction(facts) => {
                let (error, fact) = Explain::new(&mut universe, &asked)
                    .contradiction(&facts)
                    .expect("a contradiction begins with a wish, and has an end");
                errors.push(error);
                // As if it were not so: perhaps there is more to tell.
                let before = dropped.len();
                dropped.extend(likewise(&mut universe, fact));
                if dropped.len() > before && errors.len() < MOST_ERRORS {
                    continue;
                }
            }
            Outcome::TooMany => errors.push(ResolveError::TooMany { limit: MOST_PACKAGES, span: first_span(question) }),
            Outcome::Exhausted if errors.is_empty() => {
                errors.push(ResolveError::TooHard { limit: MOST_STEPS, span: first_span(question) });
            }
            Outcome::Exhausted => {}
        }
        // In the order of the manifest; of one wish, as they were found.
        errors.sort_by_key(|error| error.span().start);
        return Err(errors);
    }
}

/// A fact and those that would only repeat it: often both of two packages exclude the other, and say
/// so twice.
fn likewise(universe: &mut Universe<'_>, fact: Fact) -> Vec<Fact> {
    let mut facts = vec![fact];
    match fact {
        Fact::Excludes { by, other, .. } => {
            for (by, other) in [(by, other), (other, by)] {
                let count = universe.known(by).exclusions.len();
                facts.extend((0..count).map(|at| Fact::Excludes { by, at, other }));
            }
        }
        Fact::ExcludesPresent { by: var, member, .. } | Fact::ExcludedByPresent { member, other: var, .. } => {
            let count = universe.known(var).exclusions.len();
            facts.extend((0..count).map(|at| Fact::ExcludesPresent { by: var, at, member }));
            let record = universe.present.members().get(member).and_then(|member| member.record().copied());
            let exclusions = record.and_then(|record| universe.exclusions(&record).ok()).unwrap_or_default();
            facts.extend((0..exclusions.len()).map(|at| Fact::ExcludedByPresent { member, at, other: var }));
        }
        _ => {}
    }
    facts
}

fn first_span(question: &Question) -> Span {
    question.wishes.first().map(|wish| wish.span.clone()).unwrap_or_default()
}

/// The wishes that count on this architecture; the others are none.
fn asked(universe: &mut Universe<'_>) -> Vec<Asked> {
    let wishes = universe.question.wishes.iter().enumerate();
    let on = wishes.filter_map(|(wish, text)| Some((wish, text.relation.on(universe.index.architecture())?)));
    let on: Vec<_> = on.collect();
    let asked = on.into_iter().map(|(wish, relation)| {
        let (choices, firm) = (universe.wish(&relation), universe.is_firm(&relation));
        Asked { wish, relation, choices, firm }
    });
    asked.collect()
}

fn answer(universe: &mut Universe<'_>, asked: &[Asked], chosen: &[(Var, Cause)]) -> Result<Answer, Vec<ResolveError>> {
    let mut answer = Answer::default();
    for (var, cause) in in_order(asked, chosen) {
        let reason = match cause {
            Cause::Wish(at) => Reason::Wish(asked.get(at).map_or(0, |asked| asked.wish)),
            Cause::Need { by, at } => {
                let relation = universe.known(by).needs.get(at).map(|need| need.relation.clone());
                let by = universe.record(by).package.into();
                Reason::Dependency { by, relation: relation.expect("it was gone through") }
            }
        };
        let package = universe.known(var).package.clone().expect("without, it is unusable");
        answer.packages.push(Chosen { package, reason });
    }
    remarks(universe, asked, chosen, &mut answer);
    Ok(answer)
}

/// Those wished for in the order of the wishes, then what each of the listed ones brought, so that a
/// package stands behind the one that asked for it.
fn in_order(asked: &[Asked], chosen: &[(Var, Cause)]) -> Vec<(Var, Cause)> {
    let mut wished: Vec<_> = chosen.iter().copied().filter(|(_, cause)| matches!(cause, Cause::Wish(_))).collect();
    wished.sort_by_key(|(_, cause)| match cause {
        Cause::Wish(at) => asked.get(*at).map_or(0, |asked| asked.wish),
        Cause::Need { .. } => usize::MAX,
    });
    let mut brought: BTreeMap<Var, Vec<(Var, Cause)>> = BTreeMap::new();
    for (var, cause) in chosen {
        if let Cause::Need { by, .. } = cause {
            brought.entry(*by).or_default().push((*var, *cause));
        }
    }
    let mut order = wished;
    let mut next = 0;
    while let Some((var, _)) = order.get(next).copied() {
        order.extend(brought.remove(&var).unwrap_or_default());
        next += 1;
    }
    order
}

/// What is unmet (with `dependencies = "none"`), and which omissions omitted nothing.
fn remarks(universe: &mut Universe<'_>, asked: &[Asked], chosen: &[(Var, Cause)], answer: &mut Answer) {
    let is_chosen: BTreeSet<Var> = chosen.iter().map(|(var, _)| *var).collect();
    let mut used = BTreeSet::new();
    for (var, cause) in in_order(asked, chosen) {
        let known = universe.known(var);
        let open = |need: &&Need| !need.choices.present && !need.choices.vars.iter().any(|var| is_chosen.contains(var));
        for need in known.needs.iter().filter(open) {
            let omissions = universe.omissions(&need.relation);
            if need.choices.omitted || !omissions.is_empty() && universe.question.dependencies == Dependencies::None {
                used.extend(omissions);
            } else if let (Dependencies::None, Cause::Wish(at)) = (universe.question.dependencies, cause) {
                let wish = asked.get(at).and_then(|asked| universe.question.wishes.get(asked.wish));
                answer.unmet.push(Unmet {
                    by: known.record.package.into(),
                    relation: need.relation.clone(),
                    wish: wish.map(|wish| wish.span.clone()).unwrap_or_default(),
                });
            }
        }
    }
    answer.idle_omissions = (0..universe.question.omit.len()).filter(|at| !used.contains(at)).collect();
}
