//! Globs: their syntax, and matching paths against a rule.

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

use super::{Glob, GlobRule};

/// Why a text is no glob: the byte where that is known, and a short sentence.
pub(super) type GlobFault = (Option<usize>, String);

/// Checks the syntax of one glob.
pub(super) fn check(text: &str) -> Result<(), GlobFault> {
    if !text.starts_with('/') {
        return Err((Some(0), "the glob is relative; globs start with /".into()));
    }
    if let Some(at) = text.find(char::is_control) {
        return Err((Some(at), "a control character".into()));
    }
    if text.len() > 1 && text.ends_with('/') {
        return Err((Some(text.len() - 1), "no path ends with /; write /** for all that is below".into()));
    }
    let mut at = 0;
    for name in text.split('/') {
        if at > 0 && at < text.len() && name.is_empty() {
            return Err((Some(at - 1), "two slashes match nothing".into()));
        }
        if name == "." || name == ".." {
            return Err((Some(at), "paths are plain: no `.` or `..` in them".into()));
        }
        if let Some(stars) = name.find("**").filter(|_| name != "**") {
            return Err((Some(at + stars), "`**` stands alone between slashes; inside a name write `*`".into()));
        }
        at += name.len() + 1;
    }
    classes_stay_inside_names(text)?;
    compile_one(text).map(|_| ()).map_err(|fault| (None, fault))
}

/// A class that can match `/` would cross folders, which `*` and `?` never do; globset lets it.
/// `[!x]` is mended in [`for_globset`]; ranges over `/` are refused here.
fn classes_stay_inside_names(text: &str) -> Result<(), GlobFault> {
    for (start, class) in classes(text) {
        let items: Vec<char> = class.trim_start_matches(['!', '^']).chars().collect();
        let slash = items.contains(&'/');
        let range = items.windows(3).any(|w| matches!(w, [from, '-', to] if *from <= '/' && '/' <= *to));
        if slash || range {
            return Err((Some(start), "this class matches `/`; classes stay inside a name".into()));
        }
        let negated = class.starts_with(['!', '^']);
        if negated && matches!(items.first(), Some('-' | ']')) {
            return Err((Some(start), "begin the negated class with another character than `-` or `]`".into()));
        }
    }
    Ok(())
}

/// The classes of a glob: where each begins, and what stands between its brackets.
fn classes(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(open) = rest.find(['[', '\\']) else { break };
        let start = at + open;
        let escaped = text[start..].starts_with('\\');
        let body = start + 1;
        if escaped {
            at = body + text[body..].chars().next().map_or(0, char::len_utf8);
            continue;
        }
        // A `]` that comes first (after `!` or `^`) is one of the class.
        let negation = usize::from(text[body..].starts_with(['!', '^']));
        let first = text[body + negation..].chars().next().map_or(0, char::len_utf8);
        let Some(close) = text[body + negation + first..].find(']') else { break };
        let end = body + negation + first + close;
        found.push((start, &text[body..end]));
        at = end + 1;
    }
    found
}

/// The glob as globset takes it: without the leading slash, as our paths are, and with `/` in every
/// negated class.
fn for_globset(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (start, class) in classes(text) {
        if class.starts_with(['!', '^']) {
            out.push_str(&text[at..start + 2]);
            out.push('/');
            at = start + 2;
        }
    }
    out.push_str(&text[at..]);
    out.strip_prefix('/').map(str::to_owned).unwrap_or(out)
}

fn compile_one(text: &str) -> Result<globset::Glob, String> {
    GlobBuilder::new(&for_globset(text))
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| error.kind().to_string())
}

fn compile(globs: impl Iterator<Item = impl AsRef<str>>) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(compile_one(glob.as_ref())?);
    }
    set.build().map_err(|error| error.kind().to_string())
}

/// Checks the syntax of a glob for words that are no paths, too: names of packages and libraries.
pub(super) fn check_word(text: &str) -> Result<(), String> {
    compile_one(text).map(|_| ())
}

/// Whether a glob that [`check_word`] let pass matches a path or another word; its text itself always
/// does.
pub(super) fn matches_word(glob: &Glob, word: &str) -> bool {
    let bare = |text: &str| text.strip_prefix('/').unwrap_or(text).to_owned();
    *glob.0 == *word || compile_one(&glob.0).is_ok_and(|glob| glob.compile_matcher().is_match(bare(word)))
}

impl AsRef<str> for Glob {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Whether all globs of a rule together can be compiled.
pub(super) fn check_rule(rule: &GlobRule) -> Result<(), String> {
    compile(rule.include.iter().map(|glob| &glob.value))?;
    compile(rule.exclude.iter().map(|glob| &glob.value)).map(|_| ())
}

/// A rule made ready for many paths.
#[derive(Debug, Clone)]
pub struct GlobMatcher {
    include: GlobSet,
    exclude: GlobSet,
}

/// Makes a rule ready for matching.
///
/// # Panics
/// Where a glob of the rule has wrong syntax; [`super::load`] lets none through.
pub fn matcher(rule: &GlobRule) -> GlobMatcher {
    let ready = |globs: &[crate::ground::Spanned<Glob>]| {
        compile(globs.iter().map(|glob| &glob.value)).expect("globs are checked when a manifest is read")
    };
    GlobMatcher { include: ready(&rule.include), exclude: ready(&rule.exclude) }
}

/// Paths are those of [`crate::ground::RootPath`]: bytes without a leading slash, UTF-8 or not.
impl GlobMatcher {
    /// The first include that matches, as an index into [`GlobRule::include`].
    pub fn include(&self, path: &[u8]) -> Option<usize> {
        self.include.matches_candidate(&Candidate::from_bytes(path)).into_iter().min()
    }

