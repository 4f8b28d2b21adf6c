//! Finds the files below `manifests/`, reads them all, and puts the tiers in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use miette::Severity;

use crate::{
    debian::Architecture,
    ground::{Source, Spanned, TooLong, nearest, printable, read_at_most},
};

use super::{
    Archive, Distribution, ForeignBase, Project, Tier,
    accounts::Chain,
    archive,
    error::{Finding, Findings, ManifestError, Topic},
    foreign, keys,
    overlay::{self, Files},
    scalar, shape, tier,
};

/// The largest manifest taken, in bytes.
pub const LARGEST_MANIFEST: u64 = 1 << 20;
/// The file that makes a folder a distribution.
const ARCHIVE: &str = "archive.toml";

/// What [`load`] gives where nothing is wrong.
#[derive(Debug)]
pub struct Loaded {
    /// All of it.
    pub project: Project,
    /// What the user should look at; in the order of the files.
    pub warnings: Vec<Finding>,
}

/// Reads every manifest of the project in `root`: `manifests/<distribution>/archive.toml` and
/// `manifests/<distribution>/<tier>.toml`, the keyrings, and whether the files beside them are there.
///
/// # Errors
/// All that is wrong in all files, in the order of the files and their lines; never empty.
pub fn load(root: &Path) -> Result<Loaded, Vec<ManifestError>> {
    let mut run = Run { root, errors: Vec::new(), warnings: Vec::new() };
    let distributions = run.distributions();
    match run.errors.is_empty() {
        true => Ok(Loaded { project: Project { root: root.to_owned(), distributions }, warnings: run.warnings }),
        false => Err(run.errors),
    }
}

struct Run<'a> {
    root: &'a Path,
    errors: Vec<ManifestError>,
    warnings: Vec<Finding>,
}

