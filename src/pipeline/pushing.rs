//! `push`: which images of which layouts go to a repository, and under which tags.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use miette::Diagnostic;
use serde::Serialize;

use super::{Failures, Pick, Workshop, locking};
use crate::{
    ground::{Class, Failure, nearest},
    image::{
        Descriptor, Digest,
        layout::Layout,
        reference::{Reference, check_tag},
        registry::{self, Access, How, PushedBlob, PushedManifest, Repository, Sources, Wanted, clashes},
        sign::{self, Key, signature_tag},
        spec::{MANIFEST, Manifest},
    },
    lock::Lock,
    manifest::{Distribution, images},
};

/// The tag of an image where nobody says another: `cc`, `cc-nonroot`.
pub const DEFAULT_TAG: &str = "{tier}{-variant}";

/// What can stand in a template of tags.
const FIELDS: [&str; 6] = ["tier", "variant", "-variant", "distribution", "date", "digest"];
/// Digits of a digest in a tag.
const SHORT: usize = 12;

/// How to push.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// The folder of outputs: the layouts are `<output>/<distribution>/oci`.
    pub output: PathBuf,
    /// Where to.
    pub reference: Reference,
    /// Templates of tags, at least one.
    pub templates: Vec<String>,
    /// Repositories of the same registry whose blobs may be mounted.
    pub mount_from: Vec<String>,
    /// Signs every image.
    pub key: Option<Arc<Key>>,
}

/// What `push` did; `push --json` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct PushedImages {
    /// `host` or `host:port`.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// Every image.
    pub images: Vec<PushedImage>,
    /// Every blob that they are made of, by digest.
    pub blobs: Vec<PushedBlob>,
    /// Every manifest and index, in the order in which they went.
    pub manifests: Vec<PushedManifest>,
}

/// One image of a push.
#[derive(Debug, Clone, Serialize)]
pub struct PushedImage {
    /// The distribution.
    pub distribution: String,
    /// The tier.
    pub tier: String,
    /// The variant; empty for the plain image.
    pub variant: String,
    /// Its name in the layout.
    pub name: String,
    /// Of its index.
    pub digest: Digest,
    /// `registry/repository@digest`
    pub reference: String,
    /// Its tags.
    pub tags: Vec<ImageTag>,
}

/// One tag of an image.
#[derive(Debug, Clone, Serialize)]
pub struct ImageTag {
    /// The tag.
    pub tag: String,
    /// Sent: it was new, or named another image.
    pub how: How,
}

/// What keeps a push from beginning.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum PushError {
    #[error("there is no OCI layout of {distribution}: {} is not there", path.display())]
    #[diagnostic(code(debstrata::push::layout), help("make it with `debstrata build --format oci {tiers}`"))]
    NoLayout { distribution: String, path: PathBuf, tiers: String },
    #[error("the layout {} has no image {name}", path.display())]
    #[diagnostic(code(debstrata::push::image), help("make it with `debstrata build --format oci {tier}`"))]
    NoImage { path: PathBuf, name: String, tier: String },
    #[error("the template of tags {template:?} cannot be used: {why}")]
    #[diagnostic(code(debstrata::push::template), help("{help}"))]
    Template { template: String, why: String, help: String },
    #[error("two images would get the same tag: {tags}")]
    #[diagnostic(
        code(debstrata::push::clash),
        help("add {{distribution}}, {{tier}} or {{-variant}} to the template of tags, or name fewer tiers")
    )]
    Clash { tags: String },
}

impl Failure for PushError {
    fn class(&self) -> Class {
        Class::User
    }
}

