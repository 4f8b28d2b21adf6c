//! Every key that a manifest may have: name, kind, meaning, and whether it does something already.
//! Reading, messages and the test of docs/manifest.md follow these tables.

/// A table of a manifest and its keys.
#[derive(Debug)]
pub struct Table {
    /// How messages and the docs call it.
    pub title: &'static str,
    /// Its keys, in the order of the docs.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it does something already.
    pub status: Status,
    /// What it means, in one line.
    pub doc: &'static str,
}

/// Whether a key does something already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Now,
    /// Checked for its type, then refused as not supported yet.
    Later,
}

/// What a key takes.
#[derive(Debug)]
pub enum Kind {
    /// A string of any text.
    Text,
    /// A string without control characters.
    Line,
    /// `true` or `false`.
    Bool,
    /// A whole number, 32 bits with a sign.
    Integer,
    /// A file mode, twelve bits, written as TOML octal.
    Mode,
    /// A numeric user or group id.
    Id,
    /// A TOML datetime with an offset.
    Moment,
    /// A string such as `7 days`.
    Duration,
    /// A string such as `4 MiB`.
    Size,
    /// An absolute, plain path inside the tier.
    Path,
    /// An absolute glob.
    Glob,
    /// A package wish, Debian's syntax.
    Wish,
    /// A Debian architecture.
    Architecture,
    /// A package's name alone.
    Package,
    /// A user's or group's name.
    Account,
    /// One of these strings, each with its own status.
    Choice(&'static [(&'static str, Status)]),
    /// A list of one kind.
    List(&'static Kind),
    /// A table of known keys.
    Table(&'static Table),
    /// A table whose keys are free.
    Map(&'static Kind),
    /// The first of these whose TOML type fits.
    Either(&'static [Kind]),
}

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, status: Status::Now, doc }
}

const fn needed(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: true, status: Status::Now, doc }
}

/// `archive.toml`
pub static ARCHIVE: Table = Table {
    title: "archive.toml",
    keys: &[
        key("summary", Kind::Line, "One line for people."),
        needed("architectures", Kind::List(&Kind::Architecture), "What tiers can be composed for, in Debian's names."),
        key("timestamp", Kind::Moment, "The mtime of every entry, a whole second; default 1970-01-01T00:00:00Z."),
        key("merged-usr", Kind::Bool, "Whether /bin, /lib ... are links into /usr; default true."),
        needed("sources", Kind::List(&Kind::Table(&SOURCE)), "Where packages come from."),
    ],
};

/// `[[sources]]`
pub static SOURCE: Table = Table {
    title: "[[sources]]",
    keys: &[
        // Needed but where `folder` is: its reader says so.
        key(
            "suites",
            Kind::List(&Kind::Line),
            "As in apt's Suites, at least one; \"./\" and the like: a flat repository. Not beside `folder`.",
        ),
        key("components", Kind::List(&Kind::Line), "As in apt's Components, at least one; not for flat repositories."),
        key(
            "signed-by",
            Kind::Line,
            "The keyring, a file below manifests/, seen from archive.toml; needed unless `allow-unsigned`.",
        ),
        key(
            "snapshot",
            Kind::Line,
            "The archive's name at the snapshot service and for --mirror; this or `uris` is needed.",
        ),
        key("uris", Kind::List(&Kind::Line), "Mirrors to use instead of the host's: http, https, file."),
        key("snapshot-at", Kind::Moment, "Take everything as it was at this moment."),
        key("max-age", Kind::Duration, "How old a Release may be, with or without a Valid-Until."),
        key(
            "architectures",
            Kind::List(&Kind::Architecture),
            "Use this source for these only; default: all of the archive's.",
        ),
        key("priority", Kind::Integer, "A source of a higher one wins over any version of a lower one; default 500."),
        key("allow-unsigned", Kind::Bool, "Accept metadata that nobody signed; default false."),
        key("allow-expired", Kind::Bool, "Accept metadata past its Valid-Until; default false."),
        key("folder", Kind::Line, "A folder of local .debs as the source, seen from archive.toml."),
    ],
};

