//! What the cache keeps of a package, and what becomes of it when it is damaged.

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex};

use debstrata::{
    ground::{Event, Observer, Sha256, Silent, Work},
    unpack::{Expected, UnpackError, forget, recall, unpack, unpack_all},
};

use crate::{
    Bench,
    builder::{Tar, deb},
    tree,
};

fn some_deb(number: usize) -> Vec<u8> {
    let text = format!("number {number}").repeat(1 + number * 50);
    deb(&Tar::new().dir("./").file("./x", text.as_bytes()).hardlink("y", "x").symlink("z", "x").finish())
}

fn stored(bench: &Bench, end: &str) -> PathBuf {
    fn find(folder: PathBuf, end: &str) -> Option<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| {
            if path.is_dir() { find(path, end) } else { path.to_str()?.ends_with(end).then_some(path) }
        })
    }
    find(bench.folder.path().join("cache/derived"), end).unwrap()
}

#[test]
fn a_second_run_needs_no_deb() {
    let bench = Bench::new();
    let (path, expected) = bench.write(&some_deb(1));
    assert!(recall(&expected, &bench.cache).unwrap().is_none());
    let first = unpack(&path, &expected, &bench.cache, &bench.limits, &Silent).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = unpack(&path, &expected, &bench.cache, &bench.limits, &Silent).unwrap();
    assert_eq!(first.entries, second.entries);
    assert_eq!(first.control, second.control);
    assert_eq!(tree(&first), tree(&second));
    assert!(recall(&expected, &bench.cache).unwrap().is_some());

    for _ in 0..2 {
        forget(&expected.sha256, &bench.cache).unwrap();
        assert_eq!(bench.kept(), 0);
    }
    assert!(recall(&expected, &bench.cache).unwrap().is_none());
}

#[test]
fn damage_is_mended_and_never_trusted() {
    let bench = Bench::new();
    let (path, expected) = bench.write(&some_deb(1));
    let run = || unpack(&path, &expected, &bench.cache, &bench.limits, &Silent).unwrap();
    let whole = tree(&run());
    let (table, spool) = (stored(&bench, ".table"), stored(&bench, ".spool"));
    let table_bytes = std::fs::read(&table).unwrap();
    let damages: [&dyn Fn(); 7] = [
        &|| std::fs::remove_file(&table).unwrap(),
        &|| std::fs::remove_file(&spool).unwrap(),
        &|| std::fs::write(&table, b"").unwrap(),
        &|| std::fs::write(&table, &table_bytes[..table_bytes.len() / 2]).unwrap(),
        &|| {
            let mut bytes = table_bytes.clone();
            bytes[60] ^= 1;
            std::fs::write(&table, bytes).unwrap();
        },
        &|| std::fs::write(&spool, b"short").unwrap(),
        &|| {
            // Another package's table under this one's name.
            let (path, expected) = bench.write(&some_deb(2));
            let other = Bench::new();
            unpack(&path, &expected, &other.cache, &other.limits, &Silent).unwrap();
            std::fs::copy(stored(&other, ".table"), &table).unwrap();
            std::fs::copy(stored(&other, ".spool"), &spool).unwrap();
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        damage();
        assert!(recall(&expected, &bench.cache).unwrap().is_none(), "damage {number} is trusted");
        assert_eq!(tree(&run()), whole, "damage {number}");
        assert_eq!(std::fs::read(&table).unwrap(), table_bytes, "damage {number}");
    }
}

#[test]
fn only_the_verified_file_is_unpacked() {
    let bench = Bench::new();
    let good = some_deb(1);
    let (path, expected) = bench.write(&good);
    let run = |expected: &Expected| unpack(&path, expected, &bench.cache, &bench.limits, &Silent).unwrap_err();

    let error = run(&Expected { size: expected.size + 1, ..expected.clone() });
    assert!(error.to_string().contains(&format!("it has {} bytes, not {}", good.len(), good.len() + 1)), "{error}");
    let error = run(&Expected { sha256: Sha256::of(b""), ..expected.clone() });
    assert!(matches!(error, UnpackError::Changed { .. }), "{error}");
    // One byte of a file's content, of the padding behind it, or of the last member.
    for at in [good.len() - 2600, good.len() - 1, 3] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let error = run(&expected);
        assert!(matches!(error, UnpackError::Changed { .. }), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(run(&expected), UnpackError::Read { .. }));
    assert_eq!(bench.kept(), 0);
}

#[test]
fn a_recalled_package_must_fit_too() {
    let bench = Bench::new();
    let (path, expected) = bench.write(&some_deb(1));
    unpack(&path, &expected, &bench.cache, &bench.limits, &Silent).unwrap();
    let package = debstrata::rootfs::PackageName { version: "9".into(), ..(*expected.package).clone() };
    let other = Expected { package: package.into(), ..expected };
    let error = unpack(&path, &other, &bench.cache, &bench.limits, &Silent).unwrap_err();
    assert!(matches!(error, UnpackError::Identity { field: "Version", .. }), "{error}");
}

#[derive(Default)]
struct Sums(Mutex<(u64, u64)>);

impl Observer for Sums {
    fn tell(&self, event: Event) {
        let mut sums = self.0.lock().unwrap();
        match event {
            Event::Expect(Work::Unpack, bytes) => sums.0 += bytes,
            Event::Advance(Work::Unpack, bytes) => sums.1 += bytes,
            _ => {}
        }
    }
}

#[test]
fn many_at_once_are_told_by_their_place() {
    let bench = Bench::new();
    let debs: Vec<_> = (0..40)
        .map(|number| match number {
            7 => deb(&Tar::new().file("../x", b"").finish()),
            number => some_deb((number * 17) % 40),
        })
        .map(|deb| bench.write(&deb))
        .collect();
    let jobs: Vec<_> = debs.iter().map(|(path, expected)| (path.as_path(), expected)).collect();
    for round in ["cold", "warm"] {
        let sums = Sums::default();
        let results = Mutex::new(BTreeMap::new());
        unpack_all(&jobs, &bench.cache, &bench.limits, &sums, |number, result| {
            assert!(results.lock().unwrap().insert(number, result).is_none());
        });
        let results = results.into_inner().unwrap();
        assert!(results.keys().copied().eq(0..40));
        for (number, result) in &results {
            match result {
                Ok(unpacked) => {
                    let text = format!("number {}", (number * 17) % 40);
                    assert!(
                        tree(unpacked)["/x"].starts_with(&format!("file 0644 0:0 {text}number "))
                            || (number * 17) % 40 == 0
                    );
                }
                Err(error) => assert_eq!(*number, 7, "{error}"),
            }
        }
        let (expected, done) = *sums.0.lock().unwrap();
        assert_eq!(expected, jobs.iter().map(|(_, expected)| expected.size).sum::<u64>());
        assert_eq!(done, expected, "{round}");
    }
}
