//! What differs, as text for a pull request (GitHub's Markdown). Nothing from inside an image becomes markup:
//! names stand in code spans, changelogs in code blocks.

use super::{
    Changelog, Changes,
    text::{
        config, counts, cves, delta, files, headline, largest_packages, libraries, short, tier_row, version_and_size,
    },
};
use crate::evidence::table::bytes;

/// Rows of a table: GitHub takes 65,536 characters in all.
const MOST_ROWS: usize = 40;
/// Lines of one changelog.
const MOST_LINES: usize = 60;
/// Bytes of all changelogs.
const MOST_CHANGELOGS: usize = 30_000;

/// All that differs; without `all`, the largest of each kind.
pub fn markdown(changes: &Changes, all: bool) -> String {
    let title = headline(changes);
    let names = format!("{} -> {}", changes.before, changes.after);
    let rest = title.strip_prefix(&names).unwrap_or(&title);
    let mut text = format!("{} → {}{rest}\n", code(&changes.before), code(&changes.after));
    if changes.equal {
        return text;
    }
    let most = if all { usize::MAX } else { MOST_ROWS };
    let mut section = |title: &str, columns: &[&str], rows: Vec<Vec<String>>, open: bool| {
        if rows.is_empty() {
            return;
        }
        let left = rows.len().saturating_sub(most);
        let mut body = format!("| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len()));
        for row in rows.into_iter().take(most) {
            body.push_str(&format!("| {} |\n", row.join(" | ")));
        }
        if left > 0 {
            body.push_str(&format!("\nand {left} more\n"));
        }
        match open {
            true => text.push_str(&format!("\n### {title}\n\n{body}")),
            false => text.push_str(&format!("\n<details><summary>{title}</summary>\n\n{body}\n</details>\n")),
        }
    };
    let tiers = changes.tiers.iter().map(|tier| in_code(tier_row(tier), &[1]));
    section("Tiers", &["", "tier", "packages", "files", "size"], tiers.collect(), true);
    let packages = largest_packages(changes).into_iter().map(|(sign, change)| {
        let (version, size) = version_and_size(change);
        in_code(vec![sign.to_owned(), change.name.clone(), version, size, cves(&change.cves)], &[1, 2])
    });
    let title = format!("Packages: {}", counts(&changes.packages));
    section(&title, &["", "package", "version", "size", "CVEs in the changelog"], packages.collect(), true);
    let rows = config(changes).into_iter().map(|row| in_code(row, &[1, 2]));
    section(&format!("Config: {}", counts(&changes.config)), &["", "setting", "value"], rows.collect(), true);
    let named = |lists: &super::Lists<String>| {
        lists.signed().map(|(sign, name)| in_code(vec![sign.to_owned(), short(name)], &[1])).collect::<Vec<_>>()
    };
    let title = format!("CA certificates: {}", counts(&changes.certificates));
    section(&title, &["", "subject"], named(&changes.certificates), true);
    let title = format!("Time zones: {}", counts(&changes.time_zones));
    section(&title, &["", "name"], named(&changes.time_zones), false);
    let rows = libraries(changes).into_iter().map(|row| in_code(row, &[1, 2]));
    let title = format!("Libraries: {}", counts(&changes.libraries));
    section(&title, &["", "library", "symbol versions"], rows.collect(), false);
    let mut sizes: Vec<_> = changes.package_sizes.iter().collect();
    sizes.sort_by_key(|size| std::cmp::Reverse(size.before.abs_diff(size.after)));
    let sizes = sizes.into_iter().map(|size| {
        let name = size.package.as_ref().map_or_else(|| "no package".to_owned(), |name| code(name));
        vec![delta(size.before, size.after), name, format!("{} -> {}", bytes(size.before), bytes(size.after))]
    });
    section("Sizes by package", &["", "package", "size"], sizes.collect(), false);
    let rows = files(changes).into_iter().map(|row| in_code(row, &[1, 2]));
    section(&format!("Files: {}", counts(&changes.files)), &["", "path", "what", "size"], rows.collect(), false);
    text.push_str(&changelogs(&changes.changelogs, all));
    text
}

fn changelogs(all: &[Changelog], whole: bool) -> String {
    let mut text = String::new();
    for (at, changelog) in all.iter().enumerate() {
        let Changelog { source, before, after, releases, more, .. } = changelog;
        let mut lines = Vec::new();
        for release in releases {
            lines.push(format!("{} ({}; urgency={})", release.version, release.distributions, release.urgency));
            lines.extend(release.text.iter().map(|line| format!("  {line}").trim_end().to_owned()));
            lines.push(String::new());
        }
        if *more > 0 {
            lines.push(format!("and {more} older releases"));
        }
        let left = if whole { 0 } else { lines.len().saturating_sub(MOST_LINES) };
        lines.truncate(lines.len() - left);
        if left > 0 {
            lines.push(format!("... and {left} more lines"));
        }
        let body = lines.join("\n");
        let fence = "`".repeat(3.max(longest_ticks(&body) + 1));
        let summary = format!("{source} {before} -> {after}");
        let one = format!(
            "\n<details><summary>Changelog of {}</summary>\n\n{fence}\n{}\n{fence}\n\n</details>\n",
            html(&summary),
            body.trim_end()
        );
        if !whole && text.len() + one.len() > MOST_CHANGELOGS {
            text.push_str(&format!("\nand the changelogs of {} more source packages\n", all.len() - at));
            break;
        }
        text.push_str(&one);
    }
    text
}

fn longest_ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Some cells of a row as code.
fn in_code(row: Vec<String>, cells: &[usize]) -> Vec<String> {
    let cell = |(at, cell): (usize, String)| if cells.contains(&at) { code(&cell) } else { cell };
    row.into_iter().enumerate().map(cell).collect()
}

/// A code span that holds its ground in a table.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let ticks = "`".repeat(longest_ticks(text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{}{pad}{ticks}", text.replace('|', "\\|"))
}
