//! `[[expect]]`: what must be in a composed tier.

use std::io;

use miette::{Diagnostic, LabeledSpan};

use super::ComposeError;
use crate::{
    debian::Architecture,
    ground::{RootPath, Sha256Hasher, Source, Span, nearest, printable},
    manifest::{Expectation, Features, Sort, Tier, Wanted},
    rootfs::{Content, Entry, Node, Rootfs, follow},
};

/// How much of a file is looked at at once.
const PIECE: usize = 256 << 10;

/// An expectation that is not met.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{path} of {tier} ({architecture}) {fault}")]
#[diagnostic(code(debstrata::compose::expect))]
pub struct Unfulfilled {
    /// The tier.
    pub tier: String,
    /// For which architecture.
    pub architecture: Architecture,
    /// The path.
    pub path: RootPath,
    /// In words.
    pub fault: String,
    /// What was found, and the next step.
    #[help]
    pub help: Option<String>,
    /// The tier's manifest.
    #[source_code]
    pub source_code: Source,
    /// What is wanted, each with what was found.
    #[label(collection)]
    pub labels: Vec<LabeledSpan>,
}

/// All expectations of a tier that its tree does not meet.
pub fn unfulfilled(name: &str, architecture: Architecture, tier: &Tier, rootfs: &Rootfs) -> Vec<ComposeError> {
    let here = |one: &&Expectation| one.architectures.as_ref().is_none_or(|only| only.contains(&architecture));
    let judged = tier.checks.expect.iter().filter(here).filter_map(|expectation| {
        let labels = match judge(expectation, rootfs) {
            Ok(found) if found.labels.is_empty() => return None,
            Ok(found) => found,
            Err(error) => {
                let path = expectation.path.value.clone();
                return Some(ComposeError::Content { path, error });
            }
        };
        let label = |(span, text): (Span, String)| LabeledSpan::new_with_span(Some(text), span);
        Some(ComposeError::Unfulfilled(Box::new(Unfulfilled {
            tier: name.to_owned(),
            architecture,
            path: expectation.path.value.clone(),
            fault: labels.fault.to_owned(),
            help: labels.help,
            source_code: tier.source.clone(),
            labels: labels.labels.into_iter().map(label).collect(),
        })))
    });
    judged.collect()
}

/// What is wrong with one path; nothing where there are no labels.
#[derive(Default)]
struct Found {
    fault: &'static str,
    help: Option<String>,
    labels: Vec<(Span, String)>,
}

fn judge(expectation: &Expectation, rootfs: &Rootfs) -> io::Result<Found> {
    let path = &expectation.path;
    let at = |last| -> Option<(RootPath, &Entry)> {
        let real = follow(path.value.as_bytes(), last, |path| rootfs.link(path)).ok()?;
        let (real, entry) = rootfs.entries.get_key_value(real.as_slice())?;
        Some((real.clone(), entry))
    };
    let itself = at(false);
    let features = match (&expectation.wanted, &itself) {
        (Wanted::Absent(_), None) => return Ok(Found::default()),
        (Wanted::Absent(span), Some((_, entry))) => {
            let there = format!("{} is there: {}", entry.node.kind(), entry.origin);
            return Ok(Found {
                fault: "is there, but must not be",
                help: Some("exclude it in [globs], or take the expectation out".into()),
                labels: vec![(span.clone(), there)],
            });
        }
        (Wanted::Present(features), _) => features,
    };
    let found = if features.of_link() { itself.clone() } else { at(true) };
    let Some((real, entry)) = found else {
        let label = match itself.as_ref().map(|(_, entry)| &entry.node) {
            Some(Node::Symlink(target)) => format!("a link to {}, which leads nowhere", printable(target)),
            _ => "nothing is there".to_owned(),
        };
        let near = nearby(rootfs, &path.value).map(|near| format!("{near} is there; "));
        let help = format!("{}`debstrata why` says what keeps it out", near.unwrap_or_default());
        return Ok(Found { fault: "must be there", help: Some(help), labels: vec![(path.span.clone(), label)] });
    };
    let labels = compare(features, entry)?;
    let mut whose = format!("found {}, {}: {}", entry.node.kind(), entry.attributes, entry.origin);
    if real != path.value {
        whose = format!("{} leads to {real}; {whose}", path.value);
    }
    Ok(Found { fault: "is not as expected", help: Some(whose), labels })
}

