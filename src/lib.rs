//! debstrata composes root filesystems from Debian packages, one reproducible layer a tier.
//!
//! The rooms, in the order in which data flows. A room imports only rooms above it; the order of
//! the `pub mod` lines below is law, and `tests/house.rs` keeps it.

pub mod ground;

pub mod debian;

pub mod elf;

pub mod manifest;

pub mod cache;

pub mod fetch;

pub mod archive;

pub mod resolve;

pub mod lock;

pub mod rootfs;

pub mod unpack;

pub mod generate;

pub mod compose;

pub mod layer;

pub mod image;

pub mod evidence;

pub mod outputs;

pub mod pipeline;

pub mod cli;
