//! pthread_mutex_lock(3) and its kin: a robust mutex that several processes share.

use std::marker::PhantomData;
use std::ptr::NonNull;

use nix::errno::Errno;

use super::futex::MonotonicTime;

#[cfg(not(target_env = "musl"))]
unsafe extern "C" {
    // glibc 2.30 and later; not in the libc crate.
    fn pthread_mutex_clocklock(
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> libc::c_int;
}

/// musl knows the clock of the wall only: whoever sets that moves the deadline.
///
/// # Safety
/// As for `pthread_mutex_timedlock`.
#[cfg(target_env = "musl")]
unsafe fn pthread_mutex_clocklock(
    mutex: *mut libc::pthread_mutex_t,
    _: libc::clockid_t,
    until: *const libc::timespec,
) -> libc::c_int {
    // SAFETY: the caller's timespec.
    let until = super::futex::on_the_wall(unsafe { *until });
    // SAFETY: the caller vouches for the mutex.
    unsafe { libc::pthread_mutex_timedlock(mutex, &until) }
}

/// A robust, process-shared mutex that lives at least for `'a`.
pub(crate) struct Mutex<'a> {
    at: NonNull<libc::pthread_mutex_t>,
    lives: PhantomData<&'a ()>,
}

impl Mutex<'_> {
    /// # Safety
    /// A `pthread_mutex_t` must be mapped at `at` for `'a`, and be [initialised](Self::initialise)
    /// before any other use. The C library follows pointers in it: nobody may write there but by the
    /// functions of the C library.
    pub(crate) unsafe fn new(at: NonNull<libc::pthread_mutex_t>) -> Self {
        let lives = PhantomData;
        Self { at, lives }
    }

    /// Makes it a free mutex, whatever it was. Nobody may be using it.
    ///
    /// Of the normal kind, not one that checks for errors: that would compare thread ids, and those of
    /// two pid namespaces may be equal.
    pub(crate) fn initialise(&self) -> Result<(), Errno> {
        // SAFETY: the attributes are initialised by the first call, used by the others, and destroyed;
        // the mutex is mapped for writing by the contract of `new`.
        unsafe {
            let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
            check(libc::pthread_mutexattr_init(&mut attributes))?;
            let done = check(libc::pthread_mutexattr_setpshared(
                &mut attributes,
                libc::PTHREAD_PROCESS_SHARED,
            ))
            .and_then(|()| {
                check(libc::pthread_mutexattr_setrobust(
                    &mut attributes,
                    libc::PTHREAD_MUTEX_ROBUST,
                ))
            })
            .and_then(|()| check(libc::pthread_mutex_init(self.at.as_ptr(), &attributes)));
            libc::pthread_mutexattr_destroy(&mut attributes);
            done
        }
    }

    /// EOWNERDEAD: locked, and its last holder died. ETIMEDOUT: not before the deadline.
    pub(crate) fn lock(&self, deadline: Option<MonotonicTime>) -> Result<(), Errno> {
        // SAFETY: an initialised mutex by the contract of `new`; the timespec outlives the call.
        check(unsafe {
            match deadline.map(MonotonicTime::timespec) {
                None => libc::pthread_mutex_lock(self.at.as_ptr()),
                Some(until) => {
                    pthread_mutex_clocklock(self.at.as_ptr(), libc::CLOCK_MONOTONIC, &until)
                }
            }
        })
    }

    /// Only after EOWNERDEAD, by the holder.
    pub(crate) fn mark_consistent(&self) {
        // SAFETY: an initialised mutex by the contract of `new`. Refused if it is not ours.
        unsafe { libc::pthread_mutex_consistent(self.at.as_ptr()) };
    }

    /// By the thread that locked it. If that did not mark it consistent after EOWNERDEAD, nobody can
    /// ever lock it again (ENOTRECOVERABLE).
    pub(crate) fn unlock(&self) {
        // SAFETY: an initialised mutex by the contract of `new`. Refused if it is not ours.
        unsafe { libc::pthread_mutex_unlock(self.at.as_ptr()) };
    }
}

/// These functions return their error.
fn check(result: libc::c_int) -> Result<(), Errno> {
    match result {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    }
}
