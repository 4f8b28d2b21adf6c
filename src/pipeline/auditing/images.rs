//! Which given image is which of ours, and whether its config and the layers below ours are.

use std::io;

use super::{Discovered, One, Paired};
use crate::{
    evidence::{
        audit::{
            Field, Finding, config as compared,
            given::Ceiling,
            images::{Called, GivenError, GivenImage, discover},
        },
        verdict::Summary,
    },
    ground::{DiffId, Sha256, Sha256Hasher},
    image::{Image, Layer, Platform, config, docker, layout::MARKER_NAME},
    layer::Form,
    manifest::{Planned, images_on},
    outputs::{Outputs, docker_name, layout_name},
    pipeline::{Failures, Pick, Workshop},
};

/// Images that lie together.
struct Source {
    images: Vec<GivenImage>,
    /// They are all that is given, and not some of the outputs.
    alone: bool,
    /// The only one of ours that may be here.
    only: Option<String>,
}

/// An image of ours, and of which tier.
struct Ours {
    tier: usize,
    planned: Planned,
    docker: Option<String>,
}

impl One<'_> {
    /// The images of these tiers.
    fn ours(&self, tiers: impl IntoIterator<Item = usize>) -> Vec<Ours> {
        let distribution = self.plan.distribution;
        let images = tiers.into_iter().flat_map(|tier| {
            let below = self.plan.ground(tier).map(|ground| ground.base.settings.clone()).unwrap_or_default();
            // A tier that stands for another one with an overlay is known by that one's name.
            let of = distribution.tiers[tier].stands_for.as_ref().map_or(tier, |one| one.below);
            images_on(distribution, tier, &below).into_iter().map(move |planned| (tier, of, planned))
        });
        let ours = images.map(|(tier, of, planned)| {
            let docker = docker::tag(&distribution.name, &distribution.tiers[of].name, &planned.name).ok();
            Ours { tier, planned, docker }
        });
        ours.collect()
    }

    fn sources(&self, all: &[Ours]) -> Result<Vec<Source>, Failures> {
        let folder = match self.against {
            Some(Discovered::Images(images)) => {
                return Ok(vec![Source { images: images.clone(), alone: true, only: None }]);
            }
            Some(Discovered::Outputs(folder)) => folder,
            _ => return Ok(Vec::new()),
        };
        let (outputs, name) = (Outputs::new(folder), &self.plan.distribution.name);
        let mut sources = Vec::new();
        let layout = outputs.path(&layout_name(name));
        if layout.join(MARKER_NAME).exists()
            && let Discovered::Images(images) = discover(&layout)?
        {
            sources.push(Source { images, alone: false, only: None });
        }
        for image in all.iter().map(|ours| &ours.planned.name) {
            let archive = outputs.path(&docker_name(name, self.plan.architecture, image));
            if !archive.exists() {
                continue;
            }
            let only = Some(image.clone());
            match discover(&archive)? {
                Discovered::Images(images) => sources.push(Source { images, alone: false, only }),
                _ => {
                    let what = "it has no images that its manifest.json names".to_owned();
                    return Err(GivenError::Image { path: archive, what }.into());
                }
            }
        }
        Ok(sources)
    }

    /// Which image is which of ours.
    pub(super) fn images(&mut self) -> Result<Vec<Paired>, Failures> {
        let wanted = self.ours(self.named.iter().copied());
        let every = self.ours(0..self.plan.distribution.tiers.len());
        let mut paired: Vec<Paired> = Vec::new();
        for source in self.sources(&wanted)? {
            let platform = Platform::of(self.plan.architecture);
            let fitting: Vec<&GivenImage> = source.images.iter().filter(|image| image.runs_on(&platform)).collect();
            let called: Vec<(u8, &str, &GivenImage)> =
                fitting.iter().flat_map(|image| self.names(image, &every)).collect();
            let mut any = false;
            for tier in self.named {
                let mut found = false;
                for ours in wanted.iter().filter(|ours| ours.tier == *tier) {
                    let name = &ours.planned.name;
                    if source.only.as_ref().is_some_and(|only| only != name) {
                        continue;
                    }
                    let mut best: Vec<_> = called.iter().filter(|(_, called, _)| called == name).collect();
                    let least = best.iter().map(|(rank, ..)| *rank).min();
                    best.retain(|(rank, ..)| Some(*rank) == least);
                    best.dedup_by(|one, other| one.2.id == other.2.id);
                    let Some((_, _, image)) = best.first() else { continue };
                    (found, any) = (true, true);
                    let title = format!("{}/{name}", self.plan.distribution.name);
                    if best.len() > 1 {
                        let names: Vec<_> = best.iter().take(10).map(|(_, _, image)| image.id.as_str()).collect();
                        let found = format!("{}: {}", best.len(), names.join(", "));
                        let cause =
                            format!("several images are called {name}, and readers do not agree on which it is");
                        let finding = Finding::new(Field::Extra, "image", "one image", found).because(cause);
                        self.add(title, Some(&image.name), vec![finding], 1);
                    }
                    if !paired.iter().any(|other| other.planned.name == *name && other.image.name == image.name) {
                        paired.push(self.pair(&ours.planned, image));
                    }
                }
                let plain = wanted.iter().find(|ours| ours.tier == *tier);
                if found || plain.is_none() {
                    continue;
                }
                if let ([image], true, Some(plain)) = (&*fitting, source.alone && self.named.len() == 1, plain)
                    && !called.iter().any(|(rank, ..)| *rank == 0)
                {
                    paired.push(self.pair(&plain.planned, image));
                    continue;
                }
                let name = &self.plan.distribution.tiers[*tier].name;
                // The other files of a folder of outputs speak for themselves.
                if !source.alone {
                    continue;
                }
                let cause = match fitting.len() {
                    0 => "no image that is given is for this architecture".to_owned(),
                    _ => "no image that is given is called like this tier".to_owned(),
                };
                let finding = Finding::new(Field::Missing, "image", "an image", "none").because(cause);
                self.add(format!("{}/{name}", self.plan.distribution.name), None, vec![finding], 1);
            }
            if let Some(name) = source.only.as_ref().filter(|_| !any) {
                let cause = "the archive is called like this image, and has no image of this name and architecture";
                let finding = Finding::new(Field::Missing, "image", "an image", "none").because(cause);
                self.add(format!("{}/{name}", self.plan.distribution.name), None, vec![finding], 1);
            }
        }
        Ok(paired)
    }

    /// Which of ours the names of an image may mean, the best of each name.
    fn names<'i>(&self, image: &'i GivenImage, every: &'i [Ours]) -> Vec<(u8, &'i str, &'i GivenImage)> {
        let distribution = self.plan.distribution;
        let other = |tag: &str| {
            let has = |name: &str| tag.split(['/', ':']).any(|part| part == name);
            let mut others = self.workshop.project.distributions.iter().filter(|one| one.name != distribution.name);
            !has(&distribution.name) && others.any(|one| has(&one.name))
        };
        let mut all = Vec::new();
        for tag in image.tags.iter().filter(|tag| !other(tag)) {
            let ranks: Vec<(u8, &str)> = every
                .iter()
                .filter_map(|ours| {
                    let of = distribution.tiers[ours.tier].stands_for.as_ref().map_or(ours.tier, |one| one.below);
                    let tier = &distribution.tiers[of].name;
                    let called = Called { image: &ours.planned.name, tier, docker: ours.docker.as_deref() };
                    Some((called.rank(tag)?, ours.planned.name.as_str()))
                })
                .collect();
            let least = ranks.iter().map(|(rank, _)| *rank).min();
            all.extend(ranks.into_iter().filter(|(rank, _)| Some(*rank) == least));
        }
        all.sort_unstable();
        all.dedup_by_key(|(_, name)| *name);
        all.into_iter().map(|(rank, name)| (rank, name, image)).collect()
    }

    fn pair(&self, planned: &Planned, image: &GivenImage) -> Paired {
        let chain: Vec<usize> = self.plan.distribution.chain(planned.tier);
        let below = self.plan.ground(planned.tier).map_or(0, |ground| ground.base.layers.len());
        let layers = (below + chain.len() == image.layers.len() && !self.options.parity).then_some(chain);
        Paired { tier: planned.tier, planned: planned.clone(), image: image.clone(), layers, below }
    }

    /// Compares the configs of images, and the layers that others made below ours.
    pub(super) fn configs(&mut self, images: &[Paired]) -> Result<(), Failures> {
        for paired in images {
            let plan = self.plan;
            let distribution = plan.distribution;
            let ground = plan.ground(paired.tier);
            let own = distribution.chain(paired.tier).into_iter().filter_map(|tier| {
                let title = format!("{}/{}", distribution.name, distribution.tiers[tier].name);
                Some(bare(*self.diff_ids.get(&tier)?, title))
            });
            let image = Image {
                name: paired.planned.name.clone(),
                platform: Platform::of(plan.architecture),
                settings: paired.planned.image.clone(),
                created: plan.mtime(self.workshop),
                layers: ground.iter().flat_map(|ground| ground.base.layers.iter().cloned()).chain(own).collect(),
                history: ground.map(|ground| ground.base.history.clone()).unwrap_or_default(),
            };
            let foreign = paired.layers.is_none();
            let mut findings = compared::config(&config::config(&image), &paired.image.config, foreign);
            if let Some(annotations) = paired.image.annotations.as_ref().filter(|_| !foreign) {
                findings.extend(compared::annotations(&image.settings.annotations, annotations));
            }
            let title = format!("{}/{}", distribution.name, paired.planned.name);
            if self.options.parity {
                for finding in findings {
                    let text =
                        format!("config, {}: composed {}, given {}", finding.detail, finding.expected, finding.found);
                    self.verdict.summaries.push(Summary {
                        tier: title.clone(),
                        architecture: plan.architecture,
                        layer: paired.image.name.clone(),
                        text,
                        parity: None,
                    });
                }
                continue;
            }
            let count = findings.len() as u64;
            self.add(title.clone(), Some(&paired.image.name), findings, count);
            if foreign {
                continue;
            }
            for (given, layer) in paired.image.layers.iter().zip(&image.layers).take(paired.below) {
                let mut hasher = Sha256Hasher::new();
                let tar = given.tar().and_then(|tar| io::copy(&mut Ceiling::new(tar, given.ceiling()), &mut hasher));
                let found = match tar {
                    Ok(_) => DiffId(hasher.finish()).to_string(),
                    Err(error) => crate::ground::printable(error.to_string().as_bytes()),
                };
                self.verdict.compared = self.verdict.compared.saturating_add(1);
                let expected = layer.diff_id.to_string();
                if found != expected {
                    let cause = "the image that the root tier stands on has another layer here";
                    let finding = Finding::new(Field::Content, "diff_id", expected, found).because(cause);
                    self.add(title.clone(), Some(&given.name), vec![finding], 1);
                }
            }
        }
        Ok(())
    }
}

