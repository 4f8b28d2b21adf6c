//! Repositories that others' tools made: reprepro's, and flat ones of dpkg-scanpackages and
//! apt-ftparchive, signed by gpg and served on loopback. What a tier holds is compared with dpkg-deb's
//! unpacking. Needs dpkg-deb, dpkg-scanpackages, apt-ftparchive, reprepro, gpg and python3. Runs with
//! `--features oracles`.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{Project, Server, project};

/// Runs a program that must succeed; its standard output.
fn run(program: &str, arguments: &[&str], folder: &Path, home: &Path) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("GNUPGHOME", home)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A folder with a key of gpg's, and .debs that dpkg-deb built in `debs`.
struct Bench {
    folder: tempfile::TempDir,
    debs: Vec<PathBuf>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self { folder, debs: Vec::new() };
        for name in ["home", "debs"] {
            fs::create_dir(bench.path(name)).unwrap();
        }
        // gpg wants its home for itself.
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(bench.path("home"), fs::Permissions::from_mode(0o700)).unwrap();
        let quick =
            ["--batch", "--passphrase", "", "--quick-gen-key", "Test <test@example.org>", "rsa3072", "sign", "never"];
        bench.run("gpg", &quick, "");
        bench.deb("tool", "2.0-1", "amd64", "Depends: tool-data (>= 2.0)\n");
        bench.deb("tool-data", "1:2.0-1", "all", "");
        bench.deb("tool", "2.0-1", "arm64", "Depends: tool-data\n");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str], below: &str) -> Vec<u8> {
        run(program, arguments, &self.path(below), &self.path("home"))
    }

    fn deb(&mut self, name: &str, version: &str, architecture: &str, more: &str) {
        let root = self.path(&format!("build-{name}-{architecture}"));
        for folder in ["DEBIAN", &format!("usr/share/{name}"), "usr/bin", "var/lib/empty"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nSection: misc\nPriority: optional\n\
             Maintainer: Test <test@example.org>\n{more}Description: made for a test\n of two lines\n"
        );
        fs::write(root.join("DEBIAN/control"), control).unwrap();
        fs::write(root.join(format!("usr/share/{name}/file")), format!("{name} {version} {architecture}\n")).unwrap();
        fs::write(root.join(format!("usr/bin/{name}")), "#!/bin/sh\n").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(root.join(format!("usr/bin/{name}")), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(name, root.join(format!("usr/bin/{name}-link"))).unwrap();
        let root = root.display().to_string();
        let built = self.path("debs").display().to_string();
        let said = self.run("dpkg-deb", &["--root-owner-group", "--build", &root, &built], "");
        let said = String::from_utf8(said).unwrap();
        let path = said.rsplit('\'').nth(1).unwrap_or_else(|| panic!("{said}"));
        self.debs.push(PathBuf::from(path));
    }

    fn copy_debs(&self, folder: &str) {
        fs::create_dir_all(self.path(folder)).unwrap();
        for deb in &self.debs {
            fs::copy(deb, self.path(folder).join(deb.file_name().unwrap())).unwrap();
        }
    }

    /// Signs a Release file to an InRelease beside it.
    fn sign(&self, folder: &str) {
        self.run("gpg", &["--batch", "--yes", "--clearsign", "-o", "InRelease", "Release"], folder);
    }

    /// Serves a folder on loopback.
    fn serve(&self, folder: &str) -> Server {
        let root = self.path(folder);
        Server::of(files(&root).into_iter().map(|path| (served(&root, &path), fs::read(&path).unwrap())).collect())
    }

    /// Builds a tier of `tool` from a source, and compares its tree with what dpkg-deb unpacks.
    fn check(&self, server: &Server, source: &str) -> (Project, String) {
        let archive = format!(
            "architectures = ['amd64', 'arm64']\nmerged-usr = false\n[[sources]]\n{source}\nuris = ['{}']\n",
            server.url()
        );
        let tier = "packages = ['tool']\n[generate]\ndpkg-status = false\n";
        let project = project(&archive, &[], &[("t", tier)]);
        project.write("keys.asc", self.run("gpg", &["--armor", "--export"], ""));
        let text = self.check_project(&project);
        (project, text)
    }

    fn check_project(&self, project: &Project) -> String {
        let output = project.command().args(["build", "--arch", "all"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for architecture in ["amd64", "arm64"] {
            let unpacked = tempfile::tempdir().unwrap();
            let named = |deb: &PathBuf| {
                let name = deb.file_name().unwrap().to_str().unwrap().to_owned();
                name.contains(architecture) || name.contains("_all")
            };
            for deb in self.debs.iter().filter(|deb| named(deb)) {
                let target = unpacked.path().display().to_string();
                self.run("dpkg-deb", &["-x", &deb.display().to_string(), &target], "");
            }
            let layer = project.path().join(format!("out/test/{architecture}/t.tar.gz"));
            let ours = tempfile::tempdir().unwrap();
            let into = ours.path().display().to_string();
            self.run("tar", &["-xpf", &layer.display().to_string(), "-C", &into], "");
            let expected = tree(unpacked.path());
            assert!(expected.len() > 8, "{expected:?}");
            assert_eq!(tree(ours.path()), expected, "{architecture}");
        }
        for verb in [&["build", "--locked", "--offline", "--arch", "all"][..], &["audit", "--arch", "all"]] {
            let output = project.command().args(verb).output().unwrap();
            assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout).unwrap()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn served(root: &Path, path: &Path) -> String {
    format!("/{}", path.strip_prefix(root).unwrap().display())
}

/// Path to type, mode and content.
fn tree(root: &Path) -> BTreeMap<String, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let mode = meta.permissions().mode() & 0o7777;
            let text = if meta.is_symlink() {
                format!("link {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_dir() {
                folders.push(path.clone());
                format!("dir {mode:o}")
            } else {
                format!("file {mode:o} {}", fs::read_to_string(&path).unwrap())
            };
            found.insert(served(root, &path), text);
        }
    }
    found
}

#[test]
fn a_repository_of_reprepro() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("repo/conf")).unwrap();
    // Two suites: one with every name, one whose codename has a slash and that has no Suite.
    fs::write(
        bench.path("repo/conf/distributions"),
        "Origin: A vendor\nLabel: Tools\nSuite: stable\nCodename: tools\nArchitectures: amd64 arm64\nComponents: main extra\n\
         SignWith: yes\n\nOrigin: A vendor\nCodename: tools/testing\nArchitectures: amd64 arm64\nComponents: main\nSignWith: yes\n",
    )
    .unwrap();
    for deb in &bench.debs {
        let deb = deb.display().to_string();
        for codename in ["tools", "tools/testing"] {
            bench.run("reprepro", &["-C", "main", "includedeb", codename, &deb], "repo");
        }
    }
    fs::remove_dir_all(bench.path("repo/db")).unwrap();
    let server = bench.serve("repo");
    for suite in ["tools", "stable", "tools/testing"] {
        // The folder is called by the codename; the suite's name alone needs a link that reprepro makes
        // where it is asked to.
        if suite == "stable" {
            bench_link(&bench, &server);
        }
        let source = format!("suites = ['{suite}']\ncomponents = ['main']\nsigned-by = 'keys.asc'");
        let (project, told) = bench.check(&server, &source);
        assert!(!told.contains("opt-out"), "{told}");
        let lock = fs::read_to_string(project.file("debstrata.lock")).unwrap();
        assert!(lock.contains(&format!("id = \"source-1/{suite}\"")), "{lock}");
    }
    // A foreign key does not count.
    let foreign = Bench::new();
    let source = "suites = ['tools']\ncomponents = ['main']\nsigned-by = 'keys.asc'";
    let (project, _) = bench.check(&server, source);
    project.write("keys.asc", foreign.run("gpg", &["--armor", "--export"], ""));
    let output = project.command().args(["build", "--arch", "all"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && told.contains("no valid signature of a key in"), "{told}");
}

/// `dists/stable` as a second name of `dists/tools`.
fn bench_link(bench: &Bench, server: &Server) {
    let root = bench.path("repo");
    for path in files(&root.join("dists/tools")) {
        let name = served(&root, &path).replacen("/dists/tools/", "/dists/stable/", 1);
        server.put(&name, fs::read(&path).unwrap());
    }
}

#[test]
fn flat_repositories_of_debian_s_own_tools() {
    let bench = Bench::new();
    // Below a folder, described from the root, and from the folder itself.
    for (folder, scanned, suite) in [("flat", ".", "./"), ("nested", "debs", "debs/"), ("inner/debs", ".", "debs/")] {
        let top = folder.split('/').next().unwrap();
        let (root, debs) = match scanned {
            "." => (folder.to_owned(), folder.to_owned()),
            below => (folder.to_owned(), format!("{folder}/{below}")),
        };
        bench.copy_debs(&debs);
        let packages = bench.run("dpkg-scanpackages", &["--multiversion", scanned], &root);
        fs::write(bench.path(&debs).join("Packages"), packages).unwrap();
        bench.run("xz", &["-k", "Packages"], &debs);
        let release = bench.run("apt-ftparchive", &["release", "."], &debs);
        fs::write(bench.path(&debs).join("Release"), release).unwrap();
        bench.sign(&debs);
        let server = bench.serve(top);
        let (_, told) = bench.check(&server, &format!("suites = ['{suite}']\nsigned-by = 'keys.asc'"));
        assert!(!told.contains("opt-out"), "{told}");
        // The same without a signature, and without a Release.
        let base = format!("/{}", suite.trim_start_matches("./"));
        for gone in ["InRelease", "Release", "Packages.xz"] {
            server.remove(&format!("{base}{gone}"));
            let (_, told) = bench.check(&server, &format!("suites = ['{suite}']\nallow-unsigned = true"));
            assert!(told.contains("nobody signed it (allow-unsigned)"), "{told}");
        }
    }
}

#[test]
fn a_folder_of_what_dpkg_deb_built() {
    let bench = Bench::new();
    let tier = "packages = ['tool']\n[generate]\ndpkg-status = false\n";
    let archive = "architectures = ['amd64', 'arm64']\nmerged-usr = false\n[[sources]]\nfolder = 'debs'\n";
    let project = project(archive, &[], &[("t", tier)]);
    for deb in &bench.debs {
        project.write(&format!("debs/{}", deb.file_name().unwrap().to_str().unwrap()), fs::read(deb).unwrap());
    }
    let told = bench.check_project(&project);
    assert!(told.contains("test/debs/.: nobody signed it: .debs of the folder debs"), "{told}");
}
