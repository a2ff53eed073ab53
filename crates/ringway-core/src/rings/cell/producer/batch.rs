//! Batches: many messages in one claim.

use std::sync::atomic::Ordering;

use super::{Producer, Run};
use crate::error::SendError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::State;
use crate::memory::region::Region;

/// The first batch claims room for so many messages like its first one.
const FIRST_BATCH: u64 = 8;

/// So many cells ahead of the one that is written, their lines are asked for.
const AHEAD: u64 = 8;

impl<R: Region> Producer<R> {
    /// Lays a message into the batch that is claimed, which is claimed first if there is none.
    #[inline]
    pub(crate) fn push(&mut self, message: &[u8]) -> Result<(), SendError> {
        let extent = self.cells().extent_of(message.len() as u64);
        let run = match self.claimed {
            Some(run) if run.used + extent <= run.extent && !self.member.region().is_forked() => {
                run
            }
            claimed => self.claim_more(claimed, message.len(), extent)?,
        };
        let cell = run.cell + run.used;
        // A message takes two lines or more, and few stores wait at a time for lines from the consumers.
        if run.used + AHEAD < run.extent {
            let ahead = self.cells().position(cell + AHEAD);
            self.member.region().prefetch_to_write(ahead);
            self.member.region().prefetch_to_write(ahead + 64);
        }
        self.cells().cover(cell, extent);
        self.cells().describe(cell, message.len() as u64, extent);
        let payload = self.cells().payload(cell);
        self.member.region().write(payload, message);
        if run.messages > 0 {
            self.lay_word(cell, State::Full, extent);
        }
        if let Some(run) = &mut self.claimed {
            if run.messages == 0 {
                run.first = extent;
            }
            run.used += extent;
            run.messages += 1;
        }
        Ok(())
    }

    /// Claims cells for a batch's first message, or for one that does not fit the `claimed` run.
    #[cold]
    #[inline(never)]
    fn claim_more(
        &mut self,
        claimed: Option<Run>,
        len: usize,
        extent: u64,
    ) -> Result<Run, SendError> {
        let run = match claimed {
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
        Ok(run)
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
        let word = self
            .cells()
            .free(cell)
            .become_nobodys(state)
            .with_extent(extent);
        let position = self.cells().position(cell);
        let stored = self.cells().code.encode(word);
        // Relaxed: see above.
        self.member
            .region()
            .store_word(position, stored, Ordering::Relaxed);
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
