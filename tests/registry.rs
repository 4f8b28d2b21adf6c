//! Pushing to registries and reading from them, and how each of their faults ends.

mod support;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use debstrata::{
    fetch,
    ground::{Class, Event, Failure, Observer, Silent, Work},
    image::{
        Descriptor,
        reference::Reference,
        registry::{
            Access, Blobs, Credentials, How, Login as Secret, Pushed, RegistryError, Repository, Settings, Sources,
            Wanted, push,
        },
        spec::INDEX,
    },
};
use miette::Diagnostic;
use support::{
    Key, Project, Server,
    layout::Layout,
    project::{archive_toml, project},
    registry::{Login, Registry, Rules, Wrong},
};

/// Bytes of the large layer, which goes in pieces.
const LARGE: usize = 4 << 20;

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| (at * 7 % 251) as u8).collect()
}

struct World {
    folder: tempfile::TempDir,
    layout: Layout,
    registry: Registry,
}

impl World {
    fn new(rules: Rules) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        Self { folder, layout, registry: Registry::start(rules) }
    }

    /// Two images of two platforms each, that share layers.
    fn two_images(&mut self) -> Vec<Wanted> {
        let shared = b"shared".to_vec();
        let (one, _) = self.layout.manifest("{\"a\":1}", &[shared.clone(), large()]);
        let (two, _) = self.layout.manifest("{\"a\":2}", std::slice::from_ref(&shared));
        let (three, _) = self.layout.manifest("{\"a\":3}", &[shared]);
        let root = |root, tags: &[&str]| Wanted { root, tags: tags.iter().map(|tag| (*tag).to_owned()).collect() };
        vec![
            root(self.layout.image("cc", vec![one.clone(), two]), &["cc", "cc-2"]),
            root(self.layout.image("cc-x", vec![one, three]), &["cc-x"]),
        ]
    }

    fn reference(&self) -> Reference {
        format!("{}/team/image", self.registry.host()).parse().unwrap()
    }

    fn settings(&self) -> Settings {
        settings(Credentials::default())
    }

    fn repository(&self, settings: &Settings) -> Repository {
        Repository::new(settings, &self.reference(), Access::Push, &[]).unwrap()
    }

    fn push(&self, settings: &Settings, wanted: &[Wanted]) -> Result<Pushed, RegistryError> {
        push(&self.repository(settings), &sources(self.folder.path()), wanted, &[])
    }
}

fn settings(credentials: Credentials) -> Settings {
    let mut fetch = fetch::Settings::new(support::now());
    fetch.retries.tries = 3;
    fetch.timeouts.idle = Duration::from_secs(5);
    fetch.retries.pause = Duration::from_millis(1);
    fetch.retries.longest = Duration::from_millis(20);
    let mut settings = Settings::new(fetch, credentials, Arc::new(Silent));
    (settings.whole, settings.piece) = (1 << 10, 3 << 20);
    settings
}

fn counts(pushed: &Pushed) -> [usize; 3] {
    let count = |how| pushed.blobs.iter().filter(|blob| blob.how == how).count();
    [count(How::Sent), count(How::Mounted), count(How::Present)]
}

fn sent(pushed: &Pushed) -> usize {
    let manifests = pushed.manifests.iter().filter(|manifest| manifest.how == How::Sent).count();
    manifests + pushed.tags.iter().filter(|tag| tag.how == How::Sent).count()
}

