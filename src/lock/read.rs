//! The text of a lock becomes a [`Lock`], or an error that points at the line. All that later rooms
//! rely on is checked here, once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    io,
    path::Path,
    str::FromStr,
};

use jiff::Timestamp;
use serde::Deserialize;
use toml::{Spanned, value::Datetime};

use super::{Broken, Inputs, Lock, LockError, Locked, LockedBase, LockedTier, Output, SCHEMA, Saved, error::RESTORE};
use crate::{
    archive::{Package, TrustRecord},
    debian::{Architecture, Version, packages::LARGEST_DEB, relation::is_package_name},
    ground::{DiffId, Sha256, Source, Span, nearest, open_regular, printable, read_at_most},
};

/// The longest lock that is read, in bytes: some 80 times that of 300 packages for six architectures.
const LONGEST: u64 = 64 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawLock {
    #[serde(rename = "schema")]
    _schema: i64,
    format_version: u32,
    suites: Vec<Spanned<RawSuite>>,
    #[serde(default)]
    inputs: BTreeMap<Architecture, RawInputs>,
    #[serde(default)]
    outputs: BTreeMap<Architecture, BTreeMap<Spanned<String>, RawOutput>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawSuite {
    id: Spanned<String>,
    inrelease: Option<Sha256>,
    date: Option<Spanned<Datetime>>,
    valid_until: Option<Spanned<Datetime>>,
    signer: Option<Spanned<String>>,
    #[serde(default)]
    unsigned: bool,
    #[serde(default)]
    expired: bool,
    folder: Option<Spanned<String>>,
    index: Option<Sha256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawInputs {
    packages: Vec<RawPackage>,
    #[serde(default)]
    tiers: BTreeMap<Spanned<String>, RawTier>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawPackage {
    name: Spanned<String>,
    version: Spanned<String>,
    architecture: Spanned<String>,
    source: Spanned<String>,
    from: Spanned<String>,
    path: Spanned<String>,
    size: Spanned<u64>,
    sha256: Sha256,
    unpacked: Option<Sha256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawTier {
    question: Sha256,
    packages: Vec<Spanned<String>>,
    #[serde(default)]
    unmet: Vec<Spanned<String>>,
    saved: Option<RawSaved>,
    base: Option<RawBase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBase {
    oci: Spanned<String>,
    digest: DiffId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSaved {
    packages: usize,
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawOutput {
    recipe: Sha256,
    diff_id: DiffId,
    size: u64,
}

impl Lock {
    /// Reads the file; `None` where there is none. `path` is also the name in diagnostics.
    pub fn read(path: &Path) -> Result<Option<Self>, LockError> {
        let file = match open_regular(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LockError::Read { path: path.to_owned(), error }),
        };
        let not_a_lock = |why| LockError::NotALock { path: path.to_owned(), why };
        let bytes = read_at_most(file, LONGEST).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => not_a_lock("longer than 64 MiB"),
            _ => LockError::Read { path: path.to_owned(), error },
        })?;
        let text = String::from_utf8(bytes).map_err(|_| not_a_lock("its text is not UTF-8"))?;
        Self::parse(&Source::new(&path.to_string_lossy(), &text)).map(Some)
    }

    /// Parses the text of a lock.
    pub fn parse(file: &Source) -> Result<Self, LockError> {
        let reader = Reader { file };
        reader.no_conflict()?;
        let table = toml::de::DeTable::parse(&file.text).map_err(|error| reader.toml(&error))?;
        if let Some(schema) = table.get_ref().get("schema") {
            let number = schema.get_ref().as_integer();
            let number = number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
            if let Some(schema_number) = number.filter(|number| *number != i64::from(SCHEMA)) {
                return Err(reader.schema(schema.span(), schema_number));
            }
        }
        let raw = RawLock::deserialize(toml::Deserializer::from(table)).map_err(|error| reader.toml(&error))?;
        reader.lock(raw)
    }
}

struct Reader<'a> {
    file: &'a Source,
}

impl Reader<'_> {
    fn broken(&self, span: Span, message: String, label: impl Into<String>) -> LockError {
        self.broken_with(span, message, label, RESTORE)
    }

    fn broken_with(&self, span: Span, message: String, label: impl Into<String>, help: impl Into<String>) -> LockError {
        let (label, help) = (label.into(), help.into());
        LockError::Broken(Box::new(Broken { file: self.file.clone(), span: span.into(), message, label, help }))
    }

    fn toml(&self, error: &toml::de::Error) -> LockError {
        let span = error.span().unwrap_or(0..0);
        self.broken(span, "the lock cannot be read".to_owned(), printable(error.message().as_bytes()))
    }

    fn schema(&self, span: Span, schema: i64) -> LockError {
        if schema > i64::from(SCHEMA) {
            return LockError::Newer { file: self.file.clone(), span: span.into(), schema };
        }
        self.broken(span, format!("no debstrata ever wrote schema {schema}"), "no such schema")
    }

    /// Both ends of a conflict, as Git and others mark it; `=======` alone is no proof.
    fn no_conflict(&self) -> Result<(), LockError> {
        let mut offset = 0;
        for line in self.file.text.split_inclusive('\n') {
            if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
                let span = (offset..offset + line.trim_end().len()).into();
                return Err(LockError::Conflict { file: self.file.clone(), span });
            }
            offset += line.len();
        }
        Ok(())
    }

    fn lock(&self, raw: RawLock) -> Result<Lock, LockError> {
        let RawLock { _schema, format_version, suites, inputs, outputs } = raw;
        let mut known = BTreeMap::new();
        for suite in suites {
            let span = suite.get_ref().id.span();
            let record = self.suite(suite)?;
            let message = format!("the suite {} is listed twice", shown(&record.id));
            self.once(known.insert(record.id.clone(), record).is_none(), span, message)?;
        }
        let ids: BTreeSet<&str> = known.keys().map(String::as_str).collect();
        let architectures = inputs
            .into_iter()
            .map(|(architecture, raw)| Ok((architecture, self.inputs(architecture, raw, &ids)?)))
            .collect::<Result<_, LockError>>()?;
        let mut all = BTreeMap::new();
        for (architecture, tiers) in outputs {
            for (tier, RawOutput { recipe, diff_id, size }) in tiers {
                all.insert((architecture, self.tier_name(tier)?), Output { recipe, diff_id, size });
            }
        }
        Ok(Lock { format_version, suites: known.into_values().collect(), architectures, outputs: all })
    }

    fn once(&self, first: bool, span: Span, message: String) -> Result<(), LockError> {
        if first {
            return Ok(());
        }
        let help = "a merge may have kept both sides: keep one side of the whole file, then run `debstrata lock`";
        Err(self.broken_with(span, message, "the second time", help))
    }

    fn suite(&self, raw: Spanned<RawSuite>) -> Result<TrustRecord, LockError> {
        let span = raw.span();
        let RawSuite { id, inrelease, date, valid_until, signer, unsigned, expired, folder, index } = raw.into_inner();
        let (inrelease, date) = match (inrelease, date, folder, index) {
            (Some(inrelease), Some(date), None, None) => (inrelease, date),
            (None, None, Some(folder), Some(index)) if signer.is_none() && valid_until.is_none() => {
                let folder = Some(self.plain(folder, "folder")?.into_inner());
                let (id, date) = (self.plain(id, "suite")?.into_inner(), Timestamp::UNIX_EPOCH);
                return Ok(TrustRecord {
                    id,
                    inrelease: index,
                    date,
                    valid_until: None,
                    signer: None,
                    expired: false,
                    folder,
                });
            }
            _ => {
                let message = format!("the suite {} is neither a suite nor a folder", shown(id.get_ref()));
                return Err(self.broken(span, message, "either `inrelease` and `date`, or `folder` and `index`"));
            }
        };
        let signer = match (signer, unsigned) {
            (Some(signer), false) => {
                let fingerprint = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
                let text = signer.get_ref();
                if !matches!(text.len(), 40 | 64) || !text.chars().all(fingerprint) {
                    let message = format!("{} is no fingerprint of a key", shown(text));
                    return Err(self.broken(signer.span(), message, "40 or 64 upper-case hexadecimal digits"));
                }
                Some(signer.into_inner())
            }
            (None, true) => None,
            _ => {
                let message = format!("the suite {} is neither signed nor unsigned", shown(id.get_ref()));
                return Err(self.broken(span, message, "either `signer`, or `unsigned = true`"));
            }
        };
        let id = self.plain(id, "suite")?;
        let date = self.moment(&date)?;
        let valid_until = valid_until.map(|moment| self.moment(&moment)).transpose()?;
        Ok(TrustRecord { id: id.into_inner(), inrelease, date, valid_until, signer, expired, folder: None })
    }

    fn moment(&self, moment: &Spanned<Datetime>) -> Result<Timestamp, LockError> {
        moment.get_ref().to_string().parse().map_err(|_| {
            let message = format!("{} is no moment", moment.get_ref());
            self.broken(moment.span(), message, "such as 2026-11-01T00:00:00Z, with the Z")
        })
    }

    fn inputs(&self, architecture: Architecture, raw: RawInputs, suites: &BTreeSet<&str>) -> Result<Inputs, LockError> {
        let RawInputs { packages: raw_packages, tiers: raw_tiers } = raw;
        let mut packages = BTreeMap::new();
        for raw in raw_packages {
            let span = raw.name.span();
            let locked = self.package(architecture, raw, suites)?;
            let message = format!("the package {} is listed twice for {architecture}", locked.package.name);
            self.once(packages.insert(locked.package.name.clone(), locked).is_none(), span, message)?;
        }
        let mut tiers = BTreeMap::new();
        for (name, RawTier { question, packages: names, unmet, saved, base }) in raw_tiers {
            let mut seen = BTreeSet::new();
            let mut own = Vec::new();
            for name in names {
                let span = name.span();
                let text = name.into_inner().into_boxed_str();
                if !packages.contains_key(&text) {
                    let message = format!("the package {} is not among those of {architecture}", shown(&text));
                    let near = nearest(&text, packages.keys().map(|name| &**name));
                    let label = near.map_or("unknown".to_owned(), |near| format!("unknown; there is {near}"));
                    return Err(self.broken(span, message, label));
                }
                let message = format!("the package {text} is named twice in one tier");
                self.once(seen.insert(text.clone()), span, message)?;
                own.push(text);
            }
            let unmet = unmet.into_iter().map(|text| Ok(self.plain(text, "dependency")?.into_inner()));
            let unmet = unmet.collect::<Result<_, LockError>>()?;
            let base = match base {
                Some(RawBase { oci, digest }) => {
                    Some(LockedBase { oci: self.plain(oci, "image")?.into_inner(), digest: digest.0 })
                }
                None => None,
            };
            let saved = saved.map(|RawSaved { packages, size }| Saved { packages, size });
            tiers.insert(self.tier_name(name)?, LockedTier { question, packages: own, unmet, saved, base });
        }
        Ok(Inputs { packages, tiers })
    }

    fn package(
        &self,
        architecture: Architecture,
        raw: RawPackage,
        suites: &BTreeSet<&str>,
    ) -> Result<Locked, LockError> {
        let RawPackage { name, version, architecture: of, source, from, path, size, sha256, unpacked } = raw;
        let name = self.package_name(name)?;
        let source = self.package_name(source)?;
        let version = self.parsed::<Version>(version, "version")?;
        if of.get_ref() != "all" && of.get_ref() != architecture.name() {
            let message = format!("{name} is for {}, not for {architecture}", shown(of.get_ref()));
            return Err(self.broken(of.span(), message, format!("`all` or `{architecture}`")));
        }
        if !suites.contains(from.get_ref().as_str()) {
            let message = format!("{name} comes from {}, which `suites` does not list", shown(from.get_ref()));
            let near = nearest(from.get_ref(), suites.iter().copied());
            let label = near.map_or("unknown".to_owned(), |near| format!("unknown; there is {near}"));
            return Err(self.broken(from.span(), message, label));
        }
        let path = self.plain(path, "path")?;
        if let Some(why) = strange_path(path.get_ref()) {
            let message = format!("{name} has a path that leaves the archive");
            return Err(self.broken(path.span(), message, why));
        }
        if *size.get_ref() > LARGEST_DEB {
            let message = format!("{name} cannot have {} bytes", size.get_ref());
            return Err(self.broken(size.span(), message, format!("at most {LARGEST_DEB}")));
        }
        let package = Package {
            name,
            version,
            architecture: of.into_inner().into(),
            source,
            from: from.into_inner().into(),
            path: path.into_inner().into(),
            size: size.into_inner(),
            sha256,
        };
        Ok(Locked { package, unpacked })
    }

    /// So that a name is safe to print and to use as a file's name.
    fn package_name(&self, name: Spanned<String>) -> Result<Box<str>, LockError> {
        let text = name.get_ref();
        if !is_package_name(text) {
            let message = format!("{} is no package name", shown(text));
            return Err(self.broken(name.span(), message, "letters, digits and `+-.` (Policy 5.6.1)"));
        }
        Ok(name.into_inner().into())
    }

    fn tier_name(&self, name: Spanned<String>) -> Result<String, LockError> {
        if name.get_ref().contains('/') {
            let message = format!("{} is no tier's name", shown(name.get_ref()));
            return Err(self.broken(name.span(), message, "a tier is called as its manifest, without folder"));
        }
        self.plain(name, "tier").map(Spanned::into_inner)
    }

    /// Neither empty nor with characters that do not show.
    fn plain(&self, text: Spanned<String>, what: &str) -> Result<Spanned<String>, LockError> {
        if text.get_ref().is_empty() || text.get_ref().contains(char::is_control) {
            let message = format!("{} is no {what}", shown(text.get_ref()));
            return Err(self.broken(text.span(), message, "empty, or with control characters"));
        }
        Ok(text)
    }

    fn parsed<T: FromStr<Err: Display>>(&self, text: Spanned<String>, what: &str) -> Result<T, LockError> {
        text.get_ref().parse().map_err(|error: T::Err| {
            let message = format!("{} is no {what}", shown(text.get_ref()));
            self.broken(text.span(), message, printable(error.to_string().as_bytes()))
        })
    }
}

/// Why a path cannot be one inside an archive. What an index may say is taken: `./x` and `a//b` too.
fn strange_path(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("absolute");
    }
    path.split('/').any(|name| name == "..").then_some("a `..`")
}

/// A foreign text in a message: quoted, short, safe to print.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("`{}`", printable(short.as_bytes()))
}
