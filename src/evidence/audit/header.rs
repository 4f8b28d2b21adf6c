//! The headers of one entry, as composed and as given: what they say, then every byte.

use super::{
    Field, Finding,
    block::{self, STRETCHES, Stretch},
    reader::{Head, Record},
};
use crate::ground::printable;

/// The longest value that is shown, in bytes.
const SHOWN: usize = 256;

/// Bytes, shortened and fit to print.
pub(super) fn show(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN) {
        Some(start) if bytes.len() > SHOWN => format!("{}... ({} bytes)", printable(start), bytes.len()),
        _ => printable(bytes),
    }
}

/// The bytes of a fixed field, without the NULs that fill it.
fn show_field(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    match bytes.get(..end) {
        Some(text) if end > 0 => show(text),
        _ => "empty".to_owned(),
    }
}

/// Everything in which the headers differ; entry, origin and cause are for the caller to add.
pub(super) fn differences(expected: &Head, found: &Head) -> Vec<Finding> {
    let mut all = Said { expected, found, findings: Vec::new() };
    all.meanings();
    let said: Vec<Field> = all.findings.iter().map(|finding| finding.field).collect();
    all.blocks(&said);
    all.records(&said);
    all.findings
}

/// A number as text.
type Show = fn(u64) -> String;

struct Said<'a> {
    expected: &'a Head,
    found: &'a Head,
    findings: Vec<Finding>,
}

