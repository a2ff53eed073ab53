//! Errors: small `Copy` enums on the hot path, and one for set-up that says what to do next.

mod attempt;
mod board;
mod bytes;

use std::fmt;

use nix::errno::Errno;

use crate::escape::Line;
pub(crate) use attempt::Attempt;
pub use board::{GetError, SetError};
pub(crate) use bytes::Bytes;

/// Why a ring could not be created, opened, attached, removed or inspected.
///
/// Its text says what was attempted, on which address, what went wrong (with the call and the errno by name) and,
/// where the cause is known, the next action. Its `Debug` text is the kind and then the same: that is what a failed `main` or `unwrap` shows.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::{Builder, ErrorKind};
///
/// let error = Builder::new("shm:ringway-no-such-ring")?.open().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert!(!error.next_step().is_empty());
/// assert_eq!(format!("{error:?}"), format!("NotFound: {error}"));
/// # Ok::<(), ringway::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    // Boxed so that a `Result<Ring, Error>` stays small.
    inner: Box<Inner>,
}

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    action: &'static str,
    address: String,
    problem: String,
    errno: Option<Errno>,
    remedy: String,
}

/// What kind of [`Error`] it is, for a program that decides by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The address does not parse.
    InvalidAddress,
    /// The capacity, or another number that shapes a ring, is none that a ring can have, or beyond what
    /// the machine has.
    InvalidCapacity,
    /// Exclusive creation, and the name is taken.
    AlreadyExists,
    /// Nothing is at the address.
    NotFound,
    /// Something is at the address, but it is no ringway segment.
    NotARing,
    /// A ringway segment of another layout version, machine type or page size; or a ring or queue that has something else than was
    /// explicitly asked for: the text names both.
    Incompatible,
    /// The segment is shorter than its header says.
    Truncated,
    /// The header contradicts itself.
    Corrupt,
    /// What the ring needs beside its segment, a semaphore set, was removed, and other processes still have the
    /// ring open. The next one to open it when they have gone makes another set.
    CompanionLost,
    /// The segment was never finished: its creator died or is stopped.
    HalfMade,
    /// The role is taken: a live process holds it.
    RoleTaken {
        /// The holder's process id, as this process can use it; 0 if it is in a pid namespace that is not seen from here.
        pid: u32,
    },
    /// A live process is attached, so the ring is not removed.
    InUse {
        /// The process id of one that is attached, as this process can use it; 0 if it is in a pid namespace that is not
        /// seen from here.
        pid: u32,
    },
    /// This process may not do that.
    PermissionDenied,
    /// The object belongs to somebody else.
    ForeignOwner,
    /// Others can write in a ring whose kind of synchronisation needs
    /// [trust](crate::SyncKind::needs_trust), and nobody said that they are trusted.
    Untrusted,
    /// Memory, disk or a limit of the machine is exhausted.
    NoSpace,
    /// This kind of address or kernel cannot do what was asked.
    Unsupported,
    /// The key of an entry of a board is empty, or too long.
    InvalidKey,
    /// The waiting time passed.
    TimedOut,
    /// The handle was inherited through `fork`; the child must open the ring itself.
    Forked,
    /// The kernel refused for another reason; see [`Error::errno`].
    Os,
}

impl Error {
    /// For ringway's other crates. `action` is a verb ("open"), `problem` a clause without a full stop.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::NotFound, "open", "mq:/orders", "there is no such queue")
    ///     .remedy("create it");
    /// assert_eq!(
    ///     error.to_string(),
    ///     "cannot open mq:/orders: there is no such queue; create it",
    /// );
    /// ```
    #[doc(hidden)]
    pub fn new(
        kind: ErrorKind,
        action: &'static str,
        address: impl fmt::Display,
        problem: impl Into<String>,
    ) -> Self {
        let inner = Inner {
            kind,
            action,
            address: address.to_string(),
            problem: problem.into(),
            errno: None,
            remedy: String::new(),
        };
        Self {
            inner: Box::new(inner),
        }
    }

