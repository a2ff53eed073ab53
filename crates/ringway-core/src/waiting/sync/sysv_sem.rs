//! sysv-sem: a System V semaphore set beside the segment. The kernel gives the lock back for the dead.
//!
//! The set's id stands in the header; [`semaphore_set`] says what its semaphores are.
//!
//! What the lock guards is in order unless the word beside it names a holder.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | having lowered the semaphore, before it wrote its name | the lock, which the kernel gives back (`SEM_UNDO`); nothing had changed | |
//! | holding the lock, or having got it so and not marked it consistent | the same, and its name: [`Acquired::AfterDeath`] | the next holder |
//! | having erased its name, before raising the semaphore | the lock, which the kernel gives back | |
//! | ringing | a bell that is rung or not: the kernel does it in one step | |
//! | making a ring, between making the set and writing its id down | a set that nobody finds by the ring | a collector ([`semaphore_set`]); of `file:` nobody, but `ipcs -s` shows it |
//! | making a ring, later | `sysv:`: a half-made ring that names its set | the next creator or a collector removes both |
//! | | others: a set whose ring has no name yet | as above |
//!
//! The kernel gives a lock back when the last thread of the holder has ended, so the dead write no more. It
//! does not give it back at `exec`: a program that calls it in one thread while another is sending or
//! receiving keeps the lock until its successor ends.
//!
//! A set that is removed under its users is [`Broken`] at once, for sleepers too. When none of them has the ring open any
//! more, the next opener makes another ([`renewal`](crate::store)).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::parts::{self, Acquired, Bell, Broken, PREDECESSORS};
#[cfg(doc)]
use super::semaphore_set;
use super::semaphore_set::{Set, User};
use crate::memory::layout::control::LOCK_HOLDER;
use crate::memory::map::Map;
use crate::sys::futex::{MonotonicTime, Wake};
use crate::sys::semget::{self, AtExit};

const LOCK: u16 = 0;

/// Marks the holder as one that has not yet repaired what a dead one left.
const DIRTY: u64 = 1 << 32;

/// The lock, as one participant has it.
#[derive(Debug)]
pub(super) struct Lock {
    set: Set,
    map: Arc<Map>,
    /// This participant's name: its slot, plus 1.
    own: u64,
}

impl Lock {
    pub(super) fn new(set: Set, map: &Arc<Map>, slot: u32) -> Self {
        Self {
            set,
            map: Arc::clone(map),
            own: u64::from(slot) + 1,
        }
    }

    fn holder(&self) -> Option<&AtomicU64> {
        self.map.word64(LOCK_HOLDER)
    }
}

impl parts::Lock for Lock {
    fn acquire(&self, deadline: Option<MonotonicTime>) -> Result<Acquired, Broken> {
        let holder = self.holder().ok_or(Broken::Written)?;
        if lower(self.set.id, LOCK, AT_EXIT, deadline)? == Wake::TimedOut {
            return Ok(Acquired::TimedOut);
        }
        // Acquire, and release below: the kernel orders one holder behind the other, by a lock of its own.
        // This is for those who do not take its word for it.
        let last = holder.swap(self.own, Ordering::Acquire);
        if last == 0 {
            return Ok(Acquired::Clean);
        }
        // A death between these two stores leaves a name as well.
        holder.store(self.own | DIRTY, Ordering::Relaxed);
        Ok(Acquired::AfterDeath)
    }

    fn mark_consistent(&self) {
        if let Some(holder) = self.holder() {
            holder.store(self.own, Ordering::Release);
        }
    }

    fn release(&self) {
        // Relaxed: this thread's own store.
        if let Some(holder) = self.holder()
            && holder.load(Ordering::Relaxed) & DIRTY == 0
        {
            holder.store(0, Ordering::Release);
        }
        // Fails if the set was removed; then nobody can acquire the lock.
        let _ = semget::raise(self.set.id, LOCK, AT_EXIT);
    }
}

/// What becomes of the lock when its holder ends.
const AT_EXIT: AtExit = AtExit::Undo;

/// The bells of all participants, as one of them has them.
#[derive(Debug)]
pub(super) struct Bells {
    set: Set,
    slot: u32,
    _user: User,
}

impl Bells {
    /// A killed sleeper is in the queue of its bell until it runs once more. The next one to have the
    /// bell clears the queue, or the dead would hear it.
    pub(super) fn new(set: Set, slot: u32, user: User) -> Self {
        let bells = Self {
            set,
            slot,
            _user: user,
        };
        (0..PREDECESSORS).for_each(|_| bells.ring(slot));
        bells
    }
}

impl Bell for Bells {
    fn sleep(&self, deadline: Option<MonotonicTime>) -> Result<Wake, Broken> {
        let bell = self.set.bell(self.slot).ok_or(Broken::Written)?;
        lower(self.set.id, bell, AtExit::Keep, deadline)
    }

    fn ring(&self, slot: u32) {
        if let Some(bell) = self.set.bell(slot) {
            // Not by raising it, unless a sandbox denies semctl: a bell that is rung often is rung once. If the set was
            // removed, the sleeper knows.
            if semget::set_value(self.set.id, bell, 1).is_err() {
                let _ = semget::raise(self.set.id, bell, AtExit::Keep);
            }
        }
    }
}

/// Lowers a semaphore, waiting for that until the deadline.
fn lower(
    id: i32,
    index: u16,
    at_exit: AtExit,
    deadline: Option<MonotonicTime>,
) -> Result<Wake, Broken> {
    loop {
        // The kernel wants it relative. A deadline that has passed is one try.
        let left = deadline.map(|deadline| deadline.remaining().unwrap_or_default());
        match semget::lower(id, index, at_exit, left) {
            Ok(()) => return Ok(Wake::Check),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if deadline.is_none_or(|deadline| deadline.remaining().is_none()) {
                    return Ok(Wake::TimedOut);
                }
            }
            Err(errno) => return Err(Broken::Beside(errno)),
        }
    }
}
