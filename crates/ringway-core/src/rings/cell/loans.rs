//! Slabs in a cell ring: what records refer to, and what the dead held.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Cells;
use super::member::{Member, Refused};
use super::walk::{Step, Walk};
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{CELL_HEADER, DELIVERED_MASK, LEN_AT, LOANED, State, Word};
use crate::memory::layout::participant::Role;
use crate::memory::layout::pool::{Holder, Ticket};
use crate::memory::region::{Load, Region};
use crate::rings::pool::{EveryNth, Pool, Referenced, SlabRef};
use crate::waiting::{Look, PeersEnd, WaitOptions, Waited};

impl<R: Region> Cells<R> {
    /// Writes that the record at `cell` is a message in a slab. Made visible by the release of its word.
    pub(super) fn describe_loan(&self, cell: u64, ticket: Ticket) {
        let store = |at, word| {
            let position = self.position(cell) + at;
            self.region.store_word(position, word, Ordering::Relaxed);
        };
        let [first, second] = ticket.encode();
        store(CELL_HEADER, first);
        store(CELL_HEADER + 8, second);
        store(LEN_AT, LOANED);
    }
}

impl<R: Load> Cells<R> {
    /// The ticket in the record at `cell`, if its message is in a slab. The caller has acquired its word.
    pub(super) fn ticket(&self, cell: u64) -> Option<[u64; 2]> {
        let load = |at| {
            let position = self.position(cell) + at;
            self.region.load_word(position, Ordering::Relaxed)
        };
        (load(LEN_AT) & !DELIVERED_MASK == LOANED)
            .then(|| [load(CELL_HEADER), load(CELL_HEADER + 8)])
    }

    /// The cells of the record at `cell`, which has at most `most`, wherever its message is. The caller has
    /// acquired its word.
    pub(super) fn extent_at(&self, cell: u64, most: u64) -> Result<u64, Corrupt> {
        match self.description(cell, most) {
            Ok(record) => Ok(record.extent.into()),
            Err(Corrupt) if most > 0 && self.ticket(cell).is_some() => Ok(1),
            Err(Corrupt) => Err(Corrupt),
        }
    }
}

impl<R: Region> Member<R> {
    /// The same participant of a ring with slabs.
    pub(crate) fn with_pool(mut self, pool: Option<Box<Pool>>) -> Self {
        self.pool = pool;
        self
    }

    /// Whether the holder of a slab is not there any more.
    fn is_gone(&self, holder: Holder) -> bool {
        self.outlook().is_holder_gone(self.region(), holder)
    }

    /// Puts in order what the dead left, and frees slabs that only they held.
    pub(super) fn reclaim(&mut self, deadline: Option<Instant>) -> Result<(), Refused> {
        let Some(pool) = &self.pool else {
            return Ok(());
        };
        if !self.is_blocked_by_the_dead()
            && !pool.is_held_by_the_gone(self.region(), |holder| self.is_gone(holder))
            && !pool.has_to_renew(self.region())
        {
            return Ok(());
        }
        self.enter(deadline)?;
        let repaired = self.repair_all();
        let reclaimed = repaired.is_ok() && self.reclaim_slabs();
        self.leave();
        match repaired {
            Err(Corrupt) => Err(self.refused()),
            Ok(()) if !reclaimed => Err(Refused::Unsettled),
            Ok(()) => Ok(()),
        }
    }

    /// Frees slabs that only the dead held. Their claims are aborted. `false`: the dead cannot be settled.
    #[must_use]
    pub(super) fn reclaim_slabs(&self) -> bool {
        if let Some(pool) = &self.pool {
            let is_gone = |holder| self.is_gone(holder);
            let settled = pool.reclaim(self.region(), is_gone, |named| {
                self.refers(named).unwrap_or(Referenced::Unclear)
            });
            // What took a while to be freed, others may sleep for who looked in between.
            self.notify(Role::Producer);
            return settled;
        }
        true
    }

    /// Whether a record that is not released refers to a slab whose holder is gone.
    fn refers(&self, named: &SlabRef) -> Result<Referenced, Corrupt> {
        let cells = &self.cells;
        // Each step goes on by a cell at least, or the word that was seen has changed.
        let mut walk = Walk::new(cells.most_looks()).start(self.settled_head());
        loop {
            let (word, stored) = match cells.step(&mut walk)? {
                Step::Record(word, stored) => (word, stored),
                Step::End => return Ok(Referenced::No),
                Step::Overtaken => {
                    walk = walk.start(self.settled_head());
                    continue;
                }
                Step::TooLong => return Ok(Referenced::Unclear),
            };
            let cell = walk.cell;
            let refers = match word.state {
                State::Full | State::Returned => {
                    cells.ticket(cell).is_some_and(|words| named.is_in(words))
                }
                State::Taken => match self.run_refers(cell, word, named) {
                    Ok(refers) => refers,
                    Err(Corrupt) if cells.load(cell) != stored => continue,
                    Err(Corrupt) => return Err(Corrupt),
                },
                // It could still commit, until it is aborted.
                State::Claimed if self.is_dead(word.owner) => return Ok(Referenced::Unclear),
                // Of a live one, who refers to what it holds itself; or done with.
                _ => false,
            };
            // What was read inside of a record was what it seemed if the record is still there.
            if cells.load(cell) != stored {
                continue;
            }
            if refers {
                return Ok(Referenced::Yes);
            }
            walk.pass(word);
        }
    }

    /// Whether one of the records that were taken together refers to a slab.
    fn run_refers(&self, cell: u64, run: Word, named: &SlabRef) -> Result<bool, Corrupt> {
        let mut refers = false;
        self.cells.visit_run(cell, run, |at| {
            let ticket = self.cells.ticket(at);
            refers = ticket.is_some_and(|words| named.is_in(words));
            refers
        })?;
        Ok(refers)
    }

    /// Advances `HEAD` until it is at a cell that is not done with, and returns it. All records that are not released
    /// start in the lap that begins there. (Where `HEAD` lags, that is not so: it points to cells that are done with, and
    /// these may hold the first records of the next lap already.)
    fn settled_head(&self) -> u64 {
        let mut head = self.cells.advance_head();
        for _ in 0..self.cells.count() {
            if !self.cells.is_done(head) {
                break;
            }
            head = self.cells.advance_head();
        }
        head
    }

    /// Waits for a free slab for a message of `len` bytes, as the options say.
    pub(super) fn block_for_slab(&mut self, len: u64, wait: &WaitOptions) -> Waited {
        let mut every_nth = EveryNth::default();
        wait.wait(self, PeersEnd::EndsIt, |member, look| {
            member.has_slab(len)
                || member.consumers_changed()
                || member.corrupt
                || every_nth.sharpen(look) == Look::Last
                    && (!member.awaits_withheld()
                        || member.reclaim(wait.deadline).is_err()
                        || member.has_slab(len))
        })
    }

    /// Makes sure that this participant is woken when there is something to reclaim that is withheld now.
    fn awaits_withheld(&self) -> bool {
        let pool = self.pool.as_ref();
        pool.is_none_or(|pool| pool.await_withheld(self.region(), |holder| self.is_gone(holder)))
    }

    fn has_slab(&self, len: u64) -> bool {
        let pool = self.pool.as_ref();
        pool.is_none_or(|pool| pool.has_free(self.region(), len))
    }
}
