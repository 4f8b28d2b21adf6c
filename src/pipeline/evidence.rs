//! `sbom`, and the documents that stand beside layers: from composed tiers to bytes.

use std::{collections::BTreeMap, path::Path};

use super::{
    Failures, Pick, Workshop,
    base::{locked_with_ground, with_ground},
    building::{Chain, changes, inputs},
    locking,
    packages::{Lack, Packages, check_digests, unpacked},
    plan::{Plan, Step, packages_of, plan},
    stages::Stages,
};
use crate::{
    debian::Architecture,
    evidence::{
        files,
        kept_out::Stage,
        provenance::{self, Hashed, Material, Provenance},
        sbom::{self, Copyrights, Finished, cyclonedx, report, spdx},
    },
    ground::Sha256,
    layer::{self, Form, NoStore},
    manifest::TarballPlace,
    outputs,
};

/// A form of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// SPDX 2.3 JSON.
    Spdx {
        /// With the tier's files, which are then read.
        files: bool,
    },
    /// CycloneDX 1.6 JSON.
    CycloneDx {
        /// With the tier's files, which are then read.
        files: bool,
    },
    /// The licence report.
    Licences {
        /// As JSON instead of text.
        json: bool,
    },
    /// One line of JSON a path.
    Files,
    /// An in-toto statement with SLSA provenance.
    Provenance,
}

impl Evidence {
    /// What a build can write, by the words of `--format`.
    pub const OF_BUILDS: [(&str, Self); 5] = [
        ("spdx", Self::Spdx { files: false }),
        ("cdx", Self::CycloneDx { files: false }),
        ("licenses", Self::Licences { json: false }),
        ("files", Self::Files),
        ("provenance", Self::Provenance),
    ];

    /// What its blob is where it is attached to an image; `None` of reports for people.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Spdx { .. } => Some("application/spdx+json"),
            Self::CycloneDx { .. } => Some("application/vnd.cyclonedx+json"),
            Self::Licences { .. } => None,
            Self::Files => Some("application/vnd.debstrata.files.v1+jsonl"),
            Self::Provenance => Some("application/vnd.in-toto+json"),
        }
    }

    /// How its file's name ends.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Spdx { .. } => "spdx.json",
            Self::CycloneDx { .. } => "cdx.json",
            Self::Licences { json: true } => "licenses.json",
            Self::Licences { json: false } => "licenses.txt",
            Self::Files => "files.jsonl",
            Self::Provenance => "provenance.json",
        }
    }

    /// The name of its file below the output folder: `debian13/amd64/cc.spdx.json`.
    pub fn file_name(self, distribution: &str, architecture: Architecture, tier: &str) -> String {
        format!("{distribution}/{architecture}/{tier}.{}", self.extension())
    }
}

/// Evidence of one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// In full: `debian13/cc`.
    pub tier: String,
    /// Of which architecture.
    pub architecture: Architecture,
    /// The document.
    pub bytes: Vec<u8>,
}

/// Evidence of every named tier of the picks, from the locks and the cache; nothing is written but the
/// cache. A lock that is not there or does not fit is an error.
pub fn evidence(workshop: &Workshop, picks: &[Pick], kind: Evidence) -> Result<Vec<Document>, Failures> {
    let locks = locking::read_all_fresh(workshop, picks)?;
    let plans = plan(workshop, picks, &locks)?;
    let copyrights = Copyrights::default();
    let mut documents = Vec::new();
    for plan in &plans {
        let named: Vec<_> = plan.named().collect();
        let composed = |step: &Step| {
            let recorded = plan.recorded(step).filter(|recorded| recorded.recipe == step.recipe);
            kind != Evidence::Provenance || recorded.is_none()
        };
        let packages = match named.iter().any(|step| composed(step)) {
            true => unpacked(workshop, plan.steps.iter().map(|step| (plan, step))).map_err(Lack::into_failures)?,
            false => Packages::new(),
        };
        check_digests(std::slice::from_ref(plan), &packages)?;
        let stages = match packages.is_empty() {
            true => None,
            false => Some(Stages::compose(plan, &packages)?),
        };
        let nothing = Chain::new();
        let chain = stages.as_ref().map_or(&nothing, |stages| &stages.chain);
        for step in named {
            let bytes = match kind {
                Evidence::Provenance => provenance(workshop, plan, step, layer_of(workshop, plan, step, chain)?),
                _ => document(workshop, plan, step, chain, &packages, &copyrights, kind)?,
            };
            documents.push(Document { tier: plan.title(step), architecture: plan.architecture, bytes });
        }
    }
    Ok(documents)
}

