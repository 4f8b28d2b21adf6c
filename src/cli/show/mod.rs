//! `show`: what the tiers are made of. Each view is drawn by a file of its own, here or in `evidence`.

mod page;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    Answer,
    report::opt_outs,
    surroundings::{Session, UsageError},
};
use crate::{
    debian::Architecture,
    evidence::see::{Account, Beside, Branch, Members, files, mermaid, outline, svg, tree},
    pipeline::{self, Effort, Evidence, Failures, ListedTier, Pick, ShownTier, Workshop},
};

const JSON: &str = "\
With --json:
  an object where one TIER is named and it is found once, for one architecture; else a list.
  --files prints an object a line, --graph one object for all tiers

Examples:
  debstrata show                               all tiers, as a tree
  debstrata show debian13/cc --tree --depth 3
  debstrata show --graph svg > tiers.svg";

/// How far down `--tree` goes unless `--depth` says it.
const DEPTH: usize = 2;

/// What the tiers are made of.
#[derive(Args)]
#[command(after_help = format!("{JSON}\n\n{}", super::EXIT_STATUS))]
pub(super) struct Show {
    /// debian13/cc, or cc for every distribution that has one [default: all]
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// For which architecture; `all` for all of the archive's [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<String>,
    /// Every path: type, mode, owner, size, tier, origin
    #[arg(long, requires = "tiers", conflicts_with_all = ["tree", "graph"])]
    files: bool,
    /// Folders and files, the largest first, and the tiers that they come from
    #[arg(long, requires = "tiers", conflicts_with = "graph")]
    tree: bool,
    /// How far down --tree goes [default: 2]
    #[arg(long, value_name = "N", requires = "tree")]
    depth: Option<usize>,
    /// The tiers at a glance: what stands on what, packages, sizes
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, default_missing_value = "text")]
    graph: Option<Graph>,
}

/// In which form tiers are drawn.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Graph {
    /// For a terminal
    Text,
    /// A picture, for light and dark pages
    Svg,
    /// A flowchart in Mermaid's language
    Mermaid,
}

/// `--tree --json` of one tier.
#[derive(Serialize)]
struct Of {
    tier: String,
    architecture: Architecture,
    tree: Vec<Branch>,
}

/// A tier, and what is known where its files are.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    tier: &'a ShownTier,
    #[serde(flatten)]
    listed: Option<Listed<'a>>,
}

/// What only a composed tier tells.
#[derive(Serialize)]
struct Listed<'a> {
    paths: usize,
    files_size: u64,
    users: &'a [Account],
    groups: &'a [Members],
    largest_files: Vec<Large>,
}

#[derive(Serialize)]
struct Large {
    path: String,
    size: u64,
    tier: String,
    origin: String,
}

