//! What the kinds of synchronisation ([`crate::SyncKind`]) are made of: a way to exclude others and a way
//! to sleep, chosen separately.
//!
//! | sync | excluded by | sleeps on |
//! |---|---|---|
//! | futex | compare-and-swap | the eventcount |
//! | pthread | robust mutex | the eventcount, as the mutex's condition variable ([`pthread`]) |
//! | posix-sem | semaphore | a semaphore of one's own |
//! | sysv-sem | semaphore that the kernel gives back (`SEM_UNDO`) | a semaphore of one's own |
//! | mqueue | compare-and-swap | a message queue of one's own |
//!
//! Whatever excludes, ownership is written in the cells ([`crate::rings::cell`]): a lock decides who may
//! change a cell's word, and the word says what a death leaves.
//!
//! Every participant has a [`watcher`](crate::presence::watcher), a thread that rings its bell, or wakes those who sleep
//! on the events, when somebody dies or goes.

pub(crate) mod listener;
pub(crate) mod mqueue;
mod parts;
pub(crate) mod posix_sem;
mod pthread;
pub(crate) mod semaphore_set;
mod sysv_sem;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use crate::address::Address;
use crate::error::Attempt;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::control::{DATA_EVENT, LOCK, LOCK_HOLDER, LOCK_LEN, SPACE_EVENT};
use crate::memory::layout::header::{Header, SEMAPHORES_OFFSET};
use crate::memory::layout::participant::{SEMAPHORE, SEMAPHORE_LEN, slot_offset};
use crate::memory::layout::{Shape, SyncKind};
use crate::memory::map::Map;
use crate::memory::region::RingName;
use crate::memory::region::memory::Memory;
use crate::presence::watcher::Alarm;
use crate::sys::futex;
use crate::sys::owner::Access;
use crate::waiting::eventcount;

#[cfg(any(test, feature = "verify"))]
pub(crate) use parts::Lock;
pub(crate) use parts::{Acquired, Bell, Broken, Primitives};
use semaphore_set::{Home, Set, User};

/// Refuses a kind of synchronisation that `attempt.address` cannot have.
pub(crate) fn check(attempt: Attempt<'_>, sync: SyncKind) -> Result<(), Error> {
    let what = match (sync, attempt.address) {
        (SyncKind::SysvSem, Address::Memfd) => "its System V semaphores",
        (SyncKind::Mqueue, Address::Memfd) => "its message queues",
        _ => return Ok(()),
    };
    let problem = format!("memfd: goes with its last process, and {what} would stay behind");
    Err(attempt
        .error(ErrorKind::Unsupported, problem)
        .remedy("choose sync futex, pthread or posix-sem, or use shm:, file: or sysv:"))
}

/// Makes what a new ring synchronises by. Called by its creator behind the header and before the magic.
pub(crate) fn create(
    attempt: Attempt<'_>,
    map: &Map,
    header: &Header,
    access: Access,
    home: Home,
) -> Result<(), Error> {
    check(attempt, header.sync)?;
    initialise(attempt, map, header, access, home)
}

/// Makes it again for a ring that nobody else has open and that nobody opens meanwhile: what the segment says is of
/// processes that are gone, and what lay beside it too, or is another ring's.
pub(crate) fn renew(
    attempt: Attempt<'_>,
    map: &Map,
    header: &Header,
    access: Access,
    home: Home,
) -> Result<(), Error> {
    initialise(attempt, map, header, access, home)
}

/// What became of that which lies beside a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// It is there, or will be made by those who attach; or there is none.
    Fine,
    /// It was removed, or its place was taken.
    Lost,
    /// It lies in another IPC namespace.
    Elsewhere,
}

