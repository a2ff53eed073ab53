//! Sending for who must not block.

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ringway_core::transport::PollSink;

use super::{ChunkSendError, ChunkSender, Outgoing};
use crate::frame::Header;

impl<S: PollSink> ChunkSender<S> {
    /// As [`send`](Self::send), for a task: a future that sends `message`, fragment by fragment as there is room. One that is dropped half
    /// way gives the message up, as an error does.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`NoWaiter`](ringway_core::SendError::NoWaiter).
    pub fn sending<'a>(&'a mut self, message: &'a [u8]) -> Sending<'a, S> {
        let refused = self.usable_fragment_len().and_then(|len| {
            if message.len() > len {
                self.refuse_if_shared_out()?;
            }
            Ok(len)
        });
        Sending {
            fragment_len: refused,
            outgoing: self.begin(Some(message.len() as u64)),
            rest: message,
        }
    }
}

/// A message of any length on its way out; from [`ChunkSender::sending`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Sending<'a, S: PollSink> {
    fragment_len: Result<usize, ChunkSendError>,
    outgoing: Outgoing<'a, S>,
    rest: &'a [u8],
}

impl<S: PollSink> std::fmt::Debug for Sending<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sending")
            .field("rest", &self.rest.len())
            .finish_non_exhaustive()
    }
}

// Nothing in it is pinned.
impl<S: PollSink> Unpin for Sending<'_, S> {}

impl<S: PollSink> Future for Sending<'_, S> {
    type Output = Result<(), ChunkSendError>;

    /// After it was ready it is not to be polled again.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let fragment_len = match &mut this.fragment_len {
            Ok(len) => *len,
            refused => {
                // Told once.
                let refused = std::mem::replace(refused, Ok(1));
                return Poll::Ready(refused.map(drop));
            }
        };
        loop {
            let (part, behind) = this.rest.split_at(this.rest.len().min(fragment_len));
            ready!(this.outgoing.poll_send(context, part, behind.is_empty()))?;
            this.rest = behind;
            if behind.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: PollSink> Outgoing<'_, S> {
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        part: &[u8],
        last: bool,
    ) -> Poll<Result<(), ChunkSendError>> {
        let header = self.splitter.next(part, last);
        let head: [u8; super::HEADER_LEN] = Header::encode(&header, part);
        let parts = [IoSlice::new(&head), IoSlice::new(part)];
        let sent = ready!(self.sink.poll_send_parts(context, &parts));
        Poll::Ready(self.is_sent(&header, sent))
    }
}
