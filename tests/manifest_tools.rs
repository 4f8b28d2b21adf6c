//! What is made of the tables of keys: JSON Schemas, the canonical form of manifests, first manifests.

use std::{fs, path::Path};

use debstrata::{
    ground::{RootPath, Source},
    manifest::{
        KNOWN, Manifest, ManifestError, Schemas, Topic, account_name_fault, duration, first_text, format,
        keys::{self, Table},
        load, schema, size,
    },
};
use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

/// Shipped manifests, with what they are.
fn shipped() -> Vec<(Manifest, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let mut found = Vec::new();
    for folder in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "toml") {
                let kind = if path.ends_with("archive.toml") { Manifest::Archive } else { Manifest::Tier };
                found.push((kind, path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() >= 24);
    found
}

/// TOML as editors hand it to a schema: moments are strings.
fn as_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(list) => list.iter().map(as_json).collect(),
        toml::Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), as_json(value))).collect(),
        other => serde_json::to_value(other).unwrap(),
    }
}

/// What a value breaks of a schema. A keyword that this does not know fails the test.
fn faults(schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let mut wrong = |what: &str| found.push(format!("{place}: {what}"));
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "title" | "description" | "examples" | "format" => {}
            "type" => {
                let right = match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    other => panic!("the type {other}"),
                };
                if !right {
                    wrong("type");
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    wrong("enum");
                }
            }
            "minimum" | "maximum" => {
                let outside = |number: i64| match word.as_str() {
                    "minimum" => number < rule.as_i64().unwrap(),
                    _ => number > rule.as_i64().unwrap(),
                };
                if value.as_i64().is_some_and(outside) {
                    wrong(word);
                }
            }
            "maxLength" => {
                if value.as_str().is_some_and(|text| text.chars().count() as u64 > rule.as_u64().unwrap()) {
                    wrong(word);
                }
            }
            "pattern" => {
                let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    wrong(word);
                }
            }
            "required" => {
                let lacks = |key: &Value| value.get(key.as_str().unwrap()).is_none();
                if value.is_object() && rule.as_array().unwrap().iter().any(lacks) {
                    wrong(word);
                }
            }
            "anyOf" => {
                let fits = |one: &Value| {
                    let mut inner = Vec::new();
                    faults(one, value, place, &mut inner);
                    inner.is_empty()
                };
                if !rule.as_array().unwrap().iter().any(fits) {
                    wrong(word);
                }
            }
            "items" | "properties" | "additionalProperties" => {}
            other => panic!("the keyword {other}"),
        }
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        list.iter().for_each(|item| faults(items, item, &format!("{place}[]"), found));
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let place = format!("{place}/{key}");
        match (schema.get("properties").and_then(|known| known.get(key)), schema.get("additionalProperties")) {
            (Some(known), _) => faults(known, inner, &place, found),
            (None, Some(Value::Bool(false))) => found.push(format!("{place}: unknown")),
            (None, Some(other)) => faults(other, inner, &place, found),
            (None, None) => {}
        }
    }
}

fn schema_faults(manifest: Manifest, text: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(&schema(manifest)).unwrap();
    let value: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut found = Vec::new();
    faults(&schema, &as_json(&toml::Value::Table(value)), "", &mut found);
    found
}

#[test]
fn the_committed_schemas_are_fresh() {
    for manifest in Manifest::ALL {
        let name = manifest.schema_name();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema").join(&name);
        let committed = fs::read_to_string(path).unwrap_or_default();
        let verb = format!("debstrata schema {}", manifest.name());
        assert!(committed == schema(manifest), "run `{verb} > docs/schema/{name}`");
    }
}

#[test]
fn shipped_manifests_fit_their_schema_and_name_it() {
    for (manifest, path, text) in shipped() {
        assert_eq!(schema_faults(manifest, &text), Vec::<String>::new(), "{path}");
        let line = format!("#:schema ../../docs/schema/{}\n", manifest.schema_name());
        assert!(text.starts_with(&line), "{path} does not begin with {line}");
    }
}

