//! The sending side of a broadcast ring.
//!
//! # The short way
//! As the producer of a stream has one ([`crate::rings::stream::producer`]), this one has a private number, `at_once`: a record that ends
//! there or before is written without a look at anything else. It is at most
//!
//! | | else |
//! |---|---|
//! | the lap's last word | a stop word behind it begins the next lap, or padding comes before it |
//! | a stop word before `limit` | those that hold the producer up are looked at, or a waypoint is set |
//! | the longest record behind the tail as it was when the number was set, and 2^31 bytes | it is too long, or goes into a slab |
//! | eight bytes for each message until the number in their words begins anew | [`Count`] has to be told |
//! | 0 in a ring that was found corrupt, and in a child of `fork` ([`Wiped`]) | `Corrupt`, `Forked` |
//!
//! It is set anew with `limit`, and after each commit on the long way that reaches it.

mod gate;
mod loans;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use gate::{Need, Obstacle};
use loans::Loans;

use super::records::{self, MOST_POSITION, Place};
use super::{PRODUCER_SLOT, waypoints};
use crate::error::SendError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::broadcast::{LIMIT, STRIDES};
use crate::memory::layout::control::{DATA_EVENT, PRODUCER_CLOSED, SENT, SPACE_EVENT, TAIL};
use crate::memory::layout::participant::{REPAIRED, slot_offset};
use crate::memory::layout::record::{
    Count, LONGEST_AT_ONCE, Record, VACANT, WORD, footprint, max_payload,
};
use crate::memory::region::{Control, Region, Spot};
use crate::presence::{Liveness, Outlook, Peer};
use crate::rings::pool::Pool;
use crate::sys::fork::Wiped;
use crate::sys::futex::{MonotonicTime, Wake};
use crate::waiting::backoff::BurstBackoff;
use crate::waiting::watch::Watch;
use crate::waiting::{Blocked, Look, PeersEnd, WaitOptions, Waited, eventcount};

/// The one producer.
#[derive(Debug)]
pub(crate) struct Producer<R> {
    pub(crate) region: R,
    capacity: u64,
    /// Where the stop word is.
    tail: u64,
    /// Messages ever committed.
    sent: Count,
    /// A record that ends there or before may be written without further questions (see above).
    at_once: Wiped,
    /// How far a message at the tail may go before there is something to do: a look at the others, or a waypoint.
    limit: u64,
    /// The same for the next message of the batch.
    batch_limit: u64,
    /// How far it may write without looking at anybody: the limits are not beyond it.
    granted: u64,
    /// The highest limit that this producer, or one before it, may have used: `LIMIT` is never less.
    used: u64,
    /// After how many bytes to look again.
    stride: u64,
    /// The last waypoint: its position and index.
    waypoint: (u64, usize),
    /// Places in the batch that become waypoints when it is committed.
    laid: Vec<Place>,
    participants: u32,
    /// Policies that the ring allows.
    policies: u8,
    /// A batch that is not committed yet.
    pending: Option<Pending>,
    /// Who stood in the way when it looked last.
    obstacle: Option<Obstacle>,
    /// Since when there was no room.
    blocked_since: Option<Instant>,
    /// When to look at once whether somebody has held it up for too long.
    patience: Option<Instant>,
    backoff: BurstBackoff,
    /// Bytes of the longest message that is copied through the ring if there is a slab for it.
    longest: u64,
    /// The slabs, if the ring has some.
    pub(crate) pool: Option<Box<Pool>>,
    loans: Loans,
    corrupt: bool,
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

    /// The end of what is written: padding, record and stop word.
    fn need(&self) -> u64 {
        self.start + self.padding + footprint(self.len) + WORD
    }
}

/// Records that are laid behind the stop word and become visible together.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// The word that will replace the stop word.
    first_word: u64,
    end: u64,
    messages: u64,
}

