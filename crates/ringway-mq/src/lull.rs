//! The time before a sleep, in which a queue is tried again.
//!
//! Whoever is at work on the other side makes room, or sends, within a microsecond or two, and to wake a sleeper would
//! cost it more than that. Between two tries one keeps off the queue, whose lock the other side needs as well. (Measured
//! flat out, beside calls that block at once: POSIX 1.0 to 1.2 with pauses, 0.8 to 1.0 with `sched_yield` instead.)

/// Before a sleep; some ten microseconds with their pauses.
const TRIES: u32 = 8;

/// A microsecond where a pause is long (140 cycles on Skylake and its successors), a tenth of one where it is short.
const PAUSES: u32 = 20;

/// How often to try before a sleep: never where the other side needs this very processor.
pub(crate) fn tries() -> u32 {
    match std::thread::available_parallelism() {
        Ok(processors) if processors.get() > 1 => TRIES,
        _ => 0,
    }
}

/// Lets the other side work.
pub(crate) fn pause() {
    for _ in 0..PAUSES {
        std::hint::spin_loop();
    }
}
