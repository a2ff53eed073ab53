//! What all transports have in common, for code that works over any of them.

use std::io::IoSlice;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::api::claim::Claim;
use crate::api::message::Message;
use crate::api::receiver::Receiver;
use crate::api::sender::Sender;
use crate::api::typed;
use crate::error::{RecvError, SendError};
use crate::waiting::deadline_after;

/// Where whole messages go in: a ring's [`Sender`], or a message queue's.
///
/// No method that a wrapper must pass on has a default, so that none is forgotten; what has one is made of the others.
///
/// ```
/// # use ringway_core as ringway;
/// use std::io::IoSlice;
///
/// use ringway::Builder;
/// use ringway::transport::{MessageSink, MessageSource, ReceivedMessage};
///
/// fn greet(sink: &mut impl MessageSink) -> Result<(), ringway::SendError> {
///     sink.send_parts(&[IoSlice::new(b"hello, "), IoSlice::new(b"world")])
/// }
///
/// let ring = Builder::new("memfd:")?.create()?;
/// greet(&mut ring.sender()?)?;
/// assert_eq!(ring.receiver()?.receive()?.len(), 12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait MessageSink {
    /// The longest message, in bytes.
    fn max_message_len(&self) -> usize;

    /// A number that tells this sender from all others that send here, now or later.
    fn sender_id(&self) -> u64;

    /// Whether several receivers share the messages out among them, so that two messages of one sender may
    /// go to different ones.
    fn is_shared_out(&self) -> bool;

    /// Sends the concatenation of `parts` as one message if there is room now.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    fn try_send_parts(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError>;

    /// Sends the concatenation of `parts` as one message, waiting for room.
    ///
    /// # Errors
    /// As [`Sender::send`].
    fn send_parts(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        self.send_parts_deadline(parts, None)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`Sender::send_timeout`].
    fn send_parts_timeout(
        &mut self,
        parts: &[IoSlice<'_>],
        timeout: Duration,
    ) -> Result<(), SendError> {
        self.send_parts_deadline(parts, deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Sender::send_deadline`].
    fn send_parts_deadline(
        &mut self,
        parts: &[IoSlice<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), SendError>;

    /// Sends a message of `len` bytes that `write` puts together, in any order, where possible in the
    /// transport's own memory, if there is room now. `write` is called once there
    /// is room, at most once, and must write every byte: what it leaves out may be anything.
    ///
    /// Unless a transport does better, the message is put together elsewhere and copied.
    ///
    /// # Errors
    /// As [`try_send_parts`](Self::try_send_parts).
    fn try_send_with(
        &mut self,
        len: usize,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        let message = put_together(len, self.max_message_len(), write)?;
        self.try_send_parts(&[IoSlice::new(&message)])
    }

    /// The same, waiting for room.
    ///
    /// # Errors
    /// As [`send_parts`](Self::send_parts).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::Builder;
    /// use ringway::transport::MessageSink;
    ///
    /// let ring = Builder::new("memfd:")?.create()?;
    /// MessageSink::send_with(&mut ring.sender()?, 5, &mut |room| {
    ///     let body = room.write_at(1, b"ello");
    ///     assert_eq!(body + room.write_at(0, b"h"), 5);
    /// })?;
    /// assert_eq!(ring.receiver()?.recv()?, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn send_with(
        &mut self,
        len: usize,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        self.send_with_deadline(len, None, write)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`send_parts_timeout`](Self::send_parts_timeout).
    fn send_with_timeout(
        &mut self,
        len: usize,
        timeout: Duration,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        self.send_with_deadline(len, deadline_after(timeout), write)
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`send_parts_deadline`](Self::send_parts_deadline).
    fn send_with_deadline(
        &mut self,
        len: usize,
        deadline: Option<Instant>,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        let message = put_together(len, self.max_message_len(), write)?;
        self.send_parts_deadline(&[IoSlice::new(&message)], deadline)
    }
}

/// A message of `len` bytes that `write` puts together, if it has at most `max`.
fn put_together(
    len: usize,
    max: usize,
    write: &mut dyn FnMut(&mut dyn MessageRoom),
) -> Result<Vec<u8>, SendError> {
    if len > max {
        return Err(SendError::TooLarge { len, max });
    }
    let mut message = vec![0; len];
    write(&mut message.as_mut_slice());
    Ok(message)
}

/// Room for a message that is being put together.
pub trait MessageRoom {
    /// Copies `bytes` to `offset` of the message, and returns how many fitted.
    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> usize;
}

impl MessageRoom for &mut [u8] {
    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let room = self.get_mut(offset..).unwrap_or_default();
        let len = bytes.len().min(room.len());
        room[..len].copy_from_slice(&bytes[..len]);
        len
    }
}

impl MessageRoom for Claim<'_> {
    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> usize {
        Claim::write_at(self, offset, bytes)
    }
}

/// Where whole messages come out: a ring's [`Receiver`], or a message queue's.
///
/// No method that a wrapper must pass on has a default, so that none is forgotten; what has one is made of the others.
pub trait MessageSource {
    /// A message that is lent until it is released or given back.
    type Message<'a>: ReceivedMessage
    where
        Self: 'a;

    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`].
    fn try_receive(&mut self) -> Result<Self::Message<'_>, RecvError>;

    /// Receives the next message, waiting for it.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    fn receive(&mut self) -> Result<Self::Message<'_>, RecvError> {
        self.receive_deadline(None)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`Receiver::recv_timeout`].
    fn receive_timeout(&mut self, timeout: Duration) -> Result<Self::Message<'_>, RecvError> {
        self.receive_deadline(deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Receiver::recv_deadline`].
    fn receive_deadline(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Self::Message<'_>, RecvError>;

    /// Whether the sender with that [id](MessageSink::sender_id) may still send; `None` if this transport
    /// cannot know. Once it may not, it never will again.
    fn is_attached(&self, sender: u64) -> Option<bool>;

    /// Asked after [`RecvError::Empty`]: waits until it is worth trying again, or one of those senders is not
    /// attached any more. Returns at once with `false` if this transport cannot wait for that.
    fn wait_while_attached(&mut self, senders: &[u64]) -> bool {
        self.wait_while_attached_deadline(senders, None)
    }

    /// The same, waiting for at most `timeout`.
    fn wait_while_attached_timeout(&mut self, senders: &[u64], timeout: Duration) -> bool {
        self.wait_while_attached_deadline(senders, deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    fn wait_while_attached_deadline(&mut self, senders: &[u64], deadline: Option<Instant>) -> bool;

    /// Asked after [`RecvError::Empty`]: whether all that was sent before this call is received. Not so
    /// where a message may lie behind one that is still being written.
    fn is_drained(&mut self) -> bool;

    /// The most bytes of messages that can lie in the transport, if it gives the oldest message first: then so many bytes
    /// later all is received that was sent before. `None` if it cannot know.
    fn capacity(&self) -> Option<u64>;
}

/// A [`MessageSink`] for tasks: it never blocks.
pub trait PollSink: MessageSink {
    /// As [`send_parts`](MessageSink::send_parts): if there is no room, the task is woken when it is worth calling again. Until this has
    /// returned, nothing is sent.
    ///
    /// # Errors
    /// As [`send_parts`](MessageSink::send_parts), and [`SendError::NoWaiter`].
    fn poll_send_parts(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<(), SendError>>;
}

/// A [`MessageSource`] for tasks: it never blocks.
pub trait PollSource: MessageSource {
    /// As [`receive`](MessageSource::receive): if there is no message, the task is woken when it is worth calling again, and whenever a
    /// sender may have died.
    ///
    /// # Errors
    /// As [`receive`](MessageSource::receive), and [`RecvError::NoWaiter`].
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Message<'_>, RecvError>>;
}

impl PollSink for Sender {
    fn poll_send_parts(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<(), SendError>> {
        self.poll_send_vectored(context, parts)
    }
}

impl PollSource for Receiver {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Message<'_>, RecvError>> {
        self.poll_recv_in_place(context)
    }
}

/// A message that a [`MessageSource`] lends. [`release`](Self::release) acknowledges it; dropping it gives it back, and
/// the next receive gets it again.
///
/// No method that says what is so has a default, so that who wraps a message cannot forget to pass one on.
pub trait ReceivedMessage: Sized {
    /// Bytes of the message.
    fn len(&self) -> usize;

    /// Whether the message has no bytes.
    fn is_empty(&self) -> bool;

    /// Copies from `offset` of the message to the start of `buffer`, and returns how many bytes.
    fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize;

    /// A copy of the whole message.
    fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// How often the message was delivered, with this time: 1 the first time, and more if it was given back, or, where
    /// the transport keeps what its receiver dies with, its receiver died.
    fn deliveries(&self) -> u32;

    /// Whether the message was delivered before.
    fn redelivered(&self) -> bool {
        self.deliveries() > 1
    }

    /// A copy of the message as a value; `None` if it has another length.
    fn to_pod<T: bytemuck::Pod>(&self) -> Option<T> {
        typed::copy(self.len(), |bytes| self.read_at(0, bytes))
    }

    /// Acknowledges the message: it does not come again.
    fn release(self);

    /// Gives the message back: whoever receives next gets it again. A transport that takes nothing back keeps it for this receiver, as
    /// dropping the message does.
    fn give_back(self);
}

impl MessageSink for Sender {
    fn max_message_len(&self) -> usize {
        usize::try_from(Self::max_message_len(self)).unwrap_or(usize::MAX)
    }

    fn sender_id(&self) -> u64 {
        self.id()
    }

    fn is_shared_out(&self) -> bool {
        Self::is_shared_out(self)
    }

    fn try_send_parts(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        self.try_send_vectored(parts)
    }

    fn send_parts_deadline(
        &mut self,
        parts: &[IoSlice<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        self.send_vectored_deadline(parts, deadline)
    }

    fn try_send_with(
        &mut self,
        len: usize,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        let mut claim = self.try_claim(len)?;
        write(&mut claim);
        claim.commit();
        Ok(())
    }

    fn send_with_deadline(
        &mut self,
        len: usize,
        deadline: Option<Instant>,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        let mut claim = self.claim_deadline(len, deadline)?;
        write(&mut claim);
        claim.commit();
        Ok(())
    }
}

impl MessageSource for Receiver {
    type Message<'a> = Message<'a>;

    fn try_receive(&mut self) -> Result<Message<'_>, RecvError> {
        self.try_recv_in_place()
    }

    fn receive_deadline(&mut self, deadline: Option<Instant>) -> Result<Message<'_>, RecvError> {
        self.recv_in_place_deadline(deadline)
    }

    fn is_attached(&self, sender: u64) -> Option<bool> {
        Some(Self::is_attached(self, sender))
    }

    fn wait_while_attached_deadline(&mut self, senders: &[u64], deadline: Option<Instant>) -> bool {
        Self::wait_while_attached_deadline(self, senders, deadline);
        // The next call tells.
        !self.is_interrupted()
    }

    fn is_drained(&mut self) -> bool {
        Self::is_drained(self)
    }

    fn capacity(&self) -> Option<u64> {
        Some(self.most_bytes())
    }
}

impl ReceivedMessage for Message<'_> {
    fn len(&self) -> usize {
        Message::len(self)
    }

    fn is_empty(&self) -> bool {
        Message::len(self) == 0
    }

    fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        Message::read_at(self, offset, buffer)
    }

    fn deliveries(&self) -> u32 {
        Message::deliveries(self)
    }

    fn release(self) {
        Message::release(self);
    }

    fn give_back(self) {
        Message::give_back(self);
    }
}