impl Show {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let workshop = session.workshop()?;
        let picks =
            pipeline::select(&workshop.project, workshop.asked(&self.tiers), &self.architectures, session.host())?;
        let printed = match (self.graph, self.files, self.tree) {
            (Some(form), ..) => self.graph(session, &workshop, &picks, form)?,
            (_, true, _) => files_of(session, &workshop, &picks)?,
            (_, _, true) => self.tree(session, &workshop, &picks)?,
            _ if self.tiers.is_empty() => self.all(session, &workshop, &picks)?,
            _ => self.pages(session, &workshop, &picks)?,
        };
        printed.map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }

    fn all(&self, session: &Session, workshop: &Workshop, picks: &[Pick]) -> Result<std::io::Result<()>, Failures> {
        let shown = pipeline::show(workshop, picks)?;
        let text = || {
            let drawn = outline(&pipeline::glance(workshop, &shown), Beside::Summary);
            drawn + &opt_outs(shown.iter().flat_map(|tier| &tier.opt_outs))
        };
        Ok(session.reporter.result(&shown, text))
    }

    fn pages(&self, session: &Session, workshop: &Workshop, picks: &[Pick]) -> Result<std::io::Result<()>, Failures> {
        let shown = pipeline::show(workshop, picks)?;
        let listed = pipeline::listings(workshop, picks, Effort::AtHand)?;
        let each = || {
            shown.iter().map(|tier| {
                let title = format!("{}/{}", tier.distribution, tier.tier);
                let same = |one: &&ListedTier| one.title == title && one.architecture == tier.architecture;
                (tier, listed.iter().find(same).and_then(|one| one.listing.as_ref()))
            })
        };
        let text = || {
            let pages: Vec<_> = each().map(|(tier, listing)| page::page(tier, listing)).collect();
            pages.join("\n") + &opt_outs(shown.iter().flat_map(|tier| &tier.opt_outs))
        };
        let whole: Vec<_> = each().map(|(tier, listing)| Whole { tier, listed: listing.map(page::listed) }).collect();
        Ok(match (self.tiers.as_slice(), whole.as_slice()) {
            ([_], [only]) => session.reporter.result(only, text),
            (_, all) => session.reporter.result(&all, text),
        })
    }

    fn tree(&self, session: &Session, workshop: &Workshop, picks: &[Pick]) -> Result<std::io::Result<()>, Failures> {
        let listed = pipeline::listings(workshop, picks, Effort::Whole)?;
        let depth = self.depth.unwrap_or(DEPTH);
        let drawn: Vec<_> = listed.iter().filter_map(|one| Some((one, tree(one.listing.as_ref()?, depth)))).collect();
        let several = drawn.len() > 1;
        let text = || drawn.iter().map(|(one, (_, table))| headed(one, table, several)).collect::<Vec<_>>().join("\n");
        let of = |one: &(&'_ ListedTier, (Vec<Branch>, String))| Of {
            tier: one.0.title.clone(),
            architecture: one.0.architecture,
            tree: one.1.0.clone(),
        };
        let all: Vec<_> = drawn.iter().map(of).collect();
        Ok(match (self.tiers.as_slice(), all.as_slice()) {
            ([_], [only]) => session.reporter.result(only, text),
            (_, all) => session.reporter.result(&all, text),
        })
    }

    fn graph(
        &self,
        session: &Session,
        workshop: &Workshop,
        picks: &[Pick],
        form: Graph,
    ) -> Result<std::io::Result<()>, Failures> {
        // With the tiers that the named ones stand on.
        let whole = |pick: &Pick| Pick { named: pick.tiers.clone(), ..pick.clone() };
        let shown = pipeline::show(workshop, &picks.iter().map(whole).collect::<Vec<_>>())?;
        let glance = pipeline::glance(workshop, &shown);
        let draw = || match form {
            Graph::Text => outline(&glance, Beside::Bar),
            Graph::Svg => svg(&glance),
            Graph::Mermaid => mermaid(&glance),
        };
        Ok(session.reporter.result(&glance, draw))
    }
}

fn files_of(session: &Session, workshop: &Workshop, picks: &[Pick]) -> Result<std::io::Result<()>, Failures> {
    if session.global.json {
        let count: usize = picks.iter().map(|pick| pick.named.len() * pick.architectures.len()).sum();
        if count != 1 {
            let message = format!("--files --json is about one tier of one architecture, and these are {count}");
            return Err(UsageError::new(message, "name one, such as debian13/cc, and one --arch").into());
        }
        let documents = pipeline::evidence(workshop, picks, Evidence::Files)?;
        let lines: Vec<u8> = documents.into_iter().flat_map(|document| document.bytes).collect();
        return Ok(session.reporter.bytes(&lines));
    }
    let listed = pipeline::listings(workshop, picks, Effort::Whole)?;
    let several = listed.len() > 1;
    let each = listed.iter().filter_map(|one| Some(headed(one, &files(one.listing.as_ref()?), several)));
    Ok(session.reporter.bytes(each.collect::<Vec<_>>().join("\n").as_bytes()))
}

/// With the tier's name above, where there are several.
fn headed(one: &ListedTier, text: &str, several: bool) -> String {
    if several { format!("{} {}\n{text}", one.title, one.architecture) } else { text.to_owned() }
}
