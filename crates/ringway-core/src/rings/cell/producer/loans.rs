//! Messages that are written into a slab, and of which the ring carries the ticket.

use std::time::Instant;

use super::Producer;
use crate::error::SendError;
use crate::memory::layout::participant::Role;
use crate::memory::region::Region;
use crate::rings::cell::member::Refused;
use crate::rings::pool::{Pool, SlabSender};
use crate::waiting::{WaitOptions, Waited};

impl<R: Region> Producer<R> {
    /// Claims cells for a message of `len` bytes, be it so long that a slab would be better for it.
    pub(crate) fn claim_to_copy(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<u64, SendError> {
        self.claim_up_to(self.max_len, len, wait)
    }

    /// Sends the first `len` bytes of the slab that was lent: commits its ticket, for which a cell is
    /// claimed.
    pub(crate) fn commit_loan(&mut self, len: u64) {
        // A child of `fork` may have inherited it. In its parent's ring it writes nothing.
        if self.member.region().is_forked() {
            return;
        }
        let member = &mut self.member;
        let Some(pool) = &mut member.pool else { return };
        let Some(mut loan) = pool.lent.take() else {
            return;
        };
        pool.end_lending(&member.cells.region, &mut loan);
        if let Some(run) = &mut self.claimed {
            let cells = &self.member.cells;
            cells.describe_loan(run.cell, loan.ticket(len));
            run.used = run.extent;
            run.first = run.extent;
            run.messages = 1;
            self.publish();
        }
    }
}

impl<R: Region> SlabSender for Producer<R> {
    type Region = R;

    fn slabs(&mut self) -> Option<(&mut Pool, &R)> {
        let member = &mut self.member;
        Some((member.pool.as_mut()?, &member.cells.region))
    }

    fn check_slab(&mut self, len: usize, longest: u64) -> Result<(), SendError> {
        self.check(len, longest)
    }

    fn why_full(&mut self) -> SendError {
        self.why_full()
    }

    fn corrupted(&mut self) -> SendError {
        self.corrupted()
    }

    fn reclaim_slabs(&mut self, _len: usize, deadline: Option<Instant>) -> Result<(), SendError> {
        self.member
            .reclaim(deadline)
            .map_err(|refused| match refused {
                Refused::TimedOut => SendError::TimedOut,
                Refused::Corrupt => self.corrupted(),
                Refused::Unsettled => SendError::Unsettled,
            })
    }

    fn wait_for_warm(&mut self, _len: usize, _wait: &WaitOptions) {
        // Others would take it.
    }

    fn wait_for_slab(&mut self, len: usize, wait: &WaitOptions) -> Result<(), SendError> {
        match self.member.block_for_slab(len as u64, wait) {
            Waited::Ready => Ok(()),
            Waited::TimedOut => Err(SendError::TimedOut),
            Waited::Forsaken => Err(SendError::Removed),
            Waited::Interrupted => Err(SendError::Interrupted),
            Waited::Armed => Err(SendError::Full),
        }
    }

    fn tell_of_free_slab(&self) {
        self.member.notify(Role::Producer);
    }

    fn limit_copies(&mut self) {
        let pool = self.member.pool.as_ref();
        let limit = pool.map_or(u64::MAX, |pool| pool.copy_limit as u64);
        self.longest = self.max_len.min(limit);
        self.short.set(match self.member.cells.contention.locked {
            true => 0,
            false => self.member.cells.room_in(1).min(self.longest) + 1,
        });
    }
}
