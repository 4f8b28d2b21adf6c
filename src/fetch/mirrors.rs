//! Which mirrors are asked for an origin, in which order.

use jiff::{SignedDuration, Timestamp};

use super::{FetchError, Origin, Settings, apt::Apt, uri::Uri};

/// What is asked for: it decides which mirrors may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// InRelease: what it lists must be of one moment.
    Head,
    /// Packages and the like.
    Index,
    /// A .deb. Any mirror will do, for nothing of another moment has the same checksum.
    Deb,
}

/// One root to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    pub(super) root: Uri,
    /// Not the snapshot service.
    pub(super) live: bool,
}

/// The archive keeps a superseded .deb for more than a day, and the snapshot service looks every
/// few hours: what a Release lists may not yet be there at its very Date, but half a day later.
const LATER: SignedDuration = SignedDuration::from_hours(12);

/// In order: `--mirror`, `uris`, the host's apt (only without `uris`), the snapshot service. A
/// pinned origin's heads and indexes never come from the host's mirrors.
pub(super) fn mirrors(
    settings: &Settings,
    apt: impl FnOnce() -> Vec<Uri>,
    origin: &Origin,
    kind: Kind,
) -> Result<Vec<Mirror>, FetchError> {
    let mut roots = Vec::new();
    for (archive, uri) in &settings.mirrors {
        if origin.archive.as_ref() == Some(archive) || origin.name == *archive {
            roots.push(root(uri, || format!("--mirror {archive}="))?);
        }
    }
    for uri in &origin.uris {
        roots.push(root(uri, || format!("`uris` of {}, ", origin.name))?);
    }
    if origin.uris.is_empty() && (kind == Kind::Deb || origin.pinned.is_none()) {
        roots.extend(apt());
    }
    let mut mirrors: Vec<Mirror> = Vec::new();
    let live = roots.into_iter().map(|root| Mirror { root, live: true });
    for mirror in live.chain(snapshots(settings, origin, kind)?) {
        if !mirrors.iter().any(|known| known.root == mirror.root) {
            mirrors.push(mirror);
        }
    }
    if mirrors.is_empty() {
        return Err(FetchError::NoMirror { origin: origin.name.clone(), suite: origin.suite.clone() });
    }
    Ok(mirrors)
}

pub(super) fn root(text: &str, place: impl FnOnce() -> String) -> Result<Uri, FetchError> {
    Uri::parse(text).map(Uri::into_root).map_err(|reason| {
        let place = format!("{}{}", place(), super::uri::redacted(text));
        FetchError::Uri { place, reason }
    })
}

fn snapshots(settings: &Settings, origin: &Origin, kind: Kind) -> Result<Vec<Mirror>, FetchError> {
    let Some(archive) = &origin.archive else { return Ok(Vec::new()) };
    let service = root(&settings.snapshot, || "the snapshot service ".to_owned())?;
    let moments = match (origin.pinned, kind) {
        (Some(pinned), _) => vec![pinned],
        (None, Kind::Head) => vec![settings.now],
        (None, Kind::Index) => std::iter::once(settings.now).chain(origin.released).collect(),
        (None, Kind::Deb) => match origin.released {
            None => vec![settings.now],
            Some(released) => std::iter::once(released).chain(released.checked_add(LATER).ok()).collect(),
        },
    };
    let at = |moment| Mirror { root: service.join(archive).join(&stamp(moment)), live: false };
    Ok(moments.into_iter().map(at).collect())
}

