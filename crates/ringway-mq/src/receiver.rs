//! The receiving handle.

mod message;
mod polling;
mod source;
#[cfg(test)]
mod tests;

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use ringway_core::RecvError;
use ringway_core::os::fork::Origin;
use ringway_core::os::{Unshared, Unwinding, deadline_after};
use ringway_core::peer::Peer;

use crate::frame::{Header, Kind};
use message::Current;
pub use message::QueueMessage;

use crate::side::{Broken, Departure, FRAME, Got, Inlet, PAYLOAD, Taken, is_over};

/// How many things that are no messages a call passes over before it looks at the clock, or a try gives up.
const MOST_SKIPPED: u32 = 1024;

/// The receiver's handle: messages come out here.
///
/// A message that is lent ([`recv_in_place`](Self::recv_in_place)) is this handle's until it is
/// [released](QueueMessage::release): one that is dropped before is its next message again. The queue itself takes
/// nothing back. So a message that was taken out and not acknowledged is lost when the handle goes, be it by the death of
/// its process or in order.
///
/// Dropping it leaves the queue, as [`leave`](Self::leave) does: senders wait for the next receiver. To tell them that
/// nobody will receive, [`close`](Self::close). Dropping it by a panic is neither, and the senders will think that it died.
///
/// # Threads
/// A handle is for one thread at a time: it can be sent to another thread (`Send`), and not be shared with one (it is not `Sync`).
/// It is the one receiver of its queue; threads that share the work share what it receives.
///
/// ```
/// # mod ringway { pub use ringway_mq as mq; }
/// fn can_be_sent<T: Send>() {}
/// can_be_sent::<ringway::mq::QueueReceiver>();
/// ```
/// ```compile_fail,E0277
/// # mod ringway { pub use ringway_mq as mq; }
/// fn can_be_shared<T: Sync>() {}
/// can_be_shared::<ringway::mq::QueueReceiver>();
/// ```
#[derive(Debug)]
pub struct QueueReceiver {
    inlet: Box<dyn Inlet>,
    /// A type, a frame's header, a payload.
    buffer: Vec<u8>,
    /// The message in the buffer, which is taken and not acknowledged.
    pending: Option<Current>,
    /// Messages that were acknowledged.
    received: u64,
    foreign: u64,
    origin: Origin,
    has_left: bool,
    unwinding: Unwinding,
    _one_thread: Unshared,
    is_interrupted: Option<fn() -> bool>,
    follows: bool,
}

impl From<Broken> for RecvError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Removed => Self::Closed,
            Broken::Refused | Broken::TooLong { .. } => Self::Corrupt,
        }
    }
}

impl QueueReceiver {
    pub(crate) fn new(inlet: Box<dyn Inlet>, frame_len: usize, origin: Origin) -> Self {
        Self {
            inlet,
            buffer: vec![0; FRAME + frame_len],
            pending: None,
            received: 0,
            foreign: 0,
            origin,
            has_left: false,
            unwinding: Unwinding::new(),
            _one_thread: Unshared::default(),
            is_interrupted: None,
            follows: false,
        }
    }

