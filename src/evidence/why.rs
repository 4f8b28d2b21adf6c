//! How something came to be in a tier, or what keeps it out. docs/why.md names every kind of link.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    kept_out::{KeptOut, Stage, kept_out, place},
    relations::{Members, Need},
};
use crate::{
    compose::{merged_usr, nearby},
    debian::{Architecture, Relation},
    ground::{RootPath, bytes, printable},
    manifest::{Dependencies, Tier, place_of},
    rootfs::{Entry, Node, Origin, PackageName},
};

/// How many others that need a package are named.
const MOST_NEEDING: usize = 8;
/// Members of control.tar that can make files at installation.
const SCRIPTS: [&str; 4] = ["preinst", "postinst", "config", "triggers"];

/// The answer to one question about one tier on one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The package or path that was asked for.
    pub subject: String,
    /// `debian13/cc`
    pub tier: String,
    /// The architecture.
    pub architecture: Architecture,
    /// Whether it is there.
    pub present: bool,
    /// In one line.
    pub answer: String,
    /// What made it so: from the manifest's line to the subject, or what keeps it out.
    pub chain: Vec<Link>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// One step of a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// `wish`, `dependency`, `package`, `exclude` ...
    pub kind: &'static str,
    /// The wish, package, relation, glob, key or generator.
    pub name: String,
    /// The manifest that says so, if one does.
    pub file: Option<String>,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// In a sentence.
    pub text: String,
}

impl Link {
    fn new(kind: &'static str, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind, name: name.into(), file: None, line: None, text: text.into() }
    }

    /// What the archive says.
    pub fn archive(name: &str, text: String) -> Self {
        Self::new("archive", name, text)
    }

    /// What an image has that others made.
    pub fn image(image: String, text: String) -> Self {
        Self::new("image", image, text)
    }

    /// A file of another package that needs something of the package.
    pub fn linked(name: &str, text: String) -> Self {
        Self::new("linked", name, text)
    }

    fn at(mut self, tier: &Tier, span: &crate::ground::Span) -> Self {
        let (file, line) = place(tier, span);
        self.file = Some(file.to_string());
        self.line = Some(line);
        self
    }
}

/// One tier and its ancestors, without their files.
#[derive(Debug, Clone, Copy)]
pub struct Family<'a> {
    /// The tier's full name.
    pub title: &'a str,
    /// The architecture.
    pub architecture: Architecture,
    /// The tier and its ancestors, the root tier first; never empty.
    pub chain: &'a [&'a Tier],
    /// Their packages.
    pub members: &'a Members,
}

