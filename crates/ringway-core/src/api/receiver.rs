//! The receiving handle.

mod peers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::api::detached::ConsumerSlot;
use crate::api::known::Known;
use crate::api::message::{Backlog, Message};
use crate::api::reach::Reach;
use crate::api::receiving::Receiving;
use crate::api::threads::Unshared;
use crate::api::view::MessageView;
use crate::error::{Error, RecvError};
use crate::memory::region::{Load, Region};
use crate::presence::Outlook;
use crate::rings::message::MessageRef;
use crate::sys::unwinding::Unwinding;
use crate::waiting::interrupt::{self, Interrupter};
use crate::waiting::{WaitOptions, WaitStrategy, deadline_after};

/// The consumer's handle: messages come out here.
///
/// A message is the consumer's until it is acknowledged, which is to release it: [`recv`](Self::recv) and
/// [`recv_into`](Self::recv_into) do so when they have copied it, [`process`](Self::process) when the caller's work
/// has succeeded, and who [receives in place](Self::recv_in_place) does so by [`Message::release`]. If the message is dropped or
/// the process dies before, the next receive gets it again, be it this consumer's or another one's.
///
/// # Leaving
/// Dropping the handle leaves the ring, and refuses nothing; the next consumer goes on with the next message.
///
/// | the last consumer ends by | a sender is told |
/// |---|---|
/// | a drop, [`leave`](Self::leave) | nothing: it sends while there is room, and waits |
/// | [`close`](Self::close) | [`Closed`](crate::SendError::Closed), until the next consumer comes |
/// | death, a drop by a panic that began while the handle lived | [`PeerDied`](crate::SendError::PeerDied), when there is no room |
///
/// [`RecvError::Closed`] and [`RecvError::PeerDied`] are no ends of the ring: the next producer opens it again, and
/// [`wait_for_peer`](Self::wait_for_peer) waits for it.
///
/// # Threads
/// A handle is for one thread at a time: it can be sent to another thread (`Send`), and not be shared with one (it is not `Sync`).
/// Each handle is a participant of its own and holds one slot of the ring. Threads that receive side by side have a handle each, from
/// clones of the [`Ring`](crate::Ring), which is `Sync`; the ring's [`Kind`](crate::Kind) says how many there can be.
///
/// ```
/// # use ringway_core as ringway;
/// fn can_be_sent<T: Send>() {}
/// can_be_sent::<ringway::Receiver>();
/// ```
/// ```compile_fail,E0277
/// # use ringway_core as ringway;
/// fn can_be_shared<T: Sync>() {}
/// can_be_shared::<ringway::Receiver>();
/// ```
///
/// # In signal handlers
/// In a ring of sync [`Futex`](crate::SyncKind::Futex) without [slab segments](crate::Builder::slab_segments),
/// [`try_recv_into`](Self::try_recv_into) is async-signal-safe, as [`Sender`](crate::Sender#in-signal-handlers)'s
/// `try_send` is: the handler may have interrupted anything but a call on this very handle. In other rings it is not.
#[derive(Debug)]
pub struct Receiver {
    /// On lines of its own, as of a [`Sender`](crate::Sender).
    pub(super) receiving: CachePadded<Receiving>,
    /// Held until this consumer has left its messages in order.
    consumer_slot: Option<Arc<ConsumerSlot>>,
    /// What the ring tells of the participants.
    pub(super) known: Known,
    /// How this one sees them.
    outlook: Outlook,
    /// How a blocking call waits, which has no deadline of its own.
    pub(super) wait: WaitOptions<'static>,
    pub(super) reach: Reach,
    unwinding: Unwinding,
    _one_thread: Unshared,
}

impl Receiver {
    pub(crate) fn new(
        receiving: Receiving,
        consumer_slot: ConsumerSlot,
        known: Known,
        reach: Reach,
    ) -> Self {
        Self {
            receiving: CachePadded::new(receiving),
            outlook: consumer_slot.outlook(),
            consumer_slot: Some(Arc::new(consumer_slot)),
            known,
            wait: WaitOptions::new(WaitStrategy::default()),
            reach,
            unwinding: Unwinding::new(),
            _one_thread: Unshared::default(),
        }
    }

