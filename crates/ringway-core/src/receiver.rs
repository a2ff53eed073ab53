//! The receiving handle.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{RecvError, WaitError};
use crate::layout::participant::Role;
use crate::pool::IN_SLAB;
use crate::receiving::Receiving;
use crate::region::Region;
use crate::region::memory::Memory;
use crate::ring::Ring;
use crate::slab::{Slab, Tenancy};
use crate::stream::Peer;
use crate::stream::consumer::Found;
use crate::wait::Wait;
use crate::wait::several::wait_for_any;

/// The consumer's handle: messages come out here.
///
/// A message is the consumer's until it is released: [`recv`](Self::recv) and
/// [`recv_into`](Self::recv_into) release it when they have copied it,
/// [`recv_in_place`](Self::recv_in_place) when the caller is done. If the process dies before, the next
/// consumer gets the message again.
///
/// Dropping the handle leaves the ring; the next consumer goes on with the next message. To tell the
/// sender that nobody will, [`close`](Self::close).
///
/// `try_recv_into` neither allocates nor locks, and may be called in a signal handler that did not
/// interrupt another call on the same handle.
#[derive(Debug)]
pub struct Receiver {
    receiving: Receiving,
    /// Held until this consumer has left its messages in order.
    tenancy: Option<Arc<Tenancy>>,
    /// For what is known of the participants.
    ring: Ring,
    wait: Wait,
}

impl Receiver {
    pub(crate) fn new(receiving: Receiving, tenancy: Tenancy, ring: Ring) -> Self {
        Self {
            receiving,
            tenancy: Some(Arc::new(tenancy)),
            ring,
            wait: Wait::default(),
        }
    }

    /// How blocked calls of this handle wait.
    ///
    /// ```
    /// use ringway_core::{Builder, Wait};
    ///
    /// let receiver = Builder::new("memfd:")?.create()?.receiver()?.with_wait(Wait::Park);
    /// # Ok::<(), ringway_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// [`RecvError::Empty`], [`RecvError::Closed`], [`RecvError::PeerDied`], [`RecvError::Corrupt`],
    /// [`RecvError::Forked`].
    ///
    /// ```
    /// use ringway_core::{Builder, RecvError};
    ///
    /// let mut receiver = Builder::new("memfd:")?.create()?.receiver()?;
    /// assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
    /// # Ok::<(), ringway_core::Error>(())
    /// ```
    pub fn try_recv(&mut self) -> Result<Vec<u8>, RecvError> {
        self.try_recv_in_place().map(Message::into_vec)
    }

    /// Receives the next message, waiting for it.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), but for `Empty`.
    pub fn recv(&mut self) -> Result<Vec<u8>, RecvError> {
        self.recv_in_place().map(Message::into_vec)
    }

