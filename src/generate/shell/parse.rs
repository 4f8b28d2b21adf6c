//! From text to commands.

use super::Unreadable;

/// How deep commands may nest.
const DEEPEST: usize = 40;
const MISSING: Unreadable = Unreadable("a word such as `fi` is missing");

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// As it stands; quoted or not.
    Text(String),
    /// `$name`, `${name}`, `${name:-default}`.
    Variable { name: String, default: Option<String>, quoted: bool },
    /// `$(...)`, `` `...` ``, `$((...))`, and expansions that are not followed, with their text.
    Unknown(String),
}

/// A word before expansion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
    /// As it is written.
    pub(super) raw: String,
    /// Whether any of it is quoted: then it is no reserved word, and stays even where it is empty.
    pub(super) quoted: bool,
    /// Whether it is a file that something is written to.
    pub(super) target: bool,
}

/// A command.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Simple(Vec<Word>),
    /// `a | b`
    Pipe(Vec<Command>),
    Not(Box<Command>),
    /// `a && b || c`, from left to right: a flat list, for there is no bound to its length. `true` is `&&`.
    Chain(Box<Command>, Vec<(bool, Command)>),
    /// Commands one after another.
    List(Vec<Command>),
    /// Conditions with what follows them, and `else`.
    If(Vec<(Command, Command)>, Option<Box<Command>>),
    For(String, Vec<Word>, Box<Command>),
    While(Box<Command>, Box<Command>),
    Case(Word, Vec<(Vec<Word>, Command)>),
    Function(String, Box<Command>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(Word),
    /// An operator; a line's end is `\n`.
    Sign(&'static str),
}

const SIGNS: [&str; 9] = [";;", "&&", "||", ";", "&", "|", "(", ")", "\n"];

/// Reads a script.
pub(super) fn parse(text: &str) -> Result<Command, Unreadable> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let list = parser.list(&[])?;
    if parser.at < tokens.len() {
        return Err(Unreadable("a command does not begin like one"));
    }
    Ok(list)
}

fn tokens(text: &str) -> Result<Vec<Token>, Unreadable> {
    let mut tokens = Vec::new();
    let mut documents: Vec<(String, bool)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if let Some(after) = rest.strip_prefix("\\\n") {
            rest = after;
            continue;
        }
        if rest.starts_with('#') {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        }
        if rest.is_empty() {
            return Ok(tokens);
        }
        if let Some(after) = rest.strip_prefix('\n') {
            tokens.push(Token::Sign("\n"));
            rest = after;
            for (end, tabs) in documents.drain(..) {
                rest = after_document(rest, &end, tabs);
            }
            continue;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if rest[digits..].starts_with(['<', '>']) {
            let (target, after) = redirection(&rest[digits..], &mut documents)?;
            tokens.extend(target.map(Token::Word));
            rest = after;
            continue;
        }
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
            continue;
        }
        let (word, after) = word(rest)?;
        if after.len() == rest.len() {
            return Err(Unreadable("a character begins no word"));
        }
        tokens.push(Token::Word(word));
        rest = after;
    }
}

/// Skips `<file`, `2>&1`, `<<EOF`; of `>file`, the file. What a here-document says is no command.
fn redirection<'a>(text: &'a str, documents: &mut Vec<(String, bool)>) -> Result<(Option<Word>, &'a str), Unreadable> {
    if let Some(rest) = text.strip_prefix("<<") {
        let (tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
        let (end, after) = word(rest.trim_start_matches([' ', '\t']))?;
        documents.push((end.raw.replace(['\'', '"', '\\'], ""), tabs));
        return Ok((None, after));
    }
    let rest = text.trim_start_matches(['<', '>', '|']);
    let copy = rest.starts_with('&');
    let (mut word, after) = word(rest.trim_start_matches('&').trim_start_matches([' ', '\t']))?;
    word.target = true;
    word.quoted = true;
    let written = text.starts_with('>') && !copy && !word.raw.starts_with("/dev/");
    Ok((written.then_some(word), after))
}

fn after_document<'a>(text: &'a str, end: &str, tabs: bool) -> &'a str {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        if (if tabs { line.trim_start_matches('\t') } else { line }) == end {
            break;
        }
    }
    rest
}

const NO_END: Unreadable = Unreadable("a quote has no end");