#[test]
fn every_key_that_does_something_is_described() {
    let text = Manifest::ALL.map(schema).concat();
    // Tables that only a key leads to which does nothing yet.
    let later = |name: &str| keys::TIER.key(name).is_some_and(|key| key.status == keys::Status::Later);
    for table in keys::TABLES {
        let foreign = table.keys.iter().any(|key| key.required && key.status == keys::Status::Later)
            || (table.title == "[image]" && later("image"))
            || (table.title == "[variants.NAME]" && later("variants"));
        for key in table.keys.iter().filter(|key| key.status == keys::Status::Now && !foreign) {
            let described = format!("\"description\": {}", json!(key.doc));
            assert!(text.contains(&described), "{} of {}", key.name, table.title);
        }
    }
}

/// What the parser says of a manifest's shape: `Some(true)` all is well, `Some(false)` a key or a type is
/// wrong, `None` something else is.
fn parser_says(manifest: Manifest, text: &str) -> Option<bool> {
    const ARCHIVE: &str = "architectures = ['amd64']\n[[sources]]\nsuites = ['s']\ncomponents = ['c']\nsnapshot = 'debian'\nallow-unsigned = true\n";
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("manifests/d");
    fs::create_dir_all(&folder).unwrap();
    let (archive, tier) = match manifest {
        Manifest::Archive => (text, "summary = 'x'"),
        Manifest::Tier => (ARCHIVE, text),
    };
    fs::write(folder.join("archive.toml"), archive).unwrap();
    fs::write(folder.join("t.toml"), tier).unwrap();
    let errors = match load(root.path()) {
        Ok(_) => return Some(true),
        Err(errors) => errors,
    };
    let shape = |error: &ManifestError| match error {
        ManifestError::Wrong(finding) => {
            matches!(finding.topic, Topic::UnknownKey | Topic::MissingKey | Topic::WrongType | Topic::NotSupported)
                // These needs depend on other keys, which a table of keys does not say.
                && !(finding.topic == Topic::MissingKey && manifest == Manifest::Archive && finding.message.contains("[[sources]]"))
        }
        other => panic!("{other}"),
    };
    if errors.iter().any(shape) { Some(false) } else { None }
}

/// Each table with what is around it, and what it needs besides a key.
fn contexts() -> Vec<(Manifest, &'static Table, &'static str)> {
    let source = "architectures = ['amd64']\n[[sources]]\nsuites = ['s']\ncomponents = ['c']\nsnapshot = 'd'\nallow-unsigned = true\n";
    vec![
        (Manifest::Archive, &keys::SOURCE, source),
        (Manifest::Tier, &keys::TIER, ""),
        (Manifest::Tier, &keys::OMISSION, "[[omit]]\npackage = 'a'\nreason = 'b'\n"),
        (Manifest::Tier, &keys::MISSING, "[[allow-missing]]\nlibrary = 'a'\nreason = 'b'\n"),
        (Manifest::Tier, &keys::SCRIPT, "[[allow-scripts]]\npackage = 'a'\nreason = 'b'\n"),
        (Manifest::Tier, &keys::GLOBS, "[globs]\n"),
        (Manifest::Tier, &keys::PACKAGE_GLOBS, "[globs.package.a]\n"),
        (Manifest::Tier, &keys::USER, "groups = [{ name = 'g', gid = 1 }]\n[[users]]\nname = 'a'\nuid = 1\ngid = 1\n"),
        (Manifest::Tier, &keys::GROUP, "[[groups]]\nname = 'a'\ngid = 1\n"),
        (Manifest::Tier, &keys::DIRECTORY, "[[directories]]\npath = '/a'\n"),
        (Manifest::Tier, &keys::SYMLINK, "[[symlinks]]\npath = '/a'\ntarget = 'b'\n"),
        (Manifest::Tier, &keys::FILE, "[[files]]\npath = '/a'\ntext = 'b'\n"),
        (Manifest::Tier, &keys::GENERATE, "[generate]\n"),
        (Manifest::Tier, &keys::LIMITS, "[limits]\n"),
        (Manifest::Tier, &keys::EXPECT, "[[expect]]\npath = '/a'\n"),
        (Manifest::Tier, &keys::ACCEPT, "[[accept]]\nlint = 'a'\nsubject = 'b'\nreason = 'c'\n"),
    ]
}

