//! Messages that are values of one type.
//!
//! A type whose every bit pattern is a value, and that has no padding ([`bytemuck::Pod`]), is sent as its bytes and read
//! as a copy of them. So nothing that a peer writes can make a wrong value of it; what is checked is the length. Both
//! programs must mean the same type, with `#[repr(C)]`: that is between them, as the meaning of all messages is.

use bytemuck::Pod;

use crate::api::detached::DetachedMessage;
use crate::api::message::Message;
use crate::api::receiver::Receiver;
use crate::api::sender::Sender;
use crate::api::view::MessageView;
use crate::error::{RecvError, SendError};

/// The message with that many bytes, of which `read_at` copies from the start, as a value.
pub(crate) fn copy<T: Pod>(len: usize, read_at: impl FnOnce(&mut [u8]) -> usize) -> Option<T> {
    if len != size_of::<T>() {
        return None;
    }
    let mut value = T::zeroed();
    (read_at(bytemuck::bytes_of_mut(&mut value)) == len).then_some(value)
}

impl Sender {
    /// Sends a value as the message of its bytes, waiting for room. `bytemuck::bytes_of` gives these bytes to all other
    /// ways of sending, and `bytemuck::cast_slice` those of many values.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use bytemuck::{Pod, Zeroable};
    ///
    /// #[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
    /// #[repr(C)]
    /// struct Order {
    ///     price: u64,
    ///     amount: u64,
    /// }
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let order = Order { price: 100, amount: 3 };
    /// ring.sender()?.send_pod(&order)?;
    /// assert_eq!(ring.receiver()?.recv_pod::<Order>()?, order);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn send_pod<T: Pod>(&mut self, value: &T) -> Result<(), SendError> {
        self.send(bytemuck::bytes_of(value))
    }
}

impl Receiver {
    /// Receives the next message as a value, waiting for it. With a deadline, or without waiting, [`Message::to_pod`] is
    /// the way.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::WrongLength`], which acknowledges nothing.
    #[inline]
    pub fn recv_pod<T: Pod>(&mut self) -> Result<T, RecvError> {
        let message = self.recv_in_place()?;
        match message.to_pod() {
            Some(value) => {
                message.release();
                Ok(value)
            }
            None => Err(RecvError::WrongLength {
                len: message.len(),
                expected: size_of::<T>(),
            }),
        }
    }
}

impl Message<'_> {
    /// A copy of the message as a value; `None` if it has another length.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// ring.sender()?.send_pod(&[1.5, 2.5])?;
    /// let mut receiver = ring.receiver()?;
    /// let point = receiver.process(|message| message.to_pod::<[f64; 2]>().ok_or("no point"))??;
    /// assert_eq!(point, [1.5, 2.5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn to_pod<T: Pod>(&self) -> Option<T> {
        copy(self.len(), |bytes| self.read_at(0, bytes))
    }
}

impl MessageView<'_> {
    /// A copy of the message as a value; `None` if it has another length.
    #[inline]
    pub fn to_pod<T: Pod>(&self) -> Option<T> {
        copy(self.len(), |bytes| self.read_at(0, bytes))
    }
}

impl DetachedMessage {
    /// A copy of the message as a value; `None` if it has another length.
    #[inline]
    pub fn to_pod<T: Pod>(&self) -> Option<T> {
        copy(self.len(), |bytes| self.read_at(0, bytes))
    }
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use super::*;
    use crate::Builder;

    #[test]
    fn a_message_of_another_length_is_no_value_and_stays() {
        let ring = Builder::new("memfd:").unwrap().create().unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        for message in [&b"1234567"[..], b"123456789", b""] {
            sender.send(message).unwrap();
            let expected = size_of::<u64>();
            let len = message.len();
            let wrong = Err(RecvError::WrongLength { len, expected });
            for _ in 0..2 {
                assert_eq!(receiver.recv_pod::<u64>(), wrong);
            }
            assert_eq!(receiver.recv().unwrap(), message);
        }
        sender.send_pod(&7_u64).unwrap();
        assert_eq!(receiver.recv_pod::<u64>(), Ok(7));
    }

    #[test]
    fn all_that_shows_messages_shows_values() {
        let builder = Builder::new("memfd:").unwrap();
        let ring = builder.slabs(1 << 20, 2).create().unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let value = [0x0102_0304_u32; 40_000];
        sender.send_pod(&value).unwrap();
        sender.send_pod(&1_u8).unwrap();
        let long = receiver.recv_in_place().unwrap().detach().unwrap();
        assert!(!long.is_copy());
        assert_eq!(long.to_pod(), Some(value));
        assert_eq!(long.to_pod::<[u32; 39_999]>(), None);
        let mut shown = None;
        receiver
            .drain(1, |view| shown = view.to_pod::<u8>())
            .unwrap();
        assert_eq!(shown, Some(1));
    }
}
