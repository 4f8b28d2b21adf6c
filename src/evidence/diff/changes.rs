//! What differs, as data: `diff --json`. Fields may be added, none renamed.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::ground::Sha256;

/// What was added, removed and changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lists<T> {
    /// Only on the second side.
    pub added: Vec<T>,
    /// Only on the first side.
    pub removed: Vec<T>,
    /// On both, and not the same.
    pub changed: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { added: Vec::new(), removed: Vec::new(), changed: Vec::new() }
    }
}

impl<T> Lists<T> {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many things differ.
    pub fn len(&self) -> usize {
        self.added.len() + self.removed.len() + self.changed.len()
    }

    /// All of them with their sign.
    pub fn signed(&self) -> impl Iterator<Item = (&'static str, &T)> {
        let signed = |sign, list: &'_ [T]| -> Vec<_> { (0..list.len()).map(|at| (sign, at)).collect() };
        let all = [signed("+", &self.added), signed("-", &self.removed), signed("~", &self.changed)];
        all.into_iter().flatten().filter_map(|(sign, at)| {
            let list = match sign {
                "+" => &self.added,
                "-" => &self.removed,
                _ => &self.changed,
            };
            Some((sign, list.get(at)?))
        })
    }
}

/// Something that both sides must know to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Packages.
    Packages,
    /// Files and all that is read from them.
    Files,
    /// Configs.
    Config,
}

impl Part {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Files => "files",
            Self::Config => "config",
        }
    }
}

/// All that differs between two sides, or between several pairs of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// What the first side is called.
    pub before: String,
    /// What the second side is called.
    pub after: String,
    /// Whether nothing differs of what was compared.
    pub equal: bool,
    /// What was compared.
    pub compared: BTreeSet<Part>,
    /// By name.
    pub packages: Lists<PackageChange>,
    /// By path.
    pub files: Lists<FileChange>,
    /// All in all.
    pub size: Sizes,
    /// Bytes of files by package, where they differ, by name; `None` is what no package brings.
    pub package_sizes: Vec<PackageSize>,
    /// Settings of the config, by name.
    pub config: Lists<Setting>,
    /// Subjects of the CA certificates that programs trust.
    pub certificates: Lists<String>,
    /// Names of time zones.
    pub time_zones: Lists<String>,
    /// Shared libraries by their soname.
    pub libraries: Lists<LibraryChange>,
    /// What the changelogs say between two versions, by source package.
    pub changelogs: Vec<Changelog>,
    /// Where several tiers were compared: each by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<TierChange>,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Of the first side.
    pub before: u64,
    /// Of the second side.
    pub after: u64,
    /// Of what: `files`, each once; or `debs`, where the files are not known.
    pub of: &'static str,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { before: 0, after: 0, of: "files" }
    }
}

/// A package that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Binary package name; `name:architecture` where a side has several of them.
    pub name: String,
    /// Of which architectures, as the comparison knows them.
    pub architectures: BTreeSet<String>,
    /// On the first side.
    pub before: Option<PackageSide>,
    /// On the second side.
    pub after: Option<PackageSide>,
    /// Of the releases between: names of vulnerabilities in the changelog.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub cves: BTreeSet<String>,
}

/// A package on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageSide {
    /// Its version.
    pub version: String,
    /// Bytes of the .deb; of the largest one, where several architectures are told together.
    pub deb_size: Option<u64>,
    /// Bytes of its files on this side.
    pub size: Option<u64>,
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FileChange {
    /// Fit to print.
    pub path: String,
    /// What differs: type, mode, owner, content, link, xattrs. Empty for what is only on one side.
    pub fields: Vec<&'static str>,
    /// On the first side.
    pub before: Option<Facts>,
    /// On the second side.
    pub after: Option<Facts>,
}

/// What is compared of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Facts {
    /// directory, file, symlink, hardlink, special or whiteout.
    pub r#type: &'static str,
    /// Four octal digits.
    pub mode: String,
    /// Numbers: `0:0`.
    pub owner: String,
    /// Of a file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Of a link, fit to print; of a device its kind and number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Names of extended attributes, fit to print, and digests of their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<String>,
    /// Whose it is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// Bytes of a package's files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PackageSize {
    /// The package.
    pub package: Option<String>,
    /// On the first side.
    pub before: u64,
    /// On the second side.
    pub after: u64,
}

/// A setting of the config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Setting {
    /// `user`, `env PATH`, `label x` ...; of a variant with its suffix in front, as in `nonroot: user`.
    pub name: String,
    /// On the first side.
    pub before: Option<String>,
    /// On the second side.
    pub after: Option<String>,
}

/// A library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LibraryChange {
    /// Its soname.
    pub name: String,
    /// Symbol versions that came and went.
    pub added: BTreeSet<String>,
    /// See `added`.
    pub removed: BTreeSet<String>,
}

/// Part of a changelog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changelog {
    /// The source package.
    pub source: String,
    /// The version on the first side.
    pub before: String,
    /// The version on the second side.
    pub after: String,
    /// Which of its binary packages changed so.
    pub packages: BTreeSet<String>,
    /// Names of vulnerabilities in it.
    pub cves: BTreeSet<String>,
    /// The releases after the lower version up to the higher one, the highest first.
    pub releases: Vec<super::Release>,
    /// How many more releases there are than are told.
    pub more: usize,
}

/// One of several tiers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TierChange {
    /// Its name, and the architecture.
    pub tier: String,
    /// Whether it is on the first side.
    pub before: bool,
    /// Whether it is on the second side.
    pub after: bool,
    /// How many packages differ.
    pub packages: usize,
    /// How many paths differ.
    pub files: usize,
    /// Bytes on both sides; of one that is only on one side, of that alone.
    pub size_before: u64,
    /// See `size_before`.
    pub size_after: u64,
    /// Whether nothing differs.
    pub equal: bool,
}
