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

/// `layers` as `docker save` packs them, with this config.
fn docker(config: &[u8], layers: &[Vec<u8>]) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": ["test:top"], "Layers": names }]);
    let layers = names.iter().map(String::as_str).zip(layers.iter().map(Vec::as_slice));
    let ends =
        [("config.json", config), ("manifest.json", manifest.to_string().as_bytes())].map(|(n, b)| (n, b.to_vec()));
    let ends = ends.iter().map(|(name, bytes)| (*name, bytes.as_slice()));
    archive(layers.chain(ends))
}

fn archive<'a>(members: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    members.for_each(|(name, bytes)| add(name, bytes));
    tar.into_inner().unwrap()
}

#[test]
fn one_layer_and_images_are_compared_too() {
    let world = World::small();
    world.run(&["build", "--format", "tar,tar.gz,oci"]).exits(0);
    let config = config_of(&world.out("test/oci"), "top");
    fs::remove_dir_all(world.out("test/oci")).unwrap();
    let docker = |layers: &[Vec<u8>]| docker(&config, layers);
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

/// A layout of built images, that can be altered.
struct Oci(std::path::PathBuf);

impl Oci {
    fn read(&self, digest: &Value) -> Vec<u8> {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        fs::read(self.0.join("blobs/sha256").join(hex)).unwrap()
    }

    fn json(&self, at: &Value) -> Value {
        serde_json::from_slice(&self.read(&at["digest"])).unwrap()
    }

    /// A descriptor like `like` of a document that is then there.
    fn put(&self, like: &Value, document: &Value) -> Value {
        let bytes = document.to_string();
        let digest = debstrata::ground::Sha256::of(bytes.as_bytes()).to_string();
        fs::write(self.0.join("blobs/sha256").join(&digest), &bytes).unwrap();
        let mut at = like.clone();
        (at["digest"], at["size"]) = (format!("sha256:{digest}").into(), bytes.len().into());
        at
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(self.0.join("index.json")).unwrap()).unwrap()
    }

    fn set_index(&self, index: &Value) {
        fs::write(self.0.join("index.json"), index.to_string()).unwrap();
    }

    /// Its entry of this name, and the first manifest below that.
    fn named(&self, name: &str) -> (usize, Value) {
        let index = self.index();
        let entries = index["manifests"].as_array().unwrap();
        let of = |entry: &Value| entry["annotations"]["org.opencontainers.image.ref.name"] == name;
        let at = entries.iter().position(of).unwrap();
        match entries[at]["mediaType"].as_str().unwrap().contains("index") {
            true => (at, self.json(&entries[at])["manifests"][0].clone()),
            false => (at, entries[at].clone()),
        }
    }

    /// Gives a name to another manifest.
    fn name(&self, name: &str, manifest: &Value) {
        let (mut index, (at, _)) = (self.index(), self.named(name));
        let mut entry = manifest.clone();
        entry["annotations"] = index["manifests"][at]["annotations"].clone();
        index["manifests"][at] = entry;
        self.set_index(&index);
    }
}

fn config_of(layout: &std::path::Path, name: &str) -> Vec<u8> {
    let oci = Oci(layout.to_owned());
    oci.read(&oci.json(&oci.named(name).1)["config"]["digest"])
}

const IMAGE: &str =
    "image = { user = '7', env = { LD_PRELOAD = '/a' }, entrypoint = ['/x'], annotations = { n = 'v' } }\n";

/// `top`, its variants `nonroot` and (an overlay) `debug`, built as a layout alone.
fn with_images() -> (World, Oci, String) {
    let world = World::new(
        [package("hello", "1.0"), package("greeting", "1.0"), package("tools", "1.0")],
        &[
            ("base", "packages = ['hello']"),
            (
                "top",
                &format!(
                    "parent = 'base'\npackages = ['greeting']\n{IMAGE}[variants.nonroot]\nuser = '65532'\n\
                     [variants.debug]\noverlay = 'tools'\nentrypoint = ['/usr/bin/sh']\n"
                ),
            ),
            ("tools", "parent = 'base'\npackages = ['tools']"),
        ],
    );
    world.run(&["build", "--format", "oci"]).exits(0);
    let oci = Oci(world.out("test/oci"));
    let path = oci.0.to_str().unwrap().to_owned();
    (world, oci, path)
}

