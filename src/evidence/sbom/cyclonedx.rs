//! A bill as CycloneDX 1.6 JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Bill, File, From, Package, identity};
use crate::evidence::licences::{Licence, Text};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: String,
    tools: Tools,
    component: Component,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Component {
    r#type: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    bom_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Supplier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Component>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
}

#[derive(Serialize)]
struct Supplier {
    name: String,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice {
    Expression { expression: String, acknowledgement: &'static str },
    Licence { license: Named },
}

#[derive(Serialize)]
struct Named {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Attachment>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    content_type: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Evidence {
    licenses: Vec<Choice>,
}

#[derive(Serialize)]
struct Reference {
    r#type: &'static str,
    url: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    r#ref: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}

/// The document's bytes.
pub fn document(bill: &Bill) -> Vec<u8> {
    let files = bill.files.as_deref().unwrap_or_default();
    let mut told = BTreeSet::new();
    let mut components = vec![Component {
        r#type: "operating-system",
        bom_ref: Some("operating-system".to_owned()),
        name: bill.system.id.clone(),
        version: bill.system.version.clone(),
        ..Component::default()
    }];
    let mut tiers: Vec<_> = (0..bill.tiers.len()).filter_map(|number| tier(bill, number, files)).collect();
    let Some(described) = tiers.pop() else { return Vec::new() };
    components.extend(tiers);
    let mut by_package: BTreeMap<usize, Vec<&File>> = BTreeMap::new();
    for file in files {
        if let From::Package(number) = &file.from {
            by_package.entry(*number).or_default().push(file);
        }
    }
    for (number, package) in bill.packages.iter().enumerate() {
        let files = by_package.get(&number).into_iter().flatten();
        components.push(component(bill, package, files.map(|file| file_component(bill, file)).collect(), &mut told));
    }
    let mut dependencies = Vec::new();
    for (number, tier) in bill.tiers.iter().enumerate() {
        let parent = number.checked_sub(1).and_then(|parent| bill.tiers.get(parent));
        let own = bill.packages.iter().filter(|package| package.tier == number);
        let mut depends_on: Vec<_> =
            parent.map(|parent| parent.title.clone()).into_iter().chain(own.map(|one| one.purl.clone())).collect();
        depends_on.sort();
        depends_on.dedup();
        dependencies.push(Dependency { r#ref: tier.title.clone(), depends_on });
    }
    let tool = Component {
        r#type: "application",
        name: "debstrata".to_owned(),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..Component::default()
    };
    let mut document = Document {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: String::new(),
        version: 1,
        metadata: Metadata { timestamp: bill.moment(), tools: Tools { components: vec![tool] }, component: described },
        components,
        dependencies,
    };
    document.serial_number = format!("urn:uuid:{}", identity::uuid(&document));
    identity::bytes(&document)
}

fn tier(bill: &Bill, number: usize, files: &[File]) -> Option<Component> {
    let tier = bill.tiers.get(number)?;
    let own = files.iter().filter(|file| matches!(file.from, From::Tier { tier, .. } if tier == number));
    Some(Component {
        r#type: "container",
        bom_ref: Some(tier.title.clone()),
        name: tier.title.clone(),
        version: Some(tier.recipe.to_string()),
        description: Some(tier.summary.clone()).filter(|summary| !summary.is_empty()),
        properties: vec![property("debstrata:architecture", bill.architecture.to_string())],
        components: own.map(|file| file_component(bill, file)).collect(),
        ..Component::default()
    })
}

fn component(bill: &Bill, package: &Package, files: Vec<Component>, told: &mut BTreeSet<String>) -> Component {
    let copyright = package.copyright.as_ref().map(|path| property("debstrata:copyright", path.to_string()));
    let tier = bill.tiers.get(package.tier).map(|tier| property("debstrata:tier", tier.title.clone()));
    let properties = [
        property("debstrata:architecture", package.architecture.clone()),
        property("debstrata:source", package.source.0.clone()),
        property("debstrata:source-version", package.source.1.clone()),
        property("debstrata:suite", package.from.clone()),
    ];
    let path = Some(&package.path).filter(|path| !path.is_empty());
    let path = path.map(|path| property("debstrata:path", path.clone()));
    let expression = package.expression();
    let acknowledgement = "declared";
    Component {
        r#type: "library",
        bom_ref: Some(package.purl.clone()),
        supplier: Some(Supplier { name: bill.system.id.clone() }),
        publisher: package.maintainer.clone(),
        name: package.name.clone(),
        version: Some(package.version.clone()),
        hashes: package.sha256.iter().map(|sha256| Hash { alg: "SHA-256", content: sha256.to_string() }).collect(),
        licenses: expression.map(|expression| Choice::Expression { expression, acknowledgement }).into_iter().collect(),
        purl: Some(package.purl.clone()),
        external_references: package
            .homepage
            .iter()
            .map(|url| Reference { r#type: "website", url: url.clone() })
            .collect(),
        properties: properties.into_iter().chain(path).chain(copyright).chain(tier).collect(),
        components: files,
        evidence: texts(bill, package, told),
        ..Component::default()
    }
}

/// The texts that a package's expression refers to: the form has no place for them beside an expression.
/// A text stands with the first package that has it.
fn texts(bill: &Bill, package: &Package, told: &mut BTreeSet<String>) -> Option<Evidence> {
    let leaves = package.licences.as_ref()?.expression.leaves();
    let ids = leaves.into_iter().filter_map(|leaf| match leaf {
        Licence::Text(id) => Some(id),
        Licence::Listed(_) => None,
    });
    let licence = |id: &String| {
        let Text { text, .. } = bill.texts.get(id)?;
        let text = told.insert(id.clone()).then(|| Attachment { content_type: "text/plain", content: text.clone() });
        Some(Choice::Licence { license: Named { name: id.clone(), text } })
    };
    let licenses: Vec<_> = ids.filter_map(licence).collect();
    (!licenses.is_empty()).then_some(Evidence { licenses })
}

fn file_component(bill: &Bill, file: &File) -> Component {
    let mut properties = Vec::new();
    if let From::Tier { how, packages, .. } = &file.from {
        properties.extend(Some(how.clone()).filter(|how| !how.is_empty()).map(|how| property("debstrata:made", how)));
        let of = packages.iter().filter_map(|number| bill.packages.get(*number));
        properties.extend(of.map(|package| property("debstrata:generated-from", package.purl.clone())));
    }
    Component {
        r#type: "file",
        name: file.path.to_string(),
        hashes: vec![
            Hash { alg: "SHA-1", content: file.sha1.clone() },
            Hash { alg: "SHA-256", content: file.sha256.to_string() },
        ],
        properties,
        ..Component::default()
    }
}

/// A property; the names of ours begin with the program's, as the property taxonomy asks.
fn property(name: &'static str, value: String) -> Property {
    Property { name, value }
}