impl Family<'_> {
    fn answer(&self, subject: &str, present: bool, answer: String) -> Why {
        Why {
            subject: subject.to_owned(),
            tier: self.title.to_owned(),
            architecture: self.architecture,
            present,
            answer,
            chain: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn tier(&self, stage: usize) -> &Tier {
        self.chain.get(stage).copied().expect("members stand in their chain")
    }

    /// Why a package is there, or is not. Whether the archive has one that is not is for others to say.
    pub fn package(&self, name: &str) -> Why {
        match self.members.named(name) {
            Some(member) => self.present(name, member),
            None => self.absent(name),
        }
    }

    fn present(&self, name: &str, member: usize) -> Why {
        let found = &self.members.all[member];
        let from = match found.stage + 1 == self.chain.len() {
            true => "this tier adds it".to_owned(),
            false => format!("from its parent {}", self.tier(found.stage).name),
        };
        let mut why = self.answer(name, true, format!("{name} {} is there, {from}", found.version));
        let used = self.way(member, &mut why);
        let mut others: Vec<Need> = self.members.needing(member);
        others.retain(|need| !used.contains(need));
        let texts =
            others.iter().map(|need| format!("{} needs it too: {}", self.members.all[need.by].name, need.relation));
        why.notes.extend(texts.take(MOST_NEEDING));
        if let Some(more) = others.len().checked_sub(MOST_NEEDING).filter(|more| *more > 0) {
            why.notes.push(format!("and {more} more relations lead to it"));
        }
        why
    }

    /// Adds the way from a wish to a package; gives back its relations.
    fn way(&self, member: usize, why: &mut Why) -> Vec<Need> {
        let Some(((stage, number), needs)) = self.members.way(self.chain, self.architecture, member) else {
            why.notes.push("no wish of these tiers leads to it by Pre-Depends and Depends".to_owned());
            return Vec::new();
        };
        let tier = self.tier(stage);
        let wish = &tier.packages[number];
        let first = needs.first().map_or(member, |need| need.by);
        let relation = wish.relation.on(self.architecture).unwrap_or_else(|| wish.relation.clone());
        let met = relation.0.iter().position(|alternative| self.members.meeting(alternative) == Some(first));
        let text = format!("{} wishes for {}{}", tier.name, wish.relation, self.taken(&relation, met, first));
        why.chain.push(Link::new("wish", self.members.all[first].name.to_string(), text).at(tier, &wish.span));
        for (at, need) in needs.iter().enumerate() {
            let to = needs.get(at + 1).map_or(member, |next| next.by);
            let name = &self.members.all[to].name;
            let by = &self.members.all[need.by].name;
            let text = format!("{by} needs {}{}", need.relation, self.taken(&need.relation, Some(need.met), to));
            why.chain.push(Link::new("dependency", name.to_string(), text));
        }
        needs
    }

    /// Who really meets a relation, and what became of its other alternatives.
    fn taken(&self, relation: &Relation, met: Option<usize>, by: usize) -> String {
        let member = &self.members.all[by];
        let mut text = String::new();
        if met.and_then(|met| relation.0.get(met)).is_some_and(|alternative| alternative.name != member.name) {
            text.push_str(&format!("; {} provides it", member.name));
        }
        for (at, alternative) in relation.0.iter().enumerate().filter(|(at, _)| Some(*at) != met) {
            let name = &alternative.name;
            text.push_str(&match self.members.meeting(alternative) {
                Some(other) if self.members.all[other].name == *name => format!("; {name} is there, too"),
                Some(other) => format!("; {name} is met by {}, too", self.members.all[other].name),
                None if self.omission(name).is_some() => format!("; {name} is omitted"),
                None if met.is_some_and(|met| at < met) => {
                    format!("; {name} comes first there, but is not in this tier")
                }
                None => format!("; {name} was not taken"),
            });
        }
        text
    }

    fn omission(&self, name: &str) -> Option<(&Tier, &crate::manifest::Omission)> {
        let each = self.chain.iter().rev();
        each.flat_map(|tier| tier.omit.iter().map(|omission| (*tier, omission)))
            .find(|(_, omission)| omission.package.value == name)
    }

    fn absent(&self, name: &str) -> Why {
        let mut why = self.answer(name, false, format!("{name} is not there"));
        if let Some((tier, omission)) = self.omission(name) {
            why.answer = format!("{name} is not there: {} omits it", tier.name);
            let text = format!("{} omits it: {}", tier.name, omission.reason);
            why.chain.push(Link::new("omission", name, text).at(tier, &omission.package.span));
        }
        let named = |relation: &Relation| relation.0.iter().any(|alternative| *alternative.name == *name);
        if let Some(provider) = name.parse().ok().and_then(|alternative| self.members.meeting(&alternative)) {
            let provider = &self.members.all[provider];
            why.answer = format!("no package of this tier is called {name}, but {} provides it", provider.name);
            why.chain.push(Link::new(
                "provided",
                provider.name.to_string(),
                format!("{} provides {name}", provider.name),
            ));
        }
        let mut weak = Vec::new();
        for member in &self.members.all {
            for relation in member.needs.iter().filter(|relation| named(relation)) {
                let met = relation.0.iter().find_map(|alternative| self.members.meeting(alternative));
                let text = match met {
                    Some(other) => {
                        format!("{} needs {relation}, which {} meets", member.name, self.members.all[other].name)
                    }
                    None if self.tier(member.stage).dependencies == Dependencies::Linked => format!(
                        "{} needs {relation}; dependencies = \"linked\" leaves it out, since no kept file needs it: who \
                         wants it names it in `packages`",
                        member.name
                    ),
                    None => format!("{} needs {relation}, which nothing here meets", member.name),
                };
                let kind = if met.is_some() { "alternative" } else { "unmet" };
                why.chain.push(Link::new(kind, member.name.to_string(), text));
            }
            for (field, relations) in &member.weak {
                for relation in relations.iter().filter(|relation| named(relation)) {
                    let text = format!("{} {field} {relation}, which is never followed", member.name);
                    weak.push(Link::new("weak", member.name.to_string(), text));
                }
            }
        }
        let needed = !why.chain.is_empty();
        why.chain.extend(weak.into_iter().take(MOST_NEEDING));
        if !needed {
            why.chain.push(Link::new(
                "unneeded",
                name,
                "nothing in this tier needs it: no wish, no Pre-Depends, no Depends",
            ));
        }
        why
    }
}

/// Why something is at a path of a composed tier, or is not.
pub fn path(family: &Family<'_>, stages: &[Stage<'_>], merged: bool, asked: &RootPath) -> Why {
    let rootfs = &stages.last().expect("a chain holds its tier").composed.rootfs;
    let mut links = Vec::new();
    let mut real = through_links(stages, asked, &mut links);
    if rootfs.get(&real).is_none()
        && let Some(moved) = merged_usr(&real).filter(|_| merged)
    {
        let text = format!("merged-usr puts what packages have as {real} at {moved}");
        links.push(Link::new("merged-usr", moved.to_string(), text));
        real = through_links(stages, &moved, &mut links);
    }
    let paths = Paths { family, stages, asked, real: &real };
    let mut why = match rootfs.get(&real) {
        Some(entry) => paths.present(entry),
        None => paths.absent(),
    };
    why.chain.splice(0..0, links);
    why
}

