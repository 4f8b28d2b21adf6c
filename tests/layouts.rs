//! Reading layouts, honest ones and others; writing by the library alone.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use debstrata::{
    ground::{Class, DiffId, Failure as _, Sha256},
    image::{
        Digest, Image, Layer, Platform,
        layout::{Layout, LayoutError, Session, blobs_folder},
        spec::{Config, Descriptor, Index},
    },
    layer::Form,
    manifest::Image as Settings,
};
use miette::Diagnostic as _;

/// What is wrong, how it came to be, and what is said.
type Case<'a> = (&'a str, &'a dyn Fn(&Folder), &'a str);

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        blobs_folder(self.path()).join(digest.0.to_string())
    }

    /// The layer for amd64 of [`Folder::with`].
    fn layer(&self) -> PathBuf {
        self.blob(Digest(Sha256::of(b"layer of amd64")))
    }

    /// A layout with the image `cc` for these architectures; what its only layer holds is its architecture.
    fn with(architectures: &[&str]) -> Self {
        let folder = Self::new();
        let session = Session::begin(folder.path()).unwrap();
        let image = |architecture: &&str| {
            let bytes = format!("layer of {architecture}");
            let digest = Sha256::of(bytes.as_bytes());
            let path = folder.blob(Digest(digest));
            fs::write(&path, &bytes).unwrap();
            Image {
                name: "cc".to_owned(),
                platform: Platform::of(architecture.parse().unwrap()),
                settings: Settings::default(),
                created: 0,
                history: Vec::new(),
                layers: vec![Layer {
                    diff_id: DiffId(digest),
                    form: Form::Tar,
                    digest,
                    size: bytes.len() as u64,
                    path,
                    title: "debian13/cc".to_owned(),
                }],
            }
        };
        session.publish(&architectures.iter().map(image).collect::<Vec<_>>()).unwrap();
        folder
    }

    fn open(&self) -> Layout {
        Layout::open(self.path()).unwrap()
    }

    fn index(&self) -> Index {
        serde_json::from_slice(&fs::read(self.path().join("index.json")).unwrap()).unwrap()
    }

    fn set_index(&self, change: impl FnOnce(&mut Index)) {
        let mut index = self.index();
        change(&mut index);
        fs::write(self.path().join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    }
}

fn platform(architecture: &str, variant: Option<&str>) -> Platform {
    Platform { architecture: architecture.into(), os: "linux".into(), variant: variant.map(str::to_owned) }
}

#[track_caller]
fn fails<T: std::fmt::Debug>(result: Result<T, LayoutError>, says: &str) {
    let error = result.unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
    assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
    assert!(error.code().unwrap().to_string().starts_with("debstrata::") && error.help().is_some());
}

#[test]
fn what_was_written_is_read() {
    let folder = Folder::with(&["amd64", "arm64", "armhf"]);
    let layout = folder.open();
    let refs: Vec<_> = layout.refs().map(|(name, _)| name).collect();
    assert_eq!(refs, ["cc"]);
    let image = layout.resolve("cc").unwrap();
    assert_eq!(layout.resolve("").unwrap(), image);
    assert_eq!(layout.resolve(&image.digest.to_string()).unwrap(), image);
    for (wanted, found) in [
        (platform("amd64", None), "layer of amd64"),
        (platform("arm64", None), "layer of arm64"),
        (platform("arm64", Some("v8")), "layer of arm64"),
        (platform("arm", Some("v7")), "layer of armhf"),
        (platform("arm", None), "layer of armhf"),
    ] {
        let (descriptor, manifest) = layout.choose(&image, &wanted).unwrap();
        assert_eq!(layout.read(&manifest.layers[0], 100).unwrap(), found.as_bytes());
        layout.verify(&manifest.layers[0]).unwrap();
        let mut text = String::new();
        layout.open_blob(&manifest.layers[0]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, found);
        let config: Config = layout.config(&manifest).unwrap();
        assert_eq!(config.architecture, wanted.architecture);
        // One platform's manifest, by its digest and without a platform beside it.
        assert_eq!(layout.resolve(&descriptor.digest.to_string()).unwrap(), descriptor);
        let bare = Descriptor { platform: None, ..descriptor };
        assert_eq!(layout.choose(&bare, &wanted).unwrap().1, manifest);
    }
    fails(layout.choose(&image, &platform("arm", Some("v6"))), "has no image for linux/arm/v6");
    fails(layout.choose(&image, &platform("riscv64", None)), "has no image for linux/riscv64");
}

