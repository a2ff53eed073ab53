//! The receiving handle.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_core::os;
use ringway_core::peer::Peer;
use ringway_core::tasks::TaskReceiver;
use ringway_core::transport::{MessageSource, PollSource, ReceivedMessage};
use ringway_core::{Error, ErrorKind, Message, Receiver, RecvError, WaitStrategy};
use ringway_mq::{QueueMessage, QueueReceiver};

use super::{Carrier, Channel, ChannelSender};

/// A receiver from a ring or from a queue.
///
/// # Threads
/// As the handles of rings and queues, it is for one thread at a time: it can be sent to another thread (`Send`), and not be shared
/// with one (it is not `Sync`). Each handle holds a place of its own; threads that receive side by side have one each, from the
/// [`Channel`](crate::Channel), which is `Sync`.
///
/// ```
/// fn can_be_sent<T: Send>() {}
/// can_be_sent::<ringway::channel::ChannelReceiver>();
/// ```
/// ```compile_fail,E0277
/// fn can_be_shared<T: Sync>() {}
/// can_be_shared::<ringway::channel::ChannelReceiver>();
/// ```
#[derive(Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "one a handle; a box would cost each message an indirection"
)]
pub enum ChannelReceiver {
    /// From a ring.
    Ring(Receiver),
    /// From a queue.
    Queue(QueueReceiver),
}

