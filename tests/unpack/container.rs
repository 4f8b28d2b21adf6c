//! The .deb around the two archives: members, order, compressions, identity.

use crate::{
    Bench,
    builder::{self, CONTROL, Tar, ar, bz2, control_tar, deb, gz, lzma, xz, xz_with_dictionary, zst},
    unpack_deb,
};

fn data() -> Vec<u8> {
    Tar::new().dir("./").dir("./usr/").file("./usr/x", b"toy").finish()
}

const TREE: &[(&str, &str)] = &[("/", "dir 0755 0:0"), ("/usr", "dir 0755 0:0"), ("/usr/x", "file 0644 0:0 toy")];

#[test]
fn every_compression_of_deb_5() {
    let (control, data) = (control_tar(), data());
    let binary: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let controls = [
        ("control.tar", control.clone()),
        ("control.tar.gz", gz(&control)),
        ("control.tar.xz", xz(&control)),
        ("control.tar.zst", zst(&control)),
    ];
    let (half, rest) = data.split_at(700);
    let datas = [
        ("data.tar", data.clone()),
        ("data.tar.gz", gz(&data)),
        ("data.tar.xz", xz(&data)),
        ("data.tar.zst", zst(&data)),
        ("data.tar.bz2", bz2(&data)),
        ("data.tar.lzma", lzma(&data)),
        // Several streams one after another, as parallel compressors write them.
        ("data.tar.gz", [gz(half), gz(rest)].concat()),
        ("data.tar.xz", [xz(half), xz(rest)].concat()),
        ("data.tar.zst", [zst(half), zst(rest)].concat()),
        ("data.tar.bz2", [bz2(half), bz2(rest)].concat()),
        // GNU ar ends names with a slash; dpkg takes that.
        ("data.tar/", data.clone()),
    ];
    for (control_name, control) in &controls {
        for (data_name, data) in &datas {
            let deb = ar(&[binary, (control_name, control), (data_name, data)]);
            let unpacked = unpack_deb(&deb).unwrap_or_else(|error| panic!("{control_name} {data_name}: {error}"));
            assert_eq!(crate::tree(&unpacked).len(), TREE.len(), "{data_name}");
            crate::assert_tree(&unpacked, TREE);
            assert_eq!(&*unpacked.control["control"], CONTROL.as_bytes());
            assert_eq!(unpacked.control.keys().map(|name| &**name).collect::<Vec<_>>(), ["control", "md5sums"]);
        }
    }
}

#[test]
fn members_that_may_be_ignored() {
    let (control, data) = (control_tar(), data());
    let deb = ar(&[
        ("debian-binary", b"2.1\nanother line\n"),
        ("_gpgorigin", b"odd"),
        ("control.tar", &control),
        ("_between", b""),
        ("data.tar", &data),
        ("_gpgbuilder", b"x"),
        ("later", b"x"),
    ]);
    crate::assert_tree(&unpack_deb(&deb).unwrap(), TREE);
}

