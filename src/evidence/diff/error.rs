//! What can be wrong with what is compared.

use std::io;

use miette::Diagnostic;

use crate::ground::{Class, Failure};

/// A layer that cannot be compared. Names from inside it are fit to print.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DiffError {
    /// Its stream is damaged.
    #[error("{layer} cannot be read as a tar")]
    #[diagnostic(
        code(debstrata::diff::damaged),
        help("it must be a tar, plain or compressed by gzip, zstd, xz or bzip2; copy or build it again")
    )]
    Damaged {
        /// Which one.
        layer: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// An entry is damaged.
    #[error("{layer} has {entry}: {why}")]
    #[diagnostic(
        code(debstrata::diff::entry),
        help("such an entry cannot be compared: copy or build the layer again, or name another one")
    )]
    Entry {
        /// Which layer.
        layer: String,
        /// The entry.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
    /// More than any real layer has.
    #[error("{layer} has more than {limit} {what}")]
    #[diagnostic(
        code(debstrata::diff::too_much),
        help("this is a ceiling against layers that are made to exhaust a machine; name another one")
    )]
    TooMuch {
        /// Which layer.
        layer: String,
        /// What there is too much of.
        what: &'static str,
        /// The ceiling.
        limit: u64,
    },
}

impl Failure for DiffError {
    fn class(&self) -> Class {
        Class::User
    }
}
