//! What a consumer has taken: shown message by message, then acknowledged and freed, or given back.

use std::sync::atomic::Ordering;

use super::Consumer;
use crate::error::RecvError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{State, Word};
use crate::memory::layout::participant::{OVERWRITTEN, Role};
use crate::memory::region::{Region, Spot};
use crate::rings::cell::Seen;
use crate::rings::message::MessageRef;

/// Messages that this consumer has taken: one run, or several that lie one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Where the first run starts.
    pub(super) start: u64,
    /// Where the last run starts. Of those before it all messages were shown.
    pub(super) cell: u64,
    /// Cells of the last run.
    pub(super) extent: u64,
    /// The first cell of the next message to show.
    pub(super) next: u64,
    /// How many messages were shown.
    pub(super) shown: u64,
    /// Whether there may have been more to take when the last run was taken, because it was as long as was asked for. Only
    /// then it goes on behind it. If the run ended because nothing followed, it stops there, even if something
    /// has come since: who takes each message as it comes fetches lines that are still being written.
    pub(super) cut: bool,
}

impl<R: Region> Consumer<R> {
    /// The next of the messages that were taken, or one of up to `most` more that lay right behind them;
    /// `None` if there was none, or somebody else has it.
    #[inline]
    pub(crate) fn next_held(&mut self, most: u64) -> Result<Option<MessageRef>, RecvError> {
        match self.next_taken(most)? {
            Some(found) if found.is_loaned() => self.reach_loan(found).map(Some),
            found => Ok(found),
        }
    }

    #[inline]
    fn next_taken(&mut self, most: u64) -> Result<Option<MessageRef>, RecvError> {
        match self.show_next() {
            Ok(None) if most > 0 && self.held.is_some_and(|held| held.cut) => {}
            shown => return shown.map_err(|Corrupt| self.corrupted()),
        }
        self.enter(None)?;
        let more = self.take_behind(most);
        self.member.leave();
        more.map_err(|Corrupt| self.corrupted())
    }

    fn take_behind(&mut self, most: u64) -> Result<Option<MessageRef>, Corrupt> {
        let Some(held) = self.held else {
            return Ok(None);
        };
        if self.cells().contention.overwrite && held.next - held.start >= self.most_held() {
            return Ok(None);
        }
        match self.cells().look(held.next, self.member.head)? {
            Seen::Record(word, stored) if matches!(word.state, State::Full | State::Returned) => {
                self.seize(held.next, word, stored, most)
            }
            _ => Ok(None),
        }
    }

    /// The next of the messages that were taken; `None` if all were shown.
    pub(super) fn show_next(&mut self) -> Result<Option<MessageRef>, Corrupt> {
        match self.show_at_once() {
            None if self.is_shown() => Ok(None),
            None => self.show_loan(),
            found => Ok(found),
        }
    }

    /// Whether all that was taken was shown.
    fn is_shown(&self) -> bool {
        self.held
            .is_none_or(|held| held.next >= held.cell + held.extent)
    }

    /// Releases all that was taken, and shown: acknowledges it, frees its cells, and wakes producers that
    /// sleep. Returns how many messages that were; fewer than were shown if the ring turns out to be corrupt.
    #[inline]
    pub(crate) fn release(&mut self) -> u64 {
        let shown = self.held.map_or(0, |held| held.shown);
        match self.release_at_once() {
            true => shown,
            false => self.release_otherwise(),
        }
    }

    #[cold]
    #[inline(never)]
    fn release_otherwise(&mut self) -> u64 {
        let Some(held) = self.held.take() else {
            return 0;
        };
        if self.member.region().is_forked() {
            return 0;
        }
        let end = held.cell + held.extent;
        // All is shown that was taken, unless a run has more cells than its records.
        self.member.corrupt |= held.next != end;
        let freed = if self.has_loans {
            self.free_loans(held.start, end)
        } else {
            self.free_runs(held.start, end)
        };
        match freed {
            Ok(()) => {
                self.freed(held.shown, held.start..end);
                held.shown
            }
            Err(Corrupt) => {
                self.member.corrupt = true;
                0
            }
        }
    }

