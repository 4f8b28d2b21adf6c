//! /etc/ld.so.cache against the ldconfig of Debian 12 and 13 itself, of several architectures. Needs
//! apt, dpkg-deb, Debian's qemu-user-static, and the mirrors of the host's apt. Runs with
//! `--features oracles`.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use debstrata::{
    debian::Architecture,
    generate::{Accounts, GENERATORS, Request, scripts},
    ground::{RootPath, Source},
    manifest::Generate,
    rootfs::{Attributes, Content, Entry, Node, Origin, PackageName, Rootfs},
};

/// A libc, its ldconfig, and libraries of all habits: links with version and without, alternatives,
/// a folder of its own in ld.so.conf.d, private libraries, plugins.
const PACKAGES: [&str; 24] = [
    "base-files",
    "libc6",
    "libc-bin",
    "libstdc++6",
    "libgcc-s1",
    "libgomp1",
    "zlib1g",
    "libzstd1",
    "libsqlite3-0",
    "libffi8",
    "libexpat1",
    "libpcre2-8-0",
    "libselinux1",
    "libblas3",
    "liblapack3",
    "libxml2",
    "libjpeg62-turbo",
    "libgcrypt20",
    "libfakeroot",
    "libbz2-1.0",
    "liblzma5",
    "libtinfo6",
    "libx11-6",
    "libgfortran5",
];

fn output(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C").output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// apt with a state of its own, so that it neither sees nor changes the host's.
struct Apt {
    folder: tempfile::TempDir,
    configuration: PathBuf,
}

impl Apt {
    fn new(suite: &str, architectures: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["etc", "state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let targets = output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Identifier: Packages",
            "Origin: Debian",
        ]));
        let mirror =
            targets.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian")).expect("Debian's mirror");
        let keyring =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/debian13/keyrings/debian-archive-keyring.asc");
        let source = format!("deb [signed-by={}] {mirror} {suite} main\n", keyring.display());
        fs::write(root.join("etc/sources.list"), source).unwrap();
        let quoted: Vec<String> = architectures.iter().map(|name| format!("{name:?};")).collect();
        let configuration = root.join("apt.conf");
        let text = format!(
            "Dir::Etc \"{0}/etc\"; Dir::Etc::sourceparts \"/dev/null\"; Dir::State \"{0}/state\"; Dir::Cache \"{0}/cache\";\n\
             Dir::State::status \"/dev/null\"; APT::Architecture \"{1}\"; APT::Architectures {{ {2} }};\n\
             Acquire::Languages \"none\"; Acquire::Retries \"3\"; APT::Sandbox::User \"root\";\n",
            root.display(),
            architectures[0],
            quoted.join(" ")
        );
        fs::write(&configuration, text).unwrap();
        let apt = Self { folder, configuration };
        output(apt.get().args(["update", "-qq"]));
        apt
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", &self.configuration).current_dir(self.folder.path());
        command
    }

    /// A tree of all packages, and the version of its libc-bin.
    fn tree(&self, architecture: &str) -> (PathBuf, String) {
        let debs = self.folder.path().join(format!("debs-{architecture}"));
        fs::create_dir(&debs).unwrap();
        let names: Vec<String> = PACKAGES.iter().map(|name| format!("{name}:{architecture}")).collect();
        output(self.get().args(["download", "-qq"]).args(names).current_dir(&debs));
        let tree = self.folder.path().join(format!("tree-{architecture}"));
        fs::create_dir(&tree).unwrap();
        let mut version = None;
        let mut files: Vec<_> = fs::read_dir(&debs).unwrap().map(|entry| entry.unwrap().path()).collect();
        // base-files first: its links make the merged /usr.
        files.sort();
        for deb in files {
            output(Command::new("dpkg-deb").arg("-x").args([&deb, &tree]));
            if deb.file_name().unwrap().as_bytes().starts_with(b"libc-bin_") {
                version = Some(output(Command::new("dpkg-deb").arg("-f").arg(&deb).arg("Version")).trim().to_owned());
            }
        }
        (tree, version.expect("libc-bin was asked for"))
    }
}

