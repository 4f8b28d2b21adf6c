//! The config of a given image against the composed one: every key, known or not, and at last the bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Field, Finding};
use crate::{
    ground::{Sha256, printable},
    image::spec::{Config, Texts, bytes},
};

/// Characters of a value that are shown.
const SHOWN: usize = 200;
/// Differences that are kept.
const MOST: usize = 1000;
/// Keys about how the image was made, not what runs.
const MADE: [&str; 3] = ["created", "history", "rootfs"];

/// Compares a config with the bytes of the given one. With `foreign`, how it was made does not count:
/// times, history, the split into layers and how the JSON is written.
pub fn config(expected: &Config, given: &[u8], foreign: bool) -> Vec<Finding> {
    let composed = bytes(expected);
    if composed == given {
        return Vec::new();
    }
    let wanted = serde_json::to_value(expected).unwrap_or_default();
    let found = match serde_json::from_slice::<Value>(given) {
        Ok(found @ Value::Object(_)) => found,
        other => {
            let why = other.err().map_or_else(|| "no JSON object".to_owned(), |error| error.to_string());
            return vec![differs("config", "a config", printable(why.as_bytes()))];
        }
    };
    let mut all = Vec::new();
    for (key, wanted, found) in pairs(&wanted, &found) {
        match key {
            key if foreign && MADE.contains(&key) => {}
            "config" => execution(wanted, found, &mut all),
            "rootfs" => {
                let part = |value: Option<&Value>| value.and_then(|value| value.get("diff_ids")).cloned();
                match (part(wanted), part(found)) {
                    (wanted, found) if wanted != found => list("diff_ids", wanted.as_ref(), found.as_ref(), &mut all),
                    _ => value("rootfs", wanted, found, &mut all),
                }
            }
            "history" => list("history", wanted, found, &mut all),
            key => value(key, wanted, found, &mut all),
        }
    }
    if all.is_empty() && !foreign {
        let digest = |bytes: &[u8]| format!("sha256:{}", Sha256::of(bytes));
        let finding = differs("bytes", digest(&composed), digest(given));
        all.push(finding.because("it says the same, written otherwise: the image has another ID"));
    }
    all.truncate(MOST);
    all
}

/// Compares the annotations of a manifest.
pub fn annotations(expected: &Texts, given: &Texts) -> Vec<Finding> {
    let keys: BTreeSet<&String> = expected.keys().chain(given.keys()).collect();
    let differing = keys.into_iter().filter(|key| expected.get(*key) != given.get(*key)).take(MOST);
    let finding = |key: &String| {
        let shown = |value: Option<&String>| value.map_or_else(|| "none".to_owned(), |value| cut(value));
        let mut finding = differs(&format!("annotation {key}"), shown(expected.get(key)), shown(given.get(key)));
        finding.entry = Some("manifest".to_owned());
        finding
    };
    differing.map(finding).collect()
}

fn differs(detail: &str, expected: impl Into<String>, found: impl Into<String>) -> Finding {
    let mut finding = Finding::new(Field::Content, cut(detail), expected, found);
    finding.entry = Some("config".to_owned());
    finding.because("the image was made of other manifests, or its config was edited")
}

/// The keys of both objects, in order.
fn pairs<'v>(one: &'v Value, other: &'v Value) -> Vec<(&'v str, Option<&'v Value>, Option<&'v Value>)> {
    let keys = |value: &'v Value| value.as_object().into_iter().flat_map(|object| object.keys());
    let all: BTreeSet<&String> = keys(one).chain(keys(other)).collect();
    all.into_iter().map(|key| (key.as_str(), one.get(key), other.get(key))).collect()
}

fn value(detail: &str, wanted: Option<&Value>, found: Option<&Value>, all: &mut Vec<Finding>) {
    if wanted != found && all.len() < MOST {
        all.push(differs(detail, shown(wanted), shown(found)));
    }
}

/// Lists are told by the first line that differs.
fn list(detail: &str, wanted: Option<&Value>, found: Option<&Value>, all: &mut Vec<Finding>) {
    let (Some(Value::Array(one)), Some(Value::Array(other))) = (wanted, found) else {
        return value(detail, wanted, found, all);
    };
    let longest = one.len().max(other.len());
    let Some(at) = (0..longest).find(|at| one.get(*at) != other.get(*at)) else { return };
    let line = |list: &[Value]| format!("{} of {}: {}", at.saturating_add(1), list.len(), shown(list.get(at)));
    all.push(differs(detail, line(one), line(other)));
}

fn execution(wanted: Option<&Value>, found: Option<&Value>, all: &mut Vec<Finding>) {
    let none = Value::Object(serde_json::Map::new());
    if found.is_some_and(|found| !found.is_object()) {
        return value("config", wanted, found, all);
    }
    for (key, wanted, found) in pairs(wanted.unwrap_or(&none), found.unwrap_or(&none)) {
        let parts = match (wanted, found) {
            (Some(Value::Object(_)) | None, Some(Value::Object(_))) | (Some(Value::Object(_)), None) => {
                pairs(wanted.unwrap_or(&none), found.unwrap_or(&none))
            }
            _ => Vec::new(),
        };
        let before = all.len();
        for (part, wanted, found) in parts {
            value(&format!("{key} {part}"), wanted, found, all);
        }
        if key == "Env" {
            environment(wanted, found, all);
        }
        if all.len() == before {
            value(key, wanted, found, all);
        }
    }
}

/// Variables by their names; what is left is a matter of order.
fn environment(wanted: Option<&Value>, found: Option<&Value>, all: &mut Vec<Finding>) {
    let variables = |list: Option<&Value>| -> BTreeMap<String, Value> {
        let texts = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        texts.map(|text| text.split_once('=').unwrap_or((text, ""))).map(|(k, v)| (k.to_owned(), v.into())).collect()
    };
    let (wanted, found) = (variables(wanted), variables(found));
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    for name in names {
        value(&format!("Env {name}"), wanted.get(name), found.get(name), all);
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "none".to_owned(),
        Some(Value::String(text)) if !text.is_empty() => cut(text),
        Some(value) => cut(&value.to_string()),
    }
}

fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    printable(short.as_bytes())
}
