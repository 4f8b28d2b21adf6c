//! First manifests: what `new` writes. The known distributions are those that this repository ships.

use std::fmt::Write as _;

use super::{Distribution, Manifest, schema};

/// A distribution that can be begun without any other file.
#[derive(Debug)]
pub struct Known {
    /// The folder's name.
    pub name: &'static str,
    /// Its archive.toml, but for the line that names a schema.
    archive: &'static str,
    /// The keys that sign its archive.
    keyring: &'static [u8],
}

/// Where an `archive.toml` here says that the keyring is.
const KEYRING: &str = "keyrings/debian-archive-keyring.asc";
/// The first tier of a distribution.
const FIRST: &str = "base";
/// Where a project keeps its schemas that has none in docs/: hidden, so no distribution.
const SCHEMAS: &str = "manifests/.schema";

/// All of them.
pub static KNOWN: [Known; 2] = [
    Known {
        name: "debian12",
        archive: include_str!("../../manifests/debian12/archive.toml"),
        keyring: include_bytes!("../../manifests/debian12/keyrings/debian-archive-keyring.asc"),
    },
    Known {
        name: "debian13",
        archive: include_str!("../../manifests/debian13/archive.toml"),
        keyring: include_bytes!("../../manifests/debian13/keyrings/debian-archive-keyring.asc"),
    },
];

/// A file to write: its path from the project folder, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    /// With `/` between names.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Known {
    /// The distribution of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.name == name)
    }

    /// A whole distribution: archive.toml, its keyring and a first tier.
    pub fn sketch(&self, schemas: &Schemas) -> Vec<Sketch> {
        let file = |name: &str, bytes: Vec<u8>| Sketch { path: format!("manifests/{}/{name}", self.name), bytes };
        let body: String = self.archive.lines().filter(|line| !line.starts_with("#:")).fold(
            schemas.line(Manifest::Archive),
            |mut text, line| {
                text.push_str(line);
                text.push('\n');
                text
            },
        );
        vec![
            file(KEYRING, self.keyring.to_vec()),
            file(&format!("{FIRST}.toml"), first_tier(schemas).into_bytes()),
            file("archive.toml", body.into_bytes()),
        ]
    }
}

/// Where the manifests of a project find their schemas.
#[derive(Debug)]
pub struct Schemas {
    /// As in docs/ of this repository; otherwise in a hidden folder of the project's own.
    pub in_docs: bool,
}

impl Schemas {
    /// The first line of a manifest, for editors.
    pub fn line(&self, manifest: Manifest) -> String {
        let folder = if self.in_docs { "../../docs/schema" } else { "../.schema" };
        format!("#:schema {folder}/{}\n", manifest.schema_name())
    }

    /// The schemas, where the project has none in docs/.
    pub fn sketch(&self) -> Vec<Sketch> {
        let file = |manifest: Manifest| Sketch {
            path: format!("{SCHEMAS}/{}", manifest.schema_name()),
            bytes: schema(manifest).into_bytes(),
        };
        if self.in_docs { Vec::new() } else { Manifest::ALL.map(file).into() }
    }
}

/// The name of a distribution's first tier.
pub fn first_name() -> &'static str {
    FIRST
}

/// The tier that a new one is best put on: the one that most others stand on, of those the one with the
/// shortest chain, then the first by name.
pub fn best_parent(distribution: &Distribution) -> Option<&str> {
    let children = |tier: usize| {
        let on = |other: &&super::Tier| other.parent.as_ref().is_some_and(|parent| parent.value == tier);
        distribution.tiers.iter().filter(on).count()
    };
    let rank = |tier: &usize| {
        let name = &distribution.tiers[*tier].name;
        (std::cmp::Reverse(children(*tier)), distribution.chain(*tier).len(), name.clone())
    };
    (0..distribution.tiers.len()).min_by_key(rank).map(|tier| distribution.tiers[tier].name.as_str())
}

fn first_tier(schemas: &Schemas) -> String {
    schemas.line(Manifest::Tier)
        + r#"# The root tier: the files that programs expect of a Debian system, a libc, and a user to run as.
summary = "A libc, certificates, time zones and a user"
packages = ["base-files", "ca-certificates", "libc6", "netbase", "tzdata"]

# Every package is named; a dependency that stays out is said to, with its reason. "all" (the default)
# would take dependencies along as apt does, "linked" those that the files really need.
dependencies = "none"
omit = [
    { package = "awk", reason = "base-files wants it for its configuration script, which is never run" },
    { package = "debconf", reason = "asks questions in configuration scripts, which are never run" },
    { package = "openssl", reason = "ca-certificates wants it for hash links; the bundle is made without" },
    { package = "libgcc-s1", reason = "libc6 loads it only for pthread_cancel and backtraces" },
]

# Which files of packages are kept: here all but history. Licences stay.
[globs]
exclude = ["/usr/share/doc/**/changelog*", "/usr/share/lintian/**"]

# Of ca-certificates only the licence: its certificates go into one file, which [generate] makes.
[globs.package.ca-certificates]
include = ["/usr/share/doc/ca-certificates/copyright"]

# /etc/group and /etc/passwd. Tiers on top of this one have them too.
[[groups]]
name = "root"
gid = 0

[[groups]]
name = "nonroot"
gid = 65532

[[users]]
name = "root"
uid = 0
gid = 0
home = "/root"

[[users]]
name = "nonroot"
uid = 65532
gid = 65532
home = "/home/nonroot"

[[directories]]
path = "/tmp"
mode = 0o1777

[generate]
ca-certificates = true

# What is known and fine; `debstrata check` tells the rest.
[[accept]]
lint = "dangling-link"
subject = "/usr/share/zoneinfo/localtime"
reason = "tzdata's link to /etc/localtime, which is not set: then the time is UTC, and TZ says otherwise"
"#
}

/// A tier's manifest with these packages, on `parent`.
pub fn tier(name: &str, parent: Option<&str>, packages: &[String], schemas: &Schemas) -> String {
    let mut text = schemas.line(Manifest::Tier);
    let summary = format!("The tier {name}");
    // Debug form is TOML's basic string for what names and wishes can hold.
    let _ = writeln!(text, "summary = {summary:?}");
    if let Some(parent) = parent {
        let _ = writeln!(text, "# Its files and packages are there already; this tier adds to them.");
        let _ = writeln!(text, "parent = {parent:?}");
    }
    if packages.is_empty() {
        text.push_str("# Such as [\"libsqlite3-0\", \"curl (>= 8)\", \"libatomic1 [arm64]\"].\n");
    }
    let _ = writeln!(text, "packages = {packages:?}");
    text.push_str(
        "# \"all\" takes dependencies along as apt does; \"linked\" those that the files really need; \"none\" what\n\
         # is named alone.\n\
         dependencies = \"all\"\n\
         \n\
         # Which files of packages are kept; another common one is \"/usr/share/man/**\". Licences should stay.\n\
         [globs]\n\
         exclude = [\"/usr/share/doc/**/changelog*\"]\n\
         \n\
         # Files of your own.\n\
         # [[files]]\n\
         # path = \"/etc/app.conf\"\n\
         # text = \"colour = blue\\n\"\n",
    );
    text
}
