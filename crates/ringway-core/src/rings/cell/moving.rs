//! Records that producers carry over into the next lap, because somebody holds them and the ring overwrites.
//!
//! Only the lap in the record's word changes: it keeps its cells, its payload and its owner. So in a ring that
//! overwrites, an owner may find its record in a later lap than that in which it knew it, and changes its word by
//! compare-and-swap.

use std::sync::atomic::Ordering;

use super::Cells;
use super::member::Member;
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{State, Word};
use crate::memory::region::{Load, Region};

/// So often an owner tries to change its word. Each time that it fails, all others have come round the whole ring
/// between two of its instructions.
const MOST_TRIES: u32 = 1 << 16;
/// So often it tries to free several cells. After that it leaves them to whoever needs them.
const MOST_FREEINGS: u32 = 3;

/// What stands at a cell where claiming may go on, in a ring that overwrites.
pub(super) enum Ahead {
    /// Nothing.
    Clear,
    /// A record of the lap before: its word, and the same as it is stored.
    Before(Word, u64),
    /// It was claimed in this lap, or is done with in it: its word.
    Passed(Word),
    /// `HEAD` has passed the cell; it may hold anything.
    Stale,
}

impl<R: Load> Cells<R> {
    /// Looks at a cell where claiming may go on.
    pub(super) fn look_ahead(&self, cell: u64) -> Result<Ahead, Corrupt> {
        let stored = self.load(cell);
        // Behind the load above: as in `look`.
        if self.head(Ordering::Relaxed) > cell {
            return Ok(Ahead::Stale);
        }
        let word = self.code.decode(stored).ok_or(Corrupt)?;
        if word.extent > self.to_end(cell) {
            return Err(Corrupt);
        }
        let lap = self.lap(cell);
        if self.is_of_lap(word, cell) {
            return Ok(match word.state {
                State::Free => Ahead::Clear,
                _ => Ahead::Passed(word),
            });
        }
        if self.is_done_with(word, cell) {
            return Ok(Ahead::Passed(word));
        }
        let before = lap.checked_sub(1).ok_or(Corrupt)?;
        if word.state == State::Free || !self.code.is_of_lap(word, before) {
            return Err(Corrupt);
        }
        Ok(Ahead::Before(word.in_lap(before), stored))
    }

    /// Where the record with `word`, at `cell`, is now, if `found` is what producers have made of its word. All of
    /// the word's lap is known.
    pub(super) fn follow(&self, cell: u64, word: Word, found: u64) -> Option<(u64, Word)> {
        let moved = self.code.decode(found)?;
        let cell = cell + self.code.laps_to(word, moved) * self.count();
        let expected = carried(word).in_lap(self.lap(cell));
        (self.code.encode(expected) == found).then_some((cell, expected))
    }
}

/// What the word of a record becomes when it is carried over, but for the lap.
fn carried(word: Word) -> Word {
    match word.state {
        State::Taken => word.become_owned(State::HeldOver, word.owner),
        _ => word,
    }
}

impl<R: Region> Cells<R> {
    /// Carries the record at `cell` over into the next lap. Whether it was done by this.
    pub(super) fn carry_over(&self, cell: u64, word: Word, stored: u64) -> bool {
        let to = carried(word).in_lap(self.lap(cell) + 1);
        // Also where there is a lock: the owner changes it without.
        self.region
            .replace_word(self.position(cell), stored, self.code.encode(to))
            .is_ok()
    }

    /// Changes the word of a record that the caller owns, and knew as `word` at `cell`, to what `becomes` makes of
    /// it where it is now. Returns where that is. An error if somebody took the caller for dead.
    pub(super) fn change_moved(
        &self,
        mut cell: u64,
        mut word: Word,
        mut becomes: impl FnMut(u64, Word) -> Result<Word, Corrupt>,
    ) -> Result<u64, Corrupt> {
        for _ in 0..MOST_TRIES {
            let to = self.code.encode(becomes(cell, word)?);
            let seen = self.code.encode(word);
            match self.region.replace_word(self.position(cell), seen, to) {
                Ok(()) => return Ok(cell),
                Err(found) => (cell, word) = self.follow(cell, word, found).ok_or(Corrupt)?,
            }
        }
        Err(Corrupt)
    }

