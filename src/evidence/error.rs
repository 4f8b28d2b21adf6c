//! What can go wrong when evidence is given.

use std::io;

use miette::Diagnostic;

use crate::ground::{Class, Failure, RootPath};

/// Evidence cannot be given.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum EvidenceError {
    /// A file of the tier cannot be read from the cache.
    #[error("what {path} holds cannot be read from the cache")]
    #[diagnostic(code(debstrata::evidence::content), help("delete derived/ in the cache folder; it is made anew"))]
    Content {
        /// The path in the tier.
        path: RootPath,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file of the tier is not what it was when its package was unpacked.
    #[error("what the cache holds of {path} is damaged")]
    #[diagnostic(code(debstrata::evidence::damaged), help("delete derived/ in the cache folder; it is made anew"))]
    Damaged {
        /// The path in the tier.
        path: RootPath,
    },
}

impl Failure for EvidenceError {
    fn class(&self) -> Class {
        Class::World
    }
}
