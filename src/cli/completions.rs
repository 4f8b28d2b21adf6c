//! `completions` and `man`: made of the command line's own description.

use std::{io, path::PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use serde::Serialize;

use super::{Answer, Arguments, reference, surroundings::Session};
use crate::{
    ground::{printable, write_whole},
    pipeline::{self, Failures},
};

const USE: &str = "\
Where shells look for it:
  bash  ~/.local/share/bash-completion/completions/debstrata
  zsh   a folder of $fpath, as _debstrata
  fish  ~/.config/fish/completions/debstrata.fish";

/// Print what a shell needs to complete this program's arguments
#[derive(Args)]
#[command(after_help = format!("{USE}\n\n{}", super::EXIT_STATUS))]
pub(super) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "debstrata", &mut script);
        session.reporter.bytes(&script).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }
}

/// Print the manual page, or write one for each verb into a folder
#[derive(Args)]
#[command(after_help = super::EXIT_STATUS)]
pub(super) struct Man {
    /// Where debstrata.1, debstrata-build.1 ... go [default: the first alone, to standard output]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Print docs/command-line.md instead
    #[arg(long, conflicts_with = "folder")]
    markdown: bool,
}

/// What `--json` prints where a folder is given.
#[derive(Serialize)]
struct Written {
    files: Vec<String>,
}

impl Man {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let command = reference::command();
        let Some(folder) = &self.folder else {
            let page = if self.markdown { reference::markdown().into_bytes() } else { page(&command)? };
            session.reporter.bytes(&page).map_err(pipeline::stdout_failed)?;
            return Ok(Answer::Yes);
        };
        let mut files = Vec::new();
        for (name, command) in with_verbs("debstrata".into(), command) {
            let path = folder.join(format!("{name}.1"));
            write_whole(&path, &page(&command)?)?;
            files.push(printable(path.as_os_str().as_encoded_bytes()));
        }
        let written = Written { files };
        let text = || written.files.iter().map(|file| format!("{file}\n")).collect();
        session.reporter.result(&written, text).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
    }
}

/// The program, its verbs, and theirs, each under its page's name.
fn with_verbs(name: String, command: Command) -> Vec<(String, Command)> {
    let mut inner = Vec::new();
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        inner.extend(with_verbs(format!("{name}-{}", verb.get_name()), verb.clone()));
    }
    let mut all = vec![(name.clone(), command.display_name(name))];
    all.append(&mut inner);
    all
}

fn page(command: &Command) -> Result<Vec<u8>, Failures> {
    let mut page = Vec::new();
    let rendered: io::Result<()> = clap_mangen::Man::new(command.clone()).render(&mut page);
    rendered.map_err(pipeline::stdout_failed)?;
    Ok(page)
}
