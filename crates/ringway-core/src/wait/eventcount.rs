//! The eventcount: sleeping on a futex word without losing a wake-up.
//!
//! The word is 1 while somebody sleeps or is about to, else 0. A flag, not a count: a sleeper that dies
//! leaves a 1, and that costs one needless wake, nothing more. Several may sleep on it; all are woken. (A
//! wake-up given to one would be lost to the others while that one is stopped.)
//!
//! | sleeper | waker |
//! |---|---|
//! | exchange for 1 | publish |
//! | *sleep fence* | *publish fence* |
//! | look for what is published | load the word; if 1, exchange it for 0 and wake |
//! | sleep while the word is 1 | |
//!
//! The fences are Dekker's: of the sleeper's look and the waker's load, at least one sees the other
//! side's store. If the look sees it, nobody sleeps. If the load sees it, the word changes before the
//! wake, so a sleeper that has not reached the kernel yet is turned away, and one that has is woken.
//! Every change of the word is an exchange, so that all of them form one chain.

use std::sync::atomic::Ordering;

use crate::region::Region;

/// Nobody sleeps.
pub(crate) const AWAKE: u32 = 0;
/// The value to sleep on.
pub(crate) const ASLEEP: u32 = 1;

/// Wakes whoever sleeps on `event`; without sleepers one fence (free where asymmetric) and one load.
/// Call it after publishing.
#[inline]
pub(crate) fn notify<R: Region>(region: &R, event: usize) {
    region.publish_fence();
    // Relaxed: the fence orders it after the publication.
    if region.load32(event, Ordering::Relaxed) == ASLEEP {
        wake(region, event);
    }
}

#[cold]
pub(crate) fn wake<R: Region>(region: &R, event: usize) {
    if clear(region, event) {
        region.wake(event);
    }
}

/// Says that whoever sleeps on `event` is being woken; whether anybody was said to. The caller then
/// wakes them.
pub(crate) fn clear<R: Region>(region: &R, event: usize) -> bool {
    // Acquire pairs with the release in `prepare`: who sleeps is seen to. The word guards no data;
    // sleepers look at what was published with acquire.
    region.swap32(event, AWAKE, Ordering::Acquire) == ASLEEP
}

/// Says that the caller is about to sleep on `event`. It must look again after this, and then either
/// [`cancel`] or sleep while the word is [`ASLEEP`].
pub(crate) fn prepare<R: Region>(region: &R, event: usize) {
    // Release pairs with the acquire in `clear`. The fence orders it before the caller's look.
    region.swap32(event, ASLEEP, Ordering::AcqRel);
    region.sleep_fence();
}

/// Takes [`prepare`] back, where nobody else sleeps on `event`.
pub(crate) fn cancel<R: Region>(region: &R, event: usize) {
    // Relaxed: a waker that still sees the 1 makes a needless wake.
    region.swap32(event, AWAKE, Ordering::Relaxed);
}
