//! Values that TOML has no type of its own for: durations, sizes, names.

use std::time::Duration;

use crate::ground::nearest;

/// Units of time, in seconds; the first name of a row is the one shown.
const TIMES: [(&[&str], u64); 5] = [
    (&["weeks", "week", "w"], 7 * 24 * 3600),
    (&["days", "day", "d"], 24 * 3600),
    (&["hours", "hour", "h"], 3600),
    (&["minutes", "minute", "min"], 60),
    (&["seconds", "second", "s"], 1),
];

/// Units of size, in bytes.
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("TB", 1000 * 1000 * 1000 * 1000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A duration such as `7 days`, `36h`, `1 week 12 hours`.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("an empty duration".into());
    }
    let mut seconds = 0_u64;
    while !rest.is_empty() {
        let (number, unit, after) = quantity(rest)?;
        let Some((_, factor)) = TIMES.iter().find(|(names, _)| names.contains(&unit)) else {
            return Err(match unit {
                "" => "no unit: write weeks, days, hours, minutes or seconds".into(),
                "m" => "`m` may be minutes or months: write `min`".into(),
                unit => unknown(unit, TIMES.iter().flat_map(|(names, _)| names.iter().copied())),
            });
        };
        let part = number.checked_mul(*factor).and_then(|part| seconds.checked_add(part));
        seconds = part.ok_or("longer than the world lasts")?;
        rest = after.trim_start();
    }
    Ok(Duration::from_secs(seconds))
}

/// A size such as `4 MB` (millions of bytes) or `4 MiB` (2^20 bytes each), in bytes.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit, after) = quantity(text.trim())?;
    if !after.trim().is_empty() {
        return Err(format!("{:?} after the unit", after.trim()));
    }
    let unit = if unit == "KB" { "kB" } else { unit };
    let Some((_, factor)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => "no unit: write B, kB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024)".into(),
            unit => unknown(unit, SIZES.iter().map(|(name, _)| *name)),
        });
    };
    number.checked_mul(*factor).ok_or_else(|| "more bytes than 64 bits can count".into())
}

/// A regular expression of what [`duration`] takes.
pub(super) fn duration_pattern() -> String {
    let units: Vec<_> = TIMES.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    format!(r"^\s*([0-9]+\s*({})\s*)+$", units.join("|"))
}

/// A regular expression of what [`size`] takes.
pub(super) fn size_pattern() -> String {
    let units: Vec<_> = SIZES.iter().map(|(name, _)| *name).chain(["KB"]).collect();
    format!(r"^\s*[0-9]+\s*({})\s*$", units.join("|"))
}

fn unknown<'a>(unit: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let like = known.clone().find(|name| name.eq_ignore_ascii_case(unit)).or_else(|| nearest(unit, known));
    match like {
        Some(like) => format!("no unit is called {unit:?}; `{like}` is"),
        None => format!("no unit is called {unit:?}"),
    }
}

/// A whole number, the word after it, and what follows.
fn quantity(text: &str) -> Result<(u64, &str, &str), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if digits > 0 && rest.starts_with(['.', ',']) {
        return Err("only whole numbers; use a smaller unit".into());
    }
    let number = number.parse().map_err(|_| match digits {
        0 => format!("{text:?} does not begin with a number"),
        _ => format!("the number {number} is too large"),
    })?;
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    Ok((number, unit, after))
}

/// Whether a tier or a distribution may be called so: it becomes a file name, a part of `a/b`, and
/// an OCI reference.
pub fn is_tier_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 64
        && text.as_bytes().first().is_some_and(|byte| plain(*byte))
        && text.bytes().all(|byte| plain(byte) || b"+-.".contains(&byte))
}

/// Why no user or group may be called so, if so: the name must fit one field of passwd(5) and
/// group(5), and be no number.
pub fn account_name_fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("an empty name");
    }
    if text.len() > 32 {
        return Some("longer than the 32 bytes that utmp(5) has for a name");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || ":,/".contains(c)) {
        return Some("a name may hold no colon, comma, slash, space or control character");
    }
    if text.starts_with('-') {
        return Some("programs would take it for an option");
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some("programs would take it for a numeric id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("7 days", 604_800),
            ("36h", 129_600),
            ("2 weeks", 1_209_600),
            ("1 week 12 hours", 648_000),
            (" 90min ", 5400),
            ("1d1s", 86_401),
            ("0 s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, part) in [
            ("", "empty"),
            ("7", "no unit"),
            ("days", "does not begin with a number"),
            ("5m", "`min`"),
            ("3 dayz", "`day`"),
            ("7 Days", "`days`"),
            ("1.5 days", "whole"),
            ("-1 day", "does not begin"),
            ("99999999999999999999 s", "too large"),
            ("18446744073709551615 weeks", "longer"),
            ("1 day,", "does not begin"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("4 MB", 4_000_000), ("4 MiB", 4_194_304), ("512KiB", 524_288), ("1 kB", 1000), ("1KB", 1000), ("0 B", 0)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, part) in [
            ("4", "no unit"),
            ("4 mb", "`MB`"),
            ("4 mib", "`MiB`"),
            ("4 MB x", "after the unit"),
            ("99999999 TiB", "64 bits"),
            ("1.5 GB", "whole"),
        ] {
            let error = size(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn names() {
        assert!(is_tier_name("base-nossl") && is_tier_name("debian13") && is_tier_name("gtk+3.24"));
        assert!(!is_tier_name("") && !is_tier_name("Base") && !is_tier_name(".x") && !is_tier_name("a/b"));
        for name in ["nonroot", "www-data", "_apt", "Debian-exim", "système"] {
            assert_eq!(account_name_fault(name), None, "{name}");
        }
        for name in ["", "a:b", "a\nb", "a b", "a,b", "../x", "-x", "65532", &"x".repeat(33)] {
            assert!(account_name_fault(name).is_some(), "{name}");
        }
    }
}
