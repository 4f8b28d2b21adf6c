//! Following symbolic links inside a root, as the kernel does for a process whose root it is.

/// So many links in one lookup are a loop (Linux follows 40; path_resolution(7)).
const MOST_LINKS: usize = 40;

/// A lookup met more links than Linux follows: a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MOST_LINKS} symbolic links in one path")]
pub struct TooManyLinks;

/// Where `path` (bytes as of a `RootPath`) leads once every link on the way is followed, the last
/// name too if `last` says so. `link` gives the target of what is a link. `..` at the root stays
/// there, an absolute target starts again at the root: nothing leads outside. Names that do not
/// exist are walked as if they were directories.
pub fn follow<'a>(path: &[u8], last: bool, link: impl Fn(&[u8]) -> Option<&'a [u8]>) -> Result<Vec<u8>, TooManyLinks> {
    let mut found: Vec<u8> = Vec::with_capacity(path.len());
    // Names still to walk, the next one at the end.
    let mut ahead: Vec<&[u8]> = path.rsplit(|byte| *byte == b'/').collect();
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        match name {
            b"" | b"." => continue,
            b".." => {
                found.truncate(found.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            name => {
                let before = found.len();
                if before > 0 {
                    found.push(b'/');
                }
                found.extend_from_slice(name);
                if ahead.is_empty() && !last {
                    continue;
                }
                if let Some(target) = link(&found) {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(TooManyLinks);
                    }
                    found.truncate(if target.starts_with(b"/") { 0 } else { before });
                    ahead.extend(target.rsplit(|byte| *byte == b'/'));
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(path: &[u8]) -> Option<&'static [u8]> {
        Some(match path {
            b"lib" => b"usr/lib",
            b"abs" => b"/usr/lib/",
            b"usr/lib/up" => b"../../../../etc",
            b"a" => b"b",
            b"b" => b"./a",
            b"usr/dot" => b".",
            _ => return None,
        })
    }

    #[test]
    fn cases() {
        for (path, last, expected) in [
            ("lib/x", true, Ok("usr/lib/x")),
            ("lib", false, Ok("lib")),
            ("lib", true, Ok("usr/lib")),
            ("abs/x", true, Ok("usr/lib/x")),
            ("lib/up/passwd", true, Ok("etc/passwd")),
            ("usr/dot/dot/lib", true, Ok("usr/lib")),
            ("a/x", true, Err(TooManyLinks)),
            ("a", false, Ok("a")),
            ("", true, Ok("")),
        ] {
            let got = follow(path.as_bytes(), last, links).map(|found| String::from_utf8(found).unwrap());
            assert_eq!(got, expected.map(str::to_owned), "{path} {last}");
        }
    }
}
