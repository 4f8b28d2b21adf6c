//! Versions and their order (Policy 5.6.12, deb-version(7)).

use std::{cmp::Ordering, fmt, str::FromStr};

/// A Debian version: `[epoch:]upstream[-revision]`. Ordered as dpkg orders; `1.0` equals `1.0-0`
/// and `0:1.0`, so equality is that of the order, not of the text.
#[derive(Clone)]
pub struct Version(Box<str>);

/// Why a text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VersionError(pub &'static str);

/// The largest epoch that dpkg takes: INT_MAX.
const LARGEST_EPOCH: u64 = i32::MAX as u64;

impl Version {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a version as dpkg does before it installs a package (`parseversion` of libdpkg, its
/// warnings taken for errors; `dpkg --validate-version`). Stricter in two points that no archive
/// uses: no blanks around the version, no sign before the epoch.
pub fn check(text: &str) -> Result<(), VersionError> {
    let refuse = |why| Err(VersionError(why));
    if text.is_empty() {
        return refuse("the version is empty");
    }
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return refuse("the version has a space in it");
    }
    let rest = match text.split_once(':') {
        None => text,
        Some(("", _)) => return refuse("nothing stands before the colon, where the epoch belongs"),
        Some((epoch, _)) if !epoch.bytes().all(|byte| byte.is_ascii_digit()) => {
            return refuse("the epoch (before the colon) is not a number");
        }
        Some((epoch, rest)) => {
            if epoch.parse().map_or(true, |epoch: u64| epoch > LARGEST_EPOCH) {
                return refuse("the epoch (before the colon) is too big");
            }
            rest
        }
    };
    let (upstream, revision) = match rest.rsplit_once('-') {
        None => (rest, None),
        Some((upstream, revision)) => (upstream, Some(revision)),
    };
    if revision == Some("") {
        return refuse("the revision (after the last hyphen) is empty");
    }
    if upstream.is_empty() {
        return refuse("the upstream part of the version is empty");
    }
    if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
        return refuse("the upstream part of the version does not start with a digit");
    }
    if !upstream.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+~:".contains(&byte)) {
        return refuse("the version may hold only letters, digits and . + - ~ :");
    }
    if !revision.unwrap_or("0").bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+~".contains(&byte)) {
        return refuse("the revision (after the last hyphen) may hold only letters, digits and . + ~");
    }
    Ok(())
}

/// Orders two versions as dpkg does (`dpkg_version_compare`), without allocating. The order is
/// total over any two texts; for those that [`check`] refuses it means nothing.
pub fn compare(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let (epoch_a, upstream_a, revision_a) = split(a);
    let (epoch_b, upstream_b, revision_b) = split(b);
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| compare_part(upstream_a.as_bytes(), upstream_b.as_bytes()))
        .then_with(|| compare_part(revision_a.as_bytes(), revision_b.as_bytes()))
}

fn split(text: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit()) => {
            (epoch.parse().unwrap_or(u64::MAX), rest)
        }
        _ => (0, text),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Upstream parts, or revisions: runs of non-digits and of digits in turn (`verrevcmp`).
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (rank(a.first()), rank(b.first()));
            if x != y {
                return x.cmp(&y);
            }
            // Equal ranks: the same character, or both at a digit or at the end.
            if x == 0 {
                break;
            }
            (a, b) = (after(a), after(b));
        }
        let (number_a, number_b);
        (number_a, a) = number(a);
        (number_b, b) = number(b);
        // Without leading zeros a longer number is a larger one.
        let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// `~` before the end of the part, the end before letters, letters before all else.
fn rank(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

fn after(part: &[u8]) -> &[u8] {
    part.get(1..).unwrap_or_default()
}

/// The digits at the front, without leading zeros, and what follows them.
fn number(part: &[u8]) -> (&[u8], &[u8]) {
    let zeros = part.iter().take_while(|byte| **byte == b'0').count();
    let part = part.get(zeros..).unwrap_or_default();
    part.split_at(part.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order() {
        for (a, expected, b) in [
            ("1.0", Ordering::Equal, "1.0-0"),
            ("1.0", Ordering::Equal, "0:1.0"),
            ("1.0", Ordering::Equal, "1.00"),
            ("1.0~rc1", Ordering::Less, "1.0"),
            ("1.0~~", Ordering::Less, "1.0~"),
            ("1.0", Ordering::Less, "1.0+b1"),
            ("1.0a", Ordering::Less, "1.0+"),
            ("1.9", Ordering::Less, "1.10"),
            ("2:0.1", Ordering::Greater, "1:9"),
            ("1-1-1", Ordering::Greater, "1-2"),
            ("1.2.", Ordering::Greater, "1.2"),
            ("7.6p2-4", Ordering::Greater, "7.6-0"),
            ("1.0-1", Ordering::Less, "1.0-1+deb13u1"),
            ("99999999999999999999999", Ordering::Greater, "9999999999999999999999"),
        ] {
            assert_eq!(compare(a, b), expected, "{a} and {b}");
            assert_eq!(compare(b, a), expected.reverse(), "{b} and {a}");
        }
    }

    #[test]
    fn refusals() {
        for (text, part) in [
            ("", "empty"),
            (" 1", "space"),
            ("1 2", "space"),
            (":1", "before the colon"),
            ("a:1", "not a number"),
            ("+1:1", "not a number"),
            ("-1:1", "not a number"),
            ("2147483648:1", "too big"),
            ("99999999999999999999:1", "too big"),
            ("1:", "upstream part"),
            ("1.0-", "revision"),
            ("-1", "upstream part"),
            ("v1.0", "start with a digit"),
            ("1.0_1", "only letters"),
            ("1:1.0-1:2", "only letters"),
            ("1.0-é", "only letters"),
        ] {
            let error = text.parse::<Version>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        for text in ["2147483647:1", "1:1:2-3", "1-2-3", "0", "1.2.3~rc1+dfsg-1~deb13u1"] {
            assert_eq!(text.parse::<Version>().map(|version| version.to_string()), Ok(text.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn a_total_order(a in "([0-2]:)?[0-2a~.+-]{0,6}", b in "([0-2]:)?[0-2a~.+-]{0,6}", c in "([0-2]:)?[0-2a~.+-]{0,6}") {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
            if compare(&a, &b).is_eq() {
                prop_assert_eq!(compare(&a, &c), compare(&b, &c));
            }
        }

        #[test]
        fn no_text_panics(a in ".{0,20}", b in ".{0,20}") {
            let _ = check(&a);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }
    }
}
