//! From names in copyright files to identifiers of the SPDX licence list, by `names.toml`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    identifiers: String,
    exception_identifiers: String,
    short_names: BTreeMap<String, String>,
    versioned: BTreeMap<String, String>,
    exceptions: BTreeMap<String, BTreeMap<String, String>>,
}

/// The table as it is asked.
struct Table {
    /// By name in small letters.
    identifiers: BTreeMap<String, String>,
    exception_identifiers: BTreeMap<String, String>,
    versioned: BTreeMap<String, String>,
    exceptions: BTreeMap<String, BTreeMap<String, String>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let written: Written = toml::from_str(include_str!("names.toml")).expect("the table is tested");
    let words = |text: &str| text.split_whitespace().map(|id| (id.to_ascii_lowercase(), id.to_owned())).collect();
    let mut identifiers: BTreeMap<String, String> = words(&written.identifiers);
    identifiers.extend(written.short_names);
    Table {
        identifiers,
        exception_identifiers: words(&written.exception_identifiers),
        versioned: written.versioned,
        exceptions: written.exceptions,
    }
});

/// What the licence list calls a licence that a copyright file calls `name`, such as
/// `GPL-2.0-or-later WITH Libtool-exception` for `GPL-2+ with Libtool exception`. `None` where the name
/// alone does not say it.
pub(super) fn spdx(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let Some((licence, exception)) = name.split_once(" with ") else { return plain(&name) };
    let licence = plain(licence.trim())?;
    let words: Vec<_> = exception.split_whitespace().collect();
    let listed = match words.as_slice() {
        [one] => TABLE.exception_identifiers.get(*one),
        _ => None,
    };
    let listed = listed.or_else(|| {
        let words = words.strip_suffix(&["exception"]).unwrap_or(&words);
        let by_licence = TABLE.exceptions.get(&words.join(" "))?;
        by_licence.iter().find(|(start, _)| licence.starts_with(start.as_str())).map(|(_, id)| id)
    });
    Some(format!("{licence} WITH {}", listed?))
}

/// The identifier of a name in small letters without an exception.
fn plain(name: &str) -> Option<String> {
    let (bare, suffix) = [("+", "or-later"), ("-or-later", "or-later"), ("-only", "only")]
        .into_iter()
        .find_map(|(end, suffix)| Some((name.strip_suffix(end)?, suffix)))
        .unwrap_or((name, "only"));
    // `GPL-2.0.0` is `GPL-2`.
    let mut shortest = bare;
    while let Some(shorter) = shortest.strip_suffix(".0") {
        shortest = shorter;
    }
    if let Some(id) = TABLE.versioned.get(shortest) {
        return Some(format!("{id}-{suffix}"));
    }
    TABLE.identifiers.get(name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_table_knows() {
        for (name, expected) in [
            ("GPL-2+", Some("GPL-2.0-or-later")),
            ("GPL-2", Some("GPL-2.0-only")),
            ("GPL-2.0.0+", Some("GPL-2.0-or-later")),
            ("gpl3+", Some("GPL-3.0-or-later")),
            ("GPL-2.0-or-later", Some("GPL-2.0-or-later")),
            ("LGPL-2.1", Some("LGPL-2.1-only")),
            ("GFDL-NIV-1.3+", Some("GFDL-1.3-no-invariants-or-later")),
            ("Expat", Some("MIT")),
            ("BSD-3-clause", Some("BSD-3-Clause")),
            ("OpenLDAP-2.8", Some("OLDAP-2.8")),
            ("zlib", Some("Zlib")),
            ("GPL-2+ with Libtool exception", Some("GPL-2.0-or-later WITH Libtool-exception")),
            ("GPL-2 with Linux-syscall-note exception", Some("GPL-2.0-only WITH Linux-syscall-note")),
            ("GPL-2 with Classpath-exception-2.0", Some("GPL-2.0-only WITH Classpath-exception-2.0")),
            ("GPL-3+ with Autoconf generic exception", Some("GPL-3.0-or-later WITH Autoconf-exception-generic-3.0")),
            // Which of the list's five it is, the name does not say.
            ("GPL-2+ with Autoconf exception", None),
            ("Expat with Libtool exception", None),
            ("GPL", None),
            ("LPGL-2.1+", None),
            ("public-domain", None),
            ("Apache-2.0+", None),
            ("", None),
            (" with ", None),
        ] {
            assert_eq!(spdx(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_table_gives_identifiers_of_the_list_only() {
        let listed: Vec<&String> =
            TABLE.identifiers.iter().filter(|(name, id)| **name == id.to_ascii_lowercase()).map(|(_, id)| id).collect();
        for id in TABLE.identifiers.values() {
            assert!(listed.contains(&id), "{id}");
        }
        for id in TABLE.versioned.values() {
            for suffix in ["only", "or-later"] {
                assert!(listed.contains(&&format!("{id}-{suffix}")), "{id}-{suffix}");
            }
        }
        let exceptions: Vec<&String> = TABLE.exception_identifiers.values().collect();
        for id in TABLE.exceptions.values().flat_map(BTreeMap::values) {
            assert!(exceptions.contains(&id), "{id}");
        }
    }
}
