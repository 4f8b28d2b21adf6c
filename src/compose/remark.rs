//! What the user may want to know about a composition.

use std::sync::Arc;

use miette::SourceSpan;

use crate::{
    ground::{RootPath, Source},
    rootfs::{Attributes, PackageName},
};

impl Remark {
    /// Whether it is only worth telling where it holds for every architecture that was composed: a
    /// glob may be meant for one of them.
    pub fn needs_every_architecture(&self) -> bool {
        matches!(self, Self::IdleGlob { .. } | Self::IdleRule { .. })
    }
}

/// What the user may want to know about a composition. Warnings want an edit, the others (severity
/// advice) tell how something was settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum Remark {
    /// A glob matched nothing.
    #[error("the {key} {glob:?} matches nothing")]
    #[diagnostic(code(debstrata::compose::idle_glob), severity(Warning), help("correct it or delete it"))]
    IdleGlob {
        /// `include` or `exclude`. An exclude is asked only about what is included.
        key: &'static str,
        /// The glob.
        glob: String,
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// The glob.
        #[label("no path of a package is like this")]
        span: SourceSpan,
    },
    /// A tarball that puts nothing into the tier.
    #[error("an archive puts nothing into the tier")]
    #[diagnostic(
        code(debstrata::compose::idle_archive),
        severity(Warning),
        help("look at `strip-components`, `include` and `exclude`, or take it out")
    )]
    IdleArchive {
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// The table.
        #[label("nothing of it is kept")]
        span: SourceSpan,
    },
    /// A rule for a package that the tier does not have.
    #[error("the globs for {package} are for a package that this tier does not have")]
    #[diagnostic(code(debstrata::compose::idle_rule), severity(Warning), help("correct the name or delete the table"))]
    IdleRule {
        /// The package.
        package: String,
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// The table.
        #[label("no package of the tier is called so")]
        span: SourceSpan,
    },
    /// Entries moved below /usr, but nothing makes the old name lead there.
    #[error("{example} went to {real}, but /{name} is no link to it")]
    #[diagnostic(
        code(debstrata::compose::no_alias),
        severity(Warning),
        help("a package of the chain (base-files since Debian 13) should bring the link, or [[symlinks]]")
    )]
    NoAlias {
        /// The top-level name.
        name: String,
        /// What it stands for.
        real: RootPath,
        /// Something that moved.
        example: RootPath,
    },
    /// Two packages disagree about a folder's metadata.
    #[error("{path} is {kept} as {first} has it; {second} has {other}")]
    #[diagnostic(
        code(debstrata::compose::folder_metadata),
        severity(Advice),
        help("[[directories]] settles it otherwise")
    )]
    FolderMetadata {
        /// The folder.
        path: RootPath,
        /// Mode and owner in the tree.
        kept: Box<Attributes>,
        /// Whose they are.
        first: String,
        /// Mode and owner of the first that disagrees.
        other: Box<Attributes>,
        /// Who that is.
        second: String,
    },
    /// A package's files take the place of another's, as its Replaces says.
    #[error("{path} of {by} replaces the one of {replaced}{}", if *.others == 0 { String::new() } else { format!(" (and {} more)", .others) })]
    #[diagnostic(code(debstrata::compose::replaces), severity(Advice))]
    Replaces {
        /// The first path.
        path: RootPath,
        /// How many more.
        others: usize,
        /// The package that replaces.
        by: Arc<PackageName>,
        /// The other.
        replaced: Arc<PackageName>,
    },
    /// A parent tier's manifest put something where a package of this tier has something else.
    #[error("{path} stays as {parent} has it; {package} has another")]
    #[diagnostic(
        code(debstrata::compose::parent_declares),
        severity(Advice),
        help("exclude the path in [globs] of this tier, or declare it here too")
    )]
    ParentDeclares {
        /// The path.
        path: RootPath,
        /// Who declared it.
        parent: String,
        /// The package.
        package: Arc<PackageName>,
    },
    /// A user's home was there before.
    #[error("{path}, the home of {user}, is there already and stays {kept}, not {wanted}")]
    #[diagnostic(code(debstrata::compose::home), severity(Advice), help("[[directories]] changes mode and owner"))]
    Home {
        /// The home.
        path: RootPath,
        /// Login name.
        user: String,
        /// Mode and owner in the tree.
        kept: Box<Attributes>,
        /// Mode and owner that a new home would have.
        wanted: Box<Attributes>,
    },
}
