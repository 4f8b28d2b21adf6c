//! The packages of all suites of one architecture, found by name or by what they provide.
//!
//! Each Packages file is a table of its own (`table.rs`): a lookup asks them one after another.

use std::{cmp::Ordering, sync::Arc};

use miette::Diagnostic;

use super::{
    Package,
    table::{Table, Unfit},
};
use crate::{
    debian::{
        Architecture, Version, VersionError,
        packages::{PackagesError, Provided, Record},
        version,
    },
    ground::{Class, Failure, Sha256, printable},
};

/// The packages of all suites of one architecture.
#[derive(Debug, Clone)]
pub struct Index {
    architecture: Architecture,
    /// In the order of adding.
    parts: Vec<Part>,
}

/// What was added at once.
#[derive(Debug, Clone)]
struct Part {
    from: Arc<str>,
    priority: i32,
    table: Arc<Table>,
}

/// One package that an index offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its stanza.
    pub record: Record<'a>,
    /// Which suite lists it, as [`super::TrustRecord::id`].
    pub from: &'a str,
    /// The suite's priority.
    pub priority: i32,
}

/// One package that provides a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provider<'a> {
    /// The package.
    pub candidate: Candidate<'a>,
    /// The version under which it provides the name, unparsed, where it gives one.
    pub version: Option<&'a str>,
}

/// An index says what cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum IndexError {
    /// A Packages file cannot be read.
    #[error("the Packages file of {from} cannot be read")]
    #[diagnostic(
        code(debstrata::archive::packages),
        help("the archive itself is at fault: tell its owners, or leave this source out of archive.toml")
    )]
    Packages {
        /// The suite, as in its trust record.
        from: String,
        /// Line, package and problem.
        #[source]
        source: PackagesError,
    },
    /// More text than can be addressed.
    #[error("the Packages files of {from} are larger than 4 GiB")]
    #[diagnostic(code(debstrata::archive::packages), help("leave this source out of archive.toml"))]
    TooLarge {
        /// The suite, as in its trust record.
        from: String,
    },
    /// A package's stanza has no SHA256.
    #[error("{from} gives no SHA256 for {package} {version}")]
    #[diagnostic(
        code(debstrata::archive::no_sha256),
        help("nothing else vouches for the package: take it from another source, or leave it out")
    )]
    NoSha256 {
        /// The suite, as in its trust record.
        from: String,
        /// The package.
        package: String,
        /// Its version.
        version: String,
    },
    /// A package's version is none.
    #[error("{from} lists {package} in a version that is none: {version:?}")]
    #[diagnostic(
        code(debstrata::archive::version),
        help("dpkg would refuse it too: take it from another source, or leave it out")
    )]
    Version {
        /// The suite, as in its trust record.
        from: String,
        /// The package.
        package: String,
        /// What stands there.
        version: String,
        /// Why it is none.
        #[source]
        source: VersionError,
    },
}

impl Failure for IndexError {
    fn class(&self) -> Class {
        Class::World
    }
}

impl Index {
    /// An empty index of packages of this architecture and of `all`.
    pub fn new(architecture: Architecture) -> Self {
        Self { architecture, parts: Vec::new() }
    }

    /// Whose packages these are.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Adds the stanzas of a verified Packages text. `from` is the suite's [`super::TrustRecord::id`].
    /// Stanzas of other architectures are passed over: flat repositories list all in one file. After
    /// an error the index is as it was.
    pub fn add(&mut self, from: &str, priority: i32, text: Vec<u8>) -> Result<(), IndexError> {
        let table = Table::build(self.architecture, &text).map_err(|unfit| IndexError::unfit(unfit, from))?;
        self.add_table(from, priority, Arc::new(table));
        Ok(())
    }

    /// Adds a table of this index's architecture.
    pub(super) fn add_table(&mut self, from: &str, priority: i32, table: Arc<Table>) {
        self.parts.push(Part { from: from.into(), priority, table });
    }

