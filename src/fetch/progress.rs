//! How far one file has come, told once however often it is begun anew.

use crate::ground::{Event, Observer, Work};

pub(super) struct Progress<'a> {
    observer: &'a dyn Observer,
    told: u64,
}

impl<'a> Progress<'a> {
    pub(super) fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, told: 0 }
    }

    /// `bytes` of the file are here now; fewer than before tell nothing.
    pub(super) fn at(&mut self, bytes: u64) {
        if let Some(more) = bytes.checked_sub(self.told).filter(|more| *more > 0) {
            self.told = bytes;
            self.observer.tell(Event::Advance(Work::Download, more));
        }
    }
}
