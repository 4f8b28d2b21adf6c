//! What keeps a path of a package out of a tier, in words.

use std::sync::Arc;

use crate::{
    compose::{Composed, Dropped, Input, Why},
    ground::{RootPath, Span},
    manifest::Tier,
};

/// One composed tier of a chain.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    /// Its manifest.
    pub tier: &'a Tier,
    /// What came of it and its ancestors.
    pub composed: &'a Composed,
    /// Its own packages, whole.
    pub packages: &'a [Input<'a>],
}

/// A decision that kept a path out.
#[derive(Debug, Clone)]
pub struct KeptOut<'a> {
    /// The tier that decided.
    pub stage: Stage<'a>,
    /// What was dropped.
    pub dropped: &'a Dropped,
    /// What did it: `exclude`, `include`, `replaced`, `parent`, `link`.
    pub kind: &'static str,
    /// The glob, package or tier that did it.
    pub by: String,
    /// In a sentence.
    pub text: String,
    /// Where in the stage's manifest, if a line did it.
    pub span: Option<Span>,
}

/// Every decision of a chain that kept something of this very path out, the root tier's first.
pub fn kept_out<'a>(chain: &[Stage<'a>], path: &RootPath) -> Vec<KeptOut<'a>> {
    let mut found = Vec::new();
    for stage in chain {
        let dropped = &stage.composed.dropped;
        let start = dropped.partition_point(|one| one.path < *path);
        let of_path = dropped.get(start..).unwrap_or_default().iter().take_while(|one| one.path == *path);
        found.extend(of_path.map(|dropped| tell(*stage, dropped)));
    }
    found
}

fn tell<'a>(stage: Stage<'a>, dropped: &'a Dropped) -> KeptOut<'a> {
    let Stage { tier, .. } = stage;
    let package = &dropped.package;
    let (kind, by, text, span) = match &dropped.why {
        Why::Excluded(span) => {
            let glob = tier.source.text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']).to_owned();
            let text = format!("an exclude of {} keeps it out", tier.name);
            ("exclude", glob, text, Some(span.clone()))
        }
        Why::NotIncluded => {
            let own = tier.globs.packages.get(&*package.name);
            let include = own.map_or(&tier.globs.tier.include, |rule| &rule.value.include);
            let first = include.first().map(|glob| glob.span.clone()).filter(|span| !span.is_empty());
            let text = match own {
                Some(_) => format!("no include of [globs.package.{}] of {} matches it", package.name, tier.name),
                None => format!("no include of {} matches it", tier.name),
            };
            ("include", package.name.to_string(), text, first.or(own.map(|rule| rule.span.clone())))
        }
        Why::Replaced(by) => ("replaced", by.name.to_string(), format!("the one of {by} replaces it"), None),
        Why::ParentDeclares => {
            ("parent", tier.name.clone(), "the manifest of a parent tier puts something else there".to_owned(), None)
        }
        Why::LinkToItself => {
            ("link", package.name.to_string(), "once merged-usr moved it, it is a link to itself".to_owned(), None)
        }
    };
    KeptOut { stage, dropped, kind, by, text, span }
}

/// `manifests/debian13/cc.toml:3`, the place of a span in a tier's manifest.
pub fn place(tier: &Tier, span: &Span) -> (Arc<str>, usize) {
    (tier.source.name.clone(), tier.source.line_column(span.start).0)
}
