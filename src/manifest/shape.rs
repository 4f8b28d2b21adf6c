//! From TOML's tree to typed fields, by the tables of `keys.rs`: every fault of the file is found,
//! not only the first.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::{
    debian::{Architecture, Relation, relation::parse_relation},
    ground::{RootPath, Source, Span, Spanned, nearest},
};

use super::{
    Glob,
    error::{Findings, Topic},
    globs,
    keys::{Kind, Status, Table},
    scalar, wish,
};

/// At most so many syntax errors of one file are told; after a few they are echoes of the first.
const SYNTAX_ERRORS: usize = 10;

/// A typed value.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    Integer(i32),
    Mode(u16),
    Id(u32),
    Moment(Timestamp),
    Duration(Duration),
    Size(u64),
    Path(RootPath),
    Glob(Glob),
    Wish(Relation),
    Architecture(Architecture),
    List(Vec<Spanned<Value>>),
    Table(Fields),
    Map(Vec<(Spanned<String>, Spanned<Value>)>),
}

/// A table's values that are right.
#[derive(Debug, Default)]
pub(super) struct Fields {
    values: BTreeMap<&'static str, Spanned<Value>>,
    /// All that were written, right or wrong.
    written: BTreeSet<&'static str>,
    /// Those whose value, or an entry of whose list, is of the wrong kind, which was told.
    refused: BTreeSet<&'static str>,
}

/// Makes a typed thing of a value whose key's kind says that it is one.
pub(super) trait FromValue: Sized {
    /// `None`: the key's kind and the reader disagree, or the value is wrong and was told so.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($variant:ident => $type:ty),* $(,)?) => {
        $(impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(value) => Some(value),
                    _ => None,
                }
            }
        })*
    };
}

from_value! {
    Text => String, Bool => bool, Integer => i32, Mode => u16, Id => u32, Moment => Timestamp, Duration => Duration,
    Size => u64,
    Path => RootPath, Glob => Glob, Wish => Relation, Architecture => Architecture, Table => Fields,
}

