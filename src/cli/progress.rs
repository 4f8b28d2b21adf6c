//! Shows the events of a run: bars on a terminal, a log line a step otherwise.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use miette::Diagnostic;

use crate::ground::{Event, Observer, Work};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loudness {
    Quiet,
    Normal,
    Verbose,
}

/// Shows events on stderr.
pub(super) struct Progress {
    loudness: Loudness,
    bars: MultiProgress,
    running: Mutex<BTreeMap<Work, ProgressBar>>,
    render: Box<Render>,
}

/// Turns a diagnostic into text.
type Render = dyn Fn(&dyn Diagnostic) -> String + Send + Sync;

impl Progress {
    /// `render` turns a diagnostic into text.
    pub(super) fn new(
        loudness: Loudness,
        terminal: bool,
        render: impl Fn(&dyn Diagnostic) -> String + Send + Sync + 'static,
    ) -> Self {
        let target = if terminal && loudness != Loudness::Quiet {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            loudness,
            bars: MultiProgress::with_draw_target(target),
            running: Mutex::default(),
            render: Box::new(render),
        }
    }

    /// Prints a text above the bars.
    pub(super) fn print(&self, text: &str) {
        self.bars.suspend(|| {
            // A closed stderr is no reason to stop a build.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        });
    }

    /// A diagnostic as text.
    pub(super) fn render(&self, diagnostic: &dyn Diagnostic) -> String {
        (self.render)(diagnostic)
    }

    /// Removes all bars.
    pub(super) fn clear(&self) {
        for (_, bar) in std::mem::take(&mut *self.running()) {
            bar.finish_and_clear();
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Work, ProgressBar>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_bar(&self, work: Work, act: impl FnOnce(&ProgressBar)) {
        let mut running = self.running();
        let bar = running.entry(work).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(0));
            bar.set_style(style(work));
            bar
        });
        act(bar);
    }
}

fn style(work: Work) -> ProgressStyle {
    let template = match work {
        Work::Download => "  download {bar:30} {bytes:>10} of {total_bytes:>10} {bytes_per_sec:>12}",
        Work::Unpack => "    unpack {bar:30} {bytes:>10} of {total_bytes:>10}",
        Work::Emit => "     write {bar:30} {bytes:>10} of {total_bytes:>10}",
        Work::Upload => "    upload {bar:30} {bytes:>10} of {total_bytes:>10} {bytes_per_sec:>12}",
    };
    ProgressStyle::with_template(template).expect("the templates above are right")
}

impl Observer for Progress {
    fn tell(&self, event: Event) {
        match event {
            Event::Step(text) if self.loudness >= Loudness::Normal => self.print(&text),
            Event::Note(text) if self.loudness >= Loudness::Verbose => self.print(&format!("note: {text}")),
            Event::Step(_) | Event::Note(_) => {}
            Event::Warning(warning) => self.print(&self.render(&*warning)),
            Event::Expect(work, bytes) => self.on_bar(work, |bar| bar.inc_length(bytes)),
            Event::Advance(work, bytes) => self.on_bar(work, |bar| bar.inc(bytes)),
        }
    }
}
