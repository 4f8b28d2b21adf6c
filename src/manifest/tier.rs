//! A tier's manifest: fields to a [`Tier`], checked against what its parents declare.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use crate::{
    debian::Architecture,
    ground::{RootPath, Span, Spanned},
};

use super::{
    CaCertificates, Dependencies, Directory, File, FileContent, ForeignBase, Generate, Glob, GlobRule, Globs, Group,
    Missing, Omission, Ownership, Symlink, Tier, User, Wish,
    accounts::{Chain, Sort},
    checks, config,
    error::{Findings, Place, Topic, class_of},
    globs,
    shape::{Fields, Value, inside},
    tarball, wish,
};

/// Reads a tier's fields; `parent` or `base` was found before. `chain` is what the parents declare, and
/// afterwards also what this tier does.
pub(super) fn read(
    mut fields: Fields,
    name: &str,
    (parent, base): (Option<Spanned<usize>>, Option<ForeignBase>),
    folder: &Path,
    architectures: &[Architecture],
    chain: &mut Chain,
    findings: &mut Findings,
) -> Tier {
    let wishes: Vec<_> = fields.list("packages");
    let packages: Vec<Wish> = wishes.into_iter().map(|wish| Wish { relation: wish.value, span: wish.span }).collect();
    for wish in &packages {
        let place = Place { source: findings.source.clone(), span: wish.span.clone() };
        chain.wish(&wish.relation, architectures, place, findings);
    }
    let dependencies = match fields.take::<String>("dependencies").as_deref() {
        Some("none") => Dependencies::None,
        Some("linked") => Dependencies::Linked,
        _ => Dependencies::All,
    };
    let omit = omissions(&mut fields, &packages, findings);
    let allow_missing = missing(&mut fields, findings);
    let allow_scripts = allowed_scripts(&mut fields, findings);
    let globs = read_globs(&mut fields, findings);
    if dependencies == Dependencies::None && !chain.broken {
        idle_rules(&globs, &packages, findings);
    }
    chain.broken |= fields.refused("users") || fields.refused("groups");
    let groups = read_groups(&mut fields, chain, findings);
    let users = read_users(&mut fields, chain, findings);
    members(&groups, chain, findings);
    let directories = read_directories(&mut fields, chain, findings);
    let symlinks = read_symlinks(&mut fields, findings);
    let files = read_files(&mut fields, folder, chain, findings);
    let archives = tarball::read(&mut fields, folder, findings);
    let generate = read_generate(&mut fields, findings);
    let mut owners = |entry: &mut Fields, findings: &mut Findings| {
        let places = ["owner", "group"].map(|key| entry.place(key));
        (owner(entry, chain, findings), places)
    };
    let checks = checks::read(&mut fields, &mut owners, findings);
    let image = config::read(&mut fields, findings);
    let variants = config::variants(&mut fields, findings);
    let tier = Tier {
        source: findings.source.clone(),
        name: name.into(),
        summary: fields.take("summary").unwrap_or_default(),
        parent,
        base,
        packages,
        dependencies,
        omit,
        allow_missing,
        allow_scripts,
        globs,
        users: users.into_iter().map(|(user, _)| user).collect(),
        groups: groups.into_iter().map(|(group, _)| group).collect(),
        directories,
        symlinks,
        files,
        archives,
        generate,
        image,
        variants,
        checks,
        stands_for: None,
    };
    paths_once(&tier, findings);
    tier
}

fn omissions(fields: &mut Fields, packages: &[Wish], findings: &mut Findings) -> Vec<Omission> {
    let mut omit: Vec<Omission> = Vec::new();
    for mut entry in fields.list::<Fields>("omit") {
        let (Some(package), Some(reason)) =
            (entry.value.spanned::<String>("package"), entry.value.spanned::<String>("reason"))
        else {
            continue;
        };
        if reason.value.trim().is_empty() {
            findings
                .error(Topic::BadValue, reason.span, "an omission needs its reason", "nothing said")
                .help("say why the tier works without it; readers and reports will ask");
        }
        if let Some(first) = omit.iter().find(|first| first.package.value == package.value) {
            let message = format!("{} is omitted twice", package.value);
            findings.error(Topic::Duplicate, package.span.clone(), message, "again here").other =
                Some((first.package.span.clone(), "first here".into()));
        }
        let wanted = packages.iter().find(|wish| wish.relation.0.iter().any(|one| *one.name == *package.value));
        if let Some(wish) = wanted {
            let message = format!("{} is wanted and omitted in one tier", package.value);
            let finding = findings.error(Topic::Duplicate, package.span.clone(), message, "omitted here");
            finding.other = Some((wish.span.clone(), "wanted here".into()));
            finding.help("take one of them out");
        }
        omit.push(Omission { package, reason: reason.value });
    }
    omit
}