    /// The first exclude that matches, as an index into [`GlobRule::exclude`].
    pub fn exclude(&self, path: &[u8]) -> Option<usize> {
        self.exclude.matches_candidate(&Candidate::from_bytes(path)).into_iter().min()
    }

    /// All includes and all excludes that match, each ascending: for counting those that never do.
    pub fn all(&self, path: &[u8]) -> (Vec<usize>, Vec<usize>) {
        let path = Candidate::from_bytes(path);
        let sorted = |set: &GlobSet| {
            let mut found = set.matches_candidate(&path);
            found.sort_unstable();
            found.dedup();
            found
        };
        (sorted(&self.include), sorted(&self.exclude))
    }

    /// Whether some include matches and no exclude does.
    pub fn keeps(&self, path: &[u8]) -> bool {
        let path = Candidate::from_bytes(path);
        self.include.is_match_candidate(&path) && !self.exclude.is_match_candidate(&path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Spanned;

    fn rule(include: &[&str], exclude: &[&str]) -> GlobRule {
        let globs = |texts: &[&str]| texts.iter().map(|text| Spanned::new(Glob((*text).into()), 0..0)).collect();
        GlobRule { include: globs(include), exclude: globs(exclude) }
    }

    #[test]
    fn matching() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("/**", &["usr", "usr/bin/x", "a"], &[]),
            ("/x/**", &["x/a", "x/a/b"], &["x", "xa/b", "y/x/a"]),
            ("/usr/*", &["usr/a"], &["usr/a/b", "usr", "a"]),
            (
                "/usr/share/doc/**/changelog*",
                &["usr/share/doc/changelog", "usr/share/doc/a/b/changelog.gz"],
                &["usr/share/doc/a"],
            ),
            ("/**/*.py", &["a.py", "a/b/.py"], &["a.pyc"]),
            ("/a?c", &["abc"], &["a/c", "ac"]),
            ("/a[!x]c", &["abc"], &["axc", "a/c"]),
            ("/a[^x]c[!a-z]", &["abc1"], &["abcd", "a/c1", "abc/"]),
            ("/a[x-z]", &["ay"], &["aa"]),
            ("/[]]", &["]"], &["a"]),
            (r"/a\[!x\]", &["a[!x]"], &["ab"]),
            ("/lib/{a,b*}/c", &["lib/a/c", "lib/bb/c"], &["lib/c/c", "lib/b/x/c"]),
            ("/etc/passwd", &["etc/passwd"], &["etc/passwd-", "x/etc/passwd"]),
            ("/", &[], &["a"]),
        ];
        for (glob, yes, no) in cases {
            assert_eq!(check(glob), Ok(()), "{glob}");
            let matcher = matcher(&rule(&[glob], &[]));
            for path in *yes {
                assert!(matcher.keeps(path.as_bytes()), "{glob} {path}");
            }
            for path in *no {
                assert!(!matcher.keeps(path.as_bytes()), "{glob} {path}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text() {
        let matcher = matcher(&rule(&["/etc/*", "/**"], &["/etc/?\u{e9}*"]));
        assert_eq!(matcher.include(b"etc/\xff"), Some(0));
        assert_eq!(matcher.include(b"x\xff/y"), Some(1));
        assert_eq!(matcher.exclude(b"etc/\xff"), None);
        assert_eq!(matcher.all(b"etc/\xff"), (vec![0, 1], vec![]));
    }

    #[test]
    fn which_glob_decided() {
        let matcher = matcher(&rule(&["/usr/**", "/etc/**"], &["/usr/share/man/**", "/**/*.a"]));
        assert_eq!(matcher.include(b"etc/x"), Some(1));
        assert_eq!(matcher.include(b"var/x"), None);
        assert_eq!(matcher.exclude(b"usr/lib/x.a"), Some(1));
        assert!(!matcher.keeps(b"usr/share/man/man1/x"));
        assert!(matcher.keeps(b"usr/share/man"), "the folder itself is not below itself");
    }

    #[test]
    fn faults_and_where() {
        for (glob, at, part) in [
            ("usr/**", Some(0), "relative"),
            ("", Some(0), "relative"),
            ("/usr/", Some(4), "ends with /"),
            ("/usr//x", Some(4), "two slashes"),
            ("/usr/../x", Some(5), "plain"),
            ("/usr/a**b", Some(6), "stands alone"),
            ("/usr/[a", None, "unclosed"),
            ("/usr/{a", None, "unclosed"),
            ("/usr/a}", None, "unopened"),
            ("/usr/[z-a]", None, "range"),
            ("/a[+-9]b", Some(2), "matches `/`"),
            ("/a[x/]b", Some(2), "matches `/`"),
            ("/a[!-x]b", Some(2), "begin the negated class"),
            ("/a\\", None, "dangling"),
            ("/a\nb", Some(2), "control"),
        ] {
            let (offset, fault) = check(glob).unwrap_err();
            assert!(offset == at && fault.contains(part), "{glob}: {offset:?} {fault}");
        }
    }
}
