//! sysv-sem: a System V semaphore set beside the segment. The kernel gives the lock back for the dead.
//!
//! | semaphores | what |
//! |---|---|
//! | 0 | the lock: 1 when it is free |
//! | 1 to n | the bells of the n slots: 1 when rung |
//! | the next 9 | the ring's nonce, 15 bits each |
//! | the last | [`TAG`] |
//!
//! The set's id stands in the header. Whoever uses or removes the set checks the nonce first, so a number in
//! the header that is not true any more never touches what belongs to others.
//!
//! What the lock guards is in order unless the word beside it names a holder.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | having lowered the semaphore, before it wrote its name | the lock, which the kernel gives back (`SEM_UNDO`); nothing had changed | |
//! | holding the lock, or having got it so and not marked it consistent | the same, and its name: [`Acquired::AfterDeath`] | the next holder |
//! | having erased its name, before raising the semaphore | the lock, which the kernel gives back | |
//! | ringing | a bell that is rung or not: the kernel does it in one step | |
//! | making a ring, between making the set and writing its id down | a set that nobody finds by the ring | nobody: `ipcs -s` shows it, [`TAG`] tells it |
//! | making a ring, later | `sysv:`: a half-made ring that names its set | the next creator removes both |
//! | | others: a set whose ring has no name yet | nobody, as above |
//!
//! The kernel gives a lock back when the last thread of the holder has ended, so the dead write no more. It
//! does not give it back at `exec`: a program that calls it in one thread while another is sending or
//! receiving keeps the lock until its successor ends.
//!
//! A set that is removed under its users is [`Broken`] at once, for sleepers too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::{Acquired, Bell, Broken, PREDECESSORS};
use crate::error::{Error, ErrorKind};
use crate::layout::MAX_PARTICIPANTS;
use crate::layout::control::LOCK_HOLDER;
use crate::layout::header::{Header, SEMAPHORES_OFFSET};
use crate::planted::{self, Bug};
use crate::segment::Access;
use crate::segment::attempt::Attempt;
use crate::segment::map::Map;
use crate::sys::futex::{MonotonicTime, Wake};
use crate::sys::semget::{self, AtExit};

/// What the last semaphore of every set of ringway's holds: "RW".
const TAG: u16 = 0x5257;
const LOCK: u16 = 0;
const NONCE_LEN: u16 = 9;
const NONCE_BITS: u32 = 15;

/// The set of one ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    id: i32,
    participants: u16,
}

impl Set {
    /// The set that `header` and the word beside it speak of, if it is that ring's.
    fn find(header: &Header, semaphores: u32) -> Result<Self, Errno> {
        let participants = header.geometry.participants();
        let id = semaphores.checked_sub(1).ok_or(Errno::EINVAL)?;
        let set = Self {
            id: i32::try_from(id).map_err(|_| Errno::EINVAL)?,
            participants: u16::try_from(participants).map_err(|_| Errno::EINVAL)?,
        };
        for (index, expected) in (set.nonce_at()..).zip(identity(header.nonce)) {
            if semget::value(set.id, index)? != expected {
                return Err(Errno::EINVAL);
            }
        }
        Ok(set)
    }

    pub(super) fn open(attempt: Attempt<'_>, map: &Map, header: &Header) -> Result<Self, Error> {
        let semaphores = map
            .word32(SEMAPHORES_OFFSET)
            .map_or(0, |id| id.load(Ordering::Relaxed));
        Self::find(header, semaphores).map_err(|errno| match errno {
            Errno::EINVAL | Errno::EIDRM => attempt
                .error(
                    ErrorKind::Corrupt,
                    "its semaphore set is gone or another one's: somebody removed it",
                )
                .remedy("remove the ring and create it again")
                .because(errno),
            errno => attempt.os("its semaphore set cannot be read", errno),
        })
    }

    fn nonce_at(self) -> u16 {
        self.participants + 1
    }

    fn len(self) -> u16 {
        self.nonce_at() + NONCE_LEN + 1
    }

    /// The bell of `slot`.
    fn bell(self, slot: u32) -> Option<u16> {
        let slot = u16::try_from(slot).ok()?;
        (slot < self.participants).then_some(slot + 1)
    }
}

const _: () = assert!(MAX_PARTICIPANTS < 1 << 15);
const _: () = assert!(NONCE_LEN as u32 * NONCE_BITS >= u128::BITS);

/// What the last semaphores of a set hold.
fn identity(nonce: [u8; 16]) -> impl Iterator<Item = u16> {
    let nonce = u128::from_le_bytes(nonce);
    let part = move |index| (nonce >> (u32::from(index) * NONCE_BITS)) as u16 & 0x7fff;
    (0..NONCE_LEN).map(part).chain([TAG])
}

