//! How often a message was delivered.
//!
//! A consumer that takes a record which was given back counts in the record's description, which is its own as long as
//! the record is. So no store is made for a message that is delivered once, and a count outlives the one who made it.
//!
//! | the owner dies | it leaves |
//! |---|---|
//! | after taking, before counting | a count that is too low by a delivery that nobody has seen |
//! | after counting | the count; whoever takes the record next counts on |
//! | after noting that nobody looked, before giving back | the note, which is true |
//!
//! What was taken together with others and given back counts as delivered, if its taker came to look at it or not.
//!
//! Where [`settle`](Region::settle) cannot keep its promise, one that is taken for dead may count in a record that is
//! not its own any more: then the change is one of these four bits, or fails.

use std::sync::atomic::Ordering;

use super::Cells;
use crate::memory::layout::cell::{CELL_HEADER, DELIVERED, DELIVERED_MASK, LEN_AT};
use crate::memory::layout::control::MOST_DELIVERIES;
use crate::memory::region::{Load, Region};
use crate::rings::message::MessageRef;
use crate::rings::pool::IN_SLAB;

/// The record was taken once, and nobody looked at it.
const NONE_SEEN: u64 = 15;

impl<R: Load> Cells<R> {
    /// The cell of a message that was found.
    pub(super) fn cell_of(&self, found: &MessageRef) -> u64 {
        let payload = found.payload & !IN_SLAB;
        payload.wrapping_sub(CELL_HEADER) >> self.cell_bits
    }

    /// How often the record at `cell`, which the caller holds, was delivered, with this time.
    pub(super) fn deliveries(&self, cell: u64) -> u32 {
        let before = (self.described(cell) & DELIVERED_MASK) >> DELIVERED;
        ((before + 1) % (NONE_SEEN + 1)).max(1) as u32
    }

    /// How that record is described. The caller has acquired its word, or that of the run that it is in.
    #[inline(always)]
    pub(super) fn described(&self, cell: u64) -> u64 {
        let at = self.position(cell) + LEN_AT;
        // Relaxed: see above.
        self.region.load_word(at, Ordering::Relaxed)
    }
}

impl<R: Region> Cells<R> {
    /// Counts that the record at `cell`, which the caller has just taken, was delivered before.
    #[cold]
    pub(super) fn count_delivery(&self, cell: u64) {
        self.recount(cell, |before| match before {
            NONE_SEEN => 0,
            before => (before + 1).min(MOST_DELIVERIES as u64 - 1),
        });
    }

    /// Notes that nobody looked at the record at `cell`, which the caller is about to give back.
    #[cold]
    pub(super) fn uncount_delivery(&self, cell: u64) {
        self.recount(cell, |before| before.checked_sub(1).unwrap_or(NONE_SEEN));
    }

    fn recount(&self, cell: u64, count: impl FnOnce(u64) -> u64) {
        let seen = self.described(cell);
        let before = (seen & DELIVERED_MASK) >> DELIVERED;
        let next = seen & !DELIVERED_MASK | count(before) << DELIVERED;
        // A compare-and-swap for the case that the record is not the caller's own any more.
        let at = self.position(cell) + LEN_AT;
        let _ = self.region.replace_word(at, seen, next);
    }
}