/// What became of that which lies beside the ring in `map`, as a process in the IPC namespace of this inode finds it
/// (0: not known). What cannot be read is there: attaching says why.
pub(crate) fn beside(map: &Map, header: &Header, namespace: u64) -> Beside {
    let is_elsewhere =
        ![header.ipc_namespace, namespace].contains(&0) && header.ipc_namespace != namespace;
    match header.sync {
        SyncKind::SysvSem => match Set::look(map, header) {
            Ok(_) => Beside::Fine,
            Err(Errno::EINVAL | Errno::EIDRM | Errno::ERANGE) if is_elsewhere => Beside::Elsewhere,
            Err(Errno::EINVAL | Errno::EIDRM | Errno::ERANGE) => Beside::Lost,
            Err(_) => Beside::Fine,
        },
        SyncKind::Mqueue if is_elsewhere => Beside::Elsewhere,
        _ => Beside::Fine,
    }
}

/// Has what lies beside the ring follow a change of the segment's owner, group and mode, as far as this process may.
pub(crate) fn follow(map: &Map, header: &Header, access: Access) {
    if header.sync == SyncKind::SysvSem
        && let Ok(set) = Set::look(map, header)
    {
        set.follow(access);
    }
}

fn initialise(
    attempt: Attempt<'_>,
    map: &Map,
    header: &Header,
    access: Access,
    home: Home,
) -> Result<(), Error> {
    if !matches!(header.geometry.shape(), Shape::Cells(_)) {
        return Ok(());
    }
    let failed = |errno| attempt.os("its locks cannot be initialised", errno);
    clear(map, header).ok_or_else(|| failed(Errno::EFAULT))?;
    match header.sync {
        // The queues are made by those who sleep on them.
        SyncKind::Futex | SyncKind::Mqueue => Ok(()),
        SyncKind::Pthread => pthread::initialise(map).map_err(failed),
        SyncKind::PosixSem => posix_sem::initialise(map, header).map_err(failed),
        SyncKind::SysvSem => semaphore_set::create(attempt, map, header, access, home),
    }
}

/// Zeroes all that [`initialise`] writes, which a creator that died may have left.
fn clear(map: &Map, header: &Header) -> Option<()> {
    let semaphores = (0..header.geometry.participants()).map(|slot| slot_offset(slot) + SEMAPHORE);
    let fields = semaphores
        .map(|at| at..at + SEMAPHORE_LEN)
        .chain([LOCK..LOCK + LOCK_LEN, LOCK_HOLDER..LOCK_HOLDER + 8]);
    for at in fields.flat_map(|field| field.step_by(8)) {
        map.word64(at)?.store(0, Ordering::Relaxed);
    }
    map.word32(SEMAPHORES_OFFSET)?.store(0, Ordering::Relaxed);
    Some(())
}

/// Whether a creator of a ring may have written the word at `offset` before the magic.
pub(crate) fn is_initialised_early(offset: usize) -> bool {
    use crate::memory::layout::participant::{PARTICIPANTS_OFFSET, SLOT_LEN};
    let in_slot = offset
        .checked_sub(PARTICIPANTS_OFFSET)
        .map(|at| at % SLOT_LEN);
    (LOCK..LOCK_HOLDER + 8).contains(&offset)
        || in_slot.is_some_and(|at| (SEMAPHORE..SEMAPHORE + SEMAPHORE_LEN).contains(&at))
}

