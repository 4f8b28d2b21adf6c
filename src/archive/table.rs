//! One Packages index made ready for looking up: records found by the hash of a name, in one run of
//! bytes that the cache can keep. A run that finds them neither decompresses nor parses the index.
//!
//! The form, all numbers 32 bits, the least byte first, unless said otherwise: [`MAGIC`]; counts of
//! records, of provided names and of providers' names, and bytes of the records; where each record begins;
//! pairs of hash and record for the packages' names, then for the provided names, then of hash and place
//! in `mentions` order for the names of packages that provide something, each sorted; the records; the
//! CRC-32 of all before. A record: a byte of flags, the .deb's size (64 bits), its SHA-256 where there
//! is one, and thirteen texts, each with its length as LEB128 before it.
//!
//! The checksum is against a torn write or a bad disk. It is none against malice and need not be:
//! whoever can write the cache can as well write the program, and what was verified stands in the
//! key, so that another index is never taken for this one. Fields that no [`Record`] has are left
//! out, which makes the whole a third as long as the text: 20 MB for all of Debian's main.

use std::{cmp::Ordering, ops::Range};

use super::mentions;
use crate::{
    debian::{
        Architecture,
        packages::{PackagesError, Record, Stanzas, not_utf8},
    },
    ground::{Sha256, printable, put_leb128, take_leb128},
};

/// The beginning. The number rises when the form or the meaning of a field changes.
const MAGIC: &[u8; 20] = b"debstrata packages 2";
/// Bytes before the first table.
const HEAD: usize = MAGIC.len() + 16;
/// Bytes of the checksum.
const SUM: usize = 4;
/// The form's number, for keys.
pub(super) const FORMAT: u32 = 2;

/// A flag of a record.
const ESSENTIAL: u8 = 1;
/// Another.
const HAS_SHA256: u8 = 2;

/// A Packages index made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    bytes: Vec<u8>,
    records: u32,
    provided: u32,
    mentions: u32,
}

/// Why there is no table.
#[derive(Debug)]
pub(super) enum Unfit {
    /// The index itself.
    Packages(PackagesError),
    /// More than can be addressed.
    TooLarge,
}

impl From<PackagesError> for Unfit {
    fn from(error: PackagesError) -> Self {
        Self::Packages(error)
    }
}

/// Where the pairs of a kind of name stand.
#[derive(Clone, Copy)]
enum Names {
    Packages,
    Provided,
    Mentions,
}

impl Table {
    /// Reads a Packages text. Stanzas of other architectures are passed over: flat repositories list
    /// all in one file.
    pub(super) fn build(architecture: Architecture, text: &[u8]) -> Result<Self, Unfit> {
        let text = str::from_utf8(text).map_err(|error| not_utf8(text, error.valid_up_to()))?;
        let (mut records, mut starts, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let (mut names, mut provided, mut providers) = (Vec::new(), Vec::new(), Vec::new());
        let small = |number: usize| u32::try_from(number).map_err(|_| Unfit::TooLarge);
        for stanza in Stanzas::new(text) {
            let stanza = stanza?;
            let record = stanza.record;
            if record.architecture != "all" && record.architecture != architecture.name() {
                continue;
            }
            let number = small(starts.len())?;
            names.push((hash(record.package), number));
            for item in record.provided() {
                let item = item.map_err(|problem| {
                    let package = Some(record.package.to_owned());
                    PackagesError { line: stanza.line, package, problem }
                })?;
                provided.push((hash(item.name), number));
            }
            if !record.provides.is_empty() {
                providers.push(hash(record.package));
            }
            starts.push(small(records.len())?);
            lines.push(stanza.line);
            put_record(&mut records, &record);
        }
        for list in [&mut names, &mut provided] {
            list.sort_unstable();
            list.dedup();
        }
        providers.sort_unstable();
        providers.dedup();
        let met = mentions::in_order(text, &providers, hash);
        let mut mentions =
            met.into_iter().enumerate().map(|(at, hash)| Ok((hash, small(at)?))).collect::<Result<Vec<_>, Unfit>>()?;
        mentions.sort_unstable();
        let length = small(records.len())?;
        let (count, virtual_count, mention_count) =
            (small(starts.len())?, small(provided.len())?, small(mentions.len())?);
        let pairs = names.len() + provided.len() + mentions.len();
        let mut bytes = Vec::with_capacity(HEAD + 4 * starts.len() + 8 * pairs + records.len() + SUM);
        bytes.extend_from_slice(MAGIC);
        for number in [count, virtual_count, mention_count, length].into_iter().chain(starts) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (hash, number) in names.into_iter().chain(provided).chain(mentions) {
            bytes.extend_from_slice(&hash.to_le_bytes());
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.append(&mut records);
        let sum = libdeflater::crc32(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        let table = Self { bytes, records: count, provided: virtual_count, mentions: mention_count };
        table.no_package_twice(&lines)?;
        Ok(table)
    }

    /// A table from the bytes that [`Table::as_bytes`] gave; `None` where they are no whole one.
    pub(super) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<SUM>()?;
        if !body.starts_with(MAGIC) || libdeflater::crc32(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        let records = number_at(&bytes, MAGIC.len())?;
        let provided = number_at(&bytes, MAGIC.len() + 4)?;
        let mentions = number_at(&bytes, MAGIC.len() + 8)?;
        let length = number_at(&bytes, MAGIC.len() + 12)?;
        let table = Self { bytes, records, provided, mentions };
        let whole = table.records_start().checked_add(length as usize)?.checked_add(SUM)?;
        (whole == table.bytes.len()).then_some(table)
    }

    /// All of it, for the cache.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many records there are.
    pub(super) fn len(&self) -> u32 {
        self.records
    }

    /// The record of this number. Each was read once when the table was made, so each is there.
    pub(super) fn record(&self, number: u32) -> Option<Record<'_>> {
        if number >= self.records {
            return None;
        }
        let start = number_at(&self.bytes, HEAD + 4 * number as usize)?;
        let end = self.bytes.len() - SUM;
        let bytes = self.bytes.get(self.records_start().checked_add(start as usize)?..end)?;
        Reader(bytes).record()
    }

    /// The numbers of the packages with the hash of `name`: those of the name, and few others.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = u32> + use<'_> {
        self.of_hash(Names::Packages, hash(name))
    }

    /// The numbers of packages that provide a name with the hash of `name`.
    pub(super) fn providing(&self, name: &str) -> impl Iterator<Item = u32> + use<'_> {
        self.of_hash(Names::Provided, hash(name))
    }

