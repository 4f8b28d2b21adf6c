//! `<tier>.files.jsonl`: one line a path of a tier's merged tree, in path order (docs/sbom.md).

use std::collections::BTreeMap;

use serde::Serialize;

pub use super::origin::Finished;
use super::origin::{Bringer, Origins};
use crate::{
    ground::{RootPath, Sha256, printable},
    rootfs::{LinkGroup, Node},
};

#[derive(Serialize)]
struct Line<'a> {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    r#type: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_file_as: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    tier: &'a str,
    origin: Brought<'a>,
}

/// Where a path comes from.
#[derive(Serialize)]
#[serde(untagged)]
enum Brought<'a> {
    Package { package: &'a str, version: &'a str, architecture: &'a str, deb_sha256: Sha256 },
    Generator { generator: &'static str, of: &'a str, manifest: &'a str, packages: Vec<&'a str> },
    Manifest { manifest: String, key: &'static str },
    Image { image: String, layer: String },
    Implied { implied: bool },
}

/// All lines.
pub fn lines(finished: &Finished<'_>) -> Vec<u8> {
    let packages = finished.packages();
    let origins = Origins::new(finished, &packages);
    let titles: Vec<String> = (0..finished.stages.len()).map(|stage| finished.title(stage)).collect();
    let Some((stage, tree)) = finished.stages.last().zip(finished.tree()) else { return Vec::new() };
    let accounts = &stage.composed.accounts;
    let users: BTreeMap<u32, &str> = accounts.users.iter().rev().map(|user| (user.uid, user.name.as_str())).collect();
    let groups: BTreeMap<u32, &str> =
        accounts.groups.iter().rev().map(|group| (group.gid, group.name.as_str())).collect();
    let title = |stage: usize| titles.get(stage).map_or("", String::as_str);
    let named = |number: usize| packages.get(number).map_or("", |own| &*own.input.name.name);
    let mut firsts: BTreeMap<LinkGroup, &RootPath> = BTreeMap::new();
    let mut out = Vec::new();
    for (path, entry) in &tree.entries {
        let origin = match origins.of(path, entry) {
            Bringer::Package(number) => match packages.get(number) {
                Some(own) => Brought::Package {
                    package: &own.input.name.name,
                    version: &own.input.name.version,
                    architecture: &own.input.name.architecture,
                    deb_sha256: own.locked.sha256,
                },
                None => Brought::Implied { implied: true },
            },
            Bringer::Generator { stage, generator, packages } => Brought::Generator {
                generator,
                of: title(stage),
                manifest: finished.stages.get(stage).map_or("", |stage| &stage.tier.source.name),
                packages: packages.into_iter().map(named).collect(),
            },
            Bringer::Manifest { key, file, line, .. } => Brought::Manifest { manifest: format!("{file}:{line}"), key },
            Bringer::Image { manifest, layer } => {
                Brought::Image { image: format!("sha256:{manifest}"), layer: format!("sha256:{layer}") }
            }
            Bringer::Implied => Brought::Implied { implied: true },
        };
        let (mut size, mut sha256, mut target, mut same_file_as) = (None, None, None, None);
        let kind = match &entry.node {
            Node::Directory => "directory",
            Node::Symlink(to) => {
                target = Some(&**to);
                "symlink"
            }
            Node::File { content, group } => {
                (size, sha256) = (Some(content.size), Some(content.sha256));
                same_file_as = group.map(|group| *firsts.entry(group).or_insert(path)).filter(|first| *first != path);
                "file"
            }
        };
        let attributes = &entry.attributes;
        let line = Line {
            path: path.to_string(),
            path_hex: hex_unless_plain(path.as_bytes()),
            r#type: kind,
            mode: format!("{:04o}", attributes.mode),
            uid: attributes.uid,
            gid: attributes.gid,
            user: users.get(&attributes.uid).copied(),
            group: groups.get(&attributes.gid).copied(),
            size,
            sha256,
            target: target.map(printable),
            target_hex: target.and_then(hex_unless_plain),
            same_file_as: same_file_as.map(ToString::to_string),
            xattrs: attributes.xattrs.iter().map(|(name, value)| (printable(name), hex(value))).collect(),
            tier: title(origins.stage(path, entry)),
            origin,
        };
        serde_json::to_writer(&mut out, &line).expect("a line is plain data, and memory takes it");
        out.push(b'\n');
    }
    out
}

/// The bytes in hexadecimal, where the printable form is not the very same.
fn hex_unless_plain(bytes: &[u8]) -> Option<String> {
    (printable(bytes).as_bytes() != bytes).then(|| hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
