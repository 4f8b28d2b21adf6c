//! `explore`: a tier in the terminal. Here is the terminal alone; state and drawing are in `evidence`.

use std::io;

use clap::Args;
use miette::Diagnostic;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    evidence::explore::{Flow, Key, Look, Model, draw},
    ground::{Class, Failure},
    pipeline::{self, Effort, Failures},
};

/// Browse a tier in the terminal: layers, folders with sizes, where each path comes from.
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Explore {
    /// debian13/cc, or cc where one distribution alone has one
    #[arg(value_name = "TIER")]
    tier: String,
    /// For which architecture [default: this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architecture: Option<String>,
}

/// The terminal does not do what it should.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the terminal failed")]
#[diagnostic(code(debstrata::explore::terminal), help("try another terminal; `debstrata show TIER --tree` needs none"))]
struct TerminalError(#[from] io::Error);

impl Failure for TerminalError {
    fn class(&self) -> Class {
        Class::World
    }
}

impl Explore {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        if session.global.json {
            let help = "`debstrata show TIER --tree --json` prints what it shows";
            return Err(UsageError::new("explore is for people, and prints no JSON", help).into());
        }
        if !session.surroundings.interactive {
            let help = "run it with a terminal on stdin and stdout, or see `debstrata show TIER --tree`";
            return Err(UsageError::new("explore needs a terminal", help).into());
        }
        let workshop = session.workshop()?;
        let named: Vec<_> = self.architecture.iter().cloned().collect();
        let tier = std::slice::from_ref(&self.tier);
        let picks = pipeline::select(&workshop.project, tier, &named, session.host())?;
        let count: usize = picks.iter().map(|pick| pick.named.len() * pick.architectures.len()).sum();
        if count != 1 {
            let each = picks.iter().map(|pick| &workshop.project.distributions[pick.distribution].name);
            let names: Vec<_> = each.map(|distribution| format!("{distribution}/{}", self.tier)).collect();
            let help = match count > names.len() {
                true => "name one --arch".to_owned(),
                false => format!("name one of {}", names.join(", ")),
            };
            return Err(UsageError::new("explore shows one tier of one architecture", help).into());
        }
        let listed = pipeline::listings(&workshop, &picks, Effort::Whole)?.into_iter().next();
        let Some((title, listing)) = listed.and_then(|one| {
            let title = format!("{} {}", one.title, one.architecture);
            Some((title, one.listing?))
        }) else {
            return Ok(Answer::Yes);
        };
        session.reporter.progress.clear();
        let look = Look { colours: session.reporter.colours };
        browse(Model::new(title, listing), look).map_err(TerminalError)?;
        Ok(Answer::Yes)
    }
}

/// Gives the terminal back, however the browser ends; of a panic, the hook that `try_init` sets does.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        // Nothing more can be done, and the first error is the one to tell.
        let _ = ratatui::try_restore();
    }
}

fn browse(mut model: Model, look: Look) -> io::Result<()> {
    let restore = Restore;
    let mut terminal = ratatui::try_init()?;
    loop {
        terminal.draw(|frame| draw(frame, &mut model, look))?;
        // A change of size has no key, and is drawn anew all the same.
        let key = match event::read()? {
            Event::Key(pressed) if pressed.kind != KeyEventKind::Release => key(pressed),
            _ => None,
        };
        match key.map(|key| key.map(|key| model.press(key))) {
            Some(None) | Some(Some(Flow::Quit)) => break,
            _ => {}
        }
    }
    drop(restore);
    Ok(())
}

/// `Some(None)` quits whatever else is going on.
fn key(pressed: KeyEvent) -> Option<Option<Key>> {
    let control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    Some(Some(match pressed.code {
        KeyCode::Char('c') if control => return Some(None),
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab | KeyCode::BackTab => Key::Tab,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    }))
}
