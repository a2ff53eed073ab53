//! futex(2) and futex_waitv(2) on words that several processes share.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use nix::errno::Errno;

/// The bits of a robust futex word that hold the owner's thread id.
pub(crate) const TID_MASK: u32 = libc::FUTEX_TID_MASK;
/// Set by the kernel when the owner died.
pub(crate) const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;
/// Asks the kernel to wake a waiter when the owner dies.
pub(crate) const WAITERS: u32 = libc::FUTEX_WAITERS;

/// A point on CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MonotonicTime(Duration);

impl MonotonicTime {
    /// Now, plus `after`; `None` when that is beyond what the clock can say.
    pub(crate) fn after(after: Duration) -> Option<Self> {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).ok()?;
        let at = Duration::from(now).checked_add(after)?;
        libc::time_t::try_from(at.as_secs()).ok().map(|_| Self(at))
    }

    /// What is left until then; `None` when it has passed.
    pub(crate) fn remaining(self) -> Option<Duration> {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).ok()?;
        let left = self.0.checked_sub(Duration::from(now))?;
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn timespec(self) -> libc::timespec {
        libc::timespec {
            tv_sec: self.0.as_secs() as libc::time_t,
            tv_nsec: self.0.subsec_nanos() as libc::c_long,
        }
    }
}

/// Why a wait ended. Callers check their condition again in every case but the time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Woken, interrupted by a signal, or a word had changed already.
    Check,
    /// The deadline passed.
    TimedOut,
}

/// The most words that can be waited for at once.
pub(crate) const MAX_WORDS: usize = 128;

/// Sleeps while every word holds the value beside it; at most [`MAX_WORDS`].
///
/// Works across processes and mappings (the key is the memory object, not the address).
pub(crate) fn wait(words: &[(&AtomicU32, u32)], deadline: Option<MonotonicTime>) -> Wake {
    let timespec = deadline.map(MonotonicTime::timespec);
    let timeout: *const libc::timespec = timespec.as_ref().map_or(std::ptr::null(), |t| t);
    let result = match words {
        // SAFETY: the word is a live, aligned 32-bit word and `timeout` is null or points to a
        // timespec; FUTEX_WAIT_BITSET reads both and writes neither. Its deadline is absolute, on
        // CLOCK_MONOTONIC.
        [(word, value)] => unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT_BITSET,
                *value,
                timeout,
                std::ptr::null::<u32>(),
                libc::FUTEX_BITSET_MATCH_ANY,
            )
        },
        [first, second] => wait_for_all(&[waiter(first), waiter(second)], timeout),
        words if words.len() <= MAX_WORDS => {
            let mut waiters = [NO_WAITER; MAX_WORDS];
            for (waiter_of, word) in waiters.iter_mut().zip(words) {
                *waiter_of = waiter(word);
            }
            wait_for_all(&waiters[..words.len()], timeout)
        }
        _ => return Wake::Check,
    };
    match result {
        -1 if Errno::last() == Errno::ETIMEDOUT => Wake::TimedOut,
        // EAGAIN (a word had changed) and EINTR are reasons to look again, as a wake-up is.
        _ => Wake::Check,
    }
}

/// Its words must be live; `timeout` null or a deadline on CLOCK_MONOTONIC.
fn wait_for_all(waiters: &[libc::futex_waitv], timeout: *const libc::timespec) -> libc::c_long {
    // SAFETY: initialised entries that name live, aligned 32-bit words; the kernel reads them, the
    // words and the timespec, and writes nothing.
    unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len() as libc::c_uint,
            0 as libc::c_uint,
            timeout,
            libc::CLOCK_MONOTONIC,
        )
    }
}

/// Zero but for what [`waiter`] fills in.
const NO_WAITER: libc::futex_waitv = {
    // SAFETY: futex_waitv is plain integers, for which zero is a value; `__reserved` must be zero.
    unsafe { std::mem::zeroed() }
};

fn waiter((word, value): &(&AtomicU32, u32)) -> libc::futex_waitv {
    let mut waiter = NO_WAITER;
    waiter.val = u64::from(*value);
    waiter.uaddr = word.as_ptr() as u64;
    waiter.flags = libc::FUTEX2_SIZE_U32 as u32;
    waiter
}

/// Wakes all that sleep on `word`.
pub(crate) fn wake_all(word: &AtomicU32) {
    // SAFETY: the word is a live, aligned 32-bit word; FUTEX_WAKE only uses its address.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            libc::c_int::MAX,
        )
    };
}

/// Whether this kernel can wait on two words at once (Linux 5.16 and later).
pub(crate) fn can_wait_on_two() -> bool {
    // SAFETY: without entries the kernel reads no memory; it answers EINVAL, or ENOSYS where it
    // does not know the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            std::ptr::null::<libc::futex_waitv>(),
            0 as libc::c_uint,
            0 as libc::c_uint,
            std::ptr::null::<libc::timespec>(),
            libc::CLOCK_MONOTONIC,
        )
    };
    result != -1 || Errno::last() == Errno::EINVAL
}