    /// The packages of this name, best first: by priority, then by version, then in the order of
    /// adding. A package that several suites list in the same version and for the same architecture
    /// stands there once, for the best priority or else the suite that was added first.
    pub fn candidates(&self, name: &str) -> Vec<Candidate<'_>> {
        let mut found: Vec<_> = self.named(name).into_iter().enumerate().collect();
        // Repetitions side by side, the one to keep first: a stable sort keeps the order of adding.
        found.sort_by(|(_, a), (_, b)| repetition(a, b).then(b.priority.cmp(&a.priority)));
        found.dedup_by(|(_, later), (_, kept)| repetition(kept, later).is_eq());
        found.sort_by(|(m, a), (n, b)| {
            let newer = version::compare(b.record.version, a.record.version);
            b.priority.cmp(&a.priority).then(newer).then(m.cmp(n))
        });
        found.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// The packages that provide this name (Policy 7.5), those of the name itself aside. Best first:
    /// by the suite's priority, then by the archive's own `Priority` field (so that `mawk` wins for
    /// `awk`), then by package name, version and the order of adding. Repetitions are left out as in
    /// [`Index::candidates`].
    pub fn providers(&self, name: &str) -> Vec<Provider<'_>> {
        let mut found: Vec<Provider<'_>> = Vec::new();
        let candidates = self.parts.iter().flat_map(|part| part.all(part.table.providing(name)));
        for candidate in candidates {
            for Provided { version, .. } in candidate.record.provided().flatten().filter(|item| item.name == name) {
                found.push(Provider { candidate, version });
            }
        }
        found.sort_by(|Provider { candidate: a, .. }, Provider { candidate: b, .. }| {
            repetition(a, b).then(b.priority.cmp(&a.priority))
        });
        // One stanza may provide a name in several versions: these are no repetitions.
        found.dedup_by(|later, kept| {
            repetition(&kept.candidate, &later.candidate).is_eq()
                && (kept.candidate.from != later.candidate.from || kept.version == later.version)
        });
        found.sort_by(|Provider { candidate: a, .. }, Provider { candidate: b, .. }| {
            let importance = importance(&a.record).cmp(&importance(&b.record));
            b.priority.cmp(&a.priority).then(importance).then_with(|| repetition(a, b))
        });
        found
    }

    /// The stanza of this very package, by name, version and architecture.
    pub fn find(&self, package: &Package) -> Option<Candidate<'_>> {
        let same = |record: &Record<'_>| {
            record.architecture == &*package.architecture
                && version::compare(record.version, package.version.as_str()).is_eq()
        };
        self.candidates(&package.name).into_iter().find(|candidate| same(&candidate.record))
    }

    /// The .deb of this name and hash as the suite `from` lists it, whichever suite has the first word
    /// on the package.
    pub fn listed(&self, from: &str, name: &str, sha256: Sha256) -> Option<Candidate<'_>> {
        self.named(name).into_iter().find(|candidate| candidate.from == from && candidate.record.sha256 == Some(sha256))
    }

    /// The packages of this name, in the order of adding.
    fn named(&self, name: &str) -> Vec<Candidate<'_>> {
        let all = self.parts.iter().flat_map(|part| part.all(part.table.named(name)));
        all.filter(|candidate| candidate.record.package == name).collect()
    }

    /// Whether a suite lists this very package, whichever suite has the first word on it. `suite` is a
    /// [`super::TrustRecord::id`], or what follows the first slash of one.
    pub fn is_in(&self, suite: &str, candidate: &Candidate<'_>) -> bool {
        let named = |from: &str| from == suite || from.split_once('/').is_some_and(|(_, name)| name == suite);
        self.named(candidate.record.package).into_iter().any(|found| {
            named(found.from) && repetition(&found, candidate).is_eq() && found.record.sha256 == candidate.record.sha256
        })
    }

    /// Where a name that packages provide something under comes up first, in the order in which apt's
    /// cache meets names: stanza by stanza, and in each the package itself, then its relations, field
    /// after field. Of an index that lists no provider of this name, nothing is known; names that come
    /// up nowhere are last. Compares names with each other, and means nothing else.
    pub fn first_mention(&self, name: &str) -> (usize, u32) {
        let mut parts = self.parts.iter().enumerate();
        parts.find_map(|(number, part)| Some((number, part.table.mention(name)?))).unwrap_or((usize::MAX, 0))
    }

    /// The names of all packages, in the order of adding, some more than once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(|part| part.all(0..part.table.len())).map(|found| found.record.package)
    }

    /// How many stanzas there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.table.len() as usize).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Part {
    fn all(&self, numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = Candidate<'_>> {
        let candidate = |record| Candidate { record, from: &self.from, priority: self.priority };
        numbers.filter_map(move |number| self.table.record(number).map(candidate))
    }
}

