//! `archive.toml`: fields to an [`Archive`].

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    debian::Architecture,
    ground::{Span, Spanned, TooLong, read_at_most},
};

use super::{
    Archive, ArchiveSource, DebFolder, Keyring,
    error::{Findings, Topic, class_of},
    local::{self, same_folder},
    shape::{Fields, FromValue},
};

/// The largest keyring taken, in bytes: Debian's own, of all its releases, has 60 kB.
const LARGEST_KEYRING: u64 = 1 << 20;
/// The latest mtime that a tar header holds in octal, in seconds.
const LATEST: i64 = 0o77_777_777_777;

/// Reads the fields of `archive.toml`; `folder` is the distribution's.
pub(super) fn read(mut fields: Fields, folder: &Path, findings: &mut Findings) -> Archive {
    let architectures: Vec<Spanned<Architecture>> = entries(&mut fields, "architectures", findings).unwrap_or_default();
    twice(findings, "architectures", &architectures);
    let tables: Vec<Spanned<Fields>> = entries(&mut fields, "sources", findings).unwrap_or_default();
    let mut sources: Vec<ArchiveSource> = Vec::new();
    for table in tables {
        let source = read_source(table.value, table.span, folder, findings);
        if let Some(only) = &source.architectures {
            for wanted in only.iter().filter(|one| !architectures.iter().any(|all| all.value == one.value)) {
                findings
                    .error(
                        Topic::BadValue,
                        wanted.span.clone(),
                        format!("the archive has no architecture {}", wanted.value),
                        "not among the archive's",
                    )
                    .help("add it to `architectures` at the top, or take it out here");
            }
        }
        same_suite(findings, &sources, &source, &architectures);
        same_folder(findings, &sources, &source, |other| share_architecture(other, &source, &architectures));
        sources.push(source);
    }
    name_all(&mut sources);
    Archive {
        source: findings.source.clone(),
        summary: fields.take("summary").unwrap_or_default(),
        architectures,
        timestamp: timestamp(fields.spanned("timestamp"), findings),
        merged_usr: fields.take("merged-usr").unwrap_or(true),
        sources,
    }
}

fn timestamp(written: Option<Spanned<Timestamp>>, findings: &mut Findings) -> u64 {
    let Some(Spanned { value, span }) = written else { return 0 };
    let whole = value.subsec_nanosecond() == 0;
    match u64::try_from(value.as_second()).ok().filter(|_| whole && value.as_second() <= LATEST) {
        Some(seconds) => seconds,
        None => {
            findings
                .error(
                    Topic::BadValue,
                    span,
                    "`timestamp` does not fit a tar header",
                    "outside what a tar header holds",
                )
                .help("a whole second from 1970-01-01T00:00:00Z to 2242-03-16T12:56:31Z");
            0
        }
    }
}

/// Takes a list out that may be left out, but not be empty.
fn entries<T>(fields: &mut Fields, key: &str, findings: &mut Findings) -> Option<Vec<Spanned<T>>>
where
    Vec<Spanned<T>>: FromValue,
{
    let list = fields.spanned::<Vec<Spanned<T>>>(key)?;
    if list.value.is_empty() && !fields.refused(key) {
        findings.error(Topic::BadValue, list.span, format!("`{key}` is empty"), "needs one entry at least");
    }
    Some(list.value)
}

/// The same value twice in one list.
fn twice<T: PartialEq + std::fmt::Display>(findings: &mut Findings, key: &str, list: &[Spanned<T>]) {
    for (at, item) in list.iter().enumerate() {
        if let Some(first) = list.iter().take(at).find(|first| first.value == item.value) {
            let message = format!("{} is twice in `{key}`", item.value);
            findings.error(Topic::Duplicate, item.span.clone(), message, "again here").other =
                Some((first.span.clone(), "first here".into()));
        }
    }
}

