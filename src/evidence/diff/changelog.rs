//! Debian changelogs (Policy 4.4, deb-changelog(5)): the releases between two versions.

use std::{cmp::Ordering, collections::BTreeSet, io::BufRead};

use serde::Serialize;

use crate::{debian::version, ground::printable};

/// Bytes of a changelog that are read; the longest ones have 1 MB.
const LONGEST: u64 = 16 << 20;
/// Bytes of one line that are kept.
const LONGEST_LINE: usize = 2000;
/// Releases that are told.
const MOST_RELEASES: usize = 100;
/// Lines that are told of one release.
const MOST_LINES: usize = 400;
/// Names of vulnerabilities that are told.
const MOST_CVES: usize = 1000;

/// One release of a changelog. All texts are fit to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// `trixie-security`, `unstable` ...
    pub distributions: String,
    /// `low`, `high` ...
    pub urgency: String,
    /// When, as it stands there.
    pub date: String,
    /// What changed: lines with their indentation, without the first two blanks.
    pub text: Vec<String>,
}

/// What a changelog says between two versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// In the order of the changelog: the newest first.
    pub releases: Vec<Release>,
    /// How many more there are.
    pub more: usize,
    /// Names of vulnerabilities in all of them.
    pub cves: BTreeSet<String>,
}

/// The releases of a changelog after version `low` up to version `high`. Reads no further than the first
/// release that is not above `low`, and at most 16 MiB: a changelog that is longer, or damaged, gives what
/// was read until then.
pub fn between(changelog: impl BufRead, low: &str, high: &str) -> Told {
    let mut told = Told::default();
    let mut reader = changelog.take(LONGEST);
    let mut wanted = false;
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let whole = printable(line.trim_ascii_end());
        if let Some((version, distributions, urgency)) = head(&whole) {
            if version::check(version).is_err() {
                wanted = false;
                continue;
            }
            if version::compare(version, low) != Ordering::Greater {
                break;
            }
            wanted = version::compare(version, high) != Ordering::Greater;
            if wanted && told.releases.len() >= MOST_RELEASES {
                told.more += 1;
                continue;
            }
            if wanted {
                told.releases.push(Release {
                    version: version.to_owned(),
                    distributions: distributions.to_owned(),
                    urgency: urgency.to_owned(),
                    date: String::new(),
                    text: Vec::new(),
                });
            }
            continue;
        }
        if !wanted {
            continue;
        }
        take_cves(&whole, &mut told.cves);
        if told.more > 0 {
            continue;
        }
        let Some(release) = told.releases.last_mut() else { continue };
        if let Some(trailer) = whole.strip_prefix(" -- ") {
            release.date = short(trailer.rsplit_once("  ").map_or("", |(_, date)| date));
        } else if release.text.len() < MOST_LINES {
            let text = whole.strip_prefix("  ").unwrap_or(&whole);
            if !(text.is_empty() && release.text.last().is_none_or(String::is_empty)) {
                release.text.push(short(text));
            }
        }
    }
    for release in &mut told.releases {
        while release.text.last().is_some_and(String::is_empty) {
            release.text.pop();
        }
    }
    told
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST_LINE).collect()
}

/// `package (version) distributions; urgency=low`
fn head(line: &str) -> Option<(&str, &str, &str)> {
    if line.starts_with([' ', '\t']) {
        return None;
    }
    let (name, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(')')?;
    let (distributions, fields) = rest.split_once(';')?;
    if name.is_empty() || name.contains(' ') || version.len() > 200 {
        return None;
    }
    let urgency = fields.split(',').find_map(|field| field.trim().strip_prefix("urgency=")).unwrap_or_default();
    Some((version, distributions.trim(), urgency.trim()))
}

/// `CVE-2024-1234`: a year, and four digits or more (the CVE programme's numbering).
fn take_cves(line: &str, cves: &mut BTreeSet<String>) {
    for (at, _) in line.match_indices("CVE-") {
        let rest = line.get(at + 4..).unwrap_or_default();
        let Some((year, number)) = rest.split_once('-') else { continue };
        let number: String = number.chars().take_while(char::is_ascii_digit).collect();
        let plausible = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
        if plausible && (4..=12).contains(&number.len()) && cves.len() < MOST_CVES {
            cves.insert(format!("CVE-{year}-{number}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
openssl (3.5.4-1~deb13u2) trixie-security; urgency=medium

  * CVE-2025-15467 (Stack buffer overflow), CVE-2025-1
  * Also CVE-2025-15467 and CVE-2025-69418.

  [ Someone ]
  * More.

 -- Someone <someone@example.org>  Tue, 27 Jan 2026 00:42:50 +0100

openssl (3.5.4-1~deb13u1) trixie; urgency=low, binary-only=yes

  * New upstream.

 -- Someone <someone@example.org>  Sat, 04 Oct 2025 11:15:35 +0200

openssl (3.5.1-1) unstable; urgency=high

  * CVE-2020-1234

 -- Someone <someone@example.org>  Tue, 01 Jul 2025 18:33:33 +0200
";

    fn versions(low: &str, high: &str) -> Vec<String> {
        between(TEXT.as_bytes(), low, high).releases.into_iter().map(|release| release.version).collect()
    }

    #[test]
    fn releases_after_the_lower_up_to_the_higher() {
        for (low, high, expected) in [
            ("3.5.1-1", "3.5.4-1~deb13u2", &["3.5.4-1~deb13u2", "3.5.4-1~deb13u1"][..]),
            ("3.5.4-1~deb13u1", "3.5.4-1~deb13u2", &["3.5.4-1~deb13u2"]),
            ("3.5.4-1~deb13u1", "3.5.4-1~deb13u1", &[]),
            ("3.5.1-1", "3.5.4-1~deb13u1+b2", &["3.5.4-1~deb13u1"]),
            ("3.0", "3.5.2", &["3.5.1-1"]),
            ("4", "5", &[]),
        ] {
            assert_eq!(versions(low, high), expected, "{low} {high}");
        }
    }

    #[test]
    fn vulnerabilities_and_texts() {
        let told = between(TEXT.as_bytes(), "3.5.4-1~deb13u1", "3.5.4-1~deb13u2");
        assert_eq!(told.cves.iter().collect::<Vec<_>>(), ["CVE-2025-15467", "CVE-2025-69418"]);
        let release = &told.releases[0];
        assert_eq!((&*release.distributions, &*release.urgency), ("trixie-security", "medium"));
        assert_eq!(release.date, "Tue, 27 Jan 2026 00:42:50 +0100");
        assert_eq!(release.text.len(), 5, "{:?}", release.text);
        assert_eq!(release.text[3], "[ Someone ]");
    }

    #[test]
    fn hostile_changelogs_are_bounded() {
        let many: String =
            (0..5000).rev().map(|n| format!("a (1.{n}) x; urgency=low\n\n  * CVE-2024-{n:05}\n")).collect();
        let told = between(many.as_bytes(), "1.10", "2");
        assert_eq!((told.releases.len(), told.more), (MOST_RELEASES, 4989 - MOST_RELEASES));
        assert_eq!(told.cves.len(), MOST_CVES);
        let escapes = between(&b"a (1) x; urgency=\x1b[2J\n  * \x1b[31mred\xff\n"[..], "0", "1");
        assert!(!format!("{:?}", escapes.releases).contains('\u{1b}'));
        assert_eq!(escapes.releases[0].text, ["* \\u{1b}[31mred\\xff"]);
        assert_eq!(between(&b"(1) x;\n a (2) x;\na () ;\n"[..], "0", "9"), Told::default());
    }
}
