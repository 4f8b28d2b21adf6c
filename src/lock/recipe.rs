//! All that shapes a layer, as a digest: it tells an edited layer from one that does not come out
//! the same twice, and it keys the layer cache.

use std::path::Path;

use super::canon::Canon;
use crate::{
    archive::Package,
    debian::Architecture,
    ground::{Sha256, Spanned},
    manifest::{
        CaCertificates, Directory, File, FileContent, Generate, Glob, GlobRule, Globs, Group, Ownership, Symlink,
        Tarball, Tier, User,
    },
};

/// What goes into a layer.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    /// Of the layer's bytes.
    pub format_version: u32,
    /// The mtime of every entry, in seconds since 1970, as it is really used.
    pub timestamp: u64,
    /// Whether /bin, /lib ... are links into /usr.
    pub merged_usr: bool,
    /// For which architecture.
    pub architecture: Architecture,
    /// The parent tier's recipe.
    pub parent: Option<Sha256>,
    /// The tier's own packages, in the order of the answer.
    pub packages: &'a [&'a Package],
    /// The manifest.
    pub tier: &'a Tier,
}

/// The digest of all that shapes a layer. `contents` gives the SHA-256 of a file beside the
/// manifest; its error is handed on.
///
/// Summary, comments, places in the file, names of tier and archive do not count; wishes,
/// dependencies and omissions only by the packages that came of them.
pub fn recipe<E>(
    ingredients: &Ingredients<'_>,
    mut contents: impl FnMut(&Path) -> Result<Sha256, E>,
) -> Result<Sha256, E> {
    // In full here and below, so that a new field must be decided on.
    let Ingredients { format_version, timestamp, merged_usr, architecture, parent, packages, tier } = ingredients;
    let Tier {
        source: _,
        name: _,
        summary: _,
        parent: _, // its recipe stands for it
        base,
        packages: _,
        dependencies: _,
        omit: _,
        allow_missing: _,
        allow_scripts: _, // said of what is made, making nothing
        globs,
        users,
        groups,
        directories,
        symlinks,
        files,
        archives,
        generate,
        image: _,      // of configs, which stand beside layers
        variants: _,   // likewise; an overlay is a tier of its own
        checks: _,     // shapes nothing
        stands_for: _, // its manifest and its parent say it all
    } = tier;
    let mut canon = Canon::new("recipe 1");
    canon.text("format-version", format_version);
    canon.text("timestamp", timestamp);
    canon.text("merged-usr", merged_usr);
    canon.text("architecture", architecture);
    canon.optional("parent", *parent);
    // Wherever it is fetched from.
    canon.optional("base", base.as_ref().map(|base| base.digest.value));
    canon.list("packages", *packages, |canon, package| spell_package(canon, package));
    spell_globs(&mut canon, globs);
    canon.list("users", users, spell_user);
    canon.list("groups", groups, spell_group);
    canon.set("directories", directories, |canon, directory| {
        let Directory { path, mode, owner } = directory;
        canon.bytes("path", path.value.as_bytes());
        spell_mode(canon, *mode, owner);
    });
    canon.set("symlinks", symlinks, |canon, symlink| {
        let Symlink { path, target } = symlink;
        canon.bytes("path", path.value.as_bytes());
        canon.text("target", target);
    });
    let files = files
        .iter()
        .map(|file| match &file.content {
            // A text and a file of the same bytes shape the same layer.
            FileContent::Text(text) => Ok((file, Sha256::of(text.as_bytes()))),
            FileContent::Beside(path) => contents(path).map(|sha256| (file, sha256)),
        })
        .collect::<Result<Vec<_>, E>>()?;
    canon.set("files", files, |canon, (file, sha256)| {
        let File { path, content: _, mode, owner } = file;
        canon.bytes("path", path.value.as_bytes());
        canon.text("sha256", sha256);
        spell_mode(canon, *mode, owner);
    });
    // Where there are none, nothing is said of them: recipes are those of earlier versions.
    if !archives.is_empty() {
        canon.list("archives", archives, |canon, archive| {
            let Tarball { span: _, uris: _, sha256, size: _, strip_components, prefix, globs } = archive;
            canon.text("sha256", sha256);
            canon.text("strip-components", strip_components);
            canon.bytes("prefix", prefix.as_bytes());
            spell_rule(canon, globs);
        });
    }
    spell_generate(&mut canon, generate);
    Ok(canon.digest())
}

