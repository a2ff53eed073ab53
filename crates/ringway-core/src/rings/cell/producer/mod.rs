//! The sending side of a cell ring.

mod batch;
mod loans;
mod overwriting;
mod usual;

use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::error::SendError;
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::{State, Word};
use crate::memory::layout::control::{CLAIM_HINT, DATA_EVENT};
use crate::memory::layout::participant::Role;
use crate::memory::region::{Control, Region, Spot};
use crate::presence::Peer;
use crate::rings::cell::member::{Member, Refused};
use crate::rings::cell::{Cells, Seen};
use crate::rings::pool::SlabSender as _;
use crate::sys::fork::Wiped;
use crate::waiting::backoff::BurstBackoff;
use crate::waiting::eventcount::ASLEEP;
use crate::waiting::{Blocked, Look, WaitOptions, Waited};

/// One of the producers.
#[derive(Debug)]
pub(crate) struct Producer<R> {
    pub(crate) member: Member<R>,
    /// What is claimed and not committed yet.
    claimed: Option<Run>,
    /// Cells that the last batch needed: the next one claims as many.
    batch: u64,
    /// Whether the oldest message makes room for a new one.
    overwrite: bool,
    overwritten: u64,
    /// Whether the consumers have closed.
    closed: bool,
    /// The longest message that fits the ring, in bytes.
    max_len: u64,
    /// The longest that is copied through the ring if there is a slab for it.
    longest: u64,
    /// What is shorter takes the short way (`usual`): what fits one cell, and is copied through the ring. 0 in a ring with a lock,
    /// and in a child of `fork`, because it lies in a page that the kernel wipes there.
    short: Wiped,
    /// Behind the last message that was committed here.
    end: u64,
    backoff: BurstBackoff,
}

/// Claimed cells, and what is laid into them.
#[derive(Clone, Copy, Debug)]
struct Run {
    cell: u64,
    extent: u64,
    /// Cells that records have been laid into.
    used: u64,
    /// The first record's cells.
    first: u64,
    messages: u64,
    /// Whether it is all that was free, where more was wanted.
    short: bool,
}

impl<R: Region> Producer<R> {
    /// Joins the producers, and repairs what dead participants have left.
    pub(crate) fn join(mut member: Member<R>, overwrite: bool) -> Result<Self, Refused> {
        member.enter(None)?;
        let repaired = member.repair_all();
        if repaired.is_ok() {
            // What is withheld is had later.
            let _ = member.reclaim_slabs();
        }
        member.leave();
        member.unless_unsettled(repaired)?;
        let max_len = member.cells.room_in(member.cells.max_extent());
        let mut producer = Self {
            claimed: None,
            batch: 0,
            overwrite,
            overwritten: 0,
            closed: false,
            max_len: max_len.min(u32::MAX.into()),
            longest: 0,
            short: Wiped::new(),
            end: member.head,
            backoff: BurstBackoff::new(0, 0),
            member,
        };
        producer.limit_copies();
        producer.look_at_consumers();
        producer.member.reopen();
        producer.member.announce(Role::Producer);
        Ok(producer)
    }

    fn cells(&self) -> &Cells<R> {
        &self.member.cells
    }

    /// The longest message that fits the ring, in bytes.
    pub(crate) fn max_len(&self) -> u64 {
        self.max_len
    }

    /// Messages that this producer overwrote.
    pub(crate) fn overwritten(&self) -> u64 {
        self.overwritten
    }

    /// Sends a copy of `message`.
    #[cfg(any(test, feature = "verify"))]
    pub(crate) fn send(
        &mut self,
        message: &[u8],
        wait: Option<&WaitOptions>,
    ) -> Result<(), SendError> {
        if self.send_at_once(message) {
            return Ok(());
        }
        self.send_otherwise(message, wait)
    }

    /// Sends a copy of `message`, where that takes several cells, or something is unusual.
    #[inline(never)]
    pub(crate) fn send_otherwise(
        &mut self,
        message: &[u8],
        wait: Option<&WaitOptions>,
    ) -> Result<(), SendError> {
        let payload = self.claim(message.len(), wait)?;
        self.member.region().write(payload, message);
        self.commit(message.len() as u64);
        Ok(())
    }