#[test]
fn schema_and_parser_refuse_the_same_keys_and_types() {
    let values =
        ["'a'", "'/a'", "7", "1.5", "true", "2026-01-01T00:00:00Z", "['a']", "['/a']", "[7]", "{ a = 1 }", "{}"];
    let (mut taken, mut refused) = (0, 0);
    for (manifest, table, around) in contexts() {
        let names = table.keys.iter().map(|key| key.name).chain(["nonsense"]);
        for name in names {
            for value in values {
                // In place of the one that is there.
                let kept: String = around
                    .lines()
                    .filter(|line| !line.starts_with(&format!("{name} = ")))
                    .map(|line| format!("{line}\n"))
                    .collect();
                let text = format!("{kept}{name} = {value}\n");
                let found = schema_faults(manifest, &text);
                match parser_says(manifest, &text) {
                    Some(true) => assert_eq!(found, Vec::<String>::new(), "{text}"),
                    // JSON has no moments: an editor sees a string.
                    Some(false) if value.starts_with("2026") && found.is_empty() => continue,
                    Some(false) => assert_ne!(found, Vec::<String>::new(), "{text}"),
                    None => continue,
                }
                if found.is_empty() { taken += 1 } else { refused += 1 }
            }
        }
        // Without what it needs.
        for key in table.keys.iter().filter(|key| key.required && !around.is_empty()) {
            let text: String = around
                .lines()
                .filter(|line| !line.starts_with(&format!("{} = ", key.name)))
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(parser_says(manifest, &text), Some(false), "{text}");
            assert_ne!(schema_faults(manifest, &text), Vec::<String>::new(), "{text}");
        }
    }
    assert!(taken > 70 && refused > 600, "{taken} {refused}");
}

/// The schema of one key of a tier's table.
fn accepts(table: &str, key: &str, value: Value) -> bool {
    let schema: Value = serde_json::from_str(&schema(Manifest::Tier)).unwrap();
    let inner = schema.pointer(&format!("/properties/{table}/properties/{key}"));
    let inner = inner.or(schema.pointer(&format!("/properties/{table}/items/properties/{key}")));
    let mut found = Vec::new();
    faults(inner.unwrap_or_else(|| panic!("{table}.{key}")), &value, "", &mut found);
    found.is_empty()
}

#[test]
fn patterns_say_what_values_look_like() {
    let maximal = "a".repeat(32);
    for (table, key, good, bad) in [
        ("limits", "layer-size", vec!["4 MiB", "4MB", " 1 KB ", "0 B"], vec!["4", "4 mib", "1.5 GB", "MiB", "4 MB x"]),
        (
            "directories",
            "path",
            vec!["/", "/a", "/a.b/..c/.d/...", "/é"],
            vec!["", "a", "/a/", "//", "/a//b", "/.", "/..", "/a/../b", "/a\n"],
        ),
        ("globs", "exclude", vec![], vec!["/a"]),
        (
            "users",
            "name",
            vec!["_apt", "a-b", "5-", "1a", &maximal, "système"],
            vec!["", "-a", "65532", "a:b", "a b", "a/b", "a,b", "a\n"],
        ),
        ("users", "gecos", vec!["", "A b, c"], vec!["a\nb", "\u{7f}", "\u{85}"]),
        ("omit", "package", vec!["libstdc++6", "a"], vec!["LibC6", "", "a b", "+a"]),
        ("expect", "type", vec!["file", "directory", "symlink"], vec!["fifo", ""]),
    ] {
        good.into_iter().for_each(|text| assert!(accepts(table, key, json!(text)), "{key}: {text:?}"));
        bad.into_iter().for_each(|text| assert!(!accepts(table, key, json!(text)), "{key}: {text:?}"));
    }
    for (glob, good) in [
        ("/a/**", true),
        ("/", true),
        ("/[a-z]{b,c}/?", true),
        ("a", false),
        ("/a/", false),
        ("//a", false),
        ("", false),
    ] {
        assert_eq!(accepts("globs", "exclude", json!([glob])), good, "{glob}");
    }
    // Octal in TOML is a number in JSON.
    let modes: toml::Table = "a = 0o1777\nb = 0o10000".parse().unwrap();
    assert!(
        accepts("directories", "mode", as_json(&modes["a"])) && !accepts("directories", "mode", as_json(&modes["b"]))
    );
    assert!(accepts("directories", "owner", json!(0)) && accepts("directories", "owner", json!("app")));
    assert!(!accepts("directories", "owner", json!(-1)) && !accepts("directories", "owner", json!(4_294_967_295_u32)));
}

