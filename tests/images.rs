//! Images: layouts and docker archives of a project, read by other means than the ones that wrote them.

#[allow(dead_code)]
#[path = "scenarios/world.rs"]
mod world;

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use debstrata::ground::Sha256;
use serde_json::{Value, json};

use support::DebBuilder;
use world::{World, files, package, written};

/// Two tiers for two architectures.
fn two() -> World {
    let arm = |name: &str| package(name, "1.0").arch("arm64").file(format!("/usr/share/{name}/arm"), 0o644, "arm");
    let world = World::new(
        [package("hello", "1.0"), arm("hello"), package("greeting", "1.0"), arm("greeting")],
        &[("base", "packages = ['hello']"), ("top", "parent = 'base'\npackages = ['greeting']")],
    );
    world.edit_archive("[\"amd64\"]", "[\"amd64\", \"arm64\"]");
    world
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).unwrap()
}

/// The blob of a descriptor, which must be what it says (descriptor.md, content-descriptor.json).
fn blob(layout: &Path, descriptor: &Value, seen: &mut BTreeSet<String>) -> Vec<u8> {
    let text = |key: &str| descriptor[key].as_str().unwrap_or_else(|| panic!("{key} of {descriptor}"));
    let (kind, sub) = text("mediaType").split_once('/').unwrap();
    let restricted = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() < 128 && name.chars().all(fits)
    };
    assert!(restricted(kind) && restricted(sub), "{descriptor}");
    let known = ["mediaType", "digest", "size", "platform", "annotations"];
    assert!(descriptor.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{descriptor}");
    if let Some(notes) = descriptor.get("annotations") {
        assert!(notes.as_object().unwrap().values().all(Value::is_string), "{descriptor}");
    }
    let name = text("digest").strip_prefix("sha256:").unwrap();
    assert!(name.len() == 64 && name.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{descriptor}");
    let bytes = read(&layout.join("blobs/sha256").join(name));
    assert_eq!(descriptor["size"], bytes.len());
    assert_eq!(Sha256::of(&bytes).to_string(), name);
    seen.insert(name.to_owned());
    bytes
}

fn unpacked(media_type: &str, bytes: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    match media_type.strip_prefix("application/vnd.oci.image.layer.v1.tar").unwrap() {
        "+gzip" => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut tar).unwrap()),
        "+zstd" => drop(zstd::Decoder::new(bytes).unwrap().read_to_end(&mut tar).unwrap()),
        other => panic!("{other}"),
    }
    tar
}

fn is_rfc_3339(value: &Value) -> bool {
    value.as_str().unwrap().parse::<jiff::Timestamp>().is_ok()
}

