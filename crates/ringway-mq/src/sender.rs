//! The sending handle.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_core::SendError;
use ringway_core::os::fork::Origin;
use ringway_core::os::{Unshared, Unwinding, deadline_after};
use ringway_core::peer::Peer;
use ringway_core::transport::{MessageRoom, MessageSink, PollSink};

use crate::frame::{HEADER_LEN, Header};
use crate::lull;
use crate::options::MAX_PRIORITY;
use crate::side::{Broken, Departure, FRAME, Outlet, PAYLOAD, is_over};

/// A sender's handle: messages go in here.
///
/// Dropping it closes it, as [`close`](Self::close) does; dropping it by a panic does not, and the receiver will
/// think that it died.
///
/// # Threads
/// A handle is for one thread at a time: it can be sent to another thread (`Send`), and not be shared with one (it is not `Sync`).
/// Each handle is one of the senders that the queue has place for. Threads that send side by side have a handle each, from the
/// [`Queue`](crate::Queue), which is `Sync`.
///
/// ```
/// # mod ringway { pub use ringway_mq as mq; }
/// fn can_be_sent<T: Send>() {}
/// can_be_sent::<ringway::mq::QueueSender>();
/// ```
/// ```compile_fail,E0277
/// # mod ringway { pub use ringway_mq as mq; }
/// fn can_be_shared<T: Sync>() {}
/// can_be_shared::<ringway::mq::QueueSender>();
/// ```
#[derive(Debug)]
pub struct QueueSender {
    outlet: Box<dyn Outlet>,
    header: Header,
    /// A type, a frame's header, a payload.
    buffer: Vec<u8>,
    max_len: usize,
    has_priorities: bool,
    sent: u64,
    origin: Origin,
    has_left: bool,
    unwinding: Unwinding,
    _one_thread: Unshared,
    /// Before a sleep.
    tries: u32,
}

impl From<Broken> for SendError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Removed => Self::Closed,
            Broken::Refused | Broken::TooLong { .. } => Self::Corrupt,
        }
    }
}

impl QueueSender {
    pub(crate) fn new(
        outlet: Box<dyn Outlet>,
        header: Header,
        max_len: usize,
        has_priorities: bool,
        origin: Origin,
    ) -> Self {
        let mut buffer = Vec::with_capacity(PAYLOAD + max_len);
        buffer.resize(FRAME, 0);
        buffer.extend(header.encode());
        Self {
            outlet,
            header,
            buffer,
            max_len,
            has_priorities,
            sent: 0,
            origin,
            has_left: false,
            unwinding: Unwinding::new(),
            _one_thread: Unshared::default(),
            tries: lull::tries(),
        }
    }

