//! Two clocks: one that both processes agree on, and one that is cheap enough for every message.

use std::time::Duration;

/// Nanoseconds of CLOCK_MONOTONIC, the same in both processes.
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a timespec to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The time-stamp counter, not serialised: a lap begins where the one before ends, so what is cut off
/// one is added to the other.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 has it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn ticks() -> u64 {
    now()
}

/// Nanoseconds in a tick.
pub fn nanoseconds_per_tick() -> f64 {
    let (time, tick) = (now(), ticks());
    std::thread::sleep(Duration::from_millis(50));
    (now() - time) as f64 / (ticks() - tick) as f64
}
