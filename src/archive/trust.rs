//! The one exit of [`Unverified`]: an InRelease file becomes a [`Release`] that the named keyring
//! vouches for, of the right suite and of an acceptable age. No input or output, no clock of its own.
//!
//! docs/trust.md says what is checked and why, for those who audit it.

use std::{io::Read, time::SystemTime};

use jiff::{SignedDuration, Timestamp};
use sequoia_openpgp::{
    Cert, KeyHandle,
    parse::{
        Parse,
        stream::{MessageLayer, MessageStructure, VerificationError, VerificationHelper, VerifierBuilder},
    },
    policy::StandardPolicy,
};

use super::{
    TrustRecord,
    clearsigned::{Frame, frame},
    keyring::certificates,
};
use crate::{
    debian::release::{Release, ReleaseError},
    fetch::Unverified,
    ground::{Class, Failure, Sha256, printable},
    manifest::ArchiveSource,
};

/// The longest InRelease that is looked at, in bytes. Debian's largest has 0.2 MB.
pub const LONGEST_INRELEASE: u64 = 8 << 20;

/// How far the clock of this machine may be behind the archive's: a Release (and its signature) may
/// be this much younger than "now". Ten minutes forgive a clock that nobody sets, and give a
/// falsifier nothing.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(10);

/// What one suite's InRelease is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Keyring, `allow-unsigned`, `allow-expired`, `max-age`, `snapshot-at`.
    pub source: &'a ArchiveSource,
    /// The suite as the manifest names it; one that ends in `/` is a flat repository.
    pub suite: &'a str,
    /// Now.
    pub clock: Timestamp,
    /// The Date of the youngest Release that the lock or the cache has seen for this suite.
    pub seen: Option<Timestamp>,
    /// Take a Release that is older than `seen`.
    pub allow_older: bool,
}

/// A Release that may be believed, and what the lock keeps about it.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// For the lock.
    pub record: TrustRecord,
    /// What was signed.
    pub release: Release,
}

/// Why an InRelease is not believed. Each names the suite as [`TrustRecord::id`].
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum TrustError {
    /// The manifest's keyring cannot be used.
    #[error("{id}: the keyring {keyring} cannot be used: {reason}")]
    #[diagnostic(
        code(debstrata::archive::keyring),
        help("`signed-by` names a file of OpenPGP public keys, binary or ASCII-armoured (`gpg --export`)")
    )]
    Keyring {
        /// The suite.
        id: String,
        /// What `signed-by` says.
        keyring: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not exactly one signed message.
    #[error("{id}: InRelease is not one signed message: {reason}")]
    #[diagnostic(
        code(debstrata::archive::frame),
        help("the mirror serves a damaged or altered file; try another mirror (`uris`, or --mirror)")
    )]
    Frame {
        /// The suite.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not signed at all.
    #[error("{id}: InRelease is not signed")]
    #[diagnostic(
        code(debstrata::archive::unsigned),
        help("if nobody signs this archive, and you trust the way it reaches you, say `allow-unsigned = true`")
    )]
    Unsigned {
        /// The suite.
        id: String,
    },
    /// No signature of a key of the keyring is valid.
    #[error("{id}: no valid signature of a key in {keyring}{}", lines(.verdicts))]
    #[diagnostic(
        code(debstrata::archive::signature),
        help(
            "if the archive has a new key, get it from its owner by a way you trust and put it into {keyring}; \
             else the mirror serves an altered file"
        )
    )]
    Signature {
        /// The suite.
        id: String,
        /// What `signed-by` says.
        keyring: String,
        /// What was found, a sentence each.
        verdicts: Vec<String>,
    },
    /// What was signed cannot be read.
    #[error("{id}: the Release file cannot be read")]
    #[diagnostic(code(debstrata::archive::release), help("the archive is broken; tell its owner"))]
    Release {
        /// The suite.
        id: String,
        /// Why.
        #[source]
        source: ReleaseError,
    },
    /// It is some other suite's.
    #[error("{id}: the manifest asks for suite {wanted:?}, but this is the Release of {found}")]
    #[diagnostic(
        code(debstrata::archive::suite),
        help("name the suite in `suites` as its Release calls it in Suite or Codename, or use another mirror")
    )]
    Suite {
        /// The suite.
        id: String,
        /// What the manifest says.
        wanted: String,
        /// Its Suite and Codename.
        found: String,
    },
    /// Its Date lies ahead.
    #[error("{id}: the Release is dated {date}, which lies in the future: here it is {clock}")]
    #[diagnostic(code(debstrata::archive::future), help("set this machine's clock, or use another mirror"))]
    Future {
        /// The suite.
        id: String,
        /// Its Date.
        date: Timestamp,
        /// Now.
        clock: Timestamp,
    },
    /// It is younger than the moment the source is pinned to.
    #[error("{id}: the Release is dated {date}, after the moment of `snapshot-at`, {pinned}")]
    #[diagnostic(
        code(debstrata::archive::pin),
        help("this mirror has not the archive of that moment: change `snapshot-at` or `uris`")
    )]
    AfterPin {
        /// The suite.
        id: String,
        /// Its Date.
        date: Timestamp,
        /// `snapshot-at`.
        pinned: Timestamp,
    },
    /// Its Valid-Until has passed.
    #[error("{id}: the Release was valid until {valid_until}; judged at {moment}")]
    #[diagnostic(
        code(debstrata::archive::expired),
        help(
            "the mirror is stale: use another one; to build from an old archive say `snapshot-at`, \
             and to use this very file `allow-expired = true`"
        )
    )]
    Expired {
        /// The suite.
        id: String,
        /// When its validity ended.
        valid_until: Timestamp,
        /// `snapshot-at`, or now.
        moment: Timestamp,
    },
    /// It is older than `max-age` allows.
    #[error("{id}: the Release is dated {date}, {} before {moment}; `max-age` allows {}", spell(.age), spell(.limit))]
    #[diagnostic(code(debstrata::archive::age), help("the mirror is stale: use another one, or raise `max-age`"))]
    TooOld {
        /// The suite.
        id: String,
        /// Its Date.
        date: Timestamp,
        /// `snapshot-at`, or now.
        moment: Timestamp,
        /// How old it was then.
        age: SignedDuration,
        /// `max-age`.
        limit: SignedDuration,
    },
    /// A younger one was seen before.
    #[error("{id}: the Release is dated {date}, but one of {seen} was seen before")]
    #[diagnostic(
        code(debstrata::archive::rollback),
        help(
            "the mirror is behind or was rolled back: use another one; to go back on purpose: `debstrata lock --allow-older`"
        )
    )]
    Rollback {
        /// The suite.
        id: String,
        /// Its Date.
        date: Timestamp,
        /// The younger Date.
        seen: Timestamp,
    },
}

