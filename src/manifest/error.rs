//! What can be wrong with a project's files.

use std::{fmt, io, path::PathBuf};

use miette::{Diagnostic, LabeledSpan, Severity, SourceCode};

use crate::ground::{Class, Failure, Source, Span};

/// Something that keeps the manifests from being read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ManifestError {
    /// A place in a manifest is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Wrong(Box<Finding>),
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(code(debstrata::manifest::read), help("{}", read_hint(source, path)))]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folders are not laid out as a project's.
    #[error("{message}")]
    #[diagnostic(code(debstrata::manifest::layout), help("{help}"))]
    Layout {
        /// What is wrong, with its path.
        message: String,
        /// What to do.
        help: String,
    },
}

fn read_hint(error: &io::Error, path: &std::path::Path) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound if path.ends_with("manifests") => {
            "a project folder holds manifests/; name another project folder with -C"
        }
        io::ErrorKind::NotFound => "was it removed while it was read? Run the same command again",
        io::ErrorKind::PermissionDenied => "make it readable for the user that runs debstrata",
        _ => "see what the system says about this path, then run the same command again",
    }
}

impl Failure for ManifestError {
    fn class(&self) -> Class {
        match self {
            Self::Wrong(finding) => finding.class,
            Self::Read { source, .. } => class_of(source),
            Self::Layout { .. } => Class::User,
        }
    }
}

/// Who must act on a file that cannot be read: the user where it is not there.
pub(super) fn class_of(error: &io::Error) -> Class {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => Class::User,
        _ => Class::World,
    }
}

impl From<Finding> for ManifestError {
    fn from(finding: Finding) -> Self {
        Self::Wrong(Box::new(finding))
    }
}

/// What a finding is about; the last part of its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The text is no TOML.
    Syntax,
    /// A key that means nothing here.
    UnknownKey,
    /// A key that must be there is not.
    MissingKey,
    /// A value of the wrong TOML type.
    WrongType,
    /// A value that its key does not take.
    BadValue,
    /// A key or value whose meaning is not there yet.
    NotSupported,
    /// A package wish.
    Package,
    /// A glob.
    Glob,
    /// A path inside the tier.
    Path,
    /// A tier's parent.
    Parent,
    /// A thing that is there twice.
    Duplicate,
    /// A user or group that is not there.
    Account,
    /// A file beside the manifest.
    Beside,
    /// A line without effect.
    Idle,
}

impl Topic {
    fn code(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown_key",
            Self::MissingKey => "missing_key",
            Self::WrongType => "wrong_type",
            Self::BadValue => "bad_value",
            Self::NotSupported => "not_supported",
            Self::Package => "package",
            Self::Glob => "glob",
            Self::Path => "path",
            Self::Parent => "parent",
            Self::Duplicate => "duplicate",
            Self::Account => "account",
            Self::Beside => "beside",
            Self::Idle => "idle",
        }
    }
}

/// One finding about one place in a manifest: an error inside [`ManifestError::Wrong`], a warning
/// inside [`super::Loaded`].
#[derive(Debug, Clone)]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// Error or warning.
    pub severity: Severity,
    /// Who must act.
    pub class: Class,
    /// What is wrong, with the key's or value's name.
    pub message: String,
    /// What stands beside the marked place.
    pub label: String,
    /// The next step.
    pub help: Option<String>,
    /// The file.
    pub source: Source,
    /// The place.
    pub span: Span,
    /// Another place of the same file that belongs to it.
    pub other: Option<(Span, String)>,
}

impl Finding {
    /// The next step.
    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("debstrata::manifest::{}", self.topic.code())))
    }

    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let own = LabeledSpan::new_primary_with_span(Some(self.label.clone()), self.span.clone());
        let other =
            self.other.as_ref().map(|(span, label)| LabeledSpan::new_with_span(Some(label.clone()), span.clone()));
        Some(Box::new(other.into_iter().chain([own])))
    }
}

/// Gathers the findings of one file.
pub(super) struct Findings {
    pub source: Source,
    pub list: Vec<Finding>,
}

impl Findings {
    pub(super) fn new(source: Source) -> Self {
        Self { source, list: Vec::new() }
    }

    pub(super) fn error(
        &mut self,
        topic: Topic,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> &mut Finding {
        let at = self.list.len();
        self.list.push(Finding {
            topic,
            severity: Severity::Error,
            class: Class::User,
            message: message.into(),
            label: label.into(),
            help: None,
            source: self.source.clone(),
            span,
            other: None,
        });
        &mut self.list[at]
    }

    /// A finding that stops nothing.
    pub(super) fn warning(
        &mut self,
        topic: Topic,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> &mut Finding {
        let finding = self.error(topic, span, message, label);
        finding.severity = Severity::Warning;
        finding
    }
}

/// A place in some manifest of the project, for findings that concern two of them.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub source: Source,
    pub span: Span,
}

impl Finding {
    /// Names the place that came first: marked where it is in the same file, else told in the help.
    pub(super) fn first(&mut self, place: &Place, help: &str) -> &mut Self {
        if place.source.name == self.source.name {
            self.other = Some((place.span.clone(), "first here".into()));
            self.help = Some(help.into());
        } else {
            let (line, column) = place.source.line_column(place.span.start);
            self.help = Some(format!("first in {}:{line}:{column}; {help}", place.source.name));
        }
        self
    }
}
