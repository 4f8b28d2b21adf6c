//! What stands beside images and goes with them: documents of a build, in its layout and in registries, and
//! signatures.

#[allow(dead_code)]
#[path = "scenarios/world.rs"]
mod world;

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use debstrata::{
    fetch,
    ground::{Sha256, Silent, from_base64},
    image::{
        reference::Reference,
        registry::{Access, Credentials, Repository, Settings},
    },
};
use p256::{
    SecretKey,
    ecdsa::{DerSignature, SigningKey, VerifyingKey, signature::Verifier as _},
    pkcs8::{EncodePrivateKey as _, LineEnding},
};
use serde_json::Value;
use support::registry::{Registry, Rules};
use world::{World, package};

const DOCUMENTS: &str = "oci,spdx,cdx,files,provenance,licenses";

fn small() -> World {
    let world = World::small();
    world.edit("base.toml", "packages", "variants = { nonroot = { user = \"65532\" } }\npackages");
    world
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn blob(layout: &Path, digest: &Value) -> Vec<u8> {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = fs::read(layout.join("blobs/sha256").join(hex)).unwrap();
    assert_eq!(Sha256::of(&bytes).to_string(), hex);
    bytes
}

/// By the digest of an image's manifest: the kinds of what refers to it, with their documents' names and
/// bytes. Every blob of the layout must be reachable.
fn attached(layout: &Path) -> BTreeMap<String, BTreeMap<String, (String, Vec<u8>)>> {
    let mut found: BTreeMap<String, BTreeMap<String, (String, Vec<u8>)>> = BTreeMap::new();
    let mut reached = BTreeSet::new();
    let index = json(&fs::read(layout.join("index.json")).unwrap());
    let mut manifests = Vec::new();
    for entry in index["manifests"].as_array().unwrap() {
        reached.insert(text(&entry["digest"]));
        match entry["mediaType"].as_str().unwrap().contains("index") {
            true => manifests.extend(json(&blob(layout, &entry["digest"]))["manifests"].as_array().unwrap().clone()),
            false => manifests.push(entry.clone()),
        }
    }
    for entry in manifests {
        reached.insert(text(&entry["digest"]));
        let manifest = json(&blob(layout, &entry["digest"]));
        let layers = manifest["layers"].as_array().unwrap();
        reached.extend(layers.iter().chain([&manifest["config"]]).map(|blob| text(&blob["digest"])));
        let Some(subject) = manifest["subject"]["digest"].as_str() else {
            found.entry(entry["digest"].as_str().unwrap().to_owned()).or_default();
            continue;
        };
        assert_eq!(manifest["artifactType"], entry["artifactType"]);
        let title = layers[0]["annotations"]["org.opencontainers.image.title"].as_str().unwrap().to_owned();
        let document = (title, blob(layout, &layers[0]["digest"]));
        let kind = manifest["artifactType"].as_str().unwrap().to_owned();
        assert!(found.entry(subject.to_owned()).or_default().insert(kind, document).is_none(), "twice");
    }
    let there = fs::read_dir(layout.join("blobs/sha256")).unwrap();
    let there: BTreeSet<String> =
        there.map(|file| format!("sha256:{}", file.unwrap().file_name().to_str().unwrap())).collect();
    assert_eq!(there, reached);
    found
}

#[test]
fn every_image_has_its_documents() {
    let world = small();
    let built = world.run(&["build", "--format", DOCUMENTS, "--json"]).exits(0).json();
    let layout = world.out("test/oci");
    let all = attached(&layout);
    assert_eq!(all.len(), 4, "base, base-nonroot, top and top-nonroot");
    for documents in all.values() {
        let kinds: Vec<&str> = documents.keys().map(String::as_str).collect();
        assert_eq!(
            kinds,
            [
                "application/spdx+json",
                "application/vnd.cyclonedx+json",
                "application/vnd.debstrata.files.v1+jsonl",
                "application/vnd.in-toto+json",
            ]
        );
        for (title, bytes) in documents.values() {
            assert_eq!(&fs::read(world.out(&format!("test/amd64/{title}"))).unwrap(), bytes);
        }
    }
    // The same bills as the verb gives.
    let spdx = fs::read_to_string(world.out("test/amd64/top.spdx.json")).unwrap();
    assert_eq!(world.run(&["sbom", "top", "--format", "spdx"]).exits(0).stdout, spdx);
    assert!(fs::read_to_string(world.out("test/amd64/top.licenses.txt")).unwrap().contains("greeting"));
    // Provenance is about the layer, its file and both images.
    let statement = json(&fs::read(world.out("test/amd64/base.provenance.json")).unwrap());
    let subjects: BTreeMap<&str, &str> = statement["subject"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["digest"]["sha256"].as_str().unwrap()))
        .collect();
    let images = built[0]["images"].as_array().unwrap();
    for image in images {
        let name = format!("test/{}", image["name"].as_str().unwrap());
        assert_eq!(format!("sha256:{}", subjects[name.as_str()]), image["manifest"].as_str().unwrap());
    }
    assert_eq!(subjects.len(), images.len() + 1);
    // All in the list of outputs.
    let sums = fs::read_to_string(world.out("SHA256SUMS")).unwrap();
    for name in ["base.spdx.json", "top.cdx.json", "top.files.jsonl", "base.provenance.json", "top.licenses.txt"] {
        let digest = Sha256::of(&fs::read(world.out(&format!("test/amd64/{name}"))).unwrap());
        assert!(sums.contains(&format!("{digest}  test/amd64/{name}")), "{name}");
    }
}

