//! Messages that are written into a slab, and of which the ring carries the ticket.
//!
//! A slab is the producer's as long as its word says so ([`crate::rings::pool`]). Consumers change no word: they hold the slab by their
//! cursors, as they hold the record with the ticket. So it is free again when that record may be overwritten, which the gate decides; and
//! where all slabs are in use, the producer asks the gate for just that, long before the ring is full.
//!
//! ```text
//!                take                commit                          the record may be overwritten
//!   FREE(g) -------> HELD(P, g) ---------> HELD(P, g), a ticket ---------------------------------> FREE(g+1)
//!                      | abort                  |
//!                      +--> FREE(g+1)           | P has left, or is dead and settled
//!                                               v
//!                                          HELD(R, g): R looks where its ticket is
//! ```
//!
//! | the producer dies, or leaves, | the word | the next one |
//! |---|---|---|
//! | having committed the ticket | HELD(P, g) | takes it over, walks from the oldest waypoint that is not overwritten to the ticket, and frees it when that may be |
//! | writing into a slab, or with its ticket not committed | HELD(P, g) | finds no ticket: if there is one, it lies before that waypoint; so it frees the slab when that is passed |
//! | having freed it | FREE(g+1) | takes it as any other |
//! | having lent a pointer to it | LENT(P, g) | frees it, with new pages, when P's memory is gone ([`crate::rings::pool`]) |
//!
//! | a consumer | dies | is stopped |
//! |---|---|---|
//! | reading in place | holds nothing any more, as soon as the gate has settled it | holds the slab, as its policy says |
//! | copying, and may be overtaken | held nothing | believes nothing that it copied: the gate's limit is stored before the slab is written anew |

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::gate::Need;
use super::{Producer, Reservation};
use crate::error::SendError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::broadcast::STRIDES;
use crate::memory::layout::pool::{Holder, TICKET_LEN};
use crate::memory::layout::record::{Record, WORD};
use crate::memory::region::Region;
use crate::rings::broadcast::records::{self, Place};
use crate::rings::broadcast::waypoints;
use crate::rings::pool::{EveryNth, IN_SLAB, Loan, Pool, Referenced, SlabRef, SlabSender};
use crate::waiting::{Look, WaitOptions};

/// Slabs of messages that were sent.
#[derive(Debug, Default)]
pub(super) struct Loans {
    /// Each with the end of its record, the oldest first.
    sent: VecDeque<(u64, Loan)>,
    /// How many messages in slabs were sent since the last waypoint that was set for one.
    since_waypoint: u32,
}

impl<R: Region> Producer<R> {
    /// The same producer of a ring with slabs. Takes over those of who was there before.
    pub(crate) fn with_pool(mut self, pool: Option<Box<Pool>>) -> Self {
        self.pool = pool;
        self.limit_copies();
        // What cannot be had now is had later.
        let _ = self.inherit();
        self
    }

    /// Sends the first `len` bytes of the slab that was lent: commits its ticket.
    pub(crate) fn commit_loan(&mut self, reservation: Reservation, len: u64) {
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
        self.mark_loan(reservation.start);
        let record = (Record::loaned(self.sent.number), TICKET_LEN);
        let pending = self.stage_record(None, reservation, record);
        self.stop_behind(&pending);
        self.publish(pending);
        self.loans.sent.push_back((self.tail, loan));
    }

    /// Sets a waypoint at the message that is about to be sent, if it is the one of several in slabs that shall have one: where slabs are
    /// what runs short, waypoints that are so far apart as for short messages would all be overwritten.
    fn mark_loan(&mut self, start: u64) {
        let slabs = self.pool.as_ref().map_or(0, |pool| pool.count());
        self.loans.since_waypoint += 1;
        if u64::from(self.loans.since_waypoint) * STRIDES >= u64::from(slabs) {
            self.loans.since_waypoint = 0;
            if start > self.waypoint.0 {
                self.set_waypoint(Place {
                    position: start,
                    number: self.sent.number,
                });
            }
        }
    }

    /// Takes over slabs of those who were the producer before. `false`: the dead cannot be settled.
    #[must_use]
    fn inherit(&mut self) -> bool {
        let Some(pool) = &self.pool else { return true };
        let is_gone = |holder| self.is_gone(holder);
        if !pool.is_held_by_the_gone(&self.region, is_gone) && !pool.has_to_renew(&self.region) {
            return true;
        }
        let settled = pool.reclaim(&self.region, is_gone, |_| Referenced::Yes);
        let known = self.loans.sent.iter().map(|(_, loan)| loan.slab());
        let known: HashSet<u32> = known.collect();
        let (oldest, ends) = self.ends();
        for loan in pool.held(&self.region) {
            if !known.contains(&loan.slab()) {
                let end = ends.get(&loan.named()).copied().unwrap_or(oldest);
                self.loans.sent.push_back((end, loan));
            }
        }
        let sent = self.loans.sent.make_contiguous();
        sent.sort_by_key(|(end, _)| *end);
        settled
    }