/// One word and what follows it. Never of no length where `text` begins with one.
fn word(text: &str) -> Result<(Word, &str), Unreadable> {
    let mut word = Word::default();
    let mut rest = text;
    let mut double = false;
    while let Some(c) = rest.chars().next() {
        let next = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let Some(escaped) = next.chars().next() else {
                    word.push('\\');
                    rest = next;
                    break;
                };
                if escaped != '\n' {
                    if double && !"$`\"\\".contains(escaped) {
                        word.push('\\');
                    }
                    word.push(escaped);
                    word.quoted = true;
                }
                rest = &next[escaped.len_utf8()..];
            }
            '\'' if !double => {
                let end = next.find('\'').ok_or(NO_END)?;
                next[..end].chars().for_each(|c| word.push(c));
                word.quoted = true;
                rest = &next[end + 1..];
            }
            '"' => {
                double = !double;
                word.quoted = true;
                rest = next;
            }
            '`' => {
                let end = next.find('`').ok_or(NO_END)?;
                word.parts.push(Part::Unknown(next[..end].into()));
                rest = &next[end + 1..];
            }
            '$' => {
                let (part, after) = expansion(next, double)?;
                word.parts.push(part);
                rest = after;
            }
            ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' if !double => break,
            c => {
                word.push(c);
                rest = next;
            }
        }
    }
    if double {
        return Err(NO_END);
    }
    word.raw = text[..text.len() - rest.len()].into();
    Ok((word, rest))
}

impl Word {
    fn push(&mut self, c: char) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => self.parts.push(Part::Text(c.into())),
        }
    }

    /// What it is where nothing of it is quoted or expanded.
    pub(super) fn plain(&self) -> Option<&str> {
        (!self.quoted && self.parts.iter().all(|part| matches!(part, Part::Text(_)))).then_some(&self.raw)
    }
}

fn name_end(text: &str) -> usize {
    match text.chars().next() {
        Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => 1,
        _ => text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len()),
    }
}

/// What follows a `$`.
fn expansion(text: &str, quoted: bool) -> Result<(Part, &str), Unreadable> {
    if let Some(inner) = text.strip_prefix('(') {
        let end = closing(inner, '(', ')').ok_or(Unreadable("a `$(` has no end"))?;
        return Ok((Part::Unknown(inner[..end].into()), &inner[end + 1..]));
    }
    if let Some(inner) = text.strip_prefix('{') {
        let end = closing(inner, '{', '}').ok_or(Unreadable("a `${` has no end"))?;
        let (inner, after) = (&inner[..end], &inner[end + 1..]);
        let (name, change) = inner.split_at(name_end(inner));
        let plain = |default: &str| !default.contains(['$', '`', '"', '\'', '\\']);
        let part = match change.strip_prefix(":-").or_else(|| change.strip_prefix('-')) {
            _ if name.is_empty() => Part::Unknown(inner.into()),
            Some(default) if plain(default) => {
                Part::Variable { name: name.into(), default: Some(default.into()), quoted }
            }
            None if change.is_empty() => Part::Variable { name: name.into(), default: None, quoted },
            _ => Part::Unknown(inner.into()),
        };
        return Ok((part, after));
    }
    match name_end(text) {
        0 => Ok((Part::Text("$".into()), text)),
        end => Ok((Part::Variable { name: text[..end].into(), default: None, quoted }, &text[end..])),
    }
}

