//! The watcher: a thread that rings its handle's bell when a participant dies, comes or goes.
//!
//! A semaphore or a queue cannot be waited for together with liveness words; the watcher waits for those.
//! It sleeps on the words of *all* other slots, also of free ones: who takes a slot may die before it has
//! told anybody, and the kernel wakes all the same. Not on its own: the kernel, which wakes one, could
//! give the news of this process's death to this very thread, that is about to die with it.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | any participant | OWNER_DIED; the kernel wakes one watcher | that one wakes the others on the word |
//! | the one that the kernel woke, before it woke the others | another OWNER_DIED | the next one, which wakes the others on both |
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
    /// Watches over the participants of the cell ring in `map`, but the one in slot `own`. `alarm` is called at once, and then
    /// whenever one may have died, come or gone.
    pub(super) fn start(
        attempt: Attempt<'_>,
        map: &Arc<Map>,
        participants: u32,
        own: u32,
        alarm: Box<dyn Fn() + Send>,
    ) -> Result<Self, Error> {
        let stop = Arc::new(AtomicU32::new(0));
        let (watched, told) = (Arc::clone(map), Arc::clone(&stop));
        let thread = keeper::spawn("ringway-watcher", move || {
            watch(&watched, participants, own, &told, &alarm);
        })
        .map_err(|errno| attempt.keeper(Refusal::Os(errno)))?;
        Ok(Self {
            map: Arc::clone(map),
            stop,
            thread: Some(thread),
        })
    }
}

fn watch(map: &Map, participants: u32, own: u32, stop: &AtomicU32, alarm: &dyn Fn()) {
    let slots = (0..participants)
        .filter(|&slot| slot != own)
        .map(|slot| slot_offset(slot) + LIVENESS);
    let offsets = [CONSUMERS_CHANGED, PRODUCERS_CHANGED]
        .into_iter()
        .chain(slots);
    // The counters come first, and are read first: who changes a liveness word raises a counter later.
    let words: Vec<_> = offsets.filter_map(|offset| map.word32(offset)).collect();
    let mut seen: Vec<u32> = Vec::new();
    loop {
        // Acquire pairs with the release of `membership_changed` and of those who leave; the kernel's
        // mark of a death is a full barrier.
        let now: Vec<u32> = words
            .iter()
            .map(|word| word.load(Ordering::Acquire))
            .collect();
        for (index, (word, &value)) in words.iter().zip(&now).enumerate().skip(2) {
            if Liveness::of(value) == Liveness::Dead && seen.get(index) != Some(&value) {
                // The kernel woke one.
                futex::wake_all(word);
            }
        }
        if stop.load(Ordering::Acquire) != 0 {
            return;
        }
        alarm();
        // What has changed since it was read above turns this away.
        let all: Vec<(&AtomicU32, u32)> = words
            .iter()
            .copied()
            .zip(now.iter().copied())
            .chain([(stop, 0)])
            .collect();
        futex::wait(all.into_iter(), None);
        seen = now;
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
