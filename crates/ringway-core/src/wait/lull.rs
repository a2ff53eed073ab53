//! Keeping a distance from a peer that works flat out.
//!
//! A consumer that has caught up with such a producer fetches each line while it is still being
//! written; a producer that has filled the ring fetches the consumer's index after each message. Both
//! cost a transfer between processors for every message, and slow the other side as well. So a side
//! that comes to the end of what it can do after a *run* of messages first waits a moment: there is then
//! much to do at once. After a single message, as in a request and its answer, it looks at once.

/// How many messages in a row make a run.
const RUN: u64 = 4;

/// The length of a lull in pauses (of some 45 ns on current x86-64): it doubles each time that a run
/// ends, and begins anew when one does not.
const SHORTEST: u32 = 8;
const LONGEST: u32 = 64;

/// Remembers how one side's last run ended.
#[derive(Debug, Default)]
pub(crate) struct Lull {
    pauses: u32,
    /// Messages when the last run ended.
    count: u64,
}

impl Lull {
    /// From here on runs are counted; `count` is the number of messages so far.
    pub(crate) fn new(count: u64) -> Self {
        Self { pauses: 0, count }
    }

    /// There is nothing to do after `count` messages: waits a moment if that ends a run.
    pub(crate) fn wait(&mut self, count: u64) {
        self.pauses = if count - self.count < RUN {
            0
        } else {
            (2 * self.pauses).clamp(SHORTEST, LONGEST)
        };
        self.count = count;
        (0..self.pauses).for_each(|_| std::hint::spin_loop());
    }
}
