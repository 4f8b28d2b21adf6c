//! A revision of the project folder: its manifests, keyrings and locks, read through the program `git` and put
//! into a folder of their own. Nothing is checked out, no hook or filter runs; a repository without `git` would
//! need its own reader of packs, which is not worth a dependency.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use super::OperandError;
use crate::{
    cache::{Cache, Scratch},
    ground::{RootPath, printable, read_at_most},
    pipeline::Failures,
};

/// Files of a revision.
const MOST_FILES: u64 = 20_000;
/// Bytes of them.
const MOST_BYTES: u64 = 256 << 20;
/// Bytes of git's list of them.
const LONGEST_LIST: u64 = 16 << 20;
/// Bytes of what git says where it fails.
const LONGEST_MESSAGE: u64 = 64 << 10;

/// One file of a revision.
struct Blob {
    link: bool,
    id: String,
    size: u64,
    path: RootPath,
}

/// Puts what is below `manifests/` of a revision into a folder below `scratch`, which goes with the value. `None`:
/// git knows no such revision here, or is not there.
pub(super) fn checkout(root: &Path, revision: &str, scratch: &Path) -> Result<Option<Scratch>, Failures> {
    let shown = printable(revision.as_bytes());
    let fail = |why: String| OperandError::Git { revision: shown.clone(), why };
    if revision.is_empty() || revision.contains('\0') {
        return Ok(None);
    }
    let commit = format!("{revision}^{{commit}}");
    let Ok(found) = run(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit], 4096) else {
        return Ok(None);
    };
    let commit = String::from_utf8_lossy(&found).trim().to_owned();
    if commit.is_empty() || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let list = run(root, &["ls-tree", "-r", "-z", "-l", &commit, "--", "manifests"], LONGEST_LIST).map_err(fail)?;
    let blobs = list
        .split(|byte| *byte == 0)
        .filter(|line| !line.is_empty())
        .map(|line| blob(line).ok_or_else(|| fail(format!("it lists {:?}", printable(line)))));
    // Submodules are no part of a project.
    let blobs: Vec<Blob> = blobs.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let large = |what, limit| OperandError::LargeRevision { revision: shown.clone(), what, limit };
    if blobs.len() as u64 > MOST_FILES {
        return Err(large("files", MOST_FILES).into());
    }
    if blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size)) > MOST_BYTES {
        return Err(large("bytes", MOST_BYTES).into());
    }
    let folder = Cache::scratch(scratch)?;
    let unwritable = |source| OperandError::Read(folder.path().display().to_string(), source);
    fs::create_dir_all(folder.path().join("manifests")).map_err(unwritable)?;
    write(root, &blobs, folder.path()).map_err(|error| fail(printable(error.to_string().as_bytes())))?;
    Ok(Some(folder))
}

/// `100644 blob <id> <size>\t<path>`; inside, `None` is no file.
fn blob(line: &[u8]) -> Option<Option<Blob>> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let (head, path) = (str::from_utf8(line.get(..tab)?).ok()?, line.get(tab + 1..)?);
    let mut words = head.split_ascii_whitespace();
    let (mode, kind, id, size) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if kind != "blob" {
        return Some(None);
    }
    let path = RootPath::from_archive(path).ok()?;
    let good = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then_some(Some(Blob { link: mode == "120000", id: id.to_owned(), size: size.parse().ok()?, path }))
}

/// All files at once, through one process.
fn write(root: &Path, blobs: &[Blob], folder: &Path) -> io::Result<()> {
    let mut child = git(root)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(mut ask), Some(answer)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("git has no pipes"));
    };
    let mut answer = BufReader::new(answer);
    let result = thread::scope(|scope| {
        let asking = scope.spawn(move || blobs.iter().try_for_each(|blob| writeln!(ask, "{}", blob.id)));
        let result = blobs.iter().try_for_each(|blob| one(&mut answer, blob, folder));
        drop(answer);
        let asked = asking.join().unwrap_or_else(|_| Err(io::Error::other("asking git failed")));
        result.and(asked)
    });
    if result.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    result?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("git cat-file ended with {status}"))) }
}

fn one(answer: &mut impl io::BufRead, blob: &Blob, folder: &Path) -> io::Result<()> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is not what it was listed as", blob.path));
    let mut head = Vec::new();
    answer.by_ref().take(1024).read_until(b'\n', &mut head)?;
    if head != format!("{} blob {}\n", blob.id, blob.size).as_bytes() {
        return Err(wrong());
    }
    let path = folder.join(std::ffi::OsStr::from_bytes(blob.path.as_bytes()));
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    let mut body = answer.by_ref().take(blob.size);
    if blob.link {
        let target = read_at_most(&mut body, 4096)?;
        symlink(std::ffi::OsStr::from_bytes(&target), &path)?;
    } else {
        // Never over a link: a tree of git has each name once.
        let mut file = fs::File::create_new(&path)?;
        if io::copy(&mut body, &mut file)? != blob.size {
            return Err(wrong());
        }
    }
    let mut end = [0];
    answer.read_exact(&mut end)?;
    if end == *b"\n" { Ok(()) } else { Err(wrong()) }
}

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("--no-replace-objects").arg("-C").arg(root);
    git
}

/// What git prints; else why it did not.
fn run(root: &Path, arguments: &[&str], limit: u64) -> Result<Vec<u8>, String> {
    let shown = |error: io::Error| printable(error.to_string().as_bytes());
    let mut child = git(root)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(shown)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("it has no pipes".to_owned());
    };
    let (out, message) = thread::scope(|scope| {
        let message = scope.spawn(move || read_at_most(stderr, LONGEST_MESSAGE));
        (read_at_most(stdout, limit), message.join())
    });
    if out.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(shown)?;
    let out = out.map_err(shown)?;
    if status.success() {
        return Ok(out);
    }
    let message = message.ok().and_then(Result::ok).unwrap_or_default();
    Err(printable(message.trim_ascii()))
}
