//! What integration tests share: .debs, a signed archive, a server with faults, a project folder.
//! Each test file says `mod support;` and uses what it needs.

#![allow(dead_code, unused_imports)]

pub mod archive;
pub mod deb;
pub mod elf;
pub mod http;
pub mod keys;
pub mod layout;
pub mod project;
pub mod registry;

pub use archive::{Sums, TestArchive, TestSuite};
pub use deb::{Compression, Deb, DebBuilder};
pub use elf::ElfBuilder;
pub use http::{Fault, Server};
pub use keys::Key;
pub use project::{Project, project};

use jiff::Timestamp;

/// A moment as text.
pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The "now" of the tests: a day after the archive's Date.
pub fn now() -> Timestamp {
    at("2026-01-11T12:00:00Z")
}
