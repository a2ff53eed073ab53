//! A message as the receiver lends it.

use ringway_core::transport::ReceivedMessage;

use super::QueueReceiver;

/// The message in the buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) len: usize,
    pub(super) priority: u32,
    pub(super) sender: u64,
    /// How often it was lent.
    pub(super) deliveries: u32,
}

/// A message that was taken out of the queue, in the receiver's buffer.
///
/// [`release`](Self::release) acknowledges it. Dropping it gives it back to its receiver, whose next message it is then.
/// It is lost with that one. It has no destructor, so that a loop can go on after an error, as with a ring's
/// [`Message`](ringway_core::Message).
#[derive(Debug)]
#[must_use = "a message that is dropped comes again; `release` acknowledges it"]
pub struct QueueMessage<'a> {
    pub(super) receiver: &'a mut QueueReceiver,
    pub(super) current: Current,
}

impl QueueMessage<'_> {
    /// The message itself. Nobody else has it.
    pub fn bytes(&self) -> &[u8] {
        self.receiver.payload(self.current)
    }

    /// A copy.
    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes().to_vec()
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        let bytes = self.to_vec();
        self.release();
        bytes
    }

    /// Acknowledges the message: it does not come again.
    pub fn release(self) {
        self.receiver.pending = None;
        self.receiver.received += 1;
    }

    /// The priority it was sent with.
    pub fn priority(&self) -> u32 {
        self.current.priority
    }

    /// The number of its sender: [`QueueSender::id`](crate::QueueSender::id).
    pub fn sender(&self) -> u64 {
        self.current.sender
    }

    /// How often the message was received, with this time: 1 the first time.
    pub fn deliveries(&self) -> u32 {
        self.current.deliveries
    }

    /// Whether the message was received before, and given back.
    pub fn redelivered(&self) -> bool {
        self.deliveries() > 1
    }
}

impl ReceivedMessage for QueueMessage<'_> {
    fn len(&self) -> usize {
        self.current.len
    }

    fn is_empty(&self) -> bool {
        self.current.len == 0
    }

    fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let rest = self.bytes().get(offset..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        len
    }

    fn deliveries(&self) -> u32 {
        QueueMessage::deliveries(self)
    }

    fn release(self) {
        QueueMessage::release(self);
    }

    /// It stays the receiver's.
    fn give_back(self) {}
}
