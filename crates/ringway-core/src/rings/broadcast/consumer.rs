//! The receiving side of a broadcast ring.
//!
//! # The short way
//! One that nobody overtakes, and that has no name, receives as the consumer of a stream does ([`crate::rings::stream::consumer`]): a
//! message whose record ends at its *limit* or before, and whose word is the next one's, is believed and read without further questions.
//! The limit is at most the end of the lap, and eight bytes for each message until the number in their words begins anew. It is 0 where there
//! is anything to ask or to tell ([`Consumer::renew_limit`]), and in a child of `fork` ([`Wiped`]). It is set anew after each release
//! on the long way that reaches it. A message in a slab has another word.

mod loans;

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::{AnyBitPattern, NoUninit};

use super::join::{self, is_whole};
use super::names::Named;
use super::producer_state;
use super::records::{self, Place};
use crate::error::RecvError;
use crate::memory::layout::broadcast::{CURSOR, Holds, LIMIT, NUMBER, state_offset};
use crate::memory::layout::control::{DATA_EVENT, SPACE_EVENT};
use crate::memory::layout::participant::{MESSAGES, OVERWRITTEN, slot_offset};
use crate::memory::layout::record::{Count, LONGEST_AT_ONCE, VACANT, WORD, footprint};
use crate::memory::region::{Control, Region, Spot};
use crate::presence::{Liveness, Outlook, Peer};
use crate::rings::message::{EAGER_POLLS, MessageRef};
use crate::rings::pool::Pool;
use crate::sys::fork::Wiped;
use crate::sys::futex::{MonotonicTime, Wake};
use crate::waiting::backoff::BurstBackoff;
use crate::waiting::several::Candidate;
use crate::waiting::watch::Watch;
use crate::waiting::{self, Blocked, PeersEnd, WaitOptions, Waited, eventcount};

/// One of the consumers.
#[derive(Debug)]
pub(crate) struct Consumer<R> {
    pub(crate) region: R,
    capacity: u64,
    participants: u32,
    slot: u32,
    /// Where its slot is.
    line: usize,
    /// The first byte that is not released.
    cursor: u64,
    /// The number of the message there.
    next: Count,
    /// A message whose record ends there or before may be read without further questions (see above).
    limit: Wiped,
    /// Whether the producer waits for it.
    holds: Holds,
    /// Its state while the producer has not evicted it.
    active: u64,
    /// The number of its first message, and one more for each that was passed over since.
    first: u64,
    /// Messages that this slot's holders before it released.
    released_before: u64,
    /// Messages that this slot's holders ever missed, and that this one missed.
    missed_ever: u64,
    missed: u64,
    /// Of those that it missed, how many it was not told of yet.
    untold: u64,
    evicted: bool,
    corrupt: bool,
    named: Option<Named>,
    /// Messages before this number were shown in place.
    shown: u64,
    /// How often the one that was shown last was shown.
    shows: u32,
    /// A copy of the message that was found last, by one that may be overtaken.
    copy: Vec<u8>,
    /// The slabs, if the ring has some.
    pool: Option<Box<Pool>>,
    /// Whether a message in a slab is found though it cannot be read here.
    skips: bool,
    backoff: BurstBackoff,
}

impl<R: Region> Consumer<R> {
    /// One that begins there, `missed` messages behind the one that it asked for.
    pub(super) fn at(
        region: R,
        participants: u32,
        slot: u32,
        (holds, active): (Holds, u64),
        place: Place,
        missed: u64,
        named: Option<Named>,
    ) -> Self {
        let of_slot = |counter| region.load64(slot_offset(slot) + counter, Ordering::Relaxed);
        let mut consumer = Self {
            capacity: region.capacity(),
            participants,
            slot,
            line: slot_offset(slot),
            cursor: place.position,
            next: Count::new(place.number),
            limit: Wiped::new(),
            holds,
            active,
            first: place.number,
            released_before: of_slot(MESSAGES),
            missed_ever: of_slot(OVERWRITTEN),
            missed: 0,
            untold: 0,
            evicted: false,
            corrupt: false,
            named,
            shown: named.map_or(0, |named| named.shown),
            shows: 1,
            copy: Vec::new(),
            pool: None,
            skips: false,
            backoff: BurstBackoff::new(place.number, place.position),
            region,
        };
        consumer.miss(missed);
        consumer.renew_limit();
        consumer
    }

