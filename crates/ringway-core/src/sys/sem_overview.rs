//! sem_overview(7): unnamed POSIX semaphores that several processes share.

use std::marker::PhantomData;
use std::ptr::NonNull;

use nix::errno::Errno;

use super::futex::MonotonicTime;

#[cfg(not(target_env = "musl"))]
unsafe extern "C" {
    // glibc 2.30 and later; not in the libc crate.
    fn sem_clockwait(
        semaphore: *mut libc::sem_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> libc::c_int;
}

/// musl knows the clock of the wall only: whoever sets that moves the deadline.
///
/// # Safety
/// As for `sem_timedwait`.
#[cfg(target_env = "musl")]
unsafe fn sem_clockwait(
    semaphore: *mut libc::sem_t,
    _: libc::clockid_t,
    until: *const libc::timespec,
) -> libc::c_int {
    // SAFETY: the caller's timespec.
    let until = super::futex::on_the_wall(unsafe { *until });
    // SAFETY: the caller vouches for the semaphore.
    unsafe { libc::sem_timedwait(semaphore, &until) }
}

/// A semaphore that lives at least for `'a`.
///
/// In glibc it is two counts, of tokens and of sleepers, and a word that says whether processes share it, which
/// becomes a part of the system call's operation. Nothing in it is followed as a pointer. But a call that the kernel
/// refuses ends the process ("The futex facility returned an unexpected error code"). So whoever can write there can
/// end every process that uses it, at any time: only for peers that trust each other.
pub(crate) struct Semaphore<'a> {
    at: NonNull<libc::sem_t>,
    lives: PhantomData<&'a ()>,
}

impl Semaphore<'_> {
    /// # Safety
    /// A `sem_t` must be mapped for writing at `at` for `'a`, and be used for nothing else.
    pub(crate) unsafe fn new(at: NonNull<libc::sem_t>) -> Self {
        let lives = PhantomData;
        Self { at, lives }
    }

    /// Makes it a semaphore without tokens, whatever it was. Nobody may be using it.
    pub(crate) fn initialise(&self) -> Result<(), Errno> {
        // SAFETY: mapped by the contract of `new`.
        Errno::result(unsafe { libc::sem_init(self.at.as_ptr(), 1, 0) }).map(drop)
    }

    /// Takes a token, waiting for one. EINTR by a signal, ETIMEDOUT at the deadline.
    pub(crate) fn wait(&self, deadline: Option<MonotonicTime>) -> Result<(), Errno> {
        // SAFETY: mapped by the contract of `new`; the timespec outlives the call.
        Errno::result(unsafe {
            match deadline.map(MonotonicTime::timespec) {
                None => libc::sem_wait(self.at.as_ptr()),
                Some(until) => sem_clockwait(self.at.as_ptr(), libc::CLOCK_MONOTONIC, &until),
            }
        })
        .map(drop)
    }

    /// Takes a token if there is one.
    pub(crate) fn try_wait(&self) -> bool {
        // SAFETY: mapped by the contract of `new`.
        unsafe { libc::sem_trywait(self.at.as_ptr()) == 0 }
    }

    /// Adds a token. If there are as many as it can count, one more would change nothing.
    pub(crate) fn post(&self) {
        // SAFETY: mapped by the contract of `new`.
        unsafe { libc::sem_post(self.at.as_ptr()) };
    }
}
