//! `audit`: rebuild from the lock and compare.

use std::path::PathBuf;

use clap::Args;

use super::{Answer, report::opt_outs, surroundings::Session};
use crate::{
    evidence::verdict::Verdict,
    pipeline::{self, Failures},
};

/// Rebuild from the lock, into nothing, and compare with what it records.
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Audit {
    /// debian13/cc, cc for every distribution that has one, or debian13 for all of it [default: all]; parents come along
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// For which architecture; `all` for all of the archive's [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
    /// Also compare with the layers in this folder of outputs
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
}

impl Audit {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        // Nothing derived by an earlier run is trusted. Downloads are taken from the cache, as each is
        // hashed while it is read.
        let workshop = session.fresh_workshop()?;
        let mut picks = pipeline::select(&workshop.project, &self.tiers, &self.architectures, session.host())?;
        if self.tiers.is_empty() {
            picks = pipeline::with_overlays(&workshop.project, picks);
        }
        let verdict = pipeline::audit(&workshop, &picks, self.against.as_deref())?;
        session.reporter.result(&verdict, || text(&verdict)).map_err(pipeline::stdout_failed)?;
        Ok(if verdict.equal { Answer::Yes } else { Answer::No })
    }
}

fn text(verdict: &Verdict) -> String {
    let mut text: String = verdict
        .differences
        .iter()
        .map(|difference| {
            format!(
                "{} {}: {}\n  expected {}\n  found    {}\n",
                difference.tier, difference.architecture, difference.cause, difference.expected, difference.found
            )
        })
        .collect();
    text.push_str(&match verdict.differences.len() {
        0 => format!("equal: {} layers rebuilt from the lock\n", verdict.layers),
        count => format!("{count} differences in {} layers\n", verdict.layers),
    });
    text + &opt_outs(&verdict.opt_outs)
}