/// Where the bracket that is open before `text` closes, quotes in between regarded.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 1_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            None | Some('"') if c == '\\' => escaped = true,
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == open => depth += 1,
            None if c == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            None => {}
        }
    }
    None
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// The reserved or other plain word that comes next.
    fn plain(&self) -> Option<&str> {
        match self.peek()? {
            Token::Word(word) => word.plain(),
            Token::Sign(_) => None,
        }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Sign(other)) if *other == sign);
        self.at += usize::from(there);
        there
    }

    fn lines(&mut self) {
        while self.sign("\n") {}
    }

    fn expect(&mut self, word: &str) -> Result<(), Unreadable> {
        if self.plain() != Some(word) {
            return Err(MISSING);
        }
        self.at += 1;
        Ok(())
    }

    /// Commands up to one of these words, or a `)` or `;;`, which stay.
    fn list(&mut self, ends: &[&str]) -> Result<Command, Unreadable> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Unreadable("it nests too deeply"));
        }
        let mut commands = Vec::new();
        loop {
            while self.sign("\n") || self.sign(";") || self.sign("&") {}
            match self.peek() {
                None | Some(Token::Sign(")" | ";;")) => break,
                _ if self.plain().is_some_and(|word| ends.contains(&word)) => break,
                _ => commands.push(self.and_or()?),
            }
        }
        self.depth -= 1;
        Ok(Command::List(commands))
    }

    fn and_or(&mut self) -> Result<Command, Unreadable> {
        let first = self.pipe()?;
        let mut others = Vec::new();
        loop {
            let and = self.sign("&&");
            if !and && !self.sign("||") {
                break;
            }
            self.lines();
            others.push((and, self.pipe()?));
        }
        Ok(if others.is_empty() { first } else { Command::Chain(Box::new(first), others) })
    }

    fn pipe(&mut self) -> Result<Command, Unreadable> {
        if self.plain() == Some("!") {
            self.at += 1;
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(Unreadable("it nests too deeply"));
            }
            let inner = self.pipe();
            self.depth -= 1;
            return Ok(Command::Not(Box::new(inner?)));
        }
        let mut commands = vec![self.command()?];
        while self.sign("|") {
            self.lines();
            commands.push(self.command()?);
        }
        Ok(if commands.len() == 1 { commands.remove(0) } else { Command::Pipe(commands) })
    }

    fn command(&mut self) -> Result<Command, Unreadable> {
        if self.sign("(") {
            let list = self.list(&[])?;
            return if self.sign(")") { Ok(list) } else { Err(Unreadable("a `)` is missing")) };
        }
        match self.plain() {
            Some("if") => self.conditional(),
            Some("for") => self.counted(),
            Some("case") => self.cases(),
            Some("while" | "until") => {
                self.at += 1;
                let condition = self.list(&["do"])?;
                Ok(Command::While(Box::new(condition), Box::new(self.body()?)))
            }
            Some("{") => {
                self.at += 1;
                let list = self.list(&["}"])?;
                self.expect("}").map(|()| list)
            }
            Some("then" | "else" | "elif" | "fi" | "do" | "done" | "esac" | "}") => {
                Err(Unreadable("a word such as `fi` stands where none is open"))
            }
            _ => self.simple(),
        }
    }

    fn conditional(&mut self) -> Result<Command, Unreadable> {
        let mut arms = Vec::new();
        loop {
            self.at += 1;
            let condition = self.list(&["then"])?;
            self.expect("then")?;
            arms.push((condition, self.list(&["elif", "else", "fi"])?));
            if self.plain() != Some("elif") {
                break;
            }
        }
        let mut otherwise = None;
        if self.plain() == Some("else") {
            self.at += 1;
            otherwise = Some(Box::new(self.list(&["fi"])?));
        }
        self.expect("fi")?;
        Ok(Command::If(arms, otherwise))
    }

    fn body(&mut self) -> Result<Command, Unreadable> {
        self.lines();
        self.expect("do")?;
        let list = self.list(&["done"])?;
        self.expect("done")?;
        Ok(list)
    }

    fn counted(&mut self) -> Result<Command, Unreadable> {
        self.at += 1;
        let name = self.plain().ok_or(Unreadable("a `for` has no name"))?.to_owned();
        self.at += 1;
        self.lines();
        let mut words = Vec::new();
        if self.plain() == Some("in") {
            self.at += 1;
            while let Some(Token::Word(word)) = self.peek() {
                words.push(word.clone());
                self.at += 1;
            }
        } else {
            let part = Part::Variable { name: "@".into(), default: None, quoted: true };
            words.push(Word { parts: vec![part], raw: "$@".into(), quoted: true, target: false });
        }
        while self.sign(";") || self.sign("\n") {}
        Ok(Command::For(name, words, Box::new(self.body()?)))
    }

    fn cases(&mut self) -> Result<Command, Unreadable> {
        const ODD: Unreadable = Unreadable("a `case` is not formed like one");
        self.at += 1;
        let Some(Token::Word(subject)) = self.peek().cloned() else { return Err(ODD) };
        self.at += 1;
        self.lines();
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.lines();
            if self.plain() == Some("esac") {
                self.at += 1;
                return Ok(Command::Case(subject, arms));
            }
            self.sign("(");
            let mut patterns = Vec::new();
            while let Some(Token::Word(word)) = self.peek() {
                patterns.push(word.clone());
                self.at += 1;
                if !self.sign("|") {
                    break;
                }
            }
            if patterns.is_empty() || !self.sign(")") {
                return Err(ODD);
            }
            let list = self.list(&["esac"])?;
            arms.push((patterns, list));
            if !self.sign(";;") && self.plain() != Some("esac") {
                return Err(ODD);
            }
        }
    }

    fn simple(&mut self) -> Result<Command, Unreadable> {
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.peek() {
            words.push(word.clone());
            self.at += 1;
        }
        if let [name] = words.as_slice()
            && let Some(name) = name.plain().map(str::to_owned)
            && self.sign("(")
        {
            if !self.sign(")") {
                return Err(Unreadable("a `(` stands in a command"));
            }
            self.lines();
            self.depth += 1;
            let body = if self.depth > DEEPEST { Err(Unreadable("it nests too deeply")) } else { self.command() };
            self.depth -= 1;
            return Ok(Command::Function(name, Box::new(body?)));
        }
        if words.is_empty() && !matches!(self.peek(), None | Some(Token::Sign("\n" | ";" | ")"))) {
            return Err(Unreadable("a command does not begin like one"));
        }
        Ok(Command::Simple(words))
    }
}
