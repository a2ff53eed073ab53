//! What is told of a queue.

use ringway_core::Address;

/// What a queue is like at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStat {
    /// Where it is.
    pub address: Address,
    /// Messages in it, farewells and notices among them.
    pub messages: u64,
    /// Bytes in it, with sixteen for each message.
    pub bytes: u64,
    /// Most messages (POSIX).
    pub max_messages: Option<u64>,
    /// Most bytes, with sixteen for each message (System V).
    pub max_bytes: Option<u64>,
    /// Bytes of the longest message.
    pub max_message_len: usize,
    /// Whether it was created with priorities.
    pub priorities: bool,
    /// Senders that live.
    pub senders: usize,
    /// Receivers that live: 0 or 1.
    pub receivers: usize,
    /// User id of the owner.
    pub owner: u32,
    /// Permission bits.
    pub mode: u32,
}
