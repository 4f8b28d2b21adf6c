//! How a tier was made: an in-toto Statement v1 with a SLSA provenance v1 predicate (docs/sbom.md tells
//! what our `buildType` means). No clock: all of it follows from project and lock.

use std::collections::BTreeMap;

use serde::Serialize;

use super::sbom::moment;
use crate::ground::Sha256;

/// What `buildType` says: how to read the parameters. Rises when they change.
pub const BUILD_TYPE: &str = "urn:debstrata:build:v1";
/// What `builder.id` says.
pub const BUILDER: &str = "urn:debstrata:builder";

/// Something with a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hashed {
    /// What it is called: a path, an image, a suite.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// Something that went into a tier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Material {
    /// Name and digest.
    pub hashed: Hashed,
    /// Where it is from, as a URI, where that is known.
    pub uri: Option<String>,
    /// More to say of it.
    pub annotations: BTreeMap<&'static str, String>,
}

/// All that provenance tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// What was made: layers by the digest of their uncompressed tar, files, images.
    pub subjects: Vec<Hashed>,
    /// The distribution's name.
    pub distribution: String,
    /// The tier's name.
    pub tier: String,
    /// For which architecture.
    pub architecture: String,
    /// The time of all entries, in seconds since 1970.
    pub timestamp: u64,
    /// Version of the layers' form.
    pub format_version: u32,
    /// Manifests by their path below the project.
    pub manifests: Vec<Hashed>,
    /// Everything else that went in.
    pub materials: Vec<Material>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Resource<'a>>,
    predicate_type: &'static str,
    predicate: Predicate<'a>,
}

#[derive(Serialize)]
struct Resource<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    digest: Digests,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct Digests {
    sha256: Sha256,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    build_definition: Definition<'a>,
    run_details: Run,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition<'a> {
    build_type: &'static str,
    external_parameters: Parameters<'a>,
    internal_parameters: Internal,
    resolved_dependencies: Vec<Resource<'a>>,
}

#[derive(Serialize)]
struct Parameters<'a> {
    distribution: &'a str,
    tier: &'a str,
    architecture: &'a str,
    timestamp: String,
    manifests: Vec<Resource<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Internal {
    format_version: u32,
}

#[derive(Serialize)]
struct Run {
    builder: Builder,
}

#[derive(Serialize)]
struct Builder {
    id: &'static str,
    version: BTreeMap<&'static str, &'static str>,
}

impl Hashed {
    fn resource(&self) -> Resource<'_> {
        Resource { name: &self.name, uri: None, digest: Digests { sha256: self.sha256 }, annotations: BTreeMap::new() }
    }
}

/// The statement's bytes: JSON with indentation, a newline at the end.
pub fn statement(provenance: &Provenance) -> Vec<u8> {
    let resources = provenance.materials.iter().map(|material| Resource {
        uri: material.uri.as_deref(),
        annotations: material.annotations.iter().map(|(key, value)| (*key, value.as_str())).collect(),
        ..material.hashed.resource()
    });
    let statement = Statement {
        kind: "https://in-toto.io/Statement/v1",
        subject: provenance.subjects.iter().map(Hashed::resource).collect(),
        predicate_type: "https://slsa.dev/provenance/v1",
        predicate: Predicate {
            build_definition: Definition {
                build_type: BUILD_TYPE,
                external_parameters: Parameters {
                    distribution: &provenance.distribution,
                    tier: &provenance.tier,
                    architecture: &provenance.architecture,
                    timestamp: moment(provenance.timestamp),
                    manifests: provenance.manifests.iter().map(Hashed::resource).collect(),
                },
                internal_parameters: Internal { format_version: provenance.format_version },
                resolved_dependencies: resources.collect(),
            },
            run_details: Run {
                builder: Builder { id: BUILDER, version: [("debstrata", env!("CARGO_PKG_VERSION"))].into() },
            },
        },
    };
    let mut bytes = serde_json::to_vec_pretty(&statement).expect("a statement is plain data, and memory takes it");
    bytes.push(b'\n');
    bytes
}
