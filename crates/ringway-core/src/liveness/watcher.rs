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
//! | having gone, before it said so | 0 in its word; it has woken all watchers, or the kernel wakes one | these tell their handles |
//!
//! The words of *all* slots are slept on, also of free ones: who takes a slot may die before it has told
//! anybody, and the kernel wakes all the same.
//!
//! Known limit: a process that is *stopped* in the instructions between the kernel's wake-up and passing it
//! on keeps the news from the others until it goes on or dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::keeper;
use super::{Liveness, settle};
use crate::layout::MAX_PARTICIPANTS;
use crate::layout::control::{CONSUMERS_CHANGED, PRODUCERS_CHANGED};
use crate::layout::participant::{LIVENESS, slot_offset};
use crate::planted::{self, Bug};
use crate::segment::map::Map;
use crate::sys::futex;

const _: () = assert!(MAX_PARTICIPANTS as usize + 3 <= futex::MOST_WORDS);

/// Is told how many have come, gone or died since it was told last, and how many of these have died.
pub(crate) type Alarm = Box<dyn Fn(Changes) + Send>;

/// What has changed among the participants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changes {
    /// How many words.
    pub(crate) words: usize,
    /// How many of them say that a holder died.
    pub(crate) deaths: usize,
}

/// The work of a watcher over the cell ring in `map`.
pub(super) fn watch(map: &Arc<Map>, participants: u32, alarm: Alarm) -> keeper::Watch {
    let map = Arc::clone(map);
    Box::new(move |stop| watch_until(stop, &map, participants, &alarm))
}

fn watch_until(stop: &AtomicU32, map: &Map, participants: u32, alarm: &dyn Fn(Changes)) {
    let word = |offset| map.word32(offset);
    let (Some(consumers), Some(producers)) = (word(CONSUMERS_CHANGED), word(PRODUCERS_CHANGED))
    else {
        return;
    };
    let slots: Vec<&AtomicU32> = (0..participants)
        .filter_map(|slot| word(slot_offset(slot) + LIVENESS))
        .collect();
    let mut seen = vec![0; slots.len()];
    loop {
        // Before the slots: who comes or goes raises them afterwards. Acquire pairs with the release of
        // `Member::announce` and of those who leave; the kernel's mark of a death is a full barrier.
        let counts = [consumers, producers].map(|count| (count, count.load(Ordering::Acquire)));
        let now: Vec<u32> = slots
            .iter()
            .map(|word| word.load(Ordering::Acquire))
            .collect();
        let changed = now.iter().zip(&seen).filter(|(now, seen)| now != seen);
        let words = changed.clone().count();
        let count = |state| {
            let among = changed.clone();
            among
                .filter(|(now, _)| Liveness::of(**now) == state)
                .count()
        };
        let (deaths, gone) = (count(Liveness::Dead), count(Liveness::Absent));
        seen = now;
        if deaths > 0 {
            // A thread of the dead that is not done yet could take a wake-up that is given now for another
            // sleeper, and pass nothing on.
            settle();
        }
        if deaths + gone > 0 && !planted::is(Bug::DeathNotPassedOn) {
            slots.iter().for_each(|word| futex::wake_all(word));
        }
        // Acquire pairs with the release in `Claim::drop`.
        if stop.load(Ordering::Acquire) != 0 {
            return;
        }
        alarm(Changes { words, deaths });
        // What has changed since it was read above turns this away.
        let words = slots.iter().copied().zip(seen.iter().copied());
        futex::wait(counts.into_iter().chain([(stop, 0)]).chain(words), None);
    }
}
