//! Claims in a ring that overwrites: nobody is waited for.
//!
//! The cell at which claiming goes on may still hold a record of the lap before, which is the oldest there is. If
//! nobody holds it, it is discarded; if somebody does, it is carried over, and claiming goes on behind it. (A single
//! cell is taken over by one change, from the discarded message to the claim.) Before anything is discarded, there
//! must be a place: enough adjacent cells that nobody holds.

use std::sync::atomic::Ordering;

use super::Producer;
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{State, Word};
use crate::memory::layout::control::CLAIM_HINT;
use crate::memory::layout::participant::{OVERWRITTEN, Role};
use crate::memory::region::Region;
use crate::rings::cell::moving::Ahead;

impl<R: Region> Producer<R> {
    /// Claims `extent` adjacent cells; returns the first. `None` if the living hold so much that there is no place.
    pub(super) fn claim_over(&mut self, extent: u64) -> Result<Option<u64>, Corrupt> {
        self.member.wants = 0;
        let mut has_place = false;
        // Each step makes room, or goes on by a cell at least, or others have done so meanwhile. Within two laps there is
        // a place if there is one at all.
        for _ in 0..self.cells().most_looks() {
            let cell = self.member.cursor;
            let wanted = extent.min(self.cells().to_end(cell));
            let Some((clear, ahead)) = self.clear_from(cell, wanted)? else {
                continue;
            };
            if clear == extent {
                let claimed = self.cells().free(cell).with_extent(extent);
                if self.claim_clear(cell, claimed.become_owned(State::Claimed, self.member.me)) {
                    // Orders the HEAD by which this was claimed ahead of the payload: see `Cells::look`.
                    self.member.region().claim_fence();
                    return Ok(Some(cell));
                }
                continue;
            }
            match ahead {
                Ahead::Stale => {
                    self.member.cursor = self.cells().head(Ordering::Acquire);
                    continue;
                }
                Ahead::Passed(word) if clear == 0 => {
                    self.go_behind(cell + word.extent);
                    continue;
                }
                // The oldest message gives its cell at once.
                Ahead::Before(word, stored) if extent == 1 && is_in_one_cell(word) => {
                    if self.take_over(cell, word, stored) {
                        return Ok(Some(cell));
                    }
                    continue;
                }
                _ => {}
            }
            has_place =
                has_place || self.member.is_place(cell, extent) || self.member.has_place(extent)?;
            if !has_place {
                break;
            }
            let at = cell + clear;
            match ahead {
                Ahead::Before(word, stored) if !self.member.is_held(word) => {
                    self.discard(at, word, stored)?;
                }
                // What is free before it is too short.
                _ if clear > 0 => {
                    let padding = self.cells().free(cell).with_extent(clear);
                    self.claim_clear(cell, padding.become_nobodys(State::Aborted));
                }
                Ahead::Before(word, stored) => self.carry_over(at, word, stored),
                Ahead::Clear | Ahead::Passed(_) | Ahead::Stale => {}
            }
        }
        // What it waits for, if it waits.
        self.member.wants = extent as u32;
        self.member.clear_head()?;
        Ok(None)
    }

    /// How many cells from `cell` on, up to `wanted`, are clear, and what stands behind them. `None` if the first one
    /// has been claimed meanwhile.
    fn clear_from(&self, cell: u64, wanted: u64) -> Result<Option<(u64, Ahead)>, Corrupt> {
        for clear in 0..wanted {
            match self.cells().look_ahead(cell + clear) {
                Ok(Ahead::Clear) => {}
                Ok(ahead) => return Ok(Some((clear, ahead))),
                // The payload of who has claimed it.
                Err(Corrupt)
                    if clear > 0 && self.cells().load(cell) != self.cells().free_word(cell) =>
                {
                    return Ok(None);
                }
                Err(Corrupt) => return Err(Corrupt),
            }
        }
        Ok(Some((wanted, Ahead::Clear)))
    }

    /// Claims cells that are clear. `false` if somebody was faster, or `HEAD` has to go on first.
    fn claim_clear(&mut self, cell: u64, to: Word) -> bool {
        let end = cell + to.extent;
        // The word of a single cell says all.
        if to.extent > 1 && !self.is_within_lap(end - 1) {
            return false;
        }
        let free = self.cells().free_word(cell);
        let claimed = self.cells().change(cell, free, to);
        if claimed {
            self.point_behind(end);
        }
        claimed
    }

