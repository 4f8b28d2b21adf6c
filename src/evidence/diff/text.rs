//! What differs, for people: short tables, what matters most first.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{Changelog, Changes, Facts, FileChange, Lists, PackageChange, PackageSide, Part, Setting};
use crate::evidence::table::{Align, bytes, table};

/// Rows of a table.
const MOST_ROWS: usize = 20;
/// Characters of a cell.
const LONGEST_CELL: usize = 100;
/// Lines of changelogs, all in all.
const MOST_LINES: usize = 60;
/// Lines of one changelog, where not all are shown.
const MOST_OF_ONE: usize = 8;

/// All that differs; without `all`, the largest of each kind.
pub fn text(changes: &Changes, all: bool) -> String {
    let mut text = headline(changes) + "\n";
    if changes.equal {
        return text;
    }
    let most = if all { usize::MAX } else { MOST_ROWS };
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            text.push_str(&format!("\n{title}\n{body}"));
        }
    };
    section("tiers", tiers(changes));
    section(&format!("packages: {}", counts(&changes.packages)), by_size(changes, most));
    section("changelogs", changelogs(&changes.changelogs, if all { usize::MAX } else { MOST_LINES }));
    section(&format!("config: {}", counts(&changes.config)), rows(&config(changes), &["", "setting", "value"], most));
    section(
        &format!("CA certificates: {}", counts(&changes.certificates)),
        names(&changes.certificates, most, "subject"),
    );
    // New data of a zone is no news by its name.
    let zones = Lists { changed: Vec::new(), ..changes.time_zones.clone() };
    let named = names(&zones, most, "name");
    let title = format!("time zones: {}", counts(&changes.time_zones));
    section(&title, if named.is_empty() && !changes.time_zones.is_empty() { "\n".to_owned() } else { named });
    section(
        &format!("libraries: {}", counts(&changes.libraries)),
        rows(&libraries(changes), &["", "library", "symbol versions"], most),
    );
    section("sizes by package", sizes(changes, most));
    section(&format!("files: {}", counts(&changes.files)), rows(&files(changes), &["", "path", "what", "size"], most));
    text
}

/// What differs in one line.
pub(super) fn headline(changes: &Changes) -> String {
    let Changes { before, after, compared, .. } = changes;
    let all = [Part::Packages, Part::Files, Part::Config];
    let missing: Vec<_> = all.iter().filter(|part| !compared.contains(part)).map(|part| part.name()).collect();
    let missing = if missing.is_empty() { String::new() } else { format!(" (not compared: {})", missing.join(", ")) };
    if changes.equal {
        return format!("{before} -> {after}: no change of content{missing}");
    }
    let mut parts = Vec::new();
    let mut count = |number: usize, one: &str, many: &str| {
        if number > 0 {
            parts.push(format!("{number} {}", if number == 1 { one } else { many }));
        }
    };
    count(changes.tiers.iter().filter(|tier| !tier.equal).count(), "tier", "tiers");
    count(changes.packages.len(), "package", "packages");
    count(changes.files.len(), "file", "files");
    count(changes.config.len(), "setting", "settings");
    let size = changes.size;
    let of = if size.of == "debs" { ".debs " } else { "" };
    let sizes = match size.before == size.after {
        true => bytes(size.after),
        false => format!("{} -> {} ({})", bytes(size.before), bytes(size.after), delta(size.before, size.after)),
    };
    let differ = if parts.len() == 1 && parts.iter().any(|part| part.starts_with("1 ")) { "differs" } else { "differ" };
    let last = parts.pop().unwrap_or_default();
    let parts = if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) };
    format!("{before} -> {after}: {parts} {differ}; {of}{sizes}{missing}")
}

pub(super) fn counts<T>(lists: &Lists<T>) -> String {
    format!("{} added, {} removed, {} changed", lists.added.len(), lists.removed.len(), lists.changed.len())
}

pub(super) fn delta(before: u64, after: u64) -> String {
    match after >= before {
        true => format!("+{}", bytes(after - before)),
        false => format!("-{}", bytes(before - after)),
    }
}

fn tiers(changes: &Changes) -> String {
    let columns = [
        ("", Align::Left),
        ("tier", Align::Left),
        ("packages", Align::Right),
        ("files", Align::Right),
        ("size", Align::Left),
    ];
    let rows: Vec<_> = changes.tiers.iter().map(tier_row).collect();
    if rows.is_empty() { String::new() } else { table(&columns, &rows) }
}

