//! Replaces between packages (Policy 7.6.1).

use std::sync::Arc;

use crate::{
    debian::{Alternative, deb822::Cursor, relation::parse_relations},
    rootfs::PackageName,
};

/// The control files of a chain's packages; what they replace is read where a conflict asks.
pub(super) struct Controls<'a>(pub Vec<(&'a Arc<PackageName>, &'a [u8])>);

impl Controls<'_> {
    /// Whether `package` may take over files of `other`. By name and version alone: a virtual name
    /// in Replaces says something else (Policy 7.6.2). A field that cannot be read replaces
    /// nothing, so that the conflict is told.
    pub fn replaces(&self, package: &PackageName, other: &PackageName) -> bool {
        let control = self.0.iter().find(|(name, _)| ***name == *package);
        control.is_some_and(|(_, control)| {
            replaced(control).iter().any(|entry| entry.name == other.name && entry.takes_version(&other.version))
        })
    }
}

fn replaced(control: &[u8]) -> Vec<Alternative> {
    let Ok(text) = std::str::from_utf8(control) else { return Vec::new() };
    let mut cursor = Cursor::new(text);
    cursor.stanza();
    while let Ok(Some(field)) = cursor.field() {
        if field.name.eq_ignore_ascii_case("Replaces") {
            let relations = parse_relations(field.value).unwrap_or_default();
            return relations.into_iter().flat_map(|relation| relation.0).collect();
        }
    }
    Vec::new()
}
