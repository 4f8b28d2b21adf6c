//! Why a tier cannot be composed.

use std::{io, path::PathBuf};

use miette::{LabeledSpan, SourceSpan};

use super::{OverLimit, Unfulfilled, UnknownUser, declare::GENTLE};
use crate::{
    generate::GenerateError,
    ground::{Class, Failure, PathError, RootPath, Source},
    rootfs::Origin,
};

/// Why a tier cannot be composed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ComposeError {
    /// Two packages have different files or links of one name.
    #[error("{path}{} of {tier} is different in {first} and in {second}", more(*.others))]
    #[diagnostic(
        code(debstrata::compose::different_files),
        help("keep one: exclude the path in [globs.package.NAME], or put your own into [[files]] or [[symlinks]]")
    )]
    DifferentFiles {
        /// The tier.
        tier: String,
        /// The first such path.
        path: RootPath,
        /// How many more paths the same two differ in.
        others: usize,
        /// Who has one.
        first: String,
        /// Who has the other.
        second: String,
    },
    /// One path is to be two kinds of thing.
    #[error("{path} of {tier} is {first} and {second}")]
    #[diagnostic(
        code(debstrata::compose::different_kinds),
        help("a tier never changes what kind of thing a path is; {next}")
    )]
    DifferentKinds {
        /// The tier.
        tier: Box<str>,
        /// The path.
        path: RootPath,
        /// What it is, and whose: `a file in the package x 1 (all)`.
        first: Box<str>,
        /// What it is to be too, and whose.
        second: Box<str>,
        /// The tier's manifest, where it declares one of them.
        #[source_code]
        source_code: Source,
        /// Where.
        #[label(collection)]
        labels: Vec<LabeledSpan>,
        /// What could be done.
        next: String,
    },
    /// A package has a folder where the tree has a link that leads to none.
    #[error("{link} of {tier} is a link to {target}, which is no directory, but {example} lies below it")]
    #[diagnostic(
        code(debstrata::compose::link_to_no_folder),
        help("exclude the link in [globs], or make what it leads to with [[directories]]")
    )]
    LinkToNoFolder {
        /// The tier.
        tier: String,
        /// The link.
        link: RootPath,
        /// Its target, printable.
        target: String,
        /// Something that was to go through it.
        example: RootPath,
    },
    /// A tier's manifest fills one path twice.
    #[error("{path} of {tier} comes from {first} and from {second}")]
    #[diagnostic(code(debstrata::compose::declared_twice), help("delete one of them"))]
    DeclaredTwice {
        /// The tier.
        tier: Box<str>,
        /// The path.
        path: RootPath,
        /// One.
        first: Box<str>,
        /// The other.
        second: Box<str>,
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// Where.
        #[label(collection)]
        labels: Vec<LabeledSpan>,
    },
    /// A file beside the manifest cannot be read.
    #[error("{} cannot be read", .file.display())]
    #[diagnostic(code(debstrata::compose::source_file))]
    SourceFile {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// Where it names the file.
        #[label("asks for it")]
        span: SourceSpan,
        /// The next step.
        #[help]
        help: &'static str,
    },
    /// Accounts would be lost that somebody else wrote.
    #[error("{path} comes from {origin}; the one made of [[users]] and [[groups]] would lose its lines")]
    #[diagnostic(
        code(debstrata::compose::accounts),
        help("declare its users and groups in [[users]] and [[groups]], and leave that file out")
    )]
    Accounts {
        /// The path.
        path: RootPath,
        /// Who has it.
        origin: String,
    },
    /// A path is too long once it is rewritten.
    #[error("{path} of {package} cannot be placed: {why}")]
    #[diagnostic(code(debstrata::compose::unplaceable), help("exclude the path in [globs]"))]
    Unplaceable {
        /// The path, as it was written.
        path: RootPath,
        /// Whose it is.
        package: String,
        /// Why.
        why: PathError,
    },
    /// The tier is over one of its limits.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Limit(Box<OverLimit>),
    /// An expectation is not met.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unfulfilled(Box<Unfulfilled>),
    /// An image would run as somebody who is not there.
    #[error(transparent)]
    #[diagnostic(transparent)]
    UnknownUser(Box<UnknownUser>),
    /// A file that an expectation asks about cannot be read.
    #[error("what {path} holds cannot be read from the cache")]
    #[diagnostic(code(debstrata::compose::content), help("delete derived/ in the cache folder; it is made anew"))]
    Content {
        /// The path in the tier.
        path: RootPath,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A generated file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Generate(#[from] GenerateError),
}

impl ComposeError {
    /// What can be done about two of different kinds.
    pub(super) fn next(origins: [&Origin; 2]) -> String {
        let unasked = origins.into_iter().find_map(|origin| match origin {
            Origin::Generated { generator, .. } if GENTLE.contains(generator) => Some(*generator),
            _ => None,
        });
        match unasked {
            Some(key) => {
                format!("generate.{key} = false makes nothing of what packages ask for, or declare the path yourself")
            }
            None => "exclude one of them in [globs], or declare another path".to_owned(),
        }
    }
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " (and one more path)".into(),
        others => format!(" (and {others} more paths)"),
    }
}

impl Failure for ComposeError {
    fn class(&self) -> Class {
        match self {
            ComposeError::Generate(error) => error.class(),
            ComposeError::Content { .. } => Class::World,
            ComposeError::SourceFile { error, .. } => match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::InvalidData => Class::User,
                _ => Class::World,
            },
            _ => Class::User,
        }
    }
}
