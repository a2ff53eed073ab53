//! One participant of a cell ring: who it is, who the others are, and how it waits for them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use nix::errno::Errno;

use super::notify::{self, Notifier, RoleWords};
use super::{Cells, MOST_HEAD};
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::Owner;
use crate::memory::layout::control::{CONSUMERS_CHANGED, DATA_EVENT, HEAD, TAKE_HINT};
use crate::memory::layout::participant::{ASLEEP, AWAKE, CLOSED, MESSAGES, Role, slot_offset};
use crate::memory::region::Region;
use crate::presence::Peer;
use crate::presence::{Liveness, Outlook};
use crate::rings::pool::Pool;
use crate::sys::futex::{MonotonicTime, Wake};
use crate::waiting::sync::listener::{Heard, Listener};
use crate::waiting::sync::{Acquired, Broken, Primitives};
use crate::waiting::watch::Watch;
use crate::waiting::{Blocked, Look, PeersEnd, WaitOptions, Waited, eventcount};

/// Who takes part, and in which slot.
#[derive(Clone, Debug)]
pub(crate) struct SlotInfo {
    pub(crate) role: Role,
    pub(crate) slot: u32,
    /// The slot's epoch.
    pub(crate) epoch: u64,
    pub(crate) producers: Range<u32>,
    pub(crate) consumers: Range<u32>,
}

/// Why an operation could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The lock was not free before the deadline.
    TimedOut,
    /// The segment contradicts itself, or what lies beside it cannot be used.
    Corrupt,
    /// The dead hold what it needs, and this process may not make sure any more that they are done.
    Unsettled,
}

/// A participant.
#[derive(Debug)]
pub(crate) struct Member<R> {
    pub(crate) cells: Cells<R>,
    pub(super) me: Owner,
    slot_info: SlotInfo,
    primitives: Primitives,
    /// Of who can only watch words: the bell that `primitives` has.
    listener: Option<Arc<Listener>>,
    /// `HEAD` as last seen.
    pub(super) head: u64,
    /// The cell that blocks this participant, and its word as seen: when that changes, it is worth
    /// looking again.
    pub(super) obstacle: (u64, u64),
    /// How many adjacent cells a producer that overwrites waits for, if it has to.
    pub(super) wants: u32,
    /// Where to claim or to take next; always a record's start, or where one will be.
    pub(super) cursor: u64,
    /// How often the consumers had changed when this participant began to look.
    pub(super) change: u32,
    /// One of the others, that was alive.
    witness: u32,
    /// Messages ever sent or released in this slot.
    pub(super) messages: u64,
    /// Where that is said.
    messages_at: usize,
    /// The handle refuses further work.
    pub(crate) corrupt: bool,
    /// Because the kernel refuses what lies beside the segment, with that errno; else the segment contradicts itself.
    pub(super) beside: Option<i32>,
    /// Whether what was refused last was so because the dead could not be settled. The handle goes on.
    /// This participant's thread alone uses it, so its accesses are relaxed; an atomic, so that [`Member`] is `Sync`.
    unsettled: AtomicBool,
    /// Until when the present wait may last, its getting of the lock included.
    deadline: Option<Instant>,
    /// The slabs, if the ring has some.
    pub(crate) pool: Option<Box<Pool>>,
}

impl<R: Region> Member<R> {
    pub(crate) fn new(cells: Cells<R>, slot_info: SlotInfo, primitives: Primitives) -> Self {
        let messages_at = slot_offset(slot_info.slot) + MESSAGES;
        let messages = cells.region.load64(messages_at, Ordering::Relaxed);
        let head = cells.region.load64(HEAD, Ordering::Acquire);
        let mut member = Self {
            me: Owner::new(slot_info.slot, slot_info.epoch),
            witness: slot_info.producers.start,
            cells,
            slot_info,
            primitives,
            listener: None,
            head: head & MOST_HEAD,
            obstacle: (head, 0),
            wants: 0,
            cursor: head & MOST_HEAD,
            change: 0,
            messages,
            messages_at,
            corrupt: head > MOST_HEAD,
            beside: None,
            unsettled: AtomicBool::new(false),
            deadline: None,
            pool: None,
        };
        member.witness = member.others().start;
        member
    }

    pub(crate) fn region(&self) -> &R {
        &self.cells.region
    }

    /// How often its bell was heard, if it is listened to.
    pub(super) fn heard(&self) -> Option<&AtomicU32> {
        let listener = self.listener.as_ref()?;
        Some(listener.heard().count())
    }