    /// Whether `HEAD` is less than a lap behind a cell; it is advanced if not.
    fn is_within_lap(&mut self, cell: u64) -> bool {
        if cell < self.member.head + self.cells().count() {
            return true;
        }
        self.member.head = self.cells().advance_head();
        cell < self.member.head + self.cells().count()
    }

    /// Takes a cell over from a record of the lap before, which nobody has and which has no other. Whether it was.
    fn take_over(&mut self, cell: u64, word: Word, stored: u64) -> bool {
        // Nobody sees what is beyond a lap from `HEAD`.
        if !self.is_within_lap(cell - self.cells().count()) {
            return false;
        }
        let claimed = self.cells().free(cell);
        let claimed = claimed.become_owned(State::Claimed, self.member.me);
        if !self.cells().change(cell, stored, claimed) {
            return false;
        }
        self.point_behind(cell + 1);
        if word.state != State::Aborted {
            self.count_overwritten();
        }
        true
    }

    /// Frees a record of the lap before, at `cell` in this one, that nobody alive holds; or gives it back if it was a
    /// dead one's.
    fn discard(&mut self, cell: u64, word: Word, stored: u64) -> Result<(), Corrupt> {
        let before = cell - self.cells().count();
        if !self.is_within_lap(before) {
            return Ok(());
        }
        match word.state {
            State::Full | State::Returned => {
                if self.member.free_unread(before, word, stored) {
                    self.count_overwritten();
                }
            }
            _ => drop(self.member.repair(before, word, stored)?),
        }
        Ok(())
    }

    /// Leaves a record of the lap before, at `cell` in this one, to who holds it.
    fn carry_over(&mut self, cell: u64, word: Word, stored: u64) {
        let before = cell - self.cells().count();
        if self.is_within_lap(before) && self.cells().carry_over(before, word, stored) {
            self.point_behind(cell + word.extent);
            if word.state == State::Claimed {
                // They waited for it, and what lies behind it can be taken now.
                self.member.notify(Role::Consumer);
            }
        }
    }

    /// Makes a claimed run visible, whose first record has `first` cells, wherever it is now. Returns where.
    #[cold]
    pub(super) fn show_moved(&self, cell: u64, claimed: Word, first: u64) -> Result<u64, Corrupt> {
        let cells = self.cells();
        cells.change_moved(cell, claimed, |at, word| {
            if at != cell {
                cells.lay_again(at + first, at + word.extent)?;
            }
            Ok(word.become_nobodys(State::Full).with_extent(first))
        })
    }

    /// Gives a claimed run up, wherever it is now.
    #[cold]
    pub(super) fn abort_moved(&mut self, cell: u64, claimed: Word) {
        let aborted = |_, word: Word| Ok(word.become_nobodys(State::Aborted));
        let aborted = self.cells().change_moved(cell, claimed, aborted);
        self.member.corrupt |= aborted.is_err();
    }

    /// Where the claimed run is now.
    #[cfg(any(all(test, not(loom)), feature = "verify"))]
    pub(crate) fn claimed_at(&self) -> Option<u64> {
        let run = self.claimed.as_ref()?;
        let word = self.claimed_word(run.cell, run.extent);
        let found = self.cells().load(run.cell);
        self.cells()
            .follow(run.cell, word, found)
            .map(|(cell, _)| cell)
    }

    fn count_overwritten(&mut self) {
        self.overwritten += 1;
        self.member.add(OVERWRITTEN, 1);
    }

    /// Goes on to `cell`, before which all is claimed or done with, or to where others have gone on.
    fn go_behind(&mut self, cell: u64) {
        // Acquire pairs with the release in `replace64`: cells before it are done with (C4).
        self.member.head = self.cells().head(Ordering::Acquire);
        // A hint, believed only if it lies ahead and not too far. Acquire pairs with the release in `point_behind` and
        // `send_at_once`: this jumps over cells, and who goes on there has to see that they are done with.
        let hint = self.member.region().load64(CLAIM_HINT, Ordering::Acquire);
        let most = self.member.head + 2 * self.cells().count();
        self.member.cursor = if (cell..=most).contains(&hint) {
            hint
        } else {
            cell
        };
    }

    /// Goes on to `cell`, and gives others the hint.
    fn point_behind(&mut self, cell: u64) {
        self.member.cursor = cell;
        // Release pairs with the acquire in `go_behind`.
        self.member
            .region()
            .store64(CLAIM_HINT, cell, Ordering::Release);
    }
}

/// Whether nobody has this record, and it has one cell.
fn is_in_one_cell(word: Word) -> bool {
    word.extent == 1 && !word.state.is_owned()
}