fn missing(fields: &mut Fields, findings: &mut Findings) -> Vec<Missing> {
    let accepted = accepted(fields, "allow-missing", "library", findings);
    accepted.into_iter().map(|(library, reason)| Missing { library, reason }).collect()
}

fn allowed_scripts(fields: &mut Fields, findings: &mut Findings) -> Vec<Omission> {
    let accepted = accepted(fields, "allow-scripts", "package", findings);
    accepted.into_iter().map(|(package, reason)| Omission { package, reason }).collect()
}

/// The entries of a list that accepts something for a reason.
fn accepted(fields: &mut Fields, list: &str, name: &str, findings: &mut Findings) -> Vec<(Spanned<String>, String)> {
    let mut accepted: Vec<(Spanned<String>, String)> = Vec::new();
    for mut entry in fields.list::<Fields>(list) {
        let (Some(what), Some(reason)) = (entry.value.spanned::<String>(name), entry.value.spanned::<String>("reason"))
        else {
            continue;
        };
        if reason.value.trim().is_empty() {
            findings
                .error(Topic::BadValue, reason.span, format!("{list} needs a reason"), "nothing said")
                .help("say why the tier works without it; readers and reports will ask");
        }
        if let Some((first, _)) = accepted.iter().find(|(first, _)| first.value == what.value) {
            let message = format!("{} is in {list} twice", what.value);
            findings.error(Topic::Duplicate, what.span.clone(), message, "again here").other =
                Some((first.span.clone(), "first here".into()));
        }
        accepted.push((what, reason.value));
    }
    accepted
}

fn read_globs(fields: &mut Fields, findings: &mut Findings) -> Globs {
    let Some(mut table) = fields.spanned::<Fields>("globs") else { return Globs::default() };
    let tier = read_rule(&mut table.value, &table.span, findings);
    let mut packages = BTreeMap::new();
    for (name, mut rule) in table.value.take::<Vec<(Spanned<String>, Spanned<Fields>)>>("package").unwrap_or_default() {
        if !wish::is_name(&name.value) {
            findings.error(
                Topic::Package,
                name.span,
                "[globs.package.NAME] takes a package's name",
                "no package can be called so",
            );
            continue;
        }
        let rule = read_rule(&mut rule.value, &name.span, findings);
        packages.insert(name.value, Spanned::new(rule, name.span));
    }
    Globs { tier, packages }
}

pub(super) fn read_rule(fields: &mut Fields, span: &Span, findings: &mut Findings) -> GlobRule {
    let mut rule = GlobRule::default();
    if let Some(include) = fields.take::<Vec<Spanned<Glob>>>("include") {
        rule.include = include;
    }
    rule.exclude = fields.list("exclude");
    for list in [&rule.include, &rule.exclude] {
        for (at, glob) in list.iter().enumerate() {
            if let Some(first) = list.iter().take(at).find(|first| first.value == glob.value) {
                let message = format!("the glob {} is there twice", glob.value.0);
                findings.error(Topic::Duplicate, glob.span.clone(), message, "again here").other =
                    Some((first.span.clone(), "first here".into()));
            }
        }
    }
    if let Err(fault) = globs::check_rule(&rule) {
        findings.error(Topic::Glob, span.clone(), "these globs together cannot be compiled", fault);
        return GlobRule::default();
    }
    rule
}

/// With `dependencies = "none"` the tier's packages are those of the manifest.
fn idle_rules(globs: &Globs, packages: &[Wish], findings: &mut Findings) {
    for (name, rule) in &globs.packages {
        let wanted = packages.iter().any(|wish| wish.relation.0.iter().any(|one| *one.name == **name));
        // An alternative or a virtual package may bring in another name.
        let certain = packages.iter().all(|wish| wish.relation.0.len() == 1);
        if !wanted && certain {
            let names = packages.iter().flat_map(|wish| &wish.relation.0).map(|one| &*one.name);
            let help = match crate::ground::nearest(name, names) {
                Some(like) => format!("the tier has the package `{like}`"),
                None => "take it out, or add the package".into(),
            };
            let message = format!("[globs.package.{name}] applies to no package of this tier");
            findings.warning(Topic::Idle, rule.span.clone(), message, "not among `packages`").help(help);
        }
    }
}

