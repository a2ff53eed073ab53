//! The usual receive, straight on: the next record is full, and nothing stands against receiving.
//!
//! They make the same changes as a take and its release on the long way, in the same order, and look at all that these look at. A message of
//! one cell is received into a buffer in one go: between the take and the release nothing is written down of what was taken,
//! because nobody can ask for it.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::Ordering;

use bytemuck::{AnyBitPattern, NoUninit};

use super::{Consumer, Held};
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{DELIVERED_MASK, LEN_AT, State, described_as};
use crate::memory::layout::control::{DATA_EVENT, SPACE_EVENT, TAKE_HINT};
use crate::memory::layout::participant::Role;
use crate::memory::region::{Control, Region, Spot};
use crate::rings::message::MessageRef;
use crate::rings::pool::IN_SLAB;
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

    /// Copies the next message to the start of `buffer` in the usual case, if it has one cell, and returns its length. `None` if it is
    /// another one; then nothing was done.
    #[inline(always)]
    pub(crate) fn recv_at_once(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.recv_one(|len| buffer.get_mut(..len))
    }

    /// The same into a value, of which the message has just as many bytes. `false`: nothing was done; else `value` is initialised.
    #[inline(always)]
    pub(crate) fn recv_value_at_once<T: NoUninit + AnyBitPattern>(
        &mut self,
        value: &mut MaybeUninit<T>,
    ) -> bool {
        let bytes = bytemuck::bytes_of_mut(value.write(T::zeroed()));
        self.recv_one(|len| (len == bytes.len()).then_some(bytes))
            .is_some()
    }

    /// Copies the next message to where `place` says for its length, if it has one cell, and returns its length.
    #[inline(always)]
    fn recv_one<'a>(&mut self, place: impl FnOnce(usize) -> Option<&'a mut [u8]>) -> Option<usize> {
        let member = &mut self.member;
        let (cell, cells) = (member.cursor, &member.cells);
        if cell >= self.limit.get() || self.held.is_some() || member.corrupt {
            return None;
        }
        let (code, contention) = (cells.code, cells.contention);
        let control = cells.region.control();
        let spot = cells.spot(cell);
        // What `look` does: this word says all. Acquire pairs with the release of who committed the message (C2).
        let full = code.nobodys(State::Full, cell, 1);
        if spot.load(Ordering::Acquire) != full || cells.head(Ordering::Relaxed) > cell {
            return None;
        }
        // SAFETY: the description lies behind the word in the same cell, and all of a cell lies before the end of the region.
        let behind = unsafe { spot.behind(LEN_AT) };
        let described = behind.load(Ordering::Relaxed) & !DELIVERED_MASK;
        // Of what has more cells, or lies in a slab, this is no length that a cell has room for.
        let len = described ^ described_as(0, 1);
        if len > cells.room_in(1) {
            return None;
        }
        let target = place(len as usize)?;
        let taken = code.owned(State::Taken, member.me, cell, 1);
        if !contention.take {
            // Release: as in `Cells::take`.
            spot.store(taken, Ordering::Release);
        } else if !spot.replace(full, taken) {
            return None;
        }
        member.cursor = cell + 1;
        // Release pairs with the acquire in `pass` (C7).
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
        // The acknowledgement. Release: as in `free_own_run`.
        let freed = code.nobodys(State::Free, cell + cells.count(), 1);
        spot.store(freed, Ordering::Release);
        self.freed(1, cell..cell + 1);
        Some(len as usize)
    }

    /// Takes the next record in the usual case, and up to `most` (at least one) together with it. `None` if it is another case; then
    /// nothing was done.
    #[inline]
    pub(crate) fn take_at_once(&mut self, most: u64) -> Option<MessageRef> {
        let member = &self.member;
        let (cell, cells) = (member.cursor, &member.cells);
        if cell >= self.limit.get() || self.held.is_some() || member.corrupt {
            return None;
        }
        let place = cells.spot(cell);
        // What `look` does: this word says all. Acquire pairs with the release of who committed the message (C2).
        let stored = place.load(Ordering::Acquire);
        let first = cells.code.extent_if(stored, State::Full, cell)?;
        if cells.head(Ordering::Relaxed) > cell || first > cells.to_end(cell) {
            return None;
        }
        let len = cells.len_at(cell, first)?;
        let (extent, cut) = match most {
            1 => (first, true),
            _ => self.run_from(cell, first, stored, most),
        };
        let taken = cells.code.owned(State::Taken, member.me, cell, extent);
        if !cells.contention.take {
            // Release: as in `Cells::take`.
            place.store(taken, Ordering::Release);
        } else if !place.replace(stored, taken) {
            return None;
        }
        // No position comes so far as `IN_SLAB`, but what a peer makes of `HEAD` might.
        let payload = cells.payload(cell) & !IN_SLAB;
        self.point_behind(cell + extent);
        self.held = Some(Held {
            start: cell,
            cell,
            extent,
            next: cell + first,
            shown: 1,
            cut,
        });
        Some(MessageRef {
            payload,
            len: len as usize,
        })
    }

    /// The next of the messages that were taken together, if it lies in the ring. `None`: the long way has to be taken.
    #[inline(always)]
    pub(crate) fn show_at_once(&mut self) -> Option<MessageRef> {
        let held = self.held.as_mut()?;
        let left = (held.cell + held.extent).saturating_sub(held.next);
        if left == 0 {
            return None;
        }
        let cells = &self.member.cells;
        let described = cells.described(held.next) & !DELIVERED_MASK;
        let (len, extent) = (described & u64::from(u32::MAX), described >> 32);
        // What lies in a slab has no extent that is left.
        if extent.wrapping_sub(1) >= left || len > cells.room_in(extent) {
            return None;
        }
        let payload = cells.payload(held.next) & !IN_SLAB;
        held.next += extent;
        held.shown += 1;
        Some(MessageRef {
            payload,
            len: len as usize,
        })
    }

    /// Releases what was taken, if that is one run without slabs, all of it was shown, and nobody may have changed its word. `false` if it is
    /// not so; then nothing was done.
    #[inline]
    pub(crate) fn release_at_once(&mut self) -> bool {
        let Some(held) = self.held else { return false };
        let end = held.cell + held.extent;
        // In a child of `fork` there is no limit.
        if self.limit.get() == 0
            || self.has_loans
            || self.member.cells.contention.own
            || held.start != held.cell
            || held.next != end
        {
            return false;
        }
        self.held = None;
        self.free_own_run(held.cell, held.extent);
        self.freed(held.shown, held.cell..end);
        true
    }

    /// Counts messages that were freed, which had these cells, and tells the others.
    #[inline(always)]
    pub(super) fn freed(&mut self, messages: u64, cells: Range<u64>) {
        let member = &mut self.member;
        member.count(messages);
        // What lies in one's own cache is cheap to pass; producers would have to fetch it.
        let passed = member.cursor.saturating_sub(member.head);
        if messages > 1 || passed >= member.cells.count() / 8 {
            self.pass_freed(cells);
        }
        let control = self.member.region().control();
        if control.may_have(SPACE_EVENT, ASLEEP) {
            self.member.notify(Role::Producer);
        }
        if control.may_have(DATA_EVENT, ASLEEP) {
            self.member.notify_of_end();
        }
    }

    /// Advances `HEAD` over what was freed.
    #[cold]
    #[inline(never)]
    fn pass_freed(&mut self, freed: Range<u64>) {
        let cells = &self.member.cells;
        self.member.head = match cells.contention.overwrite {
            // The cells may have been carried over.
            true => cells.advance_head(),
            false => cells.advance_head_over(freed),
        };
        self.renew_limit();
    }
}
