//! What files mean: packages of dpkg, certificates, time zones, libraries, settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use x509_parser::pem::Pem;

use super::{Library, Node, Package, Tree};
use crate::{
    elf::{Elf, ElfError, Kind},
    ground::{RootPath, Sha256, printable},
    image::spec::Execution,
};

/// The largest library whose symbol versions are read out of a layer, in bytes. libLLVM has 130 MB.
pub const LARGEST_LIBRARY: u64 = 256 << 20;
/// The bundle of CA certificates.
const BUNDLE: &[u8] = b"etc/ssl/certs/ca-certificates.crt";
/// dpkg's list of packages.
const STATUS: &[u8] = b"var/lib/dpkg/status";
/// The same in pieces, as images without dpkg have it.
const STATUS_D: &[u8] = b"var/lib/dpkg/status.d";
/// Lists of files by package.
const INFO: &[u8] = b"var/lib/dpkg/info";
/// Time zones.
const ZONES: &[u8] = b"usr/share/zoneinfo/";
/// Certificates of one bundle that are told; Debian's has 140.
const MOST_CERTIFICATES: usize = 10_000;

/// Whether a file's content is kept: dpkg's lists, the bundle of CA certificates, changelogs.
pub fn is_kept(path: &RootPath) -> bool {
    let bytes = path.as_bytes();
    let (folder, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&b""[..], bytes),
    };
    match folder {
        STATUS_D => true,
        INFO => name.ends_with(b".list") || name.ends_with(b".md5sums"),
        _ if bytes == BUNDLE || bytes == STATUS => true,
        _ => bytes.starts_with(b"usr/share/doc/") && name.starts_with(b"changelog") && name.ends_with(b".gz"),
    }
}

/// Whether a file by this name may be a shared library.
pub fn is_library(path: &RootPath) -> bool {
    path.name().windows(3).any(|part| part == b".so")
}

/// What a library defines; `None` for what is none, or names itself nothing.
pub fn library(elf: Result<Option<Elf>, ElfError>) -> Option<Library> {
    let elf = elf.ok().flatten().filter(|elf| elf.kind == Kind::Shared)?;
    let soname = printable(elf.soname.as_deref()?);
    Some(Library { soname, versions: elf.defines.iter().map(|version| printable(version)).collect() })
}

/// What dpkg's lists say: the packages, where there are such lists, and whose each file is. Entries that
/// have an owner already keep it.
pub fn packages(tree: &mut Tree) -> Option<Vec<Package>> {
    let in_folder = |path: &RootPath, folder: &[u8]| path.parent().is_some_and(|above| above.as_bytes() == folder);
    let mut packages = Vec::new();
    let mut any = false;
    for (path, content) in &tree.kept {
        if path.as_bytes() == STATUS {
            any = true;
            packages.extend(stanzas(content).filter(|(_, installed)| *installed).map(|(package, _)| package));
        } else if in_folder(path, STATUS_D) && !path.name().ends_with(b".md5sums") {
            any = true;
            packages.extend(stanzas(content).map(|(package, _)| package));
        }
    }
    if !any {
        return None;
    }
    let mut owned: Vec<(RootPath, Arc<str>)> = Vec::new();
    for (path, content) in &tree.kept {
        if !in_folder(path, STATUS_D) && !in_folder(path, INFO) {
            continue;
        }
        let name = path.name();
        let (stem, sums) = match (name.strip_suffix(b".md5sums"), name.strip_suffix(b".list")) {
            (Some(stem), _) => (stem, true),
            (_, Some(stem)) => (stem, false),
            _ => continue,
        };
        let stem = stem.split(|byte| *byte == b':').next().unwrap_or(stem);
        let package: Arc<str> = printable(stem).into();
        for line in content.split(|byte| *byte == b'\n') {
            let line = if sums { line.get(34..).unwrap_or_default() } else { line };
            let Some(found) = RootPath::from_archive(line).ok().filter(|path| !path.is_root()) else { continue };
            // As packages from before the merge of /usr call it.
            let merged = || RootPath::root().join(&[b"usr/", found.as_bytes()].concat()).ok();
            let there = |path: &RootPath| tree.entries.get(path).is_some_and(|entry| entry.node != Node::Directory);
            let found = Some(found.clone()).filter(&there).or_else(|| merged().filter(&there));
            owned.extend(found.map(|path| (path, package.clone())));
        }
    }
    for (path, package) in owned {
        if let Some(entry) = tree.entries.get_mut(&path) {
            entry.package.get_or_insert(package);
        }
    }
    tree.kept.retain(|path, _| !in_folder(path, INFO) && !in_folder(path, STATUS_D));
    Some(packages)
}

