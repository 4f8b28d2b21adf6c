//! Strangers read our layers. Needs: GNU tar, bsdtar (libarchive-tools), python3, gzip, zstd,
//! sha256sum. Run with `--features oracles`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use debstrata::{
    ground::{RootPath, Sha256, Silent},
    layer::{Form, NoStore, Sink, emit},
    outputs::{Outputs, Place},
    rootfs::{Attributes, Content, Entry, LinkGroup, Node, Origin},
};

fn entry(node: Node, mode: u16) -> Entry {
    Entry { node, attributes: Attributes::new(mode, 0, 0), origin: Origin::Implied }
}

fn file(bytes: Vec<u8>, group: Option<LinkGroup>) -> Entry {
    entry(Node::File { content: Content::from_bytes(bytes), group }, 0o644)
}

/// Everything odd that the dialect has, and enough bytes for several members.
fn changes() -> Vec<(RootPath, Entry)> {
    let mut random = fastrand::Rng::with_seed(1);
    let big: Vec<u8> = std::iter::repeat_with(|| random.u8(..16)).take(9 << 20).collect();
    let group = Some(LinkGroup(Sha256::of(b"group")));
    let long = "a-long-name/".repeat(12);
    let mut wished = vec![
        ("big".to_owned(), file(big, None)),
        ("Főtanúsítvány.crt".to_owned(), file(b"cert\n".to_vec(), None)),
        (format!("{long}{}", "ő".repeat(60)), file(b"deep\n".to_vec(), None)),
        (format!("{long}first"), file(b"linked\n".to_vec(), group)),
        (format!("{long}second"), file(b"linked\n".to_vec(), group)),
        ("x".repeat(100), file(b"100\n".to_vec(), None)),
        ("y".repeat(101), file(b"101\n".to_vec(), None)),
        ("-option".to_owned(), file(Vec::new(), None)),
        ("short".to_owned(), entry(Node::Symlink((*b"../Fo\xcc\x8b//").into()), 0o777)),
        ("far".to_owned(), entry(Node::Symlink("/ű".repeat(90).into_bytes().into()), 0o777)),
        ("tmp".to_owned(), entry(Node::Directory, 0o1777)),
    ];
    let mut owned = file(b"owned\n".to_vec(), None);
    (owned.attributes.mode, owned.attributes.uid, owned.attributes.gid) = (0o6751, 3_000_000, 65532);
    owned.attributes.xattrs.insert((*b"user.note").into(), (*b"a\nb\0c").into());
    wished.push(("owned".to_owned(), owned));
    let mut all: BTreeMap<RootPath, Entry> = BTreeMap::new();
    for (path, entry_) in wished {
        let path = RootPath::from_archive(path.as_bytes()).unwrap();
        for folder in path.ancestors() {
            all.entry(folder).or_insert_with(|| entry(Node::Directory, 0o755));
        }
        all.insert(path, entry_);
    }
    all.into_iter().collect()
}

/// The layer in all forms: plain, gzip, Zstandard.
fn layer(folder: &Path) -> [PathBuf; 3] {
    let mut files: Vec<fs::File> =
        Form::ALL.iter().map(|form| fs::File::create(folder.join(form.extension())).unwrap()).collect();
    let mut sinks: Vec<Sink> = Form::ALL
        .iter()
        .zip(&mut files)
        .map(|(form, out)| Sink { form: *form, path: folder.join(form.extension()), out })
        .collect();
    emit(&changes(), 1_700_000_000, &mut sinks, &NoStore, &Silent).unwrap();
    Form::ALL.map(|form| folder.join(form.extension()))
}

/// Runs a program that must succeed and say nothing on stderr.
fn run(folder: &Path, locale: &str, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", locale)
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{program} {arguments:?} in {locale}: {errors}");
    output.stdout
}

/// What is in a folder: kind, mode, target and content by name.
fn seen(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    use std::os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _};
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let bytes = if meta.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        };
        all.insert(path.strip_prefix(folder).unwrap().to_owned(), (meta.permissions().mode(), bytes));
    }
    all
}

/// What the changes say should be in it.
fn wished() -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt as _;
    let describe = |(path, entry): (RootPath, Entry)| {
        let (kind, bytes) = match &entry.node {
            Node::Directory => (0o040_000, Vec::new()),
            Node::Symlink(target) => (0o120_000, target.to_vec()),
            Node::File { content, .. } => {
                let mut bytes = vec![0; content.size as usize];
                content.read_at(0, &mut bytes).unwrap();
                (0o100_000, bytes)
            }
        };
        let path = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes())).to_owned();
        (path, (kind | u32::from(entry.attributes.mode), bytes))
    };
    changes().into_iter().map(describe).collect()
}

#[test]
fn gzip_and_zstd_find_every_form_whole_and_equal() {
    let folder = tempfile::tempdir().unwrap();
    let [tar, gz, zst] = layer(folder.path()).map(|path| path.to_str().unwrap().to_owned());
    run(folder.path(), "C", "gzip", &["-t", &gz]);
    run(folder.path(), "C", "zstd", &["-q", "-t", &zst]);
    let plain = fs::read(tar).unwrap();
    assert!(run(folder.path(), "C", "gzip", &["-dc", &gz]) == plain);
    assert!(run(folder.path(), "C", "zstd", &["-q", "-dc", &zst]) == plain);
}

