//! Fetching from servers that fail in every way we know. The server is `support/http.rs`.

mod support;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use debstrata::{
    cache::Cache,
    fetch::{Checksum, FetchError, Fetcher, HeadError, Kind, Origin, Outcome, Proxies, Refusal, Settings, Wanted},
    ground::{Event, Observer, Sha256, Work},
};
use sha2::Digest as _;
use support::http::{Fault, Server, closed_port};

/// Long enough for several reads, with every byte value.
fn bytes() -> Vec<u8> {
    (0..400_000_u32).map(|at| (at * 7 % 251) as u8).collect()
}

const PATH: &str = "pool/main/x/x_1.deb";
const AT: &str = "/debian/pool/main/x/x_1.deb";

#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Observer for Heard {
    fn tell(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    fn bytes(&self) -> (u64, u64) {
        self.0.lock().unwrap().iter().fold((0, 0), |(expected, done), event| match event {
            Event::Expect(Work::Download, bytes) => (expected + bytes, done),
            Event::Advance(Work::Download, bytes) => (expected, done + bytes),
            _ => (expected, done),
        })
    }

    fn texts(&self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Step(text) | Event::Note(text) => Some(text.clone()),
            Event::Warning(warning) => Some(format!("{warning} {warning:?}")),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(text).collect()
    }
}

struct World {
    folder: tempfile::TempDir,
    heard: Arc<Heard>,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), heard: Arc::default() }
    }

    fn fetcher(&self, settings: Settings) -> Fetcher {
        let cache = Cache::open(&self.folder.path().join("cache")).unwrap();
        Fetcher::new(settings, Arc::new(cache), self.heard.clone()).unwrap()
    }
}

/// Fast retries, and these roots as mirrors of `debian`.
fn settings(roots: &[String]) -> Settings {
    let mut settings = Settings::new("2026-11-23T10:20:30Z".parse().unwrap());
    settings.mirrors = roots.iter().map(|root| ("debian".to_owned(), format!("{root}/debian/"))).collect();
    settings.retries.tries = 3;
    settings.retries.pause = Duration::from_millis(1);
    settings.retries.longest = Duration::from_millis(20);
    settings
}

/// Without an archive's name, so that the snapshot service is not asked.
fn origin() -> Origin {
    Origin {
        name: "debian".into(),
        archive: None,
        suite: "trixie".into(),
        uris: vec![],
        pinned: None,
        released: None,
        folder: None,
    }
}

fn wanted(bytes: &[u8]) -> Wanted {
    Wanted {
        paths: vec![PATH.into()],
        size: bytes.len() as u64,
        checksum: Checksum::Sha256(Sha256::of(bytes)),
        label: "x".into(),
        kind: Kind::Deb,
    }
}

fn outcome(error: &FetchError) -> String {
    error.attempts().map_or_else(|| error.to_string(), |all| all.attempts[0].outcome.to_string())
}

