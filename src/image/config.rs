//! An image's documents: its config, and the manifest that joins the config with the layers. Pure; the
//! bytes follow from the [`Image`] alone. docs/images.md describes every field.

use super::{
    Image, Layer, Platform,
    spec::{
        CONFIG, Config, Descriptor, Digest, Empty, Execution, History, LAYER, MANIFEST, Manifest, RootFs, Texts, bytes,
    },
};
use crate::{ground::RootPath, layer::Form};

/// What an image comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// The bytes of its config; their SHA-256 is what docker calls the image's ID.
    pub config: Vec<u8>,
    /// Points at them.
    pub config_descriptor: Descriptor,
    /// The bytes of its manifest.
    pub manifest: Vec<u8>,
    /// Points at them, with the platform.
    pub descriptor: Descriptor,
}

/// The documents of an image.
pub fn documents(image: &Image) -> Documents {
    let config = bytes(&config(image));
    let config_descriptor = Descriptor::of(CONFIG, &config);
    let manifest = bytes(&Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        artifact_type: None,
        config: config_descriptor.clone(),
        layers: image.layers.iter().map(descriptor).collect(),
        subject: None,
        annotations: image.settings.annotations.clone(),
    });
    let descriptor = Descriptor { platform: Some(image.platform.clone()), ..Descriptor::of(MANIFEST, &manifest) };
    Documents { config, config_descriptor, manifest, descriptor }
}

/// The media type of a layer.
pub fn media_type(form: Form) -> String {
    let packed = match form {
        Form::Tar => "",
        Form::TarGz => "+gzip",
        Form::TarZst => "+zstd",
    };
    format!("{LAYER}{packed}")
}

/// Points at a layer.
pub fn descriptor(layer: &Layer) -> Descriptor {
    Descriptor {
        media_type: media_type(layer.form),
        digest: Digest(layer.digest),
        size: layer.size,
        platform: None,
        artifact_type: None,
        annotations: Texts::new(),
    }
}

/// The config of an image. A setting that says nothing is left out: no runtime then finds an empty one.
pub fn config(image: &Image) -> Config {
    let Image { name: _, platform, settings, created, layers, history: inherited } = image;
    let Platform { architecture, os, variant } = platform.clone();
    let created = rfc3339(*created);
    let history = |layer: &Layer| History {
        created: Some(created.clone()),
        created_by: Some(format!("debstrata {}", layer.title)),
        ..History::default()
    };
    // Each layer has one line, in order.
    let below = inherited.iter().filter(|line| line.empty_layer != Some(true)).count();
    Config {
        created: Some(created.clone()),
        architecture,
        variant,
        os,
        config: Execution {
            user: settings.user.clone(),
            exposed_ports: some_keys(settings.exposed_ports.iter().cloned()),
            env: Some(settings.env.iter().map(|(name, value)| format!("{name}={value}")).collect())
                .filter(|env: &Vec<String>| !env.is_empty()),
            entrypoint: settings.entrypoint.clone(),
            cmd: settings.cmd.clone(),
            volumes: some_keys(settings.volumes.iter().map(path)),
            working_dir: settings.workdir.as_ref().map(path),
            labels: Some(settings.labels.clone()).filter(|labels| !labels.is_empty()),
            stop_signal: settings.stop_signal.clone(),
        },
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: layers.iter().map(|layer| layer.diff_id).collect() },
        history: inherited.iter().cloned().chain(layers.iter().skip(below).map(history)).collect(),
    }
}

fn some_keys(keys: impl Iterator<Item = String>) -> Option<std::collections::BTreeMap<String, Empty>> {
    Some(keys.map(|key| (key, Empty {})).collect()).filter(|map: &std::collections::BTreeMap<_, _>| !map.is_empty())
}

/// Paths of settings come from TOML, so they are UTF-8.
fn path(path: &RootPath) -> String {
    format!("/{}", String::from_utf8_lossy(path.as_bytes()))
}

