//! Calling and serving without a thread that blocks: as a task, or with a descriptor in an event loop of one's own; and what ends a call
//! that waits.
//!
//! The process's waiter wakes who is armed when the desk says something new, or when it is time to look: a call looks again by itself after 5 to
//! 160 ms, and a server every 50 ms while something is on its way to callers.
//!
//! A future that is dropped has taken no request. One of an answer leaves the call as it is; dropping the [`Answers`] ends it.

use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ringway_core::Error;
use ringway_core::board::GetError;
use ringway_core::wait::Interrupter;

use crate::answers::{Answers, By, told};
use crate::client::Client;
use crate::error::{CallError, ServeError};
use crate::request::Request;
use crate::seat::{Begun, Outgoing, Tail};
use crate::server::Server;
use crate::waiting::{Waiting, is_past};

/// # Without a thread that blocks
/// The methods named `poll_` are those for a task. Who drops a future made of them has lost nothing.
impl Server {
    /// As [`next`](Self::next), for a task.
    ///
    /// # Errors
    /// As [`next`](Self::next), and [`ServeError::NoWaiter`].
    ///
    /// ```
    /// # let name = format!("shm:ringway-doc-poll-{}", std::process::id());
    /// use ringway_service::{connect, serve};
    /// use std::task::{Context, Waker};
    ///
    /// let mut server = serve(&name)?.start()?;
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(server.poll_next(&mut context).is_pending());
    /// # ringway_core::remove(server.address(), true)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Request<'_>, ServeError>> {
        let found = ready!(self.next_begun(&mut Waiting::Task(context), None));
        Poll::Ready(found.map(|(desk, begun)| Request::new(self, desk, begun)))
    }

    /// The same in two steps, for futures, which cannot lend what they borrow: a request that is found is [taken](Self::take_found) at once.
    #[doc(hidden)]
    pub fn poll_found(&mut self, context: &mut Context<'_>) -> Poll<Result<Found, ServeError>> {
        let found = ready!(self.next_begun(&mut Waiting::Task(context), None));
        Poll::Ready(found.map(|(desk, begun)| Found(desk, begun)))
    }

    /// The request that was found.
    #[doc(hidden)]
    pub fn take_found(&mut self, found: Found) -> Request<'_> {
        Request::new(self, found.0, found.1)
    }

    /// As [`finish`](Self::finish), for a task, which is ready when all is taken.
    ///
    /// # Errors
    /// As [`poll_next`](Self::poll_next).
    pub fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        while self.is_sending_any() {
            ready!(self.pump(&mut Waiting::Task(context), None, None))?;
        }
        Poll::Ready(Ok(()))
    }

    /// A descriptor as [`Receiver::descriptor`](ringway_core::Receiver::descriptor): readable when there may be a request, or something is to be
    /// done for callers. The loop is the same, with [`try_next`](Self::try_next) and [`arm`](Self::arm).
    ///
    /// # Errors
    /// The same.
    pub fn descriptor(&mut self) -> Result<BorrowedFd<'_>, Error> {
        self.changes.descriptor()
    }

    /// Has the [descriptor](Self::descriptor) become readable when [`try_next`](Self::try_next) is worth calling, and returns `true`; or returns
    /// `false`: it is now. It may become readable for nothing.
    ///
    /// # Errors
    /// As [`poll_next`](Self::poll_next).
    pub fn arm(&mut self) -> Result<bool, ServeError> {
        self.look_after_busy()?;
        if !self.backlog.is_empty() {
            return Ok(false);
        }
        let look = self.next_look();
        self.arm_at(look)
    }

    /// What can be done of [`finish`](Self::finish) without waiting. Says whether all is taken.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn try_finish(&mut self) -> Result<bool, ServeError> {
        while self.is_sending_any() {
            if self.pump(&mut Waiting::Not, None, None)?.is_pending() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`arm`](Self::arm), for [`try_finish`](Self::try_finish): requests that wait are passed over.
    ///
    /// # Errors
    /// The same.
    pub fn arm_to_finish(&mut self) -> Result<bool, ServeError> {
        self.look_after_busy()?;
        let look = self.next_look();
        self.arm_at(look)
    }

    fn arm_at(&mut self, look: Option<Instant>) -> Result<bool, ServeError> {
        match self.changes.arm(look)? {
            Some(place) => {
                let desk = self.shared.place.desk_at(place);
                self.backlog.push_back(desk);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Takes [`arm`](Self::arm) back.
    pub fn disarm(&mut self) {
        self.changes.disarm();
    }

    /// What ends a call of this handle that waits, with [`ServeError::Interrupted`]; see
    /// [`Receiver::interrupter`](ringway_core::Receiver::interrupter).
    pub fn interrupter(&mut self) -> Interrupter {
        self.changes.interrupter()
    }
}

/// A request that this server has begun with.
#[doc(hidden)]
#[derive(Debug)]
pub struct Found(u32, Begun);

impl Request<'_> {
    /// As [`send`](Self::send), until `moment`: if the caller has not taken what was sent before until then, it is pending, and nothing of `part` was sent.
    /// Of a long part the rest goes with the calls that follow, as of [`poll_send`](Self::poll_send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_until(&mut self, part: &[u8], moment: Instant) -> Poll<Result<(), ServeError>> {
        ready!(self.go_on(&mut Waiting::Blocked, Some(moment), true))?;
        Poll::Ready(self.say(Outgoing::new(
            self.call,
            self.sent,
            part.to_vec(),
            Tail::Part,
        )))
    }

    /// Goes on with the part that was sent last, until all of it is on its way, or until `moment`: then it is pending.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn flush_until(&mut self, moment: Instant) -> Poll<Result<(), ServeError>> {
        self.go_on(&mut Waiting::Blocked, Some(moment), false)
    }

    /// Has the server's [descriptor](Server::descriptor) become readable when [`send_until`](Self::send_until) is worth calling again, and returns `true`; or
    /// returns `false`: it is now. It may become readable for nothing.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`ServeError::NoWaiter`].
    pub fn arm(&mut self) -> Result<bool, ServeError> {
        let look = self.next_look();
        self.server.arm_at(look)
    }

    /// Takes [`arm`](Self::arm) back.
    pub fn disarm(&mut self) {
        self.server.disarm();
    }

    /// As [`Server::descriptor`].
    ///
    /// # Errors
    /// The same.
    pub fn descriptor(&mut self) -> Result<BorrowedFd<'_>, Error> {
        self.server.descriptor()
    }

    /// As [`send`](Self::send), for a task: while it is pending, nothing of `part` was sent. Of a part that is longer than the service's
    /// [`part_len`](crate::Serve::part_len) the rest goes with the calls that follow ([`poll_flush`](Self::poll_flush), another part, the end).
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`ServeError::NoWaiter`].
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        part: &[u8],
    ) -> Poll<Result<(), ServeError>> {
        ready!(self.go_on(&mut Waiting::Task(context), None, true))?;
        Poll::Ready(self.say(Outgoing::new(
            self.call,
            self.sent,
            part.to_vec(),
            Tail::Part,
        )))
    }

    /// Goes on with the part that was sent last, until all of it is on its way.
    ///
    /// # Errors
    /// As [`poll_send`](Self::poll_send).
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        self.go_on(&mut Waiting::Task(context), None, false)
    }
}

