//! `build --watch`: again whenever a manifest, or a file that one names, changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{lock, manifest};

/// How long to wait between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(400);
/// Files looked at, at most: a `folder` of .debs may lie in a large place.
const MOST: usize = 100_000;

/// What each watched file was when it was looked at.
pub(super) type Seen = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// Works now, and again after each change of what `look` sees, until `pause` says that it is enough. A
/// change counts once two looks in a row see the same: editors write in several steps.
pub(super) fn rounds(mut look: impl FnMut() -> Seen, mut pause: impl FnMut() -> bool, mut work: impl FnMut()) {
    // What changes during the work counts as a change.
    let mut before = look();
    work();
    loop {
        let mut now = look();
        while now == before {
            if !pause() {
                return;
            }
            now = look();
        }
        loop {
            if !pause() {
                return;
            }
            let again = look();
            if again == now {
                break;
            }
            now = again;
        }
        before = now;
        work();
    }
}

/// All files below `manifests/`, and what the manifests name outside of it, as they are now. Locks are
/// not among them: a build writes them.
pub(super) fn look(root: &Path) -> Seen {
    let mut seen = Seen::new();
    add(&root.join("manifests"), true, &mut seen);
    // A project that cannot be read has its fault below manifests/, where its mending is seen.
    if let Ok(loaded) = manifest::load(root) {
        for path in beside(&loaded.project) {
            add(&path, false, &mut seen);
        }
    }
    seen
}

/// Folders of .debs, and files for tiers.
fn beside(project: &manifest::Project) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    for distribution in &project.distributions {
        paths.extend(
            distribution.archive.sources.iter().filter_map(|source| Some(source.folder.as_ref()?.path.clone())),
        );
        for tier in &distribution.tiers {
            paths.extend(tier.files.iter().filter_map(|file| match &file.content {
                manifest::FileContent::Beside(path) => Some(path.clone()),
                manifest::FileContent::Text(_) => None,
            }));
            paths.extend(tier.archives.iter().flat_map(|tarball| &tarball.uris).filter_map(|place| match place {
                manifest::TarballPlace::Beside(path) => Some(path.clone()),
                manifest::TarballPlace::Uri(_) => None,
            }));
        }
    }
    paths
}

fn add(path: &Path, deep: bool, seen: &mut Seen) {
    let Ok(meta) = fs::metadata(path) else { return };
    if !meta.is_dir() {
        let ours = path.file_name().is_some_and(|name| name == lock::FILE_NAME);
        if !ours && seen.len() < MOST {
            seen.insert(path.to_owned(), (meta.len(), meta.modified().ok()));
        }
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // A link to a folder is not followed, so that no circle is.
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !hidden && (deep || !folder) {
            add(&entry.path(), deep, seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn file(size: u64) -> Seen {
        Seen::from([("a".into(), (size, None))])
    }

    /// Runs rounds over these looks; how often it worked, and how often it paused.
    fn run(looks: &[u64]) -> (usize, usize) {
        let (at, worked, paused) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let look = || {
            let size = looks.get(at.get()).or(looks.last()).copied().unwrap_or_default();
            at.set(at.get() + 1);
            file(size)
        };
        let pause = || {
            paused.set(paused.get() + 1);
            at.get() < looks.len()
        };
        rounds(look, pause, || worked.set(worked.get() + 1));
        (worked.get(), paused.get())
    }

    #[test]
    fn it_works_once_and_again_after_each_change_that_has_settled() {
        assert_eq!(run(&[1]).0, 1, "no change");
        assert_eq!(run(&[1, 1, 1, 1, 1]).0, 1, "no change for long");
        assert_eq!(run(&[1, 1, 2, 2, 2]).0, 2, "one change");
        assert_eq!(run(&[1, 1, 2, 3, 4, 4, 4]).0, 2, "a change in several steps");
        assert_eq!(run(&[1, 2, 2, 2, 3, 3, 3]).0, 3, "one during the work, one later");
        assert_eq!(run(&[1, 1, 2]).0, 1, "ended before it settled");
    }

    #[test]
    fn it_sees_manifests_and_what_they_name_but_no_lock() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("manifests/d");
        fs::create_dir_all(folder.join("files")).unwrap();
        fs::create_dir_all(root.path().join("debs/deep")).unwrap();
        fs::write(folder.join("archive.toml"), "architectures = ['amd64']\n[[sources]]\nfolder = '../../debs'\n")
            .unwrap();
        fs::write(folder.join("t.toml"), "[[files]]\npath = '/a'\nsource = '../../outside'\n").unwrap();
        for name in ["manifests/d/files/x", "manifests/d/.t.toml.swp", "debs/a.deb", "debs/deep/b", "outside", "other"]
        {
            fs::write(root.path().join(name), "x").unwrap();
        }
        let names = || -> Vec<String> {
            let inside = |path: &PathBuf| fs::canonicalize(path).unwrap();
            let base = fs::canonicalize(root.path()).unwrap();
            let mut names: Vec<_> = look(root.path())
                .keys()
                .map(|path| inside(path).strip_prefix(&base).unwrap().display().to_string())
                .collect();
            names.sort();
            names
        };
        let expected =
            ["debs/a.deb", "manifests/d/archive.toml", "manifests/d/files/x", "manifests/d/t.toml", "outside"];
        assert_eq!(names(), expected);
        fs::write(folder.join(lock::FILE_NAME), "x").unwrap();
        assert_eq!(names(), expected, "the lock is written by a build");
        let before = look(root.path());
        fs::write(root.path().join("outside"), "longer").unwrap();
        assert_ne!(look(root.path()), before);
    }
}
