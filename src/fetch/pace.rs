//! A bound on slowness: a server that trickles bytes would hold a run for ever, and keep it from the
//! next mirror.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

/// The slowest line that is waited for, in bytes per second. A modem of the nineties is faster.
const SLOWEST: u64 = 1 << 10;

/// Reads what `inner` gives, as long as it gives at least [`SLOWEST`] in every window of time.
pub(super) struct Paced<R, C> {
    inner: R,
    clock: C,
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl<R: Read, C: FnMut() -> Instant> Paced<R, C> {
    /// Judges `inner` once a `window`, by `clock`.
    pub(super) fn new(inner: R, window: Duration, mut clock: C) -> Self {
        let since = clock();
        Self { inner, clock, window, since, bytes: 0 }
    }
}

impl<R: Read, C: FnMut() -> Instant> Read for Paced<R, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes = self.bytes.saturating_add(count as u64);
        let now = (self.clock)();
        let passed = now.saturating_duration_since(self.since);
        if count > 0 && passed >= self.window {
            if self.bytes < SLOWEST.saturating_mul(passed.as_secs()) {
                let text = format!("it sent {} bytes in {} s", self.bytes, passed.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            (self.since, self.bytes) = (now, 0);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `total` bytes, `step` at a time, each a second after the one before.
    fn read(total: usize, step: usize) -> io::Result<u64> {
        let bytes = vec![0; total];
        let mut clock = Instant::now();
        let tick = || {
            clock += Duration::from_secs(1);
            clock
        };
        let mut paced = Paced::new(&bytes[..], Duration::from_secs(60), tick);
        let mut buffer = vec![0; step];
        let mut sum = 0;
        loop {
            match paced.read(&mut buffer)? {
                0 => return Ok(sum),
                count => sum += count as u64,
            }
        }
    }

    #[test]
    fn a_trickle_is_given_up_and_a_slow_line_is_not() {
        assert_eq!(read(1 << 20, 2048).unwrap(), 1 << 20);
        assert_eq!(read(40, 1).unwrap(), 40, "a short file may take its time");
        let error = read(1000, 1).unwrap_err();
        assert_eq!(error.to_string(), "it sent 60 bytes in 60 s");
    }
}