#[test]
fn names_that_are_not_there_or_not_alone() {
    let folder = Folder::with(&["amd64"]);
    fails(folder.open().resolve("base"), "has no image \"base\"");
    fails(folder.open().resolve("ba\u{1b}[31mse"), "has no image");
    let help = folder.open().resolve("base").unwrap_err().help().unwrap().to_string();
    assert_eq!(help, "it has: cc");
    fails(folder.open().resolve(&Digest(Sha256::of(b"x")).to_string()), "has no image");
    folder.set_index(|index| {
        let mut other = index.manifests[0].clone();
        other.annotations.values_mut().for_each(|name| *name = "evil\u{1b}[31m\n".to_owned());
        let twice = index.manifests[0].clone();
        index.manifests.extend([other, twice]);
    });
    let error = folder.open().resolve("cc").unwrap_err();
    assert!(error.help().unwrap().to_string().contains("sha256:"), "{error:?}");
    fails(folder.open().resolve(""), "has no image \"\"");
    let error = folder.open().resolve("none").unwrap_err();
    assert!(!error.help().unwrap().to_string().contains(['\u{1b}', '\n']), "{error:?}");
    assert_eq!(error.class(), Class::User);
}

#[test]
fn folders_that_are_no_layouts() {
    let cases: [Case<'_>; 9] = [
        ("gone", &|it| fs::remove_dir_all(it.path()).unwrap(), "there is no such folder"),
        ("no marker", &|it| fs::remove_file(it.path().join("oci-layout")).unwrap(), "it has no file oci-layout"),
        ("no index", &|it| fs::remove_file(it.path().join("index.json")).unwrap(), "it has no file index.json"),
        (
            "another version",
            &|it| fs::write(it.path().join("oci-layout"), r#"{"imageLayoutVersion":"9\u001b"}"#).unwrap(),
            "only 1.0.0 is known",
        ),
        ("a long marker", &|it| fs::write(it.path().join("oci-layout"), [b' '; 5000]).unwrap(), "longer than the 4096"),
        ("no JSON", &|it| fs::write(it.path().join("index.json"), "nonsense").unwrap(), "is malformed"),
        (
            "a huge index",
            &|it| fs::File::create(it.path().join("index.json")).unwrap().set_len(1 << 40).unwrap(),
            "longer than the 8388608",
        ),
        (
            "a linked index",
            &|it| {
                fs::rename(it.path().join("index.json"), it.path().join("other")).unwrap();
                symlink("other", it.path().join("index.json")).unwrap();
            },
            "is a symbolic link",
        ),
        (
            "another algorithm",
            &|it| {
                let text = fs::read_to_string(it.path().join("index.json")).unwrap().replace("sha256:", "sha512:");
                fs::write(it.path().join("index.json"), text).unwrap();
            },
            "is malformed",
        ),
    ];
    for (what, spoil, says) in cases {
        let folder = Folder::with(&["amd64"]);
        spoil(&folder);
        let error = Layout::open(folder.path()).map(drop).unwrap_err();
        assert!(error.to_string().contains(says), "{what}: {error}");
        assert_eq!(error.class(), Class::User, "{what}");
    }
}

#[test]
fn blobs_that_lie() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let cases: [Case<'_>; 6] = [
        ("gone", &|it| fs::remove_file(it.layer()).unwrap(), "has no blob sha256:"),
        ("truncated", &|it| fs::write(it.layer(), "layer of amd6").unwrap(), "it has 13 bytes, its descriptor says 14"),
        ("altered", &|it| fs::write(it.layer(), "layer of evil.").unwrap(), "its bytes are sha256:"),
        (
            "a link to outside",
            &|it| {
                fs::write(outside.path(), "layer of amd64").unwrap();
                fs::remove_file(it.layer()).unwrap();
                symlink(outside.path(), it.layer()).unwrap();
            },
            "is a symbolic link",
        ),
        (
            "a linked folder",
            &|it| {
                fs::rename(it.path().join("blobs/sha256"), it.path().join("elsewhere")).unwrap();
                symlink("../elsewhere", it.path().join("blobs/sha256")).unwrap();
            },
            "is a symbolic link",
        ),
        (
            "a folder",
            &|it| {
                fs::remove_file(it.layer()).unwrap();
                fs::create_dir(it.layer()).unwrap();
            },
            "no regular file",
        ),
    ];
    for (what, spoil, says) in cases {
        let folder = Folder::with(&["amd64"]);
        let layout = folder.open();
        let (_, manifest) = layout.choose(&layout.resolve("cc").unwrap(), &platform("amd64", None)).unwrap();
        let layer = &manifest.layers[0];
        spoil(&folder);
        for result in [layout.read(layer, 100).map(drop), layout.verify(layer)] {
            let error = result.unwrap_err();
            assert!(error.to_string().contains(says), "{what}: {error}");
        }
        assert_eq!(layout.open_blob(layer).is_ok(), what == "altered", "{what}: only reading finds that");
    }
}

