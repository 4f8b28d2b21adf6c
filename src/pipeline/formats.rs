//! What a build writes.

use std::collections::BTreeSet;

use super::Evidence;
use crate::layer::Form;

/// Which files come of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formats {
    /// Layers by themselves.
    pub layers: BTreeSet<Form>,
    /// An OCI image layout a distribution, with layers of this form.
    pub oci: Option<Form>,
    /// An archive for `docker load` an image and architecture, with layers in gzip.
    pub docker: bool,
    /// Evidence of each tier, attached to its images where there is a layout.
    pub documents: BTreeSet<Evidence>,
}

impl Formats {
    /// Whether images are asked for.
    pub fn images(&self) -> bool {
        self.oci.is_some() || self.docker
    }

    /// The forms whose layers are kept under their tiers' names. Docker archives are put together from
    /// layers that are there: where no layout has them, they are outputs too.
    pub fn files(&self) -> BTreeSet<Form> {
        let mut files = self.layers.clone();
        if self.docker && self.oci != Some(Form::TarGz) {
            files.insert(Form::TarGz);
        }
        files
    }

    /// All forms that are made.
    pub fn forms(&self) -> BTreeSet<Form> {
        let mut forms = self.files();
        forms.extend(self.oci);
        forms
    }
}