type Placed<T> = (T, Vec<Place>);

fn place(findings: &Findings, span: &Span) -> Place {
    Place { source: findings.source.clone(), span: span.clone() }
}

fn read_groups(fields: &mut Fields, chain: &mut Chain, findings: &mut Findings) -> Vec<Placed<Group>> {
    let mut groups = Vec::new();
    for Spanned { value: mut entry, span } in fields.list::<Fields>("groups") {
        let members: Vec<Spanned<String>> = entry.list("members");
        for (at, member) in members.iter().enumerate() {
            if let Some(first) = members.iter().take(at).find(|first| first.value == member.value) {
                let message = format!("{} is a member twice", member.value);
                findings.error(Topic::Duplicate, member.span.clone(), message, "again here").other =
                    Some((first.span.clone(), "first here".into()));
            }
        }
        let (Some(name), Some(gid)) = (entry.spanned::<String>("name"), entry.spanned::<u32>("gid")) else {
            chain.broken = true;
            continue;
        };
        let (named, numbered) = (place(findings, &name.span), place(findings, &gid.span));
        chain.add(Sort::Group, (&name.value, named), (gid.value, numbered), findings);
        let places = members.iter().map(|member| place(findings, &member.span)).collect();
        let members = members.into_iter().map(|member| member.value).collect();
        groups.push((Group { span, name: name.value, gid: gid.value, members }, places));
    }
    groups
}

fn members(groups: &[Placed<Group>], chain: &Chain, findings: &mut Findings) {
    for (group, places) in groups {
        for (member, place) in group.members.iter().zip(places) {
            chain.number(Sort::User, member, place, findings);
        }
    }
}

fn read_users(fields: &mut Fields, chain: &mut Chain, findings: &mut Findings) -> Vec<Placed<User>> {
    let mut users = Vec::new();
    for Spanned { value: mut entry, span } in fields.list::<Fields>("users") {
        let gecos = colon_free(entry.spanned::<String>("gecos"), "gecos", findings);
        let home = entry.spanned::<RootPath>("home");
        if let Some(home) = home.as_ref().filter(|home| home.value.is_root()) {
            findings
                .error(Topic::Path, home.span.clone(), "`/` cannot be a home", "it would get the user's mode and owner")
                .help("leave `home` out: then it is /nonexistent, and none is made");
        }
        colon_free(home.as_ref().map(|home| Spanned::new(home.value.to_string(), home.span.clone())), "home", findings);
        let shell = entry.spanned::<RootPath>("shell").map(|shell| Spanned::new(shell.value.to_string(), shell.span));
        let shell = colon_free(shell, "shell", findings);
        let home_mode = entry.take("home-mode").unwrap_or(0o700);
        let (Some(name), Some(uid), Some(gid)) =
            (entry.spanned::<String>("name"), entry.spanned::<u32>("uid"), entry.spanned::<u32>("gid"))
        else {
            chain.broken = true;
            continue;
        };
        let (named, numbered) = (place(findings, &name.span), place(findings, &uid.span));
        chain.add(Sort::User, (&name.value, named), (uid.value, numbered), findings);
        if !chain.gids.contains_key(&gid.value) && !chain.broken && !chain.foreign {
            let message = format!("no group has the gid {} of the user {}", gid.value, name.value);
            findings
                .error(Topic::Account, gid.span, message, "not in this chain")
                .help("declare the group in [[groups]] of this tier or of a parent");
        }
        let user = User {
            span,
            name: name.value,
            uid: uid.value,
            gid: gid.value,
            gecos: gecos.unwrap_or_default(),
            home: home.map(|home| home.value),
            home_mode,
            shell: shell.unwrap_or_else(|| "/sbin/nologin".into()),
        };
        users.push((user, Vec::new()));
    }
    users
}

/// A field of passwd(5) ends at a colon.
fn colon_free(value: Option<Spanned<String>>, key: &str, findings: &mut Findings) -> Option<String> {
    let value = value?;
    if let Some(at) = value.value.find(':') {
        let span = inside(&findings.source, &value.span, &value.value, at);
        let message = format!("`{key}` has a colon, which ends a field of /etc/passwd");
        findings.error(Topic::BadValue, span, message, "this colon");
    }
    Some(value.value)
}

