//! Manifests through the public door: what is refused, where the message points, what is read.

use std::{fs, path::Path};

use debstrata::{
    ground::{Class, Failure as _, RootPath},
    manifest::{
        Checks, Dependencies, FileContent, Loaded, ManifestError, SetId, Sort, Topic, Wanted, load, matcher, place_of,
    },
};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;
use tempfile::TempDir;

/// An archive.toml in which nothing is wrong.
const ARCHIVE: &str = r#"
architectures = ["amd64", "arm64"]
[[sources]]
suites = ["trixie"]
components = ["main"]
snapshot = "debian"
allow-unsigned = true
"#;

fn project(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join("manifests").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// A project of one tier `d/t`.
fn tier(text: &str) -> TempDir {
    project(&[("d/archive.toml", ARCHIVE), ("d/t.toml", text)])
}

fn loaded(root: &TempDir) -> Loaded {
    load(root.path()).unwrap_or_else(|errors| panic!("{}", render(&errors)))
}

fn show(diagnostic: &dyn Diagnostic, out: &mut String) {
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(out, diagnostic)
        .unwrap();
}

fn render(errors: &[ManifestError]) -> String {
    let mut out = String::new();
    for error in errors {
        show(error, &mut out);
    }
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn refused(root: &TempDir) -> String {
    let errors = load(root.path()).expect_err("the project should be refused");
    assert!(!errors.is_empty());
    assert!(errors.iter().all(|error| error.class() == Class::User));
    render(&errors)
}

/// `line:column` of each finding with its topic and the marked text.
fn places(root: &TempDir) -> Vec<String> {
    let place = |error: &ManifestError| match error {
        ManifestError::Wrong(finding) => {
            let (line, column) = finding.source.line_column(finding.span.start);
            let marked = &finding.source.text[finding.span.clone()];
            format!("{line}:{column} {:?} {}", finding.topic, marked.lines().next().unwrap_or_default())
        }
        other => other.to_string(),
    };
    load(root.path()).expect_err("the project should be refused").iter().map(place).collect()
}

#[test]
fn the_shipped_manifests_have_no_error_and_no_warning() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Loaded { project, warnings } = load(root).unwrap_or_else(|errors| panic!("{}", render(&errors)));
    assert!(warnings.is_empty(), "{warnings:?}");
    let names: Vec<_> = project.distributions.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["debian12", "debian13"]);
    for distribution in &project.distributions {
        let core = ["static", "base", "base-nossl", "cc"].map(|name| distribution.tier(name).unwrap());
        assert!(core.iter().all(|tier| distribution.tiers[*tier].dependencies == Dependencies::None));
        let [root, base, _, cc] = core;
        assert_eq!((distribution.chain(cc), root), (vec![root, base, cc], 0));
        let root_tier = &distribution.tiers[0];
        let FileContent::Text(nsswitch) = &root_tier.files[0].content else { panic!() };
        assert_eq!(
            debstrata::ground::Sha256::of(nsswitch.as_bytes()).to_string(),
            "e241e67d7b5c15a5ace818d89277507b5ded8b49688b7a4431afb3b1041a3759"
        );
        let os_release = root_tier.generate.os_release.as_ref().unwrap();
        let keys: Vec<_> = os_release.value.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys[..4], ["PRETTY_NAME", "NAME", "ID", "VERSION_ID"], "the manifest's order");
        let users: Vec<_> = root_tier.users.iter().map(|user| (user.name.as_str(), user.uid)).collect();
        assert_eq!(users, [("root", 0), ("nobody", 65534), ("nonroot", 65532)]);
        assert_eq!(root_tier.users[1].home, None);
    }
    let bookworm = &project.distributions[0].archive;
    assert!(!bookworm.merged_usr && project.distributions[1].archive.merged_usr);
    assert_eq!(bookworm.sources[1].name, "debian-security");
    let security = bookworm.sources[1].architectures.as_ref().unwrap();
    assert!(security.iter().all(|architecture| architecture.value.name() != "s390x"));
}

