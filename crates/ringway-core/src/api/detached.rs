//! Messages that outlive their place in the ring.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::api::reader::MessageReader;
use crate::api::view::MessageView;
use crate::memory::layout::control::SPACE_EVENT;
use crate::memory::layout::participant::Role;
use crate::memory::layout::pool::Holder;
use crate::memory::region::Region;
use crate::memory::region::memory::Memory;
use crate::presence::Outlook;
use crate::presence::participant::Participant;
use crate::rings::cell::notify::Notifier;
use crate::rings::pool::{self, Loan};
use crate::rings::stream::{CONSUMER, PRODUCER};
use crate::waiting::eventcount;

/// A consumer's place among the participants: kept until its handle and all messages that it detached are
/// gone, because a slab is its holder's only while that one lives. How the handle ended decides how the place is left:
///
/// | the handle is dropped | a message that it holds | its place, if no detached message lives | else |
/// |---|---|---|---|
/// | in order, or by [`close`](crate::Receiver::close) | is given back | is left: absent, or closed | alive; absent or closed when the last one is dropped, be it by a panic |
/// | by a panic | is given back | is left as the dead leave it | alive; dead when the last one is dropped |
/// | not at all: the process dies | is the next one's, by repair | is marked dead by the kernel | the same, and a reclaimer frees the slabs |
///
/// While a detached message outlives its handle, the place stays taken and its peers see somebody alive.
#[derive(Debug)]
pub(crate) struct ConsumerSlot {
    region: Memory,
    participant: Option<Participant>,
    me: Holder,
    outlook: Outlook,
    /// Of a cell ring: whom to tell.
    notifier: Option<Notifier>,
    /// Whether the handle ended by a panic.
    died: AtomicBool,
}

impl ConsumerSlot {
    pub(crate) fn new(
        region: Memory,
        participant: Participant,
        notifier: Option<Notifier>,
    ) -> Self {
        Self {
            region,
            me: Holder::new(participant.slot, participant.epoch),
            outlook: participant.outlook,
            participant: Some(participant),
            notifier,
            died: AtomicBool::new(false),
        }
    }

    /// The handle's part of it ends, perhaps by a panic.
    pub(crate) fn end(self: Arc<Self>, died: bool) {
        // Relaxed: the count of references orders this before the last one's drop.
        self.died.store(died, Ordering::Relaxed);
    }

    /// How the consumer sees the other participants.
    pub(crate) fn outlook(&self) -> Outlook {
        self.outlook
    }

    fn free(&self, loan: &Loan) {
        if self.region.is_forked() {
            return;
        }
        pool::free(&self.region, self.me, loan);
        match &self.notifier {
            Some(notifier) => notifier.notify(&self.region, Role::Producer),
            None => eventcount::announce(&self.region, SPACE_EVENT),
        }
    }
}

impl Drop for ConsumerSlot {
    fn drop(&mut self) {
        // If it closed itself, that stands: its own place is held yet.
        if let Some(notifier) = &self.notifier
            && !self.region.is_forked()
        {
            notifier.reopen(&self.region);
        }
        if let Some(participant) = self.participant.take() {
            participant.leave(*self.died.get_mut());
        }
        match &self.notifier {
            _ if self.region.is_forked() => {}
            Some(notifier) => notifier.announce(&self.region, Role::Consumer),
            None => CONSUMER.announce(PRODUCER, &self.region),
        }
    }
}

/// A message that was received, acknowledged and [kept](crate::Message::detach). It does not come again, whatever happens to
/// it: dropping it gives back its slab, not the message. Who needs it again if the work fails holds the
/// [`Message`](crate::Message) until it is done.
///
/// While one that lies in a slab lives, its receiver keeps its place in the ring, also if the
/// [`Receiver`](crate::Receiver) itself is dropped.
#[derive(Debug)]
pub struct DetachedMessage {
    kept: Kept,
    number: u64,
    deliveries: u32,
}

#[derive(Debug)]
enum Kept {
    /// Where it was written.
    InSlab(Arc<ConsumerSlot>, Loan),
    /// In memory of this process.
    Copy(Vec<u8>),
}

impl DetachedMessage {
    pub(crate) fn keep(consumer_slot: Arc<ConsumerSlot>, loan: Loan) -> Self {
        Self {
            kept: Kept::InSlab(consumer_slot, loan),
            number: 0,
            deliveries: 1,
        }
    }

    pub(crate) fn copied(bytes: Vec<u8>) -> Self {
        Self {
            kept: Kept::Copy(bytes),
            number: 0,
            deliveries: 1,
        }
    }

    /// The same message with its number, and how often it was delivered.
    pub(crate) fn with_origin(mut self, (number, deliveries): (u64, u32)) -> Self {
        (self.number, self.deliveries) = (number, deliveries);
        self
    }

    /// As [`Message::number`](crate::Message::number).
    pub fn number(&self) -> u64 {
        self.number
    }

    /// As [`Message::deliveries`](crate::Message::deliveries).
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// As [`Message::redelivered`](crate::Message::redelivered).
    pub fn redelivered(&self) -> bool {
        self.deliveries > 1
    }

    /// Bytes of the message.
    pub fn len(&self) -> usize {
        match &self.kept {
            Kept::InSlab(_, loan) => loan.len as usize,
            Kept::Copy(bytes) => bytes.len(),
        }
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is a copy in memory of this process, because the message lay in the ring.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.slabs(1 << 20, 4).create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// sender.send(b"short")?;
    /// assert!(receiver.recv_in_place()?.detach()?.is_copy());
    /// sender.send(&[7; 1 << 20])?;
    /// assert!(!receiver.recv_in_place()?.detach()?.is_copy());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_copy(&self) -> bool {
        matches!(self.kept, Kept::Copy(_))
    }

    /// Copies from `offset` of the message to the start of `buffer`, and returns how many bytes.
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(self.len().saturating_sub(offset));
        let target = &mut buffer[..len];
        match &self.kept {
            _ if len == 0 => {}
            Kept::InSlab(consumer_slot, loan) => {
                consumer_slot
                    .region
                    .read_slab(loan.at + offset as u64, target);
            }
            Kept::Copy(bytes) => target.copy_from_slice(&bytes[offset..offset + len]),
        }
        len
    }

    /// A copy of the whole message.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// Reads the message from the front to the back, a block at a time; a [copy](Self::is_copy) is one block.
    pub fn reader(&self) -> MessageReader<'_> {
        match &self.kept {
            Kept::InSlab(consumer_slot, loan) => {
                let view = MessageView::in_slab(&consumer_slot.region, loan.at, self.len());
                MessageReader::of_shared(view)
            }
            Kept::Copy(bytes) => MessageReader::of_private(bytes),
        }
    }

    /// The message's memory itself.
    ///
    /// # Safety
    /// No other process may write these bytes while the slice lives. ringway's own senders do not before
    /// this is dropped; a hostile one could, and that would be undefined behaviour here.
    pub unsafe fn as_slice(&self) -> &[u8] {
        match &self.kept {
            Kept::InSlab(consumer_slot, loan) => {
                let pointer = consumer_slot.region.slab_pointer(loan.at);
                // SAFETY: `len` bytes from here lie in a slab, which stays mapped while the region lives;
                // that nobody writes them is the caller's promise.
                unsafe { std::slice::from_raw_parts(pointer, loan.len as usize) }
            }
            Kept::Copy(bytes) => bytes,
        }
    }
}

impl Drop for DetachedMessage {
    fn drop(&mut self) {
        if let Kept::InSlab(consumer_slot, loan) = &self.kept {
            consumer_slot.free(loan);
        }
    }
}