#[test]
fn members_that_dpkg_would_not_take() {
    let (control, data) = (control_tar(), data());
    let binary: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let control: (&str, &[u8]) = ("control.tar", &control);
    let data: (&str, &[u8]) = ("data.tar", &data);
    let good = ar(&[binary, control, data]);
    let long = {
        let mut long = good.clone();
        long[8 + 48..8 + 58].copy_from_slice(b"9999999999");
        long
    };
    let no_number = {
        let mut deb = good.clone();
        deb[8 + 48..8 + 58].copy_from_slice(b"0x10      ");
        deb
    };
    let no_mark = {
        let mut deb = good.clone();
        deb[8 + 58] = b'x';
        deb
    };
    let names = |name: &str| ar(&[binary, ("control.tar", &Tar::new().file(name, b"").finish()), data]);
    let gzipped = gz(data.1);
    let cut = xz(data.1);
    let flipped = {
        let mut bytes = xz(&[data.1, &[7; 5000]].concat());
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        bytes
    };
    let twice = Tar::new().file("control", CONTROL.as_bytes()).file("./control", b"").finish();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("does not begin as an ar archive", b"<html>404 not found".to_vec()),
        ("does not begin as an ar archive", b"!<ar".to_vec()),
        ("it has no member debian-binary", ar(&[])),
        ("\"control.tar\" stands where debian-binary must stand", ar(&[control, binary, data])),
        ("\"_x\" stands where debian-binary must stand", ar(&[("_x", b""), binary, control, data])),
        ("debian-binary: Contents of debian_binary is not 2.x", ar(&[("debian-binary", b"3.0\n"), control, data])),
        ("debian-binary: ", ar(&[("debian-binary", b""), control, data])),
        ("\"data.tar\" stands where control.tar", ar(&[binary, data, control])),
        ("\"other\" stands where control.tar", ar(&[binary, ("other", b""), control, data])),
        ("\"other\" stands where data.tar", ar(&[binary, control, ("other", b""), data])),
        ("\"control.tar.lzma\" stands where control.tar", ar(&[binary, ("control.tar.lzma", &lzma(control.1)), data])),
        ("\"data.tar.Z\" stands where data.tar", ar(&[binary, control, ("data.tar.Z", b"x")])),
        ("it has no member control.tar", ar(&[binary])),
        ("it has no member data.tar", ar(&[binary, control])),
        ("\"data.tar\" stands where the end must stand", ar(&[binary, control, data, data])),
        ("debian-binary: it claims 9999999999 bytes", long),
        ("the next member's size is no number", no_number),
        ("the next header lacks its end mark", no_mark),
        ("data.tar: it claims", good[..good.len() - 600].to_vec()),
        (
            "after the member \"control.tar\": the file ends within",
            ar(&[binary, control])[..].iter().copied().chain(*b"data").collect(),
        ),
        ("data.tar.xz: it is empty", ar(&[binary, control, ("data.tar.xz", b"")])),
        ("data.tar.xz: not compressed as its name says", ar(&[binary, control, ("data.tar.xz", &gzipped)])),
        ("data.tar.gz: ", ar(&[binary, control, ("data.tar.gz", data.1)])),
        ("data.tar.zst: ", ar(&[binary, control, ("data.tar.zst", data.1)])),
        ("data.tar.bz2: ", ar(&[binary, control, ("data.tar.bz2", data.1)])),
        ("its checksum does not fit", ar(&[binary, control, ("data.tar", &[0x1f; 1024])])),
        ("data.tar.xz: premature end", ar(&[binary, control, ("data.tar.xz", &cut[..cut.len() - 20])])),
        ("data.tar.xz: the compressed data is damaged", ar(&[binary, control, ("data.tar.xz", &flipped)])),
        ("data.tar.gz: ", ar(&[binary, control, ("data.tar.gz", &gzipped[..gzipped.len() - 9])])),
        ("control.tar: \"a/b\" is no name", names("a/b")),
        ("control.tar: \"../control\" is no name", names("../control")),
        ("control.tar: it has no file control", names("other")),
        ("control.tar: control is there twice", ar(&[binary, ("control.tar", &twice), data])),
        (
            "control.tar: \"./control\" is no regular file",
            ar(&[binary, ("control.tar", &Tar::new().symlink("./control", "/etc/shadow").finish()), data]),
        ),
        ("control.tar.xz: premature end", ar(&[binary, ("control.tar.xz", &xz(control.1)[..100]), data])),
    ];
    for (expected, deb) in cases {
        let bench = Bench::new();
        let error = bench.unpack(&deb).expect_err(expected).to_string();
        assert!(error.starts_with("the package toy 1:2.0-3 amd64: "), "{error}");
        assert!(error.contains(expected), "{error}\nlacks {expected}");
        assert_eq!(bench.kept(), 0, "{expected}: something was kept");
    }
}

#[test]
fn control_files_that_are_another_packages() {
    let with = |control: &str| {
        let control = Tar::new().file("./control", control.as_bytes()).finish();
        ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data())])
    };
    for (control, expected) in [
        ("Package: tyo\nVersion: 1:2.0-3\nArchitecture: amd64\n", "says Package \"tyo\", its index \"toy\""),
        ("Package: toy\nVersion: 2.0-3\nArchitecture: amd64\n", "says Version \"2.0-3\", its index \"1:2.0-3\""),
        ("Package: toy\nVersion: 1:2.0-3\nArchitecture: all\n", "says Architecture \"all\", its index \"amd64\""),
        ("Package: toy\nArchitecture: amd64\n", "the field Version is missing"),
        ("Package: toy\nVersion: 1:2.0-3\nArchitecture: amd64\npackage: toy\n", "the field Package is there twice"),
        ("Package: toy\n\nVersion: 1:2.0-3\nArchitecture: amd64\n", "the field Version is missing"),
        ("Package: toy\nVersion:\n 1:2.0-3\nArchitecture: amd64\n", "the field Version is missing"),
    ] {
        let error = unpack_deb(&with(control)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nlacks {expected}");
    }
    unpack_deb(&with("\npackage:toy\nVERSION: 1:2.0-3 \nArchitecture: amd64\n \n\n")).unwrap();
    // It would stand in status.d as a package that nobody installed; dpkg takes one stanza alone.
    let error =
        unpack_deb(&with("Package: toy\nVersion: 1:2.0-3\nArchitecture: amd64\n\nPackage: other\n")).unwrap_err();
    assert!(error.to_string().contains("more than one stanza"), "{error}");
}