fn owner(entry: &mut Fields, chain: &Chain, findings: &mut Findings) -> Ownership {
    let mut number = |key, sort| match entry.spanned::<Value>(key) {
        Some(Spanned { value: Value::Id(id), .. }) => id,
        Some(Spanned { value: Value::Text(name), span }) => {
            let place = place(findings, &span);
            chain.number(sort, &name, &place, findings)
        }
        _ => 0,
    };
    Ownership { uid: number("owner", Sort::User), gid: number("group", Sort::Group) }
}

fn read_directories(fields: &mut Fields, chain: &Chain, findings: &mut Findings) -> Vec<Directory> {
    let mut directories = Vec::new();
    for mut entry in fields.list::<Fields>("directories") {
        let owner = owner(&mut entry.value, chain, findings);
        let mode = entry.value.take("mode").unwrap_or(0o755);
        if let Some(path) = entry.value.spanned("path") {
            directories.push(Directory { path, mode, owner });
        }
    }
    directories
}

fn read_symlinks(fields: &mut Fields, findings: &mut Findings) -> Vec<Symlink> {
    let mut symlinks = Vec::new();
    for mut entry in fields.list::<Fields>("symlinks") {
        let target = entry.value.spanned::<String>("target");
        // PATH_MAX; a longer one can be stored but never followed.
        if let Some(target) = target.as_ref().filter(|target| target.value.is_empty() || target.value.len() > 4095) {
            let message = "a symbolic link needs a target of 1 to 4095 bytes";
            findings.error(Topic::Path, target.span.clone(), message, format!("{} bytes", target.value.len()));
        }
        if let (Some(path), Some(target)) = (below_root(&mut entry.value, findings), target) {
            symlinks.push(Symlink { path, target: target.value });
        }
    }
    symlinks
}

fn below_root(entry: &mut Fields, findings: &mut Findings) -> Option<Spanned<RootPath>> {
    let path = entry.spanned::<RootPath>("path")?;
    if path.value.is_root() {
        findings.error(Topic::Path, path.span, "`/` is a directory and nothing else", "the root of the tier");
        return None;
    }
    Some(path)
}

fn read_files(fields: &mut Fields, folder: &Path, chain: &Chain, findings: &mut Findings) -> Vec<File> {
    let mut files = Vec::new();
    for mut entry in fields.list::<Fields>("files") {
        let owner = owner(&mut entry.value, chain, findings);
        let mode = entry.value.take("mode").unwrap_or(0o644);
        match (entry.value.written("text"), entry.value.written("source")) {
            (false, false) => {
                findings
                    .error(Topic::MissingKey, entry.span.clone(), "[[files]] needs `text` or `source`", "holding what?")
                    .help("`text` is the content itself, `source` a file beside the manifest; `text = \"\"` is empty");
            }
            (true, true) => {
                findings
                    .error(Topic::Duplicate, entry.span.clone(), "[[files]] takes `text` or `source`", "both are here")
                    .help("take one of them out");
            }
            _ => {}
        }
        let text = entry.value.take::<String>("text").map(|text| FileContent::Text(Arc::from(text)));
        let source = entry.value.spanned::<String>("source").and_then(|source| beside(&source, folder, findings));
        if let (Some(path), Some(content)) = (below_root(&mut entry.value, findings), text.or(source)) {
            files.push(File { path, content, mode, owner });
        }
    }
    files
}

/// A file of the user's own, on this machine: any path from the manifest will do, even one that leaves
/// the project (a program is built beside it), if a regular file is there.
fn beside(source: &Spanned<String>, folder: &Path, findings: &mut Findings) -> Option<FileContent> {
    if Path::new(&source.value).is_absolute() {
        findings
            .error(Topic::Beside, source.span.clone(), "`source` is an absolute path", "only this machine has it there")
            .help("write it relative to the manifest, so that the project builds elsewhere too");
        return None;
    }
    let path = folder.join(&source.value);
    let fault = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => return Some(FileContent::Beside(path)),
        Ok(_) => io::Error::new(io::ErrorKind::IsADirectory, "no regular file"),
        Err(error) => error,
    };
    let message = format!("the file {:?} cannot be read", source.value);
    let finding = findings.error(Topic::Beside, source.span.clone(), message, fault.to_string());
    finding.class = class_of(&fault);
    finding.help("`source` is a path from the manifest's folder");
    None
}

