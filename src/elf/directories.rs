//! ld.so.conf(5, as ldconfig(8) has it): the folders that it names, includes followed.

use globset::GlobBuilder;

/// How deep files may include one another; Debian's are one deep.
const DEEPEST: usize = 16;
/// Lines of all files together.
const MOST_LINES: usize = 100_000;

/// One file that a pattern of `include` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conf {
    /// Its absolute path, as an include pattern matches it.
    pub path: Vec<u8>,
    /// What it holds.
    pub text: Vec<u8>,
}

/// The folders that `/etc/ld.so.conf` and all that it includes name, in order, each as it is written
/// but for white space, comments, slashes at its end and a library type (`=libc6`). `files` are all that
/// an include may name, sorted by path; others do not exist. Files that include one another without end
/// are read 16 deep.
pub fn configured(files: &[Conf]) -> Vec<Vec<u8>> {
    let mut reading = Reading { files, found: Vec::new(), lines: MOST_LINES };
    reading.include(b"/etc/ld.so.conf", DEEPEST);
    reading.found
}

struct Reading<'a> {
    files: &'a [Conf],
    found: Vec<Vec<u8>>,
    lines: usize,
}

impl<'a> Reading<'a> {
    fn include(&mut self, pattern: &[u8], depth: usize) {
        let files = self.files;
        let glob = std::str::from_utf8(pattern).ok();
        let glob = glob.and_then(|text| GlobBuilder::new(text).literal_separator(true).build().ok());
        let matcher = glob.map(|glob| glob.compile_matcher());
        for file in files {
            let matches = match (&matcher, std::str::from_utf8(&file.path)) {
                (Some(matcher), Ok(path)) => matcher.is_match(path),
                _ => file.path == pattern,
            };
            if matches && depth > 0 {
                self.file(file, depth);
            }
        }
    }

    fn file(&mut self, file: &'a Conf, depth: usize) {
        for line in file.text.split(|byte| *byte == b'\n') {
            let Some(left) = self.lines.checked_sub(1) else { return };
            self.lines = left;
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii_start();
            match line.strip_prefix(b"include").filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t")) {
                Some(patterns) => {
                    let words = patterns.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
                    for word in words.collect::<Vec<_>>() {
                        self.include(&absolute(word, &file.path), depth - 1);
                    }
                }
                // Once it named instructions; ldconfig still skips such lines.
                None if line.strip_prefix(b"hwcap").is_some_and(|rest| rest.starts_with(b" ")) => {}
                None => {
                    let path = line.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii_end();
                    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
                    self.found.extend(path.get(..end).filter(|path| !path.is_empty()).map(<[u8]>::to_vec));
                }
            }
        }
    }
}

/// A relative pattern is meant from the folder of the file that has it.
fn absolute(pattern: &[u8], file: &[u8]) -> Vec<u8> {
    let folder = file.iter().rposition(|byte| *byte == b'/').and_then(|end| file.get(..=end)).unwrap_or_default();
    if pattern.starts_with(b"/") { pattern.to_vec() } else { [folder, pattern].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(files: &[(&str, &str)]) -> Vec<String> {
        let conf = |(path, text): &(&str, &str)| Conf { path: path.as_bytes().into(), text: text.as_bytes().into() };
        let files: Vec<_> = files.iter().map(conf).collect();
        configured(&files).into_iter().map(|path| String::from_utf8(path).unwrap()).collect()
    }

    #[test]
    fn debians_own() {
        let found = folders(&[
            ("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n\n"),
            (
                "/etc/ld.so.conf.d/a.conf",
                "# Multiarch support\n/usr/local/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu\n",
            ),
            ("/etc/ld.so.conf.d/b.conf", "  /usr/local/lib/ # here\n\n"),
            ("/etc/ld.so.conf.d/c.txt", "/never\n"),
        ]);
        assert_eq!(found, ["/usr/local/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/local/lib"]);
    }

    #[test]
    fn odd_lines() {
        let found = folders(&[
            ("/etc/ld.so.conf", "include\tmore/*.conf  other\nhwcap 0 nosegneg\n/opt/a=libc6\nincludes\n/\n/opt/b c\n"),
            ("/etc/more/x.conf", "/opt/x\ninclude /etc/ld.so.conf.none"),
            ("/etc/other", "/opt/y//"),
        ]);
        assert_eq!(found, ["/opt/x", "/opt/y", "/opt/a", "includes", "/opt/b c"]);
    }

    #[test]
    fn a_file_that_includes_itself_ends() {
        let count = folders(&[("/etc/ld.so.conf", "/a\ninclude ld.so.conf ld.so.conf\n")]).len();
        assert!((DEEPEST..=MOST_LINES).contains(&count), "{count}");
    }
}
