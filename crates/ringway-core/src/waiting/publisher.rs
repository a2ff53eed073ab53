//! Who makes the fence between publishing and looking whether anybody sleeps: the sleeper, by `membarrier`, or the publisher.
//!
//! While messages stream, the publisher should make none: it publishes far more often than anybody sleeps. Where each message wakes a
//! sleeper, the sleeper should make no `membarrier`: that interrupts the other processors, and a fence of the publisher's costs less than a hundredth
//! of it. So in a ring whose fences are [asymmetric](Region::is_asymmetric) each side of a stream says in a word of its slot, `FENCES`, whether it
//! makes that fence itself, and changes its mind by what it sees. Whoever sleeps asks the word of the side that it waits for.
//!
//! | publisher that does not fence | publisher that fences | sleeper |
//! |---|---|---|
//! | publish | publish | say that it sleeps |
//! | | *fence* | *fence* |
//! | look whether anybody sleeps | look whether anybody sleeps | look at `FENCES`; if the publisher does not fence, `membarrier` |
//! | | | look for what is published |
//!
//! Two that both fence are Dekker's pair, as in a ring whose fences are symmetric. What is left are the changes:
//!
//! - *It begins to fence.* From there on it fences, and then it says so. A sleeper that sees that (acquire, with the release of who says it) sees
//!   all that was published before without a fence.
//! - *It ends to fence.* It says so, makes a fence, and only from there on makes none. A sleeper that still sees the word from before has made its
//!   own fence before that one, so whatever the publisher looks at behind it tells that somebody sleeps.
//! - *It leaves, or dies.* The word stays. It carries the epoch of the slot, so of the next holder, who has raised that, it says nothing. The
//!   next holder has made a fence between raising the epoch and its first message ([`Side::announce`](crate::rings::stream::Side::announce)): a sleeper
//!   that saw the epoch from before has made its own fence before that one, as above.
//!
//! | somebody is stopped, or dies | the others |
//! |---|---|
//! | fencing already, before it says so | make a `membarrier` that would not be needed |
//! | having said that it ends, before the fence or behind it | the same |
//! | having published, before the fence or the look | as ever ([`eventcount`](super::eventcount)): whoever publishes next sees the sleeper, and of a death the kernel tells |
//!
//! All others that wake somebody - who comes, leaves, frees a slab or notes a death - do so rarely, and make the fence each time
//! ([`eventcount::announce`]). A participant that knows nothing of `FENCES` leaves it 0, and always makes the `membarrier`
//! when it sleeps: so the two get along.
//!
//! What a peer writes into these words can keep messages of its own from waking somebody, which it can do anyhow.

use std::sync::atomic::Ordering;

use super::eventcount;
use crate::memory::layout::participant::{EPOCH, FENCES, slot_offset};
use crate::memory::region::Region;

/// So many wakes, one soon after the other, and the publisher makes the fence.
const WAKES: u32 = if cfg!(loom) { 1 } else { 8 };
/// Between two of them there are at most so many messages.
const SOON: u64 = 4;
/// So many messages without a wake, and it makes none any more.
const CALM: u64 = if cfg!(loom) { 2 } else { 64 };

/// One side of a ring, as it publishes: what it remembers to choose by.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// Its slot.
    slot: usize,
    /// The number of the message that woke somebody last.
    woke: u64,
    /// How many in a row did so.
    row: u32,
}

impl Publisher {
    /// The holder of a slot, which does not fence.
    pub(crate) fn new(slot: u32) -> Self {
        Self {
            slot: slot_offset(slot),
            woke: 0,
            row: 0,
        }
    }

    /// Wakes whoever sleeps on `event`. To be called after publishing the message before number `number`, where that has found that
    /// somebody may sleep.
    #[cold]
    #[inline(never)]
    pub(crate) fn look<R: Region>(&mut self, region: &mut R, event: usize, number: u64) {
        region.publish_fence();
        let is_slept_on = eventcount::is_slept_on(region, event);
        if is_slept_on {
            eventcount::wake(region, event);
        }
        if region.is_asymmetric() {
            self.choose(region, is_slept_on, number);
        }
    }

    /// Changes its mind if that seems to pay.
    fn choose<R: Region>(&mut self, region: &mut R, woke: bool, number: u64) {
        let since = number.wrapping_sub(self.woke);
        if !woke {
            if since >= CALM && region.fences() {
                self.end(region);
            }
            return;
        }
        self.woke = number;
        self.row = match since <= SOON {
            true => self.row.saturating_add(1),
            false => 1,
        };
        if self.row >= WAKES && !region.fences() {
            self.begin(region);
        }
    }

    fn begin<R: Region>(&self, region: &mut R) {
        region.set_fences(true);
        // Its own, written when it came.
        let epoch = region.load64(self.slot + EPOCH, Ordering::Relaxed);
        // (W1) Release pairs with the acquire in `fences`: what was published without a fence is seen.
        let says = epoch.wrapping_add(1);
        region.store64(self.slot + FENCES, says, Ordering::Release);
    }

    fn end<R: Region>(&mut self, region: &mut R) {
        // Relaxed: the fence orders it.
        region.store64(self.slot + FENCES, 0, Ordering::Relaxed);
        // (W1) Pairs with the sleeper's in `eventcount::prepare_for`: one that has not seen the store is seen by all later looks.
        region.full_fence();
        region.set_fences(false);
        self.row = 0;
    }
}

/// Whether who holds `slot`, and whoever held it last if nobody does, makes a fence between publishing and looking whether anybody
/// sleeps. To be asked after a fence of the sleeper's own.
pub(crate) fn fences<R: Region>(region: &R, slot: u32) -> bool {
    let slot = slot_offset(slot);
    // Acquire pairs with the release in `begin`.
    let says = region.load64(slot + FENCES, Ordering::Acquire);
    // Relaxed: the sleeper's fence orders it, with the one of who has raised the epoch.
    says != 0
        && says
            == region
                .load64(slot + EPOCH, Ordering::Relaxed)
                .wrapping_add(1)
}
