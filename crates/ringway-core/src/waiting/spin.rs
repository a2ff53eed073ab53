//! Spinning, for whoever waits, be it for one ring or for several.

use std::time::{Duration, Instant};

use super::options::{INTERVAL, PATIENCE, WaitOptions, WaitStrategy, processors};

/// Polls between two looks at the clock and at the peers.
const POLLS_PER_CHECK: u32 = 64;

/// What is polled.
pub(super) trait Polled {
    /// How a wait for it ends.
    type End;
    /// One of many polls, as cheap as can be: the end, if it has come.
    fn glance(&mut self) -> Option<Self::End>;
    /// Looks for an end that no poll shows, such as a death.
    fn look(&mut self) -> Option<Self::End>;
    /// Looks whether anybody can still come. That may take a system call, and is done once in an [`INTERVAL`].
    fn look_whether_forsaken(&mut self) -> Option<Self::End>;
}

/// How spinning ended.
#[derive(Debug)]
pub(super) enum Spun<E> {
    /// What is polled has ended it.
    Ended(E),
    /// The deadline passed.
    TimedOut,
    /// The time for spinning is over, or there is none: now sleep.
    Spent,
}

/// Polls for as long as `wait` says. After [`PATIENCE`] it offers its processor with each look.
pub(super) fn spin<P: Polled>(polled: &mut P, wait: &WaitOptions) -> Spun<P::End> {
    let alone = processors() == 1;
    let budget: Option<Duration> = match wait.how {
        WaitStrategy::Park => return Spun::Spent,
        WaitStrategy::Adaptive(_) if alone => return Spun::Spent,
        WaitStrategy::Adaptive(budget) => Some(budget),
        WaitStrategy::Spin => None,
    };
    let started = Instant::now();
    let patience = if alone { Duration::ZERO } else { PATIENCE };
    let mut looked = started;
    loop {
        if let Some(end) = polled.look() {
            return Spun::Ended(end);
        }
        let now = Instant::now();
        if now - looked >= INTERVAL {
            looked = now;
            if let Some(end) = polled.look_whether_forsaken() {
                return Spun::Ended(end);
            }
        }
        if wait.deadline.is_some_and(|deadline| now >= deadline) {
            return Spun::TimedOut;
        }
        if budget.is_some_and(|budget| now - started >= budget) {
            return Spun::Spent;
        }
        for _ in 0..POLLS_PER_CHECK {
            if let Some(end) = polled.glance() {
                return Spun::Ended(end);
            }
            std::hint::spin_loop();
        }
        if now - started >= patience {
            std::thread::yield_now();
        }
    }
}
