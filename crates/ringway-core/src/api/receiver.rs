//! The receiving handle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::api::detached::ConsumerSlot;
use crate::api::message::{Backlog, Message, MessageView};
use crate::api::reach::Reach;
use crate::api::receiving::Receiving;
use crate::api::ring::Ring;
use crate::api::threads::Unshared;
use crate::error::{Error, RecvError, WaitError};
use crate::memory::layout::participant::Role;
use crate::memory::region::{Load, Region};
use crate::presence::Outlook;
use crate::presence::Peer;
use crate::sys::unwinding::Unwinding;
use crate::waiting::interrupt::{self, Interrupter};
use crate::waiting::several::wait_for_any;
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
    pub(crate) receiving: CachePadded<Receiving>,
    /// Held until this consumer has left its messages in order.
    pub(crate) consumer_slot: Option<Arc<ConsumerSlot>>,
    /// For what is known of the participants.
    pub(super) ring: Ring,
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
        ring: Ring,
        reach: Reach,
    ) -> Self {
        Self {
            receiving: CachePadded::new(receiving),
            outlook: consumer_slot.outlook(),
            consumer_slot: Some(Arc::new(consumer_slot)),
            ring,
            wait: WaitOptions::new(WaitStrategy::default()),
            reach,
            unwinding: Unwinding::new(),
            _one_thread: Unshared::default(),
        }
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
        Ok(Message::new(self, found).into_vec())
    }

    /// Receives the next message, waiting for it.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), but for `Empty`, and [`RecvError::Removed`].
    pub fn recv(&mut self) -> Result<Vec<u8>, RecvError> {
        let found = self.receiving.take(1, Some(&self.wait))?;
        Ok(Message::new(self, found).into_vec())
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
        Ok(Message::new(self, found).into_vec())
    }

    /// Copies the next message to the start of `buffer` if there is one now, and returns its length.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), and [`RecvError::BufferTooSmall`], which releases nothing.
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.receiving.recv_into(buffer, None)
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
        let found = self.receiving.take(1, None)?;
        Ok(Message::shown(self, found))
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
        let found = self.receiving.take(1, Some(&self.wait))?;
        Ok(Message::shown(self, found))
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
        let found = self.receiving.take(1, Some(&wait))?;
        Ok(Message::shown(self, found))
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
        each(backlog.next_message()?.ok_or(RecvError::Empty)?);
        while backlog.count() < most as u64
            && let Ok(Some(message)) = backlog.next_message()
        {
            each(message);
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
        self.ring.is_removed()
    }

    /// What is known of the producer.
    pub fn peer(&self) -> Peer {
        self.receiving.peer()
    }

    /// Waits until a producer is attached, or has been and left a message. To go on after [`RecvError::PeerDied`] or
    /// [`RecvError::Closed`]. (A producer that comes and goes meanwhile and
    /// leaves no message may go unnoticed; [`wait_for_producers`](Self::wait_for_producers) counts them.)
    ///
    /// # Errors
    /// [`RecvError::Removed`], [`RecvError::Forked`].
    pub fn wait_for_peer(&mut self) -> Result<(), RecvError> {
        self.wait_for_peer_deadline(None)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait_for_peer`](Self::wait_for_peer), and [`RecvError::TimedOut`].
    pub fn wait_for_peer_timeout(&mut self, timeout: Duration) -> Result<(), RecvError> {
        self.wait_for_peer_deadline(deadline_after(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_for_peer_timeout`](Self::wait_for_peer_timeout).
    pub fn wait_for_peer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), RecvError> {
        let wait = self.wait.until(deadline.into());
        self.receiving.wait_for_peer(&wait)
    }

    /// Whether the producer's attachment with that [id](crate::Sender::id) still lives, by proof of the
    /// kernel. If not, nothing can come of it but what lies in the ring already. (A process that is denied `membarrier` since it
    /// opened the ring cannot know that of a dead one, who then counts as attached; see [`RecvError::Unsettled`].)
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (sender, receiver) = (ring.sender()?, ring.receiver()?);
    /// let id = sender.id();
    /// assert!(receiver.is_attached(id));
    /// sender.leave();
    /// assert!(!receiver.is_attached(id));
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn is_attached(&self, id: u64) -> bool {
        self.ring.is_attached(self.outlook, id)
    }

    /// Waits until it is worth trying to receive again, or one of those producers' attachments does not
    /// [live](Self::is_attached) any more. To be called when there was no
    /// message. It may return early, also when the ring is [`Removed`](RecvError::Removed), and does not tell why it does.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// let id = sender.id();
    /// std::thread::spawn(|| sender.leave());
    /// while receiver.try_recv().is_err() && receiver.is_attached(id) {
    ///     receiver.wait_while_attached(&[id]);
    /// }
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn wait_while_attached(&mut self, ids: &[u64]) {
        self.wait_while_attached_deadline(ids, None);
    }

    /// The same, for at most `timeout`.
    pub fn wait_while_attached_timeout(&mut self, ids: &[u64], timeout: Duration) {
        self.wait_while_attached_deadline(ids, deadline_after(timeout));
    }

    /// The same, until `deadline`; `None` is never.
    pub fn wait_while_attached_deadline(
        &mut self,
        ids: &[u64],
        deadline: impl Into<Option<Instant>>,
    ) {
        if self.receiving.region().is_forked() {
            return;
        }
        let (ring, me) = (&self.ring, self.outlook);
        let wait = self.wait.until(deadline.into());
        self.receiving
            .look_again_when(&wait, || ids.iter().any(|id| !ring.is_attached(me, *id)));
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

    /// How many producers ever attached to this ring.
    pub fn producers_ever(&self) -> u64 {
        self.ring.ever(Role::Producer)
    }

    /// Waits until `count` producers have ever attached to this ring, be they gone again or not. To go on after
    /// [`RecvError::Closed`] and miss none, wait for
    /// one more than [`producers_ever`](Self::producers_ever) said before the call that failed.
    ///
    /// # Errors
    /// [`RecvError::Removed`], [`RecvError::Forked`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, Kind, RecvError};
    ///
    /// let ring = Builder::new("memfd:")?.kind(Kind::Mpsc).create()?;
    /// let mut receiver = ring.receiver()?;
    /// for message in [b"one", b"two"] {
    ///     let ever = receiver.producers_ever();
    ///     ring.sender()?.send(message)?;
    ///     receiver.wait_for_producers(ever + 1)?;
    ///     assert_eq!(receiver.recv()?, message);
    ///     assert_eq!(receiver.recv(), Err(RecvError::Closed));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_producers(&mut self, count: u64) -> Result<(), RecvError> {
        self.wait_for_producers_deadline(count, None)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait_for_producers`](Self::wait_for_producers), and [`RecvError::TimedOut`].
    pub fn wait_for_producers_timeout(
        &mut self,
        count: u64,
        timeout: Duration,
    ) -> Result<(), RecvError> {
        self.wait_for_producers_deadline(count, deadline_after(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_for_producers_timeout`](Self::wait_for_producers_timeout).
    pub fn wait_for_producers_deadline(
        &mut self,
        count: u64,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), RecvError> {
        let ring = &self.ring;
        let wait = self.wait.until(deadline.into());
        self.receiving
            .wait_until(&wait, || ring.ever(Role::Producer) >= count)
    }

    /// Messages that this ring's consumers have ever received and released. How exact it is, and how a process that is started
    /// again goes by it: [`Sender::sent`](crate::Sender::sent).
    pub fn received(&self) -> u64 {
        self.receiving.received()
    }

    /// Messages that were ever lost in this ring because its producers [overwrite the
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
        self.ring.overwritten()
    }

    /// Bytes for messages, with what each takes beside its text ([`Builder::capacity`](crate::Builder::capacity)).
    pub fn capacity(&self) -> u64 {
        self.receiving.region().capacity()
    }

    /// The most bytes of messages that can lie in the ring and its slabs.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.ring.most_bytes()
    }

    /// Leaves, and refuses further messages if this is the last consumer: the next call of a sender fails with
    /// [`SendError::Closed`](crate::SendError::Closed), until another consumer comes. Messages stay in the ring.
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