fn read_generate(fields: &mut Fields, findings: &mut Findings) -> Generate {
    let mut generate = Generate::default();
    let Some(mut table) = fields.take::<Fields>("generate") else { return generate };
    generate.ca_certificates = table.spanned::<Value>("ca-certificates").map(|wanted| {
        let form = match &wanted.value {
            Value::Bool(false) => CaCertificates::Off,
            Value::Text(form) if form == "hashed" => CaCertificates::Hashed,
            _ => CaCertificates::Bundle,
        };
        Spanned::new(form, wanted.span)
    });
    generate.java_keystore = table.spanned("java-keystore");
    generate.locales = table.take("locales").filter(|locales: &Vec<_>| !locales.is_empty());
    generate.timezone = table.spanned("timezone");
    for (key, on) in [
        ("alternatives", &mut generate.alternatives),
        ("sysusers", &mut generate.sysusers),
        ("tmpfiles", &mut generate.tmpfiles),
        ("scripts", &mut generate.scripts),
    ] {
        *on = table.take(key).unwrap_or(true);
    }
    if let Some(os_release) = table.spanned::<Vec<(Spanned<String>, Spanned<String>)>>("os-release") {
        let mut pairs = Vec::new();
        for (key, value) in os_release.value {
            let word = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            if !key.value.bytes().all(word) || !key.value.starts_with(|c: char| c.is_ascii_uppercase()) {
                findings
                    .error(Topic::BadValue, key.span, "os-release(5) has no such field", "not in capitals")
                    .help("fields are written in A-Z, 0-9 and _");
            }
            pairs.push((key.value, value.value));
        }
        generate.os_release = Some(Spanned::new(pairs, os_release.span));
    }
    if let Some(status) = table.take::<Value>("dpkg-status") {
        generate.dpkg_status = !matches!(status, Value::Bool(false));
    }
    generate.ld_so_cache = table.spanned::<bool>("ld-so-cache").filter(|wanted| wanted.value).map(|wanted| wanted.span);
    generate
}

/// No path is declared twice in one tier.
fn paths_once(tier: &Tier, findings: &mut Findings) {
    let mut declared: Vec<(RootPath, Span, &str)> = Vec::new();
    for directory in &tier.directories {
        declared.push((directory.path.value.clone(), directory.path.span.clone(), "[[directories]]"));
    }
    for link in &tier.symlinks {
        declared.push((link.path.value.clone(), link.path.span.clone(), "[[symlinks]]"));
    }
    for file in &tier.files {
        declared.push((file.path.value.clone(), file.path.span.clone(), "[[files]]"));
    }
    for user in &tier.users {
        if let Some(home) = user.home.clone().filter(|home| !home.is_root()) {
            declared.push((home, user.span.clone(), "the home of [[users]]"));
        }
    }
    let mut made = |path: &[u8], span: Option<Span>, what| {
        if let (Ok(path), Some(span)) = (RootPath::from_archive(path), span) {
            declared.push((path, span, what));
        }
    };
    made(b"/etc/passwd", tier.users.first().map(|user| user.span.clone()), "[[users]]");
    made(b"/etc/group", tier.groups.first().map(|group| group.span.clone()), "[[groups]]");
    made(b"/etc/ld.so.cache", tier.generate.ld_so_cache.clone(), "generate.ld-so-cache");
    let wanted = |form: &Spanned<CaCertificates>| form.value != CaCertificates::Off;
    let bundle = tier.generate.ca_certificates.as_ref().filter(|form| wanted(form)).map(|form| form.span.clone());
    made(b"/etc/ssl/certs/ca-certificates.crt", bundle, "generate.ca-certificates");
    let zone = tier.generate.timezone.as_ref().map(|zone| zone.span.clone());
    made(b"/etc/localtime", zone.clone(), "generate.timezone");
    made(b"/etc/timezone", zone, "generate.timezone");
    let store = tier.generate.java_keystore.as_ref().filter(|wanted| wanted.value);
    made(b"/etc/ssl/certs/java/cacerts", store.map(|wanted| wanted.span.clone()), "generate.java-keystore");
    made(
        b"/usr/lib/os-release",
        tier.generate.os_release.as_ref().map(|fields| fields.span.clone()),
        "generate.os-release",
    );
    let mut seen: BTreeMap<&RootPath, (&Span, &str)> = BTreeMap::new();
    declared.sort_by_key(|(_, span, _)| span.start);
    for (path, span, what) in &declared {
        if let Some((first, by)) = seen.get(path) {
            let message = format!("{path} is declared twice in this tier");
            let finding = findings.error(Topic::Duplicate, span.clone(), message, format!("again by {what}"));
            finding.other = Some(((*first).clone(), format!("first by {by}")));
            finding.help("take one of them out");
        } else {
            seen.insert(path, (span, what));
        }
    }
}
