//! Retiring a ring: how a collector that found only dead holders and an attacher that comes in the same
//! moment agree on who was first.
//!
//! One word in the header, a state and how often it has changed, so that no state is taken for an
//! earlier one:
//!
//! ```text
//!            doubt                commit
//!    OPEN ----------> DOUBTED ------------> RETIRED
//!      ^                 |  ^  |
//!      +-----------------+  +--+ doubt (another collector, or the next one)
//!        withdraw (the collector), admit (an attacher)
//! ```
//!
//! | who | in this order |
//! |---|---|
//! | an opener | opens the file, or attaches the System V segment, which the kernel counts; fence; [`admit`]: OPEN is well, DOUBTED it sets to OPEN, RETIRED is as good as not there |
//! | an attacher | takes its slot; fence; [`admit`] |
//! | a collector | takes the lease on the file, which makes openers wait, or attaches the System V segment ([`Hold`]); [`doubt`]; fence; makes sure that nobody has the ring open, looks at all slots and messages; [`commit`](Doubt::commit) or withdraws; then removes what lies beside, then the name |
//!
//! Each side stores, has a fence, and then looks for what the other stores. So at least one of them sees the other:
//!
//! - The collector sees the newcomer: it withdraws.
//! - The newcomer sees the doubt, and lifts it: the collector's commit, a compare-and-swap of that doubt, fails.
//! - The newcomer comes behind the commit, sees that the ring is retired, and is refused.
//!
//! So nobody has a ring open that was retired, and nobody ever will. Nor is a message lost that somebody sent who came and left
//! between the doubt and the commit: it lifted the doubt; or the collector, which looks at slots and messages after the
//! fence, sees what it sent.
//!
//! The kernel knows who has a file open by its leases, which some file systems lack. There a ring may be
//! retired that a process has open and is not attached to; therefore attachers ask once more.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | a collector, having doubted | DOUBTED, which keeps nobody out | the next attacher or collector |
//! | a collector, having retired the ring | a name that leads to a ring of no use | whoever opens it, removes it or collects next |
//! | an opener | nothing; the kernel knows that it has the ring open no more | |
//! | an attacher, before it was admitted | OWNER_DIED in its slot, and nothing done | as any death |
//!
//! [`Removal`](super::removal) of the name is exact: it is done under a lock on the file that all removers
//! take, and only while the name leads to that file; a System V segment is removed by its id. So the
//! name of a ring that somebody makes meanwhile at the same address is never removed for it.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::memory::layout::header::RETIREMENT_OFFSET;
use crate::memory::map::Map;

/// The word, and what orders it with slots and messages; the model of [`interleavings`] has one of its own.
pub(crate) trait Word {
    /// Loads, with acquire.
    fn look(&self) -> u64;
    /// Exchanges `current` for `new`, or returns what is there instead. Acquires and releases.
    fn replace(&self, current: u64, new: u64) -> Result<(), u64>;
    /// Between this side's store and its look at the other side's.
    fn fence();
}

