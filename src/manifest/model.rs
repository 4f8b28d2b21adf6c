//! The typed form of `archive.toml` and of a tier's manifest. docs/manifest.md describes each key.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Checks, ForeignBase, Image, Overlaid, Variant};
use crate::{
    debian::{Architecture, Relation},
    ground::{RootPath, Sha256, Source, Span, Spanned},
};

/// Everything below `manifests/`.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project folder.
    pub root: PathBuf,
    /// By name.
    pub distributions: Vec<Distribution>,
}

/// One folder below `manifests/`.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// The folder's name, such as `debian13`.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// Its `archive.toml`.
    pub archive: Archive,
    /// Parents before children, otherwise by name; then those that stand for overlays
    /// (`Tier::stands_for`). `Tier::parent` indexes this list.
    pub tiers: Vec<Tier>,
}

/// `archive.toml`.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The file.
    pub source: Source,
    /// One line for people.
    pub summary: String,
    /// What tiers can be composed for.
    pub architectures: Vec<Spanned<Architecture>>,
    /// The mtime of every entry, in seconds since 1970 (0..=0o77777777777, the range of a tar header).
    pub timestamp: u64,
    /// Whether /bin, /lib ... are links into /usr.
    pub merged_usr: bool,
    /// In the order of the file.
    pub sources: Vec<ArchiveSource>,
}

/// One `[[sources]]`.
#[derive(Debug, Clone)]
pub struct ArchiveSource {
    /// The whole table's head.
    pub span: Span,
    /// How lock and messages call it, unique in the distribution: `snapshot`'s value, else the last
    /// part of the first URI's path, else `source-N`.
    pub name: String,
    /// As in apt's `Suites`.
    pub suites: Vec<Spanned<String>>,
    /// As in apt's `Components`.
    pub components: Vec<Spanned<String>>,
    /// The keyring; `None` only together with `allow_unsigned`.
    pub signed_by: Option<Keyring>,
    /// The archive's name at the snapshot service, and for `--mirror`.
    pub snapshot: Option<Spanned<String>>,
    /// Mirrors to use instead of the host's.
    pub uris: Vec<Spanned<String>>,
    /// Everything of this source as it was at this moment.
    pub snapshot_at: Option<Spanned<Timestamp>>,
    /// How old a Release may be, with or without a Valid-Until.
    pub max_age: Option<Spanned<Duration>>,
    /// Only for these; `None`: for all of the archive's.
    pub architectures: Option<Vec<Spanned<Architecture>>>,
    /// A higher one wins over any version of a lower one; default 500.
    pub priority: i32,
    /// Accept metadata that nobody signed.
    pub allow_unsigned: bool,
    /// Accept metadata past its Valid-Until.
    pub allow_expired: bool,
    /// In place of all that a repository has: the .debs of a folder.
    pub folder: Option<DebFolder>,
}

/// A folder of .debs on this machine.
#[derive(Debug, Clone)]
pub struct DebFolder {
    /// Where it is.
    pub path: PathBuf,
    /// What `folder` says, and where.
    pub written: Spanned<String>,
}

/// A file of public keys beside the manifests.
#[derive(Debug, Clone)]
pub struct Keyring {
    /// Where it is.
    pub path: PathBuf,
    /// What `signed-by` says, and where.
    pub written: Spanned<String>,
    /// Its bytes, armoured or binary.
    pub bytes: Arc<[u8]>,
}

/// One tier's manifest.
#[derive(Debug, Clone)]
pub struct Tier {
    /// The file.
    pub source: Source,
    /// The file's stem.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Index of the parent in `Distribution::tiers`, and where it is named.
    pub parent: Option<Spanned<usize>>,
    /// In place of a parent: an image that others made.
    pub base: Option<ForeignBase>,
    /// What it asks for.
    pub packages: Vec<Wish>,
    /// Which dependencies follow.
    pub dependencies: Dependencies,
    /// Dependencies that are left out on purpose.
    pub omit: Vec<Omission>,
    /// Libraries that may be missing (with `Dependencies::Linked`, and for lints).
    pub allow_missing: Vec<Missing>,
    /// Maintainer scripts that need no handling.
    pub allow_scripts: Vec<Omission>,
    /// Which files of packages are kept.
    pub globs: Globs,
    /// `[[users]]`
    pub users: Vec<User>,
    /// `[[groups]]`
    pub groups: Vec<Group>,
    /// `[[directories]]`
    pub directories: Vec<Directory>,
    /// `[[symlinks]]`
    pub symlinks: Vec<Symlink>,
    /// `[[files]]`
    pub files: Vec<File>,
    /// `[[archives]]`
    pub archives: Vec<Tarball>,
    /// `[generate]`
    pub generate: Generate,
    /// `[image]`
    pub image: Image,
    /// `[variants]`, by name.
    pub variants: Vec<Variant>,
    /// `[limits]`, `[[expect]]`, `[[accept]]`
    pub checks: Checks,
    /// `None`: for itself, a file of its own. Else for another tier with an overlay on top.
    pub stands_for: Option<Overlaid>,
}

/// One entry of `packages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What is wished for.
    pub relation: Relation,
    /// Where.
    pub span: Span,
}

/// `dependencies = ...`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dependencies {
    /// Pre-Depends and Depends.
    #[default]
    All,
    /// Only what `packages` names.
    None,
    /// Of all, what kept files really need.
    Linked,
}

/// One entry of `omit` or `allow-scripts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    /// The package (or the virtual one) that is not followed; whose scripts are accepted.
    pub package: Spanned<String>,
    /// Why, for readers and reports.
    pub reason: String,
}

/// One entry of `allow-missing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// As files ask for it, such as `libfoo.so.1`.
    pub library: Spanned<String>,
    /// Why, for readers and reports.
    pub reason: String,
}

