//! The sending handle.

use std::io::IoSlice;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_core::peer::Peer;
use ringway_core::transport::{MessageRoom, MessageSink, PollSink};
use ringway_core::{SendError, Sender, WaitStrategy};
use ringway_mq::QueueSender;

/// A sender to a ring or to a queue. Dropping it closes.
///
/// # Threads
/// As the handles of rings and queues, it is for one thread at a time: it can be sent to another thread (`Send`), and not be shared
/// with one (it is not `Sync`). Each handle holds a place of its own; threads that send side by side have one each, from the
/// [`Channel`](crate::Channel), which is `Sync`.
///
/// ```
/// fn can_be_sent<T: Send>() {}
/// can_be_sent::<ringway::channel::ChannelSender>();
/// ```
/// ```compile_fail,E0277
/// fn can_be_shared<T: Sync>() {}
/// can_be_shared::<ringway::channel::ChannelSender>();
/// ```
#[derive(Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "one a handle; a box would cost each message an indirection"
)]
pub enum ChannelSender {
    /// To a ring.
    Ring(Sender),
    /// To a queue.
    Queue(QueueSender),
}

impl ChannelSender {
    /// How blocked calls wait for a ring. Those that wait for a queue sleep.
    #[must_use]
    pub fn with_wait(self, wait: WaitStrategy) -> Self {
        match self {
            Self::Ring(sender) => Self::Ring(sender.with_wait(wait)),
            queue => queue,
        }
    }

    /// Up to how many bytes a message is copied through a ring that has slabs, as
    /// [`Sender::with_copy_limit`]. Queues copy every message.
    #[must_use]
    pub fn with_copy_limit(self, bytes: usize) -> Self {
        match self {
            Self::Ring(sender) => Self::Ring(sender.with_copy_limit(bytes)),
            queue => queue,
        }
    }

    /// Sends a copy of `message` if there is room now.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => sender.try_send(message),
            Self::Queue(sender) => sender.try_send(message),
        }
    }

    /// As [`send`](Self::send), for a task: see [`Sender::poll_send`] and [`QueueSender::poll_send`].
    ///
    /// # Errors
    /// As [`Sender::poll_send`].
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        message: &[u8],
    ) -> Poll<Result<(), SendError>> {
        match self {
            Self::Ring(sender) => sender.poll_send(context, message),
            Self::Queue(sender) => sender.poll_send(context, message),
        }
    }

    /// Sends a copy of `message`, waiting for room.
    ///
    /// # Errors
    /// As [`Sender::send`].
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => sender.send(message),
            Self::Queue(sender) => sender.send(message),
        }
    }

    /// Sends a copy of `message`, waiting for room for at most `timeout`.
    ///
    /// # Errors
    /// As [`Sender::send_timeout`].
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => sender.send_timeout(message, timeout),
            Self::Queue(sender) => sender.send_timeout(message, timeout),
        }
    }

    /// Sends a copy of `message`, waiting for room until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Sender::send_deadline`].
    pub fn send_deadline(
        &mut self,
        message: &[u8],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => sender.send_deadline(message, deadline),
            Self::Queue(sender) => sender.send_deadline(message, deadline),
        }
    }

    /// What is known of the receivers.
    pub fn peer(&mut self) -> Peer {
        match self {
            Self::Ring(sender) => sender.peer(),
            Self::Queue(sender) => sender.peer(),
        }
    }

    /// Waits until a receiver is attached.
    ///
    /// # Errors
    /// As [`Sender::wait_for_peer`].
    pub fn wait_for_peer(&mut self) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => sender.wait_for_peer(),
            Self::Queue(sender) => sender.wait_for_peer(),
        }
    }

    /// Waits until a receiver is attached, for at most `timeout`.
    ///
    /// # Errors
    /// As [`Sender::wait_for_peer_timeout`].
    pub fn wait_for_peer_timeout(&mut self, timeout: Duration) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => sender.wait_for_peer_timeout(timeout),
            Self::Queue(sender) => sender.wait_for_peer_timeout(timeout),
        }
    }

    /// Waits until a receiver is attached, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Sender::wait_for_peer_deadline`].
    pub fn wait_for_peer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => sender.wait_for_peer_deadline(deadline),
            Self::Queue(sender) => sender.wait_for_peer_deadline(deadline),
        }
    }

    /// Leaves, and ends the stream if this is the last sender, as dropping it does: the receivers get what was sent, then
    /// learn that this was all, until the next sender comes. A POSIX queue takes that as one more message, for which it
    /// may wait.
    pub fn close(self) {}

    /// Leaves without ending the stream: the receivers wait for the next sender.
    pub fn leave(self) {
        match self {
            Self::Ring(sender) => sender.leave(),
            Self::Queue(sender) => sender.leave(),
        }
    }
}

impl MessageSink for ChannelSender {
    fn max_message_len(&self) -> usize {
        match self {
            Self::Ring(sender) => MessageSink::max_message_len(sender),
            Self::Queue(sender) => sender.max_message_len(),
        }
    }

    fn sender_id(&self) -> u64 {
        match self {
            Self::Ring(sender) => sender.sender_id(),
            Self::Queue(sender) => sender.sender_id(),
        }
    }

    fn is_shared_out(&self) -> bool {
        match self {
            Self::Ring(sender) => MessageSink::is_shared_out(sender),
            Self::Queue(sender) => sender.is_shared_out(),
        }
    }

    fn try_send_parts(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => sender.try_send_parts(parts),
            Self::Queue(sender) => sender.try_send_parts(parts),
        }
    }

    fn send_parts_deadline(
        &mut self,
        parts: &[IoSlice<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => sender.send_parts_deadline(parts, deadline),
            Self::Queue(sender) => sender.send_parts_deadline(parts, deadline),
        }
    }

    fn try_send_with(
        &mut self,
        len: usize,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => MessageSink::try_send_with(sender, len, write),
            Self::Queue(sender) => sender.try_send_with(len, write),
        }
    }

    fn send_with_deadline(
        &mut self,
        len: usize,
        deadline: Option<Instant>,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        match self {
            Self::Ring(sender) => MessageSink::send_with_deadline(sender, len, deadline, write),
            Self::Queue(sender) => sender.send_with_deadline(len, deadline, write),
        }
    }
}

impl PollSink for ChannelSender {
    fn poll_send_parts(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<(), SendError>> {
        match self {
            Self::Ring(sender) => sender.poll_send_parts(context, parts),
            Self::Queue(sender) => sender.poll_send_parts(context, parts),
        }
    }
}
