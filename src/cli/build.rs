//! `build`: compose tiers and write their layers and images.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
    pipeline::{self, BuildOptions, BuiltImage, BuiltTier, Evidence, Failures, Formats},
};

/// Compose tiers and write their layers and images.
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Build {
    /// debian13/cc, cc for every distribution that has one, or debian13 for all of it [default: all]; parents come along
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// For which architecture; `all` for all of the archive's [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
    /// Where everything goes [default: out/ in the project folder]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Layers: tar.gz, tar, tar.zst; images: oci, docker; evidence: spdx, cdx, licenses,
    /// files, provenance; several with commas
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', default_value = "tar.gz")]
    formats: Vec<String>,
    /// How the layers of OCI layouts are compressed [default: gzip]
    #[arg(long, value_enum, value_name = "HOW")]
    compression: Option<Compression>,
    /// Never change debstrata.lock; fail where it does not fit the manifests
    #[arg(long)]
    locked: bool,
    /// Build again whenever a manifest, or a file that one names, changes; Ctrl-C ends it
    #[arg(long)]
    watch: bool,
}

/// How layers are compressed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compression {
    /// What everything reads.
    Gzip,
    /// Smaller, and faster to unpack; not for old runtimes.
    Zstd,
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
        let formats = self.formats()?;
        let workshop = session.workshop()?;
        let picks =
            pipeline::select(&workshop.project, workshop.asked(&self.tiers), &self.architectures, session.host())?;
        let output = self.output.clone().unwrap_or_else(|| session.global.directory.join("out"));
        let built = pipeline::build(
            &workshop,
            &picks,
            &BuildOptions { output, formats: formats.clone(), locked: self.locked || session.global.bundle.is_some() },
        )?;
        session.reporter.result(&built, || summary(&built, &formats)).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }

    fn formats(&self) -> Result<Formats, UsageError> {
        let mut formats = Formats::default();
        for text in &self.formats {
            if let Some((_, kind)) = Evidence::OF_BUILDS.iter().find(|(word, _)| word == text) {
                formats.documents.insert(*kind);
                continue;
            }
            match (text.as_str(), Form::ALL.into_iter().find(|form| form.extension() == text)) {
                (_, Some(form)) => drop(formats.layers.insert(form)),
                ("docker", _) => formats.docker = true,
                ("oci", _) => {
                    formats.oci = Some(match self.compression.unwrap_or(Compression::Gzip) {
                        Compression::Gzip => Form::TarGz,
                        Compression::Zstd => Form::TarZst,
                    });
                }
                (text, None) => {
                    let known = Form::ALL.map(Form::extension).join(", ");
                    return Err(UsageError::new(
                        format!("{text:?} is no format"),
                        format!(
                            "formats are {known}, oci, docker, {}",
                            Evidence::OF_BUILDS.map(|(word, _)| word).join(", ")
                        ),
                    ));
                }
            }
        }
        if self.compression.is_some() && formats.oci.is_none() {
            return Err(UsageError::new(
                "--compression is about the layers of OCI layouts, and none is asked for",
                "add --format oci; layers by themselves are compressed as --format says (tar.gz, tar.zst)",
            ));
        }
        Ok(formats)
    }
}

/// The images, if any; their manifests where there is a layout, else docker's IDs.
fn images(built: &[BuiltTier]) -> String {
    let of_tiers = || built.iter().flat_map(|tier| tier.images.iter().map(move |image| (tier, image)));
    if of_tiers().next().is_none() {
        return String::new();
    }
    let in_layout = of_tiers().any(|(_, image)| image.manifest.is_some());
    let columns = [
        ("image", Align::Left),
        ("arch", Align::Left),
        ("layers", Align::Right),
        ("size", Align::Right),
        (if in_layout { "manifest" } else { "image id" }, Align::Left),
    ];
    let row = |(tier, image): (&BuiltTier, &BuiltImage)| {
        vec![
            format!("{}/{}", tier.distribution, image.name),
            image.architecture.to_string(),
            image.layers.to_string(),
            bytes(image.size),
            image.manifest.unwrap_or(image.config).to_string(),
        ]
    };
    format!("\n{}", table(&columns, &of_tiers().map(row).collect::<Vec<_>>()))
}

/// A column for each compressed form; a plain tar's size is the layer's own.
fn summary(built: &[BuiltTier], formats: &Formats) -> String {
    let compressed: Vec<Form> = formats.files().into_iter().filter(|form| *form != Form::Tar).collect();
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
    text.push_str(&images(built));
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
