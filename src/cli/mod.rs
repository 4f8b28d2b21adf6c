//! The command line: one file a verb, each parses, calls and prints. Results go to stdout,
//! progress and diagnostics to stderr.

mod audit;
mod build;
mod bundle;
mod cache;
mod check;
mod completions;
mod diff;
mod explain;
mod explore;
mod fit;
mod fmt;
mod lock;
mod new;
mod progress;
mod push;
mod reference;
mod report;
mod sbom;
mod schema;
mod show;
mod surroundings;
mod watch;
mod why;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use surroundings::Surroundings;

use crate::pipeline::Failures;

/// Ends the help of the program and of every verb; [`crate::ground::Class`] says which error is which.
const EXIT_STATUS: &str = "\
Exit status:
  0  done; the answer is yes
  1  the answer is no: `audit` found a difference, `check` a finding, `lock --check` a lock
     that does not fit, `fmt --check` a manifest to format, `cache verify` a damaged download
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
    /// Explain a diagnostic by its code, such as fetch::gone
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What every verb understands.
#[derive(Clone, Args)]
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
    /// What differs between two tiers, distributions, locks, layers, images or revisions
    Diff(diff::Diff),
    /// Which tiers can run a program, what the others lack, and which package brings it
    Fit(fit::AskFit),
    /// Write a manifest to begin with
    New(new::New),
    /// Bring manifests into their canonical form
    Fmt(fmt::Fmt),
    /// Print the JSON Schema of a manifest, for editors
    Schema(schema::Schema),
    /// Look after the cache
    Cache(cache::Cache),
    /// Print a script that completes arguments in a shell
    Completions(completions::Completions),
    /// Print the manual page, or write one for each verb
    Man(completions::Man),
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
    let answer = match (arguments.explain, arguments.verb) {
        (None, Some(verb)) => verb.run(&session),
        (Some(code), None) => explain::explain(&session, &code),
        (Some(_), Some(_)) => {
            Err(surroundings::UsageError::new("--explain goes with no verb", "write `debstrata --explain CODE`").into())
        }
        (None, None) => Err(surroundings::UsageError::new("a verb is missing", verbs()).into()),
    };
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failures) => ExitCode::from(session.reporter.failures(&failures)),
    }
}

impl Verb {
    fn run(&self, session: &surroundings::Session) -> Result<Answer, Failures> {
        match self {
            Self::Build(verb) => verb.run(session),
            Self::Bundle(verb) => verb.run(session),
            Self::Lock(verb) => verb.run(session),
            Self::Sbom(verb) => verb.run(session),
            Self::Push(verb) => verb.run(session),
            Self::Fit(verb) => verb.run(session),
            Self::Diff(verb) => verb.run(session),
            Self::Audit(verb) => verb.run(session),
            Self::Check(verb) => verb.run(session),
            Self::Show(verb) => verb.run(session),
            Self::Explore(verb) => verb.run(session),
            Self::Why(verb) => verb.run(session),
            Self::New(verb) => verb.run(session),
            Self::Fmt(verb) => verb.run(session),
            Self::Schema(verb) => verb.run(session),
            Self::Cache(verb) => verb.run(session),
            Self::Completions(verb) => verb.run(session),
            Self::Man(verb) => verb.run(session),
        }
    }
}

fn verbs() -> String {
    let command = Arguments::command();
    let names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
    format!("verbs are {}", names.join(", "))
}

/// What a verb found, where nothing failed.
enum Answer {
    /// Done; or: yes, equal.
    Yes,
    /// The answer is no.
    No,
}
