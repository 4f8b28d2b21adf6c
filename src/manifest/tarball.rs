//! `[[archives]]`: tarballs by hash.

use std::path::Path;

use crate::ground::{RootPath, Sha256, Spanned};

use super::{
    Tarball, TarballPlace,
    archive::check_uri,
    error::{Findings, Topic},
    shape::Fields,
    tier::read_rule,
};

/// Reads `[[archives]]` of a tier; `folder` is the distribution's.
pub(super) fn read(fields: &mut Fields, folder: &Path, findings: &mut Findings) -> Vec<Tarball> {
    let mut tarballs = Vec::new();
    for Spanned { value: mut entry, span } in fields.list::<Fields>("archives") {
        let globs = read_rule(&mut entry, &span, findings);
        let uris = places(&mut entry, folder, findings);
        let strip = entry.spanned::<i32>("strip-components");
        let strip_components = strip.and_then(|strip| match u32::try_from(strip.value) {
            Ok(count) => Some(count),
            Err(_) => {
                let message = "`strip-components` is less than nothing";
                findings.error(Topic::BadValue, strip.span, message, "0 or more names");
                None
            }
        });
        let sha256 = entry.spanned::<String>("sha256").and_then(|written| match written.value.parse::<Sha256>() {
            Ok(sha256) => Some(sha256),
            Err(fault) => {
                findings
                    .error(Topic::BadValue, written.span, "`sha256` is no SHA-256", fault.to_string())
                    .help("64 hexadecimal digits, as `sha256sum` prints them");
                None
            }
        });
        let size = entry.take::<u64>("size");
        let prefix = entry.take::<RootPath>("prefix").unwrap_or_default();
        if let Some(sha256) = sha256 {
            let strip_components = strip_components.unwrap_or(0);
            tarballs.push(Tarball { span, uris, sha256, size, strip_components, prefix, globs });
        }
    }
    tarballs
}

fn places(entry: &mut Fields, folder: &Path, findings: &mut Findings) -> Vec<TarballPlace> {
    let written = entry.spanned::<Vec<Spanned<String>>>("uris");
    let Some(list) = written else { return Vec::new() };
    if list.value.is_empty() && !entry.refused("uris") {
        findings
            .error(Topic::BadValue, list.span, "`uris` is empty", "needs one entry at least")
            .help("a URI, or a path beside the manifest");
    }
    let mut places: Vec<TarballPlace> = Vec::new();
    for uri in list.value {
        if uri.value.contains("://") {
            check_uri(findings, &uri);
            places.push(TarballPlace::Uri(uri.value));
        } else if uri.value.is_empty() || Path::new(&uri.value).is_absolute() {
            findings
                .error(Topic::Beside, uri.span, "an entry of `uris` is no place", "neither a URI nor a relative path")
                .help("such as https://example.org/app.tar.xz, or a path from the manifest's folder");
        } else {
            places.push(TarballPlace::Beside(folder.join(&uri.value)));
        }
    }
    places
}
