//! Values in one unambiguous spelling, so that a digest says whether they mean the same.
//!
//! Each field is `name length ":" bytes "\n"`, lists carry their length, so no two different
//! values have one spelling. A change here makes every lock stale and every recipe another one.

use crate::{
    debian::{Alternative, Relation},
    ground::Sha256,
};

pub(super) struct Canon(Vec<u8>);

impl Canon {
    /// `subject` keeps digests of different things apart.
    pub(super) fn new(subject: &str) -> Self {
        Self(format!("debstrata {subject}\n").into_bytes())
    }

    pub(super) fn digest(self) -> Sha256 {
        Sha256::of(&self.0)
    }

    pub(super) fn bytes(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(format!("{name} {}:", value.len()).as_bytes());
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    pub(super) fn text(&mut self, name: &str, value: impl std::fmt::Display) {
        self.bytes(name, value.to_string().as_bytes());
    }

    /// Nothing and the empty text differ: nothing is not written at all.
    pub(super) fn optional(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Items whose order counts.
    pub(super) fn list<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, each: impl FnMut(&mut Self, T)) {
        self.items(name, &spell(items, each));
    }

    /// Items whose order does not count.
    pub(super) fn set<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, each: impl FnMut(&mut Self, T)) {
        let mut spelt = spell(items, each);
        spelt.sort();
        spelt.dedup();
        self.items(name, &spelt);
    }

    fn items(&mut self, name: &str, items: &[Vec<u8>]) {
        self.text(name, items.len());
        for item in items {
            self.bytes("-", item);
        }
    }

    /// A relation that [`Relation::on`] has fitted to one architecture: what that decided on is
    /// left out. Alternatives count in their order.
    pub(super) fn relation(&mut self, relation: &Relation) {
        let Relation(alternatives) = relation;
        self.list("alternatives", alternatives, |canon, alternative| {
            let Alternative { name, qualifier, suite, version, architectures: _, profiles: _ } = alternative;
            canon.text("name", name);
            canon.optional("qualifier", qualifier.as_ref());
            // Only where there is one: questions without keep their digests.
            if let Some(suite) = suite {
                canon.text("suite", suite);
            }
            if let Some((operator, version)) = version {
                canon.text("operator", operator.sign());
                canon.text("version", version.as_str());
            }
        });
    }
}

fn spell<T>(items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut Canon, T)) -> Vec<Vec<u8>> {
    items
        .into_iter()
        .map(|item| {
            let mut canon = Canon(Vec::new());
            each(&mut canon, item);
            canon.0
        })
        .collect()
}