/// # Without a thread that blocks
/// A call is begun by [`stream`](Self::stream), and its [`Answers`] are polled.
impl Client {
    /// A descriptor as [`Receiver::descriptor`](ringway_core::Receiver::descriptor): readable when there may be something of the answer, or something
    /// is to be done for it. The loop is the same, with [`Answers::next_part_until`] and [`Answers::arm`].
    ///
    /// # Errors
    /// The same.
    pub fn descriptor(&mut self) -> Result<BorrowedFd<'_>, Error> {
        self.desk.answers.descriptor()
    }

    /// What ends a call of this handle that waits, with [`CallError::Interrupted`]; see
    /// [`Receiver::interrupter`](ringway_core::Receiver::interrupter).
    pub fn interrupter(&mut self) -> Interrupter {
        self.desk.answers.interrupter()
    }
}

impl Answers<'_> {
    /// As [`next_part`](Self::next_part), for a task.
    ///
    /// # Errors
    /// As [`next_part`](Self::next_part), and [`CallError::NoWaiter`].
    pub fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Vec<u8>>, CallError>> {
        self.gather(&mut Waiting::Task(context), None, By::Parts)
    }

    /// As [`whole`](Self::whole), for a task.
    ///
    /// # Errors
    /// As [`poll_part`](Self::poll_part).
    pub fn poll_whole(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, CallError>> {
        let whole = self.gather(&mut Waiting::Task(context), None, By::Whole);
        whole.map_ok(Option::unwrap_or_default)
    }

    /// Has the client's [descriptor](Client::descriptor) become readable when [`next_part_until`](Self::next_part_until) is worth calling, and returns
    /// `true`; or returns `false`: it is now. It may become readable for nothing.
    ///
    /// # Errors
    /// As [`poll_part`](Self::poll_part). Then the call is over.
    pub fn arm(&mut self) -> Result<bool, CallError> {
        let look = self.next_look();
        if self.is_over() || is_past(look) {
            return Ok(false);
        }
        let armed = match self.client.desk.answers.arm_by(look) {
            Ok(armed) => Ok(armed),
            // It is told once.
            Err(GetError::WriterDied) => self.go_on_after_death().map(|()| false),
            Err(error) => Err(told(error)),
        };
        if armed
            .as_ref()
            .is_err_and(|error| *error != CallError::Interrupted)
        {
            self.cancel();
        }
        armed
    }

    /// Takes [`arm`](Self::arm) back.
    pub fn disarm(&mut self) {
        self.client.desk.answers.disarm();
    }

    /// As [`Client::descriptor`].
    ///
    /// # Errors
    /// The same.
    pub fn descriptor(&mut self) -> Result<BorrowedFd<'_>, Error> {
        self.client.descriptor()
    }

    /// As [`Client::interrupter`].
    pub fn interrupter(&mut self) -> Interrupter {
        self.client.interrupter()
    }
}
