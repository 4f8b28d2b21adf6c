//! Tiers that no file declares: where a variant has an overlay, one tier stands for the tier below it with
//! the overlay on top. Its content is the overlay's manifest; resolver, lock, composition and layers take
//! it for a tier like any other.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Group, Image, Limits, Overlaid, Tier, User,
    error::{Finding, Findings, Topic},
    image::{Inherited, inherited},
    model::chain,
};
use crate::ground::{Span, Spanned, nearest, printable};

/// What is known of a distribution's files.
pub(super) struct Files<'a> {
    /// The names of all tiers that have one, sorted.
    pub stems: &'a [&'a str],
    /// Those whose chain could not be read: nothing is said about them.
    pub broken: &'a BTreeSet<String>,
}

/// Appends the tiers that stand for overlays. What is wrong is told with the name of the tier whose file
/// says it; a tier of the same name as an image is an error.
pub(super) fn derive(tiers: &mut Vec<Tier>, files: &Files<'_>) -> Vec<(String, Finding)> {
    let mut told = Vec::new();
    let mut derived = Vec::new();
    // Whose images are called what.
    let mut names: BTreeMap<String, usize> =
        tiers.iter().enumerate().map(|(at, tier)| (tier.name.clone(), at)).collect();
    let whole = |tier: &Tier| !files.broken.contains(&tier.name);
    for below in (0..tiers.len()).filter(|at| whole(&tiers[*at])) {
        let variants = inherited(tiers, below);
        let plain: Vec<_> = variants.iter().filter(|(_, variant)| variant.overlay.is_none()).collect();
        let mut claim = |name: String, variant: &Inherited<'_>| {
            let taken = names.get(&name).map(|owner| clash(tiers, below, &name, *owner, variant));
            let free = taken.is_none();
            told.extend(taken);
            if free {
                names.insert(name, below);
            }
            free
        };
        for (suffix, variant) in &plain {
            claim(format!("{}-{suffix}", tiers[below].name), variant);
        }
        let mut wanted = Vec::new();
        for (suffix, variant) in &variants {
            let Some((declaring, overlay)) = variant.overlay else { continue };
            let name = format!("{}-{suffix}", tiers[below].name);
            if !claim(name.clone(), variant) {
                continue;
            }
            for (second, other) in &plain {
                claim(format!("{name}-{second}"), other);
            }
            wanted.push((name, *suffix, declaring, overlay));
        }
        for (name, suffix, declaring, overlay) in wanted {
            let found = fit(tiers, below, overlay, files);
            let made = found.and_then(|at| match at {
                Some(at) => overlaid(tiers, below, at, overlay, name, suffix).map(Some),
                None => Ok(None),
            });
            match made {
                Ok(tier) => derived.extend(tier),
                // Its children have the same chain, so it is told once.
                Err(_) if declaring != below && stands_badly(tiers, declaring, overlay, files) => {}
                Err(fault) => {
                    let mut findings = Findings::new(tiers[declaring].source.clone());
                    findings.error(fault.topic, overlay.span.clone(), fault.message, fault.label).help(fault.help);
                    told.extend(findings.list.into_iter().map(|finding| (tiers[declaring].name.clone(), finding)));
                }
            }
        }
    }
    tiers.extend(derived);
    told
}

struct Fault {
    topic: Topic,
    message: String,
    label: &'static str,
    help: String,
}

/// Whether the tier that names an overlay cannot have it itself.
fn stands_badly(tiers: &[Tier], declaring: usize, overlay: &Spanned<String>, files: &Files<'_>) -> bool {
    fit(tiers, declaring, overlay, files).is_err()
}

