//! The limit between many: Dmitry Vyukov's bounded queue, bare. Two shared positions, and a sequence in
//! every cell that says whose turn it is. No length, no owner, no recovery, no wake-up, and the payload is
//! made in place and checked in place. Whoever dies between claim and publication stops the queue.

use std::ops::Range;
use std::sync::atomic::Ordering;

use crate::crowd::{Queue, Role};
use crate::memory::{Shared, yield_until};
use crate::message;

/// Two lines: adjacent ones are fetched together.
const LINE: u64 = 128;
const ENQUEUE: u64 = 0;
const DEQUEUE: u64 = LINE;
const CELLS: u64 = 2 * LINE;

pub struct Vyukov<const W: usize> {
    memory: Shared,
    /// A power of two.
    cells: u64,
}

impl<const W: usize> Vyukov<W> {
    const STRIDE: u64 = (8 + W as u64 * 8).next_multiple_of(LINE);

    pub fn new(cells: u64) -> Self {
        assert!(cells.is_power_of_two());
        let memory = Shared::new((CELLS + cells * Self::STRIDE) as usize);
        Self { memory, cells }
    }

    #[inline(always)]
    fn cell(&self, position: u64) -> u64 {
        CELLS + (position & (self.cells - 1)) * Self::STRIDE
    }

    #[inline(always)]
    fn payload(&self, cell: u64) -> *mut [u64; W] {
        self.memory.at(cell + 8).cast()
    }

    /// The position that is the caller's now, if there is one: the cell at the shared position has the
    /// sequence `position + ahead`, and nobody else was faster.
    #[inline(always)]
    fn claim(&self, index: u64, ahead: u64) -> Option<u64> {
        let shared = self.memory.word(index);
        let mut position = shared.load(Ordering::Relaxed);
        loop {
            let sequence = self.memory.word(self.cell(position));
            // Pairs with the release by whoever used the cell before.
            let found = sequence.load(Ordering::Acquire);
            let behind = found.wrapping_sub(position + ahead) as i64;
            if behind < 0 {
                return None;
            }
            if behind > 0 {
                position = shared.load(Ordering::Relaxed);
                continue;
            }
            match shared.compare_exchange_weak(
                position,
                position + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(position),
                Err(now) => position = now,
            }
        }
    }

    #[inline(always)]
    fn await_claim(&self, index: u64, ahead: u64) -> u64 {
        let mut claimed = None;
        yield_until(|| {
            claimed = self.claim(index, ahead);
            claimed.is_some()
        });
        claimed.unwrap_or_default()
    }
}

impl<const W: usize> Queue<W> for Vyukov<W> {
    fn make(&mut self) {
        for position in 0..self.cells {
            let sequence = self.memory.word(self.cell(position));
            sequence.store(position, Ordering::Relaxed);
        }
    }

    fn attach(&mut self, _: Role) {
        self.memory.populate();
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        for number in numbers {
            let position = self.await_claim(ENQUEUE, 0);
            let cell = self.cell(position);
            // SAFETY: the cell was claimed, so nobody else uses its payload until it is published; all
            // bits are words.
            message::fill(unsafe { &mut *self.payload(cell) }, number);
            let sequence = self.memory.word(cell);
            sequence.store(position + 1, Ordering::Release);
        }
    }

    #[inline(always)]
    fn receive(&mut self, count: u64, mut each: impl FnMut(&[u64; W])) {
        for _ in 0..count {
            let position = self.await_claim(DEQUEUE, 1);
            let cell = self.cell(position);
            // SAFETY: the cell was claimed, so nobody writes its payload until it is free again.
            each(unsafe { &*self.payload(cell) });
            let sequence = self.memory.word(cell);
            sequence.store(position + self.cells, Ordering::Release);
        }
    }
}