#[test]
fn documents_have_a_longest_length() {
    let folder = Folder::with(&["amd64"]);
    folder.set_index(|index| index.manifests[0].size = u64::MAX);
    let layout = folder.open();
    fails(layout.choose(&layout.resolve("cc").unwrap(), &platform("amd64", None)), "more than the 4194304");
    let found = layout.resolve(&Digest(Sha256::of(b"x")).to_string());
    fails(found, "more than the 4194304");
}

/// An index that has itself in it cannot be made, but a deep one can.
#[test]
fn indexes_in_indexes_end() {
    let folder = Folder::with(&["amd64"]);
    for depth in 0..6 {
        let layout = folder.open();
        let (image, chosen) = (layout.resolve("cc").unwrap(), platform("amd64", None));
        assert_eq!(layout.choose(&image, &chosen).is_ok(), depth < 4, "{depth}");
        folder.set_index(|index| {
            let inner =
                Index { manifests: vec![Descriptor { annotations: [].into(), ..image.clone() }], ..index.clone() };
            let bytes = serde_json::to_vec(&inner).unwrap();
            let outer = Descriptor::of(&image.media_type, &bytes);
            fs::write(folder.blob(outer.digest), bytes).unwrap();
            index.manifests[0] = Descriptor { annotations: image.annotations.clone(), ..outer };
        });
    }
}

#[test]
fn a_session_wants_the_layers_first() {
    let folder = Folder::with(&["amd64"]);
    let layer = folder.blob(Digest(Sha256::of(b"layer of amd64")));
    fs::remove_file(&layer).unwrap();
    let before = fs::read(folder.path().join("index.json")).unwrap();
    let image = Image {
        name: "other".to_owned(),
        platform: platform("amd64", None),
        settings: Settings::default(),
        created: 0,
        history: Vec::new(),
        layers: vec![Layer {
            diff_id: DiffId(Sha256::of(b"layer of amd64")),
            form: Form::Tar,
            digest: Sha256::of(b"layer of amd64"),
            size: 14,
            path: layer,
            title: "debian13/cc".to_owned(),
        }],
    };
    fails(Session::begin(folder.path()).unwrap().publish(&[image]), "has no blob");
    assert_eq!(fs::read(folder.path().join("index.json")).unwrap(), before);
}

#[test]
fn an_open_layout_keeps_its_blobs() {
    let folder = Folder::with(&["amd64"]);
    let stray = folder.blob(Digest(Sha256::of(b"stray")));
    fs::write(&stray, "stray").unwrap();
    let layout = folder.open();
    // Something changes: the image is no longer there under another name.
    let session = Session::begin(folder.path()).unwrap();
    folder.set_index(|index| index.manifests.clear());
    session.publish(&[]).unwrap();
    assert!(stray.exists(), "somebody reads");
    drop(layout);
    fs::remove_file(folder.path().join("oci-layout")).unwrap();
    Session::begin(folder.path()).unwrap().publish(&[]).unwrap();
    assert!(!stray.exists());
    assert_eq!(fs::read_dir(blobs_folder(folder.path())).unwrap().count(), 0);
}
