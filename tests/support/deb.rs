//! A .deb, member by member (deb(5)), the same bytes every time.

use std::io::Write as _;

/// How the members are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gz,
    Xz,
    Zst,
    Bz2,
    Lzma,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::None, Self::Gz, Self::Xz, Self::Zst, Self::Bz2, Self::Lzma];

    /// What is added to `data.tar`.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gz => ".gz",
            Self::Xz => ".xz",
            Self::Zst => ".zst",
            Self::Bz2 => ".bz2",
            Self::Lzma => ".lzma",
        }
    }

    /// The compressed form of `bytes`.
    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gz => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Self::Xz => {
                let mut out = xz2::write::XzEncoder::new(Vec::new(), 1);
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Self::Zst => zstd::encode_all(bytes, 3).unwrap(),
            Self::Bz2 => {
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Self::Lzma => {
                let options = xz2::stream::LzmaOptions::new_preset(1).unwrap();
                let stream = xz2::stream::Stream::new_lzma_encoder(&options).unwrap();
                let mut out = xz2::write::XzEncoder::new_stream(Vec::new(), stream);
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
        }
    }
}

/// A finished .deb.
#[derive(Debug, Clone)]
pub struct Deb {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// The control file, as it stands in an index too.
    pub control: String,
    pub bytes: Vec<u8>,
}

impl Deb {
    /// As apt names it: no epoch.
    pub fn file_name(&self) -> String {
        let version = self.version.split_once(':').map_or(&*self.version, |(_, rest)| rest);
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }
}

#[derive(Debug, Clone)]
enum Kind {
    Dir,
    File(Vec<u8>),
    Symlink(String),
    Hardlink(String),
    /// Any other type: character device, FIFO...
    Other(u8),
}

#[derive(Debug, Clone)]
struct Entry {
    name: Vec<u8>,
    kind: Kind,
    mode: u32,
    owner: (u64, u64),
}

/// Makes a .deb. Entries stand in data.tar in the order of the calls; folders above an entry that
/// nobody named are made with 0755 root:root, as dpkg-deb does.
#[derive(Debug, Clone)]
pub struct DebBuilder {
    name: String,
    version: String,
    architecture: String,
    fields: Vec<(String, String)>,
    control_files: Vec<(String, Vec<u8>, u32)>,
    entries: Vec<Entry>,
    parents: bool,
    compression: Compression,
    data_tar: Option<Vec<u8>>,
    control_tar: Option<Vec<u8>>,
    members: Option<Vec<(String, Vec<u8>)>>,
}