/// A tier's manifest.
pub static TIER: Table = Table {
    title: "a tier",
    keys: &[
        key("summary", Kind::Line, "One line for people."),
        key(
            "parent",
            Kind::Either(&[Kind::Line, Kind::Table(&FOREIGN)]),
            "The tier below this one, or an image that others made; without it, a root tier.",
        ),
        key("packages", Kind::List(&Kind::Wish), "What this tier adds; `name (= version)` and `name/suite` pin."),
        key(
            "dependencies",
            Kind::Choice(&[("all", Status::Now), ("none", Status::Now), ("linked", Status::Now)]),
            "Which dependencies follow: \"all\" (default), what \"linked\" files need, or \"none\".",
        ),
        key("omit", Kind::List(&Kind::Table(&OMISSION)), "Dependencies that are left out on purpose."),
        key("allow-missing", Kind::List(&Kind::Table(&MISSING)), "Libraries that may be missing."),
        key("allow-scripts", Kind::List(&Kind::Table(&SCRIPT)), "Maintainer scripts that need no handling."),
        key("globs", Kind::Table(&GLOBS), "Which files of packages are kept."),
        key("users", Kind::List(&Kind::Table(&USER)), "Lines of /etc/passwd."),
        key("groups", Kind::List(&Kind::Table(&GROUP)), "Lines of /etc/group."),
        key("directories", Kind::List(&Kind::Table(&DIRECTORY)), "Directories of your own."),
        key("symlinks", Kind::List(&Kind::Table(&SYMLINK)), "Symbolic links of your own."),
        key("files", Kind::List(&Kind::Table(&FILE)), "Files of your own."),
        key("archives", Kind::List(&Kind::Table(&TARBALL)), "Tarballs by hash."),
        key("generate", Kind::Table(&GENERATE), "What maintainer scripts would have made."),
        key("image", Kind::Table(&IMAGE), "The image's config."),
        key("variants", Kind::Map(&Kind::Table(&VARIANT)), "Other configs or one more layer."),
        key("limits", Kind::Table(&LIMITS), "Bounds on what comes out."),
        key("expect", Kind::List(&Kind::Table(&EXPECT)), "Checks of the rootfs at every build."),
        key("accept", Kind::List(&Kind::Table(&ACCEPT)), "Findings of `check` that are known."),
    ],
};

/// `parent = { oci = .. }`
pub static FOREIGN: Table = Table {
    title: "parent",
    keys: &[
        needed("oci", Kind::Line, "An OCI layout (oci:PATH[:REF]) or a registry's reference."),
        // Needed: its reader says how to find it.
        key("digest", Kind::Line, "The digest of its index or manifest, sha256:...; needed."),
    ],
};

/// One entry of `omit`.
pub static OMISSION: Table = Table {
    title: "omit",
    keys: &[
        needed("package", Kind::Package, "The package that is not followed."),
        needed("reason", Kind::Line, "Why, for readers and reports."),
    ],
};

/// One entry of `allow-missing`.
pub static MISSING: Table = Table {
    title: "allow-missing",
    keys: &[
        needed("library", Kind::Line, "The library's name, such as libfoo.so.1."),
        needed("reason", Kind::Line, "Why, for readers and reports."),
    ],
};

/// One entry of `allow-scripts`.
pub static SCRIPT: Table = Table {
    title: "allow-scripts",
    keys: &[
        needed("package", Kind::Package, "Whose scripts."),
        needed("reason", Kind::Line, "Why, for readers and reports."),
    ],
};

/// `[globs]`
pub static GLOBS: Table = Table {
    title: "[globs]",
    keys: &[
        key("include", Kind::List(&Kind::Glob), "Kept where one of these matches; default [\"/**\"]."),
        key("exclude", Kind::List(&Kind::Glob), "And none of these does; default none."),
        key("package", Kind::Map(&Kind::Table(&PACKAGE_GLOBS)), "Rules for single packages."),
    ],
};

/// `[globs.package.NAME]`
pub static PACKAGE_GLOBS: Table = Table {
    title: "[globs.package.NAME]",
    keys: &[
        key("include", Kind::List(&Kind::Glob), "Replaces the tier's for this package."),
        key("exclude", Kind::List(&Kind::Glob), "Replaces the tier's for this package."),
    ],
};

/// `[[users]]`
pub static USER: Table = Table {
    title: "[[users]]",
    keys: &[
        needed("name", Kind::Account, "The login name."),
        needed("uid", Kind::Id, "The numeric user id."),
        needed("gid", Kind::Id, "The primary group's numeric id, of a group in this chain."),
        key("gecos", Kind::Line, "The comment field; default empty."),
        key("home", Kind::Path, "The home, which is made; default /nonexistent, which is not."),
        key("home-mode", Kind::Mode, "The home's mode; default 0o700."),
        key("shell", Kind::Path, "The login shell; default /sbin/nologin."),
    ],
};

/// `[[groups]]`
pub static GROUP: Table = Table {
    title: "[[groups]]",
    keys: &[
        needed("name", Kind::Account, "The group's name."),
        needed("gid", Kind::Id, "The numeric group id."),
        key("members", Kind::List(&Kind::Account), "Login names of this chain; default none."),
    ],
};