fn read_source(mut fields: Fields, span: Span, folder: &Path, findings: &mut Findings) -> ArchiveSource {
    let architectures: Option<Vec<Spanned<Architecture>>> = entries(&mut fields, "architectures", findings);
    twice(findings, "architectures", architectures.as_deref().unwrap_or_default());
    if fields.written("folder") {
        return ArchiveSource { architectures, ..local::read(fields, span, folder, findings) };
    }
    if !fields.written("suites") {
        findings
            .error(Topic::MissingKey, span.clone(), "[[sources]] needs `suites`", "no `suites` here")
            .help("as in apt's Suites: suites = [\"trixie\"]; or `folder` for .debs of your own");
    }
    let suites: Vec<Spanned<String>> = entries(&mut fields, "suites", findings).unwrap_or_default();
    let components: Vec<Spanned<String>> = entries(&mut fields, "components", findings).unwrap_or_default();
    let flat = flat(&suites, &components, findings);
    for suite in suites.iter().filter(|suite| !suite.value.ends_with('/')) {
        relative(findings, suite, "suites");
    }
    for component in &components {
        relative(findings, component, "components");
    }
    if !fields.written("components") && !flat {
        findings
            .error(Topic::MissingKey, span.clone(), "[[sources]] needs `components`", "no component here")
            .help("as in apt's Components: components = [\"main\"]");
    }
    twice(findings, "suites", &suites);
    twice(findings, "components", &components);
    let snapshot: Option<Spanned<String>> = fields.spanned("snapshot");
    if let Some(snapshot) = &snapshot
        && (snapshot.value.is_empty() || snapshot.value.contains(['/', '=', ' ']))
    {
        let message = format!("`snapshot = {:?}` is no archive's name", snapshot.value);
        findings
            .error(Topic::BadValue, snapshot.span.clone(), message, "one word without `/` and `=`")
            .help("such as \"debian\" or \"debian-security\"; a moment goes into `snapshot-at`");
    }
    let uris: Vec<Spanned<String>> = fields.list("uris");
    for uri in &uris {
        check_uri(findings, uri);
    }
    twice(findings, "uris", &uris);
    let nowhere = !fields.written("snapshot") && uris.is_empty() && !fields.refused("uris");
    if nowhere {
        findings
            .error(Topic::MissingKey, span.clone(), "[[sources]] needs `snapshot` or `uris`", "packages from where?")
            .help(
                "`snapshot = \"debian\"` names an archive that the host's own mirrors may have; `uris` lists mirrors",
            );
    }
    let snapshot_at: Option<Spanned<Timestamp>> = fields.spanned("snapshot-at");
    if let Some(at) = &snapshot_at
        && snapshot.is_none()
        && uris.is_empty()
    {
        findings.error(Topic::MissingKey, at.span.clone(), "`snapshot-at` needs `snapshot`", "of which archive?");
    }
    let allow_unsigned = fields.take("allow-unsigned").unwrap_or(false);
    let signed_by = match fields.spanned::<String>("signed-by") {
        Some(written) => keyring(written, folder, findings),
        None => {
            if !allow_unsigned && !fields.written("signed-by") {
                findings
                    .error(Topic::MissingKey, span.clone(), "[[sources]] needs `signed-by`", "whose signature counts?")
                    .help("name a file with the archive's public keys; `allow-unsigned = true` trusts whoever answers");
            }
            None
        }
    };
    ArchiveSource {
        span,
        name: String::new(),
        suites,
        components,
        signed_by,
        snapshot,
        uris,
        snapshot_at,
        max_age: fields.spanned("max-age"),
        architectures,
        priority: fields.take("priority").unwrap_or(500),
        allow_unsigned,
        allow_expired: fields.take("allow-expired").unwrap_or(false),
        folder: None,
    }
}