impl FromValue for Value {
    fn from_value(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl<T: FromValue> FromValue for Vec<Spanned<T>> {
    fn from_value(value: Value) -> Option<Self> {
        let Value::List(values) = value else { return None };
        Some(
            values
                .into_iter()
                .filter_map(|value| Some(Spanned::new(T::from_value(value.value)?, value.span)))
                .collect(),
        )
    }
}

impl<T: FromValue> FromValue for Vec<(Spanned<String>, Spanned<T>)> {
    fn from_value(value: Value) -> Option<Self> {
        let Value::Map(values) = value else { return None };
        let typed =
            |(key, value): (_, Spanned<Value>)| Some((key, Spanned::new(T::from_value(value.value)?, value.span)));
        Some(values.into_iter().filter_map(typed).collect())
    }
}

impl Fields {
    /// Takes a value out, with its place.
    pub(super) fn spanned<T: FromValue>(&mut self, key: &str) -> Option<Spanned<T>> {
        let value = self.values.remove(key)?;
        Some(Spanned::new(T::from_value(value.value)?, value.span))
    }

    /// Takes a value out.
    pub(super) fn take<T: FromValue>(&mut self, key: &str) -> Option<T> {
        self.spanned(key).map(|value| value.value)
    }

    /// Takes a list out; none is an empty one.
    pub(super) fn list<T: FromValue>(&mut self, key: &str) -> Vec<Spanned<T>> {
        self.take(key).unwrap_or_default()
    }

    /// Where a value is that is still there.
    pub(super) fn place(&self, key: &str) -> Option<Span> {
        self.values.get(key).map(|value| value.span.clone())
    }

    /// Whether the key is there, rightly or wrongly.
    pub(super) fn written(&self, key: &str) -> bool {
        self.written.contains(key)
    }

    /// Whether the key's value, or an entry of its list, is of the wrong kind, which was told. Taking it
    /// out changes nothing.
    pub(super) fn refused(&self, key: &str) -> bool {
        self.refused.contains(key)
    }
}

/// Reads a whole file. `None` where it is no TOML.
pub(super) fn read(table: &'static Table, findings: &mut Findings) -> Option<Fields> {
    let source = findings.source.clone();
    let (tree, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors.iter().take(SYNTAX_ERRORS) {
        let span = in_text(&source, error.span().unwrap_or(0..0));
        let message = error.message().to_owned();
        let label = if message.starts_with("duplicate key") { "this key is there already" } else { "here" };
        findings.error(Topic::Syntax, span, format!("no valid TOML: {message}"), label);
    }
    if !errors.is_empty() {
        return None;
    }
    Some(Shaper { findings, source: &source }.table(table, tree.get_ref(), 0..0))
}

/// A span that surely lies in the text, at character boundaries.
fn in_text(source: &Source, span: Span) -> Span {
    let boundary = |mut at: usize| {
        at = at.min(source.text.len());
        while !source.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(span.start);
    start..boundary(span.end).max(start)
}

/// Where the character at byte `offset` of a string's value stands in the file, see [`part`].
pub(super) fn inside(source: &Source, span: &Span, value: &str, offset: usize) -> Span {
    let offset = offset.min(value.len());
    let length = value.get(offset..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
    part(source, span, value, &(offset..offset + length))
}

/// Where a part of a string's value stands in the file: exactly where the string is written without
/// escapes on one line, else the whole string.
pub(super) fn part(source: &Source, span: &Span, value: &str, part: &Span) -> Span {
    let written = source.text.get(span.clone()).unwrap_or_default();
    let plain = written.len() == value.len() + 2 && written.get(1..value.len() + 1) == Some(value);
    if !plain {
        return span.clone();
    }
    in_text(source, span.start + 1 + part.start..span.start + 1 + part.end)
}

/// A key's description as the end of a sentence.
fn in_a_sentence(doc: &str) -> String {
    let mut chars = doc.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// How a table of strings is written whose first one is known: `{ package = "debconf", reason = "..." }`.
fn as_table(table: &Table, first: &str) -> Option<String> {
    let mut needed = table.keys.iter().filter(|key| key.required);
    if table.keys.iter().any(|key| !key.required) {
        return None;
    }
    let head = format!("{} = {first:?}", needed.next()?.name);
    let rest: String = needed.map(|key| format!(", {} = \"...\"", key.name)).collect();
    Some(format!("{{ {head}{rest} }}"))
}

struct Shaper<'a> {
    findings: &'a mut Findings,
    source: &'a Source,
}

impl Shaper<'_> {
    fn table(&mut self, table: &'static Table, tree: &DeTable<'_>, span: Span) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in tree {
            let Some(key) = table.key(name.get_ref()) else {
                self.unknown_key(table, name.get_ref(), name.span());
                continue;
            };
            fields.written.insert(key.name);
            let at = if value.span().is_empty() { name.span() } else { value.span() };
            let typed = self.value(key.name, &key.kind, value.get_ref(), &at);
            let whole = match (&typed, value.get_ref()) {
                (Some(Value::List(typed)), DeValue::Array(written)) => typed.len() == written.len(),
                (typed, _) => typed.is_some(),
            };
            if !whole {
                fields.refused.insert(key.name);
            }
            if key.status == Status::Later {
                // Its value was checked all the same: one run tells all.
                self.not_supported(&format!("`{}`", key.name), name.span());
            } else if let Some(typed) = typed {
                fields.values.insert(key.name, Spanned::new(typed, at));
            }
        }
        for key in table.keys.iter().filter(|key| key.required && !fields.written(key.name)) {
            let place =
                if table.title.starts_with('[') || table.title.ends_with(".toml") { "" } else { "an entry of " };
            self.findings
                .error(
                    Topic::MissingKey,
                    span.clone(),
                    format!("{place}{} needs `{}`", table.title, key.name),
                    format!("no `{}` here", key.name),
                )
                .help(format!("add `{}`, {}: {}", key.name, key.kind.describe(), in_a_sentence(key.doc)));
        }
        fields
    }

    fn unknown_key(&mut self, table: &Table, name: &str, span: Span) {
        let names = || table.keys.iter().map(|key| key.name);
        let help = match nearest(name, names()) {
            Some(like) => format!("the key is called `{like}`"),
            None => format!("{} has these keys: {}", table.title, names().collect::<Vec<_>>().join(", ")),
        };
        let shown = crate::ground::printable(name.as_bytes());
        self.findings
            .error(Topic::UnknownKey, span, format!("{} has no key `{shown}`", table.title), "unknown key")
            .help(help);
    }

    fn not_supported(&mut self, what: &str, span: Span) {
        self.findings
            .error(Topic::NotSupported, span, format!("{what} is not supported yet"), "not supported yet")
            .help("take it out; this version of debstrata would not act on it");
    }

    fn bad(&mut self, topic: Topic, key: &str, kind: &Kind, span: &Span, fault: impl Into<String>) -> Option<Value> {
        let message = format!("`{key}` is not {}", kind.describe());
        self.findings.error(topic, span.clone(), message, fault);
        None
    }

    fn value(&mut self, key: &'static str, kind: &Kind, value: &DeValue<'_>, span: &Span) -> Option<Value> {
        match (kind, value) {
            (Kind::Either(kinds), value) => match kinds.iter().find(|kind| fits(kind, value)) {
                Some(kind) => self.value(key, kind, value, span),
                None => self.wrong_type(key, kind, value, span),
            },
            (kind, value) if !fits(kind, value) => self.wrong_type(key, kind, value, span),
            (kind, DeValue::String(text)) => self.text(key, kind, text, span),
            (kind, DeValue::Integer(number)) => self.number(key, kind, number, span),
            (_, DeValue::Boolean(value)) => Some(Value::Bool(*value)),
            (kind, DeValue::Datetime(moment)) => {
                if moment.offset.is_none() || moment.date.is_none() || moment.time.is_none() {
                    return self.bad(Topic::BadValue, key, kind, span, "write the time and its offset: ...T00:00:00Z");
                }
                match moment.to_string().parse() {
                    Ok(moment) => Some(Value::Moment(moment)),
                    Err(_) => self.bad(Topic::BadValue, key, kind, span, "no such moment"),
                }
            }
            (Kind::List(kind), DeValue::Array(items)) => {
                let typed = |item: &toml::Spanned<DeValue<'_>>| {
                    let typed = self.value(key, kind, item.get_ref(), &item.span())?;
                    Some(Spanned::new(typed, item.span()))
                };
                Some(Value::List(items.iter().filter_map(typed).collect()))
            }
            (Kind::Table(table), DeValue::Table(tree)) => Some(Value::Table(self.table(table, tree, span.clone()))),
            (Kind::Map(kind), DeValue::Table(tree)) => Some(Value::Map(self.map(key, kind, tree))),
            (kind, value) => self.wrong_type(key, kind, value, span),
        }
    }

    fn map(&mut self, key: &'static str, kind: &Kind, tree: &DeTable<'_>) -> Vec<(Spanned<String>, Spanned<Value>)> {
        let mut entries = Vec::new();
        for (name, value) in tree {
            let at = if value.span().is_empty() { name.span() } else { value.span() };
            if let Some(typed) = self.value(key, kind, value.get_ref(), &at) {
                let name = Spanned::new(name.get_ref().to_string(), name.span());
                entries.push((name, Spanned::new(typed, at)));
            }
        }
        // TOML's tree is ordered by name; a map that means something by its order is as written.
        entries.sort_by_key(|(name, _)| name.span.start);
        entries
    }

    fn wrong_type(&mut self, key: &str, kind: &Kind, value: &DeValue<'_>, span: &Span) -> Option<Value> {
        let found = match value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{key}` must be {}", kind.describe());
        self.findings.error(Topic::WrongType, span.clone(), message, format!("this is {found}"));
        match (kind, value) {
            (Kind::Table(table), DeValue::String(text)) => {
                as_table(table, text).and_then(|written| self.last_help(&format!("write {written}")))
            }
            _ => None,
        }
    }

    fn number(&mut self, key: &str, kind: &Kind, number: &DeInteger<'_>, span: &Span) -> Option<Value> {
        let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
        match kind {
            Kind::Mode => {
                if number.radix() != 8 && value != Some(0) {
                    let digits = number.as_str();
                    let octal = number.radix() == 10 && digits.bytes().all(|byte| byte < b'8') && digits.len() <= 4;
                    self.bad(Topic::BadValue, key, kind, span, "not written in octal");
                    if let Some(finding) = self.findings.list.last_mut().filter(|_| octal) {
                        finding.help(format!("write 0o{digits}"));
                    }
                    return None;
                }
                match value.and_then(|value| u16::try_from(value).ok()).filter(|mode| *mode <= 0o7777) {
                    Some(mode) => Some(Value::Mode(mode)),
                    None => self.bad(Topic::BadValue, key, kind, span, "more than twelve bits: at most 0o7777"),
                }
            }
            // All ones means "no id" to chown(2).
            Kind::Id => match value.and_then(|value| u32::try_from(value).ok()).filter(|id| *id != u32::MAX) {
                Some(id) => Some(Value::Id(id)),
                None => self.bad(Topic::BadValue, key, kind, span, "outside 0 to 4294967294"),
            },
            Kind::Integer => match value.and_then(|value| i32::try_from(value).ok()) {
                Some(value) => Some(Value::Integer(value)),
                None => self.bad(Topic::BadValue, key, kind, span, "outside 32 bits"),
            },
            Kind::Size => match value.and_then(|value| u64::try_from(value).ok()) {
                Some(bytes) => Some(Value::Size(bytes)),
                None => self.bad(Topic::BadValue, key, kind, span, "outside 0 to 2^63"),
            },
            _ => None,
        }
    }

    fn text(&mut self, key: &'static str, kind: &Kind, text: &str, span: &Span) -> Option<Value> {
        match kind {
            Kind::Text => Some(Value::Text(text.into())),
            Kind::Line => match text.find(char::is_control) {
                None => Some(Value::Text(text.into())),
                Some(at) => {
                    let at = inside(self.source, span, text, at);
                    self.bad(Topic::BadValue, key, kind, &at, "a line break or control character")
                }
            },
            Kind::Duration => match scalar::duration(text) {
                Ok(duration) => Some(Value::Duration(duration)),
                Err(fault) => self.bad(Topic::BadValue, key, kind, span, fault),
            },
            Kind::Size => match scalar::size(text) {
                Ok(bytes) => Some(Value::Size(bytes)),
                Err(fault) => self.bad(Topic::BadValue, key, kind, span, fault),
            },
            Kind::Path => match RootPath::from_absolute(text.as_bytes()) {
                Ok(path) if !text.contains(char::is_control) => Some(Value::Path(path)),
                Ok(_) => self.bad(Topic::Path, key, kind, span, "the path has a control character"),
                Err(fault) => self.bad(Topic::Path, key, kind, span, fault.to_string()),
            },
            Kind::Glob => match globs::check(text) {
                Ok(()) => Some(Value::Glob(Glob(text.into()))),
                Err((offset, fault)) => {
                    let at = offset.map_or(span.clone(), |offset| inside(self.source, span, text, offset));
                    self.bad(Topic::Glob, key, kind, &at, fault)
                }
            },
            Kind::Wish => match parse_relation(text) {
                Ok(relation) => {
                    let faults = wish::faults(text, &relation);
                    for fault in &faults {
                        let at = part(self.source, span, text, &fault.at);
                        self.findings.error(Topic::Package, at, &fault.message, fault.label).help(&fault.help);
                    }
                    faults.is_empty().then_some(Value::Wish(relation))
                }
                Err(fault) => {
                    let at = inside(self.source, span, text, fault.offset);
                    self.bad(Topic::Package, key, kind, &at, fault.message);
                    self.last_help("name, name:arch, name (>= 1.2), name [amd64 arm64], a | b")
                }
            },
            Kind::Architecture => match text.parse() {
                Ok(architecture) => Some(Value::Architecture(architecture)),
                Err(_) => {
                    self.bad(Topic::BadValue, key, kind, span, "no architecture is called so");
                    let known: Vec<_> = Architecture::known().map(Architecture::name).collect();
                    self.last_help(&match nearest(text, known.iter().copied()) {
                        Some(like) => format!("the architecture is called `{like}`"),
                        None => format!("known are {}", known.join(", ")),
                    })
                }
            },
            Kind::Package if wish::is_name(text) => Some(Value::Text(text.into())),
            Kind::Package => self.bad(Topic::Package, key, kind, span, "no package can be called so"),
            Kind::Account => match scalar::account_name_fault(text) {
                None => Some(Value::Text(text.into())),
                Some(fault) => self.bad(Topic::BadValue, key, kind, span, fault),
            },
            Kind::Choice(words) => match words.iter().find(|(word, _)| *word == text) {
                Some((_, Status::Now)) => Some(Value::Text(text.into())),
                Some(_) => {
                    self.not_supported(&format!("`{key} = {text:?}`"), span.clone());
                    None
                }
                None => {
                    self.bad(Topic::BadValue, key, kind, span, "none of these");
                    let now = words.iter().filter(|(_, status)| *status == Status::Now);
                    let like = nearest(text, now.map(|(word, _)| *word))?;
                    self.last_help(&format!("write {like:?}"))
                }
            },
            _ => None,
        }
    }

    fn last_help(&mut self, help: &str) -> Option<Value> {
        if let Some(finding) = self.findings.list.last_mut() {
            finding.help(help);
        }
        None
    }
}

/// Whether a value has the TOML type that the kind is written as.
fn fits(kind: &Kind, value: &DeValue<'_>) -> bool {
    match kind {
        Kind::Bool => matches!(value, DeValue::Boolean(_)),
        Kind::Integer | Kind::Mode | Kind::Id => matches!(value, DeValue::Integer(_)),
        Kind::Size => matches!(value, DeValue::Integer(_) | DeValue::String(_)),
        Kind::Moment => matches!(value, DeValue::Datetime(_)),
        Kind::List(_) => matches!(value, DeValue::Array(_)),
        Kind::Table(_) | Kind::Map(_) => matches!(value, DeValue::Table(_)),
        Kind::Either(kinds) => kinds.iter().any(|kind| fits(kind, value)),
        _ => matches!(value, DeValue::String(_)),
    }
}
