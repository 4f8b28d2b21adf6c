//! Lines of a manifest that do nothing.

use super::{Finding, Subject};
use crate::{
    compose::Remark,
    debian::Relation,
    ground::printable,
    manifest::Dependencies,
    resolve::linked::is_documentation,
    rootfs::{Node, Origin},
};

/// `idle-glob`: what every build warns of, too.
pub(super) fn globs(subject: &Subject<'_>) -> Vec<Finding> {
    let finding = |remark: &Remark| {
        let (subject, span) = match remark {
            Remark::IdleGlob { glob, span, .. } => (glob.clone(), *span),
            Remark::IdleRule { package, span, .. } => (package.clone(), *span),
            _ => return None,
        };
        Some(Finding {
            lint: "idle-glob",
            subject,
            message: remark.to_string(),
            help: "correct it or delete it".to_owned(),
            span: Some(span.offset()..span.offset() + span.len()),
        })
    };
    subject.stage().composed.remarks.iter().filter_map(finding).collect()
}

/// `idle-omission`. `lock` knows it exactly and warns; without an index, an omission is taken for idle
/// where no relation of the tier's packages names it, and none is met by nobody: that one may be met by
/// a name which only the omitted package provides.
pub(super) fn omissions(subject: &Subject<'_>) -> Vec<Finding> {
    let tier = subject.stage().tier;
    let members = subject.members;
    let own = members.all.iter().filter(|member| member.stage + 1 == subject.chain.len());
    let relations: Vec<&Relation> = own.flat_map(|member| &member.needs).collect();
    let names = |relation: &Relation, name: &str| relation.0.iter().any(|alternative| *alternative.name == *name);
    let unexplained = relations.iter().any(|relation| {
        relation.0.iter().all(|alternative| members.meeting(alternative).is_none())
            && !tier.omit.iter().any(|omission| names(relation, &omission.package.value))
            && !subject.unmet.iter().any(|unmet| unmet.ends_with(&format!(" needs {relation}")))
    });
    if unexplained {
        return Vec::new();
    }
    let idle = tier.omit.iter().filter(|omission| {
        let name = &omission.package.value;
        !relations.iter().any(|relation| names(relation, name))
    });
    let finding = |name: &str, span: &crate::ground::Span| Finding {
        lint: "idle-omission",
        subject: name.to_owned(),
        message: format!("`omit` of {name} omits nothing: no package of this tier depends on it"),
        help: "remove it, or see whether its name is right".to_owned(),
        span: Some(span.clone()),
    };
    idle.map(|omission| finding(&omission.package.value, &omission.package.span)).collect()
}

/// `idle-wish`: a package of a tier with `dependencies = "linked"` that is there for what it depends on,
/// which fell away since no kept file needs it.
pub(super) fn wishes(subject: &Subject<'_>) -> Vec<Finding> {
    let stage = subject.stage();
    if stage.tier.dependencies != Dependencies::Linked {
        return Vec::new();
    }
    let members = subject.members;
    let omitted = |name: &str| subject.chain.iter().flat_map(|one| &one.tier.omit).any(|one| one.package.value == name);
    let brings = |name: &str| {
        stage.composed.rootfs.entries.iter().any(|(path, entry)| {
            let own = matches!(&entry.origin, Origin::Package(owner) if *owner.name == *name);
            own && !matches!(entry.node, Node::Directory) && !is_documentation(path)
        })
    };
    let finding = |wish: &crate::manifest::Wish| {
        let relation = wish.relation.on(subject.architecture)?;
        let number = relation.0.iter().find_map(|alternative| members.meeting(alternative))?;
        let member = members.all.get(number).filter(|member| member.stage + 1 == subject.chain.len())?;
        let fell_away: Vec<String> = member
            .needs
            .iter()
            .filter(|need| !need.0.iter().any(|one| members.meeting(one).is_some() || omitted(&one.name)))
            .map(|need| printable(need.to_string().as_bytes()))
            .collect();
        let name = printable(member.name.as_bytes());
        (!fell_away.is_empty() && !brings(&member.name)).then(|| Finding {
            lint: "idle-wish",
            message: format!(
                "no file of {name} is kept but documentation, and what it depends on fell away: {}",
                fell_away.join(", ")
            ),
            subject: name,
            help: "name the packages that are wanted of these, or keep its files in [globs], or take it out".to_owned(),
            span: Some(wish.span.clone()),
        })
    };
    stage.tier.packages.iter().filter_map(finding).collect()
}
