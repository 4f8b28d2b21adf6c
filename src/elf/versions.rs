//! Symbol versions (LSB, "Symbol Versioning"): which ones a file wants of which library, and which
//! it defines.

use object::{Endianness, ReadCacheOps, elf, read::elf::FileHeader};

use super::{
    Elf, ElfError,
    read::{File, malformed},
};

/// Versions in one file; libc defines some 60, libwine some 100.
const MOST_VERSIONS: u64 = 65_536;

/// What a file wants of one library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The library, by the name that stands in `DT_NEEDED`.
    pub library: Box<[u8]>,
    /// Versions that must be defined there, such as `GLIBC_2.38`.
    pub names: Vec<Box<[u8]>>,
    /// Versions that may be missing: the loader only warns.
    pub weak: Vec<Box<[u8]>>,
}

/// The versions that `file` wants of a library and that this one does not define. A library without
/// any versions defines all, as the loader sees it.
pub fn missing_versions<'a>(file: &'a Elf, name: &[u8], library: &Elf) -> Vec<&'a [u8]> {
    if library.defines.is_empty() {
        return Vec::new();
    }
    let wanted = file.wants.iter().filter(|wanted| &*wanted.library == name).flat_map(|wanted| &wanted.names);
    wanted.map(|version| &**version).filter(|version| !library.defines.iter().any(|one| &**one == *version)).collect()
}

/// How many versions may still come.
struct Budget(u64);

impl Budget {
    fn take(&mut self) -> Result<(), ElfError> {
        let left = self.0.checked_sub(1);
        self.0 = left.ok_or(ElfError::TooMuch { what: "symbol versions", limit: MOST_VERSIONS })?;
        Ok(())
    }
}

/// The next record of a chain, or that it was the last one.
fn next(at: u64, step: u32) -> Result<Option<u64>, ElfError> {
    if step == 0 {
        return Ok(None);
    }
    at.checked_add(step.into()).map(Some).ok_or(malformed("a chain of symbol versions has no end"))
}

/// The records of `DT_VERNEED`.
pub(super) fn wanted<E: FileHeader<Endian = Endianness>, S: ReadCacheOps>(
    file: &File<'_, E, S>,
    address: u64,
    count: u64,
) -> Result<Vec<Versions>, ElfError> {
    let (mut budget, mut all) = (Budget(MOST_VERSIONS), Vec::new());
    let mut at = Some(file.offset(address)?);
    for _ in 0..count {
        let Some(here) = at else { break };
        budget.take()?;
        let record: &elf::Verneed<Endianness> = file.record(here)?;
        let library = file.string(record.vn_file.get(file.endian).into())?;
        let mut versions = Versions { library, names: Vec::new(), weak: Vec::new() };
        let mut part = next(here, record.vn_aux.get(file.endian))?;
        for _ in 0..record.vn_cnt.get(file.endian) {
            let Some(place) = part else { break };
            budget.take()?;
            let aux: &elf::Vernaux<Endianness> = file.record(place)?;
            let name = file.string(aux.vna_name.get(file.endian).into())?;
            match aux.vna_flags.get(file.endian).0 & elf::VER_FLG_WEAK.0 {
                0 => versions.names.push(name),
                _ => versions.weak.push(name),
            }
            part = next(place, aux.vna_next.get(file.endian))?;
        }
        all.push(versions);
        at = next(here, record.vn_next.get(file.endian))?;
    }
    Ok(all)
}

/// The records of `DT_VERDEF`, without the one that names the file itself.
pub(super) fn defined<E: FileHeader<Endian = Endianness>, S: ReadCacheOps>(
    file: &File<'_, E, S>,
    address: u64,
    count: u64,
) -> Result<Vec<Box<[u8]>>, ElfError> {
    let (mut budget, mut all) = (Budget(MOST_VERSIONS), Vec::new());
    let mut at = Some(file.offset(address)?);
    for _ in 0..count {
        let Some(here) = at else { break };
        budget.take()?;
        let record: &elf::Verdef<Endianness> = file.record(here)?;
        // The first part is the version's name, the others are its parents'.
        let name = next(here, record.vd_aux.get(file.endian))?;
        if let Some(place) = name.filter(|_| record.vd_flags.get(file.endian).0 & elf::VER_FLG_BASE.0 == 0) {
            let aux: &elf::Verdaux<Endianness> = file.record(place)?;
            all.push(file.string(aux.vda_name.get(file.endian).into())?);
        }
        at = next(here, record.vd_next.get(file.endian))?;
    }
    Ok(all)
}
