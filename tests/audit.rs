//! Mutation testing of the audit: layers altered in every way, each named at its entry and field.
//! The verb itself: tests/scenarios/audit.rs.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    path::PathBuf,
    sync::Arc,
};

use debstrata::{
    evidence::audit::{
        Alongside, Field, Report, compare,
        given::{Ceiling, Compression, Given},
        images::{Against, Called, GivenImage, discover},
        parity, recompressed,
    },
    ground::{DiffId, RootPath, Sha256, Silent},
    layer::{Form, NoStore, Sink, Tar, emit},
    rootfs::{Attributes, Content, Entry, LinkGroup, Node, Origin, PackageName, Rootfs},
};

type Changes = Vec<(RootPath, Entry)>;

fn path(text: &str) -> RootPath {
    RootPath::from_absolute(text.as_bytes()).unwrap()
}

fn entry(node: Node, mode: u16) -> Entry {
    let hello = PackageName { name: "hello".into(), version: "1.0-1".into(), architecture: "amd64".into() };
    Entry { node, attributes: Attributes::new(mode, 0, 0), origin: Origin::Package(Arc::new(hello)) }
}

fn file(bytes: impl Into<Arc<[u8]>>) -> Entry {
    entry(Node::File { content: Content::from_bytes(bytes), group: None }, 0o644)
}

fn link(target: &str) -> Entry {
    entry(Node::Symlink(target.as_bytes().into()), 0o777)
}

fn tree(entries: impl IntoIterator<Item = (RootPath, Entry)>) -> Changes {
    let mut all: BTreeMap<RootPath, Entry> = entries.into_iter().collect();
    for path in all.keys().cloned().collect::<Vec<_>>() {
        for folder in path.ancestors() {
            all.entry(folder).or_insert_with(|| entry(Node::Directory, 0o755));
        }
    }
    all.into_iter().collect()
}

fn deep() -> String {
    format!("/usr/share/{}/deep", "long".repeat(30))
}

fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(1..)).take(size).collect()
}

/// All that the dialect has, small.
fn sampler() -> Changes {
    let linked = |group| entry(Node::File { content: Content::from_bytes(*b"linked\n"), group }, 0o4755);
    let group = Some(LinkGroup(Sha256::of(b"group")));
    let mut capable = file(*b"#!/bin/true\n");
    capable.attributes.xattrs.insert((*b"security.capability").into(), [1, 0, 0, 2, 0, 4, 0, 0].as_slice().into());
    let mut home = entry(Node::Directory, 0o700);
    (home.attributes.uid, home.attributes.gid) = (65532, 65532);
    tree([
        (path("/etc/hostname"), file(*b"debian\n")),
        (path("/etc/passwd"), file(*b"root:x:0:0:root:/root:/bin/sh\nbin:x:2:2:bin:/bin:/bin/false\n")),
        (path("/home/nonroot"), home),
        (path("/tmp"), entry(Node::Directory, 0o1777)),
        (path("/usr/bin/a"), linked(group)),
        (path("/usr/bin/b"), linked(group)),
        (path("/usr/bin/capable"), capable),
        (path("/usr/lib/big"), file(noise(1, 70_000))),
        (path("/usr/lib/full"), file(noise(2, 512))),
        (path("/usr/lib/none"), file(*b"")),
        (path("/usr/lib/over"), file(noise(3, 1300))),
        (path(&deep()), file(*b"deep\n")),
        (path("/usr/share/far"), link(&"/far".repeat(30))),
        (path("/usr/share/link"), link("../bin/a")),
    ])
}

const MTIME: u64 = 1_000_000_000;

fn emitted(changes: &Changes, form: Form) -> Vec<u8> {
    let mut out = Vec::new();
    emit(changes, MTIME, &mut [Sink { form, path: PathBuf::new(), out: &mut out }], &NoStore, &Silent).unwrap();
    out
}

fn report(changes: &Changes, given: &[u8]) -> Report {
    let tar = Tar::new(changes, MTIME).unwrap();
    compare(&tar, &|origin| origin.to_string(), Ceiling::new(given, 1 << 24)).unwrap()
}

/// An entry of the tar: where its records begin, its header, its end, and its path.
#[derive(Clone, Debug)]
struct Part {
    start: usize,
    head: usize,
    end: usize,
    path: String,
}

/// The entries, from what is known of the composed ones.
fn parts(changes: &Changes) -> Vec<Part> {
    let tar = Tar::new(changes, MTIME).unwrap();
    let mut at = 0;
    let mut head = Vec::new();
    (0..tar.entries())
        .map(|index| {
            tar.head(index, &mut head).unwrap();
            let size = tar.size(index, head.len()) as usize;
            let part =
                Part { start: at, head: at + head.len() - 512, end: at + size, path: tar.path(index).to_string() };
            at += size;
            part
        })
        .collect()
}

struct Sample {
    changes: Changes,
    tar: Vec<u8>,
    parts: Vec<Part>,
}

impl Sample {
    fn new() -> Self {
        let changes = sampler();
        Self { tar: emitted(&changes, Form::Tar), parts: parts(&changes), changes }
    }

    fn part(&self, path: &str) -> &Part {
        self.parts.iter().find(|part| part.path == path).unwrap()
    }

    /// The tar with a field of an entry's header replaced and the checksum made right.
    fn field(&self, path: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut tar = self.tar.clone();
        let head = self.part(path).head;
        tar[head + at..head + at + bytes.len()].copy_from_slice(bytes);
        seal(&mut tar[head..head + 512]);
        tar
    }

    fn bytes(&self, path: &str) -> &[u8] {
        let part = self.part(path);
        &self.tar[part.start..part.end]
    }