proptest! {
    /// An editor never marks what the parser takes.
    #[test]
    fn what_the_parser_takes_fits_the_pattern(
        text in prop_oneof![
            "[ 0-9]{0,4}( ?(days|d|h|min|weeks|s|MiB|kB|KB|B|GB)[ ]?){0,2}",
            "/[a./é ]{0,12}",
            "[a-z0-9_:.,/ é-]{0,12}",
            "[a-z][a-z0-9+.]{0,5}(:any|:amd64)?(/[a-z/-]{1,6})?( ?\\((<<|=|>=) ?[0-9a-z.~:+-]{1,6}\\))?( ?\\[!?(amd64|any-arm64)\\])?( ?\\| ?[a-z0-9]{1,4})?",
            "\\PC{0,8}",
        ],
    ) {
        let archive: Value = serde_json::from_str(&schema(Manifest::Archive)).unwrap();
        let fits = |schema: &Value| {
            let mut found = Vec::new();
            faults(schema, &json!(text), "", &mut found);
            found.is_empty()
        };
        if duration(&text).is_ok() {
            prop_assert!(fits(archive.pointer("/properties/sources/items/properties/max-age").unwrap()));
        } else if !text.contains(|c: char| c.is_ascii_digit()) {
            prop_assert!(!fits(archive.pointer("/properties/sources/items/properties/max-age").unwrap()));
        }
        if size(&text).is_ok() {
            prop_assert!(accepts("limits", "layer-size", json!(text)));
        }
        if !text.contains(char::is_control) && text.len() < 200 {
            prop_assert_eq!(RootPath::from_absolute(text.as_bytes()).is_ok(), accepts("directories", "path", json!(text)));
        }
        if account_name_fault(&text).is_none() {
            prop_assert!(accepts("users", "name", json!(text)));
        }
        let wish = debstrata::debian::relation::parse_relation(&text);
        if wish.is_ok_and(|wish| wish.0.iter().all(|one| one.profiles.is_empty() && *one.name == one.name.to_ascii_lowercase())) {
            let tier: Value = serde_json::from_str(&schema(Manifest::Tier)).unwrap();
            prop_assert!(fits(tier.pointer("/properties/packages/items").unwrap()), "{text:?}");
        }
    }
}

fn formatted(manifest: Manifest, text: &str) -> String {
    format(manifest, &Source::new("t.toml", text)).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"))
}

#[test]
fn shipped_manifests_are_in_their_canonical_form() {
    for (manifest, path, text) in shipped() {
        assert_eq!(formatted(manifest, &text), text, "{path}: run `debstrata fmt`");
    }
}

