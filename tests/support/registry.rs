//! A small registry on loopback (OCI distribution-spec 1.1) that keeps all in memory, is strict about the
//! protocol and misbehaves on request.
//!
//! `Registry::start(Rules)`, then `fault` queues a fault for the next request of a method whose path
//! contains a text. `requests` tells what was asked; what broke the protocol is in `violations`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use debstrata::{
    ground::{Sha256, from_base64},
    image::spec::{INDEX, Index, Manifest},
};

/// How it asks who is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Login {
    #[default]
    Nobody,
    /// `user:password`
    Basic(String),
    /// The same at a token service, which is the registry itself.
    Bearer(String),
    /// An identity token at a token service.
    Identity(String),
}

/// What it is like.
#[derive(Debug, Clone)]
pub struct Rules {
    pub login: Login,
    /// Locations without scheme and host.
    pub relative: bool,
    /// Whether it lists referrers.
    pub referrers: bool,
    /// Whether it takes pieces.
    pub pieces: bool,
    /// `OCI-Chunk-Min-Length`
    pub least: Option<u64>,
    /// How many bytes it takes of a piece, whatever was sent.
    pub takes: usize,
    /// Where blobs are sent from, in place of itself.
    pub store: Option<String>,
    /// The host of its upload Locations, in place of itself.
    pub uploads_at: Option<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            login: Login::Nobody,
            relative: false,
            referrers: true,
            pieces: true,
            least: None,
            takes: usize::MAX,
            store: None,
            uploads_at: None,
        }
    }
}

/// One way to misbehave.
#[derive(Debug, Clone)]
pub enum Wrong {
    /// This status and these headers (lines), a body of errors.
    Status(u16, &'static str),
    /// Hangs up without an answer.
    HangUp,
    /// Sends the whole where a range is asked for.
    NoRange,
    /// Takes so many bytes of the body and resets the connection.
    Reset(usize),
    /// Does it, and hangs up without an answer.
    LoseAnswer,
    /// Does it, and says another digest.
    OtherDigest,
    /// Does it, and says this of its Range.
    Range(&'static str),
    /// Forgets the upload.
    Forget,
    /// To this Location, with this status.
    Redirect(u16, String),
    /// Announces all of the body and hangs up after so many bytes.
    Truncate(usize),
    /// Announces another length.
    Length(u64),
    /// This body in place of the right one.
    Body(Vec<u8>),
    /// This `WWW-Authenticate`, with 401.
    Challenge(String),
    /// An error that holds the client's own Authorization.
    Echo,
    /// Tokens are no longer good.
    Expire,
}

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: BTreeMap<String, String>,
    /// Bytes of the body.
    pub length: usize,
}

#[derive(Default)]
struct Repo {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    tags: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    repos: BTreeMap<String, Repo>,
    uploads: BTreeMap<String, (String, Vec<u8>)>,
    counter: usize,
    tokens: BTreeSet<String>,
    faults: Vec<(String, String, Wrong)>,
    requests: Vec<Asked>,
    violations: Vec<String>,
}

struct Shared {
    rules: Rules,
    address: SocketAddr,
    state: Mutex<State>,
    stop: AtomicBool,
}

/// The registry; it stops taking connections when dropped.
pub struct Registry {
    shared: Arc<Shared>,
}

impl Registry {
    pub fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { rules, address, state: Mutex::default(), stop: AtomicBool::new(false) });
        let ours = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ours.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = ours.clone();
                thread::spawn(move || drop(serve(&shared, stream)));
            }
        });
        Self { shared }
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.shared.address.to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// The next request of `method` whose path contains `path`, and has no fault before it, gets this one.
    pub fn fault(&self, method: &str, path: &str, wrong: Wrong) {
        self.state().faults.push((method.to_owned(), path.to_owned(), wrong));
    }

    /// Faults that nothing has met yet.
    pub fn faults_left(&self) -> usize {
        self.state().faults.len()
    }

    pub fn requests(&self) -> Vec<Asked> {
        self.state().requests.clone()
    }

    /// How many requests of `method` there were.
    pub fn count(&self, method: &str) -> usize {
        self.state().requests.iter().filter(|asked| asked.method == method).count()
    }

    pub fn forget_requests(&self) {
        self.state().requests.clear();
    }

    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    pub fn tags(&self, repo: &str) -> BTreeMap<String, String> {
        self.state().repos.get(repo).map(|repo| repo.tags.clone()).unwrap_or_default()
    }

    /// Loses a tag, as nobody should.
    pub fn lose_tag(&self, repo: &str, tag: &str) {
        assert!(self.state().repos.get_mut(repo).unwrap().tags.remove(tag).is_some(), "{tag}");
    }

    pub fn blob(&self, repo: &str, digest: &str) -> Option<Vec<u8>> {
        self.state().repos.get(repo)?.blobs.get(digest).cloned()
    }

    pub fn manifest(&self, repo: &str, digest: &str) -> Option<Vec<u8>> {
        self.state().repos.get(repo)?.manifests.get(digest).map(|(_, bytes)| bytes.clone())
    }

    pub fn put_blob(&self, repo: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        self.state().repos.entry(repo.to_owned()).or_default().blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    pub fn put_manifest(&self, repo: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let mut state = self.state();
        let repo = state.repos.entry(repo.to_owned()).or_default();
        repo.manifests.insert(digest.clone(), (media_type.to_owned(), bytes.to_vec()));
        repo.tags.insert(tag.to_owned(), digest.clone());
        digest
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.shared.address));
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", Sha256::of(bytes))
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn reply(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: Vec::new() }
}