    /// The entries in this order, then the end.
    fn of<'a>(&'a self, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut tar = parts.into_iter().collect::<Vec<_>>().concat();
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    fn all(&self) -> Vec<&[u8]> {
        self.parts.iter().map(|part| &self.tar[part.start..part.end]).collect()
    }

    fn at(&self, path: &str) -> usize {
        self.parts.iter().position(|part| part.path == path).unwrap()
    }
}

fn seal(block: &mut [u8]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A header and its data, padded.
fn record(kind: u8, name: &str, mode: u16, data: &[u8], link: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{:011o}", data.len()).as_bytes());
    put(136, format!("{MTIME:011o}").as_bytes());
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    seal(&mut block);
    block.extend_from_slice(data);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn found(report: &Report) -> Vec<(String, &'static str, String)> {
    let one = |finding: &debstrata::evidence::audit::Finding| {
        (finding.entry.clone().unwrap_or_default(), finding.field.word(), finding.detail.clone())
    };
    report.findings.iter().map(one).collect()
}

#[test]
fn what_is_equal_is_equal() {
    let sample = Sample::new();
    let report = report(&sample.changes, &sample.tar);
    assert_eq!(found(&report), []);
    assert_eq!(report.diff_id, Some(DiffId(Sha256::of(&sample.tar))));
    let empty = tree([(path("/a"), file(*b""))]);
    assert_eq!(self::report(&empty, &emitted(&empty, Form::Tar)).count, 0);
}

/// Each way of altering a layer with all that must be said of it: entry, field and detail of every
/// difference, in order.
#[test]
fn every_way_of_altering_a_layer_is_named() {
    let sample = Sample::new();
    let s = &sample;
    let p = "/etc/passwd";
    let deep = deep();
    let cut = |tar: &[u8], from: usize, to: usize| [&tar[..from], &tar[to..]].concat();
    let insert = |at: usize, bytes: &[u8]| [&s.tar[..at], bytes, &s.tar[at..]].concat();
    let flip = |at: usize, bit: u8| {
        let mut tar = s.tar.clone();
        tar[at] ^= bit;
        tar
    };
    let end = s.tar.len();
    let body = |path: &str| s.part(path).head + 512;
    let mut swapped = s.all();
    swapped.swap(s.at("/etc/hostname"), s.at(p));
    let mut reversed = s.all();
    let first = reversed.remove(s.at("/tmp"));
    reversed.insert(1, first);
    let mut doubled = s.all();
    doubled.push(s.bytes(p));
    let without = |path: &str| s.of(s.all().into_iter().filter(|bytes| *bytes != s.bytes(path)));
    let with = |after: &str, bytes: &[u8]| insert(s.part(after).end, bytes);
    let replaced = |path: &str, bytes: &[u8]| {
        let part = s.part(path);
        [&s.tar[..part.start], bytes, &s.tar[part.end..]].concat()
    };
    let renamed = s.field(p, 0, b"etc/passwx");
    let all_times = {
        let mut tar = s.tar.clone();
        for part in &s.parts {
            tar[part.head + 136..part.head + 147].copy_from_slice(b"00000000000");
            seal(&mut tar[part.head..part.head + 512]);
        }
        tar
    };
    let longer = record(b'0', "etc/passwd", 0o644, &noise(9, 1000), "");
    let shorter = record(b'0', "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n", "");
    let pax = |body: &str| {
        [
            record(b'x', "PaxHeaders/x", 0o644, format!("{} {body}\n", body.len() + 4).as_bytes(), ""),
            s.bytes(p).to_vec(),
        ]
        .concat()
    };
    let prefixed = {
        let (folder, name) = deep[1..].rsplit_once('/').unwrap();
        let mut block = record(b'0', name, 0o644, b"deep\n", "");
        block[345..345 + folder.len()].copy_from_slice(folder.as_bytes());
        seal(&mut block[..512]);
        block
    };
    let pax_path = {
        let body = format!("path={}\n", &deep[1..]);
        let mut bytes = record(b'x', "x", 0o644, format!("{} {body}", body.len() + 4).as_bytes(), "");
        bytes.extend(record(b'0', "short", 0o644, b"deep\n", ""));
        bytes
    };
    type Told<'a> = Vec<(&'a str, &'a str, &'a str)>;
    let cases: Vec<(&str, Vec<u8>, Told)> = vec![
        ("name", renamed, vec![(p, "name", "name")]),
        ("name with a prefix", s.field(p, 0, b"./etc/passwd"), vec![(p, "name", "name")]),
        ("name of a folder without its slash", s.field("/tmp", 0, b"tmp\0"), vec![("/tmp", "name", "name")]),
        ("bytes after the name", s.field(p, 50, b"hidden"), vec![(p, "name", "name")]),
        ("mode", s.field(p, 100, b"0000666\0"), vec![(p, "mode", "mode")]),
        ("mode in other digits", s.field(p, 100, b"000644 \0"), vec![(p, "mode", "mode")]),
        ("mode that is no number", s.field(p, 100, b"00006x4\0"), vec![(p, "mode", "mode")]),
        ("uid", s.field(p, 108, b"0001750\0"), vec![(p, "uid", "uid")]),
        ("uid in base 256", s.field(p, 108, b"\x80\0\0\0\0\0\0\0"), vec![(p, "uid", "uid")]),
        ("gid", s.field(p, 116, b"0000052\0"), vec![(p, "gid", "gid")]),
        ("size, larger within the block", s.field(p, 124, b"00000000100\0"), vec![(p, "size", "size")]),
        ("size, larger by blocks", s.field(p, 124, b"00000010000\0"), vec![(p, "size", "size")]),
        (
            "size, smaller by blocks",
            s.field("/usr/lib/over", 124, b"00000000010\0"),
            vec![("/usr/lib/over", "size", "size")],
        ),
        ("size, smaller within the block", s.field(p, 124, b"00000000010\0"), vec![(p, "size", "size")]),
        ("size, none", s.field("/usr/lib/big", 124, b"00000000000\0"), vec![("/usr/lib/big", "size", "size")]),
        ("size that is no number", s.field(p, 124, b"zzzzzzzzzzz\0"), vec![(p, "size", "size")]),
        ("size of a folder", s.field("/tmp", 124, b"00000001000\0"), vec![("/tmp", "size", "size")]),
        (
            "size of the whole world",
            s.field("/usr/lib/none", 124, b"77777777777\0"),
            vec![("/usr/lib/none", "size", "size")],
        ),
        ("mtime", s.field(p, 136, b"00000000001\0"), vec![(p, "mtime", "mtime")]),
        ("checksum", flip(s.part(p).head + 149, 1), vec![(p, "framing", "checksum")]),
        (
            "checksum, written otherwise",
            {
                let mut tar = s.tar.clone();
                tar[s.part(p).head + 155] = 0;
                tar
            },
            vec![(p, "framing", "checksum, written otherwise")],
        ),
        ("type: file to folder", s.field(p, 156, b"5"), vec![(p, "type", "type")]),
        ("type: file of old", s.field(p, 156, b"\0"), vec![(p, "type", "type")]),
        ("type: file to device", s.field(p, 156, b"3"), vec![(p, "type", "type")]),
        ("type: file to long name", s.field(p, 156, b"L"), vec![(p, "type", "type")]),
        ("type: file to pax record", s.field(p, 156, b"x"), vec![(p, "type", "type")]),
        ("type: file to what nobody knows", s.field(p, 156, b"Q"), vec![(p, "type", "type")]),
        ("type: folder to file", s.field("/tmp", 156, b"0"), vec![("/tmp", "type", "type")]),
        (
            "type: symbolic link to hard link",
            s.field("/usr/share/link", 156, b"1"),
            vec![("/usr/share/link", "type", "type")],
        ),
        (
            "target of a symbolic link",
            s.field("/usr/share/link", 157, b"../bin/b"),
            vec![("/usr/share/link", "link", "target")],
        ),
        ("target of a hard link", s.field("/usr/bin/b", 157, b"usr/bin/c"), vec![("/usr/bin/b", "link", "target")]),
        ("a target where none belongs", s.field(p, 157, b"x"), vec![(p, "link", "target")]),
        ("bytes after a target", s.field("/usr/share/link", 200, b"x"), vec![("/usr/share/link", "link", "link name")]),
        ("magic", s.field(p, 257, b"ustar "), vec![(p, "framing", "magic")]),
        ("version", s.field(p, 263, b" \0"), vec![(p, "framing", "version")]),
        ("uname", s.field(p, 265, b"root"), vec![(p, "uid", "uname")]),
        ("gname", s.field(p, 297, b"root"), vec![(p, "gid", "gname")]),
        ("devmajor", s.field(p, 329, b"0000001"), vec![(p, "type", "devmajor")]),
        ("devminor", s.field(p, 337, b"\0\0\0\0\0\0\0"), vec![(p, "type", "devminor")]),
        ("prefix", s.field(p, 345, b"x"), vec![("/etc/passwd", "name", "name")]),
        ("header padding", s.field(p, 511, b"x"), vec![(p, "framing", "header padding")]),
        ("one bit of the content", flip(body(p) + 5, 4), vec![(p, "content", "content")]),
        ("one bit far inside", flip(body("/usr/lib/big") + 66_000, 1), vec![("/usr/lib/big", "content", "content")]),
        ("the last byte", flip(body("/usr/lib/full") + 511, 128), vec![("/usr/lib/full", "content", "content")]),
        ("padding after the content", flip(s.part(p).end - 1, 1), vec![(p, "framing", "padding")]),
        ("another longer content", replaced(p, &longer), vec![(p, "size", "size"), (p, "content", "content")]),
        ("a line less", replaced(p, &shorter), vec![(p, "size", "size")]),
        ("two entries swapped", s.of(swapped), vec![(p, "order", "order")]),
        ("one entry moved far", s.of(reversed), vec![("/tmp", "order", "order")]),
        ("twice", s.of(doubled), vec![(p, "extra", "entry")]),
        ("removed", without(p), vec![(p, "missing", "entry")]),
        ("the first removed", without("/"), vec![("/", "missing", "entry")]),
        ("the last removed", without("/usr/share/link"), vec![("/usr/share/link", "missing", "entry")]),
        ("one more", with(p, &record(b'0', "etc/shadow", 0o600, b"x", "")), vec![("/etc/shadow", "extra", "entry")]),
        (
            "a copy under a new name",
            with(p, &{
                let mut copy = s.bytes("/home/nonroot").to_vec();
                copy[..13].copy_from_slice(b"home/nonrooz/");
                seal(&mut copy[..512]);
                copy
            }),
            vec![("/home/nonrooz", "extra", "entry")],
        ),
        (
            "a whiteout",
            with(p, &record(b'0', "etc/.wh.shadow", 0o644, b"", "")),
            vec![("/etc/.wh.shadow", "extra", "entry")],
        ),
        (
            "appended before the end",
            with("/usr/share/link", &record(b'5', "zzz/", 0o755, b"", "")),
            vec![("/zzz", "extra", "entry")],
        ),
        (
            "appended after the end",
            [&s.tar[..], &record(b'0', "zzz", 0o755, b"", ""), &[0; 1024]].concat(),
            vec![("/zzz", "extra", "entry"), ("", "framing", "zeros between entries")],
        ),
        (
            "an escape from the tree",
            with(p, &record(b'0', "../../evil\x1b[2J", 0o644, b"", "")),
            vec![("../../evil\\u{1b}[2J", "extra", "entry")],
        ),
        (
            "padded to a record",
            [&s.tar[..], &vec![0; 10_240 - end % 10_240]].concat(),
            vec![("", "framing", "end of archive")],
        ),
        ("one block of the end less", s.tar[..end - 512].to_vec(), vec![("", "framing", "end of archive")]),
        ("no end", s.tar[..end - 1024].to_vec(), vec![(&*deep, "framing", "end of archive")]),
        ("a byte in the first block of the end", flip(end - 1000, 1), vec![("", "framing", "trailing data")]),
        ("a byte in the last block of the end", flip(end - 1, 1), vec![("", "framing", "trailing data")]),
        ("garbage after the end", [&s.tar[..], b"garbage"].concat(), vec![("", "framing", "trailing data")]),
        (
            "blocks of garbage after the end",
            [&s.tar[..], &noise(7, 5000)].concat(),
            vec![("", "framing", "trailing data")],
        ),
        ("garbage between entries", insert(s.part(p).end, &noise(7, 1024)), vec![(p, "framing", "no header")]),
        ("zeros between entries", insert(s.part(p).end, &[0; 512]), vec![("", "framing", "zeros between entries")]),
        (
            "a pax record with a comment",
            replaced(p, &pax("comment=hello")),
            vec![(p, "framing", "pax record comment"), (p, "framing", "records")],
        ),
        (
            "a pax record with a time",
            replaced(p, &pax("mtime=1000000000.25")),
            vec![(p, "mtime", "parts of a second"), (p, "framing", "records")],
        ),
        (
            "a capability gained",
            replaced(p, &pax("SCHILY.xattr.user.x=y")),
            vec![(p, "mode", "extended attribute user.x"), (p, "framing", "records")],
        ),
        (
            "a capability lost",
            cut(&s.tar, s.part("/usr/bin/capable").start, s.part("/usr/bin/capable").head),
            vec![
                ("/usr/bin/capable", "mode", "extended attribute security.capability"),
                ("/usr/bin/capable", "framing", "records"),
            ],
        ),
        (
            "a capability altered",
            {
                let at = s.tar.windows(10).position(|bytes| bytes == b"capability").unwrap() + 11;
                flip(at, 2)
            },
            vec![("/usr/bin/capable", "mode", "extended attribute security.capability")],
        ),
        (
            "a long name in pax's way",
            replaced(&deep, &pax_path),
            vec![(&deep, "name", "name"), (&deep, "framing", "records")],
        ),
        (
            "a long name in ustar's way",
            replaced(&deep, &prefixed),
            vec![(&deep, "name", "name"), (&deep, "name", "prefix"), (&deep, "framing", "records")],
        ),
        ("a long name altered", flip(s.part(&deep).start + 512 + 120, 1), vec![(&deep, "name", "name")]),
        (
            "the mode of a record",
            {
                let mut tar = s.tar.clone();
                let start = s.part(&deep).start;
                tar[start + 105] = b'7';
                seal(&mut tar[start..start + 512]);
                tar
            },
            vec![(&deep, "framing", "record L (long name): mode")],
        ),
        (
            "the padding of a record",
            flip(s.part(&deep).head - 1, 1),
            vec![(&deep, "framing", "record L (long name): padding")],
        ),
        (
            "the checksum of a record",
            flip(s.part(&deep).start + 150, 1),
            vec![(&deep, "framing", "record L (long name): checksum")],
        ),
        (
            "a long target altered",
            flip(s.part("/usr/share/far").start + 512 + 110, 1),
            vec![("/usr/share/far", "link", "target")],
        ),
        (
            "cut inside a content",
            s.tar[..body("/usr/lib/big") + 3000].to_vec(),
            vec![("/usr/lib/big", "framing", "end of archive")],
        ),
        ("cut between entries", s.tar[..s.part(p).end].to_vec(), vec![(p, "framing", "end of archive")]),
        ("nothing at all", Vec::new(), vec![("", "framing", "end of archive")]),
    ];
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut wrong = Vec::new();
    for (name, given, told) in &cases {
        assert_ne!(*given, s.tar, "{name}");
        let report = report(&s.changes, given);
        let found = found(&report);
        let told: Vec<_> =
            told.iter().map(|(entry, field, detail)| ((*entry).to_owned(), *field, (*detail).to_owned())).collect();
        if found != told {
            wrong.push(format!("{name}:\n  told  {told:?}\n  found {found:?}"));
        }
        for finding in &report.findings {
            assert!(!finding.cause.is_empty(), "{name}: {finding:?}");
            let shown = serde_json::to_string(finding).unwrap();
            assert!(!shown.contains('\u{1b}'), "{name}: {shown}");
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let times = report(&s.changes, &all_times);
    assert_eq!(times.count, s.parts.len() as u64);
    assert!(times.summary.unwrap().starts_with("timestamps only"), "{:?}", times.findings);
}

#[test]
fn a_difference_says_offset_bytes_origin_and_cause() {
    let s = Sample::new();
    let mut tar = s.tar.clone();
    let at = s.part("/etc/passwd").head + 512 + 30;
    assert_eq!(tar[at], b'b');
    tar[at] = b'B';
    let report = report(&s.changes, &tar);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.offset, finding.tar_offset), (Some(30), Some(at as u64)));
    assert_eq!(finding.bytes, Some([b'b', b'B']));
    assert_eq!(finding.origin.as_deref(), Some("the package hello 1.0-1 (amd64)"));
    assert_eq!(finding.cause, "hello differs: edited after the build, or of another version than 1.0-1");
    assert_eq!(
        finding.diff.as_deref(),
        Some(
            "@@ -1,2 +1,2 @@\n root:x:0:0:root:/root:/bin/sh\n-bin:x:2:2:bin:/bin:/bin/false\n+Bin:x:2:2:bin:/bin:/bin/false"
        )
    );
    let report = self::report(&s.changes, &s.field("/usr/share/link", 157, b"../bin/b"));
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((&*finding.expected, &*finding.found), ("../bin/a", "../bin/b"));
    assert_eq!(finding.offset, Some((s.part("/usr/share/link").head + 157 + 7) as u64));
}

/// Any byte, any way: nothing panics, nothing is called equal, and the entry that was touched is named.
#[test]
fn random_mutants_are_named_at_their_entry() {
    let s = Sample::new();
    let seed = 20_260_101;
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..2_000 {
        let mut tar = s.tar.clone();
        let part = &s.parts[random.usize(..s.parts.len())];
        let in_header = random.bool();
        let at = if in_header { part.head + random.usize(..512) } else { random.usize(part.start..part.end) };
        let before = tar[at];
        while tar[at] == before {
            tar[at] = random.u8(..);
        }
        let sealed =
            random.bool() && (part.head..part.head + 512).contains(&at) && !(148..156).contains(&(at - part.head));
        if sealed {
            seal(&mut tar[part.head..part.head + 512]);
        }
        let context = || {
            format!(
                "seed {seed}, mutant {number}: byte {at} of {} ({} + {}): {before:#04x} to {:#04x}, sealed {sealed}",
                part.path,
                part.head,
                at as i64 - part.head as i64,
                tar[at]
            )
        };
        let report = report(&s.changes, &tar);
        assert!(report.count > 0 && !report.findings.is_empty(), "{}", context());
        let own: BTreeSet<Field> = report
            .findings
            .iter()
            .filter(|finding| finding.entry.as_deref() == Some(&*part.path))
            .map(|finding| finding.field)
            .collect();
        assert!(!own.is_empty(), "{}: {:?}", context(), found(&report));
        let inside = at.wrapping_sub(part.head);
        let field = match inside {
            0..100 | 345..500 => Field::Name,
            100..108 => Field::Mode,
            108..116 | 265..297 => Field::Uid,
            116..124 | 297..329 => Field::Gid,
            124..136 => Field::Size,
            136..148 => Field::Mtime,
            148..156 | 257..265 | 500..512 => Field::Framing,
            156 | 329..345 => Field::Type,
            157..257 => Field::Link,
            _ if at >= part.head + 512 => {
                let told = [Field::Content, Field::Framing].iter().any(|field| own.contains(field));
                assert!(told, "{}: {:?}", context(), found(&report));
                continue;
            }
            // Records in front: their bytes, or what they say.
            _ => {
                let told = [Field::Name, Field::Link, Field::Mode, Field::Framing];
                assert!(told.iter().any(|field| own.contains(field)), "{}: {:?}", context(), found(&report));
                continue;
            }
        };
        // A size that is damaged may tell by what follows; a name by what is missing under it.
        let also: &[Field] = match field {
            Field::Name => &[Field::Missing],
            _ => &[],
        };
        assert!(
            own.contains(&field) || also.iter().any(|also| own.contains(also)),
            "{}: {field:?} not in {:?}",
            context(),
            found(&report)
        );
    }
}

/// Blocks taken away, doubled, swapped, overwritten: nothing panics, nothing is called equal.
#[test]
fn rough_mutants_are_never_equal() {
    let s = Sample::new();
    let seed = 7;
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..500 {
        let mut tar = s.tar.clone();
        for _ in 0..random.usize(1..4) {
            let block = |random: &mut fastrand::Rng, tar: &[u8]| random.usize(..tar.len() / 512) * 512;
            let (one, other) = (block(&mut random, &tar), block(&mut random, &tar));
            match random.u8(..5) {
                0 => drop(tar.drain(one..one + 512)),
                1 => {
                    let copy = tar[one..one + 512].to_vec();
                    tar.splice(other..other, copy);
                }
                2 => tar[one..one + 512].copy_from_slice(&noise(number, 512)),
                3 => tar.truncate(random.usize(512..tar.len())),
                _ => {
                    let copy = tar[one..one + 512].to_vec();
                    tar.copy_within(other..other + 512, one);
                    tar[other..other + 512].copy_from_slice(&copy);
                }
            }
            if tar.len() < 2048 {
                break;
            }
        }
        if tar != s.tar {
            assert!(report(&s.changes, &tar).count > 0, "seed {seed}, mutant {number}");
        }
    }
}

fn given(bytes: Vec<u8>) -> Given {
    let (size, bytes) = (bytes.len() as u64, Arc::new(bytes));
    let open = move || {
        let bytes = bytes.as_ref().clone();
        Ok(Box::new(std::io::Cursor::new(bytes)) as Box<dyn std::io::BufRead + Send>)
    };
    Given { name: "given".to_owned(), media_type: None, size, claimed: None, open: Arc::new(open) }
}

/// What is said of a compressed layer: `None` for equal bytes.
fn packed(changes: &Changes, bytes: Vec<u8>) -> Option<(String, String)> {
    let given = given(bytes);
    let compression = given.compression().unwrap();
    let mut out = Alongside::new((given.open)().unwrap());
    let form = compression.form();
    let mut sinks: Vec<Sink> =
        form.map(|form| Sink { form, path: PathBuf::new(), out: &mut out }).into_iter().collect();
    let emitted = emit(changes, MTIME, &mut sinks, &NoStore, &Silent).unwrap();
    drop(sinks);
    let parted = out.finish();
    if parted.is_none() && form.is_some() {
        return None;
    }
    let tar = Tar::new(changes, MTIME).unwrap();
    let report = compare(&tar, &|origin| origin.to_string(), given.tar().unwrap()).unwrap();
    if report.diff_id == Some(emitted.diff_id) {
        let finding = recompressed(&given, compression, emitted.members, parted.filter(|_| form.is_some())).unwrap();
        assert_eq!(finding.field, Field::Compression);
        return Some((finding.detail, finding.cause));
    }
    let finding = report.findings.first().unwrap_or_else(|| panic!("{report:?}"));
    Some((format!("{} {}", finding.field.word(), finding.detail), finding.cause.clone()))
}

#[test]
fn another_compression_is_told_from_another_layer() {
    let s = Sample::new();
    let gz = emitted(&s.changes, Form::TarGz);
    let gzip = |level: u32, build: flate2::GzBuilder| {
        let mut out = build.write(Vec::new(), flate2::Compression::new(level));
        out.write_all(&s.tar).unwrap();
        out.finish().unwrap()
    };
    let new = || flate2::GzBuilder::new().operating_system(255);
    let with = |at: usize, byte: u8| {
        let mut gz = gz.clone();
        gz[at] = byte;
        gz
    };
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&s.tar).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&s.tar).unwrap();
    let zst = emitted(&s.changes, Form::TarZst);
    let cases: Vec<(&str, Vec<u8>, Option<&str>)> = vec![
        ("tar", s.tar.clone(), None),
        ("gzip", gz.clone(), None),
        ("zstd", zst.clone(), None),
        ("mtime", with(4, 1), Some("gzip header: mtime")),
        ("XFL", with(8, 2), Some("gzip header: XFL")),
        ("OS", with(9, 3), Some("gzip header: OS")),
        ("name", gzip(6, new().filename("layer.tar")), Some("gzip header: flags")),
        ("comment", gzip(6, new().comment("x")), Some("gzip header: flags")),
        ("fastest", gzip(1, new()), Some("gzip header: XFL")),
        ("another level", gzip(7, new()), Some("gzip stream")),
        ("zstd level", zstd::encode_all(&s.tar[..], 19).unwrap(), Some("frame")),
        ("xz", xz.finish().unwrap(), Some("form")),
        ("bzip2", bzip2.finish().unwrap(), Some("form")),
        (
            "an empty member more",
            [&gz[..], &{
                let mut empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                empty.flush().unwrap();
                empty.finish().unwrap()
            }]
            .concat(),
            Some("gzip stream"),
        ),
        ("cut off", gz[..gz.len() / 2].to_vec(), Some("framing damaged")),
        ("without the trailer's last byte", gz[..gz.len() - 1].to_vec(), Some("framing")),
        ("a wrong CRC-32", with(gz.len() - 8, gz[gz.len() - 8] ^ 1), Some("framing")),
        ("garbage after the last member", [&gz[..], b"garbage"].concat(), Some("framing after the end")),
        ("cut zstd", zst[..zst.len() / 2].to_vec(), Some("framing damaged")),
        ("garbage after zstd", [&zst[..], b"garbage"].concat(), Some("framing after the end")),
    ];
    for (name, bytes, told) in cases {
        let found = packed(&s.changes, bytes);
        match (told, &found) {
            (None, None) => {}
            (Some(told), Some((detail, cause))) => {
                assert!(detail.starts_with(told), "{name}: {detail}");
                assert!(!cause.is_empty(), "{name}");
            }
            _ => panic!("{name}: {told:?}, {found:?}"),
        }
    }
    let named = packed(&s.changes, gzip(6, new().filename("la\u{1b}yer.tar"))).unwrap().1;
    assert!(named.contains("names the file la\\u{1b}yer.tar"), "{named}");
    assert_eq!(Compression::of(b""), Compression::None);
}