#[test]
fn the_shipped_keyrings_hold_the_keys_that_they_name() {
    use sequoia_openpgp::{cert::CertParser, parse::Parse as _};
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for distribution in loaded_at(root).project.distributions {
        let keyring = distribution.archive.sources[0].signed_by.as_ref().unwrap();
        let text = std::str::from_utf8(&keyring.bytes).unwrap();
        let (head, _) = text.split_once("-----BEGIN").unwrap();
        let mut named: Vec<_> = head.split_whitespace().filter(|word| word.len() == 40).map(str::to_owned).collect();
        let mut held: Vec<_> =
            CertParser::from_bytes(&keyring.bytes).unwrap().map(|cert| cert.unwrap().fingerprint().to_hex()).collect();
        named.sort();
        held.sort();
        assert_eq!(held, named, "{}", distribution.name);
        assert!(held.len() >= 3);
    }
}

fn loaded_at(root: &Path) -> Loaded {
    load(root).unwrap_or_else(|errors| panic!("{}", render(&errors)))
}

#[test]
fn the_docs_name_every_key() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_to_string(root.join("docs/manifest.md")).unwrap();
    for table in debstrata::manifest::keys::TABLES {
        for key in table.keys {
            assert!(
                docs.contains(&format!("`{}`", key.name)),
                "docs/manifest.md lacks `{}` of {}",
                key.name,
                table.title
            );
        }
    }
}

/// Together the examples are one project; all but the first are one tier's manifest.
#[test]
fn the_examples_of_the_docs_are_one_project() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manifest.md")).unwrap();
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    let (sources, tier): (Vec<&str>, Vec<&str>) =
        blocks.iter().skip(1).partition(|block| block.starts_with("[[sources]]"));
    let root = project(&[
        ("debian13/archive.toml", &[blocks[0], &sources.concat()].concat()),
        ("debian13/keyrings/debian-archive-keyring.asc", "keys"),
        ("debian13/keyrings/vendor.asc", "keys"),
        ("../target/debian/app.deb", "a package"),
        ("debian13/base.toml", "packages = ['base-files', 'libc6']"),
        ("debian13/app.toml", &tier.concat()),
        ("debian13/busybox.toml", "parent = 'base'\npackages = ['busybox-static']"),
        ("../target/release/app", "a program"),
    ]);
    let Loaded { project, warnings } = loaded(&root);
    assert!(warnings.is_empty(), "{warnings:?}");
    let app = &project.distributions[0].tiers[1];
    assert_eq!((app.omit.len(), app.users.len(), app.groups.len(), app.files.len()), (2, 1, 1, 2));
    assert_eq!((app.directories.len(), app.symlinks.len(), app.globs.packages.len()), (1, 1, 1));
    let has = |name: &str| app.packages.iter().any(|wish| &*wish.relation.0[0].name == name);
    assert!(app.generate.ca_certificates.is_some() && has("ca-certificates"));
    assert!(app.generate.os_release.is_some());
    assert_eq!((app.checks.expect.len(), app.checks.accept.len()), (2, 1));
    assert_eq!(app.checks.limits.layer_size.as_ref().unwrap().value, 40_000_000);
    assert_eq!((app.archives.len(), project.distributions[0].archive.sources.len()), (1, 3));
}

#[test]
fn the_tier_of_the_readme_fits_the_shipped_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let readme = read("README.md");
    let tier = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let shipped =
        ["archive.toml", "keyrings/debian-archive-keyring.asc", "static.toml", "base.toml", "cc.toml", "busybox.toml"];
    let mut files: Vec<(String, String)> = shipped
        .map(|name| format!("debian13/{name}"))
        .map(|name| (name.clone(), read(&format!("manifests/{name}"))))
        .into();
    files.push(("debian13/sqlite.toml".into(), tier.into()));
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let Loaded { project, warnings } = loaded(&project(&files));
    assert!(warnings.is_empty(), "{warnings:?}");
    let distribution = &project.distributions[0];
    assert_eq!(distribution.chain(distribution.tier("sqlite").unwrap()).len(), 4);
}

