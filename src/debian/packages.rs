//! Packages indexes (deb822 stanzas, one a binary package; Policy 5.3, repository format of the Debian wiki).

use super::{
    deb822::{Cursor, Deb822Problem, LARGEST_STANZA},
    relation::is_package_name,
};
use crate::ground::{Sha256, printable};

/// One stanza of a Packages file, borrowed from its text. Relation fields are unparsed: most are
/// never looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// `Package`
    pub package: &'a str,
    /// `Version`, unparsed.
    pub version: &'a str,
    /// `Architecture`: `all` or an architecture.
    pub architecture: &'a str,
    /// `Source` without a version in parentheses; the package's own name where absent.
    pub source: &'a str,
    /// `Multi-Arch`: `same`, `foreign`, `allowed`, `no`, or empty.
    pub multi_arch: &'a str,
    /// `Essential: yes`
    pub essential: bool,
    /// `Priority`: `required`, `important`, `standard`, `optional`, `extra`, or empty (Policy 2.5).
    pub priority: &'a str,
    /// Empty where absent, as all relation fields.
    pub pre_depends: &'a str,
    /// `Depends`
    pub depends: &'a str,
    /// `Provides`
    pub provides: &'a str,
    /// `Conflicts`
    pub conflicts: &'a str,
    /// `Breaks`
    pub breaks: &'a str,
    /// `Replaces`
    pub replaces: &'a str,
    /// `Filename`, relative to the archive's root.
    pub filename: &'a str,
    /// `Size` of the .deb in bytes.
    pub size: u64,
    /// `SHA256` of the .deb, where given.
    pub sha256: Option<Sha256>,
}

/// A Packages file is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {problem}", .package.as_ref().map(|name| format!(" (package {name})")).unwrap_or_default())]
pub struct PackagesError {
    /// From 1.
    pub line: usize,
    /// The stanza's package, where its name was read.
    pub package: Option<String>,
    /// What is wrong, in a sentence without a full stop.
    pub problem: String,
}

/// One stanza and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stanza<'a> {
    /// What it says.
    pub record: Record<'a>,
    /// Byte offset of its first line.
    pub start: usize,
    /// Byte offset behind its last line.
    pub end: usize,
    /// Its first line, from 1.
    pub line: usize,
}

/// The largest .deb believed in, in bytes: 64 GiB. An ar archive (ar(5)) has ten digits for the size
/// of a member, and a .deb has two large members.
pub const LARGEST_DEB: u64 = 1 << 36;

/// All stanzas of a Packages text, in its order; the first error is the last item.
///
/// # Errors
/// At once, where the text is not UTF-8.
pub fn stanzas(text: &[u8]) -> Result<Stanzas<'_>, PackagesError> {
    match std::str::from_utf8(text) {
        Ok(text) => Ok(Stanzas::new(text)),
        Err(error) => Err(not_utf8(text, error.valid_up_to())),
    }
}

/// Says where a text ceases to be UTF-8: its first `valid` bytes are.
pub fn not_utf8(text: &[u8], valid: usize) -> PackagesError {
    let before = text.get(..valid).unwrap_or_default();
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let stanza = memchr::memmem::rfind(before, b"\n\n").map_or(before, |end| before.get(end + 2..).unwrap_or_default());
    let package = stanza.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Package:"));
    let package = package.map(|name| short(&printable(name.trim_ascii())));
    PackagesError { line, package, problem: "the text is not UTF-8".to_owned() }
}

/// An iterator over the stanzas of a Packages text.
#[derive(Debug, Clone)]
pub struct Stanzas<'a> {
    cursor: Cursor<'a>,
    done: bool,
}

impl<'a> Stanzas<'a> {
    /// From the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { cursor: Cursor::new(text), done: false }
    }
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Result<Stanza<'a>, PackagesError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || !self.cursor.stanza() {
            return None;
        }
        let stanza = stanza(&mut self.cursor);
        self.done = stanza.is_err();
        Some(stanza)
    }
}

