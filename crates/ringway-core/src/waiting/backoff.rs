//! Keeping a distance from a peer that works flat out.
//!
//! A consumer that has caught up with such a producer fetches each line while it is still being
//! written; a producer that has filled the ring fetches the consumer's index after each message. Both
//! cost a transfer between processors for every message, and slow the other side as well. So a side
//! that comes to the end of what it can do after a *run* of messages first waits a moment: there is then
//! much to do at once. After a single message, as in a request and its answer, it looks at once, and so
//! it does after long messages: copying those is the work, not the line on which the two sides meet.

/// How many messages in a row make a run.
const RUN: u64 = 4;

/// Up to this mean length in bytes, records are short: those of messages of up to 1 KiB, with their word.
const SHORT: u64 = 1024 + 8;

/// The length of a wait in pauses (of some 45 ns on current x86-64): it doubles each time that a run
/// ends, and begins anew when one does not.
const SHORTEST: u32 = 8;
const LONGEST: u32 = 64;

/// Remembers where one side's last run ended.
#[derive(Debug)]
pub(crate) struct BurstBackoff {
    pauses: u32,
    messages: u64,
    position: u64,
}

impl BurstBackoff {
    /// From here on runs are counted: after so many messages, at this position.
    pub(crate) fn new(messages: u64, position: u64) -> Self {
        Self {
            pauses: 0,
            messages,
            position,
        }
    }

    /// There is nothing to do after so many messages, at this position: waits a moment if that ends a
    /// run.
    pub(crate) fn wait(&mut self, messages: u64, position: u64) {
        // Both may have gone back: what was given back comes again.
        let run = messages.saturating_sub(self.messages);
        let is_run = run >= RUN && position.saturating_sub(self.position) / run <= SHORT;
        self.pauses = if is_run {
            (2 * self.pauses).clamp(SHORTEST, LONGEST)
        } else {
            0
        };
        (self.messages, self.position) = (messages, position);
        (0..self.pauses).for_each(|_| std::hint::spin_loop());
    }
}
