//! From commands to the calls that a first installation would make.

use std::{cell::Cell, collections::BTreeMap};

use super::{
    Unreadable,
    parse::{Command, Part, Word, parse},
};

/// How many commands are walked; the longest script of Debian's main has some thousand.
const MOST_STEPS: usize = 50_000;
/// Bytes of words that are read and made, in all: what bounds time and memory where few commands have many
/// words, or long ones. The most that a script of Debian's main takes is far below one MiB.
const MOST_WORK: usize = 8 << 20;
/// Words of a test; with more it is unknown.
const LONGEST_TEST: usize = 100;
/// How deep functions call each other.
const DEEPEST: usize = 12;
/// Bytes of a variable; a longer one is unknown.
const LONGEST: usize = 64 << 10;

/// What the script can know.
pub(crate) struct World<'a> {
    /// `$1`: `install` for a preinst, `configure` for a postinst.
    pub(crate) argument: &'a str,
    /// What `dpkg --print-architecture` says.
    pub(crate) architecture: &'a str,
    /// Whether a path is there.
    pub(crate) exists: &'a dyn Fn(&[u8]) -> bool,
    /// Whether a user or group is there.
    pub(crate) account: &'a dyn Fn(&str) -> bool,
}

/// A program that would be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its name and arguments; `None` is one that cannot be told.
    pub(crate) words: Vec<Option<String>>,
    /// Files that its output goes to.
    pub(crate) writes: Vec<Option<String>>,
    /// As it is written, words parted by one space.
    pub(crate) raw: String,
    /// Whether it depends on something that cannot be told.
    pub(crate) maybe: bool,
}

