//! The receiving side of a stream ring.
//!
//! # The short way
//! As the producer has one ([`super::producer`]), the consumer has a *limit*: a message whose record ends there or before,
//! and whose word is the next one's, is believed and read without further questions. The word is compared by one xor
//! with what that of an empty message would be, of which the length is left, if all else is as it should be; else a number that is
//! greater than all lengths. The limit is
//!
//! | | else |
//! |---|---|
//! | at most the end of the lap | a record that wraps: `Corrupt`. Or the first one of the next lap, and the limit is set anew |
//! | eight bytes for each message until the number in their words begins anew | [`Count`] has to be told |
//! | less than 2^31 bytes behind the head as it was when the limit was set | a number that is no length |
//! | 0 while messages in slabs were found and not released | those are released one by one |
//! | 0 in a ring that was found corrupt | `Corrupt` |
//! | 0 in a child of `fork` ([`Wiped`]) | `Forked` |
//!
//! It is set anew after each release on the long way that reaches it.

mod loans;
mod shown;

use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

use bytemuck::{AnyBitPattern, NoUninit};

use shown::Shown;

use super::{CONSUMER, OneSide, PRODUCER, Side, count_repaired, walk};
use crate::error::RecvError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::control::{HEAD, RECEIVED};
use crate::memory::layout::participant::Role;
use crate::memory::layout::pool::TICKET_LEN;
use crate::memory::layout::record::{
    Count, LONGEST_AT_ONCE, Record, SEQUENCE_MASK, VACANT, WORD, footprint,
};
use crate::memory::region::{Control, Region, Spot};
use crate::presence::Peer;
use crate::rings::message::{EAGER_POLLS, MessageRef};
use crate::rings::pool::{IN_SLAB, Pool};
use crate::sys::fork::Wiped;
use crate::waiting::backoff::BurstBackoff;
use crate::waiting::eventcount::ASLEEP;
use crate::waiting::publisher::Publisher;
use crate::waiting::several::Candidate;
use crate::waiting::watch::Watch;
use crate::waiting::{Blocked, PeersEnd, WaitOptions, Waited};

/// The one consumer.
#[derive(Debug)]
pub(crate) struct Consumer<R> {
    pub(crate) region: R,
    capacity: u64,
    /// The first byte that is not released.
    head: u64,
    /// Messages ever released.
    received: Count,
    /// A message whose record ends there or before may be read without further questions (see above).
    limit: Wiped,
    backoff: BurstBackoff,
    publisher: Publisher,
    corrupt: bool,
    /// Bytes of slabs that were shown.
    loaned: u64,
    /// Whether a message in a slab may have been shown since the last release.
    has_loans: bool,
    /// Whether a message in a slab is found though it cannot be read here.
    skips: bool,
    /// The slabs, if the ring has some.
    pool: Option<Box<Pool>>,
    shown: Shown,
}

impl MessageRef {
    #[inline]
    fn end(&self) -> u64 {
        if self.is_loaned() {
            return (self.payload & !IN_SLAB) - WORD + footprint(TICKET_LEN);
        }
        self.end_in_ring()
    }

    /// Where the next record starts, if this message lies in the ring.
    #[inline(always)]
    fn end_in_ring(&self) -> u64 {
        self.payload - WORD + footprint(self.len as u64)
    }
}

impl<R: Region> OneSide for Consumer<R> {
    type Region = R;
    const SIDES: (Side, Side) = (CONSUMER, PRODUCER);

    #[inline]
    fn region(&self) -> &R {
        &self.region
    }
}