    /// Sends a copy of `message` if there is room now. An empty message is a message.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::TooLarge`], [`SendError::Closed`], [`SendError::PeerDied`],
    /// [`SendError::Corrupt`], [`SendError::Forked`]. `Closed` and `PeerDied` only if there is no room: unlike a
    /// ring, a queue takes messages as long as it has room; but a System V queue that was removed is `Closed`.
    /// `TooLarge` names the longest message; what is longer goes in pieces, by chunking.
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.try_send_with_priority(message, 0)
    }

    /// Sends a copy of `message`, waiting for room.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for `Full`.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.send_copy(message, 0, Some(None))
    }

    /// Sends a copy of `message`, waiting for room for at most `timeout`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::TimedOut`].
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_copy(message, 0, Some(deadline_after(timeout)))
    }

    /// Sends a copy of `message`, waiting for room until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::TimedOut`].
    #[inline]
    pub fn send_deadline(
        &mut self,
        message: &[u8],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        self.send_copy(message, 0, Some(deadline.into()))
    }

    /// Sends a copy of `message` if there is room now, to be received before all messages of a lower priority. One
    /// above [`MAX_PRIORITY`] is that.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), and [`SendError::NoPriorities`] for a priority above 0 in a queue without.
    #[inline]
    pub fn try_send_with_priority(
        &mut self,
        message: &[u8],
        priority: u32,
    ) -> Result<(), SendError> {
        self.send_copy(message, priority, None)
    }

    /// Sends a copy of `message`, to be received before all messages of a lower priority, waiting for room.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::NoPriorities`] for a priority above 0 in a queue without.
    #[inline]
    pub fn send_with_priority(&mut self, message: &[u8], priority: u32) -> Result<(), SendError> {
        self.send_copy(message, priority, Some(None))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`send_with_priority`](Self::send_with_priority), and [`SendError::TimedOut`].
    pub fn send_with_priority_timeout(
        &mut self,
        message: &[u8],
        priority: u32,
        timeout: Duration,
    ) -> Result<(), SendError> {
        self.send_copy(message, priority, Some(deadline_after(timeout)))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`send_with_priority`](Self::send_with_priority), and [`SendError::TimedOut`].
    #[inline]
    pub fn send_with_priority_deadline(
        &mut self,
        message: &[u8],
        priority: u32,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        self.send_copy(message, priority, Some(deadline.into()))
    }

    /// `until`: to wait, and until when.
    #[inline]
    fn send_copy(
        &mut self,
        message: &[u8],
        priority: u32,
        until: Option<Option<Instant>>,
    ) -> Result<(), SendError> {
        self.check_priority(priority)?;
        self.load(&[IoSlice::new(message)])?;
        self.put(priority, until)
    }

    #[inline]
    fn check_priority(&self, priority: u32) -> Result<(), SendError> {
        match priority > 0 && !self.has_priorities {
            true => Err(SendError::NoPriorities),
            false => Ok(()),
        }
    }

    /// Writes a message into the buffer, behind the header.
    #[inline]
    fn load(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        let len = parts
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        self.check(len)?;
        self.buffer.truncate(PAYLOAD);
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        Ok(())
    }

    /// Whether a message of `len` bytes may be sent.
    #[inline]
    fn check(&self, len: usize) -> Result<(), SendError> {
        if self.is_forked() {
            return Err(SendError::Forked);
        }
        let max = self.max_len;
        match len > max {
            true => Err(SendError::TooLarge { len, max }),
            false => Ok(()),
        }
    }

    /// Puts the message in the buffer into the queue. `until`: to wait for room, and until when.
    #[inline]
    fn put(&mut self, priority: u32, until: Option<Option<Instant>>) -> Result<(), SendError> {
        match (self.is_put(priority)?, until) {
            (true, _) => Ok(()),
            (false, Some(deadline)) => self.wait_to_put(priority, deadline),
            (false, None) => Err(match self.outlet.peer(true) {
                Peer::Closed => SendError::Closed,
                Peer::Died => SendError::PeerDied,
                Peer::Absent | Peer::Alive => SendError::Full,
            }),
        }
    }

    #[cold]
    fn wait_to_put(&mut self, priority: u32, deadline: Option<Instant>) -> Result<(), SendError> {
        for _ in 0..self.tries {
            lull::pause();
            if self.is_put(priority)? {
                return Ok(());
            }
        }
        self.outlet.begin_wait()?;
        let outcome = self.put_in_the_end(priority, deadline);
        self.outlet.end_wait();
        outcome
    }

    fn put_in_the_end(
        &mut self,
        priority: u32,
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        while !self.is_put(priority)? {
            let is_over = is_over(deadline);
            match self.outlet.peer(is_over) {
                Peer::Closed => return Err(SendError::Closed),
                Peer::Died => return Err(SendError::PeerDied),
                Peer::Absent | Peer::Alive if is_over => return Err(SendError::TimedOut),
                Peer::Absent | Peer::Alive => self.outlet.sleep(deadline)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn is_put(&mut self, priority: u32) -> Result<bool, SendError> {
        let priority = priority.min(MAX_PRIORITY);
        match self.outlet.put(&mut self.buffer, priority) {
            Ok(is_put) => {
                self.sent += u64::from(is_put);
                Ok(is_put)
            }
            Err(Broken::TooLong { most }) => Err(SendError::TooLarge {
                len: self.buffer.len().saturating_sub(PAYLOAD),
                max: most.saturating_sub(HEADER_LEN),
            }),
            Err(broken) => Err(broken.into()),
        }
    }

    /// As [`send`](Self::send), for a task: if there is no room, the task is woken when it is worth calling again, by a thread of this
    /// handle's that sleeps for it. A future that is dropped has sent nothing.
    ///
    /// For POSIX queues only: of System V queues no system call that could be left waits for room, and these say
    /// [`SendError::NoWaiter`].
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::NoWaiter`].
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        message: &[u8],
    ) -> Poll<Result<(), SendError>> {
        self.poll_send_with_priority(context, message, 0)
    }

    /// As [`send_with_priority`](Self::send_with_priority), for a task.
    ///
    /// # Errors
    /// As [`poll_send`](Self::poll_send), and [`SendError::NoPriorities`].
    pub fn poll_send_with_priority(
        &mut self,
        context: &mut Context<'_>,
        message: &[u8],
        priority: u32,
    ) -> Poll<Result<(), SendError>> {
        self.check_priority(priority)?;
        self.poll_put(context, &[IoSlice::new(message)], priority)
    }

    fn poll_put(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        priority: u32,
    ) -> Poll<Result<(), SendError>> {
        self.load(parts)?;
        match self.put(priority, None) {
            Err(SendError::Full) => {}
            done => return Poll::Ready(done),
        }
        if let Err(errno) = self.outlet.arm(context.waker()) {
            let errno = errno as i32;
            return Poll::Ready(Err(SendError::NoWaiter { errno }));
        }
        // What came before that is found now, and what comes later wakes.
        match self.put(priority, None) {
            Err(SendError::Full) => Poll::Pending,
            done => Poll::Ready(done),
        }
    }

    /// A descriptor that is writable while there is room (POSIX), for `poll`, `epoll` and the like. It must not be written. System V
    /// queues have none.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.outlet.descriptor()
    }

    /// What is known of the receiver.
    pub fn peer(&mut self) -> Peer {
        self.outlet.peer(true)
    }

    /// Waits until a receiver is attached.
    ///
    /// # Errors
    /// [`SendError::Corrupt`], [`SendError::Forked`].
    pub fn wait_for_peer(&mut self) -> Result<(), SendError> {
        self.wait_for_peer_deadline(None)
    }

    /// Waits until a receiver is attached, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait_for_peer`](Self::wait_for_peer), and [`SendError::TimedOut`].
    pub fn wait_for_peer_timeout(&mut self, timeout: Duration) -> Result<(), SendError> {
        self.wait_for_peer_deadline(deadline_after(timeout))
    }

    /// Waits until a receiver is attached, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_for_peer`](Self::wait_for_peer), and [`SendError::TimedOut`].
    pub fn wait_for_peer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        let deadline = deadline.into();
        if self.is_forked() {
            return Err(SendError::Forked);
        }
        loop {
            let is_over = is_over(deadline);
            match self.outlet.peer(true) {
                Peer::Alive => return Ok(()),
                _ if is_over => return Err(SendError::TimedOut),
                _ => self.outlet.sleep_for_peer(deadline)?,
            }
        }
    }

    /// Messages that this handle has sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The number by which receivers know this sender: not 0, and no other's before the machine is started again.
    pub fn id(&self) -> u64 {
        self.header.sender.get()
    }

    /// Leaves, and ends the stream if this is the last sender: the receiver gets all that was sent, and then
    /// [`RecvError::Closed`](ringway_core::RecvError::Closed), until the next sender comes. The same as dropping the handle.
    ///
    /// A POSIX queue takes that as one more message. If it is full, this waits for room as long as another process is
    /// attached as its receiver. Without a receiver, one that comes later takes a sender that found no room
    /// for dead.
    pub fn close(self) {}

    /// Closes, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`SendError::TimedOut`]: it is closed, but the receiver could not be told, and will take it for dead.
    pub fn close_timeout(self, timeout: Duration) -> Result<(), SendError> {
        self.close_deadline(deadline_after(timeout))
    }

    /// Closes, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`close_timeout`](Self::close_timeout).
    pub fn close_deadline(mut self, deadline: impl Into<Option<Instant>>) -> Result<(), SendError> {
        match self.depart(Departure::Close, deadline.into())? {
            true => Ok(()),
            false => Err(SendError::TimedOut),
        }
    }

    /// Leaves without ending the stream: the receiver waits for the next sender. If this is the last one to leave, that is
    /// so whatever those before it did. Waits as [`close`](Self::close).
    pub fn leave(mut self) {
        // The handle ends either way.
        let _ = self.depart(Departure::Leave, None);
    }

    fn depart(&mut self, how: Departure, deadline: Option<Instant>) -> Result<bool, Broken> {
        if self.has_left || self.is_forked() {
            return Ok(true);
        }
        self.has_left = true;
        self.outlet.depart(how, deadline)
    }

    #[inline]
    fn is_forked(&self) -> bool {
        self.origin.is_forked()
    }
}

impl Drop for QueueSender {
    fn drop(&mut self) {
        let how = match self.unwinding.has_begun() {
            true => Departure::Abandon,
            false => Departure::Close,
        };
        let _ = self.depart(how, None);
    }
}

impl MessageSink for QueueSender {
    fn max_message_len(&self) -> usize {
        self.max_len
    }

    fn sender_id(&self) -> u64 {
        self.id()
    }

    fn is_shared_out(&self) -> bool {
        false
    }

    fn try_send_parts(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        self.load(parts)?;
        self.put(0, None)
    }

    fn send_parts_deadline(
        &mut self,
        parts: &[IoSlice<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        self.load(parts)?;
        self.put(0, Some(deadline))
    }

    fn send_with_deadline(
        &mut self,
        len: usize,
        deadline: Option<Instant>,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        self.check(len)?;
        self.buffer.resize(PAYLOAD + len, 0);
        write(&mut &mut self.buffer[PAYLOAD..]);
        self.put(0, Some(deadline))
    }
}

impl PollSink for QueueSender {
    fn poll_send_parts(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<(), SendError>> {
        self.poll_put(context, parts, 0)
    }
}