#[test]
fn damaged_compressed_layers_are_never_equal() {
    let s = Sample::new();
    let mut random = fastrand::Rng::with_seed(11);
    for form in [Form::TarGz, Form::TarZst] {
        let good = emitted(&s.changes, form);
        for number in 0..150 {
            let mut bytes = good.clone();
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
            assert!(packed(&s.changes, bytes).is_some(), "{form:?}, mutant {number}, byte {at}");
        }
    }
}

#[test]
fn bombs_end() {
    // Entries without end, then zeros without end.
    let s = Sample::new();
    let mut many = Vec::new();
    let mut one = record(b'0', "x", 0o644, b"", "");
    for number in 0..30_000u32 {
        one[..8].copy_from_slice(format!("{number:08}").as_bytes());
        seal(&mut one);
        many.extend_from_slice(&one);
    }
    let report = self::report(&s.changes, &many);
    assert!(report.count > 30_000 && report.findings.len() < 25_000);
    let tar = Tar::new(&s.changes, MTIME).unwrap();
    let zeros = std::io::repeat(0);
    let report = compare(&tar, &|origin| origin.to_string(), Ceiling::new(zeros, 8 << 20)).unwrap();
    assert_eq!(report.diff_id, None);
    assert!(report.findings.iter().any(|finding| finding.found.contains("is read no further")), "{report:?}");
}