#[test]
fn everything_goes_once_in_order_and_the_second_time_nothing() {
    for rules in [Rules::default(), Rules { relative: true, least: Some(4 << 20), ..Rules::default() }] {
        let mut world = World::new(rules);
        let wanted = world.two_images();
        let settings = world.settings();
        let pushed = world.push(&settings, &wanted).unwrap();
        // 3 configs and 2 layers; 3 manifests and 2 indexes; 3 tags.
        assert_eq!((counts(&pushed), sent(&pushed)), ([5, 0, 0], 8));
        let tags: Vec<_> = pushed.tags.iter().map(|tag| (tag.tag.as_str(), tag.digest)).collect();
        assert_eq!(
            tags,
            [("cc", wanted[0].root.digest), ("cc-2", wanted[0].root.digest), ("cc-x", wanted[1].root.digest)]
        );
        let requests = world.registry.requests();
        let last = |part: &str, method: &str| {
            requests.iter().rposition(|asked| asked.method == method && asked.target.contains(part)).unwrap()
        };
        let first = |part: &str| {
            requests.iter().position(|asked| asked.method == "PUT" && asked.target.contains(part)).unwrap()
        };
        assert!(last("/uploads/", "PUT") < first("/manifests/"), "blobs before manifests");
        let index = wanted[0].root.digest.to_string();
        assert!(last(&format!("/manifests/{index}"), "PUT") < first("/manifests/cc"), "tags at the end");
        assert_eq!(world.registry.tags("team/image")["cc"], index);
        assert_eq!(
            world.registry.manifest("team/image", &index).unwrap(),
            std::fs::read(world.layout.path(&wanted[0].root)).unwrap()
        );

        world.registry.forget_requests();
        let again = world.push(&settings, &wanted).unwrap();
        assert_eq!((counts(&again), sent(&again)), ([0, 0, 5], 0));
        let quiet = |method: &str| matches!(method, "GET" | "HEAD");
        assert!(world.registry.requests().iter().all(|asked| quiet(&asked.method)), "{:#?}", world.registry.requests());
        assert_eq!(world.registry.violations(), Vec::<String>::new());
    }
}

#[test]
fn every_fault_of_a_push() {
    let uploads = "/blobs/uploads/";
    let status = |status, lines| Wrong::Status(status, lines);
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str, Wrong)>, Result<(), &'a str>);
    let cases: Vec<Case> = vec![
        ("500 twice", vec![("POST", uploads, status(500, "")); 2], Ok(())),
        ("503 for ever", vec![("POST", uploads, status(503, "")); 9], Err("answers with status 503")),
        ("429", vec![("HEAD", "/blobs/", status(429, "Retry-After: 0"))], Ok(())),
        ("429, wait bounded", vec![("HEAD", "/blobs/", status(429, "Retry-After: 1000"))], Ok(())),
        ("hangs up", vec![("POST", uploads, Wrong::HangUp), ("PUT", uploads, Wrong::HangUp)], Ok(())),
        ("reset in a piece", vec![("PATCH", uploads, Wrong::Reset(2 << 20))], Ok(())),
        ("reset at once", vec![("PATCH", uploads, Wrong::Reset(0))], Ok(())),
        ("reset of the whole", vec![("PUT", uploads, Wrong::Reset(1))], Ok(())),
        ("reset for ever", vec![("PATCH", uploads, Wrong::Reset(0)); 9], Err("broke off")),
        ("answer of a piece lost", vec![("PATCH", uploads, Wrong::LoseAnswer)], Ok(())),
        ("answer of the end lost", vec![("PUT", uploads, Wrong::LoseAnswer)], Ok(())),
        ("answer of a manifest lost", vec![("PUT", "/manifests/", Wrong::LoseAnswer)], Ok(())),
        ("500 in a piece", vec![("PATCH", uploads, status(500, ""))], Ok(())),
        ("an upload forgotten", vec![("PATCH", uploads, Wrong::Forget)], Ok(())),
        ("an upload forgotten for ever", vec![("PATCH", uploads, Wrong::Forget); 9], Err("status 404")),
        ("stands elsewhere", vec![("PATCH", uploads, status(416, ""))], Ok(())),
        ("no pieces", vec![("PATCH", uploads, status(405, ""))], Ok(())),
        ("less than was sent", vec![("PATCH", uploads, Wrong::Range("0-1048575"))], Ok(())),
        ("more than was sent", vec![("PATCH", uploads, Wrong::Range("0-99999999"))], Ok(())),
        ("a range that is none", vec![("PATCH", uploads, Wrong::Range("7"))], Err("its Range is 7")),
        ("another digest of a blob", vec![("PUT", uploads, Wrong::OtherDigest)], Err("it names the digest sha256:")),
        ("another digest there", vec![("PUT", "/manifests/", Wrong::OtherDigest)], Err("it names the digest sha256:")),
        ("no manifest", vec![("PUT", "/manifests/", status(400, ""))], Err("status 400: UNKNOWN (no")),
        ("too large", vec![("PUT", uploads, status(413, ""))], Err("status 413: UNKNOWN")),
        ("forbidden", vec![("POST", uploads, status(403, ""))], Err("(403: UNKNOWN")),
        ("no repository", vec![("POST", uploads, status(404, ""))], Err("refuses the upload")),
        ("no Location", vec![("POST", uploads, status(202, ""))], Err("does not say where")),
        ("to a file", vec![("POST", uploads, status(202, "Location: file:/etc"))], Err("leads to a file")),
        ("redirected", vec![("HEAD", "/blobs/", Wrong::Redirect(307, "/v2/team/image/blobs/none".into()))], Ok(())),
        (
            "in a circle",
            vec![("HEAD", "/blobs/", Wrong::Redirect(307, "/v2/team/image/blobs/x".into())); 9],
            Err("more than 5 in a row"),
        ),
    ];
    for (name, faults, wanted_end) in cases {
        let mut world = World::new(Rules::default());
        let wanted = world.two_images();
        // One after another, so that the faults meet the same requests each time.
        let mut settings = world.settings();
        settings.fetch.jobs = 1;
        let count = faults.len();
        for (method, path, wrong) in faults {
            world.registry.fault(method, path, wrong);
        }
        match (world.push(&settings, &wanted), wanted_end) {
            (Ok(_), Ok(())) => {
                assert_eq!(world.registry.faults_left(), 0, "{name}");
                let blob = Descriptor::of("x", &large()).digest.to_string();
                assert_eq!(world.registry.blob("team/image", &blob), Some(large()), "{name}");
                assert_eq!(world.registry.tags("team/image").len(), 3, "{name}");
            }
            (Err(error), Err(text)) => {
                assert!(error.to_string().contains(text), "{name}: {error}");
                assert!(error.help().is_some() && error.code().is_some(), "{name}");
                assert!(!error.to_string().contains('\u{1b}'), "{name}");
                assert!(world.registry.tags("team/image").is_empty(), "{name}: a tag was set");
                assert!(count < 2 || world.registry.faults_left() > 0, "{name}");
            }
            (found, _) => panic!("{name}: {found:?}"),
        }
        assert_eq!(world.registry.violations(), Vec::<String>::new(), "{name}");
    }
}

