//! `diff`: two things are found out by their names, gathered and compared: tiers, distributions, locks, layers,
//! images, revisions of the project folder. docs/diff.md says what each name means.

mod books;
mod images;
mod operand;
mod revision;
mod tiers;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use miette::Diagnostic;

pub(super) use books::upgraded;

use self::{
    books::Books,
    operand::{Operand, Sought},
};
use super::{Failures, Workshop};
use crate::{
    debian::Architecture,
    evidence::diff::{Changes, Part, Side, TierChange, Which, compare, merge},
    ground::{Class, Failure},
    image::{reference::Reference, registry},
};

/// What is to be compared.
pub struct DiffOptions<'a> {
    /// What it was.
    pub before: String,
    /// What it is; none: the project as it is now, and `before` is a revision of it.
    pub after: Option<String>,
    /// Architectures by name, as `--arch` has them.
    pub architectures: Vec<String>,
    /// Of this machine.
    pub host: Option<Architecture>,
    /// Whether files of tiers are compared, for which their packages are needed; else packages and configs.
    pub files: bool,
    /// The project folder.
    pub root: PathBuf,
    /// Where folders for the time of the comparison go.
    pub scratch: PathBuf,
    /// Opens the project in `root`, or in another folder.
    pub open: &'a dyn Fn(Option<&Path>) -> Result<Workshop, Failures>,
    /// How a registry is spoken to.
    pub registry: &'a dyn Fn(&Reference) -> Result<registry::Settings, Failures>,
}

/// What cannot be compared.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum OperandError {
    #[error("{0:?} is no revision of the project folder")]
    #[diagnostic(
        code(debstrata::diff::revision),
        help(
            "with one name, diff compares a revision that git knows (HEAD~1, a tag, a branch) with the project as it is; \
             else name two things"
        )
    )]
    Revision(String),
    #[error("git cannot be asked for {revision}: {why}")]
    #[diagnostic(
        code(debstrata::diff::git),
        help("revisions are read by the program git: install it, and run debstrata in a repository")
    )]
    Git { revision: String, why: String },
    #[error("the revision {revision} has more than {limit} {what} below manifests/")]
    #[diagnostic(
        code(debstrata::diff::large_revision),
        help("check it out into a folder of its own, build there, and compare the layers")
    )]
    LargeRevision { revision: String, what: &'static str, limit: u64 },
    #[error("{before} and {after} have nothing that can be compared")]
    #[diagnostic(
        code(debstrata::diff::nothing_common),
        help("a lock knows packages alone; a layer knows packages where dpkg's lists are in it")
    )]
    NothingCommon { before: String, after: String },
    #[error("{several} stands for {count} tiers, and {other} for {of_other}: it is not clear which go together")]
    #[diagnostic(
        code(debstrata::diff::pairs),
        help("name one tier, such as debian13/cc, or two distributions; --arch names one architecture")
    )]
    Pairs { several: String, count: usize, other: String, of_other: usize },
    #[error("{0} cannot be read")]
    #[diagnostic(code(debstrata::diff::read), help("see what the system says"))]
    Read(String, #[source] std::io::Error),
    #[error("{path} is an archive of an image that is not read here: {why}")]
    #[diagnostic(code(debstrata::diff::archive), help("{help}"))]
    Archive { path: String, why: String, help: &'static str },
    #[error("{path} changed while it was read, or is damaged: its digest is not {digest}")]
    #[diagnostic(code(debstrata::diff::digest), help("copy or build it again"))]
    Digest { path: String, digest: String },
    #[error("{0} does not exist")]
    #[diagnostic(code(debstrata::diff::absent), help("see `debstrata diff --help` for what can be named"))]
    Absent(String),
}

impl Failure for OperandError {
    fn class(&self) -> Class {
        match self {
            Self::Read(..) => Class::World,
            _ => Class::User,
        }
    }
}

/// One thing of an operand, ready to be compared.
struct Unit<'a> {
    /// Units of both operands with the same key go together.
    key: String,
    side: Side,
    books: Books<'a>,
}

