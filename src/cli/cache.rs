//! `cache`: how large the cache is, what of it can go, whether its downloads are whole.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Answer, surroundings::Session};
use crate::{
    cache::{self, Amount, Rules, Stored},
    evidence::table::{Align, bytes, table},
    ground::printable,
    manifest,
    pipeline::{self, Failures, referred},
};

/// Look after the cache
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Cache {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// How much the cache holds, by kind
    Size,
    /// Remove what is not needed, or not any more
    ///
    /// What killed runs and older versions left goes always. With --unused-for and --unreferenced
    /// goes what both say; --max-size then removes what was not used for the longest time. Nothing
    /// goes while another run uses the cache.
    Prune(Prune),
    /// Hash all downloads again and remove those that are damaged (exit status 1)
    Verify(Verify),
}

#[derive(Args)]
struct Prune {
    /// What was neither written nor read for so long, such as "30 days"
    #[arg(long, value_name = "DURATION", value_parser = manifest::duration)]
    unused_for: Option<Duration>,
    /// What no lock of this project refers to
    #[arg(long)]
    unreferenced: bool,
    /// Until the cache is no larger than this, such as "5 GB"
    #[arg(long, value_name = "SIZE", value_parser = manifest::size)]
    max_size: Option<u64>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct Verify {
    /// Only say which are damaged
    #[arg(long)]
    dry_run: bool,
}

/// What `--json` prints of `size`.
#[derive(Serialize)]
struct Sizes {
    folder: String,
    total: Amount,
    kinds: BTreeMap<String, Amount>,
}

/// What `--json` prints of `prune`.
#[derive(Serialize)]
struct Pruned {
    folder: String,
    dry_run: bool,
    removed: Amount,
    kinds: BTreeMap<String, Amount>,
    left: Amount,
}

/// What `--json` prints of `verify`.
#[derive(Serialize)]
struct Checked {
    folder: String,
    checked: Amount,
    damaged: Vec<String>,
    removed: bool,
}

impl Cache {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        match &self.what {
            What::Size => size(session),
            What::Prune(prune) => prune.run(session),
            What::Verify(verify) => verify.run(session),
        }
    }
}

fn shown(path: &std::path::Path) -> String {
    printable(path.as_os_str().as_encoded_bytes())
}

fn sum(kinds: &BTreeMap<String, Amount>) -> Amount {
    kinds.values().fold(Amount::default(), |sum, one| Amount {
        files: sum.files + one.files,
        bytes: sum.bytes.saturating_add(one.bytes),
    })
}

fn listing(kinds: &BTreeMap<String, Amount>) -> String {
    let row = |(kind, amount): (&String, &Amount)| vec![kind.clone(), amount.files.to_string(), bytes(amount.bytes)];
    let columns = [("kind", Align::Left), ("files", Align::Right), ("size", Align::Right)];
    if kinds.is_empty() { String::new() } else { table(&columns, &kinds.iter().map(row).collect::<Vec<_>>()) }
}

fn size(session: &Session) -> Result<Answer, Failures> {
    let root = session.cache();
    let kinds = cache::amounts(&cache::stored(&root)?);
    let sizes = Sizes { folder: shown(&root), total: sum(&kinds), kinds };
    let text = || {
        format!(
            "{}{}: {} in {} files\n",
            listing(&sizes.kinds),
            sizes.folder,
            bytes(sizes.total.bytes),
            sizes.total.files
        )
    };
    session.reporter.result(&sizes, text).map_err(pipeline::stdout_failed)?;
    Ok(Answer::Yes)
}

impl Prune {
    fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let root = session.cache();
        let referred = if self.unreferenced { Some(referred(&session.global.directory)?) } else { None };
        let keeps = |sort: &cache::Sort| referred.as_ref().is_some_and(|referred| referred.keeps(sort));
        let rules =
            Rules { unused_for: self.unused_for, keeps: self.unreferenced.then_some(&keeps), at_most: self.max_size };
        let since = Duration::try_from(session.surroundings.clock.as_duration()).unwrap_or_default();
        let now = SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH);
        let before = cache::stored(&root)?;
        let choose = |files: Vec<Stored>| cache::to_go(&files, &rules, now);
        let gone = if self.dry_run { choose(before.clone()) } else { cache::remove(&root, choose)? };
        let kinds = cache::amounts(&gone);
        let (all, removed) = (sum(&cache::amounts(&before)), sum(&kinds));
        let left =
            Amount { files: all.files.saturating_sub(removed.files), bytes: all.bytes.saturating_sub(removed.bytes) };
        let pruned = Pruned { folder: shown(&root), dry_run: self.dry_run, removed, kinds, left };
        session.reporter.result(&pruned, || pruned.text()).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }
}

impl Pruned {
    fn text(&self) -> String {
        let verb = if self.dry_run { "would go" } else { "removed" };
        let (gone, left) = (bytes(self.removed.bytes), bytes(self.left.bytes));
        format!("{}{}: {gone} {verb}, {left} left\n", listing(&self.kinds), self.folder)
    }
}

impl Verify {
    fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let root = session.cache();
        let verified = cache::verify(&root, !self.dry_run)?;
        let name = |path: &PathBuf| shown(path.strip_prefix(&root).unwrap_or(path));
        let damaged: Vec<_> = verified.damaged.iter().map(name).collect();
        let removed = !self.dry_run && !damaged.is_empty();
        let checked = Checked { folder: shown(&root), checked: verified.checked, damaged, removed };
        session.reporter.result(&checked, || checked.text()).map_err(pipeline::stdout_failed)?;
        Ok(if checked.damaged.is_empty() { Answer::Yes } else { Answer::No })
    }
}

impl Checked {
    fn text(&self) -> String {
        let what = if self.removed { "damaged, removed" } else { "damaged" };
        let mut text: String = self.damaged.iter().map(|name| format!("{what}: {name}\n")).collect();
        let (files, size) = (self.checked.files, bytes(self.checked.bytes));
        text.push_str(&match self.damaged.len() {
            0 => format!("{files} downloads of {size}, none damaged\n"),
            count => format!("{files} downloads of {size}, {count} damaged\n"),
        });
        text
    }
}
