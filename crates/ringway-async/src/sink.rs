//! A sender as a `Sink`.

use std::borrow::BorrowMut;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use ringway::{SendError, Sender};

/// A [`Sender`], or one that is borrowed, as a sink of messages.
///
/// A message goes to the ring when it is given, if there is room; else it is kept, and goes before the next one is accepted, or by flushing.
/// Who drops the sink without flushing drops that one message with it. Closing flushes; the sender leaves when the sink
/// is dropped, unless it is borrowed.
///
/// ```
/// use futures_util::SinkExt;
/// use ringway_async::AsyncSender;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let ring = ringway::at("memfd:")?.create()?;
/// let mut sink = ring.sender()?.into_sink();
/// sink.send(b"hello").await?;
/// assert_eq!(ring.receiver()?.recv()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is polled"]
pub struct MessagesSink<S> {
    sender: S,
    /// What was accepted when there was no room.
    kept: Option<Vec<u8>>,
}

impl<S: BorrowMut<Sender>> MessagesSink<S> {
    pub(crate) fn new(sender: S) -> Self {
        Self { sender, kept: None }
    }

    /// The sender.
    pub fn get_ref(&self) -> &Sender {
        self.sender.borrow()
    }

    /// The sender. What it sends goes before a message that is kept.
    pub fn get_mut(&mut self) -> &mut Sender {
        self.sender.borrow_mut()
    }

    /// The sender, and the message that was accepted and not sent.
    pub fn into_inner(self) -> (S, Option<Vec<u8>>) {
        (self.sender, self.kept)
    }

    fn poll_send_kept(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(message) = &self.kept else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(self.sender.borrow_mut().poll_send(context, message));
        // One that cannot be sent is not tried for ever; one that was interrupted is still to be sent.
        if sent != Err(SendError::Interrupted) {
            self.kept = None;
        }
        Poll::Ready(sent)
    }
}

// Nothing in it is pinned.
impl<S> Unpin for MessagesSink<S> {}

impl<S: BorrowMut<Sender>, M: AsRef<[u8]>> Sink<M> for MessagesSink<S> {
    type Error = SendError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        self.poll_send_kept(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), SendError> {
        let message = message.as_ref();
        match self.sender.borrow_mut().try_send(message) {
            Err(SendError::Full) => {
                self.kept = Some(message.to_vec());
                Ok(())
            }
            done => done,
        }
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        self.poll_send_kept(context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        self.poll_send_kept(context)
    }
}