    /// The same, whom the producer has passed already if `yes`.
    pub(super) fn evicted(mut self, yes: bool) -> Self {
        self.evicted = yes;
        self.renew_limit();
        self
    }

    /// Sets anew up to where messages are received at once.
    fn renew_limit(&mut self) {
        if self.region.is_forked() {
            return;
        }
        self.next.renew();
        let lap = self.capacity - (self.cursor & (self.capacity - 1));
        let counted = self.next.left() * WORD;
        let limit = self.cursor + lap.min(counted).min(LONGEST_AT_ONCE);
        let is_told = self.untold == 0 && !self.evicted && !self.corrupt;
        let is_usual = is_told && !self.copies() && self.named.is_none();
        self.limit.set(if is_usual { limit } else { 0 });
    }

    /// Messages that this one has released.
    #[inline(always)]
    pub(crate) fn received(&self) -> u64 {
        self.next.number - self.first
    }

    /// Messages that this one asked for and did not get.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// The number of the next message, the first that is not released.
    pub(crate) fn number(&self) -> u64 {
        self.next.number
    }

    fn miss(&mut self, messages: u64) {
        if messages > 0 {
            self.missed = self.missed.saturating_add(messages);
            self.untold = self.untold.saturating_add(messages);
            self.missed_ever = self.missed_ever.wrapping_add(messages);
            // Relaxed: for observers.
            let at = self.line + OVERWRITTEN;
            self.region.store64(at, self.missed_ever, Ordering::Relaxed);
        }
    }

    /// Whether the producer may overtake it, so that it copies first and believes it afterwards.
    #[inline]
    fn copies(&self) -> bool {
        self.holds != Holds::Always
    }

    /// What was found last, if it is in private memory.
    #[inline]
    pub(crate) fn copied(&self, found: &MessageRef) -> Option<&[u8]> {
        match self.copies() {
            true => self.copy.get(..found.len),
            false => None,
        }
    }

