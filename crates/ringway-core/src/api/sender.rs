//! The sending handle.

use std::io::IoSlice;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::api::sending::{Claimed, Sending};
use crate::error::{Error, SendError};
use crate::memory::region::{Load, Region};
use crate::presence::Peer;
use crate::presence::participant::Participant;
use crate::rings::stream::producer::Pending;
use crate::sys::unwinding::Unwinding;
use crate::waiting::WaitStrategy;

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
    sending: CachePadded<Sending>,
    /// Held until the ring is closed.
    participant: Option<Participant>,
    id: u64,
    /// Whether the ring has place for several consumers.
    shared_out: bool,
    wait: WaitStrategy,
    closes: bool,
    unwinding: Unwinding,
    scratch: Scratch,
}

impl Sender {
    pub(crate) fn new(sending: Sending, participant: Participant, shared_out: bool) -> Self {
        Self {
            sending: CachePadded::new(sending),
            id: participant.id(),
            participant: Some(participant),
            shared_out,
            wait: WaitStrategy::default(),
            closes: true,
            unwinding: Unwinding::new(),
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
        self.wait = wait;
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
        self.sending.try_send(message)
    }

    /// Sends a copy of `message`, waiting for room.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for `Full`, and [`SendError::Removed`]. `PeerDied` only if there is no room.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sending.send_until(message, self.wait, None)
    }

    /// Sends a copy of `message`, waiting for room until `deadline`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::TimedOut`].
    #[inline]
    pub fn send_deadline(&mut self, message: &[u8], deadline: Instant) -> Result<(), SendError> {
        self.sending.send_until(message, self.wait, Some(deadline))
    }