impl<R: Region> Producer<R> {
    /// Takes up the work where the last producer left it. Its slot is held, and all see that.
    pub(crate) fn resume(region: R, participants: u32, policies: u8) -> Result<Self, Corrupt> {
        let capacity = region.capacity();
        let begin = records::tail(&region).ok_or(Corrupt)?;
        let tail = begin.walk(&region, u64::MAX)?;
        // Relaxed: the last producer is gone, and taking its liveness word was an acquire.
        let used = region.load64(LIMIT, Ordering::Relaxed);
        // It wrote before its limit, and never was a capacity ahead of itself.
        if !tail.is_vacant(&region) || used > tail.position.saturating_add(capacity) {
            return Err(Corrupt);
        }
        let stride = capacity / STRIDES;
        let (newest, index) = waypoints::newest(&region, participants);
        // Nobody sets one ahead of the tail.
        let newest = newest.min(tail.position);
        // The last one may have died between the commit of a batch and its waypoints.
        let mut laid = Vec::new();
        begin.walk_over(&region, tail.number, |place, end| {
            waypoints::note(&mut laid, newest, stride, (place, end));
        })?;
        let counted = region.load64(SENT, Ordering::Relaxed);
        count_repaired(&region, tail.number.saturating_sub(counted));
        let mut producer = Self {
            capacity,
            tail: tail.position,
            sent: Count::new(tail.number),
            at_once: Wiped::new(),
            // It has not looked at anybody yet.
            limit: tail.position,
            batch_limit: tail.position,
            granted: tail.position,
            used,
            stride,
            waypoint: (newest, index),
            laid,
            participants,
            policies,
            pending: None,
            obstacle: None,
            blocked_since: None,
            patience: None,
            backoff: BurstBackoff::new(tail.number, tail.position),
            longest: max_payload(capacity),
            pool: None,
            loans: Loans::default(),
            corrupt: false,
            region,
        };
        producer.set_laid();
        producer.show(producer.region.control());
        // Relaxed: made visible by whatever this one does next, its leaving included.
        producer
            .region
            .store32(PRODUCER_CLOSED, 0, Ordering::Relaxed);
        producer.announce();
        Ok(producer)
    }

