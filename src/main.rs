//! The thin binary: arguments, environment, clock and current folder become values here.
#![allow(clippy::disallowed_methods, reason = "this is the one place that reads them")]

use std::{collections::BTreeMap, io::IsTerminal as _, process::ExitCode};

use debstrata::cli;

fn main() -> ExitCode {
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let surroundings = cli::Surroundings {
        arguments: std::env::args_os().collect(),
        variables,
        clock: jiff::Timestamp::now(),
        now: jiff::Timestamp::now,
        terminal: std::io::stderr().is_terminal(),
        interactive: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
    };
    cli::run(surroundings)
}