/// A duration in whole seconds, as `max-age` is written: `7 days 2 hours`.
fn spell(duration: &SignedDuration) -> String {
    let mut rest = duration.as_secs();
    let mut words = Vec::new();
    for (unit, seconds) in [("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)] {
        let count = rest / seconds;
        rest %= seconds;
        match count {
            0 => {}
            1 => words.push(format!("1 {unit}")),
            _ => words.push(format!("{count} {unit}s")),
        }
    }
    if words.is_empty() { "0 seconds".into() } else { words.join(" ") }
}

fn lines(verdicts: &[String]) -> String {
    verdicts.iter().map(|verdict| format!("\n  {verdict}")).collect()
}

impl Failure for TrustError {
    fn class(&self) -> Class {
        match self {
            Self::Keyring { .. } | Self::Suite { .. } | Self::AfterPin { .. } => Class::User,
            _ => Class::World,
        }
    }
}

/// `<source name>/<suite>`, the name of a suite in lock, cache and messages.
pub(super) fn id(source: &ArchiveSource, suite: &str) -> String {
    format!("{}/{suite}", source.name)
}

/// Judges an InRelease file.
///
/// # Errors
/// The first of the rules that it breaks, in the order of [`TrustError`].
pub fn trust(unverified: &Unverified, rules: &Rules<'_>) -> Result<Trusted, TrustError> {
    let mut trusted = recheck(unverified, rules)?;
    trusted.record.expired = check_dates(&trusted.release, rules)?;
    Ok(trusted)
}

/// Judges an InRelease file whose age was judged before: all of [`trust`] but the dates.
///
/// # Errors
/// As [`trust`].
pub fn recheck(unverified: &Unverified, rules: &Rules<'_>) -> Result<Trusted, TrustError> {
    let bytes = unverified.as_bytes();
    let (text, signer) = signed_text(bytes, rules)?;
    let id = id(rules.source, rules.suite);
    let release = match str::from_utf8(&text) {
        Ok(text) => Release::parse(text).map_err(|source| TrustError::Release { id: id.clone(), source })?,
        Err(_) => return Err(TrustError::Frame { id, reason: "the text is not UTF-8".into() }),
    };
    check_suite(&release, rules)?;
    let record = TrustRecord {
        id,
        inrelease: Sha256::of(bytes),
        date: release.date,
        valid_until: release.valid_until,
        signer,
        expired: false,
        folder: None,
    };
    Ok(Trusted { record, release })
}

/// The text that was signed, and the fingerprint of the primary key that signed it.
fn signed_text(bytes: &[u8], rules: &Rules<'_>) -> Result<(Vec<u8>, Option<String>), TrustError> {
    let id = id(rules.source, rules.suite);
    if bytes.len() as u64 > LONGEST_INRELEASE {
        return Err(TrustError::Frame { id, reason: format!("it is longer than {LONGEST_INRELEASE} bytes") });
    }
    match frame(bytes) {
        Err(reason) => Err(TrustError::Frame { id, reason: reason.into() }),
        Ok(Frame::Plain) if rules.source.allow_unsigned => Ok((bytes.to_vec(), None)),
        Ok(Frame::Plain) => Err(TrustError::Unsigned { id }),
        Ok(Frame::Signed(text)) if rules.source.allow_unsigned => Ok((text, None)),
        Ok(Frame::Signed(_)) => verify(bytes, rules).map(|(text, signer)| (text, Some(signer))),
    }
}

fn verify(bytes: &[u8], rules: &Rules<'_>) -> Result<(Vec<u8>, String), TrustError> {
    let id = || id(rules.source, rules.suite);
    let Some(keyring) = &rules.source.signed_by else {
        let reason = "the source names none".into();
        return Err(TrustError::Keyring { id: id(), keyring: "(no `signed-by`)".into(), reason });
    };
    let name = || printable(keyring.written.value.as_bytes());
    let keys = certificates(&keyring.bytes).map_err(|reason| TrustError::Keyring {
        id: id(),
        keyring: name(),
        reason: printable(reason.as_bytes()),
    })?;
    // Cut-off dates of weak algorithms are judged now, whatever the source is pinned to: an
    // algorithm that is broken today can forge a Release of any date.
    let Ok(now) = SystemTime::try_from(rules.clock) else {
        return Err(TrustError::Future { id: id(), date: Timestamp::MIN, clock: rules.clock });
    };
    let policy = StandardPolicy::at(now);
    let judge = Judge { keys: &keys.certs, signer: None, verdicts: Vec::new() };
    let refuse = |mut verdicts: Vec<String>| {
        verdicts.extend(keys.skipped.iter().map(|reason| format!("a key of the keyring is unusable: {reason}")));
        let verdicts = verdicts.iter().map(|verdict| printable(verdict.as_bytes())).collect();
        TrustError::Signature { id: id(), keyring: name(), verdicts }
    };
    let mut verifier = VerifierBuilder::from_bytes(bytes)
        .and_then(|builder| builder.with_policy(&policy, now + CLOCK_SKEW.unsigned_abs(), judge))
        .map_err(|error| refuse(vec![format!("the signature cannot be read: {error:#}")]))?;
    let mut text = Vec::new();
    if let Err(error) = verifier.read_to_end(&mut text) {
        return Err(refuse(vec![format!("the signature cannot be read: {error:#}")]));
    }
    if !verifier.message_processed() {
        return Err(refuse(vec!["the signature cannot be read: the file ends too early".into()]));
    }
    let judge = verifier.into_helper();
    match judge.signer.and_then(|place| keys.certs.get(place)) {
        Some(cert) => Ok((text, cert.fingerprint().to_hex())),
        None if judge.verdicts.is_empty() => Err(refuse(vec!["there is no signature in the signature block".into()])),
        None => Err(refuse(judge.verdicts)),
    }
}

/// Remembers the verdict on every signature; never fails, so that all are looked at.
struct Judge<'a> {
    keys: &'a [Cert],
    /// The first key of the keyring that made a valid signature.
    signer: Option<usize>,
    verdicts: Vec<String>,
}