    /// Sends the concatenation of `parts` as one message if there is room now.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        let mut claim = self.try_claim(total_len(parts))?;
        claim.write_vectored(parts);
        claim.commit();
        Ok(())
    }

    /// Sends the concatenation of `parts` as one message, waiting for room; until `deadline` if there
    /// is one.
    ///
    /// # Errors
    /// As [`send_deadline`](Self::send_deadline).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use std::io::IoSlice;
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let parts = [IoSlice::new(b"head "), IoSlice::new(b"and tail")];
    /// ring.sender()?.send_vectored(&parts, None)?;
    /// assert_eq!(ring.receiver()?.recv()?, b"head and tail");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_vectored(
        &mut self,
        parts: &[IoSlice<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        let mut claim = self.claim(total_len(parts), deadline)?;
        claim.write_vectored(parts);
        claim.commit();
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
        let claimed = self.sending.try_claim(len)?;
        Ok(Claim::new(self, claimed, len))
    }

    /// Claims room for a message of `len` bytes, waiting for it; until `deadline` if there is one.
    ///
    /// # Errors
    /// As [`send_deadline`](Self::send_deadline).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let mut sender = ring.sender()?;
    /// let mut claim = sender.claim(5, None)?;
    /// claim.write_at(0, b"hello");
    /// claim.commit();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn claim(&mut self, len: usize, deadline: Option<Instant>) -> Result<Claim<'_>, SendError> {
        let claimed = self.sending.claim_until(len, self.wait, deadline)?;
        Ok(Claim::new(self, claimed, len))
    }

    /// Sends a message of `len` bytes that `write` puts together in its place, waiting for room; until `deadline` if there is
    /// one. `write` is called once there is room, at most once; what it does not write holds old bytes of the ring.
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
    ///         match sender.send_with(5, None, |claim| {
    ///             claim.write_at(0, b"hello");
    ///         }) {
    ///             Err(SendError::PeerDied) => {
    ///                 sender.wait_for_peer(None)?;
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
        deadline: Option<Instant>,
        write: impl FnOnce(&mut Claim<'_>),
    ) -> Result<(), SendError> {
        let mut claim = self.claim(len, deadline)?;
        write(&mut claim);
        claim.commit();
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
        // What a forgotten claim or batch has left is none of this one's.
        self.sending.abort();
        Batch {
            sending: &mut self.sending,
            pending: None,
        }
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

    /// Waits until a consumer is attached; until `deadline` if there is one. To go on after [`SendError::PeerDied`] or
    /// [`SendError::Closed`].
    ///
    /// # Errors
    /// [`SendError::TimedOut`], [`SendError::Removed`], [`SendError::Forked`].
    pub fn wait_for_peer(&mut self, deadline: Option<Instant>) -> Result<(), SendError> {
        if self.sending.region().is_forked() {
            return Err(SendError::Forked);
        }
        match self.sending.wait_for_peer(self.wait, deadline) {
            Some(Peer::Alive) => Ok(()),
            Some(Peer::Absent | Peer::Died | Peer::Closed) => Err(SendError::TimedOut),
            None => Err(SendError::Removed),
        }
    }

    /// Waits until the consumer has released all that was sent; until `deadline` if there is one.
    ///
    /// # Errors
    /// [`SendError::Closed`] or [`SendError::PeerDied`] if that will not happen by itself,
    /// [`SendError::TimedOut`], [`SendError::Removed`], [`SendError::Corrupt`], [`SendError::Forked`].
    pub fn wait_until_drained(&mut self, deadline: Option<Instant>) -> Result<(), SendError> {
        self.sending.drained_until(self.wait, deadline)
    }

    /// Messages that this ring's producers have ever sent: the number of the next one, for a producer
    /// that goes on where another stopped.
    ///
    /// In a ring of kind spsc and sync futex that does not overwrite, this and [`Receiver::received`](crate::Receiver::received) are
    /// exact, whoever died at whatever instruction: who attaches puts them right before it does anything else. So a
    /// process that receives from one ring and sends to another, one message for each, and releases what came in when it has sent,
    /// knows when it is started again what to do with the first message that it is given: of the one that was killed,
    /// `sent` of the output less `received` of the input is 0 if that message is still to be done, and 1 if it was sent on and is only to be
    /// released. `ringway::Stage` does that. (In other rings each death may leave both numbers lower by what one
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

fn total_len(parts: &[IoSlice<'_>]) -> usize {
    parts
        .iter()
        .fold(0, |sum, part| sum.saturating_add(part.len()))
}

/// Private memory for claims, as long as the longest that was needed.
#[derive(Default)]
struct Scratch(Vec<u8>);

impl Scratch {
    /// It starts where a page does, as what is read from a disk directly has to.
    const ALIGN: usize = 4096;

    /// Sees to it that there are `len` bytes.
    fn reserve(&mut self, len: usize) {
        let needed = len.saturating_add(Self::ALIGN);
        if self.0.len() < needed {
            self.0 = vec![0; needed];
        }
    }

    /// The first `len` bytes, for which there is room.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(Self::ALIGN);
        &mut self.0[start..start + len]
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({} bytes)", self.0.len())
    }
}

/// Room for one message, in the ring or in a slab, to be written in place. Nothing of it is seen by anybody before
/// [`commit`](Self::commit); dropping it aborts.
///
/// The memory is not cleared: what is not written holds old bytes of the ring.
#[derive(Debug)]
pub struct Claim<'a> {
    sending: &'a mut Sending,
    claimed: Claimed,
    len: usize,
    committed: bool,
    scratch: &'a mut Scratch,
    /// How far [`write_at`](Self::write_at) has written.
    written: usize,
    /// Whether the message is in `scratch` until it is committed.
    is_apart: bool,
}

impl<'a> Claim<'a> {
    #[inline]
    fn new(sender: &'a mut Sender, claimed: Claimed, len: usize) -> Self {
        Self {
            sending: &mut sender.sending,
            claimed,
            len,
            committed: false,
            scratch: &mut sender.scratch,
            written: 0,
            is_apart: false,
        }
    }