/// What differs, in the order of the keys.
fn compare(features: &Features, entry: &Entry) -> io::Result<Vec<(Span, String)>> {
    let Features { kind, mode, owner, group, target, sha256, contains } = features;
    let mut labels = Vec::new();
    let is = entry.node.kind();
    if let Some(kind) = kind {
        let same = matches!(
            (kind.value, &entry.node),
            (Sort::File, Node::File { .. }) | (Sort::Directory, Node::Directory) | (Sort::Symlink, Node::Symlink(_))
        );
        if !same {
            labels.push((kind.span.clone(), format!("it is {is}")));
        }
    }
    if let Some(mode) = mode.as_ref().filter(|mode| mode.value != entry.attributes.mode) {
        labels.push((mode.span.clone(), format!("it is 0o{:03o}", entry.attributes.mode)));
    }
    for (wanted, found) in [(owner, entry.attributes.uid), (group, entry.attributes.gid)] {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| wanted.value != found) {
            labels.push((wanted.span.clone(), format!("it is {found}, not {}", wanted.value)));
        }
    }
    if let Some(wanted) = target {
        match &entry.node {
            Node::Symlink(found) if **found == *wanted.value.as_bytes() => {}
            Node::Symlink(found) => labels.push((wanted.span.clone(), format!("it leads to {}", printable(found)))),
            _ => labels.push((wanted.span.clone(), format!("it is {is}"))),
        }
    }
    let content = match &entry.node {
        Node::File { content, .. } => Some(content),
        _ => None,
    };
    if let Some(wanted) = sha256 {
        match content {
            Some(content) if content.sha256 == wanted.value => {}
            Some(content) => labels.push((wanted.span.clone(), format!("it is {}", content.sha256))),
            None => labels.push((wanted.span.clone(), format!("it is {is}"))),
        }
    }
    if let Some(wanted) = contains {
        match content {
            Some(content) if holds(content, wanted.value.as_bytes())? => {}
            Some(content) => {
                labels.push((wanted.span.clone(), format!("not in its {} bytes", content.size)));
            }
            None => labels.push((wanted.span.clone(), format!("it is {is}"))),
        }
    }
    Ok(labels)
}

/// Whether a file holds these bytes. All of it is read and compared with its digest: the cache may be
/// damaged, and then nothing can be said.
fn holds(content: &Content, wanted: &[u8]) -> io::Result<bool> {
    let mut hasher = Sha256Hasher::new();
    let finder = memchr::memmem::Finder::new(wanted);
    let mut found = wanted.is_empty();
    // The end of the last piece comes again before the next one.
    let mut window: Vec<u8> = Vec::new();
    let mut at = 0;
    while at < content.size {
        let length = (content.size - at).min(PIECE as u64);
        let kept = window.len().min(wanted.len().saturating_sub(1));
        window.drain(..window.len() - kept);
        window.resize(kept + length as usize, 0);
        content.read_at(at, &mut window[kept..])?;
        hasher.update(&window[kept..]);
        found = found || finder.find(&window).is_some();
        at += length;
    }
    match hasher.finish() == content.sha256 {
        true => Ok(found),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "the cache's copy is not what was unpacked")),
    }
}

/// What a missing path was most likely meant to be: a name like it in the same folder, or the same
/// name in another one.
pub fn nearby(rootfs: &Rootfs, path: &RootPath) -> Option<RootPath> {
    let name = printable(path.name());
    let folder = path.parent().and_then(|above| rootfs.resolve(&above));
    let beside: Vec<(String, &RootPath)> = folder
        .iter()
        .flat_map(|folder| rootfs.below(folder).filter(move |(below, _)| below.parent().as_ref() == Some(folder)))
        .map(|(path, _)| (printable(path.name()), path))
        .collect();
    if let Some(near) = nearest(&name, beside.iter().map(|(name, _)| name.as_str())) {
        return beside.iter().find(|(name, _)| name == near).map(|(_, path)| (*path).clone());
    }
    // A folder of that name says nothing.
    let mut others = rootfs.entries.iter().filter(|(_, entry)| entry.node != Node::Directory);
    others.find(|(other, _)| other.name() == path.name()).map(|(other, _)| other.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_across_pieces_is_found() {
        let mut bytes = vec![b'.'; 3 * PIECE + 7];
        bytes[2 * PIECE - 3..2 * PIECE + 3].copy_from_slice(b"needle");
        let content = Content::from_bytes(bytes);
        for (wanted, expected) in [("needle", true), ("needle.", true), ("needles", false), ("", true)] {
            assert_eq!(holds(&content, wanted.as_bytes()).unwrap(), expected, "{wanted}");
        }
        assert!(holds(&Content::from_bytes(*b""), b"").unwrap());
        assert!(!holds(&Content::from_bytes(*b""), b"x").unwrap());
    }
}
