//! Messages that are written into a slab, and of which the ring carries the ticket.

use std::time::Instant;

use super::Producer;
use crate::error::SendError;
use crate::memory::layout::participant::Role;
use crate::memory::region::{Region, Unreachable};
use crate::rings::cell::member::Refused;
use crate::waiting::{WaitOptions, Waited};

impl<R: Region> Producer<R> {
    /// Messages of more than so many bytes go into a slab.
    pub(crate) fn set_copy_limit(&mut self, bytes: usize) {
        if let Some(pool) = &mut self.member.pool {
            pool.copy_limit = bytes;
            self.limit_copies();
        }
    }

    pub(super) fn limit_copies(&mut self) {
        let pool = self.member.pool.as_ref();
        let limit = pool.map_or(u64::MAX, |pool| pool.copy_limit as u64);
        self.longest = self.max_len.min(limit);
        self.one_cell = if self.member.cells.contention.locked {
            0
        } else {
            self.member.cells.room_in(1).min(self.longest) as usize
        };
    }

    /// Claims cells for a message of `len` bytes, be it so long that a slab would be better for it.
    pub(crate) fn claim_to_copy(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<u64, SendError> {
        self.claim_up_to(self.max_len, len, wait)
    }

    /// Takes a slab for a message of `len` bytes; [`Pool::lent`](crate::rings::pool::Pool::lent) then is where it goes.
    pub(crate) fn lend(&mut self, len: usize, wait: Option<&WaitOptions>) -> Result<(), SendError> {
        let Some(wait) = wait else {
            return self.lend_before(len, None);
        };
        loop {
            match self.lend_before(len, wait.deadline) {
                Err(SendError::Full) => match self.member.block_for_slab(len as u64, wait) {
                    Waited::Ready => {}
                    Waited::TimedOut => return Err(SendError::TimedOut),
                    Waited::Forsaken => return Err(SendError::Removed),
                },
                done => return done,
            }
        }
    }

    fn lend_before(&mut self, len: usize, deadline: Option<Instant>) -> Result<(), SendError> {
        self.give_back();
        let pool = self.member.pool.as_ref();
        self.check(len, pool.map_or(0, |pool| pool.longest()))?;
        if self.try_take_slab(len)? {
            return Ok(());
        }
        // Judged before the look for what the dead held, so that nothing of theirs is missed.
        let refusal = self.why_full();
        match self.member.reclaim(deadline) {
            Ok(()) => match self.try_take_slab(len)? {
                true => Ok(()),
                false => Err(refusal),
            },
            Err(Refused::TimedOut) => Err(SendError::TimedOut),
            Err(Refused::Corrupt) => Err(self.corrupted()),
            Err(Refused::Unsettled) => Err(SendError::Unsettled),
        }
    }

    fn try_take_slab(&mut self, len: usize) -> Result<bool, SendError> {
        let member = &mut self.member;
        let Some(pool) = &mut member.pool else {
            return Ok(false);
        };
        pool.lent = pool.take(&member.cells.region, len as u64);
        let Some(loan) = pool.lent else {
            return Ok(false);
        };
        let reached = member.cells.region.reach_slab(loan.at);
        reached.map(|()| true).map_err(|unreachable| {
            self.give_back();
            match unreachable {
                Unreachable::Os(errno) => SendError::Unmapped { errno },
                Unreachable::Corrupt => self.corrupted(),
            }
        })
    }

    /// Gives up the slab that was lent and not sent.
    pub(crate) fn give_back(&mut self) {
        let member = &mut self.member;
        if let Some(pool) = &mut member.pool
            && let Some(loan) = pool.lent.take()
            && !member.cells.region.is_forked()
        {
            pool.free(&member.cells.region, &loan);
            member.notify(Role::Producer);
        }
    }

    /// Sends the first `len` bytes of the slab that was lent: commits its ticket, for which a cell is
    /// claimed.
    pub(crate) fn commit_loan(&mut self, len: u64) {
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
