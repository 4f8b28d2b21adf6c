//! Release files (Debian wiki, DebianRepository/Format).

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

use super::{
    deb822::{Cursor, Deb822Problem},
    packages::{check_path, number},
};
use crate::ground::{Sha256, printable};

/// What a Release file says. Parse only text whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Origin`, such as `Debian`.
    pub origin: Option<String>,
    /// `Label`, such as `Debian-Security`.
    pub label: Option<String>,
    /// `Suite`, such as `stable`: changes hands with time.
    pub suite: Option<String>,
    /// `Codename`, such as `trixie`.
    pub codename: Option<String>,
    /// `Date`
    pub date: Timestamp,
    /// `Valid-Until`; Debian's stable suites have none.
    pub valid_until: Option<Timestamp>,
    /// `Architectures`, as written: there may be ones unknown here, and `all`. A listed one need not
    /// have an index.
    pub architectures: Vec<String>,
    /// `Components`, as written: `main`, or `updates/main` as security suites have them.
    pub components: Vec<String>,
    /// `Acquire-By-Hash: yes`: indexes can be had under names that hold their checksum.
    pub acquire_by_hash: bool,
    /// `No-Support-for-Architecture-all`: names the indexes (`Packages`) that repeat the packages of
    /// architecture `all` for every architecture.
    pub no_support_for_architecture_all: Option<String>,
    /// By path, relative to the Release file.
    pub files: BTreeMap<String, ReleaseFile>,
}

/// One index that a Release vouches for. At least one checksum is there; MD5 and SHA-1 are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFile {
    /// Bytes.
    pub size: u64,
    /// From the field `SHA256`.
    pub sha256: Option<Sha256>,
    /// From the field `SHA512`.
    pub sha512: Option<Sha512>,
}

/// A Release file is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ReleaseError {
    /// From 1.
    pub line: usize,
    /// What is wrong, in a sentence without a full stop.
    pub problem: String,
}

/// A SHA-512 digest: 64 bytes, shown as 128 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha512([u8; 64]);

impl Sha512 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha512::digest(bytes).into())
    }

    /// A digest from its 64 bytes.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl FromStr for Sha512 {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (Some(high), Some(low)) = (text.get(..64), text.get(64..)) else { return Err(NO_SHA512) };
        // Two halves of the form of a SHA-256.
        let (Ok(high), Ok(low)) = (high.parse::<Sha256>(), low.parse::<Sha256>()) else { return Err(NO_SHA512) };
        let mut bytes = [0; 64];
        let (front, back) = bytes.split_at_mut(32);
        front.copy_from_slice(high.as_bytes());
        back.copy_from_slice(low.as_bytes());
        Ok(Self(bytes))
    }
}

const NO_SHA512: &str = "a SHA-512 is 128 hexadecimal digits";

impl fmt::Display for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Release {
    /// Reads a Release file: exactly one stanza. `Date` is required. `SHA256` or `SHA512` may be
    /// absent, then no file is listed.
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        let mut cursor = Cursor::new(text);
        if !cursor.stanza() {
            return Err(ReleaseError { line: 1, problem: "the Release file is empty".to_owned() });
        }
        let first_line = cursor.line();
        let mut fields: BTreeMap<String, (usize, &str)> = BTreeMap::new();
        let broken = |line, problem: &Deb822Problem| ReleaseError { line, problem: problem.to_string() };
        while let Some(field) = cursor.field().map_err(|error| broken(error.line, &error.problem))? {
            let name = field.name.to_ascii_lowercase();
            if fields.contains_key(&name) {
                return Err(broken(field.line, &Deb822Problem::Duplicate(field.name.to_owned())));
            }
            // A list begins below the line of its field.
            let line = cursor.line() - field.value.lines().count().max(1);
            fields.insert(name, (line, field.value));
        }
        if cursor.stanza() {
            let problem = "a second stanza; a Release file has one".to_owned();
            return Err(ReleaseError { line: cursor.line(), problem });
        }
        let get = |name: &str| fields.get(name).copied().filter(|(_, value)| !value.is_empty());
        let text_of = |name| get(name).map(|(_, value)| value.to_owned());
        let words_of = |name| -> Vec<String> {
            let words = get(name).map_or("", |(_, value)| value);
            words.split_ascii_whitespace().map(str::to_owned).collect()
        };
        let date_of = |name| get(name).map(|(line, value)| date(line, value)).transpose();
        let Some(date) = date_of("date")? else {
            return Err(ReleaseError { line: first_line, problem: "the Release file has no Date".to_owned() });
        };
        let mut files = BTreeMap::new();
        for (name, sum) in [("sha256", true), ("sha512", false)] {
            if let Some((line, list)) = fields.get(name).copied() {
                add_files(&mut files, line, list, sum)?;
            }
        }
        Ok(Self {
            origin: text_of("origin"),
            label: text_of("label"),
            suite: text_of("suite"),
            codename: text_of("codename"),
            date,
            valid_until: date_of("valid-until")?,
            architectures: words_of("architectures"),
            components: words_of("components"),
            acquire_by_hash: get("acquire-by-hash").is_some_and(|(_, value)| value.eq_ignore_ascii_case("yes")),
            no_support_for_architecture_all: text_of("no-support-for-architecture-all"),
            files,
        })
    }
}

