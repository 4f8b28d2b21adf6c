//! `schema`: what editors check and complete manifests by.

use clap::{Args, ValueEnum};

use super::{Answer, surroundings::Session};
use crate::{
    manifest::{self, Manifest},
    pipeline::{self, Failures},
};

const USE: &str = "\
An editor that reads TOML finds it by the manifest's first line:
  #:schema ../../docs/schema/tier.schema.json";

/// Print the JSON Schema (2020-12) of a manifest
#[derive(Args)]
#[command(after_help = format!("{USE}\n\n{}", super::EXIT_STATUS))]
pub(super) struct Schema {
    /// Of which manifest
    #[arg(value_enum, default_value = "tier")]
    manifest: Which,
    /// Print docs/manifest-reference.md instead
    #[arg(long, conflicts_with = "manifest")]
    markdown: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    /// archive.toml
    Archive,
    /// A tier's manifest
    Tier,
}

impl Schema {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        if self.markdown {
            session.reporter.bytes(manifest::reference().as_bytes()).map_err(pipeline::stdout_failed)?;
            return Ok(Answer::Yes);
        }
        let manifest = match self.manifest {
            Which::Archive => Manifest::Archive,
            Which::Tier => Manifest::Tier,
        };
        session.reporter.bytes(manifest::schema(manifest).as_bytes()).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }
}
