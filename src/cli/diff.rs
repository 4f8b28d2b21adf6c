//! `diff`: what differs between two tiers, distributions, locks, layers, images or revisions.

use std::path::Path;

use clap::Args;

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    evidence::diff::{markdown, text},
    image::reference::Reference,
    pipeline::{self, DiffOptions, Failures},
};

const MORE: &str = "\
What can be named:
  debian13/cc              a tier, with all its layers
  debian13                 all tiers of a distribution
  manifests/debian13/debstrata.lock
                           a lock by itself
  out/debian13/amd64/cc.tar.gz
                           a layer by itself; or an archive of `docker save`
  oci:out/debian13/oci:cc  an image in an OCI layout
  registry.example.org/team/image:tag
                           an image in a registry
  HEAD~1, HEAD~1:debian13/cc
                           the project folder, or a tier of it, at a revision that git knows
A file or folder wins over a tier of the same name, a tier over a revision.

Exit status:
  0  compared; with --exit-code: nothing differs
  1  with --exit-code: something differs
  2  you must edit something: the command, a manifest, the lock; or an image is damaged
  3  nothing in the project is wrong: the network, a mirror, a registry, the disk";

/// What differs: packages with their changelogs, files, libraries, certificates, time zones, config.
#[derive(Args)]
#[command(after_help = MORE)]
pub(super) struct Diff {
    /// What it was
    #[arg(value_name = "A")]
    before: String,
    /// What it is; without it A is a revision, and this is the project as it is now
    #[arg(value_name = "B")]
    after: Option<String>,
    /// For which architecture; `all` for all of the archive's [default: this machine's; of locks: all]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
    /// As text for a pull request
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// All rows, not the largest alone
    #[arg(long)]
    all: bool,
    /// Of tiers only packages and config, from manifests and locks: nothing is fetched or composed
    #[arg(long)]
    no_files: bool,
    /// Exit with 1 where something differs
    #[arg(long)]
    exit_code: bool,
    /// Plain HTTP; a registry on this machine without TLS needs no asking
    #[arg(long)]
    plain_http: bool,
}

impl Diff {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let open = |root: Option<&Path>| session.workshop_in(root);
        let registry = |reference: &Reference| {
            if session.global.offline {
                let help = "compare without --offline, or name a layout";
                return Err(UsageError::new("--offline forbids asking a registry", help).into());
            }
            Ok(session.registry_settings(reference, self.plain_http)?)
        };
        let changes = pipeline::diff(&DiffOptions {
            before: self.before.clone(),
            after: self.after.clone(),
            architectures: self.architectures.clone(),
            host: session.host(),
            files: !self.no_files,
            root: session.global.directory.clone(),
            scratch: session.cache(),
            open: &open,
            registry: &registry,
        })?;
        let text = || match self.markdown {
            true => markdown(&changes, self.all),
            false => text(&changes, self.all),
        };
        session.reporter.result(&changes, text).map_err(pipeline::stdout_failed)?;
        Ok(if self.exit_code && !changes.equal { Answer::No } else { Answer::Yes })
    }
}
