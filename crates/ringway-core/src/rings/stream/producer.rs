//! The sending side of a stream ring.
//!
//! # The short way
//! Whatever a usual send must rule out is folded into one private number, the *limit*: up to there this handle may write
//! without a look at anything else. A record that ends before it
//!
//! | fits, because the limit is at most | else |
//! |---|---|
//! | the lap's last word | a stop word behind it begins the next lap, or padding comes before it |
//! | a stop word before what the consumer has not released, by its head as it was last seen | the head is read anew; perhaps the ring is full |
//! | the longest record behind the tail, or the batch, as it was when the limit was set; and 2^31 bytes | it is too long, or goes into a slab; else the limit is set anew |
//! | eight bytes for each message until the number in their words begins anew | [`Count`] has to be told |
//! | 0 in a ring that was found corrupt | `Corrupt` |
//! | 0 in a child of `fork`, because it lies in a page that the kernel wipes there ([`Wiped`]) | `Forked` |
//!
//! So a limit that was right stays right, however far the sides get: heads only grow. It is set to 0 when one of the others
//! stops to hold, and anew after each commit on the long way. Whether the consumer has closed is asked with every message, for
//! the next call after that has to fail.

mod loans;
mod staging;

use std::sync::atomic::Ordering;

use super::{CONSUMER, OneSide, PRODUCER, Side, count_repaired, walk};
use crate::error::SendError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::control::{HEAD, RECEIVED, SENT, TAIL};
use crate::memory::layout::participant::Role;
use crate::memory::layout::record::{
    Count, LONGEST_AT_ONCE, Record, VACANT, WORD, footprint, max_payload,
};
use crate::memory::region::{Control, Region, Spot};
use crate::presence::{Liveness, Peer};
use crate::rings::pool::Pool;
use crate::sys::fork::Wiped;
use crate::waiting::backoff::BurstBackoff;
use crate::waiting::eventcount::ASLEEP;
use crate::waiting::publisher::Publisher;
use crate::waiting::{Look, PeersEnd, WaitOptions, Waited};

/// The one producer.
#[derive(Debug)]
pub(crate) struct Producer<R> {
    pub(crate) region: R,
    capacity: u64,
    /// Where the stop word is.
    tail: u64,
    /// Messages ever committed.
    sent: Count,
    /// The consumer's head as last seen. The space before it may be written; fetching it again costs
    /// a cache miss, so that is done only when it seems to matter.
    head: u64,
    /// A record that ends there or before may be written without further questions (see above).
    limit: Wiped,
    /// Bytes of the longest message that is copied through the ring if there is a slab for it.
    longest: u64,
    backoff: BurstBackoff,
    publisher: Publisher,
    corrupt: bool,
    /// Where records of a batch are made before they go into the ring ([`staging`]).
    staged: Box<[u8]>,
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
    /// Up to there the records are in the ring, and from there to the end they are staged.
    laid: u64,
}

