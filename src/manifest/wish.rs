//! What is wrong with a package wish that Debian's syntax allows: it could never be met, or would
//! silently not count.

use crate::{
    debian::{Architecture, Relation, relation::is_package_name},
    ground::{Span, nearest},
};

/// What is wrong with one part of a wish.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Which bytes of the wish.
    pub at: Span,
    pub message: String,
    pub label: &'static str,
    pub help: String,
}

/// Whether a package can be called so (Policy 5.6.1). dpkg lets capitals through; no archive of its
/// format has them.
pub(super) fn is_name(text: &str) -> bool {
    is_package_name(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// All that is wrong with the relation that `text` was parsed to.
pub(super) fn faults(text: &str, relation: &Relation) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut start = 0;
    // No part of an alternative can hold a `|`: the pieces are the alternatives, in their order.
    for (piece, alternative) in text.split('|').zip(&relation.0) {
        let end = start + piece.len();
        let name = start + (piece.len() - piece.trim_start().len());
        if !is_name(&alternative.name) {
            faults.push(Fault {
                at: name..name + alternative.name.len(),
                message: format!("no package is called {:?}", alternative.name),
                label: "capital letters",
                help: format!("names of packages are in small letters: `{}`", alternative.name.to_ascii_lowercase()),
            });
        }
        let after = name + alternative.name.len();
        if let Some(qualifier) = alternative.qualifier.as_deref().filter(|word| !is_qualifier(word)) {
            let at = after + 1..after + 1 + qualifier.len();
            let words = ["any", "native", "all"].into_iter().chain(Architecture::known().map(Architecture::name));
            faults.push(unknown(at, qualifier, words));
        }
        let list = text.get(after..end).and_then(|rest| rest.find('[')).map_or(after, |at| after + at);
        let mut from = list;
        for written in &alternative.architectures {
            let word = written.trim_start_matches('!');
            let found = text.get(from..end).and_then(|rest| rest.find(word)).map_or(from, |at| from + at);
            from = found + word.len();
            if !is_listable(word) {
                faults.push(unknown(found..from, word, Architecture::known().map(Architecture::name)));
            }
        }
        if !alternative.profiles.is_empty() {
            // Versions are compared by `<` as well, in parentheses before.
            let from = text.get(after..end).and_then(|rest| rest.find(')')).map_or(after, |at| after + at);
            let at = text.get(from..end).and_then(|rest| rest.find('<')).map_or(from, |at| from + at);
            faults.push(Fault {
                at: at..start + piece.trim_end().len(),
                message: "build profiles mean nothing in a tier".into(),
                label: "a build profile",
                help: "they belong to building source packages; take it out".into(),
            });
        }
        start = end + 1;
    }
    faults
}

fn is_qualifier(word: &str) -> bool {
    matches!(word, "any" | "native" | "all") || word.parse::<Architecture>().is_ok()
}

/// `[arm46]` would silently keep the package out everywhere.
fn is_listable(word: &str) -> bool {
    let wildcard = word.split('-').any(|part| part == "any");
    wildcard || word.strip_prefix("linux-").unwrap_or(word).parse::<Architecture>().is_ok()
}

fn unknown<'a>(at: Span, word: &str, known: impl Iterator<Item = &'a str>) -> Fault {
    let help = match nearest(word, known) {
        Some(like) => format!("the architecture is called `{like}`"),
        None => "the names are Debian's, such as amd64, arm64, armhf".into(),
    };
    Fault { at, message: format!("no architecture is called {word:?}"), label: "unknown architecture", help }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::relation::parse_relation;

    #[test]
    fn places_of_faults() {
        for (text, expected) in [
            ("libc6 (>= 2.36) [amd64 !i386] | x:any", None),
            ("libc6 [amd64 linux-arm64 any-i386 any] | x:all | y:native | z:armhf", None),
            ("LibC6", Some("LibC6")),
            ("a | (b", None),
            (" ok | Bad (<< 2)", Some("Bad")),
            ("libc6:amd46", Some("amd46")),
            ("amd46 (= 1) [amd46]", Some("amd46]")),
            ("a [amd64 amd6]", Some("amd6]")),
            ("a (<< 2) <!nocheck> <x y> | b", Some("<!nocheck> <x y>")),
            ("a <!nocheck>", Some("<!nocheck>")),
        ] {
            let Ok(relation) = parse_relation(text) else { continue };
            let faults = faults(text, &relation);
            assert_eq!(faults.len(), usize::from(expected.is_some()), "{text}: {faults:?}");
            if let Some(expected) = expected {
                let marked = expected.trim_end_matches(']');
                assert_eq!(&text[faults[0].at.clone()], marked, "{text}");
                assert_eq!(faults[0].at.start, text.rfind(expected).unwrap(), "{text}");
            }
        }
        assert!(is_name("libstdc++6") && !is_name("Libc6") && !is_name(""));
    }
}