#[test]
fn configs_of_images_are_compared_in_every_part() {
    let (world, oci, path) = with_images();
    let arguments = ["audit", "top", "--against", &path, "--json"];
    world.run(&arguments).exits(0);
    for name in ["top", "top-nonroot", "top-debug"] {
        let good = oci.index();
        let (_, at) = oci.named(name);
        let manifest = oci.json(&at);
        let config = oci.json(&manifest["config"]);
        let cases: [(&str, &str, Value); 10] = [
            ("/config/User", "User", "0".into()),
            ("/config/Entrypoint", "Entrypoint", serde_json::json!(["/evil"])),
            ("/config/Env", "Env LD_PRELOAD", serde_json::json!(["LD_PRELOAD=/evil"])),
            ("/config/Cmd", "Cmd", serde_json::json!(["-c"])),
            ("/config/OnBuild", "OnBuild", serde_json::json!(["RUN evil"])),
            ("/created", "created", "2001-01-01T00:00:00Z".into()),
            ("/history/0/created_by", "history", "me".into()),
            ("/rootfs/diff_ids/0", "diff_ids", format!("sha256:{}", "5".repeat(64)).into()),
            ("/author", "author", "me".into()),
            ("/os.version", "os.version", "1".into()),
        ];
        for (pointer, detail, value) in cases {
            let mut config = config.clone();
            let (folder, key) = pointer.rsplit_once('/').unwrap();
            match config.pointer_mut(folder).unwrap() {
                Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
                object => object[key] = value,
            }
            let mut manifest = manifest.clone();
            manifest["config"] = oci.put(&manifest["config"], &config);
            oci.name(name, &oci.put(&at, &manifest));
            let verdict = world.run(&arguments).exits(1).json();
            let all = verdict["differences"].as_array().unwrap();
            assert_eq!(all.len(), 1, "{name} {detail}: {verdict}");
            assert_eq!((&all[0]["entry"], &all[0]["field"]), (&"config".into(), &"content".into()), "{verdict}");
            assert_eq!((&all[0]["detail"], &all[0]["tier"]), (&detail.into(), &format!("test/{name}").into()));
            // A foreign image's config is told, and is no difference.
            let parity = world.run(&[&arguments[..], &["--parity"]].concat()).exits(0).json();
            assert_eq!(
                parity.to_string().contains(&format!("config, {detail}: ")),
                !["created", "history", "diff_ids"].contains(&detail)
            );
            oci.set_index(&good);
        }
        // The same, written otherwise; other annotations; a layer that is not what its manifest says.
        let mut spaced = serde_json::to_string_pretty(&config).unwrap();
        spaced.push('\n');
        let digest = debstrata::ground::Sha256::of(spaced.as_bytes()).to_string();
        fs::write(oci.0.join("blobs/sha256").join(&digest), &spaced).unwrap();
        let mut other = manifest.clone();
        (other["config"]["digest"], other["config"]["size"]) = (format!("sha256:{digest}").into(), spaced.len().into());
        oci.name(name, &oci.put(&at, &other));
        assert_eq!(world.run(&arguments).exits(1).json()["differences"][0]["detail"], "bytes");
        let mut other = manifest.clone();
        other["annotations"]["n"] = "w".into();
        oci.name(name, &oci.put(&at, &other));
        assert_eq!(world.run(&arguments).exits(1).json()["differences"][0]["detail"], "annotation n");
        let mut other = manifest.clone();
        let layer = other["layers"][0]["digest"].as_str().unwrap().replace("sha256:", "");
        let lie = "6".repeat(64);
        fs::copy(oci.0.join("blobs/sha256").join(layer), oci.0.join("blobs/sha256").join(&lie)).unwrap();
        other["layers"][0]["digest"] = format!("sha256:{lie}").into();
        oci.name(name, &oci.put(&at, &other));
        assert_eq!(world.run(&arguments).exits(1).json()["differences"][0]["detail"], "digest");
        oci.set_index(&good);
    }
}

