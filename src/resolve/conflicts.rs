//! Packages that exclude each other (`Conflicts` and `Breaks`, Policy 7.3 and 7.4).

use std::collections::BTreeSet;

use super::{
    ResolveError,
    set::{Member, Set},
};
use crate::{debian::relation::parse_relations, ground::Span};

/// Looks through the whole set; pairs of the parent chain alone were judged with the parent. A
/// package never excludes itself, whatever it provides.
pub(super) fn find(
    set: &Set<'_>,
    chain: impl Fn(usize) -> Vec<Box<str>>,
    span: impl Fn(usize) -> Span,
) -> Vec<ResolveError> {
    let mut errors = Vec::new();
    // Often both say so: one error is enough.
    let mut pairs = BTreeSet::new();
    let shown = |member: &Member<'_>| format!("{} {}", member.name, member.version);
    for (at, member) in set.members().iter().enumerate() {
        let Some(record) = &member.record else { continue };
        for (field, text) in [("Conflicts", record.conflicts), ("Breaks", record.breaks)] {
            let relations = match parse_relations(text) {
                Ok(relations) => relations,
                Err(source) => {
                    let span = member.chosen.map(&span).unwrap_or_default();
                    errors.push(ResolveError::Field { package: shown(member), field, source, span });
                    continue;
                }
            };
            for relation in relations {
                // `x:i386` excludes nothing here: no package of another architecture is in a set.
                let native = relation.0.iter().filter(|alternative| !set.is_foreign(alternative));
                let named = native.flat_map(|alternative| set.matching(alternative)).find(|found| *found != at);
                let Some(number) = named.filter(|other| !pairs.contains(&(*other, at))) else { continue };
                let Some(other) = set.members().get(number) else { continue };
                let Some(brought) = member.chosen.or(other.chosen) else { continue };
                let ways: Vec<_> = [member, other].into_iter().filter_map(|member| member.chosen).map(&chain).collect();
                let ways: Vec<_> = ways.iter().map(|chain| chain.join(" -> ")).collect();
                pairs.insert((at, number));
                errors.push(ResolveError::Conflict {
                    package: shown(member),
                    other: shown(other),
                    field,
                    relation: Box::new(relation),
                    help: format!(
                        "leave one of them out, or name another alternative in `packages` ({})",
                        ways.join("; ")
                    ),
                    span: span(brought),
                });
            }
        }
    }
    errors
}
