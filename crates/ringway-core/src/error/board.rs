//! Why a value of a board was not set, or not read.

use std::fmt;

/// Why a value was not set. The last one is still there.
///
/// Its text says what to do next, and its `Debug` text is its name and then that.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SetError {
    /// The value is longer than the board's entries are.
    TooLarge {
        /// The value's length in bytes.
        len: usize,
        /// The longest that the board has place for.
        max: usize,
    },
    /// The handle was inherited through `fork`; the child must open the board itself.
    Forked,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, max } => write!(
                f,
                "a value of {len} bytes does not fit; up to {max} bytes do: make the board for longer ones (value_len)"
            ),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Debug for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::TooLarge { .. } => "TooLarge",
            Self::Forked => "Forked",
        };
        write!(f, "{name}: {self}")
    }
}

impl std::error::Error for SetError {}

/// Why no value was read. The handle goes on.
///
/// Its text says what to do next, and its `Debug` text is its name and then that.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GetError {
    /// The deadline passed before there was a newer value.
    TimedOut,
    /// The value was overwritten each time while it was copied, 128 times one after the other: its writer sets it without a
    /// pause and this process is slower, or a peer changes the number at random. Nothing of it was returned.
    Changing,
    /// The writer of the entry died, and there is nothing newer (calls that wait only). Each death is told once: the next call
    /// waits for the writer's successor. The last value can still be [read](crate::board::Reader::get).
    WriterDied,
    /// The board was removed, and no writer is attached (calls that wait only). Who has it open can still attach; nobody else
    /// finds it. Who is asleep when it is removed learns it within a second.
    Removed,
    /// The call was ended by an [`Interrupter`](crate::wait::Interrupter) while it waited, or before it would have.
    Interrupted,
    /// The thread that sleeps for tasks and descriptors cannot be started, or a descriptor for it made (calls that never block only).
    NoWaiter {
        /// The kernel's error number: `EAGAIN` if there can be no more threads.
        errno: i32,
    },
    /// The value is no value of the type that was asked for, because it has another length.
    WrongLength {
        /// The value's length in bytes.
        len: usize,
    },
    /// What is in the entry contradicts itself: a peer is broken or hostile.
    Corrupt,
    /// The handle was inherited through `fork`; the child must open the board itself.
    Forked,
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str(
                "no newer value came before the deadline: see whether its writer works (ringway stat), or wait longer",
            ),
            Self::Changing => f.write_str(
                "the value was overwritten each time before it was read to its end: read again, or let its writer set it \
                 less often",
            ),
            Self::WriterDied => f.write_str(
                "the process that writes it died: start it again, it goes on with the next value; the last one can be read",
            ),
            Self::Removed => f.write_str(
                "the board was removed, and nobody writes to it: make it again, and read there",
            ),
            Self::Interrupted => f.write_str(super::INTERRUPTED),
            Self::NoWaiter { errno } => super::no_waiter(f, *errno),
            Self::WrongLength { len } => write!(
                f,
                "the value has {len} bytes, and one of the type that was asked for has another number: make writer and \
                 reader agree on the type, or read it as bytes"
            ),
            Self::Corrupt => f.write_str(
                "the entry holds what no ringway peer writes: a peer is broken or hostile; make another board (remove this \
                 one first: ringway rm)",
            ),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Debug for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::TimedOut => "TimedOut",
            Self::Changing => "Changing",
            Self::WriterDied => "WriterDied",
            Self::Removed => "Removed",
            Self::Interrupted => "Interrupted",
            Self::NoWaiter { .. } => "NoWaiter",
            Self::WrongLength { .. } => "WrongLength",
            Self::Corrupt => "Corrupt",
            Self::Forked => "Forked",
        };
        write!(f, "{name}: {self}")
    }
}

impl std::error::Error for GetError {}

const FORKED: &str = "this handle was inherited through fork: open the board again in the child";