/// The packages of a status file, and whether each is installed.
fn stanzas(text: &[u8]) -> impl Iterator<Item = (Package, bool)> + use<'_> {
    let mut lines = text.split(|byte| *byte == b'\n');
    std::iter::from_fn(move || {
        loop {
            let mut fields: BTreeMap<&[u8], String> = BTreeMap::new();
            let mut last = true;
            for line in lines.by_ref() {
                if line.is_empty() {
                    last = false;
                    break;
                }
                let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
                let (name, value) = line.split_at(colon);
                let wanted = [&b"Package"[..], b"Version", b"Architecture", b"Source", b"Status"];
                if wanted.contains(&name) {
                    fields.insert(name, printable(value.get(1..).unwrap_or_default().trim_ascii()));
                }
            }
            let mut take = |name: &[u8]| fields.remove(name);
            match (take(b"Package"), take(b"Version")) {
                (Some(name), Some(version)) => {
                    let (source, source_version) = source_of(take(b"Source").as_deref(), &name, &version);
                    let architecture = take(b"Architecture").unwrap_or_default();
                    let installed = take(b"Status").is_some_and(|status| status.ends_with(" installed"));
                    return Some((
                        Package { name, architecture, version, source, source_version, deb: None },
                        installed,
                    ));
                }
                _ if last => return None,
                _ => {}
            }
        }
    })
}

/// The source package and its version, of a binary package's field `Source` (Policy 5.6.1), its name and version.
/// A rebuild without changes (`+b1`) has the source's version.
pub fn source_of(field: Option<&str>, name: &str, version: &str) -> (String, String) {
    let own = match version.rsplit_once("+b") {
        Some((own, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => own,
        _ => version,
    };
    match field.map(str::trim).filter(|field| !field.is_empty()) {
        None => (name.to_owned(), own.to_owned()),
        Some(field) => match field.split_once(" (") {
            Some((source, version)) => (source.to_owned(), version.trim_end_matches(')').to_owned()),
            None => (field.to_owned(), own.to_owned()),
        },
    }
}

/// Certificates of the bundle by subject, fit to print, with their digests. What is no certificate is passed over.
pub fn certificates(pem: &[u8]) -> BTreeMap<String, BTreeSet<Sha256>> {
    let mut found: BTreeMap<String, BTreeSet<Sha256>> = BTreeMap::new();
    for pem in Pem::iter_from_buffer(pem).take(MOST_CERTIFICATES) {
        // After a block that is none, the reader does not know where the next one begins.
        let Ok(pem) = pem else { break };
        let Ok(certificate) = pem.parse_x509() else { continue };
        let subject = printable(certificate.subject().to_string().as_bytes());
        found.entry(subject).or_default().insert(Sha256::of(&pem.contents));
    }
    found
}

/// The certificates of a tree's bundle, links followed.
pub(super) fn bundle(tree: &Tree) -> BTreeMap<String, BTreeSet<Sha256>> {
    tree.kept.get(BUNDLE).map(|pem| certificates(pem)).unwrap_or_default()
}

/// The name of the time zone that a path is.
pub(super) fn time_zone(path: &RootPath) -> Option<String> {
    let name = path.as_bytes().strip_prefix(ZONES)?;
    let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
    let other = [&b"posix"[..], b"right", b"posixrules", b"localtime", b"leapseconds"].contains(&first);
    (!other && first.first().is_some_and(u8::is_ascii_uppercase) && !name.contains(&b'.')).then(|| printable(name))
}

/// See [`super::settings`].
pub(super) fn settings(
    execution: &Execution,
    platform: Option<&str>,
    annotations: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let Execution { user, exposed_ports, env, entrypoint, cmd, volumes, working_dir, labels, stop_signal } = execution;
    let mut found = BTreeMap::new();
    let mut put = |name: &str, value: &str| {
        found.insert(printable(name.as_bytes()), printable(value.as_bytes()));
    };
    let list = |words: &Option<Vec<String>>| {
        let words = words.as_ref().filter(|words| !words.is_empty())?;
        serde_json::to_string(words).ok()
    };
    for (name, value) in [("user", user), ("workdir", working_dir), ("stop-signal", stop_signal)] {
        value.iter().filter(|value| !value.is_empty()).for_each(|value| put(name, value));
    }
    platform.iter().for_each(|platform| put("platform", platform));
    for (name, value) in [("entrypoint", list(entrypoint)), ("cmd", list(cmd))] {
        value.iter().for_each(|value| put(name, value));
    }
    for line in env.iter().flatten() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        put(&format!("env {name}"), value);
    }
    for port in exposed_ports.iter().flat_map(BTreeMap::keys) {
        put(&format!("port {port}"), "exposed");
    }
    for path in volumes.iter().flat_map(BTreeMap::keys) {
        put(&format!("volume {path}"), "yes");
    }
    for (name, value) in labels.iter().flatten() {
        put(&format!("label {name}"), value);
    }
    for (name, value) in annotations {
        put(&format!("annotation {name}"), value);
    }
    found
}
