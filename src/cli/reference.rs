//! docs/command-line.md, made of the command line's own description.

use clap::{Command, CommandFactory as _};

use super::Arguments;

const HEAD: &str = "\
# The command line

Made by `debstrata man --markdown`; a test keeps it fresh. Each verb's own options are here; those of the
first section go with every verb.
";

/// The program's description, complete, its lines as long as the docs' whatever the terminal is.
pub(super) fn command() -> Command {
    let mut command = Arguments::command().term_width(100).disable_help_subcommand(true);
    command.build();
    command
}

/// The page.
pub(super) fn markdown() -> String {
    let command = command();
    let mut text = HEAD.to_owned();
    section(&mut text, "debstrata", command.clone());
    for verb in command.get_subcommands() {
        add(&mut text, verb, "debstrata");
    }
    text
}

fn add(text: &mut String, verb: &Command, above: &str) {
    let name = format!("{above} {}", verb.get_name());
    // What every verb understands is told once.
    let own = verb.clone().term_width(100).mut_args(|argument| {
        let everywhere = argument.is_global_set() || matches!(argument.get_id().as_str(), "help" | "version");
        argument.hide(everywhere)
    });
    section(text, &name, own);
    for inner in verb.get_subcommands() {
        add(text, inner, &name);
    }
}

fn section(text: &mut String, name: &str, mut command: Command) {
    let help = command.render_long_help().to_string();
    // The exit statuses are the same for all.
    let help = if name == "debstrata" { help.as_str() } else { help.split("Exit status:").next().unwrap_or_default() };
    let help: String = help.trim().lines().map(|line| format!("{}\n", line.trim_end())).collect();
    text.push_str(&format!("\n## {name}\n\n```text\n{help}```\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_fresh() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/command-line.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == markdown(), "run `debstrata man --markdown > docs/command-line.md`");
    }

    #[test]
    fn every_verb_is_on_it_and_says_what_it_does() {
        let page = markdown();
        let mut count = 0;
        for verb in command().get_subcommands() {
            assert!(page.contains(&format!("\n## debstrata {}\n", verb.get_name())), "{}", verb.get_name());
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
            count += 1;
        }
        assert!(count > 10);
        Arguments::command().debug_assert();
    }
}