impl DebBuilder {
    /// A package without files, for amd64, compressed with xz.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            fields: Vec::new(),
            control_files: Vec::new(),
            entries: Vec::new(),
            parents: true,
            compression: Compression::Xz,
            data_tar: None,
            control_tar: None,
            members: None,
        }
    }

    pub fn arch(mut self, architecture: &str) -> Self {
        self.architecture = architecture.into();
        self
    }

    /// One more control field, such as `Depends`. It may be folded (`"a,\n b"`).
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn depends(self, relations: &str) -> Self {
        self.field("Depends", relations)
    }

    pub fn provides(self, relations: &str) -> Self {
        self.field("Provides", relations)
    }

    /// Another member of control.tar, such as `md5sums` (0644) or `postinst` (0755).
    pub fn control_file(mut self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        self.control_files.push((name.into(), content.as_ref().to_vec(), mode));
        self
    }

    fn entry(mut self, path: impl AsRef<[u8]>, kind: Kind, mode: u32) -> Self {
        self.entries.push(Entry { name: path.as_ref().to_vec(), kind, mode, owner: (0, 0) });
        self
    }

    /// A folder. Paths are absolute (`/usr/bin`); one that does not start with `/` is stored as it is.
    pub fn dir(self, path: impl AsRef<[u8]>, mode: u32) -> Self {
        self.entry(path, Kind::Dir, mode)
    }

    pub fn file(self, path: impl AsRef<[u8]>, mode: u32, content: impl AsRef<[u8]>) -> Self {
        self.entry(path, Kind::File(content.as_ref().to_vec()), mode)
    }

    pub fn symlink(self, path: impl AsRef<[u8]>, target: &str) -> Self {
        self.entry(path, Kind::Symlink(target.into()), 0o777)
    }

    /// `target` is an absolute path, stored as `./path`; else stored as it is.
    pub fn hardlink(self, path: impl AsRef<[u8]>, target: &str) -> Self {
        let stored = if target.starts_with('/') { format!(".{target}") } else { target.into() };
        self.entry(path, Kind::Hardlink(stored), 0o644)
    }

    /// An entry of a tar type that no package may hold, such as `b'3'` (a character device).
    pub fn special(self, path: impl AsRef<[u8]>, typeflag: u8) -> Self {
        self.entry(path, Kind::Other(typeflag), 0o644)
    }

    /// Who owns the entry named last.
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.entries.last_mut().expect("an entry").owner = (uid, gid);
        self
    }

    /// Only the entries that were named: no `./`, no folders above.
    pub fn bare(mut self) -> Self {
        self.parents = false;
        self
    }

    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// The uncompressed data.tar, instead of the entries.
    pub fn data_tar(mut self, tar: Vec<u8>) -> Self {
        self.data_tar = Some(tar);
        self
    }

    /// The uncompressed control.tar.
    pub fn control_tar(mut self, tar: Vec<u8>) -> Self {
        self.control_tar = Some(tar);
        self
    }

    /// All ar members, instead of debian-binary, control.tar and data.tar (see [`DebBuilder::members`]).
    pub fn with_members(mut self, members: Vec<(String, Vec<u8>)>) -> Self {
        self.members = Some(members);
        self
    }

    /// The control file.
    pub fn control(&self) -> String {
        let mut text =
            format!("Package: {}\nVersion: {}\nArchitecture: {}\n", self.name, self.version, self.architecture);
        let given = |name: &str| self.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
        for (name, value) in [("Maintainer", "Nobody <nobody@example.org>"), ("Description", "made for a test")] {
            if !given(name) {
                text.push_str(&format!("{name}: {value}\n"));
            }
        }
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }

    /// The ar members as `build` would write them, to be altered and given to
    /// [`DebBuilder::with_members`].
    pub fn members(&self) -> Vec<(String, Vec<u8>)> {
        // deb(5): control.tar knows none, gz, xz and zst alone.
        let control_by = match self.compression {
            Compression::Bz2 | Compression::Lzma => Compression::Gz,
            other => other,
        };
        let control = self.control_tar.clone().unwrap_or_else(|| self.make_control_tar());
        let data = self.data_tar.clone().unwrap_or_else(|| self.make_data_tar());
        vec![
            ("debian-binary".into(), b"2.0\n".to_vec()),
            (format!("control.tar{}", control_by.suffix()), control_by.compress(&control)),
            (format!("data.tar{}", self.compression.suffix()), self.compression.compress(&data)),
        ]
    }

    /// The bytes.
    pub fn build(&self) -> Deb {
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, content) in self.members.clone().unwrap_or_else(|| self.members()) {
            let size = content.len();
            bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100644).bytes());
            bytes.extend(content);
            if size % 2 == 1 {
                bytes.push(b'\n');
            }
        }
        Deb {
            name: self.name.clone(),
            version: self.version.clone(),
            architecture: self.architecture.clone(),
            control: self.control(),
            bytes,
        }
    }

    fn make_control_tar(&self) -> Vec<u8> {
        let mut out = Vec::new();
        entry(&mut out, b"./", b'5', 0o755, (0, 0), b"", &[]);
        entry(&mut out, b"./control", b'0', 0o644, (0, 0), b"", self.control().as_bytes());
        for (name, content, mode) in &self.control_files {
            entry(&mut out, format!("./{name}").as_bytes(), b'0', *mode, (0, 0), b"", content);
        }
        end(out)
    }

    fn make_data_tar(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut made: Vec<Vec<u8>> = vec![b"/".to_vec()];
        if self.parents {
            entry(&mut out, b"./", b'5', 0o755, (0, 0), b"", &[]);
        }
        for one in &self.entries {
            let Some(inside) = one.name.strip_prefix(b"/") else {
                write_entry(&mut out, &one.name, one);
                continue;
            };
            if self.parents {
                for (at, _) in inside.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                    let above = [b"/", &inside[..at]].concat();
                    if !made.contains(&above) {
                        let name = [b".", &*above, b"/"].concat();
                        entry(&mut out, &name, b'5', 0o755, (0, 0), b"", &[]);
                        made.push(above);
                    }
                }
            }
            made.push(one.name.clone());
            let mut name = [b".", &*one.name].concat();
            if matches!(one.kind, Kind::Dir) && !name.ends_with(b"/") {
                name.push(b'/');
            }
            write_entry(&mut out, &name, one);
        }
        end(out)
    }
}

fn write_entry(out: &mut Vec<u8>, name: &[u8], one: &Entry) {
    let (typeflag, link, content): (u8, &[u8], &[u8]) = match &one.kind {
        Kind::Dir => (b'5', b"", &[]),
        Kind::File(content) => (b'0', b"", content),
        Kind::Symlink(target) => (b'2', target.as_bytes(), &[]),
        Kind::Hardlink(target) => (b'1', target.as_bytes(), &[]),
        Kind::Other(typeflag) => (*typeflag, b"", &[]),
    };
    entry(out, name, typeflag, one.mode, one.owner, link, content);
}

/// One entry of a GNU tar, as dpkg-deb writes it: mtime 2026-01-01, long names in `L` and `K` records.
pub fn entry(out: &mut Vec<u8>, name: &[u8], typeflag: u8, mode: u32, owner: (u64, u64), link: &[u8], content: &[u8]) {
    for (long, record) in [(link, b'K'), (name, b'L')] {
        if long.len() > 100 {
            let content = [long, b"\0"].concat();
            block(out, b"././@LongLink", record, 0, (0, 0), b"", &content, 0);
        }
    }
    block(out, &name[..name.len().min(100)], typeflag, mode, owner, &link[..link.len().min(100)], content, 1767225600);
}

#[allow(clippy::too_many_arguments)]
fn block(
    out: &mut Vec<u8>,
    name: &[u8],
    typeflag: u8,
    mode: u32,
    owner: (u64, u64),
    link: &[u8],
    content: &[u8],
    mtime: u64,
) {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
    header.set_mode(mode);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_size(content.len() as u64);
    header.set_mtime(mtime);
    header.set_entry_type(tar::EntryType::new(typeflag));
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// A tar with its two empty blocks.
pub fn end(mut tar: Vec<u8>) -> Vec<u8> {
    tar.resize((tar.len() + 1024).next_multiple_of(10240), 0);
    tar
}