/// The layer of a step by its diff_id: as the lock records it of this recipe, else made to be counted.
fn layer_of(workshop: &Workshop, plan: &Plan<'_>, step: &Step, chain: &Chain) -> Result<Vec<Hashed>, Failures> {
    let diff_id = match plan.recorded(step).filter(|recorded| recorded.recipe == step.recipe) {
        Some(recorded) => recorded.diff_id,
        None => {
            let changes = changes(plan, step, chain);
            layer::emit(&changes, plan.mtime(workshop), &mut [], &NoStore, &*workshop.observer)?.diff_id
        }
    };
    let name = outputs::layer_name(&plan.distribution.name, plan.architecture, &plan.tier(step).name, Form::Tar);
    Ok(vec![Hashed { name, sha256: diff_id.0 }])
}

/// One document of a composed tier; `chain` has it and all its ancestors, `packages` what they are made
/// of. Of provenance, see [`provenance`]: it needs the layer's digest and nothing composed.
pub(super) fn document(
    workshop: &Workshop,
    plan: &Plan<'_>,
    step: &Step,
    chain: &Chain,
    packages: &Packages,
    copyrights: &Copyrights,
    kind: Evidence,
) -> Result<Vec<u8>, Failures> {
    let tiers = plan.distribution.chain(step.tier);
    let steps: Vec<&Step> = tiers.iter().filter_map(|tier| plan.steps.iter().find(|step| step.tier == *tier)).collect();
    let inputs: Vec<_> = steps.iter().map(|step| with_ground(plan, step, inputs(plan, step, packages))).collect();
    let stages = steps.iter().zip(&inputs).map(|(step, inputs)| Stage {
        tier: plan.tier(step),
        composed: &chain[&step.tier],
        packages: inputs,
    });
    let finished = Finished {
        distribution: &plan.distribution.name,
        stages: &stages.collect::<Vec<_>>(),
        recipes: &steps.iter().map(|step| step.recipe).collect::<Vec<_>>(),
        locked: &steps.iter().map(|step| locked_with_ground(plan, step)).collect::<Vec<_>>(),
        architecture: plan.architecture,
        created: plan.mtime(workshop),
    };
    let bill = |files| sbom::bill(&finished, copyrights, files);
    Ok(match kind {
        Evidence::Spdx { files } => spdx::document(&bill(files)?),
        Evidence::CycloneDx { files } => cyclonedx::document(&bill(files)?),
        Evidence::Licences { json: true } => report::json(&bill(false)?),
        Evidence::Licences { json: false } => report::text(&bill(false)?),
        Evidence::Files => files::lines(&finished),
        Evidence::Provenance => provenance(workshop, plan, step, layer_of(workshop, plan, step, chain)?),
    })
}

