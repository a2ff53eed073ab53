//! How far a long message has come.

/// How far a long message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are done with.
    pub done: u64,
    /// Bytes of the whole message, if that is known.
    pub total: Option<u64>,
}
