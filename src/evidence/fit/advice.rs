//! What would make a file fit: packages that bring what is missing, and the manifest that names them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    Kind, Missing, Verdict,
    judge::{Lack, PATH},
    table::Tier,
};
use crate::{
    debian::Architecture,
    elf::{Kind as ElfKind, Loader, Tree as _},
    ground::{RootPath, follow, printable},
};

/// Missing things that are listed of one file and tier.
const MOST_LISTED: usize = 50;

/// Who brings what, in one distribution and architecture.
pub struct Advice<'a> {
    /// All its tiers, as far as they are known.
    pub tiers: &'a [Tier<'a>],
    /// Its architecture.
    pub architecture: Architecture,
    /// Finds the first of some package names that the archive has.
    pub archive: &'a dyn Fn(&[String]) -> Option<String>,
}

impl Advice<'_> {
    /// A verdict of what a tier lacks.
    pub fn verdict(&self, lacks: &[Lack]) -> Verdict {
        let mut missing = BTreeSet::new();
        for lack in lacks.iter().take(MOST_LISTED) {
            let text = |bytes: &Vec<u8>| printable(bytes);
            let by = lack.by.as_ref().map(RootPath::to_string);
            let package = match lack.kind {
                _ if lack.hopeless => None,
                Kind::Library => self.library(lack, &mut missing),
                Kind::Interpreter => self.interpreter(&lack.name),
                Kind::Symbol | Kind::Architecture => None,
            };
            let (kind, name, library) = (lack.kind, lack.shown(), lack.library.as_ref().map(text));
            missing.insert(Missing { kind, name, package, library, by });
        }
        Verdict {
            fits: lacks.is_empty(),
            missing: missing.into_iter().collect(),
            more: lacks.len().saturating_sub(MOST_LISTED),
        }
    }

    /// Whose library it is. Versions that even that one lacks are missing too.
    fn library(&self, lack: &Lack, missing: &mut BTreeSet<Missing>) -> Option<String> {
        let folders = Loader::of(self.architecture.multiarch()).default;
        for tier in self.tiers {
            for (path, object) in tier.objects() {
                let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                let named = file == lack.name || object.elf.soname.as_deref() == Some(&lack.name);
                if !named || object.package.is_empty() || object.elf.kind != ElfKind::Shared {
                    continue;
                }
                // A private one is found by those who know its folder.
                let mut real = folders.iter().filter_map(|folder| follow(folder, true, |path| tier.link(path)).ok());
                let folder = path.strip_suffix(file).and_then(|folder| folder.strip_suffix(b"/"));
                if !real.any(|real| Some(&*real) == folder) {
                    continue;
                }
                let defines = &object.elf.defines;
                for version in lack.versions.iter().filter(|one| !defines.is_empty() && !defines.contains(one)) {
                    missing.insert(Missing {
                        kind: Kind::Symbol,
                        name: printable(version),
                        package: None,
                        library: Some(lack.shown()),
                        by: lack.by.as_ref().map(RootPath::to_string),
                    });
                }
                return Some(printable(object.package.as_bytes()));
            }
        }
        (self.archive)(&guesses(&lack.name))
    }

    fn interpreter(&self, name: &[u8]) -> Option<String> {
        let paths: Vec<Vec<u8>> = match name.contains(&b'/') {
            true => vec![name.to_vec()],
            false => PATH.iter().map(|folder| [folder.as_bytes(), b"/", name].concat()).collect(),
        };
        for tier in self.tiers {
            for path in &paths {
                let Ok(real) = follow(path, true, |path| tier.link(path)) else { continue };
                let object = tier.object(&real).map(|(_, object)| &*object.package);
                let package = object.or_else(|| tier.script(&real).map(|(_, package)| package));
                if let Some(package) = package.filter(|package| !package.is_empty()) {
                    return Some(printable(package.as_bytes()));
                }
            }
        }
        let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let file = std::str::from_utf8(file).ok()?;
        let known = match file {
            "node" => "nodejs",
            // Essential, and in few tiers.
            "sh" => "dash",
            "env" => "coreutils",
            "awk" => "mawk",
            file if file.starts_with("ld-musl-") => "musl",
            file if file == loader_of(self.architecture) => "libc6",
            // Another machine's is of no use here.
            file if file.starts_with("ld-linux") || file.starts_with("ld64.so") || file.starts_with("ld.so") => {
                return None;
            }
            file => file,
        };
        (self.archive)(&[known.to_owned()])
    }
}

