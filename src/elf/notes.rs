//! Notes: what a file may load while it runs, and which instructions it cannot do without.

use object::{
    Endianness, ReadCache, ReadCacheOps, elf,
    read::elf::{FileHeader, ProgramHeader as _},
};
use serde::Deserialize;

use super::{Elf, ElfError, read::malformed};

/// The type of a dlopen note; its owner is `FDO` (UAPI group, "ELF Metadata for .note.dlopen").
const DLOPEN: u32 = 0x407c_0c0a;
const DLOPEN_OWNER: &[u8] = b"FDO";
/// Entries of one file; systemd has some 30.
const MOST_ENTRIES: usize = 4096;

/// How much a file misses a library that it loads while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// It does not work without.
    Required,
    /// A feature is gone without.
    Recommended,
    /// A small thing is gone without.
    Suggested,
}

/// One entry of a `.note.dlopen`: any of its libraries will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dlopen {
    /// Names to try, in this order.
    pub sonames: Vec<String>,
    /// How much it is missed.
    pub priority: Priority,
    /// What it is for, in a word; empty where the note says nothing.
    pub feature: String,
    /// What it is for, in a sentence; empty where the note says nothing.
    pub description: String,
}

/// As the note has it. Unknown keys are left alone.
#[derive(Deserialize)]
struct Written {
    soname: Vec<String>,
    priority: Option<String>,
    feature: Option<String>,
    description: Option<String>,
}

impl From<Written> for Dlopen {
    fn from(written: Written) -> Self {
        let Written { soname, priority, feature, description } = written;
        Self {
            sonames: soname,
            // The default, and the best guess for words of a later version.
            priority: match priority.as_deref() {
                Some("required") => Priority::Required,
                Some("suggested") => Priority::Suggested,
                _ => Priority::Recommended,
            },
            feature: feature.unwrap_or_default(),
            description: description.unwrap_or_default(),
        }
    }
}

/// Reads the notes of one segment.
pub(super) fn read<E: FileHeader<Endian = Endianness>, S: ReadCacheOps>(
    segment: &E::ProgramHeader,
    endian: Endianness,
    source: &ReadCache<S>,
    file: &mut Elf,
) -> Result<(), ElfError> {
    // An alignment that nobody knows: no loader reads such a segment either.
    if !matches!(segment.p_align(endian).into(), 0..=4 | 8) {
        return Ok(());
    }
    let notes = segment.notes(endian, source).map_err(|_| malformed("a note segment lies outside of the file"))?;
    let Some(mut notes) = notes else { return Ok(()) };
    // What is no note ends the list: the loader reads notes for hints, and does without.
    while let Ok(Some(note)) = notes.next() {
        if note.n_type(endian).0 == DLOPEN && note.name() == DLOPEN_OWNER {
            let text = note.desc();
            let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let entries: Vec<Written> = serde_json::from_slice(text.get(..end).unwrap_or_default())
                .map_err(|_| malformed("its .note.dlopen is not the JSON that it should be"))?;
            file.dlopen.extend(entries.into_iter().map(Dlopen::from));
            if file.dlopen.len() > MOST_ENTRIES {
                return Err(ElfError::TooMuch { what: "entries of .note.dlopen", limit: MOST_ENTRIES as u64 });
            }
        }
        if let Some(mut properties) = note.gnu_properties(endian) {
            while let Ok(Some(property)) = properties.next() {
                if property.pr_type() == elf::GNU_PROPERTY_X86_ISA_1_NEEDED
                    && let Ok(needed) = property.data_u32(endian)
                {
                    file.isa_needed |= needed;
                }
            }
        }
    }
    Ok(())
}
