//! Maintainer scripts: which a package has, what each would do on a first installation, and which of it
//! is made natively. Scripts are read by `shell`, never run; what is known of them beyond that is data,
//! in `table.toml`. docs/scripts.md tells the rules.

mod accounts;
mod arguments;
mod fingerprint;
mod paths;
mod script;
mod table;
mod tmpfiles;

pub use accounts::system_id;

pub(super) use self::paths::find;
use self::{accounts::Users, paths::Paths, script::Script, table::TABLE};
use super::{Accounts, Made, Package, alternatives::Choice, shell::Call};
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
    /// What lines of tmpfiles.d make.
    pub tmpfiles: Vec<Made>,
}

/// A script longer than this is not looked at; the longest of Debian's main has 0.2 MB.
const LONGEST: usize = 1 << 20;
/// Characters of a package's text in a message.
const MOST_SHOWN: usize = 200;
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
        users.master_files(package, &mut effects.items);
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
    let mut paths = Paths::new(rootfs, packages, &mut users);
    for script in &scripts {
        script.settle(architecture, accounts, &mut paths, &mut effects);
    }
    effects.entries = paths.finish();
    effects.tmpfiles = tmpfiles::read(packages, rootfs, &mut users, &mut effects.items);
    effects.accounts = users.finish();
    effects
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
        fingerprint: Some(fingerprint::of_digest(Sha256::of(bytes))),
    });
    None
}

/// The name of the program that is called, without its folder.
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

/// A text from a package for a message: short, and safe to print.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(MOST_SHOWN).collect();
    printable(short.as_bytes())
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