/// All calls of a script, in their order. Tests, and what only speaks or ends, are none.
pub(crate) fn walk(script: &str, world: &World<'_>) -> Result<Vec<Call>, Unreadable> {
    let command = parse(script)?;
    let mut walker = Walker {
        world,
        variables: [("DPKG_MAINTSCRIPT_ARCH", world.architecture), ("1", world.argument), ("#", "1")]
            .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
            .into(),
        functions: BTreeMap::new(),
        calls: Vec::new(),
        maybe: 0,
        depth: 0,
        steps: 0,
        work: Cell::new(0),
    };
    let end = walker.run(&command);
    match end.and_then(|_| walker.charge(0)) {
        Ok(()) | Err(Stop::Exit | Stop::Return | Stop::Turn { .. }) => Ok(walker.calls),
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

/// An exit status, where it can be told.
type Status = Option<bool>;

struct Walker<'a> {
    world: &'a World<'a>,
    variables: BTreeMap<String, Option<String>>,
    functions: BTreeMap<&'a str, &'a Command>,
    calls: Vec<Call>,
    maybe: usize,
    depth: usize,
    steps: usize,
    /// See [`MOST_WORK`].
    work: Cell<usize>,
}

impl<'a> Walker<'a> {
    /// Counts work; an error where it is too much. Where none can be told, what is asked for is unknown.
    fn charge(&self, work: usize) -> Result<(), Stop> {
        self.work.set(self.work.get().saturating_add(work));
        if self.work.get() > MOST_WORK { Err(Stop::TooLong) } else { Ok(()) }
    }

    /// Of words as they are written, each time that they are looked at.
    fn charge_words(&self, words: &[Word]) -> Result<(), Stop> {
        self.charge(words.iter().map(|word| 1 + word.raw.len()).sum())
    }

    fn run(&mut self, command: &'a Command) -> Result<Status, Stop> {
        self.charge(0)?;
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(Stop::TooLong);
        }
        match command {
            Command::Simple(words) => self.simple(words),
            Command::Pipe(commands) => {
                for command in commands {
                    self.run(command)?;
                }
                Ok(None)
            }
            Command::Not(command) => Ok(self.run(command)?.map(|status| !status)),
            Command::Chain(first, others) => {
                let mut status = self.run(first)?;
                for (and, command) in others {
                    status = match status {
                        Some(status) if status == *and => self.run(command)?,
                        Some(status) => Some(status),
                        None => self.perhaps(command).map(|()| None)?,
                    };
                }
                Ok(status)
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

    /// Walks what may or may not come to pass; an end in there ends nothing.
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
        let mut unsure = 0;
        let mut result = Some(true);
        let mut done = false;
        for (condition, body) in arms {
            match self.run(condition)? {
                Some(false) => {}
                Some(true) if unsure == 0 => {
                    result = self.run(body)?;
                    done = true;
                }
                Some(true) => {
                    self.perhaps(body)?;
                    done = true;
                }
                None => {
                    self.perhaps(body)?;
                    // What comes after holds only where this does not.
                    self.maybe += 1;
                    unsure += 1;
                }
            }
            if done {
                break;
            }
        }
        let end = match otherwise {
            Some(body) if !done && unsure > 0 => self.perhaps(body).map(|()| None),
            Some(body) if !done => self.run(body),
            _ => Ok(result),
        };
        self.maybe = before;
        end.map(|status| if unsure > 0 { None } else { status })
    }

    fn counted(&mut self, name: &str, words: &[Word], body: &'a Command) -> Result<Status, Stop> {
        self.charge_words(words)?;
        let mut values = Vec::new();
        for word in words {
            self.expand(word, &mut values);
        }
        if values.contains(&None) {
            self.variables.insert(name.into(), None);
            // Once, for whatever it may be.
            return self.perhaps(body).map(|()| None);
        }
        for value in values {
            self.variables.insert(name.into(), value);
            match self.run(body) {
                Err(Stop::Turn { last: true }) => break,
                Err(Stop::Turn { last: false }) => {}
                other => drop(other?),
            }
        }
        Ok(None)
    }

    fn cases(&mut self, subject: &Word, arms: &'a [(Vec<Word>, Command)]) -> Result<Status, Stop> {
        let subject = self.text(subject);
        for (patterns, body) in arms {
            self.charge_words(patterns)?;
            let mut verdict = Some(false);
            for pattern in patterns {
                self.charge(subject.as_ref().map_or(0, String::len))?;
                match (&subject, self.text(pattern)) {
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
        self.charge_words(words)?;
        let assigned = words.iter().take_while(|word| assignment(word).is_some()).count();
        let (assignments, words) = words.split_at(assigned);
        if words.is_empty() {
            for word in assignments {
                self.assign(word);
            }
            return Ok(Some(true));
        }
        let mut expanded = Vec::new();
        for word in words.iter().filter(|word| !word.target) {
            self.expand(word, &mut expanded);
        }
        if words.iter().any(|word| word.target) {
            self.call(words, expanded);
            return Ok(None);
        }
        let Some(Some(name)) = expanded.first().cloned() else {
            if !expanded.is_empty() {
                self.call(words, expanded);
            }
            return Ok(None);
        };
        let arguments = &expanded[1..];
        match name.as_str() {
            "true" | ":" | "set" | "echo" | "printf" | "shift" | "db_stop" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            "[" => Ok(self.test(arguments.strip_suffix(&[Some("]".into())]).unwrap_or(arguments))),
            "test" => Ok(self.test(arguments)),
            "local" | "export" | "readonly" => {
                words[1..].iter().filter(|word| assignment(word).is_some()).for_each(|word| self.assign(word));
                Ok(Some(true))
            }
            "unset" => {
                for name in arguments.iter().flatten() {
                    self.variables.insert(name.clone(), Some(String::new()));
                }
                Ok(Some(true))
            }
            "exit" | "return" if self.maybe == 0 => Err(if name == "exit" { Stop::Exit } else { Stop::Return }),
            "exit" | "return" => Err(Stop::Return),
            "break" | "continue" => Err(Stop::Turn { last: name == "break" }),
            "dpkg" if arguments.first() == Some(&Some("--compare-versions".into())) => Ok(compare(&arguments[1..])),
            // Nobody has overridden anything yet.
            "dpkg-statoverride" if arguments.first() == Some(&Some("--list".into())) => Ok(Some(false)),
            "command" | "which" | "type" | "hash" => Ok(match arguments.last() {
                Some(Some(program)) => Some(self.program(program)),
                _ => None,
            }),
            "getent" | "id" => Ok(match arguments.last() {
                Some(Some(name)) if !name.starts_with('-') => Some((self.world.account)(name)),
                _ => None,
            }),
            "read" | "getopts" => {
                self.call(words, expanded.clone());
                for name in expanded[1..].iter().flatten() {
                    self.variables.insert(name.clone(), None);
                }
                Ok(None)
            }
            name if self.functions.contains_key(name) => {
                let name = name.to_owned();
                self.function(&name, arguments)
            }
            "mkdir" | "cp" | "ln" | "touch" | "chmod" | "chown" | "chgrp" | "install" | "ucf" => {
                self.call(words, expanded);
                // They are taken to do what they are told.
                Ok(Some(true))
            }
            _ => {
                self.call(words, expanded);
                Ok(None)
            }
        }
    }

    /// Whether a program is there, by its path or on that of dpkg.
    fn program(&self, name: &str) -> bool {
        let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        let here = |path: &str| (self.world.exists)(path.as_bytes());
        if name.contains('/') { here(name) } else { folders.iter().any(|folder| here(&format!("{folder}/{name}"))) }
    }

    fn call(&mut self, words: &[Word], expanded: Vec<Option<String>>) {
        let raw: Vec<_> = words
            .iter()
            .map(|word| {
                let raw = word.raw.split_whitespace().filter(|part| *part != "\\").collect::<Vec<_>>().join(" ");
                if word.target { format!(">{raw}") } else { raw }
            })
            .collect();
        let writes = words.iter().filter(|word| word.target).map(|word| self.text(word)).collect();
        self.calls.push(Call { words: expanded, writes, raw: raw.join(" "), maybe: self.maybe > 0 });
    }

    fn function(&mut self, name: &str, arguments: &[Option<String>]) -> Result<Status, Stop> {
        let Some(body) = self.functions.get(name).copied().filter(|_| self.depth < DEEPEST) else { return Ok(None) };
        // All variables are gone through, below.
        self.charge(self.variables.len())?;
        let positional = |name: &String| name.parse::<usize>().is_ok();
        let before = std::mem::take(&mut self.variables);
        let (outer, inner): (BTreeMap<_, _>, _) = before.into_iter().partition(|(name, _)| positional(name));
        self.variables = inner;
        for (at, argument) in arguments.iter().enumerate() {
            self.variables.insert((at + 1).to_string(), argument.clone());
        }
        let maybe = self.maybe;
        self.depth += 1;
        let status = self.run(body);
        self.depth -= 1;
        self.maybe = maybe;
        self.variables.retain(|name, _| !positional(name));
        self.variables.extend(outer);
        match status {
            Err(Stop::Return) => Ok(None),
            status => status,
        }
    }

    fn assign(&mut self, word: &Word) {
        let Some((name, value)) = assignment(word) else { return };
        let value = self.text(&value).filter(|value| value.len() <= LONGEST);
        let value = match self.variables.get(name) {
            // It holds only perhaps.
            before
                if self.maybe > 0
                    && before.cloned().flatten().unwrap_or_default() != *value.as_deref().unwrap_or("\0") =>
            {
                None
            }
            _ => value,
        };
        self.variables.insert(name.to_owned(), value);
    }

    fn variable(&self, name: &str) -> Option<String> {
        match self.variables.get(name) {
            Some(value) => value.clone(),
            None if ["@", "*", "?", "$", "!", "-", "0", "RET"].contains(&name) => None,
            // dpkg's own, such as DPKG_ROOT, are empty in an ordinary installation.
            None => Some(String::new()),
        }
    }

    fn part(&self, part: &Part) -> Option<String> {
        let value = self.value(part)?;
        self.charge(1 + value.len()).ok().map(|()| value)
    }

    fn value(&self, part: &Part) -> Option<String> {
        match part {
            Part::Text(text) => Some(text.clone()),
            Part::Variable { name, default, .. } => match (self.variable(name)?, default) {
                (value, Some(default)) if value.is_empty() => Some(default.clone()),
                (value, _) => Some(value),
            },
            Part::Unknown(text) => match text.trim() {
                "dpkg --print-architecture" => Some(self.world.architecture.to_owned()),
                "uname -s" => Some("Linux".to_owned()),
                _ => None,
            },
        }
    }

    /// The word as one text.
    fn text(&self, word: &Word) -> Option<String> {
        word.parts.iter().map(|part| self.part(part)).collect()
    }

    /// The word as the fields that it becomes.
    fn expand(&self, word: &Word, fields: &mut Vec<Option<String>>) {
        if let [Part::Variable { name, .. }] = word.parts.as_slice()
            && name == "@"
        {
            let argument = |at: usize| {
                let value = self.variables.get(&at.to_string())?;
                self.charge(1 + value.as_ref().map_or(0, String::len)).ok().map(|()| value.clone())
            };
            fields.extend((1..).map_while(argument));
            return;
        }
        let mut open: Option<Option<String>> = word.quoted.then(|| Some(String::new()));
        for part in &word.parts {
            let value = self.part(part);
            let (Part::Variable { quoted: false, .. }, Some(value)) = (part, &value) else {
                open = Some(so_far(&mut open).zip(value).map(|(open, value)| open + &value));
                continue;
            };
            for (at, field) in value.split_whitespace().enumerate() {
                if at > 0 || value.starts_with(char::is_whitespace) {
                    fields.extend(open.take());
                }
                open = Some(so_far(&mut open).map(|open| open + field));
            }
            if value.ends_with(char::is_whitespace) {
                fields.extend(open.take());
            }
        }
        fields.extend(open);
    }

    /// test(1), as far as it can be told.
    fn test(&self, arguments: &[Option<String>]) -> Status {
        if arguments.len() > LONGEST_TEST {
            return None;
        }
        let is = |at: usize, word: &str| arguments.get(at).is_some_and(|one| one.as_deref() == Some(word));
        if let Some(at) = (1..arguments.len()).find(|at| is(*at, "-o")) {
            return or(self.test(&arguments[..at]), self.test(&arguments[at + 1..]));
        }
        if let Some(at) = (1..arguments.len()).find(|at| is(*at, "-a")) {
            return and(self.test(&arguments[..at]), self.test(&arguments[at + 1..]));
        }
        if is(0, "!") && arguments.len() > 1 {
            return self.test(&arguments[1..]).map(|status| !status);
        }
        match arguments {
            [] => Some(false),
            [one] => one.as_ref().map(|one| !one.is_empty()),
            [Some(operator), one] => {
                let one = one.as_deref()?;
                match operator.as_str() {
                    "-z" => Some(one.is_empty()),
                    "-n" => Some(!one.is_empty()),
                    "-e" | "-f" | "-d" | "-h" | "-L" | "-x" | "-r" | "-s" => {
                        // Kernel and running services are no part of an image.
                        Some(
                            (self.world.exists)(one.as_bytes())
                                && !one.starts_with("/proc")
                                && !one.starts_with("/run"),
                        )
                    }
                    _ => None,
                }
            }
            [one, Some(operator), other] => {
                let (one, other) = (one.as_deref()?, other.as_deref()?);
                let numbers = || Some((one.parse::<i64>().ok()?, other.parse::<i64>().ok()?));
                match operator.as_str() {
                    "=" | "==" => Some(one == other),
                    "!=" => Some(one != other),
                    "-eq" => numbers().map(|(one, other)| one == other),
                    "-ne" => numbers().map(|(one, other)| one != other),
                    "-gt" => numbers().map(|(one, other)| one > other),
                    "-ge" => numbers().map(|(one, other)| one >= other),
                    "-lt" => numbers().map(|(one, other)| one < other),
                    "-le" => numbers().map(|(one, other)| one <= other),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The field so far; an unknown one stays unknown.
fn so_far(open: &mut Option<Option<String>>) -> Option<String> {
    open.take().unwrap_or_else(|| Some(String::new()))
}

fn or(one: Status, other: Status) -> Status {
    match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

fn and(one: Status, other: Status) -> Status {
    or(one.map(|one| !one), other.map(|other| !other)).map(|status| !status)
}

/// dpkg(1): an empty version comes before any other, except with the `-nl` operators, where it comes
/// after. Only comparisons with an empty one are told.
fn compare(arguments: &[Option<String>]) -> Status {
    match arguments {
        // Without quotes an empty version leaves no word at all, and dpkg refuses.
        [Some(operator), _] if operator.chars().all(|c| c.is_ascii_lowercase() || c == '-') => Some(false),
        [Some(version), Some(operator), _] if version.is_empty() => match operator.as_str() {
            "lt" | "le" | "ne" | "gt-nl" | "ge-nl" => Some(true),
            "gt" | "ge" | "eq" | "lt-nl" | "le-nl" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A pattern of `*` and plain text.
fn plain_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
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
