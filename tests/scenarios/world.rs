//! One signed archive on loopback, one project that uses it, and the binary run on it.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use debstrata::ground::Sha256;
use jiff::ToSpan as _;
use serde_json::Value;

use crate::support::{
    Deb, DebBuilder, Key, Project, Server, TestArchive, TestSuite,
    project::{archive_toml, project},
};

/// The name of the archive as the lock and messages have it: the last part of its URI.
pub const POOL: &str = "/pool/main";

/// An archive with the suite `trixie`, and a project with the distribution `test`.
pub struct World {
    pub key: Key,
    pub suite: TestSuite,
    pub server: Server,
    pub project: Project,
}

/// A package with one file, `/usr/share/<name>/file`, that holds its version.
pub fn package(name: &str, version: &str) -> DebBuilder {
    DebBuilder::new(name, version).file(format!("/usr/share/{name}/file"), 0o644, format!("{name} {version}\n"))
}

/// Where the archive has a .deb.
pub fn pool(deb: &Deb) -> String {
    format!("{POOL}/{}/{}/{}", &deb.name[..1], deb.name, deb.file_name())
}

impl World {
    /// An archive of these packages, and these tiers (name without `.toml`, text without summary).
    pub fn new(debs: impl IntoIterator<Item = DebBuilder>, tiers: &[(&str, &str)]) -> Self {
        let key = Key::new("archive");
        let mut suite = TestSuite::new("trixie", &key);
        suite.packages = debs.into_iter().map(|deb| ("main".into(), deb.build())).collect();
        let server = TestArchive::new([suite.clone()]).serve();
        let project = project(&archive_toml(&server, &["trixie"]), &[&key], &[]);
        let world = Self { key, suite, server, project };
        tiers.iter().for_each(|(name, text)| world.tier(name, text));
        world
    }

    /// hello 1.0 and greeting 1.0, and the tiers `base` (hello) and `top` (greeting).
    pub fn small() -> Self {
        Self::new(
            [package("hello", "1.0"), package("greeting", "1.0")],
            &[("base", "packages = ['hello']"), ("top", "parent = 'base'\npackages = ['greeting']")],
        )
    }

    /// Writes a tier.
    pub fn tier(&self, name: &str, text: &str) {
        self.project.write(&format!("{name}.toml"), format!("summary = 'the tier {name}'\n{text}"));
    }

    /// Replaces a text in archive.toml.
    pub fn edit_archive(&self, from: &str, to: &str) {
        self.edit("archive.toml", from, to);
    }

    /// Replaces a text, which must be there, in a file of the distribution.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.project.file(name);
        let old = fs::read_to_string(&path).unwrap();
        assert!(old.contains(from), "{name} has no {from:?}");
        fs::write(path, old.replace(from, to)).unwrap();
    }

    /// The archive moves on: the suite is changed, dated an hour later, and served in place of what
    /// was there.
    pub fn publish(&mut self, change: impl FnOnce(&mut TestSuite)) {
        self.suite.date = self.suite.date.checked_add(1.hours()).unwrap();
        change(&mut self.suite);
        self.serve_again();
    }

    /// Serves the suite as it is now and nothing else.
    pub fn serve_again(&self) {
        self.server.replace(TestArchive::new([self.suite.clone()]).files());
    }

    /// A package of the archive.
    pub fn deb(&self, name: &str) -> &Deb {
        let found = self.suite.packages.iter().find(|(_, deb)| deb.name == name);
        found.map(|(_, deb)| deb).unwrap_or_else(|| panic!("the archive has no {name}"))
    }

    /// Runs the binary; verbs that take it get `--arch amd64` unless another one is named, so that
    /// tests say the same on any machine.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, &[])
    }

    /// The same with environment variables.
    pub fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        self.run_command(self.project.command(), arguments, variables)
    }

    /// Runs the binary for another project folder.
    pub fn run_in(&self, folder: &Path, arguments: &[&str]) -> Run {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_debstrata"));
        command.env_clear().arg("-C").arg(folder);
        self.run_command(command, arguments, &[])
    }

    fn run_command(&self, mut command: assert_cmd::Command, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        command.args(arguments).envs(variables.iter().copied());
        let takes_one = ["build", "audit", "show", "check", "why", "bundle"].iter().any(|verb| arguments.contains(verb));
        if takes_one && !arguments.contains(&"--arch") {
            command.args(["--arch", "amd64"]);
        }
        let output = command.output().unwrap();
        Run {
            arguments: arguments.join(" "),
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Builds all of amd64.
    pub fn build(&self) -> Run {
        self.run(&["build"]).exits(0)
    }

    /// How many requests the server got, all in all.
    pub fn asked(&self) -> usize {
        self.server.requests().len()
    }

    /// How often the server was asked for a package's .deb, as the archive has it now.
    pub fn fetched(&self, name: &str) -> usize {
        self.server.count(&pool(self.deb(name)))
    }

    /// The lock's path.
    pub fn lock_path(&self) -> PathBuf {
        self.project.file("debstrata.lock")
    }

    /// The lock's text.
    pub fn lock(&self) -> String {
        fs::read_to_string(self.lock_path()).unwrap()
    }

    /// `name version` of every package of the lock, for one architecture.
    pub fn locked_for(&self, architecture: &str) -> Vec<String> {
        let lock: toml::Table = self.lock().parse().unwrap();
        let packages = lock["inputs"][architecture]["packages"].as_array().unwrap();
        let text = |package: &toml::Value, key| package[key].as_str().unwrap().to_owned();
        packages.iter().map(|package| format!("{} {}", text(package, "name"), text(package, "version"))).collect()
    }

    /// The same for amd64.
    pub fn locked(&self) -> Vec<String> {
        self.locked_for("amd64")
    }

    /// A path below the output folder, such as `test/amd64/base.tar.gz`.
    pub fn out(&self, name: &str) -> PathBuf {
        self.path("out").join(name)
    }

    /// A path below the project folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.project.path().join(name)
    }

    /// The layer of a tier for amd64, see [`entries`].
    pub fn layer(&self, tier: &str) -> BTreeMap<String, String> {
        entries(&self.out(&format!("test/amd64/{tier}.tar.gz")))
    }

    /// Every file of the project with its digest, without what `leave_out` begins.
    pub fn snapshot(&self, leave_out: &[&str]) -> BTreeMap<String, Sha256> {
        files(self.project.path())
            .into_iter()
            .map(|path| (path.strip_prefix(self.project.path()).unwrap().display().to_string(), path))
            .filter(|(name, _)| !leave_out.iter().any(|start| name.starts_with(start)))
            .map(|(name, path)| (name, Sha256::of(&fs::read(path).unwrap())))
            .collect()
    }
}

