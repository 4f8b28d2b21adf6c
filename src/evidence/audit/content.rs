//! The bytes of one file: which differ, and what that means where they are text or ELF.

use object::{
    Endianness,
    elf::{FileHeader32, FileHeader64, SHT_NOBITS},
    read::elf::{FileHeader, SectionHeader as _},
};

use crate::ground::printable;

/// Bytes of a file up to which a difference is looked into.
pub(super) const LOOKED_INTO: u64 = 16 << 20;
/// Bytes of a text up to which a unified diff is made.
const TEXT: usize = 256 << 10;
/// Lines on each side between the equal begin and end that are compared line by line.
const LINES: usize = 300;
/// Lines of a diff that are shown.
const SHOWN: usize = 24;
/// Characters of a line that are shown.
const WIDTH: usize = 160;
/// Sections of one ELF file.
const SECTIONS: usize = 4096;

/// What a difference is, for people.
#[derive(Debug, Default)]
pub(super) struct Insight {
    /// Such as `.text + 0x10`.
    pub place: Option<String>,
    /// What made it so, where the bytes tell.
    pub cause: Option<String>,
    /// Where both are text.
    pub diff: Option<String>,
}

/// Looks into two contents that differ from `first` on.
pub(super) fn look(expected: &[u8], found: &[u8], first: u64) -> Insight {
    if expected.starts_with(b"\x7fELF") {
        return elf(expected, found, first).unwrap_or_default();
    }
    let text = |bytes: &[u8]| bytes.len() <= TEXT && !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
    if !text(expected) || !text(found) {
        return Insight::default();
    }
    Insight { diff: Some(unified(expected, found)), ..Insight::default() }
}

struct Section {
    name: String,
    offset: u64,
    bytes: std::ops::Range<usize>,
}

fn elf(expected: &[u8], found: &[u8], first: u64) -> Option<Insight> {
    let sections = sections(expected)?;
    let holding = |section: &&Section| section.bytes.contains(&usize::try_from(first).unwrap_or(usize::MAX));
    let here = sections.iter().find(holding);
    let mut place = match here {
        Some(section) => format!("section {} + 0x{:x}", section.name, first.saturating_sub(section.offset)),
        None if first < 64 => "the ELF header".to_owned(),
        None => "between sections".to_owned(),
    };
    let mut cause = None;
    if let Some(others) = self::sections(found) {
        let differs = |section: &&Section| {
            let other = others.iter().find(|other| other.name == section.name);
            let bytes = |file: &'_ [u8], section: &Section| file.get(section.bytes.clone()).map(<[u8]>::to_vec);
            other.is_none_or(|other| bytes(expected, section) != bytes(found, other))
        };
        let named: Vec<&str> = sections.iter().filter(differs).map(|section| section.name.as_str()).collect();
        if named.len() > 1 || here.is_none() && !named.is_empty() {
            let shown = named.iter().take(8).copied().collect::<Vec<_>>().join(" ");
            place.push_str(&format!("; sections that differ: {shown}"));
            if named.len() > 8 {
                place.push_str(&format!(" and {} more", named.len().saturating_sub(8)));
            }
        }
        cause = Some(match named.as_slice() {
            [] => "no section differs, so only what lies around them was touched".to_owned(),
            names if names.contains(&".note.gnu.build-id") => {
                "another build: the build id differs, as between versions of a package".to_owned()
            }
            [".gnu_debuglink"] => "only the name or checksum of the debug file differs".to_owned(),
            _ if sections.iter().any(|section| section.name == ".note.gnu.build-id") => {
                "the build id is the same, so the file was edited after it was built".to_owned()
            }
            _ => return Some(Insight { place: Some(place), ..Insight::default() }),
        });
    }
    Some(Insight { place: Some(place), cause, diff: None })
}

fn sections(bytes: &[u8]) -> Option<Vec<Section>> {
    match bytes.get(4)? {
        1 => sections_of::<FileHeader32<Endianness>>(bytes),
        2 => sections_of::<FileHeader64<Endianness>>(bytes),
        _ => None,
    }
}

fn sections_of<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Option<Vec<Section>> {
    let header = H::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let table = header.sections(endian, bytes).ok()?;
    let mut found = Vec::new();
    for section in table.iter().take(SECTIONS) {
        let offset: u64 = section.sh_offset(endian).into();
        let size: u64 = section.sh_size(endian).into();
        if section.sh_type(endian) == SHT_NOBITS || size == 0 {
            continue;
        }
        let name = table.section_name(endian, section).ok().map(printable).unwrap_or_default();
        let start = usize::try_from(offset).ok()?;
        let end = usize::try_from(offset.checked_add(size)?).ok()?;
        found.push(Section { name, offset, bytes: start..end });
    }
    Some(found)
}

