//! What the kernel can do for ringway.

use crate::sys::{futex, membarrier};

/// What this kernel can do, found out by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Support {
    /// Waiting for several futexes at once (Linux 5.16): without it, or where a sandbox denies it, rings work, but deaths
    /// and messages of several rings are looked for every 4 ms instead of being told.
    pub futex_waitv: bool,
    /// Barriers that reach other processes (`membarrier`): without it rings have a fence for each message,
    /// and those of processes that have it cannot be opened. And without it what a process stores in the microseconds
    /// until a kill reaches all its threads may land in room that others use again.
    pub membarrier: bool,
}

impl Support {
    /// Tries.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// assert!(ringway::inspect::Support::probe().futex_waitv);
    /// ```
    #[must_use]
    pub fn probe() -> Self {
        Self {
            futex_waitv: futex::can_wait_on_two().is_ok(),
            membarrier: membarrier::register(),
        }
    }
}
