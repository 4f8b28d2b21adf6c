//! The store, through its door.

use std::{fs, io::Write as _, sync::mpsc, thread};

use debstrata::{
    cache::{Arrival, Cache, CacheError, Checksum},
    ground::Sha256,
};

#[test]
fn open_makes_all_of_it_and_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/cache");
    Cache::open(&root).unwrap();
    assert!(root.join("CACHEDIR.TAG").is_file());
    fs::write(root.join(".gitignore"), "mine\n").unwrap();
    Cache::open(&root).unwrap();
    assert_eq!(fs::read_to_string(root.join(".gitignore")).unwrap(), "mine\n");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Cache::open(&file.join("cache")).unwrap_err();
    assert!(error.to_string().contains("file/cache"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_has_its_own_help() {
    let error = CacheError::Write { path: "/x".into(), source: std::io::ErrorKind::StorageFull.into() };
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("free some space"), "{help}");
}

#[test]
fn heads_and_derived_data() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    assert_eq!(cache.head("debian/trixie").unwrap(), None);
    cache.put_head("debian/trixie", b"one").unwrap();
    cache.put_head("debian/trixie", b"two").unwrap();
    assert_eq!(cache.head("debian/trixie").unwrap().unwrap(), b"two");

    assert!(cache.get_derived("spool-1", "k").unwrap().is_none());
    let failed = cache.put_derived("spool-1", "k", |file| {
        file.write_all(b"half")?;
        Err(std::io::ErrorKind::StorageFull.into())
    });
    assert!(failed.is_err());
    assert!(cache.get_derived("spool-1", "k").unwrap().is_none());
    let path = cache.put_derived("spool-1", "k", |file| file.write_all(b"whole")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    assert_eq!(path, cache.derived_path("spool-1", "k"));
    assert!(path.starts_with(folder.path()));
    assert_eq!(fs::read_dir(folder.path().join("derived/incoming")).unwrap().count(), 0);
}

#[test]
fn only_a_regular_file_of_the_right_size_is_a_download() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let digest = Sha256::of(b"abc");
    let path = cache.download_path(&digest);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"ab").unwrap();
    assert!(!cache.has(&digest, 3), "cut short by a power failure");
    fs::remove_file(&path).unwrap();
    #[cfg(unix)]
    {
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, b"abc").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(!cache.has(&digest, 3), "a link");
    }
}

/// Opening a pipe waits for ever; a link would be written through.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_never_waited_for_nor_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let pipe = |path: &std::path::Path| {
        let _ = fs::remove_file(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let checksum = Checksum::Sha256(Sha256::of(b"abc"));
    let incoming = folder.path().join(format!("downloads/incoming/{checksum}"));
    let (done, finished) = mpsc::channel();
    let root = folder.path().to_owned();
    cache.put_head("h", b"").unwrap();
    pipe(&root.join("downloads/heads/h"));
    pipe(&cache.derived_path("kind", "key"));
    pipe(&root.join(".debstrata-x.tmp"));
    pipe(&incoming);
    let to = victim.clone();
    thread::spawn(move || {
        let cache = Cache::open(&root).unwrap();
        assert!(cache.head("h").is_err());
        assert!(cache.get_derived("kind", "key").unwrap().is_none());
        cache.put_derived("kind", "key", |file| file.write_all(b"x")).unwrap();
        drop(cache.incoming(&checksum, 3).unwrap());
        fs::remove_file(&incoming).unwrap();
        std::os::unix::fs::symlink(&to, &incoming).unwrap();
        let Arrival::Incoming(mut file) = cache.incoming(&checksum, 3).unwrap() else { panic!() };
        file.write(b"abc").unwrap();
        file.commit().unwrap().unwrap();
        done.send(()).unwrap();
    });
    finished.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn the_second_who_asks_waits_and_finds_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let checksum = Checksum::Sha256(Sha256::of(b"abc"));
    let Arrival::Incoming(mut first) = cache.incoming(&checksum, 3).unwrap() else { panic!() };
    let (asked, asks) = mpsc::channel();
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            let other = Cache::open(folder.path()).unwrap();
            asked.send(()).unwrap();
            matches!(other.incoming(&checksum, 3).unwrap(), Arrival::Whole(_))
        });
        asks.recv().unwrap();
        first.write(b"abc").unwrap();
        first.commit().unwrap().unwrap();
        drop(first);
        assert!(second.join().unwrap());
    });
}
