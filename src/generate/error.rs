//! Why a generated file cannot be made.

use std::io;

use miette::SourceSpan;

use crate::ground::{Class, Failure, RootPath, Source};

/// Why a generated file cannot be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum GenerateError {
    /// The bundle is made from a package that the tier does not have.
    #[error("ca-certificates is not among the packages of this tier")]
    #[diagnostic(
        code(debstrata::generate::no_ca_certificates),
        help(
            "add \"ca-certificates\" to `packages`; [globs.package.ca-certificates] can leave its own files out. To add certificates of your own to the parents' bundle, put them below /usr/local/share/ca-certificates as NAME.crt"
        )
    )]
    NoCaCertificates {
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// The key.
        #[label("asks for the bundle")]
        span: SourceSpan,
    },
    /// A certificate of one's own that would not be read.
    #[error("{path} ({origin}) is no certificate in PEM")]
    #[diagnostic(
        code(debstrata::generate::no_pem),
        help("convert it: openssl x509 -inform der -in FILE -out FILE.crt")
    )]
    NoPem {
        /// The path.
        path: RootPath,
        /// Who put it there.
        origin: String,
    },
    /// Something below the certificates' folder is neither file nor folder.
    #[error("{path} of {package} is {kind}, not a certificate file")]
    #[diagnostic(
        code(debstrata::generate::odd_certificate),
        help(
            "the bundle is made of regular files below /usr/share/ca-certificates; use another version of the package"
        )
    )]
    OddCertificate {
        /// The path.
        path: RootPath,
        /// The package.
        package: String,
        /// What it is.
        kind: &'static str,
    },
    /// The certificates are larger than any bundle.
    #[error("the certificates of {package} have {size} bytes, more than the {limit} that are taken")]
    #[diagnostic(
        code(debstrata::generate::large_bundle),
        help("use another version of the package, or put the bundle into [[files]]")
    )]
    LargeBundle {
        /// The package.
        package: String,
        /// Bytes.
        size: u64,
        /// Bytes.
        limit: u64,
    },
    /// Unpacked data cannot be read.
    #[error("{path} of {package} cannot be read from the cache")]
    #[diagnostic(code(debstrata::generate::read), help("delete cache/derived and run again"))]
    Read {
        /// The path.
        path: RootPath,
        /// The package.
        package: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The cache of libraries is its libc's, and there is none.
    #[error("no package of this chain has a libc, so nothing would read /etc/ld.so.cache")]
    #[diagnostic(
        code(debstrata::generate::no_libc),
        help("add \"libc6\" to `packages` of this tier or of a parent, or leave `ld-so-cache` out")
    )]
    NoLibc {
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// The key.
        #[label("asks for the cache")]
        span: SourceSpan,
    },
    /// A folder that an old ldconfig treats in a way of its own.
    #[error("{path} has libraries that ldconfig before glibc 2.37 enters for some processors only")]
    #[diagnostic(
        code(debstrata::generate::legacy_folder),
        help("exclude the folder in [globs]; glibc-hwcaps is what took its place")
    )]
    LegacyFolder {
        /// The folder.
        path: RootPath,
    },
    /// A value cannot stand in the file.
    #[error("{what} cannot be written to {path}: {why}")]
    #[diagnostic(code(debstrata::generate::value), help("change the value"))]
    Value {
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// Where it is declared.
        #[label("declared here")]
        span: SourceSpan,
        /// Which value, such as `the field NAME`.
        what: String,
        /// The generated file.
        path: &'static str,
        /// In a sentence without a full stop.
        why: &'static str,
    },
    /// What the certificates hold cannot be read.
    #[error("the certificates cannot be used: {why}")]
    #[diagnostic(
        code(debstrata::generate::certificates),
        help(
            "use another version of ca-certificates, or set `java-keystore = false` and `ca-certificates = \"bundle\"` in [generate]"
        )
    )]
    Certificates {
        /// In a sentence without a full stop.
        why: &'static str,
    },
    /// No such time zone.
    #[error("the tree has no time zone {zone:?}")]
    #[diagnostic(
        code(debstrata::generate::no_zone),
        help(
            "zones are named as below /usr/share/zoneinfo, such as Europe/Berlin; tzdata has them, older names tzdata-legacy"
        )
    )]
    NoZone {
        /// The zone.
        zone: String,
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// The key.
        #[label("asked for here")]
        span: SourceSpan,
    },
    /// No such locale.
    #[error("the locale {locale:?} cannot be had: {why}")]
    #[diagnostic(
        code(debstrata::generate::no_locale),
        help("C.utf8 is in libc-bin; others are in the package locales-all")
    )]
    NoLocale {
        /// The locale.
        locale: String,
        /// In a sentence without a full stop.
        why: &'static str,
        /// The tier's manifest.
        #[source_code]
        source_code: Source,
        /// The key.
        #[label("asked for here")]
        span: SourceSpan,
    },
    /// A package has no control file, or a name that is no file name.
    #[error("{package} cannot be entered into /var/lib/dpkg/status.d: {why}")]
    #[diagnostic(
        code(debstrata::generate::status),
        help("use another version of the package, or set `dpkg-status = false` in [generate]")
    )]
    Status {
        /// The package.
        package: String,
        /// In a sentence without a full stop.
        why: &'static str,
    },
}

impl Failure for GenerateError {
    fn class(&self) -> Class {
        match self {
            GenerateError::Read { .. } => Class::World,
            _ => Class::User,
        }
    }
}
