//! deb822 stanzas (deb822(5), Policy 5.1).
//!
//! Two readers: [`Cursor`] borrows from a whole text, for indexes of many MiB; [`Reader`] takes a
//! stream, owns what it returns, and knows comments, for files that people write.

use std::io::{self, BufRead, Read as _};

use memchr::memchr;

use crate::ground::printable;

/// A text is no deb822.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Deb822Error {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    #[source]
    pub problem: Deb822Problem,
}

/// What can be wrong in a deb822 text.
#[derive(Debug, thiserror::Error)]
pub enum Deb822Problem {
    /// A line that starts with a blank, and no field before it.
    #[error("this line continues a field, but no field stands before it")]
    Continuation,
    /// No `Name:`.
    #[error("this line has no `Field:`: {0:?}")]
    NoField(String),
    /// Twice in one stanza (field names are compared without case).
    #[error("the field {0} stands here twice")]
    Duplicate(String),
    /// No UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// A line above [`LONGEST_LINE`].
    #[error("the line is longer than {LONGEST_LINE} bytes")]
    LongLine,
    /// A stanza above [`LARGEST_STANZA`].
    #[error("the stanza is larger than {LARGEST_STANZA} bytes")]
    LargeStanza,
    /// The stream broke off.
    #[error("cannot be read")]
    Io(#[source] io::Error),
}

/// The longest line that [`Reader`] takes, in bytes, its end included.
pub const LONGEST_LINE: usize = 1 << 20;
/// The largest stanza that [`Reader`] takes, in bytes, comments left out.
pub const LARGEST_STANZA: usize = 4 << 20;

/// One field, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// As written; compare without case.
    pub name: &'a str,
    /// Without blanks at its ends. Continuation lines are inside, as they were written.
    pub value: &'a str,
    /// Where the field begins, from 1.
    pub line: usize,
    /// Whether it has continuation lines.
    pub folded: bool,
}

/// Walks over a whole text. Lines may end in CR LF; lines of blanks alone end a stanza. Comments
/// are unknown here, as in generated files.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// Byte offset of the next line.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Number of the next line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Goes to the beginning of the next stanza; `false` at the end of the text. Within a stanza it
    /// stays.
    pub fn stanza(&mut self) -> bool {
        while let Some(line) = self.peek() {
            if !is_blank(line) {
                return true;
            }
            self.skip(line);
        }
        false
    }

    /// The next field of this stanza; `None` at its end.
    #[inline]
    pub fn field(&mut self) -> Result<Option<Field<'a>>, Deb822Error> {
        let Some(first) = self.peek() else { return Ok(None) };
        if matches!(first.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n')) {
            if is_blank(first) {
                return Ok(None);
            }
            return Err(Deb822Error { line: self.line, problem: Deb822Problem::Continuation });
        }
        let (start, line) = (self.at, self.line);
        let Some(colon) = name_length(first) else {
            return Err(Deb822Error { line, problem: Deb822Problem::NoField(excerpt(first)) });
        };
        self.skip(first);
        // Looked at before the line is measured: hardly any field goes on.
        while let Some(b' ' | b'\t') = self.text.as_bytes().get(self.at) {
            let Some(more) = self.peek().filter(|more| !is_blank(more)) else { break };
            self.skip(more);
        }
        // The name is ASCII, and lines begin and end at characters: these slices exist.
        let name = self.text.get(start..start + colon).unwrap_or_default();
        let value = self.text.get(start + colon + 1..self.at).unwrap_or_default();
        Ok(Some(Field { name, value: value.trim_ascii(), line, folded: self.line - line > 1 }))
    }

    /// The next line with its end.
    #[inline]
    fn peek(&self) -> Option<&'a [u8]> {
        let rest = self.text.as_bytes().get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
        rest.get(..end)
    }

    #[inline]
    fn skip(&mut self, line: &[u8]) {
        self.at += line.len();
        self.line += 1;
    }
}

