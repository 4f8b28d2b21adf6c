//! Tiers as sides: composed, with their packages as the lock has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Unit,
    books::Books,
    operand::{Sought, TierUnit, Tiers, package},
};
use crate::{
    archive::Package as Locked,
    compose::{ComposeError, Composed},
    elf::{self, ElfError},
    evidence::diff::{self, Entry, Package, Side, Tree, is_kept, is_library, library, settings},
    ground::{RootPath, Sha256},
    image::{self, Image, Platform, config::config},
    manifest::{Distribution, images},
    pipeline::{
        Failures, Pick, Workshop, locking,
        packages::{Lack, Packages, check_digests, unpacked},
        plan::{Plan, packages_of, plan},
        stages::Stages,
    },
    rootfs::{LinkGroup, Node, Origin},
};

/// What shapes the layers of a tier's chain, by key.
pub(super) type Recipes = BTreeMap<String, Vec<Sha256>>;

/// The bundle of CA certificates is the one content that is read; packages are known from the lock.
const BUNDLE_FOLDER: &[u8] = b"etc/ssl/";
/// Bytes of it.
const LONGEST_BUNDLE: u64 = 32 << 20;

/// One pick a distribution and architecture, with what its units need.
fn picks<'u>(tiers: &Tiers, units: impl Iterator<Item = &'u TierUnit>) -> Vec<Pick> {
    let mut groups: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
    for unit in units {
        groups.entry((unit.distribution, unit.architecture)).or_default().insert(unit.tier);
    }
    let pick = |((distribution, architecture), named): ((usize, _), BTreeSet<usize>)| {
        let chain = |tier: &usize| tiers.workshop.project.distributions[distribution].chain(*tier);
        let all: BTreeSet<usize> = named.iter().flat_map(chain).collect();
        let (tiers, named) = (all.into_iter().collect(), named.into_iter().collect());
        Pick { distribution, tiers, named, architectures: vec![architecture] }
    };
    groups.into_iter().map(pick).collect()
}

pub(super) fn recipes(tiers: &Tiers) -> Result<Recipes, Failures> {
    let picks = picks(tiers, tiers.units.iter());
    let locks = locking::read_all_fresh(&tiers.workshop, &picks)?;
    let plans = plan(&tiers.workshop, &picks, &locks)?;
    let mut recipes = Recipes::new();
    for (unit, plan) in tiers.units.iter().filter_map(|unit| Some((unit, of(&plans, unit)?))) {
        let chain = plan.distribution.chain(unit.tier);
        let steps = plan.steps.iter().filter(|step| chain.contains(&step.tier));
        recipes.insert(unit.key.clone(), steps.map(|step| step.recipe).collect());
    }
    Ok(recipes)
}

fn of<'p, 'a>(plans: &'p [Plan<'a>], unit: &TierUnit) -> Option<&'p Plan<'a>> {
    plans.iter().find(|plan| plan.pick.distribution == unit.distribution && plan.architecture == unit.architecture)
}

pub(super) fn gather<'a>(tiers: &'a Tiers, sought: &Sought<'_>) -> Result<Vec<Unit<'a>>, Failures> {
    let workshop = &*tiers.workshop;
    let every = picks(tiers, tiers.units.iter());
    let locks = locking::read_all_fresh(workshop, &every)?;
    let plans = plan(workshop, &every, &locks)?;
    let composed = |unit: &&TierUnit| sought.files && !sought.same.contains(&unit.key);
    let mut found: BTreeMap<&str, Unit<'a>> = BTreeMap::new();
    for current in &plans {
        let of_plan = |unit: &&TierUnit| of(&plans, unit).is_some_and(|plan| std::ptr::eq(plan, current));
        let units: Vec<&TierUnit> = tiers.units.iter().filter(of_plan).collect();
        // Only what is compared is fetched and composed.
        let needed = picks(tiers, units.iter().copied().filter(composed));
        let smaller = plan(workshop, &needed, &locks)?;
        let smaller = smaller.first();
        let packages = match smaller {
            Some(plan) => {
                unpacked(workshop, plan.steps.iter().map(|step| (plan, step))).map_err(Lack::into_failures)?
            }
            None => Packages::new(),
        };
        let stages = match smaller {
            Some(plan) => {
                check_digests(std::slice::from_ref(plan), &packages)?;
                Some(Stages::compose(plan, &packages)?)
            }
            None => None,
        };
        for unit in units {
            let tree = match &stages {
                Some(stages) if composed(&unit) => Some(tree(&stages.chain[&unit.tier])?),
                _ => None,
            };
            found.insert(&unit.key, self::unit(workshop, current, unit, tree, &packages));
        }
    }
    Ok(tiers.units.iter().filter_map(|unit| found.remove(unit.key.as_str())).collect())
}

