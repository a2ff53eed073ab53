//! The receiving side of a stream ring.

mod loans;
mod shown;

use std::sync::atomic::Ordering;

use shown::Shown;

use super::{CONSUMER, OneSide, PRODUCER, Side, count_repaired, walk};
use crate::error::RecvError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::control::{HEAD, RECEIVED};
use crate::memory::layout::participant::Role;
use crate::memory::layout::pool::TICKET_LEN;
use crate::memory::layout::record::{Record, SEQUENCE_MASK, VACANT, WORD, footprint};
use crate::memory::region::Region;
use crate::presence::Peer;
use crate::rings::message::{EAGER_POLLS, MessageRef};
use crate::rings::pool::{IN_SLAB, Pool};
use crate::waiting::backoff::BurstBackoff;
use crate::waiting::several::{Candidate, SleepsOn};
use crate::waiting::watch::Watch;
use crate::waiting::{Blocked, PeersEnd, WaitOptions, Waited, eventcount};

/// The one consumer.
#[derive(Debug)]
pub(crate) struct Consumer<R> {
    pub(crate) region: R,
    capacity: u64,
    /// The first byte that is not released.
    head: u64,
    /// Messages ever released.
    received: u64,
    backoff: BurstBackoff,
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
    #[inline]
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
        Ok(Self {
            shown: Shown::load(&region),
            region,
            capacity,
            head,
            received,
            backoff: BurstBackoff::new(received, head),
            corrupt: false,
            loaned: 0,
            has_loans: false,
            skips: false,
            pool: None,
        })
    }

    /// Messages ever released.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The first message that is not released, if it lies in the ring and nothing stands against receiving. This is
    /// the usual case, and short: part of the caller's loop.
    #[inline(always)]
    pub(crate) fn glance(&self) -> Option<MessageRef> {
        if self.region.is_forked() || self.corrupt || self.has_loans {
            return None;
        }
        // Acquire: as in `find`.
        let word = self.region.load_word(self.head, Ordering::Acquire);
        let Record::Message { len, sequence } = Record::decode(word) else {
            return None;
        };
        let to_end = self.capacity - (self.head & (self.capacity - 1));
        let is_next = sequence == self.received & SEQUENCE_MASK && footprint(len.into()) <= to_end;
        is_next.then_some(MessageRef {
            payload: self.head + WORD,
            len: len as usize,
        })
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
        match self.find(self.head, self.received)? {
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
        self.backoff.wait(self.received, position);
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
        self.find(found.end(), self.received + nth)
    }

    #[inline]
    fn find(&mut self, position: u64, number: u64) -> Result<Option<MessageRef>, RecvError> {
        // Acquire pairs with the release in `Producer::publish`: the payload is there. The word is
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
        self.find(self.head, self.received)?.ok_or(end)
    }

    /// Whether looking again could find a message, or a new error. Cheap enough to spin on.
    #[inline]
    pub(crate) fn may_retry(&self) -> bool {
        self.region.load_word(self.head, Ordering::Relaxed) != VACANT
    }

    /// The first message that is not released.
    #[inline]
    pub(crate) fn take(&mut self, wait: Option<&WaitOptions>) -> Result<MessageRef, RecvError> {
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
        let found = self.take(wait)?;
        self.take_into(&found, buffer)
    }

    /// Copies a message to the start of `buffer` and releases it, if it fits.
    #[inline]
    pub(crate) fn take_into(
        &mut self,
        found: &MessageRef,
        buffer: &mut [u8],
    ) -> Result<usize, RecvError> {
        if self.has_loans {
            return self.take_loan_into(found, buffer);
        }
        let Some(target) = buffer.get_mut(..found.len) else {
            return Err(RecvError::BufferTooSmall { len: found.len });
        };
        self.region.read(found.payload, target);
        if !self.region.is_forked() {
            self.release_records(found.end_in_ring(), 1);
        }
        Ok(found.len)
    }

    /// Releases `messages` messages, `last` being the last of them: acknowledges them, gives their
    /// space to the producer, and wakes it if it sleeps.
    #[inline]
    pub(crate) fn release(&mut self, last: &MessageRef, messages: u64) {
        if self.region.is_forked() {
            return;
        }
        if self.has_loans {
            return self.release_loans(messages);
        }
        self.release_records(last.end_in_ring(), messages);
    }

    /// Releases `messages` messages, the last of which ends at `end`.
    #[inline]
    fn release_records(&mut self, end: u64, messages: u64) {
        self.head = end;
        self.received += messages;
        // RECEIVED first, so that a death in between leaves a record at HEAD that tells the number.
        self.region
            .store64(RECEIVED, self.received, Ordering::Relaxed);
        // Release pairs with the acquire in `Producer::refresh_head`: the payload has been read.
        self.region.store64(HEAD, self.head, Ordering::Release);
        eventcount::notify(&self.region, PRODUCER.event);
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

    fn sleeps_on(&self) -> SleepsOn<'_> {
        SleepsOn::Words
    }

    fn drain(&mut self) {}

    fn is_lonely(&mut self) -> bool {
        Blocked::is_lonely(self)
    }

    fn is_forsaken(&self) -> bool {
        Blocked::is_forsaken(self)
    }
}