    /// The oldest place from which it is known where records lie, and of the slabs to which records behind it refer, where the record
    /// ends. Slabs of earlier records are passed when that place is.
    fn ends(&self) -> (u64, HashMap<SlabRef, u64>) {
        let floor = self.used.saturating_sub(self.capacity);
        let known = waypoints::within(&self.region, self.participants, floor, self.here());
        let oldest = known
            .min_by_key(|place| place.position)
            .unwrap_or(self.here());
        let mut ends = HashMap::new();
        let walked = oldest.walk_over(&self.region, self.sent.number, |place, end| {
            if let Ok(Some(found)) = records::find(&self.region, place.position, place.number)
                && found.is_loaned()
            {
                let at = found.payload & !IN_SLAB;
                let load = |nth| self.region.load_word(at + nth * WORD, Ordering::Relaxed);
                ends.insert(SlabRef::of([0, 1].map(load)), end);
            }
        });
        match walked {
            Ok(_) => (oldest.position, ends),
            Err(Corrupt) => (self.tail, HashMap::new()),
        }
    }

    /// Whether the holder of a slab is not there any more.
    fn is_gone(&self, holder: Holder) -> bool {
        self.outlook().is_holder_gone(&self.region, holder)
    }

    /// Frees the slabs whose records may be overwritten.
    fn free_passed(&mut self) {
        let Some(pool) = &self.pool else { return };
        while let Some((end, loan)) = self.loans.sent.front()
            && end.saturating_add(self.capacity) <= self.granted
        {
            pool.free(&self.region, loan);
            self.loans.sent.pop_front();
        }
    }

    /// The oldest message in a slab that would do for `len` bytes.
    fn oldest_fit(&self, len: usize) -> Option<u64> {
        let pool = self.pool.as_ref()?;
        let fits = |loan: &Loan| pool.room(loan) >= len as u64;
        let mut sent = self.loans.sent.iter();
        sent.find(|(_, loan)| fits(loan)).map(|(end, _)| *end)
    }

    /// Whether a slab that is none of a message that was sent could be lent now.
    fn may_lend(&self, len: usize, look: Look) -> bool {
        let Some(pool) = &self.pool else {
            return true;
        };
        let is_gone = |holder| self.is_gone(holder);
        pool.has_free(&self.region, len as u64)
            || look == Look::Last
                && (!pool.await_withheld(&self.region, is_gone)
                    || pool.is_held_by_the_gone(&self.region, is_gone))
    }
}

impl<R: Region> SlabSender for Producer<R> {
    type Region = R;

    fn slabs(&mut self) -> Option<(&mut Pool, &R)> {
        Some((self.pool.as_mut()?, &self.region))
    }

    fn check_slab(&mut self, len: usize, longest: u64) -> Result<(), SendError> {
        self.check_handle()?;
        match len as u64 > longest {
            true => Err(SendError::TooLarge {
                len,
                max: longest as usize,
            }),
            false => Ok(()),
        }
    }

    fn why_full(&mut self) -> SendError {
        SendError::Full
    }

    fn corrupted(&mut self) -> SendError {
        Producer::corrupted(self)
    }

    fn reclaim_slabs(&mut self, len: usize, _deadline: Option<Instant>) -> Result<(), SendError> {
        if !self.inherit() {
            return Err(SendError::Unsettled);
        }
        if let Some(end) = self.oldest_fit(len) {
            match self.obtain_slab(end) {
                // Told by who finds none.
                Ok(()) | Err(SendError::Full) => {}
                Err(error) => return Err(error),
            }
        }
        self.free_passed();
        Ok(())
    }

    fn wait_for_warm(&mut self, _len: usize, _wait: &WaitOptions) {
        // Which slab comes back next, the slowest consumer decides.
    }

    fn wait_for_slab(&mut self, len: usize, wait: &WaitOptions) -> Result<(), SendError> {
        if let Some(end) = self.oldest_fit(len) {
            let need = Need::Slab(end);
            if wait.how.spins() && self.fall_back(need) {
                return Ok(());
            }
            return self.block(wait, need);
        }
        let mut glances = EveryNth::default();
        self.block_until(wait, |producer, look| {
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
        self.renew_at_once();
    }
}
