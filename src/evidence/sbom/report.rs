//! The licence report: what a source offer must hold, and which licences each package is under. As text for
//! people, and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Bill, identity};
use crate::evidence::table::{Align, table};

/// What the report says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In full: `debian13/cc`.
    pub tier: String,
    /// Of which architecture.
    pub architecture: String,
    /// Source packages, by name and version.
    pub sources: Vec<Source>,
    /// The whole chain's packages, the root tier's first.
    pub packages: Vec<Licensed>,
    /// Licence texts by the identifier that the packages' expressions have.
    pub texts: BTreeMap<String, String>,
}

/// One source package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The binary packages of the tier that are built from it, in order.
    pub packages: Vec<String>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Licensed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `all` or an architecture.
    pub architecture: String,
    /// Its source package.
    pub source: String,
    /// Version of its source package.
    pub source_version: String,
    /// Where the tier has the copyright file.
    pub copyright: Option<String>,
    /// Whether the copyright file is machine-readable; `None` where there is none.
    pub machine_readable: Option<bool>,
    /// An SPDX expression, or `NOASSERTION`.
    pub licences: String,
    /// What a reader should know.
    pub note: Option<&'static str>,
}

/// The report of a bill.
pub fn report(bill: &Bill) -> Report {
    let mut sources: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for package in &bill.packages {
        sources.entry(package.source.clone()).or_default().push(package.name.clone());
    }
    let source = |((name, version), mut packages): ((String, String), Vec<String>)| {
        packages.sort();
        Source { name, version, packages }
    };
    let packages = bill.packages.iter().map(|package| Licensed {
        name: package.name.clone(),
        version: package.version.clone(),
        architecture: package.architecture.clone(),
        source: package.source.0.clone(),
        source_version: package.source.1.clone(),
        copyright: package.copyright.as_ref().map(ToString::to_string),
        machine_readable: package.licences.as_ref().map(|licences| licences.machine_readable),
        licences: package.expression().unwrap_or_else(|| "NOASSERTION".to_owned()),
        note: match (&package.copyright, &package.licences) {
            (Some(_), _) => None,
            (None, Some(_)) => Some("the tier does not have the copyright file; this is what the package's says"),
            (None, None) => Some("no copyright file was found"),
        },
    });
    Report {
        tier: bill.title().to_owned(),
        architecture: bill.architecture.to_string(),
        sources: sources.into_iter().map(source).collect(),
        packages: packages.collect(),
        texts: bill.texts.iter().map(|(id, text)| (id.clone(), text.text.clone())).collect(),
    }
}

/// The report as JSON.
pub fn json(bill: &Bill) -> Vec<u8> {
    identity::bytes(&report(bill))
}

/// The report as text.
pub fn text(bill: &Bill) -> Vec<u8> {
    let report = report(bill);
    let mut out = format!("Licences of {} ({})\n\n", report.tier, report.architecture);
    let rows: Vec<_> = report
        .sources
        .iter()
        .map(|source| vec![source.name.clone(), source.version.clone(), source.packages.join(" ")])
        .collect();
    let columns = [("source package", Align::Left), ("version", Align::Left), ("packages", Align::Left)];
    out.push_str(&table(&columns, &rows));
    for package in &report.packages {
        out.push_str(&format!("\n{} {}\n", package.name, package.version));
        match (&package.copyright, package.machine_readable) {
            (Some(path), Some(true)) => out.push_str(&format!("  copyright: {path}\n")),
            (Some(path), _) => out.push_str(&format!("  copyright: {path} (not machine-readable)\n")),
            (None, _) => {}
        }
        out.push_str(&format!("  licences: {}\n", package.licences));
        package.note.iter().for_each(|note| out.push_str(&format!("  note: {note}\n")));
    }
    out.into_bytes()
}