impl Word for AtomicU64 {
    fn look(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn replace(&self, current: u64, new: u64) -> Result<(), u64> {
        self.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// The ring is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retired;

const OPEN: u64 = 0;
const DOUBTED: u64 = 1;
const RETIRED: u64 = 2;
const STATE: u64 = 3;
/// One more change.
const CHANGE: u64 = 4;

/// How often the word may change under an attacher's eyes. Collectors do not come so often.
const ATTEMPTS: usize = 64;

fn next(word: u64, state: u64) -> u64 {
    (word & !STATE).wrapping_add(CHANGE) | state
}

/// Whether a word says that its ring is retired.
pub(crate) fn says_retired(word: u64) -> bool {
    word & STATE == RETIRED
}

/// Lets in who has just opened the ring in `map`, or taken a slot of it, unless it is retired.
pub(crate) fn admit(map: &Map) -> Result<(), Retired> {
    map.word64(RETIREMENT_OFFSET).map_or(Ok(()), admit_by)
}

fn admit_by<W: Word>(word: &W) -> Result<(), Retired> {
    // Pairs with the fence in `doubt`.
    W::fence();
    let mut seen = word.look();
    for _ in 0..ATTEMPTS {
        match seen & STATE {
            OPEN => return Ok(()),
            RETIRED => return Err(Retired),
            _ => {}
        }
        match word.replace(seen, next(seen, OPEN)) {
            Ok(_) => return Ok(()),
            Err(found) => seen = found,
        }
    }
    Err(Retired)
}

/// By what right a collector writes the word of a ring that is not its own.
pub(crate) trait WriteAccess: std::fmt::Debug {
    /// Whether the word can be written without a signal.
    fn is_sound(&self) -> bool;
}

/// A collector's doubt, withdrawn when dropped.
#[derive(Debug)]
pub(crate) struct Doubt<'a, W: Word = AtomicU64> {
    word: &'a W,
    /// What it holds by this doubt.
    word_is: u64,
    /// Tells whether the word can be changed. Without it, it always can.
    hold: Option<&'a dyn WriteAccess>,
}

/// Doubts that anybody uses the ring in `map`. `None` if it was retired before, or others keep changing
/// their minds.
pub(crate) fn doubt<'a>(map: &'a Map, hold: &'a dyn WriteAccess) -> Option<Doubt<'a>> {
    doubt_in(map.word64(RETIREMENT_OFFSET)?, Some(hold))
}

#[cfg(test)]
fn doubt_by<W: Word>(word: &W) -> Option<Doubt<'_, W>> {
    doubt_in(word, None)
}

fn doubt_in<'a, W: Word>(word: &'a W, hold: Option<&'a dyn WriteAccess>) -> Option<Doubt<'a, W>> {
    if !is_sound(hold) {
        return None;
    }
    let seen = word.look();
    if says_retired(seen) {
        return None;
    }
    let word_is = next(seen, DOUBTED);
    word.replace(seen, word_is).ok()?;
    // Pairs with the fence in `admit`: whoever is not seen by what follows sees the doubt.
    W::fence();
    Some(Doubt {
        word,
        word_is,
        hold,
    })
}

fn is_sound(hold: Option<&dyn WriteAccess>) -> bool {
    hold.is_none_or(|hold| hold.is_sound())
}

impl<W: Word> Doubt<'_, W> {
    /// Retires the ring, unless the doubt was lifted. Whether it is retired by this.
    pub(crate) fn commit(self) -> bool {
        if !is_sound(self.hold) {
            return false;
        }
        // Acquire, so that what is removed now is not seen removed before; release for who sees it.
        let retired = next(self.word_is, RETIRED);
        self.word.replace(self.word_is, retired).is_ok()
    }
}

impl<W: Word> Drop for Doubt<'_, W> {
    fn drop(&mut self) {
        // A doubt that stays keeps nobody out.
        if !is_sound(self.hold) {
            return;
        }
        // Fails if somebody lifted it, doubts as well, or it is committed.
        let open = next(self.word_is, OPEN);
        let _ = self.word.replace(self.word_is, open);
    }
}

/// Every interleaving of attachers and collectors within loom's bounds, on the code that ships.
#[cfg(all(test, loom))]
mod interleavings {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
    use loom::thread;

    use super::*;
    use crate::testing::model::explorer;

    impl Word for AtomicU64 {
        fn look(&self) -> u64 {
            self.load(Ordering::Acquire)
        }

        fn replace(&self, current: u64, new: u64) -> Result<(), u64> {
            self.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
                .map(drop)
        }

        fn fence() {
            fence(Ordering::SeqCst);
        }
    }

    #[derive(Default)]
    struct Ring {
        word: AtomicU64,
        /// Whether somebody is attached.
        slot: AtomicU32,
        messages: AtomicU32,
    }

    /// Takes the slot, sends a message if it may, and leaves. Whether it was let in.
    fn attach(ring: &Ring, leaves: bool) -> bool {
        // A compare-and-swap, as all take their slots.
        let _ = ring
            .slot
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
        let admitted = admit_by(&ring.word).is_ok();
        if admitted {
            ring.messages.store(1, Ordering::Release);
        }
        if leaves || !admitted {
            ring.slot.store(0, Ordering::Release);
        }
        admitted
    }