    /// Adds the next action: an imperative clause without a full stop.
    #[doc(hidden)]
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.inner.remedy = remedy.into();
        self
    }

    /// Adds what one has to know to understand the problem: a clause without a full stop.
    #[must_use]
    pub(crate) fn note(mut self, note: impl fmt::Display) -> Self {
        self.inner.problem = format!("{} ({note})", self.inner.problem);
        self
    }

    /// Adds the errno that the kernel gave.
    pub(crate) fn because(mut self, errno: Errno) -> Self {
        self.inner.errno = Some(errno);
        self
    }

    /// Adds the error number that the kernel gave.
    #[doc(hidden)]
    #[must_use]
    pub fn with_errno(self, errno: i32) -> Self {
        self.because(Errno::from_raw(errno))
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The kernel's error number, where a system call failed.
    pub fn errno(&self) -> Option<i32> {
        self.inner.errno.map(|errno| errno as i32)
    }

    /// What to do next, as one clause; the [`Display`](fmt::Display) text ends with it.
    pub fn next_step(&self) -> &str {
        &self.inner.remedy
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            action,
            address,
            problem,
            errno,
            remedy,
            ..
        } = &*self.inner;
        // The words of others, of which an address that does not parse is one, stay in the line.
        write!(f, "cannot {action} {}: {}", Line(address), Line(problem))?;
        if let Some(errno) = errno {
            write!(f, " ({errno:?}: {})", errno.desc())?;
        }
        if !remedy.is_empty() {
            write!(f, "; {}", Line(remedy))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.inner.kind)
    }
}

impl std::error::Error for Error {}

/// Why a message was not sent. The message is still the caller's; nothing of it is in the ring.
///
/// Its text says what to do next, and its `Debug` text is its name and then that: so a failed `main` or `unwrap` says it.
///
/// ```
/// # use ringway_core as ringway;
/// let full = ringway::SendError::Full;
/// assert_eq!(format!("{full:?}"), format!("Full: {full}"));
/// assert_eq!(full.to_string(), "the ring is full: receive from it, or use a blocking send");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room now (`try_` calls only), in the ring or in its slabs.
    ///
    /// That can be so although much was received: room is used in turn. A message that a receiver
    /// holds keeps the room behind it, also of messages that others have received and released since, until it is
    /// released or given back. Who holds messages for long [detaches](crate::Message::detach) them.
    Full,
    /// The deadline passed before there was room.
    TimedOut,
    /// The last consumer to leave closed: nobody will receive until another one attaches
    /// ([`wait_for_peer`](crate::Sender::wait_for_peer)).
    Closed,
    /// There is no room, and the consumer, or one of several that have all gone, died without closing. A new one
    /// may attach and go on.
    PeerDied,
    /// Nobody can come to receive (blocked calls only): the ring was removed, no consumer is attached, and no other process
    /// has it open that could still attach. The ring's name is what others would find it by.
    ///
    /// A process that has the ring open counts as long as it has a [`Ring`](crate::Ring) (in a `sysv:` ring: at all), be it
    /// stopped. The caller's own do not count: who removes a ring early, and attaches the consumer in this very process,
    /// attaches it before the wait, or makes the call again. Nothing else has changed. Who is asleep when
    /// the ring is removed learns it within a second; while a peer is attached, nobody looks.
    Removed,
    /// The call was ended by an [`Interrupter`](crate::wait::Interrupter) while it waited, or before it would have. Nothing else
    /// has changed: make it again when the reason for that is seen to.
    Interrupted,
    /// The message cannot ever fit.
    TooLarge {
        /// The message's length in bytes.
        len: usize,
        /// The largest length this ring carries, in bytes.
        max: usize,
    },
    /// The message has a priority, and the message queue was created without priorities.
    NoPriorities,
    /// The segment of a slab ([`Builder::slab_segments`](crate::Builder::slab_segments)) cannot be mapped. The slab is given back.
    Unmapped {
        /// The kernel's error number: `ENOENT` or `EINVAL` if somebody removed the segment, `EACCES` if this process may
        /// not open it, else a limit.
        errno: i32,
    },
    /// The thread that wakes futures and descriptors could not be started.
    NoWaiter {
        /// The kernel's error number: `EAGAIN` if there can be no more threads.
        errno: i32,
    },
    /// What lies beside the segment of a ring of sync `sysv-sem`, its semaphore set, cannot be used any more. The handle
    /// refuses further work; the messages are still in the ring.
    Companion {
        /// The kernel's error number: `EIDRM` or `EINVAL` if somebody removed the set, `EACCES` if this process may not
        /// use it (any more), as after `setuid`.
        errno: i32,
    },
    /// A process died with what this call needs, or as the last one that could have sent something, and this process
    /// cannot make sure that it executes nothing more: a sandbox denies it `membarrier` since it opened the ring.
    /// Others, who may call it, put that in order; then this handle goes on.
    Unsettled,
    /// What the peer wrote into the segment contradicts itself. The handle refuses further work.
    Corrupt,
    /// The handle was inherited through `fork`; the child must open the ring itself.
    Forked,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the ring is full: receive from it, or use a blocking send"),
            Self::TimedOut => f.write_str("the ring stayed full until the deadline: see whether its receiver works (ringway stat), or wait longer"),
            Self::Closed => f.write_str("the last receiver has closed, and no other has come: start one, and send what is left"),
            Self::PeerDied => f.write_str(
                "the ring is full and the receiving process died without closing it: start it \
                 again, it goes on where the ring stands",
            ),
            Self::Removed => f.write_str(
                "the ring was removed, no receiver is attached, and no other process can find it: create the ring again, \
                 and send there",
            ),
            Self::Interrupted => f.write_str(INTERRUPTED),
            Self::TooLarge { len, max } => write!(
                f,
                "a message of {len} bytes does not fit; up to {max} bytes a message do here: send it \
                 in fragments (ringway::chunk), or create the ring with a larger capacity",
            ),
            Self::NoPriorities => f.write_str(
                "the queue was created without priorities: send without one, or create it with them",
            ),
            Self::Unmapped { errno } => unmapped(f, *errno),
            Self::NoWaiter { errno } => no_waiter(f, *errno),
            Self::Companion { errno } => companion(f, *errno),
            Self::Unsettled => write!(f, "{UNSETTLED}: {UNSETTLED_REMEDY}"),
            Self::Corrupt => f.write_str(CORRUPT),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Full => "Full",
            Self::TimedOut => "TimedOut",
            Self::Closed => "Closed",
            Self::PeerDied => "PeerDied",
            Self::Removed => "Removed",
            Self::Interrupted => "Interrupted",
            Self::TooLarge { .. } => "TooLarge",
            Self::NoPriorities => "NoPriorities",
            Self::Unmapped { .. } => "Unmapped",
            Self::NoWaiter { .. } => "NoWaiter",
            Self::Companion { .. } => "Companion",
            Self::Unsettled => "Unsettled",
            Self::Corrupt => "Corrupt",
            Self::Forked => "Forked",
        };
        write!(f, "{name}: {self}")
    }
}

