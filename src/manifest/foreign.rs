//! `parent = { oci = .., digest = .. }`: an image that others made, as the ground of a root tier.

use std::path::{Path, PathBuf};

use super::{
    error::{Findings, Topic},
    shape::Fields,
};
use crate::ground::{DiffId, Sha256, Spanned, printable};

/// An image that others made, below a tier. docs/foreign.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignBase {
    /// Where it is, as written: a layout (`oci:PATH[:NAME]`, `./path`) or a reference to a registry.
    pub oci: Spanned<String>,
    /// SHA-256 of its index or of its manifest.
    pub digest: Spanned<Sha256>,
    /// What a relative path of a layout is seen from: the manifest's folder.
    pub folder: PathBuf,
}

/// Reads the table; `None` where something of it is wrong, which was told.
pub(super) fn read(mut table: Spanned<Fields>, folder: &Path, findings: &mut Findings) -> Option<ForeignBase> {
    let written = table.value.written("digest");
    let (oci, digest) = (table.value.spanned::<String>("oci"), table.value.spanned::<String>("digest"));
    let oci = oci.filter(|oci| {
        let fault = fault(&oci.value);
        if let Some((why, help)) = fault {
            let shown = printable(oci.value.as_bytes());
            findings.error(Topic::Parent, oci.span.clone(), format!("{shown:?} names no image"), why).help(help);
        }
        fault.is_none()
    });
    let Some(digest) = digest else {
        if !written {
            findings
                .error(Topic::MissingKey, table.span, "a parent that others made needs `digest`", "which image is it?")
                .help(
                    "names may come to stand for another image, and builds are reproducible: add `digest`, the \
                     sha256:... that `skopeo inspect --format {{.Digest}} IMAGE` prints",
                );
        }
        return None;
    };
    match digest.value.parse::<DiffId>() {
        Ok(DiffId(sha256)) => {
            Some(ForeignBase { oci: oci?, digest: Spanned::new(sha256, digest.span), folder: folder.to_owned() })
        }
        Err(_) => {
            findings
                .error(Topic::BadValue, digest.span, "`digest` is no digest", "not sha256: and 64 hexadecimal digits")
                .help("write the sha256:... that `skopeo inspect --format {{.Digest}} IMAGE` prints");
            None
        }
    }
}

/// What is wrong at first sight, and what to write. The room of images reads it in full.
fn fault(oci: &str) -> Option<(&'static str, &'static str)> {
    let layout = ["oci:", "/", "./", "../"].iter().any(|start| oci.starts_with(start)) || oci == "." || oci == "..";
    let host = oci.split('/').next().unwrap_or_default();
    let named = oci.contains('/') && (host.contains(['.', ':']) || host == "localhost");
    (!layout && !named).then_some((
        "neither a layout nor an image of a registry",
        "write a layout like \"oci:../base:name\" or \"./base\", or an image with its registry like \
         \"registry.example.org/team/base:1\"",
    ))
}
