//! `bundle`: all that a build needs, in one file.

use std::path::PathBuf;

use clap::Args;

use super::{Answer, surroundings::Session};
use crate::{
    evidence::table::bytes,
    pipeline::{self, Failures},
};

/// Write a project, its lock and all downloads that a build needs into one file, for `--bundle`.
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Bundle {
    /// debian13/cc, or cc for every distribution that has one [default: all]; parents come along
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// For which architecture; `all` for all of the archive's [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
    /// Where the bundle goes [default: out/bundle.tar in the project folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Bundle {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let workshop = session.workshop()?;
        let picks =
            pipeline::select(&workshop.project, workshop.asked(&self.tiers), &self.architectures, session.host())?;
        let output = self.output.clone().unwrap_or_else(|| session.global.directory.join("out/bundle.tar"));
        let bundled = pipeline::bundle(&workshop, &picks, &output)?;
        let text = || {
            format!(
                "{}: {} files, {} downloads, {}\nsha256:{}\n",
                bundled.path.display(),
                bundled.files,
                bundled.downloads,
                bytes(bundled.size),
                bundled.sha256
            )
        };
        session.reporter.result(&bundled, text).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }
}
