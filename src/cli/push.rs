//! `push`: images to a registry.

use std::path::PathBuf;

use clap::Args;

use super::{
    Answer,
    surroundings::{Session, UsageError},
};
use crate::{
    evidence::table::{Align, bytes, table},
    image::{reference::Reference, registry::How},
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
        let settings = session.registry_settings(&reference, self.plain_http)?;
        let workshop = session.workshop()?;
        let picks = pipeline::select(&workshop.project, tiers, &["all".to_owned()], session.host())?;
        let output = self.output.clone().unwrap_or_else(|| session.global.directory.join("out"));
        let options = PushOptions { output, reference, templates, mount_from: self.mount_from.clone() };
        let pushed = pipeline::push(&workshop, &picks, &options, &settings)?;
        session.reporter.result(&pushed, || text(&pushed)).map_err(pipeline::stdout_failed)?;
        Ok(Answer::Yes)
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
