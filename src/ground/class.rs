//! Who must act on an error; it becomes the exit status.

use miette::Diagnostic;

/// Who must act, as the exit status says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Nothing in the project is wrong: mirror, network, registry, disk (exit status 3).
    World,
    /// The user edits something: usage, manifest, lock, bad input (exit status 2).
    User,
}

impl Class {
    /// The exit status.
    pub fn exit_status(self) -> u8 {
        match self {
            Class::User => 2,
            Class::World => 3,
        }
    }
}

/// An error that can be shown as a diagnostic and knows who must act.
pub trait Failure: Diagnostic + Send + Sync + 'static {
    /// Who must act.
    fn class(&self) -> Class;
}