#[test]
fn every_key_is_read() {
    let root = project(&[
        (
            "d/archive.toml",
            r#"
summary = "All keys"
architectures = ["amd64", "s390x"]
timestamp = 2001-09-09T01:46:40Z
merged-usr = false
[[sources]]
suites = ["trixie", "trixie-updates"]
components = ["main", "contrib"]
signed-by = "keys/ring.asc"
snapshot = "debian"
uris = ["https://mirror.example.org/debian", "file:///srv/debian"]
snapshot-at = 2026-11-01T00:00:00+02:00
max-age = "2 weeks"
architectures = ["amd64"]
priority = 600
allow-expired = true
[[sources]]
suites = ["stable"]
components = ["main"]
uris = ["https://mirror.example.org/other/"]
allow-unsigned = true
[[sources]]
suites = ["local"]
components = ["main"]
snapshot = "debian"
allow-unsigned = true
"#,
        ),
        ("d/keys/ring.asc", "keys"),
        ("d/hello.txt", "hello"),
        (
            "d/base.toml",
            r#"
groups = [{ name = "app", gid = 1000, members = ["app"] }]
users = [{ name = "app", uid = 1000, gid = 1000, gecos = "An app", home = "/srv/app", home-mode = 0o750, shell = "/bin/sh" }]
"#,
        ),
        (
            "d/app.toml",
            r#"
summary = "An app"
parent = "base"
packages = ["libc6", "libatomic1 [s390x]"]
dependencies = "all"
omit = [{ package = "debconf", reason = "never asked" }]
allow-missing = []
[globs]
include = ["/usr/**"]
exclude = ["/usr/share/man/**"]
[globs.package.libc6]
exclude = ["/usr/lib/*/gconv/**"]
[[directories]]
path = "/srv/data"
mode = 0o2775
owner = "app"
group = 7
[[symlinks]]
path = "/srv/link"
target = "../data"
[[files]]
path = "/etc/app.conf"
text = "a\tb\n"
mode = 0o600
[[files]]
path = "/etc/hello"
source = "hello.txt"
group = "app"
[generate]
dpkg-status = false
ld-so-cache = false
locales = []
os-release = { NAME = "App", ID = "app" }
[limits]
layer-size = "4 MiB"
rootfs-size = 5
packages = 6
setuid = "allow"
[[expect]]
path = "/etc/app.conf"
exists = true
type = "file"
mode = 0o600
owner = "app"
group = 0
contains = "a"
architectures = ["s390x"]
[[expect]]
path = "/none"
absent = true
[[accept]]
lint = "dangling-link"
subject = "/srv/*"
reason = "a volume"
"#,
        ),
    ]);
    let Loaded { project, warnings } = loaded(&root);
    assert!(warnings.is_empty());
    let distribution = &project.distributions[0];
    let archive = &distribution.archive;
    assert_eq!((archive.timestamp, archive.merged_usr), (1_000_000_000, false));
    let names: Vec<_> = archive.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["debian", "other", "debian-2"]);
    let source = &archive.sources[0];
    assert_eq!(source.signed_by.as_ref().unwrap().bytes[..], b"keys"[..]);
    assert_eq!(source.snapshot_at.as_ref().unwrap().value.to_string(), "2026-10-31T22:00:00Z");
    assert_eq!(source.max_age.as_ref().unwrap().value.as_secs(), 14 * 86_400);
    assert_eq!((source.priority, source.allow_expired, source.allow_unsigned), (600, true, false));
    assert_eq!(archive.sources[1].priority, 500);
    let tiers: Vec<_> = distribution.tiers.iter().map(|tier| tier.name.as_str()).collect();
    assert_eq!(tiers, ["base", "app"], "parents first");
    let user = &distribution.tiers[0].users[0];
    assert_eq!((user.home_mode, user.shell.as_str(), user.gecos.as_str()), (0o750, "/bin/sh", "An app"));
    let app = &distribution.tiers[1];
    assert_eq!(app.parent.as_ref().unwrap().value, 0);
    assert_eq!(app.directories[0].mode, 0o2775);
    assert_eq!((app.directories[0].owner.uid, app.directories[0].owner.gid), (1000, 7));
    assert_eq!((app.files[0].mode, app.files[1].mode), (0o600, 0o644));
    assert_eq!(app.files[1].owner.gid, 1000);
    assert!(matches!(&app.files[1].content, FileContent::Beside(path) if path.ends_with("d/hello.txt")));
    assert_eq!(app.symlinks[0].target, "../data");
    assert!(!app.generate.dpkg_status);
    let os_release: Vec<_> =
        app.generate.os_release.as_ref().unwrap().value.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(os_release, ["NAME", "ID"]);
    let libc = matcher(&app.globs.packages["libc6"].value);
    assert!(libc.keeps(b"etc/x") && !libc.keeps(b"usr/lib/x86_64-linux-gnu/gconv/gconv-modules"));
    assert_eq!(app.packages[1].relation.0[0].architectures, ["s390x".into()]);
    let Checks { limits, expect, accept } = &app.checks;
    assert_eq!(limits.layer_size.as_ref().map(|limit| limit.value), Some(4 << 20));
    assert_eq!(limits.rootfs_size.as_ref().map(|limit| limit.value), Some(5));
    assert_eq!(limits.packages.as_ref().map(|limit| limit.value), Some(6));
    assert_eq!(limits.setuid.as_ref().map(|limit| limit.value), Some(SetId::Allow));
    let Wanted::Present(features) = &expect[0].wanted else { panic!() };
    assert_eq!(features.kind.as_ref().unwrap().value, Sort::File);
    assert_eq!((features.owner.as_ref().unwrap().value, features.group.as_ref().unwrap().value), (1000, 0));
    assert!(!features.of_link() && features.target.is_none() && features.sha256.is_none());
    assert_eq!(expect[0].architectures.as_ref().unwrap()[0].name(), "s390x");
    assert!(matches!(expect[1].wanted, Wanted::Absent(_)));
    assert!(accept[0].covers("dangling-link", "/srv/link") && !accept[0].covers("dangling-link", "/srv/a/b"));
    assert!(!accept[0].covers("world-writable", "/srv/link"));
    let text = &app.source.text;
    assert_eq!(&text[place_of(&app.source, &["generate", "os-release"]).unwrap()], "os-release");
    assert_eq!(place_of(&app.source, &["generate", "nothing"]), None);
    assert_eq!(&text[app.packages[0].span.clone()], "\"libc6\"");
    assert_eq!(app.directories[0].path.value, RootPath::from_absolute(b"/srv/data").unwrap());
}