/// The provenance of what was made of a step: its layer by the digest of the tar, files, images.
pub(super) fn provenance(workshop: &Workshop, plan: &Plan<'_>, step: &Step, subjects: Vec<Hashed>) -> Vec<u8> {
    let root = &workshop.project.root;
    let archive = &plan.distribution.archive;
    let tiers: Vec<_> =
        plan.distribution.chain(step.tier).into_iter().map(|tier| &plan.distribution.tiers[tier]).collect();
    let sources = std::iter::once(&archive.source).chain(tiers.iter().map(|tier| &tier.source));
    let manifests =
        sources.map(|source| Hashed { name: source.name.to_string(), sha256: Sha256::of(source.text.as_bytes()) });
    let mut materials = Vec::new();
    for suite in &plan.lock.suites {
        let (what, signer) = match &suite.folder {
            Some(_) => ("index of the folder", None),
            None => ("InRelease", suite.signer.clone()),
        };
        materials.push(Material {
            hashed: Hashed { name: format!("{what} {}", suite.id), sha256: suite.inrelease },
            uri: None,
            annotations: signer.map(|signer| ("signer", signer)).into_iter().collect(),
        });
    }
    let keyrings: BTreeMap<String, Sha256> = archive
        .sources
        .iter()
        .filter_map(|source| source.signed_by.as_ref())
        .map(|keyring| (below(root, &keyring.path), Sha256::of(&keyring.bytes)))
        .collect();
    materials.extend(keyrings.into_iter().map(|(name, sha256)| plain(name, sha256)));
    if let Some((base, ground)) = tiers.first().and_then(|tier| tier.base.as_ref()).zip(plan.ground(step.tier)) {
        let hashed = Hashed { name: format!("the base image {}", ground.image), sha256: base.digest.value };
        let title = tiers.first().map(|tier| tier.name.clone()).unwrap_or_default();
        materials.push(Material { hashed, uri: None, annotations: [("tier", title)].into() });
    }
    for tier in &tiers {
        for package in packages_of(plan.lock, plan.architecture, &tier.name) {
            let (name, version) = (&*package.name, package.version.as_str());
            let vendor = if package.from.starts_with("ubuntu") { "ubuntu" } else { "debian" };
            materials.push(Material {
                hashed: Hashed { name: package.path.to_string(), sha256: package.sha256 },
                uri: Some(sbom::purl(vendor, None, (name, version, &package.architecture), (name, version))),
                annotations: [("suite", package.from.to_string()), ("tier", tier.name.clone())].into(),
            });
        }
        for tarball in &tier.archives {
            let uri = tarball.uris.iter().find_map(|place| match place {
                // What stands before `@` or behind `?` may be a secret.
                TarballPlace::Uri(uri) => Some(uri.clone()).filter(|uri| !uri.contains(['@', '?'])),
                TarballPlace::Beside(_) => None,
            });
            let beside = tarball.uris.iter().find_map(|place| match place {
                TarballPlace::Beside(path) => Some(below(root, path)),
                TarballPlace::Uri(_) => None,
            });
            let last = uri.as_ref().and_then(|uri| uri.rsplit('/').next()).map(str::to_owned);
            let name = beside.or(last).unwrap_or_else(|| format!("an archive of {}", tier.name));
            materials.push(Material {
                hashed: Hashed { name, sha256: tarball.sha256 },
                uri,
                annotations: [("tier", tier.name.clone())].into(),
            });
        }
        let own = plan.steps.iter().find(|step| std::ptr::eq(plan.tier(step), *tier));
        let beside = own.into_iter().flat_map(|step| &step.beside);
        materials.extend(beside.map(|(path, content)| plain(below(root, path), content.sha256)));
    }
    provenance::statement(&Provenance {
        subjects,
        distribution: plan.distribution.name.clone(),
        tier: plan.tier(step).name.clone(),
        architecture: plan.architecture.to_string(),
        timestamp: plan.mtime(workshop),
        format_version: layer::FORMAT_VERSION,
        manifests: manifests.collect(),
        materials,
    })
}

fn plain(name: String, sha256: Sha256) -> Material {
    Material { hashed: Hashed { name, sha256 }, uri: None, annotations: BTreeMap::new() }
}

/// A file as the project calls it; one that lies elsewhere by its name alone.
fn below(root: &Path, path: &Path) -> String {
    let name = || Path::new(path.file_name().unwrap_or_default());
    path.strip_prefix(root).unwrap_or_else(|_| name()).to_string_lossy().into_owned()
}