/// A reset in the middle of a piece: what had arrived is not sent again.
#[test]
fn what_arrived_before_a_reset_is_not_sent_again() {
    let mut world = World::new(Rules::default());
    let wanted = world.two_images();
    let heard = Arc::new(Heard::default());
    let mut settings = world.settings();
    settings.observer = heard.clone();
    world.registry.fault("PATCH", "/uploads/", Wrong::Reset(1_500_000));
    world.push(&settings, &wanted).unwrap();
    let ranges: Vec<_> = world
        .registry
        .requests()
        .iter()
        .filter(|asked| asked.method == "PATCH")
        .map(|asked| asked.headers["content-range"].clone())
        .collect();
    assert_eq!(ranges, ["0-3145727", "1500000-4194303"]);
    let (expected, done) = heard.bytes();
    assert!(expected > LARGE as u64 && expected == done, "{expected} {done}");
}

/// A registry that takes a little of each piece would have the rest sent again without end.
#[test]
fn who_takes_hardly_anything_of_a_piece_is_given_up() {
    for (takes, ends) in [(10 << 10, false), (2, false), (1 << 20, true)] {
        let mut world = World::new(Rules { takes, ..Rules::default() });
        let wanted = world.two_images();
        let mut settings = world.settings();
        settings.fetch.jobs = 1;
        let pushed = world.push(&settings, &wanted);
        assert!(world.registry.count("PATCH") <= 5, "{takes}: {}", world.registry.count("PATCH"));
        match pushed {
            Ok(_) => assert!(ends, "{takes}"),
            Err(error) => {
                assert!(
                    !ends && error.to_string().contains("it takes hardly any bytes of a piece"),
                    "{takes}: {error}"
                );
                assert!(world.registry.tags("team/image").is_empty());
            }
        }
    }
}

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
            Event::Expect(Work::Upload, bytes) => (expected + bytes, done),
            Event::Advance(Work::Upload, bytes) => (expected, done + bytes),
            _ => (expected, done),
        })
    }
}

