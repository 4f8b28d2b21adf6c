//! `fit`: which tiers can run a file.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    evidence::fit::{Fit, Missing, Verdict},
    ground::{RootPath, printable},
    pipeline::{self, Failures, FitOptions, Fitted},
};

const ABOUT: &str = "\
Exit status:
  0  every file fits a tier (with --tier: one of these)
  1  one fits none
  2  a file is no program, or the command is wrong
  3  nothing in the project is wrong: the network, a mirror, the disk";

/// Which tiers can run a program, what the others lack, and which package brings it.
#[derive(Args)]
#[command(after_help = ABOUT)]
pub(super) struct AskFit {
    /// Programs, libraries (ELF files of any kind) and scripts
    #[arg(value_name = "BINARY", required = true)]
    binaries: Vec<PathBuf>,
    /// Judge this tier alone: debian13/cc, or cc for every distribution that has one (repeats)
    #[arg(long = "tier", value_name = "TIER")]
    tiers: Vec<String>,
    /// Judge the tiers of this architecture [default: that of each file; of scripts this machine's]
    #[arg(long = "arch", value_name = "ARCH")]
    architecture: Option<String>,
    /// The folder in which the files would lie in a tier, for libraries beside them ($ORIGIN)
    /// [default: where each lies here]
    #[arg(long, value_name = "FOLDER")]
    at: Option<String>,
    /// Write the manifest of a new tier that can run all of them: debian13/app, or app for the best
    /// distribution; never over a file
    #[arg(long, value_name = "TIER")]
    new: Option<String>,
}

impl AskFit {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let architectures = pipeline::select_architectures(self.architecture.as_slice())?;
        if self.architecture.as_deref() == Some("all") {
            let help = "name one; without --arch each file is judged for its own";
            return Err(UsageError::new("a file is judged for one architecture at a time", help).into());
        }
        let binaries = self.binaries.iter().map(|path| self.place(path)).collect::<Result<_, UsageError>>()?;
        let workshop = session.workshop()?;
        let options = FitOptions {
            binaries,
            tiers: self.tiers.clone(),
            architecture: architectures.into_iter().next(),
            host: session.host(),
            new: self.new.clone(),
        };
        let fitted = pipeline::fit(&workshop, &options)?;
        let alone = !self.tiers.is_empty();
        session.reporter.result(&fitted.fits, || text(&fitted, alone)).map_err(pipeline::stdout_failed)?;
        let all = fitted.fits.iter().all(|fit| fit.best.is_some());
        Ok(if all { Answer::Yes } else { Answer::No })
    }

    /// How a file is shown, where it is, and where it would lie.
    fn place(&self, path: &Path) -> Result<(String, PathBuf, RootPath), UsageError> {
        let shown = printable(path.as_os_str().as_bytes());
        let no_place = |text: &str| {
            UsageError::new(
                format!("{text:?} is no folder inside a tier"),
                "write it in full, from the root: --at /opt/app/bin",
            )
        };
        // As the kernel has it: links are followed. What is not there is told when it is read.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let real = real.as_os_str().as_bytes();
        let at = match &self.at {
            None => RootPath::from_archive(real).unwrap_or_default(),
            Some(folder) => {
                let name = path.file_name().map(|name| name.as_bytes()).unwrap_or_default();
                let folder = RootPath::from_absolute(folder.as_bytes()).map_err(|_| no_place(folder))?;
                folder.join(name).map_err(|_| no_place(&folder.to_string()))?
            }
        };
        Ok((shown, path.to_owned(), at))
    }
}

fn text(fitted: &Fitted, alone: bool) -> String {
    let mut text: String = fitted.fits.iter().map(one).collect();
    let helps = fitted.fits.iter().any(|fit| fit.best.is_none());
    match (&fitted.best, &fitted.written) {
        (Some(best), None) if helps && !best.packages.is_empty() => {
            let whom = if fitted.fits.len() == 1 { "it" } else { "all of them" };
            text.push_str(&format!("a tier for {whom}, such as manifests/{}/NAME.toml:\n\n", best.distribution));
            text.push_str(&indented(&best.manifest));
        }
        (Some(best), Some(path)) => {
            text.push_str(&format!("{}:\n\n", printable(path.as_os_str().as_bytes())));
            text.push_str(&indented(&best.manifest));
        }
        (None, _) if helps => {
            let where_ = if alone { "these tiers" } else { "any tier" };
            text.push_str(&format!("no package is known that would make {where_} run it\n"));
        }
        _ => {}
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn one(fit: &Fit) -> String {
    let machine = fit.machine.clone().unwrap_or_else(|| fit.architecture.to_string());
    let mut text = format!("{} ({}, {machine})\n", fit.binary, fit.what.name());
    if fit.machine.is_some() {
        text.push_str(&format!("  no tier is of its machine; asked are those of {}\n", fit.architecture));
    }
    let fitting: Vec<_> = fit.tiers.iter().filter(|(_, verdict)| verdict.fits).map(|(tier, _)| tier.as_str()).collect();
    if let Some(best) = &fit.best {
        text.push_str(&format!("  fits {}\n", fitting.join(" ")));
        if fitting.len() > 1 {
            text.push_str(&format!("  the smallest of these is {best}\n"));
        }
    }
    // Tiers that lack the same are told once.
    let mut groups: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
    for (tier, verdict) in fit.tiers.iter().filter(|(_, verdict)| !verdict.fits) {
        groups.entry(lines(verdict)).or_default().push(tier);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(lines, tiers)| (lines.len(), tiers.clone()));
    for (lines, tiers) in groups {
        text.push_str(&format!("  does not fit {}\n", tiers.join(" ")));
        lines.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    fit.notes.iter().for_each(|note| text.push_str(&format!("  note: {note}\n")));
    text
}

fn lines(verdict: &Verdict) -> Vec<String> {
    let mut lines: Vec<_> = verdict.missing.iter().map(line).collect();
    if verdict.more > 0 {
        lines.push(format!("and {} more", verdict.more));
    }
    lines
}

fn line(missing: &Missing) -> String {
    let Missing { kind, name, package, library, by } = missing;
    let mut line = format!("{} {name}", kind.name());
    line.extend(library.iter().map(|library| format!(" of {library}")));
    line.extend(by.iter().map(|by| format!(", for {by}")));
    line.extend(package.iter().map(|package| format!(": package {package}")));
    line
}
