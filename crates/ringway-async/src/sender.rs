//! Futures of a sender.

use std::future::{Future, poll_fn};
use std::io::IoSlice;

use ringway::message::Claim;
use ringway::{SendError, Sender};

#[cfg(feature = "futures")]
use crate::MessagesSink;

mod sealed {
    pub trait Sealed {}
    impl Sealed for ringway::Sender {}
}

/// A future for each verb of a [`Sender`] that waits. All are cancel-safe: one that is dropped has sent nothing.
pub trait AsyncSender: sealed::Sealed {
    /// As [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::poll_send`].
    fn send_async(&mut self, message: &[u8]) -> impl Future<Output = Result<(), SendError>> + Send;

    /// As [`Sender::send_vectored`].
    ///
    /// # Errors
    /// As [`Sender::poll_send_vectored`].
    fn send_vectored_async(
        &mut self,
        parts: &[IoSlice<'_>],
    ) -> impl Future<Output = Result<(), SendError>> + Send;

    /// As [`Sender::send_with`]: a message of `len` bytes that `write` puts together in its place, once there is room.
    ///
    /// # Errors
    /// As [`Sender::poll_claim`].
    ///
    /// ```
    /// use ringway_async::AsyncSender;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let ring = ringway::at("memfd:")?.create()?;
    /// let hello = |claim: &mut ringway::message::Claim<'_>| {
    ///     claim.write_at(0, b"hello");
    /// };
    /// ring.sender()?.send_with_async(5, hello).await?;
    /// assert_eq!(ring.receiver()?.recv()?, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn send_with_async(
        &mut self,
        len: usize,
        write: impl FnMut(&mut Claim<'_>) + Send,
    ) -> impl Future<Output = Result<(), SendError>> + Send;

    /// As [`Sender::wait_for_peer`].
    ///
    /// # Errors
    /// As [`Sender::poll_wait_for_peer`].
    fn wait_for_peer_async(&mut self) -> impl Future<Output = Result<(), SendError>> + Send;

    /// As [`Sender::wait_until_drained`].
    ///
    /// # Errors
    /// As [`Sender::poll_wait_until_drained`].
    fn wait_until_drained_async(&mut self) -> impl Future<Output = Result<(), SendError>> + Send;

    /// A sink of messages, while the handle is borrowed.
    #[cfg(feature = "futures")]
    fn sink(&mut self) -> MessagesSink<&mut Sender>;

    /// A sink of messages.
    #[cfg(feature = "futures")]
    fn into_sink(self) -> MessagesSink<Sender>;
}

impl AsyncSender for Sender {
    fn send_async(&mut self, message: &[u8]) -> impl Future<Output = Result<(), SendError>> + Send {
        poll_fn(|context| self.poll_send(context, message))
    }

    fn send_vectored_async(
        &mut self,
        parts: &[IoSlice<'_>],
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        poll_fn(|context| self.poll_send_vectored(context, parts))
    }

    fn send_with_async(
        &mut self,
        len: usize,
        mut write: impl FnMut(&mut Claim<'_>) + Send,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        poll_fn(move |context| {
            self.poll_claim(context, len).map_ok(|mut claim| {
                write(&mut claim);
                claim.commit();
            })
        })
    }

    fn wait_for_peer_async(&mut self) -> impl Future<Output = Result<(), SendError>> + Send {
        poll_fn(|context| self.poll_wait_for_peer(context))
    }

    fn wait_until_drained_async(&mut self) -> impl Future<Output = Result<(), SendError>> + Send {
        poll_fn(|context| self.poll_wait_until_drained(context))
    }

    #[cfg(feature = "futures")]
    fn sink(&mut self) -> MessagesSink<&mut Sender> {
        MessagesSink::new(self)
    }

    #[cfg(feature = "futures")]
    fn into_sink(self) -> MessagesSink<Sender> {
        MessagesSink::new(self)
    }
}
