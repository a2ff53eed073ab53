//! Receiving for who must not block.

use std::task::{Context, Poll, ready};

use ringway_core::RecvError;
use ringway_core::transport::PollSource;

use super::message::Current;
use super::{QueueMessage, QueueReceiver};

/// # Without a thread that blocks
/// As of a [`Receiver`](ringway_core::Receiver): if there is no message, the task is woken when it is worth calling again, by a thread
/// of this handle's that sleeps for it. For POSIX queues only. Of System V queues no system call waits for a message and leaves it
/// where it is: these say [`RecvError::NoWaiter`].
///
/// A future that is dropped has received nothing.
impl QueueReceiver {
    /// As [`recv`](Self::recv), for a task.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::NoWaiter`].
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_mq as mq; }
    /// use std::task::{Context, Poll, Waker};
    ///
    /// use ringway::mq::QueueBuilder;
    ///
    /// # let address = format!("mq:/ringway-doc-poll-{}", std::process::id());
    /// let queue = QueueBuilder::new(&address)?.create()?;
    /// let (mut sender, mut receiver) = (queue.sender()?, queue.receiver()?);
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(receiver.poll_recv(&mut context).is_pending());
    /// sender.send(b"hello")?;
    /// assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(Ok(b"hello".to_vec())));
    /// # ringway::mq::remove(queue.address(), true)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, RecvError>> {
        self.poll_recv_in_place(context)
            .map_ok(QueueMessage::into_vec)
    }

    /// As [`recv_in_place`](Self::recv_in_place), for a task.
    ///
    /// # Errors
    /// As [`poll_recv`](Self::poll_recv).
    pub fn poll_recv_in_place(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<QueueMessage<'_>, RecvError>> {
        let current = ready!(self.poll_take(context))?;
        Poll::Ready(Ok(self.message(current)))
    }

    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Result<Current, RecvError>> {
        if let Some(done) = self.take_now() {
            return Poll::Ready(done);
        }
        if let Err(errno) = self.inlet.arm(context.waker()) {
            let errno = errno as i32;
            return Poll::Ready(Err(RecvError::NoWaiter { errno }));
        }
        // What came before that is found now, and what comes later wakes.
        self.take_now().map_or(Poll::Pending, Poll::Ready)
    }

    /// `None`: there may be more later.
    fn take_now(&mut self) -> Option<Result<Current, RecvError>> {
        match self.take(None) {
            Err(RecvError::Empty) => None,
            Err(RecvError::Closed | RecvError::PeerDied) if self.follows => None,
            done => Some(done),
        }
    }
}

impl PollSource for QueueReceiver {
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<QueueMessage<'_>, RecvError>> {
        self.poll_recv_in_place(context)
    }
}
