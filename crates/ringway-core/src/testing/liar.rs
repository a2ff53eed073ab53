//! A region that lies at every read: what a peer that rewrites the segment while we work could do at
//! worst.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::memory::region::memory::Memory;
use crate::memory::region::pane::Place;
use crate::memory::region::{At, Change, Load, Of, Region};
use crate::sys::futex::{MonotonicTime, Wake};

/// Lies at every read: mostly with values that look right.
pub(crate) struct Liar {
    pub(crate) truth: Memory,
    /// Where the randomness comes from; in a region that flickers, the number of reads.
    pub(crate) state: Cell<u64>,
    /// Makes what looks like a word of the ring, from something random and the true word.
    forge: fn(u64, u64) -> u64,
    /// Nothing is a lie but that record words are this one at every other read.
    pub(crate) flicker: Cell<Option<(u64, u64)>>,
}

impl Liar {
    pub(crate) fn new(truth: Memory, seed: u64, forge: fn(u64, u64) -> u64) -> Self {
        Self {
            truth,
            state: Cell::new(seed | 1),
            forge,
            flicker: Cell::new(None),
        }
    }

    /// xorshift64.
    fn random(&self) -> u64 {
        let mut state = self.state.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.state.set(state);
        state
    }

    fn lie(&self, truth: u64) -> u64 {
        if self.flicker.get().is_some() {
            return truth;
        }
        let random = self.random();
        match random % 8 {
            0..4 => truth,
            4 => truth.wrapping_add(random >> 60 << 3),
            5 => truth.wrapping_sub(random >> 60 << 3),
            6 => (self.forge)(random, truth),
            _ => self.random(),
        }
    }

    fn check(&self, position: u64, len: usize) {
        let capacity = self.capacity();
        assert!(
            position % capacity + len as u64 <= capacity,
            "{len} bytes at {position}"
        );
    }
}

impl Load for Liar {
    fn capacity(&self) -> u64 {
        self.truth.capacity()
    }
    fn load32(&self, offset: usize, order: Ordering) -> u32 {
        self.lie(self.truth.load32(offset, order).into()) as u32
    }
    fn load64(&self, offset: usize, order: Ordering) -> u64 {
        self.lie(self.truth.load64(offset, order))
    }
    fn load_word(&self, position: u64, order: Ordering) -> u64 {
        if let Some((one, other)) = self.flicker.get() {
            let reads = self.state.get();
            self.state.set(reads + 1);
            return if reads.is_multiple_of(2) { one } else { other };
        }
        self.lie(self.truth.load_word(position, order))
    }
    fn load_slab(&self, index: u32) -> u64 {
        self.lie(self.truth.load_slab(index))
    }
}

impl Region for Liar {
    type Pane = Place;

    unsafe fn pane(&self, place: &Place) -> Place {
        *place
    }

    type Spot<'a> = At<'a, Self>;

    fn spot(&self, position: u64) -> At<'_, Self> {
        At(self, position)
    }

    type Control<'a> = Of<'a, Self>;

    fn control(&self) -> Of<'_, Self> {
        Of(self)
    }

    fn store32(&self, offset: usize, value: u32, order: Ordering) {
        self.truth.store32(offset, value, order);
    }
    fn set32(&self, offset: usize, bits: u32) -> u32 {
        self.lie(self.truth.set32(offset, bits).into()) as u32
    }
    fn replace32(&self, offset: usize, current: u32, new: u32) -> Result<(), u32> {
        self.truth.replace32(offset, current, new)
    }
    fn add32(&self, offset: usize, more: u32) {
        self.truth.add32(offset, more);
    }
    fn store64(&self, offset: usize, value: u64, order: Ordering) {
        self.truth.store64(offset, value, order);
    }
    fn replace64(&self, offset: usize, current: u64, new: u64) -> Result<(), u64> {
        self.truth
            .replace64(offset, current, new)
            .map_err(|found| self.lie(found))
    }
    fn mask64(&self, offset: usize, bits: u64) -> u64 {
        self.lie(self.truth.mask64(offset, bits))
    }
    fn store_word(&self, position: u64, word: u64, order: Ordering) {
        self.truth.store_word(position, word, order);
    }
    /// Also says that it has replaced what was something else.
    fn replace_word(&self, position: u64, current: u64, new: u64) -> Result<(), u64> {
        match self.truth.replace_word(position, current, new) {
            Err(_) if self.flicker.get().is_none() && self.random().is_multiple_of(2) => Ok(()),
            replaced => replaced.map_err(|found| self.lie(found)),
        }
    }
    fn write(&self, position: u64, bytes: &[u8]) {
        self.check(position, bytes.len());
        self.truth.write(position, bytes);
    }
    fn read(&self, position: u64, bytes: &mut [u8]) {
        self.check(position, bytes.len());
        self.truth.read(position, bytes);
    }
    fn pointer(&self, position: u64) -> *mut u8 {
        self.truth.pointer(position)
    }
    fn replace_slab(&self, index: u32, current: u64, new: u64) -> Result<(), u64> {
        self.truth
            .replace_slab(index, current, new)
            .map_err(|found| self.lie(found))
    }
    fn write_slab(&self, at: u64, bytes: &[u8]) {
        self.truth.write_slab(at, bytes);
    }
    fn read_slab(&self, at: u64, bytes: &mut [u8]) {
        self.truth.read_slab(at, bytes);
    }
    fn slab_pointer(&self, at: u64) -> *mut u8 {
        self.truth.slab_pointer(at)
    }
    fn prefetch(&self, position: u64, pace: &mut u64) {
        self.truth.prefetch(position, pace);
    }
    fn prefetch_to_write(&self, _: u64) {}
    fn claim_fence(&self) {}
    fn publish_fence(&self) {}
    fn sleep_fence(&self) {}
    fn wait_on(
        _: &[(&Self, &[(usize, u32)])],
        _: &[(&AtomicU32, u32)],
        _: Option<MonotonicTime>,
    ) -> Wake {
        Wake::TimedOut
    }
    fn wake(&self, _: usize) {}
    /// Also says that it has changed what it has not.
    fn change_and_wake(&self, offset: usize, change: Change) -> bool {
        !self.random().is_multiple_of(4) || self.truth.change_and_wake(offset, change)
    }
    fn settle(&self) -> bool {
        true
    }
    fn settles(&self) -> bool {
        true
    }
    fn is_forked(&self) -> bool {
        false
    }
    /// One process.
    fn process(&self) -> u64 {
        1
    }
}
