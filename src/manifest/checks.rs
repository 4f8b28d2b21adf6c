//! `[limits]`, `[[expect]]` and `[[accept]]`: what must hold of a tier, and which findings are known.
//! None of them shapes a byte of a layer.

use super::{
    Glob, Ownership, Tier,
    error::{Findings, Topic},
    globs,
    shape::{Fields, Value},
};
use crate::{
    debian::Architecture,
    ground::{RootPath, Sha256, Source, Span, Spanned},
};

/// All of a tier's manifest that is checked and shapes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    /// `[limits]`
    pub limits: Limits,
    /// `[[expect]]`
    pub expect: Vec<Expectation>,
    /// `[[accept]]`
    pub accept: Vec<Acceptance>,
}

/// `[limits]`: each with the place of its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the tier's own layer, as an uncompressed tar.
    pub layer_size: Option<Spanned<u64>>,
    /// Bytes of all files of the tier and its ancestors, a hard-linked one once.
    pub rootfs_size: Option<Spanned<u64>>,
    /// Packages of the tier and its ancestors.
    pub packages: Option<Spanned<u32>>,
    /// Whether setuid and setgid files may be there; child tiers inherit it.
    pub setuid: Option<Spanned<SetId>>,
}

/// `limits.setuid`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetId {
    /// No such file.
    Deny,
    /// They may be there, whatever a parent says.
    Allow,
}

/// `[[expect]]`: what must be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The whole table.
    pub span: Span,
    /// What is looked at.
    pub path: Spanned<RootPath>,
    /// Only on these architectures; `None`: on all.
    pub architectures: Option<Vec<Architecture>>,
    /// What must be there.
    pub wanted: Wanted,
}

/// What an expectation wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing, not even a link that leads nowhere; the place is that of the key that says so.
    Absent(Span),
    /// Something; of which all this holds.
    Present(Box<Features>),
}

/// What must hold of something that is there; each with the place of its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// What it is.
    pub kind: Option<Spanned<Sort>>,
    /// Its twelve bits.
    pub mode: Option<Spanned<u16>>,
    /// Its owner's numeric id.
    pub owner: Option<Spanned<u32>>,
    /// Its group's numeric id.
    pub group: Option<Spanned<u32>>,
    /// What the link says, as it is stored.
    pub target: Option<Spanned<String>>,
    /// Of the file's bytes.
    pub sha256: Option<Spanned<Sha256>>,
    /// Text in the file.
    pub contains: Option<Spanned<String>>,
}

/// `expect.type`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

impl Features {
    /// Whether the last name is looked at itself, even if it is a link: who asks for a link or its
    /// target means the link.
    pub fn of_link(&self) -> bool {
        self.target.is_some() || self.kind.as_ref().is_some_and(|kind| kind.value == Sort::Symlink)
    }
}

/// `[[accept]]`: findings of `check` that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The whole table.
    pub span: Span,
    /// The lint's name, as docs/lints.md has it; nobody has checked that there is one.
    pub lint: Spanned<String>,
    /// Which of its findings: the subject, or a glob for several.
    pub subject: Spanned<Glob>,
    /// Why it is fine, for readers and reports.
    pub reason: String,
}

impl Acceptance {
    /// Whether it covers a finding of a lint about this subject.
    pub fn covers(&self, lint: &str, subject: &str) -> bool {
        self.lint.value == lint && globs::matches_word(&self.subject.value, subject)
    }
}

/// Where a tier's manifest has a key (`["generate", "os-release"]`), or the table of that name.
pub fn place_of(source: &Source, keys: &[&str]) -> Option<Span> {
    let (tree, _) = toml::de::DeTable::parse_recoverable(&source.text);
    let mut table = tree.get_ref();
    let mut found = None;
    for key in keys {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
        found = Some(name.span());
        match value.get_ref() {
            toml::de::DeValue::Table(below) => table = below,
            _ if key == keys.last()? => break,
            _ => return None,
        }
    }
    found
}

/// Who owns what an expectation names: names of the chain become numbers.
pub(super) type Owners<'a> = dyn FnMut(&mut Fields, &mut Findings) -> (Ownership, [Option<Span>; 2]) + 'a;

/// Reads the three tables of a tier.
pub(super) fn read(fields: &mut Fields, owners: &mut Owners<'_>, findings: &mut Findings) -> Checks {
    Checks {
        limits: fields.take::<Fields>("limits").map(read_limits).unwrap_or_default(),
        expect: read_expect(fields, owners, findings),
        accept: read_accept(fields, findings),
    }
}

fn read_limits(mut table: Fields) -> Limits {
    let size = |table: &mut Fields, key: &str| match table.spanned::<Value>(key)? {
        Spanned { value: Value::Size(bytes), span } => Some(Spanned::new(bytes, span)),
        _ => None,
    };
    Limits {
        layer_size: size(&mut table, "layer-size"),
        rootfs_size: size(&mut table, "rootfs-size"),
        // As an id, it has no sign.
        packages: table.spanned::<u32>("packages"),
        setuid: table
            .spanned::<String>("setuid")
            .map(|setuid| Spanned::new(if setuid.value == "deny" { SetId::Deny } else { SetId::Allow }, setuid.span)),
    }
}

