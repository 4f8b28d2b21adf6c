//! Maintainer scripts: which a package has, what each would do on a first installation, and which of it
//! is made natively. Scripts are read by `shell`, never run; what is known of them beyond that is data,
//! in `table.toml`. docs/scripts.md tells the rules.

mod accounts;
mod paths;
mod table;
mod tmpfiles;

use std::collections::{BTreeMap, BTreeSet};

pub use accounts::system_id;
pub use tmpfiles::tmpfiles_items;

use self::{accounts::Users, paths::Paths, table::TABLE};
pub(super) use self::{paths::find, tmpfiles::tmpfiles};
use super::{
    Accounts, Made, Package,
    alternatives::{self, Choice},
    shell::{Call, World, walk},
};
use crate::{
    debian::Architecture,
    ground::{RootPath, Sha256, printable},
    rootfs::{Node, PackageName, Rootfs},
};

/// What one thing of a package would have done in an ordinary installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The package.
    pub package: PackageName,
    /// Which: `postinst`, `triggers`, or `postinst: dh_installsystemd` for a part that debhelper wrote.
    pub member: String,
    /// What became of it.
    pub effect: Effect,
    /// Why, in a sentence without a full stop.
    pub reason: String,
    /// Of what is not understood by itself, as rows of the table name it.
    pub fingerprint: Option<String>,
}

/// What became of something that a script does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A generator makes it: the name of its key in `[generate]`.
    Made(&'static str),
    /// It means nothing in an image.
    None,
    /// It is known, and cannot be had without running code.
    Missing,
    /// Nobody has looked at it.
    Unhandled,
}

/// What the scripts of a tier's own packages come to.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Every script and what became of it, in the order of the packages.
    pub items: Vec<Item>,
    /// `update-alternatives --install` calls.
    pub choices: Vec<Choice>,
    /// Users and groups that packages make, without those that the chain has.
    pub accounts: Accounts,
    /// Files, folders and links.
    pub entries: Vec<Made>,
}

/// A script longer than this is not looked at; the longest of Debian's main has 0.2 MB. What is made of it
/// has some hundred times its size.
const LONGEST: usize = 1 << 20;
/// Scripts that run when a package is installed, and their `$1`.
const SCRIPTS: [(&str, &str); 2] = [("preinst", "install"), ("postinst", "configure")];

/// Looks at the scripts of a tier's own packages. `accounts` are those of the chain's manifests and of
/// packages of parent tiers, `rootfs` the merged tree.
pub fn effects(packages: &[Package<'_>], architecture: Architecture, rootfs: &Rootfs, accounts: &Accounts) -> Effects {
    let mut effects = Effects::default();
    let mut scripts = Vec::new();
    for package in packages {
        members(package, &mut effects.items);
        for (script, argument) in SCRIPTS {
            if let Some(text) = text_of(package, script, &mut effects.items) {
                scripts.push(Script::of(package.name, script, argument, text, &mut effects.items));
            }
        }
    }
    let mut users = Users::new(accounts);
    for package in packages {
        users.master_files(package);
    }
    // Accounts first: a script may name the user of a package that comes later.
    for script in &scripts {
        let exists = |path: &[u8]| RootPath::from_absolute(path).is_ok_and(|path| find(rootfs, &path).is_some());
        let mut walked = script.walk(architecture, &exists, &|name| users.known(name));
        walked.take(|call| users.call(call).then_some("sysusers"));
    }
    // Where a script makes the same user as a file does, Debian has the script's.
    for package in packages {
        users.sysusers(package, &mut effects.items);
    }
    let mut paths = Paths { rootfs, packages, users: &mut users, made: BTreeMap::new(), mask: 0o022 };
    for script in &scripts {
        let mut walked = script.walk(architecture, &|path| paths.exists(path), &|name| accounts.has(name));
        take(&mut walked, script.package, &mut paths, &mut effects.choices);
        walked.settle(architecture, rootfs, &mut paths, &mut effects);
    }
    effects.entries = paths.finish();
    effects.accounts = users.finish();
    effects
}

/// Hands calls to those who make what they would make.
fn take(walked: &mut Walked<'_>, package: &PackageName, paths: &mut Paths<'_, '_>, choices: &mut Vec<Choice>) {
    walked.take(|call| paths.users.call(call).then_some("sysusers"));
    walked.take(|call| alternatives::read(call, &package.name, choices).map(|()| "alternatives"));
    paths.mask = 0o022;
    walked.take(|call| paths.call(call).then_some("scripts"));
}

/// Members of control.tar that never do anything at a first installation.
fn members(package: &Package<'_>, items: &mut Vec<Item>) {
    for row in &TABLE.members {
        if package.unpacked.control.contains_key(&*row.name) {
            items.push(Item {
                package: package.name.clone(),
                member: row.name.clone(),
                effect: Effect::None,
                reason: row.reason.clone(),
                fingerprint: None,
            });
        }
    }
}

fn text_of<'a>(package: &Package<'a>, script: &str, items: &mut Vec<Item>) -> Option<&'a str> {
    let bytes = package.unpacked.control.get(script)?;
    let why = match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= LONGEST => return Some(text),
        Ok(_) => "it is too long",
        Err(_) => "it is no text",
    };
    items.push(Item {
        package: package.name.clone(),
        member: script.to_owned(),
        effect: Effect::Unhandled,
        reason: why.to_owned(),
        fingerprint: Some(fingerprint_of(&Sha256::of(bytes).to_string())),
    });
    None
}

