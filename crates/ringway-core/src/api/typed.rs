//! Messages that are values of one type.
//!
//! A type whose every bit pattern is a value, and that has no padding ([`bytemuck::Pod`]), is sent as its bytes and read
//! as a copy of them. So nothing that a peer writes can make a wrong value of it; what is checked of each message is the length. Both
//! programs must mean the same type, with `#[repr(C)]`. Where they say what that is ([`MessageType`]), it is checked when a typed handle is made.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use bytemuck::{AnyBitPattern, NoUninit, Pod};

use crate::api::detached::DetachedMessage;
use crate::api::message::Message;
use crate::api::receiver::Receiver;
use crate::api::ring::Ring;
use crate::api::sender::Sender;
use crate::api::subscription::Subscription;
use crate::api::view::MessageView;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, RecvError, SendError};
#[cfg(doc)]
use crate::memory::layout::message_type::MessageType;
use crate::waiting::{WaitOptions, deadline_after};

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
        let wait = self.wait;
        self.recv_value(Some(&wait))
    }

    #[inline(always)]
    fn recv_value<T: NoUninit + AnyBitPattern>(
        &mut self,
        wait: Option<&WaitOptions>,
    ) -> Result<T, RecvError> {
        let mut value = MaybeUninit::uninit();
        match self.receiving.recv_value_at_once(&mut value) {
            // SAFETY: it says so.
            true => Ok(unsafe { value.assume_init() }),
            false => self.recv_value_otherwise(wait),
        }
    }

    #[inline(never)]
    fn recv_value_otherwise<T: NoUninit + AnyBitPattern>(
        &mut self,
        wait: Option<&WaitOptions>,
    ) -> Result<T, RecvError> {
        let mut value = T::zeroed();
        self.recv_all_until(std::slice::from_mut(&mut value), wait)?;
        Ok(value)
    }
}

impl Ring {
    /// The same ring, for messages that are values of one type: handles with which nothing else can be sent or received.
    ///
    /// That the other programs mean the same type is checked if the ring's creator has said what it is
    /// ([`Builder::message_type`](crate::Builder::message_type)); of each message its length is.
    ///
    /// The length is known when the program is compiled, so these are the fastest way to carry short messages.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?.typed::<[f64; 2]>();
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// sender.send(&[1.5, 2.5])?;
    /// assert_eq!(receiver.recv()?, [1.5, 2.5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn typed<T: NoUninit + AnyBitPattern>(self) -> TypedRing<T> {
        TypedRing {
            ring: self,
            _values: PhantomData,
        }
    }
}

/// A ring for values of one type ([`Ring::typed`]).
#[derive(Clone, Debug)]
pub struct TypedRing<T> {
    ring: Ring,
    _values: PhantomData<fn(T) -> T>,
}

impl<T: NoUninit + AnyBitPattern> TypedRing<T> {
    /// As [`Ring::sender`].
    ///
    /// # Errors
    /// As [`Ring::sender`], and [`ErrorKind::Incompatible`] if the ring's messages are another type.
    pub fn sender(&self) -> Result<TypedSender<T>, Error> {
        self.ring.check_typed::<T>()?;
        self.ring.sender().map(TypedSender::of)
    }

    /// As [`Ring::receiver`].
    ///
    /// # Errors
    /// As [`Ring::receiver`], and [`ErrorKind::Incompatible`] if the ring's messages are another type.
    pub fn receiver(&self) -> Result<TypedReceiver<T>, Error> {
        self.subscribe(&Subscription::new())
    }

    /// As [`Ring::subscribe`].
    ///
    /// # Errors
    /// As [`Ring::subscribe`], and [`ErrorKind::Incompatible`] if the ring's messages are another type.
    pub fn subscribe(&self, subscription: &Subscription) -> Result<TypedReceiver<T>, Error> {
        self.ring.check_typed::<T>()?;
        self.ring.subscribe(subscription).map(TypedReceiver::of)
    }

    /// The ring, for messages of all sorts.
    pub fn untyped(&self) -> &Ring {
        &self.ring
    }
}

/// A [`Sender`] of values of one type.
#[derive(Debug)]
pub struct TypedSender<T> {
    sender: Sender,
    _values: PhantomData<fn(T)>,
}

impl<T: NoUninit> TypedSender<T> {
    /// Sends nothing else by `sender`. What the ring says of its messages is not asked.
    pub fn of(sender: Sender) -> Self {
        Self {
            sender,
            _values: PhantomData,
        }
    }