    /// Bytes claimed.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a length of the message, not of a collection"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies `bytes` to `offset` of the message, and returns how many fitted.
    #[inline]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.len.saturating_sub(offset));
        if self.is_apart {
            self.scratch.room(self.len)[offset..offset + len].copy_from_slice(&bytes[..len]);
            return len;
        }
        self.sending.write_at(&self.claimed, offset, &bytes[..len]);
        self.written = self.written.max(offset + len);
        len
    }

    /// The message's memory, to be written directly, also by system calls such as `read`.
    ///
    /// A message in a slab is written where it lies. One in the ring is written to private memory of this handle, and
    /// copied when it is committed: a system call may go on after this process was killed, and the ring cannot
    /// wait for it. ([`write_at`](Self::write_at) copies once, and [`as_mut_ptr`](Self::as_mut_ptr) is for programs that make
    /// the message in place.) The slab of a process that was killed in such a call is lent again when the kernel has freed the process's
    /// memory, and has new pages then. So it is for requests of Linux AIO and io_uring, also with registered buffers
    /// and `O_DIRECT`.
    ///
    /// Slabs as well are written by way of private memory in `sysv:` rings, with huge pages, without /proc, and
    /// where the file system has no locks or cannot punch holes, as the end of such calls cannot be waited for
    /// there.
    ///
    /// # Safety
    /// No other process may touch these bytes while the slice lives. ringway's own peers do not; a
    /// hostile one with access to the segment could, and that would be undefined behaviour here.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use std::io::Read;
    ///
    /// let ring = ringway::Builder::new("memfd:")?.slabs(1 << 20, 4).create()?;
    /// let mut sender = ring.sender()?;
    /// let mut claim = sender.claim(1 << 20, None)?;
    /// let mut zeroes = std::fs::File::open("/dev/zero")?;
    /// // SAFETY: all who have this ring are ringway's own peers.
    /// zeroes.read_exact(unsafe { claim.as_mut_slice() })?;
    /// claim.commit();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        if !self.is_apart {
            if let Some(pointer) = self.sending.lend_pointer(&self.claimed) {
                // SAFETY: `len` bytes of a slab are this claim's and stay mapped while it borrows the handle;
                // that nobody else touches them is the caller's promise.
                return unsafe { std::slice::from_raw_parts_mut(pointer, self.len) };
            }
            self.scratch.reserve(self.len);
            let written = self.scratch.room(self.written);
            self.sending.read_back(&self.claimed, written);
            self.is_apart = true;
        }
        self.scratch.room(self.len)
    }

    /// Where the message's [`len`](Self::len) bytes lie, in the ring or in a slab, to be written there by *this program's
    /// own instructions* until the claim is committed, dropped or written otherwise.
    ///
    /// Not for system calls: one that goes on when this process was killed would write over messages that others
    /// have sent since. [`as_mut_slice`](Self::as_mut_slice) is for them. Otherwise, what is said there of safety is
    /// true of this pointer as well.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        if self.is_apart {
            return self.scratch.room(self.len).as_mut_ptr();
        }
        self.written = self.len;
        self.sending.pointer(&self.claimed)
    }

    /// Sends the message.
    #[inline]
    pub fn commit(self) {
        let len = self.len;
        self.commit_len(len);
    }

    /// Sends the first `len` bytes of the message, or all if it is shorter.
    #[inline]
    pub fn commit_len(mut self, len: usize) {
        let len = len.min(self.len);
        if self.is_apart {
            let message = self.scratch.room(len);
            self.sending.write_at(&self.claimed, 0, message);
        }
        self.sending.commit(self.claimed, len as u64);
        self.committed = true;
    }

    /// Gives the room back, as a drop does.
    pub fn abort(self) {}

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) {
        let mut offset = 0;
        for part in parts {
            offset += self.write_at(offset, part);
        }
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.committed {
            self.sending.abort();
        }
    }
}

/// Messages that become visible together. Dropping it without [`commit`](Self::commit) sends none.
#[derive(Debug)]
pub struct Batch<'a> {
    sending: &'a mut Sending,
    pending: Option<Pending>,
}

impl Batch<'_> {
    /// Adds a copy of `message`, which goes through the ring: it must fit that, slabs or not.
    ///
    /// # Errors
    /// As [`Sender::try_send`]. What was added before stays in the batch; after
    /// [`SendError::Full`], commit and begin another.
    #[inline]
    pub fn push(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sending.push(&mut self.pending, message)
    }

    /// Sends all that was added, and returns how many messages that were.
    #[inline]
    pub fn commit(mut self) -> u64 {
        self.sending.commit_batch(self.pending.take())
    }
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        // Nothing is left of what was committed.
        self.sending.abort();
    }
}