    /// Releases the first `messages` of those that were shown, each of which was taken by itself, and gives the
    /// others back. Who dies in between leaves taken runs, as ever.
    #[cold]
    pub(crate) fn release_first(&mut self, messages: u64) {
        if self.member.region().is_forked() {
            self.held = None;
            return;
        }
        match self.free_first(messages) {
            Ok(()) => self.give_back(),
            Err(Corrupt) => {
                self.held = None;
                self.member.corrupt = true;
            }
        }
    }

    fn free_first(&mut self, messages: u64) -> Result<(), Corrupt> {
        let Some(held) = self.held else { return Ok(()) };
        let (start, end) = (held.start, held.cell + held.extent);
        let mut cell = start;
        for _ in 0..messages.min(held.shown) {
            cell += self.own_run(cell, end)?;
        }
        if cell == start {
            return Ok(());
        }
        if self.has_loans {
            self.free_loans(start, cell)?;
        } else {
            self.free_runs(start, cell)?;
        }
        self.held = Some(Held {
            start: cell,
            ..held
        });
        self.freed(messages, start..cell);
        Ok(())
    }

    /// Frees the runs from `cell` to `end`.
    fn free_runs(&mut self, mut cell: u64, end: u64) -> Result<(), Corrupt> {
        while cell < end {
            let run = self.own_run(cell, end)?;
            self.free_run(cell, run)?;
            cell += run;
        }
        Ok(())
    }

    /// How many messages each of the runs has, and whether it was carried over. Of one who died, nothing that is so.
    #[cfg(any(all(test, not(loom)), feature = "verify"))]
    pub(crate) fn carried_over(&self) -> Vec<(u64, bool)> {
        let (mut runs, cells) = (Vec::new(), self.cells());
        let Some(held) = self.held else { return runs };
        let mut at = held.start;
        while at < held.cell + held.extent {
            let Some(word) = cells.code.decode(cells.load(at)) else {
                break;
            };
            let Ok(messages) = cells.records_in(at, word) else {
                break;
            };
            runs.push((messages, word.state == State::HeldOver));
            at += word.extent;
        }
        runs
    }

    /// The extent of this consumer's run at `cell`, which ends at `end` or before.
    pub(super) fn own_run(&self, cell: u64, end: u64) -> Result<u64, Corrupt> {
        let stored = self.cells().load(cell);
        let word = self.cells().code.decode(stored).ok_or(Corrupt)?;
        let taken = self.taken_word(cell, word.extent);
        let is_own = stored == self.cells().code.encode(taken)
            || self.cells().contention.overwrite
                && self.cells().follow(cell, taken, stored).is_some();
        (is_own && word.extent <= end - cell)
            .then_some(word.extent)
            .ok_or(Corrupt)
    }

    /// Acknowledges and frees a run. An error if somebody took us for dead.
    #[inline(always)]
    pub(super) fn free_run(&self, cell: u64, extent: u64) -> Result<(), Corrupt> {
        if self.cells().contention.own {
            return self.free_contended_run(cell, extent);
        }
        self.free_own_run(cell, extent);
        Ok(())
    }

    /// The same where nobody else may have changed its word.
    #[inline(always)]
    pub(super) fn free_own_run(&self, cell: u64, extent: u64) {
        let cells = self.cells();
        // The acknowledgement. Release pairs with the acquire in `load`: the payload has been read (C3).
        cells
            .spot(cell)
            .store(self.acknowledged(cell, extent), Ordering::Release);
        if extent > 1 {
            cells.free_cells(cell, extent);
        }
    }

    /// The same where others may have moved it, or taken us for dead.
    #[inline(never)]
    fn free_contended_run(&self, cell: u64, extent: u64) -> Result<(), Corrupt> {
        let cells = self.cells();
        let taken = self.taken_word(cell, extent);
        if cells.contention.overwrite {
            return cells.release_moved(cell, taken);
        }
        let seen = cells.code.encode(taken);
        if !cells.change_to(cell, seen, self.acknowledged(cell, extent)) {
            return Err(Corrupt);
        }
        if extent > 1 {
            cells.free_cells(cell, extent);
        }
        Ok(())
    }