/// A folder of this machine as a tree.
fn read(folder: &Path, version: &str) -> Rootfs {
    let package = PackageName { name: "libc-bin".into(), version: version.into(), architecture: "all".into() };
    let origin = Origin::Package(Arc::new(package));
    let mut tree = Rootfs::default();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let node = if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Node::Directory
        } else if metadata.is_symlink() {
            Node::Symlink(fs::read_link(&path).unwrap().as_os_str().as_bytes().into())
        } else {
            Node::File { content: Content::from_bytes(fs::read(&path).unwrap()), group: None }
        };
        let name = path.strip_prefix(folder).unwrap().as_os_str().as_bytes();
        let entry = Entry { node, attributes: Attributes::new(0o755, 0, 0), origin: origin.clone() };
        tree.entries.insert(RootPath::from_archive(name).unwrap(), entry);
    }
    tree
}

/// What the generator makes of a tree.
fn by_us(tree: &Rootfs, architecture: Architecture) -> BTreeMap<RootPath, Node> {
    let generator = GENERATORS.iter().find(|generator| generator.name == "ld-so-cache").unwrap();
    let request = Request {
        source: &Source::new("tier.toml", ""),
        wish: &Generate { ld_so_cache: Some(0..0), ..Generate::default() },
        architecture,
        packages: &[],
        rootfs: tree,
        accounts: &Accounts::default(),
        declares_users: false,
        declares_groups: false,
        effects: &scripts::effects(&[], architecture, tree, &Accounts::default()),
        inherited_choices: &[],
    };
    let made = (generator.make)(&request).unwrap();
    made.into_iter().map(|made| (made.path, made.node)).collect()
}

/// What that Debian's ldconfig adds or changes in a tree, its auxiliary cache apart.
fn by_ldconfig(folder: &Path, before: &Rootfs, version: &str, architecture: Architecture) -> BTreeMap<RootPath, Node> {
    let ldconfig = ["sbin/ldconfig", "usr/sbin/ldconfig"].map(|name| folder.join(name));
    let ldconfig = ldconfig.iter().find(|path| path.exists()).unwrap();
    let mut command = match Architecture::host() == Some(architecture) {
        true => Command::new(ldconfig),
        false => {
            let machine = match architecture.name() {
                "amd64" => "x86_64",
                "arm64" => "aarch64",
                "armhf" => "arm",
                "ppc64el" => "ppc64le",
                name => name,
            };
            let mut command = Command::new(format!("qemu-{machine}-static"));
            command.arg(ldconfig);
            command
        }
    };
    output(command.arg("-r").arg(folder));
    let after = read(folder, version);
    let aux = RootPath::from_absolute(b"/var/cache/ldconfig").unwrap();
    let changed = after.entries.into_iter().filter(|(path, entry)| {
        path.below(&aux).is_none() && !before.get(path).is_some_and(|before| before.same_as(entry))
    });
    changed.map(|(path, entry)| (path, entry.node)).collect()
}