impl ChannelReceiver {
    /// How blocked calls wait for a ring. Those that wait for a queue sleep.
    #[must_use]
    pub fn with_wait(self, wait: WaitStrategy) -> Self {
        match self {
            Self::Ring(receiver) => Self::Ring(receiver.with_wait(wait)),
            queue => queue,
        }
    }

    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`].
    pub fn try_recv(&mut self) -> Result<Vec<u8>, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.try_recv(),
            Self::Queue(receiver) => receiver.try_recv(),
        }
    }

    /// Receives the next message, waiting for it.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    pub fn recv(&mut self) -> Result<Vec<u8>, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.recv(),
            Self::Queue(receiver) => receiver.recv(),
        }
    }

    /// Receives the next message, waiting for it for at most `timeout`.
    ///
    /// # Errors
    /// As [`Receiver::recv_timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.recv_timeout(timeout),
            Self::Queue(receiver) => receiver.recv_timeout(timeout),
        }
    }

    /// Receives the next message, waiting for it until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Receiver::recv_deadline`].
    pub fn recv_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Vec<u8>, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.recv_deadline(deadline),
            Self::Queue(receiver) => receiver.recv_deadline(deadline),
        }
    }

    /// Copies the next message to the start of `buffer` if there is one now, and returns its length.
    ///
    /// # Errors
    /// As [`Receiver::try_recv_into`].
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.try_recv_into(buffer),
            Self::Queue(receiver) => receiver.try_recv_into(buffer),
        }
    }

    /// Copies the next message to the start of `buffer`, waiting for it, and returns its length.
    ///
    /// # Errors
    /// As [`Receiver::recv_into`].
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.recv_into(buffer),
            Self::Queue(receiver) => receiver.recv_into(buffer),
        }
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`Receiver::recv_into_timeout`].
    pub fn recv_into_timeout(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<usize, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.recv_into_timeout(buffer, timeout),
            Self::Queue(receiver) => receiver.recv_into_timeout(buffer, timeout),
        }
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Receiver::recv_into_deadline`].
    pub fn recv_into_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<usize, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.recv_into_deadline(buffer, deadline),
            Self::Queue(receiver) => receiver.recv_into_deadline(buffer, deadline),
        }
    }

    /// Borrows the next message in place if there is one now.
    ///
    /// # Errors
    /// As [`Receiver::try_recv_in_place`].
    pub fn try_recv_in_place(&mut self) -> Result<ChannelMessage<'_>, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.try_recv_in_place().map(ChannelMessage::Ring),
            Self::Queue(receiver) => receiver.try_recv_in_place().map(ChannelMessage::Queue),
        }
    }

    /// Borrows the next message in place, waiting for it.
    ///
    /// # Errors
    /// As [`Receiver::recv_in_place`].
    pub fn recv_in_place(&mut self) -> Result<ChannelMessage<'_>, RecvError> {
        match self {
            Self::Ring(receiver) => receiver.recv_in_place().map(ChannelMessage::Ring),
            Self::Queue(receiver) => receiver.recv_in_place().map(ChannelMessage::Queue),
        }
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`Receiver::recv_in_place_timeout`].
    pub fn recv_in_place_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<ChannelMessage<'_>, RecvError> {
        match self {
            Self::Ring(receiver) => receiver
                .recv_in_place_timeout(timeout)
                .map(ChannelMessage::Ring),
            Self::Queue(receiver) => receiver
                .recv_in_place_timeout(timeout)
                .map(ChannelMessage::Queue),
        }
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Receiver::recv_in_place_deadline`].
    pub fn recv_in_place_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<ChannelMessage<'_>, RecvError> {
        match self {
            Self::Ring(receiver) => receiver
                .recv_in_place_deadline(deadline)
                .map(ChannelMessage::Ring),
            Self::Queue(receiver) => receiver
                .recv_in_place_deadline(deadline)
                .map(ChannelMessage::Queue),
        }
    }

    /// As [`recv`](Self::recv), for a task: see [`Receiver::poll_recv`] and [`QueueReceiver::poll_recv`].
    ///
    /// # Errors
    /// As [`Receiver::poll_recv`].
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, RecvError>> {
        match self {
            Self::Ring(receiver) => receiver.poll_recv(context),
            Self::Queue(receiver) => receiver.poll_recv(context),
        }
    }

    /// As [`recv_in_place`](Self::recv_in_place), for a task.
    ///
    /// # Errors
    /// As [`poll_recv`](Self::poll_recv).
    pub fn poll_recv_in_place(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<ChannelMessage<'_>, RecvError>> {
        match self {
            Self::Ring(receiver) => receiver
                .poll_recv_in_place(context)
                .map_ok(ChannelMessage::Ring),
            Self::Queue(receiver) => receiver
                .poll_recv_in_place(context)
                .map_ok(ChannelMessage::Queue),
        }
    }

    /// Receives the next message, waiting for it, and acknowledges it if `work` has succeeded with it; if it fails, the message comes
    /// again. (Of a queue it comes again to this very receiver, and is lost with it.)
    ///
    /// # Errors
    /// As [`Receiver::recv`]. What `work` returns is inside.
    ///
    /// ```
    /// use ringway::Channel;
    /// use ringway::transport::ReceivedMessage;
    ///
    /// # let address = format!("auto:ringway-doc-process-{}", std::process::id());
    /// let channel = Channel::open_or_create(ringway::at(&address)?)?;
    /// channel.sender()?.send(b"7 apples")?;
    /// let mut receiver = channel.receiver()?;
    /// let len = receiver.process(|message| match message.len() {
    ///     0 => Err("nothing in it"),
    ///     len => Ok(len),
    /// })?;
    /// assert_eq!(len, Ok(8));
    /// # Channel::remove(channel.address(), true)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process<T, E>(
        &mut self,
        work: impl FnOnce(&ChannelMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        self.recv_in_place().map(|message| message.process(work))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`Receiver::recv_timeout`]. What `work` returns is inside.
    pub fn process_timeout<T, E>(
        &mut self,
        timeout: Duration,
        work: impl FnOnce(&ChannelMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        let message = self.recv_in_place_timeout(timeout)?;
        Ok(message.process(work))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Receiver::recv_deadline`]. What `work` returns is inside.
    pub fn process_deadline<T, E>(
        &mut self,
        deadline: impl Into<Option<Instant>>,
        work: impl FnOnce(&ChannelMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        let message = self.recv_in_place_deadline(deadline)?;
        Ok(message.process(work))
    }

    /// The same with a message that is there now.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`]. What `work` returns is inside.
    pub fn try_process<T, E>(
        &mut self,
        work: impl FnOnce(&ChannelMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        let message = self.try_recv_in_place()?;
        Ok(message.process(work))
    }

    /// As [`Receiver::with_dead_letters`], from a ring or a queue to a ring or a queue. (What a queue's receiver had is lost with it, and is
    /// not tried again.)
    ///
    /// # Errors
    /// Those of [`Channel::sender`]; [`ErrorKind::Unsupported`] and [`ErrorKind::Incompatible`] as there. Whether a queue takes all that comes out of
    /// another one is not known in advance.
    ///
    /// ```
    /// use ringway::Channel;
    ///
    /// let [jobs, dead] = [ringway::at("memfd:")?.create()?, ringway::at("memfd:")?.create()?].map(Channel::from);
    /// jobs.sender()?.send(b"not a number")?;
    /// let mut tasks = jobs.receiver()?.with_dead_letters(&dead, 1)?;
    /// assert!(tasks.process(|_| Err::<(), _>("no number")).unwrap().is_err());
    /// assert!(tasks.try_process(|_| Ok::<_, ()>(())).is_err()); // nothing else is there
    /// assert_eq!(dead.receiver()?.recv()?, b"not a number");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_dead_letters(
        self,
        channel: &Channel,
        after: u32,
    ) -> Result<TaskReceiver<Self, ChannelSender>, Error> {
        os::check_tries(channel.address(), after)?;
        if let Carrier::Ring(ring) = channel.carrier() {
            match &self {
                Self::Ring(receiver) => os::check_dead_letters(Some(receiver), ring)?,
                Self::Queue(_) => os::check_dead_letters(None, ring)?,
            }
        } else if let Self::Ring(receiver) = &self
            && os::longest_message(receiver) > channel.max_message_len()
        {
            let problem = format!(
                "it takes messages of up to {} bytes, and some have {}",
                channel.max_message_len(),
                os::longest_message(receiver)
            );
            let error = Error::new(
                ErrorKind::Incompatible,
                "send dead letters to",
                channel.address(),
                problem,
            );
            return Err(error.remedy("send them to a ring"));
        }
        Ok(TaskReceiver::new(self, channel.sender()?, after))
    }

    /// What is known of the senders.
    pub fn peer(&mut self) -> Peer {
        match self {
            Self::Ring(receiver) => receiver.peer(),
            Self::Queue(receiver) => receiver.peer(),
        }
    }

    /// Waits until a sender is attached. To go on after [`RecvError::PeerDied`] or [`RecvError::Closed`].
    ///
    /// # Errors
    /// As [`Receiver::wait_for_peer`].
    pub fn wait_for_peer(&mut self) -> Result<(), RecvError> {
        match self {
            Self::Ring(receiver) => receiver.wait_for_peer(),
            Self::Queue(receiver) => receiver.wait_for_peer(),
        }
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`Receiver::wait_for_peer_timeout`].
    pub fn wait_for_peer_timeout(&mut self, timeout: Duration) -> Result<(), RecvError> {
        match self {
            Self::Ring(receiver) => receiver.wait_for_peer_timeout(timeout),
            Self::Queue(receiver) => receiver.wait_for_peer_timeout(timeout),
        }
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Receiver::wait_for_peer_deadline`].
    pub fn wait_for_peer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), RecvError> {
        match self {
            Self::Ring(receiver) => receiver.wait_for_peer_deadline(deadline),
            Self::Queue(receiver) => receiver.wait_for_peer_deadline(deadline),
        }
    }

    /// Leaves, and refuses further messages until another receiver attaches: senders are told
    /// [`Closed`](ringway_core::SendError::Closed), those of a queue when there is no room.
    pub fn close(self) {
        match self {
            Self::Ring(receiver) => receiver.close(),
            Self::Queue(receiver) => receiver.close(),
        }
    }

    /// Leaves: the next receiver goes on with the next message, and senders wait for it. The same as dropping the handle.
    pub fn leave(self) {
        match self {
            Self::Ring(receiver) => receiver.leave(),
            Self::Queue(receiver) => receiver.leave(),
        }
    }
}

/// A message that a [`ChannelReceiver`] lends. [`release`](Self::release) acknowledges it; dropping it gives it back,
/// and it comes again. (Of a queue it comes again to this very receiver, and is lost with it.)
#[derive(Debug)]
#[must_use = "a message that is dropped comes again; `release` acknowledges it"]
#[non_exhaustive]
pub enum ChannelMessage<'a> {
    /// In a ring.
    Ring(Message<'a>),
    /// Taken out of a queue.
    Queue(QueueMessage<'a>),
}

impl ChannelMessage<'_> {
    /// Acknowledges the message if `work` has succeeded with it.
    fn process<T, E>(self, work: impl FnOnce(&ChannelMessage<'_>) -> Result<T, E>) -> Result<T, E> {
        let done = work(&self);
        match done {
            Ok(_) => self.release(),
            Err(_) => self.give_back(),
        }
        done
    }

    /// Gives the message back: whoever receives next gets it again. (A queue takes nothing back: it stays this receiver's, and is lost with it.)
    pub fn give_back(self) {
        match self {
            Self::Ring(message) => message.give_back(),
            Self::Queue(message) => ReceivedMessage::give_back(message),
        }
    }

    /// Acknowledges the message: it does not come again.
    pub fn release(self) {
        match self {
            Self::Ring(message) => message.release(),
            Self::Queue(message) => message.release(),
        }
    }
}

impl ReceivedMessage for ChannelMessage<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Ring(message) => message.len(),
            Self::Queue(message) => message.len(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Ring(message) => message.is_empty(),
            Self::Queue(message) => message.is_empty(),
        }
    }

    fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        match self {
            Self::Ring(message) => message.read_at(offset, buffer),
            Self::Queue(message) => message.read_at(offset, buffer),
        }
    }

    fn deliveries(&self) -> u32 {
        match self {
            Self::Ring(message) => message.deliveries(),
            Self::Queue(message) => message.deliveries(),
        }
    }

    fn release(self) {
        ChannelMessage::release(self);
    }

    fn give_back(self) {
        ChannelMessage::give_back(self);
    }
}

impl MessageSource for ChannelReceiver {
    type Message<'a> = ChannelMessage<'a>;

    fn try_receive(&mut self) -> Result<ChannelMessage<'_>, RecvError> {
        self.try_recv_in_place()
    }

    fn receive_deadline(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<ChannelMessage<'_>, RecvError> {
        self.recv_in_place_deadline(deadline)
    }

    fn is_attached(&self, sender: u64) -> Option<bool> {
        match self {
            Self::Ring(receiver) => MessageSource::is_attached(receiver, sender),
            Self::Queue(receiver) => receiver.is_attached(sender),
        }
    }

    fn wait_while_attached_deadline(&mut self, senders: &[u64], deadline: Option<Instant>) -> bool {
        match self {
            Self::Ring(receiver) => {
                MessageSource::wait_while_attached_deadline(receiver, senders, deadline)
            }
            Self::Queue(receiver) => receiver.wait_while_attached_deadline(senders, deadline),
        }
    }

    fn is_drained(&mut self) -> bool {
        match self {
            Self::Ring(receiver) => MessageSource::is_drained(receiver),
            Self::Queue(receiver) => receiver.is_drained(),
        }
    }

    fn capacity(&self) -> Option<u64> {
        match self {
            Self::Ring(receiver) => MessageSource::capacity(receiver),
            Self::Queue(receiver) => MessageSource::capacity(receiver),
        }
    }
}

impl PollSource for ChannelReceiver {
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<ChannelMessage<'_>, RecvError>> {
        self.poll_recv_in_place(context)
    }
}