/// An ELF file of 64 bits with these sections.
fn elf(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut names = vec![0];
    let mut table = vec![0; 64];
    let mut body = vec![0; 64];
    let all: Vec<(&str, Vec<u8>)> = sections.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect();
    let header = |name: u32, kind: u32, offset: u64, size: u64| {
        let mut header = [name.to_le_bytes(), kind.to_le_bytes()].concat();
        [0, 0, offset, size, 0, 0, 0].iter().for_each(|value: &u64| header.extend(value.to_le_bytes()));
        header
    };
    for (name, bytes) in &all {
        table.extend(header(names.len() as u32, 1, body.len() as u64, bytes.len() as u64));
        names.extend([name.as_bytes(), b"\0"].concat());
        body.extend(bytes);
    }
    table.extend(header(0, 3, body.len() as u64, names.len() as u64));
    body.extend(&names);
    let at = body.len() as u64;
    body.extend(&table);
    body[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0");
    body[40..48].copy_from_slice(&at.to_le_bytes());
    let counts = [64u16, 0, 0, 64, all.len() as u16 + 2, all.len() as u16 + 1];
    counts.iter().enumerate().for_each(|(place, count)| {
        body[52 + 2 * place..54 + 2 * place].copy_from_slice(&count.to_le_bytes());
    });
    body
}

#[test]
fn elf_files_name_their_section() {
    let own = elf(&[(".note.gnu.build-id", b"one"), (".text", b"code code"), (".rodata", b"data")]);
    let changes = tree([(path("/usr/lib/libx.so.1"), file(own))]);
    type Sections<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(Sections, &str, &str); 3] = [
        (
            &[(".note.gnu.build-id", b"one"), (".text", b"code kode"), (".rodata", b"data")],
            "section .text + 0x5",
            "the build id is the same, so the file was edited after it was built; hello differs",
        ),
        (
            &[(".note.gnu.build-id", b"two"), (".text", b"other cod"), (".rodata", b"data")],
            "section .note.gnu.build-id + 0x0; sections that differ: .note.gnu.build-id .text",
            "another build: the build id differs",
        ),
        (
            &[(".note.gnu.build-id", b"one"), (".text", b"code and more"), (".rodata", b"data")],
            "the ELF header; sections that differ: .text",
            "the build id is the same",
        ),
    ];
    for (sections, place, cause) in cases {
        let given = emitted(&tree([(path("/usr/lib/libx.so.1"), file(elf(sections)))]), Form::Tar);
        let report = report(&changes, &given);
        let finding = report.findings.iter().find(|finding| finding.field == Field::Content).unwrap();
        assert_eq!(finding.detail, place);
        assert!(finding.cause.starts_with(cause), "{}", finding.cause);
    }
}