fn compare(folder: &Path, version: &str, architecture: &str) -> usize {
    let name = format!("{} {architecture} {version}", folder.display());
    let architecture: Architecture = architecture.parse().unwrap();
    let before = read(folder, version);
    let ours = by_us(&before, architecture);
    let theirs = by_ldconfig(folder, &before, version, architecture);
    let bytes = |made: &BTreeMap<RootPath, Node>| {
        let Some(Node::File { content, .. }) = made.get(b"etc/ld.so.cache".as_slice()) else {
            panic!("{name}: no cache")
        };
        let mut bytes = vec![0; content.size as usize];
        content.read_at(0, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name}");
    let (mine, its) = (bytes(&ours), bytes(&theirs));
    let big_endian = architecture.name() == "s390x";
    assert_eq!(entries(&mine, big_endian), entries(&its, big_endian), "{name}");
    let differs = mine.iter().zip(&its).position(|(a, b)| a != b);
    assert!(mine == its, "{name}: {} and {} bytes, differing at {differs:?}", mine.len(), its.len());
    assert_eq!(ours, theirs, "{name}");
    mine.len()
}

/// What a cache says, for messages: header, entries, and what follows the strings.
fn entries(cache: &[u8], big_endian: bool) -> Vec<String> {
    let word = |at: usize| {
        let bytes = cache[at..at + 4].try_into().unwrap();
        if big_endian { u32::from_be_bytes(bytes) as usize } else { u32::from_le_bytes(bytes) as usize }
    };
    let text = |at: usize| {
        let end = at + cache[at..].iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8_lossy(&cache[at..end]).into_owned()
    };
    let entry = |number| {
        let at = 48 + 24 * number;
        let hwcap = (word(at + 16), word(at + 20));
        format!("{:#x} {} {} {:#x} {hwcap:#x?}", word(at), text(word(at + 4)), text(word(at + 8)), word(at + 12))
    };
    let count = word(20);
    let tail = String::from_utf8_lossy(&cache[word(32)..]).into_owned();
    (0..count).map(entry).chain([format!("{:?} {count} {} {tail}", &cache[..20], word(24))]).collect()
}

/// All that ldconfig treats specially and that a tree can have.
fn complicate(folder: &Path, triplet: &str) {
    let libraries = folder.join("usr/lib").join(triplet);
    let file = |name: &str| {
        let path = libraries.join(name);
        [path.clone(), folder.join("lib").join(triplet).join(name)].into_iter().find(|path| path.exists()).unwrap()
    };
    let copy = |from: &str, to: &str| {
        let to = libraries.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, fs::read(file(from)).unwrap()).unwrap();
    };
    // A soname without its link, one that leads to an old library, and a link for linking.
    fs::remove_file(file("libzstd.so.1")).unwrap();
    fs::remove_file(file("libffi.so.8")).unwrap();
    copy("libexpat.so.1", "libffi-old.so");
    symlink("libffi-old.so", libraries.join("libffi.so.8")).unwrap();
    symlink("libxml2.so.2", libraries.join("libxml2.so")).unwrap();
    symlink("libxml2.so.2", libraries.join("libother.so")).unwrap();
    // Two libraries of one soname; numbers count as such.
    copy("libexpat.so.1", "libexpat.so.1.10.9");
    copy("libexpat.so.1", "libexpat.so.1.9.10");
    // What is none.
    fs::write(libraries.join("libtext.so"), "hello\n").unwrap();
    fs::write(libraries.join("libscript.so"), "/* GNU ld script */\nGROUP ( libz.so.1 )\n").unwrap();
    fs::write(libraries.join("libempty.so"), "").unwrap();
    fs::create_dir(libraries.join("libfolder.so.d")).unwrap();
    // For better processors; one subfolder without libraries.
    copy("libxml2.so.2", "glibc-hwcaps/x86-64-v3/libxml2.so.2.9");
    copy("libexpat.so.1", "glibc-hwcaps/x86-64-v2/libexpat.so.1");
    copy("libexpat.so.1", "glibc-hwcaps/x86-64-v3/libexpat.so.1");
    fs::create_dir(libraries.join("glibc-hwcaps/unused")).unwrap();
    fs::create_dir(libraries.join("glibc-hwcaps/.hidden")).unwrap();
    // More folders, one of them twice.
    copy("libexpat.so.1", "private/libexpat.so.1");
    symlink("private", libraries.join("again")).unwrap();
    let conf = format!("# private\n/usr/lib/{triplet}/private/\n /usr/lib/{triplet}/again # the same\n/nowhere\n");
    fs::write(folder.join("etc/ld.so.conf.d/0-first.conf"), conf).unwrap();
}

fn check(suite: &str, architectures: &[&str]) {
    let apt = Apt::new(suite, architectures);
    for architecture in architectures {
        let (tree, version) = apt.tree(architecture);
        let plain = compare(&tree, &version, architecture);
        complicate(&tree, architecture.parse::<Architecture>().unwrap().multiarch());
        let more = compare(&tree, &version, architecture);
        assert!(plain > 1000 && more > plain, "{suite} {architecture}: {plain} {more}");
    }
}

#[test]
fn debian_12() {
    check("bookworm", &["amd64", "arm64", "s390x"]);
}

#[test]
fn debian_13() {
    check("trixie", &["amd64", "arm64"]);
}