#[test]
fn the_canonical_form() {
    for (manifest, text, expected) in [
        (Manifest::Tier, "", "\n"),
        (Manifest::Tier, "packages=['b',\"a\"  ,]\nparent   =  'x'", "parent = 'x'\npackages = ['b', \"a\"]\n"),
        // The head stays at the top; a comment goes with its key.
        (
            Manifest::Tier,
            "#:schema x\n# About the file.\n\n# Of packages.\npackages = []\nsummary = 'x' # said\n",
            "#:schema x\n# About the file.\n\nsummary = 'x' # said\n# Of packages.\npackages = []\n",
        ),
        (Manifest::Tier, "#:schema x\npackages = []\nparent = 'x'\n", "#:schema x\nparent = 'x'\npackages = []\n"),
        // Blank lines, indentation, line ends.
        (
            Manifest::Tier,
            "\n\nsummary = 'x'   \r\n\r\n\r\n  [limits]\n\n\n    packages = 3\n\n\n# end  \n\n",
            "summary = 'x'\n\n[limits]\n\npackages = 3\n\n# end\n",
        ),
        (Manifest::Tier, "summary = 'x'\n[limits]\npackages = 3", "summary = 'x'\n\n[limits]\npackages = 3\n"),
        // The order of tables is the author's, that of keys is ours, that of free keys means something.
        (
            Manifest::Tier,
            "[[users]]\ngid = 1\nname = 'a'\nuid = 1\n[[groups]]\ngid = 1\nname = 'a'\n",
            "[[users]]\nname = 'a'\nuid = 1\ngid = 1\n\n[[groups]]\nname = 'a'\ngid = 1\n",
        ),
        (
            Manifest::Tier,
            "[generate]\nos-release = {NAME='b',ID='a'}\n[generate.os-release2]\nz = 1\na = 2\n",
            "[generate]\nos-release = { NAME = 'b', ID = 'a' }\n\n[generate.os-release2]\nz = 1\na = 2\n",
        ),
        (Manifest::Tier, "omit=[{reason='b',package='a'}]", "omit = [{ package = 'a', reason = 'b' }]\n"),
        // Over several lines the breaks and their comments stay.
        (
            Manifest::Tier,
            "packages = [\n  'b', # why\n\n    'a',\n]\nsummary='x'",
            "summary = 'x'\npackages = [\n  'b', # why\n\n    'a',\n]\n",
        ),
        (Manifest::Tier, "packages = [\n{reason='b',package='a'}]", "packages = [\n{ reason = 'b', package = 'a' }]\n"),
        // What is spelt in its own way is left so.
        (
            Manifest::Tier,
            "[[files]]\ntext = '''\na  \n\n\n#b'''\npath='/a'\nmode = 0o644",
            "[[files]]\npath = '/a'\ntext = '''\na  \n\n\n#b'''\nmode = 0o644\n",
        ),
        (Manifest::Tier, "generate.locales = []\nsummary='x'", "generate.locales = []\nsummary = 'x'\n"),
        (Manifest::Archive, "sources=[]\narchitectures=['amd64']", "architectures = ['amd64']\nsources = []\n"),
        // Keys that nobody knows come last.
        (Manifest::Tier, "odd = 1\nsummary = 'x'", "summary = 'x'\nodd = 1\n"),
    ] {
        let once = formatted(manifest, text);
        assert_eq!(once, expected, "{text}");
        assert_eq!(formatted(manifest, &once), once, "{text}");
    }
    let errors = format(Manifest::Tier, &Source::new("t.toml", "a = ")).unwrap_err();
    assert!(matches!(&errors[..], [ManifestError::Wrong(finding)] if finding.topic == Topic::Syntax), "{errors:?}");
}

/// Every comment of a text that has no `#` elsewhere.
fn comments(text: &str) -> Vec<String> {
    let mut all: Vec<_> = text.lines().filter_map(|line| Some(line.split_once('#')?.1.trim().to_owned())).collect();
    all.sort();
    all
}