fn docker_archive(layers: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let config = br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let names: Vec<&str> = layers.iter().map(|(name, _)| *name).collect();
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": ["localhost/test:cc"], "Layers": names}]).to_string();
    let mut tar: Vec<u8> = layers.iter().flat_map(|(name, bytes)| record(b'0', name, 0o644, bytes, "")).collect();
    tar.extend(record(b'0', "config.json", 0o644, config, ""));
    tar.extend(record(b'0', "manifest.json", 0o644, manifest.as_bytes(), ""));
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn images(folder: &std::path::Path, name: &str, bytes: &[u8]) -> Vec<GivenImage> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    match discover(&path).unwrap() {
        Against::Images(images) => images,
        other => panic!("{other:?}"),
    }
}

#[test]
fn docker_archives_plain_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let s = Sample::new();
    let archive =
        docker_archive(&[("one/layer.tar", s.tar.clone()), ("two/layer.tar", emitted(&s.changes, Form::TarGz))]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&archive).unwrap();
    for (name, bytes) in [("plain.tar", archive.clone()), ("packed.tar.gz", gz.finish().unwrap())] {
        let images = images(folder.path(), name, &bytes);
        let [image] = &images[..] else { panic!("{images:?}") };
        assert_eq!(image.tags, ["localhost/test:cc"]);
        assert_eq!(image.platform.as_ref().unwrap().architecture, "amd64");
        for layer in &image.layers {
            let mut tar = Vec::new();
            layer.tar().unwrap().read_to_end(&mut tar).unwrap();
            assert!(tar == s.tar, "{}", layer.name);
        }
    }
    // A layer is a layer, whatever files it has.
    std::fs::write(folder.path().join("layer"), &s.tar).unwrap();
    assert!(matches!(discover(&folder.path().join("layer")).unwrap(), Against::Layer(_)));
    let mut lacking = docker_archive(&[("one/layer.tar", s.tar.clone())]);
    lacking[..3].copy_from_slice(b"two");
    seal(&mut lacking[..512]);
    std::fs::write(folder.path().join("lacking"), lacking).unwrap();
    assert!(discover(&folder.path().join("lacking")).unwrap_err().to_string().contains("lacks one/layer.tar"));
    assert!(discover(&folder.path().join("nowhere")).is_err());
}

