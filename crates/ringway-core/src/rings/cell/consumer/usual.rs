//! The usual receive into a buffer, straight on: the next record has one cell, is full, fits the buffer, and nothing stands against
//! receiving.
//!
//! It makes the same changes as a take and its release, in the same order; between the two nothing is written down of what was
//! taken, because nobody can ask for it.

use std::sync::atomic::Ordering;

use super::Consumer;
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{DELIVERED_MASK, LEN_AT, State, one_cell_of_len};
use crate::memory::layout::control::{DATA_EVENT, SPACE_EVENT, TAKE_HINT};
use crate::memory::layout::participant::Role;
use crate::memory::region::{Control, Region, Spot};
use crate::waiting::eventcount::ASLEEP;

/// So many cells ahead of a short message that is received alone, the end of another is asked for.
const AHEAD: u64 = 3;

impl<R: Region> Consumer<R> {
    /// Sets the limit anew.
    pub(super) fn renew_limit(&mut self) {
        let cells = &self.member.cells;
        if cells.region.is_forked() {
            return;
        }
        let limit = match cells.contention.locked {
            true => 0,
            false => self.member.head + cells.count(),
        };
        self.limit.set(limit);
    }

    /// Copies the next message to the start of `buffer` in the usual case, and returns its length. `None` if it is another one; then
    /// nothing was done.
    #[inline(always)]
    pub(crate) fn recv_at_once(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let member = &mut self.member;
        let (cell, cells) = (member.cursor, &member.cells);
        if cell >= self.limit.get() || self.held.is_some() || member.corrupt {
            return None;
        }
        let (code, contention) = (cells.code, cells.contention);
        let control = cells.region.control();
        let place = cells.region.spot(cells.position(cell));
        // What `look` does: this word says all. Acquire pairs with the release of who committed the message.
        let full = code.one_cell(State::Full, cell);
        if place.load(Ordering::Acquire) != full || cells.head(Ordering::Relaxed) > cell {
            return None;
        }
        // SAFETY: the description lies behind the word in the same cell, and all of a cell lies before the end of the region.
        let behind = unsafe { place.behind(LEN_AT) };
        let described = behind.load(Ordering::Relaxed) & !DELIVERED_MASK;
        // Of what has more cells, or lies in a slab, this is no length that a cell has room for.
        let len = described ^ one_cell_of_len(0);
        if len > cells.room_in(1) {
            return None;
        }
        let target = buffer.get_mut(..len as usize)?;
        let taken = code.one_cell_of(State::Taken, member.me, cell);
        if !contention.take {
            // Release: as in `Cells::take`.
            place.store(taken, Ordering::Release);
        } else if !place.replace(full, taken) {
            return None;
        }
        member.cursor = cell + 1;
        // Release pairs with the acquire in `pass`.
        control.store64(TAKE_HINT, cell + 1, Ordering::Release);
        // The processor runs ahead to the next cells' words by itself, but not to where their messages end.
        let ahead = cells.position(cell + AHEAD) + 64;
        cells.region.prefetch(ahead, &mut 0);
        // SAFETY: the payload lies behind the description in the same cell, which has room for as many bytes.
        unsafe { behind.read(target) };
        if contention.own {
            // Others may have moved it, or taken us for dead.
            match self.free_run(cell, 1) {
                Ok(()) => self.freed(1, cell..cell + 1),
                Err(Corrupt) => self.member.corrupt = true,
            }
            return Some(len as usize);
        }
        // The acknowledgement. Release: as in `change_own`.
        let freed = code.one_cell(State::Free, cell + cells.count());
        place.store(freed, Ordering::Release);
        member.count(1);
        // What lies in one's own cache is cheap to pass; producers would have to fetch it.
        if (cell + 1).saturating_sub(member.head) >= member.cells.count() / 8 {
            self.pass_freed(cell);
        }
        let control = self.member.region().control();
        if control.may_have(SPACE_EVENT, ASLEEP) {
            self.member.notify(Role::Producer);
        }
        if control.may_have(DATA_EVENT, ASLEEP) {
            self.member.notify_of_end();
        }
        Some(len as usize)
    }

    /// Advances `HEAD` over what was freed, a cell of one's own last.
    #[cold]
    #[inline(never)]
    fn pass_freed(&mut self, cell: u64) {
        self.member.head = self.member.cells.advance_head_over(cell..cell + 1);
        self.renew_limit();
    }
}
