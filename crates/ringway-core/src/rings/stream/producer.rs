//! The sending side of a stream ring.

mod loans;

use std::sync::atomic::Ordering;

use super::{CONSUMER, OneSide, PRODUCER, Side, count_repaired, walk};
use crate::error::SendError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::control::{HEAD, RECEIVED, SENT, TAIL};
use crate::memory::layout::participant::Role;
use crate::memory::layout::record::{Record, VACANT, WORD, footprint, max_payload};
use crate::memory::region::Region;
use crate::presence::{Liveness, Peer};
use crate::rings::pool::Pool;
use crate::waiting::backoff::BurstBackoff;
use crate::waiting::{Look, PeersEnd, WaitOptions, Waited, eventcount};

/// The one producer.
#[derive(Debug)]
pub(crate) struct Producer<R> {
    pub(crate) region: R,
    capacity: u64,
    /// Where the stop word is.
    tail: u64,
    /// Messages ever committed.
    sent: u64,
    /// The consumer's head as last seen. The space before it may be written; fetching it again costs
    /// a cache miss, so that is done only when it seems to matter.
    head: u64,
    /// Bytes of the longest message that is copied through the ring if there is a slab for it.
    longest: u64,
    backoff: BurstBackoff,
    corrupt: bool,
    /// The slabs, if the ring has some.
    pub(crate) pool: Option<Box<Pool>>,
}

/// Room for one record that is not committed yet. Only the producer knows of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    /// Where the padding starts, or the record if there is none.
    start: u64,
    /// Bytes of padding, 0 or a multiple of eight.
    padding: u64,
    /// Bytes of payload, at most.
    len: u64,
}

impl Reservation {
    /// Where the payload goes.
    pub(crate) fn payload(&self) -> u64 {
        self.start + self.padding + WORD
    }
}

/// Records that are laid behind the stop word and become visible together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// The word that will replace the stop word.
    first_word: u64,
    end: u64,
    messages: u64,
}

impl Pending {
    /// How many messages.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }
}

impl<R: Region> OneSide for Producer<R> {
    type Region = R;
    const SIDES: (Side, Side) = (PRODUCER, CONSUMER);

    #[inline]
    fn region(&self) -> &R {
        &self.region
    }
}

impl<R: Region> Producer<R> {
    /// Takes up the work where the last producer left it: the tail is the first vacant word that the
    /// records from the head lead to. Reads at most every record once. Its slot is held, and all see that.
    pub(crate) fn resume(region: R) -> Result<Self, Corrupt> {
        // Acquire pairs with the release in `Consumer::release`: RECEIVED is at least as new as HEAD,
        // and the space before HEAD is free to write.
        let head = region.load64(HEAD, Ordering::Acquire);
        let reach = walk::reach(&region, head, u64::MAX)?;
        let [counted, received] = [SENT, RECEIVED].map(|at| region.load64(at, Ordering::Relaxed));
        let (tail, sent) = (reach.tail, reach.sent(counted, received));
        if sent > u64::MAX / 2 {
            return Err(Corrupt);
        }
        count_repaired(&region, Role::Producer, sent.saturating_sub(counted));
        let capacity = region.capacity();
        let producer = Self {
            region,
            capacity,
            tail,
            sent,
            head,
            longest: max_payload(capacity),
            backoff: BurstBackoff::new(sent, tail),
            corrupt: false,
            pool: None,
        };
        producer.show_counters();
        PRODUCER.reopen(&producer.region);
        PRODUCER.announce(CONSUMER, &producer.region);
        Ok(producer)
    }

    /// Messages ever committed.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The longest message that fits the ring, in bytes.
    pub(crate) fn max_len(&self) -> u64 {
        max_payload(self.capacity)
    }

    /// Room for a message of `len` bytes behind what is committed, if it is known to be there and nothing stands
    /// against sending. This is the usual case, and short: part of the caller's loop.
    #[inline(always)]
    fn room(&self, len: usize) -> Option<Reservation> {
        let reservation = self.place(self.tail, len as u64);
        let is_usual = !self.region.is_forked()
            && !self.corrupt
            && !CONSUMER.is_marked(&self.region)
            && len as u64 <= self.longest
            && self.fits(&reservation);
        is_usual.then_some(reservation)
    }

