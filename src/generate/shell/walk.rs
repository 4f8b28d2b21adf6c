//! From commands to the calls that a first installation would make.

use std::collections::BTreeMap;

use super::{
    Unreadable, World,
    conditions::{Status, compare, plain_match, test},
    parse::{Command, Part, Word},
};

/// What a walk may cost: a command, a field and every 64 bytes of text are one each. The longest
/// script of Debian's main needs some thousand.
const BUDGET: usize = 200_000;
/// How deep commands nest, those of the functions that they call too.
const DEEPEST: usize = 100;
/// How deep functions call each other.
const DEEPEST_CALLS: usize = 12;
/// Bytes of a variable or a word; a longer one is unknown.
const LONGEST: usize = 64 << 10;
/// More calls than any script makes.
const MOST_CALLS: usize = 5_000;

/// A program that would be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its name and arguments; `None` is one that cannot be told.
    pub(crate) words: Vec<Option<String>>,
    /// Files that its output goes to.
    pub(crate) writes: Vec<Option<String>>,
    /// As it is written, words parted by one space.
    pub(crate) raw: String,
    /// The same with what can be told filled in.
    pub(crate) filled: String,
    /// Whether it depends on something that cannot be told.
    pub(crate) maybe: bool,
}

/// All calls of a script, in their order. Tests, and what only speaks or ends, are none.
pub(super) fn walk(command: &Command, world: &World<'_>) -> Result<Vec<Call>, Unreadable> {
    // dpkg hands a postinst the version that was configured before, which is empty.
    let positional = match world.argument {
        "configure" => vec![Some("configure".to_owned()), Some(String::new())],
        argument => vec![Some(argument.to_owned())],
    };
    let mut walker = Walker {
        world,
        variables: [("DPKG_MAINTSCRIPT_ARCH".to_owned(), world.architecture.map(str::to_owned))].into(),
        positional: Some(positional),
        functions: BTreeMap::new(),
        calls: Vec::new(),
        maybe: 0,
        ended: false,
        returned: false,
        turned: false,
        calling: 0,
        nested: 0,
        spent: 0,
    };
    match walker.run(command) {
        Ok(_) | Err(Stop::Exit | Stop::Return | Stop::Turn { .. }) => Ok(walker.calls),
        Err(Stop::TooLong) => Err(Unreadable("it has too many steps")),
    }
}

enum Stop {
    Exit,
    Return,
    /// `break` or `continue` of a loop.
    Turn {
        last: bool,
    },
    TooLong,
}

struct Walker<'a> {
    world: &'a World<'a>,
    variables: BTreeMap<String, Option<String>>,
    /// `$1` and so on, if it can be told how many there are.
    positional: Option<Vec<Option<String>>>,
    functions: BTreeMap<&'a str, &'a Command>,
    calls: Vec<Call>,
    maybe: usize,
    /// Whether the script has ended perhaps: then all that follows is "maybe".
    ended: bool,
    /// The same of the function.
    returned: bool,
    /// The same of a turn of the loop.
    turned: bool,
    calling: usize,
    nested: usize,
    spent: usize,
}