    /// Has the bell listened to, if there is one: from here on it can be waited for by a word.
    pub(crate) fn listen(&mut self) -> Result<Option<Arc<Heard>>, Errno> {
        if self.listener.is_none()
            && let Some(bell) = &mut self.primitives.bell
        {
            let listener = Arc::new(Listener::start(bell, self.slot_info.slot)?);
            *bell = Arc::clone(&listener) as _;
            self.listener = Some(listener);
        }
        Ok(self
            .listener
            .as_ref()
            .map(|listener| Arc::clone(listener.heard())))
    }

    /// Has the bell listened to no more. Before this participant leaves its slot.
    pub(crate) fn listen_no_more(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.primitives.bell = Some(Arc::clone(listener.bell()));
        }
    }

    /// Whether its slot says that it sleeps.
    pub(crate) fn says_that_it_sleeps(&self) -> bool {
        let asleep = slot_offset(self.slot_info.slot) + ASLEEP;
        // Relaxed: written by this participant alone.
        self.region().load32(asleep, Ordering::Relaxed) != AWAKE
    }

    /// Takes note of having been rung.
    pub(super) fn drain_bell(&mut self) {
        if let Some(bell) = &self.primitives.bell {
            let at_once = MonotonicTime::at(Instant::now());
            if let Err(broken) = bell.sleep(at_once) {
                self.break_by(broken);
            }
        }
    }

    /// The lock or the bell is of no use any more, and so is this handle.
    fn break_by(&mut self, broken: Broken) {
        match broken {
            Broken::Unsettled => return self.unsettled.store(true, Ordering::Relaxed),
            Broken::Beside(errno) => self.beside = Some(errno as i32),
            Broken::Written => {}
        }
        self.corrupt = true;
    }

    /// Whether the dead can do nothing more. If not, that is why the call is refused.
    pub(super) fn settle(&self) -> bool {
        let settled = self.region().settle();
        if !settled {
            self.unsettled.store(true, Ordering::Relaxed);
        }
        settled
    }

    /// Why something was [`Corrupt`]. Told once, for it can change.
    pub(super) fn refused(&self) -> Refused {
        match self.unsettled.swap(false, Ordering::Relaxed) {
            true => Refused::Unsettled,
            false => Refused::Corrupt,
        }
    }

    /// For one who repairs more than it needs: what cannot be settled is left to others.
    pub(super) fn unless_unsettled(&self, repaired: Result<(), Corrupt>) -> Result<(), Refused> {
        match repaired.map_err(|Corrupt| self.refused()) {
            Err(Refused::Unsettled) => Ok(()),
            repaired => repaired,
        }
    }

    pub(super) fn role(&self) -> Role {
        self.slot_info.role
    }

    fn own(&self) -> RoleWords {
        RoleWords::of(self.slot_info.role)
    }

    fn slots_of(&self, role: Role) -> Range<u32> {
        match role {
            Role::Producer => self.slot_info.producers.clone(),
            Role::Consumer => self.slot_info.consumers.clone(),
        }
    }

    /// The slots of those for whom this participant waits.
    fn others(&self) -> Range<u32> {
        self.slots_of(match self.slot_info.role {
            Role::Producer => Role::Consumer,
            Role::Consumer => Role::Producer,
        })
    }

    /// Gets the ring's lock, if it has one: only with it are words changed that nobody owns. Whoever gets
    /// it after a death repairs what the dead left before saying that all is consistent. The caller
    /// calls [`leave`](Self::leave).
    #[inline]
    pub(super) fn enter(&mut self, deadline: Option<Instant>) -> Result<(), Refused> {
        if self.primitives.lock.is_none() {
            return Ok(());
        }
        self.acquire(deadline)
    }

    /// Gives the ring's lock back.
    #[inline]
    pub(super) fn leave(&self) {
        if let Some(lock) = &self.primitives.lock {
            lock.release();
        }
    }

    #[cold]
    fn acquire(&mut self, deadline: Option<Instant>) -> Result<(), Refused> {
        let Some(lock) = &self.primitives.lock else {
            return Ok(());
        };
        match lock.acquire(deadline.and_then(MonotonicTime::at)) {
            Ok(Acquired::Clean) => return Ok(()),
            Ok(Acquired::TimedOut) => return Err(Refused::TimedOut),
            Ok(Acquired::AfterDeath) => {}
            Err(broken) => {
                self.break_by(broken);
                return Err(self.refused());
            }
        }
        let repaired = self.repair_all();
        // The kernel gave the lock away, or somebody that settled the holder: no thread of the dead is in there. What
        // they own besides says so by itself, and stays as that of one who is stopped.
        let repaired = self.unless_unsettled(repaired);
        if let Some(lock) = &self.primitives.lock {
            match repaired {
                Ok(()) => lock.mark_consistent(),
                Err(_) => lock.release(),
            }
        }
        repaired
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> u32 {
        self.slot_info.consumers.end
    }

    pub(super) fn liveness(&self, slot: u32) -> Liveness {
        self.outlook().liveness(self.region(), slot)
    }

    /// How this participant sees the others.
    pub(super) fn outlook(&self) -> Outlook {
        Outlook::new(self.slots(), self.slot_info.slot)
    }

    /// Whether the owner in a control word is gone: what it owned may be repaired, after
    /// [`settle`](Region::settle).
    pub(super) fn is_dead(&self, owner: Owner) -> bool {
        owner != self.me
            && self
                .outlook()
                .is_gone(self.region(), owner.slot(), |epoch| owner.is_of(epoch))
    }

    /// Whether none of the others lives any more, or not yet.
    fn others_are_gone(&mut self) -> bool {
        if self.liveness(self.witness) == Liveness::Alive {
            return false;
        }
        let alive = |slot: &u32| self.liveness(*slot) == Liveness::Alive;
        let Some(witness) = self.others().find(alive) else {
            return true;
        };
        self.witness = witness;
        false
    }

    /// Whether consumers came, went or got messages back since this participant last said so.
    #[inline]
    pub(super) fn consumers_changed(&self) -> bool {
        // Relaxed: a reason to look, nothing more.
        self.region().load32(CONSUMERS_CHANGED, Ordering::Relaxed) != self.change
    }

    /// Notes the change that is looked at from here on.
    pub(super) fn note_change(&mut self) {
        // Acquire pairs with the release in `notify::change`: what changed is seen.
        self.change = self.region().load32(CONSUMERS_CHANGED, Ordering::Acquire);
    }

    /// Wakes those who play `role`, if any sleeps. Call it after publishing.
    #[inline]
    pub(super) fn notify(&self, role: Role) {
        let words = RoleWords::of(role);
        self.region().publish_fence();
        if eventcount::is_slept_on(self.region(), words.event) {
            self.wake(role);
        }
    }

    /// Wakes consumers that wait for the others' last messages, after one was released.
    #[inline]
    pub(super) fn notify_of_end(&mut self) {
        // The caller has just made the fence in `notify`.
        if eventcount::is_slept_on(self.region(), DATA_EVENT) && self.others_are_gone() {
            self.wake(Role::Consumer);
        }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self, role: Role) {
        let bell = self.primitives.bell.as_deref();
        notify::wake(self.region(), bell, self.slots_of(role), role);
    }

    /// Whom to wake and tell, for one that outlives this participant.
    pub(crate) fn notifier(&self) -> Notifier {
        Notifier {
            producers: self.slot_info.producers.clone(),
            consumers: self.slot_info.consumers.clone(),
            bell: self.primitives.bell.clone(),
        }
    }

    /// Says that a message came back at `cell`: nobody passes it by the hint, and sleepers look again.
    #[cold]
    pub(super) fn announce_return(&self, cell: u64) {
        // Release pairs with the acquire in `Consumer::pass`.
        self.region().store64(TAKE_HINT, cell, Ordering::Release);
        self.announce(Role::Consumer);
    }

    /// Says that this participant has come or is gone, or that a message came back: sleepers look again.
    pub(crate) fn announce(&self, role: Role) {
        notify::change(self.region(), role);
        self.notify(Role::Consumer);
        self.notify(Role::Producer);
    }

    /// Says, for the time after this participant is gone, that it has closed.
    pub(crate) fn mark_closed(&self) {
        let closed = slot_offset(self.slot_info.slot) + CLOSED;
        // Release: ordered before the liveness word's store by that one's release as well.
        self.region().store32(closed, 1, Ordering::Release);
    }

    /// Forgets that others of this role closed before: whether the last one closes or only leaves, decides. To be called
    /// when one has come, and when it is about to leave without closing.
    pub(crate) fn reopen(&self) {
        notify::reopen(self.region(), self.slots_of(self.slot_info.role));
    }

    /// Shows how many messages went through this slot. Relaxed: nobody concludes anything from it.
    #[inline(always)]
    pub(super) fn count(&mut self, messages: u64) {
        self.messages = self.messages.wrapping_add(messages);
        self.region()
            .store64(self.messages_at, self.messages, Ordering::Relaxed);
    }

    /// Messages that all who ever played `role` sent or released.
    pub(crate) fn messages_ever(&self, role: Role) -> u64 {
        self.slots_of(role).fold(0, |sum: u64, slot| {
            let offset = slot_offset(slot) + MESSAGES;
            sum.saturating_add(self.region().load64(offset, Ordering::Relaxed))
        })
    }

    /// Adds to a counter in this participant's slot.
    pub(super) fn add(&self, counter: usize, more: u64) -> u64 {
        let offset = slot_offset(self.slot_info.slot) + counter;
        let sum = self
            .region()
            .load64(offset, Ordering::Relaxed)
            .wrapping_add(more);
        self.region().store64(offset, sum, Ordering::Relaxed);
        sum
    }

    /// Waits until the obstacle has changed, as the options say.
    #[cold]
    #[inline(never)]
    pub(super) fn block(&mut self, wait: &WaitOptions) -> Waited {
        self.block_or(wait, || false)
    }

    /// The same, or until `over`.
    pub(crate) fn block_or(&mut self, wait: &WaitOptions, over: impl Fn() -> bool) -> Waited {
        self.deadline = wait.deadline;
        wait.wait(self, PeersEnd::EndsIt, |member, look| {
            member.poll_progress(look) || over()
        })
    }

    /// Whether what blocked this participant is not there any more.
    #[inline]
    pub(super) fn obstacle_changed(&self) -> bool {
        let (cell, seen) = self.obstacle;
        let position = self.cells.position(cell);
        // Relaxed: a reason to look, nothing more.
        self.region().load_word(position, Ordering::Relaxed) != seen
    }

    /// Whether it is worth looking again.
    #[inline]
    pub(super) fn poll_progress(&mut self, look: Look) -> bool {
        self.obstacle_changed()
            || self.consumers_changed()
            || self.corrupt
            || self.wants > 0 && self.has_place(self.wants.into()) != Ok(false)
            || look == Look::Last && self.repair_before(self.deadline) != Ok(false)
    }

    /// Whether the owner of what blocks this participant is dead.
    pub(super) fn is_blocked_by_the_dead(&self) -> bool {
        let head = self.cells.head(Ordering::Acquire);
        [head, self.obstacle.0].into_iter().any(|cell| {
            self.cells
                .code
                .decode(self.cells.load(cell))
                .is_some_and(|word| {
                    word.state.is_owned()
                        && self.cells.is_of_lap(word, cell)
                        && self.is_dead(word.owner)
                })
        })
    }
}

