//! `--explain CODE`: every diagnostic has a code, and every code is explained, from one table that
//! docs/errors.md is made of, too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    ground::{nearest, printable},
    pipeline::{self, Failures},
};

/// By code without `debstrata::`.
const TABLE: &str = include_str!("explain/table.toml");
/// How every code begins.
const PREFIX: &str = "debstrata::";
/// Instead of a code: the whole page.
const ALL: &str = "all";

const HEAD: &str = "\
# What went wrong

Every diagnostic begins with its code, such as `debstrata::fetch::gone`. `debstrata --explain fetch::gone`
says what is written here. Exit status 2 means that you must edit something, 3 that nothing in the project is
wrong.

Made by `debstrata --explain all`; a test keeps it fresh.
";

/// What is to be said of one code.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// What it is, in a few words.
    title: String,
    /// What happened.
    what: String,
    /// What to do.
    #[serde(rename = "do")]
    remedy: String,
    /// What brings it about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    example: Option<String>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Explained<'a> {
    code: String,
    #[serde(flatten)]
    entry: &'a Entry,
}

fn table() -> BTreeMap<String, Entry> {
    toml::from_str(TABLE).expect("the table is checked by a test")
}

/// Explains a code, with or without `debstrata::`; `all` prints docs/errors.md.
pub(super) fn explain(session: &Session, code: &str) -> Result<Answer, Failures> {
    let table = table();
    if code == ALL {
        session.reporter.bytes(page(&table).as_bytes()).map_err(pipeline::stdout_failed)?;
        return Ok(Answer::Yes);
    }
    let short = code.strip_prefix(PREFIX).unwrap_or(code);
    let Some(entry) = table.get(short) else { return Err(unknown(code, short, &table).into()) };
    let explained = Explained { code: format!("{PREFIX}{short}"), entry };
    session.reporter.result(&explained, || text(&explained)).map_err(pipeline::stdout_failed)?;
    Ok(Answer::Yes)
}

fn unknown(code: &str, short: &str, table: &BTreeMap<String, Entry>) -> UsageError {
    let codes = || table.keys().map(String::as_str);
    // The last part may be all that somebody remembers.
    let ends = || codes().filter(|known| known.rsplit("::").next() == Some(short));
    let help = match (ends().next(), nearest(short, codes())) {
        (Some(_), _) => format!("did you mean {}?", ends().collect::<Vec<_>>().join(" or ")),
        (None, Some(near)) => format!("did you mean {near}?"),
        (None, None) => "a message's code stands in its first line; `debstrata --explain all` lists them".into(),
    };
    UsageError::new(format!("no diagnostic has the code {:?}", printable(code.as_bytes())), help)
}

fn text(explained: &Explained<'_>) -> String {
    let Entry { title, what, remedy, example } = explained.entry;
    let mut text = format!("{}: {title}\n\n{}\n\n{}\n", explained.code, what.trim(), remedy.trim());
    if let Some(example) = example {
        text.push_str("\nFor example:\n\n");
        text.extend(example.trim_end().lines().map(|line| format!("  {line}\n")));
    }
    text
}

fn page(table: &BTreeMap<String, Entry>) -> String {
    let mut page = HEAD.to_owned();
    for (code, Entry { title, what, remedy, example }) in table {
        page.push_str(&format!("\n## {code}\n\n**{title}.** {}\n\n{}\n", what.trim(), remedy.trim()));
        if let Some(example) = example {
            page.push_str(&format!("\n```text\n{}\n```\n", example.trim_end()));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn files(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("explain.rs") {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }

    /// Every code that the source names: in `code(debstrata::...)` and in strings.
    fn codes() -> BTreeSet<String> {
        let mut texts = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
        let mut codes = BTreeSet::new();
        for text in &texts {
            for mark in ["code(debstrata::", "\"debstrata::"] {
                for (at, _) in text.match_indices(mark) {
                    let rest = &text[at + mark.len()..];
                    let code: String =
                        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')).collect();
                    // A code whose last part is put in: the list of topics has it.
                    if rest[code.len()..].starts_with('{') {
                        assert_eq!(code, "manifest::");
                        let topics = texts.iter().find(|text| text.contains("fn code(self) -> &'static str")).unwrap();
                        let list = topics.split("fn code(self) -> &'static str").nth(1).unwrap();
                        let words = list.split("    }\n}").next().unwrap().split('"').skip(1).step_by(2);
                        codes.extend(words.map(|word| format!("manifest::{word}")));
                        continue;
                    }
                    codes.insert(code);
                }
            }
        }
        codes
    }

    #[test]
    fn every_code_is_explained_and_nothing_else_is() {
        let codes = codes();
        assert!(codes.len() > 100 && codes.contains("manifest::unknown_key") && codes.contains("usage"), "{codes:?}");
        let explained: BTreeSet<_> = table().into_keys().collect();
        let missing: Vec<_> = codes.difference(&explained).collect();
        assert!(missing.is_empty(), "src/cli/explain/table.toml lacks {missing:?}");
        let idle: Vec<_> = explained.difference(&codes).collect();
        assert!(idle.is_empty(), "nothing says {idle:?} any more: take it out of src/cli/explain/table.toml");
    }

    #[test]
    fn explanations_are_whole_and_short() {
        for (code, Entry { title, what, remedy, example }) in table() {
            assert!(title.len() < 80 && !title.ends_with('.') && title.starts_with(char::is_uppercase), "{code}");
            for text in [&what, &remedy] {
                assert!(
                    text.trim().ends_with(['.', '`', ':', ')']) && text.len() > 20 && text.len() < 700,
                    "{code}: {text}"
                );
            }
            assert!(example.is_none_or(|example| example.lines().all(|line| line.len() < 110)), "{code}");
        }
    }

    #[test]
    fn the_page_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == page(&table()), "run `debstrata --explain all > docs/errors.md`");
    }
}
