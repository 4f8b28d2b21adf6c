//! A bill as SPDX 2.3 JSON.

use serde::Serialize;
use sha1::Digest as _;

use super::{Bill, File, From, Package, identity};
use crate::ground::Sha256;

const UNKNOWN: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    spdx_id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: Creation,
    packages: Vec<Element>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<Listed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    has_extracted_licensing_infos: Vec<Extracted>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct Creation {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Element {
    name: String,
    #[serde(rename = "SPDXID")]
    spdx_id: String,
    version_info: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_file_name: Option<String>,
    supplier: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    originator: Option<String>,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_verification_code: Option<Verification>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homepage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<Reference>,
    primary_package_purpose: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    package_verification_code_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    file_name: String,
    #[serde(rename = "SPDXID")]
    spdx_id: String,
    checksums: Vec<Checksum>,
    license_concluded: &'static str,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extracted {
    license_id: String,
    name: String,
    extracted_text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// The document's bytes.
pub fn document(bill: &Bill) -> Vec<u8> {
    let files = bill.files.as_deref().unwrap_or_default();
    let mut relationships = Vec::new();
    let mut relate = |from: &str, kind, to: &str| {
        relationships.push(Relationship {
            spdx_element_id: from.to_owned(),
            relationship_type: kind,
            related_spdx_element: to.to_owned(),
        });
    };
    let tiers: Vec<_> = bill.tiers.iter().map(|tier| format!("SPDXRef-Tier-{}", escape(&tier.title))).collect();
    let packages: Vec<_> = bill.packages.iter().map(|one| format!("SPDXRef-Package-{}", escape(&one.name))).collect();
    tiers.iter().next_back().into_iter().for_each(|tier| relate(DOCUMENT, "DESCRIBES", tier));
    for (parent, child) in tiers.iter().zip(tiers.iter().skip(1)) {
        relate(child, "DESCENDANT_OF", parent);
    }
    for (package, id) in bill.packages.iter().zip(&packages) {
        tiers.get(package.tier).into_iter().for_each(|tier| relate(tier, "CONTAINS", id));
    }
    for file in files {
        let id = file_id(file);
        match &file.from {
            From::Package(number) => packages.get(*number).into_iter().for_each(|one| relate(one, "CONTAINS", &id)),
            From::Tier { tier, packages: of, .. } => {
                tiers.get(*tier).into_iter().for_each(|tier| relate(tier, "CONTAINS", &id));
                of.iter().filter_map(|one| packages.get(*one)).for_each(|one| relate(&id, "GENERATED_FROM", one));
            }
        }
    }
    let mut elements = Vec::new();
    for (number, (tier, id)) in bill.tiers.iter().zip(&tiers).enumerate() {
        let own = |file: &&File| matches!(file.from, From::Tier { tier, .. } if tier == number);
        elements.push(Element {
            name: tier.title.clone(),
            spdx_id: id.clone(),
            version_info: tier.recipe.to_string(),
            package_file_name: None,
            supplier: UNKNOWN.to_owned(),
            originator: None,
            download_location: UNKNOWN,
            files_analyzed: files.iter().any(|file| own(&file)),
            package_verification_code: verification(files.iter().filter(own)),
            checksums: Vec::new(),
            homepage: None,
            source_info: None,
            license_concluded: UNKNOWN,
            license_declared: UNKNOWN.to_owned(),
            copyright_text: UNKNOWN,
            summary: Some(tier.summary.clone()).filter(|summary| !summary.is_empty()),
            comment: Some("the version is the digest of all that shapes the tier's layer".to_owned()),
            external_refs: Vec::new(),
            primary_package_purpose: "CONTAINER",
        });
    }
    for (number, (package, id)) in bill.packages.iter().zip(packages).enumerate() {
        let own = |file: &&File| file.from == From::Package(number);
        elements.push(element(bill, package, id, verification(files.iter().filter(own))));
    }
    let extracted = bill.texts.iter().map(|(id, text)| Extracted {
        license_id: id.clone(),
        name: text.name.clone(),
        extracted_text: text.text.clone(),
    });
    let mut document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        spdx_id: DOCUMENT,
        name: format!("{} {}", bill.title(), bill.architecture),
        document_namespace: String::new(),
        creation_info: Creation {
            created: bill.moment(),
            creators: vec![concat!("Tool: debstrata-", env!("CARGO_PKG_VERSION")).to_owned()],
        },
        packages: elements,
        files: files.iter().map(listed).collect(),
        has_extracted_licensing_infos: extracted.collect(),
        relationships,
    };
    // The place that SPDX 2.3 (6.5) gives documents whose maker has none of its own.
    let name = escape(&format!("{}-{}", bill.title(), bill.architecture));
    document.document_namespace = format!("https://spdx.org/spdxdocs/debstrata-{name}-{}", identity::uuid(&document));
    identity::bytes(&document)
}

fn element(bill: &Bill, package: &Package, spdx_id: String, verification: Option<Verification>) -> Element {
    let Package { name, version, source, maintainer, homepage, from, path, sha256, copyright, licences, .. } = package;
    Element {
        name: name.clone(),
        spdx_id,
        version_info: version.clone(),
        package_file_name: Some(path.clone()).filter(|path| !path.is_empty()),
        supplier: format!("Organization: {}", bill.system.id),
        originator: maintainer.as_deref().map(originator),
        download_location: UNKNOWN,
        files_analyzed: verification.is_some(),
        package_verification_code: verification,
        checksums: sha256.iter().map(|sha256| checksum("SHA256", sha256.to_string())).collect(),
        homepage: homepage.clone(),
        source_info: Some(format!("built from the source package {} {}; listed by {from}", source.0, source.1)),
        license_concluded: UNKNOWN,
        license_declared: package.expression().unwrap_or_else(|| UNKNOWN.to_owned()),
        copyright_text: UNKNOWN,
        summary: None,
        comment: match (copyright, licences) {
            (Some(path), _) => Some(format!("copyright file: {path}")),
            (None, Some(_)) => Some("the copyright file is the package's; the tier does not have it".to_owned()),
            (None, None) => Some("the package has no copyright file that can be read".to_owned()),
        },
        external_refs: vec![Reference {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: package.purl.clone(),
        }],
        primary_package_purpose: "INSTALL",
    }
}

/// Words by which a Maintainer is not one person (7.6: `Person:` or `Organization:`).
const MANY: [&str; 5] = ["team", "maintainers", "group", "developers", "packagers"];

/// `Person: Name (mail)` of `Name <mail>`.
fn originator(maintainer: &str) -> String {
    let small = maintainer.to_lowercase();
    let kind = if MANY.iter().any(|word| small.contains(word)) { "Organization" } else { "Person" };
    match maintainer.split_once('<') {
        Some((name, mail)) if !name.trim().is_empty() => {
            let plain = |text: &str| text.replace(['(', ')', '<', '>'], "").trim().to_owned();
            format!("{kind}: {} ({})", plain(name), plain(mail))
        }
        _ => format!("{kind}: {}", maintainer.replace(['(', ')', '<', '>'], "")),
    }
}

fn listed(file: &File) -> Listed {
    let comment = match &file.from {
        From::Tier { how, .. } => Some(how.clone()).filter(|how| !how.is_empty()),
        From::Package(_) => None,
    };
    Listed {
        file_name: format!(".{}", file.path),
        spdx_id: file_id(file),
        checksums: vec![checksum("SHA1", file.sha1.clone()), checksum("SHA256", file.sha256.to_string())],
        license_concluded: UNKNOWN,
        copyright_text: UNKNOWN,
        comment,
    }
}

fn checksum(algorithm: &'static str, checksum_value: String) -> Checksum {
    Checksum { algorithm, checksum_value }
}

fn file_id(file: &File) -> String {
    format!("SPDXRef-File-{}", &Sha256::of(file.path.as_bytes()).to_string()[..24])
}

/// The package verification code (7.9) of files; `None` where there are none.
fn verification<'a>(files: impl Iterator<Item = &'a File>) -> Option<Verification> {
    let mut digests: Vec<_> = files.map(|file| file.sha1.as_str()).collect();
    if digests.is_empty() {
        return None;
    }
    digests.sort_unstable();
    let code = sha1::Sha1::digest(digests.concat());
    let value = code.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Verification { package_verification_code_value: value })
}

/// A name as a part of an identifier, which has letters, digits, `.` and `-` (3.2): others as `-` and
/// hexadecimal digits in capitals, which names of packages and tiers have not.
fn escape(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => out.push(char::from(byte)),
            b'/' => out.push('-'),
            other => out.push_str(&format!("-{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintainers_and_identifiers() {
        for (maintainer, expected) in [
            ("A B <a@example.org>", "Person: A B (a@example.org)"),
            ("Debian GCC Maintainers <gcc@example.org>", "Organization: Debian GCC Maintainers (gcc@example.org)"),
            ("a@example.org", "Person: a@example.org"),
            ("<a@example.org>", "Person: a@example.org"),
            ("A (B) <a@example.org>", "Person: A B (a@example.org)"),
        ] {
            assert_eq!(originator(maintainer), expected);
        }
        assert_eq!(escape("libstdc++6"), "libstdc-2B-2B6");
    }
}
