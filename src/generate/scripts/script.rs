//! A maintainer script: read, walked, handed to those who make what its calls would make, and looked
//! up in the table for what is left.

use std::collections::BTreeSet;

use super::{
    Effect, Effects, Item, fingerprint, harmless, name,
    paths::Paths,
    shown,
    table::{self, TABLE},
};
use crate::{
    debian::Architecture,
    generate::{
        Accounts, alternatives,
        shell::{self, Call, Unreadable, World},
    },
    ground::{RootPath, printable},
    rootfs::PackageName,
};

/// A script of a package.
pub(super) struct Script<'a> {
    package: &'a PackageName,
    script: &'static str,
    argument: &'static str,
    /// Without the parts that mean nothing.
    read: Result<shell::Script, Unreadable>,
    /// Parts that were dealt with by themselves.
    parts: usize,
    /// The row of the table that is about this very script.
    row: Option<&'static table::Script>,
    /// The table knows a script of this name, but perhaps another one.
    known: bool,
    /// Nothing is made but by a row of the table.
    alone: bool,
    fingerprint: String,
}

impl<'a> Script<'a> {
    pub(super) fn of(
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
        let read = if shell { shell::Script::read(&rest) } else { Err(Unreadable("it is no shell script")) };
        let fingerprint = fingerprint::of_script(&read, &rest, argument);
        let rows: Vec<_> = TABLE.scripts.iter().filter(|row| row.is_for(&package.name, script)).collect();
        let row = rows.iter().find(|row| row.calls.contains(&fingerprint)).copied();
        let (known, alone) = (!rows.is_empty(), rows.iter().any(|row| row.alone));
        Self { package, script, argument, read, parts: parts.len(), row, known, alone, fingerprint }
    }

    pub(super) fn walk(
        &self,
        architecture: Architecture,
        exists: &dyn Fn(&[u8]) -> bool,
        account: &dyn Fn(&str) -> bool,
    ) -> Walked {
        let world = World {
            argument: self.argument,
            architecture: Some(architecture.name()),
            exists: &|path| Some(exists(path)),
            account: &|name| Some(account(name)),
        };
        let walked = match &self.read {
            Ok(script) => script.walk(&world),
            Err(unreadable) => Err(*unreadable),
        };
        let alone = self.alone;
        match walked {
            Ok(mut left) => {
                left.retain(|call| !harmless(call));
                Walked { alone, left, by: BTreeSet::new(), unreadable: None }
            }
            Err(Unreadable(why)) => Walked { alone, left: Vec::new(), by: BTreeSet::new(), unreadable: Some(why) },
        }
    }

    /// Makes what the script would make, and says what became of it.
    pub(super) fn settle(
        &self,
        architecture: Architecture,
        accounts: &Accounts,
        paths: &mut Paths<'_, '_>,
        effects: &mut Effects,
    ) {
        let mut walked = self.walk(architecture, &|path| paths.exists(path), &|name| accounts.has(name));
        walked.take_all(self.package, paths, effects);
        let Self { package, script, .. } = *self;
        let item = |effect, reason: String, fingerprint| Item {
            package: package.clone(),
            member: script.to_owned(),
            effect,
            reason,
            fingerprint,
        };
        effects.items.extend(walked.by.iter().map(|key| item(Effect::Made(key), format!("generate.{key}"), None)));
        // A umask matters only to what is made under it.
        let left: Vec<_> = walked.left.iter().filter(|call| name(call) != Some("umask")).collect();
        let done = walked.unreadable.is_none() && left.is_empty();
        if let Some(row) = self.row.filter(|row| !done || row.alone || !row.instead.is_empty()) {
            let instead = row.instead.trim();
            if !instead.is_empty() {
                let read = shell::Script::read(instead);
                let instead = Self { read, row: None, alone: false, fingerprint: String::new(), ..*self };
                let mut walked = instead.walk(architecture, &|path| paths.exists(path), &|_| false);
                walked.take_all(package, paths, effects);
            }
            let there = |folder: &String| {
                let folder = folder.replace("@multiarch@", architecture.multiarch());
                let path = RootPath::from_absolute(folder.as_bytes());
                path.is_ok_and(|path| paths.rootfs.below(&path).next().is_some())
            };
            let (effect, reason) = match row.needs.is_empty() || row.needs.iter().any(there) {
                true => (row.effect(), row.reason.clone()),
                false => (Effect::None, "nothing is there that it would act on".to_owned()),
            };
            effects.items.push(item(effect, reason, Some(self.fingerprint.clone())));
            return;
        }
        if done {
            if walked.by.is_empty() && self.parts == 0 {
                let reason = "nothing of it lasts after a first installation";
                effects.items.push(item(Effect::None, reason.into(), None));
            }
            return;
        }
        let mut why = match walked.unreadable {
            Some(why) => format!("{why}, so that it cannot be followed"),
            None => format!("it calls `{}`", summary(&left)),
        };
        if self.known {
            why.push_str("; it is another script than the one that is known");
        }
        effects.items.push(item(Effect::Unhandled, why, Some(self.fingerprint.clone())));
    }
}

/// A script that was walked.
pub(super) struct Walked {
    /// A row of the table decides alone.
    alone: bool,
    /// What is not understood yet.
    left: Vec<Call>,
    /// Keys of generators that took something.
    by: BTreeSet<&'static str>,
    /// Why it was not walked.
    unreadable: Option<&'static str>,
}

impl Walked {
    /// Hands all calls that surely come to pass to somebody who may take them, for a generator.
    pub(super) fn take(&mut self, mut taken: impl FnMut(&Call) -> Option<&'static str>) {
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

    /// Hands calls to those who make what they would make.
    fn take_all(&mut self, package: &PackageName, paths: &mut Paths<'_, '_>, effects: &mut Effects) {
        self.take(|call| paths.users.call(call).then_some("sysusers"));
        self.take(|call| alternatives::read(call, &package.name, &mut effects.choices).map(|()| "alternatives"));
        paths.mask = 0o022;
        self.take(|call| paths.call(call).then_some("scripts"));
    }
}

fn summary(left: &[&Call]) -> String {
    let mut text = left.iter().take(3).map(|call| call.raw.as_str()).collect::<Vec<_>>().join("`, `");
    if left.len() > 3 {
        text.push_str("`, `...");
    }
    shown(&text)
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
