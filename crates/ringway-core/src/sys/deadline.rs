//! How long to wait.

use std::time::{Duration, Instant};

use crate::sys::futex::MonotonicTime;

/// A point in time, or never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// Never, when the clock cannot say it.
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    /// This one, or so long from now, whichever comes first.
    pub(crate) fn or_after(self, time: Duration) -> Self {
        let (Self(this), Self(other)) = (self, Self::after(time));
        Self(match (this, other) {
            (Some(this), Some(other)) => Some(this.min(other)),
            (this, other) => this.or(other),
        })
    }

    /// What is left; `None` when it has passed.
    pub(crate) fn remaining(self) -> Option<Duration> {
        match self.0 {
            None => Some(Duration::MAX),
            Some(at) => at
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero()),
        }
    }

    /// For futex(2), which takes no deadline for never.
    pub(crate) fn monotonic(self) -> Option<MonotonicTime> {
        MonotonicTime::after(match self.0 {
            None => return None,
            Some(at) => at.saturating_duration_since(Instant::now()),
        })
    }
}