/// Reads a whole layout and holds it against image-layout.md, image-index.md, manifest.md and config.md: by
/// name and architecture, the digests of layers. No blob is left over.
fn checked(layout: &Path) -> BTreeMap<(String, String), Vec<String>> {
    assert_eq!(json_of(&layout.join("oci-layout")), json!({ "imageLayoutVersion": "1.0.0" }));
    let (mut images, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let top = json_of(&layout.join("index.json"));
    let head = |document: &Value, kind: &str| {
        assert_eq!(document["schemaVersion"], 2);
        assert_eq!(document["mediaType"], format!("application/vnd.oci.image.{kind}.v1+json"));
    };
    head(&top, "index");
    for named in top["manifests"].as_array().unwrap() {
        let name = named["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
        assert_eq!(named["mediaType"], "application/vnd.oci.image.index.v1+json");
        let index: Value = serde_json::from_slice(&blob(layout, named, &mut seen)).unwrap();
        head(&index, "index");
        for entry in index["manifests"].as_array().unwrap() {
            assert_eq!(entry["mediaType"], "application/vnd.oci.image.manifest.v1+json");
            let manifest: Value = serde_json::from_slice(&blob(layout, entry, &mut seen)).unwrap();
            head(&manifest, "manifest");
            assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
            let config: Value = serde_json::from_slice(&blob(layout, &manifest["config"], &mut seen)).unwrap();
            for key in ["os", "architecture", "variant"] {
                assert_eq!(config.get(key), entry["platform"].get(key), "{key}");
            }
            assert!(is_rfc_3339(&config["created"]));
            let layers = manifest["layers"].as_array().unwrap();
            let history = config["history"].as_array().unwrap();
            assert_eq!(
                (layers.len(), layers.len()),
                (history.len(), config["rootfs"]["diff_ids"].as_array().unwrap().len())
            );
            assert_eq!(config["rootfs"]["type"], "layers");
            for (at, layer) in layers.iter().enumerate() {
                let packed = blob(layout, layer, &mut seen);
                let tar = unpacked(layer["mediaType"].as_str().unwrap(), &packed);
                assert_eq!(config["rootfs"]["diff_ids"][at], format!("sha256:{}", Sha256::of(&tar)));
                let line = history[at].as_object().unwrap();
                assert_eq!(line.keys().collect::<Vec<_>>(), ["created", "created_by"]);
                assert!(is_rfc_3339(&line["created"]));
            }
            let digests = layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect();
            let architecture = config["architecture"].as_str().unwrap().to_owned();
            assert_eq!(images.insert((name.to_owned(), architecture), digests), None, "{name} occurs twice");
        }
    }
    let there = files(&layout.join("blobs"));
    let there: BTreeSet<String> =
        there.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(there, seen);
    images
}

fn names(images: &BTreeMap<(String, String), Vec<String>>) -> Vec<String> {
    images.keys().map(|(name, architecture)| format!("{name} {architecture}")).collect()
}

#[test]
fn a_layout_keeps_to_the_image_spec() {
    for compression in ["gzip", "zstd"] {
        let world = two();
        world.run(&["build", "--arch", "all", "--format", "oci", "--compression", compression]).exits(0);
        let images = checked(&world.out("test/oci"));
        assert_eq!(names(&images), ["base amd64", "base arm64", "top amd64", "top arm64"]);
        let base = &images[&("base".to_owned(), "arm64".to_owned())];
        let top = &images[&("top".to_owned(), "arm64".to_owned())];
        assert_eq!((base.len(), top.len(), &base[0]), (1, 2, &top[0]));
        // Written once, and nowhere else.
        assert_eq!(files(&world.out("test/amd64")), Vec::<std::path::PathBuf>::new());
        let sums = fs::read_to_string(world.out("SHA256SUMS")).unwrap();
        let named: Vec<_> = sums.lines().map(|line| line.split_once("  ").unwrap()).collect();
        assert_eq!(
            named.iter().map(|(_, name)| *name).collect::<Vec<_>>(),
            ["test/oci/index.json", "test/oci/oci-layout"]
        );
        for (digest, name) in named {
            assert_eq!(Sha256::of(&read(&world.out(name))).to_string(), digest);
        }
    }
}

/// Bytes as a promise: what changes here changes every image that anybody pinned. If it was meant, say so in
/// the changelog.
#[test]
fn digests_of_a_small_image_are_what_they_were() {
    let world = two();
    let built = world.run(&["build", "--arch", "all", "--format", "oci,docker", "--json"]).exits(0).json();
    let top = built.as_array().unwrap().iter().find(|tier| tier["tier"] == "top").unwrap();
    let image = &top["images"][0];
    assert_eq!((&image["name"], &image["architecture"], &image["layers"]), (&json!("top"), &json!("amd64"), &json!(2)));
    assert_eq!(image["tag"], "test/top:latest");
    assert_eq!(
        ["config", "manifest", "index"].map(|key| image[key].as_str().unwrap()),
        [
            "sha256:7f9400da9a4c896214688eec696f8872d065dc78a651963d503f4d6fcf5f532a",
            "sha256:d328d60c9e11072237da17fe54efca9495a3b560b4dcd3975c2533b2634476bf",
            "sha256:92de358139efd0004a40e8a57658cfde40326b71105d66a96de9e52e695764c6",
        ]
    );
    assert_eq!(image["outputs"][0]["digest"], "490b5098e11bb671d54a06443f07d7599a95a24654e41879c44f523ef8ae4e7d");
}

#[test]
fn bytes_follow_from_nothing_but_the_project() {
    let world = two();
    let everything = ["build", "--arch", "all", "--format", "tar.gz,oci,docker"];
    world.run_with(&everything, &[("RAYON_NUM_THREADS", "1")]).exits(0);
    let first = world.snapshot(&["cache"]);
    let clean = |folders: &[&str]| folders.iter().for_each(|folder| fs::remove_dir_all(world.path(folder)).unwrap());
    clean(&["out", "cache"]);
    world.run_with(&everything, &[("RAYON_NUM_THREADS", "7")]).exits(0);
    assert_eq!(world.snapshot(&["cache"]), first, "threads");
    clean(&["out"]);
    for (tier, architecture, format) in [
        ("top", "arm64", "docker"),
        ("base", "amd64", "oci"),
        ("top", "amd64", "oci,tar.gz"),
        ("base", "arm64", "tar.gz"),
        ("base", "amd64", "docker"),
        ("base", "arm64", "oci,docker"),
        ("top", "arm64", "tar.gz,oci"),
        ("top", "amd64", "docker"),
    ] {
        world.run(&["build", tier, "--arch", architecture, "--format", format]).exits(0);
    }
    assert_eq!(world.snapshot(&["cache"]), first, "one after the other");
    clean(&["out", "cache/derived"]);
    world.run(&["build", "--arch", "all", "--format", "docker"]).exits(0);
    world.run(&["build", "--arch", "all", "--format", "oci"]).exits(0);
    assert_eq!(world.snapshot(&["cache"]), first, "docker before oci");
}

#[test]
fn a_docker_archive_is_whole() {
    let world = two();
    world.run(&["build", "--format", "oci,docker"]).exits(0);
    let layers = &checked(&world.out("test/oci"))[&("top".to_owned(), "amd64".to_owned())];
    let mut archive = tar::Archive::new(File::open(world.out("test/amd64/top.docker.tar")).unwrap());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mode().unwrap(), header.uid().unwrap(), header.mtime().unwrap()), (0o644, 0, 0));
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        found.push((name, bytes));
    }
    let files: BTreeMap<&str, &[u8]> = found.iter().map(|(name, bytes)| (name.as_str(), &**bytes)).collect();
    let order: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let manifest: Value = serde_json::from_slice(files["manifest.json"]).unwrap();
    let [image] = &manifest.as_array().unwrap()[..] else { panic!("{manifest}") };
    assert_eq!(image["RepoTags"], json!(["test/top:latest"]));
    let of_digest = |digest: &String| format!("{}.tar.gz", digest.strip_prefix("sha256:").unwrap());
    let named: Vec<String> = layers.iter().map(of_digest).collect();
    assert_eq!(image["Layers"], json!(named));
    let config = image["Config"].as_str().unwrap();
    assert_eq!(order, [&named[0], &named[1], config, "manifest.json"]);
    assert_eq!(config, format!("{}.json", Sha256::of(files[config])));
    let config: Value = serde_json::from_slice(files[config]).unwrap();
    for (at, name) in named.iter().enumerate() {
        let tar = unpacked("application/vnd.oci.image.layer.v1.tar+gzip", files[name.as_str()]);
        assert_eq!(config["rootfs"]["diff_ids"][at], format!("sha256:{}", Sha256::of(&tar)));
    }
    assert!(fs::read_to_string(world.out("SHA256SUMS")).unwrap().contains("test/amd64/top.docker.tar"));
}

