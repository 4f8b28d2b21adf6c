//! What is below the output folder: layers that appear whole, SHA256SUMS.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use debstrata::{
    debian::Architecture,
    ground::{Class, Failure, RootPath, Sha256, Silent},
    layer::{Form, NoStore},
    outputs::{OutputError, Outputs, Place, layer_name},
    rootfs::{Attributes, Content, Entry, Node, Origin, Spool},
};

fn entry(node: Node) -> Entry {
    Entry { node, attributes: Attributes::new(0o755, 0, 0), origin: Origin::Implied }
}

fn changes(content: Content) -> Vec<(RootPath, Entry)> {
    let file = RootPath::from_absolute(b"/file").unwrap();
    vec![(RootPath::root(), entry(Node::Directory)), (file, entry(Node::File { content, group: None }))]
}

fn files(tier: &str) -> Vec<(Form, Vec<Place>)> {
    let amd64: Architecture = "amd64".parse().unwrap();
    Form::ALL.iter().map(|form| (*form, vec![Place::File(layer_name("debian13", amd64, tier, *form))])).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_layer_appears_in_every_form_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(&folder.path().join("out"));
    let emitted = outputs
        .write_layer(&files("cc"), &changes(Content::from_bytes(*b"x")), 0, &NoStore, &Silent)
        .unwrap()
        .publish()
        .unwrap();
    assert_eq!(names(&outputs.path("debian13/amd64")), ["cc.tar", "cc.tar.gz", "cc.tar.zst"]);
    for ((_, places), blob) in files("cc").iter().zip(&emitted.blobs) {
        let bytes = fs::read(outputs.path(&places[0].name(&blob.digest))).unwrap();
        assert_eq!((Sha256::of(&bytes), bytes.len() as u64), (blob.digest, blob.size));
    }
}

#[test]
fn a_layer_that_fails_leaves_the_old_files_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(folder.path());
    outputs
        .write_layer(&files("cc"), &changes(Content::from_bytes(*b"old")), 0, &NoStore, &Silent)
        .unwrap()
        .publish()
        .unwrap();
    let before = fs::read(outputs.path("debian13/amd64/cc.tar")).unwrap();
    let missing = Content::in_spool(Arc::new(Spool::new(folder.path().join("none"))), 0, 9, Sha256::of(b"x"), 0);
    let error = outputs.write_layer(&files("cc"), &changes(missing), 0, &NoStore, &Silent).unwrap_err();
    assert!(matches!(error, OutputError::Layer(_)), "{error}");
    assert_eq!(error.class(), Class::World);
    assert_eq!(names(&outputs.path("debian13/amd64")), ["cc.tar", "cc.tar.gz", "cc.tar.zst"]);
    assert_eq!(fs::read(outputs.path("debian13/amd64/cc.tar")).unwrap(), before);
}

#[test]
fn outputs_are_compared_by_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(folder.path());
    fs::create_dir(folder.path().join("folder")).unwrap();
    for (name, bytes) in [("same", "a"), ("other", "b")] {
        fs::write(outputs.path(name), bytes).unwrap();
    }
    let asked = ["same", "other", "missing", "folder", "same/below"].map(|name| (name.to_owned(), Sha256::of(b"a")));
    assert_eq!(
        asked.iter().map(|(name, digest)| outputs.is(name, digest).unwrap()).collect::<Vec<_>>(),
        [true, false, false, false, false]
    );
}

/// Opening a pipe waits for ever.
#[cfg(unix)]
#[test]
fn a_pipe_is_no_output_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let (done, finished) = std::sync::mpsc::channel();
    let pipe = |name: &str| {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(root.join(name)).status().unwrap().success());
    };
    pipe("debian13/amd64/cc.tar.gz");
    pipe("SHA256SUMS");
    let outputs = Outputs::new(&root);
    std::thread::spawn(move || {
        let name = "debian13/amd64/cc.tar.gz".to_owned();
        assert!(!outputs.is(&name, &Sha256::of(b"")).unwrap());
        outputs.record(&BTreeMap::from([("x".to_owned(), Sha256::of(b""))])).unwrap_err();
        done.send(()).unwrap();
    });
    finished.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
}