/// Seconds since 1970 as `1970-01-01T00:00:00Z`. What lies beyond the year 9999 is its end.
fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX).min(jiff::Timestamp::MAX.as_second());
    jiff::Timestamp::from_second(seconds).expect("neither before 1970 nor after the last second").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ground::{DiffId, Sha256},
        manifest::Image as Settings,
    };

    fn layer(form: Form) -> Layer {
        Layer {
            diff_id: DiffId(Sha256::of(b"tar")),
            form,
            digest: Sha256::of(b"packed"),
            size: 6,
            path: "nowhere".into(),
            title: "debian13/cc".to_owned(),
        }
    }

    fn image(settings: Settings, architecture: &str) -> Image {
        let platform = Platform::of(architecture.parse().unwrap());
        Image {
            name: "cc".into(),
            platform,
            settings,
            created: 0,
            layers: vec![layer(Form::TarGz)],
            history: Vec::new(),
        }
    }

    #[test]
    fn a_config_says_what_it_is_told_and_nothing_more() {
        let documents = documents(&image(Settings::default(), "amd64"));
        let diff_id = DiffId(Sha256::of(b"tar"));
        assert_eq!(
            String::from_utf8(documents.config).unwrap(),
            format!(
                "{{\"created\":\"1970-01-01T00:00:00Z\",\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{}},\
                 \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{diff_id}\"]}},\
                 \"history\":[{{\"created\":\"1970-01-01T00:00:00Z\",\"created_by\":\"debstrata debian13/cc\"}}]}}"
            )
        );
    }

    #[test]
    fn every_setting_has_its_place() {
        let text = |text: &str| text.to_owned();
        let path = |text: &str| RootPath::from_absolute(text.as_bytes()).unwrap();
        let settings = Settings {
            user: Some(text("65532:65532")),
            workdir: Some(path("/home/nonroot")),
            entrypoint: Some(vec![text("/usr/bin/app")]),
            cmd: Some(vec![]),
            env: [("PATH", "/usr/bin"), ("A", "1=2"), ("A.B", "")].map(|(k, v)| (text(k), text(v))).into(),
            labels: [(text("l"), text("v"))].into(),
            annotations: [(text("a"), text("v"))].into(),
            volumes: [path("/data"), RootPath::root()].into(),
            exposed_ports: [text("8080/tcp")].into(),
            stop_signal: Some(text("SIGINT")),
        };
        let documents = documents(&image(settings, "arm64"));
        let config: serde_json::Value = serde_json::from_slice(&documents.config).unwrap();
        assert_eq!(
            config["config"],
            serde_json::json!({
                "User": "65532:65532",
                "ExposedPorts": { "8080/tcp": {} },
                "Env": ["A=1=2", "A.B=", "PATH=/usr/bin"],
                "Entrypoint": ["/usr/bin/app"],
                "Cmd": [],
                "Volumes": { "/": {}, "/data": {} },
                "WorkingDir": "/home/nonroot",
                "Labels": { "l": "v" },
                "StopSignal": "SIGINT",
            })
        );
        assert_eq!((&config["architecture"], &config["variant"]), (&"arm64".into(), &"v8".into()));
        let manifest: serde_json::Value = serde_json::from_slice(&documents.manifest).unwrap();
        assert_eq!(manifest["annotations"], serde_json::json!({ "a": "v" }));
        assert_eq!(documents.descriptor.platform.unwrap().variant.as_deref(), Some("v8"));
    }

    #[test]
    fn media_types_name_the_compression() {
        for (form, expected) in [(Form::Tar, ""), (Form::TarGz, "+gzip"), (Form::TarZst, "+zstd")] {
            let expected = format!("application/vnd.oci.image.layer.v1.tar{expected}");
            assert_eq!(descriptor(&layer(form)).media_type, expected);
        }
    }

    #[test]
    fn times_are_rfc_3339_without_fractions() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (8_589_934_591, "2242-03-16T12:56:31Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
        assert!(rfc3339(u64::MAX).starts_with("9999-12-3"));
    }
}