impl<'a> Walker<'a> {
    fn spend(&mut self, cost: usize) -> Result<(), Stop> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > BUDGET { Err(Stop::TooLong) } else { Ok(()) }
    }

    fn unsure(&self) -> bool {
        self.maybe > 0 || self.ended || self.returned || self.turned
    }

    fn run(&mut self, command: &'a Command) -> Result<Status, Stop> {
        self.spend(1)?;
        if self.nested > DEEPEST {
            return Err(Stop::TooLong);
        }
        self.nested += 1;
        let status = self.command(command);
        self.nested -= 1;
        status
    }

    fn command(&mut self, command: &'a Command) -> Result<Status, Stop> {
        match command {
            Command::Simple(words) => self.simple(words),
            Command::Pipe(commands) => {
                for command in commands {
                    self.run(command)?;
                }
                Ok(None)
            }
            Command::Not(command) => Ok(self.run(command)?.map(|status| !status)),
            Command::AndOr(first, more) => {
                let mut status = self.run(first)?;
                for (and, command) in more {
                    status = match status {
                        Some(so_far) if so_far == *and => self.run(command)?,
                        Some(so_far) => Some(so_far),
                        None => self.perhaps(command).map(|()| None)?,
                    };
                }
                Ok(status)
            }
            Command::Subshell(command) => {
                self.spend(self.variables.len())?;
                let before = (self.variables.clone(), self.positional.clone(), self.ended, self.returned);
                let status = self.run(command);
                (self.variables, self.positional, self.ended, self.returned) = before;
                match status {
                    Err(Stop::TooLong) => Err(Stop::TooLong),
                    Err(_) => Ok(None),
                    status => status,
                }
            }
            Command::List(commands) => {
                let mut status = Some(true);
                for command in commands {
                    status = self.run(command)?;
                }
                Ok(status)
            }
            Command::If(arms, otherwise) => self.conditional(arms, otherwise.as_deref()),
            Command::For(name, words, body) => self.counted(name, words, body),
            Command::While(condition, body) => {
                self.run(condition)?;
                self.perhaps(body).map(|()| None)
            }
            Command::Case(subject, arms) => self.cases(subject, arms),
            Command::Function(name, body) => {
                self.functions.insert(name, body);
                Ok(Some(true))
            }
        }
    }

    /// Walks what may or may not come to pass; an end in there ends nothing for sure.
    fn perhaps(&mut self, command: &'a Command) -> Result<(), Stop> {
        let before = self.maybe;
        self.maybe += 1;
        let status = self.run(command);
        self.maybe = before;
        match status {
            Err(Stop::TooLong) => Err(Stop::TooLong),
            _ => Ok(()),
        }
    }

    fn conditional(&mut self, arms: &'a [(Command, Command)], otherwise: Option<&'a Command>) -> Result<Status, Stop> {
        let before = self.maybe;
        let status = self.arms(arms, otherwise);
        self.maybe = before;
        status
    }

    fn arms(&mut self, arms: &'a [(Command, Command)], otherwise: Option<&'a Command>) -> Result<Status, Stop> {
        let mut unsure = false;
        for (condition, body) in arms {
            match self.run(condition)? {
                Some(false) => {}
                Some(true) if !unsure => return self.run(body),
                Some(true) => return self.perhaps(body).map(|()| None),
                None => {
                    self.perhaps(body)?;
                    // What comes after holds only where this does not.
                    self.maybe += 1;
                    unsure = true;
                }
            }
        }
        match otherwise {
            Some(body) if unsure => self.perhaps(body).map(|()| None),
            Some(body) => self.run(body),
            None if unsure => Ok(None),
            None => Ok(Some(true)),
        }
    }

    fn counted(&mut self, name: &str, words: &[Word], body: &'a Command) -> Result<Status, Stop> {
        let mut values = Vec::new();
        for word in words {
            self.expand(word, &mut values)?;
        }
        if values.contains(&None) {
            self.variables.insert(name.into(), None);
            // Once, for whatever it may be.
            return self.perhaps(body).map(|()| None);
        }
        let before = self.turned;
        for value in values {
            self.variables.insert(name.into(), value);
            match self.run(body) {
                Err(Stop::Turn { last: true }) => break,
                Err(Stop::Turn { last: false }) => {}
                other => drop(other?),
            }
        }
        self.turned = before;
        Ok(None)
    }

    fn cases(&mut self, subject: &Word, arms: &'a [(Vec<Word>, Command)]) -> Result<Status, Stop> {
        let subject = self.text(subject)?;
        for (patterns, body) in arms {
            let mut verdict = Some(false);
            for pattern in patterns {
                match (&subject, self.text(pattern)?) {
                    (_, Some(pattern)) if pattern == "*" => verdict = Some(true),
                    (Some(subject), Some(pattern)) if pattern.contains('*') && !pattern.contains(['?', '[']) => {
                        verdict = if plain_match(&pattern, subject) { Some(true) } else { verdict }
                    }
                    (Some(_), Some(pattern)) if pattern.contains(['?', '[']) && verdict != Some(true) => verdict = None,
                    (Some(subject), Some(pattern)) if *subject == pattern => verdict = Some(true),
                    (Some(_), Some(_)) => {}
                    _ if verdict != Some(true) => verdict = None,
                    _ => {}
                }
            }
            match verdict {
                Some(true) if subject.is_some() => return self.run(body),
                Some(false) => {}
                _ => self.perhaps(body)?,
            }
        }
        Ok(None)
    }

    fn simple(&mut self, words: &[Word]) -> Result<Status, Stop> {
        let assigned = words.iter().take_while(|word| assignment(word).is_some()).count();
        let (assignments, words) = words.split_at(assigned);
        if words.is_empty() {
            for word in assignments {
                self.assign(word)?;
            }
            return Ok(Some(true));
        }
        let mut expanded = Vec::new();
        for word in words.iter().filter(|word| !word.target) {
            self.expand(word, &mut expanded)?;
        }
        if words.iter().any(|word| word.target) {
            self.call(words, expanded)?;
            return Ok(None);
        }
        let Some(Some(name)) = expanded.first().cloned() else {
            if !expanded.is_empty() {
                self.call(words, expanded)?;
            }
            return Ok(None);
        };
        let arguments = &expanded[1..];
        let is = |at: usize, word: &str| arguments.get(at).is_some_and(|one| one.as_deref() == Some(word));
        match name.as_str() {
            "true" | ":" | "echo" | "printf" | "db_stop" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            "[" => Ok(test(arguments.strip_suffix(&[Some("]".into())]).unwrap_or(arguments), self.world)),
            "test" => Ok(test(arguments, self.world)),
            "set" => {
                if is(0, "--") {
                    self.positional = if self.unsure() { None } else { Some(arguments[1..].to_vec()) };
                }
                Ok(Some(true))
            }
            "shift" => {
                let count = arguments.first().map_or(Some(1), |count| count.as_ref()?.parse::<usize>().ok());
                let sure = !self.unsure();
                self.positional = match (self.positional.take(), count) {
                    (Some(all), Some(count)) if sure => Some(all.into_iter().skip(count).collect()),
                    _ => None,
                };
                Ok(Some(true))
            }
            "local" | "export" | "readonly" => {
                for word in words[1..].iter().filter(|word| assignment(word).is_some()) {
                    self.assign(word)?;
                }
                Ok(Some(true))
            }
            "unset" => {
                let unsure = self.unsure();
                for name in arguments.iter().flatten() {
                    self.variables.insert(name.clone(), if unsure { None } else { Some(String::new()) });
                }
                Ok(Some(true))
            }
            "exit" | "return" => Err(self.end(name == "exit", arguments)),
            "break" | "continue" => {
                self.turned |= self.maybe > 0;
                Err(Stop::Turn { last: name == "break" })
            }
            "dpkg" if is(0, "--compare-versions") => Ok(compare(&arguments[1..])),
            // Nobody has overridden anything yet.
            "dpkg-statoverride" if is(0, "--list") => Ok(Some(false)),
            "command" | "which" | "type" | "hash" => Ok(match arguments.last() {
                Some(Some(program)) => self.program(program),
                _ => None,
            }),
            "getent" | "id" => Ok(match arguments.last() {
                Some(Some(name)) if !name.starts_with('-') => (self.world.account)(name),
                _ => None,
            }),
            "read" | "getopts" => {
                for name in arguments.iter().flatten() {
                    self.variables.insert(name.clone(), None);
                }
                self.call(words, expanded)?;
                Ok(None)
            }
            name if self.functions.contains_key(name) => self.function(name, arguments.to_vec()),
            "mkdir" | "cp" | "ln" | "touch" | "chmod" | "chown" | "chgrp" | "install" | "ucf" => {
                self.call(words, expanded)?;
                // They are taken to do what they are told.
                Ok(Some(true))
            }
            _ => {
                self.call(words, expanded)?;
                Ok(None)
            }
        }
    }

    /// `exit` or `return`. One that comes perhaps, and means no failure, leaves the rest unsure: an
    /// installation in which a script fails is none.
    fn end(&mut self, exit: bool, arguments: &[Option<String>]) -> Stop {
        let fails = |one: &String| one.parse::<u8>().is_ok_and(|status| status > 0);
        let failure = exit && matches!(arguments, [Some(status)] if fails(status));
        if self.maybe > 0 && !failure {
            self.ended |= exit;
            self.returned |= !exit;
        }
        // Of one that comes perhaps, `perhaps` makes nothing.
        if exit { Stop::Exit } else { Stop::Return }
    }

    /// Whether a program is there, by its path or on that of dpkg.
    fn program(&self, name: &str) -> Option<bool> {
        let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        let here = |path: &str| (self.world.exists)(path.as_bytes());
        if name.contains('/') {
            return here(name);
        }
        for folder in folders {
            if here(&format!("{folder}/{name}"))? {
                return Some(true);
            }
        }
        Some(false)
    }

    fn call(&mut self, words: &[Word], expanded: Vec<Option<String>>) -> Result<(), Stop> {
        if self.calls.len() >= MOST_CALLS {
            return Err(Stop::TooLong);
        }
        let mut raw = Vec::new();
        let mut filled = Vec::new();
        let mut writes = Vec::new();
        for word in words {
            self.spend(1 + word.raw.len() / 64)?;
            let plain = word.raw.split_whitespace().filter(|part| *part != "\\").collect::<Vec<_>>().join(" ");
            let mut fields = Vec::new();
            if word.target {
                writes.push(self.text(word)?);
                fields.extend(writes.last().cloned());
            } else {
                self.expand(word, &mut fields)?;
            }
            let sign = if word.target { ">" } else { "" };
            let known: Option<Vec<String>> = fields.into_iter().collect();
            filled.push(format!("{sign}{}", known.map_or_else(|| plain.clone(), |known| known.join(" "))));
            raw.push(format!("{sign}{plain}"));
        }
        let (raw, filled) = (raw.join(" "), filled.join(" "));
        self.calls.push(Call { words: expanded, writes, raw, filled, maybe: self.unsure() });
        Ok(())
    }

    fn function(&mut self, name: &str, arguments: Vec<Option<String>>) -> Result<Status, Stop> {
        let Some(body) = self.functions.get(name).copied().filter(|_| self.calling < DEEPEST_CALLS) else {
            return Ok(None);
        };
        let before = (self.positional.replace(arguments), self.maybe, self.returned, self.turned);
        self.calling += 1;
        let status = self.run(body);
        self.calling -= 1;
        (self.positional, self.maybe, self.returned, self.turned) = before;
        match status {
            Err(Stop::Return) => Ok(None),
            status => status,
        }
    }

    fn assign(&mut self, word: &Word) -> Result<(), Stop> {
        let Some((name, value)) = assignment(word) else { return Ok(()) };
        let value = self.text(&value)?;
        let value = match self.variables.get(name) {
            // It holds only perhaps.
            before
                if self.unsure()
                    && before.cloned().flatten().unwrap_or_default() != *value.as_deref().unwrap_or("\0") =>
            {
                None
            }
            _ => value,
        };
        self.variables.insert(name.to_owned(), value);
        Ok(())
    }

    fn variable(&self, name: &str) -> Option<String> {
        if let Ok(number) = name.parse::<usize>() {
            let at = number.checked_sub(1)?;
            // What is not there is empty.
            return self.positional.as_ref()?.get(at).cloned().unwrap_or_else(|| Some(String::new()));
        }
        match self.variables.get(name) {
            Some(value) => value.clone(),
            None if name == "#" => self.positional.as_ref().map(|all| all.len().to_string()),
            None if ["@", "*", "?", "$", "!", "-", "RET"].contains(&name) => None,
            // dpkg's own, such as DPKG_ROOT, are empty in an ordinary installation.
            None => Some(String::new()),
        }
    }

    fn part(&self, part: &Part) -> Option<String> {
        match part {
            Part::Text(text) => Some(text.clone()),
            Part::Variable { name, default, .. } => match (self.variable(name)?, default) {
                (value, Some(default)) if value.is_empty() => Some(default.clone()),
                (value, _) => Some(value),
            },
            Part::Unknown(text) => match text.trim() {
                "dpkg --print-architecture" => self.world.architecture.map(str::to_owned),
                "uname -s" => Some("Linux".to_owned()),
                _ => None,
            },
        }
    }

    /// The word as one text.
    fn text(&mut self, word: &Word) -> Result<Option<String>, Stop> {
        let mut text = Some(String::new());
        for part in &word.parts {
            let value = self.part(part);
            self.spend(1 + value.as_ref().map_or(0, String::len) / 64)?;
            text = text.zip(value).map(|(text, value)| text + &value).filter(|text| text.len() <= LONGEST);
        }
        Ok(text)
    }

    /// The word as the fields that it becomes.
    fn expand(&mut self, word: &Word, fields: &mut Vec<Option<String>>) -> Result<(), Stop> {
        if let [Part::Variable { name, .. }] = word.parts.as_slice()
            && name == "@"
        {
            let all = self.positional.clone().unwrap_or_else(|| vec![None]);
            self.spend(1 + all.iter().map(|one| 1 + one.as_ref().map_or(0, String::len) / 64).sum::<usize>())?;
            fields.extend(all);
            return Ok(());
        }
        let mut open: Option<Option<String>> = word.quoted.then(|| Some(String::new()));
        for part in &word.parts {
            let value = self.part(part);
            self.spend(1 + value.as_ref().map_or(0, String::len) / 64)?;
            let (Part::Variable { quoted: false, .. }, Some(value)) = (part, &value) else {
                open = Some(so_far(&mut open).zip(value).map(|(open, value)| open + &value));
                continue;
            };
            for (at, field) in value.split_whitespace().enumerate() {
                self.spend(1)?;
                if at > 0 || value.starts_with(char::is_whitespace) {
                    fields.extend(open.take());
                }
                open = Some(so_far(&mut open).map(|open| open + field));
            }
            if value.ends_with(char::is_whitespace) {
                fields.extend(open.take());
            }
        }
        fields.extend(open.map(|open| open.filter(|text| text.len() <= LONGEST)));
        Ok(())
    }
}

/// The field so far; an unknown one stays unknown.
fn so_far(open: &mut Option<Option<String>>) -> Option<String> {
    open.take().unwrap_or_else(|| Some(String::new()))
}

/// The name and the value of `name=value`.
fn assignment(word: &Word) -> Option<(&str, Word)> {
    let Some(Part::Text(text)) = word.parts.first() else { return None };
    let (name, value) = text.split_once('=')?;
    let good = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && word.raw.starts_with(name);
    let mut parts = vec![Part::Text(value.to_owned())];
    parts.extend(word.parts[1..].iter().cloned());
    good.then(|| (name, Word { parts, raw: String::new(), quoted: true, target: false }))
}