impl<R: Region> Member<R> {
    /// Whether what other consumers hold may still come back to this one.
    fn may_get_back(&self) -> bool {
        self.slot_info.role == Role::Consumer && self.cells.advance_head() < self.cursor
    }
}

impl<R: Region> Blocked for Member<R> {
    fn prepare(&mut self) -> Watch {
        let own = self.own();
        // Seen by who sees the event's change below.
        let asleep = slot_offset(self.slot_info.slot) + ASLEEP;
        self.region()
            .store32(asleep, own.asleep_for, Ordering::Release);
        let event = match &self.primitives.bell {
            None => eventcount::prepare(self.region(), own.event),
            Some(bell) => {
                let heard = bell.prepare();
                eventcount::prepare_for_bell(self.region(), own.event);
                heard
            }
        };
        // The watcher sees to deaths.
        Watch::of(own.event, event)
    }

    /// The event stays as it is: others may be asleep on it.
    fn cancel(&mut self) {
        let asleep = slot_offset(self.slot_info.slot) + ASLEEP;
        self.region().store32(asleep, AWAKE, Ordering::Relaxed);
    }

    fn sleep(&mut self, watch: &Watch, deadline: Option<MonotonicTime>) -> Wake {
        if let Some(bell) = &self.primitives.bell {
            let slept = bell.sleep(deadline);
            return slept.unwrap_or_else(|broken| {
                self.break_by(broken);
                Wake::Check
            });
        }
        self.region().wait(watch.words(), deadline)
    }

