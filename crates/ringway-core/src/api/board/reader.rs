//! The reading handle.

use std::time::{Duration, Instant};

use bytemuck::Pod;

use super::{Value, polling};
use crate::address::Address;
use crate::api::reach::Reach;
use crate::api::ring::Ring;
use crate::api::threads::Unshared;
use crate::error::{Error, GetError};
use crate::events::tell;
use crate::memory::region::memory::Memory;
use crate::rings::board::Slate;
use crate::rings::board::reader::{self, Value as ValueOf};
use crate::waiting::{WaitOptions, WaitStrategy, deadline_after};

/// Reads one entry. It takes part in nothing: it holds no place, and nobody waits for it.
///
/// A handle is for one thread at a time: it can be sent to another thread (`Send`), and not be shared with one.
///
/// ```
/// # use ringway_core as ringway;
/// let board = ringway::Board::at("memfd:")?.create()?;
/// let (mut speed, mut gauge) = (board.writer("speed")?, board.reader("speed")?);
/// speed.set(b"50")?;
/// assert_eq!(gauge.get_if_newer()?.unwrap(), *b"50");
/// assert_eq!(gauge.get_if_newer()?, None);
/// assert_eq!(gauge.get()?.unwrap(), *b"50");
///
/// let gauge = std::thread::spawn(move || gauge.wait_newer());
/// speed.set(b"60")?;
/// let value = gauge.join().unwrap()?;
/// assert_eq!((value.number(), &*value), (2, &b"60"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    pub(super) reader: reader::Reader<Memory>,
    /// How a call waits, which has no deadline of its own.
    pub(super) wait: WaitOptions<'static>,
    pub(super) reach: Reach,
    pub(super) address: Address,
    /// Whether deaths are told of by who has this, who knows better whose they are.
    quiet: bool,
    _one_thread: Unshared,
}

impl Reader {
    pub(super) fn new(ring: &Ring, slate: Slate, key: &[u8]) -> Result<Self, Error> {
        let reader = reader::Reader::new(ring.region()?, slate, key);
        Ok(Self {
            reach: polling::reach(ring.map(), reader.whereabouts()),
            reader,
            wait: WaitOptions::new(WaitStrategy::default()),
            address: ring.address().clone(),
            quiet: false,
            _one_thread: Unshared::default(),
        })
    }

    /// How calls of this handle wait.
    #[must_use]
    pub fn with_wait(mut self, how: WaitStrategy) -> Self {
        self.wait = WaitOptions::new(how);
        self
    }

    /// Leaves it to its owner to tell of a writer's death by `tracing`.
    #[doc(hidden)]
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Tells whoever listens of the writer's death, if a call ends with that.
    #[cold]
    pub(super) fn noted(&self, error: GetError) -> GetError {
        if error == GetError::WriterDied && !self.quiet {
            tell!("ringway::board", WARN, "writer died", address = %self.address, key = self.key());
        }
        error
    }

    /// The key of the entry.
    pub fn key(&self) -> &str {
        std::str::from_utf8(self.reader.key()).unwrap_or_default()
    }

    /// The number of the last value that this handle has read; 0 before the first.
    pub fn seen(&self) -> u64 {
        self.reader.seen()
    }

    /// Whether a live process, be it stopped, writes the entry: `None` if nobody does, `Some(false)` if its last writer died and
    /// nobody has followed.
    pub fn writer_lives(&mut self) -> Option<bool> {
        self.reader.writer().map(|(_, lives)| lives)
    }

    /// Whether the attachment with that id ([`Role::id`](super::desk::Role::id)) writes the entry, and lives.
    #[doc(hidden)]
    pub fn is_written_by(&mut self, id: u64) -> bool {
        self.reader.writer() == Some((id, true))
    }

    /// The latest value, whether it was read before or not; `None` if there is none yet. It waits for nobody.
    ///
    /// # Errors
    /// [`GetError::Changing`], [`GetError::Corrupt`], [`GetError::Forked`].
    pub fn get(&mut self) -> Result<Option<Value>, GetError> {
        let mut bytes = Vec::new();
        let read = self.reader.get(&mut bytes)?;
        Ok(read.map(|(number, ())| Value { number, bytes }))
    }