/// One hunk of a unified diff: what lies between the equal begin and the equal end.
fn unified(expected: &[u8], found: &[u8]) -> String {
    let lines = |bytes: &'_ [u8]| -> Vec<Vec<u8>> {
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (one, other) = (lines(expected), lines(found));
    let begin = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let rest = one.len().min(other.len()).saturating_sub(begin);
    let end = one.iter().rev().zip(other.iter().rev()).take(rest).take_while(|(one, other)| one == other).count();
    let middle = |lines: &[Vec<u8>]| -> Vec<Vec<u8>> {
        lines.get(begin..lines.len().saturating_sub(end)).unwrap_or_default().to_vec()
    };
    let (old, new) = (middle(&one), middle(&other));
    let context = begin.min(2);
    let start = begin.saturating_sub(context).saturating_add(1);
    let after = end.min(2);
    let length = |changed: usize| changed.saturating_add(context).saturating_add(after);
    let mut out = vec![format!("@@ -{start},{} +{start},{} @@", length(old.len()), length(new.len()))];
    let line = |sign: char, line: &[u8]| {
        let text = printable(line.strip_suffix(b"\n").unwrap_or(line));
        let mut shown: String = text.chars().take(WIDTH).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        let missing = if line.ends_with(b"\n") { "" } else { "  (no newline at the end)" };
        format!("{sign}{shown}{missing}")
    };
    let skipped = begin.saturating_sub(context);
    out.extend(one.iter().skip(skipped).take(context).map(|text| line(' ', text)));
    for (sign, at) in script(&old, &new) {
        let text = if sign == '+' { new.get(at) } else { old.get(at) };
        out.extend(text.map(|text| line(sign, text)));
    }
    let tail = one.len().saturating_sub(end);
    out.extend(one.iter().skip(tail).take(after).map(|text| line(' ', text)));
    if out.len() > SHOWN {
        let more = out.len().saturating_sub(SHOWN);
        out.truncate(SHOWN);
        out.push(format!("... {more} more lines"));
    }
    out.join("\n")
}

/// Which lines stay, go and come, with their places: by the longest common subsequence, where the
/// lines are few enough.
fn script(old: &[Vec<u8>], new: &[Vec<u8>]) -> Vec<(char, usize)> {
    if old.len() > LINES || new.len() > LINES {
        return (0..old.len()).map(|at| ('-', at)).chain((0..new.len()).map(|at| ('+', at))).collect();
    }
    let width = new.len().saturating_add(1);
    let mut common = vec![0u16; width.saturating_mul(old.len().saturating_add(1))];
    let at = |row: usize, column: usize| row.saturating_mul(width).saturating_add(column);
    for row in (0..old.len()).rev() {
        for column in (0..new.len()).rev() {
            common[at(row, column)] = if old[row] == new[column] {
                common[at(row + 1, column + 1)].saturating_add(1)
            } else {
                common[at(row + 1, column)].max(common[at(row, column + 1)])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut out = Vec::new();
    while row < old.len() || column < new.len() {
        if row < old.len() && column < new.len() && old[row] == new[column] {
            out.push((' ', row));
            (row, column) = (row + 1, column + 1);
        } else if row < old.len() && (column == new.len() || common[at(row + 1, column)] >= common[at(row, column + 1)])
        {
            out.push(('-', row));
            row += 1;
        } else {
            out.push(('+', column));
            column += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diffs_are_short_and_safe() {
        let cases: &[(&str, &str, &str)] = &[
            ("a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c"),
            ("a\n", "a\nb\x1b[2J", "@@ -1,1 +1,2 @@\n a\n+b\\u{1b}[2J  (no newline at the end)"),
            ("a\nb\nc\nd\n", "x\nb\ny\nd\n", "@@ -1,4 +1,4 @@\n-a\n+x\n b\n-c\n+y\n d"),
            ("", "", "@@ -1,0 +1,0 @@"),
        ];
        for (old, new, expected) in cases {
            assert_eq!(unified(old.as_bytes(), new.as_bytes()), *expected);
        }
        let many = |word: &str| (0..5000).map(|at| format!("{word}{at}\n")).collect::<String>();
        assert!(unified(many("a").as_bytes(), many("b").as_bytes()).lines().count() <= SHOWN + 1);
    }

    #[test]
    fn what_calls_itself_elf_and_is_not_is_no_panic() {
        for length in 0..200 {
            let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
            bytes.resize(7 + length, 0xff);
            look(&bytes, b"\x7fELF", 4);
        }
    }
}