    /// Reserves room for a message of `len` bytes behind what is committed.
    #[inline]
    pub(crate) fn reserve(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Reservation, SendError> {
        self.reserve_up_to(self.longest, len, wait)
    }

    #[inline]
    fn reserve_up_to(
        &mut self,
        most: u64,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Reservation, SendError> {
        loop {
            match (self.reserve_at(self.tail, len, most), wait) {
                (Err(SendError::Full), Some(wait)) => {
                    if !(wait.how.spins() && self.fall_back(len)) {
                        self.block(wait, |producer, _| producer.may_retry(len))?;
                    }
                }
                (done, _) => return done,
            }
        }
    }

    /// Lets the consumer make room; whether it did.
    #[cold]
    #[inline(never)]
    fn fall_back(&mut self, len: usize) -> bool {
        self.backoff.wait(self.sent, self.tail);
        self.may_retry(len)
    }

    /// Waits until the consumer has released all that was committed.
    pub(crate) fn drained_until(&mut self, wait: &WaitOptions) -> Result<(), SendError> {
        loop {
            // Judged before the look, so that what the consumer released before its end counts.
            let peer = CONSUMER.state(&self.region);
            if self.is_drained()? {
                return Ok(());
            }
            match peer {
                Peer::Closed => return Err(SendError::Closed),
                Peer::Died => return Err(SendError::PeerDied),
                Peer::Absent | Peer::Alive => {}
            }
            self.block(wait, |producer, _| producer.is_drained() != Ok(false))?;
        }
    }

    #[cold]
    #[inline(never)]
    fn block(
        &mut self,
        wait: &WaitOptions,
        ready: impl FnMut(&mut Self, Look) -> bool,
    ) -> Result<(), SendError> {
        match wait.wait(self, PeersEnd::EndsIt, ready) {
            Waited::Ready => Ok(()),
            Waited::TimedOut => Err(SendError::TimedOut),
            Waited::Forsaken => Err(SendError::Removed),
            Waited::Interrupted => Err(SendError::Interrupted),
            Waited::Armed => Err(SendError::Full),
        }
    }

    /// Reserves room behind a batch.
    #[inline]
    pub(crate) fn reserve_behind(
        &mut self,
        pending: &Option<Pending>,
        len: usize,
    ) -> Result<Reservation, SendError> {
        self.reserve_at(
            pending.as_ref().map_or(self.tail, |pending| pending.end),
            len,
            self.max_len(),
        )
    }

    /// Reserves room for a message of `len` bytes that starts at `start`, if it has at most `most`.
    #[inline]
    fn reserve_at(&mut self, start: u64, len: usize, most: u64) -> Result<Reservation, SendError> {
        self.check()?;
        if len as u64 > most {
            return Err(SendError::TooLarge {
                len,
                max: most as usize,
            });
        }
        let reservation = self.place(start, len as u64);
        if !self.fits(&reservation) {
            self.refresh_head()?;
            if !self.fits(&reservation) {
                return Err(self.why_full());
            }
        }
        Ok(reservation)
    }

    /// What stands against sending at all.
    #[inline]
    fn check(&self) -> Result<(), SendError> {
        if self.region.is_forked() {
            return Err(SendError::Forked);
        }
        if self.corrupt {
            return Err(SendError::Corrupt);
        }
        if CONSUMER.is_marked(&self.region) && CONSUMER.state(&self.region) == Peer::Closed {
            return Err(SendError::Closed);
        }
        Ok(())
    }

    /// Where a record of `len` bytes goes, if it starts at `start` or behind padding there.
    #[inline]
    fn place(&self, start: u64, len: u64) -> Reservation {
        let to_end = self.capacity - (start & (self.capacity - 1));
        let padding = if footprint(len) > to_end { to_end } else { 0 };
        Reservation {
            start,
            padding,
            len,
        }
    }

    /// Whether padding, record and stop word lie in free space.
    #[inline]
    fn fits(&self, reservation: &Reservation) -> bool {
        let end = reservation.start + reservation.padding + footprint(reservation.len);
        end + WORD - self.head <= self.capacity
    }

    fn refresh_head(&mut self) -> Result<(), SendError> {
        // Acquire pairs with the release in `Consumer::release`: the consumer has read all before
        // HEAD, so it may be overwritten.
        let head = self.region.load64(HEAD, Ordering::Acquire);
        if head < self.head || head > self.tail || !head.is_multiple_of(WORD) {
            self.corrupt = true;
            return Err(SendError::Corrupt);
        }
        self.head = head;
        Ok(())
    }

    #[cold]
    fn why_full(&self) -> SendError {
        match CONSUMER.liveness(&self.region) {
            Liveness::Dead => SendError::PeerDied,
            Liveness::Alive | Liveness::Absent => SendError::Full,
        }
    }

    /// Whether a message of `len` bytes could be tried again with success, or with a new error.
    fn may_retry(&mut self, len: usize) -> bool {
        let reservation = self.place(self.tail, len as u64);
        self.refresh_head().is_err() || self.fits(&reservation)
    }

    /// Whether the consumer has released all that was committed.
    fn is_drained(&mut self) -> Result<bool, SendError> {
        if self.region.is_forked() {
            return Err(SendError::Forked);
        }
        self.refresh_head()?;
        Ok(self.head == self.tail)
    }

    /// Stages a record in a reservation, behind `pending` or as the first of a batch. `len` may be
    /// less than was reserved. Nothing is visible yet.
    #[inline]
    pub(crate) fn stage(
        &self,
        pending: Option<Pending>,
        reservation: Reservation,
        len: u64,
    ) -> Pending {
        let messages = pending.map_or(0, |pending| pending.messages);
        let number = self.sent + messages;
        let record_at = reservation.start + reservation.padding;
        let mut first_word = Record::message(len as u32, number);
        if reservation.padding > 0 {
            // Relaxed: made visible by the release of the first word.
            self.region
                .store_word(record_at, first_word, Ordering::Relaxed);
            first_word = Record::padding((reservation.padding - WORD) as u32, number);
        }
        if let Some(pending) = pending {
            self.region
                .store_word(reservation.start, first_word, Ordering::Relaxed);
            first_word = pending.first_word;
        }
        Pending {
            first_word,
            end: record_at + footprint(len),
            messages: messages + 1,
        }
    }

    /// Sends a copy of `message` in the usual case; `false` if it is none.
    #[inline(always)]
    pub(crate) fn send_at_once(&mut self, message: &[u8]) -> bool {
        let room = self.room(message.len());
        if let Some(reservation) = room {
            self.write_and_commit(reservation, message);
        }
        room.is_some()
    }

    /// Sends a copy of `message`.
    #[inline(never)]
    pub(crate) fn send(
        &mut self,
        message: &[u8],
        wait: Option<&WaitOptions>,
    ) -> Result<(), SendError> {
        let reservation = self.reserve(message.len(), wait)?;
        self.write_and_commit(reservation, message);
        Ok(())
    }

    /// Copies a whole message into its reservation and commits it.
    #[inline]
    pub(crate) fn write_and_commit(&mut self, reservation: Reservation, message: &[u8]) {
        let pending = self.stage(None, reservation, message.len() as u64);
        // From the back to the front, so that the line on which the consumer polls is written last.
        self.stop_behind(&pending);
        self.region.write(reservation.payload(), message);
        self.publish(pending);
    }

    /// Commits: makes all that was laid visible at once, and wakes a sleeping consumer.
    #[inline]
    pub(crate) fn commit(&mut self, pending: Pending) {
        self.stop_behind(&pending);
        self.publish(pending);
    }

    #[inline]
    fn stop_behind(&self, pending: &Pending) {
        // Relaxed: made visible by the release of the first word.
        self.region
            .store_word(pending.end, VACANT, Ordering::Relaxed);
    }

    #[inline]
    fn publish(&mut self, pending: Pending) {
        // Release pairs with the acquire in `Consumer::find`: payload, later words and the stop word
        // are seen by who sees this word.
        self.region
            .store_word(self.tail, pending.first_word, Ordering::Release);
        self.tail = pending.end;
        self.sent += pending.messages;
        self.show_counters();
        eventcount::notify(&self.region, CONSUMER.event);
    }

    /// For observers and the next producer. Relaxed: nobody concludes anything from them.
    #[inline]
    fn show_counters(&self) {
        self.region.store64(TAIL, self.tail, Ordering::Relaxed);
        self.region.store64(SENT, self.sent, Ordering::Relaxed);
    }

    /// Says that this producer closes. It is seen when its slot is free.
    pub(crate) fn close(&self) {
        if !self.region.is_forked() {
            PRODUCER.mark_closed(&self.region);
        }
    }
}