impl<R: Region> Consumer<R> {
    /// Takes up the work where the last consumer left it: with the first message that it did not
    /// release. Its slot is held, and all see that.
    pub(crate) fn resume(region: R) -> Result<Self, Corrupt> {
        let capacity = region.capacity();
        // Relaxed: the last consumer is gone, and taking its liveness word was an acquire.
        let head = region.load64(HEAD, Ordering::Relaxed);
        let counted = region.load64(RECEIVED, Ordering::Relaxed);
        // So positions stay below `IN_SLAB`.
        if !head.is_multiple_of(WORD) || head > u64::MAX / 4 || counted > u64::MAX / 2 {
            return Err(Corrupt);
        }
        let received = walk::received(&region, head, counted)?;
        if received > u64::MAX / 2 {
            return Err(Corrupt);
        }
        count_repaired(&region, Role::Consumer, counted.saturating_sub(received));
        region.store64(RECEIVED, received, Ordering::Relaxed);
        CONSUMER.reopen(&region);
        CONSUMER.announce(PRODUCER, &region);
        let mut consumer = Self {
            shown: Shown::load(&region),
            region,
            capacity,
            head,
            received: Count::new(received),
            limit: Wiped::new(),
            backoff: BurstBackoff::new(received, head),
            publisher: Publisher::new(CONSUMER.slot),
            corrupt: false,
            loaned: 0,
            has_loans: false,
            skips: false,
            pool: None,
        };
        consumer.renew_limit();
        Ok(consumer)
    }

    /// Sets the limit anew.
    fn renew_limit(&mut self) {
        if self.region.is_forked() {
            return;
        }
        self.received.renew();
        let lap = self.capacity - (self.head & (self.capacity - 1));
        let counted = self.received.left() * WORD;
        let limit = self.head + lap.min(counted).min(LONGEST_AT_ONCE);
        let is_usual = !self.corrupt && !self.has_loans;
        self.limit.set(if is_usual { limit } else { 0 });
    }

    /// Messages ever released.
    pub(crate) fn received(&self) -> u64 {
        self.received.number
    }

    /// Copies the first message to the start of `buffer` and releases it, if it lies in the ring, fits the buffer, and
    /// nothing stands against receiving; `None`, and nothing is done, if it is not so. This is the usual case, and
    /// short: part of the caller's loop.
    #[inline(always)]
    pub(crate) fn recv_at_once(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let (head, place) = (self.head, self.region.spot(self.head));
        // Acquire: as in `find`.
        let word = place.load(Ordering::Acquire);
        let number = self.received.number;
        let len = word ^ self.received.word(number);
        let target = buffer.get_mut(..usize::try_from(len).ok()?)?;
        let end = head + footprint(len);
        if end > self.limit.get() {
            return None;
        }
        // SAFETY: the limit, and so the record's end, is at most the end of the lap.
        unsafe { place.read(target) };
        self.release_up_to(end, number + 1);
        Some(len as usize)
    }

    /// Receives the first message as a `T`, if it has as many bytes, lies in the ring, and nothing stands against receiving. `false`: nothing
    /// was done; else `value` is initialised.
    #[inline(always)]
    pub(crate) fn recv_value_at_once<T: NoUninit + AnyBitPattern>(
        &mut self,
        value: &mut MaybeUninit<T>,
    ) -> bool {
        let place = self.region.spot(self.head);
        let number = self.received.number;
        let end = self.head + footprint(size_of::<T>() as u64);
        let expected = self.received.word(number) | size_of::<T>() as u64;
        // Acquire: as in `find`.
        if place.load(Ordering::Acquire) != expected || end > self.limit.get() {
            return false;
        }
        // SAFETY: the limit, and so the record's end, is at most the end of the lap.
        unsafe { place.read_value(value) };
        self.release_up_to(end, number + 1);
        true
    }

    /// Receives messages of so many bytes as a `T` has into `values`, one after the other, up to the limit or the first
    /// of another length; releases them together, and returns how many. None: the long way has to be taken.
    pub(crate) fn recv_run<T: NoUninit + AnyBitPattern>(&mut self, values: &mut [T]) -> usize {
        let each = footprint(size_of::<T>() as u64);
        let room = self.limit.get().saturating_sub(self.head) / each;
        // Not so many that the producer has to wait for room meanwhile.
        let share = (self.capacity / 8 / each).max(1);
        let most = values.len().min(room.min(share) as usize);
        let number = self.received.number;
        let mut expected = self.received.word(number) | size_of::<T>() as u64;
        let mut count = 0;
        let mut place = self.region.spot(self.head);
        for value in &mut values[..most] {
            // Acquire: as in `find`.
            if place.load(Ordering::Acquire) != expected {
                break;
            }
            // SAFETY: the limit, and so the record's end, is at most the end of the lap.
            unsafe { place.read(bytemuck::bytes_of_mut(value)) };
            expected += Record::NEXT;
            count += 1;
            place = self.region.spot(self.head + each * count);
        }
        if count > 0 {
            self.release_up_to(self.head + each * count, number + count);
        }
        count as usize
    }

