//! posix-sem: POSIX semaphores in the segment, one to exclude and one for each participant to sleep on.
//!
//! # The lock
//! A semaphore does not say who has it. So who has the lock stands in a word of its own, taken by
//! compare-and-swap, and the semaphore is where the others sleep.
//!
//! | bits of the word | field |
//! |---|---|
//! | 0 | CONTENDED: somebody may be asleep |
//! | 1 | DIRTY: a holder died, and nobody has marked the lock consistent since |
//! | 8 - 15 | the holder's slot, plus 1; 0 when the lock is free |
//! | 16 - 63 | low bits of the epoch of its slot |
//!
//! A contender sets CONTENDED before it sleeps, and again when it gets the lock after having slept. Who
//! releases a contended lock adds a token. So while somebody may be asleep there is a token, or the bit, or
//! somebody awake who has taken a token and will set the bit.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | holding the lock | its name in the word, and a death on its liveness word | the next contender: takes it over, DIRTY; those asleep are given tokens by their watchers |
//! | having taken over, before marking the lock consistent | the same, DIRTY | the next contender |
//! | having freed the word, before adding the token | sleepers without a token | their watchers |
//! | having taken a token, before setting CONTENDED | the same | their watchers |
//! | asleep | one sleeper too many in the semaphore's count: each post makes a system call | nobody |
//!
//! After each death the watcher of every participant adds a token, and one more for each that died: the
//! thread of a dead one may still be in the queue, and take a wake-up with it. One too many is a needless
//! look.
//!
//! # The bells
//! A bell is rung by a post, and remembers it. They are initialised with the ring and never again: others
//! may be ringing at any time. What a slot's last holder left is a needless wake-up for the next, who rings
//! a few times first to clear the queue of its predecessors.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | ringing, after the token, before the wake-up | a sleeper who does not know of it | that sleeper's watcher rings too |
//!
//! # Peers
//! A peer that writes garbage into the lock's word can keep others from the lock, as it could by keeping the lock, and
//! can ring for nothing. But the `sem_t`s are the C library's: glibc makes a system call of what stands in one, and
//! ends the process when the kernel refuses that. So this kind is for peers that trust each other, as
//! [`pthread`](super::pthread) is ([`SyncKind::needs_trust`](crate::SyncKind::needs_trust)).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::parts::{self, Acquired, Bell, Broken, PREDECESSORS};
use crate::memory::layout::MAX_PARTICIPANTS;
use crate::memory::layout::control::{LOCK, LOCK_HOLDER, LOCK_LEN};
use crate::memory::layout::header::Header;
use crate::memory::layout::participant::{SEMAPHORE, SEMAPHORE_LEN, slot_offset};
use crate::memory::map::Map;
use crate::memory::region::Region;
use crate::presence::Outlook;
use crate::sys::futex::{MonotonicTime, Wake};
use crate::sys::sem_overview::Semaphore;

const _: () = assert!(size_of::<libc::sem_t>() <= LOCK_LEN);
const _: () = assert!(size_of::<libc::sem_t>() <= SEMAPHORE_LEN);

pub(super) fn initialise(map: &Map, header: &Header) -> Result<(), Errno> {
    let bells = (0..header.geometry.participants()).map(bell_offset);
    for offset in bells.chain([LOCK]) {
        semaphore(map, offset).ok_or(Errno::EFAULT)?.initialise()?;
    }
    Ok(())
}

fn semaphore(map: &Map, offset: usize) -> Option<Semaphore<'_>> {
    // SAFETY: in the segment, and mapped for writing as long as `map` is borrowed. Only `LOCK` and
    // the slots' `SEMAPHORE` come here, which the layout keeps for semaphores.
    map.place(offset).map(|at| unsafe { Semaphore::new(at) })
}

fn bell_offset(slot: u32) -> usize {
    slot_offset(slot) + SEMAPHORE
}

const CONTENDED: u64 = 1;
const DIRTY: u64 = 2;
const SLOT_SHIFT: u32 = 8;
const EPOCH_SHIFT: u32 = 16;
/// Slot and epoch.
const HOLDER: u64 = !0 << SLOT_SHIFT;

const _: () = assert!(MAX_PARTICIPANTS < 1 << (EPOCH_SHIFT - SLOT_SHIFT));

/// Who has the lock, as its word says.
struct Holder {
    slot: u32,
    /// Of it the word has the low bits.
    epoch: u64,
}

impl Holder {
    fn encode(&self) -> u64 {
        u64::from(self.slot + 1) << SLOT_SHIFT | self.epoch << EPOCH_SHIFT
    }

    /// `None` if the word names no slot.
    fn of(word: u64) -> Option<Self> {
        let slot = (word as u32 >> SLOT_SHIFT & 0xff).checked_sub(1)?;
        Some(Self {
            slot,
            epoch: word >> EPOCH_SHIFT,
        })
    }
}

/// Where contenders for the lock sleep.
pub(crate) trait Tokens {
    /// Takes a token, waiting for one until the deadline; may also return without one.
    fn wait(&self, deadline: Option<MonotonicTime>);
    /// Adds a token.
    fn post(&self);
}

/// The semaphore in the segment.
#[derive(Debug)]
pub(super) struct InSegment(pub(super) Arc<Map>);

