//! Debian's formats: bytes to values. Versions, relations, deb822 stanzas, Release and Packages
//! files, the members of a .deb. No files, no network.

mod arch;
pub mod deb;
pub mod deb822;
pub mod packages;
pub mod relation;
pub mod release;
pub mod status;
pub mod version;

pub use arch::{Architecture, UnknownArchitecture};
pub use relation::{Alternative, Operator, Relation, RelationError};
pub use version::{Version, VersionError};