    /// The `nth` message after the first that is not released, at `position`, if it lies in the ring and nothing stands against receiving: the
    /// usual case, and short.
    #[inline(always)]
    fn glance(&self, position: u64, nth: u64) -> Option<MessageRef> {
        // Acquire: as in `find`.
        let word = self.region.spot(position).load(Ordering::Acquire);
        let len = word ^ self.received.word(self.received.number + nth);
        let is_usual = len < LONGEST_AT_ONCE && position + footprint(len) <= self.limit.get();
        is_usual.then_some(MessageRef {
            payload: position + WORD,
            len: len as usize,
        })
    }

    /// Behind `last`, the `nth` of the messages that are not released, to be shown now: the usual case, and short.
    #[inline(always)]
    pub(crate) fn show_at_once(
        &mut self,
        last: Option<&MessageRef>,
        nth: u64,
    ) -> Option<MessageRef> {
        // If the last one lies in a slab, this is no position; and then there is no limit.
        let position = last.map_or(self.head, MessageRef::end_in_ring);
        let found = self.glance(position, nth)?;
        let number = self.received.number + nth;
        match number >= self.shown.times(1) {
            // Not in a child of `fork`: there nothing is found so.
            true => self.note_shown(0, number),
            false => self.show_again(number),
        }
        Some(found)
    }

