//! The writing handle.

use std::sync::Arc;

use bytemuck::Pod;
use crossbeam_utils::CachePadded;

use crate::api::threads::Unshared;
use crate::error::SetError;
use crate::memory::region::memory::Memory;
use crate::presence::participant::Participant;
use crate::rings::board::writer as role;

/// The writer of one entry: it alone sets its value.
///
/// The role is held while this lives, by the proof of the kernel: when the process dies, at whatever instruction, another may take
/// it over at once. Dropping it leaves the value where it is.
///
/// A handle is for one thread at a time: it can be sent to another thread (`Send`), and not be shared with one.
///
/// ```
/// # use ringway_core as ringway;
/// let board = ringway::Board::at("memfd:")?.create()?;
/// let mut speed = board.writer("speed")?;
/// assert_eq!(speed.set(b"50")?, 1);
/// assert_eq!(speed.set(b"a little more")?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    /// On lines of its own: what one handle writes with each value must not lie beside what another thread's does.
    role: CachePadded<role::Writer<Memory>>,
    /// Held until the role is given up. After it the slot may be left.
    _participant: Arc<Participant>,
    _one_thread: Unshared,
}

impl Writer {
    pub(super) fn new(role: role::Writer<Memory>, participant: Arc<Participant>) -> Self {
        Self {
            role: CachePadded::new(role),
            _participant: participant,
            _one_thread: Unshared::default(),
        }
    }

    /// Publishes a value, and returns its number: the first one that the entry ever had is 1. It waits for nobody.
    ///
    /// Whoever reads gets this value or a later one from now on, and whoever sleeps for one is woken. While all are awake, no
    /// system call is made.
    ///
    /// # Errors
    /// [`SetError::TooLarge`], [`SetError::Forked`]. Then the last value is still there.
    #[inline]
    pub fn set(&mut self, value: &[u8]) -> Result<u64, SetError> {
        self.role.set(value)
    }

    /// The same with the bytes of a value whose type has no padding.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let board = ringway::Board::at("memfd:")?.create()?;
    /// board.writer("speed")?.set_pod(&50.5_f64)?;
    /// assert_eq!(board.reader("speed")?.get_pod::<f64>()?, Some(50.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn set_pod<T: Pod>(&mut self, value: &T) -> Result<u64, SetError> {
        self.role.set_value(value)
    }

    /// The number of the value that is there; 0 before the first. A writer that follows another goes on from there.
    pub fn number(&self) -> u64 {
        self.role.number()
    }

    /// Bytes of the longest value.
    pub fn max_value_len(&self) -> usize {
        self.role.max_len() as usize
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.role.leave();
    }
}
