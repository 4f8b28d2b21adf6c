//! The file that is asked about.

use std::{io, path::Path};

use miette::Diagnostic;
use serde::{Serialize, Serializer};

use crate::{
    debian::Architecture,
    elf::{self, Elf, ElfError, LONGEST_LINE, Priority, Symbols},
    ground::{Class, Failure, open_regular, printable},
};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Started through a loader.
    Program,
    /// Started by the kernel alone.
    Static,
    /// Loaded by programs.
    Library,
    /// Begins with `#!`.
    Script,
}

impl What {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            What::Program => "program",
            What::Static => "static program",
            What::Library => "library",
            What::Script => "script",
        }
    }
}

impl Serialize for What {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A file, as far as the kernel and the loader read it.
#[derive(Debug, Clone)]
pub enum Subject {
    /// An ELF file. Its symbols are read where it is for a machine that a tier can have.
    Elf(Box<Elf>, Symbols),
    /// The first line of a script, at most as many bytes as the kernel reads.
    Script(Vec<u8>),
}

/// Why a file cannot be asked about. `file` is printable.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SubjectError {
    /// It cannot be read.
    #[error("{file} cannot be read")]
    #[diagnostic(code(debstrata::fit::unreadable), help("name a regular file that you may read"))]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// Nothing that the kernel starts.
    #[error("{file} is neither an ELF file nor a script that begins with #!")]
    #[diagnostic(
        code(debstrata::fit::no_program),
        help("name the program itself; a script needs a first line such as #!/bin/sh")
    )]
    NoProgram {
        /// The file.
        file: String,
    },
    /// An object file, a core.
    #[error("{file} is an ELF file that is neither a program nor a shared library")]
    #[diagnostic(code(debstrata::fit::not_linked), help("link it first; object files and cores are never started"))]
    NotLinked {
        /// The file.
        file: String,
    },
    /// It begins as an ELF file, and is damaged.
    #[error("{file} begins as an ELF file, and no loader would take it")]
    #[diagnostic(code(debstrata::fit::bad_elf), help("is it whole? compare its size and digest with the original's"))]
    BadElf {
        /// The file.
        file: String,
        /// What is wrong.
        source: ElfError,
    },
}

impl Failure for SubjectError {
    fn class(&self) -> Class {
        Class::User
    }
}

impl Subject {
    /// Reads a file; `shown` is its name for messages.
    pub fn open(path: &Path, shown: &str) -> Result<Self, SubjectError> {
        use std::os::unix::fs::FileExt as _;
        let file = || shown.to_owned();
        let unreadable = |source| SubjectError::Unreadable { file: file(), source };
        let opened = open_regular(path).map_err(unreadable)?;
        let size = opened.metadata().map_err(unreadable)?.len();
        Self::read(size, |at, buffer| opened.read_exact_at(buffer, at), shown)
    }

    /// The same, of bytes that come through a function.
    pub fn read(
        size: u64,
        mut read_at: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
        shown: &str,
    ) -> Result<Self, SubjectError> {
        let file = || shown.to_owned();
        let bad = |error| match error {
            ElfError::Unreadable(source) => SubjectError::Unreadable { file: file(), source },
            source => SubjectError::BadElf { file: file(), source },
        };
        let Some(elf) = elf::read(size, &mut read_at).map_err(bad)? else {
            let mut line = vec![0; size.min(LONGEST_LINE) as usize];
            read_at(0, &mut line).map_err(|source| SubjectError::Unreadable { file: file(), source })?;
            if !line.starts_with(b"#!") {
                return Err(SubjectError::NoProgram { file: file() });
            }
            return Ok(Self::Script(line));
        };
        if elf.kind == elf::Kind::Other {
            return Err(SubjectError::NotLinked { file: file() });
        }
        let known = Architecture::known().any(|architecture| elf.abi.is_native(architecture));
        let symbols = if known { elf::symbols(size, &mut read_at).map_err(bad)? } else { Symbols::default() };
        Ok(Self::Elf(Box::new(elf), symbols))
    }

    /// What it is.
    pub fn what(&self) -> What {
        match self {
            Self::Script(_) => What::Script,
            Self::Elf(elf, _) if elf.interpreter.is_some() => What::Program,
            Self::Elf(elf, _) if elf.soname.is_some() || !elf.needed.is_empty() => What::Library,
            Self::Elf(..) => What::Static,
        }
    }

    /// The architecture that it was made for; none of a script, nor of machines that Debian does not have.
    pub fn architecture(&self) -> Option<Architecture> {
        match self {
            Self::Elf(elf, _) => Architecture::known().find(|architecture| elf.abi.is_native(*architecture)),
            Self::Script(_) => None,
        }
    }

    /// What it was made for, in words; none of a script.
    pub fn machine(&self) -> Option<String> {
        match self {
            Self::Elf(elf, _) => Some(elf.abi.machine_name()),
            Self::Script(_) => None,
        }
    }

    /// What no tier decides.
    pub fn notes(&self) -> Vec<String> {
        let Self::Elf(elf, _) = self else { return Vec::new() };
        let mut notes = Vec::new();
        // GNU_PROPERTY_X86_ISA_1: bit 0 is every x86-64.
        if let Some(level) = (1..4).rev().find(|level| elf.isa_needed >> level & 1 == 1) {
            notes.push(format!("it needs a processor of x86-64-v{}", level + 1));
        }
        for note in elf.dlopen.iter().filter(|note| note.priority != Priority::Suggested) {
            let names = printable(note.sonames.join(" or ").as_bytes());
            let how = if note.priority == Priority::Required { "and cannot do without" } else { "where it is there" };
            notes.push(format!("it loads {names} while it runs, {how}; this is not judged"));
        }
        notes
    }
}