#[test]
fn images_that_could_be_meant_as_well_are_differences() {
    let (world, oci, path) = with_images();
    let arguments = ["audit", "top", "--against", &path, "--json"];
    let extra = |run: crate::world::Run| {
        let verdict = run.exits(1).json();
        let all = verdict["differences"].as_array().unwrap().clone();
        assert!(all.iter().any(|one| one["field"] == "extra" && one["detail"] == "image"), "{verdict}");
    };
    let good = oci.index();
    let (at, one) = oci.named("top");
    let mut manifest = oci.json(&one);
    manifest["annotations"] = serde_json::json!({ "n": "other" });
    let named = |name: &str, manifest: &Value| {
        let mut index = good.clone();
        let mut entry = oci.put(&one, manifest);
        entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": name });
        index["manifests"].as_array_mut().unwrap().push(entry);
        oci.set_index(&index);
    };
    // Of the same name.
    named("top", &manifest);
    extra(world.run(&arguments));
    // It says of itself that it is something else, and tools run it as the image.
    let mut artifact = manifest.clone();
    artifact["artifactType"] = "application/x".into();
    artifact["subject"] = one.clone();
    named("top", &artifact);
    extra(world.run(&arguments));
    // What has no image's config is none.
    artifact["config"]["mediaType"] = "application/vnd.oci.empty.v1+json".into();
    named("top", &artifact);
    world.run(&arguments).exits(0);
    // An exact name goes before a part of one.
    named("registry.example.org/top:1", &manifest);
    world.run(&arguments).exits(0);
    // Two for one platform in an index.
    let mut platforms = oci.json(&good["manifests"][at]);
    let second = oci.put(&platforms["manifests"][0], &manifest);
    platforms["manifests"].as_array_mut().unwrap().push(second);
    let mut index = good.clone();
    index["manifests"][at] = oci.put(&index["manifests"][at], &platforms);
    oci.set_index(&index);
    extra(world.run(&arguments));

    // Docker archives: two images of a tag, and members that readers do not agree on.
    oci.set_index(&good);
    let manifest = oci.json(&one);
    let layers: Vec<Vec<u8>> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| oci.read(&layer["digest"])).collect();
    let config = config_of(&oci.0, "top");
    let given = world.path("given");
    let arguments = ["audit", "top", "--against", given.to_str().unwrap(), "--json"];
    let lines = |count: usize| {
        let line = serde_json::json!({ "Config": "c", "RepoTags": ["test/top:latest"], "Layers": ["0", "1"] });
        Value::from(vec![line; count]).to_string().into_bytes()
    };
    let write = |manifests: &[Vec<u8>]| {
        let members = [("0", &*layers[0]), ("1", &*layers[1]), ("c", &*config)];
        let manifests = manifests.iter().map(|bytes| ("manifest.json", bytes.as_slice()));
        fs::write(&given, archive(members.into_iter().chain(manifests))).unwrap();
    };
    write(&[lines(1)]);
    world.run(&arguments).exits(0);
    write(&[lines(2)]);
    extra(world.run(&arguments));
    write(&[lines(1), lines(1)]);
    world.run(&arguments).exits(2).says(&["is no usable image", "manifest.json twice"]);
}

#[test]
fn layouts_and_archives_among_outputs_are_compared() {
    let (world, oci, _) = with_images();
    let out = world.path("out");
    let arguments = ["audit", "top", "--against", out.to_str().unwrap()];
    world.run(&arguments).exits(0).prints(&["equal: 3 layers", "3 given layers compared"]);
    world.run(&["audit", "--against", out.to_str().unwrap()]).exits(0);
    let (_, at) = oci.named("top-debug");
    let manifest = oci.json(&at);
    let mut config = oci.json(&manifest["config"]);
    config["config"]["User"] = "0".into();
    let mut other = manifest.clone();
    other["config"] = oci.put(&manifest["config"], &config);
    oci.name("top-debug", &oci.put(&at, &other));
    world.run(&arguments).exits(1).prints(&["test/top-debug", "User"]);

    fs::remove_dir_all(&out).unwrap();
    world.run(&["build", "--format", "docker"]).exits(0);
    for file in files(&out).iter().filter(|file| file.extension().is_some_and(|end| end == "gz")) {
        fs::remove_file(file).unwrap();
    }
    world.run(&arguments).exits(0);
    fs::copy(world.out("test/amd64/top.docker.tar"), world.out("test/amd64/top-nonroot.docker.tar")).unwrap();
    world.run(&arguments).exits(1);
    fs::remove_dir_all(&out).unwrap();
    fs::create_dir(&out).unwrap();
    world.run(&arguments).exits(1).prints(&["has no layer of this tier"]);
}

#[test]
fn what_is_damaged_or_leads_out_is_no_layout() {
    let (world, oci, path) = with_images();
    let arguments = ["audit", "top", "--against", &path];
    let good = fs::read_to_string(oci.0.join("index.json")).unwrap();
    fs::write(oci.0.join("index.json"), good.replace("sha256:", "sha256:0000")).unwrap();
    world.run(&arguments).exits(2).says(&["is no usable image", "index.json"]);
    fs::write(oci.0.join("index.json"), &good).unwrap();
    fs::write(oci.0.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    world.run(&arguments).exits(2).says(&["is no usable image", "2.0.0"]);
    fs::write(oci.0.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let manifest = oci.json(&oci.named("top").1);
    let layer = manifest["layers"][1]["digest"].as_str().unwrap().replace("sha256:", "");
    let layer = oci.0.join("blobs/sha256").join(layer);
    fs::rename(&layer, world.path("elsewhere")).unwrap();
    world.run(&arguments).exits(2).says(&["is no usable image", "has no blob"]);
    std::os::unix::fs::symlink(world.path("elsewhere"), &layer).unwrap();
    world.run(&arguments).exits(2).says(&["is no usable image", "symbolic link"]);
}
