//! How a command ends when it does not simply end.

use std::fmt;
use std::io;
use std::process::ExitCode;

use ringway::ErrorKind;
use ringway::os::Line;

use crate::say::say;

/// Why a command ended early: a status for scripts, and words for people.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    /// Nobody reads our output any more, which is their right.
    Unread,
    Negative,
    Error,
    /// What somebody else's work says, who was asked to do it.
    Theirs(u8),
}

impl Status {
    fn code(self) -> u8 {
        match self {
            Self::Unread => 0,
            Self::Negative => 1,
            Self::Error => 2,
            Self::Theirs(code) => code,
        }
    }
}

impl Failure {
    /// A negative answer: nothing there, timed out, the peer died.
    pub(crate) fn negative(message: impl fmt::Display) -> Self {
        Self {
            status: Status::Negative,
            message: Line(message).to_string(),
        }
    }

    /// Something went wrong.
    pub(crate) fn error(message: impl fmt::Display) -> Self {
        Self {
            status: Status::Error,
            message: Line(message).to_string(),
        }
    }

    /// The work that somebody else was asked for failed, with a status of its own.
    pub(crate) fn theirs(status: i32, message: impl fmt::Display) -> Self {
        let code = u8::try_from(status).ok().filter(|code| *code != 0);
        Self {
            status: Status::Theirs(code.unwrap_or(1)),
            message: Line(message).to_string(),
        }
    }

    /// The same, with what went before it.
    pub(crate) fn after(self, what: impl fmt::Display) -> Self {
        Self {
            message: format!("{}: {}", Line(what), self.message),
            ..self
        }
    }

    /// Whether it is more than a negative answer.
    pub(crate) fn is_error(&self) -> bool {
        self.status == Status::Error
    }

    /// Whether whoever read our output has ended first.
    pub(crate) fn is_of_reader(&self) -> bool {
        self.status == Status::Unread
    }

    /// Standard output did not take what was written.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                status: Status::Unread,
                message: String::new(),
            };
        }
        Self::error(format!("cannot write to standard output: {error}"))
    }

    /// Says what is to be said, and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            say(&self.message);
        }
        ExitCode::from(self.status.code())
    }

    /// All of several failures, as one with the worst status.
    pub(crate) fn all(failures: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        failures
            .into_iter()
            .reduce(|sum, next| Self {
                status: sum.status.max(next.status),
                message: format!("{}\nringway: {}", sum.message, next.message),
            })
            .map_or(Ok(()), Err)
    }
}

impl From<ringway::Error> for Failure {
    fn from(error: ringway::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::TimedOut => Self::negative(error),
            _ => Self::error(error),
        }
    }
}
