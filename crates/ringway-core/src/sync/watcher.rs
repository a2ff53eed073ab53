//! The watcher: a thread that rings its handle's bell when a participant dies, comes or goes.
//!
//! A semaphore or a queue cannot be waited for together with liveness words; the watcher waits for those.
//! It sleeps on the words of *all* slots, also of free ones: who takes a slot may die before it has told
//! anybody, and the kernel wakes all the same.
//!
//! The kernel wakes *one* of those who sleep on the word of one that died, and that one may be dying too:
//! a thread that was killed in its sleep stays in the queue until it runs once more. So nobody sleeps on
//! the words of its own process, whose threads die together. And who sees a death clears the queues of
//! all words before it looks again: if the dead one is in any, another's wake-up would be lost on it.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | any participant | OWNER_DIED; the kernel wakes one watcher | that one wakes the others |
//! | the one that the kernel woke, before it woke the others | another OWNER_DIED | the next one, which wakes the others on all words |
//! | having come or gone, before it said so | OWNER_DIED, or a word that has changed | as above |
//!
//! Known limit: a process that is *stopped* in the instructions between the kernel's wake-up and passing it
//! on keeps the news from the others until it goes on or dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use crate::error::Error;
use crate::layout::MAX_PARTICIPANTS;
use crate::layout::control::{CONSUMERS_CHANGED, PRODUCERS_CHANGED};
use crate::layout::participant::{LIVENESS, slot_offset};
use crate::liveness::Liveness;
use crate::liveness::keeper::{self, Refusal};
use crate::liveness::participant::is_own;
use crate::segment::attempt::Attempt;
use crate::segment::map::Map;
use crate::sys::futex;

const _: () = assert!(MAX_PARTICIPANTS as usize + 3 <= futex::MOST_WORDS);

/// Ends with this value, which waits for the thread.
#[derive(Debug)]
pub(crate) struct Watcher {
    map: Arc<Map>,
    /// 1 when the thread shall end.
    stop: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Watches over the participants of the cell ring in `map`. `alarm` is called at once, and then
    /// whenever one may have died, come or gone; with how many have died since it was called last.
    pub(super) fn start(
        attempt: Attempt<'_>,
        map: &Arc<Map>,
        participants: u32,
        alarm: Box<dyn Fn(usize) + Send>,
    ) -> Result<Self, Error> {
        let stop = Arc::new(AtomicU32::new(0));
        let (watched, told) = (Arc::clone(map), Arc::clone(&stop));
        let thread = keeper::spawn("ringway-watcher", move || {
            watch(&watched, participants, &told, &alarm);
        })
        .map_err(|errno| attempt.keeper(Refusal::Os(errno)))?;
        Ok(Self {
            map: Arc::clone(map),
            stop,
            thread: Some(thread),
        })
    }
}

fn watch(map: &Map, participants: u32, stop: &AtomicU32, alarm: &dyn Fn(usize)) {
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
        // `membership_changed` and of those who leave; the kernel's mark of a death is a full barrier.
        let counts = [consumers, producers].map(|count| (count, count.load(Ordering::Acquire)));
        let now: Vec<u32> = slots
            .iter()
            .map(|word| word.load(Ordering::Acquire))
            .collect();
        let changed = now.iter().zip(&seen).filter(|(now, seen)| now != seen);
        let deaths = changed
            .filter(|(now, _)| Liveness::of(**now) == Liveness::Dead)
            .count();
        if deaths > 0 {
            slots.iter().for_each(|word| futex::wake_all(word));
        }
        seen = now;
        if stop.load(Ordering::Acquire) != 0 {
            return;
        }
        alarm(deaths);
        if deaths > 0 {
            continue;
        }
        let others = (0..participants)
            .zip(slots.iter().copied().zip(seen.iter().copied()))
            .filter(|&(slot, _)| !is_own(map, slot))
            .map(|(_, word)| word);
        // What has changed since it was read above turns this away.
        futex::wait(counts.into_iter().chain([(stop, 0)]).chain(others), None);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        // A child of fork has no such thread, and would wait for it for ever.
        if self.map.is_forked() {
            std::mem::forget(thread);
            return;
        }
        self.stop.store(1, Ordering::Release);
        futex::wake_all(&self.stop);
        let _ = thread.join();
    }
}