    /// The first message that is not released. `Empty`, `Closed` and `PeerDied` mean that there is
    /// none.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<MessageRef, RecvError> {
        if self.region.is_forked() {
            return Err(RecvError::Forked);
        }
        if self.corrupt {
            return Err(RecvError::Corrupt);
        }
        match self.find(self.head, self.received.number)? {
            Some(found) => Ok(found),
            None => self.recheck_or_end(),
        }
    }

    /// The first message that is not released, waiting for it as the options say.
    #[inline]
    pub(crate) fn peek_until(&mut self, wait: &WaitOptions) -> Result<MessageRef, RecvError> {
        match self.peek() {
            Err(RecvError::Empty) if wait.how.spins() && self.catch_up() => {}
            Err(RecvError::Empty) => self.block(wait)?,
            done => return done,
        }
        loop {
            match self.peek() {
                // A peer that takes its word back could lead us on; `block` knows the deadline.
                Err(RecvError::Empty) => self.block(wait)?,
                done => return done,
            }
        }
    }

    /// Waits for the next message by polling; `false` if it does not come soon.
    #[inline]
    fn catch_up(&mut self) -> bool {
        // A ticket is short, but not what it stands for.
        let position = self.head.saturating_add(self.loaned);
        self.backoff.wait(self.received.number, position);
        self.poll()
    }

    /// Polls without a pause, for a microsecond or two: a message that is on its way arrives within
    /// that time, and a pause instruction would delay it by half its length (some 50 ns).
    #[inline]
    fn poll(&self) -> bool {
        let mut pace = 0;
        (0..EAGER_POLLS).any(|_| {
            let ready = self.may_retry();
            // A short message may reach into the next line; have both on their way together.
            self.region.prefetch(self.head + 64, &mut pace);
            ready
        })
    }

    #[cold]
    #[inline(never)]
    fn block(&mut self, wait: &WaitOptions) -> Result<(), RecvError> {
        match wait.wait(self, PeersEnd::EndsIt, |consumer, _| consumer.may_retry()) {
            Waited::Ready => Ok(()),
            Waited::TimedOut => Err(RecvError::TimedOut),
            Waited::Forsaken => Err(RecvError::Removed),
            Waited::Interrupted => Err(RecvError::Interrupted),
            Waited::Armed => Err(RecvError::Empty),
        }
    }

    /// The message behind `found`, the `nth` after the first; `None` if it is not committed yet.
    #[inline]
    pub(crate) fn peek_behind(
        &mut self,
        found: &MessageRef,
        nth: u64,
    ) -> Result<Option<MessageRef>, RecvError> {
        let position = found.end();
        match self.glance(position, nth) {
            None => self.find(position, self.received.number + nth),
            found => Ok(found),
        }
    }

    fn find(&mut self, position: u64, number: u64) -> Result<Option<MessageRef>, RecvError> {
        // Acquire pairs with the release in `Producer::publish`: the payload is there (S2). The word is
        // fetched once; everything below works on this copy.
        let word = self.region.load_word(position, Ordering::Acquire);
        let to_end = self.capacity - (position & (self.capacity - 1));
        match Record::decode(word) {
            Record::Vacant => Ok(None),
            Record::Message { len, sequence }
                if sequence == number & SEQUENCE_MASK && footprint(len.into()) <= to_end =>
            {
                Ok(Some(MessageRef {
                    payload: position + WORD,
                    len: len as usize,
                }))
            }
            Record::Padding { len, sequence }
                if sequence == number & SEQUENCE_MASK && u64::from(len) + WORD == to_end =>
            {
                self.find_behind_padding(position + to_end, number)
            }
            Record::Loaned { sequence }
                if sequence == number & SEQUENCE_MASK && footprint(TICKET_LEN) <= to_end =>
            {
                self.find_loan(position + WORD).map(Some)
            }
            _ => Err(self.corrupted()),
        }
    }

    /// Padding is committed together with the message that starts the region.
    #[cold]
    fn find_behind_padding(
        &mut self,
        position: u64,
        number: u64,
    ) -> Result<Option<MessageRef>, RecvError> {
        match Record::decode(self.region.load_word(position, Ordering::Acquire)) {
            Record::Message { len, sequence }
                if sequence == number & SEQUENCE_MASK && footprint(len.into()) <= self.capacity =>
            {
                Ok(Some(MessageRef {
                    payload: position + WORD,
                    len: len as usize,
                }))
            }
            Record::Loaned { sequence } if sequence == number & SEQUENCE_MASK => {
                self.find_loan(position + WORD).map(Some)
            }
            _ => Err(self.corrupted()),
        }
    }

    #[cold]
    fn corrupted(&mut self) -> RecvError {
        self.corrupt = true;
        self.limit.set(0);
        RecvError::Corrupt
    }

    /// Nothing was there. If nothing will come, look once more: the producer may have committed
    /// between our look and its end.
    #[cold]
    fn recheck_or_end(&mut self) -> Result<MessageRef, RecvError> {
        let end = match PRODUCER.state(&self.region) {
            Peer::Closed => RecvError::Closed,
            Peer::Died if self.region.settle() => RecvError::PeerDied,
            // Something could come yet.
            Peer::Died => RecvError::Unsettled,
            Peer::Alive | Peer::Absent => return Err(RecvError::Empty),
        };
        self.find(self.head, self.received.number)?.ok_or(end)
    }

    /// Whether looking again could find a message, or a new error. Cheap enough to spin on.
    #[inline]
    pub(crate) fn may_retry(&self) -> bool {
        self.region.load_word(self.head, Ordering::Relaxed) != VACANT
    }

    /// The first message that is not released.
    #[inline]
    pub(crate) fn take(&mut self, wait: Option<&WaitOptions>) -> Result<MessageRef, RecvError> {
        match self.glance(self.head, 0) {
            Some(found) => Ok(found),
            None => self.take_otherwise(wait),
        }
    }

    #[inline(never)]
    fn take_otherwise(&mut self, wait: Option<&WaitOptions>) -> Result<MessageRef, RecvError> {
        match wait {
            None => self.peek(),
            Some(wait) => self.peek_until(wait),
        }
    }

    /// Copies the first message to the start of `buffer` and releases it, if it fits.
    #[inline(never)]
    pub(crate) fn recv_into(
        &mut self,
        buffer: &mut [u8],
        wait: Option<&WaitOptions>,
    ) -> Result<usize, RecvError> {
        let found = self.take_otherwise(wait)?;
        self.take_into(&found, buffer)
    }

    /// Copies a message to the start of `buffer` and releases it, if it fits.
    fn take_into(&mut self, found: &MessageRef, buffer: &mut [u8]) -> Result<usize, RecvError> {
        if self.has_loans {
            return self.take_loan_into(found, buffer);
        }
        let Some(target) = buffer.get_mut(..found.len) else {
            return Err(RecvError::BufferTooSmall { len: found.len });
        };
        self.region.read(found.payload, target);
        self.release(found, 1);
        Ok(found.len)
    }

    /// Releases `messages` messages, `last` being the last of them: acknowledges them, gives their
    /// space to the producer, and wakes it if it sleeps.
    #[inline]
    pub(crate) fn release(&mut self, last: &MessageRef, messages: u64) {
        if !self.release_at_once(last, messages) {
            self.release_otherwise(last.end_in_ring(), messages);
        }
    }

    /// The same in the usual case. `false` if it is none; then nothing was done.
    #[inline(always)]
    pub(crate) fn release_at_once(&mut self, last: &MessageRef, messages: u64) -> bool {
        // If the last one lies in a slab, this is no position; and then there is no limit.
        let end = last.end_in_ring();
        let is_usual = end < self.limit.get();
        if is_usual {
            self.release_up_to(end, self.received.number + messages);
        }
        is_usual
    }

    #[cold]
    #[inline(never)]
    fn release_otherwise(&mut self, end: u64, messages: u64) {
        if self.region.is_forked() {
            return;
        }
        match self.has_loans {
            true => self.release_loans(messages),
            false => self.release_records(end, messages),
        }
        self.renew_limit();
    }

    /// Releases `messages` messages, the last of which ends at `end`.
    fn release_records(&mut self, end: u64, messages: u64) {
        self.release_up_to(end, self.received.number + messages);
    }

    /// Releases all before the message with the number `received`, which begins at `end`.
    #[inline(always)]
    fn release_up_to(&mut self, end: u64, received: u64) {
        self.head = end;
        self.received.number = received;
        let control = self.region.control();
        // RECEIVED first, so that a death in between leaves a record at HEAD that tells the number.
        control.store64(RECEIVED, received, Ordering::Relaxed);
        // Release pairs with the acquire in `Producer::refresh_head`: the payload has been read (S3).
        control.store64(HEAD, end, Ordering::Release);
        if control.may_have(PRODUCER.event, ASLEEP) {
            self.wake();
        }
    }

    /// Wakes the producer, if it sleeps.
    #[cold]
    #[inline(never)]
    fn wake(&mut self) {
        let number = self.received.number;
        self.publisher
            .look(&mut self.region, PRODUCER.event, number);
    }

    /// Says that this consumer closes. It is seen when its slot is free.
    pub(crate) fn close(&self) {
        if !self.region.is_forked() {
            CONSUMER.mark_closed(&self.region);
        }
    }
}

impl<R: Region> Candidate for Consumer<R> {
    type Region = R;

    fn region(&self) -> &R {
        &self.region
    }

    fn is_due(&mut self) -> bool {
        self.peek() != Err(RecvError::Empty)
    }

    fn has_changed(&mut self) -> bool {
        self.may_retry()
    }

    fn prepare(&mut self) -> Watch {
        Blocked::prepare(self)
    }

    fn cancel(&mut self) {
        Blocked::cancel(self);
    }

    fn is_lonely(&mut self) -> bool {
        Blocked::is_lonely(self)
    }

    fn is_forsaken(&self) -> bool {
        Blocked::is_forsaken(self)
    }
}