impl Said<'_> {
    fn say(&mut self, stretch: Stretch, detail: &str, expected: String, found: String) {
        let mut finding = Finding::new(stretch.field, detail, expected, found);
        match stretch.first_difference(&self.expected.block, &self.found.block) {
            Some(at) => {
                finding = finding.at(self.found.at.saturating_add(at as u64));
                let byte = |head: &Head| head.block.get(at).copied();
                finding.bytes = byte(self.expected).zip(byte(self.found)).map(|(one, other)| [one, other]);
            }
            // It is said in a record before the header.
            None => {
                let first = self.found.records.first().map_or(self.found.at, |record| record.at);
                finding = finding.at(first);
            }
        }
        self.findings.push(finding);
    }

    /// What readers of the tar would see.
    fn meanings(&mut self) {
        let (expected, found) = (self.expected, self.found);
        if expected.kind != found.kind {
            self.say(block::KIND, "type", block::kind(expected.kind), block::kind(found.kind));
        }
        let octal: Show = |value| format!("{value:04o}");
        let decimal: Show = |value| value.to_string();
        let numbers: [(Stretch, Option<u64>, Option<u64>, Show); 5] = [
            (block::MODE, expected.mode, found.mode, octal),
            (block::UID, expected.uid, found.uid, decimal),
            (block::GID, expected.gid, found.gid, decimal),
            (block::SIZE, expected.size, found.size, decimal),
            (block::MTIME, expected.mtime, found.mtime, decimal),
        ];
        for (stretch, one, other, text) in numbers {
            if one != other {
                let other = other.map_or_else(|| format!("no number: {}", show_field(stretch.of(&found.block))), text);
                self.say(stretch, stretch.name, one.map(text).unwrap_or_default(), other);
            }
        }
        if expected.name != found.name {
            self.say(block::NAME, "name", show(&expected.name), show(&found.name));
        }
        if expected.link != found.link {
            self.say(block::LINK, "target", show(&expected.link), show(&found.link));
        }
        let keys = expected.extra.keys().chain(found.extra.keys().filter(|key| !expected.extra.contains_key(*key)));
        for key in keys {
            let (one, other) = (expected.extra.get(key), found.extra.get(key));
            if one == other {
                continue;
            }
            let value = |value: Option<&Vec<u8>>| value.map_or_else(|| "none".to_owned(), |value| show(value));
            let (stretch, detail) = match key.strip_prefix(b"SCHILY.xattr.") {
                Some(name) => (block::MODE, format!("extended attribute {}", show(name))),
                None if key == b"mtime" => (block::MTIME, "parts of a second".to_owned()),
                None => (block::CHECKSUM, format!("pax record {}", show(key))),
            };
            let mut finding = Finding::new(stretch.field, detail, value(one), value(other));
            finding = finding.at(found.records.first().map_or(found.at, |record| record.at));
            self.findings.push(finding);
        }
    }

    /// Every byte of the header block that nothing told yet.
    fn blocks(&mut self, said: &[Field]) {
        let told = |stretch: Stretch| match stretch.name {
            "name" | "prefix" => said.contains(&Field::Name),
            "mode" | "uid" | "gid" | "size" | "mtime" | "link name" | "type" => {
                let of_this = |finding: &Finding| {
                    finding.field == stretch.field && !finding.detail.starts_with("extended attribute")
                };
                self.findings.iter().any(of_this)
            }
            _ => false,
        };
        let (one, other) = (&self.expected.block, &self.found.block);
        let untold: Vec<Stretch> = STRETCHES
            .into_iter()
            .filter(|stretch| *stretch != block::CHECKSUM && stretch.first_difference(one, other).is_some())
            .filter(|stretch| !told(*stretch))
            .collect();
        for stretch in untold {
            let (one, other) = (show_field(stretch.of(one)), show_field(stretch.of(other)));
            self.say(stretch, stretch.name, one, other);
        }
        if let Some(mut finding) = checksum(other) {
            finding = finding.at(self.found.at.saturating_add(block::CHECKSUM.at as u64));
            self.findings.push(finding);
        }
    }

    /// The records before the header.
    fn records(&mut self, said: &[Field]) {
        let (one, other) = (&self.expected.records, &self.found.records);
        let alike = |one: &Record, other: &Record| one.kind == other.kind || other.kind == 0 && one.kind != b'x';
        if one.len() != other.len() || !one.iter().zip(other).all(|(one, other)| alike(one, other)) {
            let kinds = |records: &[Record]| match records {
                [] => "none".to_owned(),
                records => records.iter().map(|record| block::kind(record.kind)).collect::<Vec<_>>().join(", "),
            };
            let first = other.first().map_or(self.found.at, |record| record.at);
            let finding = Finding::new(Field::Framing, "records", kinds(one), kinds(other)).at(first);
            self.findings.push(finding);
            return;
        }
        for (one, other) in one.iter().zip(other) {
            let word = block::kind(one.kind);
            for stretch in STRETCHES.into_iter().filter(|stretch| *stretch != block::CHECKSUM) {
                let Some(at) = stretch.first_difference(&one.head, &other.head) else { continue };
                if stretch == block::SIZE && one.data.len() != other.data.len() && !said.is_empty() {
                    continue;
                }
                let values = (show_field(stretch.of(&one.head)), show_field(stretch.of(&other.head)));
                let detail = format!("record {word}: {}", stretch.name);
                let mut finding = Finding::new(Field::Framing, detail, values.0, values.1);
                finding = finding.at(other.at.saturating_add(at as u64));
                self.findings.push(finding);
            }
            if let Some(mut finding) = checksum(&other.head) {
                finding.detail = format!("record {word}: checksum");
                self.findings.push(finding.at(other.at.saturating_add(block::CHECKSUM.at as u64)));
            }
            let explained = match one.kind {
                b'L' => said.contains(&Field::Name),
                b'K' => said.contains(&Field::Link),
                _ => !said.is_empty(),
            };
            if one.data != other.data && !explained {
                let at = one.data.iter().zip(&other.data).take_while(|(one, other)| one == other).count();
                let finding =
                    Finding::new(Field::Framing, format!("record {word}: data"), show(&one.data), show(&other.data));
                self.findings.push(finding.at(other.at.saturating_add(block::BLOCK as u64).saturating_add(at as u64)));
            }
            if let Some((at, byte)) = other.padding {
                let detail = format!("record {word}: padding");
                let mut finding = Finding::new(Field::Framing, detail, "zeros", format!("0x{byte:02x}")).at(at);
                finding.bytes = Some([0, byte]);
                self.findings.push(finding);
            }
        }
    }
}

/// What is wrong with a block's checksum, judged by the block itself.
fn checksum(found: &block::Block) -> Option<Finding> {
    let meant = format!("{:06o}\0 ", block::sum(found));
    let bytes = block::CHECKSUM.of(found);
    let detail = if block::sealed(found) { "checksum, written otherwise" } else { "checksum" };
    (bytes != meant.as_bytes()).then(|| Finding::new(Field::Framing, detail, show(meant.as_bytes()), show(bytes)))
}

/// An entry in a line.
pub(super) fn describe(head: &Head, size: u64) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    let mode = head.mode.map_or_else(|| "?".to_owned(), |mode| format!("{mode:04o}"));
    let mut text = format!("{}, {mode} {}:{}", block::kind(head.kind), number(head.uid), number(head.gid));
    if !head.link.is_empty() {
        text.push_str(&format!(", to {}", show(&head.link)));
    }
    if head.kind == b'0' || size > 0 {
        text.push_str(&format!(", {size} bytes"));
    }
    text
}
