//! Messages that are written into a slab, and of which the ring carries the ticket.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Pending, Producer, Reservation};
use crate::error::SendError;
use crate::memory::layout::control::HEAD;
use crate::memory::layout::pool::TICKET_LEN;
use crate::memory::layout::record::{Record, WORD, footprint};
use crate::memory::region::Region;
use crate::rings::pool::{EveryNth, Pool, Referenced, SlabRef, SlabSender, warm};
use crate::rings::stream::{is_gone, walk};
use crate::waiting::{Look, WaitOptions, WaitStrategy};

impl<R: Region> Producer<R> {
    /// The same producer of a ring with slabs. Frees those that only the dead held.
    pub(crate) fn with_pool(mut self, pool: Option<Box<Pool>>) -> Self {
        self.pool = pool;
        self.limit_copies();
        // What is withheld is had later.
        let _ = self.reclaim();
        self
    }

    /// Reserves room for a message of `len` bytes, be it so long that a slab would be better for it.
    pub(crate) fn reserve_to_copy(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Reservation, SendError> {
        self.reserve_up_to(self.max_len(), len, wait)
    }

    /// Whether a slab could be lent now.
    fn may_lend(&self, len: usize, look: Look) -> bool {
        let Some(pool) = &self.pool else {
            return true;
        };
        // Another consumer may have followed one that died, so that nothing else tells of the death.
        pool.has_free(&self.region, len as u64)
            || look == Look::Last && {
                let is_gone = |holder| is_gone(&self.region, holder);
                !pool.await_withheld(&self.region, is_gone)
                    || pool.is_held_by_the_gone(&self.region, is_gone)
            }
    }

    /// Sends the first `len` bytes of the slab that was lent: commits its ticket.
    pub(crate) fn commit_loan(&mut self, reservation: Reservation, len: u64) {
        // A child of `fork` may have inherited it. In its parent's ring it writes nothing.
        if self.region.is_forked() {
            return;
        }
        let Some(pool) = &mut self.pool else { return };
        let Some(mut loan) = pool.lent.take() else {
            return;
        };
        pool.end_lending(&self.region, &mut loan);
        // Relaxed: made visible by the release of the record's word, and so is the slab.
        for (at, word) in (reservation.payload()..)
            .step_by(8)
            .zip(loan.ticket(len).encode())
        {
            self.region.store_word(at, word, Ordering::Relaxed);
        }
        let mut first_word = Record::loaned(self.sent.number);
        if reservation.padding > 0 {
            let record_at = reservation.start + reservation.padding;
            self.region
                .store_word(record_at, first_word, Ordering::Relaxed);
            first_word = Record::padding((reservation.padding - WORD) as u32, self.sent.number);
        }
        let end = reservation.payload() - WORD + footprint(TICKET_LEN);
        self.commit(Pending {
            first_word,
            end,
            messages: 1,
            laid: end,
        });
    }

    /// Frees slabs that only the dead hold. `false`: the dead cannot be settled.
    #[must_use]
    fn reclaim(&self) -> bool {
        let Some(pool) = &self.pool else { return true };
        let is_gone = |holder| is_gone(&self.region, holder);
        pool.reclaim(&self.region, is_gone, |named| self.refers(named))
    }

    /// Whether a record that is not released refers to a slab. Nobody but this producer writes records, so
    /// whatever the consumer releases meanwhile, these stay what they are.
    fn refers(&self, named: &SlabRef) -> Referenced {
        // Acquire pairs with the release in `Consumer::release`: of what lies before it, slabs are seized.
        let mut at = self.region.load64(HEAD, Ordering::Acquire);
        if at < self.head || at > self.tail || !at.is_multiple_of(WORD) {
            return Referenced::Unclear;
        }
        while at < self.tail {
            let word = self.region.load_word(at, Ordering::Relaxed);
            if let Record::Loaned { .. } = Record::decode(word) {
                let words = [1, 2].map(|nth| {
                    let at = at + nth * WORD;
                    self.region.load_word(at, Ordering::Relaxed)
                });
                if named.is_in(words) {
                    return Referenced::Yes;
                }
            }
            at = match walk::step(&self.region, at) {
                Ok(Some(step)) => step.end,
                _ => return Referenced::Unclear,
            };
        }
        Referenced::No
    }
}

impl<R: Region> SlabSender for Producer<R> {
    type Region = R;

    fn slabs(&mut self) -> Option<(&mut Pool, &R)> {
        Some((self.pool.as_mut()?, &self.region))
    }

    fn check_slab(&mut self, len: usize, longest: u64) -> Result<(), SendError> {
        self.check()?;
        match len as u64 > longest {
            true => Err(SendError::TooLarge {
                len,
                max: longest as usize,
            }),
            false => Ok(()),
        }
    }

    fn why_full(&mut self) -> SendError {
        Self::why_full(self)
    }

    fn corrupted(&mut self) -> SendError {
        Self::corrupted(self)
    }

    fn reclaim_slabs(&mut self, _len: usize, _deadline: Option<Instant>) -> Result<(), SendError> {
        match self.reclaim() {
            true => Ok(()),
            false => Err(SendError::Unsettled),
        }
    }

    /// Waits a moment, if that may pay, for a slab that is still in the caches ([`warm`]).
    fn wait_for_warm(&mut self, len: usize, wait: &WaitOptions) {
        if self.check().is_err() {
            return;
        }
        let WaitOptions { how, deadline, .. } = *wait;
        let Some(pool) = &mut self.pool else { return };
        if !how.spins() || !pool.is_restrained(&self.region, len as u64) {
            return;
        }
        let moment = match how {
            WaitStrategy::Adaptive(budget) => budget.min(warm::moment(len)),
            _ => warm::moment(len),
        };
        let end = Instant::now() + moment;
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        let wait = WaitOptions::new(WaitStrategy::Spin)
            .until(Some(end))
            .uninterrupted();
        let waited = self.block(&wait, |producer, _| {
            let pool = producer.pool.as_ref();
            pool.is_none_or(|pool| pool.has_warm(&producer.region, len as u64))
        });
        if let Some(pool) = &mut self.pool {
            pool.warm_backoff.waited(waited.is_err());
        }
    }

    fn wait_for_slab(&mut self, len: usize, wait: &WaitOptions) -> Result<(), SendError> {
        let mut glances = EveryNth::default();
        self.block(wait, |producer, look| {
            producer.may_lend(len, glances.sharpen(look))
        })
    }

    fn tell_of_free_slab(&self) {
        // There is no other producer.
    }

    fn limit_copies(&mut self) {
        let limit = self
            .pool
            .as_ref()
            .map_or(u64::MAX, |pool| pool.copy_limit as u64);
        self.longest = self.max_len().min(limit);
        self.renew_limit();
    }
}
