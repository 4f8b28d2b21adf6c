//! The mirrors of the host: apt's sources.list(5) in both styles, mirror lists
//! (apt-transport-mirror(1)) and logins (apt_auth.conf(5)). Nothing here is an error: what cannot
//! be read is skipped with a remark, for the host's apt is not the project's.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    netrc::{self, Machine},
    uri::{Uri, redacted},
};
use crate::ground::{printable, read_at_most};

/// The longest file of apt's configuration that is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// One mirror and one suite that it is listed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) uri: Uri,
    pub(super) suite: String,
}

/// All that the host's apt knows, in its order.
#[derive(Debug, Default)]
pub(super) struct Apt {
    pub(super) listed: Vec<Listed>,
    /// Remarks about what was skipped: file, line, reason.
    pub(super) notes: Vec<String>,
}

/// Reads `sources.list` and `sources.list.d` below `root` (usually /etc/apt).
pub(super) fn read(root: &Path) -> Apt {
    let mut apt = Apt::default();
    let mut files = vec![root.join("sources.list")];
    files.extend(parts(&root.join("sources.list.d"), &["list", "sources"], &mut apt.notes));
    for path in files {
        if let Some(text) = text(&path, &mut apt.notes) {
            let deb822 = path.extension().is_some_and(|extension| extension == "sources");
            let entries = if deb822 { stanzas(&text) } else { lines(&text) };
            for entry in entries {
                apt.take(&path, entry);
            }
        }
    }
    apt
}

/// Reads the logins: `auth.conf`, then `auth.conf.d/*.conf` below `root`, then `netrc`.
pub(super) fn logins(root: Option<&Path>, netrc: &[PathBuf], notes: &mut Vec<String>) -> Vec<Machine> {
    let mut files = Vec::new();
    if let Some(root) = root {
        files.push(root.join("auth.conf"));
        files.extend(parts(&root.join("auth.conf.d"), &["conf"], notes));
    }
    files.extend_from_slice(netrc);
    files.iter().filter_map(|path| text(path, notes)).flat_map(|text| netrc::parse(&text)).collect()
}

/// The URIs and suites of a line or stanza, or the reason why it has none.
type Said = Result<(Vec<String>, Vec<String>), String>;

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    line: usize,
    said: Said,
}

impl Apt {
    fn take(&mut self, path: &Path, entry: Entry) {
        let place = format!("{}:{}", path.display(), entry.line);
        let (uris, suites) = match entry.said {
            Ok(said) => said,
            Err(reason) => return self.notes.push(format!("{place}: skipped: {reason}")),
        };
        let mut mirrors = Vec::new();
        for uri in uris {
            if let Some(list) = uri.strip_prefix("mirror+file:").or_else(|| uri.strip_prefix("mirror+copy:")) {
                let list = PathBuf::from(format!("/{}", list.trim_start_matches('/')));
                if let Some(text) = text(&list, &mut self.notes) {
                    for (line, mirror) in mirror_list(&text) {
                        self.add(&mut mirrors, &format!("{}:{line}", list.display()), &mirror);
                    }
                } else {
                    self.notes.push(format!("{place}: skipped: {} cannot be read", list.display()));
                }
            } else {
                self.add(&mut mirrors, &place, &uri);
            }
        }
        for suite in suites {
            self.listed.extend(mirrors.iter().map(|uri| Listed { uri: uri.clone(), suite: suite.clone() }));
        }
    }

    fn add(&mut self, mirrors: &mut Vec<Uri>, place: &str, text: &str) {
        match Uri::parse(text) {
            Ok(uri) => mirrors.push(uri.into_root()),
            Err(reason) => self.notes.push(format!("{place}: skipped {}: {reason}", redacted(text))),
        }
    }
}

