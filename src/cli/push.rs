//! `push`: images to a registry.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use clap::Args;

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    evidence::table::{Align, bytes, table},
    ground::{Class, Event, Failure, Observer as _, open_regular, read_at_most},
    image::{
        reference::Reference,
        registry::How,
        sign::{Key, LONGEST_KEY},
    },
    pipeline::{self, DEFAULT_TAG, Failures, PushOptions, PushedImages},
};

const MORE: &str = "\
Tags:
  A TEMPLATE is a tag with fields: {tier}, {variant} (empty for the plain image), {-variant} (the
  same with a dash before it, where it is not empty), {distribution}, {date} (the day of the
  newest Release in the lock, such as 20261122), {digest} (12 digits of the image's).

Credentials, the first that has one for the registry:
  DEBSTRATA_REGISTRY_USER and DEBSTRATA_REGISTRY_PASSWORD; the file REGISTRY_AUTH_FILE, else
  docker's config.json (DOCKER_CONFIG) and podman's auth.json, with the programs they name.";

/// Push images to a repository of an OCI registry. What is there already is not sent.
#[derive(Args)]
#[command(after_help = format!("{MORE}\n\n{}", super::EXIT_STATUS))]
pub(super) struct Push {
    /// Tiers (debian13/cc, or cc for every distribution that has one) [default: all], and at the end
    /// where to: registry.example.org/team/image, or with a template of tags after a colon
    #[arg(value_name = "TIER.. REGISTRY/REPO[:TEMPLATE]", required = true)]
    words: Vec<String>,
    /// A template of tags (repeats) [default: {tier}{-variant}]
    #[arg(long = "tag", value_name = "TEMPLATE")]
    templates: Vec<String>,
    /// Where the layouts are [default: out/ in the project folder]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// A repository of the same registry that may have some of the blobs (repeats)
    #[arg(long, value_name = "REPO")]
    mount_from: Vec<String>,
    /// Sign every image with this private key (ECDSA P-256, PEM; `env:NAME`: from the environment),
    /// in the form that `cosign verify --key` reads
    #[arg(long, value_name = "FILE")]
    sign_key: Option<String>,
    /// Run this for every image after the push, with {} replaced by REGISTRY/REPO@DIGEST, such as
    /// 'cosign sign --yes --key cosign.key {}'; its words are separated by spaces, and no shell is used
    #[arg(long, value_name = "COMMAND")]
    sign_with: Option<String>,
    /// Plain HTTP; a registry on this machine without TLS needs no asking
    #[arg(long)]
    plain_http: bool,
}

impl Push {
    pub(super) fn run(&self, session: &Session) -> Result<Answer, Failures> {
        let Some((place, tiers)) = self.words.split_last() else {
            return Err(UsageError::new("no registry is named", "see `debstrata push --help`").into());
        };
        let (reference, template) = Reference::with_template(place)?;
        if session.global.offline {
            let help = "push without --offline";
            return Err(UsageError::new("--offline forbids asking a registry", help).into());
        }
        for from in &self.mount_from {
            let full = format!("{}/{from}", reference.registry);
            if full.parse::<Reference>().ok().is_none_or(|full| full.tag.is_some() || full.digest.is_some()) {
                let help = "name it without its registry, as in --mount-from team/image";
                return Err(UsageError::new(format!("--mount-from {from:?} is no repository"), help).into());
            }
        }
        let mut templates: Vec<String> = self.templates.clone();
        templates.extend(template.map(str::to_owned));
        if templates.is_empty() {
            templates.push(DEFAULT_TAG.to_owned());
        }
        let key = self.sign_key.as_deref().map(|from| key(session, from)).transpose()?.map(Arc::new);
        let signer = self.sign_with.as_deref().map(Signer::parse).transpose()?;
        let settings = session.registry_settings(&reference, self.plain_http)?;
        let workshop = session.workshop()?;
        let picks = pipeline::select(&workshop.project, tiers, &["all".to_owned()], session.host())?;
        let output = self.output.clone().unwrap_or_else(|| session.global.directory.join("out"));
        let options = PushOptions { output, reference, templates, mount_from: self.mount_from.clone(), key };
        let pushed = pipeline::push(&workshop, &picks, &options, &settings)?;
        session.reporter.result(&pushed, || text(&pushed)).map_err(pipeline::stdout_failed)?;
        if let Some(signer) = signer {
            let mut references: Vec<&str> = pushed.images.iter().map(|image| image.reference.as_str()).collect();
            references.sort_unstable();
            references.dedup();
            references.into_iter().try_for_each(|reference| signer.sign(session, reference))?;
        }
        Ok(Answer::Yes)
    }
}

/// Reads a key from a file, or from a variable of the environment.
fn key(session: &Session, from: &str) -> Result<Key, Failures> {
    let pem = match from.strip_prefix("env:") {
        Some(name) => {
            session.surroundings.variables.get(name).map(|value| value.clone().into_bytes()).ok_or_else(|| {
                UsageError::new(
                    format!("--sign-key {from}: the variable {name} is not set"),
                    "set it to the key's PEM text",
                )
            })?
        }
        None => open_regular(from.as_ref()).and_then(|file| read_at_most(file, LONGEST_KEY)).map_err(|error| {
            UsageError::new(format!("--sign-key: cannot read {from}: {error}"), "name the file of a private key")
        })?,
    };
    Ok(Key::parse(&pem, from)?)
}

/// A program of the user's that signs.
struct Signer(Vec<String>);

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the program of --sign-with did not sign {reference}: {why}")]
#[diagnostic(
    code(debstrata::push::sign_with),
    help("the images are in the registry; run {program} by hand to see what it says, then push again")
)]
struct NotSigned {
    reference: String,
    why: String,
    program: String,
}

