//! What the kinds of synchronisation ([`crate::Sync`]) are made of: a way to exclude others and a way
//! to sleep, chosen separately.
//!
//! | sync | excluded by | sleeps on |
//! |---|---|---|
//! | futex | compare-and-swap | the eventcount |
//! | pthread | robust mutex | the eventcount, as the mutex's condition variable |
//! | posix-sem | semaphore | a semaphore of one's own |
//! | sysv-sem | semaphore that the kernel gives back (`SEM_UNDO`) | a semaphore of one's own |
//! | mqueue | compare-and-swap | a message queue of one's own |
//!
//! Whatever excludes, ownership is written in the cells ([`crate::cell`]): a lock decides who may
//! change a cell's word, and the word says what a death leaves.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;

use crate::sys::futex::{MonotonicTime, Wake};

/// How a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// Its last holder released it.
    Clean,
    /// Its last holder died with it. Who gets it so repairs what it guards, and then calls
    /// [`Lock::mark_consistent`].
    AfterDeath,
    /// Not before the deadline.
    TimedOut,
}

/// A lock in or beside the segment, that survives its holder's death at any instruction.
pub(crate) trait Lock: Debug + Send {
    /// Waits for the lock, and holds it unless the answer is [`Acquired::TimedOut`].
    fn acquire(&self, deadline: Option<MonotonicTime>) -> Acquired;
    /// What the lock guards is in order again. If the holder dies before this, the next one gets the
    /// lock [`Acquired::AfterDeath`] too.
    fn mark_consistent(&self);
    /// Releases the lock; only its holder calls this.
    fn release(&self);
}

/// A place to sleep of one participant's own, that others can reach. It remembers having been rung, so
/// no wake-up is lost between a last look and the sleep.
pub(crate) trait Bell: Debug + Send + std::marker::Sync {
    /// Sleeps until this participant's bell has been rung since the last sleep, or the deadline passes.
    /// May also return for no reason.
    fn sleep(&self, deadline: Option<MonotonicTime>) -> Wake;
    /// Rings the bell of whoever holds `slot`; one's own too.
    fn ring(&self, slot: u32);
    /// A descriptor that is readable while this participant's bell has been rung, where there is one.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

/// What a participant of a cell ring synchronises by.
#[derive(Debug)]
pub(crate) struct Primitives {
    /// `None`: compare-and-swap.
    pub(crate) lock: Option<Box<dyn Lock>>,
    /// `None`: the eventcount's futex words.
    pub(crate) bell: Option<std::sync::Arc<dyn Bell>>,
}