/// A script of a package.
struct Script<'a> {
    package: &'a PackageName,
    script: &'static str,
    argument: &'static str,
    /// Without the parts that mean nothing.
    text: String,
    /// Whether it names a shell.
    shell: bool,
    /// Parts that were dealt with by themselves.
    parts: usize,
}

impl<'a> Script<'a> {
    fn of(
        package: &'a PackageName,
        script: &'static str,
        argument: &'static str,
        text: &str,
        items: &mut Vec<Item>,
    ) -> Self {
        let (rest, parts) = without_snippets(text);
        for tool in &parts {
            let row = TABLE.snippets.iter().find(|row| row.tool == *tool);
            items.push(Item {
                package: package.clone(),
                member: format!("{script}: {}", printable(tool.as_bytes())),
                effect: Effect::None,
                reason: row.map(|row| row.reason.clone()).unwrap_or_default(),
                fingerprint: None,
            });
        }
        let shell = text.starts_with("#!") && text.lines().next().is_some_and(|line| line.contains("sh"));
        Self { package, script, argument, text: rest, shell, parts: parts.len() }
    }

    fn walk(
        &self,
        architecture: Architecture,
        exists: &dyn Fn(&[u8]) -> bool,
        account: &dyn Fn(&str) -> bool,
    ) -> Walked<'_> {
        let world = World { argument: self.argument, architecture: architecture.name(), exists, account };
        let alone = TABLE.scripts.iter().any(|row| row.alone && row.is_for(&self.package.name, self.script));
        let (left, unreadable) = match walk(&self.text, &world) {
            Ok(calls) if self.shell => (calls, None),
            Ok(_) => (Vec::new(), Some("it is no shell script")),
            Err(unreadable) => (Vec::new(), Some(unreadable.0)),
        };
        let mut walked = Walked { script: self, alone, left, by: BTreeSet::new(), unreadable };
        walked.left.retain(|call| !harmless(call));
        walked
    }
}

/// A script that was walked.
struct Walked<'a> {
    script: &'a Script<'a>,
    /// A row of the table decides alone.
    alone: bool,
    /// What is not understood yet.
    left: Vec<Call>,
    /// Keys of generators that took something.
    by: BTreeSet<&'static str>,
    /// Why it was not walked.
    unreadable: Option<&'static str>,
}

impl Walked<'_> {
    /// Hands all calls that surely come to pass to somebody who may take them, for a generator.
    fn take(&mut self, mut taken: impl FnMut(&Call) -> Option<&'static str>) {
        if self.alone {
            return;
        }
        let by = &mut self.by;
        self.left.retain(|call| {
            let sure = !call.maybe && call.writes.is_empty() && call.words.iter().all(Option::is_some);
            match sure.then(|| taken(call)).flatten() {
                Some(key) => {
                    by.insert(key);
                    false
                }
                None => true,
            }
        });
    }

    fn settle(self, architecture: Architecture, rootfs: &Rootfs, paths: &mut Paths<'_, '_>, effects: &mut Effects) {
        let Script { package, script, .. } = self.script;
        let item = |effect, reason: String, fingerprint| Item {
            package: (*package).clone(),
            member: (*script).to_owned(),
            effect,
            reason,
            fingerprint,
        };
        effects.items.extend(self.by.iter().map(|key| item(Effect::Made(key), format!("generate.{key}"), None)));
        // A umask matters only to what is made under it.
        let left: Vec<_> = self.left.iter().filter(|call| name(call) != Some("umask")).collect();
        let (text, mut why) = match self.unreadable {
            Some(why) => (self.script.text.clone(), format!("{why}, so that it cannot be followed")),
            None if left.is_empty() => {
                if self.by.is_empty() && self.script.parts == 0 {
                    let reason = "nothing of it lasts after a first installation";
                    effects.items.push(item(Effect::None, reason.into(), None));
                }
                return;
            }
            None => {
                let lines: Vec<_> = left.iter().map(|call| call.raw.as_str()).collect();
                (lines.join("\n"), format!("it calls `{}`", shown(&lines)))
            }
        };
        // Of a row that decides alone the whole text counts, so that the tree has no say in it.
        let fingerprint = fingerprint(if self.alone { &self.script.text } else { &text }, architecture);
        let rows = TABLE.scripts.iter().filter(|row| row.is_for(&package.name, script));
        let (known, others): (Vec<_>, Vec<_>) = rows.partition(|row| row.calls.contains(&fingerprint));
        if let Some(row) = known.first() {
            if !row.instead.is_empty() {
                let instead = Script {
                    package,
                    script,
                    argument: self.script.argument,
                    text: row.instead.clone(),
                    shell: true,
                    parts: 0,
                };
                let mut walked = instead.walk(architecture, &|path| paths.exists(path), &|_| false);
                walked.alone = false;
                take(&mut walked, package, paths, &mut effects.choices);
            }
            let there = |folder: &String| {
                let folder = folder.replace("@multiarch@", architecture.multiarch());
                let path = RootPath::from_absolute(folder.as_bytes());
                path.is_ok_and(|path| rootfs.below(&path).next().is_some())
            };
            let (effect, reason) = match row.needs.is_empty() || row.needs.iter().any(there) {
                true => (row.effect(), row.reason.clone()),
                false => (Effect::None, "nothing is there that it would act on".to_owned()),
            };
            effects.items.push(item(effect, reason, Some(fingerprint)));
            return;
        }
        if !others.is_empty() {
            why.push_str("; it is another script than the one that is known");
        }
        effects.items.push(item(Effect::Unhandled, why, Some(fingerprint)));
    }
}