    /// Claims cells for a message of `len` bytes; returns where its payload goes.
    #[inline]
    pub(crate) fn claim(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<u64, SendError> {
        match self.claim_at_once(len) {
            Some(payload) => Ok(payload),
            None => self.claim_up_to(self.longest, len, wait),
        }
    }

    #[inline(never)]
    fn claim_up_to(
        &mut self,
        most: u64,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<u64, SendError> {
        let Some(wait) = wait else {
            return self.claim_before(len, most, None);
        };
        match self.claim_before(len, most, wait.deadline) {
            Err(SendError::Full) if wait.how.spins() && self.fall_back() => {}
            Err(SendError::Full) => self.block(wait)?,
            done => return done,
        }
        loop {
            match self.claim_before(len, most, wait.deadline) {
                // A peer that takes its word back could lead us on; `block` knows the deadline.
                Err(SendError::Full) => self.block(wait)?,
                done => return done,
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn block(&mut self, wait: &WaitOptions) -> Result<(), SendError> {
        match self.member.block(wait) {
            Waited::Ready => Ok(()),
            Waited::TimedOut => Err(SendError::TimedOut),
            Waited::Forsaken => Err(SendError::Removed),
            Waited::Interrupted => Err(SendError::Interrupted),
            Waited::Armed => Err(SendError::Full),
        }
    }

    #[inline]
    fn claim_before(
        &mut self,
        len: usize,
        most: u64,
        deadline: Option<Instant>,
    ) -> Result<u64, SendError> {
        self.check(len, most)?;
        let extent = self.cells().extent_of(len as u64);
        let run = self.claim_run(extent, extent, deadline)?;
        self.cells().cover(run.cell, run.extent);
        self.claimed = Some(run);
        Ok(self.cells().payload(run.cell))
    }

    /// Lets consumers make room; whether they did.
    #[cold]
    #[inline(never)]
    fn fall_back(&mut self) -> bool {
        let position = self.cells().position(self.end);
        self.backoff.wait(self.member.messages, position);
        self.member.poll_progress(Look::Glance)
    }

    /// What stands against sending a message of `len` bytes, where it may have at most `most`.
    #[inline]
    fn check(&mut self, len: usize, most: u64) -> Result<(), SendError> {
        if self.member.region().is_forked() {
            return Err(SendError::Forked);
        }
        if self.member.corrupt {
            return Err(self.corrupted());
        }
        if self.claimed.is_some() {
            // The caller forgot a claim without running its destructor.
            self.abort();
        }
        if self.member.consumers_changed() {
            self.look_at_consumers();
        }
        if self.closed {
            return Err(SendError::Closed);
        }
        if len as u64 > most {
            return Err(SendError::TooLarge {
                len,
                max: most as usize,
            });
        }
        Ok(())
    }

    /// Whoever notes a change also has to see what it is: nobody looks for it again.
    #[cold]
    fn look_at_consumers(&mut self) -> Peer {
        self.member.note_change();
        let peer = self.member.peer();
        self.closed = peer == Peer::Closed;
        peer
    }

    /// Claims `most` adjacent cells, or as many of them as are free: at least `extent`.
    #[inline]
    fn claim_run(
        &mut self,
        extent: u64,
        most: u64,
        deadline: Option<Instant>,
    ) -> Result<Run, SendError> {
        match self.member.enter(deadline) {
            Ok(()) => {}
            Err(Refused::TimedOut) => return Err(SendError::TimedOut),
            Err(Refused::Corrupt) => return Err(self.corrupted()),
            Err(Refused::Unsettled) => return Err(SendError::Unsettled),
        }
        let claimed = self.claim_cells(extent, most);
        self.member.leave();
        match claimed {
            Ok(Some((cell, extent))) => Ok(Run {
                cell,
                extent,
                used: 0,
                first: 0,
                messages: 0,
                short: extent < most,
            }),
            Ok(None) => Err(self.why_full()),
            Err(Corrupt) => Err(self.corrupted()),
        }
    }

    /// Claims `most` adjacent cells, or as many as are free, but at least `extent`. Returns the first and
    /// how many; `None` if they are not free.
    #[inline]
    fn claim_cells(&mut self, extent: u64, most: u64) -> Result<Option<(u64, u64)>, Corrupt> {
        if self.overwrite {
            return Ok(self.claim_over(extent)?.map(|cell| (cell, extent)));
        }
        // Each step goes on by a cell at least, or to where others have gone on meanwhile.
        for _ in 0..self.cells().most_looks() {
            let cell = self.member.cursor;
            let to_end = self.cells().to_end(cell);
            let fits = most <= to_end;
            let (least, mut wanted) = if fits {
                (extent, most)
            } else {
                (to_end, to_end)
            };
            // The word of a single cell says all.
            if wanted > 1 && cell + wanted > self.member.head + self.cells().count() {
                self.make_room(cell + wanted)?;
                let free = (self.member.head + self.cells().count()).saturating_sub(cell);
                if free < least {
                    return Ok(None);
                }
                wanted = wanted.min(free);
            }
            let free = self.cells().free(cell);
            let word = Word {
                extent: wanted,
                ..if fits {
                    free.become_owned(State::Claimed, self.member.me)
                } else {
                    free.become_nobodys(State::Aborted)
                }
            };
            let free = self.cells().code.encode(free);
            if self
                .cells()
                .claim(cell, free, self.cells().code.encode(word))
            {
                self.member.cursor = cell + wanted;
                // Relaxed: a hint.
                self.member
                    .region()
                    .store64(CLAIM_HINT, self.member.cursor, Ordering::Relaxed);
                if fits {
                    // Orders the HEAD by which this was claimed ahead of the payload: see `Cells::look`.
                    self.member.region().claim_fence();
                    return Ok(Some((cell, wanted)));
                }
            } else if !self.follow_hint(cell)?
                && (wanted == 1 && self.waits_for_consumers(cell)
                    || !self.make_room(cell + least)?)
            {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Whether `cell` still holds a message of the lap before, so that there is nothing to do but to wait. That
    /// one look is all that a single cell takes: to pass what is done with, from `HEAD` on, would fetch each line
    /// a second time.
    fn waits_for_consumers(&mut self, cell: u64) -> bool {
        let Some(before) = cell.checked_sub(self.cells().count()) else {
            return false;
        };
        let stored = self.cells().load(before);
        let is_full =
            self.cells().code.decode(stored).is_some_and(|word| {
                word.state == State::Full && self.cells().is_of_lap(word, before)
            });
        if is_full {
            self.member.obstacle = (before, stored);
        }
        is_full
    }

    /// Makes sure that the cells before `end` are free, if they can be had.
    #[cold]
    fn make_room(&mut self, end: u64) -> Result<bool, Corrupt> {
        let needed = end.saturating_sub(self.cells().count());
        // Acquire pairs with the release in `replace64`: cells before it are done with (C4).
        self.member.head = self.cells().head(Ordering::Acquire);
        if self.member.head < needed {
            self.member.clear_head()?;
        }
        Ok(self.member.head >= needed)
    }

    /// `cell` could not be claimed. If that is because somebody else has, goes on to where claiming goes
    /// on; `false` if the cell is still in use.
    #[cold]
    fn follow_hint(&mut self, cell: u64) -> Result<bool, Corrupt> {
        // Acquire pairs with the release in `replace64`: cells before it are done with (C4).
        let head = self.cells().head(Ordering::Acquire);
        self.member.head = head;
        // Relaxed: a hint, believed only if it lies ahead and within the lap.
        let hint = self.member.region().load64(CLAIM_HINT, Ordering::Relaxed);
        if hint > cell && hint >= head && hint <= head + self.cells().count() {
            self.member.cursor = hint;
            return Ok(true);
        }
        match self.cells().look(cell, head)? {
            Seen::Record(word, _) => self.member.cursor = cell + word.extent,
            Seen::Done(word) => self.member.cursor = cell + word.extent,
            Seen::Free => {}
            Seen::Stale => self.member.cursor = self.cells().head(Ordering::Acquire),
            Seen::Beyond => return Ok(false),
        }
        Ok(true)
    }

    #[cold]
    fn corrupted(&mut self) -> SendError {
        if self.member.refused() == Refused::Unsettled {
            return SendError::Unsettled;
        }
        self.member.corrupt = true;
        match self.member.beside {
            Some(errno) => SendError::Companion { errno },
            None => SendError::Corrupt,
        }
    }

    #[cold]
    fn why_full(&mut self) -> SendError {
        match self.look_at_consumers() {
            Peer::Died => SendError::PeerDied,
            Peer::Closed => SendError::Closed,
            Peer::Alive | Peer::Absent => SendError::Full,
        }
    }

    /// Commits the claimed message, of which `len` bytes count, and wakes sleeping consumers.
    #[inline]
    pub(crate) fn commit(&mut self, len: u64) {
        self.disown();
        if let Some(run) = &mut self.claimed {
            let len = len.min(self.member.cells.room_in(run.extent));
            self.member.cells.describe(run.cell, len, run.extent);
            run.used = run.extent;
            run.first = run.extent;
            run.messages = 1;
            self.publish();
        }
    }

    /// What a child of `fork` inherited is not its own to commit.
    #[inline]
    fn disown(&mut self) {
        if self.member.region().is_forked() {
            self.claimed = None;
        }
    }

    /// Makes all that is laid into the claimed run visible.
    #[inline]
    fn publish(&mut self) {
        let Some(run) = self.claimed.take() else {
            return;
        };
        self.show(run.cell, run.extent, run.first, run.messages);
    }

    /// Makes a claimed run visible, whose first record has `first` cells.
    #[inline]
    fn show(&mut self, cell: u64, extent: u64, first: u64, messages: u64) {
        let cells = &self.member.cells;
        if cells.contention.own {
            match self.show_contended(cell, extent, first) {
                Ok(cell) => self.shown(cell + extent, messages),
                Err(Corrupt) => self.member.corrupt = true,
            }
            return;
        }
        let full = cells.code.nobodys(State::Full, cell, first);
        // (C2) Release pairs with the acquire in `Cells::load`: payload, descriptions and words inside are seen by who sees this
        // word.
        cells.spot(cell).store(full, Ordering::Release);
        self.shown(cell + extent, messages);
    }

    /// Messages were made visible, the last of which ends at `end`: counts them, and wakes sleeping consumers.
    #[inline(always)]
    fn shown(&mut self, end: u64, messages: u64) {
        self.end = end;
        // The next claim's line.
        let member = &mut self.member;
        let region = &member.cells.region;
        region.prefetch_to_write(member.cells.position(member.cursor));
        member.count(messages);
        if member.region().control().may_have(DATA_EVENT, ASLEEP) {
            member.notify(Role::Consumer);
        }
    }

    /// The same where others may have moved the run, or taken us for dead: then it is an error. Returns where the run is.
    #[inline(never)]
    fn show_contended(&self, cell: u64, extent: u64, first: u64) -> Result<u64, Corrupt> {
        let cells = self.cells();
        let claimed = self.claimed_word(cell, extent);
        if self.overwrite {
            return self.show_moved(cell, claimed, first);
        }
        let full = cells.code.nobodys(State::Full, cell, first);
        // Acquires and releases: the release pairs as in `show`.
        let shown = cells.change_to(cell, cells.code.encode(claimed), full);
        shown.then_some(cell).ok_or(Corrupt)
    }

    #[inline]
    fn claimed_word(&self, cell: u64, extent: u64) -> Word {
        self.cells()
            .free(cell)
            .become_owned(State::Claimed, self.member.me)
            .with_extent(extent)
    }

    /// Gives the claimed cells up: consumers pass them.
    #[cold]
    pub(crate) fn abort(&mut self) {
        let Some(run) = self.claimed.take() else {
            return;
        };
        if self.member.region().is_forked() {
            return;
        }
        let claimed = self.claimed_word(run.cell, run.extent);
        if self.overwrite {
            self.abort_moved(run.cell, claimed);
        } else {
            let aborted = claimed.become_nobodys(State::Aborted);
            let code = self.cells().code;
            self.cells()
                .change_own(run.cell, code.encode(claimed), code.encode(aborted));
        }
        // What others have committed behind it can be taken now.
        self.member.notify(Role::Consumer);
    }

    /// Waits until all that this producer committed is released.
    pub(crate) fn drained_until(&mut self, wait: &WaitOptions) -> Result<(), SendError> {
        loop {
            if self.member.region().is_forked() {
                return Err(SendError::Forked);
            }
            // Judged before the look, so that what the consumers released before their end counts.
            let peer = self.look_at_consumers();
            self.member.wants = 0;
            self.clear_head_before(wait.deadline)?;
            if self.member.head >= self.end {
                // A consumer may still have one.
                let held = match self.overwrite {
                    true => self.member.first_held_over(),
                    false => Ok(None),
                };
                match held.map_err(|Corrupt| self.corrupted())? {
                    None => return Ok(()),
                    Some(held) => self.member.obstacle = held,
                }
            }
            match peer {
                Peer::Closed => return Err(SendError::Closed),
                Peer::Died => return Err(SendError::PeerDied),
                Peer::Absent | Peer::Alive => {}
            }
            self.block(wait)?;
        }
    }

    fn clear_head_before(&mut self, deadline: Option<Instant>) -> Result<(), SendError> {
        match self.member.enter(deadline) {
            Ok(()) => {}
            Err(Refused::TimedOut) => return Err(SendError::TimedOut),
            Err(Refused::Corrupt) => return Err(self.corrupted()),
            Err(Refused::Unsettled) => return Err(SendError::Unsettled),
        }
        let cleared = self.member.clear_head();
        self.member.leave();
        cleared.map(drop).map_err(|Corrupt| self.corrupted())
    }

    /// Says that this producer closes. It is seen when its slot is free.
    pub(crate) fn close(&mut self) {
        if !self.member.region().is_forked() {
            self.abort();
            self.member.mark_closed();
        }
    }
}
