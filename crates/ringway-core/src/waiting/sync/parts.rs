//! The two parts that a kind of synchronisation is made of: what excludes others, and what one sleeps on.

use std::fmt::Debug;
use std::sync::Arc;

use nix::errno::Errno;

use crate::sys::futex::{MonotonicTime, Wake};

/// How a lock was got, or not.
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

/// A lock or a bell cannot be used any more. It stays so, but for the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A peer wrote what none writes.
    Written,
    /// The kernel refuses what lies beside the segment: it was removed (EIDRM, EINVAL), or this process may not use it
    /// any more (EACCES).
    Beside(Errno),
    /// Not broken, but its holder is dead, and this process may not make sure any more that it is done. Others may.
    Unsettled,
}

/// A lock in or beside the segment, that survives its holder's death at any instruction.
pub(crate) trait Lock: Debug + Send + Sync {
    /// Waits for the lock, and holds it unless the answer is [`Acquired::TimedOut`] or [`Broken`].
    fn acquire(&self, deadline: Option<MonotonicTime>) -> Result<Acquired, Broken>;
    /// What the lock guards is in order again. If the holder dies before this, the next one gets the
    /// lock [`Acquired::AfterDeath`] too.
    fn mark_consistent(&self);
    /// Releases the lock; only its holder calls this, in the thread that acquired it. One that got it
    /// [`Acquired::AfterDeath`] and could not repair it releases it unmarked: the next one gets it
    /// [`Acquired::AfterDeath`] or [`Broken`].
    fn release(&self);
}

/// A place to sleep of one participant's own, that others can reach. It remembers having been rung, so
/// no wake-up is lost between a last look and the sleep.
pub(crate) trait Bell: Debug + Send + Sync {
    /// To be called before the last look ahead of a sleep. With which count of what was heard of it one may sleep, where it is
    /// [listened to](super::listener).
    fn prepare(&self) -> u32 {
        0
    }
    /// Sleeps until this participant's bell has been rung since the last sleep, or the deadline passes.
    /// May also return for no reason.
    fn sleep(&self, deadline: Option<MonotonicTime>) -> Result<Wake, Broken>;
    /// Rings the bell of whoever holds `slot`; one's own too.
    fn ring(&self, slot: u32);
}

/// How many holders of one slot may have been killed in their sleep so shortly before that they are in
/// the bell's queue yet.
pub(super) const PREDECESSORS: usize = 8;

/// What a participant of a cell ring synchronises by.
#[derive(Debug)]
pub(crate) struct Primitives {
    /// `None`: compare-and-swap.
    pub(crate) lock: Option<Box<dyn Lock>>,
    /// `None`: the eventcount's futex words.
    pub(crate) bell: Option<Arc<dyn Bell>>,
}
