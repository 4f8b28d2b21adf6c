//! xz2 0.1 asks for `lzma-sys`; this gives it the same interface over a maintained liblzma.
pub use liblzma_sys::*;
