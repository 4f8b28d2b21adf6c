//! What a tier asks the resolver, as a digest: it alone decides whether a lock is stale.

use std::{collections::BTreeMap, path::Path};

use super::{canon::Canon, recipe::spell_globs};
use crate::{
    debian::Architecture,
    ground::Sha256,
    manifest::{Archive, ArchiveSource, Globs, Missing},
    resolve::{Dependencies, Omission, Question, Wish},
};

/// The digest of a tier's question. `archive` is the architecture's entry of [`archive_digests`],
/// `parent` the digest of the parent tier's question: what the parent holds bounds the answer.
///
/// Neither places in the file, nor comments, nor the reasons of omissions count, nor wishes and
/// alternatives for other architectures.
pub fn digest(question: &Question, archive: Sha256, parent: Option<Sha256>) -> Sha256 {
    // In full, so that a new field must be decided on here.
    let Question { architecture, wishes, dependencies, omit } = question;
    let mut canon = Canon::new("question 1");
    canon.text("archive", archive);
    canon.optional("parent", parent);
    canon.text("architecture", architecture);
    // The order counts: it is that of the answer, and the package named first wins in a merge.
    // A wish for other architectures is not asked here, so adding one leaves this lock as it is.
    let asked = wishes.iter().filter_map(|wish| {
        let Wish { relation, span: _ } = wish;
        relation.on(*architecture)
    });
    canon.list("wishes", asked, |canon, relation| canon.relation(&relation));
    let dependencies = match dependencies {
        Dependencies::All => "all",
        Dependencies::None => "none",
        Dependencies::Linked => "linked",
    };
    canon.text("dependencies", dependencies);
    canon.set("omit", omit, |canon, omission| {
        let Omission { package, reason: _ } = omission;
        canon.text("package", &package.value);
    });
    canon.digest()
}

/// The digest of a tier's question with `dependencies = "linked"`: there the kept files decide on
/// packages too. `question` is what [`digest`] gives; `globs` are the tier's own, then its parents',
/// nearest first, since what a parent keeps need not be brought again.
pub fn linked_digest(question: Sha256, merged_usr: bool, globs: &[&Globs], missing: &[Missing]) -> Sha256 {
    let mut canon = Canon::new("linked question 1");
    canon.text("question", question);
    canon.text("merged-usr", merged_usr);
    canon.list("globs", globs, |canon, globs| spell_globs(canon, globs));
    canon.set("allow-missing", missing, |canon, missing| {
        let Missing { library, reason: _ } = missing;
        canon.text("library", &library.value);
    });
    canon.digest()
}

/// Per architecture of the archive, the digest of what decides which packages its sources offer and
/// whether they are trusted. Mirrors do not count, since any will do (except where nobody signs),
/// nor does what only shapes layers.
pub fn archive_digests(archive: &Archive) -> BTreeMap<Architecture, Sha256> {
    let Archive { source: _, summary: _, architectures, timestamp: _, merged_usr: _, sources } = archive;
    // A keyring is big, and most sources share one: hashed once.
    let mut keyrings: BTreeMap<&Path, Sha256> = BTreeMap::new();
    for keyring in sources.iter().filter_map(|source| source.signed_by.as_ref()) {
        keyrings.entry(&keyring.path).or_insert_with(|| Sha256::of(&keyring.bytes));
    }
    let one = |architecture| {
        let mut canon = Canon::new("archive 1");
        let offered = sources.iter().filter(|source| serves(source, architecture));
        canon.list("sources", offered, |canon, source| spell(canon, source, &keyrings));
        (architecture, canon.digest())
    };
    architectures.iter().map(|architecture| one(architecture.value)).collect()
}

fn serves(source: &ArchiveSource, architecture: Architecture) -> bool {
    source.architectures.as_ref().is_none_or(|only| only.iter().any(|other| other.value == architecture))
}

fn spell(canon: &mut Canon, source: &ArchiveSource, keyrings: &BTreeMap<&Path, Sha256>) {
    let ArchiveSource {
        span: _,
        name,
        suites,
        components,
        signed_by,
        snapshot: _, // where the name comes from, and a place to fetch from
        uris,
        snapshot_at,
        max_age,
        architectures: _, // see `serves`
        priority,
        allow_unsigned,
        allow_expired,
        folder,
    } = source;
    canon.text("name", name);
    canon.list("suites", suites, |canon, suite| canon.text("", &suite.value));
    canon.list("components", components, |canon, component| canon.text("", &component.value));
    canon.optional("signed-by", signed_by.as_ref().and_then(|keyring| keyrings.get(&*keyring.path)));
    canon.optional("snapshot-at", snapshot_at.as_ref().map(|moment| moment.value));
    canon.optional("max-age", max_age.as_ref().map(|age| age.value.as_secs()));
    canon.text("priority", priority);
    canon.text("allow-unsigned", allow_unsigned);
    canon.text("allow-expired", allow_expired);
    canon.optional("folder", folder.as_ref().map(|folder| &folder.written.value));
    if *allow_unsigned {
        // Without a signature the place is all that says whose packages these are.
        canon.list("uris", uris, |canon, uri| canon.text("", &uri.value));
    }
}
