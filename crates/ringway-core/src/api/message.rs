//! Messages as a receiver shows them: borrowed, one by one or many together.

use std::sync::Arc;

use crate::api::detached::{ConsumerSlot, DetachedMessage};
use crate::api::reader::MessageReader;
use crate::api::receiving::Receiving;
use crate::api::view::MessageView;
use crate::error::RecvError;
use crate::rings::message::MessageRef;

/// A message in the ring or in a slab, borrowed.
///
/// [`release`](Self::release) acknowledges it: it is received, and its room is the sender's again. Dropping it, be it by
/// `?`, by a `return` or by a panic, acknowledges nothing: it is this receiver's next message again, or another one's when
/// this receiver has left. [`give_back`](Self::give_back) lets others that share the messages have it at once.
///
/// It has no destructor, so that a loop can go on after an error:
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::{Receiver, RecvError};
///
/// fn next_len(receiver: &mut Receiver) -> Result<usize, RecvError> {
///     loop {
///         match receiver.recv_in_place() {
///             Ok(message) => {
///                 let len = message.len();
///                 message.release();
///                 return Ok(len);
///             }
///             Err(RecvError::PeerDied) => {
///                 receiver.wait_for_peer()?;
///                 continue;
///             }
///             Err(error) => return Err(error),
///         }
///     }
/// }
/// # let ring = ringway::Builder::new("memfd:")?.create()?;
/// # ring.sender()?.send(b"12345")?;
/// # assert_eq!(next_len(&mut ring.receiver()?), Ok(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```
/// # use ringway_core as ringway;
/// let ring = ringway::Builder::new("memfd:")?.create()?;
/// ring.sender()?.send(b"7 apples")?;
/// let mut receiver = ring.receiver()?;
///
/// fn price(order: &[u8]) -> Option<u64> {
///     order.strip_suffix(b" pears").map(|_| 3)
/// }
/// let order = receiver.recv_in_place()?;
/// assert_eq!(price(&order.to_vec()), None);
/// drop(order); // Nobody knew what to do with it: it comes again.
///
/// let order = receiver.recv_in_place()?;
/// assert_eq!(order.to_vec(), b"7 apples");
/// order.release(); // Done: it does not come again.
/// assert_eq!(receiver.try_recv(), Err(ringway::RecvError::Closed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a message that is dropped comes again; `release` acknowledges it"]
pub struct Message<'a> {
    receiving: &'a mut Receiving,
    /// What a [detached](Self::detach) one keeps.
    place: Option<&'a Arc<ConsumerSlot>>,
    found: MessageRef,
}

impl<'a> Message<'a> {
    #[inline]
    pub(crate) fn new(
        receiving: &'a mut Receiving,
        place: Option<&'a Arc<ConsumerSlot>>,
        found: MessageRef,
    ) -> Self {
        Self {
            receiving,
            place,
            found,
        }
    }

    /// The same, which its receiver has been shown.
    #[inline]
    pub(crate) fn shown(self) -> Self {
        self.receiving.show(0);
        self
    }

    /// Bytes of the message.
    pub fn len(&self) -> usize {
        self.found.len
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.found.len == 0
    }

