//! Diagnostics on stderr, results on stdout.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    sync::Arc,
};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use super::{
    Color, Global, Surroundings,
    progress::{Loudness, Progress},
};
use crate::{
    debian::Architecture,
    evidence::table::bytes,
    ground::{Event, Observer as _},
    pipeline::{Failures, ShownSaved},
};

/// Where a verb sends what it has to say.
#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) progress: Arc<Progress>,
    json: bool,
    /// Whether colours are wanted, and what is drawn on shows them.
    pub(super) colours: bool,
}

impl Reporter {
    pub(super) fn new(global: &Global, surroundings: &Surroundings) -> Self {
        let colours = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => surroundings.terminal && !surroundings.variables.contains_key("NO_COLOR"),
        };
        let theme = match (colours, surroundings.terminal) {
            (true, _) => GraphicalTheme::unicode(),
            (false, true) => GraphicalTheme::unicode_nocolor(),
            (false, false) => GraphicalTheme::none(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100);
        let render = move |diagnostic: &dyn Diagnostic| {
            let mut text = String::new();
            match handler.render_report(&mut text, diagnostic) {
                Ok(()) => text.trim_end().to_owned(),
                Err(_) => diagnostic.to_string(),
            }
        };
        let loudness = match (global.quiet, global.verbose) {
            (true, _) => Loudness::Quiet,
            (_, true) => Loudness::Verbose,
            _ => Loudness::Normal,
        };
        Self { progress: Arc::new(Progress::new(loudness, surroundings.terminal, render)), json: global.json, colours }
    }

    /// Shows every failure; the exit status of the one that weighs most.
    pub(super) fn failures(&self, failures: &Failures) -> u8 {
        self.progress.clear();
        for failure in &failures.0 {
            debug_assert!(failure.code().is_some(), "every diagnostic has a code: {failure}");
            self.progress.print(&self.progress.render(failure.as_ref()));
        }
        failures.class().exit_status()
    }

    /// A warning, shown as every event is.
    pub(super) fn warn(&self, warning: Arc<dyn Diagnostic + Send + Sync>) {
        self.progress.tell(Event::Warning(warning));
    }

    /// The result of a verb: JSON where asked for, else `text`.
    pub(super) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> std::io::Result<()> {
        self.progress.clear();
        let mut text =
            if self.json { serde_json::to_string_pretty(value).map_err(std::io::Error::other)? } else { text() };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.bytes(text.as_bytes())
    }

    /// A result that is a document: its bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) -> std::io::Result<()> {
        self.progress.clear();
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            // The reader has seen enough (`| head`).
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// What an `allow-unsigned` or `allow-expired` let pass, a line each: the end of every summary.
pub(super) fn opt_outs<'a>(all: impl IntoIterator<Item = &'a String>) -> String {
    let each: BTreeSet<_> = all.into_iter().collect();
    each.into_iter().map(|opt_out| format!("opt-out: {opt_out}\n")).collect()
}

/// What linked tiers do without: a line each, whatever the number of architectures.
pub(super) fn saved(linked: impl Iterator<Item = (String, Architecture, ShownSaved)>) -> String {
    let mut tiers: BTreeMap<String, Vec<(Architecture, ShownSaved)>> = BTreeMap::new();
    for (tier, architecture, saved) in linked {
        tiers.entry(tier).or_default().push((architecture, saved));
    }
    let range = |least: String, most: String| if least == most { most } else { format!("{least} to {most}") };
    let line = |(tier, all): (String, Vec<(Architecture, ShownSaved)>)| {
        let place = match &*all {
            [(architecture, _)] => architecture.to_string(),
            all => format!("on {} architectures", all.len()),
        };
        let packages = || all.iter().map(|(_, saved)| saved.packages);
        let sizes = || all.iter().map(|(_, saved)| saved.size);
        let number = |of: Option<usize>| of.unwrap_or_default().to_string();
        let size = |of: Option<u64>| bytes(of.unwrap_or_default());
        format!(
            "linked in {tier} {place}: {} packages fewer than \"all\", {} of .debs\n",
            range(number(packages().min()), number(packages().max())),
            range(size(sizes().min()), size(sizes().max()))
        )
    };
    tiers.into_iter().map(line).collect()
}
