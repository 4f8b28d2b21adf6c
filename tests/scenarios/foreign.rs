//! `parent = { oci = .. }`: tiers on images that others made. The others are this program too, in a project
//! of its own, and layouts made by hand.

use std::{fs, path::Path};

use debstrata::{
    ground::Sha256,
    image::{
        Descriptor,
        spec::{INDEX, Index, REF_NAME, Texts, bytes},
    },
};
use serde_json::{Value, json};

use crate::{
    support::{
        DebBuilder, ElfBuilder,
        deb::{end, entry},
        layout::Layout,
        registry::{Registry, Rules},
    },
    world::{World, entries, package},
};

/// An entry of a layer: its name, tar's type, where a link leads to, or what a file holds.
type Piece<'a> = (&'a str, u8, &'a str, &'a str);

const STATUS: &str = "Package: hello\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n\
    Maintainer: A <a@example.org>\nProvides: salute\n\nPackage: gone\nStatus: deinstall ok config-files\n\
    Architecture: amd64\nVersion: 1.0\n";

/// Messages without their line breaks.
fn flat(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ")
}

fn tar(pieces: &[Piece<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, kind, link, content) in pieces {
        let mode = if *kind == b'5' { 0o755 } else { 0o644 };
        entry(&mut tar, name.as_bytes(), *kind, mode, (0, 0), link.as_bytes(), content.as_bytes());
    }
    end(tar)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn config(tars: &[Vec<u8>], more: Value) -> Value {
    let diff_ids: Vec<_> = tars.iter().map(|tar| format!("sha256:{}", Sha256::of(tar))).collect();
    let mut config = json!({
        "architecture": "amd64", "os": "linux", "config": null,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": [{ "created_by": "others" }, { "created_by": "ENV", "empty_layer": true }, { "created_by": "more" }],
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// A layout `base` in the project's folder of manifests; gives its digest.
fn layout(world: &World, layers: &[&[Piece<'_>]], more: Value) -> String {
    let tars: Vec<_> = layers.iter().map(|layer| tar(layer)).collect();
    let packed: Vec<_> = tars.iter().map(|tar| gzip(tar)).collect();
    of_parts(&world.project.file("base"), &config(&tars, more), &packed)
}

fn of_parts(root: &Path, config: &Value, packed: &[Vec<u8>]) -> String {
    let mut layout = Layout::new(root);
    let (mut manifest, _) = layout.manifest(&config.to_string(), packed);
    manifest.platform = Some(debstrata::image::Platform::of("amd64".parse().unwrap()));
    layout.image("base", vec![manifest]).digest.to_string()
}

/// hello is in the base; the archive has greeting, which needs it, in a newer version.
fn world() -> World {
    World::new(
        [
            package("hello", "2.0"),
            package("greeting", "1.0").depends("hello, salute"),
            DebBuilder::new("loud", "1.0").file("/usr/share/base/file", 0o644, "loud").file("/usr/lib/l", 0o644, "l"),
        ],
        &[],
    )
}

/// An index of a layout that names one manifest.
fn index_of(root: &Path, named: &Descriptor) {
    let index = Index {
        schema_version: 2,
        media_type: INDEX.to_owned(),
        manifests: vec![named.clone()],
        annotations: Texts::new(),
    };
    fs::write(root.join("index.json"), bytes(&index)).unwrap();
}

fn on(world: &World, digest: &str, rest: &str) {
    world.tier("top", &format!("parent = {{ oci = './base', digest = '{digest}' }}\n{rest}"));
}

const ROOT: &[Piece<'_>] = &[
    ("./", b'5', "", ""),
    ("usr/bin/", b'5', "", ""),
    ("bin", b'2', "usr/bin", ""),
    ("lib", b'2', "usr/lib", ""),
    ("usr/lib/", b'5', "", ""),
    ("etc/passwd", b'0', "", "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/sbin/nologin\n"),
    ("etc/group", b'0', "", "root:x:0:\nweb:x:33:\n"),
    ("usr/share/base/file", b'0', "", "base"),
    ("usr/share/base/gone", b'0', "", "gone"),
    ("usr/share/old/a", b'0', "", "a"),
    ("usr/share/old/b", b'0', "", "b"),
    ("dev/null", b'3', "", ""),
    ("var/lib/dpkg/status", b'0', "", STATUS),
];

const CHANGE: &[Piece<'_>] = &[
    ("usr/share/base/.wh.gone", b'0', "", ""),
    ("usr/share/old/c", b'0', "", "c"),
    ("usr/share/old/.wh..wh..opq", b'0', "", ""),
    ("lib/through", b'0', "", "through"),
];

#[test]
fn a_tier_adds_what_the_base_lacks() {
    let world = world();
    let digest = layout(&world, &[ROOT, CHANGE], json!({}));
    on(&world, &digest, "packages = ['greeting', 'loud', 'hello']\n[[users]]\nname = 'me'\nuid = 7\ngid = 33\n");
    world.build();
    assert_eq!(world.locked(), ["greeting 1.0", "loud 1.0"], "hello is there and keeps its version");
    assert!(world.lock().contains(&format!("base = {{ oci = \"./base\", digest = \"{digest}\" }}\n")));
    let layer = world.layer("top");
    for name in ["usr/share/old/c", "usr/share/base/gone", "bin", "dev", "usr/share/hello/file"] {
        assert!(!layer.contains_key(name), "{name}: {layer:?}");
    }
    assert_eq!(layer["usr/share/base/file"], "file 0644 0:0 loud", "a package takes the place of nobody's file");
    let passwd = &layer["etc/passwd"];
    assert!(passwd.contains("root:x:0:0:root:/root:/bin/sh") && passwd.contains("web:x:33"), "{passwd}");
    assert!(passwd.contains("me:x:7:33:"), "{passwd}");
    assert!(layer.contains_key("var/lib/dpkg/status.d/greeting"));
    assert!(!layer.contains_key("var/lib/dpkg/status.d/hello"));
}

#[test]
fn whiteouts_take_away_and_links_lead() {
    let world = world();
    let digest = layout(&world, &[ROOT, CHANGE], json!({}));
    on(&world, &digest, "packages = ['greeting']");
    world.build();
    let lines = world.run(&["sbom", "top", "--format", "files"]).exits(0).stdout;
    let paths: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |path: &str| paths.iter().find(|line| line["path"] == path);
    assert!(of("/usr/share/base/gone").is_none() && of("/usr/share/old/a").is_none() && of("/dev/null").is_none());
    for (path, layer) in [("/usr/share/base/file", ROOT), ("/usr/share/old/c", CHANGE), ("/usr/lib/through", CHANGE)] {
        let origin = &of(path).unwrap_or_else(|| panic!("{path}"))["origin"];
        assert_eq!(origin["layer"], format!("sha256:{}", Sha256::of(&tar(layer))), "{path}");
    }
    let why = world.run(&["why", "top", "/usr/share/old/c"]).exits(0).stdout;
    assert!(why.contains("from the image sha256:"), "{why}");
    let why = world.run(&["why", "top", "hello"]).exits(0).stdout;
    assert!(why.contains("top stands on has it"), "{why}");
    let shown = world.run(&["show", "top", "--json"]).exits(0).json();
    let packages = shown["packages"].as_array().unwrap();
    assert_eq!(packages.len(), 2);
    assert_eq!((&packages[0]["name"], &packages[0]["version"]), (&json!("hello"), &json!("1.0")));
    assert!(packages[0].get("sha256").is_none() && packages[0]["image"].as_str().unwrap().starts_with("sha256:"));
    assert!(packages[1].get("image").is_none());
    for format in ["spdx", "cyclonedx"] {
        let bill = world.run(&["sbom", "top", "--format", format]).exits(0).stdout;
        assert!(bill.contains("pkg:deb/") && bill.contains("hello@1.0"), "{format}");
    }
    world.run(&["check", "top"]).exits(0);
    world.run(&["fit", "top", "/bin/true"]);
}

#[test]
fn images_have_the_layers_and_the_config_of_their_base() {
    let world = world();
    let digest = layout(
        &world,
        &[ROOT, CHANGE],
        json!({ "config": {
            "User": "web", "Env": ["PATH=/bin", "A=1"], "Entrypoint": ["/bin/a"], "Cmd": ["x"], "WorkingDir": "/srv",
            "Labels": { "l": "1" }, "Volumes": { "/data": {} }, "ExposedPorts": { "80/tcp": {} },
            "StopSignal": "SIGINT", "Healthcheck": null, "OnBuild": null,
        } }),
    );
    on(
        &world,
        &digest,
        "packages = ['greeting']\n[image]\nenv = { A = '2' }\nentrypoint = ['/bin/b']\n[image.labels]\nm = '2'",
    );
    let build = ["build", "top", "--format", "oci,docker,tar.gz"];
    world.run(&build).exits(0);
    let blobs = world.out("test/oci/blobs/sha256");
    let document = |digest: &Value| -> Value {
        let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        serde_json::from_slice(&fs::read(blobs.join(digest)).unwrap()).unwrap()
    };
    let index: Value = serde_json::from_slice(&fs::read(world.out("test/oci/index.json")).unwrap()).unwrap();
    let manifest = document(&document(&index["manifests"][0]["digest"])["manifests"][0]["digest"]);
    let layers = manifest["layers"].as_array().unwrap();
    for (layer, pieces) in layers.iter().zip([ROOT, CHANGE]) {
        let packed = gzip(&tar(pieces));
        assert_eq!(layer["digest"], format!("sha256:{}", Sha256::of(&packed)));
        assert_eq!(fs::read(blobs.join(Sha256::of(&packed).to_string())).unwrap(), packed);
    }
    assert_eq!(layers.len(), 3);
    let config = document(&manifest["config"]["digest"]);
    assert_eq!(
        config["config"],
        json!({
            "User": "web", "Env": ["A=2", "PATH=/bin"], "Entrypoint": ["/bin/b"], "WorkingDir": "/srv",
            "Labels": { "l": "1", "m": "2" }, "Volumes": { "/data": {} }, "ExposedPorts": { "80/tcp": {} },
            "StopSignal": "SIGINT",
        })
    );
    let history: Vec<_> = config["history"].as_array().unwrap().iter().map(|line| &line["created_by"]).collect();
    assert_eq!(history, ["others", "ENV", "more", "debstrata test/top"]);
    // The same again, from nothing but the cache, and from a new one.
    let before = world.snapshot(&["cache"]);
    for folder in ["out", "cache/derived"] {
        fs::remove_dir_all(world.path(folder)).unwrap();
    }
    world.run(&[&build[..], &["--locked"]].concat()).exits(0);
    assert_eq!(world.snapshot(&["cache"]), before);
    fs::remove_dir_all(world.path("cache")).unwrap();
    fs::remove_dir_all(world.path("out")).unwrap();
    world.run(&[&build[..], &["--locked"]].concat()).exits(0);
    assert_eq!(world.snapshot(&["cache"]), before);
    world.run(&["audit", "top"]).exits(0);
}

#[test]
fn the_digest_is_what_counts() {
    let world = world();
    let digest = layout(&world, &[ROOT], json!({ "history": [] }));
    on(&world, &digest, "packages = ['greeting']");
    world.build();
    // Elsewhere, but the same.
    fs::rename(world.project.file("base"), world.project.file("moved")).unwrap();
    world.edit("top.toml", "./base", "oci:moved:base");
    world.run(&["build", "--locked"]).exits(0);
    world.run(&["lock", "--check"]).exits(0);
    // The cache has it all.
    fs::remove_dir_all(world.project.file("moved")).unwrap();
    world.run(&["build", "--locked", "--offline"]).exits(0);
    let next = layout(&world, &[ROOT, CHANGE], json!({}));
    on(&world, &next, "packages = ['greeting']");
    let refused = world.run(&["build", "--locked"]).exits(2);
    assert!(refused.stderr.contains("top (amd64"), "{}", refused.stderr);
    world.build();
}

#[test]
fn children_and_variants_stand_on_it_too() {
    let world = world();
    let digest = layout(&world, &[ROOT], json!({}));
    on(&world, &digest, "packages = ['greeting']\n[variants.web]\nuser = 'web'\n");
    world.tier("child", "parent = 'top'\npackages = ['loud']");
    world.run(&["build", "--format", "oci"]).exits(0);
    assert_eq!(world.locked(), ["greeting 1.0", "loud 1.0"]);
    let shown = world.run(&["show", "child", "--json"]).exits(0).json();
    assert_eq!(shown["packages"].as_array().unwrap().len(), 3);
    world.run(&["check", "child"]).exits(0);
    let bundle = world.path("all.tar");
    world.run(&["bundle", "top", "-o", bundle.to_str().unwrap()]).exits(0);
    world.run(&["--bundle", bundle.to_str().unwrap(), "build", "top", "--locked"]).exits(0);
}

#[test]
fn our_own_images_are_bases_like_others() {
    let other = World::new([package("hello", "1.0")], &[("base", "packages = ['hello']")]);
    other.run(&["build", "--format", "oci", "--compression", "zstd"]).exits(0);
    let index: Index = serde_json::from_slice(&fs::read(other.out("test/oci/index.json")).unwrap()).unwrap();
    let world = world();
    let digest = index.manifests[0].digest;
    let oci = format!("oci:{}:base", other.out("test/oci").display());
    world.tier("top", &format!("parent = {{ oci = '{oci}', digest = '{digest}' }}\npackages = ['loud', 'hello']"));
    world.build();
    assert_eq!(world.locked(), ["loud 1.0"]);
    // Tampered with: nothing of it is used.
    let blobs = other.out("test/oci/blobs/sha256");
    let largest = fs::read_dir(&blobs)
        .unwrap()
        .map(|blob| blob.unwrap().path())
        .find(|blob| fs::read(blob).unwrap().starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    let blob = largest.unwrap();
    let mut damaged = fs::read(&blob).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&blob, damaged).unwrap();
    fs::remove_dir_all(world.path("cache")).unwrap();
    fs::remove_dir_all(world.path("out")).unwrap();
    let refused = world.run(&["build"]).exits(2);
    assert!(refused.stderr.contains("has other bytes"), "{}", refused.stderr);
    assert!(!world.out("test/amd64/top.tar.gz").exists());
}

#[test]
fn a_registry_has_bases_too() {
    let registry = Registry::start(Rules::default());
    let other = World::new([package("hello", "1.0")], &[("base", "packages = ['hello']")]);
    other.run(&["build", "--format", "oci"]).exits(0);
    let place = format!("{}/team/base", registry.host());
    other.run(&["push", "base", &place]).exits(0);
    let index: Index = serde_json::from_slice(&fs::read(other.out("test/oci/index.json")).unwrap()).unwrap();
    let world = world();
    let digest = index.manifests[0].digest;
    world.tier(
        "top",
        &format!("parent = {{ oci = '{place}:base', digest = '{digest}' }}\npackages = ['loud', 'hello']"),
    );
    let refused = world.run(&["build", "--offline"]);
    assert_ne!(refused.status, Some(0));
    world.build();
    assert_eq!(world.locked(), ["loud 1.0"]);
    registry.forget_requests();
    world.run(&["build", "--format", "oci", "--locked", "--offline"]).exits(0);
    assert!(registry.requests().is_empty());
    assert_eq!(registry.violations(), Vec::<String>::new());
    let gone = format!("sha256:{}", Sha256::of(b"nothing"));
    world.edit("top.toml", &digest.to_string(), &gone);
    let refused = world.run(&["build"]).exits(2);
    assert!(refused.stderr.contains("skopeo inspect"), "{}", refused.stderr);
}

/// What is wrong, the layers, more of the config, and what is said.
type Case<'a> = (&'a str, &'a [&'a [Piece<'a>]], Value, &'a str);

#[test]
fn images_that_nothing_can_stand_on() {
    let file = |name| (name, b'0', "", "");
    let circle = [("a", b'2', "b", ""), ("b", b'2', "a", "")];
    let status = [("var/lib/dpkg/status", b'0', "", "nonsense\n")];
    let accounts = [("etc/passwd", b'0', "", "root:x\n")];
    let cases: &[Case<'_>] = &[
        ("no config", &[ROOT], json!({ "rootfs": 7 }), "malformed"),
        ("platform", &[ROOT], json!({ "architecture": "arm64" }), "it has no image for linux/amd64"),
        ("traversal", &[&[file("../x")]], json!({}), "`..`"),
        ("hard link outside", &[&[("x", b'1', "../etc/passwd", "")]], json!({}), "`..`"),
        ("device", &[&[("x", b'3', "", "")]], json!({}), "character device"),
        ("circle", &[&circle, &[file("a/x")]], json!({}), "circle of links"),
        ("no folder", &[&[file("a")], &[file("a/x")]], json!({}), "is no folder"),
        ("retyped", &[&[file("a"), ("a/", b'5', "", "")]], json!({}), "as a folder and as something else"),
        ("whiteout of nothing", &[&[file(".wh.")]], json!({}), "names nothing"),
        ("packages", &[&status], json!({}), "/var/lib/dpkg/status in the image"),
        ("accounts", &[&accounts], json!({}), "line 1 of /etc/passwd"),
        ("split /usr", &[&[file("bin/sh")]], json!({}), "set merged-usr = false"),
        ("workdir", &[ROOT], json!({ "config": { "WorkingDir": "/a/../b" } }), "which no tier can inherit"),
    ];
    let world = world();
    let refused = |name: &str, digest: &str, expected: &str| {
        on(&world, digest, "packages = ['loud']");
        let refused = world.run(&["build"]).exits(2);
        assert!(flat(&refused.stderr).contains(expected), "{name}: {}", refused.stderr);
        assert!(!world.lock_path().exists(), "{name}");
        assert!(!world.out("test/amd64/top.tar.gz").exists(), "{name}");
        fs::remove_dir_all(world.project.file("base")).unwrap();
    };
    for (name, layers, more, expected) in cases {
        refused(name, &layout(&world, layers, more.clone()), expected);
    }
    let root = tar(ROOT);
    let packed = gzip(&root);
    let base = world.project.file("base");
    for (name, tars, packed, expected) in [
        ("other diff_id", vec![tar(CHANGE)], packed.clone(), "is not what its image says"),
        ("count", vec![], packed.clone(), "has 1 layers, and its config 0"),
        ("no tar", vec![vec![7; 1024]], gzip(&[7; 1024]), "layer 1 of 1"),
        ("cut", vec![root.clone()], packed[..packed.len() - 9].to_vec(), "layer 1 of 1"),
        ("more behind it", vec![root.clone()], [&packed[..], b"more"].concat(), "layer 1 of 1"),
    ] {
        refused(name, &of_parts(&base, &config(&tars, json!({})), &[packed]), expected);
    }
}

#[test]
fn documents_that_are_no_images() {
    let world = world();
    let root = world.project.file("base");
    let packed = gzip(&tar(ROOT));
    let config = config(&[tar(ROOT)], json!({})).to_string();
    let layer = |media_type: &str| Descriptor::of(media_type, &packed);
    let own = |media_type: &str| {
        let config = Descriptor::of("application/vnd.oci.image.config.v1+json", config.as_bytes());
        json!({ "schemaVersion": 2, "config": config, "layers": [layer(media_type)] })
    };
    for (manifest, expected) in [
        (json!({ "schemaVersion": 1, "fsLayers": [] }), "schemaVersion is 1"),
        (json!({ "layers": [] }), "schemaVersion is none"),
        (json!({ "schemaVersion": 2, "mediaType": "text/plain" }), "it is no image, but text/plain"),
        (own("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "has to be fetched elsewhere"),
        (own("application/vnd.oci.image.layer.nondistributable.v1.tar"), "has to be fetched elsewhere"),
        (own("application/x-qcow2"), "which is no tar"),
        (json!({ "schemaVersion": 2, "config": layer("application/wasm"), "layers": [] }), "application/wasm"),
        (json!([1]), "schemaVersion is none"),
        (json!({ "schemaVersion": 2, "manifests": [] }), "it has no platform"),
    ] {
        let _ = fs::remove_dir_all(&root);
        let layout = Layout::new(&root);
        layout.blob("", config.as_bytes());
        layout.blob("", &packed);
        let text = manifest.to_string();
        let mut named = layout.blob("application/vnd.oci.image.manifest.v1+json", text.as_bytes());
        named.annotations = Texts::from([(REF_NAME.to_owned(), "x".to_owned())]);
        index_of(&root, &named);
        on(&world, &named.digest.to_string(), "packages = ['loud']");
        let refused = world.run(&["lock"]).exits(2);
        assert!(flat(&refused.stderr).contains(expected), "{expected}: {}", refused.stderr);
    }
    // docker's own words are understood.
    let _ = fs::remove_dir_all(&root);
    let layout = Layout::new(&root);
    layout.blob("", config.as_bytes());
    layout.blob("", &packed);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": Descriptor::of("application/vnd.docker.container.image.v1+json", config.as_bytes()),
        "layers": [layer("application/vnd.docker.image.rootfs.diff.tar.gzip")],
    });
    let named = layout.blob("application/vnd.docker.distribution.manifest.v2+json", manifest.to_string().as_bytes());
    index_of(&root, &named);
    on(&world, &named.digest.to_string(), "packages = ['loud']");
    world.run(&["build", "--format", "oci"]).exits(0);
    assert!(
        entries(&{
            world.run(&["build"]).exits(0);
            world.out("test/amd64/top.tar.gz")
        })
        .contains_key("usr/lib/l")
    );
}

#[test]
fn names_of_the_base_are_not_known_to_manifests() {
    let world = world();
    let digest = layout(&world, &[ROOT], json!({}));
    on(&world, &digest, "files = [{ path = '/x', text = '', owner = 'web' }]");
    let refused = world.run(&["lock"]).exits(2);
    assert!(refused.stderr.contains("write its number"), "{}", refused.stderr);
    on(&world, &digest, "files = [{ path = '/x', text = '', owner = 33 }]\n[image]\nuser = 'web'");
    world.build();
    assert_eq!(world.layer("top")["x"], "file 0644 33:0 ");
}

#[test]
fn linked_tiers_find_the_libraries_of_the_base() {
    let program = ElfBuilder::program().needed("libbase.so.1").needed("libown.so.1").build();
    let own = ElfBuilder::library("libown.so.1").build();
    let library = ElfBuilder::library("libbase.so.1").build();
    let loader = ElfBuilder::library("ld-linux-x86-64.so.2").build();
    let world = World::new(
        [
            DebBuilder::new("app", "1").file("/usr/bin/app", 0o755, program).depends("libbase1, libown1, helper"),
            DebBuilder::new("libbase1", "1").file("/usr/lib/libbase.so.1", 0o644, library.clone()),
            DebBuilder::new("libown1", "1").file("/usr/lib/libown.so.1", 0o644, own),
            package("helper", "1"),
        ],
        &[],
    );
    let mut layer = Vec::new();
    for (name, content) in [("usr/lib/libbase.so.1", &library), ("usr/lib64/ld-linux-x86-64.so.2", &loader)] {
        entry(&mut layer, name.as_bytes(), b'0', 0o755, (0, 0), b"", content);
    }
    let layer = end(layer);
    let digest =
        of_parts(&world.project.file("base"), &config(std::slice::from_ref(&layer), json!({})), &[gzip(&layer)]);
    on(&world, &digest, "packages = ['app']\ndependencies = 'linked'");
    world.build();
    assert_eq!(world.locked(), ["app 1", "libown1 1"], "the image's library is no package, and is found");
}