/// Compares two things.
///
/// # Errors
/// A name that stands for nothing, what cannot be read or composed, and sides that have nothing in common.
pub fn diff(options: &DiffOptions<'_>) -> Result<Changes, Failures> {
    let found = operand::find(options)?;
    let (before, after) = (&found.before, &found.after);
    let same = match (before, after) {
        (Operand::Tiers(before), Operand::Tiers(after)) if before.units.len() > 1 => {
            unchanged(&tiers::recipes(before)?, &tiers::recipes(after)?)
        }
        _ => BTreeSet::new(),
    };
    let sought = Sought { architecture: found.architecture, files: options.files, same: &same };
    let (old, new) = rayon::join(|| before.gather(&sought), || after.gather(&sought));
    let mut gathered = Failures::gather([old, new])?;
    let new = gathered.pop().unwrap_or_default();
    let old = gathered.pop().unwrap_or_default();
    let (old_name, new_name) = (before.name(), after.name());
    let one = |was: &Unit<'_>, is: &Unit<'_>| {
        let mut changes = compare(&was.side, &is.side, &|which, package, low, high| match which {
            Which::Before => was.books.told(&was.side, package, low, high),
            Which::After => is.books.told(&is.side, package, low, high),
        });
        if same.contains(&was.key) && was.key == is.key {
            changes.compared.insert(Part::Files);
        }
        changes
    };
    if let ([was], [is]) = (&*old, &*new) {
        let changes = one(was, is);
        return common(changes);
    }
    // A tier that only one of two distributions has is told; a layer beside a distribution is a mistake.
    let many = |operand: &Operand, units: &[Unit<'_>]| units.len() > 1 || operand.is_whole();
    if !many(before, &old) || !many(after, &new) {
        let wrong = |several: &str, count, other: &str, of_other| OperandError::Pairs {
            several: several.to_owned(),
            count,
            other: other.to_owned(),
            of_other,
        };
        return Err(match old.len() > new.len() {
            true => wrong(&old_name, old.len(), &new_name, new.len()),
            false => wrong(&new_name, new.len(), &old_name, old.len()),
        }
        .into());
    }
    let (mut pairs, mut lonely) = (Vec::new(), Vec::new());
    let partner = |units: &'_ [Unit<'_>], key: &str| units.iter().position(|unit| unit.key == key);
    for was in &old {
        match partner(&new, &was.key).and_then(|at| new.get(at)) {
            Some(is) => pairs.push((was.key.clone(), one(was, is))),
            None => lonely.push(alone(was, true)),
        }
    }
    lonely.extend(new.iter().filter(|is| partner(&old, &is.key).is_none()).map(|is| alone(is, false)));
    common(merge(&old_name, &new_name, pairs, lonely))
}

/// What is the same on both sides by its recipe.
fn unchanged(before: &tiers::Recipes, after: &tiers::Recipes) -> BTreeSet<String> {
    before.iter().filter(|(key, recipe)| after.get(*key) == Some(*recipe)).map(|(key, _)| key.clone()).collect()
}

fn common(changes: Changes) -> Result<Changes, Failures> {
    if changes.compared.is_empty() && changes.tiers.is_empty() {
        return Err(OperandError::NothingCommon { before: changes.before, after: changes.after }.into());
    }
    Ok(changes)
}

fn alone(unit: &Unit<'_>, before: bool) -> TierChange {
    let debs = || unit.side.packages.iter().flatten().filter_map(|package| Some(package.deb?.0)).sum();
    let size = unit.side.tree.as_ref().map_or_else(debs, |tree| tree.size());
    TierChange {
        tier: unit.key.clone(),
        before,
        after: !before,
        packages: unit.side.packages.as_ref().map_or(0, Vec::len),
        files: unit.side.tree.as_ref().map_or(0, |tree| tree.entries.len()),
        size_before: if before { size } else { 0 },
        size_after: if before { 0 } else { size },
        equal: false,
    }
}
