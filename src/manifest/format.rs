//! The canonical form of a manifest: comments, strings, numbers and the order of tables stay as they
//! are written; the keys inside a table go into the order of `keys.rs`, and white space into one form.

use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, KeyMut, RawString, Table, Value};

use crate::ground::Source;

use super::{
    ManifestError,
    error::{Findings, Topic},
    keys::{self, Kind},
    schema::Manifest,
    shape,
};

/// The canonical form of a manifest's text: formatting it again changes nothing, and it means the same.
/// Keys that mean nothing are no matter here; [`super::load`] tells them.
///
/// # Errors
/// The text is no TOML.
pub fn format(manifest: Manifest, source: &Source) -> Result<String, Vec<ManifestError>> {
    let mut findings = Findings::new(source.clone());
    let read = shape::read(manifest.table(), &mut findings).is_some();
    let formatted = formatted(manifest.table(), &source.text);
    if !read || formatted.is_none() {
        findings.list.retain(|finding| finding.topic == Topic::Syntax);
        if findings.list.is_empty() {
            findings
                .error(Topic::Syntax, 0..0, "this manifest cannot be formatted", "in this file")
                .help("write it with plain tables; `debstrata check` says whether it can be read");
        }
        return Err(findings.list.into_iter().map(ManifestError::from).collect());
    }
    Ok(formatted.unwrap_or_default())
}

/// `None`: no TOML, or the result would not mean the same, which is never written.
fn formatted(keys: &'static keys::Table, text: &str) -> Option<String> {
    let unix = text.replace("\r\n", "\n");
    let mut document: DocumentMut = unix.parse().ok()?;
    let trailing = lines(document.trailing().as_str().unwrap_or_default(), false);
    document.set_trailing(trailing.trim_end_matches('\n').to_owned() + "\n");
    let head = take_head(&mut document);
    table(document.as_table_mut(), Some(keys));
    let mut result = document.to_string();
    let body = result.trim_start_matches('\n');
    result = if head.is_empty() || body.is_empty() || head.ends_with("\n\n") || is_directive(&head) {
        format!("{head}{body}")
    } else {
        format!("{head}\n{body}")
    };
    result.truncate(result.trim_end().len());
    result.push('\n');
    let same = unix.parse::<toml::Table>().ok()? == result.parse::<toml::Table>().ok()?;
    same.then_some(result)
}

/// Whether the last line is one for editors, which needs no blank line after it.
fn is_directive(head: &str) -> bool {
    head.lines().last().is_some_and(|line| line.starts_with("#:"))
}

/// What stands above the first key and is not about it, so that it stays at the top: lines for editors,
/// and comments that a blank line ends.
fn take_head(document: &mut DocumentMut) -> String {
    let table = document.as_table_mut();
    let Some(first) = table.iter().next().map(|(name, _)| name.to_owned()) else { return String::new() };
    let is_value = table.get(&first).is_some_and(Item::is_value);
    if !is_value {
        return String::new();
    }
    let Some(mut key) = table.key_mut(&first) else { return String::new() };
    let decor = key.leaf_decor_mut();
    let above = lines(prefix(decor), false);
    let directives: usize = above.split_inclusive('\n').take_while(|line| line.starts_with("#:")).map(str::len).sum();
    let cut = above.rfind("\n\n").map_or(0, |at| at + 2).max(directives);
    let (head, own) = above.split_at_checked(cut).unwrap_or(("", &above));
    decor.set_prefix(own);
    head.trim_start_matches('\n').to_owned()
}

fn prefix(decor: &Decor) -> &str {
    decor.prefix().and_then(RawString::as_str).unwrap_or_default()
}

fn suffix(decor: &Decor) -> &str {
    decor.suffix().and_then(RawString::as_str).unwrap_or_default()
}

/// Comments and blank lines: no white space around them, one blank line at most between them.
fn lines(text: &str, start: bool) -> String {
    let mut out = String::new();
    // What follows the last line break is the indentation of what comes next.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let rest = text.get(whole.len()..).unwrap_or_default().trim();
    let mut blank = start;
    for line in whole.lines().map(str::trim) {
        if line.is_empty() && blank {
            continue;
        }
        blank = line.is_empty();
        out.push_str(line);
        out.push('\n');
    }
    out.push_str(rest);
    out
}

/// A comment behind a value, with the white space before it as it is written: people align them.
fn behind(text: &str) -> String {
    if text.trim().is_empty() { String::new() } else { text.trim_end().to_owned() }
}

/// The keys of the table that is the value of a key, where they are known.
fn below(keys: Option<&'static keys::Table>, name: &str) -> Below {
    keys.and_then(|keys| keys.key(name)).map_or(Below::Free, |key| of_kind(&key.kind))
}

