//! The errors of all rooms, on their way to the one place that shows them.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, Severity, SourceCode};

use crate::{
    debian::Architecture,
    ground::{Class, Failure, Source},
};

/// Everything that failed in a run; never empty.
#[derive(Debug)]
pub struct Failures(pub Vec<Box<dyn Failure>>);

impl Failures {
    /// Who must act: the user, as soon as one of them says so.
    pub fn class(&self) -> Class {
        self.0.iter().map(|failure| failure.class()).max().unwrap_or(Class::User)
    }
}

impl Failures {
    /// All results, or else all failures: what fails in one place hides nothing of another.
    pub(super) fn gather<T>(results: impl IntoIterator<Item = Result<T, Self>>) -> Result<Vec<T>, Self> {
        let (mut all, mut failures) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(one) => all.push(one),
                Err(more) => failures.extend(more.0),
            }
        }
        if failures.is_empty() { Ok(all) } else { Err(Self(failures)) }
    }
}

impl<E: Failure> From<E> for Failures {
    fn from(error: E) -> Self {
        Self(vec![Box::new(error)])
    }
}

impl<E: Failure> From<Vec<E>> for Failures {
    fn from(errors: Vec<E>) -> Self {
        Self(errors.into_iter().map(|error| Box::new(error) as Box<dyn Failure>).collect())
    }
}

/// A diagnostic whose spans lie in a text that the room which made it did not have.
#[derive(Debug)]
pub struct Located<E> {
    source: Source,
    architecture: Option<Architecture>,
    error: E,
}

impl<E> Located<E> {
    /// Joins an error with the text that its spans point into.
    pub fn new(source: &Source, error: E) -> Self {
        Self { source: source.clone(), architecture: None, error }
    }

    /// The same, of one architecture.
    pub(super) fn on(architecture: Architecture, source: &Source, error: E) -> Self {
        Self { source: source.clone(), architecture: Some(architecture), error }
    }
}

impl<E: fmt::Display> fmt::Display for Located<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        self.architecture.map_or(Ok(()), |architecture| write!(f, " (for {architecture})"))
    }
}

impl<E: std::error::Error> std::error::Error for Located<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl<E: Diagnostic> Diagnostic for Located<E> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.code()
    }

    fn severity(&self) -> Option<Severity> {
        self.error.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.error.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        self.error.related()
    }

    fn diagnostic_source(&self) -> Option<&dyn Diagnostic> {
        self.error.diagnostic_source()
    }
}

impl<E: Failure> Failure for Located<E> {
    fn class(&self) -> Class {
        self.error.class()
    }
}

/// stdout could not be written.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot write the result to standard output")]
#[diagnostic(code(debstrata::stdout), help("the work itself is done; see where standard output goes"))]
struct StdoutError(#[source] std::io::Error);

impl Failure for StdoutError {
    fn class(&self) -> Class {
        Class::World
    }
}

/// The failure of printing a result.
pub fn stdout_failed(error: std::io::Error) -> Failures {
    StdoutError(error).into()
}