#[test]
fn blobs_are_mounted_from_other_repositories() {
    let mut world = World::new(Rules::default());
    let wanted = world.two_images();
    let digest = world.registry.put_blob("team/other", &large());
    let from = ["team/none".to_owned(), "team/other".to_owned()];
    let settings = world.settings();
    let repository = Repository::new(&settings, &world.reference(), Access::Push, &from).unwrap();
    let pushed = push(&repository, &sources(world.folder.path()), &wanted, &from).unwrap();
    assert_eq!(counts(&pushed), [4, 1, 0]);
    assert!(world.registry.blob("team/image", &digest).is_some());
}

fn with_login(registry: &str, user: &str, password: &str) -> Credentials {
    Credentials { login: Some((registry.to_owned(), Secret::new(user, password))), files: vec![] }
}

#[test]
fn logins() {
    let basic = || Login::Basic("me:s3cret".to_owned());
    let bearer = || Login::Bearer("me:s3cret".to_owned());
    for (login, password, fine) in
        [(basic(), "s3cret", true), (basic(), "wr0ng", false), (bearer(), "s3cret", true), (bearer(), "wr0ng", false)]
    {
        let mut world = World::new(Rules { login: login.clone(), ..Rules::default() });
        let wanted = world.two_images();
        let settings = settings(with_login(&world.registry.host(), "me", password));
        match world.push(&settings, &wanted) {
            Ok(_) => assert!(fine, "{login:?}"),
            Err(error) => {
                assert!(!fine, "{login:?}: {error}");
                let text = format!("{error} {error:?} {:?}", settings.credentials);
                assert!(text.contains("401") && text.contains("user me of DEBSTRATA_REGISTRY_USER"), "{text}");
                assert!(!text.contains(password) && !text.contains("d3Iwbmc"), "{text}");
                assert_eq!(error.class(), Class::User);
            }
        }
        if let (true, Login::Bearer(_)) = (fine, &login) {
            let asked = world.registry.requests();
            let tokens: Vec<_> = asked.iter().filter(|asked| asked.target.starts_with("/token")).collect();
            assert_eq!(tokens.len(), 1, "one token for all threads");
            let scope = "scope=repository:team/image:pull%2Cpush&scope=repository:a:pull";
            assert!(tokens[0].target.contains(scope) && tokens[0].target.contains("service=r"), "{}", tokens[0].target);
        }
    }
}

#[test]
fn a_token_that_ends_is_replaced() {
    let mut world = World::new(Rules { login: Login::Bearer("me:s3cret".to_owned()), ..Rules::default() });
    let wanted = world.two_images();
    let mut settings = settings(with_login(&world.registry.host(), "me", "s3cret"));
    settings.fetch.jobs = 1;
    for (method, path) in [("HEAD", "/blobs/"), ("PATCH", "/uploads/"), ("PUT", "/uploads/"), ("PUT", "/manifests/")] {
        world.registry.fault(method, path, Wrong::Expire);
    }
    world.push(&settings, &wanted).unwrap();
    assert_eq!(world.registry.tags("team/image").len(), 3);
}

#[test]
fn nobody_else_gets_the_login_and_no_text_shows_it() {
    // A login of another registry.
    let world = World::new(Rules { login: Login::Basic("me:s3cret".to_owned()), ..Rules::default() });
    let error = world.push(&settings(with_login("registry.example.org", "me", "s3cret")), &[]).unwrap_err();
    assert!(error.to_string().contains("tried: no credential"), "{error}");
    assert!(world.registry.requests().iter().all(|asked| !asked.headers.contains_key("authorization")));
    // A registry that says what it was sent.
    let mut world = World::new(Rules { login: Login::Basic("me:s3cret".to_owned()), ..Rules::default() });
    let wanted = world.two_images();
    let mine = settings(with_login(&world.registry.host(), "me", "s3cret"));
    world.registry.fault("POST", "/uploads/", Wrong::Echo);
    let error = world.push(&mine, &wanted).unwrap_err();
    assert!(error.to_string().contains("are not shown") && !error.to_string().contains("bWU6"), "{error}");
    // One that asks for it in ways that are none.
    for (challenge, says) in [
        ("Bearer realm=\"http://auth.example.org/token\"", "is not reached over https"),
        ("Bearer service=\"x\"", "has no realm"),
        ("Bearer realm=\"file:/etc/passwd\"", "cannot be asked"),
        ("Negotiate", "tried: no credential"),
    ] {
        let world = World::new(Rules::default());
        let mine = settings(with_login(&world.registry.host(), "me", "s3cret"));
        // The first request finds out whether this registry has TLS.
        world.registry.fault("GET", "/v2/", Wrong::Status(401, ""));
        world.registry.fault("GET", "/v2/", Wrong::Challenge(challenge.to_owned()));
        let error = world.push(&mine, &[]).unwrap_err();
        assert!(error.to_string().contains(says), "{challenge}: {error}");
    }
}