/// The fields of [`Record`].
const NAMES: [&str; 16] = [
    "Package",
    "Version",
    "Architecture",
    "Filename",
    "Size",
    "SHA256",
    "Source",
    "Multi-Arch",
    "Essential",
    "Priority",
    "Pre-Depends",
    "Depends",
    "Provides",
    "Conflicts",
    "Breaks",
    "Replaces",
];
/// How many of [`NAMES`], from the front, every stanza must have.
const REQUIRED: usize = 5;
/// From here on values may run over several lines.
const FOLDABLE: usize = 10;

/// The field's place in [`NAMES`]. Most fields of an index are none of ours: length and first
/// letter decide for them.
#[inline]
fn place(name: &str) -> Option<usize> {
    let place = match (name.len(), name.as_bytes().first()? | 0x20) {
        (7, b'p') => 0,
        (7, b'v') => 1,
        (12, b'a') => 2,
        (8, b'f') => 3,
        (4, b's') => 4,
        (6, b's') if name.eq_ignore_ascii_case("SHA256") => 5,
        (6, b's') => 6,
        (10, b'm') => 7,
        (9, b'e') => 8,
        (8, b'p') if name.eq_ignore_ascii_case("Priority") => 9,
        (11, b'p') => 10,
        (7, b'd') => 11,
        (8, b'p') => 12,
        (9, b'c') => 13,
        (6, b'b') => 14,
        (8, b'r') => 15,
        _ => return None,
    };
    NAMES.get(place).is_some_and(|known| *known == name || known.eq_ignore_ascii_case(name)).then_some(place)
}

fn stanza<'a>(cursor: &mut Cursor<'a>) -> Result<Stanza<'a>, PackagesError> {
    let beginning = cursor.clone();
    let mut values = [""; NAMES.len()];
    let mut seen = 0u32;
    loop {
        let fail = |line, problem: String| PackagesError { line, package: name_for_message(values[0]), problem };
        let field = match cursor.field() {
            Ok(Some(field)) => field,
            Ok(None) => break,
            Err(error) => return Err(fail(error.line, error.problem.to_string())),
        };
        let Some(place) = place(field.name) else { continue };
        if seen & 1 << place != 0 {
            return Err(fail(field.line, Deb822Problem::Duplicate(NAMES[place].to_owned()).to_string()));
        }
        if field.folded && place < FOLDABLE {
            return Err(fail(field.line, format!("the field {} runs over several lines", NAMES[place])));
        }
        seen |= 1 << place;
        values[place] = field.value;
    }
    let (start, end, line) = (beginning.offset(), cursor.offset(), beginning.line());
    let fail = |place: usize, problem: String| {
        let line = line_of(beginning.clone(), place).unwrap_or(line);
        PackagesError { line, package: name_for_message(values[0]), problem }
    };
    // What is read of a field later takes memory with its length.
    if end - start > LARGEST_STANZA {
        return Err(PackagesError {
            line,
            package: name_for_message(values[0]),
            problem: Deb822Problem::LargeStanza.to_string(),
        });
    }
    for place in 0..REQUIRED {
        if values[place].is_empty() {
            return Err(fail(place, format!("the stanza has no {}", NAMES[place])));
        }
    }
    let [package, version, architecture, filename, size, sha256, source, rest @ ..] = values;
    let [multi_arch, essential, priority, pre_depends, depends, provides, conflicts, breaks, replaces] = rest;
    if !is_package_name(package) {
        return Err(fail(0, format!("{:?} cannot be a package's name", short(package))));
    }
    if !architecture.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(fail(2, format!("{:?} cannot be an architecture", short(architecture))));
    }
    check_path(filename).map_err(|problem| fail(3, format!("Filename {:?} {problem}", short(filename))))?;
    let size = match number(size) {
        Some(size) if size <= LARGEST_DEB => size,
        _ => return Err(fail(4, format!("Size {:?} is no size that a package can have", short(size)))),
    };
    let sha256 = match sha256 {
        "" => None,
        hex => Some(hex.parse().map_err(|error| fail(5, format!("{error}")))?),
    };
    let name_end = source.bytes().position(|byte| matches!(byte, b' ' | b'(')).unwrap_or(source.len());
    let source = match source.get(..name_end).unwrap_or_default() {
        "" => package,
        source if is_package_name(source) => source,
        source => return Err(fail(6, format!("{:?} cannot be a source package's name", short(source)))),
    };
    let essential = essential.eq_ignore_ascii_case("yes");
    let record = Record {
        package,
        version,
        architecture,
        source,
        multi_arch,
        essential,
        priority,
        pre_depends,
        depends,
        provides,
        conflicts,
        breaks,
        replaces,
        filename,
        size,
        sha256,
    };
    Ok(Stanza { record, start, end, line })
}

