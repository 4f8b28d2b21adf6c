//! `audit`: rebuilds from the lock into nothing and compares.

use std::{fs, io::Write as _};

use serde_json::Value;

use crate::world::{World, files, package};

#[test]
fn what_was_built_is_equal_and_nothing_changes() {
    let world = World::small();
    world.build();
    let before = world.snapshot(&[]);
    let asked = world.asked();
    let run = world.run(&["audit"]).exits(0).prints(&["equal: 2 layers rebuilt from the lock"]);
    assert_eq!(run.stdout.lines().count(), 1);
    world.run(&["audit", "base", "--against", world.path("out").to_str().unwrap()]).exits(0).prints(&["equal: 1 "]);
    let verdict = world.run(&["audit", "--json"]).exits(0).json();
    assert_eq!((&verdict["equal"], &verdict["differences"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(world.snapshot(&[]), before);
    assert_eq!(world.asked(), asked);
}

#[test]
fn a_fresh_clone_is_audited_from_the_lock_alone() {
    let world = World::small();
    world.build();
    fs::remove_dir_all(world.path("out")).unwrap();
    fs::remove_dir_all(world.path("cache")).unwrap();
    let before = world.snapshot(&[]);
    world.run(&["audit"]).exits(0);
    assert_eq!(world.snapshot(&["cache/downloads", "cache/CACHEDIR.TAG", "cache/.gitignore"]), before);
    assert_eq!(world.run(&["audit", "--offline"]).exits(0).stdout, "equal: 2 layers rebuilt from the lock\n");
}

#[test]
fn the_chain_of_trust_is_checked_down_to_the_package() {
    let mut world = World::small();
    world.build();
    world
        .run(&["audit", "--verbose"])
        .exits(0)
        .says(&["source-1/trixie: signed as the lock says", "amd64: 2 packages are listed by signed indexes"]);
    // The lock keeps a version that the archive has replaced.
    world.publish(|suite| suite.packages[0].1 = package("hello", "2.0").build());
    world.tier("more", "packages = [\"hello\"]\n");
    world.run(&["lock"]).exits(0);
    assert_eq!(world.locked()[1], "hello 1.0");
    world.run(&["audit", "base"]).exits(0).says(&["do not list hello 1.0", "lock --upgrade"]);
    // A damaged index proves nothing.
    let lists = |bytes: &[u8]| bytes.starts_with(b"\xfd7zXZ") || bytes.starts_with(b"Package:");
    let listed = files(&world.path("cache/downloads"));
    let listed = listed.into_iter().filter(|path| lists(&fs::read(path).unwrap()));
    let indexes: Vec<_> = listed.collect();
    assert!(!indexes.is_empty());
    for index in &indexes {
        let bytes = fs::read(index).unwrap();
        fs::write(index, vec![0; bytes.len()]).unwrap();
    }
    // As good as none.
    world.run(&["audit", "base", "--verbose"]).exits(0).says(&["no longer has the indexes of the lock"]);
}

#[test]
fn nothing_derived_by_an_earlier_run_is_trusted() {
    let world = World::small();
    world.build();
    // Whatever the cache derived is replaced by lies.
    for path in crate::world::files(&world.path("cache/derived")) {
        fs::write(path, "lies").unwrap();
    }
    world.run(&["audit"]).exits(0);
}

#[test]
fn what_a_killed_audit_left_goes_with_the_next() {
    let world = World::small();
    world.build();
    let left = world.path("cache/scratch-killed");
    fs::create_dir_all(left.join("unpacked")).unwrap();
    fs::File::open(&left).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let other = world.path("cache/scratch-running");
    fs::create_dir(&other).unwrap();
    world.run(&["audit"]).exits(0);
    assert!(!left.exists() && other.exists());
}

#[test]
fn outputs_that_differ_are_named() {
    let gzip = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let unzip = |bytes: &[u8]| {
        let mut tar = Vec::new();
        std::io::copy(&mut flate2::read::MultiGzDecoder::new(bytes), &mut tar).unwrap();
        tar
    };
    let world = World::small();
    world.build();
    let base = world.out("test/amd64/base.tar.gz");
    let good = fs::read(&base).unwrap();
    let mut altered = unzip(&good);
    let at = altered.windows(9).position(|window| window == b"hello 1.0").unwrap();
    altered[at] = b'j';
    let against = world.path("out");
    let arguments = ["audit", "--against", against.to_str().unwrap()];
    let hello = "/usr/share/hello/file";
    let cases = [
        ("hello differs: edited after the build", gzip(&altered), "content", hello.into()),
        ("the file is damaged or was cut off", good[..good.len() / 2].to_vec(), "framing", Value::Null),
        ("what is given is no tar", b"no gzip".to_vec(), "framing", Value::Null),
        // Another compression of the same tar is another file.
        ("gzip header: XFL", gzip(&unzip(&good)), "compression", Value::Null),
    ];
    for (cause, bytes, field, entry) in cases {
        fs::write(&base, bytes).unwrap();
        let run = world.run(&arguments).exits(1).prints(&["test/base amd64", cause, "base.tar.gz"]);
        assert_eq!(run.stderr.matches("base.tar.gz").count(), 0, "the answer is on stdout: {}", run.stderr);
        let verdict = world.run(&[&arguments[..], &["--json"]].concat()).exits(1).json();
        assert_eq!(verdict["equal"], false);
        let all = verdict["differences"].as_array().unwrap();
        let difference = all.iter().find(|difference| difference["field"] == field).unwrap();
        assert_eq!(difference["tier"], "test/base");
        if !entry.is_null() {
            assert_eq!((&difference["entry"], all.len()), (&entry, 1));
            assert_eq!(difference["origin"], "the package hello 1.0 (amd64)");
            assert_eq!((&difference["offset"], &difference["bytes"]), (&0.into(), &serde_json::json!([b'h', b'j'])));
        }
        for key in ["architecture", "entry", "expected", "found", "offset", "cause"] {
            assert!(difference.get(key).is_some(), "{key}: {difference}");
        }
    }
    // Compressed otherwise, the same content.
    fs::write(&base, gzip(&unzip(&good))).unwrap();
    world.run(&arguments).exits(1).prints(&["equal content in another compression: 1 layer of 1 compared"]);
    world.run(&[&arguments[..], &["--content"]].concat()).exits(0).prints(&["equal: 2 layers"]);
    fs::remove_file(&base).unwrap();
    world.run(&arguments).exits(1).prints(&["test/base", "has no layer of this tier"]);
    world.run(&["audit"]).exits(0);
    let nowhere = world.path("nowhere");
    world.run(&["audit", "--against", nowhere.to_str().unwrap()]).exits(2).says(&["cannot read", "nowhere"]);
    assert!(!nowhere.exists());
}

#[test]
fn every_form_of_an_output_counts() {
    let world = World::small();
    world.run(&["build", "--format", "tar,tar.gz,tar.zst"]).exits(0);
    let against = world.path("out");
    let arguments = ["audit", "--against", against.to_str().unwrap()];
    world.run(&arguments).exits(0);
    for name in ["base.tar", "base.tar.zst"] {
        let path = world.out("test/amd64").join(name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, b"other").unwrap();
        world.run(&arguments).exits(1).prints(&[name]);
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn a_lock_that_says_otherwise_is_a_difference() {
    let world = World::small();
    world.run(&["audit"]).exits(2).says(&["debstrata.lock", "there is no lock"]);
    // Locked, never built: an audit with nothing to compare with proves nothing.
    world.run(&["lock"]).exits(0);
    world.run(&["audit"]).exits(1).prints(&["the lock records no layer of this tier", "2 differences"]);
    world.build();
    let good = world.lock();
    let recorded = good.split("base = { recipe").nth(1).unwrap().split("sha256:").nth(1).unwrap()[..64].to_owned();
    fs::write(world.lock_path(), good.replace(&recorded, &"5".repeat(64))).unwrap();
    world.run(&["audit"]).exits(1).prints(&[
        "test/base amd64: the same inputs gave other bytes",
        &recorded,
        &"5".repeat(64),
        "1 difference",
    ]);
    fs::write(world.lock_path(), &good).unwrap();
    // An edit of the manifests is a difference too, and is told from the other kind.
    world.edit("base.toml", "packages", "globs.exclude = ['/usr/share/hello/**']\npackages");
    world.run(&["audit"]).exits(1).prints(&["test/base amd64: the manifests were edited"]);
    world.tier("top", "parent = 'base'\npackages = []");
    world.run(&["audit"]).exits(2).says(&["does not fit the manifests", "changed: top (amd64)"]);
    assert_eq!(world.lock(), good);
}

#[test]
fn a_package_that_was_exchanged_in_the_lock_is_noticed() {
    let mut world = World::small();
    world.build();
    let good = world.lock();
    let old = world.deb("hello").clone();
    let new = package("hello", "1.0").file("/usr/share/hello/backdoor", 0o755, "x").build();
    world.publish(|suite| suite.packages[0].1 = new.clone());
    let sum = |deb: &crate::support::Deb| debstrata::ground::Sha256::of(&deb.bytes).to_string();
    let doctored = good
        .replace(&sum(&old), &sum(&new))
        .replace(&format!("size = {}, sha256", old.bytes.len()), &format!("size = {}, sha256", new.bytes.len()));
    assert_ne!(doctored, good);
    fs::write(world.lock_path(), &doctored).unwrap();
    world.run(&["audit"]).exits(2).says(&["hello is the .deb of", "debstrata.lock"]);
    world.run(&["build", "--locked"]).exits(2).says(&["debstrata.lock", "base (amd64)"]);
    world.run(&["build"]).exits(2).says(&["hello is the .deb of", "debstrata.lock"]);
    assert!(!world.layer("base").contains_key("usr/share/hello/backdoor"));
}

/// `layers` as `docker save` packs them, for amd64.
fn docker(layers: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    names.iter().zip(layers).for_each(|(name, bytes)| add(name, bytes));
    add("config.json", br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#);
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": ["test:top"], "Layers": names }]);
    add("manifest.json", manifest.to_string().as_bytes());
    tar.into_inner().unwrap()
}

#[test]
fn one_layer_and_images_are_compared_too() {
    let world = World::small();
    world.run(&["build", "--format", "tar,tar.gz"]).exits(0);
    let read = |name: &str| fs::read(world.out("test/amd64").join(name)).unwrap();
    let given = world.path("given");
    let path = given.to_str().unwrap();
    fs::write(&given, read("top.tar.gz")).unwrap();
    world.run(&["audit", "top", "--against", path]).exits(0).prints(&["equal: 2 layers", "1 given layer compared"]);
    world.run(&["audit", "base", "--against", path]).exits(1).prints(&["/usr/share/greeting", "extra", "missing"]);
    world.run(&["audit", "--against", path]).exits(2).says(&["is one layer, and 2 tiers are asked for"]);

    fs::write(&given, docker(&[read("base.tar"), read("top.tar.gz")])).unwrap();
    world.run(&["audit", "top", "--against", path]).exits(0).prints(&["2 given layers compared"]);
    world.run(&["audit", "--against", path]).exits(1).prints(&["no image that is given is called like this tier"]);
    world
        .run(&["audit", "top", "--against", path, "--parity"])
        .exits(0)
        .prints(&["parity: ", " are the same, 0 differ"]);
    // Other layers than ours: both trees are compared.
    let mut squashed = read("base.tar");
    squashed.truncate(squashed.len() - 1024);
    squashed.extend(read("top.tar"));
    fs::write(&given, docker(&[squashed])).unwrap();
    world.run(&["audit", "top", "--against", path]).exits(0).prints(&["parity: "]);
    fs::write(&given, docker(&[read("base.tar")])).unwrap();
    let verdict = world.run(&["audit", "top", "--against", path, "--json"]).exits(1).json();
    assert_eq!(verdict["summaries"][0]["parity"]["missing"], 3, "{verdict}");
    assert_eq!(verdict["verdict"], "differs");
}

#[test]
fn an_oci_layout_is_compared_too() {
    let world = World::small();
    world.build();
    let layout = world.path("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let blob = |media: &str, bytes: &[u8]| {
        let digest = debstrata::ground::Sha256::of(bytes).to_string();
        fs::write(layout.join("blobs/sha256").join(&digest), bytes).unwrap();
        serde_json::json!({ "mediaType": media, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    };
    let layer = |name: &str| {
        let bytes = fs::read(world.out("test/amd64").join(name)).unwrap();
        blob("application/vnd.oci.image.layer.v1.tar+gzip", &bytes)
    };
    let config = blob(
        "application/vnd.oci.image.config.v1+json",
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
    );
    let manifest = serde_json::json!({
        "schemaVersion": 2, "config": config, "layers": [layer("base.tar.gz"), layer("top.tar.gz")]
    });
    let mut entry = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "top" });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    fs::write(layout.join("index.json"), &index).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let arguments = ["audit", "top", "--against", layout.to_str().unwrap()];
    world.run(&arguments).exits(0).prints(&["2 given layers compared"]);
    let altered = index.replace("sha256:", "sha256:0000");
    fs::write(layout.join("index.json"), altered).unwrap();
    world.run(&arguments).exits(2).says(&["is no usable image", "index.json"]);
}
