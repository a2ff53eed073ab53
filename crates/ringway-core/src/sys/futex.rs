//! futex(2) and futex_waitv(2) on words that several processes share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

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
        i64::try_from(at.as_secs()).ok().map(|_| Self(at))
    }

    /// The time of an [`Instant`]; `None` when that is beyond what the clock can say.
    pub(crate) fn at(instant: Instant) -> Option<Self> {
        Self::after(instant.saturating_duration_since(Instant::now()))
    }

    /// What is left until then; `None` when it has passed.
    pub(crate) fn remaining(self) -> Option<Duration> {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).ok()?;
        let left = self.0.checked_sub(Duration::from(now))?;
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn timespec(self) -> libc::timespec {
        libc::timespec {
            tv_sec: self.0.as_secs() as i64,
            tv_nsec: self.0.subsec_nanos() as libc::c_long,
        }
    }
}

/// A time of CLOCK_MONOTONIC as CLOCK_REALTIME will show it, if nobody sets that.
#[cfg(target_env = "musl")]
pub(super) fn on_the_wall(monotonic: libc::timespec) -> libc::timespec {
    use nix::time::{ClockId, clock_gettime};
    let until = Duration::new(monotonic.tv_sec as u64, monotonic.tv_nsec as u32);
    let now = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    let left = until.saturating_sub(now(ClockId::CLOCK_MONOTONIC));
    let at = now(ClockId::CLOCK_REALTIME).saturating_add(left);
    libc::timespec {
        tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: at.subsec_nanos() as libc::c_long,
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

/// The most words that one call can wait on (FUTEX_WAITV_MAX).
pub(crate) const MOST_WORDS: usize = 128;

/// How often words are looked at where the kernel does not wait for several, or cannot be trusted to wake.
pub(crate) const TICK: Duration = Duration::from_millis(4);

/// Sleeps while every word holds the value beside it. Words beyond [`MOST_WORDS`] are not waited on.
///
/// Works across processes and mappings (the key is the memory object, not the address). Where futex_waitv(2) is denied
/// or unknown, now or later, this sleeps on the first word and looks at the others once each [`TICK`]: later, but as
/// surely, for who sleeps here compares values.
pub(crate) fn wait<'a>(
    words: impl Iterator<Item = (&'a AtomicU32, u32)>,
    deadline: Option<MonotonicTime>,
) -> Wake {
    // SAFETY: futex_waitv is plain integers, for which zero is a value; `__reserved` must be zero.
    let mut waiters: [libc::futex_waitv; MOST_WORDS] = unsafe { std::mem::zeroed() };
    let mut pairs = [None; MOST_WORDS];
    let mut count = 0;
    for ((waiter, pair), (word, value)) in waiters.iter_mut().zip(&mut pairs).zip(words) {
        waiter.val = u64::from(value);
        waiter.uaddr = word.as_ptr() as u64;
        waiter.flags = libc::FUTEX2_SIZE_U32 as u32;
        *pair = Some((word, value));
        count += 1;
    }
    let pairs = &pairs[..count];
    if let [Some((word, value))] = *pairs {
        return wait_on_one(word, value, deadline);
    }
    let timespec = deadline.map(MonotonicTime::timespec);
    let timeout: *const libc::timespec = timespec.as_ref().map_or(std::ptr::null(), |t| t);
    // SAFETY: the first `count` entries are initialised and name live, aligned 32-bit words (`pairs`
    // borrows them); the kernel reads them, the words and the timespec, and writes nothing.
    // The deadline is absolute.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            count as libc::c_uint,
            0 as libc::c_uint,
            timeout,
            libc::CLOCK_MONOTONIC,
        )
    };
    if result != -1 {
        return Wake::Check;
    }
    match Errno::last() {
        Errno::ETIMEDOUT => Wake::TimedOut,
        // A word had changed, or a signal came: reasons to look again, as a wake-up is.
        Errno::EAGAIN | Errno::EINTR => Wake::Check,
        // Not known here, or denied by a sandbox.
        _ => wait_by_ticks(pairs, deadline),
    }
}

fn wait_by_ticks(pairs: &[Option<(&AtomicU32, u32)>], deadline: Option<MonotonicTime>) -> Wake {
    loop {
        // Acquire: who sees a change sees what came before it.
        let changed = |pair: &(&AtomicU32, u32)| pair.0.load(Ordering::Acquire) != pair.1;
        if pairs.iter().flatten().any(changed) {
            return Wake::Check;
        }
        let tick = MonotonicTime::after(TICK);
        let until = [tick, deadline].into_iter().flatten().min();
        let Some(&(word, value)) = pairs.iter().flatten().next() else {
            return Wake::Check;
        };
        match wait_on_one(word, value, until) {
            Wake::TimedOut if deadline.is_some_and(|deadline| deadline.remaining().is_none()) => {
                return Wake::TimedOut;
            }
            Wake::TimedOut => {}
            Wake::Check => return Wake::Check,
        }
    }
}

