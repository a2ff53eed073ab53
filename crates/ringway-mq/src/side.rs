//! What the two systems of queues have in common, as the handles see it.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;
use std::task::Waker;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use ringway_core::os::msgget::TYPE_LEN;
use ringway_core::peer::Peer;

use crate::frame::{HEADER_LEN, Header, SenderNumber};

/// Where a frame begins in the buffer of a handle. What stands before it is the type of a System V message.
pub(crate) const FRAME: usize = TYPE_LEN;

/// Where the payload begins in the buffer of a handle.
pub(crate) const PAYLOAD: usize = FRAME + HEADER_LEN;

/// Nothing can be done with the queue any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Somebody removed it.
    Removed,
    /// The kernel refuses for a reason that it has no business to have.
    Refused,
    /// The message is longer than the kernel takes by now: so many bytes, with what stands before the payload.
    TooLong {
        /// The most that it takes.
        most: usize,
    },
}

/// Of System V queues: no system call waits for a message and leaves it there, or for room.
const NOT_TO_BE_WATCHED: Errno = Errno::EOPNOTSUPP;

/// How a handle ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// In order, and for good.
    Close,
    /// In order; another one will follow.
    Leave,
    /// By a panic: the others are to think that it died.
    Abandon,
}

/// A sender's side.
///
/// To wait for room: [`begin_wait`](Self::begin_wait); then in turn [`put`](Self::put), [`peer`](Self::peer) and
/// [`sleep`](Self::sleep). Whatever happens after `put` ends the sleep.
pub(crate) trait Outlet: Debug + Send + Sync {
    /// Puts the frame in a buffer into the queue, if there is room.
    fn put(&mut self, buffer: &mut [u8], priority: u32) -> Result<bool, Broken>;

    /// From now on, room and the receiver's end are told to this side.
    fn begin_wait(&mut self) -> Result<(), Broken> {
        Ok(())
    }

    /// It does not wait any more.
    fn end_wait(&mut self) {}

    /// Sleeps until something may have happened, or until the deadline.
    fn sleep(&mut self, deadline: Option<Instant>) -> Result<(), Broken>;

    /// Has the task woken when there may be room, or the receiver has come to its end. Then the handle looks once more.
    fn arm(&mut self, _waker: &Waker) -> Result<(), Errno> {
        Err(NOT_TO_BE_WATCHED)
    }

    /// What can be polled.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What is known of the receiver. Unless it must be `fresh`, it may be what was known before a death that ends
    /// the next sleep.
    fn peer(&mut self, fresh: bool) -> Peer;

    /// Sleeps until a receiver may have attached, or until the deadline.
    fn sleep_for_peer(&mut self, deadline: Option<Instant>) -> Result<(), Broken>;

    /// Leaves. `Ok(false)`: the receiver could not be told how.
    fn depart(&mut self, how: Departure, deadline: Option<Instant>) -> Result<bool, Broken>;
}

/// A message that was taken out of the queue into a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Bytes from [`FRAME`] on.
    pub(crate) len: usize,
    pub(crate) priority: u32,
}

/// What is taken out of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Got {
    /// It is empty.
    Nothing,
    /// There was something that is no message; there may be more.
    Notice,
    /// A message, if it decodes.
    Frame(Taken),
}

/// A receiver's side. To wait for a message: in turn [`get`](Self::get), [`peer`](Self::peer) and
/// [`sleep`](Self::sleep).
pub(crate) trait Inlet: Debug + Send + Sync {
    /// Takes the next message, if there is one.
    fn get(&mut self, buffer: &mut Vec<u8>) -> Result<Got, Broken>;

    /// Sleeps until something may have happened, or until the deadline; not at all if there is a message, which it
    /// takes. What it returns, unless it is a frame, says nothing about the queue.
    fn sleep(&mut self, buffer: &mut Vec<u8>, deadline: Option<Instant>) -> Result<Got, Broken>;

    /// Has the task woken when there may be a message, or something has happened to a sender. Then the handle looks once more.
    fn arm(&mut self, _waker: &Waker) -> Result<(), Errno> {
        Err(NOT_TO_BE_WATCHED)
    }

    /// A frame was received.
    fn note(&mut self, header: &Header);

    /// What is known of the senders, as with [`Outlet::peer`].
    fn peer(&mut self, fresh: bool) -> Peer;

    /// Whether that sender lives; `None` if nobody can say.
    fn is_attached(&self, sender: SenderNumber) -> Option<bool>;

    /// Bytes of messages that the queue can hold, if the oldest message is always received first: then so many bytes
    /// received later nothing is left that was in the queue before.
    fn capacity(&self) -> Option<u64>;

    /// Sleeps until a sender may have attached, or until the deadline.
    fn sleep_for_peer(&mut self, deadline: Option<Instant>) -> Result<(), Broken>;

    /// What can be polled.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Leaves.
    fn depart(&mut self, how: Departure);
}

/// What is left until a deadline; `None` if there is none.
pub(crate) fn remaining(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Whether a deadline has passed.
pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}