impl IndexError {
    /// Why the index of a suite has no table.
    pub(super) fn unfit(unfit: Unfit, from: &str) -> Self {
        let from = from.to_owned();
        match unfit {
            Unfit::Packages(source) => Self::Packages { from, source },
            Unfit::TooLarge => Self::TooLarge { from },
        }
    }
}

impl Candidate<'_> {
    /// All that the lock needs to know of it.
    ///
    /// # Errors
    /// Without a SHA256, and with a version that is none.
    pub fn package(&self) -> Result<Package, IndexError> {
        let record = &self.record;
        let Some(sha256) = record.sha256 else {
            return Err(IndexError::NoSha256 {
                from: self.from.to_owned(),
                package: record.package.to_owned(),
                // Nobody has checked yet that it is one.
                version: printable(record.version.as_bytes()),
            });
        };
        let version: Version = record.version.parse().map_err(|source| IndexError::Version {
            from: self.from.to_owned(),
            package: record.package.to_owned(),
            version: record.version.to_owned(),
            source,
        })?;
        Ok(Package {
            name: record.package.into(),
            version,
            architecture: record.architecture.into(),
            source: record.source.into(),
            from: self.from.into(),
            path: record.filename.into(),
            size: record.size,
            sha256,
        })
    }
}

/// Orders by name, version (newest first) and architecture; equal where two suites list one package.
fn repetition(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    let newer = || version::compare(b.record.version, a.record.version);
    let architecture = || a.record.architecture.cmp(b.record.architecture);
    a.record.package.cmp(b.record.package).then_with(newer).then_with(architecture)
}