#[test]
fn documents_are_made_once_and_always_the_same() {
    let world = small();
    let build = || world.run(&["build", "--format", DOCUMENTS]).exits(0);
    build();
    let first = world.snapshot(&["cache"]);
    let times = || {
        let files = world::files(&world.path("out")).into_iter();
        files.map(|path| (world::written(&path), path)).collect::<Vec<_>>()
    };
    let before = times();
    build();
    assert_eq!(times(), before);
    // One that somebody changed is made again, and so is all of it from nothing.
    fs::write(world.out("test/amd64/top.spdx.json"), "{}").unwrap();
    build();
    assert_eq!(world.snapshot(&["cache"]), first);
    fs::remove_dir_all(world.path("out")).unwrap();
    fs::remove_dir_all(world.path("cache/derived")).unwrap();
    build();
    assert_eq!(world.snapshot(&["cache"]), first);
    // Another image has other documents; those of the old one go with it.
    world.edit("top.toml", "packages", "image = { labels = { a = \"b\" } }\npackages");
    build();
    assert_eq!(attached(&world.out("test/oci")).len(), 4);
    // Asked for without them, an image keeps what it has.
    world.run(&["build", "--format", "oci"]).exits(0);
    assert!(attached(&world.out("test/oci")).values().all(|documents| documents.len() == 4));
}