#[test]
fn uploads_and_blobs_elsewhere_go_without_the_login() {
    // Uploads at another host name of the same machine.
    let other = Registry::start(Rules::default());
    let rules =
        Rules { login: Login::Basic("me:s3cret".to_owned()), uploads_at: Some(other.host()), ..Rules::default() };
    let mut world = World::new(rules);
    let wanted = world.two_images();
    let mine = settings(with_login(&world.registry.host(), "me", "s3cret"));
    world.push(&mine, &wanted).unwrap_err();
    assert!(!other.requests().is_empty());
    assert!(other.requests().iter().all(|asked| !asked.headers.contains_key("authorization")));
    // Blobs at a store.
    let store = Server::start();
    let rules = Rules { login: Login::Basic("me:s3cret".to_owned()), store: Some(store.url()), ..Rules::default() };
    let world = World::new(rules);
    let digest = world.registry.put_blob("team/image", b"blob");
    store.put(&format!("/{digest}"), "blob");
    let mine = settings(with_login(&world.registry.host(), "me", "s3cret"));
    let mut out = Vec::new();
    world.repository(&mine).fetch_blob(&Descriptor::of("x", b"blob"), &mut out).unwrap();
    assert_eq!(out, b"blob");
    let requests = store.requests();
    assert!(requests[0].target.contains("signature=x") && !requests[0].headers.contains_key("authorization"));
}