/// Every regular file below a folder; none where there is no such folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// When a file was last written.
pub fn written(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// The entries of a `.tar.gz`: `file 0644 0:0 <content>`, `dir 0755 0:0`, `link -> target`,
/// `hardlink -> first`. A path that occurs twice fails.
pub fn entries(path: &Path) -> BTreeMap<String, String> {
    let packed = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(packed));
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let header = entry.header();
        let meta = format!("{:04o} {}:{}", header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
        let target = entry.link_name_bytes().map(|target| String::from_utf8(target.into_owned()).unwrap());
        let text = match entry.header().entry_type() {
            tar::EntryType::Directory => format!("dir {meta}"),
            tar::EntryType::Symlink => format!("link -> {}", target.unwrap()),
            tar::EntryType::Link => format!("hardlink -> {}", target.unwrap()),
            tar::EntryType::Regular => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                format!("file {meta} {}", String::from_utf8_lossy(&content).trim_end())
            }
            other => panic!("{name} is a {other:?}"),
        };
        assert_eq!(found.insert(name.clone(), text), None, "{name} occurs twice");
    }
    found
}

/// One run of the binary.
#[derive(Debug)]
pub struct Run {
    pub arguments: String,
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Ends with this status. A failure says why on stderr and prints no result.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{}\n{}\n{}", self.arguments, self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        if status > 1 {
            assert_eq!(self.stdout, "", "{}", self.arguments);
            assert_ne!(self.stderr, "", "{}", self.arguments);
        }
        self
    }

    /// stderr has all of these texts; line breaks and indentation do not count.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        let told = plain(&self.stderr);
        for part in parts {
            assert!(told.contains(&plain(part)), "{}: nothing says {part:?}:\n{}", self.arguments, self.stderr);
        }
        self
    }

    /// stderr has none of these texts.
    #[track_caller]
    pub fn silent_on(self, parts: &[&str]) -> Self {
        let told = plain(&self.stderr);
        for part in parts {
            assert!(!told.contains(&plain(part)), "{}: {part:?} is said:\n{}", self.arguments, self.stderr);
        }
        self
    }

    /// stdout has all of these texts.
    #[track_caller]
    pub fn prints(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "{}: {part:?} is not printed:\n{}", self.arguments, self.stdout);
        }
        self
    }

    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.stdout))
    }
}

/// Without white space, and without the frame before lines that were wrapped: they break anywhere.
fn plain(text: &str) -> String {
    let lines = text.lines().map(str::trim_start);
    let bare = lines.map(|line| line.strip_prefix("| ").or(line.strip_prefix("x ")).unwrap_or(line));
    bare.flat_map(str::split_whitespace).collect()
}
