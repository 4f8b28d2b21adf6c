//! The program, run from outside on a project whose archive is made, signed and served on loopback.
//! Each file is about one verb or subject; each test reads like a short script.

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod build;
mod content;
mod gone;
mod linked;
mod lock;
mod packages;
mod show;
mod status;
mod trust;
mod world;
