//! From bytes to [`Elf`]. Only the few stretches that the loader needs are read, each bounded.

use std::{io, io::ErrorKind};

use object::{
    Endianness, ReadCache, ReadCacheOps, ReadRef as _,
    elf::{self, FileHeader32, FileHeader64},
    pod::Pod,
    read::elf::{Dyn as _, FileHeader, ProgramHeader as _},
};

use super::{Abi, Bits, Elf, ElfError, Kind, notes, versions};

/// The first bytes of every ELF file.
const MAGIC: [u8; 4] = *b"\x7fELF";
/// Program headers; the largest programs have some twenty.
const MOST_SEGMENTS: u32 = 1024;
/// Bytes of the dynamic segment; libreoffice has 1 kB.
const MOST_DYNAMIC: u64 = 1 << 20;
/// Bytes of one note segment; descriptions of dlopen have some 100 B each.
const MOST_NOTES: u64 = 1 << 20;
/// Bytes of one file that are read in all.
const MOST_READ: u64 = 16 << 20;
/// The longest path to an interpreter (PATH_MAX).
const LONGEST_INTERPRETER: u64 = 4096;

/// A file's bytes: its size, and a function that fills a buffer from an offset on.
struct Source<F> {
    size: u64,
    read: F,
    at: u64,
    /// Bytes that may still be read.
    left: u64,
    failed: Option<ElfError>,
}

impl<F: FnMut(u64, &mut [u8]) -> io::Result<()>> ReadCacheOps for Source<F> {
    fn len(&mut self) -> Result<u64, ()> {
        Ok(self.size)
    }

    fn seek(&mut self, to: u64) -> Result<u64, ()> {
        self.at = to;
        Ok(to)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let count = (self.size.saturating_sub(self.at)).min(buffer.len() as u64) as usize;
        self.read_exact(&mut buffer[..count])?;
        Ok(count)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        let count = buffer.len() as u64;
        if self.failed.is_some() {
            return Err(());
        }
        let Some(left) = self.left.checked_sub(count) else {
            self.failed = Some(ElfError::TooMuch { what: "bytes of headers and names", limit: MOST_READ });
            return Err(());
        };
        self.left = left;
        match (self.read)(self.at, buffer) {
            Ok(()) => self.at = self.at.saturating_add(count),
            // The file is shorter than said: the stretch lies outside of it.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(()),
            Err(error) => {
                self.failed = Some(ElfError::Unreadable(error));
                return Err(());
            }
        }
        Ok(())
    }
}

/// Reads a file of `size` bytes through `read_at`, which fills a buffer from an offset on. `None` where
/// it does not begin as an ELF file does. Static programs, musl's and other systems' files are fine.
///
/// # Errors
/// Whatever `read_at` fails with, and what no loader would take. Never more than 16 MiB are read.
pub fn read(size: u64, mut read_at: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> Result<Option<Elf>, ElfError> {
    let mut ident = [0; 6];
    if size < ident.len() as u64 {
        return Ok(None);
    }
    read_at(0, &mut ident).map_err(ElfError::Unreadable)?;
    if ident[..4] != MAGIC {
        return Ok(None);
    }
    let source = ReadCache::new(Source { size, read: read_at, at: 0, left: MOST_READ, failed: None });
    let result = match ident[4] {
        1 => parse::<FileHeader32<Endianness>, _>(&source, Bits::Bits32),
        2 => parse::<FileHeader64<Endianness>, _>(&source, Bits::Bits64),
        _ => Err(malformed("its class is neither 32 nor 64 bits")),
    };
    match source.into_inner().failed {
        Some(error) => Err(error),
        None => result.map(Some),
    }
}

/// As [`read`], of bytes in memory.
pub fn read_bytes(bytes: &[u8]) -> Result<Option<Elf>, ElfError> {
    read(bytes.len() as u64, |from, buffer| {
        let there = usize::try_from(from).ok().and_then(|from| bytes.get(from..)?.get(..buffer.len()));
        buffer.copy_from_slice(there.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    })
}

pub(super) fn malformed(what: &'static str) -> ElfError {
    ElfError::Malformed { what }
}

/// An open file: what finds things by their address.
pub(super) struct File<'a, E: FileHeader<Endian = Endianness>, S: ReadCacheOps> {
    pub(super) endian: Endianness,
    source: &'a ReadCache<S>,
    segments: &'a [E::ProgramHeader],
    /// Where the dynamic string table lies, as an offset in the file.
    strings: u64,
    /// Its bytes.
    strings_size: u64,
}

impl<'a, E: FileHeader<Endian = Endianness>, S: ReadCacheOps> File<'a, E, S> {
    /// The place in the file of an address in memory.
    pub(super) fn offset(&self, address: u64) -> Result<u64, ElfError> {
        let within = |segment: &&E::ProgramHeader| {
            let (start, size): (u64, u64) = (segment.p_vaddr(self.endian).into(), segment.p_filesz(self.endian).into());
            segment.p_type(self.endian) == elf::PT_LOAD && address >= start && address - start < size
        };
        let segment = self.segments.iter().find(within).ok_or(malformed("an address lies in no segment"))?;
        let start: u64 = segment.p_vaddr(self.endian).into();
        let place = segment.p_offset(self.endian).into().checked_add(address - start);
        place.ok_or(malformed("a segment lies beyond the largest file"))
    }

    /// A record at an offset in the file.
    pub(super) fn record<T: Pod>(&self, offset: u64) -> Result<&'a T, ElfError> {
        self.source.read_at(offset).map_err(|()| malformed("a table of symbol versions lies outside of the file"))
    }

    /// A name of the dynamic string table.
    pub(super) fn string(&self, at: u64) -> Result<Box<[u8]>, ElfError> {
        let outside = malformed("a name lies outside of the dynamic strings");
        if at >= self.strings_size {
            return Err(outside);
        }
        let (Some(start), Some(end)) = (self.strings.checked_add(at), self.strings.checked_add(self.strings_size))
        else {
            return Err(outside);
        };
        let name = self.source.read_bytes_at_until(start..end, 0);
        name.map(Into::into).map_err(|()| malformed("a name has no end within the dynamic strings, or 4096 bytes"))
    }
}

