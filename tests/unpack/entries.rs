//! The entries of data.tar: what is understood, and what is refused by name.

use debstrata::rootfs::Node;

use crate::{
    assert_tree,
    builder::{Head, Tar},
    tree, unpack_data,
};

#[test]
fn metadata_is_kept() {
    let data = Tar::new()
        .push(&Head { name: b"./", flag: b'5', mode: 0o755, ..Head::default() })
        .push(&Head { name: b"./tmp/", flag: b'5', mode: 0o41777, ..Head::default() })
        .push(&Head { name: b"./old/", flag: 0, mode: 0o700, ..Head::default() })
        .push(&Head { name: b"usr/su", mode: 0o104755, uid: 1000, gid: 50, body: b"x", ..Head::default() })
        .push(&Head { name: b"/usr/huge", flag: 0, uid: 4_000_000_000, gid: 2_097_152, ..Head::default() })
        .symlink("./bin", "usr/bin//../bin/")
        .symlink("./abs", "/etc/x")
        .finish();
    assert_tree(
        &unpack_data(&data).unwrap(),
        &[
            ("/", "dir 0755 0:0"),
            ("/tmp", "dir 1777 0:0"),
            ("/old", "dir 0700 0:0"),
            ("/usr/su", "file 4755 1000:50 x"),
            ("/usr/huge", "file 0644 4000000000:2097152 "),
            ("/bin", "link 0777 0:0 usr/bin//../bin/"),
            ("/abs", "link 0777 0:0 /etc/x"),
        ],
    );
}

#[test]
fn long_names_and_extended_headers() {
    let long = format!("usr/{}", "n".repeat(150));
    let target = "t/".repeat(90);
    let gnu = |flag, text: &str| {
        let body = format!("{text}\0");
        Tar::new().push(&Head { name: b"././@LongLink", flag, body: body.as_bytes(), ..Head::default() }).unfinished()
    };
    let data = Tar::new()
        .pax_with(b'g', &[("comment", b"5d41402abc4b2a76b9719d911017c592")])
        .raw(&gnu(b'L', &long))
        .raw(&gnu(b'K', &target))
        .symlink("short", "short")
        .pax(&[
            ("path", "usr/Főtanúsítvány".as_bytes()),
            ("uid", b"70000"),
            ("gid", b"7"),
            ("mtime", b"1.5"),
            ("size", b"3"),
        ])
        .push(&Head { name: b"usr/short", body: b"", ..Head::default() })
        .raw(b"abc")
        .raw(&[0; 509])
        .pax(&[("linkpath", target.as_bytes())])
        .symlink("usr/l", "x")
        .file("usr/bytes\u{e9}", b"")
        .push(&Head { name: b"usr/latin\xe9", ..Head::default() })
        .finish();
    let unpacked = unpack_data(&data).unwrap();
    assert_tree(
        &unpacked,
        &[
            (&format!("/{long}"), &format!("link 0777 0:0 {target}")),
            ("/usr/Főtanúsítvány", "file 0644 70000:7 abc"),
            ("/usr/l", &format!("link 0777 0:0 {target}")),
            ("/usr/bytes\u{e9}", "file 0644 0:0 "),
            ("/usr/latin\\xe9", "file 0644 0:0 "),
        ],
    );
}