    /// Acknowledges and frees what the caller has taken, and knew as `taken` at `cell`.
    pub(super) fn release_moved(&self, cell: u64, taken: Word) -> Result<(), Corrupt> {
        if taken.extent == 1 {
            let freed = self.change_moved(cell, taken, |cell, _| Ok(self.freed(cell)));
            return freed.map(drop);
        }
        let freeing = |word: Word| word.become_owned(State::Freeing, taken.owner);
        let cell = self.change_moved(cell, taken, |_, word| Ok(freeing(word)))?;
        self.free_moved(cell, freeing(taken).in_lap(self.lap(cell)))
    }

    /// Frees the cells of the caller's record at `cell`, whose word is `freeing`.
    pub(super) fn free_moved(&self, mut cell: u64, mut freeing: Word) -> Result<(), Corrupt> {
        for _ in 0..MOST_FREEINGS {
            // The first one last, so that who finds it free finds all free.
            for at in (cell + 1..cell + freeing.extent).rev() {
                let freed = self.code.encode(self.freed(at));
                self.region
                    .store_word(self.position(at), freed, Ordering::Release);
            }
            let seen = self.code.encode(freeing);
            let freed = self.code.encode(self.freed(cell));
            match self.region.replace_word(self.position(cell), seen, freed) {
                Ok(()) => return Ok(()),
                Err(found) => (cell, freeing) = self.follow(cell, freeing, found).ok_or(Corrupt)?,
            }
        }
        let aborted = |_, word: Word| Ok(word.become_nobodys(State::Aborted));
        self.change_moved(cell, freeing, aborted).map(drop)
    }

    /// Writes the words of the records that lie in `cells`, inside of a claimed run, anew for the lap of that.
    pub(super) fn lay_again(&self, mut at: u64, end: u64) -> Result<(), Corrupt> {
        while at < end {
            let word = self.code.decode(self.load(at)).ok_or(Corrupt)?;
            let laid = self.code.encode(word.in_lap(self.lap(at)));
            // Relaxed: made visible by the change of the run's word.
            self.region
                .store_word(self.position(at), laid, Ordering::Relaxed);
            at += word.extent;
        }
        (at == end).then_some(()).ok_or(Corrupt)
    }
}

impl<R: Region> Member<R> {
    /// Whether somebody who lives owns a record.
    pub(super) fn is_held(&self, word: Word) -> bool {
        word.state.is_owned() && !self.is_dead(word.owner)
    }

    /// Whether there are `extent` adjacent cells, in any place, that nobody holds. `true` as well if the ring changes
    /// too fast to tell.
    pub(super) fn has_place(&self, extent: u64) -> Result<bool, Corrupt> {
        let cells = &self.cells;
        let (head, count) = (cells.advance_head(), cells.count());
        let mut at = head;
        // Cells in a row that nobody holds, and those with which the walk began.
        let (mut row, mut first, mut longest) = (0, None, 0);
        while at < head + count && longest < extent {
            let word = match cells.look(at, head)? {
                super::Seen::Record(word, _) | super::Seen::Done(word) => word,
                super::Seen::Free => cells.free(at),
                super::Seen::Beyond | super::Seen::Stale => return Ok(true),
            };
            at += word.extent;
            let is_held = self.is_held(word);
            if !is_held {
                row += word.extent;
                longest = longest.max(row);
            }
            // No record goes on beyond the end of the ring.
            if is_held || cells.to_end(at) == count {
                first = first.or(Some(row));
                row = 0;
            }
        }
        // The walk ends where it began.
        Ok(longest.max(row + first.unwrap_or(0)) >= extent)
    }

    /// Whether nobody holds any of the `extent` cells from `cell` on, where claiming may go on.
    pub(super) fn is_place(&self, cell: u64, extent: u64) -> bool {
        let mut at = cell;
        while at < cell + extent {
            match self.cells.look_ahead(at) {
                Ok(Ahead::Clear) => at += 1,
                Ok(Ahead::Before(word, _)) if !self.is_held(word) => at += word.extent,
                _ => return false,
            }
        }
        extent <= self.cells.to_end(cell)
    }

    /// Where the first record is that a consumer holds though producers have come round; and its word as it is stored.
    pub(super) fn first_held_over(&self) -> Result<Option<(u64, u64)>, Corrupt> {
        use super::walk::{Step, Walk};
        let mut walk = Walk::new(self.cells.most_looks()).start(self.cells.advance_head());
        while let Step::Record(word, stored) = self.cells.step(&mut walk)? {
            if word.state == State::HeldOver {
                return Ok(Some((walk.cell, stored)));
            }
            walk.pass(word);
        }
        Ok(None)
    }
}
