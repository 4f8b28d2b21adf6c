//! The program, run from outside on a project whose archive is made, signed and served on loopback.
//! Each file is about one verb or subject; each test reads like a short script.

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod audit;
mod build;
mod bundle;
mod check;
mod content;
mod diff;
mod expect;
mod foreign;
mod gone;
mod learning;
mod limits;
mod linked;
mod lock;
mod packages;
mod sbom;
mod show;
mod sources;
mod status;
mod trust;
mod variants;
mod why;
mod world;