#[test]
fn every_fault_of_a_blob() {
    let body = large();
    let descriptor = Descriptor::of("x", &body);
    let mut flipped = body.clone();
    flipped[7] ^= 1;
    let longer = [body.as_slice(), b"!"].concat();
    let cut = LARGE / 2;
    type Case<'a> = (&'a str, Vec<Wrong>, Result<usize, &'a str>);
    let cases: Vec<Case> = vec![
        ("fine", vec![], Ok(1)),
        ("cut off", vec![Wrong::Truncate(cut)], Ok(2)),
        ("cut off, then the whole", vec![Wrong::Truncate(cut), Wrong::NoRange], Ok(2)),
        ("cut off for ever", vec![Wrong::Truncate(0); 9], Err("broke off")),
        ("500", vec![Wrong::Status(500, "")], Ok(2)),
        ("other bytes", vec![Wrong::Body(flipped)], Err("another digest")),
        ("more bytes", vec![Wrong::Body(longer)], Err("has 4194305 bytes there")),
        ("lies of its length", vec![Wrong::Length(5)], Err("has 5 bytes there, and 4194304 are right")),
        ("gone", vec![Wrong::Status(404, "")], Err("has no blob sha256:")),
    ];
    for (name, faults, end) in cases {
        let world = World::new(Rules::default());
        world.registry.put_blob("team/image", &body);
        for fault in faults {
            world.registry.fault("GET", "/blobs/", fault);
        }
        let mut out = Vec::new();
        let found = world.repository(&world.settings()).fetch_blob(&descriptor, &mut out);
        let asked = world.registry.requests().iter().filter(|asked| asked.target.contains("/blobs/")).count();
        match (found, end) {
            (Ok(()), Ok(requests)) => {
                assert!(out == body, "{name}");
                assert_eq!(asked, requests, "{name}");
            }
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{name}: {error}"),
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
}

#[test]
fn manifests_are_bounded_and_checked() {
    let index = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    for (wrong, text) in [
        (Wrong::Body(vec![b' '; (4 << 20) + 1]), "longer than the 4194304 bytes"),
        (Wrong::Body(b"{}".to_vec()), "it names the digest"),
        (Wrong::OtherDigest, "it names the digest"),
        (Wrong::Status(401, ""), "tried: no credential"),
    ] {
        let world = World::new(Rules::default());
        let digest = world.registry.put_manifest("team/image", "cc", INDEX, &index);
        let repository = world.repository(&world.settings());
        for name in ["cc", digest.as_str()] {
            let document = repository.get_manifest(name).unwrap().unwrap();
            assert_eq!((document.bytes, document.descriptor.media_type.as_str()), (index.clone(), INDEX));
            assert_eq!(repository.head_manifest(name).unwrap().unwrap().to_string(), digest);
        }
        assert!(repository.get_manifest("none").unwrap().is_none());
        world.registry.fault("GET", "/manifests/", wrong);
        let error = repository.get_manifest(&digest).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn what_refers_to_an_image_is_found_with_and_without_a_list() {
    for referrers in [true, false] {
        let mut world = World::new(Rules { referrers, ..Rules::default() });
        let mut wanted = world.two_images();
        let subject = wanted[0].root.clone();
        for kind in ["application/x-one", "application/x-two"] {
            let root = world.layout.referrer(&subject, kind, kind.as_bytes());
            wanted.push(Wanted { root, tags: vec![] });
        }
        let settings = world.settings();
        world.push(&settings, &wanted).unwrap();
        world.push(&settings, &wanted).unwrap();
        let found = world.repository(&settings).referrers(&subject.digest).unwrap();
        let mut digests: Vec<_> = found.iter().map(|one| one.digest).collect();
        let mut right: Vec<_> = wanted[2..].iter().map(|one| one.root.digest).collect();
        digests.sort();
        right.sort();
        assert_eq!(digests, right, "{referrers}");
        if !referrers {
            assert_eq!(found[0].artifact_type.as_deref(), Some("application/x-one"));
            assert_eq!(found[0].annotations["note"], "x");
        }
    }
}

#[test]
fn a_damaged_layout_sends_no_tag() {
    for (damage, text) in [
        (b"shareD".as_slice(), "its bytes are not those of its digest"),
        (b"share", "it has 5 bytes, its descriptor says 6"),
    ] {
        let mut world = World::new(Rules::default());
        let wanted = world.two_images();
        let blob = Descriptor::of("x", b"shared");
        std::fs::write(world.layout.path(&blob), damage).unwrap();
        let error = world.push(&world.settings(), &wanted).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(text), "{error}: {source}");
        assert!(world.registry.tags("team/image").is_empty());
        assert!(world.registry.blob("team/image", &blob.digest.to_string()).is_none());
    }
    // A manifest that names what no client would take.
    let mut world = World::new(Rules::default());
    let wanted = world.two_images();
    std::fs::write(world.layout.path(&wanted[1].root), "{}").unwrap();
    let error = world.push(&world.settings(), &wanted).unwrap_err();
    assert!(matches!(error, RegistryError::Blob { .. }), "{error}");
    assert!(world.registry.requests().is_empty(), "nothing is asked before all is read");
}

#[test]
fn blobs_are_read_from_any_byte_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path());
    let blob = layout.blob("x", &large());
    let opened = sources(folder.path());
    let rest = |from: u64| {
        let mut bytes = Vec::new();
        opened.open(&blob, from).and_then(|mut reader| reader.read_to_end(&mut bytes)).map(|_| bytes)
    };
    for from in [0, 1, 131_072, LARGE as u64 - 1, LARGE as u64] {
        assert!(rest(from).unwrap() == large()[from as usize..], "{from}");
    }
    let mut damaged = large();
    damaged[0] ^= 1;
    std::fs::write(layout.path(&blob), damaged).unwrap();
    for from in [0, 1_000_000, LARGE as u64] {
        assert_eq!(rest(from).unwrap_err().to_string(), "its bytes are not those of its digest", "{from}");
    }
}

#[test]
fn nobody_there() {
    let closed = support::http::closed_port().replace("http://", "");
    let reference: Reference = format!("{closed}/a").parse().unwrap();
    let repository = Repository::new(&settings(Credentials::default()), &reference, Access::Push, &[]).unwrap();
    let error = push(&repository, &sources(layout_of(&tempfile::tempdir().unwrap())), &[], &[]).unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert_eq!(error.class(), Class::World);
}

/// A layout as the source of a push.
fn sources(root: &Path) -> Sources {
    Sources { layouts: vec![debstrata::image::layout::Layout::open(root).unwrap()], ..Sources::default() }
}

fn layout_of(folder: &tempfile::TempDir) -> &Path {
    Layout::new(folder.path());
    folder.path()
}

/// A project of the tiers `base` and `cc`, with a layout of both, and what `push` says.
struct Pushing {
    project: Project,
    layout: Layout,
    registry: Registry,
}

impl Pushing {
    fn new(rules: Rules) -> Self {
        let tier = "summary = \"a tier\"\npackages = []\n";
        let archive = archive_toml(&Server::start(), &["stable"]);
        let project = project(&archive, &[&Key::new("archive")], &[("base", tier), ("cc", tier)]);
        let mut layout = Layout::new(&project.path().join("out/test/oci"));
        for name in ["base", "cc"] {
            let (manifest, _) = layout.manifest(&format!("{{\"name\":\"{name}\"}}"), &[name.into()]);
            layout.image(name, vec![manifest]);
        }
        Self { project, layout, registry: Registry::start(rules) }
    }

    /// Exit status, stdout, and stderr in one line.
    fn push(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let place = |text: &&str| text.replace("HOST", &self.registry.host());
        let mut command = self.project.command();
        command.arg("push").args(arguments.iter().map(place)).envs(variables.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let errors = text(output.stderr).replace("| ", "").split_whitespace().collect::<Vec<_>>().join(" ");
        (output.status.code().unwrap(), text(output.stdout), errors)
    }
}

#[test]
fn the_verb_pushes_and_prints() {
    let pushing = Pushing::new(Rules::default());
    let (status, stdout, stderr) = pushing.push(&["HOST/a/b", "--json"], &[]);
    assert_eq!(status, 0, "{stderr}");
    let found: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&found["registry"], &found["repository"]), (&pushing.registry.host().into(), &"a/b".into()));
    assert_eq!(found["blobs"].as_array().unwrap().len(), 4);
    let image = &found["images"][1];
    assert_eq!((&image["distribution"], &image["tier"], &image["variant"]), (&"test".into(), &"cc".into(), &"".into()));
    assert_eq!(image["tags"], serde_json::json!([{"tag": "cc", "how": "sent"}]));
    let digest = image["digest"].as_str().unwrap();
    assert_eq!(image["reference"], format!("{}/a/b@{digest}", pushing.registry.host()));
    assert_eq!(pushing.registry.tags("a/b")["cc"], digest);
    // The same again, in words; and one tier under several tags.
    let (status, stdout, _) = pushing.push(&["HOST/a/b"], &[]);
    assert!(status == 0 && stdout.contains("test/cc    cc    as it was"), "{stdout}");
    let tags = ["test/cc", "HOST/a/b:{distribution}-{tier}{-variant}", "--tag", "{digest}", "--tag", "latest"];
    let (status, stdout, stderr) = pushing.push(&tags, &[]);
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("blobs: 0 sent (0 B), 0 mounted, 2 there already"), "{stdout}");
    let known = pushing.registry.tags("a/b");
    assert_eq!(known.keys().collect::<Vec<_>>(), [&digest[7..19], "base", "cc", "latest", "test-cc"]);
    assert!(pushing.registry.violations().is_empty());
}

