//! `build`: compose tiers and write their layers.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;

use super::{
    Answer,
    report::{opt_outs, saved},
    surroundings::{Session, UsageError},
    watch,
};
use crate::{
    evidence::table::{Align, bytes, table},
    ground::{Event, Observer as _},
    layer::Form,
    outputs::layer_name,
    pipeline::{self, BuildOptions, BuiltTier, Failures},
};

/// Compose tiers and write their layers.
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Build {
    /// debian13/cc, cc for every distribution that has one, or debian13 for all of it [default: all]; parents come along
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// For which architecture; `all` for all of the archive's [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
    /// Where the layers go [default: out/ in the project folder]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// tar.gz, tar, tar.zst; several with commas
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', default_value = "tar.gz")]
    formats: Vec<String>,
    /// Never change debstrata.lock; fail where it does not fit the manifests
    #[arg(long)]
    locked: bool,
    /// Build again whenever a manifest, or a file that one names, changes; Ctrl-C ends it
    #[arg(long)]
    watch: bool,
}

impl Build {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        if !self.watch {
            return self.once(session);
        }
        let root = &session.global.directory;
        let pause = || {
            std::thread::sleep(watch::PAUSE);
            true
        };
        watch::rounds(
            || watch::look(root),
            pause,
            || {
                if let Err(failures) = self.once(&session.anew()) {
                    session.reporter.failures(&failures);
                }
                session.reporter.progress.tell(Event::Step("watching the manifests; Ctrl-C ends it".into()));
            },
        );
        Ok(Answer::Yes)
    }

    fn once(&self, session: &Session) -> Result<Answer, Failures> {
        let forms: BTreeSet<Form> = self.formats.iter().map(|text| parse_form(text)).collect::<Result<_, _>>()?;
        let workshop = session.workshop()?;
        let picks = pipeline::select(&workshop.project, &self.tiers, &self.architectures, session.host())?;
        let output = self.output.clone().unwrap_or_else(|| session.global.directory.join("out"));
        let built =
            pipeline::build(&workshop, &picks, &BuildOptions { output, forms: forms.clone(), locked: self.locked })?;
        session.reporter.result(&built, || summary(&built, &forms)).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }
}

fn parse_form(text: &str) -> Result<Form, UsageError> {
    Form::ALL.into_iter().find(|form| form.extension() == text).ok_or_else(|| {
        let known = Form::ALL.map(Form::extension).join(", ");
        UsageError::new(format!("{text:?} is no format"), format!("formats are {known}"))
    })
}

/// A column for each compressed form; a plain tar's size is the layer's own.
fn summary(built: &[BuiltTier], forms: &BTreeSet<Form>) -> String {
    let compressed: Vec<Form> = forms.iter().copied().filter(|form| *form != Form::Tar).collect();
    let left = [("tier", Align::Left), ("arch", Align::Left)];
    let right = ["packages", "entries", "size"].into_iter().chain(compressed.iter().map(|form| form.extension()));
    let mut columns: Vec<_> = left.into_iter().chain(right.map(|name| (name, Align::Right))).collect();
    columns.push(("diff_id", Align::Left));
    let row = |tier: &BuiltTier| {
        let written = |form: &Form| {
            let name = layer_name(&tier.distribution, tier.architecture, &tier.tier, *form);
            tier.outputs.iter().find(|output| output.name == name).map(|output| bytes(output.size)).unwrap_or_default()
        };
        let mut row = vec![
            format!("{}/{}", tier.distribution, tier.tier),
            tier.architecture.to_string(),
            tier.packages.to_string(),
            tier.entries.to_string(),
            bytes(tier.size),
        ];
        row.extend(compressed.iter().map(written));
        row.push(tier.diff_id.to_string());
        row
    };
    let mut text = table(&columns, &built.iter().map(row).collect::<Vec<_>>());
    for tier in built {
        for unmet in &tier.unmet {
            text.push_str(&format!("unmet in {}/{} {}: {unmet}\n", tier.distribution, tier.tier, tier.architecture));
        }
    }
    let linked =
        |tier: &BuiltTier| Some((format!("{}/{}", tier.distribution, tier.tier), tier.architecture, tier.saved?));
    text.push_str(&saved(built.iter().filter_map(linked)));
    text + &opt_outs(built.iter().flat_map(|tier| &tier.opt_outs))
}
