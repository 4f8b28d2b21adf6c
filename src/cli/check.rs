//! `check`: manifests, locks and lints.

use clap::Args;

use super::{Answer, report::opt_outs, surroundings::Session};
use crate::{
    evidence::lints::{LINTS, OTHERS},
    pipeline::{self, Checked, Failures, Found},
};

/// Judge manifests, locks and finished tiers, writing nothing.
#[derive(Args)]
#[command(after_help = format!("{}\n\n{}", lints(), super::EXIT_STATUS))]
pub(super) struct Check {
    /// debian13/cc, cc for every distribution that has one, or debian13 for all of it [default: all]
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// For which architecture; `all` for all of the archive's [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
}

impl Check {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let workshop = session.workshop()?;
        let mut picks =
            pipeline::select(&workshop.project, workshop.asked(&self.tiers), &self.architectures, session.host())?;
        if self.tiers.is_empty() {
            picks = pipeline::with_overlays(&workshop.project, picks);
        }
        let checked = pipeline::check(&workshop, &picks)?;
        let verbose = session.global.verbose;
        session.reporter.result(&checked, || text(&checked, verbose)).map_err(pipeline::stdout_failed)?;
        Ok(if checked.clean { Answer::Yes } else { Answer::No })
    }
}

fn lints() -> String {
    let each = LINTS.iter().map(|lint| (lint.name, lint.doc)).chain(OTHERS);
    let lines: String = each.map(|(name, doc)| format!("  {name:<20} {doc}\n")).collect();
    format!("Lints (see docs/lints.md; [[accept]] in a tier accepts a finding):\n{}", lines.trim_end())
}

fn text(checked: &Checked, verbose: bool) -> String {
    let mut text = grouped(&checked.findings);
    if verbose && !checked.accepted.is_empty() {
        text.push_str("accepted:\n");
        text.push_str(&grouped(&checked.accepted));
    }
    let looked = match checked.tiers {
        1 => "1 tier".to_owned(),
        count => format!("{count} tiers"),
    };
    let mut summary = match checked.findings.len() {
        0 => format!("nothing found in {looked}"),
        1 => format!("1 finding in {looked}"),
        count => format!("{count} findings in {looked}"),
    };
    if !checked.accepted.is_empty() {
        summary.push_str(&format!(", {} accepted", checked.accepted.len()));
    }
    text + &summary + "\n" + &opt_outs(&checked.opt_outs)
}

fn grouped(findings: &[Found]) -> String {
    let mut text = String::new();
    for group in findings.chunk_by(|one, other| (&one.tier, &one.architectures) == (&other.tier, &other.architectures))
    {
        let Some(first) = group.first() else { continue };
        let architectures: Vec<_> = first.architectures.iter().map(|architecture| architecture.name()).collect();
        text.push_str(&format!("{} ({})\n", first.tier, architectures.join(" ")));
        group.iter().for_each(|found| text.push_str(&one(found)));
        text.push('\n');
    }
    text
}

fn one(found: &Found) -> String {
    let finding = &found.finding;
    let mut text = format!("  {} {}\n    {}\n", finding.lint, finding.subject, finding.message);
    if let (Some(file), Some(line)) = (&found.file, found.line) {
        let quote = found.quote.as_deref().unwrap_or_default();
        text.push_str(&format!("    {file}:{line}: {quote}\n"));
    }
    match &found.reason {
        Some(reason) => text.push_str(&format!("    accepted: {reason}\n")),
        None => text.push_str(&format!("    help: {}\n", finding.help)),
    }
    text
}