#[test]
fn all_faults_of_all_files_in_one_run() {
    let root = project(&[
        ("a/archive.toml", "architectures = [\"amd46\"]\nsource = []\n"),
        ("a/t.toml", "pakages = []\nsummary = 7\n"),
        ("b/archive.toml", "architectures = [\"amd64\"\n"),
        ("b/t.toml", "parent = \"x\"\n"),
        ("c/t.toml", ""),
    ]);
    insta::assert_snapshot!(refused(&root));
}

#[test]
fn shapes() {
    insta::assert_snapshot!(refused(&tier(
        r#"
sumary = "near"
colour = "far"
dependencies = "non"
omit = [{ package = "debconf" }, { package = "deb conf", reason = "" }]
packages = "libc6"
globs.include = ["usr/**", "/usr/[a", "/usr/a**b"]
files = [{ path = "etc/x", text = "" }, { path = "/etc/../x", text = "" }, { path = "/y", text = 1 }, { path = "/z" }]
directories = [{ path = "/a", mode = 755 }, { path = "/b", mode = 0o10000 }, { path = "/c", mode = "0o755" }]
"#
    )));
}

#[test]
fn images_of_others_are_named_in_full() {
    insta::assert_snapshot!(refused(&tier("parent = { oci = \"layout\", digest = 7 }")));
    insta::assert_snapshot!(refused(&tier("parent = { oci = \"./layout\" }")));
    insta::assert_snapshot!(refused(&tier("parent = { oci = \"debian:13\", digest = \"13\" }")));
}

#[test]
fn limits_and_expectations() {
    insta::assert_snapshot!(refused(&tier(
        r#"
[limits]
layer-size = "4 mb"
rootfs-size = -1
packages = "many"
setuid = "never"
[[expect]]
path = "x"
[[expect]]
path = "/x"
type = "link"
absent = true
exists = true
[[expect]]
path = "/x"
absent = true
sha256 = "0"
[[accept]]
lint = "dangling-link"
subject = "/x/[a"
reason = ""
[[accept]]
lint = "dangling-link"
"#
    )));
}

