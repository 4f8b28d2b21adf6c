//! Waiting for rayon's threads without standing in their way.

use std::sync::mpsc::{Receiver, RecvError};

/// The next message. A thread of the pool works while it waits, else a pool of one would stand still.
///
/// # Errors
/// No sender is left.
pub fn work_until<T>(receive: &Receiver<T>) -> Result<T, RecvError> {
    loop {
        if let Ok(message) = receive.try_recv() {
            return Ok(message);
        }
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            return receive.recv();
        }
    }
}
