//! Builds .debs byte by byte, the impossible ones too.

use std::io::Write as _;

/// A tar in the making; every entry can be as wrong as a test wants.
#[derive(Default, Clone)]
pub struct Tar(Vec<u8>);

/// One header's fields.
#[derive(Clone)]
pub struct Head<'a> {
    pub name: &'a [u8],
    pub flag: u8,
    pub link: &'a [u8],
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub body: &'a [u8],
}

impl Default for Head<'_> {
    fn default() -> Self {
        Head { name: b"", flag: b'0', link: b"", mode: 0o644, uid: 0, gid: 0, body: b"" }
    }
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(mut self, head: &Head) -> Self {
        let mut header = tar::Header::new_gnu();
        {
            let old = header.as_old_mut();
            let count = head.name.len().min(100);
            old.name[..count].copy_from_slice(&head.name[..count]);
            let count = head.link.len().min(100);
            old.linkname[..count].copy_from_slice(&head.link[..count]);
            old.linkflag = [head.flag];
        }
        header.set_mode(head.mode);
        header.set_uid(head.uid);
        header.set_gid(head.gid);
        header.set_mtime(1_700_000_000);
        header.set_size(head.body.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(head.body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn dir(self, name: &str) -> Self {
        self.push(&Head { name: name.as_bytes(), flag: b'5', mode: 0o755, ..Head::default() })
    }

    pub fn file(self, name: &str, body: &[u8]) -> Self {
        self.push(&Head { name: name.as_bytes(), body, ..Head::default() })
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        let (name, link) = (name.as_bytes(), target.as_bytes());
        self.push(&Head { name, link, flag: b'2', mode: 0o777, ..Head::default() })
    }

    pub fn hardlink(self, name: &str, target: &str) -> Self {
        self.push(&Head { name: name.as_bytes(), link: target.as_bytes(), flag: b'1', ..Head::default() })
    }

    /// A pax extended header for the entry that follows.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.pax_with(b'x', records)
    }

    pub fn pax_with(self, flag: u8, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            write!(body, "{length} {key}=").unwrap();
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.push(&Head { name: b"./PaxHeaders/x", flag, body: &body, ..Head::default() })
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Without the two zero blocks.
    pub fn unfinished(self) -> Vec<u8> {
        self.0
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub const CONTROL: &str = "Package: toy\nVersion: 1:2.0-3\nArchitecture: amd64\nDescription: a\n toy\n";

pub fn control_tar() -> Vec<u8> {
    Tar::new().dir("./").file("./control", CONTROL.as_bytes()).file("./md5sums", b"0  usr/x\n").finish()
}

/// An ar of these members.
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, body) in members {
        writeln!(bytes, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100644, body.len()).unwrap();
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

/// A plain .deb around this data.tar, uncompressed.
pub fn deb(data: &[u8]) -> Vec<u8> {
    ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control_tar()), ("data.tar", data)])
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn xz_with_dictionary(bytes: &[u8], dictionary: u32) -> Vec<u8> {
    let mut options = xz2::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(dictionary);
    let mut filters = xz2::stream::Filters::new();
    filters.lzma2(&options);
    let stream = xz2::stream::Stream::new_stream_encoder(&filters, xz2::stream::Check::Crc64).unwrap();
    let mut encoder = xz2::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = xz2::stream::LzmaOptions::new_preset(6).unwrap();
    let stream = xz2::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut encoder = xz2::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}
