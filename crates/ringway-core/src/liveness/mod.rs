//! Who is alive, by proof of the kernel only.
//!
//! Each attached process owns a 32-bit **liveness word** in the participants table. It is a robust
//! futex word, and the kernel keeps it true:
//!
//! | word | meaning |
//! |---|---|
//! | 0 | nobody, or left in order |
//! | tid + WAITERS | held by the process that has a [keeper](keeper) or watcher with this thread id |
//! | OWNER_DIED + WAITERS | the holder died (or called exec) without leaving |
//! | the same + a number | the same, and a [watcher](watcher) has noted it |
//!
//! WAITERS is set from the start, so that the kernel wakes a sleeper on the word when it marks it. The
//! kernel wakes one; who sees a death passes the wake on. In a stream ring the peer sleeps on the word; in
//! a cell ring, where there are many, only [watchers](watcher) do.
//!
//! | a process dies | what it leaves |
//! |---|---|
//! | before its keeper's compare-and-swap | the word as it was |
//! | after it | OWNER_DIED, written by the kernel |
//! | while leaving, before the word is 0 | OWNER_DIED: not an orderly end |
//! | after that, before who sleeps on the word is woken | 0, and the kernel wakes one |
//! | after that | 0 |
//!
//! The mark comes from the death of the *keeper thread*. Other threads of the dying process have a
//! SIGKILL pending by then, but one that runs on another processor may execute a few more instructions
//! before the interrupt arrives. [`settle`] rules that out: `membarrier` interrupts every processor
//! that runs a registered process, and no thread with a pending SIGKILL returns from an interrupt to
//! user space. What a system call still does for the dead, it does not rule out: [`memory`] does.

pub(crate) mod keeper;
pub(crate) mod memory;
pub(crate) mod participant;
pub(crate) mod watcher;

use crate::sys::{futex, membarrier};

/// What a liveness word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// Never held, or left in order.
    Absent,
    /// Held by a live process.
    Alive,
    /// The holder died without leaving.
    Dead,
}

impl Liveness {
    /// Reads a word that was fetched once.
    #[inline]
    pub(crate) fn of(word: u32) -> Self {
        if word & futex::OWNER_DIED != 0 {
            Self::Dead
        } else if word & futex::TID_MASK != 0 {
            Self::Alive
        } else {
            Self::Absent
        }
    }
}

/// Returns when no thread of a process whose word says [`Liveness::Dead`] can execute another
/// instruction.
pub(crate) fn settle() {
    // Miri knows no such call, and no other process.
    if !cfg!(miri) {
        membarrier::barrier();
    }
}