#[test]
fn what_the_verb_refuses() {
    let pushing = Pushing::new(Rules::default());
    for (arguments, status, says) in [
        (&["cc"] as &[_], 2, "\"cc\" is no reference to an image: it names no registry"),
        (&["cc", "team/image"], 2, "\"team\" is no host"),
        (&["cc", "HOST/a@sha256:00"], 2, "a push is to a repository or a tag"),
        (&["ccc", "HOST/a"], 2, "did you mean cc?"),
        (&["HOST/a:latest"], 2, "two images would get the same tag: latest"),
        (&["cc", "HOST/a:{tag}"], 2, "it has no field {tag}"),
        (&["cc", "HOST/a:{variant}"], 2, "does not begin with a letter"),
        (&["cc", "HOST/a:{date}"], 2, "the lock of test has no Release with a Date"),
        (&["cc", "HOST/a", "--offline"], 2, "--offline forbids"),
        (&["cc", "HOST/a", "--mount-from", "b:c"], 2, "is no repository"),
        (&["cc", "HOST/a", "-o", "elsewhere"], 2, "debstrata build --format oci test/cc"),
    ] {
        let (found, _, stderr) = pushing.push(arguments, &[]);
        assert!(found == status && stderr.contains(says), "{arguments:?}: {found} {stderr}");
    }
    let half = pushing.push(&["cc", "HOST/a"], &[("DEBSTRATA_REGISTRY_USER", "me")]);
    assert!(half.0 == 2 && half.2.contains("DEBSTRATA_REGISTRY_PASSWORD is not"), "{}", half.2);
    assert!(pushing.registry.requests().is_empty());
    // The layout lost an image.
    let mut pushing = pushing;
    pushing.layout = Layout::new(&pushing.project.path().join("out/test/oci"));
    let (status, _, stderr) = pushing.push(&["cc", "HOST/a"], &[]);
    assert!(status == 2 && stderr.contains("has no image cc"), "{stderr}");
}

