//! What every room stands on: hashes, paths inside a root filesystem, positions in text,
//! bounded reading, whole-or-nothing writing, events, and who must act on an error.
//!
//! A type enters this room when two rooms need it. Nothing here knows Debian.

mod base64;
mod class;
mod event;
mod leb128;
mod links;
mod path;
mod pool;
mod read;
mod sha256;
mod size;
mod source;
mod write;

pub use base64::{from_base64, to_base64};
pub use class::{Class, Failure};
pub use event::{Event, Observer, Silent, Work};
pub use leb128::{put_leb128, take_leb128};
pub use links::{TooManyLinks, follow};
pub use path::{PathError, RootPath, printable};
pub use pool::work_until;
pub use read::{TooLong, open_regular, read_at_most};
pub use sha256::{DiffId, HexError, Sha256, Sha256Hasher};
pub use size::bytes;
pub use source::{Source, Span, Spanned, nearest};
pub use write::{
    WriteError, is_at, is_temporary_name, sweep_stale, temporary_in, write_new, write_through, write_whole,
    write_whole_with,
};
