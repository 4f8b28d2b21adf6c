//! Words of calls: options, modes, paths.

use std::collections::BTreeMap;

use crate::{generate::shell::Call, ground::RootPath};

/// Options of a call and the rest of its words.
pub(super) struct Arguments<'a> {
    flags: Vec<&'a str>,
    /// Options with a value.
    pub(super) values: BTreeMap<char, &'a str>,
    pub(super) rest: Vec<&'a str>,
}

impl<'a> Arguments<'a> {
    /// `valued` are the letters of short options that take a value, `known` the others' and whole long ones.
    pub(super) fn of(call: &'a Call, valued: &str, known: &[&str]) -> Option<Self> {
        let mut arguments = Self { flags: Vec::new(), values: BTreeMap::new(), rest: Vec::new() };
        let mut words = call.words.iter().skip(1).map(|word| word.as_deref().unwrap_or_default());
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
                let (key, value) = long.split_once('=').unwrap_or((long, ""));
                let short = match key {
                    "mode" => 'm',
                    "owner" => 'o',
                    "group" => 'g',
                    _ => '-',
                };
                match valued.contains(short) && !value.is_empty() {
                    true => drop(arguments.values.insert(short, value)),
                    false if known.contains(&word) => arguments.flags.push(word),
                    false => return None,
                }
            } else if let Some(letters) =
                word.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-")
            {
                let first = letters.chars().next()?;
                if valued.contains(first) {
                    let attached = &letters[first.len_utf8()..];
                    let value = if attached.is_empty() { words.next()? } else { attached };
                    arguments.values.insert(first, value);
                    continue;
                }
                for (at, letter) in letters.char_indices() {
                    let text = &letters[at..at + letter.len_utf8()];
                    if !known.contains(&text) {
                        return None;
                    }
                    arguments.flags.push(text);
                }
            } else if word != "--" {
                arguments.rest.push(word);
            }
        }
        Some(arguments)
    }

    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}

pub(super) fn octal(text: &str) -> Option<u16> {
    u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)
}

/// A mode of chmod(1) done to another: octal, or such as `u+s,go-w`.
pub(super) fn changed(text: &str, before: u16) -> Option<u16> {
    if let Some(mode) = octal(text) {
        return Some(mode);
    }
    text.split(',').try_fold(before, |mode, clause| {
        let at = clause.find(['+', '-', '='])?;
        let (who, rest) = clause.split_at(at);
        let who = if who.is_empty() || who == "a" { "ugo" } else { who };
        let (mut bits, mut mask) = (0, 0);
        for c in who.chars() {
            let (shift, set_id) = match c {
                'u' => (6, 0o4000),
                'g' => (3, 0o2000),
                'o' => (0, 0),
                _ => return None,
            };
            mask |= 0o7 << shift | set_id;
            for c in rest[1..].chars() {
                bits |= match c {
                    'r' => 0o4 << shift,
                    'w' => 0o2 << shift,
                    'x' => 0o1 << shift,
                    's' => set_id,
                    't' => 0o1000,
                    _ => return None,
                };
            }
        }
        match rest.as_bytes().first()? {
            b'+' => Some(mode | bits),
            b'-' => Some(mode & !bits),
            _ => Some(mode & !mask | bits),
        }
    })
}

/// An absolute path without a pattern.
pub(super) fn path(text: &str) -> Option<RootPath> {
    let trimmed = if text.len() > 1 { text.trim_end_matches('/') } else { text };
    RootPath::from_absolute(trimmed.as_bytes())
        .ok()
        .filter(|path| !trimmed.contains(['*', '?', '[']) && !path.is_root())
}
