//! The watcher: what the [keeper](super::keeper) of a participant does while that one is attached. It sleeps on the
//! sights of its slot, and tells its handle when another participant comes to an end.
//!
//! On each sight nobody else sleeps. The watcher of the slot's last holder is no exception: it is the thread whose
//! death the kernel reports, and has left the queues before its own words are marked. So a wake-up reaches the one that
//! it is for, whoever else is stopped or dying.
//!
//! A watcher may be late: it was not scheduled for a while, and others were. It tells its handle of what differs from
//! what it saw last, and then sleeps as long as the words are what it saw. Its handle meanwhile reads the same words by
//! itself, and may have seen a state in between. If a word then has its earlier value again, the watcher would sleep, and
//! its handle would wait for somebody who has gone. So no word that it sleeps on may come round:
//!
//! | it saw | and since then somebody | what turns it away |
//! |---|---|---|
//! | a death | came, was seen, and died | it had *noted* the death in the sight, and the kernel's mark is without the note |
//! | nobody | came, was seen, and left | `MOVEMENTS`: raised by who comes before it is seen, and by who leaves before that can be seen |
//! | somebody | died, and one with the same thread id (of another pid namespace) came | the same |
//!
//! The kernel compares the words that a thread is about to sleep on one after the other. `MOVEMENTS` is the last: if it
//! is what it was, nobody came or left until the sights were in the queues, and from then on there are wake-ups.
//!
//! What others do with what the dead left, the watcher does not know. It only has its handle look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::liveness::Liveness;
use super::outlook::{Kernel, Outlook};
use crate::memory::layout::MAX_PARTICIPANTS;
use crate::memory::layout::control::MOVEMENTS;
use crate::memory::layout::participant::{EPOCH, slot_offset};
use crate::memory::map::Map;
use crate::sys::futex;
use crate::sys::membarrier::settle;

const _: () = assert!(MAX_PARTICIPANTS as usize + 2 <= futex::MOST_WORDS);

/// As the kernel marks a death.
const DEAD: u32 = futex::OWNER_DIED | futex::WAITERS;
/// As its watcher notes it. No thread id comes so far.
const NOTED: u32 = DEAD | 1 << 29;

/// How long the time between two tellings of the same death may become.
const SELDOM: Duration = Duration::from_secs(1);

/// Is told that somebody may have come, gone or died since it was told last, and how many have died at most.
pub(crate) type Alarm = Arc<dyn Fn(u32) + Send + Sync>;

/// Lets all participants see that this one lives: `mine` is what the kernel looks for when it dies.
pub(super) fn show(words: &impl Kernel, me: Outlook, mine: u32) {
    words.raise(MOVEMENTS);
    // Release: who sees this one alive sees its epoch, and that somebody came.
    (0..me.participants).for_each(|slot| words.write(me.seen_from(slot), mine));
}

/// Lets all participants see that this one has left.
pub(super) fn hide(words: &impl Kernel, me: Outlook) {
    words.raise(MOVEMENTS);
    // In the order in which the kernel comes to them (`outlook::is_being_given_up`).
    let slots = (0..me.participants).rev();
    slots.for_each(|slot| words.clear_and_wake(me.seen_from(slot)));
}

/// Has every watcher of the ring in `map` look, and so every handle.
pub(crate) fn rouse(map: &Map) {
    map.raise(MOVEMENTS);
    if let Some(movements) = map.word32(MOVEMENTS) {
        futex::wake_all(movements);
    }
}

/// Another participant, as it was seen.
#[derive(Clone, Copy, Default)]
struct Seen {
    sight: u32,
    epoch: u64,
}

/// One participant's look at all others.
pub(super) struct Lookout<'a, W> {
    words: &'a W,
    me: Outlook,
    movements: u32,
    /// By slot.
    seen: [Seen; MAX_PARTICIPANTS as usize],
}

impl<'a, W: Kernel> Lookout<'a, W> {
    pub(super) fn new(words: &'a W, me: Outlook) -> Self {
        let mut seen = [Seen::default(); MAX_PARTICIPANTS as usize];
        for (slot, seen) in (0..me.participants).zip(&mut seen) {
            seen.epoch = words.look64(slot_offset(slot) + EPOCH);
        }
        Self {
            words,
            me,
            movements: 0,
            seen,
        }
    }

    /// Looks at all, and returns how many have died since the last look, at most.
    pub(super) fn look(&mut self) -> u32 {
        let (words, me) = (self.words, self.me);
        // Before the sights. Its acquire pairs with the release in `raise`: who sees that somebody came sees who was
        // there before marked, and who sees that somebody is leaving sees that it was there.
        self.movements = words.look32(MOVEMENTS);
        let mut deaths: u32 = 0;
        for (slot, seen) in (0..me.participants).zip(&mut self.seen) {
            if slot == me.slot {
                continue;
            }
            let mut sight = words.look32(me.of(slot));
            if sight == DEAD {
                let noted = words.replace(me.of(slot), DEAD, NOTED);
                sight = noted.map_or_else(|other| other, |()| NOTED);
            }
            let epoch = words.look64(slot_offset(slot) + EPOCH);
            // Those that came in between are counted by the epoch. The one that was seen died unless it left: then
            // nobody has come since.
            let came = u32::try_from(epoch.wrapping_sub(seen.epoch)).unwrap_or(u32::MAX);
            let ended = Liveness::of(seen.sight) == Liveness::Alive && sight != seen.sight;
            let left = came == 0 && Liveness::of(sight) == Liveness::Absent;
            deaths = deaths
                .saturating_add(came)
                .saturating_add(u32::from(ended && !left));
            *seen = Seen { sight, epoch };
        }
        // Whatever a peer has written there.
        deaths.min(MAX_PARTICIPANTS)
    }

    /// Sleeps until something is not as it was seen, or `order` is another, and no longer than `at_most`.
    pub(super) fn sleep(&self, order: (&AtomicU32, u32), at_most: Option<Duration>) {
        let me = self.me;
        let others = (0..me.participants)
            .zip(&self.seen)
            .filter(|(slot, _)| *slot != me.slot);
        let sights = others.map(|(slot, seen)| (me.of(slot), seen.sight));
        let movements = (MOVEMENTS, self.movements);
        self.words.sleep(sights.chain([movements]), order, at_most);
    }
}

/// Watches until `order` is another. The first look was before the handle's.
pub(super) fn watch<W: Kernel>(
    lookout: &mut Lookout<'_, W>,
    order: (&AtomicU32, u32),
    alarm: &Alarm,
) {
    // How many died who may not be done yet, and after which time to tell of them again.
    let (mut unsettled, mut again) = (0, None::<Duration>);
    loop {
        lookout.sleep(order, again);
        let deaths = lookout.look();
        let told = deaths.saturating_add(unsettled).min(MAX_PARTICIPANTS);
        // A thread of the dead that is not done yet could take a wake-up that is given now for another sleeper. Where
        // nobody can rule that out, there will be another.
        (unsettled, again) = match told == 0 || settle() {
            true => (0, None),
            false if deaths > 0 => (told, Some(futex::TICK)),
            false => (told, again.map(|last| SELDOM.min(last * 2))),
        };
        // Acquire pairs with the release of who gives the order.
        if order.0.load(Ordering::Acquire) != order.1 {
            return;
        }
        alarm(told);
    }
}