/// Whether some image that is given may be one of ours with an overlay, by its name: such tiers are rebuilt
/// where they are asked about.
pub(super) fn may_have_overlays(workshop: &Workshop, picks: &[Pick], against: &Discovered) -> Result<bool, Failures> {
    for pick in picks {
        let distribution = &workshop.project.distributions[pick.distribution];
        let overlays: Vec<usize> = (0..distribution.tiers.len())
            .filter(|tier| {
                distribution.tiers[*tier].stands_for.as_ref().is_some_and(|one| pick.named.contains(&one.below))
            })
            .collect();
        if overlays.is_empty() {
            continue;
        }
        let meant = |images: &[GivenImage]| {
            let mut tags = images.iter().flat_map(|image| &image.tags);
            let variants: Vec<&str> = overlays
                .iter()
                .filter_map(|tier| Some(distribution.tiers[*tier].stands_for.as_ref()?.variant.as_str()))
                .collect();
            tags.any(|tag| variants.iter().any(|variant| tag.contains(variant)))
        };
        let folder = match against {
            Discovered::Images(images) if meant(images) => return Ok(true),
            Discovered::Outputs(folder) => folder,
            _ => continue,
        };
        let outputs = Outputs::new(folder);
        let layout = outputs.path(&layout_name(&distribution.name));
        if layout.join(MARKER_NAME).exists()
            && let Discovered::Images(images) = discover(&layout)?
            && meant(&images)
        {
            return Ok(true);
        }
        let names = overlays.iter().flat_map(|tier| images_on(distribution, *tier, &Default::default()));
        let there = |name: &str| {
            let archive = |architecture| outputs.path(&docker_name(&distribution.name, architecture, name)).exists();
            pick.architectures.iter().copied().any(archive)
        };
        if names.into_iter().any(|planned| there(&planned.name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A layer of which only the content counts.
fn bare(diff_id: DiffId, title: String) -> Layer {
    Layer { diff_id, form: Form::Tar, digest: Sha256::of(b""), size: 0, path: std::path::PathBuf::new(), title }
}