/// Chains whose layers hold nothing have one blob several times; an archive has it once.
#[test]
fn equal_layers_lie_in_an_archive_once() {
    let world = World::new([], &[("a", ""), ("b", "parent = 'a'"), ("c", "parent = 'b'")]);
    world.run(&["build", "--format", "oci,docker"]).exits(0);
    let layers = &checked(&world.out("test/oci"))[&("c".to_owned(), "amd64".to_owned())];
    assert_eq!((layers.len(), &layers[1]), (3, &layers[2]));
    let mut archive = tar::Archive::new(File::open(world.out("test/amd64/c.docker.tar")).unwrap());
    let names: Vec<_> = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    let sum = fs::read_to_string(world.out("SHA256SUMS")).unwrap();
    let digest = Sha256::of(&read(&world.out("test/amd64/c.docker.tar")));
    assert!(sum.contains(&format!("{digest}  test/amd64/c.docker.tar")), "what is written is what was hashed");
}

#[test]
fn a_layer_that_is_there_is_shared_and_not_made_again() {
    for (first, second) in [("tar.gz", "oci"), ("oci", "tar.gz"), ("docker", "oci"), ("oci,tar.gz", "oci,docker")] {
        let world = two();
        world.run(&["build", "--format", first]).exits(0);
        let run = world.run(&["build", "--format", &format!("{first},{second}")]).exits(0);
        assert_eq!(run.stderr, "", "{first}, then {second}: nothing is composed");
        let blobs = files(&world.out("test/oci/blobs"));
        let layer = fs::metadata(world.out("test/amd64/top.tar.gz")).unwrap().ino();
        assert!(blobs.iter().any(|blob| fs::metadata(blob).unwrap().ino() == layer), "{first}, then {second}");
    }
    // The layers of a layout in zstd are not those of an archive.
    let world = two();
    world.run(&["build", "--format", "oci,docker", "--compression", "zstd"]).exits(0);
    checked(&world.out("test/oci"));
    assert!(world.out("test/amd64/top.tar.gz").exists());
}