/// `YYYYMMDDTHHMMSSZ`, as the snapshot service names moments.
fn stamp(moment: Timestamp) -> String {
    moment.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The host's mirrors for an origin: of the archive's name (the last part of the path) and listing
/// the suite; of the archive's name for any suite; listing the suite under another name.
pub(super) fn of_host(apt: &Apt, origin: &Origin) -> Vec<Uri> {
    let rank = |listed: &super::apt::Listed| {
        let named = origin.archive.as_ref().is_some_and(|archive| listed.uri.last_part() == *archive);
        match (named, listed.suite == origin.suite) {
            (true, true) => Some(0),
            (true, false) => Some(1),
            (false, true) => Some(2),
            (false, false) => None,
        }
    };
    let mut ranked: Vec<_> = apt.listed.iter().filter_map(|listed| Some((rank(listed)?, &listed.uri))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut roots: Vec<Uri> = Vec::new();
    for (_, uri) in ranked {
        if !roots.contains(uri) {
            roots.push(uri.clone());
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::apt::Listed;

    fn origin() -> Origin {
        Origin {
            name: "main".into(),
            archive: Some("debian".into()),
            suite: "trixie".into(),
            uris: vec![],
            pinned: None,
            released: None,
            folder: None,
        }
    }

    #[test]
    fn order() {
        let now: Timestamp = "2026-11-23T10:20:30Z".parse().unwrap();
        let settings = Settings {
            mirrors: ["debian http://o/1", "other http://o/2", "main http://o/3/"]
                .map(|text| text.split_once(' ').map(|(a, b)| (a.into(), b.into())).unwrap())
                .into(),
            snapshot: "http://s".into(),
            ..Settings::new(now)
        };
        let apt = || vec![Uri::parse("http://a/debian").unwrap().into_root()];
        let moment = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let with_uris = Origin { uris: vec!["http://u/debian/".into()], ..origin() };
        let pinned = Origin { pinned: moment("2026-01-02T03:04:05Z"), ..origin() };
        let released = Origin { released: moment("2026-01-02T03:04:05Z"), ..origin() };
        let nowhere = Origin { archive: None, ..origin() };
        for (origin, kind, expected) in [
            (&origin(), Kind::Head, "http://o/1 http://o/3 http://a/debian ~http://s/debian/20261123T102030Z"),
            (&with_uris, Kind::Head, "http://o/1 http://o/3 http://u/debian ~http://s/debian/20261123T102030Z"),
            (&pinned, Kind::Head, "http://o/1 http://o/3 ~http://s/debian/20260102T030405Z"),
            (&pinned, Kind::Index, "http://o/1 http://o/3 ~http://s/debian/20260102T030405Z"),
            (&pinned, Kind::Deb, "http://o/1 http://o/3 http://a/debian ~http://s/debian/20260102T030405Z"),
            (
                &released,
                Kind::Deb,
                "http://o/1 http://o/3 http://a/debian ~http://s/debian/20260102T030405Z ~http://s/debian/20260102T150405Z",
            ),
            (&nowhere, Kind::Deb, "http://o/3 http://a/debian"),
        ] {
            let found = mirrors(&settings, apt, origin, kind).unwrap();
            let found: Vec<_> = found.iter().map(|m| format!("{}{}", if m.live { "" } else { "~" }, m.root)).collect();
            assert_eq!(found.join(" "), expected, "{origin:?} {kind:?}");
        }
        let bare = Settings { mirrors: vec![], ..settings };
        let none = mirrors(&bare, Vec::new, &nowhere, Kind::Deb);
        assert!(matches!(none, Err(FetchError::NoMirror { .. })));
    }

    #[test]
    fn the_host_s_mirrors() {
        let listed = |text: &str| {
            let (uri, suite) = text.split_once(' ').unwrap();
            Listed { uri: Uri::parse(uri).unwrap().into_root(), suite: suite.into() }
        };
        let apt = Apt {
            listed: [
                "http://vendor/apt trixie",
                "http://m/debian bookworm",
                "http://m/debian bookworm-updates",
                "http://m/debian-security bookworm-security",
                "http://n/x/debian/ trixie",
                "http://vendor/apt2 stable",
            ]
            .map(listed)
            .into(),
            notes: vec![],
        };
        let found = |origin: &Origin| of_host(&apt, origin).iter().map(Uri::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(found(&origin()), "http://n/x/debian http://m/debian http://vendor/apt");
        assert_eq!(
            found(&Origin { archive: Some("debian-security".into()), suite: "trixie-security".into(), ..origin() }),
            "http://m/debian-security"
        );
        assert_eq!(found(&Origin { archive: None, suite: "stable".into(), ..origin() }), "http://vendor/apt2");
    }
}