    /// Retires the ring if nobody is there and nothing is in it. Whether it did.
    fn collect(ring: &Ring) -> bool {
        let Some(doubt) = doubt_by(&ring.word) else {
            return false;
        };
        let is_empty =
            ring.slot.load(Ordering::Acquire) == 0 && ring.messages.load(Ordering::Acquire) == 0;
        is_empty && doubt.commit()
    }

    fn model(collectors: usize, leaves: bool) {
        explorer(0).check(move || {
            let ring = Arc::new(Ring::default());
            let collecting: Vec<_> = (0..collectors)
                .map(|_| {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || collect(&ring))
                })
                .collect();
            let admitted = attach(&ring, leaves);
            let retired: Vec<_> = collecting
                .into_iter()
                .map(|collector| collector.join().unwrap())
                .collect();
            let by = retired.iter().filter(|retired| **retired).count();
            assert!(by <= 1, "retired by two");
            assert!(!(admitted && by == 1), "retired under an attacher's eyes");
            assert_eq!(!admitted, by == 1, "refused by a ring that is open");
        });
    }

    #[test]
    fn of_an_attacher_and_a_collector_one_is_first() {
        model(1, false);
    }

    #[test]
    fn who_came_and_went_was_seen() {
        model(1, true);
    }

    #[test]
    fn of_an_attacher_and_two_collectors_one_is_first() {
        for leaves in [false, true] {
            model(2, leaves);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32};

    use super::*;

    #[test]
    fn a_doubt_keeps_nobody_out_and_does_not_stand_when_somebody_came() {
        let word = AtomicU64::new(0);
        let doubt = doubt_by(&word).unwrap();
        assert_eq!(admit_by(&word), Ok(()));
        assert!(!doubt.commit());
        assert_eq!(word.load(Ordering::Relaxed) & STATE, OPEN);
    }

    #[test]
    fn who_comes_and_goes_lifts_the_doubt_although_another_doubts_again() {
        let word = AtomicU64::new(0);
        let first = doubt_by(&word).unwrap();
        assert_eq!(admit_by(&word), Ok(()));
        let second = doubt_by(&word).unwrap();
        assert!(!first.commit());
        assert!(second.commit());
        assert_eq!(admit_by(&word), Err(Retired));
        assert!(doubt_by(&word).is_none());
    }

    #[test]
    fn what_a_dead_collector_left_keeps_nobody_out() {
        let word = AtomicU64::new(0);
        std::mem::forget(doubt_by(&word));
        assert_eq!(admit_by(&word), Ok(()));
        std::mem::forget(doubt_by(&word));
        assert!(doubt_by(&word).unwrap().commit());
    }

    #[test]
    fn a_doubt_that_is_withdrawn_leaves_the_ring_open() {
        let word = AtomicU64::new(0);
        drop(doubt_by(&word));
        assert_eq!(word.load(Ordering::Relaxed) & STATE, OPEN);
        assert_eq!(admit_by(&word), Ok(()));
    }

    /// Collectors and attachers in every order that two processors give: never is one attached to what
    /// was retired.
    #[test]
    fn of_an_attacher_and_a_collector_one_is_first() {
        for round in 0..20_000 {
            let (word, slot) = (AtomicU64::new(0), AtomicU32::new(0));
            let start = AtomicBool::new(round % 2 == 0);
            let collect = || {
                start.store(true, Ordering::Release);
                let doubt = doubt_by(&word)?;
                let is_empty = slot.load(Ordering::Acquire) == 0;
                (is_empty && doubt.commit()).then_some(())
            };
            std::thread::scope(|scope| {
                let attacher = scope.spawn(|| {
                    while !start.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    slot.swap(1, Ordering::AcqRel);
                    admit_by(&word)
                });
                let retired = collect().is_some();
                let attached = attacher.join().unwrap().is_ok();
                assert_ne!(retired, attached, "round {round}");
            });
        }
    }
}
