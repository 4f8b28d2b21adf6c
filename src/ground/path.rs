//! Paths inside a root filesystem. A `RootPath` cannot escape: once made, nothing unsafe exists.

use std::{borrow::Borrow, fmt};

/// The longest path taken, in bytes: Linux' PATH_MAX (limits.h) without the final NUL.
const LONGEST: usize = 4095;
/// The longest single name, in bytes: Linux' NAME_MAX.
const LONGEST_NAME: usize = 255;

/// A path below the root of a filesystem: bytes, names joined by `/`, with no `/` at either end,
/// no empty name, no `.`, no `..`, no NUL. The root itself is empty. Shown with a leading `/`.
///
/// The order is that of the bytes, so a folder comes before all that is below it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RootPath(Box<[u8]>);

/// Why bytes are no path inside a root filesystem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A manifest's path lacks the leading slash.
    #[error("the path is relative; paths in a tier start with /")]
    Relative,
    /// `..` among the names.
    #[error("the path has a `..`")]
    DotDot,
    /// `.` or nothing between two slashes, where a path must be written in its plain form.
    #[error("the path has an empty name or a `.`")]
    NotPlain,
    /// A NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
    /// Longer than Linux takes.
    #[error("the path is longer than Linux allows (4095 bytes, 255 a name)")]
    TooLong,
}

impl RootPath {
    /// The root.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path as a manifest writes it: absolute and plain (`/etc/passwd`; `/` is the root).
    pub fn from_absolute(text: &[u8]) -> Result<Self, PathError> {
        let rest = text.strip_prefix(b"/").ok_or(PathError::Relative)?;
        if rest.is_empty() {
            return Ok(Self::root());
        }
        for name in rest.split(|byte| *byte == b'/') {
            if name == b".." {
                return Err(PathError::DotDot);
            }
            if name.is_empty() || name == b"." {
                return Err(PathError::NotPlain);
            }
        }
        Self::checked(rest.to_vec())
    }

    /// A name as archives write it: `./etc/passwd`, `etc/`, `/etc`, `./`; `..` is refused.
    pub fn from_archive(name: &[u8]) -> Result<Self, PathError> {
        let mut names = Vec::new();
        for name in name.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(PathError::DotDot),
                name => names.push(name),
            }
        }
        Self::checked(names.join(&b'/'))
    }

    fn checked(bytes: Vec<u8>) -> Result<Self, PathError> {
        if bytes.contains(&0) {
            return Err(PathError::Nul);
        }
        if bytes.len() > LONGEST || bytes.split(|byte| *byte == b'/').any(|name| name.len() > LONGEST_NAME) {
            return Err(PathError::TooLong);
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder above; none above the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0[..cut].into()))
    }

    /// All folders above, nearest first, the root last.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + use<> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// The last name; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// The names from the top down.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// This path with `below` (a name, or names joined by `/`) added.
    pub fn join(&self, below: &[u8]) -> Result<Self, PathError> {
        Self::from_archive(&[&self.0, b"/".as_slice(), below].concat())
    }

    /// What is left of this path below `folder`; `None` where it is not below or equal.
    pub fn below<'a>(&'a self, folder: &RootPath) -> Option<&'a [u8]> {
        if folder.is_root() {
            return Some(&self.0);
        }
        match self.0.strip_prefix(&*folder.0)? {
            b"" => Some(b""),
            rest => rest.strip_prefix(b"/"),
        }
    }
}

/// Maps by path can be asked with bytes: order, equality and hash are those of the bytes.
impl Borrow<[u8]> for RootPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", printable(&self.0))
    }
}

impl fmt::Debug for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes from outside as text that is safe to print: control characters and what is no UTF-8 are
/// escaped, so that no archive can drive the reader's terminal.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_names() {
        let cases: &[(&[u8], Result<&str, PathError>)] = &[
            (b"./", Ok("/")),
            (b"", Ok("/")),
            (b"./usr/bin/", Ok("/usr/bin")),
            (b"/usr//bin/./x", Ok("/usr/bin/x")),
            (b"..x/a..", Ok("/..x/a..")),
            (b"./../etc", Err(PathError::DotDot)),
            (b"usr/..", Err(PathError::DotDot)),
            (b"a\0b", Err(PathError::Nul)),
            (&[b'a'; 256], Err(PathError::TooLong)),
        ];
        for (name, expected) in cases {
            let got = RootPath::from_archive(name).map(|path| path.to_string());
            assert_eq!(got, expected.clone().map(str::to_owned), "{}", printable(name));
        }
    }

    #[test]
    fn manifest_paths_are_plain() {
        for (text, error) in [
            ("etc", PathError::Relative),
            ("/etc/", PathError::NotPlain),
            ("/a/./b", PathError::NotPlain),
            ("/a/../b", PathError::DotDot),
        ] {
            assert_eq!(RootPath::from_absolute(text.as_bytes()), Err(error), "{text}");
        }
        assert!(RootPath::from_absolute(b"/").unwrap().is_root());
    }

    #[test]
    fn family() {
        let path = RootPath::from_absolute(b"/usr/lib/x").unwrap();
        let up: Vec<_> = path.ancestors().map(|path| path.to_string()).collect();
        assert_eq!(up, ["/usr/lib", "/usr", "/"]);
        assert_eq!(path.name(), b"x");
        assert_eq!(path.below(&path.parent().unwrap()), Some(b"x".as_slice()));
        assert_eq!(path.below(&RootPath::from_absolute(b"/us").unwrap()), None);
        assert_eq!(path.below(&RootPath::root()), Some(b"usr/lib/x".as_slice()));
    }

    #[test]
    fn terminal_escapes_are_not_printed_raw() {
        assert_eq!(printable(b"a\x1b[2J\xff\xc3\xa9"), "a\\u{1b}[2J\\xff\u{e9}");
    }
}
