//! The members of a .deb (deb(5)): the one door to `debpkg` and `xz2`.
//!
//! `debpkg` takes members by position, guesses their compression from the first bytes, stops after
//! the first gzip or bzip2 stream, knows no lzma and decodes xz in unbounded memory. So the ar
//! container is read here, with dpkg's rules about members and their order; `debpkg` is then given
//! the package in its plainest form (`debian-binary` and the decompressed control.tar) and judges
//! the format version and the control archive; data.tar is decoded here, in bounded memory.

mod ar;
mod decode;
mod xz;

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read},
    sync::Arc,
};

use ar::{Member, Members};
use decode::Compression;

use crate::ground::{printable, read_at_most};

/// Members of control.tar by name (`control`, `md5sums`, `postinst` ...), verbatim.
pub type ControlMembers = BTreeMap<Box<str>, Arc<[u8]>>;

/// Bounds that are the format's, not the index's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebLimits {
    /// Bytes of the decompressed control.tar. Nearly all of a large one is md5sums, some 100 bytes a
    /// file: the default has room for 300,000 files.
    pub control: u64,
    /// Bytes of memory that one xz or lzma decoder may take. `xz -9` needs 65 MiB.
    pub memory: u64,
}

impl Default for DebLimits {
    fn default() -> Self {
        Self { control: 32 << 20, memory: 256 << 20 }
    }
}

/// Why bytes are no .deb that dpkg would take. Says which member; the caller says which file.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// No ar magic.
    #[error("not a .deb: it does not begin as an ar archive")]
    NotADeb,
    /// The bytes themselves could not be read.
    #[error(transparent)]
    Read(io::Error),
    /// A broken header.
    #[error("after the member {after:?}: {problem}")]
    Header {
        /// The member before it; empty at the beginning.
        after: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A member that is longer than the file.
    #[error("{member}: it claims {size} bytes, but only {left} are left in the file")]
    PastTheEnd {
        /// The member's name.
        member: String,
        /// Bytes it says it has.
        size: u64,
        /// Bytes there are.
        left: u64,
    },
    /// Another member than deb(5) wants at this place.
    #[error("the member {found:?} stands where {wanted} must stand")]
    Order {
        /// What is there.
        found: String,
        /// What should be.
        wanted: &'static str,
    },
    /// No further member where one must be.
    #[error("it has no member {wanted}")]
    Missing {
        /// What should be there.
        wanted: &'static str,
    },
    /// A member that cannot be decoded or read.
    #[error("{member}: {source}")]
    Member {
        /// Its name.
        member: String,
        /// What is wrong.
        source: io::Error,
    },
    /// Something in control.tar that dpkg would not take.
    #[error("{member}: {problem}")]
    Control {
        /// The member's name.
        member: String,
        /// What is wrong.
        problem: String,
    },
}

/// A .deb that is read from front to back: made by [`Deb::open`], which reads all before data.tar;
/// then [`Deb::data`]; then [`Deb::finish`].
pub struct Deb<R> {
    members: Members<R>,
    control: ControlMembers,
    data: Member,
    compression: Compression,
    memory: u64,
}

const BINARY: &str = "debian-binary";
const CONTROL: &str = "control.tar[.gz|.xz|.zst]";
const DATA: &str = "data.tar[.gz|.xz|.zst|.bz2|.lzma]";
/// Bytes of `debian-binary`: a version and, one day, further lines.
const LONGEST_BINARY: u64 = 4096;

/// The decoded bytes of a stream of `size` bytes; `ending` says how it is compressed, as in a file's name (`.xz`, `.gz`,
/// `.zst`, `.bz2`, `.lzma`; empty: not at all). A decoder that needs more than `memory` bytes is an
/// error when the bytes are read.
pub fn decode<'a>(ending: &str, body: impl BufRead + 'a, size: u64, memory: u64) -> io::Result<Box<dyn Read + 'a>> {
    let unknown = || io::Error::new(io::ErrorKind::InvalidInput, "an unknown compression");
    Compression::of(ending).ok_or_else(unknown)?.decode(body, size, memory)
}

impl<R: BufRead> Deb<R> {
    /// Reads `debian-binary` and control.tar and stops before data.tar's bytes. `size` is the
    /// .deb's, in bytes; no member may reach beyond it.
    pub fn open(reader: R, size: u64, limits: &DebLimits) -> Result<Self, DebError> {
        let mut members = Members::open(reader, size)?;
        let first = members.next()?.ok_or(DebError::Missing { wanted: BINARY })?;
        if first.name != BINARY {
            return Err(DebError::Order { found: first.name, wanted: BINARY });
        }
        let binary = read_at_most(&mut members, LONGEST_BINARY).map_err(in_member(&first))?;

        let (member, compression) = next_tar(&mut members, "control.tar", CONTROL)?;
        if matches!(compression, Compression::Bzip2 | Compression::Lzma) {
            return Err(DebError::Order { found: member.name, wanted: CONTROL });
        }
        let tar = compression
            .decode(&mut members, member.size, limits.memory)
            .and_then(|tar| read_at_most(tar, limits.control))
            .map_err(in_member(&member))?;
        let control = control_members(&binary, &tar, &member)?;

        let (data, compression) = next_tar(&mut members, "data.tar", DATA)?;
        Ok(Self { members, control, data, compression, memory: limits.memory })
    }

    /// The members of control.tar.
    pub fn control(&self) -> &ControlMembers {
        &self.control
    }

    /// The name of the data member, such as `data.tar.xz`, for messages.
    pub fn data_name(&self) -> &str {
        &self.data.name
    }