/// `[[directories]]`
pub static DIRECTORY: Table = Table {
    title: "[[directories]]",
    keys: &[
        needed("path", Kind::Path, "Where it is."),
        key("mode", Kind::Mode, "Default 0o755."),
        key("owner", Kind::Either(&[Kind::Id, Kind::Account]), "A user's name or number; default 0."),
        key("group", Kind::Either(&[Kind::Id, Kind::Account]), "A group's name or number; default 0."),
    ],
};

/// `[[symlinks]]`
pub static SYMLINK: Table = Table {
    title: "[[symlinks]]",
    keys: &[
        needed("path", Kind::Path, "Where it is."),
        needed("target", Kind::Line, "What the link says, as it is stored."),
    ],
};

/// `[[files]]`
pub static FILE: Table = Table {
    title: "[[files]]",
    keys: &[
        needed("path", Kind::Path, "Where it is."),
        key("text", Kind::Text, "What it holds; this or `source`."),
        key("source", Kind::Line, "Or a file that holds it, seen from the distribution's folder; at most 64 MiB."),
        key("mode", Kind::Mode, "Default 0o644."),
        key("owner", Kind::Either(&[Kind::Id, Kind::Account]), "A user's name or number; default 0."),
        key("group", Kind::Either(&[Kind::Id, Kind::Account]), "A group's name or number; default 0."),
    ],
};

/// `[[archives]]`
pub static TARBALL: Table = Table {
    title: "[[archives]]",
    keys: &[
        needed(
            "uris",
            Kind::List(&Kind::Line),
            "Where it can be had, tried in order: http, https, file, or a path from the manifest's folder.",
        ),
        needed("sha256", Kind::Line, "The file's hash, which alone says what is taken."),
        key("size", Kind::Size, "The file's size at most; default 4 GiB."),
        key("strip-components", Kind::Integer, "So many leading names of every entry are dropped; default 0."),
        key("prefix", Kind::Path, "Where its content goes; default /."),
        key("include", Kind::List(&Kind::Glob), "As in [globs], on final paths."),
        key("exclude", Kind::List(&Kind::Glob), "As in [globs], on final paths."),
    ],
};

/// `[generate]`
pub static GENERATE: Table = Table {
    title: "[generate]",
    keys: &[
        key(
            "ca-certificates",
            Kind::Either(&[Kind::Choice(&[("bundle", Status::Now), ("hashed", Status::Now)]), Kind::Bool]),
            "/etc/ssl/certs/ca-certificates.crt, with *.crt of /usr/local/share/ca-certificates; \"hashed\": links beside it. On where its package is in the tier.",
        ),
        key("os-release", Kind::Map(&Kind::Line), "/usr/lib/os-release, its fields in this order."),
        key(
            "dpkg-status",
            Kind::Either(&[Kind::Choice(&[("status.d", Status::Now)]), Kind::Bool]),
            "/var/lib/dpkg/status.d for scanners; on by default.",
        ),
        key("ld-so-cache", Kind::Bool, "/etc/ld.so.cache, as ldconfig writes it; default false."),
        key("java-keystore", Kind::Bool, "/etc/ssl/certs/java/cacerts; on where ca-certificates-java is in the tier."),
        key(
            "locales",
            Kind::List(&Kind::Line),
            "Locales of libc-bin to keep, such as C.utf8, whatever the globs leave.",
        ),
        key(
            "timezone",
            Kind::Line,
            "/etc/localtime and /etc/timezone of a zone such as Europe/Berlin; default neither, which is UTC.",
        ),
        key("alternatives", Kind::Bool, "Links of update-alternatives; default true."),
        key("sysusers", Kind::Bool, "Users and groups that packages make; default true."),
        key("tmpfiles", Kind::Bool, "What tmpfiles.d of packages asks for; default true."),
        key("scripts", Kind::Bool, "Files and folders that scripts make; default true."),
    ],
};

/// `[image]`
pub static IMAGE: Table = Table { title: "[image]", keys: &image_keys() };

/// `[variants.NAME]`
pub static VARIANT: Table = Table { title: "[variants.NAME]", keys: &variant_keys() };

const fn image_keys() -> [Key; 10] {
    [
        key("user", Kind::Either(&[Kind::Id, Kind::Line]), "Who runs the process: user or user:group."),
        key("workdir", Kind::Path, "Where it starts."),
        key("entrypoint", Kind::List(&Kind::Text), "The program; [] for none."),
        key("cmd", Kind::List(&Kind::Text), "Its default arguments; [] for none."),
        key("env", Kind::Map(&Kind::Text), "Its environment."),
        key("labels", Kind::Map(&Kind::Text), "Labels of the config."),
        key("annotations", Kind::Map(&Kind::Text), "Annotations of the manifest."),
        key("volumes", Kind::List(&Kind::Path), "Directories that a volume is mounted at."),
        key("exposed-ports", Kind::List(&Kind::Either(&[Kind::Id, Kind::Line])), "Ports, such as 8080 or \"53/udp\"."),
        key(
            "stop-signal",
            Kind::Either(&[Kind::Id, Kind::Line]),
            "The signal that ends it, a name such as SIGQUIT or a number.",
        ),
    ]
}

