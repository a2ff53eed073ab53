//! Every interleaving of those who come, leave and die with one who watches, within loom's bounds, on the code that
//! ships. What the kernel does with a robust list is [`Model::mark`], entry by entry.
//!
//! A handle sees somebody alive, and then waits until that one is there no more: it looks when its watcher tells it to.
//! A lost wake-up shows as a deadlock.

use std::sync::atomic::AtomicU32;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::Outlook;
use super::keeper::linked;
use super::outlook::Kernel;
use super::watcher::{Lookout, hide, show};
use crate::memory::layout::control::MOVEMENTS;
use crate::memory::layout::participant::{EPOCH, LIVENESS, slot_offset};
use crate::memory::region::{Load, Region};
use crate::sys::futex::{OWNER_DIED, WAITERS};
use crate::testing::model::{Model, at_every_change, explorer, lives};

/// The slot of the one who watches, and of one who is watched.
const ME: Outlook = Outlook::new(2, 0);
const OTHER: Outlook = Outlook::new(2, 1);
/// The liveness word of [`OTHER`].
const WORD: usize = slot_offset(1) + LIVENESS;

const DEAD: u32 = WAITERS | OWNER_DIED;

/// Checks every interleaving with as many preemptions as asked for, less `relief`, for models with many threads.
fn model(relief: usize, body: impl Fn() + Sync + Send + 'static) {
    explorer(relief).check(body);
}

/// Somebody takes the other slot, if it is still `expected`, and is seen.
fn come(ring: &Model, tid: u32, expected: u32) {
    if ring.replace(WORD, expected, WAITERS | tid).is_ok() {
        let epoch = slot_offset(1) + EPOCH;
        let before = ring.load64(epoch, Ordering::Relaxed);
        ring.store64(epoch, before + 1, Ordering::Release);
        show(ring, OTHER, WAITERS | tid);
    }
}

fn leave(ring: &Model) {
    hide(ring, OTHER);
    ring.clear_and_wake(WORD);
}

/// What the kernel does at the death of the other one's keeper.
fn bury(ring: &Model, tid: u32) {
    let words: Vec<_> = linked(WORD, Some(OTHER)).collect();
    words.iter().rev().for_each(|word| ring.mark(*word, tid));
}

/// A ring whose other slot somebody has.
fn with_another(tid: u32) -> Model {
    let ring = Model::of_sights(2);
    come(&ring, tid, 0);
    ring
}

/// What the watcher and its handle share.
#[derive(Default)]
struct Desk {
    alarms: Mutex<u32>,
    told: Condvar,
    over: AtomicBool,
}

/// Runs the watcher, and a handle that has seen the other one in its `epoch`, or sees it if it is there when it looks,
/// until that has seen its end.
fn see_the_end(ring: &Model, epoch: u64, is_seen: bool) {
    let desk = Arc::new(Desk::default());
    let (waiting, told) = (ring.clone(), Arc::clone(&desk));
    let handle = thread::spawn(move || {
        let is_gone = || ME.is_gone(&waiting, 1, |now| now == epoch);
        let mut alarms = told.alarms.lock().unwrap();
        if is_seen || !is_gone() {
            while !is_gone() {
                alarms = told.told.wait(alarms).unwrap();
            }
        }
        drop(alarms);
        // As the order to leave.
        told.over.store(true, Ordering::Release);
        waiting.raise(MOVEMENTS);
        waiting.wake(MOVEMENTS);
    });
    let unchanged = AtomicU32::new(0);
    let mut lookout = Lookout::new(ring, ME);
    loop {
        lookout.look();
        if desk.over.load(Ordering::Acquire) {
            break;
        }
        *desk.alarms.lock().unwrap() += 1;
        desk.told.notify_one();
        lookout.sleep((&unchanged, 0), None);
    }
    handle.join().unwrap();
}

#[test]
fn a_death_is_seen() {
    model(0, || {
        let ring = with_another(7);
        let dying = ring.clone();
        let kernel = thread::spawn(move || bury(&dying, 7));
        see_the_end(&ring, 1, true);
        kernel.join().unwrap();
    });
}

#[test]
fn who_leaves_is_seen_to_be_gone_wherever_it_dies() {
    at_every_change(
        |body| model(1, body),
        |changes| {
            let ring = with_another(7);
            let leaving = ring.clone();
            let victim = thread::spawn(move || {
                leaving.dies_after(changes);
                let lived = lives(|| leave(&leaving));
                bury(&leaving, 7);
                lived
            });
            see_the_end(&ring, 1, true);
            victim.join().unwrap()
        },
    );
}

/// The next one in the slot comes as soon as it is free, and stays.
#[test]
fn a_successor_does_not_hide_a_death() {
    for tid in [7, 9] {
        model(2, move || {
            let ring = with_another(7);
            let dying = ring.clone();
            let kernel = thread::spawn(move || bury(&dying, 7));
            let coming = ring.clone();
            let successor = thread::spawn(move || come(&coming, tid, DEAD));
            see_the_end(&ring, 1, true);
            kernel.join().unwrap();
            successor.join().unwrap();
        });
    }
}

/// The watcher may have seen the slot as it was left before: by nobody, in order, or by one that died.
#[test]
fn who_comes_and_goes_between_two_looks_is_noticed() {
    for (dies_before, dies) in [(false, false), (false, true), (true, false), (true, true)] {
        model(1, move || {
            let ring = Model::of_sights(2);
            let mut epoch = 1;
            if dies_before {
                come(&ring, 7, 0);
                bury(&ring, 7);
                epoch = 2;
            }
            let passing = ring.clone();
            let passer = thread::spawn(move || {
                come(&passing, 9, if dies_before { DEAD } else { 0 });
                match dies {
                    true => bury(&passing, 9),
                    false => leave(&passing),
                }
            });
            see_the_end(&ring, epoch, false);
            passer.join().unwrap();
        });
    }
}
