//! The lock as text: one spelling for one value, one line for one .deb, so that reviews and merges
//! stay small. Written by hand, since no TOML writer promises where lines break.

use std::{fmt::Write as _, fs::File, path::Path};

use super::{Inputs, Lock, LockError, LockedBase, LockedTier, Output, SCHEMA, Saved};
use crate::{
    archive::{Package, TrustRecord},
    ground::{Sha256, read_at_most, write_through},
};

const HEAD: &str = "\
# Made by debstrata; do not edit.
# `debstrata lock` fits it to the manifests, `debstrata lock --upgrade` brings newer packages.
# Any merge conflict: keep one side of the whole file, then run `debstrata lock`.

";

impl Lock {
    /// The text of the file, ending with a newline. Equal locks have equal texts.
    pub fn to_text(&self) -> String {
        let Self { format_version, suites, architectures, outputs } = self;
        let mut out = String::from(HEAD);
        line(&mut out, &format!("schema = {SCHEMA}"));
        line(&mut out, &format!("format-version = {format_version}"));
        let mut suites: Vec<_> = suites.iter().collect();
        suites.sort_by(|a, b| a.id.cmp(&b.id));
        array(&mut out, "suites", suites.into_iter().map(suite));
        for (architecture, inputs) in architectures {
            let Inputs { packages, tiers } = inputs;
            line(&mut out, &format!("\n[inputs.{architecture}]"));
            array(&mut out, "packages", packages.values().map(|locked| package(&locked.package, locked.unpacked)));
            for (name, tier) in tiers {
                let LockedTier { question, packages, unmet, saved, base } = tier;
                line(&mut out, &format!("\n[inputs.{architecture}.tiers.{}]", key(name)));
                line(&mut out, &format!("question = \"{question}\""));
                if let Some(LockedBase { oci, digest }) = base {
                    line(&mut out, &format!("base = {{ oci = {}, digest = \"sha256:{digest}\" }}", quoted(oci)));
                }
                array(&mut out, "packages", packages.iter().map(|name| quoted(name)));
                if !unmet.is_empty() {
                    array(&mut out, "unmet", unmet.iter().map(|text| quoted(text)));
                }
                if let Some(Saved { packages, size }) = saved {
                    line(&mut out, &format!("saved = {{ packages = {packages}, size = {size} }}"));
                }
            }
        }
        let mut current = None;
        for ((architecture, tier), output) in outputs {
            if current != Some(architecture) {
                line(&mut out, &format!("\n[outputs.{architecture}]"));
                current = Some(architecture);
            }
            let Output { recipe, diff_id, size } = output;
            let tier = key(tier);
            line(&mut out, &format!("{tier} = {{ recipe = \"{recipe}\", diff-id = \"{diff_id}\", size = {size} }}"));
        }
        out
    }

    /// Writes the file (where a link of this name leads) whole, unless it already holds these bytes. Whether it was written.
    pub fn write(&self, path: &Path) -> Result<bool, LockError> {
        let text = self.to_text();
        // Whatever keeps the old file from being read, writing says it better.
        let old = File::open(path).and_then(|file| read_at_most(file, text.len() as u64));
        if old.is_ok_and(|old| old == text.as_bytes()) {
            return Ok(false);
        }
        write_through(path, text.as_bytes())?;
        Ok(true)
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn array(out: &mut String, key: &str, items: impl Iterator<Item = String>) {
    out.push_str(key);
    out.push_str(" = [");
    let mut empty = true;
    for item in items {
        out.push_str("\n  ");
        out.push_str(&item);
        out.push(',');
        empty = false;
    }
    out.push_str(if empty { "]\n" } else { "\n]\n" });
}

fn suite(record: &TrustRecord) -> String {
    let TrustRecord { id, inrelease, date, valid_until, signer, expired, folder } = record;
    if let Some(folder) = folder {
        return format!("{{ id = {}, folder = {}, index = \"{inrelease}\" }}", quoted(id), quoted(folder));
    }
    let mut item = format!("{{ id = {}, inrelease = \"{inrelease}\", date = {date}", quoted(id));
    if let Some(moment) = valid_until {
        item.push_str(&format!(", valid-until = {moment}"));
    }
    match signer {
        Some(signer) => item.push_str(&format!(", signer = {}", quoted(signer))),
        None => item.push_str(", unsigned = true"),
    }
    if *expired {
        item.push_str(", expired = true");
    }
    item + " }"
}

fn package(package: &Package, unpacked: Option<Sha256>) -> String {
    let Package { name, version, architecture, source, from, path, size, sha256 } = package;
    let mut item = String::from("{ ");
    for (key, text) in [
        ("name", &**name),
        ("version", version.as_str()),
        ("architecture", architecture),
        ("source", source),
        ("from", from),
        ("path", path),
    ] {
        item.push_str(&format!("{key} = {}, ", quoted(text)));
    }
    item.push_str(&format!("size = {size}, sha256 = \"{sha256}\""));
    if let Some(unpacked) = unpacked {
        item.push_str(&format!(", unpacked = \"{unpacked}\""));
    }
    item + " }"
}

/// A key: bare where TOML allows it.
fn key(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(bare) { text.to_owned() } else { quoted(text) }
}

/// A basic string. What would not show in a review, or would show as something else, is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                escape(&mut out, c)
            }
            c if c.is_control() => escape(&mut out, c),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn escape(out: &mut String, c: char) {
    write!(out, "\\u{:04X}", c as u32).expect("a String takes all that is written");
}
