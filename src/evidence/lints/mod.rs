//! What `check` finds in finished tiers: one file a subject, each lint a function from a composed
//! tier to findings. docs/lints.md says what each means and what to do about it.
//!
//! A lint looks at what its tier adds, not at what the parents brought: each finding is told once,
//! and accepted where it arises.

mod idle;
mod links;
mod modes;
mod omissions;
mod promises;
mod versions;

pub mod libraries;

pub mod scripts;

use serde::Serialize;

use super::{kept_out::Stage, relations::Members};
use crate::{
    compose::ComposeError,
    debian::Architecture,
    ground::{RootPath, Span},
    rootfs::Entry,
};

/// One thing that a lint found in a tier, for one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which lint, such as `dangling-link`.
    pub lint: &'static str,
    /// The path, package or library that it is about; printable.
    pub subject: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What can be done about it.
    pub help: String,
    /// Where in the tier's manifest, if it is about a line of it.
    #[serde(skip)]
    pub span: Option<Span>,
}

/// All that a lint may look at: one tier, composed for one architecture.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The tier's full name.
    pub title: &'a str,
    /// What it is composed for.
    pub architecture: Architecture,
    /// The tier and its ancestors, the root tier first; never empty.
    pub chain: &'a [Stage<'a>],
    /// The packages of the whole chain, and who needs whom.
    pub members: &'a Members,
    /// Dependencies that the lock says nothing meets and no omission declares.
    pub unmet: &'a [String],
    /// What the manifest promises and is not kept: `[limits]`, `[[expect]]`, users of images.
    pub faults: &'a [ComposeError],
    /// What [`libraries::find`] found in the tier, and not in its parent.
    pub libraries: &'a [Finding],
}

impl<'a> Subject<'a> {
    /// The tier itself.
    pub fn stage(&self) -> Stage<'a> {
        *self.chain.last().expect("a chain holds its tier")
    }

    /// The tier's parent, if it has one.
    pub fn parent(&self) -> Option<Stage<'a>> {
        self.chain.len().checked_sub(2).and_then(|at| self.chain.get(at)).copied()
    }

    /// What this tier adds to its parent's tree, or has otherwise than its parent.
    pub fn own(&self) -> impl Iterator<Item = (&'a RootPath, &'a Entry)> {
        let ground = self.stage().composed.ground();
        let parent = self.parent().map(|parent| &parent.composed.rootfs).or(ground);
        let before = move |path| parent.and_then(|parent| parent.get(path));
        let entries = self.stage().composed.rootfs.entries.iter();
        entries.filter(move |(path, entry)| !before(*path).is_some_and(|before| before.same_as(entry)))
    }
}

/// One lint.
pub struct Lint {
    /// Its name, in words joined by `-`.
    pub name: &'static str,
    /// What it finds, in one line.
    pub doc: &'static str,
    /// Whether a finding only counts where it holds on every architecture that is looked at: a line of
    /// a manifest may be meant for one of them.
    pub everywhere: bool,
    /// Looks. Findings carry the lint's name.
    pub find: fn(&Subject<'_>) -> Vec<Finding>,
}

const fn lint(name: &'static str, doc: &'static str, find: fn(&Subject<'_>) -> Vec<Finding>) -> Lint {
    Lint { name, doc, everywhere: false, find }
}

const fn line(name: &'static str, doc: &'static str, find: fn(&Subject<'_>) -> Vec<Finding>) -> Lint {
    Lint { name, doc, everywhere: true, find }
}

/// All of them, by name. One in a file of its own is a row here and a heading of docs/lints.md.
pub static LINTS: &[Lint] = &[
    lint("dangling-link", "a symbolic link that leads nowhere", links::find),
    lint("expectation", "an [[expect]] that is not met", promises::expectations),
    line("idle-allow-missing", "an `allow-missing` of a library that no file lacks", libraries::allowances),
    line("idle-glob", "a glob that matches nothing, or globs for a package that is not there", idle::globs),
    line("idle-omission", "an omission that omits nothing", idle::omissions),
    lint("idle-wish", "a wished package of a linked tier that brings nothing", idle::wishes),
    lint("image-user", "a user or group of an image that the tier does not have", promises::image_users),
    lint("limit", "a bound of [limits] that is exceeded", promises::limits),
    lint("malformed-elf", "a file that begins as an ELF file and could not be loaded", libraries::malformed),
    lint(
        "missing-library",
        "a library or interpreter that a file needs and the tier does not have",
        libraries::missing,
    ),
    lint("missing-version", "a symbol version that a file needs and its library does not have", libraries::versions),
    lint("privileged-file", "a setuid or setgid file, or one with capabilities", modes::privileged),
    lint("scripts", "a maintainer script whose effect the tier lacks", scripts::find),
    lint("two-versions", "one package or source package in two versions in one chain", versions::find),
    lint("undeclared-omission", "a dependency that nothing meets and no `omit` declares", omissions::find),
    lint("unused-library", "a package of libraries that nothing in the tier loads", libraries::unused),
    lint("world-writable", "a file or directory that everyone may write", modes::world_writable),
];

/// Findings about a project rather than a tier: name and what it finds.
pub static OTHERS: [(&str, &str); 2] = [
    (IDLE_ACCEPTANCE, "an [[accept]] that accepts nothing"),
    (STALE_LOCK, "a lock that does not fit its manifests; the tiers are then not looked at"),
];

/// An acceptance that accepts nothing.
pub const IDLE_ACCEPTANCE: &str = "idle-acceptance";
/// A lock that does not fit.
pub const STALE_LOCK: &str = "stale-lock";
