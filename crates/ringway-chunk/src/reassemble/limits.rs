//! How much a receiver holds, and what it counts.

/// How much a receiver holds at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message that is gathered in memory, in bytes.
    pub max_message: u64,
    /// Bytes of all messages that are in flight or wait to be fetched. A message counts whole from its
    /// first fragment on if its length is known, so that what is let in may come whole; memory is taken for what has
    /// arrived. Beyond that there may be one fragment. A sender has one message in flight at most: if this is
    /// `max_message` times the number of senders, none can take another one's room.
    pub max_in_flight: u64,
    /// How many messages may be in flight or wait to be fetched.
    pub max_messages: usize,
}

impl Default for Limits {
    /// 1 GiB a message, four such in all, so that one sender's longest leaves room for others', and 1024 messages.
    fn default() -> Self {
        Self {
            max_message: 1 << 30,
            max_in_flight: 4 << 30,
            max_messages: 1024,
        }
    }
}

/// Frames counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// That came.
    pub frames: u64,
    /// Of messages that are whole or lost already, or that had come already.
    pub stale: u64,
    /// With a wrong checksum.
    pub corrupt: u64,
    /// Losses that nobody asked for in time.
    pub unreported: u64,
}
