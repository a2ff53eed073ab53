//! Why something was not appended, or not read.

use std::fmt;

use nix::errno::Errno;

/// Why a message was not appended. Nothing of it is in the log, unless a variant says otherwise.
///
/// Its text says what to do next, and its `Debug` text is its name and then that.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AppendError {
    /// The message cannot ever fit.
    TooLarge {
        /// The message's length in bytes.
        len: usize,
        /// The largest length, in bytes.
        max: usize,
    },
    /// The disk is full, or a quota of it. The log goes on when there is room: append the message again then.
    NoSpace {
        /// The kernel's error number.
        errno: i32,
    },
    /// A sync failed, now or before, and nobody knows what of the messages since the last sync is on the disk. The
    /// log takes nothing more until it was [repaired](crate::Builder::repair).
    Poisoned {
        /// The kernel's error number.
        errno: i32,
    },
    /// Somebody removed the log's directory or its files.
    Removed,
    /// The deadline passed before that was synced (calls that wait only).
    TimedOut,
    /// The kernel refused. What was written of the message was taken back.
    Os {
        /// The kernel's error number.
        errno: i32,
    },
    /// The handle was inherited through `fork`; the child must open the log itself.
    Forked,
}

impl AppendError {
    pub(crate) fn of(errno: Errno) -> Self {
        match errno {
            Errno::ENOSPC | Errno::EDQUOT => Self::NoSpace {
                errno: errno as i32,
            },
            Errno::ENOENT => Self::Removed,
            errno => Self::Os {
                errno: errno as i32,
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "TooLarge",
            Self::NoSpace { .. } => "NoSpace",
            Self::Poisoned { .. } => "Poisoned",
            Self::Removed => "Removed",
            Self::TimedOut => "TimedOut",
            Self::Os { .. } => "Os",
            Self::Forked => "Forked",
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, max } => write!(
                f,
                "a message of {len} bytes does not fit; up to {max} bytes do: send it in fragments (ringway::chunk)"
            ),
            Self::NoSpace { errno } => write!(
                f,
                "the disk is full ({}): make room, or have the log keep less (retention); then append it again",
                text(*errno)
            ),
            Self::Poisoned { errno } => write!(
                f,
                "a sync failed ({}), and what was not synced before may not be on the disk: see to the disk, then \
                 repair the log (Builder::repair)",
                text(*errno)
            ),
            Self::Removed => f.write_str(REMOVED),
            Self::TimedOut => f.write_str(
                "it was not synced before the deadline: wait longer, or see to the disk",
            ),
            Self::Os { errno } => {
                write!(f, "the kernel refused ({}): see to the disk", text(*errno))
            }
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Debug for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.name())
    }
}

impl std::error::Error for AppendError {}

/// Why no message was read. The reader is where it was, unless a variant says otherwise.
///
/// Its text says what to do next, and its `Debug` text is its name and then that.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadError {
    /// There is nothing more now (`try_` calls only).
    Empty,
    /// The deadline passed before there was a message.
    TimedOut,
    /// All is read, and nobody writes: the last writer closed, or there was none since the machine was started. The next one
    /// goes on. (Not told to readers that [follow](crate::Subscription::follow).)
    Closed,
    /// All is read, and the writer died without closing. The next one goes on. (Not told to readers that follow.)
    PeerDied,
    /// So many messages are gone that this reader had yet to read: removed by the log's retention, or never written here. Told
    /// once: the next call goes on behind them.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// What was written is not there any more, or not as it was written, from the message with this number on. What is behind it can be
    /// read after [`skip_damaged`](crate::Reader::skip_damaged).
    Corrupt {
        /// The number of the first message that cannot be read.
        number: u64,
    },
    /// Somebody removed the log.
    Removed,
    /// The kernel refused.
    Os {
        /// The kernel's error number.
        errno: i32,
    },
    /// The handle was inherited through `fork`; the child must open the log itself.
    Forked,
}

impl ReadError {
    pub(crate) fn of(errno: Errno) -> Self {
        Self::Os {
            errno: errno as i32,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::TimedOut => "TimedOut",
            Self::Closed => "Closed",
            Self::PeerDied => "PeerDied",
            Self::Lagged { .. } => "Lagged",
            Self::Corrupt { .. } => "Corrupt",
            Self::Removed => "Removed",
            Self::Os { .. } => "Os",
            Self::Forked => "Forked",
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is nothing more to read: append to it, or use a call that waits"),
            Self::TimedOut => {
                f.write_str("no message came before the deadline: see whether its writer works, or wait longer")
            }
            Self::Closed => f.write_str("all is read, and nobody writes: this is the end, unless another writer comes"),
            Self::PeerDied => f.write_str(
                "the writing process died; all that it wrote is read: start it again, it goes on where the log stands",
            ),
            Self::Lagged { missed } => write!(
                f,
                "{missed} messages are gone that were not read yet: read on, from the first behind them"
            ),
            Self::Corrupt { number } => write!(
                f,
                "what was written is not there any more, from message {number} on: copy the directory, and see to the \
                 disk; then read what is behind it (skip_damaged)"
            ),
            Self::Removed => f.write_str(REMOVED),
            Self::Os { errno } => write!(f, "the kernel refused ({}): see to the disk", text(*errno)),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Debug for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.name())
    }
}

impl std::error::Error for ReadError {}

fn text(errno: i32) -> String {
    let errno = Errno::from_raw(errno);
    format!("{errno:?}: {}", errno.desc())
}

const REMOVED: &str = "somebody removed the log: create it again";
const FORKED: &str = "this handle was inherited through fork: open the log again in the child";