fn unit<'a>(
    workshop: &'a Workshop,
    plan: &Plan<'_>,
    unit: &TierUnit,
    tree: Option<Tree>,
    unpacked: &Packages,
) -> Unit<'a> {
    let chain = plan.distribution.chain(unit.tier);
    let tier = |index: usize| &plan.distribution.tiers[index];
    let locked: Vec<&Locked> =
        chain.iter().flat_map(|index| packages_of(plan.lock, plan.architecture, &tier(*index).name)).collect();
    let (config, variants) = configs(plan.distribution, unit);
    Unit {
        key: unit.key.clone(),
        side: Side {
            name: unit.title.clone(),
            packages: Some(locked.iter().map(|locked| of_lock(locked, unpacked)).collect()),
            tree,
            config: Some(config),
            variants: Some(variants),
        },
        books: Books::of(workshop, locked),
    }
}

/// A locked package; its control file, where it was unpacked, tells the version of its source.
fn of_lock(locked: &Locked, unpacked: &Packages) -> Package {
    let control = unpacked.get(&locked.sha256).and_then(|unpacked| unpacked.control.get("control"));
    let text = control.and_then(|control| str::from_utf8(control).ok()).unwrap_or_default();
    let source = text.lines().find_map(|line| line.strip_prefix("Source:"));
    package(locked, source)
}

type Settings = BTreeMap<String, String>;

/// The plain image's config, and those of the variants by suffix.
fn configs(distribution: &Distribution, unit: &TierUnit) -> (Settings, BTreeMap<String, Settings>) {
    let (mut plain, mut variants) = (Settings::new(), BTreeMap::new());
    let name = &distribution.tiers[unit.tier].name;
    for planned in images(distribution, unit.tier) {
        let platform = Platform::of(unit.architecture);
        let annotations = planned.image.annotations.clone();
        let image = Image {
            name: planned.name.clone(),
            platform,
            settings: planned.image,
            created: 0,
            layers: Vec::new(),
            history: Vec::new(),
        };
        let found = settings(&config(&image).config, Some(&shown(&image.platform)), &annotations);
        match planned.name.strip_prefix(name.as_str()).unwrap_or_default().strip_prefix('-') {
            None => plain = found,
            Some(suffix) => drop(variants.insert(suffix.to_owned(), found)),
        }
    }
    (plain, variants)
}

pub(super) fn shown(platform: &image::Platform) -> String {
    let Platform { architecture, os, variant } = platform;
    let variant = variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{os}/{architecture}{variant}")
}

/// A composed tree as one that can be compared.
fn tree(composed: &Composed) -> Result<Tree, Failures> {
    let mut tree = Tree::default();
    let mut seen: BTreeSet<LinkGroup> = BTreeSet::new();
    let mut names: BTreeMap<&str, Arc<str>> = BTreeMap::new();
    for (path, entry) in &composed.rootfs.entries {
        let mut again = false;
        let node = match &entry.node {
            Node::Directory => diff::Node::Directory,
            Node::Symlink(target) => diff::Node::Symlink(target.clone()),
            Node::File { content, group } => {
                again = group.is_some_and(|group| !seen.insert(group));
                let broken = |error| Failures::from(ComposeError::Content { path: path.clone(), error });
                if is_library(path) {
                    match elf::read(content.size, |from, buffer| content.read_at(from, buffer)) {
                        Err(ElfError::Unreadable(error)) => return Err(broken(error)),
                        read => tree.libraries.extend(library(read).map(|library| (path.clone(), library))),
                    }
                }
                if is_bundle(path) && content.size <= LONGEST_BUNDLE {
                    let mut bytes = vec![0; content.size as usize];
                    content.read_at(0, &mut bytes).map_err(broken)?;
                    tree.kept.insert(path.clone(), bytes.into());
                }
                diff::Node::File { size: content.size, sha256: content.sha256 }
            }
        };
        let package = match &entry.origin {
            Origin::Package(package) => {
                Some(names.entry(&package.name).or_insert_with(|| Arc::from(&*package.name)).clone())
            }
            _ => None,
        };
        let attributes = &entry.attributes;
        let xattrs = attributes.xattrs.iter().map(|(name, value)| (name.clone(), Sha256::of(value))).collect();
        let (mode, uid, gid) = (attributes.mode, attributes.uid, attributes.gid);
        tree.entries.insert(path.clone(), Entry { node, mode, uid, gid, xattrs, package, again });
    }
    Ok(tree)
}

fn is_bundle(path: &RootPath) -> bool {
    is_kept(path) && path.as_bytes().starts_with(BUNDLE_FOLDER)
}
