//! How those who read a board sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use super::{Entry, Slate, directory};
use crate::memory::layout::board::NUMBER;
use crate::memory::layout::participant::{EPOCH, LIVENESS, slot_offset};
use crate::memory::region::Region;
use crate::memory::region::pane::Pane;
use crate::presence::outlook::is_seen_alive;
use crate::presence::participant::{epoch_of, slot_of};
use crate::presence::{Liveness, Peer};
use crate::sys::futex::{MonotonicTime, Wake};
use crate::waiting::watch::Watch;
use crate::waiting::{Blocked, eventcount};

/// No process.
const NOT_YET: u64 = u64::MAX;

/// One who sleeps until something changes.
#[derive(Debug)]
pub(crate) struct Sleeper<R: Region> {
    pub(crate) region: R,
    pub(crate) slate: Slate,
    /// What it sleeps on.
    event: usize,
    /// Whose writer's end it wants to hear of, once it is found. Until then it is any.
    pub(crate) entry: Entry,
    /// The same, in this region.
    pub(super) pane: R::Pane,
    /// In which [process](Region::process) it was found: [`NOT_YET`] until it is.
    found_in: u64,
    /// The writer whose death it has been told of.
    pub(crate) mourned: u64,
    /// What it sleeps on, for who [interrupts](crate::waiting::interrupt) it.
    whereabouts: Arc<AtomicUsize>,
}

impl<R: Region> Sleeper<R> {
    /// Of a board whose geometry, of which the slate is, is the region's.
    pub(crate) fn new(region: R, slate: Slate, event: usize) -> Self {
        let entry = slate.entry(0);
        Self {
            // SAFETY: an entry of that board, and used with this region only.
            pane: unsafe { region.pane(&entry.place) },
            region,
            slate,
            event,
            entry,
            found_in: NOT_YET,
            mourned: 0,
            whereabouts: Arc::new(AtomicUsize::new(event)),
        }
    }

    /// Whether it has found its entry, and this process is the one that did.
    #[inline(always)]
    pub(crate) fn has_found(&self) -> bool {
        self.region.process() == self.found_in
    }

    /// The number in the entry that it has [found](Self::has_found).
    #[inline(always)]
    pub(crate) fn number(&self, order: Ordering) -> u64 {
        self.pane.load64(&self.region, NUMBER, order)
    }

    /// The entry, if it was found.
    fn found(&self) -> Option<Entry> {
        (self.found_in != NOT_YET).then_some(self.entry)
    }

    /// The entry with that key, as soon as it is there. From then on this one sleeps for its changes alone.
    pub(crate) fn entry_of(&mut self, key: &[u8]) -> Option<Entry> {
        if self.found_in == NOT_YET {
            self.find(key);
        }
        self.found()
    }

    #[cold]
    fn find(&mut self, key: &[u8]) {
        // In a child of `fork` it stays unfound: what is usual, and does not ask for that, is not for the child.
        let found = directory::find(&self.region, &self.slate, key);
        if let Some(entry) = found.filter(|_| !self.region.is_forked()) {
            self.entry = entry;
            // SAFETY: as in `new`.
            self.pane = unsafe { self.region.pane(&entry.place) };
            self.event = entry.event();
            self.found_in = self.region.process();
        }
        self.whereabouts.store(self.event, Ordering::Relaxed);
        // Pairs with the fence of who interrupts: either that one sees where this one sleeps from now on, or this one
        // sees its flag before it sleeps.
        fence(Ordering::SeqCst);
    }

    /// Where it can be woken: at the event that is here, behind a fence.
    pub(crate) fn whereabouts(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.whereabouts)
    }

    /// Can be woken where another one could, which sleeps no more: there it says from now on where this one sleeps.
    pub(crate) fn share_whereabouts(&mut self, whereabouts: Arc<AtomicUsize>) {
        whereabouts.store(self.event, Ordering::Relaxed);
        self.whereabouts = whereabouts;
        // As in `find`.
        fence(Ordering::SeqCst);
    }

    /// Who has the role of `entry`, by the id of its attachment. What can be nobody's id is nobody.
    pub(crate) fn owner(&self, entry: Entry) -> Option<u64> {
        let owner = self.region.load64(entry.owner(), Ordering::Acquire);
        let is_somebody = epoch_of(owner) != 0 && slot_of(owner) < self.slate.participants;
        is_somebody.then_some(owner)
    }

    /// Whether the attachment lives, as everybody sees it.
    pub(crate) fn lives(&self, owner: u64) -> bool {
        let slot = slot_of(owner);
        let at = slot_offset(slot);
        // Epoch after life: a newcomer raises the epoch before it is seen alive. Acquire: what a dead one stored is seen.
        let life = Liveness::of(self.region.load32(at + LIVENESS, Ordering::Acquire));
        let is_its = self.region.load64(at + EPOCH, Ordering::Acquire) == epoch_of(owner);
        let lives = || is_seen_alive(&self.region, self.slate.participants, slot);
        is_its && (life == Liveness::Alive || lives())
    }

    /// The writer of the entry, if it has died, and nobody has told so yet.
    pub(crate) fn dead_writer(&self) -> Option<u64> {
        let owner = self.owner(self.found()?)?;
        (owner != self.mourned && !self.lives(owner)).then_some(owner)
    }

    /// The liveness word of the entry's writer, as it is now.
    fn life_of_writer(&self) -> Option<(usize, u32)> {
        let owner = self.owner(self.found()?)?;
        let at = slot_offset(slot_of(owner)) + LIVENESS;
        let word = self.region.load32(at, Ordering::Acquire);
        (Liveness::of(word) == Liveness::Alive).then_some((at, word))
    }
}

impl<R: Region> Blocked for Sleeper<R> {
    fn prepare(&mut self) -> Watch {
        let value = eventcount::prepare(&self.region, self.event);
        let watch = Watch::of(self.event, value);
        match self.life_of_writer() {
            Some((at, word)) => watch.and(at, word),
            None => watch,
        }
    }

    /// Others may sleep there.
    fn cancel(&mut self) {}

    fn sleep(&mut self, watch: &Watch, deadline: Option<MonotonicTime>) -> Wake {
        let woken = self.region.wait(watch.words(), deadline);
        if let [_, (at, word)] = *watch.words()
            && self.region.load32(at, Ordering::Relaxed) != word
        {
            // The kernel has woken one.
            self.region.wake(at);
        }
        woken
    }

    fn in_vain(&mut self) -> bool {
        self.dead_writer().is_some()
    }

    fn peer(&self) -> Peer {
        let mut slots = 0..self.slate.participants;
        let is_alive = |slot| {
            let word = self
                .region
                .load32(slot_offset(slot) + LIVENESS, Ordering::Acquire);
            Liveness::of(word) == Liveness::Alive
        };
        match slots.any(is_alive) {
            true => Peer::Alive,
            false => Peer::Absent,
        }
    }

    /// Nobody tells it that the board is removed, or that one was stopped before it woke the sleepers: it looks.
    fn is_lonely(&mut self) -> bool {
        true
    }

    fn interrupted(&self) -> Option<&AtomicBool> {
        self.region.interrupted()
    }

    /// Removed, and nobody is there to write. (Who has it open can come yet; then it is no more than news.)
    fn is_forsaken(&self) -> bool {
        self.peer() == Peer::Absent
            && (self.region.name()).is_some_and(|name| name.is_removed().unwrap_or(false))
    }
}
