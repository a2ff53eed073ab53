//! What users choose.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What an acknowledgement means, beside that a message is in the log and outlives its process.
///
/// | | `append` returns when the message is | a loss of power can take |
/// |---|---|---|
/// | `None` | written | whatever the kernel had not written back yet: by default up to 30 seconds |
/// | `Batch` | written; [`wait_synced`](crate::Writer::wait_synced) waits for the next group | what was appended since the last group, so for about the interval |
/// | `Each` | synced | nothing that was acknowledged |
///
/// *Written* is: handed to the kernel as a whole, so that no death of a process can take it. *Synced* is: after an `fdatasync` that
/// succeeded. A [`Receipt`] says which of both it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Never synced by this writer, but for the end of a segment's preparation.
    #[default]
    None,
    /// Synced in groups, by a thread: so long after the first message of a group, or when a group has so many bytes.
    Batch {
        /// After which time.
        interval: Duration,
        /// After how many bytes.
        bytes: u64,
    },
    /// Each append is synced before it returns, and before a reader sees it.
    Each,
}

impl Durability {
    /// In groups, every `interval`.
    pub fn every(interval: Duration) -> Self {
        Self::Batch {
            interval,
            bytes: u64::MAX,
        }
    }

    /// In groups of about so many bytes, and at least once a second.
    pub fn after_bytes(bytes: u64) -> Self {
        Self::Batch {
            interval: Duration::from_secs(1),
            bytes,
        }
    }
}

/// What an acknowledgement of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// It outlives this process.
    Written,
    /// It outlives a loss of power.
    Synced,
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The message's number; of several, the last one's.
    pub number: u64,
    /// What is known of it.
    pub level: Level,
}

/// With which message a reader begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Start {
    /// The oldest one that the log holds.
    #[default]
    Oldest,
    /// The next one that is appended.
    Latest,
    /// So many before the next one, as far as there are so many.
    Last(u64),
    /// The one with this number; if it is gone, the oldest one, and how many are missing is told as
    /// [`Lagged`](crate::ReadError::Lagged) first. If it was not appended yet, it is waited for.
    Number(u64),
    /// The first one that was appended at this time or later.
    Time(SystemTime),
}

/// Which segments are removed, the oldest first. The newest one stays. Segments go as a whole, when a new one is begun and when the log is
/// opened for writing.
///
/// Nothing is removed that a named cursor has not passed, unless [`despite_cursors`](Self::despite_cursors) says so; its reader is told
/// then, as [`Lagged`](crate::ReadError::Lagged).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub(crate) age: Option<Duration>,
    pub(crate) bytes: Option<u64>,
    pub(crate) passed: bool,
    pub(crate) despite_cursors: bool,
}

impl Retention {
    /// Everything is kept.
    pub fn all() -> Self {
        Self::default()
    }

    /// Remove what is older.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Remove what is too much when all segments together have more bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Remove what all named cursors have passed. While there is no cursor, that is nothing.
    #[must_use]
    pub fn passed(mut self) -> Self {
        self.passed = true;
        self
    }

    /// Remove also what a cursor has not passed. (What [`passed`](Self::passed) removes stays what all have passed.)
    #[must_use]
    pub fn despite_cursors(mut self) -> Self {
        self.despite_cursors = true;
        self
    }
}

/// Nanoseconds since 1970; what is earlier is 0.
pub(crate) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The same, back.
pub(crate) fn time_of(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}
