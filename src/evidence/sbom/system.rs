//! What operating system a tier says it is.

use super::{EvidenceError, bytes};
use crate::{
    ground::{RootPath, printable},
    rootfs::{Node, Rootfs},
};

/// Which system scanners take the packages to be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// `ID` of os-release(5), in small letters: `debian`.
    pub id: String,
    /// Its `VERSION_ID`: `13`.
    pub version: Option<String>,
}

/// Bytes of an os-release that are read.
const LARGEST: u64 = 1 << 16;

impl System {
    /// From /etc/os-release or /usr/lib/os-release. Where there is none, the archive that the packages are
    /// from names it: `from`, such as `debian/trixie`, as far as that is a distribution's.
    pub(super) fn read(tree: &Rootfs, from: &str) -> Result<Self, EvidenceError> {
        for name in ["etc/os-release", "usr/lib/os-release"] {
            let path = RootPath::from_archive(name.as_bytes()).unwrap_or_default();
            let Some(Node::File { content, .. }) = tree.lookup(&path).map(|entry| &entry.node) else { continue };
            let bytes = bytes(&path, content, content.size.min(LARGEST))?;
            let text = String::from_utf8_lossy(&bytes);
            let value = |key: &str| {
                let line = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).next_back()?;
                let value = printable(line.trim().trim_matches(['"', '\'']).as_bytes());
                Some(value).filter(|value| !value.is_empty())
            };
            // os-release(5): without an ID it is `linux`.
            let id = value("ID").unwrap_or_else(|| "linux".to_owned()).to_lowercase();
            return Ok(Self { id, version: value("VERSION_ID") });
        }
        let id = if from.starts_with("ubuntu") { "ubuntu" } else { "debian" };
        Ok(Self { id: id.to_owned(), version: None })
    }
}