fn wait_on_one(word: &AtomicU32, value: u32, deadline: Option<MonotonicTime>) -> Wake {
    let timespec = deadline.map(MonotonicTime::timespec);
    let timeout: *const libc::timespec = timespec.as_ref().map_or(std::ptr::null(), |t| t);
    // SAFETY: the word is a live, aligned 32-bit word; the kernel reads it and the timespec, and writes nothing. The
    // deadline is absolute, and the clock CLOCK_MONOTONIC.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            value,
            timeout,
            std::ptr::null::<u32>(),
            // Woken by whoever wakes.
            u32::MAX,
        )
    };
    if result != -1 {
        return Wake::Check;
    }
    match Errno::last() {
        Errno::ETIMEDOUT => Wake::TimedOut,
        Errno::EAGAIN | Errno::EINTR => Wake::Check,
        // Denied: not to be asked again and again at full speed.
        _ => {
            let left = deadline.map_or(TICK, |deadline| deadline.remaining().unwrap_or_default());
            std::thread::sleep(left.min(TICK));
            Wake::Check
        }
    }
}

/// Wakes all that sleep on `word`. If a sandbox denies that, by the other operations that wake as well: nobody who sleeps
/// can see that it was not woken. (A sandbox that denies them all denies the C library its locks, too.)
pub(crate) fn wake_all(word: &AtomicU32) {
    let wake = |operation: libc::c_int| {
        // SAFETY: the word is a live, aligned 32-bit word, of which these operations only use the address; the last
        // number is for FUTEX_WAKE_BITSET, whose sleepers have all bits.
        let woken = unsafe {
            let nothing = std::ptr::null::<u32>();
            let word = word.as_ptr();
            libc::syscall(
                libc::SYS_futex,
                word,
                operation,
                ALL,
                nothing,
                nothing,
                u32::MAX,
            )
        };
        woken != -1
    };
    let _ = wake(libc::FUTEX_WAKE)
        || wake(libc::FUTEX_WAKE_BITSET)
        || change_and_wake(word, Change::Clear(0));
}

/// How many sleepers to wake.
const ALL: libc::c_int = libc::c_int::MAX;

/// Stores 0 in `word` and wakes all that sleep on it, in one step ([`change_and_wake`]) where the kernel does that.
pub(crate) fn clear_and_wake_all(word: &AtomicU32) {
    if !change_and_wake(word, Change::Zero) {
        word.store(0, Ordering::SeqCst);
        wake_all(word);
    }
}

/// What becomes of a word while those who sleep on it are woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// These of its lowest eleven bits are cleared.
    Clear(u32),
    /// It becomes 0.
    Zero,
}

impl Change {
    /// As FUTEX_WAKE_OP has it, with a comparison that changes nothing: nobody sleeps on a second word.
    fn operation(self) -> u32 {
        let (operation, argument) = match self {
            Self::Clear(bits) => (libc::FUTEX_OP_ANDN, bits),
            Self::Zero => (libc::FUTEX_OP_SET, 0),
        };
        (operation as u32) << 28 | (argument & 0x7ff) << 12
    }
}

/// Changes `word` and wakes all that sleep on it, in one step of the kernel's: it holds the lock under which sleepers
/// look at the word, and whoever is stopped, frozen or killed has done both or neither. `false`: the kernel
/// does not do that here, and nothing was done.
#[must_use]
pub(crate) fn change_and_wake(word: &AtomicU32, change: Change) -> bool {
    // Miri knows no such operation.
    if cfg!(miri) {
        return false;
    }
    // SAFETY: the word is a live, aligned 32-bit word, given as both words of the operation; the kernel changes it
    // atomically, as everybody does.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE_OP,
            ALL,
            // Most to wake of the second word, in the place of the time-out.
            0 as libc::c_long,
            word.as_ptr(),
            change.operation(),
        )
    };
    result != -1
}

/// Whether this process can wait on two words at once: ENOSYS before Linux 5.16 or in a sandbox that hides the call,
/// EPERM and the like in one that denies it.
pub(crate) fn can_wait_on_two() -> Result<(), Errno> {
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
    match Errno::result(result) {
        Ok(_) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}