    /// The place of a provider's name among all of them, in the order in which apt meets them.
    pub(super) fn mention(&self, name: &str) -> Option<u32> {
        self.of_hash(Names::Mentions, hash(name)).next()
    }

    fn of_hash(&self, names: Names, wanted: u32) -> impl Iterator<Item = u32> + use<'_> {
        let pairs = self.bytes.get(self.pairs(names)).unwrap_or_default().as_chunks::<8>().0;
        let split = |pair: &[u8; 8]| {
            let [a, b, c, d, e, f, g, h] = *pair;
            (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
        };
        let start = pairs.partition_point(|pair| split(pair).0 < wanted);
        let rest = pairs.get(start..).unwrap_or_default();
        rest.iter().map(split).take_while(move |(hash, _)| *hash == wanted).map(|(_, number)| number)
    }

    fn pairs(&self, names: Names) -> Range<usize> {
        let packages = HEAD + 4 * self.records as usize;
        let provided = packages + 8 * self.records as usize;
        let mentions = provided + 8 * self.provided as usize;
        match names {
            Names::Packages => packages..provided,
            Names::Provided => provided..mentions,
            Names::Mentions => mentions..mentions + 8 * self.mentions as usize,
        }
    }

    fn records_start(&self) -> usize {
        self.pairs(Names::Mentions).end
    }

    /// One package in one version is one file. The same stanza twice does no harm.
    fn no_package_twice(&self, lines: &[usize]) -> Result<(), PackagesError> {
        let pairs = self.bytes.get(self.pairs(Names::Packages)).unwrap_or_default().as_chunks::<8>().0;
        for run in pairs.chunk_by(|one, other| one[..4] == other[..4]).filter(|run| run.len() > 1) {
            let numbers = run.iter().filter_map(|pair| number_at(pair, 4));
            let mut found: Vec<_> = numbers.filter_map(|number| Some((self.record(number)?, number))).collect();
            found.sort_by(|(a, m), (b, n)| same_package(a, b).then(m.cmp(n)));
            for pair in found.windows(2) {
                let [(first, _), (second, number)] = pair else { continue };
                let file = |record: &Record<'_>| (record.size, record.sha256);
                if same_package(first, second).is_ne() || file(first) == file(second) {
                    continue;
                }
                let shown = |text: &str| printable(text.as_bytes());
                return Err(PackagesError {
                    line: lines.get(*number as usize).copied().unwrap_or_default(),
                    package: Some(second.package.to_owned()),
                    problem: format!(
                        "version {} for {} stands here twice, as different files: {} and {}",
                        shown(second.version),
                        second.architecture,
                        shown(first.filename),
                        shown(second.filename)
                    ),
                });
            }
        }
        Ok(())
    }
}

fn same_package(a: &Record<'_>, b: &Record<'_>) -> Ordering {
    (a.package, a.version, a.architecture).cmp(&(b.package, b.version, b.architecture))
}

/// FNV-1a: it stays the same in every build, since it stands in the cache.
fn hash(name: &str) -> u32 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (hash ^ (hash >> 32)) as u32
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|chunk| u32::from_le_bytes(*chunk))
}

