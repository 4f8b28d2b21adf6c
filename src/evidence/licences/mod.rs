//! Which licences a package is under, from its copyright file: an SPDX expression of identifiers where the
//! file is machine-readable and uses known names, else references to texts that it holds.

pub mod copyright;
pub mod expression;
mod names;

use std::{collections::BTreeMap, fmt};

pub use self::expression::Expression;
use crate::ground::{Sha256, printable};

/// Bytes of a copyright file that are looked at. The largest of the shipped tiers' packages has 263,513
/// (openjdk-25-jre-headless).
pub const LARGEST: u64 = 4 << 20;
/// Bytes that a licence text has at most; more is cut, and the text says so.
const LONGEST_TEXT: usize = 512 << 10;
/// Bytes of a License field's first line that are read as an expression.
const LONGEST_NAME: usize = 1 << 10;
/// Licences that a file may name; of one with more, only the text is given.
const MOST_LICENCES: usize = 1000;
/// Characters of a name in an identifier of ours.
const SHOWN_NAME: usize = 40;

/// One licence of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Licence {
    /// An identifier of the SPDX licence list, with an exception where there is one.
    Listed(String),
    /// A text that the copyright file holds: the identifier of a [`Text`], which begins `LicenseRef-`.
    Text(String),
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(id) | Self::Text(id) => f.write_str(id),
        }
    }
}

/// A licence that the SPDX list does not have, or that a name alone does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What the copyright file calls it.
    pub name: String,
    /// What it says, with control characters escaped; at most half a MiB.
    pub text: String,
}

/// What a copyright file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licences {
    /// Whether it is machine-readable (copyright-format 1.0).
    pub machine_readable: bool,
    /// All licences that cover files of the source package.
    pub expression: Expression<Licence>,
    /// The texts that the expression refers to, by identifier. An identifier is made of name and text, so
    /// that equal ones have the same in every package and project.
    pub texts: BTreeMap<String, Text>,
}

/// Reads a copyright file: its first bytes, at most [`LARGEST`], and how many more it has. Any bytes give
/// an answer; bytes that are not UTF-8 are taken as U+FFFD.
pub fn read(bytes: &[u8], more: u64) -> Licences {
    let text = String::from_utf8_lossy(bytes);
    let parsed = if more == 0 { copyright::parse(&text) } else { None };
    let parsed = parsed.filter(|parsed| parsed.texts.len().max(parsed.named.len()) <= MOST_LICENCES);
    let mut texts = BTreeMap::new();
    let expression = parsed.and_then(|parsed| {
        let each = parsed.named.iter().map(|line| {
            let names = if line.len() > LONGEST_NAME { None } else { expression::parse(line) };
            let names = names.unwrap_or_else(|| Expression::One(line.clone()));
            names.map(&mut |name: &String| match names::spdx(name) {
                Some(id) => Licence::Listed(id),
                None => {
                    let by_name = |name: &str| parsed.texts.get(name).map(String::as_str);
                    // A text that stands with the whole line is of all its names.
                    let text = by_name(name).or_else(|| by_name(line)).unwrap_or_default();
                    Licence::Text(note(name, text, 0, &mut texts))
                }
            })
        });
        Expression::all(each.collect::<Vec<_>>())
    });
    match expression {
        Some(expression) => Licences { machine_readable: true, expression, texts },
        None => {
            texts.clear();
            let whole = note("copyright", &text, more, &mut texts);
            Licences { machine_readable: false, expression: Expression::One(Licence::Text(whole)), texts }
        }
    }
}

/// Keeps a text under its identifier, and gives that.
fn note(name: &str, text: &str, more: u64, texts: &mut BTreeMap<String, Text>) -> String {
    let digest = Sha256::of(format!("{name}\n{text}\n{more}").as_bytes()).to_string();
    let shown: String = name.chars().take(SHOWN_NAME).collect();
    let words = shown.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter(|word| !word.is_empty());
    let words: Vec<_> = words.chain([&digest[..12]]).collect();
    let id = format!("LicenseRef-{}", words.join("-"));
    texts.entry(id.clone()).or_insert_with(|| Text { name: shorten(name), text: clean(text, more) });
    id
}

fn shorten(name: &str) -> String {
    let mut short: String = printable(name.as_bytes()).chars().take(200).collect();
    if short.is_empty() {
        short.push_str("without a name");
    }
    short
}

