//! Relations between packages (Policy 7.1, deb-control(5)).

use std::{fmt, str::FromStr};

use super::{Architecture, Version, version};
use crate::ground::printable;

/// One relation: alternatives in order of preference, `a (>= 1) | b`. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation(pub Vec<Alternative>);

/// One alternative of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The package's name (Policy 5.6.1).
    pub name: Box<str>,
    /// What follows `name:` (`any`, `native`, an architecture).
    pub qualifier: Option<Box<str>>,
    /// What follows `name/`, as apt-get(8) takes it: the suite that must list the package. Only in
    /// wishes: fields of packages have no such thing.
    pub suite: Option<Box<str>>,
    /// `(>= 1.2)`.
    pub version: Option<(Operator, Version)>,
    /// `[amd64 !i386]`, as written, without the brackets; empty: every architecture.
    pub architectures: Vec<Box<str>>,
    /// `<!nocheck>`: build profiles, each list a conjunction; kept so that they can be written
    /// again. They hold as in a build with no profile.
    pub profiles: Vec<Vec<Box<str>>>,
}

/// How a relation compares versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=` (and the obsolete `<`)
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=` (and the obsolete `>`)
    LaterOrEqual,
    /// `>>`
    Later,
}

/// Why a text is no relation, and at which byte of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RelationError {
    /// Byte offset in the text that was parsed.
    pub offset: usize,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
}

/// The longest text taken, in bytes. The longest relation field of Debian 13 has about 40 KiB.
const LONGEST_TEXT: usize = 1 << 20;
/// The longest name of a package, in bytes: it becomes a file name (NAME_MAX).
const LONGEST_NAME: usize = 255;

/// One relation, alternatives and all: `a (>= 1) [amd64] | b`. A comma is an error.
///
/// A wish, not a field of a package: a name may be followed by `/suite`.
pub fn parse_relation(text: &str) -> Result<Relation, RelationError> {
    let mut parser = Parser::new(text)?;
    parser.suites = true;
    parser.blanks();
    let relation = parser.relation()?;
    match parser.peek() {
        None => Ok(relation),
        Some(',') => parser.fail("one relation belongs here; a comma would begin a second one"),
        Some(_) => parser.fail_expecting("`|` or the end"),
    }
}

/// A list of relations between commas, as in `Depends`. Empty parts (a trailing comma, two commas
/// in a row) are taken, as generated indexes have them.
pub fn parse_relations(text: &str) -> Result<Vec<Relation>, RelationError> {
    let mut parser = Parser::new(text)?;
    let mut relations = Vec::new();
    loop {
        parser.blanks();
        match parser.peek() {
            None => return Ok(relations),
            Some(',') => parser.at += 1,
            Some(_) => {
                relations.push(parser.relation()?);
                if !matches!(parser.peek(), None | Some(',')) {
                    return parser.fail_expecting("`|`, `,` or the end");
                }
            }
        }
    }
}

/// Whether a text can be a binary package's name, by dpkg's rule (`pkg_name_is_illegal`): a letter
/// or digit, then letters, digits and `+ - . _`. At most 255 bytes.
pub fn is_package_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| is_name_byte(byte as char))
}

fn is_name_byte(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Whether `name/suite` is taken.
    suites: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, RelationError> {
        if text.len() > LONGEST_TEXT {
            let message = format!("relations longer than {LONGEST_TEXT} bytes are not taken");
            return Err(RelationError { offset: LONGEST_TEXT, message });
        }
        Ok(Self { text, at: 0, suites: false })
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += taken;
        rest.get(..taken).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.take_while(|c| c.is_ascii_whitespace());
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, RelationError> {
        fail_at(self.at, message)
    }

    fn fail_expecting<T>(&self, what: &str) -> Result<T, RelationError> {
        match self.peek() {
            None => self.fail(format!("expected {what}, but the text ends here")),
            Some(c) => self.fail(format!("expected {what}, not `{}`", printable(c.to_string().as_bytes()))),
        }
    }

    fn relation(&mut self) -> Result<Relation, RelationError> {
        let mut alternatives = vec![self.alternative()?];
        while self.eat('|') {
            self.blanks();
            alternatives.push(self.alternative()?);
        }
        Ok(Relation(alternatives))
    }

    /// One alternative and the blanks behind it.
    fn alternative(&mut self) -> Result<Alternative, RelationError> {
        let start = self.at;
        let name = self.take_while(is_name_byte);
        if name.is_empty() {
            return self.fail_expecting("a package's name");
        }
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return fail_at(start, "a package's name starts with a letter or a digit");
        }
        if name.len() > LONGEST_NAME {
            return fail_at(start, format!("a package's name has at most {LONGEST_NAME} characters"));
        }
        let qualifier =
            if self.eat(':') { Some(self.word("`any`, `native` or an architecture")?.into()) } else { None };
        let suite = if self.suites && self.eat('/') { Some(self.suite()?.into()) } else { None };
        self.blanks();
        let version = if self.peek() == Some('(') { Some(self.version()?) } else { None };
        self.blanks();
        let architectures = if self.peek() == Some('[') { self.architectures()? } else { Vec::new() };
        self.blanks();
        let mut profiles = Vec::new();
        while self.peek() == Some('<') {
            profiles.push(self.profiles()?);
            self.blanks();
        }
        Ok(Alternative { name: name.into(), qualifier, suite, version, architectures, profiles })
    }

    /// The name of a suite, which may have slashes (`stable/updates`).
    fn suite(&mut self) -> Result<&'a str, RelationError> {
        let start = self.at;
        let suite = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+' | '_' | '~' | '/'));
        match suite.len() {
            0 => self.fail_expecting("the suite to take the package from"),
            1..=LONGEST_NAME => Ok(suite),
            _ => fail_at(start, format!("a name has at most {LONGEST_NAME} characters")),
        }
    }

    /// The name of an architecture or of a profile.
    fn word(&mut self, what: &str) -> Result<&'a str, RelationError> {
        let start = self.at;
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+' | '_'));
        match word.len() {
            0 => self.fail_expecting(what),
            1..=LONGEST_NAME => Ok(word),
            _ => fail_at(start, format!("a name has at most {LONGEST_NAME} characters")),
        }
    }

    fn version(&mut self) -> Result<(Operator, Version), RelationError> {
        let open = self.at;
        self.eat('(');
        self.blanks();
        let sign_at = self.at;
        let operator = match self.take_while(|c| matches!(c, '<' | '>' | '=')) {
            "<<" => Operator::Earlier,
            "<=" | "<" => Operator::EarlierOrEqual,
            // dpkg and apt take a version alone for `=`.
            "=" | "" => Operator::Equal,
            ">=" | ">" => Operator::LaterOrEqual,
            ">>" => Operator::Later,
            sign => {
                return fail_at(sign_at, format!("`{sign}` compares nothing; there are << <= = >= >>"));
            }
        };
        self.blanks();
        let start = self.at;
        let text = self.take_while(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '|' | ',' | '[' | ']'));
        if text.is_empty() {
            return self.fail_expecting("a version");
        }
        self.blanks();
        match self.peek() {
            Some(')') => self.at += 1,
            None => return fail_at(open, "this parenthesis is never closed"),
            Some(_) => return self.fail_expecting("`)` after the version"),
        }
        match text.parse() {
            Ok(version) => Ok((operator, version)),
            Err(error) => fail_at(start, error.to_string()),
        }
    }

    fn architectures(&mut self) -> Result<Vec<Box<str>>, RelationError> {
        let open = self.at;
        self.eat('[');
        let mut list: Vec<Box<str>> = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None => return fail_at(open, "this bracket is never closed"),
                Some(']') if list.is_empty() => return self.fail_expecting("an architecture"),
                Some(']') => {
                    self.at += 1;
                    return Ok(list);
                }
                Some(_) => {}
            }
            let start = self.at;
            let not = self.eat('!');
            let name = self.word("an architecture")?;
            if list.first().is_some_and(|first| first.starts_with('!') != not) {
                return fail_at(start, "either all architectures in a list have a `!` before them or none has");
            }
            list.push(if not { format!("!{name}").into() } else { name.into() });
        }
    }

    fn profiles(&mut self) -> Result<Vec<Box<str>>, RelationError> {
        let open = self.at;
        self.eat('<');
        let mut list: Vec<Box<str>> = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None => return fail_at(open, "this `<` is never closed"),
                Some('>') if list.is_empty() => return self.fail_expecting("a build profile"),
                Some('>') => {
                    self.at += 1;
                    return Ok(list);
                }
                Some(_) => {}
            }
            let not = self.eat('!');
            let name = self.word("a build profile")?;
            list.push(if not { format!("!{name}").into() } else { name.into() });
        }
    }
}

fn fail_at<T>(offset: usize, message: impl Into<String>) -> Result<T, RelationError> {
    Err(RelationError { offset, message: message.into() })
}

impl Operator {
    /// The sign that is written for it.
    pub fn sign(self) -> &'static str {
        match self {
            Operator::Earlier => "<<",
            Operator::EarlierOrEqual => "<=",
            Operator::Equal => "=",
            Operator::LaterOrEqual => ">=",
            Operator::Later => ">>",
        }
    }

    /// Whether `have` stands in this relation to `wanted`. Both are versions, unparsed.
    pub fn holds(self, have: &str, wanted: &str) -> bool {
        let order = version::compare(have, wanted);
        match self {
            Operator::Earlier => order.is_lt(),
            Operator::EarlierOrEqual => order.is_le(),
            Operator::Equal => order.is_eq(),
            Operator::LaterOrEqual => order.is_ge(),
            Operator::Later => order.is_gt(),
        }
    }
}

impl Alternative {
    /// Whether it counts on this architecture: its `[..]` list names it (wildcards such as `any`,
    /// `linux-any`, `any-amd64` as dpkg-architecture(1) has them), and its `<..>` lists hold with no
    /// profile active.
    pub fn applies_to(&self, architecture: Architecture) -> bool {
        let listed = match self.architectures.first() {
            None => true,
            Some(first) if first.starts_with('!') => {
                !self.architectures.iter().any(|name| matches(name.trim_start_matches('!'), architecture))
            }
            Some(_) => self.architectures.iter().any(|name| matches(name, architecture)),
        };
        let profiles = &self.profiles;
        listed && (profiles.is_empty() || profiles.iter().any(|list| list.iter().all(|term| term.starts_with('!'))))
    }

    /// Whether a package of this version (unparsed) meets `(>= ..)`; any does where none is asked for.
    pub fn takes_version(&self, have: &str) -> bool {
        self.version.as_ref().is_none_or(|(operator, wanted)| operator.holds(have, wanted.as_str()))
    }
}

impl Relation {
    /// What counts on this architecture; `None` where nothing does.
    pub fn on(&self, architecture: Architecture) -> Option<Relation> {
        let kept: Vec<_> = self.0.iter().filter(|alternative| alternative.applies_to(architecture)).cloned().collect();
        (!kept.is_empty()).then_some(Relation(kept))
    }
}

/// Dpkg::Arch `debarch_is`: wildcards are compared by ABI, C library, system and CPU, and a
/// shorter wildcard leaves the first of these open.
fn matches(wildcard: &str, architecture: Architecture) -> bool {
    let name = architecture.name();
    if !wildcard.split('-').any(|part| part == "any") {
        return wildcard.strip_prefix("linux-").unwrap_or(wildcard) == name;
    }
    let (abi, cpu) = match name {
        "armhf" => ("eabihf", "arm"),
        name => ("base", name),
    };
    let mut parts = wildcard.rsplit('-');
    // The array first: it must not take a part that it has no counterpart for.
    [cpu, "linux", "gnu", abi].iter().zip(parts.by_ref()).all(|(have, wanted)| wanted == "any" || wanted == *have)
        && parts.next().is_none()
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.sign())
    }
}

/// In Debian's syntax; what is written parses back to the same value.
impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some(suite) = &self.suite {
            write!(f, "/{suite}")?;
        }
        if let Some((operator, version)) = &self.version {
            write!(f, " ({operator} {version})")?;
        }
        if !self.architectures.is_empty() {
            write!(f, " [{}]", self.architectures.join(" "))?;
        }
        self.profiles.iter().try_for_each(|list| write!(f, " <{}>", list.join(" ")))
    }
}

/// In Debian's syntax; what is written parses back to the same value.
impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, alternative) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" | ")?;
            }
            fmt::Display::fmt(alternative, f)?;
        }
        Ok(())
    }
}

impl FromStr for Relation {
    type Err = RelationError;

    fn from_str(text: &str) -> Result<Self, RelationError> {
        parse_relation(text)
    }
}

impl FromStr for Alternative {
    type Err = RelationError;

    fn from_str(text: &str) -> Result<Self, RelationError> {
        let mut parser = Parser::new(text)?;
        parser.suites = true;
        parser.blanks();
        let alternative = parser.alternative()?;
        if parser.peek().is_some() {
            return parser.fail_expecting("the end: one package is named here");
        }
        Ok(alternative)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_comes_back_in_plain_form() {
        for (text, plain) in [
            ("libc6", "libc6"),
            ("pkg(>=1)", "pkg (>= 1)"),
            ("pkg(>=1)[amd64]|b", "pkg (>= 1) [amd64] | b"),
            (" a  ( >= 1:2-3 ) \t| b:any ", "a (>= 1:2-3) | b:any"),
            ("a (< 1) | b (> 2) | c (3)", "a (<= 1) | b (>= 2) | c (= 3)"),
            (
                "a:native [!i386 !hurd-any] <!nocheck cross> <stage1>",
                "a:native [!i386 !hurd-any] <!nocheck cross> <stage1>",
            ),
            ("a\n (<< 2)", "a (<< 2)"),
            ("g++-12", "g++-12"),
            ("a/trixie-backports(>= 1)|b:any/stable/updates", "a/trixie-backports (>= 1) | b:any/stable/updates"),
        ] {
            assert_eq!(parse_relation(text).map(|relation| relation.to_string()), Ok(plain.to_owned()), "{text}");
        }
    }

    #[test]
    fn lists() {
        let show = |text| parse_relations(text).map(|list| list.iter().map(Relation::to_string).collect::<Vec<_>>());
        assert_eq!(show("a, b (= 1) | c,\n d,").unwrap(), ["a", "b (= 1) | c", "d"]);
        assert_eq!(show(", ,a,,b").unwrap(), ["a", "b"]);
        assert_eq!(show(" \n").unwrap(), [""; 0]);
        assert_eq!(show("a, b c").unwrap_err().offset, 5);
        assert_eq!(show("a, b/x").unwrap_err().offset, 4, "no field names a suite");
        assert_eq!(show("a, b (>= 1-), c").unwrap_err().offset, 9);
    }

    #[test]
    fn errors_point_at_the_byte() {
        for (text, offset, part) in [
            ("", 0, "a package's name"),
            ("  ", 2, "the text ends here"),
            ("a b", 2, "not `b`"),
            ("-a", 0, "starts with"),
            ("é", 0, "not `é`"),
            ("a |", 3, "a package's name"),
            ("a || b", 3, "not `|`"),
            ("a, b", 1, "comma"),
            ("a (>= 1", 2, "never closed"),
            ("a (>= )", 6, "a version"),
            ("a (>= 1 2)", 8, "`)`"),
            ("a (=> 1)", 3, "compares nothing"),
            ("a (== 1)", 3, "compares nothing"),
            ("a (>= v1)", 6, "start with a digit"),
            ("a (>= 1-)", 6, "revision"),
            ("a [amd64", 2, "never closed"),
            ("a []", 3, "an architecture"),
            ("a [amd64 !i386]", 9, "all architectures"),
            ("a [amd64, i386]", 8, "an architecture"),
            ("a <>", 3, "a build profile"),
            ("a <x", 2, "never closed"),
            ("a:", 2, "`any`"),
            ("a/", 2, "the suite"),
            ("a/ x", 2, "the suite"),
            ("a /x", 2, "not `/`"),
            ("a\u{1b}[2J", 1, "not `\\u{1b}`"),
        ] {
            let error = parse_relation(text).expect_err(text);
            assert_eq!(error.offset, offset, "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let long = "a".repeat(LONGEST_NAME);
        assert!(parse_relation(&long).is_ok());
        assert!(parse_relation(&format!("{long}a")).is_err());
        assert_eq!(parse_relations(&"a, ".repeat(LONGEST_TEXT / 2)).unwrap_err().offset, LONGEST_TEXT);
    }

    #[test]
    fn architectures() {
        for (list, yes, no) in [
            ("", "amd64 arm64", ""),
            ("[amd64 arm64]", "amd64 arm64", "armhf i386"),
            ("[!amd64]", "arm64", "amd64"),
            ("[any]", "amd64 armhf", ""),
            ("[linux-any]", "amd64 armhf", ""),
            ("[kfreebsd-any]", "", "amd64"),
            ("[!kfreebsd-any !hurd-any]", "amd64", ""),
            ("[any-amd64]", "amd64", "i386"),
            ("[any-arm]", "armhf", "arm64"),
            ("[gnu-any-any]", "amd64", ""),
            ("[musl-any-any]", "", "amd64"),
            ("[eabihf-any-any-arm]", "armhf", "amd64"),
            ("[base-gnu-linux-any]", "amd64", "armhf"),
            ("[x-any-any-any-any]", "", "amd64"),
            ("[linux-amd64]", "amd64", "i386"),
            ("<!nocheck>", "amd64", ""),
            ("<stage1>", "", "amd64"),
            ("<stage1> <!cross>", "amd64", ""),
        ] {
            let alternative: Alternative = format!("a {list}").parse().unwrap();
            for (names, expected) in [(yes, true), (no, false)] {
                for name in names.split_whitespace() {
                    assert_eq!(alternative.applies_to(name.parse().unwrap()), expected, "{list} on {name}");
                }
            }
        }
        let relation = parse_relation("a [arm64] | b").unwrap();
        assert_eq!(relation.on("amd64".parse().unwrap()).unwrap().to_string(), "b");
        assert_eq!(parse_relation("a [arm64]").unwrap().on("amd64".parse().unwrap()), None);
    }

    fn alternatives() -> impl Strategy<Value = String> {
        let name = "[a-z0-9][a-z0-9+._-]{0,8}";
        let version =
            proptest::option::of(("<<|<=|=|>=|>>|<|>|", "([0-9]:)?[0-9][a-z0-9.+~]{0,4}(-[a-z0-9.+~]{1,3})?"));
        let list = proptest::option::of("\\[(amd64 ?|any-arm|!i386  !linux-any)\\]");
        let profiles = "( ?<!?[a-z]{1,3}( !?[a-z]{1,3})?>){0,2}";
        (name, proptest::option::of(":any|:native|:arm64"), version, list, profiles).prop_map(
            |(name, qualifier, version, list, profiles)| {
                let version = version.map_or(String::new(), |(sign, version)| format!(" ({sign} {version})"));
                format!("{name}{}{version}{}{profiles}", qualifier.unwrap_or_default(), list.unwrap_or_default())
            },
        )
    }

    proptest! {
        #[test]
        fn plain_form_parses_back(texts in proptest::collection::vec(alternatives(), 1..4)) {
            let relation = parse_relation(&texts.join("|")).unwrap();
            prop_assert_eq!(relation.0.len(), texts.len());
            let plain = relation.to_string();
            let again = parse_relation(&plain).unwrap();
            prop_assert_eq!(again.to_string(), plain);
            prop_assert_eq!(again, relation);
        }

        #[test]
        fn no_text_panics_and_offsets_stay_inside(text in "[a( )|,\\[\\]<>!=:é1\n-]{0,24}") {
            for error in [parse_relation(&text).err(), parse_relations(&text).err()].into_iter().flatten() {
                prop_assert!(text.is_char_boundary(error.offset));
            }
        }
    }
}
