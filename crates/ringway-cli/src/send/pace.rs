//! So many messages a second.

use std::thread;
use std::time::{Duration, Instant};

/// How far behind its times a sender may be and catch up. What it missed beyond that is not made up for, so that one
/// that had to wait for room does not flood the receiver afterwards.
const SLACK: Duration = Duration::from_millis(50);

/// Says when the next message is due.
pub(super) struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            due: Instant::now(),
        }
    }

    /// Waits until a message is due.
    pub(super) fn wait(&mut self) {
        let now = Instant::now();
        let left = self.due.saturating_duration_since(now);
        if !left.is_zero() {
            thread::sleep(left);
        }
        self.due = self.next(now);
    }

    fn next(&self, now: Instant) -> Instant {
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let from = self.due.max(earliest);
        // A time beyond the clock's range never comes.
        from.checked_add(self.interval)
            .unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_delay_is_made_up_for_and_a_long_one_is_not() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let pace = Pace {
            interval: Duration::from_millis(10),
            due: at(1000),
        };
        assert_eq!(pace.next(at(990)), at(1010));
        assert_eq!(pace.next(at(1040)), at(1010));
        assert_eq!(pace.next(at(2000)), at(1960));
    }
}