/// A text that is safe to show and has no more than [`LONGEST_TEXT`] bytes.
fn clean(text: &str, more: u64) -> String {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (kept, cut) = text.split_at(end);
    let lines: Vec<_> =
        kept.lines().map(|line| printable(line.trim_end().replace('\t', "        ").as_bytes())).collect();
    let mut clean = lines.join("\n").trim_matches('\n').to_owned();
    match (cut.len() as u64).saturating_add(more) {
        0 if clean.is_empty() => clean.push_str("The copyright file has no text for this name."),
        0 => {}
        bytes => clean.push_str(&format!("\n[{bytes} more bytes of the copyright file are left out]")),
    }
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n";

    fn expression(body: &str) -> String {
        read(format!("{HEAD}{body}").as_bytes(), 0).expression.to_string()
    }

    #[test]
    fn expressions() {
        for (body, expected) in [
            ("Files: *\nLicense: Expat\n", "MIT"),
            (
                "Files: *\nLicense: GPL-1+ or Artistic\n\nFiles: x\nLicense: GPL-1+\n",
                "GPL-1.0-or-later AND (Artistic-1.0-Perl OR GPL-1.0-or-later)",
            ),
            ("Files: *\nLicense: MIT\n\nFiles: x\nLicense: Expat\n", "MIT"),
            ("License: ISC\n You may.\n", "ISC"),
            ("Files: *\nLicense: mine\n\nLicense: mine\n You may.\n", "LicenseRef-mine-c5d8cb6c7fd7"),
            ("Files: *\nLicense: mine or Expat\n You may.\n", "MIT OR LicenseRef-mine-c5d8cb6c7fd7"),
        ] {
            assert_eq!(expression(body), expected, "{body}");
        }
    }

    #[test]
    fn texts_are_kept_once_and_safe() {
        let body =
            "Files: *\nLicense: a/b \u{1b}[2J\n You\tmay.\x1b[2J\n .\n Always.\n\nFiles: y\nLicense: a/b \u{1b}[2J\n";
        let found = read(format!("{HEAD}{body}").as_bytes(), 0);
        let texts: Vec<_> = found.texts.values().map(|text| (text.name.as_str(), text.text.as_str())).collect();
        assert_eq!(texts, [("a/b \\u{1b}[2J", "You        may.\\u{1b}[2J\n\nAlways.")]);
        let Expression::One(Licence::Text(id)) = found.expression else { panic!("{:?}", found.expression) };
        assert!(id.starts_with("LicenseRef-a-b-2J-") && found.texts.contains_key(&id), "{id}");
    }

    #[test]
    fn what_is_not_machine_readable_is_one_text() {
        let found = read(b"You may.\n\xff\n", 0);
        assert!(!found.machine_readable);
        assert_eq!(found.texts.values().next().unwrap().text, "You may.\n\u{fffd}");
        let cut = read(&vec![b'x'; 3 << 20], 5);
        let text = &cut.texts.values().next().unwrap().text;
        assert!(text.len() < 600 << 10 && text.ends_with("[2621445 more bytes of the copyright file are left out]"));
    }

    #[test]
    fn huge_names_and_many_names_are_bounded() {
        let name = "x".repeat(1 << 20);
        let found = read(format!("{HEAD}Files: *\nLicense: {name}\n").as_bytes(), 0);
        let text = found.texts.values().next().unwrap();
        assert_eq!((text.name.len(), found.expression.to_string().len()), (200, 11 + 40 + 1 + 12));
        let many: String = (0..2000).map(|number| format!("Files: {number}\nLicense: l{number}\n\n")).collect();
        let found = read(format!("{HEAD}{many}").as_bytes(), 0);
        assert!(!found.machine_readable && found.texts.len() == 1);
        let alternatives: Vec<_> = (0..1 << 17).map(|_| "Expat").collect();
        let found = read(format!("{HEAD}Files: *\nLicense: {}\n", alternatives.join(" or ")).as_bytes(), 0);
        assert_eq!(found.texts.len(), 1);
    }

    proptest! {
        #[test]
        fn every_file_has_an_expression_whose_texts_are_there(body in "((License|Files): [a-cé,/ ]{0,8}(or|and)?[ a]{0,3}\n| [x.\t\u{7f}]{0,3}\n|\n){0,20}") {
            let found = read(format!("{HEAD}{body}").as_bytes(), 0);
            for leaf in found.expression.leaves() {
                if let Licence::Text(id) = leaf {
                    prop_assert!(found.texts.contains_key(id));
                    prop_assert!(id.strip_prefix("LicenseRef-").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))), "{}", id);
                }
            }
            prop_assert_eq!(found, read(format!("{HEAD}{body}").as_bytes(), 0));
        }
    }
}
