//! What the License field of a copyright file says: names joined by `and`, `or` and commas
//! (copyright-format 1.0, "License specification: Syntax").

use std::{collections::BTreeSet, fmt};

/// Licences and how they are joined, in a normal form: no `All` in an `All`, no `Any` in an `Any`, none of
/// fewer than two parts, each part once and in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expression<L> {
    /// One licence.
    One(L),
    /// All of them hold.
    All(BTreeSet<Expression<L>>),
    /// Any of them may be chosen.
    Any(BTreeSet<Expression<L>>),
}

impl<L: Ord + Clone> Expression<L> {
    /// All of these hold; `None` of none.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut set = BTreeSet::new();
        for part in parts {
            match part {
                Self::All(inner) => set.extend(inner),
                other => drop(set.insert(other)),
            }
        }
        Some(if set.len() > 1 { Self::All(set) } else { set.pop_first()? })
    }

    /// Any of these may be chosen; `None` of none.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut set = BTreeSet::new();
        for part in parts {
            match part {
                Self::Any(inner) => set.extend(inner),
                other => drop(set.insert(other)),
            }
        }
        Some(if set.len() > 1 { Self::Any(set) } else { set.pop_first()? })
    }

    /// The same with other leaves, in the normal form of those.
    pub fn map<M: Ord + Clone>(&self, leaf: &mut impl FnMut(&L) -> M) -> Expression<M> {
        let expect = "as many parts as before, so at least one";
        match self {
            Self::One(one) => Expression::One(leaf(one)),
            Self::All(parts) => {
                Expression::all(parts.iter().map(|part| part.map(leaf)).collect::<Vec<_>>()).expect(expect)
            }
            Self::Any(parts) => {
                Expression::any(parts.iter().map(|part| part.map(leaf)).collect::<Vec<_>>()).expect(expect)
            }
        }
    }

    /// All leaves, each once, in order.
    pub fn leaves(&self) -> BTreeSet<&L> {
        match self {
            Self::One(one) => [one].into(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::leaves).collect(),
        }
    }
}

impl<L: fmt::Display> fmt::Display for Expression<L> {
    /// As SPDX writes it (SPDX 2.3, annex D): `A AND (B OR C)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Self::One(one) => return one.fmt(f),
            Self::All(parts) => (parts, " AND "),
            Self::Any(parts) => (parts, " OR "),
        };
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                f.write_str(word)?;
            }
            match part {
                Self::One(one) => one.fmt(f)?,
                joined => write!(f, "({joined})")?,
            }
        }
        Ok(())
    }
}

/// A word, a comma, or a conjunction of a License field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    And,
    Or,
    Comma,
}

/// Reads the first line of a License field into the names that stand there: `and` binds tighter than
/// `or`, and both tighter than the same behind a comma; a comma alone is an `and` behind a comma. `None`
/// where it is no such expression.
pub fn parse(text: &str) -> Option<Expression<String>> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let (word, comma) = word.strip_suffix(',').map_or((word, false), |word| (word, true));
        if word.contains(['(', ')', ',']) {
            return None;
        }
        tokens.extend(match () {
            () if word.eq_ignore_ascii_case("and") => Some(Token::And),
            () if word.eq_ignore_ascii_case("or") => Some(Token::Or),
            () if word.is_empty() => None,
            () => Some(Token::Word(word)),
        });
        tokens.extend(comma.then_some(Token::Comma));
    }
    // Behind commas: groups, and the conjunction before each but the first.
    let (mut groups, mut conjunctions) = (Vec::new(), Vec::new());
    let mut rest = tokens.as_slice();
    while let Some(at) = rest.iter().position(|token| *token == Token::Comma) {
        let (group, behind) = rest.split_at(at);
        groups.push(tight(group)?);
        let behind = behind.split_first()?.1;
        let conjunction;
        (conjunction, rest) = match behind.split_first()? {
            (token @ (Token::And | Token::Or), rest) => (*token, rest),
            _ => (Token::And, behind),
        };
        conjunctions.push(conjunction);
    }
    groups.push(tight(rest)?);
    join(groups, &conjunctions)
}

/// Names between conjunctions without commas.
fn tight(tokens: &[Token<'_>]) -> Option<Expression<String>> {
    let (mut names, mut conjunctions, mut words) = (Vec::new(), Vec::new(), Vec::new());
    for token in tokens {
        match token {
            Token::Word(word) => words.push(*word),
            other => {
                names.push(name(&std::mem::take(&mut words))?);
                conjunctions.push(*other);
            }
        }
    }
    names.push(name(&words)?);
    join(names, &conjunctions)
}

/// One name, `GPL-2+` or `GPL-2+ with Autoconf exception`.
fn name(words: &[&str]) -> Option<Expression<String>> {
    match words {
        [_] => {}
        [_, with, _, ..] if with.eq_ignore_ascii_case("with") => {}
        _ => return None,
    }
    let mut words = words.to_vec();
    if let Some(with) = words.get_mut(1) {
        *with = "with";
    }
    Some(Expression::One(words.join(" ")))
}

/// Joins with `and` before `or`.
fn join(parts: Vec<Expression<String>>, conjunctions: &[Token<'_>]) -> Option<Expression<String>> {
    let mut parts = parts.into_iter();
    let mut alternatives = vec![vec![parts.next()?]];
    for (part, conjunction) in parts.zip(conjunctions) {
        match (conjunction, alternatives.last_mut()) {
            (Token::Or, _) | (_, None) => alternatives.push(vec![part]),
            (_, Some(last)) => last.push(part),
        }
    }
    Expression::any(alternatives.into_iter().filter_map(Expression::all))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conjunctions_and_commas() {
        for (text, expected) in [
            ("GPL-2+", Some("GPL-2+")),
            ("A or B and C", Some("A OR (B AND C)")),
            ("A or B, and C", Some("C AND (A OR B)")),
            ("A and B, or C", Some("C OR (A AND B)")),
            ("GPL-2+ with X exception, A and B", Some("A AND B AND GPL-2+ with X exception")),
            ("A OR A or A", Some("A")),
            ("A and B and A", Some("A AND B")),
            ("A  WITH  font   exception", Some("A with font exception")),
            ("A, B, C", Some("A AND B AND C")),
            ("", None),
            ("A or", None),
            ("or A", None),
            ("A B", None),
            ("A,", None),
            ("(A or B) and C", None),
            ("A with", None),
        ] {
            assert_eq!(parse(text).map(|found| found.to_string()).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_the_normal_form_is_one(text in "((A|B|C|or|and|with|,|x exception|\\(|é)[ ,]{0,2}){0,12}") {
            if let Some(found) = parse(&text) {
                let again = found.map(&mut Clone::clone);
                prop_assert_eq!(&again, &found);
                prop_assert_eq!(Expression::all([found.clone(), found.clone()]), Some(found.clone()));
                prop_assert_eq!(Expression::any([found.clone(), found.clone()]), Some(found));
            }
        }
    }
}
