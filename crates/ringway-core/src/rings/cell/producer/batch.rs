//! Batches: many messages in one claim.

use std::sync::atomic::Ordering;

use super::{Producer, Run};
use crate::error::SendError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::State;
use crate::memory::region::{Region, Spot};

/// The first batch claims room for so many messages like its first one.
const FIRST_BATCH: u64 = 8;

impl<R: Region> Producer<R> {
    /// Lays a message into the batch that is claimed, which is claimed first if there is none.
    #[inline]
    pub(crate) fn push(&mut self, message: &[u8]) -> Result<(), SendError> {
        if self.push_at_once(message) {
            return Ok(());
        }
        self.push_otherwise(message)
    }

    #[cold]
    #[inline(never)]
    fn push_otherwise(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.claim_more(message.len())?;
        match self.push_at_once(message) {
            true => Ok(()),
            false => Err(SendError::Full),
        }
    }

    /// Claims cells for a batch's first message, or for one that does not fit the run that is claimed.
    fn claim_more(&mut self, len: usize) -> Result<(), SendError> {
        let extent = self.cells().extent_of(len as u64);
        let run = match self.claimed {
            Some(run) => self.grow(run, len)?,
            None => {
                self.check(len, self.max_len)?;
                let guess = match self.batch {
                    // Nothing is overwritten for what may not be needed.
                    _ if self.overwrite => extent,
                    0 => FIRST_BATCH * extent,
                    cells => cells,
                };
                self.claim_run_for(guess, extent)?
            }
        };
        self.claimed = Some(run);
        Ok(())
    }

    /// Claims `guess` cells, or at least `extent`.
    fn claim_run_for(&mut self, guess: u64, extent: u64) -> Result<Run, SendError> {
        let most = self.cells().max_extent() / 2;
        let guess = guess.min(most).max(extent);
        match self.claim_run(extent, guess, None) {
            // So many would have begun in the next lap.
            Err(SendError::Full | SendError::Unsettled) if guess > extent => {
                let run = self.claim_run(extent, extent, None)?;
                Ok(Run { short: true, ..run })
            }
            claimed => claimed,
        }
    }

    /// Moves the batch to a longer run, for a message of `len` bytes behind what is there.
    #[cold]
    fn grow(&mut self, run: Run, len: usize) -> Result<Run, SendError> {
        self.claimed = None;
        let grown = self.check(len, self.max_len).and_then(|()| {
            let needed = run.used + self.cells().extent_of(len as u64);
            // The ring was full behind a short one.
            if run.short || needed > self.cells().max_extent() {
                return Err(SendError::Full);
            }
            let guess = if self.overwrite { needed } else { 2 * needed };
            self.claim_run_for(guess, needed)
        });
        let new = match grown {
            Ok(new) => new,
            Err(error) => {
                self.claimed = Some(run);
                return Err(error);
            }
        };
        let moved = self.move_records(&run, &new);
        self.claimed = Some(run);
        self.abort();
        self.claimed = Some(new);
        if moved.is_err() {
            self.abort();
            return Err(self.corrupted());
        }
        let moved = Run {
            used: run.used,
            first: run.first,
            messages: run.messages,
            ..new
        };
        self.claimed = Some(moved);
        Ok(moved)
    }

    fn move_records(&self, from: &Run, to: &Run) -> Result<(), Corrupt> {
        let mut buffer = [0; 256];
        let mut at = 0;
        while at < from.used {
            let record = self.cells().description(from.cell + at, from.used - at)?;
            let (len, extent) = (record.len as usize, u64::from(record.extent));
            self.cells().cover(to.cell + at, extent);
            self.cells().describe(to.cell + at, len as u64, extent);
            if at > 0 {
                self.lay_word(to.cell + at, State::Full, extent);
            }
            let source = self.cells().payload(from.cell + at);
            let target = self.cells().payload(to.cell + at);
            for start in (0..len).step_by(buffer.len()) {
                let part = &mut buffer[..(len - start).min(256)];
                self.member.region().read(source + start as u64, part);
                self.member.region().write(target + start as u64, part);
            }
            at += extent;
        }
        Ok(())
    }

    /// Writes the word of a record inside the claimed run. Made visible by the change of the run's word.
    #[inline]
    fn lay_word(&self, cell: u64, state: State, extent: u64) {
        let stored = self.cells().code.nobodys(state, cell, extent);
        // Relaxed: see above.
        self.cells().spot(cell).store(stored, Ordering::Relaxed);
    }

    /// Commits the batch; returns how many messages it had.
    #[inline]
    pub(crate) fn commit_batch(&mut self) -> u64 {
        self.disown();
        let Some(run) = self.claimed else { return 0 };
        if run.messages == 0 {
            self.abort();
            return 0;
        }
        if run.used < run.extent {
            self.lay_word(run.cell + run.used, State::Aborted, run.extent - run.used);
        }
        // The next batch claims as many cells as this one used. But if this one got fewer than it asked for, it may have
        // ended for want of cells, and tells only that so many at least are needed.
        if !run.short || run.used > self.batch {
            self.batch = run.used;
        }
        self.publish();
        run.messages
    }
}
