//! A question (wishes, dependencies, omissions, the parent's packages) and an index become an
//! answer with its reasons. No input or output.
//!
//! `universe` reads packages from the index as they are asked for; `sat` works out what follows from
//! what, and takes choices back; `search` chooses, in apt's order; `explain` tells why it cannot be.
//! docs/resolution.md has the order, the reasons and the figures.

mod error;
mod explain;
pub mod linked;
mod sat;
mod search;
mod set;
mod solve;
mod universe;

use std::{collections::BTreeMap, fmt};

use crate::{
    archive::Package,
    debian::{Architecture, Relation, Version},
    ground::Span,
};

pub use self::{error::ResolveError, solve::resolve};
pub use crate::manifest::{Dependencies, Omission, Wish};

/// All of a tier that decides which packages it gets. Its digest decides whether a lock is stale.
#[derive(Debug, Clone)]
pub struct Question {
    /// For which architecture.
    pub architecture: Architecture,
    /// In the order of the manifest.
    pub wishes: Vec<Wish>,
    /// Which dependencies follow.
    pub dependencies: Dependencies,
    /// What is left out on purpose.
    pub omit: Vec<Omission>,
}

/// The packages that a tier adds to its parent's.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Wished-for ones in the order of the wishes, then dependencies in the order in which they
    /// were found. None of them is in the parent chain.
    pub packages: Vec<Chosen>,
    /// Relations that nothing in the chain meets and no omission declares
    /// (only with `Dependencies::None`; otherwise they are errors).
    pub unmet: Vec<Unmet>,
    /// Indexes into `Question::omit` that omitted nothing.
    pub idle_omissions: Vec<usize>,
}

/// One chosen package and why.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// What was chosen.
    pub package: Package,
    /// Why.
    pub reason: Reason,
}

/// Why a package is in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A wish of the manifest: index into `Question::wishes`.
    Wish(usize),
    /// A relation of another package of the answer or of the parent chain.
    Dependency {
        /// The package that asks.
        by: Box<str>,
        /// What it asks for.
        relation: Relation,
    },
    /// With `dependencies = "linked"`: what a file of another package needs.
    Linked {
        /// The package that needs it.
        by: Box<str>,
        /// Its file; `/` where the package itself does.
        file: String,
        /// What it needs.
        need: linked::Need,
    },
}

/// A dependency that nothing meets.
#[derive(Debug, Clone)]
pub struct Unmet {
    /// The package whose dependency it is.
    pub by: Box<str>,
    /// The dependency.
    pub relation: Relation,
    /// The wish that brought `by`.
    pub wish: Span,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} needs {}", self.by, self.relation)
    }
}

/// What a tier had before, where there is a choice. Not part of the question: it does not make a lock
/// stale.
#[derive(Debug, Clone, Default)]
pub struct Preferences {
    /// By package name: the version to keep, where the index still has it and nothing asks for
    /// another one.
    pub held: BTreeMap<Box<str>, Version>,
}