    #[inline]
    pub(super) fn message(&mut self, found: MessageRef) -> Message<'_> {
        Message::new(&mut self.receiving, self.consumer_slot.as_ref(), found)
    }

    /// How blocked calls of this handle wait.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, WaitStrategy};
    ///
    /// let receiver = Builder::new("memfd:")?.create()?.receiver()?.with_wait(WaitStrategy::Park);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    #[must_use]
    pub fn with_wait(mut self, wait: WaitStrategy) -> Self {
        self.wait.how = wait;
        self
    }

    /// Receives the next message if there is one now.
    ///
    /// Where many send, `Empty` can be said although a later `send` has returned: as long as an earlier claim is not
    /// committed, nothing that lies behind it comes ([`RecvError::Empty`]).
    ///
    /// # Errors
    /// [`RecvError::Empty`], [`RecvError::Closed`], [`RecvError::PeerDied`], [`RecvError::Unmapped`],
    /// [`RecvError::Corrupt`], [`RecvError::Forked`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, RecvError};
    ///
    /// let mut receiver = Builder::new("memfd:")?.create()?.receiver()?;
    /// assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn try_recv(&mut self) -> Result<Vec<u8>, RecvError> {
        let found = self.receiving.take(1, None)?;
        Ok(self.message(found).into_vec())
    }

    /// Receives the next message, waiting for it.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), but for `Empty`, and [`RecvError::Removed`].
    pub fn recv(&mut self) -> Result<Vec<u8>, RecvError> {
        let found = self.receiving.take(1, Some(&self.wait))?;
        Ok(self.message(found).into_vec())
    }

    /// Receives the next message, waiting for it for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::TimedOut`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::RecvError;
    /// use std::time::Duration;
    ///
    /// let mut receiver = ringway::Builder::new("memfd:")?.create()?.receiver()?;
    /// assert_eq!(receiver.recv_timeout(Duration::from_millis(1)), Err(RecvError::TimedOut));
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        self.recv_deadline(deadline_after(timeout))
    }

    /// Receives the next message, waiting for it until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::TimedOut`].
    pub fn recv_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Vec<u8>, RecvError> {
        let wait = self.wait.until(deadline.into());
        let found = self.receiving.take(1, Some(&wait))?;
        Ok(self.message(found).into_vec())
    }

    /// Copies the next message to the start of `buffer` if there is one now, and returns its length.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), and [`RecvError::BufferTooSmall`], which releases nothing.
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.receiving.recv_into(buffer, None)
    }

    /// Copies the next message to the start of `buffer` in the usual case: there is one, it fits, and nothing stands in the way. `None`: nothing was
    /// done, and another verb says why. For the bindings of other languages, whose verbs begin with it.
    #[doc(hidden)]
    #[inline]
    pub fn recv_into_at_once(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.receiving.recv_at_once(buffer)
    }

    /// The same, for the usual ring too, as of a [`Sender`](crate::Sender).
    #[doc(hidden)]
    #[inline(always)]
    pub fn recv_into_at_once_from_stream(&mut self, buffer: &mut [u8]) -> Option<usize> {
        match &mut *self.receiving {
            Receiving::Stream(consumer) => consumer.recv_at_once(buffer),
            Receiving::Cells(_) | Receiving::Broadcast(_) => None,
        }
    }

    /// Copies the next message to the start of `buffer`, waiting for it, and returns its length.
    ///
    /// # Errors
    /// As [`try_recv_into`](Self::try_recv_into), but for `Empty`, and [`RecvError::Removed`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// ring.sender()?.send(b"hello")?;
    /// let mut buffer = [0; 64];
    /// let len = ring.receiver()?.recv_into(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.receiving.recv_into(buffer, Some(&self.wait))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into), and [`RecvError::TimedOut`].
    #[inline]
    pub fn recv_into_timeout(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<usize, RecvError> {
        self.recv_into_deadline(buffer, deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into), and [`RecvError::TimedOut`].
    #[inline]
    pub fn recv_into_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<usize, RecvError> {
        let wait = self.wait.until(deadline.into());
        self.receiving.recv_into(buffer, Some(&wait))
    }

    /// Borrows the next message in place if there is one now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    #[inline]
    pub fn try_recv_in_place(&mut self) -> Result<Message<'_>, RecvError> {
        let found = match self.receiving.take_at_once() {
            Some(found) => found,
            None => self.receiving.take_otherwise(None)?,
        };
        Ok(self.message(found))
    }

    /// Borrows the next message in place, waiting for it. While it is held, it keeps the room of those behind it, too
    /// ([`SendError::Full`](crate::SendError::Full)).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// ring.sender()?.send(b"hello")?;
    /// let mut receiver = ring.receiver()?;
    /// let message = receiver.recv_in_place()?;
    /// let mut first = [0; 1];
    /// message.read_at(0, &mut first);
    /// assert_eq!((first, message.len()), (*b"h", 5));
    /// message.release();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn recv_in_place(&mut self) -> Result<Message<'_>, RecvError> {
        let found = match self.receiving.take_at_once() {
            Some(found) => found,
            None => self.receiving.take_otherwise(Some(&self.wait))?,
        };
        Ok(self.message(found))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    #[inline]
    pub fn recv_in_place_timeout(&mut self, timeout: Duration) -> Result<Message<'_>, RecvError> {
        self.recv_in_place_deadline(deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline).
    #[inline]
    pub fn recv_in_place_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Message<'_>, RecvError> {
        let wait = self.wait.until(deadline.into());
        let found = self.receiving.take_otherwise(Some(&wait))?;
        Ok(self.message(found))
    }

    /// Receives the next message, waiting for it, and lends it to `work`; acknowledges it if that returns `Ok`. If it
    /// returns an error, or panics, the message is given back, and whoever receives next gets it again.
    ///
    /// # Errors
    /// As [`recv`](Self::recv). What `work` returns is inside.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// ring.sender()?.send(b"7")?;
    /// let mut receiver = ring.receiver()?;
    /// let failed = receiver.process(|message| match message.len() {
    ///     1 => Err("no time now"),
    ///     _ => Ok(()),
    /// });
    /// assert_eq!(failed, Ok(Err("no time now")));
    /// // So it comes again.
    /// let number: u64 = receiver.process(|message| String::from_utf8_lossy(&message.to_vec()).parse())??;
    /// assert_eq!(number, 7);
    /// assert!(receiver.try_recv().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process<T, E>(
        &mut self,
        work: impl FnOnce(&Message<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        self.recv_in_place().map(|message| message.process(work))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout). What `work` returns is inside.
    pub fn process_timeout<T, E>(
        &mut self,
        timeout: Duration,
        work: impl FnOnce(&Message<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        self.process_deadline(deadline_after(timeout), work)
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline). What `work` returns is inside.
    pub fn process_deadline<T, E>(
        &mut self,
        deadline: impl Into<Option<Instant>>,
        work: impl FnOnce(&Message<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        let message = self.recv_in_place_deadline(deadline)?;
        Ok(message.process(work))
    }

    /// The same with a message that is there now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv). What `work` returns is inside.
    pub fn try_process<T, E>(
        &mut self,
        work: impl FnOnce(&Message<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, RecvError> {
        self.try_recv_in_place()
            .map(|message| message.process(work))
    }

    /// Shows up to `most` messages that are there now to `each`, in order, and releases them together
    /// at the end. Returns how many, which are acknowledged. If `each` panics, none is released.
    ///
    /// A message that cannot be received ends it: those before it are shown and acknowledged, and the next call fails,
    /// as it then is the first one ([`skip_unreadable`](Self::skip_unreadable) passes it over).
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), if there is no message, or the first one cannot be received: none was shown. Only
    /// of a segment that turns out to be [corrupt](RecvError::Corrupt) when they are released can messages have been
    /// shown that are not acknowledged.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// sender.send(b"one")?;
    /// sender.send(b"three")?;
    /// let mut bytes = 0;
    /// assert_eq!(receiver.drain(100, |message| bytes += message.len())?, 2);
    /// assert_eq!(bytes, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn drain(
        &mut self,
        most: usize,
        mut each: impl FnMut(MessageView<'_>),
    ) -> Result<usize, RecvError> {
        if most == 0 {
            return Ok(0);
        }
        let mut backlog = Backlog::new(&mut self.receiving, Some(most as u64));
        while backlog.count() < most as u64 {
            let is_first = backlog.count() == 0;
            match backlog.next_message() {
                Ok(Some(message)) => each(message),
                Ok(None) if is_first => return Err(RecvError::Empty),
                Err(error) if is_first => return Err(error),
                Ok(None) | Err(_) => break,
            }
        }
        // What was shown was whole, whatever comes behind it: what that is, the next call tells.
        match backlog.release() {
            0 => Err(RecvError::Corrupt),
            count => Ok(count as usize),
        }
    }

    /// Acknowledges the next message unread if it lies in a slab that this process cannot map
    /// ([`RecvError::Unmapped`]), and returns whether that was so: it is lost, and its slab is free again. A message
    /// that can be read stays the next one. So who shares the messages with others loses none that it did not mean.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), if there is no message.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// ring.sender()?.send(b"readable")?;
    /// let mut receiver = ring.receiver()?;
    /// assert!(!receiver.skip_unreadable()?);
    /// assert_eq!(receiver.recv()?, b"readable");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn skip_unreadable(&mut self) -> Result<bool, RecvError> {
        self.receiving.skip_unreadable()
    }

    /// Begins to look at messages that are there now, in order, and to release them together when they
    /// are done with: written to a file, say.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// sender.send(b"one")?;
    /// sender.send(b"two")?;
    /// let mut backlog = receiver.backlog();
    /// while let Some(message) = backlog.next_message()? {
    ///     println!("{}", String::from_utf8_lossy(&message.to_vec()));
    /// }
    /// assert_eq!(backlog.release(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backlog(&mut self) -> Backlog<'_> {
        Backlog::new(&mut self.receiving, None)
    }

    /// Waits until there is a message. [`drain`](Self::drain) then finds at least one.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn wait(&mut self) -> Result<(), RecvError> {
        self.receiving.ready_until(&self.wait)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<(), RecvError> {
        self.receiving.ready_until(&self.wait.within(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline).
    pub fn wait_deadline(&mut self, deadline: impl Into<Option<Instant>>) -> Result<(), RecvError> {
        self.receiving
            .ready_until(&self.wait.until(deadline.into()))
    }

    /// Who can end a call of this handle that waits. It then returns [`RecvError::Interrupted`], and nothing is received.
    /// ([`wait_while_attached`](Self::wait_while_attached), which tells nothing, returns early, and leaves that to the next call.)
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::RecvError;
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// sender.send(b"one")?;
    /// receiver.interrupter().interrupt();
    /// assert_eq!(receiver.recv()?, b"one"); // need not wait
    /// assert_eq!(receiver.recv(), Err(RecvError::Interrupted));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn interrupter(&mut self) -> Interrupter {
        self.reach.interrupter(self.receiving.region())
    }

    /// As [`Ring::is_removed`](crate::Ring::is_removed).
    ///
    /// # Errors
    /// The same.
    pub fn is_removed(&self) -> Result<bool, Error> {
        self.known.is_removed()
    }

    /// Whether an interruption waits for a call to end.
    pub(crate) fn is_interrupted(&self) -> bool {
        let flag = self.receiving.region().interrupted();
        flag.is_some_and(interrupt::is_pending)
    }

    /// Whether all that was committed before this call is received. There may be no message to receive now,
    /// but some behind one that is still being written: then this says no.
    pub fn is_drained(&mut self) -> bool {
        self.receiving.is_drained()
    }

    /// Messages that this ring's consumers have ever received and released. How exact it is, and how a process that is started
    /// again goes by it: [`Sender::sent`](crate::Sender::sent).
    pub fn received(&self) -> u64 {
        self.receiving.received()
    }

    /// In a broadcast ring, messages that this receiver missed ([`Lagged`](crate::RecvError::Lagged)).
    ///
    /// In others, messages that were ever lost in this ring because its producers [overwrite the
    /// oldest](crate::Builder::overwrite_oldest), and those that consumers held for so long that producers came round, and
    /// did not release. 0 in other rings.
    ///
    /// What made room for a message is counted before that can be received, so who compares this with what it was
    /// at the message before knows that something is missing. (A participant that is killed within a send that overwrites
    /// may leave what that one change discarded uncounted.)
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.capacity(4096).overwrite_oldest(true).create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// for _ in 0..1000 {
    ///     sender.send(&[7; 100])?;
    /// }
    /// let mut got = 0;
    /// while receiver.try_recv().is_ok() {
    ///     got += 1;
    /// }
    /// assert_eq!(got + receiver.lost(), 1000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lost(&self) -> u64 {
        match self.receiving.missed() {
            Some(missed) => missed,
            None => self.known.overwritten(),
        }
    }

    /// The [number](crate::Message::number) of the message that this receiver of a broadcast ring gets next; `None` in other rings,
    /// where others may get it.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::Kind;
    /// use ringway::broadcast::{Start, Subscription};
    ///
    /// let ring = ringway::Builder::new("memfd:")?.kind(Kind::Broadcast).create()?;
    /// let mut sender = ring.sender()?;
    /// (0..10).try_for_each(|_| sender.send(b"message"))?;
    /// let receiver = ring.subscribe(&Subscription::new().start(Start::Last(3)))?;
    /// assert_eq!(receiver.next_number(), Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_number(&self) -> Option<u64> {
        self.receiving.next_number()
    }

    /// Bytes for messages, with what each takes beside its text ([`Builder::capacity`](crate::Builder::capacity)).
    pub fn capacity(&self) -> u64 {
        self.receiving.region().capacity()
    }

    /// The most bytes of messages that can lie in the ring and its slabs.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.known.most_bytes()
    }

    /// Leaves, and refuses further messages if this is the last consumer: the next call of a sender fails with
    /// [`SendError::Closed`](crate::SendError::Closed), until another consumer comes. Messages stay in the ring. In a broadcast ring
    /// it leaves, and nothing more.
    pub fn close(mut self) {
        self.receiving.give_back();
        self.receiving.close();
    }

    /// Leaves: the next receiver goes on with the next message, and senders wait for it. The same as dropping the
    /// handle.
    pub fn leave(self) {}
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.reach.end();
        self.receiving.listen_no_more();
        self.receiving.give_back();
        if let Some(consumer_slot) = self.consumer_slot.take() {
            consumer_slot.end(self.unwinding.has_begun());
        }
    }
}
