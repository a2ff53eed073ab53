//! The time before a sender sleeps, in which it tries a full queue again.
//!
//! A receiver that is at work makes room within a microsecond or two, and to wake a sleeper would cost it more than
//! that. Between two tries the sender keeps off the queue, whose lock the receiver needs as well. (Measured between two
//! processors that are far from each other, flat out, beside calls that block at once: POSIX 1.0 to 1.1 with pauses, 0.8
//! to 1.0 with `sched_yield` instead. For receivers of an empty queue the same made no difference.)

use nix::unistd::{SysconfVar, sysconf};

/// Before a sleep; some twenty microseconds with their pauses.
const TRIES: u32 = 16;

/// A microsecond where a pause is long (140 cycles on Skylake and its successors), a tenth of one where it is short.
const PAUSES: u32 = 20;

/// How often to try before a sleep: never where the receiver needs this very processor. It is the machine's processors that
/// count, and not those that this thread may run on: who is pinned to one has its peer on another, most often.
pub(crate) fn tries() -> u32 {
    match sysconf(SysconfVar::_NPROCESSORS_ONLN) {
        Ok(Some(2..)) => TRIES,
        _ => 0,
    }
}

/// Lets the receiver work.
pub(crate) fn pause() {
    for _ in 0..PAUSES {
        std::hint::spin_loop();
    }
}
