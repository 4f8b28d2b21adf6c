//! A Debian archive of a few packages, made and signed for one test.

use std::{collections::BTreeMap, fmt::Write as _};

use debstrata::ground::Sha256;
use jiff::Timestamp;
use sha2::Digest as _;

use super::{
    at,
    deb::{Compression, Deb},
    http::Server,
    keys::{Key, clearsign},
};

/// Which checksums Release and Packages list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sums {
    Sha256,
    Sha512,
    Both,
}

/// One suite. All fields are open: a test changes what it is about.
#[derive(Clone)]
pub struct TestSuite {
    /// Its folder below dists/; one that ends in `/` (as `./`) makes a flat repository there.
    pub folder: String,
    /// `Suite`
    pub suite: Option<String>,
    /// `Codename`
    pub codename: Option<String>,
    /// `Date`; also when it is signed.
    pub date: Timestamp,
    /// `Valid-Until`
    pub valid_until: Option<Timestamp>,
    /// Who signs; nobody: InRelease is a plain Release.
    pub signers: Vec<Key>,
    /// `Architectures`
    pub architectures: Vec<String>,
    /// Of these the Release lists no index, though it names them.
    pub without_index: Vec<String>,
    /// `Components`
    pub components: Vec<String>,
    /// Component and package, in the order of the index.
    pub packages: Vec<(String, Deb)>,
    /// Which checksums the Release lists.
    pub sums: Sums,
    /// Which forms of Packages there are.
    pub forms: Vec<Compression>,
    /// Whether the Release lists the plain Packages though it is not there, as Debian's does.
    pub list_plain: bool,
    /// The Release lists this text as every plain Packages.
    pub lie: Option<String>,
    /// `Acquire-By-Hash: yes` and the files for it.
    pub by_hash: bool,
    /// Put packages for `all` into binary-all alone, not into every architecture's index.
    pub separate_all: bool,
    /// More fields of the Release, each with its newline.
    pub more_fields: String,
    /// Text before and after the signed message.
    pub around: (String, String),
    /// The signed message comes twice.
    pub twice: bool,
    /// A flat repository whose Filename fields are relative to its own folder, not to the root.
    pub from_folder: bool,
    /// The text of every index, in place of that of its packages.
    pub text: Option<String>,
}

impl TestSuite {
    /// A suite for amd64 and arm64 with the component main, dated 2026-01-10, signed by `key`.
    pub fn new(name: &str, key: &Key) -> Self {
        Self {
            folder: name.into(),
            suite: Some("stable".into()),
            codename: Some(name.into()),
            date: at("2026-01-10T12:00:00Z"),
            valid_until: None,
            signers: vec![key.clone()],
            architectures: vec!["amd64".into(), "arm64".into()],
            without_index: Vec::new(),
            components: vec!["main".into()],
            packages: Vec::new(),
            sums: Sums::Sha256,
            forms: vec![Compression::Xz, Compression::Gz],
            list_plain: true,
            lie: None,
            by_hash: true,
            separate_all: false,
            more_fields: String::new(),
            around: Default::default(),
            twice: false,
            from_folder: false,
            text: None,
        }
    }

    /// Adds a package to main.
    pub fn add(mut self, deb: Deb) -> Self {
        self.packages.push(("main".into(), deb));
        self
    }

    fn flat(&self) -> bool {
        self.folder.ends_with('/')
    }

    /// `/dists/<suite>/`, or the flat folder.
    pub fn base(&self) -> String {
        match self.folder.as_str() {
            "./" => "/".into(),
            flat if self.flat() => format!("/{}", flat.trim_start_matches("./")),
            name => format!("/dists/{name}/"),
        }
    }

    fn pool(&self, component: &str, deb: &Deb) -> String {
        match self.flat() {
            true => format!("{}{}", self.base().trim_start_matches('/'), deb.file_name()),
            false => format!("pool/{component}/{}/{}/{}", &deb.name[..1], deb.name, deb.file_name()),
        }
    }

