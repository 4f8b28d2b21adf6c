//! What is shown or proven about finished things: tables, verdicts. Knows not how to build.

pub mod changes;
pub mod lints;
pub mod table;
pub mod verdict;
