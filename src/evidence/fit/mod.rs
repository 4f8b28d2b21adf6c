//! Which tiers can run a file: what the kernel and the loader would look for, in what each tier has.

mod advice;
mod codec;
mod judge;
mod subject;
mod table;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

pub use advice::{Advice, Best, guesses, suggest};
pub use judge::{Asked, Judge, Lack};
pub use subject::{Subject, SubjectError, What};
pub use table::{Layer, Object, Tier, tabulate};

use crate::debian::Architecture;

/// The answer for one file; in JSON with the fields that scripts rely on: `binary` and `tiers`.
#[derive(Debug, Clone, Serialize)]
pub struct Fit {
    /// The file as it was named, printable.
    pub binary: String,
    /// What it is: `program`, `static program`, `library`, `script`.
    pub what: What,
    /// Whose tiers were asked.
    pub architecture: Architecture,
    /// What it was made for, where no tier is of that machine: `i386`, `machine 8 (MIPS, 32 bits,
    /// big-endian)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// By full name.
    pub tiers: BTreeMap<String, Verdict>,
    /// The smallest tier that can run it.
    pub best: Option<String>,
    /// What else one should know.
    pub notes: Vec<String>,
}

/// Whether one tier can run a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it can.
    pub fits: bool,
    /// What is missing; empty where it fits.
    pub missing: Vec<Missing>,
    /// How many more are missing than are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What kind of thing is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The program that starts it: a loader, or what a script's first line names.
    Interpreter,
    /// A library.
    Library,
    /// A symbol version, or a symbol.
    Symbol,
    /// It was made for another machine.
    Architecture,
}

impl Kind {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Interpreter => "interpreter",
            Kind::Library => "library",
            Kind::Symbol => "symbol",
            Kind::Architecture => "architecture",
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that a tier lacks. All texts are printable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Missing {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The package of the same distribution that brings it, where one is known to.
    pub package: Option<String>,
    /// Of a symbol version: the library that should define it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// The tier's own file that wants it; none where it is the file itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}