    /// Receives the next message, waiting for it until `deadline`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::TimedOut`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Vec<u8>, RecvError> {
        self.recv_in_place_deadline(deadline).map(Message::into_vec)
    }

    /// Copies the next message to the start of `buffer` if there is one now, and returns its length.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), and [`RecvError::BufferTooSmall`], which releases nothing.
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.receiving.try_recv_into(buffer)
    }

    /// Copies the next message to the start of `buffer`, waiting for it, and returns its length.
    ///
    /// # Errors
    /// As [`try_recv_into`](Self::try_recv_into), but for `Empty`.
    ///
    /// ```
    /// let ring = ringway_core::Builder::new("memfd:")?.create()?;
    /// ring.sender()?.send(b"hello")?;
    /// let mut buffer = [0; 64];
    /// let len = ring.receiver()?.recv_into(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.receiving.recv_into_until(buffer, self.wait, None)
    }

    /// Copies the next message to the start of `buffer`, waiting for it until `deadline`, and returns
    /// its length.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into), and [`RecvError::TimedOut`].
    #[inline]
    pub fn recv_into_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Instant,
    ) -> Result<usize, RecvError> {
        self.receiving
            .recv_into_until(buffer, self.wait, Some(deadline))
    }

    /// Borrows the next message in place if there is one now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    #[inline]
    pub fn try_recv_in_place(&mut self) -> Result<Message<'_>, RecvError> {
        let found = self.receiving.try_take(1)?;
        Ok(Message {
            receiver: self,
            found,
            keeps: false,
            is_done: false,
        })
    }

    /// Borrows the next message in place, waiting for it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// ```
    /// let ring = ringway_core::Builder::new("memfd:")?.create()?;
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
        let found = self.receiving.take_until(self.wait, None)?;
        Ok(Message {
            receiver: self,
            found,
            keeps: false,
            is_done: false,
        })
    }

    /// Borrows the next message in place, waiting for it until `deadline`.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline).
    #[inline]
    pub fn recv_in_place_deadline(&mut self, deadline: Instant) -> Result<Message<'_>, RecvError> {
        let found = self.receiving.take_until(self.wait, Some(deadline))?;
        Ok(Message {
            receiver: self,
            found,
            keeps: false,
            is_done: false,
        })
    }

    /// Shows up to `most` messages that are there now to `each`, in order, and releases them together
    /// at the end. Returns how many. If `each` panics, none is released.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), if there is no message.
    ///
    /// ```
    /// let ring = ringway_core::Builder::new("memfd:")?.create()?;
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
        let mut backlog = self.backlog();
        backlog.most = Some(most as u64);
        each(backlog.next_message()?.ok_or(RecvError::Empty)?);
        let outcome = loop {
            if backlog.count == most as u64 {
                break Ok(());
            }
            match backlog.next_message() {
                Ok(Some(message)) => each(message),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // What was shown was whole, whatever comes behind it.
        let count = backlog.release();
        outcome.map(|()| count as usize)
    }

    /// Begins to look at messages that are there now, in order, and to release them together when they
    /// are done with: written to a file, say.
    ///
    /// ```
    /// let ring = ringway_core::Builder::new("memfd:")?.create()?;
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
        Backlog {
            receiving: &mut self.receiving,
            last: None,
            count: 0,
            most: None,
        }
    }

    /// Waits until there is a message; until `deadline` if there is one. [`drain`](Self::drain) then
    /// finds at least one.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline).
    #[inline]
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<(), RecvError> {
        self.receiving.ready_until(self.wait, deadline)
    }

    /// What is known of the producer.
    pub fn peer(&self) -> Peer {
        self.receiving.peer()
    }

    /// Waits until a producer is attached, or has been and left a message; until `deadline` if there is
    /// one. To go on after [`RecvError::PeerDied`].
    ///
    /// # Errors
    /// [`RecvError::Closed`], [`RecvError::TimedOut`], [`RecvError::Forked`].
    pub fn wait_for_peer(&mut self, deadline: Option<Instant>) -> Result<(), RecvError> {
        let closing_ends = !self.ring.kind().allows_many(Role::Producer);
        self.receiving
            .wait_for_peer(self.wait, deadline, closing_ends)
    }

    /// Whether the producer's attachment with that [id](crate::Sender::id) still lives, by proof of the
    /// kernel. If not, nothing can come of it but what lies in the ring already.
    ///
    /// ```
    /// let ring = ringway_core::Builder::new("memfd:")?.create()?;
    /// let (sender, receiver) = (ring.sender()?, ring.receiver()?);
    /// let id = sender.id();
    /// assert!(receiver.is_attached(id));
    /// sender.detach();
    /// assert!(!receiver.is_attached(id));
    /// # Ok::<(), ringway_core::Error>(())
    /// ```
    pub fn is_attached(&self, id: u64) -> bool {
        self.ring.is_attached(id)
    }

    /// Waits until it is worth trying to receive again, or one of those producers' attachments does not
    /// [live](Self::is_attached) any more; until `deadline` if there is one. To be called when there was no
    /// message. It may return early, and does not tell why it does.
    ///
    /// ```
    /// let ring = ringway_core::Builder::new("memfd:")?.create()?;
    /// let (sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// let id = sender.id();
    /// std::thread::spawn(|| sender.detach());
    /// while receiver.try_recv().is_err() && receiver.is_attached(id) {
    ///     receiver.wait_while_attached(&[id], None);
    /// }
    /// # Ok::<(), ringway_core::Error>(())
    /// ```
    pub fn wait_while_attached(&mut self, ids: &[u64], deadline: Option<Instant>) {
        if self.receiving.region().is_forked() {
            return;
        }
        let ring = &self.ring;
        self.receiving.look_again_when(self.wait, deadline, || {
            ids.iter().any(|id| !ring.is_attached(*id))
        });
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

    /// Waits until `count` producers have ever attached to this ring, be they gone again or not; until
    /// `deadline` if there is one. To go on after [`RecvError::Closed`] in a ring that has many, wait for
    /// one more than [`producers_ever`](Self::producers_ever) said before the call that failed.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], [`RecvError::Forked`].
    ///
    /// ```
    /// use ringway_core::{Builder, Kind, RecvError};
    ///
    /// let ring = Builder::new("memfd:")?.kind(Kind::Mpsc).create()?;
    /// let mut receiver = ring.receiver()?;
    /// for message in [b"one", b"two"] {
    ///     let ever = receiver.producers_ever();
    ///     ring.sender()?.send(message)?;
    ///     receiver.wait_for_producers(ever + 1, None)?;
    ///     assert_eq!(receiver.recv()?, message);
    ///     assert_eq!(receiver.recv(), Err(RecvError::Closed));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_producers(
        &mut self,
        count: u64,
        deadline: Option<Instant>,
    ) -> Result<(), RecvError> {
        let ring = &self.ring;
        self.receiving
            .wait_until(self.wait, deadline, || ring.ever(Role::Producer) >= count)
    }

    /// Messages that this ring's consumers have ever received and released.
    pub fn received(&self) -> u64 {
        self.receiving.received()
    }

    /// Bytes for messages.
    pub fn capacity(&self) -> u64 {
        self.receiving.region().capacity()
    }

    /// Closes the ring for good: the sender's next call fails with
    /// [`SendError::Closed`](crate::SendError::Closed).
    pub fn close(mut self) {
        self.receiving.give_back();
        self.receiving.close();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.receiving.give_back();
        }
        self.tenancy = None;
    }
}

