//! In which order apt's cache meets names: stanza by stanza, and in each the package itself, then its
//! relations, field after field. Where providers of one name are equal in all else, apt takes the one
//! that it met last (docs/resolution.md).

use std::collections::HashMap;

/// The fields that name packages, in the order in which apt reads them.
const FIELDS: [&str; 10] = [
    "Package:",
    "Pre-Depends:",
    "Depends:",
    "Conflicts:",
    "Breaks:",
    "Recommends:",
    "Suggests:",
    "Replaces:",
    "Enhances:",
    "Provides:",
];

/// The wanted names that a Packages text mentions, in the order in which it does so first: stanza,
/// field, place. Names go by what `hash` gives; `wanted` is sorted.
pub(super) fn in_order(text: &str, wanted: &[u32], hash: impl Fn(&str) -> u32) -> Vec<u32> {
    let mut first: HashMap<u32, (usize, usize, usize)> = HashMap::new();
    let (mut stanza, mut at) = (0, 0);
    for line in text.split('\n') {
        let field = FIELDS.iter().position(|field| line.starts_with(field));
        if line.is_empty() {
            stanza += 1;
        }
        for (place, name) in field.map(|field| names(line, FIELDS[field].len())).into_iter().flatten() {
            let hash = hash(name);
            if wanted.binary_search(&hash).is_ok() {
                let here = (stanza, field.unwrap_or_default(), at + place);
                first.entry(hash).and_modify(|before| *before = here.min(*before)).or_insert(here);
            }
        }
        at += line.len() + 1;
    }
    let mut found: Vec<_> = first.into_iter().collect();
    found.sort_by_key(|(_, place)| *place);
    found.into_iter().map(|(hash, _)| hash).collect()
}

/// The words of a line from a byte on that could be names, and where they stand.
fn names(line: &str, from: usize) -> impl Iterator<Item = (usize, &str)> {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_' | b'/');
    let bytes = line.as_bytes();
    let mut at = from;
    std::iter::from_fn(move || {
        let start = at + bytes.get(at..)?.iter().position(|byte| inside(*byte))?;
        let rest = bytes.get(start..)?;
        at = start + rest.iter().position(|byte| !inside(*byte)).unwrap_or(rest.len());
        Some((start, line.get(start..at)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_stanza_then_field_then_place() {
        let text = "Package: one\nRecommends: five | four:any (>= 1), fives\nDepends: three\n\n\
                    Package: two\nDescription: zero\nProvides: six (= 2)\nDepends: one, seven/x\n";
        let names = ["zero", "one", "two", "three", "four", "five", "six", "seven"];
        let number = |name: &str| names.iter().position(|other| *other == name).map_or(99, |at| at as u32);
        let wanted: Vec<u32> = (0..8).collect();
        assert_eq!(in_order(text, &wanted, number), [1, 3, 5, 4, 2, 6]);
        assert_eq!(in_order(text, &[4], number), [4]);
    }
}