/// Pushes the images of the named tiers of the picks, for all architectures that their layouts have.
///
/// # Errors
/// What is missing or wrong; nothing was sent then. And what the registry did: then no tag was set, unless
/// setting tags is what failed.
pub fn push(
    workshop: &Workshop,
    picks: &[Pick],
    options: &PushOptions,
    settings: &registry::Settings,
) -> Result<PushedImages, Failures> {
    let templates: Vec<Template> =
        options.templates.iter().map(|text| Template::parse(text)).collect::<Result<_, _>>()?;
    let (mut sources, mut images, mut wanted) = (Sources::default(), Vec::new(), Vec::new());
    for pick in picks {
        let distribution = &workshop.project.distributions[pick.distribution];
        let (layout, found) = images_of(distribution, pick, options, &templates)?;
        for (image, root) in found {
            let tags = image.tags.iter().map(|tag| tag.tag.clone()).collect();
            let about = referrers(&layout, &root)?;
            wanted.push(Wanted { root, tags });
            images.push(image);
            wanted.extend(about.into_iter().map(|root| Wanted { root, tags: Vec::new() }));
        }
        sources.layouts.push(layout);
    }
    let clashing: Vec<_> = clashes(&wanted).into_iter().collect();
    if !clashing.is_empty() {
        return Err(PushError::Clash { tags: clashing.join(", ") }.into());
    }
    let repository = Repository::new(settings, &options.reference, Access::Push, &options.mount_from)?;
    if let Some(key) = &options.key {
        let name = format!("{}/{}", options.reference.registry, options.reference.repository);
        let tagged: Vec<Descriptor> =
            wanted.iter().filter(|one| !one.tags.is_empty()).map(|one| one.root.clone()).collect();
        for root in tagged {
            wanted.extend(signature(&repository, key, &name, &root, &mut sources)?);
        }
    }
    let pushed = registry::push(&repository, &sources, &wanted, &options.mount_from)?;
    let how: BTreeMap<&str, How> = pushed.tags.iter().map(|tag| (tag.tag.as_str(), tag.how)).collect();
    for tag in images.iter_mut().flat_map(|image| &mut image.tags) {
        tag.how = how.get(tag.tag.as_str()).copied().unwrap_or(tag.how);
    }
    Ok(PushedImages {
        registry: options.reference.registry.clone(),
        repository: options.reference.repository.clone(),
        images,
        blobs: pushed.blobs,
        manifests: pushed.manifests,
    })
}

type Found = (PushedImage, Descriptor);

/// What a layout has about an image and its platforms: bills of materials, provenance.
fn referrers(layout: &Layout, root: &Descriptor) -> Result<Vec<Descriptor>, Failures> {
    let index = layout.index(root)?;
    let subjects: BTreeSet<Digest> = index.manifests.iter().map(|one| one.digest).chain([root.digest]).collect();
    let named: BTreeSet<Digest> = layout.refs().map(|(_, named)| named.digest).collect();
    let mut found = Vec::new();
    for entry in layout.entries().iter().filter(|entry| entry.media_type == MANIFEST && !named.contains(&entry.digest))
    {
        if layout.manifest(entry)?.subject.is_some_and(|subject| subjects.contains(&subject.digest)) {
            found.push(entry.clone());
        }
    }
    Ok(found)
}

/// The signature of an image, added to those that the repository has; `None` where it has this one.
fn signature(
    repository: &Repository,
    key: &Key,
    name: &str,
    root: &Descriptor,
    sources: &mut Sources,
) -> Result<Option<Wanted>, Failures> {
    let tag = signature_tag(&root.digest);
    let there = repository.get_manifest(&tag)?;
    // What is no manifest of signatures is replaced.
    let others: Option<Manifest> = there.and_then(|document| serde_json::from_slice(&document.bytes).ok());
    let Some(artifact) = sign::sign(key, name, root, others.as_ref()) else { return Ok(None) };
    sources.kept.extend(artifact.blobs.into_iter().map(|(descriptor, bytes)| (descriptor.digest, bytes)));
    sources.kept.insert(artifact.descriptor.digest, artifact.manifest);
    Ok(Some(Wanted { root: artifact.descriptor, tags: vec![tag] }))
}