impl std::error::Error for SendError {}

/// Why no message was received. The ring is as it was.
///
/// Its text says what to do next, and its `Debug` text is its name and then that, as [`SendError`]'s.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecvError {
    /// There is no message to receive now (`try_` calls only).
    ///
    /// That can be so although a `send` has returned: messages come in the order in which their room was claimed. One whose claim
    /// lies behind another producer's that is not committed yet comes after that one, and as long as that one is
    /// written, or its process stopped, there is nothing to receive. [`is_drained`](crate::Receiver::is_drained) tells this from a ring in which
    /// nothing is left. (When that process dies, the others go on at once.)
    Empty,
    /// The deadline passed before there was a message.
    TimedOut,
    /// All is received, and the last producer to leave closed: the stream has ended. The next producer opens the ring again, and
    /// [`wait_for_peer`](crate::Receiver::wait_for_peer) waits for it.
    /// A service that shall not end between its clients can hold a [`Sender`](crate::Sender) of its own, where there is place.
    Closed,
    /// All is drained, and the producer died without closing; in a ring that has many, all have gone and one of
    /// them died. A new one may attach and go on.
    PeerDied,
    /// Nobody can come to send (blocked calls only): all is drained, the ring was removed, no producer is attached, and no
    /// other process has it open that could still attach; see [`SendError::Removed`].
    Removed,
    /// The call was ended by an [`Interrupter`](crate::wait::Interrupter) while it waited, or before it would have. Nothing else
    /// has changed: make it again when the reason for that is seen to.
    Interrupted,
    /// So many messages are gone that this consumer of a broadcast ring had asked for ([`broadcast`](crate::broadcast)): it is
    /// [lossy](crate::broadcast::Policy::Lossy) and was overtaken, or began with one that the ring does not hold any more. Told once:
    /// the next call goes on with the first message behind them. [`lost`](crate::Receiver::lost) counts all of them. (0 if it was
    /// overtaken again at once: a later call tells how many.)
    Lagged {
        /// How many.
        missed: u64,
    },
    /// This consumer of a broadcast ring has held the producer up for longer than its
    /// [policy](crate::broadcast::Policy::Evict) allows, and was passed. It gets nothing more;
    /// [subscribe](crate::Ring::subscribe) again to go on.
    Evicted,
    /// The message is longer than the buffer; it stays the next one.
    BufferTooSmall {
        /// The message's length in bytes.
        len: usize,
    },
    /// The message is no value of the type that was asked for, because it has another length; it stays the next one
    /// ([`recv`](crate::Receiver::recv) takes it, whatever it is).
    WrongLength {
        /// The message's length in bytes.
        len: usize,
        /// The type's.
        expected: usize,
    },
    /// The segment of the slab ([`Builder::slab_segments`](crate::Builder::slab_segments)) that the message lies in cannot be mapped. The message stays the next one;
    /// [`skip_unreadable`](crate::Receiver::skip_unreadable) passes it over. What was looked at before it is the caller's to release.
    Unmapped {
        /// The kernel's error number: `ENOENT` or `EINVAL` if somebody removed the segment, `EACCES` if this process may
        /// not open it, else a limit.
        errno: i32,
    },
    /// The thread that wakes futures and descriptors could not be started.
    NoWaiter {
        /// The kernel's error number: `EAGAIN` if there can be no more threads.
        errno: i32,
    },
    /// What lies beside the segment of a ring of sync `sysv-sem`, its semaphore set, cannot be used any more. The handle
    /// refuses further work; the messages are still in the ring.
    Companion {
        /// The kernel's error number: `EIDRM` or `EINVAL` if somebody removed the set, `EACCES` if this process may not
        /// use it (any more), as after `setuid`.
        errno: i32,
    },
    /// A process died with what this call needs, or as the last one that could have sent something, and this process
    /// cannot make sure that it executes nothing more: a sandbox denies it `membarrier` since it opened the ring.
    /// Others, who may call it, put that in order; then this handle goes on.
    Unsettled,
    /// What the peer wrote into the segment contradicts itself. The handle refuses further work.
    Corrupt,
    /// The handle was inherited through `fork`; the child must open the ring itself.
    Forked,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the ring is empty: send to it, or use a blocking receive"),
            Self::TimedOut => f.write_str("no message came before the deadline: see whether its sender works (ringway stat), or wait longer"),
            Self::Closed => f.write_str("the last sender has closed, and all is received: this is the end, unless another sender comes (wait_for_peer)"),
            Self::PeerDied => f.write_str(
                "the sending process died without closing the ring; all that it sent is received: \
                 start it again, it goes on where the ring stands",
            ),
            Self::Removed => f.write_str(
                "the ring was removed, no sender is attached, and no other process can find it; all that was sent is \
                 received: create the ring again, and receive there",
            ),
            Self::Interrupted => f.write_str(INTERRUPTED),
            Self::Lagged { missed } => write!(
                f,
                "{missed} messages were overwritten before they were received: receive on, from the first behind them"
            ),
            Self::Evicted => f.write_str(
                "the sender waited for this receiver as long as its policy allows, and went on: subscribe again",
            ),
            Self::BufferTooSmall { len } => {
                write!(
                    f,
                    "the next message has {len} bytes, more than the buffer: receive it again"
                )
            }
            Self::WrongLength { len, expected } => write!(
                f,
                "the next message has {len} bytes, and a value of the type that was asked for has {expected}: make \
                 sender and receiver agree on the type, or receive it as bytes"
            ),
            Self::Unmapped { errno } => unmapped(f, *errno),
            Self::NoWaiter { errno } => no_waiter(f, *errno),
            Self::Companion { errno } => companion(f, *errno),
            Self::Unsettled => write!(f, "{UNSETTLED}: {UNSETTLED_REMEDY}"),
            Self::Corrupt => f.write_str(CORRUPT),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Debug for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Empty => "Empty",
            Self::TimedOut => "TimedOut",
            Self::Closed => "Closed",
            Self::PeerDied => "PeerDied",
            Self::Removed => "Removed",
            Self::Interrupted => "Interrupted",
            Self::WrongLength { .. } => "WrongLength",
            Self::Lagged { .. } => "Lagged",
            Self::Evicted => "Evicted",
            Self::BufferTooSmall { .. } => "BufferTooSmall",
            Self::Unmapped { .. } => "Unmapped",
            Self::NoWaiter { .. } => "NoWaiter",
            Self::Companion { .. } => "Companion",
            Self::Unsettled => "Unsettled",
            Self::Corrupt => "Corrupt",
            Self::Forked => "Forked",
        };
        write!(f, "{name}: {self}")
    }
}