    /// Messages ever committed.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.number
    }

    /// The longest message, in bytes.
    pub(crate) fn max_len(&self) -> u64 {
        max_payload(self.capacity)
    }

    /// Wakes consumers that sleep, to see that this one has come or left.
    pub(crate) fn announce(&self) {
        eventcount::notify(&self.region, DATA_EVENT);
    }

    /// Says that this producer closes. It is seen when its slot is free.
    pub(crate) fn close(&self) {
        if !self.region.is_forked() {
            // Release pairs with the acquire in `producer_state`.
            self.region.store32(PRODUCER_CLOSED, 1, Ordering::Release);
        }
    }

    /// Sends a copy of `message` in the usual case; `false` if it is none.
    #[inline(always)]
    pub(crate) fn send_at_once(&mut self, message: &[u8]) -> bool {
        let len = message.len() as u64;
        let end = self.tail + footprint(len);
        if end > self.at_once.get() {
            return false;
        }
        let place = self.region.spot(self.tail);
        // From the back to the front, so that the line on which consumers poll is written last. The stop word is made visible by
        // the release of the record's word.
        // SAFETY: the record's end is at most the lap's last word.
        unsafe {
            place
                .behind(footprint(len))
                .store(VACANT, Ordering::Relaxed);
            place.write(message);
        }
        let number = self.sent.number;
        // Release, as in `commit_word`.
        place.store(self.sent.word(number) | len, Ordering::Release);
        (self.tail, self.sent.number) = (end, number + 1);
        self.tell();
        true
    }

    /// Sets anew up to where records are written at once.
    fn renew_at_once(&mut self) {
        if self.region.is_forked() {
            return;
        }
        self.sent.renew();
        let lap = self.capacity - (self.tail & (self.capacity - 1));
        // Rounded down: what is a few bytes longer has the same footprint as the longest. Those take the long way.
        let longest = (self.longest + WORD) & !7;
        let ahead = (lap - WORD)
            .min(longest)
            .min(LONGEST_AT_ONCE)
            .min(self.sent.left() * WORD);
        let room = self.limit.saturating_sub(WORD);
        let end = room.min(self.tail + ahead);
        self.at_once.set(if self.corrupt { 0 } else { end });
    }

    /// Sets `limit`.
    fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.renew_at_once();
    }

    #[cold]
    fn corrupted(&mut self) -> SendError {
        self.corrupt = true;
        self.at_once.set(0);
        SendError::Corrupt
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
    fn write_and_commit(&mut self, reservation: Reservation, message: &[u8]) {
        let pending = self.stage(None, reservation, message.len() as u64);
        // From the back to the front, so that the line on which consumers poll is written last.
        self.stop_behind(&pending);
        self.region.write(reservation.payload(), message);
        self.publish(pending);
    }

    /// Reserves room for a message of `len` bytes behind what is committed.
    pub(crate) fn reserve(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Reservation, SendError> {
        self.reserve_up_to(self.longest, len, wait)
    }

    /// The same, be it so long that a slab would be better for it.
    pub(crate) fn reserve_to_copy(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Reservation, SendError> {
        self.reserve_up_to(self.max_len(), len, wait)
    }

    fn reserve_up_to(
        &mut self,
        longest: u64,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Reservation, SendError> {
        loop {
            match (
                self.reserve_at(self.here(), self.limit, (len, longest)),
                wait,
            ) {
                (Err(SendError::Full), Some(wait)) => {
                    let need = Need::Room(self.place(self.tail, len as u64).need());
                    if !(wait.how.spins() && self.fall_back(need)) {
                        self.block(wait, need)?;
                    }
                }
                (done, _) => return done,
            }
        }
    }

    /// Reserves room for a message of `len` bytes, of at most `longest`, that starts at `from`, where there is nothing to do up to
    /// `limit`.
    fn reserve_at(
        &mut self,
        from: Place,
        limit: u64,
        (len, longest): (usize, u64),
    ) -> Result<Reservation, SendError> {
        self.check_handle()?;
        if len as u64 > longest {
            return Err(SendError::TooLarge {
                len,
                max: longest as usize,
            });
        }
        let reservation = self.place(from.position, len as u64);
        if reservation.need() > limit {
            self.raise(from, reservation.need())?;
        }
        Ok(reservation)
    }

    /// What stands against sending at all.
    fn check_handle(&self) -> Result<(), SendError> {
        if self.region.is_forked() {
            return Err(SendError::Forked);
        }
        // No batch is so long that it goes from there to where positions end.
        if self.corrupt || self.tail > MOST_POSITION {
            return Err(SendError::Corrupt);
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

    /// Lets the consumers make room; whether they did.
    #[cold]
    #[inline(never)]
    fn fall_back(&mut self, need: Need) -> bool {
        self.backoff.wait(self.sent.number, self.tail);
        self.has_room(need)
    }

    #[cold]
    #[inline(never)]
    fn block(&mut self, wait: &WaitOptions, need: Need) -> Result<(), SendError> {
        self.block_until(wait, |producer, look| {
            producer.obstacle_has_changed() || look == Look::Last && producer.has_room(need)
        })
    }

    fn block_until(
        &mut self,
        wait: &WaitOptions,
        is_due: impl FnMut(&mut Self, Look) -> bool,
    ) -> Result<(), SendError> {
        let until = [wait.deadline, self.patience].into_iter().flatten().min();
        // Who is waited for lives, so no end of anybody ends it.
        let waited = wait.until(until).wait(self, PeersEnd::IsNoEnd, is_due);
        let is_over = |deadline: Instant| Instant::now() >= deadline;
        match waited {
            Waited::TimedOut if wait.deadline.is_some_and(is_over) => Err(SendError::TimedOut),
            // Or somebody has held it up for too long.
            Waited::Ready | Waited::TimedOut => Ok(()),
            Waited::Forsaken => Err(SendError::Removed),
            Waited::Interrupted => Err(SendError::Interrupted),
            Waited::Armed => Err(SendError::Full),
        }
    }

    /// Waits until all consumers that live have released all that was committed.
    pub(crate) fn drained_until(&mut self, wait: &WaitOptions) -> Result<(), SendError> {
        loop {
            if self.region.is_forked() {
                return Err(SendError::Forked);
            }
            if self.is_drained() {
                return Ok(());
            }
            match wait.wait(self, PeersEnd::IsNoEnd, |producer, look| {
                look == Look::Last && producer.is_drained() || producer.obstacle_has_changed()
            }) {
                Waited::Ready => {}
                Waited::TimedOut if self.is_drained() => {}
                Waited::TimedOut => return Err(SendError::TimedOut),
                Waited::Forsaken => return Err(SendError::Removed),
                Waited::Interrupted => return Err(SendError::Interrupted),
                Waited::Armed => return Err(SendError::Full),
            }
        }
    }

    /// Adds a message to the batch. Nothing is visible yet.
    pub(crate) fn push(&mut self, message: &[u8]) -> Result<(), SendError> {
        let from = match self.pending {
            Some(pending) => Place {
                position: pending.end,
                number: self.sent.number + pending.messages,
            },
            None => {
                self.laid.clear();
                self.batch_limit = self.limit;
                self.here()
            }
        };
        let len = (message.len(), self.max_len());
        let reservation = self.reserve_at(from, self.batch_limit, len)?;
        self.region.write(reservation.payload(), message);
        let pending = self.pending.take();
        self.pending = Some(self.stage(pending, reservation, message.len() as u64));
        Ok(())
    }

    /// Commits the batch, and returns how many messages it had.
    pub(crate) fn commit_batch(&mut self) -> u64 {
        // None in a child of `fork`.
        let pending = self.pending.take().filter(|_| !self.region.is_forked());
        pending.map_or(0, |pending| {
            self.stop_behind(&pending);
            self.commit_word(&pending);
            self.set_limit(self.limit.max(self.batch_limit));
            // Before TAIL, from which the next producer sets those that this one does not come to set.
            self.set_laid();
            self.tell_all();
            pending.messages
        })
    }

    /// Gives up what is not committed.
    pub(crate) fn abort(&mut self) {
        self.pending = None;
    }

    /// Commits a message of `len` bytes that was written where it was reserved.
    pub(crate) fn commit(&mut self, reservation: Reservation, len: u64) {
        if !self.region.is_forked() {
            let pending = self.stage(None, reservation, len);
            self.stop_behind(&pending);
            self.publish(pending);
        }
    }

    /// Stages a record in a reservation, behind `pending` or as the first of a batch. `len` may be less than was
    /// reserved. Nothing is visible yet.
    #[inline]
    fn stage(&self, pending: Option<Pending>, reservation: Reservation, len: u64) -> Pending {
        let messages = pending.map_or(0, |pending| pending.messages);
        let word = Record::message(len as u32, self.sent.number + messages);
        self.stage_record(pending, reservation, (word, len))
    }

    /// The same of a record with that word and so many bytes behind it.
    #[inline(always)]
    fn stage_record(
        &self,
        pending: Option<Pending>,
        reservation: Reservation,
        (word, len): (u64, u64),
    ) -> Pending {
        let messages = pending.map_or(0, |pending| pending.messages);
        let number = self.sent.number + messages;
        let record_at = reservation.start + reservation.padding;
        let mut first_word = word;
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

    #[inline]
    fn stop_behind(&self, pending: &Pending) {
        // Relaxed: made visible by the release of the first word.
        self.region
            .store_word(pending.end, VACANT, Ordering::Relaxed);
    }

    #[inline]
    fn publish(&mut self, pending: Pending) {
        self.commit_word(&pending);
        self.tell_all();
    }

    #[inline]
    fn commit_word(&mut self, pending: &Pending) {
        // (B1) Release pairs with the acquire in `records::find`: payload, later words and the stop word are seen by who sees
        // this word.
        self.region
            .store_word(self.tail, pending.first_word, Ordering::Release);
        self.tail = pending.end;
        self.sent.number += pending.messages;
    }

    /// Tells all what was committed on the long way.
    #[inline]
    fn tell_all(&mut self) {
        self.tell();
        if self.tail >= self.at_once.get() {
            self.renew_at_once();
        }
    }

    /// Tells all what was committed.
    #[inline(always)]
    fn tell(&self) {
        self.show(self.region.control());
        eventcount::notify(&self.region, DATA_EVENT);
    }

    /// For observers, newcomers and the next producer. Releases pair with the acquires in `records::tail`: what is
    /// counted is committed, and TAIL is not before SENT.
    #[inline(always)]
    fn show(&self, control: R::Control<'_>) {
        control.store64(SENT, self.sent.number, Ordering::Release);
        control.store64(TAIL, self.tail, Ordering::Release);
    }

    fn here(&self) -> Place {
        Place {
            position: self.tail,
            number: self.sent.number,
        }
    }

    /// How the producer sees the others.
    fn outlook(&self) -> Outlook {
        Outlook::new(self.participants, PRODUCER_SLOT)
    }

    /// The slots of the consumers.
    fn consumers(&self) -> std::ops::Range<u32> {
        PRODUCER_SLOT + 1..self.participants
    }

    /// Whether there are consumers.
    pub(crate) fn consumers_state(&self) -> Peer {
        let mut died = false;
        for slot in self.consumers() {
            match self.outlook().liveness(&self.region, slot) {
                Liveness::Alive => return Peer::Alive,
                Liveness::Dead => died = true,
                Liveness::Absent => {}
            }
        }
        match died {
            true => Peer::Died,
            false => Peer::Absent,
        }
    }
}

/// Counts messages that the last producer did not come to count.
fn count_repaired<R: Region>(region: &R, messages: u64) {
    if messages > 0 {
        let counter = slot_offset(PRODUCER_SLOT) + REPAIRED;
        let before = region.load64(counter, Ordering::Relaxed);
        region.store64(counter, before.wrapping_add(messages), Ordering::Relaxed);
    }
}

impl<R: Region> Blocked for Producer<R> {
    fn prepare(&mut self) -> Watch {
        let event = eventcount::prepare(&self.region, SPACE_EVENT);
        // The watcher sees to deaths.
        Watch::of(SPACE_EVENT, event)
    }

    fn cancel(&mut self) {
        eventcount::cancel(&self.region, SPACE_EVENT);
    }

    fn sleep(&mut self, watch: &Watch, deadline: Option<MonotonicTime>) -> Wake {
        self.region.wait(watch.words(), deadline)
    }

    fn in_vain(&mut self) -> bool {
        false
    }

    fn peer(&self) -> Peer {
        self.consumers_state()
    }

    /// Or for the time to come at which somebody is evicted, where nothing else brings it back to look.
    fn is_lonely(&mut self) -> bool {
        let is_alone = self.region.name().is_some() && self.consumers_state() != Peer::Alive;
        is_alone || self.patience.is_some()
    }

    fn is_forsaken(&self) -> bool {
        let is_forsaken = self.region.name().is_some_and(|name| name.is_forsaken());
        is_forsaken && self.consumers_state() != Peer::Alive
    }

    fn interrupted(&self) -> Option<&AtomicBool> {
        self.region.interrupted()
    }
}