    /// The first message that is not released. `Empty`, `Closed` and `PeerDied` mean that there is none.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<MessageRef, RecvError> {
        self.check_handle()?;
        match self.find_copy(self.cursor, self.next.number)? {
            Some(found) => Ok(found),
            None => self.recheck_or_end(),
        }
    }

    /// The message with that number at `position`, in the usual case.
    #[inline(always)]
    fn glance(&self, position: u64, number: u64) -> Option<MessageRef> {
        // Acquire: as in `records::find`.
        let word = self.region.spot(position).load(Ordering::Acquire);
        let len = word ^ self.next.word(number);
        let is_usual = len < LONGEST_AT_ONCE && position + footprint(len) <= self.limit.get();
        is_usual.then_some(MessageRef {
            payload: position + WORD,
            len: len as usize,
        })
    }

    /// What stands against receiving at all, and what is to be told first.
    #[inline]
    fn check_handle(&mut self) -> Result<(), RecvError> {
        if self.region.is_forked() {
            return Err(RecvError::Forked);
        }
        if self.untold > 0 || self.evicted || self.corrupt {
            return self.tell();
        }
        Ok(())
    }

    #[cold]
    fn tell(&mut self) -> Result<(), RecvError> {
        if self.corrupt {
            return Err(RecvError::Corrupt);
        }
        match std::mem::take(&mut self.untold) {
            0 if self.evicted => Err(RecvError::Evicted),
            0 => Ok(()),
            missed => Err(RecvError::Lagged { missed }),
        }
    }

    /// The message behind `found`, the `nth` after the first; `None` if it is not committed yet, or was overtaken.
    #[inline]
    pub(crate) fn peek_behind(
        &mut self,
        found: &MessageRef,
        nth: u64,
    ) -> Result<Option<MessageRef>, RecvError> {
        let (position, number) = (found.next_record(), self.next.number + nth);
        if let Some(found) = self.glance(position, number) {
            return Ok(Some(found));
        }
        if self.evicted || self.corrupt {
            return self.tell().map(|()| None);
        }
        match self.find_copy(position, number) {
            // Told when what was found before is released, and this would be the first one.
            Err(RecvError::Lagged { .. }) => Ok(None),
            found => found,
        }
    }

    /// Finds a message, and copies it if the producer may overtake this one.
    #[inline]
    fn find_copy(&mut self, position: u64, number: u64) -> Result<Option<MessageRef>, RecvError> {
        let found = records::find(&self.region, position, number);
        if let Ok(Some(found)) = &found
            && found.is_loaned()
        {
            return self.find_loan(found, (position, number)).map(Some);
        }
        if !self.copies() {
            return found.map_err(|_| self.corrupted());
        }
        if let Ok(Some(found)) = &found {
            if self.copy.len() < found.len {
                self.copy.resize(found.len, 0);
            }
            let target = &mut self.copy[..found.len];
            self.region.read_racy(found.payload, target);
        }
        self.check(position, number)?;
        found.map_err(|_| self.corrupted())
    }

    /// Whether what was read from `position` on, where message `number` is, can be believed.
    #[inline]
    fn check(&mut self, position: u64, number: u64) -> Result<(), RecvError> {
        match self.holds {
            Holds::Always => Ok(()),
            Holds::Never => match is_whole(&self.region, position) {
                true => Ok(()),
                false => Err(self.overtaken(number)),
            },
            Holds::Bounded => {
                // (B3) Pairs with the fence in `Producer::raise`: who has read what was overwritten sees that it was evicted.
                self.region.copied_fence();
                match self.is_held() {
                    true => Ok(()),
                    false => {
                        self.evicted = true;
                        Err(RecvError::Evicted)
                    }
                }
            }
        }
    }

    /// Whether the producer has not passed it.
    #[inline]
    fn is_held(&self) -> bool {
        self.region
            .load64(state_offset(self.slot), Ordering::Relaxed)
            == self.active
    }

    /// Goes on behind what was overwritten, if message `number` is the first that is not released.
    #[cold]
    fn overtaken(&mut self, number: u64) -> RecvError {
        if number != self.next.number {
            return RecvError::Lagged { missed: 0 };
        }
        let Some(place) = join::resume(&self.region, self.participants) else {
            // It is overtaken again and again; nothing is known of how many there were.
            return RecvError::Lagged { missed: 0 };
        };
        // What is overwritten lies before what is not.
        if place.number <= self.next.number || place.position <= self.cursor {
            return self.corrupted();
        }
        let missed = place.number - self.next.number;
        self.miss(missed);
        self.first += missed;
        (self.cursor, self.next.number) = (place.position, place.number);
        self.store_place();
        let missed = std::mem::take(&mut self.untold);
        RecvError::Lagged { missed }
    }

    #[cold]
    fn corrupted(&mut self) -> RecvError {
        self.corrupt = true;
        self.limit.set(0);
        RecvError::Corrupt
    }

    /// Nothing was there. If nothing will come, look once more: the producer may have committed between our look and its
    /// end.
    #[cold]
    fn recheck_or_end(&mut self) -> Result<MessageRef, RecvError> {
        let end = match self.producer() {
            Peer::Closed => RecvError::Closed,
            Peer::Died if self.region.settle() => RecvError::PeerDied,
            // Something could come yet.
            Peer::Died => RecvError::Unsettled,
            Peer::Alive | Peer::Absent => return Err(RecvError::Empty),
        };
        self.find_copy(self.cursor, self.next.number)?.ok_or(end)
    }

    /// What is known of the producer.
    pub(crate) fn producer(&self) -> Peer {
        producer_state(&self.region, Outlook::new(self.participants, self.slot))
    }

    /// Whether looking again could find a message, or a new error. Cheap enough to spin on.
    #[inline]
    pub(crate) fn may_retry(&self) -> bool {
        if self.region.load_word(self.cursor, Ordering::Relaxed) != VACANT {
            return true;
        }
        match self.holds {
            Holds::Always => false,
            // Where it was overtaken there may be anything, a zero as well.
            Holds::Never => {
                let limit = self.region.load64(LIMIT, Ordering::Relaxed);
                limit.saturating_sub(self.cursor) > self.capacity
            }
            Holds::Bounded => !self.is_held(),
        }
    }

    /// The first message that is not released.
    #[inline]
    pub(crate) fn take(&mut self, wait: Option<&WaitOptions>) -> Result<MessageRef, RecvError> {
        match self.glance(self.cursor, self.next.number) {
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
        self.backoff.wait(self.next.number, self.cursor);
        let mut pace = 0;
        (0..EAGER_POLLS).any(|_| {
            let ready = self.may_retry();
            // A short message may reach into the next line; have both on their way together.
            self.region.prefetch(self.cursor + 64, &mut pace);
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

    /// Copies the first message to the start of `buffer` and releases it, in the usual case; `None`, and nothing is done, if it is none.
    #[inline(always)]
    pub(crate) fn recv_at_once(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let (cursor, place) = (self.cursor, self.region.spot(self.cursor));
        // Acquire: as in `records::find`.
        let word = place.load(Ordering::Acquire);
        let number = self.next.number;
        let len = word ^ self.next.word(number);
        let target = buffer.get_mut(..usize::try_from(len).ok()?)?;
        let end = cursor + footprint(len);
        if end > self.limit.get() {
            return None;
        }
        // SAFETY: the limit, and so the record's end, is at most the end of the lap.
        unsafe { place.read(target) };
        self.release_up_to(end, number + 1);
        Some(len as usize)
    }

    /// Receives the first message as a `T`, if it has as many bytes, in the usual case. `false`: nothing was done; else `value` is
    /// initialised.
    #[inline(always)]
    pub(crate) fn recv_value_at_once<T: NoUninit + AnyBitPattern>(
        &mut self,
        value: &mut MaybeUninit<T>,
    ) -> bool {
        let place = self.region.spot(self.cursor);
        let number = self.next.number;
        let end = self.cursor + footprint(size_of::<T>() as u64);
        let expected = self.next.word(number) | size_of::<T>() as u64;
        // Acquire: as in `records::find`.
        if place.load(Ordering::Acquire) != expected || end > self.limit.get() {
            return false;
        }
        // SAFETY: the limit, and so the record's end, is at most the end of the lap.
        unsafe { place.read_value(value) };
        self.release_up_to(end, number + 1);
        true
    }

    /// Copies the first message to the start of `buffer` and releases it, if it fits.
    #[inline(always)]
    pub(crate) fn recv_into(
        &mut self,
        buffer: &mut [u8],
        wait: Option<&WaitOptions>,
    ) -> Result<usize, RecvError> {
        match self.recv_at_once(buffer) {
            Some(len) => Ok(len),
            None => self.recv_otherwise(buffer, wait),
        }
    }

    #[inline(never)]
    fn recv_otherwise(
        &mut self,
        buffer: &mut [u8],
        wait: Option<&WaitOptions>,
    ) -> Result<usize, RecvError> {
        let found = self.take_otherwise(wait)?;
        let Some(target) = buffer.get_mut(..found.len) else {
            return Err(RecvError::BufferTooSmall { len: found.len });
        };
        match (self.copied(&found), self.shown()) {
            (Some(copy), _) => target.copy_from_slice(copy),
            (None, Some(loan)) if found.is_loaned() => self.region.read_slab(loan.at, target),
            (None, _) => self.region.read(found.payload, target),
        }
        if !self.region.is_forked() {
            self.release(&found, 1);
        }
        Ok(found.len)
    }

    /// Releases `messages` messages, `last` being the last of them: acknowledges them, gives their space to the
    /// producer, and wakes it if it sleeps.
    #[inline]
    pub(crate) fn release(&mut self, last: &MessageRef, messages: u64) {
        if self.region.is_forked() {
            return;
        }
        self.release_to(Place {
            position: last.next_record(),
            number: self.next.number + messages,
        });
    }

    #[inline]
    fn release_to(&mut self, place: Place) {
        (self.cursor, self.next.number) = (place.position, place.number);
        self.store_place();
        eventcount::notify(&self.region, SPACE_EVENT);
        if place.position >= self.limit.get() {
            self.renew_limit();
        }
    }

    /// The same on the short way, by one that has no name.
    #[inline(always)]
    fn release_up_to(&mut self, cursor: u64, number: u64) {
        (self.cursor, self.next.number) = (cursor, number);
        self.show_place(self.region.control());
        eventcount::notify(&self.region, SPACE_EVENT);
    }

    /// Releases the first `count` of the messages that were looked at.
    pub(crate) fn release_first(&mut self, count: u64) {
        let place = Place {
            position: self.cursor,
            number: self.next.number,
        };
        let Ok(place) = place.walk(&self.region, self.next.number.saturating_add(count)) else {
            return;
        };
        match self.check(self.cursor, self.next.number) {
            Ok(()) if !self.region.is_forked() && place.number > self.next.number => {
                self.release_to(place);
            }
            // It was overtaken, which this call cannot tell; the next one does.
            Err(RecvError::Lagged { missed }) => {
                self.untold = self.untold.saturating_add(missed);
            }
            _ => {}
        }
    }

    /// Waits for a live producer or a message.
    pub(crate) fn wait_for_peer(&mut self, wait: &WaitOptions) -> Result<(), RecvError> {
        if self.region.is_forked() {
            return Err(RecvError::Forked);
        }
        match waiting::wait_for_peer(self, wait, |consumer| consumer.may_retry()) {
            _ if self.producer() == Peer::Alive || self.may_retry() => Ok(()),
            // Somebody was there, and may be gone again.
            Waited::Ready => Ok(()),
            Waited::TimedOut => Err(RecvError::TimedOut),
            Waited::Forsaken => Err(RecvError::Removed),
            Waited::Interrupted => Err(RecvError::Interrupted),
            Waited::Armed => Err(RecvError::Empty),
        }
    }

    /// Says how far it is, and notes that by its name.
    #[inline]
    fn store_place(&self) {
        if let Some(named) = &self.named {
            let place = Place {
                position: self.cursor,
                number: self.next.number,
            };
            named.note(&self.region, place);
        }
        self.show_place(self.region.control());
    }

    /// Says how far it is.
    #[inline(always)]
    fn show_place(&self, control: R::Control<'_>) {
        // Relaxed: for observers.
        let released = self.released_before.wrapping_add(self.received());
        control.store64(self.line + MESSAGES, released, Ordering::Relaxed);
        control.store64(self.line + NUMBER, self.next.number, Ordering::Relaxed);
        // Release pairs with the acquire in `Producer::holder`: the payload has been read (B2).
        control.store64(self.line + CURSOR, self.cursor, Ordering::Release);
    }

    /// The `nth` behind the first is about to be shown in place.
    #[inline]
    pub(crate) fn show(&mut self, nth: u64) {
        let number = self.next.number + nth;
        if number < self.shown {
            self.shows = match number + 1 == self.shown {
                true => self.shows.saturating_add(1),
                false => 2,
            };
            return;
        }
        (self.shown, self.shows) = (number + 1, 1);
        if let Some(named) = &self.named {
            named.show(&self.region, self.shown);
        }
    }

    /// How often message `number` was delivered, with this time, as far as that is known.
    pub(crate) fn deliveries(&self, number: u64) -> u32 {
        match number + 1 == self.shown {
            true => self.shows.min(15),
            false => 1 + u32::from(number < self.shown),
        }
    }
}

impl<R: Region> Blocked for Consumer<R> {
    fn prepare(&mut self) -> Watch {
        let event = eventcount::prepare(&self.region, DATA_EVENT);
        // The watcher sees to deaths.
        Watch::of(DATA_EVENT, event)
    }

    /// The event stays as it is: others may be asleep on it.
    fn cancel(&mut self) {}

    fn sleep(&mut self, watch: &Watch, deadline: Option<MonotonicTime>) -> Wake {
        self.region.wait(watch.words(), deadline)
    }

    fn in_vain(&mut self) -> bool {
        matches!(self.producer(), Peer::Closed | Peer::Died)
    }

    fn peer(&self) -> Peer {
        self.producer()
    }

    fn is_lonely(&mut self) -> bool {
        let outlook = Outlook::new(self.participants, self.slot);
        self.region.name().is_some()
            && outlook.liveness(&self.region, super::PRODUCER_SLOT) != Liveness::Alive
    }

    fn is_forsaken(&self) -> bool {
        self.region.name().is_some_and(|name| name.is_forsaken())
    }

    fn interrupted(&self) -> Option<&AtomicBool> {
        self.region.interrupted()
    }
}

impl<R: Region> Candidate for Consumer<R> {
    type Region = R;

    fn region(&self) -> &R {
        &self.region
    }

    fn is_due(&mut self) -> bool {
        // Nothing is found here: what is told once is told by the call that is made then.
        let has_news = self.untold > 0 || self.evicted || self.corrupt || self.region.is_forked();
        has_news || self.may_retry() || Blocked::in_vain(self)
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
