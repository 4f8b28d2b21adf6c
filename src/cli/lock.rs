//! `lock`: resolve packages and write debstrata.lock.

use clap::Args;

use super::{
    Answer,
    report::{opt_outs, saved},
    surroundings::{Session, UsageError},
};
use crate::{
    evidence::{changes, diff::changelogs_text},
    pipeline::{self, Failures, LockOptions, Locked, Upgrade},
};

/// Lines of changelogs that are shown.
const MOST_LINES: usize = 60;

/// Resolve packages and write debstrata.lock.
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Lock {
    /// Which distributions [default: all]
    #[arg(value_name = "DIST")]
    distributions: Vec<String>,
    /// Take newer versions of these packages, or of all where none is named; says what changes.
    /// Distributions come first: `lock debian13 --upgrade tzdata`
    #[arg(long, value_name = "PACKAGE", num_args = 0.., value_delimiter = ',')]
    upgrade: Option<Vec<String>>,
    /// Only say whether the lock fits the manifests (exit status 1 where not), writing nothing
    #[arg(long, conflicts_with = "upgrade")]
    check: bool,
    /// Resolve for these architectures alone [default: all of the archive's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
    /// Accept a Release older than the one seen before
    #[arg(long)]
    allow_older: bool,
}

impl Lock {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        if session.global.bundle.is_some() && !self.check {
            let help =
                "lock the project that the bundle was made of, and make it anew; `lock --check` looks at its lock";
            return Err(UsageError::new("a bundle cannot be locked", help).into());
        }
        let workshop = session.workshop()?;
        let mut names = self.distributions.clone();
        let upgrade = match &self.upgrade {
            None => Upgrade::Nothing,
            Some(words) => {
                let (upgrade, distributions) = Upgrade::of_words(&workshop.project, words)?;
                names.extend(distributions);
                upgrade
            }
        };
        let distributions = pipeline::select_distributions(&workshop.project, &names)?;
        if self.check {
            return self.check(session, &workshop, &distributions);
        }
        let architectures = pipeline::select_architectures(&self.architectures)?;
        let options = LockOptions { upgrade, allow_older: self.allow_older, architectures, try_others: false };
        let locked = pipeline::lock(&workshop, &distributions, &options)?;
        session.reporter.result(&locked, || text(&locked)).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }

    fn check(
        &self,
        session: &Session,
        workshop: &pipeline::Workshop,
        distributions: &[usize],
    ) -> Result<Answer, Failures> {
        let stale = pipeline::check_lock(workshop, distributions)?;
        let text = || {
            let lines = stale.iter().map(|stale| format!("{}: {}\n", stale.lock, stale.why));
            if stale.is_empty() { "every lock fits its manifests\n".to_owned() } else { lines.collect() }
        };
        session.reporter.result(&stale, text).map_err(pipeline::stdout_failed)?;
        Ok(if stale.is_empty() { Answer::Yes } else { Answer::No })
    }
}

fn text(locked: &[Locked]) -> String {
    let mut text: String = locked
        .iter()
        .map(|locked| match (locked.written, locked.changes.is_empty()) {
            (false, _) => format!("{}: nothing to change\n", locked.lock),
            (true, true) => format!("{}: written, no package changes\n", locked.lock),
            (true, false) => format!(
                "{}: written\n{}{}",
                locked.lock,
                changes::table(&locked.changes),
                changelogs_text(&locked.changelogs, MOST_LINES)
            ),
        })
        .collect();
    let linked = locked.iter().flat_map(|locked| {
        let titled = |(tier, architecture, saved): &(String, _, _)| {
            (format!("{}/{tier}", locked.distribution), *architecture, *saved)
        };
        locked.saved.iter().map(titled)
    });
    text.push_str(&saved(linked));
    text.push_str(&opt_outs(locked.iter().flat_map(|locked| &locked.opt_outs)));
    text
}
