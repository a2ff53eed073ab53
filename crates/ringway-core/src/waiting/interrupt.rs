//! Ending the calls of a handle that wait, from outside.
//!
//! | who interrupts | who waits |
//! |---|---|
//! | set the flag | say that it sleeps |
//! | change the event, or ring the bell, as the [watcher](crate::presence::watcher) of this handle does | *sleep fence*; look for what it waits for, then at the flag |
//! | | sleep while the event is as it was when it said so, or until the bell is rung |
//!
//! The change comes before or after the sleeper's saying. If before, the sleeper's acquire of the event sees the flag. If after, the event
//! is another one than the sleeper expects: it is turned away or woken. A bell remembers. So no interruption is lost between
//! a last look and the sleep. (Others that sleep on the same event look for nothing, and sleep again.)
//!
//! The flag is one-shot. The wait that finds it set clears it, and ends; if none is waiting, the next one that would. A call that
//! need not wait leaves it as it is. Several interruptions before that are one.
//!
//! # In signal handlers
//! To interrupt is a store, and system calls that may be made anywhere; no lock is taken, and no memory is allocated or freed: an
//! [`Interrupter`] that outlives its handle does not hold what it would wake, for then the last interrupter would free it. The handle
//! takes that away when it is dropped, and waits until nobody is using it: not for long, as it is used for two system calls, and
//! not for itself, as a handler that has interrupted it has ended by then.
//!
//! | somebody dies or is stopped | the others |
//! |---|---|
//! | the process, anywhere in here | nobody else knows of its flags |
//! | the process is stopped between flag and wake-up | so is the handle; when both go on, the wake-up comes |
//! | `fork` | the child's interrupters do nothing: their handle is its parent's |

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::presence::watcher::Alarm;
use crate::sys::errno;
use crate::sys::fork::Origin;

/// Whether the flag was set; it is not any more.
pub(super) fn take(flag: &AtomicBool) -> bool {
    // Acquire pairs with the release in `interrupt`: who is interrupted sees what was done before.
    is_pending(flag) && flag.swap(false, Ordering::Acquire)
}

/// Whether the flag is set.
pub(crate) fn is_pending(flag: &AtomicBool) -> bool {
    // Relaxed: who acts on it takes it.
    flag.load(Ordering::Relaxed)
}

/// Ends a call of its handle that waits, with `Interrupted`; if none waits, the next one that would. A call that need not wait is not
/// affected. Interrupting several times before that is the same as once.
///
/// It can be cloned, sent to and shared with other threads, and outlives its handle; then it does nothing.
///
/// # In signal handlers
/// [`interrupt`](Self::interrupt) is async-signal-safe, for rings of every kind. (To clone or drop an interrupter is not.)
///
/// # After `fork`
/// A child's copy does nothing.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::RecvError;
///
/// let ring = ringway::Builder::new("memfd:")?.create()?;
/// let mut receiver = ring.receiver()?;
/// let interrupter = receiver.interrupter();
/// let other = std::thread::spawn(move || interrupter.interrupt());
/// assert_eq!(receiver.recv(), Err(RecvError::Interrupted));
/// # other.join().unwrap();
/// # Ok::<(), ringway::Error>(())
/// ```
#[derive(Clone)]
pub struct Interrupter {
    shared: Arc<Shared>,
}

/// What an interrupter and its handle share.
struct Shared {
    flag: Arc<AtomicBool>,
    /// [`USER`] for each that is using `wake` now, and [`GONE`] when nobody may begin to.
    users: AtomicU32,
    wake: UnsafeCell<Option<Alarm>>,
    /// `None`: the kernel had no memory to tell.
    origin: Option<Origin>,
}

impl Shared {
    fn is_forked(&self) -> bool {
        self.origin.is_some_and(|origin| origin.is_forked())
    }
}

const GONE: u32 = 1;
const USER: u32 = 2;

// SAFETY: `wake` is written by `Interruptible::drop` alone, when GONE is set and there is no user; all others only look at it, and are
// users meanwhile. What it holds is Send and Sync.
unsafe impl Sync for Shared {}

impl Interrupter {
    /// Ends the call that waits, or the next one that would.
    pub fn interrupt(&self) {
        let shared = &*self.shared;
        if shared.is_forked() {
            return;
        }
        // Release pairs with the acquire in `take`.
        shared.flag.store(true, Ordering::Release);
        // Acquire pairs with the release of GONE; release below with the acquire of who waits for the last user.
        if shared.users.fetch_add(USER, Ordering::Acquire) & GONE == 0 {
            // SAFETY: a user, and not gone: nobody writes it until this one is no user any more.
            let wake = unsafe { &*shared.wake.get() };
            if let Some(wake) = wake {
                errno::kept(|| wake(0));
            }
        }
        shared.users.fetch_sub(USER, Ordering::Release);
    }
}

impl fmt::Debug for Interrupter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupter")
            .field("is_pending", &is_pending(&self.shared.flag))
            .finish_non_exhaustive()
    }
}

/// The handle's end: dropped with the handle, before that leaves its slot.
pub(crate) struct Interruptible {
    shared: Arc<Shared>,
}

impl Interruptible {
    /// One that is woken by `wake` in the process `origin`.
    pub(crate) fn new(wake: Alarm, origin: Option<Origin>) -> Self {
        let shared = Shared {
            flag: Arc::default(),
            users: AtomicU32::new(0),
            wake: UnsafeCell::new(Some(wake)),
            origin,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What is set to end a call.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.flag)
    }

    /// Who can end its calls.
    pub(crate) fn interrupter(&self) -> Interrupter {
        Interrupter {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl fmt::Debug for Interruptible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.interrupter().fmt(f)
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        let shared = &*self.shared;
        // In a child of `fork` a user may be one of the parent's threads, which never ends here.
        if shared.is_forked() {
            return;
        }
        // Acquire in both, with the release of who was a user: it is done. Release, for who sees GONE.
        let mut users = shared.users.fetch_or(GONE, Ordering::AcqRel);
        while users / USER != 0 {
            std::thread::yield_now();
            users = shared.users.load(Ordering::Acquire);
        }
        // SAFETY: GONE is set, so nobody becomes a user any more, and nobody is one.
        unsafe { *shared.wake.get() = None };
    }
}