/// Opens what the cell ring of `header` synchronises by, for the participant that holds `slot` in its
/// `epoch`; and what its watcher is to do. `name` tells whether the ring has its name.
///
/// # Errors
/// [`ErrorKind::CompanionLost`] if the semaphores in the header are not this ring's (any more),
/// [`ErrorKind::NoSpace`] for the limits on queues, threads and descriptors, [`ErrorKind::Unsupported`]
/// where the kind does not work between this process and its peers, [`ErrorKind::PermissionDenied`].
pub(crate) fn open(
    map: &Arc<Map>,
    header: &Header,
    slot: u32,
    epoch: u64,
    address: &Address,
    access: impl FnOnce() -> Access,
    name: Option<Arc<dyn RingName>>,
) -> Result<(Primitives, Alarm), Error> {
    let attempt = Attempt {
        action: "attach to",
        address,
    };
    check(attempt, header.sync)?;
    let participants = header.geometry.participants();
    match header.sync {
        SyncKind::Futex => {
            let none = Primitives {
                lock: None,
                bell: None,
            };
            Ok((none, wake_sleepers(map)))
        }
        SyncKind::Pthread => {
            let primitives = Primitives {
                lock: Some(Box::new(pthread::Mutex::open(attempt, map, header, slot)?)),
                bell: None,
            };
            Ok((primitives, wake_sleepers(map)))
        }
        SyncKind::PosixSem => {
            let bell = Arc::new(posix_sem::Bells::new(map, participants, slot));
            let region = Memory::mapped(Arc::clone(map), &header.geometry, header.fence, None);
            let region = region.ok_or_else(|| attempt.os("it is too short", Errno::EFAULT))?;
            let tokens = posix_sem::InSegment(Arc::clone(map));
            let lock = posix_sem::Lock::new(region, tokens, participants, slot, epoch);
            let (own, tokens) = (Arc::clone(&bell), posix_sem::InSegment(Arc::clone(map)));
            let primitives = Primitives {
                lock: Some(Box::new(lock)),
                bell: Some(bell),
            };
            let alarm = Arc::new(move |deaths| {
                posix_sem::look_again(&tokens, deaths);
                own.ring(slot);
            });
            Ok((primitives, alarm))
        }
        SyncKind::SysvSem => {
            let set = Set::open(attempt, map, header)?;
            set.follow(access());
            let user = User::of(attempt, set)?;
            let bell = Arc::new(sysv_sem::Bells::new(set, slot, user));
            let own = Arc::clone(&bell);
            let primitives = Primitives {
                lock: Some(Box::new(sysv_sem::Lock::new(set, map, slot))),
                bell: Some(bell),
            };
            Ok((primitives, Arc::new(move |_| own.ring(slot))))
        }
        SyncKind::Mqueue => {
            let bell = mqueue::Queues::open(attempt, map, header, slot, access(), name)?;
            let bell = Arc::new(bell);
            let own = Arc::clone(&bell);
            let primitives = Primitives {
                lock: None,
                bell: Some(bell),
            };
            Ok((primitives, Arc::new(move |_| own.ring(slot))))
        }
    }
}

/// The alarm of those who sleep on the ring's events: wakes all of them.
fn wake_sleepers(map: &Arc<Map>) -> Alarm {
    wake_all(map, [DATA_EVENT, SPACE_EVENT])
}

/// The alarm of a side of a stream ring, which is the only one to sleep on `event`.
pub(crate) fn wake_side(map: &Arc<Map>, event: usize) -> Alarm {
    wake_all(map, [event])
}

fn wake_all<const N: usize>(map: &Arc<Map>, events: [usize; N]) -> Alarm {
    let map = Arc::clone(map);
    Arc::new(move |_| events.iter().for_each(|event| wake_at(&map, *event)))
}

/// Wakes all who sleep on the event that is there.
pub(crate) fn wake_at(map: &Map, event: usize) {
    if let Some(event) = map.word32(event) {
        // As `eventcount::wake` does, whether anybody sleeps or not: who is about to sleep is turned away.
        if !futex::change_and_wake(event, eventcount::AWAKE) {
            event.fetch_add(eventcount::COUNT, Ordering::AcqRel);
            futex::wake_all(event);
        }
    }
}

/// Removes what lies beside the segment of `header`: its semaphore set (`semaphores` is what the
/// segment has at [`SEMAPHORES_OFFSET`]), its queues. What is not this ring's is left alone, and what
/// cannot be removed stays.
pub(crate) fn remove(header: &Header, semaphores: u32) {
    match header.sync {
        SyncKind::Futex | SyncKind::Pthread | SyncKind::PosixSem => {}
        SyncKind::SysvSem => semaphore_set::remove(header, semaphores),
        SyncKind::Mqueue => mqueue::remove(header),
    }
}