/// A manifest's text, its keys in any order, white space and comments anywhere.
fn any_manifest() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("summary='x'".to_owned()),
        Just("parent = \"p\"".to_owned()),
        Just("packages = [ 'a','b' ]".to_owned()),
        Just("packages = [\n 'a', # one\n # two\n 'b'\n ]".to_owned()),
        Just("omit=[{reason='r',package='a'}, { package = \"b\" , reason = 'r' }]".to_owned()),
        Just("omit = [\n  { reason = 'r', package = 'a' }, # three\n]".to_owned()),
        Just("dependencies  =  'none'".to_owned()),
        Just("generate.ld-so-cache = true".to_owned()),
        Just("odd = { z = 1, a = [ 2 ] }".to_owned()),
    ];
    let table = prop_oneof![
        Just("[globs]\nexclude=['/a']\ninclude = ['/b']".to_owned()),
        Just("[globs.package.a]\nexclude=['/a']".to_owned()),
        Just("[[users]]\ngid=1\nuid=2\nname='a'".to_owned()),
        Just("[limits] # five\npackages=1".to_owned()),
        Just("[[files]]\ntext = '''\nx  \n\n\ny'''\npath='/a'".to_owned()),
    ];
    let gap = || {
        prop_oneof![Just("\n"), Just("\n\n\n"), Just("  \n\t"), Just("\n# note\n"), Just(" # behind\n\n# above\n  ")]
    };
    let lines = |of: BoxedStrategy<String>| prop::collection::vec((of, gap()), 0..5);
    (
        prop_oneof![Just(""), Just("#:schema s\n"), Just("# head\n\n"), Just("\n\n")],
        lines(line.boxed()),
        lines(table.boxed()),
    )
        .prop_map(|(head, lines, tables)| {
            let mut text = head.to_owned();
            lines.into_iter().chain(tables).for_each(|(line, gap)| {
                text.push_str(&line);
                text.push_str(gap);
            });
            text
        })
        .prop_filter("a key stands there once", |text| text.parse::<toml::Table>().is_ok())
}

proptest! {
    #[test]
    fn formatting_again_changes_nothing_and_all_comments_stay(text in any_manifest()) {
        let once = formatted(Manifest::Tier, &text);
        prop_assert_eq!(&formatted(Manifest::Tier, &once), &once);
        prop_assert_eq!(once.parse::<toml::Table>().unwrap(), text.parse::<toml::Table>().unwrap());
        prop_assert_eq!(comments(&once), comments(&text));
        prop_assert!(once.lines().all(|line| line == line.trim_end() || line == "x  "));
    }

    #[test]
    fn any_text_is_formatted_or_refused(text in "[a-c.=\\[\\]{}'\"#\\n, 1\\r]{0,40}") {
        if let Ok(once) = format(Manifest::Tier, &Source::new("t.toml", &text)) {
            prop_assert_eq!(formatted(Manifest::Tier, &once), once);
        }
    }
}

#[test]
fn first_manifests_are_read_without_a_warning_and_in_their_canonical_form() {
    let schemas = Schemas { in_docs: false };
    let root = tempfile::tempdir().unwrap();
    for known in &KNOWN {
        let mut files = known.sketch(&schemas);
        let packages = ["curl (>= 8)".to_owned(), "libatomic1 [arm64]".to_owned()];
        for (name, packages) in [("app", &packages[..]), ("empty", &[])] {
            let text = first_text(name, Some("base"), packages, &schemas);
            let path = format!("manifests/{}/{name}.toml", known.name);
            files.push(debstrata::manifest::Sketch { path, bytes: text.into_bytes() });
        }
        for file in schemas.sketch().into_iter().chain(files) {
            let path = root.path().join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &file.bytes).unwrap();
            if file.path.ends_with(".toml") {
                let kind = if file.path.ends_with("archive.toml") { Manifest::Archive } else { Manifest::Tier };
                let text = String::from_utf8(file.bytes).unwrap();
                assert_eq!(formatted(kind, &text), text, "{}", file.path);
                assert_eq!(schema_faults(kind, &text), Vec::<String>::new(), "{}", file.path);
                let line = text.lines().next().unwrap();
                let named = path.parent().unwrap().join(line.strip_prefix("#:schema ").unwrap());
                assert!(fs::canonicalize(named).is_ok(), "{line}");
            }
        }
    }
    let loaded = load(root.path()).unwrap();
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.project.distributions.len(), KNOWN.len());
}
