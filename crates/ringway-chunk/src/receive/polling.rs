//! Receiving for who must not block.

use std::task::{Context, Poll};

use ringway_core::RecvError;
use ringway_core::transport::PollSource;

use super::{ChunkReceiver, ChunkRecvError, Patience, take};
use crate::event::Gathered;

impl<R: PollSource> ChunkReceiver<R> {
    /// As [`recv`](Self::recv), for a task: if no message is whole yet, the task is woken when it is worth calling again. A future that is
    /// dropped loses nothing: fragments that came stay here.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::NoWaiter`].
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_chunk as chunk; }
    /// use std::task::{Context, Poll, Waker};
    ///
    /// use ringway::chunk::{ChunkReceiver, ChunkSender};
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (mut sender, mut receiver) = (ChunkSender::new(ring.sender()?), ChunkReceiver::new(ring.receiver()?));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(receiver.poll_recv(&mut context).is_pending());
    /// sender.send(&vec![7; 1 << 20])?;
    /// let Poll::Ready(message) = receiver.poll_recv(&mut context) else { panic!("it is there") };
    /// assert_eq!(message?.len(), 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, ChunkRecvError>> {
        self.poll_recv_gathered(context)
            .map_ok(|message| message.bytes)
    }

    /// As [`poll_recv`](Self::poll_recv), with the sender.
    ///
    /// # Errors
    /// The same.
    pub fn poll_recv_gathered(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Gathered, ChunkRecvError>> {
        loop {
            if let Some(message) = self.waiting()? {
                return Poll::Ready(Ok(message));
            }
            if self.takes_now()? {
                continue;
            }
            let ended = match self.source.poll_receive(context) {
                Poll::Ready(Ok(message)) => {
                    take(&mut self.reassembler, &mut self.received, message)?;
                    continue;
                }
                Poll::Ready(Err(error)) => Some(error),
                Poll::Pending => None,
            };
            if let Some(error) = ended {
                self.ended(error)?;
                continue;
            }
            // Who of the senders has died is seen now; who dies from here on wakes the task.
            if !self.takes_now()? {
                return Poll::Pending;
            }
        }
    }

    /// Takes a frame, or finds that messages in flight are lost; `false`: neither.
    fn takes_now(&mut self) -> Result<bool, ChunkRecvError> {
        match self.take_frame(Patience::None) {
            Err(ChunkRecvError::Transport(RecvError::Empty)) => Ok(false),
            taken => taken.map(|()| true),
        }
    }
}