#[test]
fn sources_of_other_kinds() {
    let of = |lines: &str| {
        let text = format!("architectures = ['amd64']\n[[sources]]\n{lines}\n");
        let root = project(&[("d/archive.toml", &text), ("d/t.toml", "")]);
        fs::create_dir(root.path().join("manifests/d/debs")).unwrap();
        root
    };
    let unsigned = "allow-unsigned = true\nuris = ['https://mirror.example.org/x']\n";
    for suite in ["./", "/", "debs/", "./debs/all/", "a-b_c/"] {
        let root = of(&format!("suites = ['{suite}']\n{unsigned}"));
        let source = &loaded(&root).project.distributions[0].archive.sources[0];
        assert_eq!((&*source.suites[0].value, &*source.name), (suite, "x"));
        assert!(source.components.is_empty() && source.folder.is_none());
    }
    let root = of("folder = 'debs'\npriority = 7\narchitectures = ['amd64']");
    let source = &loaded(&root).project.distributions[0].archive.sources[0];
    let folder = source.folder.as_ref().unwrap();
    assert_eq!((&*folder.written.value, &*source.name, source.priority), ("debs", "debs", 7));
    assert!(folder.path.ends_with("manifests/d/debs"));
    for (lines, place) in [
        (format!("suites = ['../']\n{unsigned}"), "3:11 BadValue '../'"),
        (format!("suites = ['a/../b/']\n{unsigned}"), "3:11 BadValue 'a/../b/'"),
        (format!("suites = ['a//']\n{unsigned}"), "ok"),
        (format!("suites = ['//']\n{unsigned}"), "3:11 BadValue '//'"),
        (format!("suites = ['./', 'trixie']\n{unsigned}"), "3:11 BadValue './'"),
        (format!("suites = ['./']\ncomponents = ['main']\n{unsigned}"), "4:15 BadValue 'main'"),
        (format!("suites = ['./', './']\n{unsigned}"), "3:17 Duplicate './'"),
        (unsigned.to_owned(), "2:1 MissingKey [[sources]]"),
        ("folder = 'none'".to_owned(), "3:10 Beside 'none'"),
        ("folder = '/tmp'".to_owned(), "3:10 Beside '/tmp'"),
        ("folder = 't.toml'".to_owned(), "3:10 Beside 't.toml'"),
        ("folder = 'debs'\nallow-unsigned = true".to_owned(), "4:18 BadValue true"),
        ("folder = 'debs'\n[[sources]]\nfolder = 'debs'".to_owned(), "5:10 Duplicate 'debs'"),
    ] {
        let root = of(&lines);
        match place {
            "ok" => drop(loaded(&root)),
            place => assert_eq!(places(&root)[0], place, "{lines}"),
        }
    }
}

#[test]
fn archives() {
    let root = project(&[
        (
            "d/archive.toml",
            r#"
architectures = ["amd64", "amd64"]
timestamp = 1969-12-31T23:59:59Z
[[sources]]
suites = ["trixie", "./", "../x"]
components = ["main"]
[[sources]]
suites = ["trixie", "trixie"]
components = ["main"]
signed-by = "missing.asc"
snapshot = "debian"
architectures = ["s390x"]
max-age = "5m"
[[sources]]
suites = ["sid"]
snapshot = "debian"
uris = ["mirror.example.org", "ftp://mirror.example.org/", "https://me:secret@mirror.example.org/"]
allow-unsigned = "yes"
snapshot-at = 2026-11-01
[[sources]]
suites = ["forky", "sid"]
components = ["main"]
snapshot = "debian"
allow-unsigned = true
[[sources]]
suites = ["forky"]
components = ["main", "contrib"]
snapshot = "debian"
allow-unsigned = true
"#,
        ),
        ("d/t.toml", ""),
    ]);
    let shown = refused(&root);
    assert!(!shown.contains("secret"));
    insta::assert_snapshot!(shown);
}

