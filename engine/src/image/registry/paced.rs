//! Bodies that have to move.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::image::registry::Patience;

/// A body of which too little comes in too long a time is an error. What counts is how long the
/// other side lets us wait, not what is done between reads.
pub(super) struct Paced<R> {
    inner: R,
    patience: Patience,
    waited: Duration,
    bytes: u64,
}

/// The error of a body that hardly moves.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it sends next to nothing")]
pub(super) struct Crawls;

impl<R: Read> Paced<R> {
    pub(super) fn new(inner: R, patience: Patience) -> Self {
        Self {
            inner,
            patience,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let asked = Instant::now();
        let length = self.inner.read(buffer)?;
        self.waited += asked.elapsed();
        self.bytes += length as u64;
        if self.bytes >= self.patience.least_bytes {
            self.bytes = 0;
            self.waited = Duration::ZERO;
        } else if length > 0 && self.waited > self.patience.window {
            return Err(io::Error::new(io::ErrorKind::TimedOut, Crawls));
        }
        Ok(length)
    }
}
