//! The .debs that the tests build are .debs to dpkg-deb as well. Needs dpkg-deb. Runs with
//! `--features oracles`.

mod support;

use std::{fs, process::Command};

use support::{Compression, DebBuilder};

#[test]
fn dpkg_deb_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("/usr/share/{}", "n".repeat(120));
    for compression in Compression::ALL {
        let deb = DebBuilder::new("hello", "1:1.0-1")
            .field("Depends", "libc6 (>= 2.36),\n other")
            .control_file("md5sums", "d41d8cd98f00b204e9800998ecf8427e  usr/bin/hello\n", 0o644)
            .dir("/var/local", 0o2775)
            .owner(0, 50)
            .file("/usr/bin/hello", 0o755, b"hello\n")
            .file(&long, 0o644, b"")
            .symlink("/usr/bin/hi", "hello")
            .hardlink("/usr/bin/ho", "/usr/bin/hello")
            .compression(compression)
            .build();
        assert_eq!(deb.file_name(), "hello_1.0-1_amd64.deb");
        let path = folder.path().join(deb.file_name());
        fs::write(&path, &deb.bytes).unwrap();
        let run = |option: &str| {
            let output = Command::new("dpkg-deb").arg(option).arg(&path).env("TZ", "UTC").output().unwrap();
            assert!(output.status.success(), "{compression:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(run("--field"), deb.control);
        let listed: Vec<String> =
            run("--contents").lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let moment = "2026-01-01 00:00";
        assert_eq!(
            listed,
            [
                format!("drwxr-xr-x 0/0 0 {moment} ./"),
                format!("drwxr-xr-x 0/0 0 {moment} ./var/"),
                format!("drwxrwsr-x 0/50 0 {moment} ./var/local/"),
                format!("drwxr-xr-x 0/0 0 {moment} ./usr/"),
                format!("drwxr-xr-x 0/0 0 {moment} ./usr/bin/"),
                format!("-rwxr-xr-x 0/0 6 {moment} ./usr/bin/hello"),
                format!("drwxr-xr-x 0/0 0 {moment} ./usr/share/"),
                format!("-rw-r--r-- 0/0 0 {moment} .{long}"),
                format!("lrwxrwxrwx 0/0 0 {moment} ./usr/bin/hi -> hello"),
                format!("hrw-r--r-- 0/0 0 {moment} ./usr/bin/ho link to ./usr/bin/hello"),
            ],
            "{compression:?}"
        );
    }
}