impl Run<'_> {
    fn distributions(&mut self) -> Vec<Distribution> {
        let manifests = self.root.join("manifests");
        let mut found = Vec::new();
        let names = self.names(&manifests);
        let (mut folders, mut read) = (0, true);
        match names {
            Some(names) => {
                for name in names {
                    folders += usize::from(self.distribution(&manifests, &name, &mut found));
                }
            }
            None => read = false,
        }
        if read && folders == 0 {
            self.layout(
                format!("there is no distribution in {}", self.shown(&manifests)),
                format!("make a folder there, such as debian13, with an {ARCHIVE} and one TOML file a tier"),
            );
        }
        found
    }

    /// The names in a folder, sorted; hidden ones are nobody's business. `None`: told why.
    fn names(&mut self, folder: &Path) -> Option<Vec<String>> {
        let read = || -> io::Result<Vec<std::ffi::OsString>> {
            fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
        };
        let mut names = match read() {
            Ok(names) => names,
            Err(source) => {
                self.errors.push(ManifestError::Read { path: folder.to_owned(), source });
                return None;
            }
        };
        names.sort();
        let shown = |name: &std::ffi::OsString| printable(name.as_encoded_bytes());
        let mut good = Vec::new();
        for name in names {
            match name.to_str() {
                Some(text) if text.starts_with('.') => {}
                Some(text) => good.push(text.to_owned()),
                None => self.layout(
                    format!("{}/{} has a name that is no UTF-8", self.shown(folder), shown(&name)),
                    "rename it".into(),
                ),
            }
        }
        Some(good)
    }

    /// A path as messages name it: from the project folder.
    fn shown(&self, path: &Path) -> String {
        let inside = path.strip_prefix(self.root).unwrap_or(path);
        printable(inside.as_os_str().as_encoded_bytes())
    }

    fn layout(&mut self, message: String, help: String) {
        self.errors.push(ManifestError::Layout { message, help });
    }

    fn take(&mut self, mut list: Vec<Finding>) {
        list.sort_by_key(|finding| (finding.span.start, finding.span.end));
        for finding in list {
            match finding.severity {
                Severity::Error => self.errors.push(finding.into()),
                _ => self.warnings.push(finding),
            }
        }
    }

    /// Reads one entry of `manifests/`; whether it is a folder.
    fn distribution(&mut self, manifests: &Path, name: &str, found: &mut Vec<Distribution>) -> bool {
        let folder = manifests.join(name);
        match fs::metadata(&folder) {
            Ok(metadata) if !metadata.is_dir() => {
                if name.ends_with(".toml") {
                    self.layout(
                        format!("{} is in no distribution", self.shown(&folder)),
                        format!("move it into the folder of its distribution, beside an {ARCHIVE}"),
                    );
                }
                return false;
            }
            Ok(_) => {}
            Err(source) => {
                self.errors.push(ManifestError::Read { path: folder, source });
                return false;
            }
        }
        if !self.good_name(&folder, name, "distribution") {
            return true;
        }
        let Some(files) = self.names(&folder) else { return true };
        let mut stems: Vec<&str> = files.iter().filter_map(|file| file.strip_suffix(".toml")).collect();
        // `base.toml` sorts after `base-x.toml`, `base` before `base-x`.
        stems.sort_unstable();
        stems.retain(|stem| *stem != "archive" && self.good_name(&folder.join(format!("{stem}.toml")), stem, "tier"));
        let archive = if files.iter().any(|file| file == ARCHIVE) {
            self.archive(&folder, name)
        } else {
            self.layout(
                format!("the distribution {name} has no {ARCHIVE}"),
                format!(
                    "write {}: where packages come from, and for which architectures",
                    self.shown(&folder.join(ARCHIVE))
                ),
            );
            None
        };
        let architectures: Vec<Architecture> =
            archive.iter().flat_map(|archive| &archive.architectures).map(|one| one.value).collect();
        let tiers = self.tiers(&folder, name, &stems, &architectures);
        if let Some(archive) = archive {
            found.push(Distribution { name: name.into(), folder, archive, tiers });
        }
        true
    }

    fn good_name(&mut self, path: &Path, name: &str, what: &str) -> bool {
        let good = scalar::is_tier_name(name);
        if !good {
            self.layout(
                format!("no {what} can be called {:?} ({})", printable(name.as_bytes()), self.shown(path)),
                "names are lower-case letters, digits, `+`, `-` and `.`, beginning with a letter or digit".into(),
            );
        }
        good
    }

    /// A manifest's text, under the name that messages use.
    fn source(&mut self, folder: &Path, distribution: &str, file: &str) -> Option<Source> {
        let path = folder.join(file);
        let read = || -> io::Result<Vec<u8>> {
            let opened = fs::File::open(&path)?;
            if !opened.metadata()?.is_file() {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "no regular file"));
            }
            read_at_most(opened, LARGEST_MANIFEST)
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
                self.layout(
                    format!("{} is too large: {error}", self.shown(&path)),
                    "keep the text of large files beside the manifest: [[files]] takes `source`".into(),
                );
                return None;
            }
            Err(source) => {
                self.errors.push(ManifestError::Read { path, source });
                return None;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => Some(Source::new(&format!("manifests/{distribution}/{file}"), &text)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let before = error.as_bytes().get(..good).unwrap_or_default();
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                self.layout(
                    format!("{} is no UTF-8: byte {good}, in line {line}", self.shown(&path)),
                    "TOML is UTF-8; save the file in that encoding".into(),
                );
                None
            }
        }
    }

    fn archive(&mut self, folder: &Path, distribution: &str) -> Option<Archive> {
        let source = self.source(folder, distribution, ARCHIVE)?;
        let masked = Source::new(&source.name, &without_credentials(&source.text));
        let mut findings = Findings::new(source);
        let archive =
            shape::read(&keys::ARCHIVE, &mut findings).map(|fields| archive::read(fields, folder, &mut findings));
        for finding in &mut findings.list {
            finding.source = masked.clone();
        }
        self.take(findings.list);
        archive
    }

    /// All tiers, parents first.
    fn tiers(&mut self, folder: &Path, distribution: &str, stems: &[&str], archs: &[Architecture]) -> Vec<Tier> {
        let mut drafts: Vec<Draft> = Vec::new();
        for stem in stems {
            let source = self.source(folder, distribution, &format!("{stem}.toml"));
            let mut findings = Findings::new(source.clone().unwrap_or_else(|| Source::new("", "")));
            let mut fields = source.and_then(|_| shape::read(&keys::TIER, &mut findings));
            let below = fields.as_mut().and_then(|fields| fields.spanned::<shape::Value>("parent"));
            let (parent, base) = match below {
                Some(Spanned { value: shape::Value::Text(name), span }) => (Some(Spanned::new(name, span)), None),
                Some(Spanned { value: shape::Value::Table(table), span }) => {
                    (None, foreign::read(Spanned::new(table, span), folder, &mut findings))
                }
                _ => (None, None),
            };
            let known = parent.is_some() || base.is_some();
            let broken = fields.as_ref().is_none_or(|fields| !known && fields.written("parent"));
            drafts.push(Draft { name: (*stem).into(), fields, findings, parent, base, broken });
        }
        for draft in &mut drafts {
            check_parent(draft, distribution, stems);
        }
        let order = parents_first(&mut drafts, stems);
        let mut drafts: Vec<Option<Draft>> = drafts.into_iter().map(Some).collect();
        let mut tiers: Vec<Tier> = Vec::new();
        // By name: what a tier's chain declares, and where the tier stands in `tiers`.
        let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut told: Vec<(String, Vec<Finding>)> = Vec::new();
        for at in order {
            let Some(mut draft) = drafts.get_mut(at).and_then(Option::take) else { continue };
            let mut chain =
                draft.parent.as_ref().and_then(|parent| chains.get(&parent.value).cloned()).unwrap_or_default();
            let parent = draft.parent.and_then(|parent| Some(Spanned::new(*places.get(&parent.value)?, parent.span)));
            chain.broken |= draft.broken;
            chain.foreign |= draft.base.is_some();
            if let Some(fields) = draft.fields {
                let tier = tier::read(
                    fields,
                    &draft.name,
                    (parent, draft.base),
                    folder,
                    archs,
                    &mut chain,
                    &mut draft.findings,
                );
                places.insert(draft.name.clone(), tiers.len());
                tiers.push(tier);
            }
            chains.insert(draft.name.clone(), chain);
            told.push((draft.name, draft.findings.list));
        }
        let broken = chains.into_iter().filter(|(_, chain)| chain.broken).map(|(name, _)| name).collect();
        for (name, finding) in overlay::derive(&mut tiers, &Files { stems, broken: &broken }) {
            let list = told.iter_mut().find(|(other, _)| *other == name);
            list.expect("each tier's findings were gathered").1.push(finding);
        }
        // Told in the order of the files, not of the chain.
        told.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, list) in told {
            self.take(list);
        }
        tiers
    }
}