fn put_record(out: &mut Vec<u8>, record: &Record<'_>) {
    let Record {
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
    } = *record;
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.push(flag(essential, ESSENTIAL) | flag(sha256.is_some(), HAS_SHA256));
    out.extend_from_slice(&size.to_le_bytes());
    if let Some(sha256) = sha256 {
        out.extend_from_slice(sha256.as_bytes());
    }
    // Most packages have the name of their source.
    let source = if source == package { "" } else { source };
    for text in [
        package,
        version,
        architecture,
        source,
        multi_arch,
        priority,
        pre_depends,
        depends,
        provides,
        conflicts,
        breaks,
        replaces,
        filename,
    ] {
        put_leb128(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = take_leb128(&mut self.0)?;
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        str::from_utf8(taken).ok()
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let [flags] = *self.take::<1>()?;
        let size = u64::from_le_bytes(*self.take::<8>()?);
        let sha256 = match flags & HAS_SHA256 {
            0 => None,
            _ => Some(Sha256::from_bytes(*self.take::<32>()?)),
        };
        let (package, version, architecture) = (self.text()?, self.text()?, self.text()?);
        let source = match self.text()? {
            "" => package,
            source => source,
        };
        Some(Record {
            package,
            version,
            architecture,
            source,
            multi_arch: self.text()?,
            essential: flags & ESSENTIAL != 0,
            priority: self.text()?,
            pre_depends: self.text()?,
            depends: self.text()?,
            provides: self.text()?,
            conflicts: self.text()?,
            breaks: self.text()?,
            replaces: self.text()?,
            filename: self.text()?,
            size,
            sha256,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stanza(name: &str, version: &str, more: &str, file: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nDescription: x\n é\n{more}Filename: {file}\nSize: 7\n\
             SHA256: {}\n\n",
            Sha256::of(file.as_bytes())
        )
    }

    fn built(text: &str) -> Result<Table, PackagesError> {
        Table::build("amd64".parse().unwrap(), text.as_bytes()).map_err(|unfit| match unfit {
            Unfit::Packages(error) => error,
            Unfit::TooLarge => panic!("too large"),
        })
    }

    fn good() -> String {
        let more = "Source: y (2)\nMulti-Arch: same\nEssential: yes\nPriority: required\nPre-Depends: a\nDepends: b,\n c\n\
             Provides: v (= 2), w\nConflicts: d\nBreaks: e\nReplaces: f\n";
        stanza("x", "1:2-3", more, "pool/x.deb") + &stanza("y", "1", "", &"long/".repeat(400))
    }

    #[test]
    fn records_come_back_as_they_were() {
        let text = good();
        let table = built(&text).unwrap();
        let back = Table::decode(table.as_bytes().to_vec()).unwrap();
        assert_eq!(back, table);
        let parsed: Vec<_> = Stanzas::new(&text).map(|stanza| stanza.unwrap().record).collect();
        let found: Vec<_> = (0..back.len()).filter_map(|number| back.record(number)).collect();
        assert_eq!(found, parsed);
        assert_eq!(back.named("x").collect::<Vec<_>>(), [0]);
        assert_eq!(back.providing("w").collect::<Vec<_>>(), [0]);
        assert_eq!(back.named("z").count() + back.providing("x").count(), 0);
        assert_eq!(back.record(2), None);
    }

    #[test]
    fn one_version_is_one_file() {
        let twice = stanza("x", "1", "", "a.deb");
        assert_eq!(built(&twice.repeat(2)).unwrap().len(), 2);
        built(&(twice.clone() + &stanza("x", "1.0", "", "b.deb"))).unwrap();
        let error = built(&(twice + &stanza("x", "1", "", "b.deb"))).unwrap_err();
        let expected =
            "line 10 (package x): version 1 for amd64 stands here twice, as different files: a.deb and b.deb";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn thousands_of_versions_of_one_name_are_no_matter() {
        let text: String = (0..20_000).map(|version| stanza("x", &version.to_string(), "", "f")).collect();
        assert_eq!(built(&text).unwrap().named("x").count(), 20_000);
    }

    proptest! {
        #[test]
        fn damage_is_seen_and_nothing_panics(at: usize, byte in 1_u8.., cut: usize, junk: Vec<u8>) {
            let whole = built(&good()).unwrap().as_bytes().to_vec();
            let mut bytes = whole.clone();
            let end = bytes.len();
            bytes[at % end] ^= byte;
            prop_assert_eq!(Table::decode(bytes.clone()), None);
            prop_assert_eq!(Table::decode(whole[..cut % end].to_vec()), None);
            prop_assert_eq!(Table::decode(junk), None);
            // Damage that the checksum covers up: any answer will do.
            bytes.truncate(end - SUM);
            let sum = libdeflater::crc32(&bytes);
            bytes.extend_from_slice(&sum.to_le_bytes());
            if let Some(table) = Table::decode(bytes) {
                let _ = (0..table.len().min(9)).filter_map(|number| table.record(number)).count();
                let _ = table.named("x").chain(table.providing("w")).filter_map(|number| table.record(number)).count();
            }
        }
    }
}