fn name_for_message(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| short(name))
}

/// The line of a field, looked for only where an error must name it.
fn line_of(mut cursor: Cursor<'_>, wanted: usize) -> Option<usize> {
    while let Ok(Some(field)) = cursor.field() {
        if place(field.name) == Some(wanted) {
            return Some(field.line);
        }
    }
    None
}

/// A value for a message: printable and not too long.
fn short(text: &str) -> String {
    let head: String = text.chars().take(100).collect();
    printable(head.as_bytes())
}

/// Digits alone; no sign, unlike `u64::from_str`.
pub(super) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Whether a path of an index stays below the archive's root: relative, no `..`, printable ASCII.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.starts_with('/') {
        return Err("is not relative to the archive's root");
    }
    if !path.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err("has characters other than printable ASCII");
    }
    // Two dots in a row are rare; only then the names are looked at.
    if path.as_bytes().windows(2).any(|pair| pair == b"..") && path.split('/').any(|name| name == "..") {
        return Err("leaves the archive through `..`");
    }
    Ok(())
}

/// One item of `Provides`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provided<'a> {
    /// The provided name.
    pub name: &'a str,
    /// `(= version)`, unparsed.
    pub version: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// What `Provides` names, each an error where it cannot be read. Like apt, this leaves out items
    /// with another operator than `=`.
    pub fn provided(&self) -> impl Iterator<Item = Result<Provided<'a>, String>> + use<'a> {
        let parts = self.provides.split(',').map(str::trim_ascii).filter(|part| !part.is_empty());
        parts.filter_map(|part| provided(part).transpose())
    }
}

