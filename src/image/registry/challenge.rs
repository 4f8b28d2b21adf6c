//! `WWW-Authenticate` (RFC 9110 section 11.6.1).

use std::collections::BTreeMap;

/// One way to authenticate that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case: `basic`, `bearer`.
    pub(super) scheme: String,
    /// Names in lower case.
    pub(super) parameters: BTreeMap<String, String>,
}

/// The longest header that is looked at, in bytes.
const LONGEST: usize = 16 << 10;

/// Reads the challenges of one header; what is malformed ends the list.
pub(super) fn challenges(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = header.get(..LONGEST.min(header.len())).unwrap_or_default();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return found;
        }
        let blank = after.trim_start();
        match (blank.strip_prefix('='), found.last_mut()) {
            // `name = value` belongs to the challenge before it.
            (Some(value), Some(challenge)) if !blank.starts_with("==") => {
                let Some((value, after)) = read_value(value.trim_start()) else { return found };
                challenge.parameters.entry(word.to_ascii_lowercase()).or_insert(value);
                rest = after;
            }
            _ => {
                found.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
                rest = after;
            }
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let stops = |b: &u8| !(b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(b));
    text.split_at(text.as_bytes().iter().position(stops).unwrap_or(text.len()))
}

fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(header: &str) -> Vec<String> {
        challenges(header).iter().map(|one| format!("{} {:?}", one.scheme, one.parameters)).collect()
    }

    #[test]
    fn one_and_several() {
        for (header, wanted) in [
            (r#"Basic realm="x""#, vec![r#"basic {"realm": "x"}"#]),
            (
                r#"Bearer realm="https://auth.example.org/token",service="r.example.org",scope="repository:a/b:pull,push""#,
                vec![
                    r#"bearer {"realm": "https://auth.example.org/token", "scope": "repository:a/b:pull,push", "service": "r.example.org"}"#,
                ],
            ),
            (
                r#"Basic realm="a \"b\", c", Bearer realm=x"#,
                vec![r#"basic {"realm": "a \"b\", c"}"#, r#"bearer {"realm": "x"}"#],
            ),
            ("Negotiate, Basic realm = \"x\"", vec!["negotiate {}", r#"basic {"realm": "x"}"#]),
            (r#"BEARER Realm="x", Realm="y""#, vec![r#"bearer {"realm": "x"}"#]),
            (r#"Bearer realm="x"#, vec!["bearer {}"]),
            ("", vec![]),
            ("=", vec![]),
        ] {
            assert_eq!(shown(header), wanted, "{header}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(header in "[a-zA-Z=\",\\\\ é]{0,60}") {
            challenges(&header);
        }
    }
}