#[test]
fn parents() {
    let root = project(&[
        ("d/archive.toml", ARCHIVE),
        ("d/base.toml", ""),
        ("d/near.toml", "parent = \"bas\""),
        ("d/far.toml", "parent = \"nowhere-at-all\""),
        ("d/own.toml", "parent = \"d/base\""),
        ("d/other.toml", "parent = \"debian12/base\""),
        ("d/self.toml", "parent = \"self\""),
        ("d/x.toml", "parent = \"y\""),
        ("d/y.toml", "parent = \"z\""),
        ("d/z.toml", "parent = \"x\""),
        ("d/below-a-circle.toml", "parent = \"z\"\nfiles = [{ path = \"/a\", text = \"\", owner = \"unknowable\" }]"),
    ]);
    insta::assert_snapshot!(refused(&root));
}

#[test]
fn accounts_and_paths() {
    let root = project(&[
        ("d/archive.toml", ARCHIVE),
        (
            "d/base.toml",
            r#"
packages = ["libc6"]
[[groups]]
name = "app"
gid = 1000
[[users]]
name = "app"
uid = 1000
gid = 1000
home = "/srv/app"
"#,
        ),
        (
            "d/child.toml",
            r#"
parent = "base"
packages = ["zlib1g", "libc6 [arm64]", "zlib1g"]
omit = [{ package = "zlib1g", reason = "no" }]
[[groups]]
name = "app"
gid = 1001
members = ["ap"]
[[groups]]
name = "a:b"
gid = 1000
[[groups]]
name = "other"
gid = 1000
[[users]]
name = "web"
uid = 1000
gid = 99
gecos = "a:b"
home = "/"
[[users]]
name = "web"
uid = 33
gid = 1000
home = "/srv/web"
shell = "/bin/sh\n"
[[directories]]
path = "/srv/web"
owner = "wbe"
[[directories]]
path = "/srv/web"
[[files]]
path = "/etc/passwd"
text = ""
[[files]]
path = "/etc/x"
source = "none"
text = ""
[[symlinks]]
path = "/etc/x"
target = ""
"#,
        ),
    ]);
    insta::assert_snapshot!(refused(&root));
}

#[test]
fn the_layout_of_folders() {
    let empty = tempfile::tempdir().unwrap();
    let errors = load(empty.path()).unwrap_err();
    assert!(matches!(&errors[..], [ManifestError::Read { path, .. }] if path.ends_with("manifests")));
    assert_eq!(errors[0].class(), Class::User);
    fs::create_dir(empty.path().join("manifests")).unwrap();
    assert!(refused(&empty).contains("no distribution"));

    let large = "#".repeat((1 << 20) + 1);
    let root = project(&[
        ("stray.toml", ""),
        ("README.md", "fine"),
        (".hidden/x", "fine"),
        ("Bad Name/archive.toml", ""),
        ("d/archive.toml", ARCHIVE),
        ("d/Tier.toml", ""),
        ("d/large.toml", &large),
        ("d/child.toml", "parent = \"large\"\nfiles = [{ path = \"/a\", text = \"\", owner = \"unknowable\" }]"),
        ("empty/keyrings/x", ""),
    ]);
    fs::write(root.path().join("manifests/d/latin1.toml"), b"summary = 1\n# caf\xe9").unwrap();
    fs::create_dir(root.path().join("manifests/d/folder.toml")).unwrap();
    let errors = load(root.path()).unwrap_err();
    let shown = render(&errors).replace(&root.path().display().to_string(), "PROJECT");
    insta::assert_snapshot!(shown);
}