#[test]
fn members_that_several_readers_take_otherwise_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let s = Sample::new();
    let refused = |name: &str, more: Vec<u8>, why: &str| {
        let mut tar = docker_archive(&[("one/layer.tar", s.tar.clone())]);
        tar.truncate(tar.len() - 1024);
        tar.extend(more);
        tar.resize(tar.len() + 1024, 0);
        let path = folder.path().join(name);
        std::fs::write(&path, tar).unwrap();
        let error = discover(&path).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused("manifest", record(b'0', "manifest.json", 0o644, b"[]", ""), "it has manifest.json twice");
    refused("prefixed", record(b'0', "./x/../manifest.json", 0o644, b"[]", ""), "it has manifest.json twice");
    refused("config", record(b'0', "config.json", 0o644, b"{}", ""), "it has config.json twice");
    refused("layer", record(b'0', "one/layer.tar", 0o644, b"", ""), "it has one/layer.tar twice");
    refused("link", record(b'2', "one/layer.tar", 0o777, b"", "../two"), "it has one/layer.tar twice");
}

/// Many lines about one config of a compressed archive, which is read once for all of them.
#[test]
fn compressed_archives_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let line = serde_json::json!({ "Config": "config.json", "RepoTags": ["a:b"], "Layers": [] });
    let manifest = serde_json::Value::from(vec![line; 4000]).to_string();
    let mut tar = record(b'0', "big", 0o644, &vec![0; 32 << 20], "");
    tar.extend(record(b'0', "config.json", 0o644, br#"{"architecture":"amd64","os":"linux"}"#, ""));
    tar.extend(record(b'0', "manifest.json", 0o644, manifest.as_bytes(), ""));
    tar.resize(tar.len() + 1024, 0);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar).unwrap();
    assert_eq!(images(folder.path(), "many.tar.gz", &gz.finish().unwrap()).len(), 4000);
}