/// The length of the field's name, where the line has one: printable ASCII but `:`, and no `#` or
/// `-` at the front.
#[inline]
fn name_length(line: &[u8]) -> Option<usize> {
    let colon = line.iter().position(|byte| !matches!(byte, b'!'..=b'9' | b';'..=b'~'))?;
    let first = line.first()?;
    (line.get(colon) == Some(&b':') && colon > 0 && !matches!(first, b'#' | b'-')).then_some(colon)
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

fn excerpt(line: &[u8]) -> String {
    printable(line.trim_ascii_end()).chars().take(60).collect()
}

/// A stanza that owns its text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stanza {
    /// In the order of the text.
    pub fields: Vec<OwnedField>,
}

/// One field of a [`Stanza`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedField {
    /// As written.
    pub name: String,
    /// The lines joined by `\n`, each without its first blank and without blanks at its end; the
    /// first one without blanks at either end.
    pub value: String,
    /// Where the field begins, from 1.
    pub line: usize,
}

impl Stanza {
    /// The value of a field, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.as_str())
    }

    /// Where it begins, from 1.
    pub fn line(&self) -> usize {
        self.fields.first().map_or(1, |field| field.line)
    }
}

/// Reads stanzas from a stream, one at a time, in bounded memory. An error ends it.
pub struct Reader<R> {
    stream: R,
    comments: bool,
    line: usize,
    done: bool,
}

impl<R: BufRead> Reader<R> {
    /// A reader for generated files: no comments.
    pub fn new(stream: R) -> Self {
        Self { stream, comments: false, line: 0, done: false }
    }

    /// A reader that skips lines which begin with `#`, also inside a field (as in apt's sources).
    pub fn with_comments(stream: R) -> Self {
        Self { comments: true, ..Self::new(stream) }
    }

    fn read_stanza(&mut self) -> Result<Option<Stanza>, Deb822Problem> {
        let mut stanza = Stanza::default();
        let mut size = 0;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let mut bounded = (&mut self.stream).take(LONGEST_LINE as u64 + 1);
            let read = bounded.read_until(b'\n', &mut bytes).map_err(Deb822Problem::Io)?;
            if read == 0 {
                self.done = true;
                break;
            }
            self.line += 1;
            if read > LONGEST_LINE {
                return Err(Deb822Problem::LongLine);
            }
            if self.comments && bytes.first() == Some(&b'#') {
                continue;
            }
            if is_blank(&bytes) {
                if stanza.fields.is_empty() {
                    continue;
                }
                break;
            }
            size += read;
            if size > LARGEST_STANZA {
                return Err(Deb822Problem::LargeStanza);
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| Deb822Problem::NotUtf8)?;
            if let Some(more) = text.strip_prefix([' ', '\t']) {
                let field = stanza.fields.last_mut().ok_or(Deb822Problem::Continuation)?;
                field.value.push('\n');
                field.value.push_str(more.trim_ascii_end());
                continue;
            }
            let colon = name_length(&bytes).ok_or_else(|| Deb822Problem::NoField(excerpt(&bytes)))?;
            let (name, value) = (text.get(..colon).unwrap_or_default(), text.get(colon + 1..).unwrap_or_default());
            if stanza.get(name).is_some() {
                return Err(Deb822Problem::Duplicate(name.to_owned()));
            }
            let field = OwnedField { name: name.to_owned(), value: value.trim_ascii().to_owned(), line: self.line };
            stanza.fields.push(field);
        }
        Ok((!stanza.fields.is_empty()).then_some(stanza))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Stanza, Deb822Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let stanza = self.read_stanza();
        self.done |= stanza.is_err();
        stanza.map_err(|problem| Deb822Error { line: self.line.max(1), problem }).transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\n\nA: 1\r\nB:\n x\n  y \n .\n\nC : no\n";

    type Fields = Vec<(String, String, usize)>;

    fn borrowed(text: &str) -> Result<Vec<Fields>, Deb822Error> {
        let mut cursor = Cursor::new(text);
        let mut stanzas = Vec::new();
        while cursor.stanza() {
            let mut fields = Vec::new();
            while let Some(field) = cursor.field()? {
                fields.push((field.name.to_owned(), field.value.to_owned(), field.line));
            }
            stanzas.push(fields);
        }
        Ok(stanzas)
    }