/// Which tier an overlay is; `Ok(None)` where it can add nothing, being there, or its file cannot be read.
fn fit(tiers: &[Tier], below: usize, overlay: &Spanned<String>, files: &Files<'_>) -> Result<Option<usize>, Fault> {
    let shown = printable(overlay.value.as_bytes());
    let title = &tiers[below].name;
    if !files.stems.contains(&overlay.value.as_str()) {
        let help = match nearest(&overlay.value, files.stems.iter().copied()) {
            Some(near) => format!("the tier is called `{near}`"),
            None => format!("the tiers are {}", files.stems.join(", ")),
        };
        let message = format!("no tier of this distribution is called {shown:?}");
        return Err(Fault { topic: Topic::Parent, message, label: "no tier's name", help });
    }
    let Some(at) = tiers.iter().position(|tier| tier.name == overlay.value) else { return Ok(None) };
    if files.broken.contains(&overlay.value) {
        return Ok(None);
    }
    let own = chain(tiers, below);
    if own.contains(&at) {
        // Inherited: a tier that has it already does without.
        let names_it = tiers[below].variants.iter().any(|variant| variant.overlay.as_ref() == Some(overlay));
        return if names_it {
            Err(Fault {
                topic: Topic::Parent,
                message: format!("{title} has {shown} already"),
                label: "in its own chain",
                help: "an overlay goes on top: name a tier that is none of its parents, nor itself".to_owned(),
            })
        } else {
            Ok(None)
        };
    }
    if tiers[at].base.is_some() {
        return Err(Fault {
            topic: Topic::Parent,
            message: format!("{shown} stands on an image that others made, which is not below {title}"),
            label: "cannot go on top",
            help: format!("give {shown} a parent that {title} stands on, or none; or name another overlay"),
        });
    }
    match tiers[at].parent.as_ref().map(|parent| parent.value).filter(|parent| !own.contains(parent)) {
        None => Ok(Some(at)),
        Some(parent) => Err(Fault {
            topic: Topic::Parent,
            message: format!("{shown} stands on {}, which is not below {title}", tiers[parent].name),
            label: "cannot go on top",
            help: format!(
                "an overlay's parent must be a tier that {title} stands on, or {title} itself: give {shown} another \
                 parent, or name another overlay"
            ),
        }),
    }
}

/// The tier that stands for `overlay` on top of `below`.
fn overlaid(
    tiers: &[Tier],
    below: usize,
    overlay: usize,
    named: &Spanned<String>,
    name: String,
    variant: &str,
) -> Result<Tier, Fault> {
    let mut tier = tiers[overlay].clone();
    let chain: Vec<&Tier> = chain(tiers, below).into_iter().map(|at| &tiers[at]).collect();
    let clash = |who: String, place: (&Tier, &Span)| {
        let (line, _) = place.0.source.line_column(place.1.start);
        Fault {
            topic: Topic::Account,
            message: format!("{} cannot go on top of {}: {who}", named.value, tiers[below].name),
            label: "an account is there already",
            help: format!("see {}:{line}; give one of them another name and number", place.0.source.name),
        }
    };
    // What both declare alike is there already.
    let mut users = Vec::new();
    for user in &tier.users {
        let there = chain.iter().flat_map(|tier| tier.users.iter().map(move |user| (*tier, user)));
        match there.into_iter().find(|(_, other)| other.name == user.name || other.uid == user.uid) {
            None => users.push(user.clone()),
            Some((_, other)) if alike(other, user) => {}
            Some((by, other)) => {
                return Err(clash(format!("{} also has a user {}", by.name, other.name), (by, &other.span)));
            }
        }
    }
    let mut groups = Vec::new();
    for group in &tier.groups {
        let there = chain.iter().flat_map(|tier| tier.groups.iter().map(move |group| (*tier, group)));
        match there.into_iter().find(|(_, other)| other.name == group.name || other.gid == group.gid) {
            None => groups.push(group.clone()),
            Some((_, other)) if alike_group(other, group) => {}
            Some((by, other)) => {
                return Err(clash(format!("{} also has a group {}", by.name, other.name), (by, &other.span)));
            }
        }
    }
    (tier.users, tier.groups) = (users, groups);
    tier.summary = format!("{}, with {}", tiers[below].summary, tier.name);
    tier.name = name;
    tier.parent = Some(Spanned::new(below, tier.parent.map(|parent| parent.span).unwrap_or_default()));
    (tier.image, tier.variants) = (Image::default(), Vec::new());
    // The others bound the overlay's own chain.
    let Limits { layer_size, rootfs_size: _, packages: _, setuid } = tier.checks.limits;
    tier.checks.limits = Limits { layer_size, setuid, ..Limits::default() };
    tier.stands_for = Some(Overlaid { below, overlay, variant: variant.to_owned() });
    Ok(tier)
}

fn alike(a: &User, b: &User) -> bool {
    User { span: b.span.clone(), ..a.clone() } == *b
}

fn alike_group(a: &Group, b: &Group) -> bool {
    Group { span: b.span.clone(), ..a.clone() } == *b
}

/// Two images of one name.
fn clash(tiers: &[Tier], below: usize, name: &str, owner: usize, variant: &Inherited<'_>) -> (String, Finding) {
    let (declaring, declared) = variant.declared;
    let mut findings = Findings::new(tiers[declaring].source.clone());
    let other = match tiers[owner].name == name {
        true => format!("there is a tier of that name ({})", tiers[owner].source.name),
        false => format!("{} has an image of that name", tiers[owner].name),
    };
    let message = format!("an image of {} would be called {name}, and {other}", tiers[below].name);
    findings
        .error(Topic::Duplicate, declared.span.clone(), message, "this variant")
        .help("images are called by tier and variants, joined by `-`: rename the variant or the tier");
    let finding = findings.list.remove(0);
    (tiers[declaring].name.clone(), finding)
}