impl Tokens for InSegment {
    fn wait(&self, deadline: Option<MonotonicTime>) {
        if let Some(semaphore) = semaphore(&self.0, LOCK) {
            // A token, a signal or the deadline: all are reasons to look again.
            let _ = semaphore.wait(deadline);
        }
    }

    fn post(&self) {
        if let Some(semaphore) = semaphore(&self.0, LOCK) {
            semaphore.post();
        }
    }
}

/// The lock, as one participant has it: over the ring's memory, as the algorithms of the rings are, so that loom goes
/// through this very code.
pub(crate) struct Lock<R, T> {
    region: R,
    tokens: T,
    participants: u32,
    outlook: Outlook,
    /// What this participant writes into the word.
    own: u64,
}

impl<R, T> std::fmt::Debug for Lock<R, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lock({:#x})", self.own)
    }
}

impl<R: Region, T: Tokens> Lock<R, T> {
    pub(crate) fn new(region: R, tokens: T, participants: u32, slot: u32, epoch: u64) -> Self {
        Self {
            region,
            tokens,
            participants,
            outlook: Outlook::new(participants, slot),
            own: Holder { slot, epoch }.encode(),
        }
    }

    /// Whether the holder in `word` can still release the lock.
    fn is_held(&self, word: u64) -> Result<bool, Broken> {
        if word & HOLDER == 0 {
            return Ok(false);
        }
        let Holder { slot, epoch } = Holder::of(word).ok_or(Broken::Written)?;
        if slot >= self.participants || word & HOLDER == self.own {
            return Err(Broken::Written);
        }
        // The word has the low bits of an epoch.
        let is_its = |whole: u64| whole << EPOCH_SHIFT == epoch << EPOCH_SHIFT;
        Ok(!self.outlook.is_gone(&self.region, slot, is_its))
    }
}

/// For the watcher: whoever is asleep shall look at the holder again. `deaths` more wake-ups may be lost on the dead.
pub(crate) fn look_again(tokens: &impl Tokens, deaths: u32) {
    (0..=deaths).for_each(|_| tokens.post());
}

impl<R: Region + Send + Sync, T: Tokens + Send + Sync> parts::Lock for Lock<R, T> {
    fn acquire(&self, deadline: Option<MonotonicTime>) -> Result<Acquired, Broken> {
        let mut slept = 0;
        loop {
            // Acquire pairs with the release of who took the lock: its slot is then seen as it is.
            let word = self.region.load64(LOCK_HOLDER, Ordering::Acquire);
            if !self.is_held(word)? {
                let is_taken_over = word & HOLDER != 0;
                // It will not write any more, neither the word nor what the lock guards.
                if is_taken_over && !self.region.settle() {
                    return Err(Broken::Unsettled);
                }
                let dirty = if is_taken_over { DIRTY } else { word & DIRTY };
                let mine = self.own | dirty | word & CONTENDED | slept;
                // Its acquire pairs with the release of the lock; its release with the load above.
                match self.region.replace64(LOCK_HOLDER, word, mine) {
                    Ok(()) if dirty != 0 => return Ok(Acquired::AfterDeath),
                    Ok(()) => return Ok(Acquired::Clean),
                    Err(_) => continue,
                }
            }
            if deadline.is_some_and(|deadline| deadline.remaining().is_none()) {
                return Ok(Acquired::TimedOut);
            }
            let replaced = self.region.replace64(LOCK_HOLDER, word, word | CONTENDED);
            if replaced.is_err() {
                continue;
            }
            slept = CONTENDED;
            self.tokens.wait(deadline);
        }
    }

    fn mark_consistent(&self) {
        // Its release: who takes the lock from here on without repairing sees what was repaired.
        self.region.mask64(LOCK_HOLDER, !DIRTY);
    }

    fn release(&self) {
        // Its release pairs with the acquire of the next holder.
        let before = self.region.mask64(LOCK_HOLDER, DIRTY);
        if before & CONTENDED != 0 {
            self.tokens.post();
        }
    }
}

/// The bells of all participants, as one of them has them.
#[derive(Debug)]
pub(super) struct Bells {
    map: Arc<Map>,
    participants: u32,
    slot: u32,
}

impl Bells {
    pub(super) fn new(map: &Arc<Map>, participants: u32, slot: u32) -> Self {
        let bells = Self {
            map: Arc::clone(map),
            participants,
            slot,
        };
        (0..PREDECESSORS).for_each(|_| bells.ring(slot));
        bells
    }
}

/// How many tokens more one sleep takes. What is beyond, because somebody rings without end, is a
/// needless wake-up.
const TOKENS: usize = 64;

impl Bell for Bells {
    fn sleep(&self, deadline: Option<MonotonicTime>) -> Result<Wake, Broken> {
        let bell = semaphore(&self.map, bell_offset(self.slot)).ok_or(Broken::Written)?;
        match bell.wait(deadline) {
            Ok(()) => {}
            Err(Errno::ETIMEDOUT) => return Ok(Wake::TimedOut),
            Err(Errno::EINTR) => return Ok(Wake::Check),
            Err(_) => return Err(Broken::Written),
        }
        let _ = (0..TOKENS).take_while(|_| bell.try_wait()).count();
        Ok(Wake::Check)
    }

    fn ring(&self, slot: u32) {
        if slot < self.participants
            && let Some(bell) = semaphore(&self.map, bell_offset(slot))
        {
            bell.post();
        }
    }
}
