//! Messages that lie in a slab, and of which the ring carries the ticket.

use std::sync::atomic::Ordering;

use super::Consumer;
use crate::error::RecvError;
use crate::memory::layout::record::WORD;
use crate::memory::region::{Region, Unreachable};
use crate::rings::message::MessageRef;
use crate::rings::pool::{IN_SLAB, Loan, Pool};

impl<R: Region> Consumer<R> {
    /// The same consumer of a ring with slabs.
    pub(crate) fn with_pool(mut self, pool: Option<Box<Pool>>) -> Self {
        self.pool = pool;
        self
    }

    /// The slab of the message that was found last, if it lies in one.
    pub(crate) fn shown(&self) -> Option<Loan> {
        self.pool.as_ref().and_then(|pool| pool.shown)
    }

    /// The message whose ticket was found, behind what was read from `position` on, where message `number` is. It is copied if the
    /// producer may overtake this one: the slab is written anew only when the ticket may be overwritten.
    #[cold]
    #[inline(never)]
    pub(super) fn find_loan(
        &mut self,
        found: &MessageRef,
        (position, number): (u64, u64),
    ) -> Result<MessageRef, RecvError> {
        let at = found.payload & !IN_SLAB;
        // Relaxed: made visible by the acquire of the record's word.
        let words = [0, 1].map(|nth| self.region.load_word(at + nth * WORD, Ordering::Relaxed));
        let accepted = self
            .pool
            .as_ref()
            .map(|pool| pool.accept(&self.region, words));
        // What was overwritten meanwhile says nothing of a slab.
        self.check(position, number)?;
        let Some(Ok(loan)) = accepted else {
            return Err(self.corrupted());
        };
        let found = MessageRef {
            len: loan.len as usize,
            ..*found
        };
        if !self.skips {
            match self.region.reach_slab(loan.at) {
                Ok(()) => {}
                Err(Unreachable::Os(errno)) => return Err(RecvError::Unmapped { errno }),
                Err(Unreachable::Corrupt) => return Err(self.corrupted()),
            }
            if self.copies() {
                if self.copy.len() < found.len {
                    self.copy.resize(found.len, 0);
                }
                self.region.read_slab(loan.at, &mut self.copy[..found.len]);
                self.check(position, number)?;
            }
        }
        if let Some(pool) = &mut self.pool {
            pool.shown = Some(loan);
        }
        Ok(found)
    }

    /// Acknowledges the first message if it lies in a slab that cannot be read here; whether that was so.
    #[cold]
    pub(crate) fn skip_unreadable(&mut self) -> Result<bool, RecvError> {
        self.skips = true;
        let found = self.peek();
        self.skips = false;
        let found = found?;
        let at = self.shown().map_or(0, |loan| loan.at);
        let is_unreadable = found.is_loaned() && self.region.reach_slab(at).is_err();
        if is_unreadable {
            self.release(&found, 1);
        }
        Ok(is_unreadable)
    }
}