fn images_of(
    distribution: &Distribution,
    pick: &Pick,
    options: &PushOptions,
    templates: &[Template],
) -> Result<(Layout, Vec<Found>), Failures> {
    let path = options.output.join(&distribution.name).join("oci");
    let title = |tier: &usize| format!("{}/{}", distribution.name, distribution.tiers[*tier].name);
    if !path.join("index.json").is_file() {
        let tiers = pick.named.iter().map(title).collect::<Vec<_>>().join(" ");
        return Err(PushError::NoLayout { distribution: distribution.name.clone(), path, tiers }.into());
    }
    let layout = Layout::open(&path)?;
    let lock = match templates.iter().any(Template::needs_date) {
        true => locking::read_lock(distribution)?,
        false => None,
    };
    let mut found = Vec::new();
    for index in &pick.named {
        let tier = &distribution.tiers[*index].name;
        for planned in images(distribution, *index) {
            let Some((_, root)) = layout.refs().find(|(name, _)| *name == planned.name) else {
                let (name, tier) = (planned.name.clone(), title(index));
                return Err(PushError::NoImage { path, name, tier }.into());
            };
            let variant = planned.name.strip_prefix(tier).unwrap_or_default().trim_start_matches('-').to_owned();
            let named = Named { distribution, tier, variant: &variant, digest: root.digest, lock: lock.as_ref() };
            let mut tags = Vec::new();
            for template in templates {
                tags.push(ImageTag { tag: template.fill(&named)?, how: How::Present });
            }
            tags.sort_by(|one, other| one.tag.cmp(&other.tag));
            tags.dedup_by(|one, other| one.tag == other.tag);
            let image = PushedImage {
                distribution: distribution.name.clone(),
                tier: tier.clone(),
                variant,
                name: planned.name,
                digest: root.digest,
                reference: options.reference.at(root.digest).to_string(),
                tags,
            };
            found.push((image, root.clone()));
        }
    }
    Ok((layout, found))
}

/// What fills a template.
struct Named<'a> {
    distribution: &'a Distribution,
    tier: &'a str,
    variant: &'a str,
    digest: Digest,
    lock: Option<&'a Lock>,
}

/// A template of tags: texts, and fields between.
struct Template {
    text: String,
    /// A text and the field after it.
    parts: Vec<(String, Option<&'static str>)>,
}

impl Template {
    fn parse(text: &str) -> Result<Self, PushError> {
        let wrong = |why: String, help: String| PushError::Template { template: text.to_owned(), why, help };
        let known = || format!("fields are {}", FIELDS.map(|field| format!("{{{field}}}")).join(", "));
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| wrong("a `{` has no `}`".to_owned(), known()))?;
            let field = FIELDS.into_iter().find(|field| *field == name).ok_or_else(|| {
                let help = nearest(name, FIELDS).map_or_else(known, |near| format!("did you mean {{{near}}}?"));
                wrong(format!("it has no field {{{name}}}"), help)
            })?;
            parts.push((before.to_owned(), Some(field)));
            rest = after;
        }
        parts.push((rest.to_owned(), None));
        Ok(Self { text: text.to_owned(), parts })
    }

    fn needs_date(&self) -> bool {
        self.parts.iter().any(|(_, field)| *field == Some("date"))
    }

    fn fill(&self, named: &Named<'_>) -> Result<String, PushError> {
        let wrong =
            |why: String, help: &str| PushError::Template { template: self.text.clone(), why, help: help.to_owned() };
        let mut tag = String::new();
        for (before, field) in &self.parts {
            tag.push_str(before);
            match field {
                Some("tier") => tag.push_str(named.tier),
                Some("variant") => tag.push_str(named.variant),
                Some("-variant") if !named.variant.is_empty() => {
                    tag.push('-');
                    tag.push_str(named.variant);
                }
                Some("distribution") => tag.push_str(&named.distribution.name),
                Some("digest") => tag.extend(named.digest.0.to_string().chars().take(SHORT)),
                Some("date") => {
                    let dates = named.lock.iter().flat_map(|lock| &lock.suites);
                    // A folder of .debs has no Release, and no day.
                    let newest = dates.filter(|suite| suite.folder.is_none()).map(|suite| suite.date).max();
                    let newest = newest.ok_or_else(|| {
                        let why = format!("the lock of {} has no Release with a Date", named.distribution.name);
                        wrong(why, "use {digest} in place of {date}, or lock the distribution first")
                    })?;
                    tag.push_str(&newest.strftime("%Y%m%d").to_string());
                }
                _ => {}
            }
        }
        check_tag(&tag)
            .map_err(|why| wrong(why, "see whether a field of it is empty; {-variant} brings its own dash"))?;
        Ok(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_cannot_be_read() {
        for (text, why) in
            [("{tier", "a `{` has no `}`"), ("{tiers}", "it has no field {tiers}"), ("{}", "it has no field {}")]
        {
            let Err(PushError::Template { why: found, help, .. }) = Template::parse(text) else { panic!("{text}") };
            assert_eq!(found, why);
            assert!(!help.is_empty());
        }
    }
}
