//! The handle that reads whatever changes.

use std::time::{Duration, Instant};

use super::{Value, polling};
use crate::address::Address;
use crate::api::reach::Reach;
use crate::api::ring::Ring;
use crate::api::threads::Unshared;
use crate::error::{Error, GetError};
use crate::memory::region::memory::Memory;
use crate::rings::board::{Slate, directory, watcher};
use crate::waiting::{WaitOptions, WaitStrategy, deadline_after};

/// Reads all entries: of each the latest value, and again when there is a newer one. Like a [`Reader`](super::reader::Reader) it takes part
/// in nothing.
///
/// ```
/// # use ringway_core as ringway;
/// let board = ringway::Board::at("memfd:")?.create()?;
/// let mut watcher = board.watch()?;
/// board.writer("speed")?.set(b"50")?;
/// let (key, value) = watcher.wait()?;
/// assert_eq!((key.as_str(), &*value), ("speed", &b"50"[..]));
/// assert_eq!(watcher.next()?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Watcher {
    pub(super) watcher: watcher::Watcher<Memory>,
    pub(super) wait: WaitOptions<'static>,
    pub(super) reach: Reach,
    pub(super) address: Address,
    _one_thread: Unshared,
}

impl Watcher {
    pub(super) fn new(ring: &Ring, slate: Slate) -> Result<Self, Error> {
        let watcher = watcher::Watcher::new(ring.region()?, slate);
        Ok(Self {
            reach: polling::reach(ring.map(), watcher.whereabouts()),
            watcher,
            wait: WaitOptions::new(WaitStrategy::default()),
            address: ring.address().clone(),
            _one_thread: Unshared::default(),
        })
    }

    /// How calls of this handle wait.
    #[must_use]
    pub fn with_wait(mut self, how: WaitStrategy) -> Self {
        self.wait = WaitOptions::new(how);
        self
    }

    /// A value that this handle has not read yet, with its key; `None` if there is none.
    ///
    /// # Errors
    /// [`GetError::Changing`], [`GetError::Corrupt`], [`GetError::Forked`].
    #[expect(clippy::should_implement_trait, reason = "there is no end")]
    pub fn next(&mut self) -> Result<Option<(String, Value)>, GetError> {
        let mut bytes = Vec::new();
        let found = self.watcher.newer(&mut bytes)?;
        Ok(found.map(|(key, number)| (directory::text(key), Value { number, bytes })))
    }

    /// Waits for one. No death ends it.
    ///
    /// # Errors
    /// As [`next`](Self::next), and [`GetError::Removed`].
    pub fn wait(&mut self) -> Result<(String, Value), GetError> {
        self.wait_deadline(None)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`GetError::TimedOut`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<(String, Value), GetError> {
        self.wait_deadline(deadline_after(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_timeout`](Self::wait_timeout).
    pub fn wait_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(String, Value), GetError> {
        let mut bytes = Vec::new();
        let wait = self.wait.until(deadline.into());
        let (key, number) = self.watcher.wait_newer(&wait, &mut bytes)?;
        Ok((directory::text(key), Value { number, bytes }))
    }
}
