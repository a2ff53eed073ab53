//! The eventcount: sleeping on a futex word without losing a wake-up.
//!
//! The word's lowest bit is set while somebody sleeps or is about to; the others count how often it came to be set.
//! A flag, not a count of sleepers: one that dies leaves the bit, and that costs one needless wake, nothing more.
//! Several may sleep on it; all are woken. (A wake-up given to one would be lost to the others while that
//! one is stopped.)
//!
//! | sleeper | waker |
//! |---|---|
//! | set the bit, and if it was clear, add one to the count | publish |
//! | *sleep fence* | *publish fence* |
//! | look for what is published | load the word; if the bit is set, clear it and wake, in one step |
//! | sleep while the word is as it was when the bit was set | |
//!
//! The fences are Dekker's: each side stores, then loads what the other stores, with a fence between. So at least one of the
//! two loads sees the other side's store.
//!
//! - If the sleeper's look sees what was published, it does not sleep.
//! - If the waker's load sees the bit, it clears it and wakes. The kernel does this under the lock under which it compares
//!   a sleeper's word. So a sleeper that has reached the kernel is woken, and one that has not finds another word there
//!   than it expects, and is turned away.
//!
//! The bit alone would not do: A sets the bit and is stopped on its way into the kernel; the waker clears it; B sets it again; now
//! the word is what A expects, and A sleeps although something was published. With the count the word is another one.
//!
//! | a process is stopped, or dies | the others |
//! |---|---|
//! | having published, before it looks at the word | whoever publishes next sees the bit, and wakes all |
//! | having seen the bit, before the step | the same: the bit is still set |
//! | in the step | the kernel does both or neither ([`change_and_wake`](Region::change_and_wake)) |
//! | having set the bit, asleep or not | a needless wake-up |
//!
//! Two that wake at once do no harm: the second clears what is clear, or turns away who has just come, who looks again.
//!
//! Where the kernel does not do it in one step (a sandbox denies that operation of futex), the bit stays set: the waker
//! adds one to the count, which turns away who is about to sleep, and then wakes. Every later publication does
//! the same, needlessly, until the sleeper of a stream ring says that it is awake ([`cancel`]); in a cell ring for good.
//! Slow, but nobody is stranded: the bit is never clear before all are woken.
//!
//! # Invariants
//! Comments at memory orderings cite them by their numbers.
//!
//! - **W1**: of a publication and a sleeper's bit, at least one is seen by the other side.
//! - **W2**: the value with a sleeper's bit does not come again, once the bit was cleared, before the count has come round.
//! - **W3**: the bit is cleared no earlier than all who slept are woken or turned away.
//!
//! # Bells
//! Those who do not sleep on the word but on bells of their own, which remember, say so in their slots. The word tells
//! whether anybody does:
//!
//! | sleeper | waker |
//! |---|---|
//! | write into the slot that it sleeps | publish |
//! | add one to the count; then set the bit | *publish fence* |
//! | *sleep fence*, look | load the word; if the bit is set, ring the bells of all whose slots say so |
//! | sleep on the bell | clear the bit, if the word is as it was |
//!
//! Here every sleeper counts, not the first only, so the bit is cleared only if nobody has come since the waker looked
//! at the slots. A waker that is stopped before that leaves it set, and the next one rings again.

use std::sync::atomic::Ordering;

use super::publisher;
use crate::memory::region::{Change, Control, Region};

/// Set while somebody sleeps.
pub(crate) const ASLEEP: u32 = 1;
/// One in the count of those who came to sleep. Added to the word, it turns away who is about to sleep on it.
pub(crate) const COUNT: u32 = 2;
/// Nobody sleeps any more.
pub(crate) const AWAKE: Change = Change::Clear(ASLEEP);

/// How often to try again to set the bit: each time somebody else has changed the word.
const ATTEMPTS: usize = 64;