    /// The text of one Packages index.
    pub fn packages_text(&self, component: &str, architecture: &str) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        let mut text = String::new();
        for (_, deb) in self.packages.iter().filter(|(of, deb)| {
            let here =
                deb.architecture == architecture || deb.architecture == "all" && !self.separate_all || self.flat();
            of == component && here
        }) {
            let path = match self.flat() {
                true if self.from_folder => format!("./{}", deb.file_name()),
                true => format!("./{}", self.pool(component, deb)),
                false => self.pool(component, deb),
            };
            let sha256 = Sha256::of(&deb.bytes);
            writeln!(text, "{}Filename: {path}\nSize: {}\nSHA256: {sha256}\n", deb.control, deb.bytes.len()).unwrap();
        }
        text
    }

    /// Path below the base and text of every Packages index.
    fn indexes(&self) -> Vec<(String, String)> {
        if self.flat() {
            return vec![("Packages".into(), self.packages_text("main", ""))];
        }
        let mut indexes = Vec::new();
        for component in &self.components {
            let mut architectures = self.architectures.clone();
            if self.separate_all && !architectures.iter().any(|name| name == "all") {
                architectures.push("all".into());
            }
            for architecture in architectures.iter().filter(|name| !self.without_index.contains(name)) {
                let path = format!("{component}/binary-{architecture}/Packages");
                indexes.push((path, self.packages_text(component, architecture)));
            }
        }
        indexes
    }

    /// The Release file, before it is signed.
    pub fn release(&self) -> String {
        let mut text = String::from("Origin: Test\nLabel: Test\n");
        for (field, value) in [("Suite", &self.suite), ("Codename", &self.codename)] {
            if let Some(value) = value {
                writeln!(text, "{field}: {value}").unwrap();
            }
        }
        writeln!(text, "Date: {}", date(self.date)).unwrap();
        if let Some(valid_until) = self.valid_until {
            writeln!(text, "Valid-Until: {}", date(valid_until)).unwrap();
        }
        if self.by_hash {
            text.push_str("Acquire-By-Hash: yes\n");
        }
        text.push_str(&self.more_fields);
        writeln!(text, "Architectures: {}", self.architectures.join(" ")).unwrap();
        writeln!(text, "Components: {}", self.components.join(" ")).unwrap();
        let mut listed = Vec::new();
        for (path, packages) in self.indexes() {
            if self.list_plain {
                listed.push((path.clone(), self.lie.as_ref().unwrap_or(&packages).clone().into_bytes()));
            }
            for form in self.forms.iter().filter(|form| **form != Compression::None || !self.list_plain) {
                listed.push((path.clone() + form.suffix(), form.compress(packages.as_bytes())));
            }
        }
        for (field, wanted, sum) in [
            ("SHA256", Sums::Sha512, sha256 as fn(&[u8]) -> String),
            ("SHA512", Sums::Sha256, sha512 as fn(&[u8]) -> String),
        ] {
            if self.sums != wanted {
                writeln!(text, "{field}:").unwrap();
                for (path, bytes) in &listed {
                    writeln!(text, " {} {} {path}", sum(bytes), bytes.len()).unwrap();
                }
            }
        }
        text
    }

    /// The InRelease file with all that the fields above do to it.
    pub fn inrelease(&self) -> Vec<u8> {
        let message = match self.signers.is_empty() {
            true => self.release().into_bytes(),
            false => clearsign(&self.release(), &self.signers, self.date),
        };
        let twice = if self.twice { message.clone() } else { Vec::new() };
        [self.around.0.as_bytes(), &message, &twice, self.around.1.as_bytes()].concat()
    }

    /// Every file of the suite, its packages included, by absolute path.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let base = self.base();
        let mut files = BTreeMap::from([(format!("{base}InRelease"), self.inrelease())]);
        for (path, text) in self.indexes() {
            let folder = path.trim_end_matches("Packages");
            for form in &self.forms {
                let bytes = form.compress(text.as_bytes());
                if self.by_hash {
                    for (kind, sum) in [("SHA256", sha256(&bytes)), ("SHA512", sha512(&bytes))] {
                        files.insert(format!("{base}{folder}by-hash/{kind}/{sum}"), bytes.clone());
                    }
                }
                files.insert(format!("{base}{path}{}", form.suffix()), bytes);
            }
        }
        for (component, deb) in &self.packages {
            files.insert(format!("/{}", self.pool(component, deb)), deb.bytes.clone());
        }
        files
    }
}

/// Several suites below one root.
#[derive(Clone, Default)]
pub struct TestArchive {
    pub suites: Vec<TestSuite>,
}

impl TestArchive {
    /// An archive of these suites.
    pub fn new(suites: impl IntoIterator<Item = TestSuite>) -> Self {
        Self { suites: suites.into_iter().collect() }
    }

    /// Every file, by absolute path.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.suites.iter().flat_map(TestSuite::files).collect()
    }

    /// Serves all of it on loopback.
    pub fn serve(&self) -> Server {
        Server::of(self.files())
    }
}

fn date(moment: Timestamp) -> String {
    moment.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::of(bytes).to_string()
}

fn sha512(bytes: &[u8]) -> String {
    sha2::Sha512::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