fn provided(part: &str) -> Result<Option<Provided<'_>>, String> {
    let refuse = || format!("Provides has an item that cannot be read: {:?}", short(part));
    let (name, version) = match part.split_once('(') {
        None => (part, None),
        Some((name, rest)) => (name.trim_ascii_end(), Some(rest.strip_suffix(')').ok_or_else(refuse)?.trim_ascii())),
    };
    // A qualifier says for which architecture; an index has but one.
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    if !is_package_name(name) {
        return Err(refuse());
    }
    let Some(version) = version else { return Ok(Some(Provided { name, version: None })) };
    match version.strip_prefix('=').map(str::trim_ascii_start) {
        Some(version) if super::version::check(version).is_ok() => Ok(Some(Provided { name, version: Some(version) })),
        Some(_) => Err(refuse()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "Package: libc6\nSource: glibc (2.41-12)\nVersion: 2.41-12+deb13u1\nArchitecture: amd64\n\
        Multi-Arch: same\nPriority: optional\nTag: a, \n b\nDepends: libgcc-s1,\n x (>= 2)\nProvides: libc6-2.41, y (= 3)\n\
        Filename: pool/main/g/glibc/libc6_2.41-12_amd64.deb\nSize: 123\nSHA256: \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

    fn all(text: &[u8]) -> Result<Vec<Stanza<'_>>, PackagesError> {
        stanzas(text)?.collect()
    }

    #[test]
    fn a_stanza_becomes_a_record() {
        let text =
            format!("\n{GOOD}\n\n{}\n", GOOD.replace("Source: glibc (2.41-12)\n", "").replace("Package", "pACKAGE"));
        let found = all(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(&text[found[0].start..found[0].end], GOOD);
        assert_eq!((found[0].line, found[1].line), (2, 18));
        let record = found[0].record;
        assert_eq!((record.package, record.source, found[1].record.source), ("libc6", "glibc", "libc6"));
        assert_eq!((record.size, record.multi_arch, record.essential), (123, "same", false));
        assert_eq!((record.depends, record.pre_depends), ("libgcc-s1,\n x (>= 2)", ""));
        assert_eq!(record.sha256, Some(Sha256::of(b"")));
        let crlf = GOOD.replace('\n', "\r\n");
        assert_eq!(all(crlf.as_bytes()).unwrap()[0].record.version, record.version);
    }

    #[test]
    fn an_enormous_stanza_is_refused() {
        let text = format!("{GOOD}\n{}", GOOD.replace("y (= 3)", &"y (= 3), ".repeat(LARGEST_STANZA / 8)));
        let error = all(text.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("line 16 (package libc6): the stanza is larger than {LARGEST_STANZA} bytes")
        );
    }

    #[test]
    fn errors_name_line_and_package() {
        let long = format!("Filename: {}", "x/../".repeat(50));
        for (from, to, message) in [
            ("Version: 2.41-12+deb13u1\n", "", "line 1 (package libc6): the stanza has no Version"),
            ("Package: libc6", "Package:", "line 1: the stanza has no Package"),
            ("Package: libc6", "Package: ../x", "line 1 (package ../x): \"../x\" cannot be a package's name"),
            ("amd64", "a/b", "line 4 (package libc6): \"a/b\" cannot be an architecture"),
            ("Size: 123", "Size: -1", "line 13 (package libc6): Size \"-1\" is no size"),
            ("Size: 123", "Size: 68719476737", "line 13 (package libc6): Size \"68719476737\" is no size"),
            ("Size: 123", "Size: 99999999999999999999", "line 13 (package libc6): Size \"9"),
            ("Size: 123", "SIZE: 1\nSize: 2", "line 14 (package libc6): the field Size stands here twice"),
            ("Filename: ", "Filename: /", "line 12 (package libc6): Filename \"/pool"),
            ("Filename: pool", long.as_str(), "line 12 (package libc6): Filename \"x/../"),
            ("Filename: pool", "Filename: a\tb", "line 12 (package libc6): Filename \"a\\\\tb"),
            ("SHA256: e3", "SHA256: ", "line 14 (package libc6): a SHA-256 is 64"),
            ("Size: 123", "Size: 1\n 23", "line 13 (package libc6): the field Size runs over several lines"),
            ("Size: 123", "Size 123", "line 13 (package libc6): this line has no `Field:`"),
            ("Source: glibc", "Source: a/b", "line 2 (package libc6): \"a/b\" cannot be a source"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let error = all(text.as_bytes()).expect_err(&text).to_string();
            assert!(error.starts_with(message), "{to}: {error}");
        }
        let mut text = GOOD.repeat(2).replacen("855\n", "855\n\n", 1).into_bytes();
        let at = text.len() - 5;
        text[at] = 0xff;
        assert_eq!(all(&text).unwrap_err().to_string(), "line 29 (package libc6): the text is not UTF-8");
    }

    #[test]
    fn provides() {
        let with = |provides| -> Result<Vec<_>, String> {
            let text = GOOD.replace("libc6-2.41, y (= 3)", provides);
            let stanzas = all(text.as_bytes()).unwrap();
            let found = stanzas[0].record.provided();
            found.map(|item| item.map(|item| (item.name.to_owned(), item.version.map(str::to_owned)))).collect()
        };
        let plain = |name: &str| (name.to_owned(), None);
        assert_eq!(
            with("a,b(=1),\n c:any ( = 2-1 ),, d (>= 1),").unwrap(),
            [plain("a"), ("b".into(), Some("1".into())), ("c".into(), Some("2-1".into()))]
        );
        for bad in ["a b", "a (= 1", "a (=)", "a | b", "(= 1)"] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0..GOOD.len(), len in 0..20usize, bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut text = GOOD.as_bytes().to_vec();
            let end = (at + len).min(text.len());
            text.splice(at..end, bytes);
            if let Ok(found) = all(&text) {
                for stanza in found {
                    let _ = stanza.record.provided().count();
                }
            }
        }
    }
}