pub(super) fn tier_row(tier: &super::TierChange) -> Vec<String> {
    let sign = match (tier.before, tier.after, tier.equal) {
        (false, ..) => "+",
        (_, false, _) => "-",
        (.., true) => "",
        _ => "~",
    };
    let size = match (tier.before, tier.after) {
        (false, _) => bytes(tier.size_after),
        (_, false) => bytes(tier.size_before),
        _ if tier.size_before == tier.size_after => bytes(tier.size_after),
        _ => format!("{} -> {}", bytes(tier.size_before), bytes(tier.size_after)),
    };
    vec![sign.to_owned(), tier.tier.clone(), tier.packages.to_string(), tier.files.to_string(), size]
}

/// Packages in the order of their lists, with the architectures: `all` are those of both sides.
pub fn packages(lists: &Lists<PackageChange>, all: &BTreeSet<String>) -> String {
    let columns = ["", "package", "version", "size", "architectures"].map(|name| (name, Align::Left));
    let row = |(sign, change): (&str, &PackageChange)| {
        let mut row = package_row(sign, change);
        row.push(places(change, all));
        row
    };
    let rows: Vec<_> = lists.signed().map(row).collect();
    table(&columns, &rows) + &format!("{}\n", counts(lists))
}

fn places(change: &PackageChange, all: &BTreeSet<String>) -> String {
    // Not `all`, which would read as `Architecture: all`.
    if change.architectures == *all && all.len() > 1 {
        return "every architecture".to_owned();
    }
    change.architectures.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn package_row(sign: &str, change: &PackageChange) -> Vec<String> {
    let (version, size) = version_and_size(change);
    vec![sign.to_owned(), change.name.clone(), version, size]
}

pub(super) fn version_and_size(change: &PackageChange) -> (String, String) {
    let sides: Vec<&PackageSide> = change.before.iter().chain(&change.after).collect();
    let mut versions: Vec<&str> = sides.iter().map(|side| &*side.version).collect();
    let rebuilt = matches!(versions.as_slice(), [before, after] if before == after);
    versions.dedup();
    let mut sizes: Vec<String> = sides.iter().filter_map(|side| side.size.or(side.deb_size)).map(bytes).collect();
    sizes.dedup();
    (versions.join(" -> ") + if rebuilt { " (other bytes)" } else { "" }, sizes.join(" -> "))
}

pub(super) fn largest_packages(changes: &Changes) -> Vec<(&'static str, &PackageChange)> {
    let mut all: Vec<_> = changes.packages.signed().collect();
    let size = |side: &Option<PackageSide>| side.as_ref().and_then(|side| side.size.or(side.deb_size)).unwrap_or(0);
    all.sort_by_key(|(_, change)| Reverse(size(&change.before).abs_diff(size(&change.after))));
    all
}

pub(super) fn cves(cves: &BTreeSet<String>) -> String {
    let named: Vec<_> = cves.iter().rev().take(2).map(String::as_str).collect();
    match cves.len().saturating_sub(2) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn by_size(changes: &Changes, most: usize) -> String {
    let any_cves = changes.packages.changed.iter().any(|change| !change.cves.is_empty());
    let each = largest_packages(changes).into_iter().map(|(sign, change)| {
        let mut row = package_row(sign, change);
        row.extend(any_cves.then(|| cves(&change.cves)));
        row
    });
    let columns = ["", "package", "version", "size", "vulnerabilities in the changelog"];
    rows(&each.collect::<Vec<_>>(), if any_cves { &columns } else { &columns[..4] }, most)
}

/// What changelogs say, at most so many lines.
pub fn changelogs(changelogs: &[Changelog], most: usize) -> String {
    let mut lines = Vec::new();
    // Those with vulnerabilities are what the reader looks for.
    let mut changelogs: Vec<_> = changelogs.iter().collect();
    changelogs.sort_by_key(|changelog| changelog.cves.is_empty());
    for changelog in changelogs {
        let Changelog { source, before, after, cves, releases, more, .. } = changelog;
        lines.push(format!("{source} {before} -> {after}"));
        let start = lines.len();
        if !cves.is_empty() {
            let all: Vec<_> = cves.iter().rev().map(String::as_str).collect();
            lines.extend(all.chunks(6).map(|some| format!("  {}", some.join(" "))));
        }
        for release in releases {
            lines.push(format!("  {} ({})", release.version, release.distributions));
            lines.extend(release.text.iter().filter(|line| !line.is_empty()).map(|line| format!("    {line}")));
        }
        if *more > 0 {
            lines.push(format!("  and {more} older releases"));
        }
        let left = lines.len() - start;
        if most < usize::MAX && left > MOST_OF_ONE {
            lines.truncate(start + MOST_OF_ONE);
            lines.push(format!("  ... and {} more lines", left - MOST_OF_ONE));
        }
    }
    let left = lines.len().saturating_sub(most);
    if left > 0 {
        lines.truncate(most);
        lines.push(format!("... and {left} more lines"));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

pub(super) fn config(changes: &Changes) -> Vec<Vec<String>> {
    let row = |(sign, setting): (&str, &Setting)| {
        let values: Vec<_> = setting.before.iter().chain(&setting.after).map(|value| short(value)).collect();
        vec![sign.to_owned(), setting.name.clone(), values.join(" -> ")]
    };
    changes.config.signed().map(row).collect()
}

fn names(lists: &Lists<String>, most: usize, what: &str) -> String {
    let all: Vec<_> = lists.signed().map(|(sign, name)| vec![sign.to_owned(), name.clone()]).collect();
    rows(&all, &["", what], most)
}

pub(super) fn libraries(changes: &Changes) -> Vec<Vec<String>> {
    let row = |(sign, library): (&'static str, &super::LibraryChange)| {
        let list = |sign: &str, versions: &BTreeSet<String>| -> Vec<String> {
            versions.iter().map(|version| format!("{sign}{version}")).collect()
        };
        let versions = match sign {
            "~" => [list("-", &library.removed), list("+", &library.added)].concat().join(" "),
            _ => [list("", &library.removed), list("", &library.added)].concat().join(" "),
        };
        vec![sign.to_owned(), library.name.clone(), versions]
    };
    // What is gone breaks programs.
    let mut all: Vec<_> = changes.libraries.signed().collect();
    all.sort_by_key(|(sign, library)| (*sign != "-", library.removed.is_empty()));
    all.into_iter().map(row).collect()
}

fn sizes(changes: &Changes, most: usize) -> String {
    let mut all: Vec<_> = changes.package_sizes.iter().collect();
    all.sort_by_key(|size| Reverse(size.before.abs_diff(size.after)));
    let row = |size: &super::PackageSize| {
        let name = size.package.clone().unwrap_or_else(|| "(no package)".to_owned());
        vec![delta(size.before, size.after), name, format!("{} -> {}", bytes(size.before), bytes(size.after))]
    };
    let all: Vec<_> = all.into_iter().map(row).collect();
    rows(&all, &["", "package", "size"], most)
}

pub(super) fn files(changes: &Changes) -> Vec<Vec<String>> {
    let size = |facts: &Option<Facts>| facts.as_ref().and_then(|facts| facts.size).unwrap_or(0);
    let mut all: Vec<_> = changes.files.signed().collect();
    // Modes and owners first: few, and they matter most. Then what is largest.
    all.sort_by_key(|(_, change)| {
        let meta = change.fields.iter().any(|field| !matches!(*field, "content" | "link"));
        (!meta, Reverse(size(&change.before).max(size(&change.after))))
    });
    all.into_iter().map(|(sign, change)| file_row(sign, change)).collect()
}

fn file_row(sign: &str, change: &FileChange) -> Vec<String> {
    let sides: Vec<&Facts> = change.before.iter().chain(&change.after).collect();
    let both = |of: &dyn Fn(&Facts) -> String| {
        let mut each: Vec<_> = sides.iter().map(|facts| of(facts)).collect();
        each.dedup();
        each.join(" -> ")
    };
    let target = |facts: &Facts| short(facts.target.as_deref().unwrap_or_default());
    let field = |name: &&'static str| match *name {
        "type" => both(&|facts| facts.r#type.to_owned()),
        "mode" => format!("mode {}", both(&|facts| facts.mode.clone())),
        "owner" => format!("owner {}", both(&|facts| facts.owner.clone())),
        "link" => format!("to {}", both(&target)),
        other => other.to_owned(),
    };
    let what = match sides.as_slice() {
        [one] => match &one.target {
            Some(_) => format!("{} to {}", one.r#type, target(one)),
            None => one.r#type.to_owned(),
        },
        _ => change.fields.iter().map(field).collect::<Vec<_>>().join(", "),
    };
    let mut sizes: Vec<_> = sides.iter().filter_map(|facts| facts.size).map(bytes).collect();
    sizes.dedup();
    vec![sign.to_owned(), short(&change.path), what, sizes.join(" -> ")]
}

/// A text that fits into a cell.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= LONGEST_CELL {
        return text.to_owned();
    }
    let end: Vec<char> = text.chars().rev().take(LONGEST_CELL / 2).collect();
    text.chars().take(LONGEST_CELL / 2 - 3).chain("...".chars()).chain(end.into_iter().rev()).collect()
}

/// A table of the first rows, and how many more there are.
fn rows(all: &[Vec<String>], columns: &[&str], most: usize) -> String {
    if all.is_empty() {
        return String::new();
    }
    let columns: Vec<_> = columns.iter().map(|name| (*name, Align::Left)).collect();
    let shown: Vec<Vec<String>> =
        all.iter().take(most).map(|row| row.iter().map(|cell| short(cell)).collect()).collect();
    let left = all.len() - shown.len();
    let more = if left > 0 { format!("... and {left} more\n") } else { String::new() };
    table(&columns, &shown) + &more
}
