//! Messages that lie in a slab, and of which the ring carries the ticket.

use super::{Consumer, MOST_AT_ONCE};
use crate::error::RecvError;
use crate::memory::layout::Corrupt;
use crate::memory::region::{Region, Unreachable};
use crate::rings::message::MessageRef;
use crate::rings::pool::{IN_SLAB, Loan};

/// The slabs of the records that were taken together.
struct Loans {
    loans: [Option<Loan>; MOST_AT_ONCE as usize],
    count: usize,
}

impl<R: Region> Consumer<R> {
    /// The next of the messages that were taken, if it lies in a slab.
    #[cold]
    #[inline(never)]
    pub(super) fn show_loan(&mut self) -> Result<Option<MessageRef>, Corrupt> {
        let shown = self.next_loan();
        self.member.corrupt |= shown.is_err();
        shown.map(Some)
    }

    fn next_loan(&mut self) -> Result<MessageRef, Corrupt> {
        let member = &mut self.member;
        let (Some(held), Some(pool)) = (&mut self.held, &mut member.pool) else {
            return Err(Corrupt);
        };
        let ticket = member.cells.ticket(held.next).ok_or(Corrupt)?;
        let loan = pool.accept(&member.cells.region, ticket)?;
        pool.shown = Some(loan);
        self.has_loans = true;
        let payload = member.cells.payload(held.next) | IN_SLAB;
        held.next += 1;
        held.shown += 1;
        Ok(MessageRef {
            payload,
            len: loan.len as usize,
        })
    }

    /// The message that is shown, which lies in a slab, if that can be read here; else it is given back, and what was
    /// shown before it is still held.
    #[cold]
    #[inline(never)]
    pub(super) fn reach_loan(&mut self, found: MessageRef) -> Result<MessageRef, RecvError> {
        if self.skips {
            return Ok(found);
        }
        let at = self.shown().map_or(0, |loan| loan.at);
        match self.member.region().reach_slab(at) {
            Ok(()) => Ok(found),
            Err(Unreachable::Os(errno)) => {
                self.give_back_shown_last();
                Err(RecvError::Unmapped { errno })
            }
            Err(Unreachable::Corrupt) => Err(self.corrupted()),
        }
    }

    /// Acknowledges the next message if it lies in a slab that cannot be read here; whether that was so.
    #[cold]
    pub(crate) fn skip_unreadable(&mut self) -> Result<bool, RecvError> {
        self.skips = true;
        let found = self.take(1, None);
        self.skips = false;
        let at = self.shown().map_or(0, |loan| loan.at);
        let is_unreadable = found?.is_loaned() && self.member.region().reach_slab(at).is_err();
        match is_unreadable {
            // The slab's word is the ring's, and is all that this needs.
            true => drop(self.release()),
            false => self.give_back_unseen(),
        }
        Ok(is_unreadable)
    }

    /// The slab of the message that was shown last, if it lies in one.
    pub(crate) fn shown(&self) -> Option<Loan> {
        self.member.pool.as_ref().and_then(|pool| pool.shown)
    }

    /// Copies the message that was shown last out of its slab.
    #[cold]
    pub(super) fn read_loan(&self, target: &mut [u8]) {
        if let Some(loan) = self.shown() {
            self.member.region().read_slab(loan.at, target);
        }
    }

    /// Acknowledges the message that was taken, and keeps its slab, if it lies in one.
    pub(crate) fn detach(&mut self, found: &MessageRef) -> Result<Option<Loan>, RecvError> {
        if self.member.region().is_forked() {
            return Err(RecvError::Forked);
        }
        let loan = self.shown().filter(|_| found.is_loaned());
        if let (Some(loan), Some(pool)) = (&loan, &self.member.pool) {
            let seized = pool.seize(self.member.region(), loan);
            seized.map_err(|Corrupt| self.corrupted())?;
        }
        self.has_loans = false;
        self.release();
        Ok(loan)
    }

    /// Frees the runs from `cell` to `end`, in which there are messages in slabs, and the slabs.
    #[cold]
    #[inline(never)]
    pub(super) fn free_loans(&mut self, mut cell: u64, end: u64) -> Result<(), Corrupt> {
        self.has_loans = false;
        while cell < end {
            let run = self.own_run(cell, end)?;
            let seized = self.seize_run(cell, run)?;
            self.free_run(cell, run)?;
            if let Some(pool) = &self.member.pool {
                // Whoever sleeps for a slab is woken with those who sleep for room.
                for loan in seized.loans.iter().take(seized.count).flatten() {
                    pool.free(self.member.region(), loan);
                }
            }
            cell += run;
        }
        Ok(())
    }

    /// Makes the slabs of a run of records this consumer's own.
    fn seize_run(&self, cell: u64, extent: u64) -> Result<Loans, Corrupt> {
        let mut seized = Loans {
            loans: [None; MOST_AT_ONCE as usize],
            count: 0,
        };
        let (mut at, end) = (cell, cell + extent);
        while at < end {
            if let (Some(ticket), Some(pool)) = (self.cells().ticket(at), &self.member.pool) {
                let loan = pool.accept(self.member.region(), ticket)?;
                pool.seize(self.member.region(), &loan)?;
                *seized.loans.get_mut(seized.count).ok_or(Corrupt)? = Some(loan);
                seized.count += 1;
            }
            at += self.cells().extent_at(at, end - at)?;
        }
        Ok(seized)
    }
}