/// Where a path leads through the links above its last name; each link that was followed is told.
fn through_links(stages: &[Stage<'_>], path: &RootPath, links: &mut Vec<Link>) -> RootPath {
    let Some(stage) = stages.last() else { return path.clone() };
    let rootfs = &stage.composed.rootfs;
    let followed = std::cell::RefCell::new(Vec::new());
    let found = crate::rootfs::follow(path.as_bytes(), false, |at| {
        let target = rootfs.link(at)?;
        followed.borrow_mut().extend(RootPath::from_archive(at).map(|at| (at, printable(target))));
        Some(target)
    });
    for (at, target) in followed.into_inner() {
        let whose = rootfs.get(&at).map(|entry| entry.origin.to_string()).unwrap_or_default();
        let link = Link::new("link", format!("{at} -> {target}"), format!("{at} is a link to {target} ({whose})"));
        if !links.contains(&link) {
            links.push(link);
        }
    }
    match found.map(|found| RootPath::from_archive(&found)) {
        Ok(Ok(real)) => real,
        _ => path.clone(),
    }
}

struct Paths<'a> {
    family: &'a Family<'a>,
    stages: &'a [Stage<'a>],
    asked: &'a RootPath,
    real: &'a RootPath,
}

impl Paths<'_> {
    fn present(&self, entry: &Entry) -> Why {
        let real = self.real;
        let size = match &entry.node {
            Node::File { content, .. } => format!(", {}", bytes(content.size)),
            Node::Symlink(target) => format!(" to {}", printable(target)),
            Node::Directory => String::new(),
        };
        let what = format!("{real} is {}{size}, {}", entry.node.kind(), entry.attributes);
        let mut why = self.family.answer(&self.asked.to_string(), true, what);
        // Each tier of the chain that has it otherwise than its parent.
        let mut before: Option<&Entry> = None;
        for (number, stage) in self.stages.iter().enumerate() {
            let now = stage.composed.rootfs.get(real);
            if let Some(now) =
                now.filter(|now| before.is_none_or(|before| !before.same_as(now) || before.origin != now.origin))
            {
                self.came(number, now, before.is_some(), &mut why);
            }
            before = now;
        }
        if let Node::Symlink(_) = entry.node {
            let rootfs = self.stages.last().map(|stage| &stage.composed.rootfs);
            why.notes.push(match rootfs.and_then(|rootfs| rootfs.resolve(real)) {
                Some(target) => format!("it leads to {target}"),
                None => "it leads nowhere".to_owned(),
            });
        }
        // Of a folder, that of another package is no loss.
        let out = if entry.node == Node::Directory { Vec::new() } else { kept_out(self.stages, real) };
        for out in out {
            let package = &out.dropped.package;
            why.notes.push(format!("{package} has one, too, but {}", out.text));
        }
        why
    }

    /// How it came into one tier.
    fn came(&self, number: usize, entry: &Entry, again: bool, why: &mut Why) {
        let (stage, tier) = (&self.stages[number], self.family.tier(number));
        let verb = match (again, number + 1 == self.stages.len()) {
            (true, _) => format!("{} has another", tier.name),
            (false, true) => format!("{} has it", tier.name),
            (false, false) => format!("its parent {} has it", tier.name),
        };
        match &entry.origin {
            Origin::Package(package) => {
                if let Some(member) = self.family.members.named(&package.name) {
                    self.family.way(member, why);
                }
                let moved = self.moved(stage, package);
                let text = format!("{verb} from the package {package}{moved}");
                why.chain.push(Link::new("package", package.name.to_string(), text));
            }
            Origin::Declared { key, span, .. } => {
                let text = format!("{verb} by [[{key}]]{}", self.instead(stage));
                why.chain.push(Link::new("key", *key, text).at(tier, span));
            }
            Origin::Generated { generator, .. } => {
                let text = format!("{verb} from the generator {generator}{}", self.instead(stage));
                let link = Link::new("generator", *generator, text);
                why.chain.push(match generated_at(tier, generator) {
                    Some(span) => link.at(tier, &span),
                    None => link,
                });
            }
            Origin::Image { manifest, layer } => {
                let image = format!("sha256:{manifest}");
                let text = format!("{verb} from the image {image} that it stands on, in its layer sha256:{layer}");
                why.chain.push(Link::new("image", image, text));
            }
            Origin::Implied => {
                let below = stage.composed.rootfs.below(self.real).next();
                let example = below.map(|(path, _)| format!(", such as {path}")).unwrap_or_default();
                let text = format!("{verb} because something lies in it{example}; nobody declares it");
                why.chain.push(Link::new("folder", self.real.to_string(), text));
            }
        }
    }

    /// Where the package itself has it, if elsewhere.
    fn moved(&self, stage: &Stage<'_>, package: &PackageName) -> String {
        let input = stage.packages.iter().find(|input| *input.name == *package);
        let entries = input.map(|input| input.unpacked.entries.as_slice()).unwrap_or_default();
        if entries.iter().any(|item| item.path == *self.real) {
            return String::new();
        }
        let from = entries.iter().find(|item| merged_usr(&item.path).as_ref() == Some(self.real));
        from.map(|item| format!(", which has it as {}: merged-usr moves it", item.path)).unwrap_or_default()
    }

    /// The packages whose own the manifest overrides.
    fn instead(&self, stage: &Stage<'_>) -> String {
        let has = |path: &RootPath| path == self.real || merged_usr(path).as_ref() == Some(self.real);
        let others = stage.packages.iter().filter(|input| input.unpacked.entries.iter().any(|item| has(&item.path)));
        let names: Vec<_> = others.map(|input| input.name.name.to_string()).collect();
        if names.is_empty() { String::new() } else { format!(", in place of the one of {}", names.join(", ")) }
    }

    fn absent(&self) -> Why {
        let real = self.real;
        let out = kept_out(self.stages, real);
        let answer = match out.last() {
            Some(KeptOut { dropped, text, .. }) => {
                format!("{real} is not there: {} has it, but {text}", dropped.package.name)
            }
            None => {
                format!("{real} is not there: no package of this tier ships it, and no line of a manifest makes it")
            }
        };
        let mut why = self.family.answer(&self.asked.to_string(), false, answer);
        for KeptOut { stage, dropped, kind, by, text, span } in &out {
            let link = Link::new(kind, by.clone(), format!("{} has it, but {text}", dropped.package));
            why.chain.push(match span {
                Some(span) => link.at(stage.tier, span),
                None => link,
            });
        }
        let needle = real.to_string();
        for input in self.stages.iter().flat_map(|stage| stage.packages) {
            let names = |script: &&str| {
                let text = input.unpacked.control.get(*script);
                text.is_some_and(|text| names_path(text, needle.as_bytes()))
            };
            let scripts: Vec<_> = SCRIPTS.into_iter().filter(names).collect();
            if !scripts.is_empty() && !real.is_root() {
                let package = &input.name.name;
                let verb = if scripts.len() == 1 { "names" } else { "name" };
                let text =
                    format!("the {} of {package} {verb} it; maintainer scripts are never run", scripts.join(" and "));
                why.chain.push(Link::new("script", package.to_string(), text));
            }
        }
        if out.is_empty() {
            let omit = self.family.chain.iter().flat_map(|tier| &tier.omit).map(|one| one.package.value.as_str());
            let omitted: BTreeSet<_> = omit.filter(|name| self.family.members.named(name).is_none()).collect();
            if !omitted.is_empty() {
                let omitted = omitted.into_iter().collect::<Vec<_>>().join(", ");
                why.notes.push(format!("what the omitted packages ship is not known here: {omitted}"));
            }
            let rootfs = self.stages.last().map(|stage| &stage.composed.rootfs);
            if let Some(near) = rootfs.and_then(|rootfs| nearby(rootfs, self.asked)) {
                why.notes.push(format!("{near} is there"));
            }
        }
        why
    }
}

/// Whether a script names a path, and not only a longer one.
fn names_path(text: &[u8], path: &[u8]) -> bool {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.+@".contains(byte);
    memchr::memmem::find_iter(text, path).any(|at| {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        let after = text.get(at + path.len());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// The line that asks for a generated file: `[generate]`'s key of that name, or what it is made of.
fn generated_at(tier: &Tier, generator: &str) -> Option<crate::ground::Span> {
    match generator {
        "passwd" => tier.users.first().map(|user| user.span.clone()),
        "group" => tier.groups.first().map(|group| group.span.clone()),
        _ => place_of(&tier.source, &["generate", generator]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_script_is_that_path_alone() {
        for (text, expected) in [
            ("ln -s x /etc/made", true),
            ("\"/etc/made\";", true),
            ("/etc/made", true),
            ("/etc/made-too /etc/made.d /etc/made/x /opt/etc/made", false),
            ("/etc/made.d\n/etc/made\n", true),
            ("", false),
        ] {
            assert_eq!(names_path(text.as_bytes(), b"/etc/made"), expected, "{text}");
        }
    }
}
