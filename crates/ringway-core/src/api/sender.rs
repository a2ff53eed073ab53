//! The sending handle.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::address::Address;
use crate::api::claim::{Batch, Claim, Scratch};
use crate::api::reach::Reach;
use crate::api::sending::Sending;
use crate::api::threads::Unshared;
use crate::error::{Error, SendError};
use crate::memory::region::{Load, Region};
use crate::presence::Peer;
use crate::presence::participant::Participant;
use crate::sys::unwinding::Unwinding;
use crate::waiting::interrupt::Interrupter;
use crate::waiting::{WaitOptions, WaitStrategy, deadline_after};

/// The producer's handle: messages go in here.
///
/// # Leaving
/// Dropping it ends the stream, and not the ring: when the last producer has left so, the receiver gets all that was sent and
/// then [`RecvError::Closed`](crate::RecvError::Closed). The next producer opens the ring again; one that comes before the
/// receiver has got to the end goes on with the same stream.
///
/// | the last producer ends by | a receiver that has got all is told |
/// |---|---|
/// | a drop, [`close`](Self::close) | [`Closed`](crate::RecvError::Closed) |
/// | [`leave`](Self::leave) | nothing: the stream goes on, and it waits |
/// | death, a drop by a panic that began while the handle lived | [`PeerDied`](crate::RecvError::PeerDied) |
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::RecvError;
///
/// let ring = ringway::Builder::new("memfd:")?.create()?;
/// let mut receiver = ring.receiver()?;
/// for run in [b"one", b"two"] {
///     ring.sender()?.send(run)?; // and drops the handle
///     assert_eq!(receiver.recv()?, run);
///     assert_eq!(receiver.recv(), Err(RecvError::Closed));
/// }
/// ring.sender()?.leave();
/// assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Threads
/// A handle is for one thread at a time: it can be sent to another thread (`Send`), and not be shared with one (it is not `Sync`).
/// Each handle is a participant of its own and holds one slot of the ring. Threads that send side by side have a handle each, from
/// clones of the [`Ring`](crate::Ring), which is `Sync`; the ring's [`Kind`](crate::Kind) says how many there can be.
///
/// ```
/// # use ringway_core as ringway;
/// fn can_be_sent<T: Send>() {}
/// can_be_sent::<ringway::Sender>();
/// ```
/// ```compile_fail,E0277
/// # use ringway_core as ringway;
/// fn can_be_shared<T: Sync>() {}
/// can_be_shared::<ringway::Sender>();
/// ```
///
/// # In signal handlers
/// In a ring of sync [`Futex`](crate::SyncKind::Futex) without [slab segments](crate::Builder::slab_segments),
/// [`try_send`](Self::try_send) is async-signal-safe: it takes no lock, allocates and opens nothing, and leaves `errno`
/// as it was. The handler may have interrupted anything but a call on this very handle, also a call on another handle
/// of the same ring; the handle was made before. In other rings it must not be called there: the lock may be held by the
/// very call that was interrupted (`pthread`, `posix-sem`, `sysv-sem`), and a queue (`mqueue`) or the segment of a slab
/// is opened when it is first used.
#[derive(Debug)]
pub struct Sender {
    /// On lines of its own: what one handle writes with each message must not lie beside what another thread's does.
    pub(super) sending: CachePadded<Sending>,
    /// Held until the ring is closed.
    participant: Option<Participant>,
    id: u64,
    /// Whether the ring has place for several consumers.
    shared_out: bool,
    /// How a blocking call waits, which has no deadline of its own.
    pub(super) wait: WaitOptions<'static>,
    closes: bool,
    pub(super) reach: Reach,
    /// For errors.
    pub(super) address: Address,
    unwinding: Unwinding,
    _one_thread: Unshared,
    pub(super) scratch: Scratch,
}

impl Sender {
    pub(crate) fn new(
        sending: Sending,
        participant: Participant,
        shared_out: bool,
        reach: Reach,
        address: Address,
    ) -> Self {
        Self {
            sending: CachePadded::new(sending),
            id: participant.id(),
            participant: Some(participant),
            shared_out,
            wait: WaitOptions::new(WaitStrategy::default()),
            closes: true,
            reach,
            address,
            unwinding: Unwinding::new(),
            _one_thread: Unshared::default(),
            scratch: Scratch::default(),
        }
    }