/// As much of a text as a message has room for.
fn start_of(text: &str) -> String {
    text.chars().take(200).collect()
}

fn shown(lines: &[&str]) -> String {
    let mut text = lines.iter().take(3).copied().collect::<Vec<_>>().join("`, `");
    if lines.len() > 3 {
        text.push_str("`, `...");
    }
    printable(start_of(&text).as_bytes())
}

/// The script without the parts that debhelper wrote and that mean nothing, and whose they are.
fn without_snippets(text: &str) -> (String, Vec<String>) {
    const END: &str = "# End automatically added section";
    let mut rest = String::new();
    let mut parts = Vec::new();
    // One without an end is no part: nothing after it may go unseen.
    let last = text.lines().enumerate().filter(|(_, line)| *line == END).map(|(at, _)| at).last();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let tool = line.strip_prefix("# Automatically added by ").map(|tool| tool.split('/').next().unwrap_or(tool));
        match tool.filter(|tool| TABLE.snippets.iter().any(|row| row.tool == *tool)) {
            Some(tool) if last.is_some_and(|last| at < last) => {
                parts.push(tool.to_owned());
                lines.by_ref().find(|(_, line)| *line == END);
            }
            _ => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
    }
    parts.sort();
    parts.dedup();
    (rest, parts)
}

fn name(call: &Call) -> Option<&str> {
    let name = call.words.first()?.as_deref()?;
    Some(name.rsplit('/').next().unwrap_or(name))
}

/// Whether a call changes nothing that an image keeps.
fn harmless(call: &Call) -> bool {
    if !call.writes.is_empty() {
        return false;
    }
    let Some(name) = name(call) else { return false };
    let says = |at: usize, word: &str| call.words.get(at).is_some_and(|one| one.as_deref() == Some(word));
    match name {
        "." => call
            .words
            .get(1)
            .is_some_and(|file| file.as_deref().is_some_and(|file| TABLE.libraries.iter().any(|known| known == file))),
        "sed" | "perl" => !call.words.iter().flatten().any(|word| word.starts_with("-i")) && name == "sed",
        "dpkg-statoverride" | "dpkg-divert" => call.words.iter().any(|word| word.as_deref() == Some("--list")),
        "update-alternatives" => {
            let quiet = ["--install", "--set", "--set-selections", "--config"];
            !call.words.iter().flatten().any(|word| quiet.contains(&word.as_str()))
                && call.words.get(1).is_some_and(Option::is_some)
        }
        "exec" => says(1, "true"),
        name => TABLE.is_harmless(name),
    }
}

/// The first 12 hexadecimal digits of a text's SHA-256, after what differs from release to release and
/// between architectures is taken out of it.
fn fingerprint(text: &str, architecture: Architecture) -> String {
    let text = text.replace(architecture.multiarch(), "@multiarch@").replace(architecture.name(), "@architecture@");
    let mut plain = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        for word in line.split_whitespace() {
            // A number that stands alone, such as a mode, stays; versions do not.
            let number = word.trim_matches(['"', '\'']);
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
                plain.push_str(word);
            } else {
                let mut last = ' ';
                for c in word.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }) {
                    if c != '#' || last != '#' {
                        plain.push(c);
                    }
                    last = c;
                }
            }
            plain.push(' ');
        }
        plain.push('\n');
    }
    fingerprint_of(&Sha256::of(plain.as_bytes()).to_string())
}

fn fingerprint_of(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// The files of a package below a folder, with their text; what is no text, or longer than 1 MiB, with
/// none.
fn files_below(package: &Package<'_>, folder: &[u8]) -> Vec<(RootPath, Option<String>)> {
    const MOST: u64 = 1 << 20;
    let folder = RootPath::from_absolute(folder).expect("a plain path");
    let mut files = Vec::new();
    for item in &package.unpacked.entries {
        let Node::File { content, .. } = &item.node else { continue };
        if item.path.below(&folder).is_none() {
            continue;
        }
        let mut bytes = vec![0; content.size.min(MOST + 1) as usize];
        let text = content.size <= MOST && content.read_at(0, &mut bytes).is_ok();
        files.push((item.path.clone(), text.then(|| String::from_utf8(bytes).ok()).flatten()));
    }
    files.sort();
    files
}
