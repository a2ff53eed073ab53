//! The usual send, claim and push, straight on: the cells are free, and nothing stands against sending.
//!
//! They make the same changes as those on the long way, in the same order, and look at all that these look at. A message of one cell is sent
//! in one go: between the claim and its commit nothing is written down of what was claimed, because nobody can ask for it.

use std::sync::atomic::Ordering;

use super::{Producer, Run};
use crate::memory::layout::cell::{CELL_HEADER, LEN_AT, State, described_as};
use crate::memory::layout::control::CLAIM_HINT;
use crate::memory::region::{Control, Region, Spot};

/// So many cells ahead of the one that is written in a batch, their lines are asked for.
const AHEAD: u64 = 8;

impl<R: Region> Producer<R> {
    /// Sends a copy of `message` in the usual case, if it fits one cell. `false` if it is another one; then nothing was done.
    #[inline(always)]
    pub(crate) fn send_at_once(&mut self, message: &[u8]) -> bool {
        let len = message.len() as u64;
        if len >= self.short.get() || self.is_hindered() {
            return false;
        }
        let member = &mut self.member;
        let (cell, cells) = (member.cursor, &member.cells);
        let (code, contention) = (cells.code, cells.contention);
        let control = cells.region.control();
        let place = cells.spot(cell);
        let free = code.nobodys(State::Free, cell, 1);
        let claimed = code.owned(State::Claimed, member.me, cell, 1);
        // Acquire pairs with the release of who freed the cell: the payload has been read (C3).
        if contention.claim {
            if !place.replace(free, claimed) {
                return false;
            }
        } else if place.load(Ordering::Acquire) == free {
            place.store(claimed, Ordering::Release);
        } else {
            return false;
        }
        member.cursor = cell + 1;
        // Release pairs with the acquire of who overwrites (`go_behind`).
        control.store64(CLAIM_HINT, cell + 1, Ordering::Release);
        // SAFETY: the description and the payload lie behind the word in the same cell, which holds as many bytes (`short`),
        // and all of a cell lies before the end of the region.
        unsafe {
            let behind = place.behind(LEN_AT);
            behind.write(message);
            // Made visible by the release of the word.
            behind.store(described_as(len, 1), Ordering::Relaxed);
        }
        if contention.own {
            // Others may have moved it, or taken us for dead.
            self.show(cell, 1, 1, 1);
            return true;
        }
        // Release: as in `show`.
        place.store(code.nobodys(State::Full, cell, 1), Ordering::Release);
        self.shown(cell + 1, 1);
        true
    }

    /// What stands against sending at all, but for being a child of `fork`.
    #[inline(always)]
    fn is_hindered(&self) -> bool {
        self.closed
            || self.claimed.is_some()
            || self.member.corrupt
            || self.member.consumers_changed()
    }

    /// Claims cells for a message of `len` bytes in the usual case; returns where its payload goes. `None` if it is another one; then
    /// nothing was done.
    #[inline]
    pub(crate) fn claim_at_once(&mut self, len: usize) -> Option<u64> {
        let len = len as u64;
        // In a child of `fork`, and in a ring with a lock, nothing is short.
        if self.short.get() == 0 || len > self.longest || self.overwrite || self.is_hindered() {
            return None;
        }
        let member = &mut self.member;
        let (cell, cells) = (member.cursor, &member.cells);
        let (code, contention) = (cells.code, cells.contention);
        let extent = cells.extent_of(len);
        // The word of a single cell says all. Of several only the first one's is looked at: all of them are done with, if they
        // end within a lap of `HEAD`.
        let end = cell + extent;
        if extent > 1 && (end > member.head + cells.count() || extent > cells.to_end(cell)) {
            return None;
        }
        let place = cells.spot(cell);
        let free = code.nobodys(State::Free, cell, 1);
        let claimed = code.owned(State::Claimed, member.me, cell, extent);
        // Acquire pairs with the release of who freed the cells: the payload has been read (C3).
        if contention.claim {
            if !place.replace(free, claimed) {
                return None;
            }
        } else if place.load(Ordering::Acquire) == free {
            place.store(claimed, Ordering::Release);
        } else {
            return None;
        }
        member.cursor = end;
        // Relaxed: a hint, where nobody overwrites.
        let control = cells.region.control();
        control.store64(CLAIM_HINT, end, Ordering::Relaxed);
        if extent > 1 {
            // Orders the HEAD by which this was claimed ahead of the payload: see `Cells::look`.
            cells.region.claim_fence();
            cells.cover(cell, extent);
        }
        let payload = cells.payload(cell);
        self.claimed = Some(Run {
            cell,
            extent,
            used: 0,
            first: 0,
            messages: 0,
            short: false,
        });
        Some(payload)
    }

    /// Lays a message into the batch that is claimed, if it fits there. `false` if it does not, or something else is unusual; then
    /// nothing was done.
    #[inline(always)]
    pub(super) fn push_at_once(&mut self, message: &[u8]) -> bool {
        let len = message.len() as u64;
        let (member, Some(run)) = (&self.member, &mut self.claimed) else {
            return false;
        };
        let cells = &member.cells;
        let extent = cells.extent_of(len);
        if extent > run.extent - run.used || len > self.max_len || cells.region.is_forked() {
            return false;
        }
        let cell = run.cell + run.used;
        // A message takes two lines or more, and few stores wait at a time for lines from the consumers.
        if run.used + AHEAD < run.extent {
            let ahead = cells.position(cell + AHEAD);
            cells.region.prefetch_to_write(ahead);
            cells.region.prefetch_to_write(ahead + 64);
        }
        cells.cover(cell, extent);
        let place = cells.spot(cell);
        // SAFETY: the description and the payload lie behind the word in the record's cells, as many as the length needs, which
        // are a part of the run that is claimed, and that lies before the end of the region.
        unsafe {
            let behind = place.behind(LEN_AT);
            behind.write(message);
            // Made visible by the release of the run's word, as the record's own below.
            behind.store(described_as(len, extent), Ordering::Relaxed);
        }
        if run.messages == 0 {
            run.first = extent;
        } else {
            let full = cells.code.nobodys(State::Full, cell, extent);
            place.store(full, Ordering::Relaxed);
        }
        run.used += extent;
        run.messages += 1;
        true
    }
}

// What is written behind a description is the payload.
const _: () = assert!(LEN_AT + 8 == CELL_HEADER);