const fn variant_keys() -> [Key; 11] {
    let [user, workdir, entrypoint, cmd, env, labels, annotations, volumes, ports, signal] = image_keys();
    let overlay = key("overlay", Kind::Line, "A tier of the same distribution whose layer goes on top.");
    [user, workdir, entrypoint, cmd, env, labels, annotations, volumes, ports, signal, overlay]
}

/// `[limits]`
pub static LIMITS: Table = Table {
    title: "[limits]",
    keys: &[
        key("layer-size", Kind::Size, "Bytes of the tier's own layer, as a tar."),
        key("rootfs-size", Kind::Size, "Bytes of all files of the whole chain."),
        key("packages", Kind::Id, "How many packages the whole chain may have."),
        key(
            "setuid",
            Kind::Choice(&[("deny", Status::Now), ("allow", Status::Now)]),
            "Whether setuid and setgid files may be there; child tiers inherit it.",
        ),
    ],
};

/// `[[expect]]`
pub static EXPECT: Table = Table {
    title: "[[expect]]",
    keys: &[
        needed("path", Kind::Path, "What is looked at."),
        key("exists", Kind::Bool, "Whether something is there; default true."),
        key("absent", Kind::Bool, "Whether nothing is there; the same as `exists = false`."),
        key("architectures", Kind::List(&Kind::Architecture), "Look on these only; default: on all."),
        key(
            "type",
            Kind::Choice(&[("file", Status::Now), ("directory", Status::Now), ("symlink", Status::Now)]),
            "What it is.",
        ),
        key("mode", Kind::Mode, "Its mode, all twelve bits."),
        key("owner", Kind::Either(&[Kind::Id, Kind::Account]), "Its owner, a name or number."),
        key("group", Kind::Either(&[Kind::Id, Kind::Account]), "Its group, a name or number."),
        key("target", Kind::Line, "What the symbolic link says; it is then not followed."),
        key("sha256", Kind::Line, "The SHA-256 of its content."),
        key("contains", Kind::Text, "Text somewhere in it."),
    ],
};

/// `[[accept]]`
pub static ACCEPT: Table = Table {
    title: "[[accept]]",
    keys: &[
        needed("lint", Kind::Line, "Which lint, such as dangling-link."),
        needed("subject", Kind::Line, "What it is about; a glob for several."),
        needed("reason", Kind::Line, "Why it is fine, for readers and reports."),
    ],
};

/// All tables, as the docs list them.
pub static TABLES: [&Table; 21] = [
    &ARCHIVE,
    &SOURCE,
    &TIER,
    &FOREIGN,
    &OMISSION,
    &MISSING,
    &SCRIPT,
    &GLOBS,
    &PACKAGE_GLOBS,
    &USER,
    &GROUP,
    &DIRECTORY,
    &SYMLINK,
    &FILE,
    &TARBALL,
    &GENERATE,
    &IMAGE,
    &VARIANT,
    &LIMITS,
    &EXPECT,
    &ACCEPT,
];

impl Table {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Kind {
    /// What it takes, as it fits behind "must be" and "a list of".
    pub fn describe(&self) -> String {
        match self {
            Kind::Text => "a string".into(),
            Kind::Line => "a string of one line".into(),
            Kind::Bool => "true or false".into(),
            Kind::Integer => "a whole number".into(),
            Kind::Mode => "a mode in octal such as 0o755".into(),
            Kind::Id => "a number".into(),
            Kind::Moment => "a date and time with an offset such as 2026-11-01T00:00:00Z".into(),
            Kind::Duration => "a duration such as \"7 days\"".into(),
            Kind::Size => "a size such as \"4 MiB\"".into(),
            Kind::Path => "an absolute path".into(),
            Kind::Glob => "a glob such as \"/usr/share/man/**\"".into(),
            Kind::Wish => "a package such as \"libc6 (>= 2.36)\"".into(),
            Kind::Architecture => "an architecture such as \"amd64\"".into(),
            Kind::Package => "a package's name".into(),
            Kind::Account => "a user's or group's name".into(),
            Kind::Choice(words) => {
                let now = words.iter().filter(|(_, status)| *status == Status::Now);
                now.map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ")
            }
            Kind::List(kind) => match kind {
                Kind::Table(table) => format!("a list of tables, {}", table.title),
                kind => format!("a list, each {}", kind.describe()),
            },
            Kind::Table(_) | Kind::Map(_) => "a table".into(),
            Kind::Either(kinds) => kinds.iter().map(Kind::describe).collect::<Vec<_>>().join(" or "),
        }
    }
}