#[test]
fn extended_attributes_are_kept_or_refused() {
    let capability: &[u8] = b"\x01\0\0\x02\n\n9 a=b\n\0";
    let xattr = ("SCHILY.xattr.security.capability", capability);
    let data = Tar::new()
        .pax(&[xattr, ("LIBARCHIVE.xattr.security.capability", b"AQAAAgoKOSBhPWIKAA")])
        .file("ping", b"x")
        .pax(&[xattr])
        .hardlink("ping6", "ping")
        .pax(&[("SCHILY.xattr.user.x", b"")])
        .dir("d")
        .finish();
    let unpacked = unpack_data(&data).unwrap();
    for item in &unpacked.entries[..2] {
        assert_eq!(item.attributes.xattrs[b"security.capability".as_slice()], capability.into(), "{}", item.path);
    }
    assert!(unpacked.entries[2].attributes.xattrs.contains_key(b"user.x".as_slice()));

    let refused = |tar: Tar, expected: &str| {
        let error = unpack_data(&tar.finish()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\nlacks {expected}");
    };
    refused(Tar::new().pax(&[xattr]).symlink("s", "x"), "s: it has extended attributes, which a symbolic link");
    refused(Tar::new().file("f", b"").pax(&[xattr]).hardlink("h", "f"), "h: it has extended attributes");
    refused(
        Tar::new().pax(&[("LIBARCHIVE.xattr.user.x", b"YQ")]).file("f", b""),
        "\"user.x\" is there in libarchive's",
    );
    refused(Tar::new().pax(&[("SCHILY.acl.access", b"u::rw-")]).file("f", b""), "\"SCHILY.acl.access\" is unknown");
    refused(Tar::new().pax(&[("RHT.security.selinux", b"x")]).file("f", b""), "\"RHT.security.selinux\" is unknown");
}

#[test]
fn hard_links_share_content_and_attributes() {
    let data = Tar::new()
        // Before its target, and a chain over one that comes later still.
        .hardlink("./a", "./c")
        .hardlink("./b", "a")
        .push(&Head { name: b"./c", mode: 0o4755, uid: 9, body: b"text", ..Head::default() })
        .hardlink("./d", "b")
        .file("alone", b"text")
        // What a link gave stays, also when the first name is replaced.
        .file("first", b"old")
        .hardlink("second", "first")
        .hardlink("third", "./second")
        .file("first", b"new")
        .finish();
    assert_tree(
        &unpack_data(&data).unwrap(),
        &[
            ("/a", "file 4755 9:0 text &0"),
            ("/b", "file 4755 9:0 text &0"),
            ("/c", "file 4755 9:0 text &0"),
            ("/d", "file 4755 9:0 text &0"),
            ("/alone", "file 0644 0:0 text"),
            ("/first", "file 0644 0:0 new"),
            ("/second", "file 0644 0:0 old &1"),
            ("/third", "file 0644 0:0 old &1"),
        ],
    );
}

#[test]
fn a_link_group_belongs_to_its_package() {
    let group = |data: &[u8]| {
        let unpacked = unpack_data(data).unwrap();
        let Node::File { group: Some(group), .. } = unpacked.entries[0].node else { panic!("no group") };
        group
    };
    let one = Tar::new().file("a", b"").hardlink("b", "a");
    assert_eq!(group(&one.clone().finish()), group(&one.clone().finish()));
    assert_ne!(group(&one.clone().finish()), group(&one.file("c", b"").finish()));
}

#[test]
fn the_last_entry_of_a_path_counts() {
    let data = Tar::new()
        .dir("./d")
        .file("./x", b"one")
        .symlink("y", "x")
        .file("./d/z", b"")
        .push(&Head { name: b"d", flag: b'5', mode: 0o700, ..Head::default() })
        .file("x", b"two")
        .file("y", b"file")
        .finish();
    let unpacked = unpack_data(&data).unwrap();
    assert_tree(
        &unpacked,
        &[
            ("/d", "dir 0700 0:0"),
            ("/d/z", "file 0644 0:0 "),
            ("/x", "file 0644 0:0 two"),
            ("/y", "file 0644 0:0 file"),
        ],
    );
    let order: Vec<_> = unpacked.entries.iter().map(|item| item.path.to_string()).collect();
    assert_eq!(order, ["/d/z", "/d", "/x", "/y"]);
}

#[test]
fn what_is_refused() {
    let head = Head::default();
    let long = format!("{}\0", "n/".repeat(5000));
    let damaged = |at: usize, byte: u8| {
        let mut data = Tar::new().file("x", b"").unfinished();
        data[at] = byte;
        data
    };
    let fixed = |at: usize, bytes: &[u8]| {
        let mut data = Tar::new().file("x", b"").unfinished();
        data[at..at + bytes.len()].copy_from_slice(bytes);
        data[148..156].fill(b' ');
        let sum: u32 = data[..512].iter().map(|byte| u32::from(*byte)).sum();
        data[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        data
    };
    let flag = |flag| Tar::new().push(&Head { name: b"dev/x", flag, ..head.clone() }).unfinished();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("has ../x: the path has a `..`", Tar::new().file("../x", b"").unfinished()),
        ("has a/../../x: the path has a `..`", Tar::new().file("a/../../x", b"").unfinished()),
        ("the path has a `..`", Tar::new().pax(&[("path", b"../x")]).file("ok", b"").unfinished()),
        ("the path has a NUL byte", Tar::new().pax(&[("path", b"a\0b")]).file("ok", b"").unfinished()),
        ("the path has a `..`", Tar::new().file("x", b"").hardlink("y", "../x").unfinished()),
        ("it has no name", Tar::new().file("", b"").unfinished()),
        ("the root of the package is not a folder", Tar::new().file("./.", b"x").unfinished()),
        ("the root of the package is not a folder", Tar::new().symlink(".", "x").unfinished()),
        ("longer than Linux allows", Tar::new().pax(&[("path", &[b'n'; 256])]).file("x", b"").unfinished()),
        (
            "too long",
            Tar::new().push(&Head { name: b"long", flag: b'L', body: long.as_bytes(), ..head.clone() }).unfinished(),
        ),
        ("has dev/x: it is a character device", flag(b'3')),
        ("has dev/x: it is a block device", flag(b'4')),
        ("has dev/x: it is a named pipe", flag(b'6')),
        ("has dev/x: its type \"7\" is unknown", flag(b'7')),
        ("has dev/x: its type \"D\" is unknown", flag(b'D')),
        ("has dev/x: its type \"\\\\xff\" is unknown", flag(0xff)),
        ("has dev/x: it is stored sparsely", flag(b'S')),
        ("it is stored sparsely", Tar::new().pax(&[("GNU.sparse.major", b"1")]).file("x", b"").unfinished()),
        ("its record \"vendor.x\" is unknown", Tar::new().pax(&[("vendor.x", b"1")]).file("x", b"").unfinished()),
        ("uid is no number", Tar::new().pax(&[("uid", b"-1")]).file("x", b"").unfinished()),
        ("the user id is no number that Linux", Tar::new().pax(&[("uid", b"4294967296")]).file("x", b"").unfinished()),
        ("the user id is no number that Linux", Tar::new().pax(&[("uid", b"4294967295")]).file("x", b"").unfinished()),
        ("the group id is no number that", Tar::new().pax(&[("gid", b"4294967295")]).file("x", b"").unfinished()),
        ("two of them for one entry", Tar::new().pax(&[]).pax(&[]).file("x", b"").unfinished()),
        ("a global one sets \"uid\"", Tar::new().pax_with(b'g', &[("uid", b"1")]).file("x", b"").unfinished()),
        ("it ends after an extended header", Tar::new().pax(&[("uid", b"1")]).unfinished()),
        ("its checksum does not fit", damaged(0, b'y')),
        ("the mode is no number", fixed(100, b"rw-r--r-")),
        ("the size is no number", fixed(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("the user id is no number that Linux", fixed(108, b"\x80\0\0\x01\0\0\0\0")),
        (
            "only files have a size",
            Tar::new().push(&Head { name: b"d", flag: b'5', body: b"x", ..head.clone() }).unfinished(),
        ),
        ("empty or overlong target", Tar::new().symlink("s", "").unfinished()),
        ("empty or overlong target", Tar::new().pax(&[("linkpath", &[b'n'; 4096])]).symlink("s", "x").unfinished()),
        ("has h: it is a hard link to /nothing, which", Tar::new().hardlink("h", "nothing").unfinished()),
        ("it is a hard link to /d, which is no regular file", Tar::new().dir("d").hardlink("h", "d").unfinished()),
        ("it is a hard link to /d, which is no regular file", Tar::new().hardlink("h", "d").dir("d").unfinished()),
        ("it is a hard link to /s, which is no", Tar::new().symlink("s", "x").hardlink("h", "s").unfinished()),
        ("it is a hard link to itself", Tar::new().hardlink("h", "./h").unfinished()),
        (
            "it is a hard link to itself",
            Tar::new().hardlink("a", "b").hardlink("b", "c").hardlink("c", "a").unfinished(),
        ),
        ("has s/x: its name leads through /s,", Tar::new().symlink("s", "/etc").file("s/x", b"").unfinished()),
        ("has s/a/b: its name leads through /s,", Tar::new().file("s/a/b", b"").symlink("s", "d").unfinished()),
        ("has f/x: its name leads through /f,", Tar::new().file("f", b"").file("f/x", b"").unfinished()),
        ("has s: it is there as a folder and as", Tar::new().dir("s").symlink("s", "d").unfinished()),
        ("has s: it is there as a folder and as", Tar::new().file("s", b"").dir("s").unfinished()),
    ];
    for (expected, data) in cases {
        let error = unpack_data(&data).expect_err(expected).to_string();
        assert!(error.starts_with("the package toy 1:2.0-3 amd64: data.tar has "), "{error}");
        assert!(error.contains(expected), "{error}\nlacks {expected}");
    }
}

#[test]
fn names_in_errors_cannot_drive_a_terminal() {
    let data = Tar::new().push(&Head { name: b"\x1b[2Jx", flag: b'6', ..Head::default() }).finish();
    let error = unpack_data(&data).unwrap_err().to_string();
    assert!(error.contains("\\u{1b}[2Jx"), "{error}");
}

#[test]
fn sizes_around_blocks_and_buffers() {
    let sizes = [0, 1, 511, 512, 513, 1024, 131_071, 131_072, 262_144, 300_001];
    let mut data = Tar::new();
    for size in sizes {
        data = data.file(&size.to_string(), &vec![size as u8; size]);
    }
    let unpacked = unpack_data(&data.finish()).unwrap();
    assert_eq!(tree(&unpacked).len(), sizes.len());
    for (item, size) in unpacked.entries.iter().zip(sizes) {
        let Node::File { content, .. } = &item.node else { panic!("{}", item.path) };
        assert_eq!(crate::bytes_of(content), vec![size as u8; size]);
    }
}