/// Wakes whoever sleeps on `event`; without sleepers one fence (free where asymmetric) and one load.
/// Call it after publishing.
#[inline(always)]
pub(crate) fn notify<R: Region>(region: &R, event: usize) {
    if region.control().may_have(event, ASLEEP) {
        notify_asleep(region, event);
    }
}

#[cold]
#[inline(never)]
fn notify_asleep<R: Region>(region: &R, event: usize) {
    region.publish_fence();
    if is_slept_on(region, event) {
        wake(region, event);
    }
}

/// The same for those that publish rarely, on an event whose sleepers ask one publisher only whether it makes the fence
/// ([`prepare_for`]): these make it each time.
pub(crate) fn announce<R: Region>(region: &R, event: usize) {
    region.full_fence();
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

/// Wakes all that sleep on `event`, and turns away who is about to.
#[cold]
pub(crate) fn wake<R: Region>(region: &R, event: usize) {
    if !region.change_and_wake(event, AWAKE) {
        region.add32(event, COUNT);
        region.wake(event);
    }
}

/// Rings the bells of those who sleep, if any does, and says then that nobody sleeps any more.
pub(crate) fn ring<R: Region>(region: &R, event: usize, bells: impl FnOnce()) {
    // Acquire pairs with the release in `prepare_for_bell`: who has counted itself is seen to sleep (W3).
    let seen = region.load32(event, Ordering::Acquire);
    if seen & ASLEEP == 0 {
        return;
    }
    bells();
    // It fails if somebody has counted itself since: that one may not have been rung.
    let _ = region.replace32(event, seen, seen & !ASLEEP);
}

/// Says that the caller is about to sleep on `event`. It must look again after this, and then either
/// [`cancel`] or sleep while the word is what this returns.
pub(crate) fn prepare<R: Region>(region: &R, event: usize) -> u32 {
    let prepared = set_asleep(region, event);
    region.sleep_fence();
    prepared
}

/// The same for one that waits for the holder of a slot alone, which may make the fence itself ([`publisher`]).
pub(crate) fn prepare_for<R: Region>(region: &R, event: usize, slot: u32) -> u32 {
    let prepared = set_asleep(region, event);
    if region.is_asymmetric() {
        // (W1) Pairs with the publisher's, and with those of who ends to fence and of who comes.
        region.full_fence();
        if publisher::fences(region, slot) {
            region.sleep_fenced();
            return prepared;
        }
    }
    region.sleep_fence();
    prepared
}

/// Whoever sleeps while the word is what this returns is woken: that has the bit set.
fn set_asleep<R: Region>(region: &R, event: usize) -> u32 {
    // Acquire, as in `replace32`: who woke the last ones published before.
    let mut seen = region.load32(event, Ordering::Acquire);
    for _ in 0..ATTEMPTS {
        if seen & ASLEEP != 0 {
            return seen;
        }
        let asleep = seen.wrapping_add(COUNT) | ASLEEP;
        match region.replace32(event, seen, asleep) {
            Ok(()) => return asleep,
            Err(found) => seen = found,
        }
    }
    // Somebody writes there without end. If it is this when the caller reaches the kernel, the bit is set.
    seen | ASLEEP
}

/// The same for one that sleeps on a bell, and has said so in its slot.
pub(crate) fn prepare_for_bell<R: Region>(region: &R, event: usize) -> u32 {
    // (W3) First the count: who clears the bit between the two has seen it. Its release pairs with the acquire in `ring`.
    region.add32(event, COUNT);
    let before = region.set32(event, ASLEEP);
    region.sleep_fence();
    before | ASLEEP
}

/// Takes [`prepare`] back, where nobody else sleeps on `event`.
pub(crate) fn cancel<R: Region>(region: &R, event: usize) {
    // Relaxed: a waker that still sees the bit makes a needless wake.
    let seen = region.load32(event, Ordering::Relaxed);
    if seen & ASLEEP != 0 {
        // If it fails, a waker was there.
        let _ = region.replace32(event, seen, seen & !ASLEEP);
    }
}