/// Waits until at least one of `receivers` has something to receive, or has come to its end, and returns
/// the indices of all for which that is so; until `deadline` if there is one. Where another consumer may
/// be faster, there may be nothing left when it is asked.
///
/// One thread can wait for rings of sync `futex` and `pthread`, or for those of sync `mqueue`, which it
/// polls. It sleeps on an event of each ring and on what tells the life of each participant, at most 128
/// in all.
///
/// # Errors
/// [`WaitError`].
///
/// ```
/// let rings = [ringway_core::Builder::new("memfd:")?.create()?, ringway_core::Builder::new("memfd:")?.create()?];
/// let (mut first, mut second) = (rings[0].receiver()?, rings[1].receiver()?);
/// rings[1].sender()?.send(b"hello")?;
/// let ready = ringway_core::wait_any(&mut [&mut first, &mut second], None)?;
/// assert_eq!(ready, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_any(
    receivers: &mut [&mut Receiver],
    deadline: Option<Instant>,
) -> Result<Vec<usize>, WaitError> {
    let how = receivers.first().ok_or(WaitError::Nothing)?.wait;
    let mut candidates: Vec<_> = receivers
        .iter_mut()
        .map(|receiver| &mut receiver.receiving)
        .collect();
    wait_for_any(&mut candidates, how, deadline)
}

/// A message in the ring or in a slab, borrowed. Dropping it releases it, unless by a panic: then it is not
/// acknowledged, and the next consumer gets it again.
#[derive(Debug)]
pub struct Message<'a> {
    receiver: &'a mut Receiver,
    found: Found,
    keeps: bool,
    /// Released already.
    is_done: bool,
}

impl Message<'_> {
    /// Bytes of the message.
    pub fn len(&self) -> usize {
        self.found.len
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.found.len == 0
    }

    /// Copies from `offset` of the message to the start of `buffer`, and returns how many bytes.
    #[inline]
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        self.view().read_at(offset, buffer)
    }

    /// A copy of the whole message.
    pub fn to_vec(&self) -> Vec<u8> {
        self.view().to_vec()
    }

    /// The message's memory itself.
    ///
    /// # Safety
    /// No other process may write these bytes while the slice lives. ringway's own producer does not
    /// before the message is released; a hostile one could, and that would be undefined behaviour
    /// here.
    #[inline]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: passed on.
        unsafe { self.view().into_slice() }
    }

    /// Acknowledges the message and gives its room to the producer, as a drop does.
    pub fn release(self) {}

    /// Leaves the message where it is; the next receive gets it again.
    pub fn keep(mut self) {
        self.keeps = true;
    }

    /// Acknowledges the message and keeps it: it can be read until the [`Slab`] is dropped, in whatever order,
    /// here or in another thread, while further messages are received.
    ///
    /// Nothing is copied of a message that lies in a slab ([`Builder::slabs`](crate::Builder::slabs)); the
    /// sender can use that one again when it is dropped. A message in the ring would hold up those
    /// behind it, so it is copied to memory of this process's own; [`Slab::is_copy`] tells.
    ///
    /// # Errors
    /// [`RecvError::Corrupt`], [`RecvError::Forked`].
    ///
    /// ```
    /// let ring = ringway_core::Builder::new("memfd:")?.slabs(1 << 20, 4).create()?;
    /// ring.sender()?.send(&[7; 1 << 20])?;
    /// let mut receiver = ring.receiver()?;
    /// let image = receiver.recv_in_place()?.detach()?;
    /// let other = std::thread::spawn(move || image.to_vec()[0]);
    /// assert_eq!(other.join().unwrap(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detach(mut self) -> Result<Slab, RecvError> {
        let copy = (!self.found.is_loaned()).then(|| self.to_vec());
        let loan = self.receiver.receiving.detach(&self.found);
        // Acknowledged, or beyond that.
        self.is_done = true;
        match (loan?, &self.receiver.tenancy) {
            (Some(loan), Some(tenancy)) => Ok(Slab::keep(Arc::clone(tenancy), loan)),
            _ => Ok(Slab::copied(copy.unwrap_or_default())),
        }
    }

    fn into_vec(self) -> Vec<u8> {
        self.to_vec()
    }

    #[inline]
    fn view(&self) -> MessageView<'_> {
        MessageView::of(&self.receiver.receiving, &self.found)
    }
}