/// One-line style: `deb [ option=value ... ] uri suite component...`.
fn lines(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (kind, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let said = match kind {
            "" | "deb-src" => continue,
            "deb" => one_line(rest),
            _ => Err("the line does not begin with deb or deb-src".to_owned()),
        };
        entries.push(Entry { line: at + 1, said });
    }
    entries
}

fn one_line(rest: &str) -> Said {
    let mut rest = rest.trim();
    if let Some(options) = rest.strip_prefix('[') {
        let (_, after) = options.split_once(']').ok_or("the options have no closing bracket")?;
        rest = after.trim();
    }
    // A cdrom's label has spaces inside brackets.
    if rest.starts_with("cdrom:") {
        return Err("cdrom: is not one of http, https and file".to_owned());
    }
    let mut words = rest.split_whitespace();
    match (words.next(), words.next()) {
        (Some(uri), Some(suite)) => Ok((vec![uri.to_owned()], vec![suite.to_owned()])),
        _ => Err("the line lacks a URI or a suite".to_owned()),
    }
}

/// deb822 style: stanzas of fields; a line that begins with a blank continues the field before it.
fn stanzas(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut begin = 0;
    let mut wrong = None;
    for (at, line) in text.lines().chain([""]).enumerate() {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            if let Some(said) = stanza(&std::mem::take(&mut fields), wrong.take()) {
                entries.push(Entry { line: begin, said });
            }
            begin = 0;
            continue;
        }
        if begin == 0 {
            begin = at + 1;
        }
        if line.starts_with([' ', '\t']) {
            match fields.last_mut() {
                Some((_, value)) => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                None => wrong = Some(format!("line {} continues no field", at + 1)),
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        } else {
            wrong = Some(format!("line {} is no field", at + 1));
        }
    }
    entries
}

/// `None`: nothing to say about it (empty, disabled, sources alone).
fn stanza(fields: &[(String, String)], wrong: Option<String>) -> Option<Said> {
    if let Some(wrong) = wrong {
        return Some(Err(wrong));
    }
    if fields.is_empty() {
        return None;
    }
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    let words = |name: &str| field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let enabled = field("enabled").unwrap_or("yes").to_ascii_lowercase();
    // apt's StringToBool.
    if ["no", "false", "without", "off", "disable", "0"].contains(&enabled.as_str()) {
        return None;
    }
    let types = words("types");
    if types.is_empty() {
        return Some(Err("the stanza has no Types".to_owned()));
    }
    if !types.iter().any(|kind| kind == "deb") {
        return None;
    }
    let (uris, suites) = (words("uris"), words("suites"));
    if uris.is_empty() || suites.is_empty() {
        return Some(Err("the stanza lacks URIs or Suites".to_owned()));
    }
    Some(Ok((uris, suites)))
}

/// The mirrors of a list with their lines: by priority (none is last), then in the list's order,
/// where apt would choose by chance.
fn mirror_list(text: &str) -> Vec<(usize, String)> {
    let mut mirrors = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let mut words = line.split_whitespace();
        let Some(uri) = words.next().filter(|_| !line.starts_with('#')) else { continue };
        let priority = words.find_map(|word| word.strip_prefix("priority:")?.parse().ok()).unwrap_or(u64::MAX);
        mirrors.push((priority, at + 1, uri.to_owned()));
    }
    mirrors.sort_by_key(|(priority, line, _)| (*priority, *line));
    mirrors.into_iter().map(|(_, line, uri)| (line, uri)).collect()
}

/// The files of a folder that apt reads: names of letters, digits, `_`, `-` and `.` with one of the
/// extensions, in the order of their bytes.
fn parts(folder: &Path, extensions: &[&str], notes: &mut Vec<String>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                notes.push(format!("{}: skipped: {error}", folder.display()));
            }
            return Vec::new();
        }
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        plain && !name.starts_with('.') && extensions.iter().any(|extension| name.ends_with(&format!(".{extension}")))
    });
    paths.sort();
    paths
}