/// Whether the source is a flat repository: its suites end in a slash, are folders below its URIs, and
/// have no components.
fn flat(suites: &[Spanned<String>], components: &[Spanned<String>], findings: &mut Findings) -> bool {
    let (flat, others): (Vec<_>, Vec<_>) = suites.iter().partition(|suite| suite.value.ends_with('/'));
    for suite in &flat {
        let folder = suite.value.trim_end_matches('/');
        let folder = folder.strip_prefix("./").unwrap_or(folder);
        if !matches!(folder, "" | ".") {
            let inner = Spanned::new(folder.to_owned(), suite.span.clone());
            relative(findings, &inner, "suites");
        } else if suite.value.ends_with("//") {
            relative(findings, suite, "suites");
        }
    }
    let Some(first) = flat.first() else { return false };
    if let Some(other) = others.first() {
        let message = format!("{:?} is a flat repository, {:?} is none", first.value, other.value);
        let finding = findings.error(Topic::BadValue, first.span.clone(), message, "a folder of its own");
        finding.other = Some((other.span.clone(), "a suite below dists/".into()));
        finding.help("give each of them [[sources]] of its own");
    } else if let Some(component) = components.first() {
        findings
            .error(Topic::BadValue, component.span.clone(), "a flat repository has no components", "of which suite?")
            .help("take `components` out, as apt wants it too; or take the `/` at the end of `suites` away");
    }
    true
}

/// Suites and components become parts of a URI's path.
fn relative(findings: &mut Findings, part: &Spanned<String>, key: &str) {
    let plain = |name: &str| !name.is_empty() && name != "." && name != "..";
    if !part.value.split('/').all(plain) || part.value.contains([' ', '?', '#', '%']) {
        let message = format!("{:?} in `{key}` is no part of a mirror's path", part.value);
        findings.error(Topic::BadValue, part.span.clone(), message, "names joined by `/`, none of them empty or `..`");
    }
}

pub(super) fn check_uri(findings: &mut Findings, uri: &Spanned<String>) {
    let fault = match uri.value.split_once("://") {
        Some(("http" | "https", rest)) => {
            let host = rest.split('/').next().unwrap_or_default();
            if host.is_empty() {
                Some(("no host", "such as https://mirror.example.org/debian"))
            } else if host.contains('@') {
                Some((
                    "a password does not belong into a manifest",
                    "credentials go into apt's auth.conf.d or into ~/.netrc",
                ))
            } else {
                None
            }
        }
        Some(("file", rest)) => {
            (!rest.starts_with('/')).then_some(("no absolute path", "such as file:///srv/mirror/debian"))
        }
        Some(_) => Some(("unknown scheme", "http, https and file are known")),
        None => Some(("no scheme", "such as https://mirror.example.org/debian")),
    };
    let blank = uri.value.contains(|c: char| c.is_whitespace());
    let fault = fault.or(blank.then_some(("white space in it", "write a space as %20")));
    if let Some((label, help)) = fault {
        // The text is not repeated in the message: it may hold a password (`load` hides it in the line).
        findings.error(Topic::BadValue, uri.span.clone(), "an entry of `uris` is no mirror", label).help(help);
    }
}

/// What vouches for an archive comes with the manifests and is reviewed with them.
fn leaves_manifests(written: &str) -> Option<&'static str> {
    // From the distribution's folder: one `..` leads to manifests/, the next one out.
    let mut depth = 1_u32;
    for part in Path::new(written).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => depth = depth.saturating_add(1),
            Component::ParentDir => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return Some("leads out of manifests/"),
            },
            Component::RootDir | Component::Prefix(_) => return Some("an absolute path"),
        }
    }
    None
}

