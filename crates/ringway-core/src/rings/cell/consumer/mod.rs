//! The receiving side of a cell ring.

mod held;
mod loans;
mod usual;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use held::Held;

use crate::error::RecvError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{State, Word};
use crate::memory::layout::control::TAKE_HINT;
use crate::memory::layout::participant::Role;
use crate::memory::region::{Region, Spot};
use crate::presence::Peer;
use crate::rings::cell::member::{Member, Refused};
use crate::rings::cell::{Cells, Seen};
use crate::rings::message::{EAGER_POLLS, MessageRef};
use crate::sys::fork::Wiped;
use crate::waiting::backoff::BurstBackoff;
use crate::waiting::several::Candidate;
use crate::waiting::watch::Watch;
use crate::waiting::{Blocked, Look, PeersEnd, WaitOptions, Waited};

/// One of the consumers.
#[derive(Debug)]
pub(crate) struct Consumer<R> {
    pub(crate) member: Member<R>,
    held: Option<Held>,
    /// Cells before it may be taken on the short way (`usual`): a lap behind a `HEAD` that was seen. 0 in a ring with a lock, and in a
    /// child of `fork`, because it lies in a page that the kernel wipes there.
    limit: Wiped,
    backoff: BurstBackoff,
    /// Whether a message in a slab may have been shown since the last release.
    has_loans: bool,
    /// Whether a message in a slab is taken though it cannot be read here.
    skips: bool,
}

/// Messages that a consumer takes at once, at most: what it has taken, others cannot have.
const MOST_AT_ONCE: u64 = 64;

impl<R: Region> Consumer<R> {
    /// Joins the consumers, and repairs what dead participants have left.
    pub(crate) fn join(mut member: Member<R>) -> Result<Self, Refused> {
        member.enter(None)?;
        let repaired = member.repair_all();
        if repaired.is_ok() {
            // What is withheld is had later.
            let _ = member.reclaim_slabs();
        }
        member.leave();
        member.unless_unsettled(repaired)?;
        member.reopen();
        member.announce(Role::Consumer);
        let mut consumer = Self {
            held: None,
            limit: Wiped::new(),
            backoff: BurstBackoff::new(0, 0),
            has_loans: false,
            skips: false,
            member,
        };
        consumer.renew_limit();
        Ok(consumer)
    }

    fn cells(&self) -> &Cells<R> {
        &self.member.cells
    }

    /// Copies the next message to the start of `buffer`, and returns its length.
    #[cfg(any(test, feature = "verify"))]
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

    /// Copies the next message to the start of `buffer`, and returns its length, where it has several cells, or something is unusual.
    #[inline(never)]
    pub(crate) fn recv_otherwise(
        &mut self,
        buffer: &mut [u8],
        wait: Option<&WaitOptions>,
    ) -> Result<usize, RecvError> {
        let found = self.take(1, wait)?;
        self.take_into(found, buffer)
    }

    fn take_into(&mut self, found: MessageRef, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let Some(target) = buffer.get_mut(..found.len) else {
            self.give_back_unseen();
            return Err(RecvError::BufferTooSmall { len: found.len });
        };
        if found.is_loaned() {
            self.read_loan(target);
        } else {
            self.member.region().read(found.payload, target);
        }
        self.release();
        Ok(found.len)
    }

    /// Takes up to `most` messages, at least one, and returns the first. `Empty`, `Closed` and `PeerDied` mean that there is none.
    #[inline]
    pub(crate) fn take(
        &mut self,
        most: u64,
        wait: Option<&WaitOptions>,
    ) -> Result<MessageRef, RecvError> {
        match self.take_at_once(most) {
            Some(found) => Ok(found),
            None => self.take_otherwise(most, wait),
        }
    }

    /// The same where something is unusual. Takes none if `most` is 0.
    #[inline(never)]
    fn take_otherwise(
        &mut self,
        most: u64,
        wait: Option<&WaitOptions>,
    ) -> Result<MessageRef, RecvError> {
        let Some(wait) = wait else {
            return self.take_before(most, None);
        };
        match self.take_before(most, wait.deadline) {
            Err(RecvError::Empty) if wait.how.spins() && self.catch_up() => {}
            Err(RecvError::Empty) => self.block(wait)?,
            done => return done,
        }
        loop {
            match self.take_before(most, wait.deadline) {
                // A peer that takes its word back could lead us on; `block` knows the deadline.
                Err(RecvError::Empty) => self.block(wait)?,
                done => return done,
            }
        }
    }