fn text(path: &Path, notes: &mut Vec<String>) -> Option<String> {
    match File::open(path).and_then(|file| read_at_most(file, LONGEST)) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                notes.push(format!("{}: skipped: {}", path.display(), printable(error.to_string().as_bytes())));
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(entries: Vec<Entry>) -> Vec<String> {
        let one = |entry: Entry| match entry.said {
            Ok((uris, suites)) => format!("{}: {} | {}", entry.line, uris.join(" "), suites.join(" ")),
            Err(reason) => format!("{}: {reason}", entry.line),
        };
        entries.into_iter().map(one).collect()
    }

    #[test]
    fn one_line_style() {
        for (line, expected) in [
            ("deb http://m/debian trixie main", "1: http://m/debian | trixie"),
            ("  deb\thttp://m/debian  trixie main contrib # why", "1: http://m/debian | trixie"),
            ("deb [arch=amd64 signed-by=/k.gpg] http://m/d trixie main", "1: http://m/d | trixie"),
            ("deb [ arch=amd64,arm64 ] http://m/d ./", "1: http://m/d | ./"),
            ("deb-src http://m/debian trixie main", ""),
            ("# deb http://m/debian trixie main", ""),
            ("", ""),
            ("deb http://m/debian", "1: the line lacks a URI or a suite"),
            ("deb [arch=amd64 http://m/d trixie main", "1: the options have no closing bracket"),
            ("deb cdrom:[Debian 12 a b]/ trixie main", "1: cdrom: is not one of http, https and file"),
            ("rpm http://m/ trixie", "1: the line does not begin with deb or deb-src"),
        ] {
            assert_eq!(said(lines(line)).join("\n"), expected, "{line}");
        }
    }

    #[test]
    fn deb822_style() {
        for (text, expected) in [
            ("Types: deb\nURIs: http://m/d\nSuites: trixie trixie-updates\n", "1: http://m/d | trixie trixie-updates"),
            (
                "# c\n\n\ntypes: deb deb-src\nuris: http://a/d\n\thttp://b/d\n# c\nSUITES:\n trixie",
                "4: http://a/d http://b/d | trixie",
            ),
            ("Types: deb-src\nURIs: http://m/d\nSuites: trixie\n", ""),
            ("Types: deb\nURIs: http://m/d\nSuites: trixie\nEnabled: No\n", ""),
            ("Types: deb\nURIs: http://m/d\nSuites: trixie\nEnabled: yes\n", "1: http://m/d | trixie"),
            ("Types: deb\nSuites: trixie\n", "1: the stanza lacks URIs or Suites"),
            ("URIs: http://m/d\nSuites: trixie\n", "1: the stanza has no Types"),
            (" x\n", "1: line 1 continues no field"),
            ("Types: deb\noops\n\nTypes: deb\nURIs: u\nSuites: s", "1: line 2 is no field\n4: u | s"),
            ("Types: deb\r\nURIs: http://m/d\r\nSuites: trixie\r\n\r\n", "1: http://m/d | trixie"),
        ] {
            assert_eq!(said(stanzas(text)).join("\n"), expected, "{text}");
        }
    }

    #[test]
    fn mirror_lists() {
        let text = "# c\nhttp://a/d\n\nhttp://b/d\tpriority:2 type:deb\nhttp://c/d priority:1\nhttp://e/d\n";
        let order: Vec<_> = mirror_list(text).into_iter().map(|(line, uri)| format!("{line} {uri}")).collect();
        assert_eq!(order, ["5 http://c/d", "4 http://b/d", "2 http://a/d", "6 http://e/d"]);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "([Tt]ypes: deb\n|URIs: \\PC*\n|\\[|\\]|deb |\n|#|\\PC)*") {
            let _ = (lines(&text), stanzas(&text), mirror_list(&text), netrc::parse(&text));
            let _ = Uri::parse(&text).map(|uri| (uri.join(&text), uri.redirect(&text)));
        }
    }
}