#[test]
fn a_second_build_does_nothing() {
    let world = two();
    let build = || world.run(&["build", "--arch", "all", "--format", "oci,docker"]).exits(0);
    let first = build();
    let outputs = files(&world.path("out"));
    let before: Vec<_> = outputs.iter().map(|path| written(path)).collect();
    let second = build();
    assert_eq!(files(&world.path("out")), outputs);
    assert_eq!(outputs.iter().map(|path| written(path)).collect::<Vec<_>>(), before);
    assert_eq!((second.stdout, second.stderr.as_str()), (first.stdout.clone(), ""));
    assert!(first.stdout.contains("\nimage      arch   layers"), "{}", first.stdout);
}

#[test]
fn what_is_not_what_it_was_is_made_again() {
    let world = two();
    let build = || world.run(&["build", "--format", "oci,docker"]).exits(0);
    build();
    let first = world.snapshot(&["cache"]);
    for path in files(&world.path("out")) {
        if path.ends_with("index.json") {
            continue;
        }
        let mut bytes = read(&path);
        bytes[0] ^= 1;
        fs::write(&path, &bytes).unwrap();
        if path.ends_with("oci-layout") {
            world
                .run(&["build", "--format", "oci"])
                .exits(2)
                .says(&["oci-layout is malformed", "move this folder away"]);
            fs::remove_file(&path).unwrap();
        }
        build();
        assert_eq!(world.snapshot(&["cache"]), first, "{} altered", path.display());
        fs::remove_file(&path).unwrap();
        build();
        assert_eq!(world.snapshot(&["cache"]), first, "{} deleted", path.display());
    }
}

#[test]
fn a_later_build_adds_to_the_index_and_what_nobody_needs_goes() {
    let world = two();
    let layout = world.out("test/oci");
    let build = |arguments: &[&str]| world.run(&[&["build", "--format", "oci"], arguments].concat()).exits(0);
    build(&["top", "--arch", "amd64"]);
    assert_eq!(names(&checked(&layout)), ["top amd64"]);
    let before = checked(&layout);
    build(&["base", "--arch", "arm64"]);
    build(&["top", "--arch", "arm64"]);
    assert_eq!(names(&checked(&layout)), ["base arm64", "top amd64", "top arm64"]);
    // An edited tier: the old layer is in no image of amd64 any more.
    world.edit("top.toml", "packages", "symlinks = [{ path = '/x', target = '/y' }]\npackages");
    build(&["top", "--arch", "amd64"]);
    let after = checked(&layout);
    assert_eq!(names(&after), ["base arm64", "top amd64", "top arm64"]);
    let top = ("top".to_owned(), "amd64".to_owned());
    assert_eq!(after[&top][0], before[&top][0]);
    assert_ne!(after[&top][1], before[&top][1]);
    // The other compression: the old blobs go with the old manifests.
    world.run(&["build", "--arch", "all", "--format", "oci", "--compression", "zstd"]).exits(0);
    assert_eq!(checked(&layout).len(), 4);
}

#[test]
fn images_of_others_in_index_json_are_kept() {
    let world = two();
    let layout = world.out("test/oci");
    world.run(&["build", "base", "--format", "oci"]).exits(0);
    let path = layout.join("index.json");
    let edit = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut index = json_of(&path);
        change(index["manifests"].as_array_mut().unwrap());
        fs::write(&path, serde_json::to_vec(&index).unwrap()).unwrap();
    };
    // Somebody tags the image again, and refers to a manifest that nobody has.
    let put = |bytes: &[u8], kind: &str| {
        let digest = Sha256::of(bytes);
        fs::write(layout.join(format!("blobs/sha256/{digest}")), bytes).unwrap();
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    };
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let refer = |subject: &Value| {
        let empty = put(b"{}", "application/vnd.oci.empty.v1+json");
        let document = json!({ "schemaVersion": 2, "mediaType": manifest, "artifactType": "application/x",
            "config": empty, "layers": [empty], "subject": subject });
        put(document.to_string().as_bytes(), manifest)
    };
    let entry = json_of(&path)["manifests"][0].clone();
    let subject = json!({ "mediaType": entry["mediaType"], "digest": entry["digest"], "size": entry["size"] });
    let gone = json!({ "mediaType": manifest, "digest": format!("sha256:{}", Sha256::of(b"gone")), "size": 4 });
    let (good, orphan) = (refer(&subject), refer(&gone));
    edit(&|entries| {
        let mut second = entry.clone();
        second["annotations"]["org.opencontainers.image.ref.name"] = json!("mine\u{1b}[31m");
        entries.extend([second, good.clone(), orphan.clone()]);
    });
    world.run(&["build", "top", "--format", "oci"]).exits(0);
    let kept = json_of(&path);
    let digests: Vec<_> = kept["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].clone()).collect();
    assert_eq!(digests.len(), 4, "{kept}");
    assert!(digests.contains(&good["digest"]) && !digests.contains(&orphan["digest"]), "{kept}");
    let blob = |of: &Value| layout.join("blobs").join(of["digest"].as_str().unwrap().replace(':', "/"));
    assert!(blob(&good).exists() && !blob(&orphan).exists());
}

