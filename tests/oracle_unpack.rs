//! Real packages, read as strangers read them. Needs dpkg-deb and python3, and apt-get with package
//! lists and a network, for the .debs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use debstrata::{
    cache::Cache,
    debian::deb::Identity,
    ground::{Sha256, Silent},
    rootfs::{Node, PackageName},
    unpack::{Expected, Limits, unpack_all},
};

/// Set-id bits, foreign owners, hard links, names beyond ASCII, many small files, several xz blocks.
const PACKAGES: &[&str] = &[
    "base-files",
    "libc6",
    "ca-certificates",
    "perl-base",
    "tzdata",
    "git",
    "passwd",
    "mount",
    "cron",
    "libjs-mathjax",
];

/// Lists a tar from standard input: path, type, mode, uid, gid, and size and sha256, or target.
const LIST: &str = r#"
import hashlib, os, sys, tarfile
tar = tarfile.open(sys.argv[1], encoding="utf-8", errors="surrogateescape")
found, inodes = {}, {}
for m in tar:
    path = os.path.normpath("/" + m.name)
    if m.isreg():
        rest = "f %d %s" % (m.size, hashlib.sha256(tar.extractfile(m).read()).hexdigest())
        inodes[path] = path
    elif m.islnk():
        first = inodes[os.path.normpath("/" + m.linkname)]
        inodes[path] = first
        rest = found[first].split(" ", 3)[3]
    elif m.isdir():
        rest = "d"
    elif m.issym():
        rest = "l " + m.linkname
    else:
        sys.exit("what is " + m.name)
    found[path] = "%o %d %d %s" % (m.mode & 0o7777, m.uid, m.gid, rest)
for path, text in sorted(found.items()):
    names = sorted(other for other in inodes if inodes[other] == inodes.get(path))
    group = " & " + " ".join(names) if len(names) > 1 else ""
    sys.stdout.buffer.write((path + " " + text + group + "\n").encode("utf-8", "surrogateescape"))
"#;

fn run(program: &str, arguments: &[&str], folder: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn field(deb: &str, name: &str, folder: &Path) -> Box<str> {
    let value = run("dpkg-deb", &["--field", deb, name], folder);
    String::from_utf8(value).unwrap().trim().into()
}

#[test]
fn real_packages_as_dpkg_and_python_see_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run("apt-get", &[["download"].as_slice(), PACKAGES].concat(), folder);
    let mut debs: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    debs.sort();
    assert_eq!(debs.len(), PACKAGES.len());
    let expected: Vec<Expected> = debs
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).unwrap();
            let field = |name| field(path.to_str().unwrap(), name, folder);
            let package =
                PackageName { name: field("Package"), version: field("Version"), architecture: field("Architecture") };
            Expected { package: Arc::new(package), size: bytes.len() as u64, sha256: Sha256::of(&bytes) }
        })
        .collect();
    let jobs: Vec<_> = debs.iter().map(PathBuf::as_path).zip(&expected).collect();
    let cache = Cache::open(&folder.join("cache")).unwrap();
    let all = || {
        let results = Mutex::new(BTreeMap::new());
        unpack_all(&jobs, &cache, &Limits::default(), &Silent, |number, result| {
            results.lock().unwrap().insert(number, result);
        });
        results.into_inner().unwrap().into_values()
    };
    let (cold, warm) = (all(), all());
    let mut links = 0;
    for ((path, cold), warm) in debs.iter().zip(cold).zip(warm) {
        let (cold, warm) = (cold.unwrap(), warm.unwrap());
        assert_eq!(cold.entries, warm.entries);
        assert_eq!(cold.control, warm.control);
        let deb = path.to_str().unwrap();

        let tar = folder.join("data.tar");
        std::fs::write(&tar, run("dpkg-deb", &["--fsys-tarfile", deb], folder)).unwrap();
        let theirs = run("python3", &["-c", LIST, tar.to_str().unwrap()], folder);
        let ours = list(&warm.entries);
        links += ours.windows(2).filter(|pair| *pair == b" &").count();
        if ours != theirs {
            let lines = |text: &[u8]| String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>();
            let (ours, theirs) = (lines(&ours), lines(&theirs));
            let only = |one: &[String], other: &[String]| {
                one.iter().filter(|line| !other.contains(line)).take(5).cloned().collect::<Vec<_>>()
            };
            panic!("{deb}: ours alone {:#?}, theirs alone {:#?}", only(&ours, &theirs), only(&theirs, &ours));
        }

        let control = folder.join("control");
        run("dpkg-deb", &["--control", deb, control.to_str().unwrap()], folder);
        let theirs: BTreeMap<_, _> = std::fs::read_dir(&control)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
            .collect();
        let ours: BTreeMap<_, _> =
            warm.control.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect();
        assert!(ours == theirs, "{deb}: control members differ");
        assert_eq!(Identity::of_control(&warm.control["control"]).unwrap().name, *field(deb, "Package", folder));
        std::fs::remove_dir_all(&control).unwrap();
    }
    assert!(links > 1, "none of the packages has hard links any more");
}

/// Our entries in the form of `LIST`.
fn list(entries: &[debstrata::unpack::Item]) -> Vec<u8> {
    let mut groups: BTreeMap<_, Vec<&[u8]>> = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for item in entries {
        if let Node::File { group: Some(group), .. } = &item.node {
            groups.entry(*group).or_default().push(item.path.as_bytes());
        }
    }
    groups.values_mut().for_each(|names| names.sort());
    for item in entries {
        let at = &item.attributes;
        let mut line = [b"/", item.path.as_bytes(), b" "].concat();
        line.extend_from_slice(format!("{:o} {} {} ", at.mode, at.uid, at.gid).as_bytes());
        match &item.node {
            Node::Directory => line.push(b'd'),
            Node::Symlink(target) => line.extend_from_slice(&[b"l ", &**target].concat()),
            Node::File { content, group } => {
                let mut bytes = vec![0; content.size as usize];
                content.read_at(0, &mut bytes).unwrap();
                line.extend_from_slice(format!("f {} {}", bytes.len(), Sha256::of(&bytes)).as_bytes());
                assert_eq!(content.sha256, Sha256::of(&bytes), "{}", item.path);
                if let Some(group) = group {
                    line.extend_from_slice(b" &");
                    for name in &groups[group] {
                        line.extend_from_slice(&[b" /", *name].concat());
                    }
                }
            }
        }
        line.push(b'\n');
        lines.insert(item.path.clone(), line);
    }
    lines.into_values().flatten().collect()
}