/// The text with what stands between `://` and `@` starred out, byte for byte: messages quote lines.
fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let host = after.find(|c: char| c == '/' || c == '"' || c == '\'' || c.is_whitespace()).unwrap_or(after.len());
        let secret = after[..host].rfind('@').unwrap_or(0);
        out.extend(std::iter::repeat_n('*', secret));
        rest = &after[secret..];
    }
    out.push_str(rest);
    out
}

/// A tier's file before its chain is known.
struct Draft {
    name: String,
    /// `None`: the file could not be read.
    fields: Option<shape::Fields>,
    findings: Findings,
    /// A tier of this distribution that is there.
    parent: Option<Spanned<String>>,
    /// In its place.
    base: Option<ForeignBase>,
    /// The chain is not known.
    broken: bool,
}

/// Keeps a parent that is there; tells what is wrong with any other.
fn check_parent(draft: &mut Draft, distribution: &str, stems: &[&str]) {
    let Some(parent) = draft.parent.take() else { return };
    if stems.contains(&parent.value.as_str()) {
        draft.parent = Some(parent);
        return;
    }
    draft.broken = true;
    let shown = printable(parent.value.as_bytes());
    let findings = &mut draft.findings;
    match parent.value.split_once('/') {
        Some((own, name)) if own == distribution => {
            findings
                .error(
                    Topic::Parent,
                    parent.span,
                    format!("no tier of {distribution} is called {shown:?}"),
                    "no tier's name",
                )
                .help(format!("write {name:?}: a parent is always of the same distribution"));
        }
        Some(_) => {
            findings
                .error(
                    Topic::Parent,
                    parent.span,
                    format!("the parent {shown:?} is not of the distribution {distribution}"),
                    "another distribution's tier",
                )
                .help(
                    "a chain has one archive, one lock and one version of each package, so all its tiers are of one \
                     distribution; write the tier here as well",
                );
        }
        None => {
            let help = match nearest(&parent.value, stems.iter().copied()) {
                Some(like) => format!("the tier is called `{like}`"),
                None if stems.is_empty() => "the distribution has no tiers".into(),
                None => format!("the tiers of {distribution} are {}", stems.join(", ")),
            };
            findings
                .error(
                    Topic::Parent,
                    parent.span,
                    format!("no tier of {distribution} is called {shown:?}"),
                    "no tier's name",
                )
                .help(help);
        }
    }
}

/// The drafts' order, parents first, otherwise by name. Circles are told, once each, and cut.
fn parents_first(drafts: &mut [Draft], stems: &[&str]) -> Vec<usize> {
    let index = |name: &str| stems.iter().position(|stem| *stem == name);
    let parents: Vec<Option<usize>> =
        drafts.iter().map(|draft| draft.parent.as_ref().and_then(|parent| index(&parent.value))).collect();
    let mut in_circle: BTreeSet<usize> = BTreeSet::new();
    for start in 0..drafts.len() {
        let mut walked = Vec::new();
        let mut at = Some(start);
        while let Some(here) = at.filter(|here| !walked.contains(here)) {
            walked.push(here);
            at = parents.get(here).copied().flatten();
        }
        // Only a circle that leads back to its first tier is this tier's own.
        if at != Some(start) || in_circle.contains(&start) {
            continue;
        }
        in_circle.extend(&walked);
        let mut names: Vec<&str> = walked.iter().filter_map(|at| stems.get(*at).copied()).collect();
        names.extend(stems.get(start).copied());
        let Some(draft) = drafts.get_mut(start) else { continue };
        let span = draft.parent.as_ref().map(|parent| parent.span.clone()).unwrap_or_default();
        draft
            .findings
            .error(Topic::Parent, span, format!("the parents form a circle: {}", names.join(" -> ")), "leads back here")
            .help("one of them must have another parent, or none");
    }
    for at in &in_circle {
        if let Some(draft) = drafts.get_mut(*at) {
            draft.parent = None;
            draft.broken = true;
        }
    }
    let mut order: Vec<usize> = Vec::new();
    let mut left: BTreeSet<usize> = (0..drafts.len()).collect();
    // Stems are sorted, so the smallest index is the first name.
    while let Some(next) = left.iter().copied().find(|at| {
        let parent = drafts.get(*at).and_then(|draft| draft.parent.as_ref()).and_then(|parent| index(&parent.value));
        parent.is_none_or(|parent| !left.contains(&parent))
    }) {
        left.remove(&next);
        order.push(next);
    }
    order
}