/// What is known of the tables inside a value.
#[derive(Clone, Copy)]
enum Below {
    /// Nothing, or that its keys are free: their order is kept.
    Free,
    /// A table of these keys, or a list of such.
    Known(&'static keys::Table),
    /// A table of free keys, each of which holds such a one.
    MapOf(&'static keys::Table),
}

fn of_kind(kind: &'static Kind) -> Below {
    match kind {
        Kind::Table(table) => Below::Known(table),
        Kind::List(kind) => of_kind(kind),
        Kind::Map(Kind::Table(table)) => Below::MapOf(table),
        Kind::Either(kinds) => {
            kinds.iter().map(of_kind).find(|below| !matches!(below, Below::Free)).unwrap_or(Below::Free)
        }
        _ => Below::Free,
    }
}

impl Below {
    fn known(self) -> Option<&'static keys::Table> {
        match self {
            Self::Known(table) => Some(table),
            _ => None,
        }
    }

    /// Below one of its own keys.
    fn entry(self, name: &str) -> Self {
        match self {
            Self::Free => Self::Free,
            Self::Known(table) => below(Some(table), name),
            Self::MapOf(table) => Self::Known(table),
        }
    }
}

/// Where a key stands in its table; an unknown one comes last.
fn rank(keys: &keys::Table, name: &str) -> usize {
    keys.keys.iter().position(|key| key.name == name).unwrap_or(usize::MAX)
}

fn table(tree: &mut Table, keys: Option<&'static keys::Table>) {
    table_of(tree, keys.map_or(Below::Free, Below::Known));
}

fn table_of(tree: &mut Table, below: Below) {
    let dotted = tree.iter().any(|(_, item)| item.as_table().is_some_and(Table::is_dotted));
    // A dotted key belongs where it is written.
    if let Some(keys) = below.known().filter(|_| !dotted) {
        tree.sort_values_by(|one, _, other, _| rank(keys, one.get()).cmp(&rank(keys, other.get())));
    }
    for (mut key, item) in tree.iter_mut() {
        let inner = below.entry(key.get());
        match item {
            Item::Value(written) => {
                around_key(&mut key);
                let end = behind(suffix(written.decor()));
                value(written, inner);
                written.decor_mut().set_prefix(" ");
                written.decor_mut().set_suffix(end);
            }
            Item::Table(tree) => {
                if tree.is_dotted() {
                    around_dotted(tree);
                } else {
                    header(tree.decor_mut());
                }
                table_of(tree, inner);
            }
            Item::ArrayOfTables(list) => {
                for tree in list.iter_mut() {
                    header(tree.decor_mut());
                    table_of(tree, inner);
                }
            }
            Item::None => {}
        }
    }
}

/// One blank line before a table and the comments above it.
fn header(decor: &mut Decor) {
    let above = lines(prefix(decor), true);
    let end = behind(suffix(decor));
    decor.set_prefix(format!("\n{above}"));
    decor.set_suffix(end);
}

fn around_key(key: &mut KeyMut<'_>) {
    let decor = key.leaf_decor_mut();
    let above = lines(prefix(decor), false);
    decor.set_prefix(above);
    decor.set_suffix(" ");
}

/// The keys of `a.b = 1` keep their spelling; only the values are touched.
fn around_dotted(tree: &mut Table) {
    for (mut key, item) in tree.iter_mut() {
        if item.is_value() {
            around_key(&mut key);
        }
    }
}

fn value(written: &mut Value, below: Below) {
    match written {
        Value::Array(list) => array(list, below),
        Value::InlineTable(tree) => inline(tree, below),
        _ => {}
    }
}

/// Whether the written form holds a line break or comment where white space may be.
fn is_open(texts: impl IntoIterator<Item = impl AsRef<str>>) -> bool {
    texts.into_iter().any(|text| text.as_ref().contains(['\n', '#']))
}

fn array(list: &mut Array, below: Below) {
    list.iter_mut().for_each(|item| value(item, below));
    let decors = list.iter().flat_map(|item| [prefix(item.decor()).to_owned(), suffix(item.decor()).to_owned()]);
    // Over several lines: the breaks are the author's.
    if is_open(decors.chain([list.trailing().as_str().unwrap_or_default().to_owned()])) {
        return;
    }
    for (at, item) in list.iter_mut().enumerate() {
        item.decor_mut().set_prefix(if at == 0 { "" } else { " " });
        item.decor_mut().set_suffix("");
    }
    list.set_trailing("");
    list.set_trailing_comma(false);
}

fn inline(tree: &mut InlineTable, below: Below) {
    let mut texts = vec![tree.trailing().as_str().unwrap_or_default().to_owned()];
    let mut dotted = false;
    for (key, item) in tree.iter_mut() {
        texts.extend([prefix(key.leaf_decor()), suffix(key.leaf_decor())].map(str::to_owned));
        texts.extend([prefix(item.decor()), suffix(item.decor())].map(str::to_owned));
        dotted |= item.as_inline_table().is_some_and(InlineTable::is_dotted);
        value(item, below.entry(key.get()));
    }
    if dotted || is_open(texts) {
        return;
    }
    if let Some(keys) = below.known() {
        tree.sort_values_by(|one, _, other, _| rank(keys, one.get()).cmp(&rank(keys, other.get())));
    }
    let count = tree.len();
    for (at, (mut key, item)) in tree.iter_mut().enumerate() {
        key.leaf_decor_mut().set_prefix(" ");
        key.leaf_decor_mut().set_suffix(" ");
        item.decor_mut().set_prefix(" ");
        item.decor_mut().set_suffix(if at + 1 == count { " " } else { "" });
    }
    tree.set_trailing("");
    tree.set_trailing_comma(false);
}