#[test]
fn where_messages_point() {
    for (text, expected) in [
        ("summary = \"a\\u0000b\"", "1:11 BadValue \"a\\u0000b\""),
        ("packages = [\n  \"libc6 [amd46]\",\n]", "2:11 Package amd46"),
        ("packages = [\"é\", \"LIBC\"]", "1:14 Package é"),
        ("globs.exclude = [\"/a/[!-x]\"]", "1:22 Glob ["),
        ("globs.exclude = [\"/a\\u002F[!-x]\"]", "1:18 Glob \"/a\\u002F[!-x]\""),
        ("[generate.os-release]\nname = \"x\"", "2:1 BadValue name"),
        ("parent = [\"x\"]", "1:10 WrongType [\"x\"]"),
        ("[[users]]\nname = \"x\"\nuid = -1\ngid = 0x1_0000_0000", "3:7 BadValue -1"),
        ("parent = { oci = 'x', digest = 'y' }", "1:18 Parent 'x'"),
        ("parent = { oci = './x', digest = 'y' }", "1:34 BadValue 'y'"),
        ("parent = { oci = './x' }", "1:10 MissingKey { oci = './x' }"),
        ("packages = [\"libc6 | LibSsl3\"]", "1:22 Package LibSsl3"),
        ("packages = [\"libc6:amd46\"]", "1:20 Package amd46"),
        ("packages = [\"libc6:arm64\", \"x:native\", \"y <!nocheck>\"]", "1:43 Package <!nocheck>"),
        ("packages = [\"amd46 [amd64 amd46]\"]", "1:27 Package amd46"),
        ("omit = [{ package = \"DebConf\", reason = \"x\" }]", "1:21 Package \"DebConf\""),
        ("files = [{ path = \"/x\", source = \"/etc/hosts\" }]", "1:34 Beside \"/etc/hosts\""),
        ("a = 1\na = 2", "2:1 Syntax a"),
        ("summary = \"x", "1:13 Syntax "),
    ] {
        let found = places(&tier(text));
        assert!(found.iter().any(|place| place == expected), "{text}: {found:#?}");
    }
}

#[test]
fn lists_that_may_not_be_empty() {
    let empty = |key: &str, text: &str| {
        let archive = ARCHIVE.replace(text, &format!("{key} = []"));
        assert_ne!(archive, ARCHIVE);
        places(&project(&[("d/archive.toml", &archive), ("d/t.toml", "")]))
    };
    assert_eq!(empty("architectures", "architectures = [\"amd64\", \"arm64\"]"), ["2:17 BadValue []"]);
    assert_eq!(empty("suites", "suites = [\"trixie\"]"), ["4:10 BadValue []"]);
    assert_eq!(empty("components", "components = [\"main\"]"), ["5:14 BadValue []"]);
    assert_eq!(empty("architectures", "allow-unsigned = true")[..1], ["3:1 MissingKey [[sources]]"]);
    assert!(empty("architectures", "allow-unsigned = true").contains(&"7:17 BadValue []".into()));
    assert_eq!(empty("uris", "snapshot = \"debian\""), ["3:1 MissingKey [[sources]]"]);
    let none = project(&[("d/archive.toml", "architectures = [\"amd64\"]\nsources = []"), ("d/t.toml", "")]);
    assert_eq!(places(&none), ["2:11 BadValue []"]);
    // A list whose entries are all wrong was told so, and is not empty.
    let wrong = ARCHIVE.replace("suites = [\"trixie\"]", "suites = [7]");
    assert_eq!(places(&project(&[("d/archive.toml", &wrong), ("d/t.toml", "")])), ["4:11 WrongType 7"]);
}

#[test]
fn files_beside_the_manifests() {
    let signed = |path: &str| {
        let archive = ARCHIVE.replace("allow-unsigned = true", &format!("signed-by = {path:?}"));
        let root = project(&[
            ("d/archive.toml", &archive),
            ("d/t.toml", "files = [{ path = \"/app\", source = \"../../target/app\" }]"),
            ("d/keys/ring.asc", "keys"),
            ("shared/ring.asc", "keys"),
            ("../ring.asc", "keys"),
            ("../target/app", "a program built beside the manifests"),
        ]);
        fs::write(root.path().join("manifests/shared/archive.toml"), ARCHIVE).unwrap();
        load(root.path()).map_err(|errors| render(&errors))
    };
    for inside in ["keys/ring.asc", "./keys/../keys/ring.asc", "../shared/ring.asc", "../d/keys/ring.asc"] {
        assert!(signed(inside).is_ok(), "{inside}");
    }
    for outside in ["../../ring.asc", "../../manifests/d/keys/ring.asc", "keys/../../../ring.asc", "/etc/hostname"] {
        let told = signed(outside).unwrap_err();
        assert!(told.contains("archive.toml:7:13") && told.contains("builds elsewhere too"), "{outside}: {told}");
    }
    let told = refused(&tier("files = [{ path = \"/x\", source = \"/etc/hosts\" }]"));
    assert!(told.contains("relative to the manifest"), "{told}");
}