impl std::error::Error for RecvError {}

/// Why waiting for several rings ended without one that is ready.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitError {
    /// The deadline passed.
    TimedOut,
    /// Nobody can come to send to any of the rings: as [`RecvError::Removed`] of each.
    Removed,
    /// There was no ring to wait for.
    Nothing,
    /// An [`Interrupter`](crate::wait::Interrupter) of the set ended the wait, or was used before it.
    Interrupted,
    /// A thread that is needed to wait for one of the rings could not be started.
    NoWaiter {
        /// The kernel's error number: `EAGAIN` if there can be no more threads.
        errno: i32,
    },
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("none of the rings was ready before the deadline: see whether their senders work (ringway stat), or wait longer"),
            Self::Removed => f.write_str(
                "all of the rings were removed, no sender is attached, and no other process can find them: create them \
                 again, and receive there",
            ),
            Self::Nothing => f.write_str("there is no ring to wait for"),
            Self::Interrupted => f.write_str(INTERRUPTED),
            Self::NoWaiter { errno } => no_waiter(f, *errno),
        }
    }
}

impl fmt::Debug for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::TimedOut => "TimedOut",
            Self::Removed => "Removed",
            Self::Nothing => "Nothing",
            Self::Interrupted => "Interrupted",
            Self::NoWaiter { .. } => "NoWaiter",
        };
        write!(f, "{name}: {self}")
    }
}

