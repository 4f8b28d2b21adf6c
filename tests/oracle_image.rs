//! The image-spec's own JSON schemas judge what a layout holds. Needs python3-jsonschema and, for the
//! schemas, golang-github-opencontainers-image-spec-dev.

use std::{fs, path::Path, process::Command};

use debstrata::{
    ground::{DiffId, RootPath, Sha256},
    image::{
        Image, Layer, Platform,
        layout::{Session, blobs_folder},
    },
    layer::Form,
    manifest::Image as Settings,
};

/// Holds every document of a layout against the schema of its kind.
const JUDGE: &str = r##"
import json, pathlib, sys
import jsonschema
schemas = pathlib.Path("/usr/share/gocode/src/github.com/opencontainers/image-spec/schema")
# References between schemas are relative to where each says it lives; only the last part counts here.
def fetch(uri):
    return json.loads((schemas / uri.split("#")[0].rsplit("/", 1)[1]).read_text())
judged = []
def judge(kind, text):
    schema = json.loads((schemas / f"{kind}.json").read_text())
    resolver = jsonschema.RefResolver(schema["id"], schema, handlers={"https": fetch})
    jsonschema.Draft4Validator(schema, resolver=resolver, format_checker=jsonschema.draft4_format_checker).validate(json.loads(text))
    judged.append(kind)
    return json.loads(text)
layout = pathlib.Path(sys.argv[1])
blob = lambda descriptor: (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_text()
def descriptor(one):
    judge("content-descriptor", json.dumps(one))
    return one
judge("image-layout-schema", (layout / "oci-layout").read_text())
for named in judge("image-index-schema", (layout / "index.json").read_text())["manifests"]:
    for entry in judge("image-index-schema", blob(descriptor(named)))["manifests"]:
        manifest = judge("image-manifest-schema", blob(descriptor(entry)))
        judge("config-schema", blob(descriptor(manifest["config"])))
        for layer in manifest["layers"]:
            descriptor(layer)
try:
    judge("image-manifest-schema", "{}")
    sys.exit("the schemas judge nothing")
except jsonschema.ValidationError:
    pass
print(*sorted(judged))
"##;

fn image(folder: &Path, name: &str, architecture: &str, settings: Settings, forms: &[Form]) -> Image {
    let layer = |form: &Form| {
        let bytes = format!("{architecture} {form:?}");
        let digest = Sha256::of(bytes.as_bytes());
        let path = blobs_folder(folder).join(digest.to_string());
        fs::write(&path, &bytes).unwrap();
        let size = bytes.len() as u64;
        Layer { diff_id: DiffId(digest), form: *form, digest, size, path, title: format!("debian13/{name}") }
    };
    let platform = Platform::of(architecture.parse().unwrap());
    Image {
        name: name.to_owned(),
        platform,
        settings,
        created: 1_700_000_000,
        history: Vec::new(),
        layers: forms.iter().map(layer).collect(),
    }
}

#[test]
fn the_schemas_take_every_document() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::begin(folder.path()).unwrap();
    let text = |text: &str| text.to_owned();
    let full = Settings {
        user: Some(text("65532:65532")),
        workdir: Some(RootPath::from_absolute(b"/home/nonroot").unwrap()),
        entrypoint: Some(vec![text("/usr/bin/app")]),
        cmd: Some(vec![text("--help")]),
        env: [(text("PATH"), text("/usr/bin"))].into(),
        labels: [(text("l"), text("v"))].into(),
        annotations: [(text("org.opencontainers.image.title"), text("v"))].into(),
        volumes: [RootPath::from_absolute(b"/data").unwrap()].into(),
        exposed_ports: [text("8080/tcp")].into(),
        stop_signal: Some(text("SIGTERM")),
    };
    let images = [
        image(folder.path(), "cc", "amd64", Settings::default(), &[Form::TarGz]),
        image(folder.path(), "cc", "arm64", Settings::default(), &[Form::TarGz, Form::TarZst]),
        image(folder.path(), "cc-nonroot", "armhf", full, &[Form::Tar, Form::TarGz]),
    ];
    session.publish(&images).unwrap();
    let output =
        Command::new("/usr/bin/python3").args(["-W", "ignore", "-c", JUDGE]).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (kind, times) in [("config-schema", 3), ("image-manifest-schema", 3), ("image-index-schema", 3)] {
        assert_eq!(said.split_whitespace().filter(|one| *one == kind).count(), times, "{said}");
    }
}