impl VerificationHelper for Judge<'_> {
    fn get_certs(&mut self, _: &[KeyHandle]) -> sequoia_openpgp::Result<Vec<Cert>> {
        Ok(self.keys.to_vec())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> sequoia_openpgp::Result<()> {
        for layer in structure {
            let MessageLayer::SignatureGroup { results } = layer else {
                return Err(sequoia_openpgp::Error::MalformedMessage("more than a signed text".into()).into());
            };
            for result in results {
                match result {
                    Ok(good) => {
                        let signer = good.ka.cert().fingerprint();
                        let place = self.keys.iter().position(|key| key.fingerprint() == signer);
                        self.signer = [self.signer, place].into_iter().flatten().min();
                    }
                    Err(error) => self.verdicts.push(verdict(&error)),
                }
            }
        }
        Ok(())
    }
}

/// What is wrong with one signature, as a sentence that names the key.
fn verdict(error: &VerificationError<'_>) -> String {
    let by = |handles: Vec<KeyHandle>| match handles.last() {
        Some(handle) => handle.to_hex(),
        None => "a key that it does not name".into(),
    };
    match error {
        VerificationError::MissingKey { sig } => {
            format!("signed by {}, which is not in the keyring", by(sig.get_issuers()))
        }
        VerificationError::UnboundKey { cert, error, .. } => {
            format!("signed by {}, which was not usable then: {error:#}", cert.fingerprint())
        }
        VerificationError::BadKey { ka, error, .. } => {
            format!("signed by {}, which is refused: {error:#}", ka.cert().fingerprint())
        }
        VerificationError::BadSignature { ka, error, .. } => {
            format!("signed by {}, but the signature is refused: {error:#}", ka.cert().fingerprint())
        }
        VerificationError::MalformedSignature { sig, error } => {
            format!("a malformed signature of {}: {error:#}", by(sig.get_issuers()))
        }
        VerificationError::UnknownSignature { sig } => format!("a signature of an unknown kind: {:#}", sig.error()),
        other => format!("{other}"),
    }
}