fn parse<E: FileHeader<Endian = Endianness>, S: ReadCacheOps>(
    source: &ReadCache<S>,
    bits: Bits,
) -> Result<Elf, ElfError> {
    let header = E::parse(source).map_err(|_| malformed("its header is too short or of another version"))?;
    let endian = header.endian().map_err(|_| malformed("its byte order is unknown"))?;
    let count = header.phnum(endian, source).map_err(|_| malformed("the number of its segments is not there"))?;
    if count > MOST_SEGMENTS {
        return Err(ElfError::TooMuch { what: "segments", limit: MOST_SEGMENTS.into() });
    }
    let segments = header.program_headers(endian, source);
    let segments = segments.map_err(|_| malformed("its program headers lie outside of the file"))?;
    let flags = header.e_flags(endian).0;
    let machine = header.e_machine(endian).0;
    let convention = convention(machine, flags);
    let mut elf = Elf {
        abi: Abi { bits, big_endian: header.is_big_endian(), machine, convention },
        flags,
        kind: match header.e_type(endian) {
            elf::ET_EXEC => Kind::Executable,
            elf::ET_DYN => Kind::Shared,
            _ => Kind::Other,
        },
        interpreter: None,
        dynamic: false,
        needed: Vec::new(),
        soname: None,
        rpath: None,
        runpath: None,
        no_default_libraries: false,
        wants: Vec::new(),
        defines: Vec::new(),
        dlopen: Vec::new(),
        isa_needed: 0,
    };
    if elf.kind == Kind::Other {
        return Ok(elf);
    }
    let mut file = File::<E, S> { endian, source, segments, strings: 0, strings_size: 0 };
    for segment in segments {
        let size: u64 = segment.p_filesz(endian).into();
        match segment.p_type(endian) {
            elf::PT_INTERP => {
                if size > LONGEST_INTERPRETER {
                    return Err(ElfError::TooMuch { what: "bytes of interpreter", limit: LONGEST_INTERPRETER });
                }
                let path = segment.interpreter(endian, source);
                let path = path.map_err(|_| malformed("the path of its interpreter is not there"))?;
                elf.interpreter = path.map(Into::into);
            }
            elf::PT_NOTE if size > MOST_NOTES => {
                return Err(ElfError::TooMuch { what: "bytes of notes", limit: MOST_NOTES });
            }
            elf::PT_NOTE => notes::read::<E, _>(segment, endian, source, &mut elf)?,
            elf::PT_DYNAMIC if size > MOST_DYNAMIC => {
                return Err(ElfError::TooMuch { what: "bytes of dynamic entries", limit: MOST_DYNAMIC });
            }
            elf::PT_DYNAMIC if !elf.dynamic => {
                let entries = segment.dynamic(endian, source);
                let entries = entries.map_err(|_| malformed("its dynamic segment lies outside of the file"))?;
                elf.dynamic = true;
                dynamic(&mut file, entries.unwrap_or_default(), &mut elf)?;
            }
            _ => {}
        }
    }
    Ok(elf)
}

fn dynamic<'a, E: FileHeader<Endian = Endianness>, S: ReadCacheOps>(
    file: &mut File<'a, E, S>,
    entries: &[E::Dyn],
    elf: &mut Elf,
) -> Result<(), ElfError> {
    let endian = file.endian;
    let entries = entries.iter().map(|entry| (entry.tag(endian), entry.d_val(endian).into()));
    let entries: Vec<(elf::DynamicTag, u64)> = entries.take_while(|(tag, _)| *tag != elf::DT_NULL).collect();
    let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    if let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) {
        file.strings = file.offset(address)?;
        file.strings_size = size;
    }
    for (tag, value) in &entries {
        let once = match *tag {
            elf::DT_NEEDED => {
                elf.needed.push(file.string(*value)?);
                continue;
            }
            elf::DT_SONAME => &mut elf.soname,
            elf::DT_RPATH => &mut elf.rpath,
            elf::DT_RUNPATH => &mut elf.runpath,
            elf::DT_FLAGS_1 => {
                elf.no_default_libraries = value & elf::DF_1_NODEFLIB.0 != 0;
                continue;
            }
            _ => continue,
        };
        *once = Some(file.string(*value)?);
    }
    if let (Some(address), Some(count)) = (value(elf::DT_VERNEED), value(elf::DT_VERNEEDNUM)) {
        elf.wants = versions::wanted(file, address, count)?;
    }
    if let (Some(address), Some(count)) = (value(elf::DT_VERDEF), value(elf::DT_VERDEFNUM)) {
        elf.defines = versions::defined(file, address, count)?;
    }
    Ok(())
}

/// The bits of `e_flags` in which files of one process must agree.
fn convention(machine: u16, flags: u32) -> u32 {
    match elf::Machine(machine) {
        // EF_ARM_ABI_FLOAT_SOFT and _HARD; a file with neither was made for both.
        elf::EM_ARM => flags & 0x600,
        // EF_RISCV_FLOAT_ABI and EF_RISCV_RVE.
        elf::EM_RISCV => flags & 0xe,
        // EF_PPC64_ABI.
        elf::EM_PPC64 => flags & 0x3,
        // EF_LARCH_ABI_MODIFIER_MASK.
        elf::EM_LOONGARCH => flags & 0x7,
        _ => 0,
    }
}