#[test]
fn every_fault_of_one_mirror() {
    let body = bytes();
    let longer = [body.as_slice(), b"!"].concat();
    let slow = Duration::from_micros(1);
    let ok = |requests| Ok(requests);
    let other = "/debian/other".to_owned();
    #[allow(clippy::type_complexity)]
    let cases: Vec<(&str, Vec<Fault>, Result<usize, (usize, &str)>)> = vec![
        ("fine", vec![], ok(1)),
        ("500 twice", vec![Fault::Status(500), Fault::Status(500)], ok(3)),
        ("503 for ever", vec![Fault::Status(503); 9], Err((3, "answers with status 503"))),
        ("429, at once", vec![Fault::StatusWith(429, "Retry-After", "0")], ok(2)),
        ("429, wait bounded", vec![Fault::StatusWith(429, "Retry-After", "1000")], ok(2)),
        ("hangs up", vec![Fault::HangUp, Fault::HangUp], ok(3)),
        ("truncated", vec![Fault::Truncate(1000), Fault::Truncate(1000)], ok(3)),
        ("truncated, then no ranges", vec![Fault::Truncate(1000), Fault::NoRange], ok(2)),
        ("truncated, then a wrong range", vec![Fault::Truncate(1000), Fault::WrongRange], ok(3)),
        ("truncated, then 416", vec![Fault::Truncate(1000), Fault::Status(416)], ok(3)),
        ("truncated for ever", vec![Fault::Truncate(0); 9], Err((3, "broke off: Peer disconnected"))),
        ("altered, truncated", vec![Fault::Truncate(1000), Fault::Flip(5000)], ok(3)),
        ("silent", vec![Fault::Silent], ok(2)),
        ("slow", vec![Fault::Trickle(slow)], ok(1)),
        ("altered", vec![Fault::Flip(3)], Err((1, "has other bytes than the index says (checksum differs)"))),
        ("longer", vec![Fault::Body(longer)], Err((1, "has 400001 bytes where the index says 400000"))),
        ("empty", vec![Fault::Body(vec![])], Err((1, "has 0 bytes where the index says 400000"))),
        ("endless", vec![Fault::Endless], Err((1, "has more than the 400000 bytes of the index"))),
        ("redirected", vec![Fault::Redirect(other)], ok(2)),
        ("a circle", vec![Fault::Redirect(AT.into()); 20], Err((9, "redirect refused: more than 8 in a row"))),
        (
            "to a file",
            vec![Fault::Redirect("file:///etc/passwd".into())],
            Err((1, "redirect refused: it leads to a file of this machine")),
        ),
        ("encoding lies", vec![Fault::Header("Content-Encoding", "gzip")], ok(1)),
        ("404", vec![Fault::Status(404)], Err((1, "not there (404)"))),
        ("410", vec![Fault::Status(410)], Err((1, "not there (410)"))),
        ("403", vec![Fault::Status(403)], Err((1, "answers with status 403"))),
    ];
    for (name, faults, expected) in cases {
        let body = if name == "slow" { body[..200].to_vec() } else { body.clone() };
        let server = Server::start();
        server.put(AT, body.as_slice());
        server.put("/debian/other", body.as_slice());
        for fault in faults {
            server.fault(AT, fault);
        }
        let world = World::new();
        let settings = |roots: &[String]| {
            let mut settings = settings(roots);
            if name == "silent" {
                settings.timeouts.idle = Duration::from_millis(100);
            }
            settings
        };
        let result = world.fetcher(settings(&[server.url()])).blob(&origin(), &wanted(&body));
        let requests = server.requests().len();
        match (&result, expected) {
            (Ok(path), Ok(count)) => {
                assert_eq!(fs::read(path).unwrap(), body, "{name}");
                assert_eq!(requests, count, "{name}");
                assert_eq!(world.heard.bytes(), (body.len() as u64, body.len() as u64), "{name}");
            }
            (Err(error), Err((count, text))) => {
                assert_eq!(outcome(error), text, "{name}");
                assert_eq!(requests, count, "{name}");
                assert!(error.to_string().contains(&server.url()), "{name}: {error}");
            }
            _ => panic!("{name}: {result:?}"),
        }
        // The next mirror helps in every case, and what is then in the cache is right.
        let second = Server::start();
        second.put(AT, body.as_slice());
        let path = world.fetcher(settings(&[server.url(), second.url()])).blob(&origin(), &wanted(&body)).unwrap();
        assert_eq!(fs::read(path).unwrap(), body, "{name}");
    }
}

#[test]
fn a_resumed_download_asks_for_the_rest_of_the_same_file() {
    let (server, world, body) = (Server::start(), World::new(), bytes());
    server.put(AT, body.as_slice());
    server.fault(AT, Fault::Truncate(300_000));
    world.fetcher(settings(&[server.url()])).blob(&origin(), &wanted(&body)).unwrap();
    let requests = server.requests();
    assert_eq!(requests[0].headers.get("range"), None);
    assert_eq!(requests[0].headers["accept-encoding"], "identity");
    assert_eq!(requests[1].headers["range"], "bytes=300000-");
    assert!(requests[1].headers["if-range"].starts_with('"'));
}

#[test]
fn what_a_killed_run_left_is_taken_up_or_thrown_away() {
    let body = bytes();
    let garbage = vec![1; 1000];
    for (left, requests, range) in [
        (&body[..100_000], 1, Some("bytes=100000-")),
        (&body[..], 0, None),
        (&garbage[..], 2, Some("bytes=1000-")),
        (&[body.as_slice(), b"more"].concat()[..], 1, None),
        (&vec![1; body.len()][..], 1, None),
    ] {
        let (server, world) = (Server::start(), World::new());
        server.put(AT, body.as_slice());
        let fetcher = world.fetcher(settings(&[server.url()]));
        let partial = world.folder.path().join("cache/downloads/incoming").join(wanted(&body).checksum.to_string());
        fs::write(partial, left).unwrap();
        let path = fetcher.blob(&origin(), &wanted(&body)).unwrap();
        assert_eq!(fs::read(path).unwrap(), body);
        let asked = server.requests();
        assert_eq!(asked.len(), requests);
        assert_eq!(asked.first().and_then(|first| first.headers.get("range")).map(String::as_str), range);
    }
}