/// Makes the set of a new ring.
pub(super) fn create(
    attempt: Attempt<'_>,
    map: &Map,
    header: &Header,
    access: Access,
) -> Result<(), Error> {
    let failed = |errno| attempt.os("its semaphore set cannot be set up", errno);
    let word = map.word32(SEMAPHORES_OFFSET);
    let word = word.ok_or_else(|| failed(Errno::EFAULT))?;
    let participants = u16::try_from(header.geometry.participants());
    let mut set = Set {
        id: 0,
        participants: participants.map_err(|_| failed(Errno::EINVAL))?,
    };
    set.id = semget::create(set.len(), access.mode | 0o600)
        .map_err(|errno| explain(attempt, set.len(), errno))?;
    let bells = std::iter::repeat_n(0, set.participants.into());
    let values: Vec<u16> = std::iter::once(1)
        .chain(bells)
        .chain(identity(header.nonce))
        .collect();
    // SAFETY: a value for each of the `len` semaphores that it was made with.
    let result = unsafe { semget::set_all(set.id, &values) }
        .and_then(|()| semget::set_access(set.id, access.uid, access.gid, access.mode));
    if let Err(errno) = result {
        let _ = semget::remove(set.id);
        return Err(failed(errno));
    }
    // Not before it can be told by its nonce. Relaxed: published with the magic.
    word.store(set.id as u32 + 1, Ordering::Relaxed);
    Ok(())
}

fn explain(attempt: Attempt<'_>, needed: u16, errno: Errno) -> Error {
    let limits = std::fs::read_to_string("/proc/sys/kernel/sem").unwrap_or_default();
    let mut limits = limits.split_whitespace().map(|limit| limit.parse().ok());
    // SEMMSL, SEMMNS, SEMOPM, SEMMNI.
    let [per_set, in_all, _, sets] = [(); 4].map(|()| limits.next().flatten().unwrap_or(0_u64));
    match errno {
        Errno::EINVAL => attempt
            .error(
                ErrorKind::NoSpace,
                format!("it needs {needed} semaphores, and a set may have {per_set} (SEMMSL)"),
            )
            .remedy("raise the first number of kernel.sem (sysctl), or choose fewer participants")
            .because(errno),
        Errno::ENOSPC => attempt
            .error(
                ErrorKind::NoSpace,
                format!(
                    "the machine has its {sets} semaphore sets (SEMMNI), or they have {in_all} \
                     semaphores in all (SEMMNS)"
                ),
            )
            .remedy(
                "remove sets (ipcs -s, ipcrm -s) or raise the fourth or second number of kernel.sem \
                 (sysctl)",
            )
            .because(errno),
        Errno::ENOSYS => attempt
            .error(ErrorKind::Unsupported, "the kernel has no System V semaphores")
            .remedy("choose another kind of sync")
            .because(errno),
        errno => attempt.os("the kernel made no semaphore set", errno),
    }
}

/// Removes the set of a ring, if there is one and it is that ring's.
pub(super) fn remove(header: &Header, semaphores: u32) {
    if let Ok(set) = Set::find(header, semaphores) {
        let _ = semget::remove(set.id);
    }
}

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

impl super::Lock for Lock {
    fn acquire(&self, deadline: Option<MonotonicTime>) -> Result<Acquired, Broken> {
        let holder = self.holder().ok_or(Broken)?;
        if lower(self.set.id, LOCK, at_exit(), deadline)? == Wake::TimedOut {
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
        if planted::is(Bug::SysvSemRaisedBeforeErased) {
            let _ = semget::raise(self.set.id, LOCK, at_exit());
            // Others run when they like.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // Relaxed: this thread's own store.
        if let Some(holder) = self.holder()
            && holder.load(Ordering::Relaxed) & DIRTY == 0
        {
            holder.store(0, Ordering::Release);
        }
        if planted::is(Bug::SysvSemRaisedBeforeErased) {
            return;
        }
        // Fails if the set was removed; then nobody can acquire the lock.
        let _ = semget::raise(self.set.id, LOCK, at_exit());
    }
}

/// What becomes of the lock when its holder ends.
fn at_exit() -> AtExit {
    if planted::is(Bug::SysvSemNotUndone) {
        AtExit::Keep
    } else {
        AtExit::Undo
    }
}

/// The bells of all participants, as one of them has them.
#[derive(Debug)]
pub(super) struct Bells {
    set: Set,
    slot: u32,
}

impl Bells {
    /// A killed sleeper is in the queue of its bell until it runs once more. The next one to have the
    /// bell clears the queue, or the dead would hear it.
    pub(super) fn new(set: Set, slot: u32) -> Self {
        let bells = Self { set, slot };
        (0..PREDECESSORS).for_each(|_| bells.ring(slot));
        bells
    }
}

impl Bell for Bells {
    fn sleep(&self, deadline: Option<MonotonicTime>) -> Result<Wake, Broken> {
        let bell = self.set.bell(self.slot).ok_or(Broken)?;
        lower(self.set.id, bell, AtExit::Keep, deadline)
    }

    fn ring(&self, slot: u32) {
        if let Some(bell) = self.set.bell(slot) {
            // Not by raising it: a bell that is rung often is rung once. If the set was removed, the
            // sleeper knows.
            let _ = semget::set_value(self.set.id, bell, 1);
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
            // EIDRM, EINVAL: the set was removed.
            Err(_) => return Err(Broken),
        }
    }
}
