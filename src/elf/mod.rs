//! What the loader reads in an ELF file, and where it then looks for libraries. Knows no packages
//! and no disk: bytes come through a function, files of a tree through [`Tree`].
//!
//! Everything is found through the program headers, as the loader itself does, so stripped section
//! headers change nothing. Sources: the System V gABI (chapter 5), elf(5), ld.so(8), the LSB's
//! symbol versions, and the UAPI group's note for dlopen.

mod directories;
mod error;
mod notes;
mod read;
mod script;
mod search;
mod symbols;
mod versions;

pub use directories::{Conf, configured};
pub use error::ElfError;
pub use notes::{Dlopen, Priority};
pub use read::{read, read_bytes};
pub use script::{LONGEST_LINE, interpreter};
pub use search::{Asker, Found, Loader, Tree};
pub use symbols::{Symbol, Symbols, symbols};
pub use versions::{Versions, missing_versions};

use crate::debian::Architecture;

/// The size of addresses in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bits {
    /// 32 bits.
    Bits32,
    /// 64 bits.
    Bits64,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `ET_EXEC`: a program at a fixed address.
    Executable,
    /// `ET_DYN`: a library, or a program that can lie anywhere.
    Shared,
    /// Object files, cores: nothing that is loaded.
    Other,
}

/// What decides whether a library can be loaded into a process at all: everything in it must be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Abi {
    /// 32 or 64 bits.
    pub bits: Bits,
    /// Whether numbers in the file have their most significant byte first.
    pub big_endian: bool,
    /// `e_machine`: 62 is x86-64, 183 is AArch64 ...
    pub machine: u16,
    /// The bits of `e_flags` that tell calling conventions apart: floating point registers of ARM and
    /// RISC-V, the version of PowerPC's ABI.
    pub convention: u32,
}

/// What the loader reads in a file. Names are bytes as they stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// What it can be loaded together with.
    pub abi: Abi,
    /// `e_flags`, whole.
    pub flags: u32,
    /// What it is.
    pub kind: Kind,
    /// `PT_INTERP`: the loader it asks the kernel for. None in libraries and static programs.
    pub interpreter: Option<Box<[u8]>>,
    /// Whether it has a dynamic segment; without one nothing of what follows is there.
    pub dynamic: bool,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<Box<[u8]>>,
    /// `DT_SONAME`
    pub soname: Option<Box<[u8]>>,
    /// `DT_RPATH`
    pub rpath: Option<Box<[u8]>>,
    /// `DT_RUNPATH`; where it is, `rpath` counts for nothing.
    pub runpath: Option<Box<[u8]>>,
    /// `DF_1_NODEFLIB`: the default folders are not searched for what it needs.
    pub no_default_libraries: bool,
    /// The symbol versions that it wants, by library.
    pub wants: Vec<Versions>,
    /// The symbol versions that it defines, but for its own name.
    pub defines: Vec<Box<[u8]>>,
    /// What it says it may load while it runs.
    pub dlopen: Vec<Dlopen>,
    /// `GNU_PROPERTY_X86_ISA_1_NEEDED`: bit 0 is x86-64-baseline, bit 1 x86-64-v2 ...; 0 where it says
    /// nothing.
    pub isa_needed: u32,
}

/// `e_machine` of elf(5) and of what Linux runs on, in words.
const MACHINES: [(u16, &str); 21] = [
    (2, "SPARC"),
    (3, "x86"),
    (4, "m68k"),
    (8, "MIPS"),
    (15, "PA-RISC"),
    (20, "PowerPC"),
    (21, "PowerPC64"),
    (22, "S/390"),
    (40, "ARM"),
    (42, "SuperH"),
    (43, "SPARC V9"),
    (50, "IA-64"),
    (62, "x86-64"),
    (83, "AVR"),
    (94, "Xtensa"),
    (183, "AArch64"),
    (243, "RISC-V"),
    (247, "BPF"),
    (252, "C-SKY"),
    (258, "LoongArch"),
    (0x9026, "Alpha"),
];

impl Abi {
    /// Whether programs of this architecture are such files.
    pub fn is_native(&self, architecture: Architecture) -> bool {
        // e_machine of elf(5).
        let (machine, bits, big_endian) = match architecture.name() {
            "amd64" => (62, Bits::Bits64, false),
            "arm64" => (183, Bits::Bits64, false),
            "armhf" => (40, Bits::Bits32, false),
            "i386" => (3, Bits::Bits32, false),
            "loong64" => (258, Bits::Bits64, false),
            "ppc64el" => (21, Bits::Bits64, false),
            "riscv64" => (243, Bits::Bits64, false),
            "s390x" => (22, Bits::Bits64, true),
            _ => return false,
        };
        (self.machine, self.bits, self.big_endian) == (machine, bits, big_endian)
    }

    /// What it is for: the architecture of Debian, or `machine 8 (MIPS, 32 bits, big-endian)` where
    /// none that is known is.
    pub fn machine_name(&self) -> String {
        if let Some(known) = Architecture::known().find(|architecture| self.is_native(*architecture)) {
            return known.name().to_owned();
        }
        let row = MACHINES.iter().find(|(machine, _)| *machine == self.machine);
        let name = row.map(|(_, name)| format!("{name}, ")).unwrap_or_default();
        let bits = if self.bits == Bits::Bits64 { 64 } else { 32 };
        let order = if self.big_endian { "big-endian" } else { "little-endian" };
        format!("machine {} ({name}{bits} bits, {order})", self.machine)
    }
}

impl Elf {
    /// Whether it is a program: something that the kernel starts.
    pub fn is_program(&self) -> bool {
        self.kind == Kind::Executable || self.interpreter.is_some()
    }
}