#[test]
fn connections_are_used_again() {
    let (server, world) = (Server::start(), World::new());
    let wishes: Vec<_> = (0..6_u8)
        .map(|at| {
            let body = vec![at; 50_000 + usize::from(at)];
            let mut wanted = wanted(&body);
            // By-hash first, which is not there: a 404 keeps the connection too.
            wanted.paths = vec![format!("by-hash/{at}"), format!("pool/x+{at}~1.deb")];
            server.put(&format!("/debian/pool/x+{at}~1.deb"), body);
            (origin(), wanted)
        })
        .collect();
    let fetcher = world.fetcher(Settings { jobs: 1, ..settings(&[server.url()]) });
    let results = fetcher.blobs(&wishes);
    for (at, result) in results.into_iter().enumerate() {
        assert_eq!(fs::read(result.unwrap()).unwrap()[0], at as u8, "in the order of the wishes");
    }
    assert_eq!(server.connections(), 1);
    let first = &server.requests()[0].path;
    assert_eq!(first, "/debian/by-hash/5", "the largest first");
    // All are there: nobody is asked.
    assert!(fetcher.blobs(&wishes).iter().all(Result::is_ok));
    assert_eq!(server.requests().len(), 12);
}

#[test]
fn two_at_once_in_one_cache_fetch_each_file_once() {
    let (server, world) = (Server::start(), World::new());
    let wishes: Vec<_> = (0..8_u8)
        .map(|at| {
            let body = vec![at; 200_000];
            let path = format!("pool/{at}.deb");
            server.put(&format!("/debian/{path}"), body.as_slice());
            (origin(), Wanted { paths: vec![path], ..wanted(&body) })
        })
        .collect();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let fetcher = world.fetcher(Settings { jobs: 4, ..settings(&[server.url()]) });
                assert!(fetcher.blobs(&wishes).iter().all(Result::is_ok));
            });
        }
    });
    assert_eq!(server.requests().len(), 8);
    assert_eq!(fs::read_dir(world.folder.path().join("cache/downloads/incoming")).unwrap().count(), 0);
}

#[test]
fn a_failure_of_one_leaves_the_others() {
    let (server, world, body) = (Server::start(), World::new(), bytes());
    server.put(AT, body.as_slice());
    let missing = Wanted { paths: vec!["pool/none".into()], ..wanted(b"none") };
    let results = world.fetcher(settings(&[server.url()])).blobs(&[
        (origin(), missing.clone()),
        (origin(), wanted(&body)),
        (origin(), missing),
    ]);
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false]);
}

/// What the pipeline decides on: gone for good, or merely out of reach.
#[test]
fn gone_is_not_unreachable() {
    let body = bytes();
    let released = Some("2026-01-02T03:04:05Z".parse().unwrap());
    // Live mirrors, the snapshot service; the variant, answered_gone, snapshot_reached.
    for (live, snapshot, expected) in [
        (vec!["404"], "404", ("gone", true, true)),
        (vec!["404", "410"], "404", ("gone", true, true)),
        (vec!["404"], "down", ("failed", true, false)),
        (vec!["404", "down"], "404", ("failed", false, true)),
        (vec!["404", "500"], "404", ("failed", false, true)),
        (vec!["down"], "404", ("failed", false, true)),
        (vec!["down"], "down", ("unreachable", false, false)),
        (vec!["404"], "500", ("failed", true, true)),
        (vec![], "404", ("gone", false, true)),
    ] {
        let mut servers = Vec::new();
        let mut root = |behaviour: &str, path: &str| {
            if behaviour == "down" {
                return closed_port();
            }
            let server = Server::start();
            server.always(path, Fault::Status(behaviour.parse().unwrap()));
            let url = server.url();
            servers.push(server);
            url
        };
        let roots: Vec<_> = live.iter().map(|behaviour| root(behaviour, AT)).collect();
        let mut settings = settings(&roots);
        let at_snapshot = ["20260102T030405Z", "20260102T150405Z"].map(|at| format!("/archive/debian/{at}/{PATH}"));
        settings.snapshot = format!("{}/archive", root(snapshot, &at_snapshot[0]));
        let origin = Origin { archive: Some("debian".into()), released, ..origin() };
        let error = World::new().fetcher(settings).blob(&origin, &wanted(&body)).unwrap_err();
        let variant = match &error {
            FetchError::Gone(_) => "gone",
            FetchError::Unreachable(_) => "unreachable",
            FetchError::Failed(_) => "failed",
            other => panic!("{other}"),
        };
        assert_eq!(
            (variant, error.answered_gone(), error.snapshot_reached()),
            expected,
            "{live:?} {snapshot}: {error}"
        );
        assert_eq!(error.attempts().unwrap().attempts.len(), live.len() + 2);
    }
}

