//! A browser of one tier: its state, what a key does to it, and how it is drawn. Knows no terminal.

mod draw;
mod model;

pub use draw::{Look, draw};
pub use model::{Flow, Key, Model, Pane};