#[test]
fn ceilings() {
    let big = Tar::new().file("./a", &[0; 200_000]).file("./b", &[0; 200_000]).finish();
    let compressed = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control_tar()), ("data.tar.xz", &xz(&big))]);
    let mut bench = Bench::new();
    let original = bench.limits.clone();
    bench.unpack(&compressed).unwrap();

    let check = |change: &dyn Fn(&mut debstrata::unpack::Limits), deb: &[u8], expected: &str| {
        let mut bench = Bench::new();
        change(&mut bench.limits);
        let error = bench.unpack(deb).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\nlacks {expected}");
        assert_eq!(bench.kept(), 0);
    };
    check(&|limits| limits.entries = 1, &compressed, "data.tar.xz has more than 1 entries");
    check(&|limits| limits.file = 199_999, &compressed, "more than 199999 bytes in one file");
    check(&|limits| limits.unpacked = 400_000, &compressed, "more than 400000 bytes when decompressed");
    check(&|limits| limits.table = 500, &compressed, "more than 500 bytes of names and attributes");
    // Folders that are not in the archive take memory too: 100 bytes of .deb can ask for thousands.
    let deep = Tar::new().pax(&[("path", format!("{}x", "a/".repeat(255)).as_bytes())]);
    let deep = deep.file("x", b"").finish();
    let deep = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control_tar()), ("data.tar", &deep)]);
    check(&|limits| limits.table = 60_000, &deep, "more than 60000 bytes of names and attributes");
    check(&|limits| limits.depth = 255, &deep, "more than 255 names in one path");
    bench.unpack(&deep).unwrap();
    check(&|limits| (limits.free, limits.ratio) = (0, 10), &compressed, "bytes when decompressed");
    check(&|limits| limits.deb.control = 1000, &compressed, "control.tar: longer than the 1000 bytes");
    let wide = ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control_tar()),
        ("data.tar.xz", &xz_with_dictionary(&big, 64 << 20)),
    ]);
    check(
        &|limits| limits.deb.memory = 32 << 20,
        &wide,
        "data.tar.xz: decompressing it takes more than the 32 MiB allowed",
    );
    bench.limits = original;
    bench.unpack(&wide).unwrap();
    // A stream that never ends after the archive's end is bounded as well.
    let tail = ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control_tar()),
        ("data.tar.xz", &xz(&[data(), vec![0; 1 << 20]].concat())),
    ]);
    check(&|limits| limits.unpacked = 1 << 20, &tail, "bytes when decompressed");
}

#[test]
fn an_archive_without_its_end_or_with_something_behind_it() {
    let bench = Bench::new();
    let tar = Tar::new().dir("./").dir("./usr").file("./usr/x", b"toy");
    crate::assert_tree(&bench.unpack(&deb(&tar.clone().unfinished())).unwrap(), TREE);
    let mut padded = tar.clone().finish();
    padded.resize(10240, 0);
    crate::assert_tree(&bench.unpack(&deb(&padded)).unwrap(), TREE);
    let hidden = [tar.clone().finish(), Tar::new().file("./hidden", b"x").finish()].concat();
    let error = bench.unpack(&deb(&hidden)).unwrap_err().to_string();
    assert!(error.contains("there are bytes after the end of the archive"), "{error}");
    let error = bench.unpack(&deb(&tar.unfinished()[..1700])).unwrap_err().to_string();
    assert!(error.contains("data.tar: the archive ends within an entry"), "{error}");
    let empty = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control_tar()), ("data.tar.xz", &builder::xz(b""))]);
    crate::assert_tree(&bench.unpack(&empty).unwrap(), &[]);
}
