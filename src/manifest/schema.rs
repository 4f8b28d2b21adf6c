//! JSON Schemas (2020-12) of the two kinds of manifest, for editors: made of the tables in `keys.rs`
//! that reading follows. Where TOML has no counterpart in JSON, the schema has what editors make of it:
//! a mode is its number, a moment a string of format `date-time`.
//!
//! Patterns use what every dialect of regular expressions has: no look-around, no classes by name.

use serde_json::{Map, Value, json};

use crate::debian::Architecture;

use super::{
    keys::{self, Kind, Status, Table},
    scalar,
};

/// Inside a class: control characters, which [`char::is_control`] names.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";

/// Which manifest a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manifest {
    /// `archive.toml`
    Archive,
    /// A tier's.
    Tier,
}

impl Manifest {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Archive, Self::Tier];

    /// `archive` or `tier`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Tier => "tier",
        }
    }

    /// Its keys.
    pub fn table(self) -> &'static Table {
        match self {
            Self::Archive => &keys::ARCHIVE,
            Self::Tier => &keys::TIER,
        }
    }

    /// The schema's file name, such as `tier.schema.json`.
    pub fn schema_name(self) -> String {
        format!("{}.schema.json", self.name())
    }
}

/// The JSON Schema of a manifest, as text that ends in a line break.
pub fn schema(manifest: Manifest) -> String {
    let mut root = of_table(manifest.table());
    root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("title".into(), format!("debstrata: {}", manifest.table().title).into());
    format!("{:#}\n", Value::Object(root))
}

/// A table of known keys. Those that do nothing yet are not among them, since they are refused.
fn of_table(table: &'static Table) -> Map<String, Value> {
    let mut properties = Map::new();
    for key in table.keys.iter().filter(|key| key.status == Status::Now) {
        let Some(mut schema) = of_kind(&key.kind) else { continue };
        schema.insert("description".into(), key.doc.into());
        properties.insert(key.name.into(), schema.into());
    }
    let required: Vec<_> = table.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = object(json!({ "type": "object", "additionalProperties": false, "properties": properties }));
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

/// What a key takes; `None`: nothing that does anything yet.
fn of_kind(kind: &'static Kind) -> Option<Map<String, Value>> {
    let schema = match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Line => text(&format!("^[^{CONTROL}]*$"), &[]),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
        Kind::Mode => json!({ "type": "integer", "minimum": 0, "maximum": 0o7777 }),
        Kind::Id => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX - 1 }),
        Kind::Moment => {
            let offset = "([Zz]|[+-][0-9]{2}:[0-9]{2})";
            let mut schema = text(&format!("^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ][0-9:.]+{offset}$"), &[]);
            schema["format"] = "date-time".into();
            schema
        }
        Kind::Duration => text(&scalar::duration_pattern(), &["7 days", "36h"]),
        Kind::Size => json!({
            "anyOf": [{ "type": "integer", "minimum": 0 }, text(&scalar::size_pattern(), &["4 MiB", "200 MB"])],
        }),
        Kind::Path => {
            // A name that is neither empty nor `.` nor `..`.
            let other = format!("[^/{CONTROL}]");
            let name = format!(r"([^./{CONTROL}]{other}*|\.[^./{CONTROL}]{other}*|\.\.{other}+)");
            text(&format!("^/({name}(/{name})*)?$"), &[])
        }
        Kind::Glob => text(&format!("^(/|(/[^/{CONTROL}]+)+)$"), &["/usr/share/man/**"]),
        Kind::Wish => {
            let name = r"[a-z0-9][a-z0-9+._-]*";
            let one = format!(r"{name}(:[A-Za-z0-9.+_-]+)?(/[^\s|()\[\]<>,]+)?\s*(\([^()|]*\))?\s*(\[[^\[\]|]*\])?\s*");
            text(&format!(r"^\s*{one}(\|\s*{one})*$"), &["libc6 (>= 2.36)"])
        }
        Kind::Architecture => json!({ "enum": Architecture::known().map(Architecture::name).collect::<Vec<_>>() }),
        Kind::Package => text("^[a-z0-9][a-z0-9+._-]*$", &[]),
        Kind::Account => {
            // No number, no option, no separator of passwd(5).
            let no = format!(r":,/\s{CONTROL}");
            let mut schema = text(&format!("^([0-9]+[^{no}0-9]|[^{no}0-9-])[^{no}]*$"), &[]);
            schema["maxLength"] = 32.into();
            schema
        }
        Kind::Choice(words) => {
            let now: Vec<_> = words.iter().filter(|(_, status)| *status == Status::Now).map(|(word, _)| word).collect();
            json!({ "enum": now })
        }
        Kind::List(kind) => json!({ "type": "array", "items": of_kind(kind)? }),
        // A table that needs a key that does nothing yet can have no value.
        Kind::Table(table) if table.keys.iter().any(|key| key.required && key.status == Status::Later) => return None,
        Kind::Table(table) => of_table(table).into(),
        Kind::Map(kind) => json!({ "type": "object", "additionalProperties": of_kind(kind)? }),
        Kind::Either(kinds) => {
            let mut any: Vec<_> = kinds.iter().filter_map(of_kind).collect();
            match any.len() {
                0 | 1 => return any.pop(),
                _ => json!({ "anyOf": any }),
            }
        }
    };
    Some(object(schema))
}

fn text(pattern: &str, examples: &[&str]) -> Value {
    let mut schema = json!({ "type": "string", "pattern": pattern });
    if !examples.is_empty() {
        schema["examples"] = examples.into();
    }
    schema
}

/// The object that `json!` made.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