/// Indexes of 20,000 equal entries, three deep, come to one image.
#[test]
fn indexes_of_equal_entries_are_followed_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
    let blob = |media: &str, bytes: &[u8]| {
        let digest = Sha256::of(bytes).to_string();
        std::fs::write(folder.path().join("blobs/sha256").join(&digest), bytes).unwrap();
        serde_json::json!({ "mediaType": media, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    };
    let config = blob("application/vnd.oci.image.config.v1+json", br#"{"architecture":"amd64","os":"linux"}"#);
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [] });
    let mut entry = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    for _ in 0..3 {
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": vec![entry; 20_000] }).to_string();
        entry = blob("application/vnd.oci.image.index.v1+json", index.as_bytes());
    }
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    std::fs::write(folder.path().join("index.json"), index).unwrap();
    std::fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let Against::Images(images) = discover(folder.path()).unwrap() else { panic!("a layout") };
    assert_eq!(images.len(), 1);
}

#[test]
fn names_of_images_are_taken_by_how_well_they_fit() {
    let called = |image| Called { image, tier: "cc", docker: None };
    for (tag, image, rank) in [
        ("cc", "cc", Some(0)),
        ("cc-nonroot", "cc-nonroot", Some(0)),
        ("cc-nonroot", "cc", None),
        ("registry.example.org/debian13:cc-nonroot", "cc-nonroot", Some(1)),
        ("registry.example.org/debian13:cc-nonroot", "cc", None),
        ("localhost/debian13/cc:nonroot", "cc-nonroot", Some(2)),
        ("localhost/debian13/cc", "cc", Some(2)),
        ("localhost:5000/cc@sha256:00", "cc", Some(2)),
        ("localhost/cc:v1", "cc", Some(3)),
        ("localhost/cc:v1", "c", None),
    ] {
        assert_eq!(called(image).rank(tag), rank, "{tag} {image}");
    }
}

