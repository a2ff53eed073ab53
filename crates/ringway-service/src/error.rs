//! Why a call has no answer, and why a server gets no request.

use std::fmt;

use ringway_core::Error;
use ringway_core::board::{GetError, SetError};

/// What a server's work says when it fails: a status, and a text or whatever bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    status: i32,
    message: Vec<u8>,
}

impl Failure {
    /// A failure with the status 1.
    pub fn new(message: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 1,
            message: message.into(),
        }
    }

    /// The same with another status, whatever that means to the two.
    #[must_use]
    pub fn with_status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// The status.
    pub fn status(&self) -> i32 {
        self.status
    }

    /// The bytes.
    pub fn message(&self) -> &[u8] {
        &self.message
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.message);
        match text.trim_end() {
            "" => write!(f, "status {}", self.status),
            text => write!(f, "{} (status {})", text.escape_debug(), self.status),
        }
    }
}

/// Why a call has no answer, or no whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The server's work failed, and this is what it says.
    Failed(Failure),
    /// The server died with the request, which is not repeated: it may have been done, in part or in full.
    ServerDied,
    /// The server let the request go without an answer: its work panicked, or it ended.
    LetGo,
    /// No server is there. The request was not begun.
    NoServer,
    /// The deadline passed. The server is told; what it has done, it has done.
    TimedOut,
    /// The request is longer than servers take. Nothing was done.
    RequestTooLong {
        /// Bytes of the longest one.
        most: u64,
    },
    /// The answer is longer than this client takes.
    AnswerTooLong {
        /// Bytes of the longest one.
        most: usize,
    },
    /// The service was removed, and nobody is there.
    Removed,
    /// An [`Interrupter`](ringway_core::wait::Interrupter) of the client ended the wait.
    Interrupted,
    /// The process can have no more threads or descriptors, so that nobody would wake the task.
    NoWaiter {
        /// What the kernel says.
        errno: i32,
    },
    /// What is in the service contradicts itself: a peer is broken or hostile.
    Corrupt,
    /// The handle was inherited through `fork`; the child must connect by itself.
    Forked,
    /// There is no free desk, or the kernel refuses something.
    Other(Error),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "the server says: {failure}"),
            Self::ServerDied => f.write_str(
                "the server died with the request: it may have been done or not; see whether it was before calling again, or \
                 call at least once",
            ),
            Self::LetGo => f.write_str(
                "the server let the request go without an answer: see what it says, and call again",
            ),
            Self::NoServer => f.write_str("no server is there: start one, or wait for it"),
            Self::TimedOut => f.write_str(
                "no answer came before the deadline: see whether the servers work, or wait longer",
            ),
            Self::RequestTooLong { most } => write!(
                f,
                "the request is longer than the {most} bytes that the server takes: send less, or let it take more"
            ),
            Self::AnswerTooLong { most } => write!(
                f,
                "the answer is longer than the {most} bytes that this client takes: let it take more, or take the answer in parts"
            ),
            Self::Removed => f.write_str("the service was removed, and nobody is there: start it, and connect again"),
            Self::Interrupted => f.write_str(INTERRUPTED),
            Self::NoWaiter { errno } => no_waiter(f, *errno),
            Self::Corrupt => f.write_str(CORRUPT),
            Self::Forked => f.write_str(FORKED),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ringway_core::ErrorKind::Forked => Self::Forked,
            ringway_core::ErrorKind::Corrupt => Self::Corrupt,
            _ => Self::Other(error),
        }
    }
}

impl From<SetError> for CallError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Forked => Self::Forked,
            // No value is longer than what the board says.
            _ => Self::Corrupt,
        }
    }
}

/// Why a server gets no request, or cannot answer one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServeError {
    /// No request came before the deadline.
    TimedOut,
    /// The caller has left, died, or waits no longer: nobody wants this answer.
    Cancelled,
    /// The caller lives and does not take what was sent, for longer than the server's patience.
    NotTaken,
    /// The service was removed, and nobody is there.
    Removed,
    /// An [`Interrupter`](ringway_core::wait::Interrupter) of the server ended the wait.
    Interrupted,
    /// The process can have no more threads or descriptors, so that nobody would wake the task.
    NoWaiter {
        /// What the kernel says.
        errno: i32,
    },
    /// What is in the service contradicts itself: a peer is broken or hostile.
    Corrupt,
    /// The handle was inherited through `fork`; the child must serve by itself.
    Forked,
    /// The kernel refuses something.
    Other(Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no request came before the deadline"),
            Self::Cancelled => f.write_str("the caller waits no longer: serve the next one"),
            Self::NotTaken => f.write_str(
                "the caller does not take the answer: it may be stopped; serve the next one",
            ),
            Self::Removed => {
                f.write_str("the service was removed, and nobody is there: start it again")
            }
            Self::Interrupted => f.write_str(INTERRUPTED),
            Self::NoWaiter { errno } => no_waiter(f, *errno),
            Self::Corrupt => f.write_str(CORRUPT),
            Self::Forked => f.write_str(FORKED),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<Error> for ServeError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ringway_core::ErrorKind::Forked => Self::Forked,
            ringway_core::ErrorKind::Corrupt => Self::Corrupt,
            _ => Self::Other(error),
        }
    }
}

impl From<SetError> for ServeError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Forked => Self::Forked,
            _ => Self::Corrupt,
        }
    }
}

impl From<GetError> for ServeError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::TimedOut => Self::TimedOut,
            GetError::Removed => Self::Removed,
            GetError::Interrupted => Self::Interrupted,
            GetError::NoWaiter { errno } => Self::NoWaiter { errno },
            GetError::Forked => Self::Forked,
            _ => Self::Corrupt,
        }
    }
}

const CORRUPT: &str = "the service holds what no ringway peer writes: a peer is broken or hostile; remove it (ringway rm), and \
                       start it again";
const INTERRUPTED: &str = "the wait was interrupted: call again, or end";
const FORKED: &str =
    "this handle was inherited through fork: serve, or connect, again in the child";

fn no_waiter(f: &mut fmt::Formatter<'_>, errno: i32) -> fmt::Result {
    // As of a board, where it is said what can be done.
    fmt::Display::fmt(&GetError::NoWaiter { errno }, f)
}
