//! From names on the command line to tiers and architectures of the project.

use std::collections::BTreeSet;

use miette::Diagnostic;

use super::Failures;
use crate::{
    debian::Architecture,
    ground::{Class, Failure, nearest},
    manifest::{Distribution, Project, Tier, images},
};

/// What is asked for of one distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// Index into `Project::distributions`.
    pub distribution: usize,
    /// Indexes into `Distribution::tiers`, with all their parents, parents first.
    pub tiers: Vec<usize>,
    /// The tiers that were named (where none was, all that have a file).
    pub named: Vec<usize>,
    /// Sorted.
    pub architectures: Vec<Architecture>,
}

/// A name that the project does not know.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(debstrata::select))]
struct SelectError {
    message: String,
    #[help]
    help: String,
}

impl Failure for SelectError {
    fn class(&self) -> Class {
        Class::User
    }
}

/// Finds tiers by `distribution/tier`, `tier` (in every distribution that has it) or `distribution` (all
/// that it has, unless a tier is called so; no names: all)
/// and architectures by name or `all` (no names: the host's). A distribution that was not named and
/// has none of the architectures is left out.
pub fn select(
    project: &Project,
    tiers: &[String],
    architectures: &[String],
    host: Option<Architecture>,
) -> Result<Vec<Pick>, Failures> {
    let mut errors = Vec::new();
    // Once, not once for every distribution.
    let (asked, wrong) = parse_architectures(architectures);
    errors.extend(wrong);
    let mut named: Vec<Vec<usize>> = vec![Vec::new(); project.distributions.len()];
    for name in tiers {
        let found = find_tiers(project, name);
        if found.is_empty() {
            errors.push(unknown_tier(project, name));
        }
        for (distribution, tier) in found {
            named[distribution].push(tier);
        }
    }
    if tiers.is_empty() {
        for (distribution, named) in project.distributions.iter().zip(&mut named) {
            let own = |tier: &usize| distribution.tiers[*tier].stands_for.is_none();
            named.extend((0..distribution.tiers.len()).filter(own));
        }
    }
    let mut picks = Vec::new();
    for (index, (distribution, mut named)) in project.distributions.iter().zip(named).enumerate() {
        named.sort_unstable();
        named.dedup();
        if named.is_empty() {
            continue;
        }
        let architectures = choose_architectures(distribution, &asked, host);
        if architectures.is_empty() {
            continue;
        }
        let mut tiers: Vec<usize> = named.iter().flat_map(|tier| distribution.chain(*tier)).collect();
        tiers.sort_unstable();
        tiers.dedup();
        picks.push(Pick { distribution: index, tiers, named, architectures });
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    if picks.is_empty() && !project.distributions.is_empty() {
        let wanted = match (architectures, host) {
            ([], Some(host)) => host.to_string(),
            ([], None) => "this machine's architecture".to_owned(),
            (names, _) => names.join(", "),
        };
        return Err(SelectError {
            message: format!("no distribution of this project is for {wanted}"),
            help: "name another one with --arch, or add it to `architectures` in archive.toml".into(),
        }
        .into());
    }
    Ok(picks)
}

/// The picks with the tiers that stand for overlays on top of their named ones: among `tiers` then, not
/// among `named`. For those who make or judge images.
pub fn with_overlays(project: &Project, picks: Vec<Pick>) -> Vec<Pick> {
    let add = |mut pick: Pick| {
        let tiers = &project.distributions[pick.distribution].tiers;
        let on_named = |tier: &Tier| tier.stands_for.as_ref().is_some_and(|one| pick.named.contains(&one.below));
        // They come last, so their parents stay before them.
        pick.tiers.extend(tiers.iter().enumerate().filter(|(_, tier)| on_named(tier)).map(|(at, _)| at));
        pick.tiers.sort_unstable();
        pick.tiers.dedup();
        pick
    };
    picks.into_iter().map(add).collect()
}

fn find_tiers(project: &Project, name: &str) -> Vec<(usize, usize)> {
    let (wanted, tier) = match name.split_once('/') {
        Some((distribution, tier)) => (Some(distribution), tier),
        None => (None, name),
    };
    let distributions = || project.distributions.iter().enumerate();
    let found: Vec<_> = distributions()
        .filter(|(_, distribution)| wanted.is_none_or(|wanted| wanted == distribution.name))
        .filter_map(|(index, distribution)| Some((index, distribution.tier(tier)?)))
        .collect();
    if !found.is_empty() {
        return found;
    }
    let whole = distributions().filter(|(_, distribution)| distribution.name == name);
    let own = |distribution: &Distribution| {
        let tiers = distribution.tiers.iter().enumerate();
        tiers.filter(|(_, tier)| tier.stands_for.is_none()).map(|(at, _)| at).collect::<Vec<_>>()
    };
    whole.flat_map(|(index, distribution)| own(distribution).into_iter().map(move |tier| (index, tier))).collect()
}

fn unknown_tier(project: &Project, name: &str) -> SelectError {
    let names = |wanted: &dyn Fn(&Tier) -> bool| -> Vec<String> {
        let each = project.distributions.iter().flat_map(|one| one.tiers.iter().map(move |tier| (one, tier)));
        each.filter(|(_, tier)| wanted(tier)).map(|(one, tier)| format!("{}/{}", one.name, tier.name)).collect()
    };
    let (full, own) = (names(&|_| true), names(&|tier| tier.stands_for.is_none()));
    let short = full.iter().filter_map(|name| name.split_once('/')).map(|(_, tier)| tier);
    if let Some((distribution, tier)) = image_of(project, name) {
        return SelectError {
            message: format!("{name:?} is an image, not a tier"),
            help: format!("its layers are those of {distribution}/{tier}: name that"),
        };
    }
    let whole = project.distributions.iter().map(|distribution| distribution.name.as_str());
    let empty = whole.clone().find(|whole| *whole == name);
    let near = match name.contains('/') {
        true => nearest(name, full.iter().map(String::as_str)),
        false => nearest(name, short.chain(whole)),
    };
    SelectError {
        message: format!("no tier is called {name:?}"),
        help: match (empty, near) {
            (Some(name), _) => format!("the distribution {name} has no tiers yet: debstrata new {name}/app"),
            (None, Some(near)) => format!("did you mean {near}?"),
            (None, None) => format!("tiers are {}", own.join(", ")),
        },
    }
}

/// The tier whose chain an image of this name has.
fn image_of<'a>(project: &'a Project, name: &str) -> Option<(&'a str, &'a str)> {
    let (wanted, name) = name.split_once('/').map_or((None, name), |(wanted, name)| (Some(wanted), name));
    let mut each = project.distributions.iter().filter(|one| wanted.is_none_or(|wanted| wanted == one.name));
    each.find_map(|one| {
        let mut images = (0..one.tiers.len()).flat_map(|tier| images(one, tier));
        let image = images.find(|image| image.name == name)?;
        Some((one.name.as_str(), one.tiers[image.tier].name.as_str()))
    })
}