#[test]
fn a_foreign_image_is_compared_as_a_tree() {
    let s = Sample::new();
    let rootfs = Rootfs { entries: s.changes.iter().cloned().collect() };
    let layer = |parts: Vec<Vec<u8>>| given([parts.concat(), vec![0; 1024]].concat());
    // Names with a prefix, other times, split at another place, a file that comes and goes.
    let dotted: Vec<Vec<u8>> = s
        .parts
        .iter()
        .map(|part| {
            let mut bytes = s.tar[part.start..part.end].to_vec();
            let head = part.head - part.start;
            if head == 0 && part.path != "/" && part.path != "/usr/bin/b" {
                let name = format!(".{}", part.path);
                bytes[..100].fill(0);
                bytes[..name.len()].copy_from_slice(name.as_bytes());
            }
            bytes[head + 136..head + 147].copy_from_slice(b"00000000777");
            seal(&mut bytes[head..head + 512]);
            bytes
        })
        .collect();
    let image = |layers: Vec<Given>| GivenImage { name: "foreign".into(), layers, ..GivenImage::default() };
    let (one, two) = dotted.split_at(6);
    let first = [one, &[record(b'0', "./etc/gone", 0o644, b"x", "")]].concat();
    let second = [two, &[record(b'0', "etc/.wh.gone", 0o644, b"", "")]].concat();
    let same = image(vec![layer(first.clone()), layer(second.clone())]);
    let (report, counted) = parity(&rootfs, &|origin| origin.to_string(), &same).unwrap();
    assert_eq!(found(&report), []);
    assert_eq!((counted.same, counted.extra), (s.parts.len() as u64, 0));
    let third = vec![
        record(b'0', "etc/passwd", 0o600, b"root\n", ""),
        record(b'2', "usr/share/link", 0o777, b"", "nowhere"),
        record(b'0', "opt/x", 0o644, b"", ""),
        record(b'0', "usr/share/.wh.far", 0o644, b"", ""),
        record(b'2', "loop", 0o777, b"", "loop"),
        record(b'1', "hard", 0o777, b"", "hard"),
    ];
    let other = image(vec![layer(first), layer(second), layer(third)]);
    let (report, counted) = parity(&rootfs, &|origin| origin.to_string(), &other).unwrap();
    let told: Vec<_> = found(&report).into_iter().map(|(entry, field, _)| format!("{entry} {field}")).collect();
    assert_eq!(
        told,
        [
            "/etc/passwd mode",
            "/etc/passwd content",
            "/usr/share/far missing",
            "/usr/share/link link",
            "/hard extra",
            "/loop extra",
            "/opt/x extra"
        ]
    );
    assert_eq!((counted.differ, counted.missing, counted.extra), (2, 1, 3));
}