    /// What tells the message from all others that ever come through this ring. Numbers grow in the order in which
    /// messages come; one that comes again has the number that it had. In a ring of kind spsc and sync futex they are
    /// consecutive from 0; in others they have gaps, which say nothing.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// sender.send(b"one")?;
    /// let first = receiver.recv_in_place()?;
    /// assert_eq!((first.number(), first.deliveries()), (0, 1));
    /// drop(first);
    /// let again = receiver.recv_in_place()?;
    /// assert_eq!((again.number(), again.deliveries()), (0, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn number(&self) -> u64 {
        self.receiving.number(&self.found, 0)
    }

    /// How often the message was delivered, with this time: 1 the first time. It counts up to 15.
    ///
    /// Whom it was delivered to may have died before it looked at it, or have taken it together with others
    /// ([`Receiver::drain`](crate::Receiver::drain)) and given it back before it came to it. So what says 1 is seen for the first time; what says more
    /// may have been seen before.
    pub fn deliveries(&self) -> u32 {
        self.receiving.deliveries(&self.found, 0)
    }

    /// Whether the message was delivered before and not acknowledged: it was given back, or its receiver died.
    pub fn redelivered(&self) -> bool {
        self.deliveries() > 1
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

    /// Reads the message from the front to the back, a block at a time.
    pub fn reader(&self) -> MessageReader<'_> {
        self.view().reader()
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

    /// Acknowledges the message, so that it does not come again, and gives its room to the producer.
    #[inline(always)]
    pub fn release(self) {
        self.receiving.release(&self.found, 1);
    }

    /// Gives the message back: whoever receives next gets it again, this receiver or another one.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.kind(ringway::Kind::Spmc).create()?;
    /// let (mut one, mut other) = (ring.receiver()?, ring.receiver()?);
    /// ring.sender()?.send(b"a job")?;
    /// one.recv_in_place()?.give_back();
    /// assert_eq!(other.recv()?, b"a job");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn give_back(self) {
        self.receiving.give_back();
    }

    /// Acknowledges the message and keeps it: it can be read until the [`DetachedMessage`] is dropped, in whatever order,
    /// here or in another thread, while further messages are received.
    ///
    /// Nothing is copied of a message that lies in a slab ([`Builder::slabs`](crate::Builder::slabs)); the
    /// sender can use that one again when it is dropped. A message in the ring would hold up those
    /// behind it, so it is copied to memory of this process's own, as is every message of a broadcast ring;
    /// [`DetachedMessage::is_copy`] tells.
    ///
    /// # Errors
    /// [`RecvError::Corrupt`], [`RecvError::Forked`]; then it is not acknowledged.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.slabs(1 << 20, 4).create()?;
    /// ring.sender()?.send(&[7; 1 << 20])?;
    /// let mut receiver = ring.receiver()?;
    /// let image = receiver.recv_in_place()?.detach()?;
    /// let other = std::thread::spawn(move || image.to_vec()[0]);
    /// assert_eq!(other.join().unwrap(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detach(self) -> Result<DetachedMessage, RecvError> {
        let origin = (self.number(), self.deliveries());
        let copy = (!self.receiving.keeps_slab(&self.found)).then(|| self.to_vec());
        let loan = self.receiving.detach(&self.found)?;
        let detached = match (loan, self.place) {
            (Some(loan), Some(slot)) => DetachedMessage::keep(Arc::clone(slot), loan),
            _ => DetachedMessage::copied(copy.unwrap_or_default()),
        };
        Ok(detached.with_origin(origin))
    }

    /// Acknowledges the message if `work` has succeeded with it.
    #[inline]
    pub(crate) fn process<T, E>(
        self,
        work: impl FnOnce(&Message<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let done = work(&self);
        match done {
            Ok(_) => self.release(),
            Err(_) => self.give_back(),
        }
        done
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        let bytes = self.to_vec();
        self.release();
        bytes
    }

    #[inline]
    fn view(&self) -> MessageView<'_> {
        MessageView::of(
            self.receiving,
            self.found,
            self.receiving.locate(&self.found),
            0,
        )
    }
}

/// Messages that are looked at in order and released together. Dropping it without
/// [`release`](Self::release) leaves all of them; the next receive gets them again. So it is after an error, too:
/// what was looked at before can be released, or comes again.
#[derive(Debug)]
pub struct Backlog<'a> {
    receiving: &'a mut Receiving,
    last: Option<MessageRef>,
    count: u64,
    /// All of up to so many will be looked at, so that they can be taken together.
    most: Option<u64>,
}

impl<'a> Backlog<'a> {
    #[inline]
    pub(crate) fn new(receiving: &'a mut Receiving, most: Option<u64>) -> Self {
        Self {
            receiving,
            last: None,
            count: 0,
            most,
        }
    }

    /// How many were looked at.
    #[inline(always)]
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The next message, `None` if there is no further one now. Where consumers share the work, also if
    /// another one has what lies right behind.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`](crate::Receiver::try_recv), but for `Empty`.
    #[inline(always)]
    pub fn next_message(&mut self) -> Result<Option<MessageView<'_>>, RecvError> {
        let found = match self.receiving.show_at_once(self.last.as_ref(), self.count) {
            Some(found) => found,
            None => match self.find_next()? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let nth = self.count;
        (self.last, self.count) = (Some(found), nth + 1);
        let at = self.receiving.locate(&found);
        Ok(Some(MessageView::of(self.receiving, found, at, nth)))
    }

    /// The same, where it is not as usual, and before it is noted that it is looked at.
    #[inline(never)]
    fn find_next(&mut self) -> Result<Option<MessageRef>, RecvError> {
        let next = match &self.last {
            Some(last) => {
                let most = self.most.map_or(1, |most| most.saturating_sub(self.count));
                self.receiving.take_behind(last, self.count, most)?
            }
            None => match self.receiving.take(self.most.unwrap_or(1), None) {
                Err(RecvError::Empty) => None,
                first => Some(first?),
            },
        };
        if next.is_some() {
            self.receiving.show(self.count);
        }
        Ok(next)
    }

    /// Acknowledges all that were looked at, and returns how many messages that were. Fewer were if the ring turns out
    /// to be corrupt, none in a child of `fork`; the next call then says so.
    pub fn release(mut self) -> u64 {
        let last = self.last.take();
        last.map_or(0, |last| self.receiving.release(&last, self.count))
    }

    /// Acknowledges the first `count` of those that were looked at. The next receive gets the others again, and
    /// where consumers share the work, perhaps another one does.
    pub fn release_first(mut self, count: u64) {
        if count >= self.count {
            self.release();
        } else if self.last.take().is_some() {
            self.receiving.release_first(count);
        }
    }
}

impl Drop for Backlog<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.last.is_some() {
            self.receiving.give_back();
        }
    }
}
