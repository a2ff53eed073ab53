//! The verbs of the handles for who must not block: polled by a future, or with a descriptor in an event loop of one's own.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use crate::api::claim::Claim;
use crate::api::message::Message;
use crate::api::receiver::Receiver;
use crate::api::sender::Sender;
use crate::error::{Attempt, Error, RecvError, SendError};
use crate::memory::layout::participant::Role;
use crate::rings::message::MessageRef;

/// # Without a thread that blocks
/// Each verb that waits has a form that never does, for use in a [`Future`]: `poll_...`. If there is nothing, the task
/// is woken when it is worth calling again, by a thread of this process that sleeps for all such handles, the *waiter*. While messages are there, no
/// system call is made. (It spins for some microseconds, where the [strategy](crate::WaitStrategy) spins, before it gives up.) The crate
/// `ringway-async` has futures, streams and sinks made of these.
///
/// They are cancel-safe: who drops the future loses no message, since one that was received was returned; the next call goes on. One
/// handle has one task at a time: the last that called is woken. It may be woken for nothing.
///
/// With [`descriptor`](Self::descriptor) the same is had for `epoll`, `poll`, and the loops that are made of them.
impl Receiver {
    /// As [`recv`](Self::recv), for a task: if there is no message, the task is woken when it is worth calling again.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::NoWaiter`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(receiver.poll_recv(&mut context).is_pending());
    /// sender.send(b"hello")?;
    /// assert_eq!(receiver.poll_recv(&mut context), Poll::Ready(Ok(b"hello".to_vec())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, RecvError>> {
        let found = ready!(self.poll_take(context))?;
        Poll::Ready(Ok(self.message(found).into_vec()))
    }

    /// As [`recv_into`](Self::recv_into), for a task.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into), and [`RecvError::NoWaiter`].
    #[inline]
    pub fn poll_recv_into(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, RecvError>> {
        // While messages flow, this is all, and part of the caller's loop.
        match self.receiving.recv_at_once(buffer) {
            Some(len) => {
                self.reach.has_found();
                Poll::Ready(Ok(len))
            }
            None => self.poll_recv_into_otherwise(context, buffer),
        }
    }

    #[inline(never)]
    fn poll_recv_into_otherwise(
        &mut self,
        context: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, RecvError>> {
        self.reach.poll(
            &mut *self.receiving,
            self.wait.how,
            context,
            |side, wait| side.recv_into(buffer, wait),
        )
    }

    /// As [`recv_in_place`](Self::recv_in_place), for a task.
    ///
    /// # Errors
    /// As [`recv_in_place`](Self::recv_in_place), and [`RecvError::NoWaiter`].
    #[inline]
    pub fn poll_recv_in_place(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Message<'_>, RecvError>> {
        if let Some(found) = self.receiving.take_at_once() {
            self.reach.has_found();
            return Poll::Ready(Ok(self.message(found)));
        }
        let found = ready!(self.poll_take(context))?;
        Poll::Ready(Ok(self.message(found).shown()))
    }

    /// As [`process`](Self::process), for a task: `work` is called when there is a message, and does not wait itself.
    ///
    /// # Errors
    /// As [`poll_recv_in_place`](Self::poll_recv_in_place). What `work` returns is inside.
    pub fn poll_process<T, E>(
        &mut self,
        context: &mut Context<'_>,
        work: impl FnOnce(&Message<'_>) -> Result<T, E>,
    ) -> Poll<Result<Result<T, E>, RecvError>> {
        self.poll_recv_in_place(context)
            .map_ok(|message| message.process(work))
    }

    fn poll_take(&mut self, context: &Context<'_>) -> Poll<Result<MessageRef, RecvError>> {
        self.reach.poll(
            &mut *self.receiving,
            self.wait.how,
            context,
            |side, wait| side.take(1, wait),
        )
    }

    /// As [`wait`](Self::wait), for a task. [`drain`](Self::drain), [`backlog`](Self::backlog) and the `try_` verbs then find a message, unless another
    /// consumer is faster.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`RecvError::NoWaiter`].
    pub fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        self.reach.poll(
            &mut *self.receiving,
            self.wait.how,
            context,
            |side, wait| match wait {
                Some(wait) => side.ready_until(wait),
                None => side.ready(),
            },
        )
    }

    /// As [`wait_for_peer`](Self::wait_for_peer), for a task.
    ///
    /// # Errors
    /// As [`wait_for_peer`](Self::wait_for_peer), and [`RecvError::NoWaiter`].
    pub fn poll_wait_for_peer(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        self.reach.poll_anew(
            &mut *self.receiving,
            self.wait.how,
            context,
            |side, wait| side.wait_for_peer(wait),
        )
    }

    /// As [`wait_for_producers`](Self::wait_for_producers), for a task.
    ///
    /// # Errors
    /// As [`wait_for_producers`](Self::wait_for_producers), and [`RecvError::NoWaiter`].
    pub fn poll_wait_for_producers(
        &mut self,
        context: &mut Context<'_>,
        count: u64,
    ) -> Poll<Result<(), RecvError>> {
        let ring = &self.known;
        self.reach.poll_anew(
            &mut *self.receiving,
            self.wait.how,
            context,
            |side, wait| side.wait_until(wait, || ring.ever(Role::Producer) >= count),
        )
    }

    /// A descriptor for `epoll`, `poll`, libuv, asyncio and the like. It is readable from the time when an [armed](Self::arm) handle
    /// should look again until it is armed or [disarmed](Self::disarm). So it is for level-triggered loops, and for others too.
    ///
    /// Nothing is to be read from it or written to it. It is this handle's, and closed with it; with `try_clone_to_owned` one
    /// that lives longer is had. It is made at the first call, and is an eventfd.
    ///
    /// The loop is always the same:
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    ///
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// let descriptor = receiver.descriptor()?.try_clone_to_owned()?;
    /// # let other = std::thread::spawn(move || sender.send(b"hello"));
    /// let message = loop {
    ///     // Take what is there ...
    ///     match receiver.try_recv() {
    ///         Err(ringway::RecvError::Empty) => {}
    ///         done => break done?,
    ///     }
    ///     // ... say that one is about to sleep; if something came meanwhile, it is not armed ...
    ///     if receiver.arm()? {
    ///         // ... and sleep, on this and whatever else there is.
    ///         use std::os::fd::AsFd;
    ///         poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    ///     }
    /// };
    /// assert_eq!(message, b"hello");
    /// # other.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// In a loop that calls back (`loop.add_reader` of asyncio), the callback does the first two steps until `arm` returns `true`.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace) if this process can have no more descriptors or threads, [`ErrorKind::Forked`](crate::ErrorKind::Forked).
    pub fn descriptor(&mut self) -> Result<BorrowedFd<'_>, Error> {
        let attempt = Attempt::to("make a descriptor for", &self.known.address);
        self.reach.descriptor(attempt)
    }

    /// Has the [descriptor](Self::descriptor) become readable when there may be a message, or none will come; `false`: there is a message
    /// now, and the descriptor stays as it is, not readable.
    ///
    /// It may become readable for nothing. What was readable before is not any more. A blocking call of this handle takes it back.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`RecvError::NoWaiter`].
    pub fn arm(&mut self) -> Result<bool, RecvError> {
        self.reach.disarm();
        let armed =
            self.reach
                .attempt(&mut *self.receiving, self.wait.how, None, |side, wait| {
                    side.ready_until(wait)
                })?;
        Ok(armed.is_none())
    }

    /// Takes [`arm`](Self::arm) back: the [descriptor](Self::descriptor) is not readable, and does not become so.
    pub fn disarm(&mut self) {
        self.reach.disarm();
    }
}