#[test]
fn what_refers_to_an_image_is_pushed_with_it_and_signatures_are_added() {
    let world = small();
    world.run(&["build", "--format", DOCUMENTS]).exits(0);
    for referrers in [true, false] {
        let registry = Registry::start(Rules { referrers, ..Rules::default() });
        let place = format!("{}/team/image", registry.host());
        let secret = SecretKey::from_slice(&[7; 32]).unwrap();
        let key = world.path("key.pem");
        fs::write(&key, secret.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap();
        let push = |more: &[&str]| world.run(&[&["push", place.as_str(), "--json"], more].concat());
        let pushed = push(&["--sign-key", key.to_str().unwrap()]).exits(0).json();
        let verifying = VerifyingKey::from(&SigningKey::from(&secret));
        for image in pushed["images"].as_array().unwrap() {
            let digest = image["digest"].as_str().unwrap();
            let tag = format!("{}.sig", digest.replace(':', "-"));
            let tagged = &registry.tags("team/image")[&tag];
            let manifest = json(&registry.manifest("team/image", tagged).expect("a signature"));
            assert_eq!(manifest["subject"]["digest"], digest);
            let layer = &manifest["layers"][0];
            assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
            let payload = registry.blob("team/image", layer["digest"].as_str().unwrap()).expect("a payload");
            let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
            let signature = DerSignature::try_from(&*from_base64(signature).unwrap()).unwrap();
            verifying.verify(&payload, &signature).unwrap();
            let signed = json(&payload);
            assert_eq!(signed["critical"]["image"]["docker-manifest-digest"], digest);
            assert_eq!(signed["critical"]["identity"]["docker-reference"], place.as_str());
        }
        let subjects: Vec<String> = attached(&world.out("test/oci")).into_keys().collect();
        let reference: Reference = place.parse().unwrap();
        let mut settings = fetch::Settings::new("2026-01-01T00:00:00Z".parse().unwrap());
        settings.apt = None;
        let settings = Settings::new(settings, Credentials::default(), Arc::new(Silent));
        let repository = Repository::new(&settings, &reference, Access::Pull, &[]).unwrap();
        for subject in &subjects {
            assert_eq!(repository.referrers(&subject.parse().unwrap()).unwrap().len(), 4, "{subject}");
        }
        let sent = || registry.requests().iter().filter(|one| one.method != "GET" && one.method != "HEAD").count();
        let before = sent();
        push(&["--sign-key", key.to_str().unwrap()]).exits(0);
        assert_eq!(sent(), before, "nothing is sent again");
        if !referrers {
            // A push that ended between a document and its line in the list.
            registry.lose_tag("team/image", &subjects[0].replace(':', "-"));
            push(&[]).exits(0);
            assert_eq!(repository.referrers(&subjects[0].parse().unwrap()).unwrap().len(), 4);
        }
        assert!(registry.violations().is_empty(), "{:?}", registry.violations());
    }
}

#[test]
fn programs_that_sign_are_run_for_every_image() {
    let world = World::new([package("hello", "1.0")], &[("base", "packages = ['hello']")]);
    world.run(&["build", "--format", "oci"]).exits(0);
    let registry = Registry::start(Rules::default());
    let place = format!("{}/team/image", registry.host());
    let signed = world.path("signed");
    let command = format!("cp /dev/null {}/{{}}", signed.display());
    fs::create_dir_all(signed.join(&place).parent().unwrap()).unwrap();
    let pushed = world.run(&["push", &place, "--sign-with", &command, "--json"]).exits(0).json();
    let reference = pushed["images"][0]["reference"].as_str().unwrap();
    assert!(signed.join(reference).is_file());
    // What was pushed is told all the same.
    let run = world.run(&["push", &place, "--sign-with", "false {}"]).says(&["did not sign", reference]);
    assert_eq!(run.status, Some(3));
    assert!(run.stdout.contains("as it was"));
    world.run(&["push", &place, "--sign-with", "true"]).exits(2).says(&["names no program with a {}"]);
    world.run(&["push", &place, "--sign-key", "nowhere.pem"]).exits(2).says(&["cannot read nowhere.pem"]);
    world.run(&["push", &place, "--sign-key", "env:NONE"]).exits(2).says(&["the variable NONE is not set"]);
    fs::write(world.path("key.pem"), "no key").unwrap();
    let key = world.path("key.pem");
    world.run(&["push", &place, "--sign-key", key.to_str().unwrap()]).exits(2).says(&["is no private key", "openssl"]);
}

#[test]
fn an_image_of_a_registry_is_audited() {
    let world = World::small();
    world.run(&["build", "--format", "oci"]).exits(0);
    let registry = Registry::start(Rules::default());
    let place = format!("{}/team/image", registry.host());
    let pushed = world.run(&["push", &place, "--json"]).exits(0).json();
    fs::remove_dir_all(world.path("out")).unwrap();
    world.run(&["audit", "top", "--against", &format!("{place}:top")]).exits(0).prints(&["equal: 2 layers"]);
    let by_digest = pushed["images"][1]["reference"].as_str().unwrap();
    world.run(&["audit", "top", "--against", by_digest]).exits(0);
    world.run(&["audit", "top", "--against", &format!("{place}:none")]).exits(2).says(&["has no", "none"]);
    world.run(&["audit", "top", "--against", &format!("{place}:top"), "--offline"]).exits(2).says(&["--offline"]);
    // The same layers, run otherwise.
    world.edit("top.toml", "packages", "image = { user = \"7\" }\npackages");
    let run = world.run(&["audit", "top", "--against", &format!("{place}:top")]).exits(1);
    assert!(run.stdout.contains("config: content (User)"), "{}", run.stdout);
    world.edit("top.toml", "image = { user = \"7\" }\n", "");
    // Another image under the same name.
    world.edit("top.toml", "packages", "symlinks = [{ path = \"/new\", target = \"x\" }]\npackages");
    world.run(&["build", "--format", "oci"]).exits(0);
    let run = world.run(&["audit", "top", "--against", &format!("{place}:top")]).exits(1);
    assert!(run.stdout.contains("new"), "{}", run.stdout);
    assert!(world::files(&world.path("cache")).iter().all(|path| !path.display().to_string().contains("scratch-")));
}