#[test]
fn the_next_step_is_one_that_works() {
    for (text, told, not_told) in [
        ("omit = [\"debconf\"]", "write { package = \"debconf\", reason = \"...\" }", "not a table"),
        ("dependencies = \"some\"", "`dependencies` is not", "supported yet"),
        ("dependencies = \"linke\"", "linked", "supported yet"),
        ("symlinks = [{ path = \"/a\" }]", "help: add `target`, a string of one line: what the link says", "stored. ("),
        ("users = [\"app\"]", "`users` must be a table", "write {"),
    ] {
        let shown = refused(&tier(text));
        assert!(shown.contains(told) && !shown.contains(not_told), "{text}: {shown}");
    }
}

#[test]
fn an_unreadable_file_is_the_worlds_fault_and_a_missing_one_the_users() {
    let root = tier("files = [{ path = \"/x\", source = \"gone\" }]");
    let errors = load(root.path()).unwrap_err();
    assert_eq!(errors[0].class(), Class::User);
    let refused =
        ManifestError::Read { path: "x".into(), source: std::io::Error::from(std::io::ErrorKind::PermissionDenied) };
    assert_eq!(refused.class(), Class::World);
}

#[test]
fn one_package_for_two_architectures_is_no_repetition() {
    let root = tier("packages = [\"libatomic1 [amd64]\", \"libatomic1 [!amd64]\"]");
    assert_eq!(loaded(&root).project.distributions[0].tiers[0].packages.len(), 2);
}

#[test]
fn a_rule_for_no_package_is_a_warning() {
    let root = tier("packages = [\"libc6\"]\ndependencies = \"none\"\n[globs.package.libc]\nexclude = [\"/usr/**\"]");
    let warnings = loaded(&root).warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].topic, Topic::Idle);
    let mut out = String::new();
    show(&warnings[0], &mut out);
    assert!(out.contains("libc6"), "{out}");
}

/// Pieces of which TOML-ish texts are made.
fn piece() -> impl Strategy<Value = String> {
    let keys = debstrata::manifest::keys::TABLES.iter().flat_map(|table| table.keys).map(|key| key.name);
    let mut words: Vec<String> = keys.map(str::to_owned).collect();
    for word in [
        "\n",
        " = ",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        ",",
        ".",
        "\"",
        "'",
        "\"\"\"",
        "\\",
        "0o7777",
        "0o10000",
        "-1",
        "99999999999999999999",
        "1.5",
        "true",
        "inf",
        "2026-11-01T00:00:00Z",
        "2026-11-01",
        "\"/a/**\"",
        "\"/a\"",
        "\"a | b (>= 1) [amd64]\"",
        "\"\\u00e9\"",
        "é",
        "\u{feff}",
        "\0",
        "[[sources]]\n",
        "[globs.package.x]\n",
        "t",
        "#",
    ] {
        words.push(word.to_owned());
    }
    prop_oneof![4 => proptest::sample::select(words), 1 => "[a-z]{1,4} = \"[^\"]{0,9}\"\n", 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_text_makes_the_loader_panic(
        archive in proptest::collection::vec(piece(), 0..40),
        tier in proptest::collection::vec(piece(), 0..60),
    ) {
        let root = project(&[("d/archive.toml", &archive.concat()), ("d/t.toml", &tier.concat())]);
        if let Err(errors) = load(root.path()) {
            // Rendering too: a span outside the text would fail here.
            prop_assert!(!render(&errors).is_empty());
        }
    }

    #[test]
    fn no_value_makes_the_loader_panic(key in 0_usize..19, value in any::<String>()) {
        let key = debstrata::manifest::keys::TIER.keys[key % debstrata::manifest::keys::TIER.keys.len()].name;
        let text = format!("{key} = {}", toml::Value::String(value));
        let root = project(&[("d/archive.toml", ARCHIVE), ("d/t.toml", &text)]);
        if let Err(errors) = load(root.path()) {
            prop_assert!(!render(&errors).is_empty());
        }
    }
}