    /// How blocked calls of this handle wait.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, WaitStrategy};
    ///
    /// let sender = Builder::new("memfd:")?.create()?.sender()?.with_wait(WaitStrategy::Spin);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    #[must_use]
    pub fn with_wait(mut self, wait: WaitStrategy) -> Self {
        self.wait.how = wait;
        self
    }

    /// Up to how many bytes a message is copied through the ring, if the ring has slabs
    /// ([`Builder::slabs`](crate::Builder::slabs)); longer ones are written into a slab. The default is 64 KiB.
    ///
    /// Where no slab is free, a message that fits the ring goes through it all the same; another one waits
    /// for a slab as for room.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.slabs(1 << 20, 4).create()?;
    /// let mut sender = ring.sender()?.with_copy_limit(4096);
    /// sender.send(&[7; 1 << 20])?;
    /// assert_eq!(ring.receiver()?.recv()?, [7; 1 << 20]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_copy_limit(mut self, bytes: usize) -> Self {
        self.sending.set_copy_limit(bytes);
        self
    }

    /// Sends a copy of `message` if there is room now. An empty message is a message.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::TooLarge`], [`SendError::Closed`], [`SendError::PeerDied`],
    /// [`SendError::Unmapped`], [`SendError::Corrupt`], [`SendError::Forked`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// ring.sender()?.try_send(b"now or never")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sending.send(message, None)
    }

    /// Sends a copy of `message` in the usual case: there is room, and nothing stands in the way. `false`: nothing was done, and another verb
    /// says why. For the bindings of other languages, whose verbs begin with it.
    #[doc(hidden)]
    #[inline]
    pub fn send_at_once(&mut self, message: &[u8]) -> bool {
        self.sending.send_at_once(message)
    }

    /// The same, for the usual ring too: one with one sender and one receiver. Of others it is `false`. What it needs no registers for, its caller need not save.
    #[doc(hidden)]
    #[inline(always)]
    pub fn send_at_once_in_stream(&mut self, message: &[u8]) -> bool {
        match &mut *self.sending {
            Sending::Stream(producer) => producer.send_at_once(message),
            Sending::Cells(_) | Sending::Broadcast(_) => false,
        }
    }

    /// Sends a copy of `message`, waiting for room.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for `Full`, and [`SendError::Removed`]. `PeerDied` only if there is no room.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sending.send(message, Some(&self.wait))
    }

    /// Sends a copy of `message`, waiting for room for at most `timeout`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::TimedOut`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::SendError;
    /// use std::time::Duration;
    ///
    /// let ring = ringway::Builder::new("memfd:")?.capacity(4096).create()?;
    /// let mut sender = ring.sender()?;
    /// sender.send(&[0; 2000])?;
    /// sender.send(&[0; 2000])?;
    /// let moment = Duration::from_millis(1);
    /// assert_eq!(sender.send_timeout(&[0; 2000], moment), Err(SendError::TimedOut));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        // Where there is room, no clock is read.
        if self.sending.send_at_once(message) {
            return Ok(());
        }
        self.sending.send(message, Some(&self.wait.within(timeout)))
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
        let wait = self.wait.until(deadline.into());
        self.sending.send(message, Some(&wait))
    }

    /// Sends the concatenation of `parts` as one message if there is room now.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        let claim = self.try_claim(total_len(parts))?;
        claim.commit_parts(parts);
        Ok(())
    }

    /// Sends the concatenation of `parts` as one message, waiting for room.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use std::io::IoSlice;
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let parts = [IoSlice::new(b"head "), IoSlice::new(b"and tail")];
    /// ring.sender()?.send_vectored(&parts)?;
    /// assert_eq!(ring.receiver()?.recv()?, b"head and tail");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        self.send_vectored_deadline(parts, None)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    pub fn send_vectored_timeout(
        &mut self,
        parts: &[IoSlice<'_>],
        timeout: Duration,
    ) -> Result<(), SendError> {
        self.send_vectored_deadline(parts, deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`send_deadline`](Self::send_deadline).
    pub fn send_vectored_deadline(
        &mut self,
        parts: &[IoSlice<'_>],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        let claim = self.claim_deadline(total_len(parts), deadline)?;
        claim.commit_parts(parts);
        Ok(())
    }

    /// Claims room for a message of `len` bytes, to be written in place, if there is room now. In a ring with
    /// slabs, that is a slab if the message is longer than the
    /// [copy limit](Self::with_copy_limit).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    #[inline]
    pub fn try_claim(&mut self, len: usize) -> Result<Claim<'_>, SendError> {
        Claim::begin(&mut self.sending, &mut self.scratch, len, None)
    }

    /// Claims room for a message of `len` bytes, to be written in place, waiting for it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let mut sender = ring.sender()?;
    /// let mut claim = sender.claim(5)?;
    /// claim.write_at(0, b"hello");
    /// claim.commit();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, SendError> {
        Claim::begin(&mut self.sending, &mut self.scratch, len, Some(&self.wait))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    #[inline]
    pub fn claim_timeout(&mut self, len: usize, timeout: Duration) -> Result<Claim<'_>, SendError> {
        self.claim_deadline(len, deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`send_deadline`](Self::send_deadline).
    #[inline]
    pub fn claim_deadline(
        &mut self,
        len: usize,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Claim<'_>, SendError> {
        let wait = self.wait.until(deadline.into());
        Claim::begin(&mut self.sending, &mut self.scratch, len, Some(&wait))
    }

    /// Sends a message of `len` bytes that `write` puts together in its place, waiting for room. `write` is called once there is room, at most once; what it does not write holds old bytes of the ring.
    ///
    /// A [`Claim`] is aborted when it is dropped, so the compiler takes the handle for borrowed in all arms of
    /// a `match` on a call that returns one. Here nothing is borrowed any more when there is an error:
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{SendError, Sender};
    ///
    /// fn greet(sender: &mut Sender) -> Result<(), SendError> {
    ///     loop {
    ///         match sender.send_with(5, |claim| {
    ///             claim.write_at(0, b"hello");
    ///         }) {
    ///             Err(SendError::PeerDied) => {
    ///                 sender.wait_for_peer()?;
    ///                 continue;
    ///             }
    ///             done => return done,
    ///         }
    ///     }
    /// }
    /// # let ring = ringway::Builder::new("memfd:")?.create()?;
    /// # greet(&mut ring.sender()?)?;
    /// # assert_eq!(ring.receiver()?.recv()?, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    #[inline]
    pub fn send_with(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut Claim<'_>),
    ) -> Result<(), SendError> {
        self.claim(len).map(|claim| claim.commit_with(write))
    }

    /// The same if there is room now.
    ///
    /// # Errors
    /// As [`try_claim`](Self::try_claim).
    #[inline]
    pub fn try_send_with(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut Claim<'_>),
    ) -> Result<(), SendError> {
        self.try_claim(len).map(|claim| claim.commit_with(write))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`claim_timeout`](Self::claim_timeout).
    #[inline]
    pub fn send_with_timeout(
        &mut self,
        len: usize,
        timeout: Duration,
        write: impl FnOnce(&mut Claim<'_>),
    ) -> Result<(), SendError> {
        self.send_with_deadline(len, deadline_after(timeout), write)
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`claim_deadline`](Self::claim_deadline).
    #[inline]
    pub fn send_with_deadline(
        &mut self,
        len: usize,
        deadline: impl Into<Option<Instant>>,
        write: impl FnOnce(&mut Claim<'_>),
    ) -> Result<(), SendError> {
        let claim = self.claim_deadline(len, deadline)?;
        claim.commit_with(write);
        Ok(())
    }

    /// Begins a batch: messages that become visible together, with one wake-up.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let mut sender = ring.sender()?;
    /// let mut batch = sender.batch();
    /// batch.push(b"one")?;
    /// batch.push(b"two")?;
    /// batch.commit();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn batch(&mut self) -> Batch<'_> {
        Batch::new(&mut self.sending)
    }

    /// Who can end a call of this handle that waits. It then returns [`SendError::Interrupted`], and nothing is sent.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.capacity(4096).create()?;
    /// let mut sender = ring.sender()?;
    /// sender.interrupter().interrupt();
    /// // It is the next call that would wait.
    /// while sender.send(&[7; 1000]).is_ok() {}
    /// assert_eq!(sender.try_send(&[7; 1000]), Err(ringway::SendError::Full));
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn interrupter(&mut self) -> Interrupter {
        self.reach.interrupter(self.sending.region())
    }

    /// A number that tells this attachment from all others that the ring's producers ever have: by it a
    /// receiver asks whether it [still lives](crate::Receiver::is_attached).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether the ring has place for several consumers, so that messages may go to different ones.
    pub fn is_shared_out(&self) -> bool {
        self.shared_out
    }

    /// As [`Ring::is_removed`](crate::Ring::is_removed).
    ///
    /// # Errors
    /// The same.
    pub fn is_removed(&self) -> Result<bool, Error> {
        let name = self.sending.region().name();
        name.map_or(Ok(false), |name| name.is_removed())
    }

    /// What is known of the consumer.
    pub fn peer(&self) -> Peer {
        self.sending.peer()
    }

    /// Waits until a consumer is attached. To go on after [`SendError::PeerDied`] or [`SendError::Closed`].
    ///
    /// # Errors
    /// [`SendError::Removed`], [`SendError::Forked`].
    pub fn wait_for_peer(&mut self) -> Result<(), SendError> {
        self.wait_for_peer_deadline(None)
    }

    /// Waits until a consumer is attached, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait_for_peer`](Self::wait_for_peer), and [`SendError::TimedOut`].
    pub fn wait_for_peer_timeout(&mut self, timeout: Duration) -> Result<(), SendError> {
        self.wait_for_peer_deadline(deadline_after(timeout))
    }

    /// Waits until a consumer is attached, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_for_peer_timeout`](Self::wait_for_peer_timeout).
    pub fn wait_for_peer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        self.sending
            .wait_for_peer(&self.wait.until(deadline.into()))
    }

    /// Waits until the consumer has released all that was sent.
    ///
    /// # Errors
    /// [`SendError::Closed`] or [`SendError::PeerDied`] if that will not happen by itself, [`SendError::Removed`],
    /// [`SendError::Corrupt`], [`SendError::Forked`].
    pub fn wait_until_drained(&mut self) -> Result<(), SendError> {
        self.sending.drained_until(&self.wait)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait_until_drained`](Self::wait_until_drained), and [`SendError::TimedOut`].
    pub fn wait_until_drained_timeout(&mut self, timeout: Duration) -> Result<(), SendError> {
        self.sending.drained_until(&self.wait.within(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_until_drained_timeout`](Self::wait_until_drained_timeout).
    pub fn wait_until_drained_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        self.sending
            .drained_until(&self.wait.until(deadline.into()))
    }

    /// Messages that this ring's producers have ever sent: the number of the next one, for a producer
    /// that goes on where another stopped.
    ///
    /// In a ring of kind spsc and sync futex that does not overwrite, this and [`Receiver::received`](crate::Receiver::received) are
    /// exact, whoever died at whatever instruction: who attaches puts them right before it does anything else. So a
    /// process that receives from one ring and sends to another, one message for each, and releases what came in when it has sent,
    /// knows when it is started again what to do with the first message that it is given: of the one that was killed,
    /// `sent` of the output less `received` of the input is 0 if that message is still to be done, and 1 if it was sent on and is only to be
    /// released. `ringway::stage::Stage` does that. (In other rings each death may leave both numbers lower by what one
    /// call sent or released.)
    pub fn sent(&self) -> u64 {
        self.sending.sent()
    }

    /// Messages that this handle overwrote, in a ring made with
    /// [`overwrite_oldest`](crate::Builder::overwrite_oldest).
    pub fn overwritten(&self) -> u64 {
        self.sending.overwritten()
    }

    /// Bytes for messages, with what each takes beside its text ([`Builder::capacity`](crate::Builder::capacity)).
    pub fn capacity(&self) -> u64 {
        self.sending.region().capacity()
    }

    /// The longest message, in bytes: almost half of the capacity, or the longest slab if that has more.
    pub fn max_message_len(&self) -> u64 {
        self.sending.max_len()
    }

    /// Leaves, and ends the stream if this is the last producer: the receiver gets what was sent, then learns that this was
    /// all, until the next producer comes. The same as dropping the handle.
    pub fn close(self) {}

    /// Leaves without ending the stream: the receiver waits for the next producer. If this is the last one to leave, that
    /// is so whatever those before it did.
    pub fn leave(mut self) {
        self.closes = false;
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.reach.end();
        self.sending.listen_no_more();
        self.sending.abort();
        // After a panic what was to be sent is not complete; the participant leaves as the dead do.
        let died = self.unwinding.has_begun();
        match self.closes {
            true if died => {}
            true => self.sending.close(),
            false => self.sending.reopen(),
        }
        if let Some(participant) = self.participant.take() {
            participant.leave(died);
        }
        self.sending.announce_leave();
    }
}

/// Bytes of all parts.
pub(super) fn total_len(parts: &[IoSlice<'_>]) -> usize {
    parts
        .iter()
        .fold(0, |sum, part| sum.saturating_add(part.len()))
}
