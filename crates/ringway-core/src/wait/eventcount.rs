//! The eventcount: sleeping on a futex word without losing a wake-up.
//!
//! The word's lowest bit is set while somebody sleeps or is about to; the others count wake-ups. A flag,
//! not a count of sleepers: one that dies leaves the bit, and that costs one needless wake, nothing more.
//! Several may sleep on it; all are woken. (A wake-up given to one would be lost to the others while that
//! one is stopped.)
//!
//! | sleeper | waker |
//! |---|---|
//! | set the bit | publish |
//! | *sleep fence* | *publish fence* |
//! | look for what is published | load the word; if the bit is set, add one, and wake |
//! | sleep while the word is as it was when the bit was set | |
//!
//! The fences are Dekker's: of the sleeper's look and the waker's load, at least one sees the other
//! side's store. If the look sees it, nobody sleeps. If the load sees it, the word changes before the
//! wake, so a sleeper that has not reached the kernel yet is turned away, and one that has is woken.
//! Were there nothing but the bit, another sleeper that is woken and sets it again could make the word
//! what it was before the first one has reached the kernel: hence the count.
//! Every change of the word is one atomic operation, so that all of them form one chain.

use std::sync::atomic::Ordering;

use crate::planted::{self, Bug};
use crate::region::Region;

const AWAKE: u32 = 0;
/// Set while somebody sleeps.
const ASLEEP: u32 = 1;
/// Added to the word, turns away who is about to sleep on it.
pub(crate) const WAKE_UP: u32 = 2;

/// Wakes whoever sleeps on `event`; without sleepers one fence (free where asymmetric) and one load.
/// Call it after publishing.
#[inline]
pub(crate) fn notify<R: Region>(region: &R, event: usize) {
    if !planted::is(Bug::NoPublishFence) {
        region.publish_fence();
    }
    if is_slept_on(region, event) {
        wake(region, event);
    }
}

/// Whether anybody may sleep on `event`. The caller has published something and made the fence.
#[inline]
pub(crate) fn is_slept_on<R: Region>(region: &R, event: usize) -> bool {
    // Relaxed: the fence orders it after the publication.
    region.load32(event, Ordering::Relaxed) & ASLEEP != 0
}

#[cold]
pub(crate) fn wake<R: Region>(region: &R, event: usize) {
    if clear(region, event) {
        region.wake(event);
    }
}

/// Says that whoever sleeps on `event` is being woken; whether the caller is the one to do it.
pub(crate) fn clear<R: Region>(region: &R, event: usize) -> bool {
    let seen = region.load32(event, Ordering::Relaxed);
    // Its acquire pairs with the release in `prepare`: who sleeps is seen to. The word guards no data;
    // sleepers look at what was published with acquire. It fails if another waker was faster: that one
    // wakes all who slept until then, and those after it see what was published.
    let count = if planted::is(Bug::WakeUpNotCounted) {
        0
    } else {
        WAKE_UP
    };
    seen & ASLEEP != 0
        && region
            .replace32(event, seen, seen.wrapping_add(count).wrapping_sub(ASLEEP))
            .is_ok()
}

/// Says that the caller is about to sleep on `event`. It must look again after this, and then either
/// [`cancel`] or sleep while the word is what this returns.
pub(crate) fn prepare<R: Region>(region: &R, event: usize) -> u32 {
    // Its release pairs with the acquire in `clear`. The fence orders it before the caller's look.
    let before = region.set32(event, ASLEEP);
    if !planted::is(Bug::NoSleepFence) {
        region.sleep_fence();
    }
    before | ASLEEP
}

/// Takes [`prepare`] back, where nobody else sleeps on `event`.
pub(crate) fn cancel<R: Region>(region: &R, event: usize) {
    // Relaxed: a waker that still sees the bit makes a needless wake, or fails to change the word.
    region.swap32(event, AWAKE, Ordering::Relaxed);
}