#[test]
fn the_snapshot_service_is_asked_at_the_release_s_date_and_later() {
    let body = bytes();
    for moment in ["20260102T030405Z", "20260102T150405Z"] {
        let (mirror, snapshot, world) = (Server::start(), Server::start(), World::new());
        snapshot.put(&format!("/archive/debian/{moment}/{PATH}"), body.as_slice());
        let mut settings = settings(&[mirror.url()]);
        settings.snapshot = format!("{}/archive/", snapshot.url());
        let released = Some("2026-01-02T03:04:05Z".parse().unwrap());
        let origin = Origin { archive: Some("debian".into()), released, ..origin() };
        world.fetcher(settings).blob(&origin, &wanted(&body)).unwrap();
        assert_eq!(mirror.requests().len(), 1);
    }
}

#[test]
fn a_server_that_is_down_is_asked_once_a_run() {
    let (server, world) = (Server::start(), World::new());
    let down = closed_port();
    let fetcher = world.fetcher(settings(&[down.clone(), server.url()]));
    for body in [b"a", b"b"] {
        server.put(AT, *body);
        fetcher.blob(&origin(), &wanted(body)).unwrap();
    }
    let notes = world.heard.texts();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains(&down), "{notes:?}");
}

#[test]
fn a_mirror_with_other_bytes_is_warned_about() {
    let (bad, good, world, body) = (Server::start(), Server::start(), World::new(), bytes());
    bad.put(AT, body.as_slice());
    bad.fault(AT, Fault::Flip(7));
    good.put(AT, body.as_slice());
    world.fetcher(settings(&[bad.url(), good.url()])).blob(&origin(), &wanted(&body)).unwrap();
    let texts = world.heard.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains(&format!("{}/debian was not used for x", bad.url())), "{texts:?}");
}

#[test]
fn a_file_mirror_is_verified_the_same_way() {
    let (world, body) = (World::new(), bytes());
    let root = world.folder.path().join("mirror a+b");
    let file = root.join("debian").join(PATH);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut settings = settings(&[]);
    settings.mirrors = vec![("debian".into(), format!("file:{}/debian", root.display()))];
    let fetcher = world.fetcher(settings);
    let mut wrong = body.clone();
    wrong[5] ^= 1;
    for (content, expected) in [
        (None, Some(Outcome::Gone(0))),
        (Some(wrong.as_slice()), Some(Outcome::Hash)),
        (Some(&body[1..]), Some(Outcome::Size { expected: 400_000, found: Some(399_999) })),
        (Some(&body[..]), None),
    ] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        match fetcher.blob(&origin(), &wanted(&body)) {
            Ok(path) => assert!(expected.is_none() && fs::read(path).unwrap() == body),
            Err(error) => assert_eq!(Some(&error.attempts().unwrap().attempts[0].outcome), expected.as_ref()),
        }
    }
}