    /// The sender itself, for all that is not about single values.
    pub fn untyped(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// The sender itself.
    pub fn into_untyped(self) -> Sender {
        self.sender
    }

    /// Sends a value as the message of its bytes, waiting for room.
    ///
    /// # Errors
    /// As [`Sender::send`].
    #[inline(always)]
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        // A part of the caller's code, where the compiler knows the length.
        let wait = &self.sender.wait;
        self.sender
            .sending
            .send(bytemuck::bytes_of(value), Some(wait))
    }

    /// The same if there is room now.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.sender.try_send(bytemuck::bytes_of(value))
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`Sender::send_timeout`].
    #[inline]
    pub fn send_timeout(&mut self, value: &T, timeout: Duration) -> Result<(), SendError> {
        self.sender.send_timeout(bytemuck::bytes_of(value), timeout)
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`Sender::send_deadline`].
    #[inline]
    pub fn send_deadline(
        &mut self,
        value: &T,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), SendError> {
        self.sender
            .send_deadline(bytemuck::bytes_of(value), deadline)
    }

    /// As [`Sender::send_all`], whose other forms [`untyped`](Self::untyped) has.
    ///
    /// # Errors
    /// As [`Sender::send_all`].
    pub fn send_all(&mut self, values: &[T]) -> Result<usize, SendError> {
        self.sender.send_all(values)
    }
}

/// A [`Receiver`] of values of one type.
#[derive(Debug)]
pub struct TypedReceiver<T> {
    receiver: Receiver,
    _values: PhantomData<fn() -> T>,
}

impl<T: NoUninit + AnyBitPattern> TypedReceiver<T> {
    /// Receives nothing else by `receiver`. What the ring says of its messages is not asked.
    pub fn of(receiver: Receiver) -> Self {
        Self {
            receiver,
            _values: PhantomData,
        }
    }

    /// The receiver itself, for all that is not about single values.
    pub fn untyped(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// The receiver itself.
    pub fn into_untyped(self) -> Receiver {
        self.receiver
    }

    /// Receives the next message as a value, waiting for it.
    ///
    /// # Errors
    /// As [`Receiver::recv`], and [`RecvError::WrongLength`], which acknowledges nothing.
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        let wait = self.receiver.wait;
        self.receiver.recv_value(Some(&wait))
    }

    /// The same if there is one now.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`], and [`RecvError::WrongLength`], which acknowledges nothing.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        self.receiver.recv_value(None)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::TimedOut`].
    #[inline]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvError> {
        self.recv_deadline(deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::TimedOut`].
    #[inline]
    pub fn recv_deadline(&mut self, deadline: impl Into<Option<Instant>>) -> Result<T, RecvError> {
        let wait = self.receiver.wait.until(deadline.into());
        self.receiver.recv_value(Some(&wait))
    }

    /// As [`Receiver::recv_all`], whose other forms [`untyped`](Self::untyped) has.
    ///
    /// # Errors
    /// As [`Receiver::recv_all`].
    pub fn recv_all(&mut self, values: &mut [T]) -> Result<usize, RecvError> {
        self.receiver.recv_all(values)
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
    use crate::{Builder, Kind};

    #[test]
    fn typed_handles_carry_values_and_leave_others_alone() {
        for kind in [Kind::Spsc, Kind::Mpmc] {
            let ring = Builder::new("memfd:").unwrap().kind(kind).create().unwrap();
            let ring = ring.typed::<u64>();
            let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
            let moment = Duration::from_millis(1);
            assert_eq!(receiver.recv_timeout(moment), Err(RecvError::TimedOut));
            for value in 0..10_000 {
                sender.send(&value).unwrap();
                assert_eq!(receiver.recv(), Ok(value));
            }
            sender.try_send(&1).unwrap();
            sender.send_timeout(&2, moment).unwrap();
            assert_eq!(sender.send_all(&[3, 4]), Ok(2));
            assert_eq!(receiver.recv_deadline(None), Ok(1));
            let mut values = [0; 4];
            assert_eq!(receiver.recv_all(&mut values), Ok(3));
            assert_eq!(values[..3], [2, 3, 4]);
            for message in [&b"1234567"[..], b"123456789"] {
                sender.untyped().send(message).unwrap();
                let (len, expected) = (message.len(), 8);
                let wrong = Err(RecvError::WrongLength { len, expected });
                assert_eq!(receiver.try_recv(), wrong);
                assert_eq!(receiver.recv(), wrong);
                assert_eq!(receiver.untyped().recv().unwrap(), message);
            }
            sender.into_untyped().close();
            assert_eq!(receiver.recv(), Err(RecvError::Closed));
        }
    }

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