/// # Without a thread that blocks
/// As of a [`Receiver`](crate::Receiver#without-a-thread-that-blocks): if there is no room, the task is woken when it is worth calling
/// again. A future that is dropped has sent nothing.
impl Sender {
    /// As [`send`](Self::send), for a task: if there is no room, the task is woken when it is worth calling again.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::NoWaiter`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let ring = ringway::Builder::new("memfd:")?.capacity(4096).create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// let mut context = Context::from_waker(Waker::noop());
    /// while sender.poll_send(&mut context, &[7; 1000]).is_ready() {}
    /// while receiver.try_recv().is_ok() {}
    /// assert_eq!(sender.poll_send(&mut context, &[7; 1000]), Poll::Ready(Ok(())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        message: &[u8],
    ) -> Poll<Result<(), SendError>> {
        if self.sending.send_at_once(message) {
            return Poll::Ready(Ok(()));
        }
        self.reach
            .poll_anew(&mut *self.sending, self.wait.how, context, |side, wait| {
                side.send(message, Some(wait))
            })
    }

    /// As [`send_vectored`](Self::send_vectored), for a task.
    ///
    /// # Errors
    /// As [`poll_send`](Self::poll_send).
    pub fn poll_send_vectored(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<(), SendError>> {
        let claim = ready!(self.poll_claim(context, super::sender::total_len(parts)))?;
        claim.commit_parts(parts);
        Poll::Ready(Ok(()))
    }

    /// As [`claim`](Self::claim), for a task.
    ///
    /// # Errors
    /// As [`claim`](Self::claim), and [`SendError::NoWaiter`].
    pub fn poll_claim(
        &mut self,
        context: &mut Context<'_>,
        len: usize,
    ) -> Poll<Result<Claim<'_>, SendError>> {
        let how = self.wait.how;
        let claimed = self
            .reach
            .poll_anew(&mut *self.sending, how, context, |side, wait| {
                side.claim(len, Some(wait))
            });
        let claimed = ready!(claimed)?;
        Poll::Ready(Ok(Claim::of(
            &mut self.sending,
            &mut self.scratch,
            claimed,
            len,
        )))
    }

    /// As [`wait_for_peer`](Self::wait_for_peer), for a task.
    ///
    /// # Errors
    /// As [`wait_for_peer`](Self::wait_for_peer), and [`SendError::NoWaiter`].
    pub fn poll_wait_for_peer(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.reach
            .poll_anew(&mut *self.sending, self.wait.how, context, |side, wait| {
                side.wait_for_peer(wait)
            })
    }

    /// As [`wait_until_drained`](Self::wait_until_drained), for a task.
    ///
    /// # Errors
    /// As [`wait_until_drained`](Self::wait_until_drained), and [`SendError::NoWaiter`].
    pub fn poll_wait_until_drained(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        self.reach
            .poll_anew(&mut *self.sending, self.wait.how, context, |side, wait| {
                side.drained_until(wait)
            })
    }

    /// As [`Receiver::descriptor`](crate::Receiver::descriptor), readable when there may be room.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    /// use std::os::fd::AsFd;
    ///
    /// let ring = ringway::Builder::new("memfd:")?.capacity(4096).create()?;
    /// let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// let descriptor = sender.descriptor()?.try_clone_to_owned()?;
    /// while sender.try_send(&[7; 1000]).is_ok() {}
    /// # let other = std::thread::spawn(move || receiver.recv());
    /// while let Err(ringway::SendError::Full) = sender.try_send(b"late") {
    ///     if sender.arm(4)? {
    ///         poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    ///     }
    /// }
    /// # other.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn descriptor(&mut self) -> Result<BorrowedFd<'_>, Error> {
        let attempt = Attempt::to("make a descriptor for", &self.address);
        self.reach.descriptor(attempt)
    }

    /// Has the [descriptor](Self::descriptor) become readable when there may be room for a message of `len` bytes, or there will be
    /// none; `false`: there is room now, and the descriptor stays as it is, not readable.
    ///
    /// It may become readable for nothing. What was readable before is not any more. A blocking call of this handle takes it back.
    ///
    /// # Errors
    /// As [`claim`](Self::claim), and [`SendError::NoWaiter`].
    pub fn arm(&mut self, len: usize) -> Result<bool, SendError> {
        self.reach.disarm();
        let armed = self
            .reach
            .attempt(&mut *self.sending, self.wait.how, None, |side, wait| {
                side.claim(len, Some(wait))
            })?;
        if armed.is_some() {
            self.sending.abort();
        }
        Ok(armed.is_none())
    }

    /// Takes [`arm`](Self::arm) back: the [descriptor](Self::descriptor) is not readable, and does not become so.
    pub fn disarm(&mut self) {
        self.reach.disarm();
    }
}
