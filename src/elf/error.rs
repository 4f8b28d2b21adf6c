//! Why an ELF file cannot be read.

use std::io;

use crate::ground::{Class, Failure};

/// Why an ELF file cannot be read. Whoever knows it adds the file's name and its package.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ElfError {
    /// Its bytes cannot be had.
    #[error("the file cannot be read")]
    #[diagnostic(code(debstrata::elf::unreadable), help("delete cache/derived and run again"))]
    Unreadable(#[source] io::Error),
    /// It begins as an ELF file, but the loader would not take it.
    #[error("no valid ELF file: {what}")]
    #[diagnostic(code(debstrata::elf::malformed), help("use another version of the package, or leave the file out"))]
    Malformed {
        /// Which part is wrong, and how.
        what: &'static str,
    },
    /// A table is larger than any that a linker makes.
    #[error("no usable ELF file: more than {limit} {what}")]
    #[diagnostic(code(debstrata::elf::too_much), help("use another version of the package, or leave the file out"))]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
}

impl Failure for ElfError {
    fn class(&self) -> Class {
        match self {
            Self::Unreadable(_) => Class::World,
            Self::Malformed { .. } | Self::TooMuch { .. } => Class::User,
        }
    }
}