    /// The latest value if it is newer than the last one that this handle has read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_if_newer(&mut self) -> Result<Option<Value>, GetError> {
        let mut bytes = Vec::new();
        let read = self.reader.get_if_newer(&mut bytes)?;
        Ok(read.map(|(number, ())| Value { number, bytes }))
    }

    /// Copies the latest value to `bytes`, which gets its length, and returns its number; `None` if there is none yet. It needs
    /// no memory where `bytes` has room enough.
    ///
    /// # Errors
    /// As [`get`](Self::get). Then what is in `bytes` means nothing.
    #[inline]
    pub fn get_into(&mut self, bytes: &mut Vec<u8>) -> Result<Option<u64>, GetError> {
        Ok(self.reader.get(bytes)?.map(numbered))
    }

    /// The same if it is newer than the last one that this handle has read; else `None`, and `bytes` stays as it is.
    ///
    /// # Errors
    /// As [`get_into`](Self::get_into).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let board = ringway::Board::at("memfd:")?.create()?;
    /// let (mut speed, mut gauge) = (board.writer("speed")?, board.reader("speed")?);
    /// let mut bytes = Vec::new();
    /// speed.set(b"50")?;
    /// assert_eq!(gauge.get_into_if_newer(&mut bytes)?, Some(1));
    /// assert_eq!(gauge.get_into_if_newer(&mut bytes)?, None);
    /// assert_eq!(bytes, b"50");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get_into_if_newer(&mut self, bytes: &mut Vec<u8>) -> Result<Option<u64>, GetError> {
        Ok(self.reader.get_if_newer(bytes)?.map(numbered))
    }

    /// The latest value as one of a type of which every bit pattern is a value.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::WrongLength`].
    #[inline]
    pub fn get_pod<T: Pod>(&mut self) -> Result<Option<T>, GetError> {
        let read = self.reader.get(&mut ValueOf::room())?;
        Ok(read.map(|(_, value)| value))
    }

    /// The same if it is newer than the last one that this handle has read.
    ///
    /// # Errors
    /// As [`get_pod`](Self::get_pod).
    #[inline]
    pub fn get_pod_if_newer<T: Pod>(&mut self) -> Result<Option<T>, GetError> {
        let read = self.reader.get_if_newer(&mut ValueOf::room())?;
        Ok(read.map(|(_, value)| value))
    }

    /// Waits for a value that is newer than the last one that this handle has read: of several that came meanwhile, it is the
    /// latest.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::WriterDied`], once for each death, and [`GetError::Removed`]. That the writer
    /// leaves in order is no end: another may come.
    pub fn wait_newer(&mut self) -> Result<Value, GetError> {
        self.wait_newer_deadline(None)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait_newer`](Self::wait_newer), and [`GetError::TimedOut`].
    pub fn wait_newer_timeout(&mut self, timeout: Duration) -> Result<Value, GetError> {
        self.wait_newer_deadline(deadline_after(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_newer_timeout`](Self::wait_newer_timeout).
    pub fn wait_newer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Value, GetError> {
        let mut bytes = Vec::new();
        let wait = self.wait.until(deadline.into());
        let read = self.reader.wait_newer(&wait, &mut bytes);
        let number = read.map_err(|error| self.noted(error)).map(numbered)?;
        Ok(Value { number, bytes })
    }

    /// As [`wait_newer_deadline`](Self::wait_newer_deadline), of a type as for [`get_pod`](Self::get_pod).
    ///
    /// # Errors
    /// As [`wait_newer_timeout`](Self::wait_newer_timeout), and [`GetError::WrongLength`].
    pub fn wait_newer_pod<T: Pod>(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<T, GetError> {
        let wait = self.wait.until(deadline.into());
        let read = self.reader.wait_newer(&wait, &mut ValueOf::room());
        let (_, value) = read.map_err(|error| self.noted(error))?;
        Ok(value)
    }
}

/// The number of a value that was read as bytes, which lie where they were copied to.
pub(super) fn numbered((number, ()): (u64, ())) -> u64 {
    number
}
