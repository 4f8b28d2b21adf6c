//! Tarballs go through the reader of data.tar, with its bounds.

use debstrata::{
    ground::Sha256,
    unpack::{Limits, TarballError, Unpacked, recall_tarball, unpack_tarball},
};

use crate::{Bench, builder::Tar};

fn tar(entries: usize, size: usize) -> Vec<u8> {
    let body = vec![0; size];
    (0..entries).fold(Tar::new(), |tar, at| tar.file(&format!("file-{at}"), &body)).finish()
}

fn unpack(bench: &Bench, bytes: &[u8]) -> Result<Unpacked, TarballError> {
    let path = bench.folder.path().join("tarball");
    std::fs::write(&path, bytes).unwrap();
    unpack_tarball(&path, "the archive x", &Sha256::of(bytes), &bench.cache, &bench.limits)
}

#[test]
fn it_is_bounded() {
    let limits = Limits { entries: 3, unpacked: 40_000, free: 20_000, ratio: 2, file: 9_000, ..Limits::default() };
    for (bytes, says) in [
        (tar(4, 1), "the archive x has more than 3 entries"),
        (tar(1, 9_001), "the archive x has more than 9000 bytes in one file"),
        (zstd::encode_all(&*tar(3, 8_000), 3).unwrap(), "bytes when decompressed"),
    ] {
        let bench = Bench { limits: limits.clone(), ..Bench::new() };
        let error = unpack(&bench, &bytes).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(bench.kept(), 0, "nothing of it stays");
    }
    let bench = Bench { limits, ..Bench::new() };
    assert_eq!(unpack(&bench, &tar(3, 10)).unwrap().entries.len(), 3);
}

#[test]
fn it_is_recalled_whole_or_not_at_all() {
    let bench = Bench::new();
    let bytes = tar(2, 100);
    let sha256 = Sha256::of(&bytes);
    assert!(recall_tarball(&sha256, &bench.cache).is_none());
    let first = unpack(&bench, &bytes).unwrap();
    assert_eq!(recall_tarball(&sha256, &bench.cache).unwrap().digest(), first.digest());
    debstrata::unpack::forget(&sha256, &bench.cache).unwrap();
    assert!(recall_tarball(&sha256, &bench.cache).is_none());
    assert_eq!(bench.kept(), 0);
    let path = bench.folder.path().join("tarball");
    let other = Sha256::of(b"other");
    let error = unpack_tarball(&path, "the archive x", &other, &bench.cache, &bench.limits).unwrap_err();
    assert!(matches!(error, TarballError::Changed { .. }), "{error}");
}
