//! `dependencies = "linked"`: what `resolve` must know of packages' files while it decides on packages.
//! Each batch is fetched and unpacked at once; which files count is what `compose` would keep.

use std::{collections::BTreeMap, io};

use miette::Diagnostic;
use rayon::prelude::*;

use super::{
    Failures, Located, ShownSaved, Workshop,
    base::{Ground, is_of_image},
    packages::{Lack, Sought, expected, obtained},
};
use crate::{
    archive::{self, Index, Package, Suites},
    compose::{self, Beside, Composition, Input},
    debian::Architecture,
    elf::{self, Elf, ElfError},
    fetch::Origin,
    ground::{Class, Event, Failure, RootPath, Sha256},
    lock::{self, Inputs, Lock, Saved},
    manifest::{Dependencies, Distribution},
    resolve::{
        self, Answer, Question,
        linked::{Contents, LinkError, Linkage, Linked, Piece, Rules, is_documentation},
    },
    rootfs::{Content, Node},
    unpack::Unpacked,
};

/// A kept file that begins as an ELF file, and is none that could be loaded.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} of {package} in {tier} begins as an ELF file, and could not be loaded")]
#[diagnostic(
    code(debstrata::pipeline::bad_elf),
    help("exclude the file in [globs], use another version of the package, or take dependencies = \"all\"")
)]
struct BadElf {
    path: RootPath,
    package: String,
    /// With its distribution and the architecture.
    tier: String,
    source: ElfError,
}

impl Failure for BadElf {
    fn class(&self) -> Class {
        self.source.class()
    }
}

/// The digest of a tier's question, where kept files decide on its packages too.
pub(super) fn digest(distribution: &Distribution, number: usize, question: Sha256) -> Sha256 {
    let tier = &distribution.tiers[number];
    if tier.dependencies != Dependencies::Linked {
        return question;
    }
    let globs: Vec<_> =
        distribution.chain(number).into_iter().rev().map(|tier| &distribution.tiers[tier].globs).collect();
    lock::linked_digest(question, distribution.archive.merged_usr, &globs, &tier.allow_missing)
}

/// Reduces the full answer of a linked tier to what its files need; that of another tier stays as it is.
/// `inputs` has the tiers of the parent chain, whose packages are `present`.
#[allow(clippy::too_many_arguments, reason = "called once, from where all of it is at hand")]
pub(super) fn link(
    workshop: &Workshop,
    distribution: &Distribution,
    number: usize,
    suites: &Suites,
    index: &Index,
    present: &[Package],
    ground: Option<&Ground>,
    inputs: &Inputs,
    question: Question,
    answer: Answer,
) -> Result<(Answer, Option<Saved>), Failures> {
    let tier = &distribution.tiers[number];
    if question.dependencies != Dependencies::Linked {
        return Ok((answer, None));
    }
    let mut owners = BTreeMap::new();
    for above in distribution.chain(number) {
        for name in inputs.tiers.get(&distribution.tiers[above].name).into_iter().flat_map(|tier| &tier.packages) {
            owners.insert(&**name, above);
        }
    }
    // All files of an image are those of one package that it does not have, whoever's they are.
    let image = ground.map(Ground::as_package);
    let all: Vec<Package> = image.into_iter().chain(present.iter().cloned()).collect();
    let records = suites.records();
    let mut reading = Reading {
        workshop,
        distribution,
        tier: number,
        architecture: question.architecture,
        origins: archive::origins(&distribution.archive, &records),
        owners,
        ground,
    };
    let rules = Rules {
        allow_missing: tier.allow_missing.iter().map(|missing| missing.library.value.clone()).collect(),
        merged_usr: distribution.archive.merged_usr,
    };
    let title = format!("{}/{} {}", distribution.name, tier.name, question.architecture);
    workshop.observer.tell(Event::Step(format!("{title}: looking for what its files need")));
    let linked = resolve::linked::link(&question, &rules, index, &all, answer, &mut reading);
    let Linked { answer, saved, saved_size, remarks } = linked.map_err(|error| match error {
        LinkError::Contents(failures) => failures,
        LinkError::Missing(errors) => {
            let located = |error| Located::on(question.architecture, &tier.source, error);
            errors.into_iter().map(located).collect::<Vec<_>>().into()
        }
    })?;
    for remark in remarks {
        workshop.observer.tell(Event::Note(format!("{title}: {remark}")));
    }
    Ok((answer, Some(Saved { packages: saved, size: saved_size })))
}

/// What the linked tiers of a lock do without.
pub(super) fn saved(lock: &Lock) -> Vec<(String, Architecture, ShownSaved)> {
    let of = |(architecture, inputs): (&Architecture, &Inputs)| {
        let each =
            inputs.tiers.iter().filter_map(|(name, tier)| Some((name.clone(), *architecture, tier.saved?.into())));
        each.collect::<Vec<_>>()
    };
    lock.architectures.iter().flat_map(of).collect()
}

