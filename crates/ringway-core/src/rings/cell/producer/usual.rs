//! The usual send, straight on: the message fits one cell, that cell is free, and nothing stands against sending.
//!
//! It makes the same changes as a claim and its commit, in the same order; between the two nothing is written down of what was
//! claimed, because nobody can ask for it.

use std::sync::atomic::Ordering;

use super::Producer;
use crate::memory::layout::cell::{LEN_AT, State, one_cell_of_len};
use crate::memory::layout::control::{CLAIM_HINT, DATA_EVENT};
use crate::memory::layout::participant::Role;
use crate::memory::region::{Control, Region, Spot};
use crate::waiting::eventcount::ASLEEP;

impl<R: Region> Producer<R> {
    /// Sends a copy of `message` in the usual case. `false` if it is another one; then nothing was done.
    #[inline(always)]
    pub(crate) fn send_at_once(&mut self, message: &[u8]) -> bool {
        let len = message.len() as u64;
        if len >= self.short.get()
            || self.closed
            || self.claimed.is_some()
            || self.member.corrupt
            || self.member.consumers_changed()
        {
            return false;
        }
        let member = &mut self.member;
        let (cell, cells) = (member.cursor, &member.cells);
        let (code, contention) = (cells.code, cells.contention);
        let control = cells.region.control();
        let place = cells.region.spot(cells.position(cell));
        let free = code.one_cell(State::Free, cell);
        let claimed = code.one_cell_of(State::Claimed, member.me, cell);
        // Acquire pairs with the release of who freed the cell: the payload has been read.
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
            behind.store(one_cell_of_len(len), Ordering::Relaxed);
        }
        if contention.own {
            // Others may have moved it, or taken us for dead.
            let claimed = self
                .cells()
                .free(cell)
                .become_owned(State::Claimed, self.member.me);
            self.show(cell, claimed, 1, 1, 1);
            return true;
        }
        // Release: as in `show`.
        place.store(code.one_cell(State::Full, cell), Ordering::Release);
        self.end = cell + 1;
        // The next claim's line.
        cells.region.prefetch_to_write(cells.position(cell + 1));
        self.member.count(1);
        if self.member.region().control().may_have(DATA_EVENT, ASLEEP) {
            self.member.notify(Role::Consumer);
        }
        true
    }
}
