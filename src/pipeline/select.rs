//! From names on the command line to tiers and architectures of the project.

use std::collections::BTreeSet;

use miette::Diagnostic;

use super::Failures;
use crate::{
    debian::Architecture,
    ground::{Class, Failure, nearest},
    manifest::{Distribution, Project},
};

/// What is asked for of one distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// Index into `Project::distributions`.
    pub distribution: usize,
    /// Indexes into `Distribution::tiers`, with all their parents, parents first.
    pub tiers: Vec<usize>,
    /// The tiers that were named (all, where none was).
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
            named.extend(0..distribution.tiers.len());
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
    whole.flat_map(|(index, distribution)| (0..distribution.tiers.len()).map(move |tier| (index, tier))).collect()
}

fn unknown_tier(project: &Project, name: &str) -> SelectError {
    let full: Vec<String> = project
        .distributions
        .iter()
        .flat_map(|distribution| {
            distribution.tiers.iter().map(move |tier| format!("{}/{}", distribution.name, tier.name))
        })
        .collect();
    let short = full.iter().filter_map(|name| name.split_once('/')).map(|(_, tier)| tier);
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
            (None, None) => format!("tiers are {}", full.join(", ")),
        },
    }
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
