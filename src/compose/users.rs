//! Whether the users that images run as are there.

use std::io;

use miette::{Diagnostic, SourceSpan};

use super::ComposeError;
use crate::{
    debian::Architecture,
    ground::{RootPath, Source, nearest, printable},
    manifest::{Distribution, Tier, place_of},
    rootfs::{Node, Rootfs},
};

/// How much of a file of accounts is read.
const LARGEST_ACCOUNTS: u64 = 1 << 20;

/// A user or group of `[image]` or a variant that the tier does not have.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{tier} ({architecture}) has no {word} called {name}, which an image of it runs as")]
#[diagnostic(code(debstrata::compose::image_user))]
pub struct UnknownUser {
    /// The tier.
    pub tier: String,
    /// For which architecture.
    pub architecture: Architecture,
    /// `user` or `group`.
    pub word: &'static str,
    /// Its name.
    pub name: String,
    /// Who is there, or the next step.
    #[help]
    pub help: String,
    /// The manifest that says so.
    #[source_code]
    pub source_code: Source,
    /// Where.
    #[label("not in its {file}")]
    pub span: SourceSpan,
    /// Where accounts of this sort stand.
    pub file: &'static str,
}

/// Where accounts are named: the tier that does it, the keys that lead there, the text.
pub type Runner<'a> = (&'a Tier, Vec<&'a str>, &'a str);

/// The `user`s that have to be found in this tier, those of numbers alone left out: of its own `[image]` and
/// variants; of a tier that stands for an overlay, of the variant that wants it.
pub fn runners(distribution: &Distribution, number: usize) -> Vec<Runner<'_>> {
    let tier = &distribution.tiers[number];
    let stands_for = |tier: &Tier, below: usize, variant: &str| {
        tier.stands_for.as_ref().is_some_and(|one| one.below == below && one.variant == variant)
    };
    let mut all: Vec<Runner<'_>> = Vec::new();
    all.extend(tier.image.user.as_deref().map(|user| (tier, vec!["image", "user"], user)));
    let below = tier.stands_for.as_ref().map_or(number, |overlaid| overlaid.below);
    let owner = &distribution.tiers[below];
    for variant in &owner.variants {
        let name = variant.name.value.as_str();
        let here = match tier.stands_for {
            Some(_) => stands_for(tier, below, name),
            None => variant.overlay.is_none() && !distribution.tiers.iter().any(|other| stands_for(other, below, name)),
        };
        let user = variant.image.user.as_deref().filter(|_| here);
        all.extend(user.map(|user| (owner, vec!["variants", name, "user"], user)));
    }
    all.retain(|(_, _, user)| user.split(':').any(is_name));
    all
}

fn is_name(account: &str) -> bool {
    !account.bytes().all(|byte| byte.is_ascii_digit())
}

/// All that [`runners`] name and the tree's /etc/passwd and /etc/group do not have.
pub fn unknown_users(
    title: &str,
    architecture: Architecture,
    runners: &[Runner<'_>],
    rootfs: &Rootfs,
) -> Vec<ComposeError> {
    let mut errors = Vec::new();
    for (tier, keys, user) in runners {
        for (name, (word, file)) in user.split(':').zip([("user", "/etc/passwd"), ("group", "/etc/group")]) {
            if !is_name(name) {
                continue;
            }
            let path = RootPath::from_absolute(file.as_bytes()).expect("it is absolute and plain");
            let known = match names(rootfs, &path) {
                Ok(known) => known,
                Err(error) => {
                    errors.push(ComposeError::Content { path, error });
                    continue;
                }
            };
            if known.iter().any(|other| other == name) {
                continue;
            }
            let help = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None if known.is_empty() => {
                    format!("there is no {file}: declare the {word} in [[{word}s]], or write a number")
                }
                None => {
                    format!("its {word}s are {}; declare another in [[{word}s]], or write a number", known.join(", "))
                }
            };
            let span = place_of(&tier.source, keys).unwrap_or_default();
            errors.push(ComposeError::UnknownUser(Box::new(UnknownUser {
                tier: title.to_owned(),
                architecture,
                word,
                name: name.to_owned(),
                help,
                source_code: tier.source.clone(),
                span: span.into(),
                file,
            })));
        }
    }
    errors
}

/// The names in a file of accounts, passwd(5) or group(5), printable; none where there is no such file.
fn names(rootfs: &Rootfs, path: &RootPath) -> io::Result<Vec<String>> {
    let Some(Node::File { content, .. }) = rootfs.lookup(path).map(|entry| &entry.node) else { return Ok(Vec::new()) };
    let mut bytes = vec![0; content.size.min(LARGEST_ACCOUNTS) as usize];
    content.read_at(0, &mut bytes)?;
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b':').next());
    Ok(lines.filter(|name| !name.is_empty()).map(printable).collect())
}