/// One `--arch`.
enum Asked {
    All,
    One(Architecture),
}

fn parse_architectures(names: &[String]) -> (Vec<Asked>, Vec<SelectError>) {
    let (mut asked, mut wrong) = (Vec::new(), Vec::new());
    for name in names {
        match name.parse() {
            _ if name == "all" => asked.push(Asked::All),
            Ok(architecture) => asked.push(Asked::One(architecture)),
            Err(_) => wrong.push(unknown_architecture(name)),
        }
    }
    (asked, wrong)
}

/// What a distribution has of the architectures that were asked for; nothing asked: the host's.
fn choose_architectures(distribution: &Distribution, asked: &[Asked], host: Option<Architecture>) -> Vec<Architecture> {
    let wanted = |architecture: &Architecture| match asked {
        [] => host == Some(*architecture),
        asked => asked.iter().any(|asked| match asked {
            Asked::All => true,
            Asked::One(one) => one == architecture,
        }),
    };
    let mut chosen: Vec<_> = distribution.archive.architectures.iter().map(|arch| arch.value).filter(wanted).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// Architectures by name; `all`, or no names: an empty set.
pub fn select_architectures(names: &[String]) -> Result<BTreeSet<Architecture>, Failures> {
    let (asked, wrong) = parse_architectures(names);
    if !wrong.is_empty() {
        return Err(wrong.into());
    }
    let one = |asked| match asked {
        Asked::All => None,
        Asked::One(architecture) => Some(architecture),
    };
    Ok(asked.into_iter().map(one).collect::<Option<_>>().unwrap_or_default())
}

fn unknown_architecture(name: &str) -> SelectError {
    SelectError {
        message: format!("no architecture is called {name:?}"),
        help: match nearest(name, Architecture::known().map(Architecture::name)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!(
                "architectures are {}",
                Architecture::known().map(Architecture::name).collect::<Vec<_>>().join(", ")
            ),
        },
    }
}

/// Finds distributions by name (no names: all).
pub fn select_distributions(project: &Project, names: &[String]) -> Result<Vec<usize>, Failures> {
    if names.is_empty() {
        return Ok((0..project.distributions.len()).collect());
    }
    let mut found = Vec::new();
    let mut errors = Vec::new();
    let known = || project.distributions.iter().map(|distribution| distribution.name.as_str());
    for name in names {
        match known().position(|known| known == name) {
            Some(index) => found.push(index),
            None => errors.push(SelectError {
                message: format!("no distribution is called {name:?}"),
                help: match (name.split_once('/'), nearest(name, known())) {
                    // A tier's name.
                    (Some((whole, _)), _) if known().any(|known| known == whole) => {
                        format!("a lock is a whole distribution's: {whole}")
                    }
                    (_, Some(near)) => format!("did you mean {near}?"),
                    (_, None) => format!("distributions are {}", known().collect::<Vec<_>>().join(", ")),
                },
            }),
        }
    }
    found.sort_unstable();
    found.dedup();
    if errors.is_empty() { Ok(found) } else { Err(errors.into()) }
}