#[test]
fn credentials_of_the_host() {
    use std::os::unix::fs::PermissionsExt as _;

    let pushing = Pushing::new(Rules { login: Login::Basic("me:s3cret".to_owned()), ..Rules::default() });
    let folder = pushing.project.path().join("home");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let host = pushing.registry.host();
    let home = folder.to_str().unwrap().to_owned();
    // The program tells the login of the registry that it reads, and of no other.
    write(
        "bin/docker-credential-test",
        &format!(
            "#!/bin/sh\nread -r asked\n[ \"$asked\" = \"{host}\" ] && [ \"$1\" = get ] || {{ echo 'credentials not \
             found in native keychain'; exit 1; }}\necho '{{\"Username\":\"me\",\"Secret\":\"s3cret\"}}'\n"
        ),
    );
    write("bin/docker-credential-broken", "#!/bin/sh\necho s3cret; exit 3\n");
    let path = format!("{home}/bin:/usr/bin:/bin");
    let good = "bWU6czNjcmV0";
    for (file, text, fine, says) in [
        (".docker/config.json", format!(r#"{{"auths":{{"{host}":{{"auth":"{good}"}}}}}}"#), true, ""),
        (".docker/config.json", format!(r#"{{"credHelpers":{{"{host}":"test"}}}}"#), true, ""),
        (".docker/config.json", r#"{"credsStore":"test","auths":{}}"#.to_owned(), true, ""),
        (".docker/config.json", format!(r#"{{"credHelpers":{{"{host}":"broken"}}}}"#), false, "exit status: 3"),
        (
            ".docker/config.json",
            format!(r#"{{"auths":{{"{host}":{{"auth":"bWU6d3JvbmcK"}}}}}}"#),
            false,
            "tried: user me of",
        ),
        (
            ".docker/config.json",
            format!(r#"{{"auths":"{good}"}}"#),
            false,
            "it is no JSON of credentials (line 1, column",
        ),
        (".config/containers/auth.json", format!(r#"{{"auths":{{"{host}/a":{{"auth":"{good}"}}}}}}"#), true, ""),
    ] {
        let place = write(file, &text);
        let (status, _, stderr) = pushing.push(&["cc", "HOST/a/b"], &[("HOME", &home), ("PATH", &path)]);
        assert_eq!(status == 0, fine, "{text}: {stderr}");
        assert!(stderr.contains(says) && !stderr.contains("s3cret") && !stderr.contains(good), "{text}: {stderr}");
        std::fs::remove_file(place).unwrap();
    }
    let file = write("x.json", &format!(r#"{{"auths":{{"{host}":{{"auth":"{good}"}}}}}}"#));
    let variables = [("REGISTRY_AUTH_FILE", file.as_str())];
    assert_eq!(pushing.push(&["cc", "HOST/a/b"], &variables).0, 0);
    std::fs::rename(&file, folder.join("config.json")).unwrap();
    assert_eq!(pushing.push(&["cc", "HOST/a/b"], &[("DOCKER_CONFIG", &home)]).0, 0);
    let variables = [("DEBSTRATA_REGISTRY_USER", "me"), ("DEBSTRATA_REGISTRY_PASSWORD", "s3cret"), ("HOME", &home)];
    assert_eq!(pushing.push(&["cc", "HOST/a/b"], &variables).0, 0);
}