#[test]
fn gnu_tar_and_bsdtar_unpack_what_was_meant_in_any_locale() {
    let folder = tempfile::tempdir().unwrap();
    let paths = layer(folder.path());
    for program in ["tar", "bsdtar"] {
        for locale in ["C", "C.UTF-8"] {
            for path in &paths {
                let into = tempfile::tempdir().unwrap();
                let into = into.path().join("root");
                fs::create_dir(&into).unwrap();
                let target = into.to_str().unwrap();
                let from = path.to_str().unwrap();
                // Modes as stored, owners ours: neither needs root.
                let how = ["--no-same-owner", "-p", "-x", "-f", from, "-C", target];
                let mut arguments = how.to_vec();
                if program == "bsdtar" {
                    arguments.push("--no-xattrs");
                }
                run(folder.path(), locale, program, &arguments);
                let (mut got, mut wanted) = (seen(&into), wished());
                // Set-id bits go where the owner does not.
                for entry in got.values_mut().chain(wanted.values_mut()) {
                    entry.0 &= !0o6000;
                }
                assert!(got == wanted, "{program} in {locale}: {:?} is not {:?}", got.keys(), wanted.keys());
                use std::os::unix::fs::MetadataExt as _;
                let link = into.join("a-long-name/".repeat(12));
                let inode = |name| fs::metadata(link.join(name)).unwrap().ino();
                assert_eq!(inode("first"), inode("second"), "{program}: a hard link");
            }
        }
    }
}

#[test]
fn gnu_tar_compares_and_shows_owners_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let [_, gz, _] = layer(folder.path());
    let list = run(folder.path(), "C", "tar", &["--numeric-owner", "-tvzf", gz.to_str().unwrap(), "owned", "./"]);
    let list = String::from_utf8(list).unwrap();
    let lines: Vec<String> = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines, ["drwxr-xr-x 0/0 0 2023-11-14 22:13 ./", "-rwsr-s--x 3000000/65532 6 2023-11-14 22:13 owned"]);
}

/// Prints what Python sees of each entry, the records of its pax header too.
const SCRIPT: &str = r#"
import hashlib, os, sys, tarfile
with tarfile.open(sys.argv[1], "r:*") as tar:
    for e in tar:
        data = tar.extractfile(e).read() if e.isreg() else b""
        link = hashlib.sha256(os.fsencode(e.linkname)).hexdigest()
        print(os.fsencode(e.name).hex(), e.type.decode(), oct(e.mode), e.uid, e.gid, e.mtime, link,
              hashlib.sha256(data).hexdigest(), e.pax_headers.get("SCHILY.xattr.user.note", "").encode().hex())
"#;

#[test]
fn python_sees_every_field() {
    let folder = tempfile::tempdir().unwrap();
    let [tar, gz, _] = layer(folder.path());
    let first = format!("{}first", "a-long-name/".repeat(12));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut expected = String::new();
    for (path, entry) in changes() {
        let name = if path.is_root() { b".".as_slice() } else { path.as_bytes() };
        let linked = path.to_string().ends_with("/second");
        let (kind, link, content) = match &entry.node {
            Node::Directory => ('5', b"".as_slice(), Sha256::of(b"")),
            Node::Symlink(target) => ('2', &**target, Sha256::of(b"")),
            // Python follows hard links of a layer, but `isreg` is false for them.
            Node::File { .. } if linked => ('1', first.as_bytes(), Sha256::of(b"")),
            Node::File { content, .. } => ('0', b"".as_slice(), content.sha256),
        };
        let Attributes { mode, uid, gid, xattrs } = &entry.attributes;
        let note = xattrs.get(b"user.note".as_slice()).map(|value| hex(value)).unwrap_or_default();
        let (name, link) = (hex(name), Sha256::of(link));
        expected += &format!("{name} {kind} 0o{mode:o} {uid} {gid} 1700000000 {link} {content} {note}");
        expected = expected.trim_end().to_owned() + "\n";
    }
    for path in [&tar, &gz] {
        let got = run(folder.path(), "C.UTF-8", "python3", &["-c", SCRIPT, path.to_str().unwrap()]);
        let got: String =
            String::from_utf8(got).unwrap().lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn sha256sum_checks_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(folder.path());
    let name = "d/amd64/x.tar.gz".to_owned();
    let files = [(Form::TarGz, vec![Place::File(name.clone())])];
    let emitted = outputs.write_layer(&files, &changes(), 0, &NoStore, &Silent).unwrap().publish().unwrap();
    outputs.record(&BTreeMap::from([(name, emitted.blobs[0].digest)])).unwrap();
    let said = run(folder.path(), "C", "sha256sum", &["-c", "SHA256SUMS"]);
    assert_eq!(String::from_utf8(said).unwrap(), "d/amd64/x.tar.gz: OK\n");
}
