//! Composition of tiers: each file one family of rules, over small packages made in memory.

mod build;
mod declared;
mod difference;
mod globs;
mod merged_usr;
mod merging;
mod properties;
mod scripts;
