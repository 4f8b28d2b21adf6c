//! `why`: how something came to be in a tier, or what keeps it out.

use clap::Args;

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    evidence::why::{Link, Why},
    pipeline::{self, Asked, Failures},
};

const JSON: &str = "\
With --json:
  an object where TIER is found once, for one architecture; else a list";

/// How a package or a path came to be in a tier, or what keeps it out.
#[derive(Args)]
#[command(after_help = format!("{JSON}\n\n{}", super::EXIT_STATUS))]
pub(super) struct AskWhy {
    /// debian13/cc, or cc for every distribution that has one
    #[arg(value_name = "TIER")]
    tier: String,
    /// A package (libc6), or a path, which has a slash in it (/etc/passwd, usr/bin/)
    #[arg(value_name = "PATH-or-PACKAGE")]
    subject: String,
    /// For which architecture; `all` for all of the archive's [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
}

impl AskWhy {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let asked = Asked::of(&self.subject).map_err(|error| {
            UsageError::new(
                format!("{:?} is no path inside a tier: {error}", self.subject),
                "write it in full, from the root: /etc/passwd",
            )
        })?;
        let workshop = session.workshop()?;
        let tiers = [self.tier.clone()];
        let picks = pipeline::select(&workshop.project, &tiers, &self.architectures, session.host())?;
        let answers = pipeline::why(&workshop, &picks, &asked)?;
        let text = || answers.iter().map(text).collect::<Vec<_>>().join("\n");
        let printed = match answers.as_slice() {
            [only] => session.reporter.result(only, text),
            all => session.reporter.result(&all, text),
        };
        printed.map_err(pipeline::stdout_failed)?;
        // An answer was given, whatever it is; JSON says `present`.
        Ok(Answer::Yes)
    }
}

fn text(why: &Why) -> String {
    let mut text = format!("{} {}: {}\n", why.tier, why.architecture, why.answer);
    why.chain.iter().for_each(|link| text.push_str(&format!("  {}\n", line(link))));
    why.notes.iter().for_each(|note| text.push_str(&format!("  note: {note}\n")));
    text
}

fn line(link: &Link) -> String {
    match (&link.file, link.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: {}", link.text),
        _ => link.text.clone(),
    }
}
