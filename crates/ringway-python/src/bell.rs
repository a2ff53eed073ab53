//! What wakes a thread of Python that waits by polling, and a sleep that a signal ends.
//!
//! A signal has Python's own handler set a mark, and nothing more; the thread that waits has to come back for what that means. If it looked for the
//! mark and then slept, a signal between the two would be slept over. So the signals are held back while it looks, and let in by the very call that
//! sleeps: `ppoll` on a descriptor, which the process's waiter writes when the handle may be looked at again.
//!
//! | a signal comes | then |
//! |---|---|
//! | before it is held back | SIGINT is found, and told again when nothing is held back; of others the mark is seen at [`BACKSTOP`] at the latest |
//! | while it is held back | `ppoll` returns at once |
//! | during the sleep | `ppoll` returns |
//! | to another thread of the process, as this one holds it back | as in the first line. (Elsewhere the kernel prefers the main thread.) |

use std::cell::RefCell;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use pyo3::ffi;
use pyo3::prelude::*;
use ringway::os::fork::Origin;

/// How long one sleep lasts at most, if it has to look for signals.
const BACKSTOP: Duration = Duration::from_secs(1);

/// An eventfd: written by who wakes, drained by who is woken.
struct Eventfd(OwnedFd);

impl Eventfd {
    fn new() -> Option<Self> {
        // SAFETY: plain integers.
        let made = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        // SAFETY: it is a new descriptor, and nobody else's.
        (made >= 0).then(|| Self(unsafe { OwnedFd::from_raw_fd(made) }))
    }
}

impl Wake for Eventfd {
    fn wake(self: Arc<Self>) {
        let one = 1_u64;
        // It cannot fail: nothing near the most that it counts to is ever in it.
        // SAFETY: the kernel reads eight bytes, which are there.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }
}

/// A thread's own: what is waited on while a handle is polled.
#[derive(Clone)]
pub(crate) struct Bell {
    eventfd: Arc<Eventfd>,
    waker: Waker,
    origin: Origin,
}

thread_local! {
    static BELL: RefCell<Option<Bell>> = const { RefCell::new(None) };
}

impl Bell {
    /// This thread's; `None` if there can be no more descriptors.
    pub(crate) fn here() -> Option<Self> {
        let kept = BELL.with_borrow(Option::clone);
        // The eventfd of a parent must not be drained by its child.
        if let Some(kept) = kept.filter(|kept| !kept.origin.is_forked()) {
            return Some(kept);
        }
        let eventfd = Arc::new(Eventfd::new()?);
        let made = Self {
            waker: Waker::from(Arc::clone(&eventfd)),
            eventfd,
            origin: Origin::here().ok()?,
        };
        BELL.set(Some(made.clone()));
        Some(made)
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Forgets that it was rung. Before the handle is polled.
    pub(crate) fn calm(&self) {
        let mut count = 0_u64;
        // SAFETY: the kernel writes eight bytes, which are there. (EAGAIN: it was not rung.)
        unsafe { libc::read(self.eventfd.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// Sleeps until it is rung, or until `deadline`; in the `main` thread also until there is a signal, whose handler then is run.
    pub(crate) fn sleep(
        &self,
        py: Python<'_>,
        deadline: Option<Instant>,
        main: bool,
    ) -> PyResult<()> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if !main {
            py.detach(|| self.poll(left, None));
            return Ok(());
        }
        let left = left.map_or(BACKSTOP, |left| left.min(BACKSTOP));
        let held = HeldBack::new();
        // SAFETY: this thread is attached.
        if unsafe { ffi::PyOS_InterruptOccurred() } != 0 {
            drop(held);
            // That has taken the mark away; this sets it again.
            // SAFETY: it may be called anywhere.
            unsafe { ffi::PyErr_SetInterrupt() };
        } else {
            py.detach(|| self.poll(Some(left), Some(&held.before)));
            drop(held);
        }
        py.check_signals()
    }

    fn poll(&self, left: Option<Duration>, signals: Option<&libc::sigset_t>) {
        let mut watched = libc::pollfd {
            fd: self.eventfd.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let left = left.map(|left| libc::timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let signals = signals.map_or(std::ptr::null(), std::ptr::from_ref);
        // Whatever it says, the caller looks.
        // SAFETY: one entry, a time and a set of signals, or null for those; the kernel writes the entry alone.
        unsafe { libc::ppoll(&raw mut watched, 1, left, signals) };
    }
}

/// As long as this lives, this thread takes no signal but by `ppoll`.
struct HeldBack {
    /// What it took before.
    before: libc::sigset_t,
}

impl HeldBack {
    fn new() -> Self {
        // SAFETY: sets of signals are plain integers, for which zero is a value; both calls write what they are given.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self { before }
        }
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        // SAFETY: the set is what this thread had.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            )
        };
    }
}
