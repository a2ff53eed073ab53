//! The watcher: a thread for each participant of a cell ring, which keeps that one's liveness word and
//! sleeps on those of the others, to tell its handle when one of them dies.
//!
//! The kernel marks the word of one that died and wakes *one* of those who sleep on it. That one may be
//! dying too: a thread that was killed in its sleep stays in the queue until it runs once more, and a
//! wake-up given to it is lost. So nobody sleeps on liveness words but threads that keep one themselves.
//! Such a thread leaves the queues before the kernel marks its own word. If it has swallowed a wake-up,
//! another one follows with its own mark; and the last one to die finds nobody in the queues who is dying.
//!
//! Whoever sees that one has died or gone makes sure that the dead are done ([`settle`]), and then wakes all
//! that sleep on any word, and they look for themselves.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | any participant | OWNER_DIED; the kernel wakes one watcher | that one wakes the others |
//! | the one that the kernel woke, before it woke the others | another OWNER_DIED | as above |
//! | having come, before it said so | OWNER_DIED | as above |
//! | having noted a death, before it told anybody | the kernel's wake-up given away; another OWNER_DIED | as above |
//! | having gone, before it said so | 0 in its word; it has woken all watchers, or the kernel wakes one | these tell their handles |
//!
//! The words of *all* slots are slept on, also of free ones: who takes a slot may die before it has told
//! anybody, and the kernel wakes all the same.
//!
//! A watcher may be late: others run, and it does not. If it saw a holder dead, and the next one comes and
//! dies before it looks again, it would find what it saw before, or be let asleep on it, while its handle has
//! seen the next one alive and sleeps. So whoever sees a death first *notes* it: puts a number into the word
//! that no other death of the slot has had. Then comes the alarm, and then the sleep, on the noted word. A
//! death after that leaves another value. (One that comes and *leaves* counts itself in before it does.)
//!
//! Known limit: a process that is *stopped* in the instructions between the kernel's wake-up and passing it
//! on keeps the news from the others until it goes on or dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::keeper;
use super::{Liveness, settle};
use crate::layout::MAX_PARTICIPANTS;
use crate::layout::control::{CONSUMERS_CHANGED, PRODUCERS_CHANGED};
use crate::layout::participant::{DEATHS, LIVENESS, Role, slot_offset};
use crate::planted::{self, Bug};
use crate::segment::map::Map;
use crate::sys::futex;

const _: () = assert!(MAX_PARTICIPANTS as usize + 3 <= futex::MOST_WORDS);

/// As the kernel marks a death.
const DEAD: u32 = futex::OWNER_DIED | futex::WAITERS;
/// Set when a death is noted, with its number in the bits below. No thread id comes so far.
const NOTED: u32 = 1 << 29;

/// Is told that somebody may have come, gone or died since it was told last, and how many have died at most.
pub(crate) type Alarm = Box<dyn Fn(u32) + Send>;

/// The work of a watcher over the cell ring in `map`.
pub(super) fn watch(map: &Arc<Map>, participants: u32, alarm: Alarm) -> keeper::Watch {
    let map = Arc::clone(map);
    Box::new(move |stop| watch_until(stop, &map, participants, &alarm))
}

/// Counts one in that holds its slot: before it may leave again.
pub(crate) fn count_in(map: &Map, role: Role) {
    let counter = match role {
        Role::Producer => PRODUCERS_CHANGED,
        Role::Consumer => CONSUMERS_CHANGED,
    };
    if let Some(counter) = map.word32(counter) {
        // Release pairs with the acquire of who watches: who sees the new count sees the slot held.
        counter.fetch_add(1, Ordering::Release);
    }
}

/// What a watcher looks at in a slot.
struct Slot<'a> {
    liveness: &'a AtomicU32,
    deaths: &'a AtomicU32,
}

/// A slot as it was seen.
#[derive(Clone, Copy)]
struct Seen {
    liveness: u32,
    deaths: u32,
}

impl<'a> Slot<'a> {
    fn new(map: &'a Map, slot: u32) -> Option<Self> {
        Some(Self {
            liveness: map.word32(slot_offset(slot) + LIVENESS)?,
            deaths: map.word32(slot_offset(slot) + DEATHS)?,
        })
    }

    /// Before the first look.
    fn before(&self) -> Seen {
        Seen {
            liveness: 0,
            deaths: self.deaths.load(Ordering::Relaxed),
        }
    }

    /// Looks, and notes a death that nobody has noted yet.
    fn look(&self) -> Seen {
        // Acquire pairs with the release of a leaving holder; the kernel's mark of a death is a full barrier.
        let mut liveness = self.liveness.load(Ordering::Acquire);
        if liveness == DEAD {
            // Counted before it is noted, so that who finds it noted finds it counted.
            let number = self.deaths.fetch_add(1, Ordering::Relaxed);
            let noted = DEAD | NOTED | number & (NOTED - 1);
            // Release hands on to the next holder what was acquired from the last one.
            let noting =
                self.liveness
                    .compare_exchange(DEAD, noted, Ordering::AcqRel, Ordering::Acquire);
            liveness = noting.map_or_else(|other| other, |_| noted);
        }
        Seen {
            liveness,
            deaths: self.deaths.load(Ordering::Relaxed),
        }
    }
}

fn watch_until(stop: &AtomicU32, map: &Map, participants: u32, alarm: &dyn Fn(u32)) {
    let word = |offset| map.word32(offset);
    let (Some(consumers), Some(producers)) = (word(CONSUMERS_CHANGED), word(PRODUCERS_CHANGED))
    else {
        return;
    };
    let slots: Vec<Slot<'_>> = (0..participants)
        .filter_map(|slot| Slot::new(map, slot))
        .collect();
    let mut seen: Vec<Seen> = slots.iter().map(Slot::before).collect();
    loop {
        // Before the slots: who comes or goes raises them afterwards. Acquire pairs with the release of
        // `count_in`, of `Member::announce` and of those who leave.
        let counts = [consumers, producers].map(|count| (count, count.load(Ordering::Acquire)));
        let now: Vec<Seen> = slots.iter().map(Slot::look).collect();
        let pairs = || now.iter().zip(&seen);
        let deaths = pairs().fold(0, |sum: u32, (now, seen)| {
            sum.saturating_add(now.deaths.wrapping_sub(seen.deaths))
        });
        let gone = pairs().any(|(now, seen)| {
            now.liveness != seen.liveness && Liveness::of(now.liveness) == Liveness::Absent
        });
        seen = now;
        if deaths > 0 {
            // A thread of the dead that is not done yet could take a wake-up that is given now for another
            // sleeper, and pass nothing on.
            settle();
        }
        if (deaths > 0 || gone) && !planted::is(Bug::DeathNotPassedOn) {
            slots.iter().for_each(|slot| futex::wake_all(slot.liveness));
        }
        // Acquire pairs with the release in `Claim::drop`.
        if stop.load(Ordering::Acquire) != 0 {
            return;
        }
        // Whatever a peer has written there.
        alarm(deaths.min(MAX_PARTICIPANTS));
        // What has changed since it was seen turns this away.
        let words = slots.iter().zip(&seen);
        let words = words.map(|(slot, seen)| (slot.liveness, seen.liveness));
        futex::wait(counts.into_iter().chain([(stop, 0)]).chain(words), None);
    }
}