impl std::error::Error for WaitError {}

fn unmapped(f: &mut fmt::Formatter<'_>, errno: i32) -> fmt::Result {
    let errno = Errno::from_raw(errno);
    let next = match errno {
        Errno::ENOENT | Errno::EINVAL | Errno::EIDRM => {
            "somebody has removed or renamed it: create the ring again"
        }
        Errno::EACCES | Errno::EPERM => {
            "this process may not open it (any more): use the ring before giving up the user that may"
        }
        _ => "free descriptors, address space or memory and try again",
    };
    let text = errno.desc();
    write!(
        f,
        "the segment of a slab cannot be mapped ({errno:?}: {text}); {next}"
    )
}

fn no_waiter(f: &mut fmt::Formatter<'_>, errno: i32) -> fmt::Result {
    let errno = Errno::from_raw(errno);
    if errno == Errno::EOPNOTSUPP {
        return f.write_str(
            "no task can wait for a System V queue, as no system call waits for its messages and leaves them there: block in a \
             thread of one's own, or use an address mq: or shm:",
        );
    }
    let text = errno.desc();
    write!(
        f,
        "a thread that waits for rings could not be started ({errno:?}: {text}): make room for one \
         more thread (ulimit -u)"
    )
}

fn companion(f: &mut fmt::Formatter<'_>, errno: i32) -> fmt::Result {
    let errno = Errno::from_raw(errno);
    let problem = match errno {
        Errno::EIDRM | Errno::EINVAL => {
            "the ring's semaphore set was removed: end all processes that have the ring open, and open it again; its \
             messages are still there"
        }
        Errno::EACCES | Errno::EPERM => {
            "this process may not use the ring's semaphore set (any more): run as a user who may"
        }
        _ => "the kernel refuses the ring's semaphore set: open the ring again",
    };
    let text = errno.desc();
    write!(f, "{problem} ({errno:?}: {text})")
}

const INTERRUPTED: &str =
    "the call was interrupted: see to what it was interrupted for, and make it again";
const CORRUPT: &str = "the segment holds what no ringway peer writes: a peer is broken or hostile; \
                       create another ring (one that has a name is removed first: ringway rm)";
/// Also of one who would attach.
pub(crate) const UNSETTLED: &str = "a process died in the ring, and this one cannot make sure that it is done, because \
                                    a sandbox denies it the system call membarrier";
const UNSETTLED_REMEDY: &str = "allow it, or let a process that may call it use the ring";
const FORKED: &str = "this handle was inherited through fork: open the ring again in the child";
