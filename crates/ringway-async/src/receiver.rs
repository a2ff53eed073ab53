//! Futures of a receiver.

use std::future::{Future, poll_fn};

use ringway::{Message, Receiver, RecvError};

#[cfg(feature = "futures")]
use crate::Messages;

mod sealed {
    pub trait Sealed {}
    impl Sealed for ringway::Receiver {}
}

/// A future for each verb of a [`Receiver`] that waits. All are cancel-safe: one that is dropped has received nothing.
pub trait AsyncReceiver: sealed::Sealed {
    /// As [`Receiver::recv`].
    ///
    /// # Errors
    /// As [`Receiver::poll_recv`].
    ///
    /// ```
    /// use ringway_async::AsyncReceiver;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let ring = ringway::at("memfd:")?.create()?;
    /// ring.sender()?.send(b"hello")?;
    /// assert_eq!(ring.receiver()?.recv_async().await?, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn recv_async(&mut self) -> impl Future<Output = Result<Vec<u8>, RecvError>> + Send;

    /// As [`Receiver::recv_into`].
    ///
    /// # Errors
    /// As [`Receiver::poll_recv_into`].
    fn recv_into_async(
        &mut self,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<usize, RecvError>> + Send;

    /// As [`Receiver::process`]: the next message is lent to `work` in place, which does not wait itself, and is acknowledged if that
    /// returns `Ok`.
    ///
    /// # Errors
    /// As [`Receiver::poll_recv_in_place`]. What `work` returns is inside.
    ///
    /// ```
    /// use ringway_async::AsyncReceiver;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let ring = ringway::at("memfd:")?.create()?;
    /// ring.sender()?.send(b"hello")?;
    /// let mut receiver = ring.receiver()?;
    /// let len = receiver.process_async(|message| Ok::<_, ()>(message.len())).await?;
    /// assert_eq!(len, Ok(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn process_async<T, E>(
        &mut self,
        work: impl FnMut(&Message<'_>) -> Result<T, E> + Send,
    ) -> impl Future<Output = Result<Result<T, E>, RecvError>> + Send;

    /// As [`Receiver::wait`]: until there is a message, for [`drain`](Receiver::drain), [`backlog`](Receiver::backlog) and the `try_` verbs.
    ///
    /// # Errors
    /// As [`Receiver::poll_wait`].
    fn wait_async(&mut self) -> impl Future<Output = Result<(), RecvError>> + Send;

    /// As [`Receiver::wait_for_peer`].
    ///
    /// # Errors
    /// As [`Receiver::poll_wait_for_peer`].
    fn wait_for_peer_async(&mut self) -> impl Future<Output = Result<(), RecvError>> + Send;

    /// As [`Receiver::wait_for_producers`].
    ///
    /// # Errors
    /// As [`Receiver::poll_wait_for_producers`].
    fn wait_for_producers_async(
        &mut self,
        count: u64,
    ) -> impl Future<Output = Result<(), RecvError>> + Send;

    /// All messages to the end of the stream, while the handle is borrowed.
    #[cfg(feature = "futures")]
    fn messages(&mut self) -> Messages<&mut Receiver>;

    /// All messages to the end of the stream.
    #[cfg(feature = "futures")]
    fn into_messages(self) -> Messages<Receiver>;
}

impl AsyncReceiver for Receiver {
    fn recv_async(&mut self) -> impl Future<Output = Result<Vec<u8>, RecvError>> + Send {
        poll_fn(|context| self.poll_recv(context))
    }

    fn recv_into_async(
        &mut self,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<usize, RecvError>> + Send {
        poll_fn(|context| self.poll_recv_into(context, buffer))
    }

    fn process_async<T, E>(
        &mut self,
        mut work: impl FnMut(&Message<'_>) -> Result<T, E> + Send,
    ) -> impl Future<Output = Result<Result<T, E>, RecvError>> + Send {
        poll_fn(move |context| self.poll_process(context, &mut work))
    }

    fn wait_async(&mut self) -> impl Future<Output = Result<(), RecvError>> + Send {
        poll_fn(|context| self.poll_wait(context))
    }

    fn wait_for_peer_async(&mut self) -> impl Future<Output = Result<(), RecvError>> + Send {
        poll_fn(|context| self.poll_wait_for_peer(context))
    }

    fn wait_for_producers_async(
        &mut self,
        count: u64,
    ) -> impl Future<Output = Result<(), RecvError>> + Send {
        poll_fn(move |context| self.poll_wait_for_producers(context, count))
    }

    #[cfg(feature = "futures")]
    fn messages(&mut self) -> Messages<&mut Receiver> {
        Messages::new(self)
    }

    #[cfg(feature = "futures")]
    fn into_messages(self) -> Messages<Receiver> {
        Messages::new(self)
    }
}
