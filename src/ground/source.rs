//! Positions in the text that a user wrote.

use std::{ops::Range, sync::Arc};

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// A stretch of a text, in bytes.
pub type Span = Range<usize>;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands in its source.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value and its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A text that a user wrote, with its name. Cheap to clone; diagnostics carry it along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as the user would name it (relative to the project folder).
    pub name: Arc<str>,
    /// All of it.
    pub text: Arc<str>,
}

impl Source {
    /// A text with its name.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Line and column (both from 1; the column counts characters) of a byte offset.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.as_bytes().read_span(span, before, after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_string(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}

/// The one of `known` that `word` was most likely meant to be, if any comes near: at most a third
/// of its letters wrong.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Of equally near ones that which begins alike: people mistype the beginning least.
    let unlike = |name: &str| usize::MAX - word.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(word, name), unlike(name), name))
        .filter(|(distance, _, name)| *distance <= name.chars().count().max(3) / 3)
        .min()
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns() {
        let source = Source::new("x", "ab\ncé\nd");
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(3), (2, 1));
        assert_eq!(source.line_column(5), (2, 2), "inside é");
        assert_eq!(source.line_column(7), (3, 1));
        assert_eq!(source.line_column(99), (3, 2));
    }

    #[test]
    fn nearest_names() {
        let known = ["packages", "parent", "globs"];
        assert_eq!(nearest("pakages", known), Some("packages"));
        assert_eq!(nearest("glob", known), Some("globs"));
        assert_eq!(nearest("users", known), None);
        assert_eq!(nearest("gitt", ["gist", "git"]), Some("git"));
    }
}
