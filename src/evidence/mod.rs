//! What is shown or proven about finished things: tables, verdicts, reasons, lints, bills of materials,
//! provenance. Knows not how to build.

pub mod audit;
pub mod changes;
pub mod diff;
mod error;
pub mod explore;
pub mod files;
pub mod fit;
pub mod kept_out;
pub mod licences;
pub mod lints;
mod origin;
pub mod provenance;
pub mod relations;
pub mod sbom;
pub mod see;
pub mod table;
pub mod verdict;
pub mod why;

pub use error::EvidenceError;
