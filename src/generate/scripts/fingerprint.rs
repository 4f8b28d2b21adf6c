//! What a row of the table knows a script by.
//!
//! The script is walked as if nothing could be told of where it runs: neither files nor accounts nor
//! the architecture. So no tree has a say in it; and what differs between releases and between
//! architectures in the text alone is taken out of it.

use std::sync::LazyLock;

use super::{harmless, table::TABLE};
use crate::{
    debian::Architecture,
    generate::shell::{Script, Unreadable, World},
    ground::Sha256,
};

/// Names that stand for the same thing on each architecture, the longest first, and what is written
/// for them.
static NAMES: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
    let loaders = TABLE.loaders.iter().map(|loader| (loader.as_str(), "@loader@"));
    let multiarch = Architecture::known().map(|architecture| (architecture.multiarch(), "@multiarch@"));
    let names = Architecture::known().map(|architecture| (architecture.name(), "@architecture@"));
    let mut all: Vec<_> = loaders.chain(multiarch).chain(names).collect();
    all.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    all
});

/// The fingerprint of all that a script could call, wherever it runs.
pub(super) fn of_script(read: &Result<Script, Unreadable>, text: &str, argument: &str) -> String {
    let world = World { argument, architecture: None, exists: &|_| None, account: &|_| None };
    match read.as_ref().map(|script| script.walk(&world)) {
        Ok(Ok(calls)) => {
            let lines: Vec<_> = calls.iter().filter(|call| !harmless(call)).map(|call| call.filled.as_str()).collect();
            of_text(&lines.join("\n"))
        }
        _ => of_text(text),
    }
}

/// The first 12 hexadecimal digits of the SHA-256 of what is left of a text. Numbers that stand alone,
/// such as modes, stay; other digits do not.
fn of_text(text: &str) -> String {
    let mut text = text.to_owned();
    for (name, placeholder) in NAMES.iter() {
        text = text.replace(name, placeholder);
    }
    let mut plain = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        for word in line.split_whitespace() {
            let number = word.trim_matches(['"', '\'']);
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
                plain.push_str(word);
            } else {
                let mut last = ' ';
                for c in word.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }) {
                    if c != '#' || last != '#' {
                        plain.push(c);
                    }
                    last = c;
                }
            }
            plain.push(' ');
        }
        plain.push('\n');
    }
    of_digest(Sha256::of(plain.as_bytes()))
}

/// The same of a digest.
pub(super) fn of_digest(digest: Sha256) -> String {
    digest.to_string().chars().take(12).collect()
}