/// `Sat, 11 Jul 2026 10:16:37 UTC`: RFC 2822, which knows GMT and +0000 but not UTC.
fn date(line: usize, text: &str) -> Result<Timestamp, ReleaseError> {
    let plain = match text.strip_suffix("UTC").or_else(|| text.strip_suffix('Z')) {
        Some(front) => format!("{front}+0000"),
        None => text.to_owned(),
    };
    // A wrong day of the week does no harm.
    DateTimeParser::new().relaxed_weekday(true).parse_timestamp(&plain).map_err(|_| {
        let text: String = text.chars().take(80).collect();
        let problem = format!("{:?} is no date such as `Sat, 11 Jul 2026 10:16:37 UTC`", printable(text.as_bytes()));
        ReleaseError { line, problem }
    })
}

/// Lines of checksum, size, path.
fn add_files(
    files: &mut BTreeMap<String, ReleaseFile>,
    first_line: usize,
    list: &str,
    is_sha256: bool,
) -> Result<(), ReleaseError> {
    let field = if is_sha256 { "SHA256" } else { "SHA512" };
    for (line, text) in (first_line..).zip(list.lines()) {
        let fail = |problem: String| Err(ReleaseError { line, problem });
        let mut words = text.split_ascii_whitespace();
        let (Some(sum), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next()) else {
            return fail(format!("a line of {field} has a checksum, a size and a path"));
        };
        if let Err(problem) = check_path(path) {
            let path: String = path.chars().take(100).collect();
            return fail(format!("the path {:?} {problem}", printable(path.as_bytes())));
        }
        let Some(size) = number(size) else { return fail(format!("the size of {path} is no number")) };
        let (mut sha256, mut sha512) = (None, None);
        let parsed = if is_sha256 {
            sum.parse::<Sha256>().map(|sum| sha256 = Some(sum)).map_err(|error| error.to_string())
        } else {
            sum.parse::<Sha512>().map(|sum| sha512 = Some(sum)).map_err(str::to_owned)
        };
        if let Err(problem) = parsed {
            return fail(format!("{path}: {problem}"));
        }
        let file = files.entry(path.to_owned()).or_insert(ReleaseFile { size, sha256, sha512 });
        let agrees = file.size == size
            && sha256.is_none_or(|sum| file.sha256.is_none_or(|known| known == sum))
            && sha512.is_none_or(|sum| file.sha512.is_none_or(|known| known == sum));
        if !agrees {
            return fail(format!("{path} is listed twice, with different sizes or checksums"));
        }
        file.sha256 = file.sha256.or(sha256);
        file.sha512 = file.sha512.or(sha512);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const E: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn good() -> String {
        format!(
            "Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nVersion: 13\nCodename: trixie-security\n\
             Date: Sat, 11 Jul 2026 10:16:37 UTC\nValid-Until: Sat, 18 Jul 2026 10:16:37 UTC\nAcquire-By-Hash: yes\n\
             No-Support-for-Architecture-all: Packages\nArchitectures: all amd64 mips64el\nComponents: updates/main\n\
             MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e        0 main/binary-all/Packages\n\
             SHA256:\n {E}        0 main/binary-all/Packages\n {E} 12 main/binary-amd64/Packages.xz\n\
             SHA512:\n {} 12 main/binary-amd64/Packages.xz\n",
            E.repeat(2)
        )
    }

    #[test]
    fn all_fields() {
        let release = Release::parse(&good()).unwrap();
        assert_eq!(release.origin.as_deref(), Some("Debian"));
        assert_eq!(release.suite.as_deref(), Some("stable-security"));
        assert_eq!(release.codename.as_deref(), Some("trixie-security"));
        assert_eq!(release.date.to_string(), "2026-07-11T10:16:37Z");
        assert_eq!(release.valid_until.unwrap().to_string(), "2026-07-18T10:16:37Z");
        assert_eq!(release.architectures, ["all", "amd64", "mips64el"]);
        assert_eq!(release.components, ["updates/main"]);
        assert!(release.acquire_by_hash);
        assert_eq!(release.no_support_for_architecture_all.as_deref(), Some("Packages"));
        assert_eq!(release.files.len(), 2);
        let file = &release.files["main/binary-amd64/Packages.xz"];
        assert_eq!((file.size, file.sha256), (12, Some(Sha256::of(b""))));
        assert_eq!(file.sha512.unwrap().to_string(), E.repeat(2));
        assert_eq!(release.files["main/binary-all/Packages"].sha512, None);
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("Sat, 11 Jul 2026 10:16:37 UTC", "2026-07-11T10:16:37Z"),
            ("Sat, 11 Jul 2026 10:16:37 GMT", "2026-07-11T10:16:37Z"),
            ("Sat, 11 Jul 2026 10:16:37 Z", "2026-07-11T10:16:37Z"),
            ("Sat, 11 Jul 2026 10:16:37 +0000", "2026-07-11T10:16:37Z"),
            ("Sat, 11 Jul 2026 12:16:37 +0200", "2026-07-11T10:16:37Z"),
            ("Thu, 2 Jul 2026 01:02:03 UTC", "2026-07-02T01:02:03Z"),
            ("Mon, 11 Jul 2026 10:16:37 UTC", "2026-07-11T10:16:37Z"),
        ] {
            assert_eq!(date(1, text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "2026-07-11", "Sat, 31 Feb 2026 10:16:37 UTC", "Sat, 11 Jul 2026 10:16:37", "UTC"] {
            assert_eq!(date(7, text).expect_err(text).line, 7);
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (from, to, message) in [
            ("Date: Sat", "Date: xyz", "line 6: "),
            ("Date: Sat, 11 Jul 2026 10:16:37 UTC\n", "", "line 1: the Release file has no Date"),
            ("Label: ", "origin: ", "line 2: the field origin stands here twice"),
            ("Label: ", "Label ", "line 2: this line has no `Field:`"),
            ("Label: Debian-Security\n", "\n", "line 3: a second stanza"),
            (" 12 main", " 12 ../main", "line 16: the path"),
            (" 12 main", " -12 main", "line 16: the size"),
            (" 12 main", " main", "line 16: a line of SHA256"),
            ("e3b0", "e3b", "line 15: main/binary-all/Packages: a SHA-256"),
            ("855e3", "855e", "line 18: main/binary-amd64/Packages.xz: a SHA-512"),
            ("855 12 main/binary-amd64/Packages.xz\nSHA5", "855 13 main/binary-amd64/Packages.xz\nSHA5", "line 18: "),
            (
                "binary-amd64/Packages.xz\nSHA5",
                "binary-all/Packages\nSHA5",
                "line 16: main/binary-all/Packages is listed twice",
            ),
        ] {
            let text = good().replacen(from, to, 1);
            assert_ne!(text, good(), "{from}");
            let error = Release::parse(&text).expect_err(&text).to_string();
            assert!(error.starts_with(message), "{to}: {error}");
        }
        assert_eq!(Release::parse("\n").unwrap_err().line, 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(at in 0..700usize, len in 0..30usize, with in ".{0,12}") {
            let mut text = good();
            let (start, end) = (at.min(text.len()), (at + len).min(text.len()));
            text.replace_range(start..end, &with);
            let _ = Release::parse(&text);
        }
    }
}
