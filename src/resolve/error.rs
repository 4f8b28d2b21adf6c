//! What stands between a question and its answer.

use miette::{Diagnostic, SourceSpan};

use crate::{
    archive::IndexError,
    debian::{Architecture, Relation, RelationError},
    ground::{Class, Failure, RootPath, Span},
};

/// Why a question has no answer. The span is that of the wish behind it, in the tier's manifest.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ResolveError {
    /// Nothing meets a wish.
    #[error("nothing meets the wish `{wish}`: {why}")]
    #[diagnostic(code(debstrata::resolve::wish), help("{help}"))]
    Wish {
        /// The wish, as far as it counts on this architecture.
        wish: Box<Relation>,
        /// What there is instead.
        why: String,
        /// Names in it that no package of this architecture has or provides.
        unknown: Vec<Box<str>>,
        /// The next step.
        help: String,
        /// The wish.
        #[label("asked for here")]
        span: Span,
    },
    /// A wish asks for another version than the chain already has.
    #[error("the wish `{wish}` does not fit {present}, which is there already ({why})")]
    #[diagnostic(
        code(debstrata::resolve::version),
        help("a chain of tiers has one version of a package: change this wish, or the one that brings {present}")
    )]
    Version {
        /// The wish.
        wish: Box<Relation>,
        /// Name and version of the package that is there.
        present: String,
        /// Where it comes from.
        why: String,
        /// The wish.
        #[label("asked for here")]
        span: Span,
    },
    /// Nothing meets a dependency.
    #[error("{} -> `{relation}`: {why}", chain.join(" -> "))]
    #[diagnostic(code(debstrata::resolve::dependency), help("{help}"))]
    Dependency {
        /// Package names, from the one that was wished for to the one with the dependency.
        chain: Vec<Box<str>>,
        /// The dependency.
        relation: Box<Relation>,
        /// What there is instead.
        why: String,
        /// Names in it that no package of this architecture has or provides.
        unknown: Vec<Box<str>>,
        /// The next step.
        help: String,
        /// The wish.
        #[label("needed by what this asks for")]
        span: Span,
    },
    /// Two packages that are needed exclude each other.
    #[error("{package} and {other} cannot be in one root filesystem: {package} says `{field}: {relation}`")]
    #[diagnostic(code(debstrata::resolve::conflict), help("{help}"))]
    Conflict {
        /// Name and version.
        package: String,
        /// Name and version.
        other: String,
        /// `Conflicts` or `Breaks`.
        field: &'static str,
        /// The entry of the field.
        relation: Box<Relation>,
        /// How one of them came into the set.
        way: String,
        /// The same of the other.
        other_way: String,
        /// The next step.
        help: String,
        /// The wish behind one of them.
        #[label("{way}")]
        span: Span,
        /// The wish behind the other, where it is not of the parent chain.
        #[label("{other_way}")]
        other_span: Option<SourceSpan>,
    },
    /// A relation field of the index cannot be read.
    #[error("{package}: its field {field} cannot be read, at byte {} of it", source.offset)]
    #[diagnostic(
        code(debstrata::resolve::field),
        help("the archive itself is at fault: tell its owners, or take the package from another source")
    )]
    Field {
        /// Name and version.
        package: String,
        /// The field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: RelationError,
        /// The wish behind the package.
        #[label("brought in by this")]
        span: Span,
    },
    /// The index says what cannot be used.
    #[error("{source}")]
    #[diagnostic(
        code(debstrata::resolve::index),
        help("the archive itself is at fault: take the package from another source, or leave it out")
    )]
    Index {
        /// What it is.
        source: Box<IndexError>,
        /// The wish behind the package.
        #[label("brought in by this")]
        span: Span,
    },
    /// With `dependencies = "linked"`: a library that neither the parent chain nor a dependency has.
    #[error("{file} of {package} needs {library}, which none of its dependencies has, nor a tier below")]
    #[diagnostic(
        code(debstrata::resolve::library),
        help(
            "add the package that has it to `packages`, exclude the file in [globs], or say why it may be missing: \
             allow-missing = [{{ library = \"{library}\", reason = \"...\" }}]"
        )
    )]
    Library {
        /// The library, as the file asks for it.
        library: String,
        /// The file.
        file: RootPath,
        /// Name and version of its package.
        package: String,
        /// The wish behind the package.
        #[label("brought in by this")]
        span: Span,
    },
    /// More packages or relations than any root filesystem has.
    #[error("this asks for more than {limit} packages")]
    #[diagnostic(
        code(debstrata::resolve::too_many),
        help("an archive that small tiers are composed from has no such package: look at its metadata")
    )]
    TooMany {
        /// The bound.
        limit: usize,
        /// The wish that went over it.
        #[label("asked for here")]
        span: Span,
    },
    /// Too many combinations had to be tried.
    #[error("no set of packages was found within {limit} steps, nor a proof that there is none")]
    #[diagnostic(
        code(debstrata::resolve::too_hard),
        help("name more of the packages that are wanted in `packages`, so that less is left to choose")
    )]
    TooHard {
        /// The bound.
        limit: usize,
        /// The first wish.
        #[label("from here on")]
        span: Span,
    },
}

impl ResolveError {
    /// Names that were asked for and that no package of this architecture has or provides.
    pub fn unknown_names(&self) -> Vec<&str> {
        match self {
            Self::Wish { unknown, .. } | Self::Dependency { unknown, .. } => {
                unknown.iter().map(|name| &**name).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Adds to the help that other architectures have a package of one of the [unknown
    /// names](Self::unknown_names).
    pub fn add_elsewhere(&mut self, name: &str, architectures: &[Architecture]) {
        let (Self::Wish { help, .. } | Self::Dependency { help, .. }) = self else { return };
        let list = |between: &str| architectures.iter().map(|one| one.name()).collect::<Vec<_>>().join(between);
        if !architectures.is_empty() {
            *help =
                format!("{name} is there on {}; a wish for these alone: `{name} [{}]`; {help}", list(", "), list(" "));
        }
    }

    /// The wish behind it, in the tier's manifest.
    pub fn span(&self) -> Span {
        match self {
            Self::Wish { span, .. }
            | Self::Version { span, .. }
            | Self::Dependency { span, .. }
            | Self::Conflict { span, .. }
            | Self::Field { span, .. }
            | Self::Index { span, .. }
            | Self::Library { span, .. }
            | Self::TooMany { span, .. }
            | Self::TooHard { span, .. } => span.clone(),
        }
    }
}

impl Failure for ResolveError {
    fn class(&self) -> Class {
        match self {
            Self::Wish { .. }
            | Self::Version { .. }
            | Self::Dependency { .. }
            | Self::Conflict { .. }
            | Self::Library { .. }
            | Self::TooHard { .. } => Class::User,
            Self::Field { .. } | Self::Index { .. } | Self::TooMany { .. } => Class::World,
        }
    }
}