/// Waits until at least one of `receivers` has something to receive, or has come to its end, and returns
/// the indices of all for which that is so. Where another consumer may
/// be faster, there may be nothing left when it is asked.
///
/// One thread can wait for rings of sync `futex` and `pthread`, or for those of sync `mqueue`, which it
/// polls. It sleeps on an event of each ring, at most 128 in all.
///
/// # Errors
/// [`WaitError`].
///
/// ```
/// # use ringway_core as ringway;
/// let rings = [ringway::Builder::new("memfd:")?.create()?, ringway::Builder::new("memfd:")?.create()?];
/// let (mut first, mut second) = (rings[0].receiver()?, rings[1].receiver()?);
/// rings[1].sender()?.send(b"hello")?;
/// let ready = ringway::wait::wait_any(&mut [&mut first, &mut second])?;
/// assert_eq!(ready, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_any(receivers: &mut [&mut Receiver]) -> Result<Vec<usize>, WaitError> {
    wait_any_deadline(receivers, None)
}

/// As [`wait_any`], for at most `timeout`.
///
/// # Errors
/// [`WaitError`].
pub fn wait_any_timeout(
    receivers: &mut [&mut Receiver],
    timeout: Duration,
) -> Result<Vec<usize>, WaitError> {
    wait_any_deadline(receivers, deadline_after(timeout))
}

/// As [`wait_any`], until `deadline`; `None` is never.
///
/// # Errors
/// [`WaitError`].
pub fn wait_any_deadline(
    receivers: &mut [&mut Receiver],
    deadline: impl Into<Option<Instant>>,
) -> Result<Vec<usize>, WaitError> {
    let wait = receivers.first().ok_or(WaitError::Nothing)?.wait;
    let mut candidates: Vec<_> = receivers
        .iter_mut()
        .map(|receiver| &mut *receiver.receiving)
        .collect();
    wait_for_any(&mut candidates, &wait.until(deadline.into()))
}
