//! What is soaked, as the coordinator sees it.

use std::time::{Duration, Instant};

use super::workers::Stage;

/// What counts of the time between two looks, which are a millisecond apart or less.
const MOST_BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// The longest time between two deaths of a burst.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_micros(600);

/// A ring or a board and all who use it.
pub(super) trait Life {
    /// No more deaths: it is to be drained and audited.
    fn finish_soon(&mut self);
    fn pace(&mut self) -> &mut Pace;
    /// Does what is due. Whether it is done with, and nothing was wrong.
    fn go_on_at(&mut self, stage: &mut Stage, now: Instant) -> Result<bool, String>;
    fn describe(&self) -> String;
    /// All that is known of it, for whoever reads what went wrong.
    fn dump(&self, stage: &Stage) -> String;

    /// Does what is due, unless it hangs. Whether it is done with.
    fn go_on(&mut self, stage: &mut Stage) -> Result<bool, String> {
        let now = self.pace().look();
        let done = self.go_on_at(stage, now);
        if done.is_ok() && self.pace().is_over() {
            return Err(format!("hangs: {}\n{}", self.describe(), self.dump(stage)));
        }
        done.map_err(|problem| format!("{problem}\n{}", self.dump(stage)))
    }
}

/// How the phases of a life follow each other.
pub(super) struct Pace {
    /// How long the phase has lasted. What the coordinator itself was kept from running does not count:
    /// neither were the others, then.
    pub(super) lasted: Duration,
    /// When it was last seen to.
    seen: Instant,
    /// When there is something to do at the latest.
    pub(super) next: Instant,
    /// No phase lasts so long, but of what hangs.
    pub(super) hang: Duration,
}

impl Pace {
    pub(super) fn new(hang: Duration) -> Self {
        let now = Instant::now();
        Self {
            lasted: Duration::ZERO,
            seen: now,
            next: now,
            hang,
        }
    }

    /// Another phase begins.
    pub(super) fn begin(&mut self) {
        self.lasted = Duration::ZERO;
    }

    fn look(&mut self) -> Instant {
        let now = Instant::now();
        self.lasted += (now - self.seen).min(MOST_BETWEEN_LOOKS);
        self.seen = now;
        now
    }

    fn is_over(&self) -> bool {
        self.lasted > self.hang
    }
}