#[test]
fn an_archive_that_lists_sha512_alone() {
    let (server, world, body) = (Server::start(), World::new(), bytes());
    server.put(AT, body.as_slice());
    let checksum = Checksum::Sha512(sha2::Sha512::digest(&body).into());
    let wanted = Wanted { checksum, ..wanted(&body) };
    let fetcher = world.fetcher(settings(&[server.url()]));
    let path = fetcher.blob(&origin(), &wanted).unwrap();
    assert_eq!(path, fetcher.cache().download_path(&Sha256::of(&body)));
    assert_eq!(fetcher.blob(&origin(), &wanted).unwrap(), path);
    assert_eq!(server.requests().len(), 1);
    let other = Wanted { checksum: Checksum::Sha512([7; 64]), ..wanted };
    assert_eq!(outcome(&fetcher.blob(&origin(), &other).unwrap_err()), Outcome::Hash.to_string());
}

#[test]
fn offline_takes_the_cache_alone() {
    let (server, world, body) = (Server::start(), World::new(), bytes());
    server.put(AT, body.as_slice());
    let offline = || world.fetcher(Settings { offline: true, ..settings(&[server.url()]) });
    let error = offline().blob(&origin(), &wanted(&body)).unwrap_err();
    assert_eq!(error.to_string(), "x of debian (400000 bytes) is not in the cache, and --offline forbids fetching it");
    let head = offline().head(&origin(), "dists/trixie/InRelease", 10, |_, _| Ok::<_, FetchError>(()));
    assert!(matches!(head, Err(HeadError::Fetch(FetchError::Offline { .. }))));
    world.fetcher(settings(&[server.url()])).blob(&origin(), &wanted(&body)).unwrap();
    offline().blob(&origin(), &wanted(&body)).unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn paths_stay_below_the_root() {
    let (server, world) = (Server::start(), World::new());
    let fetcher = world.fetcher(settings(&[server.url()]));
    server.put("/debian/flat.deb", b"x");
    for path in ["../x", "/etc/passwd", "a//b", "a/./b", "", "a/..", "a\nb"] {
        let wanted = Wanted { paths: vec![path.into()], ..wanted(b"x") };
        let error = fetcher.blob(&origin(), &wanted).unwrap_err();
        assert!(matches!(error, FetchError::Path { .. }), "{path}: {error}");
    }
    assert_eq!(server.requests().len(), 0);
    fetcher.blob(&origin(), &Wanted { paths: vec!["./flat.deb".into()], ..wanted(b"x") }).unwrap();
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("not {0}")]
#[diagnostic(help("be {0}"))]
struct NotIt(&'static str);

const HEAD: &str = "dists/trixie/InRelease";
const HEAD_AT: &str = "/debian/dists/trixie/InRelease";

#[test]
fn a_head_is_taken_from_the_first_mirror_that_the_judge_accepts() {
    let servers: Vec<_> = (0..5).map(|_| Server::start()).collect();
    servers[0].put(HEAD_AT, "stale");
    servers[1].put(HEAD_AT, "far too long a head");
    servers[2].always(HEAD_AT, Fault::Endless);
    servers[3].fault(HEAD_AT, Fault::Truncate(2));
    servers[3].put(HEAD_AT, "good");
    let mut roots: Vec<_> = servers.iter().map(Server::url).collect();
    roots.insert(0, closed_port());
    let world = World::new();
    let judge = |bytes: &debstrata::fetch::Unverified, mirror: &str| match bytes.as_bytes() {
        b"good" => Ok(mirror.to_owned()),
        _ => Err(NotIt("good")),
    };
    let mirror = world.fetcher(settings(&roots)).head(&origin(), HEAD, 10, judge).unwrap();
    assert_eq!(mirror, format!("{}/debian", servers[3].url()));
    assert_eq!(servers[4].requests().len(), 0);

    roots.truncate(4);
    let error = world.fetcher(settings(&roots)).head(&origin(), HEAD, 10, judge).unwrap_err();
    let HeadError::Refused { refusals, .. } = &error else { panic!("{error}") };
    assert_eq!(refusals.len(), 4);
    assert!(matches!(refusals[0].refusal, Refusal::Mirror(Outcome::Unreachable(_))));
    assert!(matches!(refusals[1].refusal, Refusal::Judge(NotIt("good"))));
    assert!(matches!(refusals[2].refusal, Refusal::Mirror(Outcome::Size { expected: 10, .. })));
    assert!(matches!(refusals[3].refusal, Refusal::Mirror(Outcome::Size { expected: 10, found: None })));
    assert!(!error.answered_gone());
    assert_eq!(error.judged().count(), 1);
    // Each cause once, with its next step.
    let mut shown = String::new();
    miette::NarratableReportHandler::new().render_report(&mut shown, &error).unwrap();
    assert_eq!(shown.matches("not good").count(), 1, "{shown}");
    assert!(shown.contains("be good"), "{shown}");
    for root in &roots {
        assert!(error.to_string().contains(root), "{error}");
    }

    let empty = Server::start();
    let error = world.fetcher(settings(&[empty.url()])).head(&origin(), HEAD, 10, judge).unwrap_err();
    assert!(error.answered_gone());
    // A mirror that does not answer says nothing about the file, and the snapshot service alone nothing
    // about the archive's own mirrors.
    let archive = Origin { archive: Some("debian".into()), ..origin() };
    for (roots, gone) in [
        (vec![empty.url(), closed_port()], true),
        (vec![closed_port()], false),
        (vec![], true),
        (vec![empty.url(), servers[0].url()], false),
    ] {
        let settings = Settings { snapshot: empty.url(), ..settings(&roots) };
        let error = world.fetcher(settings).head(&archive, HEAD, 10, judge).unwrap_err();
        assert_eq!(error.answered_gone(), gone, "{error}");
    }
    empty.always(HEAD_AT, Fault::Status(403));
    let error = world.fetcher(settings(&[empty.url()])).head(&origin(), HEAD, 10, judge).unwrap_err();
    assert!(!error.answered_gone());
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn the_host_s_mirrors_in_apt_s_order_with_its_logins() {
    let servers: Vec<_> = (0..5).map(|_| Server::start()).collect();
    let url = |at: usize| servers[at].url();
    let world = World::new();
    let apt = world.folder.path().join("etc/apt");
    write(&apt, "sources.list", &format!("deb cdrom:[Debian]/ trixie main\ndeb {}/vendor trixie main\nwhat\n", url(4)));
    write(
        &apt,
        "sources.list.d/b.sources",
        &format!(
            "Types: deb\nURIs: {}/debian\nSuites: trixie\nEnabled: no\n\nTypes: deb deb-src\nURIs: {}/debian/\nSuites: bookworm\n",
            url(0),
            url(2)
        ),
    );
    write(&apt, "sources.list.d/a.list", "deb [signed-by=/k] mirror+file:/nowhere/list trixie main\n");
    let list = world.folder.path().join("mirrors");
    write(
        world.folder.path(),
        "mirrors",
        &format!("{}/debian\tpriority:2\nftp://x/debian\n{}/debian priority:1\n", url(3), url(1)),
    );
    write(&apt, "sources.list.d/c.list", &format!("deb mirror+file:{} trixie main\n", list.display()));
    write(&apt, "sources.list.d/ignored.list.save", &format!("deb {}/debian trixie main\n", url(0)));
    write(&apt, "auth.conf.d/m.conf", &format!("machine http://{}/deb login apt password s3cret\n", servers[3].host()));

    let body = bytes();
    let mut settings = settings(&[]);
    settings.apt = Some(apt.clone());
    settings.snapshot = closed_port();
    let origin = Origin { archive: Some("debian".into()), ..origin() };
    let error = world.fetcher(settings.clone()).blob(&origin, &wanted(&body)).unwrap_err();
    let asked: Vec<_> = error.attempts().unwrap().attempts.iter().map(|attempt| attempt.mirror.clone()).collect();
    let expected = [1, 3, 2].map(|at| format!("{}/debian", url(at)));
    assert_eq!(asked[..3], expected);
    assert_eq!(asked[3], format!("{}/vendor", url(4)));
    assert_eq!(asked.len(), 5, "and the snapshot service");
    assert_eq!(servers[0].requests().len(), 0);
    // `printf apt:s3cret | base64`
    assert_eq!(servers[3].requests()[0].headers["authorization"], "Basic YXB0OnMzY3JldA==");
    assert_eq!(servers[1].requests()[0].headers.get("authorization"), None);

    let notes = world.heard.texts().join("\n");
    for part in [
        "sources.list:1: skipped: cdrom:",
        "sources.list:3: skipped",
        "a.list:1: skipped: /nowhere/list",
        "mirrors:2: skipped ftp://x/debian",
    ] {
        assert!(notes.contains(part), "{part} not in {notes}");
    }
    assert!(!notes.contains("s3cret"), "{notes}");

    // The manifest's own mirrors keep the host's away.
    let own = Origin { uris: vec![format!("{}/debian", url(0))], ..origin };
    let error = world.fetcher(settings).blob(&own, &wanted(&body)).unwrap_err();
    assert_eq!(error.attempts().unwrap().attempts.len(), 2);
}

#[test]
fn a_login_is_sent_to_its_server_and_shown_to_nobody() {
    let (server, other, world, body) = (Server::start(), Server::start(), World::new(), bytes());
    let with_login = |url: String| url.replace("http://", "http://me:s3cret@");
    server.fault(AT, Fault::Status(403));
    server.fault(AT, Fault::Flip(1));
    server.fault(AT, Fault::Redirect(format!("{}{AT}?token=s3cret", other.url())));
    server.put(AT, body.as_slice());
    let roots = [with_login(server.url()), with_login(closed_port())];
    let mut settings = settings(&roots);
    settings.proxies = Proxies { https: Some("http://me:s3cret@127.0.0.1:9".into()), ..Proxies::default() };
    settings.snapshot = "http://me:s3cret@127.0.0.1:9/archive".into();
    let origin = Origin { uris: vec!["http://me:s3cret@127.0.0.1:9/debian".into()], ..origin() };
    let mut shown = vec![format!("{settings:?} {origin:?}")];
    for _ in 0..3 {
        let fetcher = world.fetcher(settings.clone());
        let error = fetcher.blob(&origin, &wanted(&body)).unwrap_err();
        shown.push(format!("{error} {error:?} {fetcher:?}"));
        shown.push(format!("{:?}", miette::Report::new(error)));
    }
    let refused = world.fetcher(settings.clone()).head(&origin, HEAD, 10, |_, mirror| {
        shown.push(mirror.to_owned());
        Ok::<(), NotIt>(())
    });
    shown.push(format!("{refused:?}"));
    for wrong in ["htp://me:s3cret@h/x", "http://me:s3cret@h:port/", "me:s3cret@h"] {
        let mut settings = settings.clone();
        settings.mirrors = vec![("debian".into(), wrong.into())];
        let cache = Arc::new(Cache::open(world.folder.path()).unwrap());
        let error = Fetcher::new(settings, cache, world.heard.clone()).unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    settings.proxies.http = Some("ftp://me:s3cret@h".into());
    let error = world.fetcher(settings).blob(&origin, &wanted(&body)).unwrap_err();
    shown.push(format!("{error} {error:?}"));
    shown.extend(world.heard.texts());
    for text in &shown {
        assert!(!text.contains("s3cret") && !text.contains("bWU6czNjcmV0"), "{text}");
    }
    assert_eq!(server.requests()[0].headers["authorization"], "Basic bWU6czNjcmV0");
    let elsewhere = other.requests();
    assert_eq!(elsewhere.len(), 1);
    assert_eq!(elsewhere[0].headers.get("authorization"), None);
}

#[test]
fn http_goes_through_the_proxy_in_absolute_form() {
    let (proxy, direct, world) = (Server::start(), Server::start(), World::new());
    let mut proxied = settings(&["http://mirror.example.org".into()]);
    proxied.jobs = 1;
    proxied.proxies.http = Some(proxy.url().replace("http://", "http://me:pw@"));
    proxied.proxies.no_proxy = Some("127.0.0.1".into());
    let fetcher = world.fetcher(proxied);
    for body in [b"one", b"two"] {
        proxy.put(AT, *body);
        fetcher.blob(&origin(), &wanted(body)).unwrap();
    }
    let requests = proxy.requests();
    assert_eq!(requests[1].target, format!("http://mirror.example.org{AT}"));
    assert_eq!(requests[1].headers["host"], "mirror.example.org");
    assert_eq!(requests[1].headers["proxy-authorization"], "Basic bWU6cHc=");
    assert_eq!(proxy.connections(), 1);

    let mut down = settings(&["http://mirror.example.org".into()]);
    down.proxies.http = Some(closed_port());
    let error = World::new().fetcher(down).blob(&origin(), &wanted(b"x")).unwrap_err();
    assert!(outcome(&error).ends_with("(through the proxy)"), "{error}");

    direct.put(AT, b"three");
    let own = Origin { uris: vec![format!("{}/debian", direct.url())], ..origin() };
    fetcher.blob(&own, &wanted(b"three")).unwrap();
    assert_eq!(direct.requests()[0].target, AT);
}