fn check_suite(release: &Release, rules: &Rules<'_>) -> Result<(), TrustError> {
    // A flat repository has no name to compare: its place is all that `suites` gives.
    let names = [("Suite", &release.suite), ("Codename", &release.codename)];
    // As apt does: a folder below a suite's may keep the suite's name (`stable/updates`).
    let above = rules.suite.rsplit_once('/').map(|(above, _)| above);
    let fits = |name: &str| name == rules.suite || Some(name) == above;
    if rules.suite.ends_with('/') || names.iter().any(|(_, name)| name.as_deref().is_some_and(fits)) {
        return Ok(());
    }
    let found: Vec<_> = names
        .iter()
        .filter_map(|(field, name)| Some(format!("{field} {:?}", printable(name.as_deref()?.as_bytes()))))
        .collect();
    Err(TrustError::Suite {
        id: id(rules.source, rules.suite),
        wanted: rules.suite.into(),
        found: if found.is_empty() { "no named suite".into() } else { found.join(", ") },
    })
}

/// Whether it is past its Valid-Until and let pass.
fn check_dates(release: &Release, rules: &Rules<'_>) -> Result<bool, TrustError> {
    let id = id(rules.source, rules.suite);
    let date = release.date;
    let pinned = rules.source.snapshot_at.as_ref().map(|moment| moment.value);
    // A Release counts in whole seconds, and so do messages.
    let clock = Timestamp::from_second(rules.clock.as_second()).unwrap_or(rules.clock);
    let moment = pinned.unwrap_or(clock);
    let ahead = |date: Timestamp, of: Timestamp| date.duration_since(of) > CLOCK_SKEW;
    if ahead(date, rules.clock) {
        return Err(TrustError::Future { id, date, clock });
    }
    if let Some(pinned) = pinned.filter(|pinned| ahead(date, *pinned)) {
        return Err(TrustError::AfterPin { id, date, pinned });
    }
    let expired = release.valid_until.filter(|valid_until| *valid_until < moment);
    if let Some(valid_until) = expired.filter(|_| !rules.source.allow_expired) {
        return Err(TrustError::Expired { id, valid_until, moment });
    }
    if let Some(max_age) = &rules.source.max_age {
        let limit = SignedDuration::try_from(max_age.value).unwrap_or(SignedDuration::MAX);
        let age = moment.duration_since(date);
        if age > limit {
            return Err(TrustError::TooOld { id, date, moment, age, limit });
        }
    }
    // A pin into the past is the user's own word: what was seen of a later time does not speak
    // against it.
    let seen = rules.seen.filter(|seen| pinned.is_none_or(|pinned| *seen <= pinned));
    if let Some(seen) = seen.filter(|seen| date < *seen && !rules.allow_older) {
        return Err(TrustError::Rollback { id, date, seen });
    }
    Ok(expired.is_some())
}