    fn in_vain(&mut self) -> bool {
        if self.is_blocked_by_the_dead() {
            return true;
        }
        if !self.others_are_gone() || !matches!(self.peer(), Peer::Closed | Peer::Died) {
            return false;
        }
        !self.may_get_back()
    }

    fn is_lonely(&mut self) -> bool {
        self.region().name().is_some() && self.others_are_gone() && !self.may_get_back()
    }

    fn is_forsaken(&self) -> bool {
        self.region().name().is_some_and(|name| name.is_forsaken())
    }

    fn interrupted(&self) -> Option<&AtomicBool> {
        self.region().interrupted()
    }

    fn peer(&self) -> Peer {
        let mut died = false;
        for slot in self.others() {
            match self.liveness(slot) {
                Liveness::Alive => return Peer::Alive,
                Liveness::Dead => died = true,
                Liveness::Absent => {}
            }
        }
        if died {
            return Peer::Died;
        }
        // Only now that all are seen to have left: the last one may have forgotten what those before it said
        // (`reopen`), which its leaving made visible to the loads above. Acquire pairs with the release in `mark_closed`.
        let closed = |slot| {
            let offset = slot_offset(slot) + CLOSED;
            self.region().load32(offset, Ordering::Acquire) != 0
        };
        match self.others().any(closed) {
            true => Peer::Closed,
            false => Peer::Absent,
        }
    }
}
