//! How a blocked call waits: spin, then yield, then park.

pub(crate) mod backoff;
pub(crate) mod eventcount;
#[cfg(all(loom, test))]
mod interleavings;
#[cfg(all(loom, test))]
mod interleavings_of_fencing;
#[cfg(all(loom, test))]
mod interleavings_of_waiters;
pub(crate) mod interrupt;
mod options;
pub(crate) mod publisher;
pub(crate) mod several;
mod single;
mod spin;
pub(crate) mod sync;
pub(crate) mod waiter;
pub(crate) mod watch;

pub(crate) use options::{Arming, WaitOptions};
pub use options::{WaitStrategy, deadline_after};
pub(crate) use single::{Blocked, Look, PeersEnd, Waited, wait_for_peer};