fn error(status: u16, code: &str) -> Reply {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"no\u001b such thing"}}]}}"#);
    Reply { status, headers: Vec::new(), body: body.into_bytes() }
}

impl Reply {
    fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    fn body(mut self, bytes: Vec<u8>) -> Self {
        self.body = bytes;
        self
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap_or_default().to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(':') {
                None => break,
                Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            };
        }
        let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut asked = Asked { method, target, headers, length };
        let wrong = {
            let mut state = shared.state.lock().unwrap();
            if asked.headers.contains_key("transfer-encoding") {
                state.violations.push(format!("{} {}: no announced length", asked.method, asked.target));
            }
            let fits = |(method, path, _): &(String, String, Wrong)| {
                *method == asked.method && asked.target.contains(path.as_str())
            };
            state.requests.push(asked.clone());
            state.faults.iter().position(fits).map(|at| state.faults.remove(at).2)
        };
        if let Some(Wrong::Reset(count)) = wrong {
            let mut body = vec![0; count.min(length)];
            reader.read_exact(&mut body)?;
            if let Some((_, bytes)) = shared.state.lock().unwrap().uploads.get_mut(&upload_id(&asked.target)) {
                bytes.extend(body);
            }
            // What is not read makes the kernel send a reset.
            return Ok(());
        }
        if let Some(Wrong::HangUp) = wrong {
            return Ok(());
        }
        if let Some(Wrong::NoRange) = wrong {
            asked.headers.remove("range");
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut answer = match &wrong {
            Some(Wrong::Status(status, lines)) => {
                let mut answer = error(*status, "UNKNOWN");
                for line in lines.lines() {
                    let (name, value) = line.split_once(": ").unwrap();
                    answer = answer.header(name, value);
                }
                answer
            }
            Some(Wrong::Redirect(status, to)) => reply(*status).header("Location", to),
            Some(Wrong::Challenge(challenge)) => error(401, "UNAUTHORIZED").header("WWW-Authenticate", challenge),
            Some(Wrong::Echo) => {
                let sent = asked.headers.get("authorization").cloned().unwrap_or_default();
                let body = format!(r#"{{"errors":[{{"code":"DENIED","message":"you sent {sent}"}}]}}"#);
                reply(403).body(body.into_bytes())
            }
            Some(Wrong::Forget) => {
                shared.state.lock().unwrap().uploads.remove(&upload_id(&asked.target));
                error(404, "BLOB_UPLOAD_UNKNOWN")
            }
            Some(Wrong::Expire) => {
                shared.state.lock().unwrap().tokens.clear();
                answer(shared, &asked, body)
            }
            _ => answer(shared, &asked, body),
        };
        match &wrong {
            Some(Wrong::LoseAnswer) => return Ok(()),
            Some(Wrong::OtherDigest) => {
                answer.headers.retain(|(name, _)| name != "Docker-Content-Digest");
                answer = answer.header("Docker-Content-Digest", digest(b"another one"));
            }
            Some(Wrong::Range(range)) => {
                answer.headers.retain(|(name, _)| name != "Range");
                answer = answer.header("Range", range);
            }
            Some(Wrong::Body(body)) => answer.body = body.clone(),
            _ => {}
        }
        let told = answer.headers.iter().find(|(name, _)| name == "Content-Length").map(|(_, length)| length.clone());
        let mut announced = told.unwrap_or_else(|| answer.body.len().to_string());
        if let Some(Wrong::Length(length)) = wrong {
            announced = length.to_string();
        }
        let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {announced}\r\n", answer.status);
        for (name, value) in answer.headers.iter().filter(|(name, _)| name != "Content-Length") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        if asked.method == "HEAD" {
            continue;
        }
        match wrong {
            Some(Wrong::Truncate(count)) => {
                stream.write_all(&answer.body[..count])?;
                return Ok(());
            }
            Some(Wrong::Length(_)) => {
                stream.write_all(&answer.body)?;
                return Ok(());
            }
            _ => stream.write_all(&answer.body)?,
        }
    }
}

fn upload_id(target: &str) -> String {
    target.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}

fn query(target: &str) -> Vec<(String, String)> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|part| part.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn answer(shared: &Shared, asked: &Asked, body: Vec<u8>) -> Reply {
    let mut state = shared.state.lock().unwrap();
    let path = asked.target.split('?').next().unwrap();
    if path == "/token" {
        return token(shared, &mut state, asked, &body);
    }
    if let Some(refusal) = refuse(shared, &mut state, asked) {
        return refusal;
    }
    if path == "/v2/" {
        return reply(200).body(b"{}".to_vec());
    }
    let Some(path) = path.strip_prefix("/v2/") else { return error(404, "UNKNOWN") };
    for (kind, serve) in [
        ("/blobs/uploads/", upload as fn(&Shared, &mut State, &Asked, &str, &str, Vec<u8>) -> Reply),
        ("/blobs/", blob),
        ("/manifests/", manifest),
        ("/referrers/", referrers),
    ] {
        if let Some((repo, rest)) = path.split_once(kind) {
            return serve(shared, &mut state, asked, repo, rest, body);
        }
    }
    error(404, "UNKNOWN")
}

fn token(shared: &Shared, state: &mut State, asked: &Asked, body: &[u8]) -> Reply {
    let fine = match &shared.rules.login {
        Login::Bearer(login) => basic(asked).as_deref() == Some(login),
        Login::Identity(token) => {
            asked.method == "POST" && String::from_utf8_lossy(body).contains(&format!("refresh_token={token}&"))
        }
        _ => false,
    };
    if !fine {
        return error(401, "UNAUTHORIZED");
    }
    state.counter += 1;
    let token = format!("token-{}", state.counter);
    state.tokens.insert(token.clone());
    reply(200).body(format!(r#"{{"token":"{token}","expires_in":300}}"#).into_bytes())
}

fn basic(asked: &Asked) -> Option<String> {
    let header = asked.headers.get("authorization")?.strip_prefix("Basic ")?;
    String::from_utf8(from_base64(header)?).ok()
}

fn refuse(shared: &Shared, state: &mut State, asked: &Asked) -> Option<Reply> {
    let header = asked.headers.get("authorization");
    let (fine, challenge) = match &shared.rules.login {
        Login::Nobody => {
            if header.is_some() {
                state.violations.push(format!("{} {}: a login that nobody asked for", asked.method, asked.target));
            }
            return None;
        }
        Login::Basic(login) => (basic(asked).as_ref() == Some(login), "Basic realm=\"r\"".to_owned()),
        Login::Bearer(_) | Login::Identity(_) => {
            let token = header.and_then(|header| header.strip_prefix("Bearer "));
            let challenge =
                format!("Bearer realm=\"http://{}/token\",service=\"r\",scope=\"repository:a:pull\"", shared.address);
            (token.is_some_and(|token| state.tokens.contains(token)), challenge)
        }
    };
    (!fine).then(|| error(401, "UNAUTHORIZED").header("WWW-Authenticate", challenge))
}

fn location(shared: &Shared, path: &str) -> String {
    match (&shared.rules.uploads_at, shared.rules.relative) {
        (Some(host), _) => format!("http://{host}{path}"),
        (None, true) => path.to_owned(),
        (None, false) => format!("http://{}{path}", shared.address),
    }
}

fn upload(shared: &Shared, state: &mut State, asked: &Asked, repo: &str, id: &str, body: Vec<u8>) -> Reply {
    let query = query(&asked.target);
    let value = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let place = |id: &str| location(shared, &format!("/v2/{repo}/blobs/uploads/{id}?state=a%2Fb"));
    let done = |digest: &str| {
        let place = location(shared, &format!("/v2/{repo}/blobs/{digest}"));
        reply(201).header("Location", place).header("Docker-Content-Digest", digest)
    };
    let range = |length: usize| format!("0-{}", length.saturating_sub(1));
    if asked.method == "POST" {
        if let (Some(digest), Some(from)) = (value("mount"), value("from"))
            && let Some(bytes) = state.repos.get(&from).and_then(|repo| repo.blobs.get(&digest)).cloned()
        {
            state.repos.entry(repo.to_owned()).or_default().blobs.insert(digest.clone(), bytes);
            return done(&digest);
        }
        state.counter += 1;
        let id = format!("u{}", state.counter);
        state.uploads.insert(id.clone(), (repo.to_owned(), Vec::new()));
        let answer = reply(202).header("Location", place(&id)).header("Range", "0-0");
        return match shared.rules.least {
            Some(least) => answer.header("OCI-Chunk-Min-Length", least),
            None => answer,
        };
    }
    if state.uploads.get(id).is_none_or(|(of, _)| of != repo) {
        return error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    if value("state").as_deref() != Some("a%2Fb") {
        state.violations.push(format!("{} {}: the Location's query is lost", asked.method, asked.target));
    }
    let (_, bytes) = state.uploads.get_mut(id).unwrap();
    match asked.method.as_str() {
        "GET" => reply(204).header("Location", place(id)).header("Range", range(bytes.len())),
        "PATCH" if !shared.rules.pieces => error(405, "UNSUPPORTED"),
        "PATCH" => {
            let wanted = format!("{}-{}", bytes.len(), bytes.len() + body.len() - 1);
            if asked.headers.get("content-range") != Some(&wanted) {
                return error(416, "BLOB_UPLOAD_INVALID");
            }
            bytes.extend(body.iter().take(shared.rules.takes));
            let length = bytes.len();
            reply(202).header("Location", place(id)).header("Range", range(length))
        }
        "PUT" => {
            let mut bytes = bytes.clone();
            bytes.extend(body);
            let Some(wanted) = value("digest") else { return error(400, "DIGEST_INVALID") };
            if digest(&bytes) != wanted {
                return error(400, "DIGEST_INVALID");
            }
            state.uploads.remove(id);
            state.repos.entry(repo.to_owned()).or_default().blobs.insert(wanted.clone(), bytes);
            done(&wanted)
        }
        _ => error(405, "UNSUPPORTED"),
    }
}

fn blob(shared: &Shared, state: &mut State, asked: &Asked, repo: &str, digest: &str, _: Vec<u8>) -> Reply {
    let Some(bytes) = state.repos.get(repo).and_then(|repo| repo.blobs.get(digest)) else {
        return error(404, "BLOB_UNKNOWN");
    };
    match asked.method.as_str() {
        "HEAD" => reply(200).header("Content-Length", bytes.len()).header("Docker-Content-Digest", digest),
        _ if shared.rules.store.is_some() => {
            reply(307).header("Location", format!("{}/{digest}?signature=x", shared.rules.store.as_ref().unwrap()))
        }
        _ => {
            let from = asked.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
            match from.map(|from| from.parse::<usize>().unwrap()) {
                Some(from) => reply(206)
                    .header("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()))
                    .body(bytes[from..].to_vec()),
                None => reply(200).header("Docker-Content-Digest", digest).body(bytes.clone()),
            }
        }
    }
}

fn manifest(shared: &Shared, state: &mut State, asked: &Asked, repo: &str, name: &str, body: Vec<u8>) -> Reply {
    let kept = state.repos.entry(repo.to_owned()).or_default();
    if asked.method != "PUT" {
        let key = kept.tags.get(name).cloned().unwrap_or_else(|| name.to_owned());
        let Some((media_type, bytes)) = kept.manifests.get(&key) else { return error(404, "MANIFEST_UNKNOWN") };
        let answer = reply(200).header("Content-Type", media_type).header("Docker-Content-Digest", &key);
        return match asked.method.as_str() {
            "HEAD" => answer.header("Content-Length", bytes.len()),
            _ => answer.body(bytes.clone()),
        };
    }
    let media_type = asked.headers.get("content-type").cloned().unwrap_or_default();
    let mut subject = None;
    if media_type == INDEX {
        let Ok(index) = serde_json::from_slice::<Index>(&body) else { return error(400, "MANIFEST_INVALID") };
        let there = |digest: String| kept.manifests.contains_key(&digest);
        // A list that stands in for referrers may name anything.
        if !name.starts_with("sha256-") && !index.manifests.iter().all(|one| there(one.digest.to_string())) {
            return error(400, "MANIFEST_UNKNOWN");
        }
    } else {
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&body) else { return error(400, "MANIFEST_INVALID") };
        let parts = manifest.layers.iter().chain([&manifest.config]);
        if !parts.clone().all(|part| kept.blobs.contains_key(&part.digest.to_string())) {
            return error(400, "MANIFEST_BLOB_UNKNOWN");
        }
        subject = manifest.subject;
    }
    let digest = digest(&body);
    if name.contains(':') {
        if name != digest {
            return error(400, "DIGEST_INVALID");
        }
    } else {
        kept.tags.insert(name.to_owned(), digest.clone());
    }
    kept.manifests.insert(digest.clone(), (media_type, body));
    let place = location(shared, &format!("/v2/{repo}/manifests/{digest}"));
    let answer = reply(201).header("Location", place).header("Docker-Content-Digest", digest);
    match subject.filter(|_| shared.rules.referrers) {
        Some(subject) => answer.header("OCI-Subject", subject.digest),
        None => answer,
    }
}

fn referrers(shared: &Shared, state: &mut State, asked: &Asked, repo: &str, digest: &str, _: Vec<u8>) -> Reply {
    if !shared.rules.referrers {
        return error(404, "UNSUPPORTED");
    }
    let mut found = Vec::new();
    for (key, (media_type, bytes)) in state.repos.get(repo).iter().flat_map(|repo| &repo.manifests) {
        let subject = serde_json::from_slice::<Manifest>(bytes).ok().and_then(|manifest| manifest.subject);
        if subject.is_some_and(|subject| subject.digest.to_string() == digest) {
            found.push(format!(r#"{{"mediaType":"{media_type}","digest":"{key}","size":{}}}"#, bytes.len()));
        }
    }
    // A page each.
    let page: usize = query(&asked.target).first().map_or(0, |(_, page)| page.parse().unwrap());
    let one = found.get(page).cloned().unwrap_or_default();
    let body = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{one}]}}"#);
    let answer = reply(200).header("Content-Type", INDEX).body(body.into_bytes());
    match page + 1 < found.len() {
        true => answer.header("Link", format!("</v2/{repo}/referrers/{digest}?page={}>; rel=\"next\"", page + 1)),
        false => answer,
    }
}
