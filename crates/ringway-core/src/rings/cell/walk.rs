//! The walk over the records of a cell ring that are not done with: of who repairs or looks for a slab's record, and of
//! who only looks.

use super::{Cells, Contention, MOST_HEAD, Seen};
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{State, Word};
use crate::memory::layout::control::HEAD;
use crate::memory::region::Load;
use std::sync::atomic::Ordering;

/// Where a walk is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// The cell to look at next: a record's first, or where one will be.
    pub(super) cell: u64,
    /// A value that `HEAD` has had.
    head: u64,
    /// How many more looks it may take.
    looks: u64,
}

/// What a walk comes to.
pub(super) enum Step {
    /// The record at the walk's cell: its word, and the same as it is stored.
    Record(Word, u64),
    /// Nothing is claimed behind.
    End,
    /// `HEAD` has passed the cell.
    Overtaken,
    /// That were all looks.
    TooLong,
}

impl Walk {
    /// A walk of at most so many looks.
    pub(super) fn new(looks: u64) -> Self {
        let (cell, head) = (0, 0);
        Self { cell, head, looks }
    }

    /// Goes to `head`, a value that `HEAD` has had.
    pub(super) fn start(mut self, head: u64) -> Self {
        (self.cell, self.head) = (head, head);
        self
    }

    /// Goes on behind the record that was found.
    pub(super) fn pass(&mut self, word: Word) {
        self.cell += word.extent;
    }
}

impl<R: Load> Cells<R> {
    /// Looks for the next record, over cells that are done with.
    pub(super) fn step(&self, walk: &mut Walk) -> Result<Step, Corrupt> {
        while walk.looks > 0 {
            walk.looks -= 1;
            match self.look(walk.cell, walk.head)? {
                Seen::Done(word) => walk.cell += word.extent,
                Seen::Record(word, stored) => return Ok(Step::Record(word, stored)),
                Seen::Free | Seen::Beyond => return Ok(Step::End),
                Seen::Stale => return Ok(Step::Overtaken),
            }
        }
        Ok(Step::TooLong)
    }

    /// Calls `visit` with the first cell of each of the records that were taken together, the run at `cell`, until
    /// that says that it has seen enough. What is told counts only if the run's word is the same afterwards.
    pub(super) fn visit_run(
        &self,
        cell: u64,
        run: Word,
        mut visit: impl FnMut(u64) -> bool,
    ) -> Result<(), Corrupt> {
        let (mut at, end) = (cell, cell + run.extent);
        while at < end && !visit(at) {
            at += self.extent_at(at, end - at)?;
        }
        Ok(())
    }
}

impl<R: Load> Cells<R> {
    /// How many records were taken together, as the run at `cell`. It counts only if the run's word is the same
    /// afterwards.
    pub(super) fn records_in(&self, cell: u64, run: Word) -> Result<u64, Corrupt> {
        let mut records = 0;
        self.visit_run(cell, run, |_| {
            records += 1;
            false
        })?;
        Ok(records)
    }
}

/// What an observer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Cells of records that are not done with.
    pub(crate) cells: u64,
    /// Messages that are committed and not released, those that the dead had taken included.
    pub(crate) messages: u64,
}

/// Counts what lies in the ring in `region`, with at most so many looks. What was counted, whether that were all, and
/// whether what came then contradicts itself (or was changed too often meanwhile).
pub(crate) fn tally<R: Load>(
    region: R,
    cell_len: u32,
    key: u64,
    looks: u64,
) -> (Tally, Result<bool, Corrupt>) {
    let cells = Cells::new(region, cell_len, key, Contention::OF_OBSERVERS);
    let mut tally = Tally::default();
    let end = cells.count_into(&mut tally, looks);
    tally.cells = tally.cells.min(cells.count());
    (tally, end)
}

impl<R: Load> Cells<R> {
    /// Whether that were all.
    fn count_into(&self, tally: &mut Tally, looks: u64) -> Result<bool, Corrupt> {
        let mut walk = Walk::new(looks).start(self.observed_head()?);
        loop {
            let (word, stored) = match self.step(&mut walk)? {
                Step::Record(word, stored) => (word, stored),
                Step::End => return Ok(true),
                Step::Overtaken => {
                    *tally = Tally::default();
                    walk = walk.start(self.observed_head()?);
                    continue;
                }
                Step::TooLong => return Ok(false),
            };
            let mut messages = 0;
            match word.state {
                State::Full | State::Returned => messages = 1,
                State::Taken => self.visit_run(walk.cell, word, |_| {
                    messages += 1;
                    walk.looks = walk.looks.saturating_sub(1);
                    false
                })?,
                // Never committed, or acknowledged.
                State::Free | State::Claimed | State::Aborted | State::Freeing => {}
                // It will not be delivered again.
                State::HeldOver => {}
            }
            // What was read inside of a record was what it seemed if the record is still there.
            if self.load(walk.cell) == stored {
                tally.messages += messages;
                tally.cells += word.extent;
                walk.pass(word);
            }
        }
    }

    fn observed_head(&self) -> Result<u64, Corrupt> {
        let head = self.region.load64(HEAD, Ordering::Acquire);
        if head > MOST_HEAD {
            return Err(Corrupt);
        }
        Ok(head)
    }
}
