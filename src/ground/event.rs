//! What happens during a run, told to whoever shows it.

use std::sync::Arc;

use miette::Diagnostic;

/// A kind of long work that can have a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Bytes that come over the network.
    Download,
    /// Compressed bytes of .debs that are unpacked.
    Unpack,
    /// Bytes of tar that are written.
    Emit,
    /// Bytes that go to a registry.
    Upload,
}

/// One thing that happened. `bytes` are always bytes of the `Work` they belong to.
#[derive(Clone)]
pub enum Event {
    /// A step began or ended; one quiet log line.
    Step(String),
    /// A remark that changes nothing.
    Note(String),
    /// Something the user should look at; never an error.
    Warning(Arc<dyn Diagnostic + Send + Sync>),
    /// So many more bytes are to be done.
    Expect(Work, u64),
    /// So many bytes are done.
    Advance(Work, u64),
}

/// Hears the events of a run. Called from any thread.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn tell(&self, event: Event);
}

/// Hears nothing: for tests and embedding.
pub struct Silent;

impl Observer for Silent {
    fn tell(&self, _: Event) {}
}