fn spell_package(canon: &mut Canon, package: &Package) {
    // Source, suite and path say only where the .deb comes from.
    let Package { name, version, architecture, source: _, from: _, path: _, size: _, sha256 } = package;
    canon.text("name", name);
    canon.text("version", version.as_str());
    canon.text("architecture", architecture);
    canon.text("sha256", sha256);
}

pub(super) fn spell_globs(canon: &mut Canon, globs: &Globs) {
    let Globs { tier, packages } = globs;
    spell_rule(canon, tier);
    canon.list("package-globs", packages, |canon, (package, rule)| {
        canon.text("package", package);
        spell_rule(canon, &rule.value);
    });
}

/// Kept = some include matches and no exclude does, so their order says nothing.
fn spell_rule(canon: &mut Canon, rule: &GlobRule) {
    let GlobRule { include, exclude } = rule;
    let one = |canon: &mut Canon, glob: &Spanned<Glob>| canon.text("", &glob.value.0);
    canon.set("include", include, one);
    canon.set("exclude", exclude, one);
}

fn spell_user(canon: &mut Canon, user: &User) {
    let User { span: _, name, uid, gid, gecos, home, home_mode, shell } = user;
    canon.text("name", name);
    canon.text("uid", uid);
    canon.text("gid", gid);
    canon.text("gecos", gecos);
    if let Some(home) = home {
        canon.bytes("home", home.as_bytes());
    }
    canon.text("home-mode", home_mode);
    canon.text("shell", shell);
}

fn spell_group(canon: &mut Canon, group: &Group) {
    let Group { span: _, name, gid, members } = group;
    canon.text("name", name);
    canon.text("gid", gid);
    canon.list("members", members, |canon, member| canon.text("", member));
}

fn spell_mode(canon: &mut Canon, mode: u16, owner: &Ownership) {
    let Ownership { uid, gid } = owner;
    canon.text("mode", mode);
    canon.text("uid", uid);
    canon.text("gid", gid);
}

fn spell_generate(canon: &mut Canon, generate: &Generate) {
    let Generate {
        ca_certificates,
        os_release,
        dpkg_status,
        java_keystore,
        locales,
        timezone,
        alternatives,
        sysusers,
        tmpfiles,
        scripts,
        ld_so_cache,
    } = generate;
    let form = ca_certificates.as_ref().map(|form| form.value);
    canon.text("ca-certificates", matches!(form, Some(CaCertificates::Bundle | CaCertificates::Hashed)));
    if let Some(fields) = os_release {
        canon.list("os-release", &fields.value, |canon, (key, value)| {
            canon.text("key", key);
            canon.text("value", value);
        });
    }
    canon.text("dpkg-status", dpkg_status);
    // From here on only what is not the default, so that recipes from before these keys stay.
    match form {
        Some(CaCertificates::Off) => canon.text("ca-certificates", "off"),
        Some(CaCertificates::Hashed) => canon.text("ca-certificates", "hashed"),
        Some(CaCertificates::Bundle) | None => {}
    }
    if let Some(wanted) = java_keystore {
        canon.text("java-keystore", wanted.value);
    }
    if let Some(locales) = locales {
        canon.set("locales", locales, |canon, locale| canon.text("", &locale.value));
    }
    if let Some(zone) = timezone {
        canon.text("timezone", &zone.value);
    }
    canon.optional("ld-so-cache", ld_so_cache.as_ref().map(|_| true));
    for (key, on) in
        [("alternatives", alternatives), ("sysusers", sysusers), ("tmpfiles", tmpfiles), ("scripts", scripts)]
    {
        if !on {
            canon.text(key, on);
        }
    }
}