impl Failure for NotSigned {
    fn class(&self) -> Class {
        Class::World
    }
}

impl Signer {
    fn parse(command: &str) -> Result<Self, UsageError> {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if words.len() < 2 || !words.iter().skip(1).any(|word| word.contains("{}")) {
            let help =
                "write the program, its arguments, and {} where the image goes: 'cosign sign --key cosign.key {}'";
            return Err(UsageError::new(format!("--sign-with {command:?} names no program with a {{}}"), help));
        }
        Ok(Self(words))
    }

    fn sign(&self, session: &Session, reference: &str) -> Result<(), NotSigned> {
        let words: Vec<String> = self.0.iter().map(|word| word.replace("{}", reference)).collect();
        let failed = |why: String| NotSigned { reference: reference.to_owned(), why, program: words[0].clone() };
        // Arguments may hold a secret.
        session.reporter.progress.tell(Event::Step(format!("{} signs {reference}", words[0])));
        // What it prints is no result of ours.
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() { Ok(()) } else { Err(failed(output.status.to_string())) }
    }
}

fn text(pushed: &PushedImages) -> String {
    let columns = [("image", Align::Left), ("tag", Align::Left), ("", Align::Left), ("digest", Align::Left)];
    let mut rows = Vec::new();
    for image in &pushed.images {
        for tag in &image.tags {
            let set = if tag.how == How::Present { "as it was" } else { "set" };
            rows.push(vec![
                format!("{}/{}", image.distribution, image.name),
                tag.tag.clone(),
                set.to_owned(),
                image.digest.to_string(),
            ]);
        }
    }
    let count = |how: How| pushed.blobs.iter().filter(|blob| blob.how == how).count();
    let size = |how: How| bytes(pushed.blobs.iter().filter(|blob| blob.how == how).map(|blob| blob.size).sum());
    let manifests = |how: How| pushed.manifests.iter().filter(|manifest| manifest.how == how).count();
    format!(
        "{}{}/{}: blobs: {} sent ({}), {} mounted, {} there already; manifests: {} sent, {} there already\n",
        table(&columns, &rows),
        pushed.registry,
        pushed.repository,
        count(How::Sent),
        size(How::Sent),
        count(How::Mounted),
        count(How::Present),
        manifests(How::Sent),
        manifests(How::Present)
    )
}