/// The file name of glibc's loader (the processor supplements of the System V ABI).
fn loader_of(architecture: Architecture) -> &'static str {
    match architecture.name() {
        "amd64" => "ld-linux-x86-64.so.2",
        "arm64" => "ld-linux-aarch64.so.1",
        "armhf" => "ld-linux-armhf.so.3",
        "i386" => "ld-linux.so.2",
        "loong64" => "ld-linux-loongarch-lp64d.so.1",
        "ppc64el" => "ld64.so.2",
        "riscv64" => "ld-linux-riscv64-lp64d.so.1",
        "s390x" => "ld64.so.1",
        _ => "",
    }
}

/// What the package of a library is called by Policy 8.1: the soname, with a hyphen where its name ends
/// in a digit; in Debian 13 some end in `t64`. Best first.
pub fn guesses(soname: &[u8]) -> Vec<String> {
    let Ok(soname) = std::str::from_utf8(soname) else { return Vec::new() };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-' | b'_');
    if soname.is_empty() || soname.len() > 200 || !soname.bytes().all(plain) {
        return Vec::new();
    }
    let soname = soname.to_ascii_lowercase().replace('_', "-");
    let base = if let Some((name, version)) = soname.split_once(".so.") {
        let hyphen = if name.ends_with(|last: char| last.is_ascii_digit()) { "-" } else { "" };
        format!("{name}{hyphen}{version}")
    } else if let Some(name) = soname.strip_suffix(".so") {
        name.to_owned()
    } else {
        return Vec::new();
    };
    let mut names = vec![base.clone(), format!("{base}t64")];
    // libfoo-1.2.so.3 is now and then in libfoo-1.2-3, or in libfoo3.
    if let Some((name, version)) = soname.split_once(".so.") {
        names.push(format!("{name}-{version}"));
        names.push(format!("{name}-{version}t64"));
    }
    names.dedup();
    names
}

/// The tier to build on, what it lacks, and the manifest that adds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Best {
    /// The distribution.
    pub distribution: String,
    /// The parent, by its short name.
    pub parent: String,
    /// Packages to name; none where the parent has all.
    pub packages: Vec<String>,
    /// The manifest.
    pub manifest: String,
}

/// The tier on which the fewest packages are missing, then the smallest, then the first by name; only
/// where packages are all that is missing. `verdicts` are those of all files, by full name of the tier.
pub fn suggest(
    verdicts: &BTreeMap<String, Vec<&Verdict>>,
    sizes: &BTreeMap<String, Option<u64>>,
    of: &str,
) -> Option<Best> {
    let candidate = |(tier, verdicts): (&String, &Vec<&Verdict>)| {
        let missing = || verdicts.iter().flat_map(|verdict| &verdict.missing);
        let whole = verdicts.iter().all(|verdict| verdict.more == 0);
        let packages: Option<BTreeSet<String>> = missing().map(|missing| missing.package.clone()).collect();
        let size = sizes.get(tier).copied().flatten().unwrap_or(u64::MAX);
        packages.filter(|_| whole).map(|packages| (packages.len(), size, tier.clone(), packages))
    };
    let (_, _, tier, packages) = verdicts.iter().filter_map(candidate).min()?;
    let (distribution, parent) = tier.split_once('/')?;
    let packages: Vec<String> = packages.into_iter().collect();
    Some(Best {
        distribution: distribution.to_owned(),
        parent: parent.to_owned(),
        manifest: manifest(parent, &packages, of),
        packages,
    })
}

/// TOML strings, as serde's writer quotes them.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn manifest(parent: &str, packages: &[String], of: &str) -> String {
    let names: Vec<_> = packages.iter().map(|name| quoted(name)).collect();
    let linked = if packages.is_empty() { "" } else { "dependencies = \"linked\"\n" };
    format!(
        "summary = {}\nparent = {}\npackages = [{}]\n{linked}",
        quoted(&format!("What {of} needs")),
        quoted(parent),
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sonames_and_packages() {
        for (soname, package) in [
            ("libz.so.1", "libz1"),
            ("libstdc++.so.6", "libstdc++6"),
            ("libgcc_s.so.1", "libgcc-s1"),
            ("libX11.so.6", "libx11-6"),
            ("libpcre2-8.so.0", "libpcre2-8-0"),
            ("libcurl.so.4", "libcurl4t64"),
            ("libbfd-2.44-system.so", "libbfd-2.44-system"),
        ] {
            assert!(guesses(soname.as_bytes()).iter().any(|name| name == package), "{soname}");
        }
        for soname in [b"".as_slice(), b"plugin", b"\xff.so.1", b"../x.so.1", b"a b.so.1"] {
            assert_eq!(guesses(soname), [""; 0]);
        }
    }
}