impl Drop for Message<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_done || std::thread::panicking() {
            return;
        }
        if self.keeps {
            self.receiver.receiving.give_back();
        } else {
            self.receiver.receiving.release(&self.found, 1);
        }
    }
}

/// Messages that are looked at in order and released together. Dropping it without
/// [`release`](Self::release) leaves all of them; the next receive gets them again.
#[derive(Debug)]
pub struct Backlog<'a> {
    receiving: &'a mut Receiving,
    last: Option<Found>,
    count: u64,
    /// All of up to so many will be looked at, so that they can be taken together.
    most: Option<u64>,
}

impl Backlog<'_> {
    /// The next message, `None` if there is no further one now. Where consumers share the work, also if
    /// another one has what lies right behind.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`], but for `Empty`.
    #[inline]
    pub fn next_message(&mut self) -> Result<Option<MessageView<'_>>, RecvError> {
        let next = match &self.last {
            Some(last) => {
                let most = self.most.map_or(1, |most| most.saturating_sub(self.count));
                self.receiving.take_behind(last, self.count, most)?
            }
            None => match self.receiving.try_take(self.most.unwrap_or(1)) {
                Err(RecvError::Empty) => None,
                first => Some(first?),
            },
        };
        let Some(found) = next else { return Ok(None) };
        self.last = next;
        self.count += 1;
        Ok(Some(MessageView::of(self.receiving, &found)))
    }

    /// Acknowledges all that were looked at, and returns how many messages that were.
    pub fn release(mut self) -> u64 {
        if let Some(last) = self.last.take() {
            self.receiving.release(&last, self.count);
        }
        self.count
    }
}

impl Drop for Backlog<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.last.is_some() && !std::thread::panicking() {
            self.receiving.give_back();
        }
    }
}

/// A message in the ring or in a slab, shown by [`Receiver::drain`] and [`Backlog`].
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    region: &'a Memory,
    /// A position in the ring, or with [`IN_SLAB`] one in the slabs.
    at: u64,
    len: usize,
}

impl<'a> MessageView<'a> {
    #[inline]
    fn of(receiving: &'a Receiving, found: &Found) -> Self {
        Self {
            region: receiving.region(),
            at: receiving.locate(found),
            len: found.len,
        }
    }

    /// Bytes of the message.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies from `offset` of the message to the start of `buffer`, and returns how many bytes.
    #[inline]
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(self.len.saturating_sub(offset));
        let at = self.at.wrapping_add(offset as u64);
        let target = &mut buffer[..len];
        if self.at & IN_SLAB == 0 {
            self.region.read(at, target);
        } else if len > 0 {
            self.region.read_slab(at & !IN_SLAB, target);
        }
        len
    }

    /// A copy of the whole message.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// The message's memory itself.
    ///
    /// # Safety
    /// As for [`Message::as_slice`].
    #[inline]
    pub unsafe fn into_slice(self) -> &'a [u8] {
        let pointer = if self.at & IN_SLAB == 0 {
            self.region.pointer(self.at)
        } else {
            self.region.slab_pointer(self.at & !IN_SLAB)
        };
        // SAFETY: `len` bytes from here lie in the data region or in a slab, which stay mapped while the
        // consumer is borrowed; that nobody writes them is the caller's promise.
        unsafe { std::slice::from_raw_parts(pointer, self.len) }
    }
}