fn read_expect(fields: &mut Fields, owners: &mut Owners<'_>, findings: &mut Findings) -> Vec<Expectation> {
    let mut all = Vec::new();
    for Spanned { value: mut entry, span } in fields.list::<Fields>("expect") {
        let exists = entry.spanned::<bool>("exists");
        let absent = entry.spanned::<bool>("absent");
        let gone = match (&exists, &absent) {
            (Some(exists), Some(absent)) if exists.value == absent.value => {
                let message = "`exists` and `absent` of one [[expect]] contradict each other";
                let finding = findings.error(Topic::BadValue, absent.span.clone(), message, "and here");
                finding.other = Some((exists.span.clone(), "here".into()));
                finding.help("take one of them out");
                None
            }
            (Some(exists), _) if !exists.value => Some(exists.span.clone()),
            (_, Some(absent)) if absent.value => Some(absent.span.clone()),
            _ => None,
        };
        let (owner, [named_owner, named_group]) = owners(&mut entry, findings);
        let kind = entry.spanned::<String>("type").map(|kind| {
            let sort = match kind.value.as_str() {
                "directory" => Sort::Directory,
                "symlink" => Sort::Symlink,
                _ => Sort::File,
            };
            Spanned::new(sort, kind.span)
        });
        let features = Features {
            kind,
            mode: entry.spanned("mode"),
            owner: named_owner.map(|span| Spanned::new(owner.uid, span)),
            group: named_group.map(|span| Spanned::new(owner.gid, span)),
            target: entry.spanned("target"),
            sha256: entry.spanned::<String>("sha256").and_then(|text| sha256(text, findings)),
            contains: entry.spanned("contains"),
        };
        let architectures = entry.take::<Vec<Spanned<Architecture>>>("architectures");
        let architectures = architectures.map(|list| list.into_iter().map(|one| one.value).collect());
        if let Some(gone) = gone.as_ref().filter(|_| features != Features::default()) {
            findings
                .error(
                    Topic::BadValue,
                    span.clone(),
                    "[[expect]] says what something absent is like",
                    "it is not there",
                )
                .help("keep `absent` and `path`, or take `absent` out")
                .other = Some((gone.clone(), "by this".into()));
        }
        contradictions(&features, findings);
        let Some(path) = entry.spanned::<RootPath>("path") else { continue };
        let wanted = gone.map_or_else(|| Wanted::Present(Box::new(features)), Wanted::Absent);
        all.push(Expectation { span, path, architectures, wanted });
    }
    all
}

fn sha256(text: Spanned<String>, findings: &mut Findings) -> Option<Spanned<Sha256>> {
    match text.value.parse() {
        Ok(digest) => Some(Spanned::new(digest, text.span)),
        Err(_) => {
            findings
                .error(Topic::BadValue, text.span, "`sha256` is no SHA-256", "64 hexadecimal digits belong here")
                .help("`sha256sum FILE` prints it");
            None
        }
    }
}

/// What no tree can fulfil.
fn contradictions(features: &Features, findings: &mut Findings) {
    let kind = features.kind.as_ref().map(|kind| kind.value);
    let file = features.sha256.as_ref().map(|one| &one.span).or(features.contains.as_ref().map(|one| &one.span));
    let link = features.target.as_ref().map(|one| &one.span);
    let wrong = match (kind, file, link) {
        (Some(Sort::Directory | Sort::Symlink), Some(span), _) => Some((span, "only a file has content")),
        (Some(Sort::File | Sort::Directory), _, Some(span)) => Some((span, "only a symbolic link has a target")),
        (None, Some(_), Some(span)) => Some((span, "what has content is no link")),
        _ => None,
    };
    if let Some((span, label)) = wrong {
        let message = "this [[expect]] can never be met";
        findings.error(Topic::BadValue, span.clone(), message, label).help("write two, or take one key out");
    }
    // Links have no mode of their own in a layer: all are 0777.
    if let Some(mode) = features.mode.as_ref().filter(|mode| features.of_link() && mode.value != 0o777) {
        let message = "this [[expect]] can never be met";
        findings.error(Topic::BadValue, mode.span.clone(), message, "every symbolic link has 0o777");
    }
}

fn read_accept(fields: &mut Fields, findings: &mut Findings) -> Vec<Acceptance> {
    let mut all: Vec<Acceptance> = Vec::new();
    for Spanned { value: mut entry, span } in fields.list::<Fields>("accept") {
        let (Some(lint), Some(subject), Some(reason)) =
            (entry.spanned::<String>("lint"), entry.spanned::<String>("subject"), entry.spanned::<String>("reason"))
        else {
            continue;
        };
        if reason.value.trim().is_empty() {
            findings
                .error(Topic::BadValue, reason.span, "an acceptance needs its reason", "nothing said")
                .help("say why the finding is fine; readers and reports will ask");
        }
        if let Err(fault) = globs::check_word(&subject.value) {
            findings.error(Topic::Glob, subject.span, "`subject` is no glob", fault);
            continue;
        }
        let subject = Spanned::new(Glob(subject.value.into()), subject.span);
        if let Some(first) =
            all.iter().find(|first| first.lint.value == lint.value && first.subject.value == subject.value)
        {
            let message = format!("{} of {} is accepted twice", lint.value, subject.value.0);
            findings.error(Topic::Duplicate, subject.span.clone(), message, "again here").other =
                Some((first.subject.span.clone(), "first here".into()));
        }
        all.push(Acceptance { span, lint, subject, reason: reason.value });
    }
    all
}

impl Tier {
    /// What `limits.setuid` says here: this tier's word, or else its nearest ancestor's. `chain` is the
    /// tier's chain, the root tier first. The second is the manifest that says it.
    pub fn setuid<'a>(chain: &[&'a Tier]) -> Option<(&'a Spanned<SetId>, &'a Tier)> {
        chain.iter().rev().find_map(|tier| Some((tier.checks.limits.setuid.as_ref()?, *tier)))
    }
}
