//! The messages of a receiver as a `Stream`.

use std::borrow::BorrowMut;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};
use ringway::{Receiver, RecvError};

/// All messages of a [`Receiver`], or of one that is borrowed, up to [`Closed`](RecvError::Closed), which ends the stream.
///
/// Other errors are items; each but [`Interrupted`](RecvError::Interrupted) is the last one. A receiver that was borrowed goes on
/// after the end: the next producer opens the ring again.
///
/// ```
/// use futures_util::StreamExt;
/// use ringway_async::AsyncReceiver;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let ring = ringway::at("memfd:")?.create()?;
/// let (mut sender, receiver) = (ring.sender()?, ring.receiver()?);
/// sender.send(b"one")?;
/// sender.send(b"two")?;
/// drop(sender);
/// let messages: Vec<_> = receiver.into_messages().map(Result::unwrap).collect().await;
/// assert_eq!(messages, [b"one", b"two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Messages<R> {
    receiver: R,
    ended: bool,
}

impl<R: BorrowMut<Receiver>> Messages<R> {
    pub(crate) fn new(receiver: R) -> Self {
        Self {
            receiver,
            ended: false,
        }
    }

    /// The receiver.
    pub fn get_ref(&self) -> &Receiver {
        self.receiver.borrow()
    }

    /// The receiver. What it receives does not come in the stream.
    pub fn get_mut(&mut self) -> &mut Receiver {
        self.receiver.borrow_mut()
    }

    /// The receiver. No message is lost.
    pub fn into_inner(self) -> R {
        self.receiver
    }
}

// Nothing in it is pinned.
impl<R> Unpin for Messages<R> {}

impl<R: BorrowMut<Receiver>> Stream for Messages<R> {
    type Item = Result<Vec<u8>, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let received = self.receiver.borrow_mut().poll_recv(context);
        received.map(|received| {
            self.ended = !matches!(received, Ok(_) | Err(RecvError::Interrupted));
            (received != Err(RecvError::Closed)).then_some(received)
        })
    }
}

impl<R: BorrowMut<Receiver>> FusedStream for Messages<R> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
