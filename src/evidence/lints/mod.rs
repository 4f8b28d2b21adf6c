//! What `check` finds in finished tiers: one file a lint, each a function from finished things to
//! findings.

pub mod scripts;

use serde::Serialize;

use crate::ground::Span;

/// One thing that a lint found in a tier, for one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which lint, such as `dangling-link`.
    pub lint: &'static str,
    /// The path, package or library that it is about; printable.
    pub subject: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What can be done about it.
    pub help: String,
    /// Where in the tier's manifest, if it is about a line of it.
    #[serde(skip)]
    pub span: Option<Span>,
}