    /// Has waits that a signal handler interrupts end with [`RecvError::TimedOut`] if `is_interrupted` says so. Without
    /// this, none returns early for a signal.
    ///
    /// It is asked before each sleep and after it. A signal that comes between the two must come again to be noticed. So a
    /// program can end without losing a message that the kernel took out of the queue just before: the call has returned
    /// it, or has taken none. The handler's action must not have `SA_RESTART`, and the signal must reach the thread that
    /// waits.
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_mq as mq; }
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// use ringway::RecvError;
    /// use ringway::mq::QueueBuilder;
    ///
    /// static ENDS: AtomicBool = AtomicBool::new(false);
    ///
    /// # let address = format!("mq:/ringway-doc-interrupt-{}", std::process::id());
    /// let queue = QueueBuilder::new(&address)?.create()?;
    /// let mut receiver = queue.receiver()?.with_interrupt(|| ENDS.load(Ordering::Relaxed));
    /// ENDS.store(true, Ordering::Relaxed); // as the handler does
    /// assert_eq!(receiver.recv(), Err(RecvError::TimedOut));
    /// # ringway::mq::remove(queue.address(), true)?;
    /// # Ok::<(), ringway::Error>(())
    /// ```
    #[must_use]
    pub fn with_interrupt(mut self, is_interrupted: fn() -> bool) -> Self {
        self.is_interrupted = Some(is_interrupted);
        self
    }

    /// Has receives that wait go on when all senders have closed or died, and wait for a message of the next one. So none
    /// of them returns [`RecvError::PeerDied`], and [`RecvError::Closed`] only if a System V queue was removed.
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_mq as mq; }
    /// use ringway::mq::QueueBuilder;
    ///
    /// # let address = format!("mq:/ringway-doc-follow-{}", std::process::id());
    /// let queue = QueueBuilder::new(&address)?.create()?;
    /// let mut receiver = queue.receiver()?.with_follow();
    /// queue.sender()?.send(b"one")?;
    /// assert_eq!(receiver.recv()?, b"one");
    /// let later = std::thread::spawn(move || queue.sender().unwrap().send(b"two"));
    /// assert_eq!(receiver.recv()?, b"two");
    /// # later.join().unwrap()?;
    /// # ringway::mq::remove(&address.parse()?, true)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_follow(mut self) -> Self {
        self.follows = true;
        self
    }

    /// Whether a wait is to end.
    fn is_over(&self, deadline: Option<Instant>) -> bool {
        is_over(deadline) || self.is_interrupted.is_some_and(|asked| asked())
    }

    /// Receives the next message if there is one now: of the highest priority, of those the oldest; in a queue without
    /// priorities, the oldest.
    ///
    /// # Errors
    /// [`RecvError::Empty`], [`RecvError::Closed`], [`RecvError::PeerDied`], [`RecvError::Corrupt`],
    /// [`RecvError::Forked`]. A System V queue that was removed is `Closed`.
    pub fn try_recv(&mut self) -> Result<Vec<u8>, RecvError> {
        self.recv_copy(None)
    }

    /// Receives the next message, waiting for it.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), but for `Empty`.
    pub fn recv(&mut self) -> Result<Vec<u8>, RecvError> {
        self.recv_copy(Some(None))
    }

    /// Receives the next message, waiting for it for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::TimedOut`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        self.recv_copy(Some(deadline_after(timeout)))
    }

    /// Receives the next message, waiting for it until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::TimedOut`].
    pub fn recv_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Vec<u8>, RecvError> {
        self.recv_copy(Some(deadline.into()))
    }

    /// Copies the next message to the start of `buffer` if there is one now, and returns its length.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), and [`RecvError::BufferTooSmall`]; then it is this handle's next message still.
    pub fn try_recv_into(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.copy_into(buffer, None)
    }

    /// Copies the next message to the start of `buffer`, waiting for it, and returns its length.
    ///
    /// # Errors
    /// As [`try_recv_into`](Self::try_recv_into), but for `Empty`.
    pub fn recv_into(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.copy_into(buffer, Some(None))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into), and [`RecvError::TimedOut`].
    pub fn recv_into_timeout(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<usize, RecvError> {
        self.copy_into(buffer, Some(deadline_after(timeout)))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into), and [`RecvError::TimedOut`].
    pub fn recv_into_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<usize, RecvError> {
        self.copy_into(buffer, Some(deadline.into()))
    }

    /// Receives the next message if there is one now, and lends it.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_in_place(&mut self) -> Result<QueueMessage<'_>, RecvError> {
        self.lend(None)
    }

    /// Receives the next message, waiting for it, and lends it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_in_place(&mut self) -> Result<QueueMessage<'_>, RecvError> {
        self.lend(Some(None))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_in_place_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<QueueMessage<'_>, RecvError> {
        self.lend(Some(deadline_after(timeout)))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline).
    pub fn recv_in_place_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<QueueMessage<'_>, RecvError> {
        self.lend(Some(deadline.into()))
    }

    fn recv_copy(&mut self, until: Option<Option<Instant>>) -> Result<Vec<u8>, RecvError> {
        self.lend(until).map(QueueMessage::into_vec)
    }

    fn lend(&mut self, until: Option<Option<Instant>>) -> Result<QueueMessage<'_>, RecvError> {
        let current = self.take(until)?;
        Ok(self.message(current))
    }

    /// Receives the next message, waiting for it, and lends it to `work`; acknowledges it if that returns `Ok`. If it
    /// returns an error, or panics, the message is this handle's next one again.
    ///
    /// # Errors
    /// As [`recv`](Self::recv); those of `work` are inside.
    pub fn process<T, E>(
        &mut self,
        work: impl FnOnce(&QueueMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        self.process_until(Some(None), work)
    }

    /// The same with a message that is there now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv); those of `work` are inside.
    pub fn try_process<T, E>(
        &mut self,
        work: impl FnOnce(&QueueMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        self.process_until(None, work)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout); those of `work` are inside.
    pub fn process_timeout<T, E>(
        &mut self,
        timeout: Duration,
        work: impl FnOnce(&QueueMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        self.process_until(Some(deadline_after(timeout)), work)
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline); those of `work` are inside.
    pub fn process_deadline<T, E>(
        &mut self,
        deadline: impl Into<Option<Instant>>,
        work: impl FnOnce(&QueueMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        self.process_until(Some(deadline.into()), work)
    }

    fn process_until<T, E>(
        &mut self,
        until: Option<Option<Instant>>,
        work: impl FnOnce(&QueueMessage<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        let message = self.lend(until)?;
        let done = work(&message);
        if done.is_ok() {
            message.release();
        }
        Ok(done)
    }

    fn copy_into(
        &mut self,
        buffer: &mut [u8],
        until: Option<Option<Instant>>,
    ) -> Result<usize, RecvError> {
        let current = self.take(until)?;
        let Some(room) = buffer.get_mut(..current.len) else {
            self.pending = Some(current);
            return Err(RecvError::BufferTooSmall { len: current.len });
        };
        room.copy_from_slice(self.payload(current));
        self.received += 1;
        Ok(current.len)
    }

    fn message(&mut self, mut current: Current) -> QueueMessage<'_> {
        current.deliveries = current.deliveries.saturating_add(1);
        // Until it is released.
        self.pending = Some(current);
        QueueMessage {
            receiver: self,
            current,
        }
    }

    fn payload(&self, current: Current) -> &[u8] {
        let payload = self.buffer.get(PAYLOAD..).unwrap_or_default();
        payload.get(..current.len).unwrap_or_default()
    }

    /// The next message, into the buffer. `until`: to wait, and how long.
    #[inline]
    fn take(&mut self, until: Option<Option<Instant>>) -> Result<Current, RecvError> {
        if self.origin.is_forked() {
            return Err(RecvError::Forked);
        }
        if let Some(current) = self.pending.take() {
            return Ok(current);
        }
        let got = self.inlet.get(&mut self.buffer)?;
        if let Got::Frame(taken) = got
            && let Some(current) = self.accept(taken)
        {
            return Ok(current);
        }
        self.wait_and_take(until, matches!(got, Got::Nothing))
    }

    /// `was_empty`: nothing was there just now.
    #[cold]
    fn wait_and_take(
        &mut self,
        until: Option<Option<Instant>>,
        mut was_empty: bool,
    ) -> Result<Current, RecvError> {
        // Whether a look since the last frame has found an end: what was sent before that look is received when
        // there is nothing now.
        let mut has_ended = false;
        // Whoever may write to the queue can put in without end what is no message.
        let mut skipped = 0;
        loop {
            let mut got = match std::mem::take(&mut was_empty) {
                true => Got::Nothing,
                false => self.inlet.get(&mut self.buffer)?,
            };
            if matches!(got, Got::Nothing) {
                let is_over = until.is_none_or(|deadline| self.is_over(deadline));
                match (self.inlet.peer(is_over), until) {
                    (Peer::Closed | Peer::Died, Some(deadline)) if self.follows && !is_over => {
                        got = self.inlet.sleep(&mut self.buffer, deadline)?;
                    }
                    (Peer::Closed | Peer::Died, Some(_)) if self.follows => {
                        return Err(RecvError::TimedOut);
                    }
                    (Peer::Closed, _) if has_ended => return Err(RecvError::Closed),
                    (Peer::Died, _) if has_ended => return Err(RecvError::PeerDied),
                    (Peer::Closed | Peer::Died, _) => {
                        has_ended = true;
                        continue;
                    }
                    (_, None) => return Err(RecvError::Empty),
                    (_, Some(_)) if is_over => return Err(RecvError::TimedOut),
                    (_, Some(deadline)) => {
                        has_ended = false;
                        got = self.inlet.sleep(&mut self.buffer, deadline)?;
                    }
                }
            }
            match got {
                Got::Frame(taken) => {
                    has_ended = false;
                    if let Some(current) = self.accept(taken) {
                        return Ok(current);
                    }
                }
                Got::Notice => {}
                Got::Nothing => continue,
            }
            skipped += 1;
            if skipped >= MOST_SKIPPED {
                match until {
                    None => return Err(RecvError::Empty),
                    Some(deadline) if self.is_over(deadline) => return Err(RecvError::TimedOut),
                    Some(_) => {}
                }
            }
        }
    }

    /// The message in a frame, if it has one.
    #[inline]
    fn accept(&mut self, taken: Taken) -> Option<Current> {
        let frame = self.buffer.get(FRAME..)?.get(..taken.len)?;
        let Ok((header, payload)) = Header::decode(frame) else {
            self.foreign += 1;
            return None;
        };
        let len = payload.len();
        self.inlet.note(&header);
        (header.kind == Kind::Data).then(|| Current {
            len,
            priority: taken.priority,
            sender: header.sender.get(),
            deliveries: 0,
        })
    }

    /// What is known of the senders together: alive if any is; else died if one died and nobody took its place; else
    /// closed if any closed. There may be messages all the same.
    pub fn peer(&mut self) -> Peer {
        self.inlet.peer(true)
    }

    /// Waits until a sender is attached.
    ///
    /// # Errors
    /// [`RecvError::Corrupt`], [`RecvError::Forked`].
    pub fn wait_for_peer(&mut self) -> Result<(), RecvError> {
        self.wait_for_peer_deadline(None)
    }

    /// Waits until a sender is attached, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait_for_peer`](Self::wait_for_peer), and [`RecvError::TimedOut`].
    pub fn wait_for_peer_timeout(&mut self, timeout: Duration) -> Result<(), RecvError> {
        self.wait_for_peer_deadline(deadline_after(timeout))
    }

    /// Waits until a sender is attached, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_for_peer`](Self::wait_for_peer), and [`RecvError::TimedOut`].
    pub fn wait_for_peer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), RecvError> {
        let deadline = deadline.into();
        if self.origin.is_forked() {
            return Err(RecvError::Forked);
        }
        loop {
            let is_over = is_over(deadline);
            match self.inlet.peer(true) {
                Peer::Alive => return Ok(()),
                _ if is_over => return Err(RecvError::TimedOut),
                _ => self.inlet.sleep_for_peer(deadline)?,
            }
        }
    }

    /// A descriptor that is readable while there are messages (POSIX), for `poll`, `epoll` and the like. It must not be
    /// read. System V queues have none.
    ///
    /// It becomes readable for a sender's closing, not for its death; who wants to know of that asks
    /// [`try_recv`](Self::try_recv). After a receive that waited, it may be readable once with nothing to receive. Of a
    /// message that was given back it knows nothing.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inlet.descriptor()
    }

    /// Messages that this handle has received and acknowledged.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// What was in the queue and came from nobody of ringway's: skipped.
    pub fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Leaves, and refuses further messages until another receiver attaches: a sender that finds no room gets
    /// [`SendError::Closed`](ringway_core::SendError::Closed). Messages stay in the queue.
    pub fn close(mut self) {
        self.depart(Departure::Close);
    }

    /// Leaves: the next receiver goes on with the next message, and senders wait for it. The same as dropping the
    /// handle.
    pub fn leave(self) {}

    fn depart(&mut self, how: Departure) {
        if !self.has_left && !self.origin.is_forked() {
            self.has_left = true;
            self.inlet.depart(how);
        }
    }
}

impl Drop for QueueReceiver {
    fn drop(&mut self) {
        self.depart(match self.unwinding.has_begun() {
            true => Departure::Abandon,
            false => Departure::Leave,
        });
    }
}
