//! dpkg's own lists of what is installed: /var/lib/dpkg/status (dpkg-query(1)), and the files of
//! status.d that images without dpkg have in its place.

use super::{
    Version,
    deb822::Cursor,
    packages::{Record, stanzas},
    relation::is_package_name,
};
use crate::ground::{Sha256, printable};

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Binary package name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// `all` or an architecture.
    pub architecture: String,
    /// Source package name, without its version.
    pub source: String,
    /// The fields that resolution and evidence need, as a stanza without an empty line at its end.
    pub control: String,
}

/// What is kept of a stanza.
const KEPT: [&str; 17] = [
    "Package",
    "Source",
    "Version",
    "Architecture",
    "Multi-Arch",
    "Essential",
    "Priority",
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Provides",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Maintainer",
    "Homepage",
];

/// The packages of a list that are installed (wholly: dpkg knows other states too), in its order. A stanza
/// without `Status` is one of status.d: installed.
///
/// # Errors
/// In words, with the line or the package.
pub fn installed(text: &[u8]) -> Result<Vec<Installed>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut found = Vec::new();
    let mut cursor = Cursor::new(text);
    while cursor.stanza() {
        let line = cursor.line();
        let (mut control, mut is_installed) = (String::new(), true);
        loop {
            let field = cursor.field().map_err(|error| format!("line {}: {}", error.line, error.problem))?;
            let Some(field) = field else { break };
            if field.name.eq_ignore_ascii_case("Status") {
                let state = field.value.split_ascii_whitespace().nth(2).unwrap_or_default();
                is_installed = ["installed", "triggers-awaited", "triggers-pending"].contains(&state);
            } else if let Some(name) = KEPT.iter().find(|kept| field.name.eq_ignore_ascii_case(kept)) {
                control.push_str(&format!("{name}: {}\n", field.value));
            }
        }
        if is_installed && !control.is_empty() {
            found.push(one(control, line)?);
        }
    }
    Ok(found)
}

fn one(control: String, line: usize) -> Result<Installed, String> {
    let text = indexed(&control);
    let record = match stanzas(text.as_bytes()).map(|mut all| all.next()) {
        Ok(Some(Ok(stanza))) => stanza.record,
        Ok(Some(Err(error))) | Err(error) => {
            let package = error.package.map(|name| format!(" (package {name})")).unwrap_or_default();
            return Err(format!("line {line}{package}: {}", error.problem));
        }
        Ok(None) => return Err(format!("line {line}: there is no package")),
    };
    let Record { package, version, architecture, source, .. } = record;
    let fail = |what: &str| format!("line {line} (package {}): {what}", printable(package.as_bytes()));
    if !is_package_name(package) || !is_package_name(source) {
        return Err(fail("no package can be called so"));
    }
    if let Some(Err(problem)) = record.provided().find(Result::is_err) {
        return Err(fail(&problem));
    }
    Ok(Installed {
        name: package.to_owned(),
        version: version.parse().map_err(|_| fail("its version is none"))?,
        architecture: architecture.to_owned(),
        source: source.to_owned(),
        control,
    })
}

/// The stanza as a Packages file would have it. There is no .deb: its size is 0, and in place of its SHA-256
/// stands that of the stanza.
fn indexed(control: &str) -> String {
    format!("{control}Filename: none\nSize: 0\nSHA256: {}\n\n", Sha256::of(control.as_bytes()))
}

impl Installed {
    /// As a Packages file would have it, with an empty line at its end.
    pub fn stanza(&self) -> String {
        indexed(&self.control)
    }

    /// What stands there in place of a .deb's SHA-256.
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(self.control.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &str = "\
Package: libc6
Status: install ok installed
Priority: optional
Architecture: amd64
Multi-Arch: same
Source: glibc
Version: 2.41-12
Replaces: libc6-amd64
Depends: libgcc-s1,
 libcrypt1
Conffiles:
 /etc/ld.so.conf.d/x.conf 1234
Description: GNU C Library
 long

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: half
Status: install ok half-configured
Architecture: all
Version: 1
";

    #[test]
    fn installed_packages_are_found() {
        let found = installed(STATUS.as_bytes()).unwrap();
        let names: Vec<_> = found.iter().map(|one| (&*one.name, one.version.as_str(), &*one.source)).collect();
        assert_eq!(names, [("libc6", "2.41-12", "glibc")]);
        assert!(!found[0].control.contains("Conffiles") && found[0].control.contains("libcrypt1"));
        let again = installed(found[0].control.as_bytes()).unwrap();
        assert_eq!(again, found, "status.d has no Status");
    }

    #[test]
    fn what_is_no_list_is_told() {
        for (text, expected) in [
            ("Package: a\n", "line 1 (package a)"),
            ("Package: a\nVersion: 1\nArchitecture: all\nProvides: ((\n", "package a"),
            ("Package: ../a\nVersion: 1\nArchitecture: all\n", "line 1"),
            ("nonsense\n", "line 1"),
        ] {
            let error = installed(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = installed(&bytes);
        }
    }
}