fn keyring(written: Spanned<String>, folder: &Path, findings: &mut Findings) -> Option<Keyring> {
    if let Some(fault) = leaves_manifests(&written.value) {
        let message = format!("the keyring {:?} is not beside the manifests", written.value);
        findings.error(Topic::Beside, written.span, message, fault).help(
            "put it into the distribution's folder or elsewhere below manifests/, and write it relative to \
             archive.toml, so that the project builds elsewhere too",
        );
        return None;
    }
    let path = folder.join(&written.value);
    let read = || -> io::Result<Vec<u8>> {
        let file = std::fs::File::open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "no regular file"));
        }
        read_at_most(file, LARGEST_KEYRING)
    };
    match read() {
        Ok(bytes) if bytes.is_empty() => {
            findings
                .error(Topic::Beside, written.span, format!("the keyring {:?} is empty", written.value), "no key in it")
                .help("export the archive's public keys into it");
            None
        }
        Ok(bytes) => Some(Keyring { path, written, bytes: Arc::from(bytes) }),
        Err(error) => {
            let large = error.get_ref().is_some_and(|inner| inner.is::<TooLong>());
            let finding = findings.error(
                Topic::Beside,
                written.span,
                format!("the keyring {:?} cannot be read", written.value),
                error.to_string(),
            );
            finding.class = if large { crate::ground::Class::User } else { class_of(&error) };
            finding.help("`signed-by` is a path beside archive.toml, to a file with public keys, armoured or binary");
            None
        }
    }
}

/// The same suite of the same archive in two sources, for the same component and architecture.
fn same_suite(
    findings: &mut Findings,
    before: &[ArchiveSource],
    source: &ArchiveSource,
    all: &[Spanned<Architecture>],
) {
    let values = |list: &[Spanned<String>]| -> Vec<String> { list.iter().map(|item| item.value.clone()).collect() };
    let archive =
        |source: &ArchiveSource| (source.snapshot.as_ref().map(|one| one.value.clone()), values(&source.uris));
    for suite in &source.suites {
        let again = before.iter().find_map(|other| {
            let same = archive(other) == archive(source)
                && (other.components.is_empty()
                    || other.components.iter().any(|one| values(&source.components).contains(&one.value)))
                && share_architecture(other, source, all);
            other.suites.iter().find(|one| same && one.value == suite.value)
        });
        if let Some(first) = again {
            let message = format!("the suite {} of this archive is there twice", suite.value);
            let finding = findings.error(Topic::Duplicate, suite.span.clone(), message, "again here");
            finding.other = Some((first.span.clone(), "first here".into()));
            finding.help("one source a suite; or tell them apart by `architectures` or `components`");
        }
    }
}

fn share_architecture(one: &ArchiveSource, other: &ArchiveSource, all: &[Spanned<Architecture>]) -> bool {
    let archs = |source: &ArchiveSource| -> Vec<Architecture> {
        source.architectures.as_deref().unwrap_or(all).iter().map(|arch| arch.value).collect()
    };
    archs(one).iter().any(|arch| archs(other).contains(arch))
}

/// Gives every source its name; a second one of the same name gets `-2`.
fn name_all(sources: &mut [ArchiveSource]) {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (at, source) in sources.iter_mut().enumerate() {
        let last_part = |uri: &Spanned<String>| {
            let (_, rest) = uri.value.split_once("://")?;
            let (_, path) = rest.split_once('/')?;
            path.trim_end_matches('/').rsplit('/').next().filter(|part| !part.is_empty()).map(str::to_owned)
        };
        let last_name = |folder: &DebFolder| {
            let name = Path::new(&folder.written.value).file_name()?.to_str()?;
            Some(name.to_owned())
        };
        let base = match (&source.snapshot, &source.folder) {
            (Some(snapshot), _) => Some(snapshot.value.clone()),
            (None, Some(folder)) => last_name(folder),
            (None, None) => source.uris.first().and_then(last_part),
        };
        let base = base.unwrap_or_else(|| format!("source-{}", at + 1));
        let mut name = base.clone();
        let mut count = 1;
        while taken.contains_key(&name) {
            count += 1;
            name = format!("{base}-{count}");
        }
        taken.insert(name.clone(), at);
        source.name = name;
    }
}
