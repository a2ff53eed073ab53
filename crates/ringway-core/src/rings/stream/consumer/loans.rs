//! Messages that lie in a slab, and of which the ring carries the ticket.

use std::sync::atomic::Ordering;

use super::Consumer;
use crate::error::RecvError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::record::WORD;
use crate::memory::region::{Region, Unreachable};
use crate::rings::message::MessageRef;
use crate::rings::pool::{IN_SLAB, Loan, Pool};
use crate::rings::stream::PRODUCER;
use crate::waiting::eventcount;

impl<R: Region> Consumer<R> {
    /// The same consumer of a ring with slabs.
    pub(crate) fn with_pool(mut self, pool: Option<Box<Pool>>) -> Self {
        self.pool = pool;
        self
    }

    /// The message whose ticket lies at `position`, which the caller has acquired.
    #[cold]
    #[inline(never)]
    pub(super) fn find_loan(&mut self, position: u64) -> Result<MessageRef, RecvError> {
        let words = [0, 1].map(|nth| {
            let at = position + nth * WORD;
            self.region.load_word(at, Ordering::Relaxed)
        });
        let Some(pool) = &mut self.pool else {
            return Err(self.corrupted());
        };
        let Ok(loan) = pool.accept(&self.region, words) else {
            return Err(self.corrupted());
        };
        if !self.skips {
            match self.region.reach_slab(loan.at) {
                Ok(()) => {}
                Err(Unreachable::Os(errno)) => return Err(RecvError::Unmapped { errno }),
                Err(Unreachable::Corrupt) => return Err(self.corrupted()),
            }
        }
        pool.shown = Some(loan);
        self.loaned = self.loaned.saturating_add(loan.len);
        self.has_loans = true;
        self.limit.set(0);
        Ok(MessageRef {
            payload: position | IN_SLAB,
            len: loan.len as usize,
        })
    }

    /// Acknowledges the first message if it lies in a slab that cannot be read here; whether that was so.
    #[cold]
    pub(crate) fn skip_unreadable(&mut self) -> Result<bool, RecvError> {
        self.skips = true;
        let found = self.peek();
        let at = self.shown().map_or(0, |loan| loan.at);
        let skipped = found.map(|found| {
            let is_unreadable = found.is_loaned() && self.region.reach_slab(at).is_err();
            if is_unreadable {
                // The slab's word is the ring's, and is all that this needs.
                self.release(&found, 1);
            }
            is_unreadable
        });
        self.skips = false;
        skipped
    }

    /// The slab of the message that was shown last, if it lies in one.
    pub(crate) fn shown(&self) -> Option<Loan> {
        self.pool.as_ref().and_then(|pool| pool.shown)
    }

    /// Copies a message, out of its slab if it lies in one, to the start of `buffer` and releases it, if it fits.
    #[cold]
    #[inline(never)]
    pub(super) fn take_loan_into(
        &mut self,
        found: &MessageRef,
        buffer: &mut [u8],
    ) -> Result<usize, RecvError> {
        let Some(target) = buffer.get_mut(..found.len) else {
            return Err(RecvError::BufferTooSmall { len: found.len });
        };
        match self.shown().filter(|_| found.is_loaned()) {
            Some(loan) => self.region.read_slab(loan.at, target),
            None => self.region.read(found.payload, target),
        }
        self.release(found, 1);
        Ok(found.len)
    }

    /// Releases the first `messages` messages, of which some lie in slabs: one by one.
    #[cold]
    #[inline(never)]
    pub(super) fn release_loans(&mut self, messages: u64) {
        for _ in 0..messages {
            // Found again: what a backlog has shown need not fit anywhere here.
            let Ok(Some(found)) = self.find(self.head, self.received.number) else {
                self.corrupted();
                break;
            };
            let Ok(loan) = self.seize(&found) else { break };
            self.release_records(found.end(), 1);
            if let (Some(pool), Some(loan)) = (&self.pool, loan) {
                pool.free(&self.region, &loan);
                eventcount::announce(&self.region, PRODUCER.event);
            }
        }
        self.has_loans = false;
    }

    /// Acknowledges the first message, and keeps its slab, if it lies in one.
    pub(crate) fn detach(&mut self, found: &MessageRef) -> Result<Option<Loan>, RecvError> {
        if self.region.is_forked() {
            return Err(RecvError::Forked);
        }
        match self.seize(found) {
            Ok(loan) => {
                self.has_loans = false;
                self.release_records(found.end(), 1);
                self.renew_limit();
                Ok(loan)
            }
            Err(Corrupt) => Err(RecvError::Corrupt),
        }
    }

    /// Makes the slab of the message that was found last this consumer's own, if it lies in one.
    fn seize(&mut self, found: &MessageRef) -> Result<Option<Loan>, Corrupt> {
        if !found.is_loaned() {
            return Ok(None);
        }
        let (Some(pool), Some(loan)) = (&self.pool, self.shown()) else {
            return Ok(None);
        };
        let seized = pool.seize(&self.region, &loan);
        if seized.is_err() {
            self.corrupted();
        }
        seized.map(|()| Some(loan))
    }
}