#[test]
fn a_folder_that_is_no_layout_of_ours_is_left_alone() {
    let cases: [(&str, &str, &[u8]); 5] = [
        ("index.json", "index.json is malformed", b"{"),
        ("index.json", "its schemaVersion is 1, not 2", br#"{"schemaVersion":1,"manifests":[]}"#),
        (
            "index.json",
            "its mediaType is text/\\u{1b}[31m",
            br#"{"schemaVersion":2,"mediaType":"text/\u001b[31m","manifests":[]}"#,
        ),
        ("index.json", "longer than the", &[b' '; (8 << 20) + 1]),
        ("oci-layout", "another version of layouts", br#"{"imageLayoutVersion":"2.0.0"}"#),
    ];
    let world = two();
    for (name, says, bytes) in cases {
        let layout = world.out("test/oci");
        fs::create_dir_all(&layout).unwrap();
        fs::write(layout.join(name), bytes).unwrap();
        world.run(&["build", "--format", "oci"]).exits(2).says(&[says, "choose another one with --output"]);
        assert_eq!(files(&layout), [layout.join(name)], "nothing is written");
        fs::remove_dir_all(&layout).unwrap();
    }
    fs::create_dir_all(world.out("test")).unwrap();
    fs::write(world.out("test/oci"), "a file").unwrap();
    world.run(&["build", "--format", "oci"]).exits(3).says(&["cannot write"]);
}

#[test]
fn a_failing_tier_takes_its_images_along_and_no_others() {
    let world = two();
    world.tier("bad", "parent = 'base'\npackages = ['greeting']\n[limits]\npackages = 0");
    let run = world.run(&["build", "--format", "oci,docker"]).exits(2);
    assert!(!run.stderr.contains("panicked"));
    assert_eq!(names(&checked(&world.out("test/oci"))), ["base amd64", "top amd64"]);
    assert!(world.out("test/amd64/top.docker.tar").exists() && !world.out("test/amd64/bad.docker.tar").exists());
}

#[test]
fn processes_that_build_into_one_folder_all_succeed() {
    let world = two();
    world.run(&["lock"]).exits(0);
    let builds = [("base", "amd64"), ("top", "amd64"), ("base", "arm64"), ("top", "arm64")];
    std::thread::scope(|scope| {
        for (tier, architecture) in builds {
            let world = &world;
            scope.spawn(move || {
                for format in ["oci", "oci,docker"] {
                    world.run(&["build", tier, "--locked", "--arch", architecture, "--format", format]).exits(0);
                }
            });
        }
    });
    // Whoever ended last had nobody beside it; one more run clears what several left for each other.
    world.run(&["build", "--arch", "all", "--format", "oci,docker", "--compression", "zstd"]).exits(0);
    assert_eq!(names(&checked(&world.out("test/oci"))), ["base amd64", "base arm64", "top amd64", "top arm64"]);
    let sums = fs::read_to_string(world.out("SHA256SUMS")).unwrap();
    assert!(sums.contains(&format!("{}  test/oci/index.json", Sha256::of(&read(&world.out("test/oci/index.json"))))));
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let world = World::new([DebBuilder::new("x", "1")], &[("a-", "packages = ['x']")]);
    world.run(&["build", "--format", "docker"]).exits(2).says(&["docker knows no image called \"test/a-:latest\""]);
    world.run(&["build", "--format", "oci"]).exits(0);
    world.run(&["build", "--compression", "zstd"]).exits(2).says(&["add --format oci"]);
    world.run(&["build", "--format", "squashfs"]).exits(2).says(&["\"squashfs\" is no format", "tar.zst, oci, docker"]);
}
