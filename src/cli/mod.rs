//! The command line: one file a verb, each parses, calls and prints. Results go to stdout,
//! progress and diagnostics to stderr.

mod audit;
mod build;
mod bundle;
mod check;
mod explore;
mod fit;
mod lock;
mod progress;
mod push;
mod report;
mod sbom;
mod show;
mod surroundings;
mod why;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use surroundings::Surroundings;

/// Ends the help of the program and of every verb; [`crate::ground::Class`] says which error is which.
const EXIT_STATUS: &str = "\
Exit status:
  0  done; the answer is yes
  1  the answer is no: `audit` found a difference, `check` a finding, `lock --check` a lock
     that does not fit
  2  you must edit something: the command, a manifest, the lock
  3  nothing in the project is wrong: the network, a mirror, a registry, the disk";

/// Composes root filesystems from Debian packages: one TOML manifest per image tier, one
/// reproducible layer per manifest.
#[derive(Parser)]
#[command(
    name = "debstrata",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = EXIT_STATUS
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb understands.
#[derive(Args)]
struct Global {
    /// The project folder, which holds manifests/ and cache/
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".", global = true)]
    directory: PathBuf,
    /// Where downloads and derived data are kept [default: cache/ in the project folder]
    #[arg(long, value_name = "DIR", global = true)]
    cache: Option<PathBuf>,
    /// Build or audit what is in a file that `bundle` wrote, without the network
    #[arg(long, value_name = "FILE", global = true)]
    bundle: Option<PathBuf>,
    /// A mirror to ask first, such as debian=https://mirror.example.org/debian (repeats; also
    /// DEBSTRATA_MIRRORS, separated by spaces)
    #[arg(long = "mirror", value_name = "ARCHIVE=URI", global = true)]
    mirrors: Vec<String>,
    /// Use the cache alone, never the network
    #[arg(long, global = true)]
    offline: bool,
    /// Only warnings and errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Remarks too
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Colours on stderr
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true)]
    color: Color,
    /// Print the result as JSON on stdout
    #[arg(long, global = true)]
    json: bool,
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Verb {
    /// Compose tiers and write their layers
    Build(build::Build),
    /// Write all that a build needs into one file
    Bundle(bundle::Bundle),
    /// Resolve packages and write debstrata.lock
    Lock(lock::Lock),
    /// Rebuild from the lock and compare with what it records
    Audit(audit::Audit),
    /// Judge manifests, locks and finished tiers, writing nothing
    Check(check::Check),
    /// What the tiers are made of
    Show(show::Show),
    /// Browse a tier in the terminal
    Explore(explore::Explore),
    /// Bills of materials, licences and provenance of a tier
    Sbom(sbom::Sbom),
    /// How a package or a path came to be in a tier, or what keeps it out
    Why(why::AskWhy),
    /// Push images to a registry
    Push(push::Push),
    /// Which tiers can run a program, what the others lack, and which package brings it
    Fit(fit::AskFit),
}

/// Runs the command line and says how it went; `debstrata --help` lists the exit statuses.
pub fn run(surroundings: Surroundings) -> ExitCode {
    let arguments = match Arguments::try_parse_from(&surroundings.arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to stdout with status 0; a closed pipe there changes nothing.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let reporter = report::Reporter::new(&arguments.global, &surroundings);
    let session = surroundings::Session { global: arguments.global, surroundings, reporter };
    let answer = match arguments.verb {
        Verb::Build(verb) => verb.run(&session),
        Verb::Bundle(verb) => verb.run(&session),
        Verb::Lock(verb) => verb.run(&session),
        Verb::Audit(verb) => verb.run(&session),
        Verb::Check(verb) => verb.run(&session),
        Verb::Show(verb) => verb.run(&session),
        Verb::Explore(verb) => verb.run(&session),
        Verb::Sbom(verb) => verb.run(&session),
        Verb::Why(verb) => verb.run(&session),
        Verb::Push(verb) => verb.run(&session),
        Verb::Fit(verb) => verb.run(&session),
    };
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failures) => ExitCode::from(session.reporter.failures(&failures)),
    }
}

/// What a verb found, where nothing failed.
enum Answer {
    /// Done; or: yes, equal.
    Yes,
    /// The answer is no.
    No,
}
