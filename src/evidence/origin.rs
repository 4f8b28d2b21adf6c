//! A finished tier, and where each of its paths comes from: what all forms of evidence begin with.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    archive,
    compose::Input,
    debian::Architecture,
    evidence::kept_out::{Stage, place},
    ground::{RootPath, Sha256},
    rootfs::{Entry, Origin, Rootfs},
};

/// A composed tier with all that made it.
#[derive(Debug, Clone, Copy)]
pub struct Finished<'a> {
    /// The distribution's name.
    pub distribution: &'a str,
    /// The chain, the root tier first.
    pub stages: &'a [Stage<'a>],
    /// Of each stage, the digest of all that shapes its layer.
    pub recipes: &'a [Sha256],
    /// Of each stage, its own packages as the lock has them, in the order of the stage's.
    pub locked: &'a [Vec<&'a archive::Package>],
    /// What it is composed for.
    pub architecture: Architecture,
    /// The time that the distribution gives all it makes, in seconds since 1970.
    pub created: u64,
}

/// One package of a chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own<'a> {
    /// The stage that adds it.
    pub(super) stage: usize,
    pub(super) input: &'a Input<'a>,
    pub(super) locked: &'a archive::Package,
}

impl<'a> Finished<'a> {
    /// The tier's merged tree.
    pub(super) fn tree(&self) -> Option<&'a Rootfs> {
        self.stages.last().map(|stage| &stage.composed.rootfs)
    }

    /// A stage's full name, such as `debian13/cc`.
    pub(super) fn title(&self, stage: usize) -> String {
        let name = self.stages.get(stage).map_or("", |stage| stage.tier.name.as_str());
        format!("{}/{name}", self.distribution)
    }

    /// All packages, the root tier's first.
    pub(super) fn packages(&self) -> Vec<Own<'a>> {
        let each = self.stages.iter().zip(self.locked).enumerate();
        let own = each.flat_map(|(stage, (here, locked))| {
            here.packages.iter().zip(locked).map(move |(input, locked)| Own { stage, input, locked })
        });
        own.collect()
    }
}

/// What brought a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bringer {
    /// A package, by its number.
    Package(usize),
    /// A generator of a stage, made of these packages as far as that is known of it.
    Generator { stage: usize, generator: &'static str, packages: Vec<usize> },
    /// A table of a stage's manifest; the file and its line.
    Manifest { stage: usize, key: &'static str, file: String, line: usize },
    /// A layer of the image that the chain stands on, by the SHA-256 of its uncompressed tar.
    Image { manifest: Sha256, layer: Sha256 },
    /// Nothing: a folder that something else lies in.
    Implied,
}

/// Answers who brought a path of a tier.
pub(super) struct Origins<'a> {
    finished: Finished<'a>,
    packages: BTreeMap<&'a str, usize>,
    titles: BTreeMap<String, usize>,
    /// By stage and generator: the packages that have what it reads.
    read: BTreeMap<(usize, &'static str), Vec<usize>>,
}

/// Where packages have what a generator reads.
fn reads(generator: &str) -> &'static [u8] {
    match generator {
        "ca-certificates" | "java-keystore" => b"usr/share/ca-certificates/",
        "group" | "passwd" => b"usr/lib/sysusers.d/",
        "locales" => b"usr/lib/locale/",
        "os-release" => b"usr/lib/os-release",
        "timezone" => b"usr/share/zoneinfo/",
        "tmpfiles" => b"usr/lib/tmpfiles.d/",
        _ => b"",
    }
}

impl<'a> Origins<'a> {
    pub(super) fn new(finished: &Finished<'a>, packages: &[Own<'a>]) -> Self {
        let names = packages.iter().enumerate().map(|(number, own)| (&*own.input.name.name, number)).collect();
        let titles = (0..finished.stages.len()).map(|stage| (finished.title(stage), stage)).collect();
        let mut origins = Self { finished: *finished, packages: names, titles, read: BTreeMap::new() };
        let entries = finished.tree().into_iter().flat_map(|tree| tree.entries.values());
        let made: BTreeSet<_> = entries
            .filter_map(|entry| match &entry.origin {
                Origin::Generated { tier, generator } => Some((*origins.titles.get(&**tier)?, *generator)),
                _ => None,
            })
            .collect();
        for (stage, generator) in made {
            let start = reads(generator);
            let has = |own: &&(usize, &Own<'_>)| {
                let mut items = own.1.input.unpacked.entries.iter();
                !start.is_empty() && own.1.stage == stage && items.any(|item| item.path.as_bytes().starts_with(start))
            };
            let found = packages.iter().enumerate().collect::<Vec<_>>();
            let found = found.iter().filter(has).map(|(number, _)| *number).collect();
            origins.read.insert((stage, generator), found);
        }
        origins
    }

    /// Who brought this entry of the tier's tree.
    pub(super) fn of(&self, path: &RootPath, entry: &Entry) -> Bringer {
        let stage = |tier: &str| self.titles.get(tier).copied();
        match &entry.origin {
            Origin::Package(name) => {
                self.packages.get(&*name.name).map_or(Bringer::Implied, |number| Bringer::Package(*number))
            }
            Origin::Image { manifest, layer } => Bringer::Image { manifest: *manifest, layer: *layer },
            Origin::Implied => Bringer::Implied,
            Origin::Declared { tier, key, span } => {
                let Some((stage, here)) = stage(tier).and_then(|stage| Some((stage, self.finished.stages.get(stage)?)))
                else {
                    return Bringer::Implied;
                };
                let (file, line) = place(here.tier, span);
                Bringer::Manifest { stage, key, file: file.to_string(), line }
            }
            Origin::Generated { tier, generator } => {
                let Some(stage) = stage(tier) else { return Bringer::Implied };
                let packages = match *generator {
                    "dpkg-status" => {
                        let name = path.name();
                        let name = name.strip_suffix(b".md5sums").unwrap_or(name);
                        let name = std::str::from_utf8(name).ok();
                        name.and_then(|name| self.packages.get(name)).copied().into_iter().collect()
                    }
                    other => self.read.get(&(stage, other)).cloned().unwrap_or_default(),
                };
                Bringer::Generator { stage, generator, packages }
            }
        }
    }

    /// The stage whose layer holds the path as the tier has it: the last one that put or changed it.
    pub(super) fn stage(&self, path: &RootPath, entry: &Entry) -> usize {
        let trees = self.finished.stages.iter().enumerate().rev();
        let mut last = self.finished.stages.len().saturating_sub(1);
        for (number, stage) in trees {
            match stage.composed.rootfs.get(path) {
                Some(here) if here.same_as(entry) => last = number,
                _ => break,
            }
        }
        last
    }
}
