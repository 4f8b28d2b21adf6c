//! Reads machine-readable copyright files (copyright-format 1.0, once DEP 5): which licences they name,
//! and the texts of those. Forgiving: a line that is nothing is passed over, as people write these files.

use std::collections::BTreeMap;

/// What a machine-readable copyright file says of licences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copyright {
    /// First lines of the License fields that cover files (or, in the header, all of them), each once.
    pub named: Vec<String>,
    /// Licence texts by their first line, as far as the file has them; empty ones are not here. A text is
    /// as it was written but for the blank in front of each line and the dot of empty ones.
    pub texts: BTreeMap<String, String>,
}

/// One field: its name in small letters, the rest of its line, and its further lines.
struct Field<'a> {
    name: String,
    first: &'a str,
    more: Vec<&'a str>,
}

/// Reads a file; `None` where it is not machine-readable.
pub fn parse(text: &str) -> Option<Copyright> {
    let mut stanzas = stanzas(text);
    let header = stanzas.next()?;
    let format = header.iter().find(|field| field.name == "format" || field.name == "format-specification")?;
    let format = [format.first, &format.more.concat()].concat().to_ascii_lowercase();
    if !["copyright-format", "dep5", "dep-5", "dep.debian.net"].iter().any(|word| format.contains(word)) {
        return None;
    }
    let mut copyright = Copyright::default();
    let (mut covering, mut alone) = (BTreeMap::new(), BTreeMap::new());
    for (number, stanza) in std::iter::once(header).chain(stanzas).enumerate() {
        let covers = number == 0 || stanza.iter().any(|field| field.name == "files");
        for field in stanza.into_iter().filter(|field| field.name == "license") {
            let name = field.first.split_whitespace().collect::<Vec<_>>().join(" ");
            let text = field.text();
            let found = if covers { &mut covering } else { &mut alone };
            let next = found.len();
            found.entry(name.clone()).or_insert(next);
            if !text.is_empty() {
                copyright.texts.entry(name).or_insert(text);
            }
        }
    }
    let found = if covering.is_empty() { alone } else { covering };
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, place)| *place);
    copyright.named = found.into_iter().map(|(name, _)| name).collect();
    Some(copyright)
}

impl Field<'_> {
    /// The further lines as a text, without blank lines at its ends.
    fn text(&self) -> String {
        let line = |line: &&str| {
            // `get`: a line may be one blank alone.
            let line = line.get(1..).unwrap_or_default().trim_end();
            if line.trim_start() == "." { "" } else { line }.to_owned()
        };
        self.more.iter().map(line).collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
    }
}

/// The stanzas that have a field.
fn stanzas(text: &str) -> impl Iterator<Item = Vec<Field<'_>>> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().peekable();
    std::iter::from_fn(move || {
        let mut fields: Vec<Field<'_>> = Vec::new();
        // Whether the last line that was no continuation began a field.
        let mut open = false;
        lines.peek()?;
        for line in lines.by_ref() {
            if line.trim().is_empty() {
                if fields.is_empty() {
                    continue;
                }
                break;
            }
            if line.starts_with([' ', '\t']) {
                if let Some(field) = fields.last_mut().filter(|_| open) {
                    field.more.push(line);
                }
                continue;
            }
            let field = line.split_once(':').filter(|(name, _)| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            });
            open = field.is_some();
            fields.extend(field.map(|(name, first)| Field {
                name: name.to_ascii_lowercase(),
                first: first.trim(),
                more: Vec::new(),
            }));
        }
        Some(fields)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file that says the same.
    fn written(copyright: &Copyright) -> String {
        let mut text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n".to_owned();
        let mut one = |head: &str, name: &String| {
            text.push_str(&format!("\n{head}License: {name}\n"));
            for line in copyright.texts.get(name).map(|text| text.split('\n')).into_iter().flatten() {
                text.push_str(&format!(" {}\n", if line.is_empty() { "." } else { line }));
            }
        };
        copyright.named.iter().for_each(|name| one("Files: *\n", name));
        copyright.texts.keys().filter(|name| !copyright.named.contains(name)).for_each(|name| one("", name));
        text
    }

    const FILE: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: x
Disclaimer: License: none
 License: neither

Files: *
Copyright: 2020 A
License: GPL-2+ or  Artistic

junk
Files: b
License: custom
 You may.
 .
  Indented: yes
 .

License: GPL-2+
 See /usr/share/common-licenses/GPL-2.

License: unused
";

    #[test]
    fn a_file() {
        let found = parse(FILE).unwrap();
        assert_eq!(found.named, ["GPL-2+ or Artistic", "custom"]);
        let texts: Vec<_> = found.texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(
            texts,
            [("GPL-2+", "See /usr/share/common-licenses/GPL-2."), ("custom", "You may.\n\n Indented: yes")]
        );
        assert_eq!(parse(&FILE.replace('\n', "\r\n")).unwrap().named, found.named);
    }

    #[test]
    fn what_is_not_machine_readable() {
        for text in ["", "\n\n", "This package was debianized by A.\n", "Format: 3.0 (quilt)\n", "License: MIT\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse("Format: http://dep.debian.net/deps/dep5\n").unwrap(), Copyright::default());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(Format: dep5\n)?((License|Files|é|:|[ .x\t])[: .\n\r]{0,4}){0,40}") {
            parse(&text);
        }

        #[test]
        fn what_is_written_again_reads_the_same(text in "Format: dep5\n((\n)?(License: [a-c]{1,3}|Files: x| [a-c.]{0,3}|\\t\\.|:)\n){0,20}") {
            let found = parse(&text).unwrap();
            let again = parse(&written(&found)).unwrap();
            prop_assert_eq!(&written(&again), &written(&found));
            prop_assert_eq!(again, found);
        }
    }
}
