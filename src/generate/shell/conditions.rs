//! Conditions: test(1), patterns of `case`, and `dpkg --compare-versions`.

use super::World;

/// An exit status, where it can be told.
pub(super) type Status = Option<bool>;

/// Words of a test that is looked at.
const LONGEST_TEST: usize = 60;

/// test(1), as far as it can be told.
pub(super) fn test(arguments: &[Option<String>], world: &World<'_>) -> Status {
    if arguments.len() > LONGEST_TEST {
        return None;
    }
    let is = |at: usize, word: &str| arguments.get(at).is_some_and(|one| one.as_deref() == Some(word));
    if let Some(at) = (1..arguments.len()).find(|at| is(*at, "-o")) {
        return or(test(&arguments[..at], world), test(&arguments[at + 1..], world));
    }
    if let Some(at) = (1..arguments.len()).find(|at| is(*at, "-a")) {
        return and(test(&arguments[..at], world), test(&arguments[at + 1..], world));
    }
    if is(0, "!") && arguments.len() > 1 {
        return test(&arguments[1..], world).map(|status| !status);
    }
    match arguments {
        [] => Some(false),
        [one] => one.as_ref().map(|one| !one.is_empty()),
        [Some(operator), one] => {
            let one = one.as_deref()?;
            match operator.as_str() {
                "-z" => Some(one.is_empty()),
                "-n" => Some(!one.is_empty()),
                "-e" | "-f" | "-d" | "-h" | "-L" | "-x" | "-r" | "-s" => {
                    // Kernel and running services are no part of an image.
                    match one.starts_with("/proc") || one.starts_with("/run") {
                        true => Some(false),
                        false => (world.exists)(one.as_bytes()),
                    }
                }
                _ => None,
            }
        }
        [one, Some(operator), other] => {
            let (one, other) = (one.as_deref()?, other.as_deref()?);
            let numbers = || Some((one.parse::<i64>().ok()?, other.parse::<i64>().ok()?));
            match operator.as_str() {
                "=" | "==" => Some(one == other),
                "!=" => Some(one != other),
                "-eq" => numbers().map(|(one, other)| one == other),
                "-ne" => numbers().map(|(one, other)| one != other),
                "-gt" => numbers().map(|(one, other)| one > other),
                "-ge" => numbers().map(|(one, other)| one >= other),
                "-lt" => numbers().map(|(one, other)| one < other),
                "-le" => numbers().map(|(one, other)| one <= other),
                _ => None,
            }
        }
        _ => None,
    }
}

fn or(one: Status, other: Status) -> Status {
    match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

fn and(one: Status, other: Status) -> Status {
    or(one.map(|one| !one), other.map(|other| !other)).map(|status| !status)
}

/// dpkg(1): an empty version comes before any other, except with the `-nl` operators, where it comes
/// after. Only comparisons with an empty one are told.
pub(super) fn compare(arguments: &[Option<String>]) -> Status {
    match arguments {
        // Without quotes an empty version leaves no word at all, and dpkg refuses.
        [Some(operator), _] if operator.chars().all(|c| c.is_ascii_lowercase() || c == '-') => Some(false),
        [Some(version), Some(operator), _] if version.is_empty() => match operator.as_str() {
            "lt" | "le" | "ne" | "gt-nl" | "ge-nl" => Some(true),
            "gt" | "ge" | "eq" | "lt-nl" | "le-nl" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A pattern of `*` and plain text.
pub(super) fn plain_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}
