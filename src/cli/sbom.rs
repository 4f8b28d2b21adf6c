//! `sbom`: what a tier is made of, in forms that others read.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    ground::write_through,
    pipeline::{self, Evidence, Failures},
};

/// What a tier is made of, in forms that others read.
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Sbom {
    /// debian13/cc, or cc where one distribution has it
    #[arg(value_name = "TIER")]
    tier: String,
    /// For which architecture [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architecture: Option<String>,
    /// In which form
    #[arg(long, value_enum, default_value_t = Format::Spdx)]
    format: Format,
    /// With every file and its digests (spdx and cyclonedx)
    #[arg(long)]
    files: bool,
    /// Write to a file instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A form of evidence, as it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// SPDX 2.3 JSON
    Spdx,
    /// CycloneDX 1.6 JSON
    #[value(alias = "cdx")]
    Cyclonedx,
    /// Source packages, licences and copyright files, as text; with --json as JSON
    Licenses,
    /// One line of JSON a path: type, mode, owner, digest, origin
    Files,
    /// An in-toto statement with SLSA provenance v1
    Provenance,
}

impl Sbom {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let files = self.files;
        let kind = match self.format {
            Format::Spdx => Evidence::Spdx { files },
            Format::Cyclonedx => Evidence::CycloneDx { files },
            _ if files => {
                return Err(UsageError::new(
                    "--files goes with --format spdx and cyclonedx alone",
                    "leave --files out; `--format files` lists every path",
                )
                .into());
            }
            Format::Licenses => Evidence::Licences { json: session.global.json },
            Format::Files => Evidence::Files,
            Format::Provenance => Evidence::Provenance,
        };
        let workshop = session.workshop()?;
        let architectures: Vec<_> = self.architecture.iter().cloned().collect();
        let tiers = [self.tier.clone()];
        let picks = pipeline::select(&workshop.project, &tiers, &architectures, session.host())?;
        let asked: usize = picks.iter().map(|pick| pick.named.len() * pick.architectures.len()).sum();
        if asked != 1 {
            return Err(UsageError::new(
                format!("a document is of one tier and architecture; this asks for {asked}"),
                "name the distribution too, such as debian13/cc, and one --arch",
            )
            .into());
        }
        for document in pipeline::evidence(&workshop, &picks, kind)? {
            match &self.output {
                Some(path) => write_through(path, &document.bytes)?,
                None => session.reporter.bytes(&document.bytes).map_err(pipeline::stdout_failed)?,
            }
        }
        Ok(Answer::Yes)
    }
}
