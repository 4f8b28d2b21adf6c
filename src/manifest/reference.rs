//! docs/manifest-reference.md: the tables in `keys.rs`, which reading and the JSON Schemas follow, as a page.

use std::fmt::Write as _;

use super::keys::{self, Key, Kind, Status, Table};

const HEAD: &str = "\
# All keys of manifests

Made by `debstrata schema --markdown`, of the table that reading, its messages and the JSON Schemas
([archive.toml](schema/archive.schema.json), [a tier](schema/tier.schema.json)) follow; a test keeps it fresh.
[Manifests](manifest.md) explains the keys, with examples, and says how [paths, globs, sizes and
moments](manifest.md#manifests) are written. A key that is on neither page is an error.
";

/// The page.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for table in keys::TABLES {
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## `{}`\n\n| key | takes | meaning |\n| --- | --- | --- |\n", table.title);
        for key in table.keys.iter().filter(|key| key.status == Status::Now) {
            page.push_str(&row(key));
        }
    }
    page
}

fn row(key: &'static Key) -> String {
    let needed = if key.required { "Needed. " } else { "" };
    let doc = key.doc.replace('|', "\\|");
    format!("| `{}` | {} | {needed}{doc} |\n", key.name, takes(&key.kind))
}

/// What a key takes, with links to the tables below it.
fn takes(kind: &'static Kind) -> String {
    match kind {
        Kind::Table(table) => format!("a table, {}", link(table)),
        Kind::List(Kind::Table(table)) => format!("a list of tables, {}", link(table)),
        Kind::List(kind) => format!("a list, each {}", takes(kind)),
        Kind::Map(Kind::Table(table)) => format!("tables by name, {}", link(table)),
        Kind::Map(kind) => format!("a table of free keys, each {}", takes(kind)),
        Kind::Either(kinds) => kinds.iter().map(takes).collect::<Vec<_>>().join(", or "),
        Kind::Choice(words) => {
            let now = words.iter().filter(|(_, status)| *status == Status::Now);
            now.map(|(word, _)| format!("`{word:?}`")).collect::<Vec<_>>().join(" or ")
        }
        scalar => example_as_code(&scalar.describe()),
    }
}

/// `a mode in octal such as 0o755`, its last part as code.
fn example_as_code(text: &str) -> String {
    match text.split_once(" such as ") {
        Some((what, example)) => format!("{what} such as `{example}`"),
        None => text.to_owned(),
    }
}

fn link(table: &Table) -> String {
    let anchor =
        table.title.to_lowercase().replace(' ', "-").replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "");
    format!("[`{}`](#{anchor})", table.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_fresh() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manifest-reference.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == reference(), "run `debstrata schema --markdown > docs/manifest-reference.md`");
    }

    #[test]
    fn every_table_that_a_key_takes_has_its_section() {
        fn tables(kind: &'static Kind, found: &mut Vec<&'static str>) {
            match kind {
                Kind::Table(table) => {
                    found.push(table.title);
                    table.keys.iter().for_each(|key| tables(&key.kind, found));
                }
                Kind::List(kind) | Kind::Map(kind) => tables(kind, found),
                Kind::Either(kinds) => kinds.iter().for_each(|kind| tables(kind, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        [&keys::ARCHIVE, &keys::TIER].iter().for_each(|table| {
            found.push(table.title);
            table.keys.iter().for_each(|key| tables(&key.kind, &mut found));
        });
        found.sort_unstable();
        found.dedup();
        let mut sections: Vec<_> = keys::TABLES.iter().map(|table| table.title).collect();
        sections.sort_unstable();
        assert_eq!(sections, found);
        let page = reference();
        for (at, _) in page.match_indices("](#") {
            let anchor = page[at + 3..].split(')').next().unwrap();
            let heading = |line: &str| {
                let title = line.strip_prefix("## `")?.trim_end_matches('`');
                Some(title.to_lowercase().replace(' ', "-").replace(['[', ']', '.'], ""))
            };
            assert!(page.lines().filter_map(heading).any(|other| other == anchor), "{anchor}");
        }
    }
}