    /// Waits until there is a message that somebody can take.
    pub(crate) fn ready_until(&mut self, wait: &WaitOptions) -> Result<(), RecvError> {
        loop {
            match self.is_ready() {
                Ok(true) => return Ok(()),
                Ok(false) => self.block(wait)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether there is nothing at the cursor, and so nothing behind it: cells are claimed in order.
    pub(crate) fn is_drained(&self) -> bool {
        let seen = self.cells().look(self.member.cursor, self.member.head);
        matches!(seen, Ok(Seen::Free))
    }

    /// Whether there is a message now. An error if there will be none.
    pub(crate) fn is_ready(&mut self) -> Result<bool, RecvError> {
        match self.take_otherwise(0, None) {
            Ok(_) => Ok(true),
            Err(RecvError::Empty) => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[cold]
    #[inline(never)]
    fn block(&mut self, wait: &WaitOptions) -> Result<(), RecvError> {
        match self.member.block(wait) {
            Waited::Ready => Ok(()),
            Waited::TimedOut => Err(RecvError::TimedOut),
            Waited::Forsaken => Err(RecvError::Removed),
            Waited::Interrupted => Err(RecvError::Interrupted),
            Waited::Armed => Err(RecvError::Empty),
        }
    }

    /// Waits for the next message by polling; `false` if it does not come soon.
    #[inline(never)]
    fn catch_up(&mut self) -> bool {
        let position = self.cells().position(self.member.cursor);
        self.backoff.wait(self.member.messages, position);
        let mut pace = 0;
        (0..EAGER_POLLS).any(|_| {
            let ready = self.member.poll_progress(Look::Glance);
            // A short message may reach into the next line; have both on their way together.
            self.member.region().prefetch(position + 64, &mut pace);
            ready
        })
    }

    #[inline]
    fn take_before(
        &mut self,
        most: u64,
        deadline: Option<Instant>,
    ) -> Result<MessageRef, RecvError> {
        if self.member.region().is_forked() {
            return Err(RecvError::Forked);
        }
        if self.member.corrupt {
            return Err(self.corrupted());
        }
        if self.held.is_some() {
            // The caller forgot a message without running its destructor.
            self.give_back();
        }
        let found = match self.find(most, deadline)? {
            Some(found) => found,
            None => self.recheck_or_end(most, deadline)?,
        };
        self.renew_limit();
        if found.is_loaned() {
            return self.reach_loan(found);
        }
        Ok(found)
    }

    #[inline]
    fn find(
        &mut self,
        most: u64,
        deadline: Option<Instant>,
    ) -> Result<Option<MessageRef>, RecvError> {
        if self.cells().contention.locked && self.sees_nothing() {
            return Ok(None);
        }
        self.enter(deadline)?;
        let found = self.find_record(most);
        self.member.leave();
        found.map_err(|Corrupt| self.corrupted())
    }

    #[inline]
    fn enter(&mut self, deadline: Option<Instant>) -> Result<(), RecvError> {
        self.member
            .enter(deadline)
            .map_err(|refused| match refused {
                Refused::TimedOut => RecvError::TimedOut,
                Refused::Corrupt => self.corrupted(),
                Refused::Unsettled => RecvError::Unsettled,
            })
    }

    /// Whether there is nothing to take at the cursor, which takes no lock to see.
    #[cold]
    fn sees_nothing(&mut self) -> bool {
        let cell = self.member.cursor;
        match self.cells().look(cell, self.member.head) {
            Ok(Seen::Free) => self.record_obstacle(cell, self.cells().free_word(cell)),
            Ok(Seen::Record(word, stored)) if word.state == State::Claimed => {
                self.record_obstacle(cell, stored);
            }
            _ => return false,
        }
        true
    }

    /// Walks from the cursor to the first record that can be taken, and takes it; only finds it if `most`
    /// is 0.
    #[inline]
    fn find_record(&mut self, most: u64) -> Result<Option<MessageRef>, Corrupt> {
        let mut cell = self.member.cursor;
        // Each step frees what is aborted, or goes on by a cell at least, or somebody else has taken what was seen.
        for _ in 0..self.cells().most_looks() {
            match self.cells().look(cell, self.member.head)? {
                Seen::Record(word, stored) => match word.state {
                    State::Full | State::Returned if most == 0 => {
                        self.member.cursor = cell;
                        let payload = self.cells().payload(cell);
                        return Ok(Some(MessageRef { payload, len: 0 }));
                    }
                    State::Full | State::Returned => {
                        if let Some(found) = self.seize(cell, word, stored, most)? {
                            return Ok(Some(found));
                        }
                    }
                    State::Claimed => {
                        self.record_obstacle(cell, stored);
                        return Ok(None);
                    }
                    State::Aborted => {
                        self.member.free_unread(cell, word, stored);
                    }
                    _ => cell = self.pass(cell, word.extent),
                },
                Seen::Done(word) if self.cells().contention.overwrite => {
                    // Producers may have come round; they advance HEAD once a lap.
                    self.member.head = self.cells().advance_head();
                    cell = self.pass(cell, word.extent).max(self.member.head);
                }
                Seen::Done(word) => cell = self.pass(cell, word.extent),
                Seen::Free => {
                    self.record_obstacle(cell, self.cells().free_word(cell));
                    return Ok(None);
                }
                Seen::Beyond => {
                    // The ring is full of what others hold.
                    let before = self.member.head;
                    self.member.cursor = cell;
                    if !self.member.clear_head()? && self.member.head == before {
                        return Ok(None);
                    }
                }
                Seen::Stale => {
                    cell = self.cells().head(Ordering::Acquire);
                    self.member.head = cell;
                }
            }
        }
        self.record_obstacle(cell, 0);
        Ok(None)
    }

    /// Where to go on behind what others have taken.
    #[cold]
    fn pass(&mut self, cell: u64, extent: u64) -> u64 {
        // A hint, believed only if it lies ahead and within the lap. It lies behind records that somebody
        // has taken in order. Acquire pairs with the release in `point_behind`: this may jump over the
        // first word of a batch, which is what makes the records behind it visible.
        let hint = self.member.region().load64(TAKE_HINT, Ordering::Acquire);
        let next = cell + extent;
        if hint > next && hint <= self.member.head + self.cells().count() {
            hint
        } else {
            next
        }
    }

    /// How many cells a consumer takes together, at most. Where producers overwrite, they need what it leaves.
    #[inline]
    pub(super) fn most_held(&self) -> u64 {
        let cells = self.cells();
        if cells.contention.overwrite {
            return cells.count() / 4;
        }
        cells.max_extent()
    }

    /// Goes on to `cell`: all before it is taken. Gives others the hint.
    #[inline]
    fn point_behind(&mut self, cell: u64) {
        self.member.cursor = cell;
        // Release pairs with the acquire in `pass` (C7).
        let region = self.member.region();
        region.store64(TAKE_HINT, cell, Ordering::Release);
    }

    /// Nothing can be taken at `cell`, whose word is `stored`.
    #[inline]
    fn record_obstacle(&mut self, cell: u64, stored: u64) {
        self.member.cursor = cell;
        self.member.obstacle = (cell, stored);
    }

    /// Takes the record at `cell`, and those behind it that nobody can have taken. `None` if somebody was
    /// faster.
    #[inline]
    fn seize(
        &mut self,
        cell: u64,
        word: Word,
        stored: u64,
        most: u64,
    ) -> Result<Option<MessageRef>, Corrupt> {
        let (extent, cut) = if most > 1 && word.state == State::Full {
            self.run_from(cell, word.extent, stored, most)
        } else {
            (word.extent, true)
        };
        let taken = word
            .become_owned(State::Taken, self.member.me)
            .with_extent(extent);
        if !self
            .cells()
            .take(cell, stored, self.cells().code.encode(taken))
        {
            return Ok(None);
        }
        if word.state == State::Returned {
            self.cells().count_delivery(cell);
        }
        self.point_behind(cell + extent);
        let (start, shown) = self.held.map_or((cell, 0), |held| (held.start, held.shown));
        self.held = Some(Held {
            start,
            cell,
            extent,
            next: cell,
            shown,
            cut,
        });
        self.show_next()
    }

    /// The extent of the full records from `cell` on, up to `most` of them, and whether what lies behind
    /// them may be there to take as well. If `cell` is FULL from before
    /// to after this, nobody has passed it, and all that was seen behind it is as it was seen.
    #[inline]
    fn run_from(&self, cell: u64, first: u64, stored: u64, most: u64) -> (u64, bool) {
        let cells = self.cells();
        let room = cells.to_end(cell).min(self.most_held());
        // Nobody sees what is beyond a lap from `HEAD`.
        let seen = (self.member.head + cells.count()).saturating_sub(cell);
        let most_cells = room.min(seen);
        let mut extent = first;
        for _ in 1..most.min(MOST_AT_ONCE) {
            let next = cell + extent;
            if extent >= most_cells {
                return (extent, true);
            }
            // A short message may reach into the next line.
            cells.region.prefetch(cells.position(next) + 64, &mut 0);
            // Acquire: as in `Cells::load`.
            let found = cells.spot(next).load(Ordering::Acquire);
            // Of the same state, length and lap. Said so, where to look next does not depend on what is
            // found here: the processor fetches many cells at once instead of one after the other.
            if found == stored && extent + first <= room {
                extent += first;
                continue;
            }
            match cells.code.decode(found) {
                Some(word)
                    if word.state == State::Full
                        && cells.is_of_lap(word, next)
                        && extent + word.extent <= room =>
                {
                    extent += word.extent;
                }
                Some(word) => return (extent, word.state == State::Returned),
                None => return (extent, false),
            }
        }
        (extent, true)
    }

    #[cold]
    fn corrupted(&mut self) -> RecvError {
        if self.member.refused() == Refused::Unsettled {
            return RecvError::Unsettled;
        }
        self.member.corrupt = true;
        match self.member.beside {
            Some(errno) => RecvError::Companion { errno },
            None => RecvError::Corrupt,
        }
    }

    /// Nothing was there. Puts in order what the dead have left, and if nothing will come, looks once
    /// more: a producer may have committed between the look and its end.
    #[cold]
    #[inline(never)]
    fn recheck_or_end(
        &mut self,
        most: u64,
        deadline: Option<Instant>,
    ) -> Result<MessageRef, RecvError> {
        // Judged first, so that what was sent before the end is found.
        let mut end = match self.member.peer() {
            Peer::Closed => Some(RecvError::Closed),
            Peer::Died => Some(RecvError::PeerDied),
            Peer::Alive | Peer::Absent => None,
        };
        if end == Some(RecvError::PeerDied) && !self.member.settle() {
            // Something could come yet, as from one who is stopped.
            end = Some(self.corrupted());
        }
        self.member.note_change();
        let repaired = self.member.repair_before(deadline);
        if repaired.map_err(|refused| match refused {
            Refused::TimedOut => RecvError::TimedOut,
            Refused::Corrupt => self.corrupted(),
            Refused::Unsettled => RecvError::Unsettled,
        })? || end.is_some()
        {
            let returned = self.member.first_returned(self.member.cursor);
            if let Some(cell) = returned.map_err(|Corrupt| self.corrupted())? {
                self.member.cursor = cell;
            }
            if let Some(found) = self.find(most, deadline)? {
                return Ok(found);
            }
        }
        // What other consumers hold may still come back.
        let drained = self.cells().advance_head() >= self.member.cursor;
        Err(end.filter(|_| drained).unwrap_or(RecvError::Empty))
    }

    /// Says that this consumer closes. It is seen when its slot is free.
    pub(crate) fn close(&mut self) {
        if !self.member.region().is_forked() {
            self.member.mark_closed();
        }
    }

    /// Waits for a live producer, or a message. How the last one left does not matter.
    pub(crate) fn wait_for_peer(&mut self, wait: &WaitOptions) -> Result<(), RecvError> {
        if self.member.region().is_forked() {
            return Err(RecvError::Forked);
        }
        let arrived = |member: &Member<R>| member.peer() == Peer::Alive;
        loop {
            // Sets the obstacle; whether it is one, the last look tells.
            match self.is_ready() {
                Ok(true) => return Ok(()),
                Err(
                    error @ (RecvError::Corrupt
                    | RecvError::Companion { .. }
                    | RecvError::Unsettled
                    | RecvError::Forked),
                ) => return Err(error),
                _ => {}
            }
            if arrived(&self.member) {
                return Ok(());
            }
            let waited = wait.wait(&mut self.member, PeersEnd::IsNoEnd, |member, look| {
                arrived(member) || member.poll_progress(look)
            });
            match waited {
                Waited::Ready => {}
                Waited::TimedOut => return Err(RecvError::TimedOut),
                Waited::Forsaken => return Err(RecvError::Removed),
                Waited::Interrupted => return Err(RecvError::Interrupted),
                Waited::Armed => return Err(RecvError::Empty),
            }
        }
    }
}

impl<R: Region> Candidate for Consumer<R> {
    type Region = R;

    fn region(&self) -> &R {
        self.member.region()
    }

    fn is_due(&mut self) -> bool {
        self.is_ready() != Ok(false)
    }

    fn has_changed(&mut self) -> bool {
        self.member.poll_progress(Look::Glance)
    }

    fn prepare(&mut self) -> Watch {
        self.member.prepare()
    }

    fn cancel(&mut self) {
        self.member.cancel();
    }

    fn heard(&self) -> Option<&AtomicU32> {
        self.member.heard()
    }

    fn drain(&mut self) {
        self.member.drain_bell();
    }

    fn is_lonely(&mut self) -> bool {
        self.member.is_lonely()
    }

    fn is_forsaken(&self) -> bool {
        self.member.is_forsaken()
    }
}