    fn streamed(text: &[u8]) -> Result<Vec<Stanza>, Deb822Error> {
        Reader::with_comments(text).collect()
    }

    #[test]
    fn fields_and_lines() {
        let text = &TEXT[..TEXT.len() - 7];
        let expected = [("A".to_owned(), "1".to_owned(), 3), ("B".to_owned(), "x\n  y \n .".to_owned(), 4)];
        assert_eq!(borrowed(text).unwrap(), [expected]);
        let stanzas = streamed(text.as_bytes()).unwrap();
        assert_eq!(stanzas.len(), 1);
        assert_eq!(stanzas[0].get("a"), Some("1"));
        assert_eq!(stanzas[0].get("B"), Some("\nx\n y\n."));
        assert_eq!((stanzas[0].line(), stanzas[0].fields[1].line), (3, 4));
        assert_eq!(borrowed("A: 1\n \t\nB: 2").unwrap().len(), 2, "a line of blanks ends a stanza");
        assert_eq!(streamed(b"A: 1\n \t\nB: 2").unwrap().len(), 2);
        assert_eq!(borrowed("").unwrap().len(), 0);
    }

    #[test]
    fn comments() {
        let stanzas = streamed(b"# x\nA: 1\n# y\n 2\n#\n\n# z\n\nB: #3\n").unwrap();
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].get("A"), Some("1\n2"));
        assert_eq!(stanzas[1].get("B"), Some("#3"));
        assert!(Reader::new(&b"# x\n"[..]).next().unwrap().is_err(), "none in generated files");
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line, part) in [
            (TEXT, 9, "no `Field:`: \"C : no\""),
            (" x\nA: 1", 1, "continues"),
            ("A: 1\nxyz\n", 2, "no `Field:`"),
            ("A: 1\n: 2\n", 2, "no `Field:`"),
            ("-A: 1\n", 1, "no `Field:`"),
            ("Ä: 1\n", 1, "no `Field:`"),
        ] {
            let errors =
                [borrowed(text).expect_err(text).to_string(), streamed(text.as_bytes()).expect_err(text).to_string()];
            for error in errors {
                assert!(error.starts_with(&format!("line {line}: ")) && error.contains(part), "{text}: {error}");
            }
        }
        let error = streamed(b"A: 1\nB: 2\na: 3\n").unwrap_err();
        assert_eq!(error.to_string(), "line 3: the field a stands here twice");
        assert_eq!(streamed(b"A: 1\nB: \xff\n").unwrap_err().to_string(), "line 2: the text is not UTF-8");
    }

    #[test]
    fn lines_and_stanzas_are_bounded() {
        let line = format!("A: {}\n", "x".repeat(LONGEST_LINE - 4));
        assert_eq!(streamed(line.as_bytes()).unwrap().len(), 1);
        let error = streamed(line.replace("A:", "AA:").as_bytes()).unwrap_err();
        assert!(matches!(error.problem, Deb822Problem::LongLine));
        let stanza = (0..5).map(|n| line.replacen('A', &n.to_string(), 1)).collect::<String>();
        assert!(matches!(streamed(stanza.as_bytes()).unwrap_err().problem, Deb822Problem::LargeStanza));
    }

    proptest! {
        #[test]
        fn both_readers_agree(text in "([AB]: ?[ab\t ]{0,2}\r?\n|[ \t]{0,2}[.a]?\n|\n){0,8}") {
            match (borrowed(&text), streamed(text.as_bytes())) {
                (Ok(borrowed), Ok(streamed)) => {
                    prop_assert_eq!(borrowed.len(), streamed.len());
                    for (borrowed, streamed) in borrowed.iter().zip(&streamed) {
                        prop_assert_eq!(borrowed.len(), streamed.fields.len());
                    }
                }
                (Err(a), Err(b)) => prop_assert!(b.line <= a.line),
                // Only the stream looks for duplicates of every field.
                (Ok(_), Err(error)) => prop_assert!(matches!(error.problem, Deb822Problem::Duplicate(_))),
                (Err(error), Ok(_)) => prop_assert!(false, "{error}"),
            }
        }
    }
}