#[test]
fn sums_keep_other_outputs_as_long_as_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(&folder.path().join("out"));
    let write = |names: &[&str], bytes: &str| {
        let mut written = BTreeMap::new();
        for name in names {
            let path = outputs.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
            written.insert((*name).to_owned(), Sha256::of(bytes.as_bytes()));
        }
        outputs.record(&written).unwrap();
        fs::read_to_string(outputs.path("SHA256SUMS")).unwrap()
    };
    let line = |bytes: &str, name: &str| format!("{}  {name}\n", Sha256::of(bytes.as_bytes()));
    outputs.record(&BTreeMap::new()).unwrap();
    assert!(!outputs.root().exists(), "nothing to say, nothing to write");
    assert_eq!(write(&["b/cc.tar.gz", "a/cc.tar.gz"], "1"), line("1", "a/cc.tar.gz") + &line("1", "b/cc.tar.gz"));
    assert_eq!(write(&["b/cc.tar.gz"], "2"), line("1", "a/cc.tar.gz") + &line("2", "b/cc.tar.gz"));
    fs::remove_file(outputs.path("a/cc.tar.gz")).unwrap();
    assert_eq!(write(&["c/x.tar"], "3"), line("2", "b/cc.tar.gz") + &line("3", "c/x.tar"));
    assert_eq!(names(outputs.root()), ["SHA256SUMS", "a", "b", "c"], "no lock file, no temporary");
}

#[test]
fn an_equal_list_is_not_written_again() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(folder.path());
    fs::write(outputs.path("x.tar"), "x").unwrap();
    let written = BTreeMap::from([("x.tar".to_owned(), Sha256::of(b"x"))]);
    outputs.record(&written).unwrap();
    let inode = || fs::metadata(outputs.path("SHA256SUMS")).unwrap().ino();
    let before = inode();
    outputs.record(&written).unwrap();
    assert_eq!(inode(), before);
}

#[test]
fn somebody_elses_list_is_not_overwritten() {
    let digest = Sha256::of(b"");
    for bad in [
        "hello".to_owned(),
        format!("{digest} x"),
        format!("\\{digest}  a\\nb"),
        format!("{digest}  /etc/passwd"),
        format!("{digest}  ../x"),
        format!("{digest}  "),
        "00  x".to_owned(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let outputs = Outputs::new(folder.path());
        fs::write(outputs.path("SHA256SUMS"), format!("{digest} *binary\n{bad}\n")).unwrap();
        let error = outputs.record(&BTreeMap::new()).unwrap_err();
        assert!(matches!(error, OutputError::Sums { line: 2, .. }), "{bad}: {error}");
        assert_eq!(error.class(), Class::User);
        assert!(fs::read_to_string(outputs.path("SHA256SUMS")).unwrap().contains(&bad));
    }
}

#[test]
fn two_writers_both_get_their_lines_in() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(folder.path());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let outputs = &outputs;
            scope.spawn(move || {
                for at in 0..20 {
                    let name = format!("{writer}-{at}.tar");
                    fs::write(outputs.path(&name), "x").unwrap();
                    outputs.record(&BTreeMap::from([(name, Sha256::of(b"x"))])).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(outputs.path("SHA256SUMS")).unwrap().lines().count(), 80);
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(folder.path());
    let draft = outputs.write_layer(&files("cc"), &changes(Content::from_bytes(*b"x")), 0, &NoStore, &Silent).unwrap();
    drop(draft);
    assert!(names(&outputs.path("debian13/amd64")).is_empty());
}

#[test]
fn a_stamp_tells_a_file_that_was_touched() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::new(folder.path());
    let path = outputs.path("layer");
    assert_eq!(outputs.stamp("layer"), None);
    std::fs::write(&path, "as it was").unwrap();
    let stamp = outputs.stamp("layer").unwrap();
    assert_eq!(outputs.stamp("layer"), Some(stamp));
    let made = std::fs::metadata(&path).unwrap().modified().unwrap();
    // The same file, size and time, another byte: until the clock of the file system has moved on, this
    // may not show, and such a stamp is not settled.
    let moved_on = || {
        std::fs::write(&path, "as it is.").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(made).unwrap();
        outputs.stamp("layer") != Some(stamp)
    };
    assert!((0..100_000).any(|_| moved_on()), "the time of change stands still");
    let since = made.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i128;
    assert!(!stamp.is_settled(since) && !stamp.is_settled(since + 99_000_000) && stamp.is_settled(since + 200_000_000));
    // Another file in its place.
    std::fs::write(outputs.path("other"), "as it was").unwrap();
    std::fs::rename(outputs.path("other"), &path).unwrap();
    assert_ne!(outputs.stamp("layer"), Some(stamp));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("other", &path).unwrap();
    assert_eq!(outputs.stamp("layer"), None);
}