/// Which paths of packages are kept.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    /// For packages with no rule of their own.
    pub tier: GlobRule,
    /// `[globs.package.NAME]`: replaces the tier's rule.
    pub packages: BTreeMap<String, Spanned<GlobRule>>,
}

/// Kept = some include matches and no exclude does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobRule {
    /// Default: `/**`.
    pub include: Vec<Spanned<Glob>>,
    /// Default: none.
    pub exclude: Vec<Spanned<Glob>>,
}

impl Default for GlobRule {
    fn default() -> Self {
        Self { include: vec![Spanned::new(Glob("/**".into()), 0..0)], exclude: Vec::new() }
    }
}

/// A glob whose syntax was checked: absolute; `*` and `?` stay inside a name, `**` crosses folders,
/// `[a-z]`, `{a,b}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(pub Box<str>);

/// `[[users]]`; passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Where.
    pub span: Span,
    /// Login name.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric primary group id.
    pub gid: u32,
    /// Comment field; empty by default.
    pub gecos: String,
    /// Home directory; `None` where the manifest gives none (then `/nonexistent`, and none is made).
    pub home: Option<RootPath>,
    /// The home's mode; default 0o700.
    pub home_mode: u16,
    /// Default `/sbin/nologin`.
    pub shell: String,
}

/// `[[groups]]`; group(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Where.
    pub span: Span,
    /// Its name.
    pub name: String,
    /// Numeric group id.
    pub gid: u32,
    /// Login names.
    pub members: Vec<String>,
}

/// Who owns a declared path: a number, or the name of a user or group of the tier's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// Numeric user id (names are resolved when the manifest is read).
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
}

/// `[[directories]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub path: Spanned<RootPath>,
    /// Twelve bits; default 0o755.
    pub mode: u16,
    /// Default 0:0.
    pub owner: Ownership,
}

/// `[[symlinks]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symlink {
    /// Where it is.
    pub path: Spanned<RootPath>,
    /// As it is stored.
    pub target: String,
}

/// `[[files]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: Spanned<RootPath>,
    /// What it holds.
    pub content: FileContent,
    /// Twelve bits; default 0o644.
    pub mode: u16,
    /// Default 0:0.
    pub owner: Ownership,
}

/// `[[archives]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tarball {
    /// Where.
    pub span: Span,
    /// Where it can be had, tried in order; one at least.
    pub uris: Vec<TarballPlace>,
    /// Of the file.
    pub sha256: Sha256,
    /// Its bytes at most.
    pub size: Option<u64>,
    /// Leading names that its entries lose.
    pub strip_components: u32,
    /// Where what is left goes; default: the root.
    pub prefix: RootPath,
    /// Which final paths are kept.
    pub globs: GlobRule,
}

/// Where a tarball can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarballPlace {
    /// http, https or file.
    Uri(String),
    /// A file on this machine, beside the manifest.
    Beside(PathBuf),
}

/// What a declared file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// `text`
    Text(Arc<str>),
    /// `source`: a file on this machine, read when the tier is composed.
    Beside(PathBuf),
}

/// `[generate]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generate {
    /// `/etc/ssl/certs/ca-certificates.crt` of the package ca-certificates; `None`: the bundle where the
    /// package is among the tier's own.
    pub ca_certificates: Option<Spanned<CaCertificates>>,
    /// `/usr/lib/os-release`, the fields in the order of the manifest.
    pub os_release: Option<Spanned<Vec<(String, String)>>>,
    /// `/var/lib/dpkg/status.d`; on by default.
    pub dpkg_status: bool,
    /// `/etc/ld.so.cache`; the span is the key's.
    pub ld_so_cache: Option<Span>,
    /// `/etc/ssl/certs/java/cacerts`; `None`: where ca-certificates-java is among the tier's own packages.
    pub java_keystore: Option<Spanned<bool>>,
    /// Locales below `/usr/lib/locale` that are kept.
    pub locales: Option<Vec<Spanned<String>>>,
    /// `/etc/localtime` and `/etc/timezone`.
    pub timezone: Option<Spanned<String>>,
    /// Links of update-alternatives; on by default.
    pub alternatives: bool,
    /// Users and groups that packages make; on by default.
    pub sysusers: bool,
    /// Directories and links of tmpfiles.d; on by default.
    pub tmpfiles: bool,
    /// Files and directories that scripts make; on by default.
    pub scripts: bool,
}

/// `generate.ca-certificates`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaCertificates {
    /// None.
    Off,
    /// One file.
    Bundle,
    /// One file, and links by name and by OpenSSL's hash of the subject.
    Hashed,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            ca_certificates: None,
            os_release: None,
            dpkg_status: true,
            java_keystore: None,
            locales: None,
            timezone: None,
            alternatives: true,
            sysusers: true,
            tmpfiles: true,
            scripts: true,
            ld_so_cache: None,
        }
    }
}

impl Distribution {
    /// The tier of this name, as an index into `tiers`.
    pub fn tier(&self, name: &str) -> Option<usize> {
        self.tiers.iter().position(|tier| tier.name == name)
    }

    /// A tier and its ancestors, the root tier first.
    pub fn chain(&self, tier: usize) -> Vec<usize> {
        chain(&self.tiers, tier)
    }
}

/// As [`Distribution::chain`], among these tiers.
pub(super) fn chain(tiers: &[Tier], tier: usize) -> Vec<usize> {
    let parent = |tier: &usize| tiers[*tier].parent.as_ref().map(|parent| parent.value);
    let mut chain: Vec<_> = std::iter::successors(Some(tier), parent).collect();
    chain.reverse();
    chain
}
