//! What is shown or proven about finished things: tables, verdicts, reasons, lints. Knows not how to
//! build.

pub mod audit;
pub mod changes;
pub mod kept_out;
pub mod lints;
pub mod relations;
pub mod table;
pub mod verdict;
pub mod why;
