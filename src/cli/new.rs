//! `new`: a distribution or a tier to begin with.

use std::{io, path::Path};

use clap::Args;
use serde::Serialize;

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    debian::relation::parse_relation,
    ground::{nearest, printable, write_new},
    manifest::{self, Distribution, Known, Project, Schemas, Sketch},
    pipeline::{self, Failures},
};

const USE: &str = "\
Examples:
  debstrata new debian13                     archive.toml, its keyring and a first tier
  debstrata new debian13/app                 a tier on the tier that most others stand on
  debstrata new debian13/app libsqlite3-0    the same with a package

It asks nothing and overwrites nothing; what it writes builds.";

/// Write a manifest to begin with
#[derive(Args)]
#[command(after_help = format!("{USE}\n\n{}", super::EXIT_STATUS))]
pub(super) struct New {
    /// A distribution (debian12, debian13) or a tier (debian13/app)
    #[arg(value_name = "DIST[/TIER]")]
    name: String,
    /// Packages of the new tier
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Written {
    files: Vec<String>,
    build: String,
}

impl New {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let root = &session.global.directory;
        let project = match root.join("manifests").is_dir() && has_folders(&root.join("manifests")) {
            true => Some(manifest::load(root)?.project),
            false => None,
        };
        let sketches = self.sketches(root, project.as_ref())?;
        let taken = sketches.iter().find(|sketch| root.join(&sketch.path).symlink_metadata().is_ok());
        if let Some(taken) = taken {
            return Err(there_already(&taken.path).into());
        }
        // The schemas belong to this version of the program; what is there already will do.
        let schemas = schemas(root).sketch();
        let schemas = schemas.into_iter().filter(|sketch| root.join(&sketch.path).symlink_metadata().is_err());
        let mut files = Vec::new();
        for Sketch { path, bytes } in schemas.chain(sketches) {
            match write_new(&root.join(&path), &bytes) {
                Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(there_already(&path).into());
                }
                written => written?,
            }
            files.push(path);
        }
        let written = Written { files, build: format!("debstrata build {}", self.name) };
        let text = || {
            let files: String = written.files.iter().map(|path| format!("{path}\n")).collect();
            format!("{files}now: {}\n", written.build)
        };
        session.reporter.result(&written, text).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }

    fn sketches(&self, root: &Path, project: Option<&Project>) -> Result<Vec<Sketch>, UsageError> {
        let schemas = schemas(root);
        let (name, tier) = match self.name.split_once('/') {
            Some((name, tier)) => (name, Some(tier)),
            None => (self.name.as_str(), None),
        };
        let existing = project.and_then(|project| project.distributions.iter().find(|one| one.name == name));
        let Some(tier) = tier else {
            if !self.packages.is_empty() {
                return Err(UsageError::new(
                    "packages belong to a tier",
                    format!("name it too: debstrata new {name}/app {}", self.packages.join(" ")),
                ));
            }
            if existing.is_some() {
                let message = format!("there is a distribution {name} already");
                return Err(UsageError::new(message, format!("for a tier of it: debstrata new {name}/app")));
            }
            return Ok(known(name, project)?.sketch(&schemas));
        };
        if !manifest::is_tier_name(tier) {
            return Err(UsageError::new(
                format!("no tier can be called {tier:?}"),
                "names are lower-case letters, digits, `+`, `-` and `.`, beginning with a letter or digit",
            ));
        }
        self.packages.iter().try_for_each(|package| check(package))?;
        let mut sketches = match existing {
            Some(_) => Vec::new(),
            None => known(name, project)?.sketch(&schemas),
        };
        let path = format!("manifests/{name}/{tier}.toml");
        if sketches.iter().any(|sketch| sketch.path == path) {
            return match &*self.packages {
                [] => Ok(sketches),
                _ => Err(UsageError::new(
                    format!("{tier} is the first tier, which has its own packages"),
                    format!("give yours another name: debstrata new {name}/app {}", self.packages.join(" ")),
                )),
            };
        }
        let parent = existing.map_or_else(|| Some(manifest::first_name()), |one| best(one));
        let text = manifest::first_text(tier, parent, &self.packages, &schemas);
        sketches.push(Sketch { path, bytes: text.into_bytes() });
        Ok(sketches)
    }
}

fn best(distribution: &Distribution) -> Option<&str> {
    manifest::best_parent(distribution)
}

/// Whether there is anything that [`manifest::load`] would read as a distribution.
fn has_folders(manifests: &Path) -> bool {
    let hidden = |entry: &std::fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    std::fs::read_dir(manifests).into_iter().flatten().flatten().any(|entry| !hidden(&entry) && entry.path().is_dir())
}

fn schemas(root: &Path) -> Schemas {
    Schemas { in_docs: root.join("docs/schema/tier.schema.json").is_file() }
}

fn there_already(path: &str) -> UsageError {
    UsageError::new(format!("{path} is there already"), "`new` overwrites nothing; choose another name")
}

/// The known distribution of this name, or what to do instead.
fn known(name: &str, project: Option<&Project>) -> Result<&'static Known, UsageError> {
    if let Some(known) = Known::find(name) {
        return Ok(known);
    }
    let known: Vec<_> = manifest::KNOWN.iter().map(|known| known.name).collect();
    let own: Vec<_> =
        project.into_iter().flat_map(|project| &project.distributions).map(|one| one.name.as_str()).collect();
    let listed = known.join(", ");
    let shown = printable(name.as_bytes());
    let help = match (nearest(name, known.iter().chain(&own).copied()), own.first()) {
        (Some(near), _) => format!("did you mean {near}? Known are {listed}"),
        (None, Some(first)) if manifest::is_tier_name(name) => {
            format!("for a tier: debstrata new {first}/{name}; distributions are {listed}")
        }
        _ => format!("known are {listed}; for another one write its archive.toml, as docs/manifest.md says"),
    };
    Err(UsageError::new(format!("the keys of a distribution {shown:?} are not known"), help))
}

fn check(package: &str) -> Result<(), UsageError> {
    let plain = !package.contains(['"', '\\']) && !package.contains(char::is_control);
    match parse_relation(package) {
        Ok(_) if plain => Ok(()),
        Ok(_) => Err(UsageError::new(format!("{package:?} is no package"), "write its name")),
        Err(fault) => Err(UsageError::new(
            format!("{:?} is no package: {}", printable(package.as_bytes()), fault.message),
            "name, name:arch, \"name (>= 1.2)\", \"name [amd64 arm64]\"",
        )),
    }
}