    /// The decompressed bytes of data.tar, once; a second call gives what the first left unread.
    pub fn data(&mut self) -> Result<impl Read + '_, DebError> {
        self.compression.decode(&mut self.members, self.data.size, self.memory).map_err(in_member(&self.data))
    }

    /// Walks over the members after data.tar (deb(5): others may be placed there, and are to be
    /// ignored) and gives the control members.
    pub fn finish(mut self) -> Result<ControlMembers, DebError> {
        while let Some(member) = self.members.next()? {
            // A second one would be read by some and not by others.
            if ["debian-binary", "control.tar", "data.tar"].iter().any(|name| member.name.starts_with(name)) {
                return Err(DebError::Order { found: member.name, wanted: "the end" });
            }
        }
        Ok(self.control)
    }
}

fn in_member(member: &Member) -> impl Fn(io::Error) -> DebError + use<'_> {
    |source| DebError::Member { member: member.name.clone(), source }
}

/// The next member that is called `stem` plus a compression; members that begin with an underscore
/// are passed over (deb(5)).
fn next_tar<R: BufRead>(
    members: &mut Members<R>,
    stem: &str,
    wanted: &'static str,
) -> Result<(Member, Compression), DebError> {
    loop {
        let member = members.next()?.ok_or(DebError::Missing { wanted })?;
        if member.name.starts_with('_') {
            continue;
        }
        let Some(compression) = member.name.strip_prefix(stem).and_then(Compression::of) else {
            return Err(DebError::Order { found: member.name, wanted });
        };
        // Some decoders take nothing at all for a stream of nothing.
        if member.size == 0 {
            return Err(DebError::Control { member: member.name, problem: "it is empty".to_owned() });
        }
        return Ok((member, compression));
    }
}

/// `debpkg` on the plain form: it judges `debian-binary` and opens the archive.
fn control_members(binary: &[u8], tar: &[u8], member: &Member) -> Result<ControlMembers, DebError> {
    let refuse = |problem: String| DebError::Control { member: member.name.clone(), problem };
    let plain = plain_deb(binary, tar);
    let mut package = debpkg::DebPkg::parse(&plain[..]).map_err(|error| match error {
        debpkg::Error::Io(source) => DebError::Member { member: BINARY.to_owned(), source },
        error => DebError::Control { member: BINARY.to_owned(), problem: error.to_string() },
    })?;
    let mut archive = package.control().map_err(|error| refuse(error.to_string()))?;
    let mut members = ControlMembers::new();
    for entry in archive.entries().map_err(in_member(member))? {
        let mut entry = entry.map_err(in_member(member))?;
        let raw = entry.path_bytes().into_owned();
        let name = raw.strip_prefix(b"./").unwrap_or(&raw);
        match entry.header().entry_type() {
            tar::EntryType::Directory if matches!(name, b"" | b".") => continue,
            tar::EntryType::Regular => {}
            _ => return Err(refuse(format!("{:?} is no regular file", printable(&raw)))),
        }
        let name = str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty() && !name.contains(|c: char| c == '/' || c.is_control()))
            .ok_or_else(|| refuse(format!("{:?} is no name of a control file", printable(&raw))))?;
        let claimed = entry.size();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(in_member(member))?;
        if bytes.len() as u64 != claimed {
            return Err(refuse(format!("it ends within {name}")));
        }
        if members.insert(name.into(), bytes.into()).is_some() {
            return Err(refuse(format!("{name} is there twice")));
        }
    }
    if !members.contains_key("control") {
        return Err(refuse("it has no file control".to_owned()));
    }
    Ok(members)
}

fn plain_deb(binary: &[u8], tar: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(binary.len() + tar.len() + 256);
    plain.extend_from_slice(b"!<arch>\n");
    for (name, body) in [(BINARY, binary), ("control.tar", tar)] {
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, body.len());
        plain.extend_from_slice(header.as_bytes());
        plain.extend_from_slice(body);
        plain.resize(plain.len().next_multiple_of(2), b'\n');
    }
    plain
}

/// What a control file says that its package is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `Package`.
    pub name: String,
    /// `Version`, as written.
    pub version: String,
    /// `Architecture`.
    pub architecture: String,
}

impl Identity {
    /// Reads the three fields of a control file (Policy 5.3), which has one stanza. The error is one
    /// line about `control`.
    pub fn of_control(control: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(control).map_err(|_| "control: not UTF-8".to_owned())?;
        let mut fields = [("Package", None), ("Version", None), ("Architecture", None)];
        let blank = |line: &&str| line.trim_ascii().is_empty();
        let mut lines = text.lines().skip_while(blank).peekable();
        while let Some(line) = lines.next_if(|line| !blank(line)) {
            let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with([' ', '\t', '#'])) else {
                continue;
            };
            for (name, found) in &mut fields {
                if key.eq_ignore_ascii_case(name) && found.replace(value.trim().to_owned()).is_some() {
                    return Err(format!("control: the field {name} is there twice"));
                }
            }
        }
        let [name, version, architecture] = fields.map(|(name, found)| {
            found.filter(|value| !value.is_empty()).ok_or_else(|| format!("control: the field {name} is missing"))
        });
        let identity = Self { name: name?, version: version?, architecture: architecture? };
        // dpkg takes one; in `status.d` a second one would be a package that is not there.
        match lines.all(|line| blank(&line)) {
            true => Ok(identity),
            false => Err("control: it has more than one stanza".to_owned()),
        }
    }
}
