//! How one participant sees the others.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::liveness::Liveness;
use crate::memory::layout::participant::{EPOCH, FILLED_FOR, sight_offset, slot_offset};
use crate::memory::layout::pool::Holder;
use crate::memory::map::Map;
use crate::memory::region::Load;
use crate::sys::futex::{self, MonotonicTime};

/// Words of a segment, to look at. Loads acquire.
pub(crate) trait Words {
    /// The 32-bit word at `offset`.
    fn look32(&self, offset: usize) -> u32;
    /// The 64-bit word at `offset`.
    fn look64(&self, offset: usize) -> u64;
}

impl<L: Load> Words for L {
    #[inline]
    fn look32(&self, offset: usize) -> u32 {
        self.load32(offset, Ordering::Acquire)
    }

    #[inline]
    fn look64(&self, offset: usize) -> u64 {
        self.load64(offset, Ordering::Acquire)
    }
}

impl Words for Map {
    fn look32(&self, offset: usize) -> u32 {
        let word = self.word32(offset);
        word.map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn look64(&self, offset: usize) -> u64 {
        let word = self.word64(offset);
        word.map_or(0, |word| word.load(Ordering::Acquire))
    }
}

/// Words of a segment, as keepers and watchers change them and sleep on them.
pub(crate) trait Kernel: Words {
    /// Writes, by an exchange, so that all changes of a word form one chain. Acquires and releases.
    fn write(&self, offset: usize, value: u32);
    /// Adds one, with release.
    fn raise(&self, offset: usize);
    /// Exchanges `current` for `new`, or returns what is there instead. Acquires and releases.
    fn replace(&self, offset: usize, current: u32, new: u32) -> Result<(), u32>;
    /// Stores 0 and wakes all that sleep on the word, in one step.
    fn clear_and_wake(&self, offset: usize);
    /// Sleeps while all words are what they are said to be, which is found out one after the other in this order; on
    /// `order`, which is the caller's own, as well. No longer than `at_most`.
    fn sleep(
        &self,
        words: impl Iterator<Item = (usize, u32)>,
        order: (&AtomicU32, u32),
        at_most: Option<Duration>,
    );
}

impl Kernel for Map {
    fn write(&self, offset: usize, value: u32) {
        if let Some(word) = self.word32(offset) {
            word.swap(value, Ordering::AcqRel);
        }
    }

    fn raise(&self, offset: usize) {
        if let Some(word) = self.word32(offset) {
            word.fetch_add(1, Ordering::Release);
        }
    }

    fn replace(&self, offset: usize, current: u32, new: u32) -> Result<(), u32> {
        let word = self.word32(offset).ok_or(0_u32)?;
        word.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    fn clear_and_wake(&self, offset: usize) {
        if let Some(word) = self.word32(offset) {
            futex::clear_and_wake_all(word);
        }
    }

    fn sleep(
        &self,
        words: impl Iterator<Item = (usize, u32)>,
        order: (&AtomicU32, u32),
        at_most: Option<Duration>,
    ) {
        let words = words.filter_map(|(offset, value)| Some((self.word32(offset)?, value)));
        let deadline = at_most.and_then(MonotonicTime::after);
        futex::wait([order].into_iter().chain(words), deadline);
    }
}

/// Whether `slot` is being given up, though it cannot be taken yet: the kernel or the holder is among the sights that
/// tell of its end. `held` is its liveness word.
pub(super) fn is_being_given_up(map: &Map, participants: u32, slot: u32, held: u32) -> bool {
    // Of one that comes, the last one to tell so, behind what belongs to the word; of one that ends, the first.
    let first = sight_offset(participants, slot, participants - 1);
    Liveness::of(held) == Liveness::Alive
        && map.look32(slot_offset(slot) + FILLED_FOR) == held
        && Liveness::of(map.look32(first)) != Liveness::Alive
}

/// Whether anybody sees the holder of `slot` alive, whatever its liveness word says.
pub(crate) fn is_seen_alive(words: &impl Words, participants: u32, slot: u32) -> bool {
    let me = Outlook::new(participants, slot);
    let seen_from = |other| Liveness::of(words.look32(me.seen_from(other)));
    (0..participants).any(|other| seen_from(other) == Liveness::Alive)
}

/// The sights of one slot's holder, in a ring with so many slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook {
    pub(super) participants: u32,
    pub(super) slot: u32,
}

impl Outlook {
    pub(crate) const fn new(participants: u32, slot: u32) -> Self {
        Self { participants, slot }
    }

    /// Where this one sees whether the holder of `slot` lives.
    #[inline]
    pub(crate) const fn of(self, slot: u32) -> usize {
        sight_offset(self.participants, slot, self.slot)
    }

    /// Where the holder of `slot` sees whether this one lives.
    pub(super) const fn seen_from(self, slot: u32) -> usize {
        sight_offset(self.participants, self.slot, slot)
    }

    /// Whether somebody alive has `slot`. What one that is gone did before is seen: one that left cleared the word
    /// with release, and the kernel's mark of a death is a full barrier.
    #[inline]
    pub(crate) fn liveness(self, words: &impl Words, slot: u32) -> Liveness {
        Liveness::of(words.look32(self.of(slot)))
    }

    /// Whether one that had `slot` is there no more. `is_its` knows it by its epoch, whole or in part. The answer
    /// "gone" stays true; what it held may be taken after [`settle`](super::settle). What is said to be somebody's who had
    /// no slot of this ring is nobody's: the answer is "no".
    #[inline]
    pub(crate) fn is_gone(
        self,
        words: &impl Words,
        slot: u32,
        is_its: impl FnOnce(u64) -> bool,
    ) -> bool {
        if slot >= self.participants {
            return false;
        }
        // Epoch after life: a newcomer raises the epoch before it is seen alive.
        self.liveness(words, slot) != Liveness::Alive
            || !is_its(words.look64(slot_offset(slot) + EPOCH))
    }

    /// The same of the holder of a slab.
    pub(crate) fn is_holder_gone(self, words: &impl Words, holder: Holder) -> bool {
        self.is_gone(words, holder.slot, |epoch| holder.is_of(epoch))
    }
}