struct Reading<'a> {
    workshop: &'a Workshop,
    distribution: &'a Distribution,
    tier: usize,
    architecture: Architecture,
    origins: BTreeMap<String, Origin>,
    /// The tier of each package of the parent chain.
    owners: BTreeMap<&'a str, usize>,
    ground: Option<&'a Ground>,
}

impl Linkage for Reading<'_> {
    type Error = Failures;

    fn contents(&mut self, packages: &[&Package]) -> Result<Vec<Contents>, Failures> {
        let debs: Vec<&Package> = packages.iter().copied().filter(|package| !is_of_image(package)).collect();
        let unpacked = self.unpacked(&debs)?;
        let read: Vec<_> =
            debs.par_iter().zip(&unpacked).map(|(package, unpacked)| self.read(package, unpacked)).collect();
        let mut read = Failures::gather(read)?.into_iter();
        let one = |package: &&Package| match is_of_image(package) {
            true => self.of_image(package),
            false => Ok(read.next().expect("one for each")),
        };
        packages.iter().map(one).collect()
    }
}

impl Reading<'_> {
    /// In the order of `packages`.
    fn unpacked(&self, packages: &[&Package]) -> Result<Vec<Unpacked>, Failures> {
        let sought = packages.iter().map(|package| Sought {
            distribution: &self.distribution.name,
            package,
            origin: self.origins.get(&*package.from),
            turn: 0,
        });
        let found = obtained(self.workshop, sought).map_err(Lack::into_failures)?;
        let one = |package: &&Package| found.get(&package.sha256).cloned().expect("all were had, or it is an error");
        Ok(packages.iter().map(one).collect())
    }

    /// The image's files, where they are asked for as a whole; its packages have none by themselves.
    fn of_image(&self, package: &Package) -> Result<Contents, Failures> {
        let mut contents = Contents { files: BTreeMap::new(), bare: false };
        let Some(ground) = self.ground.filter(|ground| ground.is_whole(package)) else { return Ok(contents) };
        for (path, entry) in &ground.composed.rootfs.entries {
            let piece = match &entry.node {
                Node::Directory => continue,
                Node::Symlink(target) => Piece::Link(target.clone()),
                // A file that no loader would take is the image's own affair.
                Node::File { content, .. } => match piece(content, entry.attributes.mode, self.architecture) {
                    Err(ElfError::Unreadable(error)) => {
                        return Err(compose::ComposeError::Content { path: path.clone(), error }.into());
                    }
                    piece => piece.unwrap_or(Piece::Other),
                },
            };
            contents.files.insert(path.clone(), piece);
        }
        Ok(contents)
    }

    fn read(&self, package: &Package, unpacked: &Unpacked) -> Result<Contents, Failures> {
        let number = self.owners.get(&*package.name).copied().unwrap_or(self.tier);
        let tier = &self.distribution.tiers[number];
        let inputs = [Input { name: expected(package).package, unpacked }];
        let beside = Beside::new();
        let kept = compose::kept(&Composition {
            archive: &self.distribution.archive,
            tier,
            name: &tier.name,
            architecture: self.architecture,
            packages: &inputs,
            beside: &beside,
            archives: &[],
            parent: None,
        });
        let mut contents = Contents {
            files: BTreeMap::new(),
            bare: unpacked.entries.iter().all(|item| item.node == Node::Directory || is_documentation(&item.path)),
        };
        let mut failures = Vec::new();
        for kept in kept {
            let piece = match kept.node {
                Node::Directory => continue,
                Node::Symlink(target) => Piece::Link(target),
                Node::File { content, .. } => match piece(&content, kept.mode, self.architecture) {
                    Ok(piece) => piece,
                    Err(source) => {
                        let package = format!("{} {}", package.name, package.version);
                        let tier = format!("{}/{} {}", self.distribution.name, tier.name, self.architecture);
                        failures.push(BadElf { path: kept.path, package, tier, source });
                        continue;
                    }
                },
            };
            contents.files.insert(kept.path, piece);
        }
        if failures.is_empty() { Ok(contents) } else { Err(failures.into()) }
    }
}

fn piece(content: &Content, mode: u16, architecture: Architecture) -> Result<Piece, ElfError> {
    let read = |from: u64, buffer: &mut [u8]| -> io::Result<()> { content.read_at(from, buffer) };
    if let Some(elf) = elf::read(content.size, read)? {
        // Another machine's: firmware, or for an emulator.
        let native = elf.abi.is_native(architecture);
        return Ok(if native { Piece::Elf(Box::<Elf>::new(elf)) } else { Piece::Other });
    }
    if mode & 0o111 == 0 {
        return Ok(Piece::Other);
    }
    let mut line = vec![0; content.size.min(elf::LONGEST_LINE) as usize];
    content.read_at(0, &mut line).map_err(ElfError::Unreadable)?;
    Ok(elf::interpreter(&line).map_or(Piece::Other, Piece::Script))
}
