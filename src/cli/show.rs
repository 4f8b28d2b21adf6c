//! `show`: what the tiers are made of.

use clap::Args;

use super::{Answer, report::opt_outs, surroundings::Session};
use crate::{
    evidence::table::{Align, bytes, table},
    pipeline::{self, Failures, ShownTier},
};

const JSON: &str = "\
With --json:
  an object where one TIER is named and it is found once, for one architecture; else a list";

/// What the tiers are made of.
#[derive(Args)]
#[command(after_help = format!("{JSON}\n\n{}", super::EXIT_STATUS))]
pub(super) struct Show {
    /// debian13/cc, cc for every distribution that has one, or debian13 for all of it [default: all]
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// For which architecture; `all` for all of the archive's [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
}

impl Show {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let workshop = session.workshop()?;
        let picks =
            pipeline::select(&workshop.project, workshop.asked(&self.tiers), &self.architectures, session.host())?;
        let shown = pipeline::show(&workshop, &picks)?;
        let text = || {
            let text = if self.tiers.is_empty() { overview(&shown) } else { details(&shown) };
            text + &opt_outs(shown.iter().flat_map(|tier| &tier.opt_outs))
        };
        let printed = match (self.tiers.as_slice(), shown.as_slice()) {
            ([_], [only]) => session.reporter.result(only, text),
            (_, all) => session.reporter.result(&all, text),
        };
        printed.map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }
}

fn overview(shown: &[ShownTier]) -> String {
    let columns = [
        ("tier", Align::Left),
        ("arch", Align::Left),
        ("chain", Align::Left),
        ("packages", Align::Right),
        ("size", Align::Right),
        ("summary", Align::Left),
    ];
    let row = |tier: &ShownTier| {
        vec![
            format!("{}/{}", tier.distribution, tier.tier),
            tier.architecture.to_string(),
            chain(tier),
            tier.packages.len().to_string(),
            tier.size().map_or_else(|| "not built".to_owned(), bytes),
            tier.summary.clone(),
        ]
    };
    // A column of nothing would only make lines longer.
    if shown.iter().any(|tier| tier.images.len() > 1) {
        let columns: Vec<_> = columns.iter().copied().chain([("variants", Align::Left)]).collect();
        let with_variants = |tier: &ShownTier| row(tier).into_iter().chain([variants(tier)]).collect();
        return table(&columns, &shown.iter().map(with_variants).collect::<Vec<_>>());
    }
    table(&columns, &shown.iter().map(row).collect::<Vec<_>>())
}

fn details(shown: &[ShownTier]) -> String {
    let one = |tier: &ShownTier| {
        let packages: Vec<_> = tier
            .packages
            .iter()
            .map(|package| {
                vec![
                    package.name.to_string(),
                    package.version.to_string(),
                    package.architecture.to_string(),
                    package.tier.clone(),
                    package.image.as_ref().map_or_else(|| bytes(package.size), |_| "base image".to_owned()),
                ]
            })
            .collect();
        let layers: Vec<_> = tier
            .layers
            .iter()
            .map(|layer| {
                vec![
                    layer.tier.clone(),
                    layer.size.map_or_else(|| "not built".to_owned(), bytes),
                    layer.diff_id.map(|id| id.to_string()).unwrap_or_default(),
                ]
            })
            .collect();
        let package_columns = [
            ("package", Align::Left),
            ("version", Align::Left),
            ("arch", Align::Left),
            ("tier", Align::Left),
            (".deb", Align::Right),
        ];
        let layer_columns = [("layer", Align::Left), ("size", Align::Right), ("diff_id", Align::Left)];
        format!(
            "{}/{} {}: {}\nchain: {}\n{}\n{}\n{}",
            tier.distribution,
            tier.tier,
            tier.architecture,
            tier.summary,
            chain(tier),
            images(tier),
            table(&package_columns, &packages),
            table(&layer_columns, &layers)
        )
    };
    shown.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn chain(tier: &ShownTier) -> String {
    tier.layers.iter().map(|layer| layer.tier.as_str()).collect::<Vec<_>>().join(" <- ")
}

/// Without the tier's name before each.
fn variants(tier: &ShownTier) -> String {
    let each = tier.images.iter().filter_map(|image| image.strip_prefix(tier.tier.as_str())?.strip_prefix('-'));
    each.collect::<Vec<_>>().join(" ")
}

/// A line where there are several.
fn images(tier: &ShownTier) -> String {
    if tier.images.len() > 1 { format!("images: {}\n", tier.images.join(" ")) } else { String::new() }
}
