//! pthread: a robust, process-shared mutex in the segment.
//!
//! Sleeping is the eventcount's. A `pthread_cond_t` cannot be made safe: glibc before 2.41 can lose a
//! wake-up in it (bug 25847), and no version survives the death of a process inside of it. Who is
//! killed in `pthread_cond_signal` may hold its inner lock, and then the next one hangs.
//!
//! | a process dies | it leaves | who repairs |
//! |---|---|---|
//! | before it has the mutex, waiting too | nothing; a wake-up that it had got is passed on by the kernel | |
//! | holding the mutex | FUTEX_OWNER_DIED, by the kernel, from the C library's robust list | the next holder, [`Acquired::AfterDeath`] |
//! | after that, before it marked the mutex consistent | the same | the one after it |
//! | in unlock | the mutex, free or marked as above; the kernel wakes a waiter | nobody, or the next holder |
//!
//! The holder's thread keeps the mutex in a list of the C library's, by pointers in the mutex. A peer
//! that writes to them can make this process write where it likes, so this kind is for peers that trust
//! each other ([`SyncKind::needs_trust`](crate::SyncKind::needs_trust)). Bug 14485 (a mutex that is unmapped right after it was unlocked) does not arise: the
//! mapping outlives the call, and no code of the user runs under the lock.
//!
//! The mutex says who holds it by a thread id, and ids of two pid namespaces may be equal. The kernel
//! could then take the death of one that only waits for the death of the holder. So all participants must
//! be in one pid namespace; [`Mutex::open`] sees to that.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use nix::errno::Errno;

use super::parts::{Acquired, Broken, Lock};
use crate::error::Attempt;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::control::{LOCK, LOCK_LEN};
use crate::memory::layout::header::Header;
use crate::memory::layout::participant::{FILLED_FOR, LIVENESS, PID, PID_NAMESPACE, slot_offset};
use crate::memory::map::Map;
use crate::presence::Liveness;
use crate::sys::futex::MonotonicTime;
use crate::sys::pthread_mutex;

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= LOCK_LEN);

pub(super) fn initialise(map: &Map) -> Result<(), Errno> {
    mutex(map).ok_or(Errno::EFAULT)?.initialise()
}

fn mutex(map: &Map) -> Option<pthread_mutex::Mutex<'_>> {
    // SAFETY: these bytes are the mutex's alone, which the ring's creator initialised before it published
    // the ring; they are mapped as long as `map` is borrowed. Peers that write there by other means are
    // excluded by the contract of `SyncKind::Pthread`.
    map.place(LOCK)
        .map(|at| unsafe { pthread_mutex::Mutex::new(at) })
}

/// The mutex of a ring.
#[derive(Debug)]
pub(super) struct Mutex {
    map: Arc<Map>,
}

impl Mutex {
    pub(super) fn open(
        attempt: Attempt<'_>,
        map: &Arc<Map>,
        header: &Header,
        slot: u32,
    ) -> Result<Self, Error> {
        match stranger(map, header.geometry.participants(), slot) {
            Some(pid) => Err(attempt
                .error(
                    ErrorKind::Unsupported,
                    format!(
                        "process {pid} of another pid namespace is attached, and the C library's robust \
                         mutex works within one only"
                    ),
                )
                .remedy("let the processes share a pid namespace, or choose another kind of sync")),
            None => Ok(Self {
                map: Arc::clone(map),
            }),
        }
    }
}

/// A live participant of another pid namespace than the one in `slot`, by its process id there.
fn stranger(map: &Map, participants: u32, slot: u32) -> Option<u32> {
    let namespace = |slot| {
        let word = map.word64(slot_offset(slot) + PID_NAMESPACE)?;
        Some(word.load(Ordering::Relaxed)).filter(|&inode| inode != 0)
    };
    let own = namespace(slot)?;
    // Everybody writes down its namespace, passes this fence, and then looks at the others. Of two that
    // come at once, at least one sees the other.
    fence(Ordering::SeqCst);
    (0..participants)
        .filter(|&other| {
            let at = slot_offset(other);
            let load = |offset| {
                map.word32(at + offset)
                    .map_or(0, |word| word.load(Ordering::Acquire))
            };
            let word = load(LIVENESS);
            // What is not filled in yet will look at this slot later.
            Liveness::of(word) == Liveness::Alive && load(FILLED_FOR) == word
        })
        .find(|&other| namespace(other).is_some_and(|theirs| theirs != own))
        .and_then(|other| map.word32(slot_offset(other) + PID))
        .map(|pid| pid.load(Ordering::Relaxed))
}

impl Lock for Mutex {
    fn acquire(&self, deadline: Option<MonotonicTime>) -> Result<Acquired, Broken> {
        match mutex(&self.map).ok_or(Broken::Written)?.lock(deadline) {
            Ok(()) => Ok(Acquired::Clean),
            Err(Errno::EOWNERDEAD) => Ok(Acquired::AfterDeath),
            Err(Errno::ETIMEDOUT) => Ok(Acquired::TimedOut),
            // ENOTRECOVERABLE: somebody could not repair what it guards.
            Err(_) => Err(Broken::Written),
        }
    }

    fn mark_consistent(&self) {
        if let Some(mutex) = mutex(&self.map) {
            mutex.mark_consistent();
        }
    }

    fn release(&self) {
        if let Some(mutex) = mutex(&self.map) {
            mutex.unlock();
        }
    }
}