    /// What becomes of a taken run's word when it is acknowledged. Where there is one cell, that frees it.
    #[inline(always)]
    fn acknowledged(&self, cell: u64, extent: u64) -> u64 {
        let cells = self.cells();
        match extent {
            1 => cells.code.nobodys(State::Free, cell + cells.count(), 1),
            _ => cells
                .code
                .owned(State::Freeing, self.member.me, cell, extent),
        }
    }

    #[inline]
    pub(super) fn taken_word(&self, cell: u64, extent: u64) -> Word {
        self.cells()
            .free(cell)
            .become_owned(State::Taken, self.member.me)
            .with_extent(extent)
    }

    /// Leaves what was taken to whoever comes next, this consumer first of all.
    #[cold]
    pub(crate) fn give_back(&mut self) {
        let Some(held) = self.held.take() else { return };
        if self.member.region().is_forked() {
            return;
        }
        if self.give_back_runs(&held).is_err() {
            self.member.corrupt = true;
        }
        self.member.cursor = self.member.cursor.min(held.start);
        self.member.announce_return(held.start);
    }

    /// Gives the only message that was taken back. The caller has shown it to nobody.
    #[cold]
    pub(super) fn give_back_unseen(&mut self) {
        if let Some(held) = &self.held
            && !self.member.region().is_forked()
        {
            self.cells().uncount_delivery(held.start);
        }
        self.give_back();
    }

    /// How often the message that was found, and is held, was delivered, with this time.
    pub(crate) fn deliveries(&self, found: &MessageRef) -> u32 {
        self.cells().deliveries(self.cells().cell_of(found))
    }

    /// What tells a message that was found from all others: the position of its cell.
    pub(crate) fn number(&self, found: &MessageRef) -> u64 {
        self.cells().cell_of(found)
    }

    /// Leaves the message that was shown last, and what lies behind it in its run, to whoever comes next. What was
    /// shown before it stays taken: the run is cut in front of it.
    ///
    /// The records behind the cut are marked first, when nobody looks inside the run. Who repairs after a death in
    /// between gives the whole run back, and leaves those alone.
    #[cold]
    pub(super) fn give_back_shown_last(&mut self) {
        let Some(mut held) = self.held else { return };
        // A message in a slab has one cell.
        let last = held.next - 1;
        if !self.member.region().is_forked() {
            self.cells().uncount_delivery(last);
        }
        if held.shown <= 1 {
            return self.give_back();
        }
        let end = held.cell + held.extent;
        let run = if last == held.cell {
            self.own_run(last, end).and_then(|run| {
                let taken = self.taken_word(last, run);
                let seen = self.cells().code.encode(taken);
                self.cells().give_back(last, taken, seen).map(drop)
            })
        } else {
            self.own_run(held.cell, end).and_then(|run| {
                self.cells().return_records(last, end)?;
                let seen = self.cells().code.encode(self.taken_word(held.cell, run));
                let cut = self.taken_word(held.cell, last - held.cell);
                let changed =
                    self.cells()
                        .change_own(held.cell, seen, self.cells().code.encode(cut));
                changed.then_some(()).ok_or(Corrupt)
            })
        };
        if let Err(Corrupt) = run {
            self.member.corrupt = true;
            return;
        }
        held.extent = last - held.cell;
        held.next = last;
        held.shown -= 1;
        // It is there to be taken.
        held.cut = true;
        self.held = Some(held);
        self.member.cursor = self.member.cursor.min(last);
        self.member.announce_return(last);
    }

    fn give_back_runs(&self, held: &Held) -> Result<(), Corrupt> {
        let (mut cell, end) = (held.start, held.cell + held.extent);
        while cell < end {
            let run = self.own_run(cell, end)?;
            let taken = self.taken_word(cell, run);
            let seen = self.cells().code.encode(taken);
            if !self.cells().give_back(cell, taken, seen)? && self.cells().contention.overwrite {
                // Producers have come round: there is no place for it among the newer ones.
                let messages = self.cells().records_in(cell, taken)?;
                self.cells().release_moved(cell, taken)?;
                self.member.add(OVERWRITTEN, messages);
                self.member.notify(Role::Producer);
            }
            cell += run;
        }
        Ok(())
    }
}