impl Pending {
    /// How many messages.
    #[cfg(any(test, feature = "verify"))]
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
        // (S4) Acquire pairs with the release in `Consumer::release`: RECEIVED is at least as new as HEAD,
        // and the space before HEAD is free to write.
        let head = region.load64(HEAD, Ordering::Acquire);
        // So no sum of a position and a length overflows.
        if head > u64::MAX / 4 {
            return Err(Corrupt);
        }
        let reach = walk::reach(&region, head, u64::MAX)?;
        let [counted, received] = [SENT, RECEIVED].map(|at| region.load64(at, Ordering::Relaxed));
        let (tail, sent) = (reach.tail, reach.sent(counted, received));
        if sent > u64::MAX / 2 {
            return Err(Corrupt);
        }
        count_repaired(&region, Role::Producer, sent.saturating_sub(counted));
        let capacity = region.capacity();
        let mut producer = Self {
            region,
            capacity,
            tail,
            sent: Count::new(sent),
            head,
            limit: Wiped::new(),
            longest: max_payload(capacity),
            backoff: BurstBackoff::new(sent, tail),
            publisher: Publisher::new(PRODUCER.slot),
            corrupt: false,
            staged: staging::room(capacity),
            pool: None,
        };
        producer.renew_limit();
        producer.show_counters(producer.region.control());
        PRODUCER.reopen(&producer.region);
        PRODUCER.announce(CONSUMER, &producer.region);
        Ok(producer)
    }

    /// Messages ever committed.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.number
    }

    /// The longest message that fits the ring, in bytes.
    pub(crate) fn max_len(&self) -> u64 {
        max_payload(self.capacity)
    }

    /// Where a record of `len` bytes, a slice's or fewer, that starts at `start`, at the tail or behind a batch, ends, if
    /// nothing stands against writing it there. This is the usual case, and short: part of the caller's loop.
    #[inline(always)]
    fn end_at_once(&self, control: R::Control<'_>, start: u64, len: usize) -> Option<u64> {
        let end = start + footprint(len as u64);
        (end <= self.limit.get() && !CONSUMER.is_marked(control)).then_some(end)
    }

    /// Sets the limit anew.
    fn renew_limit(&mut self) {
        self.renew_limit_behind(self.tail);
    }

    /// Sets the limit anew, for what is laid from `start` on, in the same lap as the tail.
    fn renew_limit_behind(&mut self, start: u64) {
        if self.region.is_forked() {
            return;
        }
        self.sent.renew();
        let lap = self.capacity - (self.tail & (self.capacity - 1));
        // Rounded down: what is a few bytes longer has the same footprint as the longest. Those take the long way.
        let longest = start - self.tail + ((self.longest + WORD) & !7);
        let here = [
            lap - WORD,
            longest,
            LONGEST_AT_ONCE,
            self.sent.left() * WORD,
        ];
        let ahead = here.into_iter().min().unwrap_or(0);
        let room = self.head + self.capacity - WORD;
        let limit = room.min(self.tail + ahead);
        self.limit.set(if self.corrupt { 0 } else { limit });
    }

    #[cold]
    fn corrupted(&mut self) -> SendError {
        self.corrupt = true;
        self.limit.set(0);
        SendError::Corrupt
    }

    /// Reserves room for a message of `len` bytes behind what is committed.
    #[inline]
    pub(crate) fn reserve(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Reservation, SendError> {
        match self.reserve_at_once(len) {
            Some(reservation) => Ok(reservation),
            None => self.reserve_up_to(self.longest, len, wait),
        }
    }

    /// The same in the usual case.
    #[inline(always)]
    pub(crate) fn reserve_at_once(&self, len: usize) -> Option<Reservation> {
        // Unlike that of a message, this length may be any: it must not wrap around.
        if len as u64 >= LONGEST_AT_ONCE {
            return None;
        }
        self.end_at_once(self.region.control(), self.tail, len)?;
        Some(Reservation {
            start: self.tail,
            padding: 0,
            len: len as u64,
        })
    }

    /// Commits the first `len` bytes of what was reserved, at most all of it, in the usual case. `false` if it is none; then nothing was
    /// done.
    #[inline(always)]
    pub(crate) fn commit_at_once(&mut self, reservation: &Reservation, len: u64) -> bool {
        let end = self.tail + footprint(len);
        // In a child of `fork`, which has inherited the reservation, there is no limit.
        if reservation.padding > 0 || end > self.limit.get() {
            return false;
        }
        let place = self.region.spot(self.tail);
        // Relaxed: made visible by the release of the record's word.
        // SAFETY: the limit, and so the record's end, is at most the lap's last word.
        unsafe {
            place
                .behind(footprint(len))
                .store(VACANT, Ordering::Relaxed)
        };
        let number = self.sent.number;
        // Release, as in `publish`.
        place.store(self.sent.word(number) | len, Ordering::Release);
        (self.tail, self.sent.number) = (end, number + 1);
        if self.tell(self.region.control()) {
            self.wake();
        }
        true
    }

    #[inline(never)]
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
        self.backoff.wait(self.sent.number, self.tail);
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
    fn check(&self) -> Result<(), SendError> {
        if self.region.is_forked() {
            return Err(SendError::Forked);
        }
        if self.corrupt {
            return Err(SendError::Corrupt);
        }
        if CONSUMER.is_marked(self.region.control()) && CONSUMER.state(&self.region) == Peer::Closed
        {
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
        // (S3) Acquire pairs with the release in `Consumer::release`: the consumer has read all before
        // HEAD, so it may be overwritten.
        let head = self.region.load64(HEAD, Ordering::Acquire);
        if head < self.head || head > self.tail || !head.is_multiple_of(WORD) {
            return Err(self.corrupted());
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
        let number = self.sent.number + messages;
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
        let end = record_at + footprint(len);
        Pending {
            first_word,
            end,
            messages: messages + 1,
            laid: end,
        }
    }

    /// Sends a copy of `message` in the usual case; `false` if it is none.
    #[inline(always)]
    pub(crate) fn send_at_once(&mut self, message: &[u8]) -> bool {
        let control = self.region.control();
        let Some(end) = self.end_at_once(control, self.tail, message.len()) else {
            return false;
        };
        let place = self.region.spot(self.tail);
        // From the back to the front, so that the line on which the consumer polls is written last. The stop word is made
        // visible by the release of the record's word.
        // SAFETY: the limit, and so the record's end, is at most the lap's last word.
        unsafe {
            place
                .behind(footprint(message.len() as u64))
                .store(VACANT, Ordering::Relaxed);
            place.write(message);
        }
        let number = self.sent.number;
        let word = self.sent.word(number) | message.len() as u64;
        // Release, as in `publish`.
        place.store(word, Ordering::Release);
        (self.tail, self.sent.number) = (end, number + 1);
        if self.tell(control) {
            self.wake();
        }
        true
    }

    /// Sends a copy of `message`.
    #[cold]
    #[inline(never)]
    pub(crate) fn send(
        &mut self,
        message: &[u8],
        wait: Option<&WaitOptions>,
    ) -> Result<(), SendError> {
        let reservation = self.reserve_up_to(self.longest, message.len(), wait)?;
        self.write_and_commit(reservation, message);
        Ok(())
    }

    /// Copies a whole message into its reservation and commits it.
    pub(crate) fn write_and_commit(&mut self, reservation: Reservation, message: &[u8]) {
        let pending = self.stage(None, reservation, message.len() as u64);
        self.stop_behind(&pending);
        self.region.write(reservation.payload(), message);
        self.publish(pending);
    }

    /// Forgets what was laid and not committed.
    pub(crate) fn abort(&mut self) {
        self.renew_limit();
    }

    /// Commits: makes all that was laid visible at once, and wakes a sleeping consumer.
    #[inline]
    pub(crate) fn commit(&mut self, mut pending: Pending) {
        // A child of `fork` may have inherited what was claimed or laid. In its parent's ring it writes nothing.
        if pending.end > self.limit.get() && self.region.is_forked() {
            return;
        }
        self.lay(&mut pending);
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
        // (S2) Release pairs with the acquire in `Consumer::find`: payload, later words and the stop word
        // are seen by who sees this word.
        self.region
            .store_word(self.tail, pending.first_word, Ordering::Release);
        self.tail = pending.end;
        self.sent.number += pending.messages;
        if self.tell(self.region.control()) {
            self.wake();
        }
        if pending.end >= self.limit.get() {
            self.renew_limit();
        }
    }

    /// Shows how far this producer has gone. Whether the consumer may sleep: then the caller [wakes](Self::wake) it.
    #[inline(always)]
    #[must_use]
    fn tell(&self, control: R::Control<'_>) -> bool {
        self.show_counters(control);
        control.may_have(CONSUMER.event, ASLEEP)
    }

    /// Wakes the consumer, if it sleeps.
    #[cold]
    #[inline(never)]
    fn wake(&mut self) {
        let number = self.sent.number;
        self.publisher
            .look(&mut self.region, CONSUMER.event, number);
    }

    /// For observers and the next producer. Relaxed: nobody concludes anything from them.
    #[inline(always)]
    fn show_counters(&self, control: R::Control<'_>) {
        let (tail, sent) = (self.tail, self.sent.number);
        control.store64(TAIL, tail, Ordering::Relaxed);
        control.store64(SENT, sent, Ordering::Relaxed);
    }

    /// Says that this producer closes. It is seen when its slot is free.
    pub(crate) fn close(&self) {
        if !self.region.is_forked() {
            PRODUCER.mark_closed(&self.region);
        }
    }
}