/// `Priority` (Policy 2.5) as a rank, the most important first.
fn importance(record: &Record<'_>) -> usize {
    let ranks = ["required", "important", "standard", "optional", "extra"];
    ranks.iter().position(|rank| record.priority.eq_ignore_ascii_case(rank)).unwrap_or(ranks.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(name: &str, version: &str, architecture: &str, more: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n{more}Filename: pool/{name}.deb\n\
             Size: 1\nSHA256: {}\n\n",
            Sha256::of(version.as_bytes())
        )
    }

    fn index(suites: &[(&str, i32, &[String])]) -> Index {
        let mut index = Index::new("amd64".parse().unwrap());
        for (from, priority, stanzas) in suites {
            index.add(from, *priority, stanzas.concat().into_bytes()).unwrap();
        }
        index
    }

    #[test]
    fn every_suite_that_lists_a_deb_is_asked() {
        let one = [stanza("a", "1", "amd64", "")];
        let index = index(&[("first", 500, &one), ("second", 100, &one)]);
        let sha256 = Sha256::of(b"1");
        assert_eq!(shown(&index, "a"), ["a 1 amd64 first"]);
        for from in ["first", "second"] {
            assert_eq!(index.listed(from, "a", sha256).unwrap().from, from);
        }
        for (from, name, sha256) in [("third", "a", sha256), ("first", "b", sha256), ("first", "a", Sha256::of(b"2"))] {
            assert!(index.listed(from, name, sha256).is_none());
        }
    }

    fn shown(index: &Index, name: &str) -> Vec<String> {
        let show = |found: &Candidate<'_>| {
            format!("{} {} {} {}", found.record.package, found.record.version, found.record.architecture, found.from)
        };
        let real = index.candidates(name);
        let virtual_ones = index.providers(name);
        let virtual_ones = virtual_ones
            .iter()
            .map(|provider| format!("{} as {}", show(&provider.candidate), provider.version.unwrap_or("any")));
        real.iter().map(show).chain(virtual_ones).collect()
    }

    #[test]
    fn what_stands_for_a_version_cannot_drive_a_terminal() {
        let text = stanza("x", "1\u{1b}[2J", "amd64", "");
        let without = text.lines().filter(|line| !line.starts_with("SHA256")).map(|line| format!("{line}\n"));
        for text in [text.clone(), without.collect()] {
            let index = index(&[("debian/a", 500, &[text])]);
            let error = index.candidates("x")[0].package().unwrap_err().to_string();
            assert!(error.contains("\\u{1b}[2J") && !error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn the_best_comes_first() {
        let index = index(&[
            ("debian/a", 500, &[stanza("x", "1.9", "amd64", ""), stanza("x", "1.10", "all", "")]),
            (
                "debian/b",
                500,
                &[stanza("x", "1.10-0", "all", ""), stanza("x", "3", "arm64", ""), stanza("y", "1", "all", "")],
            ),
            ("local/c", 900, &[stanza("x", "0.1", "amd64", "")]),
            ("back/d", 100, &[stanza("x", "9", "amd64", ""), stanza("x", "0.1", "amd64", "")]),
        ]);
        let expected = ["x 0.1 amd64 local/c", "x 1.10 all debian/a", "x 1.9 amd64 debian/a", "x 9 amd64 back/d"];
        assert_eq!(shown(&index, "x"), expected);
        assert_eq!(shown(&index, "nothing"), [""; 0]);
        assert_eq!(index.names().collect::<Vec<_>>(), ["x", "x", "x", "y", "x", "x", "x"]);
        let package = index.candidates("y")[0].package().unwrap();
        assert_eq!((&*package.from, &*package.path, package.size), ("debian/b", "pool/y.deb", 1));
        assert_eq!(index.find(&package).unwrap().record.package, "y");
        assert_eq!(index.find(&Package { version: "2".parse().unwrap(), ..package }), None);
    }

    #[test]
    fn providers() {
        let index = index(&[
            (
                "debian/a",
                500,
                &[
                    stanza("b", "1", "amd64", "Priority: optional\nProvides: v (= 2), w, v (= 3), v (= 3)\n"),
                    stanza("a", "1", "amd64", "Provides: v\nPriority: optional\n"),
                    stanza("c", "1", "amd64", "Provides: v\nPriority: required\n"),
                    stanza("v", "1", "amd64", ""),
                ],
            ),
            ("debian/b", 500, &[stanza("b", "1", "amd64", "Priority: optional\nProvides: v (= 2), v (= 3)\n")]),
        ]);
        let expected = [
            "v 1 amd64 debian/a",
            "c 1 amd64 debian/a as any",
            "a 1 amd64 debian/a as any",
            "b 1 amd64 debian/a as 2",
            "b 1 amd64 debian/a as 3",
        ];
        assert_eq!(shown(&index, "v"), expected);
    }

    #[test]
    fn errors_name_the_suite_and_leave_the_index_as_it_was() {
        let mut index = index(&[("debian/a", 500, &[stanza("x", "1", "amd64", "")])]);
        let good = stanza("y", "1", "amd64", "");
        for (bad, expected) in [
            (good.replace("Size: 1\n", ""), "line 8 (package y): the stanza has no Size"),
            (stanza("y", "1", "amd64", "Provides: a b\n"), "line 8 (package y): Provides has an item"),
        ] {
            let error = index.add("debian/b", 500, format!("{good}{bad}").into_bytes()).unwrap_err();
            assert_eq!(error.to_string(), "the Packages file of debian/b cannot be read");
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.starts_with(expected), "{source}");
            assert_eq!(index.len(), 1);
        }
        assert!(index.add("debian/b", 500, b"Package: \xff".to_vec()).is_err());
        let bare = good.split("SHA256").next().unwrap().as_bytes().to_vec();
        index.add("debian/c", 500, bare).unwrap();
        let error = index.candidates("y")[0].package().unwrap_err();
        assert_eq!(error.to_string(), "debian/c gives no SHA256 for y 1");
        index.add("debian/d", 500, stanza("z", "v1", "all", "").into_bytes()).unwrap();
        let error = index.candidates("z")[0].package().unwrap_err();
        assert_eq!(error.to_string(), "debian/d lists z in a version that is none: \"v1\"");
    }
}
