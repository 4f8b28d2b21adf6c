//! `audit`: rebuild from the lock and compare.

use std::path::PathBuf;

use clap::Args;

use super::{
    Answer,
    report::opt_outs,
    surroundings::{Session, UsageError},
};
use crate::{
    evidence::verdict::{Difference, Verdict, Word},
    image::reference::Reference,
    pipeline::{self, Against, AuditOptions, Failures},
};

/// Differences that people are shown.
const SHOWN: usize = 50;

/// Rebuild from the lock, into nothing, and compare with what it records.
///
/// With --against also with layers that somebody has, byte by byte: which entry, which field and which
/// byte differ, and what most likely made it so (docs/audit.md).
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Audit {
    /// debian13/cc, cc for every distribution that has one, or debian13 for all of it [default: all]; parents come along
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// For which architecture; `all` for all of the archive's [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
    /// Also compare with this folder of outputs, layer, docker archive or OCI layout, or with an image
    /// of a registry
    #[arg(long, value_name = "PATH|REFERENCE")]
    against: Option<String>,
    /// Compare the merged trees of images, whatever their layers, times and names' prefixes
    #[arg(long, requires = "against")]
    parity: bool,
    /// Another compression of the same tar is no difference
    #[arg(long, requires = "against")]
    content: bool,
    /// Plain HTTP; a registry on this machine without TLS needs no asking
    #[arg(long, requires = "against")]
    plain_http: bool,
}

impl Audit {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        // Nothing derived by an earlier run is trusted. Downloads are taken from the cache, as each is
        // hashed while it is read.
        let workshop = session.fresh_workshop()?;
        let mut picks =
            pipeline::select(&workshop.project, workshop.asked(&self.tiers), &self.architectures, session.host())?;
        if self.tiers.is_empty() {
            picks = pipeline::with_overlays(&workshop.project, picks);
        }
        let against = self.against.as_deref().map(|text| self.against(session, text)).transpose()?;
        let options = AuditOptions { against, parity: self.parity, content: self.content };
        let verdict = pipeline::audit(&workshop, &picks, &options)?;
        session.reporter.result(&verdict, || text(&verdict)).map_err(pipeline::stdout_failed)?;
        Ok(if verdict.equal { Answer::Yes } else { Answer::No })
    }
}

impl Audit {
    /// A path where there is something; else a reference, where it is one.
    fn against(&self, session: &Session, text: &str) -> Result<Against, Failures> {
        let path = PathBuf::from(text);
        let reference = match path.exists() {
            true => None,
            false => text.parse::<Reference>().ok(),
        };
        let Some(reference) = reference else { return Ok(Against::Path(path)) };
        if session.global.offline {
            let help = "compare without --offline, or name a layout";
            return Err(
                UsageError::new(format!("there is no {text}, and --offline forbids asking a registry"), help).into()
            );
        }
        let settings = session.registry_settings(&reference, self.plain_http)?;
        Ok(Against::Registry(reference, Box::new(settings)))
    }
}

fn text(verdict: &Verdict) -> String {
    let mut text = String::new();
    let mut last = None;
    for difference in verdict.differences.iter().take(SHOWN) {
        let layer = (&difference.tier, difference.architecture, &difference.layer);
        if last != Some(layer) {
            if let (tier, architecture, Some(name)) = layer {
                text.push_str(&format!("{tier} {architecture}, {name}\n"));
            }
            last = Some(layer);
        }
        text.push_str(&one(difference));
    }
    let more = verdict.count.saturating_sub(verdict.differences.len().min(SHOWN) as u64);
    if more > 0 {
        text.push_str(&format!("and {more} more: --json lists them\n"));
    }
    for summary in &verdict.summaries {
        text.push_str(&format!("{} {}, {}: {}\n", summary.tier, summary.architecture, summary.layer, summary.text));
    }
    let layers = |count: usize| if count == 1 { "1 layer".to_owned() } else { format!("{count} layers") };
    text.push_str(&match (verdict.verdict, verdict.count) {
        _ if verdict.equal => {
            let compared = match verdict.compared {
                0 => String::new(),
                1 => ", 1 given layer compared".to_owned(),
                count => format!(", {count} given layers compared"),
            };
            format!("equal: {} layers rebuilt from the lock{compared}\n", verdict.layers)
        }
        (Word::Recompressed, count) => {
            format!("equal content in another compression: {} of {count} compared\n", layers(count as usize))
        }
        (_, 1) => format!("1 difference in {}\n", layers(verdict.layers)),
        (_, count) => format!("{count} differences in {}\n", layers(verdict.layers)),
    });
    text + &opt_outs(&verdict.opt_outs)
}

fn one(difference: &Difference) -> String {
    let finding = &difference.finding;
    let mut text = match (&finding.entry, &difference.layer) {
        (Some(entry), _) => format!("  {entry}: {}", finding.field.word()),
        (None, Some(_)) => format!("  the layer: {}", finding.field.word()),
        (None, None) => format!("{} {}: {}\n", difference.tier, difference.architecture, finding.cause),
    };
    if difference.layer.is_none() && finding.entry.is_none() {
        text.push_str(&format!("  expected {}\n  found    {}\n", finding.expected, finding.found));
        return text;
    }
    if finding.detail != finding.field.word() {
        text.push_str(&format!(" ({})", finding.detail));
    }
    match (finding.offset, finding.tar_offset) {
        (Some(offset), Some(tar)) if offset != tar => {
            text.push_str(&format!(" at byte {offset}, byte {tar} of the tar"));
        }
        (Some(offset), _) if finding.tar_offset.is_some() => text.push_str(&format!(" at byte {offset} of the tar")),
        (Some(offset), _) => text.push_str(&format!(" at byte {offset}")),
        (None, _) => {}
    }
    text.push_str(&format!("\n    expected {}\n    found    {}\n", finding.expected, finding.found));
    if let Some(origin) = &finding.origin {
        text.push_str(&format!("    from     {origin}\n"));
    }
    if !finding.cause.is_empty() {
        text.push_str(&format!("    likely   {}\n", finding.cause));
    }
    for line in finding.diff.iter().flat_map(|diff| diff.lines()) {
        text.push_str(&format!("      {line}\n"));
    }
    text
}
